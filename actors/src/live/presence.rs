//! Who watches a mission, and what they do there, as others are shown it.
//!
//! Changes are gathered and told as one notice, which replaces the one before: who does not read
//! gets the newest alone. The more watch, the longer they are gathered.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flightdeck_protocol::{
    StepId, Timestamp, UserId,
    model::{Person, Role},
    notification::{LiveItem, Present},
    operations::PresenceSet,
};
use serde_json::Value;

use super::{
    Feed,
    alarm::Alarm,
    circle::{Circle, TakenBack},
    feed::Inner,
    hub::HubHandle,
    lane::Gesture,
};

/// How long changes of presence are gathered at least before they are announced.
const GATHER: Duration = Duration::from_millis(100);
/// What each watcher adds to the time between two announcements: so that together they are sent some
/// 500 notices a second at most, and 500 people who come at once do not make 250,000 of them.
const SPACING: Duration = Duration::from_millis(2);
/// The longest time between two announcements.
const SPACING_MOST: Duration = Duration::from_secs(5);
/// How long somebody is shown typing who does not say so again.
const TYPING: Duration = Duration::from_secs(10);

/// The circle of people, and how far others know of it.
pub(super) struct Presence {
    pub(super) circle: Circle,
    /// The version of what was announced last; 0 where nothing was.
    version: u64,
    /// What was announced, as members of a notice.
    json: Bytes,
    announced: Option<Instant>,
    announcing: Alarm,
    letting_go: Alarm,
    taking_back: Alarm,
}

/// Somebody who watches, until it is dropped.
pub struct Watcher {
    place: Place,
}

/// A watch's place in the circle of people, from which its session says what the person does.
#[derive(Clone)]
pub struct Place {
    feed: Arc<Feed>,
    person: UserId,
    name: Arc<str>,
    tab: u64,
    hub: HubHandle,
}

impl Presence {
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            circle: Circle::new(grace),
            version: 0,
            json: Bytes::new(),
            announced: None,
            announcing: Alarm::default(),
            letting_go: Alarm::default(),
            taking_back: Alarm::default(),
        }
    }

    /// In how long what changed is to be announced.
    fn wait(&self, now: Instant) -> Duration {
        let tabs = u32::try_from(self.circle.tabs()).unwrap_or(u32::MAX);
        let spacing = SPACING.saturating_mul(tabs).min(SPACING_MOST);
        let due = self.announced.map_or(now, |then| then + spacing);
        due.saturating_duration_since(now).max(GATHER)
    }

    /// Everyone who is to be announced now. To be spelled out without the lock, and handed to [`Presence::tell`].
    fn announce(&mut self, now: Instant) -> (Vec<Present>, usize) {
        self.announced = Some(now);
        self.circle.show()
    }

    /// Takes the notice of those who were announced `then`; says whether it differs from the one before.
    fn tell(&mut self, then: Instant, json: String) -> bool {
        // Where others were announced since, their notice is the newer one.
        let differs = self.announced == Some(then) && self.json != json;
        if differs {
            self.json = json.into();
            self.version += 1;
        }
        differs
    }
}

impl Feed {
    /// The people who watch, as members of a notice, if that is newer than version `seen`.
    pub fn presence_after(&self, seen: u64) -> Option<(u64, Bytes)> {
        let inner = self.lock();
        let presence = &inner.presence;
        (presence.version > seen).then(|| (presence.version, presence.json.clone()))
    }

    /// Adds a watcher whose session lives on the thread of `hub`.
    /// `None` for a feed that has ended: the mission is to be found anew.
    pub fn attach(self: &Arc<Self>, person: &Person, hub: &HubHandle, now: Timestamp) -> Option<Watcher> {
        let mut inner = self.lock();
        if inner.ended.is_some() {
            return None;
        }
        inner.listeners.add(hub);
        let (tab, changed) = inner.presence.circle.join(person, now);
        if changed {
            self.announce_soon(&mut inner, hub);
        }
        let name = person.username.as_str().into();
        Some(Watcher { place: Place { feed: self.clone(), person: person.id, name, tab, hub: hub.clone() } })
    }

    /// Nobody is shown looking at a step of which `is_there` says no.
    pub fn look_away(self: &Arc<Self>, is_there: impl Fn(StepId) -> bool) {
        let mut inner = self.lock();
        if inner.presence.circle.look_away(is_there)
            && let Some(hub) = inner.listeners.any().cloned()
        {
            self.announce_soon(&mut inner, &hub);
        }
    }

    fn announce_soon(self: &Arc<Self>, inner: &mut Inner, hub: &HubHandle) {
        let now = Instant::now();
        let wait = inner.presence.wait(now);
        if inner.presence.announcing.set(now, wait) {
            let feed = self.clone();
            hub.later(wait, move || {
                let now = Instant::now();
                let (people, others) = {
                    let mut inner = feed.lock();
                    inner.presence.announcing.rang();
                    inner.presence.announce(now)
                };
                let people = serde_json::to_string(&people).unwrap_or_else(|_| "[]".to_owned());
                let json = format!("\"people\":{people},\"others\":{others}");
                let mut inner = feed.lock();
                if inner.presence.tell(now, json) {
                    inner.listeners.wake(feed.topic());
                }
            });
        }
    }

    /// Comes back when the next one's grace is over.
    fn let_go_later(self: &Arc<Self>, inner: &mut Inner, hub: &HubHandle) {
        let (Some(until), now) = (inner.presence.circle.lingers_until(), Instant::now()) else { return };
        let wait = until.saturating_duration_since(now);
        if inner.presence.letting_go.set(now, wait) {
            let (feed, hub) = (self.clone(), hub.clone());
            hub.clone().later(wait, move || {
                let mut inner = feed.lock();
                inner.presence.letting_go.rang();
                if inner.presence.circle.let_go(Instant::now()) {
                    feed.announce_soon(&mut inner, &hub);
                }
                feed.let_go_later(&mut inner, &hub);
            });
        }
    }

    /// Comes back when somebody has not said for long enough that they type.
    fn take_back_later(self: &Arc<Self>, inner: &mut Inner, hub: &HubHandle) {
        let (Some(until), now) = (inner.presence.circle.on_until(), Instant::now()) else { return };
        let wait = until.saturating_duration_since(now);
        if inner.presence.taking_back.set(now, wait) {
            let (feed, hub) = (self.clone(), hub.clone());
            hub.clone().later(wait, move || {
                let mut inner = feed.lock();
                inner.presence.taking_back.rang();
                let over = inner.presence.circle.take_back(Instant::now());
                feed.take_back(&mut inner, over);
                feed.take_back_later(&mut inner, &hub);
            });
        }
    }

    fn take_back(self: &Arc<Self>, inner: &mut Inner, over: TakenBack) {
        for whose in over {
            inner.lane.sign(whose, None, String::new);
        }
        self.roll(inner);
    }
}

impl Watcher {
    /// What is watched.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.place.feed
    }

    /// From where its session says what the person does.
    pub fn place(&self) -> &Place {
        &self.place
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let Place { feed, person, tab, hub, .. } = &self.place;
        let mut inner = feed.lock();
        inner.listeners.remove(hub);
        let over = inner.presence.circle.leave(*person, *tab, Instant::now());
        feed.take_back(&mut inner, over);
        feed.let_go_later(&mut inner, hub);
    }
}

impl Place {
    /// What is watched.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// A number for what is said now: what is said later has a greater one.
    pub fn word(&self) -> u64 {
        self.feed.lock().presence.circle.word()
    }

    /// Shows others that the person has another role.
    pub fn has_role(&self, role: Role) {
        let mut inner = self.feed.lock();
        if inner.presence.circle.take_role(self.person, role) {
            self.feed.announce_soon(&mut inner, &self.hub);
        }
    }

    /// Shows others what was said as word number `said`, and has been found good.
    pub fn show(&self, said: u64, what: &PresenceSet) {
        let typing = what.typing.map(|on| (on, [on, false].map(|on| self.typing(on))));
        let cursor =
            what.cursor.as_ref().map(|at| (!at.is_null(), [at, &Value::Null].map(|at| self.cursor(at.clone()))));
        let mut inner = self.feed.lock();
        let circle = &mut inner.presence.circle;
        let mut changed = false;
        if let Some(looks_at) = what.looks_at {
            changed |= circle.look(self.person, self.tab, said, looks_at);
        }
        if let Some(seq) = what.seen_seq {
            changed |= circle.see(self.person, self.tab, seq);
        }
        if changed {
            self.feed.announce_soon(&mut inner, &self.hub);
        }
        if let Some((on, spelled)) = typing {
            let until = on.then(|| Instant::now() + TYPING);
            self.gesture(&mut inner, (Gesture::Typing, said), (on, spelled), until);
            self.feed.take_back_later(&mut inner, &self.hub);
        }
        if let Some((on, spelled)) = cursor {
            self.gesture(&mut inner, (Gesture::Cursor, said), (on, spelled), None);
        }
        self.feed.roll(&mut inner);
    }

    /// What says so, and what takes it back, is spelled out already.
    fn gesture(
        &self,
        inner: &mut Inner,
        (gesture, said): (Gesture, u64),
        (on, [item, off]): (bool, [String; 2]),
        until: Option<Instant>,
    ) {
        let whose = (self.person, gesture);
        if inner.presence.circle.gesture(whose, self.tab, said, on, until) {
            inner.lane.sign(whose, on.then_some(item), || off);
        }
    }

    fn typing(&self, on: bool) -> String {
        spelled(&LiveItem::Typing { user: self.person, name: self.name.to_string(), on })
    }

    fn cursor(&self, at: Value) -> String {
        spelled(&LiveItem::Cursor { user: self.person, name: self.name.to_string(), at })
    }
}

fn spelled(item: &LiveItem) -> String {
    serde_json::to_string(item).unwrap_or_else(|_| "null".to_owned())
}
