//! Namespaces: they terminate, and go when their contents are gone (DS-I26).

use everynode_api::kinds::{EVENT, EVENTS_EVENT, Kind, NAMESPACE};
use everynode_api::status::Status;
use everynode_store::prefix_range;
use serde_json::{Value, json};

use crate::catalogue::Row;
use crate::catalogue::row::Admission;
use crate::hub::FieldRules;
use crate::keys;
use crate::object::{self, items};
use crate::registry::strategy::{Grace, Strategy};
use crate::registry::{Registry, Target, store_failure};
use crate::schema::Rules;
use crate::tables::Printer;

pub(crate) struct Namespaces;

/// Held until the contents are removed; dropped through `/finalize`.
const KUBERNETES: &str = "kubernetes";
const STILL_CONTENT: &str = "The system is ensuring all content is removed from this namespace.  Upon completion, this \
    namespace will automatically be purged by the system.";

/// Everything about them.
pub(crate) fn row() -> Row {
    Row {
        strategy: &Namespaces,
        rules: Rules::NAMESPACE,
        fields: FieldRules::namespaces(),
        printer: Printer::namespaces(),
        // They are not deleted as a collection.
        verbs: &["create", "delete", "get", "list", "patch", "update", "watch"],
        admission: Admission { delete: admit_delete, ..Admission::ORDINARY },
        ..Row::ordinary(&NAMESPACE)
    }
}

impl Strategy for Namespaces {
    fn repeat(&self, value: &mut Value) {
        if !object::meta(value, "name").is_empty() {
            label_with_name(value);
        }
    }

    fn prepare_create(&self, _: &Registry, value: &mut Value) -> Result<(), Status> {
        value["status"] = json!({"phase": "Active"});
        object::object_mut(value, "spec");
        let finalizers = object::list_mut(&mut value["spec"], "finalizers");
        if !finalizers.iter().any(|name| name == KUBERNETES) {
            finalizers.push(KUBERNETES.into());
        }
        Ok(())
    }

    fn prepare_name(&self, _: &Registry, value: &mut Value) -> Result<(), Status> {
        label_with_name(value);
        Ok(())
    }

    fn prepare_update(&self, _: &Registry, new: &mut Value, old: &Value) -> Result<(), Status> {
        // Only /finalize changes the finalizers in spec.
        object::copy_member(new, old, "spec");
        label_with_name(new);
        Ok(())
    }

    fn grace(&self, _: &Value, _: Option<i64>) -> Grace {
        Grace::UntilEmpty
    }

    fn mark_deleted(&self, value: &mut Value) {
        object::object_mut(value, "status").insert("phase".into(), "Terminating".into());
    }

    fn may_go(&self, value: &Value) -> bool {
        items(value, &["spec", "finalizers"]).is_empty()
    }

    /// The controller may have lost an event and not know of everything. Nothing can come in any
    /// more: a namespace that terminates takes no new objects.
    fn check_removal(&self, registry: &Registry, value: &Value) -> Result<(), Status> {
        let name = object::meta(value, "name");
        for info in registry.catalogue.rows().iter().filter(|info| info.kind.namespaced && !is_event(&info.kind)) {
            let content = prefix_range(&keys::collection(info, Some(name)));
            let page = registry.store.range(&content, None, 1).map_err(|error| store_failure(&error))?;
            if !page.items.is_empty() {
                return Err(Status::conflict(&NAMESPACE, name, STILL_CONTENT));
            }
        }
        Ok(())
    }

    fn returns_deleted(&self) -> bool {
        true
    }
}

/// Events end by themselves.
fn is_event(kind: &Kind) -> bool {
    *kind == EVENT || *kind == EVENTS_EVENT
}

fn label_with_name(value: &mut Value) {
    let name = object::meta(value, "name").to_owned();
    let labels = object::object_mut(&mut value["metadata"], "labels");
    labels.insert("kubernetes.io/metadata.name".into(), name.into());
}

/// The cluster cannot do without some of them.
fn admit_delete(target: &Target) -> Result<(), Status> {
    match matches!(target.name.as_str(), "default" | "kube-system" | "kube-public") {
        true => Err(Status::forbidden(&NAMESPACE, &target.name, "this namespace may not be deleted")),
        false => Ok(()),
    }
}
