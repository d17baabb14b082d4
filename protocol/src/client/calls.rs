//! Calls that outlive connections: they wait for one in a bounded queue, and are asked again where that does no harm.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{Backoff, ClientError, backoff::chance_of, link::Link, link::Now};
use crate::{Fault, Kind};

/// The parameters of a call with what guards it.
#[derive(Serialize)]
pub(super) struct Guarded<'a, P> {
    #[serde(flatten)]
    pub(super) params: &'a P,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) if_seq: Option<u64>,
}

/// A name that nobody gave a call before.
pub(super) fn fresh_idem() -> String {
    Uuid::now_v7().simple().to_string()
}

/// The calls of a client.
pub(super) struct Calls {
    /// A place for each call that waits: for a connection, for its turn on it, or because the server has no
    /// room for it now. What was sent, and lost with its connection, waits beside them: no more than the
    /// server takes at once.
    queue: Semaphore,
    queued: usize,
    timeout: Duration,
    backoff: Backoff,
}

impl Calls {
    pub(super) fn new(queued: usize, timeout: Duration, backoff: Backoff) -> Self {
        Self { queue: Semaphore::new(queued), queued, timeout, backoff }
    }

    /// Calls `method`, now or as soon as there is a connection. One that may be asked `again`
    /// is, when the connection is lost or the server has no room for it.
    pub(super) async fn call<R: DeserializeOwned, P: Serialize>(
        &self,
        now: &mut watch::Receiver<Now>,
        method: &str,
        params: &P,
        again: bool,
    ) -> Result<R, ClientError> {
        match timeout(self.timeout, self.attempts(now, method, params, again)).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(ClientError::TimedOut(format!("{method} was not answered within {} s", self.timeout.as_secs_f64())))
            }
        }
    }

    async fn attempts<R: DeserializeOwned, P: Serialize>(
        &self,
        now: &mut watch::Receiver<Now>,
        method: &str,
        params: &P,
        again: bool,
    ) -> Result<R, ClientError> {
        let mut refusals = 0;
        let mut turn = match turn_now(now) {
            Some(turn) => turn,
            None => {
                let _waiting = self.queue.try_acquire().map_err(|_| {
                    ClientError::QueueFull(format!("{} calls wait already; {method} was not sent", self.queued))
                })?;
                turn_later(now).await?
            }
        };
        loop {
            let (link, place) = turn;
            let unanswered = match link.ask(method, params, place).await {
                Ok(answer) => return Ok(answer),
                Err(unanswered) => unanswered,
            };
            turn = match unanswered.error {
                ClientError::Closed(_) if again || !unanswered.sent => {
                    link.gone(now).await;
                    turn_later(now).await?
                }
                ClientError::Fault(fault) if again && is_later(&fault) => {
                    let Ok(_waiting) = self.queue.try_acquire() else { return Err(ClientError::Fault(fault)) };
                    let after = Duration::from_millis(fault.data.retry_after_ms.unwrap_or(0));
                    sleep(after + chance_of(after) + self.backoff.wait(refusals)).await;
                    refusals += 1;
                    turn_later(now).await?
                }
                error => return Err(error),
            }
        }
    }
}

/// A connection, and a place on it.
pub(super) type Turn = (Arc<Link>, OwnedSemaphorePermit);

/// A connection and a place on it, as soon as there is both.
pub(super) async fn turn_later(now: &mut watch::Receiver<Now>) -> Result<Turn, ClientError> {
    loop {
        let link = open(now).await?;
        match link.place().await {
            Some(place) => return Ok((link, place)),
            None => link.gone(now).await,
        }
    }
}

/// The same, if there is both at once.
pub(super) fn turn_now(now: &watch::Receiver<Now>) -> Option<Turn> {
    let Now::Open(link) = &*now.borrow() else { return None };
    link.place_now().map(|place| (Arc::clone(link), place))
}

/// The connection, as soon as there is one.
pub(super) async fn open(now: &mut watch::Receiver<Now>) -> Result<Arc<Link>, ClientError> {
    let seen = now.wait_for(|now| matches!(now, Now::Open(_) | Now::Ended(_))).await;
    match seen.as_deref() {
        Ok(Now::Open(link)) => Ok(Arc::clone(link)),
        Ok(Now::Ended(error)) => Err(error.clone()),
        _ => Err(ClientError::left()),
    }
}

/// Whether a refusal says that the same request may be taken a little later.
pub(super) fn is_later(fault: &Fault) -> bool {
    fault.data.temporary && matches!(fault.kind(), Kind::Overloaded | Kind::RateLimited | Kind::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Code,
        client::{
            ClientOptions,
            testing::{Desk, client, message, mission_id, quick},
        },
        operations::{Empty, ListUsers, MissionRef, PauseMission, SendMessage},
    };
    use futures_util::FutureExt as _;
    use serde_json::json;

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
}
