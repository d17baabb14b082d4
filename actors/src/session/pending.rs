//! Watches that are being made: their names are taken, and each can be ended before it stands.

use std::{cell::RefCell, collections::HashMap, pin::pin, rc::Rc};

use flightdeck_protocol::{
    Call, Code, Fault, Operation as _,
    operations::{self as ops, Descriptor, Empty, WatchInbox, WatchKind, WatchMission, WatchMissions},
};
use futures_util::future::{Either, select};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::{Core, Session, presence::Word};
use crate::{
    dispatch::{check_rights, unauthenticated},
    live::Room,
    mission::Caller,
};

/// Characters of a watch's name.
const SUB_CHARS: usize = 64;

/// The watches of a session that are being made, by name.
#[derive(Default)]
pub(super) struct Pending(RefCell<HashMap<String, Mark>>);

#[derive(Clone)]
struct Mark {
    kind: WatchKind,
    /// Closed when nobody wants it any more.
    wanted: Rc<Semaphore>,
}

/// A watch that is being made: its name is taken, from the moment that it is asked for until this is dropped.
pub(super) struct Making {
    core: Rc<Core>,
    sub: String,
    mark: Mark,
}

/// What of a call is done when it is read.
pub(super) enum Ahead {
    /// Nothing.
    Nothing,
    /// The name of a watch is taken.
    Watch(Making),
    /// It is known from where the person speaks.
    Word(Word),
}

impl Pending {
    fn has(&self, sub: &str) -> bool {
        self.0.borrow().contains_key(sub)
    }

    fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Ends the watch `sub` before it stands: its name is free at once. False if there is none of this kind.
    fn end(&self, sub: &str, kind: WatchKind) -> bool {
        let mut pending = self.0.borrow_mut();
        let found = pending.get(sub).is_some_and(|mark| mark.kind == kind);
        if found && let Some(mark) = pending.remove(sub) {
            mark.wanted.close();
        }
        found
    }
}

impl Session {
    /// What of `call` is done when it is read, and not when its turn comes: what comes next may build on it, or end it.
    ///
    /// # Errors
    /// When a watch's name is not acceptable or taken, when there is no room, or nothing is watched that has to be.
    pub(super) fn ahead(&self, call: &Call) -> Result<Ahead, Fault> {
        let (kind, sub) = match call {
            Call::WatchMission(watch) => (WatchKind::Mission, &watch.sub),
            Call::WatchMissions(watch) => (WatchKind::Missions, &watch.sub),
            Call::WatchInbox(watch) => (WatchKind::Inbox, &watch.sub),
            Call::SetPresence(set) => return self.speak(set.mission).map(Ahead::Word),
            _ => return Ok(Ahead::Nothing),
        };
        self.reserve(kind, sub).map(Ahead::Watch)
    }

    /// The name is free and there is room; it is kept until the watch stands.
    pub(super) fn reserve(&self, kind: WatchKind, sub: &str) -> Result<Making, Fault> {
        if sub.is_empty() || sub.chars().count() > SUB_CHARS || sub.chars().any(char::is_control) {
            let message = format!("sub is your name for the watch: 1 to {SUB_CHARS} characters, none of them control");
            return Err(Fault::invalid("sub", message));
        }
        let core = &self.core;
        if core.outbox.is_watching(sub) || core.pending.has(sub) {
            let message = format!("the session watches something under the name {sub:?} already; take another");
            return Err(Fault::new(Code::SubscriptionTaken, message).on("sub"));
        }
        let most = core.rules.limits.subscriptions as usize;
        if core.outbox.watches() + core.pending.len() >= most {
            let message = format!("a session can watch {most} things at once; unwatch some first");
            return Err(Fault::new(Code::LimitReached, message).after(1_000));
        }
        let mark = Mark { kind, wanted: Rc::new(Semaphore::new(0)) };
        core.pending.0.borrow_mut().insert(sub.to_owned(), mark.clone());
        Ok(Making { core: core.clone(), sub: sub.to_owned(), mark })
    }

    /// Ends the watch `sub`, whether it stands yet or not, if it is of this kind.
    pub(super) fn unwatch(&self, id: Option<&RawValue>, sub: &str, kind: WatchKind) {
        let Core { outbox, pending, .. } = &*self.core;
        let stands = outbox.topic_of(sub).is_some_and(|topic| topic.kind() == kind);
        let known = (stands && outbox.unwatch(sub)) || pending.end(sub, kind);
        let message = "the session watches nothing of this kind by this name";
        let missing = || Fault::new(Code::SubscriptionNotFound, message).on("sub");
        self.answer(id, known.then_some(Empty {}).ok_or_else(missing));
    }
}

impl Making {
    /// Room for the answer with which the watch begins.
    ///
    /// # Errors
    /// When the watch is ended meanwhile, or the session.
    pub(super) async fn room(&self) -> Result<Room, Fault> {
        let ended = pin!(self.mark.wanted.acquire());
        match select(ended, pin!(self.core.room())).await {
            // Nobody ever gives a permit out: it was closed.
            Either::Left(_) => Err(unwatched()),
            Either::Right((room, _)) => room,
        }
    }

    /// Whom the watch is for, if it may stand now: what was read for it took a while. To be asked last,
    /// with no await before it stands.
    ///
    /// # Errors
    /// When it was ended meanwhile, or its owner has lost the right to it, or to the session.
    pub(super) fn may_stand(&self) -> Result<Caller, Fault> {
        if self.mark.wanted.is_closed() {
            return Err(unwatched());
        }
        let caller = self.core.caller()?.ok_or_else(unauthenticated)?;
        begins(self.mark.kind).map_or(Ok(()), |begins| check_rights(begins, Some(caller.person.role)))?;
        Ok(caller)
    }
}

fn unwatched() -> Fault {
    let message = "the watch was ended with an unwatch before it stood; ask again if you want it after all";
    Fault::new(Code::Unwatched, message).on("sub")
}

impl Drop for Making {
    fn drop(&mut self) {
        let mut pending = self.core.pending.0.borrow_mut();
        // One that was ended has given its name up, and another may have it by now.
        if pending.get(&self.sub).is_some_and(|mark| Rc::ptr_eq(&mark.wanted, &self.mark.wanted)) {
            pending.remove(&self.sub);
        }
    }
}

/// The operation that begins a watch of this kind.
pub(super) fn begins(kind: WatchKind) -> Option<&'static Descriptor> {
    ops::find(match kind {
        WatchKind::Mission => WatchMission::METHOD,
        WatchKind::Missions => WatchMissions::METHOD,
        WatchKind::Inbox => WatchInbox::METHOD,
    })
}
