//! Events in a row as they go to a watcher, without those that a watch which is far behind is spared.
//!
//! Only log entries are left out, and of these only what no state shows any more: a mission carries
//! its newest activities with it, and these are always sent. So whoever has read up to the head and
//! counts what was left out has the very state that the server has.

use std::collections::VecDeque;

use bytes::Bytes;
use flightdeck_protocol::{model::RECENT_ACTIVITY, notification::Span};

/// A watch that has yet to be sent more events than this is far behind: it is more than an agent at full
/// speed says in a second, and four times what fits on a screen.
const FAR_EVENTS: u64 = 256;
/// So is one that has yet to be sent more bytes than this, by estimate: four full frames.
const FAR_BYTES: u64 = 256 * 1024;
/// What a range that was left out takes in a frame, about.
const SPAN_BYTES: usize = 40;

/// Whether a watch is far behind with so many events and bytes to come.
pub(super) fn is_far(events: u64, bytes: u64) -> bool {
    events > FAR_EVENTS || bytes > FAR_BYTES
}

/// The positions of a mission's newest activities, as far as they are known.
pub(super) struct Recent(VecDeque<u64>);

impl Recent {
    /// Those of a mission that carries the activities `known` with it, oldest first.
    pub(super) fn new(known: impl IntoIterator<Item = u64>) -> Self {
        Self(known.into_iter().collect())
    }

    /// Event `seq` is an activity, newer than all.
    pub(super) fn add(&mut self, seq: u64) {
        if self.0.len() >= RECENT_ACTIVITY {
            self.0.pop_front();
        }
        self.0.push_back(seq);
    }

    /// The mission carries no activity with it that is older than this.
    pub(super) fn oldest(&self) -> u64 {
        if self.0.len() < RECENT_ACTIVITY { 0 } else { self.0[0] }
    }
}

/// Some events in a row.
pub struct Batch {
    /// The position of the last.
    pub to: u64,
    /// Those that are sent, as JSON.
    pub events: Vec<Bytes>,
    /// Those that are left out.
    pub skipped: Vec<Span>,
    bytes: usize,
}

impl Batch {
    /// Nothing, behind the event `cursor`.
    pub(super) fn behind(cursor: u64) -> Self {
        Self { to: cursor, events: Vec::new(), skipped: Vec::new(), bytes: 0 }
    }

    /// Whether another event of `bytes` goes in as well where there is room for `most`; a first one always does.
    pub(super) fn has_room(&self, bytes: usize, most: usize) -> bool {
        self.events.is_empty() || self.bytes + bytes <= most
    }

    /// The next event is sent.
    pub(super) fn send(&mut self, event: Bytes) {
        self.to += 1;
        self.bytes += event.len();
        self.events.push(event);
    }

    /// The next event is left out.
    pub(super) fn leave_out(&mut self) {
        self.to += 1;
        match self.skipped.last_mut() {
            Some(span) if span.to + 1 == self.to => span.to = self.to,
            _ => {
                self.skipped.push(Span { from: self.to, to: self.to });
                self.bytes += SPAN_BYTES;
            }
        }
    }

    /// What a frame says of the events that were left out; nothing where there are none.
    pub(super) fn skipped_json(&self) -> Option<String> {
        if self.skipped.is_empty() { None } else { serde_json::to_string(&self.skipped).ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_in_a_row_is_one_range() {
        let mut batch = Batch::behind(4);
        assert!(batch.has_room(1_000, 0), "the first always has");
        for sent in [false, false, true, false, true, true, false] {
            if sent { batch.send("event".into()) } else { batch.leave_out() }
        }
        assert_eq!((batch.to, batch.events.len()), (11, 3));
        assert_eq!(
            batch.skipped_json().as_deref(),
            Some(r#"[{"from":5,"to":6},{"from":8,"to":8},{"from":11,"to":11}]"#)
        );
        assert!(batch.has_room(10, 3 * 5 + 3 * SPAN_BYTES + 10) && !batch.has_room(11, 3 * 5 + 3 * SPAN_BYTES + 10));
        assert_eq!(Batch::behind(4).skipped_json(), None);
    }

    #[test]
    fn nothing_is_old_before_there_are_as_many_newer_as_a_mission_shows() {
        let mut recent = Recent::new(1..RECENT_ACTIVITY as u64);
        assert_eq!(recent.oldest(), 0);
        recent.add(70);
        assert_eq!(recent.oldest(), 1);
        recent.add(80);
        assert_eq!(recent.oldest(), 2);
    }
}
