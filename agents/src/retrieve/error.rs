//! What can go wrong for the agent, by what is to be done about it.

/// Why the agent, or one step of it, came to an end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be achieved, and starting again would not help.
    #[error("{0}")]
    Failed(String),
    /// The surroundings are in trouble: it may work when it is started again later.
    #[error("{0}")]
    Trouble(String),
}
