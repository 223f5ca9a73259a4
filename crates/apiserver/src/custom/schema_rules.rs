//! What is demanded of the schema of a definition: that it is structural, and no more than is
//! understood.

use std::collections::BTreeSet;

use everynode_api::field::{FieldError, Path};
use serde_json::{Map, Value};

use super::check::check;
use super::format;
use super::read::{Pruning, default};
use super::rules::check_rules;
use super::schema::{JsonType, Schema, members, pattern};

/// Where in a schema a part of it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Field,
    Item,
}

impl Level {
    fn no_type(self) -> &'static str {
        match self {
            Level::Root => "must not be empty at the root",
            Level::Field => "must not be empty for specified object fields",
            Level::Item => "must not be empty for specified array items",
        }
    }
}

/// Every mistake of the schema at `path`.
pub(crate) fn check_schema(schema: &Value, path: &Path) -> Vec<FieldError> {
    let mut rules = SchemaRules { errors: Vec::new() };
    rules.part(schema, Level::Root, path);
    rules.metadata(&schema["properties"]["metadata"], &path.child("properties").key("metadata"));
    rules.errors.extend(check_rules(schema, path));
    rules.errors
}

struct SchemaRules {
    errors: Vec<FieldError>,
}

fn flag(schema: &Value, name: &str) -> bool {
    schema[name] == Value::Bool(true)
}

impl SchemaRules {
    fn part(&mut self, schema: &Value, level: Level, path: &Path) {
        self.unsupported(schema, path);
        if schema["$ref"].is_string() {
            return;
        }
        self.kind(schema, level, path);
        self.lists(schema, path);
        self.pattern(schema, path);
        self.default(schema, path);
        if schema["properties"].is_object() && schema["additionalProperties"].is_object() {
            let detail = "additionalProperties and properties are mutual exclusive";
            self.errors.push(FieldError::forbidden(&path.child("additionalProperties"), detail));
        }
        let properties = path.child("properties");
        for (name, property) in members(&schema["properties"]) {
            self.part(property, Level::Field, &properties.key(name.as_str()));
        }
        if schema["additionalProperties"].is_object() {
            self.part(&schema["additionalProperties"], Level::Field, &path.child("additionalProperties"));
        }
        match &schema["items"] {
            Value::Object(_) => self.part(&schema["items"], Level::Item, &path.child("items")),
            Value::Array(_) => {
                let detail = "items must be a schema object and not an array";
                self.errors.push(FieldError::forbidden(&path.child("items"), detail));
            }
            _ => {}
        }
        self.combinations(schema, path);
    }

    /// What JSON Schema has and structural schemas have not, and what this server cannot do.
    fn unsupported(&mut self, schema: &Value, path: &Path) {
        if schema["$ref"].is_string() {
            self.errors.push(FieldError::forbidden(&path.child("$ref"), "$ref is not supported"));
        }
        if flag(schema, "uniqueItems") {
            let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.errors.push(FieldError::forbidden(&path.child("uniqueItems"), detail));
        }
        for name in ["definitions", "dependencies", "patternProperties", "additionalItems", "id"] {
            if schema.get(name).is_some_and(|given| !given.is_null()) {
                self.errors.push(FieldError::forbidden(&path.child(name), format!("{name} is not supported")));
            }
        }
    }

    fn kind(&mut self, schema: &Value, level: Level, path: &Path) {
        let path = &path.child("type");
        let int_or_string = flag(schema, "x-kubernetes-int-or-string");
        match schema["type"].as_str().unwrap_or_default() {
            "" if level != Level::Root && (int_or_string || flag(schema, "x-kubernetes-preserve-unknown-fields")) => {}
            "" => self.errors.push(FieldError::required(path, level.no_type())),
            "object" => {}
            kind if !JsonType::ALL.iter().any(|known| known.as_str() == kind) => {
                let known = JsonType::ALL.map(JsonType::as_str);
                self.errors.push(FieldError::not_supported(path, kind, &known));
            }
            kind if level == Level::Root => {
                self.errors.push(FieldError::invalid(path, kind, "must be object at the root"));
            }
            kind if int_or_string => {
                let detail = "must be empty if x-kubernetes-int-or-string is true";
                self.errors.push(FieldError::invalid(path, kind, detail));
            }
            _ => {}
        }
        if flag(schema, "x-kubernetes-embedded-resource") && schema["type"] != "object" {
            let detail = "must be object if x-kubernetes-embedded-resource is true";
            self.errors.push(FieldError::invalid(path, schema["type"].clone(), detail));
        }
    }

    fn lists(&mut self, schema: &Value, path: &Path) {
        if schema["type"] == "array" && schema["items"].is_null() {
            self.errors.push(FieldError::required(&path.child("items"), "must be specified"));
        }
        let Some(list) = schema["x-kubernetes-list-type"].as_str() else { return };
        let at = path.child("x-kubernetes-list-type");
        if schema["type"] != "array" {
            let at = path.child("type");
            let detail = "must be array if x-kubernetes-list-type is specified";
            self.errors.push(FieldError::invalid(&at, schema["type"].clone(), detail));
        }
        let keys = schema["x-kubernetes-list-map-keys"].as_array().map_or(0, Vec::len);
        match list {
            "map" if keys == 0 => {
                let detail = "must not be empty if x-kubernetes-list-type is map";
                self.errors.push(FieldError::required(&path.child("x-kubernetes-list-map-keys"), detail));
            }
            "map" => self.keys(schema, path),
            "atomic" | "set" => {}
            list => self.errors.push(FieldError::not_supported(&at, list, &["atomic", "set", "map"])),
        }
    }

    /// The keys of a map are members of its items, which have them always.
    fn keys(&mut self, schema: &Value, path: &Path) {
        let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
        for (index, key) in keys.enumerate() {
            let key = key.as_str().unwrap_or_default();
            let property = &schema["items"]["properties"][key];
            if property.is_null() {
                let at = path.child("x-kubernetes-list-map-keys").index(index);
                let detail = "entries must all be names of item properties";
                self.errors.push(FieldError::invalid(&at, key, detail));
                continue;
            }
            let required = &schema["items"]["required"];
            let is_required = required.as_array().is_some_and(|names| names.iter().any(|name| name == key));
            if !is_required && property["default"].is_null() {
                let at = path.child("items").child("properties").key(key).child("default");
                let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a \
                              required property";
                self.errors.push(FieldError::required(&at, detail));
            }
        }
    }

    fn pattern(&mut self, schema: &Value, path: &Path) {
        let Some(text) = schema["pattern"].as_str().filter(|text| !text.is_empty()) else { return };
        if let Err(error) = pattern(text) {
            let why = match text.matches('(').count() > text.matches(')').count() {
                true => format!("error parsing regexp: missing closing ): `{text}`"),
                // The rest of the message is a drawing of the place.
                false => error.to_string().lines().last().unwrap_or_default().to_owned(),
            };
            let detail = format!("must be a valid regular expression, but isn't: {why}");
            self.errors.push(FieldError::invalid(&path.child("pattern"), text, detail));
        }
    }

    /// A default is what its own schema allows.
    fn default(&mut self, schema: &Value, path: &Path) {
        let Some(given) = schema.get("default").filter(|given| !given.is_null()) else { return };
        let path = path.child("default");
        let read = Schema { default: None, ..Schema::parse(schema) };
        let mut value = given.clone();
        if let Value::Object(members) = &mut value {
            let mut pruning = Pruning::new(|_, _: &mut Map<String, Value>| Vec::new());
            pruning.object(&Schema { embedded: false, ..read.clone() }, members);
            if !pruning.findings.is_empty() {
                let detail = "must not have unknown fields";
                self.errors.push(FieldError::invalid(&path, given.clone(), detail));
                return;
            }
        }
        default(&read, &mut value);
        // As in the original, they are told of the default as a whole.
        let found = check(&read, &value, None).into_iter();
        self.errors.extend(found.map(|error| match error.field.as_str() {
            "<nil>" => FieldError { field: path.to_string(), ..error },
            below => FieldError { field: format!("{path}.{below}"), ..error },
        }));
    }

    /// Of combinations, only what limits values: what is there is said outside of them.
    fn combinations(&mut self, schema: &Value, path: &Path) {
        let is_number_or_text = flag(schema, "x-kubernetes-int-or-string");
        for name in ["allOf", "anyOf", "oneOf"] {
            let parts = schema[name].as_array().into_iter().flatten();
            for (index, part) in parts.enumerate() {
                self.limits_only(part, is_number_or_text, &path.child(name).index(index));
            }
        }
        if schema["not"].is_object() {
            self.limits_only(&schema["not"], false, &path.child("not"));
        }
    }

    fn limits_only(&mut self, part: &Value, may_have_type: bool, path: &Path) {
        self.pattern(part, path);
        for (name, given) in members(part) {
            let structural = match name.as_str() {
                "type" => !may_have_type,
                "default" | "additionalProperties" | "nullable" | "title" | "description" => true,
                name => name.starts_with("x-kubernetes-"),
            };
            let is_empty = matches!(given, Value::Null | Value::Bool(false)) || *given == "";
            if structural && !is_empty {
                let detail = "must be empty to be structural";
                self.errors.push(FieldError::forbidden(&path.child(name.clone()), detail));
            }
        }
        let properties = path.child("properties");
        for (name, property) in members(&part["properties"]) {
            self.limits_only(property, false, &properties.key(name.as_str()));
        }
        if part["items"].is_object() {
            self.limits_only(&part["items"], false, &path.child("items"));
        }
        self.combinations(part, path);
    }

    /// Metadata is what it is in every object; only its name may be limited.
    fn metadata(&mut self, metadata: &Value, path: &Path) {
        let allowed = |name: &String| name == "name" || name == "generateName";
        if members(&metadata["properties"]).any(|(name, _)| !allowed(name)) {
            let detail =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            self.errors.push(FieldError::forbidden(path, detail));
        }
    }
}

/// The formats in a schema that nothing is known of: they are no mistake, and checked by nothing.
pub(crate) fn unknown_formats(schema: &Value, found: &mut BTreeSet<String>) {
    if let Some(name) = schema["format"].as_str().filter(|name| !name.is_empty() && !format::is_known(name)) {
        found.insert(name.to_owned());
    }
    for (_, property) in members(&schema["properties"]) {
        unknown_formats(property, found);
    }
    for name in ["items", "additionalProperties"].into_iter().filter(|name| schema[*name].is_object()) {
        unknown_formats(&schema[name], found);
    }
}
