//! The hubs of all socket threads: what every session is to hear goes through here.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use flightdeck_data::people::AccessChange;
use flightdeck_protocol::{Fault, OrganizationId, notification::Close};
use tokio::sync::Semaphore;

use super::{Advice, Roster, hub::HubHandle};

/// How many rosters are made at once; whoever wants one more is refused.
const ROSTERS: usize = 4;

/// The hubs of all socket threads.
pub struct Hubs {
    all: Mutex<Vec<HubHandle>>,
    /// Counts the changes of what people may do.
    changes: AtomicU64,
    rosters: Semaphore,
}

impl Default for Hubs {
    fn default() -> Self {
        Self { all: Mutex::default(), changes: AtomicU64::new(0), rosters: Semaphore::new(ROSTERS) }
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
        // First of all, so that whatever is asked for from now on is looked at anew.
        self.changes.fetch_add(1, Ordering::SeqCst);
        let change = Arc::new(change);
        self.all().iter().for_each(|hub| hub.access_changed(change.clone()));
    }

    /// How many changes there were of what people may do.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
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
