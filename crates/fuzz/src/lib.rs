//! What is fuzzed: everything that reads bytes from outside, as functions that take any bytes and
//! panic where an invariant is broken. `fuzz/` at the root gives them to libFuzzer (`make fuzz`);
//! `tests/replay.rs` runs them on the corpus and on seeded mutations of it, with the stable
//! compiler, in every `make test`.

pub mod mutate;

use everynode_api::fence::Fence;
use everynode_api::quantity::Quantity;
use everynode_api::selector::{FieldSelector, Selector};
use everynode_api::{decode, percent, yaml};
use everynode_managed::{FieldSet, Managed};
use everynode_protobuf as encoding;
use serde_json::Value;

/// A target: its name, which is its corpus' too, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them. `fuzz/fuzz_targets/` has a file for each.
pub const TARGETS: &[Target] = &[
    ("agent_request", everynode_agent::fuzzing::request),
    ("body", everynode_apiserver::fuzzing::body),
    ("custom_object", everynode_apiserver::fuzzing::custom_object),
    ("fence", fence),
    ("fields_v1", fields_v1),
    ("headers", everynode_apiserver::fuzzing::headers),
    ("impersonation", everynode_apiserver::fuzzing::impersonation),
    ("json", json),
    ("kubeconfig", everynode_runtime::fuzzing::kubeconfig),
    ("log_line", everynode_agent::fuzzing::log_line),
    ("patch", everynode_apiserver::fuzzing::patch),
    ("protobuf", protobuf),
    ("protobuf_json", protobuf_json),
    ("quantity", quantity),
    ("query", query),
    ("route", everynode_apiserver::fuzzing::route),
    ("selector", selector),
    ("spdy", everynode_apiserver::fuzzing::spdy),
    ("store_record", everynode_store::embedded::fuzzing::record),
    ("store_wal", everynode_store::embedded::fuzzing::wal),
    ("store_witness", everynode_store::embedded::fuzzing::witness),
    ("token", everynode_apiserver::fuzzing::token),
    ("websocket", everynode_apiserver::fuzzing::websocket),
    ("yaml", manifest),
];

/// Runs the target of a name.
///
/// # Panics
/// An invariant is broken, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = target.unwrap_or_else(|| panic!("no target {name}"));
    target(data);
}

/// Selectors of labels and of fields: what is printed is read as the same.
fn selector(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(selector) = Selector::parse(&text) {
        let printed = selector.to_string();
        assert_eq!(Selector::parse(&printed).as_ref(), Ok(&selector), "{text:?} is printed as {printed:?}");
    }
    if let Ok(fields) = FieldSelector::parse(&text) {
        let printed = fields.to_string();
        assert_eq!(FieldSelector::parse(&printed).as_ref(), Ok(&fields), "{text:?} is printed as {printed:?}");
    }
}

/// The canonical form of a quantity is itself.
fn quantity(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(quantity) = Quantity::parse(&text) {
        let printed = quantity.to_string();
        let again = Quantity::parse(&printed).map(|again| again.to_string());
        assert_eq!(again.ok().as_deref(), Some(&*printed), "{text:?}");
    }
}

/// Parameters of a query: written again they are the same.
fn query(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some(pairs) = percent::pairs(&text) else { return };
    let written = percent::query(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    assert_eq!(percent::pairs(&written).as_ref(), Some(&pairs), "{text:?} is written as {written:?}");
}

/// Who leads, in a header.
fn fence(data: &[u8]) {
    if let Ok(fence) = Fence::parse(&String::from_utf8_lossy(data)) {
        let again = Fence::parse(&fence.to_string());
        assert!(again.is_ok_and(|again| again.to_string() == fence.to_string()));
    }
}

/// JSON of a body: bounded, and the same when it is written and read again.
fn json(data: &[u8]) {
    const BYTES_MAX: usize = 1 << 20;
    let Ok(decoded) = decode::decode(data, BYTES_MAX) else { return };
    let again = decode::decode(decoded.value.to_string().as_bytes(), 8 * BYTES_MAX);
    assert!(again.is_ok_and(|again| again.value == decoded.value), "{}", decoded.value);
}

/// Sets of fields and entries of managed fields: what is written is read as the same.
fn fields_v1(data: &[u8]) {
    const BYTES_MAX: usize = 1 << 20;
    let Ok(decoded) = decode::decode(data, BYTES_MAX) else { return };
    if let Ok(set) = FieldSet::from_json(&decoded.value) {
        assert_eq!(FieldSet::from_json(&set.to_json()).as_ref(), Ok(&set), "{}", decoded.value);
        let text = set.to_text();
        let again = decode::decode(text.as_bytes(), 8 * BYTES_MAX);
        assert!(again.is_ok_and(|again| again.value == set.to_json()), "{text}");
    }
    if let Ok(managed) = Managed::decode(Some(&decoded.value)) {
        let again = Managed::decode(Some(&managed.encode()));
        assert!(again.is_ok_and(|again| again.same_but_for_times(&managed)), "{}", decoded.value);
    }
}

/// An object in protobuf: bounded, and what was read is written as the same.
fn protobuf(data: &[u8]) {
    const LIMITS: encoding::Limits = encoding::Limits { size_max: 1 << 20, depth_max: 100 };
    let Ok(object) = encoding::to_json(data, LIMITS) else { return };
    assert!(object.json.len() <= LIMITS.size_max + 2);
    // JSON in a field of any type may be too deep, or have numbers too large, for a tree.
    let Ok(value) = serde_json::from_slice::<Value>(&object.json) else { return };
    let kind = encoding::kind(&object.api_version, &object.kind);
    let kind = kind.unwrap_or_else(|| panic!("{} was read", object.kind));
    let written = encoding::from_json(&object.api_version, &object.kind, kind, &object.json);
    let written = written.unwrap_or_else(|error| panic!("{value} is not written: {error}"));
    let larger = encoding::Limits { size_max: 2 << 20, ..LIMITS };
    let again = encoding::to_json(&written, larger).map(|again| serde_json::from_slice::<Value>(&again.json).ok());
    assert_eq!(again, Ok(Some(value)));
}

/// JSON that becomes protobuf: what was written can be read.
fn protobuf_json(data: &[u8]) {
    const LIMITS: encoding::Limits = encoding::Limits { size_max: 8 << 20, depth_max: 500 };
    let Ok(written) = encoding::object(data) else { return };
    // What is passed on as it is, texts included, is not looked into.
    if serde_json::from_slice::<Value>(data).is_ok() {
        let read = encoding::to_json(&written, LIMITS);
        assert!(read.is_ok(), "{read:?} of {}", data.escape_ascii());
    }
}

/// A manifest of any number of documents: bounded, and each of them, as JSON, is read as the same
/// by both readers.
fn manifest(data: &[u8]) {
    const BYTES_MAX: usize = 1 << 20;
    let text = String::from_utf8_lossy(data);
    let Ok(documents) = yaml::decode_all(&text) else { return };
    for document in documents {
        let printed = document.value.to_string();
        let again = yaml::decode(&printed);
        let same = again.as_ref().is_ok_and(|again| again.value == document.value && again.duplicates.is_empty());
        assert!(same, "{printed} is read as {again:?}");
        if let Ok(decoded) = decode::decode(printed.as_bytes(), 8 * BYTES_MAX) {
            assert_eq!(decoded.value, document.value);
        }
    }
}
