//! Operations about missions and what they own.

use std::ops::ControlFlow;

use flightdeck_data::mission::Command;
use flightdeck_protocol::{
    Call, Code, DocumentId, Event, EventFrame, Fault, MissionId,
    model::{Activity, Document, Message},
    operations::{
        self as ops, ActivityPage, ActivityQuery, DocumentList, Empty, MessagePage, MessageQuery, MissionNew,
        MissionPage, MissionQuery,
    },
};

use super::{Answer, Desk, answer, guarded::Asking, to_json, unauthenticated};
use crate::{
    live::Plan,
    mission::Caller,
    registry::{index_fault, not_found},
};

/// Entries of a page, unless asked for otherwise; and at most.
const PAGE: u32 = 50;
const PAGE_MAX: u32 = 200;
/// Events that one page of a log looks through before it gives what it has.
const SCAN_EVENTS: usize = 5_000;

impl Desk {
    pub(super) async fn mission_call(&self, call: Call, asking: Asking<'_>) -> Result<Answer, Fault> {
        let caller = asking.caller;
        match call {
            Call::CreateMission(new) => self.create_mission(new, asking).await,
            Call::ListMissions(query) => answer::<ops::ListMissions>(&self.list_missions(query, caller).await?),
            Call::GetMission(get) => {
                let mission = self.look(get.mission, caller, |state| state.living().map(to_json)).await?;
                mission.ok_or_else(|| not_found(get.mission))?.map(Answer::Json)
            }
            Call::UpdateMission(update) => {
                self.steer::<ops::UpdateMission>(update.mission, Command::Update(update), asking).await
            }
            Call::DeleteMission(delete) => {
                self.steer::<ops::DeleteMission>(delete.mission, Command::Delete, asking).await
            }
            Call::StartMission(start) => self.steer::<ops::StartMission>(start.mission, Command::Start, asking).await,
            Call::PauseMission(pause) => self.steer::<ops::PauseMission>(pause.mission, Command::Pause, asking).await,
            Call::ResumeMission(resume) => {
                self.steer::<ops::ResumeMission>(resume.mission, Command::Resume, asking).await
            }
            Call::CompleteMission(complete) => {
                let command = Command::Complete(complete.result);
                self.steer::<ops::CompleteMission>(complete.mission, command, asking).await
            }
            Call::CancelMission(cancel) => {
                self.steer::<ops::CancelMission>(cancel.mission, Command::Cancel(cancel.reason), asking).await
            }
            Call::AddStep(add) => self.steer::<ops::AddStep>(add.mission, Command::AddStep(add), asking).await,
            Call::UpdateStep(update) => {
                self.steer::<ops::UpdateStep>(update.mission, Command::UpdateStep(update), asking).await
            }
            Call::MoveStep(to) => self.steer::<ops::MoveStep>(to.mission, Command::MoveStep(to), asking).await,
            Call::RemoveStep(step) => {
                self.steer::<ops::RemoveStep>(step.mission, Command::RemoveStep(step), asking).await
            }
            Call::AddActivity(add) => {
                self.steer::<ops::AddActivity>(add.mission, Command::LogActivity(add), asking).await
            }
            Call::ListActivity(query) => answer::<ops::ListActivity>(&self.list_activity(&query, caller).await?),
            Call::SendMessage(send) => {
                self.steer::<ops::SendMessage>(send.mission, Command::SendMessage(send), asking).await
            }
            Call::ListMessages(query) => answer::<ops::ListMessages>(&self.list_messages(&query, caller).await?),
            Call::AnswerApproval(reply) => {
                self.steer::<ops::AnswerApproval>(reply.mission, Command::AnswerApproval(reply), asking).await
            }
            Call::ListDocuments(list) => {
                let found = |state: &flightdeck_data::mission::State| {
                    state.living().map(|mission| DocumentList { items: mission.documents.clone() })
                };
                let documents = self.look(list.mission, caller, found).await?;
                answer::<ops::ListDocuments>(&documents.ok_or_else(|| not_found(list.mission))?)
            }
            Call::GetDocument(get) => answer::<ops::GetDocument>(&self.document(get.document, caller).await?),
            Call::PlanFaults(plan) => {
                if !self.registry.world().tuning.faults {
                    let message = "faults are off on this server; start it with --faults to allow them";
                    return Err(Fault::new(Code::FaultsOff, message));
                }
                let mission = self.registry.find(plan.mission, caller.person.organization.id).await?;
                mission.feed.plan_faults(Plan::read(&plan)?);
                answer::<ops::PlanFaults>(&Empty {})
            }
            Call::PanicMission(drill) => {
                if !self.registry.world().tuning.drills {
                    let message = "drills are off on this server; start it with --drills true to allow them";
                    return Err(Fault::new(Code::DrillsOff, message));
                }
                let mission = self.registry.find(drill.mission, caller.person.organization.id).await?;
                mission.panic()?;
                answer::<ops::PanicMission>(&Empty {})
            }
            Call::OpenSession(_)
            | Call::RenewSession(_)
            | Call::Ping(_)
            | Call::WatchMission(_)
            | Call::UnwatchMission(_)
            | Call::SetPresence(_)
            | Call::WatchMissions(_)
            | Call::UnwatchMissions(_)
            | Call::WatchInbox(_)
            | Call::UnwatchInbox(_)
            | Call::UpdateUser(_)
            | Call::ListSessions(_)
            | Call::ListInbox(_)
            | Call::DismissInbox(_)
            | Call::Signup(_)
            | Call::SignIn(_)
            | Call::RefreshTokens(_)
            | Call::SignOut(_)
            | Call::WhoAmI(_)
            | Call::CreateUser(_)
            | Call::ListUsers(_)
            | Call::DownloadDocument(_) => Err(unauthenticated()),
        }
    }

    async fn create_mission(&self, new: MissionNew, asking: Asking<'_>) -> Result<Answer, Fault> {
        if let Some(agent) = &new.agent
            && !self.registry.world().kinds.contains_key(agent)
        {
            let mut known: Vec<&str> = self.registry.world().kinds.keys().map(String::as_str).collect();
            known.sort_unstable();
            let message = format!("this server has no agent of that name; it has: {}", known.join(", "));
            return Err(Fault::new(Code::AgentUnknown, message).on("agent"));
        }
        let (id, organization) = (MissionId::fresh(), asking.caller.person.organization.id);
        let mission = self.registry.create(id, organization).await?;
        self.steer_it::<ops::CreateMission>(&mission, Command::Create(organization, new), asking).await
    }

    async fn look<T: Send + 'static>(
        &self,
        mission: MissionId,
        caller: &Caller,
        look: impl FnOnce(&flightdeck_data::mission::State) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        self.registry.find(mission, caller.person.organization.id).await?.look(look).await
    }

    async fn list_missions(&self, query: MissionQuery, caller: &Caller) -> Result<MissionPage, Fault> {
        let limit = page_size(query.limit)?;
        let organization = caller.person.organization.id;
        let index = self.registry.world().index.clone();
        // A rare status may take a long look.
        self.registry.world().read(move || index.list(organization, &query, limit)).await
    }

    pub(super) async fn document(&self, document: DocumentId, caller: &Caller) -> Result<Document, Fault> {
        let missing = || {
            let message = format!("there is no document {document}; list a mission's with document.list");
            Fault::new(Code::DocumentNotFound, message).on("document")
        };
        let found = self.registry.world().index.document(document).map_err(|error| index_fault(&error))?;
        let (organization, mission) = found.ok_or_else(missing)?;
        if organization != caller.person.organization.id {
            return Err(missing());
        }
        let find = move |state: &flightdeck_data::mission::State| {
            state.living().and_then(|mission| mission.documents.iter().find(|known| known.id == document)).cloned()
        };
        let found = self.look(mission, caller, find).await.map_err(|fault| match fault.code {
            Code::MissionNotFound => missing(),
            _ => fault,
        })?;
        found.ok_or_else(missing)
    }

    async fn list_activity(&self, query: &ActivityQuery, caller: &Caller) -> Result<ActivityPage, Fault> {
        let wanted = query.clone();
        let (items, next) = self
            .page(query.mission, query.limit, query.before, caller, move |frame| {
                let Event::ActivityLogged { activity, activity_type, message, details, step, .. } = frame.event else {
                    return None;
                };
                let fits = wanted.activity_type.is_none_or(|wanted| wanted == activity_type)
                    && wanted.step.is_none_or(|wanted| Some(wanted) == step)
                    && wanted.author.as_ref().is_none_or(|wanted| wanted == frame.by.name());
                let (seq, at, by) = (frame.seq, frame.at, frame.by);
                fits.then_some(Activity { id: activity, seq, at, by, activity_type, message, details, step })
            })
            .await?;
        Ok(ActivityPage { items, next })
    }

    async fn list_messages(&self, query: &MessageQuery, caller: &Caller) -> Result<MessagePage, Fault> {
        let (items, next) = self
            .page(query.mission, query.limit, query.before, caller, |frame| match frame.event {
                Event::MessageSent { message, text } => {
                    Some(Message { id: message, seq: frame.seq, at: frame.at, by: frame.by, text })
                }
                _ => None,
            })
            .await?;
        Ok(MessagePage { items, next })
    }

    /// A page of what `pick` takes from the mission's history, newest first,
    /// and where the next page begins.
    async fn page<T: Send + 'static>(
        &self,
        mission: MissionId,
        limit: Option<u32>,
        before: Option<u64>,
        caller: &Caller,
        mut pick: impl FnMut(EventFrame) -> Option<T> + Send + 'static,
    ) -> Result<(Vec<T>, Option<u64>), Fault> {
        let limit = page_size(limit)?;
        // Only what everyone may know already: the journal may hold a little more.
        let head = self.look(mission, caller, |state| state.living().map(|mission| mission.seq)).await?;
        let head = head.ok_or_else(|| not_found(mission))?;
        let before = before.unwrap_or(u64::MAX).min(head + 1);
        let history = self.registry.world().history.clone();
        let read = tokio::task::spawn_blocking(move || {
            let (mut items, mut last) = (Vec::new(), before);
            let mut broken = None;
            let read = history.read_back(mission, before, SCAN_EVENTS, |seq, event| {
                if items.len() == limit {
                    return ControlFlow::Break(());
                }
                last = seq;
                match serde_json::from_slice::<EventFrame>(event) {
                    Ok(frame) => items.extend(pick(frame)),
                    Err(error) => {
                        broken = Some(error.to_string());
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            });
            match (read, broken) {
                (Ok(()), None) => Ok((items, (last > 1).then_some(last))),
                (Ok(()), Some(error)) => Err(error),
                (Err(error), _) => Err(error.to_string()),
            }
        });
        read.await.map_err(|error| error.to_string()).and_then(|read| read).map_err(|error| {
            tracing::error!(%mission, error, "a mission's history cannot be read");
            Fault::new(Code::StoreUnavailable, "the mission's history cannot be read now; ask again later").after(1_000)
        })
    }
}

pub(super) fn page_size(limit: Option<u32>) -> Result<usize, Fault> {
    match limit.unwrap_or(PAGE) {
        limit @ 1..=PAGE_MAX => Ok(limit as usize),
        _ => Err(Fault::invalid("limit", format!("limit is a whole number from 1 to {PAGE_MAX}"))),
    }
}
