//! The lists that can be watched: an organization's missions, and a person's inbox.

use std::{
    cell::Cell,
    cmp::Reverse,
    rc::Rc,
    sync::{Arc, LazyLock},
};

use flightdeck_data::{
    inbox::{Filed, Whose},
    listing::{Listing, Place, Wanted},
};
use flightdeck_protocol::{
    Fault, MissionId, Operation as _, OrganizationId, UserId,
    model::{Person, Role},
    notification::{INBOX_CHANGED, MISSIONS_CHANGED},
    operations::{self as ops, AnswerApproval, WatchKind, Who},
};
use futures_util::future::LocalBoxFuture;
use uuid::Uuid;

use super::{
    Change, List, ListReading, Shared,
    boards::{Boards, Shelf, ShownMission},
};
use crate::world::World;

/// An organization's missions: those that are wanted.
#[derive(Clone)]
pub struct MissionList {
    world: Arc<World>,
    organization: OrganizationId,
    wanted: Arc<Wanted>,
}

/// What waits for a person.
#[derive(Clone)]
pub struct InboxList {
    world: Arc<World>,
    organization: OrganizationId,
    person: UserId,
    /// The role as it is.
    role: Rc<Cell<Role>>,
    /// The role that the list was last read for.
    read_for: Rc<Cell<Role>>,
}

impl MissionList {
    /// The missions of `organization` that are `wanted`.
    pub fn new(world: Arc<World>, organization: OrganizationId, wanted: Wanted) -> Self {
        Self { world, organization, wanted: Arc::new(wanted) }
    }
}

impl List for MissionList {
    type Value = ShownMission;
    type Place = Place;

    const NOTICE: &'static str = MISSIONS_CHANGED;
    const ENTRY: &'static str = "mission";
    const KIND: WatchKind = WatchKind::Missions;

    fn shelf(boards: &Boards) -> &Shelf<ShownMission> {
        &boards.missions
    }

    fn place(&self, mission: &ShownMission) -> Option<Place> {
        self.wanted.place(mission)
    }

    fn is_newest(&self, change: &Change<ShownMission>) -> bool {
        let stored = self.world.index.seq(self.organization, MissionId(change.id));
        // What cannot be read is as it was told.
        stored.map_or(true, |stored| stored.is_some_and(|seq| seq <= change.seq))
    }

    fn shared(&self, boards: &Boards, board: u64, most: usize) -> Arc<Shared<ListReading<Place>>> {
        boards.lists.of(board, &self.wanted, most)
    }

    fn read(&self, most: usize) -> LocalBoxFuture<'static, Result<Listing<Place>, Fault>> {
        let Self { world, organization, wanted } = self.clone();
        Box::pin(async move {
            let index = world.index.clone();
            world.read(move || index.first(organization, &wanted, most)).await
        })
    }
}

impl InboxList {
    /// What waits for `person`, whose role is always what `role` says.
    pub fn new(world: Arc<World>, person: &Person, role: Rc<Cell<Role>>) -> Self {
        let read_for = Rc::new(Cell::new(role.get()));
        Self { world, organization: person.organization.id, person: person.id, role, read_for }
    }

    fn is_for_the_person(&self, whose: Whose) -> bool {
        inboxes(self.person, self.role.get(), self.organization).contains(&whose)
    }
}

impl List for InboxList {
    type Value = Filed;
    type Place = Reverse<Uuid>;

    const NOTICE: &'static str = INBOX_CHANGED;
    const ENTRY: &'static str = "item";
    const KIND: WatchKind = WatchKind::Inbox;

    fn shelf(boards: &Boards) -> &Shelf<Filed> {
        &boards.inbox
    }

    fn place(&self, filed: &Filed) -> Option<Reverse<Uuid>> {
        self.is_for_the_person(filed.whose).then_some(Reverse(filed.item.id))
    }

    fn is_newest(&self, change: &Change<Filed>) -> bool {
        let stored = change.now.as_ref().map(|now| self.world.inbox.get(now.value.whose, change.id));
        stored.is_none_or(|stored| stored.map_or(true, |item| item.is_some()))
    }

    fn is_outdated(&self) -> bool {
        self.role.get() != self.read_for.get()
    }

    fn read(&self, most: usize) -> LocalBoxFuture<'static, Result<Listing<Reverse<Uuid>>, Fault>> {
        let list = self.clone();
        Box::pin(async move {
            loop {
                let role = list.role.get();
                let (inbox, whose) = (list.world.inbox.clone(), inboxes(list.person, role, list.organization));
                let listing = list.world.read(move || inbox.newest(&whose, None, most)).await?;
                // What a person may see can have changed meanwhile.
                if list.role.get() == role {
                    list.read_for.set(role);
                    return Ok(listing);
                }
            }
        })
    }
}

/// Whose inboxes a person of `role` sees.
pub(crate) fn inboxes(person: UserId, role: Role, organization: OrganizationId) -> Vec<Whose> {
    static ANSWERERS: LazyLock<Who> =
        LazyLock::new(|| ops::find(AnswerApproval::METHOD).map_or(Who::Roles(&[]), |answer| answer.who));
    let asked = ANSWERERS.includes(Some(role)).then_some(Whose::Organization(organization));
    asked.into_iter().chain([Whose::Person(person)]).collect()
}
