//! What an outbox holds for each watch of its session, whatever is watched.

use std::sync::Arc;

use bytes::Bytes;
use flightdeck_protocol::{
    Fault, MissionId, OrganizationId,
    operations::{WatchKind, WatchView},
};
use futures_util::future::LocalBoxFuture;

use super::{Harm, Place, hub::HubHandle};

/// What watchers are woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// One mission.
    Mission(MissionId),
    /// An organization's missions, as lists show them.
    Missions(OrganizationId),
    /// What waits for the people of an organization.
    Inbox(OrganizationId),
}

impl Topic {
    /// What a watch of it is of.
    pub fn kind(self) -> WatchKind {
        match self {
            Self::Mission(_) => WatchKind::Mission,
            Self::Missions(_) => WatchKind::Missions,
            Self::Inbox(_) => WatchKind::Inbox,
        }
    }
}

/// Where the news of a topic is: shared by all threads.
pub trait Source: Send + Sync {
    /// The thread of `hub` looks now; what comes next wakes it again.
    fn looked(&self, hub: &HubHandle);
}

/// One watch: a cursor into a [`Source`], read when its socket has room.
pub trait Subscription {
    /// What it is woken for.
    fn topic(&self) -> Topic;

    /// Where its news is.
    fn source(&self) -> Arc<dyn Source>;

    /// The next thing to be sent for it.
    fn next(&mut self) -> Next;

    /// How it stands, for admins; `sub` is its name.
    fn view(&self, sub: &str) -> WatchView;

    /// Its place among the people who watch the same, where they are shown to each other.
    fn place(&self) -> Option<&Place> {
        None
    }
}

/// What comes next for a watch.
pub enum Next {
    /// The parts of one text frame, in order.
    Frame(Vec<Bytes>),
    /// The same, and what is to go wrong with it.
    Harmed(Harm, Vec<Bytes>),
    /// Nothing, until it is woken.
    Nothing,
    /// Something must be read first. It is asked again when that is done; a fault ends it.
    Load(LocalBoxFuture<'static, Result<(), Fault>>),
    /// Nothing any more, for this reason.
    End(Fault),
}
