//! Node selector and required node affinity (docs/requirements.md, B), with every expression that
//! does not match.

use everynode_api::meta::Labels;
use everynode_api::view::{Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Operator, PodSpec};

use crate::reason::Reason;

/// Why one expression of a term does not hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Miss {
    /// The node's label (or field) has this value.
    Value(Box<str>),
    /// The node has no such label.
    Absent,
    /// The expression cannot be understood; its whole term matches nothing (DS-B12).
    Unreadable,
}

/// Whether the pod's node selector and required affinity match; nothing is allocated.
pub fn matches_node_affinity(pod: &PodSpec, node: &Node) -> bool {
    let labels = &node.meta.labels;
    let selected = pod.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value));
    selected && required(pod).is_none_or(|selector| selector.node_selector_terms.iter().any(|t| matches_term(t, node)))
}

/// Whether one term matches: all expressions and fields (DS-B11); a term without any matches
/// nothing (DS-B12).
pub fn matches_term(term: &NodeSelectorTerm, node: &Node) -> bool {
    !is_empty(term)
        && term.match_expressions.iter().all(|r| holds(r, node.meta.labels.get(&r.key)) == Some(true))
        && term.match_fields.iter().all(|r| field_holds(r, node) == Some(true))
}

/// Every selector pair and every expression of every term that does not match; empty if the pod is
/// admitted.
pub(crate) fn reasons(pod: &PodSpec, node: &Node, reasons: &mut Vec<Reason>) {
    selector_reasons(&pod.node_selector, &node.meta.labels, reasons);
    let Some(selector) = required(pod) else { return };
    if selector.node_selector_terms.iter().any(|term| matches_term(term, node)) {
        return;
    }
    if selector.node_selector_terms.iter().all(is_empty) {
        reasons.push(Reason::NoAffinityTerm);
    }
    for (index, term) in selector.node_selector_terms.iter().enumerate() {
        term_reasons(index, term, node, reasons);
    }
}

fn selector_reasons(selector: &Labels, labels: &Labels, reasons: &mut Vec<Reason>) {
    let missing = selector.iter().filter(|(key, value)| labels.get(key) != Some(value));
    reasons.extend(missing.map(|(key, value)| Reason::NodeSelector {
        key: key.into(),
        value: value.into(),
        found: labels.get(key).map(Into::into),
    }));
}

fn term_reasons(index: usize, term: &NodeSelectorTerm, node: &Node, reasons: &mut Vec<Reason>) {
    let labels = &node.meta.labels;
    let expressions = term.match_expressions.iter().map(|r| (r, holds(r, labels.get(&r.key)), labels.get(&r.key)));
    let fields = term.match_fields.iter().map(|r| (r, field_holds(r, node), Some(field(&r.key, node))));
    for (requirement, holds, found) in expressions.chain(fields) {
        let miss = match (holds, found) {
            (Some(true), _) => continue,
            (None, _) => Miss::Unreadable,
            (Some(false), Some(value)) => Miss::Value(value.into()),
            (Some(false), None) => Miss::Absent,
        };
        reasons.push(Reason::Affinity { term: index, expression: text(requirement).into(), miss });
    }
}

/// `None` also for an absent affinity: everything matches (DS-B12).
fn required(pod: &PodSpec) -> Option<&NodeSelector> {
    pod.affinity.as_ref()?.node_affinity.as_ref()?.required.as_ref()
}

fn is_empty(term: &NodeSelectorTerm) -> bool {
    term.match_expressions.is_empty() && term.match_fields.is_empty()
}

/// Whether an expression holds for a label's value; `None` if it cannot be understood (DS-B12 to
/// DS-B14).
fn holds(requirement: &NodeSelectorRequirement, label: Option<&str>) -> Option<bool> {
    let values = &requirement.values;
    let has = |label: &str| values.iter().any(|value| value.as_ref() == label);
    match requirement.operator {
        Operator::In if !values.is_empty() => Some(label.is_some_and(has)),
        Operator::NotIn if !values.is_empty() => Some(!label.is_some_and(has)),
        Operator::Exists if values.is_empty() => Some(label.is_some()),
        Operator::DoesNotExist if values.is_empty() => Some(label.is_none()),
        Operator::Gt => compare(values, label, |label, operand| label > operand),
        Operator::Lt => compare(values, label, |label, operand| label < operand),
        _ => None,
    }
}

fn compare(values: &[Box<str>], label: Option<&str>, holds: fn(i64, i64) -> bool) -> Option<bool> {
    let [operand] = values else { return None };
    let operand: i64 = operand.parse().ok()?;
    Some(label.and_then(|label| label.parse().ok()).is_some_and(|label| holds(label, operand)))
}

/// Fields know `In` and `NotIn` with one value (DS-B15).
fn field_holds(requirement: &NodeSelectorRequirement, node: &Node) -> Option<bool> {
    let [value] = requirement.values.as_slice() else {
        return None;
    };
    match requirement.operator {
        Operator::In => Some(field(&requirement.key, node) == value.as_ref()),
        Operator::NotIn => Some(field(&requirement.key, node) != value.as_ref()),
        _ => None,
    }
}

/// The only field that nodes have is their name.
fn field<'a>(key: &str, node: &'a Node) -> &'a str {
    if key == "metadata.name" { node.name() } else { "" }
}

fn text(requirement: &NodeSelectorRequirement) -> String {
    match requirement.values.as_slice() {
        [] => format!("{} {:?}", requirement.key, requirement.operator),
        values => format!("{} {:?} [{}]", requirement.key, requirement.operator, values.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let json = r#"{"metadata":{"name":"n1","labels":{"zone":"a","cores":"8","word":"x"}}}"#;
        serde_json::from_str(json).unwrap()
    }

    fn pod(terms: &str) -> PodSpec {
        let json = format!(
            r#"{{"affinity":{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":
               {{"nodeSelectorTerms":{terms}}}}}}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn expressions() {
        // DS-B11 to DS-B15
        let table = [
            (r#"{"key":"zone","operator":"In","values":["a","b"]}"#, true),
            (r#"{"key":"zone","operator":"In","values":["b"]}"#, false),
            (r#"{"key":"zone","operator":"In","values":[]}"#, false),
            (r#"{"key":"none","operator":"NotIn","values":["b"]}"#, true),
            (r#"{"key":"zone","operator":"NotIn","values":["a"]}"#, false),
            (r#"{"key":"zone","operator":"Exists"}"#, true),
            (r#"{"key":"none","operator":"Exists"}"#, false),
            (r#"{"key":"none","operator":"DoesNotExist"}"#, true),
            (r#"{"key":"cores","operator":"Gt","values":["7"]}"#, true),
            (r#"{"key":"cores","operator":"Gt","values":["8"]}"#, false),
            (r#"{"key":"cores","operator":"Lt","values":["9"]}"#, true),
            (r#"{"key":"none","operator":"Lt","values":["9"]}"#, false),
            (r#"{"key":"word","operator":"Lt","values":["9"]}"#, false),
            (r#"{"key":"cores","operator":"Lt","values":["9","10"]}"#, false),
            (r#"{"key":"cores","operator":"Near","values":["9"]}"#, false),
        ];
        for (expression, expected) in table {
            let pod = pod(&format!(r#"[{{"matchExpressions":[{expression}]}}]"#));
            assert_eq!(matches_node_affinity(&pod, &node()), expected, "{expression}");
        }
    }

    #[test]
    fn terms() {
        // DS-B12, DS-B15
        let bad = r#"{"matchExpressions":[{"key":"zone","operator":"Near"}]}"#;
        let zone = r#"{"matchExpressions":[{"key":"zone","operator":"In","values":["a"]}]}"#;
        let name = |value: &str| {
            format!(r#"{{"matchFields":[{{"key":"metadata.name","operator":"In","values":["{value}"]}}]}}"#)
        };
        let table = [
            ("[]".to_string(), false),
            ("[{}]".to_string(), false),
            (format!("[{{}},{zone}]"), true),
            (format!("[{bad},{zone}]"), true),
            (format!("[{bad}]"), false),
            (format!("[{}]", name("n1")), true),
            (format!("[{}]", name("n2")), false),
        ];
        for (terms, expected) in table {
            assert_eq!(matches_node_affinity(&pod(&terms), &node()), expected, "{terms}");
            let mut found = Vec::new();
            reasons(&pod(&terms), &node(), &mut found);
            assert_eq!(found.is_empty(), expected, "{terms}: {found:?}");
        }
    }

    #[test]
    fn every_miss_is_named() {
        let mut pod = pod(
            r#"[{"matchExpressions":[{"key":"zone","operator":"In","values":["b","c"]},{"key":"gpu","operator":"Exists"}]},
                {"matchFields":[{"key":"metadata.name","operator":"In","values":["n2"]}]}]"#,
        );
        pod.node_selector = [("zone", "b"), ("rack", "1")].into_iter().collect();
        let mut found = Vec::new();
        reasons(&pod, &node(), &mut found);
        let text: Vec<_> = found.iter().map(ToString::to_string).collect();
        let expected = [
            "node selector rack=1: the node has no label rack",
            "node selector zone=b: the node has zone=a",
            "required affinity, term 1: zone In [b c]: the node has a",
            "required affinity, term 1: gpu Exists: the node has no such label",
            "required affinity, term 2: metadata.name In [n2]: the node has n1",
        ];
        assert_eq!(text, expected);
    }
}
