//! Keeps a client connected: one connection after the other, each with a token that is good.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    ClientError, ClientOptions, Closed, Notices, Session, TokenError, Tokens,
    backoff::chance_of,
    link::{Link, Now},
    renew::keep_renewed,
};
use crate::notification::{Close, Closing, Notice};

/// A connection that held this long starts the waits over.
const HELD: Duration = Duration::from_secs(5);
/// A token that is not taken is exchanged for another this often in a row.
const REFUSALS: u32 = 5;

/// How one connection went.
enum Over {
    /// Come back.
    Again {
        why: String,
        /// When, if the server said so.
        after: Option<Duration>,
        /// Whether it held for a while.
        held: bool,
    },
    /// Do not come back.
    Final(ClientError),
}

pub(super) struct Keeper<T> {
    server: String,
    tokens: T,
    options: ClientOptions,
    now: watch::Sender<Now>,
    /// The token that the server takes no longer.
    rejected: Option<String>,
    /// How many tokens in a row the server did not take.
    refusals: u32,
}

impl<T: Tokens> Keeper<T> {
    pub(super) fn new(server: &str, tokens: T, options: ClientOptions, now: watch::Sender<Now>) -> Self {
        Self { server: server.to_owned(), tokens, options, now, rejected: None, refusals: 0 }
    }

    /// Connects again and again, until that is pointless.
    pub(super) async fn run(mut self) {
        let mut attempt = 0;
        loop {
            let over = self.connection().await;
            let (next, wait) = match over {
                Over::Final(error) => (Now::Ended(error), None),
                Over::Again { why, after, held } => {
                    attempt = if held { 0 } else { attempt };
                    let spread = self.options.backoff.wait(attempt);
                    attempt += 1;
                    let retry_in = match after {
                        Some(after) if held || after.is_zero() => after,
                        Some(after) => after.max(spread),
                        None => spread,
                    };
                    (Now::Waiting { why, retry_in }, Some(retry_in))
                }
            };
            // Whoever finds the connection gone has to find the new state.
            if let Now::Open(link) = self.now.send_replace(next) {
                link.end();
            }
            let Some(wait) = wait else { return };
            sleep(wait).await;
            self.now.send_replace(Now::Connecting);
        }
    }

    /// One connection, from getting a token to its end.
    async fn connection(&mut self) -> Over {
        let token = match token_of(&self.tokens, self.rejected.clone(), self.options.token_timeout).await {
            Ok(token) => token,
            Err(TokenError::Temporary(why)) => return Over::Again { why, after: None, held: false },
            Err(TokenError::Final(why)) => return Over::Final(ClientError::Token(why)),
        };
        let connected = Session::connect_with(&self.server, "/ws", Some(&token), self.options.session).await;
        let (session, mut notices) = match connected {
            Ok(connected) => connected,
            Err(error) => return self.refused(error, token),
        };
        let opened = match timeout(self.options.session.connect_timeout, opening(&mut notices)).await {
            Ok(Some(opened)) => opened,
            Ok(None) => return self.closed(session.closed(), None, token, false),
            Err(_) => {
                return Over::Again { why: "the server opened no session".to_owned(), after: None, held: false };
            }
        };
        (self.refusals, self.rejected) = (0, None);
        let since = Instant::now();
        let token = Mutex::new(token);
        let link = Arc::new(Link::new(session, opened));
        self.now.send_replace(Now::Open(Arc::clone(&link)));
        let closing = {
            let renewals = std::pin::pin!(keep_renewed(&self.tokens, &link, &token, &self.options));
            hear(&link, notices, renewals).await
        };
        let token = token.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.closed(link.session.closed(), closing, token, since.elapsed() >= HELD)
    }

    /// What to do after a connection has ended.
    fn closed(&mut self, closed: Option<Closed>, closing: Option<Closing>, token: String, held: bool) -> Over {
        let closed = closed.unwrap_or_else(|| Closed::abnormal("the connection was lost"));
        if closed.is_final() {
            return Over::Final(ClientError::Closed(closed));
        }
        if closed.code == Close::TokenExpired.code() {
            self.rejected = Some(token);
        }
        let after = closing.and_then(|closing| {
            let after = Duration::from_millis(closing.reconnect_after_ms?);
            Some(after + chance_of(Duration::from_millis(closing.jitter_ms.unwrap_or(0))))
        });
        Over::Again { why: closed.to_string(), after, held }
    }

    /// What to do when the server let nobody in.
    fn refused(&mut self, error: ClientError, token: String) -> Over {
        let why = error.to_string();
        if error.is_unauthenticated() && self.refusals < REFUSALS {
            self.refusals += 1;
            self.rejected = Some(token);
            // The first time there may simply be a newer one.
            let after = (self.refusals == 1).then_some(Duration::ZERO);
            return Over::Again { why, after, held: false };
        }
        if !error.is_temporary() {
            return Over::Final(error);
        }
        let after = error.fault().and_then(|fault| fault.data.retry_after_ms).map(Duration::from_millis);
        Over::Again { why, after: after.map(|after| after + chance_of(after)), held: false }
    }
}

/// Waits for the word that the session is open.
async fn opening(notices: &mut Notices) -> Option<crate::operations::SessionOpened> {
    loop {
        if let Notice::Opened(opened) = notices.next().await? {
            return Some(opened);
        }
    }
}

/// Gives out what comes until the connection ends; `renewals` go on meanwhile. Gives the goodbye, if there was one.
async fn hear(
    link: &Link,
    mut notices: Notices,
    mut renewals: std::pin::Pin<&mut impl Future<Output = ()>>,
) -> Option<Closing> {
    let mut closing = None;
    let mut renewing = true;
    loop {
        let raw = tokio::select! {
            raw = notices.next_raw() => raw,
            () = &mut renewals, if renewing => {
                renewing = false;
                continue;
            }
        };
        let Some(raw) = raw else { return closing };
        match raw.read() {
            Ok(Some(Notice::Closing(goodbye))) => closing = Some(goodbye),
            Ok(Some(notice)) => link.deliver(&raw, Ok(notice)).await,
            // A kind that this version does not know.
            Ok(None) => {}
            Err(error) => link.deliver(&raw, Err(error)).await,
        }
    }
}

/// A token, however long whoever gives them takes.
pub(super) async fn token_of(
    tokens: &impl Tokens,
    rejected: Option<String>,
    patience: Duration,
) -> Result<String, TokenError> {
    timeout(patience, tokens.token(rejected)).await.unwrap_or_else(|_| {
        Err(TokenError::Temporary(format!("no access token was given within {} s", patience.as_secs_f64())))
    })
}
