//! Paths that are about no object: health, version, metrics, discovery, OpenAPI.

use everynode_api::status::Status;
use everynode_store::Health;
use serde_json::json;

use super::answer::{self, Answer};
use super::query::Query;
use crate::auth::{issuer_discovery, reviews};
use crate::catalogue::Rows;
use crate::discovery;
use crate::server::ApiServer;

/// The level of Kubernetes that is spoken.
const MINOR: &str = "36";
/// The oldest level that a server of this one can stand in for.
const MINOR_COMPATIBLE: &str = "35";

/// The checks of health that can be asked for by name.
const CHECKS: [&str; 3] = ["ping", "store", "shutdown"];

/// Whether anybody may ask for this path.
pub(crate) fn is_public(path: &str) -> bool {
    matches!(path, "/healthz" | "/livez" | "/readyz" | "/version" | "/version/")
        || ["/healthz/", "/livez/", "/readyz/"]
            .iter()
            .any(|prefix| path.strip_prefix(prefix).is_some_and(|check| CHECKS.contains(&check)))
}

/// Whether a path answers every method as it answers GET.
pub(crate) fn takes_any_method(path: &str) -> bool {
    path == "/metrics" || is_public(path) && !path.starts_with("/version")
}

/// The answer where nothing is: below a group that is served a Status, elsewhere a page.
pub(crate) fn nothing(rows: &Rows, path: &str) -> Result<Answer, Status> {
    let mut segments = path.split('/').skip(1);
    let is_of_api = match (segments.next(), segments.next()) {
        (Some("api"), Some(_)) => true,
        (Some("apis"), Some(group)) => is_served(rows, group),
        (Some("openapi"), Some("v3")) => return Ok(answer::empty(http::StatusCode::NOT_FOUND)),
        _ => false,
    };
    match is_of_api {
        true => Err(Status::no_such_path()),
        false => Ok(answer::no_such_page()),
    }
}

/// Whether anything of a group is served.
fn is_served(rows: &Rows, group: &str) -> bool {
    let mut groups = rows.iter().map(|row| &row.kind.group).chain(reviews::KINDS.iter().map(|kind| &kind.group));
    groups.any(|served| served == group)
}

/// Discovery and OpenAPI documents.
pub(crate) fn document(rows: &Rows, path: &str, accept: &str) -> Option<discovery::Answer> {
    if path.starts_with("/openapi/") {
        return crate::openapi::respond(rows, path, accept);
    }
    discovery::respond(rows, path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path), accept)
}

/// The answer to a GET; `None`: no such path.
pub(crate) fn get(server: &ApiServer, path: &str, query: &Query, accept: &str, if_none_match: &str) -> Option<Answer> {
    match path {
        "/version" | "/version/" => Some(version()),
        "/metrics" => Some(metrics(server)),
        "/" => Some(root()),
        _ if path.trim_end_matches('/') == issuer_discovery::CONFIGURATION => Some(issuer(server)),
        _ if path.trim_end_matches('/') == issuer_discovery::KEYS => Some(issuer_keys(server)),
        _ if is_public(path) => Some(health(server, path, query)),
        _ => document(&server.registry.catalogue.rows(), path, accept).map(|found| conditional(found, if_none_match)),
    }
}

fn version() -> Answer {
    let version = env!("CARGO_PKG_VERSION");
    let body = json!({
        "major": "1", "minor": MINOR, "emulationMajor": "1", "emulationMinor": MINOR,
        "minCompatibilityMajor": "1", "minCompatibilityMinor": MINOR_COMPATIBLE, "gitVersion": format!("v1.{MINOR}.0+everynode-{version}"), "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64"
    });
    answer::bytes(200, "application/json", body.to_string().into())
}

fn issuer(server: &ApiServer) -> Answer {
    let [a, b, c] = server.registry.settings.service_network;
    let address = server.advertised.map_or_else(|| format!("{a}.{b}.{c}.1:443"), |address| address.to_string());
    let body = issuer_discovery::configuration(&server.registry.tokens, &address);
    answer::bytes(200, "application/json", body.to_string().into())
}

fn issuer_keys(server: &ApiServer) -> Answer {
    let body = issuer_discovery::keys(&server.registry.tokens);
    answer::bytes(200, "application/jwk-set+json", body.to_string().into())
}

fn root() -> Answer {
    let paths = [
        "/.well-known/openid-configuration",
        "/api",
        "/api/v1",
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ];
    answer::bytes(200, "application/json", json!({"paths": paths}).to_string().into())
}

/// `ok`, or what is wrong; `?verbose` names the checks (DS-I01). Neither a store that cannot write
/// nor an end that is near is a reason to restart the server, so only readiness knows of them.
fn health(server: &ApiServer, path: &str, query: &Query) -> Answer {
    let about_ready = path.starts_with("/readyz");
    let store = Some(server.registry.store.health()).filter(|health| about_ready && *health != Health::Good);
    let shutdown = (about_ready && !server.ready()).then_some("the server is shutting down");
    let checks = CHECKS.map(|check| match check {
        "store" => (check, store.map(Health::words)),
        "shutdown" => (check, shutdown),
        _ => (check, None),
    });
    let good = checks.iter().all(|(_, wrong)| wrong.is_none());
    let name = path.trim_start_matches('/').split('/').next().unwrap_or("healthz");
    if good && query.flag("verbose").is_none() {
        return answer::text(200, "ok");
    }
    let line = |(check, wrong): &(&str, Option<&str>)| match wrong {
        None => format!("[+]{check} ok\n"),
        Some(wrong) => format!("[-]{check} failed: {wrong}\n"),
    };
    let lines: String = checks.iter().map(line).collect();
    match good {
        true => answer::text(200, format!("{lines}{name} check passed\n")),
        false => answer::text(503, format!("{lines}{name} check failed\n")),
    }
}

/// One of the states is 1.
fn store_metrics(health: Health) -> String {
    let mut out = "# HELP everynode_store_health Whether the store takes writes: good, full (only deletes and small \
                   changes), failing (none).\n# TYPE everynode_store_health gauge\n"
        .to_owned();
    for (state, name) in [(Health::Good, "good"), (Health::Full, "full"), (Health::Failing, "failing")] {
        out += &format!("everynode_store_health{{state=\"{name}\"}} {}\n", u8::from(state == health));
    }
    out
}

fn metrics(server: &ApiServer) -> Answer {
    let mut objects: Vec<(String, usize)> = Vec::new();
    // What is shown in two forms is stored once.
    for info in server.registry.catalogue.rows().iter().filter(|row| row.is_stored_form()) {
        let count = server.registry.hub.topic(&info.storage).map_or(0, |topic| topic.len());
        objects.push((info.kind.qualified_resource(), count));
    }
    let further = server.further_metrics.get().map(|render| render()).unwrap_or_default();
    let body = server.metrics.text(&objects)
        + &server.pki.metrics()
        + &store_metrics(server.registry.store.health())
        + &further;
    answer::bytes(200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", body.into())
}

/// 304 where the client has the document already (DS-I02).
fn conditional(found: discovery::Answer, if_none_match: &str) -> Answer {
    let etag = found.etag.unwrap_or_default();
    let same = !etag.is_empty() && if_none_match.split(',').any(|held| held.trim() == etag);
    let mut answer = match same {
        true => answer::bytes(304, found.content_type, bytes::Bytes::new()),
        false => answer::bytes(found.status, found.content_type, found.body),
    };
    let headers = answer.headers_mut();
    if let Ok(value) = http::HeaderValue::from_str(&etag)
        && !etag.is_empty()
    {
        headers.insert(http::header::ETAG, value);
        headers.insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("public"));
    }
    headers.insert(http::header::VARY, http::HeaderValue::from_static("Accept"));
    answer
}
