//! A tab's connection: a socket of which the kernel keeps little that is not read.

use std::future::pending;

use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest as _, http::HeaderValue},
};

use crate::support::within;

/// A small window, so that the server soon notices a tab that does not read.
const WINDOW: u32 = 4096;

pub(super) type Socket = WebSocketStream<TcpStream>;

/// A message of the server, as far as it is to be told apart.
#[derive(Deserialize)]
pub(super) struct Frame<'a> {
    pub(super) method: Option<&'a str>,
    #[serde(borrow)]
    pub(super) params: Option<&'a RawValue>,
    pub(super) id: Option<u64>,
}

/// Connects to the server at `url`; `None` where it is busy, or was killed just now.
pub(super) async fn open(url: &str, token: &str) -> Option<Socket> {
    let mut request = format!("{}/ws", url.replacen("http", "ws", 1)).into_client_request().expect("a request");
    let token = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
    request.headers_mut().insert("authorization", token);
    let address = url.trim_start_matches("http://").parse().expect("an address");
    let connecting = async {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(WINDOW).expect("a window");
        let stream = socket.connect(address).await?;
        client_async(request, stream).await
    };
    match within("a connection", connecting).await {
        Ok((socket, _)) => Some(socket),
        Err(tungstenite::Error::Http(refused)) if matches!(refused.status().as_u16(), 429 | 503) => None,
        Err(tungstenite::Error::Io(_) | tungstenite::Error::Protocol(_)) => None,
        Err(error) => panic!("no connection: {error}"),
    }
}

/// The next frame; never, where there is no connection.
pub(super) async fn frame(socket: &mut Option<Socket>) -> Option<Result<Message, tungstenite::Error>> {
    match socket {
        Some(socket) => socket.next().await,
        None => pending().await,
    }
}
