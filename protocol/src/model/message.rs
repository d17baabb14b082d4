//! Messages between people and a mission's agent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Author;
use crate::{Timestamp, ids::MessageId};

/// A message that somebody wrote into a mission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The position of the event that sent it.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who wrote it.
    pub by: Author,
    /// The text.
    pub text: String,
}
