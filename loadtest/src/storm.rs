//! `storm`: a server that is killed, and everyone who comes back at the same time.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::{Args, value_parser};
use flightdeck_protocol::{
    MissionId,
    operations::{GetMission, MissionRef},
};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    callers::{Called, EVERY, call_aside},
    herd::{Member, Returned},
    latency::Latency,
    meter::Meter,
    progress::Progress,
    report::{Figure, Report, Side, Unit},
    server::{Folder, Server},
    signin::{SignIn, started_mission},
};

/// How long all sessions may take to come about, to come back, and to get the rest.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long others call before the server is killed, and after everyone is back.
const AROUND: Duration = Duration::from_secs(5);
/// How long the server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// Who loses the server, and who calls meanwhile.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Storm")]
pub(crate) struct Load {
    /// How many sessions watch, and come back after the crash
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = value_parser!(u32).range(1..=100_000))]
    sessions: u32,
    /// Over how many missions they are spread
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u32).range(1..=10_000))]
    storm_missions: u32,
    /// How many other sessions add activities to these missions, ten a second each, from the start to the end
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u32).range(1..=1_000))]
    others: u32,
}

/// How the sessions come back.
#[derive(Clone, Copy)]
enum Manner {
    /// All in the moment in which the server listens.
    AtOnce,
    /// With the waits of our own client.
    WithWaits,
}

/// Runs the scenario, once for each manner, each on a server of its own in `parent`.
pub(crate) async fn run(program: &Path, parent: &Path, load: &Load) -> anyhow::Result<Report> {
    let mut compared = Vec::new();
    for (manner, name) in [(Manner::AtOnce, "all at once"), (Manner::WithWaits, "with our client's waits")] {
        let folder = Folder::inside(parent)?;
        compared.push(Side::new(name, once(program, &folder, load, manner).await?));
    }
    let Load { sessions, storm_missions, others } = load;
    let each = Duration::from_secs(1).as_millis() / EVERY.as_millis();
    let setup = format!(
        "{sessions} sessions watch {storm_missions} missions; {others} others add {each} activities/s each; \
         the server is killed with SIGKILL and started again"
    );
    Ok(Report { scenario: "storm", setup, figures: Vec::new(), compared })
}

async fn once(program: &Path, folder: &Folder, load: &Load, manner: Manner) -> anyhow::Result<Vec<Figure>> {
    let progress = Progress::new();
    let server = Server::start(program, folder).await?;
    let sign_in = server.sign_up().await?;
    let session = sign_in.connect().await?;
    let mut missions = Vec::new();
    for number in 0..load.storm_missions {
        missions.push(started_mission(&session, &format!("Load: storm {number}")).await?);
    }
    tokio::time::sleep(SETTLE).await;
    let before = server.meter()?.memory()?;
    progress.show(format_args!("storm: {} sessions connect", load.sessions));
    let (listens, listening) = watch::channel(Instant::now());
    let mut herd = Herd::gather(&sign_in, &missions, load.sessions, manner, &listening).await?;
    tokio::time::sleep(SETTLE).await;
    let gathered = server.meter()?.memory()?;

    let (over, is_over) = watch::channel(false);
    let started = Instant::now();
    let mut called = call_aside(sign_in.clone(), missions.clone(), load.others, listening.clone(), is_over)?;
    herd.go_on_for(AROUND, &mut called).await?;
    progress.show("storm: the server is killed");
    let killed = Instant::now();
    let server = server.crash(program, folder).await?;
    let listened = Instant::now();
    listens.send_replace(listened);
    let own = Meter::Own.cpu()?;
    herd.until_back(load.sessions, &progress, &mut called).await?;
    let back = Instant::now();
    let own = Meter::Own.cpu()?.since(own);
    let cpu = server.meter()?.cpu()?;
    herd.go_on_for(AROUND, &mut called).await?;
    over.send_replace(true);
    let called = called.await.context("the callers' thread died")??;
    let after = server.meter()?.memory()?;
    herd.until_all_have(&sign_in, &missions, &called).await?;

    let each = (gathered.resident as f64 - before.resident as f64) / f64::from(load.sessions);
    let mut figures = vec![
        Figure::count("sessions that came back and were resumed, none with a gap", herd.returned.count()),
        Figure::new("from the kill until the server listened again", seconds(listened - killed), Unit::Seconds),
    ];
    figures.extend(herd.returned.read(|latency| latency.figures("server listens to watch resumed")));
    figures.push(Figure::count("attempts that failed", herd.returned.failed()));
    figures.extend(called.due_within(started, killed).figures("others' commands before, due to durable"));
    let meanwhile: Latency = called.due_within(listened, back);
    figures.push(Figure::count("others' commands meanwhile", meanwhile.count()));
    figures.extend(meanwhile.figures("others' commands meanwhile, due to durable"));
    figures.extend([
        Figure::new("server memory a session that watches and is idle", each, Unit::Bytes),
        Figure::mebibytes("server memory before the sessions came", before.resident),
        Figure::mebibytes("server memory with all of them", gathered.resident),
        Figure::mebibytes("server memory when all were back", after.resident),
    ]);
    figures.push(Figure::new("server CPU from its start until all were back", seconds(cpu.total()), Unit::Seconds));
    figures.push(Figure::new("load client: CPU until all were back", seconds(own.total()), Unit::Seconds));
    server.stop().await?;
    Ok(figures)
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// The callers, until they are done.
type Calling = tokio::sync::oneshot::Receiver<anyhow::Result<Called>>;

/// All who lose the server.
struct Herd {
    tasks: JoinSet<anyhow::Result<()>>,
    /// Which mission each watches, and how far it is.
    reached: Vec<(usize, Arc<AtomicU64>)>,
    returned: Arc<Returned>,
}

impl Herd {
    /// Has `count` sessions watch, as many of each mission, and waits until all do.
    async fn gather(
        sign_in: &SignIn,
        missions: &[MissionId],
        count: u32,
        manner: Manner,
        listening: &watch::Receiver<Instant>,
    ) -> anyhow::Result<Self> {
        let mut herd = Self { tasks: JoinSet::new(), reached: Vec::new(), returned: Arc::new(Returned::new()) };
        let mut member = |mission: usize| {
            let reached = Arc::new(AtomicU64::new(0));
            herd.reached.push((mission, reached.clone()));
            let (sign_in, returned) = (sign_in.clone(), herd.returned.clone());
            Member { sign_in, mission: missions[mission], listening: listening.clone(), returned, reached }
        };
        match manner {
            Manner::AtOnce => {
                for connected in sign_in.watch_many(missions, count).await? {
                    herd.tasks.spawn(member(connected.mission).at_once(connected));
                }
            }
            Manner::WithWaits => {
                for index in 0..count as usize {
                    herd.tasks.spawn(member(index % missions.len()).with_waits());
                }
            }
        }
        let has_begun = |(_, at): &(usize, Arc<AtomicU64>)| at.load(Relaxed) > 0;
        let began = Instant::now();
        while !herd.reached.iter().all(has_begun) {
            ensure!(began.elapsed() < PATIENCE, "not all sessions came about in time");
            herd.go_on(Duration::from_millis(5)).await?;
        }
        Ok(herd)
    }

    /// Waits, and ends early when one of them does.
    async fn go_on(&mut self, time: Duration) -> anyhow::Result<()> {
        tokio::select! {
            Some(ended) = self.tasks.join_next() => match ended {
                Ok(Ok(())) => bail!("one of the sessions went away"),
                Ok(Err(error)) => Err(error),
                Err(error) => Err(anyhow!(error).context("a session's task died")),
            },
            () = tokio::time::sleep(time) => Ok(()),
        }
    }

    /// The same, also when the callers are done too early, which they are when something is wrong.
    async fn go_on_for(&mut self, time: Duration, calling: &mut Calling) -> anyhow::Result<()> {
        tokio::select! {
            gone = self.go_on(time) => gone,
            called = calling => match called {
                Ok(Err(error)) => Err(error),
                Ok(Ok(_)) | Err(_) => bail!("the callers stopped too early"),
            },
        }
    }

    async fn until_back(&mut self, count: u32, progress: &Progress, calling: &mut Calling) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.returned.count() < u64::from(count) {
            let back = self.returned.count();
            progress.show(format_args!("storm: {back} of {count} are back"));
            ensure!(began.elapsed() < PATIENCE, "only {back} of {count} sessions came back in time");
            self.go_on_for(Duration::from_millis(5), calling).await?;
        }
        Ok(())
    }

    /// Waits until everyone has everything, and sees that all that was acknowledged is there.
    async fn until_all_have(
        &mut self,
        sign_in: &SignIn,
        missions: &[MissionId],
        called: &Called,
    ) -> anyhow::Result<()> {
        let session = sign_in.connect().await?;
        let mut heads = Vec::new();
        for (index, mission) in missions.iter().enumerate() {
            let head = session.call::<GetMission>(MissionRef { mission: *mission }).await?.seq;
            let last = called.last_of(index);
            ensure!(head >= last, "mission {mission} is at {head}, and acknowledged {last}");
            heads.push(head);
        }
        let has_all = |(mission, at): &(usize, Arc<AtomicU64>)| at.load(Relaxed) >= heads[*mission];
        let began = Instant::now();
        while !self.reached.iter().all(has_all) {
            ensure!(began.elapsed() < PATIENCE, "not all sessions got all events in time");
            self.go_on(Duration::from_millis(5)).await?;
        }
        Ok(())
    }
}
