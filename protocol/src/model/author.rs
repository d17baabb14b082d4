//! Who caused something.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::UserId;

/// Who caused an event: a person, one run of an agent, or the server itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Author {
    /// A person.
    Person {
        /// Who.
        id: UserId,
        /// The person's user name at the time.
        name: String,
    },
    /// A mission's agent.
    Agent {
        /// The agent kind.
        kind: String,
        /// Which run of the agent: 1 for the first process, one more for each restart.
        incarnation: u32,
    },
    /// The server.
    System,
}

impl Author {
    /// The author's name for people to read.
    pub fn name(&self) -> &str {
        match self {
            Self::Person { name, .. } => name,
            Self::Agent { kind, .. } => kind,
            Self::System => "system",
        }
    }
}
