//! Ids: a UUIDv7 (RFC 9562) in a type of its own for each kind of thing.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id: time-ordered and random.
            pub fn fresh() -> Self {
                Self(Uuid::now_v7())
            }

            /// The sixteen bytes of the id, as they stand in storage keys.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

ids! {
    /// A mission.
    MissionId;
    /// A step of a mission's plan.
    StepId;
    /// An entry of a mission's activity log.
    ActivityId;
    /// A document of a mission.
    DocumentId;
    /// A message between a person and a mission's agent.
    MessageId;
    /// A question or an approval that waits for a person.
    ApprovalId;
    /// A person.
    UserId;
    /// An organization: people and missions of different ones never meet.
    OrganizationId;
    /// A sign-in, kept over token renewals until it is revoked.
    SessionId;
    /// One connection of a client; a sign-in may have many.
    ConnectionId;
    /// One accepted command; the events that follow from it name it as their cause.
    CommandId;
}
