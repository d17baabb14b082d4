//! Callers: sessions that keep calling on a schedule while others do something else, on a thread of their own.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use flightdeck_protocol::{
    MissionId,
    client::{ClientError, Session},
    model::ActivityType,
    operations::{ActivityAdd, AddActivity},
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::{oneshot, watch};

use crate::{latency::Latency, scan, signin::SignIn};

/// How often each of them calls.
pub(crate) const EVERY: Duration = Duration::from_millis(100);
/// The length of the messages that they add, in bytes.
const BYTES: usize = 300;
/// How long one waits that did not come through.
const AGAIN: Duration = Duration::from_millis(50);

/// A command that was acknowledged as durable.
struct Call {
    due: Instant,
    took: Duration,
    /// Of which mission it is, and its position there.
    mission: usize,
    seq: u64,
}

/// What the callers saw.
pub(crate) struct Called(Vec<Call>);

impl Called {
    /// How long the commands took that were due within this time.
    pub(crate) fn due_within(&self, from: Instant, to: Instant) -> Latency {
        let mut latency = Latency::new();
        self.0.iter().filter(|call| (from..to).contains(&call.due)).for_each(|call| latency.record(call.took));
        latency
    }

    /// The newest position of a mission that was acknowledged.
    pub(crate) fn last_of(&self, mission: usize) -> u64 {
        self.0.iter().filter(|call| call.mission == mission).map(|call| call.seq).max().unwrap_or(0)
    }
}

/// Has `count` sessions add activities to `missions` until `over`. They come back as soon as the server
/// listens, and what was due from then on counts from when it was due.
pub(crate) fn call_aside(
    sign_in: SignIn,
    missions: Vec<MissionId>,
    count: u32,
    listening: watch::Receiver<Instant>,
    mut over: watch::Receiver<bool>,
) -> anyhow::Result<oneshot::Receiver<anyhow::Result<Called>>> {
    let (done, called) = oneshot::channel();
    std::thread::Builder::new().name("callers".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let called = runtime.context("no runtime").and_then(|runtime| {
            runtime.block_on(async {
                let calls = RefCell::new(Vec::new());
                let callers = (0..count as usize).map(|caller| {
                    let mission = caller % missions.len();
                    keep_calling(&sign_in, (mission, missions[mission]), listening.clone(), &calls)
                });
                let mut callers: FuturesUnordered<_> = callers.collect();
                tokio::select! {
                    Some(ended) = callers.next() => ended?,
                    _ = over.wait_for(|over| *over) => {}
                }
                drop(callers);
                Ok(Called(calls.into_inner()))
            })
        });
        // An error means that the run failed elsewhere.
        let _ = done.send(called);
    })?;
    Ok(called)
}

async fn keep_calling(
    sign_in: &SignIn,
    (index, mission): (usize, MissionId),
    listening: watch::Receiver<Instant>,
    calls: &RefCell<Vec<Call>>,
) -> anyhow::Result<()> {
    let mut due = Instant::now();
    loop {
        let session = connect(sign_in).await?;
        // What was due while there was no server is left out.
        due = due.max(*listening.borrow());
        loop {
            tokio::time::sleep_until(due.into()).await;
            let activity = ActivityAdd {
                mission,
                activity_type: ActivityType::default(),
                message: scan::message(0, BYTES),
                details: None,
                step: None,
            };
            match session.call::<AddActivity>(activity).await {
                Ok(ack) => {
                    calls.borrow_mut().push(Call { due, took: due.elapsed(), mission: index, seq: ack.seq });
                    due += EVERY;
                }
                Err(ClientError::Closed(_)) => break,
                // It is still due, and sent again.
                Err(error) if error.is_temporary() => tokio::time::sleep(AGAIN).await,
                Err(error) => return Err(error).context("an activity was not taken"),
            }
        }
    }
}

async fn connect(sign_in: &SignIn) -> anyhow::Result<Session> {
    loop {
        match sign_in.connect().await {
            Ok(session) => return Ok(session),
            Err(error) if error.is_temporary() => tokio::time::sleep(AGAIN).await,
            Err(error) => return Err(error.into()),
        }
    }
}
