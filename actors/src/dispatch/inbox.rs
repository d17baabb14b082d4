//! Operations about what waits for a person.

use flightdeck_data::inbox::{self, Inbox, Whose};
use flightdeck_protocol::{
    Code, Fault, Timestamp,
    operations::{DismissInbox, Empty, InboxDismiss, InboxPage, InboxQuery},
};
use uuid::Uuid;

use super::{Answer, Asking, Desk, answer, missions::page_size};
use crate::{
    live::{Change, inboxes},
    mission::Caller,
    once::Claim,
    world::unreadable,
};

impl Desk {
    pub(super) async fn list_inbox(&self, query: InboxQuery, caller: &Caller) -> Result<InboxPage, Fault> {
        let limit = page_size(query.limit)?;
        let (whose, inbox) = (whose(caller), self.registry.world().inbox.clone());
        let listing = self.registry.world().read(move || inbox.newest(&whose, query.before, limit)).await?;
        let next = listing.items.last().filter(|_| !listing.whole).map(|last| last.id);
        let items = listing.items.iter().filter_map(|listed| inbox::item(listed.id, &listed.json)).collect();
        Ok(InboxPage { items, next })
    }

    pub(super) async fn dismiss_inbox(&self, dismiss: InboxDismiss, asking: Asking<'_>) -> Result<Answer, Fault> {
        let Asking { caller, mut claim, .. } = asking;
        let (world, id) = (self.registry.world(), dismiss.item);
        let mine = Whose::Person(caller.person.id);
        let Some(item) = world.inbox.get(mine, id).map_err(|error| unreadable(&error))? else {
            return Err(self.not_dismissed(id, caller)?);
        };
        // Its mission may be about to tell those who watch of it; they are to hear first that it came.
        self.registry.settled(item.mission).await;
        let answer = answer::<DismissInbox>(&Empty {})?;
        let mut writes = vec![Inbox::remove(mine, id)];
        if let (Some(claim), Answer::Json(json)) = (&mut claim, &answer) {
            writes.push(claim.keep(json.clone(), Timestamp::now())?);
        }
        world.journal.write(writes).await.map_err(|error| unreadable(&error))?;
        claim.into_iter().for_each(Claim::confirm);
        // Nothing puts it back.
        let gone = Change { id, seq: u64::MAX, now: None };
        world.boards.inbox.publish(caller.person.organization.id, gone);
        Ok(answer)
    }

    /// Why an item that is not the person's own cannot be dismissed.
    fn not_dismissed(&self, id: Uuid, caller: &Caller) -> Result<Fault, Fault> {
        for whose in whose(caller) {
            if self.registry.world().inbox.get(whose, id).map_err(|error| unreadable(&error))?.is_some() {
                let message = "this asks for an answer; give it with approval.answer, and the item goes by itself";
                return Ok(Fault::invalid("item", message));
            }
        }
        let message = format!("there is no item {id} in your inbox; list it with inbox.list");
        Ok(Fault::new(Code::ItemNotFound, message).on("item"))
    }
}

fn whose(caller: &Caller) -> Vec<Whose> {
    inboxes(caller.person.id, caller.person.role, caller.person.organization.id)
}
