//! Room in an outbox: what is large is made only when what was made before has left.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::Outbox;

/// With so many bytes of answers that wait, no further large one is made.
const ROOM_BYTES: usize = 1 << 20;
/// How many large answers are made at once for a session.
const MADE: usize = 4;

/// Who waits for room in an outbox.
pub(super) struct Rooms {
    places: Arc<Semaphore>,
    /// Told whenever there may be room, or will never be.
    freed: Notify,
}

/// The right to one answer of any size: it was waited for, and does not count against its client.
pub struct Room(#[expect(dead_code, reason = "held until the answer is in the outbox")] OwnedSemaphorePermit);

impl Rooms {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MADE)), freed: Notify::new() }
    }

    /// There may be room now, or there will be none.
    pub(super) fn look_again(&self) {
        self.freed.notify_waiters();
    }

    /// Whether with so much that waits there is none.
    pub(super) fn is_short(waiting_bytes: usize) -> bool {
        waiting_bytes >= ROOM_BYTES
    }
}

impl Outbox {
    /// Room for one large answer, to be held until that was sent: given out in the order of asking, and once little
    /// waits. `None` if the session says goodbye before.
    pub async fn room(&self) -> Option<Room> {
        let rooms = self.rooms();
        // Never closed.
        let place = rooms.places.clone().acquire_owned().await.ok()?;
        loop {
            let freed = rooms.freed.notified();
            if self.is_closing() {
                return None;
            }
            if !Rooms::is_short(self.waiting_bytes()) {
                return Some(Room(place));
            }
            if self.is_leaving() {
                return None;
            }
            freed.await;
        }
    }
}
