//! Bytes that no server wrote: an error or an object, within bounds, and never a panic.

use everynode_common::random::Random;
use everynode_protobuf::{DecodeError, Limits, kinds, to_json};
use serde_json::json;

use crate::generated::object;
use crate::{LIMITS, written};

const MUTATIONS: usize = 200;

#[test]
fn damaged_objects_are_refused_or_read() {
    let mut random = Random::new(11);
    let (mut refused, mut accepted) = (0, 0);
    for (version, name, kind) in kinds() {
        let whole = written(&object(version, name, kind, &mut random));
        for _ in 0..MUTATIONS {
            let mut bytes = whole.clone();
            let at = random.index(bytes.len());
            match random.below(3) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes.truncate(at),
                _ => bytes.splice(at..at, [random.bits() as u8, 0xff]).for_each(drop),
            }
            match to_json(&bytes, LIMITS) {
                Ok(read) => {
                    assert!(read.json.len() <= LIMITS.size_max + 2);
                    accepted += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 1000 && accepted > 1000, "{refused} refused, {accepted} accepted");
}

/// A field with bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(content);
    out
}

fn envelope(version: &[u8], kind: &[u8], raw: &[u8]) -> Vec<u8> {
    let meta = [field(1, version), field(2, kind)].concat();
    [b"k8s\0".to_vec(), field(1, &meta), field(2, raw)].concat()
}

fn error(bytes: &[u8]) -> DecodeError {
    let mut error = to_json(bytes, LIMITS).unwrap_err();
    while let DecodeError::Member(_, inner) = error {
        error = *inner;
    }
    error
}

/// A schema of a schema of …: `not` at 28 of each. Its number takes two bytes.
#[test]
fn depth_is_bounded() {
    let mut schema = Vec::new();
    for _ in 0..2000 {
        let inner = field(0, &schema);
        schema = [&[0xe2, 0x01][..], &inner[1..]].concat();
    }
    let validation = field(4, &field(1, &schema));
    let version = [field(1, b"v1"), validation].concat();
    let raw = field(2, &field(7, &version));
    let definition = envelope(b"apiextensions.k8s.io/v1", b"CustomResourceDefinition", &raw);
    assert_eq!(error(&definition), DecodeError::Depth);
}

/// Two bytes each on the wire, and thirty as JSON.
#[test]
fn size_is_bounded() {
    let container = field(2, &[0x82, 0x01, 0x00, 0x80, 0x01, 0x01, 0x88, 0x01, 0x01, 0x90, 0x01, 0x01]);
    let pod = envelope(b"v1", b"Pod", &field(2, &container.repeat(200_000)));
    assert_eq!(error(&pod), DecodeError::Size(LIMITS.size_max));
    let small = Limits { size_max: 60, ..LIMITS };
    let map = envelope(b"v1", b"ConfigMap", &field(2, &field(1, b"a longer name than that")));
    assert!(matches!(to_json(&map, small), Err(DecodeError::Member("data", _))));
}

/// Messages in pieces are copied; what is copied is bounded over all levels together.
#[test]
fn pieces_are_bounded() {
    let mut schema = field(4, &vec![b'a'; 1 << 20]);
    for _ in 0..40 {
        let tagged = |content: &[u8]| [&[0xe2, 0x01][..], &field(0, content)[1..]].concat();
        schema = [tagged(&[]), tagged(&schema)].concat();
    }
    let raw = field(2, &field(7, &field(4, &field(1, &schema))));
    let definition = envelope(b"apiextensions.k8s.io/v1", b"CustomResourceDefinition", &raw);
    assert_eq!(error(&definition), DecodeError::Size(LIMITS.size_max));
}

#[test]
fn broken_envelopes_are_named() {
    assert_eq!(error(b"{}"), DecodeError::NoEnvelope);
    let unknown = DecodeError::UnknownKind { version: "v1".into(), kind: "Foo".into() };
    assert_eq!(error(&envelope(b"v1", b"Foo", b"")), unknown);
    assert_eq!(error(&[envelope(b"v1", b"Pod", b""), field(3, b"gzip")].concat()), DecodeError::Encoded);
    assert_eq!(error(b"k8s\0\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), DecodeError::Truncated);
    assert_eq!(error(b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), DecodeError::LongNumber);
    assert_eq!(error(&envelope(b"v1", b"Pod", &field(1, &field(1, b"\xff")))), DecodeError::Utf8);
    assert_eq!(error(&envelope(b"v1", b"Pod", &[0x0b])), DecodeError::WireType(3));
    assert_eq!(error(&envelope(b"v1", b"Pod", &[0x08, 1])), DecodeError::Type);
}

/// Of a value that comes twice the last counts, messages are merged, and fields come in any order.
#[test]
fn repetitions_and_order_are_free() {
    let metadata = |name: &[u8]| field(1, &field(1, name));
    let labels = field(1, &field(11, &[field(1, b"a"), field(2, b"b")].concat()));
    let raw = [labels, field(2, &field(10, b"node")), metadata(b"one"), metadata(b"two")].concat();
    let read = to_json(&envelope(b"v1", b"Pod", &raw), LIMITS).unwrap();
    let expected = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "two", "labels": {"a": "b"}}, "spec": {"nodeName": "node"}});
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&read.json).unwrap(), expected);
}
