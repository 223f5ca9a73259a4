//! Query strings.

use everynode_api::status::Status;

/// Decoded parameters, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Query {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name, true), decode(value, true))
        };
        Query(text.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    /// The first value of a parameter; empty when it is absent.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(held, _)| held == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(held, _)| held == name)
    }

    /// A boolean: absent, or anything that Go's parser takes for true or false.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            "" if !self.has(name) => None,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => Some(true),
        }
    }

    /// A number; something else is the client's mistake.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Status> {
        match self.get(name) {
            "" => Ok(None),
            text => {
                text.parse().map(Some).map_err(|_| Status::bad_request(format!("invalid value for {name}: {text:?}")))
            }
        }
    }
}

/// Resolves percent escapes; what is no escape stays as it is.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> String {
    if !text.bytes().any(|byte| byte == b'%' || (plus_is_space && byte == b'+')) {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' if plus_is_space => out.push(b' '),
            b'%' => {
                let rest = bytes.clone();
                let digits: Vec<u8> = rest.take(2).collect();
                match std::str::from_utf8(&digits).ok().and_then(|text| u8::from_str_radix(text, 16).ok()) {
                    Some(value) if digits.len() == 2 => {
                        out.push(value);
                        bytes.nth(1);
                    }
                    _ => out.push(byte),
                }
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=a%3Db%2Cc&watch=1&x&command=ls&command=-l+%zz");
        assert_eq!((query.get("labelSelector"), query.flag("watch"), query.flag("y")), ("a=b,c", Some(true), None));
        assert!(query.has("x") && query.get("command") == "ls" && query.number::<u64>("watch").unwrap() == Some(1));
    }
}
