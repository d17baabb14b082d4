//! The newest events of a mission in memory, and what of them is yet to be read back from the journal.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{News, news};

/// What an event takes in bytes, as long as none was seen.
const EVENT_BYTES: u64 = 400;

/// The events up to the newest, without a gap, as far back as their bound allows.
///
/// A mission that comes back from disk has few of them or none. The first who needs an older one has
/// the ring filled from the journal, once; from then on it is as if the mission had never been away.
pub(super) struct Ring {
    /// Events `head - events.len() + 1 ..= head`.
    events: VecDeque<Kept>,
    bytes: usize,
    most_bytes: usize,
    head: u64,
    /// Whether it may still be filled from the journal.
    is_open: bool,
    /// How many events were in it at any time, and their bytes: what a typical one takes.
    seen: (u64, u64),
}

/// An event in the ring.
pub(super) struct Kept {
    pub(super) json: Bytes,
    /// Whether it is a mere log entry.
    pub(super) is_log: bool,
}

impl Kept {
    /// An event as the journal has it.
    fn stored(json: Bytes) -> Self {
        Self { is_log: news::is_log(&json), json }
    }
}

/// What of a ring is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    /// The events before this one.
    pub(super) before: u64,
    /// So many bytes of them.
    pub(super) bytes: usize,
}

impl Ring {
    /// A ring of `most_bytes`, with the events `newest` in it, the last of which is `head`.
    pub(super) fn new(head: u64, most_bytes: usize, newest: impl IntoIterator<Item = Bytes>) -> Self {
        let mut ring = Self { events: VecDeque::new(), bytes: 0, most_bytes, head, is_open: true, seen: (0, 0) };
        newest.into_iter().for_each(|json| ring.keep(Kept::stored(json)));
        ring
    }

    /// The position of the newest event.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// Takes the event after the newest.
    pub(super) fn push(&mut self, event: News) {
        self.head += 1;
        self.keep(Kept { json: event.json, is_log: event.is_log });
    }

    fn keep(&mut self, event: Kept) {
        self.count(event.json.len());
        self.events.push_back(event);
        while self.bytes > self.most_bytes {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.json.len();
            self.is_open = false;
        }
    }

    fn count(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.seen.0 += 1;
        self.seen.1 += bytes as u64;
    }

    /// The newest event is `head`, which nobody gave to the ring: everything is to be read from the journal.
    pub(super) fn skip_to(&mut self, head: u64) {
        self.head = head;
        self.events.clear();
        self.bytes = 0;
        self.is_open = true;
    }

    /// The events after `cursor`; `None` where the next of them is not here.
    pub(super) fn after(&self, cursor: u64) -> Option<impl Iterator<Item = &Kept>> {
        let oldest = self.oldest();
        (cursor + 1 >= oldest).then(|| self.events.iter().skip((cursor + 1 - oldest) as usize))
    }

    /// What may be filled in from the journal, if anything.
    pub(super) fn lack(&self) -> Option<Lack> {
        let (before, bytes) = (self.oldest(), self.most_bytes - self.bytes);
        (self.is_open && before > 1 && bytes > 0).then_some(Lack { before, bytes })
    }

    /// Takes what was `lack`ing, as far as it was found, newest first. No more is asked for.
    pub(super) fn fill(&mut self, lack: Lack, newest_first: Vec<Bytes>) {
        if !self.is_open || self.oldest() != lack.before {
            return;
        }
        for json in newest_first {
            if self.bytes + json.len() > self.most_bytes {
                break;
            }
            self.count(json.len());
            self.events.push_front(Kept::stored(json));
        }
        self.is_open = false;
    }

    /// The bytes of `events` events, by what they took so far.
    pub(super) fn typical_bytes(&self, events: u64) -> u64 {
        let (seen, bytes) = self.seen;
        events.saturating_mul(bytes.checked_div(seen).unwrap_or(EVENT_BYTES))
    }

    fn oldest(&self) -> u64 {
        self.head + 1 - self.events.len() as u64
    }
}

/// Takes what is shown to it, newest first, until `lack` is made good.
pub(super) struct Filling {
    left: usize,
    pub(super) newest_first: Vec<Bytes>,
}

impl Filling {
    pub(super) fn of(lack: Lack) -> Self {
        Self { left: lack.bytes, newest_first: Vec::new() }
    }

    /// Takes the next older event; says whether there was room for it.
    pub(super) fn take(&mut self, json: &Bytes) -> bool {
        let Some(left) = self.left.checked_sub(json.len()) else { return false };
        self.left = left;
        self.newest_first.push(json.clone());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &'static str) -> Bytes {
        Bytes::from_static(json.as_bytes())
    }

    fn after(ring: &Ring, cursor: u64) -> Option<Vec<Bytes>> {
        ring.after(cursor).map(|events| events.map(|event| event.json.clone()).collect())
    }

    fn pushed(ring: &mut Ring, json: &'static str) {
        let news = News {
            json: event(json),
            is_log: false,
            is_activity: false,
            removes_steps: false,
            ends: super::super::Ends::Nothing,
        };
        ring.push(news);
    }

    #[test]
    fn a_ring_that_came_back_short_is_filled_once_and_is_then_like_any_other() {
        let mut ring = Ring::new(12, 8, [event("12")]);
        assert_eq!(after(&ring, 11), Some(vec![event("12")]));
        assert_eq!(after(&ring, 10), None);
        let lack = ring.lack().expect("a lack");
        assert_eq!(lack, Lack { before: 12, bytes: 6 });
        pushed(&mut ring, "13");
        let mut filling = Filling::of(lack);
        let older = ["11", "10", "09", "08"].map(event);
        assert_eq!(older.iter().filter(|json| filling.take(json)).count(), 3);
        ring.fill(lack, filling.newest_first);
        assert_eq!(after(&ring, 9), Some(["10", "11", "12", "13"].map(event).to_vec()), "no more than fits");
        assert_eq!((after(&ring, 8), ring.lack()), (None, None), "asked once");
        pushed(&mut ring, "14");
        assert_eq!((after(&ring, 9), ring.head()), (None, 14));
    }

    #[test]
    fn what_was_read_for_another_place_is_not_taken() {
        let mut ring = Ring::new(12, 100, []);
        let lack = ring.lack().expect("a lack");
        ring.skip_to(15);
        ring.fill(lack, vec![event("12")]);
        assert_eq!(after(&ring, 15), Some(vec![]));
        assert_eq!((after(&ring, 14), ring.lack()), (None, Some(Lack { before: 16, bytes: 100 })));
    }

    #[test]
    fn nothing_is_asked_for_where_there_is_nothing_or_no_room() {
        assert_eq!(Ring::new(0, 100, []).lack(), None, "it has no event");
        assert_eq!(Ring::new(2, 100, ["01", "02"].map(event)).lack(), None, "it has them all");
        assert_eq!(Ring::new(9, 0, []).lack(), None, "it keeps none");
        assert_eq!(Ring::new(9, 3, ["08", "09"].map(event)).lack(), None, "it was full");
    }

    #[test]
    fn what_is_typical_is_known_from_what_came_back() {
        assert_eq!(Ring::new(9, 100, []).typical_bytes(2), 2 * EVENT_BYTES);
        assert_eq!(Ring::new(9, 100, ["08", "0009"].map(event)).typical_bytes(2), 6);
    }
}
