//! What the agent prints: lines for the server, with nothing secret in them.

use std::{
    cell::{Cell, RefCell},
    io::Write,
};

use flightdeck_protocol::{
    lines::AgentLine,
    model::{ActivityType, StepStatus},
};
use serde_json::Value;
use tokio::sync::watch;

use super::{checkpoint::Checkpoint, error::Error, secret::Secret};

/// What stands in place of something secret.
const BLOT: &str = "[hidden]";

/// The agent's voice, and what must be known to answer the server at any moment.
pub(super) struct Report {
    hidden: Vec<String>,
    doing: RefCell<String>,
    /// How many documents are delivered, and how many are wanted.
    counts: Cell<(usize, usize)>,
    checkpoint: RefCell<Checkpoint>,
    paused: watch::Sender<bool>,
    refused_document: RefCell<Option<String>>,
}

impl Report {
    /// A voice that says nothing of `secret`.
    pub(super) fn new(secret: &Secret) -> Self {
        Self {
            hidden: secret.words(),
            doing: RefCell::new("getting ready".to_owned()),
            counts: Cell::new((0, 0)),
            checkpoint: RefCell::default(),
            paused: watch::Sender::new(false),
            refused_document: RefCell::new(None),
        }
    }

    /// Prints `line`. The words in it must be clean.
    pub(super) fn say(&self, line: AgentLine) -> Result<(), Error> {
        let closed = |error: std::io::Error| Error::Trouble(format!("standard output is closed: {error}"));
        let mut bytes = serde_json::to_vec(&line).map_err(|error| Error::Trouble(format!("cannot encode: {error}")))?;
        bytes.push(b'\n');
        let mut out = std::io::stdout().lock();
        out.write_all(&bytes).and_then(|()| out.flush()).map_err(closed)
    }

    /// Adds a step to the plan, to be done later.
    pub(super) fn plan(&self, key: &str, title: &str, parent: Option<&str>) -> Result<(), Error> {
        self.say(AgentLine::Step {
            key: key.to_owned(),
            title: Some(self.clean(title)),
            status: Some(StepStatus::Pending),
            parent: parent.map(ToOwned::to_owned),
            result: None,
        })
    }

    /// Says that a step is begun, and that this is what the agent is doing now.
    pub(super) fn begin(&self, key: &str, doing: String) -> Result<(), Error> {
        self.doing.replace(doing);
        self.step(key, StepStatus::Running, None)
    }

    /// Says that a step is done, and what came of it.
    pub(super) fn complete(&self, key: &str, result: &str) -> Result<(), Error> {
        self.step(key, StepStatus::Completed, Some(result))
    }

    /// Says how a step stands.
    pub(super) fn step(&self, key: &str, status: StepStatus, result: Option<&str>) -> Result<(), Error> {
        self.say(AgentLine::Step {
            key: key.to_owned(),
            title: None,
            status: Some(status),
            parent: None,
            result: result.map(|text| self.clean(text)),
        })
    }

    /// Logs something that happened at a step.
    pub(super) fn log(
        &self,
        activity_type: ActivityType,
        step: Option<&str>,
        message: &str,
        details: Option<Value>,
    ) -> Result<(), Error> {
        self.say(AgentLine::Activity {
            activity_type,
            message: self.clean(message),
            details: details.map(|details| self.clean_value(details)),
            step: step.map(ToOwned::to_owned),
        })
    }

    /// Says that the mission cannot be achieved.
    pub(super) fn fail(&self, reason: &str) -> Result<(), Error> {
        self.say(AgentLine::Failed { reason: self.clean(reason) })
    }

    /// Tells a person what the agent is doing now.
    pub(super) fn answer(&self) -> Result<(), Error> {
        let (delivered, wanted) = self.counts.get();
        let held = if *self.paused.borrow() { " I hold before the next request until I am resumed." } else { "" };
        let text = format!("I am {}. {delivered} of {wanted} documents are delivered.{held}", self.doing.borrow());
        self.say(AgentLine::Text { text: self.clean(&text), stream: None })
    }

    /// Sets how far the agent is, and prints it.
    pub(super) fn checkpoint(&self, checkpoint: &Checkpoint, wanted: usize) -> Result<(), Error> {
        self.resume_from(checkpoint, wanted);
        self.save()
    }

    /// Sets how far the agent is.
    pub(super) fn resume_from(&self, checkpoint: &Checkpoint, wanted: usize) {
        self.counts.set((checkpoint.delivered().len(), wanted));
        self.checkpoint.replace(checkpoint.clone());
    }

    /// Prints how far the agent is.
    pub(super) fn save(&self) -> Result<(), Error> {
        self.say(AgentLine::Checkpoint { data: self.checkpoint.borrow().data() })
    }

    /// Holds the agent before its next request, or lets it go on.
    pub(super) fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    /// Waits until the agent may send a request.
    pub(super) async fn go_ahead(&self) {
        // The sender lives in `self`, so that the wait cannot fail.
        let _ = self.paused.subscribe().wait_for(|paused| !paused).await;
    }

    /// Remembers that the server did not take a document.
    pub(super) fn remember_refusal(&self, reason: String) {
        self.refused_document.borrow_mut().get_or_insert(reason);
    }

    /// Why the server did not take a document, if that happened.
    pub(super) fn refused_document(&self) -> Option<String> {
        self.refused_document.borrow().clone()
    }

    /// `text` without anything secret.
    pub(super) fn clean(&self, text: &str) -> String {
        self.hidden.iter().fold(text.to_owned(), |text, word| text.replace(word.as_str(), BLOT))
    }

    fn clean_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.clean(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.clean_value(value)).collect(),
            Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, self.clean_value(value))).collect(),
            other => other,
        }
    }
}
