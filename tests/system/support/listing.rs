//! Somebody who watches a list, and has what its frames make of it.

use std::collections::HashMap;

use flightdeck_protocol::{
    client::{Notices, Session},
    model::{InboxItem, MissionSummary},
    notification::{InboxChange, MissionChange, Notice},
    operations::{InboxWatch, InboxWatching, MissionsWatch, MissionsWatching, WatchInbox, WatchMissions},
};
use uuid::Uuid;

use super::{Member, Server, within};

/// A list of missions.
pub(crate) struct ListWatcher {
    notices: Notices,
    sub: String,
    /// What there is, by id.
    pub(crate) missions: HashMap<Uuid, MissionSummary>,
    /// How often all of it was told anew.
    pub(crate) resets: usize,
}

impl ListWatcher {
    pub(crate) async fn begin(server: &Server, who: &Member, watch: MissionsWatch) -> Self {
        let (session, notices) = connect(server, who).await;
        let sub = watch.sub.clone();
        let MissionsWatching { items, .. } =
            within("a list", session.call::<WatchMissions>(watch)).await.expect("a list");
        let missions = items.into_iter().map(|mission| (mission.id.0, mission)).collect();
        Self { notices, sub, missions, resets: 0 }
    }

    /// Reads on until the list is as `wanted`.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&HashMap<Uuid, MissionSummary>) -> bool) {
        within(what, async {
            while !wanted(&self.missions) {
                self.take().await;
            }
        })
        .await;
    }

    /// The next change of the list.
    pub(crate) async fn take(&mut self) {
        let changed = loop {
            match self.notices.next().await.expect("a socket that goes on") {
                Notice::Missions(changed) => break changed,
                Notice::WatchEnded(ended) => panic!("the watch has ended: {ended:?}"),
                _ => {}
            }
        };
        assert_eq!(changed.sub, self.sub);
        assert!(changed.reset || !changed.changes.is_empty(), "a frame that says nothing");
        if changed.reset {
            self.missions.clear();
            self.resets += 1;
        }
        for change in changed.changes {
            match change {
                MissionChange::Put { mission } => {
                    if let Some(before) = self.missions.insert(mission.id.0, mission.clone()) {
                        assert!(before.seq <= mission.seq, "{before:?} was overwritten with what was before it");
                    }
                }
                MissionChange::Remove { id } => {
                    assert!(self.missions.remove(&id.0).is_some(), "{id} was not in the list, and was taken out");
                }
            }
        }
    }
}

/// An inbox.
pub(crate) struct InboxWatcher {
    notices: Notices,
    /// What waits, by id.
    pub(crate) items: HashMap<Uuid, InboxItem>,
}

impl InboxWatcher {
    pub(crate) async fn begin(server: &Server, who: &Member, watch: InboxWatch) -> Self {
        let (session, notices) = connect(server, who).await;
        let InboxWatching { items, .. } =
            within("an inbox", session.call::<WatchInbox>(watch)).await.expect("an inbox");
        assert!(items.is_sorted_by(|a, b| a.id > b.id), "the newest first");
        let items = items.into_iter().map(|item| (item.id, item)).collect();
        Self { notices, items }
    }

    /// Reads on until the inbox is as `wanted`.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&HashMap<Uuid, InboxItem>) -> bool) {
        within(what, async {
            while !wanted(&self.items) {
                self.take().await;
            }
        })
        .await;
    }

    async fn take(&mut self) {
        let changed = loop {
            match self.notices.next().await.expect("a socket that goes on") {
                Notice::Inbox(changed) => break changed,
                Notice::WatchEnded(ended) => panic!("the watch has ended: {ended:?}"),
                _ => {}
            }
        };
        assert!(changed.reset || !changed.changes.is_empty(), "a frame that says nothing");
        if changed.reset {
            self.items.clear();
        }
        for change in changed.changes {
            match change {
                InboxChange::Put { item } => {
                    self.items.insert(item.id, item);
                }
                InboxChange::Remove { id } => {
                    assert!(self.items.remove(&id).is_some(), "{id} did not wait, and was taken out");
                }
            }
        }
    }
}

async fn connect(server: &Server, who: &Member) -> (Session, Notices) {
    within("a session", Session::connect(&server.url, Some(&who.token))).await.expect("a session")
}
