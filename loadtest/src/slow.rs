//! `slow`: watchers that stop reading for a while, and what everyone else notices of it.

use std::{
    cell::Cell,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::{Args, value_parser};
use flightdeck_protocol::{
    MissionId,
    client::{ClientError, Session},
    operations::{Empty, GetMission, ListSessions, MissionRef, SessionView},
};
use futures_util::future::try_join_all;

use crate::{
    bounds::{Bound, Movement},
    costs::{Costs, Spent},
    meter::Meter,
    options::Window,
    pausing::{Pausing, figures_of, log_of},
    progress::Progress,
    publisher::{Schedule, publish_aside},
    report::{Figure, Report, Side, Unit},
    signin::{SignIn, started_mission},
    watchers::{Tally, Watchers},
};

/// How long everyone may take to get the rest once the last event is on disk.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between the last watch and the first event.
const CALM: Duration = Duration::from_secs(1);
/// What a watcher that does not read may hold in the server at most, beside its session: a frame and a page of
/// the journal of 64 KiB each, and what its connection gathers, 16 KiB twice. ARCHITECTURE.md states it.
const HELD_BYTES: u64 = (64 + 64 + 16 + 16) * 1024;
/// What a session takes besides.
const SESSION_BYTES: u64 = 16 * 1024;
/// The store's cache, by the default of `cache_bytes`.
const CACHE_BYTES: u64 = 64 << 20;
/// What the server keeps whoever reads: of the mission the newest events (`feed_bytes`) and four frames, and the
/// store's cache. That counts what its pages take on disk: in memory, with what is being written and what the
/// allocator holds back, they take up to three times as much.
const KEPT_BYTES: u64 = 3 * CACHE_BYTES + (256 + 4 * 64) * 1024;

/// Who reads, who stops, and for how long.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Slow watchers")]
pub(crate) struct Load {
    /// How many sockets read all the time
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..=100_000))]
    readers: u32,
    /// How many others watch the same mission and stop reading
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=10_000))]
    stopping: u32,
    /// For how long they read nothing, in seconds
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = value_parser!(u64).range(1..=400))]
    pause_seconds: u64,
    /// How many events are published a second
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = value_parser!(u32).range(1..=10_000))]
    slow_rate: u32,
    /// So many times their p99 of the run in which all read may the others' p99 be while some stop
    #[arg(long, value_name = "TIMES", default_value_t = 3.0)]
    p99_times: f64,
    /// A p99 up to this is never too long, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    p99_floor_ms: f64,
}

/// Runs the scenario: on the first server with all of them reading, then on the second, which may be the same.
pub(crate) async fn run([first, second]: [&SignIn; 2], load: &Load, window: &Window) -> anyhow::Result<Report> {
    let control = once(first, load, window, false).await?;
    let stopping = once(second, load, window, true).await?;
    let setup = format!(
        "1 mission, {} events/s of {} bytes, {} watchers that read; {} more that stop for {} s, after {} s and before {} s",
        load.slow_rate, window.bytes, load.readers, load.stopping, load.pause_seconds, window.seconds, window.seconds
    );
    let mut figures = stopping.back.clone();
    figures.push(Figure::count("watchers that stop", u64::from(load.stopping)));
    let bounds = bounds(load, &control, &stopping);
    let compared = vec![Side::new("all read", control.readers), Side::new("some stop", stopping.readers)];
    Ok(Report { figures, compared, bounds, ..Report::new("slow", setup) })
}

/// What is stated of the two runs. That everyone got everything, in order and as it is in the log, is not among it:
/// without that no run gets so far.
fn bounds(load: &Load, control: &Outcome, stopping: &Outcome) -> Vec<Bound> {
    let movement = Movement { times: load.p99_times, floor_ms: load.p99_floor_ms };
    let [before, during, after] = stopping.p99_ms;
    // Beside the same stretch of those who all read, and beside the same server before anybody stopped: whoever
    // else is at work on the machine slows down the one or the other.
    let [_, all_read_then, all_read_later] = control.p99_ms;
    let mut bounds = vec![
        movement.of(
            "the others' p99 during the pause, beside that with all reading",
            before.max(all_read_then),
            during,
        ),
        movement.of("the others' p99 after the pause, beside that with all reading", before.max(all_read_later), after),
    ];
    if let (Some(first), Some(second)) = (&control.memory, &stopping.memory) {
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let watchers = u64::from(load.readers) + u64::from(load.stopping) + 1;
        let stated = second.idle + KEPT_BYTES + watchers * (HELD_BYTES + SESSION_BYTES);
        let name = "server memory at its most: idle, three times cache_bytes, and 176 KiB a watcher";
        bounds.push(Bound::at_most(name, mebibytes(second.at_most()), mebibytes(stated), Unit::MebiBytes));
        let [all_read, some_stop] = [first, second].map(|memory| mebibytes(memory.at_most() - memory.idle));
        let stated = mebibytes(u64::from(load.stopping) * HELD_BYTES + CACHE_BYTES);
        let name = "of it because some stop: 160 KiB each, and as much as one run's cache may differ from another's";
        bounds.push(Bound::at_most(name, some_stop - all_read, stated, Unit::MebiBytes));
    }
    bounds
}

/// What one run came to.
struct Outcome {
    /// What those noticed who read all the time.
    readers: Vec<Figure>,
    /// How those came back who did not.
    back: Vec<Figure>,
    /// How long an event took at most to 99 of 100 who read all the time, in each stretch.
    p99_ms: [f64; 3],
    memory: Option<Memories>,
}

async fn once(sign_in: &SignIn, load: &Load, window: &Window, stop: bool) -> anyhow::Result<Outcome> {
    let progress = Progress::new();
    progress.show(format_args!("slow: {} watchers connect", load.readers + load.stopping));
    let session = sign_in.connect().await?;
    let mission = started_mission(&session, "Load: a slow watcher").await?;
    let idle = sign_in.meter.map(Meter::memory).transpose()?;
    let readers = Watchers::standing(sign_in.watch_many(&[mission], load.readers).await?).await?;
    let others = sign_in.watch_many(&[mission], load.stopping).await?;
    let witness = sign_in.watch_many(&[mission], 1).await?.pop().context("there is no witness")?;

    let pause = window.warm_up() + window.measured();
    let pause = pause..pause + Duration::from_secs(load.pause_seconds);
    let end = pause.end + window.measured();
    let schedule = Schedule {
        rate: load.slow_rate,
        events: u64::from(load.slow_rate) * end.as_secs(),
        bytes: window.bytes as usize,
        counted_from: window.warm_up(),
    };
    let began = Instant::now() + CALM;
    let tally = Arc::new(Tally::new(began, &[window.warm_up(), pause.start, pause.end]));
    let mut working = readers.start(&tally);
    let (over, is_over) = tokio::sync::watch::channel(None);
    let slow = others.into_iter().map(|connected| {
        let slow = Pausing { sign_in, mission, began, pause: if stop { pause.clone() } else { end..end } };
        slow.watch(connected, is_over.clone())
    });
    let peaks = Cell::new([0; 3]);
    let looking =
        look_at_memory(sign_in.meter, [window.warm_up(), pause.start, pause.end].map(|from| began + from), &peaks);
    let costs = spent(sign_in.meter, began + pause.start..began + pause.end);
    let publishing = async {
        let published = publish_aside(sign_in.clone(), vec![mission], schedule, began).await?;
        over.send_replace(Some(published.last_seqs[0]));
        anyhow::Ok(published)
    };
    let look = look_at_outboxes(&session, mission, began + pause.end - Duration::from_secs(1));
    let log = log_of(witness, is_over.clone());
    let all = async { tokio::try_join!(publishing, try_join_all(slow), log, look, costs) };
    let (published, back, log, waiting, spent) = tokio::select! {
        all = all => all?,
        error = looking => return Err(error),
        error = working.failed() => return Err(error),
    };
    working.until_all_have(&published.last_seqs, PATIENCE).await?;
    working.finish().await?;
    let last = session.call::<GetMission>(MissionRef { mission }).await?;
    ensure!(last.seq == published.last_seqs[0], "the mission is at {}, and that was not published", last.seq);
    for (index, back) in back.iter().enumerate() {
        back.told.is_complete(&log, &last).with_context(|| format!("watcher {} of those that stop", index + 1))?;
    }

    let mut figures = Vec::new();
    for (phase, name) in PHASES.iter().enumerate() {
        figures.extend(tally.latency(phase).figures(&format!("readers, {name} the pause: due to delivered")));
    }
    let memory = idle.map(|idle| Memories { idle: idle.resident, peaks: peaks.get() });
    figures.extend(memory.iter().flat_map(Memories::figures));
    figures.extend(waiting);
    figures.extend(published.acknowledged.figures("due to acknowledged as durable"));
    figures.push(Figure::count("events that each of all got, none missing or twice", published.last_seqs[0]));
    let deliveries = tally.latency(1).count();
    figures.extend(spent.server("delivery", deliveries));
    figures.extend(spent.beside("delivery", deliveries));
    let p99_ms = [0, 1, 2].map(|phase| tally.latency(phase).p99_ms());
    Ok(Outcome { readers: figures, back: figures_of(&back), p99_ms, memory })
}

/// The stretches of a run.
const PHASES: [&str; 3] = ["before", "during", "after"];

/// What the server had in RAM, in bytes.
struct Memories {
    /// Before anybody watched.
    idle: u64,
    /// The most of each stretch; the last goes on until those that stopped have read everything.
    peaks: [u64; 3],
}

impl Memories {
    fn at_most(&self) -> u64 {
        self.peaks.into_iter().fold(self.idle, u64::max)
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![Figure::mebibytes("server memory before anybody watched", self.idle)];
        let peaks = self.peaks.iter().zip(PHASES);
        figures.extend(
            peaks.map(|(peak, name)| Figure::mebibytes(format!("server memory at its most, {name} the pause"), *peak)),
        );
        figures
    }
}

/// Notes the most memory that the server had in each stretch, by looking again and again. Ends only when it fails.
async fn look_at_memory(meter: Option<Meter>, begins: [Instant; 3], peaks: &Cell<[u64; 3]>) -> anyhow::Error {
    let Some(meter) = meter else { return std::future::pending().await };
    loop {
        let now = Instant::now();
        if let Some(phase) = begins.iter().rposition(|begin| *begin <= now) {
            match meter.memory() {
                Ok(memory) => peaks.update(|mut peaks| {
                    peaks[phase] = memory.resident.max(peaks[phase]);
                    peaks
                }),
                Err(error) => return error,
            }
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// What is spent within this time.
async fn spent(meter: Option<Meter>, time: Range<Instant>) -> anyhow::Result<Spent> {
    tokio::time::sleep_until(time.start.into()).await;
    let costs = Costs::now(meter)?;
    tokio::time::sleep_until(time.end.into()).await;
    Ok(Costs::now(meter)?.since(&costs))
}

/// What the server says that waits for those who watch `mission`, at the moment `when`.
async fn look_at_outboxes(session: &Session, mission: MissionId, when: Instant) -> anyhow::Result<Vec<Figure>> {
    tokio::time::sleep_until(when.into()).await;
    let sessions = match session.call::<ListSessions>(Empty {}).await {
        Ok(sessions) => sessions.items,
        // Not everybody may see them.
        Err(ClientError::Fault(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let behind = |of: &SessionView| {
        let of_mission = of.watches.iter().filter(|watch| watch.mission == Some(mission));
        of_mission.map(|watch| watch.behind).max().unwrap_or(0)
    };
    let most = sessions.iter().map(behind).max().unwrap_or(0);
    let waiting = sessions.iter().map(|session| session.waiting_bytes).max().unwrap_or(0);
    Ok(vec![
        Figure::count("events that a watcher was behind at most, at the end of the pause", most),
        Figure::new("most that waited in an outbox then", waiting as f64, Unit::Bytes),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        load: Load,
    }

    const MEBIBYTE: u64 = 1 << 20;

    fn outcome(p99_ms: [f64; 3], idle: u64, most: u64) -> Outcome {
        let memory = Memories { idle: idle * MEBIBYTE, peaks: [0, most * MEBIBYTE, 0] };
        Outcome { readers: Vec::new(), back: Vec::new(), p99_ms, memory: Some(memory) }
    }

    /// Which bounds hold where those who all read had a p99 of 100 ms, and the server rose from 80 to 150 MiB.
    fn holds(p99_ms: [f64; 3], most: u64) -> Vec<bool> {
        let load = Cli::parse_from(["slow", "--stopping", "64"]).load;
        let bounds = bounds(&load, &outcome([100.0; 3], 80, 150), &outcome(p99_ms, 80, most));
        bounds.iter().map(|bound| bound.holds).collect()
    }

    #[test]
    fn the_others_notice_nothing_and_who_stops_costs_what_is_stated() {
        assert_eq!(holds([100.0, 290.0, 290.0], 150), [true; 4]);
        assert_eq!(holds([100.0, 310.0, 290.0], 150), [false, true, true, true]);
        assert_eq!(holds([100.0, 290.0, 310.0], 150), [true, false, true, true]);
        assert_eq!(holds([150.0, 440.0, 440.0], 150), [true; 4], "it was slower before anybody stopped");
        // 64 of 160 KiB are 10 MiB, beside the 64 of a cache.
        assert_eq!(holds([100.0; 3], 224), [true; 4]);
        assert_eq!(holds([100.0; 3], 225), [true, true, true, false]);
        assert_eq!(holds([100.0; 3], 310), [true, true, false, false]);
    }
}
