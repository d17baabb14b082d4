//! A watcher: collects a mission's events as they came, and sees to it that none is missing and none comes twice.

use flightdeck_protocol::{
    EventFrame, MissionId,
    client::{Closed, Notices, Session},
    model::Mission,
    notification::{Closing, MISSION_EVENTS, Notice, Present},
    operations::{Position, Watch, WatchMission, Watching},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Member, Server, within};

/// A mission's events from the first on, each as the bytes that came.
type Log = Vec<String>;

/// Somebody who watches a mission.
pub(crate) struct Watcher {
    pub(crate) session: Session,
    notices: Notices,
    pub(crate) id: MissionId,
    pub(crate) epoch: Uuid,
    /// The position of the last event that came.
    pub(crate) seq: u64,
    /// What the watch began with.
    pub(crate) began: Watching,
    mission: Option<Mission>,
    events: Vec<EventFrame>,
    raw: Log,
    looked: usize,
    /// Who was here at the last word of it.
    pub(crate) present: Vec<Present>,
    /// What the server said before it closed.
    pub(crate) goodbye: Option<Closing>,
    /// Whether the socket ended.
    pub(crate) ended: bool,
}

#[derive(Deserialize)]
struct EventsFrame {
    params: RawEvents,
}

#[derive(Deserialize)]
struct RawEvents {
    sub: String,
    epoch: Uuid,
    from: u64,
    to: u64,
    events: Vec<Box<RawValue>>,
}

const SUB: &str = "watch";

impl Watcher {
    /// Watches from now on, beginning with a snapshot.
    pub(crate) async fn snapshot(server: &Server, who: &Member, mission: MissionId) -> Self {
        let (session, notices, began) = begin(server, who, mission, None).await;
        assert!(began.snapshot.is_some(), "a watch from nowhere begins with a snapshot");
        Self::over(session, notices, began)
    }

    /// Watches from the mission's first event on.
    pub(crate) async fn from_the_first(server: &Server, who: &Member, mission: MissionId) -> Self {
        let epoch = Self::snapshot(server, who, mission).await.epoch;
        let (session, notices, began) = begin(server, who, mission, Some(Position { epoch, seq: 0 })).await;
        assert!(began.resumed && began.snapshot.is_none() && began.seq == 0, "{began:?}");
        Self::over(session, notices, began)
    }

    /// A watch that stands already.
    pub(crate) fn over(session: Session, notices: Notices, began: Watching) -> Self {
        Self {
            session,
            notices,
            id: began.mission,
            epoch: began.epoch,
            seq: began.seq,
            mission: began.snapshot.clone(),
            began,
            events: Vec::new(),
            raw: Vec::new(),
            looked: 0,
            present: Vec::new(),
            goodbye: None,
            ended: false,
        }
    }

    /// Comes back where it was, on a new connection.
    pub(crate) async fn resume(&mut self, server: &Server, who: &Member) {
        let since = Position { epoch: self.epoch, seq: self.seq };
        let (session, notices, began) = begin(server, who, self.id, Some(since)).await;
        assert!(began.resumed, "the watcher could not go on from {since:?}: {:?}", began.reason);
        assert_eq!((began.epoch, began.seq), (self.epoch, self.seq));
        assert!(began.snapshot.is_none());
        (self.session, self.notices, self.began) = (session, notices, began);
        (self.goodbye, self.ended) = (None, false);
    }

    /// Takes the next notice; false when the socket has ended.
    pub(crate) async fn take(&mut self) -> bool {
        let Some(raw) = self.notices.next_raw().await else {
            self.ended = true;
            return false;
        };
        if raw.method().as_deref() == Some(MISSION_EVENTS) {
            self.take_events(raw.text());
            return true;
        }
        match raw.read().expect("a readable notice") {
            Some(Notice::Presence(presence)) => self.present = presence.people,
            Some(Notice::Closing(closing)) => self.goodbye = Some(closing),
            _ => {}
        }
        true
    }

    fn take_events(&mut self, text: &str) {
        let EventsFrame { params } = serde_json::from_str(text).expect("readable events");
        assert_eq!((params.sub.as_str(), params.epoch), (self.began.sub.as_str(), self.epoch));
        assert_eq!(params.from, self.seq + 1, "a gap or a repetition");
        assert_eq!(params.to - params.from + 1, params.events.len() as u64);
        for event in params.events {
            let frame: EventFrame = serde_json::from_str(event.get()).expect("a readable event");
            assert_eq!(frame.seq, self.seq + 1, "a gap or a repetition");
            self.seq = frame.seq;
            match &mut self.mission {
                Some(mission) => mission.apply(&frame),
                None => self.mission = Mission::created(self.id, &frame),
            }
            self.events.push(frame);
            self.raw.push(event.get().to_owned());
        }
    }

    /// Reads on until `found` finds something in what has come.
    async fn until<T>(&mut self, what: &str, mut found: impl FnMut(&mut Self) -> Option<T>) -> T {
        let began = std::time::Instant::now();
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let left = super::PATIENCE.saturating_sub(began.elapsed());
            match tokio::time::timeout(left, self.take()).await {
                Ok(true) => {}
                Ok(false) => panic!("{what}: the socket ended first: {:?}; {}", self.notices.closed(), self.tail()),
                Err(_) => panic!("{what}: it did not come in time; {}", self.tail()),
            }
        }
    }

    fn tail(&self) -> String {
        format!("the last events were\n{}", self.raw[self.raw.len().saturating_sub(12)..].join("\n"))
    }

    /// The first event after the one that was waited for last, that is as `wanted`.
    pub(crate) async fn event(&mut self, what: &str, wanted: impl Fn(&EventFrame) -> bool) -> EventFrame {
        self.until(what, |watcher| {
            while watcher.looked < watcher.events.len() {
                watcher.looked += 1;
                if wanted(&watcher.events[watcher.looked - 1]) {
                    return Some(watcher.events[watcher.looked - 1].clone());
                }
            }
            None
        })
        .await
    }

    /// Waits until the mission, as its events make it, is as `wanted`.
    pub(crate) async fn until_mission(&mut self, what: &str, wanted: impl Fn(&Mission) -> bool) {
        self.until(what, |watcher| watcher.mission.as_ref().is_some_and(&wanted).then_some(())).await;
    }

    /// Waits until the event `seq` has come.
    pub(crate) async fn reach(&mut self, seq: u64) {
        self.until(&format!("event {seq}"), |watcher| (watcher.seq >= seq).then_some(())).await;
    }

    /// Waits until those who are here are the people of these user names.
    pub(crate) async fn until_present(&mut self, names: &[&str]) {
        self.until(&format!("presence of {names:?}"), |watcher| {
            let mut present: Vec<&str> = watcher.present.iter().map(|person| person.name.as_str()).collect();
            present.sort_unstable();
            (present == names).then_some(())
        })
        .await;
    }

    /// Waits until the socket has ended, and says how.
    pub(crate) async fn until_closed(&mut self) -> Closed {
        within("the end of the socket", async { while self.take().await {} }).await;
        self.notices.closed().expect("a reason")
    }

    /// Reads until the socket ends, for as long as that takes; `saw` is shown what came.
    pub(crate) async fn drain(&mut self, mut saw: impl FnMut(&[EventFrame])) {
        let mut shown = self.events.len();
        while self.take().await {
            saw(&self.events[shown..]);
            shown = self.events.len();
        }
    }

    /// The mission as its events make it.
    pub(crate) fn mission(&self) -> &Mission {
        self.mission.as_ref().expect("a mission")
    }

    /// All events that came.
    pub(crate) fn events(&self) -> &[EventFrame] {
        &self.events
    }

    /// All events that came, as they came.
    pub(crate) fn raw(&self) -> &Log {
        &self.raw
    }
}

async fn begin(
    server: &Server,
    who: &Member,
    mission: MissionId,
    since: Option<Position>,
) -> (Session, Notices, Watching) {
    within("a watch", async {
        let (session, notices) = Session::connect(&server.url, Some(&who.token)).await.expect("a session");
        let watch = Watch::new(mission, SUB, since);
        let watching = session.call::<WatchMission>(watch).await.expect("a watch");
        (session, notices, watching)
    })
    .await
}

/// The mission's log as it is stored, read by a fresh watch from the first event to the newest.
pub(crate) async fn stored_log(server: &Server, who: &Member, mission: MissionId) -> Log {
    let mut watcher = Watcher::from_the_first(server, who, mission).await;
    watcher.reach(watcher.began.head).await;
    watcher.raw
}
