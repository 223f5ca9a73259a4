//! The formats of strings that are checked. Others say something to readers only, as in the
//! original.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use everynode_common::base64;
use jiff::Timestamp;
use jiff::civil::Date;

/// Whether a text is of a format; every text is of one that is not known.
pub(crate) fn fits(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => text.parse::<Timestamp>().is_ok(),
        "date" => text.len() == DATE_BYTES && text.parse::<Date>().is_ok(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_network(text),
        "mac" => is_hardware_address(text),
        "uuid" => is_uuid(text),
        "byte" => base64::decode(text).is_ok(),
        _ => true,
    }
}

/// Formats that the original knows.
const KNOWN: [&str; 27] = [
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "date-time",
    "datetime",
    "double",
    "duration",
    "email",
    "float",
    "hexcolor",
    "hostname",
    "int32",
    "int64",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "mac",
    "password",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid4",
];

/// Whether the original knows a format; one that it does not know it warns of.
pub(crate) fn is_known(format: &str) -> bool {
    KNOWN.contains(&format)
}

/// `2026-01-02`
const DATE_BYTES: usize = 10;

fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let bits = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= bits)
}

fn is_hardware_address(text: &str) -> bool {
    let pairs: Vec<&str> = text.split([':', '-']).collect();
    let is_pair = |pair: &&str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    matches!(pairs.len(), 6 | 8 | 20) && pairs.iter().all(is_pair)
}

fn is_uuid(text: &str) -> bool {
    let digits: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = digits.iter().map(|part| part.len()).collect();
    let shape = lengths == [8, 4, 4, 4, 12] || lengths == [32];
    shape && digits.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let good = [
            ("date-time", "2026-01-02T03:04:05Z"),
            ("date", "2026-01-02"),
            ("ipv4", "10.0.0.1"),
            ("ipv6", "::1"),
            ("cidr", "10.0.0.0/8"),
            ("mac", "00:1a:2B:3c:4d:5e"),
            ("uuid", "c9f2e6f0-0000-4000-8000-0123456789ab"),
            ("byte", "YQ=="),
            ("foo", "whatever"),
        ];
        assert!(good.iter().all(|(format, text)| fits(format, text)));
        let bad = [
            ("date-time", "2026-01-02"),
            ("date", "2026-1-2"),
            ("ipv4", "10.0.0"),
            ("ipv6", "10.0.0.1"),
            ("cidr", "10.0.0.0/33"),
            ("mac", "00:1a:2B"),
            ("uuid", "c9f2e6f0"),
            ("byte", "Y"),
        ];
        assert!(bad.iter().all(|(format, text)| !fits(format, text)));
    }
}
