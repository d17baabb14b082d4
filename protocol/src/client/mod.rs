//! The Rust client of profile `flightdeck.v1`: a live session over a WebSocket that outlives connections.
//!
//! [`Client`] keeps one connection for as long as it is wanted, and comes back
//! by itself; calls wait for it, and watches go on where they were.
//! [`Follow`] is one watched mission as what comes of it, [`LiveMission`] the
//! mission that this makes, with commands whose effect is seen at once, and
//! [`LiveList`] a list that is kept up to date. Under them is [`Session`], one
//! connection and no more.
//!
//! ```no_run
//! use flightdeck_protocol::{
//!     MissionId,
//!     client::{Client, ClientError, FixedToken, Followed},
//!     operations::{MessageSend, SendMessage},
//! };
//!
//! # async fn example(token: String, mission: MissionId) -> Result<(), ClientError> {
//! let client = Client::start("https://desk.example", FixedToken(token));
//! let mut watch = client.watch(mission);
//! // Carried out once, also when the connection is lost before the answer is here.
//! client.call_once::<SendMessage>(MessageSend { mission, text: "Two pages will do.".to_owned() }).await?;
//! while let Some(followed) = watch.next().await {
//!     match followed {
//!         Followed::Snapshot(mission) => println!("{} is at {}%", mission.title, mission.progress),
//!         Followed::Events(events) => println!("{} events", events.len()),
//!         Followed::Disconnected { why, .. } => println!("{why}; it comes back by itself"),
//!         Followed::Ended(error) => return Err(error),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod address;
mod backoff;
mod calls;
#[expect(clippy::module_inception, reason = "it holds the client")]
mod client;
mod connect;
mod error;
mod follow;
mod frame;
mod keeper;
mod link;
mod lists;
mod live;
mod mission;
mod notices;
mod optimistic;
mod presence;
mod renew;
mod session;
mod subscription;
#[cfg(test)]
mod testing;
mod token;
mod wire;

pub use backoff::Backoff;
pub use client::{Client, ClientOptions, ClientState};
pub use error::{ClientError, Closed};
pub use follow::{Follow, Followed, WatchOptions};
pub use lists::LiveList;
pub use live::{Live, LiveCursor, LiveText, LiveTyping};
pub use mission::{Changes, LiveMission};
pub use notices::{Notices, RawNotice};
pub use optimistic::expected_id;
pub use presence::Presenting;
pub use session::{Options, Session};
pub use token::{FixedToken, TokenError, Tokens};
