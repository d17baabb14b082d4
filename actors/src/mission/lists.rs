//! What a mission tells the lists that it is in: its summary, and what waits for people.

use std::sync::Arc;

use bytes::Bytes;
use flightdeck_data::{
    inbox::{self, Whose},
    index::Index,
    store::Write,
};
use flightdeck_protocol::{Event, EventFrame, model::MissionSummary};

use super::MissionActor;
use crate::{
    live::{Change, Shown, ShownMission},
    world::World,
};

/// What lists are told once it is on disk.
#[derive(Default)]
pub(crate) struct ListNews {
    mission: Option<Change<ShownMission>>,
    inbox: Vec<Change<inbox::Filed>>,
}

impl ListNews {
    /// Puts it up for those who watch.
    pub(crate) fn publish(self, world: &World, organization: flightdeck_protocol::OrganizationId) {
        if let Some(change) = self.mission {
            world.boards.missions.publish(organization, change);
        }
        for change in self.inbox {
            world.boards.inbox.publish(organization, change);
        }
    }
}

impl MissionActor {
    /// What follows from `frames`, which are folded in, for lists: it is written with them into
    /// `extra`, and told once it is on disk.
    pub(super) fn list_news(&mut self, frames: &[EventFrame], extra: &mut Vec<Write>) -> Option<Box<ListNews>> {
        let mission = self.state.mission.as_ref()?;
        let mut news = ListNews::default();
        if self.state.deleted {
            extra.push(Index::remove(mission.organization, mission.id));
            news.mission = Some(Change { id: mission.id.0, seq: mission.seq, now: None });
        } else if frames.iter().any(|frame| shows_in_list(&frame.event)) {
            let summary = mission.summary();
            if !self.indexed.as_ref().is_some_and(|indexed| same_but_seq(indexed, &summary)) {
                // A summary is plain data: it can always be written as JSON.
                let json = serde_json::to_vec(&summary).unwrap_or_default();
                extra.push(Index::put_json(&summary, &json));
                let summary = Arc::new(summary);
                self.indexed = Some(summary.clone());
                let (id, seq) = (summary.id.0, summary.seq);
                news.mission = Some(Change { id, seq, now: Some(shown(summary, json)) });
            }
        }
        for change in frames.iter().flat_map(|frame| inbox::changes(frame, mission)) {
            let json = match &change {
                inbox::Change::Put(filed) => serde_json::to_vec(&filed.item).unwrap_or_default(),
                inbox::Change::Remove { .. } => Vec::new(),
            };
            extra.push(change.write(&json));
            news.inbox.push(match change {
                inbox::Change::Put(filed) => {
                    if let Whose::Person(person) = filed.whose {
                        match self.world.inbox.make_room(person) {
                            Ok(old) => extra.extend(old),
                            Err(error) => {
                                tracing::warn!(mission = %mission.id, %error, "the inbox is not made shorter")
                            }
                        }
                    }
                    let (id, seq) = (filed.item.id, filed.seq);
                    Change { id, seq, now: Some(shown(filed, json)) }
                }
                inbox::Change::Remove { id, seq, .. } => Change { id, seq, now: None },
            });
        }
        (news.mission.is_some() || !news.inbox.is_empty()).then(|| Box::new(news))
    }
}

fn shown<V>(value: V, json: Vec<u8>) -> Arc<Shown<V>> {
    Arc::new(Shown { value, json: Bytes::from(json) })
}

/// Whether an event can change what a list shows of the mission.
fn shows_in_list(event: &Event) -> bool {
    matches!(
        event,
        Event::MissionCreated { .. }
            | Event::MissionUpdated { .. }
            | Event::StatusChanged { .. }
            | Event::ProgressReported { .. }
            | Event::StepAdded { .. }
            | Event::StepUpdated { .. }
            | Event::StepMoved { .. }
            | Event::StepRemoved { .. }
    )
}

fn same_but_seq(a: &MissionSummary, b: &MissionSummary) -> bool {
    *a == MissionSummary { seq: a.seq, ..b.clone() }
}
