//! Following one mission for ever: over lost connections, restarts of the server and expired tokens.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use super::{ClientError, Notices, Session, TokenError, Tokens};
use crate::{
    EventFrame, Timestamp,
    ids::MissionId,
    model::Mission,
    notification::{Close, MissionEvents, Notice, Present},
    operations::{Position, RenewSession, SessionRenew, Watch, WatchMission},
};

/// What is given out and not yet taken; when it is full the socket is not read.
const QUEUE: usize = 16;
/// The shortest and the longest wait before coming back.
const WAIT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// A connection that held this long starts the waits over.
const HELD: Duration = Duration::from_secs(1);
/// How long the server has to answer a request for a watch.
const WATCH_TIMEOUT: Duration = Duration::from_secs(30);
const SUB: &str = "follow";

/// What following a mission gives.
#[derive(Debug)]
pub enum Followed {
    /// A connection is there and the mission is watched. What came meanwhile follows: as
    /// [`Followed::Events`] if it resumed, as a [`Followed::Snapshot`] if not.
    Connected {
        /// The position of the mission's newest event.
        head: u64,
        /// Whether it goes on exactly where it was.
        resumed: bool,
        /// Why it did not, if it should have: as in [`Watching::reason`](crate::operations::Watching::reason).
        reason: Option<String>,
    },
    /// The mission as it is; forget what was known of it.
    Snapshot(Box<Mission>),
    /// What happened, in order, each event once and none left out.
    Events(Vec<EventFrame>),
    /// Who is there now.
    Presence(Vec<Present>),
    /// The connection ended; the next is tried by itself.
    Disconnected {
        /// Why it ended.
        why: String,
        /// When the next is tried.
        retry_in: Duration,
    },
    /// It is over, and trying again would not help. Nothing follows.
    Ended(ClientError),
}

/// One mission, followed until this is dropped.
pub struct Follow {
    queue: mpsc::Receiver<(Followed, Option<Position>)>,
    position: Option<Position>,
    task: AbortHandle,
}

impl Follow {
    /// Follows `mission` on `server`, from `since` if it is given and the server can still resume
    /// there, with access tokens from `tokens`. Has to be called inside a tokio runtime.
    pub fn start(server: &str, mission: MissionId, since: Option<Position>, tokens: impl Tokens) -> Self {
        let (out, queue) = mpsc::channel(QUEUE);
        let follower = Follower {
            server: server.to_owned(),
            mission,
            position: since,
            tokens: Arc::new(tokens),
            rejected: None,
            refused_before: false,
            held: false,
            out,
        };
        let task = tokio::spawn(follower.run()).abort_handle();
        Self { queue, position: since, task }
    }

    /// What comes next; `None` after [`Followed::Ended`]. May be dropped half way without a loss.
    pub async fn next(&mut self) -> Option<Followed> {
        let (followed, position) = self.queue.recv().await?;
        self.position = position;
        Some(followed)
    }

    /// The position after what [`Follow::next`] last gave: resume from here to miss nothing.
    pub fn position(&self) -> Option<Position> {
        self.position
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How one connection went.
enum Over {
    /// Come back: after the given time, or after one that grows.
    Again { why: String, after: Option<Duration> },
    /// Do not come back.
    Final(ClientError),
    /// Nobody takes what is given out.
    Unwanted,
}

struct Follower<T> {
    server: String,
    mission: MissionId,
    position: Option<Position>,
    tokens: Arc<T>,
    /// The token that the server takes no longer.
    rejected: Option<String>,
    /// Whether the token before was refused, too, at the door.
    refused_before: bool,
    /// Whether this connection held for a while.
    held: bool,
    out: mpsc::Sender<(Followed, Option<Position>)>,
}

impl<T: Tokens> Follower<T> {
    async fn run(mut self) {
        let mut attempt = 0;
        loop {
            self.held = false;
            let Err(over) = self.connection().await;
            match over {
                Over::Unwanted => return,
                Over::Final(error) => {
                    // An error means that nobody wants to know.
                    let _ = self.give(Followed::Ended(error)).await;
                    return;
                }
                Over::Again { why, after } => {
                    attempt = if self.held { 0 } else { attempt + 1 };
                    let retry_in = after.unwrap_or_else(|| backoff(attempt, chance()));
                    if self.give(Followed::Disconnected { why, retry_in }).await.is_err() {
                        return;
                    }
                    sleep(retry_in).await;
                }
            }
        }
    }

    async fn give(&self, followed: Followed) -> Result<(), Over> {
        self.out.send((followed, self.position)).await.map_err(|_| Over::Unwanted)
    }

    /// One connection, from getting a token to its end.
    async fn connection(&mut self) -> Result<std::convert::Infallible, Over> {
        let token = self.tokens.token(self.rejected.clone()).await.map_err(|error| match error {
            TokenError::Temporary(why) => Over::Again { why, after: None },
            TokenError::Final(why) => Over::Final(ClientError::Token(why)),
        })?;
        let (session, mut notices) = match Session::connect(&self.server, Some(&token)).await {
            Ok(connected) => connected,
            Err(error) => return Err(self.refused(error, token)),
        };
        let request = Watch::new(self.mission, SUB, self.position);
        let watching = match timeout(WATCH_TIMEOUT, session.call::<WatchMission>(request)).await {
            Ok(Ok(watching)) => watching,
            Ok(Err(error)) => return Err(self.refused(error, token)),
            Err(_) => return Err(Over::Again { why: "the server did not answer".to_owned(), after: None }),
        };
        self.refused_before = false;
        self.rejected = None;
        let since = Instant::now();
        if !watching.resumed {
            self.position = Some(Position { epoch: watching.epoch, seq: watching.seq });
        }
        let reason = watching.reason;
        self.give(Followed::Connected { head: watching.head, resumed: watching.resumed, reason }).await?;
        if let Some(snapshot) = watching.snapshot {
            self.give(Followed::Snapshot(Box::new(snapshot))).await?;
        }
        let Err(over) = self.stream(session, &mut notices, token).await;
        self.held = since.elapsed() >= HELD;
        Err(over)
    }

    /// Gives out what comes until the connection ends, and renews its token in time.
    async fn stream(
        &mut self,
        session: Session,
        notices: &mut Notices,
        mut token: String,
    ) -> Result<std::convert::Infallible, Over> {
        let mut come_back = None;
        let mut renewal = std::pin::pin!(None);
        loop {
            let notice = tokio::select! {
                notice = notices.next_raw() => notice,
                renewed = async { match renewal.as_mut().as_pin_mut() {
                    Some(renewal) => renewal.await,
                    None => std::future::pending().await,
                } } => {
                    renewal.set(None);
                    if let Some((newer, expires_at)) = renewed {
                        token = newer;
                        renewal.set(Some(renew(Arc::clone(&self.tokens), session.clone(), token.clone(), expires_at)));
                    }
                    continue;
                }
            };
            let Some(notice) = notice else { break };
            match notice.read().map_err(Over::Final)? {
                Some(Notice::Opened(opened)) => {
                    let (tokens, session) = (Arc::clone(&self.tokens), session.clone());
                    renewal.set(Some(renew(tokens, session, token.clone(), opened.expires_at)));
                }
                Some(Notice::Events(events)) if events.sub == SUB => self.events(events).await?,
                Some(Notice::Presence(presence)) if presence.sub == SUB => {
                    self.give(Followed::Presence(presence.people)).await?;
                }
                Some(Notice::Closing(closing)) => {
                    come_back = closing.reconnect_after_ms.map(|after| (after, closing.jitter_ms.unwrap_or(0)));
                }
                _ => {}
            }
        }
        let closed = session.closed().unwrap_or_else(|| super::Closed::abnormal("the connection was lost"));
        if closed.is_final() {
            return Err(Over::Final(ClientError::Closed(closed)));
        }
        if closed.code == Close::TokenExpired.code() {
            self.rejected = Some(token);
        }
        let after = come_back.map(|(after, jitter)| Duration::from_millis(after) + chance_of(jitter));
        Err(Over::Again { why: closed.to_string(), after })
    }

    /// Gives out those of `events` that are new, or finds that some are missing.
    async fn events(&mut self, events: MissionEvents) -> Result<(), Over> {
        let have = self.position.map_or(0, |position| position.seq);
        let fresh: Vec<EventFrame> = events.events.into_iter().filter(|event| event.seq > have).collect();
        let (Some(first), Some(last)) = (fresh.first(), fresh.last()) else { return Ok(()) };
        if first.seq != have + 1 || self.position.is_some_and(|position| position.epoch != events.epoch) {
            let why = format!("events are missing between {have} and {}", first.seq);
            return Err(Over::Again { why, after: None });
        }
        self.position = Some(Position { epoch: events.epoch, seq: last.seq });
        self.give(Followed::Events(fresh)).await
    }

    /// What to do when the server said no, or nothing.
    fn refused(&mut self, error: ClientError, token: String) -> Over {
        if error.is_unauthenticated() && !self.refused_before {
            self.refused_before = true;
            self.rejected = Some(token);
            return Over::Again { why: error.to_string(), after: Some(Duration::ZERO) };
        }
        if !error.is_temporary() {
            return Over::Final(error);
        }
        let after = error.fault().and_then(|fault| fault.data.retry_after_ms);
        Over::Again {
            why: error.to_string(),
            after: after.map(|after| Duration::from_millis(after) + chance_of(after)),
        }
    }
}

/// Waits until shortly before `expires_at`, then gives the session a newer token. `None` if that
/// did not work: the session will end, and the next one starts with another token.
async fn renew<T: Tokens>(
    tokens: Arc<T>,
    session: Session,
    token: String,
    expires_at: Timestamp,
) -> Option<(String, Timestamp)> {
    let left = u64::try_from(expires_at.as_millis() - Timestamp::now().as_millis()).unwrap_or(0);
    let wait = if left > 120_000 { left - 60_000 } else { (left / 2).max(1_000) };
    sleep(Duration::from_millis(wait)).await;
    let newer = tokens.token(Some(token)).await.ok()?;
    let renewed = session.call::<RenewSession>(SessionRenew { token: newer.clone() }).await.ok()?;
    Some((newer, renewed.expires_at))
}

/// How long to wait before attempt number `attempt`, from 1: somewhere between the shortest wait
/// and one that doubles, so that many clients do not come back all at once.
fn backoff(attempt: u32, chance: f64) -> Duration {
    let longest = WAIT.0.saturating_mul(1 << attempt.clamp(1, 10)).min(WAIT.1);
    WAIT.0 + (longest - WAIT.0).mul_f64(chance)
}

/// A random number between 0 and 1, from the random part of a fresh UUIDv7: good enough to spread clients.
fn chance() -> f64 {
    let random = Uuid::now_v7().as_u128() as u32;
    f64::from(random) / f64::from(u32::MAX)
}

fn chance_of(millis: u64) -> Duration {
    Duration::from_millis(millis).mul_f64(chance())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{
        FixedToken,
        testing::{Desk, events, mission_id, snapshot},
    };

    const EPOCH: Uuid = Uuid::from_u128(5);

    fn seqs(followed: Followed) -> Vec<u64> {
        match followed {
            Followed::Events(events) => events.iter().map(|event| event.seq).collect(),
            other => panic!("{other:?} instead of events"),
        }
    }

    #[test]
    fn waits_grow_and_stay_within_their_bounds() {
        assert_eq!(backoff(1, 0.0), WAIT.0);
        assert_eq!(backoff(1, 1.0), Duration::from_millis(500));
        assert_eq!(backoff(4, 1.0), Duration::from_secs(4));
        assert_eq!(backoff(1_000, 1.0), WAIT.1);
        let chances: Vec<f64> = (0..100).map(|_| chance()).collect();
        assert!(chances.iter().all(|chance| (0.0..=1.0).contains(chance)));
        assert!(chances.iter().any(|chance| *chance < 0.5) && chances.iter().any(|chance| *chance > 0.5));
    }

    #[tokio::test]
    async fn a_mission_is_followed_over_a_lost_connection_without_a_gap_or_a_repeat() {
        let desk = Desk::open().await;
        let mut follow = Follow::start(&desk.url, mission_id(), None, FixedToken("good".to_owned()));

        let mut peer = desk.accept().await;
        assert_eq!(peer.expect_watch().await, None);
        peer.watching(snapshot(3), EPOCH, 3).await;
        assert!(matches!(follow.next().await, Some(Followed::Connected { resumed: false, head: 3, .. })));
        assert!(matches!(follow.next().await, Some(Followed::Snapshot(mission)) if mission.seq == 3));
        peer.notify(&events(EPOCH, 4..=5)).await;
        assert_eq!(seqs(follow.next().await.unwrap()), [4, 5]);
        assert_eq!(follow.position(), Some(Position { epoch: EPOCH, seq: 5 }));
        drop(peer);
        assert!(matches!(follow.next().await, Some(Followed::Disconnected { .. })));

        let mut peer = desk.accept().await;
        let since = Position { epoch: EPOCH, seq: 5 };
        assert_eq!(peer.expect_watch().await, Some(since));
        peer.resumed(EPOCH, since.seq, 7).await;
        assert!(matches!(follow.next().await, Some(Followed::Connected { resumed: true, head: 7, .. })));
        // The server repeats what the client has: it is passed over.
        peer.notify(&events(EPOCH, 5..=7)).await;
        assert_eq!(seqs(follow.next().await.unwrap()), [6, 7]);
    }

    #[tokio::test]
    async fn missing_events_are_never_passed_over_in_silence() {
        let desk = Desk::open().await;
        let since = Position { epoch: EPOCH, seq: 5 };
        let mut follow = Follow::start(&desk.url, mission_id(), Some(since), FixedToken("good".to_owned()));
        let mut peer = desk.accept().await;
        assert_eq!(peer.expect_watch().await, Some(since));
        peer.resumed(EPOCH, 5, 9).await;
        assert!(matches!(follow.next().await, Some(Followed::Connected { .. })));
        peer.notify(&events(EPOCH, 8..=9)).await;
        assert!(matches!(follow.next().await, Some(Followed::Disconnected { why, .. }) if why.contains("missing")));
        let mut peer = desk.accept().await;
        assert_eq!(peer.expect_watch().await, Some(since));
    }

    #[tokio::test]
    async fn a_goodbye_that_is_final_is_the_end() {
        let desk = Desk::open().await;
        let mut follow = Follow::start(&desk.url, mission_id(), None, FixedToken("good".to_owned()));
        let mut peer = desk.accept().await;
        peer.expect_watch().await;
        peer.close(Close::Revoked.code(), Close::Revoked.reason()).await;
        // The answer to the watch never came; the reason why it will not come is told.
        assert!(
            matches!(follow.next().await, Some(Followed::Ended(ClientError::Closed(closed))) if closed.code == 4501)
        );
        assert!(follow.next().await.is_none());
    }

    struct Renewing;

    impl Tokens for Renewing {
        async fn token(&self, rejected: Option<String>) -> Result<String, TokenError> {
            Ok(if rejected.as_deref() == Some("old") { "good" } else { "old" }.to_owned())
        }
    }

    #[tokio::test]
    async fn a_refused_token_is_renewed_once_and_then_it_is_final() {
        let desk = Desk::open().await;
        let mut follow = Follow::start(&desk.url, mission_id(), None, Renewing);
        desk.refuse().await;
        assert!(matches!(follow.next().await, Some(Followed::Disconnected { .. })));
        let mut peer = desk.accept().await;
        assert_eq!(peer.authorization, "Bearer good");
        peer.expect_watch().await;

        let mut follow = Follow::start(&desk.url, mission_id(), None, FixedToken("bad".to_owned()));
        desk.refuse().await;
        assert!(matches!(follow.next().await, Some(Followed::Disconnected { .. })));
        assert!(matches!(follow.next().await, Some(Followed::Ended(ClientError::Token(_)))));
    }
}
