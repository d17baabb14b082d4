//! Bad input over sockets and RPC: each gets its code, changes nothing, and takes nothing else down.

use flightdeck_protocol::{
    Code, MissionId,
    model::Role,
    notification::Close,
    operations::{AddStep, CompleteMission, MissionComplete, StepAdd},
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Heard, Member, RawSocket, Server, Watcher, fault_of};

/// A server, somebody, a mission of theirs, somebody who watches it, and a socket to be bad on.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) ann: Member,
    pub(crate) mission: MissionId,
    pub(crate) watcher: Watcher,
    pub(crate) socket: RawSocket,
}

impl Scene {
    pub(crate) async fn set(flags: &[&str]) -> Self {
        let server = Server::with(flags).await;
        let ann = server.admin("ann").await;
        let mission = server.started(&ann, None, json!({})).await;
        let watcher = Watcher::snapshot(&server, &ann, mission).await;
        let socket = RawSocket::open(&server, &ann.token).await;
        Self { server, ann, mission, watcher, socket }
    }

    /// Nothing that was sent has changed the mission, and everyone else goes on.
    pub(crate) async fn ends_well(mut self) {
        let before = self.watcher.seq;
        let ack = self.server.note(&self.ann, self.mission, "all is well").await.expect("a note");
        assert_eq!(ack.seq, before + 1, "something was changed");
        self.watcher.reach(ack.seq).await;
        self.server.still_works(&self.ann).await;
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_the_session_goes_on() {
    let mut scene = Scene::set(&[]).await;
    let Scene { socket, mission, .. } = &mut scene;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "session.ping"});
    let frames = [
        ("{".to_owned(), Code::ParseError, Value::Null),
        ("hello".to_owned(), Code::ParseError, Value::Null),
        (String::new(), Code::ParseError, Value::Null),
        (json!([ping]).to_string(), Code::InvalidRequest, Value::Null),
        ("[]".to_owned(), Code::InvalidRequest, Value::Null),
        (json!(["2.0", 1, "session.ping", {}]).to_string(), Code::InvalidRequest, Value::Null),
        ("7".to_owned(), Code::InvalidRequest, Value::Null),
        ("{}".to_owned(), Code::InvalidRequest, Value::Null),
        (json!({"id": 3, "method": "session.ping"}).to_string(), Code::InvalidRequest, json!(3)),
        (json!({"jsonrpc": "2.0", "id": "a"}).to_string(), Code::InvalidRequest, json!("a")),
        (json!({"jsonrpc": "2.0", "id": {}, "method": "session.ping"}).to_string(), Code::InvalidRequest, Value::Null),
        (json!({"jsonrpc": "2.0", "id": 3, "method": 4}).to_string(), Code::InvalidRequest, Value::Null),
        (json!({"jsonrpc": "2.0", "id": 3, "method": "mission.fly"}).to_string(), Code::MethodNotFound, json!(3)),
        (
            json!({"jsonrpc": "2.0", "id": 3, "method": "mission.get", "params": [mission]}).to_string(),
            Code::InvalidParams,
            json!(3),
        ),
    ];
    for (frame, code, id) in frames {
        socket.send(Message::text(frame.clone())).await;
        let response = socket.response().await;
        assert_eq!(fault_of(&response).code, code, "{frame}");
        assert_eq!(response["id"], id, "{frame}");
    }
    assert!(socket.call("session.ping", json!({})).await["result"].is_object());
    scene.ends_well().await;
}

#[tokio::test]
async fn the_same_over_rpc() {
    let scene = Scene::set(&[]).await;
    let Scene { server, ann, mission, .. } = &scene;
    let whole = |body: &'static str| async move {
        let sent = server.http.post(format!("{}/api/rpc", server.url)).bearer_auth(&ann.token).body(body).send().await;
        sent.expect("an answer").json::<Value>().await.expect("JSON")
    };
    for (body, code) in [
        ("{", Code::ParseError),
        ("", Code::ParseError),
        ("[]", Code::InvalidRequest),
        (r#"["2.0",1,"auth.user",{}]"#, Code::InvalidRequest),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"auth.user"}]"#, Code::InvalidRequest),
        (r#"{"jsonrpc":"2.0","id":1,"method":"mission.fly"}"#, Code::MethodNotFound),
        (r#"{"jsonrpc":"2.0","id":1,"method":"session.ping"}"#, Code::WrongTransport),
        (r#"{"jsonrpc":"2.0","id":1,"method":"mission.list","params":[]}"#, Code::InvalidParams),
    ] {
        assert_eq!(fault_of(&whole(body).await).code, code, "{body}");
    }
    let document = json!({"document": mission});
    let answer = server.rpc(Some(&ann.token), "document.download", &document).await;
    assert_eq!(fault_of(&answer).code, Code::WrongTransport);
    let long = json!({"mission": mission, "message": "x".repeat(200_000)});
    let answer = server.rpc(Some(&ann.token), "activity.add", &long).await;
    assert_eq!(fault_of_any_id(&answer), Code::TooLarge);
    scene.ends_well().await;
}

fn fault_of_any_id(answer: &Value) -> Code {
    fault_of(answer).code
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_refused() {
    let scene = Scene::set(&[]).await;
    let Scene { server, ann, mission, .. } = &scene;
    let cases = [
        ("mission.get", json!({"mission": mission, "extra": 1}), Code::InvalidParams),
        ("mission.get", json!({}), Code::InvalidParams),
        ("mission.get", json!({"mission": "not an id"}), Code::InvalidParams),
        ("mission.get", json!({"mission": 7}), Code::InvalidParams),
        ("mission.get", json!([mission]), Code::InvalidParams),
        ("mission.get", json!("mission"), Code::InvalidParams),
        ("mission.create", json!({"title": ["a"]}), Code::InvalidParams),
        ("mission.create", json!({"title": ""}), Code::InvalidValue),
        ("mission.create", json!({"title": " \n"}), Code::InvalidValue),
        ("mission.create", json!({"title": "bell \u{7}"}), Code::InvalidValue),
        ("mission.create", json!({"title": "x".repeat(201)}), Code::TooLarge),
        ("mission.create", json!({"title": "a", "type": "x".repeat(65)}), Code::TooLarge),
        ("mission.create", json!({"title": "a", "input": [1]}), Code::InvalidValue),
        ("mission.create", json!({"title": "a", "input": {"a": "x".repeat(40_000)}}), Code::TooLarge),
        ("mission.create", json!({"title": "a", "priority": "whenever"}), Code::InvalidParams),
        ("mission.create", json!({"title": "a", "agent": "nobody"}), Code::AgentUnknown),
        ("mission.list", json!({"limit": 0}), Code::InvalidValue),
        ("mission.list", json!({"limit": 201}), Code::InvalidValue),
        ("mission.list", json!({"limit": -1}), Code::InvalidParams),
        ("mission.list", json!({"status": "asleep"}), Code::InvalidParams),
        ("mission.update", json!({"mission": mission, "title": "x".repeat(201)}), Code::TooLarge),
        ("activity.add", json!({"mission": mission, "message": ""}), Code::InvalidValue),
        ("activity.add", json!({"mission": mission, "message": "x".repeat(4_001)}), Code::TooLarge),
        ("activity.add", json!({"mission": mission, "message": "a", "type": "shout"}), Code::InvalidParams),
        ("activity.add", json!({"mission": mission, "message": "a", "step": mission}), Code::StepNotFound),
        ("activity.add", json!({"mission": mission, "message": "a", "details": "x".repeat(17_000)}), Code::TooLarge),
        ("activity.list", json!({"mission": mission, "limit": 1_000}), Code::InvalidValue),
        ("activity.add", json!({"mission": mission, "message": "a", "details": nested(65)}), Code::TooLarge),
        ("mission.create", json!({"title": "a", "input": {"a": nested(64)}}), Code::TooLarge),
        ("mission.complete", json!({"mission": mission, "result": nested(65)}), Code::TooLarge),
        ("message.send", json!({"mission": mission, "text": "x".repeat(16_001)}), Code::TooLarge),
        ("message.send", json!({"mission": mission, "text": ""}), Code::InvalidValue),
        ("step.add", json!({"mission": mission, "title": "x".repeat(501)}), Code::TooLarge),
        ("step.add", json!({"mission": mission, "title": "a", "parent": mission}), Code::StepNotFound),
        ("step.update", json!({"mission": mission, "step": mission, "title": "a"}), Code::StepNotFound),
        ("step.remove", json!({"mission": mission, "step": mission}), Code::StepNotFound),
        ("approval.answer", json!({"mission": mission, "approval": mission, "text": "a"}), Code::ApprovalNotFound),
        ("document.get", json!({"document": mission}), Code::DocumentNotFound),
        ("auth.signup", json!({"username": "ann", "password": "long enough"}), Code::NameTaken),
        ("auth.signup", json!({"username": "bob", "password": "short"}), Code::InvalidValue),
        ("auth.signup", json!({"username": "no spaces", "password": "long enough"}), Code::InvalidValue),
        ("auth.login", json!({"username": "ann", "password": "wrong"}), Code::BadLogin),
        ("auth.login", json!({"username": "nobody", "password": "wrong"}), Code::BadLogin),
        ("auth.refresh", json!({"refresh_token": "forged"}), Code::TokenInvalid),
        ("user.create", json!({"username": "bob", "password": "long enough", "role": "king"}), Code::InvalidParams),
    ];
    for (method, params, code) in cases {
        server.refuses(ann, *mission, method, params, code).await;
    }
    scene.ends_well().await;
}

/// Arrays within each other.
fn nested(depth: usize) -> Value {
    (0..depth).fold(json!("core"), |inner, _| json!([inner]))
}

#[tokio::test]
async fn what_is_as_deep_as_may_be_can_be_read_by_everybody_and_from_disk() {
    let mut scene = Scene::set(&["--snapshot-events", "1"]).await;
    let Scene { server, ann, mission, watcher, socket } = &mut scene;
    let deep = json!({"mission": mission, "message": "deep", "details": nested(64)});
    let seq = socket.call("activity.add", deep).await["result"]["seq"].as_u64().expect("a position");
    watcher.reach(seq).await;
    let pointing = |depth| json!({"mission": mission, "cursor": nested(depth)});
    socket.call("mission.watch", json!({"mission": mission, "sub": "a"})).await;
    assert_eq!(socket.refused("presence.set", pointing(65)).await.code, Code::TooLarge);
    assert_eq!(socket.call("presence.set", pointing(64)).await["result"], json!({}));

    server.kill_nine().await;
    server.start_again().await;
    let found = server.look(ann, *mission).await;
    assert_eq!(found.activity.last().and_then(|last| last.details.clone()), Some(nested(64)));
    assert!(!server.log().contains("a snapshot makes no sense"), "it is read from its start");
    server.still_works(ann).await;
}

#[tokio::test]
async fn a_frame_over_the_limit_ends_its_own_session_with_a_goodbye() {
    let mut scene = Scene::set(&["--message-bytes", "2048"]).await;
    let params = json!({"mission": scene.mission, "message": "x".repeat(3_000)});
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "activity.add", "params": params}).to_string();
    scene.socket.send(Message::text(request)).await;
    let closing = scene.socket.goodbye().await;
    assert_eq!(closing.code, Close::MessageTooLarge.code());
    assert_eq!(closing.code, 4509);
    assert_eq!(closing.reconnect_after_ms, None, "coming back with the same would help nobody");
    scene.ends_well().await;
}

#[tokio::test]
async fn an_announced_giant_is_refused_before_it_has_come() {
    let mut scene = Scene::set(&["--message-bytes", "2048"]).await;
    // A whole text frame, masked, of 2^40 bytes, of which only the first come.
    let mut giant = vec![0x81, 0x80 | 127];
    giant.extend((1_u64 << 40).to_be_bytes());
    giant.extend([0; 4 + 4096]);
    scene.socket.send_bytes(&giant).await;
    assert_eq!(scene.socket.goodbye().await.code, Close::MessageTooLarge.code());
    scene.ends_well().await;
}

#[tokio::test]
async fn a_message_in_parts_counts_as_one() {
    let mut scene = Scene::set(&["--message-bytes", "2048"]).await;
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "session.ping"}).to_string();
    let (start, end) = request.split_at(20);
    scene.socket.send_parts(&[start, end]).await;
    assert!(scene.socket.response().await["result"]["at"].is_string());
    let part = " ".repeat(1_000);
    scene.socket.send_parts(&[&part, &part, &part]).await;
    assert_eq!(scene.socket.goodbye().await.code, Close::MessageTooLarge.code());
    scene.ends_well().await;
}

#[tokio::test]
async fn binary_frames_are_refused_and_the_session_goes_on() {
    let mut scene = Scene::set(&[]).await;
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "session.ping"}).to_string();
    scene.socket.send(Message::binary(request)).await;
    assert_eq!(fault_of(&scene.socket.response().await).code, Code::BinaryFrame);
    assert!(scene.socket.call("session.ping", json!({})).await["result"].is_object());
    scene.ends_well().await;
}

#[tokio::test]
async fn a_socket_says_who_it_is_in_time_or_goes() {
    let scene = Scene::set(&["--open-timeout-ms", "1500"]).await;
    let mut socket = RawSocket::connect(&scene.server, "/ws", None).await.expect("a connection");
    for (method, params) in [
        ("mission.get", json!({"mission": scene.mission})),
        ("mission.watch", json!({"mission": scene.mission, "sub": "a"})),
        ("activity.add", json!({"mission": scene.mission, "message": "a"})),
        ("auth.user", json!({})),
        ("session.open", json!({})),
    ] {
        assert_eq!(socket.refused(method, params).await.code, Code::Unauthenticated, "{method}");
    }
    let fault = socket.refused("session.open", json!({"token": "forged"})).await;
    assert_eq!(fault.code, Code::TokenInvalid);
    let closing = socket.goodbye().await;
    assert_eq!((closing.code, closing.reconnect_after_ms), (Close::OpenTimeout.code(), None));
    scene.ends_well().await;
}

#[tokio::test]
async fn watches_have_names_of_their_own_and_are_not_too_many() {
    let mut scene = Scene::set(&["--subscriptions", "2"]).await;
    let Scene { socket, mission, .. } = &mut scene;
    let watch = |sub: &str| json!({"mission": mission, "sub": sub});
    assert!(socket.call("mission.watch", watch("a")).await["result"]["snapshot"].is_object());
    assert_eq!(socket.refused("mission.watch", watch("a")).await.code, Code::SubscriptionTaken);
    assert_eq!(socket.refused("mission.watch", watch("")).await.code, Code::InvalidValue);
    assert_eq!(socket.refused("mission.watch", watch(&"x".repeat(65))).await.code, Code::InvalidValue);
    assert!(socket.call("mission.watch", watch("b")).await["result"]["snapshot"].is_object());
    assert_eq!(socket.refused("mission.watch", watch("c")).await.code, Code::LimitReached);
    assert_eq!(socket.refused("mission.unwatch", json!({"sub": "c"})).await.code, Code::SubscriptionNotFound);
    assert!(socket.call("mission.unwatch", json!({"sub": "a"})).await["result"].is_object());
    assert!(socket.call("mission.watch", watch("c")).await["result"]["snapshot"].is_object());
    let bad = json!({"mission": mission, "sub": "d", "since": {"epoch": "now", "seq": 1}});
    assert_eq!(socket.refused("mission.watch", bad).await.code, Code::InvalidParams);
    scene.ends_well().await;
}

#[tokio::test]
async fn another_organizations_mission_is_as_good_as_missing() {
    let scene = Scene::set(&[]).await;
    let bob = scene.server.admin("bob").await;
    let missing = MissionId::fresh();
    let mut socket = RawSocket::open(&scene.server, &bob.token).await;
    for (method, more) in [
        ("mission.get", json!({})),
        ("mission.update", json!({"title": "mine"})),
        ("mission.delete", json!({})),
        ("mission.start", json!({})),
        ("mission.cancel", json!({})),
        ("activity.add", json!({"message": "a"})),
        ("activity.list", json!({})),
        ("message.send", json!({"text": "a"})),
        ("document.list", json!({})),
        ("step.add", json!({"title": "a"})),
        ("mission.watch", json!({"sub": "a"})),
    ] {
        let mut answers = Vec::new();
        for mission in [scene.mission, missing] {
            let mut params = more.clone();
            params["mission"] = json!(mission);
            let fault = socket.refused(method, params).await;
            assert_eq!(fault.code, Code::MissionNotFound, "{method}");
            answers.push(serde_json::to_string(&fault).expect("JSON").replace(&mission.to_string(), "ID"));
        }
        assert_eq!(answers[0], answers[1], "{method} gives it away");
    }
    let list = scene.server.rpc(Some(&bob.token), "mission.list", &json!({})).await;
    assert_eq!(list["result"]["items"], json!([]));
    let path = format!("/ws/missions/{}", scene.mission);
    let mut by_path = RawSocket::connect(&scene.server, &path, Some(&bob.token)).await.expect("a connection");
    assert_eq!(fault_of(&by_path.response().await).code, Code::MissionNotFound);
    scene.ends_well().await;
}

#[tokio::test]
async fn what_the_status_does_not_allow_is_refused() {
    let scene = Scene::set(&[]).await;
    let Scene { server, ann, .. } = &scene;
    let completed = server.started(ann, None, json!({})).await;
    server.call::<CompleteMission>(ann, MissionComplete { mission: completed, result: None }).await.expect("an end");
    let pending = server.mission(ann, None, json!({})).await;
    let running = server.started(ann, None, json!({})).await;
    let cases = [
        (completed, vec!["start", "pause", "resume", "complete", "cancel"]),
        (pending, vec!["pause", "resume"]),
        (running, vec!["start", "resume", "delete"]),
    ];
    for (mission, verbs) in cases {
        for verb in verbs {
            let params = json!({"mission": mission});
            server.refuses(ann, mission, &format!("mission.{verb}"), params, Code::IllegalTransition).await;
        }
    }
    for (method, more) in [
        ("message.send", json!({"text": "a"})),
        ("step.add", json!({"title": "a"})),
        ("mission.update", json!({"title": "b"})),
    ] {
        let mut params = more;
        params["mission"] = json!(completed);
        server.refuses(ann, completed, method, params, Code::IllegalTransition).await;
    }
    scene.ends_well().await;
}

#[tokio::test]
async fn a_step_cannot_stand_under_its_own_child() {
    let scene = Scene::set(&[]).await;
    let Scene { server, ann, .. } = &scene;
    let mission = server.started(ann, None, json!({})).await;
    let mut steps = Vec::new();
    for title in ["grandparent", "parent", "child"] {
        let parent = steps.last().copied();
        let add = StepAdd { mission, title: title.to_owned(), parent, position: None, assignee: None };
        let made = server.call::<AddStep>(ann, add).await.expect("a step").id.expect("its id");
        steps.push(flightdeck_protocol::StepId(made));
    }
    for (step, parent) in [(0, 2), (0, 1), (1, 2), (1, 1)] {
        let params = json!({"mission": mission, "step": steps[step], "parent": steps[parent]});
        server.refuses(ann, mission, "step.move", params, Code::StepCycle).await;
    }
    let params = json!({"mission": mission, "step": steps[0], "parent": flightdeck_protocol::StepId::fresh()});
    server.refuses(ann, mission, "step.move", params, Code::StepNotFound).await;
    scene.ends_well().await;
}

#[tokio::test]
async fn a_session_is_one_persons() {
    let mut scene = Scene::set(&[]).await;
    let vera = scene.server.member(&scene.ann, Role::Viewer, "vera").await;
    for method in ["session.open", "session.renew"] {
        let fault = scene.socket.refused(method, json!({"token": vera.token})).await;
        assert_eq!(fault.code, Code::AlreadyOpen, "{method}");
    }
    scene.socket.send(Message::Close(None)).await;
    assert!(matches!(scene.socket.hear().await, Heard::Closed(1000, _)));
    scene.ends_well().await;
}
