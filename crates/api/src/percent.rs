//! Percent-encoding of paths and queries (RFC 3986): what is put into a URL is encoded, what comes
//! out of one is decoded strictly.

use std::borrow::Cow;

/// A text as one segment of a path or one part of a query: everything but letters, digits and
/// `-._~:` is encoded. A segment of dots only, which would be resolved by some on the way, is
/// encoded too.
pub fn encode(text: &str) -> Cow<'_, str> {
    let dots = matches!(text, "." | "..");
    let stays =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b':') || (byte == b'.' && !dots);
    if text.bytes().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        match stays(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Cow::Owned(out)
}

/// Undoes percent-encoding of a part of a path. `None`: an escape is broken, or the bytes are not
/// UTF-8.
pub fn decode(text: &str) -> Option<String> {
    decoded(text, false)
}

/// Undoes percent-encoding of a part of a query, where `+` is a space.
pub fn decode_query(text: &str) -> Option<String> {
    decoded(text, true)
}

fn decoded(text: &str, plus_is_space: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' if plus_is_space => b' ',
            b'%' => hexadecimal(bytes.next()?)? << 4 | hexadecimal(bytes.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Name and value pairs as a query, in their order.
pub fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pair = |(name, value): (&str, &str)| format!("{}={}", encode(name), encode(value));
    pairs.into_iter().map(pair).collect::<Vec<_>>().join("&")
}

/// The pairs of a query, in their order. `None`: it is malformed.
pub fn pairs(query: &str) -> Option<Vec<(String, String)>> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Some((decode_query(name)?, decode_query(value)?))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn separators_and_dots_do_not_stay() {
        assert_eq!(encode("a/b?c#d%e f+g&h=i\0"), "a%2Fb%3Fc%23d%25e%20f%2Bg%26h%3Di%00");
        assert_eq!(
            (encode("web-1.x_y"), encode(".."), encode("system:node:a")),
            ("web-1.x_y".into(), "%2E%2E".into(), "system:node:a".into())
        );
        assert_eq!(query([("command", "echo a&b"), ("tty", "1")]), "command=echo%20a%26b&tty=1");
    }

    #[test]
    fn what_is_malformed_is_not_guessed() {
        for text in ["%", "%2", "%zz", "%+1", "a%ff", "%c3%28"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode("a%2Fb+c").as_deref(), Some("a/b+c"));
        assert_eq!(
            pairs("x&a=b%3Dc&&command=-l+x"),
            Some(vec![("x".into(), String::new()), ("a".into(), "b=c".into()), ("command".into(), "-l x".into())])
        );
        assert_eq!(pairs("a=%zz"), None);
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in ".*", other in ".*") {
            prop_assert_eq!(decode(&encode(&text)), Some(text.clone()));
            prop_assert!(!encode(&text).contains(['/', '?', '#', '&', '=', '+', ' ']));
            prop_assert_eq!(pairs(&query([(text.as_str(), other.as_str())])), Some(vec![(text, other)]));
        }
    }
}
