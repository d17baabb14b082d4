//! What a client makes of live lists: missions, and what waits for a person.

use flightdeck_protocol::MissionId;
use serde_json::{Value, json};

use crate::{
    desk::Desk,
    scenarios::Scenario,
    stage::{Failed, Played, Stage},
    witness::{Kind, Witness},
};

/// The list of all missions.
pub(crate) async fn missions(stage: &mut Stage) -> Played {
    for nth in 0..5 {
        stage.desk.mission(&format!("mission {nth}")).await?;
    }
    if let Err(failed) = same_missions(stage, Scenario::Missions).await? {
        return Ok(Err(failed));
    }
    stage.client.freeze()?;
    stage.server.kill_nine().await?;
    stage.server.start_again().await?;
    let gone = stage.desk.mission("one that does not stay").await?;
    stage.desk.mission("one that stays").await?;
    stage.desk.call("mission.cancel", &json!({"mission": gone})).await?;
    stage.desk.call("mission.delete", &json!({"mission": gone})).await?;
    stage.client.thaw()?;
    same_missions(stage, Scenario::Missions).await
}

/// The most urgent missions of those that are not over, five at most.
pub(crate) async fn list(stage: &mut Stage) -> Played {
    let mut missions = Vec::new();
    for nth in 0..8 {
        missions.push(stage.desk.mission(&format!("mission {nth}")).await?);
    }
    for round in 0..4 {
        let first = missions[round];
        let priority = ["urgent", "high", "low", "normal"][round];
        change(stage, "mission.update", first, json!({"priority": priority})).await?;
        if let Err(failed) = same_missions(stage, Scenario::List).await? {
            return Ok(Err(failed));
        }
        match round {
            // One leaves, and the next in the order moves up.
            0 => change(stage, "mission.cancel", missions[4], json!({})).await?,
            // So much at once that changes are put together.
            1 => {
                stage.client.freeze()?;
                for (nth, mission) in missions.iter().enumerate().skip(5) {
                    let priority = ["urgent", "normal"][nth % 2];
                    let title = format!("mission {nth}, again");
                    change(stage, "mission.update", *mission, json!({"priority": priority, "title": title})).await?;
                    change(stage, "mission.pause", *mission, json!({})).await?;
                    change(stage, "mission.resume", *mission, json!({})).await?;
                }
                stage.client.thaw()?;
            }
            2 => {
                stage.server.kill_nine().await?;
                stage.server.start_again().await?;
                change(stage, "mission.complete", missions[5], json!({})).await?;
            }
            _ => {
                stage.desk.mission("a late one").await?;
            }
        }
        if let Err(failed) = same_missions(stage, Scenario::List).await? {
            return Ok(Err(failed));
        }
    }
    Ok(Ok(()))
}

/// What waits for the person.
pub(crate) async fn inbox(stage: &mut Stage) -> Played {
    // What one has done oneself does not wait for one.
    let mut colleague = stage.desk.colleague().await?;
    for nth in 0..4 {
        completed(stage, &mut colleague, &format!("mission {nth}")).await?;
    }
    if let Err(failed) = same_inbox(stage, 4).await? {
        return Ok(Err(failed));
    }
    let items = stage.desk.inbox().await?;
    stage.desk.call("inbox.dismiss", &json!({"item": items[1]})).await?;
    if let Err(failed) = same_inbox(stage, 3).await? {
        return Ok(Err(failed));
    }
    stage.client.freeze()?;
    stage.server.kill_nine().await?;
    stage.server.start_again().await?;
    stage.desk.call("inbox.dismiss", &json!({"item": items[0]})).await?;
    completed(stage, &mut colleague, "one that was done meanwhile").await?;
    completed(stage, &mut colleague, "and another").await?;
    stage.client.thaw()?;
    same_inbox(stage, 4).await
}

async fn change(stage: &mut Stage, method: &str, mission: MissionId, mut params: Value) -> anyhow::Result<()> {
    params["mission"] = json!(mission);
    stage.desk.call(method, &params).await.map(|_| ())
}

/// A mission of the person is done, by the colleague.
async fn completed(stage: &mut Stage, colleague: &mut Desk, title: &str) -> anyhow::Result<()> {
    let mission = stage.desk.mission(title).await?;
    colleague.call("mission.complete", &json!({"mission": mission})).await.map(|_| ())
}

/// Waits until the client's list is what the server gives to who asks for all, or what a fresh watch of it begins with.
async fn same_missions(stage: &mut Stage, scenario: Scenario) -> Played {
    let server = match scenario.list() {
        Some(query) if scenario == Scenario::List => stage.desk.list(&query).await?,
        _ => stage.desk.missions().await?,
    };
    same(stage, "missions", &server, |witness| witness.missions.as_ref()).await
}

async fn same_inbox(stage: &mut Stage, count: usize) -> Played {
    let server = stage.desk.inbox().await?;
    anyhow::ensure!(server.len() == count, "the server has {} items, and it should be {count}", server.len());
    same(stage, "items", &server, |witness| witness.inbox.as_ref()).await
}

async fn same<T: PartialEq + std::fmt::Debug>(
    stage: &Stage,
    what: &str,
    server: &Vec<T>,
    ids: impl Fn(&Witness) -> Option<&Vec<T>>,
) -> Played {
    if stage.client.until(stage.patience, |witness| ids(witness) == Some(server)).await {
        return Ok(Ok(()));
    }
    let witness = stage.client.witness();
    let found = match ids(&witness) {
        Some(client) => {
            format!("its list has {} {what}, the server's {}: {client:?}, not {server:?}", client.len(), server.len())
        }
        None => "it has no list".to_owned(),
    };
    stage.client.find(Kind::Divergence, found);
    Ok(Err(Failed))
}
