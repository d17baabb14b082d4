//! Complaints about what watchers get: all of it, once, in order, and after the answer.

use flightdeck_protocol::{
    client::Session,
    model::{AgentState, Mission, MissionStatus},
    operations::{Position, Watch, WatchMission, Watching},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Heard, Member, RawSocket, Scripts, Server, Watcher, eventually, within};

/// Watches `mission` from `since` over a connection of its own, and gives the answer.
async fn watching(server: &Server, who: &Member, mission: flightdeck_protocol::MissionId, since: Position) -> Watching {
    within("a watch", async {
        let (session, _notices) = Session::connect(&server.url, Some(&who.token)).await.expect("a session");
        session.call::<WatchMission>(Watch::new(mission, "again", Some(since))).await.expect("a watch")
    })
    .await
}

/// Whether nothing more will happen: the mission is done and its agent gone.
fn is_over(mission: &Mission) -> bool {
    let gone = mission.agent.as_ref().is_some_and(|agent| agent.state == AgentState::Stopped);
    mission.status == MissionStatus::Completed && gone
}

/// Prints 400 activities as fast as it can.
const RUSH: &str = "
for nth in range(400):
    say(type='activity', message=f'rush {nth}')
say(type='done')
";

#[tokio::test]
async fn events_between_the_snapshot_and_the_watch_are_not_lost() {
    let flags = ["--agent-events-per-second", "100000", "--agent-burst", "100000"];
    let server = Scripts::new().agent("rush", RUSH).serve(&flags).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, Some("rush"), json!({})).await;
    let mut watchers = Vec::new();
    // They come while events pour in, at no special moment.
    while watchers.len() < 25 {
        watchers.push(Watcher::snapshot(&server, &ann, mission).await);
    }
    for watcher in &mut watchers {
        watcher.until_mission("the end", is_over).await;
    }
    let whole = server.look(&ann, mission).await;
    assert!(whole.activity_count >= 400);
    for watcher in &mut watchers {
        watcher.reach(whole.seq).await;
        assert_eq!(*watcher.mission(), whole, "entered at {} of {}", watcher.began.seq, whole.seq);
    }
}

#[tokio::test]
async fn a_watch_that_never_had_an_event_resumes_also_after_a_long_rest() {
    let mut server = Server::with(&["--mission-idle-seconds", "1"]).await;
    let ann = server.admin("ann").await;
    let mission = server.mission(&ann, None, json!({})).await;
    let mut watcher = Watcher::snapshot(&server, &ann, mission).await;
    let here = Position { epoch: watcher.epoch, seq: watcher.seq };
    watcher.session.close().await;
    watcher.until_closed().await;
    eventually("the mission to leave memory", || async {
        let ready = server.request(Method::GET, "/readyz", None, None).await.json();
        (ready["missions_in_memory"] == 0).then_some(())
    })
    .await;
    watcher.resume(&server, &ann).await;
    server.kill_nine().await;
    server.start_again().await;
    watcher.until_closed().await;
    watcher.resume(&server, &ann).await;
    assert_eq!((watcher.epoch, watcher.seq), (here.epoch, here.seq), "nothing has happened");
    let last = server.note(&ann, mission, "the first event that it ever gets").await.expect("a note");
    watcher.reach(last.seq).await;
    assert_eq!(watcher.events().len(), 1);
}

#[tokio::test]
async fn nothing_missed_is_resumed_also_when_memory_is_empty() {
    // A feed that keeps nothing in memory, and gaps that are never filled event by event.
    let mut server = Server::with(&["--feed-bytes", "0", "--resume-events", "0"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let head = server.note(&ann, mission, "the last").await.expect("a note").seq;
    let epoch = Watcher::snapshot(&server, &ann, mission).await.epoch;
    for life in 0..3 {
        let again = watching(&server, &ann, mission, Position { epoch, seq: head }).await;
        assert!(again.resumed && again.snapshot.is_none() && again.reason.is_none(), "life {life}: {again:?}");
        assert_eq!((again.seq, again.head), (head, head));
        server.kill_nine().await;
        server.start_again().await;
    }
    let behind = watching(&server, &ann, mission, Position { epoch, seq: head - 1 }).await;
    assert_eq!((behind.resumed, behind.reason.as_deref()), (false, Some("gap_too_long")), "and a real gap is told");
}

#[tokio::test]
async fn a_burst_reaches_everyone_whole() {
    let flags = ["--agent-events-per-second", "100000", "--agent-burst", "100000"];
    let server = Scripts::new().agent("rush", RUSH).serve(&flags).await;
    let ann = server.admin("ann").await;
    let mission = server.mission(&ann, Some("rush"), json!({})).await;
    let mut watchers = Vec::new();
    for _ in 0..60 {
        watchers.push(Watcher::from_the_first(&server, &ann, mission).await);
    }
    server.rpc(Some(&ann.token), "mission.start", &json!({"mission": mission})).await;
    for watcher in &mut watchers {
        watcher.until_mission("the end", is_over).await;
    }
    let whole = server.look(&ann, mission).await;
    for watcher in &mut watchers {
        assert_eq!(watcher.raw().len() as u64, whole.seq, "each event, each once");
    }
    let (first, others) = watchers.split_first().expect("watchers");
    assert!(others.iter().all(|other| other.raw() == first.raw()), "and the same for everyone");
}

#[tokio::test]
async fn the_answer_comes_before_its_first_notification() {
    let flags = ["--agent-events-per-second", "100000", "--agent-burst", "100000"];
    let server = Scripts::new().agent("rush", RUSH).serve(&flags).await;
    let ann = server.admin("ann").await;
    for round in 0..10 {
        let mission = server.started(&ann, Some("rush"), json!({})).await;
        let mut socket = RawSocket::open(&server, &ann.token).await;
        let params = json!({"mission": mission, "sub": "mine"});
        let ask = |id: u64, method: &str, params: &Value| {
            json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
        };
        // Watched, left and watched again in one go.
        let unwatch = json!({"sub": "mine"});
        socket.send_all([ask(1, "mission.watch", &params)]).await;
        let mut answered = false;
        let mut seq = None;
        while seq.is_none_or(|seq| seq < 100) {
            let Heard::Json(message) = socket.hear().await else { panic!("closed in round {round}") };
            if message["id"] == 1 {
                answered = true;
                seq = message["result"]["seq"].as_u64();
            } else if message["params"]["sub"] == "mine" {
                assert!(answered, "round {round}: {} came before the answer", message["method"]);
                seq = message["params"]["to"].as_u64().or(seq);
            }
            if seq.is_some_and(|seq| seq >= 100) {
                break;
            }
        }
        socket.send_all([ask(2, "mission.unwatch", &unwatch)]).await;
        while socket.response().await["id"] != 2 {}
        socket.send_all([ask(3, "session.ping", &json!({}))]).await;
        loop {
            let Heard::Json(message) = socket.hear().await else { panic!("closed in round {round}") };
            if message["id"] == 3 {
                break;
            }
            assert_ne!(message["params"]["sub"], "mine", "round {round}: {message} after the end of the watch");
        }
    }
}
