//! Readings of the same list that many want at once: one reads, and the others have what it found.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use flightdeck_data::listing::{Place, Wanted};
use tokio::sync::Semaphore;

use super::list_watch::Reading;

/// One list that several may watch. Whoever asks shares a reading that begins after they asked with
/// all who asked before it begins: nobody is given what is older than their question.
pub struct Shared<T> {
    /// How many readings have begun.
    begun: AtomicU64,
    /// How many want one that has yet to begin, or to be taken.
    waiting: AtomicUsize,
    /// Held by whoever reads. The number of the newest reading, and what it found, for those who wait.
    found: tokio::sync::Mutex<Option<(u64, T)>>,
}

/// Whoever waits, until it is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { begun: AtomicU64::new(0), waiting: AtomicUsize::new(0), found: tokio::sync::Mutex::new(None) }
    }
}

impl<T: Clone> Shared<T> {
    /// What a reading finds that begins after this was called: `read`, once there is room among the
    /// `readers`, or that of another.
    pub(super) async fn read<F: Future<Output = T>>(&self, readers: &Semaphore, read: impl FnOnce() -> F) -> T {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let waits = Waits(&self.waiting);
        let before = self.begun.load(Ordering::SeqCst);
        // Whoever leaves off half way leaves their turn to the next.
        let mut found = self.found.lock().await;
        let shared = found.as_ref().filter(|(number, _)| *number > before).map(|(_, shared)| shared.clone());
        let value = match shared {
            Some(value) => value,
            None => {
                let place = readers.acquire().await;
                let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
                let value = read().await;
                drop(place);
                *found = Some((number, value.clone()));
                value
            }
        };
        drop(waits);
        // Whoever may still have it was waiting when it began.
        if self.waiting.load(Ordering::SeqCst) == 0 {
            *found = None;
        }
        value
    }
}

/// One list: of which board, what is wanted of it, and how much.
type Sort = (u64, Arc<Wanted>, usize);

/// The lists of missions that are watched.
#[derive(Default)]
pub(super) struct Lists(Mutex<HashMap<Sort, Weak<Shared<Reading<Place>>>>>);

impl Lists {
    /// The first `most` that are `wanted`, as they are on the board of this number.
    pub(super) fn of(&self, board: u64, wanted: &Arc<Wanted>, most: usize) -> Arc<Shared<Reading<Place>>> {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sort = (board, wanted.clone(), most);
        if let Some(shared) = lists.get(&sort).and_then(Weak::upgrade) {
            return shared;
        }
        lists.retain(|_, shared| shared.strong_count() > 0);
        let shared = Arc::default();
        lists.insert(sort, Arc::downgrade(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::{future::join_all, poll};
    use tokio::{sync::oneshot, task::yield_now};

    use super::*;

    #[tokio::test]
    async fn who_asks_before_a_reading_begins_shares_it_and_who_asks_later_has_another() {
        let (shared, readers) = (Shared::default(), Semaphore::new(2));
        let (truth, readings) = (Cell::new(0), Cell::new(0));
        let ask = async |_| {
            let asked = truth.get();
            let reading = async || {
                readings.set(readings.get() + 1);
                let read = truth.get();
                yield_now().await;
                read
            };
            let read = shared.read(&readers, reading).await;
            assert!(read >= asked, "older than the question");
        };
        join_all((0..1_000).map(ask)).await;
        assert_eq!(readings.get(), 2, "the first alone, and all who came meanwhile together");
        truth.set(1);
        join_all((0..10).map(ask)).await;
        assert_eq!(readings.get(), 4);
        assert!(shared.found.lock().await.is_none(), "nothing is kept for nobody");
    }

    #[tokio::test]
    async fn who_waits_for_room_is_joined() {
        let (shared, readers) = (Shared::default(), Semaphore::new(0));
        let readings = Cell::new(0);
        let ask = async |_| {
            let reading = async || readings.set(readings.get() + 1);
            shared.read(&readers, reading).await;
        };
        let mut first = Box::pin(ask(0));
        assert!(poll!(&mut first).is_pending());
        let mut others = Box::pin(join_all((0..9).map(ask)));
        assert!(poll!(&mut others).is_pending());
        readers.add_permits(1);
        first.await;
        others.await;
        assert_eq!(readings.get(), 1);
    }

    #[tokio::test]
    async fn who_leaves_off_half_way_holds_nobody_up() {
        let (shared, readers) = (Shared::default(), Semaphore::new(1));
        let (never, waits) = oneshot::channel::<u8>();
        let mut first = Box::pin(shared.read(&readers, async || waits.await.unwrap()));
        assert!(poll!(&mut first).is_pending());
        let mut second = Box::pin(shared.read(&readers, async || 2));
        assert!(poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(second.await, 2);
        drop(never);
        assert!(shared.found.lock().await.is_none());
    }

    #[test]
    fn a_list_that_nobody_has_is_forgotten() {
        let (lists, wanted) = (Lists::default(), Arc::new(Wanted::default()));
        let one = lists.of(1, &wanted, 10);
        assert!(Arc::ptr_eq(&one, &lists.of(1, &Arc::new(Wanted::default()), 10)));
        let others = [lists.of(2, &wanted, 10), lists.of(1, &wanted, 11)];
        assert!(others.iter().all(|other| !Arc::ptr_eq(&one, other)));
        drop((one, others));
        let _new = lists.of(3, &wanted, 10);
        assert_eq!(lists.0.lock().unwrap().len(), 1);
    }
}
