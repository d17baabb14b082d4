//! Who may log in to the portal.

use std::fmt;

use sha2::{Digest, Sha256};

/// The one account of the portal. The password is kept as its hash alone.
pub struct Account {
    username: String,
    password: [u8; 32],
}

impl Account {
    /// An account that `username` and `password` log in to.
    pub fn new(username: String, password: String) -> Self {
        Self { username, password: Sha256::digest(password).into() }
    }

    /// Whether these log in. Compares hashes, so that the time taken says nothing of the password.
    pub(super) fn accepts(&self, username: &str, password: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(password).into();
        self.username == username && self.password == hash
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("username", &self.username).finish_non_exhaustive()
    }
}
