//! A run: sets the stage, carries out the steps of a plan, waits for quiet, and has everything checked.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use flightdeck_protocol::{
    Fault, MissionId, Operation,
    model::{AgentState, Mission, Role},
    operations::{CancelMission, ListMissions, MissionCancel, MissionQuery},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    command::marks,
    plan::{Plan, Step},
    tab::{Order, Shared, Tab},
    verdict::{Log, Tally, Verdict, runs_carried_on, tab_saw_the_truth},
};
use crate::support::{Member, Scripts, Server, agents_with, eventually, none_left, stored_log, within};

/// Commands that wait for an answer from tabs that read.
const IN_FLIGHT: usize = 48;

/// Logs, saves, asks, and crashes when it feels like it.
const SCRIBE: &str = "
import random, threading
going = threading.Event()
going.set()

def listen():
    while True:
        line = hear()
        if line['type'] == 'cancel':
            os._exit(0)
        if line['type'] == 'pause':
            going.clear()
        if line['type'] == 'resume':
            going.set()

def listen_to_the_end():
    try:
        listen()
    finally:
        os._exit(0)

threading.Thread(target=listen_to_the_end, daemon=True).start()
count = saved.get('count', 0)
while True:
    going.wait()
    count += 1
    say(type='activity', message=f'line {count}')
    if count % 7 == 0:
        say(type='checkpoint', data={'count': count})
    if count % 40 == 0:
        say(type='ask', key=f'question {count}', prompt='Go on?', options=[{'id': 'yes', 'label': 'Yes'}])
    if count % 11 == 0:
        say(type='step', key=f'step {count % 5}', title='Work', status='running')
    if random.random() < 0.004:
        os._exit(3)
    time.sleep(0.008)
";

/// Carries out `plan`.
///
/// # Panics
/// When a promise was broken.
pub(super) async fn carry_out(plan: Plan) {
    let began = Instant::now();
    let mut stage = Stage::set(&plan).await;
    for (nth, step) in plan.steps.iter().enumerate() {
        stage.nth = nth + 1;
        stage.step(step).await;
    }
    let played = began.elapsed();
    stage.settle().await;
    let tally = stage.judge().await;
    eprintln!("{} steps in {played:.1?}, {:.1?} with the verdict; {tally:?}", plan.steps.len(), began.elapsed());
    if plan.steps.len() >= 1_000 {
        assert!(tally.done * 4 > plan.steps.len(), "little was done: {tally:?}");
        assert!(tally.repeated > 0 && tally.refused.contains_key("seq_conflict"), "no guard was needed: {tally:?}");
    }
}

/// A tab at work.
struct Seat {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<Tab>,
}

struct Stage {
    server: Server,
    /// Looks after it all, and is none of the people whose commands are counted.
    ann: Member,
    people: Vec<Member>,
    shared: Arc<Shared>,
    seats: Vec<Seat>,
    turns: Arc<Semaphore>,
    by_hand: usize,
    /// How far it is.
    nth: usize,
}

impl Stage {
    async fn set(plan: &Plan) -> Self {
        let resume_events = plan.resume_events.to_string();
        let flags = [
            ("--resume-events", resume_events.as_str()),
            ("--snapshot-events", "60"),
            ("--feed-bytes", "40000"),
            ("--heartbeat-timeout-ms", "600000"),
            ("--agent-restart-limit", "1000"),
            ("--agent-restart-base-ms", "20"),
            ("--agent-restart-max-ms", "100"),
            ("--agent-pause-grace-ms", "20"),
            ("--agent-stop-grace-ms", "500"),
        ];
        let flags: Vec<&str> = flags.iter().flat_map(|(name, value)| [*name, *value]).collect();
        let server = Scripts::new().agent("scribe", SCRIBE).serve(&flags).await;
        let ann = server.admin("ann").await;
        let mut people = Vec::new();
        let roles = [Role::Manager, Role::Officer, Role::Approver, Role::Viewer, Role::Manager];
        for (role, name) in roles.into_iter().zip(["mo", "olga", "april", "vera", "max"]) {
            people.push(server.member(&ann, role, name).await);
        }
        let mut missions = Vec::new();
        for nth in 0..plan.by_hand + plan.with_agent {
            let agent = (nth >= plan.by_hand).then_some("scribe");
            missions.push(server.started(&ann, agent, json!({})).await);
        }
        let shared = Arc::new(Shared { url: Mutex::new(server.url.clone()), missions, ledger: Mutex::default() });
        let seat = |nth: usize| {
            let wanted = (0..shared.missions.len()).filter(|mission| !(mission + nth).is_multiple_of(3));
            let tab = Tab::new(Arc::clone(&shared), people[nth % people.len()].clone(), nth, wanted);
            let (orders, taken) = mpsc::channel(16);
            Seat { orders, task: tokio::spawn(tab.live(taken)) }
        };
        let seats = (0..plan.tabs).map(seat).collect();
        let turns = Arc::new(Semaphore::new(IN_FLIGHT));
        Self { server, ann, people, shared, seats, turns, by_hand: plan.by_hand, nth: 0 }
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Connect { tab } => self.tell(tab, Order::Connect).await,
            Step::Drop { tab } => self.tell(tab, Order::Drop).await,
            Step::Hush { tab } => self.tell(tab, Order::Hush).await,
            Step::Read { tab } => self.tell(tab, Order::Read).await,
            Step::Watch { tab, mission } => self.tell(tab, Order::Watch(mission)).await,
            Step::Unwatch { tab, mission } => self.tell(tab, Order::Unwatch(mission)).await,
            Step::Again { tab } => self.tell(tab, Order::Again).await,
            Step::Act { tab, mission, act, idem, if_seq } => {
                let waiting = within("room for one more command", Arc::clone(&self.turns).acquire_owned());
                let turn = waiting.await.expect("an open semaphore");
                self.tell(tab, Order::Act { mission, act, idem, if_seq, turn }).await;
            }
            Step::KillAgent { which } => {
                let agents = agents_with(self.server.home(), Some(self.server.pid()));
                if let Some(agent) = agents.get(which % agents.len().max(1)) {
                    // It may have ended by itself by now.
                    let _ = kill(Pid::from_raw(*agent), Signal::SIGKILL);
                }
            }
            Step::Rest => {
                let all = Arc::clone(&self.turns).acquire_many_owned(IN_FLIGHT as u32);
                drop(within("every command to be answered", all).await);
            }
            Step::KillServer => {
                self.server.kill_nine().await;
                self.start_again().await;
            }
            Step::StopServer => {
                let status = self.server.stop().await;
                assert!(status.success(), "the server ended with {status}");
                self.start_again().await;
            }
        }
    }

    async fn start_again(&mut self) {
        self.server.start_again().await;
        *self.shared.url.lock().unwrap_or_else(PoisonError::into_inner) = self.server.url.clone();
    }

    /// Gives an order; a tab that cannot take one has failed, and says why.
    async fn tell(&mut self, tab: usize, order: Order) {
        let seat = &mut self.seats[tab];
        if within("a tab to take an order", seat.orders.send(order)).await.is_err() {
            match (&mut seat.task).await {
                Err(error) => std::panic::resume_unwind(error.into_panic()),
                Ok(_) => panic!("tab {tab} has ended"),
            }
        }
    }

    async fn settle_tabs(&mut self, heads: Option<Vec<u64>>) {
        let mut settled = Vec::new();
        for tab in 0..self.seats.len() {
            let (done, wait) = oneshot::channel();
            self.tell(tab, Order::Settle(heads.clone(), done)).await;
            settled.push(wait);
        }
        for (tab, wait) in settled.into_iter().enumerate() {
            if wait.await.is_err() {
                self.tell(tab, Order::Read).await;
            }
        }
    }

    /// Everyone has an answer, the agents are called off, and everyone has seen it all.
    async fn settle(&mut self) {
        self.settle_tabs(None).await;
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
        self.settle_tabs(Some(heads)).await;
    }

    /// Calls until it is not refused for a while only.
    async fn insist<O: Operation<Params: Clone>>(&self, params: O::Params) -> O::Result {
        let call = || async {
            match self.server.call::<O>(&self.ann, params.clone()).await {
                Ok(result) => Some(result),
                Err(Fault { data, .. }) if data.temporary => None,
                Err(fault) => panic!("{fault}"),
            }
        };
        eventually(O::METHOD, call).await
    }

    /// Every tab knows what the server knows, before and after one more restart; and the promises were kept.
    async fn judge(mut self) -> Tally {
        let missions = self.shared.missions.clone();
        let mut truth: Vec<Mission> = Vec::new();
        for mission in &missions {
            truth.push(self.server.look(&self.ann, *mission).await);
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
        let people: HashSet<_> = self.people.iter().map(|who| who.person.id).collect();
        let shared = &self.shared;
        shared.ledger(|ledger| Verdict { entries: &ledger.0, logs: &logs, people: &people, made: &made }.check())
    }

    /// The missions that there are beside those of the stage, by the marks in their titles.
    async fn made(&self) -> HashMap<usize, Vec<MissionId>> {
        let mut made: HashMap<usize, Vec<MissionId>> = HashMap::new();
        let mut before = None;
        loop {
            let query = MissionQuery { limit: Some(200), before, ..MissionQuery::default() };
            let page = self.server.call::<ListMissions>(&self.ann, query).await.expect("a page");
            for mission in page.items.iter().filter(|mission| mission.title.starts_with("Made ")) {
                let mark = marks(&mission.title).next().expect("a mark");
                made.entry(mark).or_default().push(mission.id);
            }
            before = page.next;
            if before.is_none() {
                return made;
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it went wrong at step {}", self.nth);
        }
    }
}
