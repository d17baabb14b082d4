//! A mission: one piece of work, from its summary in a list to the whole of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Activity, Approval, Author, Document, Message, Step};
use crate::{
    Timestamp,
    ids::{MissionId, OrganizationId},
};

/// Where a mission is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissionStatus {
    /// Made, and not started.
    Pending,
    /// Started, and its agent waits for a place to run.
    Queued,
    /// Being worked on.
    Running,
    /// Held up until a person answers.
    Waiting,
    /// Held up on purpose.
    Paused,
    /// Ended: done.
    Completed,
    /// Ended: not achieved.
    Failed,
    /// Ended: called off by a person.
    Cancelled,
}

impl MissionStatus {
    /// Whether the mission has ended; nothing starts it again.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Whether the mission is under way: started and neither held on purpose nor ended.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Waiting)
    }

    /// The status as on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How urgent a mission is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// When there is time.
    Low,
    /// As it comes.
    #[default]
    Normal,
    /// Before others.
    High,
    /// Before everything.
    Urgent,
}

/// What a mission has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Tokens read by models.
    pub input_tokens: u64,
    /// Tokens written by models.
    pub output_tokens: u64,
    /// Money, in millionths of a US dollar.
    pub cost_micros: u64,
}

/// What a mission's agent process is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// There is no process.
    #[default]
    Stopped,
    /// A process runs.
    Running,
    /// The process ended by itself and is started again after a pause.
    Restarting,
}

/// A mission's agent, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentView {
    /// The agent kind, as set up on the server.
    pub kind: String,
    /// What its process is doing.
    pub state: AgentState,
    /// Which run of it this is, or was: 0 before the first.
    pub incarnation: u32,
    /// When it last saved how far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_at: Option<Timestamp>,
}

/// A mission in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MissionSummary {
    /// Its id.
    pub id: MissionId,
    /// The organization that it belongs to.
    pub organization: OrganizationId,
    /// What it is about.
    pub title: String,
    /// What sort of mission it is, in the organization's own words.
    #[serde(rename = "type")]
    pub mission_type: String,
    /// Where it is in its life.
    pub status: MissionStatus,
    /// Why it is there, where that needs saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// How urgent it is.
    pub priority: Priority,
    /// How far it is, in percent: from the plan, unless the agent says.
    pub progress: u8,
    /// Who owns it.
    pub owner: Author,
    /// The agent kind that works on it; absent where people do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was first started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// When it is expected to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_at: Option<Timestamp>,
    /// The position of the last event that changed this summary.
    pub seq: u64,
}

/// A mission, whole: the fold of its events up to `seq`.
///
/// Lists that grow without end (activity, messages) stand here with their
/// newest entries alone; `activity.list` and `message.list` page through them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Mission {
    /// Its id.
    pub id: MissionId,
    /// The organization that it belongs to.
    pub organization: OrganizationId,
    /// What it is about.
    pub title: String,
    /// What sort of mission it is, in the organization's own words.
    #[serde(rename = "type")]
    pub mission_type: String,
    /// Where it is in its life.
    pub status: MissionStatus,
    /// Why it is there, where that needs saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// How urgent it is.
    pub priority: Priority,
    /// How far it is, in percent: from the plan, unless the agent says.
    pub progress: u8,
    /// Whether the agent said how far it is.
    #[serde(default)]
    pub progress_reported: bool,
    /// Who owns it.
    pub owner: Author,
    /// The template that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What the agent is given to work with.
    pub input: Value,
    /// What came of it, as the agent or a person says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// The agent that works on it; absent where people do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentView>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was first started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// When it is expected to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_at: Option<Timestamp>,
    /// When anything in it last changed.
    pub updated_at: Timestamp,
    /// The position of its last event.
    pub seq: u64,
    /// The plan.
    pub plan: Vec<Step>,
    /// The newest entries of the activity log, oldest first.
    pub activity: Vec<Activity>,
    /// How many entries the activity log has.
    pub activity_count: u64,
    /// The newest messages, oldest first.
    pub messages: Vec<Message>,
    /// The documents.
    pub documents: Vec<Document>,
    /// What was asked of people.
    pub approvals: Vec<Approval>,
    /// What has been used.
    pub usage: Usage,
}

impl Mission {
    /// The mission as it stands in a list.
    pub fn summary(&self) -> MissionSummary {
        MissionSummary {
            id: self.id,
            organization: self.organization,
            title: self.title.clone(),
            mission_type: self.mission_type.clone(),
            status: self.status,
            status_reason: self.status_reason.clone(),
            priority: self.priority,
            progress: self.progress,
            owner: self.owner.clone(),
            agent: self.agent.as_ref().map(|agent| agent.kind.clone()),
            created_at: self.created_at,
            started_at: self.started_at,
            completed_at: self.completed_at,
            estimated_at: self.estimated_at,
            seq: self.seq,
        }
    }
}
