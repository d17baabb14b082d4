//! What the demo remembers from one run to the next, in a file for its owner's eyes alone.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use flightdeck_protocol::{MissionId, model::Role};
use serde::{Deserialize, Serialize};

/// The file's name in the demo's folder.
pub(super) const FILE: &str = "people.json";

/// What the demo remembers. Command-line clients take their sign-in from it.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    /// Where the server was last.
    pub(super) server: String,
    /// The people and their passwords.
    pub(super) people: Vec<DemoPerson>,
    /// The account at the portal.
    pub(super) portal_login: PortalLogin,
    /// Where the portal is: the mission's input names it, so it stays.
    pub(super) portal: Option<String>,
    /// The mission.
    pub(super) mission: Option<MissionId>,
    #[serde(skip)]
    path: PathBuf,
}

/// One of the demo's people.
#[derive(Serialize, Deserialize)]
pub(super) struct DemoPerson {
    pub(super) role: Role,
    pub(super) username: String,
    pub(super) password: String,
}

/// The account at the portal.
#[derive(Serialize, Deserialize)]
pub(super) struct PortalLogin {
    pub(super) username: String,
    pub(super) password: String,
}

impl Record {
    /// Reads the record at `path`, or makes one with fresh passwords.
    pub(super) fn read_or_make(path: &Path) -> anyhow::Result<Self> {
        match fs::read(path) {
            Ok(text) => {
                let record: Self = serde_json::from_slice(&text).with_context(|| {
                    format!("{} is damaged; remove the demo's folder to start anew", path.display())
                })?;
                Ok(Self { path: path.to_owned(), ..record })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let person =
                    |role: Role| Ok(DemoPerson { role, username: role.name().to_owned(), password: password()? });
                let roles = [Role::Officer, Role::Manager, Role::Approver, Role::Viewer];
                let record = Self {
                    server: String::new(),
                    people: roles.into_iter().map(person).collect::<anyhow::Result<_>>()?,
                    portal_login: PortalLogin { username: "taxpayer".to_owned(), password: password()? },
                    portal: None,
                    mission: None,
                    path: path.to_owned(),
                };
                // Before any account is made: a password that was lost could not be printed again.
                record.save()?;
                Ok(record)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub(super) fn save(&self) -> anyhow::Result<()> {
        write_private(&self.path, &serde_json::to_vec_pretty(self)?)
    }

    /// What is printed once everything runs.
    pub(super) fn greeting(&self) -> String {
        let mut text = format!("\nFlightdeck runs on {}\n\n  people (user name, password):\n", self.server);
        for person in &self.people {
            // Writing to a string does not fail.
            let _ = writeln!(text, "    {:<10} {}", person.username, person.password);
        }
        if let Some(portal) = &self.portal {
            let _ = writeln!(text, "\n  sample portal: {portal}  (user {})", self.portal_login.username);
        }
        if let Some(mission) = self.mission {
            let program = std::env::args().next().unwrap_or_else(|| "flightdeck".to_owned());
            let server = match self.server.as_str() {
                "http://127.0.0.1:8080" => String::new(),
                server => format!(" --server {server}"),
            };
            let _ = writeln!(
                text,
                "\n  mission: {mission}\n  watch it in another terminal:\n\n    {program} watch {mission}{server}"
            );
        }
        text.push_str("\nCtrl-C stops it; started again, it finds everything where it was.");
        text
    }
}

/// Writes a file that its owner alone may read, whole or not at all.
pub(super) fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let fresh = path.with_extension("new");
        let _ = fs::remove_file(&fresh);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// A password of 80 random bits that can be read out.
fn password() -> anyhow::Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    let letters: Vec<u8> = random.iter().map(|byte| LETTERS[usize::from(byte % 32)]).collect();
    Ok(String::from_utf8(letters)?
        .as_bytes()
        .chunks(4)
        .map(|part| String::from_utf8_lossy(part))
        .collect::<Vec<_>>()
        .join("-"))
}
