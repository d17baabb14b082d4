//! A session's outgoing side: answers first, then what its watches have to read.

mod sending;

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    rc::Rc,
    task::Waker,
};

use bytes::Bytes;
use flightdeck_protocol::{
    Fault,
    envelope::Notification,
    notification::{Close, WATCH_ENDED, WatchEnded},
    operations::WatchView,
};
use tokio::time::Sleep;

use super::{
    Advice, Hub, Owed, Place, Subscription, Topic,
    hub::Ticket,
    room::{Room, Rooms},
};

/// How many bytes of answers may wait for a client that does not read.
pub const ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// How many answers and notices may wait for it.
pub const ANSWER_MESSAGES: u32 = 4_096;

/// What is to be sent next.
pub enum Outgoing {
    /// The parts of one text frame, in order.
    Text(Vec<Bytes>),
    /// The last thing: a close frame.
    Close(Close),
    /// The last thing: the connection is cut off without a word.
    Abort,
}

/// What waits to be sent to one session.
///
/// Bounds: answers by [`ANSWER_BYTES`] and [`ANSWER_MESSAGES`] (beyond: the
/// session is cut off as too slow), large ones by [`Outbox::room`]; watches need
/// none, since they are cursors.
pub struct Outbox {
    inner: RefCell<Inner>,
    hub: Rc<Hub>,
    rooms: Rooms,
}

struct Inner {
    answers: VecDeque<Waiting>,
    answer_bytes: usize,
    /// Bytes of those answers for which there was room.
    roomy_bytes: usize,
    /// Mostly one or a few: a tree finds them quicker than a hash.
    subs: BTreeMap<Rc<str>, Sub>,
    /// Watches that may have something to read.
    stirred: VecDeque<Rc<str>>,
    /// A planned fault holds this back, and everything behind it.
    held: Option<Held>,
    /// What was handed on has yet to be taken by the connection.
    full: bool,
    /// Nothing is sent but a goodbye, and what goes with it.
    muted: bool,
    /// The goodbye that is said once nothing is under way for the session any more.
    parting: Option<(Close, Advice)>,
    /// Requests whose answers are still to come.
    owed: u32,
    closing: Option<Close>,
    /// Told when the session is cut off.
    cut_off: Option<Box<dyn FnOnce()>>,
    said_goodbye: bool,
    ended: bool,
    waker: Option<Waker>,
    /// Counts the watches that this session ever began.
    begun: u64,
    sent: Sent,
}

/// An answer or a notice.
struct Waiting {
    text: Bytes,
    /// There was room for it.
    roomy: bool,
}

/// A frame that goes out before anything else, once its time has come.
struct Held {
    parts: Vec<Bytes>,
    until: Option<Pin<Box<Sleep>>>,
}

/// What was sent since the session began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Messages.
    pub messages: u64,
    /// Bytes, without what the WebSocket protocol adds.
    pub bytes: u64,
}

/// How much waits to be sent, and how much was sent.
pub struct OutboxView {
    /// Answers and notices that wait.
    pub waiting_messages: usize,
    /// Their size in bytes.
    pub waiting_bytes: usize,
    /// What was sent.
    pub sent: Sent,
    /// The watches, by name.
    pub watches: Vec<WatchView>,
}

struct Sub {
    /// Tells it from an earlier watch of the same name.
    number: u64,
    ticket: Ticket,
    watch: Box<dyn Subscription>,
    stirred: bool,
    /// Something is being read for it.
    loading: bool,
}

impl Outbox {
    /// The outbox of a new session on this thread.
    pub fn new(hub: Rc<Hub>) -> Rc<Self> {
        Rc::new(Self {
            inner: RefCell::new(Inner {
                answers: VecDeque::new(),
                answer_bytes: 0,
                roomy_bytes: 0,
                subs: BTreeMap::new(),
                stirred: VecDeque::new(),
                held: None,
                full: false,
                muted: false,
                parting: None,
                owed: 0,
                closing: None,
                cut_off: None,
                said_goodbye: false,
                ended: false,
                waker: None,
                begun: 0,
                sent: Sent::default(),
            }),
            hub,
            rooms: Rooms::new(),
        })
    }

    /// Sends `text`, one JSON-RPC message, before anything that watches have to say.
    pub fn send(&self, text: impl Into<Bytes>) {
        self.enqueue(text.into(), false);
    }

    /// The same with a text for which there was room, however large it is.
    pub fn send_into(&self, room: Room, text: impl Into<Bytes>) {
        self.enqueue(text.into(), true);
        drop(room);
    }

    fn enqueue(&self, text: Bytes, roomy: bool) {
        let mut inner = self.inner.borrow_mut();
        if inner.muted || inner.closing.is_some() || inner.ended {
            return;
        }
        inner.push(text, roomy);
        let full =
            inner.answer_bytes - inner.roomy_bytes > ANSWER_BYTES || inner.answers.len() > ANSWER_MESSAGES as usize;
        // One may be as large as it is: it is built already.
        if full && inner.answers.len() > 1 {
            drop(inner);
            // Who does not read would not read what the watches have to say either.
            return self.cut_off(Close::TooSlow);
        }
        inner.wake();
    }

    /// Says goodbye, and lets the stream end.
    pub fn close(&self, close: Close) {
        let mut inner = self.inner.borrow_mut();
        inner.closing.get_or_insert(close);
        inner.wake();
        drop(inner);
        self.rooms.look_again();
    }

    /// Says goodbye and nothing else: what waits is not sent, and the watches end at once.
    pub fn cut_off(&self, close: Close) {
        self.mute();
        self.close(close);
        self.tell_cut_off();
    }

    /// Has `then` done when the session is cut off, or at once if it was: what was handed on before is to end as well.
    pub fn when_cut_off(&self, then: impl FnOnce() + 'static) {
        self.inner.borrow_mut().cut_off = Some(Box::new(then));
        let inner = self.inner.borrow();
        let is_cut_off = inner.muted && inner.closing.is_some();
        drop(inner);
        if is_cut_off {
            self.tell_cut_off();
        }
    }

    fn tell_cut_off(&self) {
        let told = self.inner.borrow_mut().cut_off.take();
        if let Some(tell) = told {
            tell();
        }
    }

    /// Says nothing any more, until it says goodbye: what waits is not sent, and the watches end at once.
    pub fn mute(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.muted = true;
        inner.held = None;
        inner.answers.clear();
        (inner.answer_bytes, inner.roomy_bytes) = (0, 0);
        let subs = std::mem::take(&mut inner.subs);
        drop(inner);
        self.rooms.look_again();
        self.forget(subs);
    }

    /// Says one thing more, and goodbye.
    pub fn cut_off_after(&self, last: impl Into<Bytes>, close: Close) {
        self.mute();
        let mut inner = self.inner.borrow_mut();
        if inner.closing.is_none() {
            inner.push(last.into(), false);
        }
        drop(inner);
        self.close(close);
        self.tell_cut_off();
    }

    /// How many watches there are.
    pub fn watches(&self) -> usize {
        self.inner.borrow().subs.len()
    }

    /// Whether there is a watch of this name.
    pub fn is_watching(&self, sub: &str) -> bool {
        self.inner.borrow().subs.contains_key(sub)
    }

    /// What the watch `sub` is of.
    pub fn topic_of(&self, sub: &str) -> Option<Topic> {
        self.inner.borrow().subs.get(sub).map(|sub| sub.watch.topic())
    }

    /// The session's place among those who watch `topic`; that of its oldest watch, if it has several.
    pub fn place_in(&self, topic: Topic) -> Option<Place> {
        let inner = self.inner.borrow();
        let watches = inner.subs.values().filter(|sub| sub.watch.topic() == topic);
        watches.min_by_key(|sub| sub.number).and_then(|sub| sub.watch.place().cloned())
    }

    /// The session's places among those who watch the same.
    pub fn places(&self) -> Vec<Place> {
        self.inner.borrow().subs.values().filter_map(|sub| sub.watch.place().cloned()).collect()
    }

    /// Says goodbye once every request that came before was answered and every watch has told what it
    /// had to tell. Nothing that comes in from now on counts.
    pub fn part(&self, close: Close, advice: Advice) {
        let mut inner = self.inner.borrow_mut();
        inner.parting.get_or_insert((close, advice));
        inner.wake();
        drop(inner);
        self.rooms.look_again();
    }

    pub(super) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.inner.borrow().answer_bytes
    }

    /// A request came whose answer takes a while: held until it was sent.
    pub fn owe(self: &Rc<Self>) -> Owed {
        self.inner.borrow_mut().owed += 1;
        Owed::new(self.clone())
    }

    /// How many requests wait for their answers.
    pub fn owed(&self) -> u32 {
        self.inner.borrow().owed
    }

    pub(super) fn is_answered(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.owed -= 1;
        if inner.parting.is_some() {
            inner.wake();
        }
    }

    /// Whether a goodbye is on its way, or will be: nothing that comes in counts any more.
    pub fn is_leaving(&self) -> bool {
        self.is_closing() || self.inner.borrow().parting.is_some()
    }

    /// Whether the end is on its way, or due: nothing more is taken to be sent.
    pub fn is_closing(&self) -> bool {
        let inner = self.inner.borrow();
        inner.muted || inner.closing.is_some() || inner.ended
    }

    /// Notes whether the connection has yet to take what was handed on to it.
    pub fn note_full(&self, full: bool) {
        self.inner.borrow_mut().full = full;
    }

    /// Whether the connection has yet to take what was handed on to it. Meanwhile the HTTP library reads nothing
    /// from it either.
    pub fn is_full(&self) -> bool {
        self.inner.borrow().full
    }

    /// How much waits, and what is watched.
    pub fn view(&self) -> OutboxView {
        let inner = self.inner.borrow();
        let mut watches: Vec<WatchView> = inner.subs.iter().map(|(name, sub)| sub.watch.view(name)).collect();
        watches.sort_by(|a, b| a.sub.cmp(&b.sub));
        OutboxView {
            waiting_messages: inner.answers.len(),
            waiting_bytes: inner.answer_bytes,
            sent: inner.sent,
            watches,
        }
    }

    /// Watches under the name `sub`: `answer` first, for which there was room, then what `watch` has to say.
    pub fn watch(self: &Rc<Self>, sub: &str, room: Room, answer: Bytes, watch: Box<dyn Subscription>) {
        if self.is_closing() {
            return;
        }
        self.send_into(room, answer);
        if self.is_closing() {
            // The answer was one too many.
            return;
        }
        let sub: Rc<str> = sub.into();
        let ticket = self.hub.register(watch.topic(), watch.source(), self, sub.clone());
        let mut inner = self.inner.borrow_mut();
        inner.begun += 1;
        let number = inner.begun;
        inner.subs.insert(sub.clone(), Sub { number, ticket, watch, stirred: false, loading: false });
        drop(inner);
        self.stir(&sub);
    }

    /// Ends the watch `sub`; false if there is none.
    pub fn unwatch(&self, sub: &str) -> bool {
        let removed = self.inner.borrow_mut().subs.remove_entry(sub);
        let found = removed.is_some();
        self.forget(removed);
        found
    }

    /// Every watch may have something to read, or is not to be any more: then
    /// `refuse` says why.
    pub fn review(&self, refuse: impl Fn(Topic) -> Option<Fault>) {
        let inner = self.inner.borrow();
        let subs: Vec<(Rc<str>, Topic)> =
            inner.subs.iter().map(|(name, sub)| (name.clone(), sub.watch.topic())).collect();
        drop(inner);
        for (name, topic) in subs {
            match refuse(topic) {
                Some(fault) => self.end(&name, fault),
                None => self.stir(&name),
            }
        }
    }

    fn forget(&self, subs: impl IntoIterator<Item = (Rc<str>, Sub)>) {
        for (_, sub) in subs {
            self.hub.unregister(sub.ticket);
        }
    }

    /// The watch `sub` may have something to read.
    pub(super) fn stir(&self, sub: &Rc<str>) {
        let mut inner = self.inner.borrow_mut();
        let Some(watch) = inner.subs.get_mut(sub) else { return };
        if !std::mem::replace(&mut watch.stirred, true) {
            inner.stirred.push_back(sub.clone());
        }
        inner.wake();
    }

    /// Ends the watch `sub` from the server's side, and says why.
    pub(super) fn end(&self, sub: &str, error: Fault) {
        if self.unwatch(sub) {
            let notice = Notification::new(WATCH_ENDED, WatchEnded { sub: sub.to_owned(), error });
            self.send(serde_json::to_vec(&notice).unwrap_or_default());
        }
    }
}

impl Inner {
    fn push(&mut self, text: Bytes, roomy: bool) {
        self.answer_bytes += text.len();
        self.roomy_bytes += if roomy { text.len() } else { 0 };
        self.answers.push_back(Waiting { text, roomy });
    }

    fn pop(&mut self) -> Option<Bytes> {
        let Waiting { text, roomy } = self.answers.pop_front()?;
        self.answer_bytes -= text.len();
        self.roomy_bytes -= if roomy { text.len() } else { 0 };
        Some(text)
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let subs = std::mem::take(&mut self.inner.get_mut().subs);
        self.forget(subs);
    }
}
