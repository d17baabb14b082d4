//! The OpenRPC 1.3.2 document: every operation, notification, error and close code, for programs to read.

use serde_json::{Map, Value, json};

use super::{NOTIFICATIONS, Shapes};
use crate::{
    Code, Descriptor, PROFILE,
    notification::Close,
    operations::{Over, TABLE, WhileStopping, Who},
};

const SCHEMAS: &str = "#/components/schemas/";
const ERRORS: &str = "#/components/errors/";

/// What any operation may be refused with, besides what its own row says.
const EVERYWHERE: &[Code] = &[
    Code::ParseError,
    Code::InvalidRequest,
    Code::MethodNotFound,
    Code::InvalidParams,
    Code::Internal,
    Code::Overloaded,
    Code::RateLimited,
];

/// The document, as JSON.
pub fn openrpc() -> Value {
    let mut shapes = Shapes::gather(SCHEMAS);
    let methods: Vec<Value> = TABLE.iter().map(|descriptor| method(&mut shapes, descriptor)).collect();
    let notifications: Vec<Value> = NOTIFICATIONS
        .iter()
        .map(|announced| {
            let name = shapes.name((announced.params)());
            json!({"name": announced.method, "summary": announced.doc, "params": shapes.reference(&name)})
        })
        .collect();
    let errors: Map<String, Value> = Code::ALL.iter().map(|code| (code.name().to_owned(), error(*code))).collect();
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "Flightdeck",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!(
                "Profile {PROFILE}: JSON-RPC 2.0 over a WebSocket at /ws, one message a text frame, no batches; what \
                 is not about the session can be posted to /api/rpc, and has a REST route where x-rest names one."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "servers": [
            {"name": "socket", "url": "/ws", "summary": "A session: calls, and notifications from the server."},
            {"name": "rpc", "url": "/api/rpc", "summary": "One call a POST request."},
        ],
        "methods": methods,
        "components": {"schemas": shapes.all, "errors": errors},
        "x-notifications": notifications,
        "x-close-codes": Close::ALL.iter().map(|close| close_code(*close)).collect::<Vec<_>>(),
    })
}

fn method(shapes: &mut Shapes, descriptor: &Descriptor) -> Value {
    let (schema, guards) = shapes.params(descriptor);
    let params = params(shapes, &schema, &guards);
    let result = shapes.name((descriptor.result)());
    let mut codes: Vec<Code> = Vec::new();
    if descriptor.who != Who::Anyone {
        codes.push(Code::Unauthenticated);
    }
    if matches!(descriptor.who, Who::Roles(_)) {
        codes.push(Code::Forbidden);
    }
    for code in [descriptor.faults, EVERYWHERE].into_iter().flatten() {
        if !codes.contains(code) {
            codes.push(*code);
        }
    }
    json!({
        "name": descriptor.method,
        "summary": descriptor.doc,
        "paramStructure": "by-name",
        "params": params,
        "result": {"name": result, "schema": shapes.reference(&result)},
        "errors": codes.iter().map(|code| json!({"$ref": format!("{ERRORS}{}", code.name())})).collect::<Vec<_>>(),
        "x-roles": roles(descriptor.who),
        "x-over": over(descriptor.over),
        "x-while-stopping": descriptor.while_stopping == WhileStopping::Allowed,
        "x-rest": descriptor
            .rest
            .iter()
            .map(|route| json!({"method": route.verb.name(), "path": route.path, "status": route.status}))
            .collect::<Vec<_>>(),
    })
}

/// The parameters one by one: those that are needed first, as OpenRPC wants it.
fn params(shapes: &Shapes, name: &str, guards: &Map<String, Value>) -> Vec<Value> {
    let Some(schema) = shapes.all.get(name) else { return Vec::new() };
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = schema["properties"].as_object();
    let mut found: Vec<(bool, Value)> = fields
        .into_iter()
        .flatten()
        .chain(guards)
        .map(|(name, field)| {
            let needed = required.contains(&name.as_str());
            let mut schema = field.clone();
            let doc = schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_default();
            (needed, json!({"name": name, "description": doc, "required": needed, "schema": schema}))
        })
        .collect();
    found.sort_by_key(|(needed, _)| !needed);
    found.into_iter().map(|(_, param)| param).collect()
}

/// Who may call: names of roles, `anyone`, or `signed_in`.
pub(super) fn roles(who: Who) -> Value {
    match who {
        Who::Anyone => json!("anyone"),
        Who::SignedIn => json!("signed_in"),
        Who::Roles(roles) => roles.iter().map(|role| role.name()).collect(),
    }
}

/// By what it can be called.
pub(super) fn over(over: Over) -> &'static str {
    match over {
        Over::Any => "any",
        Over::Socket => "socket",
        Over::Download => "download",
    }
}

fn error(code: Code) -> Value {
    json!({
        "code": code.number(),
        "message": code.doc(),
        "data": {"kind": code.kind(), "name": code.name(), "temporary": code.temporary()},
    })
}

fn close_code(close: Close) -> Value {
    let come_back = close.notice().reconnect_after_ms.is_some();
    json!({"code": close.code(), "reason": close.reason(), "description": close.doc(), "come_back": come_back})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` in `value`.
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_to_something() {
        let document = openrpc();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100, "{}", found.len());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }

    #[test]
    fn every_operation_is_there_with_its_routes_rights_and_errors() {
        let document = openrpc();
        let methods = document["methods"].as_array().unwrap();
        assert_eq!(methods.len(), TABLE.len());
        let pause = methods.iter().find(|method| method["name"] == "mission.pause").unwrap();
        assert_eq!(pause["x-rest"][0]["path"], "/api/missions/{mission}/pause");
        assert_eq!(pause["x-roles"], json!(["admin", "officer", "manager"]));
        assert_eq!(pause["params"][0]["name"], "mission");
        assert_eq!(pause["params"][0]["required"], true);
        assert_eq!(pause["params"][1]["name"], "idem");
        assert_eq!(pause["params"][2]["name"], "if_seq");
        let errors = pause["errors"].as_array().unwrap();
        assert!(errors.contains(&json!({"$ref": "#/components/errors/illegal_transition"})));
        let codes = &document["components"]["errors"];
        assert_eq!(codes.as_object().unwrap().len(), Code::ALL.len());
    }
}
