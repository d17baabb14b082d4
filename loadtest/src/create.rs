//! `create`: many small missions, created and started, and the memory that they take.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use clap::{Args, value_parser};
use flightdeck_protocol::{
    client::Session,
    operations::{CreateMission, MissionNew, MissionRef, StartMission},
};
use futures_util::future::try_join_all;

use crate::{
    latency::Latency,
    meter::Meter,
    options::Callers,
    progress::Progress,
    report::{Figure, Report, Unit},
    signin::SignIn,
};

/// Missions that are made before anything is measured: what a server allocates once is there by then.
const WARM_UP: u32 = 500;

/// How many missions.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Creating")]
pub(crate) struct Load {
    /// How many missions to create and start
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=10_000_000))]
    count: u32,
    /// How long the server is left alone before its memory is read, in seconds
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u64).range(0..=300))]
    settle: u64,
}

/// Runs the scenario.
pub(crate) async fn run(sign_in: &SignIn, load: &Load, callers: &Callers) -> anyhow::Result<Report> {
    let Load { count, settle } = load;
    let settle = Duration::from_secs(*settle);
    let progress = Progress::new();
    let sessions = sign_in.connect_many(callers.sockets()).await?;
    make(&sessions, callers.callers, WARM_UP, &progress).await?;
    tokio::time::sleep(settle).await;

    let memory = |meter: Option<Meter>| meter.map(Meter::memory).transpose();
    let cpu = |meter: Option<Meter>| meter.map(Meter::cpu).transpose();
    let (memory_before, cpu_before) = (memory(sign_in.meter)?, cpu(sign_in.meter)?);
    let own_before = Meter::Own.cpu()?;
    let began = Instant::now();
    let (created, started) = make(&sessions, callers.callers, *count, &progress).await?;
    let elapsed = began.elapsed();
    let cpu_after = cpu(sign_in.meter)?;
    let own = Meter::Own.cpu()?.since(own_before);
    progress.show("create: waiting for the server to settle");
    tokio::time::sleep(settle).await;
    let memory_after = memory(sign_in.meter)?;

    let mut figures = vec![
        Figure::count("missions created and started", u64::from(*count)),
        Figure::new("missions a second", f64::from(*count) / elapsed.as_secs_f64(), Unit::PerSecond),
    ];
    if let Some((before, after)) = memory_before.zip(memory_after) {
        let grown = after.resident as f64 - before.resident as f64;
        figures.push(Figure::new("server memory a mission", grown / f64::from(*count), Unit::Bytes));
        figures.push(Figure::mebibytes("server memory before", before.resident));
        figures.push(Figure::mebibytes("server memory after", after.resident));
        figures.push(Figure::mebibytes("server memory at its peak", after.peak));
    }
    if let Some((before, after)) = cpu_before.zip(cpu_after) {
        figures.extend(after.since(before).figures("server", "mission", u64::from(*count), elapsed));
    }
    figures.extend(created.figures("mission.create"));
    figures.extend(started.figures("mission.start"));
    figures.extend(own.figures("load client:", "mission", u64::from(*count), elapsed));
    let setup = format!(
        "{count} small missions without an agent, created and started by {} callers on {} sockets, after {WARM_UP} more",
        callers.callers,
        callers.sockets()
    );
    Ok(Report { figures, ..Report::new("create", setup) })
}

/// Has `callers` make `count` missions together: how long creating took, and starting.
async fn make(
    sessions: &[Session],
    callers: u32,
    count: u32,
    progress: &Progress,
) -> anyhow::Result<(Latency, Latency)> {
    let next = Cell::new(0);
    let work = (0..callers as usize).map(|caller| {
        let (session, next) = (&sessions[caller % sessions.len()], &next);
        async move {
            let (mut created, mut started) = (Vec::new(), Vec::new());
            while next.get() < count {
                let number = next.replace(next.get() + 1);
                if number % 500 == 0 {
                    progress.show(format_args!("create: {number} of {count} missions"));
                }
                let began = Instant::now();
                let new = MissionNew { title: format!("Load: mission {number}"), ..MissionNew::default() };
                let mission = session.call::<CreateMission>(new).await?.id;
                created.push(began.elapsed());
                let began = Instant::now();
                session.call::<StartMission>(MissionRef { mission }).await?;
                started.push(began.elapsed());
            }
            anyhow::Ok((created, started))
        }
    });
    let (mut created, mut started) = (Latency::new(), Latency::new());
    for (create, start) in try_join_all(work).await? {
        create.into_iter().for_each(|took| created.record(took));
        start.into_iter().for_each(|took| started.record(took));
    }
    Ok((created, started))
}
