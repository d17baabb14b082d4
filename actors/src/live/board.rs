//! A board: the newest changes of an organization's list, each thing once, for all who watch it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use uuid::Uuid;

use super::{HubHandle, Source, Topic, listeners::Listeners};

/// How many changes a board keeps, and how many bytes of them.
const CHANGES: usize = 4_096;
const BYTES: usize = 4 * 1024 * 1024;
/// What a change costs beside its JSON, about.
const OVERHEAD: usize = 512;

/// The newest changes of one list. Watchers are cursors into it.
///
/// Bounds: [`CHANGES`] and [`BYTES`]. Beyond them the oldest are forgotten, and
/// a cursor that has yet to see one of them is told to read the list anew.
pub(super) struct Board<V> {
    topic: Topic,
    /// Tells it from every other board, earlier ones of the same list included.
    number: u64,
    inner: Mutex<Inner<V>>,
}

struct Inner<V> {
    /// The last change of each thing, by version. Versions count the changes.
    changes: BTreeMap<u64, Change<V>>,
    /// Under which version the last change of a thing stands.
    latest: HashMap<Uuid, u64>,
    bytes: usize,
    version: u64,
    /// The newest version that was forgotten.
    forgotten: u64,
    listeners: Listeners,
    /// How many watches there are, those that are being set up included.
    holders: usize,
}

/// A thing that a list shows.
#[derive(Debug)]
pub struct Shown<V> {
    /// The thing.
    pub value: V,
    /// It as JSON, shared by everyone who is shown it.
    pub json: Bytes,
    /// Whether it was the newest when that was looked up last, and when that was.
    newest: Mutex<Option<(Instant, bool)>>,
}

impl<V> Shown<V> {
    /// A thing, and how it is written as JSON.
    pub fn new(value: V, json: Bytes) -> Self {
        Self { value, json, newest: Mutex::new(None) }
    }

    /// Whether nothing newer was stored at `since` or later, as `look` says. One looks for all who want to know.
    pub(super) fn is_newest(&self, since: Instant, look: impl FnOnce() -> bool) -> bool {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        match *newest {
            // What was overtaken stays so.
            Some((_, false)) => false,
            Some((looked, true)) if looked >= since => true,
            _ => {
                let now = Instant::now();
                newest.insert((now, look())).1
            }
        }
    }
}

/// What became of a thing.
#[derive(Debug)]
pub struct Change<V> {
    /// The thing.
    pub id: Uuid,
    /// The position of the event that changed it. An older change does not undo a newer one.
    pub seq: u64,
    /// How it is now; `None` where it is gone.
    pub now: Option<Arc<Shown<V>>>,
}

impl<V> Clone for Change<V> {
    fn clone(&self) -> Self {
        Self { id: self.id, seq: self.seq, now: self.now.clone() }
    }
}

impl<V> Change<V> {
    fn bytes(&self) -> usize {
        OVERHEAD + self.now.as_ref().map_or(0, |now| now.json.len())
    }
}

/// What a cursor finds.
pub(super) enum Found<V> {
    /// Nothing new.
    Nothing,
    /// What changed after the cursor, each thing once, oldest first; and the cursor after it.
    Changes(u64, Vec<Change<V>>),
    /// Some of what changed was forgotten: the list is to be read anew.
    Forgotten,
}

impl<V> Board<V> {
    /// An empty board, which wakes those who listen for `topic`.
    pub(super) fn new(topic: Topic) -> Self {
        let inner = Inner {
            changes: BTreeMap::new(),
            latest: HashMap::new(),
            bytes: 0,
            version: 0,
            forgotten: 0,
            listeners: Listeners::default(),
            holders: 0,
        };
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { topic, number: NEXT.fetch_add(1, Ordering::Relaxed), inner: Mutex::new(inner) }
    }

    /// What tells it from every other board.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What its watchers are woken for.
    pub(super) fn topic(&self) -> Topic {
        self.topic
    }

    /// Puts up what changed; what changed it is on disk.
    pub(super) fn publish(&self, change: Change<V>) {
        let mut inner = self.lock();
        if let Some(version) = inner.latest.get(&change.id).copied() {
            if inner.changes.get(&version).is_some_and(|known| known.seq >= change.seq) {
                return;
            }
            inner.forget(version);
        }
        inner.version += 1;
        let version = inner.version;
        inner.latest.insert(change.id, version);
        inner.bytes += change.bytes();
        inner.changes.insert(version, change);
        while inner.changes.len() > CHANGES || (inner.bytes > BYTES && inner.changes.len() > 1) {
            let Some((&oldest, _)) = inner.changes.first_key_value() else { break };
            inner.forget(oldest);
            inner.forgotten = oldest;
        }
        inner.listeners.wake(self.topic);
    }

    /// Sends everyone who watches to read the list anew.
    pub(super) fn refresh(&self) {
        let mut inner = self.lock();
        inner.version += 1;
        inner.forgotten = inner.version;
        inner.changes.clear();
        inner.latest.clear();
        inner.bytes = 0;
        inner.listeners.wake(self.topic);
    }

    /// The version of the newest change. Whoever takes it before reading a list and goes on from it misses nothing.
    pub(super) fn version(&self) -> u64 {
        self.lock().version
    }

    /// Reads what comes after `cursor`.
    pub(super) fn read(&self, cursor: u64) -> Found<V> {
        let inner = self.lock();
        if cursor >= inner.version {
            return Found::Nothing;
        }
        if cursor < inner.forgotten {
            return Found::Forgotten;
        }
        Found::Changes(inner.version, inner.changes.range(cursor + 1..).map(|(_, change)| change.clone()).collect())
    }

    /// One watch more. Called under the lock of the boards, as [`Board::release`] is.
    pub(super) fn hold(&self) {
        self.lock().holders += 1;
    }

    /// One watch less, which listened on the thread of `hub` if it had got so far. Says whether it was the last.
    pub(super) fn release(&self, hub: Option<&HubHandle>) -> bool {
        let mut inner = self.lock();
        if let Some(hub) = hub {
            inner.listeners.remove(hub);
        }
        inner.holders -= 1;
        inner.holders == 0
    }

    /// A watch on the thread of `hub` is to be woken from now on.
    pub(super) fn listen(&self, hub: &HubHandle) {
        self.lock().listeners.add(hub);
    }

    fn lock(&self) -> MutexGuard<'_, Inner<V>> {
        // Nothing below panics half way, so a panic elsewhere does not spoil it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Inner<V> {
    fn forget(&mut self, version: u64) {
        if let Some(change) = self.changes.remove(&version) {
            self.bytes -= change.bytes();
            self.latest.remove(&change.id);
        }
    }
}

impl<V: Send + Sync> Source for Board<V> {
    fn looked(&self, hub: &HubHandle) {
        self.lock().listeners.looked(hub);
    }
}

#[cfg(test)]
mod tests {
    use flightdeck_protocol::OrganizationId;

    use super::*;

    fn board() -> Board<u32> {
        Board::new(Topic::Missions(OrganizationId(Uuid::nil())))
    }

    fn put(id: u128, seq: u64, bytes: usize) -> Change<u32> {
        let now = Arc::new(Shown::new(0, Bytes::from(vec![b'x'; bytes])));
        Change { id: Uuid::from_u128(id), seq, now: Some(now) }
    }

    fn gone(id: u128, seq: u64) -> Change<u32> {
        Change { id: Uuid::from_u128(id), seq, now: None }
    }

    fn changes(board: &Board<u32>, cursor: u64) -> (u64, Vec<(u128, u64, bool)>) {
        match board.read(cursor) {
            Found::Changes(to, changes) => {
                (to, changes.iter().map(|change| (change.id.as_u128(), change.seq, change.now.is_some())).collect())
            }
            Found::Nothing => (cursor, Vec::new()),
            Found::Forgotten => panic!("forgotten"),
        }
    }

    #[test]
    fn what_changed_several_times_is_found_once_as_it_is_last() {
        let board = board();
        assert!(matches!(board.read(0), Found::Nothing));
        for change in [put(1, 1, 10), put(2, 1, 10), put(1, 2, 10), put(3, 4, 10), gone(2, 5)] {
            board.publish(change);
        }
        assert_eq!(changes(&board, 0), (5, vec![(1, 2, true), (3, 4, true), (2, 5, false)]));
        assert_eq!(changes(&board, 3), (5, vec![(3, 4, true), (2, 5, false)]));
        assert_eq!(changes(&board, 5), (5, vec![]));
    }

    #[test]
    fn an_older_change_does_not_undo_a_newer_one() {
        let board = board();
        board.publish(gone(1, 9));
        board.publish(put(1, 8, 10));
        board.publish(gone(1, 9));
        assert_eq!(changes(&board, 0), (1, vec![(1, 9, false)]));
    }

    #[test]
    fn it_is_bounded_and_a_cursor_that_fell_out_is_told() {
        let board = board();
        for n in 0..CHANGES as u128 + 10 {
            board.publish(put(n, 1, 10));
        }
        assert!(matches!(board.read(9), Found::Forgotten));
        assert_eq!(changes(&board, 10).1.len(), CHANGES);
        // The same thing over and over takes the room of one.
        for seq in 2..CHANGES as u64 * 3 {
            board.publish(put(20, seq, 10));
        }
        assert_eq!(changes(&board, 10).1.len(), CHANGES);
        for n in 0..10 {
            board.publish(put(1_000_000 + n, 1, BYTES / 4));
        }
        let last = board.version();
        assert!(matches!(board.read(last - 5), Found::Forgotten));
        assert_eq!(changes(&board, last - 3).1.len(), 3);
    }

    #[test]
    fn a_refresh_sends_every_cursor_back_to_the_list() {
        let board = board();
        board.publish(put(1, 1, 10));
        let seen = board.version();
        board.refresh();
        assert!(matches!(board.read(seen), Found::Forgotten));
        assert!(matches!(board.read(board.version()), Found::Nothing));
    }

    #[test]
    fn whether_something_is_the_newest_is_looked_up_once_for_all_who_have_read_before() {
        let (shown, before) = (Shown::new(0, Bytes::new()), Instant::now());
        assert!(shown.is_newest(before, || true));
        assert!(shown.is_newest(before, || panic!("it is known")));
        let later = Instant::now() + std::time::Duration::from_secs(60);
        assert!(!shown.is_newest(later, || false), "whoever has read since may know better");
        assert!(!shown.is_newest(later, || panic!("it stays overtaken")));
        assert!(!shown.is_newest(before, || panic!("it stays overtaken")));
    }
}
