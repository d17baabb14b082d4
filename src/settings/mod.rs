//! The server's settings: declared once in [`table`], read from a file, the environment and flags.
//!
//! A flag counts more than the environment, the environment more than the
//! file, and the file more than the default.

mod agents;
mod error;
mod flags;
mod load;
mod table;
mod value;

pub(crate) use agents::AgentSettings;
pub(crate) use error::SettingsError;
pub(crate) use flags::{HELP, flags};
pub(crate) use table::Settings;
pub(crate) use value::{LogFormat, Signup};
