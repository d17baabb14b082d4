//! What a mission tells the lists that it is in: its summary, and what waits for people.

use std::sync::Arc;

use bytes::Bytes;
use flightdeck_data::{
    inbox::{self, Inbox, Whose},
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
            match change {
                inbox::Change::Put(filed) => {
                    let (id, seq, whose) = (filed.item.id, filed.seq, filed.whose);
                    news.inbox.push(Change { id, seq, now: Some(shown(filed, json)) });
                    if let Whose::Person(person) = whose {
                        let old = self.world.inbox.make_room(person).unwrap_or_else(|error| {
                            tracing::warn!(mission = %mission.id, %error, "the inbox is not made shorter");
                            Vec::new()
                        });
                        for id in old {
                            extra.push(Inbox::remove(whose, id));
                            // Nothing puts it back.
                            news.inbox.push(Change { id, seq: u64::MAX, now: None });
                        }
                    }
                }
                inbox::Change::Remove { id, seq, .. } => news.inbox.push(Change { id, seq, now: None }),
            }
        }
        (news.mission.is_some() || !news.inbox.is_empty()).then(|| Box::new(news))
    }
}

fn shown<V>(value: V, json: Vec<u8>) -> Arc<Shown<V>> {
    Arc::new(Shown::new(value, Bytes::from(json)))
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

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::BTreeSet, rc::Rc};

    use flightdeck_protocol::{
        Timestamp,
        model::{InboxItem, InboxKind, Role},
        notification::{InboxChange, InboxChanged},
    };
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::{
        live::{InboxList, ListWatch, Next, Subscription as _},
        stage::{Stage, play},
    };

    /// The person's inbox is as full as it gets; gives the oldest item.
    async fn fill(stage: &Stage) -> Uuid {
        let (mission, now) = (stage.mission().await, Timestamp::now());
        let ids: Vec<Uuid> = (1..=inbox::ENDS as u128).map(Uuid::from_u128).collect();
        let writes = ids.iter().map(|id| {
            let (kind, title, options) = (InboxKind::MissionCompleted, "An end".to_owned(), Vec::new());
            let item = InboxItem { id: *id, kind, mission, title, at: now, prompt: None, options };
            let json = serde_json::to_vec(&item).unwrap();
            inbox::Change::Put(inbox::Filed { whose: Whose::Person(stage.ann.person.id), seq: 1, item }).write(&json)
        });
        stage.desk.registry.world().journal.write(writes.collect()).await.unwrap();
        ids[0]
    }

    #[test]
    fn who_watches_a_full_inbox_sees_the_oldest_go_when_one_more_comes() {
        play(|stage| async move {
            let oldest = fill(&stage).await;
            let (world, person) = (stage.desk.registry.world().clone(), &stage.ann.person);
            let list = InboxList::new(world.clone(), person, Rc::new(Cell::new(person.role)));
            // It shows more than there can be.
            let begun = ListWatch::begin("a", list, 2 * inbox::ENDS, &world.boards, person.organization.id);
            let (mut watch, items) = begun.await.unwrap();
            let items: Vec<InboxItem> = serde_json::from_slice(&items).unwrap();
            let mut seen: BTreeSet<Uuid> = items.into_iter().map(|item| item.id).collect();
            assert!(seen.len() == inbox::ENDS && seen.contains(&oldest));

            let mission = stage.mission().await;
            let mel = stage.member(Role::Manager, "mel").await;
            stage.call_as(&mel, "mission.complete", json!({"mission": mission})).await;
            stage.desk.registry.settled(mission).await;
            let Next::Frame(parts) = watch.next() else { panic!("no news") };
            let mut frame: Value = serde_json::from_slice(&parts.concat()).unwrap();
            let changed: InboxChanged = serde_json::from_value(frame["params"].take()).unwrap();
            for change in changed.changes {
                match change {
                    InboxChange::Put { item } => assert!(seen.insert(item.id)),
                    InboxChange::Remove { id } => assert!(seen.remove(&id)),
                }
            }
            let stored = world.inbox.newest(&[Whose::Person(person.id)], None, 2 * inbox::ENDS).unwrap();
            let stored: BTreeSet<Uuid> = stored.items.into_iter().map(|listed| listed.id).collect();
            assert!(seen == stored, "{} seen, {} stored", seen.len(), stored.len());
            assert!(seen.len() == inbox::ENDS && !seen.contains(&oldest));
        });
    }
}
