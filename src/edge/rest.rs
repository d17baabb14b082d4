//! REST: a projection of the operations table. There is no handler for a route here, and there must not be.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web::{self, BytesMut, ServiceConfig},
};
use bytes::Bytes;
use flightdeck_actors::{
    dispatch::{Answer, Via},
    mission::Caller,
};
use flightdeck_protocol::{
    Code, Descriptor, Fault,
    operations::{Guard, Route, TABLE, Verb},
};
use futures_util::StreamExt as _;
use serde_json::{Map, Value};

use super::{Edge, document, reply};

/// The header that gives `idem` (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// How long a request's body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// Every route of the table.
pub(super) fn routes(config: &mut ServiceConfig) {
    let mut paths: Vec<&'static str> = Vec::new();
    for route in TABLE.iter().flat_map(|descriptor| descriptor.rest) {
        if !paths.contains(&route.path) {
            paths.push(route.path);
        }
    }
    for path in paths {
        let of_path: Vec<(&'static Descriptor, &'static Route)> = TABLE
            .iter()
            .flat_map(|descriptor| descriptor.rest.iter().map(move |route| (descriptor, route)))
            .filter(|(_, route)| route.path == path)
            .collect();
        let resource =
            web::resource(path).to(move |edge: web::Data<Edge>, request: HttpRequest, body: web::Payload| {
                let of_path = of_path.clone();
                async move {
                    let chosen = of_path.iter().find(|(_, route)| fits(route.verb, request.method()));
                    match chosen {
                        Some((descriptor, route)) => match answer(&edge, &request, body, descriptor, route).await {
                            Ok(response) => response,
                            Err(fault) => reply::fault(&fault),
                        },
                        None => wrong_verb(&of_path),
                    }
                }
            });
        config.service(resource);
    }
}

/// There is nothing at this path.
pub(super) async fn no_route(request: HttpRequest) -> HttpResponse {
    let path: String = request.path().chars().take(200).collect();
    let message = format!("there is nothing at {path}; docs/PROTOCOL.md lists all routes");
    reply::fault(&Fault::new(Code::RouteNotFound, message))
}

fn fits(verb: Verb, method: &Method) -> bool {
    method.as_str() == verb.name() || (verb == Verb::Get && *method == Method::HEAD)
}

fn wrong_verb(of_path: &[(&Descriptor, &Route)]) -> HttpResponse {
    let allowed: Vec<&str> = of_path.iter().map(|(_, route)| route.verb.name()).collect();
    not_allowed(&allowed.join(", "))
}

/// The path is there, and takes the methods `allowed` alone.
pub(super) fn not_allowed(allowed: &str) -> HttpResponse {
    let fault = Fault::new(Code::MethodNotFound, format!("this path takes {allowed}"));
    HttpResponse::MethodNotAllowed()
        .insert_header((header::ALLOW, allowed.to_owned()))
        .json(serde_json::json!({"error": fault}))
}

async fn answer(
    edge: &Edge,
    request: &HttpRequest,
    payload: web::Payload,
    descriptor: &'static Descriptor,
    route: &Route,
) -> Result<HttpResponse, Fault> {
    caller(edge, request)?;
    let params = params(descriptor, route, request, &body(payload, edge.body_bytes).await?)?;
    // A body takes its time, and who sends it may have lost access meanwhile.
    let caller = caller(edge, request)?;
    let params = Value::Object(params).to_string();
    let (_, call) = edge.desk.read(descriptor.method, &params, caller.as_ref(), Via::Rest)?;
    match edge.desk.call(call, caller.as_ref()).await? {
        Answer::Json(json) => {
            let response = reply::json_bytes(route.status, json);
            Ok(match &caller {
                Some(caller) => reply::only_while(response, request, edge.desk.stays(caller)),
                None => response,
            })
        }
        Answer::File(file) => {
            let caller = caller.ok_or_else(|| Fault::new(Code::Unauthenticated, "nobody is signed in"))?;
            let may_have_it = edge.desk.stays(&caller);
            document::download(edge.desk.documents(), &file, request, may_have_it).await
        }
    }
}

/// Who calls, by the `Authorization` header; nobody where there is none.
pub(super) fn caller(edge: &Edge, request: &HttpRequest) -> Result<Option<Caller>, Fault> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    match token {
        Some(token) => edge.desk.caller(token).map(Some),
        None => {
            Err(Fault::new(Code::TokenInvalid, "the Authorization header must be: Bearer, a space, an access token"))
        }
    }
}

/// The body, up to `most` bytes of it, if it comes in time.
pub(super) async fn body(payload: web::Payload, most: usize) -> Result<Bytes, Fault> {
    let late = |_| Fault::new(Code::InvalidRequest, "the body did not come in time; send the request again");
    tokio::time::timeout(BODY_TIMEOUT, read_body(payload, most)).await.map_err(late)?
}

async fn read_body(mut payload: web::Payload, most: usize) -> Result<Bytes, Fault> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|_| Fault::new(Code::InvalidRequest, "the body broke off; send the request again"))?;
        if body.len() + chunk.len() > most {
            return Err(Fault::new(Code::TooLarge, format!("the body is over {most} bytes; send less at once")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The operation's parameters: from the path, the query and the body, each in one of them alone.
fn params(
    descriptor: &Descriptor,
    route: &Route,
    request: &HttpRequest,
    body: &[u8],
) -> Result<Map<String, Value>, Fault> {
    let mut params = match body {
        [] => Map::new(),
        body => match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => object,
            Ok(_) => return Err(Fault::new(Code::InvalidRequest, "the body must be a JSON object")),
            Err(error) => {
                return Err(Fault::new(Code::ParseError, format!("the body is not valid JSON: {error}")));
            }
        },
    };
    for name in request.headers().get_all(IDEMPOTENCY_KEY).filter(|_| route.verb != Verb::Get) {
        params_once(&mut params, Guard::Idem.name(), named(name)?)?;
    }
    let query = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
        .map_err(|error| Fault::new(Code::InvalidRequest, format!("the query cannot be read: {error}")))?;
    let path = request.match_info().iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let schema = (descriptor.params)();
    for (name, text) in query.into_inner().into_iter().chain(path) {
        let value = typed(&schema, &name, &text);
        params_once(&mut params, &name, value)?;
    }
    Ok(params)
}

fn params_once(params: &mut Map<String, Value>, name: &str, value: Value) -> Result<(), Fault> {
    if params.insert(name.to_owned(), value).is_some() {
        return Err(Fault::new(Code::InvalidParams, format!("{name} is given twice; give it once")).on(name));
    }
    Ok(())
}

/// The name in an `Idempotency-Key` header: a string in quotes, as the draft has it, or what many send, one without.
fn named(header: &header::HeaderValue) -> Result<Value, Fault> {
    let text = header.to_str().map(str::trim).unwrap_or_default();
    let name = match text.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').filter(|name| !name.contains(['"', '\\'])),
        None => Some(text),
    };
    name.map(Value::from).ok_or_else(|| {
        let message = "Idempotency-Key is a name in double quotes, with neither quotes nor backslashes in it";
        Fault::invalid(Guard::Idem.name(), message)
    })
}

/// Paths and queries are text: what the schema says is a number or a truth value becomes one.
fn typed(schema: &schemars::Schema, name: &str, text: &str) -> Value {
    let kind = schema.get("properties").and_then(|properties| properties.get(name)).and_then(|kind| kind.get("type"));
    let is = |wanted: &str| match kind {
        Some(Value::String(kind)) => kind == wanted,
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == wanted),
        _ => false,
    };
    if is("integer") || is("number") || is("boolean") {
        serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
    } else {
        Value::from(text)
    }
}
