//! What a mission has decided and the journal has yet to confirm.

use std::sync::Arc;

use actix::Addr;
use flightdeck_data::{journal::CommitSink, mission::Effect, store::StoreError};
use flightdeck_protocol::Fault;
use tokio::sync::oneshot;

use super::{
    Done, MissionActor,
    lists::ListNews,
    messages::{Committed, Release},
};
use crate::live::News;

/// One thing that waits for the journal, or behind something that does.
pub(crate) enum InFlight {
    /// Events, and what follows from them.
    Decided {
        /// The journal's confirmation of this ticket is the sign to go on.
        ticket: u64,
        /// The events as watchers get them.
        events: Vec<News>,
        /// What lists are told.
        news: Option<Box<ListNews>>,
        /// What is to be done in the world.
        effects: Vec<Effect>,
        /// The answer.
        answer: Answer,
    },
    /// An answer that tells of nothing new, and yet must not overtake what it may tell of.
    Behind(Answer),
    /// Something that somebody saw, likewise.
    Seen(Release),
}

/// An answer and whom it goes to.
pub(crate) enum Answer {
    /// To whoever sent a command.
    Command(oneshot::Sender<Result<Done, Fault>>, Result<Done, Fault>),
    /// To the reader of an agent's output.
    Taken(Option<oneshot::Sender<()>>),
}

impl Answer {
    /// Gives the answer. Whoever asked may have gone; that is no concern of the mission's.
    pub(crate) fn give(self) {
        match self {
            Self::Command(to, answer) => drop(to.send(answer)),
            Self::Taken(to) => drop(to.map(|to| to.send(()))),
        }
    }

    /// Says that it came to nothing.
    pub(crate) fn fail(self, fault: &Fault) {
        match self {
            Self::Command(to, _) => drop(to.send(Err(fault.clone()))),
            Self::Taken(to) => drop(to),
        }
    }
}

/// Tells an actor, from the journal's thread, how far the journal is.
pub(crate) struct Confirmations(pub(crate) Addr<MissionActor>);

impl CommitSink for Confirmations {
    fn committed(&self, up_to: u64, outcome: Result<(), Arc<StoreError>>) {
        // At most one a batch, so the mailbox's bound need not count these.
        self.0.do_send(Committed { up_to, outcome });
    }
}
