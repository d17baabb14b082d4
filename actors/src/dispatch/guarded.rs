//! Calls with their guards: done once under a name, and only where nothing else has happened.

use std::ops::ControlFlow;

use bytes::Bytes;
use flightdeck_data::{
    journal::History,
    mission::Command,
    people::{Also, PeopleError, Rider},
};
use flightdeck_protocol::{
    Call, Code, EventFrame, Fault, MissionId, Operation, Timestamp,
    fault::SeqConflict,
    model::MissionSummary,
    operations::{Ack, Deleted},
};

use super::{Answer, Desk, to_json};
use crate::{
    mission::{Caller, Done, Guard, Keep, MissionHandle},
    once::{Claim, Named},
};

/// How much of what happened meanwhile a conflict tells of.
const CHANGES: usize = 100;
const CHANGES_BYTES: usize = 64 * 1024;

/// A call that was read, with what guards it.
pub struct Asked {
    /// The call.
    pub call: Call,
    pub(crate) if_seq: Option<u64>,
    pub(crate) named: Option<Named>,
}

impl From<Call> for Asked {
    fn from(call: Call) -> Self {
        Self { call, if_seq: None, named: None }
    }
}

/// Who asks, and under what condition.
pub(super) struct Asking<'a> {
    pub(super) caller: &'a Caller,
    pub(super) if_seq: Option<u64>,
    pub(super) claim: Option<Claim>,
}

/// What an operation that changes a mission answers, by what came of it.
pub(super) trait Told {
    /// The answer.
    fn of(done: &Done) -> Self;
}

impl Told for Ack {
    fn of(done: &Done) -> Self {
        Self { mission: done.summary.id, seq: done.seq, command: done.command, id: done.made }
    }
}

impl Told for MissionSummary {
    fn of(done: &Done) -> Self {
        (*done.summary).clone()
    }
}

impl Told for Deleted {
    fn of(done: &Done) -> Self {
        Self { mission: done.summary.id, seq: done.seq }
    }
}

fn json_of<O: Operation<Result: Told>>(done: &Done) -> Result<Bytes, Fault> {
    to_json(&O::Result::of(done))
}

/// Keeps the answer to a call that is answered with a person.
pub(super) fn also(mut claim: Claim) -> Also {
    Box::new(move |person| {
        let failed = |fault: Fault| PeopleError::Internal(fault.message);
        let json = to_json(person).map_err(failed)?;
        let write = claim.keep(json, Timestamp::now()).map_err(failed)?;
        Ok(Rider { write, landed: Box::new(move || claim.confirm()) })
    })
}

impl Desk {
    /// Has `mission` carry out the command of the operation `O`.
    pub(super) async fn steer<O: Operation<Result: Told>>(
        &self,
        mission: MissionId,
        command: Command,
        asking: Asking<'_>,
    ) -> Result<Answer, Fault> {
        let mission = self.registry.find(mission, asking.caller.person.organization.id).await?;
        self.steer_it::<O>(&mission, command, asking).await
    }

    pub(super) async fn steer_it<O: Operation<Result: Told>>(
        &self,
        mission: &MissionHandle,
        command: Command,
        asking: Asking<'_>,
    ) -> Result<Answer, Fault> {
        let Asking { caller, if_seq, claim } = asking;
        let guard = Guard { if_seq, keep: claim.map(|claim| Keep { claim, json: json_of::<O> }) };
        match mission.execute(command, caller, O::METHOD, guard).await {
            Ok(Done { kept: Some(json), .. }) => Ok(Answer::Json(json)),
            Ok(done) => json_of::<O>(&done).map(Answer::Json),
            Err(fault) => match if_seq.filter(|_| fault.code == Code::SeqConflict) {
                Some(if_seq) => Err(self.with_changes(mission.feed.mission, if_seq, fault).await),
                None => Err(fault),
            },
        }
    }

    /// The conflict with what has happened since `if_seq`, which is on disk by now.
    async fn with_changes(&self, mission: MissionId, if_seq: u64, mut fault: Fault) -> Fault {
        if let Some(conflict) = &mut fault.data.conflict {
            let (history, seq) = (self.registry.world().history.clone(), conflict.seq);
            let changes = tokio::task::spawn_blocking(move || changes(&history, mission, if_seq, seq)).await;
            match changes.map_err(|error| error.to_string()).and_then(|changes| changes) {
                Ok(changes) => {
                    let complete = changes.len() as u64 == seq - if_seq;
                    **conflict = SeqConflict { seq, changes, complete };
                }
                // Whoever asked takes a snapshot then.
                Err(error) => tracing::error!(%mission, error, "what happened since cannot be read"),
            }
        }
        fault
    }
}

/// The events after `if_seq` up to `seq`, or the newest of them.
fn changes(history: &History, mission: MissionId, if_seq: u64, seq: u64) -> Result<Vec<EventFrame>, String> {
    let (mut changes, mut bytes, mut broken) = (Vec::new(), 0, None);
    let read = history.read_back(mission, seq + 1, CHANGES, |seq, event| {
        bytes += event.len();
        if seq <= if_seq || bytes > CHANGES_BYTES {
            return ControlFlow::Break(());
        }
        match serde_json::from_slice(event) {
            Ok(frame) => changes.push(frame),
            Err(error) => {
                broken = Some(error.to_string());
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    });
    read.map_err(|error| error.to_string())?;
    changes.reverse();
    broken.map_or(Ok(changes), Err)
}
