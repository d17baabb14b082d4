//! A browser tab: one connection at a time, several missions watched, commands sent without waiting.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flightdeck_protocol::{
    MissionId,
    operations::{Position, Watching},
};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest as _, http::HeaderValue},
};

use super::{
    command::Command,
    ledger::{Answer, Entry, Ledger},
    plan::Act,
    view::{RawEvents, View},
};
use crate::support::{Member, within};

/// A small window, so that the server soon notices a tab that does not read.
const WINDOW: u32 = 4096;

/// What all tabs share.
pub(super) struct Shared {
    /// Where the server is now.
    pub(super) url: Mutex<String>,
    pub(super) missions: Vec<MissionId>,
    pub(super) ledger: Mutex<Ledger>,
}

impl Shared {
    /// Looks at the ledger.
    pub(super) fn ledger<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a tab is told to do.
pub(super) enum Order {
    Connect,
    Drop,
    Hush,
    Read,
    Watch(usize),
    Unwatch(usize),
    Act {
        mission: usize,
        act: Act,
        idem: bool,
        if_seq: bool,
        turn: OwnedSemaphorePermit,
    },
    Again,
    /// Read and come back until every command is answered and, where they are given, these positions are reached.
    Settle(Option<Vec<u64>>, oneshot::Sender<()>),
}

/// How far a watch is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stand {
    Asked,
    Stands,
    Ends,
}

/// A named command, to be sent again.
#[derive(Clone)]
struct Sent {
    entry: usize,
    command: Command,
}

/// What an answer is waited for to.
enum Waiting {
    Watch { sub: String, asked: Option<Position> },
    Unwatch { sub: String },
    Command { sent: Sent, _turn: Option<OwnedSemaphorePermit> },
}

pub(super) struct Tab {
    shared: Arc<Shared>,
    who: Member,
    name: usize,
    socket: Option<WebSocketStream<TcpStream>>,
    reading: bool,
    pub(super) views: BTreeMap<usize, View>,
    /// The missions that it wants to watch.
    wanted: BTreeSet<usize>,
    /// The watches of this connection: of which mission, and how far each is.
    subs: HashMap<String, (usize, Stand)>,
    waiting: HashMap<u64, Waiting>,
    next: u64,
    /// Named commands that were not answered.
    again: Vec<Sent>,
    last_named: Option<Sent>,
}

#[derive(Deserialize)]
struct Frame<'a> {
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    id: Option<u64>,
}

impl Tab {
    pub(super) fn new(shared: Arc<Shared>, who: Member, name: usize, wanted: impl IntoIterator<Item = usize>) -> Self {
        Self {
            shared,
            who,
            name,
            socket: None,
            reading: true,
            views: BTreeMap::new(),
            wanted: wanted.into_iter().collect(),
            subs: HashMap::new(),
            waiting: HashMap::new(),
            next: 1,
            again: Vec::new(),
            last_named: None,
        }
    }

    /// Whether it wants to watch the mission.
    pub(super) fn wants(&self, mission: usize) -> bool {
        self.wanted.contains(&mission)
    }

    /// Does what it is told, and reads meanwhile, until there are no more orders.
    pub(super) async fn live(mut self, mut orders: mpsc::Receiver<Order>) -> Self {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return self,
                },
                frame = frame(&mut self.socket), if self.reading => self.hear(frame).await,
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Connect => self.connect().await,
            Order::Drop => self.gone(),
            Order::Hush => {
                self.reading = false;
                // Whoever does not read keeps nobody from sending.
                for waiting in self.waiting.values_mut() {
                    if let Waiting::Command { _turn, .. } = waiting {
                        *_turn = None;
                    }
                }
            }
            Order::Read => self.reading = true,
            Order::Watch(mission) => {
                if self.wanted.insert(mission) {
                    self.watch(mission).await;
                }
            }
            Order::Unwatch(mission) => {
                let standing = |(_, at): &(&String, &(usize, Stand))| **at == (mission, Stand::Stands);
                let sub = self.subs.iter().find(standing).map(|(sub, _)| sub.clone());
                // One that is being asked for stays: the answer to it would find nobody.
                if let Some(sub) = sub.filter(|_| self.wanted.remove(&mission)) {
                    self.subs.insert(sub.clone(), (mission, Stand::Ends));
                    let id = self.expect(Waiting::Unwatch { sub: sub.clone() });
                    self.send(id, "mission.unwatch", json!({"sub": sub})).await;
                }
            }
            Order::Act { mission, act, idem, if_seq, turn } => self.act(mission, act, idem, if_seq, turn).await,
            Order::Again => {
                if let (Some(sent), true) = (self.last_named.clone(), self.socket.is_some()) {
                    self.command(sent, None).await;
                }
            }
            Order::Settle(heads, done) => {
                self.settle(heads.as_deref()).await;
                // Nobody waits for it any more.
                let _ = done.send(());
            }
        }
    }

    async fn connect(&mut self) {
        if self.socket.is_some() {
            return;
        }
        let url = self.shared.url.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut request = format!("{}/ws", url.replacen("http", "ws", 1)).into_client_request().expect("a request");
        let token = HeaderValue::from_str(&format!("Bearer {}", self.who.token)).expect("a header");
        request.headers_mut().insert("authorization", token);
        let address = url.trim_start_matches("http://").parse().expect("an address");
        let connecting = async {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_recv_buffer_size(WINDOW).expect("a window");
            let stream = socket.connect(address).await?;
            client_async(request, stream).await
        };
        match within("a connection", connecting).await {
            Ok((socket, _)) => self.socket = Some(socket),
            // The server is busy, or was killed just now.
            Err(tungstenite::Error::Http(refused)) if matches!(refused.status().as_u16(), 429 | 503) => return,
            Err(tungstenite::Error::Io(_) | tungstenite::Error::Protocol(_)) => return,
            Err(error) => panic!("tab {} cannot connect: {error}", self.name),
        }
        self.reading = true;
        for mission in self.wanted.clone() {
            self.watch(mission).await;
        }
        for sent in std::mem::take(&mut self.again) {
            self.command(sent, None).await;
        }
    }

    /// The connection is no more: nobody answers what was asked.
    fn gone(&mut self) {
        self.socket = None;
        self.subs.clear();
        for (_, waiting) in self.waiting.drain() {
            if let Waiting::Command { sent, .. } = waiting {
                self.shared.ledger(|ledger| ledger.lost(sent.entry));
                if self.shared.ledger(|ledger| ledger.0[sent.entry].is_named) {
                    self.again.push(sent);
                }
            }
        }
    }

    async fn watch(&mut self, mission: usize) {
        if self.socket.is_none() || self.subs.values().any(|(watched, _)| *watched == mission) {
            return;
        }
        let id = self.shared.missions[mission];
        let view = self.views.entry(mission).or_insert_with(|| View::new(id));
        let asked = view.since();
        let sub = format!("mission {mission} of request {}", self.next);
        self.subs.insert(sub.clone(), (mission, Stand::Asked));
        let mut params = json!({"mission": id, "sub": sub});
        if let Some(since) = asked {
            params["since"] = json!(since);
        }
        let id = self.expect(Waiting::Watch { sub, asked });
        self.send(id, "mission.watch", params).await;
    }

    async fn act(&mut self, mission: usize, act: Act, idem: bool, if_seq: bool, turn: OwnedSemaphorePermit) {
        if self.socket.is_none() {
            return;
        }
        let view = self.views.get(&mission).filter(|view| view.mission.is_some());
        let entry = self.shared.ledger(|ledger| ledger.number());
        let id = self.shared.missions[mission];
        let mut command = Command::new(act, entry, id, view.and_then(|view| view.mission.as_ref()));
        let makes = command.method == "mission.create";
        let if_seq = view.map(|view| view.seq).filter(|_| if_seq && !makes);
        if let Some(seq) = if_seq {
            command.params["if_seq"] = json!(seq);
        }
        if idem {
            command.params["idem"] = json!(format!("tab {} entry {entry}", self.name));
        }
        self.shared.ledger(|ledger| {
            ledger.note(Entry {
                mission: (!makes).then_some(mission),
                method: command.method,
                is_marked: command.is_marked,
                is_named: idem,
                if_seq,
                answers: Vec::new(),
                lost: 0,
            });
        });
        let sent = Sent { entry, command };
        if idem {
            self.last_named = Some(sent.clone());
        }
        let turn = self.reading.then_some(turn);
        self.command(sent, turn).await;
    }

    async fn command(&mut self, sent: Sent, turn: Option<OwnedSemaphorePermit>) {
        let (method, params) = (sent.command.method, sent.command.params.clone());
        let id = self.expect(Waiting::Command { sent, _turn: turn });
        self.send(id, method, params).await;
    }

    fn expect(&mut self, waiting: Waiting) -> u64 {
        let id = self.next;
        self.next += 1;
        self.waiting.insert(id, waiting);
        id
    }

    async fn send(&mut self, id: u64, method: &str, params: Value) {
        let Some(socket) = &mut self.socket else { return self.gone() };
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        // Where that fails, what the server said before it closed is read first.
        let _ = within("a request to be written", socket.send(request.into())).await;
    }

    async fn hear(&mut self, frame: Option<Result<Message, tungstenite::Error>>) {
        let text = match frame {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(1005, |frame| frame.code.into());
                assert!(code < 4500, "tab {} may not come back: {code}", self.name);
                return self.gone();
            }
            Some(Ok(_)) => return,
            Some(Err(_)) | None => return self.gone(),
        };
        let frame: Frame<'_> = serde_json::from_str(&text).expect("a frame in JSON");
        match (frame.method, frame.id) {
            (Some("mission.events"), _) => {
                let events: RawEvents = serde_json::from_str(frame.params.expect("parameters").get()).expect("events");
                let (mission, at) = self.subs.get(&events.sub).copied().expect("a watch that there is");
                assert!(at != Stand::Asked, "events before the answer to the watch");
                self.views.get_mut(&mission).expect("a view").events(events);
            }
            (Some(_), _) => {}
            (None, Some(id)) => {
                let waiting = self.waiting.remove(&id).expect("an answer to what was asked");
                self.answered(waiting, serde_json::from_str(&text).expect("a response")).await;
            }
            (None, None) => panic!("an answer to nothing: {text}"),
        }
    }

    async fn answered(&mut self, waiting: Waiting, mut response: Value) {
        match waiting {
            Waiting::Watch { sub, asked } => {
                if response.get("error").is_some() {
                    // The mission restarts, or the server is busy: asked again with the next connection.
                    let fault = crate::support::fault_of(&response);
                    assert!(fault.data.temporary, "{fault}");
                    self.subs.remove(&sub);
                    return self.gone();
                }
                let watching: Watching = serde_json::from_value(response["result"].take()).expect("a watch");
                let at = self.subs.get_mut(&sub).expect("a watch that was asked for");
                at.1 = Stand::Stands;
                self.views.get_mut(&at.0).expect("a view").begin(watching, asked);
            }
            Waiting::Unwatch { sub } => {
                assert!(response.get("error").is_none(), "{response}");
                let ended = self.subs.remove(&sub);
                // It may be wanted again by now.
                if let Some((mission, _)) = ended.filter(|(mission, _)| self.wanted.contains(mission)) {
                    self.watch(mission).await;
                }
            }
            Waiting::Command { sent, .. } => {
                let answer = Answer::read(sent.command.method, response);
                let named = self.shared.ledger(|ledger| {
                    ledger.answered(sent.entry, answer.clone());
                    ledger.0[sent.entry].is_named
                });
                if named && answer.is_temporary() {
                    self.again.push(sent);
                }
            }
        }
    }

    async fn settle(&mut self, heads: Option<&[u64]>) {
        self.reading = true;
        let settling = async {
            loop {
                if self.socket.is_none() {
                    self.connect().await;
                    if self.socket.is_none() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                } else if !self.again.is_empty() {
                    for sent in std::mem::take(&mut self.again) {
                        self.command(sent, None).await;
                    }
                }
                let here = |(mission, head): (usize, &u64)| {
                    !self.wanted.contains(&mission) || self.views.get(&mission).is_some_and(|view| view.seq == *head)
                };
                let heads_reached = heads.is_none_or(|heads| heads.iter().enumerate().all(here));
                if self.waiting.is_empty() && self.again.is_empty() && heads_reached {
                    return;
                }
                let heard = frame(&mut self.socket).await;
                self.hear(heard).await;
            }
        };
        within("a tab to settle", settling).await;
    }
}

/// The next frame; never, where there is no connection.
async fn frame(socket: &mut Option<WebSocketStream<TcpStream>>) -> Option<Result<Message, tungstenite::Error>> {
    match socket {
        Some(socket) => socket.next().await,
        None => pending().await,
    }
}
