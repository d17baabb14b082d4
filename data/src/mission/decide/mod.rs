//! `decide`: from a state and a command to events, or to a refusal. Pure.

mod agent;
mod content;
mod lifecycle;
mod plan;
#[cfg(test)]
mod tests;

use flightdeck_protocol::{Code, Event, Fault, Timestamp, model::Author};
use uuid::Uuid;

use super::{Command, Effect, State};

/// What a decision may depend on beside the state and the command.
#[derive(Clone, Debug)]
pub struct Context {
    /// When it is decided.
    pub at: Timestamp,
    /// Who asks.
    pub by: Author,
    /// A fresh id, for what the command makes.
    pub id: Uuid,
    /// When an agent that ends by itself is started again.
    pub restart: RestartPolicy,
}

/// When an agent that ends by itself is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// How often in a row, without it getting anywhere, before the mission fails.
    pub limit: u32,
    /// The pause before the first restart, in milliseconds; each further one doubles it.
    pub base_ms: u64,
    /// The longest pause, in milliseconds.
    pub max_ms: u64,
}

impl RestartPolicy {
    /// The pause after crash number `crash`, from 0; never 0 itself.
    pub fn pause_ms(&self, crash: u32) -> u64 {
        self.base_ms.saturating_mul(1_u64.checked_shl(crash.min(32)).unwrap_or(u64::MAX)).min(self.max_ms).max(1)
    }
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// What happened, in order. May be nothing: the command changed nothing.
    pub events: Vec<Event>,
    /// What was made, if something was.
    pub made: Option<Uuid>,
    /// What is to be done even though no event says so.
    pub effects: Vec<Effect>,
}

impl Decision {
    fn events(events: Vec<Event>) -> Self {
        Self { events, ..Self::default() }
    }

    fn one(event: Event) -> Self {
        Self::events(vec![event])
    }

    fn making(id: Uuid, event: Event) -> Self {
        Self { events: vec![event], made: Some(id), effects: Vec::new() }
    }
}

/// Decides what follows from `command` for a mission in `state`.
///
/// # Errors
/// A refusal with a stable code and a sentence; then nothing is to change.
pub fn decide(state: &State, command: &Command, context: &Context) -> Result<Decision, Fault> {
    if let Command::Create(organization, new) = command {
        return lifecycle::create(state, *organization, new);
    }
    let Some(mission) = state.living() else {
        return Err(Fault::new(Code::MissionNotFound, "there is no such mission; list yours with mission.list"));
    };
    match command {
        Command::Create(..) => unreachable!("handled above"),
        Command::Update(update) => lifecycle::update(mission, update),
        Command::Delete => lifecycle::delete(mission),
        Command::Start => lifecycle::start(mission),
        Command::Pause => lifecycle::pause(mission),
        Command::Resume => lifecycle::resume(mission),
        Command::Complete(result) => lifecycle::complete(mission, result.as_ref(), context),
        Command::Cancel(reason) => lifecycle::cancel(mission, reason.as_deref(), context),
        Command::AddStep(add) => plan::add(mission, add, context),
        Command::UpdateStep(update) => plan::update(mission, update),
        Command::MoveStep(to) => plan::relocate(mission, to),
        Command::RemoveStep(step) => plan::remove(mission, step.step),
        Command::LogActivity(add) => content::log_activity(mission, add, context),
        Command::SendMessage(send) => content::send_message(state, mission, send, context),
        Command::AnswerApproval(reply) => content::answer_approval(mission, reply),
        Command::Agent(command) => agent::decide(state, mission, command, context),
    }
}
