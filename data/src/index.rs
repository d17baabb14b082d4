//! The index over missions: what a list shows without loading any of them.
//!
//! It is written in the same commit as the events that change it, so the two
//! never disagree.

use std::{
    ops::{Bound, ControlFlow},
    sync::Arc,
};

use flightdeck_protocol::{
    DocumentId, MissionId, OrganizationId,
    model::MissionSummary,
    operations::{MissionPage, MissionQuery},
};
use uuid::Uuid;

use crate::store::{Direction, Space, Store, StoreError, Write};

/// The version byte before the JSON of a summary.
const VERSION: u8 = 1;
/// How many entries one listing looks at before it gives a page with what it has.
const SCAN_LIMIT: usize = 20_000;

/// Why the index could not be read.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry is not what it should be.
    #[error("the index entry of mission {mission} is damaged: {what}")]
    Damaged {
        /// The mission.
        mission: MissionId,
        /// What is wrong.
        what: String,
    },
}

/// The index, as read from a store.
#[derive(Clone)]
pub struct Index {
    store: Arc<dyn Store>,
}

impl Index {
    /// The index in `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The write that puts or renews a mission's entry.
    pub fn put(summary: &MissionSummary) -> Write {
        // A summary is plain data: it can always be written as JSON.
        Self::put_json(summary, &serde_json::to_vec(summary).unwrap_or_default())
    }

    /// The same for a summary that is there as JSON already.
    pub fn put_json(summary: &MissionSummary, json: &[u8]) -> Write {
        let value = [&[VERSION], json].concat();
        Write::put(Space::Index, key(summary.organization, summary.id), value)
    }

    /// The write that takes a mission's entry away.
    pub fn remove(organization: OrganizationId, mission: MissionId) -> Write {
        Write::remove(Space::Index, key(organization, mission))
    }

    /// The write that says which mission a document belongs to.
    pub fn put_document(document: DocumentId, organization: OrganizationId, mission: MissionId) -> Write {
        Write::put(Space::Documents, document.as_bytes().as_slice(), key(organization, mission))
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The position of the event that made the mission's entry what it is; `None` where there is none.
    ///
    /// # Errors
    /// When the store fails, or the entry is damaged.
    pub fn seq(&self, organization: OrganizationId, mission: MissionId) -> Result<Option<u64>, IndexError> {
        let key = key(organization, mission);
        let value = self.store.get(Space::Index, &key)?;
        value.map(|value| read_summary(&key, &value).map(|summary| summary.seq)).transpose()
    }

    /// Whether `organization` has `mission`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn has(&self, organization: OrganizationId, mission: MissionId) -> Result<bool, IndexError> {
        Ok(self.store.get(Space::Index, &key(organization, mission))?.is_some())
    }

    /// The organization and the mission of a document.
    ///
    /// # Errors
    /// When the store fails.
    pub fn document(&self, document: DocumentId) -> Result<Option<(OrganizationId, MissionId)>, IndexError> {
        let value = self.store.get(Space::Documents, document.as_bytes())?;
        Ok(value.as_deref().and_then(read_key))
    }

    /// A page of the missions of `organization` that fit `query`, newest first.
    ///
    /// # Errors
    /// When the store fails or an entry is damaged.
    pub fn list(
        &self,
        organization: OrganizationId,
        query: &MissionQuery,
        limit: usize,
    ) -> Result<MissionPage, IndexError> {
        let first = key(organization, MissionId(Uuid::nil()));
        let last = key(organization, query.before.unwrap_or(MissionId(Uuid::max())));
        let (mut items, mut seen, mut next, mut failed) = (Vec::new(), 0, None, None);
        let mut last_seen = None;
        let range = (Bound::Included(first.as_slice()), Bound::Excluded(last.as_slice()));
        self.store.scan(Space::Index, range, Direction::Backward, &mut |key, value| {
            if items.len() == limit || seen == SCAN_LIMIT {
                next = last_seen;
                return ControlFlow::Break(());
            }
            seen += 1;
            last_seen = read_key(key).map(|(_, mission)| mission);
            match read_summary(key, value) {
                Ok(summary) => {
                    let fits = query.status.is_none_or(|status| status == summary.status)
                        && query.mission_type.as_ref().is_none_or(|wanted| *wanted == summary.mission_type);
                    if fits {
                        items.push(summary);
                    }
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(MissionPage { items, next }), Err)
    }

    /// Every mission whose agent is to run, in all organizations.
    ///
    /// # Errors
    /// When the store fails. A damaged entry is logged and passed over.
    pub fn with_active_agents(&self) -> Result<Vec<MissionId>, IndexError> {
        let mut found = Vec::new();
        let all = (Bound::Unbounded, Bound::Unbounded);
        self.store.scan(Space::Index, all, Direction::Forward, &mut |key, value| {
            match read_summary(key, value) {
                Ok(summary) if summary.agent.is_some() && summary.status.is_active() => found.push(summary.id),
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "an index entry is passed over"),
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }
}

pub(crate) fn key(organization: OrganizationId, mission: MissionId) -> Vec<u8> {
    [organization.as_bytes().as_slice(), mission.as_bytes()].concat()
}

fn read_key(key: &[u8]) -> Option<(OrganizationId, MissionId)> {
    let (organization, mission) = key.split_at_checked(16)?;
    Some((Uuid::from_slice(organization).ok()?.into(), Uuid::from_slice(mission).ok()?.into()))
}

pub(crate) fn read_summary(key: &[u8], value: &[u8]) -> Result<MissionSummary, IndexError> {
    let mission = read_key(key).map_or(MissionId(Uuid::nil()), |(_, mission)| mission);
    let damaged = |what: String| IndexError::Damaged { mission, what };
    match value.split_first() {
        Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|error| damaged(error.to_string())),
        Some((version, _)) => Err(damaged(format!("version {version} is not known to this server"))),
        None => Err(damaged("it is empty".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use flightdeck_protocol::{
        Timestamp,
        model::{Author, MissionStatus, Priority},
    };

    use super::*;
    use crate::store::MemoryStore;

    fn summary(organization: u128, n: u128, status: MissionStatus) -> MissionSummary {
        MissionSummary {
            id: MissionId(Uuid::from_u128(n)),
            organization: OrganizationId(Uuid::from_u128(organization)),
            title: format!("mission {n}"),
            mission_type: "general".to_owned(),
            status,
            status_reason: None,
            priority: Priority::Normal,
            progress: 0,
            owner: Author::System,
            agent: Some("retrieve".to_owned()),
            created_at: Timestamp::from_millis(0),
            started_at: None,
            completed_at: None,
            estimated_at: None,
            seq: 1,
        }
    }

    fn index() -> Index {
        let store = MemoryStore::default();
        for n in 1..=5 {
            let status = if n % 2 == 0 { MissionStatus::Running } else { MissionStatus::Pending };
            store.commit(&[Index::put(&summary(1, n, status))]).unwrap();
        }
        store.commit(&[Index::put(&summary(2, 9, MissionStatus::Running))]).unwrap();
        Index::new(Arc::new(store))
    }

    fn numbers(page: &MissionPage) -> Vec<u128> {
        page.items.iter().map(|summary| summary.id.0.as_u128()).collect()
    }

    #[test]
    fn pages_follow_on_each_other_newest_first_and_stay_in_the_organization() {
        let (index, organization) = (index(), OrganizationId(Uuid::from_u128(1)));
        let mut query = MissionQuery::default();
        let mut seen = Vec::new();
        loop {
            let page = index.list(organization, &query, 2).unwrap();
            seen.extend(numbers(&page));
            query.before = page.next;
            if query.before.is_none() {
                break;
            }
        }
        assert_eq!(seen, [5, 4, 3, 2, 1]);
        let running = MissionQuery { status: Some(MissionStatus::Running), ..MissionQuery::default() };
        assert_eq!(numbers(&index.list(organization, &running, 10).unwrap()), [4, 2]);
    }

    #[test]
    fn a_mission_belongs_to_one_organization() {
        let index = index();
        let mission = MissionId(Uuid::from_u128(9));
        assert!(index.has(OrganizationId(Uuid::from_u128(2)), mission).unwrap());
        assert!(!index.has(OrganizationId(Uuid::from_u128(1)), mission).unwrap());
    }

    #[test]
    fn agents_that_were_at_work_are_found_in_every_organization() {
        let found: Vec<u128> = index().with_active_agents().unwrap().iter().map(|id| id.0.as_u128()).collect();
        assert_eq!(found, [2, 4, 9]);
    }
}
