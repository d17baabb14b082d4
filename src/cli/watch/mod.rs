//! `flightdeck watch`: a mission live, in a terminal or as lines; and lists of missions, likewise.

mod describe;
pub(crate) mod list;
mod plain;
mod render;
mod screen;
mod sections;
mod style;
mod terminal;
mod view;

use std::{io::IsTerminal, str::FromStr};

use clap::Args;
use flightdeck_protocol::{
    MissionId,
    client::Session,
    model::{Mission, MissionStatus},
    operations::{Position, Watch, WatchMission},
};
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::{connection::Connection, sign_in::SignIn};
use view::View;

/// What `watch` takes.
#[derive(Args)]
#[command(after_help = "\
Examples:
  flightdeck watch 01890000-0000-7000-8000-000000000000
      live, until Ctrl-C; it comes back by itself when the server does
  flightdeck watch MISSION --plain --since 0 --until-ended
      every event as a line \"seq time author text\", from the first to the end of the mission
  flightdeck watch MISSION --since EPOCH:SEQ
      goes on where an earlier one was left: what is new is marked")]
pub(crate) struct WatchArgs {
    /// The mission's id
    mission: MissionId,
    /// Where you were: EPOCH:SEQ as it was printed when you left, or SEQ alone
    #[arg(long, value_name = "[EPOCH:]SEQ")]
    since: Option<Since>,
    /// Print one line an event; done by itself where output goes to no terminal
    #[arg(long)]
    plain: bool,
    /// Print one line an event, as JSON
    #[arg(long, conflicts_with = "plain")]
    json: bool,
    /// Leave when the mission has ended; exit with 1 unless it is completed
    #[arg(long)]
    until_ended: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A position as people give it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Since {
    epoch: Option<Uuid>,
    seq: u64,
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, seq) = match text.rsplit_once(':') {
            None => (None, text),
            Some((epoch, seq)) => (Some(epoch.parse().map_err(|_| format!("{epoch:?} is no epoch, a UUID"))?), seq),
        };
        Ok(Self { epoch, seq: seq.parse().map_err(|_| format!("{seq:?} is no event number"))? })
    }
}

/// How watching ended.
enum Left {
    /// Somebody left.
    ByHand,
    /// The mission came to an end.
    Ended(MissionStatus),
    /// The mission was deleted.
    Deleted,
}

/// Watches until somebody leaves; false if the mission was waited for and not completed.
pub(crate) async fn watch(args: WatchArgs) -> anyhow::Result<bool> {
    let sign_in = SignIn::find(&args.connection)?;
    let left = if args.plain || args.json || !has_screen() {
        plain::run(&args, sign_in.clone()).await
    } else {
        screen::run(&args, sign_in.clone()).await
    };
    sign_out(&args.connection, &sign_in).await;
    Ok(match left? {
        Left::ByHand => true,
        Left::Ended(status) => status == MissionStatus::Completed,
        Left::Deleted => !args.until_ended,
    })
}

/// Whether output goes to a terminal that can be drawn on.
fn has_screen() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A mission as it stands, as text of `columns`.
pub(crate) fn still(mission: &Mission, columns: usize) -> String {
    let mut view = View::new(mission.id, TimeZone::system(), None);
    view.snapshot(mission.clone());
    let lines = render::whole(&view, columns);
    lines.iter().map(|line| line.text().trim_end().to_owned() + "\n").collect()
}

/// The position that `since` means, with the epoch that the server is in where none was given.
async fn resolve(args: &WatchArgs, sign_in: &SignIn) -> anyhow::Result<Option<Position>> {
    use flightdeck_protocol::client::Tokens;
    let Some(Since { epoch, seq }) = args.since else { return Ok(None) };
    if let Some(epoch) = epoch {
        return Ok(Some(Position { epoch, seq }));
    }
    let token = sign_in.token(None).await?;
    let (session, _notices) = Session::connect(&args.connection.server, Some(&token)).await?;
    let request = Watch::new(args.mission, "epoch", None);
    let epoch = session.call::<WatchMission>(request).await?.epoch;
    Ok(Some(Position { epoch, seq }))
}

/// What to type to come back.
fn come_back(args: &WatchArgs, position: Option<Position>) -> String {
    let Some(Position { epoch, seq }) = position else {
        return "left before anything was seen".to_owned();
    };
    let mission = args.mission;
    format!("left at {epoch}:{seq}; come back with: flightdeck watch {mission} --since {epoch}:{seq}")
}

/// Ends a sign-in that was for this command alone, if the server is there to be told.
async fn sign_out(connection: &Connection, sign_in: &SignIn) {
    use flightdeck_protocol::client::Tokens;
    if !sign_in.is_for_this_command().await {
        return;
    }
    let Ok(token) = sign_in.token(None).await else { return };
    if let Ok((session, _notices)) = Session::connect(&connection.server, Some(&token)).await {
        sign_in.leave(&session).await;
    }
}

/// A signal that asks this program to leave.
async fn asked_to_leave() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            // Without a handler the signal ends the process anyway.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_with_and_without_its_epoch() {
        let epoch = Uuid::from_u128(7);
        assert_eq!(format!("{epoch}:12").parse(), Ok(Since { epoch: Some(epoch), seq: 12 }));
        assert_eq!("0".parse(), Ok(Since { epoch: None, seq: 0 }));
        assert!("here:1".parse::<Since>().is_err());
        assert!(format!("{epoch}:").parse::<Since>().is_err());
    }
}
