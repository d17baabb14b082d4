//! How a run ends: all is quiet, everyone knows what the server knows, and every promise was kept.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use flightdeck_protocol::{
    MissionId, UserId,
    model::{AgentState, Mission},
    operations::{CancelMission, InboxQuery, ListInbox, ListMissions, MissionCancel, MissionQuery},
};
use serde_json::json;
use tokio::sync::oneshot;

use super::{
    command::marks,
    lists::{Entries, List, entries},
    run::Stage,
    tab::Order,
    truth::{Truth, Watched},
    verdict::{Log, Tally, Verdict, runs_carried_on, tab_saw_the_truth},
};
use crate::support::{Member, RawSocket, eventually, none_left, stored_log};

impl Stage {
    /// Every tab settles; what each watches.
    async fn settle_tabs(&mut self, truth: Option<&Arc<Truth>>) -> Vec<BTreeSet<Watched>> {
        let mut settled = Vec::new();
        for tab in 0..self.seats.len() {
            let (done, wait) = oneshot::channel();
            self.tell(tab, Order::Settle(truth.cloned(), done)).await;
            settled.push(wait);
        }
        let mut watched = Vec::new();
        for (tab, wait) in settled.into_iter().enumerate() {
            match wait.await {
                Ok(watches) => watched.push(watches),
                // It has failed, and is asked why.
                Err(_) => self.tell(tab, Order::Read).await,
            }
        }
        watched
    }

    /// Everyone has an answer, the agents are called off, and everyone has seen it all.
    pub(super) async fn settle(&mut self) {
        let watched = self.settle_tabs(None).await;
        self.guest.rest().await;
        for mission in self.shared.missions.clone().into_iter().skip(self.by_hand) {
            self.insist::<CancelMission>(MissionCancel { mission, reason: None }).await;
        }
        none_left(self.server.home(), Some(self.server.pid())).await;
        let mut heads = Vec::new();
        for mission in self.shared.missions.clone() {
            let quiet = || async {
                let look = self.server.look(&self.ann, mission).await;
                let stopped = look.agent.as_ref().is_none_or(|agent| agent.state == AgentState::Stopped);
                stopped.then_some(look.seq)
            };
            heads.push(eventually("the agent's end in the log", quiet).await);
        }
        let tabs = watched.into_iter().enumerate().map(|(tab, watched)| {
            let person = tab % self.people.len();
            (self.people[person].person.id, self.roles[person], watched)
        });
        let guest = (self.guest.who.person.id, self.guest.who.person.role, self.guest.watched());
        let watching: Vec<_> = tabs.chain([guest]).collect();
        let company = Truth::company(heads.len(), &watching);
        let truth = Arc::new(Truth { heads, company, lists: self.lists().await });
        self.settle_tabs(Some(&truth)).await;
        self.guest.reach(&truth).await;
    }

    /// Everyone's lists, as they are told to whoever asks anew.
    async fn lists(&self) -> HashMap<(UserId, List), Entries> {
        let mut lists = HashMap::new();
        for who in self.people.iter().chain([&self.guest.who]) {
            let mut socket = RawSocket::open(&self.server, &who.token).await;
            for list in List::EACH {
                let mut answer = socket.call(list.methods().0, list.params(&format!("{list:?}"))).await;
                lists.insert((who.person.id, list), entries(answer["result"]["items"].take()));
            }
            let (missions, inbox) = (self.missions(who).await, self.inbox(who).await);
            assert_eq!(lists[&(who.person.id, List::All)], missions, "the watch and the pages say the same");
            assert_eq!(lists[&(who.person.id, List::Inbox)], inbox, "the watch and the pages say the same");
        }
        lists
    }

    /// Every mission, by pages.
    async fn missions(&self, who: &Member) -> Entries {
        let (mut all, mut before) = (Entries::new(), None);
        loop {
            let query = MissionQuery { limit: Some(200), before, ..MissionQuery::default() };
            let page = self.server.call::<ListMissions>(who, query).await.expect("a page");
            all.extend(entries(json!(page.items)));
            before = page.next;
            if before.is_none() {
                return all;
            }
        }
    }

    /// What waits for `who`, by pages.
    async fn inbox(&self, who: &Member) -> Entries {
        let (mut all, mut before) = (Entries::new(), None);
        loop {
            let query = InboxQuery { limit: Some(200), before };
            let page = self.server.call::<ListInbox>(who, query).await.expect("a page");
            all.extend(entries(json!(page.items)));
            before = page.next;
            if before.is_none() {
                return all;
            }
        }
    }

    /// Every tab knows what the server knows, before and after one more restart; and the promises were kept.
    pub(super) async fn judge(mut self) -> Tally {
        let missions = self.shared.missions.clone();
        let mut truth: Vec<Mission> = Vec::new();
        for mission in &missions {
            truth.push(self.server.look(&self.ann, *mission).await);
        }
        for (known, truth) in self.guest.known().iter().zip(&truth) {
            assert_eq!(**known, *truth, "the client's mission is the server's");
        }
        let mut tabs = Vec::new();
        for seat in self.seats.drain(..) {
            drop(seat.orders);
            tabs.push(seat.task.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())));
        }
        let status = self.server.stop().await;
        assert!(status.success());
        self.server.start_again_with("--resume-events", "1000000").await;
        let mut logs = Vec::new();
        for (mission, known) in missions.iter().zip(&truth) {
            assert_eq!(self.server.look(&self.ann, *mission).await, *known, "what is on disk is what was shown");
            logs.push(Log::new(stored_log(&self.server, &self.ann, *mission).await));
        }
        let (mut pieces, mut seen) = (0, 0);
        for tab in &tabs {
            for (mission, view) in &tab.views {
                if tab.wants(*mission) {
                    assert_eq!(view.mission.as_ref(), Some(&truth[*mission]), "the events make the state");
                }
                pieces += view.pieces.len();
                seen += view.pieces.iter().map(|piece| piece.raw.len()).sum::<usize>();
            }
            tab_saw_the_truth(tab, &logs);
        }
        let runs: u32 = logs[self.by_hand..].iter().map(runs_carried_on).sum();
        let stored: usize = logs.iter().map(|log| log.raw.len()).sum();
        eprintln!("{stored} events stored, {seen} seen after {pieces} snapshots, {runs} runs of agents");
        let made = self.made().await;
        let people: HashSet<_> = self.people.iter().chain([&self.guest.who]).map(|who| who.person.id).collect();
        let shared = &self.shared;
        shared.ledger(|ledger| Verdict { entries: &ledger.0, logs: &logs, people: &people, made: &made }.check())
    }

    /// The missions that there are beside those of the stage, by the marks in their titles.
    async fn made(&self) -> HashMap<usize, Vec<MissionId>> {
        let mut made: HashMap<usize, Vec<MissionId>> = HashMap::new();
        for (id, mission) in self.missions(&self.ann).await {
            if let Some(title) = mission["title"].as_str().filter(|title| title.starts_with("Made ")) {
                let mark = marks(title).next().expect("a mark");
                made.entry(mark).or_default().push(id.into());
            }
        }
        made
    }
}
