//! `GET /api/openrpc.json`: the protocol described for programs. It is made once, and is the same for everyone.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::LazyLock,
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CacheControl, CacheDirective, ETag, EntityTag, Header as _, IfNoneMatch},
};
use bytes::Bytes;
use flightdeck_protocol::describe;

/// The document and what it is told apart from others by.
static DOCUMENT: LazyLock<(Bytes, EntityTag)> = LazyLock::new(|| {
    let text = describe::openrpc().to_string();
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    (Bytes::from(text), EntityTag::new_strong(format!("{:016x}", hasher.finish())))
});

/// The document; nothing but "it is as you know it" for who has it already (RFC 9110, section 13.1.2).
pub(super) async fn document(request: HttpRequest) -> HttpResponse {
    let (text, tag) = &*DOCUMENT;
    let known = match IfNoneMatch::parse(&request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    };
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header(ETag(tag.clone())).insert_header(CacheControl(vec![CacheDirective::NoCache]));
    if known { response.finish() } else { response.content_type("application/json").body(text.clone()) }
}
