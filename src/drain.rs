//! The drain: how a server that stops lets everybody go, so that nothing is lost and no crowd comes back at once.
//!
//! Nobody new is let in from the first moment on. Agents save how far they are
//! while people still see it happen. Then the sessions leave in waves. Each wave
//! is told how long the others still take and how long a restart takes, and a
//! part of the time after it that is the wave's own.

use std::time::Duration;

use flightdeck_actors::{dispatch::Desk, live::Advice};
use flightdeck_protocol::notification::Close;

use crate::settings::Settings;

/// Waves at most.
const WAVES: u32 = 10;
/// Sessions that need no second wave.
const WAVE_SESSIONS: usize = 20;
/// The shortest time over which all come back.
const SPREAD: Duration = Duration::from_secs(1);
/// How long sessions have to take their last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How this server is drained.
pub(crate) struct Drain {
    /// How long agents have to stop.
    agents: Duration,
    /// The time over which sessions leave.
    window: Duration,
    /// From the end of this run to the beginning of the next.
    restart: Duration,
    /// Sockets that the next run lets in, a second.
    openings: u32,
}

impl Drain {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            // Asked, told, killed: an agent has three stages, and a little more for the last words.
            agents: Duration::from_millis(settings.agent_stop_grace_ms) * 3 + Duration::from_secs(2),
            window: Duration::from_millis(settings.drain_ms),
            restart: Duration::from_millis(settings.restart_ms),
            openings: settings.openings_per_second,
        }
    }

    /// Drains the server behind `desk`. May be given up at any point: [`end`] is for what is left.
    pub(crate) async fn run(&self, desk: &Desk) {
        desk.door.shut(self.window + self.restart);
        tracing::info!("stopping: nobody new is let in, and agents are asked to save how far they are");
        desk.registry.stop(self.agents).await;
        let sessions = desk.door.sockets();
        let waves = self.waves(sessions);
        desk.door.shut(waves.last() + self.restart);
        tracing::info!(sessions, waves = waves.count, "sessions are told when to come back");
        for wave in 0..waves.count {
            desk.part_sessions((waves.count - wave) as usize, self.advice(&waves, wave));
            let pause = if wave + 1 < waves.count { waves.interval } else { LAST_WORDS };
            // An error means that some are still there.
            if tokio::time::timeout(pause, desk.door.emptied()).await.is_ok() {
                return;
            }
        }
    }

    fn waves(&self, sessions: usize) -> Waves {
        let count = if self.window.is_zero() { 1 } else { sessions.div_ceil(WAVE_SESSIONS).clamp(1, WAVES as usize) };
        // At half the rate that is let in: others come as well.
        let spread = Duration::from_secs(1) * u32::try_from(sessions).unwrap_or(u32::MAX) / (self.openings / 2).max(1);
        Waves { count: count as u32, interval: self.window / WAVES, spread: spread.max(SPREAD) }
    }

    fn advice(&self, waves: &Waves, wave: u32) -> Advice {
        let slice = waves.spread / waves.count;
        let others = waves.interval * (waves.count - 1 - wave);
        Advice { after_ms: millis(others + self.restart + slice * wave), jitter_ms: millis(slice) }
    }
}

/// Says goodbye to whoever is still there, and waits a moment for them to go.
pub(crate) async fn end(desk: &Desk) {
    desk.close_sessions(Close::Restarting);
    // Who does not go by itself is cut off with the rest.
    let _ = tokio::time::timeout(LAST_WORDS, desk.door.emptied()).await;
}

/// How sessions leave, and come back.
struct Waves {
    count: u32,
    /// From one wave to the next.
    interval: Duration,
    /// The time over which all of them come back.
    spread: Duration,
}

impl Waves {
    /// When the last one leaves.
    fn last(&self) -> Duration {
        self.interval * (self.count - 1)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain() -> Drain {
        Drain {
            agents: Duration::ZERO,
            window: Duration::from_secs(3),
            restart: Duration::from_secs(1),
            openings: 2_000,
        }
    }

    /// From when to when those of each wave come back, counted from the moment that the first leaves, in milliseconds.
    fn returns(drain: &Drain, sessions: usize) -> Vec<(u64, u64)> {
        let waves = drain.waves(sessions);
        let of_wave = |wave| {
            let (left, advice) = (millis(waves.interval * wave), drain.advice(&waves, wave));
            (left + advice.after_ms, left + advice.after_ms + advice.jitter_ms)
        };
        (0..waves.count).map(of_wave).collect()
    }

    #[test]
    fn those_of_each_wave_come_back_in_a_time_of_their_own_after_the_restart() {
        for (sessions, last, spread) in [(200, 2_700, 1_000), (2_000, 2_700, 2_000), (30_000, 2_700, 30_000)] {
            let back = returns(&drain(), sessions);
            assert_eq!(back.len(), 10);
            assert_eq!(back[0].0, last + 1_000, "not before the next run is there");
            assert!(back.windows(2).all(|pair| pair[0].1 <= pair[1].0 + 1), "{back:?}");
            assert!(back[9].1.abs_diff(last + 1_000 + spread) <= 10, "{back:?}");
        }
    }

    #[test]
    fn a_few_are_not_kept_waiting() {
        assert_eq!(drain().waves(0).count, 1);
        assert_eq!(drain().waves(20).count, 1);
        assert_eq!(drain().waves(21).count, 2);
        assert_eq!(returns(&drain(), 1), [(1_000, 2_000)]);
        let at_once = Drain { window: Duration::ZERO, ..drain() };
        assert_eq!(at_once.waves(2_000).count, 1);
        assert_eq!(returns(&at_once, 2_000), [(1_000, 3_000)]);
    }
}
