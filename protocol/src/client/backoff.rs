//! Waits with a part of chance, so that many clients do not come back all at once.

use std::time::Duration;

use uuid::Uuid;

/// How the waits between attempts grow: each is anything from nothing to a bound that doubles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first wait.
    pub first: Duration,
    /// The bound of the longest wait.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), longest: Duration::from_secs(20) }
    }
}

impl Backoff {
    /// How long to wait before attempt number `attempt`, from 0.
    pub(super) fn wait(self, attempt: u32) -> Duration {
        chance_of(self.bound(attempt))
    }

    fn bound(self, attempt: u32) -> Duration {
        self.first.saturating_mul(1 << attempt.min(20)).min(self.longest)
    }
}

/// Anything between nothing and `longest`.
pub(super) fn chance_of(longest: Duration) -> Duration {
    longest.mul_f64(chance())
}

/// A random number between 0 and 1, from the random part of a fresh UUIDv7: good enough to spread clients.
fn chance() -> f64 {
    let random = Uuid::now_v7().as_u128() as u32;
    f64::from(random) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_stay_within_their_bounds_and_differ() {
        let backoff = Backoff::default();
        assert_eq!(backoff.bound(0), Duration::from_millis(500));
        assert_eq!(backoff.bound(3), Duration::from_secs(4));
        assert_eq!(backoff.bound(1_000), Duration::from_secs(20));
        let waits: Vec<Duration> = (0..100).map(|_| backoff.wait(1)).collect();
        let second = Duration::from_secs(1);
        assert!(waits.iter().all(|wait| *wait <= second));
        assert!(waits.iter().any(|wait| *wait < second / 2) && waits.iter().any(|wait| *wait > second / 2));
    }
}
