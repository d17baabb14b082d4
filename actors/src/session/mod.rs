//! A session: one client's side of profile `flightdeck.v1`, whatever carries its frames.

mod access;
mod lists;
mod opening;
mod pending;
mod presence;
#[cfg(test)]
mod pressed_tests;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flightdeck_protocol::{
    Call, Code, ConnectionId, Descriptor, Fault, MissionId, Timestamp,
    envelope::{Notification, Request, Response},
    notification::{Close, HeartbeatNotice, SESSION_HEARTBEAT, SESSION_OPENED},
    operations::{Heartbeat, Limits, PingReply, Position, WatchKind},
};
use serde::Serialize;
use serde_json::value::RawValue;

use self::pending::Ahead;
use crate::{
    dispatch::{Answer, Asked, Desk, Via, check_rights, to_json},
    door::{Pace, Pacer, Pass},
    live::{Hub, Outbox, Room},
    mission::Caller,
};

/// What holds for every session.
#[derive(Clone, Debug)]
pub struct SessionRules {
    /// The bounds, as the opening reply states them.
    pub limits: Limits,
    /// The heartbeat, as the opening reply states it.
    pub heartbeat: Heartbeat,
    /// How long a gap may be that is filled event by event.
    pub resume: ResumeBounds,
    /// How long a socket may stay without an open session.
    pub open_timeout: Duration,
    /// The server's version.
    pub version: &'static str,
}

/// The longest gap that a watcher who comes back is given event by event; beyond either, a snapshot is cheaper.
#[derive(Clone, Copy, Debug)]
pub struct ResumeBounds {
    /// In events.
    pub events: u64,
    /// In bytes, by what the mission's events take on average.
    pub bytes: u64,
}

impl SessionRules {
    fn pace(&self) -> Pace {
        Pace { per_second: self.limits.commands_per_second, burst: self.limits.command_burst }
    }

    /// How often a session wants to hear that time has passed.
    fn tick(&self) -> Duration {
        Duration::from_millis(self.heartbeat.interval_ms / 4).clamp(Duration::from_millis(50), Duration::from_secs(1))
    }
}

/// One client's session. Lives on the thread of its socket.
#[derive(Clone)]
pub struct Session {
    core: Rc<Core>,
}

struct Core {
    desk: Arc<Desk>,
    rules: Arc<SessionRules>,
    connection: ConnectionId,
    /// The session's place, until its socket has ended.
    pass: RefCell<Option<Pass>>,
    pacer: Pacer,
    hub: Rc<Hub>,
    outbox: Rc<Outbox>,
    caller: RefCell<Option<Caller>>,
    /// How what people may do has been taken into account.
    access: access::Seen,
    /// The mission in the socket's path, to be watched once the session is open.
    path: RefCell<Option<(MissionId, Option<Position>)>>,
    /// Watches that are being made.
    pending: pending::Pending,
    /// Held by the request that is on its way to its mission.
    turns: tokio::sync::Mutex<()>,
    began: Instant,
    opened_at: Cell<Option<Timestamp>>,
    heard: Cell<Instant>,
    /// Since when the client could be heard.
    listening: Cell<Instant>,
    /// Since when a goodbye has been on its way.
    closing: Cell<Option<Instant>>,
    beat: Cell<Instant>,
}

impl Session {
    /// A session on this thread, let in with `pass`; open already if `caller` is
    /// known from the upgrade. `path` is the mission in the socket's path.
    pub fn new(
        desk: Arc<Desk>,
        rules: Arc<SessionRules>,
        pass: Pass,
        caller: Option<Caller>,
        path: Option<(MissionId, Option<Position>)>,
    ) -> Self {
        let hub = Hub::of_this_thread(|hub| desk.hubs.add(hub));
        let outbox = Outbox::new(hub.clone());
        let now = Instant::now();
        let core = Rc::new(Core {
            pacer: Pacer::new(rules.pace()),
            desk,
            rules,
            connection: ConnectionId::fresh(),
            pass: RefCell::new(Some(pass)),
            hub,
            outbox,
            caller: RefCell::new(None),
            access: access::Seen::default(),
            path: RefCell::new(path),
            pending: pending::Pending::default(),
            turns: tokio::sync::Mutex::new(()),
            began: now,
            opened_at: Cell::new(None),
            heard: Cell::new(now),
            listening: Cell::new(now),
            closing: Cell::new(None),
            beat: Cell::new(now),
        });
        let seat = Rc::downgrade(&core);
        core.hub.enrol(core.connection, seat);
        core.hub.keep_time(core.rules.tick());
        let session = Self { core };
        if let Some(caller) = caller {
            let opened = session.open_for(caller);
            session.core.notify(SESSION_OPENED, &opened);
            // The thread's hub may be new, and not have heard of what changed since the token was checked.
            session.core.look_again();
            session.watch_path();
        }
        session
    }

    /// What holds for every session.
    pub fn rules(&self) -> &SessionRules {
        &self.core.rules
    }

    /// What is to be sent.
    pub fn outbox(&self) -> &Rc<Outbox> {
        &self.core.outbox
    }

    /// The client is there: a frame of any kind came.
    pub fn heard(&self) {
        self.core.heard.set(Instant::now());
    }

    /// The socket has ended, in whatever way: its place is free and its watches end, also while calls are still
    /// under way. So nobody is shown typing whose connection is gone.
    pub fn left(&self) {
        self.core.pass.borrow_mut().take();
        self.core.outbox.mute();
    }

    /// Ends the session with a goodbye.
    pub fn close(&self, close: Close) {
        self.core.outbox.close(close);
    }

    /// A binary frame came.
    pub fn on_binary(&self) {
        let fault = Fault::new(Code::BinaryFrame, "binary frames are not taken; send JSON as text frames");
        self.object(None, &self.core.pacer.check().err().unwrap_or(fault));
    }

    /// A text frame came.
    pub fn on_text(&self, text: &str) {
        if self.has_ended() {
            return;
        }
        let in_time = self.core.pacer.check();
        let request = match (Request::parse(text), in_time) {
            (Ok(request), Ok(())) => request,
            // A notification is told nothing.
            (Ok(Request { id: None, .. }), Err(_)) => return,
            (Ok(Request { id, .. }) | Err((id, _)), Err(too_fast)) => return self.object(id, &too_fast),
            (Err((id, fault)), Ok(())) => return self.object(id, &fault),
        };
        let id: Option<Box<RawValue>> = request.id.map(ToOwned::to_owned);
        let params = request.params.map_or("{}", RawValue::get);
        let read = self
            .core
            .caller()
            .and_then(|caller| self.core.desk.read(&request.method, params, caller.as_ref(), Via::Socket));
        match read {
            Ok((descriptor, asked)) => self.carry_out(id, descriptor, asked, concerns(params)),
            Err(fault) => self.fail(id.as_deref(), &fault),
        }
    }

    /// Whether what comes in counts no more: a goodbye is on its way, or is due.
    fn has_ended(&self) -> bool {
        let expires_at = self.core.caller.borrow().as_ref().map(|caller| caller.expires_at);
        if expires_at.is_some_and(|expires_at| Timestamp::now() >= expires_at) {
            self.core.outbox.cut_off(Close::TokenExpired);
        }
        self.core.look_again();
        self.core.outbox.is_leaving()
    }

    fn carry_out(
        &self,
        id: Option<Box<RawValue>>,
        descriptor: &'static Descriptor,
        asked: Asked,
        mission: Option<MissionId>,
    ) {
        let id = id.as_deref();
        match asked.call {
            Call::Ping(_) => self.answer(id, Ok(PingReply { at: Timestamp::now() })),
            Call::OpenSession(open) => {
                let opened = self.open(open);
                let is_open = opened.is_ok();
                self.answer(id, opened);
                if is_open {
                    self.watch_path();
                }
            }
            Call::RenewSession(renew) => self.answer(id, self.renew(&renew)),
            Call::UnwatchMission(it) => self.unwatch(id, &it.sub, WatchKind::Mission),
            Call::UnwatchMissions(it) => self.unwatch(id, &it.sub, WatchKind::Missions),
            Call::UnwatchInbox(it) => self.unwatch(id, &it.sub, WatchKind::Inbox),
            call => self.carry_out_later(id.map(ToOwned::to_owned), descriptor, Asked { call, ..asked }, mission),
        }
    }

    /// Carries out what takes time. Calls for the same mission reach it in the
    /// order in which they came, though their answers may cross.
    fn carry_out_later(
        &self,
        id: Option<Box<RawValue>>,
        descriptor: &'static Descriptor,
        asked: Asked,
        mission: Option<MissionId>,
    ) {
        let most = self.core.rules.limits.requests_in_flight;
        if self.core.outbox.owed() >= most {
            let message = format!("{most} requests wait for their answers already; await some first");
            return self.fail(id.as_deref(), &Fault::new(Code::Overloaded, message).after(50));
        }
        let ahead = match self.ahead(&asked.call) {
            Ok(ahead) => ahead,
            Err(fault) => return self.fail(id.as_deref(), &fault),
        };
        let owed = self.core.outbox.owe();
        let session = self.clone();
        actix_rt::spawn(async move {
            let _owed = owed;
            match (asked.call, ahead) {
                (Call::WatchMission(watch), Ahead::Watch(making)) => session.watch(id.as_deref(), watch, making).await,
                (Call::WatchMissions(watch), Ahead::Watch(making)) => {
                    session.watch_missions(id.as_deref(), watch, making).await;
                }
                (Call::WatchInbox(watch), Ahead::Watch(making)) => {
                    session.watch_inbox(id.as_deref(), watch, making).await
                }
                (Call::SetPresence(set), Ahead::Word(word)) => {
                    let shown = session.set_presence(set, word).await;
                    session.answer(id.as_deref(), shown);
                }
                (Call::SignOut(logout), _) => session.sign_out(id.as_deref(), logout).await,
                (call, _) => match session.call_in_turn(descriptor, Asked { call, ..asked }, mission).await {
                    Ok((Answer::Json(json), room)) => session.answer_into(room, id.as_deref(), &json),
                    Ok((Answer::File(_), _)) => {
                        let fault = Fault::new(Code::WrongTransport, "this gives bytes: use its REST route");
                        session.fail(id.as_deref(), &fault);
                    }
                    Err(fault) => session.fail(id.as_deref(), &fault),
                },
            }
        });
    }

    /// Carries out a call. If it concerns a mission, it is on its way there
    /// before the session's next one sets out, also where the mission must
    /// first be read back from disk, what is read needs room, or another call
    /// of its name is under way.
    async fn call_in_turn(
        &self,
        descriptor: &'static Descriptor,
        asked: Asked,
        mission: Option<MissionId>,
    ) -> Result<(Answer, Option<Room>), Fault> {
        let desk = &self.core.desk;
        let turn = match mission {
            Some(_) => Some(self.core.turns.lock().await),
            None => None,
        };
        // What is changed has a short answer.
        let room = if descriptor.reads() { Some(self.core.room().await?) } else { None };
        // What the person may do can have changed while the call waited.
        let mut caller = self.may_call(descriptor)?;
        if let (Some(mission), Some(caller)) = (mission, &caller) {
            // What is wrong with the mission, the call itself will say.
            let _ = desk.registry.find(mission, caller.person.organization.id).await;
            let _ = desk.once.settle().await;
        }
        let begun = desk.begin(&asked).await?;
        if begun.is_some() {
            caller = self.may_call(descriptor)?;
        }
        let mut call = std::pin::pin!(desk.carry_out(asked, begun, caller.as_ref()));
        // A mission that is there is sent to at once.
        if mission.is_some()
            && let Poll::Ready(answer) = futures_util::poll!(&mut call)
        {
            return Ok((answer?, room));
        }
        drop(turn);
        Ok((call.await?, room))
    }

    /// Whom the session is open for, if they may call the operation now.
    fn may_call(&self, descriptor: &Descriptor) -> Result<Option<Caller>, Fault> {
        let caller = self.core.caller()?;
        check_rights(descriptor, caller.as_ref().map(|caller| caller.person.role))?;
        Ok(caller)
    }

    fn answer(&self, id: Option<&RawValue>, result: Result<impl Serialize, Fault>) {
        match result.and_then(|result| to_json(&result)) {
            Ok(json) => self.answer_json(id, &json),
            Err(fault) => self.fail(id, &fault),
        }
    }

    /// Answers the request `id`; a notification is not answered.
    fn answer_json(&self, id: Option<&RawValue>, result: &Bytes) {
        if id.is_some() {
            self.core.outbox.send(response(id, result));
        }
    }

    /// The same with an answer for which there was room, if there is any.
    fn answer_into(&self, room: Option<Room>, id: Option<&RawValue>, result: &Bytes) {
        match (room, id) {
            (Some(room), Some(_)) => self.core.outbox.send_into(room, response(id, result)),
            _ => self.answer_json(id, result),
        }
    }

    /// Refuses the request `id`; a notification is not answered (JSON-RPC 2.0, section 4.1).
    fn fail(&self, id: Option<&RawValue>, fault: &Fault) {
        if id.is_some() {
            self.object(id, fault);
        }
    }

    /// Says what is wrong with what came. Where no id could be read, the id is `null` (JSON-RPC 2.0, section 5).
    fn object(&self, id: Option<&RawValue>, fault: &Fault) {
        if let Ok(text) = to_json(&Response::error(id, fault)) {
            self.core.outbox.send(text);
        }
    }
}

impl Core {
    /// Time has passed: ends the session if it is not open in time, its token
    /// has expired, or nothing was heard for too long; and beats.
    fn time_has_passed(&self) {
        let now = Instant::now();
        let (interval, timeout) = (self.rules.heartbeat.interval_ms, self.rules.heartbeat.timeout_ms);
        let (interval, timeout) = (Duration::from_millis(interval), Duration::from_millis(timeout));
        if self.outbox.is_closing() {
            let since = self.closing.get().unwrap_or(now);
            self.closing.set(Some(since));
            if now - since > timeout {
                // The reason stays what it was. Nobody is waited for any longer.
                self.outbox.cut_off(Close::TooSlow);
            }
            return;
        }
        self.look_again_if_unsure();
        let expires_at = self.caller.borrow().as_ref().map(|caller| caller.expires_at);
        match expires_at {
            None if self.began.elapsed() > self.rules.open_timeout => return self.outbox.cut_off(Close::OpenTimeout),
            Some(expires_at) if Timestamp::now() >= expires_at => return self.outbox.cut_off(Close::TokenExpired),
            _ => {}
        }
        if self.outbox.is_full() {
            // Nothing is read from the client until it has taken this, and this shows that the server is there.
            // Whether the client is, the kernel sees: it ends a connection of which nothing is taken for the timeout.
            return self.listening.set(now);
        }
        if self.heard.get().max(self.listening.get()).elapsed() > timeout {
            // Whoever is gone takes nothing: what waits for them does not keep them here.
            return self.outbox.cut_off(Close::Silent);
        }
        if self.beat.get().elapsed() >= interval {
            self.beat.set(now);
            self.notify(SESSION_HEARTBEAT, &HeartbeatNotice { at: Timestamp::now() });
        }
    }

    /// Room for a large answer.
    ///
    /// # Errors
    /// When the session leaves before there is any.
    async fn room(&self) -> Result<Room, Fault> {
        self.outbox.room().await.ok_or_else(|| {
            let message = "the session ends before there was room for this answer; ask again when you are back";
            Fault::new(Code::ServerRestarting, message).after(200)
        })
    }

    fn notify(&self, method: &'static str, params: &impl Serialize) {
        if let Ok(text) = to_json(&Notification::new(method, params)) {
            self.outbox.send(text);
        }
    }
}

/// The mission that a request concerns, by its parameters.
fn concerns(params: &str) -> Option<MissionId> {
    #[derive(serde::Deserialize)]
    struct Concerns {
        mission: MissionId,
    }
    serde_json::from_str::<Concerns>(params).ok().map(|concerns| concerns.mission)
}

/// The response that carries `result`, which is JSON already.
fn response(id: Option<&RawValue>, result: &[u8]) -> Bytes {
    let id = id.map_or("null", RawValue::get);
    let mut text = Vec::with_capacity(result.len() + id.len() + 40);
    text.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    text.extend_from_slice(id.as_bytes());
    text.extend_from_slice(b",\"result\":");
    text.extend_from_slice(result);
    text.push(b'}');
    text.into()
}
