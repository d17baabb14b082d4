//! What the server sends unasked, and how it says goodbye.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    EventFrame, Timestamp,
    ids::UserId,
    model::Role,
    operations::{SessionOpened, Watching},
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
    /// The server failed in this session alone.
    Failed = 4011, "session failed";
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
            _ => return Ok(None),
        }))
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
        });
        insta::assert_json_snapshot!(MissionPresence {
            sub: "a".to_owned(),
            people: vec![Present {
                id: UserId(Uuid::from_u128(2)),
                name: "vera".to_owned(),
                role: Role::Viewer,
                since: Timestamp::from_millis(0),
            }],
            others: 0,
        });
    }
}
