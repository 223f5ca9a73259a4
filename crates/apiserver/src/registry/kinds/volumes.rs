//! Persistent volumes, claims on them, and templates of pods.

use everynode_api::kinds::{PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD_TEMPLATE};
use everynode_api::status::Status;
use serde_json::{Value, json};

use super::stored::{GenerationsOf, Stored};
use crate::catalogue::Row;
use crate::catalogue::row::Admission;
use crate::object;
use crate::registry::admission::admit_ordinary;
use crate::registry::{Caller, Registry, Target};
use crate::schema::Rules;
use crate::tables::Printer;

static VOLUMES: Stored = Stored {
    status: Some(|registry| json!({"phase": "Pending", "lastPhaseTransitionTime": registry.env.now_text()})),
    ..Stored::ORDINARY
};
static CLAIMS: Stored = Stored { status: Some(|_| json!({"phase": "Pending"})), ..Stored::ORDINARY };
static TEMPLATES: Stored = Stored { generations_of: GenerationsOf::Content, ..Stored::ORDINARY };

/// What holds a volume that is deleted while a claim is bound to it.
const VOLUME_IN_USE: &str = "kubernetes.io/pv-protection";
/// What holds a claim that is deleted while a pod uses it.
const CLAIM_IN_USE: &str = "kubernetes.io/pvc-protection";

pub(crate) fn persistent_volume() -> Row {
    Row {
        strategy: &VOLUMES,
        admission: Admission { create: admit_volume, ..Admission::ORDINARY },
        rules: Rules::PERSISTENT_VOLUME,
        printer: Printer::persistent_volumes(),
        ..Row::ordinary(&PERSISTENT_VOLUME)
    }
}

pub(crate) fn persistent_volume_claim() -> Row {
    Row {
        strategy: &CLAIMS,
        admission: Admission { create: admit_claim, ..Admission::ORDINARY },
        rules: Rules::PERSISTENT_VOLUME_CLAIM,
        printer: Printer::persistent_volume_claims(),
        ..Row::ordinary(&PERSISTENT_VOLUME_CLAIM)
    }
}

pub(crate) fn pod_template() -> Row {
    Row {
        strategy: &TEMPLATES,
        rules: Rules::POD_TEMPLATE,
        printer: Printer::pod_templates(),
        ..Row::ordinary(&POD_TEMPLATE)
    }
}

fn admit_volume(registry: &Registry, caller: &Caller<'_>, target: &Target, volume: &mut Value) -> Result<(), Status> {
    hold(volume, VOLUME_IN_USE);
    admit_ordinary(registry, caller, target, volume)
}

fn admit_claim(registry: &Registry, caller: &Caller<'_>, target: &Target, claim: &mut Value) -> Result<(), Status> {
    registry.admit_storage_class(claim)?;
    registry.admit_claim_bounds(target, claim)?;
    hold(claim, CLAIM_IN_USE);
    admit_ordinary(registry, caller, target, claim)
}

fn hold(value: &mut Value, finalizer: &str) {
    let finalizers = object::list_mut(&mut value["metadata"], "finalizers");
    if !finalizers.iter().any(|known| known == finalizer) {
        finalizers.push(finalizer.into());
    }
}
