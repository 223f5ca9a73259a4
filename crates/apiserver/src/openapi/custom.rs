//! Definitions of custom resources: their own schemas, with what every object has.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Dialect;
use super::schema::kind_of;
use crate::catalogue::Rows;
use crate::discovery::resources::Body;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
/// What version 2 of OpenAPI does not know.
const NOT_IN_V2: [&str; 5] = ["allOf", "anyOf", "not", "nullable", "oneOf"];

/// The name of a custom resource's definition: `com.example.v1.Widget`.
pub(super) fn name(body: &Body) -> String {
    let mut parts: Vec<&str> = body.group.split('.').rev().collect();
    parts.extend([&*body.version, &*body.kind]);
    parts.join(".")
}

/// The definitions of all custom resources and of their lists, and what each refers to.
pub(super) fn definitions(rows: &Rows, dialect: Dialect) -> BTreeMap<String, (Value, Vec<String>)> {
    let mut found = BTreeMap::new();
    for row in rows.iter() {
        let Some(custom) = &row.custom else { continue };
        let name = name(&Body::of(&row.kind));
        let kind = |kind: &str| json!([kind_of(&row.kind.api_version(), kind)]);
        let mut schema = custom.document.clone();
        if dialect == Dialect::V2 {
            reduce(&mut schema);
        }
        let meta = format!("{META}.ObjectMeta");
        complete(&mut schema, dialect.reference(&meta));
        schema["x-kubernetes-group-version-kind"] = kind(&row.kind.kind);
        let list_meta = format!("{META}.ListMeta");
        let mut list = json!({
            "type": "object",
            "description": format!("{} is a list of {}", row.list_kind, row.kind.kind),
            "required": ["items"],
            "properties": { "items": { "type": "array", "items": dialect.reference(&name) } },
        });
        complete(&mut list, dialect.reference(&list_meta));
        list["x-kubernetes-group-version-kind"] = kind(&row.list_kind);
        found.insert(format!("{name}List"), (list, vec![name.clone(), list_meta]));
        found.insert(name, (schema, vec![meta]));
    }
    found
}

/// Adds what every object has.
fn complete(schema: &mut Value, metadata: Value) {
    let properties = crate::object::object_mut(schema, "properties");
    let own = [
        ("apiVersion", json!({ "type": "string", "description": API_VERSION })),
        ("kind", json!({ "type": "string", "description": KIND })),
        ("metadata", metadata),
    ];
    properties.extend(own.map(|(name, schema)| (name.to_owned(), schema)));
}

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object.";
const KIND: &str = "Kind is a string value representing the REST resource this object represents.";

/// Leaves out what version 2 does not know.
fn reduce(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    members.retain(|name, _| !NOT_IN_V2.contains(&name.as_str()));
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        properties.values_mut().for_each(reduce);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(schema) = members.get_mut(name) {
            reduce(schema);
        }
    }
}
