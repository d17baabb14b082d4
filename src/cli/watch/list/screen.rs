//! A live list on a terminal: redrawn in place as missions change, and left by a key.

use crossterm::event::{Event, EventStream};
use flightdeck_protocol::client::Client;
use futures_util::StreamExt as _;
use jiff::tz::TimeZone;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{
    super::{
        screen::{FRAME, TICK, leaves},
        terminal::Terminal,
    },
    Live, lost,
    render::{Shown, render},
};

/// Draws until somebody leaves.
pub(super) async fn run(client: &Client, mut list: Live) -> anyhow::Result<()> {
    let mut terminal = Terminal::take()?;
    let mut keys = EventStream::new();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let zone = TimeZone::system();
    let mut drawn: Option<Instant> = None;
    let mut changed = true;
    loop {
        if changed && drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
            let items = list.items();
            let missions = items.as_ref().map(|items| items.as_slice());
            let shown = Shown { missions, is_live: list.is_live(), lost: lost(client) };
            let (columns, rows) = terminal.size();
            terminal.draw(render(&shown, &zone, columns, rows))?;
            (drawn, changed) = (Some(Instant::now()), false);
        }
        let due = drawn.unwrap_or_else(Instant::now) + FRAME;
        tokio::select! {
            biased;
            key = keys.next() => match key {
                Some(Ok(Event::Resize(..))) => {
                    terminal.forget()?;
                    changed = true;
                }
                Some(Ok(event)) if leaves(&event) => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            },
            () = sleep_until(due), if changed => {}
            news = list.changed() => {
                news?;
                changed = true;
            }
            // How it is with the connection is not told by the list.
            _ = tick.tick() => changed = true,
        }
    }
}
