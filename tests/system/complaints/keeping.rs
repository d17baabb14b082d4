//! Complaints about what is kept: nothing is overwritten with blank, nothing said is lost, no work dies with its audience.

use std::{ops::ControlFlow, path::PathBuf};

use flightdeck_data::store::{Direction, SledOptions, SledStore, Space, Store as _, Write, scan_prefix};
use flightdeck_protocol::{
    Code, MissionId,
    model::{ApprovalStatus, MissionStatus},
    operations::{AddActivity, AnswerApproval, ApprovalReply, MissionRef, StartMission},
};
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Scripts, Server, Watcher, note, stored_log};

type Entry = (Vec<u8>, Vec<u8>);

/// The records of `mission` in the store of a server that does not run.
fn records(store: &SledStore, mission: MissionId) -> Vec<Entry> {
    let mut found = Vec::new();
    scan_prefix(store, Space::Records, mission.as_bytes(), Direction::Forward, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })
    .expect("a readable store");
    found
}

fn open(folder: PathBuf) -> SledStore {
    SledStore::open(&folder, SledOptions::default()).expect("a store")
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_never_written_over() {
    let mut server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({"keep": "me"})).await;
    for nth in 0..5 {
        server.note(&ann, mission, &format!("note {nth}")).await.expect("a note");
    }
    let before = server.look(&ann, mission).await;
    assert!(server.stop().await.success());

    let folder = server.data().join("store");
    let store = open(folder.clone());
    let good = records(&store, mission);
    let (key, value) = good[good.len() / 2].clone();
    let mut bad = value.clone();
    *bad.last_mut().expect("a value") ^= 0x20;
    store.commit(&[Write::put(Space::Records, key.clone(), bad)]).expect("a write");
    let damaged = records(&store, mission);
    drop(store);

    server.start_again().await;
    for method in ["mission.get", "mission.pause", "mission.delete"] {
        let answer = server.rpc(Some(&ann.token), method, &json!({"mission": mission})).await;
        assert_eq!(answer["error"]["code"], Code::MissionQuarantined.number(), "{method}: {answer}");
    }
    server.note(&ann, mission, "over it").await.expect_err("a mission that is set aside");
    server.still_works(&ann).await;
    assert!(server.stop().await.success());

    let store = open(folder);
    assert_eq!(records(&store, mission), damaged, "what could not be read was left alone");
    store.commit(&[Write::put(Space::Records, key, value)]).expect("a write");
    drop(store);
    server.start_again().await;
    assert_eq!(server.look(&ann, mission).await, before, "and what is mended is whole");
}

#[tokio::test]
async fn a_stop_in_the_middle_of_work_loses_nothing_that_was_acknowledged() {
    let mut server = Server::start().await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    let notes: Vec<_> = (0..200)
        .map(|nth| {
            let params = note(mission, &format!("note {nth}"));
            let (server, ann) = (&server, &ann);
            async move {
                let outcome = server.try_call::<AddActivity>(Some(&ann.token), &params).await;
                outcome.and_then(Result::ok).map(|ack| (nth, ack.seq))
            }
        })
        .collect();
    let stop = async {
        // As soon as some of them are in: the others are on their way.
        let mut watcher = Watcher::snapshot(&server, &ann, mission).await;
        watcher.until_mission("a few notes", |mission| mission.activity_count >= 20).await;
        server.signal(Signal::SIGTERM);
    };
    let (acknowledged, ()) = tokio::join!(join_all(notes), stop);
    let acknowledged: Vec<(usize, u64)> = acknowledged.into_iter().flatten().collect();
    assert!(acknowledged.len() >= 20);
    assert!(server.ended().await.success());
    server.start_again().await;
    let log = stored_log(&server, &ann, mission).await;
    for (nth, seq) in acknowledged {
        let event = &log[seq as usize - 1];
        assert!(event.contains(&format!("\"note {nth}\"")), "note {nth} is not at {seq}: {event}");
    }
}

/// Works, asks in the middle, and is done when it is answered.
const ASKS: &str = "
say(type='activity', message='at work')
say(type='ask', key='go', prompt='Go on?', options=[{'id': 'yes', 'label': 'Yes'}, {'id': 'no', 'label': 'No'}])
while True:
    line = hear()
    if line['type'] == 'answer':
        say(type='activity', message=f\"was told {line['option']}\")
        say(type='done')
        break
    if line['type'] == 'cancel':
        break
";

#[tokio::test]
async fn an_agent_needs_no_audience() {
    let mut server = Scripts::new().agent("asks", ASKS).serve(&[]).await;
    let ann = server.admin("ann").await;
    let mission = server.mission(&ann, Some("asks"), json!({})).await;
    let mut watcher = Watcher::snapshot(&server, &ann, mission).await;
    server.call::<StartMission>(&ann, MissionRef { mission }).await.expect("a start");
    watcher.event("a first sign of life", |_| true).await;
    // The only socket goes while the agent is at work, and the server after it.
    watcher.session.close().await;
    watcher.until_closed().await;
    let mut later = Watcher::snapshot(&server, &ann, mission).await;
    later.until_mission("the question", |mission| mission.status == MissionStatus::Waiting).await;
    server.kill_nine().await;
    server.start_again().await;

    let waiting = server.look(&ann, mission).await;
    assert_eq!(waiting.approvals.len(), 1);
    assert_eq!(
        waiting.approvals[0].status,
        ApprovalStatus::Pending,
        "nobody has said no, so nothing is taken for a no"
    );
    let approval = waiting.approvals[0].id;
    let reply = ApprovalReply { mission, approval, option: Some("yes".to_owned()), text: None };
    server.call::<AnswerApproval>(&ann, reply).await.expect("an answer");
    let end = server.end_of(&ann, mission).await;
    assert_eq!(end.status, MissionStatus::Completed);
    assert!(end.activity.iter().any(|activity| activity.message == "was told yes"));
}
