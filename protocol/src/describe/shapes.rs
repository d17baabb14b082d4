//! The shapes that operations and notifications share, each once and by its name.

use std::collections::BTreeMap;

use schemars::Schema;
use serde_json::{Map, Value};

use super::notifications::NOTIFICATIONS;
use crate::{Descriptor, operations::TABLE};

/// Where schemars has the shapes that a schema names, and where a collection has them.
const OF_ONE: &str = "#/$defs/";

/// The JSON schemas of all shapes, by name. One names another as `<prefix>Name`.
pub struct Shapes {
    /// What stands before a name, as in `#/components/schemas/`.
    prefix: &'static str,
    /// The schemas.
    pub all: BTreeMap<String, Value>,
    /// Names under which two different shapes were found; there must be none.
    pub clashes: Vec<String>,
}

impl Shapes {
    /// The shapes of all operations and notifications.
    pub fn gather(prefix: &'static str) -> Self {
        let mut shapes = Self { prefix, all: BTreeMap::new(), clashes: Vec::new() };
        for descriptor in TABLE {
            shapes.params(descriptor);
            shapes.name((descriptor.result)());
        }
        for announced in NOTIFICATIONS {
            shapes.name((announced.params)());
        }
        shapes
    }

    /// The name of the shape that is `schema`, which is noted with all that it names.
    pub fn name(&mut self, schema: Schema) -> String {
        let mut value = schema.to_value();
        let Some(object) = value.as_object_mut() else { return String::new() };
        let name = object.remove("title").and_then(|title| title.as_str().map(str::to_owned)).unwrap_or_default();
        object.remove("$schema");
        if let Some(Value::Object(named)) = object.remove("$defs") {
            for (name, shape) in named {
                self.insert(name, shape);
            }
        }
        self.insert(name.clone(), value);
        name
    }

    /// The name of the shape of an operation's own parameters, and the schemas of its guards by their names.
    pub fn params(&mut self, descriptor: &Descriptor) -> (String, Map<String, Value>) {
        let mut schema = (descriptor.params)();
        let mut guards = Map::new();
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            for guard in descriptor.guards {
                if let Some(field) = properties.remove(guard.name()) {
                    guards.insert(guard.name().to_owned(), field);
                }
            }
        }
        (self.name(schema), guards)
    }

    /// How other schemas name the shape.
    pub fn reference(&self, name: &str) -> Value {
        serde_json::json!({"$ref": format!("{}{name}", self.prefix)})
    }

    fn insert(&mut self, name: String, mut shape: Value) {
        self.lead(&mut shape);
        match self.all.get(&name) {
            Some(known) if *known != shape => self.clashes.push(name),
            Some(_) => {}
            None => {
                self.all.insert(name, shape);
            }
        }
    }

    /// Leads what names another shape to where it is now.
    fn lead(&self, value: &mut Value) {
        match value {
            Value::Object(object) => {
                for (key, value) in object.iter_mut() {
                    match value {
                        Value::String(path) if key == "$ref" => {
                            if let Some(name) = path.strip_prefix(OF_ONE) {
                                *path = format!("{}{name}", self.prefix);
                            }
                        }
                        value => self.lead(value),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.lead(value)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_has_a_name_of_its_own() {
        let shapes = Shapes::gather("#/");
        assert_eq!(shapes.clashes, Vec::<String>::new());
        assert!(shapes.all.contains_key("Mission") && !shapes.all.contains_key(""));
    }
}
