//! Which processes there are, by what stands in their command lines, and what they take.

use std::{fs, path::Path};

use super::eventually;

/// The ids and command lines of the processes that have `mark` in theirs, but for `except`.
pub(crate) fn running_with(mark: &Path, except: Option<i32>) -> Vec<(i32, String)> {
    let mark = mark.to_str().expect("a path in UTF-8");
    let folders = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<i32>().ok());
    let lines = pids.filter(|pid| Some(*pid) != except).filter_map(|pid| {
        // A process that is gone by now is not there.
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    });
    lines.filter(|(_, line)| line.contains(mark)).collect()
}

/// Waits until no process has `mark` in its command line, but for `except`.
pub(crate) async fn none_left(mark: &Path, except: Option<i32>) {
    let gone = || async { running_with(mark, except).is_empty().then_some(()) };
    let left = || running_with(mark, except);
    let waiting = eventually("the end of every process of the agents", gone);
    if tokio::time::timeout(super::PATIENCE / 2, waiting).await.is_err() {
        panic!("processes are left over: {:?}", left());
    }
}

/// The ids of the agents that have `mark` in their command lines: without their keepers, which have it as well.
pub(crate) fn agents_with(mark: &Path, except: Option<i32>) -> Vec<i32> {
    let all = running_with(mark, except).into_iter();
    all.filter(|(_, line)| !line.contains("__keeper")).map(|(pid, _)| pid).collect()
}

/// Whether the process is stopped by a signal.
pub(crate) fn is_stopped(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:\tT"))
}

/// Memory that a process has in RAM, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// The most that it ever was.
    pub(crate) peak: u64,
}

/// What the process has in RAM.
pub(crate) fn memory_of(pid: i32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field of /proc");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    };
    Memory { resident: field("VmRSS:"), peak: field("VmHWM:") }
}
