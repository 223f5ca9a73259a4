//! Admission: what the cluster adds to, or refuses in, a request that is well-formed.
//!
//! Order as in kube-apiserver: namespace lifecycle, defaults of limit ranges, service account, node
//! restriction, priority, default tolerations, runtime class, bounds of limit ranges. Quotas come
//! last, when the object is written (`registry/quota`). Webhooks are absent.

mod limits;
mod node_restriction;
mod pod;
mod runtime_class;
mod service_account;
mod storage_class;

use everynode_api::kinds::NAMESPACE;
use everynode_api::status::Status;
use everynode_store::Condition;
use serde_json::Value;

pub(super) use node_restriction::longest_life;
use node_restriction::{Asked, Operation};

use super::{Caller, Registry, Target, store_failure};
use crate::auth::escalation;
use crate::catalogue::built_in;
use crate::catalogue::row::Admission;
use crate::keys;

impl Registry {
    /// Before an object is created. Its namespace's condition comes along, under which it may be
    /// written.
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
        (target.info.admission.create)(self, caller, target, value)
    }

    /// Before an object or its status is replaced.
    pub(super) fn admit_update(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        new: &mut Value,
        old: &Value,
    ) -> Result<(), Status> {
        self.restrict_node(caller, target, Operation::Update, new, old)?;
        (target.info.admission.update)(self, caller, target, new, old)
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
        (target.info.admission.delete)(target)?;
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

    /// A namespaced object needs a namespace that is not terminating (DS-I26). The condition makes
    /// the answer hold until the object is written.
    pub(super) fn admit_namespace(&self, target: &Target) -> Result<Option<Condition>, Status> {
        if !target.info.kind.namespaced {
            return Ok(None);
        }
        let info = &built_in::NAMESPACE;
        let key = keys::object(info, "", &target.namespace);
        let kv = self.store.get(&key, None).map_err(|error| store_failure(&error))?;
        let kv = kv.ok_or_else(|| Status::not_found(&NAMESPACE, &target.namespace))?;
        let condition = Condition::ModifiedAt(key, kv.modified);
        let item = self.topic(info)?.item(kv);
        match item.field("status.phase") {
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

/// Pods: restricted once their account is known, which tokens are bound to.
pub(super) const OF_PODS: Admission = Admission {
    create: |registry, caller, target, value| {
        registry.admit_default_limits(target, value)?;
        registry.admit_service_account(target, value)?;
        registry.restrict_node(caller, target, Operation::Create, value, &Value::Null)?;
        registry.admit_priority(target, value)?;
        pod::default_tolerations(value);
        registry.admit_runtime_class(target, value)?;
        service_account::check_mirror(target, value)?;
        registry.admit_bounds(target, value)
    },
    update: |_, _, target, new, _| {
        if target.subresource.is_empty() {
            // A manifest does not have them: applied or put again, it would take them away.
            pod::default_tolerations(new);
        }
        Ok(())
    },
    ..Admission::ORDINARY
};

/// Roles and cluster roles: only by users that have the rights that they give.
pub(super) const OF_ROLES: Admission = Admission {
    create: |registry, caller, target, value| escalation::check_role(registry, caller.user, target, value, None),
    update: |registry, caller, target, new, old| escalation::check_role(registry, caller.user, target, new, Some(old)),
    ..Admission::ORDINARY
};

/// Role bindings and cluster role bindings.
pub(super) const OF_BINDINGS: Admission = Admission {
    create: |registry, caller, target, value| escalation::check_binding(registry, caller.user, target, value, None),
    update: |registry, caller, target, new, old| {
        escalation::check_binding(registry, caller.user, target, new, Some(old))
    },
    ..Admission::ORDINARY
};

/// Before an object of an ordinary kind is created: agents may not make everything.
pub(crate) fn admit_ordinary(
    registry: &Registry,
    caller: &Caller<'_>,
    target: &Target,
    value: &mut Value,
) -> Result<(), Status> {
    registry.restrict_node(caller, target, Operation::Create, value, &Value::Null)
}
