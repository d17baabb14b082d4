//! Logs coalesced: whoever is far behind and has chosen so is spared old log entries, and never a change of state.

use flightdeck_protocol::{
    Event, MissionId,
    model::{ActivityType, Mission},
    notification::{MissionEvents, Span},
    operations::{MessageSend, SendMessage},
};
use serde_json::{Value, json};

use crate::support::{Heard, Member, RawSocket, Scripts, Server, Watcher, within};

/// Prints far more than the buffers between it and a watcher hold, and changes state now and then.
const MUCH: &str = "
line = hear()
while line['type'] != 'message':
    line = hear()
# A later run is not told the same again.
say(type='checkpoint', data=line['id'])
for nth in range(2500):
    if nth % 500 == 200:
        say(type='progress', percent=1 + nth // 100)
        say(type='activity', kind='warning', message='careful')
    say(type='activity', message=f'{nth} ' + 'x' * 3900)
say(type='progress', percent=99)
while hear()['type'] != 'cancel':
    pass
";

const POUR: [&str; 4] = ["--agent-events-per-second", "100000", "--agent-burst", "100000"];

/// Somebody who folds what comes, with what was left out.
struct Reader {
    socket: RawSocket,
    mission: Mission,
    /// Where it began.
    since: u64,
    /// How many events came.
    came: u64,
    skipped: Vec<Span>,
    /// Where the events that say something of the state came, and warnings.
    told: Vec<u64>,
}

impl Reader {
    async fn watch(server: &Server, who: &Member, watch: Value) -> Self {
        let mut socket = RawSocket::narrow(server, &who.token).await;
        let mut watching = socket.call("mission.watch", watch).await;
        let mission: Mission = serde_json::from_value(watching["result"]["snapshot"].take()).expect("a snapshot");
        Self { socket, since: mission.seq, mission, came: 0, skipped: Vec::new(), told: Vec::new() }
    }

    async fn reach(&mut self, seq: u64) {
        within("the last event", async {
            while self.mission.seq < seq {
                self.take().await;
            }
        })
        .await;
    }

    async fn take(&mut self) {
        let Heard::Json(mut message) = self.socket.hear().await else { panic!("the socket ended") };
        if message["method"] != "mission.events" {
            return;
        }
        let frame: MissionEvents = serde_json::from_value(message["params"].take()).expect("events");
        assert_eq!(frame.from, self.mission.seq + 1, "a gap or a repetition");
        let mut skipped = frame.skipped.iter().peekable();
        for event in &frame.events {
            while let Some(span) = skipped.next_if(|span| span.from < event.seq) {
                self.skip(*span);
            }
            assert_eq!(event.seq, self.mission.seq + 1, "neither sent nor said to be left out");
            self.mission.apply(event);
            self.came += 1;
            let chatter = matches!(
                event.event,
                Event::ActivityLogged { activity_type: ActivityType::Info | ActivityType::Log, .. }
            );
            if !chatter {
                self.told.push(event.seq);
            }
        }
        skipped.for_each(|span| self.skip(*span));
        assert_eq!(self.mission.seq, frame.to);
    }

    fn skip(&mut self, span: Span) {
        assert!(span.from == self.mission.seq + 1 && span.to >= span.from, "{span:?} after {}", self.mission.seq);
        self.mission.skip(span);
        self.skipped.push(span);
    }
}

/// A mission that has poured, and two that watched it and have not read yet: one that is to be spared, and one that is not.
async fn poured(flags: &[&str]) -> (Server, Member, MissionId, [Reader; 2]) {
    let server = Scripts::new().agent("much", MUCH).serve(&[&POUR[..], flags].concat()).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, Some("much"), json!({})).await;
    let watch = |logs| json!({"mission": mission, "sub": "a", "logs": logs});
    let coalesced = Reader::watch(&server, &ann, watch("coalesced")).await;
    let every = Reader::watch(&server, &ann, watch("every")).await;
    let mut quick = Watcher::snapshot(&server, &ann, mission).await;
    server.call::<SendMessage>(&ann, MessageSend { mission, text: "go".to_owned() }).await.expect("a message");
    quick.until_mission("the end", |mission| mission.progress == 99).await;
    (server, ann, mission, [coalesced, every])
}

async fn story(flags: &[&str]) {
    let (server, ann, mission, [mut coalesced, mut every]) = poured(flags).await;
    let now = server.look(&ann, mission).await;
    for reader in [&mut coalesced, &mut every] {
        reader.reach(now.seq).await;
        assert_eq!(reader.mission, now, "with or without what was left out it is the same state");
        let left_out: u64 = reader.skipped.iter().map(|span| span.to + 1 - span.from).sum();
        assert_eq!(reader.since + reader.came + left_out, now.seq);
        println!("{} events came and {left_out} were left out, in {} ranges", reader.came, reader.skipped.len());
    }
    assert!(every.skipped.is_empty() && every.came - coalesced.came > 500);
    // It began to watch first, and its agent was about to start.
    coalesced.told.retain(|seq| *seq > every.since);
    assert_eq!(coalesced.told, every.told, "every change of state and every warning came");
    // It is at the head now, and hears of everything again.
    let ack = server.note(&ann, mission, "a last word").await.expect("a note");
    let (came, skipped) = (coalesced.came, coalesced.skipped.len());
    coalesced.reach(ack.seq).await;
    assert!(coalesced.came > came && coalesced.skipped.len() == skipped);
}

#[tokio::test]
async fn who_is_far_behind_is_spared_log_entries_that_are_read_from_the_journal() {
    story(&[]).await;
}

#[tokio::test]
async fn who_is_far_behind_is_spared_log_entries_that_are_in_memory() {
    story(&["--feed-bytes", "100000000"]).await;
}

#[tokio::test]
async fn who_comes_back_after_long_is_spared_them_too_and_who_keeps_up_is_not() {
    let (mut server, ann, mission, [coalesced, _]) = poured(&[]).await;
    let since = coalesced.mission.seq;
    // Also where nothing of it is in the memory of the server any more.
    server.kill_nine().await;
    server.start_again().await;
    let mut reader = Reader { socket: RawSocket::open(&server, &ann.token).await, ..coalesced };
    let epoch = server_epoch(&mut reader.socket, mission).await;
    let watch = json!({"mission": mission, "sub": "b", "logs": "coalesced", "since": {"epoch": epoch, "seq": since}});
    assert_eq!(reader.socket.call("mission.watch", watch).await["result"]["resumed"], json!(true));
    loop {
        let now = server.look(&ann, mission).await;
        reader.reach(now.seq).await;
        // The agent is back, too, and may have been heard of meanwhile.
        if reader.mission.seq == now.seq {
            assert_eq!(reader.mission, now);
            break;
        }
    }
    assert!(!reader.skipped.is_empty());

    let watch = json!({"mission": mission, "sub": "a", "logs": "coalesced"});
    let mut near = Reader::watch(&server, &ann, watch).await;
    for nth in 0..60 {
        let ack = server.note(&ann, mission, &format!("note {nth}")).await.expect("a note");
        near.reach(ack.seq).await;
    }
    assert!(near.came >= 60 && near.skipped.is_empty());
    let refused = near.socket.refused("mission.watch", json!({"mission": mission, "sub": "c", "logs": "some"})).await;
    assert_eq!(refused.code, flightdeck_protocol::Code::InvalidParams);
}

async fn server_epoch(socket: &mut RawSocket, mission: MissionId) -> Value {
    let mut watching = socket.call("mission.watch", json!({"mission": mission, "sub": "epoch"})).await;
    socket.call("mission.unwatch", json!({"sub": "epoch"})).await;
    watching["result"]["epoch"].take()
}
