//! Answers and faults as HTTP responses.

use std::convert::Infallible;

use actix_web::{
    HttpRequest, HttpResponse,
    body::{MessageBody as _, SizedStream},
    http::{StatusCode, header},
};
use bytes::Bytes;
use flightdeck_protocol::Fault;
use futures_util::stream;
use serde_json::json;

use super::openings;

/// What is no larger is handed to the connection at once, and is on its way before anybody could lose access.
const PART_BYTES: usize = 64 * 1024;

/// JSON that is there already, with `status`.
pub(super) fn json_bytes(status: u16, json: Bytes) -> HttpResponse {
    HttpResponse::build(status_code(status))
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(json)
}

/// `response` to `request`, of which no more is sent once `may_stay` says no.
pub(super) fn only_while(
    response: HttpResponse,
    request: &HttpRequest,
    may_stay: impl Fn() -> bool + 'static,
) -> HttpResponse {
    let (head, body) = response.into_parts();
    let bytes = match body.try_into_bytes() {
        Ok(bytes) if bytes.len() > PART_BYTES => bytes,
        Ok(bytes) => return head.set_body(bytes).map_into_boxed_body(),
        Err(body) => return head.set_body(body),
    };
    let length = bytes.len() as u64;
    let tether = openings::only_while(request, may_stay);
    let parts = stream::unfold((bytes, tether), |(mut rest, tether)| async move {
        let part = rest.split_to(rest.len().min(PART_BYTES));
        (!part.is_empty()).then_some((Ok::<_, Infallible>(part), (rest, tether)))
    });
    head.set_body(SizedStream::new(length, parts)).map_into_boxed_body()
}

/// A fault as a REST response: `{"error": {code, message, data}}`.
pub(super) fn fault(fault: &Fault) -> HttpResponse {
    let mut response = HttpResponse::build(status_code(fault.kind().http_status()));
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if fault.kind().http_status() == 401 {
        response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
    }
    if let Some(after) = retry_after(fault) {
        response.insert_header(after);
    }
    response.json(json!({"error": fault}))
}

/// The header that says when to ask again, in whole seconds (RFC 9110, section 10.2.3).
pub(super) fn retry_after(fault: &Fault) -> Option<(header::HeaderName, String)> {
    fault.data.retry_after_ms.map(|after| (header::RETRY_AFTER, after.div_ceil(1_000).to_string()))
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
