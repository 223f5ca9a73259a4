//! Create-only kinds: questions about identities and permissions (`kubectl auth can-i`, `whoami`).

use std::collections::BTreeMap;

use everynode_api::field::{BadValue, FieldError, Path};
use everynode_api::kinds::Kind;
use everynode_api::status::Status;
use serde_json::{Value, json};

use super::User;
use super::authenticate::{Known, service_account_user};
use super::authorize::{Attributes, allowed};
use crate::object::{at, items, meta, remove_meta, set_meta, text};
use crate::registry::Registry;

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// A binding by the path that it had before pods had subresources.
pub(crate) const BINDINGS: Kind = Kind::built_in("", "v1", "Binding", "bindings", true);

/// The kinds, in the order of discovery.
pub(crate) static KINDS: [Kind; 7] = [
    BINDINGS,
    Kind::built_in(AUTHENTICATION, "v1", "SelfSubjectReview", "selfsubjectreviews", false),
    Kind::built_in(AUTHENTICATION, "v1", "TokenReview", "tokenreviews", false),
    Kind::built_in(AUTHORIZATION, "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", true),
    Kind::built_in(AUTHORIZATION, "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", false),
    Kind::built_in(AUTHORIZATION, "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", false),
    Kind::built_in(AUTHORIZATION, "v1", "SubjectAccessReview", "subjectaccessreviews", false),
];

/// The kind of a resource, if it is one of these.
pub(crate) fn find(group: &str, resource: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.group == group && kind.plural == resource)
}

/// Answers a review: the decoded object that was sent to `namespace` (if it is of a namespace),
/// with its status.
///
/// # Errors
/// What it asks is not a question of its kind: 400 or 422.
pub(crate) fn answer(
    registry: &Registry,
    user: &User,
    kind: &Kind,
    namespace: &str,
    mut body: Value,
) -> Result<Value, Status> {
    place(kind, namespace, &mut body)?;
    check(kind, &body)?;
    body["status"] = match kind.plural.as_ref() {
        "tokenreviews" => token_review(registry, &body),
        "selfsubjectreviews" => {
            body["metadata"] = json!({"creationTimestamp": registry.env.now_text()});
            json!({"userInfo": user_info(user)})
        }
        "selfsubjectaccessreviews" => access(registry, user, &body),
        "selfsubjectrulesreviews" => rules(registry, user, text(&body, &["spec", "namespace"])),
        _ => access(registry, &subject(&body), &body),
    };
    Ok(body)
}

/// Puts the namespace that it was sent to into a review, or refuses a different one.
fn place(kind: &Kind, namespace: &str, body: &mut Value) -> Result<(), Status> {
    match (kind.namespaced, meta(body, "namespace")) {
        (true, "") => set_meta(body, "namespace", namespace),
        (true, given) if given != namespace => {
            let text = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Status::bad_request(text));
        }
        (true, _) => {}
        (false, _) => remove_meta(body, "namespace"),
    }
    Ok(())
}

/// Refuses what cannot be answered, in Kubernetes' words.
fn check(kind: &Kind, body: &Value) -> Result<(), Status> {
    match kind.plural.as_ref() {
        "tokenreviews" if text(body, &["spec", "token"]).is_empty() => {
            Err(Status::bad_request("token is required for TokenReview in authentication"))
        }
        "selfsubjectrulesreviews" if text(body, &["spec", "namespace"]).is_empty() => {
            Err(Status::bad_request("no namespace on request"))
        }
        "tokenreviews" | "selfsubjectreviews" | "selfsubjectrulesreviews" => Ok(()),
        plural => {
            let errors = access_errors(plural, body);
            // Kubernetes names no kind there.
            let of_no_kind = Kind::built_in(AUTHORIZATION, "v1", "", "", false);
            match errors.is_empty() {
                true => Ok(()),
                false => Err(Status::invalid(&of_no_kind, "", &errors)),
            }
        }
    }
}

/// The mistakes of a question about access.
fn access_errors(plural: &str, body: &Value) -> Vec<FieldError> {
    let (path, spec) = (Path::new("spec"), &body["spec"]);
    let (resource, other) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let mut errors = Vec::new();
    let mut refuse = |path: Path, value: &Value, detail: &str| {
        errors.push(FieldError::invalid(&path, BadValue::Json(value.clone()), detail));
    };
    match (resource.is_null(), other.is_null()) {
        (false, false) => refuse(
            path.child("nonResourceAttributes"),
            other,
            "cannot be specified in combination with resourceAttributes",
        ),
        (true, true) => refuse(
            path.child("resourceAttributes"),
            &Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        _ => {}
    }
    if plural != "selfsubjectaccessreviews" && text(spec, &["user"]).is_empty() && items(spec, &["groups"]).is_empty() {
        refuse(path.child("user"), &"".into(), "at least one of user or group must be specified");
    }
    let is_local = plural == "localsubjectaccessreviews";
    if has_metadata(body, is_local) {
        let detail = if is_local { "must be empty except for namespace" } else { "must be empty" };
        refuse(Path::new("metadata"), &body["metadata"], detail);
    }
    if is_local {
        let namespace = &resource["namespace"];
        if !resource.is_null() && namespace.as_str().unwrap_or("") != meta(body, "namespace") {
            let shown = namespace.as_str().unwrap_or("").into();
            refuse(Path::new("spec.resourceAttributes.namespace"), &shown, "must match metadata.namespace");
        }
        if !other.is_null() {
            refuse(Path::new("spec.nonResourceAttributes"), other, "disallowed on this kind of request");
        }
    }
    errors
}

/// Whether a review has metadata of its own, where it may at most have a namespace.
fn has_metadata(body: &Value, may_have_namespace: bool) -> bool {
    let given = body["metadata"].as_object().into_iter().flatten();
    given.into_iter().any(|(name, value)| {
        let allowed = name == "managedFields" || may_have_namespace && name == "namespace";
        !allowed && !value.is_null() && *value != json!({}) && *value != json!([])
    })
}

fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

fn texts(value: &Value, path: &[&str]) -> Vec<String> {
    items(value, path).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn token_review(registry: &Registry, body: &Value) -> Value {
    let audiences = texts(body, &["spec", "audiences"]);
    match service_account_user(registry, text(body, &["spec", "token"]), &audiences) {
        Ok(Known { user, audiences }) => {
            json!({"authenticated": true, "user": user_info(&user), "audiences": audiences})
        }
        Err(error) => json!({"user": {}, "error": error}),
    }
}

fn subject(body: &Value) -> User {
    let own = |name: &str| text(body, &["spec", name]).to_owned();
    let extra = at(body, &["spec", "extra"]).as_object().into_iter().flatten();
    let extra: BTreeMap<String, Vec<String>> =
        extra.map(|(name, values)| (name.to_lowercase(), texts(values, &[]))).collect();
    User { name: own("user"), uid: own("uid"), groups: texts(body, &["spec", "groups"]), extra, ..User::default() }
}

fn access(registry: &Registry, user: &User, body: &Value) -> Value {
    let asked = attributes(&body["spec"]);
    match allowed(registry, user, &asked) {
        true => json!({"allowed": true}),
        false => json!({"allowed": false}),
    }
}

fn attributes(spec: &Value) -> Attributes {
    let own = |group: &str, name: &str| text(spec, &[group, name]).to_owned();
    if at(spec, &["nonResourceAttributes"]).is_object() {
        let part = "nonResourceAttributes";
        return Attributes { verb: own(part, "verb"), path: own(part, "path"), ..Attributes::default() };
    }
    let part = "resourceAttributes";
    Attributes {
        verb: own(part, "verb"),
        resource: own(part, "resource"),
        group: own(part, "group"),
        version: own(part, "version"),
        namespace: own(part, "namespace"),
        name: own(part, "name"),
        subresource: own(part, "subresource"),
        ..Attributes::default()
    }
}

fn rules(registry: &Registry, user: &User, namespace: &str) -> Value {
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in registry.rbac.rules(registry, user, namespace).iter().flat_map(|rules| rules.iter()) {
        match rule.non_resource_urls.is_empty() {
            false => paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls})),
            true => {
                let mut shown = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
                if !rule.resource_names.is_empty() {
                    shown["resourceNames"] = json!(rule.resource_names);
                }
                resources.push(shown);
            }
        }
    }
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(plural: &str, spec: Value, metadata: Value) -> Vec<String> {
        let body = json!({"metadata": metadata, "spec": spec});
        access_errors(plural, &body).iter().map(FieldError::to_string).collect()
    }

    #[test]
    fn questions_that_are_none_are_refused() {
        let pods = json!({"verb": "get", "resource": "pods", "namespace": "a"});
        let path = json!({"verb": "get", "path": "/x"});
        assert_eq!(
            refused("selfsubjectaccessreviews", json!({}), json!({})),
            [
                "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be \
              specified"
            ]
        );
        let both = json!({"resourceAttributes": pods, "nonResourceAttributes": path});
        assert_eq!(
            refused("selfsubjectaccessreviews", both, json!({"name": "x"})),
            [
                r#"spec.nonResourceAttributes: Invalid value: {"path":"/x","verb":"get"}: cannot be specified in combination with resourceAttributes"#,
                r#"metadata: Invalid value: {"name":"x"}: must be empty"#
            ]
        );
        assert_eq!(
            refused("subjectaccessreviews", json!({"resourceAttributes": pods}), json!({})),
            [r#"spec.user: Invalid value: "": at least one of user or group must be specified"#]
        );
        let local = json!({"user": "u", "resourceAttributes": pods});
        assert_eq!(refused("localsubjectaccessreviews", local.clone(), json!({"namespace": "a"})), [""; 0]);
        assert_eq!(
            refused("localsubjectaccessreviews", local, json!({"namespace": "b"})),
            [r#"spec.resourceAttributes.namespace: Invalid value: "a": must match metadata.namespace"#]
        );
        let elsewhere = json!({"groups": ["g"], "nonResourceAttributes": path});
        assert_eq!(
            refused("localsubjectaccessreviews", elsewhere, json!({})),
            [
                r#"spec.nonResourceAttributes: Invalid value: {"path":"/x","verb":"get"}: disallowed on this kind of request"#
            ]
        );
    }
}
