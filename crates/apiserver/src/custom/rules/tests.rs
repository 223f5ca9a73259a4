use everynode_api::field::{FieldError, Path};
use serde_json::{Value, json};

use super::{RuleTree, check_rules};

fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(FieldError::to_string).collect()
}

/// A schema whose `spec` has these properties and rules.
fn schema(properties: Value, rules: Value) -> Value {
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": properties, "x-kubernetes-validations": rules},
    }})
}

/// What the rules of `schema` say of a `spec`, that was `old`.
fn said(schema: &Value, spec: Value, old: Option<Value>) -> Vec<String> {
    assert_eq!(texts(&check_rules(schema, &Path::new("s"))), Vec::<String>::new());
    let tree = RuleTree::parse(schema).unwrap();
    let object = |spec: Value| json!({"apiVersion": "a.test/v1", "kind": "A", "metadata": {"name": "n"}, "spec": spec});
    let mut errors = Vec::new();
    tree.check(&object(spec), old.map(object).as_ref(), &mut errors);
    texts(&errors)
}

#[test]
fn mistakes_of_rules() {
    let name = json!({"name": {"type": "string", "maxLength": 20}, "labels": {"type": "object",
        "additionalProperties": {"type": "string", "maxLength": 9}, "maxProperties": 9}});
    let mistakes = |rule: Value| texts(&check_rules(&schema(name.clone(), json!([rule])), &Path::new("s")));
    let at = "s.properties[spec].x-kubernetes-validations[0]";
    let table = [
        (json!({"rule": " "}), format!("{at}.rule: Required value: rule is not specified")),
        (
            json!({"rule": "true", "message": "a\nb"}),
            format!("{at}.message: Invalid value: \"a\\nb\": message must not contain line breaks"),
        ),
        (
            json!({"rule": "true &&\ntrue"}),
            format!("{at}.message: Required value: message must be specified if rule contains line breaks"),
        ),
        (
            json!({"rule": "true", "reason": "Odd"}),
            format!(
                "{at}.reason: Unsupported value: \"Odd\": supported values: \"FieldValueDuplicate\", \
                 \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\""
            ),
        ),
        (
            json!({"rule": "true", "fieldPath": ".nothing"}),
            format!(
                "{at}.fieldPath: Invalid value: \".nothing\": fieldPath must be a valid path: does not refer to a valid \
                 field: nothing"
            ),
        ),
    ];
    for (rule, expected) in table {
        assert_eq!(mistakes(rule.clone()), [expected], "{rule}");
    }
    let unknown = mistakes(json!({"rule": "self.nothing == 1"}));
    assert!(unknown[0].ends_with("compilation failed: ERROR: <input>: undefined field 'nothing'"), "{unknown:?}");
    for fine in [json!({"rule": "true", "fieldPath": ".labels['a.b']"}), json!({"rule": "true", "fieldPath": ".name"})]
    {
        assert_eq!(mistakes(fine), Vec::<String>::new());
    }
}

#[test]
fn old_values_are_known_only_of_items_with_keys() {
    let list = |kind: Value| {
        let mut list = json!({"l": {"type": "array", "maxItems": 3, "items": {
            "type": "object", "required": ["k"],
            "properties": {"k": {"type": "string", "maxLength": 5}, "v": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "must not shrink"}],
        }}});
        list["l"].as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        schema(list, json!([{"rule": "true"}]))
    };
    let atomic = check_rules(&list(json!({})), &Path::new("s"));
    let detail =
        "oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[spec].properties[l]";
    assert!(atomic[0].to_string().ends_with(detail), "{}", atomic[0]);
    let map = list(json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}));
    let old = json!({"l": [{"k": "a", "v": 3}, {"k": "b", "v": 1}]});
    let new = json!({"l": [{"k": "b", "v": 2}, {"k": "a", "v": 2}, {"k": "c", "v": 0}]});
    assert_eq!(said(&map, new, Some(old)), ["spec.l[1]: Invalid value: must not shrink"]);
}

#[test]
fn an_optional_old_value_counts_for_new_objects() {
    let rule =
        json!([{"rule": "oldSelf.hasValue() || self.a == 1", "optionalOldSelf": true, "message": "begins with 1"}]);
    let schema = schema(json!({"a": {"type": "integer"}}), rule);
    assert_eq!(said(&schema, json!({"a": 2}), None), ["spec: Invalid value: begins with 1"]);
    assert_eq!(said(&schema, json!({"a": 1}), None), Vec::<String>::new());
    assert_eq!(said(&schema, json!({"a": 2}), Some(json!({"a": 1}))), Vec::<String>::new());
}

#[test]
fn what_was_wrong_before_is_no_obstacle() {
    let schema = schema(
        json!({
            "a": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 5"}]},
            "b": {"type": "integer"},
        }),
        json!([{"rule": "true"}]),
    );
    assert_eq!(said(&schema, json!({"a": 7, "b": 2}), Some(json!({"a": 7, "b": 1}))), Vec::<String>::new());
    let changed = said(&schema, json!({"a": 8, "b": 1}), Some(json!({"a": 7, "b": 1})));
    assert_eq!(changed, ["spec.a: Invalid value: 8: failed rule: self < 5"]);
}

#[test]
fn reasons_places_and_faults() {
    let schema = schema(
        json!({
            "labels": {"type": "object", "maxProperties": 9, "additionalProperties": {"type": "string", "maxLength": 9,
                "x-kubernetes-validations": [{"rule": "self != ''", "message": "must not be empty"}]}},
            "either": {"x-kubernetes-int-or-string": true},
            "n": {"type": "integer"},
        }),
        json!([
            {"rule": "has(self.n)", "message": "n is needed", "reason": "FieldValueRequired", "fieldPath": ".n"},
            {"rule": "!has(self.n) || self.n != 3", "message": "is taken", "reason": "FieldValueDuplicate", "fieldPath": ".n"},
            {"rule": "!has(self.either) || self.either > 1"},
            {"rule": "!has(self.n) || 6 / self.n == 2", "messageExpression": "'a sixth of ' + (self.n > 5 ? 'much' : 'little')"},
        ]),
    );
    assert_eq!(
        said(&schema, json!({"labels": {"a": "x", "b.c": ""}}), None),
        ["spec.n: Required value: n is needed", "spec.labels[b.c]: Invalid value: \"\": must not be empty",]
    );
    assert_eq!(said(&schema, json!({"n": 3}), None), ["spec.n: Duplicate value: is taken"]);
    assert_eq!(said(&schema, json!({"n": 6}), None), ["spec: Invalid value: a sixth of much"]);
    assert_eq!(
        said(&schema, json!({"n": 0}), None),
        ["spec: Invalid value: division by zero evaluating rule: !has(self.n) || 6 / self.n == 2"]
    );
    assert_eq!(said(&schema, json!({"n": 3, "either": "x"}), None).len(), 2);
    let overload = &said(&schema, json!({"n": 2, "either": "x"}), None)[0];
    assert!(overload.contains("'no such overload': call arguments did not match a supported operator"), "{overload}");
}

#[test]
fn nothing_is_said_of_what_has_the_wrong_shape() {
    let schema = schema(json!({"a": {"type": "integer"}}), json!([{"rule": "self.a > 1"}]));
    let tree = RuleTree::parse(&schema).unwrap();
    let mut errors = vec![FieldError::required(&Path::new("spec").child("b"), "")];
    tree.check(&json!({"spec": {"a": 0}}), None, &mut errors);
    assert_eq!(errors.len(), 2);
    assert!(errors[1].to_string().starts_with("<nil>: Invalid value: null: some validation rules were not checked"));
}

#[test]
fn one_object_has_one_budget() {
    // A thousand steps through the text, times five of the pattern.
    let schema = schema(
        json!({"l": {"type": "array", "items": {"type": "string", "maxLength": 10_000,
            "x-kubernetes-validations": [{"rule": "!self.matches('baaaaaaaaaaaaaaaaaaa')"}]}, "maxItems": 10_000}}),
        json!([{"rule": "true"}]),
    );
    let many = json!({"l": vec!["a".repeat(10_000); 2_100]});
    let tree = RuleTree::parse(&schema).unwrap();
    let mut errors = Vec::new();
    tree.check(&json!({"spec": many}), None, &mut errors);
    let detail = "validation failed due to running out of cost budget, no further validation rules will be run";
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().ends_with(detail), "{}", errors[0]);
}

#[test]
fn a_schema_without_rules_has_no_tree() {
    assert!(RuleTree::parse(&json!({"type": "object"})).is_none());
}
