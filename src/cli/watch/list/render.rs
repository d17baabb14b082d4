//! From a list of missions to the lines of a screen: a pure function.

use flightdeck_protocol::model::{MissionStatus, MissionSummary, Priority};
use jiff::tz::TimeZone;

use super::super::style::{Line, Style, of};
use crate::cli::text::{cut, moment, width};

/// What a screen shows of a list.
pub(super) struct Shown<'a> {
    /// The missions, in order; nothing before the server gave them.
    pub(super) missions: Option<&'a [MissionSummary]>,
    /// Whether changes come in.
    pub(super) is_live: bool,
    /// Why not.
    pub(super) lost: Option<String>,
}

/// The lines of a screen of `columns` and `rows`: as many as there are rows, and none wider.
pub(super) fn render(shown: &Shown<'_>, zone: &TimeZone, columns: usize, rows: usize) -> Vec<Line> {
    let missions = shown.missions.unwrap_or_default();
    let count = match shown.missions.map(<[_]>::len) {
        None => "Missions".to_owned(),
        Some(1) => "1 mission".to_owned(),
        Some(count) => format!("{count} missions"),
    };
    let mut lines = vec![Line::new(Style::Bold, &count), Line::default()];
    let room = rows.saturating_sub(lines.len() + 2);
    let fitting = if missions.len() > room { room.saturating_sub(1) } else { missions.len() };
    let agents = missions.iter().map(|mission| width(agent(mission))).max().unwrap_or(0).clamp(5, 16);
    if !missions.is_empty() {
        let head = format!("{:<9}  {:>4}  {:<agents$}  {:<16}  TITLE", "STATUS", "DONE", "AGENT", "MADE");
        lines.push(Line::new(Style::Dim, &head));
    }
    lines.extend(missions[..fitting].iter().map(|mission| row(mission, agents, zone)));
    if fitting < missions.len() {
        lines.push(Line::new(Style::Dim, &format!("and {} more", missions.len() - fitting)));
    }
    lines.truncate(rows.saturating_sub(1));
    lines.resize(rows.saturating_sub(1), Line::default());
    let foot = match (&shown.lost, shown.is_live) {
        (_, true) => Line::new(Style::Good, "live"),
        (Some(why), false) => Line::new(Style::Bad, why),
        (None, false) => Line::new(Style::Odd, "connecting"),
    };
    lines.push(foot.fit(columns.saturating_sub(15)).with_right(Style::Dim, "Ctrl-C leaves", columns));
    lines.truncate(rows);
    lines.into_iter().map(|line| line.fit(columns)).collect()
}

fn agent(mission: &MissionSummary) -> &str {
    mission.agent.as_deref().unwrap_or("-")
}

fn row(mission: &MissionSummary, agents: usize, zone: &TimeZone) -> Line {
    let agent = cut(agent(mission), agents);
    let pad = " ".repeat(agents.saturating_sub(width(&agent)));
    let made = moment(mission.created_at, zone, "%Y-%m-%d %H:%M");
    let line = Line::new(of(mission.status), &format!("{:<9}", mission.status.name()))
        .and(Style::Plain, &format!("  {:>3}%  {agent}{pad}  ", mission.progress))
        .and(Style::Dim, &format!("{made}  "));
    let line = match mission.priority {
        Priority::Urgent => line.and(Style::Bad, "urgent "),
        Priority::High => line.and(Style::Odd, "high "),
        Priority::Normal | Priority::Low => line,
    };
    let ended = matches!(mission.status, MissionStatus::Cancelled | MissionStatus::Completed);
    line.and(if ended { Style::Dim } else { Style::Plain }, &mission.title)
}

#[cfg(test)]
pub(super) mod tests {
    use flightdeck_protocol::{Timestamp, model::Author};
    use uuid::Uuid;

    use super::*;

    pub(crate) fn mission(id: u128, title: &str, status: MissionStatus) -> MissionSummary {
        MissionSummary {
            id: Uuid::from_u128(id).into(),
            organization: Uuid::from_u128(2).into(),
            title: title.to_owned(),
            mission_type: "general".to_owned(),
            status,
            status_reason: None,
            priority: Priority::Normal,
            progress: 40,
            owner: Author::System,
            agent: None,
            created_at: Timestamp::from_millis(1_770_000_000_000),
            started_at: None,
            completed_at: None,
            estimated_at: None,
            seq: 3,
        }
    }

    fn screen(shown: &Shown<'_>, columns: usize, rows: usize) -> String {
        let lines = render(shown, &TimeZone::UTC, columns, rows);
        assert_eq!(lines.len(), rows);
        assert!(lines.iter().all(|line| line.width() <= columns), "{lines:?}");
        lines.iter().map(|line| line.text().trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn a_screen_shows_the_list_and_how_it_is_with_the_connection() {
        let mut urgent = mission(1, "Order the searches for 14 Elm Road\u{1b}[2J", MissionStatus::Waiting);
        (urgent.priority, urgent.agent) = (Priority::Urgent, Some("retrieve".to_owned()));
        let missions = [urgent, mission(2, "Fetch the forms of last year", MissionStatus::Completed)];
        let mut shown = Shown { missions: Some(&missions), is_live: true, lost: None };
        let live = screen(&shown, 80, 8);
        (shown.is_live, shown.lost) = (false, Some("no connection, it comes back by itself: refused".to_owned()));
        insta::assert_snapshot!(format!("{live}---\n{}", screen(&shown, 60, 6)));
    }

    #[test]
    fn a_small_screen_says_how_many_it_does_not_show_and_none_is_too_small() {
        let missions: Vec<MissionSummary> = (0..30).map(|id| mission(id, "Taxes", MissionStatus::Pending)).collect();
        let shown = Shown { missions: Some(&missions), is_live: true, lost: None };
        assert!(screen(&shown, 80, 10).contains("and 25 more\n"), "{}", screen(&shown, 80, 10));
        for rows in 0..6 {
            for columns in [0, 1, 14, 40] {
                screen(&shown, columns, rows);
            }
        }
        assert!(screen(&Shown { missions: None, is_live: false, lost: None }, 40, 4).contains("connecting"));
    }
}
