//! The actor itself: decide, journal, publish, answer, effects.

use std::{collections::VecDeque, sync::Arc};

use actix::{Actor, ActorContext as _, Addr, AsyncContext as _, Context, Handler, Recipient};
use flightdeck_data::{
    index::Index,
    journal::{SealedRecord, Submission},
    mission::{
        AgentCommand, Command, Context as Decided, Decision, Effect, State, decide, effects_on_recovery, follow,
    },
    recovery::Recovered,
    store::Write,
};
use flightdeck_protocol::{
    Cause, Code, CommandId, Event, EventFrame, Fault, Timestamp,
    fault::SeqConflict,
    model::{AgentState, Author, MissionSummary},
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    Done, Ended, Execute, InFlight, Look, Panic, Passivate, Stop,
    agent_side::AgentSide,
    commit::{Answer, Confirmations},
    lists::ListNews,
    log_end::{LogEnd, encode, frames},
    messages::{Committed, Why},
};
use crate::{
    live::{Ends, Feed, News, Retired},
    world::World,
};

/// How many messages may wait for the actor.
const MAILBOX: usize = 512;

/// A mission at work.
pub struct MissionActor {
    pub(super) state: State,
    pub(super) world: Arc<World>,
    pub(super) agent: AgentSide,
    pub(super) feed: Arc<Feed>,
    log_end: LogEnd,
    generation: u64,
    last_ticket: u64,
    /// The ticket that the journal confirmed last.
    confirmed: u64,
    confirmations: Option<Arc<Confirmations>>,
    in_flight: VecDeque<InFlight>,
    /// The entry in the index as it was last written.
    pub(super) indexed: Option<Arc<MissionSummary>>,
    stopping: Option<oneshot::Sender<()>>,
    ready: Option<oneshot::Sender<()>>,
    watch: DeathWatch,
}

/// What of a decision is written down, and who is told then.
#[derive(Default)]
struct Writing {
    records: Vec<SealedRecord>,
    extra: Vec<Write>,
    events: Vec<News>,
    news: Option<Box<ListNews>>,
}

/// Tells the supervisor that the actor is gone, however it went.
struct DeathWatch {
    supervisor: Recipient<Ended>,
    ended: Option<Ended>,
}

impl Drop for DeathWatch {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            self.supervisor.do_send(ended);
        }
    }
}

/// What a mission actor begins with.
pub(crate) struct Beginning {
    pub(crate) world: Arc<World>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) recovered: Recovered,
    /// The generation that the journal gave for this life.
    pub(crate) generation: u64,
    pub(crate) life: u64,
    pub(crate) supervisor: Recipient<Ended>,
    /// Told when it takes messages.
    pub(crate) ready: oneshot::Sender<()>,
}

impl MissionActor {
    pub(crate) fn new(beginning: Beginning) -> Self {
        let Beginning { world, feed, recovered, generation, life, supervisor, ready } = beginning;
        // Until it ends in another way, it panicked.
        let ended = Ended { mission: recovered.state.id, life, why: Why::Panicked };
        Self {
            log_end: LogEnd::of(&recovered),
            indexed: recovered.state.living().map(|mission| Arc::new(mission.summary())),
            state: recovered.state,
            world,
            agent: AgentSide::default(),
            feed,
            generation,
            last_ticket: 0,
            confirmed: 0,
            confirmations: None,
            in_flight: VecDeque::new(),
            stopping: None,
            ready: Some(ready),
            watch: DeathWatch { supervisor, ended: Some(ended) },
        }
    }

    fn end(&mut self, why: Why, ctx: &mut Context<Self>) {
        if let Some(ended) = &mut self.watch.ended {
            ended.why = why;
        }
        ctx.stop();
    }

    /// Carries out a command of the mission's own side: the server's or the agent's.
    pub(super) fn execute_own(
        &mut self,
        command: AgentCommand,
        by: Author,
        taken: Option<oneshot::Sender<()>>,
        ctx: &mut Context<Self>,
    ) -> Result<(), Fault> {
        self.carry_out(&Command::Agent(command), by, None, ctx, |_, _| Answer::Taken(taken))
    }

    /// Decides on a command and sends what follows on its way. A refusal comes
    /// back and has changed nothing.
    fn carry_out(
        &mut self,
        command: &Command,
        by: Author,
        cause: Option<(CommandId, &'static str)>,
        ctx: &mut Context<Self>,
        answer: impl FnOnce(&State, &Decision) -> Answer,
    ) -> Result<(), Fault> {
        // An agent is held back at its output instead: nothing that it said is refused for want of room.
        let from_agent = matches!(command, Command::Agent(_));
        let full = self.in_flight.len() >= self.world.tuning.in_flight || !self.world.journal.has_room();
        if full && !from_agent {
            return Err(Fault::overloaded("the line for the journal", 50));
        }
        let context = Decided { at: Timestamp::now(), by, id: Uuid::now_v7(), restart: self.world.tuning.restart };
        let mut decision = decide(&self.state, command, &context)?;
        let mut effects = std::mem::take(&mut decision.effects);
        if decision.events.is_empty() {
            let answer = answer(&self.state, &decision);
            self.send_off(Writing::default(), effects, answer, &context, ctx);
            return Ok(());
        }
        let cause = cause.map(|(command, operation)| Cause { command, operation: operation.to_owned() });
        let frames = frames(&self.state, &mut decision, &context, cause.as_ref());
        let events = encode(&frames)?;
        let records = self.log_end.seal(&context, cause.as_ref(), frames[0].seq, &events)?;
        for frame in &frames {
            match follow(&mut self.state, frame) {
                Ok(more) => effects.extend(more),
                // The core decided what it cannot fold: nothing is on disk, so the restart forgets it.
                Err(what) => panic!("mission {}: {what}", self.state.id),
            }
        }
        self.log_end.went_on(&records, events.len());
        let (extra, news) = self.extra_writes(&frames);
        let events: Vec<News> = frames.iter().zip(events).map(|(frame, json)| News::of(frame, json)).collect();
        let answer = answer(&self.state, &decision);
        self.send_off(Writing { records, extra, events, news }, effects, answer, &context, ctx);
        Ok(())
    }

    /// Hands what was decided, and folded in, to the journal, together with the answer where that is kept.
    fn send_off(
        &mut self,
        writing: Writing,
        effects: Vec<Effect>,
        mut answer: Answer,
        context: &Decided,
        ctx: &mut Context<Self>,
    ) {
        let Writing { records, mut extra, events, news } = writing;
        let written = answer.keep(context.at).and_then(|kept| {
            extra.extend(kept);
            if records.is_empty() && extra.is_empty() {
                return Ok(());
            }
            self.last_ticket += 1;
            let (mission, generation, ticket) = (self.state.id, self.generation, self.last_ticket);
            let sink = self.confirmations(ctx);
            let submission = Submission { mission, generation, ticket, records, extra, sink };
            self.world.journal.submit(submission).map_err(|error| {
                tracing::error!(%mission, %error, "the journal does not take what was decided");
                unwritten()
            })
        });
        if let Err(fault) = written {
            answer.fail(&fault);
            return self.end(Why::CommitFailed, ctx);
        }
        for event in &events {
            if let Ends::Stream(stream) = &event.ends {
                self.feed.expect_end(stream);
            }
        }
        self.queue(InFlight::Decided { ticket: self.last_ticket, events, news, effects, answer }, ctx);
    }

    fn confirmations(&mut self, ctx: &mut Context<Self>) -> Arc<Confirmations> {
        self.confirmations.get_or_insert_with(|| Arc::new(Confirmations(ctx.address()))).clone()
    }

    /// What goes down together with the events: the index, and now and then a snapshot.
    fn extra_writes(&mut self, frames: &[EventFrame]) -> (Vec<Write>, Option<Box<ListNews>>) {
        let mut extra = Vec::new();
        let Some(mission) = &self.state.mission else { return (extra, None) };
        for frame in frames {
            if let Event::DocumentDelivered { document, version: 1, .. } = frame.event {
                extra.push(Index::put_document(document, mission.organization, mission.id));
            }
        }
        let news = self.list_news(frames, &mut extra);
        extra.extend(self.log_end.snapshot_if_due(&self.state, &self.world));
        (extra, news)
    }

    /// Puts `entry` behind all that the journal has yet to confirm; at once if there is nothing.
    fn queue(&mut self, entry: InFlight, ctx: &mut Context<Self>) {
        let confirmed = match &entry {
            InFlight::Decided { ticket, .. } => *ticket <= self.confirmed,
            InFlight::Behind(_) | InFlight::Seen(_) => true,
        };
        if confirmed && self.in_flight.is_empty() {
            self.release(entry, ctx);
        } else {
            self.in_flight.push_back(entry);
        }
    }

    fn release(&mut self, entry: InFlight, ctx: &mut Context<Self>) {
        match entry {
            InFlight::Decided { ticket, events, news, effects, answer } => {
                // The caller first: its answer need not queue behind the whole fan-out.
                answer.give();
                if !events.is_empty() {
                    let removes_steps = events.iter().any(|event| event.removes_steps);
                    self.feed.publish(events);
                    if removes_steps && let Some(mission) = self.state.living() {
                        self.feed.look_away(|step| mission.step_index(step).is_some());
                    }
                    if self.state.deleted && ticket == self.last_ticket {
                        self.feed.end(Fault::new(Code::MissionNotFound, "the mission was deleted"));
                    }
                }
                if let Some(news) = news {
                    news.publish(&self.world, self.feed.organization);
                }
                for effect in effects {
                    self.run(effect, ctx);
                }
            }
            InFlight::Behind(answer) => answer.give(),
            InFlight::Seen(release) => release(),
        }
    }
}

impl Actor for MissionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        if let Some(ready) = self.ready.take() {
            // Who waited for the mission may have gone.
            let _ = ready.send(());
        }
        // Whoever was speaking did so in an earlier life of this actor.
        self.feed.fall_silent();
        if self.feed.skip_to(self.state.seq()) {
            // An earlier life died before it told of these; what lists show may have changed as well.
            self.world.boards.refresh(self.feed.organization);
        }
        let Some(agent) = self.state.living().and_then(|mission| mission.agent.as_ref()) else { return };
        if agent.state == AgentState::Running {
            // The process ended with the server, or with an earlier life of this actor.
            let gone = AgentCommand::Exit {
                incarnation: agent.incarnation,
                outcome: "it was ended because the server stopped or the mission was restarted".to_owned(),
                stderr: None,
                by_itself: false,
            };
            if let Err(fault) = self.execute_own(gone, Author::System, None, ctx) {
                tracing::error!(mission = %self.state.id, %fault, "the agent of an earlier life cannot be signed off");
                self.end(Why::Panicked, ctx);
            }
        } else {
            for effect in effects_on_recovery(&self.state) {
                self.run(effect, ctx);
            }
        }
    }
}

impl Handler<Execute> for MissionActor {
    type Result = ();

    fn handle(&mut self, message: Execute, ctx: &mut Self::Context) {
        let Execute { command, by, cause, if_seq, asker } = message;
        let mut asker = Some(asker);
        let outcome = self.has_not_moved_on(if_seq).and_then(|()| {
            self.carry_out(&command, by, Some(cause), ctx, |state, decision| {
                let asker = asker.take().expect("the answer is asked for once");
                Answer::Command(asker, done(state, decision, cause.0))
            })
        });
        if let Err(fault) = outcome
            && let Some(asker) = asker
        {
            // The refusal may rest on something that is not on disk yet, so it waits for it.
            self.queue(InFlight::Behind(Answer::Command(asker, Err(fault))), ctx);
            if self.state.mission.is_none() && self.in_flight.is_empty() && self.feed.retire() != Retired::No {
                // It was never made.
                self.end(Why::Passivated, ctx);
            }
        }
    }
}

impl Handler<Look> for MissionActor {
    type Result = ();

    fn handle(&mut self, message: Look, ctx: &mut Self::Context) {
        let release = (message.look)(&self.state);
        self.queue(InFlight::Seen(release), ctx);
    }
}

impl Handler<Committed> for MissionActor {
    type Result = ();

    fn handle(&mut self, message: Committed, ctx: &mut Self::Context) {
        let Committed { up_to, outcome } = message;
        if let Err(error) = outcome {
            tracing::error!(mission = %self.state.id, %error, "what was decided could not be written");
            for entry in std::mem::take(&mut self.in_flight) {
                if let InFlight::Decided { answer, .. } | InFlight::Behind(answer) = entry {
                    answer.fail(&unwritten());
                }
            }
            return self.end(Why::CommitFailed, ctx);
        }
        self.confirmed = up_to;
        while let Some(entry) = self.in_flight.front() {
            if matches!(entry, InFlight::Decided { ticket, .. } if *ticket > up_to) {
                break;
            }
            if let Some(entry) = self.in_flight.pop_front() {
                self.release(entry, ctx);
            }
        }
        self.stop_if_done(ctx);
    }
}

impl Handler<Passivate> for MissionActor {
    type Result = ();

    fn handle(&mut self, message: Passivate, ctx: &mut Self::Context) {
        // Nobody can begin to watch a feed that is retired: whoever wants to finds the mission anew.
        if !self.in_flight.is_empty() || !self.agent.is_idle() {
            return;
        }
        match self.feed.retire() {
            Retired::No => {}
            Retired::Now | Retired::Before if message.last_use.leave(message.before) => {
                self.end(Why::Passivated, ctx);
            }
            // Somebody's message is on its way.
            Retired::Now => self.feed.reopen(),
            Retired::Before => {}
        }
    }
}

impl Handler<Panic> for MissionActor {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a drill: mission {} was told to panic", self.state.id);
    }
}

impl Handler<Stop> for MissionActor {
    type Result = ();

    fn handle(&mut self, message: Stop, ctx: &mut Self::Context) {
        self.stopping = Some(message.stopped);
        self.agent.stop_for_good();
        self.stop_if_done(ctx);
    }
}

impl MissionActor {
    /// Nothing has been decided after `if_seq`, where that is given.
    fn has_not_moved_on(&self, if_seq: Option<u64>) -> Result<(), Fault> {
        // A mission that is not there cannot move on either; that is for the command to say.
        let (Some(if_seq), Some(mission)) = (if_seq, self.state.living()) else { return Ok(()) };
        match mission.seq {
            seq if seq == if_seq => Ok(()),
            seq if seq < if_seq => {
                let message =
                    format!("if_seq is {if_seq}, and the mission is at {seq}; give the position that you know");
                Err(Fault::invalid("if_seq", message))
            }
            seq => Err(seq_conflict(if_seq, SeqConflict { seq, changes: Vec::new(), complete: false })),
        }
    }

    /// Ends the actor once the server stops and nothing is under way.
    pub(super) fn stop_if_done(&mut self, ctx: &mut Context<Self>) {
        if self.stopping.is_some() && self.in_flight.is_empty() && self.agent.is_idle() {
            if let Some(stopped) = self.stopping.take() {
                let _ = stopped.send(());
            }
            self.end(Why::Stopped, ctx);
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    pub(super) fn address(ctx: &Context<Self>) -> Addr<Self> {
        ctx.address()
    }
}

fn unwritten() -> Fault {
    Fault::new(Code::StoreUnavailable, "the store could not be written; nothing was changed, ask again later")
        .after(1_000)
}

fn seq_conflict(if_seq: u64, conflict: SeqConflict) -> Fault {
    let seq = conflict.seq;
    let message = format!("the mission was at {if_seq} and is at {seq}; look at what changed, and decide anew");
    let mut fault = Fault::new(Code::SeqConflict, message).on("if_seq");
    fault.data.conflict = Some(Box::new(conflict));
    fault
}

fn done(state: &State, decision: &Decision, command: CommandId) -> Result<Done, Fault> {
    let mission = state.mission.as_ref();
    let summary = mission.map(|mission| Box::new(mission.summary()));
    let summary = summary.ok_or_else(|| Fault::new(Code::MissionNotFound, "there is no such mission"))?;
    Ok(Done { command, seq: state.seq(), made: decision.made, summary, kept: None })
}
