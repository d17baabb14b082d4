//! Watchers that stop reading for a while, and one that never does, whose word is the log.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, ensure};
use flightdeck_protocol::{MissionId, notification::MISSION_EVENTS, operations::Position};

use crate::{
    latency::Latency,
    report::Figure,
    scan::Sequence,
    signin::{Connected, SignIn},
    told::{Log, Told},
    watchers::{begin, ended},
};

/// A watcher that stops reading for a while.
pub(crate) struct Pausing<'a> {
    pub(crate) sign_in: &'a SignIn,
    pub(crate) mission: MissionId,
    pub(crate) began: Instant,
    /// When it does not read, after the beginning.
    pub(crate) pause: Range<Duration>,
}

/// How one came back.
pub(crate) struct Back {
    /// What it was told in all.
    pub(crate) told: Told,
    /// How often its session ended and was resumed.
    resumed: u64,
    /// How often it was given the mission whole, since it had missed too much.
    snapshots: u64,
    /// From the end of its pause until it had everything that happened in it.
    caught_up: Option<Duration>,
}

impl Pausing<'_> {
    /// Watches, pauses, and reads on until it has the last event, which `last` tells once it is known.
    pub(crate) async fn watch(
        self,
        connected: Connected,
        mut last: tokio::sync::watch::Receiver<Option<u64>>,
    ) -> anyhow::Result<Back> {
        let Connected { session: mut held, mut notices, .. } = connected;
        let begun = begin(&mut notices).await?;
        let (epoch, mut sequence) = (begun.epoch, Sequence::after(begun.seq));
        let pause_at = self.began + self.pause.start;
        let mut back = Back { told: Told::after(begun.seq), resumed: 0, snapshots: 0, caught_up: None };
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
                if let Some(snapshot) = begun.snapshot {
                    back.snapshots += 1;
                    back.told.skip_to(snapshot);
                }
                ensure!(!begun.resumed || begun.seq == sequence.last(), "a watch went on from elsewhere");
                sequence = Sequence::after(begun.seq);
                continue;
            };
            if notice.method().as_deref() != Some(MISSION_EVENTS) {
                continue;
            }
            let pause_end_us = self.pause.end.as_micros() as u64;
            let mut newest = 0;
            sequence.take(notice.text(), |due_us| newest = due_us).map_err(|wrong| anyhow!("{wrong}"))?;
            back.told.take(notice.text())?;
            if newest >= pause_end_us && back.caught_up.is_none() {
                back.caught_up = Some(self.began.elapsed().saturating_sub(self.pause.end));
            }
        }
        held.close().await;
        Ok(back)
    }
}

/// The mission's log from where this watch begins, which is read all the time, up to the last event.
pub(crate) async fn log_of(
    connected: Connected,
    mut last: tokio::sync::watch::Receiver<Option<u64>>,
) -> anyhow::Result<Log> {
    let Connected { session, mut notices, .. } = connected;
    let begun = begin(&mut notices).await?;
    let (mut log, mut sequence) = (Log::after(begun.seq), Sequence::after(begun.seq));
    while last.borrow().is_none_or(|last| sequence.last() < last) {
        let notice = tokio::select! {
            notice = notices.next_raw() => notice.ok_or_else(|| ended(&notices))?,
            _ = last.changed() => continue,
        };
        if notice.method().as_deref() == Some(MISSION_EVENTS) {
            sequence.take(notice.text(), |_| {}).map_err(|wrong| anyhow!("{wrong}"))?;
            log.take(notice.text())?;
        }
    }
    session.close().await;
    Ok(log)
}

/// How they came back, all of them together.
pub(crate) fn figures_of(back: &[Back]) -> Vec<Figure> {
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
