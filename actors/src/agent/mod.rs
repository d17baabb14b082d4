//! An agent's operating-system process: its keeper, its streams, its end. Linux only.

mod child;
mod deltas;
mod exit;
mod keeper;
mod line_reader;
mod process;
mod process_tree;
mod reader;
mod stderr;

pub use child::{Child, ChildControl, Keeper, LaunchError, LaunchSpec, Launched};
pub use exit::Exit;
pub use keeper::run_if_asked;
pub use line_reader::{Line, LineReader};
pub(crate) use process::{AgentProcess, Orders, Run};
pub use stderr::StderrTail;
