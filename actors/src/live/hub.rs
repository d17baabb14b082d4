//! A socket thread's hub: one wake-up a topic for all the watchers on the thread.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flightdeck_data::people::AccessChange;
use flightdeck_protocol::{ConnectionId, OrganizationId, notification::Close, operations::SessionView};
use tokio::sync::mpsc;

use super::{Advice, Outbox, Source, Topic, roster::RollCall};

/// What a hub is told by other threads.
enum Wake {
    /// There is news. At most one of these waits for each topic.
    Topic(Topic),
    /// Something is to be done in a while.
    Later(Duration, Box<dyn FnOnce() + Send>),
    /// Something changed of what people may do.
    Access(Arc<AccessChange>),
    /// Somebody wants to know which sessions there are.
    RollCall(RollCall),
    /// All sessions are to end, for this reason.
    CloseAll(Close),
    /// A part of the sessions is to leave and come back when the advice says: one in so many of those still there.
    Part(usize, Advice),
}

/// The way to wake a hub from another thread.
#[derive(Clone)]
pub struct HubHandle {
    id: u64,
    // Not bounded by itself: one wake-up a watched topic can wait, one a change of accounts and
    // sign-ins (each was written to disk before), a few roll calls, and of what is to be done later
    // one a feed for each thing that it gathers or waits for. A server that stops sends a dozen goodbyes.
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

    /// Tells the sessions of the thread what changed of what people may do.
    pub(super) fn access_changed(&self, change: Arc<AccessChange>) {
        let _ = self.wakes.send(Wake::Access(change));
    }

    /// Asks which sessions there are. A hub that is gone has none, and drops the call.
    pub(super) fn call_the_roll(&self, call: RollCall) {
        let _ = self.wakes.send(Wake::RollCall(call));
    }

    /// Ends all sessions of the thread.
    pub(super) fn close_all(&self, close: Close) {
        let _ = self.wakes.send(Wake::CloseAll(close));
    }

    /// Has one in `waves_left` of the thread's sessions leave, of those that have not been asked to yet.
    pub(super) fn part(&self, waves_left: usize, advice: Advice) {
        let _ = self.wakes.send(Wake::Part(waves_left, advice));
    }
}

/// How many sessions are looked at between two breaths when time passes.
const BREATH: usize = 64;

/// A session, as its thread's hub knows it.
pub trait Seat {
    /// Time has passed.
    fn tick(&self);

    /// Something changed of what people may do, its own perhaps.
    fn access_changed(&self, change: &AccessChange);

    /// The organization of the person that it is open for.
    fn organization(&self) -> Option<OrganizationId>;

    /// How it stands, for admins; `None` if it is not open.
    fn view(&self) -> Option<SessionView>;

    /// Says goodbye.
    fn close(&self, close: Close);

    /// Says goodbye once everything that is under way was sent.
    fn part(&self, close: Close, advice: Advice);

    /// Whether a goodbye is on its way, or will be.
    fn is_leaving(&self) -> bool;
}

/// The watchers of one thread.
pub struct Hub {
    handle: HubHandle,
    topics: RefCell<HashMap<Topic, Watched>>,
    seats: RefCell<HashMap<ConnectionId, Weak<dyn Seat>>>,
    /// Whether the sessions hear of the time.
    keeps_time: Cell<bool>,
    /// Counts the watches that there ever were.
    tickets: Cell<u64>,
}

struct Watched {
    source: Arc<dyn Source>,
    /// By ticket, so that thousands who leave at once do not look for each other.
    watchers: HashMap<u64, (Weak<Outbox>, Rc<str>)>,
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
                        topics: RefCell::default(),
                        seats: RefCell::default(),
                        keeps_time: Cell::new(false),
                        tickets: Cell::new(0),
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
                    for (outbox, sub) in watched.watchers.values() {
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
                Wake::Access(change) => self.seated().for_each(|seat| seat.access_changed(&change)),
                Wake::RollCall(call) => {
                    let seats = self.seats.borrow().iter().map(|(id, seat)| (*id, seat.clone())).collect();
                    actix_rt::spawn(call.answer(seats));
                }
                Wake::CloseAll(close) => self.seated().for_each(|seat| seat.close(close)),
                Wake::Part(waves_left, advice) => {
                    let staying: Vec<_> = self.seated().filter(|seat| !seat.is_leaving()).collect();
                    let share = staying.len().div_ceil(waves_left.max(1));
                    staying.iter().take(share).for_each(|seat| seat.part(Close::Restarting, advice));
                }
            }
        }
    }

    /// Every session on the thread. Those that come or go meanwhile may, since this is a copy.
    fn seated(&self) -> impl Iterator<Item = Rc<dyn Seat>> + use<> {
        let seats: Vec<Weak<dyn Seat>> = self.seats.borrow().values().cloned().collect();
        seats.into_iter().filter_map(|seat| seat.upgrade())
    }

    /// Has the sessions of the thread hear so often that time has passed, whatever their connections do. The first
    /// call counts.
    pub fn keep_time(self: &Rc<Self>, every: Duration) {
        if self.keeps_time.replace(true) {
            return;
        }
        let hub = Rc::downgrade(self);
        actix_rt::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(hub) = hub.upgrade() else { return };
                let seats: Vec<Weak<dyn Seat>> = hub.seats.borrow().values().cloned().collect();
                for some in seats.chunks(BREATH) {
                    some.iter().filter_map(Weak::upgrade).for_each(|seat| seat.tick());
                    // Thousands who beat at the same moment let others have their turn.
                    tokio::task::yield_now().await;
                }
            }
        });
    }

    /// Makes a session known, so that it hears what concerns it. It has to [`Hub::leave`].
    pub fn enrol(&self, connection: ConnectionId, seat: Weak<dyn Seat>) {
        self.seats.borrow_mut().insert(connection, seat);
    }

    /// A session is over.
    pub fn leave(&self, connection: ConnectionId) {
        self.seats.borrow_mut().remove(&connection);
    }

    /// The way to wake this hub.
    pub fn handle(&self) -> &HubHandle {
        &self.handle
    }

    /// The watch `sub` of a session on this thread is to be stirred when `topic` has news.
    /// What is given back ends it again.
    pub(super) fn register(&self, topic: Topic, source: Arc<dyn Source>, outbox: &Rc<Outbox>, sub: Rc<str>) -> Ticket {
        let number = self.tickets.get() + 1;
        self.tickets.set(number);
        let mut topics = self.topics.borrow_mut();
        let watched =
            topics.entry(topic).or_insert_with(|| Watched { source: source.clone(), watchers: HashMap::new() });
        // After a long rest a mission may have come back with another feed.
        watched.source = source;
        watched.watchers.insert(number, (Rc::downgrade(outbox), sub));
        Ticket { topic, number }
    }

    /// Ends what [`Hub::register`] began.
    pub(super) fn unregister(&self, ticket: Ticket) {
        let mut topics = self.topics.borrow_mut();
        if let Some(watched) = topics.get_mut(&ticket.topic) {
            watched.watchers.remove(&ticket.number);
            if watched.watchers.is_empty() {
                topics.remove(&ticket.topic);
            }
        }
    }
}

/// A watch that is registered.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    topic: Topic,
    number: u64,
}
