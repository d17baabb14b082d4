//! Reading missions' histories: pages forward and back, and replay with every check.

use std::{
    fmt,
    ops::{Bound, ControlFlow},
    sync::Arc,
};

use bytes::Bytes;
use flightdeck_protocol::MissionId;
use uuid::Uuid;

use super::record::{CHUNK_VERSION, ChunkError, FIRST_HASH, Record, chunk_key, decode_chunk, seq_of_key};
use crate::store::{Direction, Space, Store, StoreError};

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// What is stored is not what was written.
    #[error("the history of mission {mission} is damaged at {seq}: {what}")]
    Damaged {
        /// The mission.
        mission: MissionId,
        /// The position from which on it cannot be read.
        seq: u64,
        /// What was found.
        what: String,
    },
    /// A newer version of this program wrote it.
    #[error(
        "the history of mission {mission} has format {found} at {seq} and this program knows {known}; run the version that wrote it, or a newer one"
    )]
    UnknownVersion {
        /// The mission.
        mission: MissionId,
        /// The position from which on it cannot be read.
        seq: u64,
        /// The version found.
        found: u8,
        /// The newest version that this program knows.
        known: u8,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A stretch of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Positions and events, in order and without gaps.
    pub events: Vec<(u64, Bytes)>,
    /// Where to go on, if there is more of what was asked for.
    pub next: Option<u64>,
}

/// How a replay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The position of the last event; what was given as `after` if nothing follows.
    pub last_seq: u64,
    /// The hash of the last record.
    pub last_hash: [u8; 32],
    /// The epoch of the last record that was replayed.
    pub epoch: Option<Uuid>,
    /// How many records were replayed.
    pub records: u64,
}

/// Reads what the journal wrote. Cheap to clone; every call blocks on the store.
#[derive(Clone)]
pub struct History {
    pub(super) store: Arc<dyn Store>,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").finish_non_exhaustive()
    }
}

/// Sees each chunk of a scan, undecoded, with the position that it begins with.
type VisitChunk<'a> = dyn FnMut(u64, &[u8]) -> Result<ControlFlow<()>, HistoryError> + 'a;

/// A record with its hash, as it comes out of a chunk.
type Hashed = (Record, [u8; 32]);

impl History {
    /// Reads from `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The events `from..=up_to`, until `max_bytes` are reached; at least one if there is one.
    ///
    /// `up_to` is the last position that was published: the store may show a batch
    /// before it is durable, and nobody may see that yet.
    pub fn read(&self, mission: MissionId, from: u64, up_to: u64, max_bytes: usize) -> Result<Page, HistoryError> {
        let from = from.max(1);
        let mut page = Page::default();
        let mut bytes = 0;
        self.walk(mission, from, |record, _| {
            for (seq, event) in (record.first_seq..).zip(&record.events).filter(|(seq, _)| *seq >= from) {
                if seq > up_to {
                    return Ok(ControlFlow::Break(()));
                }
                if !page.events.is_empty() && bytes + event.len() > max_bytes {
                    page.next = Some(seq);
                    return Ok(ControlFlow::Break(()));
                }
                bytes += event.len();
                page.events.push((seq, event.clone()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(page)
    }

    /// Shows `visit` up to `max_events` events before the position `before`, newest first.
    pub fn read_back(
        &self,
        mission: MissionId,
        before: u64,
        max_events: usize,
        mut visit: impl FnMut(u64, &Bytes) -> ControlFlow<()>,
    ) -> Result<(), HistoryError> {
        let (mut left, mut enough) = (max_events, false);
        let mut expected = None;
        self.scan_chunks(mission, (1, before), Direction::Backward, &mut |seq, bytes| {
            let records = read_chunk(mission, seq, bytes)?;
            for (record, _) in records.iter().rev() {
                let gap = expected.is_some_and(|expected| record.last_seq() != expected);
                if gap {
                    return Err(damaged(mission, record.last_seq() + 1, "the next events are missing"));
                }
                expected = Some(record.first_seq - 1);
                let newest_first = (0..=record.last_seq()).rev().zip(record.events.iter().rev());
                for (seq, event) in newest_first.filter(|(seq, _)| *seq < before) {
                    if left == 0 || visit(seq, event).is_break() {
                        enough = true;
                        return Ok(ControlFlow::Break(()));
                    }
                    left -= 1;
                }
            }
            Ok(if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        match expected {
            Some(seq) if seq > 0 && left > 0 && !enough => Err(damaged(mission, 1, "the beginning is missing")),
            _ => Ok(()),
        }
    }

    /// The position of the mission's last event; 0 if it has none.
    pub fn last_seq(&self, mission: MissionId) -> Result<u64, HistoryError> {
        let mut last = 0;
        self.scan_chunks(mission, (0, u64::MAX), Direction::Backward, &mut |seq, bytes| {
            if let Some((record, _)) = read_chunk(mission, seq, bytes)?.last() {
                last = record.last_seq();
            }
            Ok(ControlFlow::Break(()))
        })?;
        Ok(last)
    }

    /// Shows `visit` every record after the position `after`, oldest first, and checks that none is missing or changed.
    ///
    /// `after` is 0, or the last position of a record, and `prev_hash` that record's
    /// hash ([`FIRST_HASH`] for 0): what a snapshot says of itself. What `visit`
    /// refuses counts as damage.
    pub fn replay(
        &self,
        mission: MissionId,
        after: u64,
        prev_hash: [u8; 32],
        mut visit: impl FnMut(&Record) -> Result<(), String>,
    ) -> Result<Replayed, HistoryError> {
        let mut replayed = Replayed { last_seq: after, last_hash: prev_hash, epoch: None, records: 0 };
        let mut anchored = after == 0;
        if anchored && prev_hash != FIRST_HASH {
            return Err(damaged(mission, 0, "a beginning that names a record before it"));
        }
        // The record that ends at `after` is read too: it has to be the one that `prev_hash` means.
        self.walk(mission, after.max(1), |record, hash| {
            if record.last_seq() <= after {
                anchored = record.last_seq() == after && *hash == prev_hash;
                return Ok(ControlFlow::Continue(()));
            }
            if !anchored || record.first_seq != replayed.last_seq + 1 {
                return Err(damaged(mission, record.first_seq, "the record before is not the one that was expected"));
            }
            if record.prev_hash != replayed.last_hash {
                return Err(damaged(mission, record.first_seq, "the chain of hashes is broken"));
            }
            visit(record).map_err(|what| HistoryError::Damaged { mission, seq: record.first_seq, what })?;
            replayed.last_seq = record.last_seq();
            replayed.last_hash = *hash;
            replayed.epoch = Some(record.epoch);
            replayed.records += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        if !anchored {
            return Err(damaged(mission, after, "the record that ends here is missing or another one"));
        }
        Ok(replayed)
    }

    /// Shows `visit` the records from the one that holds `from` on, and checks that none is missing.
    fn walk(
        &self,
        mission: MissionId,
        from: u64,
        mut visit: impl FnMut(&Record, &[u8; 32]) -> Result<ControlFlow<()>, HistoryError>,
    ) -> Result<(), HistoryError> {
        let mut start = None;
        self.scan_chunks(mission, (0, from.saturating_add(1)), Direction::Backward, &mut |seq, _| {
            start = Some(seq);
            Ok(ControlFlow::Break(()))
        })?;
        // Without a chunk that may hold `from`, whatever is found begins too late.
        let mut expected = start.unwrap_or(1);
        self.scan_chunks(mission, (expected, u64::MAX), Direction::Forward, &mut |seq, bytes| {
            for (record, hash) in &read_chunk(mission, seq, bytes)? {
                if record.first_seq != expected {
                    return Err(damaged(mission, expected, "events are missing"));
                }
                expected = record.last_seq().saturating_add(1);
                if record.last_seq() >= from && visit(record, hash)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Shows `visit` the chunks that begin within `from..to`, undecoded.
    fn scan_chunks(
        &self,
        mission: MissionId,
        (from, to): (u64, u64),
        direction: Direction,
        visit: &mut VisitChunk<'_>,
    ) -> Result<(), HistoryError> {
        let (from, to) = (chunk_key(mission, from), chunk_key(mission, to));
        let range = (Bound::Included(from.as_slice()), Bound::Excluded(to.as_slice()));
        let mut outcome = Ok(());
        self.store.scan(Space::Records, range, direction, &mut |key, value| {
            let step = match seq_of_key(key) {
                Some(seq) => visit(seq, value),
                None => Err(damaged(mission, 0, "a key of another kind lies in the history")),
            };
            step.unwrap_or_else(|error| {
                outcome = Err(error);
                ControlFlow::Break(())
            })
        })?;
        outcome
    }
}

/// Decodes the chunk that stands at `seq`, and checks that it belongs there.
fn read_chunk(mission: MissionId, seq: u64, bytes: &[u8]) -> Result<Vec<Hashed>, HistoryError> {
    let records = decode_chunk(bytes).map_err(|error| match error {
        ChunkError::UnknownVersion(found) => HistoryError::UnknownVersion { mission, seq, found, known: CHUNK_VERSION },
        ChunkError::Damaged(what) => HistoryError::Damaged { mission, seq, what },
    })?;
    if records.first().is_none_or(|(record, _)| record.first_seq != seq) {
        return Err(damaged(mission, seq, "the chunk belongs somewhere else"));
    }
    Ok(records)
}

fn damaged(mission: MissionId, seq: u64, what: &str) -> HistoryError {
    HistoryError::Damaged { mission, seq, what: what.to_owned() }
}
