//! Working with an agent: held, resumed, written to, asked by it, and started again where it was.

use flightdeck_protocol::{
    Event, EventFrame,
    model::{AgentState, ApprovalStatus, MissionStatus, Role, StepStatus},
    operations::{
        AnswerApproval, ApprovalReply, MessageSend, MissionRef, PauseMission, ResumeMission, SendMessage, StartMission,
    },
};
use serde_json::json;

use crate::support::{Scripts, Watcher};

const ASKING: &str = "
say(type='step', key='look', title='Look', status='running')
say(type='step', key='look:a', title='At a', parent='look', status='running')
say(type='step', key='look:a', status='completed', result='seen')
say(type='progress', percent=40)
say(type='usage', input_tokens=10, output_tokens=5, cost_micros=7)
say(type='usage', input_tokens=1, output_tokens=2, cost_micros=3)
say(type='text', text='I need a word.')
say(type='ask', key='go', prompt='Shall I go on?', options=[{'id': 'yes', 'label': 'Yes'}, {'id': 'no', 'label': 'No'}])
while True:
    line = hear()
    if line['type'] == 'answer':
        break
say(type='activity', message=f\"{line['by']} chose {line['option']}\", step='look')
say(type='done', result={'went': line['option']})
";

#[tokio::test]
async fn an_agent_asks_and_goes_on_with_the_answer() {
    let server = Scripts::new().agent("asking", ASKING).serve(&[]).await;
    let ann = server.admin("ann").await;
    let abe = server.member(&ann, Role::Approver, "abe").await;
    let mission = server.started(&ann, Some("asking"), json!({})).await;
    let mut watcher = Watcher::from_the_first(&server, &ann, mission).await;
    watcher.until_mission("the question", |mission| mission.status == MissionStatus::Waiting).await;
    let waiting = watcher.mission().clone();
    assert_eq!(waiting.progress, 40);
    let usage = (waiting.usage.input_tokens, waiting.usage.output_tokens, waiting.usage.cost_micros);
    assert_eq!(usage, (11, 7, 10));
    let steps: Vec<_> = waiting.plan.iter().map(|step| (step.key.as_deref(), step.status)).collect();
    assert_eq!(steps, [(Some("look"), StepStatus::Running), (Some("look:a"), StepStatus::Completed)]);
    assert_eq!(waiting.plan[1].parent, Some(waiting.plan[0].id));
    let asked = &waiting.approvals[0];
    assert_eq!((asked.status, asked.options.len()), (ApprovalStatus::Pending, 2));

    let reply = ApprovalReply { mission, approval: asked.id, option: Some("yes".to_owned()), text: None };
    server.call::<AnswerApproval>(&abe, reply).await.expect("an answer");
    watcher.event("what it heard", said("abe chose yes")).await;
    watcher.until_mission("the end", |mission| mission.status == MissionStatus::Completed).await;
    let went: Vec<_> = watcher.events().iter().filter_map(status).collect();
    use MissionStatus::{Completed, Queued, Running, Waiting};
    assert_eq!(went, [Queued, Running, Waiting, Running, Completed]);
    assert_eq!(watcher.mission().result, Some(json!({"went": "yes"})));
}

fn status(frame: &EventFrame) -> Option<MissionStatus> {
    match frame.event {
        Event::StatusChanged { to, .. } => Some(to),
        _ => None,
    }
}

fn said(wanted: &str) -> impl Fn(&EventFrame) -> bool + use<> {
    let wanted = wanted.to_owned();
    move |frame| matches!(&frame.event, Event::ActivityLogged { message, .. } if *message == wanted)
}

/// Says everything that it is told.
const ECHO: &str = "
say(type='activity', message=f\"run {start['incarnation']} from {saved.get('told', 0)}\")
told = saved.get('told', 0)
while True:
    line = hear()
    if line['type'] == 'message':
        told += 1
        say(type='checkpoint', data={'told': told})
        say(type='text', text=f\"{line['from']}: {line['text']}\")
    elif line['type'] == 'cancel':
        break
    else:
        say(type='activity', message=f\"told to {line['type']}\")
";

#[tokio::test]
async fn an_agent_is_held_resumed_and_written_to() {
    let server = Scripts::new().agent("echo", ECHO).serve(&["--agent-pause-grace-ms", "300"]).await;
    let ann = server.admin("ann").await;
    let mission = server.mission(&ann, Some("echo"), json!({})).await;
    // What is said before it runs is told to it when it does.
    message(&server, &ann, mission, "early").await;
    server.call::<StartMission>(&ann, MissionRef { mission }).await.expect("a start");
    let mut watcher = Watcher::from_the_first(&server, &ann, mission).await;
    watcher.event("the early word", said("ann: early")).await;

    server.call::<PauseMission>(&ann, MissionRef { mission }).await.expect("a pause");
    watcher.event("that it heard", said("told to pause")).await;
    watcher.until_mission("the pause", |mission| mission.status == MissionStatus::Paused).await;
    message(&server, &ann, mission, "while you slept").await;
    server.call::<ResumeMission>(&ann, MissionRef { mission }).await.expect("a resume");
    watcher.event("the word that waited", said("ann: while you slept")).await;
    watcher.event("that it heard", said("told to resume")).await;
    assert_eq!(watcher.mission().status, MissionStatus::Running);
    assert_eq!(watcher.mission().agent.as_ref().map(|agent| agent.incarnation), Some(1), "it was never restarted");
}

async fn message(
    server: &crate::support::Server,
    who: &crate::support::Member,
    mission: flightdeck_protocol::MissionId,
    text: &str,
) {
    server.call::<SendMessage>(who, MessageSend { mission, text: text.to_owned() }).await.expect("a message");
}

#[tokio::test]
async fn an_agent_goes_on_from_its_checkpoint_in_the_servers_next_run() {
    let mut server = Scripts::new().agent("echo", ECHO).serve(&[]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, Some("echo"), json!({})).await;
    let paused = server.started(&ann, Some("echo"), json!({})).await;
    let mut watcher = Watcher::from_the_first(&server, &ann, mission).await;
    watcher.event("the first run", said("run 1 from 0")).await;
    for nth in 1..=3 {
        message(&server, &ann, mission, &nth.to_string()).await;
    }
    watcher.event("the third", said("ann: 3")).await;
    server.call::<PauseMission>(&ann, MissionRef { mission: paused }).await.expect("a pause");

    assert!(server.stop().await.success());
    server.start_again().await;
    watcher.until_closed().await;
    watcher.resume(&server, &ann).await;
    watcher.event("the second run", said("run 2 from 3")).await;
    let held = server.look(&ann, paused).await;
    assert_eq!(held.status, MissionStatus::Paused, "what was held is held");
    assert_ne!(held.agent.map(|agent| agent.state), Some(AgentState::Restarting));
    server.call::<ResumeMission>(&ann, MissionRef { mission: paused }).await.expect("a resume");
    let mut held = Watcher::snapshot(&server, &ann, paused).await;
    held.until_mission("its run", |mission| mission.status == MissionStatus::Running).await;
}
