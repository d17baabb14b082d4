//! A wrapper whose commits and reads fail, or wait, on demand, for tests of what sits above a store.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Direction, KeyRange, Space, Store, StoreError, Visit, Write};

/// A store that does as the test says. Clones share their switches.
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    switches: Arc<(Mutex<Switches>, Condvar)>,
}

#[derive(Default)]
struct Switches {
    fail: bool,
    fail_reads: Option<Space>,
    reads: usize,
    hold_reads: Option<Space>,
    reading: usize,
    hold: bool,
    held: usize,
    commits: usize,
}

impl FaultyStore {
    /// Wraps `inner`; commits go through until told otherwise.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, switches: Arc::default() }
    }

    /// Whether the commits that begin from now on fail without doing anything.
    pub fn fail_commits(&self, fail: bool) {
        self.lock().fail = fail;
    }

    /// In which space nothing can be read from now on, if anywhere.
    pub fn fail_reads(&self, of: Option<Space>) {
        self.lock().fail_reads = of;
    }

    /// How many values were asked for.
    pub fn reads(&self) -> usize {
        self.lock().reads
    }

    /// In which space whoever reads waits from now on, if anywhere; those who wait elsewhere go on.
    pub fn hold_reads(&self, of: Option<Space>) {
        self.lock().hold_reads = of;
        self.switches.1.notify_all();
    }

    /// Blocks until so many are held who read.
    pub fn wait_until_reading(&self, many: usize) {
        let mut switches = self.lock();
        while switches.reading < many {
            switches = self.switches.1.wait(switches).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Makes commits wait, before they do anything, until they are released.
    pub fn hold_commits(&self) {
        self.lock().hold = true;
    }

    /// Lets held commits, and those to come, go.
    pub fn release_commits(&self) {
        self.lock().hold = false;
        self.switches.1.notify_all();
    }

    /// Blocks until a commit is being held.
    pub fn wait_until_held(&self) {
        let mut switches = self.lock();
        while switches.held == 0 {
            switches = self.switches.1.wait(switches).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many commits were begun.
    pub fn commits(&self) -> usize {
        self.lock().commits
    }

    fn read(&self, space: Space) -> Result<(), StoreError> {
        let mut switches = self.lock();
        switches.reads += 1;
        if switches.hold_reads == Some(space) {
            switches.reading += 1;
            self.switches.1.notify_all();
            while switches.hold_reads == Some(space) {
                switches = self.switches.1.wait(switches).unwrap_or_else(PoisonError::into_inner);
            }
            switches.reading -= 1;
        }
        match switches.fail_reads {
            Some(fails) if fails == space => Err(StoreError::Failed { what: "told to fail".to_owned() }),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Switches> {
        self.switches.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for FaultyStore {
    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        {
            let mut switches = self.lock();
            switches.commits += 1;
            switches.held += 1;
            self.switches.1.notify_all();
            while switches.hold {
                switches = self.switches.1.wait(switches).unwrap_or_else(PoisonError::into_inner);
            }
            switches.held -= 1;
            if switches.fail {
                return Err(StoreError::Failed { what: "told to fail".to_owned() });
            }
        }
        self.inner.commit(writes)
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(space)?;
        self.inner.get(space, key)
    }

    fn scan(
        &self,
        space: Space,
        range: KeyRange<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.read(space)?;
        self.inner.scan(space, range, direction, visit)
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.inner.size_on_disk()
    }
}
