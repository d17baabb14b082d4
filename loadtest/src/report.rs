//! What came out: tables, which are Markdown and can be read as they are, and the same as JSON.

use std::{
    io::{Write as _, stdout},
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;

use crate::bounds::Bound;

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
    /// What was stated beforehand, and whether it holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) bounds: Vec<Bound>,
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
type Row = (String, Vec<String>, String);

impl Report {
    /// A report without any figures.
    pub(crate) fn new(scenario: &'static str, setup: String) -> Self {
        Self { scenario, setup, figures: Vec::new(), compared: Vec::new(), bounds: Vec::new() }
    }

    /// The report as tables in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("**{}**: {}\n", self.scenario, self.setup);
        let alone = self.figures.iter().map(|figure| {
            let (unit, decimals) = figure.unit.written();
            (figure.name.clone(), vec![grouped(figure.value, decimals)], unit.to_owned())
        });
        table(&mut text, &[""], alone.collect());
        let heads: Vec<&str> = self.compared.iter().map(|side| side.name.as_str()).collect();
        let beside = self.compared.first().into_iter().flat_map(|side| side.figures.iter().enumerate());
        let beside = beside.map(|(index, figure)| {
            let (unit, decimals) = figure.unit.written();
            let value =
                |side: &Side| side.figures.get(index).map_or_else(String::new, |it| grouped(it.value, decimals));
            (figure.name.clone(), self.compared.iter().map(value).collect(), unit.to_owned())
        });
        table(&mut text, &heads, beside.collect());
        let bounds = self.bounds.iter().map(|bound| {
            let (unit, decimals) = bound.unit.written();
            let stated = format!("{} {}", bound.kind(), grouped(bound.stated, decimals));
            let unit = if bound.holds { unit.to_owned() } else { format!("{unit} **BROKEN**").trim_start().to_owned() };
            (bound.name.clone(), vec![grouped(bound.measured, decimals), stated], unit)
        });
        table(&mut text, &["measured", "stated"], bounds.collect());
        text
    }

    /// What is beyond its bound, each in a few words.
    fn broken(&self) -> impl Iterator<Item = String> {
        self.bounds.iter().filter(|bound| !bound.holds).map(|bound| {
            let (unit, decimals) = bound.unit.written();
            let [measured, stated] =
                [bound.measured, bound.stated].map(|value| format!("{} {unit}", grouped(value, decimals)));
            let (measured, stated) = (measured.trim_end(), stated.trim_end());
            format!("{}: {}: {measured}, stated: {} {stated}", self.scenario, bound.name, bound.kind())
        })
    }
}

/// Fails if anything is beyond its bound.
pub(crate) fn judge(reports: &[Report]) -> anyhow::Result<()> {
    let broken: Vec<String> = reports.iter().flat_map(Report::broken).collect();
    if !broken.is_empty() {
        bail!("what was stated does not hold:\n  {}", broken.join("\n  "));
    }
    Ok(())
}

/// Writes a table, if there is anything in it: a column for the names, one for each of `heads`, and one for the units.
fn table(text: &mut String, heads: &[&str], rows: Vec<Row>) {
    if rows.is_empty() {
        return;
    }
    let head = (String::new(), heads.iter().map(|&head| head.to_owned()).collect(), String::new());
    let rows: Vec<Row> = std::iter::once(head).chain(rows).collect();
    let width = |of: &dyn Fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let names = width(&|(name, ..)| name.chars().count());
    let values: Vec<usize> = (0..heads.len()).map(|column| width(&|(_, values, _)| values[column].len())).collect();
    let units = width(&|(.., unit)| unit.chars().count());
    text.push('\n');
    for (index, (name, cells, unit)) in rows.iter().enumerate() {
        text.push_str(&format!("| {name:<names$} |"));
        for (cell, width) in cells.iter().zip(&values) {
            text.push_str(&format!(" {cell:>width$} |"));
        }
        text.push_str(&format!(" {unit:<units$} |\n"));
        if index == 0 {
            text.push_str(&format!("|{}|", "-".repeat(names + 2)));
            values.iter().for_each(|width| text.push_str(&format!("{}:|", "-".repeat(width + 1))));
            text.push_str(&format!("{}|\n", "-".repeat(units + 2)));
        }
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
    /// Prints the tables, writes the file if one was asked for, and fails if a bound does not hold.
    pub(crate) fn write(&self, reports: &[Report]) -> anyhow::Result<()> {
        for report in reports {
            say(&report.table())?;
        }
        self.save(reports, None)?;
        judge(reports)
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
        let figures = vec![
            Figure::count("deliveries", 1_234_567),
            Figure::new("latency, p50", 1.5, Unit::Milliseconds),
            Figure::new("change", -1_000.0, Unit::Bytes),
        ];
        let report = Report { figures, ..Report::new("fanout", "two watchers".to_owned()) };
        let expected = "\
**fanout**: two watchers

|              |           |       |
|--------------|----------:|-------|
| deliveries   | 1,234,567 |       |
| latency, p50 |      1.50 | ms    |
| change       |    -1,000 | bytes |
";
        assert_eq!(report.table(), expected);
    }

    #[test]
    fn sides_stand_beside_each_other_under_their_names() {
        let side = |name: &str, p99| Side::new(name, vec![Figure::new("latency, p99", p99, Unit::Milliseconds)]);
        let report = Report {
            figures: vec![Figure::count("watchers", 100)],
            compared: vec![side("all read", 2.0), side("one does not", 12.25)],
            ..Report::new("slow", "one does not read".to_owned())
        };
        let expected = "\
**slow**: one does not read

|          |     |  |
|----------|----:|--|
| watchers | 100 |  |

|              | all read | one does not |    |
|--------------|---------:|-------------:|----|
| latency, p99 |     2.00 |        12.25 | ms |
";
        assert_eq!(report.table(), expected);
    }

    #[test]
    fn what_is_beyond_its_bound_is_marked_and_fails_the_run() {
        let bounds = vec![
            Bound::at_most("p99", 3.0, 50.0, Unit::Milliseconds),
            Bound::at_least("answered", 7.0, 8.0, Unit::Count),
        ];
        let mut report = Report { bounds, ..Report::new("slow", "x".to_owned()) };
        let table = report.table();
        assert!(table.contains("| p99      |     3.00 | at most 50.00 | ms         |\n"), "{table}");
        assert!(table.contains("| answered |        7 |    at least 8 | **BROKEN** |\n"), "{table}");
        let refused = judge(std::slice::from_ref(&report)).unwrap_err().to_string();
        assert!(refused.contains("slow: answered: 7, stated: at least 8"), "{refused}");
        assert!(!refused.contains("p99"), "{refused}");
        report.bounds.pop();
        judge(&[report]).unwrap();
    }
}
