//! Who descends from whom among the processes of this machine, as `/proc` tells it.
//!
//! What is read here is old at once. A caller that wants a whole tree stops each
//! process when it is found, before that one's children are listed, and looks again.

use std::{collections::BTreeSet, fs, path::Path};

/// Every descendant of `root`, without `root`. `found` is told of each before its own children are listed.
pub(super) fn descendants(root: i32, mut found: impl FnMut(i32)) -> BTreeSet<i32> {
    let list: fn(i32) -> Vec<i32> =
        if Path::new("/proc/thread-self/children").exists() { listed_children } else { scanned_children };
    let mut all = BTreeSet::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for child in list(parent) {
            if all.insert(child) {
                found(child);
                open.push(child);
            }
        }
    }
    all
}

/// Every process of the session that `leader` opened.
pub(super) fn session_members(leader: i32) -> Vec<i32> {
    every_process().filter(|pid| stat(*pid).is_some_and(|stat| stat.session == leader)).collect()
}

/// The children of each of `pid`'s threads, from the kernel's own list.
///
/// Its cost grows with the tree and not with the machine, so that a thousand
/// keepers that clean up at once do not read each other's processes.
fn listed_children(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|line| line.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// The same where the kernel was built without that list: asks every process for its parent.
fn scanned_children(pid: i32) -> Vec<i32> {
    every_process().filter(|child| stat(*child).is_some_and(|stat| stat.parent == pid)).collect()
}

fn every_process() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The fields of `/proc/<pid>/stat` that matter here.
struct Stat {
    parent: i32,
    session: i32,
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?))
}

/// The second field is the program's name in parentheses, and may hold spaces and parentheses itself.
fn parse_stat(line: &str) -> Option<Stat> {
    let (_, after_name) = line.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let _group = fields.next()?;
    let session = fields.next()?.parse().ok()?;
    Some(Stat { parent, session })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn a_program_may_have_any_name() {
        let stat = parse_stat("42 (a) S 1 (b) S 7 8 9 0 -1").expect("a stat line");
        assert_eq!((stat.parent, stat.session), (7, 9));
        assert!(parse_stat("42 (cut").is_none());
    }

    #[test]
    fn both_ways_of_looking_find_a_child_and_its_child() {
        let mut parent = Command::new("sh")
            .args(["-c", "sleep 600 & echo $!; read line; kill $!"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let pid = i32::try_from(parent.id()).expect("a pid");
        let mut line = String::new();
        BufReader::new(parent.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let grandchild: i32 = line.trim().parse().expect("a pid");

        let me = i32::try_from(std::process::id()).expect("a pid");
        assert!(descendants(me, |_| ()).is_superset(&BTreeSet::from([pid, grandchild])));
        assert_eq!(descendants(pid, |_| ()), BTreeSet::from([grandchild]));
        assert_eq!(scanned_children(pid), [grandchild]);
        assert!(scanned_children(me).contains(&pid));

        drop(parent.stdin.take());
        parent.wait().expect("the shell ends");
    }
}
