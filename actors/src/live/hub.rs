//! A socket thread's hub: one wake-up a topic for all the watchers on the thread.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flightdeck_protocol::{SessionId, notification::Close};
use tokio::sync::mpsc;

use super::{Outbox, Source, Topic};

/// What a hub is told by other threads.
enum Wake {
    /// There is news. At most one of these waits for each topic.
    Topic(Topic),
    /// Something is to be done in a while.
    Later(Duration, Box<dyn FnOnce() + Send>),
    /// A sign-in has ended.
    Revoked(SessionId),
    /// All sessions are to end, for this reason.
    CloseAll(Close),
}

/// The way to wake a hub from another thread.
#[derive(Clone)]
pub struct HubHandle {
    id: u64,
    // Not bounded by itself: one wake-up a watched topic can wait, one a revoked sign-in, and of what
    // is to be done later one a feed for each thing that it gathers, and one a person who is there.
    wakes: mpsc::UnboundedSender<Wake>,
}

impl HubHandle {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn wake(&self, topic: Topic) {
        // A hub that is gone has no watchers left.
        let _ = self.wakes.send(Wake::Topic(topic));
    }

    /// Has `then` done on the hub's thread `after` a while. From any thread, also one that winds down.
    pub(super) fn later(&self, after: Duration, then: impl FnOnce() + Send + 'static) {
        let _ = self.wakes.send(Wake::Later(after, Box::new(then)));
    }

    /// Ends the sessions of a sign-in that was revoked.
    pub fn revoke(&self, session: SessionId) {
        let _ = self.wakes.send(Wake::Revoked(session));
    }

    /// Ends all sessions of the thread.
    pub fn close_all(&self, close: Close) {
        let _ = self.wakes.send(Wake::CloseAll(close));
    }
}

/// The watchers of one thread.
pub struct Hub {
    handle: HubHandle,
    topics: RefCell<HashMap<Topic, Watched>>,
    outboxes: RefCell<Vec<Weak<Outbox>>>,
}

struct Watched {
    source: Arc<dyn Source>,
    watchers: Vec<(Weak<Outbox>, Rc<str>)>,
}

thread_local! {
    static HUB: RefCell<Option<Rc<Hub>>> = const { RefCell::new(None) };
}

impl Hub {
    /// The hub of this thread; made, and its task started, at the first call.
    /// `register` is given the way to reach a new one.
    pub fn of_this_thread(register: impl FnOnce(HubHandle)) -> Rc<Self> {
        HUB.with(|slot| {
            slot.borrow_mut()
                .get_or_insert_with(|| {
                    static NEXT: AtomicU64 = AtomicU64::new(1);
                    let (wakes, woken) = mpsc::unbounded_channel();
                    let handle = HubHandle { id: NEXT.fetch_add(1, Ordering::Relaxed), wakes };
                    register(handle.clone());
                    let hub = Rc::new(Self {
                        handle,
                        topics: RefCell::new(HashMap::new()),
                        outboxes: RefCell::new(Vec::new()),
                    });
                    actix_rt::spawn(hub.clone().run(woken));
                    hub
                })
                .clone()
        })
    }

    async fn run(self: Rc<Self>, mut woken: mpsc::UnboundedReceiver<Wake>) {
        while let Some(wake) = woken.recv().await {
            match wake {
                Wake::Topic(topic) => {
                    let topics = self.topics.borrow();
                    let Some(watched) = topics.get(&topic) else { continue };
                    watched.source.looked(&self.handle);
                    for (outbox, sub) in &watched.watchers {
                        if let Some(outbox) = outbox.upgrade() {
                            outbox.stir(sub);
                        }
                    }
                }
                Wake::Later(after, then) => {
                    actix_rt::spawn(async move {
                        tokio::time::sleep(after).await;
                        then();
                    });
                }
                Wake::Revoked(session) => self.sessions().iter().for_each(|outbox| outbox.revoked(session)),
                Wake::CloseAll(close) => self.sessions().iter().for_each(|outbox| outbox.close(close)),
            }
        }
    }

    fn sessions(&self) -> Vec<Rc<Outbox>> {
        self.outboxes.borrow().iter().filter_map(Weak::upgrade).collect()
    }

    /// Makes a session's outbox known, so that it hears when its sign-in ends.
    pub fn enrol(&self, outbox: &Rc<Outbox>) {
        let mut outboxes = self.outboxes.borrow_mut();
        outboxes.retain(|known| known.strong_count() > 0);
        outboxes.push(Rc::downgrade(outbox));
    }

    /// The way to wake this hub.
    pub fn handle(&self) -> &HubHandle {
        &self.handle
    }

    /// The watch `sub` of a session on this thread is to be stirred when `topic` has news.
    pub(super) fn register(&self, topic: Topic, source: Arc<dyn Source>, outbox: &Rc<Outbox>, sub: Rc<str>) {
        let mut topics = self.topics.borrow_mut();
        let watched = topics.entry(topic).or_insert_with(|| Watched { source: source.clone(), watchers: Vec::new() });
        // After a long rest a mission may have come back with another feed.
        watched.source = source;
        watched.watchers.push((Rc::downgrade(outbox), sub));
    }

    /// Ends what [`Hub::register`] began.
    pub(super) fn unregister(&self, topic: Topic, outbox: *const Outbox, sub: &str) {
        let mut topics = self.topics.borrow_mut();
        if let Some(watched) = topics.get_mut(&topic) {
            watched
                .watchers
                .retain(|(known, name)| known.strong_count() > 0 && !(known.as_ptr() == outbox && **name == *sub));
            if watched.watchers.is_empty() {
                topics.remove(&topic);
            }
        }
    }
}
