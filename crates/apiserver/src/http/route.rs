//! What a path and a method mean: read once, into an [`Operation`].
//!
//! Kubernetes reads the decoded path. So do we, for the question whether the user may; but a path
//! whose coded separators make it another one than it seems is never served.

use everynode_api::kinds::{Kind, NODE, POD};
use everynode_api::percent;
use everynode_api::status::Status;
use http::Method;

use super::query::Query;
use super::{connect_options, options};
use crate::auth::authorize::Attributes;
use crate::auth::reviews;
use crate::catalogue::{Action, Row, Rows};
use crate::operation::options::Options;
use crate::operation::{Operation, Selected, Verb};
use crate::registry::Target;

/// A request's meaning.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// A verb on stored objects or their subresources.
    Operation(Box<Operation>),
    /// A create-only kind.
    Review { kind: &'static Kind, namespace: String },
    /// Below `/api` or `/apis`, but nothing that is served: a user that may ask for it hears the
    /// refusal.
    Refused(Box<Attributes>, Box<Status>),
    /// Everything else: health, version, discovery, OpenAPI, metrics, join.
    Path,
}

/// What a route is read from.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a Query,
    /// Whether the connection shall become a stream.
    pub(crate) upgrades: bool,
}

/// A resource path taken apart.
#[derive(Default)]
struct Parts {
    group: String,
    version: String,
    namespace: String,
    resource: String,
    name: String,
    subresource: String,
    /// What follows the subresource; an empty last one stands for a slash at the end.
    rest: Vec<String>,
}

/// Decodes a path. What is no text, or has control characters, is no path that anything is served
/// at.
fn decoded(path: &str) -> Result<String, Status> {
    let text = percent::decode(path).filter(|text| !text.contains(|c: char| c.is_control()));
    text.ok_or_else(|| Status::bad_request("the path of the request is malformed"))
}

/// Reads a decoded path. `None`: not below `/api/V/…` or `/apis/G/V/…`.
fn parts(path: &str) -> Option<Parts> {
    let mut segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let ends_with_slash = segments.len() > 1 && segments.last() == Some(&"");
    if ends_with_slash {
        segments.pop();
    }
    let mut segments = segments.into_iter();
    let group = match segments.next()? {
        "api" => "",
        "apis" => segments.next()?,
        _ => return None,
    };
    let version = segments.next()?;
    let rest: Vec<&str> = segments.collect();
    if rest.is_empty() {
        return None;
    }
    // `/namespaces/NAME`, `/namespaces/NAME/status` and `/finalize` are about the namespace itself.
    let about_namespace = rest.len() <= 2 || (rest.len() == 3 && matches!(rest[2], "status" | "finalize"));
    let base = if rest[0] == "namespaces" && !about_namespace { 2 } else { 0 };
    let at = |index: usize| rest.get(index).copied().unwrap_or_default().to_owned();
    let mut tail: Vec<String> = rest.iter().skip(base + 3).copied().map(str::to_owned).collect();
    if ends_with_slash && rest.len() > base + 2 {
        tail.push(String::new());
    }
    Some(Parts {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: if base == 2 { at(1) } else { String::new() },
        resource: at(base),
        name: at(base + 1),
        subresource: at(base + 2),
        rest: tail,
    })
}

/// Reads method, path and query.
///
/// # Errors
/// The path is malformed, whoever asks.
pub(crate) fn read(rows: &Rows, asked: Asked<'_>) -> Result<Route, Status> {
    let path = decoded(asked.path)?;
    let Some(parts) = parts(&path) else { return Ok(Route::Path) };
    // Coded slashes make more segments of it; two slashes leave one empty.
    let seems_other = path.matches('/').count() != asked.path.matches('/').count() || path.contains("//");
    match (seems_other, reviews::find(&parts.group, &parts.resource)) {
        (true, _) => Ok(refused(asked, parts, Status::no_such_path())),
        (false, Some(kind)) => Ok(review(asked, kind, parts)),
        (false, None) => Ok(operation(rows, asked, parts)),
    }
}

fn refused(asked: Asked<'_>, parts: Parts, status: Status) -> Route {
    let verb = verb(asked, &parts).map_or("", Verb::as_str).to_owned();
    let Parts { group, version, namespace, resource, name, subresource, .. } = parts;
    let attributes =
        Attributes { verb, resource, group, version, namespace, name, subresource, ..Attributes::default() };
    Route::Refused(Box::new(attributes), Box::new(status))
}

fn review(asked: Asked<'_>, kind: &'static Kind, parts: Parts) -> Route {
    let fits = parts.version == kind.version && parts.name.is_empty() && kind.namespaced != parts.namespace.is_empty();
    match (fits, asked.method) {
        (false, _) => refused(asked, parts, Status::no_such_path()),
        (true, &Method::POST) => Route::Review { kind, namespace: parts.namespace },
        (true, _) => refused(asked, parts, Status::method_not_allowed()),
    }
}

fn operation(rows: &Rows, asked: Asked<'_>, parts: Parts) -> Route {
    let info = rows.find(&parts.group, &parts.version, &parts.resource);
    let Some((info, subresource)) = info.and_then(|info| Some((info.clone(), fitting(info, &parts)?))) else {
        return refused(asked, parts, Status::no_such_path());
    };
    if let Some(status) = malformed_name(&parts) {
        return refused(asked, parts, status);
    }
    if *asked.method == Method::HEAD {
        return refused(asked, parts, Status::method_not_allowed());
    }
    let connects = info.action(subresource) == Some(Action::Connect);
    let method_fits = !connects || connect_method(&info, subresource, asked.method);
    let Some(verb) = verb(asked, &parts).filter(|_| method_fits) else {
        return refused(asked, parts, Status::method_not_allowed());
    };
    let Parts { namespace, name, rest, .. } = parts;
    let mut target = Target { info, namespace, name, subresource };
    let options = match connects {
        true => connect_options::read(&mut target, asked.query, rest).map(Options::Connect),
        false => options::read(verb, &target, asked.query),
    };
    let narrows = matches!(verb, Verb::List | Verb::Watch);
    let selected = if narrows { Selected::parse(asked.query.get("fieldSelector")) } else { Selected::default() };
    Route::Operation(Box::new(Operation { verb, target, selected, options: options.map_err(Box::new) }))
}

/// The methods of what a node's agent answers.
fn connect_method(info: &Row, subresource: &str, method: &Method) -> bool {
    match subresource {
        "log" => *method == Method::GET,
        _ if info.is(&POD) => matches!(*method, Method::GET | Method::POST),
        _ => true,
    }
}

/// What authorisers are asked for. Streams to processes and through a node's agent are `create`
/// whatever the method: WebSockets are GETs, and the right to read is not the right to run commands
/// (KEP-4006).
fn verb(asked: Asked<'_>, parts: &Parts) -> Option<Verb> {
    let collection = parts.name.is_empty();
    let watches = asked.query.flag("watch") == Some(true);
    let streams = match (parts.resource.as_str(), parts.subresource.as_str()) {
        ("pods", "exec" | "attach" | "portforward") => true,
        ("nodes", "proxy") => asked.upgrades,
        _ => false,
    };
    Some(match *asked.method {
        Method::GET if streams && parts.group.is_empty() => Verb::Create,
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

/// The subresource, if the kind has such a path: objects of namespaced kinds lie in a namespace,
/// subresources are known, and nothing follows them but what `nodes/NAME/proxy` passes on.
fn fitting(info: &Row, parts: &Parts) -> Option<&'static str> {
    let place = match info.kind.namespaced {
        true => !parts.namespace.is_empty() || parts.name.is_empty(),
        false => parts.namespace.is_empty(),
    };
    let subresource = match parts.subresource.as_str() {
        "" => "",
        named => info.subresource(named)?.name,
    };
    let passes_on = info.is(&NODE) && subresource == "proxy";
    (place && (passes_on || parts.rest.iter().all(String::is_empty))).then_some(subresource)
}

/// Names that would be another path, refused in Kubernetes' words.
fn malformed_name(parts: &Parts) -> Option<Status> {
    let why = |text: &str| match text {
        "." => Some("may not be '.'"),
        ".." => Some("may not be '..'"),
        text if text.contains('%') => Some("may not contain '%'"),
        _ => None,
    };
    let named = [("Name", &parts.name), ("Namespace", &parts.namespace)];
    let refused = named.into_iter().find_map(|(what, text)| Some((what, text, why(text)?)));
    let dots = parts.rest.iter().any(|segment| matches!(segment.as_str(), "." | ".."));
    match refused {
        Some((what, text, why)) => Some(Status::bad_request(format!("{what} parameter invalid: {text:?}: {why}"))),
        None => dots.then(|| Status::bad_request("the path to pass on may not have segments of dots")),
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
