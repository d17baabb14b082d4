//! When a mission was last used: so that it leaves memory only when nobody is about to use it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use flightdeck_protocol::Timestamp;

/// When a mission was last used, shared by all who may use it.
#[derive(Clone)]
pub(crate) struct LastUse(Arc<AtomicI64>);

/// In the place of a time: nobody uses it any more.
const LEFT: i64 = i64::MIN;

impl LastUse {
    /// It is used now for the first time.
    pub(crate) fn first() -> Self {
        Self(Arc::new(AtomicI64::new(Timestamp::now().as_millis())))
    }

    /// It is used now; false if it has left.
    pub(crate) fn is_now(&self) -> bool {
        let now = Timestamp::now().as_millis();
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| (last != LEFT).then_some(now)).is_ok()
    }

    /// Whether it was last used before `before`.
    pub(crate) fn was_before(&self, before: Timestamp) -> bool {
        self.0.load(Ordering::Relaxed) < before.as_millis()
    }

    /// Lets nobody use it from now on, unless it was used since `before`; says whether it did.
    pub(crate) fn leave(&self, before: Timestamp) -> bool {
        let leaves = |last| (last < before.as_millis()).then_some(LEFT);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, leaves).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_does_not_leave_and_what_has_left_is_not_used() {
        let used = LastUse::first();
        let long_ago = Timestamp::from_millis(1_000);
        assert!(!used.was_before(long_ago) && !used.leave(long_ago));
        assert!(used.is_now(), "it is still there");
        let later = Timestamp::now().plus_millis(60_000);
        assert!(used.was_before(later) && used.leave(later));
        assert!(!used.is_now() && !used.clone().is_now(), "whoever wants it finds it anew");
    }

    #[test]
    fn of_one_who_uses_it_and_one_who_takes_it_away_one_wins() {
        for _ in 0..500 {
            let used = LastUse(Arc::new(AtomicI64::new(0)));
            let before = Timestamp::from_millis(1_000);
            let user = used.clone();
            let using = std::thread::spawn(move || user.is_now());
            let left = used.leave(before);
            assert_ne!(using.join().unwrap(), left);
        }
    }
}
