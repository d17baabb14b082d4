//! How organizations, people and sign-ins are stored: keys, and entries of a version byte and bincode.

use flightdeck_protocol::{
    OrganizationId, SessionId, Timestamp, UserId,
    model::{Organization, Person, Role},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::PeopleError;
use crate::store::{MAX_VALUE, Space, Store, Write};

/// What is stored under a key.
pub(super) trait Entry: Serialize + DeserializeOwned {
    /// The version that this program writes.
    const VERSION: u8;
    /// What it is called in messages.
    const WHAT: &'static str;

    /// Reads an entry of an earlier version; `None` for one that never was.
    fn earlier(_version: u8, _encoded: &[u8]) -> Option<Result<Self, PeopleError>> {
        None
    }
}

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredOrganization {
    pub(super) name: String,
}

impl Entry for StoredOrganization {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "organization";
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
    /// Whether the account may be used.
    pub(super) active: bool,
}

/// A person as version 1 had it, when every account could be used.
#[derive(Deserialize)]
struct StoredPersonV1 {
    organization: Uuid,
    username: String,
    name: String,
    email: Option<String>,
    role: StoredRole,
    created_at: i64,
    password_hash: String,
}

impl Entry for StoredPerson {
    const VERSION: u8 = 2;
    const WHAT: &'static str = "person";

    fn earlier(version: u8, encoded: &[u8]) -> Option<Result<Self, PeopleError>> {
        (version == 1).then(|| {
            let StoredPersonV1 { organization, username, name, email, role, created_at, password_hash } =
                whole(Self::WHAT, encoded)?;
            Ok(Self { organization, username, name, email, role, created_at, password_hash, active: true })
        })
    }
}

impl StoredPerson {
    /// Whether an organization that has this person is not without an admin.
    pub(super) fn is_active_admin(&self) -> bool {
        self.active && self.role == StoredRole::Admin
    }

    pub(super) fn view(self, id: UserId, organization: Organization) -> Person {
        Person {
            id,
            organization,
            username: self.username,
            name: self.name,
            email: self.email,
            role: self.role.into(),
            created_at: Timestamp::from_millis(self.created_at),
            active: self.active,
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

impl Entry for StoredSignIn {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "sign-in";
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

/// The beginning of the keys of a person's sign-ins: `i ‖ id`.
pub(super) fn sign_ins_of(person: UserId) -> Vec<u8> {
    key(b'i', person.as_bytes())
}

/// That a sign-in is a person's: its prefix ‖ the sign-in's id, so that the oldest comes first.
pub(super) fn sign_in_of_key(person: UserId, id: SessionId) -> Vec<u8> {
    [sign_ins_of(person), id.as_bytes().to_vec()].concat()
}

/// That every sign-in stands under its person's keys too.
pub(super) const SIGN_INS_BY_PERSON: &[u8] = b"i";

fn key(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind], rest].concat()
}

/// The id that the last 16 bytes of a key, or a whole value, are.
pub(super) fn trailing_id(bytes: &[u8]) -> Result<Uuid, PeopleError> {
    let id = bytes.last_chunk::<16>().map(|id| Uuid::from_bytes(*id));
    id.ok_or_else(|| PeopleError::Damaged { what: "id", why: format!("it is {} bytes long", bytes.len()) })
}

/// The write that puts `entry` under `key`.
pub(super) fn put<T: Entry>(key: Vec<u8>, entry: &T) -> Result<Write, PeopleError> {
    let mut bytes = vec![T::VERSION];
    let encoded = bincode::serde::encode_to_vec(entry, bincode::config::standard())
        .map_err(|error| PeopleError::Internal(format!("cannot encode an entry: {error}")))?;
    bytes.extend(encoded);
    Ok(Write::put(Space::People, key, bytes))
}

/// The entry under `key`.
pub(super) fn get<T: Entry>(store: &dyn Store, key: &[u8]) -> Result<Option<T>, PeopleError> {
    store.get(Space::People, key)?.map(|bytes| decode(&bytes)).transpose()
}

/// Reads an entry, whichever version wrote it.
pub(super) fn decode<T: Entry>(bytes: &[u8]) -> Result<T, PeopleError> {
    let damaged = |why: String| PeopleError::Damaged { what: T::WHAT, why };
    match bytes.split_first() {
        Some((version, encoded)) if *version == T::VERSION => whole(T::WHAT, encoded),
        Some((version, encoded)) => T::earlier(*version, encoded).unwrap_or_else(|| {
            Err(damaged(format!(
                "it has format {version} and this program knows {}; run the version that wrote it, or a newer one",
                T::VERSION
            )))
        }),
        None => Err(damaged("it is empty".to_owned())),
    }
}

/// Reads what is to be neither longer nor shorter.
fn whole<T: DeserializeOwned>(what: &'static str, encoded: &[u8]) -> Result<T, PeopleError> {
    let damaged = |why: String| PeopleError::Damaged { what, why };
    let config = bincode::config::standard().with_limit::<MAX_VALUE>();
    let (entry, read) =
        bincode::serde::decode_from_slice(encoded, config).map_err(|error| damaged(error.to_string()))?;
    match read == encoded.len() {
        true => Ok(entry),
        false => Err(damaged("it is longer than it should be".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    fn check<T: Entry + PartialEq + Debug>(entry: T, golden: &str) {
        let bytes = put(vec![], &entry).unwrap().value.unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden, "{entry:?}");
        assert_eq!(decode::<T>(&bytes).unwrap(), entry);
        for length in 0..bytes.len() {
            assert!(decode::<T>(&bytes[..length]).is_err(), "cut at {length}");
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
            active: false,
        };
        check(
            person,
            concat!(
                "021000000000000000000000000000000001046f6c6761044f6c676101076f40652e6f726704fdf6",
                "487138380300000a246172676f6e3269642400"
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
    fn people_whom_the_first_version_wrote_are_read_and_may_use_their_accounts() {
        let golden = concat!(
            "011000000000000000000000000000000001046f6c6761044f6c676101076f40652e6f726704fdf6",
            "487138380300000a246172676f6e32696424"
        );
        let bytes: Vec<u8> =
            (0..golden.len()).step_by(2).map(|at| u8::from_str_radix(&golden[at..at + 2], 16).unwrap()).collect();
        let person: StoredPerson = decode(&bytes).unwrap();
        assert!(person.active);
        assert_eq!(
            (person.username.as_str(), person.role, person.password_hash.as_str()),
            ("olga", StoredRole::Viewer, "$argon2id$")
        );
        for length in 0..bytes.len() {
            assert!(decode::<StoredPerson>(&bytes[..length]).is_err(), "cut at {length}");
        }
        assert!(decode::<StoredPerson>(&[&bytes[..], &[1]].concat()).is_err(), "longer than it was");
    }

    #[test]
    fn roles_come_back_as_they_went() {
        for role in Role::ALL {
            assert_eq!(Role::from(StoredRole::from(role)), role);
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_named() {
        let error = decode::<StoredOrganization>(&[2, 0]).unwrap_err();
        assert!(error.to_string().contains("format 2"), "{error}");
    }
}
