//! The roster: every live session of an organization, as the threads of sockets know them.

use std::{rc::Weak, time::Duration};

use flightdeck_protocol::{ConnectionId, Fault, OrganizationId, operations::SessionView};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::hub::{HubHandle, Seat};

/// How many sessions a roster shows; those beyond are counted.
const MOST: usize = 10_000;
/// How many sessions a thread looks at before it lets its sockets have a turn.
const AT_ONCE: usize = 64;
/// How long the threads of sockets have.
const PATIENCE: Duration = Duration::from_secs(5);

/// The live sessions of an organization.
#[derive(Default)]
pub struct Roster {
    /// The sessions, the oldest first.
    pub sessions: Vec<SessionView>,
    /// How many more there are.
    pub others: usize,
}

/// The question to one thread.
pub(super) struct RollCall {
    organization: OrganizationId,
    answer: oneshot::Sender<Roster>,
}

impl RollCall {
    /// Answers for one thread, a few sessions at a time.
    pub(super) async fn answer(self, mut seats: Vec<(ConnectionId, Weak<dyn Seat>)>) {
        // Ids are made in the order of time.
        seats.sort_unstable_by_key(|(connection, _)| *connection);
        let mut roster = Roster::default();
        for some in seats.chunks(AT_ONCE) {
            for seat in some.iter().filter_map(|(_, seat)| seat.upgrade()) {
                if seat.organization() != Some(self.organization) {
                    continue;
                }
                if roster.sessions.len() < MOST {
                    roster.sessions.extend(seat.view());
                } else {
                    roster.others += 1;
                }
            }
            tokio::task::yield_now().await;
        }
        // Who asked may wait no longer.
        let _ = self.answer.send(roster);
    }
}

impl Roster {
    /// Asks every thread for the sessions of `organization`.
    ///
    /// # Errors
    /// When one of them is too busy to answer.
    pub(super) async fn of(hubs: &[HubHandle], organization: OrganizationId) -> Result<Self, Fault> {
        let asked = hubs.iter().map(|hub| {
            let (answer, answered) = oneshot::channel();
            hub.call_the_roll(RollCall { organization, answer });
            answered
        });
        let parts = tokio::time::timeout(PATIENCE, join_all(asked)).await;
        let parts = parts.map_err(|_| Fault::overloaded("a thread of the sockets", 1_000))?;
        // A thread that has gone has no sessions any more.
        let mut whole = Self::default();
        for part in parts.into_iter().flatten() {
            whole.sessions.extend(part.sessions);
            whole.others += part.others;
        }
        whole.sessions.sort_by_key(|session| (session.opened_at, session.connection));
        whole.others += whole.sessions.len().saturating_sub(MOST);
        whole.sessions.truncate(MOST);
        Ok(whole)
    }
}
