//! Bounds that a run states beforehand: beyond them it fails, however well it counted.

use serde::Serialize;

use crate::report::Unit;

/// Something measured, beside what it may be.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bound {
    /// What was measured.
    pub(crate) name: String,
    pub(crate) measured: f64,
    pub(crate) stated: f64,
    pub(crate) unit: Unit,
    /// Whether the stated value is the least that it may be; it is the most otherwise.
    at_least: bool,
    pub(crate) holds: bool,
}

impl Bound {
    pub(crate) fn at_most(name: impl Into<String>, measured: f64, stated: f64, unit: Unit) -> Self {
        Self { name: name.into(), measured, stated, unit, at_least: false, holds: measured <= stated }
    }

    pub(crate) fn at_least(name: impl Into<String>, measured: f64, stated: f64, unit: Unit) -> Self {
        Self { name: name.into(), measured, stated, unit, at_least: true, holds: measured >= stated }
    }

    /// What is stated, in two words.
    pub(crate) fn kind(&self) -> &'static str {
        if self.at_least { "at least" } else { "at most" }
    }
}

/// What a latency may be at most beside what it was without the disturbance: so many times that, and where that is
/// little, what nobody would notice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Movement {
    pub(crate) times: f64,
    pub(crate) floor_ms: f64,
}

impl Movement {
    pub(crate) fn of(self, name: &str, undisturbed_ms: f64, disturbed_ms: f64) -> Bound {
        let stated = (undisturbed_ms * self.times).max(self.floor_ms);
        Bound::at_most(name, disturbed_ms, stated, Unit::Milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_holds_up_to_what_is_stated() {
        let at_most = |measured| Bound::at_most("x", measured, 10.0, Unit::Seconds).holds;
        assert!(at_most(10.0) && !at_most(10.1) && !at_most(f64::NAN));
        let at_least = |measured| Bound::at_least("x", measured, 10.0, Unit::Count).holds;
        assert!(at_least(10.0) && !at_least(9.9) && !at_least(f64::NAN));
    }

    #[test]
    fn a_latency_may_move_so_many_times_and_what_is_small_may_move_freely() {
        let movement = Movement { times: 2.0, floor_ms: 50.0 };
        let holds = |undisturbed, disturbed| movement.of("p99", undisturbed, disturbed).holds;
        assert!(holds(3.0, 49.0) && !holds(3.0, 51.0));
        assert!(holds(100.0, 199.0) && !holds(100.0, 201.0));
    }
}
