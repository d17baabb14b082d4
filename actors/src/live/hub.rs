//! A socket thread's hub: one wake-up a mission for all the watchers on the thread.

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

use flightdeck_protocol::{MissionId, SessionId, Timestamp, model::Person, notification::Close};
use tokio::sync::mpsc;

use super::{Feed, Outbox, Watcher};

/// How long changes of presence are gathered before they are announced.
const PRESENCE_GATHER: Duration = Duration::from_millis(100);

/// What a hub is told by other threads.
enum Wake {
    /// The mission has something new. At most one of these waits for each mission.
    Mission(MissionId),
    /// The circle of people who watch has changed: say so in a moment.
    Announce(Arc<Feed>),
    /// A sign-in has ended.
    Revoked(SessionId),
    /// All sessions are to end, for this reason.
    CloseAll(Close),
}

/// The way to wake a hub from another thread.
#[derive(Clone)]
pub struct HubHandle {
    id: u64,
    // Not bounded by itself: one wake-up a watched mission can wait, and one a revoked sign-in.
    wakes: mpsc::UnboundedSender<Wake>,
}

impl HubHandle {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn wake(&self, mission: MissionId) {
        // A hub that is gone has no watchers left.
        let _ = self.wakes.send(Wake::Mission(mission));
    }

    /// Lets the hub say in a moment who watches `feed` now.
    pub(super) fn announce(&self, feed: Arc<Feed>) {
        let _ = self.wakes.send(Wake::Announce(feed));
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
    missions: RefCell<HashMap<MissionId, Watched>>,
    outboxes: RefCell<Vec<Weak<Outbox>>>,
}

struct Watched {
    feed: Arc<Feed>,
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
                        missions: RefCell::new(HashMap::new()),
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
                Wake::Mission(mission) => {
                    let missions = self.missions.borrow();
                    let Some(watched) = missions.get(&mission) else { continue };
                    watched.feed.looked(&self.handle);
                    for (outbox, sub) in &watched.watchers {
                        if let Some(outbox) = outbox.upgrade() {
                            outbox.stir(sub);
                        }
                    }
                }
                Wake::Announce(feed) => {
                    actix_rt::spawn(async move {
                        tokio::time::sleep(PRESENCE_GATHER).await;
                        feed.announce_presence();
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

    /// Begins to watch `feed` for a session of `person` on this thread; `None` if the feed has ended.
    pub(super) fn attach(
        &self,
        feed: &Arc<Feed>,
        person: &Person,
        outbox: &Rc<Outbox>,
        sub: Rc<str>,
    ) -> Option<Watcher> {
        let (watcher, announce) = feed.attach(person, self.handle.clone(), Timestamp::now())?;
        let mut missions = self.missions.borrow_mut();
        let watched =
            missions.entry(feed.mission).or_insert_with(|| Watched { feed: feed.clone(), watchers: Vec::new() });
        // After a long rest the mission may have come back with another feed.
        watched.feed = feed.clone();
        watched.watchers.push((Rc::downgrade(outbox), sub));
        if announce {
            self.handle.announce(feed.clone());
        }
        Some(watcher)
    }

    /// Ends a watch of a session on this thread.
    pub(super) fn detach(&self, watcher: &Watcher, outbox: *const Outbox, sub: &str) {
        let mission = watcher.feed().mission;
        let mut missions = self.missions.borrow_mut();
        if let Some(watched) = missions.get_mut(&mission) {
            watched
                .watchers
                .retain(|(known, name)| known.strong_count() > 0 && !(known.as_ptr() == outbox && **name == *sub));
            if watched.watchers.is_empty() {
                missions.remove(&mission);
            }
        }
    }
}
