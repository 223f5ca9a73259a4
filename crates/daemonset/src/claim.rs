//! Whose is this object: claim, adopt, release, ignore (docs/requirements.md, C). The same rules
//! serve pods and revisions.

use everynode_api::meta::Meta;
use everynode_api::selector::Selector;
use everynode_api::view::Pod;
use std::sync::Arc;

use crate::input::{DaemonSetInput, matches};

/// What an object is to a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Own,
    /// An orphan that matches (DS-C13): ours from this pass on.
    Adopt,
    /// As `Adopt`, but it may be an orphan because the set was just deleted: first be sure
    /// (DS-C14).
    Wait,
    /// Ours, and it no longer matches (DS-C11).
    Release,
    Ignore,
}

pub(crate) fn claim(meta: &Meta, selector: &Selector, seen: &DaemonSetInput) -> Claim {
    let set = &seen.set.meta;
    match (meta.controller(), matches(selector, meta)) {
        (Some(owner), _) if *owner.uid != *set.uid => Claim::Ignore, // DS-C12
        (Some(_), true) => Claim::Own,
        (Some(_), false) => Claim::Release,
        (None, false) => Claim::Ignore,
        (None, true) if meta.is_terminating() => Claim::Ignore,
        (None, true) if meta.resource_version > seen.sets_known_to => Claim::Wait,
        (None, true) => Claim::Adopt,
    }
}

/// The orphans that the set takes in, and by what it selects its pods.
pub(crate) struct Claims<'a> {
    selector: &'a Selector,
    pub adopt: Vec<&'a Arc<Pod>>,
    pub wait: Vec<&'a Arc<Pod>>,
}

impl<'a> Claims<'a> {
    pub fn new(seen: &'a DaemonSetInput, selector: &'a Selector) -> Self {
        let mut claims = Claims { selector, adopt: Vec::new(), wait: Vec::new() };
        for pod in &seen.orphans {
            match claim(&pod.meta, selector, seen) {
                Claim::Adopt => claims.adopt.push(pod),
                Claim::Wait => claims.wait.push(pod),
                Claim::Own | Claim::Release | Claim::Ignore => {}
            }
        }
        claims
    }

    /// Whether a pod that the set controls is one that it selects; one that it does not is released
    /// (DS-C11).
    pub fn selects(&self, pod: &Pod) -> bool {
        matches(self.selector, &pod.meta)
    }

    /// Pods that are ours from this pass on; nothing else is done to them in it.
    pub fn adopting(&self) -> impl Iterator<Item = &'a Arc<Pod>> {
        self.adopt.iter().chain(&self.wait).copied()
    }

    /// Every pod of the set, those that are being adopted included.
    pub fn pods(&self, seen: &'a DaemonSetInput) -> impl Iterator<Item = &'a Arc<Pod>> {
        seen.owned.values().filter(|pod| self.selects(pod)).chain(self.adopting())
    }
}
