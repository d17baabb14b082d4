//! The door: who may come in, how fast, and how many at once.
//!
//! A socket comes in with a [`Pass`], and gives its place back when the pass is
//! dropped, in whatever way the socket ended. Whoever is refused is told when
//! to come again, each at another time, so that a crowd does not come back as one.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use flightdeck_protocol::{Code, Fault, UserId};
use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter,
    clock::{Clock as _, Reference},
};
use tokio::sync::Notify;

/// The soonest that somebody who was refused is asked to come again.
const SOONEST: Duration = Duration::from_millis(250);
/// The time over which those who were refused are spread at most.
const SPREAD: Duration = Duration::from_secs(10);
/// When a place may have become free that one of a person's other sessions has now, in milliseconds.
const PLACE_AFTER_MS: u64 = 5_000;

/// The bounds of the door.
#[derive(Clone, Copy, Debug)]
pub struct DoorRules {
    /// Sockets at once that have not said who they are.
    pub unnamed_sockets: u32,
    /// Sockets that are let in over time, a second.
    pub openings_per_second: u32,
    /// Sockets that are let in at once after a quiet time.
    pub opening_burst: u32,
    /// Live sessions of one person at once.
    pub sessions: u32,
    /// Calls that one person may make over HTTP, and one session over its socket.
    pub pace: Pace,
}

/// How fast one caller may ask.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Requests a second, over time.
    pub per_second: u32,
    /// Requests at once after a quiet time.
    pub burst: u32,
}

impl Pace {
    fn quota(self) -> Quota {
        let some = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Quota::per_second(some(self.per_second)).allow_burst(some(self.burst))
    }

    fn too_fast<P: Reference>(self, until: &NotUntil<P>, now: P) -> Fault {
        let message = format!(
            "more than {} requests a second; nothing was done, ask again after retry_after_ms",
            self.per_second
        );
        Fault::new(Code::RateLimited, message).after(millis(until.wait_time_from(now)))
    }
}

/// Holds one session to its pace.
pub(crate) struct Pacer {
    pace: Pace,
    limiter: DefaultDirectRateLimiter,
}

impl Pacer {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, limiter: RateLimiter::direct(pace.quota()) }
    }

    /// Counts a request.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let now = || self.limiter.clock().now();
        self.limiter.check().map_err(|until| self.pace.too_fast(&until, now()))
    }
}

/// The way in.
pub struct Door {
    rules: DoorRules,
    openings: DefaultDirectRateLimiter,
    callers: DefaultKeyedRateLimiter<UserId>,
    inside: Mutex<Inside>,
    /// When the next one who is refused is to come again.
    next: Mutex<Instant>,
    shut: AtomicBool,
    /// When the next run of the server is expected, once it is shut.
    back_at: Mutex<Instant>,
    emptied: Notify,
}

/// Who is inside.
#[derive(Default)]
struct Inside {
    sockets: usize,
    unnamed: u32,
    people: HashMap<UserId, u32>,
}

impl Door {
    /// A door with nobody inside.
    pub fn new(rules: DoorRules) -> Arc<Self> {
        let openings = Pace { per_second: rules.openings_per_second, burst: rules.opening_burst };
        Arc::new(Self {
            rules,
            openings: RateLimiter::direct(openings.quota()),
            callers: RateLimiter::hashmap(rules.pace.quota()),
            inside: Mutex::default(),
            next: Mutex::new(Instant::now()),
            shut: AtomicBool::new(false),
            back_at: Mutex::new(Instant::now()),
            emptied: Notify::new(),
        })
    }

    /// Somebody wants a socket: counted, before it is looked who it is.
    ///
    /// # Errors
    /// When too many come at once, or nobody is let in any more.
    pub fn knock(&self) -> Result<(), Fault> {
        self.is_open()?;
        self.openings.check().map_err(|_| {
            let message = "more connections come at once than are let in; come again after retry_after_ms";
            Fault::new(Code::Overloaded, message).after(self.come_again(Instant::now()))
        })
    }

    /// Lets a socket in: as `who`, or as one that has yet to say it.
    ///
    /// # Errors
    /// When there are as many as may be.
    pub fn enter(self: &Arc<Self>, who: Option<UserId>) -> Result<Pass, Fault> {
        let mut inside = self.inside();
        match who {
            Some(who) => inside.take_place(who, self.rules.sessions)?,
            None if inside.unnamed >= self.rules.unnamed_sockets => {
                let message = "as many sockets wait for their session.open as may; come again after retry_after_ms, \
                               or give the token in the Authorization header";
                return Err(Fault::new(Code::Overloaded, message).after(self.come_again(Instant::now())));
            }
            None => inside.unnamed += 1,
        }
        inside.sockets += 1;
        Ok(Pass { door: self.clone(), who })
    }

    /// `who` makes a call over HTTP.
    ///
    /// # Errors
    /// When they make too many.
    pub(crate) fn call_of(&self, who: UserId) -> Result<(), Fault> {
        let now = || self.callers.clock().now();
        self.callers.check_key(&who).map_err(|until| self.rules.pace.too_fast(&until, now()))
    }

    /// Forgets the people who make no calls now. To be called now and then.
    pub fn forget_the_quiet(&self) {
        self.callers.retain_recent();
        self.callers.shrink_to_fit();
    }

    /// The server stops: nobody is let in any more, and whoever comes is told that
    /// its next run is expected after `back_in`.
    pub fn shut(&self, back_in: Duration) {
        *self.back_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + back_in;
        self.shut.store(true, Ordering::Release);
    }

    /// Whether the server takes what is new.
    ///
    /// # Errors
    /// When it stops.
    pub fn is_open(&self) -> Result<(), Fault> {
        if !self.shut.load(Ordering::Acquire) {
            return Ok(());
        }
        let back_at = *self.back_at.lock().unwrap_or_else(PoisonError::into_inner);
        let message = "the server stops, and nothing was done; its next run is expected after retry_after_ms";
        Err(Fault::new(Code::ServerRestarting, message).after(self.come_again(back_at)))
    }

    /// How many sockets are inside.
    pub fn sockets(&self) -> usize {
        self.inside().sockets
    }

    /// Returns when no socket is inside.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.sockets() == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When one who is refused is to come again, in milliseconds, and not before `from`: each a
    /// little later than the one before, at the rate at which they are let in.
    fn come_again(&self, from: Instant) -> u64 {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let earliest = from.max(now) + SOONEST;
        // So many that it would take too long: they share the same times from the first on.
        let at = if *next > earliest + SPREAD { earliest } else { earliest.max(*next) };
        *next = at + Duration::from_secs(1) / self.rules.openings_per_second.max(1);
        millis(at - now)
    }
}

/// Whole milliseconds, and one at least.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX).max(1)
}

impl Inside {
    fn take_place(&mut self, who: UserId, most: u32) -> Result<(), Fault> {
        let places = self.people.entry(who).or_default();
        if *places >= most {
            let message = format!("{most} sessions of this person are open, as many as may be; close one first");
            return Err(Fault::new(Code::TooManySessions, message).after(PLACE_AFTER_MS));
        }
        *places += 1;
        Ok(())
    }

    fn give_back(&mut self, who: Option<UserId>) {
        let Some(who) = who else { return self.unnamed -= 1 };
        if let Some(places) = self.people.get_mut(&who) {
            *places -= 1;
            if *places == 0 {
                self.people.remove(&who);
            }
        }
    }
}

/// A socket's place inside, given back when this is dropped.
pub struct Pass {
    door: Arc<Door>,
    who: Option<UserId>,
}

impl Pass {
    /// The socket says that it is `who`'s.
    ///
    /// # Errors
    /// When they have as many sessions as one may have; then it is nobody's still.
    pub(crate) fn name(&mut self, who: UserId) -> Result<(), Fault> {
        if self.who == Some(who) {
            return Ok(());
        }
        let mut inside = self.door.inside();
        inside.take_place(who, self.door.rules.sessions)?;
        inside.give_back(self.who.replace(who));
        Ok(())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.door.inside();
        inside.give_back(self.who);
        inside.sockets -= 1;
        if inside.sockets == 0 {
            self.door.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn door(sessions: u32, unnamed_sockets: u32) -> Arc<Door> {
        let pace = Pace { per_second: 1, burst: 3 };
        Door::new(DoorRules { unnamed_sockets, openings_per_second: 100, opening_burst: 2, sessions, pace })
    }

    fn person(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    fn code<T>(refused: Result<T, Fault>) -> Code {
        let fault = refused.err().expect("a refusal");
        assert!(fault.data.retry_after_ms.is_some_and(|after| after > 0), "{fault}");
        fault.code
    }

    #[test]
    fn places_are_counted_a_person_and_given_back() {
        let door = door(2, 10);
        let (ann, ben) = (person(1), person(2));
        let first = door.enter(Some(ann)).unwrap();
        let mut second = door.enter(None).unwrap();
        second.name(ann).unwrap();
        second.name(ann).unwrap();
        assert_eq!(code(door.enter(Some(ann))), Code::TooManySessions);
        let mut third = door.enter(None).unwrap();
        assert_eq!(code(third.name(ann)), Code::TooManySessions);
        third.name(ben).unwrap();
        drop(first);
        drop(door.enter(Some(ann)).unwrap());
        drop((second, third));
        let inside = door.inside();
        assert!(inside.people.is_empty() && inside.unnamed == 0 && inside.sockets == 0);
    }

    #[test]
    fn a_panic_gives_the_place_back() {
        let door = door(1, 10);
        let ann = person(1);
        let inside = door.clone();
        let died = std::thread::spawn(move || {
            let _pass = inside.enter(Some(ann)).unwrap();
            panic!("on purpose");
        });
        assert!(died.join().is_err());
        assert!(door.enter(Some(ann)).is_ok());
    }

    #[test]
    fn those_who_do_not_say_who_they_are_take_no_more_than_their_share() {
        let door = door(10, 1);
        let mut nobody = door.enter(None).unwrap();
        assert_eq!(code(door.enter(None)), Code::Overloaded);
        assert!(door.enter(Some(person(1))).is_ok());
        nobody.name(person(1)).unwrap();
        assert!(door.enter(None).is_ok());
    }

    #[test]
    fn a_crowd_is_told_to_come_again_one_after_the_other() {
        let door = door(10, 10);
        door.knock().unwrap();
        door.knock().unwrap();
        let mut told: Vec<u64> =
            (0..5_000).filter_map(|_| door.knock().err()).filter_map(|fault| fault.data.retry_after_ms).collect();
        assert!(told.len() > 4_000, "the rate is 100 a second");
        told.sort_unstable();
        let (soonest, spread) = (SOONEST.as_millis() as u64, SPREAD.as_millis() as u64);
        assert!(told[0] <= soonest && told[told.len() - 1] <= soonest + spread + 20);
        for times in told.windows(60) {
            assert!(times[59] - times[0] >= 90, "60 of them come again within {} ms", times[59] - times[0]);
        }
    }

    #[test]
    fn who_comes_while_the_server_stops_is_told_when_it_is_back() {
        let door = door(10, 10);
        let _pass = door.enter(Some(person(1))).unwrap();
        door.shut(Duration::from_secs(20));
        let told: Vec<u64> = (0..100)
            .filter_map(|_| door.knock().err())
            .filter(|fault| fault.code == Code::ServerRestarting)
            .filter_map(|fault| fault.data.retry_after_ms)
            .collect();
        assert_eq!(told.len(), 100);
        // A second for a hundred, at 100 a second, once it is back.
        assert!(told.iter().all(|after| (15_000..22_000).contains(after)), "{told:?}");
        assert!(told[99] > told[0] + 500, "{told:?}");
        assert_eq!(door.sockets(), 1);
    }

    #[test]
    fn calls_over_http_are_paced_for_each_person_alone() {
        let door = door(10, 10);
        let (ann, ben) = (person(1), person(2));
        let refused = (0..100).filter_map(|_| door.call_of(ann).err()).count();
        assert!(refused > 90, "{refused}");
        assert_eq!(code(door.call_of(ann)), Code::RateLimited);
        door.call_of(ben).unwrap();
        door.forget_the_quiet();
        assert_eq!(code(door.call_of(ann)), Code::RateLimited, "who has just called is not forgotten");
    }
}
