//! Recovery: a mission from its newest snapshot and what came after.

use std::panic::{AssertUnwindSafe, catch_unwind};

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

/// Reads `mission` back: the newest snapshot that is whole, and the tail.
///
/// # Errors
/// When there is none, or its history is damaged. Nothing is changed on disk.
pub fn recover(history: &History, mission: MissionId) -> Result<Recovered, RecoveryError> {
    catch_unwind(AssertUnwindSafe(|| read(history, mission))).unwrap_or(Err(RecoveryError::Panicked { mission }))
}

fn read(history: &History, mission: MissionId) -> Result<Recovered, RecoveryError> {
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
    let replayed = history
        .replay(mission, from, hash, |record| {
            for event in &record.events {
                let frame: EventFrame = serde_json::from_slice(event).map_err(|error| error.to_string())?;
                state.apply(&frame)?;
            }
            Ok(())
        })
        .map_err(failed)?;
    epoch = replayed.epoch.or(epoch);
    match epoch {
        Some(epoch) if state.seq() > 0 => {
            Ok(Recovered { replayed: state.seq() - from, state, epoch, last_hash: replayed.last_hash })
        }
        _ => Err(RecoveryError::Unknown(mission)),
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
