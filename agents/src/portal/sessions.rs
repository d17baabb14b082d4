//! The portal's sessions: those that are logged in, and those that only look at the login form.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How many sessions of a kind are kept; a new one beyond that ends the oldest.
const MOST: usize = 1000;
/// How long a session holds.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// A session, known to the browser by its id in a cookie.
#[derive(Clone)]
pub(super) struct Session {
    /// What the cookie holds.
    pub(super) id: String,
    /// What every form of the session must carry.
    pub(super) csrf: String,
    opened: Instant,
}

/// The open sessions of one kind, oldest first.
#[derive(Default)]
pub(super) struct Sessions(VecDeque<Session>);

impl Sessions {
    /// Opens a session with a fresh id and CSRF token.
    pub(super) fn open(&mut self) -> Result<Session, getrandom::Error> {
        let session = Session { id: token()?, csrf: token()?, opened: Instant::now() };
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(session.clone());
        Ok(session)
    }

    /// The session of this id, if it is open and not too old.
    pub(super) fn find(&self, id: &str) -> Option<&Session> {
        self.0.iter().find(|session| session.id == id && session.opened.elapsed() < LIFETIME)
    }

    /// Ends the session of this id.
    pub(super) fn close(&mut self, id: &str) {
        self.0.retain(|session| session.id != id);
    }
}

/// 128 random bits in hex.
fn token() -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_session_makes_room() {
        let mut sessions = Sessions::default();
        let first = sessions.open().unwrap();
        assert!(sessions.find(&first.id).is_some());
        for _ in 0..MOST {
            sessions.open().unwrap();
        }
        assert!(sessions.find(&first.id).is_none());
        assert_eq!(sessions.0.len(), MOST);
    }

    #[test]
    fn a_closed_session_is_gone() {
        let mut sessions = Sessions::default();
        let session = sessions.open().unwrap();
        sessions.close(&session.id);
        assert!(sessions.find(&session.id).is_none());
    }
}
