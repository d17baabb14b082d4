//! Refresh tokens: `fdr_<session>_<secret>`, of which only a hash is stored.

use flightdeck_protocol::SessionId;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::PeopleError;

const MARK: &str = "fdr_";
const SECRET_BYTES: usize = 32;

/// A refresh token as its holder has it.
pub(super) struct Token {
    /// The sign-in that it belongs to.
    pub(super) session: SessionId,
    secret: [u8; SECRET_BYTES],
}

impl Token {
    /// A new token for `session`.
    pub(super) fn fresh(session: SessionId) -> Result<Self, PeopleError> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(|error| PeopleError::Internal(format!("no randomness: {error}")))?;
        Ok(Self { session, secret })
    }

    /// Reads a token; `None` if it has not the form of one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (session, secret) = text.strip_prefix(MARK)?.split_once('_')?;
        let lower_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if session.len() != 32 || secret.len() != 2 * SECRET_BYTES || !lower_hex(session) || !lower_hex(secret) {
            return None;
        }
        let mut bytes = [0; SECRET_BYTES];
        for (byte, digits) in bytes.iter_mut().zip(secret.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self { session: SessionId(Uuid::try_parse(session).ok()?), secret: bytes })
    }

    /// The token in words that can be sent.
    pub(super) fn text(&self) -> String {
        let secret: String = self.secret.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{MARK}{}_{secret}", self.session.0.simple())
    }

    /// What is stored of it.
    pub(super) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }

    /// Whether it is the token that `hash` was stored of; takes the same time either way.
    pub(super) fn matches(&self, hash: &[u8; 32]) -> bool {
        self.hash().ct_eq(hash).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_went() {
        let session = SessionId::fresh();
        let token = Token::fresh(session).unwrap();
        let parsed = Token::parse(&token.text()).unwrap();
        assert_eq!(parsed.session, session);
        assert!(parsed.matches(&token.hash()));
        assert!(!Token::fresh(session).unwrap().matches(&token.hash()));
    }

    #[test]
    fn anything_else_is_no_token() {
        let text = Token::fresh(SessionId::fresh()).unwrap().text();
        let others =
            ["", "fdr_", "fdr__", &text[1..], &text[..text.len() - 1], &text.to_uppercase(), &format!("{text}0")];
        for other in others.into_iter().chain([text.replace("fdr_", "fdr_-").as_str(), &text.replacen('_', "-", 2)]) {
            assert!(Token::parse(other).is_none(), "{other}");
        }
    }
}
