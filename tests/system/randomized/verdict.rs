//! The verdict: what the ledger says was carried out is in the logs once, and what it says was refused is not there.

use std::collections::{BTreeMap, HashMap, HashSet};

use flightdeck_protocol::{Code, CommandId, Event, EventFrame, MissionId, UserId, model::Author};

use super::{
    command::marks,
    ledger::{Answer, Entry},
    tab::Tab,
};

/// A mission's history as it is stored.
pub(super) struct Log {
    pub(super) raw: Vec<String>,
    pub(super) frames: Vec<EventFrame>,
}

impl Log {
    pub(super) fn new(raw: Vec<String>) -> Self {
        let frames: Vec<EventFrame> =
            raw.iter().map(|event| serde_json::from_str(event).expect("a readable event")).collect();
        assert!(frames.iter().map(|frame| frame.seq).eq(1..=frames.len() as u64), "1 to n, without gaps");
        Self { raw, frames }
    }
}

/// Everything that a tab saw is in the logs, to the byte and in its place.
pub(super) fn tab_saw_the_truth(tab: &Tab, logs: &[Log]) {
    for (mission, view) in &tab.views {
        for piece in &view.pieces {
            let from = piece.after as usize;
            assert_eq!(piece.raw, logs[*mission].raw[from..from + piece.raw.len()], "mission {mission} from {from}");
        }
        let seen: usize = view.pieces.iter().map(|piece| piece.raw.len()).sum();
        assert!(seen as u64 <= view.seq);
    }
}

/// How many commands ended how.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) done: usize,
    pub(super) refused: BTreeMap<&'static str, usize>,
    pub(super) lost: usize,
    pub(super) repeated: usize,
}

/// What became of the commands, checked against the logs.
pub(super) struct Verdict<'a> {
    pub(super) entries: &'a [Entry],
    pub(super) logs: &'a [Log],
    /// Those who sent them.
    pub(super) people: &'a HashSet<UserId>,
    /// The missions that there are beside those of the logs, by the marks in their titles.
    pub(super) made: &'a HashMap<usize, Vec<MissionId>>,
}

impl Verdict<'_> {
    /// # Panics
    /// When a promise was broken.
    pub(super) fn check(&self) -> Tally {
        let places = self.places();
        let causes: Vec<HashMap<CommandId, Vec<u64>>> = self.logs.iter().map(|log| self.causes(log)).collect();
        let mut explained: HashSet<CommandId> = HashSet::new();
        let mut tally = Tally::default();
        for (nth, entry) in self.entries.iter().enumerate() {
            let marked = places.get(&nth).map_or(0, Vec::len) + self.made.get(&nth).map_or(0, Vec::len);
            tally.repeated += usize::from(entry.answers.len() > 1);
            match entry.done() {
                Some(done) => {
                    tally.done += 1;
                    assert!(marked == usize::from(entry.is_marked), "{nth} is there {marked} times: {entry:?}");
                    if let Some(command) = self.in_place(nth, entry, done, &causes) {
                        assert!(explained.insert(command), "two commands are one: {entry:?}");
                    }
                }
                None if entry.is_unknown() => {
                    tally.lost += 1;
                    assert!(marked <= 1, "{nth} is there {marked} times: {entry:?}");
                }
                None => {
                    assert_eq!(marked, 0, "{nth} was refused, and is there: {entry:?}");
                }
            }
            for answer in &entry.answers {
                if let Answer::Refused(fault) = answer {
                    *tally.refused.entry(fault.code.name()).or_default() += 1;
                    self.conflict_is_true(entry, answer);
                }
            }
        }
        self.nothing_else_happened(&explained);
        tally
    }

    /// Where each mark stands.
    fn places(&self) -> HashMap<usize, Vec<(usize, u64)>> {
        let mut places: HashMap<usize, Vec<(usize, u64)>> = HashMap::new();
        for (mission, log) in self.logs.iter().enumerate() {
            for (raw, seq) in log.raw.iter().zip(1..) {
                marks(raw).for_each(|mark| places.entry(mark).or_default().push((mission, seq)));
            }
        }
        places
    }

    /// The positions of what the commands of these people caused.
    fn causes(&self, log: &Log) -> HashMap<CommandId, Vec<u64>> {
        let mut causes: HashMap<CommandId, Vec<u64>> = HashMap::new();
        for frame in &log.frames {
            if let (Some(cause), true) = (&frame.cause, self.is_theirs(frame)) {
                causes.entry(cause.command).or_default().push(frame.seq);
            }
        }
        causes
    }

    fn is_theirs(&self, frame: &EventFrame) -> bool {
        matches!(&frame.by, Author::Person { id, .. } if self.people.contains(id))
    }

    /// A command that was carried out is where its caller was told, in one piece; gives its id.
    fn in_place(
        &self,
        nth: usize,
        entry: &Entry,
        done: &Answer,
        causes: &[HashMap<CommandId, Vec<u64>>],
    ) -> Option<CommandId> {
        let mission = entry.mission?;
        let (command, last) = match done {
            Answer::Done(ack) => (ack.command, ack.seq),
            Answer::Moved(seq) => {
                let cause = self.logs[mission].frames[*seq as usize - 1].cause.as_ref();
                let cause = cause.unwrap_or_else(|| panic!("{nth} is not at its place: {entry:?}"));
                assert_eq!(cause.operation, entry.method);
                (cause.command, *seq)
            }
            Answer::Made(_) | Answer::Refused(_) => return None,
        };
        let places = causes[mission].get(&command).unwrap_or_else(|| panic!("{nth} is not there: {entry:?}"));
        let first = last + 1 - places.len() as u64;
        assert!(places.iter().copied().eq(first..=last), "{nth} is at {places:?}: {entry:?}");
        if let Some(if_seq) = entry.if_seq {
            assert_eq!(first, if_seq + 1, "something happened before {nth} that it did not know of: {entry:?}");
        }
        Some(command)
    }

    /// Who was refused for not knowing what happened was told what did.
    fn conflict_is_true(&self, entry: &Entry, answer: &Answer) {
        let Answer::Refused(fault) = answer else { return };
        if fault.code != Code::SeqConflict {
            return;
        }
        let conflict = fault.data.conflict.as_ref().expect("what happened meanwhile");
        let (mission, if_seq) = (entry.mission.expect("a mission"), entry.if_seq.expect("a position"));
        assert!(conflict.seq > if_seq, "{entry:?}");
        let from = conflict.seq as usize - conflict.changes.len();
        assert_eq!(conflict.changes, self.logs[mission].frames[from..conflict.seq as usize]);
        assert!(from as u64 == if_seq || (!conflict.complete && from as u64 > if_seq), "{entry:?}");
    }

    /// What these people caused and nobody was told of, was lost on the way back, each thing once.
    fn nothing_else_happened(&self, explained: &HashSet<CommandId>) {
        let mut may: HashMap<(usize, &str), i64> = HashMap::new();
        for entry in self.entries.iter().filter(|entry| entry.is_unknown()) {
            if let Some(mission) = entry.mission {
                *may.entry((mission, entry.method)).or_default() += 1;
            }
        }
        for (mission, log) in self.logs.iter().enumerate() {
            let mut seen = HashSet::new();
            for frame in log.frames.iter().filter(|frame| self.is_theirs(frame)) {
                let cause = frame.cause.as_ref().expect("people act by commands");
                if explained.contains(&cause.command) || !seen.insert(cause.command) {
                    continue;
                }
                let left = may.get_mut(&(mission, cause.operation.as_str())).map(|left| {
                    *left -= 1;
                    *left
                });
                assert!(left.is_some_and(|left| left >= 0), "nobody did this, or it was refused: {frame:?}");
            }
        }
    }
}

/// How many runs the agent of a mission had; each carried on behind its last checkpoint.
pub(super) fn runs_carried_on(log: &Log) -> u32 {
    let (mut runs, mut saved, mut fresh) = (0, 0, false);
    for frame in &log.frames {
        match &frame.event {
            Event::AgentStarted { incarnation } => {
                assert!(*incarnation > runs, "run {incarnation} after run {runs}");
                (runs, fresh) = (*incarnation, true);
            }
            Event::CheckpointSaved { data } => saved = data["count"].as_u64().expect("a count"),
            Event::ActivityLogged { message, .. } if fresh => {
                if let Some(first) = message.strip_prefix("line ") {
                    assert_eq!(first, (saved + 1).to_string(), "run {runs} carries on behind its checkpoint");
                    fresh = false;
                }
            }
            _ => {}
        }
    }
    runs
}
