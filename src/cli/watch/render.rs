//! From what the watch knows to the lines of a screen: a pure function.

use flightdeck_protocol::model::{Mission, Priority};

use super::{
    sections::{self, Section},
    style::{self, Line, Style},
    view::{Link, View},
};
use crate::cli::text::span;

/// The lines of a screen of `width` columns and `height` rows: never more, and none wider.
pub(super) fn render(view: &View, width: usize, height: usize) -> Vec<Line> {
    let mut lines = head(view, width);
    let foot = foot(view, width);
    if let Some(mission) = &view.mission {
        let sections = sections::all(view, mission);
        let room = height.saturating_sub(lines.len() + 1);
        for (section, rows) in sections.iter().zip(allot(&sections, room)) {
            if rows > 0 {
                lines.push(Line::default());
                lines.push(Line::new(Style::Bold, &section.title));
                lines.extend(section.window(rows));
            }
        }
    }
    lines.truncate(height.saturating_sub(1));
    lines.resize(height.saturating_sub(1), Line::default());
    lines.push(foot);
    lines.truncate(height);
    lines.into_iter().map(|line| line.fit(width)).collect()
}

/// Everything there is to show of a mission, however long.
pub(super) fn whole(view: &View, width: usize) -> Vec<Line> {
    let mut lines = head(view, width);
    for section in view.mission.iter().flat_map(|mission| sections::all(view, mission)) {
        lines.push(Line::default());
        lines.push(Line::new(Style::Bold, &section.title));
        lines.extend(section.window(usize::MAX));
    }
    lines.into_iter().map(|line| line.fit(width)).collect()
}

/// Rows for each section, so that `room` holds them with a title and an empty line each: as many
/// as a section has, and where that is too much, row by row in turn.
fn allot(sections: &[Section], room: usize) -> Vec<usize> {
    let mut rows = vec![0; sections.len()];
    let mut left = room;
    loop {
        let mut gave = false;
        for (row, section) in rows.iter_mut().zip(sections) {
            let price = if *row == 0 { 3 } else { 1 };
            if *row < section.lines.len() && left >= price {
                *row += 1;
                left -= price;
                gave = true;
            }
        }
        if !gave {
            return rows;
        }
    }
}

fn head(view: &View, width: usize) -> Vec<Line> {
    let Some(mission) = &view.mission else {
        return vec![Line::new(Style::Bold, &format!("mission {}", view.id))];
    };
    let mut lines = vec![
        Line::new(Style::Bold, &mission.title).fit(width.saturating_sub(2)),
        status(view, mission),
        progress(mission, width),
    ];
    if !view.people.is_empty() {
        let people: Vec<String> =
            view.people.iter().map(|person| format!("{} ({})", person.name, person.role.name())).collect();
        let mut line = Line::new(Style::Dim, "here: ").and(Style::Plain, &people.join(", "));
        if view.others > 0 {
            line = line.and(Style::Plain, &format!(" and {} more", view.others));
        }
        let writing: Vec<&str> = view.live.typing.iter().map(|writer| writer.name.as_str()).collect();
        if !writing.is_empty() {
            line = line.and(Style::Busy, &format!(" · {} writing", writing.join(", ")));
        }
        lines.push(line);
    }
    lines
}

fn status(view: &View, mission: &Mission) -> Line {
    let mut line = Line::new(style::of(mission.status), if view.deleted { "deleted" } else { mission.status.name() });
    if let Some(reason) = &mission.status_reason {
        line = line.and(Style::Plain, &format!(" ({reason})"));
    }
    match mission.priority {
        Priority::Urgent => line = line.and(Style::Bad, " · urgent"),
        Priority::High => line = line.and(Style::Odd, " · high priority"),
        Priority::Low => line = line.and(Style::Dim, " · low priority"),
        Priority::Normal => {}
    }
    let mut rest = format!(" · {} · owner {}", mission.mission_type, mission.owner.name());
    if let Some(agent) = &mission.agent {
        let state = format!("{:?}", agent.state).to_lowercase();
        let run = if agent.incarnation > 0 { format!(", run {}", agent.incarnation) } else { String::new() };
        rest.push_str(&format!(" · agent {} {state}{run}", agent.kind));
    }
    if let Some(started) = mission.started_at {
        let until = mission.completed_at.unwrap_or(view.now);
        rest.push_str(&format!(" · {}", span(until.as_millis() - started.as_millis())));
    }
    if mission.usage.input_tokens + mission.usage.output_tokens > 0 {
        let tokens = mission.usage.input_tokens + mission.usage.output_tokens;
        rest.push_str(&format!(" · {tokens} tokens"));
    }
    if mission.usage.cost_micros > 0 {
        rest.push_str(&format!(" · ${:.2}", mission.usage.cost_micros as f64 / 1e6));
    }
    line.and(Style::Dim, &rest)
}

fn progress(mission: &Mission, width: usize) -> Line {
    let columns = width.saturating_sub(30).clamp(10, 40);
    let done = columns * usize::from(mission.progress.min(100)) / 100;
    let settled = mission.plan.iter().filter(|step| step.status.is_settled()).count();
    let mut line = Line::new(Style::Good, &"█".repeat(done))
        .and(Style::Dim, &"░".repeat(columns - done))
        .and(Style::Bold, &format!(" {:>3}%", mission.progress));
    if !mission.plan.is_empty() {
        line = line.and(Style::Dim, &format!("  {settled} of {} steps", mission.plan.len()));
    }
    line
}

fn foot(view: &View, width: usize) -> Line {
    let line = match &view.link {
        Link::Connecting => Line::new(Style::Odd, "connecting"),
        Link::Live => Line::new(Style::Good, "live"),
        Link::Lost { why, .. } => {
            let wait = view.wait().as_secs_f64();
            Line::new(Style::Bad, &format!("reconnecting in {wait:.1} s")).and(Style::Dim, &format!(": {why}"))
        }
    };
    let line = match &view.mission {
        Some(mission) => line.and(Style::Dim, &format!(" · event {}", mission.seq)),
        None => line,
    };
    let line = match &view.remark {
        Some(remark) => line.and(Style::Odd, &format!(" · {remark}")),
        None => line,
    };
    line.fit(width).with_right(Style::Dim, "Ctrl-C leaves", width)
}

#[cfg(test)]
pub(super) mod tests {
    use flightdeck_protocol::{
        Event, EventFrame, Timestamp,
        client::Followed,
        model::{
            ActivityType, ApprovalOption, Author, DocumentStatus, MissionStatus as Status, Role, StepStatus as Step,
        },
        notification::{LiveItem, MissionLive, MissionPresence, Present},
    };
    use jiff::tz::TimeZone;
    use std::time::Duration;
    use uuid::Uuid;

    use super::*;

    const START: i64 = 1_770_000_000_000;

    fn step(id: u128, parent: Option<u128>, title: &str, status: Step) -> Event {
        Event::StepAdded {
            step: Uuid::from_u128(id).into(),
            parent: parent.map(|id| Uuid::from_u128(id).into()),
            position: 9,
            key: None,
            title: title.to_owned(),
            status,
            assignee: None,
            result: None,
        }
    }

    fn log(activity_type: ActivityType, message: &str) -> Event {
        let activity = Uuid::from_u128(70).into();
        Event::ActivityLogged {
            activity,
            activity_type,
            message: message.to_owned(),
            details: None,
            step: None,
            stream: None,
        }
    }

    fn moved(from: Status, to: Status) -> Event {
        Event::StatusChanged { from, to, reason: None, result: None }
    }

    /// A mission's history, with everything in it that is drawn.
    pub(in super::super) fn story() -> Vec<EventFrame> {
        let events = vec![
            Event::MissionCreated {
                organization: Uuid::from_u128(2).into(),
                title: "Retrieve the 2025 tax documents".to_owned(),
                mission_type: "retrieval".to_owned(),
                priority: Priority::High,
                agent: Some("retrieve".to_owned()),
                template: None,
                input: serde_json::json!({}),
                estimated_at: None,
            },
            moved(Status::Pending, Status::Queued),
            Event::AgentStarted { incarnation: 1 },
            moved(Status::Queued, Status::Running),
            step(10, None, "Log in", Step::Completed),
            step(11, None, "Search the archive", Step::Running),
            step(12, Some(11), "報告書 of the first page, which has a long title that goes on", Step::Completed),
            step(13, Some(11), "Second page", Step::Failed),
            step(14, None, "Download", Step::Pending),
            step(15, None, "Print", Step::Skipped),
            step(16, None, "Compare", Step::Unknown),
            log(ActivityType::Info, "the portal asks for a name"),
            log(ActivityType::Success, "logged in"),
            log(ActivityType::Log, "GET /archive\u{1b}[2J 200"),
            log(ActivityType::Error, "page 2 says 500"),
            Event::MessageSent { message: Uuid::from_u128(60).into(), text: "leave page 2 out\nplease".to_owned() },
            Event::DocumentDelivered {
                document: Uuid::from_u128(30).into(),
                name: "w2.pdf".to_owned(),
                version: 1,
                media_type: "application/pdf".to_owned(),
                size: 48_213,
                sha256: "0123456789abcdef".repeat(4),
                source: None,
                status: DocumentStatus::Verified,
            },
            Event::ApprovalRequested {
                approval: Uuid::from_u128(40).into(),
                key: "submit".to_owned(),
                prompt: "Submit the form as it is?".to_owned(),
                options: vec![
                    ApprovalOption { id: "yes".to_owned(), label: "Yes, submit".to_owned() },
                    ApprovalOption { id: "no".to_owned(), label: "No".to_owned() },
                ],
            },
            Event::UsageReported { input_tokens: 1200, output_tokens: 300, cost_micros: 12_500 },
        ];
        let author = |seq: u64| match seq {
            1 | 16 => Author::Person { id: Uuid::from_u128(3).into(), name: "olga".to_owned() },
            2..=4 => Author::System,
            _ => Author::Agent { kind: "retrieve".to_owned(), incarnation: 1 },
        };
        let frame = |(seq, event)| EventFrame {
            seq,
            at: Timestamp::from_millis(START + 1000 * seq as i64),
            by: author(seq),
            cause: None,
            event,
        };
        (1..).zip(events).map(frame).collect()
    }

    fn view(new_since: Option<u64>) -> View {
        let id = Uuid::from_u128(1).into();
        let since = new_since.map(|seq| super::super::Since { epoch: None, seq });
        let mut view = View::new(id, TimeZone::UTC, since);
        view.now = Timestamp::from_millis(START + 75_000);
        let (first, rest) = story().split_first().map(|(first, rest)| (first.clone(), rest.to_vec())).unwrap();
        view.take(Followed::Connected { head: 19, resumed: false, reason: None }, None);
        view.take(Followed::Snapshot(Box::new(Mission::created(id, &first).unwrap())), None);
        view.take(Followed::Events(rest), None);
        let present = |name: &str, role| Present {
            id: Uuid::from_u128(3).into(),
            name: name.to_owned(),
            role,
            since: Timestamp::from_millis(START),
            looks_at: None,
            seen_seq: None,
        };
        let people = vec![present("olga", Role::Officer), present("vera", Role::Viewer)];
        view.take(Followed::Presence(MissionPresence { sub: "w1".to_owned(), people, others: 0 }), None);
        view
    }

    fn drawn(view: &View, width: usize, height: usize) -> String {
        let lines = render(view, width, height);
        assert_eq!(lines.len(), height);
        assert!(lines.iter().all(|line| line.width() <= width));
        lines.iter().map(|line| line.text().trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn a_roomy_screen_shows_everything() {
        insta::assert_snapshot!(drawn(&view(None), 100, 40));
    }

    #[test]
    fn a_usual_screen_shows_what_matters_most() {
        insta::assert_snapshot!(drawn(&view(None), 80, 24));
    }

    #[test]
    fn what_came_since_somebody_left_is_marked() {
        insta::assert_snapshot!(drawn(&view(Some(14)), 70, 30));
    }

    #[test]
    fn a_lost_connection_is_told_and_the_mission_stays_in_sight() {
        let mut view = view(None);
        view.take(
            Followed::Disconnected { why: "server restarting (4000)".to_owned(), retry_in: Duration::ZERO },
            None,
        );
        assert!(drawn(&view, 80, 24).contains("reconnecting in 0.0 s: server restarting (4000) · event 19"));
        assert!(drawn(&view, 80, 24).starts_with("Retrieve the 2025 tax documents"));
    }

    #[test]
    fn what_is_being_said_and_who_writes_is_seen_until_it_is_over() {
        let mut view = view(None);
        let by = Author::Agent { kind: "retrieve".to_owned(), incarnation: 1 };
        let said = |text: &str| LiveItem::Text { stream: "a".to_owned(), by: by.clone(), text: text.to_owned() };
        let writing = LiveItem::Typing { user: Uuid::from_u128(3).into(), name: "vera".to_owned(), on: true };
        let live = |items| Followed::Live(MissionLive { sub: "w1".to_owned(), whole: false, items });
        view.take(live(vec![said("Now I compare\n"), writing]), None);
        view.take(live(vec![said("the first page\u{1b}[2J")]), None);
        let lines: Vec<String> = drawn(&view, 100, 40).lines().map(str::to_owned).collect();
        assert!(lines.contains(&"here: olga (officer), vera (viewer) · vera writing".to_owned()), "{lines:#?}");
        assert!(lines.contains(&"  retrieve says: Now I compare".to_owned()), "{lines:#?}");
        assert!(lines.iter().any(|line| line.starts_with("                 the first page")), "{lines:#?}");

        let whole = Event::ActivityLogged {
            activity: Uuid::from_u128(71).into(),
            activity_type: ActivityType::Info,
            message: "Now I compare the first page".to_owned(),
            details: None,
            step: None,
            stream: Some("a".to_owned()),
        };
        let frame = EventFrame { seq: 20, at: Timestamp::from_millis(START), by, cause: None, event: whole };
        view.take(Followed::Events(vec![frame]), None);
        assert!(!drawn(&view, 100, 40).contains("says: Now I compare"));
        let lost = Followed::Disconnected { why: "gone".to_owned(), retry_in: Duration::ZERO };
        view.take(lost, None);
        assert!(!drawn(&view, 100, 40).contains("writing"));
    }

    #[test]
    fn no_screen_is_too_small() {
        let empty = View::new(Uuid::from_u128(1).into(), TimeZone::UTC, None);
        for view in [view(None), empty] {
            for width in [0, 1, 2, 3, 7, 20, 81] {
                for height in [0, 1, 2, 3, 5, 9, 17] {
                    drawn(&view, width, height);
                }
            }
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_reaches_the_screen() {
        assert!(render(&view(None), 100, 40).iter().all(|line| !line.text().chars().any(char::is_control)));
    }
}
