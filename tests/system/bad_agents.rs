//! Agents that misbehave: each is dealt with, and the mission beside it does not notice.

use flightdeck_protocol::{
    Event, EventFrame, MissionId,
    model::{ActivityType, Mission, MissionStatus},
    operations::{CancelMission, MissionCancel},
};
use serde_json::json;

use crate::support::{Member, PATIENT, Scripts, Server, Watcher, none_left, running_with, stored_log};

/// A server with a bad agent and a patient one, whose mission runs beside.
struct Scene {
    server: Server,
    ann: Member,
    beside: Watcher,
    mission: MissionId,
    watcher: Watcher,
}

impl Scene {
    async fn set(bad: &str, flags: &[&str]) -> Self {
        let quick = ["--agent-stop-grace-ms", "500", "--agent-restart-base-ms", "20"];
        let flags = [&quick, flags].concat();
        let server = Scripts::new().agent("bad", bad).agent("patient", PATIENT).serve(&flags).await;
        let ann = server.admin("ann").await;
        let beside = server.started(&ann, Some("patient"), json!({})).await;
        let mut beside = Watcher::from_the_first(&server, &ann, beside).await;
        beside.event("the patient one", |frame| message(frame) == Some("ready")).await;
        let mission = server.started(&ann, Some("bad"), json!({})).await;
        let watcher = Watcher::from_the_first(&server, &ann, mission).await;
        Self { server, ann, beside, mission, watcher }
    }

    async fn fails(&mut self) -> Mission {
        self.watcher.until_mission("the failure", |mission| mission.status == MissionStatus::Failed).await;
        self.watcher.mission().clone()
    }

    async fn completes(&mut self) -> Mission {
        self.watcher.until_mission("the end", |mission| mission.status.is_ended()).await;
        assert_eq!(self.watcher.mission().status, MissionStatus::Completed);
        self.watcher.mission().clone()
    }

    /// A warning that says `part`.
    async fn warns(&mut self, part: &str) -> String {
        let warning = self.watcher.event(part, |frame| {
            matches!(&frame.event, Event::ActivityLogged { activity_type: ActivityType::Warning, message, .. }
                if message.contains(part))
        });
        message(&warning.await).unwrap_or_default().to_owned()
    }

    /// The mission beside never noticed, and its agent is the only one that is left.
    async fn ends_well(mut self) {
        let ack = self.server.note(&self.ann, self.beside.id, "all is well?").await.expect("a note");
        self.beside.reach(ack.seq).await;
        let mission = self.beside.mission();
        assert_eq!(mission.status, MissionStatus::Running);
        assert_eq!(mission.agent.as_ref().map(|agent| agent.incarnation), Some(1));
        self.server.still_works(&self.ann).await;
        let (home, server) = (self.server.home(), Some(self.server.pid()));
        none_left(&home.join("bad"), server).await;
        assert!(!running_with(&home.join("patient"), server).is_empty());
    }
}

fn message(frame: &EventFrame) -> Option<&str> {
    match &frame.event {
        Event::ActivityLogged { message, .. } => Some(message),
        _ => None,
    }
}

#[tokio::test]
async fn garbage_becomes_log_entries_and_warnings() {
    let bad = r#"
out = sys.stdout.buffer
for line in [b'plain words', b'\xff\xfe\x00 bytes', b'{"type": "step"', b'[1, 2]', b'"text"', b'', b'   ', b'\x1b[31mred']:
    out.write(line + b'\n')
for line in [{}, {'type': 7}, {'type': 'fly'}, {'type': 'progress', 'percent': 700}, {'type': 'progress', 'percent': 101},
             {'type': 'step', 'key': 'untitled'}, {'type': 'step', 'key': '', 'title': 'a'},
             {'type': 'step', 'key': 'orphan', 'title': 'a', 'parent': 'nobody'},
             {'type': 'activity', 'message': ''}, {'type': 'activity', 'message': 'x' * 5000}, {'type': 'ask', 'key': 'a'},
             {'type': 'usage', 'input_tokens': -1}, {'type': 'checkpoint', 'data': 'x' * 40000}]:
    out.write(json.dumps(line).encode() + b'\n')
out.write(b'{"type": "done"}')
out.flush()
refused = 0
"#;
    let mut scene = Scene::set(bad, &[]).await;
    let mission = scene.completes().await;
    assert!(mission.plan.is_empty());
    let messages = |wanted| {
        let of_type = mission.activity.iter().filter(move |activity| activity.activity_type == wanted);
        of_type.map(|activity| activity.message.as_str()).collect::<Vec<_>>()
    };
    let logs = messages(ActivityType::Log);
    assert_eq!((logs.len(), logs[0]), (6, "plain words"));
    assert!(logs.iter().all(|log| !log.contains(['\u{1b}', '\0'])), "{logs:?}");
    let warnings = messages(ActivityType::Warning);
    assert_eq!(warnings.len(), 13, "{warnings:#?}");
    assert!(warnings.iter().all(|warning| warning.contains("was not taken")), "{warnings:#?}");
    scene.ends_well().await;
}

#[tokio::test]
async fn a_flood_is_slowed_down_and_nothing_of_it_is_lost() {
    let bad = "
for nth in range(900):
    say(type='activity', message=f'drop {nth}')
say(type='done')
";
    let mut scene = Scene::set(bad, &["--agent-events-per-second", "300", "--agent-burst", "50"]).await;
    // While it floods, the mission beside answers.
    let ack = scene.server.note(&scene.ann, scene.beside.id, "dry?").await.expect("a note");
    scene.beside.reach(ack.seq).await;
    scene.completes().await;
    let drops: Vec<&EventFrame> =
        scene.watcher.events().iter().filter(|frame| message(frame).is_some_and(|m| m.starts_with("drop "))).collect();
    assert!(drops.iter().enumerate().all(|(nth, frame)| message(frame) == Some(&format!("drop {nth}"))));
    assert_eq!(drops.len(), 900);
    let took = drops[899].at.as_millis() - drops[0].at.as_millis();
    // 900 lines, less the burst, at 300 a second.
    assert!(took >= 2_500, "it took {took} ms");
    scene.ends_well().await;
}

#[tokio::test]
async fn one_that_hangs_is_ended_and_started_again_until_that_is_enough() {
    let bad = "
signal.signal(signal.SIGTERM, signal.SIG_IGN)
say(type='activity', message='and now I hang')
while True:
    time.sleep(60)
";
    let flags = ["--agent-silence-seconds", "3", "--agent-restart-limit", "1"];
    // The patient one would be silent for too long as well.
    let patient = "
import threading
def chat():
    while True:
        time.sleep(0.2)
        say(type='activity', message='here')
threading.Thread(target=chat, daemon=True).start()
say(type='activity', message='ready')
while hear()['type'] != 'cancel':
    pass
os._exit(0)
";
    let server = Scripts::new().agent("bad", bad).agent("patient", patient);
    let quick = ["--agent-stop-grace-ms", "200", "--agent-restart-base-ms", "20"];
    let server = server.serve(&[&quick[..], &flags[..]].concat()).await;
    let ann = server.admin("ann").await;
    let beside = server.started(&ann, Some("patient"), json!({})).await;
    let beside = Watcher::from_the_first(&server, &ann, beside).await;
    let mission = server.started(&ann, Some("bad"), json!({})).await;
    let watcher = Watcher::from_the_first(&server, &ann, mission).await;
    let mut scene = Scene { server, ann, beside, mission, watcher };
    let mission = scene.fails().await;
    let reason = mission.status_reason.unwrap_or_default();
    assert!(reason.contains("printed nothing for"), "{reason}");
    assert_eq!(mission.agent.map(|agent| agent.incarnation), Some(2));
    scene.ends_well().await;
}

#[tokio::test]
async fn one_that_dies_at_once_fails_its_mission_with_its_last_words() {
    let bad = "sys.exit('no such library: libmagic')";
    let mut scene = Scene::set(bad, &["--agent-restart-limit", "2"]).await;
    let mission = scene.fails().await;
    let reason = mission.status_reason.unwrap_or_default();
    assert!(reason.contains("no such library: libmagic"), "{reason}");
    let exits: Vec<_> = scene.watcher.events().iter().filter_map(exit).collect();
    assert_eq!(exits.len(), 3, "the first run and two more");
    assert!(exits[0].is_some() && exits[1] > exits[0] && exits[2].is_none(), "each waits longer: {exits:?}");
    scene.ends_well().await;
}

fn exit(frame: &EventFrame) -> Option<Option<u64>> {
    match frame.event {
        Event::AgentExited { restart_in_ms, .. } => Some(restart_in_ms),
        _ => None,
    }
}

#[tokio::test]
async fn one_whose_program_is_not_there_fails_its_mission() {
    let server = Server::with(&["--agent", "none=/no/such/program", "--agent-restart-limit", "0"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, Some("none"), json!({})).await;
    let mission = server.end_of(&ann, mission).await;
    assert_eq!(mission.status, MissionStatus::Failed);
    let reason = mission.status_reason.unwrap_or_default();
    assert!(reason.contains("/no/such/program"), "{reason}");
    let secret = server.started(&ann, Some("retrieve"), json!({"secret": "nobody-made-it"})).await;
    let mission = server.end_of(&ann, secret).await;
    assert_eq!(mission.status, MissionStatus::Failed);
    assert!(mission.status_reason.unwrap_or_default().contains("nobody-made-it"));
    server.still_works(&ann).await;
}

#[tokio::test]
async fn one_that_forks_leaves_nothing_behind() {
    let bad = "
nap = 'import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'
twice = f'''import os, subprocess, sys
os.setsid()
if os.fork() == 0:
    subprocess.Popen(['python3', '-S', '-c', {nap!r}, sys.argv[1]], start_new_session=True)
os._exit(0)
'''
for nth in range(3):
    subprocess.Popen(['python3', '-S', '-c', nap, __file__])
    subprocess.Popen(['python3', '-S', '-c', nap, __file__], start_new_session=True)
    subprocess.run(['python3', '-S', '-c', twice, __file__])
say(type='activity', message='all are out')
while hear():
    pass
";
    let mut scene = Scene::set(bad, &[]).await;
    scene.watcher.event("its children", |frame| message(frame) == Some("all are out")).await;
    let bad = scene.server.home().join("bad");
    let server = Some(scene.server.pid());
    assert!(running_with(&bad, server).len() >= 10, "{:?}", running_with(&bad, server));
    let cancel = MissionCancel { mission: scene.mission, reason: Some("enough".to_owned()) };
    scene.server.call::<CancelMission>(&scene.ann, cancel).await.expect("an end");
    scene.watcher.event("its exit", |frame| matches!(frame.event, Event::AgentExited { .. })).await;
    assert_eq!(scene.watcher.mission().status, MissionStatus::Cancelled);
    assert_eq!(running_with(&bad, server), [], "when the exit is told, all of them are gone");
    scene.ends_well().await;
}

#[tokio::test]
async fn a_line_that_is_too_long_is_refused_and_the_next_is_taken() {
    let bad = "
say(type='activity', message='x' * 9000)
sys.stdout.write('y' * 5000000 + '\\n')
refused = [hear(), hear()]
assert [line['type'] for line in refused] == ['refused', 'refused'], refused
say(type='done')
";
    let mut scene = Scene::set(bad, &["--agent-line-bytes", "4096"]).await;
    let warning = scene.warns("a line may have 4096").await;
    assert!(warning.chars().count() < 1_000, "{warning}");
    scene.completes().await;
    scene.ends_well().await;
}

#[tokio::test]
async fn documents_come_from_the_workspace_and_are_what_was_said() {
    let bad = "
open('good.txt', 'w').write('good')
os.symlink('/etc/passwd', 'link')
os.mkdir('folder')
def offer(name, path, **claims):
    say(type='document', name=name, path=path, **claims)
offer('a', '../../signing.key')
offer('b', '/etc/passwd')
offer('c', 'link')
offer('d', 'missing')
offer('e', 'folder')
offer('../f', 'good.txt')
offer('g', 'good.txt', size=5)
offer('h', 'good.txt', sha256='0' * 64)
offer('i', 'good.txt', media_type='application/pdf')
for nth in range(9):
    line = hear()
    assert line['type'] == 'refused' and line['line'] == 'document', line
offer('good.txt', 'good.txt', size=4)
say(type='done')
";
    let mut scene = Scene::set(bad, &[]).await;
    let mission = scene.completes().await;
    let names: Vec<&str> = mission.documents.iter().map(|document| document.name.as_str()).collect();
    assert_eq!(names, ["good.txt"]);
    let outside = mission.activity.iter().filter(|activity| activity.message.contains("outside the workspace"));
    assert_eq!(outside.count(), 3);
    scene.ends_well().await;
}

#[tokio::test]
async fn what_comes_after_the_end_counts_for_nothing() {
    let bad = "
say(type='activity', message='ready')
while hear()['type'] != 'cancel':
    pass
say(type='step', key='late', title='Too late')
say(type='ask', key='late', prompt='May I?')
say(type='done', result={'late': True})
";
    let mut scene = Scene::set(bad, &[]).await;
    scene.watcher.event("the agent", |frame| message(frame) == Some("ready")).await;
    let cancel = MissionCancel { mission: scene.mission, reason: None };
    scene.server.call::<CancelMission>(&scene.ann, cancel).await.expect("an end");
    scene.watcher.event("its exit", |frame| matches!(frame.event, Event::AgentExited { .. })).await;
    let mission = scene.watcher.mission();
    assert_eq!((mission.status, mission.result.as_ref()), (MissionStatus::Cancelled, None));
    assert!(mission.plan.is_empty());
    assert!(mission.approvals.iter().all(|asked| asked.status != flightdeck_protocol::model::ApprovalStatus::Pending));
    scene.ends_well().await;
}

#[tokio::test]
async fn one_that_prints_its_secret_is_not_believed() {
    let bad = "
password = start['secret']['password']
say(type='activity', message=f'I typed {password}', details={'typed': password})
say(type='text', text=password)
print(f'garbage with {password}', flush=True)
sys.exit(f'I cannot keep {password} to myself')
";
    let server = Scripts::new().agent("bad", bad).serve(&["--agent-restart-limit", "0"]).await;
    let ann = server.admin("ann").await;
    let password = "p\"ass\\word of 2025";
    server.put_secret(&ann, "portal", &json!({"username": "ann", "password": password}));
    let mission = server.started(&ann, Some("bad"), json!({"secret": "portal"})).await;
    let failed = server.end_of(&ann, mission).await;
    let reason = failed.status_reason.clone().unwrap_or_default();
    assert!(reason.contains("I cannot keep [secret] to myself"), "{reason}");
    assert_eq!(failed.activity.len(), 3);
    let told = stored_log(&server, &ann, mission).await.join("\n") + &server.log();
    assert!(!told.contains("of 2025") && told.contains("[secret]"), "{told}");
}
