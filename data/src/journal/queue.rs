//! The bounded queue between everyone who writes and the one thread that commits.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use flightdeck_protocol::MissionId;
use tokio::sync::oneshot;

use super::{
    JournalError, JournalOptions, SealedRecord, Submission,
    stats::{Counters, JournalStats},
};
use crate::store::Write;

/// What an entry costs beside the bytes it carries, so that many empty ones are bounded too.
const ENTRY_OVERHEAD: usize = 64;

/// Tells the caller of a write what became of it.
pub(super) type Done = oneshot::Sender<Result<(), JournalError>>;

/// Something for the journal's thread to do.
pub(super) enum Work {
    /// A mission's decision.
    Submit(Submission),
    /// Writes of anyone else.
    Write { writes: Vec<Write>, done: Done },
    /// A mission begins a new life: nothing older than `generation` is taken from now on.
    TakeOver { mission: MissionId, generation: u64, done: Done },
}

/// Work with its size.
pub(super) struct Entry {
    pub(super) work: Work,
    pub(super) bytes: usize,
}

impl Entry {
    pub(super) fn new(work: Work) -> Self {
        let bytes = match &work {
            Work::Submit(submission) => {
                submission.records.iter().map(SealedRecord::size).sum::<usize>()
                    + submission.extra.iter().map(Write::size).sum::<usize>()
            }
            Work::Write { writes, .. } => writes.iter().map(Write::size).sum(),
            Work::TakeOver { .. } => 0,
        };
        Self { work, bytes: bytes + ENTRY_OVERHEAD }
    }
}

impl From<Submission> for Entry {
    fn from(submission: Submission) -> Self {
        Self::new(Work::Submit(submission))
    }
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    bytes: usize,
    closed: bool,
}

/// The queue. Full means: the entry is refused and nothing was done.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    pub(super) options: JournalOptions,
    pub(super) counters: Counters,
}

impl Queue {
    pub(super) fn new(options: JournalOptions) -> Self {
        Self { waiting: Mutex::default(), changed: Condvar::new(), options, counters: Counters::default() }
    }

    /// Whether it is less than half full, by entries and by bytes.
    pub(super) fn has_room(&self) -> bool {
        let waiting = self.lock();
        waiting.entries.len() < self.options.queue_entries / 2 && waiting.bytes < self.options.queue_bytes / 2
    }

    pub(super) fn push(&self, entry: Entry) -> Result<(), JournalError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(JournalError::Closed);
        }
        let too_many = waiting.entries.len() >= self.options.queue_entries;
        let too_long = !waiting.entries.is_empty() && waiting.bytes + entry.bytes > self.options.queue_bytes;
        if too_many || too_long {
            return Err(JournalError::Full);
        }
        waiting.bytes += entry.bytes;
        waiting.entries.push_back(entry);
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for something to do, and takes as much of it as fits in a batch; `None` when all is done and the queue closed.
    pub(super) fn take_batch(&self) -> Option<Vec<Entry>> {
        let mut waiting = self.lock();
        while waiting.entries.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(entry) = waiting.entries.front() {
            let full = batch.len() >= self.options.batch_entries || bytes + entry.bytes > self.options.batch_bytes;
            if full && !batch.is_empty() {
                break;
            }
            bytes += entry.bytes;
            batch.extend(waiting.entries.pop_front());
        }
        waiting.bytes -= bytes;
        Some(batch)
    }

    /// Refuses everything from now on; what waits is still taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Closes the queue and throws away what waits; whoever waits for it sees the journal closed.
    pub(super) fn abandon(&self) -> Vec<Entry> {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.bytes = 0;
        waiting.entries.drain(..).collect()
    }

    pub(super) fn stats(&self) -> JournalStats {
        let waiting = self.lock();
        self.counters.read(waiting.entries.len(), waiting.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
