//! Decisions about the plan: steps added, changed, moved without cycles, removed.

use flightdeck_protocol::{
    Code, Event, Fault, StepId,
    model::{Mission, Step, StepStatus},
    operations::{StepAdd, StepMove, StepUpdate},
};

use super::{Context, Decision};
use crate::mission::{
    limits,
    refusal::{check_name, check_optional_text, check_text, illegal},
};

pub(super) fn add(mission: &Mission, add: &StepAdd, context: &Context) -> Result<Decision, Fault> {
    check_open(mission)?;
    check_text("title", &add.title, limits::STEP_TITLE)?;
    if let Some(assignee) = &add.assignee {
        check_name("assignee", assignee)?;
    }
    let event = new_step(
        mission,
        context,
        NewStep {
            parent: add.parent,
            position: add.position,
            key: None,
            title: &add.title,
            status: StepStatus::Pending,
            assignee: add.assignee.clone(),
            result: None,
        },
    )?;
    Ok(Decision::making(context.id, event))
}

/// A step that is to be added.
pub(super) struct NewStep<'a> {
    pub(super) parent: Option<StepId>,
    pub(super) position: Option<u32>,
    pub(super) key: Option<String>,
    pub(super) title: &'a str,
    pub(super) status: StepStatus,
    pub(super) assignee: Option<String>,
    pub(super) result: Option<String>,
}

/// The event that adds `new`, if the plan has room for it.
pub(super) fn new_step(mission: &Mission, context: &Context, new: NewStep<'_>) -> Result<Event, Fault> {
    if mission.plan.len() >= limits::STEPS {
        let message = format!("the plan has {} steps and can have no more; remove some first", limits::STEPS);
        return Err(Fault::new(Code::LimitReached, message));
    }
    if let Some(parent) = new.parent {
        find(mission, parent, "parent")?;
        check_depth(depth(mission, parent) + 1)?;
    }
    Ok(Event::StepAdded {
        step: context.id.into(),
        parent: new.parent,
        position: place(mission, new.parent, None, new.position),
        key: new.key,
        title: new.title.to_owned(),
        status: new.status,
        assignee: new.assignee,
        result: new.result,
    })
}

pub(super) fn update(mission: &Mission, update: &StepUpdate) -> Result<Decision, Fault> {
    check_open(mission)?;
    let step = find(mission, update.step, "step")?;
    if let Some(title) = &update.title {
        check_text("title", title, limits::STEP_TITLE)?;
    }
    if let Some(assignee) = &update.assignee {
        check_name("assignee", assignee)?;
    }
    if let Some(result) = &update.result {
        check_optional_text("result", result, limits::SENTENCE)?;
    }
    Ok(change(step, update.title.clone(), update.status, update.assignee.clone(), update.result.clone()))
}

/// Changes what is really another value; a change of nothing is no event.
pub(super) fn change(
    step: &Step,
    title: Option<String>,
    status: Option<StepStatus>,
    assignee: Option<String>,
    result: Option<String>,
) -> Decision {
    let title = title.filter(|title| *title != step.title);
    let status = status.filter(|status| *status != step.status);
    let assignee = assignee.filter(|assignee| Some(assignee) != step.assignee.as_ref());
    let result = result.filter(|result| Some(result) != step.result.as_ref());
    if title.is_none() && status.is_none() && assignee.is_none() && result.is_none() {
        return Decision::default();
    }
    Decision::one(Event::StepUpdated { step: step.id, title, status, assignee, result })
}

pub(super) fn relocate(mission: &Mission, to: &StepMove) -> Result<Decision, Fault> {
    check_open(mission)?;
    let step = find(mission, to.step, "step")?;
    if let Some(parent) = to.parent {
        find(mission, parent, "parent")?;
        let moved = mission.subtree(step.id);
        if moved.contains(&parent) {
            let message = "a step cannot be moved under itself or under one of its own children; choose another parent";
            return Err(Fault::new(Code::StepCycle, message).on("parent"));
        }
        let deepest = moved.iter().map(|id| depth(mission, *id)).max().unwrap_or(0);
        check_depth(depth(mission, parent) + 1 + deepest - depth(mission, step.id))?;
    }
    let position = place(mission, to.parent, Some(step.id), to.position);
    Ok(Decision::one(Event::StepMoved { step: step.id, parent: to.parent, position }))
}

pub(super) fn remove(mission: &Mission, step: StepId) -> Result<Decision, Fault> {
    check_open(mission)?;
    find(mission, step, "step")?;
    Ok(Decision::one(Event::StepRemoved { step }))
}

/// The step `id`, which the parameter `field` names.
pub(super) fn find<'a>(mission: &'a Mission, id: StepId, field: &str) -> Result<&'a Step, Fault> {
    mission.step_index(id).map(|index| &mission.plan[index]).ok_or_else(|| {
        Fault::new(Code::StepNotFound, "the mission has no such step; look at the plan with mission.get").on(field)
    })
}

fn check_open(mission: &Mission) -> Result<(), Fault> {
    if mission.status.is_ended() {
        return Err(illegal("planned any further", mission.status, "its plan stays as it is"));
    }
    Ok(())
}

/// How many steps stand above `step`.
fn depth(mission: &Mission, step: StepId) -> usize {
    let parent_of = |id| mission.step_index(id).and_then(|index| mission.plan[index].parent);
    std::iter::successors(parent_of(step), |id| parent_of(*id)).count()
}

fn check_depth(depth: usize) -> Result<(), Fault> {
    if depth >= limits::STEP_DEPTH {
        let message = format!("a plan can be {} steps deep at most; choose a parent further up", limits::STEP_DEPTH);
        return Err(Fault::new(Code::LimitReached, message).on("parent"));
    }
    Ok(())
}

/// `wanted`, or the last place among the children of `parent` where that is absent or beyond it.
fn place(mission: &Mission, parent: Option<StepId>, without: Option<StepId>, wanted: Option<u32>) -> u32 {
    let siblings = mission.plan.iter().filter(|step| step.parent == parent && Some(step.id) != without);
    let last = u32::try_from(siblings.count()).unwrap_or(u32::MAX);
    wanted.map_or(last, |wanted| wanted.min(last))
}
