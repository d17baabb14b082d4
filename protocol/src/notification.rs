//! What the server sends unasked, and how it says goodbye.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    EventFrame, Fault, Timestamp,
    ids::{MissionId, UserId},
    model::{Author, InboxItem, MissionSummary, Role},
    operations::{LooksAt, SessionOpened, Watching},
};

/// The session was opened by the socket's `Authorization` header: a [`SessionOpened`].
pub const SESSION_OPENED: &str = "session.opened";
/// The server is there: a [`HeartbeatNotice`].
pub const SESSION_HEARTBEAT: &str = "session.heartbeat";
/// The server is about to close the socket: a [`Closing`].
pub const SESSION_CLOSING: &str = "session.closing";
/// The mission in the socket's path is watched now: a [`Watching`].
pub const MISSION_WATCHING: &str = "mission.watching";
/// Something happened in a watched mission: [`MissionEvents`].
pub const MISSION_EVENTS: &str = "mission.events";
/// Who is in a watched mission: [`MissionPresence`].
pub const MISSION_PRESENCE: &str = "mission.presence";
/// What goes on in a watched mission and is never stored: [`MissionLive`].
pub const MISSION_LIVE: &str = "mission.live";
/// A watched list of missions changed: [`MissionsChanged`].
pub const MISSIONS_CHANGED: &str = "missions.changed";
/// The watched inbox changed: [`InboxChanged`].
pub const INBOX_CHANGED: &str = "inbox.changed";
/// The server ended a watch of whatever kind: [`WatchEnded`].
pub const WATCH_ENDED: &str = "watch.ended";

/// Events of a watched mission, in order; a burst comes as one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MissionEvents {
    /// The client's name for the watch.
    pub sub: String,
    /// The history that the positions count in.
    pub epoch: Uuid,
    /// The position of the first event.
    pub from: u64,
    /// The position of the last event.
    pub to: u64,
    /// The events.
    pub events: Vec<EventFrame>,
    /// What was left out of `events` on the wish of the watch: log entries alone, each range in its place
    /// between them. Each counts in a mission's `activity_count`; none is among the activities that a
    /// mission carries with it. See [`Logs`](crate::operations::Logs).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Span>,
}

/// Some events in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// The position of the first.
    pub from: u64,
    /// The position of the last.
    pub to: u64,
}

/// Who watches a mission now. Never stored; each notice replaces the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MissionPresence {
    /// The client's name for the watch.
    pub sub: String,
    /// Everyone who is there, each once, however many windows they have open.
    pub people: Vec<Present>,
    /// How many more there are, where there are too many to name.
    #[serde(default)]
    pub others: u32,
}

/// Somebody who is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Present {
    /// Who.
    pub id: UserId,
    /// The user name.
    pub name: String,
    /// The role.
    pub role: Role,
    /// Since when.
    pub since: Timestamp,
    /// What the person looks at, where a client said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks_at: Option<LooksAt>,
    /// The position up to which the person has seen the mission, where a client said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_seq: Option<u64>,
}

/// What goes on in a watched mission and is never stored. May be rolled up or lost; a loss is
/// always followed by one that is `whole`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MissionLive {
    /// The client's name for the watch.
    pub sub: String,
    /// True: these items are all there is, forget what was known. False: they come on top.
    pub whole: bool,
    /// The items, in order.
    pub items: Vec<LiveItem>,
}

/// Something that goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LiveItem {
    /// The agent is saying something. Its text follows on what came before of the stream; in a
    /// notice that is whole it is all that was said so far.
    Text {
        /// The agent's name for it.
        stream: String,
        /// Who.
        by: Author,
        /// The words.
        text: String,
    },
    /// What was being said is over: the whole text came as an event, or it broke off.
    TextEnd {
        /// The agent's name for it.
        stream: String,
    },
    /// Somebody is writing, or no longer.
    Typing {
        /// Who.
        user: UserId,
        /// The user name.
        name: String,
        /// Whether they are.
        on: bool,
    },
    /// Somebody points at something.
    Cursor {
        /// Who.
        user: UserId,
        /// The user name.
        name: String,
        /// Where, in the clients' own terms; null: nowhere any more.
        at: Value,
    },
}

/// A watched list of missions changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MissionsChanged {
    /// The client's name for the watch.
    pub sub: String,
    /// True: forget the list, the changes make all of it.
    pub reset: bool,
    /// What changed.
    pub changes: Vec<MissionChange>,
}

/// One change of a list of missions.
#[expect(clippy::large_enum_variant, reason = "most changes put one")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum MissionChange {
    /// A mission is in the list, and looks like this.
    Put {
        /// The mission.
        mission: MissionSummary,
    },
    /// A mission is not in the list any more.
    Remove {
        /// The mission.
        id: MissionId,
    },
}

/// The watched inbox changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InboxChanged {
    /// The client's name for the watch.
    pub sub: String,
    /// True: forget the inbox, the changes make all of it.
    pub reset: bool,
    /// What changed.
    pub changes: Vec<InboxChange>,
}

/// One change of an inbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum InboxChange {
    /// An item is in the inbox, and looks like this.
    Put {
        /// The item.
        item: InboxItem,
    },
    /// An item is not in the inbox any more.
    Remove {
        /// The item's id.
        id: Uuid,
    },
}

/// The server ended a watch; nothing follows for it, and the session goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WatchEnded {
    /// The client's name for the watch.
    pub sub: String,
    /// Why. One that is temporary can be watched again.
    pub error: Fault,
}

/// The server is there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeartbeatNotice {
    /// The server's time.
    pub at: Timestamp,
}

/// Said before the socket is closed, where there is time for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Closing {
    /// The close code that follows.
    pub code: u16,
    /// Why, in a word or two.
    pub reason: String,
    /// When to come back, in milliseconds; absent: do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconnect_after_ms: Option<u64>,
    /// Add a random part of up to this many milliseconds to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<u64>,
}

macro_rules! close_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $reason:literal;)+) => {
        /// Why the server closes a socket: 4000 to 4499 come back, 4500 to 4999 do not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Close {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Close {
            /// Every reason.
            pub const ALL: &'static [Close] = &[$(Close::$variant),+];

            /// The WebSocket close code (RFC 6455, section 7.4).
            pub fn code(self) -> u16 {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The reason in a few words: 32 bytes at most.
            pub fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason,)+ }
            }

            /// What it means, in a sentence.
            pub fn doc(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

close_codes! {
    /// The server stops; its next run, or its successor, goes on.
    Restarting = 4000, "server restarting";
    /// The access token ran out; get another and come back.
    TokenExpired = 4001, "token expired";
    /// Nothing was heard from the client for too long.
    Silent = 4008, "silent for too long";
    /// The client does not read what it asked for.
    TooSlow = 4013, "too slow";
    /// No valid `session.open` came in time.
    OpenTimeout = 4508, "not opened in time";
    /// The sign-in has ended, or its owner may not be here any more.
    Revoked = 4501, "sign-in ended";
    /// The client sent what is no text of the WebSocket protocol.
    Malformed = 4502, "malformed frame";
    /// A message was over the limit that the opening reply states.
    MessageTooLarge = 4509, "message too large";
}

impl Close {
    /// The notice that goes before the close frame.
    pub fn notice(self) -> Closing {
        let come_back = self.code() < 4500;
        Closing {
            code: self.code(),
            reason: self.reason().to_owned(),
            reconnect_after_ms: come_back.then_some(500),
            jitter_ms: come_back.then_some(2_000),
        }
    }
}

/// A notification as a client reads it.
#[expect(clippy::large_enum_variant, reason = "notices are read one at a time and not kept")]
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The session is open.
    Opened(SessionOpened),
    /// The server is there.
    Heartbeat(HeartbeatNotice),
    /// The socket is about to close.
    Closing(Closing),
    /// The mission in the path is watched.
    Watching(Watching),
    /// Something happened.
    Events(MissionEvents),
    /// Who is there.
    Presence(MissionPresence),
    /// What goes on.
    Live(MissionLive),
    /// A list of missions changed.
    Missions(MissionsChanged),
    /// The inbox changed.
    Inbox(InboxChanged),
    /// A watch was ended.
    WatchEnded(WatchEnded),
}

impl Notice {
    /// Reads the notification `method`; `None` for one that this version does not know.
    ///
    /// # Errors
    /// What serde says when `params` is not what `method` has.
    pub fn read(method: &str, params: &str) -> Result<Option<Self>, serde_json::Error> {
        Ok(Some(match method {
            SESSION_OPENED => Self::Opened(serde_json::from_str(params)?),
            SESSION_HEARTBEAT => Self::Heartbeat(serde_json::from_str(params)?),
            SESSION_CLOSING => Self::Closing(serde_json::from_str(params)?),
            MISSION_WATCHING => Self::Watching(serde_json::from_str(params)?),
            MISSION_EVENTS => Self::Events(serde_json::from_str(params)?),
            MISSION_PRESENCE => Self::Presence(serde_json::from_str(params)?),
            MISSION_LIVE => Self::Live(serde_json::from_str(params)?),
            MISSIONS_CHANGED => Self::Missions(serde_json::from_str(params)?),
            INBOX_CHANGED => Self::Inbox(serde_json::from_str(params)?),
            WATCH_ENDED => Self::WatchEnded(serde_json::from_str(params)?),
            _ => return Ok(None),
        }))
    }

    /// The client's name for the watch that it is about, if it is about one.
    pub fn sub(&self) -> Option<&str> {
        match self {
            Self::Opened(_) | Self::Heartbeat(_) | Self::Closing(_) => None,
            Self::Watching(watching) => Some(&watching.sub),
            Self::Events(events) => Some(&events.sub),
            Self::Presence(presence) => Some(&presence.sub),
            Self::Live(live) => Some(&live.sub),
            Self::Missions(missions) => Some(&missions.sub),
            Self::Inbox(inbox) => Some(&inbox.sub),
            Self::WatchEnded(ended) => Some(&ended.sub),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goodbyes_on_the_wire() {
        let notices: Vec<Closing> = Close::ALL.iter().map(|close| close.notice()).collect();
        assert!(notices.iter().all(|notice| notice.reason.len() <= 32));
        insta::assert_json_snapshot!(notices);
    }

    #[test]
    fn notices_on_the_wire() {
        insta::assert_json_snapshot!(MissionEvents {
            sub: "a".to_owned(),
            epoch: Uuid::from_u128(1),
            from: 3,
            to: 3,
            events: vec![EventFrame {
                seq: 3,
                at: Timestamp::from_millis(0),
                by: crate::model::Author::System,
                cause: None,
                event: crate::Event::ProgressReported { percent: 10 },
            }],
            skipped: Vec::new(),
        });
        insta::assert_json_snapshot!(MissionPresence {
            sub: "a".to_owned(),
            people: vec![Present {
                id: UserId(Uuid::from_u128(2)),
                name: "vera".to_owned(),
                role: Role::Viewer,
                since: Timestamp::from_millis(0),
                looks_at: Some(LooksAt { step: Some(Uuid::from_u128(3).into()), document: None }),
                seen_seq: Some(7),
            }],
            others: 0,
        });
        let user = UserId(Uuid::from_u128(2));
        insta::assert_json_snapshot!(MissionLive {
            sub: "a".to_owned(),
            whole: true,
            items: vec![
                LiveItem::Text { stream: "answer".to_owned(), by: Author::System, text: "Dear".to_owned() },
                LiveItem::TextEnd { stream: "answer".to_owned() },
                LiveItem::Typing { user, name: "vera".to_owned(), on: true },
                LiveItem::Cursor { user, name: "vera".to_owned(), at: Value::Null },
            ],
        });
        insta::assert_json_snapshot!(MissionsChanged {
            sub: "a".to_owned(),
            reset: false,
            changes: vec![MissionChange::Remove { id: Uuid::from_u128(4).into() }],
        });
        insta::assert_json_snapshot!(InboxChanged {
            sub: "a".to_owned(),
            reset: true,
            changes: vec![InboxChange::Remove { id: Uuid::from_u128(4) }],
        });
        insta::assert_json_snapshot!(WatchEnded {
            sub: "a".to_owned(),
            error: Fault::new(crate::Code::MissionNotFound, "the mission was deleted"),
        });
    }
}
