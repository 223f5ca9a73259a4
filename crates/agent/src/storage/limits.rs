//! Whether a pod uses more of the disk than it may. Pure.

use std::collections::BTreeMap;

use everynode_api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, Volume};

const RESOURCE: &str = "ephemeral-storage";

/// An amount, and how its author wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Limit {
    bytes: u64,
    text: String,
}

/// What a pod may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// By the name of the volume.
    volumes: BTreeMap<String, Limit>,
    containers: BTreeMap<String, Limit>,
}

/// What a pod uses, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Empty directories on disk.
    pub volumes: BTreeMap<String, u64>,
    /// Writable layers and logs.
    pub containers: BTreeMap<String, u64>,
}

/// The limits of a pod; `None`: it has none, and need not be measured.
pub(super) fn of(pod: &Pod) -> Option<Limits> {
    let spec = pod.spec.as_ref()?;
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let limits = Limits {
        volumes: spec.volumes.iter().flatten().filter_map(of_volume).collect(),
        containers: containers.filter_map(of_container).collect(),
    };
    (limits != Limits::default()).then_some(limits)
}

/// What is in memory is bounded by its file system.
fn of_volume(volume: &Volume) -> Option<(String, Limit)> {
    let source = volume.empty_dir.as_ref().filter(|source| source.medium.as_deref().unwrap_or_default().is_empty())?;
    Some((volume.name.clone(), limit(&source.size_limit.as_ref()?.0)?))
}

fn of_container(container: &Container) -> Option<(String, Limit)> {
    let amount = container.resources.as_ref()?.limits.as_ref()?.get(RESOURCE)?;
    Some((container.name.clone(), limit(&amount.0)?))
}

/// A size of nothing is no limit.
fn limit(text: &str) -> Option<Limit> {
    let bytes = u64::try_from(Quantity::parse(text).ok()?.value()).ok()?;
    (bytes > 0).then(|| Limit { bytes, text: text.to_owned() })
}

/// Why the pod must end, in Kubernetes' words and order.
pub(super) fn exceeded(limits: &Limits, usage: &Usage) -> Option<String> {
    let above = |limits: &BTreeMap<String, Limit>, usage: &BTreeMap<String, u64>| {
        let mut above =
            limits.iter().filter(|(name, limit)| usage.get(*name).is_some_and(|bytes| *bytes > limit.bytes));
        above.next().map(|(name, limit)| (name.clone(), limit.text.clone()))
    };
    if let Some((name, limit)) = above(&limits.volumes, &usage.volumes) {
        return Some(format!("Usage of EmptyDir volume \"{name}\" exceeds the limit \"{limit}\". "));
    }
    let total_limit: u64 = limits.containers.values().map(|limit| limit.bytes).fold(0, u64::saturating_add);
    let used = usage.volumes.values().chain(usage.containers.values()).copied().fold(0, u64::saturating_add);
    if total_limit > 0 && used > total_limit {
        let texts: Vec<&str> = limits.containers.values().map(|limit| limit.text.as_str()).collect();
        let text = if let [one] = texts.as_slice() { (*one).to_owned() } else { total_limit.to_string() };
        return Some(format!("Pod ephemeral local storage usage exceeds the total limit of containers {text}. "));
    }
    let (name, limit) = above(&limits.containers, &usage.containers)?;
    Some(format!("Container {name} exceeded its local ephemeral storage limit \"{limit}\". "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_str(
            r#"{"spec":{"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1Mi"}},{"name":"free","emptyDir":{}},
                {"name":"m","emptyDir":{"medium":"Memory","sizeLimit":"1Mi"}}],
                "containers":[{"name":"a","resources":{"limits":{"ephemeral-storage":"2Mi"}}},
                    {"name":"b","resources":{"limits":{"ephemeral-storage":"8Mi"}}}]}}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_pod_over_its_limit_is_reported_in_kubernetes_words() {
        const MIB: u64 = 1 << 20;
        let said = |volume: u64, free: u64, container: u64| {
            let usage = Usage {
                volumes: [("v".into(), volume), ("free".into(), free)].into(),
                containers: [("a".into(), container)].into(),
            };
            exceeded(&of(&pod()).unwrap(), &usage).unwrap_or_default()
        };
        assert_eq!(said(MIB, 3 * MIB, 2 * MIB), "");
        assert_eq!(said(MIB + 1, 0, 0), "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ");
        assert_eq!(said(0, 0, 2 * MIB + 1), "Container a exceeded its local ephemeral storage limit \"2Mi\". ");
        let total = "Pod ephemeral local storage usage exceeds the total limit of containers 10485760. ";
        assert_eq!(said(0, 11 * MIB, 0), total);
        assert_eq!(of(&Pod::default()), None);
    }
}
