//! Who a client command is, and where its tokens come from and go to.

use std::{path::Path, sync::Arc};

use anyhow::{Context, anyhow};
use flightdeck_protocol::{
    Timestamp,
    client::{ClientError, Session, TokenError, Tokens},
    model::Role,
    operations::{Login, Logout, Refresh, RefreshTokens, SignIn as SignInOperation, SignOut, SignedIn},
};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{
    Usage,
    connection::{Connection, server_key, variable},
    credentials::{Credentials, Saved},
};

/// Where the demo writes down its people.
const DEMO_PEOPLE: &str = "./var/demo/people.json";
/// A token that is good for less than this is renewed first.
const MARGIN_MS: i64 = 10_000;

/// A sign-in on one server; renews itself.
#[derive(Clone)]
pub(crate) struct SignIn(Arc<Inner>);

struct Inner {
    server: String,
    state: Mutex<State>,
    /// Where newer tokens are saved, for a sign-in that was saved.
    home: Option<Credentials>,
    /// What to sign in with again when the sign-in has ended.
    login: Option<Login>,
}

enum State {
    /// A token that somebody gave.
    Given(String),
    /// A pair of tokens.
    Tokens(Saved),
    /// Nothing yet: sign in first.
    Out,
}

/// The demo's people, as it writes them down.
#[derive(Deserialize)]
struct Demo {
    server: String,
    people: Vec<DemoPerson>,
}

#[derive(Deserialize)]
struct DemoPerson {
    role: Role,
    username: String,
    password: String,
}

impl SignIn {
    /// Finds out who the command is, in the order that the help says. Asks for a password if need be.
    pub(crate) fn find(connection: &Connection) -> anyhow::Result<Self> {
        let server = connection.server.clone();
        let made = |state, home, login| Self(Arc::new(Inner { server, state: Mutex::new(state), home, login }));
        if let Some(token) = variable("FLIGHTDECK_TOKEN") {
            return Ok(made(State::Given(token), None, None));
        }
        let demo = || demo_login(Path::new(DEMO_PEOPLE), &connection.server_key(), connection.role);
        if let Some(role) = connection.role {
            let missing = || {
                let role = role.name();
                Usage(format!("{DEMO_PEOPLE} has no {role} for {}: --as is for the demo's people", connection.server))
            };
            let login = demo()?.ok_or_else(missing)?;
            return Ok(made(State::Out, None, Some(login)));
        }
        let credentials = Credentials::at(connection.credentials.as_deref())?;
        let saved = credentials.get(&connection.server_key())?;
        let password = variable("FLIGHTDECK_PASSWORD");
        match (saved, connection.user()) {
            (Some(saved), Some(user)) if password.is_none() && saved.username.eq_ignore_ascii_case(user) => {
                Ok(made(State::Tokens(saved), Some(credentials), None))
            }
            (_, Some(user)) => {
                let login = Login { username: user.to_owned(), password: ask_password(user)? };
                Ok(made(State::Out, None, Some(login)))
            }
            (Some(saved), None) => Ok(made(State::Tokens(saved), Some(credentials), None)),
            (None, None) => {
                let login = demo()?.ok_or_else(|| {
                    let server = &connection.server;
                    Usage(format!("nobody is signed in on {server}: run `flightdeck login --server {server}` first"))
                })?;
                Ok(made(State::Out, None, Some(login)))
            }
        }
    }

    /// Whether the sign-in was made for this command and is worth ending.
    pub(crate) async fn is_for_this_command(&self) -> bool {
        self.0.login.is_some() && matches!(*self.0.state.lock().await, State::Tokens(_))
    }

    /// Ends a sign-in that was made for this command alone. It is no loss if that fails: it expires.
    pub(crate) async fn leave(&self, session: &Session) {
        if self.is_for_this_command().await {
            let _ = session.call::<SignOut>(Logout::default()).await;
        }
    }

    async fn newer(&self, rejected: Option<&str>) -> Result<String, TokenError> {
        let mut state = self.0.state.lock().await;
        let saved = match &*state {
            State::Given(token) if rejected == Some(token) => {
                return Err(TokenError::Final("the token in FLIGHTDECK_TOKEN is not accepted any more".to_owned()));
            }
            State::Given(token) => return Ok(token.clone()),
            State::Tokens(saved) if is_good(saved, rejected) => return Ok(saved.access_token.clone()),
            State::Tokens(saved) => Some(saved.clone()),
            State::Out => None,
        };
        let renewed = match &saved {
            Some(saved) => self.refresh(saved, rejected).await,
            None => Err(TokenError::Final("nobody is signed in".to_owned())),
        };
        let renewed = match (renewed, &self.0.login) {
            (Err(TokenError::Final(_)), Some(login)) => sign_in(&self.0.server, login).await.map(|signed| {
                let name = &signed.user.username;
                Saved::new(name, &signed.tokens)
            }),
            (renewed, _) => renewed,
        }?;
        let token = renewed.access_token.clone();
        *state = State::Tokens(renewed);
        Ok(token)
    }

    /// Uses the refresh token up. Where the sign-in is saved, no other process may do the same meanwhile.
    async fn refresh(&self, ours: &Saved, rejected: Option<&str>) -> Result<Saved, TokenError> {
        let trouble = |error: anyhow::Error| TokenError::Final(format!("{error:#}"));
        let Some(home) = &self.0.home else {
            return refresh(&self.0.server, ours).await;
        };
        let key = server_key(&self.0.server);
        let held = home.hold().await.map_err(trouble)?;
        let newest = held.get(&key).map_err(trouble)?.filter(|saved| saved.username == ours.username);
        let newest = newest.unwrap_or_else(|| ours.clone());
        if is_good(&newest, rejected) {
            return Ok(newest);
        }
        let renewed = refresh(&self.0.server, &newest).await?;
        held.set(&key, Some(renewed.clone())).map_err(trouble)?;
        Ok(renewed)
    }
}

impl Tokens for SignIn {
    async fn token(&self, rejected: Option<String>) -> Result<String, TokenError> {
        self.newer(rejected.as_deref()).await
    }
}

fn is_good(saved: &Saved, rejected: Option<&str>) -> bool {
    rejected != Some(&saved.access_token) && saved.expires_at > Timestamp::now().plus_millis(MARGIN_MS)
}

async fn refresh(server: &str, saved: &Saved) -> Result<Saved, TokenError> {
    let request = Refresh { refresh_token: saved.refresh_token.clone() };
    let (session, _notices) = Session::connect(server, None).await.map_err(token_error)?;
    let tokens = session.call::<RefreshTokens>(request).await.map_err(|error| match token_error(error) {
        TokenError::Final(why) => TokenError::Final(format!("{why}; sign in again with `flightdeck login`")),
        temporary => temporary,
    })?;
    Ok(Saved::new(&saved.username, &tokens))
}

/// Signs in with a name and a password.
pub(crate) async fn sign_in(server: &str, login: &Login) -> Result<SignedIn, TokenError> {
    let (session, _notices) = Session::connect(server, None).await.map_err(token_error)?;
    session.call::<SignInOperation>(login.clone()).await.map_err(token_error)
}

fn token_error(error: ClientError) -> TokenError {
    if error.is_temporary() { TokenError::Temporary(error.to_string()) } else { TokenError::Final(error.to_string()) }
}

/// The password of `user`, from the environment or from whoever sits at the terminal.
pub(crate) fn ask_password(user: &str) -> anyhow::Result<String> {
    if let Some(password) = variable("FLIGHTDECK_PASSWORD") {
        return Ok(password);
    }
    rpassword::prompt_password(format!("Password of {}: ", super::text::clean(user)))
        .map_err(|_| anyhow!(Usage("there is no terminal to ask for the password: set FLIGHTDECK_PASSWORD".to_owned())))
}

/// What the demo's person of `role` signs in with; its officer where no role is named.
fn demo_login(path: &Path, server: &str, role: Option<Role>) -> anyhow::Result<Option<Login>> {
    let Ok(bytes) = std::fs::read(path) else { return Ok(None) };
    let demo: Demo = serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?;
    if server_key(&demo.server) != server {
        return Ok(None);
    }
    let role = role.unwrap_or(Role::Officer);
    let person = demo.people.into_iter().find(|person| person.role == role);
    Ok(person.map(|person| Login { username: person.username, password: person.password }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_lends_its_people_to_its_own_server_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.json");
        let people = r#"{"server": "http://127.0.0.1:8080", "people": [
            {"role": "officer", "username": "olga", "password": "o"},
            {"role": "viewer", "username": "vera", "password": "v"}]}"#;
        std::fs::write(&path, people).unwrap();
        let name =
            |server: &str, role| demo_login(&path, &server_key(server), role).unwrap().map(|login| login.username);
        assert_eq!(name("http://localhost:8080/", None).as_deref(), Some("olga"));
        assert_eq!(name("http://127.0.0.1:8080", Some(Role::Viewer)).as_deref(), Some("vera"));
        assert_eq!(name("http://127.0.0.1:8080", Some(Role::Manager)), None);
        assert_eq!(name("http://127.0.0.1:9090", None), None);
        assert_eq!(demo_login(&folder.path().join("none.json"), "", None).unwrap(), None);
    }
}
