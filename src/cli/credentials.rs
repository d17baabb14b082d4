//! Saved sign-ins: a file that its owner alone can read, changed under a lock and never half written.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use flightdeck_protocol::{Timestamp, operations::TokenPair};
use serde::{Deserialize, Serialize};

/// A sign-in as it is saved.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// Who signed in.
    pub(crate) username: String,
    /// The newest access token.
    pub(crate) access_token: String,
    /// When it expires.
    pub(crate) expires_at: Timestamp,
    /// The newest refresh token.
    pub(crate) refresh_token: String,
}

impl Saved {
    pub(crate) fn new(username: &str, tokens: &TokenPair) -> Self {
        Self {
            username: username.to_owned(),
            access_token: tokens.access_token.clone(),
            expires_at: tokens.expires_at,
            refresh_token: tokens.refresh_token.clone(),
        }
    }
}

/// The file's content: a sign-in a server.
#[derive(Default, Serialize, Deserialize)]
struct Content {
    #[serde(default)]
    servers: BTreeMap<String, Saved>,
}

/// The file with saved sign-ins.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    path: PathBuf,
}

/// The file, held against every other process until this is dropped.
pub(crate) struct Held {
    path: PathBuf,
    _lock: File,
}

impl Credentials {
    /// The file at `path`, or where such files usually are.
    pub(crate) fn at(path: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) {
            return Ok(Self { path: path.to_owned() });
        }
        let folder = |name: &str| std::env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
        let config = config.context("there is no home folder to save sign-ins in: name a file with --credentials")?;
        Ok(Self { path: config.join("flightdeck/credentials.json") })
    }

    /// The file's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The sign-in for the server `key`, if one is saved.
    pub(crate) fn get(&self, key: &str) -> anyhow::Result<Option<Saved>> {
        Ok(read(&self.path)?.servers.remove(key))
    }

    /// Waits until no other process changes the file, and keeps it so.
    pub(crate) async fn hold(&self) -> anyhow::Result<Held> {
        let path = self.path.clone();
        // Another process may hold it while it waits for its server.
        tokio::task::spawn_blocking(move || lock(path)).await?
    }
}

impl Held {
    /// The sign-in for the server `key`, if one is saved.
    pub(crate) fn get(&self, key: &str) -> anyhow::Result<Option<Saved>> {
        Ok(read(&self.path)?.servers.remove(key))
    }

    /// Saves the sign-in for the server `key`, or forgets it.
    pub(crate) fn set(&self, key: &str, saved: Option<Saved>) -> anyhow::Result<()> {
        let mut content = read(&self.path)?;
        match saved {
            Some(saved) => content.servers.insert(key.to_owned(), saved),
            None => content.servers.remove(key),
        };
        write(&self.path, &content).with_context(|| format!("{} cannot be written", self.path.display()))
    }
}

fn lock(path: PathBuf) -> anyhow::Result<Held> {
    let beside = with_suffix(&path, ".lock");
    let open = || OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&beside);
    let locked = (|| {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = open()?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    })();
    let lock = locked.with_context(|| format!("{} cannot be locked", beside.display()))?;
    Ok(Held { path, _lock: lock })
}

fn read(path: &Path) -> anyhow::Result<Content> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is damaged: delete it and sign in again", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Content::default()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Puts a whole new file in the place of the old one.
fn write(path: &Path, content: &Content) -> anyhow::Result<()> {
    let fresh = with_suffix(path, ".new");
    // What a crash left over may have been made by an older version with other rights.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&fresh)?;
    file.write_all(&serde_json::to_vec_pretty(content)?)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn saved(name: &str) -> Saved {
        Saved {
            username: name.to_owned(),
            access_token: "a".to_owned(),
            expires_at: Timestamp::from_millis(0),
            refresh_token: "r".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_sign_in_is_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::at(Some(&folder.path().join("deep/down.json"))).unwrap();
        assert!(credentials.get("here").unwrap().is_none());
        let held = credentials.hold().await.unwrap();
        held.set("here", Some(saved("olga"))).unwrap();
        held.set("there", Some(saved("vera"))).unwrap();
        held.set("here", None).unwrap();
        assert!(credentials.get("here").unwrap().is_none());
        assert_eq!(credentials.get("there").unwrap().unwrap().username, "vera");
        assert_eq!(fs::metadata(credentials.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(folder.path().join("deep")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[tokio::test]
    async fn a_second_holder_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::at(Some(&folder.path().join("c.json"))).unwrap();
        let first = credentials.hold().await.unwrap();
        let waiting = tokio::spawn({
            let credentials = credentials.clone();
            async move { credentials.hold().await.unwrap().get("here").unwrap().unwrap().username }
        });
        first.set("here", Some(saved("olga"))).unwrap();
        assert!(!waiting.is_finished());
        drop(first);
        assert_eq!(waiting.await.unwrap(), "olga");
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        fs::write(&path, "{").unwrap();
        let error = Credentials::at(Some(&path)).unwrap().get("here").err().unwrap();
        assert!(error.to_string().contains("c.json is damaged"));
    }
}
