//! A mission's feed: the newest events, encoded once, and who watches them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use flightdeck_protocol::{
    Fault, MissionId, OrganizationId, Timestamp, UserId,
    model::{Person, Role},
    notification::Present,
};
use uuid::Uuid;

use super::{Source, Topic, hub::HubHandle, listeners::Listeners};

/// What an event takes in bytes, as long as none was seen.
const EVENT_BYTES: u64 = 400;
/// How many people a presence notice names; the rest are counted.
const PRESENT_NAMED: usize = 100;

/// A mission's newest events and its watchers. Shared by the mission's actor,
/// which publishes, and by the sessions that watch. It outlives a restart of the actor.
pub struct Feed {
    /// The mission.
    pub mission: MissionId,
    /// The organization that it belongs to.
    pub organization: OrganizationId,
    /// The history that positions count in.
    pub epoch: Uuid,
    max_bytes: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Events `head - ring.len() + 1 ..= head`, each as the JSON of one object.
    ring: VecDeque<Bytes>,
    ring_bytes: usize,
    /// How many events were published here, and their bytes: what a typical one takes.
    published: (u64, u64),
    head: u64,
    listeners: Listeners,
    people: Vec<Here>,
    presence: Presence,
    /// Nothing is published any more, for this reason.
    ended: Option<Fault>,
}

struct Here {
    id: UserId,
    name: String,
    role: Role,
    since: Timestamp,
    sessions: usize,
}

#[derive(Clone)]
struct Presence {
    version: u64,
    json: Bytes,
    announcing: bool,
}

/// What a cursor finds.
pub enum Reading {
    /// Nothing new.
    UpToDate,
    /// Events after the cursor, up to and with position `to`, each as JSON.
    Events {
        /// The position of the last.
        to: u64,
        /// The events.
        events: Vec<Bytes>,
    },
    /// The next event is not in memory any more: it must be read from the journal, up to `head`.
    Behind {
        /// The position of the newest event.
        head: u64,
    },
    /// Nothing new, and nothing ever will be, for this reason.
    Ended(Fault),
}

/// Somebody who watches, until it is dropped.
pub struct Watcher {
    feed: Arc<Feed>,
    person: UserId,
    hub: HubHandle,
}

impl Feed {
    /// The feed of a mission whose newest durable event is `head`; keeps up to `max_bytes` of events.
    pub fn new(mission: MissionId, organization: OrganizationId, epoch: Uuid, head: u64, max_bytes: usize) -> Self {
        let presence = Presence { version: 0, json: Bytes::from_static(b"[]"), announcing: false };
        Self {
            mission,
            organization,
            epoch,
            max_bytes,
            inner: Mutex::new(Inner {
                ring: VecDeque::new(),
                ring_bytes: 0,
                published: (0, 0),
                head,
                listeners: Listeners::default(),
                people: Vec::new(),
                presence,
                ended: None,
            }),
        }
    }

    /// The position of the newest published event.
    pub fn head(&self) -> u64 {
        self.lock().head
    }

    /// The bytes of `events` events, by what they took so far.
    pub fn typical_bytes(&self, events: u64) -> u64 {
        let (published, bytes) = self.lock().published;
        events.saturating_mul(bytes.checked_div(published).unwrap_or(EVENT_BYTES))
    }

    /// Ends the feed if nobody watches; says whether it did. Nobody can begin to watch it from then on.
    pub fn retire(&self) -> bool {
        let mut inner = self.lock();
        if inner.listeners.is_empty() {
            inner.ended.get_or_insert_with(crate::mission::restarting);
        }
        inner.ended.is_some()
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

    fn topic(&self) -> Topic {
        Topic::Mission(self.mission)
    }

    /// Publishes `events`, which follow on the newest one and are on disk.
    pub fn publish(&self, events: impl IntoIterator<Item = Bytes>) {
        let mut inner = self.lock();
        for event in events {
            inner.head += 1;
            inner.ring_bytes += event.len();
            inner.published.0 += 1;
            inner.published.1 += event.len() as u64;
            inner.ring.push_back(event);
        }
        while inner.ring_bytes > self.max_bytes {
            let Some(oldest) = inner.ring.pop_front() else { break };
            inner.ring_bytes -= oldest.len();
        }
        inner.listeners.wake(self.topic());
    }

    /// Events up to `head` are on disk though nobody published them: the actor
    /// died in between. Watchers read them from the journal.
    pub fn skip_to(&self, head: u64) {
        let mut inner = self.lock();
        if head > inner.head {
            inner.head = head;
            inner.ring.clear();
            inner.ring_bytes = 0;
            inner.listeners.wake(self.topic());
        }
    }

    /// Reads what comes after `cursor`: about `max_bytes` of it, and one event at least.
    pub fn read(&self, cursor: u64, max_bytes: usize) -> Reading {
        let inner = self.lock();
        if cursor >= inner.head {
            return inner.ended.clone().map_or(Reading::UpToDate, Reading::Ended);
        }
        let oldest = inner.head + 1 - inner.ring.len() as u64;
        if cursor + 1 < oldest {
            return Reading::Behind { head: inner.head };
        }
        let mut bytes = 0;
        let mut events = Vec::new();
        for event in inner.ring.iter().skip((cursor + 1 - oldest) as usize) {
            bytes += event.len();
            if bytes > max_bytes && !events.is_empty() {
                break;
            }
            events.push(event.clone());
        }
        Reading::Events { to: cursor + events.len() as u64, events }
    }

    /// The people who watch, as JSON, if that is newer than version `seen`.
    pub fn presence_after(&self, seen: u64) -> Option<(u64, Bytes)> {
        let inner = self.lock();
        (inner.presence.version > seen).then(|| (inner.presence.version, inner.presence.json.clone()))
    }

    /// Adds a watcher whose session lives on the thread of `hub`.
    /// `None` for a feed that has ended: the mission is to be found anew.
    pub fn attach(self: &Arc<Self>, person: &Person, hub: &HubHandle, now: Timestamp) -> Option<Watcher> {
        let mut inner = self.lock();
        if inner.ended.is_some() {
            return None;
        }
        inner.listeners.add(hub);
        let mut changed = false;
        match inner.people.iter_mut().find(|here| here.id == person.id) {
            Some(here) => here.sessions += 1,
            None => {
                let (name, role) = (person.username.clone(), person.role);
                inner.people.push(Here { id: person.id, name, role, since: now, sessions: 1 });
                changed = true;
            }
        }
        // A newcomer among people already known is told who is here as well.
        if changed && !std::mem::replace(&mut inner.presence.announcing, true) {
            hub.announce(self.clone());
        }
        Some(Watcher { feed: self.clone(), person: person.id, hub: hub.clone() })
    }

    /// Tells all watchers who is here.
    pub fn announce_presence(&self) {
        let mut inner = self.lock();
        let named = inner.people.iter().take(PRESENT_NAMED);
        let people: Vec<Present> = named
            .map(|here| Present {
                id: here.id,
                name: here.name.clone(),
                role: here.role,
                since: here.since,
                looks_at: None,
                seen_seq: None,
            })
            .collect();
        let others = inner.people.len() - people.len();
        let people = serde_json::to_string(&people).unwrap_or_else(|_| "[]".to_owned());
        inner.presence.json = Bytes::from(format!("\"people\":{people},\"others\":{others}"));
        inner.presence.version += 1;
        inner.presence.announcing = false;
        inner.listeners.wake(self.topic());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each change below leaves the parts consistent at every step, so a panic elsewhere does not spoil them.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Feed {
    fn looked(&self, hub: &HubHandle) {
        self.lock().listeners.looked(hub);
    }
}

impl Watcher {
    /// What is watched.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Stops watching. Says whether the circle of people changed and is to be announced.
    fn leave(&self) -> bool {
        let mut inner = self.feed.lock();
        inner.listeners.remove(&self.hub);
        let Some(index) = inner.people.iter().position(|here| here.id == self.person) else { return false };
        inner.people[index].sessions -= 1;
        if inner.people[index].sessions > 0 {
            return false;
        }
        inner.people.remove(index);
        !std::mem::replace(&mut inner.presence.announcing, true)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.leave() {
            self.hub.announce(self.feed.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(max_bytes: usize) -> Feed {
        Feed::new(MissionId::fresh(), OrganizationId::fresh(), Uuid::nil(), 10, max_bytes)
    }

    fn events(reading: Reading) -> (u64, Vec<Bytes>) {
        match reading {
            Reading::Events { to, events } => (to, events),
            Reading::UpToDate => panic!("up to date"),
            Reading::Behind { head } => panic!("behind {head}"),
            Reading::Ended(fault) => panic!("ended: {fault}"),
        }
    }

    #[test]
    fn a_cursor_reads_on_from_where_it_is() {
        let feed = feed(1_000);
        assert!(matches!(feed.read(10, 100), Reading::UpToDate));
        feed.publish([Bytes::from("11"), Bytes::from("12"), Bytes::from("13")]);
        assert_eq!(events(feed.read(10, 100)), (13, vec!["11".into(), "12".into(), "13".into()]));
        assert_eq!(events(feed.read(11, 100)), (13, vec!["12".into(), "13".into()]));
        assert_eq!(events(feed.read(10, 4)), (12, vec!["11".into(), "12".into()]), "no more than asked for");
        assert_eq!(events(feed.read(10, 0)).0, 11, "and one at least");
        assert!(matches!(feed.read(13, 100), Reading::UpToDate));
    }

    #[test]
    fn the_ring_is_bounded_and_a_gap_is_told() {
        let feed = feed(4);
        feed.publish([Bytes::from("11"), Bytes::from("12"), Bytes::from("13")]);
        assert!(matches!(feed.read(10, 100), Reading::Behind { head: 13 }));
        assert_eq!(events(feed.read(11, 100)).0, 13);
        assert!(matches!(feed.read(3, 100), Reading::Behind { head: 13 }), "older than the feed itself");
        feed.skip_to(20);
        assert!(matches!(feed.read(13, 100), Reading::Behind { head: 20 }));
    }
}
