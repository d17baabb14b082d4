//! Tails: what the frames of all watchers at one position have in common, written once and shared.

use bytes::{BufMut as _, Bytes, BytesMut};
use uuid::Uuid;

use super::Batch;

/// How many are kept: watchers that do not all read at once are at a few positions.
const KEPT: usize = 4;

/// A `mission.events` frame behind its `sub`.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The position of the last event in it.
    pub to: u64,
    /// The text, up to the end of the frame.
    pub text: Bytes,
}

impl Tail {
    /// What `batch` holds of the history `epoch`, from event `from` on.
    pub(super) fn write(epoch: Uuid, from: u64, batch: &Batch) -> Self {
        let to = batch.to;
        let head = format!("\"epoch\":\"{epoch}\",\"from\":{from},\"to\":{to},\"events\":[");
        let end = batch.skipped_json().map_or("]}}".to_owned(), |skipped| format!("],\"skipped\":{skipped}}}}}"));
        let bytes: usize = batch.events.iter().map(|event| event.len() + 1).sum();
        let mut text = BytesMut::with_capacity(head.len() + bytes + end.len());
        text.put_slice(head.as_bytes());
        for (index, event) in batch.events.iter().enumerate() {
            if index > 0 {
                text.put_u8(b',');
            }
            text.put_slice(event);
        }
        text.put_slice(end.as_bytes());
        Self { to, text: text.freeze() }
    }
}

/// The tails of a mission that were just written, each with the position that it goes on from.
#[derive(Default)]
pub(super) struct Tails(Vec<(u64, Tail)>);

impl Tails {
    /// The one that goes on from `cursor`, if it was written.
    pub(super) fn after(&self, cursor: u64) -> Option<&Tail> {
        self.0.iter().rev().find(|(after, _)| *after == cursor).map(|(_, tail)| tail)
    }

    /// Keeps one that goes on from `cursor`, in the place of the oldest.
    pub(super) fn keep(&mut self, cursor: u64, tail: Tail) {
        if self.0.len() == KEPT {
            self.0.remove(0);
        }
        self.0.push((cursor, tail));
    }

    /// There are newer events: whoever reads now gets them as well.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn tail(from: u64, to: u64) -> Tail {
        let mut batch = Batch::behind(from - 1);
        (from..=to).for_each(|seq| batch.send(format!("{{\"seq\":{seq}}}").into()));
        Tail::write(Uuid::nil(), from, &batch)
    }

    #[test]
    fn a_tail_is_the_rest_of_a_frame() {
        for (from, to) in [(1, 1), (9, 11)] {
            let frame = ["{\"params\":{\"sub\":\"a\",".as_bytes(), &tail(from, to).text].concat();
            let frame: Value = serde_json::from_slice(&frame).unwrap();
            let events: Vec<Value> = (from..=to).map(|seq| json!({"seq": seq})).collect();
            let params = json!({"sub": "a", "epoch": Uuid::nil(), "from": from, "to": to, "events": events});
            assert_eq!(frame["params"], params);
        }
    }

    #[test]
    fn the_newest_few_are_kept() {
        let mut tails = Tails::default();
        for cursor in 0..=KEPT as u64 {
            tails.keep(cursor, tail(cursor + 1, 9));
        }
        assert!(tails.after(0).is_none(), "it made room");
        assert!((1..=KEPT as u64).all(|cursor| tails.after(cursor).is_some()));
        tails.clear();
        assert!(tails.after(1).is_none());
    }
}
