//! What is demanded of the schemas of a definition: that they are structural, and no more than is
//! understood.
//!
//! [`lists`] has the rules of lists and maps, [`nested`] those of `allOf` and its like.

mod lists;
mod nested;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use everynode_api::field::{FieldError, Path};
use serde_json::{Map, Value};

use super::check::check;
use super::format;
use super::pattern::{self, PatternError, STATES_MAX};
use super::read::{Pruning, default};
use super::rules::check_rules;
use super::schema::{Additional, JsonType, Parser, Schema, members};

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

/// Looks at the schemas of one definition. Equal patterns are compiled once, and what all of them
/// cost is bounded.
#[derive(Default)]
pub(crate) struct SchemaRules {
    errors: Vec<FieldError>,
    parser: Parser,
    /// By text; `Some`: why it is none.
    patterns: BTreeMap<String, Option<PatternError>>,
    /// Of all patterns together.
    states: u64,
}

fn flag(schema: &Value, name: &str) -> bool {
    schema[name] == Value::Bool(true)
}

/// A member that is a text; empty if it is none.
fn text<'s>(schema: &'s Value, name: &str) -> &'s str {
    schema[name].as_str().unwrap_or_default()
}

impl SchemaRules {
    /// Every mistake of the schema at `path`.
    pub(crate) fn check(&mut self, schema: &Value, path: &Path) -> Vec<FieldError> {
        let parsed = self.parser.schema(schema);
        if flag(schema, "nullable") {
            self.forbidden(&path.child("nullable"), "nullable cannot be true at the root");
        }
        self.part(schema, &parsed, Level::Root, path);
        self.metadata(&schema["properties"]["metadata"], &path.child("properties").key("metadata"));
        self.complete(schema, path);
        self.errors.extend(check_rules(schema, path));
        std::mem::take(&mut self.errors)
    }

    fn forbidden(&mut self, path: &Path, detail: &str) {
        self.errors.push(FieldError::forbidden(path, detail));
    }

    fn invalid(&mut self, path: &Path, value: impl Into<Value>, detail: &str) {
        self.errors.push(FieldError::invalid(path, value.into(), detail));
    }

    fn required(&mut self, path: &Path, detail: &str) {
        self.errors.push(FieldError::required(path, detail));
    }

    fn part(&mut self, schema: &Value, parsed: &Schema, level: Level, path: &Path) {
        self.unsupported(schema, path);
        if schema["$ref"].is_string() {
            return;
        }
        self.kind(schema, level, path);
        self.extensions(schema, path);
        self.additional(schema, level, path);
        self.lists(schema, path);
        self.maps(schema, path);
        self.pattern(schema, path);
        self.check_default(schema, parsed, path);
        let properties = path.child("properties");
        for (name, property) in members(&schema["properties"]) {
            if let Some(parsed) = parsed.properties.get(name) {
                self.part(property, parsed, Level::Field, &properties.key(name.as_str()));
            }
        }
        if let Additional::Each(parsed) = &parsed.additional {
            self.part(&schema["additionalProperties"], parsed, Level::Field, &path.child("additionalProperties"));
        }
        if let Some(parsed) = &parsed.items {
            self.part(&schema["items"], parsed, Level::Item, &path.child("items"));
        }
        self.combinations(schema, path);
    }

    /// What JSON Schema has and structural schemas have not.
    fn unsupported(&mut self, schema: &Value, path: &Path) {
        if schema["$ref"].is_string() {
            self.forbidden(&path.child("$ref"), "$ref is not supported");
        }
        if flag(schema, "uniqueItems") {
            let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.forbidden(&path.child("uniqueItems"), detail);
        }
        for name in ["definitions", "dependencies", "patternProperties", "additionalItems", "id"] {
            if schema.get(name).is_some_and(|given| !given.is_null()) {
                self.forbidden(&path.child(name), &format!("{name} is not supported"));
            }
        }
        if schema["items"].is_array() {
            self.forbidden(&path.child("items"), "items must be a schema object and not an array");
        }
    }

    fn kind(&mut self, schema: &Value, level: Level, path: &Path) {
        let path = &path.child("type");
        let int_or_string = flag(schema, "x-kubernetes-int-or-string");
        let embedded = flag(schema, "x-kubernetes-embedded-resource");
        let needs_object = "must be object if x-kubernetes-embedded-resource is true";
        match text(schema, "type") {
            "" if embedded => self.required(path, needs_object),
            "" if int_or_string || flag(schema, "x-kubernetes-preserve-unknown-fields") => {}
            "" => self.required(path, level.no_type()),
            "object" => {}
            kind if !JsonType::ALL.iter().any(|known| known.as_str() == kind) => {
                let known = JsonType::ALL.map(JsonType::as_str);
                self.errors.push(FieldError::not_supported(path, kind, &known));
                if kind == "null" {
                    self.forbidden(path, "type cannot be set to null, use nullable as an alternative");
                }
            }
            kind if level == Level::Root => self.invalid(path, kind, "must be object at the root"),
            kind if embedded => self.invalid(path, kind, needs_object),
            kind if int_or_string => self.invalid(path, kind, "must be empty if x-kubernetes-int-or-string is true"),
            _ => {}
        }
    }

    /// What the extensions for numbers, for unknown fields and for whole objects demand of each
    /// other.
    fn extensions(&mut self, schema: &Value, path: &Path) {
        let preserve = "x-kubernetes-preserve-unknown-fields";
        let embedded = "x-kubernetes-embedded-resource";
        if schema[preserve] == false {
            self.invalid(&path.child(preserve), false, "must be true or undefined");
        }
        if flag(schema, "x-kubernetes-int-or-string") {
            for name in [preserve, embedded].into_iter().filter(|name| flag(schema, name)) {
                self.invalid(&path.child(name), true, "must be false if x-kubernetes-int-or-string is true");
            }
        }
        let is_bare = members(&schema["properties"]).next().is_none() && !flag(schema, preserve);
        if flag(schema, embedded) && is_bare {
            let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                          x-kubernetes-preserve-unknown-fields";
            self.required(&path.child("properties"), detail);
        }
    }

    fn additional(&mut self, schema: &Value, level: Level, path: &Path) {
        let given = &schema["additionalProperties"];
        if given.is_null() {
            return;
        }
        let path = &path.child("additionalProperties");
        if members(&schema["properties"]).next().is_some() && *given != true {
            self.forbidden(path, "additionalProperties and properties are mutual exclusive");
        }
        if level == Level::Root {
            self.forbidden(path, "must not be used at the root");
        }
        if flag(schema, "x-kubernetes-embedded-resource") {
            self.forbidden(path, "must not be used if x-kubernetes-embedded-resource is set");
        }
    }

    fn pattern(&mut self, schema: &Value, path: &Path) {
        let written = text(schema, "pattern");
        if written.is_empty() {
            return;
        }
        if !self.patterns.contains_key(written) {
            let fault = self.compiled(written).err();
            self.patterns.insert(written.to_owned(), fault);
        }
        if let Some(Some(fault)) = self.patterns.get(written) {
            let detail = format!("must be a valid regular expression, but isn't: {fault}");
            self.invalid(&path.child("pattern"), written, &detail);
        }
    }

    /// Whether a pattern is one, and whether there is room for it beside the others.
    fn compiled(&mut self, written: &str) -> Result<(), PatternError> {
        let translated = pattern::translate(written)?;
        self.states = self.states.saturating_add(translated.states);
        match self.states > STATES_MAX {
            true => Err(pattern::too_large(written)),
            false => pattern::check(&translated, written),
        }
    }

    /// A default is what its own schema allows.
    fn check_default(&mut self, schema: &Value, parsed: &Schema, path: &Path) {
        let Some(given) = schema.get("default").filter(|given| !given.is_null()) else { return };
        let path = path.child("default");
        let mut value = given.clone();
        if let Value::Object(members) = &mut value {
            let mut pruning = Pruning::new(|_, _: &mut Map<String, Value>| Vec::new());
            pruning.object(parsed, members);
            if !pruning.findings.is_empty() {
                self.invalid(&path, given.clone(), "must not have unknown fields");
                return;
            }
        }
        if default(parsed, &mut value).is_err() {
            self.forbidden(&path, "the defaults in it are larger than what may be stored");
            return;
        }
        // As in the original, they are told of the default as a whole.
        let found = check(parsed, &value, None).into_iter();
        self.errors.extend(found.map(|error| match error.field.as_str() {
            "<nil>" => FieldError { field: path.to_string(), ..error },
            below => FieldError { field: format!("{path}.{below}"), ..error },
        }));
    }

    /// Metadata is what it is in every object; only its name may be limited.
    fn metadata(&mut self, metadata: &Value, path: &Path) {
        let allowed = |name: &String| name == "name" || name == "generateName";
        if members(&metadata["properties"]).any(|(name, _)| !allowed(name)) {
            let detail =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            self.forbidden(path, detail);
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
