//! The roster: what an admin sees of the live sessions, a slow client's queue above all.

use flightdeck_protocol::{
    Code, MissionId, Timestamp,
    model::Role,
    operations::{Empty, ListSessions, SessionView, WatchKind},
};
use serde_json::json;

use crate::support::{Member, RawSocket, Scripts, Server, Watcher, eventually, fault_of};

/// Prints far more than the buffers between it and a watcher hold.
const MUCH: &str = "
for nth in range(3000):
    say(type='activity', message=f'{nth} ' + 'x' * 3900)
say(type='done')
";

/// A client of a test is busy with something else for as long as it likes.
const PATIENT: [&str; 2] = ["--heartbeat-timeout-ms", "600000"];

impl Server {
    async fn roster(&self, admin: &Member) -> Vec<SessionView> {
        let roster = self.call::<ListSessions>(admin, Empty {}).await.expect("a roster");
        assert_eq!(roster.others, 0);
        roster.items
    }

    /// How the only session of `who` stands.
    async fn session_of(&self, admin: &Member, who: &Member) -> SessionView {
        let mut roster = self.roster(admin).await;
        roster.retain(|session| session.user == who.person.id);
        assert_eq!(roster.len(), 1, "{roster:?}");
        roster.remove(0)
    }
}

fn behind(session: &SessionView, mission: MissionId) -> u64 {
    let watch = session.watches.iter().find(|watch| watch.mission == Some(mission)).expect("the watch");
    watch.behind
}

#[tokio::test]
async fn what_waits_for_a_client() {
    let flags = ["--agent-events-per-second", "100000", "--agent-burst", "100000", PATIENT[0], PATIENT[1]];
    let server = Scripts::new().agent("much", MUCH).serve(&flags).await;
    let ann = server.admin("ann").await;
    let mel = server.member(&ann, Role::Manager, "mel").await;
    let vera = server.member(&ann, Role::Viewer, "vera").await;
    let mission = server.mission(&ann, Some("much"), json!({})).await;
    let mut quick = Watcher::from_the_first(&server, &ann, mission).await;
    let mut slow = RawSocket::narrow(&server, &vera.token).await;
    slow.call("mission.watch", json!({"mission": mission, "sub": "slow"})).await;
    assert_eq!(behind(&server.session_of(&ann, &vera).await, mission), 0);

    // It does not read: what it has yet to be sent grows, and grows further with whatever comes.
    server.rpc(Some(&ann.token), "mission.start", &json!({"mission": mission})).await;
    quick.until_mission("the end", |mission| mission.status.is_ended()).await;
    let first = eventually("a watch that is behind", || async {
        let view = server.session_of(&ann, &vera).await;
        (behind(&view, mission) > 0).then_some(view)
    })
    .await;
    let more = eventually("a watch that is further behind", || async {
        server.note(&ann, mission, "one more").await.expect("a note");
        let view = server.session_of(&ann, &vera).await;
        (behind(&view, mission) > behind(&first, mission)).then_some(view)
    })
    .await;
    assert!(behind(&more, mission) < quick.seq, "some of it was sent");
    assert!(more.sent_bytes >= first.sent_bytes && first.sent_messages > 0);

    // It reads at last, and nothing waits any more.
    let last = server.look(&ann, mission).await.seq;
    let mut seen = 0;
    while seen < last {
        seen = slow.notice("mission.events").await["to"].as_u64().expect("a position");
    }
    let done = server.session_of(&ann, &vera).await;
    assert_eq!((behind(&done, mission), done.waiting_messages, done.waiting_bytes), (0, 0, 0));
    assert!(done.sent_messages > more.sent_messages && done.sent_bytes > more.sent_bytes);
    assert!(done.opened_at == first.opened_at && done.opened_at <= done.heard_at);

    // Answers that nobody reads wait as well: of 6 MB that are asked for at once the sockets hold a part.
    let mut asker = RawSocket::narrow(&server, &mel.token).await;
    let page = json!({"mission": mission, "limit": 100, "type": "info"});
    let ask = |id| json!({"jsonrpc": "2.0", "id": id, "method": "activity.list", "params": page}).to_string();
    asker.send_all((0..15).map(ask)).await;
    let waiting = eventually("answers that wait", || async {
        let view = server.session_of(&ann, &mel).await;
        (view.waiting_messages > 0).then_some(view)
    })
    .await;
    assert!(waiting.waiting_bytes > waiting.waiting_messages * 100 * 3_900, "{waiting:?}");
    for _ in 0..15 {
        assert_eq!(asker.response().await["result"]["items"].as_array().map(Vec::len), Some(100));
    }
    let done = server.session_of(&ann, &mel).await;
    assert_eq!((done.waiting_messages, done.waiting_bytes), (0, 0));
}

#[tokio::test]
async fn an_admin_sees_the_sessions_of_the_own_organization_and_nobody_else_sees_any() {
    let server = Server::with(&PATIENT).await;
    let began = Timestamp::now();
    let (ann, bob) = (server.admin("ann").await, server.admin("bob").await);
    let mel = server.member(&ann, Role::Manager, "mel").await;
    let vera = server.member(&ann, Role::Viewer, "vera").await;
    let mission = server.started(&ann, None, json!({})).await;
    assert!(server.roster(&ann).await.is_empty());
    let mut first = RawSocket::open(&server, &vera.token).await;
    let _second = RawSocket::open(&server, &vera.token).await;
    let _theirs = RawSocket::open(&server, &bob.token).await;
    // One that is not open is nobody's.
    let _nobody = RawSocket::connect(&server, "/ws", None).await.expect("a connection");
    for (method, sub) in [("inbox.watch", "c"), ("missions.watch", "b")] {
        first.call(method, json!({"sub": sub})).await;
    }
    first.call("mission.watch", json!({"mission": mission, "sub": "a"})).await;

    let roster = server.roster(&ann).await;
    let names: Vec<&str> = roster.iter().map(|session| session.name.as_str()).collect();
    assert_eq!(names, ["vera", "vera"], "and not bob");
    assert!(roster[0].opened_at <= roster[1].opened_at && roster[0].opened_at >= began);
    assert_ne!(roster[0].connection, roster[1].connection);
    assert_eq!(roster[0].session, roster[1].session, "one sign-in");
    let watches: Vec<_> =
        roster[0].watches.iter().map(|watch| (watch.sub.as_str(), watch.kind, watch.mission)).collect();
    let kinds =
        [("a", WatchKind::Mission, Some(mission)), ("b", WatchKind::Missions, None), ("c", WatchKind::Inbox, None)];
    assert_eq!(watches, kinds);
    assert!(roster[1].watches.is_empty());
    assert_eq!(server.roster(&bob).await.iter().map(|session| session.user).collect::<Vec<_>>(), [bob.person.id]);
    for who in [&mel, &vera] {
        let refused = server.rpc(Some(&who.token), "session.list", &json!({})).await;
        assert_eq!(fault_of(&refused).code, Code::Forbidden);
    }
    let refused =
        server.rpc(Some(&ann.token), "session.list", &json!({"organization": bob.person.organization.id})).await;
    assert_eq!(fault_of(&refused).code, Code::InvalidParams);

    // Who leaves is not there any more.
    drop(first);
    eventually("the first to be gone", || async { (server.roster(&ann).await.len() == 1).then_some(()) }).await;
}

#[tokio::test]
async fn hundreds_come_and_go_and_the_roster_is_right() {
    const MANY: usize = 300;
    let server = Server::with(&PATIENT).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, None, json!({})).await;
    for _ in 0..2 {
        let mut sockets = Vec::new();
        for _ in 0..MANY {
            let mut socket = RawSocket::open(&server, &ann.token).await;
            socket.call("mission.watch", json!({"mission": mission, "sub": "a"})).await;
            sockets.push(socket);
        }
        let roster = server.roster(&ann).await;
        assert_eq!(roster.len(), MANY);
        assert!(roster.is_sorted_by_key(|session| (session.opened_at, session.connection)));
        // Every other one leaves; the rest hear what comes.
        let stay: Vec<RawSocket> = sockets.into_iter().step_by(2).collect();
        let left = MANY.div_ceil(2);
        eventually("half of them to be gone", || async { (server.roster(&ann).await.len() == left).then_some(()) })
            .await;
        let ack = server.note(&ann, mission, "for those who stay").await.expect("a note");
        for mut socket in stay {
            while socket.notice("mission.events").await["to"] != json!(ack.seq) {}
        }
        eventually("all to be gone", || async { server.roster(&ann).await.is_empty().then_some(()) }).await;
    }
}
