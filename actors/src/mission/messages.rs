//! What a mission actor can be told.

use std::sync::Arc;

use actix::Message;
use flightdeck_data::{
    mission::{Command, Delivered, State},
    store::StoreError,
};
use flightdeck_protocol::{CommandId, MissionId, Timestamp, lines::AgentLine, model::Author};
use tokio::sync::oneshot;

use super::{LastUse, commit::Asker};
use crate::agent::Exit;

/// Carry out a command. The answer comes when what follows from it is on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Execute {
    pub(crate) command: Command,
    pub(crate) by: Author,
    /// The command's id, and the operation that was called.
    pub(crate) cause: (CommandId, &'static str),
    /// The position after which nothing may have happened.
    pub(crate) if_seq: Option<u64>,
    pub(crate) asker: Asker,
}

/// What is done with an answer, once everything that it tells of is on disk.
pub(crate) type Release = Box<dyn FnOnce() + Send>;

/// Look at the mission, and give what was seen once it is on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Look {
    pub(crate) look: Box<dyn FnOnce(&State) -> Release + Send>,
}

/// The journal has everything up to a ticket, or lost it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Committed {
    pub(crate) up_to: u64,
    pub(crate) outcome: Result<(), Arc<StoreError>>,
}

/// What an agent's process says. The answer, if asked for, comes when it is on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FromAgent {
    /// Which run of the agent.
    pub incarnation: u32,
    /// What it said.
    pub said: Said,
    /// Told when it is taken: an agent is read no faster than it can be written down.
    pub taken: Option<oneshot::Sender<()>>,
}

/// What an agent's process says.
pub enum Said {
    /// It printed a line.
    Line(AgentLine),
    /// It delivered a file, which is kept.
    Delivered(Delivered),
    /// It is saying something: pieces of streams, each with the stream's name. Never stored.
    Words(Vec<(String, String)>),
    /// It printed a line that cannot be taken: its type, and why.
    Refused(String, String),
    /// It has run for as long as a run may.
    Overtime {
        /// For how long, in seconds.
        seconds: u64,
    },
    /// It printed nothing for so long.
    Silent {
        /// For how long, in seconds.
        seconds: u64,
    },
    /// Its process is gone; the last of its standard error, and whether that was its own doing.
    Gone {
        /// How it ended.
        exit: Exit,
        /// The last of its standard error.
        stderr: Option<String>,
        /// Why the server ended it, where the server did for a fault of the agent's.
        fault: Option<String>,
        /// Whether the server had asked it to stop.
        asked_to: bool,
    },
}

/// Leave memory, if nothing is under way and nobody is about to begin something.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Passivate {
    /// When the mission was last used.
    pub(crate) last_use: LastUse,
    /// If that was before this.
    pub(crate) before: Timestamp,
}

/// Panic. For drills.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Panic;

/// A mission actor is gone; its supervisor decides what follows.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Ended {
    /// The mission.
    pub mission: MissionId,
    /// Which life of the actor.
    pub life: u64,
    /// Why.
    pub why: Why,
}

/// Why a mission actor is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was left alone for long enough.
    Passivated,
    /// It panicked.
    Panicked,
    /// The journal lost what it had decided.
    CommitFailed,
    /// The server stops.
    Stopped,
}

/// The server stops: end the agent, and answer when nothing is under way any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Stop {
    pub(crate) stopped: oneshot::Sender<()>,
}
