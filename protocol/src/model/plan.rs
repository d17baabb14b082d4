//! A mission's plan: a tree of steps with stable ids.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Author;
use crate::{Timestamp, ids::StepId};

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not begun.
    Pending,
    /// Being worked on.
    Running,
    /// Held up by something outside.
    Waiting,
    /// Done.
    Completed,
    /// Tried and not achieved.
    Failed,
    /// Left out on purpose.
    Skipped,
    /// It was being worked on when the agent's process ended: nobody knows how far it came.
    Unknown,
}

impl StepStatus {
    /// Whether nothing more is to be done for the step.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Skipped)
    }
}

/// A step of a plan.
///
/// A plan is a list of these. The children of a step are those that name it as
/// `parent`; among siblings the order of the list is the order of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// The step's id, for as long as the mission lives.
    pub id: StepId,
    /// The step that it is a part of; absent at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<StepId>,
    /// The agent's own name for the step, by which it updates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What is to be done.
    pub title: String,
    /// How far it is.
    pub status: StepStatus,
    /// Who does it, in words; the agent where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// What came of it, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// When work on it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// Who last changed it.
    pub changed_by: Author,
}
