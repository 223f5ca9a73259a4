//! From request bytes to a canonical object, with the answers that Kubernetes gives when that fails
//! (DS-I40).

use everynode_api::decode::{BODY_BYTES_MAX, DecodeError, in_document_order, strict_error};
use everynode_api::field::go_quote;
use everynode_api::kinds::Kind;
use everynode_api::status::Status;
use everynode_api::yaml;
use everynode_store::limits::VALUE_BYTES_MAX;
use serde_json::{Map, Value};

use super::decode::Pass;
use super::types::types;
use super::{FieldValidation, Media, Rules};
use crate::catalogue::Row;
use crate::custom::read::{Pruning, default as default_custom};
use crate::custom::schema::Schema;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const DELETE_OPTIONS: Kind = Kind::built_in("", "v1", "DeleteOptions", "", false);
/// How Kubernetes names the place where its kinds are registered.
const SCHEME: &str = "\"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\"";
/// Versions in which Kubernetes still knows kinds of ours, without serving them.
const FORMER_VERSIONS: [(&str, &str); 21] = [
    ("ControllerRevision", "apps/v1beta1"),
    ("ControllerRevision", "apps/v1beta2"),
    ("CustomResourceDefinition", "apiextensions.k8s.io/v1beta1"),
    ("DaemonSet", "apps/v1beta2"),
    ("DaemonSet", "extensions/v1beta1"),
    ("Event", "events.k8s.io/v1beta1"),
    ("Lease", "coordination.k8s.io/v1beta1"),
    ("PodDisruptionBudget", "policy/v1beta1"),
    ("PriorityClass", "scheduling.k8s.io/v1alpha1"),
    ("PriorityClass", "scheduling.k8s.io/v1beta1"),
    ("Role", "rbac.authorization.k8s.io/v1beta1"),
    ("RoleBinding", "rbac.authorization.k8s.io/v1beta1"),
    ("ClusterRole", "rbac.authorization.k8s.io/v1beta1"),
    ("ClusterRoleBinding", "rbac.authorization.k8s.io/v1beta1"),
    ("LocalSubjectAccessReview", "authorization.k8s.io/v1beta1"),
    ("SelfSubjectAccessReview", "authorization.k8s.io/v1beta1"),
    ("SelfSubjectRulesReview", "authorization.k8s.io/v1beta1"),
    ("SubjectAccessReview", "authorization.k8s.io/v1beta1"),
    ("SelfSubjectReview", "authentication.k8s.io/v1alpha1"),
    ("SelfSubjectReview", "authentication.k8s.io/v1beta1"),
    ("TokenReview", "authentication.k8s.io/v1beta1"),
];

/// Words of Go's anonymous struct in the answer to a body that is no object.
pub(super) const GO_TYPE_META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// What a body should be.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    kind: &'a Kind,
    convert: fn(&mut Value) -> Result<(), String>,
    /// Of a custom resource.
    custom: Option<&'a Schema>,
}

impl<'a> From<&'a Row> for Shape<'a> {
    fn from(row: &'a Row) -> Shape<'a> {
        let custom = row.custom.as_ref().map(|custom| &custom.schema);
        Shape { kind: &row.kind, convert: row.rules.convert, custom }
    }
}

/// Bodies of subresources and reviews.
impl<'a> From<&'a Kind> for Shape<'a> {
    fn from(kind: &'a Kind) -> Shape<'a> {
        Shape { kind, convert: Rules::NONE.convert, custom: None }
    }
}

/// Request bytes to a canonical object of a kind, and warnings (without the `299` frame).
///
/// # Errors
/// 400 if it is not of that kind, or by `mode` if it has unknown or duplicate fields; 413.
pub(crate) fn decode<'a>(
    shape: impl Into<Shape<'a>>,
    body: &[u8],
    media: Media,
    mode: FieldValidation,
) -> Result<(Value, Vec<String>), Status> {
    let shape = shape.into();
    read(shape, body, media, mode).map_err(|refused| refused.of_object(shape.kind, body))
}

/// The same for a value that is already parsed.
pub(crate) fn decode_value<'a>(
    shape: impl Into<Shape<'a>>,
    value: Value,
    mode: FieldValidation,
) -> Result<(Value, Vec<String>), Status> {
    let shape = shape.into();
    finish(shape, value, Vec::new(), mode, None).map_err(|refused| refused.of_object(shape.kind, b""))
}

/// The body of a DELETE, of which Kubernetes ignores unknown fields. An empty one is `null`.
pub(crate) fn decode_delete_options(body: &[u8], media: Media) -> Result<Value, Status> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    match read((&DELETE_OPTIONS).into(), body, media, FieldValidation::Ignore) {
        Ok((value, _)) => Ok(value),
        Err(Refused::Status(status)) => Err(*status),
        Err(Refused::Unrecognized(reason) | Refused::Claimed(_, reason)) => Err(Status::bad_request(reason)),
    }
}

/// Why a body is not of the kind that it should be.
enum Refused {
    /// Not even its kind could be read.
    Unrecognized(String),
    /// What it says it is, and why it is not what it should be.
    Claimed(Found, String),
    /// A complete answer.
    Status(Box<Status>),
}

impl Refused {
    fn of_object(self, kind: &Kind, body: &[u8]) -> Status {
        match self {
            Refused::Unrecognized(reason) => Status::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): {reason} ({})",
                kind.kind,
                summary(body)
            )),
            Refused::Claimed(found, reason) => {
                let version = found.api_version.rsplit('/').next().unwrap_or_default();
                let version = go_quote(version);
                let text =
                    format!("{} in version {version} cannot be handled as a {}: {reason}", found.kind, kind.kind);
                Status::bad_request(text)
            }
            Refused::Status(status) => *status,
        }
    }
}

/// Bytes of a body that a refusal shows.
const SUMMARY_BYTES_MAX: usize = 30;

/// The beginning of a body, as text if it seems to be an object.
fn summary(body: &[u8]) -> String {
    let shown = &body[..body.len().min(SUMMARY_BYTES_MAX)];
    let text = match shown.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(shown).into_owned(),
        Some(_) => shown.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    if body.len() > shown.len() { text + " ..." } else { text }
}

fn read(shape: Shape<'_>, body: &[u8], media: Media, mode: FieldValidation) -> Result<(Value, Vec<String>), Refused> {
    let (value, duplicates) = match media {
        Media::Json => json(body)?,
        Media::Yaml => yaml(body)?,
    };
    let ordered = (media == Media::Json).then_some(body);
    finish(shape, value, duplicates, mode, ordered)
}

fn json(body: &[u8]) -> Result<(Value, Vec<String>), Refused> {
    match everynode_api::decode::decode(body, BODY_BYTES_MAX) {
        Ok(decoded) => Ok((decoded.value, decoded.duplicates)),
        Err(DecodeError::TooLarge { bytes_max }) => Err(Refused::Status(Status::too_large(bytes_max).into())),
        Err(malformed) => Err(unreadable(&malformed.to_string())),
    }
}

/// YAML as Kubernetes reads it. A key that is given twice is an error or a warning by
/// `fieldValidation`.
fn yaml(body: &[u8]) -> Result<(Value, Vec<String>), Refused> {
    if body.len() > BODY_BYTES_MAX {
        return Err(Refused::Status(Status::too_large(BODY_BYTES_MAX).into()));
    }
    let malformed = |reason: String| Refused::Unrecognized(format!("error converting YAML to JSON: yaml: {reason}"));
    let text = std::str::from_utf8(body).map_err(|error| malformed(error.to_string()))?;
    let document = yaml::decode(text).map_err(|error| malformed(error.to_string()))?;
    let duplicates = match document.duplicates.is_empty() {
        true => Vec::new(),
        false => vec![format!("yaml: unmarshal errors:\n  {}", document.duplicates.join("\n  "))],
    };
    Ok((document.value, duplicates))
}

fn unreadable(reason: &str) -> Refused {
    Refused::Unrecognized(format!("couldn't get version/kind; {reason}"))
}

/// `body`: the text whose order findings shall have.
fn finish(
    shape: Shape<'_>,
    mut value: Value,
    mut findings: Vec<String>,
    mode: FieldValidation,
    body: Option<&[u8]>,
) -> Result<(Value, Vec<String>), Refused> {
    let Shape { kind, convert, custom } = shape;
    if let Some(schema) = custom {
        return finish_custom((kind, schema), value, findings, mode);
    }
    let found = identify(kind, &mut value)?;
    let types = types();
    let Some(definition) = types.of(kind) else {
        return Err(Refused::Status(Status::internal("no schema for the kind").into()));
    };
    let mut pass = Pass::new(types);
    if let Value::Object(members) = &mut value {
        pass.object(definition, members);
    }
    let refusal = pass.error.or_else(|| convert(&mut value).err());
    if let Some(reason) = refusal {
        return Err(Refused::Claimed(found, reason));
    }
    if mode == FieldValidation::Ignore {
        return Ok((value, Vec::new()));
    }
    findings.append(&mut pass.findings);
    if let Some(body) = body {
        findings = in_document_order(body, findings);
    }
    match mode == FieldValidation::Strict && !findings.is_empty() {
        true => Err(Refused::Claimed(found, strict_error(&findings))),
        false => Ok((value, findings)),
    }
}

/// The same for a custom object: its metadata has a type, the rest its schema.
fn finish_custom(
    (kind, schema): (&Kind, &Schema),
    mut value: Value,
    mut findings: Vec<String>,
    mode: FieldValidation,
) -> Result<(Value, Vec<String>), Refused> {
    let found = identify_custom(kind, &value)?;
    let Value::Object(members) = &mut value else { return Err(unreadable("not an object")) };
    let (mut unknown, error) = match members.get_mut("metadata") {
        Some(Value::Object(metadata)) => object_meta("metadata", metadata),
        None | Some(Value::Null) => (Vec::new(), None),
        Some(other) => {
            let text = "json: cannot unmarshal {} into Go struct field .metadata of type v1.ObjectMeta";
            (Vec::new(), Some(text.replace("{}", go_word(other))))
        }
    };
    if let Some(reason) = error {
        return Err(Refused::Claimed(found, reason));
    }
    let mut pruning = Pruning::new(|path, metadata| object_meta(path, metadata).0);
    pruning.object(schema, members);
    unknown.append(&mut pruning.findings);
    unknown.sort_unstable();
    let too_large = |_| Refused::Status(Status::too_large(VALUE_BYTES_MAX).into());
    default_custom(schema, &mut value).map_err(too_large)?;
    if mode == FieldValidation::Ignore {
        return Ok((value, Vec::new()));
    }
    findings.append(&mut unknown);
    match mode == FieldValidation::Strict && !findings.is_empty() {
        true => Err(Refused::Claimed(found, strict_error(&findings))),
        false => Ok((value, findings)),
    }
}

/// Rewrites metadata that stands at a path: what it has too much, and what is wrong with it.
fn object_meta(path: &str, metadata: &mut Map<String, Value>) -> (Vec<String>, Option<String>) {
    let types = types();
    let Some(definition) = types.find(OBJECT_META) else { return (Vec::new(), None) };
    let mut pass = Pass::within(types, path);
    pass.object(definition, metadata);
    (pass.findings, pass.error)
}

/// A custom object says itself what it is.
fn identify_custom(kind: &Kind, value: &Value) -> Result<Found, Refused> {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let found = Found { api_version: text("apiVersion"), kind: text("kind") };
    if !value.is_object() || found.kind.is_empty() {
        return Err(Refused::Unrecognized(format!("Object 'Kind' is missing in '{value}'")));
    }
    let expected = kind.api_version();
    match found.api_version == expected {
        true => Ok(found),
        false => {
            let status = Status::bad_request(format!(
                "the API version in the data ({}) does not match the expected API version ({expected})",
                found.api_version
            ));
            Err(Refused::Status(status.into()))
        }
    }
}

/// What a body says it is.
struct Found {
    api_version: String,
    kind: String,
}

/// Fills in a missing apiVersion and kind; different ones are refused. `null` is an empty object.
fn identify(kind: &Kind, value: &mut Value) -> Result<Found, Refused> {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    let members = match value {
        Value::Object(members) => members,
        other => {
            let what = go_word(other);
            return Err(unreadable(&format!(
                "json parse error: json: cannot unmarshal {what} into Go value of type {GO_TYPE_META}"
            )));
        }
    };
    let expected = kind.api_version();
    let found =
        Found { api_version: claimed(members, "apiVersion", &expected)?, kind: claimed(members, "kind", &kind.kind)? };
    if found.api_version.matches('/').count() > 1 {
        return Err(Refused::Unrecognized(format!("unexpected GroupVersion string: {}", found.api_version)));
    }
    if found.kind != kind.kind.as_ref() {
        return Err(foreign(found, kind));
    }
    match is_accepted(kind, &found.api_version) {
        true => {
            members.insert("apiVersion".to_owned(), expected.into());
            Ok(found)
        }
        false => Err(foreign(found, kind)),
    }
}

/// Further versions that a body may be of, where Kubernetes takes them for the same.
fn accepted_versions(kind: &Kind) -> &'static [&'static str] {
    match kind.kind.as_ref() {
        "Eviction" => &["policy/v1beta1"],
        _ => &[],
    }
}

/// `DeleteOptions` are the same in every version that there is.
fn is_accepted(kind: &Kind, version: &str) -> bool {
    let of_any_version = *kind == DELETE_OPTIONS && (version == "meta.k8s.io/v1" || types().has_version(version));
    version == kind.api_version() || of_any_version || accepted_versions(kind).contains(&version)
}

/// The text of a member that must be a string; an absent or empty one becomes `expected`.
fn claimed(members: &mut Map<String, Value>, name: &str, expected: &str) -> Result<String, Refused> {
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

/// Why a body of another kind or version is refused.
fn foreign(found: Found, kind: &Kind) -> Refused {
    // Kinds of other things are not registered where options are read.
    let is_options = *kind == DELETE_OPTIONS;
    let is_former = FORMER_VERSIONS.contains(&(found.kind.as_str(), found.api_version.as_str()));
    if is_options || !is_former && types().of_kind(&found.api_version, &found.kind).is_none() {
        let (quoted, version) = (go_quote(&found.kind), go_quote(&found.api_version));
        let reason = format!("no kind {quoted} is registered for version {version} in scheme {SCHEME}");
        return Refused::Claimed(found, reason);
    }
    if found.kind == kind.kind.as_ref() {
        let status = Status::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({})",
            found.api_version,
            kind.api_version()
        ));
        return Refused::Status(status.into());
    }
    let package = if kind.group.is_empty() { "core" } else { kind.group.split('.').next().unwrap_or("") };
    let reason = format!("converting (v1.{}) to ({package}.{}): unknown conversion", found.kind, kind.kind);
    Refused::Claimed(found, reason)
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
