//! Parameters and answers about activity, messages, approvals and documents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    ids::{ApprovalId, CommandId, DocumentId, MissionId, StepId},
    model::{Activity, ActivityType, Document, Message},
};

/// A command was carried out, and what follows from it is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ack {
    /// The mission.
    pub mission: MissionId,
    /// The position of the mission's newest event once the command was carried out.
    pub seq: u64,
    /// The command's id: the events that follow from it name it as their cause.
    pub command: CommandId,
    /// The id of what was made, if something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
}

/// An activity to log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivityAdd {
    /// The mission.
    pub mission: MissionId,
    /// What kind of thing it tells of.
    #[serde(default, rename = "type")]
    pub activity_type: ActivityType,
    /// A sentence of 1 to 4,000 characters.
    pub message: String,
    /// Anything more, 16 KiB of JSON at most, and 64 arrays and objects within each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// The step that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
}

/// Which activities to list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivityQuery {
    /// The mission.
    pub mission: MissionId,
    /// Those of this type alone.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub activity_type: Option<ActivityType>,
    /// Those of this step alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
    /// Those of the author of this name alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// How many at most: 1 to 200, 50 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Those before this position: the `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// A page of the activity log, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActivityPage {
    /// The entries. A page may hold fewer than asked for and still have a `next`.
    pub items: Vec<Activity>,
    /// What to give as `before` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageSend {
    /// The mission.
    pub mission: MissionId,
    /// The text: 1 to 16,000 characters.
    pub text: String,
}

/// Which messages to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageQuery {
    /// The mission.
    pub mission: MissionId,
    /// How many at most: 1 to 200, 50 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Those before this position: the `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// A page of messages, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessagePage {
    /// The messages. A page may hold fewer than asked for and still have a `next`.
    pub items: Vec<Message>,
    /// What to give as `before` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// An answer to what an agent asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalReply {
    /// The mission.
    pub mission: MissionId,
    /// What is answered.
    pub approval: ApprovalId,
    /// The chosen option; needed where there are options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
    /// What is written, 16,000 characters at most; needed where there are no options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A mission's documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DocumentList {
    /// The documents, in the order in which they first came.
    pub items: Vec<Document>,
}

/// A document by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentRef {
    /// The document.
    pub document: DocumentId,
}

/// The answer of a download is the document's bytes; this describes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Download {
    /// What is given.
    pub document: Document,
}
