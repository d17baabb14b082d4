//! The mission core: what a mission is, what may happen to it, and what follows. Pure.
//!
//! No clock, no randomness, no input or output: time, ids and identity come in
//! with the [`Context`]. The actor that owns a mission calls [`decide`], has
//! the events written to disk, folds them with [`follow`], and then
//! carries out the [`Effect`]s.

mod command;
mod decide;
mod effect;
pub mod limits;
mod refusal;
mod state;

#[cfg(test)]
mod proptests;

pub use command::{AgentCommand, Command, Delivered};
pub use decide::{Context, Decision, RestartPolicy, decide};
pub use effect::{Effect, effects_on_recovery, follow};
pub use refusal::check_json;
pub use state::State;
