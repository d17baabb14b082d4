//! Latencies in a histogram: three digits, from a microsecond to a minute.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::report::{Figure, Unit};

/// The longest that can be told apart; what takes longer counts as this.
const LONGEST_US: u64 = 60_000_000;

/// How long things took.
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> Self {
        // The bounds and the digits are right for every histogram of this size.
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).expect("these bounds are allowed"))
    }

    pub(crate) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST_US));
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// What 99 of 100 took at most, in milliseconds.
    pub(crate) fn p99_ms(&self) -> f64 {
        self.0.value_at_quantile(0.99) as f64 / 1_000.0
    }

    /// The longest, in milliseconds.
    pub(crate) fn longest_ms(&self) -> f64 {
        self.0.max() as f64 / 1_000.0
    }

    /// Half, 99 of 100 and 999 of 1000, and the worst, each under `name`.
    pub(crate) fn figures(&self, name: &str) -> Vec<Figure> {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1_000.0;
        vec![
            Figure::new(format!("{name}, p50"), at(0.5), Unit::Milliseconds),
            Figure::new(format!("{name}, p99"), at(0.99), Unit::Milliseconds),
            Figure::new(format!("{name}, p99.9"), at(0.999), Unit::Milliseconds),
            Figure::new(format!("{name}, longest"), self.longest_ms(), Unit::Milliseconds),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_thousandth() {
        let mut latency = Latency::new();
        (1..=1_000).for_each(|ms| latency.record(Duration::from_millis(ms)));
        let figures = latency.figures("x");
        for (figure, expected) in figures.iter().zip([500.0, 990.0, 999.0, 1_000.0]) {
            assert!((figure.value / expected - 1.0).abs() < 0.001, "{} is {}", figure.name, figure.value);
        }
        assert!((latency.p99_ms() - figures[1].value).abs() < 1e-9);
    }

    #[test]
    fn what_is_out_of_bounds_is_counted_at_the_bound() {
        let mut latency = Latency::new();
        latency.record(Duration::ZERO);
        latency.record(Duration::from_secs(3_600));
        assert_eq!(latency.count(), 2);
        assert!((latency.figures("x")[3].value / 60_000.0 - 1.0).abs() < 0.001);
    }
}
