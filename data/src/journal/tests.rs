//! The journal and history together: what goes down, who is told, and what is noticed.

use std::{
    ops::ControlFlow,
    sync::{Arc, mpsc},
    time::Duration,
};

use bytes::Bytes;
use flightdeck_protocol::MissionId;
use uuid::Uuid;

use super::{
    CommitSink, FIRST_HASH, History, HistoryError, Journal, JournalError, JournalOptions, Record, SealedRecord,
    Submission, record::chunk_key,
};
use crate::store::{
    Direction, MAX_VALUE, MemoryStore, SledOptions, SledStore, Space, Store, StoreError, Write, faulty::FaultyStore,
    scan_prefix,
};

/// Sends on what it is told.
struct Ear(mpsc::Sender<(u64, Result<(), Arc<StoreError>>)>);

impl CommitSink for Ear {
    fn committed(&self, up_to: u64, outcome: Result<(), Arc<StoreError>>) {
        let _ = self.0.send((up_to, outcome));
    }
}

/// One life of a mission that writes numbered events.
struct Life {
    mission: MissionId,
    generation: u64,
    next_seq: u64,
    ticket: u64,
    hash: [u8; 32],
    sink: Arc<Ear>,
    told: mpsc::Receiver<(u64, Result<(), Arc<StoreError>>)>,
}

impl Life {
    fn new(mission: u128, generation: u64) -> Self {
        let (ear, told) = mpsc::channel();
        let mission = MissionId(Uuid::from_u128(mission));
        Self { mission, generation, next_seq: 1, ticket: 0, hash: FIRST_HASH, sink: Arc::new(Ear(ear)), told }
    }

    fn record(&mut self, events: u64) -> SealedRecord {
        let record = Record {
            first_seq: self.next_seq,
            at_ms: 1,
            author: "a".to_owned(),
            cause: None,
            epoch: Uuid::from_u128(1),
            prev_hash: self.hash,
            events: (self.next_seq..self.next_seq + events).map(|seq| Bytes::from(format!("event {seq}"))).collect(),
        };
        let sealed = record.seal().unwrap();
        self.next_seq += events;
        self.hash = sealed.hash();
        sealed
    }

    fn submit(&mut self, journal: &Journal, events: u64) -> Result<(), JournalError> {
        let records = if events > 0 { vec![self.record(events)] } else { vec![] };
        self.ticket += 1;
        let extra = vec![Write::put(Space::Index, *self.mission.as_bytes(), self.next_seq.to_string())];
        let (mission, generation, ticket) = (self.mission, self.generation, self.ticket);
        journal.submit(Submission { mission, generation, ticket, records, extra, sink: self.sink.clone() })
    }

    /// What the sink is told next.
    fn told(&self) -> (u64, Result<(), Arc<StoreError>>) {
        self.told.recv_timeout(Duration::from_secs(20)).expect("the sink is told")
    }

    /// Waits until `ticket` is down.
    fn wait_for(&self, ticket: u64) {
        while self.told().0 < ticket {}
    }
}

fn start(store: &FaultyStore) -> (Journal, History) {
    let store: Arc<dyn Store> = Arc::new(store.clone());
    (Journal::start(Arc::clone(&store), JournalOptions::default()).unwrap(), History::new(store))
}

fn faulty() -> FaultyStore {
    FaultyStore::new(Arc::new(MemoryStore::default()))
}

/// Holds the journal in a commit of something else, so that what is queued next waits together.
fn occupy(store: &FaultyStore, journal: &Journal) {
    store.hold_commits();
    drop(journal.write(vec![Write::put(Space::Meta, "occupied", "")]));
    store.wait_until_held();
}

fn chunks(store: &dyn Store) -> usize {
    let mut count = 0;
    scan_prefix(store, Space::Records, b"", Direction::Forward, &mut |_, _| {
        count += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    count
}

fn all(history: &History, life: &Life) -> Result<Vec<(u64, Bytes)>, HistoryError> {
    history.read(life.mission, 1, u64::MAX, usize::MAX).map(|page| page.events)
}

fn expected(range: std::ops::RangeInclusive<u64>) -> Vec<(u64, Bytes)> {
    range.map(|seq| (seq, Bytes::from(format!("event {seq}")))).collect()
}

#[test]
fn what_waits_together_goes_down_together() {
    let store = faulty();
    let (journal, history) = start(&store);
    occupy(&store, &journal);
    let (mut anna, mut ben) = (Life::new(1, 0), Life::new(2, 0));
    for _ in 0..10 {
        anna.submit(&journal, 2).unwrap();
        ben.submit(&journal, 1).unwrap();
    }
    store.release_commits();
    let (up_to, outcome) = anna.told();
    assert_eq!(up_to, 10, "one call with the highest ticket");
    outcome.unwrap();
    assert_eq!(ben.told().0, 10);
    assert_eq!(store.commits(), 2, "what occupied it, and everything else");
    assert_eq!(chunks(&store), 2, "one value a mission");
    assert_eq!(all(&history, &anna).unwrap(), expected(1..=20));
    assert_eq!(all(&history, &ben).unwrap(), expected(1..=10));
    journal.shutdown();
    let stats = journal.stats();
    assert_eq!((stats.batches, stats.entries, stats.records, stats.chunks), (2, 21, 20, 2));
    assert_eq!((stats.largest_batch_entries, stats.failed_batches, stats.queued_entries), (20, 0, 0));
}

#[test]
fn nobody_is_told_before_it_is_down() {
    let store = faulty();
    let (journal, history) = start(&store);
    let mut life = Life::new(1, 0);
    store.hold_commits();
    life.submit(&journal, 1).unwrap();
    store.wait_until_held();
    assert!(life.told.try_recv().is_err());
    store.release_commits();
    life.told().1.unwrap();
    assert_eq!(all(&history, &life).unwrap(), expected(1..=1));
}

#[test]
fn pages_are_gapless_wherever_they_begin() {
    let store = faulty();
    let (journal, history) = start(&store);
    let mut life = Life::new(1, 0);
    for round in 0..30 {
        life.submit(&journal, 1 + round % 4).unwrap();
        if round % 7 == 0 {
            life.wait_for(life.ticket);
        }
    }
    journal.shutdown();
    let last = life.next_seq - 1;
    assert_eq!(history.last_seq(life.mission).unwrap(), last);
    for from in 1..=last {
        let mut events = Vec::new();
        let mut next = Some(from);
        while let Some(from) = next {
            let page = history.read(life.mission, from, last - 1, 30).unwrap();
            assert!(page.events.len() <= 4, "thirty bytes hold no more");
            events.extend(page.events);
            next = page.next;
        }
        assert_eq!(events, expected(from..=last - 1));
    }
    assert_eq!(history.read(life.mission, last + 1, u64::MAX, 1).unwrap().events, []);
    let stranger = MissionId(Uuid::from_u128(99));
    assert_eq!(history.read(stranger, 1, u64::MAX, 1).unwrap().events, []);
    assert_eq!(history.last_seq(stranger).unwrap(), 0);

    let back = |before, max| {
        let mut seqs: Vec<u64> = Vec::new();
        history
            .read_back(life.mission, before, max, |seq, event| {
                assert_eq!(*event, format!("event {seq}"));
                seqs.push(seq);
                ControlFlow::Continue(())
            })
            .unwrap();
        seqs
    };
    assert!(back(u64::MAX, usize::MAX).into_iter().eq((1..=last).rev()));
    assert_eq!(back(10, 3), [9, 8, 7]);
    assert!(back(1, 3).is_empty());
    assert!(back(10, 0).is_empty());
    let mut seen = Vec::new();
    let enough = history.read_back(life.mission, 10, 100, |seq, _| {
        seen.push(seq);
        if seen.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(enough.is_ok(), "who has seen enough misses no beginning: {enough:?}");
    assert_eq!(seen, [9, 8]);
}

#[test]
fn a_failed_commit_is_told_to_everyone_and_ends_the_generation() {
    let store = faulty();
    let (journal, history) = start(&store);
    let mut life = Life::new(1, 1);
    let mut other = Life::new(2, 1);
    life.submit(&journal, 1).unwrap();
    life.told().1.unwrap();

    occupy(&store, &journal);
    store.fail_commits(true);
    life.submit(&journal, 1).unwrap();
    other.submit(&journal, 1).unwrap();
    store.release_commits();
    assert!(matches!(life.told(), (2, Err(_))));
    assert!(matches!(other.told(), (1, Err(_))));
    store.fail_commits(false);

    // Another submission of the same life builds on what was lost.
    life.submit(&journal, 1).unwrap();
    let (ticket, outcome) = life.told();
    assert_eq!(ticket, 3);
    assert!(matches!(*outcome.unwrap_err(), StoreError::Superseded));
    assert_eq!(all(&history, &life).unwrap(), expected(1..=1));

    // The next life starts from the store.
    let generation = block_on(journal.take_over(life.mission)).unwrap();
    let mut next = Life::new(1, generation.max(2));
    let replayed = history.replay(next.mission, 0, FIRST_HASH, |_| Ok(())).unwrap();
    (next.next_seq, next.hash) = (replayed.last_seq + 1, replayed.last_hash);
    next.submit(&journal, 1).unwrap();
    next.told().1.unwrap();
    assert_eq!(all(&history, &life).unwrap(), expected(1..=2));
    assert_eq!(journal.stats().failed_batches, 2);
}

#[test]
fn a_new_life_waits_for_the_old_one_and_shuts_it_out() {
    let store = faulty();
    let (journal, history) = start(&store);
    let mission = MissionId(Uuid::from_u128(1));
    let first = block_on(journal.take_over(mission)).unwrap();
    let mut old = Life::new(1, first);
    occupy(&store, &journal);
    old.submit(&journal, 3).unwrap();
    let second = journal.take_over(mission);
    old.submit(&journal, 1).unwrap();
    store.release_commits();
    let second = block_on(second).unwrap();
    assert!(second > first);
    assert_eq!(history.last_seq(mission).unwrap(), 3, "what was queued before is down");
    assert!(matches!(old.told(), (1, Ok(()))));
    assert!(matches!(old.told(), (2, Err(_))), "what came after is refused");
}

#[test]
fn a_full_queue_refuses_and_does_nothing() {
    let store = faulty();
    let inner: Arc<dyn Store> = Arc::new(store.clone());
    let options = JournalOptions { queue_entries: 3, queue_bytes: 10_000, ..JournalOptions::default() };
    let journal = Journal::start(inner, options).unwrap();
    occupy(&store, &journal);
    let mut life = Life::new(1, 0);
    for _ in 0..3 {
        life.submit(&journal, 1).unwrap();
    }
    assert!(matches!(life.submit(&journal, 1), Err(JournalError::Full)));
    assert!(matches!(block_on(journal.write(vec![])), Err(JournalError::Full)));
    assert_eq!(journal.stats().queued_entries, 3);
    store.release_commits();
    life.wait_for(3);

    // By bytes; but one large entry alone is taken.
    occupy(&store, &journal);
    let large = || journal.write(vec![Write::put(Space::Meta, "large", vec![0; 20_000])]);
    let first = large();
    assert!(matches!(block_on(large()), Err(JournalError::Full)));
    store.release_commits();
    block_on(first).unwrap();
}

#[test]
fn what_the_store_cannot_take_is_refused_at_the_door() {
    let store = faulty();
    let (journal, _) = start(&store);
    let outcome = block_on(journal.write(vec![Write::put(Space::Meta, "k", vec![0; MAX_VALUE + 1])]));
    assert!(matches!(outcome, Err(JournalError::TooLarge(_))));
    assert_eq!(store.commits(), 0);
}

#[test]
fn a_stopped_journal_has_done_what_it_took_and_takes_no_more() {
    let store = faulty();
    let (journal, history) = start(&store);
    let mut life = Life::new(1, 0);
    occupy(&store, &journal);
    for _ in 0..100 {
        life.submit(&journal, 1).unwrap();
    }
    store.release_commits();
    journal.shutdown();
    journal.shutdown();
    assert_eq!(history.last_seq(life.mission).unwrap(), 100);
    assert!(matches!(life.submit(&journal, 1), Err(JournalError::Closed)));
}

#[test]
fn a_panicking_sink_harms_nobody_else() {
    struct Grenade;
    impl CommitSink for Grenade {
        fn committed(&self, _: u64, _: Result<(), Arc<StoreError>>) {
            panic!("on purpose");
        }
    }
    let store = faulty();
    let (journal, _) = start(&store);
    let mission = MissionId(Uuid::from_u128(7));
    let sink = Arc::new(Grenade);
    journal.submit(Submission { mission, generation: 0, ticket: 1, records: vec![], extra: vec![], sink }).unwrap();
    let mut life = Life::new(1, 0);
    life.submit(&journal, 1).unwrap();
    life.told().1.unwrap();
}

#[test]
fn damage_is_noticed_where_it_is() {
    let store = faulty();
    let (journal, history) = start(&store);
    let mut life = Life::new(1, 0);
    for _ in 0..5 {
        life.submit(&journal, 2).unwrap();
        life.wait_for(life.ticket);
    }
    journal.shutdown();
    let replay = |after, hash| history.replay(life.mission, after, hash, |_| Ok(()));
    let replayed = replay(0, FIRST_HASH).unwrap();
    assert_eq!((replayed.last_seq, replayed.last_hash, replayed.records), (10, life.hash, 5));
    assert_eq!(replayed.epoch, Some(Uuid::from_u128(1)));

    // From any record on, as after a snapshot; and from no other place.
    assert_eq!(replay(10, life.hash).unwrap().records, 0);
    assert!(matches!(replay(10, [1; 32]), Err(HistoryError::Damaged { seq: 10, .. })));
    assert!(matches!(replay(9, life.hash), Err(HistoryError::Damaged { .. })), "in the middle of a record");
    assert!(matches!(replay(12, life.hash), Err(HistoryError::Damaged { seq: 12, .. })), "beyond the end");

    let key = chunk_key(life.mission, 5);
    let good = store.get(Space::Records, &key).unwrap().unwrap();
    let set = |value: Option<Vec<u8>>| {
        store.commit(&[Write { space: Space::Records, key: key.to_vec(), value }]).unwrap();
    };
    let mut flipped = good.clone();
    flipped[40] ^= 1;
    set(Some(flipped));
    assert!(matches!(replay(0, FIRST_HASH), Err(HistoryError::Damaged { seq: 5, .. })), "a flipped bit");
    assert!(matches!(all(&history, &life), Err(HistoryError::Damaged { seq: 5, .. })));
    let mut newer = good.clone();
    newer[0] = 9;
    set(Some(newer));
    assert!(matches!(all(&history, &life), Err(HistoryError::UnknownVersion { seq: 5, found: 9, known: 1, .. })));
    set(None);
    assert!(matches!(replay(0, FIRST_HASH), Err(HistoryError::Damaged { seq: 5, .. })), "a missing chunk");
    assert!(matches!(all(&history, &life), Err(HistoryError::Damaged { seq: 5, .. })));
    let back = history.read_back(life.mission, u64::MAX, 100, |_, _| ControlFlow::Continue(()));
    assert!(matches!(back, Err(HistoryError::Damaged { seq: 5, .. })));

    // A whole record in the place of another: its own checksum is right, the chain is not.
    let mut liar = Life::new(1, 0);
    liar.next_seq = 5;
    let forged = super::record::Chunk::new(&liar.record(2)).into_bytes();
    set(Some(forged));
    assert!(matches!(replay(0, FIRST_HASH), Err(HistoryError::Damaged { seq: 5, .. })), "a broken chain");
    set(Some(good));
    assert_eq!(replay(0, FIRST_HASH).unwrap().records, 5);
    let refused = history.replay(life.mission, 0, FIRST_HASH, |record| match record.first_seq {
        7 => Err("no event".to_owned()),
        _ => Ok(()),
    });
    assert!(matches!(refused, Err(HistoryError::Damaged { seq: 7, .. })));

    store.commit(&[Write::remove(Space::Records, chunk_key(life.mission, 1))]).unwrap();
    assert!(matches!(replay(0, FIRST_HASH), Err(HistoryError::Damaged { seq: 1, .. })), "a missing beginning");
}

#[test]
fn many_writers_on_a_real_store() {
    let folder = tempfile::tempdir().unwrap();
    let open = || SledStore::open(folder.path(), SledOptions::default()).unwrap();
    let store: Arc<dyn Store> = Arc::new(open());
    let journal = Journal::start(store, JournalOptions::default()).unwrap();
    let threads: Vec<_> = (1..=8)
        .map(|mission| {
            let journal = journal.clone();
            std::thread::spawn(move || {
                let mut life = Life::new(mission, 0);
                for _ in 0..50 {
                    life.submit(&journal, 3).unwrap();
                }
                life.wait_for(life.ticket);
                life
            })
        })
        .collect();
    let lives: Vec<Life> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    journal.shutdown();
    let stats = journal.stats();
    assert!(stats.batches < 400, "commits are grouped: {stats:?}");
    drop(journal);
    let history = History::new(Arc::new(open()));
    for life in &lives {
        assert_eq!(history.replay(life.mission, 0, FIRST_HASH, |_| Ok(())).unwrap().last_hash, life.hash);
        assert_eq!(all(&history, life).unwrap(), expected(1..=150));
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn a_decision_of_several_records_goes_down_as_one() {
    let store = Arc::new(MemoryStore::default());
    let journal = Journal::start(store.clone(), JournalOptions::default()).unwrap();
    let mut life = Life::new(1, 0);
    let records = vec![life.record(3), life.record(2)];
    let (mission, sink) = (life.mission, life.sink.clone());
    journal.submit(Submission { mission, generation: 0, ticket: 1, records, extra: vec![], sink }).unwrap();
    assert!(matches!(life.told(), (1, Ok(()))));
    let mut seen = Vec::new();
    let replayed = History::new(store).replay(mission, 0, FIRST_HASH, |record| {
        seen.push((record.first_seq, record.events.len()));
        Ok(())
    });
    assert_eq!(replayed.unwrap().last_seq, 5);
    assert_eq!(seen, [(1, 3), (4, 2)]);
}
