//! Drain: a server that is told to stop lets everybody finish, tells them when to come back, and loses nothing.

use std::collections::BTreeSet;

use flightdeck_protocol::{
    Code, Fault, MissionId,
    client::{Client, FixedToken, Followed},
    model::MissionStatus,
    notification::{Close, Closing},
};
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Door, Heard, Member, PATIENT, RawSocket, Scripts, Server, Watcher, eventually, fault_of, stored_log, within,
};

const SOCKETS: usize = 200;

/// Works until it is told to stop, then saves how far it is, and says so.
const SAVING: &str = "
say(type='activity', message=f\"from {saved.get('count', 0)}\")
while hear()['type'] != 'cancel':
    pass
say(type='checkpoint', data={'count': saved.get('count', 0) + 42})
say(type='activity', message='saved')
";

fn add(mission: MissionId, message: &str, id: usize) -> String {
    let params = json!({"mission": mission, "type": "info", "message": message});
    json!({"jsonrpc": "2.0", "id": id, "method": "activity.add", "params": params}).to_string()
}

/// How a socket lived through the drain.
struct Parted {
    /// The commands that were acknowledged, by what they said.
    acknowledged: Vec<String>,
    goodbye: Closing,
}

/// Sends one command after the other, its first was acknowledged already, until the goodbye; each is answered, one way or the other.
async fn works_to_the_end(mut socket: RawSocket, mission: MissionId, name: usize) -> Parted {
    let mut acknowledged = vec![format!("socket {name}, note 0")];
    for nth in 1.. {
        let message = format!("socket {name}, note {nth}");
        socket.send(add(mission, &message, nth)).await;
        loop {
            match socket.hear().await {
                Heard::Json(message) if message["method"] == "session.closing" => {
                    let goodbye: Closing = serde_json::from_value(message["params"].clone()).expect("a goodbye");
                    assert!(matches!(socket.hear().await, Heard::Closed(4000, _)));
                    return Parted { acknowledged, goodbye };
                }
                Heard::Json(answer) if answer["id"] == nth => {
                    if answer["error"].is_null() {
                        acknowledged.push(message);
                    } else {
                        let fault = fault_of(&answer);
                        assert!(fault.data.temporary, "{fault}");
                        if fault.code == Code::ServerRestarting {
                            // Nothing more is to be done but to wait for the goodbye.
                            let goodbye = socket.goodbye().await;
                            return Parted { acknowledged, goodbye };
                        }
                    }
                    break;
                }
                Heard::Json(_) => {}
                Heard::Closed(code, reason) => panic!("closed with {code} ({reason}) without a goodbye"),
            }
        }
    }
    unreachable!("it goes on for ever")
}

/// The refusal of whoever comes while the server stops, over everything that one can come by.
async fn nobody_gets_in(server: &Server, who: &Member) {
    let refusal = |token: Option<String>| async move {
        match RawSocket::connect(server, "/ws", token.as_deref()).await {
            Ok(_) => None,
            Err((status, body)) => Some((status, fault_of(&body))),
        }
    };
    for token in [Some(who.token.clone()), None] {
        let (status, fault) = eventually("a refusal", || refusal(token.clone())).await;
        assert_eq!(status, 503);
        is_told_when(&fault);
    }
    let ready = server.request(Method::GET, "/readyz", None, None).await;
    assert_eq!((ready.status, ready.json()["status"].clone()), (503, json!("stopping")));
    assert_eq!(server.request(Method::GET, "/healthz", None, None).await.status, 200, "it is alive still");
    let rest = server.request(Method::GET, "/api/missions", Some(&who.token), None).await;
    assert_eq!(rest.status, 503);
    is_told_when(&rest.fault());
    assert!(rest.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    let ask = json!({"jsonrpc": "2.0", "id": 7, "method": "auth.user", "params": {}});
    let rpc = server.request(Method::POST, "/api/rpc", Some(&who.token), Some(&ask)).await;
    assert_eq!((rpc.status, rpc.json()["id"].clone()), (503, json!(7)));
    is_told_when(&rpc.fault());
}

fn is_told_when(fault: &Fault) {
    assert_eq!(fault.code, Code::ServerRestarting);
    assert!(fault.data.temporary && fault.data.retry_after_ms.is_some_and(|after| after >= 1_000), "{fault:?}");
}

#[tokio::test]
async fn two_hundred_leave_in_waves_and_nothing_that_was_acknowledged_is_lost() {
    let mut server = Scripts::new().agent("saving", SAVING).serve(&["--drain-ms", "4000"]).await;
    let ann = server.admin("ann").await;
    let working = server.started(&ann, Some("saving"), json!({})).await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut watcher = Watcher::from_the_first(&server, &ann, working).await;
    let said = |text: &'static str| move |frame: &flightdeck_protocol::EventFrame| matches!(&frame.event, flightdeck_protocol::Event::ActivityLogged { message, .. } if message == text);
    watcher.event("the agent's first word", said("from 0")).await;
    let mut sockets = Vec::new();
    for nth in 0..SOCKETS {
        let mut socket = RawSocket::open(&server, &ann.token).await;
        socket.send(add(mission, &format!("socket {nth}, note 0"), 0)).await;
        assert!(socket.response().await["error"].is_null());
        sockets.push(socket);
    }
    server.signal(Signal::SIGTERM);
    let leaving = join_all(sockets.into_iter().enumerate().map(|(nth, socket)| works_to_the_end(socket, mission, nth)));
    let watching = async {
        // The agent was asked, and who watches sees what it did about it.
        watcher.event("the agent's last word", said("saved")).await;
        assert_eq!(watcher.until_closed().await.code, Close::Restarting.code());
        watcher.goodbye.clone().expect("a goodbye")
    };
    let (parted, goodbye, ()) = tokio::join!(leaving, watching, nobody_gets_in(&server, &ann));
    assert!(server.ended().await.success());

    let goodbyes: Vec<&Closing> = parted.iter().map(|parted| &parted.goodbye).chain([&goodbye]).collect();
    assert!(goodbyes.iter().all(|closing| closing.code == Close::Restarting.code()));
    let advice: BTreeSet<(u64, u64)> =
        goodbyes.iter().filter_map(|closing| Some((closing.reconnect_after_ms?, closing.jitter_ms?))).collect();
    assert!(advice.len() >= 5, "they were all told the same: {advice:?}");
    // After the others have left, and a restart.
    assert!(advice.iter().all(|(after, _)| (1_000..=6_000).contains(after)), "{advice:?}");

    server.start_again().await;
    watcher.resume(&server, &ann).await;
    watcher.event("the agent goes on from what it saved", said("from 42")).await;
    let log = stored_log(&server, &ann, mission).await.join("\n");
    let acknowledged: Vec<&String> = parted.iter().flat_map(|parted| &parted.acknowledged).collect();
    for message in acknowledged {
        assert_eq!(log.matches(&format!("\"{message}\"")).count(), 1, "{message} was acknowledged");
    }
}

#[tokio::test]
async fn clients_come_back_by_themselves_and_have_everything() {
    let mut server = Server::with(&["--drain-ms", "1000", "--restart-ms", "500"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let door = Door::to(&server).await;
    let mut follows = Vec::new();
    for _ in 0..30 {
        let client = Client::start(&door.url, FixedToken(ann.token.clone()));
        follows.push((client.watch(mission), 0u64));
    }
    let next = async |follow: &mut (flightdeck_protocol::client::Follow, u64)| match follow.0.next().await {
        Some(Followed::Snapshot(mission)) => {
            assert_eq!(follow.1, 0, "a snapshot at the beginning alone");
            follow.1 = mission.seq;
        }
        Some(Followed::Events(events)) => {
            for event in events {
                assert_eq!(event.seq, follow.1 + 1, "a gap or a repetition");
                follow.1 = event.seq;
            }
        }
        Some(Followed::Ended(error)) => panic!("the watch ended: {error}"),
        Some(_) => {}
        None => panic!("the watch ended"),
    };
    for round in 0..2 {
        let mut last = 0;
        for nth in 0..5 {
            last = server.note(&ann, mission, &format!("round {round}, note {nth}")).await.expect("a note").seq;
        }
        let reaching = follows.iter_mut().map(async |follow| {
            while follow.1 < last {
                next(follow).await;
            }
        });
        within("the notes", join_all(reaching)).await;
        if round == 0 {
            assert!(server.stop().await.success());
            server.start_again().await;
            server.note(&ann, mission, "while they were away").await.expect("a note");
            door.now_to(&server);
        }
    }
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_the_goodbye_and_what_is_new_is_refused() {
    // One whose agent takes its time to stop: sessions stay until it has.
    let slow = SAVING.replace("say(type='checkpoint'", "time.sleep(2)\nsay(type='checkpoint'");
    let mut server = Scripts::new().agent("slow", &slow).serve(&[]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, Some("slow"), json!({})).await;
    let mut watcher = Watcher::snapshot(&server, &ann, mission).await;
    watcher.until_mission("its agent", |mission| mission.activity_count > 0).await;
    let mut socket = RawSocket::open(&server, &ann.token).await;
    for (method, params) in [
        ("mission.watch", json!({"mission": mission, "sub": "a"})),
        ("missions.watch", json!({"sub": "list"})),
        ("inbox.watch", json!({"sub": "inbox"})),
    ] {
        assert!(socket.call(method, params).await["result"].is_object());
    }
    server.signal(Signal::SIGTERM);
    nobody_gets_in(&server, &ann).await;
    // The session stands still, and what it asks for is refused clearly.
    let fault = socket.refused("activity.add", json!({"mission": mission, "message": "too late"})).await;
    is_told_when(&fault);
    // What gives something back, or keeps the session up, is not.
    for (method, params) in [
        ("session.ping", json!({})),
        ("session.renew", json!({"token": ann.token})),
        ("presence.set", json!({"mission": mission, "seen_seq": 1, "typing": false})),
        ("mission.unwatch", json!({"sub": "a"})),
        ("missions.unwatch", json!({"sub": "list"})),
        ("inbox.unwatch", json!({"sub": "inbox"})),
    ] {
        let answer = socket.call(method, params).await;
        assert!(answer["result"].is_object(), "{method}: {answer}");
    }
    is_told_when(&socket.refused("missions.watch", json!({"sub": "list"})).await);
    assert_eq!(socket.goodbye().await.code, Close::Restarting.code());
    assert!(server.ended().await.success());
    server.start_again().await;
    assert!(!stored_log(&server, &ann, mission).await.join("\n").contains("too late"));
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_while_it_brings_missions_back_stops_and_the_next_run_brings_them() {
    let mut server = Scripts::new().agent("patient", PATIENT).serve(&[]).await;
    let ann = server.admin("ann").await;
    let mut missions = Vec::new();
    for _ in 0..8 {
        let mission = server.started(&ann, Some("patient"), json!({})).await;
        for nth in 0..20 {
            server.note(&ann, mission, &format!("note {nth}")).await.expect("a note");
        }
        missions.push(mission);
    }
    server.kill_nine().await;
    server.start_again().await;
    // Some are back by now, and some are not.
    assert!(server.stop().await.success());
    server.start_again().await;
    for mission in missions {
        let mut watcher = Watcher::snapshot(&server, &ann, mission).await;
        watcher.until_mission("its agent", |mission| mission.status == MissionStatus::Running).await;
        let notes = stored_log(&server, &ann, mission).await;
        assert_eq!(notes.iter().filter(|event| event.contains("\"note ")).count(), 20);
    }
}

#[tokio::test]
async fn a_second_signal_makes_it_hurry_and_loses_nothing() {
    let mut server = Server::with(&["--drain-ms", "600000"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut sockets = Vec::new();
    for _ in 0..50 {
        sockets.push(RawSocket::open(&server, &ann.token).await);
    }
    let seq = server.note(&ann, mission, "the last").await.expect("a note").seq;
    server.signal(Signal::SIGTERM);
    // Three waves over minutes: the first is told, the others would have to wait.
    let ready = || async { (server.request(Method::GET, "/readyz", None, None).await.status == 503).then_some(()) };
    eventually("the drain", ready).await;
    server.signal(Signal::SIGINT);
    let goodbyes = join_all(sockets.iter_mut().map(RawSocket::goodbye)).await;
    assert!(goodbyes.iter().all(|closing| closing.code == Close::Restarting.code()));
    assert!(server.ended().await.success());
    server.start_again().await;
    assert_eq!(server.look(&ann, mission).await.seq, seq);
    let opened: Value = RawSocket::open(&server, &ann.token).await.call("session.ping", json!({})).await;
    assert!(opened["result"].is_object());
}
