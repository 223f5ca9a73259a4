//! Namespaces: they terminate, and go when their contents are gone (DS-I26).

use everynode_api::status::Status;
use serde_json::{Value, json};

use crate::object::{self, items};
use crate::registry::Registry;
use crate::registry::strategy::{Grace, Strategy};

pub(crate) struct Namespaces;

/// Held until the contents are removed; dropped through `/finalize`.
const KUBERNETES: &str = "kubernetes";

impl Strategy for Namespaces {
    fn prepare_create(&self, _: &Registry, value: &mut Value) -> Result<(), Status> {
        value["status"] = json!({"phase": "Active"});
        object::object_mut(value, "spec");
        let finalizers = object::list_mut(&mut value["spec"], "finalizers");
        if !finalizers.iter().any(|name| name == KUBERNETES) {
            finalizers.push(KUBERNETES.into());
        }
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

    fn returns_deleted(&self) -> bool {
        true
    }
}

fn label_with_name(value: &mut Value) {
    let name = object::meta(value, "name").to_owned();
    let labels = object::object_mut(&mut value["metadata"], "labels");
    labels.insert("kubernetes.io/metadata.name".into(), name.into());
}

/// Namespaces that the cluster cannot do without.
pub(crate) fn is_protected(name: &str) -> bool {
    matches!(name, "default" | "kube-system" | "kube-public")
}
