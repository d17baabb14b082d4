//! The publisher: activities on a schedule, whether earlier ones were answered or not.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use flightdeck_protocol::{
    MissionId,
    client::{ClientError, Session},
    model::ActivityType,
    operations::{Ack, ActivityAdd, AddActivity},
};
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinSet,
};

use crate::{latency::Latency, scan, signin::SignIn};

/// Unanswered commands that a session may have; the server refuses a 65th. Beyond it the
/// publisher waits, and the wait counts in every latency, which runs from the due time.
const IN_FLIGHT: usize = 64;

/// What is published, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// Events a second.
    pub(crate) rate: u32,
    /// How many altogether.
    pub(crate) events: u64,
    /// The length of each message.
    pub(crate) bytes: usize,
    /// What is due before this, after the beginning, is not measured.
    pub(crate) counted_from: Duration,
}

impl Schedule {
    /// When event `index` is due, after the beginning.
    pub(crate) fn due(&self, index: u64) -> Duration {
        Duration::from_micros(index * 1_000_000 / u64::from(self.rate))
    }
}

/// What the publisher saw.
pub(crate) struct Published {
    /// The position of the last event.
    pub(crate) last_seq: u64,
    /// From when a command was due until its answer said that it is on disk.
    pub(crate) acknowledged: Latency,
    /// From when a command was due until it was sent.
    pub(crate) late: Latency,
}

/// Publishes all of `schedule` from a thread of its own, where it does not wait behind this
/// program's watchers. It connects first, so `began` has to be a moment ahead.
pub(crate) async fn publish_aside(
    sign_in: SignIn,
    mission: MissionId,
    schedule: Schedule,
    began: Instant,
) -> anyhow::Result<Published> {
    let (done, published) = oneshot::channel();
    std::thread::Builder::new().name("publisher".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let published = runtime.context("no runtime").and_then(|runtime| {
            runtime.block_on(async { publish(sign_in.connect().await?, mission, schedule, began).await })
        });
        // An error means that the run failed elsewhere.
        let _ = done.send(published);
    })?;
    published.await.context("the publisher's thread died")?
}

async fn publish(
    session: Session,
    mission: MissionId,
    schedule: Schedule,
    began: Instant,
) -> anyhow::Result<Published> {
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut commands = JoinSet::new();
    let mut published = Published { last_seq: 0, acknowledged: Latency::new(), late: Latency::new() };
    for index in 0..schedule.events {
        let due = schedule.due(index);
        tokio::time::sleep_until((began + due).into()).await;
        let permit = room.clone().acquire_owned().await?;
        if due >= schedule.counted_from {
            published.late.record(began.elapsed().saturating_sub(due));
        }
        let activity = ActivityAdd {
            mission,
            activity_type: ActivityType::default(),
            message: scan::message(due.as_micros() as u64, schedule.bytes),
            details: None,
            step: None,
        };
        let session = session.clone();
        commands.spawn(async move {
            let answer = session.call::<AddActivity>(activity).await;
            let answered = began.elapsed();
            drop(permit);
            (answer, due, answered)
        });
        while let Some(answered) = commands.try_join_next() {
            published.answered(answered?, &schedule)?;
        }
    }
    while let Some(answered) = commands.join_next().await {
        published.answered(answered?, &schedule)?;
    }
    Ok(published)
}

/// An answer, when its command was due, and when it came.
type Answered = (Result<Ack, ClientError>, Duration, Duration);

impl Published {
    fn answered(&mut self, (answer, due, answered): Answered, schedule: &Schedule) -> anyhow::Result<()> {
        let ack = answer.context("an activity was not taken")?;
        self.last_seq = self.last_seq.max(ack.seq);
        if due >= schedule.counted_from {
            self.acknowledged.record(answered.saturating_sub(due));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_due_evenly_however_odd_the_rate() {
        let schedule = Schedule { rate: 3, events: 9, bytes: 300, counted_from: Duration::ZERO };
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(1), Duration::from_micros(333_333));
        assert_eq!(schedule.due(3), Duration::from_secs(1));
    }
}
