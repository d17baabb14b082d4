//! Parameters and answers about presence, about the live sessions that there are, and about faults on purpose.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Timestamp,
    ids::{ConnectionId, DocumentId, MissionId, SessionId, StepId, UserId},
};

/// What a person looks at in a mission; with neither, the mission as such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LooksAt {
    /// A step of its plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
    /// A document of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<DocumentId>,
}

/// What others are to see of a person in a mission that the session watches: the fields that are present.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PresenceSet {
    /// The mission.
    pub mission: MissionId,
    /// What the person looks at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks_at: Option<LooksAt>,
    /// The position up to which the person has seen the mission. It never goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_seq: Option<u64>,
    /// Whether the person is writing. Taken back by itself after 10 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typing: Option<bool>,
    /// Where the person points, in the clients' own terms, 1 KiB of JSON and 64 levels at most; null for nowhere.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Value>,
}

/// Tells a field that is null from one that is absent.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The live sessions of the organization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionList {
    /// The sessions, the oldest first.
    pub items: Vec<SessionView>,
    /// How many more there are, where there are too many to list.
    #[serde(default)]
    pub others: u32,
}

/// A live session, as an admin sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionView {
    /// The connection.
    pub connection: ConnectionId,
    /// The sign-in that it belongs to.
    pub session: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// The user name.
    pub name: String,
    /// Since when it is open.
    pub opened_at: Timestamp,
    /// When anything last came from the client.
    pub heard_at: Timestamp,
    /// Answers and notices that wait to be sent.
    pub waiting_messages: u64,
    /// Their size in bytes.
    pub waiting_bytes: u64,
    /// What was sent since it was opened, in messages.
    pub sent_messages: u64,
    /// The same in bytes.
    pub sent_bytes: u64,
    /// What it watches.
    pub watches: Vec<WatchView>,
}

/// A watch of a live session, as an admin sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WatchView {
    /// The client's name for it.
    pub sub: String,
    /// What is watched.
    pub kind: WatchKind,
    /// The mission, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mission: Option<MissionId>,
    /// How many events, or changes of a list, the client has yet to be sent.
    pub behind: u64,
}

/// What a watch is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WatchKind {
    /// One mission.
    Mission,
    /// A list of missions.
    Missions,
    /// The person's inbox.
    Inbox,
}

/// What is to go wrong for those who watch a mission. Replaces the plan before; an empty one ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// The mission.
    pub mission: MissionId,
    /// The faults, 100 at most.
    pub faults: Vec<PlannedFault>,
}

/// Something that is to go wrong with a `mission.events` frame. Has one of `at_seq` and `at_frame`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedFault {
    /// What goes wrong.
    pub action: FaultAction,
    /// With the frame that holds this event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_seq: Option<u64>,
    /// With this events frame of a watch, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_frame: Option<u64>,
    /// How long it is held back, in milliseconds, 60,000 at most. For `delay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// How often in all, over all watches; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// What goes wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultAction {
    /// It is not sent, and the next one is.
    Drop,
    /// It is held back, and everything of the session behind it.
    Delay,
    /// It is sent twice.
    Duplicate,
    /// The connection ends in its stead, without a goodbye.
    Kill,
}
