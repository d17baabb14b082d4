//! A signed-in session for commands that ask one thing and leave.

use std::io::Write;

use flightdeck_protocol::{
    Operation,
    client::{ClientError, Notices, Session, Tokens},
};
use serde_json::value::RawValue;

use super::{connection::Connection, sign_in::SignIn};

/// A server, with somebody signed in.
pub(crate) struct Desk {
    sign_in: SignIn,
    session: Session,
    _notices: Notices,
}

impl Desk {
    /// Connects, with a token that the server takes.
    pub(crate) async fn open(connection: &Connection) -> anyhow::Result<Self> {
        let sign_in = SignIn::find(connection)?;
        let token = sign_in.token(None).await?;
        let (session, notices) = match Session::connect(&connection.server, Some(&token)).await {
            Err(error) if error.is_unauthenticated() => {
                let newer = sign_in.token(Some(token)).await?;
                Session::connect(&connection.server, Some(&newer)).await?
            }
            connected => connected?,
        };
        Ok(Self { sign_in, session, _notices: notices })
    }

    /// Calls an operation.
    pub(crate) async fn call<O: Operation>(&self, params: O::Params) -> Result<O::Result, ClientError> {
        self.session.call::<O>(params).await
    }

    /// Calls an operation for its answer as it is on the wire.
    pub(crate) async fn call_raw<O: Operation>(&self, params: &O::Params) -> Result<Box<RawValue>, ClientError> {
        self.session.call_raw(O::METHOD, params).await
    }

    /// Calls an operation and prints its answer: as it is on the wire for `json`, else as `show` says.
    pub(crate) async fn print<O: Operation>(
        &self,
        params: O::Params,
        json: bool,
        show: impl FnOnce(O::Result) -> String,
    ) -> anyhow::Result<()> {
        if json {
            return print(self.call_raw::<O>(&params).await?.get());
        }
        print(&show(self.call::<O>(params).await?))
    }

    /// Ends the session, and the sign-in if it was for this command alone.
    pub(crate) async fn leave(self) {
        self.sign_in.leave(&self.session).await;
        self.session.close().await;
    }
}

/// Prints `text` with a line end. A reader that has gone away is an error, and no panic.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end_matches('\n'))?;
    out.flush()?;
    Ok(())
}
