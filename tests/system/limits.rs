//! Limits: who is over one is refused with its kind and when to come again, and nobody else notices.

use std::time::Duration;

use flightdeck_protocol::{
    Code, Fault, Kind,
    operations::{Limits, PingReply, WhoAmI},
};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::{
    bad_input::Scene,
    support::{
        RawSocket, Server, eventually, fault_of,
        frames::{FIN, TEXT, frame},
        memory_of, within,
    },
};

const MEBIBYTE: u64 = 1 << 20;

/// Waits for as long as the server said.
async fn wait_as_told(fault: &Fault) {
    assert!(fault.data.temporary, "{fault}");
    let after = fault.data.retry_after_ms.unwrap_or_else(|| panic!("{fault} does not say when to ask again"));
    assert!((1..=30_000).contains(&after), "{fault}: after {after} ms");
    tokio::time::sleep(Duration::from_millis(after)).await;
}

/// Comes in once the server lets it, and says how often it was told to wait.
async fn comes_in(server: &Server, token: Option<&str>) -> (RawSocket, Vec<Fault>) {
    let mut waits = Vec::new();
    let coming = async {
        loop {
            match RawSocket::connect(server, "/ws", token).await {
                Ok(socket) => return socket,
                Err((status, body)) => {
                    let fault = fault_of(&body);
                    assert_eq!(status, fault.kind().http_status());
                    wait_as_told(&fault).await;
                    waits.push(fault);
                }
            }
        }
    };
    (within("to be let in", coming).await, waits)
}

/// The refusal of an upgrade.
async fn turned_away(server: &Server, token: Option<&str>) -> (u16, Fault) {
    match RawSocket::connect(server, "/ws", token).await {
        Ok(_) => panic!("it was let in"),
        Err((status, body)) => (status, fault_of(&body)),
    }
}

/// Answers pings.
async fn is_well(socket: &mut RawSocket) {
    let answer = socket.call("session.ping", json!({})).await;
    serde_json::from_value::<PingReply>(answer["result"].clone()).unwrap_or_else(|_| panic!("{answer}"));
}

#[tokio::test]
async fn who_asks_too_fast_is_refused_what_is_too_much_and_goes_on() {
    let set = ["--commands-per-second", "20", "--command-burst", "40", "--resume-bytes", "4321", "--idem-calls", "99"];
    let mut scene = Scene::set(&set).await;
    let Scene { server, ann, mission, socket, watcher } = &mut scene;
    let opened = socket.call("session.open", json!({})).await;
    let limits: Limits = serde_json::from_value(opened["result"]["limits"].clone()).expect("limits");
    assert_eq!((limits.commands_per_second, limits.command_burst), (20, 40));
    assert_eq!((limits.openings_per_second, limits.opening_burst, limits.unnamed_sockets), (2_000, 4_000, 4_096));
    assert_eq!(limits.open_timeout_ms, 10_000);
    assert_eq!((limits.resume_bytes, limits.idem_calls), (4321, 99));
    assert_eq!((limits.outbox_bytes, limits.outbox_messages), (8 * MEBIBYTE, 4096));

    let mut other = RawSocket::open(server, &ann.token).await;
    let note = |id: usize| {
        let params = json!({"mission": mission, "type": "info", "message": format!("note {id}")});
        json!({"jsonrpc": "2.0", "id": id, "method": "activity.add", "params": params}).to_string()
    };
    // Few enough that not more of them can be in flight than may.
    socket.send_all((0..64).map(note)).await;
    let (mut taken, mut refused) = (0, Vec::new());
    for _ in 0..64 {
        let response = socket.response().await;
        if response["result"].is_object() {
            taken += 1;
        } else {
            refused.push(fault_of(&response));
        }
    }
    assert!(taken >= 39 && !refused.is_empty(), "{taken} were taken");
    for fault in &refused {
        assert_eq!((fault.code, fault.kind()), (Code::RateLimited, Kind::RateLimited));
        // One more every 50 ms.
        assert!(fault.data.retry_after_ms.is_some_and(|after| (1..=50).contains(&after)), "{fault:?}");
    }
    // Another session, of the same person even, has a count of its own.
    is_well(&mut other).await;
    // What was refused was not done, and who waits as told is let through.
    let after = within("a note that is taken", async {
        loop {
            let response = socket.call("activity.add", json!({"mission": mission, "message": "the last"})).await;
            match response["result"]["seq"].as_u64() {
                Some(seq) => return seq,
                None => wait_as_told(&fault_of(&response)).await,
            }
        }
    })
    .await;
    assert_eq!(after, watcher.began.seq + taken + 1);
    watcher.reach(after).await;
    scene.ends_well().await;
}

#[tokio::test]
async fn a_flood_of_notifications_is_dropped_and_costs_no_memory() {
    let scene = Scene::set(&["--commands-per-second", "20", "--command-burst", "40"]).await;
    let Scene { server, ann, .. } = &scene;
    let mut flooding = RawSocket::open(server, &ann.token).await;
    // Small ones, of which more come at once than are looked at in one go.
    let notification = json!({"jsonrpc": "2.0", "method": "session.ping", "params": {}}).to_string();
    let flood = frame(FIN | TEXT, notification.as_bytes()).repeat(10_000);
    assert!(flooding.press(&flood).await);
    let before = memory_of(server.pid()).resident;
    for _ in 0..30 {
        assert!(flooding.press(&flood).await);
    }
    // The first thing that is answered is the first that asks for an answer.
    let answer = flooding.call("session.ping", json!({})).await;
    assert_eq!(fault_of(&answer).code, Code::RateLimited);
    let grown = memory_of(server.pid()).resident.saturating_sub(before);
    assert!(grown < 24 * MEBIBYTE, "20 MiB of notifications took {} MiB", grown / MEBIBYTE);
    scene.ends_well().await;
}

#[tokio::test]
async fn who_reads_no_refusals_is_let_go() {
    let pace = ["--commands-per-second", "20", "--command-burst", "40"];
    // Who takes nothing is dropped by the kernel, after the time that a client may be silent.
    let patience = ["--heartbeat-interval-ms", "1000", "--heartbeat-timeout-ms", "3000"];
    let scene = Scene::set(&[pace, patience].concat()).await;
    let Scene { server, ann, .. } = &scene;
    let mut flooding = RawSocket::narrow(server, &ann.token).await;
    let request = format!("{}\n", json!({"jsonrpc": "2.0", "id": 7, "method": "session.ping", "params": {}}));
    let frames = frame(FIN | TEXT, request.as_bytes()).repeat(1_000);
    let before = memory_of(server.pid()).resident;
    // What it is sent in answer would be several times what is kept for it.
    while flooding.press(&frames).await {}
    flooding.ends_cut_off().await;
    let grown = memory_of(server.pid()).resident.saturating_sub(before);
    assert!(grown < 24 * MEBIBYTE, "the flood took {} MiB", grown / MEBIBYTE);
    scene.ends_well().await;
}

#[tokio::test]
async fn calls_over_http_are_counted_for_each_person() {
    let server = Server::with(&["--commands-per-second", "2", "--command-burst", "10"]).await;
    let (ann, ben) = (server.admin("ann").await, server.admin("ben").await);
    let ask = json!({"jsonrpc": "2.0", "id": 7, "method": "auth.user", "params": {}});
    let calls = (0..30).map(|_| server.request(Method::POST, "/api/rpc", Some(&ann.token), Some(&ask)));
    let replies = join_all(calls).await;
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert!(replies.iter().filter(|reply| reply.status == 200).count() >= 9);
    assert!(!refused.is_empty());
    for reply in refused {
        let fault = reply.fault();
        assert_eq!((fault.code, reply.json()["id"].clone()), (Code::RateLimited, json!(7)));
        assert_eq!(reply.header("retry-after"), "1", "{fault:?}");
    }
    // The same count holds for REST; a socket, and somebody else, are not concerned.
    let reply = server.request(Method::GET, "/api/missions", Some(&ann.token), None).await;
    assert_eq!((reply.status, reply.fault().kind(), reply.header("retry-after")), (429, Kind::RateLimited, "1"));
    is_well(&mut RawSocket::open(&server, &ann.token).await).await;
    server.call::<WhoAmI>(&ben, Default::default()).await.expect("somebody else is answered");
    wait_as_told(&reply.fault()).await;
    eventually("an answer after the wait", || async { server.call::<WhoAmI>(&ann, Default::default()).await.ok() })
        .await;
}

#[tokio::test]
async fn one_person_has_so_many_sessions_and_no_more() {
    let server = Server::with(&["--sessions", "2"]).await;
    let (ann, ben) = (server.admin("ann").await, server.admin("ben").await);
    let mut first = RawSocket::open(&server, &ann.token).await;
    let mut second = RawSocket::connect(&server, "/ws", None).await.expect("a connection");
    let opened = second.call("session.open", json!({"token": ann.token})).await;
    assert_eq!(opened["result"]["limits"]["sessions"], 2);
    // Whoever renews a session has it already.
    assert!(second.call("session.renew", json!({"token": ann.token})).await["result"].is_object());

    let (status, fault) = turned_away(&server, Some(&ann.token)).await;
    assert_eq!((status, fault.code, fault.kind()), (429, Code::TooManySessions, Kind::RateLimited));
    assert!(fault.data.temporary && fault.data.retry_after_ms.is_some());
    let mut third = RawSocket::connect(&server, "/ws", None).await.expect("a connection");
    let fault = third.refused("session.open", json!({"token": ann.token})).await;
    assert_eq!(fault.code, Code::TooManySessions);
    assert!(fault.data.retry_after_ms.is_some());
    // The socket is nobody's yet: it may still become somebody else's.
    assert_eq!(third.refused("auth.user", json!({})).await.code, Code::Unauthenticated);
    is_well(&mut RawSocket::open(&server, &ben.token).await).await;
    is_well(&mut first).await;
    is_well(&mut second).await;

    // One ends without a word, in the middle of its calls; its place is free.
    first.send_all((0..32).map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "mission.list"}).to_string())).await;
    drop(first);
    within("the place of the one that has gone", async {
        while !third.call("session.open", json!({"token": ann.token})).await["result"].is_object() {}
    })
    .await;
    assert_eq!(turned_away(&server, Some(&ann.token)).await.1.code, Code::TooManySessions);
    // All go, however they go, and as many can come again.
    third.send_bytes(b"no frame at all").await;
    drop((second, third));
    let (_one, _) = comes_in(&server, Some(&ann.token)).await;
    let (_two, _) = comes_in(&server, Some(&ann.token)).await;
    assert_eq!(turned_away(&server, Some(&ann.token)).await.1.code, Code::TooManySessions);
}

#[tokio::test]
async fn sockets_that_do_not_say_who_they_are_keep_nobody_out_who_does() {
    let scene = Scene::set(&["--unnamed-sockets", "3", "--open-timeout-ms", "3000"]).await;
    let Scene { server, ann, .. } = &scene;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(RawSocket::connect(server, "/ws", None).await.expect("a connection"));
    }
    let (status, fault) = turned_away(server, None).await;
    assert_eq!((status, fault.code, fault.kind()), (503, Code::Overloaded, Kind::Overloaded));
    is_well(&mut RawSocket::open(server, &ann.token).await).await;
    // One says who it is: there is room for another.
    let opened = silent[0].call("session.open", json!({"token": ann.token})).await;
    assert!(opened["result"].is_object(), "{opened}");
    silent.push(RawSocket::connect(server, "/ws", None).await.expect("a connection"));
    assert_eq!(turned_away(server, None).await.0, 503);
    // The others never do. Who was turned away and comes again as told gets in once they are sent away.
    let (_socket, waits) = comes_in(server, None).await;
    assert!(waits.iter().all(|fault| fault.code == Code::Overloaded));
    is_well(&mut silent[0]).await;
    scene.ends_well().await;
}

#[tokio::test]
async fn a_storm_of_openings_is_spread_and_everybody_gets_in() {
    let scene = Scene::set(&["--openings-per-second", "20", "--opening-burst", "10"]).await;
    let Scene { server, ann, .. } = &scene;
    let mut inside = RawSocket::open(server, &ann.token).await;
    let storm = join_all((0..60).map(|_| async {
        let (mut socket, waits) = comes_in(server, Some(&ann.token)).await;
        is_well(&mut socket).await;
        (socket, waits)
    }));
    // Meanwhile who is inside is answered, and what is no opening is let through.
    let others = async {
        is_well(&mut inside).await;
        assert_eq!(server.request(Method::GET, "/healthz", None, None).await.status, 200);
        server.note(ann, scene.mission, "in the storm").await.expect("a note");
    };
    let (came, ()) = tokio::join!(storm, others);
    let waits: Vec<&Fault> = came.iter().flat_map(|(_, waits)| waits).collect();
    assert!(waits.iter().all(|fault| fault.code == Code::Overloaded && fault.kind() == Kind::Overloaded));
    let mut told: Vec<u64> = came.iter().filter_map(|(_, waits)| waits.first()?.data.retry_after_ms).collect();
    told.sort_unstable();
    told.dedup();
    assert!(told.len() >= 20, "they were told to come again at {told:?}");

    // A proxy that knows nothing of this reads the same in a header.
    let reply = eventually("a refusal", || async {
        let asked = join_all((0..30).map(|_| server.request(Method::GET, "/ws", None, None))).await;
        asked.into_iter().find(|reply| reply.status == 503)
    })
    .await;
    assert_eq!(reply.fault().code, Code::Overloaded);
    assert!(reply.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    is_well(&mut inside).await;
    drop(came);
}
