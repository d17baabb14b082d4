//! What can go wrong between a client and a server.

use std::{fmt, sync::Arc};

use crate::fault::{Fault, Kind};

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The WebSocket close code; 1006 where the connection ended without one.
    pub code: u16,
    /// Why, in words.
    pub reason: String,
}

impl Closed {
    /// The connection ended without a goodbye.
    pub(super) fn abnormal(reason: impl Into<String>) -> Self {
        Self { code: 1006, reason: reason.into() }
    }

    /// Whether coming back is pointless: the codes 4500 to 4999.
    pub fn is_final(&self) -> bool {
        (4500..5000).contains(&self.code)
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reason.is_empty() {
            write!(f, "code {}", self.code)
        } else {
            write!(f, "{} ({})", self.reason, self.code)
        }
    }
}

/// Why a call, or a connection, did not come about.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refused the request.
    #[error("{0}")]
    Fault(Fault),
    /// The server refused the connection, and not in words that this client knows.
    #[error("the server refused the connection with HTTP status {status}: {text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of what came with it.
        text: String,
    },
    /// The session has ended; whether the request was carried out is not known.
    #[error("the connection ended: {0}")]
    Closed(Closed),
    /// What was given as the server's address is none.
    #[error("{0}")]
    Address(String),
    /// No connection came about.
    #[error("no connection to {server}: {why}")]
    Connect {
        /// The address that was tried.
        server: String,
        /// What the system said.
        why: String,
    },
    /// What the server sent, or what was to be sent, is not in the protocol of this client.
    #[error("{what} is not what this client knows, a newer one may: {source}")]
    Unreadable {
        /// What it should have been.
        what: String,
        /// What serde said.
        source: Arc<serde_json::Error>,
    },
    /// No token could be had to sign in with.
    #[error("{0}")]
    Token(String),
    /// No answer came in time; whether the request was carried out is not known.
    #[error("{0}")]
    TimedOut(String),
    /// Too much waits for a connection already; nothing was sent.
    #[error("{0}")]
    QueueFull(String),
}

impl ClientError {
    /// This side has closed the connection.
    pub(super) fn left() -> Self {
        Self::Closed(Closed { code: 1000, reason: "closed by this side".to_owned() })
    }

    /// What the server said, if it was the server that refused.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Fault(fault) => Some(fault),
            _ => None,
        }
    }

    /// Whether the same may succeed later without a change.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Fault(fault) => fault.data.temporary,
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            Self::Closed(closed) => !closed.is_final(),
            Self::Connect { .. } | Self::TimedOut(_) | Self::QueueFull(_) => true,
            Self::Address(_) | Self::Unreadable { .. } | Self::Token(_) => false,
        }
    }

    /// Whether the token was not accepted.
    pub fn is_unauthenticated(&self) -> bool {
        match self {
            Self::Fault(fault) => fault.kind() == Kind::Unauthenticated,
            Self::Refused { status, .. } => *status == 401,
            _ => false,
        }
    }
}
