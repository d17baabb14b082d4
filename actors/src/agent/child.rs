//! An agent's process as the server sees it: start it, talk to it, stop it, and learn how it ended. Linux only.

use std::{
    fs,
    io::{self, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::DirBuilderExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use command_fds::CommandFdExt;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{ChildStderr, ChildStdin, ChildStdout},
    task::spawn_blocking,
};

use super::{
    exit::Exit,
    keeper::{Order, ROLE},
    process_tree,
};

/// Where an agent's programs are looked for when its spec does not say.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The longest report of a keeper that is read, in bytes.
const MAX_REPORT: u64 = 4096;

/// Which executable acts as the keeper. It must call [`run_if_asked`](super::run_if_asked) first thing.
#[derive(Clone, Debug)]
pub struct Keeper {
    program: PathBuf,
}

impl Keeper {
    /// The running binary itself, also when its file was replaced since it was started.
    pub fn this_binary() -> Self {
        Self { program: PathBuf::from("/proc/self/exe") }
    }

    /// Another binary, by its absolute path.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }
}

impl Default for Keeper {
    fn default() -> Self {
        Self::this_binary()
    }
}

/// What to start. Every user of the machine can read an agent's command, and its own user
/// its environment: no secret belongs in either.
#[derive(Clone, Debug)]
pub struct LaunchSpec {
    /// The program and its arguments. A relative path starts from the workspace.
    pub command: Vec<String>,
    /// The agent's folder and working directory, created for its owner alone if it is missing.
    pub workspace: PathBuf,
    /// Added to the agent's clean environment: PATH, HOME and TMPDIR (in the workspace), LANG. May replace these.
    pub env: Vec<(String, String)>,
    /// Which executable acts as the keeper.
    pub keeper: Keeper,
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The spec names no program.
    #[error("the agent's command is empty")]
    EmptyCommand,
    /// The workspace cannot be made or found.
    #[error("the workspace {} cannot be prepared", path.display())]
    Workspace {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The keeper's process cannot be started, for want of processes or descriptors for example.
    #[error("the agent's keeper cannot be started")]
    Keeper(#[source] io::Error),
}

/// A started agent: its streams, the control over it, and its end.
#[derive(Debug)]
pub struct Launched {
    /// What the agent reads.
    pub stdin: ChildStdin,
    /// What the agent prints. Ends once the agent and all that it forked are gone.
    pub stdout: ChildStdout,
    /// What the agent complains. Ends like `stdout`.
    pub stderr: ChildStderr,
    /// Stops and freezes it; dropped, it kills the agent.
    pub control: ChildControl,
    /// Tells how it ended.
    pub child: Child,
}

/// The process of an agent, to be waited for.
#[derive(Debug)]
pub struct Child {
    keeper: tokio::process::Child,
    /// The keeper's process id, also after its end.
    keeper_pid: u32,
    reports: UnixStream,
    exit: Option<Exit>,
}

impl Child {
    /// Prepares the workspace and starts the agent under its keeper.
    ///
    /// A program that cannot be run is no error here: [`wait`](Self::wait) tells
    /// of it. Must be called within a tokio runtime; the fork itself happens on a
    /// thread for blocking work. If the future is dropped, so is the agent.
    pub async fn launch(spec: LaunchSpec) -> Result<Launched, LaunchError> {
        if spec.command.is_empty() {
            return Err(LaunchError::EmptyCommand);
        }
        match spawn_blocking(move || launch_now(&spec)).await {
            Ok(launched) => launched,
            Err(panicked) => Err(LaunchError::Keeper(panicked.into())),
        }
    }

    /// The keeper's process id, which is the session id of what it keeps.
    pub fn keeper_pid(&self) -> u32 {
        self.keeper_pid
    }

    /// Waits until the agent and everything that it forked are gone, and says how the agent ended.
    ///
    /// May be dropped and called again, also after the end.
    pub async fn wait(&mut self) -> Exit {
        if let Some(exit) = &self.exit {
            return exit.clone();
        }
        let exit = match self.keeper.wait().await {
            Ok(status) => match self.read_report() {
                Some(exit) => exit,
                None => self.after_lost_keeper(status).await,
            },
            Err(error) => Exit::KeeperLost(format!("cannot be waited for: {error}")),
        };
        self.exit = Some(exit.clone());
        exit
    }

    /// What the keeper wrote before it ended; the socket holds all of it by now.
    fn read_report(&mut self) -> Option<Exit> {
        let mut report = Vec::new();
        // An error is how the socket of a dead keeper may end; what came before it counts.
        let _ = (&self.reports).take(MAX_REPORT).read_to_end(&mut report);
        Exit::from_report(&String::from_utf8_lossy(&report))
    }

    /// The kernel killed the agent with its keeper; this kills what else is in the keeper's session.
    async fn after_lost_keeper(&self, status: ExitStatus) -> Exit {
        if let Ok(session) = i32::try_from(self.keeper_pid) {
            // The id of a session is not given to a new process while the session has members.
            let swept = spawn_blocking(move || {
                for pid in process_tree::session_members(session) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            });
            let _ = swept.await;
        }
        Exit::keeper_lost(status)
    }
}

/// The control over an agent. When it is dropped, the keeper kills the agent and all that it forked.
///
/// An order to an agent that has ended already does nothing.
#[derive(Debug)]
pub struct ChildControl {
    orders: UnixStream,
}

impl ChildControl {
    /// Asks the agent's process group to end: SIGTERM. Thaws it, so that it can.
    pub fn terminate(&self) {
        self.send(Order::Terminate);
    }

    /// Kills the agent and all that it forked, whatever process group that is in.
    pub fn kill(&self) {
        self.send(Order::Kill);
    }

    /// Freezes the agent's process group: SIGSTOP.
    pub fn freeze(&self) {
        self.send(Order::Freeze);
    }

    /// Lets a frozen process group go on: SIGCONT.
    pub fn thaw(&self) {
        self.send(Order::Thaw);
    }

    fn send(&self, order: Order) {
        // It fails when the keeper is gone, and then there is no agent; or when the keeper has not read some
        // hundred orders, and then it obeys none.
        let _ = (&self.orders).write_all(&[order.byte()]);
    }
}

impl Drop for ChildControl {
    fn drop(&mut self) {
        // `Child` has the same socket open, to read the report: closing this one alone would say nothing.
        let _ = self.orders.shutdown(Shutdown::Write);
    }
}

/// Does what [`Child::launch`] promises, on a thread that may block.
fn launch_now(spec: &LaunchSpec) -> Result<Launched, LaunchError> {
    let workspace = prepare_workspace(&spec.workspace)
        .map_err(|source| LaunchError::Workspace { path: spec.workspace.clone(), source })?;
    start_keeper(spec, &workspace).map_err(LaunchError::Keeper)
}

/// Makes the workspace and its folder for temporary files, and gives its absolute path.
fn prepare_workspace(workspace: &Path) -> io::Result<PathBuf> {
    let workspace = std::path::absolute(workspace)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(workspace.join("tmp"))?;
    Ok(workspace)
}

fn start_keeper(spec: &LaunchSpec, workspace: &Path) -> io::Result<Launched> {
    // Both ends are close-on-exec from birth: no other child of the server ever holds one.
    let (ours, keepers) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;

    let keepers = OwnedFd::from(keepers);
    let mut command = Command::new(&spec.keeper.program);
    command.arg(ROLE).arg(keepers.as_raw_fd().to_string()).args(&spec.command);
    command.current_dir(workspace).env_clear();
    command.env("PATH", DEFAULT_PATH).env("HOME", workspace).env("TMPDIR", workspace.join("tmp"));
    command.env("LANG", "C.UTF-8").envs(spec.env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Under its own number, not at a fixed one: moving it could overwrite a descriptor that the
    // standard library keeps between fork and exec.
    command.preserved_fds(vec![keepers]);

    let mut command = tokio::process::Command::from(command);
    let mut keeper = command.spawn()?;
    // With the command goes our copy of the keeper's end.
    drop(command);

    let reports = ours.try_clone()?;
    let control = ChildControl { orders: ours };
    let lost = || io::Error::other("the keeper has no process id or no streams");
    let (stdin, stdout, stderr) = (
        keeper.stdin.take().ok_or_else(lost)?,
        keeper.stdout.take().ok_or_else(lost)?,
        keeper.stderr.take().ok_or_else(lost)?,
    );
    let keeper_pid = keeper.id().ok_or_else(lost)?;
    Ok(Launched { stdin, stdout, stderr, control, child: Child { keeper, keeper_pid, reports, exit: None } })
}
