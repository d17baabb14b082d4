//! Access tokens: short-lived JSON Web Tokens (RFC 7519) that say who somebody is.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use flightdeck_protocol::{SessionId, Timestamp, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize};

const ISSUER: &str = "flightdeck";
const KEY_BYTES: usize = 32;

/// Why the signing key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read or made.
    #[error("the signing key {path} could not be read or made")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read it.
    #[error("the signing key {0} can be read by others; run chmod 600 on it, and delete it first if they may have")]
    Exposed(PathBuf),
    /// It is not a key of ours.
    #[error("the signing key {0} is not {KEY_BYTES} bytes long; delete it and everybody signs in again")]
    Malformed(PathBuf),
    /// There is no randomness to be had.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}

/// Why an access token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// It was not made with this server's key, or was changed, or is no token at all.
    #[error("this is not a token of this server")]
    Invalid,
    /// It is past its time.
    #[error("the token has expired")]
    Expired,
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Who.
    pub person: UserId,
    /// By which sign-in.
    pub session: SessionId,
    /// Until when.
    pub expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: UserId,
    sid: SessionId,
    iat: i64,
    exp: i64,
}

/// Makes and checks access tokens, with a key that never leaves the server.
#[derive(Clone)]
pub struct AccessTokens {
    signing: EncodingKey,
    checking: DecodingKey,
    lifetime_ms: i64,
}

impl AccessTokens {
    /// Takes the key from the file `path`; makes one, for its owner's eyes
    /// alone, where there is none. Tokens last `lifetime_ms` milliseconds.
    ///
    /// # Errors
    /// When the file cannot be read or made, or others may read it.
    pub fn open(path: &Path, lifetime_ms: i64) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Io { path: path.to_owned(), source };
        match fs::metadata(path) {
            Ok(found) if found.permissions().mode() & 0o077 != 0 => return Err(KeyError::Exposed(path.to_owned())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(path)?,
            Err(error) => return Err(failed(error)),
        }
        let key = fs::read(path).map_err(failed)?;
        if key.len() != KEY_BYTES {
            return Err(KeyError::Malformed(path.to_owned()));
        }
        Ok(Self::with_key(&key, lifetime_ms))
    }

    fn with_key(key: &[u8], lifetime_ms: i64) -> Self {
        Self { signing: EncodingKey::from_secret(key), checking: DecodingKey::from_secret(key), lifetime_ms }
    }

    /// A token for `person`, who signed in as `session`, from `now` on; and when it expires.
    ///
    /// # Errors
    /// When the token cannot be signed.
    pub fn issue(
        &self,
        person: UserId,
        session: SessionId,
        now: Timestamp,
    ) -> Result<(String, Timestamp), jsonwebtoken::errors::Error> {
        // Tokens count in whole seconds.
        let iat = now.as_millis() / 1_000;
        let exp = (now.as_millis() + self.lifetime_ms) / 1_000;
        let claims = Claims { iss: ISSUER.to_owned(), sub: person, sid: session, iat, exp };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing)?;
        Ok((token, Timestamp::from_millis(exp * 1_000)))
    }

    /// Checks a token at `now`.
    ///
    /// # Errors
    /// When it is not one of ours, or has expired.
    pub fn check(&self, token: &str, now: Timestamp) -> Result<Access, AccessError> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        // The time is ours to compare: it comes in, it is not asked for.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.checking, &validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => AccessError::Expired,
                _ => AccessError::Invalid,
            })?
            .claims;
        let expires_at = Timestamp::from_millis(claims.exp.saturating_mul(1_000));
        if now >= expires_at {
            return Err(AccessError::Expired);
        }
        Ok(Access { person: claims.sub, session: claims.sid, expires_at })
    }
}

fn make_key(path: &Path) -> Result<(), KeyError> {
    let failed = |source| KeyError::Io { path: path.to_owned(), source };
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|error| KeyError::Random(error.to_string()))?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(&key).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_token_says_who_until_it_expires() {
        let tokens = AccessTokens::with_key(&[7; 32], 900_000);
        let (person, session) = (UserId::fresh(), SessionId::fresh());
        let (token, expires_at) = tokens.issue(person, session, at(1_000)).unwrap();
        assert_eq!(expires_at, at(1_900));
        assert_eq!(tokens.check(&token, at(1_899)), Ok(Access { person, session, expires_at }));
        assert_eq!(tokens.check(&token, at(1_900)), Err(AccessError::Expired));
    }

    #[test]
    fn a_forged_or_changed_token_is_not_accepted() {
        let ours = AccessTokens::with_key(&[7; 32], 900_000);
        let theirs = AccessTokens::with_key(&[8; 32], 900_000);
        let (token, _) = theirs.issue(UserId::fresh(), SessionId::fresh(), at(0)).unwrap();
        assert_eq!(ours.check(&token, at(1)), Err(AccessError::Invalid));
        // {"alg":"none"} with our claims and no signature.
        let (token, _) = ours.issue(UserId::fresh(), SessionId::fresh(), at(0)).unwrap();
        let claims = token.split('.').nth(1).unwrap();
        assert_eq!(ours.check(&format!("eyJhbGciOiJub25lIn0.{claims}."), at(1)), Err(AccessError::Invalid));
        assert_eq!(ours.check("", at(1)), Err(AccessError::Invalid));
        assert_eq!(ours.check("a.b.c", at(1)), Err(AccessError::Invalid));
    }

    #[test]
    fn the_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.key");
        let (token, _) =
            AccessTokens::open(&path, 1_000).unwrap().issue(UserId::fresh(), SessionId::fresh(), at(0)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(AccessTokens::open(&path, 1_000).unwrap().check(&token, at(0)).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(AccessTokens::open(&path, 1_000), Err(KeyError::Exposed(_))));
    }
}
