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

    /// The time as readers see it: nine digits behind the second always, as in Kubernetes; the zone
    /// as written.
    pub fn shown_time(&self) -> String {
        let zone = self.time.char_indices().skip(10).find(|(_, c)| matches!(c, 'Z' | '+' | '-'));
        let (time, zone) = self.time.split_at(zone.map_or(self.time.len(), |(at, _)| at));
        let (seconds, digits) = time.split_once('.').unwrap_or((time, ""));
        format!("{seconds}.{digits:0<9}{zone}")
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

    #[test]
    fn times_are_shown_with_nine_digits() {
        for (written, shown) in [
            ("2026-11-21T01:02:03.000000004Z", "2026-11-21T01:02:03.000000004Z"),
            ("2026-11-21T01:02:03.12Z", "2026-11-21T01:02:03.120000000Z"),
            ("2026-11-21T01:02:03Z", "2026-11-21T01:02:03.000000000Z"),
            ("2026-11-21T01:02:03.1234567+02:00", "2026-11-21T01:02:03.123456700+02:00"),
            ("2026-11-21T01:02:03-05:00", "2026-11-21T01:02:03.000000000-05:00"),
        ] {
            let text = format!("{written} stdout F x");
            assert_eq!(Line::parse(text.as_bytes()).unwrap().shown_time(), shown);
        }
    }
}
