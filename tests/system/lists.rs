//! Live lists: what a dashboard shows of the missions, kept as they are by their changes alone.

use std::cmp::Reverse;

use flightdeck_protocol::{
    Code, MissionId,
    model::{MissionStatus, MissionSummary, Priority},
    operations::{
        CreateMission, DeleteMission, ListMissions, ListOrder, MissionCancel, MissionNew, MissionQuery, MissionRef,
        MissionUpdate, MissionsWatch, UpdateMission,
    },
};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::support::{Heard, ListWatcher, Member, RawSocket, Server, Watcher};

fn watch() -> MissionsWatch {
    MissionsWatch { sub: "list".to_owned(), ..MissionsWatch::default() }
}

impl Server {
    async fn titled(&self, who: &Member, title: &str, priority: Priority) -> MissionId {
        let new = MissionNew { title: title.to_owned(), priority, ..MissionNew::default() };
        self.call::<CreateMission>(who, new).await.expect("a mission").id
    }

    async fn change(&self, who: &Member, change: MissionUpdate) {
        self.call::<UpdateMission>(who, change).await.expect("a change");
    }

    /// Every mission of the organization, the newest first, as pages of a list that is not live tell them.
    async fn every_mission(&self, who: &Member) -> Vec<MissionSummary> {
        let mut all = Vec::new();
        let mut query = MissionQuery { limit: Some(200), ..MissionQuery::default() };
        loop {
            let page = self.call::<ListMissions>(who, query.clone()).await.expect("a page");
            all.extend(page.items);
            query.before = page.next;
            if query.before.is_none() {
                return all;
            }
        }
    }
}

fn retitled(mission: MissionId, title: &str) -> MissionUpdate {
    serde_json::from_value(json!({"mission": mission, "title": title})).expect("a change")
}

fn with_priority(mission: MissionId, priority: Priority) -> MissionUpdate {
    serde_json::from_value(json!({"mission": mission, "priority": priority})).expect("a change")
}

impl ListWatcher {
    /// The titles, in the order that the watch asked for.
    fn titles(&self, order: ListOrder) -> Vec<&str> {
        let mut missions: Vec<&MissionSummary> = self.missions.values().collect();
        missions.sort_by_key(|mission| {
            let (urgency, title) = match order {
                ListOrder::Newest => (0, String::new()),
                ListOrder::Priority => (mission.priority as u8, String::new()),
                ListOrder::Title => (0, mission.title.to_lowercase()),
            };
            (Reverse(urgency), title, Reverse(mission.id))
        });
        missions.iter().map(|mission| mission.title.as_str()).collect()
    }

    async fn until_titles(&mut self, order: ListOrder, titles: &[&str]) {
        while self.titles(order) != titles {
            self.take_in_time(titles).await;
        }
    }

    async fn take_in_time(&mut self, wanted: &[&str]) {
        let what = format!("{wanted:?} instead of {:?}", self.titles(ListOrder::Newest));
        crate::support::within(&what, self.take()).await;
    }

    /// Reads on until the list is what the server lists of `wanted` missions.
    async fn until_all(&mut self, all: &[MissionSummary]) {
        self.until("the whole list", |missions| {
            missions.len() == all.len() && all.iter().all(|mission| missions.get(&mission.id.0) == Some(mission))
        })
        .await;
    }
}

#[tokio::test]
async fn a_list_is_there_at_once_and_follows_every_change() {
    let server = Server::start().await;
    let (ann, bob) = (server.admin("ann").await, server.admin("bob").await);
    let old = server.titled(&ann, "old", Priority::Normal).await;
    let other = server.titled(&ann, "other", Priority::Normal).await;
    let mut list = ListWatcher::begin(&server, &ann, watch()).await;
    let mut theirs = ListWatcher::begin(&server, &bob, watch()).await;
    assert_eq!(list.titles(ListOrder::Newest), ["other", "old"]);
    assert!(theirs.missions.is_empty());

    server.titled(&ann, "new", Priority::Normal).await;
    list.until_titles(ListOrder::Newest, &["new", "other", "old"]).await;
    server.change(&ann, retitled(old, "not so old")).await;
    list.until_titles(ListOrder::Newest, &["new", "other", "not so old"]).await;
    server.call::<DeleteMission>(&ann, MissionRef { mission: other }).await.expect("an end");
    list.until_titles(ListOrder::Newest, &["new", "not so old"]).await;
    server.rpc(Some(&ann.token), "mission.start", &json!({"mission": old})).await;
    list.until("a mission under way", |missions| missions[&old.0].status == MissionStatus::Running).await;
    // What a list does not show changes nothing in it.
    server.note(&ann, old, "a note").await.expect("a note");
    server.rpc(Some(&ann.token), "mission.complete", &json!({"mission": old})).await;
    list.until("its end", |missions| missions[&old.0].status == MissionStatus::Completed).await;
    list.until_all(&server.every_mission(&ann).await).await;
    assert_eq!(list.resets, 0);

    // Of all this another organization has heard nothing: the first that comes is its own.
    server.titled(&bob, "theirs", Priority::Normal).await;
    theirs.take_in_time(&["theirs"]).await;
    assert_eq!(theirs.titles(ListOrder::Newest), ["theirs"]);
}

#[tokio::test]
async fn a_window_shows_the_first_so_many_and_what_moves_up() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let by_priority = MissionsWatch { order: ListOrder::Priority, limit: Some(3), ..watch() };
    let by_title = MissionsWatch { order: ListOrder::Title, limit: Some(2), ..watch() };
    let delta = server.titled(&ann, "Delta", Priority::Low).await;
    let alpha = server.titled(&ann, "alpha", Priority::Urgent).await;
    server.titled(&ann, "charlie", Priority::Normal).await;
    server.titled(&ann, "Bravo", Priority::High).await;
    let mut urgent = ListWatcher::begin(&server, &ann, by_priority).await;
    let mut titles = ListWatcher::begin(&server, &ann, by_title).await;
    let (priority, title) = (ListOrder::Priority, ListOrder::Title);
    assert_eq!(urgent.titles(priority), ["alpha", "Bravo", "charlie"]);
    assert_eq!(titles.titles(title), ["alpha", "Bravo"]);

    // One comes in, and the last one goes out for it.
    server.change(&ann, with_priority(delta, Priority::Urgent)).await;
    urgent.until_titles(priority, &["alpha", "Delta", "Bravo"]).await;
    // One falls behind, and what stands behind the window moves up.
    server.change(&ann, with_priority(alpha, Priority::Low)).await;
    urgent.until_titles(priority, &["Delta", "Bravo", "charlie"]).await;
    server.change(&ann, retitled(alpha, "Zulu")).await;
    titles.until_titles(title, &["Bravo", "charlie"]).await;
    // One is deleted, and the same happens.
    server.call::<DeleteMission>(&ann, MissionRef { mission: delta }).await.expect("an end");
    urgent.until_titles(priority, &["Bravo", "charlie", "Zulu"]).await;
    server.change(&ann, retitled(alpha, "Able")).await;
    titles.until_titles(title, &["Able", "Bravo"]).await;
    urgent.until_titles(priority, &["Bravo", "charlie", "Able"]).await;
    assert_eq!((urgent.resets, titles.resets), (0, 0));
}

#[tokio::test]
async fn what_fits_comes_in_and_what_no_longer_does_goes_out() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mel = server.member(&ann, flightdeck_protocol::model::Role::Manager, "mel").await;
    let live = vec![MissionStatus::Pending, MissionStatus::Running, MissionStatus::Running];
    let filing = MissionsWatch { mission_type: Some("filing".to_owned()), status: live, ..watch() };
    let own = MissionsWatch { owner: Some(mel.person.id), ..watch() };
    let retrieving = MissionsWatch { agent: Some("retrieve".to_owned()), ..watch() };
    let mut filing = ListWatcher::begin(&server, &ann, filing).await;
    let mut own = ListWatcher::begin(&server, &ann, own).await;
    let mut retrieving = ListWatcher::begin(&server, &ann, retrieving).await;

    let typed = |title: &str, sort: &str| MissionNew {
        title: title.to_owned(),
        mission_type: Some(sort.to_owned()),
        ..MissionNew::default()
    };
    let one = server.call::<CreateMission>(&mel, typed("one", "filing")).await.expect("a mission").id;
    server.call::<CreateMission>(&ann, typed("two", "search")).await.expect("a mission");
    let three = MissionNew { agent: Some("retrieve".to_owned()), ..typed("three", "filing") };
    server.call::<CreateMission>(&ann, three).await.expect("a mission");
    filing.until_titles(ListOrder::Newest, &["three", "one"]).await;
    own.until_titles(ListOrder::Newest, &["one"]).await;
    retrieving.until_titles(ListOrder::Newest, &["three"]).await;

    // Paused is neither pending nor running; and then it is running again.
    for (method, titles) in [
        ("mission.start", &["three", "one"][..]),
        ("mission.pause", &["three"]),
        ("mission.resume", &["three", "one"]),
        ("mission.cancel", &["three"]),
    ] {
        assert!(server.rpc(Some(&mel.token), method, &json!({"mission": one})).await["error"].is_null());
        filing.until_titles(ListOrder::Newest, titles).await;
    }
    own.until("the end", |missions| missions[&one.0].status == MissionStatus::Cancelled).await;
    assert_eq!((own.titles(ListOrder::Newest), own.resets), (vec!["one"], 0));
}

#[tokio::test]
async fn many_who_change_much_at_once_leave_every_list_right() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mut lists = Vec::new();
    for watch in [watch(), MissionsWatch { order: ListOrder::Title, limit: Some(5), ..watch() }] {
        lists.push(ListWatcher::begin(&server, &ann, watch).await);
    }
    let work = async |nth: usize| {
        let mission = server.titled(&ann, &format!("{nth:02}"), Priority::Normal).await;
        for round in 0..5 {
            server.change(&ann, retitled(mission, &format!("{:02}", (nth * 7 + round * 13) % 100))).await;
        }
        if nth.is_multiple_of(3) {
            server.call::<DeleteMission>(&ann, MissionRef { mission }).await.expect("an end");
        }
    };
    stream::iter(0..30).for_each_concurrent(8, work).await;
    let mut all = server.every_mission(&ann).await;
    assert_eq!(all.len(), 20);
    lists[0].until_all(&all).await;
    all.sort_by_key(|mission| (mission.title.to_lowercase(), Reverse(mission.id)));
    lists[1].until_all(&all[..5]).await;
}

#[tokio::test]
async fn a_list_comes_back_after_a_kill_as_it_is_then() {
    let mut server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.titled(&ann, "before", Priority::Normal).await;
    let mut list = ListWatcher::begin(&server, &ann, watch()).await;
    server.change(&ann, retitled(mission, "acknowledged")).await;
    server.kill_nine().await;
    server.start_again().await;
    drop(list);
    list = ListWatcher::begin(&server, &ann, watch()).await;
    assert_eq!(list.titles(ListOrder::Newest), ["acknowledged"], "what was acknowledged is there");
    // Its mission is not in memory any more, and the list follows it all the same.
    server.change(&ann, retitled(mission, "after")).await;
    list.until_titles(ListOrder::Newest, &["after"]).await;
    server.titled(&ann, "another", Priority::Normal).await;
    list.until_titles(ListOrder::Newest, &["another", "after"]).await;
    list.until_all(&server.every_mission(&ann).await).await;
}

#[tokio::test]
async fn a_list_of_missions_that_die_and_come_back_stays_right() {
    let server = Server::with(&["--drills"]).await;
    let ann = server.admin("ann").await;
    let mission = server.titled(&ann, "mortal", Priority::Normal).await;
    let mut list = ListWatcher::begin(&server, &ann, watch()).await;
    for title in ["once", "twice", "thrice"] {
        server.rpc(Some(&ann.token), "drill.panic", &json!({"mission": mission})).await;
        crate::support::eventually("the mission to take a change", || async {
            server.call::<UpdateMission>(&ann, retitled(mission, title)).await.ok()
        })
        .await;
        list.until_titles(ListOrder::Newest, &[title]).await;
    }
    list.until_all(&server.every_mission(&ann).await).await;
}

#[tokio::test]
async fn who_has_missed_too_much_is_given_the_list_anew() {
    const MISSIONS: usize = 1_100;
    let server = Server::with(&["--heartbeat-timeout-ms", "600000"]).await;
    let ann = server.admin("ann").await;
    let talk = server.started(&ann, None, json!({})).await;
    for nth in 0..100 {
        server.note(&ann, talk, &format!("{nth} {}", "x".repeat(3_900))).await.expect("a note");
    }
    let mut slow = RawSocket::narrow(&server, &ann.token).await;
    let began = slow.call("missions.watch", json!({"sub": "list", "limit": 500})).await;
    assert_eq!(began["result"]["items"].as_array().map(Vec::len), Some(1));
    let mut quick = ListWatcher::begin(&server, &ann, MissionsWatch { limit: Some(500), ..watch() }).await;
    // It asks for 400 KB fifteen times and reads none of it: nothing else reaches it.
    let ask = json!({"jsonrpc": "2.0", "id": 7, "method": "activity.list", "params": {"mission": talk, "limit": 100}});
    slow.send_all((0..15).map(|_| ask.to_string())).await;

    // Meanwhile more changes than a board holds, by their size.
    let reason = "y".repeat(4_000);
    let cancel = async |nth: usize| {
        let mission = server.titled(&ann, &nth.to_string(), Priority::Normal).await;
        let cancel = MissionCancel { mission, reason: Some(reason.clone()) };
        server.call::<flightdeck_protocol::operations::CancelMission>(&ann, cancel).await.expect("an end");
    };
    stream::iter(0..MISSIONS).for_each_concurrent(16, cancel).await;
    let mut all = server.every_mission(&ann).await;
    all.truncate(500);
    quick.until_all(&all).await;

    let mut answers = 0;
    let anew = loop {
        match slow.hear().await {
            Heard::Json(message) if message.get("id").is_some() => answers += 1,
            Heard::Json(message) if message["method"] == "missions.changed" && message["params"]["reset"] == true => {
                break message;
            }
            Heard::Json(_) => {}
            Heard::Closed(code, reason) => panic!("closed with {code} ({reason})"),
        }
    };
    assert_eq!(answers, 15);
    let items: Vec<MissionSummary> = anew["params"]["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .map(|change| {
            assert_eq!(change["op"], "put");
            serde_json::from_value(change["mission"].clone()).expect("a mission")
        })
        .collect();
    assert_eq!(items, all, "all of it, in order");
}

#[tokio::test]
async fn nothing_comes_of_a_list_after_it_was_unwatched() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mut socket = RawSocket::open(&server, &ann.token).await;
    socket.call("missions.watch", json!({"sub": "a"})).await;
    socket.call("missions.watch", json!({"sub": "b"})).await;
    assert_eq!(socket.call("missions.unwatch", json!({"sub": "a"})).await["result"], json!({}));
    server.titled(&ann, "unseen", Priority::Normal).await;
    assert_eq!(socket.notice("missions.changed").await["sub"], "b");
    // The name is free, and stands for something else now.
    let again = socket.call("missions.watch", json!({"sub": "a", "type": "none of this sort"})).await;
    assert_eq!(again["result"], json!({"sub": "a", "items": []}));
}

#[tokio::test]
async fn a_list_that_cannot_be_is_refused_and_changes_nothing() {
    let server = Server::with(&["--subscriptions", "3"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut watcher = Watcher::snapshot(&server, &ann, mission).await;
    let mut socket = RawSocket::open(&server, &ann.token).await;
    socket.call("mission.watch", json!({"mission": mission, "sub": "mission"})).await;
    let good = json!({"sub": "list", "limit": 1});
    assert!(socket.call("missions.watch", good).await["result"].is_object());
    let cases: Vec<(Value, Code)> = vec![
        (json!({"sub": "x", "limit": 0}), Code::InvalidValue),
        (json!({"sub": "x", "limit": 501}), Code::InvalidValue),
        (json!({"sub": "x", "limit": -1}), Code::InvalidParams),
        (json!({"sub": "x", "limit": 1.5}), Code::InvalidParams),
        (json!({"sub": "x", "limit": "many"}), Code::InvalidParams),
        (json!({"sub": "x", "order": "random"}), Code::InvalidParams),
        (json!({"sub": "x", "status": ["asleep"]}), Code::InvalidParams),
        (json!({"sub": "x", "status": "running"}), Code::InvalidParams),
        (json!({"sub": "x", "owner": "ann"}), Code::InvalidParams),
        (json!({"sub": "x", "type": ""}), Code::InvalidValue),
        (json!({"sub": "x", "type": "y".repeat(65)}), Code::InvalidValue),
        (json!({"sub": "x", "agent": "y".repeat(60_000)}), Code::InvalidValue),
        (json!({"sub": "x", "colour": "red"}), Code::InvalidParams),
        (json!({"sub": "list"}), Code::SubscriptionTaken),
        (json!({"sub": "mission"}), Code::SubscriptionTaken),
        (json!({"sub": ""}), Code::InvalidValue),
        (json!({"sub": "x".repeat(65)}), Code::InvalidValue),
        (json!({"sub": "a\u{7}b"}), Code::InvalidValue),
        (json!({}), Code::InvalidParams),
    ];
    for (params, code) in cases {
        let fault = socket.refused("missions.watch", params.clone()).await;
        assert_eq!(fault.code, code, "{params}: {fault}");
    }
    for (method, sub) in [("missions.unwatch", "mission"), ("mission.unwatch", "list"), ("missions.unwatch", "x")] {
        let fault = socket.refused(method, json!({"sub": sub})).await;
        assert_eq!(
            (fault.code, fault.data.field.as_deref()),
            (Code::SubscriptionNotFound, Some("sub")),
            "{method} {sub}"
        );
    }
    // None of them took a place: there is one left, and then none.
    assert!(socket.call("inbox.watch", json!({"sub": "x"})).await["result"].is_object());
    assert_eq!(socket.refused("missions.watch", json!({"sub": "y"})).await.code, Code::LimitReached);
    server.titled(&ann, "seen", Priority::Normal).await;
    while socket.notice("missions.changed").await["changes"][0]["mission"]["title"] != "seen" {}
    let ack = server.note(&ann, mission, "all is well").await.expect("a note");
    watcher.reach(ack.seq).await;
}
