//! Which form a request's body has and which the answer shall have (DS-I06, DS-I38).

use everynode_api::ports::PatchType;
use everynode_api::status::Status;
use everynode_protobuf::MEDIA_TYPE;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::registry::Target;
use crate::schema::Media;
use crate::tables::IncludeObject;

/// The encoding of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Yaml,
    Protobuf,
}

/// How objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Whole,
    Table,
    /// `PartialObjectMetadata`, or its list.
    Metadata,
}

/// What the client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) encoding: Encoding,
    pub(crate) shape: Shape,
}

/// What is answered to clients that accept none of it.
const OFFERED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// In which forms a kind is shown in protobuf; in JSON and YAML all are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protobuf {
    /// Whole, and as metadata.
    Whole,
    /// As metadata only: a custom resource has no message.
    Metadata,
}

impl Protobuf {
    pub(crate) fn of(target: &Target) -> Protobuf {
        // The scale of a custom resource is of a built-in kind.
        let is_custom = target.info.custom.is_some() && target.subresource != "scale";
        if is_custom { Protobuf::Metadata } else { Protobuf::Whole }
    }

    fn shows(self, accepted: Accepted) -> bool {
        match (accepted.encoding, accepted.shape) {
            (Encoding::Protobuf, Shape::Table) => false,
            (Encoding::Protobuf, Shape::Whole) => self == Protobuf::Whole,
            _ => true,
        }
    }
}

/// The first form in `Accept` that is served. Without a header it is JSON.
pub(crate) fn accepted(headers: &HeaderMap, protobuf: Protobuf) -> Result<Accepted, Status> {
    let text = header(headers, ACCEPT.as_str());
    if text.trim().is_empty() {
        return Ok(Accepted { encoding: Encoding::Json, shape: Shape::Whole });
    }
    let mut clauses = text.split(',').filter_map(clause);
    clauses.find(|clause| protobuf.shows(*clause)).ok_or_else(|| Status::not_acceptable(OFFERED))
}

/// Whether the first whole form that a client accepts is protobuf: refusals and documents about
/// what is served come so, too.
pub(crate) fn prefers_protobuf(accept: &str) -> bool {
    let mut clauses = accept.split(',').filter_map(clause);
    clauses.find(|clause| clause.shape == Shape::Whole).is_some_and(|clause| clause.encoding == Encoding::Protobuf)
}

/// Kinds that are answers and no objects have no table: a client that accepts nothing else is
/// refused.
pub(crate) fn refuse_table(headers: &HeaderMap) -> Result<(), Status> {
    let text = header(headers, ACCEPT.as_str());
    let whole = |clause: Accepted| clause.shape == Shape::Whole;
    match text.trim().is_empty() || text.split(',').filter_map(clause).any(whole) {
        true => Ok(()),
        false => Err(Status::not_acceptable(OFFERED)),
    }
}

/// Several headers of a name count as one list.
fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",")
}

fn clause(text: &str) -> Option<Accepted> {
    let mut parts = text.split(';').map(str::trim);
    let encoding = match parts.next()? {
        "application/json" | "*/*" | "application/*" | "text/*" => Encoding::Json,
        "application/yaml" | "text/yaml" | "application/x-yaml" => Encoding::Yaml,
        MEDIA_TYPE => Encoding::Protobuf,
        _ => return None,
    };
    let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
    let get = |name: &str| parameters.iter().find(|(held, _)| *held == name).map(|(_, value)| *value);
    let of_meta = get("g") == Some("meta.k8s.io") && matches!(get("v"), Some("v1" | "v1beta1"));
    let shape = match get("as") {
        None => Shape::Whole,
        Some("Table") if of_meta => Shape::Table,
        Some("PartialObjectMetadata" | "PartialObjectMetadataList") if of_meta => Shape::Metadata,
        Some(_) => return None,
    };
    Some(Accepted { encoding, shape })
}

/// `includeObject` of a table.
pub(crate) fn include_object(text: &str) -> Result<IncludeObject, Status> {
    match text {
        "" | "Metadata" => Ok(IncludeObject::Metadata),
        "None" => Ok(IncludeObject::None),
        "Object" => Ok(IncludeObject::Object),
        other => Err(Status::bad_request(format!("unrecognized includeObject value: {other:?}"))),
    }
}

/// Whether a request's object is in Kubernetes' protobuf encoding.
pub(crate) fn is_protobuf(headers: &HeaderMap) -> bool {
    header(headers, CONTENT_TYPE.as_str()).split(';').next().is_some_and(|media| media.trim() == MEDIA_TYPE)
}

/// The form of a request's object; JSON where nothing is said.
pub(crate) fn media(headers: &HeaderMap) -> Result<Media, Status> {
    let text = header(headers, CONTENT_TYPE.as_str());
    match text.split(';').next().unwrap_or("").trim() {
        "" | "application/json" | "text/json" => Ok(Media::Json),
        "application/yaml" | "text/yaml" | "application/x-yaml" => Ok(Media::Yaml),
        _ => Err(Status::unsupported_media_type(OFFERED)),
    }
}

const PATCHES: &str = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
     application/apply-patch+yaml";

/// How a patch says what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchForm {
    Patch(PatchType),
    /// Server-side apply.
    Apply,
}

/// The form of a patch.
pub(crate) fn patch_form(headers: &HeaderMap) -> Result<PatchForm, Status> {
    let text = header(headers, CONTENT_TYPE.as_str());
    Ok(match text.split(';').next().unwrap_or("").trim() {
        "application/json-patch+json" => PatchForm::Patch(PatchType::Json),
        "application/merge-patch+json" => PatchForm::Patch(PatchType::Merge),
        "application/strategic-merge-patch+json" => PatchForm::Patch(PatchType::Strategic),
        "application/apply-patch+yaml" => PatchForm::Apply,
        // Forms that look as if they were served.
        "application/apply-patch+json" | "application/apply-patch+cbor" => {
            let mut status = Status::failure(415, "UnsupportedMediaType", "415: Unsupported Media Type");
            status.details = Some(everynode_api::status::Details::default());
            return Err(status);
        }
        _ => return Err(Status::unsupported_media_type(PATCHES)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str) -> Option<Accepted> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        accepted(&headers, Protobuf::Whole).ok()
    }

    #[test]
    fn protobuf_shows_what_has_a_message() {
        let check = |accept: &str, protobuf| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            accepted(&headers, protobuf).map(|found| (found.encoding, found.shape)).map_err(|status| status.code)
        };
        let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        let table = "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1";
        let whole = (Encoding::Protobuf, Shape::Whole);
        assert_eq!(check(MEDIA_TYPE, Protobuf::Whole), Ok(whole));
        assert_eq!(check("application/vnd.kubernetes.protobuf;stream=watch", Protobuf::Whole), Ok(whole));
        assert_eq!(check(MEDIA_TYPE, Protobuf::Metadata), Err(406));
        assert_eq!(check(metadata, Protobuf::Metadata), Ok((Encoding::Protobuf, Shape::Metadata)));
        assert_eq!(check(table, Protobuf::Whole), Err(406));
        assert_eq!(check(&format!("{table},application/json"), Protobuf::Whole), Ok((Encoding::Json, Shape::Whole)));
        let refusals = [(MEDIA_TYPE, true), (metadata, false), ("text/html,application/json", false)];
        assert_eq!(refusals.map(|(accept, _)| prefers_protobuf(accept)), refusals.map(|(_, preferred)| preferred));
    }

    #[test]
    fn the_first_served_form_is_taken() {
        let json = Accepted { encoding: Encoding::Json, shape: Shape::Whole };
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(check(table), Some(Accepted { shape: Shape::Table, ..json })); // DS-I38
        let protobuf = Some(Accepted { encoding: Encoding::Protobuf, ..json });
        assert_eq!(check("application/vnd.kubernetes.protobuf,application/json"), protobuf); // DS-I06
        assert_eq!(check("application/cbor"), None);
        assert_eq!(check("application/json;as=Table;v=v9;g=meta.k8s.io, */*"), Some(json));
        assert_eq!(check("application/yaml").map(|a| a.encoding), Some(Encoding::Yaml));
    }

    #[test]
    fn what_has_no_table_is_not_shown_as_one() {
        let check = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            refuse_table(&headers).map_err(|status| status.code)
        };
        assert_eq!(check("application/json;as=Table;v=v1;g=meta.k8s.io"), Err(406));
        assert_eq!(check("application/json;as=Table;v=v1;g=meta.k8s.io, application/json"), Ok(()));
        assert_eq!(refuse_table(&HeaderMap::new()), Ok(()));
    }
}
