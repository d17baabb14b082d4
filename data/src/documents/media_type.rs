//! The media type of a document, told from how it begins.

/// How much of a document's beginning is looked at, in bytes.
pub(super) const HEAD_BYTES: usize = 8 * 1024;

/// What nothing else fits.
const UNKNOWN: &str = "application/octet-stream";

/// The media type of a document of `size` bytes that begins with `head`.
///
/// A signature in the content decides. Text has none: there the ending of `name`
/// chooses among the kinds of text that the content can be.
pub(super) fn of(name: &str, head: &[u8], size: u64) -> &'static str {
    if let Some(kind) = infer::get(head) {
        return kind.mime_type();
    }
    let Some(text) = text_of(head, size) else { return UNKNOWN };
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    let looks_like_json = text.trim_start().starts_with(['{', '[']);
    // Only a document that was seen whole can be known to be JSON by itself.
    let is_json = || head.len() as u64 == size && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    match ending.as_str() {
        "csv" => "text/csv",
        "json" if looks_like_json => "application/json",
        "md" => "text/markdown",
        _ if looks_like_json && is_json() => "application/json",
        _ => "text/plain",
    }
}

/// The beginning as text, if it is text: UTF-8 without control characters that no text has.
fn text_of(head: &[u8], size: u64) -> Option<&str> {
    let text = match str::from_utf8(head) {
        Ok(text) => text,
        // The last character of the beginning may go on behind it.
        Err(error) if error.error_len().is_none() && (head.len() as u64) < size => {
            str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}' | '\u{1b}');
    (!text.chars().any(is_odd)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(name: &str, content: &[u8]) -> &'static str {
        of(name, &content[..content.len().min(HEAD_BYTES)], content.len() as u64)
    }

    #[test]
    fn content_decides_before_the_name() {
        assert_eq!(tell("w2.csv", b"%PDF-1.7 and so on"), "application/pdf");
        assert_eq!(tell("fake.pdf", b"hello"), "text/plain");
        assert_eq!(tell("a.bin", b"\x89PNG\r\n\x1a\n0000"), "image/png");
        assert_eq!(tell("page", b"<!DOCTYPE html><html></html>"), "text/html");
    }

    #[test]
    fn text_is_told_apart_by_name_and_shape() {
        assert_eq!(tell("table.CSV", b"a,b\n1,2\n"), "text/csv");
        assert_eq!(tell("table.csv", b"\xff\xfe\x00\x01"), "application/octet-stream");
        assert_eq!(tell("a.json", b" {\"a\": 1}"), "application/json");
        assert_eq!(tell("a.json", b"not json"), "text/plain");
        assert_eq!(tell("noname", b"[1, 2]"), "application/json");
        assert_eq!(tell("noname", b"[see below]"), "text/plain");
        assert_eq!(tell("README.md", b"# Hello"), "text/markdown");
        assert_eq!(tell("empty", b""), "text/plain");
        assert_eq!(tell("nul", b"a\0b"), "application/octet-stream");
    }

    #[test]
    fn a_character_may_be_cut_at_the_end_of_the_beginning() {
        let mut long = "x".repeat(HEAD_BYTES - 1).into_bytes();
        long.extend("äöü".as_bytes());
        assert_eq!(tell("long.csv", &long), "text/csv");
        assert_eq!(tell("cut.csv", &long[..HEAD_BYTES]), "application/octet-stream", "cut for good");
    }
}
