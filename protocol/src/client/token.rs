//! Where a client that stays gets its tokens.

use std::future::Future;

/// Why there is no token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenError {
    /// It may work later: the server cannot be reached, for example.
    #[error("{0}")]
    Temporary(String),
    /// Somebody has to sign in again.
    #[error("{0}")]
    Final(String),
}

/// Gives access tokens, and newer ones when they run out.
pub trait Tokens: Send + Sync + 'static {
    /// An access token. `rejected` is one that the server no longer takes, or
    /// that is about to expire: the answer should be another one.
    fn token(&self, rejected: Option<String>) -> impl Future<Output = Result<String, TokenError>> + Send;
}

/// A token that cannot be renewed.
#[derive(Clone)]
pub struct FixedToken(pub String);

impl Tokens for FixedToken {
    async fn token(&self, rejected: Option<String>) -> Result<String, TokenError> {
        match rejected {
            Some(rejected) if rejected == self.0 => {
                Err(TokenError::Final("the access token has expired or is not accepted; sign in again".to_owned()))
            }
            _ => Ok(self.0.clone()),
        }
    }
}
