//! `slow`: watchers that stop reading for a while, and what everyone else notices of it.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use clap::{Args, value_parser};
use flightdeck_protocol::{
    MissionId,
    client::{ClientError, Session},
    notification::MISSION_EVENTS,
    operations::{Empty, ListSessions, Position, SessionView},
};
use futures_util::future::try_join_all;

use crate::{
    latency::Latency,
    meter::Meter,
    options::Window,
    progress::Progress,
    publisher::{Schedule, publish_aside},
    report::{Figure, Report, Side, Unit},
    scan::Sequence,
    signin::{Connected, SignIn, started_mission},
    watchers::{Tally, Watchers, begin, ended},
};

/// How long everyone may take to get the rest once the last event is on disk.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between the last watch and the first event.
const CALM: Duration = Duration::from_secs(1);
/// What a watcher that does not read may hold in the server at most, beside its session: a frame and a page of
/// the journal of 64 KiB each, and what its connection gathers, 16 KiB twice. ARCHITECTURE.md states it.
const HELD_BYTES: u64 = (64 + 64 + 16 + 16) * 1024;

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
}

/// Runs the scenario, first with all of them reading.
pub(crate) async fn run(sign_in: &SignIn, load: &Load, window: &Window) -> anyhow::Result<Report> {
    let control = once(sign_in, load, window, false).await?;
    let stopping = once(sign_in, load, window, true).await?;
    let setup = format!(
        "1 mission, {} events/s of {} bytes, {} watchers that read; {} more that stop for {} s, after {} s and before {} s",
        load.slow_rate, window.bytes, load.readers, load.stopping, load.pause_seconds, window.seconds, window.seconds
    );
    let mut figures = stopping.back;
    figures.push(Figure::count("watchers that stop", u64::from(load.stopping)));
    figures
        .push(Figure::mebibytes("stated bound of what they hold in the server", HELD_BYTES * u64::from(load.stopping)));
    let compared = vec![Side::new("all read", control.readers), Side::new("some stop", stopping.readers)];
    Ok(Report { scenario: "slow", setup, figures, compared })
}

/// What one run came to.
struct Outcome {
    /// What those noticed who read all the time.
    readers: Vec<Figure>,
    /// How those came back who did not.
    back: Vec<Figure>,
}

async fn once(sign_in: &SignIn, load: &Load, window: &Window, stop: bool) -> anyhow::Result<Outcome> {
    let progress = Progress::new();
    progress.show(format_args!("slow: {} watchers connect", load.readers + load.stopping));
    let session = sign_in.connect().await?;
    let mission = started_mission(&session, "Load: a slow watcher").await?;
    let readers = Watchers::standing(sign_in.watch_many(&[mission], load.readers).await?).await?;
    let others = sign_in.watch_many(&[mission], load.stopping).await?;

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
        let slow = Slow { sign_in, mission, began, pause: if stop { pause.clone() } else { end..end } };
        slow.watch(connected, is_over.clone())
    });
    let memory = Peaks::of(sign_in.meter, began, [window.warm_up(), pause.start, pause.end, end]);
    let publishing = async {
        let published = publish_aside(sign_in.clone(), vec![mission], schedule, began).await?;
        over.send_replace(Some(published.last_seqs[0]));
        anyhow::Ok(published)
    };
    let look = look_at_outboxes(&session, mission, began + pause.end - Duration::from_secs(1));
    let all = async { tokio::try_join!(publishing, try_join_all(slow), memory, look) };
    let (published, back, memory, waiting) = tokio::select! {
        all = all => all?,
        error = working.failed() => return Err(error),
    };
    working.until_all_have(&published.last_seqs, PATIENCE).await?;
    working.finish().await?;

    let mut figures = Vec::new();
    for (phase, name) in PHASES.iter().enumerate() {
        figures.extend(tally.latency(phase).figures(&format!("readers, {name} the pause: due to delivered")));
    }
    for (peak, name) in memory.iter().zip(PHASES) {
        figures.push(Figure::mebibytes(format!("server memory at its most, {name} the pause"), *peak));
    }
    figures.extend(waiting);
    figures.extend(published.acknowledged.figures("due to acknowledged as durable"));
    figures.push(Figure::count("events that each of all got, none missing or twice", published.last_seqs[0]));
    Ok(Outcome { readers: figures, back: figures_of(&back) })
}

/// The stretches of a run.
const PHASES: [&str; 3] = ["before", "during", "after"];

/// The most memory that the server had in each stretch, by looking again and again.
struct Peaks;

impl Peaks {
    async fn of(meter: Option<Meter>, began: Instant, bounds: [Duration; 4]) -> anyhow::Result<Vec<u64>> {
        let Some(meter) = meter else { return Ok(Vec::new()) };
        let mut peaks = vec![0; PHASES.len()];
        tokio::time::sleep_until((began + bounds[0]).into()).await;
        for (phase, peak) in peaks.iter_mut().enumerate() {
            while began.elapsed() < bounds[phase + 1] {
                *peak = meter.memory()?.resident.max(*peak);
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
        Ok(peaks)
    }
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

/// A watcher that stops reading for a while.
struct Slow<'a> {
    sign_in: &'a SignIn,
    mission: MissionId,
    began: Instant,
    /// When it does not read, after the beginning.
    pause: Range<Duration>,
}

/// How one came back.
#[derive(Clone, Copy, Debug, Default)]
struct Back {
    /// How often its session ended and was resumed.
    resumed: u64,
    /// How often it was given the mission whole, since it had missed too much.
    snapshots: u64,
    /// From the end of its pause until it had everything that happened in it.
    caught_up: Option<Duration>,
}

impl Slow<'_> {
    /// Watches, pauses, and reads on until it has the last event, which `last` tells once it is known.
    async fn watch(
        self,
        connected: Connected,
        mut last: tokio::sync::watch::Receiver<Option<u64>>,
    ) -> anyhow::Result<Back> {
        let Connected { session: mut held, mut notices, .. } = connected;
        let begun = begin(&mut notices).await?;
        let (epoch, mut sequence) = (begun.epoch, Sequence::after(begun.seq));
        let (pause_at, mut back) = (self.began + self.pause.start, Back::default());
        let mut paused = false;
        while last.borrow().is_none_or(|last| sequence.last() < last) {
            if !paused && Instant::now() >= pause_at {
                paused = true;
                tokio::time::sleep_until((self.began + self.pause.end).into()).await;
            }
            let notice = tokio::select! {
                notice = notices.next_raw() => notice,
                _ = last.changed() => continue,
                () = tokio::time::sleep_until(pause_at.into()), if !paused => continue,
            };
            let Some(notice) = notice else {
                let since = Position { epoch, seq: sequence.last() };
                let why = ended(&notices);
                (held, notices) = self.sign_in.watch(self.mission, Some(since)).await.context(why)?;
                let begun = begin(&mut notices).await?;
                back.resumed += 1;
                back.snapshots += u64::from(!begun.resumed);
                sequence = Sequence::after(begun.seq);
                continue;
            };
            if notice.method().as_deref() != Some(MISSION_EVENTS) {
                continue;
            }
            let pause_end_us = self.pause.end.as_micros() as u64;
            let mut newest = 0;
            sequence.take(notice.text(), |due_us| newest = due_us).map_err(|wrong| anyhow!("{wrong}"))?;
            if newest >= pause_end_us && back.caught_up.is_none() {
                back.caught_up = Some(self.began.elapsed().saturating_sub(self.pause.end));
            }
        }
        held.close().await;
        Ok(back)
    }
}

fn figures_of(back: &[Back]) -> Vec<Figure> {
    let mut caught_up = Latency::new();
    back.iter().filter_map(|back| back.caught_up).for_each(|took| caught_up.record(took));
    let mut figures = caught_up.figures("end of the pause until all of it was read");
    figures
        .push(Figure::count("sessions that ended meanwhile, and were resumed", back.iter().map(|it| it.resumed).sum()));
    figures.push(Figure::count(
        "of these, with the mission whole instead of each event",
        back.iter().map(|it| it.snapshots).sum(),
    ));
    figures
}
