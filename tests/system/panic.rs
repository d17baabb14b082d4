//! A mission whose actor panics: it takes nothing else down, and comes back.

use flightdeck_protocol::{
    Code, Event,
    model::{MissionStatus, Role},
    operations::{AddActivity, GetMission, MessageSend, MissionRef, PanicMission, SendMessage},
};
use serde_json::json;

use crate::support::{Scripts, Server, Watcher, eventually, fault_of, note, stored_log};

/// Counts the messages that it is sent, over all its runs.
const COUNTER: &str = "
count = saved.get('count', 0)
say(type='activity', message=f'began at {count}')
while True:
    line = hear()
    if line['type'] == 'cancel':
        break
    if line['type'] == 'message':
        count += 1
        say(type='checkpoint', data={'count': count})
        say(type='activity', message=f'counted {count}')
";

#[tokio::test]
async fn a_panic_stays_in_its_mission_and_its_watchers_carry_on() {
    let server = Scripts::new().agent("counter", COUNTER).serve(&["--drills"]).await;
    let ann = server.admin("ann").await;
    let unlucky = server.started(&ann, Some("counter"), json!({})).await;
    let neighbour = server.started(&ann, Some("counter"), json!({})).await;
    let mut watcher = Watcher::from_the_first(&server, &ann, unlucky).await;
    let mut next_door = Watcher::from_the_first(&server, &ann, neighbour).await;
    for watcher in [&mut watcher, &mut next_door] {
        watcher.event("the agents", said("began at 0")).await;
    }
    for nth in 1..=3 {
        let message = MessageSend { mission: unlucky, text: "count".to_owned() };
        server.call::<SendMessage>(&ann, message).await.expect("a message");
        watcher.event("the count", said(&format!("counted {nth}"))).await;
        server.call::<PanicMission>(&ann, MissionRef { mission: unlucky }).await.expect("a panic");
        // The same socket, and no gap: `Watcher` looks at every position.
        watcher.event("its exit", |frame| matches!(frame.event, Event::AgentExited { .. })).await;
        watcher.event("the agent again", said(&format!("began at {nth}"))).await;
        assert!(!watcher.ended);
    }
    let message = MessageSend { mission: neighbour, text: "count".to_owned() };
    server.call::<SendMessage>(&ann, message).await.expect("a message");
    next_door.event("the count", said("counted 1")).await;
    let exits = next_door.events().iter().filter(|frame| matches!(frame.event, Event::AgentExited { .. }));
    assert_eq!(exits.count(), 0, "the neighbour's agent went on");
    assert_eq!(&stored_log(&server, &ann, unlucky).await[..watcher.raw().len()], watcher.raw().as_slice());
    server.still_works(&ann).await;
}

fn said(wanted: &str) -> impl Fn(&flightdeck_protocol::EventFrame) -> bool + use<> {
    let wanted = wanted.to_owned();
    move |frame| matches!(&frame.event, Event::ActivityLogged { message, .. } if *message == wanted)
}

#[tokio::test]
async fn commands_that_meet_a_panic_are_carried_out_once_or_not_at_all() {
    let server = Server::with(&["--drills"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut watcher = Watcher::from_the_first(&server, &ann, mission).await;
    let issue = async {
        let mut acknowledged = Vec::new();
        for nth in 0..120 {
            match server.note(&ann, mission, &format!("note {nth}")).await {
                Ok(ack) => acknowledged.push(ack),
                Err(fault) => assert_eq!(fault.code, Code::MissionRestarting, "{fault}"),
            }
        }
        acknowledged
    };
    let panics = async {
        for _ in 0..4 {
            let seq = watcher.seq;
            watcher.reach(seq + 10).await;
            let panicked = server.call::<PanicMission>(&ann, MissionRef { mission }).await;
            assert!(panicked.is_ok_and(|_| true));
        }
    };
    let (acknowledged, ()) = tokio::join!(issue, panics);
    let last = server.note(&ann, mission, "the last").await.expect("a note");
    watcher.reach(last.seq).await;
    let log = stored_log(&server, &ann, mission).await;
    assert_eq!(watcher.raw(), &log);
    for ack in acknowledged {
        let cause = watcher.events()[ack.seq as usize - 1].cause.as_ref().map(|cause| cause.command);
        assert_eq!(cause, Some(ack.command), "{ack:?}");
    }
}

#[tokio::test]
async fn a_mission_that_keeps_panicking_is_set_aside_and_the_others_run_on() {
    let server = Server::with(&["--drills"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let neighbour = server.started(&ann, None, json!({})).await;
    let aside = eventually("the mission to be set aside", || async {
        match server.call::<PanicMission>(&ann, MissionRef { mission }).await {
            Err(fault) if fault.code == Code::MissionQuarantined => Some(fault),
            Err(fault) => {
                assert_eq!(fault.code, Code::MissionRestarting);
                None
            }
            Ok(_) => None,
        }
    });
    let fault = aside.await;
    assert!(fault.message.contains("set aside"), "{fault}");
    assert!(!fault.data.temporary);
    let fault = server.call::<GetMission>(&ann, MissionRef { mission }).await.expect_err("set aside");
    assert_eq!(fault.code, Code::MissionQuarantined);
    let fault = server.call::<AddActivity>(&ann, note(mission, "hello?")).await.expect_err("set aside");
    assert_eq!(fault.code, Code::MissionQuarantined);
    assert_eq!(server.look(&ann, neighbour).await.status, MissionStatus::Running);
    server.still_works(&ann).await;
}

#[tokio::test]
async fn drills_are_for_admins_of_servers_that_allow_them() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    server.refuses(&ann, mission, "drill.panic", json!({"mission": mission}), Code::DrillsOff).await;
    let max = server.member(&ann, Role::Manager, "max").await;
    let refused = server.rpc(Some(&max.token), "drill.panic", &json!({"mission": mission})).await;
    assert_eq!(fault_of(&refused).code, Code::Forbidden);
}
