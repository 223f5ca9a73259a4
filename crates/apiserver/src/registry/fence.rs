//! Fenced writes: carried out only while their sender holds the lease that it leads by (see
//! [`everynode_api::fence`]).
//!
//! The lease is read, compared, and its revision becomes a condition of the transaction. Renewals
//! change the revision all the time: a transaction that met one looks again, and only another
//! holder or another transition refuses it.

use everynode_api::fence::{Fence, LOST};
use everynode_api::kinds::LEASE;
use everynode_api::status::Status;
use everynode_store::{Condition, KeyValue, Outcome, Transaction};
use serde::Deserialize;

use super::create::durability;
use super::{Caller, Registry, Target, WRITE_ATTEMPTS, store_failure};
use crate::auth::authorize::{self, Attributes};
use crate::catalogue::built_in;
use crate::stored;

/// What a lease says about its leader.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Lease {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    holder_identity: String,
    lease_transitions: u64,
    acquire_time: String,
}

impl Registry {
    /// Commits what the caller writes to `target`.
    pub(super) async fn commit(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        transaction: Transaction,
    ) -> Result<Outcome, Status> {
        let Some(fence) = caller.fence else { return self.commit_unfenced(transaction).await };
        let last = transaction.conditions.len();
        for _ in 0..WRITE_ATTEMPTS {
            let mut fenced = transaction.clone();
            fenced.conditions.push(self.condition(caller, target, fence)?);
            match self.commit_unfenced(fenced).await? {
                Outcome::Refused { condition, .. } if condition == last => {}
                outcome => return Ok(outcome),
            }
        }
        Err(Status::too_many_requests("the leader lease changes too often, try again", 1))
    }

    async fn commit_unfenced(&self, transaction: Transaction) -> Result<Outcome, Status> {
        self.store.commit(transaction).await.map_err(|error| store_failure(&error))
    }

    /// The lease is still what it is now, which is what the fence says.
    fn condition(&self, caller: &Caller<'_>, target: &Target, fence: &Fence) -> Result<Condition, Status> {
        let info = &built_in::LEASE;
        let [namespace, name] = [fence.namespace(), fence.name()].map(str::to_owned);
        let lease = Target { info: info.into(), namespace, name, subresource: "" };
        if durability(&lease) != everynode_store::Durability::Fsync {
            return Err(Status::bad_request("leases of nodes do not outlive a crash: nobody can lead by them"));
        }
        let found = self.store.get(&lease.key(), None).map_err(|error| store_failure(&error))?;
        match found.as_ref().map(|kv| Ok((kv, read(kv)?))).transpose()? {
            Some((kv, spec)) if fence.holds(&spec.holder_identity, spec.lease_transitions) => {
                Ok(Condition::ModifiedAt(kv.key.clone(), kv.modified))
            }
            found => Err(self.lost(caller, target, fence, found.map(|(_, spec)| spec))),
        }
    }

    /// 409. The holder of the lease is named to clients that may read the lease.
    fn lost(&self, caller: &Caller<'_>, target: &Target, fence: &Fence, lease: Option<Spec>) -> Status {
        let may_read = Attributes {
            verb: "get".into(),
            resource: LEASE.plural.to_string(),
            group: LEASE.group.to_string(),
            version: LEASE.version.to_string(),
            namespace: fence.namespace().into(),
            name: fence.name().into(),
            ..Attributes::default()
        };
        let now = match lease {
            _ if !authorize::allowed(self, caller.user, &may_read) => "it is held otherwise now".to_owned(),
            None => "there is no such lease".to_owned(),
            Some(Spec { holder_identity, .. }) if holder_identity.is_empty() => "it was given up".to_owned(),
            Some(Spec { holder_identity, lease_transitions, acquire_time }) => {
                format!("it is held by {holder_identity} since {acquire_time} (transition {lease_transitions})")
            }
        };
        let detail = format!("its sender does not lead any more: the write depends on the lease {fence}, and {now}");
        Status::conflict(&target.info.kind, &target.name, &detail).with_cause(LOST, &now, "")
    }
}

fn read(lease: &KeyValue) -> Result<Spec, Status> {
    serde_json::from_slice::<Lease>(&lease.value).map(|lease| lease.spec).map_err(|error| stored::corrupt(&error))
}
