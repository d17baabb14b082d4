//! What came of the scenarios: a table for people, JSON for programs.

use serde::Serialize;

use crate::witness::{Finding, Kind};

/// What came of one scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    /// The scenario's name.
    pub(crate) scenario: &'static str,
    /// The library's name, if it said it.
    pub(crate) library: Option<String>,
    /// Events that it handed over.
    pub(crate) events: u64,
    /// Snapshots that it took.
    pub(crate) snapshots: u64,
    /// How long it took, in milliseconds.
    pub(crate) took_ms: u64,
    /// Why it was left out, if it was: the library cannot do what it is about.
    pub(crate) skipped: Option<String>,
    /// What the library did wrong.
    pub(crate) findings: Vec<Finding>,
}

impl Outcome {
    /// Whether nothing was wrong.
    pub(crate) fn passed(&self) -> bool {
        self.findings.is_empty()
    }

    /// In a few words.
    pub(crate) fn verdict(&self) -> String {
        if self.skipped.is_some() {
            return "left out".to_owned();
        }
        if self.passed() {
            return "pass".to_owned();
        }
        let mut kinds: Vec<Kind> = self.findings.iter().map(|finding| finding.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
    }
}

/// What came of all of them.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Whether the library passed everything that it was put to.
    pub(crate) passed: bool,
    /// Each scenario.
    pub(crate) scenarios: Vec<Outcome>,
}

impl Report {
    pub(crate) fn new(scenarios: Vec<Outcome>) -> Self {
        Self { passed: scenarios.iter().all(Outcome::passed), scenarios }
    }

    /// As JSON.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// As a table, with the findings under it.
    pub(crate) fn table(&self) -> String {
        let library = self.scenarios.iter().find_map(|outcome| outcome.library.as_deref());
        let mut lines = vec![
            format!("Conformance of {}", library.unwrap_or("a client that did not say its name")),
            String::new(),
            format!("{:<10} {:<22} {:>8} {:>9} {:>8}", "scenario", "verdict", "events", "snapshots", "seconds"),
        ];
        for outcome in &self.scenarios {
            let seconds = outcome.took_ms as f64 / 1000.0;
            let Outcome { scenario, events, snapshots, .. } = outcome;
            lines.push(format!("{scenario:<10} {:<22} {events:>8} {snapshots:>9} {seconds:>8.1}", outcome.verdict()));
        }
        lines.push(String::new());
        for outcome in &self.scenarios {
            for finding in &outcome.findings {
                lines.push(format!("{}: {}: {}", outcome.scenario, finding.kind.name(), finding.what));
            }
            if let Some(why) = &outcome.skipped {
                lines.push(format!("{}: left out: {why}", outcome.scenario));
            }
        }
        let failed = self.scenarios.iter().filter(|outcome| !outcome.passed()).count();
        lines.push(match failed {
            0 => "passed".to_owned(),
            failed => format!("FAILED {failed} of {}", self.scenarios.len()),
        });
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(findings: Vec<Finding>) -> Outcome {
        Outcome {
            scenario: "drop",
            library: Some("mine".to_owned()),
            events: 7,
            snapshots: 1,
            took_ms: 1_250,
            skipped: None,
            findings,
        }
    }

    #[test]
    fn one_finding_fails_the_whole() {
        let gap = |what: &str| Finding { kind: Kind::Gap, what: what.to_owned() };
        let lost = Finding { kind: Kind::Divergence, what: "it lost a step".to_owned() };
        let report = Report::new(vec![outcome(vec![]), outcome(vec![lost, gap("3 after 1"), gap("5 after 3")])]);
        assert!(!report.passed);
        let table = report.table();
        assert!(table.starts_with("Conformance of mine\n"), "{table}");
        assert!(table.contains("drop       pass "), "{table}");
        assert!(table.contains("drop       gap, divergence "), "{table}");
        assert!(table.contains("drop: divergence: it lost a step\ndrop: gap: 3 after 1"), "{table}");
        assert!(table.ends_with("FAILED 1 of 2"), "{table}");
        assert!(report.json().unwrap().contains("\"kind\": \"gap\""));
        assert!(Report::new(vec![outcome(vec![])]).table().ends_with("passed"));
    }
}
