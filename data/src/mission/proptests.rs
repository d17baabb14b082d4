//! Property tests: living through a history, replaying it, and going on from a
//! snapshot anywhere in it give the same mission; and what must hold, holds.

use flightdeck_protocol::{
    EventFrame, Fault, MissionId, OrganizationId, StepId, Timestamp, UserId,
    lines::AgentLine,
    model::{ActivityType, ApprovalOption, Author, MissionStatus, Role, StepStatus},
    operations::{
        ActivityAdd, ApprovalReply, MessageSend, MissionNew, MissionUpdate, StepAdd, StepMove, StepRef, StepUpdate,
    },
};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::{AgentCommand, Command, Context, Delivered, RestartPolicy, State, decide, follow};

/// A mission that is lived through: every event is kept, as the journal would.
struct Life {
    state: State,
    log: Vec<EventFrame>,
    turn: u128,
}

impl Life {
    fn begin(agent: bool) -> Self {
        let mut life = Self { state: State::new(mission()), log: Vec::new(), turn: 0 };
        let new = MissionNew {
            title: "A life".to_owned(),
            agent: agent.then(|| "retrieve".to_owned()),
            ..MissionNew::default()
        };
        life.run(&Command::Create(OrganizationId(Uuid::from_u128(5)), new)).expect("a mission can be made");
        life
    }

    fn run(&mut self, command: &Command) -> Result<(), Fault> {
        self.turn += 1;
        let context = Context {
            at: Timestamp::from_millis(self.turn as i64 * 10),
            by: Author::Person { id: UserId(Uuid::from_u128(6)), name: Role::Officer.name().to_owned() },
            id: Uuid::from_u128(1_000 + self.turn),
            restart: RestartPolicy { limit: 2, base_ms: 100, max_ms: 1_000 },
        };
        let decision = decide(&self.state, command, &context)?;
        for event in decision.events {
            let seq = self.state.seq() + 1;
            let frame = EventFrame { seq, at: context.at, by: context.by.clone(), cause: None, event };
            follow(&mut self.state, &frame).expect("a decided event can be applied");
            self.log.push(frame);
        }
        Ok(())
    }

    fn steps(&self) -> Vec<StepId> {
        self.state.mission.iter().flat_map(|mission| mission.plan.iter().map(|step| step.id)).collect()
    }
}

fn mission() -> MissionId {
    MissionId(Uuid::from_u128(4))
}

/// What to do next; numbers pick from what is there when it is done.
#[derive(Clone, Debug)]
enum Move {
    Life(u8),
    Add { parent: Option<usize>, position: Option<u32> },
    Change { step: usize, status: StepStatus },
    Relocate { step: usize, parent: Option<usize>, position: Option<u32> },
    Remove(usize),
    Log,
    Send,
    Answer { approval: usize, option: bool },
    Begin,
    Say(u8),
    Deliver(u8),
    Exit { by_itself: bool },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let status = prop::sample::select(vec![
        StepStatus::Pending,
        StepStatus::Running,
        StepStatus::Completed,
        StepStatus::Failed,
        StepStatus::Skipped,
    ]);
    let one = prop_oneof![
        2 => (0..8_u8).prop_map(Move::Life),
        6 => (prop::option::of(0..9_usize), prop::option::of(0..6_u32))
            .prop_map(|(parent, position)| Move::Add { parent, position }),
        4 => (0..9_usize, status).prop_map(|(step, status)| Move::Change { step, status }),
        4 => (0..9_usize, prop::option::of(0..9_usize), prop::option::of(0..6_u32))
            .prop_map(|(step, parent, position)| Move::Relocate { step, parent, position }),
        1 => (0..9_usize).prop_map(Move::Remove),
        2 => Just(Move::Log),
        2 => Just(Move::Send),
        2 => (0..3_usize, any::<bool>()).prop_map(|(approval, option)| Move::Answer { approval, option }),
        3 => Just(Move::Begin),
        5 => (0..9_u8).prop_map(Move::Say),
        2 => (0..4_u8).prop_map(Move::Deliver),
        2 => any::<bool>().prop_map(|by_itself| Move::Exit { by_itself }),
    ];
    prop::collection::vec(one, 1..80)
}

fn command(life: &Life, chosen: &Move) -> Command {
    let steps = life.steps();
    // A number beyond what is there names a step that is not.
    let step = |n: usize| steps.get(n).copied().unwrap_or(StepId(Uuid::from_u128(3)));
    let mission = mission();
    let agent = life.state.mission.as_ref().and_then(|mission| mission.agent.as_ref());
    let incarnation = agent.map_or(1, |agent| agent.incarnation);
    match chosen {
        Move::Life(0) => Command::Start,
        Move::Life(1) => Command::Pause,
        Move::Life(2) => Command::Resume,
        Move::Life(3) => Command::Complete(Some(json!({"ok": true}))),
        Move::Life(4) => Command::Cancel(None),
        Move::Life(5) => Command::Delete,
        Move::Life(6) => Command::Agent(AgentCommand::CannotRun { reason: "no such agent".to_owned() }),
        Move::Life(_) => Command::Update(MissionUpdate {
            mission,
            title: Some("Another title".to_owned()),
            mission_type: None,
            priority: None,
            input: None,
            estimated_at: None,
        }),
        Move::Add { parent, position } => Command::AddStep(StepAdd {
            mission,
            title: "a step".to_owned(),
            parent: parent.map(step),
            position: *position,
            assignee: None,
        }),
        Move::Change { step: n, status } => Command::UpdateStep(StepUpdate {
            mission,
            step: step(*n),
            title: None,
            status: Some(*status),
            assignee: None,
            result: Some("so far".to_owned()),
        }),
        Move::Relocate { step: n, parent, position } => {
            Command::MoveStep(StepMove { mission, step: step(*n), parent: parent.map(step), position: *position })
        }
        Move::Remove(n) => Command::RemoveStep(StepRef { mission, step: step(*n) }),
        Move::Log => Command::LogActivity(ActivityAdd {
            mission,
            activity_type: ActivityType::Info,
            message: "something happened".to_owned(),
            details: Some(json!({"n": 1})),
            step: steps.first().copied(),
        }),
        Move::Send => Command::SendMessage(MessageSend { mission, text: "please hurry".to_owned() }),
        Move::Answer { approval, option } => Command::AnswerApproval(ApprovalReply {
            mission,
            approval: life
                .state
                .mission
                .as_ref()
                .and_then(|mission| mission.approvals.get(*approval))
                .map_or(Uuid::from_u128(2).into(), |asked| asked.id),
            option: option.then(|| "yes".to_owned()),
            text: None,
        }),
        Move::Begin => Command::Agent(AgentCommand::Begin),
        Move::Say(n) => Command::Agent(AgentCommand::Say { incarnation, line: line(*n) }),
        Move::Deliver(n) => Command::Agent(AgentCommand::Deliver {
            incarnation,
            delivered: Delivered {
                name: format!("{}.pdf", n % 2),
                media_type: "application/pdf".to_owned(),
                size: 3,
                sha256: n.to_string(),
                source: None,
                verified: true,
            },
        }),
        Move::Exit { by_itself } => Command::Agent(AgentCommand::Exit {
            incarnation,
            outcome: "it exited with code 1".to_owned(),
            stderr: Some("oh".to_owned()),
            by_itself: *by_itself,
        }),
    }
}

fn line(n: u8) -> AgentLine {
    let step = |key: &str, parent: Option<&str>| AgentLine::Step {
        key: key.to_owned(),
        title: Some(format!("the {key}")),
        status: Some(StepStatus::Running),
        parent: parent.map(str::to_owned),
        result: None,
    };
    match n {
        0 => step("login", None),
        1 => step("page", Some("login")),
        2 => AgentLine::Progress { percent: 30 },
        3 => AgentLine::Ask {
            key: "go".to_owned(),
            prompt: "Go on?".to_owned(),
            options: vec![ApprovalOption { id: "yes".to_owned(), label: "Yes".to_owned() }],
        },
        4 => AgentLine::Checkpoint { data: json!({"page": 2}) },
        5 => AgentLine::Usage { input_tokens: 1, output_tokens: 2, cost_micros: 3 },
        6 => AgentLine::Text { text: "looking".to_owned(), stream: None },
        7 => AgentLine::Done { result: None },
        _ => AgentLine::Failed { reason: "the portal is gone".to_owned() },
    }
}

fn replay(mut state: State, log: &[EventFrame]) -> State {
    for frame in log {
        // Through its JSON, as the journal keeps it.
        let json = serde_json::to_vec(frame).expect("a frame is JSON");
        let frame: EventFrame = serde_json::from_slice(&json).expect("JSON of a frame is a frame");
        state.apply(&frame).expect("what happened can be applied again");
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replay_and_snapshot_plus_tail_equal_living(agent in any::<bool>(), moves in moves(), cut in any::<prop::sample::Index>()) {
        let mut life = Life::begin(agent);
        for chosen in &moves {
            let before = life.state.clone();
            let command = command(&life, chosen);
            if life.run(&command).is_err() {
                prop_assert_eq!(&before, &life.state, "a refusal changes nothing");
            }
            check_invariants(&life.state)?;
        }
        prop_assert_eq!(&replay(State::new(mission()), &life.log), &life.state);

        let cut = cut.index(life.log.len());
        let at_cut = replay(State::new(mission()), &life.log[..cut]);
        let snapshot = serde_json::to_vec(&at_cut).expect("a state is JSON");
        let restored: State = serde_json::from_slice(&snapshot).expect("JSON of a state is a state");
        prop_assert_eq!(&replay(restored, &life.log[cut..]), &life.state);
    }
}

fn check_invariants(state: &State) -> Result<(), TestCaseError> {
    let Some(mission) = &state.mission else { return Ok(()) };
    for step in &mission.plan {
        prop_assert_eq!(mission.plan.iter().filter(|other| other.id == step.id).count(), 1, "ids are unique");
        let mut above = step.parent;
        for _ in 0..=mission.plan.len() {
            let Some(id) = above else { break };
            let index = mission.step_index(id);
            prop_assert!(index.is_some(), "a parent is in the plan");
            above = index.and_then(|index| mission.plan[index].parent);
        }
        prop_assert!(above.is_none(), "no step stands under itself");
    }
    prop_assert!(mission.progress <= 100);
    prop_assert_eq!(mission.completed_at.is_some(), mission.status.is_ended());
    if mission.status.is_ended() {
        let open = mission.approvals.iter().any(|a| a.status == flightdeck_protocol::model::ApprovalStatus::Pending);
        prop_assert!(!open, "nothing waits in a mission that has ended");
    }
    if mission.status == MissionStatus::Pending {
        prop_assert!(mission.started_at.is_none());
    }
    Ok(())
}
