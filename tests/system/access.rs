//! Access: who gets other rights has them at once, and who has lost them hears nothing more.

use flightdeck_protocol::{
    Code, Fault, MissionId,
    model::{Person, Role},
    notification::Close,
    operations::{InboxWatch, Login, Logout, MessageSend, SendMessage, SignIn, SignOut, UpdateUser, UserUpdate},
};
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{TcpSocket, TcpStream},
};

use crate::support::{
    Heard, InboxWatcher, Member, PASSWORD, RawSocket, Scripts, Server, Watcher, fault_of, stored_log, within,
};

/// Characters of a message, of three bytes each; and how many are on a page, which no connection takes at once.
const TEXT: usize = 15_000;
const MESSAGES: usize = 200;

/// Says something all the time.
const POURING: &str = "
nth = 0
while True:
    nth += 1
    say(type='activity', message=f'line {nth}')
";

/// Delivers what no connection takes at once.
const DELIVERING: &str = r"
with open('large.txt', 'w') as large:
    large.write('0123456789abcde\n' * (2 << 20))
say(type='document', name='large.txt', path='large.txt')
say(type='done')
";

/// Asks, and waits for whatever comes.
const ASKING: &str = "
say(type='ask', key='go', prompt='Shall I?')
while hear()['type'] != 'cancel':
    pass
";

impl Server {
    /// `admin` changes an account.
    async fn update(&self, admin: &Member, who: &Member, change: UserUpdate) -> Result<Person, Fault> {
        self.call::<UpdateUser>(admin, UserUpdate { user: who.person.id, ..change }).await
    }

    async fn give_role(&self, admin: &Member, who: &Member, role: Role) {
        let changed = self.update(admin, who, UserUpdate { role: Some(role), ..nothing(who) }).await.expect("a role");
        assert_eq!(changed.role, role);
    }

    async fn set_active(&self, admin: &Member, who: &Member, active: bool) {
        let change = UserUpdate { active: Some(active), ..nothing(who) };
        assert_eq!(self.update(admin, who, change).await.expect("a change").active, active);
    }

    /// `who` signs in with their password, or with another.
    async fn try_sign_in(&self, who: &Member, password: &str) -> Result<Member, Fault> {
        let login = Login { username: who.person.username.clone(), password: password.to_owned() };
        self.call_as::<SignIn>(None, &login).await.map(Member::from)
    }

    /// What the tokens of `who` are refused with, everywhere.
    async fn is_out(&self, who: &Member, code: Code) {
        let rest = self.request(Method::GET, "/api/missions", Some(&who.token), None).await;
        assert_eq!((rest.status, rest.fault().code), (401, code));
        let Err((status, body)) = RawSocket::connect(self, "/ws", Some(&who.token)).await else {
            panic!("the socket takes the token");
        };
        assert_eq!((status, fault_of(&body).code), (401, code));
        let refresh = self.rpc(None, "auth.refresh", &json!({"refresh_token": who.refresh})).await;
        assert_eq!(fault_of(&refresh).code, code);
    }
}

fn nothing(who: &Member) -> UserUpdate {
    UserUpdate { user: who.person.id, role: None, active: None, name: None }
}

#[tokio::test]
async fn another_role_holds_at_once_also_in_live_sessions() {
    let server = Scripts::new().agent("asking", ASKING).serve(&[]).await;
    let ann = server.admin("ann").await;
    let mel = server.member(&ann, Role::Manager, "mel").await;
    let mission = server.started(&ann, Some("asking"), json!({})).await;
    let mut watcher = Watcher::from_the_first(&server, &mel, mission).await;
    watcher.until_mission("the question", |mission| !mission.approvals.is_empty()).await;
    let mut inbox = InboxWatcher::begin(&server, &mel, InboxWatch { sub: "inbox".to_owned() }).await;
    inbox.until("the question", |items| items.len() == 1).await;
    let mut socket = RawSocket::open(&server, &mel.token).await;
    let say = |text: &str| MessageSend { mission, text: text.to_owned() };
    watcher.session.call::<SendMessage>(say("as a manager")).await.expect("a message");

    server.give_role(&ann, &mel, Role::Viewer).await;
    let fault = watcher.session.call::<SendMessage>(say("as a viewer")).await.expect_err("a refusal");
    assert_eq!(fault.fault().map(|fault| fault.code), Some(Code::Forbidden));
    assert_eq!(socket.refused("mission.cancel", json!({"mission": mission})).await.code, Code::Forbidden);
    assert_eq!(socket.call("auth.user", json!({})).await["result"]["role"], "viewer");
    // What is asked is not hers to answer any more. To read is: the same watch goes on.
    inbox.until("no question", |items| items.is_empty()).await;
    let ack = server.note(&ann, mission, "for everyone to read").await.expect("a note");
    watcher.reach(ack.seq).await;

    server.give_role(&ann, &mel, Role::Approver).await;
    watcher.session.call::<SendMessage>(say("as an approver")).await.expect("a message");
    assert_eq!(socket.refused("mission.cancel", json!({"mission": mission})).await.code, Code::Forbidden);
    inbox.until("the question again", |items| items.len() == 1).await;
    let said: Vec<String> = server.look(&ann, mission).await.messages.into_iter().map(|message| message.text).collect();
    assert_eq!(said, ["as a manager", "as an approver"]);
}

/// What a socket hears up to the goodbye, after which nothing may come: the last event.
async fn last_before_the_goodbye(mut socket: RawSocket) -> u64 {
    let mut last = 0;
    loop {
        match socket.hear().await {
            Heard::Json(message) if message["method"] == "mission.events" => {
                last = message["params"]["to"].as_u64().expect("a position");
            }
            Heard::Json(message) if message["method"] == "session.closing" => {
                let goodbye = &message["params"];
                assert_eq!(goodbye["code"], Close::Revoked.code());
                assert_eq!(goodbye["reason"], Close::Revoked.reason());
                assert!(goodbye.get("reconnect_after_ms").is_none(), "there is nothing to come back to: {goodbye}");
                break;
            }
            Heard::Json(_) => {}
            Heard::Closed(code, reason) => panic!("closed without a goodbye: {code} {reason}"),
        }
    }
    match socket.hear().await {
        Heard::Closed(code, reason) => assert_eq!((code, reason.as_str()), (4501, Close::Revoked.reason())),
        Heard::Json(message) => panic!("after the goodbye came {message}"),
    }
    last
}

async fn watching(server: &Server, who: &Member, mission: MissionId) -> RawSocket {
    let mut socket = RawSocket::open(server, &who.token).await;
    socket.call("mission.watch", json!({"mission": mission, "sub": "a"})).await;
    socket.call("missions.watch", json!({"sub": "list"})).await;
    socket.call("inbox.watch", json!({"sub": "inbox"})).await;
    socket
}

#[tokio::test]
async fn whose_account_is_closed_hears_nothing_more_though_much_is_said() {
    let server = Scripts::new().agent("pouring", POURING).serve(&["--agent-events-per-second", "500"]).await;
    let ann = server.admin("ann").await;
    let mel = server.member(&ann, Role::Manager, "mel").await;
    let at_home = server.sign_in("mel").await;
    let mission = server.started(&ann, Some("pouring"), json!({})).await;
    let mut watcher = Watcher::from_the_first(&server, &ann, mission).await;
    let mut sockets = vec![
        watching(&server, &mel, mission).await,
        watching(&server, &mel, mission).await,
        watching(&server, &at_home, mission).await,
    ];
    for socket in &mut sockets {
        socket.notice("mission.events").await;
    }

    server.set_active(&ann, &mel, false).await;
    // The answer is the line between what may be heard and what may not. What the sockets held by then was sent.
    let after = server.note(&ann, mission, "not for mel").await.expect("a note");
    for socket in sockets {
        let last = last_before_the_goodbye(socket).await;
        assert!(last < after.seq, "event {last} came, and the account was closed before {}", after.seq);
    }
    server.is_out(&mel, Code::AccountClosed).await;
    server.is_out(&at_home, Code::AccountClosed).await;
    assert_eq!(server.try_sign_in(&mel, PASSWORD).await.err().map(|fault| fault.code), Some(Code::AccountClosed));
    let guess = server.try_sign_in(&mel, "another password").await;
    assert_eq!(
        guess.err().map(|fault| fault.code),
        Some(Code::BadLogin),
        "who cannot prove who they are learns nothing"
    );
    watcher.reach(after.seq).await;
}

/// A mission with so many messages that a page of them is large, and the question for that.
async fn talkative(server: &Server, who: &Member) -> (MissionId, String) {
    let mission = server.started(who, None, json!({})).await;
    for _ in 0..MESSAGES {
        let message = MessageSend { mission, text: "€".repeat(TEXT) };
        server.call::<SendMessage>(who, message).await.expect("a message");
    }
    let params = json!({"mission": mission, "limit": MESSAGES});
    (mission, json!({"jsonrpc": "2.0", "id": 7, "method": "message.list", "params": params}).to_string())
}

#[tokio::test]
async fn whose_account_is_closed_in_the_middle_of_a_large_answer_gets_no_more_of_it() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mel = server.member(&ann, Role::Manager, "mel").await;
    let (_, ask) = talkative(&server, &ann).await;

    let mut slow = RawSocket::narrow(&server, &mel.token).await;
    slow.send(ask.clone()).await;
    // The header of a frame whose length takes eight bytes, and the beginning of what is in it.
    let begun = slow.bytes(1_000).await;
    assert_eq!(begun[..2], [0x81, 127]);
    let length = begun[2..10].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    assert!(length > MESSAGES * 3 * TEXT, "{length}");

    server.set_active(&ann, &mel, false).await;
    slow.breaks_off_unread().await;
    let rest = slow.rest().await.len();
    println!("{rest} of {length} bytes were on the reader's side before");
    assert!(rest < length / 2, "{rest} of {length} came after the end");
    // Somebody who may still have it gets all of it.
    let mut quick = RawSocket::open(&server, &ann.token).await;
    quick.send(ask).await;
    assert_eq!(quick.response().await["result"]["items"].as_array().map(Vec::len), Some(MESSAGES));
}

/// `who` asks for something of `size` bytes over HTTP, loses access when it has begun, and does not get the rest.
async fn breaks_off_when_closed(server: &Server, admin: &Member, who: &Member, ask: &str, body: &str, size: usize) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let mut slow = socket.connect(server.address()).await.expect("a connection");
    let head = format!("host: a\r\nauthorization: Bearer {}\r\ncontent-length: {}", who.token, body.len());
    slow.write_all(format!("{ask} HTTP/1.1\r\n{head}\r\n\r\n{body}").as_bytes()).await.expect("a request");
    let mut begun = [0; 1_000];
    within("its beginning", slow.read_exact(&mut begun)).await.expect("the beginning");
    assert!(begun.starts_with(b"HTTP/1.1 200"));

    server.set_active(admin, who, false).await;
    within("the end, though nothing is read", slow.ready(Interest::ERROR)).await.expect("an end");
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await.expect_err("it breaks off");
    assert!(rest.len() < size / 2, "{} of {size} came after the end", rest.len());
}

#[tokio::test]
async fn whose_account_is_closed_in_the_middle_of_a_large_answer_over_http_gets_no_more_of_it() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let (mission, ask) = talkative(&server, &ann).await;
    let path = format!("/api/missions/{mission}/messages?limit={MESSAGES}");
    for (name, request, body) in [("mel", format!("GET {path}"), ""), ("max", "POST /api/rpc".to_owned(), &*ask)] {
        let who = server.member(&ann, Role::Viewer, name).await;
        breaks_off_when_closed(&server, &ann, &who, &request, body, MESSAGES * 3 * TEXT).await;
    }
    // Somebody who may still have it gets all of it.
    let whole = server.get(&ann, &path, &[]).await;
    assert_eq!(whole.header("content-length"), whole.body.len().to_string());
    assert_eq!(whole.json()["items"].as_array().map(Vec::len), Some(MESSAGES));
}

#[tokio::test]
async fn whose_account_is_closed_in_the_middle_of_a_download_gets_no_more_of_it() {
    let server = Scripts::new().agent("deliver", DELIVERING).serve(&[]).await;
    let ann = server.admin("ann").await;
    let mel = server.member(&ann, Role::Viewer, "mel").await;
    let mission = server.started(&ann, Some("deliver"), json!({})).await;
    let document = server.end_of(&ann, mission).await.documents.remove(0);
    let size = usize::try_from(document.size).expect("a size");
    let path = format!("/api/documents/{}/download", document.id);
    breaks_off_when_closed(&server, &ann, &mel, &format!("GET {path}"), "", size).await;
    // Somebody who may still have it gets all of it.
    assert_eq!(server.get(&ann, &path, &[]).await.body.len(), size);
}

#[tokio::test]
async fn what_is_being_sent_when_an_account_is_closed_is_not_carried_out() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mel = server.member(&ann, Role::Manager, "mel").await;
    let mission = server.started(&ann, None, json!({})).await;
    let body = json!({"message": "too late"}).to_string();
    let head = format!(
        "POST /api/missions/{mission}/activity HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
         authorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        mel.token,
        body.len()
    );
    let (first, rest) = body.split_at(5);
    let mut request = TcpStream::connect(server.address()).await.expect("a connection");
    request.write_all(format!("{head}{first}").as_bytes()).await.expect("half a request");
    server.set_active(&ann, &mel, false).await;
    request.write_all(rest.as_bytes()).await.expect("the other half");
    let mut answer = String::new();
    within("an answer", request.read_to_string(&mut answer)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("account_closed"), "{answer}");
    assert!(server.look(&ann, mission).await.activity.is_empty());
}

#[tokio::test]
async fn who_signs_out_everywhere_is_out_on_every_device_and_nobody_else_is() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mel = server.member(&ann, Role::Manager, "mel").await;
    let (phone, tablet) = (server.sign_in("mel").await, server.sign_in("mel").await);
    let mission = server.started(&ann, None, json!({})).await;
    let mut here = watching(&server, &mel, mission).await;
    let elsewhere = [watching(&server, &phone, mission).await, watching(&server, &tablet, mission).await];
    let mut watcher = Watcher::from_the_first(&server, &ann, mission).await;

    // The device that asks is told that it is done, and then goodbye.
    assert_eq!(here.call("auth.logout", json!({"everywhere": true})).await["result"], json!({}));
    let after = server.note(&ann, mission, "not for mel").await.expect("a note");
    assert_eq!(here.goodbye().await.code, Close::Revoked.code());
    for socket in elsewhere {
        assert!(last_before_the_goodbye(socket).await < after.seq);
    }
    for device in [&mel, &phone, &tablet] {
        server.is_out(device, Code::TokenRevoked).await;
    }
    watcher.reach(after.seq).await;
    // Nor does it matter by which way it was asked for, or that there is nothing left to end.
    let again = server.sign_in("mel").await;
    let socket = watching(&server, &again, mission).await;
    server.call::<SignOut>(&again, Logout { everywhere: true, refresh_token: None }).await.expect("a goodbye");
    last_before_the_goodbye(socket).await;
    let late = server.call::<SignOut>(&again, Logout { everywhere: true, refresh_token: None }).await;
    assert_eq!(late.err().map(|fault| fault.code), Some(Code::TokenRevoked));
}

#[tokio::test]
async fn an_account_that_is_opened_again_takes_a_new_sign_in_and_misses_nothing() {
    let mut server = Server::start().await;
    let ann = server.admin("ann").await;
    let mel = server.member(&ann, Role::Manager, "mel").await;
    let mission = server.started(&ann, None, json!({})).await;
    let mut watcher = Watcher::from_the_first(&server, &mel, mission).await;
    watcher.reach(2).await;
    server.set_active(&ann, &mel, false).await;
    assert_eq!(watcher.until_closed().await.code, Close::Revoked.code());
    server.note(&ann, mission, "while mel was away").await.expect("a note");

    server.kill_nine().await;
    server.start_again().await;
    server.is_out(&mel, Code::AccountClosed).await;
    server.set_active(&ann, &mel, true).await;
    // What was ended stays ended.
    server.is_out(&mel, Code::TokenRevoked).await;
    let mel = server.sign_in("mel").await;
    assert_eq!(mel.person.role, Role::Manager);
    watcher.resume(&server, &mel).await;
    let ack = server.note(&mel, mission, "back").await.expect("a note");
    watcher.reach(ack.seq).await;
    assert_eq!(*watcher.raw(), stored_log(&server, &ann, mission).await);
}

#[tokio::test]
async fn changes_that_may_not_be_are_refused_and_change_nothing() {
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    let mel = server.member(&ann, Role::Manager, "mel").await;
    let bob = server.admin("bob").await;
    let people = async || server.rpc(Some(&ann.token), "user.list", &json!({})).await["result"].take();
    let before = people().await;
    let change = |who: &Member, change: serde_json::Value| {
        let mut params = change;
        params["user"] = json!(who.person.id);
        params
    };
    let stranger = json!({"user": flightdeck_protocol::UserId::fresh(), "role": "viewer"});
    let cases = [
        (stranger, Code::UserNotFound),
        (change(&bob, json!({"active": false})), Code::UserNotFound),
        (change(&ann, json!({"role": "manager"})), Code::LastAdmin),
        (change(&ann, json!({"active": false})), Code::LastAdmin),
        (change(&mel, json!({"name": ""})), Code::InvalidValue),
        (change(&mel, json!({"name": "x".repeat(10_000)})), Code::InvalidValue),
        (change(&mel, json!({"role": "emperor"})), Code::InvalidParams),
        (change(&mel, json!({"username": "melanie"})), Code::InvalidParams),
        (json!({"role": "viewer"}), Code::InvalidParams),
        (json!({"user": "mel", "role": "viewer"}), Code::InvalidParams),
    ];
    let mut socket = RawSocket::open(&server, &mel.token).await;
    for (params, code) in cases {
        let fault = fault_of(&server.rpc(Some(&ann.token), "user.update", &params).await);
        assert_eq!(fault.code, code, "{params}: {fault}");
    }
    assert_eq!(people().await, before);
    // No change at all is none: nobody is signed out by it.
    assert_eq!(server.update(&ann, &mel, nothing(&mel)).await.expect("no change"), mel.person);
    assert_eq!(socket.call("auth.user", json!({})).await["result"]["role"], "manager");
    // With another admin the first one may go.
    server.give_role(&ann, &mel, Role::Admin).await;
    server.give_role(&mel, &ann, Role::Viewer).await;
    assert_eq!(server.update(&ann, &mel, nothing(&mel)).await.err().map(|fault| fault.code), Some(Code::Forbidden));
    server.still_works(&mel).await;
}
