//! What a client makes of commands whose answers are lost: each has to be carried out once, and answered.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::{
    lines::Order,
    stage::{Failed, Played, Stage},
    witness::Kind,
};

/// Messages one after the other, the answer to each of which is lost. Few: with each lost connection a client waits longer.
const LOST: u64 = 2;
/// Messages at once, while connections are killed.
const AT_ONCE: u64 = 24;
/// How often it is looked whether the server has a message.
const GLANCE: Duration = Duration::from_millis(20);

pub(crate) async fn idem(stage: &mut Stage) -> Played {
    for id in 0..LOST {
        stage.door.swallow();
        stage.client.tell(Order::Send { id, text: text(id) }).await;
        arrived(stage, id).await?;
        // It is carried out, and the client does not know: its connection is lost, or the whole server is.
        if id % 2 == 1 {
            stage.server.kill_nine().await?;
            stage.server.start_again().await?;
        }
        stage.door.slam();
        if let Err(failed) = answered(stage, id + 1).await {
            return Ok(Err(failed));
        }
    }
    let kill = |after: u64| json!({"action": "kill", "after": after});
    stage.plan(&[kill(2), kill(9)]).await?;
    for id in LOST..LOST + AT_ONCE {
        stage.client.tell(Order::Send { id, text: text(id) }).await;
    }
    if let Err(failed) = answered(stage, LOST + AT_ONCE).await {
        return Ok(Err(failed));
    }
    if let Err(failed) = stage.settle().await? {
        return Ok(Err(failed));
    }
    let messages = stage.desk.messages(stage.mission).await?;
    for id in 0..LOST + AT_ONCE {
        let times = messages.iter().filter(|message| **message == text(id)).count();
        match times {
            1 => {}
            0 => stage.client.find(Kind::Gap, format!("message {id} was answered, and the server does not have it")),
            _ => stage.client.find(Kind::Duplicate, format!("message {id} was carried out {times} times")),
        }
    }
    Ok(Ok(()))
}

fn text(id: u64) -> String {
    format!("message {id}")
}

/// Waits until the server has the message.
async fn arrived(stage: &mut Stage, id: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    while !stage.desk.messages(stage.mission).await?.contains(&text(id)) {
        if began.elapsed() > stage.patience || stage.client.witness().is_gone {
            // What the client did not do is found by whoever waits for its answer.
            return Ok(());
        }
        sleep(GLANCE).await;
    }
    Ok(())
}

/// Waits for the answers to the first `count` messages.
async fn answered(stage: &Stage, count: u64) -> Result<(), Failed> {
    stage.client.until(stage.patience, |witness| witness.sent.len() as u64 >= count).await;
    let witness = stage.client.witness();
    for id in 0..count {
        match witness.sent.get(&id) {
            Some(Ok(_)) => {}
            Some(Err(why)) => stage.client.find(Kind::Broken, format!("it gave up on message {id}: {why}")),
            None => stage.client.find(Kind::Stuck, format!("message {id} was never answered")),
        }
    }
    let all = (0..count).all(|id| matches!(witness.sent.get(&id), Some(Ok(_))));
    if all { Ok(()) } else { Err(Failed) }
}
