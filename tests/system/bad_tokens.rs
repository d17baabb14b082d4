//! Tokens that are forged, foreign, expired or revoked: over sockets, RPC and REST.

use flightdeck_protocol::{
    Code,
    notification::Close,
    operations::{Logout, SignOut},
};
use reqwest::Method;
use serde_json::json;

use crate::support::{Member, RawSocket, Server, Watcher, eventually, fault_of};

/// `token` is refused with `code` on every way in.
async fn is_refused(server: &Server, token: &str, code: Code) {
    let rpc = server.rpc(Some(token), "auth.user", &json!({})).await;
    assert_eq!(fault_of(&rpc).code, code, "over RPC");
    let rest = server.request(Method::GET, "/api/missions", Some(token), None).await;
    assert_eq!((rest.status, rest.fault().code), (401, code), "over REST");
    assert_eq!(rest.header("www-authenticate"), "Bearer");
    for path in ["/ws", "/ws/missions/01890a5d-ac96-774b-bcce-b302099a8057"] {
        let Err((status, body)) = RawSocket::connect(server, path, Some(token)).await else {
            panic!("{path} takes the token");
        };
        assert_eq!((status, fault_of(&body).code), (401, code), "{path}");
    }
    let mut socket = RawSocket::connect(server, "/ws", None).await.expect("a connection");
    assert_eq!(socket.refused("session.open", json!({"token": token})).await.code, code, "in session.open");
    // Even what is for anyone is not for somebody with a bad token.
    let login = server.request(Method::POST, "/api/auth/login", Some(token), Some(&json!({}))).await;
    assert_eq!(login.status, 401);
}

#[tokio::test]
async fn forged_and_foreign_tokens_are_no_tokens() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let other_server = Server::start().await;
    let other_ann = other_server.admin("ann").await;
    let parts: Vec<&str> = ann.token.split('.').collect();
    let foreign: Vec<&str> = other_ann.token.split('.').collect();
    // {"alg":"none","typ":"JWT"}
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let forged = [
        "forged".to_owned(),
        other_ann.token.clone(),
        format!("{}.{}.{}", parts[0], foreign[1], parts[2]),
        format!("{unsigned}.{}.", parts[1]),
        format!("{unsigned}.{}.{}", parts[1], parts[2]),
        ann.refresh.clone(),
    ];
    for token in forged {
        is_refused(&server, &token, Code::TokenInvalid).await;
    }
    let mission = server.started(&ann, None, json!({})).await;
    assert_eq!(server.look(&ann, mission).await.seq, 2);
}

#[tokio::test]
async fn an_expired_token_ends_its_live_session_and_opens_no_other() {
    let server = Server::with(&["--access-token-seconds", "8"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut watcher = Watcher::snapshot(&server, &ann, mission).await;
    let mut opened = RawSocket::connect(&server, "/ws", None).await.expect("a connection");
    assert!(opened.call("session.open", json!({"token": ann.token})).await["result"].is_object());

    let closed = watcher.until_closed().await;
    assert_eq!(closed.code, 4001);
    assert_eq!(watcher.goodbye.as_ref().map(|goodbye| goodbye.code), Some(Close::TokenExpired.code()));
    assert_eq!(opened.goodbye().await.code, 4001);
    is_refused(&server, &ann.token, Code::TokenExpired).await;
    // What the refresh token gives is good, and the watch goes on where it was.
    let refresh = json!({"refresh_token": ann.refresh});
    let pair = server.rpc(None, "auth.refresh", &refresh).await["result"].take();
    let token = pair["access_token"].as_str().expect("a token").to_owned();
    let ann = Member { token, ..ann };
    watcher.resume(&server, &ann).await;
    let ack = server.note(&ann, mission, "back").await.expect("a note");
    watcher.reach(ack.seq).await;
}

#[tokio::test]
async fn signing_out_ends_the_live_sessions_of_that_sign_in_and_of_no_other() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let elsewhere = server.sign_in("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut here = Watcher::snapshot(&server, &ann, mission).await;
    let mut there = Watcher::snapshot(&server, &elsewhere, mission).await;
    server.call::<SignOut>(&ann, Logout::default()).await.expect("a goodbye");
    assert_eq!(here.until_closed().await.code, Close::Revoked.code());
    assert_eq!(here.goodbye.as_ref().and_then(|goodbye| goodbye.reconnect_after_ms), None);
    is_refused(&server, &ann.token, Code::TokenRevoked).await;
    let refresh = server.rpc(None, "auth.refresh", &json!({"refresh_token": ann.refresh})).await;
    assert_eq!(fault_of(&refresh).code, Code::TokenRevoked);
    let ack = server.note(&elsewhere, mission, "still here").await.expect("a note");
    there.reach(ack.seq).await;
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_its_reuse_ends_the_family() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut watcher = Watcher::snapshot(&server, &ann, mission).await;
    let path = "/api/auth/refresh";
    let refresh =
        async |token: &str| server.request(Method::POST, path, None, Some(&json!({"refresh_token": token}))).await;
    let first = refresh(&ann.refresh).await;
    assert_eq!(first.status, 200);
    let pair = first.json();
    assert_eq!(pair["token_type"], "Bearer");
    assert!(pair["expires_in"].as_u64().is_some_and(|seconds| (890..=900).contains(&seconds)), "{pair}");
    let (token, newer) = (pair["access_token"].as_str().expect("a token"), &pair["refresh_token"]);
    let user = server.rpc(Some(token), "auth.user", &json!({})).await;
    assert_eq!(user["result"]["username"], "ann");
    assert!(!watcher.ended);

    let reused = refresh(&ann.refresh).await;
    assert_eq!((reused.status, reused.fault().code), (401, Code::RefreshReused));
    let late = refresh(newer.as_str().expect("a token")).await;
    assert_eq!((late.status, late.fault().code), (401, Code::TokenRevoked));
    is_refused(&server, token, Code::TokenRevoked).await;
    is_refused(&server, &ann.token, Code::TokenRevoked).await;
    assert_eq!(watcher.until_closed().await.code, Close::Revoked.code());
    let again = server.sign_in("ann").await;
    assert_eq!(server.look(&again, mission).await.id, mission);
}

#[tokio::test]
async fn a_sign_in_and_its_end_outlive_the_server() {
    let mut server = Server::start().await;
    let ann = server.admin("ann").await;
    let gone = server.sign_in("ann").await;
    server.call::<SignOut>(&gone, Logout::default()).await.expect("a goodbye");
    server.kill_nine().await;
    server.start_again().await;
    let user = server.rpc(Some(&ann.token), "auth.user", &json!({})).await;
    assert_eq!(user["result"]["username"], "ann");
    is_refused(&server, &gone.token, Code::TokenRevoked).await;
    let key = server.data().join("signing.key");
    let mode = eventually("the key", || async { std::fs::metadata(&key).ok() }).await;
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
}
