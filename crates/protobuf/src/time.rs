//! Times: RFC 3339 in JSON, seconds and nanoseconds on the wire.

use jiff::Timestamp;

/// The year 0: RFC 3339 has no form for what was before it, and none for what is after 9999, where
/// the calendar ends, too.
const SECONDS_MIN: i64 = -62_167_219_200;

/// Seconds and nanoseconds of a text; none if it is no time.
pub(crate) fn parse(text: &[u8]) -> Option<(i64, i32)> {
    if let Some(seconds) = whole_seconds(text) {
        return Some((seconds, 0));
    }
    let time: Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
    (time.as_second() >= SECONDS_MIN).then(|| (time.as_second(), time.subsec_nanosecond()))
}

/// The form that nearly all times have, `2026-01-02T03:04:05Z`: six of them are in a pod.
fn whole_seconds(text: &[u8]) -> Option<i64> {
    let text: &[u8; 20] = text.try_into().ok()?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
    if marks.iter().any(|(at, mark)| text[*at] != *mark) {
        return None;
    }
    let number = |from: usize, to: usize| {
        text[from..to]
            .iter()
            .try_fold(0i64, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // Days that not every month has, and leap seconds, are left to the calendar.
    let is_plain = (1..=12).contains(&month) && (1..=28).contains(&day) && hour < 24 && minute < 60 && second < 60;
    is_plain.then(|| (days(year, month, day) * 24 + hour) * 3600 + minute * 60 + second)
}

/// Days since 1970, by counting years from March: a leap day is then the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days_before_month = (153 * month + 2) / 5;
    year * 365 + leap_days + days_before_month + day - 1 - 719_468
}

/// The text of a time, with microseconds if that is its type; none if it is out of range.
pub(crate) fn format(seconds: i64, nanoseconds: i64, has_microseconds: bool) -> Option<String> {
    let time = Timestamp::new(seconds, i32::try_from(nanoseconds).ok()?).ok()?;
    (time.as_second() >= SECONDS_MIN)
        .then(|| if has_microseconds { format!("{time:.6}") } else { format!("{time:.0}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_way_agrees_with_the_calendar() {
        let mut seconds: i64 = -62_135_596_800;
        while seconds < 253_402_300_800 {
            let text = format(seconds, 0, false).unwrap();
            assert_eq!(parse(text.as_bytes()), Some((seconds, 0)), "{text}");
            // About 33 days, with another hour, minute and second each time.
            seconds += 2_862_433;
        }
    }

    #[test]
    fn other_forms_are_read_and_nonsense_is_not() {
        assert_eq!(parse(b"2026-01-02T03:04:05.000006Z"), Some((1_767_323_045, 6000)));
        assert_eq!(parse(b"2026-01-02T04:04:05+01:00"), Some((1_767_323_045, 0)));
        assert_eq!(parse(b"2024-02-29T00:00:00Z"), Some((1_709_164_800, 0)));
        for text in ["", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-02 03:04:05", "today"] {
            assert!(parse(text.as_bytes()).is_none_or(|_| text.contains(' ')), "{text}");
        }
        assert_eq!(format(1_767_323_045, 6000, true).as_deref(), Some("2026-01-02T03:04:05.000006Z"));
        assert_eq!(parse(b"-000001-01-01T00:00:00Z"), None);
        assert_eq!(format(-62_167_219_201, 0, false), None);
        assert_eq!(format(i64::MAX, 0, false), None);
        assert_eq!(format(0, i64::MAX, false), None);
    }
}
