//! Counters of the journal.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a journal has done since it was started, and what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Batches that went down, each with one sync.
    pub batches: u64,
    /// Batches that failed.
    pub failed_batches: u64,
    /// Entries in the batches that went down: submissions and writes.
    pub entries: u64,
    /// Records among them.
    pub records: u64,
    /// Values that the records were stored as.
    pub chunks: u64,
    /// Bytes of keys and values that went down.
    pub bytes: u64,
    /// The most entries that went down together.
    pub largest_batch_entries: u64,
    /// The most bytes that went down together.
    pub largest_batch_bytes: u64,
    /// Entries that wait now.
    pub queued_entries: u64,
    /// Bytes that wait now.
    pub queued_bytes: u64,
}

/// The counters as the journal's thread keeps them.
#[derive(Default)]
pub(super) struct Counters {
    batches: AtomicU64,
    failed_batches: AtomicU64,
    entries: AtomicU64,
    records: AtomicU64,
    chunks: AtomicU64,
    bytes: AtomicU64,
    largest_batch_entries: AtomicU64,
    largest_batch_bytes: AtomicU64,
}

/// What was in one batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BatchSize {
    pub(super) entries: u64,
    pub(super) records: u64,
    pub(super) chunks: u64,
    pub(super) bytes: u64,
}

impl Counters {
    pub(super) fn batch_committed(&self, size: BatchSize) {
        self.batches.fetch_add(1, Relaxed);
        self.entries.fetch_add(size.entries, Relaxed);
        self.records.fetch_add(size.records, Relaxed);
        self.chunks.fetch_add(size.chunks, Relaxed);
        self.bytes.fetch_add(size.bytes, Relaxed);
        self.largest_batch_entries.fetch_max(size.entries, Relaxed);
        self.largest_batch_bytes.fetch_max(size.bytes, Relaxed);
    }

    pub(super) fn batch_failed(&self) {
        self.failed_batches.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self, queued_entries: usize, queued_bytes: usize) -> JournalStats {
        JournalStats {
            batches: self.batches.load(Relaxed),
            failed_batches: self.failed_batches.load(Relaxed),
            entries: self.entries.load(Relaxed),
            records: self.records.load(Relaxed),
            chunks: self.chunks.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            largest_batch_entries: self.largest_batch_entries.load(Relaxed),
            largest_batch_bytes: self.largest_batch_bytes.load(Relaxed),
            queued_entries: queued_entries as u64,
            queued_bytes: queued_bytes as u64,
        }
    }
}
