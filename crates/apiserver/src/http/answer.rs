//! Answers: values become bytes with the right headers.

use bytes::Bytes;
use everynode_api::status::Status;
use everynode_protobuf::EncodeError;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WARNING};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::body::{OutBody, whole};
use super::handle::Head;
use super::negotiate::{self, Accepted, Encoding, Shape};
use crate::catalogue::{Row, RowRef};
use crate::object;
use crate::operation::budget::Share;
use crate::registry::read::list_meta;
use crate::registry::{ListPage, Reply, read};
use crate::tables::{self, IncludeObject};

pub(crate) type Answer = Response<OutBody>;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
/// Warnings beyond these are dropped: header blocks are bounded.
const WARNINGS_MAX: usize = 32;

/// Lists of so many items are encoded while they are sent: the objects are shared, a whole copy
/// never exists.
const STREAMED_ITEMS_MIN: usize = 100;

/// Bytes with a content type.
pub(crate) fn bytes(code: u16, content_type: &str, body: Bytes) -> Answer {
    let mut answer = Response::new(whole(body));
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    if let Ok(value) = HeaderValue::from_str(content_type) {
        headers.insert(CONTENT_TYPE, value);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

pub(crate) fn text(code: u16, body: impl Into<String>) -> Answer {
    bytes(code, "text/plain; charset=utf-8", Bytes::from(body.into()))
}

/// Nothing is at a path that is of no API, as Go's HTTP server says it.
pub(crate) fn no_such_page() -> Answer {
    text(404, "404 page not found\n")
}

/// A code and nothing else.
pub(crate) fn empty(code: StatusCode) -> Answer {
    let mut answer = Response::new(whole(Bytes::new()));
    *answer.status_mut() = code;
    answer
}

/// A failure as JSON: there is no request to it, or none that could be read.
pub(crate) fn failure(status: &Status) -> Answer {
    failed(status, JSON, serde_json::to_vec(status).unwrap_or_default().into())
}

/// A failure in the encoding that its client prefers; JSON for everything but protobuf.
pub(crate) fn failure_for(head: &Head, status: &Status) -> Answer {
    if !negotiate::prefers_protobuf(head.header(&ACCEPT)) {
        return failure(status);
    }
    let json = serde_json::to_vec(status).unwrap_or_default();
    match everynode_protobuf::object(&json) {
        Ok(body) => failed(status, everynode_protobuf::MEDIA_TYPE, body.into()),
        Err(_) => failure(status),
    }
}

fn failed(status: &Status, content_type: &str, body: Bytes) -> Answer {
    let mut answer = bytes(status.code, content_type, body);
    let wait = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if wait > 0 {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait));
    }
    answer
}

/// JSON bytes in the encoding that was asked for.
pub(crate) fn encoded(code: u16, encoding: Encoding, json: Bytes) -> Result<Answer, Status> {
    match encoding {
        Encoding::Json => Ok(bytes(code, JSON, json)),
        Encoding::Yaml => {
            let value: Value = serde_json::from_slice(&json).map_err(Status::internal)?;
            let text = serde_saphyr::to_string(&value).map_err(Status::internal)?;
            Ok(bytes(code, YAML, text.into()))
        }
        Encoding::Protobuf => {
            let body = everynode_protobuf::object(&json).map_err(not_encoded)?;
            Ok(bytes(code, everynode_protobuf::MEDIA_TYPE, body.into()))
        }
    }
}

/// Why there is no answer in protobuf: the kind has no message, or (a defect) the object does not
/// fit it.
pub(crate) fn not_encoded(error: EncodeError) -> Status {
    match error {
        EncodeError::UnknownKind { .. } => Status::failure(406, "NotAcceptable", error.to_string()),
        error => Status::internal(error),
    }
}

/// The answer to a request about one object.
pub(crate) fn reply(
    info: &Row,
    reply: Reply,
    accepted: Accepted,
    include: IncludeObject,
    now: jiff::Timestamp,
) -> Result<Answer, Status> {
    let json = match accepted.shape {
        Shape::Whole => reply.json,
        _ if !reply.is_object => reply.json,
        Shape::Table => {
            let value: Value = serde_json::from_slice(&reply.json).map_err(Status::internal)?;
            let meta = json!({"resourceVersion": object::meta(&value, "resourceVersion")});
            to_bytes(&tables::table(info, vec![value], meta, include, true, now))?
        }
        Shape::Metadata => {
            let value: Value = serde_json::from_slice(&reply.json).map_err(Status::internal)?;
            to_bytes(&partial(value))?
        }
    };
    encoded(reply.code, accepted.encoding, json)
}

/// A list in the form that was asked for.
pub(crate) fn list(
    info: &RowRef,
    page: ListPage,
    accepted: Accepted,
    include: IncludeObject,
    now: jiff::Timestamp,
    share: Share,
) -> Result<Answer, Status> {
    let page = match (accepted.shape, accepted.encoding, page.items.len()) {
        (Shape::Whole, Encoding::Json, STREAMED_ITEMS_MIN..) => {
            return Ok(super::list::streamed(info.clone(), page, share));
        }
        (Shape::Whole, Encoding::Protobuf, STREAMED_ITEMS_MIN..) => {
            return super::protobuf_list::streamed(info.clone(), page, share);
        }
        _ => &page,
    };
    let json = match accepted.shape {
        Shape::Whole => read::list_body(info, page)?,
        Shape::Table => to_bytes(&tables::table(info, values(info, page)?, list_meta(page), include, true, now))?,
        Shape::Metadata => {
            let items: Vec<Value> = values(info, page)?.into_iter().map(partial).collect();
            to_bytes(
                &json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": list_meta(page), "items": items}),
            )?
        }
    };
    encoded(200, accepted.encoding, json)
}

fn values(info: &Row, page: &ListPage) -> Result<Vec<Value>, Status> {
    let value = |item: &std::sync::Arc<crate::hub::Item>| {
        serde_json::from_slice(&read::external(info, &item.kv.value, item.kv.modified)?).map_err(Status::internal)
    };
    page.items.iter().map(value).collect()
}

/// Only the metadata of an object.
pub(crate) fn partial(mut value: Value) -> Value {
    let metadata = object::take_metadata(&mut value);
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
}

pub(crate) fn to_bytes(value: &Value) -> Result<Bytes, Status> {
    serde_json::to_vec(value).map(Bytes::from).map_err(Status::internal)
}

/// `Warning: 299 - "text"` (RFC 7234, DS-I40), with successes and failures alike.
pub(crate) fn add_warnings(answer: &mut Answer, warnings: &[String]) {
    for text in warnings.iter().take(WARNINGS_MAX) {
        let escaped: String = text
            .chars()
            .filter(|c| !c.is_control())
            .flat_map(|c| match c {
                '"' | '\\' => vec!['\\', c],
                c => vec![c],
            })
            .collect();
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{escaped}\"")) {
            answer.headers_mut().append(WARNING, value);
        }
    }
}
