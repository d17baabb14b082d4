//! `flightdeck-loadtest`: many missions and many watchers against a running Flightdeck server, and what it costs.
//!
//! A scenario is a file: [`fanout`], [`slow`], [`storm`], [`create`], [`commands`]. [`bench`]
//! starts a server of its own for each of them. The rest is what they share.

mod bench;
mod bounds;
mod callers;
mod commands;
mod costs;
mod create;
mod dashboards;
mod fanout;
mod herd;
mod latency;
mod meter;
mod options;
mod pausing;
mod progress;
mod publisher;
mod report;
mod scan;
mod server;
mod signin;
mod slow;
mod storm;
mod told;
mod watchers;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{
    bench::Bench,
    options::{Callers, Target, Window},
    report::Output,
};

/// Measures what a Flightdeck server costs and how fast it answers
///
/// The figures are printed as a table, and written as JSON with --json. CPU and
/// memory of the server are read from /proc, so they need --pid and a server on
/// this machine. A run fails when the server loses, repeats or reorders an event,
/// does not keep a command that it acknowledged, or breaks a bound that the table states.
#[derive(Parser)]
#[command(name = "flightdeck-loadtest", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Many watchers of one mission, and as many of many missions: CPU a delivery, and how long an event takes to
    /// reach everyone
    ///
    /// Events are published on a schedule, whether earlier ones were answered or
    /// not, and latency counts from the moment that an event was due: a server that
    /// stands still cannot make itself look better by holding back the questions.
    Fanout(Fanout),
    /// Watchers that stop reading for a while: what the others notice, what the server holds, how they come back
    ///
    /// It runs twice, first with all of them reading; --seconds says how long all
    /// read before the pause, and after it.
    Slow(Slow),
    /// Many small missions, created and started: bytes of memory each, and how many a second
    ///
    /// The missions have no agent: people work on them, so no processes are started.
    Create(Create),
    /// Durable commands from many callers, each of which awaits its answer: how many a second, and how long each takes
    Commands(Commands),
    /// Everything above, and sessions that come back all at once after a crash, each against a release server that this starts on an empty folder and a free port
    Bench(Bench),
}

#[derive(Args)]
struct Fanout {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    load: fanout::Load,
    #[command(flatten)]
    window: Window,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct Slow {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    load: slow::Load,
    #[command(flatten)]
    window: Window,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct Create {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    load: create::Load,
    #[command(flatten)]
    callers: Callers,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct Commands {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    load: commands::Load,
    #[command(flatten)]
    callers: Callers,
    #[command(flatten)]
    window: Window,
    #[command(flatten)]
    output: Output,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Fails only if there is a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    raise_open_files();
    // One thread: this program shares its cores with the server that it measures.
    let ran = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(until_interrupted(cli.command)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flightdeck-loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Takes as many open files as the system lets this process have: each socket is one. The servers that it starts
/// inherit that.
fn raise_open_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        eprintln!("flightdeck-loadtest: the limit of open files stays as it is: {error}");
    }
}

/// Runs the command; Ctrl-C ends it in good order, so that a server it started and its folder go too.
async fn until_interrupted(command: Command) -> anyhow::Result<()> {
    tokio::select! {
        ran = run(command) => ran,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("Ctrl-C cannot be listened for")?;
            anyhow::bail!("interrupted")
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Fanout(Fanout { target, load, window, output }) => {
            let report = fanout::run(&target.sign_in().await?, &load, &window).await?;
            output.write(&[report])
        }
        Command::Slow(Slow { target, load, window, output }) => {
            let sign_in = target.sign_in().await?;
            let report = slow::run([&sign_in, &sign_in], &load, &window).await?;
            output.write(&[report])
        }
        Command::Create(Create { target, load, callers, output }) => {
            let report = create::run(&target.sign_in().await?, &load, &callers).await?;
            output.write(&[report])
        }
        Command::Commands(Commands { target, load, callers, window, output }) => {
            let reports = commands::run(&target.sign_in().await?, &load, &callers, &window).await?;
            output.write(&reports)
        }
        Command::Bench(bench) => bench::run(&bench).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        for wrong in [
            &["fanout", "--watchers", "0"][..],
            &["fanout", "--spread", "1,0"],
            &["fanout", "--bytes", "10"],
            &["commands", "--missions", "64,0"],
        ] {
            assert!(Cli::try_parse_from([&["flightdeck-loadtest"], wrong].concat()).is_err(), "{wrong:?}");
        }
        assert!(Cli::try_parse_from(["flightdeck-loadtest", "bench", "--rate", "20", "--missions", "64,1"]).is_ok());
    }
}
