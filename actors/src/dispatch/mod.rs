//! Dispatch: one way in for every operation, whichever transport it came by.
//!
//! Names, parameters and rights come from the operations table; what an
//! operation does is one arm of [`Desk::call`].

mod accounts;
mod inbox;
mod missions;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flightdeck_data::{
    documents::Documents,
    people::{AccessError, AccessTokens, Directory, PeopleError, SignIns},
};
use flightdeck_protocol::{
    Call, Code, Descriptor, Fault, Operation, SessionId, Timestamp,
    model::Document,
    notification::Close,
    operations::{self as ops, Over, Who},
};

use crate::{live::HubHandle, mission::Caller, registry::Registry};

/// Everything that answers operations. Cheap to share.
pub struct Desk {
    /// Missions.
    pub registry: Registry,
    /// People.
    pub directory: Directory,
    /// Their sign-ins.
    pub sign_ins: SignIns,
    /// Their access tokens.
    pub access: AccessTokens,
    /// Whether people may sign up by themselves.
    pub signup_open: bool,
    hubs: Mutex<Vec<HubHandle>>,
}

/// What an operation answers.
pub enum Answer {
    /// JSON.
    Json(Bytes),
    /// The bytes of a document.
    File(Document),
}

/// How a call came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// A socket's session.
    Socket,
    /// `POST /api/rpc`.
    Rpc,
    /// A REST route.
    Rest,
}

impl Desk {
    /// The desk over what is given.
    pub fn new(
        registry: Registry,
        directory: Directory,
        sign_ins: SignIns,
        access: AccessTokens,
        signup_open: bool,
    ) -> Arc<Self> {
        Arc::new(Self { registry, directory, sign_ins, access, signup_open, hubs: Mutex::new(Vec::new()) })
    }

    /// The bytes of documents.
    pub fn documents(&self) -> &Documents {
        &self.registry.world().documents
    }

    /// Makes a thread's hub known, so that its sessions hear of revoked sign-ins.
    pub fn add_hub(&self, hub: HubHandle) {
        self.hubs.lock().unwrap_or_else(PoisonError::into_inner).push(hub);
    }

    /// Ends a sign-in everywhere: its tokens, and its live sessions.
    pub(crate) fn end_sessions(&self, session: SessionId) {
        for hub in self.hubs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            hub.revoke(session);
        }
    }

    /// Says goodbye to all sessions.
    pub fn close_sessions(&self, close: Close) {
        for hub in self.hubs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            hub.close_all(close);
        }
    }

    /// Who the bearer of `token` is.
    ///
    /// # Errors
    /// When the token is not good, or its sign-in has ended.
    pub fn caller(&self, token: &str) -> Result<Caller, Fault> {
        let now = Timestamp::now();
        let access = self.access.check(token, now).map_err(|error| match error {
            AccessError::Invalid => {
                Fault::new(Code::TokenInvalid, "this is no token of this server; sign in with auth.login")
            }
            AccessError::Expired => {
                Fault::new(Code::TokenExpired, "the token has expired; get another with auth.refresh")
            }
        })?;
        if !self.sign_ins.is_live(access.session, now).map_err(|error| people_fault(&error))? {
            return Err(Fault::new(Code::TokenRevoked, "this sign-in has ended; sign in again with auth.login"));
        }
        let person = self.directory.person(access.person).map_err(|error| people_fault(&error))?;
        let person = person.ok_or_else(|| Fault::new(Code::TokenRevoked, "this account is gone"))?;
        Ok(Caller { person, session: access.session, expires_at: access.expires_at })
    }

    /// Reads a call: the method's name, its rights, its parameters.
    ///
    /// # Errors
    /// When there is no such method, the caller may not call it, it cannot come
    /// this way, or a parameter is wrong.
    pub fn read(
        &self,
        method: &str,
        params: &str,
        caller: Option<&Caller>,
        via: Via,
    ) -> Result<(&'static Descriptor, Call), Fault> {
        let descriptor = ops::find(method).ok_or_else(|| {
            let method: String = method.chars().take(64).collect();
            Fault::new(Code::MethodNotFound, format!("there is no method {method:?}; docs/PROTOCOL.md lists them all"))
        })?;
        check_rights(descriptor, caller)?;
        check_transport(descriptor, via)?;
        if !params.trim_start().starts_with('{') {
            let message = format!("{method} takes its parameters by name: give them as a JSON object");
            return Err(Fault::new(Code::InvalidParams, message));
        }
        let call = Call::read(descriptor, params)
            .map_err(|error| Fault::new(Code::InvalidParams, format!("the parameters do not fit {method}: {error}")))?;
        Ok((descriptor, call))
    }

    /// Carries out a call that was read by [`Desk::read`]. Calls that are about
    /// a socket's session are the session's own to carry out.
    ///
    /// # Errors
    /// The refusal.
    pub async fn call(&self, call: Call, caller: Option<&Caller>) -> Result<Answer, Fault> {
        let who = || caller.ok_or_else(unauthenticated);
        match call {
            Call::OpenSession(_)
            | Call::RenewSession(_)
            | Call::Ping(_)
            | Call::WatchMission(_)
            | Call::UnwatchMission(_)
            | Call::WatchMissions(_)
            | Call::UnwatchMissions(_)
            | Call::WatchInbox(_)
            | Call::UnwatchInbox(_) => Err(Fault::new(Code::WrongTransport, "this needs a socket: connect to /ws")),
            Call::Signup(new) => answer::<ops::Signup>(&self.sign_up(new).await?),
            Call::SignIn(login) => answer::<ops::SignIn>(&self.sign_in(login).await?),
            Call::RefreshTokens(refresh) => answer::<ops::RefreshTokens>(&self.refresh(refresh).await?),
            Call::SignOut(_) => answer::<ops::SignOut>(&self.sign_out(who()?).await?),
            Call::WhoAmI(_) => answer::<ops::WhoAmI>(&who()?.person),
            Call::CreateUser(new) => answer::<ops::CreateUser>(&self.create_user(new, who()?).await?),
            Call::ListUsers(_) => answer::<ops::ListUsers>(&self.list_users(who()?)?),
            Call::ListInbox(query) => answer::<ops::ListInbox>(&self.list_inbox(query, who()?).await?),
            Call::DismissInbox(dismiss) => answer::<ops::DismissInbox>(&self.dismiss_inbox(dismiss, who()?).await?),
            Call::DownloadDocument(download) => Ok(Answer::File(self.document(download.document, who()?).await?)),
            call => self.mission_call(call, who()?).await,
        }
    }
}

/// Whether `caller` may call the operation, by the table.
fn check_rights(descriptor: &Descriptor, caller: Option<&Caller>) -> Result<(), Fault> {
    let role = caller.map(|caller| caller.person.role);
    if descriptor.who.includes(role) {
        return Ok(());
    }
    match (role, descriptor.who) {
        (Some(role), Who::Roles(roles)) => {
            let roles: Vec<&str> = roles.iter().map(|role| role.name()).collect();
            let message = format!(
                "{} is for the roles {}, and yours is {}; ask one of them",
                descriptor.method,
                roles.join(", "),
                role.name()
            );
            Err(Fault::new(Code::Forbidden, message))
        }
        _ => Err(unauthenticated()),
    }
}

fn check_transport(descriptor: &Descriptor, via: Via) -> Result<(), Fault> {
    match (descriptor.over, via) {
        (Over::Any, _) | (Over::Socket, Via::Socket) | (Over::Download, Via::Rest) => Ok(()),
        (Over::Socket, _) => {
            Err(Fault::new(Code::WrongTransport, format!("{} needs a socket: connect to /ws", descriptor.method)))
        }
        (Over::Download, _) => {
            let path = descriptor.rest.first().map(|route| route.path).unwrap_or_default();
            Err(Fault::new(Code::WrongTransport, format!("{} gives bytes: GET {path}", descriptor.method)))
        }
    }
}

/// The answer of the operation `O`, as JSON.
fn answer<O: Operation>(result: &O::Result) -> Result<Answer, Fault> {
    to_json(result).map(Answer::Json)
}

pub(crate) fn to_json(value: &impl serde::Serialize) -> Result<Bytes, Fault> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        Fault::new(Code::Internal, "the server failed to write down its answer")
    })
}

pub(crate) fn unauthenticated() -> Fault {
    Fault::new(
        Code::Unauthenticated,
        "nobody is signed in; give an access token in the Authorization header, or open the session with session.open",
    )
}

fn people_fault(error: &PeopleError) -> Fault {
    match error {
        PeopleError::NameTaken { field, name } => {
            Fault::new(Code::NameTaken, format!("the {field} {name:?} is taken; choose another")).on(field)
        }
        PeopleError::Invalid { field, message } => Fault::invalid(field, message.clone()),
        PeopleError::BadLogin => Fault::new(Code::BadLogin, "the name or the password is wrong; try again"),
        PeopleError::Overloaded => Fault::overloaded("the line of those who sign in", 1_000),
        error => {
            tracing::error!(%error, "the directory of people failed");
            Fault::new(Code::StoreUnavailable, "accounts cannot be read or written now; ask again later").after(1_000)
        }
    }
}
