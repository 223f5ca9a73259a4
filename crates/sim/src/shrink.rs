//! From a scenario that fails to a small one that still does.

use std::path::Path;

use crate::scenario::Scenario;
use crate::world::run;

/// Leaves out steps, halves first, as long as the run still fails. Answers what is left, and which steps of the
/// whole those are.
pub fn shrink(scenario: &Scenario, pki: &Path) -> (Scenario, Vec<usize>) {
    let mut kept: Vec<usize> = (0..scenario.steps.len()).collect();
    let mut size = kept.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(start..(start + size).min(kept.len()));
            match run(&scenario.only(&fewer), pki).failure.is_some() {
                true => kept = fewer,
                false => start += size,
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    (scenario.only(&kept), kept)
}
