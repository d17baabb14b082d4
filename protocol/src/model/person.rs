//! People, their roles and their organization.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    ids::{OrganizationId, UserId},
};

/// What a person may do; the operations table says which role may call what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, people included.
    Admin,
    /// Makes missions, runs them and steers them.
    Officer,
    /// What an officer does, and deletes missions.
    Manager,
    /// Reads, writes to agents, and answers what they ask.
    Approver,
    /// Reads.
    Viewer,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 5] = [Role::Admin, Role::Officer, Role::Manager, Role::Approver, Role::Viewer];

    /// The role's name, as on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Officer => "officer",
            Self::Manager => "manager",
            Self::Approver => "approver",
            Self::Viewer => "viewer",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| format!("{text:?} is no role; take one of admin, officer, manager, approver, viewer"))
    }
}

/// A person with an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// The person's id.
    pub id: UserId,
    /// The organization that the person belongs to.
    pub organization: Organization,
    /// The name to sign in with: unique on the server, compared without case.
    pub username: String,
    /// The name to show.
    pub name: String,
    /// The e-mail address, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What the person may do.
    pub role: Role,
    /// When the account was made.
    pub created_at: Timestamp,
    /// Whether the account may be used; an admin closes and opens it.
    #[serde(default = "active")]
    pub active: bool,
}

fn active() -> bool {
    true
}

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name: unique on the server, compared without case.
    pub name: String,
}
