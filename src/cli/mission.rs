//! `flightdeck mission`: making missions, listing them, and steering them.

use std::io::Read;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use flightdeck_protocol::{
    MissionId, Operation, Timestamp,
    model::{ApprovalStatus, Mission, MissionStatus, MissionSummary, Priority},
    operations::{
        AnswerApproval, ApprovalReply, CancelMission, CompleteMission, CreateMission, GetMission, ListMissions,
        ListOrder, MessageSend, MissionCancel, MissionComplete, MissionNew, MissionQuery, MissionRef, MissionsWatch,
        PauseMission, ResumeMission, SendMessage, StartMission,
    },
};
use jiff::tz::TimeZone;
use serde::de::{DeserializeOwned, IntoDeserializer, value};
use serde_json::Value;

use super::{
    Usage,
    connection::Connection,
    desk::Desk,
    text::{clean, columns, moment, table},
    watch,
};

/// What can be done about missions.
#[derive(Subcommand)]
pub(crate) enum MissionCommand {
    /// Make a mission; it waits until it is started
    Create(CreateArgs),
    /// List missions, newest first, or watch the list
    List(ListArgs),
    /// Show a mission whole
    Show(OneArgs),
    /// Start a mission: its agent runs as soon as there is a place
    Start(OneArgs),
    /// Hold a mission
    Pause(OneArgs),
    /// Let a held mission go on
    Resume(OneArgs),
    /// End a mission as done
    Complete(CompleteArgs),
    /// Call a mission off
    Cancel(CancelArgs),
    /// Write to a mission's agent, for everyone who watches to see
    Message(MessageArgs),
    /// Answer what an agent asked
    Answer(AnswerArgs),
}

/// What every command has.
#[derive(Args)]
pub(crate) struct Common {
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What `mission create` takes.
#[derive(Args)]
#[command(after_help = "\
Examples:
  flightdeck mission create --title 'Order the searches for 14 Elm Road'
  flightdeck mission create --title 'Fetch the forms' --agent retrieve --input forms.json --start
  echo '{\"year\": 2025}' | flightdeck mission create --title 'Taxes' --agent draft --input - --priority high")]
pub(crate) struct CreateArgs {
    /// What it is about
    #[arg(long)]
    title: String,
    /// The agent kind that is to work on it; without one, people do
    #[arg(long, value_name = "KIND")]
    agent: Option<String>,
    /// A file with JSON that the agent is given to work with; - reads standard input
    #[arg(long, value_name = "FILE")]
    input: Option<String>,
    /// What sort of mission it is, in your own words
    #[arg(long = "type", value_name = "TYPE")]
    mission_type: Option<String>,
    /// How urgent it is: low, normal, high or urgent
    #[arg(long, value_parser = wire_name::<Priority>, default_value = "normal")]
    priority: Priority,
    /// The name of the template that it follows, for people to know
    #[arg(long)]
    template: Option<String>,
    /// Start it at once
    #[arg(long)]
    start: bool,
    #[command(flatten)]
    common: Common,
}

/// What `mission list` takes.
#[derive(Args)]
#[command(after_help = "\
Examples:
  flightdeck mission list --status running --limit 200
      those that run now
  flightdeck mission list --watch --order priority
      live, until Ctrl-C; it comes back by itself when the server does
  flightdeck mission list --watch --json | jq -r 'select(.op == \"put\") | .mission.title'
      each change as a line: missions that are there at first, come or change (put), or leave the list (remove)")]
pub(crate) struct ListArgs {
    /// Show the list live; one line a change where output goes to no terminal, or with --json
    #[arg(long, conflicts_with = "before")]
    watch: bool,
    /// What comes first: newest, priority or title
    #[arg(long, value_parser = wire_name::<ListOrder>, default_value = "newest", requires = "watch")]
    order: ListOrder,
    /// Those in this status alone: pending, queued, running, waiting, paused, completed, failed or cancelled
    #[arg(long, value_parser = wire_name::<MissionStatus>)]
    status: Option<MissionStatus>,
    /// Those of this sort alone
    #[arg(long = "type", value_name = "TYPE")]
    mission_type: Option<String>,
    /// How many at most, 1 to 200
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Those made before this mission
    #[arg(long, value_name = "MISSION")]
    before: Option<MissionId>,
    #[command(flatten)]
    common: Common,
}

/// What commands about one mission take.
#[derive(Args)]
pub(crate) struct OneArgs {
    /// The mission's id
    mission: MissionId,
    #[command(flatten)]
    common: Common,
}

/// What `mission complete` takes.
#[derive(Args)]
pub(crate) struct CompleteArgs {
    #[command(flatten)]
    one: OneArgs,
    /// A file with JSON that says what came of it; - reads standard input
    #[arg(long, value_name = "FILE")]
    result: Option<String>,
}

/// What `mission cancel` takes.
#[derive(Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Why, in a sentence
    #[arg(long)]
    reason: Option<String>,
}

/// What `mission message` takes.
#[derive(Args)]
pub(crate) struct MessageArgs {
    #[command(flatten)]
    one: OneArgs,
    /// The text; - reads standard input
    text: String,
}

/// What `mission answer` takes.
#[derive(Args)]
pub(crate) struct AnswerArgs {
    #[command(flatten)]
    one: OneArgs,
    /// What is answered: its key as `watch` shows it, or its id
    approval: String,
    /// The option to choose
    #[arg(long, required_unless_present = "text")]
    option: Option<String>,
    /// What to say, where the answer is in words
    #[arg(long)]
    text: Option<String>,
}

/// Runs one of them.
pub(crate) async fn run(command: MissionCommand) -> anyhow::Result<()> {
    match command {
        MissionCommand::Create(args) => create(args).await,
        MissionCommand::List(args) => list(args).await,
        MissionCommand::Show(args) => {
            let params = MissionRef { mission: args.mission };
            ask::<GetMission>(args.common, params, |mission| show(&mission)).await
        }
        MissionCommand::Start(args) => steer::<StartMission>(args).await,
        MissionCommand::Pause(args) => steer::<PauseMission>(args).await,
        MissionCommand::Resume(args) => steer::<ResumeMission>(args).await,
        MissionCommand::Complete(CompleteArgs { one, result }) => {
            let params = MissionComplete { mission: one.mission, result: read_json(result.as_deref())? };
            ask::<CompleteMission>(one.common, params, |mission| stands(&mission)).await
        }
        MissionCommand::Cancel(CancelArgs { one, reason }) => {
            let params = MissionCancel { mission: one.mission, reason };
            ask::<CancelMission>(one.common, params, |mission| stands(&mission)).await
        }
        MissionCommand::Message(MessageArgs { one, text }) => {
            let text = if text == "-" { read_text("-")? } else { text };
            let params = MessageSend { mission: one.mission, text };
            ask::<SendMessage>(one.common, params, |ack| format!("sent; it is event {}", ack.seq)).await
        }
        MissionCommand::Answer(args) => answer(args).await,
    }
}

/// Opens a session, asks one thing, prints the answer and leaves.
async fn ask<O: Operation>(
    common: Common,
    params: O::Params,
    show: impl FnOnce(O::Result) -> String,
) -> anyhow::Result<()> {
    let desk = Desk::open(&common.connection).await?;
    let printed = desk.print::<O>(params, common.json, show).await;
    desk.leave().await;
    printed
}

async fn steer<O>(args: OneArgs) -> anyhow::Result<()>
where
    O: Operation<Params = MissionRef, Result = MissionSummary>,
{
    ask::<O>(args.common, MissionRef { mission: args.mission }, |mission| stands(&mission)).await
}

async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let new = MissionNew {
        title: args.title,
        mission_type: args.mission_type,
        priority: args.priority,
        agent: args.agent,
        input: read_json(args.input.as_deref())?,
        template: args.template,
        estimated_at: None,
    };
    let json = args.common.json;
    let desk = Desk::open(&args.common.connection).await?;
    let outcome = async {
        if !args.start {
            return desk.print::<CreateMission>(new, json, |mission| created(&mission)).await;
        }
        let mission = desk.call::<CreateMission>(new).await?.id;
        let started = desk.print::<StartMission>(MissionRef { mission }, json, |mission| created(&mission)).await;
        started.with_context(|| format!("the mission {mission} is made and not started"))
    }
    .await;
    desk.leave().await;
    outcome
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    if args.watch {
        let query = MissionsWatch {
            status: args.status.into_iter().collect(),
            mission_type: args.mission_type,
            order: args.order,
            limit: Some(args.limit),
            ..MissionsWatch::default()
        };
        return watch::list::watch(&args.common.connection, query, args.common.json).await;
    }
    let query = MissionQuery {
        status: args.status,
        mission_type: args.mission_type,
        limit: Some(args.limit),
        before: args.before,
    };
    ask::<ListMissions>(args.common, query, |page| {
        let mut text = missions(&page.items, columns(), &TimeZone::system());
        if let Some(next) = page.next {
            text.push_str(&format!("there are more: --before {next}\n"));
        }
        text
    })
    .await
}

async fn answer(AnswerArgs { one, approval, option, text }: AnswerArgs) -> anyhow::Result<()> {
    let OneArgs { mission, common } = one;
    let desk = Desk::open(&common.connection).await?;
    let outcome = async {
        let asked = desk.call::<GetMission>(MissionRef { mission }).await?.approvals;
        let named = |id: String, key: &str| id == approval || key == approval;
        let found = asked.iter().rev().find(|asked| named(asked.id.to_string(), &asked.key));
        let Some(found) = found else {
            let pending = asked.iter().filter(|asked| asked.status == ApprovalStatus::Pending);
            let keys: Vec<&str> = pending.map(|asked| asked.key.as_str()).collect();
            let waits = if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
            return Err(anyhow!("the mission asks nothing called {approval:?}; {waits} waits for an answer"));
        };
        let params = ApprovalReply { mission, approval: found.id, option, text };
        desk.print::<AnswerApproval>(params, common.json, |ack| format!("answered; it is event {}", ack.seq)).await
    }
    .await;
    desk.leave().await;
    outcome
}

fn created(mission: &MissionSummary) -> String {
    format!("made {}\nwatch it: flightdeck watch {}", stands(mission), mission.id)
}

/// One line on how a mission stands.
fn stands(mission: &MissionSummary) -> String {
    let reason = mission.status_reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    clean(&format!("{} {:?} is {}{reason}", mission.id, mission.title, mission.status.name()))
}

fn missions(missions: &[MissionSummary], columns: usize, zone: &TimeZone) -> String {
    let date = |at: Timestamp| moment(at, zone, "%Y-%m-%d %H:%M");
    let rows: Vec<Vec<String>> = missions
        .iter()
        .map(|mission| {
            vec![
                mission.id.to_string(),
                mission.status.name().to_owned(),
                format!("{:>3}%", mission.progress),
                mission.agent.clone().unwrap_or_else(|| "-".to_owned()),
                date(mission.created_at),
                mission.title.clone(),
            ]
        })
        .collect();
    table(&["ID", "STATUS", "DONE", "AGENT", "MADE", "TITLE"], &rows, columns)
}

fn show(mission: &Mission) -> String {
    let columns = columns().min(200);
    watch::still(mission, columns)
}

/// The JSON in a file, or in standard input for `-`.
fn read_json(file: Option<&str>) -> anyhow::Result<Option<Value>> {
    let Some(file) = file else { return Ok(None) };
    let text = read_text(file)?;
    let name = if file == "-" { "standard input" } else { file };
    let wrong = |error: serde_json::Error| Usage(format!("{name} is not valid JSON: {error}"));
    Ok(Some(serde_json::from_str(&text).map_err(wrong)?))
}

fn read_text(file: &str) -> anyhow::Result<String> {
    if file != "-" {
        return std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read"));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
    Ok(text)
}

/// Reads a value by its name on the wire.
fn wire_name<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    T::deserialize(IntoDeserializer::<value::Error>::into_deserializer(text)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_protocol::model::Author;
    use uuid::Uuid;

    #[test]
    fn values_are_read_by_their_names() {
        assert_eq!(wire_name::<Priority>("urgent").unwrap(), Priority::Urgent);
        assert!(wire_name::<MissionStatus>("done").unwrap_err().contains("completed"));
    }

    #[test]
    fn a_list_is_a_table() {
        let mission = MissionSummary {
            id: Uuid::from_u128(1).into(),
            organization: Uuid::from_u128(2).into(),
            title: "Retrieve\u{1b}[31m the documents".to_owned(),
            mission_type: "general".to_owned(),
            status: MissionStatus::Running,
            status_reason: None,
            priority: Priority::Normal,
            progress: 40,
            owner: Author::System,
            agent: Some("retrieve".to_owned()),
            created_at: Timestamp::from_millis(1_770_000_000_000),
            started_at: None,
            completed_at: None,
            estimated_at: None,
            seq: 3,
        };
        insta::assert_snapshot!(missions(&[mission], 110, &TimeZone::UTC));
    }
}
