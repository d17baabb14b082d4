//! The command line `flightdeck-agent`: one subcommand an agent, and the sample portal.

use std::{io::Write, net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand};
use flightdeck_agents::{
    portal::{self, Account},
    retrieve,
};

/// The agents that come with Flightdeck, each its own process.
#[derive(Parser)]
#[command(name = "flightdeck-agent", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Logs in to a web portal, downloads the wanted documents, verifies and delivers them.
    ///
    /// An agent of dialect "lines": it reads JSON lines on standard input (first of
    /// all "start", with the mission's input and the secret) and prints JSON lines on
    /// standard output. Files go to ./downloads. The input is described in
    /// agents/README.md. Exit codes: 0 when it said how the mission ended or was told
    /// to stop, 1 when it should be started again later (network trouble).
    Retrieve,
    /// Serves the sample portal: a login, a search form, lists, PDF and CSV downloads.
    ///
    /// Prints one line with its address and serves until SIGTERM or Ctrl-C. Its
    /// documents are the same in every run, to the byte.
    Portal(PortalArguments),
}

#[derive(Args)]
struct PortalArguments {
    /// The address to listen on; port 0 lets the system choose one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Who may log in.
    #[arg(long, required_unless_present = "print_manifest")]
    username: Option<String>,
    /// The file that holds the password, on its first line.
    #[arg(long, value_name = "FILE", required_unless_present = "print_manifest")]
    password_file: Option<PathBuf>,
    /// A file to write the portal's address to as soon as it listens.
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// Print the documents with media type, size and SHA-256 as JSON, and exit.
    #[arg(long)]
    print_manifest: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // A second provider in the process would be a bug of ours; there is none, so the first call wins.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Arguments::parse().command {
        Command::Retrieve => retrieve::run().await,
        Command::Portal(arguments) => match serve(arguments).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("flightdeck-agent portal: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

async fn serve(arguments: PortalArguments) -> anyhow::Result<()> {
    if arguments.print_manifest {
        return writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&portal::manifest())?)
            .context("cannot print");
    }
    let username = arguments.username.context("--username is missing")?;
    let file = arguments.password_file.context("--password-file is missing")?;
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let password = text.lines().next().unwrap_or_default().to_owned();
    ensure!(!password.is_empty(), "the first line of {} is empty: write the password there", file.display());
    let listener = tokio::net::TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let address = format!("http://{}", listener.local_addr()?);
    if let Some(file) = arguments.port_file {
        // A reader who waits for the file must never see half of it.
        let unfinished = file.with_extension("unfinished");
        std::fs::write(&unfinished, format!("{address}\n"))
            .and_then(|()| std::fs::rename(&unfinished, &file))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    writeln!(std::io::stdout(), "portal listening on {address}").context("cannot print the address")?;
    portal::run(listener, Account::new(username, password), stopped()).await.context("the portal stopped")
}

/// Ends at SIGTERM or Ctrl-C.
async fn stopped() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
