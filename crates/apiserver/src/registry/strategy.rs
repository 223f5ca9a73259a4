//! What is special about each kind. The pipeline does the rest.

use std::collections::BTreeSet;
use std::time::Duration;

use everynode_api::status::Status;
use serde_json::Value;

use super::claims::Claim;
use super::{Registry, Settings};
use crate::object;
use crate::schema::semantic_eq;

/// What deleting an object of a kind means, beyond finalizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grace {
    /// The object goes at once.
    Immediate,
    /// The object stays, marked, for so many seconds (0: goes at once).
    Seconds(i64),
    /// The object stays, marked, until its contents are gone (namespaces).
    UntilEmpty,
}

/// One kind's own rules. Every method has the answer of an ordinary kind.
pub(crate) trait Strategy: Sync {
    /// Whether `metadata.generation` counts changes of `spec`.
    fn counts_generations(&self) -> bool {
        false
    }

    /// Writes down what a kind's objects say of themselves in a second place, before it is noted
    /// which manager owns what: that is owned by the writer of the object. What is finally there,
    /// the other methods decide.
    fn repeat(&self, _value: &mut Value) {}

    /// Whether a change counts as a new generation, where they are counted.
    fn is_new_generation(&self, new: &Value, old: &Value) -> bool {
        !semantic_eq(&new["spec"], &old["spec"])
    }

    /// Shapes a new object after admission: initial status, allocations.
    fn prepare_create(&self, _registry: &Registry, _value: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    /// Writes down what follows from the name, which may have been generated, and again if that one
    /// was taken.
    fn prepare_name(&self, _registry: &Registry, _value: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    /// Shapes an update of the main resource; `new` has the server-owned metadata of `old` already.
    fn prepare_update(&self, _registry: &Registry, _new: &mut Value, _old: &Value) -> Result<(), Status> {
        Ok(())
    }

    /// Shapes an update of `/status`; by default everything but status and metadata is kept.
    fn prepare_status(&self, new: &mut Value, old: &Value) {
        keep_all_but_status(new, old);
    }

    /// What deletion with this requested grace period means.
    fn grace(&self, _value: &Value, _requested: Option<i64>) -> Grace {
        Grace::Immediate
    }

    /// Whether a PUT of an object that is not there makes it.
    fn creates_on_update(&self) -> bool {
        false
    }

    /// Whether a PUT without a resourceVersion replaces whatever is there.
    fn updates_unconditionally(&self) -> bool {
        true
    }

    /// Called when the object is marked for deletion and stays.
    fn mark_deleted(&self, _value: &mut Value) {}

    /// Whether the last state of an object that goes at once says so in the answer.
    fn marks_the_removed(&self) -> bool {
        false
    }

    /// Whether a marked object without finalizers may go.
    fn may_go(&self, value: &Value) -> bool {
        value["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
    }

    /// Whether an object that nothing holds any more may be removed now.
    fn check_removal(&self, _registry: &Registry, _value: &Value) -> Result<(), Status> {
        Ok(())
    }

    /// What the object holds exclusively; kept in the same transaction as the object.
    fn claims(&self, _settings: &Settings, _value: &Value) -> Vec<Claim> {
        Vec::new()
    }

    /// How long objects of this kind live after their last write.
    fn expires_in(&self) -> Option<Duration> {
        None
    }

    /// Whether DELETE answers with the object and not with a `Status`.
    fn returns_deleted(&self) -> bool {
        false
    }
}

/// A kind without rules of its own.
pub(crate) struct Ordinary;
impl Strategy for Ordinary {}

/// Makes every top-level member but status, metadata and the type what it is in `old`.
pub(crate) fn keep_all_but_status(new: &mut Value, old: &Value) {
    let names: BTreeSet<String> =
        [&*new, old].into_iter().filter_map(Value::as_object).flat_map(|members| members.keys().cloned()).collect();
    for name in names {
        if !matches!(name.as_str(), "status" | "metadata" | "kind" | "apiVersion") {
            object::copy_member(new, old, &name);
        }
    }
}
