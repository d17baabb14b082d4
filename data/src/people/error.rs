//! Why something about people was refused or failed.

use flightdeck_protocol::SessionId;

use crate::{journal::JournalError, store::StoreError};

/// Why the directory did not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeopleError {
    /// The name belongs to another.
    #[error("the {field} {name:?} is taken; choose another")]
    NameTaken {
        /// The parameter that holds the name.
        field: &'static str,
        /// The name.
        name: String,
    },
    /// A value is not acceptable.
    #[error("{message}")]
    Invalid {
        /// The parameter that holds the value.
        field: &'static str,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// There is no such organization.
    #[error("there is no such organization")]
    UnknownOrganization,
    /// There is no such person.
    #[error("there is no such person")]
    UnknownPerson,
    /// The name or the password is wrong; which of them is not said.
    #[error("the name or the password is wrong")]
    BadLogin,
    /// The account was closed; an admin can open it again.
    #[error("the account was closed; ask an admin to open it again")]
    AccountClosed,
    /// It would leave an organization without an admin whose account is active.
    #[error("an organization needs an admin whose account is active; make another one first")]
    LastAdmin,
    /// Too many wait already; nothing was done.
    #[error("too many sign-ins at once; nothing was done, try again in a moment")]
    Overloaded,
    /// The journal did not take it, or it did not get to disk.
    #[error("it could not be written: {0}")]
    Journal(#[source] JournalError),
    /// The store cannot be read.
    #[error("the directory of people cannot be read: {0}")]
    Store(#[from] StoreError),
    /// A stored entry is not what was written.
    #[error("a stored {what} of the directory of people cannot be read: {why}")]
    Damaged {
        /// What kind of entry.
        what: &'static str,
        /// What was found.
        why: String,
    },
    /// A part of the program failed.
    #[error("{0}")]
    Internal(String),
}

impl From<JournalError> for PeopleError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Full => Self::Overloaded,
            other => Self::Journal(other),
        }
    }
}

/// Why a refresh token was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// It was not made by this server, or was changed.
    #[error("the refresh token is not one of this server's; sign in again")]
    Invalid,
    /// The sign-in is past its time.
    #[error("the sign-in is past its time; sign in again")]
    Expired,
    /// The sign-in was ended.
    #[error("the sign-in was ended; sign in again")]
    Revoked,
    /// The token was used before: somebody has a copy of it. The sign-in is revoked.
    #[error("the refresh token was used before, so the whole sign-in is ended; sign in again")]
    Reused {
        /// The sign-in, which is revoked now.
        session: SessionId,
    },
    /// The directory failed.
    #[error(transparent)]
    People(#[from] PeopleError),
}

impl From<StoreError> for RefreshError {
    fn from(error: StoreError) -> Self {
        Self::People(error.into())
    }
}
