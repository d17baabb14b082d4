//! The operations table: every operation, declared once.
//!
//! Dispatch, REST routes, rights and documentation are read from here. To add
//! an operation, declare it below, give it parameters beside its kin, and let
//! the compiler show where [`Call`] is matched.

mod account;
mod content;
mod guards;
mod lists;
mod live;
mod missions;
mod plan;
mod sessions;
mod table;

pub use account::{Empty, Login, Logout, NewAccount, NewUser, Refresh, SignedIn, TokenPair, UserList, UserUpdate};
pub use content::{
    Ack, ActivityAdd, ActivityPage, ActivityQuery, ApprovalReply, DocumentList, DocumentRef, Download, MessagePage,
    MessageQuery, MessageSend,
};
pub use guards::{Guard, Guards, IDEM_CHARS};
pub use lists::{
    InboxDismiss, InboxPage, InboxQuery, InboxWatch, InboxWatching, ListOrder, MissionsWatch, MissionsWatching,
};
pub use live::{
    Heartbeat, Limits, Logs, PingReply, Position, SessionOpen, SessionOpened, SessionRenew, SessionRenewed, Unwatch,
    Watch, Watching,
};
pub use missions::{
    Deleted, MissionCancel, MissionComplete, MissionNew, MissionPage, MissionQuery, MissionRef, MissionUpdate,
};
pub use plan::{StepAdd, StepMove, StepRef, StepUpdate};
pub use sessions::{
    FaultAction, FaultPlan, LooksAt, PlannedFault, PresenceSet, SessionList, SessionView, WatchKind, WatchView,
};
pub use table::{Descriptor, Operation, Over, Route, Verb, WhileStopping, Who};

use crate::{
    fault::Code,
    model::{Document, Mission, MissionSummary, Person, Role},
};
use guards::with_guards;
use table::operations;

/// Everyone in the organization.
const READERS: Who = Who::Roles(&Role::ALL);
/// Those who make missions and run them.
const RUNNERS: Who = Who::Roles(&[Role::Admin, Role::Officer, Role::Manager]);
/// Those who may answer what an agent asks, and write to it.
const ANSWERERS: Who = Who::Roles(&[Role::Admin, Role::Officer, Role::Manager, Role::Approver]);
/// Those who may take a mission away.
const KEEPERS: Who = Who::Roles(&[Role::Admin, Role::Manager]);
/// Those who look after people and the server.
const ADMINS: Who = Who::Roles(&[Role::Admin]);

operations! {
    /// Opens the session for the owner of an access token. First message of a socket that came without an `Authorization` header.
    OpenSession(SessionOpen) -> SessionOpened {
        method: "session.open", who: Who::Anyone, over: Socket, rest: [],
        faults: [TokenInvalid, TokenExpired, TokenRevoked, AccountClosed, AlreadyOpen],
    }
    /// Gives the session a newer access token of the same person, so that it goes on without a reconnect.
    RenewSession(SessionRenew) -> SessionRenewed {
        method: "session.renew", who: Who::SignedIn, over: Socket, rest: [],
        faults: [TokenInvalid, TokenExpired, TokenRevoked, AccountClosed, AlreadyOpen],
        while_stopping: Allowed,
    }
    /// Tells the server that the client is there, and the client what time it is.
    Ping(Empty) -> PingReply {
        method: "session.ping", who: Who::Anyone, over: Socket, rest: [],
        faults: [],
        while_stopping: Allowed,
    }

    /// Makes an account in a new organization of its own, with the role admin, and signs it in.
    Signup(NewAccount) -> SignedIn {
        method: "auth.signup", who: Who::Anyone, over: Any, rest: [Post "/api/auth/signup" => 201],
        faults: [SignupClosed, NameTaken, InvalidValue, Overloaded],
    }
    /// Signs a person in: an access token for 15 minutes, and a refresh token to get the next one with.
    SignIn(Login) -> SignedIn {
        method: "auth.login", who: Who::Anyone, over: Any, rest: [Post "/api/auth/login" => 200],
        faults: [BadLogin, AccountClosed, Overloaded],
    }
    /// Gives a new pair of tokens for a refresh token, which is used up. Using one twice ends the sign-in.
    RefreshTokens(Refresh) -> TokenPair {
        method: "auth.refresh", who: Who::Anyone, over: Any, rest: [Post "/api/auth/refresh" => 200],
        faults: [TokenInvalid, TokenExpired, TokenRevoked, AccountClosed, RefreshReused],
    }
    /// Ends the caller's sign-in, or all of the caller's: the tokens are worth nothing from now on, and the live sessions end.
    SignOut(Logout) -> Empty {
        method: "auth.logout", who: Who::SignedIn, over: Any, rest: [Post "/api/auth/logout" => 200],
        faults: [],
    }
    /// Says who the caller is.
    WhoAmI(Empty) -> Person {
        method: "auth.user", who: Who::SignedIn, over: Any, rest: [Get "/api/auth/user" => 200],
        faults: [],
    }
    /// Makes an account in the caller's organization.
    CreateUser(NewUser) -> Person {
        method: "user.create", who: ADMINS, over: Any, rest: [Post "/api/users" => 201],
        faults: [NameTaken, InvalidValue, Overloaded, IdemReused],
        guards: [Idem],
    }
    /// Changes a person's account: the fields that are present. A new role holds at once, also in live sessions.
    UpdateUser(UserUpdate) -> Person {
        method: "user.update", who: ADMINS, over: Any, rest: [Patch "/api/users/{user}" => 200],
        faults: [UserNotFound, LastAdmin, InvalidValue, Overloaded, IdemReused],
        guards: [Idem],
    }
    /// Lists the people of the caller's organization.
    ListUsers(Empty) -> UserList {
        method: "user.list", who: KEEPERS, over: Any, rest: [Get "/api/users" => 200],
        faults: [],
    }

    /// Lists the organization's live sessions, what each watches, and how much waits to be sent to it.
    ListSessions(Empty) -> SessionList {
        method: "session.list", who: ADMINS, over: Any, rest: [Get "/api/sessions" => 200],
        faults: [Overloaded],
    }

    /// Makes a mission. It waits until it is started.
    CreateMission(MissionNew) -> MissionSummary {
        method: "mission.create", who: RUNNERS, over: Any, rest: [Post "/api/missions" => 201],
        faults: [InvalidValue, TooLarge, AgentUnknown, Overloaded, IdemReused],
        guards: [Idem],
    }
    /// Lists the organization's missions, newest first, a page at a time.
    ListMissions(MissionQuery) -> MissionPage {
        method: "mission.list", who: READERS, over: Any, rest: [Get "/api/missions" => 200],
        faults: [InvalidValue],
    }
    /// Gives a mission, whole.
    GetMission(MissionRef) -> Mission {
        method: "mission.get", who: READERS, over: Any, rest: [Get "/api/missions/{mission}" => 200],
        faults: [MissionNotFound, MissionQuarantined],
    }
    /// Changes what describes a mission: the fields that are present.
    UpdateMission(MissionUpdate) -> MissionSummary {
        method: "mission.update", who: RUNNERS, over: Any,
        rest: [Patch "/api/missions/{mission}" => 200, Put "/api/missions/{mission}" => 200],
        faults: [MissionNotFound, MissionQuarantined, InvalidValue, TooLarge, IllegalTransition, SeqConflict, IdemReused],
        guards: [Idem, IfSeq],
    }
    /// Deletes a mission that is not under way.
    DeleteMission(MissionRef) -> Deleted {
        method: "mission.delete", who: KEEPERS, over: Any, rest: [Delete "/api/missions/{mission}" => 200],
        faults: [MissionNotFound, MissionQuarantined, IllegalTransition, SeqConflict, IdemReused],
        guards: [Idem, IfSeq],
    }
    /// Starts a mission: its agent is queued, and runs as soon as there is a place.
    StartMission(MissionRef) -> MissionSummary {
        method: "mission.start", who: RUNNERS, over: Any, rest: [Post "/api/missions/{mission}/start" => 200],
        faults: [MissionNotFound, MissionQuarantined, IllegalTransition, SeqConflict, IdemReused],
        guards: [Idem, IfSeq],
    }
    /// Holds a mission: its agent is told, and its processes are frozen a little later.
    PauseMission(MissionRef) -> MissionSummary {
        method: "mission.pause", who: RUNNERS, over: Any, rest: [Post "/api/missions/{mission}/pause" => 200],
        faults: [MissionNotFound, MissionQuarantined, IllegalTransition, SeqConflict, IdemReused],
        guards: [Idem, IfSeq],
    }
    /// Lets a held mission go on.
    ResumeMission(MissionRef) -> MissionSummary {
        method: "mission.resume", who: RUNNERS, over: Any, rest: [Post "/api/missions/{mission}/resume" => 200],
        faults: [MissionNotFound, MissionQuarantined, IllegalTransition, SeqConflict, IdemReused],
        guards: [Idem, IfSeq],
    }
    /// Ends a mission as done, by a person's word. Its agent is stopped.
    CompleteMission(MissionComplete) -> MissionSummary {
        method: "mission.complete", who: RUNNERS, over: Any, rest: [Post "/api/missions/{mission}/complete" => 200],
        faults: [MissionNotFound, MissionQuarantined, IllegalTransition, TooLarge, SeqConflict, IdemReused],
        guards: [Idem, IfSeq],
    }
    /// Calls a mission off. Its agent is stopped.
    CancelMission(MissionCancel) -> MissionSummary {
        method: "mission.cancel", who: RUNNERS, over: Any, rest: [Post "/api/missions/{mission}/cancel" => 200],
        faults: [MissionNotFound, MissionQuarantined, IllegalTransition, TooLarge, SeqConflict, IdemReused],
        guards: [Idem, IfSeq],
    }
    /// Watches a mission: its state now, or what came since a known position, and then every event as it happens.
    WatchMission(Watch) -> Watching {
        method: "mission.watch", who: READERS, over: Socket, rest: [],
        faults: [MissionNotFound, MissionQuarantined, SubscriptionTaken, Unwatched, LimitReached, InvalidValue],
    }
    /// Ends a watch. Nothing is sent for it after the answer; one that did not stand yet is refused with `unwatched`.
    UnwatchMission(Unwatch) -> Empty {
        method: "mission.unwatch", who: READERS, over: Socket, rest: [],
        faults: [SubscriptionNotFound],
        while_stopping: Allowed,
    }
    /// Tells those who watch a mission what the caller, who watches it too, looks at, has seen, writes, or points at.
    SetPresence(PresenceSet) -> Empty {
        method: "presence.set", who: READERS, over: Socket, rest: [],
        faults: [MissionNotFound, SubscriptionNotFound, StepNotFound, DocumentNotFound, InvalidValue, TooLarge],
        while_stopping: Allowed,
    }
    /// Watches the organization's missions as a list: those that fit, in order, and every change of it.
    WatchMissions(MissionsWatch) -> MissionsWatching {
        method: "missions.watch", who: READERS, over: Socket, rest: [],
        faults: [SubscriptionTaken, Unwatched, LimitReached, InvalidValue],
    }
    /// Ends the watch of a list of missions. Nothing is sent for it after the answer; one that did not stand yet is refused with `unwatched`.
    UnwatchMissions(Unwatch) -> Empty {
        method: "missions.unwatch", who: READERS, over: Socket, rest: [],
        faults: [SubscriptionNotFound],
        while_stopping: Allowed,
    }
    /// Lists what waits for the caller: questions of agents, and ends of missions, newest first, a page at a time.
    ListInbox(InboxQuery) -> InboxPage {
        method: "inbox.list", who: READERS, over: Any, rest: [Get "/api/inbox" => 200],
        faults: [InvalidValue],
    }
    /// Watches what waits for the caller, and every change of it.
    WatchInbox(InboxWatch) -> InboxWatching {
        method: "inbox.watch", who: READERS, over: Socket, rest: [],
        faults: [SubscriptionTaken, Unwatched, LimitReached, InvalidValue],
    }
    /// Ends the watch of the inbox. Nothing is sent for it after the answer; one that did not stand yet is refused with `unwatched`.
    UnwatchInbox(Unwatch) -> Empty {
        method: "inbox.unwatch", who: READERS, over: Socket, rest: [],
        faults: [SubscriptionNotFound],
        while_stopping: Allowed,
    }
    /// Takes an item out of the caller's inbox.
    DismissInbox(InboxDismiss) -> Empty {
        method: "inbox.dismiss", who: READERS, over: Any, rest: [Delete "/api/inbox/{item}" => 200],
        faults: [ItemNotFound, InvalidValue, IdemReused],
        guards: [Idem],
    }

    /// Adds a step to a plan.
    AddStep(StepAdd) -> Ack {
        method: "step.add", who: RUNNERS, over: Any, rest: [Post "/api/missions/{mission}/steps" => 201],
        faults: [MissionNotFound, MissionQuarantined, StepNotFound, InvalidValue, LimitReached, IllegalTransition, SeqConflict, IdemReused],
        guards: [Idem, IfSeq],
    }
    /// Changes a step: the fields that are present.
    UpdateStep(StepUpdate) -> Ack {
        method: "step.update", who: RUNNERS, over: Any, rest: [Patch "/api/missions/{mission}/steps/{step}" => 200],
        faults: [MissionNotFound, MissionQuarantined, StepNotFound, InvalidValue, IllegalTransition, SeqConflict, IdemReused],
        guards: [Idem, IfSeq],
    }
    /// Moves a step, with everything under it, to another place in the plan.
    MoveStep(StepMove) -> Ack {
        method: "step.move", who: RUNNERS, over: Any, rest: [Post "/api/missions/{mission}/steps/{step}/move" => 200],
        faults: [MissionNotFound, MissionQuarantined, StepNotFound, StepCycle, IllegalTransition, LimitReached, SeqConflict, IdemReused],
        guards: [Idem, IfSeq],
    }
    /// Removes a step with everything under it.
    RemoveStep(StepRef) -> Ack {
        method: "step.remove", who: RUNNERS, over: Any, rest: [Delete "/api/missions/{mission}/steps/{step}" => 200],
        faults: [MissionNotFound, MissionQuarantined, StepNotFound, IllegalTransition, SeqConflict, IdemReused],
        guards: [Idem, IfSeq],
    }

    /// Logs an activity by hand.
    AddActivity(ActivityAdd) -> Ack {
        method: "activity.add", who: ANSWERERS, over: Any, rest: [Post "/api/missions/{mission}/activity" => 201],
        faults: [MissionNotFound, MissionQuarantined, StepNotFound, InvalidValue, TooLarge, SeqConflict, IdemReused],
        guards: [Idem, IfSeq],
    }
    /// Pages through a mission's activity log, newest first.
    ListActivity(ActivityQuery) -> ActivityPage {
        method: "activity.list", who: READERS, over: Any, rest: [Get "/api/missions/{mission}/activity" => 200],
        faults: [MissionNotFound, MissionQuarantined, InvalidValue],
    }
    /// Writes to a mission's agent, for everyone who watches to see.
    SendMessage(MessageSend) -> Ack {
        method: "message.send", who: ANSWERERS, over: Any, rest: [Post "/api/missions/{mission}/messages" => 201],
        faults: [MissionNotFound, MissionQuarantined, InvalidValue, TooLarge, IllegalTransition, SeqConflict, IdemReused],
        guards: [Idem, IfSeq],
    }
    /// Pages through a mission's messages, newest first.
    ListMessages(MessageQuery) -> MessagePage {
        method: "message.list", who: READERS, over: Any, rest: [Get "/api/missions/{mission}/messages" => 200],
        faults: [MissionNotFound, MissionQuarantined, InvalidValue],
    }
    /// Answers what an agent asked. The first answer counts.
    AnswerApproval(ApprovalReply) -> Ack {
        method: "approval.answer", who: ANSWERERS, over: Any,
        rest: [Post "/api/missions/{mission}/approvals/{approval}/answer" => 200],
        faults: [MissionNotFound, MissionQuarantined, ApprovalNotFound, AlreadyAnswered, InvalidValue, TooLarge, SeqConflict, IdemReused],
        guards: [Idem, IfSeq],
    }

    /// Lists a mission's documents.
    ListDocuments(MissionRef) -> DocumentList {
        method: "document.list", who: READERS, over: Any, rest: [Get "/api/missions/{mission}/documents" => 200],
        faults: [MissionNotFound, MissionQuarantined],
    }
    /// Describes a document.
    GetDocument(DocumentRef) -> Document {
        method: "document.get", who: READERS, over: Any, rest: [Get "/api/documents/{document}" => 200],
        faults: [DocumentNotFound],
    }
    /// Gives a document's bytes, whole or the range that is asked for (RFC 9110).
    DownloadDocument(DocumentRef) -> Download {
        method: "document.download", who: READERS, over: Download, rest: [Get "/api/documents/{document}/download" => 200],
        faults: [DocumentNotFound, WrongTransport],
    }

    /// Plans what goes wrong for those who watch a mission, to see clients cope. Refused unless the server was started with `faults`.
    PlanFaults(FaultPlan) -> Empty {
        method: "fault.plan", who: ADMINS, over: Any, rest: [],
        faults: [FaultsOff, MissionNotFound, MissionQuarantined, InvalidValue],
    }
    /// Makes the actor of a mission panic, to see it come back. For drills: refused unless the server was started with `drills`.
    PanicMission(MissionRef) -> Empty {
        method: "drill.panic", who: ADMINS, over: Any, rest: [],
        faults: [DrillsOff, MissionNotFound, MissionQuarantined, MissionRestarting],
    }
}

/// The operation that is called `method`.
pub fn find(method: &str) -> Option<&'static Descriptor> {
    TABLE.iter().find(|descriptor| descriptor.method == method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_routes_are_unique() {
        for (i, a) in TABLE.iter().enumerate() {
            for b in &TABLE[i + 1..] {
                assert_ne!(a.method, b.method);
                for route in a.rest {
                    assert!(!b.rest.iter().any(|r| r.verb == route.verb && r.path == route.path), "{}", route.path);
                }
            }
        }
    }

    #[test]
    fn the_parameters_in_a_path_are_parameters_of_the_operation() {
        for descriptor in TABLE {
            let schema = (descriptor.params)();
            let known = schema.get("properties").and_then(|p| p.as_object()).cloned().unwrap_or_default();
            for route in descriptor.rest {
                for name in route.path.split(['{', '}']).skip(1).step_by(2) {
                    assert!(known.contains_key(name), "{} has no parameter {name}", descriptor.method);
                }
            }
        }
    }

    #[test]
    fn unknown_parameters_are_refused_everywhere() {
        for descriptor in TABLE {
            let error = Call::read(descriptor, r#"{"no_such_parameter": 1}"#).unwrap_err().to_string();
            assert!(error.contains("no_such_parameter"), "{}: {error}", descriptor.method);
        }
    }

    #[test]
    fn a_parameter_that_does_not_fit_is_named() {
        let refuse = |method: &str, params: &str| Call::read(find(method).unwrap(), params).unwrap_err();
        let id = "00000000-0000-0000-0000-000000000000";
        for (method, params, field) in [
            ("mission.create", r#"{"title": 7}"#.to_owned(), Some("title")),
            ("mission.create", r#"{"title": "a", "priority": "whenever"}"#.to_owned(), Some("priority")),
            ("mission.get", r#"{"mission": "one"}"#.to_owned(), Some("mission")),
            ("mission.watch", format!(r#"{{"mission": "{id}", "sub": "a", "since": {{"seq": 1}}}}"#), Some("since")),
            ("missions.watch", r#"{"sub": "a", "status": ["asleep"]}"#.to_owned(), Some("status[0]")),
            ("mission.create", "{}".to_owned(), None),
            ("mission.create", r#"{"title": "a"} {}"#.to_owned(), None),
        ] {
            let fault = refuse(method, &params);
            assert_eq!((fault.code, fault.data.field.as_deref()), (Code::InvalidParams, field), "{params}: {fault}");
            assert!(!fault.message.contains(" at line "), "{fault}");
        }
        assert!(refuse("mission.create", "{}").message.contains("`title`"));
    }

    #[test]
    fn what_changes_anything_can_be_named() {
        let takes_none = ["auth.", "drill.", "fault."];
        for descriptor in TABLE.iter().filter(|descriptor| !descriptor.reads() && descriptor.over != Over::Socket) {
            let excepted = takes_none.iter().any(|part| descriptor.method.starts_with(part));
            assert_eq!(descriptor.guards.contains(&Guard::Idem), !excepted, "{}", descriptor.method);
        }
    }

    #[test]
    fn the_table() {
        let rows: Vec<String> = TABLE
            .iter()
            .map(|d| {
                let routes: Vec<String> =
                    d.rest.iter().map(|r| format!("{} {} {}", r.verb.name(), r.path, r.status)).collect();
                format!("{} {:?} over {:?} [{}]", d.method, d.who, d.over, routes.join(", "))
            })
            .collect();
        insta::assert_snapshot!(rows.join("\n"));
    }

    #[test]
    fn the_shape_of_every_operation() {
        for descriptor in TABLE {
            insta::assert_json_snapshot!(
                descriptor.method,
                serde_json::json!({"params": (descriptor.params)(), "result": (descriptor.result)()})
            );
        }
    }
}
