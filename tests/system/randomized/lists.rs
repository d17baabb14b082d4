//! What one tab knows of a list: its entries, as the answer and every change since make them.

use std::collections::{BTreeMap, HashMap};

use flightdeck_protocol::operations::{InboxWatch, ListOrder, MissionsWatch};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

/// A list that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum List {
    /// Every mission.
    All,
    /// The first few missions by title.
    First,
    /// What waits for the person.
    Inbox,
}

impl List {
    pub(super) const EACH: [Self; 3] = [Self::All, Self::First, Self::Inbox];
    /// The longest list that there may be.
    pub(super) const MOST: u32 = 500;
    const FEW: u32 = 5;

    /// The operations that begin a watch of it and end it.
    pub(super) fn methods(self) -> (&'static str, &'static str) {
        match self {
            Self::All | Self::First => ("missions.watch", "missions.unwatch"),
            Self::Inbox => ("inbox.watch", "inbox.unwatch"),
        }
    }

    /// The parameters of a watch of it.
    pub(super) fn params(self, sub: &str) -> Value {
        let sub = sub.to_owned();
        match self {
            Self::All => json!(MissionsWatch { sub, limit: Some(Self::MOST), ..MissionsWatch::default() }),
            Self::First => json!(MissionsWatch {
                sub,
                order: ListOrder::Title,
                limit: Some(Self::FEW),
                ..MissionsWatch::default()
            }),
            Self::Inbox => json!(InboxWatch { sub }),
        }
    }

    fn most(self) -> usize {
        if self == Self::First { Self::FEW as usize } else { Self::MOST as usize }
    }
}

/// What the server says is in a list, by id.
pub(super) type Entries = BTreeMap<Uuid, Value>;

/// The entries of the answer to a watch, or of a page.
pub(super) fn entries(items: Value) -> Entries {
    let Value::Array(items) = items else { panic!("no list: {items}") };
    items.into_iter().map(|item| (id_of(&item), item)).collect()
}

fn id_of(item: &Value) -> Uuid {
    serde_json::from_value(item["id"].clone()).expect("an id")
}

/// What a tab knows of its lists.
#[derive(Default)]
pub(super) struct Lists(HashMap<List, Entries>);

impl Lists {
    /// A watch stands, and this is the list.
    pub(super) fn begin(&mut self, list: List, items: Value) {
        self.0.insert(list, entries(items));
    }

    /// Takes in a notice of changes.
    pub(super) fn take(&mut self, list: List, mut params: Value) {
        let entries = self.0.get_mut(&list).expect("the list, before changes of it");
        let reset = params["reset"] == true;
        if reset {
            entries.clear();
        }
        let Value::Array(changes) = params["changes"].take() else { panic!("no changes: {params}") };
        assert!(reset || !changes.is_empty(), "a notice that says nothing");
        for mut change in changes {
            match change["op"].as_str() {
                Some("put") => {
                    let entry = change[if list == List::Inbox { "item" } else { "mission" }].take();
                    let seq = |entry: &Value| entry["seq"].as_u64();
                    let before = entries.insert(id_of(&entry), entry.clone());
                    assert!(before.is_none_or(|before| seq(&before) <= seq(&entry)), "an older {entry} after a newer");
                }
                Some("remove") => {
                    assert!(entries.remove(&id_of(&change)).is_some(), "taken out, and not there: {change}");
                }
                _ => panic!("no change: {change}"),
            }
        }
        assert!(entries.len() <= list.most(), "{} entries in {list:?}", entries.len());
    }

    /// Whether the list is as it should be.
    pub(super) fn is(&self, list: List, truth: &Entries) -> bool {
        self.0.get(&list) == Some(truth)
    }

    /// How the list differs from what it should be.
    pub(super) fn difference(&self, list: List, truth: &Entries) -> String {
        let Some(known) = self.0.get(&list) else { return format!("{list:?} is not known") };
        let ids = known.keys().chain(truth.keys());
        let first = ids.filter(|id| known.get(id) != truth.get(id)).min();
        format!("{list:?}: {first:?} is {:?} here", first.map(|id| (known.get(id), truth.get(id))))
    }
}
