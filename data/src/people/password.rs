//! Passwords: argon2id with the default parameters, off the event loop, and in a bounded line.

use std::sync::{Arc, LazyLock};

use argon2::{
    Argon2, PasswordHash, PasswordHasher, PasswordVerifier,
    password_hash::{Error, SaltString},
};
use tokio::sync::Semaphore;

use super::PeopleError;

/// How many passwords are worked on at the same time: each takes a core and 19 MiB for a while.
const AT_ONCE: usize = 2;

/// How many more may wait for their turn.
const WAITING: usize = 64;

/// The hash of a password that nobody has, for user names that nobody has: checking it takes as long as any.
static NOBODY: LazyLock<Option<String>> = LazyLock::new(|| hash_password("no one").ok());

/// Hashes `password` with a fresh salt into a PHC string. Takes tens of milliseconds of work.
pub fn hash_password(password: &str) -> Result<String, PeopleError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| PeopleError::Internal(format!("no randomness: {error}")))?;
    let failed = |error: Error| PeopleError::Internal(format!("cannot hash a password: {error}"));
    let salt = SaltString::encode_b64(&salt).map_err(failed)?;
    Ok(Argon2::default().hash_password(password.as_bytes(), &salt).map_err(failed)?.to_string())
}

/// Whether `password` is the one that `hash` was made from. Takes tens of milliseconds of work.
pub fn verify_password(password: &str, hash: &str) -> Result<bool, PeopleError> {
    let damaged = |error: Error| PeopleError::Damaged { what: "password hash", why: error.to_string() };
    let parsed = PasswordHash::new(hash).map_err(damaged)?;
    match Argon2::default().verify_password(password.as_bytes(), &parsed) {
        Ok(()) => Ok(true),
        Err(Error::Password) => Ok(false),
        Err(error) => Err(damaged(error)),
    }
}

/// Works on passwords on threads of their own, a few at a time.
#[derive(Clone)]
pub(super) struct Passwords {
    turns: Arc<Semaphore>,
    line: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), line: Arc::new(Semaphore::new(AT_ONCE + WAITING)) }
    }
}

impl Passwords {
    pub(super) async fn hash(&self, password: String) -> Result<String, PeopleError> {
        self.run(move || hash_password(&password)).await
    }

    /// Checks against `hash`; without one it takes as long, and the answer is no.
    pub(super) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, PeopleError> {
        self.run(move || match (hash, &*NOBODY) {
            (Some(hash), _) => verify_password(&password, &hash),
            (None, Some(nobody)) => verify_password(&password, nobody).map(|_| false),
            (None, None) => Ok(false),
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PeopleError> + Send + 'static,
    ) -> Result<T, PeopleError> {
        let place = Arc::clone(&self.line).try_acquire_owned().map_err(|_| PeopleError::Overloaded)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| PeopleError::Internal("the line for passwords is closed".to_owned()))?;
        // Both go along with the work: a caller that goes away does not make room while it goes on.
        let done = tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            work()
        });
        done.await.map_err(|error| PeopleError::Internal(format!("the work on a password broke off: {error}")))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_opens_its_own_hash_alone() {
        let hash = hash_password("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, hash_password("correct horse").unwrap(), "salted");
        assert!(verify_password("correct horse", &hash).unwrap());
        assert!(!verify_password("correct hors", &hash).unwrap());
        assert!(matches!(verify_password("x", "no hash"), Err(PeopleError::Damaged { .. })));
    }

    #[tokio::test]
    async fn the_line_has_an_end() {
        let passwords = Passwords::default();
        let everyone = Arc::clone(&passwords.line).try_acquire_many_owned((AT_ONCE + WAITING) as u32).unwrap();
        assert!(matches!(passwords.run(|| Ok(())).await, Err(PeopleError::Overloaded)));
        drop(everyone);
        passwords.run(|| Ok(())).await.expect("the line has moved on");
    }
}
