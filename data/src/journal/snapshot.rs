//! Saved states of missions: cut into pieces, checked, and worth nothing when in doubt.
//!
//! A snapshot only saves time: the history is the truth. One that is torn, damaged
//! or from a newer version is reported as absent, with a warning.
//!
//! Under `mission ‖ 0` stands the header: a version byte and bincode. The pieces
//! of the body stand under `mission ‖ 1` and so on, numbers in four bytes, big-endian.

use std::ops::ControlFlow;

use flightdeck_protocol::MissionId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{History, HistoryError};
use crate::store::{Direction, Space, Write, scan_prefix};

/// The version of the form that this program writes.
const VERSION: u8 = 1;

/// How long a piece of the body is, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// A mission's state at a position of its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The position of the last event in it: the end of a record.
    pub seq: u64,
    /// The epoch of that record.
    pub epoch: Uuid,
    /// The hash of that record.
    pub last_hash: [u8; 32],
    /// The state, in whatever form the mission has for it.
    pub body: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    seq: u64,
    epoch: Uuid,
    last_hash: [u8; 32],
    pieces: u32,
    body_bytes: u64,
    /// The SHA-256 of all of the above, numbers in big-endian, and of the body.
    checksum: [u8; 32],
}

impl Header {
    fn of(snapshot: &Snapshot) -> Self {
        let mut header = Self {
            seq: snapshot.seq,
            epoch: snapshot.epoch,
            last_hash: snapshot.last_hash,
            pieces: snapshot.body.len().div_ceil(PIECE_BYTES) as u32,
            body_bytes: snapshot.body.len() as u64,
            checksum: [0; 32],
        };
        header.checksum = header.checksum_with(&snapshot.body);
        header
    }

    fn checksum_with(&self, body: &[u8]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.seq.to_be_bytes());
        hasher.update(self.epoch.as_bytes());
        hasher.update(self.last_hash);
        hasher.update(self.pieces.to_be_bytes());
        hasher.update(self.body_bytes.to_be_bytes());
        hasher.update(body);
        hasher.finalize().into()
    }
}

impl History {
    /// The writes that put `snapshot` in the place of the mission's last one.
    pub fn snapshot_writes(&self, mission: MissionId, snapshot: &Snapshot) -> Result<Vec<Write>, HistoryError> {
        let mut header = vec![VERSION];
        // Encoding plain numbers and arrays into memory has no way to fail; if it did, the
        // header would not decode and the snapshot would count as absent.
        match bincode::serde::encode_to_vec(Header::of(snapshot), bincode::config::standard()) {
            Ok(encoded) => header.extend(encoded),
            Err(error) => tracing::warn!(%mission, %error, "a snapshot's header cannot be encoded"),
        }
        let mut writes = vec![Write::put(Space::Snapshots, key(mission, 0), header)];
        writes.extend(
            (1..)
                .zip(snapshot.body.chunks(PIECE_BYTES))
                .map(|(number, piece)| Write::put(Space::Snapshots, key(mission, number), piece)),
        );
        let kept = writes.len();
        scan_prefix(self.store.as_ref(), Space::Snapshots, mission.as_bytes(), Direction::Backward, &mut |old, _| {
            if writes[..kept].iter().any(|write| write.key == old) {
                return ControlFlow::Break(());
            }
            writes.push(Write::remove(Space::Snapshots, old));
            ControlFlow::Continue(())
        })?;
        Ok(writes)
    }

    /// The mission's last snapshot; `None`, with a warning in the log, if it cannot be trusted.
    pub fn load_snapshot(&self, mission: MissionId) -> Result<Option<Snapshot>, HistoryError> {
        let Some(stored) = self.store.get(Space::Snapshots, &key(mission, 0))? else { return Ok(None) };
        let header = match decode_header(&stored) {
            Ok(header) => header,
            Err(what) => return Ok(distrust(mission, what)),
        };
        let mut body = Vec::new();
        for number in 1..=header.pieces {
            match self.store.get(Space::Snapshots, &key(mission, number))? {
                Some(piece) => body.extend(piece),
                None => return Ok(distrust(mission, "a piece is missing")),
            }
        }
        if body.len() as u64 != header.body_bytes || header.checksum_with(&body) != header.checksum {
            return Ok(distrust(mission, "it does not match its checksum"));
        }
        Ok(Some(Snapshot { seq: header.seq, epoch: header.epoch, last_hash: header.last_hash, body }))
    }
}

fn decode_header(stored: &[u8]) -> Result<Header, &'static str> {
    match stored.split_first() {
        Some((&VERSION, encoded)) => {
            let config = bincode::config::standard().with_limit::<1024>();
            bincode::serde::decode_from_slice(encoded, config)
                .map(|(header, _)| header)
                .map_err(|_| "its header cannot be decoded")
        }
        Some(_) => Err("it is of another version"),
        None => Err("its header is empty"),
    }
}

fn distrust(mission: MissionId, what: &str) -> Option<Snapshot> {
    tracing::warn!(%mission, what, "a snapshot cannot be used; the mission is read from its history instead");
    None
}

fn key(mission: MissionId, number: u32) -> [u8; 20] {
    let mut key = [0; 20];
    key[..16].copy_from_slice(mission.as_bytes());
    key[16..].copy_from_slice(&number.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::{MemoryStore, Store};

    fn snapshot(seq: u64, bytes: usize) -> Snapshot {
        let body = (0..bytes).map(|n| (n % 251) as u8).collect();
        Snapshot { seq, epoch: Uuid::from_u128(1), last_hash: [3; 32], body }
    }

    fn setup() -> (MemoryStore, History, MissionId) {
        let store = MemoryStore::default();
        (store.clone(), History::new(Arc::new(store)), MissionId(Uuid::from_u128(5)))
    }

    fn pieces(store: &MemoryStore) -> usize {
        let mut count = 0;
        scan_prefix(store, Space::Snapshots, b"", Direction::Forward, &mut |_, _| {
            count += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        count
    }

    #[test]
    fn comes_back_as_it_went_whatever_its_size() {
        let (store, history, mission) = setup();
        assert_eq!(history.load_snapshot(mission).unwrap(), None);
        for (seq, bytes) in [(1, 0), (2, 1), (3, 3 * PIECE_BYTES + 1), (4, PIECE_BYTES), (5, 2 * PIECE_BYTES)] {
            let snapshot = snapshot(seq, bytes);
            store.commit(&history.snapshot_writes(mission, &snapshot).unwrap()).unwrap();
            assert_eq!(history.load_snapshot(mission).unwrap(), Some(snapshot));
            assert_eq!(pieces(&store), 1 + bytes.div_ceil(PIECE_BYTES), "the older one is gone");
        }
    }

    #[test]
    fn is_not_trusted_when_anything_is_wrong() {
        let (store, history, mission) = setup();
        let writes = history.snapshot_writes(mission, &snapshot(9, 2 * PIECE_BYTES)).unwrap();
        for write in &writes {
            store.commit(&writes).unwrap();
            let mut flipped = write.clone();
            if let Some(last) = flipped.value.as_mut().and_then(|value| value.last_mut()) {
                *last ^= 1;
            }
            store.commit(&[flipped]).unwrap();
            assert_eq!(history.load_snapshot(mission).unwrap(), None, "a flipped bit");
            store.commit(&[Write::remove(Space::Snapshots, write.key.clone())]).unwrap();
            assert_eq!(history.load_snapshot(mission).unwrap(), None, "a missing piece");
        }
        store.commit(&[Write::put(Space::Snapshots, key(mission, 0), [VERSION + 1, 1, 2])]).unwrap();
        assert_eq!(history.load_snapshot(mission).unwrap(), None, "another version");
    }

    #[test]
    fn the_stored_header_never_changes() {
        let (_, history, mission) = setup();
        let writes = history.snapshot_writes(mission, &snapshot(300, 3)).unwrap();
        let header: String = writes[0].value.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            header,
            concat!(
                "01fb2c011000000000000000000000000000000001030303030303030303030303030303030303030303030303030303",
                "03030303030103795d29d3937909b23e86c60a11b07b5a67618fac40e3787edc7837fb22ab0194",
            )
        );
    }
}
