//! The flags that scenarios share: which server, for how long, how much at once.

use std::{path::PathBuf, time::Duration};

use clap::{Args, value_parser};

/// The longest message that the server takes.
const MESSAGE_BYTES: i64 = 4_000;
/// An access token lasts 15 minutes, and a run does not renew it.
const LONGEST_SECONDS: i64 = 600;

/// The server to load, and as whom.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub(crate) struct Target {
    /// The server's address
    #[arg(long, value_name = "URL", env = "FLIGHTDECK_SERVER", default_value = "http://127.0.0.1:8080")]
    pub(crate) server: String,
    /// Whom to sign in as: an admin, officer or manager
    #[arg(long, value_name = "NAME", env = "FLIGHTDECK_USER")]
    pub(crate) user: Option<String>,
    /// The file that holds the password; without it, the password is taken from FLIGHTDECK_PASSWORD
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// The server's process on this machine, to read its CPU time and memory
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
}

/// What is measured for some time.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub(crate) struct Window {
    /// How long to measure, in seconds
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u64).range(1..=LONGEST_SECONDS as u64))]
    pub(crate) seconds: u64,
    /// How long the load runs before it is measured, in seconds
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u64).range(0..=60))]
    pub(crate) warm_up: u64,
    /// The length of each activity's message, in bytes; an event is this and some 300 more
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = value_parser!(u32).range(32..=MESSAGE_BYTES))]
    pub(crate) bytes: u32,
}

impl Window {
    pub(crate) fn measured(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs(self.warm_up)
    }
}

/// Callers that each await their answer before they call again.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub(crate) struct Callers {
    /// How many callers there are, each with one command in flight
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) callers: u32,
    /// How many sockets they share; one each where this is absent
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) sockets: Option<u32>,
}

impl Callers {
    pub(crate) fn sockets(&self) -> u32 {
        self.sockets.unwrap_or(self.callers).min(self.callers)
    }
}
