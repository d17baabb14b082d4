//! A signed-in client for commands that ask one thing and leave.

use std::io::Write;

use anyhow::bail;
use flightdeck_protocol::{
    Operation,
    client::{Client, ClientError, ClientState},
    operations::{Logout, SignOut},
};

use super::{connection::Connection, sign_in::SignIn};

/// A server, with somebody signed in.
pub(crate) struct Desk {
    sign_in: SignIn,
    client: Client,
}

impl Desk {
    /// Connects. A server that is not there is told at once; one that goes away later is waited for.
    pub(crate) async fn open(connection: &Connection) -> anyhow::Result<Self> {
        let sign_in = SignIn::find(connection)?;
        let client = Client::start(&connection.server, sign_in.clone());
        match client.attempted().await {
            ClientState::Ended(error) => Err(error.into()),
            ClientState::Waiting { why, .. } => bail!(why),
            ClientState::Open | ClientState::Connecting => Ok(Self { sign_in, client }),
        }
    }

    /// Calls an operation; what it changes is changed once, also when the answer is lost and it is asked again.
    pub(crate) async fn call<O: Operation>(&self, params: O::Params) -> Result<O::Result, ClientError> {
        self.client.call_once::<O>(params).await
    }

    /// Calls an operation and prints its answer: as it is on the wire for `json`, else as `show` says.
    pub(crate) async fn print<O: Operation>(
        &self,
        params: O::Params,
        json: bool,
        show: impl FnOnce(O::Result) -> String,
    ) -> anyhow::Result<()> {
        if json {
            return print(self.client.call_raw::<O>(&params).await?.get());
        }
        print(&show(self.call::<O>(params).await?))
    }

    /// Ends the session, and the sign-in if it was for this command alone.
    pub(crate) async fn leave(self) {
        if self.sign_in.is_for_this_command().await {
            // It is no loss if that fails: the sign-in expires.
            let _ = self.client.call::<SignOut>(Logout::default()).await;
        }
        self.client.close();
    }
}

/// Prints `text` with a line end. A reader that has gone away is an error, and no panic.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end_matches('\n'))?;
    out.flush()?;
    Ok(())
}
