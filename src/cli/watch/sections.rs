//! The parts of the screen: the plan, what waits for an answer, the documents, and the feed.

use std::collections::HashMap;

use flightdeck_protocol::{
    StepId,
    model::{ApprovalStatus, DocumentStatus, Mission, Step, StepStatus},
};

use super::{
    describe::mark,
    style::{Line, Style},
    view::View,
};
use crate::cli::text::{moment, size, width};

/// Rows of a text that is being said, the last ones; and the columns of each.
const SAID: (usize, usize) = (4, 72);
/// The deepest that a plan is indented; deeper steps stand there, too.
const DEEPEST: usize = 8;

/// A part of the screen.
pub(super) struct Section {
    pub(super) title: String,
    pub(super) lines: Vec<Line>,
    /// The line that has to be in sight when there is not room for all.
    focus: usize,
}

impl Section {
    /// As many of the lines as `rows` hold, around the one that matters; the edges say how many are left out.
    pub(super) fn window(&self, rows: usize) -> Vec<Line> {
        let count = self.lines.len();
        if rows >= count {
            return self.lines.clone();
        }
        let first = self.focus.saturating_sub(rows / 2).min(count - rows);
        let mut shown = self.lines[first..first + rows].to_vec();
        let left_out = |many: usize, place: &str| Line::new(Style::Dim, &format!("  … {many} more {place}"));
        // A row that says so leaves one more out. With fewer rows than three, the line that matters is worth more.
        if rows >= 3 {
            if first > 0 {
                shown[0] = left_out(first + 1, "above");
            }
            if first + rows < count {
                shown[rows - 1] = left_out(count - first - rows + 1, "below");
            }
        }
        shown
    }
}

/// What there is to show of `mission`, empty parts left out.
pub(super) fn all(view: &View, mission: &Mission) -> Vec<Section> {
    let sections = [approvals(mission), plan(mission), documents(mission), feed(view, mission), saying(view)];
    sections.into_iter().filter(|section| !section.lines.is_empty()).collect()
}

fn approvals(mission: &Mission) -> Section {
    let pending = mission.approvals.iter().filter(|asked| asked.status == ApprovalStatus::Pending);
    let lines = pending
        .map(|asked| {
            let options: Vec<String> =
                asked.options.iter().map(|option| format!("{} = {}", option.id, option.label)).collect();
            let options = if options.is_empty() { String::new() } else { format!("  [{}]", options.join(", ")) };
            Line::new(Style::Odd, "  ? ")
                .and(Style::Bold, &asked.prompt)
                .and(Style::Plain, &options)
                .and(Style::Dim, &format!("  key {}", asked.key))
        })
        .collect();
    Section { title: "Waiting for an answer".to_owned(), lines, focus: 0 }
}

fn plan(mission: &Mission) -> Section {
    let ordered = in_order(&mission.plan);
    let last = |found: fn(StepStatus) -> bool| ordered.iter().rposition(|(_, step)| found(step.status));
    let focus = last(|status| status == StepStatus::Running)
        .or_else(|| last(|status| matches!(status, StepStatus::Waiting | StepStatus::Unknown)))
        .or_else(|| last(StepStatus::is_settled))
        .unwrap_or(0);
    let lines = ordered
        .iter()
        .map(|(depth, step)| {
            let (mark, style) = mark(step.status);
            let title_style = match step.status {
                StepStatus::Running => Style::Bold,
                StepStatus::Skipped => Style::Dim,
                _ => Style::Plain,
            };
            let mut line = Line::new(Style::Plain, &"  ".repeat(depth + 1))
                .and(style, mark)
                .and(title_style, &format!(" {}", step.title));
            if let Some(assignee) = &step.assignee {
                line = line.and(Style::Dim, &format!(" @{assignee}"));
            }
            if let Some(result) = &step.result {
                line = line.and(Style::Dim, &format!(" – {result}"));
            }
            line
        })
        .collect();
    Section { title: "Plan".to_owned(), lines, focus }
}

/// The steps as the tree is read, each with its depth. A step whose parent is not there stands at the top.
fn in_order(plan: &[Step]) -> Vec<(usize, &Step)> {
    let known: HashMap<StepId, ()> = plan.iter().map(|step| (step.id, ())).collect();
    let mut children: HashMap<Option<StepId>, Vec<&Step>> = HashMap::new();
    for step in plan {
        children.entry(step.parent.filter(|parent| known.contains_key(parent))).or_default().push(step);
    }
    let mut ordered = Vec::with_capacity(plan.len());
    let mut open: Vec<(usize, &Step)> =
        children.remove(&None).unwrap_or_default().into_iter().rev().map(|step| (0, step)).collect();
    while let Some((depth, step)) = open.pop() {
        ordered.push((depth, step));
        let below = children.remove(&Some(step.id)).unwrap_or_default();
        open.extend(below.into_iter().rev().map(|child| ((depth + 1).min(DEEPEST), child)));
    }
    ordered
}

fn documents(mission: &Mission) -> Section {
    let lines: Vec<Line> = mission
        .documents
        .iter()
        .map(|document| {
            let (mark, style) = match document.status {
                DocumentStatus::Verified => ("✓", Style::Good),
                DocumentStatus::Received => ("○", Style::Plain),
            };
            let short: String = document.sha256.chars().take(12).collect();
            let version = if document.version > 1 { format!(" (version {})", document.version) } else { String::new() };
            Line::new(Style::Plain, "  ")
                .and(style, mark)
                .and(Style::Plain, &format!(" {}{version}", document.name))
                .and(Style::Dim, &format!("  {}  {}  sha256 {short}", size(document.size), document.media_type))
        })
        .collect();
    let focus = lines.len().saturating_sub(1);
    Section { title: format!("Documents ({})", lines.len()), lines, focus }
}

fn feed(view: &View, mission: &Mission) -> Section {
    let lines: Vec<Line> = view
        .feed
        .iter()
        .map(|entry| {
            let is_new = view.new_since.is_some_and(|since| entry.seq > since);
            Line::new(Style::Odd, if is_new { "• " } else { "  " })
                .and(Style::Dim, &moment(entry.at, &view.zone, "%H:%M:%S"))
                .and(Style::Dim, &format!(" {:<9} ", entry.author))
                .and(entry.style, &entry.text)
        })
        .collect();
    let new = view.new_since.map(|since| view.feed.iter().filter(|entry| entry.seq > since).count());
    let title = match new {
        Some(new) if new > 0 => format!("Activity ({} logged, {new} new since you left)", mission.activity_count),
        _ => format!("Activity ({} logged)", mission.activity_count),
    };
    let focus = lines.len().saturating_sub(1);
    Section { title, lines, focus }
}

/// What is being said, each text as its last few rows.
fn saying(view: &View) -> Section {
    let mut lines = Vec::new();
    for said in &view.live.texts {
        let (rows, columns) = SAID;
        let wrapped = wrapped(&said.text, columns);
        let name = format!("  {} says: ", said.by.name());
        let indent = " ".repeat(width(&name));
        for (nth, row) in wrapped[wrapped.len().saturating_sub(rows)..].iter().enumerate() {
            let front = if nth == 0 { &name } else { &indent };
            lines.push(Line::new(Style::Dim, front).and(Style::Said, row));
        }
    }
    let focus = lines.len().saturating_sub(1);
    Section { title: "Being said".to_owned(), lines, focus }
}

/// `text` in rows of at most `columns` characters, broken between words where there are any.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut rows = Vec::new();
    for line in text.lines() {
        let mut row = String::new();
        let mut count = 0;
        for word in line.split_inclusive(' ') {
            let wide = word.chars().count();
            if count > 0 && count + wide > columns {
                rows.push(std::mem::take(&mut row));
                count = 0;
            }
            row.push_str(word);
            count += wide;
        }
        rows.push(row);
    }
    rows
}
