use std::collections::BTreeMap;

use super::*;
use serde_json::json;

fn labels(text: &str) -> BTreeMap<String, String> {
    let pair = |pair: &str| pair.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    text.split(',').filter_map(pair).collect()
}

fn parse(text: &str) -> Selector {
    Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn parses_and_prints() {
    // DS-I37: (written, printed)
    let cases = [
        ("", ""),
        ("  ", ""),
        ("a", "a"),
        ("!a", "!a"),
        ("! a", "!a"),
        ("a=b", "a=b"),
        (" a = b ", "a=b"),
        ("a==b", "a==b"),
        ("a!=b", "a!=b"),
        ("a=", "a="),
        ("a=,b", "a=,b"),
        ("a!=,b", "a!=,b"),
        ("a in (x)", "a in (x)"),
        ("a in (y, x,y)", "a in (x,y)"),
        ("a notin (x,y)", "a notin (x,y)"),
        ("a in ()", "a in ()"),
        ("a in (,)", "a in ()"),
        ("a in (x,,y)", "a in (,x,y)"),
        ("a in (in,notin)", "a in (in,notin)"),
        ("in", "in"),
        ("in in (in)", "in in (in)"),
        ("notin=in", "notin=in"),
        ("a>1", "a>1"),
        ("a < 5", "a<5"),
        ("b=1,a=2", "a=2,b=1"),
        ("x in (foo,,baz),y,z notin ()", "x in (,baz,foo),y,z notin ()"),
        ("example.com/a_b.c=v", "example.com/a_b.c=v"),
        ("a\t in\n(b)\r", "a in (b)"),
    ];
    for (written, printed) in cases {
        assert_eq!(parse(written).to_string(), printed, "{written:?}");
        assert_eq!(parse(printed).to_string(), printed);
    }
}

#[test]
fn refuses() {
    // DS-I37
    let bad_key = "<nil>: Invalid value: \"app:\": name part must consist of alphanumeric characters, '-', '_' or '.', \
                   and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', \
                   regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let cases = [
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a,=", "found '=', expected: identifier after ','"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("!!a", "unable to parse requirement: found '!', expected: identifier"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a==!b", "unable to parse requirement: found '!', expected: identifier"),
        ("a in", "unable to parse requirement: found '' expected: '('"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a in (b)c", "found 'c', expected: ',' or 'end of string'"),
        ("app: nginx", &format!("unable to parse requirement: {bad_key}")),
        (
            "a>b",
            "unable to parse requirement: values[0]: Invalid value: \"b\": \
             for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ];
    for (text, error) in cases {
        assert_eq!(Selector::parse(text).unwrap_err(), error, "{text:?}");
    }
    let long = "x".repeat(64);
    let error = Selector::parse(&format!("a={long}")).unwrap_err();
    let text = format!("values[0][a]: Invalid value: \"{long}\": must be no more than 63 bytes");
    assert_eq!(error, format!("unable to parse requirement: {text}"));
}

#[test]
fn matching() {
    // DS-I37, DS-B13, DS-B14: (selector, labels that match, labels that do not)
    let cases: Vec<(&str, Vec<&str>, Vec<&str>)> = vec![
        ("", vec!["", "a=1"], vec![]),
        ("a", vec!["a=", "a=1"], vec!["", "b=1"]),
        ("!a", vec!["", "b=1"], vec!["a=", "a=1"]),
        ("a=1", vec!["a=1", "a=1,b=2"], vec!["", "a=2", "a="]),
        ("a=", vec!["a="], vec!["", "a=1"]),
        ("a!=1", vec!["", "a=2", "a="], vec!["a=1"]),
        ("a in (1,2)", vec!["a=1", "a=2"], vec!["", "a=3", "a="]),
        ("a notin (1,2)", vec!["", "a=3"], vec!["a=1", "a=2"]),
        ("a in ()", vec!["a="], vec!["", "a=1"]),
        ("a>1", vec!["a=2", "a=10"], vec!["", "a=1", "a=0", "a=x", "a="]),
        ("a<1", vec!["a=0", "a=-5"], vec!["", "a=1", "a=2", "a=x"]),
        ("a,b=1", vec!["a=x,b=1"], vec!["a=x", "b=1"]),
    ];
    for (text, yes, no) in cases {
        for set in yes {
            assert!(parse(text).matches_map(&labels(set)), "{text} should match {set:?}");
        }
        for set in no {
            assert!(!parse(text).matches_map(&labels(set)), "{text} should not match {set:?}");
        }
    }
}

#[test]
fn maps_of_boxed_strings_work_too() {
    let boxed: BTreeMap<Box<str>, Box<str>> = BTreeMap::from([("a".into(), "1".into())]);
    assert!(parse("a=1").matches_map(&boxed));
    assert!(parse("a=1").matches(|key| boxed.get(key).map(|v| &**v)));
}

#[test]
fn everything_and_nothing() {
    assert!(Selector::everything().matches(|_| None));
    assert!(!Selector::nothing().matches(|_| Some("x")));
    assert!(Selector::everything().is_everything() && !Selector::nothing().is_everything());
    assert!(Selector::nothing().is_nothing());
    assert_eq!(Selector::nothing().to_string(), "");
}

#[test]
fn exact_values_for_indexes() {
    assert_eq!(parse("a=1,b=2").exact("a"), Some("1"));
    assert_eq!(parse("a in (1)").exact("a"), Some("1"));
    assert_eq!(parse("a in (1,2)").exact("a"), None);
    assert_eq!(parse("a!=1").exact("a"), None);
    assert_eq!(Selector::from_labels([("b", "2"), ("a", "1")]).to_string(), "a=1,b=2");
}

fn structured(value: serde_json::Value) -> LabelSelector {
    serde_json::from_value(value).unwrap()
}

#[test]
fn structured_selectors_print() {
    let cases = [
        (json!({}), "<none>"),
        (json!({"matchLabels": null, "matchExpressions": null}), "<none>"),
        (json!({"matchLabels": {"b": "2", "a": "1"}}), "a=1,b=2"),
        (
            json!({"matchLabels": {"m": "1"}, "matchExpressions": [
                {"key": "z", "operator": "In", "values": ["y", "x"]},
                {"key": "a", "operator": "NotIn", "values": ["q"]},
                {"key": "e", "operator": "Exists"},
                {"key": "d", "operator": "DoesNotExist"}]}),
            "a notin (q),!d,e,m=1,z in (x,y)",
        ),
        (json!({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}), "<error>"),
        (json!({"matchExpressions": [{"key": "a", "operator": "In"}]}), "<error>"),
    ];
    for (value, printed) in cases {
        assert_eq!(structured(value).to_string(), printed);
    }
}

#[test]
fn structured_selectors_are_validated() {
    // DS-A24
    let value = json!({"matchLabels": {"-k": "a b"}, "matchExpressions": [
        {"key": "a", "operator": "In"},
        {"key": "a", "operator": "NotIn", "values": []},
        {"key": "a", "operator": "Exists", "values": ["x"]},
        {"key": "a", "operator": "DoesNotExist", "values": ["x"]},
        {"key": "a", "operator": "Gt", "values": ["1"]},
        {"key": "", "operator": "In", "values": ["ok", "-"]}]});
    let errors = structured(value).validate(&Path::new("spec").child("selector"));
    let short = |e: &FieldError| format!("{}: {}", e.field, e.body().chars().take(90).collect::<String>());
    let texts: Vec<String> = errors.iter().map(short).collect();
    let expected = [
        "spec.selector.matchLabels: Invalid value: \"-k\": name part must",
        "spec.selector.matchLabels: Invalid value: \"a b\": a valid label",
        "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        "spec.selector.matchExpressions[1].values: Required value",
        "spec.selector.matchExpressions[2].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        "spec.selector.matchExpressions[3].values: Forbidden",
        "spec.selector.matchExpressions[4].operator: Invalid value: \"Gt\": not a valid selector operator",
        "spec.selector.matchExpressions[5].key: Invalid value: \"\": name part must be non-empty",
        "spec.selector.matchExpressions[5].key: Invalid value: \"\": name part must consist",
        "spec.selector.matchExpressions[5].values[1]: Invalid value: \"-\"",
    ];
    assert_eq!(texts.len(), expected.len(), "{texts:#?}");
    for (text, expected) in texts.iter().zip(expected) {
        assert!(text.starts_with(expected), "{text} / {expected}");
    }
}

#[test]
fn structured_selectors_survive_serde() {
    let value = json!({"matchExpressions": [{"key": "a", "operator": "Exists"}], "matchLabels": {"a": "1"}});
    assert_eq!(serde_json::to_value(structured(value.clone())).unwrap(), value);
    assert_eq!(serde_json::to_value(LabelSelector::default()).unwrap(), json!({}));
}

#[test]
fn field_selectors() {
    // DS-I36: (written, printed)
    let cases = [
        ("", ""),
        ("metadata.name=a", "metadata.name=a"),
        ("metadata.name==a", "metadata.name=a"),
        ("spec.nodeName!=b", "spec.nodeName!=b"),
        ("a=b,c!=d", "a=b,c!=d"),
        ("a=,b=1", "a=,b=1"),
        (",a=b,", "a=b"),
        (r"a=x\,y\=z\\", r"a=x\,y\=z\\"),
        ("a= b ", "a= b "),
    ];
    for (written, printed) in cases {
        assert_eq!(FieldSelector::parse(written).unwrap().to_string(), printed);
    }
    let refused = [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ];
    for (written, error) in refused {
        assert_eq!(FieldSelector::parse(written).unwrap_err(), error);
    }
}

#[test]
fn field_selectors_match() {
    let fields = |name: &str| (name == "metadata.name").then_some("web");
    let cases = [
        ("metadata.name=web", true),
        ("metadata.name!=web", false),
        ("spec.nodeName=", true),
        ("spec.nodeName!=", false),
        ("metadata.name=web,spec.nodeName=n", false),
    ];
    for (text, expected) in cases {
        assert_eq!(FieldSelector::parse(text).unwrap().matches(fields), expected, "{text}");
    }
    let selector = FieldSelector::parse("metadata.name=a,spec.x!=b").unwrap();
    assert_eq!(selector.exact("metadata.name"), Some("a"));
    assert_eq!(selector.exact("spec.x"), None);
    assert_eq!(selector.check_supported(&["metadata.name"], true).unwrap_err(), "field label not supported: spec.x");
    let text = "\"spec.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
    assert_eq!(selector.check_supported(&["metadata.name"], false).unwrap_err(), text);
}
