//! What the harness and the client under test say to each other: one JSON object a line. README.md has it in words.

use flightdeck_protocol::MissionId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// What the harness tells the client under test, on its standard input.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Order {
    /// Watch the mission, from now on.
    Begin {
        /// Where the server is; it stays the same over restarts.
        url: String,
        /// An access token.
        token: String,
        /// What to watch.
        mission: MissionId,
        /// Which list of missions is to be watched as well, as the parameters of `missions.watch` without `sub`; none where null.
        missions: Option<Value>,
        /// Whether the inbox is to be watched as well.
        inbox: bool,
    },
    /// Let go of the mission.
    Unwatch,
    /// Watch the mission again.
    Watch,
    /// Call `message.send` for the mission, once, however long it takes.
    Send {
        /// To be repeated in the answer.
        id: u64,
        /// The message.
        text: String,
    },
    /// The token that was asked for; none can be had now where it is null.
    Token {
        /// It.
        token: Option<String>,
    },
    /// Say what the library takes for the state of the mission.
    State {
        /// To be repeated in the answer.
        id: u64,
    },
    /// It is over.
    Stop,
}

/// What the client under test says, on its standard output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "snake_case")]
pub(crate) enum Word {
    /// The first line.
    Hello {
        /// The library's name.
        library: String,
        /// What it can beside watching one mission: `missions`, `inbox`, `unwatch`, `send`.
        #[serde(default)]
        can: Vec<String>,
    },
    /// The library wants another access token.
    NeedsToken,
    /// The library replaced its state.
    Snapshot {
        /// The history that `seq` counts in.
        epoch: Uuid,
        /// The position of the new state.
        seq: u64,
    },
    /// The library handed an event to the application.
    Event {
        /// The history that `seq` counts in.
        epoch: Uuid,
        /// The event's position.
        seq: u64,
    },
    /// The answer to [`Order::State`].
    State {
        /// As in the order.
        id: u64,
        /// The mission as `mission.get` has it; null where the library has none.
        mission: Option<Value>,
    },
    /// The list of missions, as the library has it now.
    Missions {
        /// Their ids, in order.
        ids: Vec<MissionId>,
    },
    /// The inbox, as the library has it now.
    Inbox {
        /// The ids of the items, in order.
        ids: Vec<Uuid>,
    },
    /// The mission is let go of: nothing of it follows.
    Unwatched,
    /// The mission is watched again from here on.
    Watching,
    /// The answer to [`Order::Send`].
    Sent {
        /// As in the order.
        id: u64,
        /// What the library has as the answer's `seq`.
        seq: u64,
    },
    /// The library gave up on [`Order::Send`].
    Unsent {
        /// As in the order.
        id: u64,
        /// Why, in words.
        why: String,
    },
    /// The library says that the watch is over, and will not come back.
    Ended {
        /// Why, in words.
        why: String,
    },
}
