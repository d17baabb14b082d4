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

    pub(crate) fn mebibytes(name: impl Into<String>, bytes: u64) -> Self {
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
    /// What came of it in each of several settings, to be read side by side.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) compared: Vec<Side>,
}

/// The same figures in one of several settings.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Side {
    /// The setting, in a few words.
    pub(crate) name: String,
    /// The figures, of the same names and in the same order on every side.
    pub(crate) figures: Vec<Figure>,
}

impl Side {
    pub(crate) fn new(name: impl Into<String>, figures: Vec<Figure>) -> Self {
        Self { name: name.into(), figures }
    }
}

/// A line of a table: a name, values, a unit.
type Row<'a> = (&'a str, Vec<String>, &'a str);

impl Report {
    /// The report as a table.
    pub(crate) fn table(&self) -> String {
        let mut table = format!("{}: {}\n", self.scenario, self.setup);
        let alone = self.figures.iter().map(|figure| {
            let (unit, decimals) = figure.unit.written();
            (figure.name.as_str(), vec![grouped(figure.value, decimals)], unit)
        });
        align(&mut table, &alone.collect::<Vec<Row<'_>>>());
        let Some(first) = self.compared.first() else { return table };
        let heads = self.compared.iter().map(|side| side.name.clone()).collect();
        let beside = first.figures.iter().enumerate().map(|(index, figure)| {
            let (unit, decimals) = figure.unit.written();
            let value =
                |side: &Side| side.figures.get(index).map_or_else(String::new, |it| grouped(it.value, decimals));
            (figure.name.as_str(), self.compared.iter().map(value).collect(), unit)
        });
        let rows: Vec<Row<'_>> = std::iter::once(("", heads, "")).chain(beside).collect();
        align(&mut table, &rows);
        table
    }
}

/// Writes the rows with their columns one below the other.
fn align(table: &mut String, rows: &[Row<'_>]) {
    let names = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    let columns = rows.iter().map(|(_, values, _)| values.len()).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|(_, values, _)| Some(values.get(column)?.len())).max();
    let widths: Vec<usize> = (0..columns).filter_map(width).collect();
    for (name, values, unit) in rows {
        let mut row = format!("  {name:<names$}");
        for (value, width) in values.iter().zip(&widths) {
            row.push_str(&format!("  {value:>width$}"));
        }
        row.push(' ');
        row.push_str(unit);
        table.push_str(row.trim_end());
        table.push('\n');
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
            compared: Vec::new(),
        };
        let expected = "fanout: two watchers\n  deliveries    1,234,567\n  latency, p50       1.50 ms\n  change           -1,000 bytes\n";
        assert_eq!(report.table(), expected);
    }

    #[test]
    fn sides_stand_beside_each_other_under_their_names() {
        let side = |name: &str, p99| Side::new(name, vec![Figure::new("latency, p99", p99, Unit::Milliseconds)]);
        let report = Report {
            scenario: "slow",
            setup: "one does not read".to_owned(),
            figures: vec![Figure::count("watchers", 100)],
            compared: vec![side("all read", 2.0), side("one does not", 12.25)],
        };
        let expected = "slow: one does not read\n  watchers  100\n                all read  one does not\n  latency, p99      2.00         12.25 ms\n";
        assert_eq!(report.table(), expected);
    }
}
