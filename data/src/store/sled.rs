//! The store on sled: durable against power cuts, which sled alone is not.
//!
//! What is known about sled 0.34 and done about it here:
//!
//! - A batch is atomic within one tree and not over several, so there is one
//!   tree, and the space is the first byte of the key.
//! - `flush` ends in `sync_file_range`, which does not survive a power cut. Each
//!   commit therefore ends in an `fdatasync` of sled's `db` file by us.
//! - A page (up to 16 entries of a leaf before it is split, a few more after a
//!   merge) that is longer than a quarter of a segment is written to a file of its
//!   own under `blobs`, which that `fdatasync` does not cover. Segments of 8 MiB and
//!   values of at most [`MAX_VALUE`](super::MAX_VALUE) keep twenty entries below that
//!   quarter. (Segments of 16 MiB are allowed by sled and overflow the 24 bits of its
//!   buffer offset when one is filled to the last byte.)
//! - After a failed write sled's memory holds what its file may not, and after a
//!   failed sync the next may succeed although pages were lost. So the first failure
//!   ends the use of the store: nothing is read or written until it is opened anew.
//! - Opening a damaged store may panic; the panic is caught and explained.

use std::{
    any::Any,
    fs::{self, File},
    io,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use super::{Direction, KeyRange, Space, Store, StoreError, Visit, Write, prefixed, prefixed_range};

/// The format that this program writes; see [`FORMAT_KEY`].
const FORMAT: u32 = 1;

/// Where the format stands in [`Space::Meta`]: four bytes, big-endian.
const FORMAT_KEY: &[u8] = b"format";

/// How long sled's log segments are. A store keeps what it was made with.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// How long a store that is just being closed elsewhere is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// How a sled store is opened.
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// How much of the store is kept in memory, in bytes.
    pub cache_bytes: u64,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self { cache_bytes: 64 * 1024 * 1024 }
    }
}

/// A store in a folder, on sled.
pub struct SledStore {
    db: sled::Db,
    file: File,
    path: PathBuf,
    /// The first failure; from then on nothing is read or written.
    failure: OnceLock<String>,
}

impl SledStore {
    /// Opens the store in the folder `path`, which is made if it is missing.
    pub fn open(path: &Path, options: SledOptions) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(io_error("make the folder", path))?;
        let db = open_sled(path, &options)?;
        let file_path = path.join("db");
        let file = File::open(&file_path).map_err(io_error("open", &file_path))?;
        let store = Self { db, file, path: path.to_owned(), failure: OnceLock::new() };
        store.check_format()?;
        sync_folder(path)?;
        Ok(store)
    }

    fn check_format(&self) -> Result<(), StoreError> {
        match self.get(Space::Meta, FORMAT_KEY)? {
            None => self.commit(&[Write::put(Space::Meta, FORMAT_KEY, FORMAT.to_be_bytes())]),
            Some(bytes) => {
                let found = <[u8; 4]>::try_from(bytes.as_slice())
                    .map(u32::from_be_bytes)
                    .map_err(|_| self.damaged(format!("its format mark is {} bytes long", bytes.len())))?;
                if found > FORMAT {
                    return Err(StoreError::NewerFormat { path: self.path.clone(), found, known: FORMAT });
                }
                Ok(())
            }
        }
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), what }
    }

    /// Runs `work` on sled unless the store has failed; a failure of it, or a panic, ends the use of the store.
    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(first) = self.failure.get() {
            return Err(StoreError::Poisoned { first: first.clone() });
        }
        let outcome = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|panic| Err(StoreError::Failed { what: panic_text(panic.as_ref()) }));
        if let Err(error) = &outcome {
            // Only the first counts; a second thread may have failed at the same time.
            let _ = self.failure.set(error.to_string());
            tracing::error!(path = %self.path.display(), %error, "the store failed; restart the server to use it again");
        }
        outcome
    }

    fn engine_error(&self, error: sled::Error) -> StoreError {
        match error {
            sled::Error::Corruption { .. } => self.damaged(error.to_string()),
            sled::Error::Io(source) => StoreError::Io { doing: "use", path: self.path.clone(), source },
            other => StoreError::Failed { what: other.to_string() },
        }
    }
}

impl Store for SledStore {
    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        writes.iter().try_for_each(Write::check)?;
        let mut batch = sled::Batch::default();
        for write in writes {
            let key = prefixed(write.space, &write.key);
            match &write.value {
                Some(value) => batch.insert(key, value.as_slice()),
                None => batch.remove(key),
            }
        }
        self.guarded(|| {
            self.db.apply_batch(batch).map_err(|error| self.engine_error(error))?;
            self.db.flush().map_err(|error| self.engine_error(error))?;
            self.file.sync_data().map_err(io_error("sync", &self.path.join("db")))
        })
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.guarded(|| {
            let value = self.db.get(prefixed(space, key)).map_err(|error| self.engine_error(error))?;
            Ok(value.map(|value| value.to_vec()))
        })
    }

    fn scan(
        &self,
        space: Space,
        range: KeyRange<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let Some(range) = prefixed_range(space, range) else { return Ok(()) };
        let mut entries = self.guarded(|| Ok(self.db.range(range)))?;
        // The visitor runs outside of the guard: a panic of its own is none of the store's.
        loop {
            let entry = self.guarded(|| {
                let entry = match direction {
                    Direction::Forward => entries.next(),
                    Direction::Backward => entries.next_back(),
                };
                entry.transpose().map_err(|error| self.engine_error(error))
            })?;
            let Some((key, value)) = entry else { return Ok(()) };
            if let ControlFlow::Break(()) = visit(&key[1..], &value) {
                return Ok(());
            }
        }
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.db.size_on_disk().map_err(|error| self.engine_error(error))
    }
}

/// Opens sled, waiting a little for a lock that is just being let go.
fn open_sled(path: &Path, options: &SledOptions) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(options.cache_bytes)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(None);
    let begun = Instant::now();
    loop {
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()))
            .map_err(|panic| StoreError::Damaged { path: path.to_owned(), what: panic_text(panic.as_ref()) })?;
        match opened {
            Ok(db) => return Ok(db),
            Err(sled::Error::Io(error)) if is_lock_refusal(&error) => {
                if begun.elapsed() >= LOCK_PATIENCE {
                    return Err(StoreError::Locked { path: path.to_owned() });
                }
                thread::sleep(Duration::from_millis(20));
            }
            Err(sled::Error::Io(source)) => {
                return Err(StoreError::Io { doing: "open the store", path: path.to_owned(), source });
            }
            Err(error) => return Err(StoreError::Damaged { path: path.to_owned(), what: error.to_string() }),
        }
    }
}

/// sled wraps the operating system's refusal of the lock in an error of its own that only its text tells apart.
fn is_lock_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("could not acquire lock")
}

/// Makes the store's own files, their names and the folder's name durable.
fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all()).map_err(io_error("sync", path));
    for entry in fs::read_dir(path).map_err(io_error("list", path))? {
        sync(&entry.map_err(io_error("list", path))?.path())?;
    }
    sync(path)?;
    match path.canonicalize().map_err(io_error("find", path))?.parent() {
        Some(parent) => sync(parent),
        None => Ok(()),
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { doing, path, source }
}

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it gave no reason").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MAX_KEY, MAX_VALUE, conformance};

    fn open(path: &Path) -> Result<SledStore, StoreError> {
        SledStore::open(path, SledOptions::default())
    }

    #[test]
    fn conforms() {
        let folder = tempfile::tempdir().unwrap();
        conformance::run(&open(folder.path()).unwrap());
    }

    #[test]
    fn keeps_what_it_was_given_over_a_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        store.commit(&[Write::put(Space::People, "anna", "1"), Write::put(Space::Index, "anna", "2")]).unwrap();
        drop(store);
        let store = open(folder.path()).unwrap();
        assert_eq!(store.get(Space::People, b"anna").unwrap().unwrap(), b"1");
        assert_eq!(store.get(Space::Index, b"anna").unwrap().unwrap(), b"2");
        assert!(store.size_on_disk().unwrap() > 0);
    }

    #[test]
    fn says_so_when_another_has_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let _first = open(folder.path()).unwrap();
        assert!(matches!(open(folder.path()), Err(StoreError::Locked { .. })));
    }

    #[test]
    fn refuses_a_newer_format() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        store.commit(&[Write::put(Space::Meta, FORMAT_KEY, 2u32.to_be_bytes())]).unwrap();
        drop(store);
        assert!(matches!(open(folder.path()), Err(StoreError::NewerFormat { found: 2, known: 1, .. })));
    }

    #[test]
    fn explains_damage() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        for n in 0..200u32 {
            store.commit(&[Write::put(Space::Records, n.to_be_bytes(), vec![1; 1000])]).unwrap();
        }
        drop(store);
        fs::write(folder.path().join("conf"), b"this is not what sled wrote here").unwrap();
        let error = open(folder.path()).err().expect("it is damaged");
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("restore a backup"), "{error}");
    }

    #[test]
    fn the_largest_values_stay_in_the_one_file_that_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        let blobs = || fs::read_dir(folder.path().join("blobs")).unwrap().count();
        let key = |n: usize| {
            let mut key = vec![b'k'; MAX_KEY - 8];
            key.extend((n as u64).to_be_bytes());
            key
        };
        for batch in 0..12 {
            let writes: Vec<Write> =
                (0..10).map(|n| Write::put(Space::Records, key(batch * 10 + n), vec![n as u8; MAX_VALUE])).collect();
            store.commit(&writes).unwrap();
            assert_eq!(blobs(), 0, "after batch {batch}");
        }
        // Removals merge pages: these grow beyond what is split at once.
        for n in (0..120).filter(|n| n % 5 != 0) {
            store.commit(&[Write::remove(Space::Records, key(n))]).unwrap();
        }
        for n in 0..120 {
            store.commit(&[Write::put(Space::Records, key(n), vec![1; MAX_VALUE])]).unwrap();
        }
        assert_eq!(blobs(), 0);
    }
}
