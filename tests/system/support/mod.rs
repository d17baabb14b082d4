//! What the stories are told with: servers, people, watchers, agents, and patience.

mod agents;
mod door;
pub(crate) mod frames;
mod http;
mod listing;
mod people;
mod processes;
mod raw;
mod server;
mod watching;

use std::{future::Future, time::Duration};

pub(crate) use agents::{PATIENT, Scripts};
pub(crate) use door::Door;
pub(crate) use http::{Reply, fault_of, note};
pub(crate) use listing::{InboxWatcher, ListWatcher};
pub(crate) use people::{Member, PASSWORD};
pub(crate) use processes::{agents_with, is_stopped, memory_of, none_left, running_with};
pub(crate) use raw::{Heard, RawSocket};
pub(crate) use server::{Server, agent_program};
pub(crate) use watching::{Watcher, stored_log};

/// How long anything may take before the test gives up on it; generous, since the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often what has no event to wait for is looked at again.
const GLANCE: Duration = Duration::from_millis(20);

/// What `future` gives, or a failure that names `what` if it does not come in time.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {} seconds", PATIENCE.as_secs()),
    }
}

/// Looks again and again until `look` finds something. For what announces itself by no event.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(GLANCE).await;
        }
    };
    within(what, looking).await
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
