//! What can be asked of a mission, in the imperative.

use flightdeck_protocol::{
    OrganizationId,
    lines::AgentLine,
    operations::{
        ActivityAdd, ApprovalReply, MessageSend, MissionNew, MissionUpdate, StepAdd, StepMove, StepRef, StepUpdate,
    },
};
use serde_json::Value;

/// A request to change a mission.
#[derive(Clone, Debug)]
pub enum Command {
    /// Makes the mission, in an organization. Only the first command of a mission can be this.
    Create(OrganizationId, MissionNew),
    /// Changes what describes it.
    Update(MissionUpdate),
    /// Deletes it.
    Delete,
    /// Starts it.
    Start,
    /// Holds it.
    Pause,
    /// Lets it go on.
    Resume,
    /// Ends it as done, with what came of it.
    Complete(Option<Value>),
    /// Calls it off, for a reason.
    Cancel(Option<String>),
    /// Adds a step.
    AddStep(StepAdd),
    /// Changes a step.
    UpdateStep(StepUpdate),
    /// Moves a step.
    MoveStep(StepMove),
    /// Removes a step.
    RemoveStep(StepRef),
    /// Logs an activity.
    LogActivity(ActivityAdd),
    /// Sends a message to the agent.
    SendMessage(MessageSend),
    /// Answers what the agent asked.
    AnswerApproval(ApprovalReply),
    /// From or about the agent.
    Agent(AgentCommand),
}

/// What the agent asks, or the server on its behalf.
#[derive(Clone, Debug)]
pub enum AgentCommand {
    /// There is a place for the agent to run: begin its next run.
    Begin,
    /// Run `incarnation` printed a line (a document's line comes as [`AgentCommand::Deliver`]).
    Say {
        /// Which run of the agent.
        incarnation: u32,
        /// What it printed.
        line: AgentLine,
    },
    /// Run `incarnation` delivered a document whose bytes are kept.
    Deliver {
        /// Which run of the agent.
        incarnation: u32,
        /// The document.
        delivered: Delivered,
    },
    /// The process of run `incarnation` is gone.
    Exit {
        /// Which run of the agent.
        incarnation: u32,
        /// How it ended, in a sentence.
        outcome: String,
        /// The last of its standard error.
        stderr: Option<String>,
        /// Whether it is the agent's own doing, and counts towards giving up.
        by_itself: bool,
    },
    /// The agent kind cannot be run on this server.
    CannotRun {
        /// Why, in a sentence.
        reason: String,
    },
}

/// A file that an agent delivered, as it was found to be.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// The document's name.
    pub name: String,
    /// The media type that the content has.
    pub media_type: String,
    /// The size in bytes.
    pub size: u64,
    /// The SHA-256 of the content, in lower-case hex.
    pub sha256: String,
    /// Where it came from, as the agent says.
    pub source: Option<String>,
    /// Whether the agent had said what it must be, and it is.
    pub verified: bool,
}
