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
