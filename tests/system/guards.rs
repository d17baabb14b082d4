//! Guards: what is named is done once, whatever happens in between; and what nobody knew of is not overwritten.

use std::collections::{BTreeSet, HashMap};

use flightdeck_protocol::{
    Code, Event, EventFrame, Fault, MissionId,
    model::{MissionSummary, Role},
    operations::{Ack, Empty, ListMissions, ListUsers, MissionQuery},
};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Member, RawSocket, Server, fault_of, stored_log, within};

#[tokio::test]
async fn a_repeated_call_makes_one_mission_whichever_way_it_comes() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mut socket = RawSocket::open(&server, &ann.token).await;
    let first = socket.call("mission.create", json!({"title": "Once", "idem": "create 1"})).await["result"].take();

    // Written another way, it is the same call.
    let again = json!({"idem": "create 1", "agent": null, "title": "\u{4f}nce"});
    assert_eq!(server.rpc(Some(&ann.token), "mission.create", &again).await["result"], first);
    let body = json!({"title": "Once"});
    let quoted = server.post(&ann, "/api/missions", &[("idempotency-key", "\"create 1\"")], &body).await;
    let bare = server.post(&ann, "/api/missions", &[("idempotency-key", "create 1")], &body).await;
    let inside = server.request(Method::POST, "/api/missions", Some(&ann.token), Some(&again)).await;
    for reply in [&quoted, &bare, &inside] {
        assert_eq!((reply.status, reply.json()), (201, first.clone()));
        assert_eq!(reply.body, quoted.body, "to the byte");
    }
    assert_eq!(missions(&server, &ann).await.len(), 1);

    let both = server.post(&ann, "/api/missions", &[("idempotency-key", "create 1")], &again).await;
    assert_eq!(both.fault().code, Code::InvalidParams, "one way in");
    let broken = server.post(&ann, "/api/missions", &[("idempotency-key", "\"create 1")], &body).await;
    assert_eq!(broken.fault().code, Code::InvalidValue);
    // Reading is repeated as one likes.
    assert_eq!(server.get(&ann, "/api/missions", &[("idempotency-key", "\"create 1\"")]).await.status, 200);
}

#[tokio::test]
async fn two_who_call_at_once_under_one_name_get_one_answer() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut tabs = [RawSocket::open(&server, &ann.token).await, RawSocket::open(&server, &ann.token).await];
    let request = |nth: usize| {
        let params = json!({"mission": mission, "title": format!("step {nth}"), "idem": format!("step {nth}")});
        json!({"jsonrpc": "2.0", "id": nth, "method": "step.add", "params": params}).to_string()
    };
    let mut answers: Vec<HashMap<u64, Value>> = Vec::new();
    for tab in &mut tabs {
        tab.send_all((0..60).map(request)).await;
    }
    for tab in &mut tabs {
        let mut heard = HashMap::new();
        while heard.len() < 60 {
            let mut response = tab.response().await;
            assert!(response["error"].is_null(), "{response}");
            heard.insert(response["id"].as_u64().expect("an id"), response["result"].take());
        }
        answers.push(heard);
    }
    assert_eq!(answers[0], answers[1]);
    let plan = server.look(&ann, mission).await.plan;
    let titles: BTreeSet<&str> = plan.iter().map(|step| step.title.as_str()).collect();
    assert_eq!((plan.len(), titles.len()), (60, 60));
}

#[tokio::test]
async fn a_kill_between_the_answer_and_the_repeat_changes_nothing() {
    let mut server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let vera = server.member(&ann, Role::Viewer, "vera").await.person.id;
    let doomed = server.mission(&ann, None, json!({})).await;
    let calls = [
        ("mission.create", json!({"title": "Made once"})),
        ("user.create", json!({"username": "ben", "password": "a long enough password", "role": "viewer"})),
        ("user.update", json!({"user": vera, "name": "Vera the First"})),
        ("step.add", json!({"mission": mission, "title": "A step"})),
        ("message.send", json!({"mission": mission, "text": "Hello"})),
        // Changes nothing, and that is an answer as well.
        ("mission.update", json!({"mission": mission, "title": "A piece of work"})),
        ("mission.pause", json!({"mission": mission})),
        ("mission.delete", json!({"mission": doomed})),
    ];
    let calls = calls.map(|(method, mut params)| {
        params["idem"] = json!(format!("my {method}"));
        (method, params)
    });
    let mut answers = Vec::new();
    for (method, params) in &calls {
        let response = server.rpc(Some(&ann.token), method, params).await;
        assert!(response["error"].is_null(), "{response}");
        answers.push(response.to_string());
    }
    server.rpc(Some(&ann.token), "mission.update", &json!({"mission": mission, "title": "Another title"})).await;
    server.rpc(Some(&ann.token), "user.update", &json!({"user": vera, "name": "Vera the Second"})).await;
    let (before, count) = (server.look(&ann, mission).await, missions(&server, &ann).await.len());
    server.kill_nine().await;
    server.start_again().await;
    for _ in 0..2 {
        for ((method, params), answer) in calls.iter().zip(&answers) {
            assert_eq!(server.rpc(Some(&ann.token), method, params).await.to_string(), *answer);
        }
    }
    assert_eq!(server.look(&ann, mission).await, before);
    assert_eq!(missions(&server, &ann).await.len(), count);
    let people = server.call::<ListUsers>(&ann, Empty {}).await.expect("people").items;
    assert_eq!(people.iter().map(|who| who.name.as_str()).collect::<Vec<_>>(), ["ann", "ben", "Vera the Second"]);
}

const LIVES: usize = 6;
const HANDS: usize = 4;

#[tokio::test]
async fn killed_at_any_moment_every_named_call_is_there_exactly_once() {
    let mut server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut first: HashMap<String, Value> = HashMap::new();
    let mut asked: Vec<String> = Vec::new();
    let mut unanswered = 0;
    for life in 0..LIVES {
        let after = fastrand::usize(1..60);
        let hands = (0..HANDS).map(|hand| issue(&server, &ann, mission, format!("{life}.{hand}"), hand, after));
        let told = within("a life of the server", join_all(hands)).await;
        server.ended().await;
        server.start_again().await;
        for (name, answer) in told.into_iter().flatten() {
            unanswered += usize::from(answer.is_none());
            asked.push(name.clone());
            first.extend(answer.map(|answer| (name, answer)));
        }
    }
    assert!(unanswered >= LIVES, "{unanswered} calls were under way when the server was killed");
    for name in &asked {
        let (method, params) = named(mission, name);
        let answer = server.rpc(Some(&ann.token), method, &params).await;
        assert!(answer["error"].is_null(), "{answer}");
        let first = first.entry(name.clone()).or_insert_with(|| answer["result"].clone());
        assert_eq!(answer["result"], *first);
    }
    let mut there: Vec<String> = missions(&server, &ann).await.into_iter().map(|made| made.title).collect();
    there.retain(|title| title != "A piece of work");
    let log = stored_log(&server, &ann, mission).await;
    for (event, seq) in log.iter().zip(1..) {
        let frame: EventFrame = serde_json::from_str(event).expect("an event");
        if let Event::ActivityLogged { message, .. } = frame.event {
            let ack: Ack = serde_json::from_value(first[&message].clone()).expect("an acknowledgement");
            assert_eq!((ack.seq, ack.command), (seq, frame.cause.expect("a cause").command));
            there.push(message);
        }
    }
    there.sort();
    asked.sort();
    assert_eq!(there, asked, "each is there, and once");
}

/// Calls until the server is gone; the hand 0 kills it when it has had `after` answers.
async fn issue(
    server: &Server,
    who: &Member,
    mission: MissionId,
    prefix: String,
    hand: usize,
    after: usize,
) -> Vec<(String, Option<Value>)> {
    let mut told = Vec::new();
    for nth in 0.. {
        let name = format!("{prefix}.{nth}");
        let (method, params) = named(mission, &name);
        let call = server.try_rpc(who, method, &params);
        let answer = if hand == 0 && nth == after {
            tokio::join!(call, async { server.signal(nix::sys::signal::Signal::SIGKILL) }).0
        } else {
            call.await
        };
        let is_over = answer.is_none();
        let answer = answer.map(|mut answer| {
            assert!(answer["error"].is_null(), "{answer}");
            answer["result"].take()
        });
        told.push((name, answer));
        if is_over {
            break;
        }
    }
    told
}

/// The call of that name: some make missions, the others write into one.
fn named(mission: MissionId, name: &str) -> (&'static str, Value) {
    match name.bytes().last() {
        Some(b'3') => ("mission.create", json!({"title": name, "idem": name})),
        _ => ("activity.add", json!({"mission": mission, "message": name, "idem": name})),
    }
}

#[tokio::test]
async fn a_mission_that_dies_with_calls_under_way_carries_none_out_twice() {
    let server = Server::with(&["--drills"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut repeated = 0;
    for round in 0..4 {
        let mut socket = RawSocket::open(&server, &ann.token).await;
        let mut waiting: BTreeSet<u64> = (0..50).collect();
        let request = |nth: &u64| {
            let name = format!("note {round}.{nth}");
            let params = json!({"mission": mission, "message": name, "idem": name});
            json!({"jsonrpc": "2.0", "id": nth, "method": "activity.add", "params": params}).to_string()
        };
        let drill =
            json!({"jsonrpc": "2.0", "id": 1_000, "method": "drill.panic", "params": {"mission": mission}}).to_string();
        let calls: Vec<String> = waiting.iter().map(request).collect();
        let (some, more) = calls.split_at(25);
        socket.send_all(some.iter().cloned().chain([drill]).chain(more.iter().cloned())).await;
        while !waiting.is_empty() {
            let response = socket.response().await;
            let nth = response["id"].as_u64().expect("an id");
            if nth == 1_000 || response["error"].is_null() {
                waiting.remove(&nth);
            } else {
                repeated += 1;
                let fault = fault_of(&response);
                assert!(fault.data.temporary, "{fault}");
                socket.send(request(&nth)).await;
            }
        }
    }
    let log = stored_log(&server, &ann, mission).await;
    assert!(repeated > 0, "none was under way when the mission died");
    let notes: Vec<String> = log.iter().filter_map(|event| said(event)).collect();
    assert_eq!(notes.len(), 200);
    assert_eq!(notes.iter().collect::<BTreeSet<_>>().len(), 200, "{notes:?}");
}

fn said(event: &str) -> Option<String> {
    match serde_json::from_str::<EventFrame>(event).expect("an event").event {
        Event::ActivityLogged { message, .. } => Some(message),
        _ => None,
    }
}

#[tokio::test]
async fn a_name_is_a_persons_own_and_stands_for_one_call() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mo = server.member(&ann, Role::Manager, "mo").await;
    let mission = server.started(&ann, None, json!({})).await;
    let note = json!({"mission": mission, "message": "hello", "idem": "1"});
    let anns = server.rpc(Some(&ann.token), "activity.add", &note).await["result"].take();
    let mos = server.rpc(Some(&mo.token), "activity.add", &note).await["result"].take();
    assert_ne!(anns["seq"], mos["seq"], "each has a name of their own");

    let other = json!({"mission": mission, "message": "good bye", "idem": "1"});
    server.refuses(&ann, mission, "activity.add", other, Code::IdemReused).await;
    let elsewhere = json!({"mission": mission, "text": "hello", "idem": "1"});
    server.refuses(&ann, mission, "message.send", elsewhere, Code::IdemReused).await;
    let reply = server
        .post(
            &ann,
            &format!("/api/missions/{mission}/messages"),
            &[("idempotency-key", "1")],
            &json!({"text": "hello"}),
        )
        .await;
    assert_eq!((reply.status, reply.fault().code), (409, Code::IdemReused));
    // What was refused has taken nothing from the first.
    assert_eq!(server.rpc(Some(&ann.token), "activity.add", &note).await["result"], anns);
}

#[tokio::test]
async fn what_is_no_name_is_refused_and_changes_nothing() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let with = |idem: Value| json!({"mission": mission, "message": "hello", "idem": idem});
    for idem in [json!(""), json!("x".repeat(129)), json!("a\nb"), json!("\u{7f}"), json!("é".repeat(129))] {
        server.refuses(&ann, mission, "activity.add", with(idem), Code::InvalidValue).await;
    }
    for idem in [json!(7), json!(true), json!(["a"]), json!({"name": "a"})] {
        server.refuses(&ann, mission, "activity.add", with(idem), Code::InvalidParams).await;
    }
    server.refuses(&ann, mission, "mission.get", json!({"mission": mission, "idem": "a"}), Code::InvalidParams).await;
    let longest = with(json!("é".repeat(128)));
    assert!(server.rpc(Some(&ann.token), "activity.add", &longest).await["error"].is_null());
    assert!(server.rpc(Some(&ann.token), "activity.add", &with(Value::Null)).await["error"].is_null());
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again_under_its_name() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.mission(&ann, None, json!({})).await;
    let pause = json!({"mission": mission, "idem": "a pause"});
    server.refuses(&ann, mission, "mission.pause", pause.clone(), Code::IllegalTransition).await;
    server.refuses(&ann, mission, "mission.pause", pause.clone(), Code::IllegalTransition).await;
    server.rpc(Some(&ann.token), "mission.start", &json!({"mission": mission})).await;
    let paused = server.rpc(Some(&ann.token), "mission.pause", &pause).await;
    assert_eq!(paused["result"]["status"], "paused", "{paused}");
    server.rpc(Some(&ann.token), "mission.resume", &json!({"mission": mission})).await;
    assert_eq!(server.rpc(Some(&ann.token), "mission.pause", &pause).await, paused);
    assert_eq!(server.look(&ann, mission).await.status.name(), "running", "it was not paused again");
    // An account that could not be made is no account under that name either.
    let taken =
        json!({"username": "ann", "password": "a long enough password", "role": "viewer", "idem": "an account"});
    server.refuses(&ann, mission, "user.create", taken, Code::NameTaken).await;
    let free = json!({"username": "bea", "password": "a long enough password", "role": "viewer", "idem": "an account"});
    assert_eq!(server.rpc(Some(&ann.token), "user.create", &free).await["result"]["username"], "bea");
}

#[tokio::test]
async fn of_a_person_who_names_more_calls_than_are_remembered_the_oldest_are_forgotten() {
    let server = Server::with(&["--idem-calls", "3"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let note = |nth: usize| json!({"mission": mission, "message": "hello", "idem": nth.to_string()});
    let mut answers = Vec::new();
    for nth in 0..3 {
        answers.push(server.rpc(Some(&ann.token), "activity.add", &note(nth)).await);
    }
    for (nth, first) in answers.iter().enumerate() {
        assert_eq!(&server.rpc(Some(&ann.token), "activity.add", &note(nth)).await, first, "a repeat takes no place");
    }
    // Nobody is locked out for a day.
    for nth in 3..9 {
        answers.push(server.rpc(Some(&ann.token), "activity.add", &note(nth)).await);
        assert!(answers[nth]["result"]["seq"].is_u64(), "{}", answers[nth]);
    }
    for (nth, newest) in answers.iter().enumerate().skip(6) {
        assert_eq!(&server.rpc(Some(&ann.token), "activity.add", &note(nth)).await, newest);
    }
    let forgotten = server.rpc(Some(&ann.token), "activity.add", &note(0)).await;
    assert!(forgotten["result"]["seq"].as_u64() > answers[8]["result"]["seq"].as_u64(), "{forgotten}");
}

#[tokio::test]
async fn who_did_not_know_what_happened_is_told() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let known = server.look(&ann, mission).await.seq;
    let add = |title: &str, if_seq: u64| json!({"mission": mission, "title": title, "if_seq": if_seq});
    let winner = server.rpc(Some(&ann.token), "step.add", &add("first", known)).await;
    assert_eq!(winner["result"]["seq"], known + 1, "{winner}");
    server.note(&ann, mission, "and more").await.expect("a note");

    let fault = conflict(&server, &ann, "step.add", &add("second", known)).await;
    let told = fault.data.conflict.as_ref().expect("what happened");
    assert_eq!((told.seq, told.complete, fault.data.field.as_deref()), (known + 2, true, Some("if_seq")));
    assert_eq!(told.changes, frames(&server, &ann, mission).await[known as usize..]);
    assert_eq!(server.look(&ann, mission).await.plan.len(), 1);
    // Over a socket and by REST it is the same.
    let mut socket = RawSocket::open(&server, &ann.token).await;
    assert_eq!(socket.refused("step.add", add("second", known)).await, fault);
    let (path, body) = (format!("/api/missions/{mission}/steps"), json!({"title": "second", "if_seq": known}));
    let reply = server.post(&ann, &path, &[], &body).await;
    assert_eq!((reply.status, reply.fault()), (409, fault));
    let path = format!("/api/missions/{mission}?if_seq={known}");
    assert_eq!(server.request(Method::DELETE, &path, Some(&ann.token), None).await.fault().code, Code::SeqConflict);
    let now = server.rpc(Some(&ann.token), "step.add", &add("second", known + 2)).await;
    assert_eq!(now["result"]["seq"], known + 3, "{now}");

    for seq in [json!(known + 4), json!(u64::MAX)] {
        let params = json!({"mission": mission, "title": "third", "if_seq": seq});
        server.refuses(&ann, mission, "step.add", params, Code::InvalidValue).await;
    }
    for seq in [json!(-1), json!(1.5), json!(1e300), json!("3"), json!([3])] {
        let params = json!({"mission": mission, "title": "third", "if_seq": seq});
        server.refuses(&ann, mission, "step.add", params, Code::InvalidParams).await;
    }
    // Nothing is there before a mission is made.
    server.refuses(&ann, mission, "mission.create", json!({"title": "A", "if_seq": 0}), Code::InvalidParams).await;
}

#[tokio::test]
async fn a_long_conflict_tells_of_the_newest_part_also_after_a_restart() {
    let mut server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    for nth in 0..120 {
        server.note(&ann, mission, &format!("note {nth}")).await.expect("a note");
    }
    server.kill_nine().await;
    server.start_again().await;
    let log = frames(&server, &ann, mission).await;
    let note = |if_seq: u64| json!({"mission": mission, "message": "late", "if_seq": if_seq});
    let told = conflict(&server, &ann, "activity.add", &note(0)).await.data.conflict.expect("what happened");
    assert_eq!((told.seq, told.complete, told.changes.len()), (log.len() as u64, false, 100));
    assert_eq!(told.changes, log[log.len() - 100..]);
    let told = conflict(&server, &ann, "activity.add", &note(log.len() as u64 - 100)).await.data.conflict.expect("all");
    assert_eq!((told.complete, told.changes.len()), (true, 100));

    for _ in 0..30 {
        server.note(&ann, mission, &"x".repeat(3_900)).await.expect("a note");
    }
    let log = frames(&server, &ann, mission).await;
    let told =
        conflict(&server, &ann, "activity.add", &note(log.len() as u64 - 30)).await.data.conflict.expect("a part");
    assert!(!told.complete && (10..30).contains(&told.changes.len()), "{} events", told.changes.len());
    assert_eq!(told.changes, log[log.len() - told.changes.len()..]);
}

#[tokio::test]
async fn of_two_who_know_the_same_one_wins() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut tabs = [RawSocket::open(&server, &ann.token).await, RawSocket::open(&server, &ann.token).await];
    for round in 0..20 {
        let seq = server.look(&ann, mission).await.seq;
        let params = |tab: usize| json!({"mission": mission, "title": format!("{round} of {tab}"), "if_seq": seq});
        let [one, other] = &mut tabs;
        let (one, other) = tokio::join!(one.call("step.add", params(0)), other.call("step.add", params(1)));
        let (won, lost) = if one["error"].is_null() { (one, other) } else { (other, one) };
        assert_eq!(won["result"]["seq"], seq + 1, "{won} {lost}");
        let fault = fault_of(&lost);
        assert_eq!((fault.code, fault.data.conflict.expect("what happened").seq), (Code::SeqConflict, seq + 1));
    }
    assert_eq!(server.look(&ann, mission).await.plan.len(), 20);
}

async fn conflict(server: &Server, who: &Member, method: &str, params: &Value) -> Fault {
    let fault = fault_of(&server.rpc(Some(&who.token), method, params).await);
    assert_eq!(fault.code, Code::SeqConflict, "{fault}");
    fault
}

async fn frames(server: &Server, who: &Member, mission: MissionId) -> Vec<EventFrame> {
    let log = stored_log(server, who, mission).await;
    log.iter().map(|event| serde_json::from_str(event).expect("an event")).collect()
}

/// All missions.
async fn missions(server: &Server, who: &Member) -> Vec<MissionSummary> {
    let (mut all, mut query) = (Vec::new(), MissionQuery { limit: Some(200), ..MissionQuery::default() });
    loop {
        let page = server.call::<ListMissions>(who, query.clone()).await.expect("a page");
        all.extend(page.items);
        query.before = page.next;
        if query.before.is_none() {
            return all;
        }
    }
}
