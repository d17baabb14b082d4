//! A session's outgoing side: answers first, then what its watches have to read.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use flightdeck_data::journal::History;
use flightdeck_protocol::{SessionId, model::Person, notification::Close};

use super::{Feed, Hub, Reading, Watcher};

/// How much of a watch goes into one frame, about.
const FRAME_BYTES: usize = 64 * 1024;
/// How much is read from the journal at once for a watch that is behind.
const PAGE_BYTES: usize = 64 * 1024;
/// How many bytes of answers may wait for a client that does not read.
const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// What is to be sent next.
pub enum Outgoing {
    /// The parts of one text frame, in order.
    Text(Vec<Bytes>),
    /// The last thing: a close frame.
    Close(Close),
}

/// What waits to be sent to one session.
///
/// Bounds: answers by [`ANSWER_BYTES`] (beyond: the session is closed as too
/// slow); watches need none, since they are cursors.
pub struct Outbox {
    inner: RefCell<Inner>,
    hub: Rc<Hub>,
    history: History,
}

struct Inner {
    answers: VecDeque<Bytes>,
    answer_bytes: usize,
    subs: HashMap<Rc<str>, Sub>,
    /// Watches that may have something to read.
    stirred: VecDeque<Rc<str>>,
    /// Whose sign-in it is, once the session is open.
    sign_in: Option<SessionId>,
    closing: Option<Close>,
    said_goodbye: bool,
    ended: bool,
    waker: Option<Waker>,
    /// Counts the watches that this session ever began.
    begun: u64,
}

struct Sub {
    /// Tells it from an earlier watch of the same name.
    number: u64,
    watcher: Watcher,
    /// `"sub":…,` of its frames.
    head: Bytes,
    cursor: u64,
    presence_seen: u64,
    stirred: bool,
    page: Page,
}

/// What a watch that is behind has got from the journal.
enum Page {
    None,
    Reading,
    Read(Vec<(u64, Bytes)>),
}

impl Outbox {
    /// The outbox of a new session on this thread.
    pub fn new(hub: Rc<Hub>, history: History) -> Rc<Self> {
        let outbox = Rc::new(Self {
            inner: RefCell::new(Inner {
                answers: VecDeque::new(),
                answer_bytes: 0,
                subs: HashMap::new(),
                stirred: VecDeque::new(),
                sign_in: None,
                closing: None,
                said_goodbye: false,
                ended: false,
                waker: None,
                begun: 0,
            }),
            hub: hub.clone(),
            history,
        });
        hub.enrol(&outbox);
        outbox
    }

    /// Sends `text`, one JSON-RPC message, before anything that watches have to say.
    pub fn send(&self, text: impl Into<Bytes>) {
        let text = text.into();
        let mut inner = self.inner.borrow_mut();
        inner.answer_bytes += text.len();
        inner.answers.push_back(text);
        // One answer may be as large as it is: it was asked for, and is built already.
        if inner.answers.len() > 1 && inner.answer_bytes > ANSWER_BYTES {
            inner.answers.clear();
            inner.answer_bytes = 0;
            inner.closing.get_or_insert(Close::TooSlow);
        }
        inner.wake();
    }

    /// Says goodbye, and lets the stream end.
    pub fn close(&self, close: Close) {
        let mut inner = self.inner.borrow_mut();
        inner.closing.get_or_insert(close);
        inner.wake();
    }

    /// The sign-in that the session belongs to from now on.
    pub fn belongs_to(&self, session: SessionId) {
        self.inner.borrow_mut().sign_in = Some(session);
    }

    pub(super) fn revoked(&self, session: SessionId) {
        if self.inner.borrow().sign_in == Some(session) {
            self.close(Close::Revoked);
        }
    }

    /// How many watches there are.
    pub fn watches(&self) -> usize {
        self.inner.borrow().subs.len()
    }

    /// Whether there is a watch of this name.
    pub fn is_watching(&self, sub: &str) -> bool {
        self.inner.borrow().subs.contains_key(sub)
    }

    /// Whether the goodbye is on its way: nothing that comes in counts any more.
    pub fn is_closing(&self) -> bool {
        self.inner.borrow().closing.is_some()
    }

    /// Watches `feed` under the name `sub`: `answer` first, then everything
    /// after `cursor`. False, and nothing done, if the feed has ended.
    pub fn watch(self: &Rc<Self>, sub: &str, feed: &Arc<Feed>, person: &Person, cursor: u64, answer: Bytes) -> bool {
        let sub: Rc<str> = sub.into();
        let Some(watcher) = self.hub.attach(feed, person, self, sub.clone()) else { return false };
        self.send(answer);
        let name = serde_json::to_string(&*sub).unwrap_or_else(|_| "\"\"".to_owned());
        let head = Bytes::from(format!("{{\"sub\":{name},"));
        let mut inner = self.inner.borrow_mut();
        inner.begun += 1;
        let number = inner.begun;
        let watch = Sub { number, watcher, head, cursor, presence_seen: 0, stirred: false, page: Page::None };
        inner.subs.insert(sub.clone(), watch);
        drop(inner);
        self.stir(&sub);
        true
    }

    /// Ends the watch `sub`; false if there is none.
    pub fn unwatch(&self, sub: &str) -> bool {
        let removed = self.inner.borrow_mut().subs.remove(sub);
        removed.is_some_and(|removed| {
            self.hub.detach(&removed.watcher, self, sub);
            true
        })
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

    /// The next thing to send; `None` once the goodbye was said.
    pub fn poll_next(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        let mut inner = self.inner.borrow_mut();
        if inner.ended {
            return Poll::Ready(None);
        }
        if let Some(answer) = inner.answers.pop_front() {
            inner.answer_bytes -= answer.len();
            return Poll::Ready(Some(Outgoing::Text(vec![answer])));
        }
        if let Some(close) = inner.closing {
            if std::mem::replace(&mut inner.said_goodbye, true) {
                inner.ended = true;
                return Poll::Ready(Some(Outgoing::Close(close)));
            }
            let notice = flightdeck_protocol::envelope::Notification::new(
                flightdeck_protocol::notification::SESSION_CLOSING,
                close.notice(),
            );
            let notice = serde_json::to_vec(&notice).unwrap_or_default();
            return Poll::Ready(Some(Outgoing::Text(vec![notice.into()])));
        }
        while let Some(name) = inner.stirred.pop_front() {
            let Some(watch) = inner.subs.get_mut(&name) else { continue };
            match watch.next_frame() {
                Next::Frame(parts) => {
                    // There may be more: it takes its turn again, behind the others.
                    inner.stirred.push_back(name);
                    return Poll::Ready(Some(Outgoing::Text(parts)));
                }
                Next::Nothing => watch.stirred = false,
                Next::End => {
                    inner.closing.get_or_insert(Close::Failed);
                    inner.stirred.clear();
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Next::ReadJournal { from, head } => {
                    watch.page = Page::Reading;
                    watch.stirred = false;
                    let (mission, number) = (watch.watcher.feed().mission, watch.number);
                    let (outbox, history) = (Rc::downgrade(self), self.history.clone());
                    actix_rt::spawn(async move {
                        let page = tokio::task::spawn_blocking(move || history.read(mission, from, head, PAGE_BYTES));
                        let page = page.await.map_err(|error| error.to_string());
                        let page = page.and_then(|page| page.map_err(|error| error.to_string()));
                        take_page(&outbox, &name, number, page.map(|page| page.events));
                    });
                }
            }
        }
        inner.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

fn take_page(outbox: &Weak<Outbox>, name: &Rc<str>, number: u64, page: Result<Vec<(u64, Bytes)>, String>) {
    let Some(outbox) = outbox.upgrade() else { return };
    // Read for a watch that has ended since; one of the same name may watch another mission.
    if outbox.inner.borrow().subs.get(name).is_none_or(|watch| watch.number != number) {
        return;
    }
    let events = page.unwrap_or_else(|error| {
        tracing::error!(error, "a watch could not be read from the journal");
        Vec::new()
    });
    if events.is_empty() {
        // There must have been some: the client is better off with a fresh start.
        return outbox.close(Close::Failed);
    }
    if let Some(watch) = outbox.inner.borrow_mut().subs.get_mut(name) {
        watch.page = Page::Read(events);
    }
    outbox.stir(name);
}

enum Next {
    Frame(Vec<Bytes>),
    Nothing,
    End,
    ReadJournal { from: u64, head: u64 },
}

impl Sub {
    fn next_frame(&mut self) -> Next {
        let feed = self.watcher.feed().clone();
        match std::mem::replace(&mut self.page, Page::None) {
            Page::Reading => {
                self.page = Page::Reading;
                return Next::Nothing;
            }
            Page::Read(mut events) => {
                events.retain(|(seq, _)| *seq > self.cursor);
                if events.first().is_some_and(|(seq, _)| *seq == self.cursor + 1) {
                    let to = self.cursor + events.len() as u64;
                    return self.events_frame(&feed, to, events.into_iter().map(|(_, event)| event).collect());
                }
            }
            Page::None => {}
        }
        match feed.read(self.cursor, FRAME_BYTES) {
            Reading::Events { to, events } => self.events_frame(&feed, to, events),
            Reading::Behind { head } => Next::ReadJournal { from: self.cursor + 1, head },
            Reading::Ended => Next::End,
            Reading::UpToDate => match feed.presence_after(self.presence_seen) {
                Some((version, people)) => {
                    self.presence_seen = version;
                    Next::Frame(vec![
                        Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"method\":\"mission.presence\",\"params\":"),
                        self.head.clone(),
                        people,
                        Bytes::from_static(b"}}"),
                    ])
                }
                None => Next::Nothing,
            },
        }
    }

    /// One `mission.events` frame. The events are shared with every other watcher; the few bytes before them are our own.
    fn events_frame(&mut self, feed: &Feed, to: u64, events: Vec<Bytes>) -> Next {
        let position = format!("\"epoch\":\"{}\",\"from\":{},\"to\":{to},\"events\":[", feed.epoch, self.cursor + 1);
        let mut parts = Vec::with_capacity(events.len() * 2 + 3);
        parts.push(Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"method\":\"mission.events\",\"params\":"));
        parts.push(self.head.clone());
        parts.push(position.into());
        for (index, event) in events.into_iter().enumerate() {
            if index > 0 {
                parts.push(Bytes::from_static(b","));
            }
            parts.push(event);
        }
        parts.push(Bytes::from_static(b"]}}"));
        self.cursor = to;
        Next::Frame(parts)
    }
}

impl Inner {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let subs: Vec<(Rc<str>, Sub)> = self.inner.borrow_mut().subs.drain().collect();
        for (name, sub) in subs {
            self.hub.detach(&sub.watcher, self, &name);
        }
    }
}
