//! The demo: what a newcomer sees, also the second time, and after a kill in the middle.

use std::fs;

use flightdeck_protocol::{
    MissionId,
    model::{Document, MissionStatus, Role},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::support::{Member, Server, Watcher, agent_program, none_left};

/// What the demo printed: who there is, with which password, and which mission runs.
#[derive(Clone, Debug, PartialEq)]
struct Greeting {
    people: Vec<(String, String)>,
    mission: MissionId,
}

async fn greeting(server: &mut Server) -> Greeting {
    server.says("Ctrl-C stops it").await;
    let lines: Vec<&str> = server.said.iter().map(|line| line.trim()).collect();
    let from = lines.iter().position(|line| line.starts_with("people")).expect("people") + 1;
    let people = lines[from..].iter().take_while(|line| !line.is_empty());
    let people = people.filter_map(|line| line.split_once(char::is_whitespace));
    let people: Vec<_> = people.map(|(name, password)| (name.to_owned(), password.trim().to_owned())).collect();
    let mission = lines.iter().find_map(|line| line.strip_prefix("mission: ")).expect("a mission");
    Greeting { people, mission: mission.parse().expect("its id") }
}

/// Everybody signs in with what was printed; the officer is given.
async fn everybody(server: &Server, greeting: &Greeting) -> Member {
    let mut roles = Vec::new();
    let mut officer = None;
    for (name, password) in &greeting.people {
        let member = server.sign_in_with(name, password).await;
        roles.push(member.person.role);
        if member.person.role == Role::Officer {
            officer = Some(member);
        }
    }
    roles.sort_unstable();
    assert_eq!(roles, [Role::Officer, Role::Manager, Role::Approver, Role::Viewer]);
    officer.expect("an officer")
}

/// What the portal says that it has of the year that the mission asks for.
fn expected() -> Vec<Value> {
    let printed = std::process::Command::new(agent_program()).args(["portal", "--print-manifest"]).output();
    let entries: Vec<Value> = serde_json::from_slice(&printed.expect("the portal").stdout).expect("its manifest");
    entries.into_iter().filter(|entry| entry["year"] == 2025).collect()
}

async fn all_documents_are_right(server: &Server, officer: &Member, documents: &[Document]) {
    let expected = expected();
    assert_eq!(documents.len(), expected.len());
    assert!(documents.len() > 3);
    for entry in expected {
        let document = documents.iter().find(|document| document.name == entry["name"].as_str().unwrap_or_default());
        let document = document.unwrap_or_else(|| panic!("{entry} was not delivered"));
        let reply = server.get(officer, &format!("/api/documents/{}/download", document.id), &[]).await;
        assert_eq!(reply.status, 200);
        let sha256 = format!("{:x}", Sha256::digest(&reply.body));
        assert_eq!((sha256.as_str(), &document.sha256), (entry["sha256"].as_str().unwrap_or_default(), &sha256));
        assert_eq!(reply.header("content-type"), entry["media_type"].as_str().unwrap_or_default());
    }
}

#[tokio::test]
async fn the_demo_delivers_and_its_second_run_finds_everything_where_it_was() {
    let mut server = Server::demo(TempDir::new().expect("a temporary folder")).await;
    let first = greeting(&mut server).await;
    let officer = everybody(&server, &first).await;
    let done = server.end_of(&officer, first.mission).await;
    assert_eq!(done.status, MissionStatus::Completed, "{:?}", done.status_reason);
    all_documents_are_right(&server, &officer, &done.documents).await;
    downloads_keep_to_the_rules(&server, &officer, &done.documents[0]).await;
    no_password_is_told(&server, &first, &serde_json::to_string(&done).expect("JSON"));

    assert!(server.stop().await.success());
    none_left(server.home(), None).await;
    server.start_again().await;
    let second = greeting(&mut server).await;
    assert_eq!(second, first, "the same people, passwords and mission");
    let officer = everybody(&server, &second).await;
    let mission = server.look(&officer, second.mission).await;
    assert_eq!((mission.status, mission.seq >= done.seq), (MissionStatus::Completed, true));
    all_documents_are_right(&server, &officer, &mission.documents).await;
}

fn no_password_is_told(server: &Server, greeting: &Greeting, mission: &str) {
    let record = fs::read_to_string(server.data().join("people.json")).expect("the demo's record");
    let record: Value = serde_json::from_str(&record).expect("JSON");
    let portal = record["portal_login"]["password"].as_str().expect("a password").to_owned();
    let passwords = greeting.people.iter().map(|(_, password)| password).chain([&portal]);
    for password in passwords {
        assert!(password.len() >= 16);
        assert!(!mission.contains(password) && !server.log().contains(password));
        let lines = crate::support::running_with(server.home(), None);
        assert!(lines.iter().all(|(_, line)| !line.contains(password)));
    }
}

#[tokio::test]
async fn the_demo_is_killed_in_the_middle_and_completes_all_the_same() {
    let mut server = Server::demo(TempDir::new().expect("a temporary folder")).await;
    let first = greeting(&mut server).await;
    let officer = everybody(&server, &first).await;
    let mut watcher = Watcher::from_the_first(&server, &officer, first.mission).await;
    watcher.until_mission("a document", |mission| !mission.documents.is_empty()).await;
    server.kill_nine().await;
    watcher.until_closed().await;
    none_left(server.home(), None).await;
    assert!(!watcher.mission().status.is_ended(), "it was to be killed in the middle");
    server.start_again().await;
    assert_eq!(greeting(&mut server).await, first);
    watcher.resume(&server, &officer).await;
    watcher.until_mission("the end", |mission| mission.status.is_ended()).await;
    assert_eq!(watcher.mission().status, MissionStatus::Completed, "{:?}", watcher.mission().status_reason);
    let documents = watcher.mission().documents.clone();
    assert!(documents.iter().all(|document| document.version == 1), "none was delivered twice");
    all_documents_are_right(&server, &officer, &documents).await;
}

/// Ranges, tags and names, as RFC 9110 and RFC 6266 have them.
async fn downloads_keep_to_the_rules(server: &Server, officer: &Member, document: &Document) {
    let path = format!("/api/documents/{}/download", document.id);
    let whole = server.get(officer, &path, &[]).await;
    let size = whole.body.len();
    assert_eq!(whole.header("content-length"), size.to_string());
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    let tag = whole.header("etag").to_owned();
    assert_eq!(tag, format!("\"{}\"", document.sha256));
    let disposition = whole.header("content-disposition");
    assert!(disposition.starts_with("attachment") && disposition.contains(&document.name), "{disposition}");

    for (range, from, to) in [
        ("bytes=0-9".to_owned(), 0, 10),
        ("bytes=10-".to_owned(), 10, size),
        ("bytes=-7".to_owned(), size - 7, size),
        (format!("bytes=5-{}", size * 2), 5, size),
        (format!("bytes=-{}", size * 2), 0, size),
        ("bytes=0-0".to_owned(), 0, 1),
    ] {
        let part = server.get(officer, &path, &[("range", &range)]).await;
        assert_eq!(part.status, 206, "{range}");
        assert!(part.body == whole.body[from..to], "{range}");
        assert_eq!(part.header("content-range"), format!("bytes {from}-{}/{size}", to - 1));
        assert_eq!(part.header("content-length"), (to - from).to_string());
    }
    for range in [format!("bytes={size}-"), "bytes=-0".to_owned()] {
        let beyond = server.get(officer, &path, &[("range", &range)]).await;
        assert_eq!(
            (beyond.status, beyond.header("content-range")),
            (416, format!("bytes */{size}").as_str()),
            "{range}"
        );
    }
    for range in ["bytes=9-3", "lines=1-2", "bytes=0-1,4-5", "nonsense"] {
        let all = server.get(officer, &path, &[("range", range)]).await;
        assert_eq!((all.status, all.body.len()), (200, size), "{range}");
    }
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let unchanged = server.get(officer, &path, &[("if-none-match", &known)]).await;
        assert_eq!((unchanged.status, unchanged.body.len()), (304, 0), "{known}");
        assert_eq!(unchanged.header("etag"), tag);
    }
    let changed = server.get(officer, &path, &[("if-none-match", "\"other\"")]).await;
    assert_eq!(changed.status, 200);
    let same = server.get(officer, &path, &[("range", "bytes=0-3"), ("if-range", &tag)]).await;
    assert_eq!(same.status, 206);
    let newer = server.get(officer, &path, &[("range", "bytes=0-3"), ("if-range", "\"other\"")]).await;
    assert_eq!((newer.status, newer.body.len()), (200, size));
}
