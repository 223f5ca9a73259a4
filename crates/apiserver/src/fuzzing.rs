//! What reads requests, for the fuzzing targets: any bytes are read or refused, and never a panic.
//! Each function is given bytes as they come from outside and fails where an invariant is broken.

mod custom;

use std::sync::LazyLock;

use everynode_api::percent;
use everynode_api::ports::PatchType;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use serde_json::Value;

pub use self::custom::custom_object;
use crate::auth::authorize::Attributes;
use crate::auth::token::Issuer;
use crate::catalogue::{Row, Rows, built_in};
use crate::http::identify::{self, Impersonation};
use crate::http::negotiate;
use crate::http::query::Query;
use crate::http::route::{Asked, Route, read};
use crate::http::websocket;
use crate::http::websocket::frames::Message;
use crate::registry::Target;
use crate::schema::{FieldValidation, Media};

const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

static ROWS: LazyLock<Rows> = LazyLock::new(Rows::built_in);

/// A method (one byte), and a path and a query, each on a line. What is authorised is what is
/// executed: the path that the operation's target has means the same operation.
pub fn route(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let (path, query) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(query) = Query::parse(query) else { return };
    let method = &METHODS[usize::from(first & 0x0f) % METHODS.len()];
    let upgrades = first & 0x80 != 0;
    let Ok(Route::Operation(operation)) = read(&ROWS, Asked { method, path, query: &query, upgrades }) else { return };
    let target = &operation.target;
    for part in [&target.namespace, &target.name] {
        let separates = part.contains(['/', '%']) || matches!(part.as_str(), "." | "..");
        assert!(!separates, "{part:?} of {path:?} is not one segment");
    }
    let canonical = path_of(target);
    match read(&ROWS, Asked { method, path: &canonical, query: &query, upgrades }) {
        Ok(Route::Operation(again)) => {
            let same = again.verb == operation.verb && again.target.key() == target.key();
            assert!(same && again.target.subresource == target.subresource, "{path:?} and {canonical:?} differ");
        }
        other => panic!("{path:?} is served and {canonical:?} is not: {other:?}"),
    }
}

fn path_of(target: &Target) -> String {
    let kind = &target.info.kind;
    let mut path = match &*kind.group {
        "" => format!("/api/{}", kind.version),
        group => format!("/apis/{group}/{}", kind.version),
    };
    if kind.namespaced && !target.namespace.is_empty() {
        path += &format!("/namespaces/{}", percent::encode(&target.namespace));
    }
    path += &format!("/{}", kind.plural);
    for segment in [target.name.as_str(), target.subresource].into_iter().filter(|segment| !segment.is_empty()) {
        path += &format!("/{}", percent::encode(segment));
    }
    path
}

/// Headers from lines `name: value`; lines that are none are left out.
fn header_lines(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (HeaderName::from_bytes(&line[..at]), HeaderValue::from_bytes(&line[at + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// Lines `name: value`: what a client accepts and what it sends.
pub fn headers(data: &[u8]) {
    let headers = header_lines(data);
    let _ = negotiate::accepted(&headers, negotiate::Protobuf::Metadata);
    let _ = negotiate::media(&headers);
    let _ = negotiate::patch_form(&headers);
    let _ = negotiate::is_protobuf(&headers);
}

/// Lines `name: value` with the identity of a client, and with the one that it wants to have. What
/// they say is refused, or asked about; no client that wanted to act as another user is let in as
/// itself, and none gets a group that was not asked about.
pub fn impersonation(data: &[u8]) {
    let headers = header_lines(data);
    if let Ok(Some(token)) = identify::bearer(&headers) {
        assert!(!token.is_empty() && !token.contains(char::is_whitespace), "{token:?} is one token");
        assert_eq!(headers.get_all(http::header::AUTHORIZATION).iter().count(), 1);
    }
    let said = headers.keys().any(|name| name.as_str().starts_with("impersonate-"));
    let Ok(wanted) = Impersonation::read(&headers) else { return };
    assert_eq!(wanted.is_some(), said, "{headers:?}");
    let Some(wanted) = wanted else { return };
    let questions = wanted.questions();
    let user = wanted.user();
    let asked = |resource: &str, name: &str| {
        questions.iter().any(|question| question.resource == resource && question.name == name)
    };
    let account = questions.iter().find(|question| question.resource == "serviceaccounts");
    let named = account.map(|question| format!("system:serviceaccount:{}:{}", question.namespace, question.name));
    assert!(named.as_deref() == Some(&*user.name) || asked("users", &user.name), "{user:?}");
    let implied = |group: &str| match group {
        "system:authenticated" | "system:unauthenticated" => true,
        "system:serviceaccounts" => account.is_some(),
        group => account.is_some_and(|question| group == format!("system:serviceaccounts:{}", question.namespace)),
    };
    assert!(user.groups.iter().all(|group| implied(group) || asked("groups", group)), "{user:?}");
    assert!(user.uid.is_empty() || asked("uids", &user.uid), "{user:?}");
    for (key, value) in user.extra.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value))) {
        let about = |question: &Attributes| question.subresource == *key && question.name == *value;
        assert!(questions.iter().any(|question| question.resource == "userextras" && about(question)), "{user:?}");
    }
}

fn kind(number: u8) -> &'static Row {
    let all = built_in::all();
    all[usize::from(number) % all.len()]
}

/// A kind (one byte), an encoding (one byte) and a body. What is accepted is accepted again, and is
/// the same.
pub fn body(data: &[u8]) {
    let [number, media, body @ ..] = data else { return };
    let (info, media) = (kind(*number), if media & 1 == 0 { Media::Json } else { Media::Yaml });
    let Ok((value, _)) = crate::schema::decode(info, body, media, FieldValidation::Warn) else { return };
    let again = crate::schema::decode_value(info, value.clone(), FieldValidation::Strict);
    let same = again.as_ref().is_ok_and(|(again, _)| *again == value);
    assert!(same, "read again {value} is {again:?}");
}

/// A kind and a form (one byte each), an object and a patch in JSON, divided by a line end.
pub fn patch(data: &[u8]) {
    let [number, form, rest @ ..] = data else { return };
    let form = [PatchType::Json, PatchType::Merge, PatchType::Strategic][usize::from(*form) % 3];
    let Some(at) = rest.iter().position(|byte| *byte == b'\n') else { return };
    let parsed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    let (Some(object), Some(patch)) = (parsed(&rest[..at]), parsed(&rest[at + 1..])) else { return };
    let Ok(patched) = crate::patching::apply(kind(*number), form, patch.clone(), object) else { return };
    if form == PatchType::Merge {
        let again = crate::patching::apply(kind(*number), form, patch, patched.clone());
        assert_eq!(again.ok(), Some(patched), "a merge patch twice is the same as once");
    }
}

/// Frames of a client's WebSocket. In whatever pieces they come, they are read as the same, and no
/// more than was sent.
pub fn websocket(data: &[u8]) {
    let read = |piece: usize| {
        let (mut reader, mut said) = (websocket::frames::Reader::default(), Vec::new());
        for bytes in data.chunks(piece.max(1)) {
            reader.buffer().extend_from_slice(bytes);
            loop {
                match reader.next() {
                    Ok(Some(message)) => said.push(message),
                    Ok(None) => break,
                    Err(violation) => return (said, Some(violation)),
                }
            }
        }
        (said, None)
    };
    let (whole, single) = (read(data.len()), read(1));
    assert_eq!(whole, single);
    let length = |message: &Message| match message {
        Message::Data(bytes) | Message::Ping(bytes) => bytes.len(),
        Message::Pong | Message::Close => 0,
    };
    assert!(whole.0.iter().map(length).sum::<usize>() <= data.len());
}

/// Frames of an agent's streaming server, likewise.
pub fn spdy(data: &[u8]) {
    let read = |piece: usize| {
        let (mut reader, mut events) = (websocket::spdy::Reader::default(), Vec::new());
        for bytes in data.chunks(piece.max(1)) {
            reader.buffer().extend_from_slice(bytes);
            loop {
                match reader.next() {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(too_long) => return (events, Some(too_long)),
                }
            }
        }
        (events, None)
    };
    assert_eq!(read(data.len()), read(1));
}

/// A bearer token: none is good that this key did not sign.
pub fn token(data: &[u8]) {
    static ISSUER: LazyLock<Option<Issuer>> = LazyLock::new(|| {
        let key = rcgen::KeyPair::generate().ok()?;
        Issuer::new("https://kubernetes.default.svc", &key.serialize_pem(), "k").ok()
    });
    let Some(issuer) = ISSUER.as_ref() else { return };
    assert!(issuer.check(&String::from_utf8_lossy(data), &[], Timestamp::UNIX_EPOCH).is_err());
}
