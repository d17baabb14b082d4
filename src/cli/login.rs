//! `flightdeck login` and `flightdeck logout`.

use std::io::{IsTerminal, Write};

use anyhow::anyhow;
use clap::Args;
use flightdeck_protocol::{
    client::{Session, Tokens},
    operations::{Login, Logout, SignOut},
};

use super::{
    Usage,
    connection::Connection,
    credentials::{Credentials, Saved},
    desk::print,
    sign_in::{SignIn, ask_password, sign_in},
    text::clean,
};

/// What `login` takes.
#[derive(Args)]
pub(crate) struct LoginArgs {
    #[command(flatten)]
    connection: Connection,
}

/// What `logout` takes.
#[derive(Args)]
pub(crate) struct LogoutArgs {
    #[command(flatten)]
    connection: Connection,
}

/// Signs in and saves the tokens; the password is kept nowhere.
pub(crate) async fn login(LoginArgs { connection }: LoginArgs) -> anyhow::Result<()> {
    let username = match connection.user() {
        Some(user) => user.to_owned(),
        None => ask_name()?,
    };
    let login = Login { password: ask_password(&username)?, username };
    let credentials = Credentials::at(connection.credentials.as_deref())?;
    let held = credentials.hold().await?;
    let signed_in = sign_in(&connection.server, &login).await?;
    let user = &signed_in.user;
    held.set(&connection.server_key(), Some(Saved::new(&user.username, &signed_in.tokens)))?;
    print(&clean(&format!(
        "signed in on {} as {} ({}, {}); saved in {}",
        connection.server,
        user.username,
        user.role.name(),
        user.organization.name,
        credentials.path().display()
    )))
}

/// Ends the saved sign-in on the server and forgets it. What is forgotten is forgotten also when
/// the server cannot be reached.
pub(crate) async fn logout(LogoutArgs { connection }: LogoutArgs) -> anyhow::Result<()> {
    let credentials = Credentials::at(connection.credentials.as_deref())?;
    let key = connection.server_key();
    let Some(saved) = credentials.get(&key)? else {
        return Err(anyhow!("nobody is signed in on {}", connection.server));
    };
    let connection = Connection { user: Some(saved.username.clone()), role: None, ..connection };
    let ended = end(&connection).await;
    credentials.hold().await?.set(&key, None)?;
    match ended {
        Ok(()) => print(&clean(&format!("{} is signed out of {}", saved.username, connection.server))),
        Err(error) => Err(error.context(format!(
            "the sign-in is forgotten here, and may be good on the server until it expires ({})",
            connection.server
        ))),
    }
}

async fn end(connection: &Connection) -> anyhow::Result<()> {
    let token = SignIn::find(connection)?.token(None).await?;
    let (session, _notices) = Session::connect(&connection.server, Some(&token)).await?;
    session.call::<SignOut>(Logout::default()).await?;
    Ok(())
}

fn ask_name() -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(anyhow!(Usage("say who signs in: --user NAME or FLIGHTDECK_USER".to_owned())));
    }
    let mut out = std::io::stderr();
    write!(out, "User name: ")?;
    out.flush()?;
    let mut name = String::new();
    std::io::stdin().read_line(&mut name)?;
    match name.trim() {
        "" => Err(anyhow!(Usage("no name was given".to_owned()))),
        name => Ok(name.to_owned()),
    }
}
