//! Telling the server's frames apart without reading them whole.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::ClientError;
use crate::fault::Fault;

/// How the server begins every notification; others are recognized too, only slower.
const USUAL_START: &str = r#"{"jsonrpc":"2.0","method":""#;

/// A frame of the server, as far as it has to be read to know where it goes.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(default)]
    id: Option<u64>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<Fault>,
}

/// The id of the request that `text` answers; `None` if it answers none of this client's.
pub(super) fn answered(text: &str) -> Option<u64> {
    if text.starts_with(USUAL_START) {
        return None;
    }
    let frame: Frame<'_> = serde_json::from_str(text).ok()?;
    if frame.method.is_some() { None } else { frame.id }
}

/// The name of the notification in `text`.
pub(super) fn method(text: &str) -> Option<Cow<'_, str>> {
    if let Some((method, _)) = text.strip_prefix(USUAL_START).and_then(|rest| rest.split_once('"')) {
        return Some(Cow::Borrowed(method));
    }
    serde_json::from_str::<Frame<'_>>(text).ok()?.method
}

/// The method and the content of the notification in `text`.
pub(super) fn notification(text: &str) -> Result<(Cow<'_, str>, &str), ClientError> {
    let frame: Frame<'_> = serde_json::from_str(text).map_err(|source| unreadable("a frame", source))?;
    Ok((frame.method.unwrap_or_default(), frame.params.map_or("{}", RawValue::get)))
}

/// The answer in `text`, which answers `method`.
pub(super) fn answer<R: DeserializeOwned>(text: &str, method: &str) -> Result<R, ClientError> {
    let what = || format!("the answer to {method}");
    let frame: Frame<'_> = serde_json::from_str(text).map_err(|source| unreadable(what(), source))?;
    if let Some(fault) = frame.error {
        return Err(ClientError::Fault(fault));
    }
    let result = frame.result.map_or("null", RawValue::get);
    serde_json::from_str(result).map_err(|source| unreadable(what(), source))
}

pub(super) fn unreadable(what: impl Into<String>, source: serde_json::Error) -> ClientError {
    ClientError::Unreadable { what: what.into(), source: Arc::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_notifications_are_told_apart_however_they_are_written() {
        let compact = r#"{"jsonrpc":"2.0","method":"mission.events","params":{"sub":"a"}}"#;
        let spaced = r#"{ "params": {"sub":"a"}, "method": "mission.events", "jsonrpc": "2.0" }"#;
        for text in [compact, spaced] {
            assert_eq!(answered(text), None);
            assert_eq!(method(text).unwrap(), "mission.events");
            assert_eq!(notification(text).unwrap().1, r#"{"sub":"a"}"#);
        }
        assert_eq!(answered(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#), Some(7));
        assert_eq!(answered(r#"{"jsonrpc":"2.0","id":null,"result":{}}"#), None);
        assert_eq!(answered("not JSON"), None);
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error_and_no_panic() {
        assert!(answer::<u8>(r#"{"id":1,"result":"a"}"#, "a.b").is_err());
        assert!(answer::<u8>(r#"{"id":1}"#, "a.b").is_err());
        assert_eq!(answer::<u8>(r#"{"id":1,"result":7}"#, "a.b").unwrap(), 7);
    }
}
