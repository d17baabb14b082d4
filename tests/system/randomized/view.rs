//! What one tab knows of one mission: its state, and every event as it came.

use std::collections::BTreeSet;

use flightdeck_protocol::{
    EventFrame, MissionId,
    model::Mission,
    notification::MissionPresence,
    operations::{Position, Watching},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::truth::{Company, company};

/// Events in a row, as they came.
pub(super) struct Piece {
    /// The position before the first.
    pub(super) after: u64,
    pub(super) raw: Vec<String>,
}

/// What a tab knows of a mission.
pub(super) struct View {
    pub(super) id: MissionId,
    pub(super) epoch: Uuid,
    pub(super) seq: u64,
    pub(super) mission: Option<Mission>,
    /// Who is there, by the last word of it on this connection.
    pub(super) company: Option<Company>,
    /// Each begins with a snapshot; the last one is the newest.
    pub(super) pieces: Vec<Piece>,
}

/// What a `mission.events` notification holds, with the events as bytes.
#[derive(Deserialize)]
pub(super) struct RawEvents {
    pub(super) sub: String,
    epoch: Uuid,
    from: u64,
    to: u64,
    events: Vec<Box<RawValue>>,
    #[serde(default)]
    skipped: Vec<serde_json::Value>,
}

impl View {
    pub(super) fn new(id: MissionId) -> Self {
        Self { id, epoch: Uuid::nil(), seq: 0, mission: None, company: None, pieces: Vec::new() }
    }

    /// Where to go on from.
    pub(super) fn since(&self) -> Option<Position> {
        self.mission.as_ref().map(|_| Position { epoch: self.epoch, seq: self.seq })
    }

    /// There is a word of who is there.
    pub(super) fn presence(&mut self, presence: &MissionPresence) {
        assert_eq!(presence.others, 0);
        assert!(presence.people.iter().map(|person| person.id).collect::<BTreeSet<_>>().len() == presence.people.len());
        self.company = Some(company(&presence.people));
    }

    /// A watch stands: it goes on where it was, or it starts over and says so.
    pub(super) fn begin(&mut self, watching: Watching, asked: Option<Position>) {
        assert_eq!(watching.mission, self.id);
        self.company = None;
        assert!(watching.head >= watching.seq, "{watching:?}");
        if watching.resumed {
            let asked = asked.expect("only who said where it is can go on there");
            assert_eq!((watching.epoch, watching.seq), (asked.epoch, asked.seq));
            assert_eq!(asked.seq, self.seq);
            assert!(watching.snapshot.is_none() && watching.reason.is_none());
            return;
        }
        let mission = watching.snapshot.expect("a snapshot, where it does not go on");
        assert_eq!(mission.seq, watching.seq);
        if asked.is_some() {
            let reason = watching.reason.as_deref().expect("a reason");
            assert!(["gap_too_long", "gap_too_large"].contains(&reason), "nothing was lost, and it says {reason}");
            assert_eq!(watching.epoch, self.epoch);
        }
        assert!(watching.seq >= self.seq, "the server lost what it had shown");
        (self.epoch, self.seq) = (watching.epoch, watching.seq);
        self.mission = Some(mission);
        self.pieces.push(Piece { after: self.seq, raw: Vec::new() });
    }

    /// Takes in what happened, which has to be exactly what comes next.
    pub(super) fn events(&mut self, events: RawEvents) {
        assert_eq!(events.epoch, self.epoch);
        assert_eq!(events.from, self.seq + 1, "a gap or a repetition");
        assert_eq!(events.to - self.seq, events.events.len() as u64, "{} to {}", events.from, events.to);
        assert!(events.skipped.is_empty(), "this watch wants every event");
        let (Some(mission), Some(piece)) = (&mut self.mission, self.pieces.last_mut()) else {
            panic!("events before a snapshot")
        };
        for event in events.events {
            let frame: EventFrame = serde_json::from_str(event.get()).expect("a readable event");
            assert_eq!(frame.seq, self.seq + 1, "a gap or a repetition");
            self.seq = frame.seq;
            mission.apply(&frame);
            piece.raw.push(Box::<str>::from(event).into_string());
        }
    }
}
