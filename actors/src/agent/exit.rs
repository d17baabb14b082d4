//! How an agent's process ended, and how its keeper tells the server.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use nix::sys::signal::Signal;

/// The keeper's exit status for an agent that could not be started, as shells have it.
const NOT_STARTED: i32 = 127;
/// Added to a signal's number for the keeper's exit status, as shells have it.
const SIGNALLED: i32 = 128;

/// How an agent's process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code; 0 is success.
    Code(i32),
    /// It was killed by the signal of this number.
    Signal(i32),
    /// It never ran, for this reason.
    NotStarted(String),
    /// Its keeper ended without a report, in this way. The agent was killed with it.
    KeeperLost(String),
}

impl Exit {
    /// What happened, as the end of a sentence: "it exited with code 3".
    pub fn outcome(&self) -> String {
        match self {
            Self::Code(code) => format!("it exited with code {code}"),
            Self::Signal(number) => format!("it was killed by {}", signal_name(*number)),
            Self::NotStarted(reason) => format!("it could not be started: {reason}"),
            Self::KeeperLost(how) => format!("it was killed because its keeper {how}"),
        }
    }

    /// Whether it exited with code 0.
    pub fn is_success(&self) -> bool {
        *self == Self::Code(0)
    }

    /// What the status of a child that was waited for says.
    pub(super) fn from_status(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(number)) => Self::Signal(number),
            (None, None) => Self::KeeperLost(format!("saw it end with status {}", status.into_raw())),
        }
    }

    /// What the server makes of a keeper that ended with `status` and reported nothing that can be read.
    pub(super) fn keeper_lost(status: ExitStatus) -> Self {
        Self::KeeperLost(match Self::from_status(status) {
            Self::Signal(number) => format!("was killed by {}", signal_name(number)),
            _ => format!("ended without a report ({status})"),
        })
    }

    /// The line with which the keeper tells the server.
    pub(super) fn to_report(&self) -> String {
        match self {
            Self::Code(code) => format!("code {code}"),
            Self::Signal(number) => format!("signal {number}"),
            Self::NotStarted(reason) => format!("not-started {reason}"),
            Self::KeeperLost(how) => format!("keeper-lost {how}"),
        }
    }

    /// Reads what [`to_report`](Self::to_report) wrote.
    pub(super) fn from_report(report: &str) -> Option<Self> {
        let (kind, rest) = report.split_once(' ')?;
        match kind {
            "code" => rest.parse().ok().map(Self::Code),
            "signal" => rest.parse().ok().map(Self::Signal),
            "not-started" => Some(Self::NotStarted(rest.to_owned())),
            "keeper-lost" => Some(Self::KeeperLost(rest.to_owned())),
            _ => None,
        }
    }

    /// The keeper's own exit status, for people who look with a process viewer or a tracer.
    pub(super) fn keeper_status(&self) -> i32 {
        match self {
            Self::Code(code) => *code,
            Self::Signal(number) => SIGNALLED + number,
            Self::NotStarted(_) | Self::KeeperLost(_) => NOT_STARTED,
        }
    }
}

/// "signal 9 (SIGKILL)", or the number alone where a signal has no name.
fn signal_name(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => format!("signal {number} ({signal})"),
        Err(_) => format!("signal {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_read_as_the_end_of_a_sentence() {
        assert_eq!(Exit::Code(3).outcome(), "it exited with code 3");
        assert_eq!(Exit::Signal(9).outcome(), "it was killed by signal 9 (SIGKILL)");
        assert_eq!(Exit::Signal(37).outcome(), "it was killed by signal 37");
        assert_eq!(Exit::NotStarted("no such file".into()).outcome(), "it could not be started: no such file");
        let lost = Exit::keeper_lost(ExitStatus::from_raw(9));
        assert_eq!(lost.outcome(), "it was killed because its keeper was killed by signal 9 (SIGKILL)");
    }

    #[test]
    fn every_report_is_read_back_as_it_was_written() {
        for exit in [Exit::Code(0), Exit::Code(255), Exit::Signal(15), Exit::NotStarted("a b".into())] {
            assert_eq!(Exit::from_report(&exit.to_report()), Some(exit));
        }
        assert_eq!(Exit::from_report(""), None);
        assert_eq!(Exit::from_report("code many"), None);
    }

    #[test]
    fn a_code_above_128_is_not_taken_for_a_signal() {
        let coded = Exit::from_status(ExitStatus::from_raw(137 << 8));
        assert_eq!(coded, Exit::Code(137));
        assert_eq!(coded.keeper_status(), Exit::Signal(9).keeper_status());
        assert_ne!(coded.to_report(), Exit::Signal(9).to_report());
    }
}
