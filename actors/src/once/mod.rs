//! Calls with a name of their callers': each is carried out once, and a repeat gets the first answer.
//!
//! Whoever comes first under a name holds a [`Claim`] until the call's outcome
//! is on disk, together with the answer; others wait for it. Where a claim goes
//! down with its mission's actor, what the journal still has of it is waited for
//! before anything is looked up again.

mod earlier;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use flightdeck_data::{
    answers::{AnswerKey, Answers, KeptAnswer},
    journal::Journal,
    store::Write,
};
use flightdeck_protocol::{Call, Code, Fault, Timestamp, UserId, operations::NewUser};
use tokio::sync::oneshot;

use crate::world::unreadable;
use earlier::Earlier;

/// How many calls may wait for the first of their name.
const WAITING: usize = 64;
/// How many answers are looked at, or let go of, between two breaths.
const SWEPT: usize = 256;
/// Where there is no room for another answer to a person, one in so many of theirs is let go of, the oldest.
const SHARE: usize = 16;

/// A call's name, and what is called.
#[derive(Clone, Debug)]
pub struct Named {
    key: AnswerKey,
    call: [u8; 32],
}

impl Named {
    /// `person` calls `method` under `name`.
    ///
    /// # Errors
    /// When the parameters cannot be written down again.
    pub(crate) fn new(person: UserId, name: &str, method: &str, call: &Call) -> Result<Self, Fault> {
        let params = match call {
            // A quick hash of a password would be a way to guess it.
            Call::CreateUser(new) => Call::CreateUser(NewUser { password: String::new(), ..new.clone() }).params_json(),
            call => call.params_json(),
        };
        let params = params.map_err(|error| {
            tracing::error!(%error, method, "a call cannot be written as JSON");
            Fault::new(Code::Internal, "the server failed to note down the call; nothing was changed")
        })?;
        Ok(Self { key: AnswerKey::new(person, name), call: KeptAnswer::hash(method, &params) })
    }
}

/// What a named call begins with.
pub(crate) enum Begun {
    /// It is the first of its name.
    First(Claim),
    /// It was carried out before, and this was the answer.
    Again(Bytes),
}

/// The calls that have names.
pub struct Once {
    answers: Answers,
    journal: Journal,
    /// How many answers are kept for a person.
    most: usize,
    table: Mutex<Table>,
    /// Held by whoever makes room for a person's answers.
    making_room: tokio::sync::Mutex<()>,
    /// Claims that went down without anyone knowing what became of them; and how many of these are settled.
    doubts: AtomicU64,
    settled: AtomicU64,
    /// Answers that were given before are counted by the first sweep.
    began: Timestamp,
}

#[derive(Default)]
struct Table {
    /// Calls under way, and who waits for them.
    held: HashMap<AnswerKey, Vec<oneshot::Sender<()>>>,
    /// How many answers are kept, by person.
    kept: HashMap<UserId, usize>,
    /// Those of earlier runs of the server, until they are counted and among them.
    earlier: Option<Earlier>,
}

impl Once {
    /// Calls over `answers`, of which as many as `most` are kept for a person.
    pub fn new(answers: Answers, journal: Journal, most: usize) -> Arc<Self> {
        let began = Timestamp::now();
        let table = Mutex::new(Table { earlier: Some(Earlier::default()), ..Table::default() });
        let (making_room, doubts, settled) = Default::default();
        Arc::new(Self { answers, journal, most, table, making_room, doubts, settled, began })
    }

    /// Begins a call: it is the first of its name, or was carried out before. Waits while it is under way.
    ///
    /// # Errors
    /// When the name was used for another call, or the store fails.
    pub(crate) async fn begin(self: &Arc<Self>, named: &Named) -> Result<Begun, Fault> {
        let mut claim = loop {
            match self.claim(named)? {
                Ok(claim) => break claim,
                // Its sender is dropped with the claim, if not sent to.
                Err(first) => drop(first.await),
            }
        };
        self.settle().await?;
        let Some(kept) = self.answers.get(named.key).map_err(|error| unreadable(&error))? else {
            self.make_room(named.key.person()).await?;
            return Ok(Begun::First(claim));
        };
        if kept.is_over(Timestamp::now()) {
            claim.replaces = true;
            return Ok(Begun::First(claim));
        }
        // The store may show a batch that is not on disk yet.
        self.journal.write(Vec::new()).await.map_err(|error| unreadable(&error))?;
        if kept.call != named.call {
            let message = "idem names one call, and this one was used for another within 24 hours; take a new one";
            return Err(Fault::new(Code::IdemReused, message).on("idem"));
        }
        Ok(Begun::Again(kept.answer))
    }

    /// The claim to a name, or what says that the one who has it is done.
    fn claim(self: &Arc<Self>, named: &Named) -> Result<Result<Claim, oneshot::Receiver<()>>, Fault> {
        let mut table = self.table();
        if let Some(waiting) = table.held.get_mut(&named.key) {
            waiting.retain(|waits| !waits.is_closed());
            if waiting.len() >= WAITING {
                return Err(Fault::overloaded("the line behind the first call of this name", 100));
            }
            let (done, first) = oneshot::channel();
            waiting.push(done);
            return Ok(Err(first));
        }
        table.held.insert(named.key, Vec::new());
        drop(table);
        let once = Arc::clone(self);
        Ok(Ok(Claim { once, named: named.clone(), replaces: false, is_in_doubt: false }))
    }

    fn has_room(&self, person: UserId) -> bool {
        self.table().kept.get(&person).is_none_or(|kept| *kept < self.most)
    }

    /// Where as many answers to the person are kept as may be, the oldest go, above all those that are over.
    async fn make_room(&self, person: UserId) -> Result<(), Fault> {
        if self.has_room(person) {
            return Ok(());
        }
        let _turn = self.making_room.lock().await;
        // Somebody who came before may have made enough.
        if self.has_room(person) {
            return Ok(());
        }
        let (answers, share) = (self.answers.clone(), (self.most / SHARE).max(1));
        let oldest = tokio::task::spawn_blocking(move || answers.oldest(person, share)).await;
        let oldest = oldest.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))?;
        for part in oldest.chunks(SWEPT) {
            self.remove(part.to_vec()).await?;
        }
        Ok(())
    }

    /// Returns when it is known what became of every claim that went down before now.
    ///
    /// # Errors
    /// When the journal does not confirm.
    pub(crate) async fn settle(&self) -> Result<(), Fault> {
        let doubts = self.doubts.load(Ordering::SeqCst);
        if self.settled.load(Ordering::SeqCst) < doubts {
            // What they had queued was queued before this.
            self.journal.write(Vec::new()).await.map_err(|error| unreadable(&error))?;
            self.settled.fetch_max(doubts, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Lets go of the answers that are a day old, and says how many there were.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, Fault> {
        let (mut after, mut removed) = (None, 0);
        if let Some(earlier) = &mut self.table().earlier {
            earlier.begin();
        }
        loop {
            let answers = self.answers.clone();
            let part = tokio::task::spawn_blocking(move || answers.part(after, SWEPT, now)).await;
            let part = part.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))?;
            if let (Some(earlier), Some((last, ..))) = (&mut self.table().earlier, part.answers.last()) {
                let began = self.began.as_millis();
                let kept = part.answers.iter().filter(|(_, at_ms, is_over)| !is_over && *at_ms < began);
                earlier.count(kept.map(|(key, ..)| *key), *last, now);
            }
            let over = part.answers.iter().filter(|(.., is_over)| *is_over).map(|(key, at_ms, _)| (*key, *at_ms));
            removed += self.remove(over.collect()).await?;
            after = part.last;
            if after.is_none() {
                break;
            }
        }
        let mut table = self.table();
        for (person, count) in table.earlier.take().map(Earlier::kept).unwrap_or_default() {
            *table.kept.entry(person).or_default() += count;
        }
        Ok(removed)
    }

    /// Lets go of these answers, each where it is still the one that was given then; says how many there were.
    async fn remove(&self, answers: Vec<(AnswerKey, i64)>) -> Result<usize, Fault> {
        if answers.is_empty() {
            return Ok(0);
        }
        let (removed, written) = {
            // Held until the removals are in the journal's queue: whoever claims one of these names
            // afterwards writes behind them.
            let mut table = self.table();
            let mut gone = Vec::new();
            for (key, at_ms) in answers {
                let kept = self.answers.get(key).map_err(|error| unreadable(&error))?;
                if !table.held.contains_key(&key) && kept.is_some_and(|kept| kept.at_ms == at_ms) {
                    gone.push((key, at_ms));
                }
            }
            let Table { kept, earlier, .. } = &mut *table;
            for (key, at_ms) in &gone {
                match earlier {
                    Some(earlier) if *at_ms < self.began.as_millis() => earlier.lose(*key, *at_ms),
                    _ => {
                        if let Some(count) = kept.get_mut(&key.person()) {
                            *count = count.saturating_sub(1);
                        }
                    }
                }
            }
            table.kept.retain(|_, count| *count > 0);
            (gone.len(), self.journal.write(gone.into_iter().map(|(key, _)| Answers::remove(key)).collect()))
        };
        written.await.map_err(|error| unreadable(&error))?;
        Ok(removed)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to carry out a named call. Whoever else comes under the name waits until it is dropped.
pub(crate) struct Claim {
    once: Arc<Once>,
    named: Named,
    /// Whether an answer that is over is in its place.
    replaces: bool,
    is_in_doubt: bool,
}

impl Claim {
    /// The write that keeps the call's answer. It has to go down with what follows from the call.
    ///
    /// # Errors
    /// When the answer cannot be kept.
    pub(crate) fn keep(&mut self, answer: Bytes, at: Timestamp) -> Result<Write, Fault> {
        let kept = KeptAnswer { call: self.named.call, at_ms: at.as_millis(), answer };
        let write = Answers::put(self.named.key, &kept).map_err(|error| {
            tracing::error!(%error, "an answer cannot be kept for who asks again");
            Fault::new(Code::Internal, "the server failed to note down its answer; nothing was changed")
        })?;
        self.is_in_doubt = true;
        Ok(write)
    }

    /// The answer is on disk.
    pub(crate) fn confirm(mut self) {
        self.is_in_doubt = false;
        if !self.replaces {
            *self.once.table().kept.entry(self.named.key.person()).or_default() += 1;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_in_doubt {
            // Before the name is free: whoever takes it next has to see that.
            self.once.doubts.fetch_add(1, Ordering::SeqCst);
        }
        for waits in self.once.table().held.remove(&self.named.key).unwrap_or_default() {
            // Whoever waited may have gone.
            let _ = waits.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use flightdeck_data::{
        journal::JournalOptions,
        store::{MemoryStore, Space, Store, faulty::FaultyStore},
    };
    use flightdeck_protocol::operations::{MissionRef, find};
    use futures_util::poll;
    use uuid::Uuid;

    use super::*;

    struct Desk {
        store: Arc<dyn Store>,
        once: Arc<Once>,
    }

    impl Desk {
        fn new(most: usize) -> Self {
            Self::over(Arc::new(MemoryStore::default()), most)
        }

        fn over(store: Arc<dyn Store>, most: usize) -> Self {
            let journal = Journal::start(store.clone(), JournalOptions::default()).unwrap();
            Self { once: Once::new(Answers::new(store.clone()), journal, most), store }
        }

        async fn first(&self, named: &Named) -> Claim {
            match self.once.begin(named).await.unwrap() {
                Begun::First(claim) => claim,
                Begun::Again(answer) => panic!("answered {answer:?} before"),
            }
        }

        async fn again(&self, named: &Named) -> Bytes {
            match self.once.begin(named).await.unwrap() {
                Begun::First(_) => panic!("never answered"),
                Begun::Again(answer) => answer,
            }
        }

        /// Carries out what nobody refuses.
        async fn carry_out(&self, named: &Named, answer: &'static [u8], at: Timestamp) {
            let mut claim = self.first(named).await;
            let write = claim.keep(Bytes::from_static(answer), at).unwrap();
            self.once.journal.write(vec![write]).await.unwrap();
            claim.confirm();
        }

        async fn refused(&self, named: &Named) -> Code {
            self.once.begin(named).await.err().expect("a refusal").code
        }
    }

    fn person(n: u128) -> UserId {
        Uuid::from_u128(n).into()
    }

    fn named(person_number: u128, name: &str, mission: u128) -> Named {
        let call = Call::StartMission(MissionRef { mission: Uuid::from_u128(mission).into() });
        Named::new(person(person_number), name, "mission.start", &call).unwrap()
    }

    async fn is_waiting(future: &mut (impl Future + Unpin)) -> bool {
        poll!(future).is_pending()
    }

    #[tokio::test]
    async fn the_first_answer_is_everyones_answer() {
        let desk = Desk::new(10);
        desk.carry_out(&named(1, "a", 5), b"first", Timestamp::now()).await;
        assert_eq!(desk.again(&named(1, "a", 5)).await, "first");
        assert_eq!(desk.refused(&named(1, "a", 6)).await, Code::IdemReused);
        desk.carry_out(&named(2, "a", 6), b"another person's", Timestamp::now()).await;
        let restarted = Desk::over(desk.store.clone(), 10);
        assert_eq!(restarted.again(&named(1, "a", 5)).await, "first");
        assert_eq!(restarted.again(&named(2, "a", 6)).await, "another person's");
    }

    #[tokio::test]
    async fn who_comes_second_waits_and_what_was_refused_may_be_tried_again() {
        let desk = Desk::new(10);
        let named = named(1, "a", 5);
        let refused = desk.first(&named).await;
        let mut second = Box::pin(desk.once.begin(&named));
        assert!(is_waiting(&mut second).await);
        drop(refused);
        let Begun::First(mut claim) = second.await.unwrap() else { panic!("nothing was kept") };
        let mut third = Box::pin(desk.once.begin(&named));
        assert!(is_waiting(&mut third).await);
        let write = claim.keep(Bytes::from_static(b"done"), Timestamp::now()).unwrap();
        desk.once.journal.write(vec![write]).await.unwrap();
        claim.confirm();
        assert!(matches!(third.await.unwrap(), Begun::Again(answer) if answer == "done"));
    }

    #[tokio::test]
    async fn a_claim_that_goes_down_leaves_no_doubt_behind() {
        let desk = Desk::new(10);
        let named = named(1, "a", 5);
        let mut claim = desk.first(&named).await;
        let write = claim.keep(Bytes::from_static(b"done"), Timestamp::now()).unwrap();
        // Its actor dies: the journal has it all the same.
        let queued = desk.once.journal.write(vec![write]);
        drop(claim);
        assert_eq!(desk.again(&named).await, "done");
        queued.await.unwrap();
    }

    #[tokio::test]
    async fn the_line_behind_a_call_is_bounded() {
        let desk = Desk::new(10);
        let named = named(1, "a", 5);
        let claim = desk.first(&named).await;
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(desk.once.begin(&named))).collect();
        for waits in &mut waiting {
            assert!(is_waiting(waits).await);
        }
        assert_eq!(desk.refused(&named).await, Code::Overloaded);
        waiting.truncate(1);
        let mut next = Box::pin(desk.once.begin(&named));
        assert!(is_waiting(&mut next).await, "who has gone takes no place");
        drop(claim);
    }

    #[tokio::test]
    async fn after_a_day_a_name_is_free_and_its_place_as_well() {
        let desk = Desk::new(3);
        let now = Timestamp::now().plus_millis(-1_000);
        let day_ago = now.plus_millis(-flightdeck_data::answers::KEPT_MS);
        for (name, at) in [("old", day_ago), ("older", day_ago.plus_millis(-1)), ("new", now)] {
            desk.carry_out(&named(1, name, 5), b"{}", at).await;
        }
        desk.carry_out(&named(2, "one more", 5), b"{}", now).await;

        // Another run of the server counts what there is.
        let desk = Desk::over(desk.store.clone(), 2);
        assert_eq!(desk.once.sweep(now).await.unwrap(), 2);
        desk.carry_out(&named(1, "old", 6), b"free", now).await;
        assert!(!desk.once.has_room(person(1)) && desk.once.has_room(person(2)));
        assert_eq!(desk.once.sweep(now).await.unwrap(), 0);
        assert_eq!(desk.once.sweep(now.plus_millis(2 * flightdeck_data::answers::KEPT_MS)).await.unwrap(), 3);
        assert!(desk.once.has_room(person(1)));
    }

    #[tokio::test]
    async fn where_there_is_no_room_the_oldest_go_and_nobody_is_refused() {
        let desk = Desk::new(3);
        let now = Timestamp::now();
        for (name, later) in [("second", 2), ("first", 1), ("third", 3)] {
            desk.carry_out(&named(1, name, 5), b"{}", now.plus_millis(later)).await;
        }
        desk.carry_out(&named(2, "first", 5), b"another person's", now).await;
        desk.again(&named(1, "first", 5)).await;
        for nth in 0..20 {
            desk.carry_out(&named(1, &format!("new {nth}"), 5), b"new", now.plus_millis(10 + nth)).await;
            assert!(!desk.once.has_room(person(1)), "one goes for each that comes");
        }
        assert_eq!(desk.once.answers.oldest(person(1), 100).unwrap().len(), 3);
        for nth in 17..20 {
            assert_eq!(desk.again(&named(1, &format!("new {nth}"), 5)).await, "new");
        }
        desk.carry_out(&named(1, "first", 6), b"free, and for another call", now.plus_millis(40)).await;
        assert_eq!(desk.again(&named(2, "first", 5)).await, "another person's");
    }

    #[tokio::test]
    async fn what_makes_room_while_the_answers_of_earlier_runs_are_counted_is_not_counted() {
        let earlier = Desk::new(1_000);
        let before = Timestamp::now().plus_millis(-10_000);
        for nth in 0..10 {
            earlier.carry_out(&named(1, &format!("earlier {nth}"), 5), b"{}", before).await;
        }
        for nth in 0..SWEPT {
            earlier.carry_out(&named(2, &format!("earlier {nth}"), 5), b"{}", before).await;
        }
        let store = FaultyStore::new(earlier.store.clone());
        let desk = Desk::over(Arc::new(store.clone()), 16);
        for nth in 0..16 {
            desk.carry_out(&named(1, &format!("new {nth}"), 5), b"{}", Timestamp::now()).await;
        }
        let reads = store.reads();
        let mut sweep = Box::pin(desk.once.sweep(Timestamp::now()));
        assert!(is_waiting(&mut sweep).await);
        while store.reads() == reads {
            tokio::task::yield_now().await;
        }
        // The first part, which has all of this person's, is counted once the second is about to be read.
        store.hold_reads(Some(Space::Answers));
        while store.reads() < reads + 2 {
            assert!(is_waiting(&mut sweep).await);
            tokio::task::yield_now().await;
        }
        store.hold_reads(None);
        desk.carry_out(&named(1, "one more", 5), b"{}", Timestamp::now()).await;
        assert_eq!(sweep.await.unwrap(), 0);
        let stored = desk.once.answers.oldest(person(1), 100).unwrap().len();
        assert_eq!((stored, desk.once.table().kept[&person(1)]), (10 + 16 + 1 - 1, 10 + 16 + 1 - 1));
    }

    #[tokio::test]
    async fn many_at_once_who_need_room_let_go_of_no_more_than_they_need() {
        let desk = Desk::new(64);
        let now = Timestamp::now();
        for nth in 0..64 {
            desk.carry_out(&named(1, &nth.to_string(), 5), b"{}", now.plus_millis(nth)).await;
        }
        let others: Vec<Named> = (64..66).map(|nth| named(1, &nth.to_string(), 5)).collect();
        futures_util::future::join_all(others.iter().map(|named| desk.carry_out(named, b"{}", now.plus_millis(64))))
            .await;
        let left = desk.once.answers.oldest(person(1), 100).unwrap();
        assert_eq!(left.len(), 64 - 64 / SHARE + 2, "one of them made room for both");
        assert_eq!(left[0].1, now.plus_millis(4).as_millis(), "and the oldest went");
    }

    #[tokio::test]
    async fn a_sweep_leaves_alone_what_is_being_carried_out_anew() {
        let desk = Desk::new(10);
        let now = Timestamp::now();
        let named = named(1, "a", 5);
        desk.carry_out(&named, b"{}", now.plus_millis(-flightdeck_data::answers::KEPT_MS)).await;
        let claim = desk.first(&named).await;
        assert_eq!(desk.once.sweep(now).await.unwrap(), 0);
        drop(claim);
        assert_eq!(desk.once.sweep(now).await.unwrap(), 1);
    }

    #[test]
    fn a_call_is_the_same_however_it_is_written() {
        let read = |params: &str| Call::read(find("step.add").unwrap(), params).unwrap();
        let mission = Uuid::from_u128(5);
        let hash = |params: String| Named::new(person(1), "a", "step.add", &read(&params)).unwrap().call;
        let one = hash(format!(r#"{{"mission":"{mission}","title":"A"}}"#));
        assert_eq!(one, hash(format!(r#"{{ "title":"\u0041", "mission":"{mission}", "parent":null }}"#)));
        assert_ne!(one, hash(format!(r#"{{"mission":"{mission}","title":"a"}}"#)));
        let account = |password: &str| {
            let new = format!(r#"{{"username":"u","password":"{password}","role":"viewer"}}"#);
            let call = Call::read(find("user.create").unwrap(), &new).unwrap();
            Named::new(person(1), "a", "user.create", &call).unwrap().call
        };
        assert_eq!(account("one password"), account("another password"), "nothing of it is kept");
    }
}
