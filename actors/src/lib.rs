//! Who runs in Flightdeck: missions, sessions, the registry, agent processes.
//!
//! ```text
//! session ─ dispatch ─ registry ─ mission ─ (journal) ─ live: feed, hub, outbox ─ session
//!                                    └ agent process
//! ```

pub mod agent;
pub mod dispatch;
pub mod door;
pub mod live;
pub mod mission;
pub mod once;
pub mod registry;
pub mod secrets;
pub mod session;
#[cfg(test)]
mod stage;
pub mod world;
