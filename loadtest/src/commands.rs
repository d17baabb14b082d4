//! `commands`: callers that each await an answer, which says that the command is on disk.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::{Args, value_parser};
use flightdeck_protocol::{
    MissionId, Operation as _,
    client::Session,
    model::ActivityType,
    operations::{ActivityAdd, AddActivity, GetMission, MissionRef},
};
use futures_util::future::try_join_all;
use serde::Serialize;

use crate::{
    latency::Latency,
    meter::Meter,
    options::{Callers, Window},
    progress::Progress,
    report::{Figure, Report, Unit},
    scan,
    signin::{SignIn, started_mission},
};

/// How long a caller waits that was told to come back, if it was not told when.
const COME_BACK: Duration = Duration::from_millis(50);

/// Where the commands go.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Commands")]
pub(crate) struct Load {
    /// Over how many missions the commands are spread; one run for each number
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_values_t = [64, 1],
        value_parser = value_parser!(u32).range(1..=100_000)
    )]
    missions: Vec<u32>,
    /// Measure each a second time with commands that have names, and whose answers are kept
    #[arg(long)]
    idem: bool,
}

/// Runs the scenario, once for each number of missions.
pub(crate) async fn run(
    sign_in: &SignIn,
    load: &Load,
    callers: &Callers,
    window: &Window,
) -> anyhow::Result<Vec<Report>> {
    let sessions = sign_in.connect_many(callers.sockets()).await?;
    let mut reports = Vec::new();
    for count in &load.missions {
        for named in [false, true].into_iter().filter(|named| load.idem || !named) {
            reports.push(over(*count, named, sign_in, &sessions, callers, window).await?);
        }
    }
    Ok(reports)
}

/// A mission, and how many commands it has acknowledged.
struct Busy {
    mission: MissionId,
    head: u64,
    acknowledged: Cell<u64>,
}

/// What callers share: they run on one thread.
struct Shared {
    /// Whether answers count now.
    counting: Cell<bool>,
    over: Cell<bool>,
    refused: Cell<u64>,
    latency: RefCell<Latency>,
}

async fn over(
    count: u32,
    named: bool,
    sign_in: &SignIn,
    sessions: &[Session],
    callers: &Callers,
    window: &Window,
) -> anyhow::Result<Report> {
    let progress = Progress::new();
    let mut missions = Vec::new();
    for number in 0..count {
        let mission = started_mission(&sessions[0], &format!("Load: commands {number}")).await?;
        missions.push(Busy { mission, head: head(&sessions[0], mission).await?, acknowledged: Cell::new(0) });
    }
    let shared = Shared {
        counting: Cell::new(false),
        over: Cell::new(false),
        refused: Cell::new(0),
        latency: RefCell::new(Latency::new()),
    };
    let work = (0..callers.callers as usize).map(|caller| {
        let (session, busy) = (&sessions[caller % sessions.len()], &missions[caller % missions.len()]);
        call(session, busy, named.then_some(caller), window.bytes as usize, &shared)
    });
    let timed = async {
        tokio::time::sleep(window.warm_up()).await;
        let before = (sign_in.meter.map(Meter::cpu).transpose()?, Meter::Own.cpu()?, Instant::now());
        shared.counting.set(true);
        for second in 0..window.seconds {
            let answered = shared.latency.borrow().count();
            progress.show(format_args!("commands on {count} missions: {second} s, {answered} answers"));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        shared.counting.set(false);
        let (server, own, began) = before;
        let elapsed = began.elapsed();
        let server = sign_in.meter.map(Meter::cpu).transpose()?.zip(server).map(|(now, then)| now.since(then));
        let own = Meter::Own.cpu()?.since(own);
        shared.over.set(true);
        anyhow::Ok((server, own, elapsed))
    };
    let ((server, own, elapsed), _) = tokio::try_join!(timed, try_join_all(work))?;
    for busy in &missions {
        busy.check(&sessions[0]).await?;
    }

    let latency = shared.latency.into_inner();
    let answered = latency.count();
    let mut figures =
        vec![Figure::new("durable commands a second", answered as f64 / elapsed.as_secs_f64(), Unit::PerSecond)];
    figures.extend(latency.figures("sent to acknowledged as durable"));
    if let Some(server) = server {
        figures.extend(server.figures("server", "command", answered, elapsed));
    }
    figures.push(Figure::count("commands, each there afterwards", answered));
    figures.push(Figure::count("refused for want of room, and sent again", shared.refused.get()));
    figures.extend(own.figures("load client:", "command", answered, elapsed));
    let setup = format!(
        "activity.add of {} bytes{} on {count} mission{}, {} callers on {} sockets, for {} s after {} s of warm-up",
        window.bytes,
        if named { " with idem" } else { "" },
        if count == 1 { "" } else { "s" },
        callers.callers,
        callers.sockets(),
        window.seconds,
        window.warm_up
    );
    Ok(Report { figures, ..Report::new("commands", setup) })
}

/// A command, with a name where it has one.
#[derive(Serialize)]
struct Named<'a> {
    #[serde(flatten)]
    activity: &'a ActivityAdd,
    #[serde(skip_serializing_if = "Option::is_none")]
    idem: Option<String>,
}

/// One caller: a command, its answer, the next. The caller that has a number names what it calls.
async fn call(
    session: &Session,
    busy: &Busy,
    caller: Option<usize>,
    bytes: usize,
    shared: &Shared,
) -> anyhow::Result<()> {
    let message = scan::message(0, bytes);
    for nth in 0u64.. {
        if shared.over.get() {
            break;
        }
        let activity = ActivityAdd {
            mission: busy.mission,
            activity_type: ActivityType::default(),
            message: message.clone(),
            details: None,
            step: None,
        };
        let began = Instant::now();
        let idem = caller.map(|caller| format!("{} {caller} {nth}", busy.mission));
        match session.call_raw(AddActivity::METHOD, &Named { activity: &activity, idem }).await {
            Ok(_) => {
                busy.acknowledged.set(busy.acknowledged.get() + 1);
                if shared.counting.get() {
                    shared.latency.borrow_mut().record(began.elapsed());
                }
            }
            Err(error) if error.fault().is_some_and(|fault| fault.data.temporary) => {
                shared.refused.set(shared.refused.get() + 1);
                let after = error.fault().and_then(|fault| fault.data.retry_after_ms);
                tokio::time::sleep(after.map_or(COME_BACK, Duration::from_millis)).await;
            }
            Err(error) => return Err(error).context("an activity was not taken"),
        }
    }
    Ok(())
}

async fn head(session: &Session, mission: MissionId) -> anyhow::Result<u64> {
    Ok(session.call::<GetMission>(MissionRef { mission }).await?.seq)
}

impl Busy {
    /// What was acknowledged is there, and nothing besides.
    async fn check(&self, session: &Session) -> anyhow::Result<()> {
        let (now, acknowledged) = (head(session, self.mission).await?, self.acknowledged.get());
        let mission = self.mission;
        ensure!(
            now == self.head + acknowledged,
            "mission {mission} was at event {} and acknowledged {acknowledged} commands, but is at {now}",
            self.head
        );
        Ok(())
    }
}
