//! How a session watches lists: the list first, in order, and then every change of it.

use bytes::Bytes;
use flightdeck_data::{listing::Wanted, mission::limits};
use flightdeck_protocol::{
    Fault,
    operations::{InboxWatch, MissionsWatch},
};
use serde_json::{Value, value::RawValue};

use super::{Session, pending::Making, response};
use crate::{
    dispatch::unauthenticated,
    live::{InboxList, List, ListWatch, MissionList},
    mission::Caller,
};

/// Missions in a list, unless asked for otherwise.
const MISSIONS: u32 = 100;

impl Session {
    pub(super) async fn watch_missions(&self, id: Option<&RawValue>, watch: MissionsWatch, making: Making) {
        let begun = async {
            let sub = watch.sub.clone();
            let (wanted, limit) = self.wanted_missions(watch)?;
            let caller = self.core.caller()?.ok_or_else(unauthenticated)?;
            let world = self.core.desk.registry.world().clone();
            let list = MissionList::new(world, caller.person.organization.id, wanted);
            self.watch_list(id, (&sub, &making), list, limit, &caller).await
        };
        if let Err(fault) = begun.await {
            self.fail(id, &fault);
        }
    }

    pub(super) async fn watch_inbox(&self, id: Option<&RawValue>, watch: InboxWatch, making: Making) {
        let begun = async {
            let caller = self.core.caller()?.ok_or_else(unauthenticated)?;
            let world = self.core.desk.registry.world().clone();
            let list = InboxList::new(world, &caller.person, self.core.role());
            let limit = self.core.rules.limits.list_items as usize;
            self.watch_list(id, (&watch.sub, &making), list, limit, &caller).await
        };
        if let Err(fault) = begun.await {
            self.fail(id, &fault);
        }
    }

    fn wanted_missions(&self, watch: MissionsWatch) -> Result<(Wanted, usize), Fault> {
        let most = self.core.rules.limits.list_items;
        let limit = watch.limit.unwrap_or(MISSIONS.min(most));
        if !(1..=most).contains(&limit) {
            return Err(Fault::invalid("limit", format!("limit is a whole number from 1 to {most}")));
        }
        for (field, name) in [("type", &watch.mission_type), ("agent", &watch.agent)] {
            if name.as_ref().is_some_and(|name| name.is_empty() || name.chars().count() > limits::NAME) {
                let message = format!("{field} is a name of 1 to {} characters; leave it out for all", limits::NAME);
                return Err(Fault::invalid(field, message));
            }
        }
        let mut wanted = Wanted::from(watch);
        wanted.status.sort_unstable_by_key(|status| *status as u8);
        wanted.status.dedup();
        Ok((wanted, limit as usize))
    }

    /// Watches the first `limit` entries of `list`: the answer has them, and nothing comes before it.
    async fn watch_list<L: List>(
        &self,
        id: Option<&RawValue>,
        (sub, making): (&str, &Making),
        list: L,
        limit: usize,
        caller: &Caller,
    ) -> Result<(), Fault> {
        let boards = &self.core.desk.registry.world().boards;
        let room = making.room().await?;
        let (mut watch, items) = loop {
            let begun = ListWatch::begin(sub, list.clone(), limit, boards, caller.person.organization.id).await?;
            making.may_stand()?;
            // What has just been learned of its owner can make it another list.
            if !list.is_outdated() {
                break begun;
            }
        };
        watch.listen(self.core.hub.handle());
        self.core.outbox.watch(sub, room, response(id, &watching(sub, &items)), Box::new(watch));
        Ok(())
    }
}

fn watching(sub: &str, items: &Bytes) -> Vec<u8> {
    let head = format!("{{\"sub\":{},\"items\":", Value::from(sub));
    [head.as_bytes(), items, b"}"].concat()
}

#[cfg(test)]
mod tests {
    use flightdeck_data::{
        inbox::{Change, Filed, Whose},
        people::{AccessChange, AccountUpdate},
        store::{Space, Write},
    };
    use flightdeck_protocol::{
        Timestamp,
        model::{InboxItem, InboxKind, Role},
    };
    use serde_json::json;
    use tokio::task::yield_now;
    use uuid::Uuid;

    use crate::stage::{Stage, play};

    /// Something waits for everyone in the organization who may answer.
    async fn ask(stage: &Stage) {
        let (id, mission, at) = (Uuid::from_u128(1), stage.mission().await, Timestamp::now());
        let (kind, title, options) = (InboxKind::Approval, "A mission".to_owned(), Vec::new());
        let item = InboxItem { id, kind, mission, title, at, prompt: Some("May I?".to_owned()), options };
        let json = serde_json::to_vec(&item).unwrap();
        let whose = Whose::Organization(stage.ann.person.organization.id);
        let write = Change::Put(Filed { whose, seq: 1, item }).write(&json);
        stage.desk.registry.world().journal.write(vec![write]).await.unwrap();
    }

    #[test]
    fn an_inbox_begins_with_what_its_owner_may_see_by_then() {
        play(|stage| async move {
            ask(&stage).await;
            let mel = stage.member(Role::Approver, "mel").await;
            let session = stage.session(&mel);
            session.asks(1, "inbox.watch", json!({"sub": "before"}));
            assert_eq!(session.answer_to(1).await["result"]["items"].as_array().unwrap().len(), 1);

            // She becomes a viewer, and her session hears of that only when it looks.
            let (organization, update) =
                (mel.person.organization.id, AccountUpdate { role: Some(Role::Viewer), ..AccountUpdate::default() });
            let quietly = stage.desk.sign_ins.clone().telling(|_| {});
            let viewer = quietly.update_account(organization, mel.person.id, update).await.unwrap();
            stage.store.hold_commits();
            let journal = stage.desk.registry.world().journal.clone();
            let writing = actix_rt::spawn(async move { journal.write(vec![Write::put(Space::Meta, "a", "b")]).await });
            yield_now().await;
            stage.store.wait_until_held();
            session.asks(2, "inbox.watch", json!({"sub": "meanwhile"}));
            yield_now().await;
            stage.desk.hubs.count(&AccessChange::Person(Box::new(viewer)));
            stage.store.release_commits();
            writing.await.unwrap().unwrap();
            assert_eq!(session.answer_to(2).await["result"]["items"], json!([]), "it is no longer hers to see");
            let watches = session.outbox().view().watches;
            assert_eq!(watches.len(), 2, "{watches:?}");
        });
    }
}
