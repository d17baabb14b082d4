//! A run: sets the stage, carries out the steps of a plan, waits for quiet, and has everything checked.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use flightdeck_protocol::{
    Fault, Operation,
    model::Role,
    operations::{MissionRef, PanicMission, UpdateUser, UserUpdate},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};

use super::{
    guest::Guest,
    lists::List,
    plan::{Plan, Step},
    tab::{Order, Shared, Tab},
    truth::Watched,
};
use crate::support::{Member, Scripts, Server, agents_with, eventually, within};

/// Commands that wait for an answer from tabs that read.
const IN_FLIGHT: usize = 48;
/// A mission that panics more often than this within [`PANIC_WINDOW`] may be set aside by the server.
const PANICS: usize = 4;
const PANIC_WINDOW: Duration = Duration::from_secs(70);

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
    let panics = stage.panics.iter().map(Vec::len).sum::<usize>();
    let shared = Arc::clone(&stage.shared);
    stage.settle().await;
    let tally = stage.judge().await;
    let unwatched = shared.unwatched.load(std::sync::atomic::Ordering::Relaxed);
    eprintln!("{panics} panics, {unwatched} watches ended before they stood");
    eprintln!("{} steps in {played:.1?}, {:.1?} with the verdict; {tally:?}", plan.steps.len(), began.elapsed());
    if plan.steps.len() >= 1_000 {
        assert!(tally.done * 4 > plan.steps.len(), "little was done: {tally:?}");
        assert!(tally.repeated > 0 && tally.refused.contains_key("seq_conflict"), "no guard was needed: {tally:?}");
        assert!(panics > 0 && unwatched > 0, "no mission panicked, or no watch was ended before it stood");
    }
}

/// A tab at work.
pub(super) struct Seat {
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) task: JoinHandle<Tab>,
}

pub(super) struct Stage {
    pub(super) server: Server,
    /// Looks after it all, and is none of the people whose commands are counted.
    pub(super) ann: Member,
    pub(super) people: Vec<Member>,
    /// What each of the people may do now.
    pub(super) roles: Vec<Role>,
    pub(super) guest: Guest,
    pub(super) shared: Arc<Shared>,
    pub(super) seats: Vec<Seat>,
    turns: Arc<Semaphore>,
    pub(super) by_hand: usize,
    /// When each mission panicked.
    panics: Vec<Vec<Instant>>,
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
        let flags: Vec<&str> = flags.iter().flat_map(|(name, value)| [*name, *value]).chain(["--drills"]).collect();
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
        let panics = vec![Vec::new(); missions.len()];
        let shared = Arc::new(Shared {
            url: Mutex::new(server.url.clone()),
            missions,
            ledger: Mutex::default(),
            unwatched: AtomicUsize::new(0),
        });
        let seat = |nth: usize| {
            let missions = (0..shared.missions.len()).filter(|mission| !(mission + nth).is_multiple_of(3));
            let wanted = missions.map(Watched::Mission).chain(List::EACH.map(Watched::List));
            let tab = Tab::new(Arc::clone(&shared), people[nth % people.len()].clone(), nth, wanted);
            let (orders, taken) = mpsc::channel(16);
            Seat { orders, task: tokio::spawn(tab.live(taken)) }
        };
        let seats = (0..plan.tabs).map(seat).collect();
        let guest = server.member(&ann, Role::Manager, "gus").await;
        let guest = Guest::arrive(&server, guest, Arc::clone(&shared)).await;
        let (roles, turns) = (roles.to_vec(), Arc::new(Semaphore::new(IN_FLIGHT)));
        Self { server, ann, people, roles, guest, shared, seats, turns, by_hand: plan.by_hand, panics, nth: 0 }
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Connect { tab } => self.tell(tab, Order::Connect).await,
            Step::Drop { tab } => self.tell(tab, Order::Drop).await,
            Step::Hush { tab } => self.tell(tab, Order::Hush).await,
            Step::Read { tab } => self.tell(tab, Order::Read).await,
            Step::Watch { tab, mission } => self.tell(tab, Order::Watch(Watched::Mission(mission))).await,
            Step::Unwatch { tab, mission } => self.tell(tab, Order::Unwatch(Watched::Mission(mission))).await,
            Step::Peek { tab, mission } => self.tell(tab, Order::Peek(Watched::Mission(mission))).await,
            Step::WatchList { tab, list } => self.tell(tab, Order::Watch(Watched::List(list))).await,
            Step::UnwatchList { tab, list } => self.tell(tab, Order::Unwatch(Watched::List(list))).await,
            Step::PeekList { tab, list } => self.tell(tab, Order::Peek(Watched::List(list))).await,
            Step::Show { tab, mission, typing } => self.tell(tab, Order::Show { mission, typing }).await,
            Step::Again { tab } => self.tell(tab, Order::Again).await,
            Step::Act { tab, mission, act, idem, if_seq } => {
                let waiting = within("room for one more command", Arc::clone(&self.turns).acquire_owned());
                let turn = waiting.await.expect("an open semaphore");
                self.tell(tab, Order::Act { mission, act, idem, if_seq, turn }).await;
            }
            Step::Say { mission } => self.guest.say(mission),
            Step::Role { person, role } => {
                let person = person % self.people.len();
                let user = self.people[person].person.id;
                let change = UserUpdate { user, role: Some(role), active: None, name: None };
                assert_eq!(self.insist::<UpdateUser>(change).await.role, role);
                self.roles[person] = role;
            }
            Step::Panic { mission } => {
                let lately = self.panics[mission].iter().filter(|at| at.elapsed() < PANIC_WINDOW).count();
                if lately < PANICS {
                    self.panics[mission].push(Instant::now());
                    self.insist::<PanicMission>(MissionRef { mission: self.shared.missions[mission] }).await;
                }
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
        self.guest.server_is_back(&self.server);
        *self.shared.url.lock().unwrap_or_else(PoisonError::into_inner) = self.server.url.clone();
    }

    /// Gives an order; a tab that cannot take one has failed, and says why.
    pub(super) async fn tell(&mut self, tab: usize, order: Order) {
        let seat = &mut self.seats[tab];
        if within("a tab to take an order", seat.orders.send(order)).await.is_err() {
            match (&mut seat.task).await {
                Err(error) => std::panic::resume_unwind(error.into_panic()),
                Ok(_) => panic!("tab {tab} has ended"),
            }
        }
    }

    /// Calls until it is not refused for a while only.
    pub(super) async fn insist<O: Operation<Params: Clone>>(&self, params: O::Params) -> O::Result {
        let call = || async {
            match self.server.call::<O>(&self.ann, params.clone()).await {
                Ok(result) => Some(result),
                Err(Fault { data, .. }) if data.temporary => None,
                Err(fault) => panic!("{fault}"),
            }
        };
        eventually(O::METHOD, call).await
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it went wrong at step {}", self.nth);
        }
    }
}
