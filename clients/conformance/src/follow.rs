//! The Rust client of `flightdeck-protocol` as the client under test.

use anyhow::{Context as _, bail};
use flightdeck_protocol::{
    Event,
    client::{Client, ClientError, Followed, LiveList},
    model::{Mission, MissionSummary},
    operations::MissionsWatch,
};

use crate::{
    lines::{Order, Word},
    wire::{orders, say},
};

/// Watches with a [`Client`] until the harness says stop. One that is `forgetful` folds wrongly, to be caught.
pub(crate) async fn run(forgetful: bool) -> anyhow::Result<()> {
    let (mut orders, tokens) = orders();
    say(&Word::Hello { library: "flightdeck-protocol, feature client".to_owned(), can: vec!["missions".to_owned()] })?;
    let (url, token, mission, missions) = match orders.recv().await {
        Some(Order::Begin { url, token, mission, missions }) => (url, token, mission, missions),
        Some(Order::Stop) | None => return Ok(()),
        Some(order) => bail!("the first order has to be to begin, and is {order:?}"),
    };
    tokens.set(token).await;
    let client = Client::start(&url, tokens);
    let mut follow = client.watch(mission);
    let mut list = missions.then(|| client.watch_missions(MissionsWatch::default()));
    let mut state: Option<Mission> = None;
    loop {
        let followed = tokio::select! {
            order = orders.recv() => match order {
                Some(Order::State { id }) => {
                    let mission = state.as_ref().map(serde_json::to_value).transpose()?;
                    say(&Word::State { id, mission })?;
                    continue;
                }
                Some(Order::Stop) | None => return Ok(()),
                Some(_) => continue,
            },
            changed = change(list.as_mut()) => {
                changed?;
                if let Some(items) = list.as_ref().and_then(LiveList::items) {
                    say(&Word::Missions { ids: items.iter().map(|mission| mission.id).collect() })?;
                }
                continue;
            }
            Some(followed) = follow.next() => followed,
        };
        let epoch = follow.position().map(|position| position.epoch);
        match followed {
            Followed::Snapshot(mission) => {
                say(&Word::Snapshot { epoch: epoch.context("a position")?, seq: mission.seq })?;
                state = Some(*mission);
            }
            Followed::Events(events) => {
                for event in events {
                    say(&Word::Event { epoch: epoch.context("a position")?, seq: event.seq })?;
                    if let Some(state) = &mut state {
                        let title = state.title.clone();
                        state.apply(&event);
                        if forgetful && matches!(event.event, Event::MissionUpdated { .. }) {
                            state.title = title;
                        }
                    }
                }
            }
            Followed::Ended(error) => say(&Word::Ended { why: error.to_string() })?,
            _ => {}
        }
    }
}

/// Waits for a change of the list; for ever where there is none.
async fn change(list: Option<&mut LiveList<MissionSummary>>) -> Result<(), ClientError> {
    match list {
        Some(list) => list.changed().await,
        None => std::future::pending().await,
    }
}
