//! Signing in or up, and the connections of the person who did.

use anyhow::{Context as _, bail};
use flightdeck_protocol::{
    MissionId,
    client::{ClientError, FixedToken, Follow, Notices, Options, Session},
    operations::{CreateMission, Login, MissionNew, MissionRef, NewAccount, Position, SignedIn, StartMission},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Serialize, de::DeserializeOwned};

use crate::{meter::Meter, options::Target};

/// Connections that are opened at the same time.
const CONNECTING: usize = 32;

/// A session that is to watch a mission: what it is told comes first.
pub(crate) struct Connected {
    /// Which of the missions.
    pub(crate) mission: usize,
    pub(crate) session: Session,
    pub(crate) notices: Notices,
}

/// A person who is signed in on a server.
#[derive(Clone)]
pub(crate) struct SignIn {
    server: String,
    token: String,
    /// The server's process, where it is known.
    pub(crate) meter: Option<Meter>,
}

impl Target {
    /// Signs in with the name and password that were given.
    pub(crate) async fn sign_in(&self) -> anyhow::Result<SignIn> {
        let Some(username) = self.user.clone().filter(|user| !user.is_empty()) else {
            bail!("nobody to sign in as: give --user, or set FLIGHTDECK_USER");
        };
        let password = match &self.password_file {
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            None => std::env::var("FLIGHTDECK_PASSWORD")
                .context("no password: give --password-file, or set FLIGHTDECK_PASSWORD")?,
        };
        let meter = self.pid.map(Meter::process).transpose()?;
        let signed_in: SignedIn = post(&self.server, "/api/auth/login", &Login { username, password }).await?;
        Ok(SignIn { server: self.server.clone(), token: signed_in.tokens.access_token, meter })
    }
}

impl SignIn {
    /// Makes an account on a server that takes sign-ups; its owner may do everything.
    pub(crate) async fn sign_up(server: String, meter: Meter, account: &NewAccount) -> anyhow::Result<Self> {
        let signed_in: SignedIn = post(&server, "/api/auth/signup", account).await?;
        Ok(Self { server, token: signed_in.tokens.access_token, meter: Some(meter) })
    }

    /// A session; what the server says unasked is thrown away.
    pub(crate) async fn connect(&self) -> Result<Session, ClientError> {
        self.listen().await.map(|(session, _)| session)
    }

    /// A session, and what the server says unasked.
    pub(crate) async fn listen(&self) -> Result<(Session, Notices), ClientError> {
        Session::connect(&self.server, Some(&self.token)).await
    }

    /// `count` sessions.
    pub(crate) async fn connect_many(&self, count: u32) -> anyhow::Result<Vec<Session>> {
        Ok(stream::iter((0..count).map(|_| self.connect())).buffer_unordered(CONNECTING).try_collect().await?)
    }

    /// `count` sessions that each watch one of `missions`, as many of each, with the number of the mission.
    pub(crate) async fn watch_many(&self, missions: &[MissionId], count: u32) -> anyhow::Result<Vec<Connected>> {
        let watch = |index: u32| async move {
            let mission = index as usize % missions.len();
            let (session, notices) = self.watch(missions[mission], None).await?;
            Ok(Connected { mission, session, notices })
        };
        stream::iter((0..count).map(watch)).buffer_unordered(CONNECTING).try_collect().await
    }

    /// Follows `mission` for ever, as a client of ours does.
    pub(crate) fn follow(&self, mission: MissionId) -> Follow {
        Follow::start(&self.server, mission, None, FixedToken(self.token.clone()))
    }

    /// A session that watches `mission`, from `since` on if that is given.
    pub(crate) async fn watch(
        &self,
        mission: MissionId,
        since: Option<Position>,
    ) -> Result<(Session, Notices), ClientError> {
        let since = since.map_or_else(String::new, |Position { epoch, seq }| format!("?since={epoch}:{seq}"));
        let path = format!("/ws/missions/{mission}{since}");
        Session::connect_with(&self.server, &path, Some(&self.token), Options::default()).await
    }
}

/// Makes a small mission that people work on, and starts it.
pub(crate) async fn started_mission(session: &Session, title: &str) -> anyhow::Result<MissionId> {
    let new = MissionNew { title: title.to_owned(), ..MissionNew::default() };
    let mission = session.call::<CreateMission>(new).await?.id;
    session.call::<StartMission>(MissionRef { mission }).await?;
    Ok(mission)
}

async fn post<R: DeserializeOwned>(server: &str, path: &str, body: &impl Serialize) -> anyhow::Result<R> {
    let url = format!("{}{path}", server.trim_end_matches('/'));
    // The sockets know no proxy either.
    let client = reqwest::Client::builder().no_proxy().build().context("no HTTP client")?;
    let response = client.post(&url).json(body).send().await.with_context(|| format!("{url} cannot be reached"))?;
    let status = response.status();
    let text = response.text().await.with_context(|| format!("{url} broke off"))?;
    if !status.is_success() {
        let text: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
        bail!("{url} answered {status}: {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("{url} answered what is no sign-in"))
}
