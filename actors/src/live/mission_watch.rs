//! A watch of one mission: a cursor into its feed, and into the journal where the feed has forgotten.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use bytes::Bytes;
use flightdeck_data::journal::History;
use flightdeck_protocol::{
    Code, Fault, MissionId,
    operations::{Logs, Watch, WatchKind, WatchView},
};

use super::{
    Batch, Feed, LiveNews, Next, Past, Place, Reading, Source, Subscription, Tail, Topic, Watcher, faults::Frame,
    news::is_log,
};

/// How much of a watch goes into one frame, about.
const FRAME_BYTES: usize = 64 * 1024;
/// How much is read from the journal at once for a watch that is behind.
const PAGE_BYTES: usize = 64 * 1024;
/// How many such pages are read at most before something is sent, where all of them is left out.
const PAGES: usize = 16;

/// One session's watch of one mission.
pub struct MissionWatch {
    watcher: Watcher,
    past: Past,
    /// `{"sub":…,`: how its frames begin.
    head: Bytes,
    cursor: u64,
    logs: Logs,
    /// How many frames of events there were.
    frames: u64,
    /// Whether what goes on is wanted, and up to which version it was sent.
    live: bool,
    live_seen: u64,
    /// The same of who watches.
    presence: bool,
    presence_seen: u64,
    /// Events that were read from the journal.
    page: Rc<RefCell<Option<Batch>>>,
}

impl MissionWatch {
    /// The watch that `wish` asks for, of everything after `cursor`.
    pub fn new(wish: &Watch, watcher: Watcher, past: Past, cursor: u64) -> Self {
        Self {
            watcher,
            past,
            head: super::frame_head(&wish.sub),
            cursor,
            logs: wish.logs,
            frames: 0,
            live: wish.live,
            live_seen: 0,
            presence: wish.presence,
            presence_seen: 0,
            page: Rc::default(),
        }
    }

    /// One `mission.events` frame. Its tail is shared with every other watcher at our position; the few bytes before
    /// it are our own.
    fn events_frame(&mut self, feed: &Feed, Tail { to, text }: Tail) -> Next {
        let from = self.cursor + 1;
        let parts = vec![
            Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"method\":\"mission.events\",\"params\":"),
            self.head.clone(),
            text,
        ];
        self.cursor = to;
        self.frames += 1;
        match feed.harm(Frame { number: self.frames, from, to }) {
            Some(harm) => Next::Harmed(harm, parts),
            None => Next::Frame(parts),
        }
    }

    /// One `mission.live` frame, its items shared with every other watcher.
    fn live_frame(&self, news: LiveNews) -> Next {
        let start: &[u8] = if news.whole { b"\"whole\":true,\"items\":[" } else { b"\"whole\":false,\"items\":[" };
        let mut parts = vec![
            Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"method\":\"mission.live\",\"params\":"),
            self.head.clone(),
            Bytes::from_static(start),
        ];
        push_joined(&mut parts, news.items.into_iter());
        parts.push(END);
        Next::Frame(parts)
    }

    fn presence_frame(&mut self, version: u64, people: Bytes) -> Next {
        self.presence_seen = version;
        Next::Frame(vec![
            Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"method\":\"mission.presence\",\"params\":"),
            self.head.clone(),
            people,
            Bytes::from_static(b"}}"),
        ])
    }

    /// Reads on from the cursor, up to `head`, off the thread of the sockets. Log entries before
    /// `spared_before` are left out.
    fn read_journal(&self, head: u64, spared_before: u64) -> Next {
        let (past, page) = (self.past.clone(), Rc::downgrade(&self.page));
        let (mission, cursor) = (self.watcher.feed().mission, self.cursor);
        Next::Load(Box::pin(async move {
            let read = move |history: &History| read_on(history, mission, cursor, head, spared_before);
            match past.read(|| page.strong_count() > 0, read).await {
                Ok(batch) => {
                    if let Some(page) = page.upgrade() {
                        *page.borrow_mut() = batch;
                    }
                    Ok(())
                }
                // There must have been some: the client is better off with a fresh start.
                Err(error) => {
                    tracing::error!(%mission, error, "a watch could not be read from the journal");
                    let message = "the mission's history cannot be read now; watch it again later";
                    Err(Fault::new(Code::StoreUnavailable, message).after(1_000))
                }
            }
        }))
    }
}

/// The next page behind `cursor` that has something to be sent, or the last that was looked at.
fn read_on(history: &History, mission: MissionId, cursor: u64, head: u64, spared_before: u64) -> Result<Batch, String> {
    let mut batch = Batch::behind(cursor);
    for _ in 0..PAGES {
        let page = history.read(mission, batch.to + 1, head, PAGE_BYTES).map_err(|error| error.to_string())?;
        if page.events.first().is_none_or(|(seq, _)| *seq != batch.to + 1) {
            return Err(format!("event {} is not there", batch.to + 1));
        }
        for (seq, event) in page.events {
            if seq < spared_before && is_log(&event) {
                batch.leave_out();
            } else {
                batch.send(event);
            }
        }
        if !batch.events.is_empty() || batch.to >= head {
            break;
        }
    }
    Ok(batch)
}

/// The end of a notice that ends with a list.
const END: Bytes = Bytes::from_static(b"]}}");

/// The items with commas between them.
fn push_joined(parts: &mut Vec<Bytes>, items: impl Iterator<Item = Bytes>) {
    for (index, item) in items.enumerate() {
        if index > 0 {
            parts.push(Bytes::from_static(b","));
        }
        parts.push(item);
    }
}

impl Subscription for MissionWatch {
    fn topic(&self) -> Topic {
        Topic::Mission(self.watcher.feed().mission)
    }

    fn source(&self) -> Arc<dyn Source> {
        self.watcher.feed().clone()
    }

    fn next(&mut self) -> Next {
        let feed = self.watcher.feed().clone();
        if let Some(batch) = self.page.take() {
            let tail = Tail::write(feed.epoch, self.cursor + 1, &batch);
            return self.events_frame(&feed, tail);
        }
        match feed.read(self.cursor, FRAME_BYTES, self.logs) {
            Reading::Events(tail) => self.events_frame(&feed, tail),
            Reading::Away => {
                let past = self.past.clone();
                Next::Load(Box::pin(async move {
                    feed.fill(&past).await;
                    Ok(())
                }))
            }
            Reading::Behind { head, spared_before } => self.read_journal(head, spared_before),
            Reading::Ended(fault) => Next::End(fault),
            // What may be lost goes to whoever has everything that may not.
            Reading::UpToDate => {
                if let Some(news) = feed.live_after(self.cursor, &mut self.live_seen).filter(|_| self.live) {
                    return self.live_frame(news);
                }
                match feed.presence_after(self.presence_seen).filter(|_| self.presence) {
                    Some((version, people)) => self.presence_frame(version, people),
                    None => Next::Nothing,
                }
            }
        }
    }

    fn view(&self, sub: &str) -> WatchView {
        let feed = self.watcher.feed();
        WatchView {
            sub: sub.to_owned(),
            kind: WatchKind::Mission,
            mission: Some(feed.mission),
            behind: feed.head().saturating_sub(self.cursor),
        }
    }

    fn place(&self) -> Option<&Place> {
        Some(self.watcher.place())
    }
}
