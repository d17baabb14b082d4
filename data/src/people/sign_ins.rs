//! Sign-ins: families of rotating refresh tokens, and whether one is still live.

use std::{
    collections::HashMap,
    fmt,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use flightdeck_protocol::{SessionId, Timestamp, UserId, model::Person};

use super::{
    Directory, PeopleError, RefreshError,
    stored::{self, StoredSignIn},
    token::Token,
};
use crate::store::{Direction, Space, Write, scan_prefix};

/// How many sign-ins are remembered; when there are more, all are looked up anew.
const REMEMBERED: usize = 65_536;

/// How many expired sign-ins are removed with one write.
const PURGED_AT_ONCE: usize = 500;

/// A sign-in that was just opened.
#[derive(Clone)]
pub struct OpenedSignIn {
    /// The sign-in.
    pub session: SessionId,
    /// The refresh token, to be used once.
    pub token: String,
    /// When the sign-in ends.
    pub expires_at: Timestamp,
}

/// A sign-in whose token was exchanged for the next.
#[derive(Clone)]
pub struct Refreshed {
    /// Who is signed in.
    pub person: Person,
    /// The sign-in.
    pub session: SessionId,
    /// The new refresh token, to be used once.
    pub token: String,
    /// When the sign-in ends: as it was set when it was opened.
    pub expires_at: Timestamp,
}

impl fmt::Debug for OpenedSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedSignIn").field("session", &self.session).finish_non_exhaustive()
    }
}

impl fmt::Debug for Refreshed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refreshed").field("session", &self.session).finish_non_exhaustive()
    }
}

/// The sign-ins of the directory's people. Cheap to clone.
#[derive(Clone)]
pub struct SignIns {
    directory: Directory,
    lifetime_ms: i64,
    /// Until when each sign-in that was asked for is live, in milliseconds; `None`: it is not.
    remembered: Arc<Mutex<HashMap<SessionId, Option<i64>>>>,
}

impl fmt::Debug for SignIns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIns").field("lifetime_ms", &self.lifetime_ms).finish_non_exhaustive()
    }
}

impl SignIns {
    /// How long a sign-in lasts unless it is said otherwise, in milliseconds: 30 days.
    pub const DEFAULT_LIFETIME_MS: i64 = 30 * 24 * 60 * 60 * 1000;

    /// The sign-ins of `directory`'s people, each lasting `lifetime_ms` milliseconds.
    pub fn new(directory: Directory, lifetime_ms: i64) -> Self {
        Self { directory, lifetime_ms, remembered: Arc::default() }
    }

    /// Opens a sign-in for a person whose password was checked.
    pub async fn open(&self, person: UserId, now: Timestamp) -> Result<OpenedSignIn, PeopleError> {
        if self.directory.person(person)?.is_none() {
            return Err(PeopleError::UnknownPerson);
        }
        let session = SessionId::fresh();
        let token = Token::fresh(session)?;
        let expires_at = now.plus_millis(self.lifetime_ms);
        let entry = StoredSignIn {
            person: person.0,
            token_hash: token.hash(),
            created_at: now.as_millis(),
            expires_at: expires_at.as_millis(),
            revoked: false,
        };
        self.write(session, &entry).await?;
        Ok(OpenedSignIn { session, token: token.text(), expires_at })
    }

    /// Exchanges a refresh token for the next one.
    ///
    /// A token that is not the current one of its sign-in was used before: the
    /// sign-in is revoked. Of two who bring the same token, one wins, and the
    /// other ends the sign-in.
    pub async fn refresh(&self, token: &str, now: Timestamp) -> Result<Refreshed, RefreshError> {
        let token = Token::parse(token).ok_or(RefreshError::Invalid)?;
        let sign_ins = self.clone();
        self.directory.change(move |_| async move { Ok(sign_ins.exchange(token, now).await) }).await?
    }

    /// Ends a sign-in; false if there is none of that id.
    pub async fn revoke(&self, session: SessionId) -> Result<bool, PeopleError> {
        let sign_ins = self.clone();
        self.directory
            .change(move |_| async move {
                match sign_ins.find(session)? {
                    Some(entry) => sign_ins.end(session, entry).await.map(|()| true),
                    None => Ok(false),
                }
            })
            .await
    }

    /// Whether a sign-in is neither revoked nor past its time. From memory, but for the first time.
    pub fn is_live(&self, session: SessionId, now: Timestamp) -> Result<bool, PeopleError> {
        let is_live = |until: Option<i64>| until.is_some_and(|until| now.as_millis() < until);
        let mut remembered = self.remembered();
        if let Some(until) = remembered.get(&session) {
            return Ok(is_live(*until));
        }
        // Looked up under the lock, so that a revocation meanwhile is not overwritten with what was before it.
        let until = self.find(session)?.filter(|entry| !entry.revoked).map(|entry| entry.expires_at);
        if until.is_some() {
            remember(&mut remembered, session, until);
        }
        Ok(is_live(until))
    }

    /// Removes the sign-ins that are past their time, and says how many there were.
    pub async fn purge_expired(&self, now: Timestamp) -> Result<usize, PeopleError> {
        let mut expired = Vec::new();
        let mut damaged = 0;
        let store = self.directory.store();
        scan_prefix(store, Space::People, stored::SIGN_INS_PREFIX, Direction::Forward, &mut |key, value| {
            match stored::decode::<StoredSignIn>("sign-in", value) {
                Ok(entry) if entry.expires_at <= now.as_millis() => expired.push(Write::remove(Space::People, key)),
                Ok(_) => {}
                Err(_) => damaged += 1,
            }
            ControlFlow::Continue(())
        })?;
        if damaged > 0 {
            tracing::warn!(damaged, "some sign-ins cannot be read and are left alone");
        }
        let count = expired.len();
        for some in expired.chunks(PURGED_AT_ONCE) {
            let some = some.to_vec();
            self.directory.change(move |directory| async move { Ok(directory.journal().write(some).await?) }).await?;
        }
        Ok(count)
    }

    async fn exchange(&self, token: Token, now: Timestamp) -> Result<Refreshed, RefreshError> {
        let session = token.session;
        let mut entry = self.find(session)?.ok_or(RefreshError::Invalid)?;
        if entry.revoked {
            return Err(RefreshError::Revoked);
        }
        if now.as_millis() >= entry.expires_at {
            return Err(RefreshError::Expired);
        }
        if !token.matches(&entry.token_hash) {
            self.end(session, entry).await?;
            return Err(RefreshError::Reused { session });
        }
        let Some(person) = self.directory.person(UserId(entry.person))? else {
            self.end(session, entry).await?;
            return Err(RefreshError::Revoked);
        };
        let next = Token::fresh(session).map_err(RefreshError::People)?;
        entry.token_hash = next.hash();
        self.write(session, &entry).await?;
        let expires_at = Timestamp::from_millis(entry.expires_at);
        Ok(Refreshed { person, session, token: next.text(), expires_at })
    }

    /// Revokes a sign-in, in memory first: from now on it is not live, whatever becomes of the write.
    async fn end(&self, session: SessionId, mut entry: StoredSignIn) -> Result<(), PeopleError> {
        remember(&mut self.remembered(), session, None);
        entry.revoked = true;
        self.write(session, &entry).await?;
        // Again, in case it was forgotten and looked up while it was being written.
        remember(&mut self.remembered(), session, None);
        Ok(())
    }

    fn find(&self, session: SessionId) -> Result<Option<StoredSignIn>, PeopleError> {
        stored::get(self.directory.store(), "sign-in", &stored::sign_in_key(session))
    }

    async fn write(&self, session: SessionId, entry: &StoredSignIn) -> Result<(), PeopleError> {
        let write = stored::put(stored::sign_in_key(session), entry)?;
        Ok(self.directory.journal().write(vec![write]).await?)
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<SessionId, Option<i64>>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remember(remembered: &mut HashMap<SessionId, Option<i64>>, session: SessionId, until: Option<i64>) {
    if remembered.len() >= REMEMBERED {
        remembered.clear();
    }
    remembered.insert(session, until);
}
