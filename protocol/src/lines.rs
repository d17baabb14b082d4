//! The agent dialect *lines*: one JSON object a line over an agent's standard streams.
//!
//! An agent prints [`AgentLine`]s on its standard output and reads
//! [`ServerLine`]s from its standard input. The first line that it reads is
//! always `start`. Standard error is kept for people, bounded, and never parsed.
//! A line that is not a JSON object becomes an activity of type `log`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    ids::{MessageId, MissionId},
    model::{ActivityType, ApprovalOption, StepStatus},
};

/// What an agent prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AgentLine {
    /// Adds the step `key` to the plan, or changes the fields that are present.
    Step {
        /// The agent's own name for the step, stable over restarts.
        key: String,
        /// What is to be done; needed the first time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// How far it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<StepStatus>,
        /// The key of the step that it is a part of; looked at the first time alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
        /// What came of it, in a sentence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
    },
    /// Logs an activity.
    Activity {
        /// What kind of thing it tells of.
        #[serde(default, rename = "kind")]
        activity_type: ActivityType,
        /// A sentence.
        message: String,
        /// Anything more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        details: Option<Value>,
        /// The key of the step that it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
    },
    /// Says how far the mission is; from then on the plan is not asked.
    Progress {
        /// In percent, 0 to 100.
        percent: u8,
    },
    /// What the agent says, in its own words.
    Text {
        /// The words.
        text: String,
        /// The stream of [`AgentLine::Delta`] that these are the whole of, and the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream: Option<String>,
    },
    /// A piece of what the agent is saying, for those who watch now. Never stored, and may be
    /// lost on the way: the whole comes as [`AgentLine::Text`].
    Delta {
        /// The agent's own name for what it is saying, of 1 to 64 characters.
        stream: String,
        /// The words that follow on the ones before.
        text: String,
    },
    /// Delivers a file of the workspace as a document.
    Document {
        /// The document's name; the same name again is a new version of it.
        name: String,
        /// The file, relative to the workspace.
        path: String,
        /// The media type that the content must have.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media_type: Option<String>,
        /// The size that it must have, in bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        /// The SHA-256 that it must have, in hex.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// Where it came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
    },
    /// Asks something of people; the answer comes as [`ServerLine::Answer`].
    Ask {
        /// The agent's own name for the question, stable over restarts.
        key: String,
        /// What is asked.
        prompt: String,
        /// What may be chosen; none for a free answer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        options: Vec<ApprovalOption>,
    },
    /// Saves how far the agent is; a later run of it is started with this.
    Checkpoint {
        /// Anything, for the agent alone.
        data: Value,
    },
    /// Reports what was used since the last such report.
    Usage {
        /// Tokens read by models.
        #[serde(default)]
        input_tokens: u64,
        /// Tokens written by models.
        #[serde(default)]
        output_tokens: u64,
        /// Money, in millionths of a US dollar.
        #[serde(default)]
        cost_micros: u64,
    },
    /// The mission is done. The agent exits next.
    Done {
        /// What came of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Value>,
    },
    /// The mission cannot be achieved, and starting again would not help. The agent exits next.
    Failed {
        /// Why, in a sentence.
        reason: String,
    },
}

/// What an agent reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerLine {
    /// Always first: what to do, and how far an earlier run came.
    Start {
        /// The mission.
        mission: MissionId,
        /// What it is about.
        title: String,
        /// Which run of the agent this is, from 1.
        incarnation: u32,
        /// What the mission gives the agent to work with.
        input: Value,
        /// The secret that the input names under `secret`, with its fields.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<Map<String, Value>>,
        /// What an earlier run saved last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checkpoint: Option<Value>,
    },
    /// A person writes. A message that came after the last checkpoint is told to the next run again.
    Message {
        /// The message's id.
        id: MessageId,
        /// Who writes.
        from: String,
        /// The text.
        text: String,
    },
    /// A person answered what the agent asked.
    Answer {
        /// The agent's own name for the question.
        key: String,
        /// The chosen option.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        option: Option<String>,
        /// What was written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// Who answered.
        by: String,
    },
    /// Hold still, and save a checkpoint; the process may be frozen soon.
    Pause,
    /// Go on.
    Resume,
    /// Stop: save a checkpoint and exit; the process is ended soon.
    Cancel {
        /// Why, in a sentence.
        reason: String,
    },
    /// A line of the agent's was not taken.
    Refused {
        /// The line's `type`, where it had one.
        line: String,
        /// Why, and what to do, in a sentence.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_on_the_wire() {
        insta::assert_json_snapshot!([
            AgentLine::Step {
                key: "login".to_owned(),
                title: Some("Log in".to_owned()),
                status: Some(StepStatus::Running),
                parent: None,
                result: None,
            },
            AgentLine::Activity {
                activity_type: ActivityType::Info,
                message: "opened the portal".to_owned(),
                details: None,
                step: Some("login".to_owned()),
            },
            AgentLine::Progress { percent: 10 },
            AgentLine::Text { text: "Looking at the list.".to_owned(), stream: Some("answer-1".to_owned()) },
            AgentLine::Delta { stream: "answer-1".to_owned(), text: "Looking ".to_owned() },
            AgentLine::Document {
                name: "w2.pdf".to_owned(),
                path: "downloads/w2.pdf".to_owned(),
                media_type: Some("application/pdf".to_owned()),
                size: Some(3),
                sha256: Some("00".repeat(32)),
                source: None,
            },
            AgentLine::Ask { key: "go".to_owned(), prompt: "Go on?".to_owned(), options: vec![] },
            AgentLine::Checkpoint { data: serde_json::json!({"page": 2}) },
            AgentLine::Usage { input_tokens: 1, output_tokens: 2, cost_micros: 3 },
            AgentLine::Done { result: None },
            AgentLine::Failed { reason: "the portal refused the login".to_owned() },
        ]);
        insta::assert_json_snapshot!([
            ServerLine::Start {
                mission: MissionId(uuid::Uuid::from_u128(1)),
                title: "Retrieve".to_owned(),
                incarnation: 2,
                input: serde_json::json!({}),
                secret: None,
                checkpoint: Some(serde_json::json!({"page": 2})),
            },
            ServerLine::Message {
                id: MessageId(uuid::Uuid::from_u128(2)),
                from: "olga".to_owned(),
                text: "hurry".to_owned()
            },
            ServerLine::Answer {
                key: "go".to_owned(),
                option: None,
                text: Some("yes".to_owned()),
                by: "olga".to_owned()
            },
            ServerLine::Pause,
            ServerLine::Resume,
            ServerLine::Cancel { reason: "cancelled by olga".to_owned() },
            ServerLine::Refused { line: "document".to_owned(), reason: "no such file".to_owned() },
        ]);
    }
}
