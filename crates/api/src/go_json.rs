//! JSON as Go's encoder writes it: `<`, `>`, `&` and the two separators U+2028 and U+2029 are
//! escaped.
//!
//! It matters where bytes are compared: the original controller takes a ControllerRevision for the
//! newest only if its `data` has the very bytes that it would write itself (DS-D47), so a set that
//! is handed back would otherwise roll when its template holds such a character.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// The text of a value; members are in the order of the map, which is by name.
pub fn to_string(value: &Value) -> String {
    let mut out = Vec::with_capacity(256);
    // Writing to a vector does not fail, and every member name is a string.
    let written = value.serialize(&mut Serializer::with_formatter(&mut out, GoFormatter));
    debug_assert!(written.is_ok());
    String::from_utf8(out).unwrap_or_default()
}

struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, tail) = rest.split_at(at);
            let mut chars = tail.chars();
            let special = u32::from(chars.next().unwrap_or_default());
            write!(writer, "{plain}\\u{special:04x}")?;
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn escapes_what_go_escapes() {
        let value = json!({ "b": "a<b && c>d\u{2028}\u{2029}", "a": ["\"é\n", 1, null, {}] });
        let text = to_string(&value);
        let expected = r#"{"a":["\"é\n",1,null,{}],"b":"a\u003cb \u0026\u0026 c\u003ed\u2028\u2029"}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
