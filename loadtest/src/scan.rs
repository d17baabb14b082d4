//! Reading just enough of a delivered frame: positions and due times, without parsing the JSON.
//!
//! This program shares its cores with the server, so it does not read what it
//! does not need. The scan leans on the server's writing `seq` first in every
//! event, and on messages that hold nothing but what [`message`] puts there.

/// How every event begins.
const EVENT: &str = "{\"seq\":";
/// What stands before the due time in a message.
const DUE: &str = "\"message\":\"due ";

/// A message of `bytes` bytes that says when it was due, in microseconds since the run began.
pub(crate) fn message(due_us: u64, bytes: usize) -> String {
    let mut message = format!("due {due_us} ");
    let padding = bytes.saturating_sub(message.len());
    message.extend(std::iter::repeat_n('x', padding));
    message
}

/// The events of a `mission.events` frame, in order: the position of each, and when it was due if it says so.
pub(crate) fn events(frame: &str) -> impl Iterator<Item = (Option<u64>, Option<u64>)> {
    frame.split(EVENT).skip(1).map(|event| (number(event), number_after(event, DUE)))
}

/// The positions of the first and the last event that a `mission.events` frame says it holds.
pub(crate) fn span(frame: &str) -> Option<(u64, u64)> {
    let head = &frame[..frame.find(EVENT)?];
    Some((number_after(head, "\"from\":")?, number_after(head, "\"to\":")?))
}

fn number_after(text: &str, what: &str) -> Option<u64> {
    number(&text[text.find(what)? + what.len()..])
}

fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..digits].parse().ok()
}

/// The place in a mission's history that a watcher has reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence(u64);

/// What must never happen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Events are missing.
    Gap { after: u64, got: u64 },
    /// An event came again, or out of order.
    Repeated { at: u64, got: u64 },
    /// The frame says that it holds other events than it does.
    Span { said: Option<(u64, u64)>, held: (u64, u64) },
    /// The frame cannot be read.
    Unreadable,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gap { after, got } => write!(f, "event {got} followed on {after}: some are missing"),
            Self::Repeated { at, got } => write!(f, "event {got} came after {at}: again, or out of order"),
            Self::Span { said, held } => write!(f, "a frame that says {said:?} holds the events {held:?}"),
            Self::Unreadable => write!(f, "a frame of events cannot be read"),
        }
    }
}

impl Sequence {
    /// A watcher that has everything up to `last`.
    pub(crate) fn after(last: u64) -> Self {
        Self(last)
    }

    pub(crate) fn last(self) -> u64 {
        self.0
    }

    /// Takes the events of `frame`, and gives the due time of each that has one to `each`.
    pub(crate) fn take(&mut self, frame: &str, mut each: impl FnMut(u64)) -> Result<(), Wrong> {
        let first = self.0 + 1;
        for (seq, due) in events(frame) {
            let got = seq.ok_or(Wrong::Unreadable)?;
            match got {
                got if got == self.0 + 1 => self.0 = got,
                got if got > self.0 => return Err(Wrong::Gap { after: self.0, got }),
                got => return Err(Wrong::Repeated { at: self.0, got }),
            }
            if let Some(due) = due {
                each(due);
            }
        }
        let (said, held) = (span(frame), (first, self.0));
        if said == Some(held) { Ok(()) } else { Err(Wrong::Span { said, held }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_protocol::{
        ActivityId, Event, EventFrame, Timestamp,
        envelope::Notification,
        model::Author,
        notification::{MISSION_EVENTS, MissionEvents},
    };

    /// A frame as the protocol crate writes it, that says it holds `from..=to` and holds `seqs`.
    fn frame(from: u64, to: u64, seqs: &[u64]) -> String {
        let events = seqs.iter().map(|seq| EventFrame {
            seq: *seq,
            at: Timestamp::from_millis(0),
            by: Author::System,
            cause: None,
            event: Event::ActivityLogged {
                activity: ActivityId::fresh(),
                activity_type: Default::default(),
                message: message(seq * 1_000, 300),
                details: None,
                step: None,
                stream: None,
            },
        });
        let epoch = ActivityId::fresh().0;
        let params =
            MissionEvents { sub: "a".to_owned(), epoch, from, to, events: events.collect(), skipped: Vec::new() };
        serde_json::to_string(&Notification::new(MISSION_EVENTS, params)).unwrap()
    }

    #[test]
    fn a_message_has_the_length_that_was_asked_for() {
        assert_eq!(message(12, 300).len(), 300);
        assert_eq!(message(12, 0), "due 12 ");
    }

    #[test]
    fn positions_and_due_times_come_out_as_they_went_in() {
        let mut sequence = Sequence::after(6);
        let mut due = Vec::new();
        sequence.take(&frame(7, 9, &[7, 8, 9]), |us| due.push(us)).unwrap();
        assert_eq!(due, [7_000, 8_000, 9_000]);
        assert_eq!(sequence.last(), 9);
    }

    #[test]
    fn whatever_breaks_the_order_is_seen() {
        let take = |last, frame: String| Sequence::after(last).take(&frame, |_| {}).unwrap_err();
        assert_eq!(take(5, frame(7, 7, &[7])), Wrong::Gap { after: 5, got: 7 });
        assert_eq!(take(7, frame(7, 7, &[7])), Wrong::Repeated { at: 7, got: 7 });
        assert_eq!(take(6, frame(7, 8, &[7, 7])), Wrong::Repeated { at: 7, got: 7 });
        assert_eq!(take(6, frame(7, 9, &[7, 8])), Wrong::Span { said: Some((7, 9)), held: (7, 8) });
        assert!(matches!(take(6, "{}".to_owned()), Wrong::Span { .. }));
    }
}
