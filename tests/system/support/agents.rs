//! Small agents in Python, written into the test's folder: well-behaved ones and others.

use std::fs;

use tempfile::TempDir;

/// What every script begins with.
const PRELUDE: &str = r"import json, os, signal, subprocess, sys, time

def say(**line):
    print(json.dumps(line), flush=True)

def hear():
    line = sys.stdin.readline()
    return json.loads(line) if line else sys.exit(0)

start = hear()
assert start['type'] == 'start', start
saved = start.get('checkpoint') or {}
";

/// Waits for the end that the server tells it of.
pub(crate) const PATIENT: &str = "
say(type='activity', message='ready')
while hear()['type'] != 'cancel':
    pass
";

/// A folder with scripts, and the flags that make agents of them.
pub(crate) struct Scripts {
    home: TempDir,
    flags: Vec<String>,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self { home: TempDir::new().expect("a temporary folder"), flags: Vec::new() }
    }

    /// The agent kind `name`, whose script goes on with `body` after its start line was read.
    pub(crate) fn agent(mut self, name: &str, body: &str) -> Self {
        let script = self.home.path().join(format!("{name}.py"));
        fs::write(&script, format!("{PRELUDE}{body}")).expect("a script");
        self.flags.extend(["--agent".to_owned(), format!("{name}=python3 -S {}", script.display())]);
        self
    }

    /// The server that has them, with more flags.
    pub(crate) async fn serve(self, flags: &[&str]) -> super::Server {
        let all: Vec<&str> = self.flags.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        super::Server::in_home(self.home, &all).await
    }
}
