//! REST: every route of the table, with and without a slash at the end.

use std::collections::HashSet;

use flightdeck_protocol::{
    Code, MissionId,
    model::Role,
    operations::{TABLE, Verb},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Member, RawSocket, Reply, Scripts, Server, Watcher};

/// Delivers a document, asks, and waits for whatever comes.
const WORKER: &str = "
open('a.txt', 'w').write('the document')
say(type='document', name='a.txt', path='a.txt')
say(type='ask', key='go', prompt='Shall I?')
while hear()['type'] != 'cancel':
    pass
";

/// A story told over REST, which keeps account of the routes that were called.
struct Tour {
    server: Server,
    ann: Member,
    called: HashSet<(Method, &'static str, bool)>,
}

impl Tour {
    /// Calls `route` with its braces filled in from `ids`, with a slash at the end and without.
    async fn call(&mut self, verb: Method, route: &'static str, ids: &[&str], body: Value, status: u16) -> [Value; 2] {
        [
            self.once(verb.clone(), route, ids, body.clone(), status, false).await.json(),
            self.once(verb, route, ids, body, status, true).await.json(),
        ]
    }

    async fn once(
        &mut self,
        verb: Method,
        route: &'static str,
        ids: &[&str],
        body: Value,
        status: u16,
        slash: bool,
    ) -> Reply {
        self.called.insert((verb.clone(), route, slash));
        let path = fill(route, ids) + if slash { "/" } else { "" };
        let body = (!body.is_null()).then_some(body);
        let reply = self.server.request(verb.clone(), &path, Some(&self.ann.token), body.as_ref()).await;
        assert_eq!(reply.status, status, "{verb} {path}: {}", String::from_utf8_lossy(&reply.body));
        reply
    }

    /// A mission on its way, with the worker at it that has delivered and asked.
    async fn at_work(&self) -> Watcher {
        let mission = self.server.started(&self.ann, Some("worker"), json!({})).await;
        let mut watcher = Watcher::from_the_first(&self.server, &self.ann, mission).await;
        watcher.until_mission("the question", |mission| !mission.approvals.is_empty()).await;
        watcher
    }

    async fn pending(&self) -> String {
        self.server.mission(&self.ann, None, json!({})).await.to_string()
    }

    async fn started(&self) -> String {
        self.server.started(&self.ann, None, json!({})).await.to_string()
    }
}

fn fill(route: &str, ids: &[&str]) -> String {
    let mut ids = ids.iter();
    let parts = route.split('/').map(|part| match part.strip_prefix('{') {
        Some(_) => *ids.next().expect("an id for each brace"),
        None => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_route_of_the_table_answers() {
    let server = Scripts::new().agent("worker", WORKER).serve(&["--agent-stop-grace-ms", "500"]).await;
    let ann = server.admin("ann").await;
    let mut tour = Tour { server, ann, called: HashSet::new() };
    accounts(&mut tour).await;
    missions(&mut tour).await;
    lives(&mut tour).await;
    plan(&mut tour).await;
    contents(&mut tour).await;
    inbox(&mut tour).await;
    for route in TABLE.iter().flat_map(|descriptor| descriptor.rest) {
        for slash in [false, true] {
            let verb = match route.verb {
                Verb::Get => Method::GET,
                Verb::Post => Method::POST,
                Verb::Put => Method::PUT,
                Verb::Patch => Method::PATCH,
                Verb::Delete => Method::DELETE,
            };
            assert!(tour.called.contains(&(verb, route.path, slash)), "{} (slash: {slash}) was not called", route.path);
        }
    }
}

async fn accounts(tour: &mut Tour) {
    let post = Method::POST;
    for (slash, username) in [(false, "bob"), (true, "cyd")] {
        let account =
            json!({"username": username, "password": "long enough", "email": format!("{username}@example.com")});
        let signed = tour.once(post.clone(), "/api/auth/signup", &[], account, 201, slash).await.json();
        assert_eq!((&signed["user"]["username"], &signed["user"]["role"]), (&json!(username), &json!("admin")));
        let user = json!({"username": format!("{username}-2"), "password": "long enough", "role": "viewer"});
        let made = tour.once(post.clone(), "/api/users", &[], user, 201, slash).await.json();
        assert_eq!(made["role"], "viewer");
        let login = json!({"username": format!("{username}@example.com"), "password": "long enough"});
        let signed = tour.once(post.clone(), "/api/auth/login", &[], login, 200, slash).await.json();
        assert_eq!(signed["user"]["username"], username);
        let refresh = json!({"refresh_token": signed["refresh_token"]});
        let pair = tour.once(post.clone(), "/api/auth/refresh", &[], refresh, 200, slash).await.json();
        assert_ne!(pair["refresh_token"], signed["refresh_token"]);
    }
    for user in tour.call(Method::GET, "/api/auth/user", &[], Value::Null, 200).await {
        assert_eq!(user["username"], "ann");
    }
    for users in tour.call(Method::GET, "/api/users", &[], Value::Null, 200).await {
        let names: Vec<&Value> =
            users["items"].as_array().expect("users").iter().map(|user| &user["username"]).collect();
        assert_eq!(names, ["ann", "bob-2", "cyd-2"]);
        let id = users["items"][1]["id"].as_str().expect("an id");
        let change = json!({"role": "officer", "name": "Bob the Second"});
        for bob in tour.call(Method::PATCH, "/api/users/{user}", &[id], change.clone(), 200).await {
            assert_eq!((&bob["role"], &bob["name"], &bob["active"]), (&change["role"], &change["name"], &json!(true)));
        }
    }
    let _live = RawSocket::open(&tour.server, &tour.ann.token).await;
    for sessions in tour.call(Method::GET, "/api/sessions", &[], Value::Null, 200).await {
        let names: Vec<&Value> =
            sessions["items"].as_array().expect("sessions").iter().map(|session| &session["name"]).collect();
        assert_eq!(names, ["ann"], "{sessions}");
    }
    for slash in [false, true] {
        tour.once(post.clone(), "/api/auth/logout", &[], json!({}), 200, slash).await;
        let late = tour.server.request(Method::GET, "/api/auth/user", Some(&tour.ann.token), None).await;
        assert_eq!((late.status, late.fault().code), (401, Code::TokenRevoked));
        tour.ann = tour.server.sign_in("ann").await;
    }
}

async fn missions(tour: &mut Tour) {
    let new = json!({"title": "By hand", "type": "filing", "priority": "high", "input": {"year": 2025}});
    let made = tour.call(Method::POST, "/api/missions", &[], new, 201).await;
    let ids = made.map(|mission| {
        assert_eq!((&mission["type"], &mission["status"]), (&json!("filing"), &json!("pending")));
        mission["id"].as_str().expect("an id").to_owned()
    });
    for list in tour.call(Method::GET, "/api/missions", &[], Value::Null, 200).await {
        assert_eq!(list["items"].as_array().map(Vec::len), Some(2));
    }
    let page =
        tour.server.request(Method::GET, "/api/missions/?limit=1&type=filing", Some(&tour.ann.token), None).await;
    assert_eq!((page.status, &page.json()["items"][0]["id"]), (200, &json!(ids[1])), "the newest first");
    let next = format!("/api/missions?limit=1&before={}", page.json()["next"].as_str().expect("a next page"));
    let page = tour.server.request(Method::GET, &next, Some(&tour.ann.token), None).await;
    assert_eq!(page.json()["items"][0]["id"], json!(ids[0]));
    for (verb, title) in [(Method::PUT, "Put"), (Method::PATCH, "Patched")] {
        for mission in tour.call(verb, "/api/missions/{mission}", &[&ids[0]], json!({"title": title}), 200).await {
            assert_eq!((&mission["title"], &mission["priority"]), (&json!(title), &json!("high")));
        }
    }
    for mission in tour.call(Method::GET, "/api/missions/{mission}", &[&ids[0]], Value::Null, 200).await {
        assert_eq!((&mission["title"], &mission["input"]["year"]), (&json!("Patched"), &json!(2025)));
    }
    for (slash, id) in [(false, &ids[0]), (true, &ids[1])] {
        let gone = tour.once(Method::DELETE, "/api/missions/{mission}", &[id], Value::Null, 200, slash).await.json();
        assert_eq!(gone["mission"], json!(id));
        let late = tour.server.request(Method::GET, &format!("/api/missions/{id}"), Some(&tour.ann.token), None).await;
        assert_eq!((late.status, late.fault().code), (404, Code::MissionNotFound));
    }
}

async fn lives(tour: &mut Tour) {
    for slash in [false, true] {
        let id = tour.pending().await;
        for (route, status) in [
            ("/api/missions/{mission}/start", "running"),
            ("/api/missions/{mission}/pause", "paused"),
            ("/api/missions/{mission}/resume", "running"),
            ("/api/missions/{mission}/complete", "completed"),
        ] {
            let mission = tour.once(Method::POST, route, &[&id], Value::Null, 200, slash).await.json();
            assert_eq!(mission["status"], status);
        }
        let id = tour.started().await;
        let why = json!({"reason": "not needed"});
        let route = "/api/missions/{mission}/cancel";
        let mission = tour.once(Method::POST, route, &[&id], why, 200, slash).await.json();
        assert_eq!((&mission["status"], &mission["status_reason"]), (&json!("cancelled"), &json!("not needed")));
        let late = tour.once(Method::POST, route, &[&id], Value::Null, 409, slash).await;
        assert_eq!(late.fault().code, Code::IllegalTransition);
    }
}

async fn plan(tour: &mut Tour) {
    let id = tour.started().await;
    let made = tour.call(Method::POST, "/api/missions/{mission}/steps", &[&id], json!({"title": "Step"}), 201).await;
    let [one, two] = made.map(|ack| ack["id"].as_str().expect("an id").to_owned());
    let route = "/api/missions/{mission}/steps/{step}";
    tour.call(Method::PATCH, route, &[&id, &one], json!({"status": "completed", "result": "done"}), 200).await;
    let route_move = "/api/missions/{mission}/steps/{step}/move";
    tour.call(Method::POST, route_move, &[&id, &two], json!({"parent": one, "position": 0}), 200).await;
    let mission = tour.server.request(Method::GET, &format!("/api/missions/{id}"), Some(&tour.ann.token), None).await;
    let plan = &mission.json()["plan"];
    assert_eq!((&plan[0]["status"], &plan[0]["result"]), (&json!("completed"), &json!("done")));
    assert_eq!((&plan[1]["id"], &plan[1]["parent"]), (&json!(two), &json!(one)));
    tour.once(Method::DELETE, route, &[&id, &two], Value::Null, 200, false).await;
    tour.once(Method::DELETE, route, &[&id, &one], Value::Null, 200, true).await;
}

async fn contents(tour: &mut Tour) {
    let post = Method::POST;
    let working = [tour.at_work().await, tour.at_work().await];
    let id = working[0].id.to_string();
    let note = json!({"message": "looked at it", "type": "success", "details": {"pages": 3}});
    tour.call(post.clone(), "/api/missions/{mission}/activity", &[&id], note, 201).await;
    for page in tour.call(Method::GET, "/api/missions/{mission}/activity", &[&id], Value::Null, 200).await {
        assert_eq!(page["items"][0]["details"]["pages"], 3);
    }
    let path = format!("/api/missions/{id}/activity/?type=success&limit=1");
    let page = tour.server.request(Method::GET, &path, Some(&tour.ann.token), None).await.json();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    assert!(page["next"].is_u64());
    tour.call(post.clone(), "/api/missions/{mission}/messages", &[&id], json!({"text": "Hello"}), 201).await;
    for page in tour.call(Method::GET, "/api/missions/{mission}/messages", &[&id], Value::Null, 200).await {
        assert_eq!((&page["items"][0]["text"], &page["items"][0]["by"]["name"]), (&json!("Hello"), &json!("ann")));
    }
    for (slash, watcher) in [false, true].into_iter().zip(&working) {
        let mission = watcher.id.to_string();
        let approval = watcher.mission().approvals[0].id.to_string();
        let route = "/api/missions/{mission}/approvals/{approval}/answer";
        let answer = json!({"text": "Do"});
        tour.once(post.clone(), route, &[&mission, &approval], answer.clone(), 200, slash).await;
        let late = tour.once(post.clone(), route, &[&mission, &approval], answer, 409, slash).await;
        assert_eq!(late.fault().code, Code::AlreadyAnswered);
    }
    let [list, _] = tour.call(Method::GET, "/api/missions/{mission}/documents", &[&id], Value::Null, 200).await;
    let document = list["items"][0]["id"].as_str().expect("a document").to_owned();
    for found in tour.call(Method::GET, "/api/documents/{document}", &[&document], Value::Null, 200).await {
        assert_eq!((&found["name"], &found["media_type"]), (&json!("a.txt"), &json!("text/plain")));
    }
    for slash in [false, true] {
        let route = "/api/documents/{document}/download";
        let file = tour.once(Method::GET, route, &[&document], Value::Null, 200, slash).await;
        assert_eq!(file.body, b"the document");
    }
}

async fn inbox(tour: &mut Tour) {
    let mel = tour.server.member(&tour.ann, Role::Manager, "mel").await;
    for _ in 0..2 {
        let id = tour.started().await;
        let path = format!("/api/missions/{id}/complete");
        assert_eq!(tour.server.request(Method::POST, &path, Some(&mel.token), None).await.status, 200);
    }
    let [ends, _] = tour.call(Method::GET, "/api/inbox", &[], Value::Null, 200).await;
    assert_eq!(ends["items"].as_array().map(Vec::len), Some(2), "{ends}");
    for (nth, slash) in [false, true].into_iter().enumerate() {
        let item = ends["items"][nth]["id"].as_str().expect("an id");
        let route = "/api/inbox/{item}";
        tour.once(Method::DELETE, route, &[item], Value::Null, 200, slash).await;
        let late = tour.once(Method::DELETE, route, &[item], Value::Null, 404, slash).await;
        assert_eq!(late.fault().code, Code::ItemNotFound);
    }
    let page = tour.server.request(Method::GET, "/api/inbox/?limit=1", Some(&tour.ann.token), None).await.json();
    assert_eq!(page["items"], json!([]));
}

#[tokio::test]
async fn requests_that_fit_no_route_are_told_so() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let token = Some(ann.token.as_str());
    let id = server.mission(&ann, None, json!({})).await;
    let ask = async |verb: Method, path: &str, body: Option<&Value>| server.request(verb, path, token, body).await;
    for path in ["/api", "/api/fly", "/api/missions/a/b/c", "/", "/index.html"] {
        let reply = ask(Method::GET, path, None).await;
        assert_eq!((reply.status, reply.fault().code), (404, Code::RouteNotFound), "{path}");
    }
    let reply = ask(Method::DELETE, "/api/missions", None).await;
    assert_eq!(reply.status, 405);
    assert!(reply.header("allow").contains("GET") && reply.header("allow").contains("POST"));
    let twice = json!({"mission": id, "title": "a"});
    let cases = [
        (Method::GET, "/api/missions/7".to_owned(), None, Code::InvalidParams),
        (Method::GET, "/api/missions?limit=many".to_owned(), None, Code::InvalidParams),
        (Method::GET, "/api/missions?colour=red".to_owned(), None, Code::InvalidParams),
        (Method::POST, "/api/missions".to_owned(), Some(json!(["a"])), Code::InvalidRequest),
        (Method::POST, "/api/missions".to_owned(), Some(json!({"title": "a", "colour": "red"})), Code::InvalidParams),
        (Method::PATCH, format!("/api/missions/{id}"), Some(twice), Code::InvalidParams),
    ];
    for (verb, path, body, code) in cases {
        let reply = ask(verb.clone(), &path, body.as_ref()).await;
        assert_eq!((reply.status, reply.fault().code), (400, code), "{verb} {path}");
    }
    let broken =
        server.http.post(format!("{}/api/missions", server.url)).bearer_auth(&ann.token).body("{").send().await;
    let broken: Value = broken.expect("an answer").json().await.expect("JSON");
    assert_eq!(crate::support::fault_of(&broken).code, Code::ParseError);
    let long = json!({"title": "x".repeat(200_000)});
    let reply = ask(Method::POST, "/api/missions", Some(&long)).await;
    assert_eq!((reply.status, reply.fault().code), (413, Code::TooLarge));
    let missing = ask(Method::GET, &format!("/api/missions/{}", MissionId::fresh()), None).await;
    assert_eq!((missing.status, missing.fault().code), (404, Code::MissionNotFound));
    let anonymous = server.request(Method::GET, "/api/missions", None, None).await;
    assert_eq!((anonymous.status, anonymous.fault().code), (401, Code::Unauthenticated));
    assert_eq!(server.look(&ann, id).await.seq, 1);
}

#[tokio::test]
async fn a_closed_server_takes_no_sign_ups() {
    let server = Server::with(&["--signup", "closed"]).await;
    let account = json!({"username": "ann", "password": "long enough"});
    let reply = server.request(Method::POST, "/api/auth/signup", None, Some(&account)).await;
    assert_eq!((reply.status, reply.fault().code), (403, Code::SignupClosed));
}

#[tokio::test]
async fn the_server_says_that_it_is_well() {
    let server = Server::start().await;
    for path in ["/healthz", "/healthz/", "/readyz", "/readyz/"] {
        let reply = server.request(Method::GET, path, None, None).await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.json()["status"].is_string());
    }
}
