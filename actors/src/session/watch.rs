//! How a session begins to watch: a position and what is missing up to it, in one turn of the mission.

use std::sync::Arc;

use bytes::Bytes;
use flightdeck_data::mission::State;
use flightdeck_protocol::{
    Code, Fault, OrganizationId, Timestamp,
    envelope::Notification,
    notification::MISSION_WATCHING,
    operations::{Position, Watch, WatchKind, Watching},
};
use serde_json::value::RawValue;

use super::{ResumeBounds, Session, pending::Making, response};
use crate::{
    dispatch::{to_json, unauthenticated},
    live::{Feed, MissionWatch},
};

/// How often a mission is found anew that leaves memory just as it is to be watched.
const TRIES: usize = 5;

/// The beginning of a watch, with the snapshot as JSON.
type Raw = Watching<Box<RawValue>>;

/// Where a watch begins.
struct Entry {
    head: u64,
    /// The mission as JSON, where the client cannot go on from where it was.
    snapshot: Option<Box<RawValue>>,
    reason: Option<&'static str>,
}

impl Session {
    /// Watches the mission in the socket's path, once the session is open.
    pub(super) fn watch_path(&self) {
        let Some((mission, since)) = self.core.path.borrow_mut().take() else { return };
        let watch = Watch::new(mission, mission.to_string(), since);
        let making = match self.reserve(WatchKind::Mission, &watch.sub) {
            Ok(making) => making,
            Err(fault) => return self.object(None, &fault),
        };
        let session = self.clone();
        actix_rt::spawn(async move {
            let notice = |watching: &Raw| to_json(&Notification::new(MISSION_WATCHING, watching));
            match session.begin(&watch, &making, notice).await {
                Ok(()) => {}
                // Nobody waits for an answer, and the unwatch has its own.
                Err(fault) if fault.code == Code::Unwatched => {}
                Err(fault) => session.object(None, &fault),
            }
        });
    }

    pub(super) async fn watch(&self, id: Option<&RawValue>, watch: Watch, making: Making) {
        let answer = |watching: &Raw| Ok(response(id, &to_json(watching)?));
        if let Err(fault) = self.begin(&watch, &making, answer).await {
            self.fail(id, &fault);
        }
    }

    /// Begins the watch; what `tell` makes of its beginning is sent first.
    async fn begin(
        &self,
        watch: &Watch,
        making: &Making,
        tell: impl Fn(&Raw) -> Result<Bytes, Fault>,
    ) -> Result<(), Fault> {
        let organization = self.core.caller()?.ok_or_else(unauthenticated)?.person.organization.id;
        // Missions are read back from disk side by side. What is wrong with this one, preparing it will say.
        let _ = self.core.desk.registry.find(watch.mission, organization).await;
        let room = making.room().await?;
        for _ in 0..TRIES {
            let (feed, watching) = self.prepare(watch, organization).await?;
            let told = tell(&watching)?;
            let caller = making.may_stand()?;
            if let Some(watcher) = feed.attach(&caller.person, self.core.hub.handle(), Timestamp::now()) {
                let past = self.core.desk.registry.world().past.clone();
                let cursor = MissionWatch::new(watch, watcher, past, watching.seq);
                self.core.outbox.watch(&watch.sub, room, told, Box::new(cursor));
                return Ok(());
            }
            // The mission left memory in this very moment: it is found anew.
            tokio::task::yield_now().await;
        }
        Err(crate::mission::restarting())
    }

    async fn prepare(&self, watch: &Watch, organization: OrganizationId) -> Result<(Arc<Feed>, Raw), Fault> {
        let registry = &self.core.desk.registry;
        let mission = registry.find(watch.mission, organization).await?;
        let feed = mission.feed.clone();
        let (since, bounds) = (watch.since, self.core.rules.resume);
        let asked = feed.clone();
        let entry = mission.look(move |state| enter(state, since, &asked, bounds)).await?;
        let entry = entry.ok_or_else(|| crate::registry::not_found(watch.mission))??;
        let resumed = since.filter(|_| entry.snapshot.is_none());
        let watching = Watching {
            sub: watch.sub.clone(),
            mission: watch.mission,
            epoch: feed.epoch,
            seq: resumed.map_or(entry.head, |since| since.seq),
            head: entry.head,
            resumed: resumed.is_some(),
            reason: entry.reason.map(str::to_owned),
            snapshot: entry.snapshot,
        };
        Ok((feed, watching))
    }
}

/// In the mission's turn: from where the watch goes on, and the snapshot if it needs one.
fn enter(state: &State, since: Option<Position>, feed: &Feed, bounds: ResumeBounds) -> Option<Result<Entry, Fault>> {
    let mission = state.living()?;
    let head = mission.seq;
    let reason = match since {
        None => None,
        Some(since) if since.epoch != feed.epoch => Some("epoch_changed"),
        Some(since) if since.seq > head => Some("ahead_of_history"),
        Some(since) if head - since.seq > bounds.events => Some("gap_too_long"),
        Some(since) if feed.typical_bytes(head - since.seq) > bounds.bytes => Some("gap_too_large"),
        Some(_) => return Some(Ok(Entry { head, snapshot: None, reason: None })),
    };
    let snapshot = serde_json::value::to_raw_value(mission).map_err(|error| {
        tracing::error!(%error, "a mission cannot be written as JSON");
        Fault::new(Code::Internal, "the server failed to write down the mission")
    });
    Some(snapshot.map(|snapshot| Entry { head, snapshot: Some(snapshot), reason }))
}
