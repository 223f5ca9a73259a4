//! One line of a CRI log: `TIME stdout|stderr F|P TEXT` (DS-H50).

use jiff::Timestamp;

/// A line, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// As written, to the nanosecond.
    pub time: &'a str,
    pub stream: &'a str,
    /// The text goes on in the next line of the same stream.
    pub partial: bool,
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// `None`: this is not a line of a CRI log.
    pub fn parse(bytes: &'a [u8]) -> Option<Line<'a>> {
        let mut parts = bytes.splitn(4, |byte| *byte == b' ');
        let mut text = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
        let (time, stream, tags) = (text()?, text()?, text()?);
        let partial = tags.split(':').next() == Some("P");
        Some(Line { time, stream, partial, text: parts.next().unwrap_or_default() })
    }

    /// Whether it was written at `since` or later. A time that cannot be read counts as later.
    pub fn is_since(&self, since: Timestamp) -> bool {
        self.time.parse::<Timestamp>().map_or(true, |time| time >= since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses() {
        let line = Line::parse(b"2026-11-21T01:02:03.000000004Z stderr P a b  c").unwrap();
        assert_eq!((line.stream, line.partial, line.text), ("stderr", true, &b"a b  c"[..]));
        assert!(line.is_since("2026-11-21T01:02:03Z".parse().unwrap()));
        assert!(!line.is_since("2026-11-21T01:02:04Z".parse().unwrap()));
        let empty = Line::parse(b"2026-11-21T01:02:03Z stdout F ").unwrap();
        assert_eq!((empty.partial, empty.text), (false, &b""[..]));
        assert_eq!(Line::parse(b"nonsense"), None);
    }
}
