//! Keeps docs/PROTOCOL.md what the operations table says. `UPDATE_DOCS=1 cargo test -p flightdeck-protocol --test document` rewrites it.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use flightdeck_protocol::{
    Code,
    describe::{NOTIFICATIONS, Shapes},
    notification::Close,
    operations::{Over, TABLE, WhileStopping, Who},
};
use serde_json::Value;

/// What stands before the tables, written by hand.
const INTRODUCTION: &str = include_str!("protocol_introduction.md");

#[test]
fn the_document_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PROTOCOL.md");
    let wanted = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/PROTOCOL.md is stale; run UPDATE_DOCS=1 cargo test -p flightdeck-protocol --test document"
    );
}

fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n## Operations\n");
    for descriptor in TABLE {
        let _ = writeln!(text, "\n### `{}`\n\n{}\n", descriptor.method, descriptor.doc);
        let _ = writeln!(text, "- who: {}", who(descriptor.who));
        match descriptor.over {
            Over::Any => {}
            Over::Socket => text.push_str("- over a socket alone\n"),
            Over::Download => text.push_str("- by its route alone: the answer is bytes\n"),
        }
        if descriptor.while_stopping == WhileStopping::Allowed {
            text.push_str("- also while the server stops\n");
        }
        for route in descriptor.rest {
            let _ = writeln!(text, "- `{} {}` → {}", route.verb.name(), route.path, route.status);
        }
        if !descriptor.faults.is_empty() {
            let names: Vec<String> = descriptor.faults.iter().map(|code| format!("`{}`", code.name())).collect();
            let _ = writeln!(text, "- may be refused with {}", names.join(", "));
        }
        fields(&mut text, "Parameters", &(descriptor.params)().to_value());
        fields(&mut text, "Answer", &(descriptor.result)().to_value());
    }
    text.push_str("\n## Notifications\n");
    for announced in NOTIFICATIONS {
        let _ = writeln!(text, "\n### `{}`\n\n{}", announced.method, announced.doc);
        fields(&mut text, "Content", &(announced.params)().to_value());
    }
    shapes(&mut text);
    text.push_str("\n## Error codes\n\nEvery operation may also be refused with those of JSON-RPC, `unauthenticated`, `forbidden` and `internal`.\n\n");
    text.push_str("| code | name | kind | HTTP | temporary | what it means |\n|---|---|---|---|---|---|\n");
    for code in Code::ALL {
        let kind = serde_json::to_value(code.kind()).unwrap();
        let kind = kind.as_str().unwrap();
        let temporary = if code.temporary() { "yes" } else { "no" };
        let (number, name, doc) = (code.number(), code.name(), code.doc());
        let _ =
            writeln!(text, "| {number} | `{name}` | {kind} | {} | {temporary} | {doc} |", code.kind().http_status());
    }
    text.push_str("\n## Close codes\n\n| code | reason | come back | what it means |\n|---|---|---|---|\n");
    for close in Close::ALL {
        let back = if close.notice().reconnect_after_ms.is_some() { "yes" } else { "no" };
        let _ = writeln!(text, "| {} | {} | {back} | {} |", close.code(), close.reason(), close.doc());
    }
    text
}

/// All that the tables above name.
fn shapes(text: &mut String) {
    let all = Shapes::gather("").all;
    let mut named = BTreeSet::new();
    all.values().for_each(|schema| names(schema, &mut named));
    let is_plain = |schema: &Value| schema["properties"].is_null() && schema["oneOf"].is_null();
    text.push_str("\n## Shapes\n\n| name | type | what it is |\n|---|---|---|\n");
    for name in named.iter().filter(|name| is_plain(&all[**name])) {
        let schema = &all[*name];
        let format = schema["format"].as_str().unwrap_or_default();
        let _ = writeln!(text, "| {name} | {} ({format}) | {} |", kind(schema), in_a_line(schema));
    }
    for name in named.iter().filter(|name| !is_plain(&all[**name])) {
        let schema = &all[*name];
        let _ = writeln!(text, "\n### {name}\n\n{}", in_a_line(schema));
        fields(text, "Fields", schema);
        let variants = schema["oneOf"].as_array().map_or(&[][..], Vec::as_slice);
        if variants.iter().all(|variant| variant["const"].is_string()) && !variants.is_empty() {
            text.push_str("\n| value | what it is |\n|---|---|\n");
            for variant in variants {
                let _ = writeln!(text, "| `{}` | {} |", variant["const"].as_str().unwrap(), in_a_line(variant));
            }
        } else {
            variants.iter().for_each(|variant| alternative(text, variant));
        }
    }
}

/// One of the forms of a shape, told by a field that has a value of its own in each.
fn alternative(text: &mut String, variant: &Value) {
    let properties = variant["properties"].as_object().expect("an object");
    let (tag, value) =
        properties.iter().find_map(|(name, field)| Some((name, field["const"].as_str()?))).expect("a field that tells");
    let mut others = variant.clone();
    others["properties"].as_object_mut().unwrap().remove(tag);
    let _ = writeln!(text, "\n#### `{tag}: \"{value}\"`\n\n{}", in_a_line(variant));
    fields(text, "Fields", &others);
}

/// The shapes that a schema names.
fn names<'a>(schema: &'a Value, named: &mut BTreeSet<&'a str>) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                match value.as_str() {
                    Some(name) if key == "$ref" => drop(named.insert(name)),
                    _ => names(value, named),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| names(value, named)),
        _ => {}
    }
}

fn in_a_line(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}

fn who(who: Who) -> String {
    match who {
        Who::Anyone => "anyone".to_owned(),
        Who::SignedIn => "everyone who is signed in".to_owned(),
        Who::Roles(roles) => roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(", "),
    }
}

fn fields(text: &mut String, heading: &str, schema: &Value) {
    let Some(properties) = schema["properties"].as_object().filter(|properties| !properties.is_empty()) else { return };
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let _ = writeln!(text, "\n{heading}:\n\n| name | type | | what it is |\n|---|---|---|---|");
    for (name, field) in properties {
        let needed = if required.contains(&name.as_str()) { "" } else { "optional" };
        let _ = writeln!(text, "| `{name}` | {} | {needed} | {} |", kind(field), in_a_line(field));
    }
}

/// A field's type in a word.
fn kind(field: &Value) -> String {
    if let Some(reference) = field["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    match &field["type"] {
        Value::String(kind) if kind == "array" => format!("list of {}", kind_of_items(field)),
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect();
            kinds.join(" or ")
        }
        _ => match field["anyOf"].as_array() {
            Some(kinds) => {
                kinds.iter().filter(|kind| kind["type"] != "null").map(kind).collect::<Vec<_>>().join(" or ")
            }
            None => "anything".to_owned(),
        },
    }
}

fn kind_of_items(field: &Value) -> String {
    kind(&field["items"])
}
