//! One connection as the watches and calls of a client see it, and how it is with connections now.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::{ClientError, RawNotice, Session, frame, session::Unanswered};
use crate::{
    Operation,
    notification::Notice,
    operations::{SessionOpened, Unwatch},
};

/// Notices of one watch that wait for it; a watch with more is asked for again, from where it is.
const MAILBOX: usize = 64;
/// How long one watch with a full mailbox may hold up the others of its connection.
const HELD_UP: Duration = Duration::from_millis(100);
/// Requests that are kept back of what the server allows at once, for renewals and for ends of watches.
const RESERVE: u32 = 4;

/// How it is with the connection.
#[derive(Clone)]
pub(super) enum Now {
    /// One is being made.
    Connecting,
    /// One is there.
    Open(Arc<Link>),
    /// The next is tried after a while.
    Waiting { why: String, retry_in: Duration },
    /// There will be none.
    Ended(ClientError),
}

/// What a watch hears: notices about it, or that one of them cannot be read.
pub(super) type Mailbox = mpsc::Receiver<Result<Notice, ClientError>>;

/// An open session, shared by calls and watches.
pub(super) struct Link {
    pub(super) session: Session,
    pub(super) opened: SessionOpened,
    /// A place for each request that may wait for an answer; closed when the session is over.
    places: Arc<Semaphore>,
    /// Where notices go by the name of their watch; `None` when the session is over.
    routes: Mutex<Option<Routes>>,
    names: AtomicU64,
}

type Routes = HashMap<String, mpsc::Sender<Result<Notice, ClientError>>>;

#[derive(Deserialize)]
struct About {
    sub: String,
}

impl Link {
    pub(super) fn new(session: Session, opened: SessionOpened) -> Self {
        let places = opened.limits.requests_in_flight.saturating_sub(RESERVE).max(1);
        Self {
            session,
            opened,
            places: Arc::new(Semaphore::new(places as usize)),
            routes: Mutex::new(Some(Routes::new())),
            names: AtomicU64::new(1),
        }
    }

    fn routes(&self) -> MutexGuard<'_, Option<Routes>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing can come of it any more.
    pub(super) fn is_over(&self) -> bool {
        self.session.closed().is_some()
    }

    /// It is over: whoever waits for something from it is told.
    pub(super) fn end(&self) {
        self.session.leave();
        self.places.close();
        *self.routes() = None;
    }

    /// A name that no watch had on this connection, and what comes for it.
    pub(super) fn route(&self) -> (String, Mailbox) {
        let name = format!("w{}", self.names.fetch_add(1, Ordering::Relaxed));
        let (sender, mailbox) = mpsc::channel(MAILBOX);
        if let Some(routes) = &mut *self.routes() {
            routes.insert(name.clone(), sender);
        }
        (name, mailbox)
    }

    /// Nothing that comes for `name` is wanted any more.
    pub(super) fn unroute(&self, name: &str) {
        if let Some(routes) = &mut *self.routes() {
            routes.remove(name);
        }
    }

    /// Gives a notice to the watch that it is about. A watch that does not take what it
    /// gets loses its route: it finds out, and asks again.
    pub(super) async fn deliver(&self, raw: &RawNotice, notice: Result<Notice, ClientError>) {
        let name = match &notice {
            Ok(notice) => notice.sub().map(str::to_owned),
            Err(_) => frame::notification(raw.text())
                .ok()
                .and_then(|(_, params)| serde_json::from_str::<About>(params).ok())
                .map(|about| about.sub),
        };
        let Some(name) = name else { return };
        let sender = self.routes().as_ref().and_then(|routes| routes.get(&name).cloned());
        // What comes late about a watch that is over is of no interest to anyone.
        let Some(sender) = sender else { return };
        if sender.send_timeout(notice, HELD_UP).await.is_err() {
            self.unroute(&name);
        }
    }

    /// A place for a request, at once or not.
    pub(super) fn place_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// A place for a request; `None` when it is over.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Asks, on a place that was taken for it, and that is free again once the server has answered.
    pub(super) async fn ask<R: DeserializeOwned, P: Serialize>(
        &self,
        method: &str,
        params: &P,
        place: OwnedSemaphorePermit,
    ) -> Result<R, Unanswered> {
        let text = self.session.exchange(method, params, Some(place)).await?;
        frame::answer(&text, method).map_err(Unanswered::of)
    }

    /// Ends the watch `name` on the server. Whatever the answer is, nothing more is heard of it.
    pub(super) async fn forget<E: Operation<Params = Unwatch>>(&self, name: String) {
        self.unroute(&name);
        if let Some(place) = self.place().await {
            let _ = self.ask::<E::Result, _>(E::METHOD, &Unwatch { sub: name }, place).await;
        }
    }

    /// Waits until it is no longer the connection that there is.
    pub(super) async fn gone(self: &Arc<Self>, now: &mut watch::Receiver<Now>) {
        // An error means that the client is closed, and with it the connection.
        let _ = now.wait_for(|now| !matches!(now, Now::Open(link) if Arc::ptr_eq(link, self))).await;
    }
}
