//! What one watch shows of a list: the first so many, known by place and id alone.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use flightdeck_data::listing::{Listed, Listing};
use uuid::Uuid;

/// The first entries of a list, as the client has them.
pub(super) struct Window<P> {
    limit: usize,
    held: HashMap<Uuid, (P, u64)>,
    order: BTreeMap<P, Uuid>,
    /// Entries that fit and are not held stand here or behind; `None` where there are none.
    edge: Option<P>,
    /// What is older than this, by its id, does not belong.
    from: Uuid,
}

/// What a client must be told to have what a window has.
#[derive(Default)]
pub(super) struct Edits {
    edits: Vec<Edit>,
    /// Which of them is about what.
    about: HashMap<Uuid, usize>,
}

struct Edit {
    id: Uuid,
    /// Whether the client had the entry before.
    known: bool,
    /// The newest position of it that the window had.
    seq: u64,
    /// The entry now; `None` where it is gone.
    now: Option<Bytes>,
}

impl<P: Ord + Clone> Window<P> {
    /// A window of at most `limit` entries.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, held: HashMap::new(), order: BTreeMap::new(), edge: None, from: Uuid::nil() }
    }

    /// Takes the entry `id` as it is now, with its place; `None` where it does not belong in the list.
    pub(super) fn put(&mut self, id: Uuid, seq: u64, place: Option<P>, json: &Bytes, edits: &mut Edits) {
        let held = self.held.get(&id).map(|(_, seq)| *seq);
        if held.max(edits.seq(id)).is_some_and(|known| known >= seq) {
            // It was read from the index, which was ahead.
            return;
        }
        let known = held.is_some();
        let Some(place) = place.filter(|place| self.has_place(id, place)) else {
            return self.remove(id, edits);
        };
        self.insert(id, seq, place);
        edits.put(id, seq, known, json.clone());
        while self.held.len() > self.limit {
            let Some((place, last)) = self.order.last_key_value().map(|(place, id)| (place.clone(), *id)) else {
                break;
            };
            self.edge = Some(place);
            self.remove(last, edits);
        }
    }

    /// Whether the entry `id`, which may have that place, would be new here.
    pub(super) fn would_add(&self, id: Uuid, place: Option<&P>) -> bool {
        !self.held.contains_key(&id) && place.is_some_and(|place| self.has_place(id, place))
    }

    /// Whether what is known reaches as far: behind the edge there may be others that come before it.
    fn has_place(&self, id: Uuid, place: &P) -> bool {
        id >= self.from && self.edge.as_ref().is_none_or(|edge| place <= edge)
    }

    /// Takes the entry `id` out, if it is held.
    pub(super) fn remove(&mut self, id: Uuid, edits: &mut Edits) {
        if let Some((place, seq)) = self.held.remove(&id) {
            self.order.remove(&place);
            edits.remove(id, seq);
        }
    }

    /// Whether there is room for something that is not held: the list is to be read anew.
    pub(super) fn is_short(&self) -> bool {
        self.edge.is_some() && self.held.len() < self.limit
    }

    /// Becomes what was read, and says what is different; with `anew` the client is told all of it.
    pub(super) fn fill(&mut self, listing: Listing<P>, anew: bool) -> Edits {
        let mut edits = Edits::default();
        let before = std::mem::take(&mut self.held);
        self.from = listing.from;
        self.order.clear();
        self.edge = if listing.whole { None } else { listing.items.last().map(|last| last.place.clone()) };
        for Listed { id, seq, place, json } in listing.items {
            if anew || before.get(&id).is_none_or(|(_, known)| *known != seq) {
                edits.put(id, seq, before.contains_key(&id), json);
            }
            self.insert(id, seq, place);
        }
        if !anew {
            let gone = before.into_iter().filter(|(id, _)| !self.held.contains_key(id));
            gone.for_each(|(id, (_, seq))| edits.remove(id, seq));
        }
        edits
    }

    fn insert(&mut self, id: Uuid, seq: u64, place: P) {
        if let Some((before, _)) = self.held.insert(id, (place.clone(), seq)) {
            self.order.remove(&before);
        }
        self.order.insert(place, id);
    }
}

impl Edits {
    fn put(&mut self, id: Uuid, seq: u64, known: bool, now: Bytes) {
        self.note(id, seq, known).now = Some(now);
    }

    fn remove(&mut self, id: Uuid, seq: u64) {
        self.note(id, seq, true).now = None;
    }

    /// The newest position of `id` that these are about.
    fn seq(&self, id: Uuid) -> Option<u64> {
        self.about.get(&id).map(|place| self.edits[*place].seq)
    }

    fn note(&mut self, id: Uuid, seq: u64, known: bool) -> &mut Edit {
        let place = *self.about.entry(id).or_insert_with(|| {
            self.edits.push(Edit { id, known, seq, now: None });
            self.edits.len() - 1
        });
        let edit = &mut self.edits[place];
        edit.seq = edit.seq.max(seq);
        edit
    }

    /// The changes: an entry as JSON, or `None` where the client is to take it out.
    pub(super) fn changes(self) -> Vec<(Uuid, Option<Bytes>)> {
        let told = self.edits.into_iter().filter(|edit| edit.known || edit.now.is_some());
        told.map(|edit| (edit.id, edit.now)).collect()
    }
}
