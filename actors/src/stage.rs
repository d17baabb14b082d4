//! For tests: a whole desk over a store in memory that fails when told to, and sessions at it.

use std::{collections::HashMap, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use flightdeck_data::{
    answers::Answers,
    documents::Documents,
    inbox::Inbox,
    index::Index,
    journal::{History, Journal, JournalOptions},
    mission::RestartPolicy,
    people::{AccessTokens, Directory, SignIns},
    store::{MemoryStore, Store, faulty::FaultyStore},
};
use flightdeck_protocol::{
    MissionId,
    model::Role,
    operations::{Heartbeat, Limits, SignedIn},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::{
    agent::Keeper,
    dispatch::{Answer, Desk, Via},
    door::{Door, DoorRules, Pace},
    live::{Boards, FeedRules, Outgoing, Past},
    mission::Caller,
    registry::Registry,
    secrets::Secrets,
    session::{ResumeBounds, Session, SessionRules},
    world::{Tuning, World},
};

const MUCH: u32 = 10_000;

/// A desk, and what it stands on.
pub(crate) struct Stage {
    pub(crate) desk: Arc<Desk>,
    pub(crate) store: FaultyStore,
    /// The admin.
    pub(crate) ann: Caller,
    _home: TempDir,
}

/// Plays `story` on a stage of its own, in a system of its own.
pub(crate) fn play<F: Future<Output = ()>>(story: impl FnOnce(Stage) -> F) {
    actix_rt::System::new().block_on(async { story(Stage::set().await).await });
}

impl Stage {
    async fn set() -> Self {
        let home = TempDir::new().unwrap();
        let store = FaultyStore::new(Arc::new(MemoryStore::default()));
        let kept: Arc<dyn Store> = Arc::new(store.clone());
        let journal = Journal::start(kept.clone(), JournalOptions::default()).unwrap();
        let directory = Directory::open(kept.clone(), journal.clone());
        let world = Arc::new(World {
            journal,
            past: Past::new(History::new(kept.clone())),
            history: History::new(kept.clone()),
            index: Index::new(kept.clone()),
            inbox: Inbox::new(kept.clone()),
            answers: Answers::new(kept),
            boards: Boards::default(),
            documents: Documents::open(&home.path().join("documents"), 1_000).unwrap(),
            secrets: Secrets::new(home.path().join("secrets")),
            kinds: HashMap::new(),
            places: Arc::new(Semaphore::new(1)),
            keeper: Keeper::this_binary(),
            workspaces: home.path().join("workspaces"),
            tuning: tuning(),
        });
        let access = AccessTokens::open(&home.path().join("key"), 3_600_000).unwrap();
        let sign_ins = SignIns::new(directory.clone(), SignIns::DEFAULT_LIFETIME_MS);
        let pace = Pace { per_second: MUCH, burst: MUCH };
        let door = Door::new(DoorRules {
            unnamed_sockets: MUCH,
            openings_per_second: MUCH,
            opening_burst: MUCH,
            sessions: MUCH,
            pace,
        });
        let desk = Desk::new(Registry::start(world, 1), directory, sign_ins, access, true, door);
        let account = json!({"username": "ann", "password": "correct horse battery"});
        let signed: SignedIn = serde_json::from_value(call(&desk, None, "auth.signup", account).await).unwrap();
        let ann = desk.caller(&signed.tokens.access_token).unwrap();
        Self { desk, store, ann, _home: home }
    }

    /// Somebody of `role` in the admin's organization.
    pub(crate) async fn member(&self, role: Role, name: &str) -> Caller {
        let account = json!({"username": name, "password": "correct horse battery", "role": role});
        self.call("user.create", account).await;
        self.sign_in(name).await
    }

    /// `name` signs in, once more perhaps.
    pub(crate) async fn sign_in(&self, name: &str) -> Caller {
        let login = json!({"username": name, "password": "correct horse battery"});
        let signed: SignedIn = serde_json::from_value(call(&self.desk, None, "auth.login", login).await).unwrap();
        self.desk.caller(&signed.tokens.access_token).unwrap()
    }

    /// The admin calls an operation.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        self.call_as(&self.ann, method, params).await
    }

    /// Somebody calls an operation.
    pub(crate) async fn call_as(&self, who: &Caller, method: &str, params: Value) -> Value {
        call(&self.desk, Some(who), method, params).await
    }

    /// A mission.
    pub(crate) async fn mission(&self) -> MissionId {
        let made = self.call("mission.create", json!({"title": "A mission"})).await;
        serde_json::from_value(made["id"].clone()).unwrap()
    }

    /// A session that is open for `caller`.
    pub(crate) fn session(&self, caller: &Caller) -> Session {
        let pass = self.desk.door.enter(Some(caller.person.id)).unwrap();
        Session::new(self.desk.clone(), Arc::new(rules()), pass, Some(caller.clone()), None)
    }
}

async fn call(desk: &Desk, caller: Option<&Caller>, method: &str, params: Value) -> Value {
    let (_, asked) = desk.read(method, &params.to_string(), caller, Via::Socket).unwrap();
    match desk.call(asked, caller).await.unwrap() {
        Answer::Json(json) => serde_json::from_slice(&json).unwrap(),
        Answer::File(_) => panic!("{method} gives bytes"),
    }
}

impl Session {
    /// The client asks.
    pub(crate) fn asks(&self, id: u64, method: &str, params: Value) {
        self.on_text(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
    }

    /// The next thing that the client hears: a message, or the close code.
    pub(crate) async fn tells(&self) -> Result<Value, u16> {
        let next = async { poll_fn(|cx| self.outbox().poll_next(cx)).await };
        match tokio::time::timeout(Duration::from_secs(60), next).await.unwrap() {
            Some(Outgoing::Text(parts)) => Ok(serde_json::from_slice(&parts.concat()).unwrap()),
            Some(Outgoing::Close(close)) => Err(close.code()),
            Some(Outgoing::Abort) | None => panic!("the end"),
        }
    }

    /// The answer to request `id`; what else comes is passed over.
    pub(crate) async fn answer_to(&self, id: u64) -> Value {
        loop {
            let told = self.tells().await.unwrap();
            if told["id"] == id {
                return told;
            }
        }
    }

    /// Whether there is something to be heard now.
    pub(crate) async fn has_news(&self) -> bool {
        poll_fn(|cx| {
            let next = self.outbox().poll_next(cx);
            Poll::Ready(next.is_ready())
        })
        .await
    }
}

fn rules() -> SessionRules {
    SessionRules {
        limits: Limits {
            message_bytes: 100_000,
            subscriptions: 4,
            requests_in_flight: 32,
            resume_events: 100,
            resume_bytes: 100_000,
            outbox_bytes: 1 << 23,
            outbox_messages: 4_096,
            sessions: MUCH,
            unnamed_sockets: MUCH,
            open_timeout_ms: 10_000,
            openings_per_second: MUCH,
            opening_burst: MUCH,
            commands_per_second: MUCH,
            command_burst: MUCH,
            idem_calls: 1_000,
            live_interval_ms: 40,
            list_items: 100,
        },
        heartbeat: Heartbeat { interval_ms: 60_000, timeout_ms: 600_000 },
        resume: ResumeBounds { events: 100, bytes: 100_000 },
        open_timeout: Duration::from_secs(10),
        version: "test",
    }
}

fn tuning() -> Tuning {
    let long = Duration::from_secs(600);
    Tuning {
        snapshot_events: 1_000,
        snapshot_bytes: 1_000_000,
        feed: FeedRules {
            max_bytes: 1_000_000,
            live_interval: Duration::from_millis(40),
            presence_grace: Duration::from_secs(5),
        },
        mission_idle: long,
        in_flight: 256,
        line_bytes: 10_000,
        lines_per_second: MUCH,
        line_burst: MUCH,
        stop_grace: Duration::from_secs(1),
        pause_grace: Duration::from_secs(1),
        restart: RestartPolicy { limit: 1, base_ms: 1, max_ms: 1 },
        named_calls: 100,
        drills: true,
        faults: false,
    }
}
