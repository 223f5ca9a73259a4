//! Which client asks, for the sharing of what there is a limited amount of. Each class has its own
//! share: whatever one of them does, the others go on. Within a class, clients are told apart.

use std::hash::BuildHasher;
use std::hash::RandomState;

use everynode_api::kinds::{LEASE, NODE};

use super::route::Route;
use crate::auth::{MASTERS, NODES, SERVICE_ACCOUNT_PREFIX, User};
use crate::registry::Target;

/// How many classes there are.
pub(crate) const CLASSES: usize = 5;

/// A class of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Leases by which controllers find their leader: in `kube-system`, where few may write.
    Leaders,
    /// What a node must say to count as alive: its lease and its status.
    Heartbeats,
    /// All else that nodes ask for.
    Nodes,
    /// Administrators, and the accounts of `kube-system`.
    Controllers,
    Everybody,
}

impl Class {
    pub(crate) const ALL: [Class; CLASSES] =
        [Class::Leaders, Class::Heartbeats, Class::Nodes, Class::Controllers, Class::Everybody];

    /// The class of a request of a client that has proven its identity.
    pub(crate) fn of(user: &User, route: &Route) -> Class {
        let target = match route {
            Route::Operation(operation) => Some(&operation.target),
            _ => None,
        };
        match target {
            Some(target) if is_lease(target) && target.namespace == SYSTEM_NAMESPACE => Class::Leaders,
            Some(target) if user.node().is_some() && is_heartbeat(target) => Class::Heartbeats,
            _ => Class::of_user(user),
        }
    }

    /// The class of a connection.
    pub(crate) fn of_user(user: &User) -> Class {
        match account(user) {
            _ if user.is_in(NODES) => Class::Nodes,
            _ if user.is_in(MASTERS) => Class::Controllers,
            Some((SYSTEM_NAMESPACE, _)) => Class::Controllers,
            _ => Class::Everybody,
        }
    }

    /// As metrics name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Class::Leaders => "leaders",
            Class::Heartbeats => "heartbeats",
            Class::Nodes => "nodes",
            Class::Controllers => "controllers",
            Class::Everybody => "everybody",
        }
    }
}

const SYSTEM_NAMESPACE: &str = "kube-system";
const NODE_LEASES: &str = "kube-node-lease";

fn is_lease(target: &Target) -> bool {
    target.info.is(&LEASE)
}

fn is_heartbeat(target: &Target) -> bool {
    let lease = is_lease(target) && target.namespace == NODE_LEASES;
    lease || (target.info.is(&NODE) && target.subresource == "status")
}

/// Namespace and name of a service account.
fn account(user: &User) -> Option<(&str, &str)> {
    user.name.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')
}

/// One of the clients that share what their class has: a number that stands for it, the same as
/// long as the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Client(pub(crate) u64);

/// Gives clients their numbers. They cannot be foreseen, so that no client takes another name to
/// share a number.
#[derive(Default)]
pub(crate) struct Clients(RandomState);

impl Clients {
    /// Users count one by one. The accounts of a namespace count as one: a user that may write
    /// there makes any number of them.
    pub(crate) fn of(&self, user: &User) -> Client {
        let name = match account(user) {
            Some((namespace, _)) if namespace != SYSTEM_NAMESPACE => {
                &user.name[..SERVICE_ACCOUNT_PREFIX.len() + namespace.len()]
            }
            _ => user.name.as_str(),
        };
        Client(self.0.hash_one(name))
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::catalogue::Rows;
    use crate::http::query::Query;
    use crate::http::route;

    const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces";

    fn class(user: &User, method: Method, path: &str) -> Class {
        let asked = route::Asked { method: &method, path, query: &Query::default(), upgrades: false };
        Class::of(user, &route::read(&Rows::built_in(), asked).unwrap())
    }

    #[test]
    fn each_has_the_class_of_what_it_is_and_does() {
        let node = User::new("system:node:a", &[NODES]);
        let put = |user: &User, path: &str| class(user, Method::PUT, path);
        assert_eq!(put(&node, &format!("{LEASE}/kube-node-lease/leases/a")), Class::Heartbeats);
        assert_eq!(put(&node, "/api/v1/nodes/a/status"), Class::Heartbeats);
        assert_eq!(put(&node, "/api/v1/namespaces/x/pods/p/status"), Class::Nodes);
        let controller = User::service_account("kube-system", "c", "");
        assert_eq!(put(&controller, &format!("{LEASE}/kube-system/leases/c")), Class::Leaders);
        assert_eq!(put(&controller, "/api/v1/nodes/a/status"), Class::Controllers);
        assert_eq!(put(&User::internal("admin"), "/api/v1/nodes/a"), Class::Controllers);
        // Names and places of its own choice give a client no better class.
        for user in [User::service_account("x", "kube-system", ""), User::new("system:node:a", &[])] {
            assert_eq!(put(&user, &format!("{LEASE}/x/leases/c")), Class::Everybody);
            assert_eq!(put(&user, &format!("{LEASE}/kube-node-lease/leases/a")), Class::Everybody);
            assert_eq!(class(&user, Method::GET, "/apis"), Class::Everybody);
        }
    }

    #[test]
    fn the_accounts_of_a_namespace_are_one_client() {
        let clients = Clients::default();
        let account = |namespace: &str, name: &str| clients.of(&User::service_account(namespace, name, ""));
        assert_eq!(account("x", "a"), account("x", "b"));
        assert_ne!(account("x", "a"), account("y", "a"));
        assert_ne!(account("kube-system", "a"), account("kube-system", "b"));
        assert_ne!(clients.of(&User::new("a", &[])), clients.of(&User::new("b", &[])));
    }
}
