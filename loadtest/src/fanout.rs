//! `fanout`: the same watchers, all on one mission and spread over many, events on a schedule.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::ensure;
use clap::{Args, value_parser};

use crate::{
    costs::{Costs, Spent},
    meter::Meter,
    options::Window,
    progress::Progress,
    publisher::{Published, Schedule, publish_aside},
    report::{Figure, Report, Side, Unit},
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
    /// How many sockets watch
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = value_parser!(u32).range(1..=100_000))]
    watchers: u32,
    /// How many events each of them gets a second: so many are published on each mission
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Over how many missions the watchers are spread; one run for each number, to be read side by side
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_values_t = [1, 50],
        value_parser = value_parser!(u32).range(1..=10_000)
    )]
    spread: Vec<u32>,
}

/// Runs the scenario, once for each number of missions.
pub(crate) async fn run(sign_in: &SignIn, load: &Load, window: &Window) -> anyhow::Result<Report> {
    let mut compared = Vec::new();
    for missions in &load.spread {
        compared.push(over(*missions, sign_in, load, window).await?);
    }
    let setup = format!(
        "{} watchers, {} events/s of {} bytes for each, {} s after {} s of warm-up",
        load.watchers, load.rate, window.bytes, window.seconds, window.warm_up
    );
    Ok(Report { compared, ..Report::new("fanout", setup) })
}

/// One run, with the watchers spread over `count` missions.
async fn over(count: u32, sign_in: &SignIn, load: &Load, window: &Window) -> anyhow::Result<Side> {
    let Load { watchers, rate, .. } = load;
    ensure!(watchers % count == 0, "{watchers} watchers cannot be spread evenly over {count} missions");
    let progress = Progress::new();
    progress.show(format_args!("fanout: {watchers} watchers of {count} missions connect"));
    let session = sign_in.connect().await?;
    let mut missions = Vec::new();
    for number in 0..count {
        missions.push(started_mission(&session, &format!("Load: fan-out {number}")).await?);
    }
    let connected = Instant::now();
    let standing = Watchers::standing(sign_in.watch_many(&missions, *watchers).await?).await?;
    let connecting = connected.elapsed();

    let rate = rate * count;
    let schedule = Schedule {
        rate,
        events: u64::from(rate) * (window.seconds + window.warm_up),
        bytes: window.bytes as usize,
        counted_from: window.warm_up(),
    };
    let began = Instant::now() + CALM;
    let tally = Arc::new(Tally::new(began, &[schedule.counted_from]));
    let mut working = standing.start(&tally);
    let publishing = publish_aside(sign_in.clone(), missions, schedule, began);
    let (published, costs) = tokio::select! {
        measured = measure(sign_in.meter, &schedule, began, &tally, &progress, publishing) => measured?,
        error = working.failed() => return Err(error),
    };
    let costs = finish(sign_in.meter, working, &published, costs).await?;

    let deliveries = tally.deliveries();
    let expected = u64::from(rate / count) * window.seconds * u64::from(*watchers);
    ensure!(deliveries == expected, "{deliveries} deliveries were counted where {expected} should have been");
    let mut figures = figures(window, &tally, &published, &costs);
    figures.push(Figure::new("time to connect all watchers", connecting.as_secs_f64(), Unit::Seconds));
    figures.extend(published.late.figures("load client: due to sent"));
    figures.extend(costs.beside("delivery", deliveries));
    Ok(Side::new(if count == 1 { "1 mission".to_owned() } else { format!("{count} missions") }, figures))
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
                let (seconds, deliveries) = (began.elapsed().as_secs(), tally.deliveries());
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
    working.until_all_have(&published.last_seqs, PATIENCE).await?;
    let spent = Costs::now(meter)?.since(&costs);
    working.finish().await?;
    Ok(spent)
}

fn figures(window: &Window, tally: &Tally, published: &Published, spent: &Spent) -> Vec<Figure> {
    let deliveries = tally.deliveries();
    let frames = tally.frames.load(Relaxed);
    let seconds = window.measured().as_secs_f64();
    let mut figures = vec![
        Figure::count("deliveries, none missing, repeated or out of order", deliveries),
        Figure::new("deliveries a second", deliveries as f64 / seconds, Unit::PerSecond),
        Figure::new("events published a second", published.acknowledged.count() as f64 / seconds, Unit::PerSecond),
    ];
    figures.extend(spent.server("delivery", deliveries));
    figures.extend(tally.latency(0).figures("due to delivered"));
    figures.extend(published.acknowledged.figures("due to acknowledged as durable"));
    figures.extend([
        Figure::new("events a frame", deliveries as f64 / frames.max(1) as f64, Unit::Ratio),
        Figure::new("bytes a frame", tally.bytes.load(Relaxed) as f64 / frames.max(1) as f64, Unit::Bytes),
    ]);
    figures
}
