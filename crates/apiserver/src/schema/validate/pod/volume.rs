//! Volumes (DS-H30 to DS-H37): every type that the agent mounts, and the form of the others.

use std::collections::BTreeSet;

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use everynode_api::quantity::Quantity;
use serde_json::{Map, Value};

use super::super::check::{Errors, int, invalid_each, list, one_of, present, required, required_name, text};
use super::source;

/// Whole fields that a file of the downward API may hold, sorted.
const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const MODE_MAX: i64 = 0o777;
const TOKEN_SECONDS_MIN: i64 = 600;

pub(super) fn volumes(errors: &mut Errors, spec: &Value, path: &Path) {
    let mut seen = BTreeSet::new();
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        let path = path.index(index);
        one(errors, volume, &path);
        if !seen.insert(text(volume, "name")) {
            errors.push(FieldError::duplicate(&path.child("name"), text(volume, "name")));
        }
    }
}

/// Whether there is a volume of this name that is none of the mistakes.
pub(super) fn has(spec: &Value, name: &str) -> bool {
    list(spec, "volumes").iter().any(|volume| {
        let mut errors = Errors::new();
        if text(volume, "name") == name {
            one(&mut errors, volume, &Path::new("volumes"));
        }
        text(volume, "name") == name && errors.is_empty()
    })
}

fn one(errors: &mut Errors, volume: &Value, path: &Path) {
    sources(errors, volume, path);
    required_name(errors, volume, path, "name", names::dns1123_label);
}

fn sources(errors: &mut Errors, volume: &Value, path: &Path) {
    let none = Map::new();
    let members = volume.as_object().unwrap_or(&none);
    let mut found = 0;
    for (name, source) in members.iter().filter(|(name, source)| *name != "name" && !source.is_null()) {
        found += 1;
        let path = path.child(name.clone());
        match found {
            1 => self::source(errors, name, source, &path),
            _ => errors.push(FieldError::forbidden(&path, "may not specify more than 1 volume type")),
        }
    }
    if found == 0 {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

fn source(errors: &mut Errors, name: &str, source: &Value, path: &Path) {
    match name {
        "emptyDir" => empty_dir(errors, source, path),
        "hostPath" => host_path(errors, source, path),
        "secret" => files(errors, source, path, "secretName"),
        "configMap" => files(errors, source, path, "name"),
        "downwardAPI" => {
            mode(errors, source, path, "defaultMode");
            downward_files(errors, source, path);
        }
        "projected" => projected(errors, source, path),
        "persistentVolumeClaim" => drop(required(errors, source, path, "claimName")),
        "csi" => drop(required(errors, source, path, "driver")),
        "nfs" => {
            required(errors, source, path, "server");
            required_name(errors, source, path, "path", names::absolute_path);
        }
        _ => {}
    }
}

fn empty_dir(errors: &mut Errors, source: &Value, path: &Path) {
    let limit = present(source, "sizeLimit").and_then(|limit| Quantity::from_json(limit).ok());
    if limit.is_some_and(Quantity::is_negative) {
        let detail = "SizeLimit field must be a valid resource quantity";
        errors.push(FieldError::forbidden(&path.child("sizeLimit"), detail));
    }
}

/// DS-H30, DS-H31
pub(super) fn host_path(errors: &mut Errors, source: &Value, path: &Path) {
    if !required(errors, source, path, "path") {
        return;
    }
    let given = text(source, "path");
    invalid_each(errors, &path.child("path"), given, names::no_back_steps(given));
    one_of(errors, source, path, "type", &HOST_PATH_TYPES);
}

/// `secret` and `configMap`.
fn files(errors: &mut Errors, source: &Value, path: &Path, object: &'static str) {
    required(errors, source, path, object);
    mode(errors, source, path, "defaultMode");
    items(errors, source, path);
}

fn items(errors: &mut Errors, source: &Value, path: &Path) {
    for (index, item) in list(source, "items").iter().enumerate() {
        let path = path.child("items").index(index);
        required(errors, item, &path, "key");
        file_path(errors, item, &path);
        mode(errors, item, &path, "mode");
    }
}

/// DS-H33: a file's path inside the volume, which must not look like the volume's own bookkeeping.
fn file_path(errors: &mut Errors, item: &Value, path: &Path) {
    if !required(errors, item, path, "path") {
        return;
    }
    let given = text(item, "path");
    let mut complaints = names::local_descending_path(given);
    if given.starts_with("..") && complaints.iter().all(|text| !text.contains("'..'")) {
        complaints.push("must not start with '..'".into());
    }
    invalid_each(errors, &path.child("path"), given, complaints);
}

fn mode(errors: &mut Errors, source: &Value, path: &Path, name: &'static str) {
    if let Some(mode) = int(source, name).filter(|mode| !(0..=MODE_MAX).contains(mode)) {
        let detail = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(&path.child(name), mode, detail));
    }
}

/// The files of the downward API; Kubernetes reports them without their index.
fn downward_files(errors: &mut Errors, source: &Value, path: &Path) {
    for file in list(source, "items") {
        file_path(errors, file, path);
        match (present(file, "fieldRef"), present(file, "resourceFieldRef")) {
            (Some(field), resource) => {
                source::field(errors, field, &FILE_FIELDS, &path.child("fieldRef"));
                if resource.is_some() {
                    let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                    errors.push(FieldError::invalid(path, "resource", detail));
                }
            }
            (None, Some(resource)) => source::resource(errors, resource, true, &path.child("resourceFieldRef")),
            (None, None) => {
                errors.push(FieldError::required(path, "one of fieldRef and resourceFieldRef is required"));
            }
        }
        mode(errors, file, path, "mode");
    }
}

fn projected(errors: &mut Errors, source: &Value, path: &Path) {
    mode(errors, source, path, "defaultMode");
    let mut paths = BTreeSet::new();
    for (index, projection) in list(source, "sources").iter().enumerate() {
        let path = path.child("sources").index(index);
        let Some(members) = projection.as_object() else { continue };
        for (position, (name, part)) in members.iter().filter(|(_, part)| !part.is_null()).enumerate() {
            if position > 0 {
                errors.push(FieldError::forbidden(&path, "may not specify more than 1 volume type per source"));
            }
            projection_part(errors, name, part, &path.child(name.clone()));
            conflicts(errors, &mut paths, name, part, &path);
        }
    }
}

fn projection_part(errors: &mut Errors, name: &str, part: &Value, path: &Path) {
    match name {
        "secret" | "configMap" => {
            required(errors, part, path, "name");
            items(errors, part, path);
        }
        "downwardAPI" => downward_files(errors, part, path),
        "serviceAccountToken" => token(errors, part, path),
        _ => {}
    }
}

fn token(errors: &mut Errors, part: &Value, path: &Path) {
    let seconds = int(part, "expirationSeconds").unwrap_or(TOKEN_SECONDS_MIN);
    let detail = match seconds {
        seconds if seconds < TOKEN_SECONDS_MIN => "may not specify a duration less than 10 minutes",
        seconds if seconds > 1 << 32 => "may not specify a duration larger than 2^32 seconds",
        _ => "",
    };
    if !detail.is_empty() {
        errors.push(FieldError::invalid(&path.child("expirationSeconds"), seconds, detail));
    }
    required(errors, part, path, "path");
}

/// Two parts that would write the same file.
fn conflicts<'v>(errors: &mut Errors, paths: &mut BTreeSet<&'v str>, name: &str, part: &'v Value, path: &Path) {
    let files: Vec<&str> = match name {
        "serviceAccountToken" | "clusterTrustBundle" => vec![text(part, "path")],
        _ => list(part, "items").iter().map(|item| text(item, "path")).collect(),
    };
    for file in files.into_iter().filter(|file| !file.is_empty()) {
        if !paths.insert(file) {
            let detail = "conflicting duplicate paths";
            errors.push(FieldError::invalid(path, text(part, "name"), detail));
        }
    }
}
