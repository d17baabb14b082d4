//! The end of a mission's log: what was decided as JSON, sealed into records that go behind the last one,
//! and now and then a snapshot.

use bytes::Bytes;
use flightdeck_data::{
    journal::{Record, RecordError, SealedRecord},
    mission::{Context as Decided, Decision, State},
    recovery::{self, Recovered},
    store::Write,
};
use flightdeck_protocol::{Cause, Code, EventFrame, Fault};
use uuid::Uuid;

use crate::world::World;

/// What most events need at least, in bytes.
const EVENT_BYTES: usize = 512;
/// How many bytes of events go into one record; a single larger event has one of its own.
const RECORD_BYTES: usize = 64 * 1024;

/// Where the next record goes.
pub(super) struct LogEnd {
    epoch: Uuid,
    last_hash: [u8; 32],
    events_since_snapshot: u64,
    bytes_since_snapshot: usize,
}

impl LogEnd {
    /// That of a mission as it was read back.
    pub(super) fn of(recovered: &Recovered) -> Self {
        Self {
            epoch: recovered.epoch,
            last_hash: recovered.last_hash,
            events_since_snapshot: recovered.replayed,
            bytes_since_snapshot: 0,
        }
    }

    /// The records of a decision: one, or several where the events are too many for one. They go down together.
    pub(super) fn seal(
        &self,
        context: &Decided,
        cause: Option<&Cause>,
        first_seq: u64,
        events: &[Bytes],
    ) -> Result<Vec<SealedRecord>, Fault> {
        let (author, cause) = (json(&context.by)?, cause.map(json).transpose()?);
        let (mut records, mut hash, mut seq) = (Vec::new(), self.last_hash, first_seq);
        let mut rest = events;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|event| {
                bytes += event.len();
                bytes <= RECORD_BYTES
            });
            let (now, later) = rest.split_at(fits.count().max(1));
            let record = Record {
                first_seq: seq,
                at_ms: context.at.as_millis(),
                author: author.clone(),
                cause: cause.clone(),
                epoch: self.epoch,
                prev_hash: hash,
                events: now.to_vec(),
            };
            let record = record.seal().map_err(too_large)?;
            hash = record.hash();
            seq += now.len() as u64;
            records.push(record);
            rest = later;
        }
        Ok(records)
    }

    /// `records` with so many events go down: what follows goes behind them.
    pub(super) fn went_on(&mut self, records: &[SealedRecord], events: usize) {
        self.last_hash = records.last().map_or(self.last_hash, SealedRecord::hash);
        self.events_since_snapshot += events as u64;
        self.bytes_since_snapshot += records.iter().map(SealedRecord::size).sum::<usize>();
    }

    /// A snapshot, if the last is far enough behind.
    pub(super) fn snapshot_if_due(&mut self, state: &State, world: &World) -> Vec<Write> {
        let tuning = &world.tuning;
        if self.events_since_snapshot < tuning.snapshot_events && self.bytes_since_snapshot < tuning.snapshot_bytes {
            return Vec::new();
        }
        (self.events_since_snapshot, self.bytes_since_snapshot) = (0, 0);
        let snapshot = recovery::snapshot(state, self.epoch, self.last_hash)
            .map_err(|error| error.to_string())
            .and_then(|snapshot| world.history.snapshot_writes(state.id, &snapshot).map_err(|error| error.to_string()));
        snapshot.unwrap_or_else(|error| {
            // The log is the truth; recovery takes longer, that is all.
            tracing::warn!(mission = %state.id, error, "no snapshot could be made");
            Vec::new()
        })
    }
}

/// The events of a decision as they will be known: each with its position, time, author and cause.
pub(super) fn frames(
    state: &State,
    decision: &mut Decision,
    context: &Decided,
    cause: Option<&Cause>,
) -> Vec<EventFrame> {
    let events = std::mem::take(&mut decision.events).into_iter().zip(state.seq() + 1..);
    events
        .map(|(event, seq)| EventFrame { seq, at: context.at, by: context.by.clone(), cause: cause.cloned(), event })
        .collect()
}

/// Each event as JSON: these bytes go to disk and to every watcher.
pub(super) fn encode(frames: &[EventFrame]) -> Result<Vec<Bytes>, Fault> {
    let mut json = Vec::with_capacity(EVENT_BYTES);
    let encode = |frame| {
        json.clear();
        serde_json::to_writer(&mut json, frame).map_err(|error| internal(&error))?;
        // Kept for as long as the feed has it, so in a buffer of its own size.
        Ok(Bytes::copy_from_slice(&json))
    };
    frames.iter().map(encode).collect()
}

fn json(value: &impl serde::Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| internal(&error))
}

fn internal(error: &serde_json::Error) -> Fault {
    tracing::error!(%error, "an event cannot be written as JSON");
    Fault::new(Code::Internal, "the server failed to write down what was decided; nothing was changed")
}

fn too_large(error: RecordError) -> Fault {
    Fault::new(Code::TooLarge, format!("what follows from this is too large to be stored: {error}; ask for less"))
}
