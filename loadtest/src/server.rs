//! A server of our own: a real process on an empty folder and a free port, gone when it is dropped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use flightdeck_protocol::{MissionId, operations::NewAccount};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{meter::Meter, signin::SignIn};

/// How long the server has to say that it listens.
const STARTING: Duration = Duration::from_secs(30);
/// What it says then, before its address.
const LISTENING: &str = "flightdeck listening on ";
/// How much of its log is shown when it does not start.
const LOG_LINES: usize = 10;

/// A folder that is removed with everything in it when this is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A new folder in `parent`, which is made if it is not there.
    pub(crate) fn inside(parent: &Path) -> anyhow::Result<Self> {
        // An id is unique, and this one is only a name.
        let path = parent.join(format!("bench-{}", MissionId::fresh()));
        fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What all files in it take on the disk, in bytes.
    pub(crate) fn size(&self) -> u64 {
        size(&self.0)
    }
}

fn size(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size(&entry.path()),
            Ok(data) => data.blocks() * 512,
            // It went away meanwhile.
            Err(_) => 0,
        })
        .sum()
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("flightdeck-loadtest: {} is left over: {error}", self.0.display());
        }
    }
}

/// A server that runs; killed when this is dropped, since its data is of no use to anyone.
pub(crate) struct Server {
    process: Child,
    url: String,
    log: PathBuf,
}

impl Server {
    /// The server's program beside this one.
    pub(crate) fn program() -> anyhow::Result<PathBuf> {
        let own = std::env::current_exe().context("it is not known where this program lies")?;
        let program = own.with_file_name("flightdeck");
        if !program.is_file() {
            bail!(
                "there is no server at {}: build it with `cargo build --release --workspace --bins`, or give --program",
                program.display()
            );
        }
        Ok(program)
    }

    /// Starts `program` on `folder`, and waits until it listens. The environment's settings for servers do not reach it.
    pub(crate) async fn start(program: &Path, folder: &Folder) -> anyhow::Result<Self> {
        Self::start_on(program, folder, "127.0.0.1:0", &[]).await
    }

    /// Kills it, without a warning, and starts it again where it was, with more flags.
    pub(crate) async fn crash(self, program: &Path, folder: &Folder, flags: &[String]) -> anyhow::Result<Self> {
        let listen = self.url.trim_start_matches("http://").to_owned();
        self.stop().await?;
        Self::start_on(program, folder, &listen, flags).await
    }

    async fn start_on(program: &Path, folder: &Folder, listen: &str, flags: &[String]) -> anyhow::Result<Self> {
        let log = folder.path().join("server.log");
        let log_file = fs::File::options().create(true).append(true).open(&log);
        let log_file = log_file.with_context(|| format!("{} cannot be written", log.display()))?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", listen, "--data-dir"]).arg(folder.path().join("data")).args(flags);
        // The folder has no flightdeck.toml that could change what is measured.
        command.current_dir(folder.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FLIGHTDECK_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file);
        let mut process = command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        let output = process.stdout.take().context("the server has no output")?;
        let url = timeout(STARTING, address(output)).await;
        let mut server = Self { process, url: String::new(), log };
        match url {
            Ok(Some(url)) => server.url = url,
            Ok(None) => bail!("the server ended at once: {}", server.last_words()),
            Err(_) => bail!("the server does not listen after {STARTING:?}: {}", server.last_words()),
        }
        Ok(server)
    }

    /// Makes an account on it.
    pub(crate) async fn sign_up(&self) -> anyhow::Result<SignIn> {
        let account = NewAccount {
            username: "load".to_owned(),
            // For a server that lives for a minute on loopback.
            password: MissionId::fresh().to_string(),
            name: None,
            email: None,
            organization: None,
        };
        SignIn::sign_up(self.url.clone(), self.meter()?, &account).await
    }

    /// What its process costs.
    pub(crate) fn meter(&self) -> anyhow::Result<Meter> {
        Meter::process(self.process.id().context("the server has ended")?)
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        match lines[lines.len().saturating_sub(LOG_LINES)..].join("\n") {
            words if words.is_empty() => "its log is empty".to_owned(),
            words => format!("its log ends with\n{words}"),
        }
    }

    /// Kills it, and waits until it is gone.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.process.kill().await.context("the server cannot be stopped")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its folder is about to be removed, so it has to be gone. An error means that it is.
        let _ = self.process.start_kill();
        while let Ok(None) = self.process.try_wait() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The address that the server prints once it listens; `None` if it ends before.
async fn address(output: tokio::process::ChildStdout) -> Option<String> {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(url) = line.strip_prefix(LISTENING) {
            return Some(url.trim().to_owned());
        }
    }
    None
}

/// The kind of the file system that `path` is on: where fsync costs nothing, durable commands look cheap.
pub(crate) fn file_system(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    mounted(&fs::read_to_string("/proc/self/mounts").ok()?, &path)
}

/// Reads fstab(5) lines: the file system whose mount point is the longest above `path`.
fn mounted(mounts: &str, path: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((Path::new(fields.next()?), fields.next()?))
    });
    let above = mounts.filter(|(point, _)| path.starts_with(point));
    above.max_by_key(|(point, _)| point.components().count()).map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_counts() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /tmp/disk xfs rw 0 0\n";
        let kind = |path: &str| mounted(mounts, Path::new(path)).unwrap();
        assert_eq!(kind("/home/a"), "ext4");
        assert_eq!(kind("/tmp/a"), "tmpfs");
        assert_eq!(kind("/tmp/disk/a"), "xfs");
        assert_eq!(kind("/tmpfile"), "ext4");
    }

    #[tokio::test]
    async fn a_program_that_ends_at_once_is_told_with_its_last_words() {
        let folder = Folder::inside(&std::env::temp_dir()).unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "#!/bin/sh\necho the disk is on fire >&2\n").unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let error = Server::start(&program, &folder).await.err().unwrap().to_string();
        assert!(error.contains("ended at once") && error.contains("the disk is on fire"), "{error}");
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }
}
