//! What waits for a person: approvals, and the ends of missions that are theirs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ApprovalOption;
use crate::{Timestamp, ids::MissionId};

/// What sort of thing waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InboxKind {
    /// An agent asks something. For everyone who may answer, until somebody has.
    Approval,
    /// A mission is done. For its owner, until it is dismissed.
    MissionCompleted,
    /// A mission has failed. For its owner, until it is dismissed.
    MissionFailed,
}

/// Something that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InboxItem {
    /// Its id; an approval's item has the approval's.
    pub id: Uuid,
    /// What sort of thing it is.
    pub kind: InboxKind,
    /// The mission that it is about.
    pub mission: MissionId,
    /// The mission's title.
    pub title: String,
    /// Since when it waits.
    pub at: Timestamp,
    /// What is asked, or why the mission has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// What may be chosen; empty where the answer is free text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<ApprovalOption>,
}
