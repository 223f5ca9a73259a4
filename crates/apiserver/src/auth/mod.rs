//! Which user asks, and what that user may do: authentication and authorisation of every request.
//!
//! Authentication is by client certificate, service-account token or join token; without any of
//! them a request is anonymous and gets to see health and version only. Authorisation asks three
//! authorisers in turn: `system:masters` (all), the node authoriser ([`node`]: code), RBAC
//! ([`rbac`]: rules in the store).

pub(crate) mod authenticate;
pub(crate) mod authorize;
pub(crate) mod escalation;
pub(crate) mod issuer_discovery;
pub(crate) mod join;
mod jwt;
pub(crate) mod node;
pub(crate) mod policy;
pub(crate) mod rbac;
pub(crate) mod reviews;
pub(crate) mod token;

use std::collections::BTreeMap;

/// An authenticated identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
    /// SHA-256 of the public key of the client certificate that showed the identity; empty without
    /// one.
    pub certificate_key: String,
}

pub(crate) const ANONYMOUS: &str = "system:anonymous";
pub(crate) const MASTERS: &str = "system:masters";
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The name in the certificate with which this server asks agents.
pub(crate) const AGENT_CLIENT: &str = "kube-apiserver-kubelet-client";
pub(crate) const NODES: &str = "system:nodes";
pub(crate) const NODE_PREFIX: &str = "system:node:";
pub(crate) const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

impl User {
    /// A user in the given groups, and in `system:authenticated`.
    pub fn new(name: &str, groups: &[&str]) -> User {
        let groups = groups.iter().copied().chain([AUTHENTICATED]).map(str::to_owned).collect();
        User { name: name.to_owned(), groups, ..User::default() }
    }

    /// A part of this process that may do everything.
    pub fn internal(name: &str) -> User {
        User::new(name, &[MASTERS])
    }

    pub(crate) fn anonymous() -> User {
        User { name: ANONYMOUS.into(), groups: vec![UNAUTHENTICATED.into()], ..User::default() }
    }

    /// The identity of a service account (as in token claims).
    pub(crate) fn service_account(namespace: &str, name: &str, uid: &str) -> User {
        let groups =
            ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}"), AUTHENTICATED.into()];
        let extra = BTreeMap::new();
        User {
            name: format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"),
            uid: uid.into(),
            groups: groups.into(),
            extra,
            certificate_key: String::new(),
        }
    }

    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|held| held == group)
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        self.is_in(UNAUTHENTICATED)
    }

    /// The node's name, if this is an agent.
    pub(crate) fn node(&self) -> Option<&str> {
        self.name.strip_prefix(NODE_PREFIX).filter(|_| self.is_in(NODES))
    }
}
