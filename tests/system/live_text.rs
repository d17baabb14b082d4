//! Live text: what an agent is saying, seen as it says it, and never stored.

use std::collections::BTreeMap;

use flightdeck_protocol::{MissionId, operations::MessageSend, operations::SendMessage};
use serde_json::{Value, json};

use crate::support::{Heard, Member, RawSocket, Scripts, Server, Watcher, stored_log, within};

/// Says a line for each message that it gets: the message is the line's JSON.
const PARROT: &str = "
say(type='activity', message='ready')
while True:
    line = hear()
    if line['type'] == 'cancel':
        break
    if line['type'] == 'message':
        # A later run is not told the same again.
        say(type='checkpoint', data=line['id'])
        for told in json.loads(line['text']):
            if told == 'die':
                os.kill(os.getpid(), signal.SIGKILL)
            print(json.dumps(told), flush=True)
";

/// Somebody who watches with a bare socket, and folds what goes on as a client does.
struct Audience {
    socket: RawSocket,
    seq: u64,
    /// What is being said, by stream.
    said: BTreeMap<String, String>,
    /// Each `mission.live` that came: whether it was whole, and after which event it came.
    notices: Vec<(bool, u64)>,
    /// The items that came, in order.
    items: Vec<Value>,
    /// The messages of activities that came.
    log: Vec<String>,
}

impl Audience {
    async fn watch(server: &Server, who: &Member, mission: MissionId) -> Self {
        Self::watch_with(server, who, json!({"mission": mission, "sub": "a"})).await
    }

    async fn watch_with(server: &Server, who: &Member, params: Value) -> Self {
        let mut socket = RawSocket::open(server, &who.token).await;
        let watching = socket.call("mission.watch", params).await;
        let seq = watching["result"]["seq"].as_u64().unwrap_or_else(|| panic!("{watching}"));
        Self { socket, seq, said: BTreeMap::new(), notices: Vec::new(), items: Vec::new(), log: Vec::new() }
    }

    async fn take(&mut self) {
        let Heard::Json(message) = self.socket.hear().await else { panic!("the socket ended") };
        let params = &message["params"];
        match message["method"].as_str() {
            Some("mission.events") => {
                assert_eq!(params["from"], json!(self.seq + 1));
                for event in params["events"].as_array().expect("events") {
                    self.seq += 1;
                    assert_eq!(event["seq"], json!(self.seq));
                    self.log.extend(event["message"].as_str().map(str::to_owned));
                    if let Some(stream) = event["stream"].as_str() {
                        self.said.remove(stream);
                    }
                }
            }
            Some("mission.live") => {
                let whole = params["whole"] == json!(true);
                self.notices.push((whole, self.seq));
                if whole {
                    self.said.clear();
                }
                for item in params["items"].as_array().expect("items") {
                    let stream = item["stream"].as_str().expect("a stream").to_owned();
                    match item["type"].as_str() {
                        Some("text") => {
                            self.said.entry(stream).or_default().push_str(item["text"].as_str().expect("text"))
                        }
                        Some("text_end") => drop(self.said.remove(&stream)),
                        _ => panic!("what is {item}?"),
                    }
                    self.items.push(item.clone());
                }
            }
            _ => {}
        }
    }

    /// Reads on until what is being said is this.
    async fn until_said(&mut self, wanted: &[(&str, &str)]) {
        let wanted: BTreeMap<String, String> =
            wanted.iter().map(|(stream, text)| ((*stream).to_owned(), (*text).to_owned())).collect();
        within("what is being said", async {
            while self.said != wanted {
                self.take().await;
            }
        })
        .await;
    }

    /// Reads on until an activity with this message has come.
    async fn until_logged(&mut self, message: &str) {
        within(message, async {
            while !self.log.iter().any(|known| known == message) {
                self.take().await;
            }
        })
        .await;
    }
}

/// Has the agent say `lines`.
async fn tell(server: &Server, who: &Member, mission: MissionId, lines: Value) {
    let send = MessageSend { mission, text: lines.to_string() };
    server.call::<SendMessage>(who, send).await.expect("a message");
}

fn delta(stream: &str, text: &str) -> Value {
    json!({"type": "delta", "stream": stream, "text": text})
}

async fn parrot(flags: &[&str]) -> (Server, Member, MissionId) {
    let server = Scripts::new().agent("parrot", PARROT).serve(flags).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, Some("parrot"), json!({})).await;
    (server, ann, mission)
}

#[tokio::test]
async fn words_are_seen_as_they_are_said_and_end_with_the_event_that_has_them_all() {
    let (server, ann, mission) = parrot(&[]).await;
    let mut early = Audience::watch(&server, &ann, mission).await;
    early.until_logged("ready").await;
    tell(&server, &ann, mission, json!([delta("answer", "Dear "), delta("answer", "Ann, \"hello\"\n")])).await;
    early.until_said(&[("answer", "Dear Ann, \"hello\"\n")]).await;
    assert_eq!(early.items[0]["by"], json!({"type": "agent", "kind": "parrot", "incarnation": 1}));

    let mut late = Audience::watch(&server, &ann, mission).await;
    late.until_said(&[("answer", "Dear Ann, \"hello\"\n")]).await;
    assert_eq!(late.notices.len(), 1);
    assert!(late.notices[0].0, "a newcomer is given the whole of it at once");
    let deaf = json!({"mission": mission, "sub": "a", "live": false});
    let mut deaf = Audience::watch_with(&server, &ann, deaf).await;

    // The same name again, right behind the end: it is another text.
    let whole = json!({"type": "text", "stream": "answer", "text": "Dear Ann, hello again."});
    let lines = json!([delta("answer", "again."), whole, delta("answer", "Next "), delta("other", "More")]);
    tell(&server, &ann, mission, lines).await;
    for watcher in [&mut early, &mut late] {
        watcher.until_logged("Dear Ann, hello again.").await;
        watcher.until_said(&[("answer", "Next "), ("other", "More")]).await;
    }
    let texts = [("answer", "Next of the second."), ("other", "Other.")];
    let texts = texts.map(|(stream, text)| json!({"type": "text", "stream": stream, "text": text}));
    tell(&server, &ann, mission, json!(texts)).await;
    for watcher in [&mut early, &mut late, &mut deaf] {
        watcher.until_logged("Other.").await;
        watcher.until_said(&[]).await;
    }
    server.note(&ann, mission, "all is said").await.expect("a note");
    let mut last = Audience::watch(&server, &ann, mission).await;
    server.note(&ann, mission, "and done").await.expect("a note");
    for watcher in [&mut early, &mut late, &mut deaf, &mut last] {
        watcher.until_logged("and done").await;
        assert_eq!(watcher.said, BTreeMap::new(), "nothing is said any more");
    }
    assert_eq!((deaf.notices.len(), last.notices.len()), (0, 0));
    let stored = stored_log(&server, &ann, mission).await.join("\n");
    assert!(stored.contains("Next of the second.") && stored.contains(r#""stream":"answer""#));
    let people = stored.lines().filter(|line| line.contains("message_sent")).count();
    assert_eq!(people, 3, "what people wrote is stored");
    assert!(!stored.lines().any(|line| line.contains("delta") && !line.contains("message_sent")), "{stored}");
}

#[tokio::test]
async fn what_a_dying_agent_was_saying_breaks_off() {
    let (server, ann, mission) = parrot(&[]).await;
    let mut audience = Audience::watch(&server, &ann, mission).await;
    audience.until_logged("ready").await;
    tell(&server, &ann, mission, json!([delta("a", "To be"), delta("b", "or not")])).await;
    audience.until_said(&[("a", "To be"), ("b", "or not")]).await;
    let before = audience.seq;
    tell(&server, &ann, mission, json!(["die"])).await;
    audience.until_said(&[]).await;
    let ends: Vec<&Value> = audience.items.iter().filter(|item| item["type"] == "text_end").collect();
    assert_eq!(ends.len(), 2, "{:?}", audience.items);
    assert!(audience.seq > before + 1, "first the event of its end");
    // The next run begins afresh.
    tell(&server, &ann, mission, json!([delta("a", "Once more")])).await;
    audience.until_said(&[("a", "Once more")]).await;
    // And a mission that ends leaves nothing open, though its agent had more to say.
    server.rpc(Some(&ann.token), "mission.complete", &json!({"mission": mission})).await;
    audience.until_said(&[]).await;
    let stored = stored_log(&server, &ann, mission).await;
    assert!(!stored.iter().any(|event| event.contains("Once more") && !event.contains("message_sent")));
}

#[tokio::test]
async fn a_fast_talker_is_joined_and_not_slowed_down() {
    let talk = "
for nth in range(1000):
    say(type='delta', stream='a', text=f'{nth} ')
say(type='text', stream='b', text='all of it')
while hear()['type'] != 'cancel':
    pass
";
    // A mere 1,000 lines of another kind would take a hundred seconds.
    let flags = ["--agent-events-per-second", "10", "--agent-burst", "10"];
    let server = Scripts::new().agent("talk", talk).serve(&flags).await;
    let ann = server.admin("ann").await;
    let mission = server.mission(&ann, Some("talk"), json!({})).await;
    let mut audience = Audience::watch(&server, &ann, mission).await;
    server.rpc(Some(&ann.token), "mission.start", &json!({"mission": mission})).await;
    audience.until_logged("all of it").await;
    let all: String = (0..1_000).map(|nth| format!("{nth} ")).collect();
    audience.until_said(&[("a", &all)]).await;
    assert!(audience.notices.len() < 500, "{} notices for 1,000 words", audience.notices.len());
}

/// Says a word with each of far more events than the buffers between it and a watcher hold.
const CHATTER: &str = "
say(type='delta', stream='a', text='begin ')
while hear()['type'] != 'message':
    pass
for nth in range(3000):
    say(type='delta', stream='a', text='x')
    say(type='activity', message=f'{nth} ' + 'x' * 3900)
say(type='delta', stream='b', text='aside')
say(type='text', stream='b', text='aside')
say(type='activity', message='the end')
while hear()['type'] != 'cancel':
    pass
";

#[tokio::test]
async fn who_is_behind_gets_every_event_first_and_then_the_whole_of_what_is_said() {
    let flags = ["--agent-events-per-second", "100000", "--agent-burst", "100000", "--live-interval-ms", "1"];
    let server = Scripts::new().agent("chatter", CHATTER).serve(&flags).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, Some("chatter"), json!({})).await;
    let mut slow = Audience::watch(&server, &ann, mission).await;
    slow.until_said(&[("a", "begin ")]).await;
    let mut quick = Watcher::snapshot(&server, &ann, mission).await;
    server.call::<SendMessage>(&ann, MessageSend { mission, text: "go".to_owned() }).await.expect("a message");
    quick.event("the end", |frame| serde_json::to_string(frame).expect("JSON").contains("\"the end\"")).await;
    let head = quick.seq;
    // It reads at last: all events, and only then what it missed of the rest, as one.
    let before = slow.notices.len();
    slow.until_logged("the end").await;
    let all = format!("begin {}", "x".repeat(3_000));
    slow.until_said(&[("a", &all)]).await;
    let caught_up: Vec<&(bool, u64)> = slow.notices[before..].iter().filter(|(_, seq)| *seq >= head).collect();
    assert_eq!(caught_up, [&(true, head)], "{:?}", slow.notices);
}

#[tokio::test]
async fn a_secret_that_is_said_in_pieces_is_not_seen() {
    let server = Scripts::new().agent("parrot", PARROT).serve(&[]).await;
    let ann = server.admin("ann").await;
    server.put_secret(&ann, "portal", &json!({"password": "correct-horse"}));
    let mission = server.started(&ann, Some("parrot"), json!({"secret": "portal"})).await;
    let mut audience = Audience::watch(&server, &ann, mission).await;
    audience.until_logged("ready").await;
    let pieces = ["I typed corr", "ect-", "horse and a correct", "ion."].map(|piece| delta("a", piece));
    tell(&server, &ann, mission, json!(pieces)).await;
    audience.until_said(&[("a", "I typed [secret] and a correction.")]).await;
    let shown = json!(audience.items).to_string();
    assert!(!shown.contains("corr\"") && !shown.contains("ect-"), "{shown}");
}

#[tokio::test]
async fn a_piece_without_a_proper_name_is_refused_and_the_agent_told() {
    let (server, ann, mission) = parrot(&[]).await;
    let mut audience = Audience::watch(&server, &ann, mission).await;
    audience.until_logged("ready").await;
    let long = "x".repeat(65);
    for (line, why) in [
        (delta("", "lost"), "1 to 64 characters"),
        (delta(&long, "lost"), "1 to 64 characters"),
        (delta("a\nb", "lost"), "on one line"),
        (json!({"type": "delta", "text": "lost"}), "stream"),
        (json!({"type": "delta", "stream": "a", "text": 7}), "invalid type"),
    ] {
        let seen = audience.log.len();
        tell(&server, &ann, mission, json!([line])).await;
        let refused = |said: &String| said.contains("not taken (delta)") && said.contains(why);
        while !audience.log[seen..].iter().any(refused) {
            audience.take().await;
        }
    }
    assert!(audience.notices.is_empty(), "{:?}", audience.items);
    tell(&server, &ann, mission, json!([delta("a", "found")])).await;
    audience.until_said(&[("a", "found")]).await;
}

/// Says 500 words at the pace of a language model: as pieces of a text, and each as an activity.
const TWICE: &str = "
import time
while hear()['type'] != 'message':
    pass
say(type='checkpoint', data=0)
for nth in range(500):
    say(type='delta', stream='a', text=f'word {nth} ')
    time.sleep(0.005)
say(type='text', stream='a', text='all of it')
for nth in range(500):
    say(type='activity', message=f'word {nth} ')
    time.sleep(0.005)
say(type='text', text='and again')
while hear()['type'] != 'cancel':
    pass
";

#[tokio::test]
async fn words_that_are_rolled_up_cost_a_fraction_of_as_many_events() {
    let flags = ["--agent-events-per-second", "100000", "--agent-burst", "100000"];
    let server = Scripts::new().agent("twice", TWICE).serve(&flags).await;
    let ann = server.admin("ann").await;
    let mission = server.started(&ann, Some("twice"), json!({})).await;
    let mut socket = RawSocket::open(&server, &ann.token).await;
    socket.call("mission.watch", json!({"mission": mission, "sub": "a"})).await;
    server.call::<SendMessage>(&ann, MessageSend { mission, text: "go".to_owned() }).await.expect("a message");
    let mut costs = [(0, 0); 2];
    for (nth, last) in ["\"all of it\"", "\"and again\""].into_iter().enumerate() {
        loop {
            let Heard::Json(message) = socket.hear().await else { panic!("the socket ended") };
            let text = message.to_string();
            costs[nth].0 += 1;
            costs[nth].1 += text.len();
            if text.contains(last) {
                break;
            }
        }
    }
    let [(live_frames, live_bytes), (event_frames, event_bytes)] = costs;
    println!(
        "500 words: {live_frames} frames of {live_bytes} bytes as live text, {event_frames} of {event_bytes} as events"
    );
    assert!(live_frames * 2 < event_frames && live_bytes * 3 < event_bytes);
    let log = stored_log(&server, &ann, mission).await;
    println!("stored: {} events", log.len());
}
