//! A store in memory, for tests: same rules, nothing kept.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, PoisonError, RwLock},
};

use super::{Direction, KeyRange, Space, Store, StoreError, Visit, Write, prefixed, prefixed_range};

/// A store that lives and dies with the process. Clones share their content.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    map: Arc<RwLock<BTreeMap<Vec<u8>, Vec<u8>>>>,
}

impl Store for MemoryStore {
    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        writes.iter().try_for_each(Write::check)?;
        // A poisoned lock is no reason to stop: nothing below can panic half-way through a commit.
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        for write in writes {
            let key = prefixed(write.space, &write.key);
            match &write.value {
                Some(value) => map.insert(key, value.clone()),
                None => map.remove(&key),
            };
        }
        Ok(())
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        Ok(map.get(&prefixed(space, key)).cloned())
    }

    fn scan(
        &self,
        space: Space,
        range: KeyRange<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let Some(range) = prefixed_range(space, range) else { return Ok(()) };
        // Copied out, so that a visitor may use the store.
        let found: Vec<(Vec<u8>, Vec<u8>)> = {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            map.range(range).map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        let mut show = |(key, value): &(Vec<u8>, Vec<u8>)| visit(&key[1..], value);
        let _: ControlFlow<()> = match direction {
            Direction::Forward => found.iter().try_for_each(&mut show),
            Direction::Backward => found.iter().rev().try_for_each(&mut show),
        };
        Ok(())
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        Ok(map.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    #[test]
    fn conforms() {
        conformance::run(&MemoryStore::default());
    }
}
