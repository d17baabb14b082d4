//! The agents that come with Flightdeck, and the sample portal that they are shown on.
//!
//! Each runs as a process of its own (`flightdeck-agent <name>`) and speaks the
//! dialect *lines* of [`flightdeck_protocol::lines`] over its standard streams.

pub mod portal;
pub mod retrieve;
