//! What cannot be achieved is said, and what may pass is left to another run.

use std::net::TcpListener;

use serde_json::json;

use crate::story::{self, Story};

#[test]
fn a_wrong_password_fails_the_login() {
    let story = Story::begin();
    let mut agent =
        story.agent_with_secret(&story.input(&story.manifest_of(2025)), &json!({"username": "ann", "password": "no"}));
    let failed = agent.wait_for("failed");
    assert!(failed["reason"].as_str().unwrap().contains("refused the login"), "{failed}");
    assert_eq!(agent.step("login"), "failed");
    assert_eq!(agent.step("list"), "pending");
    assert_eq!(agent.exit_code(), Some(0), "starting it again would not help");
}

#[test]
fn a_missing_document_fails_and_the_others_are_delivered() {
    let story = Story::begin();
    let mut input = story.input(&story.manifest_of(2025)[..2]);
    input["documents"].as_array_mut().unwrap().insert(0, json!({"name": "W-4-2025.pdf"}));
    let mut agent = story.agent(&input);
    let failed = agent.wait_for("failed");
    assert_eq!(
        failed["reason"],
        "1 of 3 documents were not retrieved: W-4-2025.pdf: no link on 5 pages has \"W-4-2025.pdf\""
    );
    assert_eq!(agent.step("document:W-4-2025.pdf"), "failed");
    assert_eq!(agent.count("document"), 2);
}

#[test]
fn a_document_that_is_not_what_was_expected_is_not_delivered() {
    let story = Story::begin();
    for (field, value, says) in [
        ("sha256", json!("ab".repeat(32)), "its sha-256 is "),
        ("size", json!(7), "and should have 7"),
        ("media_type", json!("image/png"), "it is of type application/pdf and should be image/png"),
    ] {
        let mut input = story.input(&story.manifest_of(2025)[..1]);
        input["documents"][0][field] = value;
        let mut agent = story.agent(&input);
        let failed = agent.wait_for("failed");
        assert!(failed["reason"].as_str().unwrap().contains(says), "{failed}");
        assert_eq!((agent.count("document"), agent.count("checkpoint")), (0, 0));
    }
}

#[test]
fn a_document_over_the_bound_is_not_taken() {
    let story = Story::begin();
    let mut input = story.input(&story.manifest_of(2025)[..1]);
    input["max_document_bytes"] = json!(100);
    let mut agent = story.agent(&input);
    let failed = agent.wait_for("failed");
    assert!(failed["reason"].as_str().unwrap().contains("more than the 100 bytes"), "{failed}");
}

#[test]
fn a_wrong_input_fails_in_a_sentence_that_says_where() {
    let story = Story::begin();
    let mut input = story.input(&story.manifest_of(2025)[..1]);
    input["documents"][0]["nmae"] = json!("x");
    let mut agent = story.agent(&input);
    let failed = agent.wait_for("failed");
    assert!(failed["reason"].as_str().unwrap().contains("documents[0]"), "{failed}");

    let mut agent = story.agent_with_secret(&story.input(&story.manifest_of(2025)), &json!({"username": "ann"}));
    let failed = agent.wait_for("failed");
    assert!(failed["reason"].as_str().unwrap().contains("no field \"password\""), "{failed}");
}

#[test]
fn another_origin_is_not_visited_unless_it_is_allowed() {
    let story = Story::begin();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", elsewhere.local_addr().unwrap());
    let mut input = story.input(&story.manifest_of(2025)[..1]);
    input["list"]["page"] = json!(format!("{origin}/list"));
    let mut agent = story.agent(&input);
    let failed = agent.wait_for("failed");
    assert!(failed["reason"].as_str().unwrap().contains("allow_origins"), "{failed}");
    elsewhere.set_nonblocking(true).unwrap();
    assert!(elsewhere.accept().is_err(), "nobody knocked there");
}

#[test]
fn a_portal_that_cannot_be_reached_is_for_another_run() {
    let story = Story::begin();
    let mut input = story.input(&story.manifest_of(2025));
    // A port that was free a moment ago, and that nobody listens on now.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    input["portal"] = json!(format!("http://{gone}/"));
    let mut agent = story.agent(&input);
    assert_eq!(agent.exit_code(), Some(1));
    assert_eq!(agent.count("failed") + agent.count("done"), 0);
    assert!(agent.says("trying again"));
    let stderr = agent.stderr();
    assert!(stderr.contains("gave up on http://"), "{stderr}");
    assert!(!stderr.contains(story::PASSWORD));
}

#[test]
fn without_a_start_there_is_nothing_to_do() {
    let story = Story::begin();
    let mut agent = story.silent_agent();
    agent.close_input();
    assert_eq!(agent.exit_code(), Some(0));

    let mut agent = story.silent_agent();
    agent.write(&json!({"type": "pause"}));
    assert_eq!(agent.exit_code(), Some(1));
    assert!(agent.stderr().contains("not \"start\""));
}
