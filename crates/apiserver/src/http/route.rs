//! What a path and a method mean.

use everynode_api::kinds::{KindInfo, find};
use http::Method;

use super::query::{Query, decode};
use crate::auth::authorize::Attributes;
use crate::auth::reviews::is_review;
use crate::registry::Target;

/// What is to be done with stored objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }
}

/// A request's meaning.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// A verb on stored objects or their subresources.
    Resource(Verb, Target),
    /// A create-only kind.
    Review { group: String, resource: String, namespace: String },
    /// A path below `/api` or `/apis` that names no served resource.
    Unknown,
    /// Everything else: health, version, discovery, OpenAPI, metrics, join.
    Path,
}

/// A resource path taken apart.
struct Parts {
    group: String,
    version: String,
    namespace: String,
    resource: String,
    name: String,
    subresource: String,
}

/// Reads a path. `None`: not below `/api/V/…` or `/apis/G/V/…`.
fn parts(path: &str) -> Option<Parts> {
    let segments: Vec<String> = path.trim_matches('/').split('/').map(|segment| decode(segment, false)).collect();
    let mut rest = segments.into_iter();
    let group = match rest.next()?.as_str() {
        "api" => String::new(),
        "apis" => rest.next()?,
        _ => return None,
    };
    let version = rest.next()?;
    let rest: Vec<String> = rest.collect();
    let at = |index: usize| rest.get(index).cloned().unwrap_or_default();
    if rest.is_empty() {
        return None;
    }
    // `/namespaces/NAME`, `/namespaces/NAME/status` and `/finalize` are about the namespace itself.
    let about_namespace = rest.len() <= 2 || (rest.len() == 3 && matches!(rest[2].as_str(), "status" | "finalize"));
    let (namespace, base) = if rest[0] == "namespaces" && !about_namespace { (at(1), 2) } else { (String::new(), 0) };
    let subresource = rest.get(base + 2..).map(|tail| tail.join("/")).unwrap_or_default();
    Some(Parts { group, version, namespace, resource: at(base), name: at(base + 1), subresource })
}

/// Reads method, path and query.
pub(crate) fn read(method: &Method, path: &str, query: &Query) -> Route {
    let Some(parts) = parts(path) else { return Route::Path };
    if is_review(&parts.group, &parts.resource) && method == Method::POST && parts.name.is_empty() {
        return Route::Review { group: parts.group, resource: parts.resource, namespace: parts.namespace };
    }
    let info = find(&parts.group, &parts.resource).filter(|info| info.kind.version == parts.version);
    let (Some(info), Some(verb)) = (info, verb(method, &parts, query)) else { return Route::Unknown };
    if !fits(info, &parts) {
        return Route::Unknown;
    }
    let target = Target { info, namespace: parts.namespace, name: parts.name, subresource: parts.subresource };
    Route::Resource(verb, target)
}

fn verb(method: &Method, parts: &Parts, query: &Query) -> Option<Verb> {
    let collection = parts.name.is_empty();
    let watches = query.flag("watch") == Some(true);
    Some(match *method {
        Method::GET | Method::HEAD if collection && watches => Verb::Watch,
        Method::GET | Method::HEAD if collection => Verb::List,
        Method::GET | Method::HEAD => Verb::Get,
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::PATCH => Verb::Patch,
        Method::DELETE if collection => Verb::DeleteCollection,
        Method::DELETE => Verb::Delete,
        _ => return None,
    })
}

/// Whether the kind has such a path: objects of namespaced kinds lie in a namespace, subresources are known.
fn fits(info: &KindInfo, parts: &Parts) -> bool {
    let place = match info.kind.namespaced {
        true => !parts.namespace.is_empty() || parts.name.is_empty(),
        false => parts.namespace.is_empty(),
    };
    let first = parts.subresource.split('/').next().unwrap_or("");
    place && (first.is_empty() || info.subresources.contains(&first))
}

/// What RBAC is asked about a resource request.
pub(crate) fn attributes(verb: Verb, target: &Target, query: &Query) -> Attributes {
    let kind = &target.info.kind;
    let selector = everynode_api::selector::FieldSelector::parse(query.get("fieldSelector")).unwrap_or_default();
    let exact = |field: &str| selector.exact(field).unwrap_or("").to_owned();
    let collection = target.name.is_empty();
    Attributes {
        verb: verb.as_str().into(),
        resource: kind.plural.to_string(),
        group: kind.group.to_string(),
        version: kind.version.to_string(),
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        subresource: target.subresource.split('/').next().unwrap_or("").to_owned(),
        path: String::new(),
        selected_node: if collection { exact("spec.nodeName") } else { String::new() },
        selected_name: if collection { exact("metadata.name") } else { String::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, path: &str) -> String {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match read(&method, path, &Query::parse(query)) {
            Route::Resource(verb, target) => format!(
                "{} {} ns={} name={} sub={}",
                verb.as_str(),
                target.info.kind.plural,
                target.namespace,
                target.name,
                target.subresource
            ),
            Route::Review { resource, .. } => format!("review {resource}"),
            Route::Unknown => "unknown".into(),
            Route::Path => "path".into(),
        }
    }

    #[test]
    fn paths_are_read_as_in_kubernetes() {
        assert_eq!(check(Method::GET, "/api/v1/namespaces/x"), "get namespaces ns= name=x sub=");
        assert_eq!(check(Method::PUT, "/api/v1/namespaces/x/finalize"), "update namespaces ns= name=x sub=finalize");
        assert_eq!(check(Method::GET, "/api/v1/namespaces/x/pods?watch=true"), "watch pods ns=x name= sub=");
        assert_eq!(check(Method::POST, "/api/v1/namespaces/x/pods/a/binding"), "create pods ns=x name=a sub=binding");
        assert_eq!(check(Method::GET, "/apis/apps/v1/daemonsets"), "list daemonsets ns= name= sub=");
        assert_eq!(
            check(Method::DELETE, "/apis/apps/v1/namespaces/x/daemonsets"),
            "deletecollection daemonsets ns=x name= sub="
        );
        assert_eq!(check(Method::GET, "/apis/apps/v1/namespaces/x/deployments"), "unknown");
        assert_eq!(check(Method::GET, "/api/v1/pods/a"), "unknown");
        assert_eq!(
            check(Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
            "review selfsubjectaccessreviews"
        );
        assert_eq!(check(Method::GET, "/apis/apps/v1"), "path");
    }
}
