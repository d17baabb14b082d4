//! The Rust client of `flightdeck-protocol` as the client under test.

use anyhow::{Context as _, bail};
use flightdeck_protocol::{
    Event, MissionId,
    client::{Client, ClientError, Follow, Followed, LiveList},
    model::Mission,
    operations::{MessageSend, MissionsWatch, SendMessage},
};
use serde_json::{Value, json};

use crate::{
    lines::{Order, Word},
    wire::{orders, say},
};

/// What it can beside watching a mission.
const CAN: [&str; 4] = ["missions", "inbox", "unwatch", "send"];

/// What a client does wrong, to be caught.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Wrong {
    /// Forgets to fold the titles of missions.
    #[arg(long)]
    forgetful: bool,
    /// Asks again without a name what may have been carried out.
    #[arg(long)]
    careless: bool,
    /// Does not let go of the mission.
    #[arg(long)]
    clinging: bool,
}

/// Watches with a [`Client`] until the harness says stop.
pub(crate) async fn run(wrong: Wrong) -> anyhow::Result<()> {
    let (mut orders, tokens) = orders();
    let can = CAN.map(str::to_owned).to_vec();
    say(&Word::Hello { library: "flightdeck-protocol, feature client".to_owned(), can })?;
    let (url, token, mission, missions, inbox) = match orders.recv().await {
        Some(Order::Begin { url, token, mission, missions, inbox }) => (url, token, mission, missions, inbox),
        Some(Order::Stop) | None => return Ok(()),
        Some(order) => bail!("the first order has to be to begin, and is {order:?}"),
    };
    tokens.set(token).await;
    let client = Client::start(&url, tokens);
    let mut follow = Some(client.watch(mission));
    let mut list = missions.map(query).transpose()?.map(|query| client.watch_missions(query));
    let mut inbox = inbox.then(|| client.watch_inbox());
    let mut seen = Seen { mission: None, forgetful: wrong.forgetful };
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::State { id }) => {
                    let mission = seen.mission.as_ref().map(serde_json::to_value).transpose()?;
                    say(&Word::State { id, mission })?;
                }
                Some(Order::Unwatch) => {
                    follow = follow.filter(|_| wrong.clinging);
                    say(&Word::Unwatched)?;
                }
                Some(Order::Watch) => {
                    say(&Word::Watching)?;
                    follow = Some(client.watch(mission));
                }
                Some(Order::Send { id, text }) => {
                    tokio::spawn(send(client.clone(), mission, id, text, wrong.careless));
                }
                Some(Order::Stop) | None => return Ok(()),
                Some(_) => {}
            },
            changed = change(list.as_mut()) => {
                changed?;
                if let Some(items) = list.as_ref().and_then(LiveList::items) {
                    say(&Word::Missions { ids: items.iter().map(|mission| mission.id).collect() })?;
                }
            }
            changed = change(inbox.as_mut()) => {
                changed?;
                if let Some(items) = inbox.as_ref().and_then(LiveList::items) {
                    say(&Word::Inbox { ids: items.iter().map(|item| item.id).collect() })?;
                }
            }
            Some(followed) = next(follow.as_mut()) => {
                let epoch = follow.as_ref().and_then(Follow::position).map(|position| position.epoch);
                seen.take(followed, epoch)?;
            }
        }
    }
}

/// The query of a live list.
fn query(mut params: Value) -> anyhow::Result<MissionsWatch> {
    params["sub"] = json!("");
    serde_json::from_value(params).context("the query of a live list")
}

/// What was seen of the mission.
struct Seen {
    mission: Option<Mission>,
    forgetful: bool,
}

impl Seen {
    fn take(&mut self, followed: Followed, epoch: Option<uuid::Uuid>) -> anyhow::Result<()> {
        match followed {
            Followed::Snapshot(mission) => {
                say(&Word::Snapshot { epoch: epoch.context("a position")?, seq: mission.seq })?;
                self.mission = Some(*mission);
            }
            Followed::Events(events) => {
                for event in events {
                    say(&Word::Event { epoch: epoch.context("a position")?, seq: event.seq })?;
                    if let Some(mission) = &mut self.mission {
                        let title = mission.title.clone();
                        mission.apply(&event);
                        if self.forgetful && matches!(event.event, Event::MissionUpdated { .. }) {
                            mission.title = title;
                        }
                    }
                }
            }
            Followed::Ended(error) => say(&Word::Ended { why: error.to_string() })?,
            _ => {}
        }
        Ok(())
    }
}

/// Sends a message, once.
async fn send(client: Client, mission: MissionId, id: u64, text: String, careless: bool) -> anyhow::Result<()> {
    let message = MessageSend { mission, text };
    let mut answer = match careless {
        false => client.call_once::<SendMessage>(message.clone()).await,
        true => client.call::<SendMessage>(message.clone()).await,
    };
    while careless && matches!(answer, Err(ClientError::Closed(_))) {
        answer = client.call::<SendMessage>(message.clone()).await;
    }
    match answer {
        Ok(ack) => say(&Word::Sent { id, seq: ack.seq }),
        Err(error) => say(&Word::Unsent { id, why: error.to_string() }),
    }
}

/// What comes of the mission; nothing where it is not watched.
async fn next(follow: Option<&mut Follow>) -> Option<Followed> {
    match follow {
        Some(follow) => follow.next().await,
        None => std::future::pending().await,
    }
}

/// Waits for a change of the list; for ever where there is none.
async fn change<T: Clone + Send + Sync + 'static>(list: Option<&mut LiveList<T>>) -> Result<(), ClientError> {
    match list {
        Some(list) => list.changed().await,
        None => std::future::pending().await,
    }
}
