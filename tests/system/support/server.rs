//! A server of the real binary: started, killed, stopped and started again on the same folder.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::OnceLock,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::within;

/// Bytes of the log's end that a failed test shows.
const LOG_SHOWN: usize = 12_000;

/// A running server and its folder.
pub(crate) struct Server {
    /// Where it listens: another port each time it is started.
    pub(crate) url: String,
    /// For REST and RPC.
    pub(crate) http: reqwest::Client,
    home: TempDir,
    command: &'static str,
    flags: Vec<String>,
    child: Option<Child>,
    stdout: Option<Lines<BufReader<ChildStdout>>>,
    /// The lines of standard output up to the one that says where it listens.
    pub(crate) said: Vec<String>,
}

impl Server {
    /// A server as it comes.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A server with more flags.
    pub(crate) async fn with(flags: &[&str]) -> Self {
        Self::in_home(TempDir::new().expect("a temporary folder"), flags).await
    }

    /// A server whose agents' scripts are in `home` already.
    pub(crate) async fn in_home(home: TempDir, flags: &[&str]) -> Self {
        let mut server = Self::not_yet(home, "serve", flags);
        server.run("flightdeck listening on ").await;
        server
    }

    /// The demo.
    pub(crate) async fn demo(home: TempDir) -> Self {
        agent_program();
        let mut server = Self::not_yet(home, "demo", &[]);
        server.run("Flightdeck runs on ").await;
        server
    }

    fn not_yet(home: TempDir, command: &'static str, flags: &[&str]) -> Self {
        // Fails only if there is a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            url: String::new(),
            http: reqwest::Client::builder().no_proxy().build().expect("an HTTP client"),
            home,
            command,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            child: None,
            stdout: None,
            said: Vec::new(),
        }
    }

    async fn run(&mut self, announces: &str) {
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).expect("the server's log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_flightdeck"));
        // Whoever runs the tests may have settings of their own, which are not the server's here.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLIGHTDECK_")) {
            command.env_remove(name);
        }
        let mut child = command
            .args([self.command, "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(self.data())
            .args(&self.flags)
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the server's binary");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        self.child = Some(child);
        self.said.clear();
        let url = within("the server's start", async {
            loop {
                let line = lines.next_line().await.expect("readable output");
                let line = line.unwrap_or_else(|| panic!("the server ended before it listened"));
                let url = line.strip_prefix(announces).map(str::to_owned);
                self.said.push(line);
                if let Some(url) = url {
                    return url;
                }
            }
        });
        self.url = url.await;
        self.stdout = Some(lines);
    }

    /// Reads standard output up to a line that has `part`.
    pub(crate) async fn says(&mut self, part: &str) {
        let lines = self.stdout.as_mut().expect("a running server");
        within(part, async {
            loop {
                let line = lines.next_line().await.expect("readable output").expect("a server that goes on");
                let found = line.contains(part);
                self.said.push(line);
                if found {
                    return;
                }
            }
        })
        .await;
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.url.trim_start_matches("http://").parse().expect("an address")
    }

    /// `kill -9`.
    pub(crate) async fn kill_nine(&mut self) {
        self.signal(Signal::SIGKILL);
        self.ended().await;
    }

    /// SIGTERM, and how it ended.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("a running server");
    }

    pub(crate) fn pid(&self) -> i32 {
        let pid = self.child.as_ref().and_then(Child::id).expect("a running server");
        i32::try_from(pid).expect("a process id")
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running server");
        within("the server's end", child.wait()).await.expect("its exit status")
    }

    /// Starts it again on the same folder.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let announces = if self.command == "demo" { "Flightdeck runs on " } else { "flightdeck listening on " };
        self.run(announces).await;
    }

    /// Starts it again with another value of a flag.
    pub(crate) async fn start_again_with(&mut self, flag: &str, value: &str) {
        match self.flags.iter().position(|known| known == flag) {
            Some(at) => self.flags[at + 1] = value.to_owned(),
            None => self.flags.extend([flag.to_owned(), value.to_owned()]),
        }
        self.start_again().await;
    }

    /// The folder that belongs to the test: the server's data, its log, and scripts.
    /// Its path is in the command line of every process of this test and of no other.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The server's data.
    pub(crate) fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.home.path().join("server.log")
    }

    /// What the server logged, over all its lives.
    pub(crate) fn log(&self) -> String {
        std::fs::read(self.log_file()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended.
            let _ = child.start_kill();
        }
        if std::thread::panicking() {
            let log = std::fs::read(self.log_file()).unwrap_or_default();
            let end = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_SHOWN)..]);
            let shown = format!("---- the server's log ----\n{end}\n---- end ----\n");
            let _ = std::io::stderr().write_all(shown.as_bytes());
        }
    }
}

/// The program of the agents that come with the server, beside the server's own; built if it is not there.
pub(crate) fn agent_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = Path::new(env!("CARGO_BIN_EXE_flightdeck")).with_file_name("flightdeck-agent");
        let folder = program.parent().expect("a folder");
        // Tests that run at once build it once.
        let lock = File::create(folder.join(".flightdeck-agent.lock")).expect("a file for the lock");
        lock.lock().expect("the lock");
        if !program.is_file() {
            let mut build = std::process::Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "-p", "flightdeck-agents"]).current_dir(env!("CARGO_MANIFEST_DIR"));
            if folder.ends_with("release") {
                build.arg("--release");
            }
            assert!(build.status().is_ok_and(|status| status.success()), "flightdeck-agent could not be built");
        }
        program
    })
}
