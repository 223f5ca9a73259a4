//! What the conditions of pods and of nodes have in common.

use serde::de::{Deserialize, Deserializer};

use crate::meta::null_default;
use crate::word::Word;

pub(super) trait Condition {
    fn kind(&self) -> &Word;
}

/// Deserializes conditions with `Ready` in front, `null` to none.
pub(super) fn ready_first<'de, D: Deserializer<'de>, C: Condition + Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<C>, D::Error> {
    let mut conditions: Vec<C> = null_default(deserializer)?;
    conditions.sort_by_key(|condition| *condition.kind() != *"Ready");
    Ok(conditions)
}
