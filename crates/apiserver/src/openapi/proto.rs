//! Version 2 in gnostic's protobuf encoding: `openapi.v2.Document` of `OpenAPIv2.proto`.
//!
//! Only what our own document uses is encoded; a test decodes it again and compares. Each function
//! writes one message; the numbers are the field numbers of the published definition.

use serde_json::{Map, Value};

/// The encoded document.
pub(super) fn document(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, &document["swagger"]);
    out.message(2, |info| {
        info.text(1, &document["info"]["title"]);
        info.text(2, &document["info"]["version"]);
    });
    out.message(8, |paths| named(paths, 2, &document["paths"], path_item));
    out.message(9, |definitions| named(definitions, 1, &document["definitions"], schema));
    out.0
}

/// A message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A string; absent ones are not written.
    fn text(&mut self, field: u64, value: &Value) {
        if let Some(text) = value.as_str() {
            self.bytes(field, text.as_bytes());
        }
    }

    fn texts(&mut self, field: u64, value: &Value) {
        for item in items(value) {
            self.text(field, item);
        }
    }

    fn flag(&mut self, field: u64, value: &Value) {
        if *value == true {
            self.varint(field << 3);
            self.varint(1);
        }
    }

    fn message(&mut self, field: u64, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// A map as gnostic writes it: repeated pairs of name (1) and value (2).
fn named(out: &mut Message, field: u64, map: &Value, write: fn(&mut Message, &Value)) {
    for (name, value) in members(map) {
        out.message(field, |pair| {
            pair.bytes(1, name.as_bytes());
            pair.message(2, |inner| write(inner, value));
        });
    }
}

/// The `x-…` members. A value is carried as YAML text, and JSON is YAML.
fn extensions(out: &mut Message, field: u64, owner: &Value) {
    for (name, value) in members(owner).filter(|(name, _)| name.starts_with("x-")) {
        out.message(field, |pair| {
            pair.bytes(1, name.as_bytes());
            pair.message(2, |any| any.bytes(2, format!("{value}\n").as_bytes()));
        });
    }
}

fn path_item(out: &mut Message, item: &Value) {
    for (field, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(method) = item.get(method) {
            out.message(field, |inner| operation(inner, method));
        }
    }
    parameters(out, 9, &item["parameters"]);
}

fn operation(out: &mut Message, operation: &Value) {
    out.texts(1, &operation["tags"]);
    out.text(3, &operation["description"]);
    out.text(5, &operation["operationId"]);
    out.texts(6, &operation["produces"]);
    out.texts(7, &operation["consumes"]);
    parameters(out, 8, &operation["parameters"]);
    out.message(9, |responses| named(responses, 1, &operation["responses"], response));
    out.texts(10, &operation["schemes"]);
    extensions(out, 13, operation);
}

fn response(out: &mut Message, response: &Value) {
    out.message(1, |inner| {
        inner.text(1, &response["description"]);
        inner.message(2, |item| item.message(1, |inner| schema(inner, &response["schema"])));
    });
}

/// Each item is `ParametersItem.parameter`, and in that a body or a non-body parameter.
fn parameters(out: &mut Message, field: u64, list: &Value) {
    for parameter in items(list) {
        out.message(field, |item| item.message(1, |inner| self::parameter(inner, parameter)));
    }
}

fn parameter(out: &mut Message, parameter: &Value) {
    match parameter["in"].as_str() {
        Some("body") => out.message(1, |body| {
            body.text(1, &parameter["description"]);
            body.text(2, &parameter["name"]);
            body.text(3, &parameter["in"]);
            body.flag(4, &parameter["required"]);
            body.message(5, |inner| schema(inner, &parameter["schema"]));
        }),
        Some("path") => out.message(2, |other| other.message(4, |path| simple(path, parameter, 5, 19))),
        _ => out.message(2, |other| other.message(3, |query| simple(query, parameter, 6, 20))),
    }
}

/// Path and query parameters differ in two field numbers only.
fn simple(out: &mut Message, parameter: &Value, kind: u64, unique: u64) {
    out.flag(1, &parameter["required"]);
    out.text(2, &parameter["in"]);
    out.text(3, &parameter["description"]);
    out.text(4, &parameter["name"]);
    out.text(kind, &parameter["type"]);
    out.flag(unique, &parameter["uniqueItems"]);
}

fn schema(out: &mut Message, schema: &Value) {
    out.text(1, &schema["$ref"]);
    out.text(2, &schema["format"]);
    out.text(4, &schema["description"]);
    out.texts(19, &schema["required"]);
    if let Some(values) = schema.get("additionalProperties") {
        out.message(21, |item| item.message(1, |inner| self::schema(inner, values)));
    }
    if schema.get("type").is_some() {
        out.message(22, |kind| kind.text(1, &schema["type"]));
    }
    if let Some(element) = schema.get("items") {
        out.message(23, |list| list.message(1, |inner| self::schema(inner, element)));
    }
    if let Some(properties) = schema.get("properties") {
        out.message(25, |inner| named(inner, 1, properties, self::schema));
    }
    extensions(out, 31, schema);
}
