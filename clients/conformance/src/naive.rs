//! A client that believes whatever comes: it looks at no position, and so loses and repeats what the server does.

use std::time::Duration;

use anyhow::bail;
use flightdeck_protocol::{
    MissionId,
    client::{ClientError, Session, Tokens as _},
    model::Mission,
    notification::Notice,
    operations::{Position, Watch, WatchMission},
};
use tokio::{sync::mpsc, time::sleep};

use crate::{
    lines::{Order, Word},
    wire::{AskedTokens, orders, say},
};

const WAIT: Duration = Duration::from_millis(200);

struct Naive {
    mission: Option<Mission>,
    position: Option<Position>,
}

/// Watches until the harness says stop.
pub(crate) async fn run() -> anyhow::Result<()> {
    let (mut orders, tokens) = orders();
    say(&Word::Hello { library: "a naive client".to_owned(), can: Vec::new() })?;
    let (url, token, mission) = match orders.recv().await {
        Some(Order::Begin { url, token, mission, .. }) => (url, token, mission),
        Some(Order::Stop) | None => return Ok(()),
        Some(order) => bail!("the first order has to be to begin, and is {order:?}"),
    };
    tokens.set(token).await;
    let mut naive = Naive { mission: None, position: None };
    loop {
        match naive.connection(&url, mission, &tokens, &mut orders).await {
            Ok(()) => return Ok(()),
            Err(_) => sleep(WAIT).await,
        }
    }
}

impl Naive {
    /// One connection; `Ok` where the harness says stop.
    async fn connection(
        &mut self,
        url: &str,
        mission: MissionId,
        tokens: &AskedTokens,
        orders: &mut mpsc::Receiver<Order>,
    ) -> anyhow::Result<()> {
        let token = tokens.token(None).await?;
        let (session, mut notices) = match Session::connect(url, Some(&token)).await {
            Err(error) if error.is_unauthenticated() => {
                tokens.token(Some(token)).await?;
                return Err(error.into());
            }
            connected => connected?,
        };
        let watching = session.call::<WatchMission>(Watch::new(mission, "naive", self.position)).await?;
        if let Some(snapshot) = watching.snapshot {
            self.position = Some(Position { epoch: watching.epoch, seq: watching.seq });
            say(&Word::Snapshot { epoch: watching.epoch, seq: watching.seq })?;
            self.mission = Some(snapshot);
        }
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::State { id }) => {
                        let mission = self.mission.as_ref().map(serde_json::to_value).transpose()?;
                        say(&Word::State { id, mission })?;
                    }
                    Some(Order::Stop) | None => return Ok(()),
                    Some(_) => {}
                },
                notice = notices.next() => match notice {
                    Some(Notice::Events(events)) => {
                        for event in &events.events {
                            say(&Word::Event { epoch: events.epoch, seq: event.seq })?;
                            if let Some(mission) = &mut self.mission {
                                mission.apply(event);
                            }
                        }
                        self.position = Some(Position { epoch: events.epoch, seq: events.to });
                    }
                    Some(Notice::WatchEnded(ended)) => say(&Word::Ended { why: ended.error.to_string() })?,
                    Some(_) => {}
                    None => return Err(ClientError::Address("the connection ended".to_owned()).into()),
                },
            }
        }
    }
}
