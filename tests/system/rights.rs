//! Rights: each role and nobody, at each operation, as the table says and no other way.

use std::collections::HashMap;

use flightdeck_protocol::{
    Code,
    model::Role,
    operations::{Over, TABLE},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Member, RawSocket, Server, fault_of};

/// Parameters with which the operation can be called, of a mission that is not there, so that nothing changes.
fn params(method: &str) -> Value {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    match method {
        "session.open" | "session.ping" | "session.list" | "auth.user" | "auth.logout" | "user.list"
        | "mission.list" | "inbox.list" => json!({}),
        "session.renew" => json!({"token": "forged"}),
        "auth.signup" | "auth.login" => json!({"username": "x", "password": "x"}),
        "auth.refresh" => json!({"refresh_token": "forged"}),
        "user.create" => json!({"username": "x", "password": "x", "role": "viewer"}),
        "user.update" => json!({"user": id, "role": "admin", "active": true}),
        "mission.create" => json!({"title": ""}),
        "mission.watch" => json!({"mission": id, "sub": "a"}),
        "mission.unwatch" => json!({"sub": "a"}),
        "missions.watch" | "missions.unwatch" => json!({"sub": "list"}),
        "inbox.watch" | "inbox.unwatch" => json!({"sub": "inbox"}),
        "inbox.dismiss" => json!({"item": id}),
        "step.add" => json!({"mission": id, "title": "a"}),
        "step.update" | "step.move" | "step.remove" => json!({"mission": id, "step": id}),
        "activity.add" => json!({"mission": id, "message": "a"}),
        "message.send" => json!({"mission": id, "text": "a"}),
        "approval.answer" => json!({"mission": id, "approval": id, "text": "a"}),
        "fault.plan" => json!({"mission": id, "faults": []}),
        "document.get" | "document.download" => json!({"document": id}),
        _ => json!({"mission": id}),
    }
}

/// A server with somebody of each role.
async fn cast() -> (Server, HashMap<Role, Member>) {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mut cast = HashMap::new();
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Admin) {
        cast.insert(role, server.member(&ann, role, role.name()).await);
    }
    cast.insert(Role::Admin, ann);
    (server, cast)
}

#[tokio::test]
async fn each_role_may_what_the_table_says_over_a_socket() {
    let (server, cast) = cast().await;
    for role in Role::ALL.into_iter().map(Some).chain([None]) {
        let mut socket = match role {
            Some(role) => RawSocket::open(&server, &cast[&role].token).await,
            None => RawSocket::connect(&server, "/ws", None).await.expect("a connection"),
        };
        // Signing out ends the socket, so it comes last.
        let (last, rest): (Vec<_>, Vec<_>) = TABLE.iter().partition(|descriptor| descriptor.method == "auth.logout");
        for descriptor in rest.into_iter().chain(last) {
            let answer = socket.call(descriptor.method, params(descriptor.method)).await;
            let code = answer.get("error").map(|_| fault_of(&answer).code);
            judge(descriptor, role, code);
        }
    }
}

fn judge(descriptor: &flightdeck_protocol::Descriptor, role: Option<Role>, code: Option<Code>) {
    let method = descriptor.method;
    let refused = match role {
        Some(_) => Code::Forbidden,
        None => Code::Unauthenticated,
    };
    // To open without a token is to be nobody still.
    let allowed = descriptor.who.includes(role) && !(method == "session.open" && role.is_none());
    match code {
        Some(code) if !allowed => assert_eq!(code, refused, "{method} by {role:?}"),
        None if !allowed => panic!("{method} is not for {role:?}, and was carried out"),
        Some(code) => {
            assert!(![Code::Forbidden, Code::Unauthenticated].contains(&code), "{method} by {role:?}: {code:?}");
            let own = descriptor.faults.contains(&code);
            let of_all = [Code::WrongTransport, Code::InvalidValue].contains(&code);
            assert!(own || of_all, "{method} is refused with {code:?}, which the table does not tell");
        }
        None => {}
    }
}

#[tokio::test]
async fn each_role_may_what_the_table_says_over_http() {
    let (server, cast) = cast().await;
    for descriptor in TABLE.iter().filter(|descriptor| descriptor.method != "auth.logout") {
        for role in Role::ALL.into_iter().map(Some).chain([None]) {
            let token = role.map(|role| cast[&role].token.as_str());
            let answer = server.rpc(token, descriptor.method, &params(descriptor.method)).await;
            let code = answer.get("error").map(|_| fault_of(&answer).code);
            if descriptor.over == Over::Socket && descriptor.who.includes(role) {
                assert_eq!(code, Some(Code::WrongTransport), "{}", descriptor.method);
            } else {
                judge(descriptor, role, code);
            }
        }
    }
    for role in Role::ALL {
        let path = "/api/documents/01890a5d-ac96-774b-bcce-b302099a8057/download";
        let reply = server.request(Method::GET, path, Some(&cast[&role].token), None).await;
        assert_eq!((reply.status, reply.fault().code), (404, Code::DocumentNotFound), "{role:?}");
    }
}

#[tokio::test]
async fn each_role_does_its_work() {
    let (server, cast) = cast().await;
    let mission = server.started(&cast[&Role::Officer], None, json!({})).await;
    for role in [Role::Admin, Role::Officer, Role::Manager, Role::Approver] {
        server.note(&cast[&role], mission, role.name()).await.expect("a note");
    }
    let viewed = server.look(&cast[&Role::Viewer], mission).await;
    let names: Vec<&str> = viewed.activity.iter().map(|activity| activity.by.name()).collect();
    assert_eq!(names, ["ann", "officer", "manager", "approver"]);
    for role in [Role::Approver, Role::Viewer] {
        let params = json!({"mission": mission});
        server.refuses(&cast[&role], mission, "mission.cancel", params, Code::Forbidden).await;
    }
}
