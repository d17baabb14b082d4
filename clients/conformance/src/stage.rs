//! Where a scenario is played: a server, somebody at work on a mission, and the client under test, who watches.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use flightdeck_protocol::{MissionId, model::Mission};
use serde_json::{Value, json};

use crate::{
    client::Client,
    desk::Desk,
    door::Door,
    lines::Order,
    report::Outcome,
    scenarios::Scenario,
    server::Server,
    witness::{Kind, difference},
};

/// How often one more event is made for a client that may have missed the last one without a way to know.
const NUDGE: Duration = Duration::from_secs(5);

/// What holds for all scenarios.
pub(crate) struct Setting {
    /// The server's program.
    pub(crate) server: PathBuf,
    /// The command that starts the client under test.
    pub(crate) client: Vec<String>,
    /// How long the client may take for anything.
    pub(crate) patience: Duration,
}

/// The client failed for good: what follows would say nothing more.
pub(crate) struct Failed;

/// How far a scenario came: `Err(Failed)` where the client cannot go on.
pub(crate) type Played = anyhow::Result<Result<(), Failed>>;

/// One scenario's stage.
pub(crate) struct Stage {
    pub(crate) server: Server,
    /// Between the client and the server.
    pub(crate) door: Door,
    pub(crate) desk: Desk,
    pub(crate) client: Client,
    pub(crate) mission: MissionId,
    pub(crate) patience: Duration,
}

/// Plays a scenario.
///
/// # Errors
/// When the server or the harness fails, not the client.
pub(crate) async fn play(scenario: Scenario, setting: &Setting) -> anyhow::Result<Outcome> {
    let name = scenario.name();
    let began = Instant::now();
    let server = Server::start(&setting.server, scenario.flags()).await?;
    let mut desk = Desk::sign_up(&server.url()).await?;
    let mission = desk.mission(&format!("For the scenario {name}")).await?;
    let client = Client::start(&setting.client, Desk::sign_in(&server.url()).await?)?;
    let door = Door::before(server.port()).await?;
    let mut stage = Stage { server, door, desk, client, mission, patience: setting.patience };
    let mut skipped = None;
    if stage.greeted().await {
        match scenario.needs() {
            Some(need) if !stage.client.witness().can.iter().any(|can| can == need) => {
                skipped = Some(format!("the library does not say that it can do {need}"));
            }
            _ => {
                // Whether it came to an end, the findings say.
                let _ = stage.perform(scenario).await.with_context(|| format!("the scenario {name}"))?;
            }
        }
    }
    let witness = stage.client.stop().await;
    Ok(Outcome {
        scenario: name,
        library: witness.library,
        events: witness.events,
        snapshots: witness.snapshots,
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        skipped,
        findings: witness.findings,
    })
}

impl Stage {
    async fn greeted(&mut self) -> bool {
        let greeted = self.client.until(self.patience, |witness| witness.library.is_some()).await;
        if !greeted {
            self.client.find(Kind::Broken, "it did not say hello");
        }
        greeted
    }

    async fn perform(&mut self, scenario: Scenario) -> Played {
        let (url, token, mission) = (self.door.url(), self.desk.token(), self.mission);
        let (missions, inbox) = (scenario.list(), scenario == Scenario::Inbox);
        self.client.tell(Order::Begin { url, token, mission, missions, inbox }).await;
        if let Err(failed) = self.settle().await? {
            return Ok(Err(failed));
        }
        scenario.act(self).await
    }

    /// Changes the mission so many times, one after the other.
    pub(crate) async fn work(&mut self, times: usize) -> anyhow::Result<()> {
        self.desk.work(self.mission, times).await
    }

    /// Plans faults; each has `after` in place of `at_seq`: how many events from now on.
    pub(crate) async fn plan(&mut self, faults: &[Value]) -> anyhow::Result<()> {
        let head = self.desk.look(self.mission).await?.seq;
        let mut faults = faults.to_vec();
        for fault in faults.iter_mut().filter_map(Value::as_object_mut) {
            if let Some(after) = fault.remove("after").and_then(|after| after.as_u64()) {
                fault.insert("at_seq".to_owned(), json!(head + after));
            }
        }
        self.desk.call("fault.plan", &json!({"mission": self.mission, "faults": faults})).await?;
        Ok(())
    }

    /// Waits until the client has everything, and holds its state against the server's.
    pub(crate) async fn settle(&mut self) -> Played {
        let began = Instant::now();
        loop {
            let left = self.patience.saturating_sub(began.elapsed());
            let server = self.desk.look(self.mission).await?;
            let witness = self.client.witness();
            if let Some(why) = witness.ended {
                self.client.find(Kind::Broken, format!("it gave up: {why}"));
                return Ok(Err(Failed));
            }
            if witness.is_gone {
                self.client.find(Kind::Broken, "it ended");
                return Ok(Err(Failed));
            }
            if left.is_zero() {
                let what = format!("it is at {} where the server is at {}", witness.seq(), server.seq);
                self.client.find(Kind::Stuck, what);
                return Ok(Err(Failed));
            }
            if !self.client.until(left.min(NUDGE), |witness| witness.seq() >= server.seq).await {
                if !self.client.witness().is_gone {
                    self.work(1).await?;
                }
                continue;
            }
            let Some(state) = self.client.state(left).await else {
                self.client.find(Kind::Stuck, "it does not say what its state is");
                return Ok(Err(Failed));
            };
            self.compare(&server, state)?;
            return Ok(Ok(()));
        }
    }

    fn compare(&self, server: &Mission, client: Option<Value>) -> anyhow::Result<()> {
        // Read by the same code, so that it does not matter how absent values are written.
        let server = serde_json::to_value(server)?;
        let client = client.map(serde_json::from_value::<Mission>).transpose();
        match client.map(|client| serde_json::to_value(client.as_ref())) {
            Ok(client) => {
                if let Some(difference) = difference(&server, &client?) {
                    self.client.find(Kind::Divergence, format!("mission{difference}"));
                }
            }
            Err(error) => self.client.find(Kind::Divergence, format!("its state is no mission: {error}")),
        }
        Ok(())
    }
}
