//! The harness's own way to the server: signs in, makes missions, and does what the client under test is to see.

use std::time::Duration;

use anyhow::{Context as _, bail};
use flightdeck_protocol::{
    MissionId,
    client::{ClientError, Session},
    model::{InboxItem, Message, Mission, MissionSummary},
    operations::SessionList,
};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};
use uuid::Uuid;

const USERNAME: &str = "harness";
const COLLEAGUE: &str = "colleague";
/// For a server that lives for a minute on loopback.
const PASSWORD: &str = "correct horse battery";
/// How often a call is repeated whose connection was lost, or whose token has run out.
const TRIES: usize = 10;
/// Calls of a burst that wait for their answers at once.
const AT_ONCE: usize = 32;

/// One sign-in, and its session.
pub(crate) struct Desk {
    url: String,
    access: String,
    refresh: String,
    session: Option<Session>,
    steps: Vec<Uuid>,
    done: usize,
}

impl Desk {
    /// Makes an account, and signs in.
    pub(crate) async fn sign_up(url: &str) -> anyhow::Result<Self> {
        Self::enter(url, "auth.signup", USERNAME).await
    }

    /// Signs in once more to the same account.
    pub(crate) async fn sign_in(url: &str) -> anyhow::Result<Self> {
        Self::enter(url, "auth.login", USERNAME).await
    }

    /// Somebody else who may do everything.
    pub(crate) async fn colleague(&mut self) -> anyhow::Result<Self> {
        let account = json!({"username": COLLEAGUE, "password": PASSWORD, "role": "admin"});
        self.call("user.create", &account).await?;
        Self::enter(&self.url, "auth.login", COLLEAGUE).await
    }

    async fn enter(url: &str, method: &str, username: &str) -> anyhow::Result<Self> {
        let account = json!({"username": username, "password": PASSWORD});
        let mut desk = Self {
            url: url.to_owned(),
            access: String::new(),
            refresh: String::new(),
            session: None,
            steps: Vec::new(),
            done: 0,
        };
        desk.take_tokens(&nobody(url, method, account).await?)?;
        Ok(desk)
    }

    fn take_tokens(&mut self, pair: &Value) -> anyhow::Result<()> {
        let token = |name: &str| pair[name].as_str().map(str::to_owned).with_context(|| format!("no {name}: {pair}"));
        (self.access, self.refresh) = (token("access_token")?, token("refresh_token")?);
        Ok(())
    }

    /// The access token.
    pub(crate) fn token(&self) -> String {
        self.access.clone()
    }

    /// Another access token.
    pub(crate) async fn refreshed(&mut self) -> anyhow::Result<String> {
        let pair = nobody(&self.url, "auth.refresh", json!({"refresh_token": self.refresh})).await?;
        self.take_tokens(&pair)?;
        Ok(self.token())
    }

    async fn session(&mut self) -> Result<Session, ClientError> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let (session, _) = Session::connect(&self.url, Some(&self.access)).await?;
        self.session = Some(session.clone());
        Ok(session)
    }

    /// Calls an operation, on a new connection with a new token where the last is of no use.
    pub(crate) async fn call(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let mut last = None;
        for _ in 0..TRIES {
            let called = match self.session().await {
                Ok(session) => session.call_raw(method, params).await,
                Err(error) => Err(error),
            };
            match called {
                Ok(result) => return serde_json::from_str(result.get()).context("an answer"),
                Err(error) => {
                    self.session = None;
                    if error.is_unauthenticated() || matches!(error, ClientError::Closed(_)) {
                        self.refreshed().await?;
                    } else if !error.is_temporary() {
                        return Err(error).context(method.to_owned());
                    }
                    last = Some(error);
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
        Err(last.context("no try")?).context(method.to_owned())
    }

    /// Makes a mission and starts it.
    pub(crate) async fn mission(&mut self, title: &str) -> anyhow::Result<MissionId> {
        let made =
            self.call("mission.create", &json!({"title": title, "input": {"for": "the client under test"}})).await?;
        let made: MissionSummary = serde_json::from_value(made).context("a mission")?;
        self.call("mission.start", &json!({"mission": made.id})).await?;
        Ok(made.id)
    }

    /// The mission as the server has it.
    pub(crate) async fn look(&mut self, mission: MissionId) -> anyhow::Result<Mission> {
        let mission = self.call("mission.get", &json!({"mission": mission})).await?;
        serde_json::from_value(mission).context("a mission")
    }

    /// How many watches of the mission there are, of all sessions.
    pub(crate) async fn watches(&mut self, mission: MissionId) -> anyhow::Result<usize> {
        let list = self.call("session.list", &json!({})).await?;
        let list: SessionList = serde_json::from_value(list).context("a list of sessions")?;
        let watches = list.items.iter().flat_map(|session| &session.watches);
        Ok(watches.filter(|watch| watch.mission == Some(mission)).count())
    }

    /// The ids of a list of missions as a fresh watch begins with.
    pub(crate) async fn list(&mut self, query: &Value) -> anyhow::Result<Vec<MissionId>> {
        self.done += 1;
        let sub = format!("look-{}", self.done);
        let mut params = query.clone();
        params["sub"] = json!(sub);
        let list = self.call("missions.watch", &params).await?;
        self.call("missions.unwatch", &json!({"sub": sub})).await?;
        let items: Vec<MissionSummary> = serde_json::from_value(list["items"].clone()).context("a list")?;
        Ok(items.into_iter().map(|mission| mission.id).collect())
    }

    /// The texts of all messages of a mission.
    pub(crate) async fn messages(&mut self, mission: MissionId) -> anyhow::Result<Vec<String>> {
        let page = self.call("message.list", &json!({"mission": mission, "limit": 200})).await?;
        let items: Vec<Message> = serde_json::from_value(page["items"].clone()).context("messages")?;
        Ok(items.into_iter().map(|message| message.text).collect())
    }

    /// The ids of what is in the inbox, newest first.
    pub(crate) async fn inbox(&mut self) -> anyhow::Result<Vec<Uuid>> {
        let page = self.call("inbox.list", &json!({"limit": 200})).await?;
        let items: Vec<InboxItem> = serde_json::from_value(page["items"].clone()).context("an inbox")?;
        Ok(items.into_iter().map(|item| item.id).collect())
    }

    /// The ids of all missions, newest first.
    pub(crate) async fn missions(&mut self) -> anyhow::Result<Vec<MissionId>> {
        let page = self.call("mission.list", &json!({"limit": 200})).await?;
        let items: Vec<MissionSummary> = serde_json::from_value(page["items"].clone()).context("a list")?;
        Ok(items.into_iter().map(|mission| mission.id).collect())
    }

    /// Changes the mission `times` times, each time in another way, so that each kind of fold has something to do.
    pub(crate) async fn work(&mut self, mission: MissionId, times: usize) -> anyhow::Result<()> {
        for _ in 0..times {
            let nth = self.done;
            self.done += 1;
            let step = self.steps.first().copied();
            let last = self.steps.last().copied();
            match (nth % 8, step, last) {
                (2, Some(_), Some(last)) => {
                    let update = json!({"mission": mission, "step": last, "title": format!("step {nth}, renamed")});
                    self.call("step.update", &update).await?;
                }
                (3, ..) => {
                    let update = json!({"mission": mission, "title": format!("title {nth}"), "priority": "high"});
                    self.call("mission.update", &update).await?;
                }
                (4, Some(first), _) => {
                    let child = json!({"mission": mission, "title": format!("child {nth}"), "parent": first});
                    self.call("step.add", &child).await?;
                }
                (6, Some(first), Some(last)) if first != last => {
                    let to = json!({"mission": mission, "step": last, "position": 0});
                    self.call("step.move", &to).await?;
                }
                (7, Some(first), _) if self.steps.len() > 3 => {
                    self.call("step.remove", &json!({"mission": mission, "step": first})).await?;
                    self.steps.remove(0);
                }
                (0 | 5, ..) => {
                    let added =
                        self.call("step.add", &json!({"mission": mission, "title": format!("step {nth}")})).await?;
                    let id = added["id"].as_str().and_then(|id| id.parse().ok());
                    self.steps.push(id.with_context(|| format!("a step's id: {added}"))?);
                }
                _ => {
                    let note = json!({"mission": mission, "message": format!("note {nth}"), "details": {"nth": nth}});
                    self.call("activity.add", &note).await?;
                }
            }
        }
        Ok(())
    }

    /// Adds `events` activities to the mission as fast as the server takes them.
    pub(crate) async fn burst(&mut self, mission: MissionId, events: usize) -> anyhow::Result<()> {
        let session = self.session().await?;
        let mut under_way = JoinSet::new();
        for nth in 0..events {
            if under_way.len() >= AT_ONCE {
                under_way.join_next().await.context("a call")???;
            }
            let session = session.clone();
            under_way.spawn(async move {
                let note = json!({"mission": mission, "message": format!("one of many, {nth}")});
                loop {
                    match session.call_raw("activity.add", &note).await {
                        Ok(_) => return anyhow::Ok(()),
                        Err(error) if error.fault().is_some() && error.is_temporary() => {
                            sleep(Duration::from_millis(20)).await;
                        }
                        Err(error) => bail!("activity.add: {error}"),
                    }
                }
            });
        }
        while let Some(called) = under_way.join_next().await {
            called??;
        }
        Ok(())
    }
}

/// Calls an operation that nobody has to be signed in for.
async fn nobody(url: &str, method: &str, params: Value) -> anyhow::Result<Value> {
    let (session, _notices) = Session::connect(url, None).await?;
    let result = session.call_raw(method, &params).await.context(method.to_owned())?;
    serde_json::from_str(result.get()).context("an answer")
}
