//! The TypeScript of the protocol: types of all shapes, maps of operations and notifications, tables of codes.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    NOTIFICATIONS, Shapes,
    openrpc::{over, roles},
};
use crate::{
    Code, PROFILE,
    model::{RECENT_ACTIVITY, RECENT_MESSAGES},
    notification::Close,
    operations::{Guard, TABLE},
};

/// What stands before a name that a schema refers to.
const PREFIX: &str = "#/";
/// Lines that are longer than this are broken at their members.
const WIDTH: usize = 120;

/// The module, whole.
pub fn typescript() -> String {
    let mut text = String::from(
        "// @generated from the operations table of the protocol crate, by its test `typescript`; UPDATE_DOCS=1 makes it anew.\n",
    );
    let mut shapes = Shapes::gather(PREFIX);
    let _ = write!(
        text,
        "\n/** The protocol that this is about. */\nexport const PROFILE = {};\n\
         /** How many of the newest activities a mission carries with it. */\n\
         export const RECENT_ACTIVITY = {RECENT_ACTIVITY};\n\
         /** How many of the newest messages a mission carries with it. */\n\
         export const RECENT_MESSAGES = {RECENT_MESSAGES};\n",
        quoted(PROFILE)
    );
    let names: Vec<String> = shapes.all.keys().cloned().collect();
    for name in &names {
        if let Some(shape) = shapes.all.get(name) {
            declare(&mut text, name, shape);
        }
    }
    guards(&mut text, &mut shapes);
    methods(&mut text, &mut shapes);
    notifications(&mut text, &mut shapes);
    codes(&mut text);
    text
}

/// `export interface` for an object, `export type` for anything else.
fn declare(text: &mut String, name: &str, shape: &Value) {
    text.push('\n');
    comment(text, doc(shape), 0);
    let plain_object = shape["properties"].is_object() && shape["oneOf"].is_null() && shape["anyOf"].is_null();
    if plain_object {
        let _ = writeln!(text, "export interface {name} {}", members(shape, 0));
    } else {
        let _ = writeln!(text, "export type {name} ={};", alternatives(shape));
    }
}

/// What a type is equal to: each alternative on a line of its own where they say something of themselves.
fn alternatives(shape: &Value) -> String {
    let described = |of: &Value| of.as_array().filter(|all| all.iter().any(|one| !doc(one).is_empty())).cloned();
    let Some(all) = described(&shape["oneOf"]) else { return format!(" {}", type_of(shape, 0)) };
    let mut text = String::new();
    let shared = shape["properties"].is_object();
    if shared {
        let _ = write!(text, " {} & (", members(shape, 0));
    }
    for one in &all {
        text.push('\n');
        comment(&mut text, doc(one), 1);
        let _ = write!(text, "  | {}", type_of(one, 1));
    }
    if shared {
        text.push_str("\n)");
    }
    text
}

/// The type that a schema stands for, at `depth` of indentation.
fn type_of(schema: &Value, depth: usize) -> String {
    if let Some(path) = schema["$ref"].as_str() {
        return path.strip_prefix(PREFIX).unwrap_or(path).to_owned();
    }
    if !schema["const"].is_null() {
        return schema["const"].to_string();
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    for several in ["oneOf", "anyOf"] {
        if let Some(all) = schema[several].as_array() {
            let union = all.iter().map(|one| type_of(one, depth)).collect::<Vec<_>>().join(" | ");
            return if schema["properties"].is_object() {
                format!("{} & ({union})", members(schema, depth))
            } else {
                union
            };
        }
    }
    match &schema["type"] {
        Value::String(kind) => of_kind(kind, schema, depth),
        Value::Array(kinds) => {
            let kinds = kinds.iter().filter_map(Value::as_str);
            kinds.map(|kind| of_kind(kind, schema, depth)).collect::<Vec<_>>().join(" | ")
        }
        _ => "unknown".to_owned(),
    }
}

fn of_kind(kind: &str, schema: &Value, depth: usize) -> String {
    match kind {
        "integer" | "number" => "number".to_owned(),
        "array" => {
            let items = type_of(&schema["items"], depth);
            if items.contains(" | ") || items.contains(" & ") { format!("({items})[]") } else { format!("{items}[]") }
        }
        "object" if schema["properties"].is_object() => members(schema, depth),
        "object" if schema["additionalProperties"].is_object() => {
            format!("{{ [key: string]: {} }}", type_of(&schema["additionalProperties"], depth))
        }
        "object" if schema["additionalProperties"] == false => "Record<string, never>".to_owned(),
        "object" => "{ [key: string]: unknown }".to_owned(),
        other => other.to_owned(),
    }
}

/// The members of an object in braces; on one line where they are few and say nothing of themselves.
fn members(schema: &Value, depth: usize) -> String {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(properties) = schema["properties"].as_object() else { return "{}".to_owned() };
    let fields: Vec<(&str, String)> = properties
        .iter()
        .map(|(name, field)| {
            let kind = type_of(field, depth + 1);
            let optional = !required.contains(&name.as_str());
            let (mark, kind) = if optional { ("?", without_null(&kind)) } else { ("", kind) };
            (doc(field), format!("{name}{mark}: {kind};"))
        })
        .collect();
    if fields.iter().all(|(doc, _)| doc.is_empty()) {
        let line = fields.iter().map(|(_, field)| field.as_str()).collect::<Vec<_>>().join(" ");
        if line.len() + 2 * depth < WIDTH && !line.contains('\n') {
            return format!("{{ {line} }}");
        }
    }
    let mut text = String::from("{\n");
    for (doc, field) in &fields {
        comment(&mut text, doc, depth + 1);
        let _ = writeln!(text, "{:indent$}{field}", "", indent = 2 * (depth + 1));
    }
    let _ = write!(text, "{:indent$}}}", "", indent = 2 * depth);
    text
}

/// What is optional is left out, and not null.
fn without_null(kind: &str) -> String {
    kind.strip_suffix(" | null").unwrap_or(kind).to_owned()
}

/// The guards, each as an interface.
fn guards(text: &mut String, shapes: &mut Shapes) {
    for guard in [Guard::Idem, Guard::IfSeq] {
        let schemas = TABLE.iter().find(|row| row.guards.contains(&guard)).map(|row| shapes.params(row).1);
        let Some(field) = schemas.and_then(|mut schemas| schemas.remove(guard.name())) else { continue };
        text.push('\n');
        comment(text, "A parameter that guards a change.", 0);
        let shape = json!({"properties": {guard.name(): field}});
        let _ = writeln!(text, "export interface {} {}", guard_type(guard), members(&shape, 0));
    }
}

fn guard_type(guard: Guard) -> &'static str {
    match guard {
        Guard::Idem => "Idem",
        Guard::IfSeq => "IfSeq",
    }
}

fn methods(text: &mut String, shapes: &mut Shapes) {
    text.push_str("\n/** Every operation: what it takes and what it gives. */\nexport interface Methods {\n");
    for descriptor in TABLE {
        let mut about = descriptor.doc.to_owned();
        if !descriptor.faults.is_empty() {
            let names: Vec<String> = descriptor.faults.iter().map(|code| format!("`{}`", code.name())).collect();
            let _ = write!(about, " May be refused with {}.", names.join(", "));
        }
        comment(text, &about, 1);
        let (mut params, _) = shapes.params(descriptor);
        for guard in descriptor.guards {
            params.push_str(" & ");
            params.push_str(guard_type(*guard));
        }
        let result = shapes.name((descriptor.result)());
        let _ = writeln!(text, "  {}: {{ params: {params}; result: {result} }};", quoted(descriptor.method));
    }
    text.push_str(
        "}\n\n/** The name of an operation. */\nexport type Method = keyof Methods;\n\n\
         /** What a client has to know of an operation to call it. */\n\
         export interface MethodFacts {\n\
         \x20 /** Who may call it: roles, or `signed_in`, or `anyone`. */\n\
         \x20 readonly who: \"anyone\" | \"signed_in\" | readonly Role[];\n\
         \x20 /** By what it can be called: `socket` is about the session itself, `download` is by its route alone. */\n\
         \x20 readonly over: \"any\" | \"socket\" | \"download\";\n\
         \x20 /** Whether it only reads, so that it can be asked again without harm. */\n\
         \x20 readonly reads: boolean;\n\
         \x20 /** Whether it takes `idem`: a name by which a repeat gets the first answer. */\n\
         \x20 readonly idem: boolean;\n\
         \x20 /** Whether it takes `if_seq`: the position after which nothing may have happened. */\n\
         \x20 readonly ifSeq: boolean;\n\
         }\n\n/** What a client has to know of each operation. */\nexport const METHODS = {\n",
    );
    for descriptor in TABLE {
        let _ = writeln!(
            text,
            "  {}: {{ who: {}, over: {}, reads: {}, idem: {}, ifSeq: {} }},",
            quoted(descriptor.method),
            spaced(&roles(descriptor.who)),
            quoted(over(descriptor.over)),
            descriptor.reads(),
            descriptor.guards.contains(&Guard::Idem),
            descriptor.guards.contains(&Guard::IfSeq),
        );
    }
    text.push_str("} as const satisfies Record<Method, MethodFacts>;\n");
}

fn notifications(text: &mut String, shapes: &mut Shapes) {
    text.push_str(
        "\n/** Every notification that a server sends, and what it holds. */\nexport interface Notifications {\n",
    );
    for announced in NOTIFICATIONS {
        comment(text, announced.doc, 1);
        let params = shapes.name((announced.params)());
        let _ = writeln!(text, "  {}: {params};", quoted(announced.method));
    }
    text.push_str("}\n");
}

fn codes(text: &mut String) {
    text.push_str("\n/** Every code that a request may be refused with, by its name. */\nexport const FAULTS = {\n");
    for code in Code::ALL {
        comment(text, code.doc(), 1);
        let kind = serde_json::to_value(code.kind()).unwrap_or_default();
        let (name, number, temporary) = (code.name(), code.number(), code.temporary());
        let _ = writeln!(text, "  {name}: {{ code: {number}, kind: {kind}, temporary: {temporary} }},");
    }
    text.push_str("} as const satisfies Record<string, { code: number; kind: Kind; temporary: boolean }>;\n");
    text.push_str("\n/** The name of a code. */\nexport type FaultName = keyof typeof FAULTS;\n");
    text.push_str("\n/** Every code that the server closes a socket with: whether to come back. */\nexport const CLOSE_CODES = {\n");
    for close in Close::ALL {
        comment(text, close.doc(), 1);
        let back = close.notice().reconnect_after_ms.is_some();
        let _ = writeln!(text, "  {}: {{ reason: {}, comeBack: {back} }},", close.code(), quoted(close.reason()));
    }
    text.push_str("} as const satisfies Record<number, { reason: string; comeBack: boolean }>;\n");
}

fn doc(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// A comment for people who read the types in their editor.
fn comment(text: &mut String, doc: &str, depth: usize) {
    if doc.is_empty() {
        return;
    }
    let indent = 2 * depth;
    let lines: Vec<String> = doc.lines().map(|line| line.replace("*/", "* /")).collect();
    match &lines[..] {
        [line] => {
            let _ = writeln!(text, "{:indent$}/** {line} */", "");
        }
        lines => {
            let _ = writeln!(text, "{:indent$}/**", "");
            for line in lines {
                let _ = writeln!(text, "{:indent$}{}", "", format!(" * {line}").trim_end());
            }
            let _ = writeln!(text, "{:indent$} */", "");
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A list with a space after each comma.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            format!("[{}]", values.iter().map(Value::to_string).collect::<Vec<_>>().join(", "))
        }
        value => value.to_string(),
    }
}
