//! What came out: a table for people, and the same as JSON.

use std::{
    io::{Write as _, stdout},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

/// Where the figures go, besides the table.
#[derive(Args, Clone, Debug)]
pub(crate) struct Output {
    /// Also write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Microseconds,
    Milliseconds,
    Seconds,
    PerSecond,
    Bytes,
    MebiBytes,
    PercentOfCore,
    Count,
    /// How many of one thing there are to one of another.
    Ratio,
}

impl Unit {
    /// How it is written in a table, and with how many decimals.
    fn written(self) -> (&'static str, usize) {
        match self {
            Self::Microseconds => ("us", 2),
            Self::Milliseconds => ("ms", 2),
            Self::Seconds => ("s", 2),
            Self::PerSecond => ("/s", 0),
            Self::Bytes => ("bytes", 0),
            Self::MebiBytes => ("MiB", 1),
            Self::PercentOfCore => ("% of a core", 1),
            Self::Count => ("", 0),
            Self::Ratio => ("", 2),
        }
    }
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { name: name.into(), value, unit }
    }

    pub(crate) fn count(name: &str, count: u64) -> Self {
        Self::new(name, count as f64, Unit::Count)
    }

    pub(crate) fn mebibytes(name: &str, bytes: u64) -> Self {
        Self::new(name, bytes as f64 / f64::from(1 << 20), Unit::MebiBytes)
    }
}

/// What one scenario came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The scenario's name.
    pub(crate) scenario: &'static str,
    /// What was done, in a sentence.
    pub(crate) setup: String,
    /// What came of it.
    pub(crate) figures: Vec<Figure>,
}

impl Report {
    /// The report as a table.
    pub(crate) fn table(&self) -> String {
        let row = |figure: &Figure| {
            let (unit, decimals) = figure.unit.written();
            (figure.name.clone(), grouped(figure.value, decimals), unit)
        };
        let rows: Vec<(String, String, &str)> = self.figures.iter().map(row).collect();
        let names = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
        let values = rows.iter().map(|(_, value, _)| value.len()).max().unwrap_or(0);
        let mut table = format!("{}: {}\n", self.scenario, self.setup);
        for (name, value, unit) in rows {
            let row = format!("  {name:<names$}  {value:>values$} {unit}");
            table.push_str(row.trim_end());
            table.push('\n');
        }
        table
    }
}

/// The number with its thousands apart.
fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// Prints `text` and an empty line.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    writeln!(stdout(), "{text}").context("standard output cannot be written")
}

/// Where the figures were measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Place {
    /// The cores that are there for the server and for this program together.
    pub(crate) cores: usize,
    /// The kind of file system that the server's folder is on.
    pub(crate) file_system: String,
}

impl Output {
    /// Prints the tables, and writes the file if one was asked for.
    pub(crate) fn write(&self, reports: &[Report]) -> anyhow::Result<()> {
        for report in reports {
            say(&report.table())?;
        }
        self.save(reports, None)
    }

    /// Writes the file if one was asked for.
    pub(crate) fn save(&self, reports: &[Report], place: Option<&Place>) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Document<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            place: Option<&'a Place>,
            reports: &'a [Report],
        }
        let Some(path) = &self.json else { return Ok(()) };
        let mut json = serde_json::to_string_pretty(&Document { place, reports })?;
        json.push('\n');
        std::fs::write(path, json).with_context(|| format!("{} cannot be written", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_its_numbers_are_readable() {
        let report = Report {
            scenario: "fanout",
            setup: "two watchers".to_owned(),
            figures: vec![
                Figure::count("deliveries", 1_234_567),
                Figure::new("latency, p50", 1.5, Unit::Milliseconds),
                Figure::new("change", -1_000.0, Unit::Bytes),
            ],
        };
        let expected = "fanout: two watchers\n  deliveries    1,234,567\n  latency, p50       1.50 ms\n  change           -1,000 bytes\n";
        assert_eq!(report.table(), expected);
    }
}
