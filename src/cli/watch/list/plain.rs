//! A live list as lines: one for each mission that comes, changes, or leaves the list.

use std::{collections::HashMap, io::Write};

use flightdeck_protocol::{MissionId, Timestamp, client::Client, model::MissionSummary, notification::MissionChange};

use super::{Live, lost};
use crate::cli::text::clean;

/// Prints the list as it is, and then what changes, until it will not change any more.
///
/// Standard output has the missions alone; what is said of the connection goes to standard error.
pub(super) async fn run(client: &Client, mut list: Live, json: bool) -> anyhow::Result<()> {
    let mut printer = Printer { json, known: HashMap::new() };
    let mut was_live = false;
    client.attempted().await;
    if let Some(why) = lost(client) {
        eprintln!("{}", clean(&why));
    }
    loop {
        list.changed().await?;
        if was_live && !list.is_live() {
            let why = lost(client).unwrap_or_else(|| "no connection, it comes back by itself".to_owned());
            eprintln!("{}", clean(&why));
        }
        was_live = list.is_live();
        if let Some(items) = list.items() {
            printer.take(&items, Timestamp::now(), &mut std::io::stdout().lock())?;
        }
    }
}

struct Printer {
    json: bool,
    known: HashMap<MissionId, MissionSummary>,
}

impl Printer {
    /// Prints how `items` differ from those before.
    fn take(&mut self, items: &[MissionSummary], now: Timestamp, out: &mut impl Write) -> anyhow::Result<()> {
        let mut before = std::mem::take(&mut self.known);
        for mission in items {
            if before.remove(&mission.id).as_ref() != Some(mission) {
                self.change(MissionChange::Put { mission: mission.clone() }, &mission.title, now, out)?;
            }
            self.known.insert(mission.id, mission.clone());
        }
        for (id, mission) in before {
            self.change(MissionChange::Remove { id }, &mission.title, now, out)?;
        }
        out.flush()?;
        Ok(())
    }

    fn change(&self, change: MissionChange, title: &str, now: Timestamp, out: &mut impl Write) -> anyhow::Result<()> {
        if self.json {
            return Ok(writeln!(out, "{}", serde_json::to_string(&change)?)?);
        }
        let line = match &change {
            MissionChange::Put { mission } => {
                let MissionSummary { id, status, progress, .. } = mission;
                format!("{now} {id} {} {progress}% {title}", status.name())
            }
            MissionChange::Remove { id } => format!("{now} {id} gone {title}"),
        };
        Ok(writeln!(out, "{}", clean(&line))?)
    }
}

#[cfg(test)]
mod tests {
    use flightdeck_protocol::model::MissionStatus;

    use super::{super::render::tests::mission, *};

    fn printed(json: bool, lists: &[&[MissionSummary]]) -> Vec<String> {
        let mut printer = Printer { json, known: HashMap::new() };
        let mut out = Vec::new();
        for list in lists {
            printer.take(list, Timestamp::from_millis(0), &mut out).unwrap();
        }
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_line_says_what_came_changed_or_left_and_nothing_is_said_twice() {
        let (one, two) = (mission(1, "One\nmore", MissionStatus::Running), mission(2, "Two", MissionStatus::Pending));
        let done = MissionSummary { status: MissionStatus::Completed, progress: 100, ..one.clone() };
        let lines = printed(false, &[&[two.clone(), one.clone()], &[two.clone(), one], &[two, done.clone()], &[done]]);
        let (first, second) = (mission(1, "", MissionStatus::Running).id, mission(2, "", MissionStatus::Running).id);
        let at = Timestamp::from_millis(0);
        assert_eq!(
            lines,
            [
                format!("{at} {second} pending 40% Two"),
                format!("{at} {first} running 40% One more"),
                format!("{at} {first} completed 100% One more"),
                format!("{at} {second} gone Two"),
            ]
        );
    }

    #[test]
    fn json_lines_are_changes_as_on_the_wire() {
        let one = mission(1, "One", MissionStatus::Running);
        let read = |line: &String| serde_json::from_str::<MissionChange>(line).unwrap();
        let changes: Vec<MissionChange> = printed(true, &[std::slice::from_ref(&one), &[]]).iter().map(read).collect();
        assert_eq!(changes, [MissionChange::Put { mission: one.clone() }, MissionChange::Remove { id: one.id }]);
    }
}
