//! Following one mission for ever: over lost connections, restarts of the server and expired tokens.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{
    Client, ClientError, Presenting, Tokens,
    presence::Presenter,
    subscription::{Over, Subject, keep},
};
use crate::{
    EventFrame,
    ids::MissionId,
    model::Mission,
    notification::{MissionEvents, MissionLive, MissionPresence, Notice, Span},
    operations::{Logs, Position, UnwatchMission, Watch, WatchMission, Watching},
};

/// What is given out and not yet taken; when it is full the watch is not read.
const QUEUE: usize = 16;

/// How a mission is watched.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// Where an earlier watch was left, to be resumed if the server still can.
    pub since: Option<Position>,
    /// Whether [`Followed::Live`] is wanted.
    pub live: bool,
    /// Whether [`Followed::Presence`] is wanted.
    pub presence: bool,
    /// What becomes of the log while the watch is far behind.
    pub logs: Logs,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { since: None, live: true, presence: true, logs: Logs::Every }
    }
}

/// What following a mission gives.
#[derive(Clone, Debug)]
pub enum Followed {
    /// The mission is watched. What came meanwhile follows: as [`Followed::Events`] if it
    /// resumed, as a [`Followed::Snapshot`] if not. Said again on every connection, and when
    /// something was missing or came faster than it was taken: then it is asked for again.
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
    /// Log entries that the server left out here, on the wish of [`WatchOptions::logs`]: see [`Mission::skip`].
    Skipped(Span),
    /// Who is there now.
    Presence(MissionPresence),
    /// What goes on and is never stored.
    Live(MissionLive),
    /// The mission is not watched now: there is no connection, or the server has no room for
    /// the watch. It comes back by itself.
    Disconnected {
        /// Why not.
        why: String,
        /// When that is tried.
        retry_in: Duration,
    },
    /// It is over, and trying again would not help. Nothing follows.
    Ended(ClientError),
}

/// One mission, followed until this is dropped.
pub struct Follow {
    queue: mpsc::Receiver<(Followed, Option<Position>)>,
    position: Option<Position>,
    presenter: Presenter,
    /// Keeps the connection.
    _client: Client,
}

impl Follow {
    /// Follows `mission` on `server` over a connection of its own, from `since` if it is given and
    /// the server can still resume there, with access tokens from `tokens`. Has to be called inside
    /// a tokio runtime.
    pub fn start(server: &str, mission: MissionId, since: Option<Position>, tokens: impl Tokens) -> Self {
        Client::start(server, tokens).watch_with(mission, WatchOptions { since, ..WatchOptions::default() })
    }

    pub(super) fn over(client: Client, mission: MissionId, options: WatchOptions) -> Self {
        let (out, queue) = mpsc::channel(QUEUE);
        let gone = out.clone();
        let presenter = Presenter::new();
        let follower = Follower { mission, options, position: options.since, presenter: presenter.clone(), out };
        let unwanted = async move { gone.closed().await };
        let keeping = keep(client.now(), client.backoff(), follower, unwanted);
        let telling = presenter.clone().tell(client.now(), client.backoff(), mission);
        tokio::spawn(async move {
            tokio::select! {
                () = keeping => {}
                never = telling => match never {},
            }
        });
        Self { queue, position: options.since, presenter, _client: client }
    }

    /// What comes next; `None` after [`Followed::Ended`]. May be dropped half way without a loss.
    pub async fn next(&mut self) -> Option<Followed> {
        let (followed, position) = self.queue.recv().await?;
        self.position = position;
        Some(followed)
    }

    /// Tells the others who watch what this person looks at, has seen, writes, or points at: the fields that are
    /// there. It may be called at every movement: the newest of each field is told as fast as the server takes it.
    /// It may be lost, and what lasts is told again on every new connection.
    pub fn present(&self, what: Presenting) {
        self.presenter.present(what);
    }

    pub(super) fn presenter(&self) -> Presenter {
        self.presenter.clone()
    }

    /// The position after what [`Follow::next`] last gave: resume from here to miss nothing.
    pub fn position(&self) -> Option<Position> {
        self.position
    }
}

struct Follower {
    mission: MissionId,
    options: WatchOptions,
    position: Option<Position>,
    presenter: Presenter,
    out: mpsc::Sender<(Followed, Option<Position>)>,
}

impl Subject for Follower {
    type Ask = WatchMission;
    type End = UnwatchMission;

    fn ask(&self, sub: String) -> Watch {
        let WatchOptions { live, presence, logs, .. } = self.options;
        Watch { mission: self.mission, sub, since: self.position, live, presence, logs }
    }

    async fn began(&mut self, watching: Watching) -> Result<(), Over> {
        if !watching.resumed {
            self.position = Some(Position { epoch: watching.epoch, seq: watching.seq });
        }
        self.presenter.began();
        let Watching { head, resumed, reason, .. } = watching;
        self.give(Followed::Connected { head, resumed, reason }).await?;
        match watching.snapshot {
            Some(snapshot) => self.give(Followed::Snapshot(Box::new(snapshot))).await,
            None => Ok(()),
        }
    }

    async fn heard(&mut self, notice: Notice) -> Result<(), Over> {
        match notice {
            Notice::Events(events) => self.events(events).await,
            Notice::Presence(presence) => self.give(Followed::Presence(presence)).await,
            Notice::Live(live) => self.give(Followed::Live(live)).await,
            _ => Ok(()),
        }
    }

    async fn lost(&mut self, why: String, retry_in: Duration) -> Result<(), Over> {
        self.presenter.lost();
        self.give(Followed::Disconnected { why, retry_in }).await
    }

    async fn ended(&mut self, error: ClientError) {
        // An error means that nobody wants to know.
        let _ = self.give(Followed::Ended(error)).await;
    }
}

impl Follower {
    async fn give(&self, followed: Followed) -> Result<(), Over> {
        self.out.send((followed, self.position)).await.map_err(|_| Over::Unwanted)
    }

    /// Gives out what is new of `frame`; if anything is missing before it or in it, asks for that instead.
    async fn events(&mut self, frame: MissionEvents) -> Result<(), Over> {
        let Some(at) = self.position.filter(|at| at.epoch == frame.epoch) else { return Err(Over::Anew) };
        let (mut seq, epoch) = (at.seq, at.epoch);
        let mut skipped = frame.skipped.into_iter().peekable();
        let mut fresh = Vec::with_capacity(frame.events.len());
        for event in frame.events.into_iter().filter(|event| event.seq > at.seq) {
            while let Some(span) = skipped.next_if(|span| span.from < event.seq) {
                self.passed(std::mem::take(&mut fresh), &mut seq, span, epoch).await?;
            }
            if event.seq != seq + 1 {
                break;
            }
            seq = event.seq;
            fresh.push(event);
        }
        self.happened(fresh, Position { epoch, seq }).await?;
        for span in skipped {
            self.passed(Vec::new(), &mut seq, span, epoch).await?;
        }
        if seq < frame.to { Err(Over::Anew) } else { Ok(()) }
    }

    /// Gives out `fresh`, and then `span`, as far as that is new and follows on it.
    async fn passed(
        &mut self,
        fresh: Vec<EventFrame>,
        seq: &mut u64,
        span: Span,
        epoch: uuid::Uuid,
    ) -> Result<(), Over> {
        self.happened(fresh, Position { epoch, seq: *seq }).await?;
        if span.to <= *seq {
            return Ok(());
        }
        let from = span.from.max(*seq + 1);
        if from != *seq + 1 {
            return Err(Over::Anew);
        }
        *seq = span.to;
        self.position = Some(Position { epoch, seq: span.to });
        self.give(Followed::Skipped(Span { from, to: span.to })).await
    }

    async fn happened(&mut self, fresh: Vec<EventFrame>, position: Position) -> Result<(), Over> {
        if fresh.is_empty() {
            return Ok(());
        }
        self.position = Some(position);
        self.give(Followed::Events(fresh)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::{Desk, EPOCH, connected, events, good, mission_id, seqs, since, snapshot};
    use serde_json::json;

    #[tokio::test]
    async fn a_mission_is_followed_over_a_lost_connection_without_a_gap_or_a_repeat() {
        let desk = Desk::open().await;
        let mut follow = Follow::start(&desk.url, mission_id(), None, good());
        let mut peer = desk.accept().await;
        peer.opened().await;
        let asked = peer.asked_to_watch().await;
        assert_eq!(asked.1.since, None);
        peer.watching(&asked, snapshot(3), EPOCH).await;
        assert_eq!(connected(&mut follow).await, (3, false));
        assert!(matches!(follow.next().await, Some(Followed::Snapshot(mission)) if mission.seq == 3));
        peer.notify(&events(&asked.1.sub, EPOCH, 4..=5)).await;
        assert_eq!(seqs(follow.next().await), [4, 5]);
        assert_eq!(follow.position(), since(5));
        drop(peer);
        assert!(matches!(follow.next().await, Some(Followed::Disconnected { .. })));

        let mut peer = desk.accept().await;
        peer.opened().await;
        let asked = peer.asked_to_watch().await;
        assert_eq!(asked.1.since, since(5));
        peer.resumed(&asked, 7).await;
        assert_eq!(connected(&mut follow).await, (7, true));
        // The server repeats what the client has: it is passed over.
        peer.notify(&events(&asked.1.sub, EPOCH, 5..=7)).await;
        assert_eq!(seqs(follow.next().await), [6, 7]);
    }

    #[tokio::test]
    async fn missing_events_are_asked_for_on_the_same_connection() {
        let desk = Desk::open().await;
        let mut follow = Follow::start(&desk.url, mission_id(), since(5), good());
        let mut peer = desk.accept().await;
        peer.opened().await;
        let asked = peer.asked_to_watch().await;
        peer.resumed(&asked, 9).await;
        assert_eq!(connected(&mut follow).await, (9, true));
        let mut torn = events(&asked.1.sub, EPOCH, 6..=9);
        torn.events.remove(1);
        peer.notify(&torn).await;
        assert_eq!(seqs(follow.next().await), [6]);

        let unwatch = peer.asked().await;
        assert_eq!((&unwatch["method"], &unwatch["params"]["sub"]), (&json!("mission.unwatch"), &json!(asked.1.sub)));
        peer.answer(&unwatch, json!({})).await;
        let again = peer.asked_to_watch().await;
        assert_eq!(again.1.since, since(6));
        assert_ne!(again.1.sub, asked.1.sub);
        peer.resumed(&again, 9).await;
        assert_eq!(connected(&mut follow).await, (9, true));
        // What comes late for the watch before is of no interest.
        peer.notify(&events(&asked.1.sub, EPOCH, 7..=7)).await;
        peer.notify(&events(&again.1.sub, EPOCH, 7..=9)).await;
        assert_eq!(seqs(follow.next().await), [7, 8, 9]);
    }

    #[tokio::test]
    async fn what_was_left_out_on_wish_is_told_in_its_place() {
        let desk = Desk::open().await;
        let client = Client::start(&desk.url, good());
        let options = WatchOptions { since: since(1), logs: Logs::Coalesced, live: false, presence: true };
        let mut follow = client.watch_with(mission_id(), options);
        let mut peer = desk.accept().await;
        peer.opened().await;
        let asked = peer.asked_to_watch().await;
        assert_eq!((asked.1.logs, asked.1.live, asked.1.presence), (Logs::Coalesced, false, true));
        peer.resumed(&asked, 9).await;
        connected(&mut follow).await;
        let mut frame = events(&asked.1.sub, EPOCH, 2..=9);
        frame.events.retain(|event| [2, 6].contains(&event.seq));
        frame.skipped = vec![Span { from: 3, to: 5 }, Span { from: 7, to: 9 }];
        peer.notify(&frame).await;
        assert_eq!(seqs(follow.next().await), [2]);
        assert!(matches!(follow.next().await, Some(Followed::Skipped(Span { from: 3, to: 5 }))));
        assert_eq!(follow.position(), since(5));
        assert_eq!(seqs(follow.next().await), [6]);
        assert!(matches!(follow.next().await, Some(Followed::Skipped(Span { from: 7, to: 9 }))));
        assert_eq!(follow.position(), since(9));
    }
}
