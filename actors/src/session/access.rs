//! What the owner of a session may do, as it is now: other rights hold at once, and who has lost them is cut off.

use std::{cell::Cell, rc::Rc};

use flightdeck_data::people::AccessChange;
use flightdeck_protocol::{
    Code, Fault, OrganizationId, Timestamp,
    envelope::Response,
    model::Role,
    notification::Close,
    operations::{Empty, Logout, SessionView},
};
use serde_json::value::RawValue;

use super::{Core, Session, pending::begins, response};
use crate::{
    dispatch::{check_rights, to_json, unauthenticated},
    live::{Advice, OutboxView, Seat, Topic},
    mission::Caller,
};

/// How far what a session knows of its owner is true.
pub(super) struct Seen {
    /// How many changes that may concern the owner had been made when they were looked up, if they were.
    changes: Cell<Option<(u64, u64)>>,
    /// Something may have changed, and could not be looked up.
    unsure: Cell<bool>,
    /// The owner signs out by this session, which is to hear how that went.
    leaving: Cell<bool>,
    /// The owner's role, for what is watched.
    role: Rc<Cell<Role>>,
}

impl Default for Seen {
    fn default() -> Self {
        let role = Rc::new(Cell::new(Role::Viewer));
        Self { changes: Cell::new(None), unsure: Cell::new(false), leaving: Cell::new(false), role }
    }
}

impl Core {
    /// The session is open for `caller`, whose token was checked just now.
    pub(super) fn belongs_to(&self, caller: Caller) {
        self.access.role.set(caller.person.role);
        // What has changed since the token was checked is yet to be seen.
        self.access.changes.set(None);
        *self.caller.borrow_mut() = Some(caller);
    }

    /// Whom the session is open for, as of now; nobody where it is not open.
    ///
    /// # Errors
    /// When the owner has lost access, or cannot be looked up.
    pub(super) fn caller(&self) -> Result<Option<Caller>, Fault> {
        self.look_again();
        if self.outbox.is_closing() {
            return Err(unauthenticated());
        }
        if self.access.unsure.get() {
            let message = "who you are cannot be looked up now; ask again later";
            return Err(Fault::new(Code::StoreUnavailable, message).after(1_000));
        }
        Ok(self.caller.borrow().clone())
    }

    /// The owner's role, also when it is another one later.
    pub(super) fn role(&self) -> Rc<Cell<Role>> {
        self.access.role.clone()
    }

    /// Takes into account what has changed of what the owner may do.
    pub(super) fn look_again(&self) {
        self.look(false);
    }

    /// The same. Where `has_lost` says that the owner has lost access, they have, unless it is seen that
    /// they have it: a store that cannot be read keeps nobody in.
    fn look(&self, has_lost: bool) {
        let Some((person, session)) = self.caller.borrow().as_ref().map(|caller| (caller.person.id, caller.session))
        else {
            return;
        };
        let changes = Some(self.desk.hubs.changes(person, session));
        if self.access.changes.replace(changes) == changes && !self.access.unsure.get() {
            return;
        }
        let owner = self.desk.owner(person, session, Timestamp::now());
        let unsure = !has_lost && matches!(&owner, Err(fault) if fault.data.temporary);
        self.access.unsure.set(unsure);
        match owner {
            Ok(person) => {
                let had = self.access.role.replace(person.role);
                let now = person.role;
                if let Some(caller) = &mut *self.caller.borrow_mut() {
                    caller.person = person;
                }
                if now != had {
                    self.outbox.review(|topic| refusal(topic, now));
                    self.outbox.places().iter().for_each(|place| place.has_role(now));
                }
            }
            Err(_) if unsure => {}
            // The answer to signing out comes before the goodbye, and nothing else does.
            Err(_) if self.access.leaving.get() => self.outbox.mute(),
            Err(_) => self.outbox.cut_off(Close::Revoked),
        }
    }

    /// The same, if it could not be done when it was due.
    pub(super) fn look_again_if_unsure(&self) {
        if self.access.unsure.get() {
            self.look_again();
        }
    }
}

impl Session {
    /// Signs the owner out: the last thing that this session is told is how that went.
    pub(super) async fn sign_out(&self, id: Option<&RawValue>, logout: Logout) {
        let core = &self.core;
        let caller = match core.caller().and_then(|caller| caller.ok_or_else(unauthenticated)) {
            Ok(caller) => caller,
            Err(fault) => return self.fail(id, &fault),
        };
        core.access.leaving.set(true);
        let done = core.desk.sign_out(logout, &caller).await;
        core.look_again();
        core.access.leaving.set(false);
        let ended = core.outbox.is_closing();
        let answer = match done.and_then(|done| to_json(&done)) {
            Ok(json) => response(id, &json),
            Err(fault) if !ended => return self.fail(id, &fault),
            Err(fault) => to_json(&Response::error(id, &fault)).unwrap_or_default(),
        };
        match (ended, id) {
            (true, Some(_)) => core.outbox.cut_off_after(answer, Close::Revoked),
            (true, None) => core.outbox.cut_off(Close::Revoked),
            (false, _) => self.answer(id, Ok(Empty {})),
        }
    }
}

/// Why a person of `role` may not watch `topic`, if so: what begins such a watch says it.
fn refusal(topic: Topic, role: Role) -> Option<Fault> {
    begins(topic.kind()).and_then(|begins| check_rights(begins, Some(role)).err())
}

impl Seat for Core {
    fn tick(&self) {
        self.time_has_passed();
    }

    fn access_changed(&self, change: &AccessChange) {
        let concerned = self.caller.borrow().as_ref().is_some_and(|caller| match change {
            AccessChange::Ended(sessions) => sessions.contains(&caller.session),
            AccessChange::EndedAll(person) => *person == caller.person.id,
            AccessChange::Person(person) => person.id == caller.person.id,
        });
        let has_lost = match change {
            AccessChange::Ended(_) | AccessChange::EndedAll(_) => true,
            AccessChange::Person(person) => !person.active,
        };
        if concerned {
            self.look(has_lost);
        }
    }

    fn organization(&self) -> Option<OrganizationId> {
        self.caller.borrow().as_ref().map(|caller| caller.person.organization.id)
    }

    fn view(&self) -> Option<SessionView> {
        let (caller, opened_at) = (self.caller.borrow().clone()?, self.opened_at.get()?);
        let silent = i64::try_from(self.heard.get().elapsed().as_millis()).unwrap_or(i64::MAX);
        let OutboxView { waiting_messages, waiting_bytes, sent, watches } = self.outbox.view();
        Some(SessionView {
            connection: self.connection,
            session: caller.session,
            user: caller.person.id,
            name: caller.person.username,
            opened_at,
            heard_at: Timestamp::now().plus_millis(silent.saturating_neg()),
            waiting_messages: waiting_messages as u64,
            waiting_bytes: waiting_bytes as u64,
            sent_messages: sent.messages,
            sent_bytes: sent.bytes,
            watches,
        })
    }

    fn close(&self, close: Close) {
        self.outbox.close(close);
    }

    fn part(&self, close: Close, advice: Advice) {
        self.outbox.part(close, advice);
    }

    fn is_leaving(&self) -> bool {
        self.outbox.is_leaving()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.hub.leave(self.connection);
    }
}

#[cfg(test)]
mod tests {
    use flightdeck_protocol::{
        MissionId, Operation as _,
        operations::{self as ops, Descriptor, WatchInbox, WatchMission, WatchMissions},
    };

    use super::*;

    #[test]
    fn a_watch_is_for_those_who_may_begin_it() {
        let topics = [
            (Topic::Mission(MissionId::fresh()), WatchMission::METHOD),
            (Topic::Missions(OrganizationId::fresh()), WatchMissions::METHOD),
            (Topic::Inbox(OrganizationId::fresh()), WatchInbox::METHOD),
        ];
        for (topic, method) in topics {
            let begins: &Descriptor = ops::find(method).unwrap();
            for role in Role::ALL {
                let refused = refusal(topic, role).map(|fault| fault.code);
                assert_eq!(
                    refused,
                    (!begins.who.includes(Some(role))).then_some(Code::Forbidden),
                    "{topic:?} {role:?}"
                );
            }
        }
    }
}
