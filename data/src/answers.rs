//! Answers that were given to calls with a name of their callers', kept for a day.
//!
//! Each is written in the same commit as what follows from its call, so that
//! after a crash there are both or neither.

use std::{
    collections::BinaryHeap,
    ops::{Bound, ControlFlow},
    sync::Arc,
};

use bytes::Bytes;
use flightdeck_protocol::{Timestamp, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::{Direction, Space, Store, StoreError, Write, scan_prefix};

/// How long an answer is kept, in milliseconds: 24 hours.
pub const KEPT_MS: i64 = 24 * 60 * 60 * 1000;
/// The longest answer that is kept, in bytes.
pub const MAX_ANSWER: usize = 64 * 1024;

/// The version byte before an entry.
const VERSION: u8 = 1;

/// Where an answer is kept: by the person who called, and the name that the call was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnswerKey([u8; 32]);

impl AnswerKey {
    /// The place for what `person` calls `name`.
    pub fn new(person: UserId, name: &str) -> Self {
        let mut key = [0; 32];
        key[..16].copy_from_slice(person.as_bytes());
        // Names are as long as their owners like; half a SHA-256 tells them apart.
        key[16..].copy_from_slice(&Sha256::digest(name)[..16]);
        Self(key)
    }

    /// Whose it is.
    pub fn person(&self) -> UserId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[..16]);
        uuid::Uuid::from_bytes(id).into()
    }

    fn read(key: &[u8]) -> Option<Self> {
        key.try_into().ok().map(Self)
    }
}

/// An answer that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// What was called: a hash of the operation and its parameters.
    pub call: [u8; 32],
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The answer, as JSON.
    pub answer: Bytes,
}

impl KeptAnswer {
    /// What tells a call of `method` with `params` from every other.
    pub fn hash(method: &str, params: &str) -> [u8; 32] {
        Sha256::new().chain_update(method).chain_update([0]).chain_update(params).finalize().into()
    }

    /// Whether it is kept no longer.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now.as_millis().saturating_sub(self.at_ms) >= KEPT_MS
    }
}

/// Why an answer could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum AnswersError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry is not what it should be, or newer than this program.
    #[error("a kept answer is damaged: {0}")]
    Damaged(String),
    /// The answer is too long to be kept.
    #[error("an answer of {0} bytes is too long to be kept")]
    TooLong(usize),
}

/// The answers, as read from a store.
#[derive(Clone)]
pub struct Answers {
    store: Arc<dyn Store>,
}

/// A part of all answers, in the order of their keys.
#[derive(Debug, Default)]
pub struct Part {
    /// Each of them: where it is, when it was given in milliseconds since the Unix epoch, and whether that is too long ago.
    pub answers: Vec<(AnswerKey, i64, bool)>,
    /// What was looked at last; `None` at the end.
    pub last: Option<AnswerKey>,
}

impl Answers {
    /// The answers in `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The write that keeps an answer.
    ///
    /// # Errors
    /// When it is too long.
    pub fn put(key: AnswerKey, kept: &KeptAnswer) -> Result<Write, AnswersError> {
        if kept.answer.len() > MAX_ANSWER {
            return Err(AnswersError::TooLong(kept.answer.len()));
        }
        let mut value = vec![VERSION];
        bincode::serde::encode_into_std_write(kept, &mut value, bincode::config::standard())
            .map_err(|error| AnswersError::Damaged(error.to_string()))?;
        Ok(Write::put(Space::Answers, key.0, value))
    }

    /// The write that lets go of an answer.
    pub fn remove(key: AnswerKey) -> Write {
        Write::remove(Space::Answers, key.0)
    }

    /// The answer that is kept under `key`, also one that is over and was not swept out yet.
    ///
    /// # Errors
    /// When the store fails, or the entry cannot be read.
    pub fn get(&self, key: AnswerKey) -> Result<Option<KeptAnswer>, AnswersError> {
        self.store.get(Space::Answers, &key.0)?.as_deref().map(decode).transpose()
    }

    /// The oldest `most` answers to `person`, the oldest first: where each is, and when it was given, in
    /// milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// When the store fails. An entry that cannot be read is logged and passed over.
    pub fn oldest(&self, person: UserId, most: usize) -> Result<Vec<(AnswerKey, i64)>, AnswersError> {
        // The newest of them is on top, and gives way.
        let mut oldest = BinaryHeap::new();
        scan_prefix(self.store.as_ref(), Space::Answers, person.as_bytes(), Direction::Forward, &mut |key, value| {
            match (AnswerKey::read(key), decode(value)) {
                (Some(key), Ok(kept)) => oldest.push((kept.at_ms, key)),
                (None, _) => tracing::error!("a kept answer has no proper key; it is left alone"),
                (_, Err(error)) => tracing::error!(%error, "a kept answer is left alone"),
            }
            if oldest.len() > most {
                oldest.pop();
            }
            ControlFlow::Continue(())
        })?;
        Ok(oldest.into_sorted_vec().into_iter().map(|(at_ms, key)| (key, at_ms)).collect())
    }

    /// The next `most` answers after `after`.
    ///
    /// # Errors
    /// When the store fails. An entry that cannot be read is logged and passed over.
    pub fn part(&self, after: Option<AnswerKey>, most: usize, now: Timestamp) -> Result<Part, AnswersError> {
        let from = after.as_ref().map_or(Bound::Unbounded, |after| Bound::Excluded(after.0.as_slice()));
        let (mut part, mut seen) = (Part::default(), 0);
        self.store.scan(Space::Answers, (from, Bound::Unbounded), Direction::Forward, &mut |key, value| {
            let Some(key) = AnswerKey::read(key) else {
                tracing::error!("a kept answer has no proper key; it is left alone");
                return ControlFlow::Continue(());
            };
            match decode(value) {
                Ok(kept) => part.answers.push((key, kept.at_ms, kept.is_over(now))),
                Err(error) => tracing::error!(%error, "a kept answer is left alone"),
            }
            (part.last, seen) = (Some(key), seen + 1);
            if seen == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if seen < most {
            part.last = None;
        }
        Ok(part)
    }
}

fn decode(value: &[u8]) -> Result<KeptAnswer, AnswersError> {
    let (version, encoded) = value.split_first().ok_or_else(|| AnswersError::Damaged("it is empty".to_owned()))?;
    if *version != VERSION {
        return Err(AnswersError::Damaged(format!("version {version} is not known to this server")));
    }
    let config = bincode::config::standard().with_limit::<{ 2 * MAX_ANSWER }>();
    let (kept, read) =
        bincode::serde::decode_from_slice(encoded, config).map_err(|error| AnswersError::Damaged(error.to_string()))?;
    if read != encoded.len() {
        return Err(AnswersError::Damaged("it is longer than it says".to_owned()));
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::MemoryStore;

    fn person(n: u128) -> UserId {
        Uuid::from_u128(n).into()
    }

    fn kept(at_ms: i64) -> KeptAnswer {
        KeptAnswer { call: [7; 32], at_ms, answer: Bytes::from_static(br#"{"seq":3}"#) }
    }

    #[test]
    fn the_stored_bytes_never_change() {
        let write = Answers::put(AnswerKey::new(person(9), "call me once"), &kept(1_770_000_000_123)).unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&write.key), "000000000000000000000000000000093cf9a77fce661109e4a43026a16a9eed");
        let value = write.value.unwrap();
        assert_eq!(
            hex(&value),
            concat!(
                "01",
                "0707070707070707070707070707070707070707070707070707070707070707",
                "fdf6487138380300",
                "00",
                "097b22736571223a337d",
            )
        );
        assert_eq!(decode(&value).unwrap(), kept(1_770_000_000_123));
    }

    #[test]
    fn what_cannot_be_read_is_no_answer_and_no_absence() {
        let value = Answers::put(AnswerKey::new(person(1), "a"), &kept(1)).unwrap().value.unwrap();
        for length in 0..value.len() {
            assert!(decode(&value[..length]).is_err(), "cut at {length}");
        }
        let newer = [&[2], &value[1..]].concat();
        assert!(matches!(decode(&newer), Err(AnswersError::Damaged(_))));
        let longer = [value.as_slice(), b"x"].concat();
        assert!(matches!(decode(&longer), Err(AnswersError::Damaged(_))));
        let store = MemoryStore::default();
        store.commit(&[Write::put(Space::Answers, AnswerKey::new(person(1), "a").0, newer)]).unwrap();
        let answers = Answers::new(Arc::new(store));
        assert!(answers.get(AnswerKey::new(person(1), "a")).is_err());
        assert!(answers.get(AnswerKey::new(person(1), "b")).unwrap().is_none());
    }

    #[test]
    fn a_name_is_its_persons_own() {
        let key = AnswerKey::new(person(1), "a");
        assert_eq!(key.person(), person(1));
        assert_ne!(key, AnswerKey::new(person(2), "a"));
        assert_ne!(key, AnswerKey::new(person(1), "b"));
    }

    #[test]
    fn an_answer_that_is_too_long_is_not_kept() {
        let long = KeptAnswer { answer: vec![b'x'; MAX_ANSWER + 1].into(), ..kept(1) };
        assert!(matches!(Answers::put(AnswerKey::new(person(1), "a"), &long), Err(AnswersError::TooLong(_))));
        let longest = KeptAnswer { answer: vec![b'x'; MAX_ANSWER].into(), ..kept(1) };
        let write = Answers::put(AnswerKey::new(person(1), "a"), &longest).unwrap();
        assert_eq!(decode(&write.value.unwrap()).unwrap(), longest);
    }

    #[test]
    fn a_persons_oldest_are_found_wherever_their_keys_are() {
        let store = MemoryStore::default();
        let ages = [5, 1, 4, 2, 3];
        for at_ms in ages {
            let put =
                |n, at_ms: i64| Answers::put(AnswerKey::new(person(n), &at_ms.to_string()), &kept(at_ms)).unwrap();
            store.commit(&[put(1, at_ms), put(2, -at_ms)]).unwrap();
        }
        store.commit(&[Write::put(Space::Answers, AnswerKey::new(person(1), "damaged").0, "x")]).unwrap();
        let answers = Answers::new(Arc::new(store));
        let oldest = |most| answers.oldest(person(1), most).unwrap().into_iter().map(|(_, at)| at).collect::<Vec<_>>();
        assert_eq!(oldest(3), [1, 2, 3]);
        assert_eq!(oldest(9), [1, 2, 3, 4, 5]);
        let (key, at_ms) = answers.oldest(person(1), 1).unwrap()[0];
        assert_eq!((key, at_ms), (AnswerKey::new(person(1), "1"), 1));
    }

    #[test]
    fn all_are_looked_through_a_part_at_a_time() {
        let store = MemoryStore::default();
        for n in 0..7 {
            let key = AnswerKey::new(person(n % 3), &n.to_string());
            store.commit(&[Answers::put(key, &kept(n as i64 * KEPT_MS / 4)).unwrap()]).unwrap();
        }
        store.commit(&[Write::put(Space::Answers, "no key", "no value")]).unwrap();
        let (answers, now) = (Answers::new(Arc::new(store)), Timestamp::from_millis(KEPT_MS + KEPT_MS / 4));
        let (mut after, mut seen, mut parts) = (None, Vec::new(), 0);
        loop {
            let part = answers.part(after, 3, now).unwrap();
            (parts, after) = (parts + 1, part.last);
            seen.extend(part.answers);
            if after.is_none() {
                break;
            }
        }
        assert_eq!((seen.len(), parts), (7, 3));
        let over: Vec<i64> = seen.iter().filter(|(.., over)| *over).map(|(_, at, _)| *at).collect();
        assert_eq!(over.len(), 2, "given a day ago or before that: {over:?}");
    }
}
