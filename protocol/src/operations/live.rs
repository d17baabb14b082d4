//! Parameters and answers about sessions and watching.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    Timestamp,
    ids::{ConnectionId, MissionId, SessionId},
    model::{Mission, Person},
};

/// Who opens the session.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionOpen {
    /// An access token. May be left out if the socket came with an `Authorization` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// The session is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionOpened {
    /// This connection, of the sign-in's maybe many.
    pub connection: ConnectionId,
    /// The sign-in that the session belongs to.
    pub session: SessionId,
    /// Who is signed in.
    pub user: Person,
    /// When the access token expires; renew before, or the session ends.
    pub expires_at: Timestamp,
    /// What the session may do at most.
    pub limits: Limits,
    /// How both sides know that the other is there.
    pub heartbeat: Heartbeat,
    /// The protocol: `flightdeck.v1`.
    pub profile: String,
    /// The server's version.
    pub server: String,
}

/// What a session may do at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// The size of a message from the client, in bytes.
    pub message_bytes: u32,
    /// Watches at once.
    pub subscriptions: u32,
    /// Requests that wait for an answer at once.
    pub requests_in_flight: u32,
    /// Events in a gap that a resume is given one by one; beyond that it gets a snapshot.
    pub resume_events: u64,
    /// The same in bytes, by what the mission's events take on average.
    pub resume_bytes: u64,
    /// Bytes of answers that wait for a client that does not read; beyond that, and with more than one of them, the
    /// session is closed as too slow (4013). What it watches does not count: that waits where it is kept. Nor do
    /// answers to what only reads and the beginnings of watches: they are made as there is room for them.
    pub outbox_bytes: u64,
    /// The same in messages.
    pub outbox_messages: u32,
    /// Live sessions of one person at once.
    pub sessions: u32,
    /// Sockets of all clients at once that have not said who they are.
    pub unnamed_sockets: u32,
    /// How long a socket may take to say who it is, in milliseconds.
    pub open_timeout_ms: u64,
    /// Sockets of all clients that are let in a second, over time.
    pub openings_per_second: u32,
    /// The same at once, after a quiet time.
    pub opening_burst: u32,
    /// Requests a second, over time; `session.ping` and notifications of the client count too.
    pub commands_per_second: u32,
    /// Requests at once from a session that was quiet.
    pub command_burst: u32,
    /// Calls with `idem` of one person that are remembered, each for 24 hours; where there would be more, the
    /// oldest are forgotten.
    pub idem_calls: u32,
    /// The shortest time between two rolled-up pieces of live text of a mission, in milliseconds.
    pub live_interval_ms: u32,
    /// Missions or items in one live list.
    pub list_items: u32,
}

/// How both sides know that the other is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {
    /// How often the server sends `session.heartbeat`, in milliseconds.
    pub interval_ms: u64,
    /// How long a client may be silent before it is dropped, in milliseconds; any frame counts.
    pub timeout_ms: u64,
}

/// A newer token.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionRenew {
    /// An access token of the same person.
    pub token: String,
}

/// The session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRenewed {
    /// When the newer token expires.
    pub expires_at: Timestamp,
}

/// The server is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PingReply {
    /// The server's time.
    pub at: Timestamp,
}

/// A position in a mission's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The history that `seq` counts in. It changes only when history was lost or replaced.
    pub epoch: Uuid,
    /// The last event that the client has; 0 for none.
    pub seq: u64,
}

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// The mission.
    pub mission: MissionId,
    /// The client's own name for this watch, 1 to 64 characters: notifications carry it.
    pub sub: String,
    /// Where the client is; without it the answer has a snapshot.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub since: Option<Position>,
    /// Whether to send `mission.live`.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub live: bool,
    /// Whether to send `mission.presence`. Who watches is seen by others in any case.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub presence: bool,
    /// What becomes of the log while the watch is far behind.
    #[serde(default, skip_serializing_if = "Logs::is_every")]
    pub logs: Logs,
}

impl Watch {
    /// Watches `mission` under the name `sub`, from `since` on.
    pub fn new(mission: MissionId, sub: impl Into<String>, since: Option<Position>) -> Self {
        Self { mission, sub: sub.into(), since, live: true, presence: true, logs: Logs::Every }
    }
}

/// What becomes of log activities while a watch is far behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Logs {
    /// All of them are sent, however long it takes.
    #[default]
    Every,
    /// With more than 256 events or 256 KiB to come, activities of the types `info` and `log` are left out
    /// unless they are among the 50 newest activities, and the frame says which (`skipped`).
    Coalesced,
}

impl Logs {
    fn is_every(&self) -> bool {
        *self == Self::Every
    }
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_yes(value: &bool) -> bool {
    *value
}

/// A position with its parts by name: derived code would take them in a list as well.
fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Position>, D::Error> {
    let parts = Option::<Map<String, Value>>::deserialize(deserializer)?;
    parts.map(|parts| serde_json::from_value(Value::Object(parts))).transpose().map_err(D::Error::custom)
}

/// The watch stands. Every event after `seq` follows, in order, each once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(bound(deserialize = "M: Deserialize<'de>"))]
pub struct Watching<M = Mission> {
    /// The client's name for the watch.
    pub sub: String,
    /// The mission.
    pub mission: MissionId,
    /// The history that `seq` counts in.
    pub epoch: Uuid,
    /// The position of the snapshot, or that of `since` when it resumed.
    pub seq: u64,
    /// The position of the mission's newest event now.
    pub head: u64,
    /// Whether it goes on from `since`.
    pub resumed: bool,
    /// Why it could not go on from `since`: `epoch_changed`, `ahead_of_history`, `gap_too_long` (in events) or `gap_too_large` (in bytes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The mission at `seq`, unless it resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<M>,
}

/// Which watch to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unwatch {
    /// The client's name for the watch.
    pub sub: String,
}

impl std::fmt::Debug for SessionOpen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionOpen { .. }")
    }
}

impl std::fmt::Debug for SessionRenew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionRenew { .. }")
    }
}
