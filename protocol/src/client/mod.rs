//! The Rust client of profile `flightdeck.v1`: a live session over a WebSocket, and following a mission for ever.
//!
//! [`Session`] is one connection: requests are pipelined and answered by id,
//! and what the server sends unasked comes out of [`Notices`]. [`Follow`] is
//! built on it and outlives connections: it comes back where it was.

mod address;
mod error;
mod follow;
mod frame;
mod notices;
mod session;
#[cfg(test)]
mod testing;
mod token;

pub use error::{ClientError, Closed};
pub use follow::{Follow, Followed};
pub use notices::{Notices, RawNotice};
pub use session::{Options, Session};
pub use token::{FixedToken, TokenError, Tokens};
