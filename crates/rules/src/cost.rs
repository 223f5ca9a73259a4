//! What evaluation may cost, in steps: reading a member is one, and so is a call; whatever walks
//! through texts costs a tenth of a step a byte.

/// What one rule may cost at the worst, counted over all places where it is checked.
pub const COST_MAX_ONE: u64 = 10_000_000;
/// What all rules of a schema may cost together.
pub const COST_MAX_SCHEMA: u64 = 100_000_000;

/// What one evaluation of one expression may do.
const CALL_MAX: u64 = 1_000_000;
/// What all evaluations for one object may do together.
const OBJECT_MAX: u64 = 10_000_000;

/// What is left for the expressions of one object.
#[derive(Debug)]
pub struct Budget {
    pub(crate) left: u64,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { left: OBJECT_MAX }
    }
}

impl Budget {
    /// Whether nothing further may be evaluated.
    pub fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// What the next evaluation may do.
    pub(crate) fn for_one(&self) -> u64 {
        self.left.min(CALL_MAX)
    }
}

/// Walking through something of this size.
pub(crate) fn traverse(size: u64) -> u64 {
    size.div_ceil(10)
}

/// A quarter of the size of a pattern is what each character of a text can cost.
pub(crate) fn pattern(size: u64) -> u64 {
    size.div_ceil(4)
}

/// What is said of an estimate above its limit.
pub fn excess(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        above if above > 100.0 => "more than 100x".to_owned(),
        // One digit would say 1.0x of something that is too much.
        slightly if slightly < 1.5 => format!("{slightly:.6}x"),
        factor => format!("{factor:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, \
         and maxLength where arrays, maps, and strings are declared)"
    )
}
