//! Quotas: what a namespace may have of things, held exactly.
//!
//! A create in a namespace with quotas writes their statuses in the same transaction as the object,
//! on condition that they are as they were read. So `used` counts at least what is there, and no
//! two creates together exceed a bound. What leaves a namespace is found by counting again, which a
//! controller asks for (`controllers/src/quotas.rs`): every write of a quota's status is a count,
//! whatever it says. Reading order: [`usage`], [`scope`], this file.

mod scope;
mod usage;

use std::collections::BTreeSet;

use everynode_api::kinds::POD;
use everynode_api::quantity::Quantity;
use everynode_api::status::Status;
use everynode_store::{Condition, KeyValue, Transaction, Write, prefix_range};
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, MutexGuard};

use super::{Registry, Target, store_failure};
use crate::catalogue::{RowRef, built_in};
use crate::object::{items, text};
use crate::{keys, object, stored};

pub(crate) use usage::effective_limits;
use usage::{Usage, is_counted, is_of_kind};

/// Creates in namespaces with quotas wait for each other, by the namespace's number among so many.
const LOCKS: usize = 16;
/// Objects that are read at once when a namespace is counted.
const PAGE: usize = 500;
/// Amounts that a pod whose namespace limits them has to name, container by container.
const EXPLICIT: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// Held while a create adds to the quotas of a namespace.
#[derive(Debug, Default)]
pub(crate) struct Locks([Mutex<()>; LOCKS]);

/// What a create adds to the quotas of its namespace, while no other create can.
#[derive(Debug, Default)]
pub(crate) struct Charges<'a> {
    statuses: Vec<(KeyValue, Value)>,
    _lock: Option<MutexGuard<'a, ()>>,
}

impl Charges<'_> {
    /// Puts the new statuses into a transaction.
    pub(crate) fn write_into(&self, transaction: &mut Transaction) {
        for (kv, quota) in &self.statuses {
            transaction.conditions.push(Condition::ModifiedAt(kv.key.clone(), kv.modified));
            let value = stored::encode(quota);
            transaction.writes.push(Write::Put { key: kv.key.clone(), value, expires_in: None });
        }
    }
}

impl Registry {
    /// What creating an object takes of the quotas of its namespace, or why it may not.
    pub(crate) async fn charge_quotas(&self, target: &Target, value: &Value) -> Result<Charges<'_>, Status> {
        if !is_counted(&target.info) {
            return Ok(Charges::default());
        }
        let prefix = keys::collection(&built_in::RESOURCE_QUOTA, Some(&target.namespace));
        if self.topic(&built_in::RESOURCE_QUOTA)?.count(&prefix, 1) == 0 {
            return Ok(Charges::default());
        }
        let lock = self.quota_locks.0[lock_of(&target.namespace)].lock().await;
        let mut statuses = Vec::new();
        for kv in self.pages(&prefix)? {
            let mut quota = stored::decode(&kv.value, kv.modified)?;
            if let Some(status) = self.charged(target, value, &quota)? {
                object::remove_meta(&mut quota, "resourceVersion");
                quota["status"] = status;
                statuses.push((kv, quota));
            }
        }
        Ok(Charges { statuses, _lock: Some(lock) })
    }

    /// The status of a quota with the object; `None` if the quota is not about it.
    fn charged(&self, target: &Target, value: &Value, quota: &Value) -> Result<Option<Value>, Status> {
        let is_pod = target.info.is(&POD);
        if scope::has_scopes(quota) && !(is_pod && scope::covers(quota, value)) {
            return Ok(None);
        }
        let hard = amounts(&quota["spec"]["hard"]);
        let is_bounded = |name: &str| hard.contains_key(name) && is_of_kind(&target.info, name);
        let name = object::meta(quota, "name");
        let refuse = |words: String| Err(Status::forbidden(&target.info.kind, &target.name, &words));
        if is_pod && let Some(missing) = unnamed(value, |name| is_bounded(name)) {
            return refuse(format!("failed quota: {name}: must specify {missing}"));
        }
        let mut requested = usage::usage(&target.info, value);
        requested.retain(|name, _| is_bounded(name));
        if requested.is_empty() {
            return Ok(None);
        }
        let is_known = quota["status"]["hard"] == quota["spec"]["hard"];
        let used = if is_known { amounts(&quota["status"]["used"]) } else { self.count(&target.namespace, quota)? };
        let mut sum = used.clone();
        add(&mut sum, &requested);
        let is_exceeded = |name: &str| sum.get(name) > hard.get(name);
        let only = |amounts: &Usage| -> Usage {
            let exceeded = |name: &str| requested.contains_key(name) && is_exceeded(name);
            amounts.iter().filter(|(name, _)| exceeded(name)).map(|(name, amount)| (name.clone(), *amount)).collect()
        };
        let [asked, taken, limit] = [&requested, &used, &hard].map(|amounts| shown(&only(amounts)));
        match asked.is_empty() {
            true => Ok(Some(status(quota, &sum))),
            false => refuse(format!("exceeded quota: {name}, requested: {asked}, used: {taken}, limited: {limit}")),
        }
    }

    /// The status that a quota has by what is in its namespace now.
    pub(crate) fn counted_status(&self, quota: &Value) -> Result<Value, Status> {
        let used = self.count(object::meta(quota, "namespace"), quota)?;
        Ok(status(quota, &used))
    }

    fn count(&self, namespace: &str, quota: &Value) -> Result<Usage, Status> {
        let hard = amounts(&quota["spec"]["hard"]);
        let has_scopes = scope::has_scopes(quota);
        let mut used = Usage::new();
        let mut storages = BTreeSet::new();
        let rows = self.catalogue.rows();
        for row in rows.iter().filter(|row| is_counted(row) && hard.keys().any(|name| is_of_kind(row, name))) {
            if has_scopes && !row.is(&POD) || !storages.insert(row.storage.clone()) {
                continue;
            }
            self.count_kind(row, namespace, quota, &mut used)?;
        }
        used.retain(|name, _| hard.contains_key(name));
        for name in hard.keys() {
            used.entry(name.clone()).or_default();
        }
        Ok(used)
    }

    fn count_kind(&self, row: &RowRef, namespace: &str, quota: &Value, used: &mut Usage) -> Result<(), Status> {
        for kv in self.pages(&keys::collection(row, Some(namespace)))? {
            let object = stored::decode(&kv.value, kv.modified)?;
            if !row.is(&POD) || scope::covers(quota, &object) {
                add(used, &usage::usage(row, &object));
            }
        }
        Ok(())
    }

    /// Everything below a prefix, read in pages.
    fn pages(&self, prefix: &str) -> Result<Vec<KeyValue>, Status> {
        let (mut range, mut found) = (prefix_range(prefix), Vec::new());
        loop {
            let page = self.store.range(&range, None, PAGE).map_err(|error| store_failure(&error))?;
            let last = page.items.last().map(|kv| kv.key.clone());
            let is_full = page.items.len() >= PAGE;
            found.extend(page.items);
            match last.filter(|_| is_full) {
                Some(last) => range.start = format!("{last}\0").into(),
                None => return Ok(found),
            }
        }
    }
}

fn lock_of(namespace: &str) -> usize {
    let sum = namespace.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    sum % LOCKS
}

/// A quota's bounds, and what is used of each of them.
fn status(quota: &Value, used: &Usage) -> Value {
    let hard = &quota["spec"]["hard"];
    let of = |name: &str| used.get(name).copied().unwrap_or_default().to_string();
    let used: Map<String, Value> =
        hard.as_object().into_iter().flatten().map(|(name, _)| (name.clone(), of(name).into())).collect();
    match hard.is_null() {
        true => json!({}),
        false => json!({ "hard": hard, "used": used }),
    }
}

fn amounts(value: &Value) -> Usage {
    let members = value.as_object().into_iter().flatten();
    let amount = |(name, value): (&String, &Value)| Some((name.as_str().into(), Quantity::from_json(value).ok()?));
    members.filter_map(amount).collect()
}

fn add(sum: &mut Usage, more: &Usage) {
    for (name, amount) in more {
        let entry = sum.entry(name.clone()).or_default();
        *entry = entry.saturating_add(*amount);
    }
}

/// `a=1,b=2`
fn shown(amounts: &Usage) -> String {
    amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(",")
}

/// Which containers do not name an amount that is bounded: `limits.cpu for: a,b; memory for: a`.
fn unnamed(pod: &Value, is_bounded: impl Fn(&str) -> bool) -> Option<String> {
    let containers = || ["containers", "initContainers"].iter().flat_map(|list| items(pod, &["spec", list]));
    let without = |name: &&&str| {
        let (member, resource) = name.split_once('.').unwrap_or(("requests", name));
        let lacks = |container: &&Value| container["resources"][member][resource].is_null();
        let names: BTreeSet<&str> = containers().filter(lacks).map(|container| text(container, &["name"])).collect();
        (!names.is_empty()).then(|| format!("{name} for: {}", names.into_iter().collect::<Vec<_>>().join(",")))
    };
    let mut bounded: Vec<&&str> = EXPLICIT.iter().filter(|name| is_bounded(name)).collect();
    bounded.sort_unstable();
    let missing: Vec<String> = bounded.iter().filter_map(without).collect();
    (!missing.is_empty()).then(|| missing.join("; "))
}

/// A write of a quota: its status is what there is, and nothing else.
pub(crate) fn recount(registry: &Registry, quota: &mut Value) -> Result<(), Status> {
    quota["status"] = registry.counted_status(quota)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_names_every_bound() {
        let quota = json!({"spec": {"hard": {"pods": "3", "requests.cpu": "2"}}});
        let mut used = Usage::new();
        add(&mut used, &amounts(&json!({"pods": "1", "secrets": "7"})));
        add(&mut used, &amounts(&json!({"pods": "1"})));
        let expected = json!({"hard": {"pods": "3", "requests.cpu": "2"}, "used": {"pods": "2", "requests.cpu": "0"}});
        assert_eq!(status(&quota, &used), expected);
        assert_eq!(status(&json!({"spec": {}}), &used), json!({}));
        assert_eq!(shown(&used), "pods=2,secrets=7");
    }

    #[test]
    fn containers_that_name_no_amount_are_listed() {
        let pod = json!({"spec": {"initContainers": [{"name": "i"}],
            "containers": [{"name": "b", "resources": {"requests": {"cpu": "1"}}}, {"name": "a"}]}});
        let missing = unnamed(&pod, |name| ["cpu", "limits.memory"].contains(&name));
        assert_eq!(missing.as_deref(), Some("cpu for: a,i; limits.memory for: a,b,i"));
        assert_eq!(unnamed(&pod, |_| false), None);
    }
}
