//! The way of news to watchers: feed, hub, outbox.
//!
//! A mission publishes into its [`Feed`], a bounded ring of encoded events. A
//! watcher holds no queue but a cursor into that ring, so it costs nothing to
//! be slow, and what has queued goes out together. Each socket thread has one
//! [`Hub`], woken once for all its watchers. An [`Outbox`] is a session's
//! outgoing side: answers, and [`Subscription`]s with something to read.
//!
//! Beside the events a feed has a lossy lane of what goes on and is never stored, and the circle of
//! people who watch. A watcher is given these once it has every event.
//!
//! Lists go the same way: a mission puts up what changed on its organization's
//! board, and a [`ListWatch`] is a cursor into that, with the few places that it shows.

mod alarm;
#[cfg(test)]
mod away;
mod batch;
mod board;
mod boards;
mod circle;
mod faults;
mod feed;
mod hub;
mod hubs;
mod lane;
#[cfg(test)]
mod list_proptests;
mod list_watch;
mod listeners;
mod lists;
mod mission_watch;
mod news;
mod outbox;
mod parting;
mod past;
mod presence;
mod ring;
mod room;
mod roster;
mod sharing;
mod subscription;
mod tails;
mod window;
mod words;

use bytes::Bytes;

pub use batch::Batch;
pub use board::{Change, Shown};
pub use boards::{Boards, Shelf, ShownMission};
pub use faults::{Harm, Plan};
pub use feed::{Feed, FeedBeginning, FeedRules, Reading, Retired};
pub use hub::{Hub, HubHandle, Seat};
pub use hubs::Hubs;
pub use lane::LiveNews;
pub use list_watch::{List, ListWatch, Reading as ListReading};
pub(crate) use lists::inboxes;
pub use lists::{InboxList, MissionList};
pub use mission_watch::MissionWatch;
pub use news::{Ends, News};
pub use outbox::{ANSWER_BYTES, ANSWER_MESSAGES, Outbox, OutboxView, Outgoing, Sent};
pub use parting::{Advice, Owed};
pub use past::Past;
pub use presence::{Place, Watcher};
pub use room::Room;
pub use roster::Roster;
pub use sharing::Shared;
pub use subscription::{Next, Source, Subscription, Topic};
pub use tails::Tail;

/// How the parameters of a watch's notifications begin: `{"sub":…,`.
fn frame_head(sub: &str) -> Bytes {
    format!("{{\"sub\":{},", serde_json::Value::from(sub)).into()
}
