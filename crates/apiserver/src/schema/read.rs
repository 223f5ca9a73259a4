//! From request bytes to a canonical object, with the answers that Kubernetes gives when that fails (DS-I40).

use everynode_api::decode::{BODY_BYTES_MAX, DecodeError, strict_error};
use everynode_api::field::go_quote;
use everynode_api::kinds::KindInfo;
use everynode_api::status::Status;
use everynode_api::yaml;
use serde_json::{Map, Value};

use super::convert::convert;
use super::decode::Pass;
use super::types::types;
use super::{FieldValidation, Media};

/// Words of Go's anonymous struct in the answer to a body that is no object.
const GO_TYPE_META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// Request bytes to a canonical object and warnings (without the `299` frame).
pub(crate) fn decode(
    info: &KindInfo,
    body: &[u8],
    media: Media,
    mode: FieldValidation,
) -> Result<(Value, Vec<String>), Status> {
    let (value, duplicates) = match media {
        Media::Json => json(body)?,
        Media::Yaml => yaml(body)?,
    };
    finish(info, value, duplicates, mode)
}

/// The same for a value that is already parsed.
pub(crate) fn decode_value(
    info: &KindInfo,
    value: Value,
    mode: FieldValidation,
) -> Result<(Value, Vec<String>), Status> {
    finish(info, value, Vec::new(), mode)
}

fn json(body: &[u8]) -> Result<(Value, Vec<String>), Status> {
    match everynode_api::decode::decode(body, BODY_BYTES_MAX) {
        Ok(decoded) => Ok((decoded.value, decoded.duplicates)),
        Err(DecodeError::TooLarge { bytes_max }) => Err(Status::too_large(bytes_max)),
        Err(DecodeError::Malformed(error)) => Err(unreadable(&format!("json parse error: {error}"))),
    }
}

/// YAML as Kubernetes reads it. A key that is given twice is an error or a warning by `fieldValidation`.
fn yaml(body: &[u8]) -> Result<(Value, Vec<String>), Status> {
    if body.len() > BODY_BYTES_MAX {
        return Err(Status::too_large(BODY_BYTES_MAX));
    }
    let malformed = |reason: String| unreadable(&format!("error converting YAML to JSON: yaml: {reason}"));
    let text = std::str::from_utf8(body).map_err(|error| malformed(error.to_string()))?;
    let document = yaml::decode(text).map_err(|error| malformed(error.to_string()))?;
    let duplicates = match document.duplicates.is_empty() {
        true => Vec::new(),
        false => vec![format!("yaml: unmarshal errors:\n  {}", document.duplicates.join("\n  "))],
    };
    Ok((document.value, duplicates))
}

fn unreadable(reason: &str) -> Status {
    Status::bad_request(format!("couldn't get version/kind; {reason}"))
}

fn finish(
    info: &KindInfo,
    mut value: Value,
    mut findings: Vec<String>,
    mode: FieldValidation,
) -> Result<(Value, Vec<String>), Status> {
    let found = identify(info, &mut value)?;
    let refuse = |reason: &str| cannot_be_handled(&found, info, reason);
    let types = types();
    let definition = types.of(&info.kind).ok_or_else(|| Status::internal("no schema for the kind"))?;
    let mut pass = Pass::new(types);
    if let Value::Object(members) = &mut value {
        pass.object(definition, members);
    }
    if let Some(error) = pass.error {
        return Err(refuse(&error));
    }
    convert(&info.kind, &mut value).map_err(|error| refuse(&error))?;
    findings.append(&mut pass.findings);
    match mode {
        FieldValidation::Strict if !findings.is_empty() => Err(refuse(&strict_error(&findings))),
        FieldValidation::Ignore => Ok((value, Vec::new())),
        _ => Ok((value, findings)),
    }
}

/// What a body says it is.
struct Found {
    api_version: String,
    kind: String,
}

/// Fills in a missing apiVersion and kind; different ones are refused.
fn identify(info: &KindInfo, value: &mut Value) -> Result<Found, Status> {
    let members = match value {
        Value::Object(members) => members,
        other => {
            let what = go_word(other);
            return Err(unreadable(&format!(
                "json parse error: json: cannot unmarshal {what} into Go value of type {GO_TYPE_META}"
            )));
        }
    };
    let expected = info.kind.api_version();
    let found = Found {
        api_version: claimed(members, "apiVersion", &expected)?,
        kind: claimed(members, "kind", &info.kind.kind)?,
    };
    match found.api_version == expected && found.kind == info.kind.kind.as_ref() {
        true => Ok(found),
        false => Err(foreign(&found, info)),
    }
}

/// The text of a member that must be a string; an absent or empty one becomes `expected`.
fn claimed(members: &mut Map<String, Value>, name: &str, expected: &str) -> Result<String, Status> {
    match members.get(name) {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if text.is_empty() => {}
        Some(Value::String(text)) => return Ok(text.clone()),
        Some(other) => {
            let what = go_word(other);
            return Err(unreadable(&format!(
                "json parse error: json: cannot unmarshal {what} into Go struct field .{name} of type string"
            )));
        }
    }
    members.insert(name.to_owned(), expected.into());
    Ok(expected.to_owned())
}

fn foreign(found: &Found, info: &KindInfo) -> Status {
    let known = types().of_kind(&found.api_version, &found.kind).is_some();
    if !known {
        let (kind, version) = (go_quote(&found.kind), go_quote(&found.api_version));
        let scheme = "\"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\"";
        let reason = format!("no kind {kind} is registered for version {version} in scheme {scheme}");
        return cannot_be_handled(found, info, &reason);
    }
    if found.api_version != info.kind.api_version() {
        return Status::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({})",
            found.api_version,
            info.kind.api_version()
        ));
    }
    let package = if info.kind.group.is_empty() { "core" } else { info.kind.group.split('.').next().unwrap_or("") };
    let reason = format!("converting (v1.{}) to ({package}.{}): unknown conversion", found.kind, info.kind.kind);
    cannot_be_handled(found, info, &reason)
}

fn cannot_be_handled(found: &Found, info: &KindInfo, reason: &str) -> Status {
    let version = found.api_version.rsplit('/').next().unwrap_or_default();
    Status::bad_request(format!(
        "{} in version {} cannot be handled as a {}: {reason}",
        found.kind,
        go_quote(version),
        info.kind.kind
    ))
}

fn go_word(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "array",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Null => "null",
        Value::Object(_) => "object",
    }
}
