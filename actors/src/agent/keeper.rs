//! The keeper: a small process between the server and one agent, which leaves nothing behind. Linux only.
//!
//! The server starts its own binary again as the keeper of each agent. The
//! keeper is the *subreaper* of everything that the agent forks: whatever loses
//! its parent, also after `setsid` and a double fork, becomes the keeper's child
//! and can be found. A socket joins it to the server: orders come down, one byte
//! each, and a report of the agent's end goes up. When the socket ends, the
//! server is gone, be it by `kill -9`, and the keeper kills all that it keeps.
//!
//! What it cannot hold: an agent that kills its own keeper takes itself along,
//! but a descendant that had left the keeper's session before lives on. To be
//! safe from an agent that means harm, run the server in a container.

#![allow(unsafe_code, reason = "fork hooks, signal dispositions and raw waits have no safe form")]

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::OpenOptions,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::{
            net::UnixStream,
            process::{CommandExt, ExitStatusExt},
        },
    },
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{F_SETFD, FdFlag, fcntl},
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal, kill, killpg},
        signalfd::{SfdFlags, SignalFd},
        stat::{SFlag, fstat},
    },
    unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, getpid, getppid, setsid},
};

use super::{exit::Exit, process_tree};

/// The first argument of a process that is to be a keeper. The number of the socket's
/// file descriptor comes second, then the agent's command.
pub(super) const ROLE: &str = "__keeper";

/// The keeper's exit status when it was not started by a server.
const MISUSED: i32 = 2;

/// How long the keeper goes on killing before it leaves what cannot die (a process
/// stuck in the kernel) with its SIGKILL pending.
const KILL_FOR: Duration = Duration::from_secs(10);
/// How long one round of killing waits for a death, in milliseconds.
const KILL_ROUND_MS: u16 = 20;
/// How often one round looks for processes that were forked while it stopped the others.
const STOP_PASSES: usize = 50;

/// What the server asks of the keeper, one byte each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// SIGTERM to the agent's process group; a frozen one is thawed to hear it.
    Terminate,
    /// Kill the agent and everything that descends from it.
    Kill,
    /// SIGSTOP to the agent's process group.
    Freeze,
    /// SIGCONT to the agent's process group.
    Thaw,
}

impl Order {
    /// The order on the wire.
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Terminate => b'T',
            Self::Kill => b'K',
            Self::Freeze => b'S',
            Self::Thaw => b'C',
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Terminate, Self::Kill, Self::Freeze, Self::Thaw].into_iter().find(|order| order.byte() == byte)
    }
}

/// Becomes a keeper and never returns, if this process was started as one; else returns at once.
///
/// Call it first thing in a plain `fn main`, before any thread is started: the
/// agent's life is bound to the thread that starts it, and that must be the one
/// that lives as long as the process.
pub fn run_if_asked() {
    let mut args = std::env::args_os().skip(1);
    if args.next().as_deref() != Some(OsStr::new(ROLE)) {
        return;
    }
    let socket = args.next().and_then(|number| number.to_str()?.parse().ok()).and_then(take_socket);
    let Some(mut server) = socket else {
        eprintln!("{ROLE} is started by the server alone");
        std::process::exit(MISUSED);
    };
    let command: Vec<OsString> = args.collect();
    let exit = match Keeper::start(&server, &command) {
        Ok(mut keeper) => keeper.keep(),
        Err(reason) => {
            // The agent's standard error is still ours, and no one else will say it there.
            let _ = writeln!(io::stderr(), "{reason}");
            Exit::NotStarted(reason)
        }
    };
    // A server that is gone reads no report.
    let _ = server.write_all(exit.to_report().as_bytes());
    std::process::exit(exit.keeper_status())
}

/// Takes over the inherited file descriptor `number`, if it is a socket.
fn take_socket(number: RawFd) -> Option<UnixStream> {
    if number <= libc::STDERR_FILENO {
        return None;
    }
    // SAFETY: the borrow ends before the descriptor is taken over, and fstat refuses one that is not open.
    let kind = fstat(unsafe { BorrowedFd::borrow_raw(number) }).ok()?.st_mode & SFlag::S_IFMT.bits();
    if kind != SFlag::S_IFSOCK.bits() {
        return None;
    }
    // SAFETY: it is open, was inherited for this purpose, and nothing else in this young process knows of it.
    Some(UnixStream::from(unsafe { OwnedFd::from_raw_fd(number) }))
}

/// What a keeper holds while its agent runs.
struct Keeper<'a> {
    server: &'a UnixStream,
    /// Readable when a child has ended.
    deaths: SignalFd,
    /// The agent's process id, which is its process group as well.
    agent: Pid,
    /// How the agent ended, once it did.
    ended: Option<Exit>,
}

impl<'a> Keeper<'a> {
    /// Makes this process a keeper, starts the agent, and lets go of the agent's standard streams.
    fn start(server: &'a UnixStream, command: &[OsString]) -> Result<Self, String> {
        let (program, args) = command.split_first().ok_or("the command is empty")?;
        let deaths = prepare(server).map_err(|error| format!("the keeper cannot be set up: {error}"))?;
        let agent = spawn(program, args).map_err(|error| format!("{}: {error}", program.to_string_lossy()))?;
        let mut keeper = Self { server, deaths, agent, ended: None };
        if let Err(error) = let_go_of_standard_streams() {
            keeper.kill_everything();
            return Err(format!("the keeper cannot let go of the agent's streams: {error}"));
        }
        Ok(keeper)
    }

    /// Obeys the server until the agent has ended, then sees to it that nothing else is left.
    fn keep(&mut self) -> Exit {
        while self.reap() && self.ended.is_none() {
            let mut ready = [
                PollFd::new(self.deaths.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.server.as_fd(), PollFlags::POLLIN),
            ];
            let polled = poll(&mut ready, PollTimeout::NONE);
            let server_spoke = ready[1].any() == Some(true);
            match polled {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => break,
            }
            self.forget_deaths();
            // A dead agent's process id may be another's soon: look before obeying.
            if server_spoke && self.reap() && self.ended.is_none() && !self.obey() {
                break;
            }
        }
        self.kill_everything();
        self.ended.clone().unwrap_or_else(|| Exit::KeeperLost("could not see it die".to_owned()))
    }

    /// Carries out what the server says; `false` once everything is to be killed.
    fn obey(&mut self) -> bool {
        let mut orders = [0; 64];
        let count = match self.server.read(&mut orders) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            // A socket that fails is a server that is gone.
            Err(_) => return false,
        };
        for order in orders[..count].iter().filter_map(|byte| Order::from_byte(*byte)) {
            // A group that is gone needs no signal: its end is seen in the next turn.
            let _ = match order {
                Order::Terminate => {
                    killpg(self.agent, Signal::SIGTERM).and_then(|()| killpg(self.agent, Signal::SIGCONT))
                }
                Order::Freeze => killpg(self.agent, Signal::SIGSTOP),
                Order::Thaw => killpg(self.agent, Signal::SIGCONT),
                Order::Kill => return false,
            };
        }
        true
    }

    /// Kills every descendant, the agent among them, until none is left.
    ///
    /// Each round stops all that it finds first, parents before children, since
    /// what is stopped can neither fork nor give its children's ids away.
    fn kill_everything(&mut self) {
        let deadline = Instant::now() + KILL_FOR;
        // The kernel's word that no child is left ends this: a subreaper without children has no descendants.
        while self.reap() && Instant::now() < deadline {
            let mut known = BTreeSet::new();
            for _ in 0..STOP_PASSES {
                let seen = process_tree::descendants(getpid().as_raw(), |pid| {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
                });
                let grew = !seen.is_subset(&known);
                known.extend(seen);
                if !grew {
                    break;
                }
            }
            if self.ended.is_none() {
                let _ = killpg(self.agent, Signal::SIGKILL);
            }
            for pid in known {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            let mut ready = [PollFd::new(self.deaths.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut ready, PollTimeout::from(KILL_ROUND_MS));
            self.forget_deaths();
        }
    }

    /// Buries every child that has ended, its own and adopted ones; `false` when no child is left.
    fn reap(&mut self) -> bool {
        loop {
            let mut status = 0;
            // SAFETY: waitpid writes one int through a pointer that is valid for the call. The safe wrapper
            // fails, after the child is gone, on a death by a real-time signal.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
            match pid {
                0 => return true,
                -1 if Errno::last() == Errno::EINTR => {}
                -1 => return false,
                pid if pid == self.agent.as_raw() => {
                    self.ended = Some(Exit::from_status(ExitStatus::from_raw(status)));
                }
                _ => {}
            }
        }
    }

    /// Empties the queue of death notices; [`reap`](Self::reap) looks for itself who it was.
    fn forget_deaths(&self) {
        while let Ok(Some(_)) = self.deaths.read_signal() {}
    }
}

/// Makes this process the subreaper in a session of its own, deaf to what is meant for the server.
fn prepare(server: &UnixStream) -> nix::Result<SignalFd> {
    for meant_for_the_server in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGTERM, Signal::SIGQUIT] {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { signal::signal(meant_for_the_server, SigHandler::SigIgn) }?;
    }
    setsid()?;
    prctl::set_child_subreaper(true)?;
    // Should the agent have stopped this process, the server's death wakes it to do its work. That the
    // kernel means the thread which forked, and not the server, does no harm: to be woken is nothing.
    prctl::set_pdeathsig(Signal::SIGCONT)?;
    // What process viewers show; it would be "exe" otherwise.
    prctl::set_name(c"agent-keeper")?;

    // No descriptor that the server was handed without close-on-exec may reach the agent. Kernels before
    // 5.11 do not have the call; there, the one that would do harm is seen to by itself.
    // SAFETY: the call takes three integers, and touches descriptor flags alone.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    fcntl(server, F_SETFD(FdFlag::FD_CLOEXEC))?;

    // Deaths are told, stops are not. Were SIGCHLD inherited as ignored, no child could be waited for.
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::SA_NOCLDSTOP, SigSet::empty());
    // SAFETY: the default disposition installs no handler.
    unsafe { signal::sigaction(Signal::SIGCHLD, &default) }?;
    let mut death = SigSet::empty();
    death.add(Signal::SIGCHLD);
    death.thread_block()?;
    SignalFd::with_flags(&death, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// Starts the agent in its own process group. It dies with the keeper, whatever ends that.
fn spawn(program: &OsStr, args: &[OsString]) -> io::Result<Pid> {
    let keeper = getpid();
    let mut command = Command::new(program);
    command.args(args).process_group(0);
    // SAFETY: between fork and exec the closure makes system calls alone: it takes no lock, allocates
    // nothing, and what it captures is one integer.
    unsafe { command.pre_exec(move || Ok(before_exec(keeper)?)) };
    let agent = command.spawn()?;
    // Not waited for through this handle: the keeper buries all its children in one place.
    i32::try_from(agent.id()).map(Pid::from_raw).map_err(io::Error::other)
}

/// What the agent's process does to itself before it runs the agent's program.
fn before_exec(keeper: Pid) -> nix::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != keeper {
        // The keeper died before the line above was in force.
        return Err(Errno::ESRCH);
    }
    // Ignored and blocked signals outlive an exec, and most programs never look.
    for number in Signal::iterator().filter(|number| !matches!(number, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default disposition installs no handler.
        unsafe { signal::signal(number, SigHandler::SigDfl) }?;
    }
    SigSet::empty().thread_set_mask()
}

/// Puts the null device in place of the standard streams, so that the agent's pipes end when the agent does.
fn let_go_of_standard_streams() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_read_back_from_its_byte() {
        for order in [Order::Terminate, Order::Kill, Order::Freeze, Order::Thaw] {
            assert_eq!(Order::from_byte(order.byte()), Some(order));
        }
        assert_eq!(Order::from_byte(b'?'), None);
    }

    #[test]
    fn only_a_socket_is_taken_over() {
        assert!(take_socket(libc::STDIN_FILENO).is_none());
        assert!(take_socket(RawFd::MAX).is_none());
    }
}
