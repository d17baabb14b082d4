//! A watch of a list: a window over it, a cursor into its board, and the index where the board has forgotten.

use std::{cell::RefCell, future::Future, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use flightdeck_data::listing::Listing;
use flightdeck_protocol::{
    Fault, OrganizationId,
    operations::{WatchKind, WatchView},
};
use futures_util::future::LocalBoxFuture;
use tokio::{sync::Semaphore, time::Instant};
use uuid::Uuid;

use super::{
    Change, HubHandle, Next, Shared, Source, Subscription, Topic,
    board::Found,
    boards::{Boards, Post, Shelf},
    window::{Edits, Window},
};

/// What a watch keeps to.
const PACE: Pace = Pace { frame: Duration::from_millis(100), read: Duration::from_secs(1) };
/// How often a reading is tried again that failed for a passing reason.
const TRIES: usize = 5;

/// How much a watch does at most, however much changes.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// The time between two frames, at least. The first after a rest goes at once.
    pub(super) frame: Duration,
    /// The time between two readings of the list, at least. The first after a rest goes at once.
    pub(super) read: Duration,
}

/// A sort of list that can be watched.
pub trait List: Clone + 'static {
    /// What its board says of an entry.
    type Value: Send + Sync + 'static;
    /// Where an entry stands.
    type Place: Ord + Clone + Send + Sync + 'static;

    /// The name of its notification.
    const NOTICE: &'static str;
    /// Under which name a change has its entry.
    const ENTRY: &'static str;
    /// What a watch of it is of.
    const KIND: WatchKind;

    /// The boards that it is on.
    fn shelf(boards: &Boards) -> &Shelf<Self::Value>;

    /// Where the entry stands; `None` if it does not belong in the list.
    fn place(&self, value: &Self::Value) -> Option<Self::Place>;

    /// Whether what belongs in the list has become something else since it was last read.
    fn is_outdated(&self) -> bool {
        false
    }

    /// Whether nothing newer is stored of what changed, whoever asks. Where something is, it is told next.
    fn is_newest(&self, change: &Change<Self::Value>) -> bool;

    /// Whoever shares this watches the first `most` entries of the same list, on the board of this number.
    /// What depends on who watches is shared with nobody.
    fn shared(&self, _boards: &Boards, _board: u64, _most: usize) -> Arc<Shared<Reading<Self::Place>>> {
        Arc::default()
    }

    /// Reads the first `most` entries; what comes back is on disk.
    fn read(&self, most: usize) -> LocalBoxFuture<'static, Result<Listing<Self::Place>, Fault>>;
}

/// What a reading came to: the list, and the version of the board before.
pub type Reading<P> = Result<(u64, Arc<Listing<P>>), Fault>;

/// One session's watch of a list.
pub struct ListWatch<L: List> {
    list: L,
    post: Post<L::Value>,
    readers: Arc<Semaphore>,
    /// Those who watch the same list.
    shared: Arc<Shared<Reading<L::Place>>>,
    limit: usize,
    /// `{"sub":…,`: how its frames begin.
    head: Bytes,
    cursor: u64,
    window: Window<L::Place>,
    /// What was read, and the version of the board before.
    fresh: Fresh<L::Place>,
    /// When the last reading was done at the latest.
    taken: std::time::Instant,
    /// Changes were forgotten before the watch saw them.
    lost: bool,
    pub(super) pace: Pace,
    sent: Option<Instant>,
    read: Option<Instant>,
}

type Fresh<P> = Rc<RefCell<Option<(u64, Arc<Listing<P>>)>>>;

impl<L: List> ListWatch<L> {
    /// Begins to watch the first `limit` entries of `list` under the name `sub`.
    /// Gives the watch and the list as JSON, in order.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub async fn begin(
        sub: &str,
        list: L,
        limit: usize,
        boards: &Boards,
        organization: OrganizationId,
    ) -> Result<(Self, Bytes), Fault> {
        let post = L::shelf(boards).post(organization);
        let mut watch = Self {
            shared: list.shared(boards, post.board().number(), limit),
            list,
            post,
            readers: boards.readers.clone(),
            limit,
            head: super::frame_head(sub),
            cursor: 0,
            window: Window::new(limit),
            fresh: Fresh::default(),
            taken: std::time::Instant::now(),
            lost: false,
            pace: PACE,
            sent: None,
            read: None,
        };
        watch.load().await?;
        let mut items = Vec::from(b"[");
        for (index, (_, item)) in watch.take_fresh(true).unwrap_or_default().into_iter().enumerate() {
            if index > 0 {
                items.push(b',');
            }
            items.extend_from_slice(&item.unwrap_or_default());
        }
        items.push(b']');
        Ok((watch, items.into()))
    }

    /// To be woken on the thread of `hub`; to be handed to the outbox at once.
    pub fn listen(&mut self, hub: &HubHandle) {
        self.post.listen(hub);
    }

    /// Reads the list. The board's version is taken first: whatever happens later is there after it.
    fn load(&self) -> impl Future<Output = Result<(), Fault>> + use<L> {
        let (board, fresh, readers) = (self.post.board().clone(), self.fresh.clone(), self.readers.clone());
        let (shared, list, limit) = (self.shared.clone(), self.list.clone(), self.limit);
        async move {
            let mut tries = 1;
            loop {
                let reading = async || {
                    let version = board.version();
                    list.read(limit).await.map(|listing| (version, Arc::new(listing)))
                };
                match shared.read(&readers, reading).await {
                    Ok(read) => {
                        *fresh.borrow_mut() = Some(read);
                        return Ok(());
                    }
                    Err(fault) if fault.data.temporary && tries < TRIES => tokio::time::sleep(PACE.read).await,
                    Err(fault) => return Err(fault),
                }
                tries += 1;
            }
        }
    }

    fn take_fresh(&mut self, anew: bool) -> Option<Vec<(Uuid, Option<Bytes>)>> {
        let (version, listing) = self.fresh.take()?;
        self.cursor = version;
        self.taken = std::time::Instant::now();
        self.lost = false;
        Some(self.window.fill(Arc::unwrap_or_clone(listing), anew).changes())
    }

    /// The next reading of the index, or the wait until it is time for it; no longer than `at_most`.
    fn read_when_due(&mut self, at_most: Duration) -> Next {
        let rest = self.read.map_or(Duration::ZERO, |read| self.pace.read.saturating_sub(read.elapsed()));
        if rest.is_zero() {
            self.read = Some(Instant::now());
            return Next::Load(Box::pin(self.load()));
        }
        pause(rest.min(at_most))
    }

    fn frame(&mut self, reset: bool, changes: Vec<(Uuid, Option<Bytes>)>) -> Next {
        self.sent = Some(Instant::now());
        let mut parts = Vec::with_capacity(changes.len() * 3 + 4);
        parts.push(format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{}\",\"params\":", L::NOTICE).into());
        parts.push(self.head.clone());
        parts.push(format!("\"reset\":{reset},\"changes\":[").into());
        let put: Bytes = format!("{{\"op\":\"put\",\"{}\":", L::ENTRY).into();
        for (index, (id, now)) in changes.into_iter().enumerate() {
            if index > 0 {
                parts.push(Bytes::from_static(b","));
            }
            match now {
                Some(entry) => parts.extend([put.clone(), entry, Bytes::from_static(b"}")]),
                None => parts.push(format!("{{\"op\":\"remove\",\"id\":\"{id}\"}}").into()),
            }
        }
        parts.push(Bytes::from_static(b"]}}"));
        Next::Frame(parts)
    }
}

fn pause(rest: Duration) -> Next {
    Next::Load(Box::pin(async move {
        tokio::time::sleep(rest).await;
        Ok(())
    }))
}

impl<L: List> Subscription for ListWatch<L> {
    fn topic(&self) -> Topic {
        self.post.board().topic()
    }

    fn source(&self) -> Arc<dyn Source> {
        self.post.board().clone()
    }

    fn next(&mut self) -> Next {
        if self.list.is_outdated() {
            self.fresh.take();
            self.lost = true;
        }
        let lost = self.lost;
        if let Some(changes) = self.take_fresh(lost)
            && (lost || !changes.is_empty())
        {
            return self.frame(lost, changes);
        }
        if self.lost {
            return self.read_when_due(self.pace.read);
        }
        let found = self.post.board().read(self.cursor);
        let rest = self.sent.map_or(Duration::ZERO, |sent| self.pace.frame.saturating_sub(sent.elapsed()));
        match found {
            Found::Nothing => {}
            _ if !rest.is_zero() => return pause(rest),
            Found::Forgotten => {
                self.lost = true;
                return self.read_when_due(self.pace.read);
            }
            Found::Changes(to, changes) => {
                self.cursor = to;
                let mut edits = Edits::default();
                for change in changes {
                    match &change.now {
                        Some(shown) => {
                            let place = self.list.place(&shown.value);
                            // The last reading may have been ahead of what is told here, and have seen it go.
                            if self.window.would_add(change.id, place.as_ref())
                                && !shown.is_newest(self.taken, || self.list.is_newest(&change))
                            {
                                continue;
                            }
                            self.window.put(change.id, change.seq, place, &shown.json, &mut edits);
                        }
                        None => self.window.remove(change.id, &mut edits),
                    }
                }
                let changes = edits.changes();
                if !changes.is_empty() {
                    return self.frame(false, changes);
                }
            }
        }
        if self.window.is_short() {
            // What changes meanwhile does not wait for it.
            return self.read_when_due(self.pace.frame);
        }
        Next::Nothing
    }

    fn view(&self, sub: &str) -> WatchView {
        let behind = self.post.board().version().saturating_sub(self.cursor);
        WatchView { sub: sub.to_owned(), kind: L::KIND, mission: None, behind }
    }
}

#[cfg(test)]
mod tests {
    use flightdeck_data::listing::Wanted;
    use serde_json::json;

    use super::*;
    use crate::{live::MissionList, stage::play};

    #[test]
    fn what_is_new_is_looked_up_once_however_many_watch() {
        play(|stage| async move {
            let (world, organization) = (stage.desk.registry.world().clone(), stage.ann.person.organization.id);
            let mut watches = Vec::new();
            for _ in 0..20 {
                let list = MissionList::new(world.clone(), organization, Wanted::default());
                let begun = ListWatch::begin("a", list, 100, &world.boards, organization);
                watches.push(begun.await.unwrap().0);
            }
            let made = stage.call("mission.create", json!({"title": "One more"})).await;
            stage.desk.registry.settled(serde_json::from_value(made["id"].clone()).unwrap()).await;
            let before = stage.store.reads();
            for watch in &mut watches {
                assert!(matches!(watch.next(), Next::Frame(_)), "each is told of it");
            }
            assert_eq!(stage.store.reads() - before, 1);
        });
    }
}
