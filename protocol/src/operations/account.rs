//! Parameters and answers about accounts and tokens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    ids::UserId,
    model::{Person, Role},
};

/// Nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// A new account with an organization of its own.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// The name to sign in with: 2 to 64 of letters, digits, `.`, `_` and `-`; unique on the server.
    pub username: String,
    /// The password, of 10 to 256 characters.
    pub password: String,
    /// The name to show; the user name where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The e-mail address, with which one can sign in as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The name of the new organization, unique on the server; the user name where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
}

/// A new account in the caller's organization.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The name to sign in with: 2 to 64 of letters, digits, `.`, `_` and `-`; unique on the server.
    pub username: String,
    /// The password, of 10 to 256 characters.
    pub password: String,
    /// What the person may do.
    pub role: Role,
    /// The name to show; the user name where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The e-mail address, with which one can sign in as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// Who wants to sign in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user name or the e-mail address.
    pub username: String,
    /// The password.
    pub password: String,
}

/// The refresh token to use up.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The newest refresh token of the sign-in.
    pub refresh_token: String,
}

/// Which sign-in to end.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logout {
    /// Not needed, and not looked at: the sign-in that ends is that of the access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Whether all sign-ins of the person end, on every device.
    #[serde(default)]
    pub everywhere: bool,
}

/// What to change of a person's account: the fields that are present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserUpdate {
    /// The person.
    pub user: UserId,
    /// What the person may do from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// False closes the account: its sign-ins end, and none is opened until it is true again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// The new name to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A pair of tokens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenPair {
    /// For the header `Authorization: Bearer …` and for `session.open`.
    pub access_token: String,
    /// When the access token expires.
    pub expires_at: Timestamp,
    /// Seconds until the access token expires.
    pub expires_in: u64,
    /// Always `Bearer` (RFC 6750).
    pub token_type: String,
    /// For `auth.refresh`; good for one use.
    pub refresh_token: String,
}

/// A fresh sign-in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedIn {
    /// Who signed in.
    pub user: Person,
    /// The tokens.
    #[serde(flatten)]
    pub tokens: TokenPair,
}

/// The people of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserList {
    /// Everyone, by user name.
    pub items: Vec<Person>,
}

/// Shows a value's type and hides what is in it: it holds a password or a token.
macro_rules! hide_in_debug {
    ($($name:ident),+) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), " { .. }"))
            }
        }
    )+};
}

hide_in_debug!(NewAccount, NewUser, Login, Refresh, Logout, TokenPair, SignedIn);
