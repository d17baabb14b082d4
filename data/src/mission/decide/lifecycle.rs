//! Decisions about a mission's life: made, changed, started, held, ended, deleted.

use flightdeck_protocol::{
    Code, Event, Fault, OrganizationId,
    model::{AgentState, ApprovalStatus, Mission, MissionStatus},
    operations::{MissionNew, MissionUpdate},
};
use serde_json::Value;

use super::{Context, Decision};
use crate::mission::{
    State, limits,
    refusal::{check_json, check_name, check_text, illegal},
};

pub(super) fn create(state: &State, organization: OrganizationId, new: &MissionNew) -> Result<Decision, Fault> {
    if state.mission.is_some() {
        return Err(Fault::new(Code::NameTaken, "there is a mission with this id already"));
    }
    check_text("title", &new.title, limits::TITLE)?;
    let names = [("type", &new.mission_type), ("agent", &new.agent), ("template", &new.template)];
    for (field, name) in names {
        name.as_deref().map_or(Ok(()), |name| check_name(field, name))?;
    }
    let input = new.input.clone().unwrap_or_else(|| Value::Object(Default::default()));
    check_input(&input)?;
    let created = Event::MissionCreated {
        organization,
        title: new.title.clone(),
        mission_type: new.mission_type.clone().unwrap_or_else(|| "general".to_owned()),
        priority: new.priority,
        agent: new.agent.clone(),
        template: new.template.clone(),
        input,
        estimated_at: new.estimated_at,
    };
    Ok(Decision::making(state.id.0, created))
}

pub(super) fn update(mission: &Mission, update: &MissionUpdate) -> Result<Decision, Fault> {
    if mission.status.is_ended() {
        return Err(illegal("changed", mission.status, "make a new one"));
    }
    if let Some(title) = &update.title {
        check_text("title", title, limits::TITLE)?;
    }
    if let Some(mission_type) = &update.mission_type {
        check_name("type", mission_type)?;
    }
    if let Some(input) = &update.input {
        check_input(input)?;
    }
    let unchanged = MissionUpdate {
        mission: update.mission,
        title: None,
        mission_type: None,
        priority: None,
        input: None,
        estimated_at: None,
    };
    if *update == unchanged {
        return Ok(Decision::default());
    }
    Ok(Decision::one(Event::MissionUpdated {
        title: update.title.clone(),
        mission_type: update.mission_type.clone(),
        priority: update.priority,
        input: update.input.clone(),
        estimated_at: update.estimated_at,
    }))
}

pub(super) fn delete(mission: &Mission) -> Result<Decision, Fault> {
    if mission.status.is_active() || mission.status == MissionStatus::Paused {
        return Err(illegal("deleted", mission.status, "cancel it first"));
    }
    Ok(Decision::one(Event::MissionDeleted))
}

pub(super) fn start(mission: &Mission) -> Result<Decision, Fault> {
    if mission.status != MissionStatus::Pending {
        return Err(illegal(
            "started",
            mission.status,
            "only one that is pending can; to repeat the work, make a new one",
        ));
    }
    Ok(Decision::one(status(mission, going(mission), None)))
}

pub(super) fn pause(mission: &Mission) -> Result<Decision, Fault> {
    if !mission.status.is_active() {
        return Err(illegal("paused", mission.status, "only one that is under way can"));
    }
    Ok(Decision::one(status(mission, MissionStatus::Paused, None)))
}

pub(super) fn resume(mission: &Mission) -> Result<Decision, Fault> {
    if mission.status != MissionStatus::Paused {
        return Err(illegal("resumed", mission.status, "only one that is paused can"));
    }
    Ok(Decision::one(status(mission, going(mission), None)))
}

pub(super) fn complete(mission: &Mission, result: Option<&Value>, context: &Context) -> Result<Decision, Fault> {
    if mission.status.is_ended() {
        return Err(illegal("completed", mission.status, "it has ended"));
    }
    if let Some(result) = result {
        check_json("result", result, limits::INPUT_BYTES)?;
    }
    let reason = format!("completed by {}", context.by.name());
    Ok(Decision::events(ending(mission, MissionStatus::Completed, Some(reason), result.cloned())))
}

pub(super) fn cancel(mission: &Mission, reason: Option<&str>, context: &Context) -> Result<Decision, Fault> {
    if mission.status.is_ended() {
        return Err(illegal("cancelled", mission.status, "it has ended"));
    }
    let reason = match reason {
        Some(reason) => {
            check_text("reason", reason, limits::SENTENCE)?;
            reason.to_owned()
        }
        None => format!("cancelled by {}", context.by.name()),
    };
    Ok(Decision::events(ending(mission, MissionStatus::Cancelled, Some(reason), None)))
}

/// The mission moves on to `to`.
pub(super) fn status(mission: &Mission, to: MissionStatus, reason: Option<String>) -> Event {
    Event::StatusChanged { from: mission.status, to, reason, result: None }
}

/// The mission ends as `to`: what waited for an answer waits no longer.
pub(super) fn ending(
    mission: &Mission,
    to: MissionStatus,
    reason: Option<String>,
    result: Option<Value>,
) -> Vec<Event> {
    let pending = mission.approvals.iter().filter(|asked| asked.status == ApprovalStatus::Pending);
    let mut events: Vec<Event> = pending.map(|asked| Event::ApprovalWithdrawn { approval: asked.id }).collect();
    events.push(Event::StatusChanged { from: mission.status, to, reason, result });
    events
}

/// Where a mission is that is under way: its agent waits for a place, or for a
/// person, or works.
pub(super) fn going(mission: &Mission) -> MissionStatus {
    let agent_runs = mission.agent.as_ref().is_none_or(|agent| agent.state == AgentState::Running);
    let asked = mission.approvals.iter().any(|asked| asked.status == ApprovalStatus::Pending);
    match (agent_runs, asked) {
        (false, _) => MissionStatus::Queued,
        (true, true) => MissionStatus::Waiting,
        (true, false) => MissionStatus::Running,
    }
}

fn check_input(input: &Value) -> Result<(), Fault> {
    if !input.is_object() {
        return Err(Fault::invalid("input", "input must be a JSON object"));
    }
    check_json("input", input, limits::INPUT_BYTES)
}
