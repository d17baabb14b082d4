//! Questions and approvals: what an agent asks of people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Author;
use crate::{Timestamp, ids::ApprovalId};

/// One of the answers that may be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalOption {
    /// What the answer names it by.
    pub id: String,
    /// What people read.
    pub label: String,
}

/// Whether an answer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalStatus {
    /// It waits for an answer.
    Pending,
    /// It was answered by a person.
    Answered,
    /// The mission ended before anyone answered.
    Withdrawn,
}

/// Something that an agent asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// The agent's own name for it; asking again under the same key changes nothing.
    pub key: String,
    /// What is asked.
    pub prompt: String,
    /// What may be chosen; empty where the answer is free text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<ApprovalOption>,
    /// Whether an answer is there.
    pub status: ApprovalStatus,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// Who asked.
    pub asked_by: Author,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<ApprovalAnswer>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalAnswer {
    /// The chosen option.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
    /// What was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Who answered.
    pub by: Author,
}
