//! How organizations, people and sign-ins are stored: keys, and entries of a version byte and bincode.

use flightdeck_protocol::{
    OrganizationId, SessionId, Timestamp, UserId,
    model::{Organization, Person, Role},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::PeopleError;
use crate::store::{MAX_VALUE, Space, Store, Write};

/// The version of the entries that this program writes.
const VERSION: u8 = 1;

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredOrganization {
    pub(super) name: String,
}

impl StoredOrganization {
    pub(super) fn view(self, id: OrganizationId) -> Organization {
        Organization { id, name: self.name }
    }
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredPerson {
    pub(super) organization: Uuid,
    pub(super) username: String,
    pub(super) name: String,
    pub(super) email: Option<String>,
    pub(super) role: StoredRole,
    /// In milliseconds since the Unix epoch.
    pub(super) created_at: i64,
    /// A PHC string.
    pub(super) password_hash: String,
}

impl StoredPerson {
    pub(super) fn view(self, id: UserId, organization: Organization) -> Person {
        Person {
            id,
            organization,
            username: self.username,
            name: self.name,
            email: self.email,
            role: self.role.into(),
            created_at: Timestamp::from_millis(self.created_at),
            active: true,
        }
    }
}

/// A role as it is stored: by its place in this list, which therefore only grows at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StoredRole {
    Admin,
    Officer,
    Manager,
    Approver,
    Viewer,
}

impl From<Role> for StoredRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Admin => Self::Admin,
            Role::Officer => Self::Officer,
            Role::Manager => Self::Manager,
            Role::Approver => Self::Approver,
            Role::Viewer => Self::Viewer,
        }
    }
}

impl From<StoredRole> for Role {
    fn from(role: StoredRole) -> Self {
        match role {
            StoredRole::Admin => Self::Admin,
            StoredRole::Officer => Self::Officer,
            StoredRole::Manager => Self::Manager,
            StoredRole::Approver => Self::Approver,
            StoredRole::Viewer => Self::Viewer,
        }
    }
}

/// A sign-in: one family of refresh tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredSignIn {
    pub(super) person: Uuid,
    /// The SHA-256 of the one token that is valid.
    pub(super) token_hash: [u8; 32],
    /// In milliseconds since the Unix epoch.
    pub(super) created_at: i64,
    /// In milliseconds since the Unix epoch.
    pub(super) expires_at: i64,
    pub(super) revoked: bool,
}

/// An organization: `o ‖ id`.
pub(super) fn organization_key(id: OrganizationId) -> Vec<u8> {
    key(b'o', id.as_bytes())
}

/// An organization's name, to its id: `n ‖ name in lower case`.
pub(super) fn organization_name_key(name: &str) -> Vec<u8> {
    key(b'n', name.trim().to_lowercase().as_bytes())
}

/// A person: `p ‖ id`.
pub(super) fn person_key(id: UserId) -> Vec<u8> {
    key(b'p', id.as_bytes())
}

/// A user name, to its person's id: `u ‖ name in lower case`.
pub(super) fn username_key(username: &str) -> Vec<u8> {
    key(b'u', username.to_lowercase().as_bytes())
}

/// The beginning of the keys of those with an e-mail address: `e ‖ address in lower case ‖ 0`.
pub(super) fn email_prefix(email: &str) -> Vec<u8> {
    let mut prefix = key(b'e', email.to_lowercase().as_bytes());
    prefix.push(0);
    prefix
}

/// A person's e-mail address: its prefix ‖ the person's id.
pub(super) fn email_key(email: &str, id: UserId) -> Vec<u8> {
    [email_prefix(email), id.as_bytes().to_vec()].concat()
}

/// The beginning of the keys of an organization's people: `m ‖ id`.
pub(super) fn members_prefix(organization: OrganizationId) -> Vec<u8> {
    key(b'm', organization.as_bytes())
}

/// That a person is one of an organization: its prefix ‖ the person's id.
pub(super) fn member_key(organization: OrganizationId, id: UserId) -> Vec<u8> {
    [members_prefix(organization), id.as_bytes().to_vec()].concat()
}

/// The beginning of the keys of sign-ins.
pub(super) const SIGN_INS_PREFIX: &[u8] = b"s";

/// A sign-in: `s ‖ id`.
pub(super) fn sign_in_key(id: SessionId) -> Vec<u8> {
    key(b's', id.as_bytes())
}

fn key(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind], rest].concat()
}

/// The id that the last 16 bytes of a key, or a whole value, are.
pub(super) fn trailing_id(bytes: &[u8]) -> Result<Uuid, PeopleError> {
    let id = bytes.last_chunk::<16>().map(|id| Uuid::from_bytes(*id));
    id.ok_or_else(|| PeopleError::Damaged { what: "id", why: format!("it is {} bytes long", bytes.len()) })
}

/// The write that puts `entry` under `key`.
pub(super) fn put<T: Serialize>(key: Vec<u8>, entry: &T) -> Result<Write, PeopleError> {
    let mut bytes = vec![VERSION];
    let encoded = bincode::serde::encode_to_vec(entry, bincode::config::standard())
        .map_err(|error| PeopleError::Internal(format!("cannot encode an entry: {error}")))?;
    bytes.extend(encoded);
    Ok(Write::put(Space::People, key, bytes))
}

/// The entry under `key`.
pub(super) fn get<T: DeserializeOwned>(
    store: &dyn Store,
    what: &'static str,
    key: &[u8],
) -> Result<Option<T>, PeopleError> {
    store.get(Space::People, key)?.map(|bytes| decode(what, &bytes)).transpose()
}

/// Reads an entry.
pub(super) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, PeopleError> {
    let damaged = |why: String| PeopleError::Damaged { what, why };
    match bytes.split_first() {
        Some((&VERSION, encoded)) => {
            let config = bincode::config::standard().with_limit::<MAX_VALUE>();
            let (entry, read) =
                bincode::serde::decode_from_slice(encoded, config).map_err(|error| damaged(error.to_string()))?;
            match read == encoded.len() {
                true => Ok(entry),
                false => Err(damaged("it is longer than it should be".to_owned())),
            }
        }
        Some((version, _)) => Err(damaged(format!(
            "it has format {version} and this program knows {VERSION}; run the version that wrote it, or a newer one"
        ))),
        None => Err(damaged("it is empty".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(entry: T, golden: &str) {
        let bytes = put(vec![], &entry).unwrap().value.unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden, "{entry:?}");
        assert_eq!(decode::<T>("entry", &bytes).unwrap(), entry);
        for length in 0..bytes.len() {
            assert!(decode::<T>("entry", &bytes[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn the_stored_bytes_never_change() {
        check(StoredOrganization { name: "Elm".to_owned() }, "0103456c6d");
        let person = StoredPerson {
            organization: Uuid::from_u128(1),
            username: "olga".to_owned(),
            name: "Olga".to_owned(),
            email: Some("o@e.org".to_owned()),
            role: StoredRole::Viewer,
            created_at: 1_770_000_000_123,
            password_hash: "$argon2id$".to_owned(),
        };
        check(
            person,
            concat!(
                "011000000000000000000000000000000001046f6c6761044f6c676101076f40652e6f726704fdf6",
                "487138380300000a246172676f6e32696424"
            ),
        );
        let sign_in = StoredSignIn {
            person: Uuid::from_u128(2),
            token_hash: [7; 32],
            created_at: 1,
            expires_at: 1_770_000_000_123,
            revoked: true,
        };
        check(
            sign_in,
            concat!(
                "01100000000000000000000000000000000207070707070707070707070707070707070707070707",
                "0707070707070707070702fdf64871383803000001"
            ),
        );
    }

    #[test]
    fn roles_come_back_as_they_went() {
        for role in Role::ALL {
            assert_eq!(Role::from(StoredRole::from(role)), role);
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_named() {
        let error = decode::<StoredOrganization>("organization", &[2, 0]).unwrap_err();
        assert!(error.to_string().contains("format 2"), "{error}");
    }
}
