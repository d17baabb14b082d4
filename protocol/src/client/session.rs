//! One connection: requests pipelined and matched by id, heartbeats answered, the end told to everyone who waits.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes, protocol::CloseFrame};

use super::{
    ClientError, Closed, Notices,
    connect::{Socket, open_socket},
    frame,
};
use crate::{
    Operation,
    ids::MissionId,
    notification::{Notice, SESSION_OPENED},
    operations::{Heartbeat, OpenSession, SessionOpen, SessionOpened},
};

/// Requests that wait to be written; a caller waits when there are more.
const OUTGOING: usize = 64;
/// How long the server has to answer a close frame.
const GOODBYE: Duration = Duration::from_secs(2);
const PING: &str = r#"{"jsonrpc":"2.0","method":"session.ping","params":{}}"#;

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

/// What goes to the writing task.
pub(super) enum Outgoing {
    Text(String),
    Close,
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

/// How often to ping, how long to wait, and whether it is over.
#[derive(Clone, Copy)]
struct Pace {
    ping_every: Duration,
    silence: Duration,
    /// This side wants to leave.
    leaving: bool,
    over: bool,
}

/// What the handles and the two tasks share.
pub(super) struct Shared {
    next_id: AtomicU64,
    state: Mutex<State>,
    pace: watch::Sender<Pace>,
}

#[derive(Default)]
struct State {
    pending: HashMap<u64, oneshot::Sender<Utf8Bytes>>,
    closed: Option<Closed>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn closed(&self) -> Option<Closed> {
        self.state().closed.clone()
    }

    /// Notes the end, once, and lets go of everyone who waits for an answer.
    fn end(&self, closed: Closed) {
        let mut state = self.state();
        state.closed.get_or_insert(closed);
        state.pending.clear();
        drop(state);
        self.pace.send_modify(|pace| pace.over = true);
    }

    fn adopt(&self, heartbeat: Heartbeat) {
        self.pace.send_modify(|pace| {
            pace.ping_every = pace.ping_every.min(Duration::from_millis(heartbeat.timeout_ms.max(30) / 3));
            pace.silence = Duration::from_millis(heartbeat.interval_ms.saturating_mul(3).saturating_add(10_000));
        });
    }

    fn error(&self) -> ClientError {
        ClientError::Closed(self.closed().unwrap_or_else(|| Closed::abnormal("the connection cannot be written to")))
    }
}

/// Takes a request off the list when its caller stops waiting.
struct Waiting<'a>(&'a Shared, u64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().pending.remove(&self.1);
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
        let (pace, pace_seen) = watch::channel(Pace {
            ping_every: options.ping_every,
            silence: options.silence,
            leaving: false,
            over: false,
        });
        let shared = Arc::new(Shared { next_id: AtomicU64::new(1), state: Mutex::default(), pace });
        let (out, outgoing) = mpsc::channel(OUTGOING);
        let (queue_in, queue) = mpsc::channel(options.queue.max(1));
        let (sink, stream) = socket.split();
        let reader = tokio::spawn(read(stream, queue_in, Arc::clone(&shared), pace_seen.clone()));
        tokio::spawn(write(sink, outgoing, Arc::clone(&shared), pace_seen, reader));
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
        let text = self.exchange(O::METHOD, &params).await.map_err(|unanswered| unanswered.error)?;
        frame::answer(&text, O::METHOD)
    }

    /// Calls `method` and gives the answer as the JSON that it is.
    ///
    /// # Errors
    /// As for [`Session::call`].
    pub async fn call_raw<P: Serialize>(&self, method: &str, params: &P) -> Result<Box<RawValue>, ClientError> {
        let text = self.exchange(method, params).await.map_err(|unanswered| unanswered.error)?;
        frame::answer(&text, method)
    }

    /// Asks, and gives the frame that answers.
    pub(super) async fn exchange<P: Serialize>(&self, method: &str, params: &P) -> Result<Utf8Bytes, Unanswered> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let unsent = |error| Unanswered { error, sent: false };
        let text = serde_json::to_string(&Outbound { jsonrpc: "2.0", id, method, params })
            .map_err(|source| unsent(frame::unreadable(format!("the request {method}"), source)))?;
        let (answer_in, answer) = oneshot::channel();
        {
            let mut state = self.shared.state();
            if let Some(closed) = &state.closed {
                return Err(unsent(ClientError::Closed(closed.clone())));
            }
            state.pending.insert(id, answer_in);
        }
        let _waiting = Waiting(&self.shared, id);
        self.send_text(text).await.map_err(unsent)?;
        answer.await.map_err(|_| Unanswered::of(self.shared.error()))
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
        self.shared.pace.send_modify(|pace| pace.leaving = true);
    }

    /// How the session ended, once it has.
    pub fn closed(&self) -> Option<Closed> {
        self.shared.closed()
    }
}

/// Reads the socket to its end: answers go to who waits, everything else to the queue.
async fn read(
    mut stream: SplitStream<Socket>,
    queue: mpsc::Sender<Utf8Bytes>,
    shared: Arc<Shared>,
    pace: watch::Receiver<Pace>,
) {
    let closed = loop {
        let silence = pace.borrow().silence;
        let text = match timeout(silence, stream.next()).await {
            Err(_) => break Closed::abnormal("nothing was heard from the server for too long"),
            Ok(None) => break Closed::abnormal("the connection was lost"),
            Ok(Some(Err(error))) => break Closed::abnormal(error.to_string()),
            Ok(Some(Ok(Message::Close(None)))) => break Closed { code: 1005, reason: String::new() },
            Ok(Some(Ok(Message::Close(Some(close))))) => {
                break Closed { code: close.code.into(), reason: close.reason.to_string() };
            }
            Ok(Some(Ok(Message::Text(text)))) => text,
            Ok(Some(Ok(_))) => continue,
        };
        if let Some(id) = frame::answered(&text) {
            let waiting = shared.state().pending.remove(&id);
            if let Some(waiting) = waiting {
                // An error means that the caller waits no more.
                let _ = waiting.send(text);
                continue;
            }
        } else if frame::method(&text).as_deref() == Some(SESSION_OPENED) {
            let notice = frame::notification(&text).map(|(method, params)| Notice::read(&method, params));
            if let Ok(Ok(Some(Notice::Opened(opened)))) = notice {
                shared.adopt(opened.heartbeat);
            }
        }
        // An error means that nobody wants notices.
        let _ = queue.send(text).await;
    };
    shared.end(closed);
}

/// Writes what is to go out, and a ping when there is nothing, until the session is over or nobody holds it.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut outgoing: mpsc::Receiver<Outgoing>,
    shared: Arc<Shared>,
    mut pace: watch::Receiver<Pace>,
    mut reader: JoinHandle<()>,
) {
    loop {
        let Pace { ping_every, leaving, over, .. } = *pace.borrow_and_update();
        if over {
            return;
        }
        if leaving {
            break;
        }
        let message = tokio::select! {
            next = outgoing.recv() => match next {
                Some(Outgoing::Text(text)) => Message::text(text),
                Some(Outgoing::Close) | None => break,
            },
            () = tokio::time::sleep(ping_every) => Message::text(PING),
            _ = pace.changed() => continue,
        };
        if sink.send(message).await.is_err() {
            // The reader meets the same end, after what is still there to be read.
            return;
        }
    }
    let goodbye = Message::Close(Some(CloseFrame { code: 1000.into(), reason: Utf8Bytes::from_static("") }));
    if sink.send(goodbye).await.is_err() || timeout(GOODBYE, &mut reader).await.is_err() {
        reader.abort();
        shared.end(Closed { code: 1000, reason: "closed by this side".to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::testing::{Desk, events, mission_id},
        fault::Fault,
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
