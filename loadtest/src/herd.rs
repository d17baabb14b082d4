//! A herd: watchers that lose their server, and come back to where they were.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{anyhow, bail, ensure};
use flightdeck_protocol::{
    Code, MissionId,
    client::{ClientError, Followed},
    notification::MISSION_EVENTS,
    operations::Position,
};
use tokio::sync::watch;

use crate::{
    latency::Latency,
    scan::Sequence,
    signin::{Connected, SignIn},
    watchers::begin,
};

/// How long one that was refused waits, if it was not told how long: less than any client of ours does.
const AGAIN: Duration = Duration::from_millis(100);

/// What the herd came to.
pub(crate) struct Returned {
    /// From when the server listened again until a watch was resumed.
    latency: Mutex<Latency>,
    /// Attempts that the server refused, telling when to come again.
    refused: AtomicU64,
    /// Attempts that failed otherwise.
    failed: AtomicU64,
    /// Returns of sessions that had come back before.
    again: AtomicU64,
}

impl Returned {
    pub(crate) fn new() -> Self {
        Self {
            latency: Mutex::new(Latency::new()),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            again: AtomicU64::new(0),
        }
    }

    /// How many are back.
    pub(crate) fn count(&self) -> u64 {
        self.read(Latency::count)
    }

    /// Attempts that the server refused, telling when to come again.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Attempts that failed otherwise.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    pub(crate) fn read<R>(&self, read: impl FnOnce(&Latency) -> R) -> R {
        read(&self.latency.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns of sessions that had come back before.
    pub(crate) fn again(&self) -> u64 {
        self.again.load(Relaxed)
    }

    /// An attempt did not come through.
    pub(crate) fn note_failure(&self, was_refused: bool) {
        let which = if was_refused { &self.refused } else { &self.failed };
        which.fetch_add(1, Relaxed);
    }

    /// A session came back; only its first return says when it was back.
    pub(crate) fn note(&self, listening: Instant, returns: &mut u32) {
        *returns += 1;
        if *returns > 1 {
            self.again.fetch_add(1, Relaxed);
            return;
        }
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).record(listening.elapsed());
    }
}

/// What each of the herd shares with the others.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) sign_in: SignIn,
    pub(crate) mission: MissionId,
    /// When the server began to listen, the last time.
    pub(crate) listening: watch::Receiver<Instant>,
    pub(crate) returned: Arc<Returned>,
    /// The position that this one has reached.
    pub(crate) reached: Arc<AtomicU64>,
}

impl Member {
    /// Watches, and comes back in the very moment in which the server listens again. Never ends by itself.
    pub(crate) async fn at_once(mut self, connected: Connected) -> anyhow::Result<()> {
        let Connected { mut session, mut notices, .. } = connected;
        let begun = begin(&mut notices).await?;
        let (epoch, mut sequence, mut returns) = (begun.epoch, Sequence::after(begun.seq), 0);
        loop {
            self.reached.store(sequence.last(), Relaxed);
            let Some(notice) = notices.next_raw().await else {
                self.listening.changed().await?;
                let listening = *self.listening.borrow_and_update();
                let since = Position { epoch, seq: sequence.last() };
                (session, notices) = loop {
                    match self.sign_in.watch(self.mission, Some(since)).await {
                        Ok(connected) => break connected,
                        Err(error) => self.wait_after(error).await?,
                    }
                };
                let begun = begin(&mut notices).await?;
                ensure!(begun.resumed, "a watch was not resumed from {since:?}: {:?}", begun.reason);
                self.returned.note(listening, &mut returns);
                continue;
            };
            if notice.method().as_deref() == Some(MISSION_EVENTS) {
                sequence.take(notice.text(), |_| {}).map_err(|wrong| anyhow!("{wrong}"))?;
            }
            // It is held for as long as its notices are read.
            let _ = &session;
        }
    }

    async fn wait_after(&self, error: ClientError) -> anyhow::Result<()> {
        if !error.is_temporary() {
            return Err(error.into());
        }
        let after = error.fault().and_then(|fault| fault.data.retry_after_ms);
        self.returned.note_failure(after.is_some());
        tokio::time::sleep(after.map_or(AGAIN, Duration::from_millis)).await;
        Ok(())
    }

    /// Watches as a client of ours does, which comes back by itself with waits that differ. Never ends by itself.
    pub(crate) async fn with_waits(self) -> anyhow::Result<()> {
        let mut follow = self.sign_in.follow(self.mission);
        let (mut at, mut connections, mut returns) = (0, 0, 0);
        let refusal = format!("({})", Code::Overloaded.name());
        while let Some(followed) = follow.next().await {
            match followed {
                Followed::Connected { resumed, reason, .. } => {
                    connections += 1;
                    if connections > 1 {
                        ensure!(resumed, "a watch was not resumed from {at}: {reason:?}");
                        self.returned.note(*self.listening.borrow(), &mut returns);
                    }
                }
                Followed::Snapshot(mission) => at = mission.seq,
                Followed::Events(events) => {
                    for event in events {
                        ensure!(event.seq == at + 1, "event {} followed on {at}", event.seq);
                        at = event.seq;
                    }
                }
                Followed::Skipped(_) | Followed::Presence(_) | Followed::Live(_) => {}
                Followed::Disconnected { .. } if connections == 0 => {
                    bail!("the server does not take the sessions to begin with")
                }
                // The one after the crash, and the attempts that follow on it. A refusal ends with its name.
                Followed::Disconnected { why, .. } => self.returned.note_failure(why.contains(&refusal)),
                Followed::Ended(error) => return Err(error.into()),
            }
            self.reached.store(at, Relaxed);
        }
        bail!("a client stopped following")
    }
}
