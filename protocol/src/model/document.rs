//! A mission's documents; their bytes are kept by content.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Author;
use crate::{
    Timestamp,
    ids::{DocumentId, MissionId},
};

/// How far a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DocumentStatus {
    /// Its bytes are here, and what the agent claimed of them holds.
    Verified,
    /// Its bytes are here, and nothing was claimed of them that could be checked.
    Received,
}

/// A document that a mission has: the newest version of the file of that name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// Its id, the same for every version.
    pub id: DocumentId,
    /// The mission that it belongs to.
    pub mission: MissionId,
    /// The file's name, unique in the mission, without folders.
    pub name: String,
    /// 1 for the first bytes delivered under this name, one more for each change of them.
    pub version: u32,
    /// The media type that the content has (not the one that somebody claimed).
    pub media_type: String,
    /// The size in bytes.
    pub size: u64,
    /// The SHA-256 of the content, in lower-case hex.
    pub sha256: String,
    /// Where it came from, as the deliverer says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How far it is.
    pub status: DocumentStatus,
    /// When this version came.
    pub delivered_at: Timestamp,
    /// Who delivered this version.
    pub delivered_by: Author,
}
