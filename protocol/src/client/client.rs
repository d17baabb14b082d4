//! A client: a connection that is kept for as long as it is wanted, and the calls and watches on it.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::{sync::watch, task::AbortHandle};

use super::{
    Backoff, ClientError, Follow, LiveList, LiveMission, Options, Tokens, WatchOptions,
    calls::{Calls, Guarded, fresh_idem, open},
    keeper::Keeper,
    link::Now,
};
use crate::{
    Operation,
    ids::MissionId,
    model::{InboxItem, MissionSummary},
    operations::{Guard, MissionsWatch, SessionOpened, find},
};

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    /// How each of its connections behaves.
    pub session: Options,
    /// How the waits before coming back grow, and those before asking again for what was refused for now.
    pub backoff: Backoff,
    /// How long a call may take, from the call to the answer, over however many connections.
    pub call_timeout: Duration,
    /// How long a token may take to come; then it is asked for again.
    pub token_timeout: Duration,
    /// Calls that wait for a connection, for their turn on it, or because the server has no room for them now,
    /// at most. One more is refused with [`ClientError::QueueFull`]; one that was sent, and would wait, ends with
    /// what the server said.
    pub queued_calls: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            session: Options::default(),
            backoff: Backoff::default(),
            call_timeout: Duration::from_secs(30),
            token_timeout: Duration::from_secs(15),
            queued_calls: 256,
        }
    }
}

/// How it is with a client's connection.
#[derive(Clone, Debug)]
pub enum ClientState {
    /// One is being made.
    Connecting,
    /// One is there.
    Open,
    /// The next is tried after a while.
    Waiting {
        /// Why there is none.
        why: String,
        /// How long the wait is in all.
        retry_in: Duration,
    },
    /// There will be none: the reason is final, or the client was closed.
    Ended(ClientError),
}

/// A live session with a server, for as long as any clone of this or any watch of it is there.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    now: watch::Sender<Now>,
    calls: Calls,
    backoff: Backoff,
    keeper: AbortHandle,
}

impl Client {
    /// Connects to the server at `server`, such as `http://127.0.0.1:8080`, with access tokens from
    /// `tokens`, and stays connected. Has to be called inside a tokio runtime.
    pub fn start(server: &str, tokens: impl Tokens) -> Self {
        Self::with(server, tokens, ClientOptions::default())
    }

    /// The same, with a behaviour of one's own.
    pub fn with(server: &str, tokens: impl Tokens, options: ClientOptions) -> Self {
        let now = watch::Sender::new(Now::Connecting);
        let keeper = tokio::spawn(Keeper::new(server, tokens, options, now.clone()).run()).abort_handle();
        let calls = Calls::new(options.queued_calls, options.call_timeout, options.backoff);
        Self(Arc::new(Inner { now, calls, backoff: options.backoff, keeper }))
    }

    /// How it is with the connection.
    pub fn state(&self) -> ClientState {
        match &*self.0.now.borrow() {
            Now::Connecting => ClientState::Connecting,
            Now::Open(_) => ClientState::Open,
            Now::Waiting { why, retry_in } => ClientState::Waiting { why: why.clone(), retry_in: *retry_in },
            Now::Ended(error) => ClientState::Ended(error.clone()),
        }
    }

    /// Waits for a connection, and gives what the server said when it opened the session.
    ///
    /// # Errors
    /// Why there will be none.
    pub async fn ready(&self) -> Result<SessionOpened, ClientError> {
        Ok(open(&mut self.now()).await?.opened.clone())
    }

    /// How it is once the attempt that is under way has come to something: what a program needs that would
    /// rather say that there is no server than wait for one.
    pub async fn attempted(&self) -> ClientState {
        let is_under_way = |now: &Now| match now {
            Now::Connecting => true,
            Now::Waiting { retry_in, .. } => retry_in.is_zero(),
            Now::Open(_) | Now::Ended(_) => false,
        };
        // The sender lives as long as this client.
        let _ = self.now().wait_for(|now| !is_under_way(now)).await;
        self.state()
    }

    /// Ends the connection and with it all watches and calls, those of every clone.
    pub fn close(&self) {
        self.0.close();
    }

    /// Calls an operation, now or as soon as there is a connection. One that only reads is asked
    /// again when the connection is lost or the server is busy; another is not, unless it never
    /// went out: for those there is [`Client::call_once`].
    ///
    /// # Errors
    /// [`ClientError::Fault`] when the server refuses, [`ClientError::Closed`] when the connection
    /// was lost and nobody knows whether it was carried out, [`ClientError::TimedOut`],
    /// [`ClientError::QueueFull`], or why there will be no connection.
    pub async fn call<O: Operation>(&self, params: O::Params) -> Result<O::Result, ClientError> {
        let reads = find(O::METHOD).is_some_and(|operation| operation.reads());
        self.ask::<O, _, _>(&params, reads).await
    }

    /// Calls an operation that changes something, for as long as it takes: it carries a name of its
    /// own (`idem`), so that asking again after a lost connection does not carry it out twice.
    ///
    /// # Errors
    /// As for [`Client::call`], but a lost connection is none.
    pub async fn call_once<O: Operation>(&self, params: O::Params) -> Result<O::Result, ClientError> {
        self.call_guarded::<O>(params, None).await
    }

    /// The same, and only if nothing has happened in the mission after `if_seq`.
    ///
    /// # Errors
    /// As for [`Client::call_once`]; what has happened since comes with the refusal.
    pub async fn call_guarded<O: Operation>(
        &self,
        params: O::Params,
        if_seq: Option<u64>,
    ) -> Result<O::Result, ClientError> {
        self.guarded::<O, _>(&params, if_seq).await
    }

    /// The same as [`Client::call_once`], for the answer as it is on the wire.
    ///
    /// # Errors
    /// As for [`Client::call_once`].
    pub async fn call_raw<O: Operation>(&self, params: &O::Params) -> Result<Box<RawValue>, ClientError> {
        self.guarded::<O, _>(params, None).await
    }

    /// Calls an operation with an `idem` where it takes one; the answer is read as an `R`.
    pub(super) async fn guarded<O: Operation, R: DeserializeOwned>(
        &self,
        params: &O::Params,
        if_seq: Option<u64>,
    ) -> Result<R, ClientError> {
        let Some(operation) = find(O::METHOD) else { return self.ask::<O, R, _>(params, false).await };
        let takes = |guard| operation.guards.contains(&guard);
        let idem = takes(Guard::Idem).then(fresh_idem);
        let again = idem.is_some() || operation.reads();
        let guarded = Guarded { params, idem, if_seq: if_seq.filter(|_| takes(Guard::IfSeq)) };
        self.ask::<O, R, _>(&guarded, again).await
    }

    async fn ask<O: Operation, R: DeserializeOwned, P: Serialize>(
        &self,
        params: &P,
        again: bool,
    ) -> Result<R, ClientError> {
        self.0.calls.call(&mut self.now(), O::METHOD, params, again).await
    }

    /// Watches a mission, from its state now on.
    pub fn watch(&self, mission: MissionId) -> Follow {
        self.watch_with(mission, WatchOptions::default())
    }

    /// Watches a mission.
    pub fn watch_with(&self, mission: MissionId, options: WatchOptions) -> Follow {
        Follow::over(self.clone(), mission, options)
    }

    /// Watches a mission, and folds what happens into it.
    pub fn mission(&self, mission: MissionId) -> LiveMission {
        LiveMission::over(self.clone(), mission, WatchOptions::default())
    }

    /// Watches a list of missions. The `sub` of the query is filled in.
    pub fn watch_missions(&self, query: MissionsWatch) -> LiveList<MissionSummary> {
        LiveList::missions(self.clone(), query)
    }

    /// Watches what waits for the person, newest first.
    pub fn watch_inbox(&self) -> LiveList<InboxItem> {
        LiveList::inbox(self.clone())
    }

    /// What the server said when it opened the session that there is now.
    pub(super) fn opened(&self) -> Option<SessionOpened> {
        match &*self.0.now.borrow() {
            Now::Open(link) => Some(link.opened.clone()),
            _ => None,
        }
    }

    pub(super) fn now(&self) -> watch::Receiver<Now> {
        self.0.now.subscribe()
    }

    pub(super) fn backoff(&self) -> Backoff {
        self.0.backoff
    }
}

impl Inner {
    fn close(&self) {
        self.keeper.abort();
        let over = |now: &mut Now| match now {
            Now::Ended(_) => None,
            _ => Some(std::mem::replace(now, Now::Ended(ClientError::left()))),
        };
        let mut before = None;
        self.now.send_if_modified(|now| {
            before = over(now);
            before.is_some()
        });
        if let Some(Now::Open(link)) = before {
            link.end();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::testing::{Desk, client, message, quick},
        operations::SendMessage,
    };

    #[tokio::test]
    async fn who_closes_it_ends_what_waits() {
        let desk = Desk::open().await;
        let client = client(&desk, quick());
        let other = client.clone();
        let call = tokio::spawn(async move { other.call_once::<SendMessage>(message()).await });
        let mut peer = desk.accept().await;
        peer.opened().await;
        peer.asked().await;
        client.close();
        assert!(matches!(call.await.unwrap(), Err(ClientError::Closed(_))));
        assert!(matches!(client.ready().await, Err(ClientError::Closed(closed)) if closed.code == 1000));
        while peer.hear().await.is_some() {}
    }
}
