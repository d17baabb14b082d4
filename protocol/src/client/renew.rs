//! Renewing the access token of a session before it expires.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::sleep;

use super::{ClientError, ClientOptions, TokenError, Tokens, keeper::token_of, link::Link};
use crate::{
    Timestamp,
    operations::{Empty, Ping, RenewSession, SessionRenew},
};

/// The last part of a token's life, in which it is renewed: at most this long, and at most a third of it.
const MARGIN: Duration = Duration::from_secs(60);

/// Keeps the session supplied with tokens, `token` being the one that it has. Whatever goes wrong
/// is tried again; it ends when there are no tokens any more, and then the session will, too.
pub(super) async fn keep_renewed(tokens: &impl Tokens, link: &Link, token: &Mutex<String>, options: &ClientOptions) {
    // Only the server's clock counts: the one here may be wrong.
    let asked = Timestamp::now().as_millis();
    let ahead = match link.session.call::<Ping>(Empty {}).await {
        Ok(reply) => reply.at.as_millis() - i64::midpoint(asked, Timestamp::now().as_millis()),
        Err(_) => 0,
    };
    let mut expires_at = link.opened.expires_at;
    let mut failures = 0;
    loop {
        let left = expires_at.as_millis() - (Timestamp::now().as_millis() + ahead);
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        let wait = match failures {
            0 => left - MARGIN.min(left / 3),
            // Never at once, so that nobody is asked in a tight loop.
            _ => options.backoff.first / 2 + options.backoff.wait(failures - 1),
        };
        sleep(wait).await;
        let old = token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failures += 1;
        let newer = match token_of(tokens, Some(old), options.token_timeout).await {
            Ok(newer) => newer,
            Err(TokenError::Temporary(_)) => continue,
            Err(TokenError::Final(_)) => return,
        };
        match link.session.call::<RenewSession>(SessionRenew { token: newer.clone() }).await {
            Ok(renewed) => {
                // The same token again is no newer one.
                if renewed.expires_at > expires_at {
                    failures = 0;
                }
                expires_at = renewed.expires_at;
                *token.lock().unwrap_or_else(PoisonError::into_inner) = newer;
            }
            Err(ClientError::Closed(_)) => return,
            Err(_) => {}
        }
    }
}
