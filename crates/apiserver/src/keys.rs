//! Where objects lie in the store: kube-apiserver's own resource paths.

use everynode_store::Key;

use crate::catalogue::Row;

/// Every key begins so.
pub(crate) const EVERYTHING: &str = "/";
/// Everything that a stock kube-apiserver would also find.
pub(crate) const REGISTRY: &str = "/registry/";
/// When the server was last started.
pub(crate) const STARTED: &str = "/everynode/started";
/// What belongs to everynode alone: reservations that make something unique.
pub(crate) const RESERVATIONS: &str = "/everynode/reservations/";

/// The key of one object.
pub(crate) fn object(info: &Row, namespace: &str, name: &str) -> Key {
    match info.kind.namespaced {
        true => [REGISTRY, &info.storage, "/", namespace, "/", name].concat(),
        false => [REGISTRY, &info.storage, "/", name].concat(),
    }
    .into()
}

/// The prefix of a collection: of a namespace, or of all.
pub(crate) fn collection(info: &Row, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) if info.kind.namespaced => format!("{REGISTRY}{}/{namespace}/", info.storage),
        _ => format!("{REGISTRY}{}/", info.storage),
    }
}

/// Which kind's storage a key belongs to (`services/specs`, `example.com/widgets`), and the rest of
/// the key. Two segments are a group and its resource, or what the original divides services into.
pub(crate) fn split(key: &str) -> Option<(&str, &str)> {
    let below = key.strip_prefix(REGISTRY)?;
    let first = below.find('/')?;
    let has_second = below[..first].contains('.') || &below[..first] == "services";
    let end = if has_second { first + 1 + below[first + 1..].find('/')? } else { first };
    Some((&below[..end], &below[end + 1..]))
}

/// Namespace and name from the rest of a key; the namespace is empty for cluster-scoped kinds.
pub(crate) fn namespace_and_name(rest: &str) -> (&str, &str) {
    rest.split_once('/').unwrap_or(("", rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::built_in;
    use everynode_api::kinds::{EVENTS_EVENT, NODE, SERVICE};

    #[test]
    fn keys_are_those_of_kube_apiserver() {
        let info = |kind: &everynode_api::kinds::Kind| built_in::find(&kind.group, &kind.plural).unwrap();
        assert_eq!(&*object(info(&NODE), "", "a"), "/registry/minions/a");
        assert_eq!(&*object(info(&SERVICE), "x", "web"), "/registry/services/specs/x/web");
        assert_eq!(collection(info(&EVENTS_EVENT), Some("x")), "/registry/events/x/");
        assert_eq!(split("/registry/services/specs/x/web"), Some(("services/specs", "x/web")));
        assert_eq!(split("/registry/services/endpoints/x/web"), Some(("services/endpoints", "x/web")));
        assert_eq!(split("/registry/example.com/widgets/x/w"), Some(("example.com/widgets", "x/w")));
        assert_eq!((split("/registry/pods"), split("/registry/services/x"), split("/other/a/b")), (None, None, None));
    }
}
