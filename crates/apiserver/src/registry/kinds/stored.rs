//! How objects are kept that others act on: drivers, proxies, schedulers.

use everynode_api::status::Status;
use serde_json::Value;

use crate::registry::Registry;
use crate::registry::strategy::Strategy;
use crate::schema::semantic_eq;

/// The few ways in which such kinds differ.
pub(crate) struct Stored {
    /// What `metadata.generation` counts changes of.
    pub(crate) generations_of: GenerationsOf,
    /// Whether a PUT without a resourceVersion replaces whatever is there.
    pub(crate) updates_unconditionally: bool,
    /// What is kept otherwise than it was sent, after it was noted whose fields are whose.
    pub(crate) shape: fn(&mut Value),
    /// The status of a new object, whatever it came with; `None`: the kind has no status.
    pub(crate) status: Option<fn(&Registry) -> Value>,
}

/// What `metadata.generation` counts changes of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GenerationsOf {
    Nothing,
    Spec,
    /// Everything but metadata.
    Content,
}

impl Stored {
    pub(crate) const ORDINARY: Stored =
        Stored { generations_of: GenerationsOf::Nothing, updates_unconditionally: true, shape: |_| {}, status: None };
    pub(crate) const CONDITIONAL: Stored = Stored { updates_unconditionally: false, ..Stored::ORDINARY };
    pub(crate) const WITH_GENERATIONS: Stored = Stored { generations_of: GenerationsOf::Spec, ..Stored::ORDINARY };
}

impl Strategy for Stored {
    fn counts_generations(&self) -> bool {
        self.generations_of != GenerationsOf::Nothing
    }

    fn is_new_generation(&self, new: &Value, old: &Value) -> bool {
        match self.generations_of {
            GenerationsOf::Nothing => false,
            GenerationsOf::Spec => !semantic_eq(&new["spec"], &old["spec"]),
            GenerationsOf::Content => !semantic_eq(&content(new), &content(old)),
        }
    }

    fn prepare_create(&self, registry: &Registry, value: &mut Value) -> Result<(), Status> {
        if let Some(status) = self.status {
            value["status"] = status(registry);
        }
        (self.shape)(value);
        Ok(())
    }

    fn prepare_update(&self, _registry: &Registry, new: &mut Value, _old: &Value) -> Result<(), Status> {
        (self.shape)(new);
        Ok(())
    }

    fn updates_unconditionally(&self) -> bool {
        self.updates_unconditionally
    }
}

fn content(value: &Value) -> Value {
    let members = value.as_object().into_iter().flatten();
    members.filter(|(name, _)| *name != "metadata").map(|(name, value)| (name.clone(), value.clone())).collect()
}
