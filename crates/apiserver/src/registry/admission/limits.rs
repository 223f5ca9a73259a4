//! Limit ranges: what a namespace's pods get and may ask for.

use std::collections::BTreeMap;

use everynode_api::kinds::POD;
use everynode_api::quantity::Quantity;
use everynode_api::status::Status;
use everynode_api::view::{PodSpec, Resources};
use everynode_placement::effective_requests;
use serde::Deserialize;
use serde_json::Value;

use crate::catalogue::built_in;
use crate::object::{self, items, text};
use crate::registry::quota::effective_limits;
use crate::registry::{Registry, Target};
use crate::{keys, stored};

/// Where it is written down what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// What is limited of claims.
const CLAIM: &str = "PersistentVolumeClaim";
/// The lists of containers of a pod, and what their members are called.
const CONTAINERS: [(&str, &str); 2] = [("containers", "container"), ("initContainers", "init container")];

impl Registry {
    /// Fills in what the limit ranges of the pod's namespace say.
    pub(super) fn admit_default_limits(&self, target: &Target, pod: &mut Value) -> Result<(), Status> {
        for range in self.limit_ranges(&target.namespace)? {
            fill(pod, &range);
        }
        Ok(())
    }

    /// Refuses what is outside of the limit ranges of the pod's namespace.
    pub(super) fn admit_bounds(&self, target: &Target, pod: &Value) -> Result<(), Status> {
        for range in self.limit_ranges(&target.namespace)? {
            let mistakes = violations(pod, &range);
            let words = match mistakes.as_slice() {
                [] => continue,
                [one] => one.clone(),
                several => format!("[{}]", several.join(", ")),
            };
            return Err(Status::forbidden(&POD, &target.name, &words));
        }
        Ok(())
    }

    /// Refuses a claim on more or less storage than its namespace's limit ranges say.
    pub(crate) fn admit_claim_bounds(&self, target: &Target, claim: &Value) -> Result<(), Status> {
        let requests = amounts(&claim["spec"]["resources"]["requests"]);
        for range in self.limit_ranges(&target.namespace)? {
            if let Some(words) = limits_of(&range, CLAIM).find_map(|limit| misfit(limit, &requests)) {
                return Err(Status::forbidden(&target.info.kind, &target.name, &words));
            }
        }
        Ok(())
    }

    /// Those of a namespace; most have none, and pay for a look.
    fn limit_ranges(&self, namespace: &str) -> Result<Vec<Value>, Status> {
        let prefix = keys::collection(&built_in::LIMIT_RANGE, Some(namespace));
        let topic = self.topic(&built_in::LIMIT_RANGE)?;
        if topic.count(&prefix, 1) == 0 {
            return Ok(Vec::new());
        }
        let found = topic.all().into_iter().filter(|item| item.kv.key.starts_with(&prefix));
        found.map(|item| stored::decode(&item.kv.value, item.kv.modified)).collect()
    }
}

fn limits_of<'v>(range: &'v Value, kind: &'v str) -> impl Iterator<Item = &'v Value> {
    items(range, &["spec", "limits"]).iter().filter(move |limit| text(limit, &["type"]) == kind)
}

fn fill(pod: &mut Value, range: &Value) {
    let mut defaults: BTreeMap<&str, BTreeMap<String, Value>> = BTreeMap::new();
    for limit in limits_of(range, "Container") {
        for (member, given) in [("requests", "defaultRequest"), ("limits", "default")] {
            let amounts = limit[given].as_object().into_iter().flatten();
            let known = defaults.entry(member).or_default();
            known.extend(amounts.map(|(name, amount)| (name.clone(), amount.clone())));
        }
    }
    let mut said = Vec::new();
    for (list, what) in CONTAINERS {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for container in containers {
            for (member, word) in [("requests", "request"), ("limits", "limit")] {
                let missing: Vec<(String, Value)> = defaults
                    .get(member)
                    .into_iter()
                    .flatten()
                    .filter(|(name, _)| container["resources"][member][name.as_str()].is_null())
                    .map(|(name, amount)| (name.clone(), amount.clone()))
                    .collect();
                if missing.is_empty() {
                    continue;
                }
                let names: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
                said.push(format!("{} {word} for {what} {}", names.join(", "), text(container, &["name"])));
                let resources = object::object_mut(container, "resources");
                let amounts = resources.entry(member).or_insert_with(|| Value::Object(serde_json::Map::new()));
                missing.into_iter().for_each(|(name, amount)| amounts[name] = amount);
            }
        }
    }
    if !said.is_empty() {
        let text = format!("LimitRanger plugin set: {}", said.join("; "));
        object::object_mut(&mut pod["metadata"], "annotations").insert(ANNOTATION.into(), text.into());
    }
}

/// What is wrong with a pod, in the original's words.
fn violations(pod: &Value, range: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for limit in limits_of(range, "Container") {
        for container in CONTAINERS.iter().flat_map(|(list, _)| items(pod, &["spec", list])) {
            let [requests, limits] = ["requests", "limits"].map(|member| amounts(&container["resources"][member]));
            against(&mut found, limit, "Container", (&requests, &limits));
        }
    }
    let spec = PodSpec::deserialize(&pod["spec"]).unwrap_or_default();
    for limit in limits_of(range, "Pod") {
        against(&mut found, limit, "Pod", (&effective_requests(&spec), &effective_limits(&spec)));
    }
    found
}

fn amounts(value: &Value) -> Resources {
    Resources::deserialize(value).unwrap_or_default()
}

fn against(found: &mut Vec<String>, limit: &Value, kind: &str, (requests, limits): (&Resources, &Resources)) {
    for (name, bound) in amounts(&limit["min"]) {
        let start = format!("minimum {name} usage per {kind} is {bound}");
        match (requests.get(&name), limits.get(&name)) {
            (None, _) => found.push(format!("{start}.  No request is specified")),
            (Some(request), _) if *request < bound => found.push(format!("{start}, but request is {request}")),
            (_, Some(limit)) if *limit < bound => found.push(format!("{start}, but limit is {limit}")),
            _ => {}
        }
    }
    for (name, bound) in amounts(&limit["max"]) {
        let start = format!("maximum {name} usage per {kind} is {bound}");
        match (limits.get(&name), requests.get(&name)) {
            (None, _) => found.push(format!("{start}.  No limit is specified")),
            (Some(limit), _) if *limit > bound => found.push(format!("{start}, but limit is {limit}")),
            (_, Some(request)) if *request > bound => found.push(format!("{start}, but request is {request}")),
            _ => {}
        }
    }
    for (name, bound) in amounts(&limit["maxLimitRequestRatio"]) {
        found.extend(ratio(&name, bound, kind, requests.get(&name), limits.get(&name)));
    }
}

/// What is wrong with the amounts that a claim asks for.
fn misfit(limit: &Value, requests: &Resources) -> Option<String> {
    let out = |least: bool, (name, bound): (Box<str>, Quantity)| {
        let start = format!("{} {name} usage per {CLAIM} is {bound}", if least { "minimum" } else { "maximum" });
        match requests.get(&name) {
            None => Some(format!("{start}.  No request is specified")),
            Some(request) if least && *request < bound || !least && *request > bound => {
                Some(format!("{start}, but request is {request}"))
            }
            Some(_) => None,
        }
    };
    let mut lower = amounts(&limit["min"]).into_iter().filter_map(|bound| out(true, bound));
    lower.next().or_else(|| amounts(&limit["max"]).into_iter().find_map(|bound| out(false, bound)))
}

fn ratio(
    name: &str,
    bound: Quantity,
    kind: &str,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let start = format!("{name} max limit to request ratio per {kind} is {bound}, but");
    let positive = |amount: Option<&Quantity>| amount.filter(|amount| !amount.is_zero()).copied();
    let Some(request) = positive(request) else {
        return Some(format!("{start} no request is specified or request is 0"));
    };
    let Some(limit) = positive(limit) else {
        return Some(format!("{start} no limit is specified or limit is 0"));
    };
    let observed = limit.as_f64() / request.as_f64();
    (observed > bound.as_f64()).then(|| format!("{start} provided ratio is {observed:.6}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn range(limit: Value) -> Value {
        json!({"spec": {"limits": [limit]}})
    }

    #[test]
    fn what_is_missing_is_filled_in_and_written_down() {
        let limit =
            json!({"type": "Container", "default": {"cpu": "2", "memory": "1Gi"}, "defaultRequest": {"cpu": "1"}});
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"initContainers": [{"name": "i"}],
            "containers": [{"name": "a", "resources": {"limits": {"cpu": "3"}, "requests": {"cpu": "3"}}}]}});
        fill(&mut pod, &range(limit));
        let own = json!({"limits": {"cpu": "3", "memory": "1Gi"}, "requests": {"cpu": "3"}});
        assert_eq!(pod["spec"]["containers"][0]["resources"], own);
        let all = json!({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}});
        assert_eq!(pod["spec"]["initContainers"][0]["resources"], all);
        let words = "LimitRanger plugin set: memory limit for container a; cpu request for init container i; cpu, memory \
                     limit for init container i";
        assert_eq!(pod["metadata"]["annotations"][ANNOTATION], words);
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let pod = |requests: Value, limits: Value| json!({"spec": {"containers": [{"name": "a", "resources": {"requests": requests, "limits": limits}}]}});
        let of = |pod: &Value, limit: Value| violations(pod, &range(limit)).join("|");
        let bounds = json!({"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "1"}});
        let cases = [
            (
                pod(json!({"cpu": "50m"}), json!({"cpu": "1"})),
                "minimum cpu usage per Container is 100m, but request is 50m",
            ),
            (pod(json!({"cpu": "1"}), json!({"cpu": "2"})), "maximum cpu usage per Container is 1, but limit is 2"),
            (
                pod(json!({}), json!({})),
                "minimum cpu usage per Container is 100m.  No request is specified|maximum cpu usage per Container is 1.  No limit is specified",
            ),
            (pod(json!({"cpu": "1"}), json!({"cpu": "1"})), ""),
        ];
        for (pod, expected) in cases {
            assert_eq!(of(&pod, bounds.clone()), expected);
        }
        let twice = pod(json!({"cpu": "1"}), json!({"cpu": "4"}));
        let ratio = json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}});
        let words = "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000";
        assert_eq!(of(&twice, ratio), words);
        let whole = json!({"type": "Pod", "max": {"cpu": "3"}});
        assert_eq!(of(&twice, whole), "maximum cpu usage per Pod is 3, but limit is 4");
    }
}
