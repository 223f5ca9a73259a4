//! The simple JSON paths of printer columns, selectable fields and scales: `.spec.items[0].name`,
//! `.metadata.annotations['a.b/c']`, `.spec.list[*]`,
//! `.status.conditions[?(@.type=="Ready")].status`.

use serde_json::Value;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Index(usize),
    /// Every item, or every member's value.
    Each,
    /// The items whose member has this value: `[?(@.NAME=="VALUE")]`.
    Where(String, String),
}

/// A path from the object itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPath(Vec<Step>);

impl JsonPath {
    /// `None`: it is no path that is understood.
    pub(crate) fn parse(text: &str) -> Option<JsonPath> {
        let mut rest = text;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = match rest.strip_prefix('[') {
                Some(inside) => bracket(inside)?,
                None => member(rest.strip_prefix('.')?)?,
            };
            steps.push(step);
            rest = after;
        }
        (!steps.is_empty()).then_some(JsonPath(steps))
    }

    /// The names of a path that has nothing but names.
    pub(crate) fn members(&self) -> Option<Vec<&str>> {
        let steps = self.0.iter();
        steps.map(|step| if let Step::Member(name) = step { Some(name.as_str()) } else { None }).collect()
    }

    /// The first value that the path leads to.
    pub(crate) fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        find(value, &self.0)
    }
}

fn find<'v>(value: &'v Value, steps: &[Step]) -> Option<&'v Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    match step {
        Step::Member(name) => find(value.get(name)?, rest),
        Step::Index(index) => find(value.get(*index)?, rest),
        Step::Each => match value {
            Value::Array(items) => items.iter().find_map(|item| find(item, rest)),
            Value::Object(members) => members.values().find_map(|member| find(member, rest)),
            _ => None,
        },
        Step::Where(name, wanted) => {
            let fits = |item: &&Value| item[name.as_str()].as_str() == Some(wanted);
            value.as_array()?.iter().filter(fits).find_map(|item| find(item, rest))
        }
    }
}

/// A name up to the next dot or bracket; `\.` is a dot in it.
fn member(text: &str) -> Option<(Step, &str)> {
    let mut name = String::new();
    let mut letters = text.char_indices();
    let mut end = text.len();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '.' | '[' => {
                end = at;
                break;
            }
            '\\' => name.push(letters.next()?.1),
            letter => name.push(letter),
        }
    }
    (!name.is_empty()).then(|| (Step::Member(name), &text[end..]))
}

fn bracket(text: &str) -> Option<(Step, &str)> {
    if let Some(condition) = text.strip_prefix("?(@.") {
        let (condition, after) = condition.split_once(")]")?;
        let (name, value) = condition.split_once("==")?;
        let value = value.trim().trim_matches(['"', '\'']);
        return Some((Step::Where(name.trim().to_owned(), value.to_owned()), after));
    }
    let (inside, after) = text.split_once(']')?;
    let quoted = |quote: char| inside.strip_prefix(quote)?.strip_suffix(quote);
    let step = match quoted('\'').or_else(|| quoted('"')) {
        Some(name) => Step::Member(name.to_owned()),
        None if inside == "*" => Step::Each,
        None => Step::Index(inside.parse().ok()?),
    };
    Some((step, after))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_the_first_value() {
        let object = json!({"metadata": {"annotations": {"a.b/c": "x"}}, "spec": {"l": [{"n": 1}, {"n": 2}]},
            "status": {"conditions": [{"type": "A", "status": "no"}, {"type": "Ready", "status": "yes"}]}});
        let at = |path: &str| JsonPath::parse(path).unwrap().first(&object).cloned();
        assert_eq!(at(".spec.l[1].n"), Some(json!(2)));
        assert_eq!(at(".spec.l[*].n"), Some(json!(1)));
        assert_eq!(at(".metadata.annotations['a.b/c']"), Some(json!("x")));
        assert_eq!(at(".metadata.annotations.a\\.b/c"), Some(json!("x")));
        assert_eq!(at(".status.conditions[?(@.type==\"Ready\")].status"), Some(json!("yes")));
        assert_eq!(at(".spec.none"), None);
        assert!(["", "spec.x", ".", ".a[", ".a[x]"].iter().all(|path| JsonPath::parse(path).is_none()));
    }
}
