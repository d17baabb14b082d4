//! An event in words, on one line.

use flightdeck_protocol::{
    Event,
    model::{ActivityType, Mission, MissionStatus, StepStatus},
};

use super::style::Style;
use crate::cli::text::{size, span};

/// What `event` says, in words and without anything of it that is long. `mission` knows the titles of its steps.
pub(super) fn describe(event: &Event, mission: Option<&Mission>) -> String {
    let title = |step| {
        let found = mission.and_then(|mission| mission.plan.iter().find(|one| one.id == step));
        found.map_or_else(|| format!("{step}"), |step| format!("{:?}", step.title))
    };
    let colon = |text: &Option<String>| text.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    match event {
        Event::MissionCreated { title, agent, .. } => {
            let agent = agent.as_ref().map(|agent| format!(" for {agent}")).unwrap_or_default();
            format!("mission created{agent}: {title}")
        }
        Event::MissionUpdated { title, mission_type, priority, input, estimated_at } => {
            let named = [
                ("title", title.is_some()),
                ("type", mission_type.is_some()),
                ("priority", priority.is_some()),
                ("input", input.is_some()),
                ("estimate", estimated_at.is_some()),
            ];
            let changed: Vec<&str> = named.iter().filter(|(_, changed)| *changed).map(|(name, _)| *name).collect();
            format!("mission updated: {}", changed.join(", "))
        }
        Event::StatusChanged { from, to, reason, .. } => {
            format!("status changed from {} to {}{}", from.name(), to.name(), colon(reason))
        }
        Event::MissionDeleted => "mission deleted".to_owned(),
        Event::ProgressReported { percent } => format!("progress reported: {percent}%"),
        Event::StepAdded { title, status, .. } => format!("step added, {}: {title}", step_status(*status)),
        Event::StepUpdated { step, status, result, title: new_title, assignee } => {
            let status = status.map(|status| format!(" is {}", step_status(status))).unwrap_or_default();
            let new_title = new_title.as_ref().map(|title| format!(" is now called {title:?}")).unwrap_or_default();
            let assignee = assignee.as_ref().map(|who| format!(" is for {who}")).unwrap_or_default();
            format!("step {}{status}{new_title}{assignee}{}", title(*step), colon(result))
        }
        Event::StepMoved { step, .. } => format!("step {} moved", title(*step)),
        Event::StepRemoved { step } => format!("step {} removed", title(*step)),
        Event::ActivityLogged { activity_type, message, .. } => format!("{}: {message}", activity_name(*activity_type)),
        Event::MessageSent { text, .. } => format!("says: {text}"),
        Event::DocumentDelivered { name, version, media_type, size: bytes, sha256, .. } => {
            let short: String = sha256.chars().take(12).collect();
            format!("document delivered: {name} (version {version}, {media_type}, {}, sha256 {short})", size(*bytes))
        }
        Event::ApprovalRequested { key, prompt, options, .. } => {
            let options: Vec<&str> = options.iter().map(|option| option.id.as_str()).collect();
            let options = if options.is_empty() { String::new() } else { format!(" [{}]", options.join(", ")) };
            format!("asks ({key}): {prompt}{options}")
        }
        Event::ApprovalAnswered { approval, option, text } => {
            let asked = mission.and_then(|mission| mission.approvals.iter().find(|one| one.id == *approval));
            let key = asked.map_or_else(|| approval.to_string(), |asked| asked.key.clone());
            let option = option.as_ref().map(|option| format!(" {option}")).unwrap_or_default();
            format!("answers ({key}){option}{}", colon(text))
        }
        Event::ApprovalWithdrawn { approval } => format!("question withdrawn: {approval}"),
        Event::UsageReported { input_tokens, output_tokens, cost_micros } => {
            let (dollars, micros) = (cost_micros / 1_000_000, cost_micros % 1_000_000);
            format!("usage reported: {input_tokens} tokens in, {output_tokens} out, ${dollars}.{micros:06}")
        }
        Event::AgentStarted { incarnation } => format!("agent started (run {incarnation})"),
        Event::AgentExited { incarnation, outcome, restart_in_ms, .. } => {
            let again = restart_in_ms.map(|wait| format!("; again in {}", short_wait(wait))).unwrap_or_default();
            format!("agent ended (run {incarnation}): {outcome}{again}")
        }
        Event::CheckpointSaved { .. } => "checkpoint saved".to_owned(),
    }
}

/// What the line of an event looks like in the feed; `None` for what is shown elsewhere.
pub(super) fn tone(event: &Event) -> Option<Style> {
    Some(match event {
        Event::ActivityLogged { activity_type, .. } => activity_style(*activity_type),
        Event::MessageSent { .. } | Event::ApprovalRequested { .. } | Event::ApprovalAnswered { .. } => Style::Said,
        Event::StatusChanged { to: MissionStatus::Failed, .. } => Style::Bad,
        Event::StatusChanged { to: MissionStatus::Completed, .. } => Style::Good,
        Event::StatusChanged { .. } | Event::MissionCreated { .. } | Event::MissionUpdated { .. } => Style::Bold,
        Event::DocumentDelivered { .. } => Style::Good,
        Event::AgentStarted { .. } => Style::Dim,
        Event::AgentExited { .. } => Style::Odd,
        Event::MissionDeleted => Style::Bad,
        Event::ProgressReported { .. }
        | Event::StepAdded { .. }
        | Event::StepUpdated { .. }
        | Event::StepMoved { .. }
        | Event::StepRemoved { .. }
        | Event::ApprovalWithdrawn { .. }
        | Event::UsageReported { .. }
        | Event::CheckpointSaved { .. } => return None,
    })
}

/// The style of an activity.
pub(super) fn activity_style(activity: ActivityType) -> Style {
    match activity {
        ActivityType::Info => Style::Plain,
        ActivityType::Success => Style::Good,
        ActivityType::Warning => Style::Odd,
        ActivityType::Error => Style::Bad,
        ActivityType::Log => Style::Dim,
        ActivityType::Text => Style::Said,
    }
}

fn activity_name(activity: ActivityType) -> &'static str {
    match activity {
        ActivityType::Info => "info",
        ActivityType::Success => "success",
        ActivityType::Warning => "warning",
        ActivityType::Error => "error",
        ActivityType::Log => "log",
        ActivityType::Text => "text",
    }
}

/// The mark and the style of a step.
pub(super) fn mark(status: StepStatus) -> (&'static str, Style) {
    match status {
        StepStatus::Pending => ("○", Style::Plain),
        StepStatus::Running => ("▶", Style::Busy),
        StepStatus::Waiting => ("▷", Style::Odd),
        StepStatus::Completed => ("✓", Style::Good),
        StepStatus::Failed => ("✗", Style::Bad),
        StepStatus::Skipped => ("–", Style::Dim),
        StepStatus::Unknown => ("?", Style::Odd),
    }
}

fn step_status(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Pending => "pending",
        StepStatus::Running => "running",
        StepStatus::Waiting => "waiting",
        StepStatus::Completed => "completed",
        StepStatus::Failed => "failed",
        StepStatus::Skipped => "skipped",
        StepStatus::Unknown => "unknown",
    }
}

fn short_wait(millis: u64) -> String {
    if millis < 1000 { format!("{millis}ms") } else { span(i64::try_from(millis).unwrap_or(i64::MAX)) }
}
