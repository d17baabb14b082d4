//! The mission's dealings with its agent: a place to run, a process, and what it says.

use std::{sync::Arc, time::Duration};

use actix::{Actor as _, ActorFutureExt as _, Addr, AsyncContext as _, Context, Handler, SpawnHandle, WrapFuture as _};
use flightdeck_data::mission::{AgentCommand, Effect};
use flightdeck_protocol::{
    Code, Fault,
    lines::{AgentLine, ServerLine},
    model::{ActivityType, Author, MissionStatus},
};
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{FromAgent, MissionActor, Said, commit::Answer};
use crate::{
    agent::{AgentProcess, LaunchSpec, Orders, Run},
    secrets::Blotter,
    world::AgentKind,
};

/// Characters of the reason why a line was not taken.
const REASON_CHARS: usize = 1_000;

/// What the mission holds of its agent.
#[derive(Default)]
pub(super) struct AgentSide {
    process: Option<Addr<AgentProcess>>,
    /// The wait for a place, or for the pause before a restart to pass.
    waiting: Option<SpawnHandle>,
    /// The place that the process takes.
    place: Option<OwnedSemaphorePermit>,
}

impl Drop for AgentSide {
    /// However the mission's actor ends, also by a panic: its process ends with it.
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.do_send(Orders::Abandon);
        }
    }
}

impl AgentSide {
    /// Whether there is no process and nothing that would lead to one.
    pub(super) fn is_idle(&self) -> bool {
        self.process.is_none() && self.waiting.is_none()
    }

    /// The server stops: the process is asked to, and none is started any more.
    pub(super) fn stop_for_good(&mut self) {
        self.waiting = None;
        self.order(Orders::Stop { reason: "the server stops; you are started again later".to_owned() });
    }

    fn order(&self, order: Orders) {
        if let Some(process) = &self.process {
            process.do_send(order);
        }
    }
}

impl MissionActor {
    /// Carries out an effect: what it follows from is on disk.
    pub(super) fn run(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        match effect {
            Effect::QueueAgent { after_ms } => self.queue_agent(Duration::from_millis(after_ms), ctx),
            Effect::LaunchAgent { incarnation } => self.launch(incarnation, ctx),
            Effect::TellAgent(line) => self.agent.order(Orders::Tell(line)),
            Effect::PauseAgent => self.agent.order(Orders::Pause),
            Effect::ResumeAgent => self.agent.order(Orders::Resume),
            Effect::StopAgent { reason } => {
                if let Some(waiting) = self.agent.waiting.take() {
                    ctx.cancel_future(waiting);
                }
                self.agent.order(Orders::Stop { reason });
            }
        }
    }

    fn queue_agent(&mut self, after: Duration, ctx: &mut Context<Self>) {
        if self.is_stopping() || !self.agent.is_idle() {
            return;
        }
        if let Err(reason) = self.kind_and_secret() {
            self.own(AgentCommand::CannotRun { reason }, ctx);
            return;
        }
        let places = self.world.places.clone();
        let place = async move {
            tokio::time::sleep(after).await;
            places.acquire_owned().await
        };
        let begin = place.into_actor(self).map(|place, mission, ctx| {
            mission.agent.waiting = None;
            // The places are never closed while missions live.
            if let (Ok(place), false) = (place, mission.is_stopping()) {
                mission.agent.place = Some(place);
                mission.own(AgentCommand::Begin, ctx);
            }
        });
        self.agent.waiting = Some(ctx.spawn(begin));
    }

    /// The agent kind and the secret that its input names, or a sentence why not.
    fn kind_and_secret(&self) -> Result<(AgentKind, Option<Map<String, Value>>), String> {
        let mission = self.state.living().ok_or("the mission is gone")?;
        let name = mission.agent.as_ref().map(|agent| agent.kind.as_str()).unwrap_or_default();
        let kind = self.world.kinds.get(name).ok_or_else(|| {
            format!("this server has no agent {name:?}; ask whoever runs it to set one up, and make a new mission")
        })?;
        let secret = match mission.input.get("secret") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => {
                let secret = self.world.secrets.read(mission.organization, name);
                Some(secret.map_err(|error| error.to_string())?)
            }
            Some(_) => return Err("the input's secret must be the name of a secret".to_owned()),
        };
        Ok((kind.clone(), secret))
    }

    fn launch(&mut self, incarnation: u32, ctx: &mut Context<Self>) {
        if self.is_stopping() {
            let outcome = "it was not started because the server stops".to_owned();
            self.own(AgentCommand::Exit { incarnation, outcome, stderr: None, by_itself: false }, ctx);
            return;
        }
        let (kind, secret) = match self.kind_and_secret() {
            Ok(found) => found,
            Err(reason) => {
                self.own(
                    AgentCommand::Exit { incarnation, outcome: reason.clone(), stderr: None, by_itself: false },
                    ctx,
                );
                self.own(AgentCommand::CannotRun { reason }, ctx);
                return;
            }
        };
        let Some(mission) = self.state.living() else { return };
        let blotter = Blotter::new(secret.as_ref());
        let start = ServerLine::Start {
            mission: mission.id,
            title: mission.title.clone(),
            incarnation,
            input: mission.input.clone(),
            secret,
            checkpoint: self.state.checkpoint.clone(),
        };
        let launch = LaunchSpec {
            command: kind.command.clone(),
            workspace: self.world.workspaces.join(mission.id.to_string()),
            env: kind.env.clone(),
            keeper: self.world.keeper.clone(),
        };
        let run = Run {
            incarnation,
            launch,
            start,
            blotter,
            wall: kind.wall,
            silence: kind.silence,
            world: Arc::clone(&self.world),
            mission: Self::address(ctx),
        };
        self.agent.process = Some(AgentProcess::new(run).start());
    }

    /// A command of the server's own.
    fn own(&mut self, command: AgentCommand, ctx: &mut Context<Self>) {
        if let Err(fault) = self.execute_own(command, Author::System, None, ctx) {
            tracing::warn!(mission = %self.state.id, %fault, "a command of the server's own was refused");
        }
        // Without a process the place is another's.
        if self.agent.process.is_none() && self.agent.waiting.is_none() && !self.is_beginning() {
            self.agent.place = None;
        }
    }

    /// Whether a run was decided on and its process is about to be launched.
    fn is_beginning(&self) -> bool {
        let agent = self.state.mission.as_ref().and_then(|mission| mission.agent.as_ref());
        agent.is_some_and(|agent| agent.state == flightdeck_protocol::model::AgentState::Running)
    }

    /// Whether the next word is with people.
    fn is_held_up(&self) -> bool {
        let status = self.state.living().map(|mission| mission.status);
        matches!(status, Some(MissionStatus::Waiting | MissionStatus::Paused))
    }

    fn agent_author(&self, incarnation: u32) -> Author {
        let agent = self.state.mission.as_ref().and_then(|mission| mission.agent.as_ref());
        let kind = agent.map(|agent| agent.kind.clone()).unwrap_or_default();
        Author::Agent { kind, incarnation }
    }

    /// A line was not taken: the agent is told, and people can see it.
    fn refuse(&mut self, incarnation: u32, line: String, reason: String, ctx: &mut Context<Self>) {
        // What is wrong may quote the line, which may be long.
        let reason: String = reason.chars().take(REASON_CHARS).collect();
        let message = format!("a line of the agent's was not taken ({line}): {reason}");
        let told = AgentLine::Activity {
            activity_type: ActivityType::Warning,
            message: message.replace(|c: char| c.is_control(), " "),
            details: None,
            step: None,
        };
        let command = AgentCommand::Say { incarnation, line: told };
        if let Err(fault) = self.execute_own(command, Author::System, None, ctx) {
            tracing::warn!(mission = %self.state.id, %fault, "a refused line could not be logged");
        }
        self.agent.order(Orders::Tell(ServerLine::Refused { line, reason }));
    }
}

impl Handler<FromAgent> for MissionActor {
    type Result = ();

    fn handle(&mut self, message: FromAgent, ctx: &mut Self::Context) {
        let FromAgent { incarnation, said, taken } = message;
        if !self.state.is_current(incarnation) {
            // A stale process: whatever it says counts for nothing.
            return;
        }
        let author = self.agent_author(incarnation);
        match said {
            Said::Line(line) => {
                let name = line_name(&line);
                let command = AgentCommand::Say { incarnation, line };
                self.take(command, author, incarnation, name, taken, ctx);
            }
            Said::Words(words) => {
                // Past the end of the mission, which may not be on disk yet, nobody speaks.
                if self.state.living().is_some_and(|mission| !mission.status.is_ended()) {
                    for (stream, text) in words {
                        self.feed.say(&author, &stream, &text);
                    }
                }
            }
            Said::Delivered(delivered) => {
                let command = AgentCommand::Deliver { incarnation, delivered };
                self.take(command, author, incarnation, "document".to_owned(), taken, ctx);
            }
            Said::Refused(line, reason) => {
                self.refuse(incarnation, line, reason, ctx);
                Answer::Taken(taken).give();
            }
            Said::Overtime { seconds } if self.is_held_up() => {
                // The time went by while people had the next word: that is no fault of the agent's.
                let reason = format!("this run has lasted {seconds} seconds; another takes over from the checkpoint");
                self.agent.order(Orders::Stop { reason });
            }
            Said::Overtime { seconds } => {
                let fault = format!("it ran for longer than {seconds} seconds and was ended");
                self.agent.order(Orders::End { fault });
            }
            Said::Silent { seconds } => {
                if !self.is_held_up() {
                    let fault = format!("it printed nothing for {seconds} seconds and was ended");
                    self.agent.order(Orders::End { fault });
                }
            }
            Said::Gone { exit, stderr, fault, asked_to } => {
                self.agent.process = None;
                self.agent.place = None;
                let ended = self.state.living().is_some_and(|mission| mission.status.is_ended());
                let by_itself = !asked_to && !ended;
                let outcome = fault.unwrap_or_else(|| exit.outcome());
                self.own(AgentCommand::Exit { incarnation, outcome, stderr, by_itself }, ctx);
                self.stop_if_done(ctx);
            }
        }
    }
}

impl MissionActor {
    fn take(
        &mut self,
        command: AgentCommand,
        author: Author,
        incarnation: u32,
        line: String,
        taken: Option<oneshot::Sender<()>>,
        ctx: &mut Context<Self>,
    ) {
        if let Err(fault) = self.execute_own(command, author, taken, ctx) {
            self.refuse(incarnation, line, fault_sentence(&fault), ctx);
        }
    }
}

fn fault_sentence(fault: &Fault) -> String {
    match fault.code {
        Code::InvalidValue | Code::TooLarge => fault.message.clone(),
        _ => fault.to_string(),
    }
}

/// The `type` of a line.
fn line_name(line: &AgentLine) -> String {
    let value = serde_json::to_value(line).unwrap_or_default();
    value["type"].as_str().unwrap_or("line").to_owned()
}
