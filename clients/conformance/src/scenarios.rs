//! The scenarios: what goes wrong in each, and what the client has to have come through it with.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    commands,
    lines::Order,
    lists,
    stage::{Failed, Played, Stage},
    witness::Kind,
};

/// Events of a burst.
const BURST: usize = 5_000;
/// Events while the client is frozen.
const WHILE_FROZEN: usize = 3_000;
/// How often a mission is let go of and watched again in haste.
const HASTE: usize = 10;
/// How often what announces itself to nobody is looked at.
const GLANCE: Duration = Duration::from_millis(50);
/// How long tokens are needed that last five seconds, in seconds.
const TOKENS_SECONDS: u64 = 12;

/// Something that happens to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Plain,
    Drop,
    Duplicate,
    Delay,
    Kill,
    Kills,
    Storm,
    Crash,
    Drain,
    LongGap,
    Burst,
    Slow,
    Tokens,
    Deleted,
    Missions,
    List,
    Inbox,
    Unwatch,
    Idem,
}

impl Scenario {
    /// All of them.
    pub(crate) const ALL: [Self; 19] = [
        Self::Plain,
        Self::Drop,
        Self::Duplicate,
        Self::Delay,
        Self::Kill,
        Self::Kills,
        Self::Storm,
        Self::Crash,
        Self::Drain,
        Self::LongGap,
        Self::Burst,
        Self::Slow,
        Self::Tokens,
        Self::Deleted,
        Self::Missions,
        Self::List,
        Self::Inbox,
        Self::Unwatch,
        Self::Idem,
    ];

    /// The name, as in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Drop => "drop",
            Self::Duplicate => "duplicate",
            Self::Delay => "delay",
            Self::Kill => "kill",
            Self::Kills => "kills",
            Self::Storm => "storm",
            Self::Crash => "crash",
            Self::Drain => "drain",
            Self::LongGap => "long-gap",
            Self::Burst => "burst",
            Self::Slow => "slow",
            Self::Tokens => "tokens",
            Self::Deleted => "deleted",
            Self::Missions => "missions",
            Self::List => "list",
            Self::Inbox => "inbox",
            Self::Unwatch => "unwatch",
            Self::Idem => "idem",
        }
    }

    /// What happens in it.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Plain => "nothing goes wrong: every kind of change is folded as the server folds it",
            Self::Drop => "frames are lost: the gap has to be noticed, and filled",
            Self::Duplicate => "frames come twice: no event may be handed over twice",
            Self::Delay => "a frame comes late, and everything behind it",
            Self::Kill => "the connection ends without a goodbye in place of a frame",
            Self::Kills => "so do the next ones, each in place of its first frame",
            Self::Storm => "all of that, every few events",
            Self::Crash => "the server is killed with -9 and comes back, twice",
            Self::Drain => "the server stops in good order and comes back",
            Self::LongGap => "so much happens meanwhile that the server gives a snapshot",
            Self::Burst => "5,000 events as fast as the server takes them",
            Self::Slow => "the client is frozen while 3,000 events happen",
            Self::Tokens => "access tokens run out after five seconds",
            Self::Deleted => "the mission is deleted: the client has to say that it is over",
            Self::Missions => "the list of all missions, over a crash of the server",
            Self::List => "a live list with a filter, an order and a limit, while missions come, move and leave",
            Self::Inbox => "the inbox fills, and is emptied elsewhere, over a crash of the server",
            Self::Unwatch => "the mission is let go of and watched again, also faster than the server answers",
            Self::Idem => "answers to commands are lost with the connection or the server: each is carried out once",
        }
    }

    /// The flags of the server.
    pub(crate) fn flags(self) -> &'static [&'static str] {
        match self {
            Self::LongGap => &["--resume-events", "20"],
            Self::Slow => &["--feed-bytes", "65536"],
            Self::Tokens => &["--access-token-seconds", "5"],
            _ => &[],
        }
    }

    /// What the library has to be able to do beside watching a mission.
    pub(crate) fn needs(self) -> Option<&'static str> {
        match self {
            Self::Missions | Self::List => Some("missions"),
            Self::Inbox => Some("inbox"),
            Self::Unwatch => Some("unwatch"),
            Self::Idem => Some("send"),
            _ => None,
        }
    }

    /// The list of missions that is watched beside the mission.
    pub(crate) fn list(self) -> Option<Value> {
        match self {
            Self::Missions => Some(json!({})),
            Self::List => Some(json!({"status": ["pending", "running"], "order": "priority", "limit": 5})),
            _ => None,
        }
    }

    /// Does to the client what the scenario is about. The client watches, and is up to date.
    pub(crate) async fn act(self, stage: &mut Stage) -> Played {
        match self {
            Self::Plain => stage.work(50).await?,
            Self::Drop => {
                let drop = |after: u64| json!({"action": "drop", "after": after});
                stage.plan(&[drop(3), drop(4), drop(11)]).await?;
                stage.work(30).await?;
            }
            Self::Duplicate => {
                let twice = |after: u64| json!({"action": "duplicate", "after": after});
                stage.plan(&[twice(2), twice(3), twice(9)]).await?;
                stage.work(20).await?;
            }
            Self::Delay => {
                stage.plan(&[json!({"action": "delay", "after": 3, "delay_ms": 1500})]).await?;
                stage.work(20).await?;
            }
            Self::Kill => {
                stage.plan(&[json!({"action": "kill", "after": 5})]).await?;
                stage.work(20).await?;
            }
            Self::Kills => {
                let again = json!({"action": "kill", "at_frame": 1, "times": 3});
                stage.plan(&[json!({"action": "kill", "after": 2}), again]).await?;
                stage.work(20).await?;
            }
            Self::Storm => {
                let faults = (0..24u64).map(|nth| match nth % 4 {
                    0 => json!({"action": "duplicate", "after": 2 + nth * 3}),
                    1 => json!({"action": "drop", "after": 2 + nth * 3}),
                    2 => json!({"action": "delay", "after": 2 + nth * 3, "delay_ms": 50}),
                    // A client waits longer each time; some kills are enough.
                    _ if nth < 12 => json!({"action": "kill", "after": 2 + nth * 3}),
                    _ => json!({"action": "drop", "after": 2 + nth * 3}),
                });
                stage.plan(&faults.collect::<Vec<_>>()).await?;
                stage.work(90).await?;
            }
            Self::Crash => {
                for _ in 0..2 {
                    stage.work(10).await?;
                    stage.server.kill_nine().await?;
                    stage.server.start_again().await?;
                    stage.work(10).await?;
                    if let Err(failed) = stage.settle().await? {
                        return Ok(Err(failed));
                    }
                }
            }
            Self::Drain => {
                stage.work(10).await?;
                stage.server.stop().await?;
                stage.server.start_again().await?;
                stage.work(10).await?;
            }
            Self::LongGap => {
                stage.client.freeze()?;
                stage.server.kill_nine().await?;
                stage.server.start_again().await?;
                stage.work(60).await?;
                stage.client.thaw()?;
            }
            Self::Burst => stage.desk.burst(stage.mission, BURST).await?,
            Self::Slow => {
                stage.client.freeze()?;
                stage.desk.burst(stage.mission, WHILE_FROZEN).await?;
                stage.client.thaw()?;
                stage.work(10).await?;
            }
            Self::Tokens => {
                for _ in 0..TOKENS_SECONDS {
                    stage.work(3).await?;
                    sleep(Duration::from_secs(1)).await;
                }
            }
            Self::Deleted => return deleted(stage).await,
            Self::Missions => return lists::missions(stage).await,
            Self::List => return lists::list(stage).await,
            Self::Inbox => return lists::inbox(stage).await,
            Self::Unwatch => return unwatch(stage).await,
            Self::Idem => return commands::idem(stage).await,
        }
        stage.settle().await
    }
}

async fn deleted(stage: &mut Stage) -> Played {
    stage.work(10).await?;
    stage.desk.call("mission.cancel", &json!({"mission": stage.mission})).await?;
    let deleted = stage.desk.call("mission.delete", &json!({"mission": stage.mission})).await?;
    if !stage.client.until(stage.patience, |witness| witness.ended.is_some()).await {
        stage.client.find(Kind::Stuck, "it did not say that it is over");
        return Ok(Err(Failed));
    }
    let (at, last) = (stage.client.witness().seq(), deleted["seq"].as_u64().unwrap_or_default());
    if at != last {
        stage.client.find(Kind::Gap, format!("it ended after event {at}, and the last one is {last}"));
    }
    Ok(Ok(()))
}

async fn unwatch(stage: &mut Stage) -> Played {
    stage.work(5).await?;
    if let Err(failed) = stage.settle().await? {
        return Ok(Err(failed));
    }
    stage.client.tell(Order::Unwatch).await;
    if !stage.client.until(stage.patience, |witness| witness.is_unwatched).await {
        stage.client.find(Kind::Stuck, "it did not let go of the mission");
        return Ok(Err(Failed));
    }
    if let Err(failed) = watched(stage, 0).await? {
        return Ok(Err(failed));
    }
    stage.work(10).await?;
    stage.client.tell(Order::Watch).await;
    stage.work(5).await?;
    if let Err(failed) = stage.settle().await? {
        return Ok(Err(failed));
    }
    for _ in 0..HASTE {
        stage.client.tell(Order::Unwatch).await;
        stage.client.tell(Order::Watch).await;
    }
    stage.work(10).await?;
    if let Err(failed) = stage.settle().await? {
        return Ok(Err(failed));
    }
    watched(stage, 1).await
}

/// Waits until the server has so many watches of the mission.
async fn watched(stage: &mut Stage, times: usize) -> Played {
    let began = Instant::now();
    loop {
        let found = stage.desk.watches(stage.mission).await?;
        if found == times {
            return Ok(Ok(()));
        }
        if began.elapsed() >= stage.patience {
            stage.client.find(Kind::Leak, format!("the server has {found} watches of it, and there should be {times}"));
            return Ok(Err(Failed));
        }
        sleep(GLANCE).await;
    }
}
