//! What one object takes of a quota.

use std::collections::BTreeMap;

use everynode_api::kinds::{PERSISTENT_VOLUME_CLAIM, POD, SERVICE};
use everynode_api::quantity::{Format, Quantity};
use everynode_api::view::{ContainerNeeds, PodSpec, ResourceNeeds, Resources};
use everynode_placement::effective_requests;
use serde::Deserialize;
use serde_json::Value;

use crate::catalogue::Row;
use crate::object::{items, text};
use crate::registry::kinds::pod::is_terminal;

/// Amounts by the names that quotas have for them: `pods`, `requests.cpu`, `count/secrets`.
pub(crate) type Usage = BTreeMap<Box<str>, Quantity>;

/// Counts of objects that have a name of their own.
const COUNTED: [&str; 5] =
    ["configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets"];
/// Resources that quotas know without `requests.`, too.
const SHORT: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// What claims ask for, all of them together and those of one class.
const STORAGE: &str = "requests.storage";
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";

/// Everything that an object of a kind takes.
pub(crate) fn usage(row: &Row, object: &Value) -> Usage {
    let one = Quantity::from_units(1, Format::DecimalSi);
    let kind = &row.kind;
    let mut usage = Usage::from([(format!("count/{}", kind.qualified_resource()).into(), one)]);
    if kind.group.is_empty() && COUNTED.contains(&kind.plural.as_ref()) {
        usage.insert(kind.plural.as_ref().into(), one);
    }
    match () {
        () if row.is(&POD) => pod(&mut usage, object),
        () if row.is(&SERVICE) => service(&mut usage, object),
        () if row.is(&PERSISTENT_VOLUME_CLAIM) => claim(&mut usage, object),
        () => {}
    }
    usage
}

/// Whether a quota counts objects of the kind under this name.
pub(crate) fn is_of_kind(row: &Row, name: &str) -> bool {
    let kind = &row.kind;
    match name.strip_prefix("count/") {
        Some(resource) => resource == kind.qualified_resource(),
        None if row.is(&POD) => name == "pods" || is_computed(name),
        None if row.is(&PERSISTENT_VOLUME_CLAIM) => name == kind.plural || name == STORAGE || name.contains(OF_CLASS),
        None if row.is(&SERVICE) => name == "services" || name.starts_with("services."),
        None => kind.group.is_empty() && kind.plural == name && COUNTED.contains(&name),
    }
}

/// Whether it is an amount that pods ask for, and not a number of objects.
pub(crate) fn is_computed(name: &str) -> bool {
    SHORT.contains(&name)
        || name.starts_with("limits.")
        || name.starts_with("hugepages-")
        || name.strip_prefix("requests.").is_some_and(|rest| rest != "storage")
}

/// Events are not counted: they end by themselves.
pub(crate) fn is_counted(row: &Row) -> bool {
    row.kind.namespaced && row.storage != "events"
}

fn pod(usage: &mut Usage, pod: &Value) {
    if is_terminal(pod) {
        return;
    }
    usage.insert("pods".into(), Quantity::from_units(1, Format::DecimalSi));
    let spec = PodSpec::deserialize(&pod["spec"]).unwrap_or_default();
    for (name, amount) in effective_requests(&spec) {
        if SHORT.contains(&name.as_ref()) || name.starts_with("hugepages-") {
            usage.insert(name.clone(), amount);
        }
        usage.insert(format!("requests.{name}").into(), amount);
    }
    for (name, amount) in effective_limits(&spec) {
        if SHORT.contains(&name.as_ref()) {
            usage.insert(format!("limits.{name}").into(), amount);
        }
    }
}

/// What a pod may use at most: as its requests are summed up. What its runtime takes is added where
/// there is a limit.
pub(crate) fn effective_limits(spec: &PodSpec) -> Resources {
    let limited = |containers: &[ContainerNeeds]| {
        let limited = containers.iter().map(|container| ContainerNeeds {
            resources: ResourceNeeds { requests: container.resources.limits.clone(), ..ResourceNeeds::default() },
            ..container.clone()
        });
        limited.collect()
    };
    let mut limits = effective_requests(&PodSpec {
        containers: limited(&spec.containers),
        init_containers: limited(&spec.init_containers),
        resources: ResourceNeeds { requests: spec.resources.limits.clone(), ..ResourceNeeds::default() },
        ..PodSpec::default()
    });
    for (name, more) in &spec.overhead {
        if let Some(amount) = limits.get_mut(name) {
            *amount = amount.saturating_add(*more);
        }
    }
    limits
}

fn claim(usage: &mut Usage, claim: &Value) {
    let one = Quantity::from_units(1, Format::DecimalSi);
    let amount = Quantity::from_json(&claim["spec"]["resources"]["requests"]["storage"]).unwrap_or_default();
    usage.insert(STORAGE.into(), amount);
    let class = text(claim, &["spec", "storageClassName"]);
    if !class.is_empty() {
        usage.insert(format!("{class}{OF_CLASS}{STORAGE}").into(), amount);
        usage.insert(format!("{class}{OF_CLASS}persistentvolumeclaims").into(), one);
    }
}

fn service(usage: &mut Usage, service: &Value) {
    let one = Quantity::from_units(1, Format::DecimalSi);
    let ports = items(service, &["spec", "ports"]);
    let ports = Quantity::from_units(i64::try_from(ports.len()).unwrap_or(i64::MAX), Format::DecimalSi);
    usage.insert("services".into(), one);
    match text(service, &["spec", "type"]) {
        "NodePort" => drop(usage.insert("services.nodeports".into(), ports)),
        "LoadBalancer" => {
            usage.insert("services.loadbalancers".into(), one);
            if service["spec"]["allocateLoadBalancerNodePorts"] != false {
                usage.insert("services.nodeports".into(), ports);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use everynode_api::kinds::{CONFIG_MAP, DAEMON_SET};
    use serde_json::json;

    use super::*;
    use crate::catalogue::built_in::find;

    fn shown(kind: &everynode_api::kinds::Kind, object: &Value) -> String {
        super::super::shown(&usage(find(&kind.group, &kind.plural).unwrap(), object))
    }

    #[test]
    fn a_pod_takes_what_its_containers_ask_for() {
        let resources = json!({"requests": {"cpu": "1", "x.test/gpu": "2"}, "limits": {"cpu": "2", "memory": "1Gi", "x.test/gpu": "2"}});
        let pod = json!({"spec": {"containers": [{"name": "a", "resources": resources}, {"name": "b", "resources": resources}],
            "overhead": {"cpu": "500m", "memory": "1Mi"}}});
        let expected = "count/pods=1,cpu=2500m,limits.cpu=4500m,limits.memory=2049Mi,memory=2049Mi,pods=1,requests.cpu=2500m,\
                        requests.memory=2049Mi,requests.x.test/gpu=4";
        assert_eq!(shown(&POD, &pod), expected);
        let mut ended = pod;
        ended["status"] = json!({"phase": "Succeeded"});
        assert_eq!(shown(&POD, &ended), "count/pods=1");
    }

    #[test]
    fn objects_are_counted_by_their_names() {
        assert_eq!(shown(&CONFIG_MAP, &json!({})), "configmaps=1,count/configmaps=1");
        assert_eq!(shown(&DAEMON_SET, &json!({})), "count/daemonsets.apps=1");
        let service = json!({"spec": {"type": "LoadBalancer", "ports": [{}, {}]}});
        let expected = "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2";
        assert_eq!(shown(&SERVICE, &service), expected);
        let claim = json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}});
        let expected = "count/persistentvolumeclaims=1,fast.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
                        fast.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi";
        assert_eq!(shown(&PERSISTENT_VOLUME_CLAIM, &claim), expected);
    }
}
