//! The past: what feeds have forgotten, read from the journal, a few readings at a time.

use std::{
    fmt::Display,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use flightdeck_data::journal::{History, HistoryError};
use flightdeck_protocol::MissionId;
use tokio::sync::Semaphore;

use super::ring::{Filling, Lack};

/// How many histories are read at once for those who watch. The others wait for their turn, one reading a watch.
const READERS: usize = 4;

/// Reads missions' histories for those who watch. Clones share their turns.
#[derive(Clone)]
pub struct Past {
    history: History,
    turns: Arc<Semaphore>,
    readings: Arc<AtomicU64>,
}

impl Past {
    /// Reads `history`.
    pub fn new(history: History) -> Self {
        Self { history, turns: Arc::new(Semaphore::new(READERS)), readings: Arc::default() }
    }

    /// How many readings there were.
    pub fn readings(&self) -> u64 {
        self.readings.load(Ordering::Relaxed)
    }

    /// Reads off this thread, once it is its turn; nothing if by then nobody `wants` it any more.
    pub(super) async fn read<T, E>(
        &self,
        wants: impl FnOnce() -> bool,
        read: impl FnOnce(&History) -> Result<T, E> + Send + 'static,
    ) -> Result<Option<T>, String>
    where
        T: Send + 'static,
        E: Display + Send + 'static,
    {
        let turn = self.turns.clone().acquire_owned().await.map_err(|error| error.to_string())?;
        if !wants() {
            return Ok(None);
        }
        self.readings.fetch_add(1, Ordering::Relaxed);
        let history = self.history.clone();
        let read = tokio::task::spawn_blocking(move || {
            // It is over when the reading is, also where nobody waits for it any more.
            let _turn = turn;
            read(&history)
        });
        read.await.map_err(|error| error.to_string())?.map(Some).map_err(|error| error.to_string())
    }

    /// What a ring lacks, newest first.
    pub(super) async fn before(&self, mission: MissionId, lack: Lack) -> Result<Vec<Bytes>, String> {
        let read = move |history: &History| {
            let mut filling = Filling::of(lack);
            history.read_back(mission, lack.before, usize::MAX, |_, json| {
                if filling.take(json) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            Ok::<_, HistoryError>(filling.newest_first)
        };
        self.read(|| true, read).await.map(Option::unwrap_or_default)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{Condvar, Mutex},
    };

    use flightdeck_data::store::MemoryStore;
    use futures_util::future::join_all;

    use super::*;

    /// Counts who is inside, and lets nobody out before so many came.
    #[derive(Default)]
    struct Room {
        inside: Mutex<(usize, VecDeque<usize>)>,
        came: Condvar,
    }

    impl Room {
        fn visit(&self, company: usize) -> Result<(), HistoryError> {
            let mut inside = self.inside.lock().unwrap();
            inside.0 += 1;
            let now = inside.0;
            inside.1.push_back(now);
            self.came.notify_all();
            drop(self.came.wait_while(inside, |inside| inside.1.len() < company).unwrap());
            self.inside.lock().unwrap().0 -= 1;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_few_read_at_once_and_the_others_wait() {
        let past = Past::new(History::new(Arc::new(MemoryStore::default())));
        let room = Arc::new(Room::default());
        let reading = |_| {
            let room = room.clone();
            past.read(|| true, move |_| room.visit(READERS))
        };
        let read = join_all((0..50).map(reading)).await;
        assert!(read.iter().all(|read| read == &Ok(Some(()))));
        let inside = room.inside.lock().unwrap();
        assert_eq!((inside.1.iter().max(), past.readings()), (Some(&READERS), 50));
    }

    #[tokio::test]
    async fn who_has_gone_by_their_turn_costs_no_reading() {
        let past = Past::new(History::new(Arc::new(MemoryStore::default())));
        let read = past.read(|| false, |_| Ok::<_, HistoryError>(())).await;
        assert_eq!((read, past.readings()), (Ok(None), 0));
    }

    #[tokio::test]
    async fn a_reading_that_fails_leaves_its_turn_to_the_next() {
        let past = Past::new(History::new(Arc::new(MemoryStore::default())));
        for _ in 0..2 * READERS {
            assert!(past.read(|| true, |_| Err::<(), _>("no")).await.is_err());
            assert!(past.read(|| true, |_| -> Result<(), String> { panic!("a drill") }).await.is_err());
        }
    }
}
