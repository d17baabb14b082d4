//! `fanout`: one mission, many watchers, events on a schedule.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::ensure;
use clap::{Args, value_parser};

use crate::{
    meter::{Cpu, Meter},
    options::Window,
    progress::Progress,
    publisher::{Published, Schedule, publish_aside},
    report::{Figure, Report, Unit},
    signin::{SignIn, started_mission},
    watchers::{Tally, Watchers, Working},
};

/// How long watchers may take to get the rest once the last event is on disk.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between the last watch and the first event: what belongs to connecting is over by then, and the
/// publisher is connected.
const CALM: Duration = Duration::from_secs(1);

/// Who watches, and what happens there.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Fan-out")]
pub(crate) struct Load {
    /// How many sockets watch the mission
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = value_parser!(u32).range(1..=100_000))]
    watchers: u32,
    /// How many events are published a second
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u32).range(1..=10_000))]
    rate: u32,
}

/// Runs the scenario.
pub(crate) async fn run(sign_in: &SignIn, load: &Load, window: &Window) -> anyhow::Result<Report> {
    let Load { watchers, rate } = load;
    let progress = Progress::new();
    progress.show(format_args!("fanout: {watchers} watchers connect"));
    let session = sign_in.connect().await?;
    let mission = started_mission(&session, "Load: fan-out").await?;
    let connected = Instant::now();
    let standing = Watchers::standing(sign_in.watch_many(mission, *watchers).await?).await?;
    let connecting = connected.elapsed();

    let schedule = Schedule {
        rate: *rate,
        events: u64::from(*rate) * (window.seconds + window.warm_up),
        bytes: window.bytes as usize,
        counted_from: window.warm_up(),
    };
    let began = Instant::now() + CALM;
    let tally = Arc::new(Tally::new(began, schedule.counted_from));
    let mut working = standing.start(&tally);
    let publishing = publish_aside(sign_in.clone(), mission, schedule, began);
    let (published, costs) = tokio::select! {
        measured = measure(sign_in.meter, &schedule, began, &tally, &progress, publishing) => measured?,
        error = working.failed() => return Err(error),
    };
    let costs = finish(sign_in.meter, working, &published, costs).await?;

    let deliveries = tally.deliveries.load(Relaxed);
    let expected = u64::from(*rate) * window.seconds * u64::from(*watchers);
    ensure!(deliveries == expected, "{deliveries} deliveries were counted where {expected} should have been");
    Ok(report(load, window, &tally, &published, &costs, connecting))
}

/// What the server and this program had spent at two moments.
struct Costs {
    server: Option<Cpu>,
    own: Cpu,
    at: Instant,
}

impl Costs {
    fn now(meter: Option<Meter>) -> anyhow::Result<Self> {
        Ok(Self { server: meter.map(Meter::cpu).transpose()?, own: Meter::Own.cpu()?, at: Instant::now() })
    }

    fn since(self, earlier: &Self) -> Spent {
        Spent {
            server: self.server.zip(earlier.server).map(|(now, then)| now.since(then)),
            own: self.own.since(earlier.own),
            elapsed: self.at - earlier.at,
        }
    }
}

struct Spent {
    server: Option<Cpu>,
    own: Cpu,
    elapsed: Duration,
}

/// Publishes, and notes the costs when the warm-up is over.
async fn measure(
    meter: Option<Meter>,
    schedule: &Schedule,
    began: Instant,
    tally: &Tally,
    progress: &Progress,
    publishing: impl Future<Output = anyhow::Result<Published>>,
) -> anyhow::Result<(Published, Costs)> {
    let mut publishing = std::pin::pin!(publishing);
    let mut at_start = None;
    let mut second = tokio::time::interval_at((began + schedule.counted_from).into(), Duration::from_secs(1));
    let published = loop {
        tokio::select! {
            published = &mut publishing => break published?,
            _ = second.tick() => {
                if at_start.is_none() {
                    at_start = Some(Costs::now(meter)?);
                }
                let (seconds, deliveries) = (began.elapsed().as_secs(), tally.deliveries.load(Relaxed));
                progress.show(format_args!("fanout: {seconds} s, {deliveries} deliveries"));
            }
        }
    };
    Ok((published, at_start.map_or_else(|| Costs::now(meter), Ok)?))
}

/// Waits for the last delivery, and says what was spent up to it.
async fn finish(
    meter: Option<Meter>,
    mut working: Working,
    published: &Published,
    costs: Costs,
) -> anyhow::Result<Spent> {
    working.until_all_have(published.last_seq, PATIENCE).await?;
    let spent = Costs::now(meter)?.since(&costs);
    working.finish().await?;
    Ok(spent)
}

fn report(
    load: &Load,
    window: &Window,
    tally: &Tally,
    published: &Published,
    spent: &Spent,
    connecting: Duration,
) -> Report {
    let Load { watchers, rate } = load;
    let deliveries = tally.deliveries.load(Relaxed);
    let frames = tally.frames.load(Relaxed);
    let seconds = window.measured().as_secs_f64();
    let mut figures = vec![
        Figure::count("deliveries, none missing, repeated or out of order", deliveries),
        Figure::new("deliveries a second", deliveries as f64 / seconds, Unit::PerSecond),
    ];
    if let Some(server) = spent.server {
        figures.extend(server.figures("server", "delivery", deliveries, spent.elapsed));
    }
    figures.extend(tally.latency.lock().unwrap_or_else(PoisonError::into_inner).figures("due to delivered"));
    figures.extend(published.acknowledged.figures("due to acknowledged as durable"));
    figures.extend([
        Figure::new("events a frame", deliveries as f64 / frames.max(1) as f64, Unit::Ratio),
        Figure::new("bytes a frame", tally.bytes.load(Relaxed) as f64 / frames.max(1) as f64, Unit::Bytes),
        Figure::new("time to connect all watchers", connecting.as_secs_f64(), Unit::Seconds),
    ]);
    figures.extend(published.late.figures("load client: due to sent"));
    figures.extend(spent.own.figures("load client:", "delivery", deliveries, spent.elapsed));
    let setup = format!(
        "1 mission, {watchers} watchers, {rate} events/s of {} bytes for {} s after {} s of warm-up",
        window.bytes, window.seconds, window.warm_up
    );
    Report { scenario: "fanout", setup, figures }
}
