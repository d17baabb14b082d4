//! Somebody who uses the client library that comes with Flightdeck, and leaves everything to it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use flightdeck_protocol::{
    Operation as _,
    client::{Client, ClientError, ClientOptions, FixedToken, LiveList, LiveMission, Presenting},
    model::{InboxItem, Mission, MissionSummary},
    operations::{AddActivity, MissionsWatch},
};
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    command::mark,
    ledger::{Answer, Entry},
    lists::{Entries, List, entries},
    tab::Shared,
    truth::{Truth, Watched, company},
};
use crate::support::{Door, Member, Server, note, within};

/// Calls of theirs that are under way at most.
const CALLS: usize = 32;
/// How long a call may take, over however many restarts.
const CALL: Duration = Duration::from_secs(120);

/// The person, their client, and what it keeps up to date.
pub(super) struct Guest {
    pub(super) who: Member,
    shared: Arc<Shared>,
    door: Door,
    client: Client,
    missions: Vec<LiveMission>,
    all: LiveList<MissionSummary>,
    inbox: LiveList<InboxItem>,
    calls: JoinSet<()>,
}

impl Guest {
    pub(super) async fn arrive(server: &Server, who: Member, shared: Arc<Shared>) -> Self {
        let door = Door::to(server).await;
        let options = ClientOptions { call_timeout: CALL, ..ClientOptions::default() };
        let client = Client::with(&door.url, FixedToken(who.token.clone()), options);
        let missions = shared.missions.iter().map(|mission| client.mission(*mission)).collect();
        let wanted = MissionsWatch { limit: Some(List::MOST), ..MissionsWatch::default() };
        let (all, inbox) = (client.watch_missions(wanted), client.watch_inbox());
        Self { who, shared, door, client, missions, all, inbox, calls: JoinSet::new() }
    }

    /// What they watch.
    pub(super) fn watched(&self) -> BTreeSet<Watched> {
        (0..self.missions.len()).map(Watched::Mission).collect()
    }

    /// The server was started again.
    pub(super) fn server_is_back(&self, server: &Server) {
        self.door.now_to(server);
    }

    /// Says something in a mission, once, whatever happens; and that they are there.
    pub(super) fn say(&mut self, mission: usize) {
        while self.calls.try_join_next().is_some_and(|call| {
            call.expect("a call");
            true
        }) {}
        if self.calls.len() >= CALLS {
            return;
        }
        let live = &self.missions[mission];
        let seen_seq = live.position().map(|position| position.seq);
        live.present(Presenting { seen_seq, typing: Some(false), ..Presenting::default() });
        let entry = self.shared.ledger(|ledger| {
            ledger.note(Entry {
                mission: Some(mission),
                method: AddActivity::METHOD,
                is_marked: true,
                is_named: true,
                if_seq: None,
                answers: Vec::new(),
                lost: 0,
            });
            ledger.number() - 1
        });
        let said = note(self.shared.missions[mission], &format!("said {}", mark(entry)));
        let (client, shared) = (self.client.clone(), Arc::clone(&self.shared));
        self.calls.spawn(async move {
            let answer = client.call_once::<AddActivity>(said).await;
            shared.ledger(|ledger| match answer {
                Ok(ack) => ledger.answered(entry, Answer::Done(ack)),
                Err(ClientError::Fault(fault)) if !fault.data.temporary => {
                    ledger.answered(entry, Answer::Refused(Box::new(fault)));
                }
                // It gave up, and nobody knows.
                Err(_) => ledger.lost(entry),
            });
        });
    }

    /// Every call is answered.
    pub(super) async fn rest(&mut self) {
        let answers = async {
            while let Some(call) = self.calls.join_next().await {
                call.expect("a call");
            }
        };
        within("the answers to the guest's calls", answers).await;
    }

    /// Everything that they watch is as it should be.
    pub(super) async fn reach(&mut self, truth: &Truth) {
        for (mission, live) in self.missions.iter().enumerate() {
            let is_there = |live: &LiveMission| {
                live.confirmed().is_some_and(|known| known.seq == truth.heads[mission])
                    && live.presence().is_some_and(|there| company(&there.people) == truth.company[mission])
            };
            within("the guest's mission", live.until(is_there)).await.expect("a watch");
        }
        let of = |list| &truth.lists[&(self.who.person.id, list)];
        let (all, inbox) = (of(List::All), of(List::Inbox));
        within("the guest's missions", self.all.until(|items| same(items, all))).await.expect("a watch");
        within("the guest's inbox", self.inbox.until(|items| same(items, inbox))).await.expect("a watch");
    }

    /// The missions as they know them.
    pub(super) fn known(&self) -> Vec<Arc<Mission>> {
        self.missions.iter().map(|live| live.confirmed().expect("a mission")).collect()
    }
}

fn same<T: Serialize>(items: &[T], truth: &Entries) -> bool {
    items.len() == truth.len() && entries(json!(items)) == *truth
}
