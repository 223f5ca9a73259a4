//! JSON text, read from front to back without a tree.
//!
//! What is read was written by our own encoder or has been read once before: the scanner finds the
//! parts, and refuses what it cannot take apart, but does not judge what is inside of a value that
//! is passed on as it is.

use std::borrow::Cow;

use crate::encode::EncodeError;

/// A position in a JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Scanner<'a> {
        Scanner { bytes, at: 0 }
    }

    /// The first byte of what comes next; none at the end.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\n' | b'\t' | b'\r' => self.at += 1,
                byte => return Some(*byte),
            }
        }
        None
    }

    pub(crate) fn error(&self) -> EncodeError {
        EncodeError::Malformed { offset: self.at }
    }

    fn expect(&mut self, byte: u8) -> Result<(), EncodeError> {
        match self.peek() == Some(byte) {
            true => {
                self.at += 1;
                Ok(())
            }
            false => Err(self.error()),
        }
    }

    /// Steps into an object or a list.
    pub(crate) fn enter(&mut self, open: u8) -> Result<(), EncodeError> {
        self.expect(open)
    }

    /// Whether there is one more member or item; steps over the comma before it, or over the end.
    pub(crate) fn has_next(&mut self, close: u8, is_first: &mut bool) -> Result<bool, EncodeError> {
        let next = self.peek();
        if next == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        if !std::mem::replace(is_first, false) {
            self.expect(b',')?;
        }
        Ok(true)
    }

    /// A member's name and the colon behind it.
    pub(crate) fn name(&mut self) -> Result<Cow<'a, [u8]>, EncodeError> {
        let name = self.text()?;
        self.expect(b':')?;
        Ok(name)
    }

    /// A text.
    pub(crate) fn text(&mut self) -> Result<Cow<'a, [u8]>, EncodeError> {
        let span = self.quoted()?;
        let inner = &span[1..span.len() - 1];
        if !inner.contains(&b'\\') {
            return Ok(Cow::Borrowed(inner));
        }
        let text: String = serde_json::from_slice(span).map_err(|_| self.error())?;
        Ok(Cow::Owned(text.into_bytes()))
    }

    /// A text with its quotes and escapes.
    fn quoted(&mut self) -> Result<&'a [u8], EncodeError> {
        self.expect(b'"')?;
        let start = self.at - 1;
        loop {
            let rest = &self.bytes[self.at..];
            let found = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).ok_or_else(|| self.error())?;
            match rest[found] {
                b'"' => {
                    self.at += found + 1;
                    return Ok(&self.bytes[start..self.at]);
                }
                _ => self.at = (self.at + found + 2).min(self.bytes.len()),
            }
        }
    }

    /// A number, flag or null as it is written.
    pub(crate) fn word(&mut self) -> Result<&'a [u8], EncodeError> {
        self.peek();
        let rest = &self.bytes[self.at..];
        let is_end =
            |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':' | b'"' | b'{' | b'[' | b' ' | b'\n' | b'\t' | b'\r');
        let length = rest.iter().position(is_end).unwrap_or(rest.len());
        if length == 0 {
            return Err(self.error());
        }
        self.at += length;
        Ok(&rest[..length])
    }

    /// Steps over `null`, if it comes next.
    pub(crate) fn takes_null(&mut self) -> Result<bool, EncodeError> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        match self.word()? {
            b"null" => Ok(true),
            _ => Err(self.error()),
        }
    }

    /// A value of any type as it is written.
    pub(crate) fn value(&mut self) -> Result<&'a [u8], EncodeError> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => self.quoted()?,
            Some(b'{' | b'[') => {
                self.nested()?;
                &self.bytes[start..self.at]
            }
            _ => self.word()?,
        };
        Ok(&self.bytes[start..self.at])
    }

    /// Steps over an object or list; brackets are counted, so its depth costs nothing.
    fn nested(&mut self) -> Result<(), EncodeError> {
        let mut depth = 0usize;
        loop {
            match self.bytes.get(self.at).ok_or_else(|| self.error())? {
                b'"' => {
                    self.quoted()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_whole() {
        for value in [r#""a\"b\\""#, "12.5e3", "null", r#"{"a":["]",{}],"b":"}"}"#, "[]", "[[],{\"\\\\\":1}]"] {
            let text = format!(" {value} ,1");
            assert_eq!(Scanner::new(text.as_bytes()).value(), Ok(value.as_bytes()));
        }
        for broken in ["", "{", "[1", r#""a"#, r#""a\"#, r#"{"a}"#, ","] {
            assert!(Scanner::new(broken.as_bytes()).value().is_err(), "{broken}");
        }
    }

    #[test]
    fn escapes_are_resolved() {
        let text = |json: &str| Scanner::new(json.as_bytes()).text().map(Cow::into_owned);
        assert_eq!(text(r#""a\n\u00e9\\""#), Ok("a\né\\".as_bytes().to_vec()));
        assert!(text(r#""\x""#).is_err() && text("1").is_err());
    }
}
