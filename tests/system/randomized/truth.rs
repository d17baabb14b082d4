//! The truth: how everything is once it is quiet, as the server says it to whoever asks anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use flightdeck_protocol::{UserId, model::Role, notification::Present};

use super::lists::{Entries, List};

/// What can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Watched {
    /// A mission, by its number.
    Mission(usize),
    List(List),
}

/// Who is in a mission, and as what.
pub(super) type Company = BTreeMap<UserId, Role>;

/// Those of a notice of presence.
pub(super) fn company(people: &[Present]) -> Company {
    people.iter().map(|person| (person.id, person.role)).collect()
}

/// How everything is.
pub(super) struct Truth {
    /// The positions of the missions.
    pub(super) heads: Vec<u64>,
    /// Who watches each.
    pub(super) company: Vec<Company>,
    /// What each person's lists have.
    pub(super) lists: HashMap<(UserId, List), Entries>,
}

impl Truth {
    /// Who watches each of `missions` missions, where these people watch these.
    pub(super) fn company(missions: usize, watching: &[(UserId, Role, BTreeSet<Watched>)]) -> Vec<Company> {
        let there = |mission| {
            let watching = watching.iter().filter(move |(_, _, watched)| watched.contains(&Watched::Mission(mission)));
            watching.map(|(person, role, _)| (*person, *role)).collect()
        };
        (0..missions).map(there).collect()
    }
}
