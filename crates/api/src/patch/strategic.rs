//! Strategic merge patch: Kubernetes' own patch language (DS-I14, DS-I15, DS-I17).
//!
//! Maps merge and null removes, as in a merge patch; but a schema tells for each list whether a
//! patch replaces it or merges into it, and by which member the elements are matched. Directives
//! inside the patch steer further:
//!
//! | directive | where | meaning |
//! |---|---|---|
//! | `$patch: replace` | map, or element of a merging list | take the patch instead of merging |
//! | `$patch: delete` | map, or element of a merging list | empty the map, remove the element |
//! | `$patch: merge` | map | merge, which is the default |
//! | `$retainKeys` | map | remove the members not named |
//! | `$setElementOrder/<list>` | beside a merging list | the order of the elements that the client knows |
//! | `$deleteFromPrimitiveList/<list>` | beside a merging list of scalars | remove these |
//!
//! None of them is ever stored. Reading order: [`schema`](MergeSchema), `apply`, `order`, then
//! `diff`, which makes patches: what `kubectl apply` sends is [`diff3`].

mod apply;
mod builtin;
mod diff;
mod order;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub use apply::apply;
pub use builtin::BuiltIn;
pub use diff::{create_two_way, diff3};

use super::{PatchError, go_print, go_print_list};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ELEMENT_ORDER: &str = "$setElementOrder";
const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList";

/// Whether a patch merges into a field or replaces it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Maps merge, lists are replaced.
    #[default]
    Default,
    /// Maps and lists merge.
    Merge,
    /// Maps and lists are replaced.
    Replace,
}

/// How one field is patched; `S` describes the field's value, or the elements if it is a list.
#[derive(Clone, Copy, Debug, Default)]
pub struct FieldMerge<S> {
    pub strategy: Strategy,
    /// The member by which elements of a merging list of maps are matched.
    pub merge_key: Option<&'static str>,
    /// Whether a differ must say which members remain (DS-I17).
    pub retain_keys: bool,
    pub schema: S,
}

/// What strategic merge must know of a type. Unknown fields have the default strategy.
pub trait MergeSchema: Copy {
    /// How the field `name` of this type is patched.
    fn lookup(&self, name: &str) -> FieldMerge<Self>;
}

/// The list that a directive such as `$setElementOrder/containers` is about.
fn directive_target<'k>(key: &'k str, directive: &str) -> Option<&'k str> {
    key.strip_prefix(directive)?.strip_prefix('/')
}

fn is_marked(value: &Value, directive: &str) -> bool {
    value.get(PATCH).is_some_and(|mark| mark == directive)
}

fn bad_order() -> PatchError {
    PatchError::malformed("invalid patch format of setElementOrder list")
}

fn bad_retain_keys() -> PatchError {
    PatchError::malformed("invalid patch format of retainKeys")
}

fn bad_primitive_list() -> PatchError {
    PatchError::malformed("invalid patch format of primitive list")
}

fn no_merge_key(item: &Value, merge_key: &str) -> PatchError {
    PatchError::not_understood(format!("map: {} does not contain declared merge key: {merge_key}", go_print(item)))
}
