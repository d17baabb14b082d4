//! The stored form of history: records, chained by hash, in chunks.
//!
//! A chunk is one value of the store, under `mission ‖ first seq`:
//!
//! ```text
//! version (1 byte) then for each record: length (4, little-endian) ‖ checksum (8) ‖ record (bincode)
//! ```
//!
//! The checksum is the beginning of the record's SHA-256, which is also what the
//! next record names as the hash of the one before.

use bytes::Bytes;
use flightdeck_protocol::MissionId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::store::MAX_VALUE;

/// The version of the form that this program writes.
pub(super) const CHUNK_VERSION: u8 = 1;

const LENGTH_BYTES: usize = 4;
const CHECKSUM_BYTES: usize = 8;
const FRAME_BYTES: usize = LENGTH_BYTES + CHECKSUM_BYTES;

/// The longest encoded record, in bytes: it must fit in a value of the store.
pub const MAX_RECORD: usize = MAX_VALUE - 1 - FRAME_BYTES;

/// What a mission's first record names as the hash of the one before.
pub const FIRST_HASH: [u8; 32] = [0; 32];

/// What one decision of a mission made: events that go down together or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The position of the first of the events; the others follow without a gap.
    pub first_seq: u64,
    /// When it was decided, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Who caused it, as JSON.
    pub author: String,
    /// The command that it follows from, as JSON, if it follows from one.
    pub cause: Option<String>,
    /// Which history this is: another one only when history was lost or replaced.
    pub epoch: Uuid,
    /// The SHA-256 of the record before, or [`FIRST_HASH`].
    pub prev_hash: [u8; 32],
    /// The events as JSON, byte for byte as watchers get them.
    pub events: Vec<Bytes>,
}

/// Why a record cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is too long.
    #[error("a record of {size} bytes is over the limit of {max}; make it of fewer or smaller events")]
    TooLarge {
        /// Its encoded length in bytes.
        size: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// It has no events, or no place for them.
    #[error("a record needs at least one event, and positions count from 1")]
    Empty,
    /// It cannot be encoded.
    #[error("the record cannot be encoded: {0}")]
    Encoding(String),
}

impl Record {
    /// The position of the last of the events.
    pub fn last_seq(&self) -> u64 {
        self.first_seq.saturating_add(self.events.len() as u64).saturating_sub(1)
    }

    /// Encodes and hashes the record, once and for all.
    pub fn seal(&self) -> Result<SealedRecord, RecordError> {
        if self.events.is_empty() || self.first_seq == 0 {
            return Err(RecordError::Empty);
        }
        let encoded = bincode::serde::encode_to_vec(self, bincode::config::standard())
            .map_err(|error| RecordError::Encoding(error.to_string()))?;
        if encoded.len() > MAX_RECORD {
            return Err(RecordError::TooLarge { size: encoded.len(), max: MAX_RECORD });
        }
        let hash = Sha256::digest(&encoded).into();
        Ok(SealedRecord { first_seq: self.first_seq, last_seq: self.last_seq(), hash, encoded: encoded.into() })
    }
}

/// A record in its stored form.
#[derive(Clone, Debug)]
pub struct SealedRecord {
    first_seq: u64,
    last_seq: u64,
    hash: [u8; 32],
    encoded: Bytes,
}

impl SealedRecord {
    /// Its SHA-256: what the next record names as the hash of the one before.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The position of its first event.
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// The position of its last event.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Its encoded length in bytes.
    pub fn size(&self) -> usize {
        self.encoded.len()
    }
}

/// Neighbouring records of a mission on their way into one value of the store.
pub(super) struct Chunk {
    first_seq: u64,
    next_seq: u64,
    bytes: Vec<u8>,
}

impl Chunk {
    pub(super) fn new(record: &SealedRecord) -> Self {
        let mut chunk = Self { first_seq: record.first_seq, next_seq: record.first_seq, bytes: vec![CHUNK_VERSION] };
        chunk.push(record);
        chunk
    }

    /// Appends `record` if it follows directly and the chunk stays within `limit` bytes.
    pub(super) fn try_push(&mut self, record: &SealedRecord, limit: usize) -> Result<(), ()> {
        let size = self.bytes.len() + FRAME_BYTES + record.size();
        if record.first_seq != self.next_seq || size > limit.min(MAX_VALUE) {
            return Err(());
        }
        self.push(record);
        Ok(())
    }

    fn push(&mut self, record: &SealedRecord) {
        // A record is at most MAX_RECORD bytes long, so its length fits.
        self.bytes.extend_from_slice(&(record.encoded.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&record.hash[..CHECKSUM_BYTES]);
        self.bytes.extend_from_slice(&record.encoded);
        self.next_seq = record.last_seq + 1;
    }

    pub(super) fn first_seq(&self) -> u64 {
        self.first_seq
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Where a mission's chunk that begins with `seq` is stored.
pub(super) fn chunk_key(mission: MissionId, seq: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(mission.as_bytes());
    key[16..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// The position that a key names; `None` if it is no key of a chunk.
pub(super) fn seq_of_key(key: &[u8]) -> Option<u64> {
    if key.len() != 24 {
        return None;
    }
    key[16..].try_into().ok().map(u64::from_be_bytes)
}

/// Why a chunk cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ChunkError {
    /// It was written by a newer version.
    UnknownVersion(u8),
    /// It is not what was written.
    Damaged(String),
}

/// Reads the records of a chunk, each with its hash.
pub(super) fn decode_chunk(bytes: &[u8]) -> Result<Vec<(Record, [u8; 32])>, ChunkError> {
    let damaged = |what: &str| ChunkError::Damaged(what.to_owned());
    let (version, mut rest) = bytes.split_first().ok_or_else(|| damaged("an empty chunk"))?;
    if *version != CHUNK_VERSION {
        return Err(ChunkError::UnknownVersion(*version));
    }
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<LENGTH_BYTES>().ok_or_else(|| damaged("a cut-off length"))?;
        let (checksum, after) =
            after.split_first_chunk::<CHECKSUM_BYTES>().ok_or_else(|| damaged("a cut-off checksum"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (encoded, after) = after.split_at_checked(length).ok_or_else(|| damaged("a cut-off record"))?;
        let hash: [u8; 32] = Sha256::digest(encoded).into();
        if hash[..CHECKSUM_BYTES] != *checksum {
            return Err(damaged("a record does not match its checksum"));
        }
        let config = bincode::config::standard().with_limit::<{ 4 * MAX_VALUE }>();
        let (record, read): (Record, usize) = bincode::serde::decode_from_slice(encoded, config)
            .map_err(|error| ChunkError::Damaged(format!("a record cannot be decoded: {error}")))?;
        if read != length || record.events.is_empty() || record.first_seq == 0 {
            return Err(damaged("a record is not what its length says"));
        }
        records.push((record, hash));
        rest = after;
    }
    if records.is_empty() {
        return Err(damaged("a chunk without records"));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            first_seq: 300,
            at_ms: 1_770_000_000_123,
            author: r#"{"type":"system"}"#.to_owned(),
            cause: Some(r#"{"command":"c"}"#.to_owned()),
            epoch: Uuid::from_u128(7),
            prev_hash: [9; 32],
            events: vec![Bytes::from_static(b"{\"seq\":300}"), Bytes::from_static(b"{\"seq\":301}")],
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_stored_bytes_never_change() {
        let golden = concat!(
            "0179000000857e71e95c4e52e4fb2c01fdf648713838030000117b2274797065223a2273797374656d227d010f7b2263",
            "6f6d6d616e64223a2263227d100000000000000000000000000000000709090909090909090909090909090909090909",
            "09090909090909090909090909020b7b22736571223a3330307d0b7b22736571223a3330317d",
        );
        let chunk = Chunk::new(&record().seal().unwrap());
        assert_eq!(chunk.first_seq(), 300);
        let bytes = chunk.into_bytes();
        assert_eq!(hex(&bytes), golden);
        assert_eq!(decode_chunk(&bytes).unwrap()[0].0, record());
    }

    #[test]
    fn what_a_newer_version_wrote_is_told_from_damage() {
        let mut bytes = Chunk::new(&record().seal().unwrap()).into_bytes();
        bytes[0] = 2;
        assert_eq!(decode_chunk(&bytes).unwrap_err(), ChunkError::UnknownVersion(2));
        assert!(matches!(decode_chunk(&[]), Err(ChunkError::Damaged(_))));
        assert!(matches!(decode_chunk(&[CHUNK_VERSION]), Err(ChunkError::Damaged(_))));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = Chunk::new(&record().seal().unwrap()).into_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_chunk(&flipped).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(decode_chunk(&bytes[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut large = record();
        large.events = vec![Bytes::from(vec![b'x'; MAX_RECORD])];
        assert!(matches!(large.seal(), Err(RecordError::TooLarge { max: MAX_RECORD, .. })));
        large.events = vec![Bytes::from(vec![b'x'; 64 * 1024])];
        let sealed = large.seal().unwrap();
        assert!(Chunk::new(&sealed).into_bytes().len() <= MAX_VALUE);
        large.events.clear();
        assert_eq!(large.seal().unwrap_err(), RecordError::Empty);
    }

    #[test]
    fn only_neighbours_share_a_chunk() {
        let first = record().seal().unwrap();
        let mut next = record();
        next.first_seq = 302;
        let mut chunk = Chunk::new(&first);
        assert!(chunk.try_push(&first, 1_000_000).is_err(), "not the next position");
        assert!(chunk.try_push(&next.seal().unwrap(), 100).is_err(), "over the limit");
        chunk.try_push(&next.seal().unwrap(), 1_000_000).unwrap();
        assert_eq!(decode_chunk(&chunk.into_bytes()).unwrap().len(), 2);
    }
}
