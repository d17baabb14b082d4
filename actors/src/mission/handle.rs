//! The way to a mission's actor: cheap to copy, and all that others see of it.

use std::sync::Arc;

use actix::{Addr, dev::SendError};
use bytes::Bytes;
use flightdeck_data::mission::{Command, State};
use flightdeck_protocol::{
    Code, CommandId, Fault, OrganizationId, SessionId, Timestamp,
    model::{Author, MissionSummary, Person},
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    Execute, LastUse, Look, MissionActor, Panic,
    commit::{Asker, Keep},
};
use crate::live::Feed;

/// Who calls, known for certain.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The person.
    pub person: Person,
    /// The sign-in.
    pub session: SessionId,
    /// Until when the proof of it is good.
    pub expires_at: Timestamp,
}

impl Caller {
    /// The caller as the author of events.
    pub fn author(&self) -> Author {
        Author::Person { id: self.person.id, name: self.person.username.clone() }
    }
}

/// A command was carried out, and what follows from it is on disk.
#[derive(Debug)]
pub struct Done {
    /// The command.
    pub command: CommandId,
    /// The position of the mission's newest event then.
    pub seq: u64,
    /// What was made, if something was.
    pub made: Option<Uuid>,
    /// The mission then; not after it was deleted.
    pub summary: Box<MissionSummary>,
    /// The answer, where it is kept for who asks again.
    pub(crate) kept: Option<Bytes>,
}

/// What guards a command.
#[derive(Default)]
pub(crate) struct Guard {
    /// The position after which nothing may have happened.
    pub(crate) if_seq: Option<u64>,
    /// Where the answer is to be kept.
    pub(crate) keep: Option<Keep>,
}

/// A running mission.
#[derive(Clone)]
pub struct MissionHandle {
    pub(crate) addr: Addr<MissionActor>,
    pub(crate) life: u64,
    pub(crate) last_use: LastUse,
    /// What watchers read.
    pub feed: Arc<Feed>,
}

impl MissionHandle {
    /// The organization that the mission belongs to.
    pub fn organization(&self) -> OrganizationId {
        self.feed.organization
    }

    /// Whether it takes messages, now and for as long as a mission may be left alone; if not, it is to be found anew.
    pub(crate) fn is_there(&self) -> bool {
        self.addr.connected() && self.last_use.is_now()
    }

    /// Carries out `command` for `caller`, who called `operation`; done when it is on disk.
    ///
    /// # Errors
    /// The mission's refusal, or why it could not be asked.
    pub(crate) async fn execute(
        &self,
        command: Command,
        caller: &Caller,
        operation: &'static str,
        guard: Guard,
    ) -> Result<Done, Fault> {
        let (to, answered) = oneshot::channel();
        let (cause, Guard { if_seq, keep }) = ((CommandId::fresh(), operation), guard);
        self.send(Execute { command, by: caller.author(), cause, if_seq, asker: Asker { to, keep } })?;
        answered.await.map_err(|_| restarting())?
    }

    /// Looks at the mission: `look` is called in the actor, and what it gives
    /// comes back once everything that it may have seen is on disk.
    ///
    /// # Errors
    /// When the mission could not be asked.
    pub async fn look<T: Send + 'static>(&self, look: impl FnOnce(&State) -> T + Send + 'static) -> Result<T, Fault> {
        let (answer, answered) = oneshot::channel();
        let look = Box::new(move |state: &State| {
            let seen = look(state);
            Box::new(move || {
                // Whoever asked may have gone.
                let _ = answer.send(seen);
            }) as super::messages::Release
        });
        self.send(Look { look })?;
        answered.await.map_err(|_| restarting())
    }

    /// Makes the actor panic. For drills.
    pub(crate) fn panic(&self) -> Result<(), Fault> {
        self.send(Panic)
    }

    fn send<M>(&self, message: M) -> Result<(), Fault>
    where
        M: actix::Message<Result = ()> + Send + 'static,
        MissionActor: actix::Handler<M>,
    {
        if !self.last_use.is_now() {
            return Err(restarting());
        }
        self.addr.try_send(message).map_err(|error| match error {
            SendError::Full(_) => Fault::overloaded("the mission's mailbox", 100),
            SendError::Closed(_) => restarting(),
        })
    }
}

pub(crate) fn restarting() -> Fault {
    Fault::new(
        Code::MissionRestarting,
        "the mission is being restarted; look whether your command was carried out, and repeat it if not",
    )
    .after(200)
}
