//! Who is to be woken when something new is there: each socket thread once, not each watcher.

use super::{Topic, hub::HubHandle};

/// The socket threads that have watchers of one topic.
#[derive(Default)]
pub(super) struct Listeners(Vec<Listener>);

struct Listener {
    hub: HubHandle,
    watchers: usize,
    /// Whether it was woken and has not looked yet: it is not woken again.
    woken: bool,
}

impl Listeners {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The thread of somebody who watches.
    pub(super) fn any(&self) -> Option<&HubHandle> {
        self.0.first().map(|listener| &listener.hub)
    }

    /// One more watcher on the thread of `hub`.
    pub(super) fn add(&mut self, hub: &HubHandle) {
        match self.of(hub) {
            Some(listener) => listener.watchers += 1,
            None => self.0.push(Listener { hub: hub.clone(), watchers: 1, woken: false }),
        }
    }

    /// One watcher less on the thread of `hub`.
    pub(super) fn remove(&mut self, hub: &HubHandle) {
        if let Some(index) = self.0.iter().position(|listener| listener.hub.id() == hub.id()) {
            self.0[index].watchers -= 1;
            if self.0[index].watchers == 0 {
                self.0.swap_remove(index);
            }
        }
    }

    /// Wakes every thread that has not been woken since it last looked.
    pub(super) fn wake(&mut self, topic: Topic) {
        for listener in &mut self.0 {
            if !std::mem::replace(&mut listener.woken, true) {
                listener.hub.wake(topic);
            }
        }
    }

    /// The thread of `hub` looks now; what comes next wakes it again.
    pub(super) fn looked(&mut self, hub: &HubHandle) {
        if let Some(listener) = self.of(hub) {
            listener.woken = false;
        }
    }

    fn of(&mut self, hub: &HubHandle) -> Option<&mut Listener> {
        self.0.iter_mut().find(|listener| listener.hub.id() == hub.id())
    }
}
