//! Query strings.

use everynode_api::percent;
use everynode_api::status::Status;

/// Decoded parameters, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// What is malformed is refused: a parameter that would be passed over might have been one that
    /// narrows.
    pub(crate) fn parse(text: &str) -> Result<Query, Status> {
        percent::pairs(text).map(Query).ok_or_else(|| Status::bad_request("the query of the request is malformed"))
    }

    /// The first value of a parameter; empty when it is absent.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.one(name).unwrap_or("")
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter, in order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.one(name).is_some()
    }

    /// A boolean as Kubernetes reads it: all but `0` and `false` (in any case) is true, an empty
    /// value, too.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.one(name).map(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// A number; something else is the client's mistake. An unset one has no value or an empty one.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        match self.get(name) {
            "" => Ok(None),
            text => integer(text, 64, text.parse::<i64>()).map(Some),
        }
    }

    /// All parameters.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

/// The words with which Kubernetes (and Go's `strconv`) refuses what is no integer.
fn integer<T>(text: &str, bits: u8, parsed: Result<T, std::num::ParseIntError>) -> Result<T, Status> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    parsed.map_err(|error| {
        let why = match error.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        let function = if bits == 64 { "ParseInt" } else { "ParseUint" };
        Status::bad_request(format!("strconv.{function}: parsing {text:?}: {why}"))
    })
}

/// A port; `0` is none.
pub(crate) fn port(text: &str) -> Result<u16, Status> {
    integer(text, 16, text.parse())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=a%3Db%2Cc&watch=1&x&command=ls&command=-l+%25").unwrap();
        assert_eq!((query.get("labelSelector"), query.flag("watch"), query.flag("y")), ("a=b,c", Some(true), None));
        assert!(query.has("x") && query.get("command") == "ls" && query.number("watch").unwrap() == Some(1));
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["ls", "-l %"]);
        let refused = query.number("labelSelector").unwrap_err();
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (400, "strconv.ParseInt: parsing \"a=b,c\": invalid syntax")
        );
        for malformed in ["dryRun=%zz", "%", "a=%ff"] {
            assert_eq!(Query::parse(malformed).unwrap_err().code, 400, "{malformed}");
        }
    }

    #[test]
    fn only_zero_and_false_are_false() {
        let flag = |text: &str| Query::parse(&format!("a={text}")).unwrap().flag("a");
        for text in ["0", "false", "False", "FALSE", "fAlSe"] {
            assert_eq!(flag(text), Some(false), "{text}");
        }
        for text in ["", "1", "true", "True", "f", "no", "00"] {
            assert_eq!(flag(text), Some(true), "{text}");
        }
        assert_eq!(Query::parse("a").unwrap().flag("a"), Some(true));
    }
}
