//! The mission actor: one a mission, its only writer.
//!
//! It decides, hands what was decided to the journal, and once that is on disk
//! publishes it, answers, and carries out the effects: in that order, always.

mod actor;
mod agent_side;
mod commit;
mod handle;
mod last_use;
mod lists;
mod log_end;
mod messages;

pub(crate) use actor::Beginning;
pub use actor::MissionActor;
pub(crate) use commit::{InFlight, Keep};
pub use handle::{Caller, Done, MissionHandle};
pub(crate) use handle::{Guard, restarting};
pub(crate) use last_use::LastUse;
pub use messages::{Ended, FromAgent, Said, Why};
pub(crate) use messages::{Execute, Look, Panic, Passivate, Stop};
