//! `flightdeck demo`: a server with four people, a sample portal, and a mission that fetches documents from it.

mod portal;
mod record;

use anyhow::Context as _;
use flightdeck_actors::{dispatch::Answer, mission::Caller};
use flightdeck_data::people::NewPerson;
use flightdeck_protocol::{
    Call, MissionId, SessionId, Timestamp,
    model::{Mission, MissionStatus, MissionSummary, Organization, Person, Priority, Role},
    operations::{MissionNew, MissionRef},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{
    serve::{Server, start_log},
    services::Layout,
    settings::Settings,
};
use portal::{Entry, Portal};
use record::{DemoPerson, Record};

const ORGANIZATION: &str = "Demo";
/// The name of the secret with which the agent signs in to the portal.
const SECRET: &str = "sample-portal";
/// How long the agent waits between requests, so that people can watch, in milliseconds.
const PACE_MS: u64 = 2_000;

/// Runs the demo until SIGTERM or SIGINT.
pub(crate) fn demo(settings: Settings) -> anyhow::Result<()> {
    start_log(&settings)?;
    actix_rt::System::new().block_on(async move {
        let layout = Layout::open(&settings.data_dir)?;
        let mut record = Record::read_or_make(&layout.file(record::FILE))?;
        let agent = settings.agents.get("retrieve").and_then(|agent| agent.command.first()).cloned();
        let agent = agent.context("the demo needs the agent kind retrieve")?;
        let port = match settings.listen.port() {
            0 => 0,
            port => port.saturating_add(1),
        };
        let portal = Portal::start(&agent, &layout, &record.portal_login, record.portal.as_deref(), port).await?;
        // The agents find the portal where it was, so it is there before they come back.
        let server = Server::start(&settings, &layout).await?;
        record.server = server.url();
        record.portal = Some(portal.url.clone());
        let desk = &server.services.desk;
        let organization = match desk.directory.organization_by_name(ORGANIZATION)? {
            Some(known) => known,
            None => desk.directory.create_organization(ORGANIZATION).await?,
        };
        let officer = people(&server, &organization, &record.people).await?;
        let secret = layout.secrets().path(organization.id, SECRET)?;
        record::write_private(&secret, &serde_json::to_vec(&record.portal_login)?)?;
        let mission = match record.mission {
            Some(mission) => mission,
            None => {
                let wanted = Portal::manifest(&agent).await?;
                make(&server, &officer, &portal.url, &wanted).await?
            }
        };
        record.mission = Some(mission);
        record.save()?;
        // It is known before it runs, so that another run of the demo does not make a second one.
        start(&server, &officer, mission).await?;
        println!("{}", record.greeting());
        let stopped = server.until_stopped().await;
        portal.stop().await;
        stopped
    })
}

/// Makes the demo's people where they are not there yet; gives the officer.
async fn people(server: &Server, organization: &Organization, people: &[DemoPerson]) -> anyhow::Result<Person> {
    let directory = &server.services.desk.directory;
    let mut known = directory.people_of(organization.id)?;
    for DemoPerson { role, username, password } in people {
        if !known.iter().any(|person| person.username == *username) {
            let new = NewPerson {
                organization: organization.id,
                username: username.clone(),
                name: format!("Demo {}", role.name()),
                email: None,
                password: password.clone(),
                role: *role,
            };
            known.push(directory.create_person(new).await?);
        }
    }
    known.into_iter().find(|person| person.role == Role::Officer).context("the demo has no officer")
}

/// Makes the mission, as the officer.
async fn make(server: &Server, officer: &Person, portal: &str, wanted: &[Entry]) -> anyhow::Result<MissionId> {
    let documents: Vec<_> = wanted
        .iter()
        .filter(|entry| entry.year == 2025)
        .map(|entry| {
            json!({"name": entry.name, "media_type": entry.media_type, "size": entry.size, "sha256": entry.sha256})
        })
        .collect();
    let new = MissionNew {
        title: "Retrieve the 2025 tax documents".to_owned(),
        mission_type: Some("document-retrieval".to_owned()),
        priority: Priority::High,
        agent: Some("retrieve".to_owned()),
        input: Some(json!({
            "portal": portal,
            "secret": SECRET,
            "login": {
                "page": "/login",
                "fields": {"username": "{username}", "password": "{password}"},
                "success": "#logout",
            },
            "search": {"page": "/documents", "fields": {"year": "2025"}},
            "list": {"link": "a.document", "next": "a[rel=next]"},
            "documents": documents,
            "pace_ms": PACE_MS,
        })),
        ..MissionNew::default()
    };
    Ok(call::<MissionSummary>(server, officer, Call::CreateMission(new)).await?.id)
}

/// Starts the mission if it was not started before.
async fn start(server: &Server, officer: &Person, mission: MissionId) -> anyhow::Result<()> {
    let mission = MissionRef { mission };
    if call::<Mission>(server, officer, Call::GetMission(mission)).await?.status == MissionStatus::Pending {
        call::<MissionSummary>(server, officer, Call::StartMission(mission)).await?;
    }
    Ok(())
}

async fn call<T: DeserializeOwned>(server: &Server, officer: &Person, call: Call) -> anyhow::Result<T> {
    let caller = Caller {
        person: officer.clone(),
        session: SessionId::fresh(),
        expires_at: Timestamp::now().plus_millis(60_000),
    };
    match server.services.desk.call(call.into(), Some(&caller)).await? {
        Answer::Json(json) => Ok(serde_json::from_slice(&json)?),
        Answer::File(_) => anyhow::bail!("a mission was expected, and not a file"),
    }
}
