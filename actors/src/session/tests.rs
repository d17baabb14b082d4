//! Sessions at a desk of their own, in moments that no client can hit at will.

use std::sync::mpsc;

use flightdeck_data::{people::AccessChange, store::Space};
use flightdeck_protocol::{
    Code, MissionId, SessionId, UserId,
    model::{Person, Role},
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::yield_now};

use super::Session;
use crate::stage::{Stage, play};

const KINDS: [&str; 3] = ["mission", "missions", "inbox"];

pub(super) fn watch(session: &Session, id: u64, kind: &str, sub: &str, mission: MissionId) {
    let params = if kind == "mission" { json!({"mission": mission, "sub": sub}) } else { json!({"sub": sub}) };
    session.asks(id, &format!("{kind}.watch"), params);
}

pub(super) fn unwatch(session: &Session, id: u64, kind: &str, sub: &str) {
    session.asks(id, &format!("{kind}.unwatch"), json!({"sub": sub}));
}

fn code(answer: &Value) -> Option<i64> {
    answer["error"]["code"].as_i64()
}

fn refused(answer: &Value, with: Code) {
    assert_eq!(code(answer), Some(i64::from(with.number())), "{answer}");
}

/// Keeps the mission from doing anything until what is given back is dropped.
async fn hold(stage: &Stage, mission: MissionId) -> mpsc::Sender<()> {
    let handle = stage.desk.registry.find(mission, stage.ann.person.organization.id).await.unwrap();
    let (held, wait) = mpsc::channel::<()>();
    let (begun, begins) = oneshot::channel();
    actix_rt::spawn(async move {
        let holding = handle.look(move |_| {
            begun.send(()).unwrap();
            wait.recv()
        });
        assert!(holding.await.unwrap().is_err(), "nothing is ever sent");
    });
    begins.await.unwrap();
    held
}

#[test]
fn a_watch_that_is_ended_before_it_stands_never_does() {
    play(|stage| async move {
        let mission = stage.mission().await;
        let session = stage.session(&stage.ann);
        for round in 0..20 {
            for (nth, kind) in KINDS.into_iter().enumerate() {
                let id = round * 10 + nth as u64 * 2;
                watch(&session, id, kind, "a", mission);
                unwatch(&session, id + 1, kind, "a");
                assert_eq!(session.answer_to(id + 1).await["result"], json!({}));
                refused(&session.answer_to(id).await, Code::Unwatched);
            }
        }
        assert!(session.outbox().view().watches.is_empty());
        // There is as much room as ever.
        for nth in 0..4 {
            watch(&session, 1_000 + nth, "mission", &format!("watch {nth}"), mission);
            assert!(session.answer_to(1_000 + nth).await["result"].is_object());
        }
        watch(&session, 1_004, "mission", "one more", mission);
        refused(&session.answer_to(1_004).await, Code::LimitReached);
        assert_eq!(session.outbox().view().watches.len(), 4);
    });
}

#[test]
fn a_name_is_free_again_as_soon_as_its_watch_is_ended_and_another_kind_does_not_end_it() {
    play(|stage| async move {
        let mission = stage.mission().await;
        let session = stage.session(&stage.ann);
        for (nth, kind) in KINDS.into_iter().enumerate() {
            let (id, other) = (nth as u64 * 10, KINDS[(nth + 1) % 3]);
            watch(&session, id, kind, kind, mission);
            watch(&session, id + 1, kind, kind, mission);
            refused(&session.answer_to(id + 1).await, Code::SubscriptionTaken);
            unwatch(&session, id + 2, kind, kind);
            assert_eq!(session.answer_to(id + 2).await["result"], json!({}));
            unwatch(&session, id + 3, kind, kind);
            refused(&session.answer_to(id + 3).await, Code::SubscriptionNotFound);
            watch(&session, id + 4, kind, kind, mission);
            unwatch(&session, id + 5, other, kind);
            refused(&session.answer_to(id + 5).await, Code::SubscriptionNotFound);
            // Which of the two comes first is nobody's business.
            let mut answers = [None, None];
            while answers.iter().any(Option::is_none) {
                let told = session.tells().await.unwrap();
                if let Some(nth) = [id, id + 4].iter().position(|asked| told["id"] == *asked) {
                    answers[nth] = Some(told);
                }
            }
            let [Some(ended), Some(stands)] = &answers else { unreachable!("both were heard") };
            refused(ended, Code::Unwatched);
            assert!(stands["result"].is_object(), "{stands}");
            assert!(session.outbox().is_watching(kind));
        }
        assert_eq!(session.outbox().view().watches.len(), 3);
    });
}

#[test]
fn a_watch_stands_for_its_owner_as_they_are_by_then() {
    play(|stage| async move {
        let mission = stage.mission().await;
        let mel = stage.member(Role::Manager, "mel").await;
        let session = stage.session(&mel);
        let held = hold(&stage, mission).await;
        watch(&session, 1, "mission", "a", mission);
        yield_now().await;
        stage.call("user.update", json!({"user": mel.person.id, "role": "viewer"})).await;
        drop(held);
        assert!(session.answer_to(1).await["result"].is_object());
        assert_eq!(present(&session).await["role"], "viewer");
    });
}

/// The first of those who are there, by the next word of it.
async fn present(session: &Session) -> Value {
    loop {
        let mut told = session.tells().await.unwrap();
        if told["method"] == "mission.presence" {
            return told["params"]["people"][0].take();
        }
    }
}

#[test]
fn nobody_begins_to_watch_of_whom_nothing_is_known_any_more() {
    play(|stage| async move {
        let mission = stage.mission().await;
        let mel = stage.member(Role::Manager, "mel").await;
        let session = stage.session(&mel);
        let held = hold(&stage, mission).await;
        watch(&session, 1, "mission", "a", mission);
        yield_now().await;
        stage.store.fail_reads(Some(Space::People));
        stage.desk.hubs.access_changed(AccessChange::Person(Box::new(mel.person)));
        drop(held);
        refused(&session.answer_to(1).await, Code::StoreUnavailable);
        stage.store.fail_reads(None);
        assert!(session.outbox().view().watches.is_empty());
        watch(&session, 2, "mission", "a", mission);
        assert!(session.answer_to(2).await["result"].is_object(), "the name is free, and she may");
    });
}

#[test]
fn who_is_sent_away_while_a_watch_is_made_gets_none() {
    play(|stage| async move {
        let mission = stage.mission().await;
        for nth in 0..2 {
            let mel = stage.member(Role::Manager, &format!("mel-{nth}")).await;
            let session = stage.session(&mel);
            session.tells().await.unwrap();
            let held = hold(&stage, mission).await;
            watch(&session, 1, "mission", "a", mission);
            yield_now().await;
            match nth {
                0 => drop(stage.call("user.update", json!({"user": mel.person.id, "active": false})).await),
                _ => assert_eq!(stage.desk.sign_ins.revoke_all(mel.person.id).await.unwrap(), 1),
            }
            drop(held);
            only_a_goodbye(&session).await;
            assert!(session.outbox().view().watches.is_empty());
        }
    });
}

/// What is heard from now on is that the session is over, and nothing else.
async fn only_a_goodbye(session: &Session) {
    assert_eq!(session.tells().await.unwrap()["method"], "session.closing");
    assert_eq!(session.tells().await, Err(4501));
}

#[test]
fn what_asks_for_no_answer_gets_none_also_when_it_fails() {
    play(|stage| async move {
        let session = stage.session(&stage.ann);
        session.tells().await.unwrap();
        let nowhere = MissionId::fresh();
        let missing = json!({"mission": nowhere, "sub": "a"});
        for (method, params) in [
            ("no.such.method", json!({})),
            ("mission.get", json!({"mission": 1})),
            ("mission.unwatch", json!({"sub": "a"})),
            ("mission.watch", json!({"mission": nowhere, "sub": ""})),
            ("mission.watch", missing.clone()),
            ("mission.get", json!({"mission": nowhere})),
        ] {
            session.on_text(&json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string());
            session.on_text(&json!({"jsonrpc": "2.0", "id": null, "method": method, "params": params}).to_string());
        }
        for (id, method) in [(1, "mission.watch"), (2, "mission.get")] {
            let params = if id == 1 { json!({"mission": nowhere, "sub": "b"}) } else { json!({"mission": nowhere}) };
            session.asks(id, method, params);
            let told = session.tells().await.unwrap();
            assert_eq!(told["id"], id, "{told}");
            refused(&told, Code::MissionNotFound);
        }
        // What cannot be told apart from a request is.
        session.on_text("{}");
        let told = session.tells().await.unwrap();
        assert_eq!(told["id"], Value::Null);
        refused(&told, Code::InvalidRequest);
        assert!(!session.has_news().await);
    });
}

#[test]
fn who_has_lost_access_is_sent_away_also_when_nobody_can_be_looked_up() {
    play(|stage| async move {
        let others = stage.session(&stage.ann);
        others.tells().await.unwrap();
        for nth in 0..3 {
            let mel = stage.member(Role::Manager, &format!("mel-{nth}")).await;
            let session = stage.session(&mel);
            session.tells().await.unwrap();
            watch(&session, 1, "inbox", "a", MissionId::fresh());
            session.answer_to(1).await;
            stage.store.fail_reads(Some(Space::People));
            stage.desk.hubs.access_changed(match nth {
                0 => AccessChange::Ended(vec![mel.session]),
                1 => AccessChange::EndedAll(mel.person.id),
                _ => AccessChange::Person(Box::new(Person { active: false, ..mel.person })),
            });
            only_a_goodbye(&session).await;
            assert!(session.outbox().view().watches.is_empty());
            stage.store.fail_reads(None);
        }
        others.asks(1, "session.ping", json!({}));
        assert!(others.tells().await.unwrap()["result"].is_object());
    });
}

#[test]
fn another_role_is_shown_to_those_who_watch() {
    play(|stage| async move {
        let mission = stage.mission().await;
        let mel = stage.member(Role::Manager, "mel").await;
        let session = stage.session(&mel);
        watch(&session, 1, "mission", "a", mission);
        assert_eq!(present(&session).await["role"], "manager");
        stage.call("user.update", json!({"user": mel.person.id, "role": "approver"})).await;
        assert_eq!(present(&session).await["role"], "approver");
    });
}

#[test]
fn what_concerns_others_makes_nobody_look_who_they_are() {
    play(|stage| async move {
        let session = stage.session(&stage.ann);
        session.tells().await.unwrap();
        let ask = |id| {
            let before = stage.store.reads();
            session.asks(id, "session.ping", json!({}));
            stage.store.reads() > before
        };
        ask(0);
        let mut looked = 0;
        for id in 1..=200 {
            stage.desk.hubs.access_changed(AccessChange::Ended(vec![SessionId::fresh()]));
            stage.desk.hubs.access_changed(AccessChange::EndedAll(UserId::fresh()));
            looked += usize::from(ask(id));
        }
        // By chance she shares a counter with one of them now and then.
        assert!(looked < 20, "{looked} of 200 sign-outs of others made her session look");
        for change in [
            AccessChange::Ended(vec![SessionId::fresh(), stage.ann.session]),
            AccessChange::EndedAll(stage.ann.person.id),
            AccessChange::Person(Box::new(stage.ann.person.clone())),
        ] {
            stage.desk.hubs.access_changed(change);
            assert!(ask(1_000));
        }
    });
}

#[test]
fn what_was_said_before_a_watch_was_ended_was_said() {
    play(|stage| async move {
        let mission = stage.mission().await;
        let session = stage.session(&stage.ann);
        watch(&session, 1, "mission", "a", mission);
        session.answer_to(1).await;
        session.asks(2, "presence.set", json!({"mission": mission, "typing": true}));
        unwatch(&session, 3, "mission", "a");
        session.asks(4, "presence.set", json!({"mission": mission, "typing": true}));
        for _ in 2..=4 {
            let mut told = session.tells().await.unwrap();
            while told["id"].is_null() {
                told = session.tells().await.unwrap();
            }
            match told["id"].as_u64() {
                Some(4) => refused(&told, Code::SubscriptionNotFound),
                _ => assert_eq!(told["result"], json!({}), "{told}"),
            }
        }
    });
}
