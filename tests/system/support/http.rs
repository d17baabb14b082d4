//! Calls over HTTP: JSON-RPC with types, and REST as it is on the wire.

use flightdeck_protocol::{
    Code, Fault, MissionId, Operation,
    model::{Mission, MissionStatus, MissionSummary},
    operations::{Ack, ActivityAdd, AddActivity, CreateMission, GetMission, MissionNew, MissionRef, StartMission},
};
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Member, Server, within};

/// An answer to an HTTP request.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// A header, empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header in ASCII"))
    }

    /// The fault that a REST route answered with.
    pub(crate) fn fault(&self) -> Fault {
        fault_of(&self.json())
    }
}

/// The fault in the member `error`, with its name and number in agreement.
pub(crate) fn fault_of(answer: &Value) -> Fault {
    let fault: Fault = serde_json::from_value(answer["error"].clone())
        .unwrap_or_else(|error| panic!("no fault, for {error}: {answer}"));
    assert_eq!(answer["error"]["code"], json!(fault.code.number()), "a code that is in the list");
    assert_eq!(fault.data.name, fault.code.name());
    assert_eq!(fault.data.kind, fault.code.kind());
    assert!(fault.message.len() > 15, "a sentence that says what to do: {}", fault.message);
    fault
}

#[derive(Deserialize)]
#[serde(bound = "R: serde::de::DeserializeOwned")]
struct Response<R> {
    id: u64,
    result: Option<R>,
    error: Option<Fault>,
}

impl Server {
    /// Calls an operation by `POST /api/rpc`.
    pub(crate) async fn call<O: Operation>(&self, who: &Member, params: O::Params) -> Result<O::Result, Fault> {
        self.call_as::<O>(Some(&who.token), &params).await
    }

    /// The same with any token, or none.
    pub(crate) async fn call_as<O: Operation>(
        &self,
        token: Option<&str>,
        params: &O::Params,
    ) -> Result<O::Result, Fault> {
        self.try_call::<O>(token, params).await.expect("an answer")
    }

    /// The same on a server that may die meanwhile: `None` where no answer came.
    pub(crate) async fn try_call<O: Operation>(
        &self,
        token: Option<&str>,
        params: &O::Params,
    ) -> Option<Result<O::Result, Fault>> {
        let request = json!({"jsonrpc": "2.0", "id": 7, "method": O::METHOD, "params": params});
        let reply = self.try_request(Method::POST, "/api/rpc", token, Some(&request)).await?;
        let response: Response<O::Result> = serde_json::from_slice(&reply.body).expect("a response");
        assert_eq!(response.id, 7);
        match (response.result, response.error) {
            (_, Some(fault)) => Some(Err(fault)),
            (Some(result), None) => Some(Ok(result)),
            (None, None) => panic!("{} answered nothing", O::METHOD),
        }
    }

    /// A method by its name, with any parameters; the whole response.
    pub(crate) async fn rpc(&self, token: Option<&str>, method: &str, params: &Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        self.request(Method::POST, "/api/rpc", token, Some(&request)).await.json()
    }

    /// The same on a server that may die meanwhile: `None` where no answer came.
    pub(crate) async fn try_rpc(&self, who: &Member, method: &str, params: &Value) -> Option<Value> {
        let request = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let reply = self.try_request(Method::POST, "/api/rpc", Some(&who.token), Some(&request)).await?;
        Some(reply.json())
    }

    /// An HTTP request with a JSON body.
    pub(crate) async fn request(&self, verb: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Reply {
        let what = format!("{verb} {path}");
        self.try_request(verb, path, token, body).await.unwrap_or_else(|| panic!("{what} was not answered"))
    }

    async fn try_request(&self, verb: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Option<Reply> {
        let mut request = self.http.request(verb, format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        within(path, async { Some(reply(request.send().await.ok()?).await).flatten() }).await
    }

    /// GET with headers.
    pub(crate) async fn get(&self, who: &Member, path: &str, headers: &[(&'static str, &str)]) -> Reply {
        self.send_with(self.http.get(format!("{}{path}", self.url)), who, path, headers).await
    }

    /// POST of a JSON body, with headers.
    pub(crate) async fn post(&self, who: &Member, path: &str, headers: &[(&'static str, &str)], body: &Value) -> Reply {
        self.send_with(self.http.post(format!("{}{path}", self.url)).json(body), who, path, headers).await
    }

    async fn send_with(
        &self,
        request: reqwest::RequestBuilder,
        who: &Member,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Reply {
        let mut request = request.bearer_auth(&who.token);
        for (name, value) in headers {
            request = request.header(HeaderName::from_static(name), *value);
        }
        within(path, async { reply(request.send().await.ok()?).await }).await.expect("an answer")
    }

    /// Makes a mission.
    pub(crate) async fn mission(&self, who: &Member, agent: Option<&str>, input: Value) -> MissionId {
        let agent = agent.map(str::to_owned);
        let new =
            MissionNew { title: "A piece of work".to_owned(), agent, input: Some(input), ..MissionNew::default() };
        self.call::<CreateMission>(who, new).await.expect("a mission").id
    }

    /// Makes a mission and starts it.
    pub(crate) async fn started(&self, who: &Member, agent: Option<&str>, input: Value) -> MissionId {
        let mission = self.mission(who, agent, input).await;
        self.call::<StartMission>(who, MissionRef { mission }).await.expect("a start");
        mission
    }

    /// The mission as it is.
    pub(crate) async fn look(&self, who: &Member, mission: MissionId) -> Mission {
        self.call::<GetMission>(who, MissionRef { mission }).await.expect("a mission")
    }

    /// Waits until the mission has ended, and says how.
    pub(crate) async fn end_of(&self, who: &Member, mission: MissionId) -> Mission {
        let mut watcher = super::Watcher::snapshot(self, who, mission).await;
        watcher.until_mission("the mission's end", |mission| mission.status.is_ended()).await;
        watcher.mission().clone()
    }

    /// Logs an activity by hand.
    pub(crate) async fn note(&self, who: &Member, mission: MissionId, message: &str) -> Result<Ack, Fault> {
        self.call::<AddActivity>(who, note(mission, message)).await
    }

    /// One more mission is made, started and run to its end by hand: the server works.
    pub(crate) async fn still_works(&self, who: &Member) {
        let mission = self.started(who, None, json!({})).await;
        self.note(who, mission, "all is well").await.expect("a note");
        let done: MissionSummary = serde_json::from_value(
            self.rpc(Some(&who.token), "mission.complete", &json!({"mission": mission})).await["result"].clone(),
        )
        .expect("a summary");
        assert_eq!(done.status, MissionStatus::Completed);
    }

    /// `params` of `method` are refused with `code`, over RPC, and change nothing of `mission`.
    pub(crate) async fn refuses(&self, who: &Member, mission: MissionId, method: &str, params: Value, code: Code) {
        let before = self.look(who, mission).await;
        let fault = fault_of(&self.rpc(Some(&who.token), method, &params).await);
        assert_eq!(fault.code, code, "{method} {params}: {fault}");
        assert_eq!(self.look(who, mission).await, before, "{method} {params} changed something");
    }
}

/// An activity to log.
pub(crate) fn note(mission: MissionId, message: &str) -> ActivityAdd {
    ActivityAdd {
        mission,
        activity_type: flightdeck_protocol::model::ActivityType::Info,
        message: message.to_owned(),
        details: None,
        step: None,
    }
}

async fn reply(response: reqwest::Response) -> Option<Reply> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Some(Reply { status, headers, body: response.bytes().await.ok()?.into() })
}
