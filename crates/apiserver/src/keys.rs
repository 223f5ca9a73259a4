//! Where objects lie in the store: kube-apiserver's own resource paths.

use everynode_api::kinds::{KINDS, KindInfo};
use everynode_store::Key;

/// Every key begins so.
pub(crate) const EVERYTHING: &str = "/";
/// Everything that a stock kube-apiserver would also find.
pub(crate) const REGISTRY: &str = "/registry/";
/// The stored kind of leases: renewed all the time, and not all of it durably.
pub(crate) const LEASES: &str = "leases";
/// When the server was last started.
pub(crate) const STARTED: &str = "/everynode/started";
/// What belongs to everynode alone: reservations that make something unique.
pub(crate) const RESERVATIONS: &str = "/everynode/reservations/";

/// The key of one object.
pub(crate) fn object(info: &KindInfo, namespace: &str, name: &str) -> Key {
    match info.kind.namespaced {
        true => [REGISTRY, info.storage, "/", namespace, "/", name].concat(),
        false => [REGISTRY, info.storage, "/", name].concat(),
    }
    .into()
}

/// The prefix of a collection: of a namespace, or of all.
pub(crate) fn collection(info: &KindInfo, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) if info.kind.namespaced => format!("{REGISTRY}{}/{namespace}/", info.storage),
        _ => format!("{REGISTRY}{}/", info.storage),
    }
}

/// Which kind's storage a key belongs to (`services/specs`), and the rest of the key.
pub(crate) fn split(key: &str) -> Option<(&'static str, &str)> {
    let rest = key.strip_prefix(REGISTRY)?;
    let below = |storage: &'static str| Some((storage, rest.strip_prefix(storage)?.strip_prefix('/')?));
    KINDS.iter().find_map(|info| below(info.storage))
}

/// Namespace and name from the rest of a key; the namespace is empty for cluster-scoped kinds.
pub(crate) fn namespace_and_name(rest: &str) -> (&str, &str) {
    rest.split_once('/').unwrap_or(("", rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use everynode_api::kinds::{EVENTS_EVENT, NODE, SERVICE, find};

    #[test]
    fn keys_are_those_of_kube_apiserver() {
        let info = |kind: &everynode_api::kinds::Kind| find(&kind.group, &kind.plural).unwrap();
        assert_eq!(&*object(info(&NODE), "", "a"), "/registry/minions/a");
        assert_eq!(&*object(info(&SERVICE), "x", "web"), "/registry/services/specs/x/web");
        assert_eq!(collection(info(&EVENTS_EVENT), Some("x")), "/registry/events/x/");
        assert_eq!(split("/registry/services/specs/x/web"), Some(("services/specs", "x/web")));
        assert_eq!(split("/registry/podsx/a"), None);
    }
}
