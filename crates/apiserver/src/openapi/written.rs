//! Operations as JSON, in both dialects.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Dialect;
use super::paths::{Operation, Parameter};
use super::schema::kind_of;

/// The `paths` of a document.
pub(super) fn document(operations: &[Operation], dialect: Dialect) -> Map<String, Value> {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let item = paths.entry(operation.path.clone()).or_insert_with(|| path_item(&operation.path, dialect));
        item[operation.method] = written(operation, dialect);
    }
    paths
}

/// A path with the parameters that stand in it.
fn path_item(path: &str, dialect: Dialect) -> Value {
    let descriptions =
        [("name", "name of the object"), ("namespace", "object name and auth scope, such as for teams and projects")];
    let standing = descriptions.into_iter().filter(|(name, _)| path.contains(&format!("{{{name}}}")));
    let parameters: Vec<Value> =
        standing.map(|(name, description)| parameter((name, "string", description), "path", dialect)).collect();
    match parameters.is_empty() {
        true => json!({}),
        false => json!({ "parameters": parameters }),
    }
}

fn parameter((name, kind, description): Parameter, place: &str, dialect: Dialect) -> Value {
    let mut parameter = json!({ "name": name, "in": place, "description": description, "uniqueItems": true });
    if place == "path" {
        parameter["required"] = true.into();
    }
    match dialect {
        Dialect::V2 => parameter["type"] = kind.into(),
        Dialect::V3 => {
            parameter["schema"] = json!({ "type": kind, "uniqueItems": true });
            parameter.as_object_mut().map(|members| members.remove("uniqueItems"));
        }
    }
    parameter
}

fn written(operation: &Operation, dialect: Dialect) -> Value {
    let mut written = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "description": format!("{} {}", operation.action, operation.body.kind),
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": kind_of(&operation.body.api_version(), &operation.body.kind),
    });
    let mut parameters: Vec<Value> = operation.query.iter().map(|query| parameter(*query, "query", dialect)).collect();
    match dialect {
        Dialect::V2 => {
            if let Some(request) = &operation.request {
                let schema = dialect.reference(request);
                parameters.push(json!({ "name": "body", "in": "body", "required": true, "schema": schema }));
            }
            written["consumes"] = json!(operation.consumes());
            written["produces"] = json!(["application/json", "application/yaml"]);
            written["schemes"] = json!(["https"]);
        }
        Dialect::V3 => {
            if let Some(request) = &operation.request {
                written["requestBody"] = request_body(operation, request, dialect);
            }
        }
    }
    if !parameters.is_empty() {
        written["parameters"] = parameters.into();
    }
    written["responses"] = json!({ "200": answer(operation, dialect) });
    written
}

fn request_body(operation: &Operation, request: &str, dialect: Dialect) -> Value {
    let media: BTreeSet<&str> = operation.consumes().iter().copied().collect();
    let entry = json!({ "schema": dialect.reference(request) });
    let content: Map<String, Value> = media.into_iter().map(|media| (media.to_owned(), entry.clone())).collect();
    json!({ "content": content, "required": true })
}

fn answer(operation: &Operation, dialect: Dialect) -> Value {
    let schema = match &operation.response {
        Some(response) => dialect.reference(response),
        None => json!({ "type": "string" }),
    };
    match dialect {
        Dialect::V2 => json!({ "description": "OK", "schema": schema }),
        Dialect::V3 => {
            let media = if operation.response.is_some() { "application/json" } else { "text/plain" };
            json!({ "description": "OK", "content": { media: { "schema": schema } } })
        }
    }
}
