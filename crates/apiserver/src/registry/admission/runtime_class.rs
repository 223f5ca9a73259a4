//! What a pod gets of its runtime class: overhead, node selector, tolerations.

use everynode_api::kinds::POD;
use everynode_api::status::Status;
use serde_json::{Map, Value};

use crate::catalogue::built_in;
use crate::object::{self, items, text};
use crate::registry::{Registry, Target, store_failure};
use crate::schema::semantic_eq;
use crate::{keys, stored};

impl Registry {
    /// Merges what the pod's class says into it, or refuses what contradicts.
    pub(super) fn admit_runtime_class(&self, target: &Target, pod: &mut Value) -> Result<(), Status> {
        let name = text(pod, &["spec", "runtimeClassName"]).to_owned();
        let class = match name.as_str() {
            "" => None,
            name => Some(
                self.runtime_class(name)?
                    .ok_or_else(|| refused(target, pod, &format!("pod rejected: RuntimeClass {name:?} not found")))?,
            ),
        };
        merge(pod, class.as_ref()).map_err(|words| refused(target, pod, &words))
    }

    fn runtime_class(&self, name: &str) -> Result<Option<Value>, Status> {
        let key = keys::object(&built_in::RUNTIME_CLASS, "", name);
        let kv = self.store.get(&key, None).map_err(|error| store_failure(&error))?;
        kv.map(|kv| stored::decode(&kv.value, kv.modified)).transpose()
    }
}

fn refused(target: &Target, pod: &Value, words: &str) -> Status {
    let names = [target.name.as_str(), object::meta(pod, "name"), object::meta(pod, "generateName")];
    let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or("");
    Status::forbidden(&POD, name, words)
}

/// The error is the words of the refusal.
fn merge(pod: &mut Value, class: Option<&Value>) -> Result<(), String> {
    let overhead = class.map_or(&Value::Null, |class| &class["overhead"]["podFixed"]);
    let given = &pod["spec"]["overhead"];
    match (given.is_null(), overhead.is_null()) {
        (true, true) => {}
        (false, true) => {
            return Err("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead".into());
        }
        (false, false) if !semantic_eq(given, overhead) => {
            return Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".into());
        }
        _ => pod["spec"]["overhead"] = overhead.clone(),
    }
    let Some(scheduling) = class.map(|class| &class["scheduling"]).filter(|scheduling| !scheduling.is_null()) else {
        return Ok(());
    };
    if let Some(selector) = scheduling["nodeSelector"].as_object() {
        merge_selector(pod, selector)?;
    }
    let wanted = items(scheduling, &["tolerations"]);
    if !wanted.is_empty() {
        let all: Vec<Value> = items(pod, &["spec", "tolerations"]).iter().chain(wanted).cloned().collect();
        pod["spec"]["tolerations"] = without_covered(&all).into();
    }
    Ok(())
}

fn merge_selector(pod: &mut Value, wanted: &Map<String, Value>) -> Result<(), String> {
    let selector = object::object_mut(&mut pod["spec"], "nodeSelector");
    for (key, value) in wanted {
        let value = value.as_str().unwrap_or_default();
        match selector.get(key).and_then(Value::as_str) {
            Some(given) if given != value => {
                return Err(format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = \
                     {given}"
                ));
            }
            _ => drop(selector.insert(key.clone(), value.into())),
        }
    }
    Ok(())
}

/// The tolerations that tolerate more than any other does; of equal ones the first.
fn without_covered(all: &[Value]) -> Vec<Value> {
    let is_needed = |index: usize, one: &Value| {
        !all.iter()
            .enumerate()
            .any(|(other, larger)| index != other && covers(larger, one) && (other < index || !covers(one, larger)))
    };
    all.iter().enumerate().filter(|(index, one)| is_needed(*index, one)).map(|(_, one)| one.clone()).collect()
}

/// Whether a toleration tolerates everything that another does.
fn covers(larger: &Value, smaller: &Value) -> bool {
    let same = |name: &str| text(larger, &[name]) == text(smaller, &[name]);
    let exists = text(larger, &["operator"]) == "Exists";
    let has_key = same("key") || text(larger, &["key"]).is_empty() && exists;
    let has_effect = same("effect") || text(larger, &["effect"]).is_empty();
    if !has_key || !has_effect {
        return false;
    }
    if let (Some(limit), "NoExecute") = (larger["tolerationSeconds"].as_i64(), text(larger, &["effect"])) {
        let lasts = smaller["tolerationSeconds"].as_i64();
        if lasts.is_none_or(|seconds| seconds > limit) {
            return false;
        }
    }
    exists || text(smaller, &["operator"]) != "Exists" && same("value")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(pod: Value, class: &Value) -> Result<Value, String> {
        let mut pod = json!({ "spec": pod });
        merge(&mut pod, Some(class)).map(|()| pod["spec"].clone())
    }

    #[test]
    fn a_pod_gets_what_its_class_says() {
        let class = json!({"overhead": {"podFixed": {"cpu": "100m"}}, "scheduling": {
            "nodeSelector": {"sandbox": "yes"},
            "tolerations": [{"key": "sandbox", "operator": "Exists"}, {"key": "a", "operator": "Exists", "effect": "NoSchedule"}]}});
        let all = json!({"key": "a", "operator": "Exists"});
        let pod = merged(json!({"nodeSelector": {"zone": "x"}, "tolerations": [all]}), &class).unwrap();
        assert_eq!(pod["overhead"], json!({"cpu": "100m"}));
        assert_eq!(pod["nodeSelector"], json!({"zone": "x", "sandbox": "yes"}));
        assert_eq!(pod["tolerations"], json!([all, {"key": "sandbox", "operator": "Exists"}]), "one covers another");
        assert_eq!(merged(json!({"overhead": {"cpu": "100m"}}), &class).unwrap()["overhead"], json!({"cpu": "100m"}));
    }

    #[test]
    fn what_contradicts_the_class_is_refused() {
        let class = json!({"overhead": {"podFixed": {"cpu": "1"}}, "scheduling": {"nodeSelector": {"a": "b"}}});
        let other = merged(json!({"overhead": {"cpu": "2"}}), &class).unwrap_err();
        assert_eq!(other, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
        let conflict = merged(json!({"nodeSelector": {"a": "c"}}), &class).unwrap_err();
        assert_eq!(conflict, "conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = c");
        let none = merged(json!({"overhead": {"cpu": "2"}}), &json!({"handler": "h"})).unwrap_err();
        assert!(none.starts_with("pod rejected: Pod Overhead set without"), "{none}");
    }

    #[test]
    fn tolerations_that_last_longer_are_not_covered() {
        let of = |seconds: Option<i64>| match seconds {
            Some(seconds) => {
                json!({"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds})
            }
            None => json!({"key": "k", "operator": "Exists", "effect": "NoExecute"}),
        };
        assert!(covers(&of(Some(5)), &of(Some(5))) && covers(&of(None), &of(Some(5))));
        assert!(!covers(&of(Some(5)), &of(Some(6))) && !covers(&of(Some(5)), &of(None)));
        assert_eq!(without_covered(&[of(Some(5)), of(None), of(None)]), [of(None)]);
    }
}
