//! What a watcher was told, word for word, to be held against what others were told and what the server has.

use std::hash::{DefaultHasher, Hasher as _};

use anyhow::{Context as _, ensure};
use flightdeck_protocol::{EventFrame, model::Mission};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A mission's log from some event on, as it was told to a watcher who never stopped reading.
#[derive(Default)]
pub(crate) struct Log {
    /// The position that comes before its first event.
    before: u64,
    /// The sum of all events up to each.
    sums: Vec<u64>,
}

/// What another watcher was told.
#[derive(Default)]
pub(crate) struct Told {
    /// Stretches without a gap.
    stretches: Vec<Stretch>,
    /// The mission as a snapshot, given in place of events, and what followed on it make it.
    mission: Option<Mission>,
}

/// Events `after + 1 ..= to`, and their sum.
struct Stretch {
    after: u64,
    to: u64,
    sum: u64,
}

#[derive(Deserialize)]
struct Frame {
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    events: Vec<Box<RawValue>>,
}

fn events(frame: &str) -> anyhow::Result<Vec<Box<RawValue>>> {
    let Frame { params } = serde_json::from_str(frame).context("a frame of events cannot be read")?;
    Ok(params.events)
}

/// A number that tells an event, its position included, from others.
fn hash(event: &RawValue) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(event.get().as_bytes());
    hasher.finish()
}

impl Log {
    /// A log that begins behind position `before`.
    pub(crate) fn after(before: u64) -> Self {
        Self { before, sums: Vec::new() }
    }

    /// The next events of it came.
    pub(crate) fn take(&mut self, frame: &str) -> anyhow::Result<()> {
        for event in events(frame)? {
            let so_far = self.sums.last().copied().unwrap_or_default();
            self.sums.push(so_far.wrapping_add(hash(&event)));
        }
        Ok(())
    }

    /// The sum of its events up to `seq`; `None` where it does not reach.
    fn up_to(&self, seq: u64) -> Option<u64> {
        match seq.checked_sub(self.before)? {
            0 => Some(0),
            count => self.sums.get(usize::try_from(count).ok()? - 1).copied(),
        }
    }
}

impl Told {
    /// Of a watch that begins behind position `at`.
    pub(crate) fn after(at: u64) -> Self {
        Self { stretches: vec![Stretch { after: at, to: at, sum: 0 }], mission: None }
    }

    /// The mission whole came in place of events: what follows comes after it.
    pub(crate) fn skip_to(&mut self, snapshot: Mission) {
        self.stretches.push(Stretch { after: snapshot.seq, to: snapshot.seq, sum: 0 });
        self.mission = Some(snapshot);
    }

    /// The next events came.
    pub(crate) fn take(&mut self, frame: &str) -> anyhow::Result<()> {
        let stretch = self.stretches.last_mut().context("it is not known where the watch began")?;
        for event in events(frame)? {
            stretch.to += 1;
            stretch.sum = stretch.sum.wrapping_add(hash(&event));
            if let Some(mission) = &mut self.mission {
                mission.apply(&serde_json::from_str::<EventFrame>(event.get()).context("an event cannot be read")?);
            }
        }
        Ok(())
    }

    /// Sees that nothing is missing or other than in `log`, up to `mission`, which is how the server has it in the
    /// end: every event that came is the log's, and what snapshots stood for led to the same mission.
    pub(crate) fn is_complete(&self, log: &Log, mission: &Mission) -> anyhow::Result<()> {
        for Stretch { after, to, sum } in &self.stretches {
            let logged = log.up_to(*to).zip(log.up_to(*after)).map(|(to, after)| to.wrapping_sub(after));
            ensure!(logged == Some(*sum), "the events from {} to {to} are not those of the log", after + 1);
        }
        let last = self.stretches.last().map(|stretch| stretch.to);
        ensure!(last == Some(mission.seq), "it was told of events up to {last:?}, and there are {}", mission.seq);
        let same = self.mission.as_ref().is_none_or(|own| own == mission);
        ensure!(same, "the mission that it was told of is not the one that the server has");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan;
    use flightdeck_protocol::{
        Event, Timestamp,
        envelope::Notification,
        model::{ActivityType, Author, Priority},
        notification::{MISSION_EVENTS, MissionEvents},
    };
    use serde_json::Value;

    fn event(seq: u64) -> EventFrame {
        let event = match seq {
            1 => Event::MissionCreated {
                organization: id().parse().unwrap(),
                title: "Load".to_owned(),
                mission_type: "general".to_owned(),
                priority: Priority::default(),
                agent: None,
                template: None,
                input: Value::Null,
                estimated_at: None,
            },
            _ => Event::ActivityLogged {
                activity: id().parse().unwrap(),
                activity_type: ActivityType::default(),
                message: scan::message(seq, 32),
                details: None,
                step: None,
                stream: None,
            },
        };
        EventFrame { seq, at: Timestamp::from_millis(0), by: Author::System, cause: None, event }
    }

    fn id() -> &'static str {
        "00000000-0000-7000-8000-000000000001"
    }

    fn frame(seqs: impl IntoIterator<Item = u64>) -> String {
        let events: Vec<EventFrame> = seqs.into_iter().map(event).collect();
        let (from, to) = (events[0].seq, events[events.len() - 1].seq);
        let epoch = id().parse().unwrap();
        let params = MissionEvents { sub: "a".to_owned(), epoch, from, to, events, skipped: Vec::new() };
        serde_json::to_string(&Notification::new(MISSION_EVENTS, params)).unwrap()
    }

    /// The mission after so many events.
    fn mission(seq: u64) -> Mission {
        let mut mission = Mission::created(id().parse().unwrap(), &event(1)).unwrap();
        (2..=seq).for_each(|seq| mission.apply(&event(seq)));
        mission
    }

    fn log() -> Log {
        let mut log = Log::after(2);
        [frame(3..=5), frame(6..=9)].iter().for_each(|frame| log.take(frame).unwrap());
        log
    }

    #[test]
    fn who_was_told_every_event_is_complete_however_they_were_cut_into_frames() {
        let mut told = Told::after(3);
        [frame(4..=4), frame(5..=9)].iter().for_each(|frame| told.take(frame).unwrap());
        told.is_complete(&log(), &mission(9)).unwrap();
        assert!(told.is_complete(&log(), &mission(10)).is_err(), "an event is missing at the end");
    }

    #[test]
    fn another_event_than_the_logs_is_seen() {
        let mut told = Told::after(3);
        told.take(&frame(4..=8)).unwrap();
        told.take(&frame(9..=9).replace("due 9", "due 8")).unwrap();
        let wrong = told.is_complete(&log(), &mission(9)).unwrap_err().to_string();
        assert!(wrong.contains("from 4 to 9"), "{wrong}");
    }

    #[test]
    fn a_snapshot_stands_for_events_if_it_leads_to_the_same_mission() {
        let told = |snapshot| {
            let mut told = Told::after(2);
            told.take(&frame(3..=4)).unwrap();
            told.skip_to(snapshot);
            told.take(&frame(8..=9)).unwrap();
            told
        };
        told(mission(7)).is_complete(&log(), &mission(9)).unwrap();
        let other = Mission { title: "another".to_owned(), ..mission(7) };
        assert!(told(other).is_complete(&log(), &mission(9)).is_err());
    }
}
