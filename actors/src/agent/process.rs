//! The agent process actor: one run of an agent, from its start to its staged end.

use std::{
    cell::Cell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, Addr, AsyncContext as _, Context, Handler, Message, SpawnHandle,
    WrapFuture as _,
};
use flightdeck_protocol::lines::ServerLine;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{io::AsyncWriteExt as _, process::ChildStdin, sync::mpsc};

use super::{Child, ChildControl, Exit, LaunchSpec, Launched, StderrTail, reader::Reader};
use crate::{
    mission::{FromAgent, MissionActor, Said},
    secrets::Blotter,
    world::World,
};

/// Lines that may wait for an agent that does not read. Beyond that it is taken to hang.
const STDIN_LINES: usize = 256;
/// How long a keeper may take to end everything below it.
const KEEPER_GRACE: Duration = Duration::from_secs(4);
/// How long the taking of the rest of the output may stand still once the process is gone.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// One run of an agent.
pub(crate) struct Run {
    pub(crate) incarnation: u32,
    pub(crate) launch: LaunchSpec,
    /// The first line that it reads.
    pub(crate) start: ServerLine,
    pub(crate) blotter: Blotter,
    pub(crate) wall: Duration,
    pub(crate) silence: Duration,
    pub(crate) world: Arc<World>,
    pub(crate) mission: Addr<MissionActor>,
}

/// What a mission orders.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum Orders {
    /// Write a line to the agent.
    Tell(ServerLine),
    /// Tell it to hold still, and freeze it a little later.
    Pause,
    /// Thaw it and tell it to go on.
    Resume,
    /// Ask it to stop; then SIGTERM; then SIGKILL.
    Stop {
        /// Why, in a sentence.
        reason: String,
    },
    /// End it, for a fault of its own.
    End {
        /// The fault, in a sentence.
        fault: String,
    },
    /// Nobody waits for it any more: let the keeper end it now.
    Abandon,
}

/// The actor.
pub(crate) struct AgentProcess {
    run: Run,
    control: Option<ChildControl>,
    keeper: Option<Pid>,
    stdin: Option<mpsc::Sender<String>>,
    /// What it was told before it could hear.
    early: Vec<ServerLine>,
    last_output: Rc<Cell<Instant>>,
    freezing: Option<SpawnHandle>,
    paused: bool,
    stopping: bool,
    asked_to: bool,
    fault: Option<String>,
}

impl AgentProcess {
    pub(crate) fn new(run: Run) -> Self {
        Self {
            run,
            control: None,
            keeper: None,
            stdin: None,
            early: Vec::new(),
            last_output: Rc::new(Cell::new(Instant::now())),
            freezing: None,
            paused: false,
            stopping: false,
            asked_to: false,
            fault: None,
        }
    }

    fn launched(&mut self, launched: Launched, ctx: &mut Context<Self>) {
        let Launched { stdin, stdout, stderr, control, child } = launched;
        let (lines, waiting) = mpsc::channel(STDIN_LINES);
        self.stdin = Some(lines);
        self.control = Some(control);
        self.keeper = i32::try_from(child.keeper_pid()).ok().map(Pid::from_raw);
        actix_rt::spawn(write_lines(stdin, waiting));
        let start = self.run.start.clone();
        self.tell(&start);
        for line in std::mem::take(&mut self.early) {
            self.tell(&line);
        }
        let reader = Reader {
            incarnation: self.run.incarnation,
            blotter: self.run.blotter.clone(),
            workspace: self.run.launch.workspace.clone(),
            world: Arc::clone(&self.run.world),
            mission: self.run.mission.clone(),
            last_output: Rc::clone(&self.last_output),
        };
        let reading = Reading { last_output: Rc::clone(&self.last_output), task: actix_rt::spawn(reader.run(stdout)) };
        let listening = actix_rt::spawn(StderrTail::collect(stderr));
        ctx.spawn(wait(child, reading, listening).into_actor(self).map(|(exit, stderr), process, ctx| {
            process.gone(exit, &stderr);
            ctx.stop();
        }));
        ctx.run_later(self.run.wall, |process, _| {
            process.say(Said::Overtime { seconds: process.run.wall.as_secs() });
        });
        let beat = (self.run.silence / 4).clamp(Duration::from_millis(50), Duration::from_secs(5));
        ctx.run_interval(beat, |process, _| process.check_silence());
        if self.stopping {
            self.begin_stop("stop".to_owned(), ctx);
        }
    }

    fn check_silence(&mut self) {
        let silent = self.last_output.get().elapsed();
        if !self.paused && !self.stopping && silent > self.run.silence {
            // Asked again only after as long again: the mission may have a reason to wait.
            self.last_output.set(Instant::now());
            self.say(Said::Silent { seconds: silent.as_secs() });
        }
    }

    /// Tells the mission something that is not the agent's own word.
    fn say(&self, said: Said) {
        self.run.mission.do_send(FromAgent { incarnation: self.run.incarnation, said, taken: None });
    }

    fn gone(&mut self, exit: Exit, stderr: &StderrTail) {
        let stderr = (!stderr.is_empty()).then(|| self.run.blotter.blot(stderr.text()));
        let fault = self.fault.take();
        self.say(Said::Gone { exit, stderr, fault, asked_to: self.asked_to });
    }

    fn tell(&mut self, line: &ServerLine) {
        let Some(stdin) = &self.stdin else {
            if self.early.len() < STDIN_LINES {
                self.early.push(line.clone());
            }
            return;
        };
        let Ok(json) = serde_json::to_string(line) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = stdin.try_send(json)
            && let Some(control) = &self.control
        {
            self.fault = Some(format!("it left {STDIN_LINES} lines unread and was ended"));
            control.kill();
        }
    }

    fn end(&mut self, fault: String, ctx: &mut Context<Self>) {
        if !self.stopping {
            self.begin_stop(fault.clone(), ctx);
            self.fault = Some(fault);
        }
    }

    /// Asks, then SIGTERM, then SIGKILL, with the grace of a stage in between.
    fn begin_stop(&mut self, reason: String, ctx: &mut Context<Self>) {
        self.stopping = true;
        let Some(control) = &self.control else { return };
        if let Some(freezing) = self.freezing.take() {
            ctx.cancel_future(freezing);
        }
        control.thaw();
        self.tell(&ServerLine::Cancel { reason });
        let grace = self.run.world.tuning.stop_grace;
        ctx.run_later(grace, |process, _| process.signal(ChildControl::terminate));
        ctx.run_later(grace * 2, |process, _| process.signal(ChildControl::kill));
        // A keeper that the agent has stopped hears nothing: it is woken, and then ended itself,
        // which ends the agent. It is our own child and not reaped yet, so the number is still its.
        ctx.run_later(grace * 2 + KEEPER_GRACE / 2, |process, _| process.signal_keeper(Signal::SIGCONT));
        ctx.run_later(grace * 2 + KEEPER_GRACE, |process, _| process.signal_keeper(Signal::SIGKILL));
    }

    fn signal_keeper(&self, signal: Signal) {
        if let Some(keeper) = self.keeper {
            // It may be gone in this very moment, which is as good.
            let _ = kill(keeper, signal);
        }
    }

    fn signal(&self, signal: impl FnOnce(&ChildControl)) {
        if let Some(control) = &self.control {
            signal(control);
        }
    }
}

impl Actor for AgentProcess {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let launch = Child::launch(self.run.launch.clone());
        ctx.spawn(launch.into_actor(self).map(|launched, process, ctx| match launched {
            Ok(launched) => process.launched(launched, ctx),
            Err(error) => {
                process.gone(Exit::NotStarted(error.to_string()), &StderrTail::default());
                ctx.stop();
            }
        }));
    }
}

impl Handler<Orders> for AgentProcess {
    type Result = ();

    fn handle(&mut self, order: Orders, ctx: &mut Self::Context) {
        match order {
            Orders::Tell(line) => self.tell(&line),
            Orders::Pause => {
                self.paused = true;
                self.tell(&ServerLine::Pause);
                let grace = self.run.world.tuning.pause_grace;
                self.freezing = Some(ctx.run_later(grace, |process, _| process.signal(ChildControl::freeze)));
            }
            Orders::Resume => {
                self.paused = false;
                if let Some(freezing) = self.freezing.take() {
                    ctx.cancel_future(freezing);
                }
                self.signal(ChildControl::thaw);
                self.last_output.set(Instant::now());
                self.tell(&ServerLine::Resume);
            }
            Orders::Stop { reason } => {
                self.asked_to = true;
                if !self.stopping {
                    self.begin_stop(reason, ctx);
                }
            }
            Orders::End { fault } => self.end(fault, ctx),
            Orders::Abandon => {
                self.signal_keeper(Signal::SIGCONT);
                ctx.stop();
            }
        }
    }
}

/// The reading of an agent's output, and when it last got on.
struct Reading {
    last_output: Rc<Cell<Instant>>,
    task: tokio::task::JoinHandle<()>,
}

/// The end of the process, once everything that it printed was taken.
async fn wait(
    mut child: Child,
    mut reading: Reading,
    listening: tokio::task::JoinHandle<StderrTail>,
) -> (Exit, StderrTail) {
    let exit = child.wait().await;
    // The keeper has ended whatever else held the pipes, so these end too, however long it takes to
    // write down what is left. The bound is for a store that hangs.
    while tokio::time::timeout(LAST_WORDS, &mut reading.task).await.is_err() {
        if reading.last_output.get().elapsed() > LAST_WORDS {
            reading.task.abort();
            break;
        }
    }
    let stderr = tokio::time::timeout(LAST_WORDS, listening).await;
    (exit, stderr.ok().and_then(Result::ok).unwrap_or_default())
}

async fn write_lines(mut stdin: ChildStdin, mut lines: mpsc::Receiver<String>) {
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        // An agent that has closed its input does not want to hear: its exit tells the rest.
        if stdin.write_all(line.as_bytes()).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}
