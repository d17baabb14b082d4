//! Judges what a client library handed to its application: were events left out, or given twice?

use std::collections::HashMap;

use flightdeck_protocol::{MissionId, operations::Position};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::lines::Word;

/// Findings that are kept; one is enough to fail.
const FINDINGS: usize = 20;

/// Something that a client library did wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Of what sort it is.
    pub(crate) kind: Kind,
    /// What happened.
    pub(crate) what: String,
}

/// What can be wrong with a client library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// An event was left out.
    Gap,
    /// An event was handed over twice.
    Duplicate,
    /// Its state is not the server's.
    Divergence,
    /// It went on with a watch that it was told to let go of.
    Leak,
    /// It did not get on, or did not say that it is over.
    Stuck,
    /// It ended, gave up, or said what is no line of the protocol.
    Broken,
}

impl Kind {
    /// As in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Duplicate => "duplicate",
            Self::Divergence => "divergence",
            Self::Leak => "leak",
            Self::Stuck => "stuck",
            Self::Broken => "broken",
        }
    }
}

/// What is known of the client under test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness {
    pub(crate) library: Option<String>,
    pub(crate) can: Vec<String>,
    /// Where it is: after the last event or snapshot.
    pub(crate) position: Option<Position>,
    pub(crate) events: u64,
    pub(crate) snapshots: u64,
    /// The last answer to the question for its state.
    pub(crate) state: Option<(u64, Option<Value>)>,
    pub(crate) missions: Option<Vec<MissionId>>,
    pub(crate) inbox: Option<Vec<Uuid>>,
    /// It let go of the mission.
    pub(crate) is_unwatched: bool,
    /// Answers to what it was told to send: the position, or why there is none.
    pub(crate) sent: HashMap<u64, Result<u64, String>>,
    /// Why it says that it is over.
    pub(crate) ended: Option<String>,
    /// It will say nothing more.
    pub(crate) is_gone: bool,
    pub(crate) findings: Vec<Finding>,
}

impl Witness {
    pub(crate) fn find(&mut self, kind: Kind, what: impl Into<String>) {
        if self.findings.len() < FINDINGS {
            self.findings.push(Finding { kind, what: what.into() });
        }
    }

    /// Where the client is in its history, 0 where it has none yet.
    pub(crate) fn seq(&self) -> u64 {
        self.position.map_or(0, |position| position.seq)
    }

    /// Takes what the client says.
    pub(crate) fn hear(&mut self, word: Word) {
        match word {
            Word::Hello { library, can } => (self.library, self.can) = (Some(library), can),
            Word::NeedsToken => {}
            Word::State { id, mission } => self.state = Some((id, mission)),
            Word::Missions { ids } => self.missions = Some(ids),
            Word::Inbox { ids } => self.inbox = Some(ids),
            Word::Unwatched => self.is_unwatched = true,
            Word::Watching => self.is_unwatched = false,
            Word::Sent { id, seq } => {
                if self.sent.insert(id, Ok(seq)).is_some() {
                    self.find(Kind::Duplicate, format!("there was a second answer to the message {id}"));
                }
            }
            Word::Unsent { id, why } => {
                self.sent.insert(id, Err(why));
            }
            Word::Snapshot { seq, .. } | Word::Event { seq, .. } if self.is_unwatched => {
                self.find(Kind::Leak, format!("position {seq} came after it had let go of the mission"));
            }
            Word::Ended { why } => self.ended = Some(why),
            Word::Snapshot { epoch, seq } => {
                if let Some(last) = self.position.filter(|last| last.epoch == epoch && last.seq > seq) {
                    self.find(Kind::Divergence, format!("its state went back from {} to {seq}", last.seq));
                }
                self.snapshots += 1;
                self.position = Some(Position { epoch, seq });
            }
            Word::Event { epoch, seq } => {
                self.events += 1;
                match self.position {
                    None => self.find(Kind::Gap, format!("event {seq} came before anything that it could follow")),
                    Some(last) if last.epoch != epoch => {
                        self.find(Kind::Gap, format!("event {seq} is of another history, and there was no snapshot"));
                    }
                    Some(last) if seq <= last.seq => {
                        self.find(Kind::Duplicate, format!("event {seq} came after event {}", last.seq));
                        return;
                    }
                    Some(last) if seq > last.seq + 1 => {
                        self.find(Kind::Gap, format!("event {seq} came after event {}", last.seq));
                    }
                    Some(_) => {}
                }
                self.position = Some(Position { epoch, seq });
            }
        }
    }
}

/// Where two JSON values differ, if they do.
pub(crate) fn difference(server: &Value, client: &Value) -> Option<String> {
    match (server, client) {
        (Value::Object(server), Value::Object(client)) => {
            let mut keys: Vec<&String> = server.keys().chain(client.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            keys.into_iter().find_map(|key| {
                let inner =
                    difference(server.get(key).unwrap_or(&Value::Null), client.get(key).unwrap_or(&Value::Null));
                inner.map(|inner| format!(".{key}{inner}"))
            })
        }
        (Value::Array(server), Value::Array(client)) if server.len() == client.len() => {
            let pairs = server.iter().zip(client).enumerate();
            pairs
                .into_iter()
                .find_map(|(nth, (server, client))| Some(format!("[{nth}]{}", difference(server, client)?)))
        }
        (Value::Array(server), Value::Array(client)) => {
            Some(format!(": {} entries on the server, {} here", server.len(), client.len()))
        }
        (server, client) if server == client => None,
        (server, client) => Some(format!(": {server} on the server, {client} here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn after(words: Vec<Word>) -> Vec<Kind> {
        let mut witness = Witness::default();
        words.into_iter().for_each(|word| witness.hear(word));
        witness.findings.into_iter().map(|finding| finding.kind).collect()
    }

    fn snapshot(seq: u64) -> Word {
        Word::Snapshot { epoch: Uuid::nil(), seq }
    }

    fn event(seq: u64) -> Word {
        Word::Event { epoch: Uuid::nil(), seq }
    }

    #[test]
    fn events_that_follow_each_other_are_right_and_so_is_a_fresh_start() {
        assert_eq!(after(vec![snapshot(3), event(4), event(5), snapshot(9), event(10)]), []);
        let other = Uuid::from_u128(7);
        let replaced = vec![snapshot(9), Word::Snapshot { epoch: other, seq: 2 }, Word::Event { epoch: other, seq: 3 }];
        assert_eq!(after(replaced), []);
    }

    #[test]
    fn what_is_left_out_comes_twice_or_goes_back_is_found() {
        assert_eq!(after(vec![snapshot(3), event(5), event(6)]), [Kind::Gap]);
        assert_eq!(after(vec![snapshot(3), event(4), event(4), event(5)]), [Kind::Duplicate]);
        assert_eq!(after(vec![snapshot(3), event(3), event(4)]), [Kind::Duplicate], "the snapshot has it");
        assert_eq!(after(vec![event(1)]), [Kind::Gap]);
        assert_eq!(after(vec![snapshot(3), snapshot(2)]), [Kind::Divergence]);
        assert_eq!(after(vec![snapshot(3), Word::Event { epoch: Uuid::max(), seq: 4 }]), [Kind::Gap]);
    }

    #[test]
    fn what_comes_of_a_mission_that_was_let_go_of_is_found() {
        let again = vec![snapshot(3), event(4), Word::Unwatched, Word::Watching, snapshot(9), event(10)];
        assert_eq!(after(again), []);
        assert_eq!(after(vec![snapshot(3), Word::Unwatched, event(4), Word::Watching, event(4)]), [Kind::Leak]);
        let twice = vec![Word::Sent { id: 1, seq: 4 }, Word::Sent { id: 1, seq: 5 }];
        assert_eq!(after(twice), [Kind::Duplicate]);
    }

    #[test]
    fn a_difference_is_named_by_its_place() {
        let server = json!({"a": [{"b": 1}, {"b": 2}], "c": null});
        assert_eq!(difference(&server, &json!({"a": [{"b": 1}, {"b": 2}]})), None, "null is as good as absent");
        let found = difference(&server, &json!({"a": [{"b": 1}, {"b": 3}]}));
        assert_eq!(found.as_deref(), Some(".a[1].b: 2 on the server, 3 here"));
        assert_eq!(difference(&server, &json!({"a": []})).as_deref(), Some(".a: 2 entries on the server, 0 here"));
    }
}
