//! Counting the answers that earlier runs of the server left, while some of them go.

use std::collections::{HashMap, HashSet};

use flightdeck_data::answers::{AnswerKey, KEPT_MS};
use flightdeck_protocol::{Timestamp, UserId};

/// The answers of earlier runs, as far as the first sweep has counted them. It goes through them in the
/// order of their keys, while those of people who need room go in no order at all.
#[derive(Default)]
pub(super) struct Earlier {
    kept: HashMap<UserId, usize>,
    /// Up to which key they were counted, and when that began.
    counted: Option<(AnswerKey, Timestamp)>,
    /// Those that went before they were counted. They may be seen nevertheless: they are on their way out.
    gone: HashSet<AnswerKey>,
}

impl Earlier {
    /// The count begins, once more perhaps.
    pub(super) fn begin(&mut self) {
        self.kept.clear();
        self.counted = None;
    }

    /// Counts the answers of a sweep that began at `now`: those up to `last` that are not over.
    pub(super) fn count(&mut self, answers: impl Iterator<Item = AnswerKey>, last: AnswerKey, now: Timestamp) {
        for key in answers.filter(|key| !self.gone.contains(key)) {
            *self.kept.entry(key.person()).or_default() += 1;
        }
        self.counted = Some((last, now));
    }

    /// An answer is let go of that was given at `at_ms`, in milliseconds since the Unix epoch.
    pub(super) fn lose(&mut self, key: AnswerKey, at_ms: i64) {
        match self.counted {
            Some((last, now)) if key <= last => {
                let was_over = now.as_millis().saturating_sub(at_ms) >= KEPT_MS;
                if !was_over && let Some(kept) = self.kept.get_mut(&key.person()) {
                    *kept = kept.saturating_sub(1);
                }
            }
            _ => drop(self.gone.insert(key)),
        }
    }

    /// How many there are, by person.
    pub(super) fn kept(self) -> HashMap<UserId, usize> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_goes_while_they_are_counted_is_not_among_them_wherever_the_count_is() {
        let person: UserId = Uuid::from_u128(1).into();
        let mut keys: Vec<AnswerKey> = (0..10).map(|nth| AnswerKey::new(person, &nth.to_string())).collect();
        keys.sort();
        let now = Timestamp::now();
        let (young, old) = (now.as_millis() - 1, now.as_millis() - KEPT_MS);
        let mut earlier = Earlier::default();
        earlier.lose(keys[9], young);
        for count_again in 0..2 {
            earlier.begin();
            if count_again == 1 {
                earlier.lose(keys[8], young);
            }
            earlier.count(keys[..5].iter().copied().filter(|key| *key != keys[4]), keys[4], now);
            // This one was over, and not counted.
            earlier.lose(keys[4], old);
        }
        earlier.lose(keys[0], young);
        earlier.lose(keys[7], young);
        // They are on their way out, and are seen.
        earlier.count(keys[5..].iter().copied(), keys[9], now);
        earlier.lose(keys[5], young);
        assert_eq!(earlier.kept()[&person], 10 - 6);
    }
}
