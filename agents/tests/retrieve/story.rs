//! Helpers that make the tests read like stories: a portal, an agent, and what they say to each other.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

use flightdeck_agents::portal::{self, Entry};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub(crate) const USERNAME: &str = "ann.sample";
pub(crate) const PASSWORD: &str = "correct horse & battery=staple";

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const BINARY: &str = env!("CARGO_BIN_EXE_flightdeck-agent");

/// A running portal, and a folder for all that happens.
pub(crate) struct Story {
    portal: Child,
    address: String,
    folder: TempDir,
}

impl Story {
    /// Starts the portal.
    pub(crate) fn begin() -> Self {
        let folder = TempDir::new().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        let port_file = folder.path().join("port");
        let mut portal = Command::new(BINARY)
            .args(["portal", "--username", USERNAME, "--password-file"])
            .arg(&password)
            .arg("--port-file")
            .arg(&port_file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(portal.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("portal listening on ").unwrap().to_owned();
        assert_eq!(std::fs::read_to_string(port_file).unwrap().trim(), address);
        Self { portal, address, folder }
    }

    /// The portal's address, without a slash at the end.
    pub(crate) fn portal(&self) -> &str {
        &self.address
    }

    pub(crate) fn manifest(&self) -> Vec<Entry> {
        portal::manifest()
    }

    pub(crate) fn manifest_of(&self, year: u16) -> Vec<Entry> {
        portal::manifest().into_iter().filter(|entry| entry.year == year).collect()
    }

    /// An input that wants `entries`, found through the plain list.
    pub(crate) fn input(&self, entries: &[Entry]) -> Value {
        let documents: Vec<_> = entries
            .iter()
            .map(|it| json!({"name": it.name, "media_type": it.media_type, "size": it.size, "sha256": it.sha256}))
            .collect();
        json!({
            "portal": format!("{}/", self.address),
            "secret": "portal",
            "login": {"page": "/login", "fields": {"username": "{username}", "password": "{password}"}},
            "list": {"page": "/documents", "link": "a.document", "next": "a[rel=next]"},
            "documents": documents,
        })
    }

    /// Starts an agent on `input` with the right secret.
    pub(crate) fn agent(&self, input: &Value) -> Agent {
        self.agent_with_secret(input, &secret())
    }

    pub(crate) fn agent_with_secret(&self, input: &Value, secret: &Value) -> Agent {
        let mut agent = self.silent_agent();
        agent.write(&start(input, secret, None));
        agent
    }

    /// Starts an agent where an earlier one left off.
    pub(crate) fn agent_resumed(&self, input: &Value, checkpoint: &Value) -> Agent {
        let mut agent = self.silent_agent();
        agent.write(&start(input, &secret(), Some(checkpoint)));
        agent
    }

    /// Starts an agent that is paused from its first moment.
    pub(crate) fn paused_agent(&self, input: &Value) -> Agent {
        let mut agent = self.silent_agent();
        let mut input = input.clone();
        input["pace_ms"] = json!(2000);
        agent.write(&start(&input, &secret(), None));
        agent.write(&json!({"type": "pause"}));
        agent
    }

    /// Starts an agent that was told nothing yet.
    pub(crate) fn silent_agent(&self) -> Agent {
        let workspace = self.folder.path().join(an_id());
        std::fs::create_dir(&workspace).unwrap();
        Agent::start(workspace)
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        let _ = self.portal.kill();
        let _ = self.portal.wait();
    }
}

/// A running agent. Every line that it prints is kept.
pub(crate) struct Agent {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<String>,
    heard: Vec<Value>,
    raw: String,
    workspace: PathBuf,
    errors: Option<std::thread::JoinHandle<String>>,
    stderr: String,
}

impl Agent {
    fn start(workspace: PathBuf) -> Self {
        let mut child = Command::new(BINARY)
            .arg("retrieve")
            .current_dir(&workspace)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, output) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut stderr = child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let input = child.stdin.take();
        Self {
            child,
            input,
            output,
            heard: Vec::new(),
            raw: String::new(),
            workspace,
            errors: Some(errors),
            stderr: String::new(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn write(&mut self, line: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for a line of this type that was not heard yet.
    pub(crate) fn wait_for(&mut self, kind: &str) -> Value {
        self.wait_until(kind, |line| line["type"] == kind)
    }

    /// Waits for an activity that has these words and was not heard yet.
    pub(crate) fn wait_for_activity(&mut self, words: &str) -> Value {
        self.wait_until(words, |line| line["type"] == "activity" && line["message"].as_str().unwrap().contains(words))
    }

    fn wait_until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            match self.output.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let line = self.hear(&line);
                    if is_it(&line) {
                        return line;
                    }
                }
                Err(error) => {
                    let _ = self.child.kill();
                    let stderr = self.stderr();
                    panic!("{what:?} did not come ({error}); heard:\n{}\nstderr:\n{stderr}", self.raw);
                }
            }
        }
    }

    /// Waits until nothing came for so long; gives how many documents came in all.
    pub(crate) fn silence(&mut self, length: Duration) -> usize {
        loop {
            match self.output.recv_timeout(length) {
                Ok(line) => drop(self.hear(&line)),
                Err(RecvTimeoutError::Timeout) => return self.count_heard("document"),
                Err(RecvTimeoutError::Disconnected) => panic!("the agent left; heard:\n{}", self.raw),
            }
        }
    }

    fn hear(&mut self, line: &str) -> Value {
        self.raw.push_str(line);
        self.raw.push('\n');
        let line: Value = serde_json::from_str(line).unwrap();
        self.heard.push(line.clone());
        line
    }

    fn count_heard(&self, kind: &str) -> usize {
        self.heard.iter().filter(|line| line["type"] == kind).count()
    }

    /// Waits until the agent has left on its own; everything that it printed is heard then.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.hear_all();
        self.child.wait().unwrap().code()
    }

    fn hear_all(&mut self) {
        loop {
            match self.output.recv_timeout(PATIENCE) {
                Ok(line) => drop(self.hear(&line)),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("the agent does not leave; heard:\n{}", self.raw),
            }
        }
    }

    /// Takes what was printed up to now, without waiting.
    fn catch_up(&mut self) {
        while let Ok(line) = self.output.try_recv() {
            self.hear(&line);
        }
    }

    /// How many lines of this type there were.
    pub(crate) fn count(&mut self, kind: &str) -> usize {
        self.lines_of(kind).len()
    }

    pub(crate) fn lines_of(&mut self, kind: &str) -> Vec<Value> {
        self.all_lines().into_iter().filter(|line| line["type"] == kind).collect()
    }

    pub(crate) fn line_of(&mut self, kind: &str, name: &str) -> Value {
        self.lines_of(kind).into_iter().find(|line| line["name"] == name).unwrap()
    }

    pub(crate) fn all_lines(&mut self) -> Vec<Value> {
        self.catch_up();
        self.heard.clone()
    }

    /// The last status of a step.
    pub(crate) fn step(&mut self, key: &str) -> String {
        let lines = self.lines_of("step");
        let last = lines.iter().rfind(|line| line["key"] == key && line["status"].is_string());
        last.unwrap_or_else(|| panic!("no step {key}"))["status"].as_str().unwrap().to_owned()
    }

    /// Whether an activity has these words.
    pub(crate) fn says(&mut self, words: &str) -> bool {
        self.lines_of("activity").iter().any(|line| line["message"].as_str().unwrap().contains(words))
    }

    pub(crate) fn workspace_file(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.workspace.join(path)).unwrap()
    }

    /// What was printed on standard error, once the agent has left.
    pub(crate) fn stderr(&mut self) -> String {
        if let Some(errors) = self.errors.take() {
            self.stderr = errors.join().unwrap();
        }
        self.stderr.clone()
    }

    /// Both streams, once the agent has left.
    pub(crate) fn everything_printed(&mut self) -> String {
        self.exit_code();
        let stderr = self.stderr();
        format!("{}{stderr}", self.raw)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn secret() -> Value {
    json!({"username": USERNAME, "password": PASSWORD})
}

fn start(input: &Value, secret: &Value, checkpoint: Option<&Value>) -> Value {
    let mut start = json!({
        "type": "start", "mission": an_id(), "title": "Retrieve", "incarnation": 1, "input": input, "secret": secret,
    });
    if let Some(checkpoint) = checkpoint {
        start["incarnation"] = json!(2);
        start["checkpoint"] = checkpoint.clone();
    }
    start
}

/// A fresh id.
pub(crate) fn an_id() -> String {
    flightdeck_protocol::MissionId::fresh().to_string()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
