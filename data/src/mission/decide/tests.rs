//! Decisions as stories: which command leads where, and what is refused.

use flightdeck_protocol::{
    Code, EventFrame, MissionId, OrganizationId, StepId, Timestamp, UserId,
    lines::{AgentLine, ServerLine},
    model::{Author, MissionStatus, StepStatus},
    operations::{MessageSend, MissionNew, StepAdd, StepMove, StepUpdate},
};
use uuid::Uuid;

use super::{Context, Decision, RestartPolicy, decide};
use crate::mission::{AgentCommand, Command, Delivered, Effect, State, follow};

struct Story {
    state: State,
    turn: u128,
    effects: Vec<Effect>,
}

impl Story {
    fn of(agent: Option<&str>) -> Self {
        let mut story = Self { state: State::new(id()), turn: 0, effects: Vec::new() };
        let new = MissionNew { title: "A story".to_owned(), agent: agent.map(str::to_owned), ..MissionNew::default() };
        story.ok(&Command::Create(OrganizationId(Uuid::from_u128(1)), new));
        story
    }

    fn context(&mut self) -> Context {
        self.turn += 1;
        Context {
            at: Timestamp::from_millis(self.turn as i64),
            by: Author::Person { id: UserId(Uuid::from_u128(2)), name: "olga".to_owned() },
            id: Uuid::from_u128(100 + self.turn),
            restart: RestartPolicy { limit: 2, base_ms: 100, max_ms: 150 },
        }
    }

    fn ok(&mut self, command: &Command) -> Decision {
        let context = self.context();
        let decision = decide(&self.state, command, &context).expect("it is allowed");
        self.effects = decision.effects.clone();
        for event in decision.events.clone() {
            let seq = self.state.seq() + 1;
            let frame = EventFrame { seq, at: context.at, by: context.by.clone(), cause: None, event };
            self.effects.extend(follow(&mut self.state, &frame).expect("it can be folded"));
        }
        decision
    }

    fn refused(&mut self, command: &Command) -> Code {
        let context = self.context();
        decide(&self.state, command, &context).expect_err("it is refused").code
    }

    fn say(&mut self, line: AgentLine) -> Decision {
        let incarnation = self.incarnation();
        self.ok(&Command::Agent(AgentCommand::Say { incarnation, line }))
    }

    fn exit(&mut self, by_itself: bool) {
        let exit = AgentCommand::Exit {
            incarnation: self.incarnation(),
            outcome: "it exited with code 3".to_owned(),
            stderr: Some("no such portal".to_owned()),
            by_itself,
        };
        self.ok(&Command::Agent(exit));
    }

    fn incarnation(&self) -> u32 {
        self.state.mission.as_ref().unwrap().agent.as_ref().unwrap().incarnation
    }

    fn status(&self) -> MissionStatus {
        self.state.mission.as_ref().unwrap().status
    }

    fn add_step(&mut self, parent: Option<StepId>) -> StepId {
        let add = StepAdd { mission: id(), title: "a step".to_owned(), parent, position: None, assignee: None };
        self.ok(&Command::AddStep(add)).made.unwrap().into()
    }
}

fn id() -> MissionId {
    MissionId(Uuid::from_u128(3))
}

fn ask() -> AgentLine {
    AgentLine::Ask { key: "go".to_owned(), prompt: "Go on?".to_owned(), options: vec![] }
}

fn running() -> Story {
    let mut story = Story::of(Some("retrieve"));
    story.ok(&Command::Start);
    assert_eq!(story.effects, [Effect::QueueAgent { after_ms: 0 }]);
    story.ok(&Command::Agent(AgentCommand::Begin));
    assert_eq!(story.effects, [Effect::LaunchAgent { incarnation: 1 }]);
    story
}

/// A mission in each status of the design.
fn every_status() -> Vec<Story> {
    let led = |mut story: Story, command: Command| {
        story.ok(&command);
        story
    };
    let mut waiting = running();
    waiting.say(ask());
    let mut failed = running();
    failed.say(AgentLine::Failed { reason: "the portal is gone".to_owned() });
    vec![
        Story::of(Some("retrieve")),
        led(Story::of(Some("retrieve")), Command::Start),
        running(),
        waiting,
        led(running(), Command::Pause),
        led(running(), Command::Complete(None)),
        failed,
        led(running(), Command::Cancel(None)),
    ]
}

#[test]
fn which_command_leads_where() {
    let commands: [(&str, Command); 6] = [
        ("start", Command::Start),
        ("pause", Command::Pause),
        ("resume", Command::Resume),
        ("complete", Command::Complete(None)),
        ("cancel", Command::Cancel(None)),
        ("delete", Command::Delete),
    ];
    let mut table = String::new();
    for row in 0..every_status().len() {
        for (name, command) in &commands {
            let mut story = every_status().swap_remove(row);
            let from = story.status();
            let context = story.context();
            let to = match decide(&story.state, command, &context) {
                Ok(_) => {
                    story.ok(command);
                    if story.state.deleted { "deleted".to_owned() } else { story.status().name().to_owned() }
                }
                Err(fault) => format!("({})", fault.data.name),
            };
            table.push_str(&format!("{:<10} {name:<9} {to}\n", from.name()));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn every_status_of_the_design_can_be_reached() {
    let reached: Vec<&str> = every_status().iter().map(|story| story.status().name()).collect();
    let all = ["pending", "queued", "running", "waiting", "paused", "completed", "failed", "cancelled"];
    assert_eq!(reached, all);
}

#[test]
fn a_step_does_not_go_under_itself_or_its_children() {
    let mut story = Story::of(None);
    let top = story.add_step(None);
    let middle = story.add_step(Some(top));
    let leaf = story.add_step(Some(middle));
    let to = |step, parent| Command::MoveStep(StepMove { mission: id(), step, parent: Some(parent), position: None });
    assert_eq!(story.refused(&to(top, top)), Code::StepCycle);
    assert_eq!(story.refused(&to(top, leaf)), Code::StepCycle);
    assert_eq!(story.refused(&to(top, StepId(Uuid::nil()))), Code::StepNotFound);
    story.ok(&to(leaf, top));
}

#[test]
fn a_plan_is_only_so_deep() {
    let mut story = Story::of(None);
    let mut parent = None;
    for _ in 0..crate::mission::limits::STEP_DEPTH {
        parent = Some(story.add_step(parent));
    }
    let add = StepAdd { mission: id(), title: "too deep".to_owned(), parent, position: None, assignee: None };
    assert_eq!(story.refused(&Command::AddStep(add)), Code::LimitReached);
}

#[test]
fn what_changes_nothing_is_no_event() {
    let mut story = running();
    let step = story.add_step(None);
    let update = StepUpdate {
        mission: id(),
        step,
        title: Some("a step".to_owned()),
        status: Some(StepStatus::Pending),
        assignee: None,
        result: None,
    };
    assert!(story.ok(&Command::UpdateStep(update)).events.is_empty());
    let file = Delivered {
        name: "a.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        size: 1,
        sha256: "aa".to_owned(),
        source: None,
        verified: true,
    };
    let deliver = Command::Agent(AgentCommand::Deliver { incarnation: 1, delivered: file.clone() });
    assert_eq!(story.ok(&deliver).events.len(), 1);
    assert!(story.ok(&deliver).events.is_empty(), "the same bytes under the same name are no new version");
    let other = Delivered { sha256: "bb".to_owned(), ..file };
    story.ok(&Command::Agent(AgentCommand::Deliver { incarnation: 1, delivered: other }));
    let mission = story.state.mission.as_ref().unwrap();
    assert_eq!((mission.documents.len(), mission.documents[0].version), (1, 2));
}

#[test]
fn a_crashed_agent_comes_back_slower_each_time_until_it_is_given_up() {
    let mut story = running();
    let step = AgentLine::Step {
        key: "a".to_owned(),
        title: Some("A".to_owned()),
        status: Some(StepStatus::Running),
        parent: None,
        result: None,
    };
    story.say(step);
    story.exit(true);
    assert_eq!(story.effects, [Effect::QueueAgent { after_ms: 100 }]);
    assert_eq!(story.state.mission.as_ref().unwrap().plan[0].status, StepStatus::Unknown);
    story.ok(&Command::Agent(AgentCommand::Begin));
    story.exit(true);
    assert_eq!(story.effects, [Effect::QueueAgent { after_ms: 150 }], "up to the longest pause");
    story.ok(&Command::Agent(AgentCommand::Begin));
    story.exit(true);
    assert_eq!(story.status(), MissionStatus::Failed);
    let reason = story.state.mission.as_ref().unwrap().status_reason.clone().unwrap();
    assert!(reason.contains("no such portal"), "{reason}");
}

#[test]
fn an_agent_that_gets_somewhere_is_not_given_up() {
    let mut story = running();
    for page in 0..10 {
        story.say(AgentLine::Checkpoint { data: serde_json::json!(page) });
        story.exit(true);
        story.ok(&Command::Agent(AgentCommand::Begin));
    }
    assert_eq!(story.status(), MissionStatus::Running);
    for _ in 0..2 {
        story.say(AgentLine::Checkpoint { data: serde_json::json!(9) });
        story.exit(true);
        if story.status() == MissionStatus::Running {
            story.ok(&Command::Agent(AgentCommand::Begin));
        }
    }
    assert_eq!(story.status(), MissionStatus::Failed, "to save the same again is not to get anywhere");
}

#[test]
fn a_run_that_is_over_is_not_listened_to() {
    let mut story = running();
    story.exit(true);
    story.ok(&Command::Agent(AgentCommand::Begin));
    let stale = AgentCommand::Say { incarnation: 1, line: AgentLine::Progress { percent: 9 } };
    assert_eq!(story.refused(&Command::Agent(stale)), Code::IllegalTransition);
}

#[test]
fn an_agent_that_asks_again_after_a_restart_gets_the_answer_it_had() {
    let mut story = running();
    let approval = story.say(ask()).made.unwrap().into();
    assert_eq!(story.status(), MissionStatus::Waiting);
    let reply = |text: &str| {
        Command::AnswerApproval(flightdeck_protocol::operations::ApprovalReply {
            mission: id(),
            approval,
            option: None,
            text: Some(text.to_owned()),
        })
    };
    story.ok(&reply("yes"));
    assert_eq!(story.status(), MissionStatus::Running);
    assert_eq!(story.refused(&reply("no")), Code::AlreadyAnswered);
    story.exit(false);
    story.ok(&Command::Agent(AgentCommand::Begin));
    assert!(story.say(ask()).events.is_empty());
    let answer =
        ServerLine::Answer { key: "go".to_owned(), option: None, text: Some("yes".to_owned()), by: "olga".to_owned() };
    assert_eq!(story.effects, [Effect::TellAgent(answer)]);
}

#[test]
fn messages_wait_for_an_agent_that_does_not_run() {
    let mut story = Story::of(Some("retrieve"));
    story.ok(&Command::SendMessage(MessageSend { mission: id(), text: "mind the gap".to_owned() }));
    assert_eq!(story.effects, []);
    story.ok(&Command::Start);
    story.ok(&Command::Agent(AgentCommand::Begin));
    let told = story
        .effects
        .iter()
        .any(|effect| matches!(effect, Effect::TellAgent(ServerLine::Message { text, .. }) if text == "mind the gap"));
    assert!(told, "{:?}", story.effects);
    story.exit(false);
    story.ok(&Command::Agent(AgentCommand::Begin));
    assert_eq!(story.effects.len(), 2, "nobody knows whether the first run had read it: {:?}", story.effects);
    story.say(AgentLine::Checkpoint { data: serde_json::json!(1) });
    story.exit(false);
    story.ok(&Command::Agent(AgentCommand::Begin));
    assert_eq!(story.effects, [Effect::LaunchAgent { incarnation: 3 }], "a checkpoint settles it");
}
