//! What others are to see of the person in a watched mission: told as fast as the server takes it, and again on
//! every connection.

use std::{convert::Infallible, future::pending, time::Duration};

use serde_json::Value;
use tokio::{sync::watch, time::sleep};

use super::{Backoff, ClientError, calls::turn_later, link::Now};
use crate::{
    Operation,
    ids::MissionId,
    operations::{Empty, LooksAt, PresenceSet, SetPresence},
};

/// What others are to see of the person: the fields that are there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presenting {
    /// What the person looks at.
    pub looks_at: Option<LooksAt>,
    /// The position up to which the person has seen the mission. It never goes back.
    pub seen_seq: Option<u64>,
    /// Whether the person is writing. Taken back by itself after 10 seconds.
    pub typing: Option<bool>,
    /// Where the person points, in the clients' own terms, 1 KiB of JSON at most; [`Value::Null`] for nowhere.
    pub cursor: Option<Value>,
}

impl Presenting {
    /// This, and on top of it what is newer.
    fn then(self, newer: Self) -> Self {
        Self {
            looks_at: newer.looks_at.or(self.looks_at),
            seen_seq: newer.seen_seq.or(self.seen_seq),
            typing: newer.typing.or(self.typing),
            cursor: newer.cursor.or(self.cursor),
        }
    }

    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn of(self, mission: MissionId) -> PresenceSet {
        let Self { looks_at, seen_seq, typing, cursor } = self;
        PresenceSet { mission, looks_at, seen_seq, typing, cursor }
    }
}

/// What is to be told about one watch; cheap to clone.
#[derive(Clone)]
pub(super) struct Presenter(watch::Sender<State>);

#[derive(Default)]
struct State {
    /// All that was said and lasts.
    lasting: Presenting,
    /// What was not told yet: one of each field, the newest.
    untold: Presenting,
    /// Whether the watch stands: before that the server takes nothing.
    stands: bool,
    /// How often it began to stand.
    began: u64,
}

impl Presenter {
    pub(super) fn new() -> Self {
        Self(watch::Sender::default())
    }

    pub(super) fn present(&self, what: Presenting) {
        self.0.send_modify(|state| {
            let lasting = Presenting { typing: None, ..what.clone() };
            state.lasting = std::mem::take(&mut state.lasting).then(lasting);
            state.untold = std::mem::take(&mut state.untold).then(what);
        });
    }

    /// The watch stands on a new connection, or anew on the one there is: the server knows nothing of it.
    pub(super) fn began(&self) {
        self.0.send_modify(|state| {
            state.untold = state.lasting.clone();
            state.stands = true;
            state.began += 1;
        });
    }

    /// It does not stand now.
    pub(super) fn lost(&self) {
        self.0.send_modify(|state| state.stands = false);
    }

    /// Tells what is new about `mission`, one request at a time.
    pub(super) async fn tell(self, mut now: watch::Receiver<Now>, backoff: Backoff, mission: MissionId) -> Infallible {
        let mut news = self.0.subscribe();
        let mut failures = 0;
        loop {
            // The sender is here.
            let _ = news.wait_for(|state| state.stands && !state.untold.is_nothing()).await;
            let Ok((link, place)) = turn_later(&mut now).await else { return pending().await };
            let (telling, began) = self.take();
            match link.ask::<Empty, _>(SetPresence::METHOD, &telling.clone().of(mission), place).await {
                Err(unanswered) => {
                    // What is lost with its connection is told on the next; what is wrong, to nobody.
                    let ClientError::Fault(fault) = unanswered.error else { continue };
                    if !fault.data.temporary {
                        continue;
                    }
                    self.put_back(telling, began);
                    let after = Duration::from_millis(fault.data.retry_after_ms.unwrap_or(0));
                    sleep(after + backoff.wait(failures)).await;
                    failures += 1;
                }
                Ok(Empty {}) => failures = 0,
            }
        }
    }

    fn take(&self) -> (Presenting, u64) {
        let mut taken = (Presenting::default(), 0);
        self.0.send_if_modified(|state| {
            taken = (std::mem::take(&mut state.untold), state.began);
            false
        });
        taken
    }

    /// What the server had no room for goes under what is newer, unless all of it is to be told anew.
    fn put_back(&self, telling: Presenting, began: u64) {
        self.0.send_if_modified(|state| {
            if state.began == began {
                state.untold = telling.then(std::mem::take(&mut state.untold));
            }
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Code, Fault,
        client::{
            Client, FixedToken, LiveMission, WatchOptions,
            testing::{Desk, Peer, mission_id, snapshot},
        },
    };
    use serde_json::json;
    use uuid::Uuid;

    const EPOCH: Uuid = Uuid::from_u128(5);

    /// The next connection, once the mission is watched on it.
    async fn watched(desk: &Desk) -> Peer {
        let mut peer = desk.accept().await;
        peer.opened().await;
        let asked = peer.asked_to_watch().await;
        if asked.1.since.is_some() {
            peer.resumed(&asked, 3).await;
        } else {
            peer.watching(&asked, snapshot(3), EPOCH).await;
        }
        peer
    }

    /// What is told next, and the request that tells it.
    async fn told(peer: &mut Peer) -> (Value, Value) {
        let mut request = peer.asked().await;
        assert_eq!(request["method"], "presence.set");
        let mut told = request["params"].take();
        assert_eq!(told["mission"], json!(mission_id()));
        told.as_object_mut().unwrap().remove("mission");
        (told, request)
    }

    fn live(desk: &Desk) -> LiveMission {
        Client::start(&desk.url, FixedToken("good".to_owned())).mission(mission_id())
    }

    #[tokio::test]
    async fn what_lasts_is_told_again_on_every_connection() {
        let desk = Desk::open().await;
        let live = live(&desk);
        live.present(Presenting { seen_seq: Some(2), typing: Some(true), ..Presenting::default() });
        live.present(Presenting { looks_at: Some(LooksAt::default()), ..Presenting::default() });
        let mut peer = watched(&desk).await;
        let (first, request) = told(&mut peer).await;
        assert_eq!(first, json!({"seen_seq": 2, "looks_at": {}}), "nobody writes over a lost connection");
        peer.answer(&request, json!({})).await;
        live.present(Presenting { cursor: Some(json!({"line": 3})), typing: Some(true), ..Presenting::default() });
        let (second, _) = told(&mut peer).await;
        assert_eq!(second, json!({"cursor": {"line": 3}, "typing": true}));
        drop(peer);
        let mut peer = watched(&desk).await;
        let (again, request) = told(&mut peer).await;
        assert_eq!(again, json!({"seen_seq": 2, "looks_at": {}, "cursor": {"line": 3}}));
        peer.answer(&request, json!({})).await;
        live.present(Presenting { cursor: Some(Value::Null), ..Presenting::default() });
        assert_eq!(told(&mut peer).await.0, json!({"cursor": null}));
    }

    #[tokio::test]
    async fn the_newest_of_each_field_is_told_one_request_at_a_time_and_later_where_the_server_says_so() {
        let desk = Desk::open().await;
        let client = Client::start(&desk.url, FixedToken("good".to_owned()));
        let follow = client.watch_with(mission_id(), WatchOptions::default());
        let mut peer = watched(&desk).await;
        follow.present(Presenting { seen_seq: Some(1), ..Presenting::default() });
        let (_, request) = told(&mut peer).await;
        for line in 0..100 {
            follow.present(Presenting { cursor: Some(json!(line)), typing: Some(true), ..Presenting::default() });
        }
        peer.answer(&request, json!({})).await;
        let (newest, request) = told(&mut peer).await;
        assert_eq!(newest, json!({"cursor": 99, "typing": true}));
        follow.present(Presenting { typing: Some(false), ..Presenting::default() });
        let busy = Fault::overloaded("the server", 1);
        peer.say(json!({"jsonrpc": "2.0", "id": request["id"], "error": busy})).await;
        let (later, request) = told(&mut peer).await;
        assert_eq!(later, json!({"cursor": 99, "typing": false}));
        // What is refused for good is not said again.
        let wrong = Fault::new(Code::TooLarge, "a cursor is 1024 bytes at most");
        peer.say(json!({"jsonrpc": "2.0", "id": request["id"], "error": wrong})).await;
        follow.present(Presenting { seen_seq: Some(4), ..Presenting::default() });
        assert_eq!(told(&mut peer).await.0, json!({"seen_seq": 4}));
        drop(follow);
        let ended = peer.asked().await;
        assert_eq!(ended["method"], "mission.unwatch");
    }
}
