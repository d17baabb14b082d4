//! The agent *retrieve* as the server runs it, against the sample portal: both the real binary.

mod odd_portals;
mod steering;
mod story;
mod troubles;

use serde_json::json;
use story::Story;

#[test]
fn it_logs_in_searches_and_delivers_every_document_byte_for_byte() {
    let story = Story::begin();
    let mut input = story.input(&story.manifest_of(2025));
    input["search"] = json!({"page": "/documents", "fields": {"year": "2025"}});
    input["list"] = json!({"link": "a.document", "next": "a[rel=next]"});
    input["login"]["success"] = json!("#logout");
    let mut agent = story.agent(&input);
    let done = agent.wait_for("done");

    let wanted = story.manifest_of(2025);
    assert_eq!(wanted.len(), 8);
    for entry in &wanted {
        let bytes = agent.workspace_file(&format!("downloads/{}", entry.name));
        assert_eq!(bytes.len() as u64, entry.size);
        assert_eq!(story::sha256(&bytes), entry.sha256);
        let line = agent.line_of("document", &entry.name);
        assert_eq!(line["path"], format!("downloads/{}", entry.name));
        assert_eq!(line["media_type"], entry.media_type);
        assert_eq!(line["size"], entry.size);
        assert_eq!(line["sha256"], entry.sha256);
        assert_eq!(line["source"], format!("{}/documents/{}", story.portal(), entry.name));
        assert_eq!(agent.step(&format!("document:{}", entry.name)), "completed");
    }
    let result: Vec<_> =
        wanted.iter().map(|it| json!({"name": it.name, "sha256": it.sha256, "size": it.size})).collect();
    assert_eq!(done["result"]["documents"], json!(result));
    for step in ["login", "search", "list", "documents"] {
        assert_eq!(agent.step(step), "completed", "{step}");
    }
    assert_eq!(agent.exit_code(), Some(0));
}

#[test]
fn it_turns_pages_until_it_has_found_everything() {
    let story = Story::begin();
    let everything = story.manifest();
    let mut agent = story.agent(&story.input(&everything));
    agent.wait_for("done");
    assert!(agent.says("page 5 has "), "24 documents are on 5 pages");
    assert_eq!(agent.count("document"), everything.len());
}

#[test]
fn a_later_run_does_not_download_again_what_an_earlier_one_delivered() {
    let story = Story::begin();
    let wanted = &story.manifest_of(2024)[..3];
    let input = story.input(wanted);

    let mut first = story.agent(&input);
    let mut checkpoint = first.wait_for("checkpoint");
    first.kill();

    let mut second = story.agent_resumed(&input, &checkpoint["data"].take());
    let done = second.wait_for("done");
    assert_eq!(second.count("document"), 2, "the first of three is not delivered again");
    assert!(second.lines_of("document").iter().all(|line| line["name"] != wanted[0].name));
    assert_eq!(done["result"]["documents"].as_array().map(Vec::len), Some(3), "the result names all of them");
    assert_eq!(second.step(&format!("document:{}", wanted[0].name)), "completed");
    let last = second.lines_of("checkpoint").pop().unwrap();

    let mut third = story.agent_resumed(&input, &last["data"]);
    third.wait_for("done");
    assert_eq!(third.count("document"), 0);
    assert!(!third.says("login"), "there is nothing left to log in for");
}

#[test]
fn no_credential_shows_anywhere() {
    let story = Story::begin();
    let mut input = story.input(&story.manifest_of(2023));
    input["pace_ms"] = json!(20);
    // Text that happens to have the password in it must not bring it out either.
    input["documents"].as_array_mut().unwrap().push(json!({"name": "x.pdf", "match": story::PASSWORD}));
    let mut agent = story.agent(&input);
    agent.wait_for("step");
    for file in ["cmdline", "environ"] {
        let content = std::fs::read(format!("/proc/{}/{file}", agent.id())).unwrap();
        let content = String::from_utf8_lossy(&content);
        assert!(!content.contains(story::PASSWORD) && !content.contains(story::USERNAME), "{file}: {content}");
    }
    agent.write(&json!({"type": "message", "id": story::an_id(), "from": "olga", "text": "where are you?"}));
    agent.wait_for("failed");
    let printed = agent.everything_printed();
    assert!(printed.contains("[hidden]"), "the match that is the password is told without it");
    for secret in [story::PASSWORD, story::USERNAME, "csrf="] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
