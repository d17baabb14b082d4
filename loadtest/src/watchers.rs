//! Watchers: each checks the order of what it gets, and all of them together keep the tally.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use flightdeck_protocol::{
    client::Notices,
    notification::{MISSION_EVENTS, MISSION_WATCHING, Notice},
    operations::Watching,
};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::{latency::Latency, scan::Sequence, signin::Connected};

/// How long a watch may take to stand.
const STANDING: Duration = Duration::from_secs(30);
/// How long watchers stay after the last event, to see whether anything comes twice.
const LINGER: Duration = Duration::from_millis(300);

/// What was delivered to all watchers, by when it was due.
pub(crate) struct Tally {
    /// When the run began: due times count from here.
    began: Instant,
    /// Stretches of the run, one after the other. What was due before the first is not counted.
    phases: Vec<Phase>,
    /// Frames that carried what counts.
    pub(crate) frames: AtomicU64,
    /// The length of those frames, in bytes.
    pub(crate) bytes: AtomicU64,
}

/// Deliveries of events that were due in one stretch of the run.
struct Phase {
    from_us: u64,
    latency: Mutex<Latency>,
}

impl Tally {
    /// Counts from `began` on, apart for each stretch that begins at one of `phases`, which ascend.
    pub(crate) fn new(began: Instant, phases: &[Duration]) -> Self {
        let phase = |from: &Duration| Phase { from_us: from.as_micros() as u64, latency: Mutex::new(Latency::new()) };
        Self { began, phases: phases.iter().map(phase).collect(), frames: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// Events delivered in all stretches, each once a watcher.
    pub(crate) fn deliveries(&self) -> u64 {
        (0..self.phases.len()).map(|phase| self.latency(phase).count()).sum()
    }

    /// From when an event was due until a watcher had it, for those that were due in this stretch.
    pub(crate) fn latency(&self, phase: usize) -> MutexGuard<'_, Latency> {
        self.phases[phase].latency.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delivered(&self, due_us: u64, now_us: u64) -> bool {
        let Some(phase) = self.phases.iter().rposition(|phase| due_us >= phase.from_us) else { return false };
        self.latency(phase).record(Duration::from_micros(now_us.saturating_sub(due_us)));
        true
    }
}

/// Watchers that know where they begin.
pub(crate) struct Watchers {
    standing: Vec<(Connected, Sequence)>,
}

impl Watchers {
    /// Waits until each of `connected` says where it begins.
    pub(crate) async fn standing(connected: Vec<Connected>) -> anyhow::Result<Self> {
        let mut standing = Vec::with_capacity(connected.len());
        for mut connected in connected {
            let begun = begin(&mut connected.notices).await?;
            standing.push((connected, Sequence::after(begun.seq)));
        }
        Ok(Self { standing })
    }

    /// Sets them to work.
    pub(crate) fn start(self, tally: &Arc<Tally>) -> Working {
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut reached = Vec::with_capacity(self.standing.len());
        for (index, (connected, sequence)) in self.standing.into_iter().enumerate() {
            let at = Arc::new(AtomicU64::new(sequence.last()));
            reached.push((connected.mission, at.clone()));
            let work = follow(connected, sequence, at, tally.clone(), stopping.clone());
            tasks.spawn(async move { work.await.with_context(|| format!("watcher {}", index + 1)) });
        }
        Working { tasks, reached, stop }
    }
}

/// Where a watch begins, once the server says so: the first event to come is the one after.
pub(crate) async fn begin(notices: &mut Notices) -> anyhow::Result<Watching> {
    timeout(STANDING, watching(notices)).await.context("a watch did not come about in time")?
}

async fn watching(notices: &mut Notices) -> anyhow::Result<Watching> {
    while let Some(notice) = notices.next_raw().await {
        if notice.method().as_deref() == Some(MISSION_WATCHING)
            && let Some(Notice::Watching(watching)) = notice.read()?
        {
            return Ok(watching);
        }
        if notice.method().is_none() {
            bail!("the server does not let it watch: {}", notice.text());
        }
    }
    Err(ended(notices))
}

pub(crate) fn ended(notices: &Notices) -> anyhow::Error {
    match notices.closed() {
        Some(closed) => anyhow!("the session ended: {closed}"),
        None => anyhow!("the session ended"),
    }
}

async fn follow(
    Connected { session, mut notices, .. }: Connected,
    mut sequence: Sequence,
    reached: Arc<AtomicU64>,
    tally: Arc<Tally>,
    mut stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    loop {
        let notice = tokio::select! {
            biased;
            notice = notices.next_raw() => notice.ok_or_else(|| ended(&notices))?,
            _ = stopping.changed() => break,
        };
        if notice.method().as_deref() != Some(MISSION_EVENTS) {
            continue;
        }
        let now_us = tally.began.elapsed().as_micros() as u64;
        let mut counts = false;
        let taken = sequence.take(notice.text(), |due_us| counts |= tally.delivered(due_us, now_us));
        taken.map_err(|wrong| anyhow!("{wrong}"))?;
        if counts {
            tally.frames.fetch_add(1, Relaxed);
            tally.bytes.fetch_add(notice.text().len() as u64, Relaxed);
        }
        reached.store(sequence.last(), Relaxed);
    }
    session.close().await;
    Ok(())
}

/// Watchers at work.
pub(crate) struct Working {
    tasks: JoinSet<anyhow::Result<()>>,
    /// Which mission each watches, and how far it is.
    reached: Vec<(usize, Arc<AtomicU64>)>,
    stop: watch::Sender<bool>,
}

impl Working {
    /// The first that goes wrong; never, while none does.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => anyhow!(error).context("a watcher's task died"),
            Some(Ok(Ok(()))) | None => anyhow!("a watcher went away"),
        }
    }

    /// Waits until everyone has the last event of their mission, as `lasts` says, for `patience` at most.
    pub(crate) async fn until_all_have(&mut self, lasts: &[u64], patience: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while let Some((index, at, last)) = self.behind(lasts) {
            if began.elapsed() > patience {
                bail!("watcher {} is at event {at} and never got {last}", index + 1);
            }
            tokio::select! {
                error = self.failed() => return Err(error),
                () = tokio::time::sleep(Duration::from_millis(2)) => {}
            }
        }
        Ok(())
    }

    /// Somebody who does not have everything yet: who, how far they are, and the last.
    fn behind(&self, lasts: &[u64]) -> Option<(usize, u64, u64)> {
        let mut reached = self.reached.iter().enumerate();
        reached.find_map(|(index, (mission, at))| {
            let (at, last) = (at.load(Relaxed), lasts[*mission]);
            (at < last).then_some((index, at, last))
        })
    }

    /// Lets them look a moment longer for what should not come, and ends them.
    pub(crate) async fn finish(mut self) -> anyhow::Result<()> {
        tokio::select! {
            error = self.failed() => return Err(error),
            () = tokio::time::sleep(LINGER) => {}
        }
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.context("a watcher's task died")??;
        }
        Ok(())
    }
}
