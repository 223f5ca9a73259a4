//! Which strings may be names, and Kubernetes' words for those that may not.
//!
//! Every check returns its complaints, none when the string is fine. The texts are those of
//! `k8s.io/apimachinery/pkg/util/validation` at 1.36: they appear in `Invalid` answers that scripts
//! read.

/// Longest DNS-1123 label, label value and name part of a label key, in bytes.
pub const LABEL_BYTES_MAX: usize = 63;
/// Longest DNS-1123 subdomain, in bytes: the limit of most object names (DS-A20).
pub const SUBDOMAIN_BYTES_MAX: usize = 253;
/// Longest port name (IANA service name), in bytes.
pub const PORT_NAME_BYTES_MAX: usize = 15;

const LABEL_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FORMAT: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const QUALIFIED_FORMAT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

/// A DNS-1123 label: namespaces, container, volume and port-owner names.
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut errors = length(value, LABEL_BYTES_MAX);
    if !is_dns_label(value) {
        errors.push(mismatch(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
             and must start and end with an alphanumeric character",
            LABEL_FORMAT,
            &["my-name", "123-abc"],
        ));
    }
    errors
}

/// A DNS-1123 subdomain: most object names (DS-A20).
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = length(value, SUBDOMAIN_BYTES_MAX);
    if !value.split('.').all(is_dns_label) {
        errors.push(mismatch(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
             and must start and end with an alphanumeric character",
            SUBDOMAIN_FORMAT,
            &["example.com"],
        ));
    }
    errors
}

/// A DNS-1035 label: service names.
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut errors = length(value, LABEL_BYTES_MAX);
    if !is_dns_label(value) || !value.starts_with(|c: char| c.is_ascii_lowercase()) {
        errors.push(mismatch(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', \
             start with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    errors
}

/// A wildcard DNS-1123 subdomain such as `*.example.com`.
pub fn wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = length(value, SUBDOMAIN_BYTES_MAX);
    let rest = value.strip_prefix("*.");
    if !rest.is_some_and(|rest| rest.split('.').all(is_dns_label)) {
        errors.push(mismatch(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
             consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!(r"\*\.{SUBDOMAIN_FORMAT}"),
            &["*.example.com"],
        ));
    }
    errors
}

/// A qualified name: keys of labels, annotations, taints and resources, finalizers with a slash.
pub fn qualified_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, name)) if name.contains('/') => {
            let text = qualified_mismatch();
            let tail = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name {text} {tail}")];
        }
        Some((prefix, name)) => {
            errors.extend(prefix_part(prefix));
            name
        }
    };
    errors.extend(name_part(name));
    errors
}

fn prefix_part(prefix: &str) -> Vec<String> {
    match prefix.is_empty() {
        true => vec!["prefix part must be non-empty".to_owned()],
        false => dns1123_subdomain(prefix).into_iter().map(|e| format!("prefix part {e}")).collect(),
    }
}

fn name_part(name: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    }
    errors.extend(length(name, LABEL_BYTES_MAX).into_iter().map(|e| format!("name part {e}")));
    if !is_qualified_part(name) {
        errors.push(format!("name part {}", qualified_mismatch()));
    }
    errors
}

fn qualified_mismatch() -> String {
    mismatch(
        "must consist of alphanumeric characters, '-', '_' or '.', \
         and must start and end with an alphanumeric character",
        QUALIFIED_FORMAT,
        &["MyName", "my.name", "123-abc"],
    )
}

/// A label value: empty, or up to 63 characters of the qualified kind.
pub fn label_value(value: &str) -> Vec<String> {
    let mut errors = length(value, LABEL_BYTES_MAX);
    if !value.is_empty() && !is_qualified_part(value) {
        errors.push(mismatch(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
             and must start and end with an alphanumeric character",
            &format!("({QUALIFIED_FORMAT})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    errors
}

/// A C identifier.
pub fn c_identifier(value: &str) -> Vec<String> {
    let body = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if value.starts_with(|c: char| body(c) && !c.is_ascii_digit()) && value.chars().all(body) {
        return Vec::new();
    }
    vec![mismatch(
        "a valid C identifier must start with alphabetic character or '_', \
         followed by a string of alphanumeric characters or '_'",
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )]
}

/// An environment variable name by the rule since 1.34: printable ASCII without `=`.
pub fn env_var_name(value: &str) -> Vec<String> {
    if value.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    let printable = |c: char| c.is_ascii_graphic() || c == ' ';
    match value.chars().all(|c| printable(c) && c != '=') {
        true => Vec::new(),
        false => vec![
            "a valid environment variable name must consist only of printable ASCII characters \
             other than '='"
                .to_owned(),
        ],
    }
}

/// A key of a ConfigMap's or Secret's data; it becomes a file name.
pub fn config_map_key(value: &str) -> Vec<String> {
    let mut errors = length(value, SUBDOMAIN_BYTES_MAX);
    if value.is_empty() || !value.chars().all(is_qualified_inner) {
        errors.push(mismatch(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    errors.extend(directory_change(value));
    errors
}

/// A port name (IANA service name).
pub fn port_name(value: &str) -> Vec<String> {
    let mut errors = length(value, PORT_NAME_BYTES_MAX);
    let mut complain = |wrong: bool, text: &str| {
        if wrong {
            errors.push(text.to_owned());
        }
    };
    complain(
        value.is_empty() || !value.chars().all(is_dns_inner),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    complain(!value.contains(|c: char| c.is_ascii_lowercase()), "must contain at least one letter (a-z)");
    complain(value.contains("--"), "must not contain consecutive hyphens");
    complain(value.starts_with('-') || value.ends_with('-'), "must not begin or end with a hyphen");
    errors
}

/// A port number.
pub fn port_number(value: i64) -> Vec<String> {
    in_range(value, 1, 65535)
}

/// A number within inclusive bounds.
pub fn in_range(value: i64, min: i64, max: i64) -> Vec<String> {
    match (min..=max).contains(&value) {
        true => Vec::new(),
        false => vec![format!("must be between {min} and {max}, inclusive")],
    }
}

/// A Unix user or group id: 0 to 2^31 − 1.
pub fn unix_id(value: i64) -> Vec<String> {
    in_range(value, 0, i64::from(i32::MAX))
}

/// A percentage such as `25%` (DS-A31).
pub fn percent(value: &str) -> Vec<String> {
    let digits = value.strip_suffix('%').unwrap_or("");
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    vec![mismatch(
        "a valid percent string must be a numeric string followed by an ending '%'",
        "[0-9]+%",
        &["1%", "93%"],
    )]
}

/// The name of an HTTP header in a probe.
pub fn http_header_name(value: &str) -> Vec<String> {
    if !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Vec::new();
    }
    vec![mismatch(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

/// A path that must stay inside its volume: not absolute, no `..` element (`subPath`, item paths).
pub fn local_descending_path(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.starts_with('/') {
        errors.push("must be a relative path".to_owned());
    }
    errors.extend(no_back_steps(value));
    errors
}

/// A path without `..` elements (`hostPath.path`).
pub fn no_back_steps(value: &str) -> Vec<String> {
    match value.split('/').any(|part| part == "..") {
        true => vec!["must not contain '..'".to_owned()],
        false => Vec::new(),
    }
}

/// A path that must be absolute.
pub fn absolute_path(value: &str) -> Vec<String> {
    match value.starts_with('/') {
        true => Vec::new(),
        false => vec!["must be an absolute path".to_owned()],
    }
}

/// The name as it will begin when the server appends its suffix to a `generateName`: a trailing
/// dash is replaced by a letter before the name's own rule is applied (DS-A20).
pub fn masked_generate_name(value: &str) -> String {
    match value.len() > 1 && value.ends_with('-') {
        true => format!("{}a", &value[..value.len() - 1]),
        false => value.to_owned(),
    }
}

fn length(value: &str, bytes_max: usize) -> Vec<String> {
    match value.len() > bytes_max {
        true => vec![format!("must be no more than {bytes_max} bytes")],
        false => Vec::new(),
    }
}

fn mismatch(message: &str, format: &str, examples: &[&str]) -> String {
    let quoted: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{format}')", quoted.join(" or "))
}

fn directory_change(value: &str) -> Option<String> {
    match value {
        "." => Some("must not be '.'".to_owned()),
        ".." => Some("must not be '..'".to_owned()),
        _ if value.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

fn is_dns_inner(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

fn is_dns_label(value: &str) -> bool {
    let edge = |c: char| is_dns_inner(c) && c != '-';
    value.starts_with(edge) && value.ends_with(edge) && value.chars().all(is_dns_inner)
}

fn is_qualified_inner(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn is_qualified_part(value: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    value.starts_with(edge) && value.ends_with(edge) && value.chars().all(is_qualified_inner)
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
