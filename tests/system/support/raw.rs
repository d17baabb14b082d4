//! A socket without manners: sends any frame, and hears what the server says to it.

use flightdeck_protocol::{Fault, notification::Closing};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        http::HeaderValue,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use super::{Server, fault_of, within};

/// A socket.
pub(crate) struct RawSocket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What came from the server.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A JSON message.
    Json(Value),
    /// The close frame: its code and its reason.
    Closed(u16, String),
}

impl RawSocket {
    /// Connects to `path`, with a token in the header if one is given.
    pub(crate) async fn connect(server: &Server, path: &str, token: Option<&str>) -> Result<Self, (u16, Value)> {
        let url = format!("{}{path}", server.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().expect("a request");
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
            request.headers_mut().insert("authorization", value);
        }
        match within("a connection", connect_async(request)).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tungstenite::Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                Err((response.status().as_u16(), serde_json::from_slice(body).unwrap_or_default()))
            }
            Err(error) => panic!("no connection: {error}"),
        }
    }

    /// A connection with an open session.
    pub(crate) async fn open(server: &Server, token: &str) -> Self {
        let mut socket = Self::connect(server, "/ws", Some(token)).await.expect("a connection");
        socket.notice("session.opened").await;
        socket
    }

    pub(crate) async fn send(&mut self, frame: impl Into<Message>) {
        // The server may have closed: what it said is heard by the caller.
        let _ = self.0.send(frame.into()).await;
    }

    /// Sends messages in one go.
    pub(crate) async fn send_all(&mut self, messages: impl IntoIterator<Item = String>) {
        for message in messages {
            self.0.feed(message.into()).await.expect("an open socket");
        }
        self.0.flush().await.expect("an open socket");
    }

    /// Sends bytes that are not even frames, perhaps.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        // The server may have closed: what it said is heard by the caller.
        let _ = self.0.get_mut().write_all(bytes).await;
    }

    /// Sends a text message in several frames.
    pub(crate) async fn send_parts(&mut self, parts: &[&str]) {
        for (nth, part) in parts.iter().enumerate() {
            let code = if nth == 0 { Data::Text } else { Data::Continue };
            let is_last = nth + 1 == parts.len();
            self.send(Message::Frame(Frame::message(part.as_bytes().to_vec(), OpCode::Data(code), is_last))).await;
        }
    }

    /// The next message or the close frame; pings are passed over.
    pub(crate) async fn hear(&mut self) -> Heard {
        loop {
            match within("a frame", self.0.next()).await {
                Some(Ok(Message::Text(text))) => return Heard::Json(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Heard::Closed(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("the socket ended without a word: {other:?}"),
            }
        }
    }

    /// The parameters of the next notification `method`.
    pub(crate) async fn notice(&mut self, method: &str) -> Value {
        loop {
            match self.hear().await {
                Heard::Json(mut message) if message["method"] == method => return message["params"].take(),
                Heard::Json(_) => {}
                Heard::Closed(code, reason) => panic!("closed with {code} ({reason}) instead of {method}"),
            }
        }
    }

    /// The next response, whatever it answers.
    pub(crate) async fn response(&mut self) -> Value {
        loop {
            match self.hear().await {
                Heard::Json(message) if message.get("method").is_none() => return message,
                Heard::Json(_) => {}
                Heard::Closed(code, reason) => panic!("closed with {code} ({reason}) instead of an answer"),
            }
        }
    }

    /// Calls a method, and gives the whole response.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string()).await;
        let response = self.response().await;
        assert_eq!(response["id"], 7, "{response}");
        response
    }

    /// Calls a method that is refused.
    pub(crate) async fn refused(&mut self, method: &str, params: Value) -> Fault {
        fault_of(&self.call(method, params).await)
    }

    /// The goodbye, which the close frame must agree with.
    pub(crate) async fn goodbye(&mut self) -> Closing {
        let closing: Closing = serde_json::from_value(self.notice("session.closing").await).expect("a goodbye");
        match self.hear().await {
            Heard::Closed(code, reason) => assert_eq!((code, reason), (closing.code, closing.reason.clone())),
            Heard::Json(message) => panic!("after the goodbye came {message}"),
        }
        closing
    }
}
