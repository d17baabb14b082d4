//! One connection: requests pipelined and matched by id, heartbeats answered, the end told to everyone who waits.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    ClientError, Closed, Notices,
    connect::open_socket,
    frame,
    wire::{Outgoing, Shared, read, write},
};
use crate::{
    Operation,
    ids::MissionId,
    operations::{OpenSession, SessionOpen, SessionOpened},
};

/// Requests that wait to be written; a caller waits when there are more.
const OUTGOING: usize = 64;

/// How a session behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Notices that wait to be read, in frames; when there are more the socket is not read.
    pub queue: usize,
    /// A ping goes out when nothing else went out for this long; or a third of what the server allows, if that is less.
    pub ping_every: Duration,
    /// The server is taken for gone when nothing came for this long. Once the server has said how often it
    /// sends a heartbeat, three times that and ten seconds.
    pub silence: Duration,
    /// The largest message that is taken from the server, in bytes.
    pub message_bytes: usize,
    /// How long connecting may take.
    pub connect_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue: 256,
            ping_every: Duration::from_secs(20),
            silence: Duration::from_secs(90),
            message_bytes: 64 << 20,
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// A live session, cheap to clone. The socket is closed when every clone of it
/// and its [`Notices`] are dropped.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
    out: mpsc::Sender<Outgoing>,
}

/// Why there is no answer to a request.
pub(super) struct Unanswered {
    pub(super) error: ClientError,
    /// Whether the request may have reached the server.
    pub(super) sent: bool,
}

impl Unanswered {
    /// The request was sent, and this is what came of it.
    pub(super) fn of(error: ClientError) -> Self {
        Self { error, sent: true }
    }
}

#[derive(Serialize)]
struct Outbound<'a, P> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a P,
}

impl Session {
    /// Connects to the server at `url`, such as `http://127.0.0.1:8080`, with `token` in the
    /// `Authorization` header. With a token the first notice is [`Notice::Opened`]; without one,
    /// [`Session::open`] has to be called.
    ///
    /// # Errors
    /// [`ClientError::Address`], [`ClientError::Connect`], or what the server says against it.
    pub async fn connect(url: &str, token: Option<&str>) -> Result<(Self, Notices), ClientError> {
        Self::connect_with(url, "/ws", token, Options::default()).await
    }

    /// The same, with `mission` watched from the start: the second notice is [`Notice::Watching`].
    ///
    /// # Errors
    /// As for [`Session::connect`].
    pub async fn connect_mission(
        url: &str,
        mission: MissionId,
        token: Option<&str>,
    ) -> Result<(Self, Notices), ClientError> {
        Self::connect_with(url, &format!("/ws/missions/{mission}"), token, Options::default()).await
    }

    /// Connects to `path` on the server at `url`.
    ///
    /// # Errors
    /// As for [`Session::connect`].
    pub async fn connect_with(
        url: &str,
        path: &str,
        token: Option<&str>,
        options: Options,
    ) -> Result<(Self, Notices), ClientError> {
        let socket = open_socket(url, path, token, options).await?;
        let shared = Arc::new(Shared::new(options.ping_every, options.silence));
        let (out, outgoing) = mpsc::channel(OUTGOING);
        let (queue_in, queue) = mpsc::channel(options.queue.max(1));
        let (sink, stream) = socket.split();
        let reader = tokio::spawn(read(stream, queue_in, Arc::clone(&shared)));
        tokio::spawn(write(sink, outgoing, Arc::clone(&shared), reader));
        let notices = Notices { queue, shared: Arc::clone(&shared), _out: out.clone() };
        Ok((Self { shared, out }, notices))
    }

    /// Opens the session of a socket that came without a token.
    ///
    /// # Errors
    /// As for [`Session::call`].
    pub async fn open(&self, token: &str) -> Result<SessionOpened, ClientError> {
        let opened = self.call::<OpenSession>(SessionOpen { token: Some(token.to_owned()) }).await?;
        self.shared.adopt(opened.heartbeat);
        Ok(opened)
    }

    /// Calls an operation and waits for its answer. Others may be called meanwhile.
    ///
    /// # Errors
    /// [`ClientError::Fault`] when the server refuses, [`ClientError::Closed`] when the session
    /// ends before the answer came: then nobody knows whether it was carried out.
    pub async fn call<O: Operation>(&self, params: O::Params) -> Result<O::Result, ClientError> {
        let text = self.exchange(O::METHOD, &params, None).await.map_err(|unanswered| unanswered.error)?;
        frame::answer(&text, O::METHOD)
    }

    /// Calls `method` and gives the answer as the JSON that it is.
    ///
    /// # Errors
    /// As for [`Session::call`].
    pub async fn call_raw<P: Serialize>(&self, method: &str, params: &P) -> Result<Box<RawValue>, ClientError> {
        let text = self.exchange(method, params, None).await.map_err(|unanswered| unanswered.error)?;
        frame::answer(&text, method)
    }

    /// Asks, and gives the frame that answers. `place` is held until the server has answered, also when nobody
    /// waits for that any more.
    pub(super) async fn exchange<P: Serialize>(
        &self,
        method: &str,
        params: &P,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<Utf8Bytes, Unanswered> {
        let unsent = |error| Unanswered { error, sent: false };
        let mut asking = self.shared.asking(place).map_err(|closed| unsent(ClientError::Closed(closed)))?;
        let text = serde_json::to_string(&Outbound { jsonrpc: "2.0", id: asking.id, method, params })
            .map_err(|source| unsent(frame::unreadable(format!("the request {method}"), source)))?;
        self.send_text(text).await.map_err(unsent)?;
        asking.answer().await.ok_or_else(|| Unanswered::of(self.shared.error()))
    }

    /// Sends a frame as it is. An answer to it that carries no id of this session comes out of
    /// [`Notices::next_raw`].
    ///
    /// # Errors
    /// [`ClientError::Closed`] when the session has ended.
    pub async fn send_text(&self, text: String) -> Result<(), ClientError> {
        self.out.send(Outgoing::Text(text)).await.map_err(|_| self.shared.error())
    }

    /// Closes the socket once what was sent before is written. Calls that still wait end with
    /// [`ClientError::Closed`].
    pub async fn close(&self) {
        // An error means that it is closed already.
        let _ = self.out.send(Outgoing::Close).await;
    }

    /// Closes the socket without waiting for anything, not even for what is still to be written.
    pub(super) fn leave(&self) {
        self.shared.leave();
    }

    /// How the session ended, once it has.
    pub fn closed(&self) -> Option<Closed> {
        self.shared.closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::testing::{Desk, events, mission_id},
        fault::Fault,
        notification::Notice,
        operations::{Empty, ListUsers, Ping, WhoAmI},
    };
    use serde_json::json;
    use uuid::Uuid;

    const EPOCH: Uuid = Uuid::from_u128(5);

    #[tokio::test]
    async fn requests_are_pipelined_and_each_gets_its_own_answer() {
        let desk = Desk::open().await;
        let (connected, mut peer) = tokio::join!(Session::connect(&desk.url, Some("secret")), desk.accept());
        let (session, _notices) = connected.unwrap();
        assert_eq!((peer.authorization.as_str(), peer.path.as_str()), ("Bearer secret", "/ws"));
        let server = async {
            let (first, second) = (peer.hear().await.unwrap(), peer.hear().await.unwrap());
            // The answers come the other way round.
            peer.answer(&second, json!({"items": []})).await;
            let fault = Fault::new(crate::Code::TokenRevoked, "the sign-in has ended");
            peer.say(json!({"jsonrpc": "2.0", "id": first["id"], "error": fault})).await;
        };
        let (who, users, ()) =
            tokio::join!(session.call::<WhoAmI>(Empty {}), session.call::<ListUsers>(Empty {}), server);
        assert_eq!(who.unwrap_err().fault().unwrap().code, crate::Code::TokenRevoked);
        assert!(users.unwrap().items.is_empty());
    }

    #[tokio::test]
    async fn calls_that_wait_end_with_the_session_and_later_ones_at_once() {
        let desk = Desk::open().await;
        let (connected, mut peer) =
            tokio::join!(Session::connect_mission(&desk.url, mission_id(), None), desk.accept());
        let (session, mut notices) = connected.unwrap();
        assert_eq!(peer.path, format!("/ws/missions/{}", mission_id()));
        let server = async {
            peer.hear().await.unwrap();
            peer.close(4000, "server restarting").await;
        };
        let (answer, ()) = tokio::join!(session.call::<WhoAmI>(Empty {}), server);
        let gone = Closed { code: 4000, reason: "server restarting".to_owned() };
        assert!(matches!(answer, Err(ClientError::Closed(closed)) if closed == gone));
        assert!(matches!(session.call::<WhoAmI>(Empty {}).await, Err(ClientError::Closed(closed)) if closed == gone));
        assert!(notices.next().await.is_none());
        assert_eq!(notices.closed(), Some(gone));
    }

    #[tokio::test]
    async fn a_full_queue_holds_the_socket_up_and_loses_nothing() {
        let desk = Desk::open().await;
        let options = Options { queue: 2, ..Options::default() };
        let (connected, mut peer) = tokio::join!(Session::connect_with(&desk.url, "/ws", None, options), desk.accept());
        let (session, mut notices) = connected.unwrap();
        for seq in 1..=20 {
            peer.notify(&events("a", EPOCH, seq..=seq)).await;
        }
        let ping = tokio::spawn(async move { session.call::<Ping>(Empty {}).await });
        let request = peer.hear().await.unwrap();
        peer.answer(&request, json!({"at": "2026-01-31T12:00:00.000Z"})).await;
        for seq in 1..=20 {
            assert!(!ping.is_finished() || seq > 10, "the answer came past {seq} unread frames");
            let raw = notices.next_raw().await.unwrap();
            assert_eq!(raw.method().as_deref(), Some("mission.events"));
            assert!(matches!(raw.read().unwrap(), Some(Notice::Events(events)) if events.from == seq));
        }
        ping.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_quiet_client_says_that_it_is_there_and_closes_when_nobody_holds_it() {
        let desk = Desk::open().await;
        let options = Options { ping_every: Duration::from_millis(20), ..Options::default() };
        let (connected, mut peer) = tokio::join!(Session::connect_with(&desk.url, "/ws", None, options), desk.accept());
        let ping = peer.hear().await.unwrap();
        assert_eq!(ping["method"], "session.ping");
        assert!(ping.get("id").is_none());
        drop(connected);
        while peer.hear().await.is_some() {}
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_taken_for_gone() {
        let desk = Desk::open().await;
        let options = Options { silence: Duration::from_millis(50), ..Options::default() };
        let (connected, _peer) = tokio::join!(Session::connect_with(&desk.url, "/ws", None, options), desk.accept());
        let (_session, mut notices) = connected.unwrap();
        assert!(notices.next().await.is_none());
        assert_eq!(notices.closed().unwrap().code, 1006);
    }

    #[tokio::test]
    async fn a_refused_upgrade_tells_what_the_server_said() {
        let desk = Desk::open().await;
        let (refused, ()) = tokio::join!(Session::connect(&desk.url, Some("old")), desk.refuse());
        assert_eq!(refused.err().unwrap().fault().unwrap().code, crate::Code::TokenExpired);
        let nobody = { Desk::open().await.url };
        assert!(matches!(Session::connect(&nobody, None).await, Err(ClientError::Connect { .. })));
    }
}
