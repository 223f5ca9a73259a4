use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{apply, create_two_way, diff3};
use super::pod;

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![any::<bool>().prop_map(Value::from), (0..3).prop_map(Value::from), "[ab]".prop_map(Value::from)]
}

fn map_of(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[x-z]", value, 0..3).prop_map(|map| Value::Object(map.into_iter().collect()))
}

/// A list with unique merge keys, in any order.
fn keyed_list(key: &'static str, element: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let elements =
        prop::collection::btree_map("[a-e]", element, 0..5).prop_map(|map| map.into_iter().collect::<Vec<_>>());
    elements.prop_shuffle().prop_map(move |elements| {
        let with_key = |(name, mut element): (String, Value)| {
            element[key] = name.into();
            element
        };
        elements.into_iter().map(with_key).collect()
    })
}

fn any_pod() -> impl Strategy<Value = Value> {
    let env = keyed_list("name", map_of(scalar()));
    let container = (map_of(scalar()), env).prop_map(|(mut container, env)| {
        container["env"] = env;
        container["args"] = json!(["q"]);
        container
    });
    let finalizers = prop::collection::btree_set("[a-e]", 0..4).prop_map(|set| set.into_iter().collect::<Vec<_>>());
    let parts = (
        keyed_list("name", container),
        keyed_list("name", map_of(map_of(scalar()))),
        prop::collection::vec(map_of(scalar()), 0..3),
        finalizers.prop_shuffle(),
        map_of(scalar()),
    );
    parts.prop_map(|(containers, volumes, tolerations, finalizers, labels)| {
        json!({"metadata": {"labels": labels, "finalizers": finalizers},
            "spec": {"containers": containers, "volumes": volumes, "tolerations": tolerations}})
    })
}

fn has_directive(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(key, value)| key.starts_with('$') || has_directive(value)),
        Value::Array(items) => items.iter().any(has_directive),
        _ => false,
    }
}

proptest! {
    #[test]
    fn a_two_way_patch_makes_the_modified_object(original in any_pod(), modified in any_pod()) {
        let patch = create_two_way(&original, &modified, pod()).unwrap();
        prop_assert_eq!(apply(original.clone(), patch.clone(), pod()).unwrap(), modified.clone(), "{}", patch);
        prop_assert_eq!(patch == json!({}), original == modified);
    }

    #[test]
    fn an_apply_without_foreign_changes_makes_the_manifest(original in any_pod(), modified in any_pod()) {
        let patch = diff3(&original, &modified, &original, pod()).unwrap();
        prop_assert_eq!(apply(original, patch, pod()).unwrap(), modified);
    }

    #[test]
    fn a_second_apply_changes_nothing(original in any_pod(), modified in any_pod(), current in any_pod()) {
        let patch = diff3(&original, &modified, &current, pod()).unwrap();
        let applied = apply(current, patch, pod()).unwrap();
        prop_assert!(!has_directive(&applied));
        let again = diff3(&modified, &modified, &applied, pod()).unwrap();
        prop_assert_eq!(apply(applied.clone(), again, pod()).unwrap(), applied);
    }

    #[test]
    fn no_directive_is_stored(document in any_pod(), original in any_pod(), modified in any_pod()) {
        let patch = create_two_way(&original, &modified, pod()).unwrap();
        if let Ok(applied) = apply(document, patch.clone(), pod()) {
            prop_assert!(!has_directive(&applied), "{} {}", patch, applied);
        }
        let into_nothing = apply(json!({}), patch, pod());
        prop_assert!(!into_nothing.is_ok_and(|applied| has_directive(&applied)));
    }
}
