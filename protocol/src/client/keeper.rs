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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Fault,
        client::{
            Client, ClientState, FixedToken, Follow, Followed, Options,
            testing::{Desk, client, good, mission_id, quick},
        },
        notification::SESSION_CLOSING,
        operations::{Empty, ListUsers},
    };
    use serde_json::json;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn a_goodbye_that_says_when_to_come_back_is_heeded_and_a_final_one_ends_everything() {
        let desk = Desk::open().await;
        let client = client(&desk, quick());
        let mut peer = desk.accept().await;
        peer.opened().await;
        client.ready().await.unwrap();
        let closing = json!({"code": 4000, "reason": "restarting", "reconnect_after_ms": 70, "jitter_ms": 30});
        peer.say(json!({"jsonrpc": "2.0", "method": SESSION_CLOSING, "params": closing})).await;
        peer.close(Close::Restarting.code(), Close::Restarting.reason()).await;
        let mut now = client.now();
        now.wait_for(|now| !matches!(now, Now::Open(_))).await.unwrap();
        let ClientState::Waiting { retry_in, .. } = client.state() else { panic!("{:?}", client.state()) };
        assert!((70..=100).contains(&retry_in.as_millis()), "{retry_in:?}");

        let mut peer = desk.accept().await;
        peer.opened().await;
        client.ready().await.unwrap();
        let waiting = client.call::<ListUsers>(Empty {});
        let ending = async {
            peer.asked().await;
            peer.close(Close::Revoked.code(), Close::Revoked.reason()).await;
        };
        let (ended, ()) = tokio::join!(waiting, ending);
        assert!(matches!(ended, Err(ClientError::Closed(closed)) if closed.code == Close::Revoked.code()));
        assert!(matches!(client.state(), ClientState::Ended(_)));
    }

    #[tokio::test]
    async fn a_server_that_falls_silent_is_left_for_the_next_connection() {
        let desk = Desk::open().await;
        let session = Options { silence: Duration::from_millis(50), ..Options::default() };
        let client = Client::with(&desk.url, good(), ClientOptions { session, ..ClientOptions::default() });
        let _silent = desk.accept().await;
        let mut peer = desk.accept().await;
        peer.opened().await;
        client.ready().await.unwrap();
    }

    #[tokio::test]
    async fn a_goodbye_that_is_final_is_the_end() {
        let desk = Desk::open().await;
        let mut follow = Follow::start(&desk.url, mission_id(), None, good());
        let mut peer = desk.accept().await;
        peer.opened().await;
        peer.asked_to_watch().await;
        peer.close(Close::Revoked.code(), Close::Revoked.reason()).await;
        // The answer to the watch never came; the reason why it will not come is told.
        assert!(
            matches!(follow.next().await, Some(Followed::Ended(ClientError::Closed(closed))) if closed.code == 4501)
        );
        assert!(follow.next().await.is_none());
    }

    struct Renewing;

    impl Tokens for Renewing {
        async fn token(&self, rejected: Option<String>) -> Result<String, TokenError> {
            Ok(if rejected.as_deref() == Some("old") { "good" } else { "old" }.to_owned())
        }
    }

    #[tokio::test]
    async fn a_refused_token_is_exchanged_and_where_there_is_no_other_it_is_over() {
        let desk = Desk::open().await;
        let _follow = Follow::start(&desk.url, mission_id(), None, Renewing);
        desk.refuse().await;
        let mut peer = desk.accept().await;
        assert_eq!(peer.authorization, "Bearer good");
        peer.opened().await;
        peer.asked_to_watch().await;

        let mut follow = Follow::start(&desk.url, mission_id(), None, FixedToken("bad".to_owned()));
        desk.refuse().await;
        loop {
            match follow.next().await.unwrap() {
                Followed::Disconnected { .. } => {}
                Followed::Ended(error) => break assert!(matches!(error, ClientError::Token(_))),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Gives no token, then takes for ever, then gives tokens by number.
    struct Moody {
        asked: Arc<AtomicU32>,
        hangs: Arc<Notify>,
    }

    impl Tokens for Moody {
        async fn token(&self, _: Option<String>) -> Result<String, TokenError> {
            match self.asked.fetch_add(1, Ordering::SeqCst) {
                0 => Err(TokenError::Temporary("not now".to_owned())),
                1 => {
                    self.hangs.notify_one();
                    std::future::pending().await
                }
                nth => Ok(format!("token-{nth}")),
            }
        }
    }

    #[tokio::test]
    async fn tokens_that_fail_or_hang_are_asked_for_again() {
        let desk = Desk::open().await;
        let tokens = Moody { asked: Arc::default(), hangs: Arc::default() };
        let hangs = Arc::clone(&tokens.hangs);
        let options = ClientOptions { token_timeout: Duration::from_millis(20), ..quick() };
        let client = Client::with(&desk.url, tokens, options);
        hangs.notified().await;
        let mut peer = desk.accept().await;
        assert_eq!(peer.authorization, "Bearer token-2");
        peer.opened().await;
        client.ready().await.unwrap();
    }

    #[tokio::test]
    async fn a_token_is_renewed_before_it_expires_however_the_server_takes_it() {
        let desk = Desk::open().await;
        let tokens = Moody { asked: Arc::new(AtomicU32::new(2)), hangs: Arc::default() };
        let _client = Client::with(&desk.url, tokens, quick());
        let mut peer = desk.accept().await;
        peer.opened_for(60).await;
        let refused = peer.asked().await;
        assert_eq!((&refused["method"], &refused["params"]["token"]), (&json!("session.renew"), &json!("token-3")));
        let busy = Fault::overloaded("the server", 1);
        peer.say(json!({"jsonrpc": "2.0", "id": refused["id"], "error": busy})).await;
        let taken = peer.asked().await;
        assert_eq!(taken["params"]["token"], "token-4");
    }
}
