//! The inbox: what waits for people, written in the same commit as the events that it follows from.
//!
//! What an agent asks waits for an organization, so that one entry serves
//! everyone who may answer. How a mission ended waits for its owner alone.

use std::{
    cmp::Reverse,
    ops::{Bound, ControlFlow},
    sync::Arc,
};

use bytes::Bytes;
use flightdeck_protocol::{
    Event, EventFrame, OrganizationId, Timestamp, UserId,
    model::{Approval, ApprovalOption, ApprovalStatus, Author, InboxItem, InboxKind, Mission, MissionStatus},
};
use uuid::{Builder, Uuid};

use crate::{
    listing::{Listed, Listing},
    store::{Direction, Space, Store, StoreError, Write},
};

/// The version byte before an entry.
const VERSION: u8 = 1;
/// How many ends of missions wait for a person; older ones are dropped.
pub const ENDS: usize = 500;
/// Characters of what is asked, and of an option's label: the mission has the whole of them.
const PROMPT: usize = 1_000;
const LABEL: usize = 100;

/// Whom an item waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// Everyone in the organization who may answer.
    Organization(OrganizationId),
    /// One person.
    Person(UserId),
}

/// An item and whom it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filed {
    /// Whom it waits for.
    pub whose: Whose,
    /// The position, in its mission, of the event that made it what it is.
    pub seq: u64,
    /// The item.
    pub item: InboxItem,
}

/// A change of the inbox that follows from an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something waits.
    Put(Filed),
    /// It waits no longer.
    Remove {
        /// Whom it waited for.
        whose: Whose,
        /// The item.
        id: Uuid,
        /// The position of the event that it follows from.
        seq: u64,
    },
}

/// Why the inbox could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The inbox, as read from a store.
#[derive(Clone)]
pub struct Inbox {
    store: Arc<dyn Store>,
}

impl Change {
    /// What is to be written; `json` is the item's.
    pub fn write(&self, json: &[u8]) -> Write {
        match self {
            Self::Put(filed) => {
                let value = [&[VERSION], filed.seq.to_be_bytes().as_slice(), json].concat();
                Write::put(Space::Inbox, key(filed.whose, filed.item.id), value)
            }
            Self::Remove { whose, id, .. } => Inbox::remove(*whose, *id),
        }
    }
}

impl Inbox {
    /// The inbox in `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The write that takes an item away.
    pub fn remove(whose: Whose, id: Uuid) -> Write {
        Write::remove(Space::Inbox, key(whose, id))
    }

    /// What is to be removed to make room for one more end of a mission: the oldest.
    ///
    /// # Errors
    /// When the store fails.
    pub fn make_room(&self, person: UserId) -> Result<Vec<Uuid>, InboxError> {
        let (mut kept, mut old) = (1, Vec::new());
        self.scan(Whose::Person(person), None, &mut |key, _| {
            kept += 1;
            if kept > ENDS {
                old.push(id_in(key));
            }
            ControlFlow::Continue(())
        })?;
        Ok(old)
    }

    /// The item `id`, if it waits for `whose`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn get(&self, whose: Whose, id: Uuid) -> Result<Option<InboxItem>, InboxError> {
        let value = self.store.get(Space::Inbox, &key(whose, id))?;
        Ok(value.and_then(|value| item(id, read(id, &value)?.1)))
    }

    /// The newest `most` items that wait for any of `whose`, newest first; those older than `before` where it is given.
    ///
    /// # Errors
    /// When the store fails. A damaged entry is logged and passed over.
    pub fn newest(
        &self,
        whose: &[Whose],
        before: Option<Uuid>,
        most: usize,
    ) -> Result<Listing<Reverse<Uuid>>, InboxError> {
        let (mut items, mut whole) = (Vec::new(), true);
        for whose in whose {
            let mut found = 0;
            self.scan(*whose, before, &mut |key, value| {
                if found == most {
                    whole = false;
                    return ControlFlow::Break(());
                }
                let id = id_in(key);
                if let Some((seq, json)) = read(id, value) {
                    found += 1;
                    items.push(Listed { id, seq, place: Reverse(id), json: Bytes::copy_from_slice(json) });
                }
                ControlFlow::Continue(())
            })?;
        }
        items.sort_by_key(|listed| listed.place);
        whole &= items.len() <= most;
        items.truncate(most);
        Ok(Listing { items, whole, from: Uuid::nil() })
    }

    /// What waits for `whose`, newest first.
    fn scan(&self, whose: Whose, before: Option<Uuid>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let (first, last) = (key(whose, Uuid::nil()), key(whose, before.unwrap_or(Uuid::max())));
        let range = (Bound::Included(first.as_slice()), Bound::Excluded(last.as_slice()));
        self.store.scan(Space::Inbox, range, Direction::Backward, visit)
    }
}

/// Sees a key and its value, and says whether to go on.
type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// What `frame` changes in the inbox; `after` is the mission with all that was decided together.
pub fn changes(frame: &EventFrame, after: &Mission) -> Vec<Change> {
    let (seq, everyone) = (frame.seq, Whose::Organization(after.organization));
    let remove = |whose, id| Change::Remove { whose, id, seq };
    match &frame.event {
        Event::ApprovalRequested { approval, .. } => asked(after, |asked| asked.id == *approval, seq),
        // What is asked shows the mission's title.
        Event::MissionUpdated { title: Some(_), .. } => asked(after, |_| true, seq),
        Event::ApprovalAnswered { approval, .. } | Event::ApprovalWithdrawn { approval } => {
            vec![remove(everyone, approval.0)]
        }
        Event::StatusChanged { to, reason, .. } => match (ended(*to), &after.owner) {
            (Some(kind), Author::Person { id: owner, .. }) if !is(&frame.by, *owner) => {
                let prompt = reason.as_deref().filter(|_| kind == InboxKind::MissionFailed);
                let item = InboxItem {
                    id: end_id(after, frame.at),
                    kind,
                    mission: after.id,
                    title: after.title.clone(),
                    at: frame.at,
                    prompt: prompt.map(|reason| cut(reason, PROMPT)),
                    options: Vec::new(),
                };
                vec![Change::Put(Filed { whose: Whose::Person(*owner), seq, item })]
            }
            _ => Vec::new(),
        },
        Event::MissionDeleted => {
            let approvals = after.approvals.iter().filter(|asked| asked.status == ApprovalStatus::Pending);
            let mut gone: Vec<Change> = approvals.map(|asked| remove(everyone, asked.id.0)).collect();
            if let (Author::Person { id, .. }, Some(at)) = (&after.owner, after.completed_at) {
                gone.push(remove(Whose::Person(*id), end_id(after, at)));
            }
            gone
        }
        _ => Vec::new(),
    }
}

/// The items of what is asked in `mission` and waits for an answer.
fn asked(mission: &Mission, which: impl Fn(&Approval) -> bool, seq: u64) -> Vec<Change> {
    let pending = mission.approvals.iter().filter(|asked| asked.status == ApprovalStatus::Pending && which(asked));
    let put = |asked: &Approval| {
        let options = asked.options.iter();
        let item = InboxItem {
            id: asked.id.0,
            kind: InboxKind::Approval,
            mission: mission.id,
            title: mission.title.clone(),
            at: asked.asked_at,
            prompt: Some(cut(&asked.prompt, PROMPT)),
            options: options
                .map(|option| ApprovalOption { id: option.id.clone(), label: cut(&option.label, LABEL) })
                .collect(),
        };
        Change::Put(Filed { whose: Whose::Organization(mission.organization), seq, item })
    };
    pending.map(put).collect()
}

fn ended(status: MissionStatus) -> Option<InboxKind> {
    match status {
        MissionStatus::Completed => Some(InboxKind::MissionCompleted),
        MissionStatus::Failed => Some(InboxKind::MissionFailed),
        _ => None,
    }
}

fn is(author: &Author, person: UserId) -> bool {
    matches!(author, Author::Person { id, .. } if *id == person)
}

/// The id of the item that tells of the end of `mission`: ordered by the time, as all ids
/// are, and found again when the mission is deleted.
fn end_id(mission: &Mission, at: Timestamp) -> Uuid {
    let (_, own) = mission.id.as_bytes().split_at(6);
    let own: [u8; 10] = own.try_into().unwrap_or_default();
    Builder::from_unix_timestamp_millis(u64::try_from(at.as_millis()).unwrap_or(0), &own).into_uuid()
}

/// The text, or its beginning.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn key(whose: Whose, id: Uuid) -> Vec<u8> {
    let (kind, whose) = match &whose {
        Whose::Organization(organization) => (1, organization.as_bytes()),
        Whose::Person(person) => (2, person.as_bytes()),
    };
    [&[kind], whose.as_slice(), id.as_bytes()].concat()
}

/// The id in a key.
fn id_in(key: &[u8]) -> Uuid {
    key.get(17..).and_then(|id| Uuid::from_slice(id).ok()).unwrap_or_default()
}

/// The position and the JSON of an entry.
fn read(id: Uuid, value: &[u8]) -> Option<(u64, &[u8])> {
    let entry = match value.split_first() {
        Some((&VERSION, rest)) => rest.split_first_chunk::<8>(),
        _ => None,
    };
    if entry.is_none() {
        tracing::error!(item = %id, "an entry of the inbox is damaged or newer than this server; it is passed over");
    }
    entry.map(|(seq, json)| (u64::from_be_bytes(*seq), json))
}

/// Reads an item that was listed.
pub fn item(id: Uuid, json: &[u8]) -> Option<InboxItem> {
    serde_json::from_slice(json)
        .inspect_err(|error| tracing::error!(item = %id, %error, "an entry of the inbox is damaged; it is passed over"))
        .ok()
}
