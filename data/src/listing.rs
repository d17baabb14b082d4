//! Lists in an order: which missions belong in one, where each stands, and the first of them.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    ops::{Bound, ControlFlow},
};

use bytes::Bytes;
use flightdeck_protocol::{
    MissionId, OrganizationId, UserId,
    model::{Author, MissionStatus, MissionSummary},
    operations::{ListOrder, MissionsWatch},
};
use uuid::Uuid;

use crate::{
    index::{Index, IndexError, key, read_summary},
    store::{Direction, Space},
};

/// How many missions one listing looks at, the newest first. Those of a larger organization that
/// are older are in no list.
const LOOKED_AT: usize = 50_000;

/// The first of what fits a list, in order.
#[derive(Clone, Debug)]
pub struct Listing<P> {
    /// The entries.
    pub items: Vec<Listed<P>>,
    /// Whether nothing else fits.
    pub whole: bool,
    /// What is older than this, by its id, was not looked at and does not belong.
    pub from: Uuid,
}

/// An entry of a list.
#[derive(Clone, Debug)]
pub struct Listed<P> {
    /// What it is.
    pub id: Uuid,
    /// The position of the event that made it what it is: a higher one is newer.
    pub seq: u64,
    /// Where it stands; no two stand at the same place.
    pub place: P,
    /// It as JSON.
    pub json: Bytes,
}

/// Which missions belong in a list, and in what order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Those in one of these statuses; all where empty.
    pub status: Vec<MissionStatus>,
    /// Those of this sort.
    pub mission_type: Option<String>,
    /// Those of this agent kind.
    pub agent: Option<String>,
    /// Those of this owner.
    pub owner: Option<UserId>,
    /// What comes first.
    pub order: ListOrder,
}

/// Where a mission stands in a list: less is earlier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    urgency: Reverse<u8>,
    /// In lower case; empty where the order does not ask for it.
    title: String,
    /// Ids are made in the order of time.
    newest: Reverse<MissionId>,
}

impl From<MissionsWatch> for Wanted {
    fn from(watch: MissionsWatch) -> Self {
        let MissionsWatch { status, mission_type, agent, owner, order, sub: _, limit: _ } = watch;
        Self { status, mission_type, agent, owner, order }
    }
}

impl Wanted {
    /// Where the mission stands in the list; `None` if it does not belong there.
    pub fn place(&self, mission: &MissionSummary) -> Option<Place> {
        let owned = |wanted| matches!(&mission.owner, Author::Person { id, .. } if *id == wanted);
        let fits = (self.status.is_empty() || self.status.contains(&mission.status))
            && self.mission_type.as_ref().is_none_or(|wanted| *wanted == mission.mission_type)
            && self.agent.as_ref().is_none_or(|wanted| mission.agent.as_ref() == Some(wanted))
            && self.owner.is_none_or(owned);
        let (urgency, title) = match self.order {
            ListOrder::Newest => (0, String::new()),
            ListOrder::Priority => (mission.priority as u8, String::new()),
            ListOrder::Title => (0, mission.title.to_lowercase()),
        };
        fits.then_some(Place { urgency: Reverse(urgency), title, newest: Reverse(mission.id) })
    }
}

impl Index {
    /// The first `most` missions of `organization` that are `wanted`.
    ///
    /// # Errors
    /// When the store fails. A damaged entry is logged and passed over.
    pub fn first(
        &self,
        organization: OrganizationId,
        wanted: &Wanted,
        most: usize,
    ) -> Result<Listing<Place>, IndexError> {
        self.first_of_newest(LOOKED_AT, organization, wanted, most)
    }

    /// The same among the `newest` missions.
    fn first_of_newest(
        &self,
        newest: usize,
        organization: OrganizationId,
        wanted: &Wanted,
        most: usize,
    ) -> Result<Listing<Place>, IndexError> {
        let first = key(organization, MissionId(Uuid::nil()));
        let last = key(organization, MissionId(Uuid::max()));
        let range = (Bound::Included(first.as_slice()), Bound::Included(last.as_slice()));
        let (mut found, mut whole, mut looked_at) = (BTreeMap::new(), true, 0);
        let mut from = Uuid::nil();
        self.store().scan(Space::Index, range, Direction::Backward, &mut |key, value| {
            if looked_at == newest {
                return ControlFlow::Break(());
            }
            looked_at += 1;
            let summary = match read_summary(key, value) {
                Ok(summary) => summary,
                Err(error) => {
                    tracing::error!(%error, "an index entry is passed over");
                    return ControlFlow::Continue(());
                }
            };
            if looked_at == newest {
                from = summary.id.0;
            }
            if let Some(place) = wanted.place(&summary) {
                let full = found.len() >= most;
                whole &= !full;
                if !full || found.last_key_value().is_some_and(|(last, _)| place < *last) {
                    // The entry is a version byte and the JSON that watchers get.
                    let json = Bytes::copy_from_slice(value.get(1..).unwrap_or_default());
                    let listed = Listed { id: summary.id.0, seq: summary.seq, place: place.clone(), json };
                    found.insert(place, listed);
                    if full {
                        found.pop_last();
                    }
                }
            }
            // Nothing that is older comes earlier in this order.
            let done = !whole && wanted.order == ListOrder::Newest;
            if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(Listing { items: found.into_values().collect(), whole, from })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flightdeck_protocol::{Timestamp, model::Priority};

    use super::*;
    use crate::store::{MemoryStore, Store as _};

    fn summary(n: u128, title: &str, status: MissionStatus, priority: Priority) -> MissionSummary {
        MissionSummary {
            id: MissionId(Uuid::from_u128(n)),
            organization: OrganizationId(Uuid::from_u128(1)),
            title: title.to_owned(),
            mission_type: if n.is_multiple_of(2) { "even" } else { "odd" }.to_owned(),
            status,
            status_reason: None,
            priority,
            progress: 0,
            owner: Author::Person { id: UserId(Uuid::from_u128(n % 3)), name: "ann".to_owned() },
            agent: (n > 3).then(|| "retrieve".to_owned()),
            created_at: Timestamp::from_millis(0),
            started_at: None,
            completed_at: None,
            estimated_at: None,
            seq: n as u64,
        }
    }

    /// Five missions of one organization, and one of another.
    fn index() -> Index {
        let store = MemoryStore::default();
        let (running, pending) = (MissionStatus::Running, MissionStatus::Pending);
        let all = [
            summary(1, "delta", running, Priority::Low),
            summary(2, "Alpha", pending, Priority::Urgent),
            summary(3, "charlie", running, Priority::Normal),
            summary(4, "alpha", MissionStatus::Completed, Priority::Urgent),
            summary(5, "Bravo", running, Priority::High),
            MissionSummary {
                organization: OrganizationId(Uuid::from_u128(2)),
                ..summary(6, "a", running, Priority::High)
            },
        ];
        store.commit(&all.map(|summary| Index::put(&summary))).unwrap();
        Index::new(Arc::new(store))
    }

    fn first(wanted: &Wanted, most: usize) -> (Vec<u128>, bool) {
        let listing = index().first(OrganizationId(Uuid::from_u128(1)), wanted, most).unwrap();
        for listed in &listing.items {
            let json: MissionSummary = serde_json::from_slice(&listed.json).unwrap();
            assert_eq!((json.id.0, json.seq), (listed.id, listed.seq));
        }
        (listing.items.iter().map(|listed| listed.id.as_u128()).collect(), listing.whole)
    }

    #[test]
    fn each_order_has_its_first_and_the_newer_one_goes_before() {
        let order = |order| Wanted { order, ..Wanted::default() };
        assert_eq!(first(&order(ListOrder::Newest), 3), (vec![5, 4, 3], false));
        assert_eq!(first(&order(ListOrder::Newest), 5), (vec![5, 4, 3, 2, 1], true));
        assert_eq!(first(&order(ListOrder::Priority), 4), (vec![4, 2, 5, 3], false));
        assert_eq!(first(&order(ListOrder::Title), 3), (vec![4, 2, 5], false));
        assert_eq!(first(&order(ListOrder::Title), 9), (vec![4, 2, 5, 3, 1], true));
    }

    #[test]
    fn what_is_older_than_a_listing_looks_at_does_not_belong() {
        let (organization, wanted) = (OrganizationId(Uuid::from_u128(1)), Wanted::default());
        let listed = |newest| index().first_of_newest(newest, organization, &wanted, 9).unwrap();
        let from = |newest| (listed(newest).items.len(), listed(newest).whole, listed(newest).from.as_u128());
        assert_eq!(from(6), (5, true, 0), "all were looked at");
        assert_eq!(from(3), (3, true, 3), "the third is the last that belongs");
        assert_eq!(index().seq(organization, MissionId(Uuid::from_u128(3))).unwrap(), Some(3));
        assert_eq!(index().seq(organization, MissionId(Uuid::from_u128(6))).unwrap(), None);
    }

    #[test]
    fn what_is_not_wanted_is_not_there() {
        let status = vec![MissionStatus::Running, MissionStatus::Pending];
        assert_eq!(first(&Wanted { status, ..Wanted::default() }, 9), (vec![5, 3, 2, 1], true));
        let mission_type = Some("even".to_owned());
        assert_eq!(first(&Wanted { mission_type, ..Wanted::default() }, 9), (vec![4, 2], true));
        let agent = Some("retrieve".to_owned());
        assert_eq!(first(&Wanted { agent, ..Wanted::default() }, 9), (vec![5, 4], true));
        let owner = Some(UserId(Uuid::from_u128(2)));
        assert_eq!(first(&Wanted { owner, ..Wanted::default() }, 1), (vec![5], false));
    }

    #[test]
    fn a_damaged_entry_takes_no_other_with_it() {
        let store = MemoryStore::default();
        let good = summary(1, "good", MissionStatus::Running, Priority::Low);
        let mut bad = Index::put(&summary(2, "bad", MissionStatus::Running, Priority::Low));
        bad.value = Some(vec![9]);
        store.commit(&[Index::put(&good), bad]).unwrap();
        let listing = Index::new(Arc::new(store)).first(good.organization, &Wanted::default(), 9).unwrap();
        assert_eq!(listing.items.iter().map(|listed| listed.id).collect::<Vec<_>>(), [good.id.0]);
    }
}
