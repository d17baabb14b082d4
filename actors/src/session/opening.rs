//! How a session is opened for somebody, and kept open.

use flightdeck_protocol::{
    Code, Fault, PROFILE, Timestamp,
    operations::{SessionOpen, SessionOpened, SessionRenew, SessionRenewed},
};

use super::Session;
use crate::{dispatch::unauthenticated, mission::Caller};

impl Session {
    pub(super) fn open(&self, open: SessionOpen) -> Result<SessionOpened, Fault> {
        let known = self.core.caller.borrow().clone();
        match (open.token, known) {
            (None, Some(caller)) => Ok(self.opened(&caller)),
            (None, None) => Err(unauthenticated().on("token")),
            (Some(token), known) => {
                let caller = self.core.desk.caller(&token)?;
                if known.is_some_and(|known| known.person.id != caller.person.id) {
                    let message = "the session is open for somebody else; connect anew";
                    return Err(Fault::new(Code::AlreadyOpen, message));
                }
                if let Some(pass) = &mut *self.core.pass.borrow_mut() {
                    pass.name(caller.person.id)?;
                }
                Ok(self.open_for(caller))
            }
        }
    }

    pub(super) fn open_for(&self, caller: Caller) -> SessionOpened {
        let opened = self.opened(&caller);
        self.core.opened_at.set(self.core.opened_at.get().or_else(|| Some(Timestamp::now())));
        self.core.belongs_to(caller);
        opened
    }

    fn opened(&self, caller: &Caller) -> SessionOpened {
        SessionOpened {
            connection: self.core.connection,
            session: caller.session,
            user: caller.person.clone(),
            expires_at: caller.expires_at,
            limits: self.core.rules.limits,
            heartbeat: self.core.rules.heartbeat,
            profile: PROFILE.to_owned(),
            server: self.core.rules.version.to_owned(),
        }
    }

    pub(super) fn renew(&self, renew: &SessionRenew) -> Result<SessionRenewed, Fault> {
        let open = SessionOpen { token: Some(renew.token.clone()) };
        self.open(open).map(|opened| SessionRenewed { expires_at: opened.expires_at })
    }
}
