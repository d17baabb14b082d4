//! Dashboards: sessions that watch the list of missions, and ask for it again when they have lost their server.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use flightdeck_protocol::{
    client::{ClientError, Notices, Session},
    operations::{MissionsWatch, WatchMissions},
};
use tokio::sync::watch;

use crate::{herd::Returned, signin::SignIn};

/// How long one that was refused waits, if it was not told how long.
const AGAIN: Duration = Duration::from_millis(100);

/// What each dashboard shares with the others.
#[derive(Clone)]
pub(crate) struct Dashboard {
    pub(crate) sign_in: SignIn,
    /// When the server began to listen, the last time.
    pub(crate) listening: watch::Receiver<Instant>,
    /// How many show the list for the first time.
    pub(crate) began: Arc<Returned>,
    /// The same after the crash.
    pub(crate) returned: Arc<Returned>,
    /// How many missions the list has at least.
    pub(crate) missions: usize,
}

impl Dashboard {
    /// Shows the list, and comes back in the very moment in which the server listens again. Never ends by itself.
    pub(crate) async fn at_once(mut self) -> anyhow::Result<()> {
        let (mut shown, mut times) = (self.began.clone(), 0);
        loop {
            let listening = *self.listening.borrow_and_update();
            let (session, mut notices) = self.show().await?;
            shown.note(listening, &mut times);
            while notices.next_raw().await.is_some() {}
            drop(session);
            if Arc::ptr_eq(&shown, &self.began) {
                (shown, times) = (self.returned.clone(), 0);
            }
            self.listening.changed().await?;
        }
    }

    async fn show(&self) -> anyhow::Result<(Session, Notices)> {
        loop {
            match self.try_show().await {
                Ok((session, notices, missions)) => {
                    ensure!(
                        missions >= self.missions,
                        "the list has {missions} missions, and there are {}",
                        self.missions
                    );
                    return Ok((session, notices));
                }
                Err(error) if error.is_temporary() => {
                    let after = error.fault().and_then(|fault| fault.data.retry_after_ms);
                    self.returned.note_failure(after.is_some());
                    tokio::time::sleep(after.map_or(AGAIN, Duration::from_millis)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn try_show(&self) -> Result<(Session, Notices, usize), ClientError> {
        let (session, notices) = self.sign_in.listen().await?;
        let wish = MissionsWatch { sub: "list".to_owned(), ..MissionsWatch::default() };
        let missions = session.call::<WatchMissions>(wish).await?.items.len();
        Ok((session, notices, missions))
    }
}
