//! The watch as lines: one an event, for scripts and for logs.

use std::io::Write;

use anyhow::anyhow;
use flightdeck_protocol::{
    Event, EventFrame,
    client::{Follow, Followed},
    model::Mission,
    operations::Position,
};

use super::{Left, WatchArgs, asked_to_leave, come_back, describe::describe, resolve};
use crate::cli::{sign_in::SignIn, text::clean};

/// Prints until somebody leaves or the mission ends.
///
/// Standard output has the events alone, and lines with `#` in front where there is something else
/// to say that a reader of the events has to know; the rest goes to standard error.
pub(super) async fn run(args: &WatchArgs, sign_in: SignIn) -> anyhow::Result<Left> {
    let since = tokio::select! {
        since = resolve(args, &sign_in) => since?,
        () = asked_to_leave() => return Ok(Left::ByHand),
    };
    let mut printer = Printer { json: args.json, mission: None };
    let mut follow = Follow::start(&args.connection.server, args.mission, since, sign_in);
    let mut leave = std::pin::pin!(asked_to_leave());
    loop {
        let followed = tokio::select! {
            biased;
            () = &mut leave => {
                eprintln!("{}", come_back(args, follow.position()));
                return Ok(Left::ByHand);
            }
            followed = follow.next() => followed,
        };
        match followed {
            None => return Err(anyhow!("the watch ended")),
            Some(Followed::Ended(error)) => return Err(error.into()),
            Some(followed) => {
                let left = printer.take(followed, follow.position(), &mut std::io::stdout().lock())?;
                match left {
                    Some(Left::Ended(status)) if args.until_ended => return Ok(Left::Ended(status)),
                    Some(Left::Deleted) => return Ok(Left::Deleted),
                    _ => {}
                }
            }
        }
    }
}

/// Prints what following gives.
struct Printer {
    json: bool,
    /// The mission as far as it is known, for the titles of its steps.
    mission: Option<Mission>,
}

impl Printer {
    /// Prints it, and says whether the mission is over with it.
    fn take(
        &mut self,
        followed: Followed,
        position: Option<Position>,
        out: &mut impl Write,
    ) -> anyhow::Result<Option<Left>> {
        let mut left = None;
        match followed {
            Followed::Connected { reason: Some(reason), .. } => self.remark(out, &format!("not resumed: {reason}"))?,
            Followed::Snapshot(mission) => {
                let at = position.map(|at| format!("{}:{}", at.epoch, at.seq)).unwrap_or_default();
                let (status, progress) = (mission.status, mission.progress);
                self.remark(out, &format!("at {at} {} {progress}% {}", status.name(), mission.title))?;
                left = status.is_ended().then_some(Left::Ended(status));
                self.mission = Some(*mission);
            }
            Followed::Events(events) => {
                for frame in &events {
                    self.event(frame, out)?;
                    left = match &frame.event {
                        Event::MissionDeleted => Some(Left::Deleted),
                        Event::StatusChanged { to, .. } if to.is_ended() => Some(Left::Ended(*to)),
                        _ => left,
                    };
                }
            }
            Followed::Disconnected { why, retry_in } => {
                eprintln!("{}", clean(&format!("reconnecting in {:.1} s: {why}", retry_in.as_secs_f64())));
            }
            Followed::Connected { .. }
            | Followed::Skipped(_)
            | Followed::Presence(_)
            | Followed::Live(_)
            | Followed::Ended(_) => {}
        }
        out.flush()?;
        Ok(left)
    }

    fn remark(&self, out: &mut impl Write, text: &str) -> std::io::Result<()> {
        if self.json { Ok(()) } else { writeln!(out, "# {}", clean(text)) }
    }

    fn event(&mut self, frame: &EventFrame, out: &mut impl Write) -> anyhow::Result<()> {
        if self.json {
            writeln!(out, "{}", serde_json::to_string(frame)?)?;
        } else {
            let text = describe(&frame.event, self.mission.as_ref());
            let line = format!("{} {} {} {text}", frame.seq, frame.at, frame.by.name());
            writeln!(out, "{}", clean(&line))?;
        }
        match &mut self.mission {
            Some(mission) => mission.apply(frame),
            // A watch from the first event on knows the mission without a snapshot.
            None => self.mission = Mission::created(flightdeck_protocol::MissionId(uuid::Uuid::nil()), frame),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render::tests::story, *};

    #[test]
    fn a_mission_is_told_line_by_line() {
        let mut printer = Printer { json: false, mission: None };
        let mut out = Vec::new();
        printer.take(Followed::Events(story()), None, &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn json_lines_are_the_events_and_nothing_else() {
        let mut printer = Printer { json: true, mission: None };
        let mut out = Vec::new();
        let connected = Followed::Connected { head: 1, resumed: false, reason: Some("gap_too_long".to_owned()) };
        printer.take(connected, None, &mut out).unwrap();
        printer.take(Followed::Events(story()), None, &mut out).unwrap();
        let read: Vec<EventFrame> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, story());
    }
}
