//! Decisions about what people put into a mission: activities, messages, answers.

use flightdeck_protocol::{
    Code, Event, Fault,
    model::{AgentState, ApprovalStatus, Mission, MissionStatus},
    operations::{ActivityAdd, ApprovalReply, MessageSend},
};

use super::{Context, Decision, lifecycle, plan};
use crate::mission::{
    State, limits,
    refusal::{check_json, check_text, illegal},
};

pub(super) fn log_activity(mission: &Mission, add: &ActivityAdd, context: &Context) -> Result<Decision, Fault> {
    check_text("message", &add.message, limits::SENTENCE)?;
    if let Some(details) = &add.details {
        check_json("details", details, limits::DETAILS_BYTES)?;
    }
    if let Some(step) = add.step {
        plan::find(mission, step, "step")?;
    }
    let event = Event::ActivityLogged {
        activity: context.id.into(),
        activity_type: add.activity_type,
        message: add.message.clone(),
        details: add.details.clone(),
        step: add.step,
        stream: None,
    };
    Ok(Decision::making(context.id, event))
}

pub(super) fn send_message(
    state: &State,
    mission: &Mission,
    send: &MessageSend,
    context: &Context,
) -> Result<Decision, Fault> {
    if mission.status.is_ended() {
        return Err(illegal("written to", mission.status, "nobody would read it"));
    }
    check_text("text", &send.text, limits::TEXT)?;
    let agent_runs = mission.agent.as_ref().is_none_or(|agent| agent.state == AgentState::Running);
    if !agent_runs && state.untold.len() >= limits::UNTOLD_MESSAGES {
        let message = format!(
            "{} messages wait for the agent already; start or resume the mission first",
            limits::UNTOLD_MESSAGES
        );
        return Err(Fault::new(Code::LimitReached, message));
    }
    Ok(Decision::making(context.id, Event::MessageSent { message: context.id.into(), text: send.text.clone() }))
}

pub(super) fn answer_approval(mission: &Mission, reply: &ApprovalReply) -> Result<Decision, Fault> {
    let asked = mission.approvals.iter().find(|asked| asked.id == reply.approval).ok_or_else(|| {
        Fault::new(
            Code::ApprovalNotFound,
            "the mission has asked no such thing; look at its approvals with mission.get",
        )
        .on("approval")
    })?;
    match asked.status {
        ApprovalStatus::Pending => {}
        ApprovalStatus::Answered => {
            let who = asked.answer.as_ref().map_or("somebody", |answer| answer.by.name());
            return Err(Fault::new(Code::AlreadyAnswered, format!("{who} has answered this already")));
        }
        ApprovalStatus::Withdrawn => {
            return Err(Fault::new(Code::AlreadyAnswered, "this needs no answer any more: the mission has ended"));
        }
    }
    if let Some(text) = &reply.text {
        check_text("text", text, limits::TEXT)?;
    }
    if asked.options.is_empty() {
        if reply.option.is_some() {
            return Err(Fault::invalid("option", "there is nothing to choose here; answer with text"));
        }
        if reply.text.is_none() {
            return Err(Fault::invalid("text", "the answer is missing; give it as text"));
        }
    } else if !asked.options.iter().any(|option| Some(&option.id) == reply.option.as_ref()) {
        let known: Vec<&str> = asked.options.iter().map(|option| option.id.as_str()).collect();
        return Err(Fault::invalid("option", format!("choose one of: {}", known.join(", "))));
    }
    let answered =
        Event::ApprovalAnswered { approval: asked.id, option: reply.option.clone(), text: reply.text.clone() };
    let last = mission.approvals.iter().filter(|asked| asked.status == ApprovalStatus::Pending).count() == 1;
    let mut events = vec![answered];
    if last && mission.status == MissionStatus::Waiting {
        events.push(lifecycle::status(mission, MissionStatus::Running, None));
    }
    Ok(Decision::events(events))
}
