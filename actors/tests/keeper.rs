//! Agents under their keepers, as real processes: what they are given, how they are stopped, and that none is left.
//!
//! This binary plays three parts: the tests, the keepers that they start (its
//! own file, started again), and a server that is there to be killed.

mod processes;

use std::{fs, process::Command};

use flightdeck_actors::agent::{Child, Exit, Keeper, LaunchError, LaunchSpec, run_if_asked};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::{
    fcntl::{F_SETFD, FdFlag, fcntl},
    sys::signal::Signal,
    unistd::{Pid, getpgid, getsid},
};
use processes::{
    SERVER, alive, eventually, play_server, run, server, shell, signal, start, state, story, survivors, with_folder,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Starts a child, a child in its own session, and an orphan in its own session; prints the four process ids
/// and hangs. All of them hold the standard streams open and ignore SIGTERM.
const FAMILY: &str = r#"
trap '' TERM
sleep 600 & child=$!
setsid sleep 600 & leader=$!
(setsid sh -c 'trap "" TERM; (sleep 600 & echo $! >orphan.tmp; mv orphan.tmp orphan)' &)
while ! [ -e orphan ]; do sleep 0.01; done
echo $$ $child $leader $(cat orphan)
read line
"#;

fn main() {
    run_if_asked();
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|role| role == SERVER) {
        return play_server(args[2].as_ref(), &args[3]);
    }
    let tests: &[(&'static str, fn())] = &[
        ("an_agent_gets_a_clean_environment_and_its_own_folder", clean_environment),
        ("an_agent_runs_in_its_own_group_with_default_signals", own_group),
        ("what_a_spec_says_wins_over_the_defaults", spec_wins),
        ("no_descriptor_of_the_server_reaches_the_agent", no_descriptor),
        ("exit_codes_and_signals_are_told", ends_are_told),
        ("an_agent_that_cannot_be_started_says_why", cannot_start),
        ("a_launch_that_cannot_be_is_refused", cannot_launch),
        ("what_the_server_writes_is_read_and_its_end_is_seen", stdin_reaches_the_agent),
        ("terminate_is_heard_by_the_whole_group", terminate),
        ("terminate_is_heard_by_a_frozen_agent", terminate_frozen),
        ("an_agent_that_ignores_terminate_is_killed", kill_all),
        ("a_frozen_agent_stands_still_until_it_is_thawed", freeze_and_thaw),
        ("a_dropped_control_kills_the_agent", dropped_control),
        ("what_an_agent_forked_ends_with_it", descendants_end),
        ("output_ends_although_a_descendant_held_it", output_ends),
        ("an_agent_that_closes_its_streams_is_seen_to_do_so", closed_streams),
        ("a_fork_storm_is_ended", fork_storm),
        ("a_server_killed_with_kill_9_leaves_nothing", server_killed),
        ("a_frozen_agent_dies_with_its_server", server_killed_while_frozen),
        ("a_keeper_killed_with_kill_9_takes_its_agent_along", keeper_killed),
        ("a_keeper_killed_after_its_server_takes_its_agent_along", server_and_keeper_killed),
        ("a_keeper_is_deaf_to_the_servers_signals", keeper_is_deaf),
        ("a_keeper_started_by_hand_refuses", keeper_by_hand),
    ];
    let trials = tests.iter().map(|(name, test)| {
        Trial::test(*name, move || {
            test();
            Ok::<(), Failed>(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

// What an agent is given.

fn clean_environment() {
    let home = TempDir::new().expect("a folder");
    let (exit, output) = story(async {
        let spec = LaunchSpec { workspace: home.path().join("deep/er"), ..shell(home.path(), "env; pwd; [ -d tmp ]") };
        run(spec).await
    });
    let workspace = home.path().join("deep/er").display().to_string();
    let mut lines: Vec<&str> = output.lines().filter(|line| !line.starts_with("_=")).collect();
    lines.sort_unstable();
    let mut expected = [
        format!("HOME={workspace}"),
        "LANG=C.UTF-8".into(),
        "PATH=/usr/local/bin:/usr/bin:/bin".into(),
        format!("PWD={workspace}"),
        format!("TMPDIR={workspace}/tmp"),
        workspace,
    ];
    expected.sort_unstable();
    // OLDPWD and SHLVL are some shells' own.
    lines.retain(|line| !line.starts_with("OLDPWD") && !line.starts_with("SHLVL"));
    assert_eq!(lines, expected);
    assert!(exit.is_success());
}

fn own_group() {
    let home = TempDir::new().expect("a folder");
    story(async {
        let mut agent =
            start(shell(home.path(), "grep -E '^Sig(Blk|Ign)' /proc/self/status; echo $$; read line")).await;
        for mask in ["SigBlk", "SigIgn"] {
            let line = agent.line().await;
            let bits = line.strip_prefix(mask).and_then(|line| u64::from_str_radix(line[1..].trim(), 16).ok());
            // Signal 32 and those above are the C library's and the tester's own.
            assert_eq!(bits.map(|bits| bits & 0x7fff_ffff), Some(0), "{line}");
        }
        let pid: i32 = agent.line().await.parse().expect("a pid");
        let keeper = i32::try_from(agent.child.keeper_pid()).expect("a pid");
        assert_eq!(getpgid(Some(Pid::from_raw(pid))), Ok(Pid::from_raw(pid)));
        assert_eq!(getsid(Some(Pid::from_raw(pid))), Ok(Pid::from_raw(keeper)));
        assert_ne!(getsid(None), Ok(Pid::from_raw(keeper)));
    });
}

fn spec_wins() {
    let home = TempDir::new().expect("a folder");
    let (_, output) = story(async {
        let env = vec![("LANG".into(), "C".into()), ("REGION".into(), "north".into())];
        run(LaunchSpec { env, ..shell(home.path(), "echo $LANG $REGION") }).await
    });
    assert_eq!(output, "C north\n");
}

fn no_descriptor() {
    let home = TempDir::new().expect("a folder");
    // As a socket that a service manager hands to the server would be.
    let inheritable = fs::File::open("/dev/null").expect("a descriptor");
    fcntl(&inheritable, F_SETFD(FdFlag::empty())).expect("a flag");
    let (_, output) = story(async { run(shell(home.path(), "ls /proc/$$/fd; true")).await });
    assert_eq!(output.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2"]);
}

fn stdin_reaches_the_agent() {
    let home = TempDir::new().expect("a folder");
    story(async {
        let mut agent = start(LaunchSpec { command: vec!["cat".into()], ..shell(home.path(), "") }).await;
        agent.stdin.write_all(b"over\n").await.expect("the agent reads");
        assert_eq!(agent.line().await, "over");
        drop(agent.stdin);
        assert_eq!(agent.child.wait().await, Exit::Code(0));
    });
}

// How an end is told.

fn ends_are_told() {
    let home = TempDir::new().expect("a folder");
    story(async {
        for (script, exit, outcome) in [
            ("exit 0", Exit::Code(0), "it exited with code 0"),
            ("exit 3", Exit::Code(3), "it exited with code 3"),
            ("exit 137", Exit::Code(137), "it exited with code 137"),
            ("exit 127", Exit::Code(127), "it exited with code 127"),
            ("kill -9 $$", Exit::Signal(9), "it was killed by signal 9 (SIGKILL)"),
            ("kill -SEGV $$", Exit::Signal(11), "it was killed by signal 11 (SIGSEGV)"),
            ("kill -40 $$", Exit::Signal(40), "it was killed by signal 40"),
        ] {
            let ended = run(shell(home.path(), script)).await.0;
            assert_eq!(ended, exit, "{script}");
            assert_eq!(ended.outcome(), outcome);
        }
    });
}

fn cannot_start() {
    let home = TempDir::new().expect("a folder");
    story(async {
        let spec = LaunchSpec { command: vec!["no-such-agent".into(), "--fast".into()], ..shell(home.path(), "") };
        let mut agent = Child::launch(spec).await.expect("a keeper");
        let expected = "no-such-agent: No such file or directory (os error 2)";
        assert_eq!(agent.child.wait().await, Exit::NotStarted(expected.into()));
        assert_eq!(agent.child.wait().await.outcome(), format!("it could not be started: {expected}"), "asked again");
        let mut complaint = String::new();
        agent.stderr.read_to_string(&mut complaint).await.expect("text");
        assert_eq!(complaint.trim(), expected);
    });
}

fn cannot_launch() {
    let home = TempDir::new().expect("a folder");
    fs::write(home.path().join("file"), "").expect("a file");
    story(async {
        let empty = LaunchSpec { command: Vec::new(), ..shell(home.path(), "") };
        assert!(matches!(Child::launch(empty).await, Err(LaunchError::EmptyCommand)));
        let no_folder = LaunchSpec { workspace: home.path().join("file/below"), ..shell(home.path(), "") };
        assert!(matches!(Child::launch(no_folder).await, Err(LaunchError::Workspace { .. })));
        let no_keeper = LaunchSpec { keeper: Keeper::at("/no/such/keeper"), ..shell(home.path(), "") };
        assert!(matches!(Child::launch(no_keeper).await, Err(LaunchError::Keeper(_))));
        let nul = LaunchSpec { command: vec!["a\0b".into()], ..shell(home.path(), "") };
        assert!(matches!(Child::launch(nul).await, Err(LaunchError::Keeper(_))));
    });
}

// How an agent is stopped.

fn terminate() {
    let home = TempDir::new().expect("a folder");
    story(async {
        // The child says when it is ready: a shell's fork that is no program of its own yet may lose a signal.
        let script = r#"trap 'wait; exit 5' TERM
            sh -c 'trap "echo heard >told; exit" TERM; echo $$; sleep 600 & wait' &
            wait"#;
        let mut agent = start(shell(home.path(), script)).await;
        let child = agent.line().await.parse().expect("a pid");
        agent.control.terminate();
        assert_eq!(agent.child.wait().await, Exit::Code(5));
        assert!(!alive(child));
        let told = fs::read_to_string(home.path().join("told")).expect("the agent heard");
        assert_eq!(told.trim(), "heard", "its child was asked too");
    });
}

fn terminate_frozen() {
    let home = TempDir::new().expect("a folder");
    story(async {
        let mut agent = start(shell(home.path(), "echo $$; exec sleep 600")).await;
        let pid = agent.line().await.parse().expect("a pid");
        agent.control.freeze();
        eventually("the agent stands still", || state(pid) == Some('T'));
        agent.control.terminate();
        assert_eq!(agent.child.wait().await, Exit::Signal(15));
    });
}

fn kill_all() {
    let home = TempDir::new().expect("a folder");
    story(async {
        let mut agent = start(shell(home.path(), FAMILY)).await;
        let family = agent.pids().await;
        agent.control.terminate();
        // Orders are obeyed in turn: once the second shows, the first was carried out.
        agent.control.freeze();
        eventually("the agent stands still", || state(family[0]) == Some('T'));
        assert_eq!(survivors(&family), family);
        agent.control.kill();
        assert_eq!(agent.child.wait().await, Exit::Signal(9));
        assert!(survivors(&family).is_empty(), "left over: {:?}", survivors(&family));
        // An order that comes too late is no trouble.
        agent.control.kill();
    });
}

fn freeze_and_thaw() {
    let home = TempDir::new().expect("a folder");
    story(async {
        let mut agent = start(shell(home.path(), "sleep 600 & echo $$ $!; read line; echo $line")).await;
        let group = agent.pids().await;
        agent.control.freeze();
        eventually("the whole group stands still", || group.iter().all(|pid| state(*pid) == Some('T')));
        agent.stdin.write_all(b"awake\n").await.expect("the pipe has room");
        agent.control.thaw();
        assert_eq!(agent.line().await, "awake");
        assert_eq!(agent.child.wait().await, Exit::Code(0));
        assert!(survivors(&group).is_empty(), "left over: {:?}", survivors(&group));
    });
}

fn dropped_control() {
    let home = TempDir::new().expect("a folder");
    story(async {
        let mut agent = start(shell(home.path(), FAMILY)).await;
        let family = agent.pids().await;
        drop(agent.control);
        assert_eq!(agent.child.wait().await, Exit::Signal(9));
        assert!(survivors(&family).is_empty(), "left over: {:?}", survivors(&family));
    });
}

// Nothing is left.

fn descendants_end() {
    let home = TempDir::new().expect("a folder");
    story(async {
        let mut agent = start(shell(home.path(), &format!("{FAMILY}exit 4"))).await;
        let family = agent.pids().await;
        agent.stdin.write_all(b"go\n").await.expect("the agent reads");
        assert_eq!(agent.child.wait().await, Exit::Code(4));
        assert!(survivors(&family).is_empty(), "left over: {:?}", survivors(&family));
        let refused = agent.stdin.write_all(b"anyone?").await.expect_err("no one holds the other end");
        assert_eq!(refused.kind(), std::io::ErrorKind::BrokenPipe);
    });
}

fn output_ends() {
    let home = TempDir::new().expect("a folder");
    story(async {
        let mut agent = start(shell(home.path(), "setsid sleep 600 & echo last words; echo complaint >&2")).await;
        assert_eq!(agent.line().await, "last words");
        // Nothing waits for the process here: the end of its streams alone must come.
        assert_eq!(agent.stdout.next_line().await.expect("no error"), None);
        let mut complaint = String::new();
        agent.stderr.read_to_string(&mut complaint).await.expect("text");
        assert_eq!(complaint, "complaint\n");
    });
}

fn closed_streams() {
    let home = TempDir::new().expect("a folder");
    story(async {
        let mut agent = start(shell(home.path(), "exec <&- >&- 2>&-; exec sleep 600")).await;
        assert_eq!(agent.stdout.next_line().await.expect("no error"), None);
        assert_eq!(agent.stderr.read_to_end(&mut Vec::new()).await.expect("no error"), 0);
        let refused = agent.stdin.write_all(b"anyone?").await.expect_err("no one holds the other end");
        assert_eq!(refused.kind(), std::io::ErrorKind::BrokenPipe);
        agent.control.kill();
        assert_eq!(agent.child.wait().await, Exit::Signal(9), "it was running still");
    });
}

fn fork_storm() {
    let home = TempDir::new().expect("a folder");
    // Each process starts its successor in a new session and ends: there are always four, none for long.
    let chain = "echo 'setsid sh chain &' >chain; for i in 1 2 3 4; do setsid sh chain & done; echo stormy; read line";
    story(async {
        let mut agent = start(shell(home.path(), chain)).await;
        assert_eq!(agent.line().await, "stormy");
        agent.control.kill();
        assert_eq!(agent.child.wait().await, Exit::Signal(9));
        assert_eq!(with_folder(home.path()), [0; 0], "processes still work in its folder");
    });
}

fn server_killed() {
    let home = TempDir::new().expect("a folder");
    let mut server = server(home.path(), FAMILY);
    let family = server.pids();
    assert_eq!(family.len(), 5);
    assert_eq!(survivors(&family), family);
    server.kill_9();
    eventually("keeper, agent, child, session leader and orphan are gone", || survivors(&family).is_empty());
}

fn server_killed_while_frozen() {
    let home = TempDir::new().expect("a folder");
    let mut server = server(home.path(), "echo $$; kill -STOP $$");
    let processes = server.pids();
    eventually("the agent stands still", || state(processes[1]) == Some('T'));
    server.kill_9();
    eventually("keeper and agent are gone", || survivors(&processes).is_empty());
}

fn keeper_killed() {
    let home = TempDir::new().expect("a folder");
    story(async {
        let mut agent = start(shell(home.path(), "sleep 600 & echo $$ $!; read line")).await;
        let processes = agent.pids().await;
        signal(agent.child.keeper_pid(), Signal::SIGKILL);
        let exit = agent.child.wait().await;
        assert_eq!(exit.outcome(), "it was killed because its keeper was killed by signal 9 (SIGKILL)");
        eventually("the agent and its child are gone", || survivors(&processes).is_empty());
    });
}

fn server_and_keeper_killed() {
    let home = TempDir::new().expect("a folder");
    let mut server = server(home.path(), "echo $$; exec sleep 60");
    let processes = server.pids();
    let keeper = u32::try_from(processes[0]).expect("a pid");
    // A keeper that cannot move sees nothing of its server's end: the kernel alone is left to act.
    signal(keeper, Signal::SIGSTOP);
    server.kill_9();
    signal(keeper, Signal::SIGKILL);
    eventually("keeper and agent are gone", || survivors(&processes).is_empty());
}

fn keeper_is_deaf() {
    let home = TempDir::new().expect("a folder");
    story(async {
        let mut agent = start(shell(home.path(), "echo ready; read line; exit 6")).await;
        assert_eq!(agent.line().await, "ready");
        for meant_for_the_server in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGTERM, Signal::SIGQUIT] {
            signal(agent.child.keeper_pid(), meant_for_the_server);
        }
        agent.stdin.write_all(b"go\n").await.expect("the agent reads");
        assert_eq!(agent.child.wait().await, Exit::Code(6));
    });
}

fn keeper_by_hand() {
    let me = std::env::current_exe().expect("a path");
    for args in [&["__keeper"][..], &["__keeper", "0", "true"], &["__keeper", "99", "true"], &["__keeper", "x"]] {
        let output = Command::new(&me).args(args).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(String::from_utf8_lossy(&output.stderr).trim(), "__keeper is started by the server alone");
    }
}
