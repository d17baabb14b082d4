//! Complaints about who may listen, for how long, and what a client is told when it may not.

use flightdeck_protocol::{
    client::{ClientError, Session},
    notification::Close,
    operations::{Logout, MessageSend, SendMessage, SignOut},
};
use serde_json::json;

use crate::support::{RawSocket, Server, Watcher, within};

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
