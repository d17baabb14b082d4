//! Faults that a client plans: frames that are dropped, held back, sent twice, or replaced by the end.

use std::time::{Duration, Instant};

use flightdeck_protocol::{
    Code, MissionId,
    model::Role,
    notification::MISSION_EVENTS,
    operations::{ActivityAdd, AddActivity, SignOut},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Heard, Member, RawSocket, Server, fault_of, note, within};

/// Activities of a mission whose history does not go into one frame.
const NOTES: usize = 16;

/// A server that reads watches from memory, and one that reads them from the journal.
const BOTH: [&[&str]; 2] = [&["--faults"], &["--faults", "--feed-bytes", "0"]];

/// A mission with a history of several frames.
async fn long_mission(server: &Server, who: &Member) -> MissionId {
    let mission = server.started(who, None, json!({})).await;
    for _ in 0..NOTES {
        let details = Some(json!({"text": "x".repeat(15_000)}));
        server.call::<AddActivity>(who, ActivityAdd { details, ..note(mission, "a long one") }).await.expect("a note");
    }
    mission
}

async fn plan(server: &Server, who: &Member, mission: MissionId, faults: Value) {
    let answer = server.rpc(Some(&who.token), "fault.plan", &json!({"mission": mission, "faults": faults})).await;
    assert_eq!(answer["result"], json!({}), "{answer}");
}

/// Watches the mission on a new socket, from its first event on; gives the position of the newest.
async fn watch(server: &Server, who: &Member, mission: MissionId) -> (RawSocket, u64) {
    let mut socket = RawSocket::open(server, &who.token).await;
    let began = socket.call("mission.watch", json!({"mission": mission, "sub": "a"})).await;
    socket.call("mission.unwatch", json!({"sub": "a"})).await;
    let since = json!({"epoch": began["result"]["epoch"], "seq": 0});
    let began = socket.call("mission.watch", json!({"mission": mission, "sub": "b", "since": since})).await;
    assert_eq!(began["result"]["resumed"], true, "{began}");
    (socket, began["result"]["head"].as_u64().expect("a head"))
}

/// The first and the last event of the next frame of events.
async fn next_frame(socket: &mut RawSocket) -> (u64, u64) {
    frame_of(&socket.notice(MISSION_EVENTS).await)
}

fn frame_of(params: &Value) -> (u64, u64) {
    (params["from"].as_u64().expect("from"), params["to"].as_u64().expect("to"))
}

/// The frames that a watch of the mission from its first event on is sent.
async fn frames(server: &Server, who: &Member, mission: MissionId) -> Vec<(u64, u64)> {
    let (mut socket, head) = watch(server, who, mission).await;
    let mut frames = Vec::new();
    while frames.last().is_none_or(|(_, to)| *to < head) {
        frames.push(next_frame(&mut socket).await);
    }
    frames
}

#[tokio::test]
async fn a_frame_is_dropped_or_sent_twice_at_an_event_or_at_its_number() {
    for flags in BOTH {
        let server = Server::with(flags).await;
        let ann = server.admin("ann").await;
        let mission = long_mission(&server, &ann).await;
        let whole = frames(&server, &ann, mission).await;
        assert!(whole.len() >= 4, "{whole:?}");
        let middle = (whole[1].0 + whole[1].1) / 2;
        plan(&server, &ann, mission, json!([{"action": "drop", "at_seq": middle}])).await;
        assert_eq!(frames(&server, &ann, mission).await, [&whole[..1], &whole[2..]].concat());
        assert_eq!(frames(&server, &ann, mission).await, whole, "it happens once");
        let twice = json!([
            {"action": "duplicate", "at_frame": 2, "times": 2},
            {"action": "drop", "at_frame": 3},
        ]);
        plan(&server, &ann, mission, twice).await;
        assert_eq!(frames(&server, &ann, mission).await, [&whole[..2], &whole[1..2], &whole[3..]].concat());
        assert_eq!(frames(&server, &ann, mission).await, [&whole[..2], &whole[1..]].concat(), "over all watches");
        plan(&server, &ann, mission, json!([{"action": "drop", "at_frame": 1, "times": 9}])).await;
        plan(&server, &ann, mission, json!([])).await;
        assert_eq!(frames(&server, &ann, mission).await, whole, "an empty plan ends the one before");
    }
}

#[tokio::test]
async fn a_connection_is_killed_without_a_goodbye_and_what_came_before_is_there() {
    for flags in BOTH {
        let server = Server::with(flags).await;
        let ann = server.admin("ann").await;
        let mission = long_mission(&server, &ann).await;
        let whole = frames(&server, &ann, mission).await;
        plan(&server, &ann, mission, json!([{"action": "kill", "at_frame": 3, "times": 2}])).await;
        for _ in 0..2 {
            let (mut socket, _) = watch(&server, &ann, mission).await;
            let heard = socket.until_broken_off().await;
            let methods: Vec<&str> = heard.iter().filter_map(|message| message["method"].as_str()).collect();
            assert!(!methods.contains(&"session.closing"), "{methods:?}");
            let events = heard.iter().filter(|message| message["method"] == MISSION_EVENTS);
            let got: Vec<(u64, u64)> = events.map(|message| frame_of(&message["params"])).collect();
            assert_eq!(got, whole[..2]);
        }
        assert_eq!(frames(&server, &ann, mission).await, whole);
        server.still_works(&ann).await;
    }
}

#[tokio::test]
async fn a_frame_that_is_held_back_holds_back_everything_behind_it_but_a_goodbye() {
    let server = Server::with(&["--faults"]).await;
    let ann = server.admin("ann").await;
    let mission = long_mission(&server, &ann).await;
    let whole = frames(&server, &ann, mission).await;
    let wait = Duration::from_millis(700);
    let held = json!([{"action": "delay", "at_frame": 2, "delay_ms": wait.as_millis() as u64}]);
    plan(&server, &ann, mission, held).await;
    let began = Instant::now();
    let (mut socket, _) = watch(&server, &ann, mission).await;
    assert_eq!(next_frame(&mut socket).await, whole[0]);
    socket.send(json!({"jsonrpc": "2.0", "id": "behind", "method": "session.ping"}).to_string()).await;
    let first = socket.hear().await;
    assert!(matches!(&first, Heard::Json(message) if frame_of(&message["params"]) == whole[1]), "{first:?}");
    assert!(began.elapsed() >= wait, "it was held back");
    assert_eq!(socket.response().await["id"], "behind", "and then the answer comes");

    plan(&server, &ann, mission, json!([{"action": "delay", "at_frame": 1, "delay_ms": 60_000}])).await;
    let (mut socket, _) = watch(&server, &ann, mission).await;
    server.call::<SignOut>(&ann, Default::default()).await.expect("a sign-out");
    let closing = within("the goodbye", socket.goodbye()).await;
    assert_eq!(closing.code, 4501, "{closing:?}");
}

#[tokio::test]
async fn faults_are_for_admins_of_servers_that_allow_them() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let plan = json!({"mission": mission, "faults": [{"action": "drop", "at_seq": 3}]});
    server.refuses(&ann, mission, "fault.plan", plan, Code::FaultsOff).await;
    let server = Server::with(&["--faults"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let plan = json!({"mission": mission, "faults": [{"action": "drop", "at_seq": 3}]});
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Admin) {
        let other = server.member(&ann, role, role.name()).await;
        let refused = server.rpc(Some(&other.token), "fault.plan", &plan).await;
        assert_eq!(fault_of(&refused).code, Code::Forbidden, "{role:?}");
    }
    let allowed = server.rpc(Some(&ann.token), "fault.plan", &plan).await;
    assert_eq!(allowed["result"], json!({}), "{allowed}");
    let stranger = server.admin("eve").await;
    let refused = server.rpc(Some(&stranger.token), "fault.plan", &plan).await;
    assert_eq!(fault_of(&refused).code, Code::MissionNotFound, "the mission of another organization");
}

#[tokio::test]
async fn a_plan_that_makes_no_sense_is_refused_and_the_one_before_stays() {
    let server = Server::with(&["--faults"]).await;
    let ann = server.admin("ann").await;
    let mission = long_mission(&server, &ann).await;
    let whole = frames(&server, &ann, mission).await;
    plan(&server, &ann, mission, json!([{"action": "drop", "at_frame": 1}])).await;
    for (fault, code) in [
        (json!({"action": "drop"}), Code::InvalidValue),
        (json!({"action": "drop", "at_seq": 1, "at_frame": 1}), Code::InvalidValue),
        (json!({"action": "drop", "at_seq": 0}), Code::InvalidValue),
        (json!({"action": "delay", "at_seq": 1}), Code::InvalidValue),
        (json!({"action": "delay", "at_seq": 1, "delay_ms": 60_001}), Code::InvalidValue),
        (json!({"action": "kill", "at_seq": 1, "delay_ms": 5}), Code::InvalidValue),
        (json!({"action": "kill", "at_seq": 1, "times": 0}), Code::InvalidValue),
        (json!({"action": "kill", "at_seq": -1}), Code::InvalidParams),
        (json!({"action": "explode", "at_seq": 1}), Code::InvalidParams),
        (json!({"action": "kill", "at_seq": 1, "by": "me"}), Code::InvalidParams),
    ] {
        let plan = json!({"mission": mission, "faults": [fault]});
        server.refuses(&ann, mission, "fault.plan", plan, code).await;
    }
    let many = vec![json!({"action": "drop", "at_seq": 1}); 101];
    server.refuses(&ann, mission, "fault.plan", json!({"mission": mission, "faults": many}), Code::InvalidValue).await;
    assert_eq!(frames(&server, &ann, mission).await, whole[1..], "the plan of before");
}

#[tokio::test]
async fn a_server_in_production_does_not_start_with_faults_or_drills() {
    for switch in ["--faults", "--drills"] {
        let home = TempDir::new().expect("a temporary folder");
        let mut serve = tokio::process::Command::new(env!("CARGO_BIN_EXE_flightdeck"));
        serve.args(["serve", "--listen", "127.0.0.1:0", "--production", switch]).current_dir(home.path());
        let output = within("its refusal", serve.kill_on_drop(true).output()).await.expect("the server's binary");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(said.contains("production forbids that"), "{said}");
        assert!(!home.path().join("var").exists(), "nothing was made");
    }
    let server = Server::with(&["--production"]).await;
    let ann = server.admin("ann").await;
    server.still_works(&ann).await;
}
