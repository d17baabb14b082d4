//! A watched mission as it is: events folded into it as they come, and on top what commands under way are expected to do.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::{
    Client, ClientError, Follow, Followed, Live, Presenting, WatchOptions, frame,
    optimistic::{Expect, Optimistic},
    presence::Presenter,
};
use crate::{
    CommandId, Event, Operation,
    ids::MissionId,
    model::{Author, Mission, Person},
    notification::MissionPresence,
    operations::Position,
};

/// A mission that is kept up to date until every clone of this is dropped.
#[derive(Clone)]
pub struct LiveMission {
    client: Client,
    inner: Arc<Inner>,
}

struct Inner {
    state: watch::Sender<State>,
    presenter: Presenter,
    task: tokio::task::AbortHandle,
}

/// What is known of it.
#[derive(Default)]
struct State {
    /// Who is signed in; nobody knows before the first connection.
    me: Option<Person>,
    base: Option<Arc<Mission>>,
    position: Option<Position>,
    head: u64,
    is_live: bool,
    presence: Option<MissionPresence>,
    live: Live,
    optimistic: Optimistic,
    ended: Option<ClientError>,
}

impl LiveMission {
    pub(super) fn over(client: Client, mission: MissionId, options: WatchOptions) -> Self {
        // A fold begins with a snapshot.
        let follow = client.watch_with(mission, WatchOptions { since: None, ..options });
        let state = watch::Sender::new(State::default());
        let presenter = follow.presenter();
        let task = tokio::spawn(fold(follow, client.clone(), state.clone())).abort_handle();
        let inner = Arc::new(Inner { state, presenter, task });
        Self { client, inner }
    }

    /// The mission: what the server confirmed, and on top of it what is expected of commands under
    /// way; `None` before the server gave it. While there is no connection, as it was.
    pub fn mission(&self) -> Option<Arc<Mission>> {
        let state = self.inner.state.borrow();
        let base = state.base.as_ref()?;
        if state.optimistic.is_empty() {
            return Some(Arc::clone(base));
        }
        Some(Arc::new(state.optimistic.view(base, &state.author())))
    }

    /// The mission as the server confirmed it.
    pub fn confirmed(&self) -> Option<Arc<Mission>> {
        self.inner.state.borrow().base.clone()
    }

    /// Where in the mission's history [`LiveMission::confirmed`] is.
    pub fn position(&self) -> Option<Position> {
        self.inner.state.borrow().position
    }

    /// Whether everything is here that had happened when the watch began on the present connection.
    pub fn is_caught_up(&self) -> bool {
        let state = self.inner.state.borrow();
        state.is_live && state.base.as_ref().is_some_and(|base| base.seq >= state.head)
    }

    /// Who is there; nothing before the server said so.
    pub fn presence(&self) -> Option<MissionPresence> {
        self.inner.state.borrow().presence.clone()
    }

    /// Tells the others what this person does here: see [`Follow::present`].
    pub fn present(&self, what: Presenting) {
        self.inner.presenter.present(what);
    }

    /// What goes on and is never stored.
    pub fn live(&self) -> Live {
        self.inner.state.borrow().live.clone()
    }

    /// Waits until `wanted` of this.
    ///
    /// # Errors
    /// Why it will not be: the watch has ended.
    pub async fn until(&self, wanted: impl Fn(&Self) -> bool) -> Result<(), ClientError> {
        let mut changes = self.inner.state.subscribe();
        loop {
            changes.mark_unchanged();
            if wanted(self) {
                return Ok(());
            }
            if let Some(error) = &self.inner.state.borrow().ended {
                return Err(error.clone());
            }
            changes.changed().await.map_err(|_| ClientError::left())?;
        }
    }

    /// A receiver that wakes whenever something of it changes.
    pub fn changes(&self) -> Changes {
        Changes(self.inner.state.subscribe())
    }

    /// Calls an operation of this mission, and shows at once what it is expected to cause: until
    /// the events that it does cause are here, or the server refuses it. Ids that nobody can know
    /// yet are made by [`expected_id`](super::expected_id).
    ///
    /// # Errors
    /// As for [`Client::call_once`]; then nothing is expected any more.
    pub async fn command<O: Operation>(
        &self,
        params: O::Params,
        expect: impl Fn(&Mission) -> Vec<Event> + Send + Sync + 'static,
    ) -> Result<O::Result, ClientError> {
        self.commanded::<O>(params, Box::new(expect), None).await
    }

    /// The same, and refused by the server if anything has happened in the mission that is not here yet.
    ///
    /// # Errors
    /// As for [`LiveMission::command`].
    pub async fn command_unless_changed<O: Operation>(
        &self,
        params: O::Params,
        expect: impl Fn(&Mission) -> Vec<Event> + Send + Sync + 'static,
    ) -> Result<O::Result, ClientError> {
        let known = self.confirmed().map(|mission| mission.seq);
        self.commanded::<O>(params, Box::new(expect), known).await
    }

    async fn commanded<O: Operation>(
        &self,
        params: O::Params,
        expect: Expect,
        if_seq: Option<u64>,
    ) -> Result<O::Result, ClientError> {
        let mut id = 0;
        self.inner.state.send_modify(|state| id = state.optimistic.begin(expect));
        let expected = Expected { state: &self.inner.state, id };
        let answer: Box<RawValue> = self.client.guarded::<O, _>(&params, if_seq).await?;
        let carried_out: CarriedOut = read::<O, _>(&answer)?;
        let result = read::<O, _>(&answer)?;
        self.inner.state.send_modify(|state| {
            let known = state.base.as_ref().map_or(0, |base| base.seq);
            state.optimistic.done(expected.id, carried_out.command, carried_out.seq, known);
        });
        Ok(result)
    }
}

/// Tells that something of a [`LiveMission`] changed.
pub struct Changes(watch::Receiver<State>);

impl Changes {
    /// Waits for a change after the last one that this told of; false when none will come any more.
    pub async fn next(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

/// What every answer to a command of a mission says.
#[derive(Deserialize)]
struct CarriedOut {
    seq: u64,
    #[serde(default)]
    command: Option<CommandId>,
}

fn read<'a, O: Operation, T: Deserialize<'a>>(answer: &'a RawValue) -> Result<T, ClientError> {
    let what = || format!("the answer to {}", O::METHOD);
    serde_json::from_str(answer.get()).map_err(|source| frame::unreadable(what(), source))
}

/// Takes back what is expected of a command when its answer is none, or nobody waits for it any more.
struct Expected<'a> {
    state: &'a watch::Sender<State>,
    id: u64,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.state.send_if_modified(|state| {
            let open = state.optimistic.is_open(self.id);
            if open {
                state.optimistic.drop(self.id);
            }
            open
        });
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes in what following the mission gives, until it is over.
async fn fold(mut follow: Follow, client: Client, state: watch::Sender<State>) {
    while let Some(followed) = follow.next().await {
        let opened = client.opened().filter(|_| matches!(followed, Followed::Connected { .. }));
        let position = follow.position();
        state.send_modify(|state| {
            if let Some(opened) = opened {
                state.me = Some(opened.user);
            }
            state.take(followed, position);
        });
    }
}

impl State {
    /// Whose expected events are.
    fn author(&self) -> Author {
        match &self.me {
            Some(me) => Author::Person { id: me.id, name: me.username.clone() },
            None => Author::System,
        }
    }

    fn take(&mut self, followed: Followed, position: Option<Position>) {
        self.position = position;
        let me = self.me.as_ref().map(|me| me.id);
        match followed {
            Followed::Connected { head, .. } => {
                (self.is_live, self.head) = (true, head);
                // A text that broke off while nothing was heard would stand there for ever.
                self.live = Live::default();
            }
            Followed::Snapshot(mission) => {
                self.optimistic.confirmed(&mission, &[], me);
                self.base = Some(Arc::new(*mission));
            }
            Followed::Events(events) => {
                let Some(base) = &mut self.base else { return };
                let mission = Arc::make_mut(base);
                for event in &events {
                    self.live.settle(event);
                    mission.apply(event);
                }
                self.optimistic.confirmed(mission, &events, me);
            }
            Followed::Skipped(span) => {
                let Some(base) = &mut self.base else { return };
                Arc::make_mut(base).skip(span);
                self.optimistic.confirmed(base, &[], me);
            }
            Followed::Presence(presence) => self.presence = Some(presence),
            Followed::Live(live) => self.live.apply(&live),
            Followed::Disconnected { .. } => {
                self.is_live = false;
                // Who is there is not known while nothing is heard.
                self.presence = None;
                (self.live.typing, self.live.cursors) = (Vec::new(), Vec::new());
            }
            Followed::Ended(error) => {
                (self.is_live, self.ended) = (false, Some(error));
                (self.live, self.presence, self.optimistic) = (Live::default(), None, Optimistic::default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Code, Fault,
        client::{
            FixedToken, expected_id,
            testing::{Desk, Peer, frame, mission_id, snapshot},
        },
        notification::MissionEvents,
        operations::{MessageSend, SendMessage},
    };
    use serde_json::{Value, json};
    use uuid::Uuid;

    const EPOCH: Uuid = Uuid::from_u128(5);

    async fn watched(desk: &Desk) -> (LiveMission, Peer, String) {
        let live = Client::start(&desk.url, FixedToken("good".to_owned())).mission(mission_id());
        let mut peer = desk.accept().await;
        peer.opened().await;
        let asked = peer.asked_to_watch().await;
        peer.watching(&asked, snapshot(3), EPOCH).await;
        live.until(LiveMission::is_caught_up).await.unwrap();
        (live, peer, asked.1.sub)
    }

    fn texts(mission: Option<Arc<Mission>>) -> Vec<String> {
        mission.unwrap().messages.iter().map(|message| message.text.clone()).collect()
    }

    fn command(live: &LiveMission) -> tokio::task::JoinHandle<Result<crate::operations::Ack, ClientError>> {
        let live = live.clone();
        tokio::spawn(async move {
            let message = MessageSend { mission: mission_id(), text: "go on".to_owned() };
            let sent = Event::MessageSent { message: expected_id().into(), text: "go on".to_owned() };
            live.command_unless_changed::<SendMessage>(message, move |_| vec![sent.clone()]).await
        })
    }

    async fn heard(peer: &mut Peer) -> Value {
        let request = peer.asked().await;
        assert_eq!((&request["method"], &request["params"]["if_seq"]), (&json!("message.send"), &json!(3)));
        request
    }

    #[tokio::test]
    async fn what_the_server_refuses_is_taken_back() {
        let desk = Desk::open().await;
        let (live, mut peer, _) = watched(&desk).await;
        let command = command(&live);
        let request = heard(&mut peer).await;
        assert_eq!(texts(live.mission()), ["go on"]);
        assert_eq!(texts(live.confirmed()), [""; 0]);
        let fault = Fault::new(Code::SeqConflict, "something has happened");
        peer.say(json!({"jsonrpc": "2.0", "id": request["id"], "error": fault})).await;
        assert!(command.await.unwrap().is_err());
        assert_eq!(texts(live.mission()), [""; 0]);
    }

    #[tokio::test]
    async fn what_is_carried_out_is_seen_once_from_the_first_moment_on() {
        let desk = Desk::open().await;
        let (live, mut peer, sub) = watched(&desk).await;
        let command = command(&live);
        let request = heard(&mut peer).await;
        // The event comes before the answer.
        let mut event = frame(4, Event::MessageSent { message: Uuid::from_u128(8).into(), text: "go on".to_owned() });
        event.by = Author::Person { id: Uuid::from_u128(9).into(), name: "ann".to_owned() };
        let events = MissionEvents { sub, epoch: EPOCH, from: 4, to: 4, events: vec![event], skipped: Vec::new() };
        peer.notify(&events).await;
        live.until(|live| live.position().is_some_and(|at| at.seq == 4)).await.unwrap();
        assert_eq!(texts(live.mission()), ["go on"]);
        peer.answer(&request, json!({"mission": mission_id(), "seq": 4, "command": Uuid::from_u128(6)})).await;
        assert_eq!(command.await.unwrap().unwrap().seq, 4);
        assert_eq!(live.mission(), live.confirmed());
        assert_eq!(texts(live.mission()), ["go on"]);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_expected_for_ever() {
        let desk = Desk::open().await;
        let (live, mut peer, _) = watched(&desk).await;
        let command = command(&live);
        heard(&mut peer).await;
        command.abort();
        assert!(command.await.unwrap_err().is_cancelled());
        assert_eq!(texts(live.mission()), [""; 0]);
        drop(live);
        while peer.hear().await.is_some() {}
    }
}
