//! No field of a pod is ignored: `fields.txt` says of each one which part acts on it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Value, json};

use super::unsupported;

const TABLE: &str = include_str!("fields.txt");
/// What the API server knows; made from the types that the agent reads.
const SCHEMA: &str = include_str!("../../../apiserver/src/schema/v1_36.types.json");
const ROOT: &str = "io.k8s.api.core.v1.PodSpec";

/// `TYPE.FIELD` to the word.
fn table() -> BTreeMap<String, &'static str> {
    let mut rows = BTreeMap::new();
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (head, fields) = line.split_once(':').unwrap();
        let (of, word) = head.split_once(' ').unwrap();
        assert!(["agent", "refused", "server", "moot", "later"].contains(&word), "{line}");
        for field in fields.split_whitespace() {
            assert_eq!(rows.insert(format!("{of}.{field}"), word), None, "{of}.{field} stands there twice");
        }
    }
    rows
}

/// The types that a field's description names: `[]@io.k8s.api.core.v1.Container ! =`.
fn types_named(description: &str) -> impl Iterator<Item = &str> {
    let end = |text: &'_ str| text.find(|c: char| !c.is_alphanumeric() && c != '.').unwrap_or(text.len());
    description.split('@').skip(1).map(move |text| &text[..end(text)])
}

/// A new field of the schema fails here until the file says what becomes of it.
#[test]
fn every_field_of_the_schema_has_a_row() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let types = schema.get("types").unwrap_or(&schema);
    let rows = table();
    let (mut seen, mut open, mut unknown) = (BTreeSet::new(), vec![ROOT], Vec::new());
    let mut used = BTreeSet::new();
    while let Some(of) = open.pop() {
        if !seen.insert(of) {
            continue;
        }
        let short = of.rsplit('.').next().unwrap();
        for (field, description) in types[of]["fields"].as_object().unwrap() {
            let path = format!("{short}.{field}");
            match rows.get(&path) {
                None => unknown.push(path),
                Some(word) => {
                    used.insert(path);
                    let described = description.as_str().unwrap_or_default();
                    let named = types_named(described).filter(|named| types.get(*named).is_some());
                    open.extend(named.filter(|_| *word == "agent"));
                }
            }
        }
    }
    assert!(unknown.is_empty(), "say in fields.txt who acts on these: {unknown:?}");
    let stale: Vec<&String> = rows.keys().filter(|path| !used.contains(*path)).collect();
    assert!(stale.is_empty(), "the schema does not know these (any more): {stale:?}");
}

/// A pod that asks for the field.
fn sample(path: &str) -> Value {
    let container = |fields: Value| {
        let mut container = json!({"name": "c"});
        container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"containers": [container]})
    };
    match path {
        "PodSpec.hostUsers" => json!({"hostUsers": false, "containers": []}),
        "PodSpec.resourceClaims" => json!({"resourceClaims": [{"name": "a"}], "containers": []}),
        "PodSpec.resources" => json!({"resources": {"limits": {"cpu": "1"}}, "containers": []}),
        "PodSpec.runtimeClassName" => json!({"runtimeClassName": "gvisor", "containers": []}),
        "Container.restartPolicyRules" => container(json!({"restartPolicyRules": [{"action": "Restart"}]})),
        "Container.volumeDevices" => container(json!({"volumeDevices": [{"name": "d", "devicePath": "/d"}]})),
        "ResourceRequirements.claims" => container(json!({"resources": {"claims": [{"name": "a"}]}})),
        "Lifecycle.stopSignal" => container(json!({"lifecycle": {"stopSignal": "SIGUSR1"}})),
        "EnvVarSource.fileKeyRef" => {
            let key = json!({"volumeName": "v", "path": "f", "key": "k"});
            container(json!({"env": [{"name": "A", "valueFrom": {"fileKeyRef": key}}]}))
        }
        _ => match path.split_once('.') {
            Some(("Volume", kind)) => json!({"containers": [], "volumes": [{"name": "v", kind: {}}]}),
            Some(("VolumeProjection", kind)) => {
                json!({"containers": [], "volumes": [{"name": "v", "projected": {"sources": [{kind: {}}]}}]})
            }
            _ => panic!("no sample of {path}"),
        },
    }
}

/// Where fields must be present for the sample to be read at all.
fn read(mut spec: Value) -> PodSpec {
    let needed = json!({"targetPortal": "a", "iqn": "a", "lun": 0, "pdName": "a", "volumeID": "a", "shareName": "a",
        "secretName": "a", "server": "a", "path": "/", "image": "a", "monitors": [], "gateway": "a", "system": "a",
        "secretRef": {"name": "a"}, "diskName": "a", "diskURI": "a", "driver": "a", "repository": "a", "endpoints": "a",
        "pdID": "a", "registry": "a", "volume": "a", "claimName": "a", "volumePath": "a", "signerName": "a", "keyType": "a"});
    for volume in spec["volumes"].as_array_mut().into_iter().flatten() {
        fill(volume, &needed);
    }
    serde_json::from_value(spec).unwrap()
}

fn fill(value: &mut Value, needed: &Value) {
    for (_, inner) in value.as_object_mut().into_iter().flatten() {
        match inner {
            Value::Object(fields) if fields.is_empty() => *inner = needed.clone(),
            Value::Array(items) => items.iter_mut().for_each(|item| fill(item, needed)),
            Value::Object(_) => fill(inner, needed),
            _ => {}
        }
    }
}

#[test]
fn what_is_refused_is_refused_by_name() {
    for path in table().into_iter().filter(|(_, word)| *word == "refused").map(|(path, _)| path) {
        let (spec, field) = (read(sample(&path)), path.split_once('.').unwrap().1);
        let of_containers = || spec.containers.iter().find_map(unsupported::in_container);
        let message = unsupported::in_pod(&spec).or_else(of_containers).or_else(|| crate::volumes::unsupported(&spec));
        let message = message.unwrap_or_else(|| panic!("{path} is ignored"));
        let name = if field == "runtimeClassName" { "runtime class" } else { field };
        assert!(message.contains(name), "{path}: {message}");
    }
}
