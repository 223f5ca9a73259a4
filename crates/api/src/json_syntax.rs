//! What Go's JSON parser says of a text that is none, and what it makes of texts that are no
//! Unicode.
//!
//! The text was refused by another parser before: what is found here is only the words.

/// Deeper nesting is refused, as by the reader whose errors are put into words here.
const DEPTH_MAX: usize = 127;
const END: &str = "unexpected end of JSON input";
const VALUE: &str = "looking for beginning of value";

/// Go's words for the first place at which `bytes` is no JSON; `None` if there is no such place.
pub fn error(bytes: &[u8]) -> Option<String> {
    let mut scanner = Scanner { bytes, at: 0, open: Vec::new() };
    scanner.document().err()
}

/// The text with U+FFFD in place of bytes that are no UTF-8 and of halves of surrogate pairs;
/// `None` if it has none of them.
pub fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let halves = halves_of_pairs(text.as_bytes());
    if halves.is_empty() {
        return (text.as_bytes() != bytes).then(|| text.into_owned().into_bytes());
    }
    let mut mended = text.into_owned().into_bytes();
    for start in halves {
        mended[start..start + ESCAPE_BYTES].copy_from_slice(b"\\ufffd");
    }
    Some(mended)
}

/// `\u` and four digits.
const ESCAPE_BYTES: usize = 6;

/// Where escapes stand that are half of a surrogate pair without the other half.
fn halves_of_pairs(bytes: &[u8]) -> Vec<usize> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let escape = escaped(bytes, at);
        at += match (bytes[at], escape) {
            (b'\\', Some(0xd800..=0xdbff)) => match escaped(bytes, at + ESCAPE_BYTES) {
                Some(0xdc00..=0xdfff) => 2 * ESCAPE_BYTES,
                _ => {
                    found.push(at);
                    ESCAPE_BYTES
                }
            },
            (b'\\', Some(0xdc00..=0xdfff)) => {
                found.push(at);
                ESCAPE_BYTES
            }
            (b'\\', _) => 2,
            _ => 1,
        };
    }
    found
}

/// The number of an escape `\uXXXX` that begins here.
fn escaped(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + ESCAPE_BYTES)?.strip_prefix(b"\\u")?;
    let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    u32::from_str_radix(text, 16).ok()
}

/// Reads a document as Go does, up to the first error.
struct Scanner<'b> {
    bytes: &'b [u8],
    at: usize,
    /// The closing characters of what is open.
    open: Vec<u8>,
}

type Scanned = Result<(), String>;

impl Scanner<'_> {
    fn document(&mut self) -> Scanned {
        self.value()?;
        while let Some(close) = self.open.last().copied() {
            let context = if close == b'}' { "after object key:value pair" } else { "after array element" };
            match self.next()? {
                b',' if close == b'}' => self.member(false)?,
                b',' => self.value()?,
                found if found == close => drop(self.open.pop()),
                found => return refuse(found, context),
            }
        }
        self.skip_blanks();
        match self.bytes.get(self.at) {
            Some(found) => refuse(*found, "after top-level value"),
            None => Ok(()),
        }
    }

    /// A value; of an object or array only the beginning, up to where its first member or item has
    /// been read.
    fn value(&mut self) -> Scanned {
        loop {
            match self.next()? {
                b'{' => {
                    self.enter(b'{', b'}')?;
                    return self.member(true);
                }
                b'[' => {
                    self.enter(b'[', b']')?;
                    self.skip_blanks();
                    if self.bytes.get(self.at) == Some(&b']') {
                        return Ok(());
                    }
                }
                b'"' => return self.string(),
                b'-' => return self.number(None),
                digit @ b'0'..=b'9' => return self.number(Some(digit)),
                b't' => return self.literal("true"),
                b'f' => return self.literal("false"),
                b'n' => return self.literal("null"),
                found => return refuse(found, VALUE),
            }
        }
    }

    fn enter(&mut self, found: u8, close: u8) -> Scanned {
        self.open.push(close);
        match self.open.len() > DEPTH_MAX {
            true => refuse(found, "exceeded max depth"),
            false => Ok(()),
        }
    }

    /// A key, its colon, and the value. The first one may be absent.
    fn member(&mut self, first: bool) -> Scanned {
        match self.next()? {
            b'"' => self.string()?,
            b'}' if first => {
                self.at -= 1;
                return Ok(());
            }
            found => return refuse(found, "looking for beginning of object key string"),
        }
        match self.next()? {
            b':' => self.value(),
            found => refuse(found, "after object key"),
        }
    }

    fn string(&mut self) -> Scanned {
        loop {
            match self.byte()? {
                b'"' => return Ok(()),
                b'\\' => match self.byte()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let digit = self.byte()?;
                            if !digit.is_ascii_hexdigit() {
                                return refuse(digit, "in \\u hexadecimal character escape");
                            }
                        }
                    }
                    found => return refuse(found, "in string escape code"),
                },
                found @ 0..0x20 => return refuse(found, "in string literal"),
                _ => {}
            }
        }
    }

    /// The rest of a number whose sign or first digit was read.
    fn number(&mut self, first: Option<u8>) -> Scanned {
        let first = match first {
            Some(digit) => digit,
            None => self.digit("in numeric literal")?,
        };
        if first != b'0' {
            self.digits();
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }

    fn digit(&mut self, context: &str) -> Result<u8, String> {
        match self.byte()? {
            digit @ b'0'..=b'9' => Ok(digit),
            found => refuse(found, context).map(|()| 0),
        }
    }

    fn digits(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    /// The rest of a word whose first letter was read.
    fn literal(&mut self, word: &str) -> Scanned {
        for wanted in word.bytes().skip(1) {
            let found = self.byte()?;
            if found != wanted {
                return refuse(found, &format!("in literal {word} (expecting {})", quoted(wanted)));
            }
        }
        Ok(())
    }

    /// The next byte that is no blank.
    fn next(&mut self) -> Result<u8, String> {
        self.skip_blanks();
        self.byte()
    }

    fn byte(&mut self) -> Result<u8, String> {
        let byte = self.bytes.get(self.at).copied().ok_or_else(|| END.to_owned())?;
        self.at += 1;
        Ok(byte)
    }

    fn skip_blanks(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }
}

fn refuse(found: u8, context: &str) -> Scanned {
    Err(format!("invalid character {} {context}", quoted(found)))
}

/// A byte as Go shows a character.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        byte => {
            let quoted = crate::field::go_quote(&char::from(byte).to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_go() {
        let cases = [
            ("", END),
            ("{", END),
            (r#"{"apiVersion":"#, END),
            ("[1,", END),
            ("nul", END),
            ("{}x", "invalid character 'x' after top-level value"),
            ("{}{}", "invalid character '{' after top-level value"),
            ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":1 "b":2}"#, "invalid character '\"' after object key:value pair"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1}", "invalid character '}' after array element"),
            ("'a'", r"invalid character '\'' looking for beginning of value"),
            ("nuxl", "invalid character 'x' in literal null (expecting 'l')"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("01", "invalid character '1' after top-level value"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            (r#""\x""#, "invalid character 'x' in string escape code"),
            (r#""\u00g0""#, r"invalid character 'g' in \u hexadecimal character escape"),
            ("\"\n\"", r"invalid character '\n' in string literal"),
            ("\u{e9}", "invalid character '\u{c3}' looking for beginning of value"),
        ];
        for (text, words) in cases {
            assert_eq!(error(text.as_bytes()).as_deref(), Some(words), "{text}");
        }
        let deep = "[".repeat(5_000);
        assert_eq!(error(deep.as_bytes()).as_deref(), Some("invalid character '[' exceeded max depth"));
    }

    #[test]
    fn what_is_json_has_no_error() {
        for text in ["{}", "[]", " [1, {\"a\" : [] , \"b\":-0.5e+3}, \"\\u00e9\\n\"] ", "null", "[[],[]]"] {
            assert_eq!(error(text.as_bytes()), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{}:,"a0.e\-\\u ]{0,40}"#) {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text);
            proptest::prop_assert_eq!(error(text.as_bytes()).is_none(), theirs.is_ok());
        }
    }
}
