//! An independent judge of plans. (Filled in next.)
use crate::{Options, Plan, Seen};
use everynode_api::reconcile::Violation;
/// Judges.
pub fn audit(_options: &Options, _seen: &Seen, _plan: &Plan) -> Vec<Violation> {
    Vec::new()
}
