//! Tests of watchers who come back to a mission that was away: what they need is read once for all.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flightdeck_data::{
    journal::{CommitSink, FIRST_HASH, History, Journal, JournalOptions, Record, Submission},
    store::{MemoryStore, StoreError},
};
use flightdeck_protocol::{
    MissionId, OrganizationId, Timestamp, UserId,
    model::{Organization, Person, Role},
    operations::Watch,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Ends, Feed, FeedBeginning, FeedRules, Hub, MissionWatch, News, Next, Past, Subscription as _, hub::HubHandle,
};

/// How many events were stored before the mission went away.
const STORED: u64 = 600;
/// What each of them takes in bytes.
const EVENT_BYTES: usize = 100;

struct Deaf;

impl CommitSink for Deaf {
    fn committed(&self, _: u64, _: Result<(), Arc<StoreError>>) {}
}

fn event(seq: u64) -> Bytes {
    let padding = "x".repeat(EVENT_BYTES - format!("{{\"seq\":{seq},\"x\":\"\"}}").len());
    format!("{{\"seq\":{seq},\"x\":\"{padding}\"}}").into()
}

/// A mission's history on disk.
async fn stored(mission: MissionId) -> Past {
    let store = Arc::new(MemoryStore::default());
    let journal = Journal::start(store.clone(), JournalOptions::default()).unwrap();
    let generation = journal.take_over(mission).await.unwrap();
    let (mut hash, mut records) = (FIRST_HASH, Vec::new());
    for first_seq in (1..=STORED).step_by(3) {
        let (author, events) = (String::new(), (first_seq..first_seq + 3).map(event).collect());
        let record = Record { first_seq, at_ms: 0, author, cause: None, epoch: Uuid::nil(), prev_hash: hash, events };
        let record = record.seal().unwrap();
        hash = record.hash();
        records.push(record);
    }
    let sink = Arc::new(Deaf);
    journal.submit(Submission { mission, generation, ticket: 1, records, extra: Vec::new(), sink }).unwrap();
    journal.write(Vec::new()).await.unwrap();
    Past::new(History::new(store))
}

/// The feed of a mission that was just read back, with the `newest` so many of its events.
fn back(mission: MissionId, max_bytes: usize, newest: u64) -> Arc<Feed> {
    let rules = FeedRules { max_bytes, live_interval: Duration::ZERO, presence_grace: Duration::ZERO };
    let newest = (STORED + 1 - newest..=STORED).map(event).collect();
    let beginning = FeedBeginning { head: STORED, newest, activities: Vec::new() };
    Arc::new(Feed::new((mission, OrganizationId::fresh()), Uuid::nil(), beginning, rules))
}

fn watch(feed: &Arc<Feed>, past: &Past, hub: &HubHandle, cursor: u64) -> MissionWatch {
    let person = Person {
        id: UserId(Uuid::from_u128(1)),
        organization: Organization { id: feed.organization, name: "acme".to_owned() },
        username: "ann".to_owned(),
        name: "Ann".to_owned(),
        email: None,
        role: Role::Viewer,
        active: true,
        created_at: Timestamp::from_millis(0),
    };
    let watcher = feed.attach(&person, hub, Timestamp::from_millis(0)).expect("a feed that goes on");
    let wish = Watch { live: false, presence: false, ..Watch::new(feed.mission, "a", None) };
    MissionWatch::new(&wish, watcher, past.clone(), cursor)
}

/// Reads until there is nothing more; gives the positions of what came.
async fn drain(watch: &mut MissionWatch) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        match watch.next() {
            Next::Frame(parts) => {
                let frame: Value = serde_json::from_slice(&parts.concat()).unwrap();
                let events = frame["params"]["events"].as_array().unwrap().clone();
                seen.extend(events.iter().map(|event| event["seq"].as_u64().unwrap()));
            }
            Next::Load(load) => load.await.unwrap(),
            Next::Nothing => return seen,
            Next::Harmed(harm, _) => panic!("nobody planned {harm:?}"),
            Next::End(fault) => panic!("{fault}"),
        }
    }
}

fn run(test: impl AsyncFnOnce(MissionId, Past, HubHandle)) {
    actix_rt::System::new().block_on(async {
        let mission = MissionId::fresh();
        let hub = Hub::of_this_thread(|_| {});
        test(mission, stored(mission).await, hub.handle().clone()).await;
    });
}

/// Has watchers come back to all of `cursors` at once, and sees that each gets all that it lacks.
async fn return_all(feed: &Arc<Feed>, past: &Past, hub: &HubHandle, cursors: impl IntoIterator<Item = u64>) {
    let returning = cursors.into_iter().map(async |cursor| {
        let seen = drain(&mut watch(feed, past, hub, cursor)).await;
        assert_eq!(seen, (cursor + 1..=feed.head()).collect::<Vec<_>>(), "after {cursor}");
    });
    futures_util::future::join_all(returning).await;
}

#[test]
fn all_who_come_back_over_a_short_gap_cost_one_reading_together() {
    run(async |mission, past, hub| {
        let feed = back(mission, 200 * EVENT_BYTES, 0);
        return_all(&feed, &past, &hub, (0..500).map(|nth| STORED - 1 - nth % 200)).await;
        assert_eq!(past.readings(), 1);
        return_all(&feed, &past, &hub, [STORED - 200, STORED - 1, STORED]).await;
        assert_eq!(past.readings(), 1, "and nobody after them");
    });
}

#[test]
fn what_recovery_read_costs_those_who_lack_no_more_than_that_no_reading_at_all() {
    run(async |mission, past, hub| {
        let feed = back(mission, 200 * EVENT_BYTES, 30);
        return_all(&feed, &past, &hub, (0..500).map(|nth| STORED - nth % 31)).await;
        assert_eq!(past.readings(), 0);
        return_all(&feed, &past, &hub, (31..=200).map(|gap| STORED - gap)).await;
        assert_eq!(past.readings(), 1);
    });
}

#[test]
fn a_longer_gap_is_read_up_to_what_is_in_memory() {
    run(async |mission, past, hub| {
        let feed = back(mission, 200 * EVENT_BYTES, 30);
        return_all(&feed, &past, &hub, [0]).await;
        assert_eq!(past.readings(), 2, "the ring, and one page of what is before it");
    });
}

#[test]
fn what_happens_while_the_ring_is_filled_is_seen_in_its_place() {
    run(async |mission, past, hub| {
        let feed = back(mission, 200 * EVENT_BYTES, 0);
        let mut early = watch(&feed, &past, &hub, STORED - 100);
        let Next::Load(filling) = early.next() else { panic!("nothing is in memory") };
        let json = serde_json::to_vec(&json!({"seq": STORED + 1})).unwrap().into();
        feed.publish([News { json, is_log: false, is_activity: false, removes_steps: false, ends: Ends::Nothing }]);
        filling.await.unwrap();
        assert_eq!(drain(&mut early).await, (STORED - 99..=STORED + 1).collect::<Vec<_>>());
        assert_eq!(past.readings(), 1);
    });
}

#[test]
fn a_ring_that_cannot_be_filled_leaves_each_to_say_what_is_wrong() {
    run(async |mission, _, hub| {
        let (feed, nothing) = (back(mission, 1_000, 0), Past::new(History::new(Arc::new(MemoryStore::default()))));
        let mut watch = watch(&feed, &nothing, &hub, STORED - 1);
        let Next::Load(filling) = watch.next() else { panic!("nothing is in memory") };
        filling.await.unwrap();
        let Next::Load(reading) = watch.next() else { panic!("it is still not in memory") };
        let fault = reading.await.expect_err("a history that is gone");
        assert!(fault.data.temporary, "{fault}");
    });
}
