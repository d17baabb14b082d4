//! What the watch knows: the mission, who is there, what happened lately, and how the connection is.

use std::{collections::VecDeque, time::Duration};

use flightdeck_protocol::{
    Event, EventFrame, MissionId, Timestamp,
    client::{Followed, Live},
    model::{Mission, MissionStatus},
    notification::Present,
};
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::{
    Since,
    describe::{activity_style, describe, tone},
    style::Style,
};

/// How many entries the feed keeps.
const FEED: usize = 200;

/// How the connection is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Link {
    /// The first connection is being made.
    Connecting,
    /// Everything that happens comes in.
    Live,
    /// The connection was lost, and the next is tried at the given time.
    Lost { why: String, next: Timestamp },
}

/// An entry of the feed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    pub(super) author: String,
    pub(super) style: Style,
    pub(super) text: String,
}

/// Everything that is drawn.
pub(super) struct View {
    pub(super) id: MissionId,
    pub(super) mission: Option<Mission>,
    pub(super) people: Vec<Present>,
    /// How many more there are than could be named.
    pub(super) others: u32,
    /// What is being said, and who is writing.
    pub(super) live: Live,
    pub(super) feed: VecDeque<Entry>,
    pub(super) link: Link,
    /// What came after this is new to whoever watches.
    pub(super) new_since: Option<u64>,
    /// Something to know about how the watch went.
    pub(super) remark: Option<String>,
    pub(super) deleted: bool,
    pub(super) now: Timestamp,
    pub(super) zone: TimeZone,
    since: Option<Since>,
}

impl View {
    /// Nothing is known yet. What comes after `since` will be marked as new.
    pub(super) fn new(id: MissionId, zone: TimeZone, since: Option<Since>) -> Self {
        Self {
            id,
            mission: None,
            people: Vec::new(),
            others: 0,
            live: Live::default(),
            feed: VecDeque::new(),
            link: Link::Connecting,
            new_since: None,
            remark: None,
            deleted: false,
            now: Timestamp::now(),
            zone,
            since,
        }
    }

    /// Takes in what following the mission gave. `epoch` is the one that positions count in now.
    pub(super) fn take(&mut self, followed: Followed, epoch: Option<Uuid>) {
        match followed {
            Followed::Connected { reason, .. } => {
                self.link = Link::Live;
                // A text that broke off while nothing was heard would stand there for ever.
                self.live = Live::default();
                self.remark = reason.map(|reason| format!("taken up afresh ({reason})"));
            }
            Followed::Snapshot(mission) => {
                if let Some(since) = self.since.take() {
                    let same = since.epoch.is_none() || since.epoch == epoch;
                    self.new_since = same.then_some(since.seq);
                    if !same {
                        self.remark = Some("the history was replaced since you left".to_owned());
                    }
                }
                self.snapshot(*mission);
            }
            Followed::Events(events) => events.iter().for_each(|frame| self.event(frame)),
            Followed::Skipped(span) => {
                if let Some(mission) = &mut self.mission {
                    mission.skip(span);
                }
            }
            Followed::Presence(presence) => (self.people, self.others) = (presence.people, presence.others),
            Followed::Live(live) => self.live.apply(&live),
            Followed::Disconnected { why, retry_in } => {
                let wait = i64::try_from(retry_in.as_millis()).unwrap_or(0);
                self.link = Link::Lost { why, next: self.now.plus_millis(wait) };
                (self.people, self.others) = (Vec::new(), 0);
                self.live.typing.clear();
            }
            Followed::Ended(_) => {}
        }
    }

    /// Starts over from the mission as it is.
    pub(super) fn snapshot(&mut self, mission: Mission) {
        let activity = mission.activity.iter().map(|activity| Entry {
            seq: activity.seq,
            at: activity.at,
            author: activity.by.name().to_owned(),
            style: activity_style(activity.activity_type),
            text: activity.message.clone(),
        });
        let messages = mission.messages.iter().map(|message| Entry {
            seq: message.seq,
            at: message.at,
            author: message.by.name().to_owned(),
            style: Style::Said,
            text: format!("says: {}", message.text),
        });
        let mut feed: Vec<Entry> = activity.chain(messages).collect();
        feed.sort_by_key(|entry| entry.seq);
        self.feed = feed.into();
        self.mission = Some(mission);
    }

    fn event(&mut self, frame: &EventFrame) {
        self.live.settle(frame);
        // The words come first: a step that is removed has its title until then.
        if let Some(style) = tone(&frame.event) {
            let text = match &frame.event {
                Event::ActivityLogged { message, .. } => message.clone(),
                event => describe(event, self.mission.as_ref()),
            };
            let author = frame.by.name().to_owned();
            self.feed.push_back(Entry { seq: frame.seq, at: frame.at, author, style, text });
            if self.feed.len() > FEED {
                self.feed.pop_front();
            }
        }
        self.deleted |= frame.event == Event::MissionDeleted;
        if let Some(mission) = &mut self.mission {
            mission.apply(frame);
        }
    }

    /// The status in which the mission has ended, if it has.
    pub(super) fn ended(&self) -> Option<MissionStatus> {
        self.mission.as_ref().map(|mission| mission.status).filter(|status| status.is_ended())
    }

    /// How long until the next attempt to connect.
    pub(super) fn wait(&self) -> Duration {
        match &self.link {
            Link::Lost { next, .. } => {
                Duration::from_millis(u64::try_from(next.as_millis() - self.now.as_millis()).unwrap_or(0))
            }
            _ => Duration::ZERO,
        }
    }
}
