//! The registry: finds missions, in memory or on disk, and makes new ones.

mod supervisor;

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use actix::{Actor as _, Addr};
use flightdeck_data::index::IndexError;
use flightdeck_protocol::{Code, Fault, MissionId, OrganizationId};
use futures_util::{
    future::ready,
    stream::{self, StreamExt as _},
};
use tokio::sync::oneshot;

use crate::{
    mission::{MissionHandle, Stop, restarting},
    world::World,
};
use supervisor::{Bring, RECOVERIES, StopAll, Supervisor};

/// How many missions are brought back at once after a start: so many that those whom people ask for have turns as well.
const RESUMED: usize = RECOVERIES / 2;

/// The way to the registry: cheap to copy.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
    addr: Addr<Supervisor>,
}

struct Shared {
    world: Arc<World>,
    live: RwLock<HashMap<MissionId, MissionHandle>>,
}

impl Shared {
    fn get(&self, mission: MissionId) -> Option<MissionHandle> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).get(&mission).cloned()
    }

    fn all(&self) -> Vec<MissionHandle> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn change<T>(&self, change: impl FnOnce(&mut HashMap<MissionId, MissionHandle>) -> T) -> T {
        change(&mut self.live.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Registry {
    /// Starts the registry in this thread's system; missions are spread over `threads` threads of their own.
    pub fn start(world: Arc<World>, threads: usize) -> Self {
        let shared = Arc::new(Shared { world, live: RwLock::new(HashMap::new()) });
        let addr = Supervisor::new(shared.clone(), threads).start();
        Self { shared, addr }
    }

    /// What all actors share.
    pub fn world(&self) -> &Arc<World> {
        &self.shared.world
    }

    /// How many missions are in memory.
    pub fn in_memory(&self) -> usize {
        self.shared.all().len()
    }

    /// The mission `id` of `organization`, read back from disk if need be.
    ///
    /// # Errors
    /// When the organization has no such mission, or it cannot be read.
    pub async fn find(&self, mission: MissionId, organization: OrganizationId) -> Result<MissionHandle, Fault> {
        // One that is gone, and that the supervisor has yet to hear of, is as good as none.
        let found = match self.shared.get(mission).filter(MissionHandle::is_there) {
            Some(handle) => Some(handle),
            None if self.shared.world.index.has(organization, mission).map_err(|e| index_fault(&e))? => {
                Some(self.bring(mission, None).await?)
            }
            None => None,
        };
        found.filter(|handle| handle.organization() == organization).ok_or_else(|| not_found(mission))
    }

    /// Returns when everything that `mission` had decided by now is on disk and told, or the mission is gone.
    pub(crate) async fn settled(&self, mission: MissionId) {
        if let Some(handle) = self.shared.get(mission) {
            // One that is not there has nothing under way.
            let _ = handle.look(|_| ()).await;
        }
    }

    /// A new mission's actor. It is not made before its first command is `Create`.
    ///
    /// # Errors
    /// When the actor cannot be started.
    pub async fn create(&self, mission: MissionId, organization: OrganizationId) -> Result<MissionHandle, Fault> {
        self.bring(mission, Some(organization)).await
    }

    /// Finds the missions whose agents were to run when the server stopped. What comes back brings them back,
    /// several at once, and says how many; it may be left off half way.
    ///
    /// # Errors
    /// When the index cannot be read. A mission that cannot be brought back is logged and set aside.
    pub fn resume_agents(&self) -> Result<impl Future<Output = usize> + use<>, IndexError> {
        let (missions, registry) = (self.shared.world.index.with_active_agents()?, self.clone());
        let bringing = stream::iter(missions).map(move |mission| {
            let registry = registry.clone();
            async move {
                let brought = registry.bring(mission, None).await;
                brought.inspect_err(|fault| tracing::error!(%mission, %fault, "a mission could not be resumed")).is_ok()
            }
        });
        Ok(bringing.buffer_unordered(RESUMED).filter(|is_there| ready(*is_there)).count())
    }

    /// Ends all agents and missions in good order, within `patience`.
    pub async fn stop(&self, patience: Duration) {
        // From the answer on none is started, so those that are there are all. An error means that nobody could start one.
        let _ = self.addr.send(StopAll).await;
        let stops: Vec<_> = self
            .shared
            .all()
            .into_iter()
            .map(|handle| {
                let (stopped, waiting) = oneshot::channel();
                handle.addr.do_send(Stop { stopped });
                waiting
            })
            .collect();
        let all = async {
            for stop in stops {
                // A mission that died meanwhile is stopped as well.
                let _ = stop.await;
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("some missions did not stop in time; their agents are killed");
        }
    }

    async fn bring(&self, mission: MissionId, new: Option<OrganizationId>) -> Result<MissionHandle, Fault> {
        let (answer, answered) = oneshot::channel();
        self.addr.send(Bring { mission, new, answer }).await.map_err(|_| restarting())?;
        answered.await.map_err(|_| restarting())?
    }
}

pub(crate) fn not_found(mission: MissionId) -> Fault {
    Fault::new(Code::MissionNotFound, format!("there is no mission {mission}; list yours with mission.list"))
        .on("mission")
}

pub(crate) fn index_fault(error: &IndexError) -> Fault {
    tracing::error!(%error, "the index cannot be read");
    Fault::new(Code::StoreUnavailable, "the store cannot be read now; ask again later").after(1_000)
}

#[cfg(test)]
mod tests {
    use flightdeck_data::{index::Index, store::Space};
    use flightdeck_protocol::{
        Timestamp,
        model::{MissionStatus, MissionSummary},
        operations::Logs,
    };
    use serde_json::json;
    use tokio::task::yield_now;

    use super::*;
    use crate::{
        live::Reading,
        mission::Passivate,
        stage::{Stage, play},
    };

    #[test]
    fn what_is_being_started_when_everything_is_to_stop_does_not_start() {
        play(|stage| async move {
            let (mission, organization) = (stage.mission().await, stage.ann.person.organization.id);
            // Another one over the same store, which has yet to read the mission.
            let registry = Registry::start(stage.desk.registry.world().clone(), 1);
            stage.store.hold_commits();
            let journal = registry.world().journal.clone();
            let writing = actix_rt::spawn(async move {
                let write = flightdeck_data::store::Write::put(Space::Meta, "a", "b");
                journal.write(vec![write]).await
            });
            yield_now().await;
            stage.store.wait_until_held();
            let (finding, stopping) = (registry.clone(), registry.clone());
            let found = actix_rt::spawn(async move { finding.find(mission, organization).await.err() });
            yield_now().await;
            stopping.stop(Duration::from_secs(60)).await;
            stage.store.release_commits();
            writing.await.unwrap().unwrap();
            let fault = found.await.unwrap().expect("a refusal");
            assert_eq!(fault.code, Code::MissionRestarting);
            assert_eq!(registry.in_memory(), 0, "it was started, and nobody stops it");
        });
    }

    #[test]
    fn a_deleted_mission_stays_deleted_for_those_who_watch_also_when_it_is_used_once_more() {
        play(|stage| async move {
            let (mission, organization) = (stage.mission().await, stage.ann.person.organization.id);
            let handle = stage.desk.registry.find(mission, organization).await.unwrap();
            let long_ago = Timestamp::from_millis(0);
            let passivate = || Passivate { last_use: handle.last_use.clone(), before: long_ago };
            handle.addr.send(passivate()).await.unwrap();
            assert!(!handle.feed.has_ended(), "it was used since, and stays");
            stage.call("mission.delete", json!({"mission": mission})).await;
            stage.desk.registry.settled(mission).await;
            handle.addr.send(passivate()).await.unwrap();
            let Reading::Ended(fault) = handle.feed.read(handle.feed.head(), 100, Logs::Every) else {
                panic!("whoever is slow never hears that it is over")
            };
            assert_eq!(fault.code, Code::MissionNotFound);
        });
    }

    /// A mission that has an agent at work, by what lists say of it.
    async fn at_work(stage: &Stage) -> MissionId {
        let (mission, organization) = (stage.mission().await, stage.ann.person.organization.id);
        let handle = stage.desk.registry.find(mission, organization).await.unwrap();
        let summary = handle.look(|state| state.mission.as_ref().unwrap().summary()).await.unwrap();
        let summary = MissionSummary { agent: Some("retrieve".to_owned()), status: MissionStatus::Running, ..summary };
        let write = Index::put_json(&summary, &serde_json::to_vec(&summary).unwrap());
        stage.desk.registry.world().journal.write(vec![write]).await.unwrap();
        mission
    }

    #[test]
    fn missions_are_resumed_several_at_once_and_whoever_stops_does_not_wait_for_them() {
        play(|stage| async move {
            for _ in 0..RESUMED + 1 {
                at_work(&stage).await;
            }
            let registry = Registry::start(stage.desk.registry.world().clone(), 1);
            stage.store.hold_reads(Some(Space::Snapshots));
            let resuming = actix_rt::spawn(registry.resume_agents().unwrap());
            let store = stage.store.clone();
            tokio::task::spawn_blocking(move || store.wait_until_reading(RESUMED)).await.unwrap();
            registry.stop(Duration::from_secs(60)).await;
            stage.store.hold_reads(None);
            assert_eq!(resuming.await.unwrap(), 0);
            assert_eq!(registry.in_memory(), 0, "they were started, and nobody stops them");
            let again = Registry::start(stage.desk.registry.world().clone(), 1);
            assert_eq!(again.resume_agents().unwrap().await, RESUMED + 1);
            assert_eq!(again.in_memory(), RESUMED + 1);
            again.stop(Duration::from_secs(60)).await;
        });
    }
}
