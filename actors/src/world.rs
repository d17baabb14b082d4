//! What all actors share: the journal, the documents, the agents' places, the bounds.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use flightdeck_data::{
    answers::Answers,
    documents::Documents,
    inbox::Inbox,
    index::Index,
    journal::{History, Journal},
    mission::RestartPolicy,
};
use flightdeck_protocol::{Code, Fault};
use tokio::sync::Semaphore;

use crate::{
    agent::Keeper,
    live::{Boards, FeedRules, Past},
    secrets::Secrets,
};

/// What all actors share.
pub struct World {
    /// The only writer of the store.
    pub journal: Journal,
    /// What was written of missions.
    pub history: History,
    /// The same for those who watch, a few readings at a time.
    pub past: Past,
    /// The index over missions.
    pub index: Index,
    /// What waits for people.
    pub inbox: Inbox,
    /// Answers to calls that had names.
    pub answers: Answers,
    /// Where changes of lists are put up.
    pub boards: Boards,
    /// The bytes of documents.
    pub documents: Documents,
    /// What agents are told in confidence.
    pub secrets: Secrets,
    /// The agents that can be run, by name.
    pub kinds: HashMap<String, AgentKind>,
    /// Places for agents' processes.
    pub places: Arc<Semaphore>,
    /// What starts agents' processes, and ends them with the server.
    pub keeper: Keeper,
    /// Where the agents' workspaces are: one folder a mission.
    pub workspaces: PathBuf,
    /// The bounds.
    pub tuning: Tuning,
}

impl World {
    /// Reads the store by `read`, which may take long and so leaves this thread.
    /// What was read is told once it is on disk: the store may show a batch that is not there yet.
    ///
    /// # Errors
    /// When it fails, or the journal does not confirm.
    pub async fn read<T, E>(&self, read: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Fault>
    where
        T: Send + 'static,
        E: std::fmt::Display + Send + 'static,
    {
        let seen = tokio::task::spawn_blocking(read).await.map_err(|error| {
            tracing::error!(%error, "reading the store failed");
            Fault::new(Code::Internal, "the server failed to read what was asked for")
        })?;
        let seen = seen.map_err(|error| unreadable(&error))?;
        self.journal.write(Vec::new()).await.map_err(|error| unreadable(&error))?;
        Ok(seen)
    }
}

pub(crate) fn unreadable(error: &dyn std::fmt::Display) -> Fault {
    tracing::error!(%error, "the store cannot be read");
    Fault::new(Code::StoreUnavailable, "the store cannot be read now; ask again later").after(1_000)
}

/// An agent that can be run.
#[derive(Clone, Debug)]
pub struct AgentKind {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// What its environment has beside the little that every agent's has.
    pub env: Vec<(String, String)>,
    /// How long one run may take.
    pub wall: Duration,
    /// How long it may print nothing.
    pub silence: Duration,
}

/// The bounds of missions and agents.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Events since the last snapshot that make another one worth it.
    pub snapshot_events: u64,
    /// Bytes of events since the last snapshot that make another one worth it.
    pub snapshot_bytes: usize,
    /// What a mission keeps in memory for its watchers.
    pub feed: FeedRules,
    /// How long a mission may be left alone before it leaves memory.
    pub mission_idle: Duration,
    /// Commands of one mission that may wait for the journal.
    pub in_flight: usize,
    /// Bytes of a line that an agent prints.
    pub line_bytes: usize,
    /// Lines a second that are taken from one agent.
    pub lines_per_second: u32,
    /// Lines that are taken at once from an agent that was quiet.
    pub line_burst: u32,
    /// How long each stage of stopping an agent may take.
    pub stop_grace: Duration,
    /// How long an agent may take to hold still before it is frozen.
    pub pause_grace: Duration,
    /// When an agent that ends by itself is started again.
    pub restart: RestartPolicy,
    /// Answers to calls with names that are kept for one person.
    pub named_calls: usize,
    /// Whether drills are allowed.
    pub drills: bool,
    /// Whether faults may be planned.
    pub faults: bool,
}
