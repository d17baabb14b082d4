//! A line that says what is going on, on a terminal alone.

use std::io::{IsTerminal as _, Write as _, stderr};

/// The line; gone when this is dropped.
pub(crate) struct Progress {
    shown: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { shown: stderr().is_terminal() }
    }

    /// Shows `line` in place of the one before.
    pub(crate) fn show(&self, line: impl std::fmt::Display) {
        if self.shown {
            // Nobody is helped by an error about a line that goes away.
            let _ = write!(stderr(), "\r\x1b[K{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.show("");
    }
}
