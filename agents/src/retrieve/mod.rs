//! The agent *retrieve*: logs in to a web portal, downloads the wanted documents, verifies and delivers them.
//!
//! [`work`] is the road from the login to the last document; [`control`] hears
//! the server meanwhile; [`browser`] is the only place that sends requests.

mod browser;
mod checkpoint;
mod control;
mod download;
mod error;
mod form;
mod input;
mod links;
mod page;
mod report;
mod secret;
mod verify;
mod work;

use std::{process::ExitCode, time::Duration};

use flightdeck_protocol::lines::AgentLine;
use serde_json::{Map, Value};

pub use error::Error;
pub use input::{Input, InputError, List, Login, Search, Wanted};

use control::{Control, Ending};
use report::Report;
use secret::Secret;

/// How long the agent listens for a refusal of its last document before it says that it is done.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Runs the agent over the standard streams until it is done, told to stop, or left alone.
pub async fn run() -> ExitCode {
    match talk().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flightdeck-agent retrieve: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn talk() -> Result<(), Error> {
    let mut control = Control::listen();
    let Some(start) = control.start().await? else { return Ok(()) };
    let secret = Secret::new(start.secret.unwrap_or_default());
    let report = Report::new(&secret);
    let outcome = tokio::select! {
        outcome = achieve(start.input, secret, start.checkpoint, &report) => outcome,
        ending = control.obey(&report) => {
            if let Ending::Cancelled = ending? {
                report.save()?;
            }
            return Ok(());
        }
    };
    match outcome {
        Ok(result) => report.say(AgentLine::Done { result: Some(result) }),
        Err(Error::Failed(reason)) => report.fail(&reason),
        Err(Error::Trouble(reason)) => Err(Error::Trouble(report.clean(&reason))),
    }
}

async fn achieve(input: Value, secret: Secret, checkpoint: Option<Value>, report: &Report) -> Result<Value, Error> {
    let input = Input::read(input).map_err(|error| Error::Failed(error.to_string()))?;
    if input.secret.is_some() && secret.is_empty() {
        return Err(Error::Failed("the input names a secret and the server gave none: make it known there".to_owned()));
    }
    let result = work::work(&input, &secret, checkpoint, report).await?;
    tokio::time::sleep(LAST_WORDS).await;
    match report.refused_document() {
        None => Ok(result),
        Some(reason) => Err(Error::Failed(format!("the server did not take a document: {reason}"))),
    }
}

/// What the first line brings that the agent needs.
struct Start {
    input: Value,
    secret: Option<Map<String, Value>>,
    checkpoint: Option<Value>,
}
