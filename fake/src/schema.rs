//! Structured output: a request that asks for JSON gets JSON, of its schema's shape.
//!
//! Agents ask for it to route and to name conversations; one that gets prose instead asks again until it gives up.

use serde_json::{Map, Value, json};

/// Levels of a schema that are followed, in levels; deeper values are `null`.
const MAX_DEPTH: usize = 32;
/// Values made for one schema, in values; further ones are `null`. Ends schemas that refer to themselves.
const MAX_VALUES: usize = 4096;
/// What strings say. Shorter than any length limit seen in clients' schemas.
const WORDS: &str = "as asked";

/// The schema that the answer is to follow: OpenAI's `response_format` and `text.format`, Anthropic's
/// `output_config.format` (before: `output_format`), Gemini's `responseJsonSchema` and `responseSchema`.
/// JSON without a schema is `{}`.
pub(crate) fn wanted(request: &Value) -> Option<Value> {
    let generation = &request["generationConfig"];
    if generation["responseMimeType"] == "application/json" {
        let given = [&generation["responseJsonSchema"], &generation["responseSchema"]];
        return Some(given.into_iter().find(|schema| schema.is_object()).cloned().unwrap_or(json!({})));
    }
    let formats = [
        &request["response_format"],
        &request["text"]["format"],
        &request["output_config"]["format"],
        &request["output_format"],
    ];
    formats.into_iter().find_map(|format| match format["type"].as_str()? {
        "json_schema" => {
            let given = [&format["json_schema"]["schema"], &format["schema"]];
            Some(given.into_iter().find(|schema| schema.is_object()).cloned().unwrap_or(json!({})))
        }
        "json_object" => Some(json!({})),
        _ => None,
    })
}

/// A value of the schema's shape, as JSON text.
pub(crate) fn answer(schema: &Value) -> String {
    let mut maker = Maker { root: schema, values: 0 };
    match maker.make(schema, 0) {
        // A schema without a type is answered with an object: that is what "JSON" means to clients.
        Value::Null => "{}".to_owned(),
        value => value.to_string(),
    }
}

struct Maker<'s> {
    root: &'s Value,
    values: usize,
}

impl Maker<'_> {
    fn make(&mut self, schema: &Value, depth: usize) -> Value {
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            return Value::Null;
        }
        if let Some(pointer) = schema["$ref"].as_str().and_then(|target| target.strip_prefix('#')) {
            let root = self.root;
            return root.pointer(pointer).map_or(Value::Null, |target| self.make(target, depth + 1));
        }
        if let Some(fixed) = schema.get("const").or_else(|| schema["enum"].get(0)) {
            return fixed.clone();
        }
        let choices = ["anyOf", "oneOf", "allOf"].iter().find_map(|name| schema[*name].as_array());
        if let Some(choice) = choices.and_then(|list| list.first()) {
            return self.make(choice, depth + 1);
        }
        // Gemini writes types in capitals; a list of types allows each.
        let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or_default();
        match kind.to_ascii_lowercase().as_str() {
            "array" => {
                let least = schema["minItems"].as_u64().unwrap_or(1).min(MAX_VALUES as u64);
                (0..least).map(|_| self.make(&schema["items"], depth + 1)).collect()
            }
            "string" => Value::from(WORDS),
            "integer" => schema["minimum"].as_i64().unwrap_or(1).into(),
            "number" => schema["minimum"].as_f64().unwrap_or(1.0).into(),
            "boolean" => Value::Bool(true),
            _ => match schema["properties"].as_object() {
                Some(fields) => {
                    let made = fields.iter().map(|(name, field)| (name.clone(), self.make(field, depth + 1)));
                    Value::Object(made.collect::<Map<String, Value>>())
                }
                None if kind.eq_ignore_ascii_case("object") => json!({}),
                None => Value::Null,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(schema: Value) -> Value {
        serde_json::from_str(&answer(&schema)).unwrap()
    }

    #[test]
    fn every_dialects_way_of_asking_is_found() {
        let schema = json!({"type": "object"});
        for request in [
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}),
            json!({"text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}}),
            json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}}),
            json!({"output_format": {"type": "json_schema", "schema": schema}}),
            json!({"generationConfig": {"responseMimeType": "application/json", "responseSchema": schema}}),
            json!({"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": schema}}),
        ] {
            assert_eq!(wanted(&request), Some(schema.clone()), "{request}");
        }
        assert_eq!(wanted(&json!({"response_format": {"type": "json_object"}})), Some(json!({})));
        assert_eq!(wanted(&json!({"response_format": {"type": "text"}})), None);
        assert_eq!(wanted(&json!({"text": {"verbosity": "low"}, "generationConfig": {}})), None);
    }

    #[test]
    fn values_have_the_schemas_shape() {
        let schema = json!({
            "type": "OBJECT",
            "properties": {
                "score": {"type": "INTEGER", "minimum": 7},
                "kind": {"enum": ["a", "b"]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "maybe": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
                "either": {"type": ["number", "null"]},
                "inner": {"$ref": "#/$defs/inner"},
            },
            "$defs": {"inner": {"type": "object", "properties": {"x": {"const": 3}}}},
        });
        let expected = json!({
            "score": 7, "kind": "a", "tags": [WORDS], "maybe": true, "either": 1.0, "inner": {"x": 3},
        });
        assert_eq!(made(schema), expected);
        assert_eq!(answer(&json!({})), "{}");
    }

    #[test]
    fn schemas_without_an_end_end() {
        let twice = json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}});
        assert!(answer(&twice).len() < 64 * MAX_VALUES);
        let nested = |levels: usize| {
            (0..levels).fold(json!({"type": "string"}), |inner, _| json!({"type": "array", "items": inner}))
        };
        assert!(answer(&nested(MAX_DEPTH)).contains(WORDS));
        assert!(!answer(&nested(MAX_DEPTH + 1)).contains(WORDS));
        let list = |items: usize| json!({"type": "array", "minItems": items, "items": {"type": "string"}});
        assert!(!answer(&list(MAX_VALUES - 1)).contains("null"));
        assert!(answer(&list(MAX_VALUES)).contains("null"));
    }
}
