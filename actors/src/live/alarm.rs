//! An alarm that is set once, however often it is asked for.

use std::time::{Duration, Instant};

/// An alarm that has not rung so long after its time is taken for lost: its thread has gone.
const LOST: Duration = Duration::from_secs(2);

/// Whether somebody comes back at a certain time.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Instant>);

impl Alarm {
    /// Asks for it in `wait` from `now`; true where the caller is to see to that.
    pub(super) fn set(&mut self, now: Instant, wait: Duration) -> bool {
        if self.0.is_some_and(|due| now < due + LOST) {
            return false;
        }
        self.0 = Some(now + wait);
        true
    }

    /// It has rung.
    pub(super) fn rang(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_set_once_until_it_rings_or_is_lost() {
        let (mut alarm, now, wait) = (Alarm::default(), Instant::now(), Duration::from_secs(1));
        assert!(alarm.set(now, wait));
        assert!(!alarm.set(now + wait, wait));
        alarm.rang();
        assert!(alarm.set(now, wait));
        assert!(alarm.set(now + wait + LOST, wait), "the thread that was to ring it is gone");
    }
}
