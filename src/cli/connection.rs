//! Which server a client command talks to, and as whom: the flags that they share.

use std::path::PathBuf;

use clap::Args;
use flightdeck_protocol::model::Role;

/// Which server, and as whom.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server and sign-in")]
pub(crate) struct Connection {
    /// The server's address
    #[arg(
        long,
        value_name = "URL",
        env = "FLIGHTDECK_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8080"
    )]
    pub(crate) server: String,
    /// Whom to sign in as; the password comes from FLIGHTDECK_PASSWORD or a prompt
    #[arg(long, value_name = "NAME", env = "FLIGHTDECK_USER", hide_env_values = true)]
    pub(crate) user: Option<String>,
    /// Sign in as the demo's person of this role
    #[arg(id = "as", long = "as", value_name = "ROLE")]
    pub(crate) role: Option<Role>,
    /// The file with saved sign-ins [default: ~/.config/flightdeck/credentials.json]
    #[arg(long, value_name = "FILE", env = "FLIGHTDECK_CREDENTIALS", hide_env_values = true)]
    pub(crate) credentials: Option<PathBuf>,
}

impl Connection {
    /// The server's address in the one form that sign-ins are saved under.
    pub(crate) fn server_key(&self) -> String {
        server_key(&self.server)
    }

    /// Whom to sign in as, if somebody is named.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref().filter(|user| !user.is_empty())
    }
}

/// The address of a server in one form, so that two that mean the same are equal.
pub(crate) fn server_key(server: &str) -> String {
    let server = server.trim().trim_end_matches('/').to_lowercase();
    server.replacen("://localhost", "://127.0.0.1", 1)
}

/// The value of an environment variable that is set to something.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_mean_the_same_are_saved_as_one() {
        assert_eq!(server_key("http://LOCALHOST:8080/"), server_key("http://127.0.0.1:8080"));
        assert_ne!(server_key("http://127.0.0.1:8080"), server_key("https://127.0.0.1:8080"));
    }
}
