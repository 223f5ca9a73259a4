//! Definitions: the types of [`crate::schema::types`] with their descriptions and Kubernetes'
//! extensions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Dialect;
use crate::schema::types::{Definition, Field, ListType, Type, types};

/// Descriptions, by definition and field; the empty field is the definition itself.
pub(super) const DOCS: &str = include_str!("../schema/v1_36.docs.json");

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
/// The body of a patch has a name, but no shape.
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const PATCH_DOC: &str = "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.";

/// The named definitions and all that they refer to.
pub(super) fn closure(
    roots: BTreeSet<String>,
    dialect: Dialect,
    custom: &BTreeMap<String, (Value, Vec<String>)>,
) -> Map<String, Value> {
    let docs: Map<String, Value> =
        serde_json::from_str(DOCS).expect("the generated file is well-formed: a test loads it");
    let writer = Writer { docs, dialect };
    let mut written = Map::new();
    let mut pending: Vec<String> = roots.into_iter().collect();
    while let Some(name) = pending.pop() {
        if written.contains_key(&name) {
            continue;
        }
        let (schema, references) = match custom.get(&name) {
            Some(known) => known.clone(),
            None => writer.definition(&name),
        };
        written.insert(name, schema);
        pending.extend(references);
    }
    written
}

struct Writer {
    docs: Map<String, Value>,
    dialect: Dialect,
}

impl Writer {
    /// A definition, and the names it refers to.
    fn definition(&self, name: &str) -> (Value, Vec<String>) {
        let mut references = Vec::new();
        let schema = match types().find(name) {
            Some(definition) => self.object(definition, &mut references),
            None => self.special(name),
        };
        (schema, references)
    }

    fn doc(&self, definition: &str, field: &str) -> Option<&Value> {
        self.docs.get(definition).and_then(|docs| docs.get(field))
    }

    fn object(&self, definition: &Definition, references: &mut Vec<String>) -> Value {
        let mut schema = json!({ "type": "object" });
        if let Some(doc) = self.doc(&definition.name, "") {
            schema["description"] = doc.clone();
        }
        let mut properties = Map::new();
        for field in &definition.fields {
            properties.insert(field.name.clone(), self.field(definition, field, references));
        }
        if !properties.is_empty() {
            schema["properties"] = properties.into();
        }
        let required: Vec<&str> =
            definition.fields.iter().filter(|field| field.required).map(|field| field.name.as_str()).collect();
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        if !definition.api_versions.is_empty() {
            let kinds = definition.api_versions.iter().map(|version| kind_of(version, definition.short_name()));
            schema["x-kubernetes-group-version-kind"] = kinds.collect();
        }
        if definition.atomic {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        schema
    }

    fn field(&self, definition: &Definition, field: &Field, references: &mut Vec<String>) -> Value {
        let mut schema = self.value(&field.kind, &field.name, references);
        if let (Dialect::V3, Some(_)) = (self.dialect, schema.get("$ref")) {
            schema = json!({ "allOf": [schema] });
        }
        if let Some(doc) = self.doc(&definition.name, &field.name).or_else(|| self.doc("", &field.name)) {
            schema["description"] = doc.clone();
        }
        extensions(&mut schema, field);
        schema
    }

    /// The schema of a type; `field` tells apart the free-form types.
    fn value(&self, kind: &Type, field: &str, references: &mut Vec<String>) -> Value {
        let mut named = |name: String| {
            let reference = self.dialect.reference(&name);
            references.push(name);
            reference
        };
        match kind {
            Type::String => json!({ "type": "string" }),
            Type::Bool => json!({ "type": "boolean" }),
            Type::Int32 => json!({ "type": "integer", "format": "int32" }),
            Type::Int64 => json!({ "type": "integer", "format": "int64" }),
            Type::Double => json!({ "type": "number", "format": "double" }),
            Type::Bytes => json!({ "type": "string", "format": "byte" }),
            Type::Time => named(format!("{META}.Time")),
            Type::MicroTime => named(format!("{META}.MicroTime")),
            Type::Quantity => named("io.k8s.apimachinery.pkg.api.resource.Quantity".into()),
            Type::IntOrString => named("io.k8s.apimachinery.pkg.util.intstr.IntOrString".into()),
            // A schema, a list of them, or a flag: JSON Schema's own words have no name here.
            Type::ObjectOr(_) => json!({}),
            Type::Any if field == "fieldsV1" => named(format!("{META}.FieldsV1")),
            Type::Any => named("io.k8s.apimachinery.pkg.runtime.RawExtension".into()),
            Type::Object(index) => named(types().get(*index).name.clone()),
            Type::List(item) => json!({ "type": "array", "items": self.element(item, field, references) }),
            Type::Map(item) => {
                json!({ "type": "object", "additionalProperties": self.element(item, field, references) })
            }
        }
    }

    fn element(&self, item: &Type, field: &str, references: &mut Vec<String>) -> Value {
        let schema = self.value(item, field, references);
        match (self.dialect, schema.get("$ref")) {
            (Dialect::V3, Some(_)) => json!({ "allOf": [schema] }),
            _ => schema,
        }
    }

    /// Types that are not structs.
    fn special(&self, name: &str) -> Value {
        let v3 = self.dialect == Dialect::V3;
        let mut schema = match name.rsplit('.').next().unwrap_or_default() {
            "Time" | "MicroTime" => json!({ "type": "string", "format": "date-time" }),
            "Quantity" if v3 => json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }),
            "Quantity" => json!({ "type": "string" }),
            "IntOrString" if v3 => {
                json!({ "format": "int-or-string", "oneOf": [{ "type": "integer" }, { "type": "string" }] })
            }
            "IntOrString" => json!({ "type": "string", "format": "int-or-string" }),
            _ => json!({ "type": "object" }),
        };
        match (self.doc(name, ""), name) {
            (Some(doc), _) => schema["description"] = doc.clone(),
            (None, PATCH) => schema["description"] = PATCH_DOC.into(),
            _ => {}
        }
        schema
    }
}

/// `x-kubernetes-group-version-kind` of an API version and kind.
pub(super) fn kind_of(api_version: &str, kind: &str) -> Value {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    json!({ "group": group, "version": version, "kind": kind })
}

/// How patches and server-side apply treat the field (DS-I04, DS-I15 to DS-I17).
fn extensions(schema: &mut Value, field: &Field) {
    if let Some(key) = &field.merge_key {
        let strategy = if field.retain_keys { "merge,retainKeys" } else { "merge" };
        schema["x-kubernetes-patch-strategy"] = strategy.into();
        if !key.is_empty() {
            schema["x-kubernetes-patch-merge-key"] = key.as_str().into();
        }
    }
    let (list, keys) = match &field.list {
        ListType::Unspecified => return,
        ListType::Atomic => ("atomic", None),
        ListType::Set => ("set", None),
        ListType::Map(keys) => ("map", Some(keys)),
    };
    schema["x-kubernetes-list-type"] = list.into();
    if let Some(keys) = keys {
        schema["x-kubernetes-list-map-keys"] = keys.as_slice().into();
    }
}
