//! The socket under a session: one task reads it, another writes it, and what waits for answers hangs between them.

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
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes, protocol::CloseFrame};

use super::{ClientError, Closed, connect::Socket, frame};
use crate::{
    notification::{Notice, SESSION_OPENED},
    operations::Heartbeat,
};

/// How long the server has to answer a close frame.
const GOODBYE: Duration = Duration::from_secs(2);
const PING: &str = r#"{"jsonrpc":"2.0","method":"session.ping","params":{}}"#;

/// What goes to the writing task.
pub(super) enum Outgoing {
    Text(String),
    Close,
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
    pending: HashMap<u64, Asked>,
    closed: Option<Closed>,
}

/// A request that the server has not answered.
struct Asked {
    answer: oneshot::Sender<Utf8Bytes>,
    /// One of those that the server has for requests at once.
    _place: Option<OwnedSemaphorePermit>,
}

impl Shared {
    pub(super) fn new(ping_every: Duration, silence: Duration) -> Self {
        let pace = watch::Sender::new(Pace { ping_every, silence, leaving: false, over: false });
        Self { next_id: AtomicU64::new(1), state: Mutex::default(), pace }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request that is about to be sent, on `place`.
    pub(super) fn asking(&self, place: Option<OwnedSemaphorePermit>) -> Result<Asking<'_>, Closed> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        let mut state = self.state();
        if let Some(closed) = &state.closed {
            return Err(closed.clone());
        }
        state.pending.insert(id, Asked { answer: sender, _place: place });
        drop(state);
        Ok(Asking { shared: self, id, answer, is_sent: false })
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

    /// This side wants to leave, without waiting for anything.
    pub(super) fn leave(&self) {
        self.pace.send_modify(|pace| pace.leaving = true);
    }

    /// Takes over how often the server wants to hear something.
    pub(super) fn adopt(&self, heartbeat: Heartbeat) {
        self.pace.send_modify(|pace| {
            pace.ping_every = pace.ping_every.min(Duration::from_millis(heartbeat.timeout_ms.max(30) / 3));
            pace.silence = Duration::from_millis(heartbeat.interval_ms.saturating_mul(3).saturating_add(10_000));
        });
    }

    /// Why nothing can be sent, and no answer will come.
    pub(super) fn error(&self) -> ClientError {
        ClientError::Closed(self.closed().unwrap_or_else(|| Closed::abnormal("the connection cannot be written to")))
    }
}

/// A request of somebody who waits for its answer.
pub(super) struct Asking<'a> {
    shared: &'a Shared,
    pub(super) id: u64,
    answer: oneshot::Receiver<Utf8Bytes>,
    is_sent: bool,
}

impl Asking<'_> {
    /// The answer to what was sent; `None` when the session ends first.
    pub(super) async fn answer(&mut self) -> Option<Utf8Bytes> {
        self.is_sent = true;
        (&mut self.answer).await.ok()
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        // What was sent the server still has in hand: it stays on the list until it is answered.
        if !self.is_sent {
            self.shared.state().pending.remove(&self.id);
        }
    }
}

/// Reads the socket to its end: answers go to who waits, everything else to the queue.
pub(super) async fn read(mut stream: SplitStream<Socket>, queue: mpsc::Sender<Utf8Bytes>, shared: Arc<Shared>) {
    let closed = loop {
        let silence = shared.pace.borrow().silence;
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
            let asked = shared.state().pending.remove(&id);
            if let Some(asked) = asked {
                // An error means that the caller waits no more.
                let _ = asked.answer.send(text);
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
pub(super) async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut outgoing: mpsc::Receiver<Outgoing>,
    shared: Arc<Shared>,
    mut reader: JoinHandle<()>,
) {
    let mut pace = shared.pace.subscribe();
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
