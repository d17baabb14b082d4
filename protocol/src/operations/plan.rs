//! Parameters about the steps of a plan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{MissionId, StepId},
    model::StepStatus,
};

/// A new step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepAdd {
    /// The mission.
    pub mission: MissionId,
    /// What is to be done: 1 to 500 characters.
    pub title: String,
    /// The step that it is a part of; at the top where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<StepId>,
    /// Its place among its siblings, from 0; last where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Who does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
}

/// What to change of a step: the fields that are present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepUpdate {
    /// The mission.
    pub mission: MissionId,
    /// The step.
    pub step: StepId,
    /// The new title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The new status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StepStatus>,
    /// The new assignee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// The new result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

/// Where to move a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepMove {
    /// The mission.
    pub mission: MissionId,
    /// The step.
    pub step: StepId,
    /// The step that it is to be a part of; the top where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<StepId>,
    /// Its place among its new siblings, from 0, counted without itself; last where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
}

/// A step by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepRef {
    /// The mission.
    pub mission: MissionId,
    /// The step.
    pub step: StepId,
}
