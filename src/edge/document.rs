//! Downloads: a document's bytes, whole or a range, with a name that cannot play tricks (RFC 9110, RFC 6266).

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{
        self, ByteRangeSpec, Charset, ContentDisposition, DispositionParam, DispositionType, ETag, EntityTag,
        ExtendedValue, Header as _, IfNoneMatch, Range,
    },
};
use flightdeck_data::documents::{DocumentError, Documents};
use flightdeck_protocol::{Code, Fault, model::Document};
use futures_util::StreamExt as _;

use super::openings;

/// The bytes of `document`, or the part of it that `request` asks for; no more of them once `may_have_it` says no.
pub(super) async fn download(
    documents: &Documents,
    document: &Document,
    request: &HttpRequest,
    may_have_it: impl Fn() -> bool + 'static,
) -> Result<HttpResponse, Fault> {
    let tag = EntityTag::new_strong(document.sha256.clone());
    if is_known(request, &tag) {
        return Ok(HttpResponse::NotModified().insert_header(ETag(tag)).finish());
    }
    let range = match wanted_range(request, document.size, &tag) {
        Wanted::Whole => None,
        Wanted::Part(range) => Some(range),
        Wanted::Impossible => {
            return Ok(HttpResponse::RangeNotSatisfiable()
                .insert_header((header::CONTENT_RANGE, format!("bytes */{}", document.size)))
                .finish());
        }
    };
    let bytes = documents.get(&document.sha256, range.clone()).await.map_err(|error| gone(document, &error))?;
    let mut response = match &range {
        Some(range) => {
            let mut response = HttpResponse::PartialContent();
            let content_range = format!("bytes {}-{}/{}", range.start, range.end - 1, document.size);
            response.insert_header((header::CONTENT_RANGE, content_range));
            response
        }
        None => HttpResponse::Ok(),
    };
    let tether = openings::only_while(request, may_have_it);
    let bytes = bytes.inspect(move |_| {
        let _until_the_last = &tether;
    });
    let length = range.map_or(document.size, |range| range.end - range.start);
    Ok(response
        .content_type(document.media_type.as_str())
        .insert_header(ETag(tag))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        // Were the document a page, it could do nothing in our name.
        .insert_header((header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"))
        .insert_header(disposition(&document.name))
        .body(actix_web::body::SizedStream::new(length, bytes)))
}

fn gone(document: &Document, error: &DocumentError) -> Fault {
    tracing::error!(document = %document.id, %error, "the bytes of a document cannot be read");
    Fault::new(Code::StoreUnavailable, "the document's bytes cannot be read now; ask again later")
}

fn is_known(request: &HttpRequest, tag: &EntityTag) -> bool {
    match request.headers().get(header::IF_NONE_MATCH).map(|_| IfNoneMatch::parse(request)) {
        Some(Ok(IfNoneMatch::Any)) => true,
        Some(Ok(IfNoneMatch::Items(tags))) => tags.iter().any(|known| known.weak_eq(tag)),
        Some(Err(_)) | None => false,
    }
}

enum Wanted {
    Whole,
    Part(std::ops::Range<u64>),
    Impossible,
}

/// One range is given; several are answered with the whole, as RFC 9110 allows.
fn wanted_range(request: &HttpRequest, size: u64, tag: &EntityTag) -> Wanted {
    if request.headers().get(header::RANGE).is_none() {
        return Wanted::Whole;
    }
    // A part of another version is worth nothing.
    if let Some(if_range) = request.headers().get(header::IF_RANGE)
        && if_range.to_str().ok() != Some(&tag.to_string())
    {
        return Wanted::Whole;
    }
    match Range::parse(request) {
        Ok(Range::Bytes(specs)) => match specs.as_slice() {
            [spec] => part(spec, size),
            _ => Wanted::Whole,
        },
        _ => Wanted::Whole,
    }
}

fn part(spec: &ByteRangeSpec, size: u64) -> Wanted {
    match spec.to_satisfiable_range(size) {
        Some((first, last)) => Wanted::Part(first..last + 1),
        None => Wanted::Impossible,
    }
}

/// Always to be saved, never shown in place; the name in ASCII for old clients and as it is for the others.
fn disposition(name: &str) -> ContentDisposition {
    let plain =
        |c: char| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '/' | '%') || c == ' ' { c } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    let whole = ExtendedValue { charset: Charset::Ext("UTF-8".to_owned()), language_tag: None, value: name.into() };
    ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![DispositionParam::Filename(ascii), DispositionParam::FilenameExt(whole)],
    }
}
