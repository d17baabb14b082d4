//! What a mission has decided and the journal has yet to confirm.

use std::sync::Arc;

use actix::Addr;
use bytes::Bytes;
use flightdeck_data::{
    journal::CommitSink,
    mission::Effect,
    store::{StoreError, Write},
};
use flightdeck_protocol::{Fault, Timestamp};
use tokio::sync::oneshot;

use super::{
    Done, MissionActor,
    lists::ListNews,
    messages::{Committed, Release},
};
use crate::{live::News, once::Claim};

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
    Command(Asker, Result<Done, Fault>),
    /// To the reader of an agent's output.
    Taken(Option<oneshot::Sender<()>>),
}

/// Who sent a command.
pub(crate) struct Asker {
    pub(crate) to: oneshot::Sender<Result<Done, Fault>>,
    /// Where the answer is to be kept for who asks again.
    pub(crate) keep: Option<Keep>,
}

/// How an answer is kept.
pub(crate) struct Keep {
    pub(crate) claim: Claim,
    /// The answer as the caller gets it, which is JSON.
    pub(crate) json: fn(&Done) -> Result<Bytes, Fault>,
}

impl Asker {
    fn tell(self, answer: Result<Done, Fault>) {
        // Who asks again is let in first: it is no later than the answer.
        match self.keep {
            Some(keep) if answer.is_ok() => keep.claim.confirm(),
            _ => {}
        }
        // Whoever asked may have gone; that is no concern of the mission's.
        drop(self.to.send(answer));
    }
}

impl Answer {
    /// What keeps the answer, where it is to be kept: it goes down with what was decided at `at`.
    pub(crate) fn keep(&mut self, at: Timestamp) -> Result<Option<Write>, Fault> {
        let Self::Command(Asker { keep: Some(keep), .. }, Ok(done)) = self else { return Ok(None) };
        let json = (keep.json)(done)?;
        let write = keep.claim.keep(json.clone(), at)?;
        done.kept = Some(json);
        Ok(Some(write))
    }

    /// Gives the answer.
    pub(crate) fn give(self) {
        match self {
            Self::Command(asker, answer) => asker.tell(answer),
            Self::Taken(to) => drop(to.map(|to| to.send(()))),
        }
    }

    /// Says that it came to nothing.
    pub(crate) fn fail(self, fault: &Fault) {
        match self {
            Self::Command(asker, _) => asker.tell(Err(fault.clone())),
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
