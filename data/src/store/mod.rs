//! The narrow trait that everything stored goes through, and its back ends.
//!
//! Keys live in spaces, each a world of its own. One [`Store::commit`] is
//! atomic over all of them, and durable when it returns.

#[cfg(test)]
mod conformance;
mod error;
#[doc(hidden)]
pub mod faulty;
mod memory;
mod sled;

use std::ops::{Bound, ControlFlow};

pub use self::{
    error::StoreError,
    memory::MemoryStore,
    sled::{SledOptions, SledStore},
};

/// The longest value that a store takes, in bytes. Callers that have more cut it up.
///
/// The bound comes from sled, see `SledStore`; it holds for every back end, so
/// that what one of them keeps can be moved to another.
pub const MAX_VALUE: usize = 96 * 1024;

/// The longest key that a store takes, in bytes.
pub const MAX_KEY: usize = 1024;

/// What kind of thing a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// The histories of missions.
    Records,
    /// The states of missions, saved so that a restart need not read all of a history.
    Snapshots,
    /// What lists of missions are made from.
    Index,
    /// What is known of documents; their content is kept elsewhere.
    Documents,
    /// Organizations, people and sign-ins.
    People,
    /// What the store knows of itself.
    Meta,
    /// What waits for people.
    Inbox,
    /// Answers that were given to calls with a name of their callers', for those who ask again.
    Answers,
}

impl Space {
    /// Every space.
    pub const ALL: [Space; 8] = [
        Space::Records,
        Space::Snapshots,
        Space::Index,
        Space::Documents,
        Space::People,
        Space::Meta,
        Space::Inbox,
        Space::Answers,
    ];

    /// The byte that stands in front of the space's keys on disk. Never renumbered, never reused.
    pub fn prefix(self) -> u8 {
        match self {
            Self::Records => 1,
            Self::Snapshots => 2,
            Self::Index => 3,
            Self::Documents => 4,
            Self::People => 5,
            Self::Meta => 6,
            Self::Inbox => 8,
            Self::Answers => 7,
        }
    }
}

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The space that the key is in.
    pub space: Space,
    /// The key, at most [`MAX_KEY`] bytes.
    pub key: Vec<u8>,
    /// The new value, at most [`MAX_VALUE`] bytes; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

impl Write {
    /// Sets `key` to `value`.
    pub fn put(space: Space, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { space, key: key.into(), value: Some(value.into()) }
    }

    /// Removes `key`.
    pub fn remove(space: Space, key: impl Into<Vec<u8>>) -> Self {
        Self { space, key: key.into(), value: None }
    }

    /// How many bytes of key and value it carries.
    pub fn size(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }

    /// Refuses a key or a value over its limit.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.key.len() > MAX_KEY {
            return Err(StoreError::KeyTooLarge { size: self.key.len(), max: MAX_KEY });
        }
        match &self.value {
            Some(value) if value.len() > MAX_VALUE => {
                Err(StoreError::ValueTooLarge { size: value.len(), max: MAX_VALUE })
            }
            _ => Ok(()),
        }
    }
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the smallest key to the largest.
    Forward,
    /// From the largest key to the smallest.
    Backward,
}

/// The smallest and the largest key of a scan, within one space.
pub type KeyRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Sees each key and value of a scan, and says whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// An ordered map of bytes that survives power cuts.
///
/// A reader may see a commit shortly before it is durable; whoever must not show
/// such a thing bounds the read by what has been acknowledged.
pub trait Store: Send + Sync + 'static {
    /// Makes all of `writes` happen, in order, or none of them. They are on disk when this returns.
    fn commit(&self, writes: &[Write]) -> Result<(), StoreError>;

    /// The value of `key`.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Shows `visit` what lies in `range`, in the order of the keys' bytes. An upside-down range is empty.
    fn scan(
        &self,
        space: Space,
        range: KeyRange<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError>;

    /// How many bytes the store takes up.
    fn size_on_disk(&self) -> Result<u64, StoreError>;
}

/// Shows `visit` everything in `space` whose key begins with `prefix`.
pub fn scan_prefix(
    store: &dyn Store,
    space: Space,
    prefix: &[u8],
    direction: Direction,
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let end = prefix_end(prefix);
    let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    store.scan(space, (Bound::Included(prefix), upper), direction, visit)
}

/// The smallest key that is larger than every key with `prefix`, if there is one.
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// `key` as it stands in a map that all spaces share.
fn prefixed(space: Space, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 1);
    full.push(space.prefix());
    full.extend_from_slice(key);
    full
}

/// A range of keys in a map that all spaces share.
type OwnedRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// `range` of `space` in a map that all spaces share; `None` if nothing can lie in it.
fn prefixed_range(space: Space, range: KeyRange<'_>) -> Option<OwnedRange> {
    let lower = match range.0 {
        Bound::Included(key) => Bound::Included(prefixed(space, key)),
        Bound::Excluded(key) => Bound::Excluded(prefixed(space, key)),
        Bound::Unbounded => Bound::Included(vec![space.prefix()]),
    };
    let upper = match range.1 {
        Bound::Included(key) => Bound::Included(prefixed(space, key)),
        Bound::Excluded(key) => Bound::Excluded(prefixed(space, key)),
        Bound::Unbounded => Bound::Excluded(vec![space.prefix() + 1]),
    };
    // Ordered maps panic at a range that is upside down, or empty with both ends left out.
    let possible = match (&lower, &upper) {
        (Bound::Included(from), Bound::Included(to)) => from <= to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from < to,
        _ => true,
    };
    possible.then_some((lower, upper))
}
