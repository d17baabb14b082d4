//! What was broken once: each story ends well only because of a mend.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use flightdeck_protocol::{
    Event, EventFrame, MissionId,
    model::{MissionStatus, StepStatus},
    operations::{CancelMission, MissionCancel, MissionRef, PanicMission},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    Heard, Member, PATIENT, RawSocket, Scripts, Server, Watcher, agents_with, eventually, is_stopped, none_left,
    stored_log,
};

fn message(frame: &EventFrame) -> Option<&str> {
    match &frame.event {
        Event::ActivityLogged { message, .. } => Some(message),
        _ => None,
    }
}

/// Lets less time pass than a timer could.
fn pause(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// A watch that begins at the mission's first event, under a name that the story uses over and over.
fn watch_x(id: u64, mission: MissionId, watcher: &Watcher) -> String {
    let params = json!({"mission": mission, "sub": "x", "since": {"epoch": watcher.epoch, "seq": 0}});
    json!({"jsonrpc": "2.0", "id": id, "method": "mission.watch", "params": params}).to_string()
}

fn unwatch_x(id: u64) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "mission.unwatch", "params": {"sub": "x"}}).to_string()
}

#[tokio::test]
async fn a_name_that_is_used_again_brings_the_other_missions_events_alone() {
    // Nothing is kept in memory: every watch reads the journal, which takes a moment.
    let server = Server::with(&["--feed-bytes", "0"]).await;
    let ann = server.admin("ann").await;
    let (first, second) = (server.started(&ann, None, json!({})).await, server.started(&ann, None, json!({})).await);
    for nth in 0..40 {
        server.note(&ann, first, &format!("{nth} {}", "a".repeat(1_500))).await.expect("a note");
        server.note(&ann, second, &format!("{nth} of the second")).await.expect("a note");
    }
    let of_first = Watcher::snapshot(&server, &ann, first).await;
    let of_second = Watcher::snapshot(&server, &ann, second).await;
    let plain: Vec<Value> = stored_log(&server, &ann, second)
        .await
        .iter()
        .map(|event| serde_json::from_str(event).expect("an event"))
        .collect();

    let mut socket = RawSocket::open(&server, &ann.token).await;
    let mut changed = 0;
    for nth in 0..400_u64 {
        // The change of mind comes at another moment of the first watch each time: before it stands
        // (then the server says so), while its page is read, and after that.
        socket.send(watch_x(1, first, &of_first)).await;
        pause(Duration::from_micros(nth % 40 * 25));
        socket.send(unwatch_x(2)).await;
        socket.send(watch_x(3, second, &of_second)).await;
        let (mut answers, mut answered) = ([const { Value::Null }; 3], 0);
        // The first watch may be refused after the second has begun to tell.
        let mut events = VecDeque::new();
        while answered < 3 {
            let Heard::Json(mut message) = socket.hear().await else { panic!("the socket ended") };
            match message["id"].as_u64() {
                Some(id) => {
                    answers[id as usize - 1] = message["result"].take();
                    answered += 1;
                    if id == 2 {
                        events.clear();
                    }
                }
                None if message["method"] == "mission.events" => events.push_back(message["params"].take()),
                None => {}
            }
        }
        if answers[2]["epoch"] == json!(of_second.epoch) && answers[1].is_object() {
            assert_eq!((&answers[2]["resumed"], &answers[2]["seq"]), (&json!(true), &json!(0)));
            changed += 1;
            reads_all_of(&mut socket, events, &of_second, &plain).await;
        }
        socket.call("mission.unwatch", json!({"sub": "x"})).await;
    }
    assert!(changed > 20, "the mission was changed under the name {changed} times alone");
}

/// What `events` came and come next under the name are `plain` from the first to the last, and nothing else.
async fn reads_all_of(socket: &mut RawSocket, mut events: VecDeque<Value>, watcher: &Watcher, plain: &[Value]) {
    let mut came: Vec<Value> = Vec::new();
    while came.len() < plain.len() {
        let mut events = match events.pop_front() {
            Some(events) => events,
            None => socket.notice("mission.events").await,
        };
        assert_eq!((&events["sub"], &events["epoch"]), (&json!("x"), &json!(watcher.epoch)));
        assert_eq!(events["from"], came.len() as u64 + 1, "a gap or a repetition");
        came.append(events["events"].as_array_mut().expect("events"));
        assert_eq!(events["to"], came.len() as u64);
    }
    assert!(came == plain, "events of another mission: {came:#?}");
}

#[tokio::test]
async fn what_is_sent_to_missions_that_left_memory_arrives_in_order() {
    let server = Server::with(&["--mission-idle-seconds", "1", "--command-burst", "10000"]).await;
    let ann = server.admin("ann").await;
    let mut missions = Vec::new();
    for _ in 0..160 {
        let mission = server.started(&ann, None, json!({})).await;
        missions.push((mission, server.look(&ann, mission).await.seq));
    }
    eventually("the missions to leave memory", || async {
        let ready = server.request(Method::GET, "/readyz", None, None).await.json();
        (ready["missions_in_memory"] == 0).then_some(())
    })
    .await;
    let mut socket = RawSocket::open(&server, &ann.token).await;
    for (pace, (mission, before)) in missions.into_iter().enumerate() {
        let add = |nth: u64| {
            let params = json!({"mission": mission, "type": "info", "message": format!("note {nth}")});
            json!({"jsonrpc": "2.0", "id": nth, "method": "activity.add", "params": params}).to_string()
        };
        // The first ones have the mission read back; the others come all at once, now before
        // it is there, now just as it is, now after that.
        socket.send_all((0..3).map(add)).await;
        pause(Duration::from_micros(pace as u64 % 40 * 25));
        socket.send_all((3..60).map(add)).await;
        let mut seqs = vec![0; 60];
        for _ in 0..60 {
            let answer = socket.response().await;
            let nth = answer["id"].as_u64().expect("an id") as usize;
            seqs[nth] = answer["result"]["seq"].as_u64().unwrap_or_else(|| panic!("it was refused: {answer}"));
        }
        assert_eq!(seqs, (before + 1..=before + 60).collect::<Vec<_>>());
    }
}

/// Hears nothing, says nothing more, and does not go when it is asked to.
const DEAF: &str = "
signal.signal(signal.SIGTERM, signal.SIG_IGN)
say(type='activity', message=f'ready as {os.getpid()}')
while True:
    time.sleep(600)
";

/// Waits until the deaf agent has told its process id.
async fn process_of(watcher: &mut Watcher) -> i32 {
    let ready = watcher.event("the agent", |frame| message(frame).is_some_and(|said| said.starts_with("ready as ")));
    let ready = ready.await;
    let pid = message(&ready).and_then(|said| said.strip_prefix("ready as "));
    pid.expect("its process id").parse().expect("a number")
}

#[tokio::test]
async fn a_panicked_mission_leaves_no_second_process_of_its_agent() {
    let server = Scripts::new().agent("deaf", DEAF).serve(&["--drills", "--agent-restart-base-ms", "20"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, Some("deaf"), json!({})).await;
    let mut watcher = Watcher::from_the_first(&server, &ann, mission).await;
    let script = server.home().join("deaf.py");
    let mut before = process_of(&mut watcher).await;
    for _ in 0..3 {
        server.call::<PanicMission>(&ann, MissionRef { mission }).await.expect("a panic");
        let now = process_of(&mut watcher).await;
        assert_ne!(now, before);
        eventually("the end of the process before", || async {
            (agents_with(&script, Some(server.pid())) == [now]).then_some(())
        })
        .await;
        before = now;
    }
}

/// Stops its keeper, so that it hears no order, and does not go when it is asked to.
const REBEL: &str = "
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.kill(os.getppid(), signal.SIGSTOP)
say(type='activity', message=f'stopped {os.getppid()}')
while True:
    time.sleep(600)
";

/// A server with one place, and a rebel that has it and has stopped its keeper.
async fn rebellion() -> (Server, Member, Watcher) {
    let flags = ["--agent-stop-grace-ms", "100", "--agents-running", "1"];
    let server = Scripts::new().agent("rebel", REBEL).agent("patient", PATIENT).serve(&flags).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, Some("rebel"), json!({})).await;
    let mut watcher = Watcher::from_the_first(&server, &ann, mission).await;
    let told = watcher.event("the rebel", |frame| message(frame).is_some_and(|said| said.starts_with("stopped ")));
    let told = told.await;
    let keeper = message(&told).and_then(|said| said.strip_prefix("stopped ")).expect("the keeper's process id");
    let keeper = keeper.parse().expect("a number");
    eventually("the keeper to be stopped", || async { is_stopped(keeper).then_some(()) }).await;
    (server, ann, watcher)
}

#[tokio::test]
async fn an_agent_that_stops_its_keeper_is_ended_and_the_next_gets_its_place() {
    let (server, ann, mut watcher) = rebellion().await;
    let next = server.started(&ann, Some("patient"), json!({})).await;
    let mut next = Watcher::from_the_first(&server, &ann, next).await;
    let cancel = MissionCancel { mission: watcher.id, reason: Some("enough".to_owned()) };
    server.call::<CancelMission>(&ann, cancel).await.expect("an end");
    let asked = Instant::now();
    watcher.event("its exit", |frame| matches!(frame.event, Event::AgentExited { .. })).await;
    assert!(asked.elapsed() < Duration::from_secs(30), "it took {:?}", asked.elapsed());
    none_left(&server.home().join("rebel"), Some(server.pid())).await;
    assert_eq!(watcher.mission().status, MissionStatus::Cancelled);
    next.event("the next agent", |frame| message(frame) == Some("ready")).await;
    assert_eq!(next.mission().status, MissionStatus::Running);
}

#[tokio::test]
async fn an_agent_that_stops_its_keeper_does_not_outlive_the_server() {
    let (mut server, _ann, _watcher) = rebellion().await;
    server.kill_nine().await;
    none_left(&server.home().join("rebel"), None).await;
}

#[tokio::test]
async fn eight_hundred_steps_that_were_left_open_are_unknown_and_the_next_run_goes_on() {
    let busy = "
if start['incarnation'] == 1:
    for nth in range(800):
        say(type='step', key=f'{nth}', title=f'Step {nth}', status='running')
    sys.exit('I lost my way')
say(type='activity', message='I begin again')
say(type='step', key='7', status='completed')
say(type='activity', message='here I am')
while hear()['type'] != 'cancel':
    pass
";
    let flags = ["--agent-burst", "1000", "--agent-restart-base-ms", "20"];
    let server = Scripts::new().agent("busy", busy).serve(&flags).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, Some("busy"), json!({})).await;
    let mut watcher = Watcher::from_the_first(&server, &ann, mission).await;
    watcher.event("its end", |frame| matches!(frame.event, Event::AgentExited { .. })).await;
    watcher
        .until_mission("the next run", |mission| {
            mission.activity.iter().any(|activity| activity.message == "here I am")
        })
        .await;
    let mission = watcher.mission();
    assert_eq!((mission.status, mission.plan.len()), (MissionStatus::Running, 800));
    assert_eq!(mission.agent.as_ref().map(|agent| agent.incarnation), Some(2));
    let with = |wanted| mission.plan.iter().filter(move |step| step.status == wanted).count();
    assert_eq!((with(StepStatus::Unknown), with(StepStatus::Completed)), (799, 1));
    // Before it went on, all of them were.
    let unknown = watcher
        .events()
        .iter()
        .filter(|frame| matches!(frame.event, Event::StepUpdated { status: Some(StepStatus::Unknown), .. }));
    assert_eq!(unknown.count(), 800);
    assert_eq!(*mission, server.look(&ann, mission.id).await);
}

#[tokio::test]
async fn the_last_words_of_an_agent_that_is_gone_are_all_taken() {
    let hasty = "
words = ''.join(json.dumps({'type': 'text', 'text': f'{nth}'}) + '\\n' for nth in range(1500))
words = (words + json.dumps({'type': 'done'}) + '\\n').encode()
assert os.write(1, words) == len(words)
os._exit(0)
";
    // It takes seven seconds to take in what was printed in one moment.
    let flags = ["--agent-burst", "400", "--agent-events-per-second", "150"];
    let server = Scripts::new().agent("hasty", hasty).serve(&flags).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, Some("hasty"), json!({})).await;
    let mut watcher = Watcher::from_the_first(&server, &ann, mission).await;
    watcher.until_mission("its end", |mission| mission.status.is_ended()).await;
    assert_eq!(watcher.mission().status, MissionStatus::Completed);
    assert_eq!(watcher.mission().activity_count, 1_500);
    let words: Vec<String> = watcher.events().iter().filter_map(message).map(str::to_owned).collect();
    assert_eq!(words, (0..1_500).map(|nth| nth.to_string()).collect::<Vec<_>>());
}

/// Sends the head of a request and a part of its body, and waits for whatever the server makes of it.
async fn half_a_body(server: &Server, who: &Member, path: &str) -> String {
    let address = server.url.strip_prefix("http://").expect("an address");
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 500\r\n\r\n{{\"title\": \"A piece of",
        who.token
    );
    socket.write_all(head.as_bytes()).await.expect("a request");
    let mut answer = Vec::new();
    // That the connection is reset is an end as well.
    let ended = tokio::time::timeout(Duration::from_secs(40), socket.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(ended.is_ok(), "{path}: the socket is open still; what came: {answer}");
    answer
}

#[tokio::test]
async fn a_body_that_never_ends_is_not_waited_for() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let others = async {
        loop {
            let asked = Instant::now();
            let health = server.request(Method::GET, "/healthz", None, None).await;
            assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("ok")));
            assert!(asked.elapsed() < Duration::from_secs(10), "the server was held up for {:?}", asked.elapsed());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let halves =
        async { tokio::join!(half_a_body(&server, &ann, "/api/rpc"), half_a_body(&server, &ann, "/api/missions")) };
    tokio::select! {
        answers = halves => {
            for answer in [answers.0, answers.1].iter().filter(|answer| !answer.is_empty()) {
                assert!(answer.contains("did not come in time"), "{answer}");
            }
        }
        () = others => {}
    }
    server.still_works(&ann).await;
}

#[tokio::test]
async fn paths_outside_the_table_answer_in_json_too() {
    let server = Server::start().await;
    let ready = server.request(Method::GET, "/readyz", None, None).await;
    assert_eq!((ready.status, ready.json()), (200, json!({"status": "ready", "missions_in_memory": 0})));
    assert!(ready.header("content-type").starts_with("application/json"));
    for (verb, path, takes) in [(Method::POST, "/ws", "GET"), (Method::GET, "/api/rpc", "POST")] {
        let refused = server.request(verb, path, None, None).await;
        assert_eq!((refused.status, refused.header("allow")), (405, takes), "{path}");
        assert!(refused.header("content-type").starts_with("application/json"));
        let fault = refused.fault();
        assert_eq!(refused.json()["error"]["data"]["name"], fault.code.name());
        assert!(fault.message.contains(takes), "{fault}");
    }
}
