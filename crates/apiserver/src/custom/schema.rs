//! A structural schema as a value, made once for each version of a definition.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::pattern::Pattern;

/// What a value may be, and what becomes of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema {
    /// `None`: any type, or that of [`Schema::int_or_string`].
    pub(crate) kind: Option<JsonType>,
    pub(crate) nullable: bool,
    pub(crate) int_or_string: bool,
    /// A whole Kubernetes object, with apiVersion, kind and metadata.
    pub(crate) embedded: bool,
    /// Unknown members stay.
    pub(crate) preserve: bool,
    pub(crate) default: Option<Value>,
    pub(crate) properties: BTreeMap<String, Schema>,
    pub(crate) additional: Additional,
    pub(crate) items: Option<Box<Schema>>,
    pub(crate) list: ListType,
    pub(crate) limits: Limits,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonType {
    Array,
    Boolean,
    Integer,
    Number,
    Object,
    String,
}

impl JsonType {
    pub(crate) const ALL: [JsonType; 6] =
        [JsonType::Array, JsonType::Boolean, JsonType::Integer, JsonType::Number, JsonType::Object, JsonType::String];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            JsonType::Array => "array",
            JsonType::Boolean => "boolean",
            JsonType::Integer => "integer",
            JsonType::Number => "number",
            JsonType::Object => "object",
            JsonType::String => "string",
        }
    }

    fn parse(text: &str) -> Option<JsonType> {
        JsonType::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether a value is of this type. Whole floats are integers, as in the original.
    pub(crate) fn fits(self, value: &Value) -> bool {
        match (self, value) {
            (JsonType::Array, Value::Array(_))
            | (JsonType::Boolean, Value::Bool(_))
            | (JsonType::Number, Value::Number(_))
            | (JsonType::Object, Value::Object(_))
            | (JsonType::String, Value::String(_)) => true,
            (JsonType::Integer, Value::Number(number)) => {
                !number.is_f64() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
            }
            _ => false,
        }
    }
}

/// The type of a value, as refusals name it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Number(_) if JsonType::Integer.fits(value) => "integer",
        value => JsonType::ALL.into_iter().find(|kind| kind.fits(value)).map_or("null", JsonType::as_str),
    }
}

/// What members are that no property names.
#[derive(Clone, Debug, Default)]
pub(crate) enum Additional {
    /// Unknown, and pruned.
    #[default]
    Unknown,
    /// Anything.
    Any,
    /// They stay, and are a mistake.
    Forbidden,
    Each(Box<Schema>),
}

/// How a list is merged, and what in it must be unique.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListType {
    #[default]
    Atomic,
    Set,
    /// By these members of its items.
    Map(Vec<String>),
}

/// What is demanded of a value besides its type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) required: Vec<String>,
    pub(crate) allowed: Vec<Value>,
    pub(crate) pattern: Option<Arc<Pattern>>,
    pub(crate) format: Option<String>,
    pub(crate) length_min: Option<u64>,
    pub(crate) length_max: Option<u64>,
    pub(crate) items_min: Option<u64>,
    pub(crate) items_max: Option<u64>,
    pub(crate) members_min: Option<u64>,
    pub(crate) members_max: Option<u64>,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) exclusive_maximum: bool,
    pub(crate) multiple_of: Option<f64>,
}

impl Schema {
    /// Reads a schema by itself.
    #[cfg(test)]
    pub(crate) fn parse(schema: &Value) -> Schema {
        Parser::default().schema(schema)
    }
}

/// Reads the schemas of one definition. Equal patterns are there once.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    patterns: BTreeMap<String, Arc<Pattern>>,
}

impl Parser {
    /// Reads a schema that was accepted. What cannot be read demands nothing.
    pub(crate) fn schema(&mut self, schema: &Value) -> Schema {
        let flag = |name: &str| schema[name] == Value::Bool(true);
        let additional = match &schema["additionalProperties"] {
            Value::Object(_) => Additional::Each(Box::new(self.schema(&schema["additionalProperties"]))),
            Value::Bool(true) => Additional::Any,
            Value::Bool(false) => Additional::Forbidden,
            _ => Additional::Unknown,
        };
        let properties = schema["properties"].as_object().into_iter().flatten();
        Schema {
            kind: schema["type"].as_str().and_then(JsonType::parse),
            nullable: flag("nullable"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            embedded: flag("x-kubernetes-embedded-resource"),
            preserve: flag("x-kubernetes-preserve-unknown-fields"),
            default: schema.get("default").filter(|default| !default.is_null()).cloned(),
            properties: properties.map(|(name, schema)| (name.clone(), self.schema(schema))).collect(),
            additional,
            items: self.boxed(&schema["items"]),
            list: list_type(schema),
            limits: self.limits(schema),
            all_of: self.list(&schema["allOf"]),
            any_of: self.list(&schema["anyOf"]),
            one_of: self.list(&schema["oneOf"]),
            not: self.boxed(&schema["not"]),
        }
    }

    fn list(&mut self, schemas: &Value) -> Vec<Schema> {
        schemas.as_array().into_iter().flatten().map(|schema| self.schema(schema)).collect()
    }

    fn boxed(&mut self, schema: &Value) -> Option<Box<Schema>> {
        schema.is_object().then(|| Box::new(self.schema(schema)))
    }

    fn pattern(&mut self, written: &str) -> Arc<Pattern> {
        let make = || Pattern::new(written);
        self.patterns.entry(written.to_owned()).or_insert_with(make).clone()
    }

    fn limits(&mut self, schema: &Value) -> Limits {
        let count = |name: &str| schema[name].as_u64();
        let text = |name: &str| schema[name].as_str().filter(|text| !text.is_empty());
        Limits {
            required: texts(&schema["required"]),
            allowed: schema["enum"].as_array().cloned().unwrap_or_default(),
            pattern: text("pattern").map(|written| self.pattern(written)),
            format: text("format").map(str::to_owned),
            length_min: count("minLength"),
            length_max: count("maxLength"),
            items_min: count("minItems"),
            items_max: count("maxItems"),
            members_min: count("minProperties"),
            members_max: count("maxProperties"),
            minimum: schema["minimum"].as_f64(),
            maximum: schema["maximum"].as_f64(),
            exclusive_minimum: schema["exclusiveMinimum"] == Value::Bool(true),
            exclusive_maximum: schema["exclusiveMaximum"] == Value::Bool(true),
            multiple_of: schema["multipleOf"].as_f64(),
        }
    }
}

pub(crate) fn list_type(schema: &Value) -> ListType {
    match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => ListType::Set,
        Some("map") => ListType::Map(texts(&schema["x-kubernetes-list-map-keys"])),
        _ => ListType::Atomic,
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The members of an object that has any.
pub(crate) fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}
