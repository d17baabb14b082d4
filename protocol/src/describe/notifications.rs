//! Every notification that a server sends, with its shape and what it is for.

use schemars::{Schema, schema_for};

use crate::{
    notification::{
        Closing, HeartbeatNotice, INBOX_CHANGED, InboxChanged, MISSION_EVENTS, MISSION_LIVE, MISSION_PRESENCE,
        MISSION_WATCHING, MISSIONS_CHANGED, MissionEvents, MissionLive, MissionPresence, MissionsChanged,
        SESSION_CLOSING, SESSION_HEARTBEAT, SESSION_OPENED, WATCH_ENDED, WatchEnded,
    },
    operations::{SessionOpened, Watching},
};

/// A notification as a row of a table.
pub struct Announced {
    /// The name of the notification.
    pub method: &'static str,
    /// When it is sent, in a sentence.
    pub doc: &'static str,
    /// The JSON schema of its content.
    pub params: fn() -> Schema,
}

macro_rules! notifications {
    ($($(#[doc = $doc:literal])+ $method:ident($params:ty);)+) => {
        /// Every notification of a session.
        pub static NOTIFICATIONS: &[Announced] = &[
            $(Announced {
                method: $method,
                doc: concat!($($doc),+).trim_ascii(),
                params: || schema_for!($params),
            },)+
        ];
    };
}

notifications! {
    /// The session was opened by the socket's `Authorization` header.
    SESSION_OPENED(SessionOpened);
    /// The server is there.
    SESSION_HEARTBEAT(HeartbeatNotice);
    /// The server is about to close the socket.
    SESSION_CLOSING(Closing);
    /// The mission in the socket's path is watched now.
    MISSION_WATCHING(Watching);
    /// Something happened in a watched mission.
    MISSION_EVENTS(MissionEvents);
    /// Who is in a watched mission; each replaces the one before.
    MISSION_PRESENCE(MissionPresence);
    /// Something goes on in a watched mission that is never stored; a loss is always followed by one that is whole.
    MISSION_LIVE(MissionLive);
    /// A watched list of missions changed.
    MISSIONS_CHANGED(MissionsChanged);
    /// The watched inbox changed.
    INBOX_CHANGED(InboxChanged);
    /// The server ended a watch of whatever kind; the session goes on.
    WATCH_ENDED(WatchEnded);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Notice;

    #[test]
    fn clients_know_every_notification_and_each_stands_here_once() {
        for (i, announced) in NOTIFICATIONS.iter().enumerate() {
            // Nothing has no parameter at all, so that what is known is either read or refused.
            assert!(!matches!(Notice::read(announced.method, "{}"), Ok(None)), "{}", announced.method);
            assert!(NOTIFICATIONS[i + 1..].iter().all(|other| other.method != announced.method));
        }
    }
}
