//! Base64 as Go's `encoding/base64` reads and writes it: standard alphabet, padded.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The bytes of a base64 text; line breaks are skipped.
///
/// # Errors
/// The offset of the first bad character.
pub fn decode(text: &str) -> Result<Vec<u8>, usize> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    let mut quad: Vec<u32> = Vec::with_capacity(4);
    for (offset, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' | b'\n' => {}
            b'=' => return finish(bytes, offset, &quad, out),
            _ => quad.push(sextet(byte).ok_or(offset)?),
        }
        if quad.len() == 4 {
            push(&mut out, &quad, 3);
            quad.clear();
        }
    }
    match quad.is_empty() {
        true => Ok(out),
        false => Err(bytes.len() - quad.len()),
    }
}

fn finish(bytes: &[u8], offset: usize, quad: &[u32], mut out: Vec<u8>) -> Result<Vec<u8>, usize> {
    let rest: Vec<u8> = bytes[offset..].iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    match (quad.len(), rest.as_slice()) {
        (2, b"==") => push(&mut out, &[quad[0], quad[1], 0, 0], 1),
        (3, b"=") => push(&mut out, &[quad[0], quad[1], quad[2], 0], 2),
        (2, b"=") => return Err(bytes.len()),
        (2 | 3, _) => return Err(offset + 1),
        _ => return Err(offset),
    }
    Ok(out)
}

fn push(out: &mut Vec<u8>, quad: &[u32], bytes: usize) {
    let word = quad.iter().fold(0, |word, sextet| word << 6 | sextet);
    out.extend_from_slice(&word.to_be_bytes()[1..=bytes]);
}

fn sextet(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// The base64 text of some bytes.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let symbol = ALPHABET[(word >> (18 - 6 * position) & 63) as usize];
            out.push(if position <= chunk.len() { char::from(symbol) } else { '=' });
        }
    }
    out
}

/// The text of some bytes in the alphabet for URLs, without padding (RFC 4648, section 5).
#[must_use]
pub fn encode_url(bytes: &[u8]) -> String {
    encode(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// The bytes of a text in the alphabet for URLs, without padding; `None` if it is none. A text of
/// the other alphabet, with padding or line breaks is none, so that bytes have one text only.
#[must_use]
pub fn decode_url(text: &str) -> Option<Vec<u8>> {
    if text.contains(['+', '/', '=', '\r', '\n']) {
        return None;
    }
    let padding = ["", "===", "==", "="][text.len() % 4];
    let bytes = decode(&(text.replace('-', "+").replace('_', "/") + padding)).ok()?;
    // The last symbol may hold bits that stand for nothing.
    (encode_url(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), plain.as_bytes());
        }
        assert_eq!(encode(&[0xfb, 0xff]), "+/8=");
        assert_eq!(decode("Zm\n9v\r\n").unwrap(), b"foo");
    }

    #[test]
    fn urls_have_an_alphabet_of_their_own_and_no_padding() {
        for (plain, text) in [(&b""[..], ""), (b"f", "Zg"), (b"fo", "Zm8"), (&[0xfb, 0xff, 0xbe], "-_--")] {
            assert_eq!(encode_url(plain), text);
            assert_eq!(decode_url(text).as_deref(), Some(plain));
        }
        for text in ["Zg==", "+/++", "Z", "Zh", "Zg\n", "Z!", "Zm9v\r\n"] {
            assert_eq!(decode_url(text), None, "{text:?}");
        }
    }

    #[test]
    fn errors_give_the_offset() {
        for (text, offset) in [("hello!", 5), ("Zg=", 3), ("Zg==x", 3), ("Z", 0), ("=", 0), ("Zg=x", 3)] {
            assert_eq!(decode(text), Err(offset), "{text}");
        }
    }
}
