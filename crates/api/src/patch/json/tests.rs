use super::*;
use serde_json::json;

#[test]
fn applies() {
    // RFC 6902, appendix A, and the edges around it; DS-I13.
    let cases = [
        (
            json!({"foo": "bar"}),
            json!([{"op": "add", "path": "/baz", "value": "q"}]),
            json!({"baz": "q", "foo": "bar"}),
        ),
        (json!({"a": ["x", "z"]}), json!([{"op": "add", "path": "/a/1", "value": "y"}]), json!({"a": ["x", "y", "z"]})),
        (json!({"a": ["x"]}), json!([{"op": "add", "path": "/a/-", "value": ["y"]}]), json!({"a": ["x", ["y"]]})),
        (json!({"a": ["x"]}), json!([{"op": "add", "path": "/a/1", "value": "y"}]), json!({"a": ["x", "y"]})),
        (json!({"a": 1}), json!([{"op": "add", "path": "/a", "value": 2}]), json!({"a": 2})),
        (json!({"a": 1}), json!([{"op": "add", "path": "", "value": {"b": 1}}]), json!({"b": 1})),
        (json!({"a": 1, "b": 2}), json!([{"op": "remove", "path": "/a"}]), json!({"b": 2})),
        (json!({"a": [1, 2, 3]}), json!([{"op": "remove", "path": "/a/1"}]), json!({"a": [1, 3]})),
        (json!({"a": 1}), json!([{"op": "replace", "path": "/a", "value": null}]), json!({"a": null})),
        (json!({"a": [1, 2]}), json!([{"op": "replace", "path": "/a/0", "value": 9}]), json!({"a": [9, 2]})),
        (
            json!({"a": {"x": 1}, "b": {}}),
            json!([{"op": "move", "from": "/a/x", "path": "/b/y"}]),
            json!({"a": {}, "b": {"y": 1}}),
        ),
        (json!({"a": [1, 2, 3]}), json!([{"op": "move", "from": "/a/0", "path": "/a/2"}]), json!({"a": [2, 3, 1]})),
        (
            json!({"a": {"x": 1}}),
            json!([{"op": "copy", "from": "/a", "path": "/b"}]),
            json!({"a": {"x": 1}, "b": {"x": 1}}),
        ),
        (json!({"a": [1]}), json!([{"op": "test", "path": "/a/0", "value": 1}]), json!({"a": [1]})),
        (json!({"a": 1}), json!([{"op": "test", "path": "/b"}]), json!({"a": 1})),
        (
            json!({"a/b": 1, "m~n": 2}),
            json!([{"op": "remove", "path": "/a~1b"}, {"op": "remove", "path": "/m~0n"}]),
            json!({}),
        ),
        (json!({"": 1}), json!([{"op": "replace", "path": "/", "value": 2}]), json!({"": 2})),
        (json!({"~1": 1}), json!([{"op": "test", "path": "/~01", "value": 1}]), json!({"~1": 1})),
        (json!({"a": 1}), json!([]), json!({"a": 1})),
    ];
    for (document, patch, result) in cases {
        assert_eq!(apply(&document, &patch), Ok(result), "{document} + {patch}");
    }
}

#[test]
fn refused() {
    // DS-I13: failed test or missing path is a 422.
    let document = json!({"a": [1], "o": {}});
    let cases = [
        (json!({"op": "test", "path": "/a/0", "value": 2}), "testing value /a/0 failed: test failed"),
        (json!({"op": "test", "path": "/x", "value": 2}), "testing value /x failed: test failed"),
        (
            json!({"op": "remove", "path": "/x"}),
            "remove operation does not apply: doc is missing path: /x: missing value",
        ),
        (
            json!({"op": "replace", "path": "/x/y", "value": 1}),
            "replace operation does not apply: doc is missing path: /x/y: missing value",
        ),
        (
            json!({"op": "replace", "path": "/a/2", "value": 1}),
            "replace operation does not apply: doc is missing key: /a/2: missing value",
        ),
        (
            json!({"op": "add", "path": "/x/y", "value": 1}),
            "add operation does not apply: doc is missing path: /x/y: missing value",
        ),
        (
            json!({"op": "copy", "path": "/y", "from": "/x"}),
            "copy operation does not apply: doc is missing from path: /x: missing value",
        ),
        (
            json!({"op": "move", "path": "/y", "from": "/x"}),
            "move operation does not apply: doc is missing from path: /x: missing value",
        ),
        (
            json!({"op": "move", "path": "/o/y", "from": "/o"}),
            "move operation does not apply: doc is missing path: /o/y: missing value",
        ),
        (
            json!({"op": "add", "path": "/a/2", "value": 1}),
            "Unable to access invalid index: 2: invalid index referenced",
        ),
        (
            json!({"op": "add", "path": "/a/01", "value": 1}),
            "Unable to access invalid index: 01: invalid index referenced",
        ),
        (
            json!({"op": "add", "path": "/a/-1", "value": 1}),
            "Unable to access invalid index: -1: invalid index referenced",
        ),
        (json!({"op": "add", "path": "/a"}), "a JSON patch operation lacks its value"),
        (json!({"op": "add", "value": 1}), "a JSON patch operation lacks its path"),
        (json!({"op": "add", "path": "a", "value": 1}), "a JSON pointer must start with '/': a"),
        (json!({"op": "grow", "path": "/a"}), "Unexpected kind: grow"),
        (json!({"path": "/a"}), "Unexpected kind: unknown"),
        (json!(7), "a JSON patch operation lacks its path"),
    ];
    for (operation, text) in cases {
        assert_eq!(apply(&document, &json!([operation])), Err(PatchError::unprocessable(text)));
    }
    assert!(matches!(apply(&document, &json!({})), Err(PatchError::Malformed(_))));
}

#[test]
fn replacing_what_is_absent_makes_it() {
    let patch = json!([{"op": "replace", "path": "/x", "value": 1}]);
    assert_eq!(apply(&json!({"a": 1}), &patch), Ok(json!({"a": 1, "x": 1})));
}

#[test]
fn all_or_none() {
    let document = json!({"a": 1});
    let patch = json!([{"op": "remove", "path": "/a"}, {"op": "remove", "path": "/a"}]);
    assert!(apply(&document, &patch).is_err());
    assert_eq!(document, json!({"a": 1}));
}

#[test]
fn operations_are_bounded() {
    let patch = |count: usize| Value::from(vec![json!({"op": "test", "path": "/a", "value": 1}); count]);
    assert!(apply(&json!({"a": 1}), &patch(10_000)).is_ok());
    let error = apply(&json!({"a": 1}), &patch(10_001)).unwrap_err();
    let text = "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001";
    assert_eq!(error, PatchError::TooLarge(text.to_owned()));
}

#[test]
fn copies_are_bounded_in_bytes_and_depth() {
    let doubling = |path: &str, count: usize| Value::from(vec![json!({"op": "copy", "from": "", "path": path}); count]);
    let wide = apply(&json!({"a": []}), &doubling("/a/-", 5));
    assert!(wide.is_ok());
    let wide = apply(
        &json!({"a": ["x".repeat(1000)]}),
        &Value::from(vec![json!({"op": "copy", "from": "/a/0", "path": "/a/-"}); 4000]),
    );
    assert!(matches!(wide, Err(PatchError::TooLarge(_))), "{wide:?}");
    let deep = apply(&json!({"a": {}}), &doubling("/a/b", 40));
    assert!(deep.is_ok(), "each copy replaces the last");
    let deeper: Vec<Value> =
        (1..40).map(|level| json!({"op": "copy", "from": "", "path": "/a".repeat(1 << level.min(8))})).collect();
    assert!(matches!(apply(&json!({"a": {"a": {}}}), &Value::from(deeper)), Err(PatchError::Unprocessable(_))));
}
