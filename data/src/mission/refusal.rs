//! Refusals: the sentences that say no, and the checks that they come from.

use flightdeck_protocol::{Code, Fault, model::MissionStatus};
use serde_json::Value;

/// The mission's status does not allow `what`; `advice` says what to do instead.
pub(super) fn illegal(what: &str, status: MissionStatus, advice: &str) -> Fault {
    Fault::new(Code::IllegalTransition, format!("a mission that is {} cannot be {what}; {advice}", status.name()))
}

/// The text has 1 to `max` characters that are not all white space, and no control characters but line ends and tabs.
pub(super) fn check_text(field: &str, text: &str, max: usize) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Err(Fault::invalid(field, format!("{field} is empty; give it 1 to {max} characters")));
    }
    check_optional_text(field, text, max)
}

/// As [`check_text`], and the text may be empty.
pub(super) fn check_optional_text(field: &str, text: &str, max: usize) -> Result<(), Fault> {
    let length = text.chars().count();
    if length > max {
        let message = format!("{field} has {length} characters; shorten it to {max}");
        return Err(Fault::new(Code::TooLarge, message).on(field));
    }
    // Control characters, and those that turn the direction of what follows, make a text look like another.
    let turns = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.chars().any(|c| turns(c) || (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))) {
        return Err(Fault::invalid(field, format!("{field} has control characters; leave them out")));
    }
    Ok(())
}

/// A name on one line, of 1 to [`super::limits::NAME`] characters.
pub(super) fn check_name(field: &str, text: &str) -> Result<(), Fault> {
    check_text(field, text, super::limits::NAME)?;
    if text.chars().any(char::is_control) {
        return Err(Fault::invalid(field, format!("{field} must be on one line")));
    }
    Ok(())
}

/// The value takes at most `max` bytes as JSON, and goes no deeper than [`super::limits::JSON_DEPTH`].
///
/// # Errors
/// When it does.
pub fn check_json(field: &str, value: &Value, max: usize) -> Result<(), Fault> {
    let (depth, deepest) = (depth(value), super::limits::JSON_DEPTH);
    if depth > deepest {
        let message = format!("{field} has {depth} arrays and objects within each other; make it {deepest} at most");
        return Err(Fault::new(Code::TooLarge, message).on(field));
    }
    let size = serde_json::to_string(value).map_or(usize::MAX, |json| json.len());
    if size > max {
        let message = format!("{field} has {size} bytes of JSON; shorten it to {max}");
        return Err(Fault::new(Code::TooLarge, message).on(field));
    }
    Ok(())
}

/// How many arrays and objects stand within each other.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_bounded_in_bytes_and_in_depth() {
        let nested = |depth| {
            (0..depth).fold(json!(1), |inner, nth| if nth % 2 == 0 { json!([inner]) } else { json!({"a": inner}) })
        };
        assert_eq!((depth(&json!(1)), depth(&json!([])), depth(&nested(7))), (0, 1, 7));
        assert_eq!(check_json("a", &nested(64), 1_000), Ok(()));
        assert_eq!(check_json("a", &nested(65), 1_000).unwrap_err().code, Code::TooLarge);
        assert_eq!(check_json("a", &json!("four"), 5).unwrap_err().code, Code::TooLarge);
    }
}
