//! Reads what an agent prints, no faster than allowed and than it can be written down.

use std::{
    cell::Cell,
    collections::VecDeque,
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Addr, dev::SendError};
use flightdeck_data::{documents::DocumentError, mission::Delivered};
use flightdeck_protocol::{lines::AgentLine, model::ActivityType};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde_json::Value;
use tokio::{process::ChildStdout, sync::oneshot};

use super::{
    Line, LineReader,
    deltas::{self, Deltas},
};
use crate::{
    mission::{FromAgent, MissionActor, Said},
    secrets::Blotter,
    world::World,
};

/// Lines that may be on their way to disk while the next is read.
const WINDOW: usize = 32;
/// How many times as fast as other lines the pieces of live text may come before they, too, are
/// held back: no agent that says something comes near, and a flood costs the server something.
const DELTA_PACE: u32 = 100;
/// How often an agent that is held back looks whether the journal has room again.
const HELD_BACK: Duration = Duration::from_millis(20);
/// Characters of a line that is no JSON which go into the log.
const LOG_CHARS: usize = 2_000;

/// The reader of one run's standard output.
pub(super) struct Reader {
    pub(super) incarnation: u32,
    pub(super) blotter: Blotter,
    pub(super) workspace: PathBuf,
    pub(super) world: Arc<World>,
    pub(super) mission: Addr<MissionActor>,
    pub(super) last_output: Rc<Cell<Instant>>,
}

impl Reader {
    /// Reads until the stream ends, and until everything read is on disk.
    pub(super) async fn run(self, stdout: ChildStdout) {
        let tuning = &self.world.tuning;
        let limiter = limiter(tuning.lines_per_second, tuning.line_burst);
        let flood = limiter_of_deltas(tuning.lines_per_second, tuning.line_burst);
        let mut lines = LineReader::new(stdout, tuning.line_bytes);
        let mut deltas = Deltas::new(self.blotter.clone());
        let mut on_their_way: VecDeque<oneshot::Receiver<()>> = VecDeque::new();
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                () = until(deltas.due(Instant::now())) => {
                    self.offer(&mut deltas);
                    continue;
                }
            };
            let Some(line) = line else { break };
            self.last_output.set(Instant::now());
            let said = match deltas::read(&line) {
                Some(Ok((stream, text))) => {
                    deltas.add(&stream, &text);
                    flood.until_ready().await;
                    let now = Instant::now();
                    if deltas.due(now).is_some_and(|due| due <= now) {
                        self.offer(&mut deltas);
                    }
                    continue;
                }
                Some(Err(reason)) => Some(Said::Refused("delta".to_owned(), reason)),
                None => self.understand(line).await,
            };
            let Some(said) = said else { continue };
            // What was said before it comes before it.
            let words = deltas.take(Instant::now());
            if !words.is_empty() && self.mission.send(self.words(words)).await.is_err() {
                return;
            }
            if let Said::Line(AgentLine::Text { stream: Some(stream), .. }) = &said {
                deltas.end(stream);
            }
            // A flood is slowed down at its source: the pipe fills, and the agent waits.
            limiter.until_ready().await;
            while !self.world.journal.has_room() {
                tokio::time::sleep(HELD_BACK).await;
            }
            if on_their_way.len() >= WINDOW
                && let Some(oldest) = on_their_way.pop_front()
            {
                // It fails where the line was refused, which was dealt with there.
                let _ = oldest.await;
            }
            let (taken, waiting) = oneshot::channel();
            let message = FromAgent { incarnation: self.incarnation, said, taken: Some(taken) };
            if self.mission.send(message).await.is_err() {
                return;
            }
            self.last_output.set(Instant::now());
            on_their_way.push_back(waiting);
        }
        for waiting in on_their_way {
            let _ = waiting.await;
        }
    }

    fn words(&self, words: Vec<(String, String)>) -> FromAgent {
        FromAgent { incarnation: self.incarnation, said: Said::Words(words), taken: None }
    }

    /// Hands over what was gathered, without waiting: live text never holds an agent up. Where the
    /// mission's mailbox is full, it is joined with what follows.
    fn offer(&self, deltas: &mut Deltas) {
        let message = self.words(deltas.take(Instant::now()));
        if let Err(SendError::Full(FromAgent { said: Said::Words(words), .. })) = self.mission.try_send(message) {
            deltas.put_back(words);
        }
    }

    async fn understand(&self, line: Line) -> Option<Said> {
        let text = match line {
            Line::Text(text) => self.blotter.blot(text),
            Line::TooLong { bytes, start } => {
                let start: String = self.blotter.blot(start).chars().take(200).collect();
                let reason =
                    format!("it has {bytes} bytes, and a line may have {}: {start}", self.world.tuning.line_bytes);
                return Some(Said::Refused("line".to_owned(), reason));
            }
        };
        if text.trim().is_empty() {
            return None;
        }
        let value = match serde_json::from_str::<Value>(&text) {
            Ok(value) if value.is_object() => value,
            _ => return Some(Said::Line(log(&text))),
        };
        let name = value["type"].as_str().unwrap_or("line").chars().take(64).collect::<String>();
        match serde_json::from_value::<AgentLine>(value) {
            Ok(AgentLine::Document { name, path, media_type, size, sha256, source }) => {
                let claim = Claim { media_type, size, sha256 };
                Some(match self.deliver(name, &path, &claim, source).await {
                    Ok(delivered) => Said::Delivered(delivered),
                    Err(reason) => Said::Refused("document".to_owned(), reason),
                })
            }
            Ok(line) => Some(Said::Line(line)),
            Err(error) => Some(Said::Refused(name, error.to_string())),
        }
    }

    /// Keeps the file's bytes, and checks what the agent claims of them.
    async fn deliver(
        &self,
        name: String,
        path: &str,
        claim: &Claim,
        source: Option<String>,
    ) -> Result<Delivered, String> {
        let file = inside(&self.workspace, path)?;
        let stored = self.world.documents.put_file(&name, &file).await.map_err(|error| match error {
            DocumentError::TooLarge { max } => {
                format!("{path} is larger than the {max} bytes that a document may have")
            }
            error => {
                tracing::error!(%error, "a document could not be kept");
                format!("{path} could not be kept; deliver it again later")
            }
        })?;
        claim.check(path, &stored)?;
        let verified = claim.sha256.is_some();
        Ok(Delivered {
            name,
            media_type: stored.media_type,
            size: stored.size,
            sha256: stored.sha256,
            source,
            verified,
        })
    }
}

/// Lets `pace` lines a second pass, and `burst` at once.
fn limiter(pace: u32, burst: u32) -> DefaultDirectRateLimiter {
    let whole = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    RateLimiter::direct(Quota::per_second(whole(pace)).allow_burst(whole(burst)))
}

fn limiter_of_deltas(pace: u32, burst: u32) -> DefaultDirectRateLimiter {
    limiter(pace.saturating_mul(DELTA_PACE), burst.saturating_mul(DELTA_PACE))
}

/// Sleeps until then; for ever where there is no such time.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then.into()).await,
        None => std::future::pending().await,
    }
}

/// What an agent says that a file must be.
struct Claim {
    media_type: Option<String>,
    size: Option<u64>,
    sha256: Option<String>,
}

impl Claim {
    fn check(&self, path: &str, stored: &flightdeck_data::documents::Stored) -> Result<(), String> {
        let differs = |what: &str, claimed: &str, found: &str| {
            Err(format!("{path} has the {what} {found} and not {claimed}; fetch it again"))
        };
        match self {
            Self { size: Some(size), .. } if *size != stored.size => {
                differs("size", &size.to_string(), &stored.size.to_string())
            }
            Self { sha256: Some(hash), .. } if !hash.eq_ignore_ascii_case(&stored.sha256) => {
                differs("sha-256", hash, &stored.sha256)
            }
            Self { media_type: Some(kind), .. } if !kind.eq_ignore_ascii_case(&stored.media_type) => {
                differs("media type", kind, &stored.media_type)
            }
            _ => Ok(()),
        }
    }
}

/// The file at `path` in `workspace`, which it may not leave: not by `..`, and not by a link.
fn inside(workspace: &Path, path: &str) -> Result<PathBuf, String> {
    let missing = |_| format!("there is no file {path:?} in the workspace; give its path relative to it");
    let workspace = fs::canonicalize(workspace).map_err(missing)?;
    let file = fs::canonicalize(workspace.join(path)).map_err(missing)?;
    if !file.starts_with(&workspace) {
        return Err(format!("{path:?} is outside the workspace; copy it there first"));
    }
    if !file.is_file() {
        return Err(format!("{path:?} is not a file"));
    }
    Ok(file)
}

/// A line that does not say what it is.
fn log(text: &str) -> AgentLine {
    let clean = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    let message = text.chars().take(LOG_CHARS).map(clean).collect();
    AgentLine::Activity { activity_type: ActivityType::Log, message, details: None, step: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_comes_from_the_workspace_alone() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = folder.path().join("workspace");
        fs::create_dir_all(workspace.join("downloads")).unwrap();
        fs::write(workspace.join("downloads/a.pdf"), "a").unwrap();
        fs::write(folder.path().join("secret"), "b").unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret"), workspace.join("link")).unwrap();
        assert!(inside(&workspace, "downloads/a.pdf").is_ok());
        assert!(inside(&workspace, "../secret").unwrap_err().contains("outside"));
        assert!(inside(&workspace, "link").unwrap_err().contains("outside"));
        assert!(inside(&workspace, "/etc/passwd").unwrap_err().contains("outside"));
        assert!(inside(&workspace, "downloads").unwrap_err().contains("not a file"));
        assert!(inside(&workspace, "b.pdf").unwrap_err().contains("no file"));
    }

    #[test]
    fn a_line_of_garbage_becomes_a_clean_log_entry() {
        let AgentLine::Activity { activity_type, message, .. } = log("beep \u{7}\u{1b}[31m") else { panic!() };
        assert_eq!((activity_type, message.as_str()), (ActivityType::Log, "beep \u{fffd}\u{fffd}[31m"));
    }
}
