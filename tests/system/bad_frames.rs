//! Bad frames: what a socket sends that is no WebSocket protocol, or is unusual and allowed.

use flightdeck_protocol::{Code, notification::Close};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    bad_input::Scene,
    support::{
        Heard, RawSocket, fault_of,
        frames::{BINARY, CLOSE, CONTINUE, FIN, PING, PONG, TEXT, announcing, bare, closing, frame},
    },
};

/// A request that would change the mission, if it were carried out.
fn change(scene: &Scene) -> Vec<u8> {
    let params = json!({"mission": scene.mission, "message": "sent by somebody who may not any more"});
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "activity.add", "params": params}).to_string();
    frame(FIN | TEXT, request.as_bytes())
}

/// Each of `cases`, on a socket of its own, ends its session with `close`; what
/// comes behind it is not carried out, and the connection ends.
async fn each_ends_with(scene: &Scene, close: Close, cases: impl IntoIterator<Item = (String, Vec<u8>)>) {
    // All at once: a connection whose peer does not end it lingers for a second.
    let cases = cases.into_iter().map(|(what, bytes)| async move {
        let mut socket = RawSocket::open(&scene.server, &scene.ann.token).await;
        socket.send_bytes(&[bytes, change(scene)].concat()).await;
        let goodbye = socket.goodbye().await;
        assert_eq!((goodbye.code, goodbye.reconnect_after_ms), (close.code(), None), "{what}");
        socket.ends_cut_off().await;
    });
    join_all(cases).await;
}

#[tokio::test]
async fn text_that_is_no_text_ends_its_own_session() {
    let scene = Scene::set(&[]).await;
    let whole: [(&str, &[u8]); 6] = [
        ("bytes of no character", b"\xff\xfe"),
        (
            "in a string",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"session.ping\",\"params\":{\"a\":\"\xe2\x28\xa1\"}}",
        ),
        ("half a character at the end", b"{} \xe2\x82"),
        ("a character in more bytes than it needs", b"\xc0\x80"),
        ("half of a pair of UTF-16", b"\xed\xa0\x80"),
        ("beyond the last character", b"\xf4\x90\x80\x80"),
    ];
    let whole = whole.map(|(what, bytes)| (what.to_owned(), frame(FIN | TEXT, bytes)));
    let parts: [(&str, [&[u8]; 2]); 3] = [
        ("the second part does not go on with the character", [b"\"\xe2\x82", b"\x28\""]),
        ("the second part begins within one", [b"\"", b"\xac\""]),
        ("the first part is none, and the second is", [b"\"\xff", b"\""]),
    ];
    let parts = parts
        .map(|(what, [first, last])| (what.to_owned(), [frame(TEXT, first), frame(FIN | CONTINUE, last)].concat()));
    each_ends_with(&scene, Close::Malformed, whole.into_iter().chain(parts)).await;
    scene.ends_well().await;
}

#[tokio::test]
async fn a_message_may_be_cut_anywhere_and_have_control_frames_between() {
    let mut scene = Scene::set(&[]).await;
    let mission = scene.server.started(&scene.ann, None, json!({})).await;
    let message = "Grüße, здравствуйте, 今日は, 🛫 and €";
    let params = json!({"mission": mission, "message": message});
    let request = json!({"jsonrpc": "2.0", "id": 7, "method": "activity.add", "params": params}).to_string();
    let bytes = request.as_bytes();
    // A frame for each byte, so that every character is cut everywhere, with a ping behind each and pongs unasked.
    let mut stream = Vec::new();
    for (nth, byte) in bytes.iter().enumerate() {
        let first = if nth == 0 { TEXT } else { CONTINUE };
        let fin = if nth + 1 == bytes.len() { FIN } else { 0 };
        stream.extend(frame(fin | first, &[*byte]));
        stream.extend(frame(FIN | PING, nth.to_string().as_bytes()));
        stream.extend(frame(FIN | PONG, b"unasked"));
        stream.extend(if nth % 3 == 0 && fin == 0 { frame(CONTINUE, b"") } else { Vec::new() });
    }
    scene.socket.send_bytes(&stream).await;
    let acknowledged = scene.socket.response().await;
    assert!(acknowledged["result"]["seq"].is_u64(), "{acknowledged}");
    let page = scene.socket.call("activity.list", json!({"mission": mission, "limit": 1})).await;
    assert_eq!(page["result"]["items"][0]["message"], message);

    // The same in one frame, cut between the packets alone.
    for piece in frame(FIN | TEXT, bytes).chunks(3) {
        scene.socket.send_bytes(piece).await;
    }
    assert!(scene.socket.response().await["result"]["seq"].is_u64());
    scene.ends_well().await;
}

#[tokio::test]
async fn every_ping_is_answered_with_what_it_brought() {
    let mut scene = Scene::set(&[]).await;
    let longest = [7; 125];
    for payload in [&b""[..], b"a", b"\xff\x00 no text", &longest] {
        scene.socket.send_bytes(&frame(FIN | PING, payload)).await;
        assert_eq!(scene.socket.pong().await, payload);
    }
    // A flood of them: each is answered, in order, and others do not wait behind it.
    for batch in 0..20 {
        let flood: Vec<u8> =
            (0..500).flat_map(|nth| frame(FIN | PING, format!("{batch} {nth} {:>100}", "x").as_bytes())).collect();
        scene.socket.send_bytes(&flood).await;
        if batch % 5 == 0 {
            assert_eq!(scene.server.request(reqwest::Method::GET, "/healthz", None, None).await.status, 200);
        }
        for nth in 0..500 {
            assert_eq!(scene.socket.pong().await, format!("{batch} {nth} {:>100}", "x").into_bytes());
        }
    }
    // Pongs that nobody asked for are no mistake, however many (RFC 6455, section 5.5.3).
    let pongs: Vec<u8> = (0..5_000).flat_map(|_| frame(FIN | PONG, b"unasked")).collect();
    scene.socket.send_bytes(&pongs).await;
    assert!(scene.socket.call("session.ping", json!({})).await["result"].is_object());
    scene.ends_well().await;
}

#[tokio::test]
async fn frames_out_of_place_end_their_own_session() {
    let scene = Scene::set(&[]).await;
    let after = |first: u8, second: Vec<u8>| [frame(first, b"{"), second].concat();
    let mut cases: Vec<(String, Vec<u8>)> = [
        ("text within a text", after(TEXT, frame(FIN | TEXT, b"}"))),
        ("the beginning of a text within a text", after(TEXT, frame(TEXT, b"}"))),
        ("bytes within a text", after(TEXT, frame(FIN | BINARY, b"}"))),
        ("text within bytes", after(BINARY, frame(FIN | TEXT, b"}"))),
        ("the end of nothing", frame(FIN | CONTINUE, b"{}")),
        ("the middle of nothing", frame(CONTINUE, b"{")),
        (
            "a message that goes on after its end",
            [after(TEXT, frame(FIN | CONTINUE, b"")), frame(CONTINUE, b"}")].concat(),
        ),
        ("text that is not masked", bare(FIN | TEXT, b"{}")),
        ("a ping that is not masked", bare(FIN | PING, b"a")),
        ("a close of one byte", frame(FIN | CLOSE, b"\x03")),
        ("a close whose reason is no text", closing(1000, b"\xff\xfe")),
    ]
    .map(|(what, bytes)| (what.to_owned(), bytes))
    .into();
    for (opcode, name) in [(PING, "ping"), (PONG, "pong"), (CLOSE, "close")] {
        cases.push((format!("a {name} of 126 bytes"), frame(FIN | opcode, &[b'a'; 126])));
        cases.push((format!("a {name} of 60,000 bytes"), frame(FIN | opcode, &[b'a'; 60_000])));
        cases.push((format!("a {name} in parts"), [frame(opcode, b"ab"), frame(FIN | CONTINUE, b"c")].concat()));
        cases.push((format!("an empty {name} in parts"), frame(opcode, b"")));
        cases.push((format!("a {name} in parts within a text"), after(TEXT, frame(opcode, b"ab"))));
    }
    for bit in [0x40, 0x20, 0x10] {
        cases.push((format!("reserved bit {bit:#x} of a text"), frame(FIN | bit | TEXT, b"{}")));
        cases.push((format!("reserved bit {bit:#x} of a ping"), frame(FIN | bit | PING, b"a")));
    }
    for opcode in (3..=7).chain(11..=15) {
        cases.push((format!("opcode {opcode}"), frame(FIN | opcode, b"{}")));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535] {
        cases.push((format!("close code {code}"), closing(code, b"")));
    }
    each_ends_with(&scene, Close::Malformed, cases).await;
    scene.ends_well().await;
}

#[tokio::test]
async fn lengths_that_no_frame_can_have_are_refused_at_their_announcement() {
    let scene = Scene::set(&[]).await;
    let cases = [1 << 63, u64::MAX, (1 << 63) - 1, 1 << 32, 65_537].into_iter().flat_map(|length| {
        [TEXT, BINARY, PING, CLOSE]
            .map(|opcode| (format!("opcode {opcode} of {length} bytes"), announcing(FIN | opcode, length)))
    });
    each_ends_with(&scene, Close::MessageTooLarge, cases).await;
    scene.ends_well().await;
}

#[tokio::test]
async fn a_close_is_answered_and_nothing_counts_behind_it() {
    let scene = Scene::set(&[]).await;
    let mut closes: Vec<Vec<u8>> =
        [1000, 1001, 1011, 1012, 3000, 3999, 4000, 4999].map(|code| closing(code, "auf Wiederhören".as_bytes())).into();
    closes.push(frame(FIN | CLOSE, b""));
    // Between the parts of a message as well.
    closes.push([frame(TEXT, b"{"), closing(1000, b"")].concat());
    let closes = closes.into_iter().map(async |close| {
        let mut socket = RawSocket::open(&scene.server, &scene.ann.token).await;
        socket.send_bytes(&[close, change(&scene), b"not even a frame".to_vec()].concat()).await;
        assert!(matches!(socket.hear().await, Heard::Closed(1000, _)));
        socket.ends_cut_off().await;
    });
    join_all(closes).await;
    scene.ends_well().await;
}

#[tokio::test]
async fn a_name_that_is_asked_for_twice_at_once_is_given_once() {
    let mut scene = Scene::set(&[]).await;
    let mission = scene.server.started(&scene.ann, None, json!({})).await;
    let request = |id: u64, method: &str, params: Value| {
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
    };
    let watch = json!({"mission": mission, "sub": "a"});
    let elsewhere = json!({"mission": scene.mission, "sub": "a"});
    let socket = &mut scene.socket;
    socket
        .send_all([
            request(1, "mission.watch", watch.clone()),
            request(2, "mission.watch", watch.clone()),
            request(3, "mission.watch", elsewhere),
        ])
        .await;
    let mut answers = [socket.response().await, socket.response().await, socket.response().await];
    answers.sort_by_key(|answer| answer["id"].as_u64());
    assert_eq!(answers[0]["result"]["mission"], json!(mission));
    assert_eq!(fault_of(&answers[1]).code, Code::SubscriptionTaken);
    assert_eq!(fault_of(&answers[2]).code, Code::SubscriptionTaken);
    // There is one watch of that name: each event comes once, and of the first mission alone.
    let mut expected = answers[0]["result"]["seq"].as_u64().expect("a position");
    for nth in 0..3 {
        let ack = scene.server.note(&scene.ann, mission, &format!("note {nth}")).await.expect("a note");
        while expected < ack.seq {
            let events = scene.socket.notice("mission.events").await;
            assert_eq!((&events["sub"], &events["from"]), (&json!("a"), &json!(expected + 1)));
            expected = events["to"].as_u64().expect("a position");
        }
        assert_eq!(expected, ack.seq);
    }
    assert!(scene.socket.call("mission.unwatch", json!({"sub": "a"})).await["result"].is_object());
    assert_eq!(scene.socket.refused("mission.unwatch", json!({"sub": "a"})).await.code, Code::SubscriptionNotFound);
    assert!(scene.socket.call("mission.watch", watch).await["result"].is_object(), "the name is free again");
    scene.ends_well().await;
}

#[tokio::test]
async fn a_position_that_is_none_is_refused_and_one_of_another_history_gets_a_snapshot() {
    let mut scene = Scene::set(&[]).await;
    let Scene { server, ann, mission, socket, watcher } = &mut scene;
    let (mission, epoch) = (*mission, watcher.epoch);
    let here = server.look(ann, mission).await;
    let watch = |since: Value| json!({"mission": mission, "sub": "a", "since": since});
    let none = [
        json!({"epoch": epoch, "seq": -1}),
        json!({"epoch": epoch, "seq": 1e30}),
        json!({"epoch": epoch, "seq": 1.5}),
        json!({"epoch": epoch, "seq": "1"}),
        json!({"epoch": epoch, "seq": [1]}),
        json!({"epoch": epoch, "seq": null}),
        json!({"epoch": epoch}),
        json!({"seq": 1}),
        json!({"epoch": "yesterday", "seq": 1}),
        json!({"epoch": epoch, "seq": 1, "extra": 1}),
        json!([1]),
        json!([epoch, 1]),
        json!("1"),
        json!(1),
        json!(true),
    ];
    for since in none {
        let fault = socket.refused("mission.watch", watch(since.clone())).await;
        assert_eq!(fault.code, Code::InvalidParams, "{since}");
    }
    // A number that no position can be, as it is written and not as JSON's types have it.
    for seq in ["18446744073709551616", "-0.0", "1e400", "0x10", "NaN", "01"] {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"mission.watch","params":{{"mission":"{mission}","sub":"a","since":{{"epoch":"{epoch}","seq":{seq}}}}}}}"#
        );
        socket.send_all([text]).await;
        let code = fault_of(&socket.response().await).code;
        assert!(matches!(code, Code::InvalidParams | Code::ParseError), "{seq}: {code:?}");
    }
    let foreign = [
        (json!({"epoch": epoch, "seq": here.seq + 1}), "ahead_of_history"),
        (json!({"epoch": epoch, "seq": u64::MAX}), "ahead_of_history"),
        (json!({"epoch": uuid::Uuid::nil(), "seq": 0}), "epoch_changed"),
        (json!({"epoch": uuid::Uuid::max(), "seq": u64::MAX}), "epoch_changed"),
    ];
    for (since, why) in foreign {
        let watching = socket.call("mission.watch", watch(since.clone())).await["result"].take();
        assert_eq!((&watching["resumed"], &watching["reason"]), (&json!(false), &json!(why)), "{since}");
        assert_eq!(watching["snapshot"]["seq"], json!(here.seq), "{since}");
        assert!(socket.call("mission.unwatch", json!({"sub": "a"})).await["result"].is_object());
    }
    for (query, good) in [
        (format!("{epoch}:{}", u64::MAX), true),
        (format!("{epoch}:-1"), false),
        (format!("{epoch}:18446744073709551616"), false),
        (format!("{epoch}"), false),
        ("0:0".to_owned(), false),
        (String::new(), false),
    ] {
        let path = format!("/ws/missions/{mission}?since={query}");
        match RawSocket::connect(server, &path, Some(&ann.token)).await {
            Ok(mut socket) => {
                let watching = socket.notice("mission.watching").await;
                assert!(good && watching["reason"] == "ahead_of_history", "{query}: {watching}");
            }
            Err((status, body)) => {
                assert!(!good && status == 400, "{query}: {status}");
                assert_eq!(fault_of(&body).code, Code::InvalidParams, "{query}");
            }
        }
    }
    scene.ends_well().await;
}

#[tokio::test]
async fn compression_that_is_offered_is_not_taken_and_the_session_works() {
    let scene = Scene::set(&[]).await;
    for offer in ["permessage-deflate; client_max_window_bits", "permessage-deflate, x-webkit-deflate-frame, foo; a=1"]
    {
        let (mut socket, answer) =
            RawSocket::offering(&scene.server, &scene.ann.token, ("sec-websocket-extensions", offer)).await;
        assert_eq!(answer.headers().get("sec-websocket-extensions"), None, "what is not said to be taken is not");
        socket.notice("session.opened").await;
        let watch = json!({"mission": scene.mission, "sub": "a"});
        assert!(socket.call("mission.watch", watch).await["result"]["snapshot"].is_object());
        // A client that compresses all the same is told what a reserved bit is.
        socket.send_bytes(&frame(FIN | 0x40 | TEXT, b"\xaa\x56\x4a\x04\x00")).await;
        assert_eq!(socket.goodbye().await.code, Close::Malformed.code());
    }
    scene.ends_well().await;
}
