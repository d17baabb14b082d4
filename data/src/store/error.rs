//! What can go wrong with a store, in sentences that say what to do.

use std::{io, path::PathBuf};

/// Why a store did not open, read or write.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A value is over the limit; nothing was written.
    #[error("a value of {size} bytes is over the store's limit of {max}; nothing was written")]
    ValueTooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A key is over the limit; nothing was written.
    #[error("a key of {size} bytes is over the store's limit of {max}; nothing was written")]
    KeyTooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// Another process has the store open.
    #[error("the store {} is open in another process; stop that one, or give this one a folder of its own", .path.display())]
    Locked {
        /// The store's folder.
        path: PathBuf,
    },
    /// The store was written by a newer version of this program.
    #[error(
        "the store {} has format {found} and this program knows formats up to {known}; run the version that wrote it, or a newer one",
        .path.display()
    )]
    NewerFormat {
        /// The store's folder.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format that this program knows.
        known: u32,
    },
    /// The store's files cannot be read.
    #[error(
        "the store {} is damaged ({what}); keep a copy of the folder, then restore a backup in its place",
        .path.display()
    )]
    Damaged {
        /// The store's folder.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The disk or the file system refused.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The storage engine failed.
    #[error("the store failed: {what}")]
    Failed {
        /// What the engine says.
        what: String,
    },
    /// A commit failed earlier: what the engine has in memory may not be what is on disk.
    #[error(
        "the store failed earlier and takes nothing more until the server is restarted; the first failure: {first}"
    )]
    Poisoned {
        /// The failure that came first.
        first: String,
    },
    /// Something that the commit builds on was lost in an earlier failure.
    #[error("an earlier commit of the same mission failed, so this one was not tried")]
    Superseded,
}
