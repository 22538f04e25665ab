//! The JSON Schema of the configuration, for editors and other programs.

use super::document::Document;
use super::form::{Field, Form, Group, Presence, Shape};
use serde_json::{Map, Value as Json, json};

/// What a string with a variable in it looks like; it may stand in the place of any scalar.
const VARIABLE: &str = "\\$\\{.+\\}";

/// The schema, as JSON Schema 2020-12. Groups are definitions by name.
pub fn schema() -> Json {
    let mut definitions = Map::new();
    let root = match Document::shape() {
        Shape::Group(group) => object(&group, &mut definitions),
        other => of(&other, &mut definitions),
    };
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("Narrows configuration"));
    if let Json::Object(root) = root {
        schema.extend(root);
    }
    schema.insert("$defs".to_owned(), Json::Object(definitions));
    Json::Object(schema)
}

/// The schema as a file.
pub fn text() -> String {
    format!("{:#}\n", schema())
}

fn object(group: &Group, definitions: &mut Map<String, Json>) -> Json {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in &group.fields {
        properties.insert(field.name.to_owned(), property(field, definitions));
        if matches!(field.presence, Presence::Required | Presence::RequiredOr(_)) {
            required.push(field.name);
        }
    }
    let mut object = json!({
        "type": "object",
        "description": group.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn property(field: &Field, definitions: &mut Map<String, Json>) -> Json {
    let mut property = of(&field.shape, definitions);
    property["description"] = json!(field.doc);
    if let Presence::Default(text) = field.presence
        && !text.starts_with(['{', '['])
    {
        property["default"] = match (text.parse::<u64>(), text.parse::<bool>()) {
            (Ok(number), _) => json!(number),
            (_, Ok(flag)) => json!(flag),
            _ => json!(text),
        };
    }
    property
}

fn of(shape: &Shape, definitions: &mut Map<String, Json>) -> Json {
    match shape {
        Shape::Scalar { types, pattern, .. } => scalar(types, *pattern),
        Shape::Words(words) => {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": VARIABLE }] })
        }
        Shape::Group(group) => {
            if !definitions.contains_key(group.name) {
                // The name is taken first, so that a group may hold itself.
                definitions.insert(group.name.to_owned(), Json::Null);
                let object = object(group, definitions);
                definitions.insert(group.name.to_owned(), object);
            }
            json!({ "$ref": format!("#/$defs/{}", group.name) })
        }
        Shape::List(item) => json!({ "type": "array", "items": of(item, definitions) }),
        Shape::Map { value, .. } => {
            json!({ "type": "object", "additionalProperties": of(value, definitions) })
        }
        Shape::Either(shapes) => {
            let any: Vec<Json> = shapes.iter().map(|shape| of(shape, definitions)).collect();
            json!({ "anyOf": any })
        }
    }
}

fn scalar(types: &[&str], pattern: Option<&str>) -> Json {
    match (types, pattern) {
        (["string"], None) => json!({ "type": "string" }),
        (["string"], Some(pattern)) => json!({ "type": "string", "pattern": pattern }),
        (types, Some(pattern)) => json!({ "type": types, "pattern": pattern }),
        ([one], None) => json!({ "type": [one, "string"], "pattern": VARIABLE }),
        (types, None) => json!({ "type": types }),
    }
}
