//! A server of our own: a real process on a folder and a port of its own, killed, stopped and started again.

use std::{
    fs::OpenOptions,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use uuid::Uuid;

/// How long the server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// What it says once it listens.
const LISTENING: &str = "flightdeck listening on ";
/// Below those that the system gives to outgoing connections, so that none takes the port while the server is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A server and its folder, which goes when this is dropped.
pub(crate) struct Server {
    program: PathBuf,
    flags: Vec<String>,
    home: TempDir,
    port: u16,
    child: Option<Child>,
    /// Kept, so that the server can go on to write.
    _stdout: Option<Lines<BufReader<ChildStdout>>>,
}

impl Server {
    /// Starts `program` with `flags`, and with faults allowed.
    pub(crate) async fn start(program: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        let mut server = Self {
            program: program.to_owned(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            home: TempDir::with_prefix("flightdeck-conformance-").context("no folder can be made")?,
            port: free_port()?,
            child: None,
            _stdout: None,
        };
        server.start_again().await?;
        Ok(server)
    }

    /// Where it is, in each of its lives.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port of that.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again on the same folder and port.
    pub(crate) async fn start_again(&mut self) -> anyhow::Result<()> {
        let log = self.home.path().join("server.log");
        let log = OpenOptions::new().create(true).append(true).open(log).context("the server's log")?;
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLIGHTDECK_")) {
            command.env_remove(name);
        }
        command.arg("serve").arg(format!("--listen=127.0.0.1:{}", self.port)).arg("--faults").args(&self.flags);
        command.arg("--data-dir").arg(self.home.path().join("data")).current_dir(self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("{} cannot be started", self.program.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("the server has no output")?).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await? {
                if line.starts_with(LISTENING) {
                    return Ok(());
                }
            }
            bail!("the server ended before it listened: {}", self.last_words())
        };
        timeout(PATIENCE, listening).await.context("the server does not listen")??;
        (self.child, self._stdout) = (Some(child), Some(lines));
        Ok(())
    }

    /// `kill -9`.
    pub(crate) async fn kill_nine(&mut self) -> anyhow::Result<()> {
        self.end(Signal::SIGKILL).await
    }

    /// SIGTERM, and its end in good order.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        self.end(Signal::SIGTERM).await
    }

    async fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        let mut child = self.child.take().context("the server runs not")?;
        signal_to(&child, signal)?;
        timeout(PATIENCE, child.wait()).await.context("the server does not end")??;
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.home.path().join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

/// Sends a signal to a process that is ours.
pub(crate) fn signal_to(child: &Child, signal: Signal) -> anyhow::Result<()> {
    let pid = child.id().context("the process has ended")?;
    kill(Pid::from_raw(i32::try_from(pid)?), signal).context("the process has ended")
}

fn free_port() -> anyhow::Result<u16> {
    for _ in 0..100 {
        let random = (Uuid::now_v7().as_u128() % u128::from(PORTS.end - PORTS.start)) as u16;
        let port = PORTS.start + random;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}
