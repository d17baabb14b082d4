//! Puts the server together: the store, what is kept in it, and the actors over it.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use flightdeck_actors::{
    agent::Keeper,
    dispatch::Desk,
    door::{Door, DoorRules, Pace},
    live::{ANSWER_BYTES, ANSWER_MESSAGES, Boards, FeedRules, Past},
    registry::Registry,
    secrets::Secrets,
    session::{ResumeBounds, SessionRules},
    world::{AgentKind, Tuning, World},
};
use flightdeck_data::{
    answers::Answers,
    documents::Documents,
    inbox::{ENDS, Inbox},
    index::Index,
    journal::{History, Journal, JournalOptions},
    mission::RestartPolicy,
    people::{AccessTokens, Directory, SignIns},
    store::{SledOptions, SledStore, Store},
};
use flightdeck_protocol::operations::{Heartbeat, Limits};
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    stat::{Mode, umask},
};
use tokio::sync::Semaphore;

use crate::settings::{Settings, Signup};

/// Where things are in the server's folder.
pub(crate) struct Layout(PathBuf);

impl Layout {
    /// The layout of `folder`, which is made for its owner's eyes alone if it is not there.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        // Whatever this process makes from now on, accounts and documents among it, is its owner's alone.
        umask(Mode::from_bits_truncate(0o077));
        if !folder.exists() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        }
        // Agents run elsewhere than the server: their paths must not depend on where it was started.
        let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
        Ok(Self(folder))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// The secrets of all organizations.
    pub(crate) fn secrets(&self) -> Secrets {
        Secrets::new(self.0.join("secrets"))
    }
}

/// What is kept, without the actors over it.
pub(crate) struct Kept {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) journal: Journal,
    pub(crate) directory: Directory,
}

/// Opens the store of `layout`.
pub(crate) fn open_store(layout: &Layout, cache_bytes: u64) -> anyhow::Result<Kept> {
    let store: Arc<dyn Store> = Arc::new(SledStore::open(&layout.store(), SledOptions { cache_bytes })?);
    let journal = Journal::start(store.clone(), JournalOptions::default()).context("cannot start the journal")?;
    let directory = Directory::open(store.clone(), journal.clone());
    Ok(Kept { store, journal, directory })
}

/// A server that is put together, and not yet reachable.
pub(crate) struct Services {
    pub(crate) desk: Arc<Desk>,
    pub(crate) rules: Arc<SessionRules>,
    pub(crate) journal: Journal,
}

/// Takes as many open files as the system lets this process have: each socket is one.
fn raise_open_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Puts the server together; to be called in an actix system.
pub(crate) fn start(settings: &Settings, layout: &Layout) -> anyhow::Result<Services> {
    raise_open_files();
    let Kept { store, journal, directory } = open_store(layout, settings.cache_bytes)?;
    let world = Arc::new(World {
        journal: journal.clone(),
        past: Past::new(History::new(store.clone())),
        history: History::new(store.clone()),
        index: Index::new(store.clone()),
        inbox: Inbox::new(store.clone()),
        answers: Answers::new(store),
        boards: Boards::default(),
        documents: Documents::open(&layout.file("documents"), settings.document_bytes)?,
        secrets: layout.secrets(),
        kinds: kinds(settings),
        places: Arc::new(Semaphore::new(settings.agents_running as usize)),
        keeper: Keeper::this_binary(),
        workspaces: layout.file("workspaces"),
        tuning: tuning(settings),
    });
    let access_ms = i64::try_from(settings.access_token_seconds)? * 1_000;
    let access = AccessTokens::open(&layout.file("signing.key"), access_ms)?;
    let sign_ins = SignIns::new(directory.clone(), i64::from(settings.refresh_token_days) * 24 * 3_600 * 1_000);
    let registry = Registry::start(world, threads(settings.mission_threads));
    let desk =
        Desk::new(registry, directory, sign_ins, access, settings.signup == Signup::Open, Door::new(door(settings)));
    Ok(Services { desk, rules: Arc::new(rules(settings)), journal })
}

/// `wanted` threads, or one a core where that is 0.
pub(crate) fn threads(wanted: u32) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        wanted => wanted as usize,
    }
}

fn kinds(settings: &Settings) -> HashMap<String, AgentKind> {
    let kind = |agent: &crate::settings::AgentSettings| AgentKind {
        command: agent.command.clone(),
        env: agent.env.clone().into_iter().collect(),
        wall: Duration::from_secs(agent.wall_seconds.unwrap_or(settings.agent_wall_seconds)),
        silence: Duration::from_secs(agent.silence_seconds.unwrap_or(settings.agent_silence_seconds)),
    };
    settings.agents.iter().map(|(name, agent)| (name.clone(), kind(agent))).collect()
}

fn tuning(settings: &Settings) -> Tuning {
    Tuning {
        snapshot_events: settings.snapshot_events,
        snapshot_bytes: usize::try_from(settings.snapshot_bytes).unwrap_or(usize::MAX),
        feed: FeedRules {
            max_bytes: usize::try_from(settings.feed_bytes).unwrap_or(usize::MAX),
            live_interval: Duration::from_millis(settings.live_interval_ms.into()),
            presence_grace: Duration::from_millis(settings.presence_grace_ms.into()),
        },
        mission_idle: Duration::from_secs(settings.mission_idle_seconds),
        in_flight: 256,
        line_bytes: settings.agent_line_bytes as usize,
        lines_per_second: settings.agent_events_per_second,
        line_burst: settings.agent_burst,
        stop_grace: Duration::from_millis(settings.agent_stop_grace_ms),
        pause_grace: Duration::from_millis(settings.agent_pause_grace_ms),
        restart: RestartPolicy {
            limit: settings.agent_restart_limit,
            base_ms: settings.agent_restart_base_ms,
            max_ms: settings.agent_restart_max_ms,
        },
        named_calls: settings.idem_calls as usize,
        drills: settings.drills,
        faults: settings.faults,
    }
}

fn door(settings: &Settings) -> DoorRules {
    DoorRules {
        unnamed_sockets: settings.unnamed_sockets,
        openings_per_second: settings.openings_per_second,
        opening_burst: settings.opening_burst,
        sessions: settings.sessions,
        pace: Pace { per_second: settings.commands_per_second, burst: settings.command_burst },
    }
}

fn rules(settings: &Settings) -> SessionRules {
    SessionRules {
        limits: Limits {
            message_bytes: settings.message_bytes,
            subscriptions: settings.subscriptions,
            requests_in_flight: settings.requests_in_flight,
            resume_events: settings.resume_events,
            resume_bytes: settings.resume_bytes,
            outbox_bytes: ANSWER_BYTES as u64,
            outbox_messages: ANSWER_MESSAGES,
            sessions: settings.sessions,
            unnamed_sockets: settings.unnamed_sockets,
            open_timeout_ms: settings.open_timeout_ms,
            openings_per_second: settings.openings_per_second,
            opening_burst: settings.opening_burst,
            commands_per_second: settings.commands_per_second,
            command_burst: settings.command_burst,
            idem_calls: settings.idem_calls,
            live_interval_ms: settings.live_interval_ms,
            // Whoever watches their inbox sees all ends of missions that wait for them.
            list_items: ENDS as u32,
        },
        heartbeat: Heartbeat { interval_ms: settings.heartbeat_interval_ms, timeout_ms: settings.heartbeat_timeout_ms },
        resume: ResumeBounds { events: settings.resume_events, bytes: settings.resume_bytes },
        open_timeout: Duration::from_millis(settings.open_timeout_ms),
        version: env!("CARGO_PKG_VERSION"),
    }
}
