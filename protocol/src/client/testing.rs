//! A small server for the client's tests: it says what the test tells it to say.

use std::ops::RangeInclusive;

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

use crate::{
    Code, Event, EventFrame, Fault, Timestamp,
    ids::MissionId,
    model::{Author, Mission},
    notification::{MISSION_EVENTS, MissionEvents},
    operations::{Position, Watch},
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

    /// Expects a request for a watch, and says from where; the answer is given by what is called next.
    pub(super) async fn expect_watch(&mut self) -> Option<Position> {
        let request = self.hear().await.unwrap();
        assert_eq!(request["method"], "mission.watch");
        assert_eq!(request["id"], 1);
        serde_json::from_value::<Watch>(request["params"].clone()).unwrap().since
    }

    pub(super) async fn watching(&mut self, snapshot: Mission, epoch: Uuid, head: u64) {
        let (seq, mission) = (snapshot.seq, snapshot.id);
        self.answer(
            &json!({"id": 1}),
            json!({"sub": "follow", "mission": mission, "epoch": epoch, "seq": seq, "head": head,
                   "resumed": false, "snapshot": snapshot}),
        )
        .await;
    }

    pub(super) async fn resumed(&mut self, epoch: Uuid, seq: u64, head: u64) {
        let result = json!({"sub": "follow", "mission": mission_id(), "epoch": epoch, "seq": seq, "head": head,
                            "resumed": true});
        self.answer(&json!({"id": 1}), result).await;
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

fn frame(seq: u64, event: Event) -> EventFrame {
    EventFrame { seq, at: Timestamp::from_millis(0), by: Author::System, cause: None, event }
}

pub(super) fn events(epoch: Uuid, seqs: RangeInclusive<u64>) -> MissionEvents {
    let (from, to) = (*seqs.start(), *seqs.end());
    let events = seqs.map(|seq| frame(seq, Event::ProgressReported { percent: 1 })).collect();
    MissionEvents { sub: "follow".to_owned(), epoch, from, to, events, skipped: Vec::new() }
}
