//! ConfigMaps and Secrets.

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::check::{Errors, entries, flag, invalid_each, present, text};
use everynode_common::base64;

/// Total size of a ConfigMap's or Secret's data.
const DATA_BYTES_MAX: usize = 1 << 20;

pub(in crate::schema) fn config_map(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let mut bytes = 0;
    for (key, value) in entries(object, "data") {
        invalid_each(&mut errors, &Path::new("data").key(key), key, names::config_map_key(key));
        if present(&object["binaryData"], key).is_some() {
            let detail = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(&Path::new("data").key(key), key, detail));
        }
        bytes += value.as_str().map_or(0, str::len);
    }
    for (key, value) in entries(object, "binaryData") {
        invalid_each(&mut errors, &Path::new("binaryData").key(key), key, names::config_map_key(key));
        bytes += decoded_length(value);
    }
    if bytes > DATA_BYTES_MAX {
        errors.push(FieldError::too_long(&Path::nil().key(""), DATA_BYTES_MAX));
    }
    errors
}

fn decoded_length(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.len() / 4 * 3)
}

/// What `immutable: true` freezes.
pub(in crate::schema) fn frozen(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    if !flag(old, "immutable") {
        return errors;
    }
    let detail = "field is immutable when `immutable` is set";
    if !flag(new, "immutable") {
        errors.push(FieldError::forbidden(&Path::new("immutable"), detail));
    }
    for name in ["data", "binaryData"] {
        if !crate::schema::semantic_eq(&new[name], &old[name]) {
            errors.push(FieldError::forbidden(&Path::new(name), detail));
        }
    }
    errors
}

pub(in crate::schema) fn secret(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("data");
    let mut bytes = 0;
    for (key, value) in entries(object, "data") {
        invalid_each(&mut errors, &path.key(key), key, names::config_map_key(key));
        bytes += decoded_length(value);
    }
    if bytes > DATA_BYTES_MAX {
        errors.push(FieldError::too_long(&path, DATA_BYTES_MAX));
    }
    typed_secret(&mut errors, object, &path);
    errors
}

fn typed_secret(errors: &mut Errors, object: &Value, path: &Path) {
    let data = &object["data"];
    let mut must_have = |keys: &[&str]| {
        for key in keys.iter().filter(|key| present(data, key).is_none()) {
            errors.push(FieldError::required(&path.key(*key), ""));
        }
    };
    match text(object, "type") {
        "kubernetes.io/tls" => must_have(&["tls.crt", "tls.key"]),
        "kubernetes.io/ssh-auth" => must_have(&["ssh-privatekey"]),
        "kubernetes.io/basic-auth" if present(data, "username").is_none() && present(data, "password").is_none() => {
            must_have(&["username", "password"]);
        }
        "kubernetes.io/dockercfg" => docker_config(errors, data, path, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => docker_config(errors, data, path, ".dockerconfigjson"),
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            if text(&object["metadata"]["annotations"], key).is_empty() {
                errors.push(FieldError::required(&Path::new("metadata").child("annotations").key(key), ""));
            }
        }
        _ => {}
    }
}

fn docker_config(errors: &mut Errors, data: &Value, path: &Path, key: &str) {
    let Some(value) = present(data, key).and_then(Value::as_str) else {
        return errors.push(FieldError::required(&path.key(key), ""));
    };
    let bytes = base64::decode(value).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes) {
        errors.push(FieldError::invalid(&path.key(key), "<secret contents redacted>", error.to_string()));
    }
}

pub(in crate::schema) fn secret_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    if text(new, "type") != text(old, "type") {
        errors.push(FieldError::invalid(&Path::new("type"), text(new, "type"), "field is immutable"));
    }
    errors.extend(frozen(new, old));
    errors
}
