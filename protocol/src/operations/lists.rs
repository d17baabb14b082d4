//! Parameters and answers about live lists: missions for a dashboard, and a person's inbox.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    ids::UserId,
    model::{InboxItem, MissionStatus, MissionSummary},
};

/// Which missions to watch as a list: those that fit among the organization's newest 50,000.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MissionsWatch {
    /// The client's own name for this watch, 1 to 64 characters: notifications carry it.
    pub sub: String,
    /// Those in one of these statuses alone; all where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<MissionStatus>,
    /// Those of this sort alone.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub mission_type: Option<String>,
    /// Those of this agent kind alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Those that this person owns alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// What comes first.
    #[serde(default)]
    pub order: ListOrder,
    /// How many at most, the first in `order`: 1 to 500, 100 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// What comes first in a list of missions; where two are alike, the newer one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListOrder {
    /// The newest.
    #[default]
    Newest,
    /// The most urgent.
    Priority,
    /// The first by title, letter by letter in lower case.
    Title,
}

/// The watch stands; changes follow as `missions.changed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MissionsWatching {
    /// The client's name for the watch.
    pub sub: String,
    /// The missions, in order.
    pub items: Vec<MissionSummary>,
}

/// Which part of the inbox to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InboxQuery {
    /// How many at most: 1 to 200, 50 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Those before this item: the `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Uuid>,
}

/// A page of the inbox, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InboxPage {
    /// The items.
    pub items: Vec<InboxItem>,
    /// What to give as `before` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Uuid>,
}

/// How to watch the inbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InboxWatch {
    /// The client's own name for this watch, 1 to 64 characters: notifications carry it.
    pub sub: String,
}

/// The watch stands; changes follow as `inbox.changed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InboxWatching {
    /// The client's name for the watch.
    pub sub: String,
    /// The newest items, newest first: the greatest id is first, also of two of the same moment.
    pub items: Vec<InboxItem>,
}

/// Which item to take out of the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InboxDismiss {
    /// The item. One that asks something goes when it is answered, and not before.
    pub item: Uuid,
}
