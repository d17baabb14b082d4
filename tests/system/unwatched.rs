//! Watches that are ended at once, as by somebody who opens a page and closes it again: nothing of them is left.

use flightdeck_protocol::{Code, MissionId, operations::ListSessions};
use serde_json::{Value, json};

use crate::support::{Member, RawSocket, Server, fault_of};

const KINDS: [&str; 3] = ["mission", "missions", "inbox"];
/// How often each is opened and closed.
const TIMES: usize = 40;
/// How many watches a session of this server may have.
const ROOM: usize = 6;

fn request(id: usize, method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

fn watch(id: usize, kind: &str, sub: &str, mission: MissionId) -> String {
    let params = if kind == "mission" { json!({"mission": mission, "sub": sub}) } else { json!({"sub": sub}) };
    request(id, &format!("{kind}.watch"), &params)
}

/// What `who` has open, as an admin sees it: the names of the watches of their one session.
async fn watched(server: &Server, admin: &Member, who: &Member) -> Vec<String> {
    let list = server.call::<ListSessions>(admin, flightdeck_protocol::operations::Empty {}).await.expect("a list");
    let mut sessions = list.items.into_iter().filter(|session| session.user == who.person.id);
    let session = sessions.next().expect("a session");
    assert!(sessions.next().is_none(), "one session");
    session.watches.into_iter().map(|watch| watch.sub).collect()
}

#[tokio::test]
async fn whoever_opens_and_closes_at_once_leaves_nothing_behind() {
    let mut server = Server::with(&["--subscriptions", &ROOM.to_string()]).await;
    let ann = server.admin("ann").await;
    let mel = server.member(&ann, flightdeck_protocol::model::Role::Manager, "mel").await;
    let mission = server.started(&ann, None, json!({})).await;
    // From disk, so that it takes a while to be found.
    server.kill_nine().await;
    server.start_again().await;
    let mut socket = RawSocket::open(&server, &mel.token).await;
    for time in 0..TIMES {
        // Six each time: had any been left, there would soon be no room.
        let subs: Vec<(usize, &str)> = (0..ROOM).map(|nth| (time * 100 + nth * 2, KINDS[nth % 3])).collect();
        socket
            .send_all(subs.iter().flat_map(|(id, kind)| {
                let sub = format!("{kind} {id}");
                let end = request(id + 1, &format!("{kind}.unwatch"), &json!({"sub": sub}));
                [watch(*id, kind, &sub, mission), end]
            }))
            .await;
        for _ in 0..ROOM * 2 {
            let answer = socket.response().await;
            let id = usize::try_from(answer["id"].as_u64().expect("an id")).expect("a small one");
            if id % 2 == 1 {
                assert_eq!(answer["result"], json!({}), "{answer}");
            } else if answer.get("error").is_some() {
                let fault = fault_of(&answer);
                assert_eq!((fault.code, fault.data.temporary), (Code::Unwatched, false), "{fault}");
            }
        }
    }
    assert!(watched(&server, &ann, &mel).await.is_empty());
    // The room is as it was, and what happens is heard by the watches that there are alone.
    let kept: Vec<String> = (0..ROOM).map(|nth| format!("kept {nth}")).collect();
    for (nth, sub) in kept.iter().enumerate() {
        socket.send(watch(nth, KINDS[nth % 3], sub, mission)).await;
        assert!(socket.response().await["result"].is_object());
    }
    let fault = socket.refused("missions.watch", json!({"sub": "one more"})).await;
    assert_eq!((fault.code, fault.data.retry_after_ms), (Code::LimitReached, Some(1_000)));
    assert_eq!(watched(&server, &ann, &mel).await, kept);
    server.note(&ann, mission, "for those who watch").await.expect("a note");
    let events = socket.notice("mission.events").await;
    assert!(kept.iter().any(|sub| events["sub"] == sub.as_str()), "{events}");
}

#[tokio::test]
async fn a_mission_in_the_path_can_be_let_go_of_before_it_is_there() {
    let mut server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    server.kill_nine().await;
    server.start_again().await;
    let path = format!("/ws/missions/{mission}");
    let mut socket = RawSocket::connect(&server, &path, Some(&ann.token)).await.expect("a connection");
    assert_eq!(socket.call("mission.unwatch", json!({"sub": mission.to_string()})).await["result"], json!({}));
    assert!(watched(&server, &ann, &ann).await.is_empty());
    let again = socket.call("mission.watch", json!({"mission": mission, "sub": mission.to_string()})).await;
    assert!(again["result"].is_object(), "{again}");
}
