//! Accounts: every namespace has a service account `default` and the config map
//! `kube-root-ca.crt` with the cluster's certificate authority.

use std::sync::Arc;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::ports::{PatchType, Target};
use everynode_api::reconcile::{Action, Plan, Reconciler};
use everynode_api::view::{Change, Object, View};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::common::{target, unchanged};

const ACCOUNT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";

/// The service account and root CA publisher. One key per namespace.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// The certificate authority, PEM.
    pub ca_pem: Arc<str>,
}

/// What a namespace has of the two.
#[derive(Debug)]
pub struct AccountInput {
    namespace: Box<str>,
    terminating: bool,
    has_account: bool,
    root_ca: Option<Arc<Object>>,
}

/// This controller never waits.
#[derive(Clone, Debug, PartialEq)]
pub enum AccountNote {}

impl std::fmt::Display for AccountNote {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

impl Reconciler for Accounts {
    type Input = AccountInput;
    type Memory = ();
    type Note = AccountNote;

    fn name(&self) -> &'static str {
        "serviceaccount-controller"
    }

    fn watches(&self) -> Vec<Kind> {
        vec![kinds::NAMESPACE, kinds::SERVICE_ACCOUNT, kinds::CONFIG_MAP]
    }

    fn wake(&self, _view: &View, change: &Change) -> Vec<Key> {
        let name = change.key.name.as_ref();
        match () {
            () if change.kind == kinds::NAMESPACE => vec![change.key.clone()],
            () if change.kind == kinds::SERVICE_ACCOUNT && name == ACCOUNT => vec![Key::cluster(&change.key.namespace)],
            () if change.kind == kinds::CONFIG_MAP && name == ROOT_CA => vec![Key::cluster(&change.key.namespace)],
            () => Vec::new(),
        }
    }

    fn all(&self, view: &View) -> Vec<Key> {
        view.objects(&kinds::NAMESPACE).map(|namespace| namespace.meta.key()).collect()
    }

    fn gather(&self, view: &View, key: &Key) -> Option<AccountInput> {
        let namespace = view.object(&kinds::NAMESPACE, key)?;
        Some(AccountInput {
            namespace: key.name.as_ref().into(),
            terminating: namespace.meta.is_terminating(),
            has_account: view.object(&kinds::SERVICE_ACCOUNT, &Key::new(&key.name, ACCOUNT)).is_some(),
            root_ca: view.object(&kinds::CONFIG_MAP, &Key::new(&key.name, ROOT_CA)).cloned(),
        })
    }

    fn plan(&self, seen: &AccountInput, _memory: &(), _now: Timestamp) -> Plan<AccountNote, ()> {
        if seen.terminating {
            return Plan::default();
        }
        let account = (!seen.has_account).then(|| create(&kinds::SERVICE_ACCOUNT, &seen.namespace, ACCOUNT, json!({})));
        Plan { actions: account.into_iter().chain(self.publish(seen)).collect(), ..Plan::default() }
    }
}

impl Accounts {
    fn publish(&self, seen: &AccountInput) -> Option<Action> {
        let data = json!({ "ca.crt": self.ca_pem });
        match &seen.root_ca {
            None => {
                let body = json!({
                    "metadata": { "annotations": { "kubernetes.io/description": "The certificate authority of this cluster's API server." } },
                    "data": data,
                });
                Some(create(&kinds::CONFIG_MAP, &seen.namespace, ROOT_CA, body))
            }
            Some(object) if *object.at(&["data"]) != data => Some(Action::Patch {
                target: target(&kinds::CONFIG_MAP, &object.meta),
                patch: PatchType::Merge,
                body: json!({ "data": data }),
                preconditions: unchanged(&object.meta),
                report: None,
            }),
            Some(_) => None,
        }
    }
}

fn create(kind: &Kind, namespace: &str, name: &str, mut body: Value) -> Action {
    body["apiVersion"] = json!(kind.api_version());
    body["kind"] = json!(kind.kind);
    body["metadata"]["name"] = json!(name);
    body["metadata"]["namespace"] = json!(namespace);
    Action::Create { target: Target::new(kind.clone(), namespace, name), body, report: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{TestBed, at};

    #[test]
    fn a_namespace_gets_its_account_and_ca_and_keeps_them() {
        let mut bed = TestBed::new(Accounts { ca_pem: "PEM".into() });
        bed.put(&kinds::NAMESPACE, r#"{"metadata":{"name":"x"}}"#);
        let both = ["create serviceaccounts/x/default", "create configmaps/x/kube-root-ca.crt"];
        assert_eq!(bed.run("x", at(0)), both);
        bed.put(&kinds::SERVICE_ACCOUNT, r#"{"metadata":{"name":"default","namespace":"x"}}"#);
        bed.put(
            &kinds::CONFIG_MAP,
            r#"{"metadata":{"name":"kube-root-ca.crt","namespace":"x"},"data":{"ca.crt":"OLD"}}"#,
        );
        assert_eq!(bed.run("x", at(0)), ["patch configmaps/x/kube-root-ca.crt"]);
        bed.put(&kinds::NAMESPACE, r#"{"metadata":{"name":"x","deletionTimestamp":"2026-01-01T00:00:00Z"}}"#);
        assert!(bed.run("x", at(0)).is_empty());
    }
}
