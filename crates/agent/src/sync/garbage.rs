//! Dead containers and sandboxes: the last dead container of each name is kept for its log and for
//! `lastState` (DS-H51), everything older goes.

use std::collections::BTreeSet;

use super::action::Action;
use super::planner::Planner;
use super::seen::{age, is_alive};
use crate::cri::{Container, ContainerState};

impl Planner<'_> {
    /// Removes what nothing needs any more.
    pub(super) fn collect_garbage(&mut self) {
        let seen = self.seen;
        let names: BTreeSet<&str> = seen.observed.containers.iter().map(|found| found.name.as_str()).collect();
        for name in names {
            let mut all: Vec<&Container> = seen.observed.containers.iter().filter(|found| found.name == name).collect();
            all.sort_by(|a, b| age(b).cmp(&age(a)));
            let spare = if all.first().is_some_and(|newest| newest.state == ContainerState::Exited) { 1 } else { 2 };
            for found in all.into_iter().skip(spare).filter(|found| !is_alive(found)) {
                self.act(Action::RemoveContainer { container: name.to_owned(), id: found.id.clone() });
            }
        }
        self.collect_sandboxes();
    }

    /// An old sandbox goes when no container is left in it.
    fn collect_sandboxes(&mut self) {
        let seen = self.seen;
        let current = seen.observed.sandbox().map(|sandbox| sandbox.id.as_str());
        for sandbox in seen.observed.sandboxes.iter().filter(|sandbox| Some(sandbox.id.as_str()) != current) {
            let used = seen.observed.containers.iter().any(|found| found.sandbox_id == sandbox.id);
            if !used && self.memory.stopped.contains(&sandbox.id) {
                self.act(Action::RemoveSandbox { id: sandbox.id.clone() });
            }
        }
    }
}
