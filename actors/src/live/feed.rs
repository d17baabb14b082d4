//! A mission's feed: the newest events, encoded once, and who watches them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use flightdeck_protocol::{Fault, MissionId, OrganizationId, model::Author, operations::Logs};
use uuid::Uuid;

use super::{
    Batch, Ends, Harm, LiveNews, News, Past, Plan, Source, Topic,
    batch::{Recent, is_far},
    faults::{Faults, Frame},
    hub::HubHandle,
    lane::{Due, Lane},
    listeners::Listeners,
    presence::Presence,
    ring::Ring,
    tails::{Tail, Tails},
    words::Words,
};

/// The bounds of a feed.
#[derive(Clone, Copy, Debug)]
pub struct FeedRules {
    /// Bytes of encoded events that are kept in memory.
    pub max_bytes: usize,
    /// The shortest time between two pieces of the lossy lane.
    pub live_interval: Duration,
    /// How long somebody is still shown after their last watch has ended.
    pub presence_grace: Duration,
}

/// What a feed begins with.
#[derive(Clone, Debug, Default)]
pub struct FeedBeginning {
    /// The position of the newest durable event.
    pub head: u64,
    /// The newest events as JSON, as far as they are at hand; the last of them is `head`.
    pub newest: Vec<Bytes>,
    /// The positions of the activities that the mission carries with it.
    pub activities: Vec<u64>,
}

/// A mission's newest events and its watchers. Shared by the mission's actor,
/// which publishes, and by the sessions that watch. It outlives a restart of the actor.
pub struct Feed {
    /// The mission.
    pub mission: MissionId,
    /// The organization that it belongs to.
    pub organization: OrganizationId,
    /// The history that positions count in.
    pub epoch: Uuid,
    faults: Faults,
    inner: Mutex<Inner>,
    /// Held by whoever reads back what the ring lacks; the others who need it wait.
    filling: tokio::sync::Mutex<()>,
}

/// What of a feed changes.
pub(super) struct Inner {
    ring: Ring,
    /// What was just read of it, for the next who reads from the same position.
    tails: Tails,
    activities: Recent,
    pub(super) listeners: Listeners,
    pub(super) lane: Lane,
    pub(super) presence: Presence,
    /// Nothing is published any more, for this reason.
    pub(super) ended: Option<Fault>,
}

/// What a cursor finds.
pub enum Reading {
    /// Nothing new.
    UpToDate,
    /// What comes after the cursor.
    Events(Tail),
    /// The next event is not in memory, and may be after [`Feed::fill`]: the mission was away, and came back.
    Away,
    /// The next event is not in memory any more: it must be read from the journal, up to `head`.
    Behind {
        /// The position of the newest event.
        head: u64,
        /// Log entries before this one are left out.
        spared_before: u64,
    },
    /// Nothing new, and nothing ever will be, for this reason.
    Ended(Fault),
}

/// What [`Feed::retire`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retired {
    /// Somebody watches.
    No,
    /// It ends with this.
    Now,
    /// It had ended before, and those who watch are being told why.
    Before,
}

impl Feed {
    /// The feed of a mission that stands as `beginning` says.
    pub fn new(
        (mission, organization): (MissionId, OrganizationId),
        epoch: Uuid,
        beginning: FeedBeginning,
        rules: FeedRules,
    ) -> Self {
        let FeedBeginning { head, newest, activities } = beginning;
        Self {
            mission,
            organization,
            epoch,
            faults: Faults::default(),
            filling: tokio::sync::Mutex::default(),
            inner: Mutex::new(Inner {
                ring: Ring::new(head, rules.max_bytes, newest),
                tails: Tails::default(),
                activities: Recent::new(activities),
                listeners: Listeners::default(),
                lane: Lane::new(rules.live_interval),
                presence: Presence::new(rules.presence_grace),
                ended: None,
            }),
        }
    }

    /// The position of the newest published event.
    pub fn head(&self) -> u64 {
        self.lock().ring.head()
    }

    /// The bytes of `events` events, by what they took so far.
    pub fn typical_bytes(&self, events: u64) -> u64 {
        self.lock().ring.typical_bytes(events)
    }

    /// Ends the feed if nobody watches. Nobody can begin to watch it from then on.
    pub fn retire(&self) -> Retired {
        let mut inner = self.lock();
        if inner.ended.is_some() {
            return Retired::Before;
        }
        if !inner.listeners.is_empty() {
            return Retired::No;
        }
        inner.ended = Some(crate::mission::restarting());
        Retired::Now
    }

    /// Takes [`Retired::Now`] back: its mission stays after all.
    pub fn reopen(&self) {
        self.lock().ended = None;
    }

    /// Whether nothing is published any more.
    pub fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// Ends the feed: nothing is published any more, and who watches is told why once they have read it all.
    pub fn end(&self, why: Fault) {
        let mut inner = self.lock();
        inner.ended.get_or_insert(why);
        inner.listeners.wake(self.topic());
    }

    /// Plans what goes wrong for those who watch, in the place of what was planned before. The plan
    /// is kept in memory alone, as the feed is.
    pub fn plan_faults(&self, plan: Plan) {
        self.faults.replace(plan);
    }

    /// What goes wrong with this frame of a watch, if anything does.
    pub(super) fn harm(&self, frame: Frame) -> Option<Harm> {
        self.faults.take(frame)
    }

    pub(super) fn topic(&self) -> Topic {
        Topic::Mission(self.mission)
    }

    /// Publishes `events`, which follow on the newest one and are on disk. What of the live text is
    /// over with them ends in the same moment: nobody sees it after the event.
    pub fn publish(self: &Arc<Self>, events: impl IntoIterator<Item = News>) {
        let mut inner = self.lock();
        for event in events {
            match &event.ends {
                Ends::Nothing => {}
                Ends::Stream(stream) => inner.lane.end(stream),
                Ends::All => inner.lane.end_all(),
            }
            if event.is_activity {
                let seq = inner.ring.head() + 1;
                inner.activities.add(seq);
            }
            inner.ring.push(event);
        }
        inner.tails.clear();
        inner.listeners.wake(self.topic());
        self.roll(&mut inner);
    }

    /// The agent is saying something in `stream`: shown to those who watch, and never stored.
    pub fn say(self: &Arc<Self>, by: &Author, stream: &str, text: &str) {
        let words = Words::new(by, stream, text);
        let mut inner = self.lock();
        inner.lane.say(words);
        self.roll(&mut inner);
    }

    /// The event that ends `stream` was decided on and is on its way to disk.
    pub fn expect_end(&self, stream: &str) {
        self.lock().lane.expect_end(stream);
    }

    /// Nobody says anything any more.
    pub fn fall_silent(&self) {
        let mut inner = self.lock();
        inner.lane.end_all();
        inner.listeners.wake(self.topic());
    }

    /// Puts out what the lossy lane has gathered, now or when its interval has passed.
    pub(super) fn roll(self: &Arc<Self>, inner: &mut Inner) {
        let now = Instant::now();
        match (inner.lane.due(now), inner.listeners.any()) {
            (Due::Arranged, _) => {}
            (Due::In(wait), Some(hub)) => {
                let feed = self.clone();
                hub.later(wait, move || {
                    let mut inner = feed.lock();
                    inner.lane.rang();
                    feed.roll(&mut inner);
                });
            }
            (due, _) => {
                if matches!(due, Due::In(_)) {
                    // Where nobody watches, nobody is to be spared, and nobody would ring the alarm either.
                    inner.lane.rang();
                }
                if inner.lane.put_out(now) {
                    inner.listeners.wake(self.topic());
                }
            }
        }
    }

    /// Events up to `head` are on disk though nobody published them: the actor
    /// died in between. Watchers read them from the journal. Says whether there are any.
    pub fn skip_to(&self, head: u64) -> bool {
        let mut inner = self.lock();
        let skips = head > inner.ring.head();
        if skips {
            inner.ring.skip_to(head);
            inner.tails.clear();
            inner.listeners.wake(self.topic());
        }
        skips
    }

    /// Reads what comes after `cursor`: about `max_bytes` of it, and one event at least. Whoever is far
    /// behind and has chosen so is spared log entries. All others who read from the same position share
    /// what the first of them has written.
    pub fn read(&self, cursor: u64, max_bytes: usize, logs: Logs) -> Reading {
        let inner = self.lock();
        let head = inner.ring.head();
        if cursor >= head {
            return inner.ended.clone().map_or(Reading::UpToDate, Reading::Ended);
        }
        let waiting = head - cursor;
        let spares = logs == Logs::Coalesced && is_far(waiting, inner.ring.typical_bytes(waiting));
        let spared_before = if spares { inner.activities.oldest() } else { 0 };
        let Some(events) = inner.ring.after(cursor) else {
            let is_away = inner.ring.lack().is_some();
            return if is_away { Reading::Away } else { Reading::Behind { head, spared_before } };
        };
        if !spares && let Some(tail) = inner.tails.after(cursor) {
            return Reading::Events(tail.clone());
        }
        let mut batch = Batch::behind(cursor);
        for event in events {
            if event.is_log && batch.to + 1 < spared_before {
                batch.leave_out();
            } else if batch.has_room(event.json.len(), max_bytes) {
                batch.send(event.json.clone());
            } else {
                break;
            }
        }
        drop(inner);
        // Written without the lock: where two threads do so at once, either may be kept.
        let tail = Tail::write(self.epoch, cursor + 1, &batch);
        let mut inner = self.lock();
        if !spares && inner.ring.head() == head {
            inner.tails.keep(cursor, tail.clone());
        }
        Reading::Events(tail)
    }

    /// Reads back from the journal what the ring has lost while the mission was away. However many need it,
    /// one of them reads, and the others wait for that.
    pub async fn fill(&self, past: &Past) {
        let _turn = self.filling.lock().await;
        let Some(lack) = self.lock().ring.lack() else { return };
        let events = past.before(self.mission, lack).await.unwrap_or_else(|error| {
            // Each who needs them reads for itself, and says what is wrong.
            tracing::error!(mission = %self.mission, error, "a feed cannot be filled from the journal");
            Vec::new()
        });
        self.lock().ring.fill(lack, events);
    }

    /// What goes on, for a watcher that has `seen` so much of it and has read every event up to
    /// `cursor`. Nothing where there are newer events: those come first.
    pub fn live_after(&self, cursor: u64, seen: &mut u64) -> Option<LiveNews> {
        let mut inner = self.lock();
        if inner.ring.head() > cursor { None } else { inner.lane.after(seen) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each change below leaves the parts consistent at every step, so a panic elsewhere does not spoil them.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Feed {
    fn looked(&self, hub: &HubHandle) {
        self.lock().listeners.looked(hub);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;

    fn feed(max_bytes: usize) -> Arc<Feed> {
        let minute = Duration::from_secs(60);
        let rules = FeedRules { max_bytes, live_interval: minute, presence_grace: minute };
        let beginning = FeedBeginning { head: 10, ..FeedBeginning::default() };
        Arc::new(Feed::new((MissionId::fresh(), OrganizationId::fresh()), Uuid::nil(), beginning, rules))
    }

    fn news(json: &'static str) -> News {
        News { json: Bytes::from(json), is_log: false, is_activity: false, removes_steps: false, ends: Ends::Nothing }
    }

    fn tail(reading: Reading) -> Tail {
        match reading {
            Reading::Events(tail) => tail,
            Reading::UpToDate => panic!("up to date"),
            Reading::Away => panic!("away"),
            Reading::Behind { head, .. } => panic!("behind {head}"),
            Reading::Ended(fault) => panic!("ended: {fault}"),
        }
    }

    #[test]
    fn a_cursor_reads_on_from_where_it_is() {
        let feed = feed(1_000);
        assert!(matches!(feed.read(10, 100, Logs::Every), Reading::UpToDate));
        feed.publish(["11", "12", "13"].map(news));
        let read = |cursor, max_bytes| {
            let tail = tail(feed.read(cursor, max_bytes, Logs::Every));
            let text = String::from_utf8(tail.text.to_vec()).unwrap();
            (tail.to, text.split_once("\"events\":").unwrap().1.to_owned())
        };
        assert_eq!(read(10, 4), (12, "[11,12]}}".to_owned()), "no more than asked for");
        assert_eq!(read(11, 100), (13, "[12,13]}}".to_owned()));
        assert_eq!(read(12, 0), (13, "[13]}}".to_owned()), "and one at least");
        assert!(matches!(feed.read(13, 100, Logs::Every), Reading::UpToDate));
    }

    #[test]
    fn what_one_reads_is_shared_with_all_at_the_same_position_until_there_is_more() {
        let feed = feed(1_000);
        feed.publish(["11", "12"].map(news));
        let [first, second] = [(); 2].map(|()| tail(feed.read(10, 100, Logs::Every)).text);
        assert_eq!(first.as_ptr(), second.as_ptr(), "one text in memory");
        assert_eq!(tail(feed.read(11, 100, Logs::Every)).to, 12);
        feed.publish([news("13")]);
        assert_eq!(tail(feed.read(10, 100, Logs::Every)).to, 13);
        assert_eq!(tail(feed.read(11, 100, Logs::Every)).to, 13);
    }

    #[test]
    fn the_ring_is_bounded_and_a_gap_is_told() {
        let feed = feed(4);
        feed.publish(["11", "12", "13"].map(news));
        assert!(matches!(feed.read(10, 100, Logs::Every), Reading::Behind { head: 13, spared_before: 0 }));
        assert_eq!(tail(feed.read(11, 100, Logs::Every)).to, 13);
        assert!(
            matches!(feed.read(3, 100, Logs::Every), Reading::Behind { head: 13, spared_before: 0 }),
            "older than the feed itself"
        );
        feed.skip_to(20);
        assert!(matches!(feed.read(13, 100, Logs::Every), Reading::Away));
    }

    #[test]
    fn what_goes_on_comes_after_every_event_and_ends_with_its_own() {
        let (feed, mut seen) = (feed(1_000), 0);
        feed.say(&Author::System, "a", "Dear");
        assert!(feed.live_after(10, &mut seen).is_some_and(|news| news.whole));
        feed.say(&Author::System, "a", " all");
        feed.publish([news("11")]);
        assert!(feed.live_after(10, &mut seen).is_none(), "event 11 comes first");
        let piece = feed.live_after(11, &mut seen).expect("news");
        assert!(!piece.whole && piece.items.len() == 1, "nobody watches, so it went out at once");
        feed.say(&Author::System, "a", ", it");
        feed.say(&Author::System, "a", " is");
        let late = feed.live_after(11, &mut 0).expect("news");
        assert!(late.whole && String::from_utf8_lossy(&late.items[0]).contains("Dear all, it is"), "however often");
        feed.live_after(11, &mut seen).expect("the same");
        feed.expect_end("a");
        feed.publish([News { ends: Ends::Stream("a".to_owned()), ..news("12") }]);
        let end = feed.live_after(12, &mut seen).expect("news");
        assert_eq!(end.items, [r#"{"type":"text_end","stream":"a"}"#]);
        assert!(feed.live_after(12, &mut 0).is_none(), "a newcomer sees nothing of it");
        feed.say(&Author::System, "b", "unfinished");
        feed.fall_silent();
        assert!(feed.live_after(12, &mut 0).is_none());
    }

    #[test]
    fn whoever_is_far_behind_and_wishes_so_is_spared_old_log_entries_and_nothing_else() {
        let feed = feed(100_000);
        let log = || News { is_log: true, is_activity: true, ..news("0") };
        // The position of the last, the events, and what was left out.
        let read = |cursor, logs| {
            let tail = tail(feed.read(cursor, 100_000, logs));
            let frame = [b"{\"params\":{", &tail.text[..]].concat();
            let params = serde_json::from_slice::<Value>(&frame).unwrap()["params"].take();
            let events: Vec<u64> = serde_json::from_value(params["events"].clone()).unwrap();
            (tail.to, events, params["skipped"].clone())
        };
        feed.publish((0..100).map(|_| log()));
        assert_eq!(read(10, Logs::Coalesced).1.len(), 100, "not far behind");
        feed.publish((0..200).map(|nth| if nth == 100 { news("1") } else { log() }));
        let (to, events, skipped) = read(10, Logs::Coalesced);
        assert_eq!((to, events.len()), (310, 1 + 50), "the state, and what a mission carries with it");
        assert_eq!(events[0], 1);
        assert_eq!(skipped, json!([{"from": 11, "to": 210}, {"from": 212, "to": 260}]));
        assert_eq!(read(10, Logs::Every).1.len(), 300, "who wants all of it gets no frame that leaves anything out");
        assert_eq!(read(10, Logs::Coalesced).1.len(), 51, "nor the other way round");
        assert_eq!(read(200, Logs::Coalesced).1.len(), 110, "not far behind");
        let lack = feed.lock().ring.lack().expect("older events than were seen here");
        feed.lock().ring.fill(lack, Vec::new());
        assert!(matches!(feed.read(1, 100, Logs::Coalesced), Reading::Behind { head: 310, spared_before: 261 }));
    }
}
