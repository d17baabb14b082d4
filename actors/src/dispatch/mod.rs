//! Dispatch: one way in for every operation, whichever transport it came by.
//!
//! Names, parameters and rights come from the operations table; what an
//! operation does is one arm of [`Desk::call`].

mod accounts;
mod guarded;
mod inbox;
mod missions;

use std::{cell::Cell, sync::Arc};

use bytes::Bytes;
use flightdeck_data::{
    documents::Documents,
    people::{AccessError, AccessTokens, Directory, PeopleError, SignIns},
};
use flightdeck_protocol::{
    Call, Code, Descriptor, Fault, Operation, SessionId, Timestamp, UserId,
    model::{Document, Person, Role},
    notification::Close,
    operations::{self as ops, Guards, Over, WhileStopping, Who},
};

use self::guarded::Asking;
use crate::{
    door::Door,
    live::{Advice, Hubs},
    mission::Caller,
    once::{Begun, Named, Once},
    registry::Registry,
};

pub use self::guarded::Asked;

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
    /// The way in.
    pub door: Arc<Door>,
    /// Calls that have names.
    pub once: Arc<Once>,
    /// The threads of sockets.
    pub(crate) hubs: Arc<Hubs>,
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
    /// The desk over what is given. From now on live sessions hear of it when
    /// `sign_ins` change what people may do.
    pub fn new(
        registry: Registry,
        directory: Directory,
        sign_ins: SignIns,
        access: AccessTokens,
        signup_open: bool,
        door: Arc<Door>,
    ) -> Arc<Self> {
        let hubs = Arc::new(Hubs::default());
        let told = hubs.clone();
        let sign_ins = sign_ins.telling(move |change| told.access_changed(change));
        let world = registry.world();
        let once = Once::new(world.answers.clone(), world.journal.clone(), world.tuning.named_calls);
        Arc::new(Self { registry, directory, sign_ins, access, signup_open, door, once, hubs })
    }

    /// The bytes of documents.
    pub fn documents(&self) -> &Documents {
        &self.registry.world().documents
    }

    /// Has one in `waves_left` of all sessions leave in good order, of those that
    /// have not been asked to yet, and come back as `advice` says.
    pub fn part_sessions(&self, waves_left: usize, advice: Advice) {
        self.hubs.part(waves_left, advice);
    }

    /// Says goodbye to all sessions.
    pub fn close_sessions(&self, close: Close) {
        self.hubs.close_all(close);
    }

    /// Who the bearer of `token` is.
    ///
    /// # Errors
    /// When the token is not good, its sign-in has ended, or the account was closed.
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
        let person = self.owner(access.person, access.session, now)?;
        Ok(Caller { person, session: access.session, expires_at: access.expires_at })
    }

    /// The person whose sign-in `session` is, as of now.
    ///
    /// # Errors
    /// When the sign-in has ended, or the account was closed.
    pub(crate) fn owner(&self, person: UserId, session: SessionId, now: Timestamp) -> Result<Person, Fault> {
        let person = self.directory.person(person).map_err(|error| people_fault(&error))?;
        let person = person.ok_or_else(|| Fault::new(Code::TokenRevoked, "this account is gone"))?;
        if !person.active {
            return Err(people_fault(&PeopleError::AccountClosed));
        }
        if !self.sign_ins.is_live(session, now).map_err(|error| people_fault(&error))? {
            return Err(Fault::new(Code::TokenRevoked, "this sign-in has ended; sign in again with auth.login"));
        }
        Ok(person)
    }

    /// Whether `caller` has not lost access, to be asked again and again while they are given something that takes
    /// long. They are looked up only when something may have changed; what cannot be looked up is no.
    pub fn stays(self: &Arc<Self>, caller: &Caller) -> impl Fn() -> bool + use<> {
        let (desk, person, session) = (self.clone(), caller.person.id, caller.session);
        let seen = Cell::new(None);
        move || {
            let changes = Some(desk.hubs.changes(person, session));
            let stays = seen.get() == changes || desk.owner(person, session, Timestamp::now()).is_ok();
            if stays {
                seen.set(changes);
            }
            stays
        }
    }

    /// Reads a call: the method's name, its rights, its parameters.
    ///
    /// # Errors
    /// When there is no such method, the caller may not call it, it cannot come
    /// this way, a parameter is wrong, a caller over HTTP asks too often, or the
    /// server stops: then a session may finish, and nothing new is begun.
    pub fn read(
        &self,
        method: &str,
        params: &str,
        caller: Option<&Caller>,
        via: Via,
    ) -> Result<(&'static Descriptor, Asked), Fault> {
        let descriptor = ops::find(method);
        let may_finish =
            via == Via::Socket && descriptor.is_some_and(|found| found.while_stopping == WhileStopping::Allowed);
        if !may_finish {
            self.door.is_open()?;
        }
        // A socket's session keeps count of its own; who is not signed in waits in the line of those who sign in.
        if let (Via::Rpc | Via::Rest, Some(caller)) = (via, caller) {
            self.door.call_of(caller.person.id)?;
        }
        let descriptor = descriptor.ok_or_else(|| {
            let method: String = method.chars().take(64).collect();
            Fault::new(Code::MethodNotFound, format!("there is no method {method:?}; docs/PROTOCOL.md lists them all"))
        })?;
        check_rights(descriptor, caller.map(|caller| caller.person.role))?;
        check_transport(descriptor, via)?;
        if !params.trim_start().starts_with('{') {
            let message = format!("{method} takes its parameters by name: give them as a JSON object");
            return Err(Fault::new(Code::InvalidParams, message));
        }
        let (guards, params) = Guards::take(descriptor, params)?;
        let call = Call::read(descriptor, &params)?;
        let named = match (&guards.idem, caller) {
            (Some(name), Some(caller)) => Some(Named::new(caller.person.id, name, method, &call)?),
            _ => None,
        };
        Ok((descriptor, Asked { call, if_seq: guards.if_seq, named }))
    }

    /// Carries out a call that was read by [`Desk::read`], unless it has a name under which that was
    /// done before. Calls that are about a socket's session are the session's own to carry out.
    ///
    /// # Errors
    /// The refusal.
    pub async fn call(&self, asked: Asked, caller: Option<&Caller>) -> Result<Answer, Fault> {
        let begun = self.begin(&asked).await?;
        self.carry_out(asked, begun, caller).await
    }

    /// Begins a call: where it has a name, another of that name is waited for.
    ///
    /// # Errors
    /// When the name was used for another call, or the store fails.
    pub(crate) async fn begin(&self, asked: &Asked) -> Result<Option<Begun>, Fault> {
        match &asked.named {
            Some(named) => self.once.begin(named).await.map(Some),
            None => Ok(None),
        }
    }

    /// Carries out a call that was begun.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) async fn carry_out(
        &self,
        asked: Asked,
        begun: Option<Begun>,
        caller: Option<&Caller>,
    ) -> Result<Answer, Fault> {
        let Asked { call, if_seq, .. } = asked;
        let claim = match begun {
            Some(Begun::First(claim)) => Some(claim),
            Some(Begun::Again(json)) => return Ok(Answer::Json(json)),
            None => None,
        };
        let who = || caller.ok_or_else(unauthenticated);
        let asking = || who().map(|caller| Asking { caller, if_seq, claim });
        match call {
            Call::OpenSession(_)
            | Call::RenewSession(_)
            | Call::Ping(_)
            | Call::WatchMission(_)
            | Call::UnwatchMission(_)
            | Call::SetPresence(_)
            | Call::WatchMissions(_)
            | Call::UnwatchMissions(_)
            | Call::WatchInbox(_)
            | Call::UnwatchInbox(_) => Err(Fault::new(Code::WrongTransport, "this needs a socket: connect to /ws")),
            Call::Signup(new) => answer::<ops::Signup>(&self.sign_up(new).await?),
            Call::SignIn(login) => answer::<ops::SignIn>(&self.sign_in(login).await?),
            Call::RefreshTokens(refresh) => answer::<ops::RefreshTokens>(&self.refresh(refresh).await?),
            Call::SignOut(logout) => answer::<ops::SignOut>(&self.sign_out(logout, who()?).await?),
            Call::WhoAmI(_) => answer::<ops::WhoAmI>(&who()?.person),
            Call::CreateUser(new) => self.create_user(new, asking()?).await,
            Call::UpdateUser(update) => self.update_user(update, asking()?).await,
            Call::ListUsers(_) => answer::<ops::ListUsers>(&self.list_users(who()?)?),
            Call::ListSessions(_) => answer::<ops::ListSessions>(&self.list_sessions(who()?).await?),
            Call::ListInbox(query) => answer::<ops::ListInbox>(&self.list_inbox(query, who()?).await?),
            Call::DismissInbox(dismiss) => self.dismiss_inbox(dismiss, asking()?).await,
            Call::DownloadDocument(download) => Ok(Answer::File(self.document(download.document, who()?).await?)),
            call => self.mission_call(call, asking()?).await,
        }
    }
}

/// Whether a person of `role`, or nobody, may call the operation, by the table.
pub(crate) fn check_rights(descriptor: &Descriptor, role: Option<Role>) -> Result<(), Fault> {
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
        PeopleError::UnknownPerson => {
            let message = "your organization has no such person; list them with user.list";
            Fault::new(Code::UserNotFound, message).on("user")
        }
        PeopleError::AccountClosed => {
            Fault::new(Code::AccountClosed, "this account was closed; ask an admin to open it again")
        }
        PeopleError::LastAdmin => {
            let message =
                "the organization would be left without an admin whose account is active; make another one first";
            Fault::new(Code::LastAdmin, message)
        }
        PeopleError::BadLogin => Fault::new(Code::BadLogin, "the name or the password is wrong; try again"),
        PeopleError::Overloaded => Fault::overloaded("the line of those who sign in", 1_000),
        error => {
            tracing::error!(%error, "the directory of people failed");
            Fault::new(Code::StoreUnavailable, "accounts cannot be read or written now; ask again later").after(1_000)
        }
    }
}
