//! Parameters and answers about missions as such.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Timestamp,
    ids::MissionId,
    model::{MissionStatus, MissionSummary, Priority},
};

/// A new mission.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MissionNew {
    /// What it is about: 1 to 200 characters.
    pub title: String,
    /// What sort of mission it is, in your own words, 64 characters at most; `general` where absent.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub mission_type: Option<String>,
    /// How urgent it is.
    #[serde(default)]
    pub priority: Priority,
    /// The agent kind that is to work on it, as set up on the server; absent where people do the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What the agent is given to work with: a JSON object of 32 KiB and 64 levels at most. Name secrets in it, never write them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// The name of the template that it follows, for people to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// When it is expected to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_at: Option<Timestamp>,
}

/// Which missions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MissionQuery {
    /// Those in this status alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<MissionStatus>,
    /// Those of this sort alone.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub mission_type: Option<String>,
    /// How many at most: 1 to 200, 50 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Those made before this one: the `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<MissionId>,
}

/// A page of missions, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MissionPage {
    /// The missions.
    pub items: Vec<MissionSummary>,
    /// What to give as `before` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<MissionId>,
}

/// A mission by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MissionRef {
    /// The mission.
    pub mission: MissionId,
}

/// What to change of a mission: the fields that are present.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MissionUpdate {
    /// The mission.
    pub mission: MissionId,
    /// The new title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The new sort.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub mission_type: Option<String>,
    /// The new priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The new input; the agent gets it at its next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// The new expected end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_at: Option<Timestamp>,
}

/// A mission that is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MissionComplete {
    /// The mission.
    pub mission: MissionId,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// A mission to call off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MissionCancel {
    /// The mission.
    pub mission: MissionId,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The mission is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    /// What was deleted.
    pub mission: MissionId,
    /// The position of its last event.
    pub seq: u64,
}
