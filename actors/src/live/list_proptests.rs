//! Property tests: whatever changes, in whatever order it is told, a client that
//! folds the frames of a list has the list.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    future::Future,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use flightdeck_data::listing::{Listed, Listing, Place, Wanted};
use flightdeck_protocol::{
    Fault, MissionId, OrganizationId, Timestamp, UserId,
    model::{Author, MissionStatus, MissionSummary, Priority},
    notification::{MISSIONS_CHANGED, MissionChange, MissionsChanged, Notice},
    operations::{ListOrder, WatchKind},
};
use futures_util::{
    future::{LocalBoxFuture, join_all},
    poll,
};
use proptest::prelude::*;
use tokio::task::yield_now;
use uuid::Uuid;

use super::{
    Change, List, ListReading, Next, Shared, Shown, Subscription as _,
    boards::{Boards, Shelf, ShownMission},
    list_watch::{ListWatch, Pace},
};

/// What a mission's actor does to lists: what it writes is there at once, what it tells comes later, in order.
#[derive(Default)]
struct Truth {
    missions: BTreeMap<MissionId, MissionSummary>,
    made: u128,
    untold: VecDeque<Change<ShownMission>>,
}

/// The list as its watch reads it.
#[derive(Clone)]
struct Read {
    truth: Rc<RefCell<Truth>>,
    wanted: Arc<Wanted>,
    /// How many readings there were.
    readings: Rc<Cell<usize>>,
}

impl List for Read {
    type Value = ShownMission;
    type Place = Place;

    const NOTICE: &'static str = MISSIONS_CHANGED;
    const ENTRY: &'static str = "mission";
    const KIND: WatchKind = WatchKind::Missions;

    fn shelf(boards: &Boards) -> &Shelf<ShownMission> {
        &boards.missions
    }

    fn place(&self, mission: &ShownMission) -> Option<Place> {
        self.wanted.place(mission)
    }

    fn is_newest(&self, change: &Change<ShownMission>) -> bool {
        let truth = self.truth.borrow();
        truth.missions.get(&MissionId(change.id)).is_some_and(|now| now.seq <= change.seq)
    }

    fn shared(&self, boards: &Boards, board: u64, most: usize) -> Arc<Shared<ListReading<Place>>> {
        boards.lists.of(board, &self.wanted, most)
    }

    fn read(&self, most: usize) -> LocalBoxFuture<'static, Result<Listing<Place>, Fault>> {
        let list = self.clone();
        list.readings.set(list.readings.get() + 1);
        let listed = |(place, mission): (Place, MissionSummary)| Listed {
            id: mission.id.0,
            seq: mission.seq,
            place,
            json: serde_json::to_vec(&mission).unwrap().into(),
        };
        Box::pin(async move {
            // Others have their turn before and after.
            yield_now().await;
            let mut items = list.all();
            let whole = items.len() <= most;
            items.truncate(most);
            let listing = Listing { items: items.into_iter().map(listed).collect(), whole, from: Uuid::nil() };
            yield_now().await;
            Ok(listing)
        })
    }
}

impl Read {
    fn of(truth: &Rc<RefCell<Truth>>, wanted: Wanted) -> Self {
        Self { truth: truth.clone(), wanted: Arc::new(wanted), readings: Rc::default() }
    }

    /// The first `most`, as a client has them that has everything.
    fn first(&self, most: usize) -> Vec<MissionSummary> {
        self.all().into_iter().take(most).map(|(_, mission)| mission).collect()
    }

    /// Everything that is wanted, in order.
    fn all(&self) -> Vec<(Place, MissionSummary)> {
        let truth = self.truth.borrow();
        let mut all: Vec<_> = truth
            .missions
            .values()
            .filter_map(|mission| Some((self.wanted.place(mission)?, mission.clone())))
            .collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}

impl Truth {
    fn make(&mut self, look: Look) {
        self.made += 1;
        let id = MissionId(Uuid::from_u128(self.made));
        self.write(look.of(id, 1));
    }

    fn change(&mut self, nth: usize, look: Look) {
        if let Some(known) = self.missions.values().nth(nth % self.missions.len().max(1)) {
            self.write(look.of(known.id, known.seq + 1));
        }
    }

    fn delete(&mut self, nth: usize) {
        if let Some(known) = self.missions.values().nth(nth % self.missions.len().max(1)).cloned() {
            self.missions.remove(&known.id);
            self.untold.push_back(Change { id: known.id.0, seq: known.seq + 1, now: None });
        }
    }

    /// Tells those who watch of so many changes.
    fn tell(&mut self, most: usize, boards: &Boards) {
        let count = most.min(self.untold.len());
        self.untold.drain(..count).for_each(|change| boards.missions.publish(organization(), change));
    }

    /// An actor died with what it had to tell.
    fn lose(&mut self, boards: &Boards) {
        self.untold.clear();
        boards.refresh(organization());
    }

    fn write(&mut self, mission: MissionSummary) {
        self.missions.insert(mission.id, mission.clone());
        let json = Bytes::from(serde_json::to_vec(&mission).unwrap());
        let (id, seq) = (mission.id.0, mission.seq);
        self.untold.push_back(Change { id, seq, now: Some(Arc::new(Shown::new(Arc::new(mission), json))) });
    }
}

/// How a mission looks in a list.
#[derive(Clone, Debug)]
struct Look {
    title: String,
    priority: Priority,
    status: MissionStatus,
    owner: u128,
}

impl Look {
    fn of(self, id: MissionId, seq: u64) -> MissionSummary {
        MissionSummary {
            id,
            organization: organization(),
            title: self.title,
            mission_type: "general".to_owned(),
            status: self.status,
            status_reason: None,
            priority: self.priority,
            progress: 0,
            owner: Author::Person { id: UserId(Uuid::from_u128(self.owner)), name: "ann".to_owned() },
            agent: None,
            created_at: Timestamp::from_millis(0),
            started_at: None,
            completed_at: None,
            estimated_at: None,
            seq,
        }
    }
}

fn organization() -> OrganizationId {
    OrganizationId(Uuid::from_u128(7))
}

/// Somebody who watches, and folds what comes.
struct Client {
    watch: ListWatch<Read>,
    list: BTreeMap<MissionId, MissionSummary>,
    limit: usize,
}

impl Client {
    fn begin(list: &Read, limit: usize, boards: &Boards, pace: Pace) -> Self {
        let client = now(Self::ask(list.clone(), limit, boards, pace));
        let items: Vec<MissionSummary> = client.list.values().cloned().collect();
        let mut expected = list.first(limit);
        expected.sort_by_key(|mission| mission.id);
        assert_eq!(items, expected);
        client
    }

    async fn ask(list: Read, limit: usize, boards: &Boards, pace: Pace) -> Self {
        let wanted = list.wanted.clone();
        let begun = ListWatch::begin("a", list, limit, boards, organization()).await;
        let (mut watch, items) = begun.expect("a watch");
        watch.pace = pace;
        let items: Vec<MissionSummary> = serde_json::from_slice(&items).expect("missions");
        assert!(items.is_sorted_by_key(|mission| wanted.place(mission)), "the answer is in order");
        Self { watch, list: items.into_iter().map(|mission| (mission.id, mission)).collect(), limit }
    }

    /// Takes everything that there is.
    fn drain(&mut self) {
        now(self.settle());
    }

    async fn settle(&mut self) {
        loop {
            match self.watch.next() {
                Next::Frame(parts) => self.fold(&parts.concat()),
                Next::Load(load) => load.await.expect("a reading"),
                Next::Nothing => return,
                Next::Harmed(harm, _) => panic!("nobody planned {harm:?}"),
                Next::End(fault) => panic!("{fault}"),
            }
        }
    }

    /// What the client has, in the order of `list`.
    fn has(&self, list: &Read) -> Vec<MissionSummary> {
        let mut has: Vec<MissionSummary> = self.list.values().cloned().collect();
        has.sort_by_key(|mission| list.wanted.place(mission));
        has
    }

    /// What was there when it was asked for is there, unless it has changed since and belongs there no longer.
    fn is_no_older_than(&self, asked: &[MissionSummary], truth: &Truth) {
        for then in asked {
            let has = self.list.get(&then.id).is_some_and(|has| has.seq >= then.seq);
            let has_changed = truth.missions.get(&then.id).is_none_or(|now| now.seq > then.seq);
            assert!(has || has_changed, "the answer is older than the question: {then:?}");
        }
    }

    fn fold(&mut self, frame: &[u8]) {
        let MissionsChanged { sub, reset, changes } = read(frame);
        assert_eq!(sub, "a");
        assert!(reset || !changes.is_empty(), "a frame without a word");
        if reset {
            self.list.clear();
        }
        for change in changes {
            match change {
                MissionChange::Put { mission } => {
                    let before = self.list.insert(mission.id, mission.clone());
                    assert!(before.is_none_or(|before| before.seq < mission.seq), "something older, or the same");
                }
                MissionChange::Remove { id } => {
                    assert!(self.list.remove(&id).is_some(), "the client never had it");
                }
            }
        }
        assert!(self.list.len() <= self.limit);
    }
}

fn read(frame: &[u8]) -> MissionsChanged {
    let frame: serde_json::Value = serde_json::from_slice(frame).expect("JSON");
    match Notice::read(frame["method"].as_str().unwrap(), &frame["params"].to_string()) {
        Ok(Some(Notice::Missions(changed))) => changed,
        other => panic!("{other:?}"),
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

const AT_ONCE: Pace = Pace { frame: Duration::ZERO, read: Duration::ZERO };
const NEVER_AGAIN: Pace = Pace { frame: Duration::from_secs(3_600), read: Duration::from_secs(3_600) };

#[derive(Clone, Debug)]
enum Turn {
    Make(Look),
    Change(usize, Look),
    Delete(usize),
    /// So many changes are told to those who watch.
    Tell(usize),
    /// The client reads.
    Read,
    /// An actor died, and what it had to tell is not told.
    Lose,
}

fn look() -> impl Strategy<Value = Look> {
    let priority = prop::sample::select(vec![Priority::Low, Priority::Normal, Priority::High, Priority::Urgent]);
    let status = prop::sample::select(vec![MissionStatus::Pending, MissionStatus::Running, MissionStatus::Failed]);
    ("[a-cA-C]{1,2}", priority, status, 0..2_u128).prop_map(|(title, priority, status, owner)| Look {
        title,
        priority,
        status,
        owner,
    })
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        4 => look().prop_map(Turn::Make),
        6 => (any::<usize>(), look()).prop_map(|(nth, look)| Turn::Change(nth, look)),
        3 => any::<usize>().prop_map(Turn::Delete),
        6 => (1..9_usize).prop_map(Turn::Tell),
        4 => Just(Turn::Read),
        1 => Just(Turn::Lose),
    ]
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let order = prop::sample::select(vec![ListOrder::Newest, ListOrder::Priority, ListOrder::Title]);
    let status = prop::sample::subsequence(vec![MissionStatus::Pending, MissionStatus::Running], 0..=2);
    let owner = prop::option::of((0..2_u128).prop_map(|owner| UserId(Uuid::from_u128(owner))));
    (order, status, owner).prop_map(|(order, status, owner)| Wanted { status, owner, order, ..Wanted::default() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_client_that_folds_the_frames_has_the_list(
        before in prop::collection::vec(look(), 0..12),
        turns in prop::collection::vec(turn(), 1..120),
        wanted in wanted(),
        limit in 1..8_usize,
    ) {
        let (truth, boards) = (Rc::new(RefCell::new(Truth::default())), Boards::default());
        before.into_iter().for_each(|look| truth.borrow_mut().make(look));
        let list = Read::of(&truth, wanted);
        let mut client = Client::begin(&list, limit, &boards, AT_ONCE);
        for turn in turns.into_iter().chain([Turn::Tell(usize::MAX), Turn::Read]) {
            match turn {
                Turn::Make(look) => truth.borrow_mut().make(look),
                Turn::Change(nth, look) => truth.borrow_mut().change(nth, look),
                Turn::Delete(nth) => truth.borrow_mut().delete(nth),
                Turn::Tell(most) => truth.borrow_mut().tell(most, &boards),
                Turn::Read => client.drain(),
                Turn::Lose => truth.borrow_mut().lose(&boards),
            }
        }
        prop_assert_eq!(client.has(&list), list.first(limit));
    }

    #[test]
    fn whoever_shares_a_reading_has_all_that_was_there_before_they_asked(
        turns in prop::collection::vec(together(), 1..120),
        wanted in wanted(),
    ) {
        const ALL: usize = 200;
        let (truth, boards) = (Rc::new(RefCell::new(Truth::default())), Boards::default());
        let list = Read::of(&truth, wanted);
        now(async {
            let (mut asking, mut clients) = (Vec::new(), Vec::new());
            for turn in turns.into_iter().chain([Together::Of(Turn::Tell(usize::MAX))]) {
                match turn {
                    Together::Ask => {
                        let ask = Client::ask(list.clone(), ALL, &boards, AT_ONCE);
                        asking.push((list.first(ALL), Box::pin(ask)));
                    }
                    Together::Of(Turn::Make(look)) => truth.borrow_mut().make(look),
                    Together::Of(Turn::Change(nth, look)) => truth.borrow_mut().change(nth, look),
                    Together::Of(Turn::Delete(nth)) => truth.borrow_mut().delete(nth),
                    Together::Of(Turn::Tell(most)) => truth.borrow_mut().tell(most, &boards),
                    Together::Of(Turn::Lose) => truth.borrow_mut().lose(&boards),
                    Together::Of(Turn::Read) => {
                        for (asked, mut ask) in std::mem::take(&mut asking) {
                            match poll!(&mut ask) {
                                std::task::Poll::Pending => asking.push((asked, ask)),
                                std::task::Poll::Ready(client) => {
                                    client.is_no_older_than(&asked, &truth.borrow());
                                    clients.push(client);
                                }
                            }
                        }
                    }
                }
            }
            let answered = join_all(asking.into_iter().map(async |(asked, ask)| {
                let client = ask.await;
                client.is_no_older_than(&asked, &truth.borrow());
                client
            }));
            clients.extend(answered.await);
            join_all(clients.iter_mut().map(Client::settle)).await;
            clients.iter().for_each(|client| assert_eq!(client.has(&list), list.first(ALL)));
        });
    }
}

/// What may happen while several ask for the list.
#[derive(Clone, Debug)]
enum Together {
    Ask,
    /// As with one; `Turn::Read` gives each who asks a turn.
    Of(Turn),
}

fn together() -> impl Strategy<Value = Together> {
    prop_oneof![1 => Just(Together::Ask), 4 => turn().prop_map(Together::Of)]
}

#[test]
fn all_who_come_at_once_or_are_sent_back_to_the_list_share_its_readings() {
    const WATCHERS: usize = 2_000;
    let (truth, boards) = (Rc::new(RefCell::new(Truth::default())), Boards::default());
    let look = || Look { title: "a".to_owned(), priority: Priority::Normal, status: MissionStatus::Running, owner: 0 };
    (0..9).for_each(|_| truth.borrow_mut().make(look()));
    truth.borrow_mut().tell(usize::MAX, &boards);
    let list = Read::of(&truth, Wanted::default());
    now(async {
        let ask = |_| Client::ask(list.clone(), 5, &boards, AT_ONCE);
        let mut clients = join_all((0..WATCHERS).map(ask)).await;
        assert_eq!(list.readings.take(), 2, "the first alone, and the others together");
        // An entry leaves: each window lacks one, and does not know which.
        truth.borrow_mut().delete(8);
        truth.borrow_mut().tell(1, &boards);
        join_all(clients.iter_mut().map(Client::settle)).await;
        assert_eq!(list.readings.take(), 2);
        truth.borrow_mut().lose(&boards);
        join_all(clients.iter_mut().map(Client::settle)).await;
        assert_eq!(list.readings.take(), 2);
        clients.iter().for_each(|client| assert_eq!(client.has(&list), list.first(5)));
        let wanted = Wanted { status: vec![MissionStatus::Running], ..Wanted::default() };
        join_all(
            [wanted, Wanted::default()]
                .map(|wanted| Client::ask(Read { wanted: Arc::new(wanted), ..list.clone() }, 5, &boards, AT_ONCE)),
        )
        .await;
        assert_eq!(list.readings.take(), 2, "who watches something else has a reading of their own");
    });
}

#[test]
fn a_quiet_list_is_told_at_once_and_a_busy_one_not_more_often_than_agreed() {
    let (truth, boards) = (Rc::new(RefCell::new(Truth::default())), Boards::default());
    let list = Read::of(&truth, Wanted::default());
    let mut client = Client::begin(&list, 3, &boards, NEVER_AGAIN);
    let happen = |status| {
        let look = Look { title: "a".to_owned(), priority: Priority::Normal, status, owner: 0 };
        let mut truth = truth.borrow_mut();
        if truth.made == 0 {
            truth.make(look)
        } else {
            truth.change(0, look)
        }
        truth.untold.drain(..).for_each(|change| boards.missions.publish(organization(), change));
    };
    assert!(matches!(client.watch.next(), Next::Nothing));
    happen(MissionStatus::Pending);
    assert!(matches!(client.watch.next(), Next::Frame(_)), "at once");
    assert!(matches!(client.watch.next(), Next::Nothing), "no timer where nothing is to be told");
    happen(MissionStatus::Running);
    happen(MissionStatus::Failed);
    assert!(matches!(client.watch.next(), Next::Load(_)), "the next has to wait");
    client.watch.pace = AT_ONCE;
    let Next::Frame(parts) = client.watch.next() else { panic!("the next frame") };
    let changes = read(&parts.concat()).changes;
    assert!(
        matches!(changes.as_slice(), [MissionChange::Put { mission }] if mission.status == MissionStatus::Failed),
        "what changed twice is told once: {changes:?}"
    );
    assert!(matches!(client.watch.next(), Next::Nothing));
}

#[test]
fn what_a_reading_saw_go_does_not_come_back_when_the_past_is_told() {
    let (truth, boards) = (Rc::new(RefCell::new(Truth::default())), Boards::default());
    let running = Wanted { status: vec![MissionStatus::Running], ..Wanted::default() };
    let list = Read::of(&truth, running);
    let look = |status| Look { title: "a".to_owned(), priority: Priority::Normal, status, owner: 0 };
    truth.borrow_mut().make(look(MissionStatus::Running));
    truth.borrow_mut().change(0, look(MissionStatus::Running));
    truth.borrow_mut().change(0, look(MissionStatus::Failed));
    let mut client = Client::begin(&list, 5, &boards, AT_ONCE);
    for told in ["made", "changed", "failed"] {
        truth.borrow_mut().tell(1, &boards);
        assert!(matches!(client.watch.next(), Next::Nothing), "nothing is new when it is told that it was {told}");
    }
    truth.borrow_mut().change(0, look(MissionStatus::Running));
    truth.borrow_mut().tell(1, &boards);
    client.drain();
    assert_eq!(client.has(&list), list.first(5));
}

/// Its figures stand in docs/adr/0012, which has the command that prints them.
#[test]
fn what_changed_is_encoded_once_however_many_watch() {
    const WATCHERS: usize = 1_000;
    const MISSIONS: usize = 100;
    let (truth, boards) = (Rc::new(RefCell::new(Truth::default())), Boards::default());
    let look = |nth: usize| Look {
        title: format!("Retrieve the tax documents of 2025, number {nth}"),
        priority: Priority::Normal,
        status: MissionStatus::Running,
        owner: 1,
    };
    (0..MISSIONS).for_each(|nth| truth.borrow_mut().make(look(nth)));
    truth.borrow_mut().untold.clear();
    let list = Read::of(&truth, Wanted::default());
    let mut clients: Vec<Client> = (0..WATCHERS).map(|_| Client::begin(&list, MISSIONS, &boards, AT_ONCE)).collect();
    let mut told = Vec::new();
    for nth in 0..MISSIONS {
        truth.borrow_mut().change(nth, look(MISSIONS + nth));
        told.extend(truth.borrow_mut().untold.drain(..));
    }
    let published = std::time::Instant::now();
    told.iter().for_each(|change| boards.missions.publish(organization(), change.clone()));
    let published = published.elapsed();
    let read = std::time::Instant::now();
    let frames: Vec<Next> = clients.iter_mut().map(|client| client.watch.next()).collect();
    let read = read.elapsed();

    let shared: Vec<*const u8> = told.iter().map(|change| change.now.as_ref().unwrap().json.as_ptr()).collect();
    for frame in &frames {
        let Next::Frame(parts) = frame else { panic!("one frame for all of it") };
        let entries: Vec<*const u8> = parts.iter().map(|part| part.as_ptr()).filter(|at| shared.contains(at)).collect();
        assert_eq!(entries, shared, "every entry is the one that was published, and no copy");
    }
    let encoded = std::time::Instant::now();
    for _ in 0..WATCHERS {
        for change in &told {
            std::hint::black_box(serde_json::to_vec(&*change.now.as_ref().unwrap().value).unwrap());
        }
    }
    let encoded = encoded.elapsed();
    let each = |time: Duration| time.as_nanos() / (WATCHERS * MISSIONS) as u128;
    println!("{} ns to put up a change, once", published.as_nanos() / MISSIONS as u128);
    println!("{} ns a watcher and change to put it into a frame", each(read));
    println!("{} ns a watcher and change to encode it alone", each(encoded));
}
