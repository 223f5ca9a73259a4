//! Definitions of custom resources: their row, their defaults, and their rules.

use std::collections::BTreeSet;

use everynode_api::field::{FieldError, Path};
use everynode_api::kinds::CUSTOM_RESOURCE_DEFINITION;
use everynode_api::names;
use everynode_api::status::Status;
use serde_json::{Map, Value, json};

use super::path::JsonPath;
use super::schema_rules::{SchemaRules, unknown_formats};
use crate::catalogue::Row;
use crate::object::{self, items, text};
use crate::registry::Registry;
use crate::registry::strategy::{Grace, Strategy};
use crate::schema::Rules;

/// Held until the objects of the definition are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
/// Groups in which only the original's own kinds may be, unless their approval is noted.
const PROTECTED_GROUPS: [&str; 2] = ["k8s.io", "kubernetes.io"];
const APPROVED: &str = "api-approved.kubernetes.io";

/// Everything about them.
pub(crate) fn row() -> Row {
    Row {
        strategy: &Definitions,
        rules: Rules {
            default,
            check_new,
            check_update,
            warn_new: warn,
            warn_update: |new, _, warnings| warn(new, warnings),
            ..Rules::NONE
        },
        ..Row::ordinary(&CUSTOM_RESOURCE_DEFINITION)
    }
}

/// Formats that nothing checks.
fn warn(definition: &Value, warnings: &mut Vec<String>) {
    let mut found = BTreeSet::new();
    for version in items(definition, &["spec", "versions"]) {
        unknown_formats(&version["schema"]["openAPIV3Schema"], &mut found);
    }
    warnings.extend(found.into_iter().map(|name| format!("unrecognized format {name:?}")));
}

struct Definitions;

impl Strategy for Definitions {
    fn counts_generations(&self) -> bool {
        true
    }

    /// What is empty is not what is absent: `status: {}` makes a subresource.
    fn is_new_generation(&self, new: &Value, old: &Value) -> bool {
        new["spec"] != old["spec"]
    }

    fn updates_unconditionally(&self) -> bool {
        false
    }

    fn prepare_create(&self, _: &Registry, value: &mut Value) -> Result<(), Status> {
        value["status"] =
            json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": null});
        keep_stored_versions(value);
        Ok(())
    }

    fn prepare_update(&self, _: &Registry, new: &mut Value, _: &Value) -> Result<(), Status> {
        keep_stored_versions(new);
        Ok(())
    }

    /// The definition stays until its objects are gone.
    fn grace(&self, _: &Value, _: Option<i64>) -> Grace {
        Grace::UntilEmpty
    }

    fn may_go(&self, value: &Value) -> bool {
        object::is_terminating(value)
    }

    fn mark_deleted(&self, value: &mut Value) {
        if condition_is_true(value, "Terminating") {
            return;
        }
        let finalizers = object::list_mut(&mut value["metadata"], "finalizers");
        if !finalizers.iter().any(|name| name == CLEANUP) {
            finalizers.push(CLEANUP.into());
        }
        let now = object::meta(value, "deletionTimestamp").to_owned();
        let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
        let condition = json!({"type": "Terminating", "status": "True", "reason": "InstanceDeletionPending",
                               "message": message});
        object::set_condition(value, condition, &now);
    }
}

/// Whether a condition of a definition holds.
pub(crate) fn condition_is_true(definition: &Value, kind: &str) -> bool {
    object::condition(definition, kind).is_some_and(|condition| condition["status"] == "True")
}

/// The version that is stored now is among those that have ever been stored.
fn keep_stored_versions(value: &mut Value) {
    let storage = items(value, &["spec", "versions"]).iter().find(|version| version["storage"] == true);
    let Some(name) = storage.and_then(|version| version["name"].as_str()).map(str::to_owned) else { return };
    object::object_mut(value, "status");
    let stored = object::list_mut(&mut value["status"], "storedVersions");
    if !stored.iter().any(|known| *known == name) {
        stored.push(name.into());
    }
}

fn default(definition: &mut Map<String, Value>) {
    let Some(Value::Object(spec)) = definition.get_mut("spec") else { return };
    if spec.get("conversion").is_none_or(Value::is_null) {
        spec.insert("conversion".into(), json!({"strategy": "None"}));
    }
    let Some(Value::Object(names)) = spec.get_mut("names") else { return };
    let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind.is_empty() {
        return;
    }
    for (name, text) in [("singular", kind.to_lowercase()), ("listKind", format!("{kind}List"))] {
        if names.get(name).and_then(Value::as_str).unwrap_or_default().is_empty() {
            names.insert(name.into(), text.into());
        }
    }
}

fn check_new(definition: &Value) -> Vec<FieldError> {
    let mut errors = whole(definition);
    errors.extend(approval(definition));
    errors
}

fn check_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = whole(new);
    let path = Path::new("spec");
    // What was never served can still be made right.
    let established: &[&[&str]] = match condition_is_true(old, "Established") {
        true => &[&["scope"], &["names", "kind"]],
        false => &[],
    };
    for name in [&["group"] as &[&str], &["names", "plural"]].iter().chain(established) {
        let full: Vec<&str> = ["spec"].iter().chain(*name).copied().collect();
        let (new, old) = (object::at(new, &full), object::at(old, &full));
        if new != old {
            let path = name.iter().fold(path.clone(), |path, name| path.child((*name).to_owned()));
            errors.push(FieldError::invalid(&path, new.clone(), "field is immutable"));
        }
    }
    errors
}

/// What create and update check alike.
fn whole(definition: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &definition["spec"];
    let wanted = format!("{}.{}", text(spec, &["names", "plural"]), text(spec, &["group"]));
    let name = object::meta(definition, "name");
    if name != wanted {
        let path = Path::new("metadata").child("name");
        errors.push(FieldError::invalid(&path, name, "must be spec.names.plural+\".\"+spec.group"));
    }
    let path = Path::new("spec");
    group(&mut errors, text(spec, &["group"]), &path.child("group"));
    scope(&mut errors, text(spec, &["scope"]), &path.child("scope"));
    if spec["preserveUnknownFields"] == true {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema \
                      instead";
        errors.push(FieldError::invalid(&path.child("preserveUnknownFields"), true, detail));
    }
    versions(&mut errors, spec, &path);
    super::names::check(&mut errors, &spec["names"], &path.child("names"));
    parts(&mut errors, spec, &path);
    conversion(&mut errors, &spec["conversion"], &path.child("conversion"));
    stored_versions(&mut errors, definition);
    errors
}

fn group(errors: &mut Vec<FieldError>, group: &str, path: &Path) {
    match group {
        "" => errors.push(FieldError::required(path, "")),
        group => {
            let complaints = names::dns1123_subdomain(group);
            let is_word = complaints.is_empty() && !group.contains('.');
            let all = complaints.into_iter().chain(is_word.then(|| "should be a domain with at least one dot".into()));
            errors.extend(all.map(|complaint| FieldError::invalid(path, group, complaint)));
        }
    }
}

fn scope(errors: &mut Vec<FieldError>, scope: &str, path: &Path) {
    match scope {
        "Cluster" | "Namespaced" => {}
        "" => errors.push(FieldError::required(path, "")),
        scope => errors.push(FieldError::not_supported(path, scope, &["Cluster", "Namespaced"])),
    }
}

fn versions(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let all = items(spec, &["versions"]);
    let at = path.child("versions");
    let label = |errors: &mut Vec<FieldError>, name: &str, path: &Path| {
        errors.extend(names::dns1035_label(name).into_iter().map(|text| FieldError::invalid(path, name, text)));
    };
    for (index, version) in all.iter().enumerate() {
        let at = at.index(index);
        if version["schema"]["openAPIV3Schema"].is_null() {
            errors.push(FieldError::required(&at.child("schema").child("openAPIV3Schema"), ""));
        }
        label(errors, text(version, &["name"]), &at.child("name"));
    }
    let mut names: Vec<&str> = all.iter().map(|version| text(version, &["name"])).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() != all.len() {
        errors.push(FieldError::invalid(&at, all.to_vec(), "must contain unique version names"));
    }
    if all.iter().filter(|version| version["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(&at, all.to_vec(), detail));
    }
    if let Some(first) = all.first() {
        label(errors, text(first, &["name"]), &path.child("version"));
    }
}

/// Schema, subresources, columns and selectable fields. What all versions have alike is named as
/// the original's former form has it: once, at the top.
fn parts(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let all = items(spec, &["versions"]);
    let mut rules = SchemaRules::default();
    let alike = |name: &str| all.iter().all(|version| version[name] == all[0][name]);
    for (index, version) in all.iter().enumerate() {
        let place = |name: &'static str, former: &'static str| match (alike(name), index) {
            (true, 0) => Some(path.child(former)),
            (true, _) => None,
            (false, index) => Some(path.child("versions").index(index).child(name)),
        };
        let schema = &version["schema"]["openAPIV3Schema"];
        if let Some(at) = place("schema", "validation").filter(|_| schema.is_object()) {
            errors.extend(rules.check(schema, &at.child("openAPIV3Schema")));
        }
        if let Some(at) = place("subresources", "subresources") {
            scale(errors, &version["subresources"]["scale"], &at.child("scale"));
        }
        if let Some(at) = place("additionalPrinterColumns", "additionalPrinterColumns") {
            for (index, column) in items(version, &["additionalPrinterColumns"]).iter().enumerate() {
                self::column(errors, column, &at.index(index));
            }
        }
        if let Some(at) = place("selectableFields", "selectableFields") {
            selectable_fields(errors, schema, items(version, &["selectableFields"]), &at);
        }
    }
}

/// So many fields of a version may be selected by.
const SELECTABLE_FIELDS_MAX: usize = 8;
const NOT_SIMPLE: &str = "must be a simple json path starting with .";

fn scale(errors: &mut Vec<FieldError>, scale: &Value, path: &Path) {
    if scale.is_null() {
        return;
    }
    for (name, root) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
        let given = text(scale, &[name]);
        let at = path.child(name);
        match given {
            "" => errors.push(FieldError::required(&at, "")),
            given if !given.starts_with('.') => errors.push(FieldError::invalid(&at, given, NOT_SIMPLE)),
            given if !given.starts_with(root) => {
                let detail = format!("should be a json path under {}", root.trim_end_matches('.'));
                errors.push(FieldError::invalid(&at, given, detail));
            }
            _ => {}
        }
    }
    let at = path.child("labelSelectorPath");
    match text(scale, &["labelSelectorPath"]) {
        "" => {}
        given if !given.starts_with('.') => errors.push(FieldError::invalid(&at, given, NOT_SIMPLE)),
        given if !given.starts_with(".spec.") && !given.starts_with(".status.") => {
            let detail = "should be a json path under either .spec or .status";
            errors.push(FieldError::invalid(&at, given, detail));
        }
        _ => {}
    }
}

fn column(errors: &mut Vec<FieldError>, column: &Value, path: &Path) {
    if text(column, &["name"]).is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    match text(column, &["type"]) {
        "boolean" | "date" | "integer" | "number" | "string" => {}
        kind => {
            let detail = "must be one of boolean,date,integer,number,string";
            errors.push(FieldError::invalid(&path.child("type"), kind, detail));
        }
    }
    let at = path.child("JSONPath");
    match text(column, &["jsonPath"]) {
        "" => errors.push(FieldError::required(&at, "")),
        given if !given.starts_with('.') => errors.push(FieldError::invalid(&at, given, NOT_SIMPLE)),
        _ => {}
    }
}

fn selectable_fields(errors: &mut Vec<FieldError>, schema: &Value, fields: &[Value], path: &Path) {
    let mut seen = BTreeSet::new();
    for (index, field) in fields.iter().enumerate() {
        let (given, at) = (text(field, &["jsonPath"]), path.index(index).child("jsonPath"));
        selectable(errors, schema, given, &at);
        if !seen.insert(given) {
            errors.push(FieldError::duplicate(&at, given));
        }
    }
    if seen.len() > SELECTABLE_FIELDS_MAX {
        errors.push(FieldError::too_many(path, seen.len(), SELECTABLE_FIELDS_MAX));
    }
}

/// A selectable field is a text, a number or a flag that the schema has.
fn selectable(errors: &mut Vec<FieldError>, schema: &Value, given: &str, path: &Path) {
    if given.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let parsed = JsonPath::parse(given);
    let Some(names) = parsed.as_ref().and_then(JsonPath::members) else {
        errors.push(FieldError::invalid(path, given, "is an invalid path: only simple field paths are allowed"));
        return;
    };
    if names.first() == Some(&"metadata") {
        errors.push(FieldError::invalid(path, given, "must not point to fields in metadata"));
    }
    let field = names.iter().fold(schema, |schema, name| &schema["properties"][*name]);
    let detail = match field["type"].as_str() {
        None => "is an invalid path: does not refer to a valid field",
        Some("string" | "integer" | "boolean") => return,
        Some(_) => {
            "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                    formats are allowed."
        }
    };
    errors.push(FieldError::invalid(path, given, detail));
}

fn conversion(errors: &mut Vec<FieldError>, conversion: &Value, path: &Path) {
    match text(conversion, &["strategy"]) {
        "" | "None" => {}
        "Webhook" if conversion["webhook"]["clientConfig"].is_null() => {
            let detail = "required when strategy is set to Webhook";
            errors.push(FieldError::required(&path.child("webhookClientConfig"), detail));
            errors.push(FieldError::required(&path.child("conversionReviewVersions"), ""));
        }
        "Webhook" => {
            let detail = "conversion by webhook is not supported by this server yet";
            errors.push(FieldError::forbidden(&path.child("strategy"), detail));
        }
        strategy => {
            errors.push(FieldError::not_supported(&path.child("strategy"), strategy, &["None", "Webhook"]));
        }
    }
}

fn stored_versions(errors: &mut Vec<FieldError>, definition: &Value) {
    let path = Path::new("status").child("storedVersions");
    let stored = items(definition, &["status", "storedVersions"]);
    if stored.is_empty() {
        let detail = "must have at least one stored version";
        errors.push(FieldError::invalid(&path, definition["status"]["storedVersions"].clone(), detail));
    }
    let known: Vec<&str> =
        items(definition, &["spec", "versions"]).iter().map(|version| text(version, &["name"])).collect();
    for (index, name) in stored.iter().enumerate() {
        if !known.iter().any(|known| name == known) {
            let detail = "must appear in spec.versions";
            errors.push(FieldError::invalid(&path.index(index), name.clone(), detail));
        }
    }
}

fn approval(definition: &Value) -> Option<FieldError> {
    let group = text(definition, &["spec", "group"]);
    let protected = PROTECTED_GROUPS.iter().any(|domain| group.ends_with(&format!(".{domain}")));
    let approved = !definition["metadata"]["annotations"][APPROVED].is_null();
    (protected && !approved).then(|| {
        let path = Path::new("metadata").child("annotations").key(APPROVED);
        let detail = format!(
            "protected groups must have approval annotation \"{APPROVED}\", see \
             https://github.com/kubernetes/enhancements/pull/1111"
        );
        FieldError::required(&path, detail)
    })
}
