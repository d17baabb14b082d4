//! A small server for the client's tests: it says what the test tells it to say.

use std::{ops::RangeInclusive, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::server, http::header::AUTHORIZATION, protocol::CloseFrame},
};
use uuid::Uuid;

use super::{Backoff, Client, ClientOptions, FixedToken, Follow, Followed};
use crate::{
    Code, Event, EventFrame, Fault, Timestamp,
    ids::MissionId,
    model::{Author, Mission},
    notification::{MISSION_EVENTS, MissionEvents, SESSION_OPENED},
    operations::{MessageSend, Position, Watch},
};

pub(super) struct Desk {
    pub(super) url: String,
    listener: TcpListener,
}

impl Desk {
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { url: format!("http://{}", listener.local_addr().unwrap()), listener }
    }

    /// Takes the next connection.
    pub(super) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        let (mut authorization, mut path) = (String::new(), String::new());
        // The error type of this callback is that of the library.
        #[allow(clippy::result_large_err)]
        let look = |request: &server::Request, response: server::Response| {
            let header = request.headers().get(AUTHORIZATION);
            authorization = header.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
            path = request.uri().path().to_owned();
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, look).await.unwrap();
        Peer { socket, authorization, path }
    }

    /// Refuses the next connection: its token has expired.
    pub(super) async fn refuse(&self) {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        let body = serde_json::to_string(&Fault::new(Code::TokenExpired, "the token has expired")).unwrap();
        let head = format!("HTTP/1.1 401 Unauthorized\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }
}

/// The server's side of a connection.
pub(super) struct Peer {
    socket: WebSocketStream<TcpStream>,
    pub(super) authorization: String,
    pub(super) path: String,
}

impl Peer {
    /// The next frame of the client, as JSON; `None` when the connection has ended.
    pub(super) async fn hear(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await?.ok()? {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    pub(super) async fn say(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    pub(super) async fn answer(&mut self, request: &Value, result: Value) {
        self.say(json!({"jsonrpc": "2.0", "id": request["id"], "result": result})).await;
    }

    pub(super) async fn notify(&mut self, events: &MissionEvents) {
        self.say(json!({"jsonrpc": "2.0", "method": MISSION_EVENTS, "params": events})).await;
    }

    /// Opens the session, whose token is good for an hour.
    pub(super) async fn opened(&mut self) {
        self.opened_for(3_600_000).await;
    }

    /// Opens the session, with a token that expires in `millis` milliseconds.
    pub(super) async fn opened_for(&mut self, millis: i64) {
        let id = Uuid::from_u128(9);
        let opened = json!({
            "connection": id, "session": id,
            "user": {"id": id, "organization": {"id": id, "name": "Ann's"}, "username": "ann", "name": "Ann",
                     "role": "admin", "created_at": Timestamp::from_millis(0)},
            "expires_at": Timestamp::now().plus_millis(millis),
            "limits": {"message_bytes": 1 << 20, "subscriptions": 100, "requests_in_flight": 8,
                       "resume_events": 1000, "resume_bytes": 1 << 20, "outbox_bytes": 1 << 20,
                       "outbox_messages": 100, "sessions": 10, "commands_per_second": 100, "command_burst": 100,
                       "unnamed_sockets": 64, "open_timeout_ms": 10_000, "openings_per_second": 100, "opening_burst": 100,
                       "idem_calls": 100, "live_interval_ms": 40, "list_items": 500},
            "heartbeat": {"interval_ms": 20_000, "timeout_ms": 60_000},
            "profile": crate::PROFILE, "server": "0",
        });
        self.say(json!({"jsonrpc": "2.0", "method": SESSION_OPENED, "params": opened})).await;
    }

    /// The next request that is no ping. Pings are answered.
    pub(super) async fn asked(&mut self) -> Value {
        loop {
            let request = self.hear().await.unwrap();
            if request["method"] != "session.ping" {
                return request;
            }
            if request.get("id").is_some() {
                self.answer(&request, json!({"at": Timestamp::now()})).await;
            }
        }
    }

    /// Expects a request for a watch of a mission.
    pub(super) async fn asked_to_watch(&mut self) -> (Value, Watch) {
        let request = self.asked().await;
        assert_eq!(request["method"], "mission.watch");
        let watch = serde_json::from_value(request["params"].clone()).unwrap();
        (request, watch)
    }

    /// Grants a watch with a snapshot.
    pub(super) async fn watching(&mut self, (request, watch): &(Value, Watch), snapshot: Mission, epoch: Uuid) {
        let seq = snapshot.seq;
        let result = json!({"sub": watch.sub, "mission": watch.mission, "epoch": epoch, "seq": seq, "head": seq,
                            "resumed": false, "snapshot": snapshot});
        self.answer(request, result).await;
    }

    /// Grants a watch from where it asked to be resumed.
    pub(super) async fn resumed(&mut self, (request, watch): &(Value, Watch), head: u64) {
        let Position { epoch, seq } = watch.since.unwrap();
        let result = json!({"sub": watch.sub, "mission": watch.mission, "epoch": epoch, "seq": seq, "head": head,
                            "resumed": true});
        self.answer(request, result).await;
    }

    pub(super) async fn close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        self.socket.close(Some(frame)).await.unwrap();
    }
}

pub(super) fn mission_id() -> MissionId {
    MissionId(Uuid::from_u128(1))
}

pub(super) fn snapshot(seq: u64) -> Mission {
    let created = Event::MissionCreated {
        organization: Uuid::from_u128(2).into(),
        title: "Retrieve".to_owned(),
        mission_type: "general".to_owned(),
        priority: Default::default(),
        agent: None,
        template: None,
        input: Value::Null,
        estimated_at: None,
    };
    Mission::created(mission_id(), &frame(seq, created)).unwrap()
}

pub(super) fn frame(seq: u64, event: Event) -> EventFrame {
    EventFrame { seq, at: Timestamp::from_millis(0), by: Author::System, cause: None, event }
}

/// Events for the watch `sub`.
pub(super) fn events(sub: &str, epoch: Uuid, seqs: RangeInclusive<u64>) -> MissionEvents {
    let (from, to) = (*seqs.start(), *seqs.end());
    let events = seqs.map(|seq| frame(seq, Event::ProgressReported { percent: 1 })).collect();
    MissionEvents { sub: sub.to_owned(), epoch, from, to, events, skipped: Vec::new() }
}

/// The history that positions of tests count in.
pub(super) const EPOCH: Uuid = Uuid::from_u128(5);

/// A position in it.
pub(super) fn since(seq: u64) -> Option<Position> {
    Some(Position { epoch: EPOCH, seq })
}

/// A token that is always taken.
pub(super) fn good() -> FixedToken {
    FixedToken("good".to_owned())
}

/// A client that comes back at once.
pub(super) fn quick() -> ClientOptions {
    let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(20) };
    ClientOptions { backoff, ..ClientOptions::default() }
}

/// A client of `desk`.
pub(super) fn client(desk: &Desk, options: ClientOptions) -> Client {
    Client::with(&desk.url, good(), options)
}

/// Something to say in the mission.
pub(super) fn message() -> MessageSend {
    MessageSend { mission: mission_id(), text: "go on".to_owned() }
}

/// The positions of the events that were handed over.
pub(super) fn seqs(followed: Option<Followed>) -> Vec<u64> {
    match followed {
        Some(Followed::Events(events)) => events.iter().map(|event| event.seq).collect(),
        other => panic!("{other:?} instead of events"),
    }
}

/// The next connection of a watch: its head, and whether it resumed.
pub(super) async fn connected(follow: &mut Follow) -> (u64, bool) {
    loop {
        match follow.next().await.unwrap() {
            Followed::Connected { head, resumed, .. } => return (head, resumed),
            Followed::Disconnected { .. } => {}
            other => panic!("{other:?} instead of a connection"),
        }
    }
}
