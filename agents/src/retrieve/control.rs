//! What the server says to the agent while it works.

use std::io::BufRead;

use flightdeck_protocol::{lines::ServerLine, model::ActivityType};
use tokio::sync::mpsc;

use super::{Start, error::Error, report::Report};

/// Lines that wait to be heard; the server waits when there are more.
const WAITING_LINES: usize = 64;

/// The lines that come in on standard input.
pub(super) struct Control(mpsc::Receiver<ServerLine>);

/// Why the agent is to stop before it is done.
pub(super) enum Ending {
    /// Told to.
    Cancelled,
    /// Standard input ended: there is nobody to work for.
    Alone,
}

impl Control {
    /// Starts to read standard input.
    pub(super) fn listen() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_LINES);
        // A thread of its own, not tokio's stdin: a read that never returns must not hold up the exit.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { break };
                match serde_json::from_str(&line) {
                    Ok(line) => {
                        if sender.blocking_send(line).is_err() {
                            break;
                        }
                    }
                    // Neither the line nor serde's words on it are shown: it may hold the secret.
                    Err(_) => eprintln!("flightdeck-agent retrieve: a line of {} bytes is not understood", line.len()),
                }
            }
        });
        Self(receiver)
    }

    /// The first line; `None` where standard input ends, or the mission does, before it.
    pub(super) async fn start(&mut self) -> Result<Option<Start>, Error> {
        match self.0.recv().await {
            Some(ServerLine::Start { input, secret, checkpoint, .. }) => Ok(Some(Start { input, secret, checkpoint })),
            Some(ServerLine::Cancel { .. }) | None => Ok(None),
            Some(_) => Err(Error::Trouble("the first line on standard input is not \"start\"".to_owned())),
        }
    }

    /// Does what the server says until that is to stop.
    pub(super) async fn obey(&mut self, report: &Report) -> Result<Ending, Error> {
        while let Some(line) = self.0.recv().await {
            match line {
                ServerLine::Pause => {
                    report.pause(true);
                    report.log(ActivityType::Info, None, "paused: holding before the next request", None)?;
                    report.save()?;
                }
                ServerLine::Resume => {
                    report.pause(false);
                    report.log(ActivityType::Info, None, "resumed", None)?;
                }
                ServerLine::Cancel { .. } => return Ok(Ending::Cancelled),
                ServerLine::Message { .. } => report.answer()?,
                ServerLine::Refused { line, reason } if line == "document" => {
                    let message = format!("the server did not take a document: {reason}");
                    report.log(ActivityType::Error, None, &message, None)?;
                    report.remember_refusal(reason);
                }
                // An activity about a refused activity would be refused as well, for ever.
                ServerLine::Refused { line, reason } if line == "activity" => {
                    eprintln!(
                        "flightdeck-agent retrieve: the server did not take an activity: {}",
                        report.clean(&reason)
                    );
                }
                ServerLine::Refused { line, reason } => {
                    let message = format!("the server did not take a line of type {line:?}: {reason}");
                    report.log(ActivityType::Warning, None, &message, None)?;
                }
                // This agent asks nothing, and is started once.
                ServerLine::Answer { .. } | ServerLine::Start { .. } => {}
            }
        }
        Ok(Ending::Alone)
    }
}
