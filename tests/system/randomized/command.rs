//! From what a step says to the call that it means, in a mission as a tab knows it.

use flightdeck_protocol::{
    MissionId,
    model::{ApprovalStatus, Mission},
};
use serde_json::{Value, json};

use super::plan::Act;

/// A call to be made.
#[derive(Clone)]
pub(super) struct Command {
    pub(super) method: &'static str,
    pub(super) params: Value,
    /// Whether what follows from it carries its mark.
    pub(super) is_marked: bool,
}

/// The mark of the command number `entry`, to be found again in what follows from it.
pub(super) fn mark(entry: usize) -> String {
    format!("<{entry}>")
}

/// The marks in a text.
pub(super) fn marks(text: &str) -> impl Iterator<Item = usize> + '_ {
    text.split('<').skip(1).filter_map(|rest| rest.split_once('>')?.0.parse().ok())
}

impl Command {
    /// What `act` means in `mission`, of which `known` is known, as command number `entry`.
    pub(super) fn new(act: Act, entry: usize, mission: MissionId, known: Option<&Mission>) -> Self {
        let mark = mark(entry);
        let pick =
            |nth: usize| known.and_then(|known| known.plan.get(nth % known.plan.len().max(1))).map(|step| step.id);
        let marked = |method, params| Self { method, params, is_marked: true };
        let unmarked = |method, params| Self { method, params, is_marked: false };
        let note = |text: String| marked("activity.add", json!({"mission": mission, "message": text}));
        match act {
            Act::Note { bytes } => note(format!("note {mark} {}", "x".repeat(bytes))),
            Act::Message => marked("message.send", json!({"mission": mission, "text": format!("please {mark}")})),
            Act::AddStep { under } => {
                // Every other one stands at the top.
                let parent = (under % 2 == 1).then(|| pick(under)).flatten();
                let title = format!("step {mark}");
                marked("step.add", without_nulls(json!({"mission": mission, "title": title, "parent": parent})))
            }
            Act::UpdateStep { step, status } => match pick(step) {
                Some(step) => {
                    let result = format!("result {mark}");
                    marked("step.update", json!({"mission": mission, "step": step, "status": status, "result": result}))
                }
                None => note(format!("nothing to change {mark}")),
            },
            Act::MoveStep { step, under } => match pick(step) {
                Some(step) => {
                    let parent = (under % 3 != 0).then(|| pick(under)).flatten();
                    unmarked("step.move", without_nulls(json!({"mission": mission, "step": step, "parent": parent})))
                }
                None => note(format!("nothing to move {mark}")),
            },
            Act::RemoveStep { step } => match pick(step) {
                Some(step) => unmarked("step.remove", json!({"mission": mission, "step": step})),
                None => note(format!("nothing to remove {mark}")),
            },
            Act::Answer { which } => match known.and_then(|known| question(known, which)) {
                Some((approval, option)) => marked(
                    "approval.answer",
                    json!({"mission": mission, "approval": approval, "option": option, "text": format!("so {mark}")}),
                ),
                None => note(format!("nothing to answer {mark}")),
            },
            Act::Update => marked("mission.update", json!({"mission": mission, "title": format!("Title {mark}")})),
            Act::Pause => unmarked("mission.pause", json!({"mission": mission})),
            Act::Resume => unmarked("mission.resume", json!({"mission": mission})),
            Act::Create => marked("mission.create", json!({"title": format!("Made {mark}")})),
            Act::Nonsense => {
                marked("activity.add", json!({"mission": mission, "message": "", "details": {"mark": mark}}))
            }
        }
    }
}

/// One of the questions of a mission, answered ones as well, and what to answer.
fn question(known: &Mission, which: usize) -> Option<(Value, String)> {
    let pending: Vec<_> = known.approvals.iter().filter(|asked| asked.status == ApprovalStatus::Pending).collect();
    let asked = match pending.get(which % pending.len().max(1)) {
        Some(asked) => asked,
        None => known.approvals.last()?,
    };
    Some((json!(asked.id), asked.options.first()?.id.clone()))
}

fn without_nulls(mut params: Value) -> Value {
    if let Some(members) = params.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    params
}
