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
/// Events a second of one session; for more, the publisher has more sessions.
const SESSION_RATE: u32 = 500;

/// What is published, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// Events a second, on all missions together: each has its turn.
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
    /// The position of each mission's last event.
    pub(crate) last_seqs: Vec<u64>,
    /// From when a command was due until its answer said that it is on disk.
    pub(crate) acknowledged: Latency,
    /// From when a command was due until it was sent.
    pub(crate) late: Latency,
}

/// Publishes all of `schedule` from a thread of its own, where it does not wait behind this
/// program's watchers. It connects first, so `began` has to be a moment ahead.
pub(crate) async fn publish_aside(
    sign_in: SignIn,
    missions: Vec<MissionId>,
    schedule: Schedule,
    began: Instant,
) -> anyhow::Result<Published> {
    let (done, published) = oneshot::channel();
    std::thread::Builder::new().name("publisher".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let published = runtime.context("no runtime").and_then(|runtime| {
            runtime.block_on(async {
                let sessions = sign_in.connect_many(schedule.rate.div_ceil(SESSION_RATE)).await?;
                publish(&sessions, &missions, schedule, began).await
            })
        });
        // An error means that the run failed elsewhere.
        let _ = done.send(published);
    })?;
    published.await.context("the publisher's thread died")?
}

async fn publish(
    sessions: &[Session],
    missions: &[MissionId],
    schedule: Schedule,
    began: Instant,
) -> anyhow::Result<Published> {
    let sessions: Vec<_> = sessions.iter().map(|session| (session, Arc::new(Semaphore::new(IN_FLIGHT)))).collect();
    let mut commands = JoinSet::new();
    let mut published =
        Published { last_seqs: vec![0; missions.len()], acknowledged: Latency::new(), late: Latency::new() };
    for index in 0..schedule.events {
        let due = schedule.due(index);
        tokio::time::sleep_until((began + due).into()).await;
        let (session, room) = &sessions[index as usize % sessions.len()];
        let mission = index as usize % missions.len();
        let permit = room.clone().acquire_owned().await?;
        if due >= schedule.counted_from {
            published.late.record(began.elapsed().saturating_sub(due));
        }
        let activity = ActivityAdd {
            mission: missions[mission],
            activity_type: ActivityType::default(),
            message: scan::message(due.as_micros() as u64, schedule.bytes),
            details: None,
            step: None,
        };
        let session = Session::clone(session);
        commands.spawn(async move {
            let answer = session.call::<AddActivity>(activity).await;
            let at = began.elapsed();
            drop(permit);
            Answered { mission, answer, due, at }
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

/// The answer to a command.
struct Answered {
    /// Which of the missions it was for.
    mission: usize,
    answer: Result<Ack, ClientError>,
    /// When the command was due, after the beginning.
    due: Duration,
    /// When the answer came.
    at: Duration,
}

impl Published {
    fn answered(&mut self, answered: Answered, schedule: &Schedule) -> anyhow::Result<()> {
        let Answered { mission, answer, due, at } = answered;
        let ack = answer.context("an activity was not taken")?;
        self.last_seqs[mission] = self.last_seqs[mission].max(ack.seq);
        if due >= schedule.counted_from {
            self.acknowledged.record(at.saturating_sub(due));
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
