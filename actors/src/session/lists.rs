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
        let (mut watch, items) = ListWatch::begin(sub, list, limit, boards, caller.person.organization.id).await?;
        making.may_stand()?;
        watch.listen(self.core.hub.handle());
        self.core.outbox.watch(sub, response(id, &watching(sub, &items)), Box::new(watch));
        Ok(())
    }
}

fn watching(sub: &str, items: &Bytes) -> Vec<u8> {
    let head = format!("{{\"sub\":{},\"items\":", Value::from(sub));
    [head.as_bytes(), items, b"}"].concat()
}
