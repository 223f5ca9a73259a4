//! Discovery: which groups, versions and resources are served, in the old form and the aggregated
//! one (DS-I01 to DS-I03). Everything follows from the table of kinds; [`resources`] adds
//! subresources and reviews.

mod forms;
pub(crate) mod resources;

use std::collections::BTreeMap;
use std::hash::Hasher;

use bytes::Bytes;
use everynode_common::fnv::{self, Fnv64};
use everynode_protobuf::MEDIA_TYPE;
use serde_json::Value;

use self::forms::Aggregated;

use crate::catalogue::Rows;

/// A finished answer to a GET. `etag` includes its quotes: compare it with `If-None-Match` as it
/// is.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) etag: Option<String>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A JSON document with an ETag of its content.
    pub(crate) fn json(content_type: &'static str, document: &Value) -> Answer {
        Answer::bytes(content_type, document.to_string().into())
    }

    pub(crate) fn bytes(content_type: &'static str, body: Bytes) -> Answer {
        let etag = format!("\"{}\"", content_hash(&body));
        Answer { status: 200, content_type, etag: Some(etag), body }
    }
}

/// The form of an answer that a client can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Plain,
    /// As plain, in protobuf: what a client with that content type asks for.
    Protobuf,
    V2,
    V2Beta1,
}

const FORMS: [(Form, &str, &str); 2] = [
    (Form::V2, "v2", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
    (Form::V2Beta1, "v2beta1", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"),
];

/// Answers `/api`, `/api/v1`, `/apis`, `/apis/G` and `/apis/G/V`; `None` where nothing is served.
pub(crate) fn respond(rows: &Rows, path: &str, accept: &str) -> Option<Answer> {
    let path = path.trim_end_matches('/');
    let form = match path {
        "/api" | "/apis" => wanted(accept),
        _ if wanted(accept) == Form::Protobuf => Form::Protobuf,
        _ => Form::Plain,
    };
    rows.discovery.get_or_init(|| documents(rows)).0.get(&(path.to_owned(), form)).cloned()
}

/// The first form in the Accept header that there is; plain JSON otherwise.
fn wanted(accept: &str) -> Form {
    for choice in accept.split(',') {
        let parameters: Vec<&str> = choice.split(';').map(str::trim).collect();
        let aggregated = parameters.contains(&"g=apidiscovery.k8s.io");
        let form = FORMS.iter().find(|(_, version, _)| parameters.contains(&format!("v={version}").as_str()));
        match form {
            Some((form, _, _)) if aggregated => return *form,
            _ if !aggregated && matches!(parameters[0], "application/json" | "*/*") => return Form::Plain,
            _ if !aggregated && parameters[0] == MEDIA_TYPE => return Form::Protobuf,
            _ => {}
        }
    }
    Form::Plain
}

/// Every document, by path and form.
#[derive(Debug)]
pub(crate) struct Documents(BTreeMap<(String, Form), Answer>);

fn documents(rows: &Rows) -> Documents {
    let versions = resources::group_versions(rows);
    let mut answers = BTreeMap::new();
    for (path, document) in forms::plain(&versions) {
        // As in Kubernetes, only the aggregated documents say which they are.
        let answer = Answer::json("application/json", &document);
        if let Some(body) = protobuf(&document, &answer.body) {
            let answer = Answer { etag: None, ..Answer::bytes(MEDIA_TYPE, body.into()) };
            answers.insert((path.clone(), Form::Protobuf), answer);
        }
        answers.insert((path, Form::Plain), Answer { etag: None, ..answer });
    }
    for (form, version, content_type) in FORMS {
        let Aggregated { core, groups } = forms::aggregated(&versions, version);
        answers.insert(("/api".into(), form), Answer::json(content_type, &core));
        answers.insert(("/apis".into(), form), Answer::json(content_type, &groups));
    }
    Documents(answers)
}

/// A document in protobuf. Some do not say in JSON of which version they are; there it is v1.
fn protobuf(document: &Value, json: &[u8]) -> Option<Vec<u8>> {
    let name = document["kind"].as_str()?;
    everynode_protobuf::from_json("v1", name, everynode_protobuf::kind("v1", name)?, json).ok()
}

/// A hash for ETags and the like: 128 bits of FNV-1a in two halves, not meant against malice.
pub(crate) fn content_hash(bytes: &[u8]) -> String {
    let mut second = Fnv64::from_start(0x9ae1_6a3b_2f90_404f);
    second.write(bytes);
    format!("{:016X}{:016X}", fnv::hash_64(bytes), second.finish())
}

#[cfg(test)]
mod tests;
