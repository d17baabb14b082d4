//! What the stories about agents' processes are told with: scripts as agents, a server to kill, a look into `/proc`.

use std::{
    fs,
    io::{BufRead, BufReader as StdBufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use flightdeck_actors::agent::{Child, ChildControl, Exit, Keeper, LaunchSpec, Launched};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{ChildStderr, ChildStdin, ChildStdout},
    task::LocalSet,
};

/// The first argument of a process that plays the server; the workspace and the script come next.
pub(crate) const SERVER: &str = "__server";

/// Longer than any test takes on a busy machine, short enough to wait for when one fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// Runs a story as the server's threads would.
pub(crate) fn story<T>(told: impl Future<Output = T>) -> T {
    // Threads for blocking work end at once here: the one that launched an agent must not be missed.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(Duration::from_millis(1))
        .build()
        .expect("a runtime");
    let bounded = async { tokio::time::timeout(DEADLINE, told).await.expect("the story ends in time") };
    LocalSet::new().block_on(&runtime, bounded)
}

/// An agent that is a shell script.
pub(crate) fn shell(home: &Path, script: &str) -> LaunchSpec {
    LaunchSpec {
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        workspace: home.to_owned(),
        env: Vec::new(),
        keeper: Keeper::this_binary(),
    }
}

/// A launched agent whose output is read by the line.
pub(crate) struct Agent {
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: Lines<BufReader<ChildStdout>>,
    pub(crate) stderr: ChildStderr,
    pub(crate) control: ChildControl,
    pub(crate) child: Child,
}

/// Launches an agent.
pub(crate) async fn start(spec: LaunchSpec) -> Agent {
    let Launched { stdin, stdout, stderr, control, child } = Child::launch(spec).await.expect("a launch");
    Agent { stdin, stdout: BufReader::new(stdout).lines(), stderr, control, child }
}

impl Agent {
    /// The next line that it prints.
    pub(crate) async fn line(&mut self) -> String {
        self.stdout.next_line().await.expect("no error").expect("a line")
    }

    /// The next line, of process ids.
    pub(crate) async fn pids(&mut self) -> Vec<i32> {
        numbers(&self.line().await)
    }
}

/// Runs an agent to its end and gives all that it printed.
pub(crate) async fn run(spec: LaunchSpec) -> (Exit, String) {
    let mut agent = Child::launch(spec).await.expect("a launch");
    let mut output = String::new();
    agent.stdout.read_to_string(&mut output).await.expect("text");
    (agent.child.wait().await, output)
}

/// A process that plays the server, with one agent.
pub(crate) struct Server {
    process: std::process::Child,
    output: StdBufReader<std::process::ChildStdout>,
}

/// Starts a server that starts an agent, which is a shell script.
pub(crate) fn server(home: &Path, script: &str) -> Server {
    let me = std::env::current_exe().expect("a path");
    let mut process = Command::new(me)
        .args([SERVER.as_ref(), home.as_os_str(), script.as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a server");
    let output = StdBufReader::new(process.stdout.take().expect("piped"));
    Server { process, output }
}

impl Server {
    /// The keeper's process id, then what the agent printed first.
    pub(crate) fn pids(&mut self) -> Vec<i32> {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        numbers(&line)
    }

    /// Kills the server alone, in a way that it cannot see.
    pub(crate) fn kill_9(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }
}

/// The server's part: launches an agent, tells who runs, and waits to be killed.
pub(crate) fn play_server(home: &Path, script: &str) {
    story(async {
        let mut agent = start(shell(home, script)).await;
        println!("{} {}", agent.child.keeper_pid(), agent.line().await);
        // Its parent kills it, or the story's deadline ends it.
        agent.child.wait().await;
    });
}

fn numbers(line: &str) -> Vec<i32> {
    line.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect()
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).expect("a pid")), signal).expect("it runs");
}

/// The letter of a process's state; nothing if there is no such process.
pub(crate) fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a process is there and no zombie.
pub(crate) fn alive(pid: i32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// Those of `pids` that are alive.
pub(crate) fn survivors(pids: &[i32]) -> Vec<i32> {
    pids.iter().copied().filter(|pid| alive(*pid)).collect()
}

/// The processes that have `folder` as their working directory.
pub(crate) fn with_folder(folder: &Path) -> Vec<i32> {
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    processes
        .filter(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == folder))
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

/// Waits for what no one reports: the end or the state of a process that is not ours.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
