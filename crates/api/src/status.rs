//! The `Status` object: how every failure is told to clients (DS-I41 to DS-I43).

use serde::{Deserialize, Serialize};

use crate::field::FieldError;
use crate::kinds::Kind;

/// `v1 Status` with `status: Failure`. Display is its message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    pub kind: String,
    pub api_version: String,
    pub metadata: StatusMeta,
    pub status: String,
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    pub code: u16,
}

/// `metadata` of a `Status`: only the continue token that `Expired` answers carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusMeta {
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub continue_token: String,
}

/// `details` of a `Status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// One entry of `details.causes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl Status {
    /// A failure with any code and reason; the constructors below fit nearly always.
    pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Status {
            kind: "Status".into(),
            api_version: "v1".into(),
            status: "Failure".into(),
            message: message.into(),
            reason: reason.into(),
            code,
            ..Status::default()
        }
    }

    fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        let details = self.details.get_or_insert_default();
        details.name = name.into();
        details.group = group.into();
        details.kind = kind.into();
        self
    }

    fn about_resource(self, kind: &Kind, name: &str) -> Self {
        self.about(&kind.group, &kind.plural, name)
    }

    /// Adds a cause.
    #[must_use]
    pub fn with_cause(mut self, reason: &str, message: &str, field: &str) -> Self {
        self.details.get_or_insert_default().causes.push(Cause {
            reason: reason.into(),
            message: message.into(),
            field: field.into(),
        });
        self
    }

    /// `daemonsets.apps "web" not found`
    pub fn not_found(kind: &Kind, name: &str) -> Self {
        Status::failure(404, "NotFound", format!("{} \"{name}\" not found", kind.qualified_resource()))
            .about_resource(kind, name)
    }

    /// A path that names nothing that is served.
    pub fn no_such_path() -> Self {
        Status::failure(404, "NotFound", "the server could not find the requested resource").about("", "", "")
    }

    pub fn already_exists(kind: &Kind, name: &str) -> Self {
        Status::failure(409, "AlreadyExists", format!("{} \"{name}\" already exists", kind.qualified_resource()))
            .about_resource(kind, name)
    }

    /// `Operation cannot be fulfilled on daemonsets.apps "web": DETAIL` (DS-I11)
    pub fn conflict(kind: &Kind, name: &str, detail: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {detail}", kind.qualified_resource());
        Status::failure(409, "Conflict", message).about_resource(kind, name)
    }

    /// The conflict of a stale resourceVersion (DS-I11).
    pub fn modified(kind: &Kind, name: &str) -> Self {
        let detail = "the object has been modified; please apply your changes to the latest version and try again";
        Status::conflict(kind, name, detail)
    }

    /// `DaemonSet.apps "web" is invalid: PATH: …`, one cause per error (DS-I42, DS-A.2).
    /// Of very many errors, only the first ones are reported.
    pub fn invalid(kind: &Kind, name: &str, errors: &[FieldError]) -> Self {
        let errors = &*crate::field::reported(errors);
        let message = format!("{} \"{name}\" is invalid: {}", kind.qualified_kind(), crate::field::aggregate(errors));
        let mut status = Status::failure(422, "Invalid", message).about(&kind.group, &kind.kind, name);
        for error in errors {
            let (reason, message, field) = error.cause();
            status = status.with_cause(reason, &message, &field);
        }
        status
    }

    /// The same where the name of the resource stands for that of the kind, as in preconditions of
    /// a write.
    pub fn invalid_resource(kind: &Kind, name: &str, errors: &[FieldError]) -> Self {
        let resource = Kind { kind: kind.plural.clone(), ..kind.clone() };
        Status::invalid(&resource, name, errors)
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Status::failure(400, "BadRequest", message)
    }

    pub fn unauthorized() -> Self {
        Status::failure(401, "Unauthorized", "Unauthorized")
    }

    /// `pods "x" is forbidden: DETAIL`
    pub fn forbidden(kind: &Kind, name: &str, detail: &str) -> Self {
        let message = match name {
            "" => format!("{} is forbidden: {detail}", kind.qualified_resource()),
            name => format!("{} \"{name}\" is forbidden: {detail}", kind.qualified_resource()),
        };
        Status::failure(403, "Forbidden", message).about_resource(kind, name)
    }

    /// A path that is served, but not by this method.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Status::failure(405, "MethodNotAllowed", message).about("", "", "")
    }

    pub fn not_acceptable(accepted: &str) -> Self {
        let message = format!("only the following media types are accepted: {accepted}");
        Status::failure(406, "NotAcceptable", message)
    }

    /// A watch or continue token from a revision that is no longer held.
    pub fn expired(message: impl Into<String>) -> Self {
        Status::failure(410, "Expired", message)
    }

    pub fn too_large(limit_bytes: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit_bytes}");
        Status::failure(413, "RequestEntityTooLarge", message)
    }

    pub fn unsupported_media_type(supported: &str) -> Self {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {supported}");
        Status::failure(415, "UnsupportedMediaType", message)
    }

    /// 429; clients wait and retry.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let mut status = Status::failure(429, "TooManyRequests", message);
        status.details.get_or_insert_default().retry_after_seconds = retry_after_seconds;
        status
    }

    pub fn internal(message: impl std::fmt::Display) -> Self {
        let text = message.to_string();
        Status::failure(500, "InternalError", format!("Internal error occurred: {text}")).with_cause("", &text, "")
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Status::failure(503, "ServiceUnavailable", message)
    }

    pub fn is_not_found(&self) -> bool {
        self.reason == "NotFound"
    }

    pub fn is_already_exists(&self) -> bool {
        self.reason == "AlreadyExists"
    }

    pub fn is_conflict(&self) -> bool {
        self.reason == "Conflict"
    }

    pub fn is_expired(&self) -> bool {
        self.reason == "Expired" || self.reason == "Gone"
    }

    /// Whether a patch with a uid met another object of the same name: the uid cannot be changed.
    pub fn is_uid_mismatch(&self) -> bool {
        let causes = self.details.as_ref().map_or(&[][..], |details| &details.causes);
        self.code == 422 && causes.iter().any(|cause| cause.field == "metadata.uid")
    }

    /// Whether a cause with this reason is among the causes (`NamespaceTerminating`, DS-C54).
    pub fn has_cause(&self, reason: &str) -> bool {
        self.details.as_ref().is_some_and(|details| details.causes.iter().any(|cause| cause.reason == reason))
    }
}
