//! Effects: what is to be done in the world once the events are on disk.

use flightdeck_protocol::{
    Event, EventFrame,
    lines::ServerLine,
    model::{AgentState, Approval, Author, MissionStatus},
};

use super::State;

/// Something to do. Carried out after durability, and never on replay.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Ask for a place for the agent to run, after so many milliseconds.
    QueueAgent {
        /// How long to wait before asking.
        after_ms: u64,
    },
    /// Start the process of run `incarnation`.
    LaunchAgent {
        /// Which run of the agent.
        incarnation: u32,
    },
    /// Write a line to the agent, if one runs.
    TellAgent(ServerLine),
    /// Tell the agent to hold still, and freeze it a little later.
    PauseAgent,
    /// Thaw the agent and tell it to go on.
    ResumeAgent,
    /// End the agent's process, or its wait for a place.
    StopAgent {
        /// Why, in a sentence.
        reason: String,
    },
}

/// Folds `frame` into `state` and says what follows from it in the world.
///
/// # Errors
/// As [`State::apply`].
pub fn follow(state: &mut State, frame: &EventFrame) -> Result<Vec<Effect>, String> {
    state.apply(frame)?;
    Ok(effects(frame, state))
}

fn effects(frame: &EventFrame, after: &State) -> Vec<Effect> {
    let EventFrame { event, by, .. } = frame;
    let Some(mission) = &after.mission else { return Vec::new() };
    let agent_runs = mission.agent.as_ref().is_some_and(|agent| agent.state == AgentState::Running);
    match event {
        Event::StatusChanged { from, to, reason, .. } => match (from, to) {
            (_, MissionStatus::Queued) => vec![Effect::QueueAgent { after_ms: 0 }],
            (_, MissionStatus::Paused) if agent_runs => vec![Effect::PauseAgent],
            (MissionStatus::Queued | MissionStatus::Running | MissionStatus::Waiting, MissionStatus::Paused) => {
                vec![Effect::StopAgent { reason: "the mission is paused".to_owned() }]
            }
            (MissionStatus::Paused, MissionStatus::Running | MissionStatus::Waiting) => vec![Effect::ResumeAgent],
            (_, to) if to.is_ended() => {
                let reason = reason.clone().unwrap_or_else(|| format!("the mission is {}", to.name()));
                vec![Effect::StopAgent { reason }]
            }
            _ => Vec::new(),
        },
        Event::AgentStarted { incarnation } => {
            let mut list = vec![Effect::LaunchAgent { incarnation: *incarnation }];
            list.extend(after.untold.iter().map(|message| {
                Effect::TellAgent(ServerLine::Message {
                    id: message.id,
                    from: message.by.name().to_owned(),
                    text: message.text.clone(),
                })
            }));
            list
        }
        Event::AgentExited { restart_in_ms: Some(after_ms), .. } => vec![Effect::QueueAgent { after_ms: *after_ms }],
        Event::MessageSent { message, text } if agent_runs && !matches!(by, Author::Agent { .. }) => {
            vec![Effect::TellAgent(ServerLine::Message {
                id: *message,
                from: by.name().to_owned(),
                text: text.clone(),
            })]
        }
        Event::ApprovalAnswered { approval, .. } if agent_runs => {
            mission.approvals.iter().filter(|asked| asked.id == *approval).filter_map(answer_line).collect()
        }
        _ => Vec::new(),
    }
}

/// What a mission needs that was just read from disk: an agent that was to run
/// before the server stopped is to run again.
pub fn effects_on_recovery(state: &State) -> Vec<Effect> {
    let Some(mission) = state.living() else { return Vec::new() };
    match &mission.agent {
        Some(agent) if mission.status.is_active() && agent.state != AgentState::Running => {
            vec![Effect::QueueAgent { after_ms: 0 }]
        }
        _ => Vec::new(),
    }
}

/// The line that tells an agent what was answered.
pub(super) fn answer_line(asked: &Approval) -> Option<Effect> {
    let answer = asked.answer.as_ref()?;
    Some(Effect::TellAgent(ServerLine::Answer {
        key: asked.key.clone(),
        option: answer.option.clone(),
        text: answer.text.clone(),
        by: answer.by.name().to_owned(),
    }))
}
