//! Priority and default tolerations of pods.

use everynode_api::kinds::POD;
use everynode_api::status::Status;
use serde_json::{Value, json};

use crate::catalogue::built_in;
use crate::keys;
use crate::object::{self, items, text};
use crate::registry::{Registry, Target, store_failure};

/// What every ordinary pod waits on a node that went away (DS-G09).
const TOLERATION_SECONDS: i64 = 300;

impl Registry {
    /// Resolves the priority class (DS-B53).
    pub(super) fn admit_priority(&self, target: &Target, pod: &mut Value) -> Result<(), Status> {
        let name = text(pod, &["spec", "priorityClassName"]).to_owned();
        let class = match name.as_str() {
            "" => self.default_priority_class()?,
            name => Some(self.priority_class(pod, name)?),
        };
        let value = class.as_ref().and_then(|class| class["value"].as_i64()).unwrap_or(0);
        let given = pod["spec"]["priority"].as_i64();
        if given.is_some_and(|given| given != value) {
            let text = format!(
                "the integer value of priority ({}) must not be provided in pod spec; priority admission controller computed {value} \
                 from the given PriorityClass name",
                given.unwrap_or(0)
            );
            return Err(Status::forbidden(&POD, &target.name, &text));
        }
        let policy =
            class.as_ref().and_then(|class| class["preemptionPolicy"].as_str()).unwrap_or("PreemptLowerPriority");
        let spec = object::object_mut(pod, "spec");
        if let Some(name) = class.as_ref().map(|class| object::meta(class, "name")) {
            spec.insert("priorityClassName".into(), name.into());
        }
        spec.insert("priority".into(), value.into());
        spec.entry("preemptionPolicy").or_insert_with(|| policy.into());
        Ok(())
    }

    fn priority_class(&self, pod: &Value, name: &str) -> Result<Value, Status> {
        let unknown = || {
            Status::forbidden(&POD, object::meta(pod, "name"), &format!("no PriorityClass with name {name} was found"))
        };
        let info = &built_in::PRIORITY_CLASS;
        let kv = self.store.get(&keys::object(info, "", name), None).map_err(|error| store_failure(&error))?;
        let kv = kv.ok_or_else(unknown)?;
        crate::stored::decode(&kv.value, kv.modified)
    }

    /// The class marked as the global default; of several the one with the lowest value.
    fn default_priority_class(&self) -> Result<Option<Value>, Status> {
        let info = &built_in::PRIORITY_CLASS;
        let mut best: Option<Value> = None;
        for item in self.topic(info)?.all() {
            // Few classes, and rarely one that says so: look before parsing.
            if !contains(&item.kv.value, b"\"globalDefault\":true") {
                continue;
            }
            let class = crate::stored::decode(&item.kv.value, item.kv.modified)?;
            if best.as_ref().is_none_or(|held| class["value"].as_i64() < held["value"].as_i64()) {
                best = Some(class);
            }
        }
        Ok(best)
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// DS-B26: only where no toleration matches already, hence never on daemon pods.
pub(super) fn default_tolerations(pod: &mut Value) {
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        if !items(pod, &["spec", "tolerations"]).iter().any(|toleration| tolerates(toleration, key)) {
            object::list_mut(&mut pod["spec"], "tolerations").push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS
            }));
        }
    }
}

fn tolerates(toleration: &Value, taint: &str) -> bool {
    let field = |name: &str| toleration[name].as_str().unwrap_or("");
    matches!(field("key"), "") && field("operator") == "Exists" && matches!(field("effect"), "" | "NoExecute")
        || field("key") == taint && matches!(field("effect"), "" | "NoExecute")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_tolerations_only_where_missing() {
        let mut pod = json!({"spec": {"tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}]}});
        default_tolerations(&mut pod);
        let keys: Vec<&str> = items(&pod, &["spec", "tolerations"]).iter().filter_map(|t| t["key"].as_str()).collect();
        assert_eq!(keys, ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]); // DS-B26
        let mut all = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
        default_tolerations(&mut all);
        assert_eq!(items(&all, &["spec", "tolerations"]).len(), 1);
    }
}
