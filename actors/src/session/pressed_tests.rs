//! Sessions whose clients read slowly, or not at all, and those that wait for each other.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use flightdeck_protocol::{Timestamp, notification::Close};
use serde_json::{Value, json};
use tokio::task::yield_now;

use super::{
    Session,
    tests::{unwatch, watch},
};
use crate::{
    dispatch::Via,
    live::{ANSWER_BYTES, ANSWER_MESSAGES, Advice},
    stage::play,
};

/// What ends a session for its client.
type Blow = fn(&Session);

fn expire(session: &Session) {
    session.core.caller.borrow_mut().as_mut().unwrap().expires_at = Timestamp::now();
}

#[test]
fn who_is_cut_off_is_told_so_before_anything_that_waits_and_is_nowhere_any_more() {
    let blows: [(Blow, Close); 3] = [
        (|session| (expire(session), session.core.time_has_passed()).1, Close::TokenExpired),
        (|session| (expire(session), session.asks(9, "session.ping", json!({}))).1, Close::TokenExpired),
        (|session| (0..=ANSWER_MESSAGES).for_each(|_| session.outbox().send("{}")), Close::TooSlow),
    ];
    play(|stage| async move {
        let mission = stage.mission().await;
        for (blow, close) in blows {
            let session = stage.session(&stage.ann);
            watch(&session, 1, "mission", "a", mission);
            session.answer_to(1).await;
            let line = Rc::new(Cell::new(0));
            let ended = line.clone();
            session.outbox().when_cut_off(move || ended.update(|ended| ended + 1));
            session.asks(2, "session.ping", json!({}));
            blow(&session);
            assert_eq!(line.get(), 1, "{close:?}: the connection has its end in sight");
            assert!(session.outbox().places().is_empty(), "{close:?}");
            assert_eq!(session.tells().await.unwrap()["params"]["code"], close.code());
            assert_eq!(session.tells().await, Err(close.code()));
        }
    });
}

#[test]
fn who_cannot_be_heard_is_not_taken_to_be_silent_and_is_later() {
    play(|stage| async move {
        let session = stage.session(&stage.ann);
        let long_ago = Instant::now() - Duration::from_millis(session.rules().heartbeat.timeout_ms + 1);
        session.core.heard.set(long_ago);
        session.core.listening.set(long_ago);
        session.core.beat.set(long_ago);
        session.outbox().note_full(true);
        session.core.time_has_passed();
        assert_eq!(session.tells().await.unwrap()["method"], "session.opened");
        assert!(!session.has_news().await, "who is being sent something needs no heartbeat");
        // What it said meanwhile has yet to be read.
        session.outbox().note_full(false);
        session.core.time_has_passed();
        assert_eq!(session.tells().await.unwrap()["method"], "session.heartbeat");
        session.core.listening.set(long_ago);
        session.core.time_has_passed();
        assert_eq!(session.tells().await.unwrap()["params"]["code"], Close::Silent.code());
    });
}

#[test]
fn a_goodbye_that_is_not_taken_does_not_keep_its_connection() {
    play(|stage| async move {
        let session = stage.session(&stage.ann);
        let line = Rc::new(Cell::new(false));
        let ended = line.clone();
        session.outbox().when_cut_off(move || ended.set(true));
        session.close(Close::MessageTooLarge);
        session.core.time_has_passed();
        assert!(!line.get(), "there is time to say it");
        session.core.closing.update(|since| since.map(|since| since - Duration::from_secs(3_600)));
        session.core.time_has_passed();
        assert!(line.get());
        assert_eq!(session.tells().await.unwrap()["params"]["code"], Close::MessageTooLarge.code());
    });
}

/// So much that there is no room for anything large behind it.
fn clog(session: &Session) {
    session.outbox().send(Value::from("x".repeat(2 << 20)).to_string());
}

async fn until_nothing_is_owed(session: &Session) {
    while session.outbox().owed() > 0 {
        yield_now().await;
    }
}

#[test]
fn what_is_large_is_made_when_there_is_room_and_what_is_small_at_once() {
    play(|stage| async move {
        let mission = stage.mission().await;
        let session = stage.session(&stage.ann);
        session.tells().await.unwrap();
        clog(&session);
        watch(&session, 1, "mission", "a", mission);
        watch(&session, 2, "missions", "b", mission);
        session.asks(3, "mission.get", json!({"mission": mission}));
        session.asks(4, "auth.user", json!({}));
        session.asks(5, "session.ping", json!({}));
        session.asks(6, "mission.create", json!({"title": "Another"}));
        while session.outbox().owed() > 4 {
            yield_now().await;
        }
        let waiting = session.outbox().view().waiting_messages;
        assert_eq!(waiting, 3, "what clogs, the ping's answer, and that of the one that changes something");
        session.tells().await.unwrap();
        let mut answered = Vec::new();
        while answered.len() < 6 {
            answered.extend(session.tells().await.unwrap()["id"].as_u64());
        }
        answered.sort_unstable();
        assert_eq!(answered, [1, 2, 3, 4, 5, 6]);
        assert_eq!(session.outbox().view().watches.len(), 2);
    });
}

#[test]
fn what_there_was_room_for_is_held_against_nobody() {
    play(|stage| async move {
        let session = stage.session(&stage.ann);
        let room = session.outbox().room().await.unwrap();
        session.outbox().send_into(room, vec![b'x'; 2 * ANSWER_BYTES]);
        session.asks(1, "session.ping", json!({}));
        assert!(!session.outbox().is_closing());
        // Many that are small are too much, as ever.
        (0..ANSWER_MESSAGES).for_each(|_| session.outbox().send("{}"));
        assert!(session.outbox().is_closing());
    });
}

#[test]
fn nobody_waits_for_room_who_has_no_use_for_it() {
    let ends: [Blow; 3] = [
        |session| ["a", "b"].into_iter().zip(8..).for_each(|(sub, id)| unwatch(session, id, "mission", sub)),
        |session| session.outbox().cut_off(Close::Revoked),
        |session| session.outbox().part(Close::Restarting, Advice { after_ms: 0, jitter_ms: 0 }),
    ];
    play(|stage| async move {
        let mission = stage.mission().await;
        for (nth, end) in ends.into_iter().enumerate() {
            let session = stage.session(&stage.ann);
            clog(&session);
            watch(&session, 1, "mission", "a", mission);
            watch(&session, 2, "mission", "b", mission);
            if nth > 0 {
                (3..8).for_each(|id| session.asks(id, "mission.get", json!({"mission": mission})));
            }
            yield_now().await;
            end(&session);
            until_nothing_is_owed(&session).await;
            assert!(session.outbox().view().watches.is_empty());
        }
    });
}

#[test]
fn a_call_that_waits_for_another_of_its_name_is_not_overtaken() {
    play(|stage| async move {
        let mission = stage.mission().await;
        let step = |title: &str| json!({"mission": mission, "title": title});
        let named = |title: &str| json!({"mission": mission, "title": title, "idem": "a"});
        // Somebody who has gone began it, and what became of it is not known yet.
        let first = named("first").to_string();
        let (_, asked) = stage.desk.read("step.add", &first, Some(&stage.ann), Via::Socket).unwrap();
        let held = stage.desk.begin(&asked).await.unwrap();
        let session = stage.session(&stage.ann);
        session.tells().await.unwrap();
        session.asks(1, "step.add", named("first"));
        session.asks(2, "step.add", step("second"));
        // What comes another way is carried out meanwhile, as often as one likes.
        for nth in 0..20 {
            let ack = stage.call("step.add", step(&format!("meanwhile {nth}"))).await;
            assert!(ack.is_object());
        }
        drop(held);
        for _ in 0..2 {
            assert!(session.tells().await.unwrap()["result"].is_object());
        }
        let seen = stage.call("mission.get", json!({"mission": mission})).await;
        let titles: Vec<&Value> = seen["plan"].as_array().unwrap().iter().map(|step| &step["title"]).collect();
        assert_eq!(titles[20..], ["first", "second"]);
    });
}
