//! A mission's state: the fold of its events.

use flightdeck_protocol::{
    Event, EventFrame, MissionId,
    model::{AgentState, Author, Message, Mission},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::limits;

/// Everything that is decided on: the mission as everyone sees it, and what
/// only the server needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The mission, once it was made.
    pub mission: Option<Mission>,
    /// Whether it was deleted.
    #[serde(default)]
    pub deleted: bool,
    /// What the agent saved last.
    #[serde(default)]
    pub checkpoint: Option<Value>,
    /// How often in a row the agent's process ended without having got anywhere.
    #[serde(default)]
    pub crashes: u32,
    /// Messages of people since the agent's last checkpoint, the newest ones: the next run is told them
    /// again, since nobody knows whether the last one had read them.
    #[serde(default)]
    pub untold: Vec<Message>,
    /// The id that the mission has, or will have.
    pub id: MissionId,
}

impl State {
    /// A mission `id` that is yet to be made.
    pub fn new(id: MissionId) -> Self {
        Self { mission: None, deleted: false, checkpoint: None, crashes: 0, untold: Vec::new(), id }
    }

    /// The position of the last event; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.mission.as_ref().map_or(0, |mission| mission.seq)
    }

    /// The mission, unless it is yet to be made or was deleted.
    pub fn living(&self) -> Option<&Mission> {
        self.mission.as_ref().filter(|_| !self.deleted)
    }

    /// Whether run `incarnation` of the agent is the one that runs.
    pub fn is_current(&self, incarnation: u32) -> bool {
        let agent = self.mission.as_ref().and_then(|mission| mission.agent.as_ref());
        agent.is_some_and(|agent| agent.state == AgentState::Running && agent.incarnation == incarnation)
    }

    /// Carries out what `frame` says happened.
    ///
    /// # Errors
    /// A sentence, where the event cannot follow on what came before: the
    /// history is damaged.
    pub fn apply(&mut self, frame: &EventFrame) -> Result<(), String> {
        if frame.seq != self.seq() + 1 {
            return Err(format!("event {} follows on event {}", frame.seq, self.seq()));
        }
        if self.deleted {
            return Err(format!("event {} follows on the deletion", frame.seq));
        }
        match (&mut self.mission, &frame.event) {
            (None, _) => {
                let made = Mission::created(self.id, frame);
                self.mission = Some(made.ok_or("the first event does not make a mission")?);
            }
            (Some(_), Event::MissionCreated { .. }) => {
                return Err(format!("event {} makes a mission that is there already", frame.seq));
            }
            (Some(mission), event) => {
                mission.apply(frame);
                match event {
                    Event::MissionDeleted => self.deleted = true,
                    Event::CheckpointSaved { data } => {
                        // To save the same again is not to get anywhere.
                        if self.checkpoint.as_ref() != Some(data) {
                            self.crashes = 0;
                        }
                        self.checkpoint = Some(data.clone());
                        self.untold.clear();
                    }
                    Event::DocumentDelivered { .. } => self.crashes = 0,
                    Event::AgentExited { restart_in_ms: Some(1..), .. } => self.crashes += 1,
                    Event::MessageSent { .. } if !matches!(frame.by, Author::Agent { .. }) => {
                        if self.untold.len() >= limits::UNTOLD_MESSAGES {
                            self.untold.remove(0);
                        }
                        self.untold.extend(mission.messages.last().cloned());
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
