//! The watch on a terminal: redrawn in place as things happen, and left by a key.

use std::time::Duration;

use anyhow::anyhow;
use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind, KeyModifiers};
use flightdeck_protocol::{
    Timestamp,
    client::{Follow, Followed},
};
use futures_util::StreamExt;
use jiff::tz::TimeZone;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{Left, WatchArgs, asked_to_leave, come_back, render::render, terminal::Terminal, view::View};
use crate::cli::sign_in::SignIn;

/// The shortest time between two drawings: 20 a second.
pub(super) const FRAME: Duration = Duration::from_millis(50);
/// Clocks on the screen move on this often.
pub(super) const TICK: Duration = Duration::from_millis(500);

/// Draws until somebody leaves or the mission ends.
///
/// Also where `--since` is given the mission is taken up from a snapshot, for the screen shows all
/// of it; what came after is marked.
pub(super) async fn run(args: &WatchArgs, sign_in: SignIn) -> anyhow::Result<Left> {
    let mut view = View::new(args.mission, TimeZone::system(), args.since);
    let mut follow = Follow::start(&args.connection.server, args.mission, None, sign_in);
    let outcome = {
        let mut terminal = Terminal::take()?;
        show(args, &mut view, &mut follow, &mut terminal).await
    };
    println!("{}", come_back(args, follow.position()));
    outcome
}

async fn show(args: &WatchArgs, view: &mut View, follow: &mut Follow, terminal: &mut Terminal) -> anyhow::Result<Left> {
    let mut keys = EventStream::new();
    let mut leave = std::pin::pin!(asked_to_leave());
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut drawn: Option<Instant> = None;
    let mut changed = true;
    loop {
        if changed && drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
            view.now = Timestamp::now();
            let (width, height) = terminal.size();
            terminal.draw(render(view, width, height))?;
            (drawn, changed) = (Some(Instant::now()), false);
        }
        let due = drawn.unwrap_or_else(Instant::now) + FRAME;
        tokio::select! {
            biased;
            () = &mut leave => return Ok(Left::ByHand),
            key = keys.next() => match key {
                Some(Ok(Event::Resize(..))) => {
                    terminal.forget()?;
                    changed = true;
                }
                Some(Ok(event)) if leaves(&event) => return Ok(Left::ByHand),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(Left::ByHand),
            },
            () = sleep_until(due), if changed => {}
            followed = follow.next() => match followed {
                None => return Err(anyhow!("the watch ended")),
                Some(Followed::Ended(error)) => return Err(error.into()),
                Some(followed) => {
                    view.now = Timestamp::now();
                    view.take(followed, follow.position().map(|position| position.epoch));
                    changed = true;
                    if view.deleted {
                        return Ok(Left::Deleted);
                    }
                    if let Some(status) = view.ended().filter(|_| args.until_ended) {
                        return Ok(Left::Ended(status));
                    }
                }
            },
            _ = tick.tick() => changed = true,
        }
    }
}

/// Whether a key means that somebody wants to leave: Ctrl-C, Ctrl-D, q or Escape.
pub(super) fn leaves(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press
        && match key.code {
            KeyCode::Char('c' | 'd') => control,
            KeyCode::Char('q') | KeyCode::Esc => true,
            _ => false,
        }
}
