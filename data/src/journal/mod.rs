//! The journal: the only writer of the store, and how the histories of missions are read back.
//!
//! One thread commits. It takes all that waits, makes it one batch with one sync,
//! and tells everyone afterwards. It never waits for more: what comes when it is
//! idle goes down at once, and batches grow with the load by themselves.

mod history;
mod queue;
mod record;
mod snapshot;
mod stats;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::Future,
    io,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    thread::{self, JoinHandle},
};

use flightdeck_protocol::MissionId;
use tokio::sync::oneshot;

use self::queue::{Entry, Queue, Work};
use crate::store::{Store, StoreError, Write};

pub use self::{
    history::{History, HistoryError, Page, Replayed},
    record::{FIRST_HASH, MAX_RECORD, Record, RecordError, SealedRecord},
    snapshot::Snapshot,
    stats::JournalStats,
};

/// The bounds of a journal.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// How many entries may wait; one more is refused.
    pub queue_entries: usize,
    /// How many bytes may wait. One entry alone may be longer than this.
    pub queue_bytes: usize,
    /// How many entries are committed together at most.
    pub batch_entries: usize,
    /// How many bytes are committed together at most, unless one entry is longer.
    pub batch_bytes: usize,
    /// Up to how many bytes neighbouring records of a mission are stored as one value.
    pub chunk_bytes: usize,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            queue_entries: 16_384,
            queue_bytes: 64 * 1024 * 1024,
            batch_entries: 2_048,
            batch_bytes: 4 * 1024 * 1024,
            chunk_bytes: 64 * 1024,
        }
    }
}

/// Why the journal did not do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// As much waits as may wait; nothing was done.
    #[error("the journal is full; nothing was done, try again later")]
    Full,
    /// The journal has stopped; nothing was done.
    #[error("the journal has stopped; nothing was done")]
    Closed,
    /// A part of the entry is too large to be stored; nothing was done.
    #[error("a write of the entry is too large: {0}")]
    TooLarge(Arc<StoreError>),
    /// The commit failed.
    #[error("the commit failed: {0}")]
    Store(Arc<StoreError>),
}

/// Learns what became of a mission's submissions.
///
/// It is called on the journal's thread: it must be quick and must not block.
pub trait CommitSink: Send + Sync + 'static {
    /// The submissions up to ticket `up_to` are on disk; or all those after the
    /// last that was reported so are lost, and those to come of the same
    /// generation will be.
    fn committed(&self, up_to: u64, outcome: Result<(), Arc<StoreError>>);
}

/// What one decision of a mission puts down.
pub struct Submission {
    /// The mission.
    pub mission: MissionId,
    /// Which life of the mission it comes from, as [`Journal::take_over`] gave it.
    pub generation: u64,
    /// Its place among the generation's submissions: each has a higher one than the one before.
    pub ticket: u64,
    /// The events, if there are any: one record, or several where they do not fit into one.
    pub records: Vec<SealedRecord>,
    /// What goes down with them, atomically: index entries, a snapshot.
    pub extra: Vec<Write>,
    /// Who is told. All submissions of a generation name the same.
    pub sink: Arc<dyn CommitSink>,
}

impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission")
            .field("mission", &self.mission)
            .field("generation", &self.generation)
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}

/// A handle to the journal. The thread stops when the last one is dropped.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Closer>,
}

/// What the handles share with each other and not with the thread.
struct Closer {
    queue: Arc<Queue>,
    generations: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Journal {
    /// Starts the thread that writes to `store`.
    pub fn start(store: Arc<dyn Store>, options: JournalOptions) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(options));
        let thread = thread::Builder::new().name("journal".to_owned()).spawn({
            let queue = Arc::clone(&queue);
            move || writer::run(store.as_ref(), &queue)
        })?;
        let shared = Closer { queue, generations: AtomicU64::new(0), thread: Mutex::new(Some(thread)) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Queues a mission's submission; its sink is told what became of it. Never blocks.
    pub fn submit(&self, submission: Submission) -> Result<(), JournalError> {
        check(&submission.extra)?;
        self.shared.queue.push(Entry::from(submission))
    }

    /// Whether the queue is less than half full. Whoever can refuse work does so
    /// without it, so that the rest is left to those who cannot.
    pub fn has_room(&self) -> bool {
        self.shared.queue.has_room()
    }

    /// Queues `writes` that belong to no mission's history, as one atomic unit.
    ///
    /// They are queued when this is called, not when the future is first polled,
    /// and dropping the future does not take them back.
    pub fn write(&self, writes: Vec<Write>) -> impl Future<Output = Result<(), JournalError>> + Send + use<> {
        let (done, outcome) = oneshot::channel();
        let queued = check(&writes).and_then(|()| self.shared.queue.push(Entry::new(Work::Write { writes, done })));
        async move {
            queued?;
            outcome.await.unwrap_or(Err(JournalError::Closed))
        }
    }

    /// Begins a new life of a mission, and gives the generation that its submissions are to carry.
    ///
    /// A mission that is started again awaits this before it reads the store: then
    /// everything that an earlier life of it had queued is down or has failed, and
    /// whatever that life still submits is refused.
    pub fn take_over(&self, mission: MissionId) -> impl Future<Output = Result<u64, JournalError>> + Send + use<> {
        let (done, outcome) = oneshot::channel();
        let generation = 1 + self.shared.generations.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let queued = self.shared.queue.push(Entry::new(Work::TakeOver { mission, generation, done }));
        async move {
            queued?;
            outcome.await.unwrap_or(Err(JournalError::Closed))?;
            Ok(generation)
        }
    }

    /// What the journal has done so far, and what waits.
    pub fn stats(&self) -> JournalStats {
        self.shared.queue.stats()
    }

    /// Takes nothing more, commits what waits, and returns when the thread has ended. Blocks.
    pub fn shutdown(&self) {
        self.shared.queue.close();
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the journal's thread had panicked");
        }
    }
}

fn check(writes: &[Write]) -> Result<(), JournalError> {
    writes.iter().try_for_each(Write::check).map_err(|error| JournalError::TooLarge(Arc::new(error)))
}
