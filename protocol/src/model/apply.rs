//! The fold: how an event changes a mission. The same for the server and for its clients.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    Activity, AgentState, AgentView, Approval, ApprovalAnswer, ApprovalStatus, Document, Message, Mission,
    MissionStatus, Step, StepStatus, Usage,
};
use crate::{
    event::{Event, EventFrame},
    ids::{MissionId, StepId},
    notification::Span,
};

/// How many of the newest activities a mission carries with it.
pub const RECENT_ACTIVITY: usize = 50;
/// How many of the newest messages a mission carries with it.
pub const RECENT_MESSAGES: usize = 50;

impl Mission {
    /// The mission `id` after its first event; `None` where that is not `MissionCreated`.
    pub fn created(id: MissionId, frame: &EventFrame) -> Option<Self> {
        let Event::MissionCreated { organization, title, mission_type, priority, agent, template, input, estimated_at } =
            &frame.event
        else {
            return None;
        };
        let agent = agent.as_ref().map(|kind| AgentView {
            kind: kind.clone(),
            state: AgentState::Stopped,
            incarnation: 0,
            checkpoint_at: None,
        });
        Some(Self {
            id,
            organization: *organization,
            title: title.clone(),
            mission_type: mission_type.clone(),
            status: MissionStatus::Pending,
            status_reason: None,
            priority: *priority,
            progress: 0,
            progress_reported: false,
            owner: frame.by.clone(),
            template: template.clone(),
            input: input.clone(),
            result: None,
            agent,
            created_at: frame.at,
            started_at: None,
            completed_at: None,
            estimated_at: *estimated_at,
            updated_at: frame.at,
            seq: frame.seq,
            plan: Vec::new(),
            activity: Vec::new(),
            activity_count: 0,
            messages: Vec::new(),
            documents: Vec::new(),
            approvals: Vec::new(),
            usage: Usage::default(),
        })
    }

    /// Carries out what `frame` says happened. An event about something that
    /// the mission does not have changes nothing but the position.
    pub fn apply(&mut self, frame: &EventFrame) {
        self.seq = frame.seq;
        self.updated_at = frame.at;
        match &frame.event {
            Event::MissionCreated { .. } | Event::MissionDeleted => {}
            Event::MissionUpdated { title, mission_type, priority, input, estimated_at } => {
                set(&mut self.title, title);
                set(&mut self.mission_type, mission_type);
                set(&mut self.priority, priority);
                set(&mut self.input, input);
                self.estimated_at = estimated_at.or(self.estimated_at);
            }
            Event::StatusChanged { to, reason, result, .. } => self.move_on(*to, reason, result, frame),
            Event::ProgressReported { percent } => {
                self.progress = (*percent).min(100);
                self.progress_reported = true;
            }
            Event::StepAdded { .. }
            | Event::StepUpdated { .. }
            | Event::StepMoved { .. }
            | Event::StepRemoved { .. } => self.change_plan(frame),
            Event::ActivityLogged { activity, activity_type, message, details, step, stream: _ } => {
                self.activity_count += 1;
                push_recent(&mut self.activity, RECENT_ACTIVITY, || Activity {
                    id: *activity,
                    seq: frame.seq,
                    at: frame.at,
                    by: frame.by.clone(),
                    activity_type: *activity_type,
                    message: message.clone(),
                    details: details.clone(),
                    step: *step,
                });
            }
            Event::MessageSent { message, text } => push_recent(&mut self.messages, RECENT_MESSAGES, || Message {
                id: *message,
                seq: frame.seq,
                at: frame.at,
                by: frame.by.clone(),
                text: text.clone(),
            }),
            Event::DocumentDelivered { document, name, version, media_type, size, sha256, source, status } => {
                let delivered = Document {
                    id: *document,
                    mission: self.id,
                    name: name.clone(),
                    version: *version,
                    media_type: media_type.clone(),
                    size: *size,
                    sha256: sha256.clone(),
                    source: source.clone(),
                    status: *status,
                    delivered_at: frame.at,
                    delivered_by: frame.by.clone(),
                };
                match self.documents.iter_mut().find(|known| known.id == *document) {
                    Some(known) => *known = delivered,
                    None => self.documents.push(delivered),
                }
            }
            Event::ApprovalRequested { approval, key, prompt, options } => self.approvals.push(Approval {
                id: *approval,
                key: key.clone(),
                prompt: prompt.clone(),
                options: options.clone(),
                status: ApprovalStatus::Pending,
                asked_at: frame.at,
                asked_by: frame.by.clone(),
                answer: None,
            }),
            Event::ApprovalAnswered { approval, option, text } => {
                if let Some(asked) = self.approvals.iter_mut().find(|asked| asked.id == *approval) {
                    asked.status = ApprovalStatus::Answered;
                    asked.answer = Some(ApprovalAnswer {
                        option: option.clone(),
                        text: text.clone(),
                        at: frame.at,
                        by: frame.by.clone(),
                    });
                }
            }
            Event::ApprovalWithdrawn { approval } => {
                if let Some(asked) = self.approvals.iter_mut().find(|asked| asked.id == *approval) {
                    asked.status = ApprovalStatus::Withdrawn;
                }
            }
            Event::UsageReported { input_tokens, output_tokens, cost_micros } => {
                self.usage.input_tokens = self.usage.input_tokens.saturating_add(*input_tokens);
                self.usage.output_tokens = self.usage.output_tokens.saturating_add(*output_tokens);
                self.usage.cost_micros = self.usage.cost_micros.saturating_add(*cost_micros);
            }
            Event::AgentStarted { incarnation } => {
                if let Some(agent) = &mut self.agent {
                    agent.state = AgentState::Running;
                    agent.incarnation = *incarnation;
                }
            }
            Event::AgentExited { restart_in_ms, .. } => {
                if let Some(agent) = &mut self.agent {
                    let restarts = restart_in_ms.is_some();
                    agent.state = if restarts { AgentState::Restarting } else { AgentState::Stopped };
                }
            }
            Event::CheckpointSaved { .. } => {
                if let Some(agent) = &mut self.agent {
                    agent.checkpoint_at = Some(frame.at);
                }
            }
        }
    }

    /// Passes over log entries that the server left out of a watch that was far behind. They are counted,
    /// and none of them is among the newest that a mission carries with it: whoever has applied all
    /// there is has the same mission as the server.
    pub fn skip(&mut self, span: Span) {
        self.activity_count += (span.to + 1).saturating_sub(span.from.max(self.seq + 1));
        self.seq = self.seq.max(span.to);
    }

    /// The place of `step` in the plan's list.
    pub fn step_index(&self, step: StepId) -> Option<usize> {
        self.plan.iter().position(|known| known.id == step)
    }

    /// `step` and everything under it.
    pub fn subtree(&self, step: StepId) -> HashSet<StepId> {
        let mut found = HashSet::from([step]);
        loop {
            let before = found.len();
            for known in &self.plan {
                if known.parent.is_some_and(|parent| found.contains(&parent)) {
                    found.insert(known.id);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    fn move_on(&mut self, to: MissionStatus, reason: &Option<String>, result: &Option<Value>, frame: &EventFrame) {
        self.status = to;
        self.status_reason = reason.clone();
        if to.is_active() && self.started_at.is_none() {
            self.started_at = Some(frame.at);
        }
        if to.is_ended() {
            self.completed_at = Some(frame.at);
            self.result = result.clone();
        }
        if to == MissionStatus::Completed {
            self.progress = 100;
        }
        // A restart that was due does not happen any more.
        if !to.is_active()
            && let Some(agent) = &mut self.agent
            && agent.state == AgentState::Restarting
        {
            agent.state = AgentState::Stopped;
        }
    }

    fn change_plan(&mut self, frame: &EventFrame) {
        match &frame.event {
            Event::StepAdded { step, parent, position, key, title, status, assignee, result } => {
                let mut added = Step {
                    id: *step,
                    parent: *parent,
                    key: key.clone(),
                    title: title.clone(),
                    status: StepStatus::Pending,
                    assignee: assignee.clone(),
                    result: result.clone(),
                    started_at: None,
                    ended_at: None,
                    changed_at: frame.at,
                    changed_by: frame.by.clone(),
                };
                set_status(&mut added, *status, frame);
                self.insert_step(added, *position);
            }
            Event::StepUpdated { step, title, status, assignee, result } => {
                let Some(index) = self.step_index(*step) else { return };
                let changed = &mut self.plan[index];
                set(&mut changed.title, title);
                if let Some(status) = status {
                    set_status(changed, *status, frame);
                }
                changed.assignee = assignee.clone().or(changed.assignee.take());
                changed.result = result.clone().or(changed.result.take());
                changed.changed_at = frame.at;
                changed.changed_by = frame.by.clone();
            }
            Event::StepMoved { step, parent, position } => {
                let Some(index) = self.step_index(*step) else { return };
                let mut moved = self.plan.remove(index);
                moved.parent = *parent;
                moved.changed_at = frame.at;
                moved.changed_by = frame.by.clone();
                self.insert_step(moved, *position);
            }
            Event::StepRemoved { step } => {
                let doomed = self.subtree(*step);
                self.plan.retain(|known| !doomed.contains(&known.id));
            }
            _ => return,
        }
        self.measure_progress();
    }

    /// Puts `step` among its siblings, `position` of them before it.
    fn insert_step(&mut self, step: Step, position: u32) {
        let siblings = self.plan.iter().enumerate().filter(|(_, known)| known.parent == step.parent);
        let place = siblings.map(|(index, _)| index).nth(position as usize).unwrap_or(self.plan.len());
        self.plan.insert(place, step);
    }

    /// Progress is the part of the leaves of the plan that is settled.
    fn measure_progress(&mut self) {
        if self.progress_reported || self.status.is_ended() {
            return;
        }
        let parents: HashSet<StepId> = self.plan.iter().filter_map(|step| step.parent).collect();
        let mut leaves = 0;
        let mut settled = 0;
        for step in self.plan.iter().filter(|step| !parents.contains(&step.id)) {
            leaves += 1;
            settled += usize::from(matches!(step.status, StepStatus::Completed | StepStatus::Skipped));
        }
        self.progress = (settled * 100).checked_div(leaves).unwrap_or(0) as u8;
    }
}

fn set<T: Clone>(field: &mut T, value: &Option<T>) {
    if let Some(value) = value {
        *field = value.clone();
    }
}

fn set_status(step: &mut Step, status: StepStatus, frame: &EventFrame) {
    step.status = status;
    if status == StepStatus::Running && step.started_at.is_none() {
        step.started_at = Some(frame.at);
    }
    step.ended_at = status.is_settled().then_some(frame.at);
}

fn push_recent<T>(list: &mut Vec<T>, bound: usize, entry: impl FnOnce() -> T) {
    if list.len() >= bound {
        list.remove(0);
    }
    list.push(entry());
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        Timestamp,
        model::{Author, Priority},
    };

    fn mission() -> Mission {
        let event = Event::MissionCreated {
            organization: Uuid::from_u128(1).into(),
            title: "Plan".to_owned(),
            mission_type: "general".to_owned(),
            priority: Priority::Normal,
            agent: None,
            template: None,
            input: Value::Null,
            estimated_at: None,
        };
        Mission::created(Uuid::from_u128(2).into(), &frame(1, event)).unwrap()
    }

    fn frame(seq: u64, event: Event) -> EventFrame {
        EventFrame { seq, at: Timestamp::from_millis(seq as i64), by: Author::System, cause: None, event }
    }

    fn id(n: u128) -> StepId {
        Uuid::from_u128(n).into()
    }

    fn add(mission: &mut Mission, step: u128, parent: Option<u128>, position: u32) {
        let event = Event::StepAdded {
            step: id(step),
            parent: parent.map(id),
            position,
            key: None,
            title: format!("step {step}"),
            status: StepStatus::Pending,
            assignee: None,
            result: None,
        };
        mission.apply(&frame(mission.seq + 1, event));
    }

    fn children(mission: &Mission, parent: Option<u128>) -> Vec<StepId> {
        mission.plan.iter().filter(|step| step.parent == parent.map(id)).map(|step| step.id).collect()
    }

    #[test]
    fn steps_take_their_place_among_their_siblings() {
        let mut mission = mission();
        add(&mut mission, 10, None, 0);
        add(&mut mission, 11, Some(10), 0);
        add(&mut mission, 12, None, 1);
        add(&mut mission, 13, Some(10), 0);
        add(&mut mission, 14, None, 1);
        assert_eq!(children(&mission, None), [id(10), id(14), id(12)]);
        assert_eq!(children(&mission, Some(10)), [id(13), id(11)]);
        mission.apply(&frame(9, Event::StepMoved { step: id(11), parent: None, position: 0 }));
        assert_eq!(children(&mission, None), [id(11), id(10), id(14), id(12)]);
    }

    #[test]
    fn a_removed_step_takes_along_what_is_under_it() {
        let mut mission = mission();
        add(&mut mission, 10, None, 0);
        add(&mut mission, 11, Some(10), 0);
        add(&mut mission, 12, Some(11), 0);
        add(&mut mission, 13, None, 1);
        mission.apply(&frame(9, Event::StepRemoved { step: id(10) }));
        assert_eq!(children(&mission, None), [id(13)]);
        assert_eq!(mission.plan.len(), 1);
    }

    #[test]
    fn progress_is_the_settled_part_of_the_leaves() {
        let mut mission = mission();
        add(&mut mission, 10, None, 0);
        add(&mut mission, 11, Some(10), 0);
        add(&mut mission, 12, Some(10), 1);
        let done = |step| Event::StepUpdated {
            step: id(step),
            title: None,
            status: Some(StepStatus::Completed),
            assignee: None,
            result: None,
        };
        mission.apply(&frame(9, done(11)));
        assert_eq!(mission.progress, 50);
        mission.apply(&frame(10, Event::ProgressReported { percent: 7 }));
        mission.apply(&frame(11, done(12)));
        assert_eq!(mission.progress, 7, "what the agent says goes before what the plan says");
    }

    #[test]
    fn the_newest_activities_are_kept() {
        let mut mission = mission();
        for seq in 2..(2 + RECENT_ACTIVITY as u64 + 5) {
            let event = Event::ActivityLogged {
                activity: Uuid::from_u128(u128::from(seq)).into(),
                activity_type: Default::default(),
                message: format!("entry {seq}"),
                details: None,
                step: None,
                stream: None,
            };
            mission.apply(&frame(seq, event));
        }
        assert_eq!(mission.activity.len(), RECENT_ACTIVITY);
        assert_eq!(mission.activity_count, RECENT_ACTIVITY as u64 + 5);
        assert_eq!(mission.activity[0].seq, 7);
    }
}
