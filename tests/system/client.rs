//! The Rust client against the real server: one connection that is kept over everything, and what hangs on it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use flightdeck_protocol::{
    Code, Event, MissionId,
    client::{Client, ClientState, FixedToken, Follow, Followed, LiveMission, Presenting, TokenError, Tokens},
    model::{MissionStatus, Role},
    operations::{CancelMission, ListMissions, ListOrder, MissionCancel, MissionQuery, MissionsWatch},
};
use serde_json::json;

use crate::support::{Door, Member, Server, eventually, stored_log, within};

fn client(door: &Door, who: &Member) -> Client {
    Client::start(&door.url, FixedToken(who.token.clone()))
}

/// What one watch gave: every event from the first on.
struct Seen {
    follow: Follow,
    id: MissionId,
    log: Vec<String>,
    connections: usize,
}

impl Seen {
    async fn next(&mut self) {
        match within("something of the mission", self.follow.next()).await.expect("a watch that goes on") {
            Followed::Connected { resumed, .. } => {
                assert!(resumed || self.log.is_empty(), "it could not go on");
                self.connections += 1;
            }
            Followed::Events(events) => {
                for event in events {
                    assert_eq!(event.seq, self.log.len() as u64 + 1, "a gap or a repetition");
                    self.log.push(serde_json::to_string(&event).expect("JSON"));
                }
            }
            Followed::Snapshot(mission) => assert_eq!(mission.seq, 1, "a snapshot at the beginning alone"),
            Followed::Ended(error) => panic!("the watch ended: {error}"),
            Followed::Skipped(span) => panic!("{span:?} was left out"),
            Followed::Disconnected { .. } | Followed::Presence(_) | Followed::Live(_) => {}
        }
    }

    async fn reach(&mut self, seq: u64) {
        while (self.log.len() as u64) < seq {
            self.next().await;
        }
    }
}

#[tokio::test]
async fn one_connection_carries_many_watches_over_kill_nine_twice() {
    let mut server = Server::start().await;
    let ann = server.admin("ann").await;
    let door = Door::to(&server).await;
    let client = client(&door, &ann);
    let mut watches = Vec::new();
    for _ in 0..12 {
        let id = server.mission(&ann, None, json!({})).await;
        let epoch = stored_epoch(&client, id).await;
        let since = Some(flightdeck_protocol::operations::Position { epoch, seq: 0 });
        let options = flightdeck_protocol::client::WatchOptions { since, ..Default::default() };
        watches.push(Seen { follow: client.watch_with(id, options), id, log: Vec::new(), connections: 0 });
    }
    for round in 0..3 {
        for watch in &mut watches {
            let mut last = 0;
            for nth in 0..5 {
                last = server.note(&ann, watch.id, &format!("round {round}, note {nth}")).await.expect("a note").seq;
            }
            watch.reach(last).await;
        }
        assert_eq!(door.guests(), round + 1, "one connection for all");
        if round < 2 {
            server.kill_nine().await;
            // What happens while nobody is connected is missed by nobody.
            server.start_again().await;
            for watch in &watches {
                server.note(&ann, watch.id, "meanwhile").await.expect("a note");
            }
            door.now_to(&server);
        }
    }
    for watch in &watches {
        assert_eq!(watch.log, stored_log(&server, &ann, watch.id).await);
        assert_eq!(watch.connections, 3);
    }
}

/// The history that positions of `mission` count in.
async fn stored_epoch(client: &Client, mission: MissionId) -> uuid::Uuid {
    let mut follow = client.watch(mission);
    loop {
        match within("a snapshot", follow.next()).await.expect("a watch") {
            Followed::Snapshot(_) => return follow.position().expect("a position").epoch,
            Followed::Ended(error) => panic!("{error}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_call_waits_for_a_server_that_is_being_started_again() {
    let mut server = Server::start().await;
    let ann = server.admin("ann").await;
    let door = Door::to(&server).await;
    let client = client(&door, &ann);
    let mission = server.mission(&ann, None, json!({})).await;
    client.ready().await.expect("a connection");
    server.stop().await;
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.call::<ListMissions>(MissionQuery::default()).await })
    };
    server.start_again().await;
    door.now_to(&server);
    let page = within("the answer", waiting).await.expect("a task").expect("a page");
    assert_eq!(page.items.iter().map(|mission| mission.id).collect::<Vec<_>>(), [mission]);
}

#[tokio::test]
async fn a_list_of_missions_is_right_again_after_a_restart() {
    let mut server = Server::start().await;
    let ann = server.admin("ann").await;
    let door = Door::to(&server).await;
    let client = client(&door, &ann);
    let query = MissionsWatch { status: vec![MissionStatus::Pending, MissionStatus::Running], ..Default::default() };
    let query = MissionsWatch { order: ListOrder::Newest, ..query };
    let mut list = client.watch_missions(query);
    let mut inbox = client.watch_inbox();
    within("an empty list", list.until(|items| items.is_empty())).await.expect("a list");
    let first = server.mission(&ann, None, json!({})).await;
    let second = server.started(&ann, None, json!({})).await;
    let ids = |items: &[flightdeck_protocol::model::MissionSummary]| {
        items.iter().map(|mission| mission.id).collect::<Vec<_>>()
    };
    within("both", list.until(|items| ids(items) == [second, first])).await.expect("a list");

    server.kill_nine().await;
    server.start_again().await;
    let cancel = MissionCancel { mission: first, reason: None };
    server.call::<CancelMission>(&ann, cancel).await.expect("an end");
    let third = server.mission(&ann, None, json!({})).await;
    door.now_to(&server);
    within("what is left", list.until(|items| ids(items) == [third, second])).await.expect("a list");
    within("the inbox", inbox.until(|items| items.is_empty())).await.expect("an inbox");
}

#[tokio::test]
async fn what_a_person_does_is_told_again_after_a_kill_nine() {
    let mut server = Server::start().await;
    let ann = server.admin("ann").await;
    let vera = server.member(&ann, Role::Viewer, "vera").await;
    let door = Door::to(&server).await;
    let id = server.mission(&ann, None, json!({})).await;
    let (hers, theirs) = (client(&door, &ann).mission(id), client(&door, &vera).mission(id));
    hers.present(Presenting { seen_seq: Some(1), ..Presenting::default() });
    let seen = |live: &LiveMission| {
        let people = live.presence().map(|presence| presence.people).unwrap_or_default();
        people.iter().any(|person| person.name == "ann" && person.seen_seq == Some(1))
    };
    within("what ann has seen", theirs.until(seen)).await.expect("a mission");
    hers.present(Presenting { cursor: Some(json!({"line": 3})), ..Presenting::default() });
    let points = |live: &LiveMission| live.live().cursors.iter().any(|cursor| cursor.at["line"] == 3);
    within("where ann points", theirs.until(points)).await.expect("a mission");

    server.kill_nine().await;
    within("the loss", theirs.until(|live| !live.is_caught_up())).await.expect("a mission");
    assert!(!seen(&theirs) && !points(&theirs), "nobody knows while nothing is heard");
    server.start_again().await;
    door.now_to(&server);
    within("all of it again", theirs.until(|live| seen(live) && points(live))).await.expect("a mission");
}

/// Signs in anew for each token; every second time something goes wrong first.
struct Forgetful {
    http: reqwest::Client,
    url: String,
    asked: Arc<AtomicU32>,
}

impl Tokens for Forgetful {
    async fn token(&self, _rejected: Option<String>) -> Result<String, TokenError> {
        if self.asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            return Err(TokenError::Temporary("forgot where they are".to_owned()));
        }
        let temporary = |error: reqwest::Error| TokenError::Temporary(error.to_string());
        let login = json!({"username": "vera", "password": "correct horse battery"});
        let request = self.http.post(format!("{}/api/auth/login", self.url)).json(&login);
        let signed: serde_json::Value = request.send().await.map_err(temporary)?.json().await.map_err(temporary)?;
        let token = signed["tokens"]["access_token"].as_str().or(signed["access_token"].as_str());
        token.map(str::to_owned).ok_or_else(|| TokenError::Temporary(signed.to_string()))
    }
}

#[tokio::test]
async fn a_session_outlives_its_tokens_though_they_are_hard_to_get() {
    let server = Server::with(&["--access-token-seconds", "8"]).await;
    let ann = server.admin("ann").await;
    server.member(&ann, Role::Viewer, "vera").await;
    let mission = server.mission(&ann, None, json!({})).await;
    let asked = Arc::new(AtomicU32::new(0));
    let tokens = Forgetful { http: server.http.clone(), url: server.url.clone(), asked: Arc::clone(&asked) };
    let client = Client::start(&server.url, tokens);
    let first = within("a connection", client.ready()).await.expect("a connection");
    let mut follow = client.watch(mission);
    // Two tokens later it is still the same connection.
    let renewed = eventually("renewals", || async { (asked.load(Ordering::SeqCst) >= 6).then_some(()) });
    let undisturbed = async {
        loop {
            match follow.next().await.expect("a watch") {
                Followed::Disconnected { why, .. } => panic!("the connection was lost: {why}"),
                Followed::Ended(error) => panic!("{error}"),
                _ => {}
            }
        }
    };
    tokio::select! { () = renewed => {}, () = undisturbed => {} }
    assert!(flightdeck_protocol::Timestamp::now() >= first.expires_at);
    assert!(matches!(client.state(), ClientState::Open));
    assert_eq!(client.ready().await.expect("a connection").connection, first.connection);
}

#[tokio::test]
async fn what_the_server_refuses_is_not_seen_any_more_on_any_screen() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let vera = server.member(&ann, Role::Viewer, "vera").await;
    let id = server.mission(&ann, None, json!({})).await;
    let live = Client::start(&server.url, FixedToken(vera.token.clone())).mission(id);
    within("the mission", live.until(LiveMission::is_caught_up)).await.expect("a mission");
    let before = live.mission();

    // A viewer may only look.
    let cancel = MissionCancel { mission: id, reason: None };
    let refused = live.command::<CancelMission>(cancel, move |mission| {
        let from = mission.status;
        vec![Event::StatusChanged { from, to: MissionStatus::Cancelled, reason: None, result: None }]
    });
    let looking = async {
        let cancelled = |live: &LiveMission| live.mission().is_some_and(|m| m.status == MissionStatus::Cancelled);
        live.until(cancelled).await.expect("a mission");
    };
    let (refused, ()) = within("a refusal", async { tokio::join!(refused, looking) }).await;
    assert_eq!(refused.expect_err("a refusal").fault().map(|fault| fault.code), Some(Code::Forbidden));
    assert_eq!(live.mission(), before);
    assert_eq!(server.look(&ann, id).await.status, MissionStatus::Pending);
}
