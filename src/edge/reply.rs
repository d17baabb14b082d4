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
    if let Some(after) = fault.data.retry_after_ms {
        response.insert_header((header::RETRY_AFTER, after.div_ceil(1_000).to_string()));
    }
    response.json(json!({"error": fault}))
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
