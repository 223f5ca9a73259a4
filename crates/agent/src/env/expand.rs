//! `$(VAR)` in environment values, commands and arguments (DS-H42).

/// Replaces every `$(NAME)` that `lookup` knows; an unknown one stays, and `$$` is a plain `$`.
pub(crate) fn expand<'v>(text: &str, lookup: impl Fn(&str) -> Option<&'v str>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        result.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match lookup(name) {
                Some(value) => result.push_str(value),
                None => result.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            result.push('$');
        }
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_unknown_and_escaped() {
        // DS-H42
        let lookup = |name: &str| (name == "A").then_some("1");
        for (text, expanded) in [
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$A", "$A"),
            ("$(A", "$(A"),
            ("cost $", "cost $"),
        ] {
            assert_eq!(expand(text, lookup), expanded, "{text}");
        }
    }
}
