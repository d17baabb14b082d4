//! What Flightdeck says: operations, events, errors, ids and envelopes of profile `flightdeck.v1`.
//!
//! This crate is shared by the server, its agents and its clients. It holds
//! shapes and rules about shapes, and no behaviour: no socket, no store, no
//! clock. The one exception is the [`client`] module behind the feature of the
//! same name, which speaks the protocol from the other side.

#[cfg(feature = "client")]
pub mod client;
pub mod describe;
pub mod envelope;
pub mod event;
pub mod fault;
pub mod ids;
pub mod lines;
pub mod model;
pub mod notification;
pub mod operations;
mod time;

pub use event::{Cause, Event, EventFrame};
pub use fault::{Code, Fault, Kind};
pub use ids::{
    ActivityId, ApprovalId, CommandId, ConnectionId, DocumentId, MessageId, MissionId, OrganizationId, SessionId,
    StepId, UserId,
};
pub use operations::{Call, Descriptor, Operation};
pub use time::Timestamp;

/// The name of the protocol, given in the opening reply.
pub const PROFILE: &str = "flightdeck.v1";
