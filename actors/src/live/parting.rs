//! A goodbye in good order: said once everything that is under way for the session was sent.

use std::rc::Rc;

use flightdeck_protocol::notification::{Close, Closing};

use super::Outbox;

/// When a session is to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Not before this time, in milliseconds.
    pub after_ms: u64,
    /// At a moment of its own choice within this time from then on, in milliseconds.
    pub jitter_ms: u64,
}

impl Advice {
    /// The notice that gives it.
    pub(super) fn notice(self, close: Close) -> Closing {
        Closing { reconnect_after_ms: Some(self.after_ms), jitter_ms: Some(self.jitter_ms), ..close.notice() }
    }
}

/// A request whose answer is still to come: while this is there, a session that parts waits for it.
pub struct Owed(Rc<Outbox>);

impl Owed {
    pub(super) fn new(outbox: Rc<Outbox>) -> Self {
        Self(outbox)
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.is_answered();
    }
}
