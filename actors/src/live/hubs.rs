//! The hubs of all socket threads: what every session is to hear goes through here.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use flightdeck_data::people::AccessChange;
use flightdeck_protocol::{Fault, OrganizationId, SessionId, UserId, notification::Close};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{Advice, Roster, hub::HubHandle};

/// How many rosters are made at once; whoever wants one more is refused.
const ROSTERS: usize = 4;

/// Counters of changes. So many that a change of one person's makes few others look who they are.
const COUNTERS: usize = 1024;

/// The hubs of all socket threads.
pub struct Hubs {
    all: Mutex<Vec<HubHandle>>,
    /// Count the changes of what people may do. People and sign-ins have theirs by their ids, and share it with some.
    changes: Box<[AtomicU64]>,
    rosters: Semaphore,
}

impl Default for Hubs {
    fn default() -> Self {
        let changes = (0..COUNTERS).map(|_| AtomicU64::new(0)).collect();
        Self { all: Mutex::default(), changes, rosters: Semaphore::new(ROSTERS) }
    }
}

impl Hubs {
    /// Makes a thread's hub known.
    pub(crate) fn add(&self, hub: HubHandle) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(hub);
    }

    /// Something changed of what people may do: every session hears of it, also
    /// those that ask for nothing. Waits for nobody.
    pub(crate) fn access_changed(&self, change: AccessChange) {
        self.count(&change);
        let change = Arc::new(change);
        self.all().iter().for_each(|hub| hub.access_changed(change.clone()));
    }

    /// First of all, so that whatever those whom it concerns ask for from now on is looked at anew.
    pub(crate) fn count(&self, change: &AccessChange) {
        let count = |id: Uuid| {
            self.counter(id).fetch_add(1, Ordering::SeqCst);
        };
        match change {
            AccessChange::Ended(sessions) => sessions.iter().for_each(|session| count(session.0)),
            AccessChange::EndedAll(person) => count(person.0),
            AccessChange::Person(person) => count(person.id.0),
        }
    }

    /// How many changes there were that may concern `person`, and how many that may concern their sign-in `session`.
    pub(crate) fn changes(&self, person: UserId, session: SessionId) -> (u64, u64) {
        let count = |id: Uuid| self.counter(id).load(Ordering::SeqCst);
        (count(person.0), count(session.0))
    }

    fn counter(&self, id: Uuid) -> &AtomicU64 {
        // Ids end in chance.
        &self.changes[(id.as_u128() % COUNTERS as u128) as usize]
    }

    /// Says goodbye to all sessions.
    pub(crate) fn close_all(&self, close: Close) {
        self.all().iter().for_each(|hub| hub.close_all(close));
    }

    /// Has one in `waves_left` of all sessions leave, of those that have not been asked to yet.
    pub(crate) fn part(&self, waves_left: usize, advice: Advice) {
        self.all().iter().for_each(|hub| hub.part(waves_left, advice));
    }

    /// The live sessions of an organization.
    ///
    /// # Errors
    /// When too many rosters are being made, or a thread is too busy to answer.
    pub(crate) async fn roster(&self, organization: OrganizationId) -> Result<Roster, Fault> {
        let Ok(_place) = self.rosters.try_acquire() else {
            return Err(Fault::overloaded("the line of those who list sessions", 500));
        };
        Roster::of(&self.all(), organization).await
    }

    fn all(&self) -> Vec<HubHandle> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
