//! A socket without manners: sends any frame, and hears what the server says to it.

use flightdeck_protocol::{Fault, notification::Closing};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, Request, Response},
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use super::{Server, fault_of, within};

/// A socket.
pub(crate) struct RawSocket(WebSocketStream<TcpStream>);

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
        Self::upgrade(server, request(server, path, token), None).await.map(|(socket, _)| socket)
    }

    /// The same with more headers, and with what the server answered to the upgrade.
    pub(crate) async fn offering(server: &Server, token: &str, header: (&'static str, &str)) -> (Self, Response<()>) {
        let mut request = request(server, "/ws", Some(token));
        request.headers_mut().insert(header.0, HeaderValue::from_str(header.1).expect("a header"));
        Self::upgrade(server, request, None).await.expect("a connection")
    }

    /// A connection with an open session, of which the kernel keeps little that is not read.
    pub(crate) async fn narrow(server: &Server, token: &str) -> Self {
        let (mut socket, _) =
            Self::upgrade(server, request(server, "/ws", Some(token)), Some(4096)).await.expect("a connection");
        socket.notice("session.opened").await;
        socket
    }

    async fn upgrade(
        server: &Server,
        request: Request<()>,
        receive_buffer: Option<u32>,
    ) -> Result<(Self, Response<()>), (u16, Value)> {
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).expect("a smaller buffer");
        }
        let stream = within("a connection", socket.connect(server.address())).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket that sends at once");
        match within("an upgrade", client_async(request, stream)).await {
            Ok((socket, response)) => Ok((Self(socket), response.map(|_| ()))),
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

    /// Sends bytes for as long as the server takes them; whether it took them all.
    pub(crate) async fn press(&mut self, bytes: &[u8]) -> bool {
        within("bytes to be taken or refused", self.0.get_mut().write_all(bytes)).await.is_ok()
    }

    /// The payload of the next pong.
    pub(crate) async fn pong(&mut self) -> Vec<u8> {
        loop {
            match within("a pong", self.0.next()).await {
                Some(Ok(Message::Pong(payload))) => return payload.into(),
                Some(Ok(Message::Ping(_) | Message::Text(_))) => {}
                other => panic!("no pong but {other:?}"),
            }
        }
    }

    /// Waits until the server has ended the connection, in whatever way; what it still sends is not looked at.
    pub(crate) async fn ends_cut_off(mut self) {
        let stream = self.0.get_mut();
        let mut bytes = vec![0; 64 * 1024];
        // A reset is an end as well.
        within("the end of the connection", async { while matches!(stream.read(&mut bytes).await, Ok(1..)) {} }).await;
    }

    /// Waits until the server has broken off the connection, without reading anything that it sent.
    pub(crate) async fn breaks_off_unread(&mut self) {
        let broken = self.0.get_ref().ready(Interest::ERROR);
        within("the connection to be broken off", broken).await.expect("a socket");
    }

    /// The bytes that can still be read, up to the end of the connection.
    pub(crate) async fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end as well; what came before it is there.
        let _ = within("the end of the connection", self.0.get_mut().read_to_end(&mut rest)).await;
        rest
    }

    /// Reads so many bytes, whatever they are.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        within("bytes", self.0.get_mut().read_exact(&mut bytes)).await.expect("an open connection");
        bytes
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

    /// The messages up to the end of the connection, which comes without a close frame.
    pub(crate) async fn until_broken_off(&mut self) -> Vec<Value> {
        let mut heard = Vec::new();
        loop {
            match within("the end of the connection", self.0.next()).await {
                Some(Ok(Message::Text(text))) => heard.push(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Err(_)) => return heard,
                other => panic!("the connection ended in good order: {other:?}"),
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

fn request(server: &Server, path: &str, token: Option<&str>) -> Request<()> {
    let url = format!("{}{path}", server.url.replacen("http", "ws", 1));
    let mut request = url.into_client_request().expect("a request");
    if let Some(token) = token {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
        request.headers_mut().insert("authorization", value);
    }
    request
}
