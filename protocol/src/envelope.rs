//! The JSON-RPC 2.0 envelope: one request, response or notification a frame, no batches.

use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::fault::{Code, Fault};

/// A request as a client sends it.
///
/// Sent by clients over `/ws` and `POST /api/rpc`; each is answered by one
/// [`Response`] with the same `id`. Without an `id` it is a notification and
/// is carried out without an answer.
#[derive(Debug)]
pub struct Request<'a> {
    /// The caller's name for the request: a string or a number, given back as it came.
    pub id: Option<&'a RawValue>,
    /// The operation.
    pub method: String,
    /// The parameters by name; absent means none.
    pub params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawRequest<'a> {
    #[serde(default)]
    jsonrpc: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

impl<'a> Request<'a> {
    /// Reads a request from the text of a frame. The fault comes with the
    /// request's id where one could be read.
    pub fn parse(text: &'a str) -> Result<Self, (Option<&'a RawValue>, Box<Fault>)> {
        // An array would be read as the fields of a request, in the order in which they happen to stand above.
        let read = if is_array(text) { None } else { serde_json::from_str(text).ok() };
        let Some(raw): Option<RawRequest<'a>> = read else { return Err((None, Box::new(not_a_request(text)))) };
        let id = match raw.id.map(RawValue::get) {
            None | Some("null") => None,
            Some(id) if id.starts_with(['{', '[', 't', 'f']) => {
                let fault = Fault::new(Code::InvalidRequest, "the id must be a string or a number");
                return Err((None, Box::new(fault.on("id"))));
            }
            Some(_) => raw.id,
        };
        if raw.jsonrpc.as_deref() != Some("2.0") {
            let fault = Fault::new(Code::InvalidRequest, "this is not JSON-RPC 2.0: give \"jsonrpc\": \"2.0\"");
            return Err((id, Box::new(fault.on("jsonrpc"))));
        }
        match raw.method {
            Some(method) => Ok(Self { id, method: method.into_owned(), params: raw.params }),
            None => {
                let fault = Fault::new(Code::InvalidRequest, "the request has no method");
                Err((id, Box::new(fault.on("method"))))
            }
        }
    }
}

fn is_array(text: &str) -> bool {
    text.trim_start().starts_with('[')
}

fn not_a_request(text: &str) -> Fault {
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(error) => Fault::new(Code::ParseError, format!("this is not valid JSON: {error}")),
        Ok(_) if is_array(text) => Fault::new(Code::InvalidRequest, "batches are not taken: send one request a frame"),
        Ok(_) => Fault::new(
            Code::InvalidRequest,
            "this is not a JSON-RPC 2.0 request: send an object with jsonrpc, id, method and params",
        ),
    }
}

/// The answer to a request: either `result` or `error`.
#[derive(Debug, Serialize)]
pub struct Response<'a, T: Serialize> {
    jsonrpc: &'static str,
    id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Fault>,
}

impl<'a, T: Serialize> Response<'a, T> {
    /// The request `id` was carried out.
    pub fn result(id: Option<&'a RawValue>, result: T) -> Self {
        Self { jsonrpc: "2.0", id, result: Some(result), error: None }
    }
}

impl<'a> Response<'a, ()> {
    /// The request `id` was refused; `None` where the id could not be read.
    pub fn error(id: Option<&'a RawValue>, error: &'a Fault) -> Self {
        Self { jsonrpc: "2.0", id, result: None, error: Some(error) }
    }
}

/// A message from the server that answers no request.
#[derive(Debug, Serialize)]
pub struct Notification<T: Serialize> {
    jsonrpc: &'static str,
    method: &'static str,
    params: T,
}

impl<T: Serialize> Notification<T> {
    /// The notification `method` with `params`.
    pub fn new(method: &'static str, params: T) -> Self {
        Self { jsonrpc: "2.0", method, params }
    }
}

/// Anything a server may send, as a client reads it.
#[derive(Debug, Deserialize)]
pub struct ServerMessage {
    /// The id of the request that this answers.
    #[serde(default)]
    pub id: Option<u64>,
    /// The name of the notification.
    #[serde(default)]
    pub method: Option<String>,
    /// The notification's content.
    #[serde(default)]
    pub params: Option<Box<RawValue>>,
    /// The answer, if the request was carried out.
    #[serde(default)]
    pub result: Option<Box<RawValue>>,
    /// The answer, if it was refused.
    #[serde(default)]
    pub error: Option<Fault>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Code {
        Request::parse(text).unwrap_err().1.code
    }

    #[test]
    fn a_request_is_read() {
        let request =
            Request::parse(r#"{"jsonrpc":"2.0","id":"a","method":"mission.get","params":{"mission":1}}"#).unwrap();
        assert_eq!(request.id.unwrap().get(), "\"a\"");
        assert_eq!(request.method, "mission.get");
        assert_eq!(request.params.unwrap().get(), r#"{"mission":1}"#);
    }

    #[test]
    fn what_is_not_a_request_is_refused_by_its_code() {
        assert_eq!(refused("{"), Code::ParseError);
        assert_eq!(refused("[]"), Code::InvalidRequest);
        assert_eq!(refused("7"), Code::InvalidRequest);
        assert_eq!(refused(r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#), Code::InvalidRequest);
        assert_eq!(refused(r#"{"jsonrpc":"2.0","id":1}"#), Code::InvalidRequest);
        assert_eq!(refused(r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#), Code::InvalidRequest);
        assert_eq!(refused(r#"{"jsonrpc":"2.0","id":1,"method":7}"#), Code::InvalidRequest);
    }

    #[test]
    fn an_array_is_a_batch_and_no_request_by_position() {
        for batch in ["[]", r#"["2.0",1,"session.ping",{}]"#, " [\"2.0\", null, \"auth.logout\"]"] {
            let (id, fault) = Request::parse(batch).unwrap_err();
            assert!(id.is_none() && fault.code == Code::InvalidRequest, "{batch}: {fault}");
            assert!(fault.message.contains("batches are not taken"), "{batch}: {fault}");
        }
    }

    #[test]
    fn envelopes_on_the_wire() {
        let id = RawValue::from_string("7".to_owned()).unwrap();
        insta::assert_json_snapshot!(Response::result(Some(&id), "done"));
        insta::assert_json_snapshot!(Response::error(Some(&id), &Fault::new(Code::MethodNotFound, "no such method")));
        insta::assert_json_snapshot!(Notification::new("session.heartbeat", serde_json::json!({})));
    }
}
