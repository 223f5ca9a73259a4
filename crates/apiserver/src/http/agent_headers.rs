//! What passes between clients and agents beside the streams themselves. Either end may be hostile
//! to the other: a client's credentials are for this server only, and an agent's answer reaches the
//! browser or kubectl of an administrator under this server's name. So headers pass by lists of
//! what is needed, and an answer must be one to what was asked.

use everynode_api::status::Status;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::response::Parts;
use http::{Method, StatusCode};

/// Of a request: what the stream needs, and what tells the agent how to answer.
const TO_AGENT: &[HeaderName] = &[
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::USER_AGENT,
    header::RANGE,
];
/// Of an answer: what describes its body.
const FROM_AGENT: &[HeaderName] = &[
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::DATE,
    header::LAST_MODIFIED,
];
/// Of an upgrade, in both directions.
const UPGRADE: &[&str] = &[
    "connection",
    "upgrade",
    "x-stream-protocol-version",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-accept",
    "sec-websocket-protocol",
];
/// Browsers can put a bearer token into a subprotocol: it is a credential like any other.
const TOKEN_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";
/// Names of protocols of streams; more than one header or list are understood.
const PROTOCOLS: &[&str] = &["sec-websocket-protocol", "x-stream-protocol-version"];

/// The headers of a request that its agent gets.
pub(crate) fn to_agent(headers: &HeaderMap) -> HeaderMap {
    let upgrades = headers.contains_key(header::UPGRADE);
    let mut passed = HeaderMap::new();
    for (name, value) in headers {
        if TO_AGENT.contains(name)
            || (upgrades && UPGRADE.contains(&name.as_str()) && !PROTOCOLS.contains(&name.as_str()))
        {
            passed.append(name.clone(), value.clone());
        }
    }
    for name in PROTOCOLS.iter().filter(|_| upgrades) {
        let asked: Vec<String> =
            listed(headers, name).into_iter().filter(|name| !name.starts_with(TOKEN_PROTOCOL)).collect();
        let values = asked.iter().filter_map(|name| HeaderValue::from_str(name).ok());
        values.for_each(|value| _ = passed.append(*name, value));
    }
    passed
}

/// The names in the headers of one kind: of several headers, and of lists with commas.
pub(super) fn listed(headers: &HeaderMap, name: &str) -> Vec<String> {
    let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// The head of an agent's answer as the client gets it, or why it is no answer to `asked`.
pub(crate) fn from_agent(method: &Method, asked: &HeaderMap, answer: &Parts) -> Result<Parts, Status> {
    let refuse = |what: &str| Err(Status::failure(502, "ServiceUnavailable", format!("the agent {what}")));
    let switches = answer.status == StatusCode::SWITCHING_PROTOCOLS;
    match answer.status.as_u16() {
        101 if !asked.contains_key(header::UPGRADE) => return refuse("changed the protocol without being asked"),
        101 if !is_answer(asked, &answer.headers) => return refuse("changed to a protocol that nobody asked for"),
        101 | 200..=299 => {}
        // A client that followed would show its credentials to whom the agent likes.
        300..=399 => return refuse("answered with a redirect, which is not followed"),
        // The client's credentials were good: it is this server whom the agent does not believe.
        401 | 407 => return refuse("does not accept this server's certificate"),
        400..=599 => {}
        _ => return refuse("gave no answer that HTTP knows"),
    }
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = answer.status;
    let lengths = answer.headers.get_all(header::CONTENT_LENGTH).iter().count();
    for (name, value) in &answer.headers {
        let describes = FROM_AGENT.contains(name) && !(switches || (name == header::CONTENT_LENGTH && lengths > 1));
        if describes || (switches && UPGRADE.contains(&name.as_str())) {
            parts.headers.append(name.clone(), value.clone());
        }
    }
    if !switches && *method != Method::HEAD {
        // What an agent sends is never a page of this server.
        parts.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        parts.headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    }
    Ok(parts)
}

/// Whether an upgrade is to what was asked for: the protocol, and the one inside of it.
fn is_answer(asked: &HeaderMap, answer: &HeaderMap) -> bool {
    let one = |headers: &HeaderMap| {
        let names = listed(headers, header::UPGRADE.as_str());
        (names.len() == 1).then(|| names[0].to_ascii_lowercase())
    };
    let inner = |name: &&str| {
        let (wanted, chosen) = (listed(asked, name), listed(answer, name));
        chosen.is_empty() || (chosen.len() == 1 && wanted.contains(&chosen[0]))
    };
    one(asked).is_some() && one(asked) == one(answer) && PROTOCOLS.iter().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    fn answered(asked: &[(&'static str, &str)], code: u16, answer: &[(&'static str, &str)]) -> Result<Parts, String> {
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = StatusCode::from_u16(code).unwrap();
        parts.headers = headers(answer);
        from_agent(&Method::GET, &headers(asked), &parts).map_err(|status| status.message)
    }

    const ASKED: &[(&str, &str)] = &[
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-protocol", "v5.channel.k8s.io, v4.channel.k8s.io"),
    ];

    #[test]
    fn credentials_of_the_caller_do_not_reach_the_agent() {
        let sent = headers(&[
            ("authorization", "Bearer x"),
            ("proxy-authorization", "x"),
            ("cookie", "session=x"),
            ("impersonate-user", "jane"),
            ("impersonate-extra-a", "b"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-remote-user", "admin"),
            ("everynode-fence", "a/b"),
            ("accept", "*/*"),
        ]);
        assert_eq!(names(&to_agent(&sent)), ["accept"]);
        let token = "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0";
        let passed = to_agent(&headers(&[
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-protocol", token),
        ]));
        assert_eq!(passed["sec-websocket-protocol"], "v4.channel.k8s.io");
        assert_eq!(passed["upgrade"], "websocket");
        // Without an upgrade its headers are not passed on.
        assert!(to_agent(&headers(&[("connection", "x-a"), ("sec-websocket-key", "k")])).is_empty());
    }

    #[test]
    fn an_answer_describes_its_body_and_nothing_else() {
        let hostile = [
            ("set-cookie", "a=b"),
            ("location", "https://evil.example"),
            ("www-authenticate", "Basic"),
            ("connection", "x-secret"),
            ("transfer-encoding", "chunked"),
            ("access-control-allow-origin", "*"),
            ("strict-transport-security", "max-age=1"),
            ("warning", "299 - \"run this\""),
            ("alt-svc", "h2=\":1\""),
            ("upgrade", "websocket"),
            ("content-type", "text/html"),
        ];
        let parts = answered(&[], 200, &hostile).unwrap();
        assert_eq!(names(&parts.headers), ["content-security-policy", "content-type", "x-content-type-options"]);
    }

    #[test]
    fn redirects_and_refusals_of_this_server_are_not_the_clients() {
        for (code, said) in
            [(302, "redirect"), (307, "redirect"), (401, "certificate"), (407, "certificate"), (700, "HTTP")]
        {
            assert!(answered(&[], code, &[("location", "/x")]).unwrap_err().contains(said), "{code}");
        }
        for code in [200, 206, 400, 403, 404, 500, 503] {
            assert_eq!(answered(&[], code, &[]).unwrap().status.as_u16(), code);
        }
    }

    #[test]
    fn protocols_change_only_to_one_that_was_asked_for() {
        let to = |protocol: &'static str, inner: &'static str| {
            answered(ASKED, 101, &[("upgrade", protocol), ("connection", "Upgrade"), ("sec-websocket-protocol", inner)])
        };
        let parts = to("WebSocket", "v4.channel.k8s.io").unwrap();
        assert_eq!(names(&parts.headers), ["connection", "sec-websocket-protocol", "upgrade"]);
        assert!(to("SPDY/3.1", "v4.channel.k8s.io").is_err() && to("websocket, h2c", "v4.channel.k8s.io").is_err());
        assert!(to("websocket", "v3.channel.k8s.io").is_err());
        assert!(to("websocket", "v5.channel.k8s.io, v4.channel.k8s.io").is_err());
        assert!(answered(&[], 101, &[("upgrade", "websocket")]).unwrap_err().contains("without being asked"));
        assert!(answered(ASKED, 101, &[]).is_err());
    }
}
