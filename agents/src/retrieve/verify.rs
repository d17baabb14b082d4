//! What a downloaded file is, and whether it is what was wanted.

use std::path::Path;

use super::input::Wanted;

/// As much of a file as its kind is told from, in bytes; the server looks at as much.
const HEAD: usize = 8 * 1024;

/// What a downloaded file turned out to be.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) media_type: String,
    /// In bytes.
    pub(super) size: u64,
    /// In lower-case hex.
    pub(super) sha256: String,
}

/// The media type of `content`, by its beginning. The name decides between kinds of text alone.
///
/// The rules are those of the server, which compares its own finding with what the agent claims.
pub(super) fn media_type(name: &str, content: &[u8]) -> &'static str {
    let head = &content[..content.len().min(HEAD)];
    if let Some(kind) = infer::get(head) {
        return kind.mime_type();
    }
    let Some(text) = text_of(head, content.len() > HEAD) else { return "application/octet-stream" };
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let like_json = text.trim_start().starts_with(['{', '[']);
    let is_json = || head.len() == content.len() && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    match ending.to_ascii_lowercase().as_str() {
        "csv" => "text/csv",
        "md" => "text/markdown",
        "json" if like_json => "application/json",
        _ if like_json && is_json() => "application/json",
        _ => "text/plain",
    }
}

/// `head` as text, if it is UTF-8 without the control characters that no text has.
fn text_of(head: &[u8], goes_on: bool) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut in two where the head ends.
        Err(error) if goes_on && error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let odd = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}' | '\u{1b}');
    (!text.contains(odd)).then_some(text)
}

/// Compares the facts with what was wanted; the sentence says what differs.
pub(super) fn compare(wanted: &Wanted, facts: &Facts) -> Result<(), String> {
    if let Some(media_type) = &wanted.media_type {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(&facts.media_type) {
            return Err(format!("it is of type {} and should be {essence}", facts.media_type));
        }
    }
    if let Some(size) = wanted.size.filter(|size| *size != facts.size) {
        return Err(format!("it has {} bytes and should have {size}", facts.size));
    }
    if let Some(hash) = wanted.sha256.as_ref().filter(|hash| !hash.eq_ignore_ascii_case(&facts.sha256)) {
        return Err(format!("its sha-256 is {} and should be {}", facts.sha256, hash.to_ascii_lowercase()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_decides_and_not_the_name() {
        assert_eq!(media_type("a.csv", b"%PDF-1.7\n"), "application/pdf");
        assert_eq!(media_type("a.csv", b"a,b\n1,\"2,3\"\n"), "text/csv");
        assert_eq!(media_type("a.csv", b"a\0,b\n"), "application/octet-stream");
        assert_eq!(media_type("a.csv", &[b"x".repeat(HEAD - 1), "é".into()].concat()), "text/csv");
        assert_eq!(media_type("a.json", b"{}"), "application/json");
        assert_eq!(media_type("a.pdf", b"not one"), "text/plain");
        assert_eq!(media_type("a.pdf", b"<!DOCTYPE html><p>log in"), "text/html");
        assert_eq!(media_type("a.bin", &[0xff, 0xfe, 0x81, 0]), "application/octet-stream");
    }

    #[test]
    fn what_differs_is_said() {
        let facts = Facts { media_type: "text/csv".to_owned(), size: 3, sha256: "ab".repeat(32) };
        let wanted = |media_type: Option<&str>, size, sha256: Option<String>| Wanted {
            name: "a.csv".to_owned(),
            pattern: None,
            media_type: media_type.map(ToOwned::to_owned),
            size,
            sha256,
        };
        assert_eq!(compare(&wanted(Some("Text/CSV; charset=utf-8"), Some(3), Some("AB".repeat(32))), &facts), Ok(()));
        assert!(compare(&wanted(Some("application/pdf"), None, None), &facts).unwrap_err().contains("text/csv"));
        assert!(compare(&wanted(None, Some(4), None), &facts).unwrap_err().contains("should have 4"));
        assert!(compare(&wanted(None, None, Some("cd".repeat(32))), &facts).unwrap_err().contains("sha-256"));
    }
}
