//! Watchers: each checks the order of what it gets, and all of them together keep the tally.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use flightdeck_protocol::{
    client::{Notices, Session},
    notification::{MISSION_EVENTS, MISSION_WATCHING, Notice},
};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::{latency::Latency, scan::Sequence};

/// How long a watch may take to stand.
const STANDING: Duration = Duration::from_secs(30);
/// How long watchers stay after the last event, to see whether anything comes twice.
const LINGER: Duration = Duration::from_millis(300);

/// What was delivered to all watchers.
pub(crate) struct Tally {
    /// When the run began: due times count from here.
    began: Instant,
    /// Events that were due before this are not counted.
    counted_from_us: u64,
    /// Events delivered, each once a watcher.
    pub(crate) deliveries: AtomicU64,
    /// Frames that carried them.
    pub(crate) frames: AtomicU64,
    /// The length of those frames, in bytes.
    pub(crate) bytes: AtomicU64,
    /// From when an event was due until a watcher had it.
    pub(crate) latency: Mutex<Latency>,
}

impl Tally {
    pub(crate) fn new(began: Instant, counted_from: Duration) -> Self {
        Self {
            began,
            counted_from_us: counted_from.as_micros() as u64,
            deliveries: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            latency: Mutex::new(Latency::new()),
        }
    }

    fn delivered(&self, due_us: u64, now_us: u64) -> bool {
        if due_us < self.counted_from_us {
            return false;
        }
        self.deliveries.fetch_add(1, Relaxed);
        let took = Duration::from_micros(now_us.saturating_sub(due_us));
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).record(took);
        true
    }
}

/// Watchers of one mission.
pub(crate) struct Watchers {
    standing: Vec<(Session, Notices, Sequence)>,
}

impl Watchers {
    /// Waits until each of `connected` says where it begins.
    pub(crate) async fn standing(connected: Vec<(Session, Notices)>) -> anyhow::Result<Self> {
        let mut standing = Vec::with_capacity(connected.len());
        for (session, mut notices) in connected {
            let sequence =
                timeout(STANDING, begin(&mut notices)).await.context("a watch did not come about in time")??;
            standing.push((session, notices, sequence));
        }
        Ok(Self { standing })
    }

    /// Sets them to work.
    pub(crate) fn start(self, tally: &Arc<Tally>) -> Working {
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut reached = Vec::with_capacity(self.standing.len());
        for (index, (session, notices, sequence)) in self.standing.into_iter().enumerate() {
            let at = Arc::new(AtomicU64::new(sequence.last()));
            reached.push(at.clone());
            let work = follow(session, notices, sequence, at, tally.clone(), stopping.clone());
            tasks.spawn(async move { work.await.with_context(|| format!("watcher {}", index + 1)) });
        }
        Working { tasks, reached, stop }
    }
}

/// The snapshot's position: the first event to come is the one after.
async fn begin(notices: &mut Notices) -> anyhow::Result<Sequence> {
    while let Some(notice) = notices.next_raw().await {
        if notice.method().as_deref() == Some(MISSION_WATCHING)
            && let Some(Notice::Watching(watching)) = notice.read()?
        {
            return Ok(Sequence::after(watching.seq));
        }
        if notice.method().is_none() {
            bail!("the server does not let it watch: {}", notice.text());
        }
    }
    Err(ended(notices))
}

fn ended(notices: &Notices) -> anyhow::Error {
    match notices.closed() {
        Some(closed) => anyhow!("the session ended: {closed}"),
        None => anyhow!("the session ended"),
    }
}

async fn follow(
    session: Session,
    mut notices: Notices,
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
    reached: Vec<Arc<AtomicU64>>,
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

    /// Waits until everyone has event `last`, for `patience` at most.
    pub(crate) async fn until_all_have(&mut self, last: u64, patience: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while let Some((index, at)) = self.behind(last) {
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

    /// Somebody who does not have event `last` yet.
    fn behind(&self, last: u64) -> Option<(usize, u64)> {
        let mut reached = self.reached.iter().map(|at| at.load(Relaxed)).enumerate();
        reached.find(|(_, at)| *at < last)
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
