//! Live lists: missions for a dashboard, and what waits for a person; up to date over lost connections.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    Client, ClientError,
    subscription::{Over, Subject, keep},
};
use crate::{
    model::{InboxItem, MissionSummary, Priority},
    notification::{InboxChange, MissionChange, Notice},
    operations::{
        InboxWatch, InboxWatching, ListOrder, MissionsWatch, MissionsWatching, UnwatchInbox, UnwatchMissions,
        WatchInbox, WatchMissions,
    },
};

/// A list that is kept up to date until this is dropped.
pub struct LiveList<T> {
    state: watch::Receiver<State<T>>,
    /// Keeps the connection.
    _client: Client,
}

/// How a list is.
struct State<T> {
    /// Nothing before the server gave it.
    items: Option<Arc<Vec<T>>>,
    /// Whether changes come in.
    is_live: bool,
    ended: Option<ClientError>,
}

impl<T> Default for State<T> {
    fn default() -> Self {
        Self { items: None, is_live: false, ended: None }
    }
}

impl<T> LiveList<T> {
    /// The items, in order; `None` before the server gave them. While there is no connection, as they were.
    pub fn items(&self) -> Option<Arc<Vec<T>>> {
        self.state.borrow().items.clone()
    }

    /// Whether the list is up to date: there is a connection, and changes come in.
    pub fn is_live(&self) -> bool {
        self.state.borrow().is_live
    }

    /// Waits for a change, of the items or of whether they are up to date, after the last one that this told of.
    ///
    /// # Errors
    /// Why nothing will change any more.
    pub async fn changed(&mut self) -> Result<(), ClientError> {
        // Not marked as seen: what changed since the last call is told at once.
        if let Some(error) = &self.state.borrow().ended {
            return Err(error.clone());
        }
        self.state.changed().await.map_err(|_| ClientError::left())?;
        match &self.state.borrow_and_update().ended {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Waits until the list is up to date and `wanted` of its items, and gives them.
    ///
    /// # Errors
    /// Why it will not be.
    pub async fn until(&mut self, mut wanted: impl FnMut(&[T]) -> bool) -> Result<Arc<Vec<T>>, ClientError> {
        let fits = |state: &State<T>| {
            state.ended.is_some() || state.is_live && state.items.as_ref().is_some_and(|items| wanted(items))
        };
        let state = self.state.wait_for(fits).await.map_err(|_| ClientError::left())?;
        match (&state.ended, &state.items) {
            (None, Some(items)) => Ok(Arc::clone(items)),
            (Some(error), _) => Err(error.clone()),
            (None, None) => Err(ClientError::left()),
        }
    }
}

impl LiveList<MissionSummary> {
    pub(super) fn missions(client: Client, query: MissionsWatch) -> Self {
        Self::over(client, |state| Missions { query, state })
    }
}

impl LiveList<InboxItem> {
    pub(super) fn inbox(client: Client) -> Self {
        Self::over(client, |state| Inbox { state })
    }
}

impl<T: Send + Sync + 'static> LiveList<T> {
    fn over<S: Subject>(client: Client, subject: impl FnOnce(watch::Sender<State<T>>) -> S) -> Self {
        let (sender, state) = watch::channel(State::default());
        let gone = sender.clone();
        let unwanted = async move { gone.closed().await };
        tokio::spawn(keep(client.now(), client.backoff(), subject(sender), unwanted));
        Self { state, _client: client }
    }
}

/// The server gave the whole list, or changes of it.
fn put<T>(sender: &watch::Sender<State<T>>, change: impl FnOnce(&mut Vec<T>)) -> Result<(), Over>
where
    T: Clone,
{
    sender.send_modify(|state| {
        state.is_live = true;
        change(Arc::make_mut(state.items.get_or_insert_default()));
    });
    Ok(())
}

fn lost<T>(sender: &watch::Sender<State<T>>) -> Result<(), Over> {
    sender.send_if_modified(|state| std::mem::take(&mut state.is_live));
    Ok(())
}

fn ended<T>(sender: &watch::Sender<State<T>>, error: ClientError) {
    sender.send_modify(|state| (state.is_live, state.ended) = (false, Some(error)));
}

struct Missions {
    query: MissionsWatch,
    state: watch::Sender<State<MissionSummary>>,
}

impl Subject for Missions {
    type Ask = WatchMissions;
    type End = UnwatchMissions;

    fn ask(&self, sub: String) -> MissionsWatch {
        MissionsWatch { sub, ..self.query.clone() }
    }

    async fn began(&mut self, answer: MissionsWatching) -> Result<(), Over> {
        put(&self.state, |items| *items = answer.items)
    }

    async fn heard(&mut self, notice: Notice) -> Result<(), Over> {
        let Notice::Missions(changed) = notice else { return Ok(()) };
        put(&self.state, |items| {
            if changed.reset {
                items.clear();
            }
            for change in changed.changes {
                let id = match &change {
                    MissionChange::Put { mission } => mission.id,
                    MissionChange::Remove { id } => *id,
                };
                items.retain(|known| known.id != id);
                if let MissionChange::Put { mission } = change {
                    items.push(mission);
                }
            }
            sort(items, self.query.order);
        })
    }

    async fn lost(&mut self, _why: String, _retry_in: Duration) -> Result<(), Over> {
        lost(&self.state)
    }

    async fn ended(&mut self, error: ClientError) {
        ended(&self.state, error);
    }
}

struct Inbox {
    state: watch::Sender<State<InboxItem>>,
}

impl Subject for Inbox {
    type Ask = WatchInbox;
    type End = UnwatchInbox;

    fn ask(&self, sub: String) -> InboxWatch {
        InboxWatch { sub }
    }

    async fn began(&mut self, answer: InboxWatching) -> Result<(), Over> {
        put(&self.state, |items| *items = answer.items)
    }

    async fn heard(&mut self, notice: Notice) -> Result<(), Over> {
        let Notice::Inbox(changed) = notice else { return Ok(()) };
        put(&self.state, |items| {
            if changed.reset {
                items.clear();
            }
            for change in changed.changes {
                let id = match &change {
                    InboxChange::Put { item } => item.id,
                    InboxChange::Remove { id } => *id,
                };
                items.retain(|known| known.id != id);
                if let InboxChange::Put { item } = change {
                    items.push(item);
                }
            }
            // As the server does, also within a moment: ids are made in the order of time.
            items.sort_by_key(|item| Reverse(item.id));
        })
    }

    async fn lost(&mut self, _why: String, _retry_in: Duration) -> Result<(), Over> {
        lost(&self.state)
    }

    async fn ended(&mut self, error: ClientError) {
        ended(&self.state, error);
    }
}

/// Sorts as the server does: what comes first in `order`, and where two are alike, the newer one.
fn sort(items: &mut [MissionSummary], order: ListOrder) {
    // Ids are made in the order of time.
    items.sort_by_key(|mission| Reverse(mission.id));
    match order {
        ListOrder::Newest => {}
        ListOrder::Priority => items.sort_by_key(|mission| match mission.priority {
            Priority::Urgent => 0,
            Priority::High => 1,
            Priority::Normal => 2,
            Priority::Low => 3,
        }),
        ListOrder::Title => items.sort_by_cached_key(|mission| mission.title.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Code, Fault,
        client::{
            FixedToken,
            testing::{Desk, snapshot},
        },
        notification::{INBOX_CHANGED, MISSIONS_CHANGED, WATCH_ENDED},
    };
    use futures_util::FutureExt as _;
    use serde_json::{Value, json};
    use uuid::Uuid;

    fn mission(id: u128, title: &str, priority: &str) -> Value {
        let Value::Object(mut mission) = json!(snapshot(1)) else { panic!("an object") };
        mission.insert("id".to_owned(), json!(Uuid::from_u128(id)));
        mission.insert("title".to_owned(), json!(title));
        mission.insert("priority".to_owned(), json!(priority));
        mission.remove("agent");
        mission.into()
    }

    fn titles(items: &[MissionSummary]) -> Vec<&str> {
        items.iter().map(|mission| mission.title.as_str()).collect()
    }

    #[tokio::test]
    async fn a_list_keeps_its_order_over_changes_and_lost_connections() {
        let desk = Desk::open().await;
        let client = Client::start(&desk.url, FixedToken("good".to_owned()));
        let query = MissionsWatch { order: ListOrder::Priority, limit: Some(3), ..MissionsWatch::default() };
        let mut list = client.watch_missions(query);
        assert!(list.items().is_none() && !list.is_live());
        let mut peer = desk.accept().await;
        peer.opened().await;
        let request = peer.asked().await;
        assert_eq!((&request["method"], &request["params"]["limit"]), (&json!("missions.watch"), &json!(3)));
        let sub = request["params"]["sub"].clone();
        let items = json!([mission(2, "b", "high"), mission(1, "a", "normal")]);
        peer.answer(&request, json!({"sub": sub, "items": items})).await;
        list.until(|items| titles(items) == ["b", "a"]).await.unwrap();

        let changes = json!([{"op": "put", "mission": mission(1, "A", "urgent")}, {"op": "remove", "id": Uuid::from_u128(2)},
                             {"op": "put", "mission": mission(3, "c", "urgent")}]);
        let params = json!({"sub": sub, "reset": false, "changes": changes});
        peer.say(json!({"jsonrpc": "2.0", "method": MISSIONS_CHANGED, "params": params})).await;
        list.until(|items| titles(items) == ["c", "A"]).await.unwrap();

        drop(peer);
        while list.is_live() {
            list.changed().await.unwrap();
        }
        assert_eq!(titles(&list.items().unwrap()), ["c", "A"], "while there is no connection it stands as it was");
        let mut peer = desk.accept().await;
        peer.opened().await;
        let request = peer.asked().await;
        let sub = request["params"]["sub"].clone();
        peer.answer(&request, json!({"sub": sub, "items": [mission(3, "C", "low")]})).await;
        list.until(|items| titles(items) == ["C"]).await.unwrap();

        let gone = json!({"sub": sub, "error": Fault::new(Code::Forbidden, "no longer yours")});
        peer.say(json!({"jsonrpc": "2.0", "method": WATCH_ENDED, "params": gone})).await;
        let error = list.until(|items| items.is_empty()).await.unwrap_err();
        assert_eq!(error.fault().unwrap().code, Code::Forbidden);
        assert!(list.changed().await.is_err());
    }

    #[tokio::test]
    async fn a_change_between_two_questions_is_told() {
        let (sender, state) = watch::channel(State::<MissionSummary>::default());
        let client = Client::start("http://127.0.0.1:1", FixedToken("good".to_owned()));
        let mut list = LiveList { state, _client: client };
        assert!(list.changed().now_or_never().is_none(), "nothing has changed");
        sender.send_modify(|state| state.is_live = true);
        assert!(list.changed().now_or_never().is_some_and(|told| told.is_ok()));
        assert!(list.changed().now_or_never().is_none(), "it was told");
    }

    #[tokio::test]
    async fn an_inbox_is_replaced_by_a_reset_and_asked_for_again_when_it_ended_for_now() {
        let desk = Desk::open().await;
        let client = Client::start(&desk.url, FixedToken("good".to_owned()));
        let mut inbox = client.watch_inbox();
        let mut peer = desk.accept().await;
        peer.opened().await;
        let item = |id: u128, at: &str| json!({"id": Uuid::from_u128(id), "kind": "approval", "mission": Uuid::from_u128(1), "title": "t", "at": at});
        let (early, late) = ("2026-01-31T12:00:00.000Z", "2026-01-31T12:00:01.000Z");
        let request = peer.asked().await;
        let sub = request["params"]["sub"].clone();
        peer.answer(&request, json!({"sub": sub, "items": [item(9, early)]})).await;
        inbox.until(|items| items.len() == 1).await.unwrap();
        // Whose moment is the later one does not count.
        let changes = json!([{"op": "put", "item": item(1, late)}, {"op": "put", "item": item(2, early)}]);
        let params = json!({"sub": sub, "reset": true, "changes": changes});
        peer.say(json!({"jsonrpc": "2.0", "method": INBOX_CHANGED, "params": params})).await;
        let ids = |items: &[InboxItem]| items.iter().map(|item| item.id.as_u128()).collect::<Vec<_>>();
        inbox.until(|items| ids(items) == [2, 1]).await.unwrap();

        let busy = json!({"sub": sub, "error": Fault::overloaded("the list", 1)});
        peer.say(json!({"jsonrpc": "2.0", "method": WATCH_ENDED, "params": busy})).await;
        let request = peer.asked().await;
        assert_eq!(request["method"], "inbox.watch");
        assert_ne!(request["params"]["sub"], sub);
    }
}
