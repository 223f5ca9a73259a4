//! Things that only one object may hold: addresses, ports, a daemon pod's place on its node.
//!
//! A claim is a key below [`keys::RESERVATIONS`] whose value names the holder. It is written and
//! removed in the same transaction as the object, so that it can neither leak nor be held twice.

use everynode_api::status::Status;
use everynode_store::{Condition, Key, KeyValue, Store, Transaction, Write};
use serde_json::Value;

use crate::keys;

/// One exclusive thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The path below [`keys::RESERVATIONS`].
    pub(crate) path: String,
    /// A create that finds the claim held is refused; otherwise it goes on without it (a claim that
    /// appears by an update only protects later creates).
    pub(crate) required: bool,
}

impl Claim {
    pub(crate) fn key(&self) -> Key {
        format!("{}{}", keys::RESERVATIONS, self.path).into()
    }
}

/// The text that names a holder: `namespace/name/uid`.
pub(crate) fn holder(value: &Value) -> String {
    let meta = |name| crate::object::meta(value, name);
    format!("{}/{}/{}", meta("namespace"), meta("name"), meta("uid"))
}

/// Adds the taking of `claims` by a new object. The indexes of the conditions are returned beside
/// the claims.
pub(crate) fn take_all(transaction: &mut Transaction, claims: &[Claim], holder: &str) {
    for claim in claims {
        transaction.conditions.push(Condition::Absent(claim.key()));
        transaction.writes.push(put(claim, holder));
    }
}

fn put(claim: &Claim, holder: &str) -> Write {
    Write::Put { key: claim.key(), value: holder.to_owned().into(), expires_in: None }
}

/// Adds the changes from `old` to `new` claims of one holder: frees what is no longer claimed,
/// takes what is new and free. What is new, required and held by another is an error.
pub(crate) fn exchange(
    store: &dyn Store,
    transaction: &mut Transaction,
    old: &[Claim],
    new: &[Claim],
    holder: &str,
) -> Result<(), Held> {
    for claim in old.iter().filter(|claim| !new.contains(claim)) {
        if let Some(held) = read(store, claim)?.filter(|kv| kv.value == holder.as_bytes()) {
            transaction.conditions.push(Condition::ModifiedAt(held.key.clone(), held.modified));
            transaction.writes.push(Write::Delete { key: held.key });
        }
    }
    for claim in new.iter().filter(|claim| !old.contains(claim)) {
        match read(store, claim)? {
            None => {
                transaction.conditions.push(Condition::Absent(claim.key()));
                transaction.writes.push(put(claim, holder));
            }
            Some(held) if claim.required && held.value != holder.as_bytes() => {
                return Err(Held::By(claim.clone()));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Why claims could not be exchanged.
pub(crate) enum Held {
    By(Claim),
    Failed(Box<Status>),
}

fn read(store: &dyn Store, claim: &Claim) -> Result<Option<KeyValue>, Held> {
    store.get(&claim.key(), None).map_err(|error| Held::Failed(Box::new(super::store_failure(&error))))
}
