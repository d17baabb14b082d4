//! Runs a client library against a server that makes things go wrong, and says whether the library coped.

mod client;
mod commands;
mod desk;
mod door;
mod follow;
mod lines;
mod lists;
mod naive;
mod report;
mod scenarios;
mod server;
mod stage;
mod wire;
mod witness;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    report::{Outcome, Report},
    scenarios::Scenario,
    stage::{Setting, play},
};

/// Runs a client library against a server that makes things go wrong, and says whether the library coped.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every scenario; ends with 1 if the client failed one.
    Run(Run),
    /// Lists the scenarios.
    List,
    /// The Rust client as the client under test: speaks the line protocol on its standard streams.
    Client {
        /// A client that believes whatever comes, instead: it fails, and shows that failing is noticed.
        #[arg(long)]
        naive: bool,
        #[command(flatten)]
        wrong: follow::Wrong,
    },
}

#[derive(clap::Args)]
struct Run {
    /// The server's program; the one beside this program, or target/debug/flightdeck, where absent.
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Only the scenarios of these names.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Scenarios at once, each with a server and a client of its own.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: u32,
    /// How long the client may take for anything, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    patience: u64,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
    /// The command that starts the client under test; the Rust client where absent.
    #[arg(last = true, value_name = "COMMAND")]
    client: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(run) => self::run(run).await,
        Command::List => {
            for scenario in Scenario::ALL {
                println!("{:<10} {}", scenario.name(), scenario.what());
            }
            Ok(true)
        }
        Command::Client { naive: true, .. } => naive::run().await.map(|()| true),
        Command::Client { wrong, .. } => follow::run(wrong).await.map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("flightdeck-conformance: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs the scenarios; says whether the client passed all of them.
async fn run(run: Run) -> anyhow::Result<bool> {
    let scenarios = wanted(&run.only)?;
    let own = std::env::current_exe().context("it is not known where this program lies")?;
    let client = match run.client {
        command if command.is_empty() => vec![own.display().to_string(), "client".to_owned()],
        command => command,
    };
    let setting =
        Arc::new(Setting { server: server_program(run.server)?, client, patience: Duration::from_secs(run.patience) });
    let places = Arc::new(Semaphore::new(run.jobs as usize));
    let mut playing = JoinSet::new();
    for (nth, scenario) in scenarios.into_iter().enumerate() {
        let (setting, places) = (setting.clone(), places.clone());
        playing.spawn(async move {
            let _place = places.acquire_owned().await.context("the places are gone")?;
            anyhow::Ok((nth, play(scenario, &setting).await?))
        });
    }
    let mut played: Vec<(usize, Outcome)> = Vec::new();
    while let Some(outcome) = playing.join_next().await {
        let (nth, outcome) = outcome.context("a scenario broke off")??;
        if !run.json {
            eprintln!("{}: {}", outcome.scenario, outcome.verdict());
        }
        played.push((nth, outcome));
    }
    played.sort_by_key(|(nth, _)| *nth);
    let report = Report::new(played.into_iter().map(|(_, outcome)| outcome).collect());
    println!("{}", if run.json { report.json()? } else { report.table() });
    Ok(report.passed)
}

fn wanted(only: &[String]) -> anyhow::Result<Vec<Scenario>> {
    if only.is_empty() {
        return Ok(Scenario::ALL.to_vec());
    }
    let find = |name: &String| {
        let found = Scenario::ALL.iter().copied().find(|scenario| scenario.name() == name);
        found.with_context(|| format!("there is no scenario {name:?}; `flightdeck-conformance list` has them all"))
    };
    only.iter().map(find).collect()
}

fn server_program(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("it is not known where this program lies")?;
    let places = match given {
        Some(program) => vec![program],
        None => vec![own.with_file_name("flightdeck"), PathBuf::from("target/debug/flightdeck")],
    };
    match places.iter().find(|place| place.is_file()) {
        // The server runs in a folder of its own.
        Some(program) => program.canonicalize().with_context(|| format!("{} cannot be found", program.display())),
        None => {
            bail!("there is no server at {places:?}: build it with `cargo build --bin flightdeck`, or give --server")
        }
    }
}
