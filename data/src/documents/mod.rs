//! The content of documents: kept once by what it is, under its own SHA-256.
//!
//! What is known of a document (its name, its versions, its mission) is history
//! and lives in the journal. Here are only bytes, at `sha256/ab/cd/<hash>`.

mod media_type;

use std::{fs, future, io, ops::Range, path::Path, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use object_store::{
    GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, local::LocalFileSystem,
    path::Path as ObjectPath,
};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use uuid::Uuid;

/// How much of a document is in memory while it comes in, in bytes: the smallest part that
/// the object stores of this world take.
const PART_BYTES: usize = 5 * 1024 * 1024;

/// How much is read from a file, or hashed, in one go, in bytes.
const STEP_BYTES: usize = 64 * 1024;

/// Where documents lie whose hash is not known yet.
const INCOMING: &str = "incoming";

/// A document that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The SHA-256 of the content, in lower-case hex.
    pub sha256: String,
    /// The size in bytes.
    pub size: u64,
    /// The media type, told from the content, and from the name where content leaves it open.
    pub media_type: String,
}

/// Why a document cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// It is longer than documents may be; nothing was kept.
    #[error("the document is longer than the limit of {max} bytes; nothing was kept")]
    TooLarge {
        /// The limit in bytes.
        max: u64,
    },
    /// Nothing is kept under that hash.
    #[error("there is no document {sha256}")]
    NotFound {
        /// What was asked for.
        sha256: String,
    },
    /// What was asked for is no hash.
    #[error("a document is named by the 64 lower-case hex digits of its SHA-256")]
    InvalidHash,
    /// The document does not have these bytes.
    #[error("the document has {size} bytes, and not those from {start} to {end}")]
    Range {
        /// The first byte that was asked for.
        start: u64,
        /// The first byte after what was asked for.
        end: u64,
        /// The document's size in bytes.
        size: u64,
    },
    /// Where the content comes from, it cannot be read.
    #[error("the document's source cannot be read: {0}")]
    Source(#[source] io::Error),
    /// The folder of documents cannot be made.
    #[error("the folder of documents cannot be used: {0}")]
    Folder(#[source] io::Error),
    /// Where documents are kept failed.
    #[error("the store of documents failed: {0}")]
    Storage(#[from] object_store::Error),
}

/// Keeps and reads documents. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Documents {
    store: Arc<dyn ObjectStore>,
    max_bytes: u64,
}

impl Documents {
    /// Keeps documents of up to `max_bytes` bytes in the folder `root`, which is made if it is missing.
    pub fn open(root: &Path, max_bytes: u64) -> Result<Self, DocumentError> {
        fs::create_dir_all(root).map_err(DocumentError::Folder)?;
        // What a stopped server was in the middle of taking in; nobody was told of it.
        match fs::remove_dir_all(root.join(INCOMING)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(DocumentError::Folder(error)),
            _ => {}
        }
        let parent = fs::canonicalize(root).map_err(DocumentError::Folder)?.parent().map(Path::to_owned);
        if let Some(parent) = parent {
            fs::File::open(parent).and_then(|folder| folder.sync_all()).map_err(DocumentError::Folder)?;
        }
        let store = LocalFileSystem::new_with_prefix(root)?.with_fsync(true);
        Ok(Self { store: Arc::new(store), max_bytes })
    }

    /// Keeps what `content` brings. `name` only helps to tell the media type.
    ///
    /// The document is durable when this returns. One that is kept already is not kept twice.
    pub async fn put(
        &self,
        name: &str,
        mut content: impl Stream<Item = io::Result<Bytes>> + Send + Unpin,
    ) -> Result<Stored, DocumentError> {
        let mut intake = Intake { documents: self, buffer: BytesMut::new(), upload: None };
        let mut hasher = Sha256::new();
        let mut head = Vec::new();
        let mut size = 0;
        while let Some(bytes) = content.next().await {
            let bytes = bytes.map_err(DocumentError::Source);
            let bytes = match bytes {
                Ok(bytes) if size + bytes.len() as u64 > self.max_bytes => {
                    Err(DocumentError::TooLarge { max: self.max_bytes })
                }
                other => other,
            };
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(error) => {
                    intake.abort().await;
                    return Err(error);
                }
            };
            size += bytes.len() as u64;
            for step in bytes.chunks(STEP_BYTES) {
                hasher.update(step);
                // Hashing is work: others get their turn in between.
                tokio::task::yield_now().await;
            }
            let missing = media_type::HEAD_BYTES.saturating_sub(head.len());
            head.extend_from_slice(&bytes[..bytes.len().min(missing)]);
            intake.add(&bytes).await?;
        }
        let sha256 = hex(&hasher.finalize());
        intake.finish(&sha256, size).await?;
        let media_type = media_type::of(name, &head, size).to_owned();
        Ok(Stored { sha256, size, media_type })
    }

    /// Keeps `content`; see [`Self::put`].
    pub async fn put_bytes(&self, name: &str, content: Bytes) -> Result<Stored, DocumentError> {
        self.put(name, stream::once(future::ready(Ok(content)))).await
    }

    /// Keeps the content of the file at `path`; see [`Self::put`].
    pub async fn put_file(&self, name: &str, path: &Path) -> Result<Stored, DocumentError> {
        let file = tokio::fs::File::open(path).await.map_err(DocumentError::Source)?;
        let steps = stream::try_unfold(file, |mut file| async move {
            let mut step = BytesMut::with_capacity(STEP_BYTES);
            let read = file.read_buf(&mut step).await?;
            Ok((read > 0).then(|| (step.freeze(), file)))
        });
        self.put(name, steps.boxed()).await
    }

    /// The size in bytes of the document with that hash.
    pub async fn size(&self, sha256: &str) -> Result<u64, DocumentError> {
        let found = self.store.head(&location(sha256)?).await;
        found.map(|meta| meta.size).map_err(|error| not_found(error, sha256))
    }

    /// The content of the document with that hash, or the part of it in `range`.
    pub async fn get(
        &self,
        sha256: &str,
        range: Option<Range<u64>>,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, DocumentError> {
        if let Some(range) = &range {
            let size = self.size(sha256).await?;
            if range.start >= range.end || range.end > size {
                return Err(DocumentError::Range { start: range.start, end: range.end, size });
            }
        }
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let found = self.store.get_opts(&location(sha256)?, options).await;
        Ok(found.map_err(|error| not_found(error, sha256))?.into_stream().map_err(io::Error::other))
    }

    /// The bytes in `range` of the document with that hash, all at once.
    pub async fn get_range(&self, sha256: &str, range: Range<u64>) -> Result<Bytes, DocumentError> {
        let parts = self.get(sha256, Some(range)).await?;
        let whole = parts.try_fold(BytesMut::new(), |mut whole, part| async move {
            whole.extend_from_slice(&part);
            Ok(whole)
        });
        whole.await.map(BytesMut::freeze).map_err(DocumentError::Source)
    }
}

/// A document that is coming in: in memory while it is small, else in a place of its own.
struct Intake<'a> {
    documents: &'a Documents,
    buffer: BytesMut,
    upload: Option<(ObjectPath, Box<dyn MultipartUpload>)>,
}

impl Intake<'_> {
    async fn add(&mut self, mut bytes: &[u8]) -> Result<(), DocumentError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PART_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == PART_BYTES {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    async fn send_part(&mut self) -> Result<(), DocumentError> {
        let part = PutPayload::from_bytes(self.buffer.split().freeze());
        if self.upload.is_none() {
            let place = ObjectPath::from(format!("{INCOMING}/{}", Uuid::now_v7().simple()));
            let upload = self.documents.store.put_multipart(&place).await?;
            self.upload = Some((place, upload));
        }
        if let Some((_, upload)) = &mut self.upload
            && let Err(error) = upload.put_part(part).await
        {
            self.abort().await;
            return Err(error.into());
        }
        Ok(())
    }

    /// Puts the document where its hash says.
    async fn finish(&mut self, sha256: &str, size: u64) -> Result<(), DocumentError> {
        let store = &self.documents.store;
        let place = location(sha256)?;
        if store.head(&place).await.is_ok_and(|kept| kept.size == size) {
            self.abort().await;
            return Ok(());
        }
        if self.upload.is_none() {
            // Two who bring the same at once put the same bytes, one after the other.
            store.put(&place, PutPayload::from_bytes(self.buffer.split().freeze())).await?;
            return Ok(());
        }
        if !self.buffer.is_empty() {
            self.send_part().await?;
        }
        if let Some((incoming, mut upload)) = self.upload.take() {
            upload.complete().await?;
            store.rename(&incoming, &place).await?;
        }
        Ok(())
    }

    /// Forgets what came in so far.
    async fn abort(&mut self) {
        if let Some((place, mut upload)) = self.upload.take()
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(%place, %error, "an unfinished document stays behind until the next start");
        }
    }
}

/// Where the document with that hash lies.
fn location(sha256: &str) -> Result<ObjectPath, DocumentError> {
    let valid = sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !valid {
        return Err(DocumentError::InvalidHash);
    }
    Ok(ObjectPath::from(format!("sha256/{}/{}/{sha256}", &sha256[..2], &sha256[2..4])))
}

fn not_found(error: object_store::Error, sha256: &str) -> DocumentError {
    match error {
        object_store::Error::NotFound { .. } => DocumentError::NotFound { sha256: sha256.to_owned() },
        other => DocumentError::Storage(other),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 20 * 1024 * 1024;

    fn content(size: usize) -> Bytes {
        (0..size).map(|n| (n % 253) as u8).collect::<Vec<u8>>().into()
    }

    /// Every file below `folder`.
    fn files(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => found.extend(files(&path)),
                false => found.push(path.file_name().unwrap().to_string_lossy().into_owned()),
            }
        }
        found
    }

    #[tokio::test]
    async fn comes_back_byte_for_byte_whatever_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let documents = Documents::open(folder.path(), LIMIT).unwrap();
        for size in [0, 1, STEP_BYTES, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 7] {
            let content = content(size);
            let stored = documents.put_bytes("some.bin", content.clone()).await.unwrap();
            assert_eq!(stored.size, size as u64);
            assert_eq!(stored.sha256, hex(&Sha256::digest(&content)));
            assert_eq!(documents.size(&stored.sha256).await.unwrap(), size as u64);
            let parts: Vec<Bytes> = documents.get(&stored.sha256, None).await.unwrap().try_collect().await.unwrap();
            assert_eq!(parts.concat(), content);
        }
    }

    #[tokio::test]
    async fn is_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let documents = Documents::open(&folder.path().join("made/here"), LIMIT).unwrap();
        let small = documents.put_bytes("a.txt", Bytes::from_static(b"hello")).await.unwrap();
        assert_eq!(small.sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        assert_eq!(small.media_type, "text/plain");
        let large = documents.put_bytes("b.bin", content(PART_BYTES + 9)).await.unwrap();
        let source = folder.path().join("source");
        fs::write(&source, content(PART_BYTES + 9)).unwrap();
        assert_eq!(documents.put_file("b.bin", &source).await.unwrap(), large);
        assert_eq!(documents.put_bytes("a.txt", Bytes::from_static(b"hello")).await.unwrap(), small);
        let mut kept = files(&folder.path().join("made/here"));
        kept.sort();
        let mut expected = [small.sha256.clone(), large.sha256];
        expected.sort();
        assert_eq!(kept, expected);
        let place = format!("made/here/sha256/2c/f2/{}", small.sha256);
        assert_eq!(fs::read(folder.path().join(place)).unwrap(), b"hello");
    }

    #[tokio::test]
    async fn what_is_too_long_or_breaks_off_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let documents = Documents::open(folder.path(), PART_BYTES as u64 + 10).unwrap();
        let outcome = documents.put_bytes("x", content(PART_BYTES + 11)).await;
        assert!(matches!(outcome, Err(DocumentError::TooLarge { max }) if max == PART_BYTES as u64 + 10));
        let pieces = || stream::iter([Ok(content(PART_BYTES)), Ok(content(11))]);
        assert!(matches!(documents.put("x", pieces()).await, Err(DocumentError::TooLarge { .. })));
        let broken = stream::iter([Ok(content(PART_BYTES)), Err(io::Error::other("broken off"))]);
        assert!(matches!(documents.put("x", broken).await, Err(DocumentError::Source(_))));
        assert_eq!(files(folder.path()), Vec::<String>::new());

        fs::create_dir_all(folder.path().join(INCOMING)).unwrap();
        fs::write(folder.path().join(INCOMING).join("left"), b"behind by a crash").unwrap();
        Documents::open(folder.path(), LIMIT).unwrap();
        assert_eq!(files(folder.path()), Vec::<String>::new());
    }

    #[tokio::test]
    async fn gives_ranges_and_refuses_what_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let documents = Documents::open(folder.path(), LIMIT).unwrap();
        let stored = documents.put_bytes("a.txt", Bytes::from_static(b"0123456789")).await.unwrap();
        assert_eq!(documents.get_range(&stored.sha256, 2..5).await.unwrap(), "234");
        assert_eq!(documents.get_range(&stored.sha256, 9..10).await.unwrap(), "9");
        for (start, end) in [(10, 11), (5, 11), (3, 3), (5, 2)] {
            let outcome = documents.get_range(&stored.sha256, Range { start, end }).await;
            assert!(matches!(outcome, Err(DocumentError::Range { size: 10, .. })), "{start}..{end}");
        }
        assert!(matches!(documents.size(&"0".repeat(64)).await, Err(DocumentError::NotFound { .. })));
        let long = "a".repeat(65);
        for name in ["", "../../etc/passwd", &long, &stored.sha256.to_uppercase()] {
            assert!(matches!(documents.size(name).await, Err(DocumentError::InvalidHash)), "{name}");
        }
    }
}
