//! Decisions about the agent: its runs, what it prints, how it ends.

use flightdeck_protocol::{
    Code, Event, Fault, StepId,
    lines::AgentLine,
    model::{
        ActivityType, AgentState, ApprovalOption, ApprovalStatus, DocumentStatus, Mission, MissionStatus, StepStatus,
    },
};
use serde_json::Value;

use super::{Context, Decision, content, lifecycle, plan};
use crate::mission::{
    AgentCommand, Delivered, State,
    effect::answer_line,
    limits,
    refusal::{check_json, check_name, check_optional_text, check_text},
};

pub(super) fn decide(
    state: &State,
    mission: &Mission,
    command: &AgentCommand,
    context: &Context,
) -> Result<Decision, Fault> {
    match command {
        AgentCommand::Begin => Ok(begin(mission)),
        AgentCommand::Say { incarnation, line } => {
            check_current(state, *incarnation)?;
            say(mission, line, context)
        }
        AgentCommand::Deliver { incarnation, delivered } => {
            check_current(state, *incarnation)?;
            deliver(mission, delivered, context)
        }
        AgentCommand::Exit { incarnation, outcome, stderr, by_itself } => {
            check_current(state, *incarnation)?;
            Ok(exit(
                state,
                mission,
                Ended { incarnation: *incarnation, outcome, stderr, by_itself: *by_itself },
                context,
            ))
        }
        AgentCommand::CannotRun { reason } if mission.status.is_active() => {
            Ok(Decision::events(lifecycle::ending(mission, MissionStatus::Failed, Some(reason.clone()), None)))
        }
        AgentCommand::CannotRun { .. } => Ok(Decision::default()),
    }
}

/// What a run prints that is not the current one any more counts for nothing.
fn check_current(state: &State, incarnation: u32) -> Result<(), Fault> {
    if state.is_current(incarnation) {
        return Ok(());
    }
    Err(Fault::new(Code::IllegalTransition, format!("run {incarnation} of the agent is over; its output is not taken")))
}

fn begin(mission: &Mission) -> Decision {
    match &mission.agent {
        Some(agent) if mission.status.is_active() && agent.state != AgentState::Running => {
            let mut events = vec![Event::AgentStarted { incarnation: agent.incarnation + 1 }];
            let asked = mission.approvals.iter().any(|asked| asked.status == ApprovalStatus::Pending);
            let to = if asked { MissionStatus::Waiting } else { MissionStatus::Running };
            if mission.status != to {
                events.push(lifecycle::status(mission, to, None));
            }
            Decision::events(events)
        }
        _ => Decision::default(),
    }
}

fn say(mission: &Mission, line: &AgentLine, context: &Context) -> Result<Decision, Fault> {
    match line {
        AgentLine::Step { key, title, status, parent, result } => {
            let report = StepReport { key, title, status: *status, parent: parent.as_deref(), result };
            report_step(mission, &report, context)
        }
        AgentLine::Activity { activity_type, message, details, step } => {
            let step = step.as_deref().map(|key| step_by_key(mission, key)).transpose()?;
            log(mission, *activity_type, message, details.as_ref(), step, context)
        }
        AgentLine::Text { text, stream } => {
            check_text("text", text, limits::TEXT)?;
            if let Some(stream) = stream {
                check_name("stream", stream)?;
            }
            Ok(Decision::making(
                context.id,
                Event::ActivityLogged {
                    activity: context.id.into(),
                    activity_type: ActivityType::Text,
                    message: text.clone(),
                    details: None,
                    step: None,
                    stream: stream.clone(),
                },
            ))
        }
        // Never stored: it has gone to those who watch by another way.
        AgentLine::Delta { .. } => Ok(Decision::default()),
        AgentLine::Progress { percent } => {
            if *percent > 100 {
                return Err(Fault::invalid("percent", "percent is a whole number from 0 to 100"));
            }
            if mission.progress_reported && mission.progress == *percent {
                return Ok(Decision::default());
            }
            Ok(Decision::one(Event::ProgressReported { percent: *percent }))
        }
        AgentLine::Document { .. } => Err(Fault::invalid("path", "the file could not be read from the workspace")),
        AgentLine::Ask { key, prompt, options } => ask(mission, key, prompt, options, context),
        AgentLine::Checkpoint { data } => {
            check_json("data", data, limits::CHECKPOINT_BYTES)?;
            Ok(Decision::one(Event::CheckpointSaved { data: data.clone() }))
        }
        AgentLine::Usage { input_tokens, output_tokens, cost_micros } => Ok(Decision::one(Event::UsageReported {
            input_tokens: *input_tokens,
            output_tokens: *output_tokens,
            cost_micros: *cost_micros,
        })),
        AgentLine::Done { result } => {
            if let Some(result) = result {
                check_json("result", result, limits::INPUT_BYTES)?;
            }
            finish(mission, MissionStatus::Completed, None, result.clone())
        }
        AgentLine::Failed { reason } => {
            check_text("reason", reason, limits::SENTENCE)?;
            finish(mission, MissionStatus::Failed, Some(reason.clone()), None)
        }
    }
}

struct StepReport<'a> {
    key: &'a str,
    title: &'a Option<String>,
    status: Option<StepStatus>,
    parent: Option<&'a str>,
    result: &'a Option<String>,
}

fn report_step(mission: &Mission, report: &StepReport<'_>, context: &Context) -> Result<Decision, Fault> {
    check_text("key", report.key, limits::STEP_TITLE)?;
    if let Some(title) = report.title {
        check_text("title", title, limits::STEP_TITLE)?;
    }
    if let Some(result) = report.result {
        check_optional_text("result", result, limits::SENTENCE)?;
    }
    if mission.status.is_ended() {
        return Ok(Decision::default());
    }
    if let Some(step) = mission.plan.iter().find(|step| step.key.as_deref() == Some(report.key)) {
        return Ok(plan::change(step, report.title.clone(), report.status, None, report.result.clone()));
    }
    let Some(title) = report.title else {
        let message = format!("there is no step {:?} yet; give it a title", report.key);
        return Err(Fault::invalid("title", message));
    };
    let parent = report.parent.map(|key| step_by_key(mission, key)).transpose()?;
    let event = plan::new_step(
        mission,
        context,
        plan::NewStep {
            parent,
            position: None,
            key: Some(report.key.to_owned()),
            title,
            status: report.status.unwrap_or(StepStatus::Pending),
            assignee: None,
            result: report.result.clone(),
        },
    )?;
    Ok(Decision::making(context.id, event))
}

fn step_by_key(mission: &Mission, key: &str) -> Result<StepId, Fault> {
    mission.plan.iter().find(|step| step.key.as_deref() == Some(key)).map(|step| step.id).ok_or_else(|| {
        Fault::new(Code::StepNotFound, format!("there is no step {key:?}; report it with a title first")).on("step")
    })
}

fn log(
    mission: &Mission,
    activity_type: ActivityType,
    message: &str,
    details: Option<&Value>,
    step: Option<StepId>,
    context: &Context,
) -> Result<Decision, Fault> {
    let add = flightdeck_protocol::operations::ActivityAdd {
        mission: mission.id,
        activity_type,
        message: message.to_owned(),
        details: details.cloned(),
        step,
    };
    content::log_activity(mission, &add, context)
}

fn ask(
    mission: &Mission,
    key: &str,
    prompt: &str,
    options: &[ApprovalOption],
    context: &Context,
) -> Result<Decision, Fault> {
    check_name("key", key)?;
    check_text("prompt", prompt, limits::TEXT)?;
    for option in options {
        check_name("options", &option.id)?;
        check_text("options", &option.label, limits::STEP_TITLE)?;
    }
    if let Some(asked) = mission.approvals.iter().find(|asked| asked.key == key) {
        // A later run of the agent asks again: it gets the answer again, if there is one.
        return Ok(Decision { effects: answer_line(asked).into_iter().collect(), ..Decision::default() });
    }
    if mission.status.is_ended() {
        // Its process has not heard yet.
        return Ok(Decision::default());
    }
    if mission.approvals.len() >= limits::APPROVALS || options.len() > limits::NAME {
        return Err(Fault::new(Code::LimitReached, format!("a mission can ask {} times at most", limits::APPROVALS)));
    }
    let mut events = vec![Event::ApprovalRequested {
        approval: context.id.into(),
        key: key.to_owned(),
        prompt: prompt.to_owned(),
        options: options.to_vec(),
    }];
    if mission.status == MissionStatus::Running {
        events.push(lifecycle::status(mission, MissionStatus::Waiting, None));
    }
    Ok(Decision { events, made: Some(context.id), effects: Vec::new() })
}

fn deliver(mission: &Mission, delivered: &Delivered, context: &Context) -> Result<Decision, Fault> {
    check_text("name", &delivered.name, limits::TITLE)?;
    if delivered.name.contains(['/', '\\', '\n', '\r', '\t']) || delivered.name.starts_with('.') {
        return Err(Fault::invalid("name", "a document's name has no folders and does not begin with a dot"));
    }
    if let Some(source) = &delivered.source {
        check_optional_text("source", source, limits::SENTENCE)?;
    }
    let known = mission.documents.iter().find(|known| known.name == delivered.name);
    if known.is_some_and(|known| known.sha256 == delivered.sha256) {
        return Ok(Decision::default());
    }
    if known.is_none() && mission.documents.len() >= limits::DOCUMENTS {
        let message = format!("a mission can have {} documents at most", limits::DOCUMENTS);
        return Err(Fault::new(Code::LimitReached, message));
    }
    let id = known.map_or(context.id, |known| known.id.0);
    Ok(Decision::making(
        id,
        Event::DocumentDelivered {
            document: id.into(),
            name: delivered.name.clone(),
            version: known.map_or(1, |known| known.version + 1),
            media_type: delivered.media_type.clone(),
            size: delivered.size,
            sha256: delivered.sha256.clone(),
            source: delivered.source.clone(),
            status: if delivered.verified { DocumentStatus::Verified } else { DocumentStatus::Received },
        },
    ))
}

fn finish(
    mission: &Mission,
    to: MissionStatus,
    reason: Option<String>,
    result: Option<Value>,
) -> Result<Decision, Fault> {
    if mission.status.is_ended() {
        return Ok(Decision::default());
    }
    Ok(Decision::events(lifecycle::ending(mission, to, reason, result)))
}

struct Ended<'a> {
    incarnation: u32,
    outcome: &'a str,
    stderr: &'a Option<String>,
    by_itself: bool,
}

/// The process is gone. What was being worked on is marked unknown; an agent
/// that is still needed is started again, until it has crashed too often.
fn exit(state: &State, mission: &Mission, ended: Ended<'_>, context: &Context) -> Decision {
    let exited = |restart_in_ms| Event::AgentExited {
        incarnation: ended.incarnation,
        outcome: ended.outcome.to_owned(),
        stderr: ended.stderr.clone(),
        restart_in_ms,
    };
    if mission.status.is_ended() {
        return Decision::one(exited(None));
    }
    let unknown = mission.plan.iter().filter(|step| step.status == StepStatus::Running && step.key.is_some());
    let unknown = unknown.map(|step| Event::StepUpdated {
        step: step.id,
        title: None,
        status: Some(StepStatus::Unknown),
        assignee: None,
        result: None,
    });
    let mut events: Vec<Event> = unknown.collect();
    if mission.status == MissionStatus::Paused {
        events.push(exited(None));
    } else if !ended.by_itself {
        events.push(exited(Some(0)));
    } else if state.crashes < context.restart.limit {
        events.push(exited(Some(context.restart.pause_ms(state.crashes))));
    } else {
        events.push(exited(None));
        let last_words =
            ended.stderr.as_deref().map(|stderr| format!("; its last words: {stderr}")).unwrap_or_default();
        let reason = format!(
            "the agent ended {} times in a row without getting anywhere; {}{last_words}",
            state.crashes + 1,
            ended.outcome
        );
        events.extend(lifecycle::ending(mission, MissionStatus::Failed, Some(reason), None));
    }
    Decision::events(events)
}
