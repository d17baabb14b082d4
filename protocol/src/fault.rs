//! Errors that a client sees: a stable code, its kind, and a sentence that says what to do.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EventFrame;

/// The family of an error: enough for a client to decide what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Nobody is signed in, or the proof of it is not accepted.
    Unauthenticated,
    /// The caller is known and may not do this.
    Forbidden,
    /// There is no such thing, or none that the caller may know of.
    NotFound,
    /// The thing is not in a state that allows it.
    Conflict,
    /// The request is malformed.
    Invalid,
    /// The request, or what it would make, is over a size limit.
    TooLarge,
    /// The caller asks too often.
    RateLimited,
    /// The server is at a limit of its own; ask again later.
    Overloaded,
    /// The thing exists and cannot be used now.
    Unavailable,
    /// A fault of the server.
    Internal,
}

impl Kind {
    /// The HTTP status of an error of this kind (RFC 9110).
    pub fn http_status(self) -> u16 {
        match self {
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Invalid => 400,
            Self::TooLarge => 413,
            Self::RateLimited => 429,
            Self::Overloaded | Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal, $kind:ident, temporary: $temporary:literal;)+) => {
        /// A stable error code. Numbers and names are never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Code {
            /// Every code, in the order of declaration.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)+];

            /// The JSON-RPC error code: negative as JSON-RPC 2.0 has it, positive for ours.
            pub fn number(self) -> i32 {
                match self { $(Self::$variant => $number,)+ }
            }

            /// The code's name, as in `data.name`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The family it belongs to.
            pub fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)+ }
            }

            /// Whether the same request may succeed later without a change.
            pub fn temporary(self) -> bool {
                match self { $(Self::$variant => $temporary,)+ }
            }

            /// What it means, in a sentence.
            pub fn doc(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

codes! {
    /// The message is not valid JSON.
    ParseError = -32700, "parse_error", Invalid, temporary: false;
    /// The message is JSON and not a JSON-RPC 2.0 request.
    InvalidRequest = -32600, "invalid_request", Invalid, temporary: false;
    /// There is no such method.
    MethodNotFound = -32601, "method_not_found", NotFound, temporary: false;
    /// A parameter is missing, unknown, or of the wrong type.
    InvalidParams = -32602, "invalid_params", Invalid, temporary: false;
    /// The server failed; the log of the server has the details.
    Internal = -32603, "internal", Internal, temporary: true;
    /// A queue of the server is full; nothing was done.
    Overloaded = -32001, "overloaded", Overloaded, temporary: true;

    /// Nobody is signed in on this connection or request.
    Unauthenticated = 1000, "unauthenticated", Unauthenticated, temporary: false;
    /// The token was not made by this server, or was changed.
    TokenInvalid = 1001, "token_invalid", Unauthenticated, temporary: false;
    /// The token is past its time.
    TokenExpired = 1002, "token_expired", Unauthenticated, temporary: false;
    /// The sign-in that the token belongs to has ended.
    TokenRevoked = 1003, "token_revoked", Unauthenticated, temporary: false;
    /// The name or the password is wrong.
    BadLogin = 1004, "bad_login", Unauthenticated, temporary: false;
    /// The refresh token was used before; the whole sign-in is revoked.
    RefreshReused = 1005, "refresh_reused", Unauthenticated, temporary: false;
    /// The account was closed by an admin.
    AccountClosed = 1006, "account_closed", Unauthenticated, temporary: false;

    /// The caller's role does not allow this operation.
    Forbidden = 1100, "forbidden", Forbidden, temporary: false;
    /// This server does not take sign-ups.
    SignupClosed = 1101, "signup_closed", Forbidden, temporary: false;

    /// There is no such route.
    RouteNotFound = 1200, "route_not_found", NotFound, temporary: false;
    /// There is no such mission in the caller's organization.
    MissionNotFound = 1201, "mission_not_found", NotFound, temporary: false;
    /// The mission has no such step.
    StepNotFound = 1202, "step_not_found", NotFound, temporary: false;
    /// There is no such document in the caller's organization.
    DocumentNotFound = 1203, "document_not_found", NotFound, temporary: false;
    /// The mission has no such question or approval.
    ApprovalNotFound = 1204, "approval_not_found", NotFound, temporary: false;
    /// The session watches nothing under this name.
    SubscriptionNotFound = 1205, "subscription_not_found", NotFound, temporary: false;
    /// The organization has no such person.
    UserNotFound = 1206, "user_not_found", NotFound, temporary: false;
    /// The caller's inbox has no such item.
    ItemNotFound = 1207, "item_not_found", NotFound, temporary: false;

    /// The mission's status does not allow it.
    IllegalTransition = 1300, "illegal_transition", Conflict, temporary: false;
    /// A step cannot stand under itself or under one of its own children.
    StepCycle = 1301, "step_cycle", Conflict, temporary: false;
    /// The name is taken.
    NameTaken = 1302, "name_taken", Conflict, temporary: false;
    /// The session is open for somebody else already.
    AlreadyOpen = 1303, "already_open", Conflict, temporary: false;
    /// The session watches something under this name already.
    SubscriptionTaken = 1304, "subscription_taken", Conflict, temporary: false;
    /// Somebody has answered already.
    AlreadyAnswered = 1305, "already_answered", Conflict, temporary: false;
    /// An agent of this name is not set up on this server.
    AgentUnknown = 1306, "agent_unknown", Conflict, temporary: false;
    /// The mission has moved on since `if_seq`; `data.conflict` has what changed.
    SeqConflict = 1307, "seq_conflict", Conflict, temporary: false;
    /// The value of `idem` was used for another call.
    IdemReused = 1308, "idem_reused", Conflict, temporary: false;
    /// An organization needs an admin whose account is active.
    LastAdmin = 1309, "last_admin", Conflict, temporary: false;
    /// The watch was ended with an unwatch before it stood.
    Unwatched = 1310, "unwatched", Conflict, temporary: false;

    /// The message or a value in it is over its size limit.
    TooLarge = 1400, "too_large", TooLarge, temporary: false;
    /// The mission, or the session, has as many of these as it may have.
    LimitReached = 1401, "limit_reached", TooLarge, temporary: false;

    /// The caller asks too often.
    RateLimited = 1500, "rate_limited", RateLimited, temporary: true;
    /// The person has as many live sessions as one may have.
    TooManySessions = 1501, "too_many_sessions", RateLimited, temporary: true;

    /// The mission is being restarted; whether the command was carried out is not known.
    MissionRestarting = 1600, "mission_restarting", Unavailable, temporary: true;
    /// The mission's stored history cannot be read; it is set aside and nothing was changed.
    MissionQuarantined = 1601, "mission_quarantined", Unavailable, temporary: false;
    /// The store cannot be written now; nothing was changed.
    StoreUnavailable = 1602, "store_unavailable", Unavailable, temporary: true;
    /// The operation needs another transport than the one it came by.
    WrongTransport = 1603, "wrong_transport", Invalid, temporary: false;
    /// The operation is for drills, and this server does not allow them.
    DrillsOff = 1604, "drills_off", Forbidden, temporary: false;
    /// The server stops and takes nothing new; its next run, or its successor, does.
    ServerRestarting = 1605, "server_restarting", Unavailable, temporary: true;
    /// The operation plans faults, and this server does not allow them.
    FaultsOff = 1606, "faults_off", Forbidden, temporary: false;

    /// A value is not acceptable.
    InvalidValue = 1700, "invalid_value", Invalid, temporary: false;
    /// The session takes text frames alone.
    BinaryFrame = 1701, "binary_frame", Invalid, temporary: false;
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32(self.number())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i32::deserialize(deserializer)?;
        Ok(Self::ALL.iter().copied().find(|code| code.number() == number).unwrap_or(Self::Internal))
    }
}

/// A refused request: the `error` member of a JSON-RPC 2.0 response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// The stable code.
    #[schemars(with = "i32")]
    pub code: Code,
    /// A sentence that says what is wrong and what to do about it.
    pub message: String,
    /// What a program needs to act on it.
    pub data: FaultData,
}

/// The `data` member of an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultData {
    /// The family of the error.
    pub kind: Kind,
    /// The name of the code.
    pub name: String,
    /// Whether the same request may succeed later without a change.
    pub temporary: bool,
    /// When to ask again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The parameter that is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What has happened since `if_seq`, where that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Box<SeqConflict>>,
}

/// What a caller who gave `if_seq` did not know of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeqConflict {
    /// The position of the mission's newest event.
    pub seq: u64,
    /// What happened after `if_seq`, in order: all of it, or the newest part.
    pub changes: Vec<EventFrame>,
    /// Whether `changes` is all of it. If not, take a snapshot.
    pub complete: bool,
}

impl Fault {
    /// A fault with `code`, and `message` as its sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: FaultData {
                kind: code.kind(),
                name: code.name().to_owned(),
                temporary: code.temporary(),
                retry_after_ms: None,
                field: None,
                conflict: None,
            },
        }
    }

    /// The value of `field` is not acceptable, for the reason that `message` gives.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidValue, message).on(field)
    }

    /// A queue is full: ask again after `retry_after_ms` milliseconds.
    pub fn overloaded(what: &str, retry_after_ms: u64) -> Self {
        Self::new(Code::Overloaded, format!("{what} is full; nothing was done, ask again later")).after(retry_after_ms)
    }

    /// Names the parameter that is at fault.
    pub fn on(mut self, field: &str) -> Self {
        self.data.field = Some(field.to_owned());
        self
    }

    /// Says when to ask again, in milliseconds.
    pub fn after(mut self, retry_after_ms: u64) -> Self {
        self.data.retry_after_ms = Some(retry_after_ms);
        self
    }

    /// The family of the error.
    pub fn kind(&self) -> Kind {
        self.data.kind
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.data.name)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique() {
        for (i, a) in Code::ALL.iter().enumerate() {
            for b in &Code::ALL[i + 1..] {
                assert_ne!(a.number(), b.number(), "{a:?} and {b:?}");
                assert_ne!(a.name(), b.name(), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn a_fault_on_the_wire() {
        insta::assert_json_snapshot!(Fault::invalid("title", "the title is empty; give it 1 to 200 characters"));
        insta::assert_json_snapshot!(Fault::overloaded("the journal", 250));
    }

    #[test]
    fn every_code_on_the_wire() {
        let lines: Vec<String> = Code::ALL
            .iter()
            .map(|c| {
                format!(
                    "{} {} {:?} http={} temporary={}",
                    c.number(),
                    c.name(),
                    c.kind(),
                    c.kind().http_status(),
                    c.temporary()
                )
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
