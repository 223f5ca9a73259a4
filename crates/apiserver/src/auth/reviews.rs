//! Create-only kinds: questions about identities and permissions (`kubectl auth can-i`, `whoami`).

use everynode_api::status::Status;
use serde_json::{Value, json};

use super::User;
use super::authenticate::{Known, service_account_user};
use super::authorize::{Attributes, allowed};
use crate::object::{at, items, text};
use crate::registry::Registry;

/// Whether a resource is one of these kinds.
pub(crate) fn is_review(group: &str, resource: &str) -> bool {
    match group {
        "authentication.k8s.io" => matches!(resource, "tokenreviews" | "selfsubjectreviews"),
        "authorization.k8s.io" => matches!(
            resource,
            "selfsubjectaccessreviews"
                | "subjectaccessreviews"
                | "localsubjectaccessreviews"
                | "selfsubjectrulesreviews"
        ),
        _ => false,
    }
}

/// Answers a review: the object that was sent, with its status.
pub(crate) fn answer(registry: &Registry, user: &User, resource: &str, mut body: Value) -> Result<Value, Status> {
    if !body.is_object() {
        return Err(Status::bad_request("the body must be an object"));
    }
    let status = match resource {
        "tokenreviews" => token_review(registry, &body),
        "selfsubjectreviews" => json!({"userInfo": user_info(user)}),
        "selfsubjectaccessreviews" => access(registry, user, &body),
        "subjectaccessreviews" | "localsubjectaccessreviews" => access(registry, &subject(&body), &body),
        "selfsubjectrulesreviews" => rules(registry, user, text(&body, &["spec", "namespace"])),
        _ => return Err(Status::no_such_path()),
    };
    body["status"] = status;
    if !body["metadata"].is_object() {
        body["metadata"] = json!({});
    }
    Ok(body)
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
    User { name: own("user"), uid: own("uid"), groups: texts(body, &["spec", "groups"]), ..User::default() }
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
