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
    people::Directory,
};
use flightdeck_protocol::{
    Code, Fault, Operation as _, OrganizationId, UserId,
    model::{Person, Role},
    notification::{INBOX_CHANGED, MISSIONS_CHANGED},
    operations::{self as ops, AnswerApproval, WatchKind, Who},
};
use futures_util::future::LocalBoxFuture;
use uuid::Uuid;

use super::{
    List,
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
    directory: Directory,
    organization: OrganizationId,
    person: UserId,
    /// The role as it was when the list was last read.
    role: Rc<Cell<Role>>,
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

    fn read(&self, most: usize) -> LocalBoxFuture<'static, Result<Listing<Place>, Fault>> {
        let Self { world, organization, wanted } = self.clone();
        Box::pin(async move {
            let index = world.index.clone();
            world.read(move || index.first(organization, &wanted, most)).await
        })
    }
}

impl InboxList {
    /// What waits for `person`.
    pub fn new(world: Arc<World>, directory: Directory, person: &Person) -> Self {
        let (organization, role) = (person.organization.id, Rc::new(Cell::new(person.role)));
        Self { world, directory, organization, person: person.id, role }
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

    fn read(&self, most: usize) -> LocalBoxFuture<'static, Result<Listing<Reverse<Uuid>>, Fault>> {
        let list = self.clone();
        Box::pin(async move {
            let Self { world, directory, organization, person, role } = list;
            let inbox = world.inbox.clone();
            let read = world.read(move || {
                // What a person may see can have changed since the session began.
                let Some(known) = directory.person(person).map_err(|error| error.to_string())?.filter(|p| p.active)
                else {
                    return Ok(None);
                };
                let listing = inbox.newest(&inboxes(person, known.role, organization), None, most);
                listing.map(|listing| Some((known.role, listing))).map_err(|error| error.to_string())
            });
            let Some((now, listing)) = read.await? else {
                return Err(Fault::new(Code::AccountClosed, "this account is closed or gone; ask an admin"));
            };
            role.set(now);
            Ok(listing)
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
