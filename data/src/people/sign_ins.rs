//! Sign-ins: families of rotating refresh tokens, and whether one is still live.

use std::{
    collections::HashMap,
    fmt,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use flightdeck_protocol::{SessionId, Timestamp, UserId, model::Person};

use super::{
    AccessChange, Directory, PeopleError, RefreshError,
    account::Tell,
    stored::{self, StoredSignIn},
    token::Token,
};
use crate::store::{Direction, Space, Write, scan_prefix};

/// How many sign-ins are remembered; when there are more, all are looked up anew.
const REMEMBERED: usize = 65_536;

/// How many sign-ins are changed with one write, where many are.
const AT_ONCE: usize = 500;

/// How many sign-ins a person has at most, ended ones that are not past their time included.
const MOST: usize = 1_000;

/// What stands under a person's key of a sign-in that has ended; of a live one nothing does.
const ENDED: [u8; 1] = [1];

/// A sign-in that was just opened.
#[derive(Clone)]
pub struct OpenedSignIn {
    /// Who is signed in.
    pub person: Person,
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
    /// How many of them a person has at most.
    pub(super) most: usize,
    tell: Tell,
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
        Self { directory, lifetime_ms, remembered: Arc::default(), most: MOST, tell: Arc::new(|_| {}) }
    }

    /// Lets `tell` know of every change of what people may do, in the order in
    /// which the changes are made. It is called in the middle of one: it must not wait.
    pub fn telling(mut self, tell: impl Fn(AccessChange) + Send + Sync + 'static) -> Self {
        self.tell = Arc::new(tell);
        self
    }

    /// Opens a sign-in for a person whose password was checked. One who has as
    /// many as one may have loses one that has ended, or else the oldest.
    pub async fn open(&self, person: UserId, now: Timestamp) -> Result<OpenedSignIn, PeopleError> {
        let sign_ins = self.clone();
        self.directory
            .change(move |directory| async move {
                let person = directory.person(person)?.ok_or(PeopleError::UnknownPerson)?;
                if !person.active {
                    return Err(PeopleError::AccountClosed);
                }
                let session = SessionId::fresh();
                let token = Token::fresh(session)?;
                let expires_at = now.plus_millis(sign_ins.lifetime_ms);
                let entry = StoredSignIn {
                    person: person.id.0,
                    token_hash: token.hash(),
                    created_at: now.as_millis(),
                    expires_at: expires_at.as_millis(),
                    revoked: false,
                };
                let surplus = sign_ins.surplus(person.id)?;
                let mut writes = writes(session, &entry)?.to_vec();
                writes.extend(surplus.iter().flat_map(|session| removals(person.id, *session)));
                directory.journal().write(writes).await?;
                sign_ins.have_ended(surplus);
                Ok(OpenedSignIn { person, session, token: token.text(), expires_at })
            })
            .await
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
            match (stored::decode::<StoredSignIn>(value), stored::trailing_id(key)) {
                (Ok(entry), Ok(session)) if entry.expires_at <= now.as_millis() => {
                    expired.push(removals(UserId(entry.person), SessionId(session)));
                }
                (Ok(_), Ok(_)) => {}
                _ => damaged += 1,
            }
            ControlFlow::Continue(())
        })?;
        if damaged > 0 {
            tracing::warn!(damaged, "some sign-ins cannot be read and are left alone");
        }
        let count = expired.len();
        self.write_some(expired).await?;
        Ok(count)
    }

    /// Lets a person's sign-ins be found, also those that a program wrote which
    /// did not see to it. To be called before anything else, once it is a program's turn.
    pub async fn find_all(&self) -> Result<(), PeopleError> {
        let store = self.directory.store();
        if store.get(Space::People, stored::SIGN_INS_BY_PERSON)?.is_some() {
            return Ok(());
        }
        let mut found = Vec::new();
        scan_prefix(store, Space::People, stored::SIGN_INS_PREFIX, Direction::Forward, &mut |key, value| {
            if let (Ok(entry), Ok(session)) = (stored::decode::<StoredSignIn>(value), stored::trailing_id(key)) {
                found.push([of_person(&entry, SessionId(session))]);
            }
            ControlFlow::Continue(())
        })?;
        self.write_some(found).await?;
        self.write_some(vec![[Write::put(Space::People, stored::SIGN_INS_BY_PERSON, [1])]]).await
    }

    /// Makes changes a part at a time; what belongs to one thing goes together.
    async fn write_some<const N: usize>(&self, changes: Vec<[Write; N]>) -> Result<(), PeopleError> {
        for some in changes.chunks(AT_ONCE) {
            let some = some.concat();
            self.directory.change(move |directory| async move { Ok(directory.journal().write(some).await?) }).await?;
        }
        Ok(())
    }

    /// The sign-ins of a person, the oldest first, and whether each has ended.
    fn of(&self, person: UserId) -> Result<Vec<(SessionId, bool)>, PeopleError> {
        let mut found = Vec::new();
        let prefix = stored::sign_ins_of(person);
        scan_prefix(self.directory.store(), Space::People, &prefix, Direction::Forward, &mut |key, value| {
            found.push(stored::trailing_id(key).map(|session| (SessionId(session), value == ENDED)));
            ControlFlow::Continue(())
        })?;
        found.into_iter().collect()
    }

    /// The sign-ins that a person has to lose for there to be room for another.
    fn surplus(&self, person: UserId) -> Result<Vec<SessionId>, PeopleError> {
        let (ended, live): (Vec<_>, Vec<_>) = self.of(person)?.into_iter().partition(|(_, ended)| *ended);
        let surplus = (ended.len() + live.len() + 1).saturating_sub(self.most);
        Ok(ended.into_iter().chain(live).take(surplus).map(|(session, _)| session).collect())
    }

    /// The live sign-ins of a person, and the writes that end them. For a change of the directory.
    pub(super) fn ending_all(&self, person: UserId) -> Result<(Vec<SessionId>, Vec<Write>), PeopleError> {
        let (mut sessions, mut changes) = (Vec::new(), Vec::new());
        for (session, ended) in self.of(person)? {
            if let Some(mut entry) = self.find(session)?.filter(|_| !ended) {
                entry.revoked = true;
                changes.extend(writes(session, &entry)?);
                sessions.push(session);
            }
        }
        Ok((sessions, changes))
    }

    /// Sign-ins have ended: none of them is live from now on.
    pub(super) fn have_ended(&self, sessions: Vec<SessionId>) {
        let mut remembered = self.remembered();
        for session in &sessions {
            remember(&mut remembered, *session, None);
        }
        drop(remembered);
        if !sessions.is_empty() {
            self.tell(AccessChange::Ended(sessions));
        }
    }

    pub(super) fn tell(&self, change: AccessChange) {
        (self.tell)(change);
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    async fn exchange(&self, token: Token, now: Timestamp) -> Result<Refreshed, RefreshError> {
        let session = token.session;
        let mut entry = self.find(session)?.ok_or(RefreshError::Invalid)?;
        let person = self.directory.person(UserId(entry.person))?;
        if person.as_ref().is_some_and(|person| !person.active) {
            return Err(PeopleError::AccountClosed.into());
        }
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
        let Some(person) = person else {
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
        let written = self.write(session, &entry).await;
        // Again, in case it was forgotten and looked up while it was being written.
        self.have_ended(vec![session]);
        written
    }

    fn find(&self, session: SessionId) -> Result<Option<StoredSignIn>, PeopleError> {
        stored::get(self.directory.store(), &stored::sign_in_key(session))
    }

    async fn write(&self, session: SessionId, entry: &StoredSignIn) -> Result<(), PeopleError> {
        Ok(self.directory.journal().write(writes(session, entry)?.to_vec()).await?)
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<SessionId, Option<i64>>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is written of a sign-in: itself, and that it is its person's.
fn writes(session: SessionId, entry: &StoredSignIn) -> Result<[Write; 2], PeopleError> {
    Ok([stored::put(stored::sign_in_key(session), entry)?, of_person(entry, session)])
}

fn of_person(entry: &StoredSignIn, session: SessionId) -> Write {
    let ended: &[u8] = if entry.revoked { &ENDED } else { &[] };
    Write::put(Space::People, stored::sign_in_of_key(UserId(entry.person), session), ended)
}

fn removals(person: UserId, session: SessionId) -> [Write; 2] {
    let keys = [stored::sign_in_key(session), stored::sign_in_of_key(person, session)];
    keys.map(|key| Write::remove(Space::People, key))
}

fn remember(remembered: &mut HashMap<SessionId, Option<i64>>, session: SessionId, until: Option<i64>) {
    if remembered.len() >= REMEMBERED {
        remembered.clear();
    }
    remembered.insert(session, until);
}
