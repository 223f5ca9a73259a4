//! OpenAPI documents, as kubectl and client libraries ask for them (DS-I04, DS-I05).
//!
//! Version 3 has an index and one document per group and version; version 2 is one document, in
//! JSON or in gnostic's protobuf encoding, which kubectl 1.20 to 1.26 insist on. Everything is made
//! on first request and kept: [`schema`] turns the types into definitions, [`paths`] the resources
//! into operations, `written` those into JSON, [`proto`] encodes.

mod custom;
mod paths;
mod proto;
mod schema;
#[cfg(test)]
mod tests;
mod written;

use std::sync::PoisonError;

use serde_json::{Map, Value, json};

use crate::catalogue::Rows;
use crate::discovery::resources::{GroupVersion, group_versions};
use crate::discovery::{Answer, content_hash};

/// gnostic's encoding of version 2.
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The name by which clients ask for it. It must not be the answer's: `@` makes it no media type
/// for Go.
const PROTOBUF_ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/// The version that `/version` reports, too.
const KUBERNETES: &str = "v1.36.0";

/// The dialect of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    V2,
    V3,
}

impl Dialect {
    /// A reference to a definition.
    fn reference(self, name: &str) -> Value {
        let place = match self {
            Dialect::V2 => "#/definitions",
            Dialect::V3 => "#/components/schemas",
        };
        json!({ "$ref": format!("{place}/{name}") })
    }
}

/// Answers `/openapi/v2`, `/openapi/v3` and `/openapi/v3/…`; `None` where there is no document. The
/// query (`hash=…`) only makes URLs differ; there is one document per path.
pub(crate) fn respond(rows: &Rows, path: &str, accept: &str) -> Option<Answer> {
    let path = path.trim_end_matches('/');
    let mut asked = accept.split(',').map(|choice| choice.split(';').next().unwrap_or_default().trim());
    let wants_protobuf = asked.any(|media| [PROTOBUF, PROTOBUF_ASKED].contains(&media));
    match path.strip_prefix("/openapi/")? {
        "v2" if wants_protobuf => {
            cached(rows, "v2 protobuf", || Some(Answer::bytes(PROTOBUF, proto::document(&v2(rows)).into())))
        }
        "v2" => cached(rows, "v2", || Some(Answer::json("application/json", &v2(rows)))),
        // As Kubernetes sends it: not declared to be JSON, and with hashes inside instead of one
        // outside.
        "v3" => cached(rows, "v3", || {
            Some(Answer { etag: None, ..Answer::json("text/plain; charset=utf-8", &index(rows)) })
        }),
        "v3/version" => cached(rows, "v3 version", || Some(Answer::json("application/json", &server_version()))),
        rest => {
            let wanted = rest.strip_prefix("v3/")?.to_owned();
            cached(rows, rest, || {
                let version = group_versions(rows).into_iter().find(|version| version.path()[1..] == wanted)?;
                Some(Answer::json("application/json", &v3(rows, &version)))
            })
        }
    }
}

/// The kept answers: at most one per document, whatever is asked.
fn cached(rows: &Rows, name: &str, make: impl FnOnce() -> Option<Answer>) -> Option<Answer> {
    // A panic in `make` leaves the map as it was.
    let mut answers = rows.openapi.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(answer) = answers.get(name) {
        return Some(answer.clone());
    }
    let answer = make()?;
    answers.insert(name.to_owned(), answer.clone());
    Some(answer)
}

/// Where each group and version's document is. The hash changes with the data that the documents
/// are made of.
fn index(rows: &Rows) -> Value {
    let versions = group_versions(rows);
    let base = content_hash(format!("{}{}{versions:?}", env!("CARGO_PKG_VERSION"), schema::DOCS).as_bytes());
    let mut paths = Map::new();
    for version in &versions {
        let of_version =
            rows.iter().filter(|row| row.kind.group == version.group && row.kind.version == version.version);
        let schemas: Vec<String> =
            of_version.filter_map(|row| row.custom.as_ref()).map(|custom| custom.document.to_string()).collect();
        let hash = match schemas.is_empty() {
            true => base.clone(),
            false => content_hash(format!("{base}{schemas:?}").as_bytes()),
        };
        let path = &version.path()[1..];
        let url = format!("/openapi/v3/{path}?hash={hash}");
        paths.insert(path.to_owned(), json!({ "serverRelativeURL": url }));
    }
    let url = format!("/openapi/v3/version?hash={base}");
    paths.insert("version".to_owned(), json!({ "serverRelativeURL": url }));
    json!({ "paths": paths })
}

/// The document of `/version`, which is of no group.
fn server_version() -> Value {
    let text = json!({ "type": "string", "default": "" });
    let required =
        ["major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"];
    let levels = ["emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor"];
    let properties: Map<String, Value> = required
        .iter()
        .map(|name| ((*name).to_owned(), text.clone()))
        .chain(levels.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))))
        .collect();
    let name = "io.k8s.apimachinery.pkg.version.Info";
    let answer = json!({ "description": "OK",
        "content": { "application/json": { "schema": Dialect::V3.reference(name) } } });
    let get = json!({ "tags": ["version"], "description": "get the version information for this server",
        "operationId": "getCodeVersion", "responses": { "200": answer, "401": { "description": "Unauthorized" } } });
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": { "/version/": { "get": get } },
        "components": { "schemas": { name: { "type": "object", "required": required, "properties": properties } } },
    })
}

fn info() -> Value {
    json!({ "title": "Kubernetes", "version": KUBERNETES })
}

fn v3(rows: &Rows, version: &GroupVersion) -> Value {
    let operations = paths::operations(version);
    let roots = operations.iter().flat_map(|operation| operation.definitions());
    let schemas = schema::closure(roots.collect(), Dialect::V3, &custom::definitions(rows, Dialect::V3));
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": written::document(&operations, Dialect::V3),
        "components": { "schemas": schemas },
    })
}

fn v2(rows: &Rows) -> Value {
    let operations: Vec<_> = group_versions(rows).iter().flat_map(paths::operations).collect();
    let roots = operations.iter().flat_map(|operation| operation.definitions());
    let definitions = schema::closure(roots.collect(), Dialect::V2, &custom::definitions(rows, Dialect::V2));
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": written::document(&operations, Dialect::V2),
        "definitions": definitions,
    })
}
