//! `POST /api/rpc`: one JSON-RPC 2.0 request, one response.

use actix_web::{HttpRequest, HttpResponse, web};
use flightdeck_actors::{
    dispatch::{Answer, Via},
    mission::Caller,
};
use flightdeck_protocol::{
    Code, Fault,
    envelope::{Request, Response},
};
use serde_json::value::RawValue;

use super::{Edge, reply, rest};

pub(super) async fn call(edge: web::Data<Edge>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let body = match rest::body(body, edge.body_bytes).await {
        Ok(body) => body,
        Err(fault) => return respond(None, Err(fault)),
    };
    let Ok(text) = std::str::from_utf8(&body) else {
        return respond(None, Err(Fault::new(Code::ParseError, "the body is not UTF-8")));
    };
    match Request::parse(text) {
        Ok(call) => {
            let params = call.params.map_or("{}", RawValue::get);
            match carry_out(&edge, &request, &call.method, params).await {
                Ok((result, Some(caller))) => {
                    let response = respond(call.id, Ok(result));
                    reply::only_while(response, &request, edge.desk.stays(&caller))
                }
                outcome => respond(call.id, outcome.map(|(result, _)| result)),
            }
        }
        Err((id, fault)) => respond(id, Err(*fault)),
    }
}

/// What came of it, and who asked.
async fn carry_out(
    edge: &Edge,
    request: &HttpRequest,
    method: &str,
    params: &str,
) -> Result<(Box<RawValue>, Option<Caller>), Fault> {
    let caller = rest::caller(edge, request)?;
    let (_, call) = edge.desk.read(method, params, caller.as_ref(), Via::Rpc)?;
    let result = match edge.desk.call(call, caller.as_ref()).await? {
        Answer::Json(json) => String::from_utf8(json.into()).ok().and_then(|json| RawValue::from_string(json).ok()),
        Answer::File(_) => None,
    };
    let result = result.ok_or_else(|| Fault::new(Code::Internal, "the server failed to write down its answer"))?;
    Ok((result, caller))
}

/// JSON-RPC over HTTP answers 200 whenever it understood enough to answer in
/// its own terms. Who is not signed in gets 401, who asks too often 429, and who
/// asks while the server stops 503, so that proxies and tools see it.
fn respond(id: Option<&RawValue>, outcome: Result<Box<RawValue>, Fault>) -> HttpResponse {
    match outcome {
        Ok(result) => HttpResponse::Ok().json(Response::result(id, result)),
        Err(fault) => {
            let mut response = match fault.kind().http_status() {
                401 => HttpResponse::Unauthorized(),
                429 => HttpResponse::TooManyRequests(),
                _ if fault.code == Code::ServerRestarting => HttpResponse::ServiceUnavailable(),
                _ => HttpResponse::Ok(),
            };
            if let Some(after) = reply::retry_after(&fault) {
                response.insert_header(after);
            }
            response.json(Response::error(id, &fault))
        }
    }
    .map_into_boxed_body()
}
