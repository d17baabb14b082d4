//! A browser tab: one connection at a time, several missions and lists watched, commands sent without waiting.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flightdeck_protocol::{MissionId, operations::Position};
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    command::Command,
    ledger::{Entry, Ledger},
    lists::Lists,
    plan::Act,
    truth::{Truth, Watched},
    view::View,
    wire::{self, Socket, frame},
};
use crate::support::{Member, PATIENCE, within};

/// What all tabs share.
pub(super) struct Shared {
    /// Where the server is now.
    pub(super) url: Mutex<String>,
    pub(super) missions: Vec<MissionId>,
    pub(super) ledger: Mutex<Ledger>,
    /// How many watches were ended before they stood.
    pub(super) unwatched: AtomicUsize,
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
    Watch(Watched),
    Unwatch(Watched),
    Peek(Watched),
    Show {
        mission: usize,
        typing: bool,
    },
    Act {
        mission: usize,
        act: Act,
        idem: bool,
        if_seq: bool,
        turn: OwnedSemaphorePermit,
    },
    Again,
    /// Read and come back until every command is answered and, where that is given, all is as it should be.
    /// What is watched then is told.
    Settle(Option<Arc<Truth>>, oneshot::Sender<BTreeSet<Watched>>),
}

/// How far a watch is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stand {
    Asked,
    Stands,
    Ends,
}

/// A named command, to be sent again.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) entry: usize,
    pub(super) command: Command,
}

/// What an answer is waited for to.
pub(super) enum Waiting {
    Watch { sub: String, asked: Option<Position> },
    Unwatch { sub: String },
    Show { watches: bool },
    Command { sent: Sent, _turn: Option<OwnedSemaphorePermit> },
}

pub(super) struct Tab {
    pub(super) shared: Arc<Shared>,
    who: Member,
    pub(super) name: usize,
    pub(super) socket: Option<Socket>,
    reading: bool,
    pub(super) views: BTreeMap<usize, View>,
    pub(super) lists: Lists,
    /// What it wants to watch.
    pub(super) wanted: BTreeSet<Watched>,
    /// The watches of this connection: of what, and how far each is.
    pub(super) subs: HashMap<String, (Watched, Stand)>,
    pub(super) waiting: HashMap<u64, Waiting>,
    next: u64,
    /// Named commands that were not answered.
    pub(super) again: Vec<Sent>,
    last_named: Option<Sent>,
}

impl Tab {
    pub(super) fn new(
        shared: Arc<Shared>,
        who: Member,
        name: usize,
        wanted: impl IntoIterator<Item = Watched>,
    ) -> Self {
        Self {
            shared,
            who,
            name,
            socket: None,
            reading: true,
            views: BTreeMap::new(),
            lists: Lists::default(),
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
        self.wanted.contains(&Watched::Mission(mission))
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
            Order::Watch(what) => {
                if self.wanted.insert(what) {
                    self.watch(what).await;
                }
            }
            Order::Unwatch(what) => self.unwatch(what).await,
            Order::Peek(what) => {
                if self.wanted.insert(what) {
                    self.watch(what).await;
                    self.unwatch(what).await;
                }
            }
            Order::Show { mission, typing } => self.show(mission, typing).await,
            Order::Act { mission, act, idem, if_seq, turn } => self.act(mission, act, idem, if_seq, turn).await,
            Order::Again => {
                if let (Some(sent), true) = (self.last_named.clone(), self.socket.is_some()) {
                    self.command(sent, None).await;
                }
            }
            Order::Settle(truth, done) => {
                self.settle(truth.as_deref()).await;
                // Nobody waits for it any more.
                let _ = done.send(self.wanted.clone());
            }
        }
    }

    async fn connect(&mut self) {
        if self.socket.is_some() {
            return;
        }
        let url = self.shared.url.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(socket) = wire::open(&url, &self.who.token).await else { return };
        self.socket = Some(socket);
        self.reading = true;
        for what in self.wanted.clone() {
            self.watch(what).await;
        }
        for sent in std::mem::take(&mut self.again) {
            self.command(sent, None).await;
        }
    }

    /// The connection is no more: nobody answers what was asked.
    pub(super) fn gone(&mut self) {
        self.socket = None;
        self.subs.clear();
        self.views.values_mut().for_each(|view| view.company = None);
        for (_, waiting) in self.waiting.drain() {
            if let Waiting::Command { sent, .. } = waiting {
                self.shared.ledger(|ledger| ledger.lost(sent.entry));
                if self.shared.ledger(|ledger| ledger.0[sent.entry].is_named) {
                    self.again.push(sent);
                }
            }
        }
    }

    pub(super) async fn watch(&mut self, what: Watched) {
        if self.socket.is_none() || self.subs.values().any(|(watched, _)| *watched == what) {
            return;
        }
        let sub = format!("{what:?} of request {}", self.next);
        let (method, params, asked) = match what {
            Watched::Mission(mission) => {
                let id = self.shared.missions[mission];
                let asked = self.views.entry(mission).or_insert_with(|| View::new(id)).since();
                let mut params = json!({"mission": id, "sub": sub});
                if let Some(since) = asked {
                    params["since"] = json!(since);
                }
                ("mission.watch", params, asked)
            }
            Watched::List(list) => (list.methods().0, list.params(&sub), None),
        };
        self.subs.insert(sub.clone(), (what, Stand::Asked));
        let id = self.expect(Waiting::Watch { sub, asked });
        self.send(id, method, params).await;
    }

    /// Watches it no more, whether it stands yet or not.
    async fn unwatch(&mut self, what: Watched) {
        self.wanted.remove(&what);
        let known = |(_, at): &(&String, &(Watched, Stand))| at.0 == what && at.1 != Stand::Ends;
        let Some(sub) = self.subs.iter().find(known).map(|(sub, _)| sub.clone()) else { return };
        self.subs.insert(sub.clone(), (what, Stand::Ends));
        let method = match what {
            Watched::Mission(_) => "mission.unwatch",
            Watched::List(list) => list.methods().1,
        };
        let id = self.expect(Waiting::Unwatch { sub: sub.clone() });
        self.send(id, method, json!({"sub": sub})).await;
    }

    /// Says how far the person has seen a mission, and what they do there.
    async fn show(&mut self, mission: usize, typing: bool) {
        if self.socket.is_none() {
            return;
        }
        let stands = (Watched::Mission(mission), Stand::Stands);
        let watches = self.subs.values().any(|at| *at == stands);
        let seen_seq = self.views.get(&mission).map_or(0, |view| view.seq);
        let id = self.expect(Waiting::Show { watches });
        let mission = self.shared.missions[mission];
        let params = json!({"mission": mission, "seen_seq": seen_seq, "typing": typing, "cursor": [id, 3]});
        self.send(id, "presence.set", params).await;
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

    pub(super) async fn command(&mut self, sent: Sent, turn: Option<OwnedSemaphorePermit>) {
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

    /// A watch was ended before it stood.
    pub(super) fn count_unwatched(&self) {
        self.shared.unwatched.fetch_add(1, Ordering::Relaxed);
    }

    /// What is not yet as it should be.
    fn missing(&self, truth: &Truth) -> Option<String> {
        self.wanted.iter().find_map(|what| match *what {
            Watched::Mission(mission) => {
                let (head, there) = (truth.heads[mission], &truth.company[mission]);
                let known = self.views.get(&mission).map(|view| (view.seq, view.company.as_ref()));
                (known != Some((head, Some(there)))).then(|| format!("{known:?} is not {head}, {there:?}"))
            }
            Watched::List(list) => {
                let truth = &truth.lists[&(self.who.person.id, list)];
                (!self.lists.is(list, truth)).then(|| self.lists.difference(list, truth))
            }
        })
    }

    async fn settle(&mut self, truth: Option<&Truth>) {
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
                let is_answered = self.waiting.is_empty() && self.again.is_empty();
                if is_answered && truth.is_none_or(|truth| self.missing(truth).is_none()) {
                    return;
                }
                let heard = frame(&mut self.socket).await;
                self.hear(heard).await;
            }
        };
        if tokio::time::timeout(PATIENCE, settling).await.is_err() {
            let missing = truth.and_then(|truth| self.missing(truth));
            panic!("tab {} does not settle: {} answers to come, {missing:?}", self.name, self.waiting.len());
        }
    }
}
