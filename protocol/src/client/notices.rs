//! What the server sends unasked, in a queue with a bound.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    ClientError, Closed, frame,
    wire::{Outgoing, Shared},
};
use crate::notification::Notice;

/// What the server sends unasked.
///
/// The queue holds [`Options::queue`](super::Options::queue) frames. When it is
/// full the socket is not read any more, answers included, until there is
/// room: the server then sees a slow client. So do not wait for an answer on
/// the task that reads these while a watch is running. Dropping this while a
/// [`Session`](super::Session) is left lets the session go on and throws the
/// notices away.
pub struct Notices {
    pub(super) queue: mpsc::Receiver<Utf8Bytes>,
    pub(super) shared: Arc<Shared>,
    /// Keeps the socket open while this is there.
    pub(super) _out: mpsc::Sender<Outgoing>,
}

impl Notices {
    /// The next notice; `None` when the session has ended.
    ///
    /// Kinds that this version does not know are passed over, and so is what
    /// cannot be read: use [`Notices::next_raw`] to see it.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            if let Ok(Some(notice)) = self.next_raw().await?.read() {
                return Some(notice);
            }
        }
    }

    /// The next frame that answers no request of this session, unread; `None` when the session has ended.
    pub async fn next_raw(&mut self) -> Option<RawNotice> {
        self.queue.recv().await.map(|text| RawNotice { text })
    }

    /// How the session ended, once it has.
    pub fn closed(&self) -> Option<Closed> {
        self.shared.closed()
    }
}

/// A frame of the server that answers no request, as it came.
#[derive(Clone, Debug)]
pub struct RawNotice {
    text: Utf8Bytes,
}

impl RawNotice {
    /// The frame's text.
    pub fn text(&self) -> &str {
        self.text.as_str()
    }

    /// The notification's name; `None` if the frame is none. Cheap: the content is not read.
    pub fn method(&self) -> Option<std::borrow::Cow<'_, str>> {
        frame::method(&self.text)
    }

    /// Reads the frame; `None` for a kind of notification that this version does not know.
    ///
    /// # Errors
    /// [`ClientError::Unreadable`] if it is not what a notification of its name holds.
    pub fn read(&self) -> Result<Option<Notice>, ClientError> {
        let (method, params) = frame::notification(&self.text)?;
        Notice::read(&method, params).map_err(|source| frame::unreadable(method, source))
    }
}
