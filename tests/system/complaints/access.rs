//! Complaints about who may listen, for how long, and what a client is told when it may not.

use std::{collections::VecDeque, sync::Mutex};

use flightdeck_protocol::{
    Code,
    client::{ClientError, Follow, Followed, Session, TokenError, Tokens},
    notification::Close,
    operations::{Logout, MessageSend, SendMessage, SignOut},
};
use serde_json::json;
use tokio::sync::mpsc;

use crate::support::{RawSocket, Server, Watcher, fault_of, within};

#[tokio::test]
async fn signing_out_is_the_last_that_a_socket_hears() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let elsewhere = server.sign_in("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut here = RawSocket::open(&server, &ann.token).await;
    here.call("mission.watch", json!({"mission": mission, "sub": "a"})).await;
    let mut there = Watcher::snapshot(&server, &elsewhere, mission).await;

    server.call::<SignOut>(&ann, Logout::default()).await.expect("a goodbye");
    let after = server.note(&elsewhere, mission, "not for those who have left").await.expect("a note");
    there.reach(after.seq).await;
    let closing = here.goodbye().await;
    assert_eq!(closing.code, Close::Revoked.code(), "and the goodbye tells why");
    assert_eq!(closing.reconnect_after_ms, None, "there is nothing to come back to");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_told_so_and_not_tried_again() {
    let server = Server::with(&["--message-bytes", "4096"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let (session, _notices) =
        within("a session", Session::connect(&server.url, Some(&ann.token))).await.expect("a session");
    let text = "x".repeat(8_000);
    let outcome = within("an answer", session.call::<SendMessage>(MessageSend { mission, text })).await;
    match outcome {
        Err(ClientError::Closed(closed)) => {
            assert_eq!((closed.code, closed.reason.as_str()), (Close::MessageTooLarge.code(), "message too large"));
            assert!(closed.is_final(), "a client that comes back with the same would never stop");
        }
        other => panic!("{other:?}"),
    }
    assert!(server.look(&ann, mission).await.messages.is_empty());
}

/// Somebody's tokens, from a callback that fails as often as it is told to, in the way that it is told to.
struct Moody {
    tokens: Mutex<VecDeque<Result<String, TokenError>>>,
    /// What the callback was asked with: the token that the server took no longer.
    asked: mpsc::UnboundedSender<Option<String>>,
}

impl Tokens for Moody {
    async fn token(&self, rejected: Option<String>) -> Result<String, TokenError> {
        self.asked.send(rejected).expect("somebody who listens");
        self.tokens.lock().expect("tokens").pop_front().expect("one more answer")
    }
}

fn moody(
    tokens: impl IntoIterator<Item = Result<String, TokenError>>,
) -> (Moody, mpsc::UnboundedReceiver<Option<String>>) {
    let (asked, questions) = mpsc::unbounded_channel();
    (Moody { tokens: Mutex::new(tokens.into_iter().collect()), asked }, questions)
}

/// Takes what comes until the mission has been followed up to `seq`; how often the connection was lost meanwhile.
async fn follow_to(follow: &mut Follow, seq: u64) -> usize {
    let mut lost = 0;
    within("what is followed", async {
        while follow.position().is_none_or(|position| position.seq < seq) {
            match follow.next().await.expect("something to follow") {
                Followed::Ended(error) => panic!("it was given up: {error}"),
                Followed::Disconnected { .. } => lost += 1,
                _ => {}
            }
        }
    })
    .await;
    lost
}

#[tokio::test]
async fn a_callback_that_fails_wedges_nobody() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let (mel, again) = (server.sign_in("ann").await, server.sign_in("ann").await);
    let mission = server.started(&ann, None, json!({})).await;
    let away = || Err(TokenError::Temporary("the sign-in page is away".to_owned()));
    // It fails before there is any connection, then gives a token that is worth nothing any more: who
    // wakes from a long sleep has no other. Asked again it fails twice, and gives a good one at last.
    server.call::<SignOut>(&mel, Logout::default()).await.expect("a goodbye");
    let answers = [away(), Ok(mel.token.clone()), away(), away(), Ok(again.token.clone())];
    let (tokens, mut questions) = moody(answers);
    let mut follow = Follow::start(&server.url, mission, None, tokens);
    let first = server.note(&ann, mission, "after a few attempts").await.expect("a note");
    assert_eq!(follow_to(&mut follow, first.seq).await, 4, "each failure was told");
    let mut asked = Vec::new();
    while let Ok(question) = questions.try_recv() {
        asked.push(question);
    }
    let stale = Some(mel.token.clone());
    assert_eq!(asked, [None, None, stale.clone(), stale.clone(), stale], "and told which token is worth nothing");

    // Where the callback says that it is of no use, that is said, and not tried for ever.
    let (tokens, _questions) = moody([Err(TokenError::Final("sign in again".to_owned()))]);
    let mut follow = Follow::start(&server.url, mission, None, tokens);
    match within("an end", follow.next()).await {
        Some(Followed::Ended(ClientError::Token(why))) => assert_eq!(why, "sign in again"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_expired_token_renews_nothing() {
    let server = Server::with(&["--access-token-seconds", "10", "--heartbeat-interval-ms", "1000"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    // One session of the first token says when that has run out. Another goes on with a later one.
    let mut first = RawSocket::open(&server, &ann.token).await;
    let mut other = RawSocket::open(&server, &ann.token).await;
    for _ in 0..5 {
        first.notice("session.heartbeat").await;
    }
    let newer = server.sign_in("ann").await;
    let renewed = other.call("session.renew", json!({"token": newer.token})).await;
    assert!(renewed["result"]["expires_at"].is_string(), "{renewed}");
    assert_eq!(first.goodbye().await.code, Close::TokenExpired.code());
    let fault = other.refused("session.renew", json!({"token": ann.token})).await;
    assert_eq!((fault.code, fault.data.temporary), (Code::TokenExpired, false));
    // Nor does anything else that is no access token that is good now.
    for (token, code) in [(ann.refresh.as_str(), Code::TokenInvalid), ("", Code::TokenInvalid)] {
        assert_eq!(other.refused("session.renew", json!({"token": token})).await.code, code);
    }
    let refresh = server.rpc(None, "auth.refresh", &json!({"refresh_token": ann.token})).await;
    assert_eq!(fault_of(&refresh).code, Code::TokenInvalid, "an access token is no refresh token");
    // The session is no longer for it: it ends when its own token does, watches and all.
    other.call("mission.watch", json!({"mission": mission, "sub": "a"})).await;
    assert_eq!(other.goodbye().await.code, Close::TokenExpired.code());
}
