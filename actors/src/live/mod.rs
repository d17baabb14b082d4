//! The way of an event to its watchers: feed, hub, outbox.
//!
//! A mission publishes into its [`Feed`], a bounded ring of encoded events. A
//! watcher holds no queue but a cursor into that ring, so it costs nothing to
//! be slow, and what has queued goes out together. Each socket thread has one
//! [`Hub`], woken once for all its watchers. An [`Outbox`] is a session's
//! outgoing side: answers, and cursors with something to read.

mod feed;
mod hub;
mod outbox;

pub use feed::{Feed, Reading, Watcher};
pub use hub::{Hub, HubHandle};
pub use outbox::{Outbox, Outgoing};
