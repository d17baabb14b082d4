//! Events: what happened in a mission, for ever.
//!
//! Each is stored as the JSON that every watcher gets. A kind's name and the
//! meaning of its fields never change; a field may be added if it may be absent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Timestamp,
    ids::{ActivityId, ApprovalId, CommandId, DocumentId, MessageId, OrganizationId, StepId},
    model::{ActivityType, ApprovalOption, Author, DocumentStatus, MissionStatus, Priority, StepStatus},
};

/// An event with its place in the mission's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventFrame {
    /// Its place: from 1, without gaps, the same for everyone and for ever.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// Who caused it.
    pub by: Author,
    /// The command that it follows from, if it follows from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// The command that an event follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cause {
    /// The command's id, as its caller was told.
    pub command: CommandId,
    /// The operation that was called.
    pub operation: String,
}

/// What happened, in the past tense.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The mission was made. Always the first event, and only that.
    MissionCreated {
        /// The organization that it belongs to.
        organization: OrganizationId,
        /// What it is about.
        title: String,
        /// What sort of mission it is.
        #[serde(rename = "type")]
        mission_type: String,
        /// How urgent it is.
        priority: Priority,
        /// The agent kind that works on it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
        /// The template that it was made from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        template: Option<String>,
        /// What the agent is given to work with.
        input: Value,
        /// When it is expected to end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        estimated_at: Option<Timestamp>,
    },
    /// Some of what describes the mission changed: the fields that are present.
    MissionUpdated {
        /// The new title.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// The new sort.
        #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
        mission_type: Option<String>,
        /// The new priority.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        priority: Option<Priority>,
        /// The new input; the agent gets it at its next start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<Value>,
        /// The new expected end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        estimated_at: Option<Timestamp>,
    },
    /// The mission moved on in its life.
    StatusChanged {
        /// Where it was.
        from: MissionStatus,
        /// Where it is.
        to: MissionStatus,
        /// Why, where that needs saying.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// What came of the mission, where it was completed with a result.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Value>,
    },
    /// The mission was deleted. Nothing follows.
    MissionDeleted,
    /// The agent said how far it is.
    ProgressReported {
        /// In percent, 0 to 100.
        percent: u8,
    },
    /// The plan got a step.
    StepAdded {
        /// The step.
        step: StepId,
        /// The step that it is a part of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<StepId>,
        /// Its place among its siblings, from 0.
        position: u32,
        /// The agent's own name for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// What is to be done.
        title: String,
        /// How far it is.
        status: StepStatus,
        /// Who does it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assignee: Option<String>,
        /// What came of it, where it came with one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
    },
    /// A step changed: the fields that are present.
    StepUpdated {
        /// The step.
        step: StepId,
        /// The new title.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// The new status.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<StepStatus>,
        /// The new assignee.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assignee: Option<String>,
        /// The new result.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
    },
    /// A step, with everything under it, got another place in the plan.
    StepMoved {
        /// The step.
        step: StepId,
        /// The step that it is now a part of; absent at the top.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<StepId>,
        /// Its place among its new siblings, from 0, counted without itself.
        position: u32,
    },
    /// A step was removed with everything under it.
    StepRemoved {
        /// The step.
        step: StepId,
    },
    /// The activity log got an entry.
    ActivityLogged {
        /// Its id.
        activity: ActivityId,
        /// What kind of thing it tells of.
        #[serde(rename = "type")]
        activity_type: ActivityType,
        /// A sentence.
        message: String,
        /// Anything more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        details: Option<Value>,
        /// The step that it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<StepId>,
        /// The stream of live text that this is the whole of, and the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream: Option<String>,
    },
    /// Somebody wrote to the agent, or the agent to people.
    MessageSent {
        /// Its id.
        message: MessageId,
        /// The text.
        text: String,
    },
    /// A document came, or a new version of one.
    DocumentDelivered {
        /// Its id.
        document: DocumentId,
        /// The file's name.
        name: String,
        /// The version.
        version: u32,
        /// The media type that the content has.
        media_type: String,
        /// The size in bytes.
        size: u64,
        /// The SHA-256 of the content, in lower-case hex.
        sha256: String,
        /// Where it came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        /// How far it is.
        status: DocumentStatus,
    },
    /// The agent asked something of people.
    ApprovalRequested {
        /// Its id.
        approval: ApprovalId,
        /// The agent's own name for it.
        key: String,
        /// What is asked.
        prompt: String,
        /// What may be chosen.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        options: Vec<ApprovalOption>,
    },
    /// A person answered.
    ApprovalAnswered {
        /// What was answered.
        approval: ApprovalId,
        /// The chosen option.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        option: Option<String>,
        /// What was written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// Something that was asked needs no answer any more: the mission ended.
    ApprovalWithdrawn {
        /// What was withdrawn.
        approval: ApprovalId,
    },
    /// Something was used, since the last report.
    UsageReported {
        /// Tokens read by models.
        input_tokens: u64,
        /// Tokens written by models.
        output_tokens: u64,
        /// Money, in millionths of a US dollar.
        cost_micros: u64,
    },
    /// A process of the agent was started.
    AgentStarted {
        /// Which run of the agent this is, from 1.
        incarnation: u32,
    },
    /// The agent's process ended.
    AgentExited {
        /// Which run of the agent it was.
        incarnation: u32,
        /// How it ended, in a sentence.
        outcome: String,
        /// The last that it wrote to its standard error.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stderr: Option<String>,
        /// In how many milliseconds it is started again; absent where it is not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restart_in_ms: Option<u64>,
    },
    /// The agent saved how far it is; a later run of it starts from there.
    CheckpointSaved {
        /// What the agent saved, for itself alone.
        data: Value,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UserId;
    use uuid::Uuid;

    fn frame(event: Event) -> EventFrame {
        EventFrame {
            seq: 7,
            at: Timestamp::from_millis(1_770_000_000_123),
            by: Author::Person { id: UserId(Uuid::from_u128(2)), name: "olga".to_owned() },
            cause: Some(Cause { command: CommandId(Uuid::from_u128(3)), operation: "step.add".to_owned() }),
            event,
        }
    }

    fn every_kind() -> Vec<Event> {
        let id = Uuid::from_u128(9);
        let text = |text: &str| Some(text.to_owned());
        vec![
            Event::MissionCreated {
                organization: id.into(),
                title: "Retrieve the 2025 tax documents".to_owned(),
                mission_type: "retrieval".to_owned(),
                priority: Priority::High,
                agent: text("retrieve"),
                template: None,
                input: serde_json::json!({"portal": "http://127.0.0.1"}),
                estimated_at: None,
            },
            Event::MissionUpdated {
                title: text("Another title"),
                mission_type: None,
                priority: Some(Priority::Low),
                input: None,
                estimated_at: Some(Timestamp::from_millis(0)),
            },
            Event::StatusChanged {
                from: MissionStatus::Running,
                to: MissionStatus::Completed,
                reason: text("done"),
                result: Some(serde_json::json!({"documents": 3})),
            },
            Event::MissionDeleted,
            Event::ProgressReported { percent: 40 },
            Event::StepAdded {
                step: id.into(),
                parent: Some(Uuid::from_u128(8).into()),
                position: 1,
                key: text("login"),
                title: "Log in".to_owned(),
                status: StepStatus::Running,
                assignee: text("agent"),
                result: None,
            },
            Event::StepUpdated {
                step: id.into(),
                title: None,
                status: Some(StepStatus::Completed),
                assignee: None,
                result: text("logged in"),
            },
            Event::StepMoved { step: id.into(), parent: None, position: 0 },
            Event::StepRemoved { step: id.into() },
            Event::ActivityLogged {
                activity: id.into(),
                activity_type: ActivityType::Success,
                message: "found 3 documents".to_owned(),
                details: Some(serde_json::json!({"count": 3})),
                step: Some(id.into()),
                stream: text("answer-1"),
            },
            Event::MessageSent { message: id.into(), text: "please hurry".to_owned() },
            Event::DocumentDelivered {
                document: id.into(),
                name: "w2.pdf".to_owned(),
                version: 1,
                media_type: "application/pdf".to_owned(),
                size: 1234,
                sha256: "00".repeat(32),
                source: text("http://127.0.0.1/files/w2.pdf"),
                status: DocumentStatus::Verified,
            },
            Event::ApprovalRequested {
                approval: id.into(),
                key: "submit".to_owned(),
                prompt: "Submit the form?".to_owned(),
                options: vec![ApprovalOption { id: "yes".to_owned(), label: "Yes".to_owned() }],
            },
            Event::ApprovalAnswered { approval: id.into(), option: text("yes"), text: None },
            Event::ApprovalWithdrawn { approval: id.into() },
            Event::UsageReported { input_tokens: 10, output_tokens: 20, cost_micros: 30 },
            Event::AgentStarted { incarnation: 1 },
            Event::AgentExited {
                incarnation: 1,
                outcome: "it was killed by signal 9".to_owned(),
                stderr: text("out of memory"),
                restart_in_ms: Some(500),
            },
            Event::CheckpointSaved { data: serde_json::json!({"page": 2}) },
        ]
    }

    #[test]
    fn every_kind_on_the_wire() {
        let frames: Vec<EventFrame> = every_kind().into_iter().map(frame).collect();
        insta::assert_json_snapshot!(frames);
    }

    #[test]
    fn every_kind_comes_back_as_it_went() {
        for event in every_kind() {
            let json = serde_json::to_string(&frame(event.clone())).unwrap();
            assert_eq!(serde_json::from_str::<EventFrame>(&json).unwrap(), frame(event));
        }
    }
}
