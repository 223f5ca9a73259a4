//! The types that a schema gives to the values that rules read.

use std::sync::Arc;

use everynode_rules::{Object, Type};
use serde_json::Value;

use super::super::schema::members;

/// A type, and how few bytes a value of it takes in JSON: lists hold as many as fit into a request.
pub(super) struct Declared {
    pub(super) of: Type,
    pub(super) bytes_min: u64,
}

/// Members of every object that is one of Kubernetes' own.
const OF_OBJECTS: [&str; 2] = ["apiVersion", "kind"];
const OF_METADATA: [&str; 2] = ["name", "generateName"];

/// `None`: nothing is known of the values, and no rule can read them.
pub(super) fn declare(schema: &Value, is_object: bool) -> Option<Declared> {
    let flag = |name: &str| schema[name] == Value::Bool(true);
    if flag("x-kubernetes-int-or-string") {
        return Some(Declared { of: Type::Any, bytes_min: 1 });
    }
    let count = |name: &str| schema[name].as_u64();
    let (of, bytes_min) = match schema["type"].as_str()? {
        "boolean" => (Type::Bool, 4),
        "integer" => (Type::Int, 1),
        "number" => (Type::Double, 1),
        "string" => (text(schema), 2),
        "array" => {
            let item = declare(&schema["items"], is_whole_object(&schema["items"]))?;
            (Type::list(item.of, count("maxItems"), item.bytes_min), 2)
        }
        _ if schema["additionalProperties"].is_object() => {
            let value = declare(&schema["additionalProperties"], is_whole_object(&schema["additionalProperties"]))?;
            (Type::map(value.of, count("maxProperties"), value.bytes_min), 2)
        }
        _ => object(schema, is_object || is_whole_object(schema)),
    };
    Some(Declared { of, bytes_min })
}

/// Whether values are whole objects, with apiVersion, kind and metadata.
pub(super) fn is_whole_object(schema: &Value) -> bool {
    schema["x-kubernetes-embedded-resource"] == Value::Bool(true)
}

fn text(schema: &Value) -> Type {
    if let Some(allowed) = schema["enum"].as_array() {
        let longest = allowed.iter().filter_map(Value::as_str).map(str::len).max().unwrap_or_default();
        return Type::Text { size_max: longest as u64 };
    }
    match schema["format"].as_str() {
        Some("date" | "date-time") => Type::Timestamp,
        Some("duration") => Type::Duration,
        Some("byte") => Type::Bytes { size_max: Type::text(schema["maxLength"].as_u64()).size() },
        _ => Type::text(schema["maxLength"].as_u64()),
    }
}

fn object(schema: &Value, is_object: bool) -> (Type, u64) {
    let mut fields = Vec::new();
    let mut bytes_min = 2;
    let is_required = |name: &str| {
        schema["required"].as_array().is_some_and(|required| required.iter().any(|required| required == name))
    };
    for (name, property) in members(&schema["properties"]).filter(|(name, _)| !is_object || name.as_str() != "metadata")
    {
        let Some(declared) = declare(property, false) else { continue };
        if is_required(name) && property["default"].is_null() {
            bytes_min += name.len() as u64 + 4 + declared.bytes_min;
        }
        fields.push((name.clone(), declared.of));
    }
    if is_object {
        let texts = |names: [&str; 2]| names.map(|name| (name.to_owned(), Type::text(None)));
        let known: Vec<String> = fields.iter().map(|(name, _)| name.clone()).collect();
        fields.extend(texts(OF_OBJECTS).into_iter().filter(|(name, _)| !known.contains(name)));
        let metadata = Type::Object(Arc::new(Object::new(texts(OF_METADATA))));
        fields.push(("metadata".to_owned(), metadata));
    }
    (Type::Object(Arc::new(Object::new(fields))), bytes_min)
}
