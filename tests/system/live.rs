//! Watching: what people see live, each the same, and none at another's cost.

use std::time::Duration;

use flightdeck_protocol::{
    EventFrame,
    client::{Notices, Options, Session},
    model::{MissionStatus, Role},
    notification::{Close, Notice},
    operations::{Position, RenewSession, SessionRenew, Watching},
};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{PATIENT, RawSocket, Scripts, Server, Watcher, eventually, stored_log, within};

#[tokio::test]
async fn a_watch_begins_with_a_snapshot_and_everyone_sees_the_same() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let vera = server.member(&ann, Role::Viewer, "vera").await;
    let mission = server.started(&ann, None, json!({"year": 2025})).await;
    server.note(&ann, mission, "before anyone watched").await.expect("a note");

    let mut one = Watcher::snapshot(&server, &ann, mission).await;
    let mut other = Watcher::snapshot(&server, &vera, mission).await;
    let snapshot = one.began.snapshot.clone().expect("a snapshot");
    assert_eq!(snapshot, server.look(&ann, mission).await);
    assert_eq!((snapshot.status, &snapshot.input["year"]), (MissionStatus::Running, &json!(2025)));
    assert_eq!(snapshot.seq, one.began.seq);

    for nth in 0..50 {
        server.note(&ann, mission, &format!("note {nth}")).await.expect("a note");
    }
    let last = server.note(&ann, mission, "the last").await.expect("a note");
    one.reach(last.seq).await;
    other.reach(last.seq).await;
    assert_eq!(one.raw(), other.raw());
    assert_eq!(one.raw().len(), 51);
    assert_eq!(*one.mission(), server.look(&ann, mission).await, "snapshot and events make the state");
    let tail = &stored_log(&server, &ann, mission).await[snapshot.seq as usize..];
    assert_eq!(tail, one.raw().as_slice(), "what was sent is what is stored");
}

#[tokio::test]
async fn everyone_sees_who_is_here_each_person_once() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let vera = server.member(&ann, Role::Viewer, "vera").await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut first = Watcher::snapshot(&server, &ann, mission).await;
    first.until_present(&["ann"]).await;
    let second_tab = Watcher::snapshot(&server, &ann, mission).await;
    let mut other = Watcher::snapshot(&server, &vera, mission).await;
    first.until_present(&["ann", "vera"]).await;
    other.until_present(&["ann", "vera"]).await;
    assert_eq!(other.present.iter().map(|here| here.role).collect::<Vec<_>>(), [Role::Admin, Role::Viewer]);
    drop(first);
    drop(second_tab);
    other.until_present(&["vera"]).await;
}

#[tokio::test]
async fn a_path_can_name_the_mission_and_the_header_or_the_first_message_the_person() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;

    let (session, mut notices) = within("a session", Session::connect_mission(&server.url, mission, Some(&ann.token)))
        .await
        .expect("a session by header");
    let watching = watching(&mut notices).await;
    let mut by_header = Watcher::over(session, notices, watching);

    let (session, mut notices) =
        within("a session", Session::connect_mission(&server.url, mission, None)).await.expect("a socket");
    let opened = session.open(&ann.token).await.expect("an open session");
    assert_eq!((opened.user, opened.profile.as_str()), (ann.person.clone(), "flightdeck.v1"));
    let watching = self::watching(&mut notices).await;
    let mut by_message = Watcher::over(session, notices, watching);

    let last = server.note(&ann, mission, "hello").await.expect("a note");
    by_header.reach(last.seq).await;
    by_message.reach(last.seq).await;
    assert_eq!(by_header.raw(), by_message.raw());

    let since = format!("/ws/missions/{mission}/?since={}:1", by_header.epoch);
    let mut resumed = RawSocket::connect(&server, &since, Some(&ann.token)).await.expect("a connection");
    let watching = resumed.notice("mission.watching").await;
    assert_eq!((&watching["resumed"], &watching["seq"]), (&json!(true), &json!(1)));
    assert_eq!(resumed.notice("mission.events").await["from"], 2);
}

async fn watching(notices: &mut Notices) -> Watching {
    within("the watch of the path", async {
        loop {
            if let Notice::Watching(watching) = notices.next().await.expect("a socket that goes on") {
                assert_eq!(watching.sub, watching.mission.to_string());
                return watching;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_session_pings_beats_and_goes_on_with_a_newer_token() {
    let server = Server::with(&["--access-token-seconds", "8", "--heartbeat-interval-ms", "200"]).await;
    let ann = server.admin("ann").await;
    let mut socket = RawSocket::open(&server, &ann.token).await;
    assert!(socket.call("session.ping", json!({})).await["result"]["at"].is_string());
    socket.notice("session.heartbeat").await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut watcher = Watcher::snapshot(&server, &ann, mission).await;

    let newer = server.sign_in("ann").await;
    let renewed = watcher.session.call::<RenewSession>(SessionRenew { token: newer.token }).await.expect("a renewal");
    // The socket with the old token ends; the renewed one is there when its own time is up, and no sooner.
    let closing = socket.goodbye().await;
    assert_eq!(closing.code, Close::TokenExpired.code());
    assert!(closing.reconnect_after_ms.is_some());
    assert!(!watcher.ended);
    assert_eq!(watcher.until_closed().await.code, Close::TokenExpired.code());
    assert!(flightdeck_protocol::Timestamp::now() >= renewed.expires_at);
}

#[tokio::test]
async fn a_client_that_falls_silent_is_let_go() {
    let heartbeat = ["--heartbeat-interval-ms", "200", "--heartbeat-timeout-ms", "3000"];
    let server = Server::with(&[&heartbeat[..], &["--presence-grace-ms", "0"]].concat()).await;
    let ann = server.admin("ann").await;
    let vera = server.member(&ann, Role::Viewer, "vera").await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut loud = Watcher::snapshot(&server, &ann, mission).await;
    // This one answers no ping, since it is not read.
    let mut silent = RawSocket::open(&server, &vera.token).await;
    silent.call("mission.watch", json!({"mission": mission, "sub": "a"})).await;
    loud.until_present(&["ann", "vera"]).await;
    loud.until_present(&["ann"]).await;
    assert_eq!(silent.goodbye().await.code, Close::Silent.code());
    let last = server.note(&ann, mission, "still here").await.expect("a note");
    loud.reach(last.seq).await;
}

/// Prints far more than the buffers between it and a watcher hold.
const MUCH: &str = "
for nth in range(1500):
    say(type='activity', message=f'{nth} ' + 'x' * 3900)
say(type='done')
";

#[tokio::test]
async fn a_watcher_that_does_not_read_slows_nobody() {
    let flags = ["--agent-events-per-second", "100000", "--agent-burst", "100000"];
    let server = Scripts::new().agent("much", MUCH).serve(&flags).await;
    let ann = server.admin("ann").await;
    let mission = server.mission(&ann, Some("much"), json!({})).await;
    let mut slow = RawSocket::open(&server, &ann.token).await;
    slow.call("mission.watch", json!({"mission": mission, "sub": "slow"})).await;
    let mut quick = Watcher::from_the_first(&server, &ann, mission).await;
    server.rpc(Some(&ann.token), "mission.start", &json!({"mission": mission})).await;
    quick.until_mission("the end", |mission| mission.status == MissionStatus::Completed).await;
    assert!(quick.seq > 1_500);
    // The slow one has lost nothing: it reads at last, behind what is in memory, and gets it all.
    let mut seq = 1;
    while seq < quick.seq {
        let events = slow.notice("mission.events").await;
        for event in events["events"].as_array().expect("events") {
            seq += 1;
            assert_eq!(event["seq"], seq);
        }
    }
}

#[tokio::test]
async fn an_idle_mission_leaves_memory_and_comes_back_as_it_was() {
    let server = Server::with(&["--mission-idle-seconds", "1"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    server.note(&ann, mission, "remember me").await.expect("a note");
    let before = server.look(&ann, mission).await;
    let watched = server.started(&ann, None, json!({})).await;
    let mut watcher = Watcher::snapshot(&server, &ann, watched).await;
    let in_memory = || async {
        let ready = server.request(reqwest::Method::GET, "/readyz", None, None).await.json();
        ready["missions_in_memory"].as_u64().expect("a number")
    };
    eventually("the idle mission to leave memory", || async { (in_memory().await == 1).then_some(()) }).await;
    assert_eq!(server.look(&ann, mission).await, before);
    assert_eq!(in_memory().await, 2);
    let ack = server.note(&ann, mission, "again").await.expect("a note");
    assert_eq!(ack.seq, before.seq + 1);
    // One that is watched stays.
    let last = server.note(&ann, watched, "here").await.expect("a note");
    watcher.reach(last.seq).await;
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye_and_its_next_run_goes_on() {
    let mut server = Scripts::new().agent("patient", PATIENT).serve(&[]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, Some("patient"), json!({})).await;
    let mut watcher = Watcher::from_the_first(&server, &ann, mission).await;
    watcher.event("the agent", is_ready).await;
    server.signal(Signal::SIGTERM);
    let closed = watcher.until_closed().await;
    let goodbye = watcher.goodbye.clone().expect("a goodbye");
    assert_eq!((closed.code, goodbye.code), (Close::Restarting.code(), Close::Restarting.code()));
    assert!(goodbye.reconnect_after_ms.is_some());
    assert!(server.ended().await.success());
    server.start_again().await;
    watcher.resume(&server, &ann).await;
    watcher.event("the agent again", is_ready).await;
    let stored = stored_log(&server, &ann, mission).await;
    watcher.reach(stored.len() as u64).await;
    assert_eq!(&watcher.raw()[..stored.len()], stored.as_slice());
}

fn is_ready(frame: &EventFrame) -> bool {
    matches!(&frame.event, flightdeck_protocol::Event::ActivityLogged { message, .. } if message == "ready")
}

#[tokio::test]
async fn a_position_that_is_not_of_this_history_is_answered_with_a_snapshot_and_why() {
    let server = Server::with(&["--resume-events", "5"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    for nth in 0..10 {
        server.note(&ann, mission, &format!("note {nth}")).await.expect("a note");
    }
    let here = server.look(&ann, mission).await;
    let epoch = Watcher::snapshot(&server, &ann, mission).await.epoch;
    let mut socket = RawSocket::open(&server, &ann.token).await;
    let cases = [
        (Position { epoch, seq: here.seq + 1 }, "ahead_of_history"),
        (Position { epoch: uuid::Uuid::now_v7(), seq: 1 }, "epoch_changed"),
        (Position { epoch, seq: 1 }, "gap_too_long"),
    ];
    for (since, why) in cases {
        let params = json!({"mission": mission, "sub": why, "since": since});
        let watching = socket.call("mission.watch", params).await["result"].take();
        assert_eq!((&watching["resumed"], &watching["reason"]), (&json!(false), &json!(why)));
        assert_eq!(watching["snapshot"], serde_json::to_value(&here).expect("JSON"));
    }
    let options = Options { connect_timeout: Duration::from_secs(30), ..Options::default() };
    let (session, _notices) =
        Session::connect_with(&server.url, "/ws/", Some(&ann.token), options).await.expect("a slash at the end");
    session.close().await;
}

#[tokio::test]
async fn a_gap_that_weighs_more_than_its_bound_is_answered_with_a_snapshot() {
    let server = Server::with(&["--resume-bytes", "3000"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let epoch = Watcher::snapshot(&server, &ann, mission).await.epoch;
    for nth in 0..10 {
        server.note(&ann, mission, &format!("note {nth} {}", "x".repeat(500))).await.expect("a note");
    }
    let here = server.look(&ann, mission).await;
    let mut socket = RawSocket::open(&server, &ann.token).await;
    for (seq, resumed) in [(1, false), (here.seq - 2, true), (here.seq, true)] {
        let params = json!({"mission": mission, "sub": seq.to_string(), "since": {"epoch": epoch, "seq": seq}});
        let watching = socket.call("mission.watch", params).await["result"].take();
        assert_eq!(watching["resumed"], json!(resumed), "{watching}");
        assert_eq!(watching["reason"], if resumed { json!(null) } else { json!("gap_too_large") });
        assert_eq!(watching["snapshot"].is_object(), !resumed);
    }
}
