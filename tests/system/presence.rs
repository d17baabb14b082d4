//! Presence: who is in a mission, what they look at and have seen, who is typing and who points where.

use std::collections::BTreeMap;

use flightdeck_protocol::{Code, MissionId, model::Role, notification::Present};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;

use crate::support::{Heard, Member, RawSocket, Scripts, Server, fault_of, within};

/// Long enough that nobody's grace ends while a story is told.
const LONG_GRACE: &[&str] = &["--presence-grace-ms", "600000"];

/// A browser tab of somebody who watches a mission: folds what it hears of others, as a client does.
struct Tab {
    socket: RawSocket,
    mission: MissionId,
    /// Who was here at each word of it.
    present: Vec<Vec<Present>>,
    /// Who is typing, by name.
    typing: Vec<String>,
    /// Who points where, by name.
    cursors: BTreeMap<String, Value>,
    seq: u64,
}

impl Tab {
    async fn open(server: &Server, who: &Member, mission: MissionId) -> Self {
        Self::open_with(server, who, json!({"mission": mission, "sub": "a"})).await
    }

    async fn open_with(server: &Server, who: &Member, watch: Value) -> Self {
        let socket = RawSocket::open(server, &who.token).await;
        let mission = watch["mission"].as_str().and_then(|id| id.parse().ok()).expect("a mission");
        let mut tab =
            Self { socket, mission, present: Vec::new(), typing: Vec::new(), cursors: BTreeMap::new(), seq: 0 };
        tab.watch(watch).await;
        tab
    }

    async fn watch(&mut self, watch: Value) {
        let watching = self.ask("mission.watch", watch).await;
        self.seq = watching["result"]["seq"].as_u64().unwrap_or_else(|| panic!("{watching}"));
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.socket.send(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()).await;
        loop {
            if let Some(response) = self.take().await {
                return response;
            }
        }
    }

    /// Says what the others are to see.
    async fn show(&mut self, what: Value) {
        let answer = self.try_show(what).await;
        assert_eq!(answer["result"], json!({}), "{answer}");
    }

    async fn try_show(&mut self, mut what: Value) -> Value {
        what["mission"] = json!(self.mission);
        self.ask("presence.set", what).await
    }

    /// Takes the next message; gives it if it is a response.
    async fn take(&mut self) -> Option<Value> {
        let Heard::Json(mut message) = self.socket.hear().await else { panic!("the socket ended") };
        let params = message["params"].take();
        match message["method"].as_str() {
            None => return Some(message),
            Some("mission.presence") => {
                assert_eq!(params["others"], 0);
                self.present.push(serde_json::from_value(params["people"].clone()).expect("people"));
            }
            Some("mission.events") => self.seq = params["to"].as_u64().expect("a position"),
            Some("mission.live") => {
                if params["whole"] == json!(true) {
                    self.typing.clear();
                    self.cursors.clear();
                }
                for item in params["items"].as_array().expect("items") {
                    let name = item["name"].as_str().expect("a name").to_owned();
                    match item["type"].as_str() {
                        Some("typing") => {
                            self.typing.retain(|known| *known != name);
                            if item["on"] == json!(true) {
                                self.typing.push(name);
                            }
                        }
                        Some("cursor") if item["at"].is_null() => drop(self.cursors.remove(&name)),
                        Some("cursor") => drop(self.cursors.insert(name, item["at"].clone())),
                        _ => panic!("what is {item}?"),
                    }
                }
            }
            Some(_) => {}
        }
        None
    }

    async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        within(what, async {
            while !is_so(self) {
                self.take().await;
            }
        })
        .await;
    }

    async fn until_present(&mut self, names: &[&str]) {
        self.until(&format!("{names:?}"), |tab| tab.names().is_some_and(|present| present == names)).await;
    }

    /// Who is here, in the order of their coming.
    fn names(&self) -> Option<Vec<&str>> {
        self.present.last().map(|people| people.iter().map(|here| here.name.as_str()).collect())
    }

    fn find(&self, name: &str) -> Option<&Present> {
        self.present.last()?.iter().find(|here| here.name == name)
    }

    async fn until_shown(&mut self, name: &str, is_so: impl Fn(&Present) -> bool) {
        self.until(&format!("presence of {name}"), |tab| tab.find(name).is_some_and(&is_so)).await;
    }
}

/// A server, an admin, a viewer, and a mission of theirs.
async fn scene(flags: &[&str]) -> (Server, Member, Member, MissionId) {
    let server = Server::with(flags).await;
    let ann = server.admin("ann").await;
    let vera = server.member(&ann, Role::Viewer, "vera").await;
    let mission = server.started(&ann, None, json!({})).await;
    (server, ann, vera, mission)
}

#[tokio::test]
async fn nobody_sees_a_reconnection_or_a_second_tab() {
    let (server, ann, vera, mission) = scene(LONG_GRACE).await;
    let mut tab = Tab::open(&server, &ann, mission).await;
    let mut theirs = Tab::open(&server, &vera, mission).await;
    tab.until_present(&["ann", "vera"]).await;
    let before = tab.present.len();
    let since = tab.find("vera").expect("vera").since;

    // A second tab; the first goes; it ends its watch and begins another; its connection is lost and comes back.
    let mut second = Tab::open(&server, &vera, mission).await;
    theirs.socket.send(tungstenite::Message::Close(None)).await;
    theirs.socket.ends_cut_off().await;
    second.ask("mission.unwatch", json!({"sub": "a"})).await;
    second.watch(json!({"mission": mission, "sub": "b"})).await;
    drop(second);
    let mut last = Tab::open(&server, &vera, mission).await;

    // Somebody new is the next that anyone hears of.
    let bob = server.member(&ann, Role::Officer, "bob").await;
    let _bob = Tab::open(&server, &bob, mission).await;
    for tab in [&mut tab, &mut last] {
        tab.until_present(&["ann", "vera", "bob"]).await;
    }
    assert_eq!(tab.present.len(), before + 1, "{:?}", tab.present);
    assert_eq!(tab.find("vera").expect("vera").since, since, "since the first of them");
}

#[tokio::test]
async fn the_last_to_close_is_gone_after_the_grace() {
    let (server, ann, vera, mission) = scene(&["--presence-grace-ms", "300"]).await;
    let mut tab = Tab::open(&server, &ann, mission).await;
    let one = Tab::open(&server, &vera, mission).await;
    let two = Tab::open(&server, &vera, mission).await;
    tab.until_present(&["ann", "vera"]).await;
    drop((one, two));
    tab.until_present(&["ann"]).await;
}

#[tokio::test]
async fn a_ghost_vanishes_with_the_heartbeat_and_takes_its_typing_along() {
    let flags = ["--heartbeat-interval-ms", "300", "--heartbeat-timeout-ms", "1500", "--presence-grace-ms", "300"];
    let (server, ann, vera, mission) = scene(&flags).await;
    let mut tab = Tab::open(&server, &ann, mission).await;
    // Its socket stays open, but nobody is there to answer a ping.
    let mut ghost = Tab::open(&server, &vera, mission).await;
    ghost.show(json!({"typing": true, "cursor": {"line": 3}})).await;
    tab.until("vera's typing", |tab| tab.typing == ["vera"] && tab.cursors.contains_key("vera")).await;
    tab.until_present(&["ann", "vera"]).await;
    tab.until("the end of it", |tab| tab.typing.is_empty() && tab.cursors.is_empty()).await;
    tab.until_present(&["ann"]).await;
    drop(ghost);
}

#[tokio::test]
async fn whose_connection_is_cut_is_seen_neither_typing_nor_pointing_any_more() {
    let (server, ann, _, mission) = scene(&["--presence-grace-ms", "1000"]).await;
    let olga = server.member(&ann, Role::Officer, "olga").await;
    let step = server.rpc(Some(&ann.token), "step.add", &json!({"mission": mission, "title": "Read"})).await;
    let step = step["result"]["id"].clone();
    let mut tab = Tab::open(&server, &ann, mission).await;
    for round in 0..5 {
        let mut theirs = Tab::open(&server, &olga, mission).await;
        theirs.show(json!({"typing": true, "cursor": {"line": round}})).await;
        tab.until("olga's signs", |tab| tab.typing == ["olga"] && tab.cursors.contains_key("olga")).await;
        tab.until_present(&["ann", "olga"]).await;
        // Each of these waits until the activities before it are on disk: the connection is gone by then.
        let activity = json!({"mission": mission, "message": "Read it"});
        let sign = json!({"mission": mission, "looks_at": {"step": step}, "typing": true, "cursor": {"line": 7}});
        let calls = [("activity.add", &activity), ("presence.set", &sign)].repeat(25);
        let calls =
            calls.iter().map(|(method, params)| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}));
        theirs.socket.send_all(calls.map(|call| call.to_string())).await;
        theirs.socket.send(tungstenite::Message::Ping(Default::default())).await;
        theirs.socket.pong().await;
        drop(theirs);
        tab.until("the end of it", |tab| tab.typing.is_empty() && tab.cursors.is_empty()).await;
        tab.until_present(&["ann"]).await;
        // Nor does anybody who comes now see any of it.
        let mut late = Tab::open(&server, &ann, mission).await;
        late.show(json!({"cursor": round})).await;
        late.until("where ann points", |tab| tab.cursors.get("ann") == Some(&json!(round))).await;
        assert!(late.typing.is_empty() && late.cursors.len() == 1, "{:?} {:?}", late.typing, late.cursors);
        drop(late);
        tab.until("nobody to point", |tab| tab.cursors.is_empty()).await;
    }
}

#[tokio::test]
async fn others_see_what_a_person_looks_at_and_how_far_they_have_seen() {
    let deliver = "open('a.txt', 'w').write('a')\nsay(type='document', name='a.txt', path='a.txt')\nwhile hear()['type'] != 'cancel': pass\n";
    let server = Scripts::new().agent("deliver", deliver).serve(LONG_GRACE).await;
    let ann = server.admin("ann").await;
    let vera = server.member(&ann, Role::Viewer, "vera").await;
    let mission = server.started(&ann, Some("deliver"), json!({})).await;
    let step = server.rpc(Some(&ann.token), "step.add", &json!({"mission": mission, "title": "Read"})).await;
    let step = step["result"]["id"].clone();
    let mut watcher = crate::support::Watcher::snapshot(&server, &ann, mission).await;
    watcher.until_mission("a document", |mission| !mission.documents.is_empty()).await;
    let document = watcher.mission().documents[0].id;
    drop(watcher);

    let mut tab = Tab::open(&server, &ann, mission).await;
    let mut one = Tab::open(&server, &vera, mission).await;
    let mut two = Tab::open(&server, &vera, mission).await;
    one.show(json!({"looks_at": {"step": step}, "seen_seq": 2})).await;
    tab.until_shown("vera", |vera| {
        vera.looks_at.is_some_and(|looks| json!(looks.step) == step) && vera.seen_seq == Some(2)
    })
    .await;
    // What a person did last counts, in whichever tab; and nobody unsees.
    two.show(json!({"looks_at": {"document": document}, "seen_seq": 1})).await;
    tab.until_shown("vera", |vera| vera.looks_at.is_some_and(|looks| looks.document == Some(document))).await;
    assert_eq!(tab.find("vera").expect("vera").seen_seq, Some(2));
    one.show(json!({"looks_at": {}, "seen_seq": 3})).await;
    tab.until_shown("vera", |vera| vera.seen_seq == Some(3)).await;
    let looks_at = tab.find("vera").expect("vera").looks_at.expect("the mission as such");
    assert!(looks_at.step.is_none() && looks_at.document.is_none());
    // Who comes late is told the same at once.
    let mut late = Tab::open(&server, &ann, mission).await;
    late.until_shown("vera", |vera| vera.seen_seq == Some(3)).await;
    // A step that is taken out of the plan is looked at by nobody.
    one.show(json!({"looks_at": {"step": step}})).await;
    tab.until_shown("vera", |vera| vera.looks_at.is_some_and(|looks| looks.step.is_some())).await;
    server.rpc(Some(&ann.token), "step.remove", &json!({"mission": mission, "step": step})).await;
    tab.until_shown("vera", |vera| vera.looks_at.is_some_and(|looks| looks.step.is_none())).await;
}

#[tokio::test]
async fn typing_is_taken_back_by_itself_and_pointing_when_it_is_said() {
    let (server, ann, vera, mission) = scene(LONG_GRACE).await;
    let mut tab = Tab::open(&server, &ann, mission).await;
    let mut theirs = Tab::open(&server, &vera, mission).await;
    let mut deaf =
        Tab::open_with(&server, &ann, json!({"mission": mission, "sub": "a", "live": false, "presence": false})).await;
    theirs.show(json!({"typing": true, "cursor": {"x": 1}})).await;
    tab.until("typing", |tab| tab.typing == ["vera"] && tab.cursors.get("vera") == Some(&json!({"x": 1}))).await;
    theirs.show(json!({"cursor": "there"})).await;
    tab.until("another place", |tab| tab.cursors.get("vera") == Some(&json!("there"))).await;
    // Who comes late sees it as well.
    let mut late = Tab::open(&server, &vera, mission).await;
    late.until("typing", |tab| tab.typing == ["vera"] && tab.cursors.len() == 1).await;
    theirs.show(json!({"cursor": null})).await;
    tab.until("no place", |tab| tab.cursors.is_empty()).await;
    // Nobody says that it is over.
    tab.until("the end of the typing", |tab| tab.typing.is_empty()).await;
    theirs.show(json!({"typing": true})).await;
    tab.until("typing again", |tab| tab.typing == ["vera"]).await;
    theirs.show(json!({"typing": false})).await;
    tab.until("the end of it", |tab| tab.typing.is_empty()).await;
    theirs.show(json!({"typing": true, "cursor": 7})).await;
    tab.until("typing once more", |tab| tab.typing == ["vera"] && tab.cursors.len() == 1).await;
    // The tab in which it was is gone; the person is not.
    drop(theirs);
    tab.until("the end of it", |tab| tab.typing.is_empty() && tab.cursors.is_empty()).await;
    assert_eq!(tab.names().expect("people"), ["ann", "vera"]);
    // Who did not want to hear of it did not.
    let ack = server.note(&ann, mission, "all is done").await.expect("a note");
    deaf.until("the note", |tab| tab.seq == ack.seq).await;
    deaf.ask("session.ping", json!({})).await;
    assert!(deaf.present.is_empty() && deaf.typing.is_empty() && deaf.cursors.is_empty());
}

#[tokio::test]
async fn what_cannot_be_shown_is_refused_and_nothing_of_it_is_shown() {
    let (server, ann, vera, mission) = scene(LONG_GRACE).await;
    let other = server.mission(&ann, None, json!({})).await;
    let mut tab = Tab::open(&server, &ann, mission).await;
    let mut theirs = Tab::open(&server, &vera, mission).await;
    tab.until_present(&["ann", "vera"]).await;
    let nobody = "0198c7c1-0000-7000-8000-000000000000";
    let long = "x".repeat(1023);
    for (what, code, field) in [
        (json!({"looks_at": {"step": nobody}, "typing": true}), Code::StepNotFound, Some("looks_at")),
        (json!({"looks_at": {"document": nobody}, "seen_seq": 1}), Code::DocumentNotFound, Some("looks_at")),
        (json!({"seen_seq": theirs.seq + 1, "cursor": 1}), Code::InvalidValue, Some("seen_seq")),
        (json!({"seen_seq": u64::MAX, "typing": true}), Code::InvalidValue, Some("seen_seq")),
        (json!({"cursor": long, "typing": true}), Code::TooLarge, Some("cursor")),
        (json!({"seen_seq": -1}), Code::InvalidParams, Some("seen_seq")),
        (json!({"seen_seq": null, "typing": "yes"}), Code::InvalidParams, Some("typing")),
        (json!({"looks_at": {"place": 1}}), Code::InvalidParams, Some("looks_at.place")),
        (json!({"looks_at": {"step": "first"}}), Code::InvalidParams, Some("looks_at.step")),
        (json!({"laughing": true}), Code::InvalidParams, Some("laughing")),
    ] {
        let answer = theirs.try_show(what.clone()).await;
        let fault = fault_of(&answer);
        assert_eq!((fault.code, fault.data.field.as_deref()), (code, field), "{what}: {answer}");
    }
    for mission in [json!(other), json!(nobody)] {
        let answer = theirs.ask("presence.set", json!({"mission": mission, "typing": true})).await;
        assert_eq!(fault_of(&answer).code, Code::SubscriptionNotFound, "{answer}");
    }
    // No socket, no presence.
    let over_rpc = server.rpc(Some(&vera.token), "presence.set", &json!({"mission": mission, "typing": true})).await;
    assert_eq!(fault_of(&over_rpc).code, Code::WrongTransport);

    // The largest that is taken, and the first that anyone sees of it all.
    let whole = "x".repeat(1022);
    theirs.show(json!({"cursor": whole, "seen_seq": theirs.seq})).await;
    tab.until("the cursor", |tab| tab.cursors.get("vera") == Some(&json!(whole))).await;
    tab.until_shown("vera", |vera| vera.seen_seq.is_some()).await;
    assert!(tab.typing.is_empty());
    assert!(tab.present.iter().flatten().all(|here| here.looks_at.is_none()));
    theirs.ask("mission.unwatch", json!({"sub": "a"})).await;
    let answer = theirs.try_show(json!({"typing": true})).await;
    assert_eq!(fault_of(&answer).code, Code::SubscriptionNotFound, "{answer}");
}

#[tokio::test]
async fn another_organization_sees_and_shows_nothing() {
    let (server, ann, _, mission) = scene(LONG_GRACE).await;
    let mut tab = Tab::open(&server, &ann, mission).await;
    let eve = server.admin("eve").await;
    let own = server.started(&eve, None, json!({})).await;
    let mut theirs = Tab::open(&server, &eve, own).await;
    let watch = theirs.ask("mission.watch", json!({"mission": mission, "sub": "b"})).await;
    assert_eq!(fault_of(&watch).code, Code::MissionNotFound);
    let shown = theirs.ask("presence.set", json!({"mission": mission, "typing": true})).await;
    assert_eq!(fault_of(&shown).code, Code::SubscriptionNotFound);
    tab.show(json!({"typing": true, "seen_seq": 1})).await;
    tab.until("ann's own typing", |tab| tab.typing == ["ann"]).await;
    tab.until_present(&["ann"]).await;
    theirs.show(json!({"typing": true})).await;
    theirs.until("eve's own typing", |tab| tab.typing == ["eve"]).await;
    theirs.until_present(&["eve"]).await;
    assert!(tab.present.iter().flatten().all(|here| here.name == "ann"));
    assert!(theirs.present.iter().flatten().all(|here| here.name == "eve"));
}

#[tokio::test]
async fn after_a_kill_those_are_here_who_came_back() {
    let (mut server, ann, vera, mission) = scene(LONG_GRACE).await;
    let mut tab = Tab::open(&server, &ann, mission).await;
    let mut theirs = Tab::open(&server, &vera, mission).await;
    theirs.show(json!({"typing": true, "seen_seq": 1})).await;
    tab.until("typing", |tab| tab.typing == ["vera"]).await;
    tab.until_shown("vera", |vera| vera.seen_seq == Some(1)).await;
    server.kill_nine().await;
    server.start_again().await;
    let mut tab = Tab::open(&server, &ann, mission).await;
    tab.until_present(&["ann"]).await;
    let mut theirs = Tab::open(&server, &vera, mission).await;
    theirs.show(json!({"cursor": 1})).await;
    tab.until_present(&["ann", "vera"]).await;
    tab.until("what is new", |tab| tab.cursors.len() == 1).await;
    assert!(tab.typing.is_empty(), "nothing of this is kept");
    assert_eq!(tab.find("vera").expect("vera").seen_seq, None);
}

#[tokio::test]
async fn a_crowd_that_comes_at_once_is_told_in_few_notices() {
    const CROWD: usize = 60;
    let (server, ann, vera, mission) = scene(LONG_GRACE).await;
    let mut tab = Tab::open(&server, &ann, mission).await;
    let mut crowd = vec![vera];
    for nth in 1..CROWD {
        crowd.push(server.member(&ann, Role::Viewer, &format!("v{nth}")).await);
    }
    let tabs = crowd.iter().map(|who| Tab::open(&server, who, mission));
    let mut tabs = futures_util::future::join_all(tabs).await;
    tab.until("all of them", |tab| tab.present.last().is_some_and(|people| people.len() == CROWD + 1)).await;
    let notices = tab.present.len();
    println!("{notices} notices for {CROWD} who came at once");
    assert!(notices < CROWD / 2, "{notices} notices");
    // Whoever does not read is told the newest alone: each has seen all the rest since.
    for (nth, tab) in tabs.iter_mut().enumerate() {
        tab.show(json!({"seen_seq": 1 + nth as u64 % 2})).await;
    }
    let all_seen =
        |tab: &Tab| tab.present.last().is_some_and(|all| all.iter().all(|p| p.seen_seq.is_some() || p.name == "ann"));
    tab.until("how far all have seen", all_seen).await;
    assert!(tab.present.len() - notices < CROWD / 2, "{} notices", tab.present.len() - notices);
}
