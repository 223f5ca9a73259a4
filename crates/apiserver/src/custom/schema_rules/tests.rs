use serde_json::json;

use super::*;

/// The mistakes of a schema that has this one for `x`, without the path up to it.
fn mistakes(schema: Value) -> Vec<String> {
    let whole = json!({"type": "object", "properties": {"x": schema}});
    let errors = SchemaRules::default().check(&whole, &Path::new("s"));
    errors.iter().map(|error| error.to_string().replace("s.properties[x].", "")).collect()
}

fn list(kind: &str, of_items: Value, keys: Value) -> Value {
    json!({"type": "array", "items": of_items, "x-kubernetes-list-type": kind, "x-kubernetes-list-map-keys": keys})
}

fn item(property: Value) -> Value {
    json!({"type": "object", "required": ["a"], "properties": {"a": property}})
}

#[test]
fn lists_and_maps() {
    let object = || json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let text = || json!({"type": "string"});
    let cases = [
        (
            list("set", object(), json!([])),
            "items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with \
             x-kubernetes-list-type=set",
        ),
        (
            list("set", list("set", text(), json!([])), json!([])),
            "items.x-kubernetes-list-type: Invalid value: \"set\": must be atomic as item of a list with \
             x-kubernetes-list-type=set",
        ),
        (
            list("set", json!({"type": "string", "nullable": true}), json!([])),
            "items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is set",
        ),
        (
            json!({"type": "array", "items": object(), "x-kubernetes-list-map-keys": ["a"]}),
            "x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty",
        ),
        (
            list("atomic", object(), json!(["a"])),
            "x-kubernetes-list-type: Invalid value: \"atomic\": must be map if x-kubernetes-list-map-keys is non-empty",
        ),
        (
            list("map", text(), json!(["a"])),
            "items.type: Invalid value: \"string\": must be object if parent array's x-kubernetes-list-type is map",
        ),
        (
            list("map", item(json!({"type": "object"})), json!(["a"])),
            "items.properties[a].type: Invalid value: \"object\": must be a scalar type if parent array's \
             x-kubernetes-list-type is map",
        ),
        (
            list("map", item(json!({"type": "string", "nullable": true})), json!(["a"])),
            "items.properties[a].nullable: Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot \
             be nullable",
        ),
        (
            list("map", item(text()), json!(["a", "a"])),
            "x-kubernetes-list-map-keys: Invalid value: [\"a\",\"a\"]: must not contain duplicate entries",
        ),
        (
            json!({"type": "object", "x-kubernetes-map-type": "zzz"}),
            "x-kubernetes-map-type: Unsupported value: \"zzz\": supported values: \"atomic\", \"granular\"",
        ),
        (
            json!({"type": "array", "items": text(), "x-kubernetes-map-type": "atomic"}),
            "type: Invalid value: \"array\": must be object if x-kubernetes-map-type is specified",
        ),
    ];
    for (schema, text) in cases {
        assert_eq!(mistakes(schema.clone()), [text], "{schema}");
    }
    let atomic = json!({"type": "object", "x-kubernetes-map-type": "atomic"});
    for good in
        [list("set", atomic, json!([])), list("set", text(), json!([])), list("map", item(text()), json!(["a"]))]
    {
        assert_eq!(mistakes(good), [""; 0]);
    }
}

#[test]
fn extensions_agree_with_each_other() {
    let cases = [
        (
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": false}),
            "x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
        ),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true}),
            "properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without \
             x-kubernetes-preserve-unknown-fields",
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true}),
            "x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string \
             is true",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false}),
            "additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            json!({"type": "object", "anyOf": [{"nullable": true}]}),
            "anyOf[0].nullable: Forbidden: must be false to be structural",
        ),
        (json!({"type": "string", "not": {"type": "string"}}), "not.type: Forbidden: must be empty to be structural"),
    ];
    for (schema, text) in cases {
        assert_eq!(mistakes(schema.clone()), [text], "{schema}");
    }
    for good in [
        json!({"type": "object", "additionalProperties": false}),
        json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
        json!({"x-kubernetes-int-or-string": true,
            "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "a"}]}),
    ] {
        assert_eq!(mistakes(good.clone()), [""; 0], "{good}");
    }
}

#[test]
fn what_combinations_at_the_root_limit_is_specified() {
    let whole = json!({"type": "object", "properties": {"a": {"type": "string"}},
        "anyOf": [{"properties": {"a": {"pattern": "x"}}}, {"required": ["b"], "properties": {"b": {"pattern": "x"}}}]});
    let errors = SchemaRules::default().check(&whole, &Path::new("s"));
    let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(text, ["s.properties[b]: Required value: because it is defined in s.anyOf[1].properties[b]"]);
}

#[test]
fn patterns_of_a_definition_share_their_room() {
    let mut rules = SchemaRules::default();
    let schema =
        |pattern: String| json!({"type": "object", "properties": {"x": {"type": "string", "pattern": pattern}}});
    for _ in 0..5_000 {
        assert!(rules.check(&schema("^a{0,9}b$".to_owned()), &Path::new("s")).is_empty(), "equal ones cost once");
    }
    let refused =
        (0..100_000).find(|number| !rules.check(&schema(format!("^.{{0,100}}{number}$")), &Path::new("s")).is_empty());
    assert!(refused.is_some_and(|count| count > 50), "{refused:?}");
    let error = &rules.check(&schema("^other$".to_owned()), &Path::new("s"))[0];
    assert!(error.detail.ends_with("error parsing regexp: expression too large: `^other$`"), "{error}");
}

#[test]
fn nested_defaults_are_each_read_once() {
    let mut schema = json!({"type": "string", "default": "x"});
    for _ in 0..60 {
        schema = json!({"type": "object", "default": {}, "properties": {"a": schema, "b": {"type": "string"}}});
    }
    assert_eq!(mistakes(schema), [""; 0]);
    let long = "x".repeat(20_000);
    let many = json!({"type": "array", "default": vec![json!({}); 100], "items": {"type": "object",
        "properties": {"a": {"type": "string", "default": long}}}});
    assert_eq!(mistakes(many), ["default: Forbidden: the defaults in it are larger than what may be stored"]);
}
