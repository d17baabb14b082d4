//! The boards of all organizations: there while somebody watches, and no longer.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use flightdeck_data::inbox::Filed;
use flightdeck_protocol::{OrganizationId, model::MissionSummary};
use tokio::sync::Semaphore;

use super::{
    HubHandle, Topic,
    board::{Board, Change},
    sharing::Lists,
};

/// How many lists are read at once: a long one takes a core for a while.
const READERS: usize = 2;

/// What a list of missions shows of one.
pub type ShownMission = Arc<MissionSummary>;

/// The boards of all organizations.
pub struct Boards {
    /// The missions.
    pub missions: Shelf<ShownMission>,
    /// What waits for people.
    pub inbox: Shelf<Filed>,
    /// Room to read lists in.
    pub(super) readers: Arc<Semaphore>,
    /// The lists of missions that are watched, for those who watch the same.
    pub(super) lists: Lists,
}

/// The boards of one kind.
///
/// An organization has one while somebody watches. What happens without it is
/// found in the index: it is on disk before it would be put up.
pub struct Shelf<V> {
    topic: fn(OrganizationId) -> Topic,
    boards: Arc<RwLock<HashMap<OrganizationId, Arc<Board<V>>>>>,
}

/// A place before a board, until it is dropped.
pub(super) struct Post<V> {
    board: Arc<Board<V>>,
    organization: OrganizationId,
    boards: Arc<RwLock<HashMap<OrganizationId, Arc<Board<V>>>>>,
    hub: Option<HubHandle>,
}

impl Default for Boards {
    fn default() -> Self {
        Self {
            missions: Shelf::new(Topic::Missions),
            inbox: Shelf::new(Topic::Inbox),
            readers: Arc::new(Semaphore::new(READERS)),
            lists: Lists::default(),
        }
    }
}

impl Boards {
    /// Everyone of the organization who watches a list reads it anew: what was put up is not all that happened.
    pub fn refresh(&self, organization: OrganizationId) {
        self.missions.refresh(organization);
        self.inbox.refresh(organization);
    }
}

impl<V> Shelf<V> {
    fn new(topic: fn(OrganizationId) -> Topic) -> Self {
        Self { topic, boards: Arc::default() }
    }

    /// Puts up what changed in a list of the organization, if anyone watches; what changed it is on disk.
    pub fn publish(&self, organization: OrganizationId, change: Change<V>) {
        if let Some(board) = self.get(organization) {
            board.publish(change);
        }
    }

    /// Everyone who watches the organization's list reads it anew, with the rights that they have now.
    pub fn refresh(&self, organization: OrganizationId) {
        if let Some(board) = self.get(organization) {
            board.refresh();
        }
    }

    /// A place before the organization's board.
    pub(super) fn post(&self, organization: OrganizationId) -> Post<V> {
        let mut boards = write(&self.boards);
        let board = boards.entry(organization).or_insert_with(|| Arc::new(Board::new((self.topic)(organization))));
        board.hold();
        Post { board: board.clone(), organization, boards: self.boards.clone(), hub: None }
    }

    fn get(&self, organization: OrganizationId) -> Option<Arc<Board<V>>> {
        read(&self.boards).get(&organization).cloned()
    }
}

impl<V> Post<V> {
    pub(super) fn board(&self) -> &Arc<Board<V>> {
        &self.board
    }

    /// To be woken on the thread of `hub` from now on.
    ///
    /// A hub that is woken for what nobody on its thread watches yet never looks,
    /// so there must be no await between this and [`Outbox::watch`](super::Outbox::watch).
    pub(super) fn listen(&mut self, hub: &HubHandle) {
        self.board.listen(hub);
        self.hub = Some(hub.clone());
    }
}

impl<V> Drop for Post<V> {
    fn drop(&mut self) {
        let mut boards = write(&self.boards);
        if self.board.release(self.hub.as_ref()) {
            boards.remove(&self.organization);
        }
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_there_while_somebody_watches() {
        let boards = Boards::default();
        let organization = OrganizationId::fresh();
        assert!(boards.inbox.get(organization).is_none());
        let one = boards.inbox.post(organization);
        let other = boards.inbox.post(organization);
        assert!(Arc::ptr_eq(one.board(), other.board()));
        drop(one);
        assert!(boards.inbox.get(organization).is_some());
        drop(other);
        assert!(boards.inbox.get(organization).is_none());
    }
}
