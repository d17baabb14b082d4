//! `bench`: every scenario, each against a fresh server of our own.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::{
    commands, create, fanout,
    options::{Callers, Window},
    report::{Figure, Output, Place, Report, judge, say},
    server::{Folder, Server, file_system},
    signin::SignIn,
    slow, storm,
};

/// What to run, and on what.
#[derive(Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    output: Output,
    /// Run these scenarios alone
    #[arg(long, value_enum, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<Scenario>,
    /// The server's program [default: `flightdeck` beside this program]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where the servers' folders are made, and removed afterwards; on the disk that is to be measured
    #[arg(long, value_name = "FOLDER", default_value = "./var")]
    folder: PathBuf,
    #[command(flatten)]
    fanout: fanout::Load,
    #[command(flatten)]
    slow: slow::Load,
    #[command(flatten)]
    storm: storm::Load,
    #[command(flatten)]
    create: create::Load,
    #[command(flatten)]
    commands: commands::Load,
    #[command(flatten)]
    callers: Callers,
    #[command(flatten)]
    window: Window,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    Fanout,
    Slow,
    Storm,
    Create,
    Commands,
}

/// Runs what was asked for, and prints each table as soon as it is there; fails in the end if a bound does not hold.
pub(crate) async fn run(bench: &Bench) -> anyhow::Result<()> {
    let program = match &bench.program {
        Some(program) => program.canonicalize().with_context(|| format!("there is no {}", program.display()))?,
        None => Server::program()?,
    };
    let parent = std::path::absolute(&bench.folder)?;
    let mut reports = Vec::new();
    let mut place = None;
    for scenario in Scenario::value_variants() {
        if !bench.only.is_empty() && !bench.only.contains(scenario) {
            continue;
        }
        let folder = Folder::inside(&parent)?;
        let place = match &place {
            Some(place) => place,
            None => place.insert(introduce(&folder)?),
        };
        let mut ran = match scenario {
            Scenario::Storm => vec![storm::run(&program, &parent, &bench.storm).await?],
            Scenario::Slow => bench.on_two_servers(&program, &folder, &Folder::inside(&parent)?).await?,
            scenario => bench.on_one_server(*scenario, &program, &folder).await?,
        };
        for report in &ran {
            say(&report.table())?;
        }
        reports.append(&mut ran);
        // After each: what was measured is not lost when the next fails.
        bench.output.save(&reports, Some(place))?;
    }
    judge(&reports)
}

/// Says where this is measured.
fn introduce(folder: &Folder) -> anyhow::Result<Place> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let file_system = file_system(folder.path()).unwrap_or_else(|| "an unknown file system".to_owned());
    say(&format!("{cores} cores for the server and this program together; the server's folder is on {file_system}\n"))?;
    if matches!(file_system.as_str(), "tmpfs" | "ramfs") {
        say("memory is no disk: give a --folder on one to measure durable commands")?;
    }
    Ok(Place { cores, file_system })
}

impl Bench {
    /// Runs a scenario that needs one server, and leaves it alone.
    async fn on_one_server(&self, scenario: Scenario, program: &Path, folder: &Folder) -> anyhow::Result<Vec<Report>> {
        let server = Server::start(program, folder).await?;
        let ran = self.scenario(scenario, &server.sign_up().await?).await;
        let mut ran = ran.with_context(|| format!("{scenario:?} failed; {}", server.last_words()))?;
        if let (Scenario::Create, [report]) = (scenario, &mut ran[..]) {
            report.figures.push(Figure::mebibytes("server's folder on disk, the warm-up included", folder.size()));
        }
        server.stop().await?;
        Ok(ran)
    }

    /// Runs `slow` so that neither run finds in memory what the other left there.
    async fn on_two_servers(&self, program: &Path, first: &Folder, second: &Folder) -> anyhow::Result<Vec<Report>> {
        let (control, stopping) = (Server::start(program, first).await?, Server::start(program, second).await?);
        let signed_in = [&control.sign_up().await?, &stopping.sign_up().await?];
        let ran = slow::run(signed_in, &self.slow, &self.window).await;
        let words = || format!("slow failed; all read: {}\nsome stop: {}", control.last_words(), stopping.last_words());
        let report = ran.with_context(words)?;
        control.stop().await?;
        stopping.stop().await?;
        Ok(vec![report])
    }

    async fn scenario(&self, scenario: Scenario, sign_in: &SignIn) -> anyhow::Result<Vec<Report>> {
        let (callers, window) = (&self.callers, &self.window);
        Ok(match scenario {
            Scenario::Fanout => vec![fanout::run(sign_in, &self.fanout, window).await?],
            Scenario::Create => vec![create::run(sign_in, &self.create, callers).await?],
            // These have their own ways with servers.
            Scenario::Slow | Scenario::Storm => Vec::new(),
            Scenario::Commands => commands::run(sign_in, &self.commands, callers, window).await?,
        })
    }
}
