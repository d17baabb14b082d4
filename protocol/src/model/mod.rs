//! The shapes of things: people, missions and what a mission owns.

mod activity;
mod apply;
mod approval;
mod author;
mod document;
mod inbox;
mod message;
mod mission;
mod person;
mod plan;

pub use activity::{Activity, ActivityType};
pub use apply::{RECENT_ACTIVITY, RECENT_MESSAGES};
pub use approval::{Approval, ApprovalAnswer, ApprovalOption, ApprovalStatus};
pub use author::Author;
pub use document::{Document, DocumentStatus};
pub use inbox::{InboxItem, InboxKind};
pub use message::Message;
pub use mission::{AgentState, AgentView, Mission, MissionStatus, MissionSummary, Priority, Usage};
pub use person::{Organization, Person, Role};
pub use plan::{Step, StepStatus};
