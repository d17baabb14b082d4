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
        Code, Fault,
        client::{
            FixedToken, TokenError,
            calls::turn_now,
            testing::{Desk, mission_id},
        },
        notification::{Close, SESSION_CLOSING},
        operations::{Empty, ListUsers, MessageSend, MissionRef, PauseMission, SendMessage},
    };
    use futures_util::FutureExt as _;
    use serde_json::json;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    fn quick() -> ClientOptions {
        let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(20) };
        ClientOptions { backoff, ..ClientOptions::default() }
    }

    fn client(desk: &Desk, options: ClientOptions) -> Client {
        Client::with(&desk.url, FixedToken("good".to_owned()), options)
    }

    fn message() -> MessageSend {
        MessageSend { mission: mission_id(), text: "go on".to_owned() }
    }

    #[tokio::test]
    async fn a_call_waits_for_a_connection_and_one_that_reads_is_asked_again() {
        let desk = Desk::open().await;
        let client = client(&desk, quick());
        let serving = async {
            let mut peer = desk.accept().await;
            peer.opened().await;
            assert_eq!(peer.asked().await["method"], "user.list");
            drop(peer);
            let mut peer = desk.accept().await;
            peer.opened().await;
            let request = peer.asked().await;
            peer.answer(&request, json!({"items": []})).await;
            peer
        };
        let (users, _peer) = tokio::join!(client.call::<ListUsers>(Empty {}), serving);
        assert!(users.unwrap().items.is_empty());
    }

    #[tokio::test]
    async fn a_command_is_asked_again_under_its_own_name_or_not_at_all() {
        let desk = Desk::open().await;
        let client = client(&desk, quick());
        let serving = async {
            let mut peer = desk.accept().await;
            peer.opened().await;
            let (one, other) = (peer.asked().await, peer.asked().await);
            drop(peer);
            let mut peer = desk.accept().await;
            peer.opened().await;
            let again = peer.asked().await;
            let once = if one["params"]["idem"].is_null() { other } else { one };
            assert_eq!(again["params"], once["params"]);
            assert!(once["params"]["idem"].as_str().is_some_and(|idem| idem.len() >= 16), "{once}");
            let id = uuid::Uuid::from_u128(1);
            peer.answer(&again, json!({"mission": id, "seq": 7, "command": id})).await;
            peer
        };
        let (once, plain, _peer) =
            tokio::join!(client.call_once::<SendMessage>(message()), client.call::<SendMessage>(message()), serving);
        assert_eq!(once.unwrap().seq, 7);
        assert!(matches!(plain, Err(ClientError::Closed(_))), "{plain:?}");
    }

    #[tokio::test]
    async fn what_the_server_has_no_room_for_is_asked_again_and_a_refusal_is_not() {
        let desk = Desk::open().await;
        let client = client(&desk, quick());
        let serving = async {
            let mut peer = desk.accept().await;
            peer.opened().await;
            for fault in [Fault::overloaded("the queue", 1), Fault::new(Code::SeqConflict, "something has happened")] {
                let request = peer.asked().await;
                assert_eq!(request["params"]["if_seq"], 4);
                peer.say(json!({"jsonrpc": "2.0", "id": request["id"], "error": fault})).await;
            }
            peer
        };
        let pause = client.call_guarded::<PauseMission>(MissionRef { mission: mission_id() }, Some(4));
        let (refused, _peer) = tokio::join!(pause, serving);
        assert_eq!(refused.unwrap_err().fault().unwrap().code, Code::SeqConflict);
    }

    #[tokio::test]
    async fn the_queue_has_a_bound_and_a_call_an_end() {
        let desk = Desk::open().await;
        let call_timeout = Duration::from_millis(50);
        let client = client(&desk, ClientOptions { queued_calls: 1, call_timeout, ..quick() });
        let (first, second) = tokio::join!(client.call::<ListUsers>(Empty {}), client.call::<ListUsers>(Empty {}));
        assert!(matches!(first, Err(ClientError::TimedOut(_))), "{first:?}");
        assert!(matches!(second, Err(ClientError::QueueFull(_))), "{second:?}");
    }

    #[tokio::test]
    async fn what_was_sent_is_never_said_to_be_unsent_for_want_of_room() {
        let desk = Desk::open().await;
        let client = client(&desk, ClientOptions { queued_calls: 1, ..quick() });
        let mut peer = desk.accept().await;
        peer.opened().await;
        client.ready().await.unwrap();
        let both = || async {
            tokio::join!(client.call_once::<SendMessage>(message()), client.call_once::<SendMessage>(message()))
        };
        // The connection is lost with both: both go on, though only one may wait that was never sent.
        let serving = async {
            peer.asked().await;
            peer.asked().await;
            drop(peer);
            let mut peer = desk.accept().await;
            peer.opened().await;
            for _ in 0..2 {
                let request = peer.asked().await;
                let id = uuid::Uuid::from_u128(1);
                peer.answer(&request, json!({"mission": id, "seq": 7, "command": id})).await;
            }
            peer
        };
        let ((one, other), mut peer) = tokio::join!(both(), serving);
        assert_eq!((one.unwrap().seq, other.unwrap().seq), (7, 7));
        // The server has no room for either: one waits for it, and the other is told what the server said.
        let serving = async {
            let (one, other) = (peer.asked().await, peer.asked().await);
            for request in [one, other] {
                let fault = Fault::overloaded("the queue", 3_600_000);
                peer.say(json!({"jsonrpc": "2.0", "id": request["id"], "error": fault})).await;
            }
        };
        let one = Box::pin(client.call_once::<SendMessage>(message()));
        let other = Box::pin(client.call_once::<SendMessage>(message()));
        let (first, ()) = tokio::join!(futures_util::future::select(one, other), serving);
        let (told, waiting) = first.factor_first();
        assert!(told.as_ref().unwrap_err().fault().is_some_and(|fault| fault.code == Code::Overloaded), "{told:?}");
        assert!(waiting.now_or_never().is_none(), "it has the only place to wait");
    }

    #[tokio::test]
    async fn no_more_is_asked_at_once_than_the_server_takes() {
        let desk = Desk::open().await;
        let client = client(&desk, quick());
        let mut peer = desk.accept().await;
        peer.opened().await;
        client.ready().await.unwrap();
        // Eight may wait for an answer, and four of those are kept back.
        let calls: Vec<_> = (0..5)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.call::<ListUsers>(Empty {}).await })
            })
            .collect();
        let mut waiting = Vec::new();
        for _ in 0..4 {
            waiting.push(peer.asked().await);
        }
        peer.answer(&waiting[0], json!({"items": []})).await;
        waiting.push(peer.asked().await);
        for request in &waiting[1..] {
            peer.answer(request, json!({"items": []})).await;
        }
        for call in calls {
            call.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_keeps_its_place_until_the_server_has_answered() {
        let desk = Desk::open().await;
        let client = client(&desk, quick());
        let mut peer = desk.accept().await;
        peer.opened().await;
        client.ready().await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let abandoned = tokio::spawn({
                let client = client.clone();
                async move { client.call::<ListUsers>(Empty {}).await }
            });
            waiting.push(peer.asked().await);
            abandoned.abort();
            assert!(abandoned.await.unwrap_err().is_cancelled());
        }
        assert!(turn_now(&client.now()).is_none(), "the server has four in hand");
        let call = client.call::<SendMessage>(message());
        let serving = async {
            peer.answer(&waiting[2], json!({"items": []})).await;
            let request = peer.asked().await;
            assert_eq!(request["method"], "message.send");
            let id = uuid::Uuid::from_u128(1);
            peer.answer(&request, json!({"mission": id, "seq": 7, "command": id})).await;
        };
        let (sent, ()) = tokio::join!(call, serving);
        assert_eq!(sent.unwrap().seq, 7);
    }

    #[tokio::test]
    async fn a_goodbye_that_says_when_to_come_back_is_heeded_and_a_final_one_ends_everything() {
        let desk = Desk::open().await;
        let client = client(&desk, quick());
        let mut peer = desk.accept().await;
        peer.opened().await;
        client.ready().await.unwrap();
        let closing = json!({"code": 4000, "reason": "restarting", "reconnect_after_ms": 70, "jitter_ms": 30});
        peer.say(json!({"jsonrpc": "2.0", "method": SESSION_CLOSING, "params": closing})).await;
        peer.close(Close::Restarting.code(), Close::Restarting.reason()).await;
        let mut now = client.now();
        now.wait_for(|now| !matches!(now, Now::Open(_))).await.unwrap();
        let ClientState::Waiting { retry_in, .. } = client.state() else { panic!("{:?}", client.state()) };
        assert!((70..=100).contains(&retry_in.as_millis()), "{retry_in:?}");

        let mut peer = desk.accept().await;
        peer.opened().await;
        client.ready().await.unwrap();
        let waiting = client.call::<ListUsers>(Empty {});
        let ending = async {
            peer.asked().await;
            peer.close(Close::Revoked.code(), Close::Revoked.reason()).await;
        };
        let (ended, ()) = tokio::join!(waiting, ending);
        assert!(matches!(ended, Err(ClientError::Closed(closed)) if closed.code == Close::Revoked.code()));
        assert!(matches!(client.state(), ClientState::Ended(_)));
    }

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

    /// Gives no token, then takes for ever, then gives tokens by number.
    struct Moody {
        asked: Arc<AtomicU32>,
        hangs: Arc<Notify>,
    }

    impl Tokens for Moody {
        async fn token(&self, _: Option<String>) -> Result<String, TokenError> {
            match self.asked.fetch_add(1, Ordering::SeqCst) {
                0 => Err(TokenError::Temporary("not now".to_owned())),
                1 => {
                    self.hangs.notify_one();
                    std::future::pending().await
                }
                nth => Ok(format!("token-{nth}")),
            }
        }
    }

    #[tokio::test]
    async fn tokens_that_fail_or_hang_are_asked_for_again() {
        let desk = Desk::open().await;
        let tokens = Moody { asked: Arc::default(), hangs: Arc::default() };
        let hangs = Arc::clone(&tokens.hangs);
        let options = ClientOptions { token_timeout: Duration::from_millis(20), ..quick() };
        let client = Client::with(&desk.url, tokens, options);
        hangs.notified().await;
        let mut peer = desk.accept().await;
        assert_eq!(peer.authorization, "Bearer token-2");
        peer.opened().await;
        client.ready().await.unwrap();
    }

    #[tokio::test]
    async fn a_token_is_renewed_before_it_expires_however_the_server_takes_it() {
        let desk = Desk::open().await;
        let tokens = Moody { asked: Arc::new(AtomicU32::new(2)), hangs: Arc::default() };
        let _client = Client::with(&desk.url, tokens, quick());
        let mut peer = desk.accept().await;
        peer.opened_for(60).await;
        let refused = peer.asked().await;
        assert_eq!((&refused["method"], &refused["params"]["token"]), (&json!("session.renew"), &json!("token-3")));
        let busy = Fault::overloaded("the server", 1);
        peer.say(json!({"jsonrpc": "2.0", "id": refused["id"], "error": busy})).await;
        let taken = peer.asked().await;
        assert_eq!(taken["params"]["token"], "token-4");
    }
}
