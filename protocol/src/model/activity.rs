//! A mission's activity log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Author;
use crate::{
    Timestamp,
    ids::{ActivityId, StepId},
};

/// What kind of thing an activity tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActivityType {
    /// Something happened.
    #[default]
    Info,
    /// Something was achieved.
    Success,
    /// Something is odd and the work goes on.
    Warning,
    /// Something went wrong.
    Error,
    /// A line that the agent printed without saying what it is.
    Log,
    /// What the agent says.
    Text,
}

/// An entry of a mission's activity log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Activity {
    /// Its id.
    pub id: ActivityId,
    /// The position of the event that logged it.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who logged it.
    pub by: Author,
    /// What kind of thing it tells of.
    #[serde(rename = "type")]
    pub activity_type: ActivityType,
    /// A sentence.
    pub message: String,
    /// Anything more, as the author has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// The step that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
}
