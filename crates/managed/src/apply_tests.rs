//! What holds of every apply and update, whatever the objects are.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testkit::{schema, text_set};
use crate::update::{NoOtherVersion, UPDATERS_MAX};

const NOW: &str = "2026-01-01T00:00:00Z";

/// A server with one object.
struct Cluster {
    schema: crate::schema::Schema,
    id: crate::schema::TypeId,
    object: Value,
    managed: Managed,
}

fn empty() -> Value {
    json!({"apiVersion": "v1", "kind": "Thing", "metadata": {}})
}

impl Cluster {
    fn new() -> Cluster {
        let (schema, id) = schema();
        Cluster { schema, id, object: empty(), managed: Managed::default() }
    }

    fn writer<'a>(manager: &'a str, reset: &'a FieldSet) -> Writer<'a> {
        Writer { manager, api_version: "v1", subresource: "", now: NOW, reset }
    }

    fn apply(&mut self, manager: &str, spec: &Value, force: bool) -> Result<bool, ApplyError> {
        let object = with_spec(spec);
        let reset = FieldSet::default();
        let configuration =
            Configuration { object: &object, kind: "Thing", writer: Cluster::writer(manager, &reset), force };
        let root = Root { schema: &self.schema, id: self.id };
        let versions = NoOtherVersion { api_version: "v1", root };
        let applied = apply(&versions, &empty(), &self.object, &self.managed, &configuration)?;
        let changed = applied.object.is_some() || !applied.managed.same_but_for_times(&self.managed);
        self.keep(applied.object, applied.managed);
        Ok(changed)
    }

    fn update(&mut self, manager: &str, spec: &Value, reset: &FieldSet, now: &str) {
        let writer = Writer { now, ..Cluster::writer(manager, reset) };
        let root = Root { schema: &self.schema, id: self.id };
        let versions = NoOtherVersion { api_version: "v1", root };
        let new = with_spec(spec);
        let managed = update(&versions, &self.object, &new, &self.managed, &writer).unwrap();
        self.keep(Some(new), managed);
    }

    fn keep(&mut self, object: Option<Value>, managed: Managed) {
        self.object = object.unwrap_or_else(|| self.object.clone());
        self.object["metadata"]["uid"] = "1".into();
        self.managed = managed;
    }

    fn fields(&self, manager: &str) -> FieldSet {
        let entry = self.managed.entries.iter().find(|entry| entry.manager == manager);
        entry.map(|entry| FieldSet::clone(&entry.fields)).unwrap_or_default()
    }

    /// All that any writer owns.
    fn owned(&self) -> FieldSet {
        self.managed.entries.iter().fold(FieldSet::default(), |all, entry| all.union(&entry.fields))
    }

    /// The fields of the object that a writer may own.
    fn present(&self) -> FieldSet {
        field_set(&self.schema, self.id, &self.object).unwrap().difference(never_owned())
    }
}

fn with_spec(spec: &Value) -> Value {
    let mut object = empty();
    for (name, value) in spec.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

/// What a writer may want: entries of a map, a set, items by their keys, atomic values.
fn any_spec() -> impl Strategy<Value = Value> {
    let text = || prop_oneof![Just("1"), Just("2")];
    let entries = |range| proptest::collection::btree_map("[a-c]", text(), range);
    (
        proptest::option::of(entries(0..3)),
        proptest::option::of(proptest::collection::btree_set("[a-c]", 0..3)),
        proptest::option::of(entries(0..3)),
        proptest::option::of(text()),
        proptest::option::of(0..3_i64),
    )
        .prop_map(|(data, set, named, list, replicas)| {
            let mut spec = json!({});
            if let Some(data) = data {
                spec["data"] = json!(data);
            }
            if let Some(set) = set.filter(|set| !set.is_empty()) {
                spec["set"] = json!(set);
            }
            if let Some(named) = named.filter(|named| !named.is_empty()) {
                let item = |(name, value)| json!({"name": name, "value": value});
                spec["named"] = named.into_iter().map(item).collect();
            }
            if let Some(list) = list {
                spec["list"] = json!([list]);
                spec["choice"] = json!({"a": 1});
            }
            if let Some(replicas) = replicas {
                spec["replicas"] = replicas.into();
            }
            spec
        })
}

/// Writes of several managers.
fn any_writes() -> impl Strategy<Value = Vec<(u8, bool, bool, Value)>> {
    proptest::collection::vec((0..3_u8, any::<bool>(), any::<bool>(), any_spec()), 1..8)
}

proptest! {
    #[test]
    fn what_is_owned_is_there(writes in any_writes()) {
        let mut cluster = Cluster::new();
        for (manager, applies, force, spec) in &writes {
            let manager = format!("m{manager}");
            let before = (cluster.object.clone(), cluster.managed.clone());
            match applies {
                true => {
                    let refused = cluster.apply(&manager, spec, *force).is_err();
                    prop_assert!(!refused || !force, "force is never refused");
                    if refused {
                        prop_assert_eq!(before, (cluster.object.clone(), cluster.managed.clone()));
                    }
                }
                false => cluster.update(&manager, spec, &FieldSet::default(), NOW),
            }
            // A struct on the way may be owned by an update; no path is owned that is not there.
            let present = with_named_fields(&cluster.schema, cluster.id, &cluster.present());
            let lost = cluster.owned().leaves().difference(&present);
            prop_assert!(lost.is_empty(), "{:?} of {} after {:?}", lost.paths(), cluster.object, spec);
        }
    }

    #[test]
    fn what_was_applied_is_there_and_owned(before in any_writes(), spec in any_spec()) {
        let mut cluster = Cluster::new();
        for (manager, _, _, spec) in &before {
            _ = cluster.apply(&format!("m{manager}"), spec, true);
        }
        cluster.apply("last", &spec, true).unwrap();
        let said = field_set(&cluster.schema, cluster.id, &with_spec(&spec)).unwrap().difference(never_owned());
        prop_assert_eq!(cluster.fields("last"), said.clone());
        let present = cluster.present().union(&with_named_fields(&cluster.schema, cluster.id, &cluster.present()));
        prop_assert!(said.difference(&present).is_empty());
    }

    #[test]
    fn applying_twice_changes_nothing(before in any_writes(), spec in any_spec()) {
        let mut cluster = Cluster::new();
        for (manager, applies, _, spec) in &before {
            match applies {
                true => _ = cluster.apply(&format!("m{manager}"), spec, true),
                false => cluster.update(&format!("m{manager}"), spec, &FieldSet::default(), NOW),
            }
        }
        cluster.apply("last", &spec, true).unwrap();
        let (object, managed) = (cluster.object.clone(), cluster.managed.clone());
        prop_assert_eq!(cluster.apply("last", &spec, false), Ok(false));
        prop_assert_eq!((cluster.object, cluster.managed), (object, managed));
    }

    #[test]
    fn appliers_commute_where_they_do_not_conflict(one in any_spec(), two in any_spec()) {
        let both = |first: (&str, &Value), second: (&str, &Value)| {
            let mut cluster = Cluster::new();
            cluster.apply(first.0, first.1, false).unwrap();
            let applied = cluster.apply(second.0, second.1, false);
            (applied.is_ok(), cluster)
        };
        let (applied, forward) = both(("one", &one), ("two", &two));
        let (agreed, backward) = both(("two", &two), ("one", &one));
        prop_assert_eq!(applied, agreed);
        if applied {
            prop_assert_eq!(forward.fields("one"), backward.fields("one"));
            prop_assert_eq!(forward.fields("two"), backward.fields("two"));
            prop_assert_eq!(forward.present(), backward.present());
        }
    }

    #[test]
    fn who_applies_nothing_leaves_what_others_own(one in any_spec(), two in any_spec()) {
        let mut cluster = Cluster::new();
        cluster.apply("one", &one, false).unwrap();
        let alone = (cluster.present(), cluster.fields("one"));
        cluster.apply("two", &two, true).unwrap();
        if cluster.fields("one") == alone.1 {
            cluster.apply("two", &json!({}), true).unwrap();
            prop_assert_eq!((cluster.present(), cluster.fields("one")), alone);
            prop_assert!(cluster.fields("two").is_empty());
        }
    }
}

#[test]
fn a_reset_field_is_never_owned_nor_lost() {
    let mut cluster = Cluster::new();
    let (none, replicas) = (FieldSet::default(), text_set(".replicas"));
    cluster.update("status", &json!({"replicas": 1}), &none, NOW);
    cluster.update("main", &json!({"data": {"a": "1"}}), &replicas, NOW);
    assert_eq!(cluster.fields("status"), text_set(".replicas"), "what is reset was not removed by it");
    assert_eq!(cluster.fields("main"), text_set(".data .data.a"));
}

#[test]
fn the_oldest_updaters_are_merged() {
    let mut cluster = Cluster::new();
    let mut data = serde_json::Map::new();
    for second in 0..15 {
        data.insert(format!("k{second}"), "1".into());
        let now = format!("2026-01-01T00:00:{second:02}Z");
        cluster.update(&format!("m{second:02}"), &json!({ "data": data }), &FieldSet::default(), &now);
        assert!(cluster.managed.entries.len() <= UPDATERS_MAX);
    }
    let names: Vec<&str> = cluster.managed.entries.iter().map(|entry| entry.manager.as_str()).collect();
    assert_eq!(names.iter().filter(|name| **name == "ancient-changes").count(), 1, "{names:?}");
    let merged = cluster.managed.entries.iter().find(|entry| entry.manager == "ancient-changes").unwrap();
    assert_eq!(*merged.fields, text_set(".data .data.k0 .data.k1 .data.k2 .data.k3 .data.k4 .data.k5"));
    assert_eq!(merged.time.as_deref(), Some("2026-01-01T00:00:05Z"), "the time of the newest among them");
    assert_eq!(cluster.owned(), text_set(".data").union(&cluster.present()), "no field is lost");
}

#[test]
fn entries_of_versions_that_are_not_served_are_dropped() {
    let mut cluster = Cluster::new();
    cluster.update("main", &json!({"data": {"a": "1"}}), &FieldSet::default(), NOW);
    let old = Entry {
        api_version: "v0".into(),
        manager: "old".into(),
        fields: Arc::new(text_set(".data.b")),
        ..cluster.managed.entries[0].clone()
    };
    cluster.managed.entries.push(old);
    cluster.update("main", &json!({"data": {"a": "2"}}), &FieldSet::default(), NOW);
    let versions: Vec<&str> = cluster.managed.entries.iter().map(|entry| entry.api_version.as_str()).collect();
    assert_eq!(versions, ["v1"]);
}

#[test]
fn an_applied_object_says_its_kind_and_no_entries() {
    let mut cluster = Cluster::new();
    let mut refused = |spec: Value| cluster.apply("a", &spec, false).unwrap_err().to_string();
    assert_eq!(refused(json!({"kind": "Other"})), "invalid object type: /v1, Kind=Other");
    assert_eq!(refused(json!({"apiVersion": "a/v2"})), "invalid object type: a/v2, Kind=Thing");
    assert_eq!(refused(json!({"metadata": {"managedFields": [{}]}})), "metadata.managedFields must be nil");
    let fault = refused(json!({"metadata": {"name": "n", "namespace": "s"}, "replicas": "1"}));
    assert_eq!(
        fault,
        "failed to create typed patch object (s/n; /v1, Kind=Thing): .replicas: expected numeric (int or float), got \
         &value.valueUnstructured{Value:\"1\"}"
    );
}

#[test]
fn what_kubectl_applied_as_a_client_is_no_conflict() {
    let annotation = |data: Value| {
        let last = json!({"apiVersion": "v1", "kind": "Thing", "metadata": {}, "data": data}).to_string();
        json!({ "annotations": { "kubectl.kubernetes.io/last-applied-configuration": last } })
    };
    let mut cluster = Cluster::new();
    let metadata = annotation(json!({"a": "1"}));
    let client_side = json!({"metadata": metadata, "data": {"a": "1", "b": "1"}});
    cluster.update("kubectl-client-side-apply", &client_side, &FieldSet::default(), NOW);
    let refused = cluster.apply("kubectl", &json!({"data": {"a": "2", "b": "2"}}), false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using v1: .data.b"
    );
    assert!(cluster.apply("other", &json!({"data": {"a": "2"}}), false).is_err(), "only for kubectl");
    assert_eq!(cluster.apply("kubectl", &json!({"data": {"a": "2"}}), false), Ok(true));
    assert_eq!(cluster.fields("kubectl"), text_set(".data.a"));
    let kept = cluster.object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str();
    assert_eq!(kept, Some("{\"apiVersion\":\"v1\",\"data\":{\"a\":\"2\"},\"kind\":\"Thing\",\"metadata\":{}}\n"));
}

#[test]
fn a_request_says_what_its_writer_owns() {
    let (schema, id) = schema();
    let reset = text_set(".nested");
    let writer = Cluster::writer("me", &reset);
    let object = with_spec(&json!({"metadata": {"name": "n"}, "data": {"a": "1"}, "nested": {"x": "1"}}));
    let managed = crate::update::said(Root { schema: &schema, id }, &object, &writer).unwrap();
    assert_eq!(managed.entries.iter().map(|entry| (*entry.fields).clone()).collect::<Vec<_>>(), [text_set(".data.a")]);
    assert!(crate::update::said(Root { schema: &schema, id }, &empty(), &writer).unwrap().is_empty());
}
