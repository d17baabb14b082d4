//! Answers and faults as HTTP responses.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use bytes::Bytes;
use flightdeck_protocol::Fault;
use serde_json::json;

/// JSON that is there already, with `status`.
pub(super) fn json_bytes(status: u16, json: Bytes) -> HttpResponse {
    HttpResponse::build(status_code(status))
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(json)
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
