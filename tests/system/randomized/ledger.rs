//! The ledger: every command that was sent, and everything that was answered to it.

use flightdeck_protocol::{Code, Fault, MissionId, operations::Ack};
use serde_json::Value;

/// What the server answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// It was carried out.
    Done(Ack),
    /// It was carried out, and the mission's summary last changed with this event.
    Moved(u64),
    /// This mission was made.
    Made(MissionId),
    /// It was not carried out.
    Refused(Box<Fault>),
}

impl Answer {
    /// Reads the response to `method`.
    pub(super) fn read(method: &str, mut response: Value) -> Self {
        if response.get("error").is_some() {
            return Self::Refused(Box::new(crate::support::fault_of(&response)));
        }
        let result = response["result"].take();
        match method {
            "mission.create" => Self::Made(serde_json::from_value(result["id"].clone()).expect("a mission")),
            _ if method.starts_with("mission.") => Self::Moved(result["seq"].as_u64().expect("a position")),
            _ => Self::Done(serde_json::from_value(result).expect("an acknowledgement")),
        }
    }

    /// Whether its caller may not do this, or not any more.
    fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused(fault) if fault.code == Code::Forbidden)
    }

    /// Whether the same has to be asked again to know more.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(self, Self::Refused(fault) if fault.data.temporary)
    }
}

/// A command.
#[derive(Debug)]
pub(super) struct Entry {
    /// The mission, by its number; none for a command that makes one.
    pub(super) mission: Option<usize>,
    pub(super) method: &'static str,
    pub(super) is_marked: bool,
    /// Whether it had a name, under which it may be asked again.
    pub(super) is_named: bool,
    pub(super) if_seq: Option<u64>,
    pub(super) answers: Vec<Answer>,
    /// How often it was sent without an answer.
    pub(super) lost: usize,
}

impl Entry {
    /// That it was carried out, if that is what was said. Everyone who asked has to have heard the same.
    pub(super) fn done(&self) -> Option<&Answer> {
        let mut done = self.answers.iter().filter(|answer| !matches!(answer, Answer::Refused(_)));
        let first = done.next()?;
        assert!(self.is_named || self.answers.len() == 1, "two answers: {self:?}");
        assert!(done.all(|other| other == first), "a repeated command got another answer: {self:?}");
        // Who has lost the right to it is not told again.
        let last = self.answers.last().filter(|last| !last.is_temporary() && !last.is_forbidden());
        assert!(last.is_none_or(|last| last == first), "carried out first, refused then: {self:?}");
        Some(first)
    }

    /// Whether nobody can say whether it was carried out.
    pub(super) fn is_unknown(&self) -> bool {
        // Whether it was carried out is what this one code leaves open.
        let left_open =
            |answer: &Answer| matches!(answer, Answer::Refused(fault) if fault.code == Code::MissionRestarting);
        let is_open = self.lost > 0 || self.answers.iter().any(left_open);
        self.done().is_none()
            && if self.is_named {
                // It is asked until it is answered, or until its person may not ask any more.
                self.answers.is_empty() || (is_open && self.answers.last().is_some_and(Answer::is_forbidden))
            } else {
                is_open
            }
    }
}

/// Every command, by number.
#[derive(Default)]
pub(super) struct Ledger(pub(super) Vec<Entry>);

impl Ledger {
    /// Notes a command, and gives its number.
    pub(super) fn number(&self) -> usize {
        self.0.len()
    }

    pub(super) fn note(&mut self, entry: Entry) {
        self.0.push(entry);
    }

    pub(super) fn answered(&mut self, entry: usize, answer: Answer) {
        self.0[entry].answers.push(answer);
    }

    pub(super) fn lost(&mut self, entry: usize) {
        self.0[entry].lost += 1;
    }
}
