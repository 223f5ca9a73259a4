//! Admission: what the cluster adds to, or refuses in, a request that is well-formed.
//!
//! Order as in kube-apiserver: namespace lifecycle, (limit ranges: absent, their place is before
//! the service account), service account, node restriction, priority, default tolerations. Quotas
//! and webhooks are absent; their place is last.

mod node_restriction;
mod pod;
mod service_account;

use everynode_api::kinds::{NAMESPACE, PRIORITY_CLASS, find};
use everynode_api::status::Status;
use everynode_store::Condition;
use serde_json::Value;

pub(super) use node_restriction::longest_life;
use node_restriction::{Asked, Operation};

use super::{Caller, Registry, Target, store_failure};
use crate::auth::escalation;
use crate::keys;

impl Registry {
    /// Before an object is created. Its namespace's condition comes along, under which it may be written.
    pub(super) fn admit_create(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        value: &mut Value,
    ) -> Result<Option<Condition>, Status> {
        let namespace = self.admit_namespace(target)?;
        self.admit_new(caller, target, value).map(|()| namespace)
    }

    fn admit_new(&self, caller: &Caller<'_>, target: &Target, value: &mut Value) -> Result<(), Status> {
        match target.info.storage {
            "pods" => {
                self.admit_service_account(target, value)?;
                self.restrict_node(caller, target, Operation::Create, value, &Value::Null)?;
                self.admit_priority(target, value)?;
                pod::default_tolerations(value);
                pod::runtime_class(target, value)?;
                service_account::check_mirror(target, value)
            }
            "roles" | "clusterroles" | "rolebindings" | "clusterrolebindings" => {
                escalation::check(self, caller.user, target, value, None)
            }
            _ => self.restrict_node(caller, target, Operation::Create, value, &Value::Null),
        }
    }

    /// Before an object or its status is replaced.
    pub(super) fn admit_update(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        new: &mut Value,
        old: &Value,
    ) -> Result<(), Status> {
        escalation::check(self, caller.user, target, new, Some(old))?;
        self.restrict_node(caller, target, Operation::Update, new, old)?;
        if target.info.storage == "pods" && target.subresource.is_empty() {
            // A manifest does not have them: applied or put again, it would take them away.
            pod::default_tolerations(new);
        }
        Ok(())
    }

    /// Before something is created below an object: `body` is what was sent.
    pub(super) fn admit_below(&self, caller: &Caller<'_>, target: &Target, body: &Value) -> Result<(), Status> {
        if caller.user.node().is_none() {
            return Ok(());
        }
        let (_, old) = self.current_value(target)?;
        self.restrict_node(caller, target, Operation::Create, body, &old)
    }

    /// Before an object is deleted.
    pub(super) fn admit_delete(&self, caller: &Caller<'_>, target: &Target, old: &Value) -> Result<(), Status> {
        if target.info.storage == "namespaces" && super::kinds::namespace::is_protected(&target.name) {
            return Err(Status::forbidden(&NAMESPACE, &target.name, "this namespace may not be deleted"));
        }
        if target.info.storage == "priorityclasses" && is_built_in_class(&target.name) {
            let detail = "this is a system priority class and cannot be deleted";
            return Err(Status::forbidden(&PRIORITY_CLASS, &target.name, detail));
        }
        self.restrict_node(caller, target, Operation::Delete, &Value::Null, old)
    }

    fn restrict_node(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        operation: Operation,
        new: &Value,
        old: &Value,
    ) -> Result<(), Status> {
        node_restriction::admit(&Asked { registry: self, user: caller.user, target, operation, new, old })
    }

    /// A namespaced object needs a namespace that is not terminating (DS-I26). The condition makes the answer hold
    /// until the object is written.
    pub(super) fn admit_namespace(&self, target: &Target) -> Result<Option<Condition>, Status> {
        if !target.info.kind.namespaced {
            return Ok(None);
        }
        let Some(info) = find(&NAMESPACE.group, &NAMESPACE.plural) else { return Ok(None) };
        let key = keys::object(info, "", &target.namespace);
        let kv = self.store.get(&key, None).map_err(|error| store_failure(&error))?;
        let kv = kv.ok_or_else(|| Status::not_found(&NAMESPACE, &target.namespace))?;
        let condition = Condition::ModifiedAt(key, kv.modified);
        let item = self.topic(info)?.item(kv);
        match item.selectable().field("status.phase") {
            Some("Terminating") => Err(terminating(target)),
            _ => Ok(Some(condition)),
        }
    }
}

/// The cause that controllers know to be silent about (DS-C54).
fn terminating(target: &Target) -> Status {
    let namespace = &target.namespace;
    let text = format!("unable to create new content in namespace {namespace} because it is being terminated");
    Status::forbidden(&target.info.kind, &target.name, &text).with_cause(
        "NamespaceTerminating",
        &format!("namespace {namespace} is being terminated"),
        "metadata.namespace",
    )
}

/// Without their classes the cluster's own pods could not be made (DS-B53).
fn is_built_in_class(name: &str) -> bool {
    crate::bootstrap::PRIORITY_CLASSES.iter().any(|class| class.0 == name)
}
