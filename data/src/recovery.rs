//! Recovery: a mission from its newest snapshot and what came after.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
};

use bytes::Bytes;
use flightdeck_protocol::{EventFrame, MissionId};
use uuid::Uuid;

use crate::{
    journal::{FIRST_HASH, History, HistoryError, Snapshot},
    mission::State,
};

/// A mission as it stands on disk.
#[derive(Debug)]
pub struct Recovered {
    /// Its state.
    pub state: State,
    /// The history that its positions count in.
    pub epoch: Uuid,
    /// The hash of its last record: the next one carries it.
    pub last_hash: [u8; 32],
    /// How many events were replayed on top of the snapshot.
    pub replayed: u64,
    /// The newest of these as JSON, oldest first: as many as were asked for.
    pub newest: Vec<Bytes>,
}

/// Why a mission could not be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// There is nothing stored under this id.
    #[error("mission {0} has no history")]
    Unknown(MissionId),
    /// Its history cannot be read or makes no sense.
    #[error("mission {mission} cannot be recovered")]
    History {
        /// The mission.
        mission: MissionId,
        /// What is wrong.
        #[source]
        source: HistoryError,
    },
    /// Folding its history failed.
    #[error("mission {mission} cannot be recovered: folding its history panicked")]
    Panicked {
        /// The mission.
        mission: MissionId,
    },
}

/// Reads `mission` back: the newest snapshot that is whole, and the tail, of which the newest events are
/// kept as they are, up to `keep_bytes` of them.
///
/// # Errors
/// When there is none, or its history is damaged. Nothing is changed on disk.
pub fn recover(history: &History, mission: MissionId, keep_bytes: usize) -> Result<Recovered, RecoveryError> {
    catch_unwind(AssertUnwindSafe(|| read(history, mission, keep_bytes)))
        .unwrap_or(Err(RecoveryError::Panicked { mission }))
}

fn read(history: &History, mission: MissionId, keep_bytes: usize) -> Result<Recovered, RecoveryError> {
    let failed = |source| RecoveryError::History { mission, source };
    let snapshot = history.load_snapshot(mission).map_err(failed)?;
    let base = snapshot.and_then(|snapshot| match serde_json::from_slice::<State>(&snapshot.body) {
        Ok(state) if state.seq() == snapshot.seq => Some((state, snapshot)),
        Ok(_) | Err(_) => {
            tracing::warn!(%mission, seq = snapshot.seq, "a snapshot makes no sense; the log is replayed from its start");
            None
        }
    });
    let (mut state, from, hash, mut epoch) = match base {
        Some((state, snapshot)) => (state, snapshot.seq, snapshot.last_hash, Some(snapshot.epoch)),
        None => (State::new(mission), 0, FIRST_HASH, None),
    };
    let mut newest = Newest { events: VecDeque::new(), bytes: 0, most_bytes: keep_bytes };
    let replayed = history
        .replay(mission, from, hash, |record| {
            for event in &record.events {
                let frame: EventFrame = serde_json::from_slice(event).map_err(|error| error.to_string())?;
                state.apply(&frame)?;
                newest.add(event);
            }
            Ok(())
        })
        .map_err(failed)?;
    epoch = replayed.epoch.or(epoch);
    match epoch {
        Some(epoch) if state.seq() > 0 => {
            let (replayed, last_hash) = (state.seq() - from, replayed.last_hash);
            Ok(Recovered { state, epoch, last_hash, replayed, newest: newest.events.into() })
        }
        _ => Err(RecoveryError::Unknown(mission)),
    }
}

/// The newest events, as many as fit.
struct Newest {
    events: VecDeque<Bytes>,
    bytes: usize,
    most_bytes: usize,
}

impl Newest {
    fn add(&mut self, event: &Bytes) {
        self.bytes += event.len();
        self.events.push_back(event.clone());
        while self.bytes > self.most_bytes {
            self.bytes -= self.events.pop_front().map_or(self.bytes, |oldest| oldest.len());
        }
    }
}

/// The snapshot of `state`, to be committed with the record that led to it.
///
/// # Errors
/// When the state cannot be written as JSON.
pub fn snapshot(state: &State, epoch: Uuid, last_hash: [u8; 32]) -> serde_json::Result<Snapshot> {
    let body = serde_json::to_vec(state)?;
    Ok(Snapshot { seq: state.seq(), epoch, last_hash, body })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flightdeck_protocol::{
        Event, Timestamp,
        model::{Author, Priority},
    };

    use super::*;
    use crate::{
        journal::{CommitSink, Journal, JournalOptions, Record, Submission},
        store::{Direction, MemoryStore, Space, Store, StoreError, Write, scan_prefix},
    };

    struct Deaf;

    impl CommitSink for Deaf {
        fn committed(&self, _: u64, _: Result<(), Arc<StoreError>>) {}
    }

    fn frame(seq: u64) -> EventFrame {
        let event = match seq {
            1 => Event::MissionCreated {
                organization: Uuid::from_u128(1).into(),
                title: "A mission".to_owned(),
                mission_type: "general".to_owned(),
                priority: Priority::Normal,
                agent: None,
                template: None,
                input: serde_json::json!({}),
                estimated_at: None,
            },
            seq => Event::ProgressReported { percent: seq as u8 },
        };
        EventFrame { seq, at: Timestamp::from_millis(0), by: Author::System, cause: None, event }
    }

    /// Nine events on disk, with a snapshot after the fifth.
    async fn stored() -> (MemoryStore, MissionId, State) {
        let store = MemoryStore::default();
        let journal = Journal::start(Arc::new(store.clone()), JournalOptions::default()).unwrap();
        let history = History::new(Arc::new(store.clone()));
        let mission = MissionId(Uuid::from_u128(7));
        let generation = journal.take_over(mission).await.unwrap();
        let (mut state, mut hash, epoch) = (State::new(mission), FIRST_HASH, Uuid::from_u128(9));
        for seq in 1..=9 {
            let frame = frame(seq);
            state.apply(&frame).unwrap();
            let record = Record {
                first_seq: seq,
                at_ms: 0,
                author: String::new(),
                cause: None,
                epoch,
                prev_hash: hash,
                events: vec![Bytes::from(serde_json::to_vec(&frame).unwrap())],
            };
            let record = record.seal().unwrap();
            hash = record.hash();
            let extra = match seq {
                5 => history.snapshot_writes(mission, &snapshot(&state, epoch, hash).unwrap()).unwrap(),
                _ => Vec::new(),
            };
            let (records, sink) = (vec![record], Arc::new(Deaf));
            journal.submit(Submission { mission, generation, ticket: seq, records, extra, sink }).unwrap();
            // One at a time, so that each record is a chunk of its own.
            journal.write(Vec::new()).await.unwrap();
        }
        journal.shutdown();
        (store, mission, state)
    }

    /// Flips a bit of the last value in `space`.
    fn damage(store: &MemoryStore, space: Space) {
        let mut last = None;
        scan_prefix(store, space, &[], Direction::Forward, &mut |key, value| {
            last = Some((key.to_vec(), value.to_vec()));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        let (key, mut value) = last.unwrap();
        let middle = value.len() / 2;
        value[middle] ^= 1;
        store.commit(&[Write::put(space, key, value)]).unwrap();
    }

    #[tokio::test]
    async fn a_mission_comes_back_from_its_snapshot_and_the_tail() {
        let (store, mission, state) = stored().await;
        let recovered = recover(&History::new(Arc::new(store)), mission, 100).unwrap();
        assert_eq!((recovered.state, recovered.replayed), (state, 4));
        assert_eq!(recovered.epoch, Uuid::from_u128(9));
    }

    #[tokio::test]
    async fn what_was_read_of_the_tail_is_kept_as_far_as_it_was_asked_for() {
        let (store, mission, _) = stored().await;
        let history = History::new(Arc::new(store));
        let stored = |seq| history.read(mission, seq, seq, 0).unwrap().events.remove(0).1;
        let of_two = stored(8).len() + stored(9).len();
        let newest = |bytes| recover(&history, mission, bytes).unwrap().newest;
        assert_eq!(newest(of_two), [8, 9].map(stored));
        assert_eq!(newest(of_two - 1), [9].map(stored));
        assert_eq!(newest(usize::MAX), [6, 7, 8, 9].map(stored), "no more than was read anyway");
        assert!(newest(0).is_empty());
    }

    #[tokio::test]
    async fn a_damaged_snapshot_costs_time_and_nothing_else() {
        let (store, mission, state) = stored().await;
        damage(&store, Space::Snapshots);
        let recovered = recover(&History::new(Arc::new(store)), mission, 100).unwrap();
        assert_eq!((recovered.state, recovered.replayed), (state, 9));
    }

    #[tokio::test]
    async fn a_damaged_log_is_said_and_not_guessed_over() {
        let (store, mission, _) = stored().await;
        damage(&store, Space::Records);
        let error = recover(&History::new(Arc::new(store)), mission, 100).unwrap_err();
        assert!(matches!(error, RecoveryError::History { .. }), "{error}");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let history = History::new(Arc::new(MemoryStore::default()));
        assert!(matches!(recover(&history, MissionId::fresh(), 0), Err(RecoveryError::Unknown(_))));
    }
}
