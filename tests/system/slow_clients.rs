//! Clients that are slow on purpose: openings that never end, half frames, sockets that nobody reads.

use std::{collections::BTreeSet, time::Duration};

use flightdeck_protocol::{MissionId, model::Role, notification::Close};
use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    bad_input::Scene,
    support::{
        Heard, Member, RawSocket, Server,
        frames::{FIN, PING, TEXT, announcing, frame},
        memory_of, within,
    },
};

const MEBIBYTE: u64 = 1 << 20;
/// Between two bytes of somebody who takes their time.
const DRIP: Duration = Duration::from_millis(100);

/// Sends a request's head byte by byte, without ever coming to its end, until the server has had enough of it.
async fn drips(mut socket: TcpStream) -> String {
    let endless = "x-more: and more\r\n".bytes().cycle();
    let head = "GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n".bytes().chain(endless);
    let (mut reading, mut writing) = socket.split();
    let mut said = Vec::new();
    let dripping = async {
        for byte in head {
            if writing.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(DRIP).await;
        }
    };
    within("an end of waiting", async {
        tokio::select! {
            // A reset is an end as well.
            _ = reading.read_to_end(&mut said) => {}
            () = dripping => {}
        }
    })
    .await;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn an_opening_that_never_ends_is_not_waited_for() {
    let scene = Scene::set(&["--open-timeout-ms", "1500"]).await;
    let connect = || async { TcpStream::connect(scene.server.address()).await.expect("a connection") };
    let first = async { drips(connect().await).await };
    // One that has asked something already, and been answered.
    let second = async {
        let mut socket = connect().await;
        socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("a request");
        let mut answer = [0; 12];
        within("an answer", socket.read_exact(&mut answer)).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200");
        drips(socket).await
    };
    // One that says nothing at all.
    let silent = async {
        let mut said = Vec::new();
        let _ = within("an end of waiting", connect().await.read_to_end(&mut said)).await;
        String::from_utf8_lossy(&said).into_owned()
    };
    let (first, _, silent) = tokio::join!(first, second, silent);
    for said in [first, silent] {
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    }
    // One that is upgraded, and does not say who it is.
    let mut nobody = RawSocket::connect(&scene.server, "/ws", None).await.expect("a connection");
    assert_eq!(nobody.goodbye().await.code, Close::OpenTimeout.code());
    nobody.ends_cut_off().await;
    scene.ends_well().await;
}

#[tokio::test]
async fn half_a_frame_is_no_sign_of_life() {
    let scene = Scene::set(&["--heartbeat-interval-ms", "400", "--heartbeat-timeout-ms", "2000"]).await;
    let header = announcing(FIN | TEXT, 1_000);
    let parts = [header[..3].to_vec(), header.clone(), [&header[..], b"xxxxxxxx"].concat()];
    // The client answers pings, but its pongs only become a part of what is announced.
    let silent = parts.into_iter().map(async |part| {
        let mut socket = RawSocket::open(&scene.server, &scene.ann.token).await;
        socket.send_bytes(&part).await;
        assert_eq!(socket.goodbye().await.code, Close::Silent.code(), "{part:?}");
    });
    // Byte by byte, and never whole.
    let dripping = async {
        let mut socket = RawSocket::open(&scene.server, &scene.ann.token).await;
        socket.send_bytes(&announcing(FIN | TEXT, 60_000)).await;
        loop {
            socket.send_bytes(b"x").await;
            match tokio::time::timeout(DRIP, socket.hear()).await {
                Ok(Heard::Closed(code, _)) => return assert_eq!(code, Close::Silent.code()),
                Ok(Heard::Json(_)) | Err(_) => {}
            }
        }
    };
    tokio::join!(join_all(silent), dripping);
    scene.ends_well().await;
}

/// A mission that has logged so much that a page of its log is large, and the call that asks for it.
async fn talkative(server: &Server, who: &Member) -> (MissionId, String) {
    let mission = server.started(who, None, json!({})).await;
    for nth in 0..100 {
        server.note(who, mission, &format!("{nth} {}", "x".repeat(3_900))).await.expect("a note");
    }
    let params = json!({"mission": mission, "limit": 100});
    (mission, json!({"jsonrpc": "2.0", "id": 7, "method": "activity.list", "params": params}).to_string())
}

#[tokio::test]
async fn who_asks_much_and_reads_nothing_is_let_go_and_costs_the_others_nothing() {
    let flags = ["--heartbeat-interval-ms", "1000", "--heartbeat-timeout-ms", "3000"];
    let mut scene = Scene::set(&flags).await;
    let vera = scene.server.member(&scene.ann, Role::Viewer, "vera").await;
    let (talk, ask) = talkative(&scene.server, &scene.ann).await;
    let before = memory_of(scene.server.pid());

    // Answers of 400 KB each, and the pongs of a flood of pings, for as long as the server takes any of it.
    let mut deaf = RawSocket::narrow(&scene.server, &vera.token).await;
    deaf.call("mission.watch", json!({"mission": scene.mission, "sub": "a"})).await;
    scene.watcher.until_present(&["ann", "vera"]).await;
    let asks = (0..64).flat_map(|_| frame(FIN | TEXT, ask.as_bytes()));
    let pings = (0..1_000).flat_map(|_| frame(FIN | PING, &[b'x'; 125]));
    let flood: Vec<u8> = asks.chain(pings).collect();
    while deaf.press(&flood).await {}
    // It is gone, to the server as well.
    scene.watcher.until_present(&["ann"]).await;

    // Nor did it grow beyond what may wait for a session, 8 MiB, and the answers that are being made, 64 at once.
    let after = memory_of(scene.server.pid());
    let grown = after.peak.saturating_sub(before.resident) / MEBIBYTE;
    println!("the server grew by {grown} MiB at the most");
    assert!(grown < 256, "{grown} MiB: {before:?}, {after:?}");
    let page = scene.server.rpc(Some(&scene.ann.token), "activity.list", &json!({"mission": talk, "limit": 1})).await;
    assert_eq!(page["result"]["items"].as_array().map(Vec::len), Some(1));
    scene.ends_well().await;
}

#[tokio::test]
async fn answers_that_nobody_reads_are_not_kept_and_neither_is_their_connection() {
    let scene = Scene::set(&["--heartbeat-interval-ms", "1000", "--heartbeat-timeout-ms", "4000"]).await;
    let (_, ask) = talkative(&scene.server, &scene.ann).await;
    let mut slow = RawSocket::narrow(&scene.server, &scene.ann.token).await;
    slow.send_all((0..64).map(|_| ask.clone())).await;
    // Somebody who asked the same later has all of it: the first has been answered as well, as far as it goes.
    let mut quick = RawSocket::open(&scene.server, &scene.ann.token).await;
    for _ in 0..64 {
        quick.send_all([ask.clone()]).await;
        assert_eq!(quick.response().await["result"]["items"].as_array().map(Vec::len), Some(100));
    }
    // It never reads, and is rid of its connection all the same, which it learns when it says something.
    let ping = frame(FIN | PING, b"");
    while slow.press(&ping).await {}
    scene.ends_well().await;
}

#[tokio::test]
async fn who_asks_for_more_than_may_wait_and_reads_slowly_gets_all_of_it() {
    const WATCHES: usize = 24;
    let scene = Scene::set(&[]).await;
    // Snapshots of 900 KB each, which are more than twice as much as may wait for a session.
    let mission = scene.server.started(&scene.ann, None, json!({})).await;
    let large = json!({"mission": mission, "type": "info", "message": "m", "details": {"a": "y".repeat(15_000)}});
    for _ in 0..60 {
        let added = scene.server.rpc(Some(&scene.ann.token), "activity.add", &large).await;
        assert!(added["result"].is_object(), "{added}");
    }
    let watch = |nth: usize| {
        let params = json!({"mission": mission, "sub": format!("watch {nth}")});
        json!({"jsonrpc": "2.0", "id": nth, "method": "mission.watch", "params": params}).to_string()
    };
    let mut slow = RawSocket::narrow(&scene.server, &scene.ann.token).await;
    slow.send_all((0..WATCHES).map(watch)).await;
    // Somebody who asks for the same later has all of it before the first has read any.
    let mut quick = RawSocket::open(&scene.server, &scene.ann.token).await;
    quick.send_all((0..WATCHES).map(watch)).await;
    for socket in [&mut quick, &mut slow] {
        let mut begun = BTreeSet::new();
        while begun.len() < WATCHES {
            let response = socket.response().await;
            assert!(response["result"]["snapshot"].is_object(), "{:?}", response["error"]);
            begun.insert(response["id"].as_u64());
        }
    }
    scene.ends_well().await;
}

#[tokio::test]
async fn a_token_runs_out_also_while_its_owner_reads_nothing() {
    let scene = Scene::set(&["--access-token-seconds", "15", "--heartbeat-timeout-ms", "600000"]).await;
    let (_, ask) = talkative(&scene.server, &scene.ann).await;
    let ann = scene.server.sign_in("ann").await;
    let mut slow = RawSocket::narrow(&scene.server, &ann.token).await;
    // More than the kernel takes, and less than may wait.
    slow.send_all((0..18).map(|_| ask.clone())).await;
    slow.breaks_off_unread().await;
}

/// A request of about 60 KB that is answered, its parameters being nothing that anybody wants.
fn large_request(ask: &str) -> String {
    ask.replacen('{', &format!("{{{}", " ".repeat(60_000 - ask.len())), 1)
}

#[tokio::test]
async fn the_largest_message_of_a_socket_is_not_what_it_costs_ever_after() {
    const SOCKETS: u64 = 200;
    let scene = Scene::set(&[]).await;
    let (_, ask) = talkative(&scene.server, &scene.ann).await;
    let ask = large_request(&ask);
    let connect = async || {
        let mut sockets = Vec::new();
        for _ in 0..SOCKETS {
            sockets.push(RawSocket::open(&scene.server, &scene.ann.token).await);
        }
        sockets
    };
    let exchange = async |socket: &mut RawSocket| {
        socket.send_all([ask.clone()]).await;
        assert_eq!(socket.response().await["result"]["items"].as_array().map(Vec::len), Some(100));
    };
    // The first ones fill what is free already, so that the others' memory is seen.
    let mut first = connect().await;
    for socket in &mut first {
        exchange(socket).await;
    }
    let before = memory_of(scene.server.pid()).resident;
    let mut sockets = connect().await;
    let connected = memory_of(scene.server.pid()).resident;
    for socket in &mut sockets {
        exchange(socket).await;
    }
    let after = memory_of(scene.server.pid()).resident;
    let each = |memory: u64| memory.saturating_sub(before) / SOCKETS / 1024;
    let (idle, used) = (each(connected), each(after));
    println!("{idle} KiB a connection before it said anything, {used} KiB after 60 KB one way and 400 KB the other");
    assert!(used < 256, "{used} KiB a connection");
    scene.ends_well().await;
}
