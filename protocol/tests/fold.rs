//! Writes down stories and the missions that they make, for other clients to fold and compare. `UPDATE_DOCS=1 cargo test -p flightdeck-protocol --test fold` rewrites them.

use std::{fmt::Write as _, fs, path::Path};

use flightdeck_protocol::{
    Cause, Event, EventFrame, Timestamp,
    model::{ActivityType, ApprovalOption, Author, DocumentStatus, Mission, MissionStatus, Priority, StepStatus},
};
use serde_json::json;
use uuid::Uuid;

/// A state is written down after this many events.
const EVERY: usize = 120;

#[test]
fn the_stories_for_other_clients_are_what_this_fold_makes_of_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/typescript/tests/fixtures/fold.json");
    let wanted = fixture();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "clients/typescript/tests/fixtures/fold.json is stale; run UPDATE_DOCS=1 cargo test -p flightdeck-protocol --test fold"
    );
}

/// Every story: its events one a line, and the mission at some of their positions.
fn fixture() -> String {
    let mut text = String::from("[");
    for (number, (name, events)) in
        [("with an agent", story(1, true)), ("by people alone", story(2, false))].iter().enumerate()
    {
        let id = Uuid::from_u128(1000 + number as u128).into();
        let frames: Vec<EventFrame> =
            events.iter().enumerate().map(|(index, event)| frame(index, event.clone())).collect();
        let mut mission = Mission::created(id, &frames[0]).expect("a first event");
        let mut states = vec![mission.clone()];
        for (index, frame) in frames.iter().enumerate().skip(1) {
            mission.apply(frame);
            if index % EVERY == 0 || index + 1 == frames.len() {
                states.push(mission.clone());
            }
        }
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\n{{\"name\": {}, \"id\": \"{id}\", \"frames\": [", json!(name));
        lines(&mut text, frames.iter().map(|frame| json!(frame).to_string()));
        text.push_str("], \"states\": [");
        lines(&mut text, states.iter().map(|state| json!(state).to_string()));
        text.push_str("]}");
    }
    text.push_str("\n]\n");
    text
}

fn lines(text: &mut String, all: impl Iterator<Item = String>) {
    for (index, line) in all.enumerate() {
        let _ = write!(text, "{}\n{line}", if index == 0 { "" } else { "," });
    }
}

fn frame(index: usize, event: Event) -> EventFrame {
    let by = match index % 3 {
        0 => Author::Person { id: Uuid::from_u128(7).into(), name: "olga".to_owned() },
        1 => Author::Agent { kind: "draft".to_owned(), incarnation: 1 + index as u32 / 100 },
        _ => Author::System,
    };
    let command = Uuid::from_u128(90_000 + index as u128).into();
    let cause = index.is_multiple_of(3).then(|| Cause { command, operation: "step.add".to_owned() });
    EventFrame {
        seq: index as u64 + 1,
        at: Timestamp::from_millis(1_770_000_000_000 + 977 * index as i64),
        by,
        cause,
        event,
    }
}

/// Numbers that look like chance and are the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn maybe<T>(&mut self, value: T) -> Option<T> {
        self.one_in(2).then_some(value)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// The id of a step, mostly of one that was added.
    fn step(&mut self, added: u64) -> Uuid {
        Uuid::from_u128(u128::from(self.below(added + 2)))
    }
}

fn story(seed: u64, agent: bool) -> Vec<Event> {
    let mut chance = Chance(seed);
    let mut events = vec![Event::MissionCreated {
        organization: Uuid::from_u128(5).into(),
        title: "Draft the performance work statement".to_owned(),
        mission_type: "drafting".to_owned(),
        priority: Priority::High,
        agent: agent.then(|| "draft".to_owned()),
        template: chance.maybe("pws".to_owned()),
        input: json!({"pages": [1, 2.5, null], "näme": "\u{2028}"}),
        estimated_at: chance.maybe(Timestamp::from_millis(1_780_000_000_000)),
    }];
    let mut status = MissionStatus::Pending;
    let mut added = 0;
    for number in 0..330_u64 {
        let event = match chance.below(24) {
            0..=4 => {
                added += 1;
                let parent = chance.maybe(()).map(|()| chance.step(added).into());
                Event::StepAdded {
                    step: Uuid::from_u128(u128::from(added)).into(),
                    parent,
                    position: chance.below(4) as u32,
                    key: chance.maybe(format!("key {number}")),
                    title: format!("step {added}"),
                    status: step_status(&mut chance),
                    assignee: chance.maybe("vera".to_owned()),
                    result: chance.maybe(String::new()),
                }
            }
            5..=8 => Event::StepUpdated {
                step: chance.step(added).into(),
                title: chance.maybe(format!("renamed {number}")),
                status: chance.maybe(()).map(|()| step_status(&mut chance)),
                assignee: chance.maybe("max".to_owned()),
                result: chance.maybe(format!("result {number}")),
            },
            9 | 10 => Event::StepMoved {
                step: chance.step(added).into(),
                parent: chance.maybe(()).map(|()| chance.step(added).into()),
                position: chance.below(4) as u32,
            },
            11 if chance.one_in(3) => Event::StepRemoved { step: chance.step(added).into() },
            11..=14 => Event::ActivityLogged {
                activity: Uuid::from_u128(20_000 + u128::from(number)).into(),
                activity_type: chance.pick(&[ActivityType::Info, ActivityType::Warning, ActivityType::Text]),
                message: format!("entry {number}"),
                details: chance.maybe(json!({"count": number})),
                step: chance.maybe(()).map(|()| chance.step(added).into()),
                stream: chance.maybe("answer".to_owned()),
            },
            15 | 16 => Event::MessageSent {
                message: Uuid::from_u128(30_000 + u128::from(number)).into(),
                text: format!("message {number}"),
            },
            17 => Event::DocumentDelivered {
                document: Uuid::from_u128(40_000 + u128::from(chance.below(5))).into(),
                name: "w2.pdf".to_owned(),
                version: number as u32,
                media_type: "application/pdf".to_owned(),
                size: number * 1000,
                sha256: "0f".repeat(32),
                source: chance.maybe("http://127.0.0.1/w2.pdf".to_owned()),
                status: chance.pick(&[DocumentStatus::Verified, DocumentStatus::Received]),
            },
            18 => Event::ApprovalRequested {
                approval: Uuid::from_u128(50_000 + u128::from(number)).into(),
                key: format!("ask {number}"),
                prompt: "Submit the form?".to_owned(),
                options: chance.maybe(vec![option("yes"), option("no")]).unwrap_or_default(),
            },
            19 => {
                let asked = events.iter().filter_map(|event| match event {
                    Event::ApprovalRequested { approval, .. } => Some(*approval),
                    _ => None,
                });
                let asked: Vec<_> = asked.chain([Uuid::from_u128(59_999).into()]).collect();
                let approval = chance.pick(&asked);
                if chance.one_in(3) {
                    Event::ApprovalWithdrawn { approval }
                } else {
                    Event::ApprovalAnswered {
                        approval,
                        option: chance.maybe("yes".to_owned()),
                        text: chance.maybe("go".to_owned()),
                    }
                }
            }
            20 => Event::UsageReported { input_tokens: number, output_tokens: 2 * number, cost_micros: 3 * number },
            21 => match chance.below(4) {
                0 => Event::AgentStarted { incarnation: number as u32 },
                1 => Event::AgentExited {
                    incarnation: number as u32,
                    outcome: "it was killed by signal 9".to_owned(),
                    stderr: None,
                    restart_in_ms: chance.maybe(500),
                },
                2 => Event::CheckpointSaved { data: json!(number) },
                _ if number > 250 => Event::ProgressReported { percent: chance.below(120) as u8 },
                _ => Event::AgentStarted { incarnation: number as u32 },
            },
            22 => Event::MissionUpdated {
                title: chance.maybe(format!("title {number}")),
                mission_type: chance.maybe("other".to_owned()),
                priority: chance.maybe(Priority::Urgent),
                input: chance.maybe(json!([number])),
                estimated_at: chance.maybe(Timestamp::from_millis(1_790_000_000_000 + number as i64)),
            },
            _ => {
                use MissionStatus::{Cancelled, Completed, Failed, Paused, Queued, Running, Waiting};
                let late = [Queued, Running, Waiting, Paused, Completed, Failed, Cancelled];
                let to = chance.pick(if number < 280 { &late[..4] } else { &late });
                let from = std::mem::replace(&mut status, to);
                Event::StatusChanged {
                    from,
                    to,
                    reason: chance.maybe(format!("reason {number}")),
                    result: chance.maybe(json!({"documents": number})),
                }
            }
        };
        events.push(event);
    }
    // More than a mission carries with it.
    for number in 400..440_u64 {
        let message = Uuid::from_u128(30_000 + u128::from(number)).into();
        events.push(Event::MessageSent { message, text: format!("late message {number}") });
        let activity = Uuid::from_u128(20_000 + u128::from(number)).into();
        let message = format!("late entry {number}");
        events.push(Event::ActivityLogged {
            activity,
            activity_type: ActivityType::Log,
            message,
            details: None,
            step: None,
            stream: None,
        });
    }
    events.push(Event::MissionDeleted);
    events
}

fn step_status(chance: &mut Chance) -> StepStatus {
    use StepStatus::{Completed, Failed, Pending, Running, Skipped, Unknown, Waiting};
    chance.pick(&[Pending, Running, Waiting, Completed, Failed, Skipped, Unknown])
}

fn option(id: &str) -> ApprovalOption {
    ApprovalOption { id: id.to_owned(), label: id.to_uppercase() }
}
