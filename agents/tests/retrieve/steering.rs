//! People steer the agent while it works: pause, resume, messages, cancel.

use std::time::Duration;

use serde_json::json;

use crate::story::{self, Story};

#[test]
fn paused_it_holds_still_and_answers_and_resumed_it_ends_its_work() {
    let story = Story::begin();
    let mut input = story.input(&story.manifest_of(2025));
    input["pace_ms"] = json!(50);
    let mut agent = story.agent(&input);
    agent.wait_for("document");
    agent.write(&json!({"type": "pause"}));
    agent.wait_for_activity("paused");

    // What was under way may end; then there is silence.
    let still = agent.silence(Duration::from_secs(1));
    agent.write(&json!({"type": "message", "id": story::an_id(), "from": "olga", "text": "what now?"}));
    let answer = agent.wait_for("text");
    assert!(answer["text"].as_str().unwrap().contains("retrieving "), "{answer}");
    assert!(answer["text"].as_str().unwrap().contains("until I am resumed"), "{answer}");
    assert_eq!(agent.count("document"), still);

    agent.write(&json!({"type": "resume"}));
    agent.wait_for("done");
    assert_eq!(agent.count("document"), 8);
}

#[test]
fn cancelled_it_saves_a_checkpoint_and_leaves() {
    let story = Story::begin();
    let mut input = story.input(&story.manifest_of(2025));
    input["pace_ms"] = json!(200);
    let mut agent = story.agent(&input);
    let name = agent.wait_for("document")["name"].as_str().unwrap().to_owned();
    agent.wait_for("checkpoint");
    agent.write(&json!({"type": "cancel", "reason": "cancelled by olga"}));
    assert_eq!(agent.exit_code(), Some(0));
    assert_eq!(agent.count("done") + agent.count("failed"), 0);
    let last = agent.all_lines().pop().unwrap();
    assert_eq!(last["type"], "checkpoint");
    assert!(last["data"]["delivered"].get(name).is_some(), "{last}");
}

#[test]
fn cancelled_while_paused_it_leaves_as_well() {
    let story = Story::begin();
    let mut agent = story.paused_agent(&story.input(&story.manifest_of(2025)));
    agent.wait_for_activity("paused");
    agent.write(&json!({"type": "cancel", "reason": "cancelled by olga"}));
    assert_eq!(agent.exit_code(), Some(0));
}

#[test]
fn left_alone_it_leaves() {
    let story = Story::begin();
    let mut agent = story.paused_agent(&story.input(&story.manifest_of(2025)));
    agent.wait_for_activity("paused");
    agent.close_input();
    assert_eq!(agent.exit_code(), Some(0));
}

#[test]
fn a_document_that_the_server_does_not_take_fails_the_mission() {
    let story = Story::begin();
    let mut input = story.input(&story.manifest_of(2025));
    input["pace_ms"] = json!(200);
    let mut agent = story.agent(&input);
    agent.wait_for("document");
    agent.write(&json!({"type": "refused", "line": "document", "reason": "the quota is used up"}));
    let failed = agent.wait_for("failed");
    assert_eq!(failed["reason"], "the server did not take a document: the quota is used up");
}
