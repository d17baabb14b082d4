//! The main promise: whatever is killed, nothing that anybody was told is lost.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
};

use flightdeck_protocol::{
    CommandId, Event, EventFrame, MissionId,
    model::Author,
    operations::{Ack, AddActivity, CancelMission, MissionCancel},
};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Member, Scripts, Server, Watcher, none_left, note, running_with, stored_log, within};

const KILLS: u64 = 10;
/// How much has to have happened in a life of the server before it is killed.
const ACKNOWLEDGED: usize = 6;
const SEEN: usize = 15;

/// Logs steadily, carries on behind its last checkpoint, and has a child in a session of its own.
const STEADY: &str = "
subprocess.Popen(['python3', '-S', '-c', 'import time; time.sleep(600)', __file__], start_new_session=True)
count = saved.get('count', 0)
while True:
    count += 1
    say(type='activity', message=f'line {count}')
    if count % 5 == 0:
        say(type='checkpoint', data={'count': count})
    time.sleep(0.004)
";

#[tokio::test]
async fn ten_kills_lose_nothing_that_anyone_was_told() {
    let mut server = Scripts::new().agent("steady", STEADY).serve(&["--snapshot-events", "40"]).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, Some("steady"), json!({})).await;
    let mut watchers =
        [Watcher::from_the_first(&server, &ann, mission).await, Watcher::from_the_first(&server, &ann, mission).await];
    let mut acknowledged: Vec<Ack> = Vec::new();
    for kill in 1..=KILLS {
        let life = Life {
            server: &server,
            ann: &ann,
            mission,
            kill,
            told: RefCell::default(),
            seen: Default::default(),
            killed: Cell::new(false),
        };
        let [one, other] = &mut watchers;
        within("a life of the server", async {
            tokio::join!(
                // Three hands: when one of them sees that it is time to kill, the others have a command under way.
                life.issue(0),
                life.issue(1),
                life.issue(2),
                one.drain(|new| life.saw(0, new)),
                other.drain(|new| life.saw(1, new)),
            )
        })
        .await;
        acknowledged.extend(life.told.into_inner());
        server.ended().await;
        none_left(server.home(), None).await;
        server.start_again().await;
        for watcher in &mut watchers {
            watcher.resume(&server, &ann).await;
        }
    }
    settle(&server, &ann, &mut watchers).await;

    let log = stored_log(&server, &ann, mission).await;
    for watcher in &watchers {
        assert_eq!(watcher.raw(), &log, "what a watcher saw is what is stored, to the byte");
    }
    let frames: Vec<EventFrame> = log.iter().map(|event| serde_json::from_str(event).expect("an event")).collect();
    assert!(frames.iter().map(|frame| frame.seq).eq(1..=log.len() as u64), "1 to n, without gaps");
    none_is_missing(&frames, &acknowledged);
    every_life_had_its_agent(&frames);
    assert_eq!(server.look(&ann, mission).await, *watchers[0].mission(), "the events make the state");
}

/// One life of the server, from its start to its kill.
struct Life<'a> {
    server: &'a Server,
    ann: &'a Member,
    mission: MissionId,
    kill: u64,
    /// What was acknowledged in it.
    told: RefCell<Vec<Ack>>,
    /// How many lines of the agent each watcher saw in it.
    seen: [Cell<usize>; 2],
    killed: Cell<bool>,
}

impl Life<'_> {
    /// Issues commands until the server is gone, and kills it when enough has happened.
    async fn issue(&self, hand: usize) {
        for nth in 0.. {
            let note = note(self.mission, &format!("note {nth} of hand {hand} in life {}", self.kill));
            match self.server.try_call::<AddActivity>(Some(&self.ann.token), &note).await {
                Some(Ok(ack)) => self.told.borrow_mut().push(ack),
                Some(Err(fault)) => assert!(fault.data.temporary, "{fault}"),
                None => return,
            }
            let told = self.told.borrow().len();
            if !self.killed.get() && told >= ACKNOWLEDGED && self.seen.iter().all(|seen| seen.get() >= SEEN) {
                let agents = running_with(self.server.home(), Some(self.server.pid()));
                assert!(agents.len() >= 3, "the keeper, the agent and its child run: {agents:?}");
                self.server.signal(Signal::SIGKILL);
                self.killed.set(true);
            }
        }
    }

    fn saw(&self, watcher: usize, new: &[EventFrame]) {
        let lines = new.iter().filter(|frame| matches!(frame.by, Author::Agent { .. })).count();
        self.seen[watcher].set(self.seen[watcher].get() + lines);
    }
}

/// Calls the mission off, and waits until its agent has gone and everyone has seen it.
async fn settle(server: &Server, ann: &Member, watchers: &mut [Watcher]) {
    for watcher in &mut *watchers {
        watcher.reach(watcher.seq + SEEN as u64).await;
    }
    let mission = watchers[0].id;
    server.call::<CancelMission>(ann, MissionCancel { mission, reason: None }).await.expect("an end");
    for watcher in watchers {
        watcher.until_mission("the end", |mission| mission.status.is_ended()).await;
        watcher.event("its exit", |frame| is_exit(frame, KILLS + 1)).await;
    }
    none_left(server.home(), Some(server.pid())).await;
    assert_eq!(running_with(server.home(), None).len(), 1, "the server itself");
}

fn is_exit(frame: &EventFrame, nth: u64) -> bool {
    matches!(frame.event, Event::AgentExited { incarnation, .. } if u64::from(incarnation) == nth)
}

/// Each acknowledged command is where its caller was told, once.
fn none_is_missing(frames: &[EventFrame], acknowledged: &[Ack]) {
    assert!(acknowledged.len() >= KILLS as usize * ACKNOWLEDGED);
    let causes: Vec<CommandId> = frames.iter().filter_map(|frame| Some(frame.cause.as_ref()?.command)).collect();
    for ack in acknowledged {
        let at = &frames[ack.seq as usize - 1];
        assert_eq!(at.cause.as_ref().map(|cause| cause.command), Some(ack.command), "{ack:?} is not at its place");
        assert_eq!(causes.iter().filter(|cause| **cause == ack.command).count(), 1, "{ack:?}");
    }
    let distinct: HashSet<CommandId> = acknowledged.iter().map(|ack| ack.command).collect();
    assert_eq!(distinct.len(), acknowledged.len());
    // What was under way when the server was killed is there once or not at all.
    let mut notes = HashSet::new();
    for frame in frames {
        if let Event::ActivityLogged { message, .. } = &frame.event
            && message.starts_with("note ")
        {
            assert!(notes.insert(message), "{message} is there twice");
        }
    }
}

/// A run of the agent in each life of the server, each of which carried on behind a checkpoint.
fn every_life_had_its_agent(frames: &[EventFrame]) {
    let mut runs = 0;
    let mut saved = 0;
    let mut fresh = false;
    for frame in frames {
        match &frame.event {
            Event::AgentStarted { incarnation } => {
                runs += 1;
                assert_eq!(*incarnation, runs);
                fresh = true;
            }
            Event::CheckpointSaved { data } => saved = data["count"].as_u64().expect("a count"),
            Event::ActivityLogged { message, .. } if fresh => {
                if let Some(first) = message.strip_prefix("line ") {
                    assert_eq!(first, (saved + 1).to_string(), "run {runs} carries on behind its checkpoint");
                    fresh = false;
                }
            }
            _ => {}
        }
    }
    assert_eq!(u64::from(runs), KILLS + 1);
}
