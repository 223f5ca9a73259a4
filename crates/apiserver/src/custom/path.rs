//! The simple JSON paths of printer columns and selectable fields: `.spec.items[0].name`,
//! `.metadata.annotations['a.b/c']`, `.spec.list[*]`, `.spec.list[-1]`,
//! `.status.conditions[?(@.type=="Ready")].status`.

use serde_json::Value;

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Member(String),
    /// An item, counted from the end if it is negative.
    Index(i64),
    /// The first item from here on, up to another one.
    Slice(i64, Option<i64>),
    /// Every item, or every member's value.
    Each,
    /// The items in which a comparison holds: `[?(@.NAME=="VALUE")]`.
    Where(Condition),
}

/// What an item is compared with, and how.
#[derive(Clone, Debug, PartialEq)]
struct Condition {
    /// From the item.
    path: JsonPath,
    comparison: Comparison,
    value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Longer signs come before those that they begin with.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

/// A path from the object itself.
#[derive(Clone, Debug, PartialEq)]
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
        Step::Index(index) => {
            let items = value.as_array()?;
            find(items.get(place(*index, items.len())?)?, rest)
        }
        Step::Slice(start, end) => {
            let items = value.as_array()?;
            let end = end.map_or(Some(items.len()), |end| place(end, items.len()))?.min(items.len());
            items.get(place(*start, items.len())?..end)?.iter().find_map(|item| find(item, rest))
        }
        Step::Each => match value {
            Value::Array(items) => items.iter().find_map(|item| find(item, rest)),
            Value::Object(members) => members.values().find_map(|member| find(member, rest)),
            _ => None,
        },
        Step::Where(condition) => {
            value.as_array()?.iter().filter(|item| condition.holds(item)).find_map(|item| find(item, rest))
        }
    }
}

/// Where an index is in a list of so many items.
fn place(index: i64, length: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

impl Condition {
    /// `@.NAME=="VALUE"`; two conditions at once are not understood, as in the original.
    fn parse(text: &str) -> Option<Condition> {
        if text.contains("&&") || text.contains("||") {
            return None;
        }
        let sign = |at: usize| COMPARISONS.into_iter().find(|(sign, _)| text[at..].starts_with(sign));
        let (at, (sign, comparison)) = text.char_indices().find_map(|(at, _)| Some((at, sign(at)?)))?;
        let path = JsonPath::parse(text[..at].trim().strip_prefix('@')?)?;
        let value = text[at + sign.len()..].trim();
        let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
        let value = match quoted('"').or_else(|| quoted('\'')) {
            Some(text) if !text.contains(['"', '\'']) => Value::from(text),
            Some(_) => return None,
            None => serde_json::from_str(value).ok().filter(|value: &Value| !value.is_array() && !value.is_object())?,
        };
        Some(Condition { path, comparison, value })
    }

    fn holds(&self, item: &Value) -> bool {
        let Some(found) = self.path.first(item) else { return false };
        let order = match (found, &self.value) {
            (Value::Number(one), Value::Number(two)) => one.as_f64().partial_cmp(&two.as_f64()),
            (Value::String(one), Value::String(two)) => Some(one.cmp(two)),
            (one, two) if one == two => Some(std::cmp::Ordering::Equal),
            _ => None,
        };
        match (self.comparison, order) {
            (Comparison::NotEqual, order) => order.is_none_or(|order| order.is_ne()),
            (_, None) => false,
            (Comparison::Equal, Some(order)) => order.is_eq(),
            (Comparison::Less, Some(order)) => order.is_lt(),
            (Comparison::LessOrEqual, Some(order)) => order.is_le(),
            (Comparison::Greater, Some(order)) => order.is_gt(),
            (Comparison::GreaterOrEqual, Some(order)) => order.is_ge(),
        }
    }
}

/// A name up to the next dot or bracket; `\.` is a dot in it.
fn member(text: &str) -> Option<(Step, &str)> {
    if let Some(after) = text.strip_prefix('*') {
        return (after.is_empty() || after.starts_with(['.', '['])).then_some((Step::Each, after));
    }
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
    if let Some(condition) = text.strip_prefix("?(") {
        let (condition, after) = condition.split_once(")]")?;
        return Some((Step::Where(Condition::parse(condition)?), after));
    }
    let (inside, after) = text.split_once(']')?;
    let quoted = |quote: char| inside.strip_prefix(quote)?.strip_suffix(quote);
    let number = |text: &str| text.parse::<i64>().ok();
    let step = match quoted('\'').or_else(|| quoted('"')) {
        Some(name) if !name.contains(['"', '\'']) => Step::Member(name.to_owned()),
        Some(_) => return None,
        None if inside == "*" => Step::Each,
        None => match inside.split_once(':') {
            None => Step::Index(number(inside)?),
            Some((start, end)) => {
                let start = if start.is_empty() { 0 } else { number(start)? };
                Step::Slice(start, if end.is_empty() { None } else { Some(number(end)?) })
            }
        },
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
        assert!(
            ["", "spec.x", ".", ".a[", ".a[x]", "..x", ".a['b','c']", ".a[]", ".a.*b"]
                .iter()
                .all(|path| JsonPath::parse(path).is_none())
        );
    }

    #[test]
    fn items_are_found_by_place_and_by_comparison() {
        let object = json!({"l": [{"n": 1, "a": {"b": "x"}}, {"n": 7, "s": "T", "y": true}, {"n": 9}]});
        let at = |path: &str| JsonPath::parse(path).unwrap().first(&object).cloned();
        for (path, found) in [
            (".l[-1].n", Some(json!(9))),
            (".l[1:].n", Some(json!(7))),
            (".l[0:2].s", Some(json!("T"))),
            (".l[:1].s", None),
            (".l[-9]", None),
            (".*[0].n", Some(json!(1))),
            (".l[?(@.n>5)].n", Some(json!(7))),
            (".l[?(@.n >= 9)].n", Some(json!(9))),
            (".l[?(@.n!=1)].n", Some(json!(7))),
            (".l[?(@.s<'U')].n", Some(json!(7))),
            (".l[?(@.y==true)].n", Some(json!(7))),
            (".l[?(@.a.b==\"x\")].n", Some(json!(1))),
            (".l[?(@.n==\"7\")].n", None),
        ] {
            assert_eq!(at(path), found, "{path}");
        }
        let wrong = [".c[?(@.t==\"R\" && @.s==\"T\")].x", ".c[?(@.t==\"R)].x", ".c[?(t==1)]", ".c[?(@.t)]"];
        assert!(wrong.iter().all(|path| JsonPath::parse(path).is_none()));
    }
}
