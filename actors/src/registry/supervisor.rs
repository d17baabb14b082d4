//! The supervisor: starts missions, restarts them after a panic, sets aside what
//! cannot be replayed, and lets the idle ones leave memory.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message, WrapFuture as _};
use actix_rt::{Arbiter, ArbiterHandle};
use flightdeck_data::{
    mission::State,
    recovery::{Recovered, RecoveryError, recover},
};
use flightdeck_protocol::{Code, Fault, MissionId, OrganizationId, Timestamp};
use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;

use super::{Shared, not_found};
use crate::{
    live::{Feed, FeedBeginning},
    mission::{Beginning, Ended, LastUse, MissionActor, MissionHandle, Passivate, Why, restarting},
};

/// A mission that dies more often than this within [`CRASH_WINDOW`] is set aside.
const CRASHES: usize = 5;
const CRASH_WINDOW: Duration = Duration::from_secs(60);
/// How often idle missions are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// How many missions are read back from disk at once; the others wait for their turn.
pub(super) const RECOVERIES: usize = 8;
/// How many bytes of its newest events a mission that was read back keeps for those who watched it before,
/// whether they come or not. What they need beyond that is read when the first of them asks.
const KEPT_BYTES: usize = 32 * 1024;
/// How long to wait before a mission that could not be brought back is tried again.
const RETRY: Duration = Duration::from_millis(500);

type Waiting = Vec<oneshot::Sender<Result<MissionHandle, Fault>>>;

/// The actor behind the registry.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    threads: Vec<ArbiterHandle>,
    _arbiters: Vec<Arbiter>,
    /// Missions that are being brought, and who waits for them.
    starting: HashMap<MissionId, Waiting>,
    quarantined: HashMap<MissionId, String>,
    deaths: Deaths,
    lives: AtomicU64,
    recoveries: Arc<Semaphore>,
    stopping: bool,
}

/// Bring a mission, and tell who asks when it takes messages.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Bring {
    pub(super) mission: MissionId,
    /// The organization, where the mission is yet to be made.
    pub(super) new: Option<OrganizationId>,
    pub(super) answer: oneshot::Sender<Result<MissionHandle, Fault>>,
}

/// Start none any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct StopAll;

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(SWEEP, |supervisor, _| supervisor.sweep());
    }
}

impl Supervisor {
    /// One whose missions are spread over `threads` threads of their own.
    pub(super) fn new(shared: Arc<Shared>, threads: usize) -> Self {
        let arbiters: Vec<Arbiter> = (0..threads.max(1)).map(|_| Arbiter::new()).collect();
        Self {
            shared,
            threads: arbiters.iter().map(Arbiter::handle).collect(),
            _arbiters: arbiters,
            starting: HashMap::new(),
            quarantined: HashMap::new(),
            deaths: Deaths::default(),
            lives: AtomicU64::new(1),
            recoveries: Arc::new(Semaphore::new(RECOVERIES)),
            stopping: false,
        }
    }

    fn sweep(&mut self) {
        self.deaths.forget(Instant::now());
        let idle = i64::try_from(self.shared.world.tuning.mission_idle.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp::from_millis(Timestamp::now().as_millis().saturating_sub(idle));
        for handle in self.shared.all() {
            if handle.last_use.was_before(before) {
                // A full mailbox means that it is not idle.
                let _ = handle.addr.try_send(Passivate { last_use: handle.last_use.clone(), before });
            }
        }
    }

    /// Starts `mission`; who waits for it is told when it is there. A mission
    /// that is restarted keeps its feed, so its watchers stay.
    fn bring(
        &mut self,
        mission: MissionId,
        new: Option<OrganizationId>,
        feed: Option<Arc<Feed>>,
        ctx: &mut Context<Self>,
    ) {
        let world = self.shared.world.clone();
        let turns = self.recoveries.clone();
        // A feed that is there has what it needs.
        let keep_bytes = if feed.is_some() { 0 } else { KEPT_BYTES.min(world.tuning.feed.max_bytes) };
        let load = async move {
            let generation = world.journal.take_over(mission).await.map_err(|error| {
                tracing::error!(%mission, %error, "the journal takes no mission over");
                Trouble::Passing(Fault::new(Code::StoreUnavailable, "the store cannot be used now; ask again later"))
            })?;
            let recovered = match new {
                Some(_) => Ok(fresh(mission)),
                None => {
                    let history = world.history.clone();
                    let turn = turns.acquire_owned().await;
                    let read = tokio::task::spawn_blocking(move || {
                        let _turn = turn;
                        recover(&history, mission, keep_bytes)
                    });
                    let read = read.await;
                    read.map_err(|_| RecoveryError::Panicked { mission }).and_then(|recovered| recovered)
                }
            };
            recovered.map(|recovered| (generation, recovered)).map_err(Trouble::Lasting)
        };
        let begin = load.into_actor(self).map(move |loaded, supervisor, ctx| {
            let fault = match loaded {
                Ok((generation, recovered)) => {
                    let organization = recovered.state.mission.as_ref().map(|mission| mission.organization).or(new);
                    match organization {
                        Some(organization) => {
                            return supervisor.begin(generation, recovered, organization, feed, ctx);
                        }
                        None => not_found(mission),
                    }
                }
                Err(Trouble::Passing(fault)) => {
                    if let Some(feed) = feed {
                        // It has watchers, and maybe an agent: it is tried again until it succeeds.
                        ctx.run_later(RETRY, move |supervisor, ctx| {
                            if !supervisor.stopping && !supervisor.starting.contains_key(&mission) {
                                supervisor.starting.entry(mission).or_default();
                                supervisor.bring(mission, None, Some(feed), ctx);
                            }
                        });
                    }
                    fault
                }
                Err(Trouble::Lasting(RecoveryError::Unknown(_))) => not_found(mission),
                Err(Trouble::Lasting(error)) => supervisor.quarantine(mission, &chain(&error), feed.as_deref()),
            };
            supervisor.answer(mission, &Err(fault));
        });
        ctx.spawn(begin);
    }

    /// Tells everyone who waits for `mission`.
    fn answer(&mut self, mission: MissionId, outcome: &Result<MissionHandle, Fault>) {
        for waiting in self.starting.remove(&mission).unwrap_or_default() {
            // Whoever asked may have gone.
            let _ = waiting.send(outcome.clone());
        }
    }

    fn begin(
        &mut self,
        generation: u64,
        mut recovered: Recovered,
        organization: OrganizationId,
        feed: Option<Arc<Feed>>,
        ctx: &mut Context<Self>,
    ) {
        let mission = recovered.state.id;
        if self.stopping {
            return self.answer(mission, &Err(restarting()));
        }
        let world = self.shared.world.clone();
        let feed = feed.filter(|feed| feed.epoch == recovered.epoch && !feed.has_ended()).unwrap_or_else(|| {
            let head = recovered.state.seq();
            let shown = recovered.state.living().into_iter().flat_map(|mission| &mission.activity);
            let activities = shown.map(|activity| activity.seq).collect();
            let beginning = FeedBeginning { head, newest: std::mem::take(&mut recovered.newest), activities };
            Arc::new(Feed::new((mission, organization), recovered.epoch, beginning, world.tuning.feed))
        });
        let life = self.lives.fetch_add(1, Ordering::Relaxed);
        let supervisor = ctx.address().recipient();
        let (ready, started) = oneshot::channel();
        let beginning = Beginning { world, feed: feed.clone(), recovered, generation, life, supervisor, ready };
        let thread = &self.threads[(mission.0.as_u128() % self.threads.len() as u128) as usize];
        let addr = MissionActor::start_in_arbiter(thread, move |_| MissionActor::new(beginning));
        let handle = MissionHandle { addr, life, last_use: LastUse::first(), feed };
        // Known at once, so that its death is noticed; handed out once it takes messages.
        self.shared.change(|live| live.insert(mission, handle.clone()));
        ctx.spawn(started.into_actor(self).map(move |started, supervisor, _| {
            supervisor.answer(mission, &started.map(|()| handle).map_err(|_| restarting()));
        }));
    }

    /// Sets `mission` aside; who watches it is sent away, and told why when they come back.
    fn quarantine(&mut self, mission: MissionId, reason: &str, feed: Option<&Feed>) -> Fault {
        tracing::error!(%mission, reason, "a mission is set aside");
        let fault = quarantined(reason);
        if let Some(feed) = feed {
            feed.end(fault.clone());
            // Its last changes may be on disk without anyone having been told.
            let (world, organization) = (self.shared.world.clone(), feed.organization);
            actix_rt::spawn(async move {
                // Should the journal not confirm, lists are read anew all the same.
                let _ = world.journal.write(Vec::new()).await;
                world.boards.refresh(organization);
            });
        }
        self.quarantined.insert(mission, reason.to_owned());
        fault
    }
}

/// When missions died lately.
#[derive(Default)]
struct Deaths(HashMap<MissionId, VecDeque<Instant>>);

impl Deaths {
    /// Whether `mission`, which died just `now`, has done so too often lately.
    fn are_too_many(&mut self, mission: MissionId, now: Instant) -> bool {
        let deaths = self.0.entry(mission).or_default();
        deaths.retain(|at| now.duration_since(*at) < CRASH_WINDOW);
        deaths.push_back(now);
        deaths.len() > CRASHES
    }

    /// Forgets what is long ago.
    fn forget(&mut self, now: Instant) {
        self.0.retain(|_, deaths| deaths.back().is_some_and(|at| now.duration_since(*at) < CRASH_WINDOW));
    }
}

impl Handler<Bring> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: Bring, ctx: &mut Self::Context) {
        let Bring { mission, new, answer } = message;
        let outcome = match (self.shared.get(mission), self.quarantined.get(&mission)) {
            (Some(handle), _) if handle.is_there() => Ok(handle),
            (_, Some(reason)) => Err(quarantined(reason)),
            (_, None) if self.stopping => Err(restarting()),
            (gone, None) => {
                let is_starting = self.starting.contains_key(&mission);
                self.starting.entry(mission).or_default().push(answer);
                if !is_starting {
                    self.bring(mission, new, gone.map(|handle| handle.feed), ctx);
                }
                return;
            }
        };
        // Whoever asked may have gone.
        let _ = answer.send(outcome);
    }
}

impl Handler<Ended> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: Ended, ctx: &mut Self::Context) {
        let Ended { mission, life, why } = ended;
        let removed = self.shared.change(|live| match live.get(&mission) {
            Some(handle) if handle.life == life => live.remove(&mission),
            _ => None,
        });
        let Some(handle) = removed else { return };
        if self.stopping || !matches!(why, Why::Panicked | Why::CommitFailed) {
            return;
        }
        tracing::warn!(%mission, ?why, "a mission died; it is started again from the journal");
        // A journal that takes nothing is no fault of the mission's.
        if why == Why::Panicked && self.deaths.are_too_many(mission, Instant::now()) {
            let reason = format!("it died more than {CRASHES} times within {} seconds", CRASH_WINDOW.as_secs());
            self.quarantine(mission, &reason, Some(&handle.feed));
            return;
        }
        if !self.starting.contains_key(&mission) {
            self.starting.entry(mission).or_default();
            self.bring(mission, None, Some(handle.feed), ctx);
        }
    }
}

impl Handler<StopAll> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: StopAll, _: &mut Self::Context) {
        self.stopping = true;
    }
}

enum Trouble {
    /// It may be better the next time.
    Passing(Fault),
    /// The history itself is at fault.
    Lasting(RecoveryError),
}

fn fresh(mission: MissionId) -> Recovered {
    Recovered {
        state: State::new(mission),
        epoch: Uuid::now_v7(),
        last_hash: flightdeck_data::journal::FIRST_HASH,
        replayed: 0,
        newest: Vec::new(),
    }
}

fn quarantined(reason: &str) -> Fault {
    let message = format!(
        "the mission is set aside: {reason}; its history was not touched, and whoever runs the server can look into it"
    );
    Fault::new(Code::MissionQuarantined, message)
}

/// An error with all that led to it.
fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_count_for_a_while_and_are_then_forgotten() {
        let (mut deaths, began) = (Deaths::default(), Instant::now());
        let (often, once) = (MissionId::fresh(), MissionId::fresh());
        assert!(!deaths.are_too_many(once, began));
        let died: Vec<bool> =
            (1..=6).map(|second| deaths.are_too_many(often, began + second * CRASH_WINDOW / 10)).collect();
        assert_eq!(died, [false, false, false, false, false, true]);
        deaths.forget(began + CRASH_WINDOW);
        assert_eq!(deaths.0.keys().collect::<Vec<_>>(), [&often], "nobody is kept for ever");
        assert!(!deaths.are_too_many(often, began + 2 * CRASH_WINDOW));
        deaths.forget(began + 4 * CRASH_WINDOW);
        assert!(deaths.0.is_empty());
    }
}
