//! Whose is this object: claim, adopt, release, ignore (behaviour.md C.2). The same rules serve pods and revisions.

use everynode_api::meta::Meta;
use everynode_api::selector::Selector;
use everynode_api::view::Pod;
use std::sync::Arc;

use crate::seen::{Seen, matches};

/// What an object is to a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Own,
    /// An orphan that matches (DS-C13): ours from this pass on.
    Adopt,
    /// As `Adopt`, but it may be an orphan because the set was just deleted: first be sure (DS-C14).
    Wait,
    /// Ours, and it no longer matches (DS-C11).
    Release,
    Ignore,
}

pub(crate) fn claim(meta: &Meta, selector: &Selector, seen: &Seen) -> Claim {
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

/// The pods of the set, and those that become or cease to be so.
#[derive(Default)]
pub(crate) struct Claims<'a> {
    /// Ours; the flag says that it is only being adopted, so nothing else is done to it in this pass.
    pub pods: Vec<(&'a Arc<Pod>, bool)>,
    pub adopt: Vec<&'a Arc<Pod>>,
    pub wait: Vec<&'a Arc<Pod>>,
    pub release: Vec<&'a Arc<Pod>>,
}

pub(crate) fn pods<'a>(seen: &'a Seen, selector: &Selector) -> Claims<'a> {
    let mut claims = Claims { pods: Vec::with_capacity(seen.pods.len()), ..Claims::default() };
    for pod in &seen.pods {
        match claim(&pod.meta, selector, seen) {
            Claim::Own => claims.pods.push((pod, false)),
            Claim::Adopt => {
                claims.pods.push((pod, true));
                claims.adopt.push(pod);
            }
            Claim::Wait => {
                claims.pods.push((pod, true));
                claims.wait.push(pod);
            }
            Claim::Release => claims.release.push(pod),
            Claim::Ignore => {}
        }
    }
    claims
}
