//! The pods of the view, in every order that is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::index::in_namespace;
use super::{Place, Pod, Sorted};
use crate::meta::{Key, Meta};

/// Pods, indexed by key, controller and target node. What a plan holds on to is a snapshot.
#[derive(Debug, Default)]
pub struct Pods {
    by_key: Sorted<Arc<Pod>>,
    by_owner: BTreeMap<Arc<str>, Owned>,
    /// What those own who own none.
    none: Sorted<Arc<Pod>, Place>,
    /// By a key that is the node's; each list in key order.
    by_node: Sorted<Arc<[Arc<Pod>]>>,
    orphans: BTreeMap<Key, Arc<Pod>>,
    unbound: BTreeMap<Key, Arc<Pod>>,
    terminal: BTreeMap<Key, Arc<Pod>>,
}

/// The pods of one controller, in the order of nodes.
#[derive(Debug, Default)]
struct Owned {
    pods: Sorted<Arc<Pod>, Place>,
    /// The one that came last, to share with the next.
    latest: Option<Arc<Pod>>,
}

impl Pods {
    pub fn get(&self, key: &Key) -> Option<&Arc<Pod>> {
        self.by_key.get(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.by_key.values()
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// All pods, to hold on to.
    pub fn snapshot(&self) -> Sorted<Arc<Pod>> {
        self.by_key.clone()
    }

    /// The pods of every node that one is bound or pinned to, to hold on to; the keys are those of
    /// nodes.
    pub fn nodes_snapshot(&self) -> Sorted<Arc<[Arc<Pod>]>> {
        self.by_node.clone()
    }

    /// Pods whose controller reference has this uid.
    pub fn owned_by(&self, uid: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.by_owner.get(uid).into_iter().flat_map(|owned| owned.pods.values())
    }

    /// The same, to hold on to.
    pub fn owned_snapshot(&self, uid: &str) -> Sorted<Arc<Pod>, Place> {
        self.by_owner.get(uid).map_or(&self.none, |owned| &owned.pods).clone()
    }

    /// Pods of a namespace without a controller reference.
    pub fn orphans_in(&self, namespace: &str) -> impl Iterator<Item = &Arc<Pod>> {
        in_namespace(&self.orphans, namespace)
    }

    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.named_like(namespace, "")
    }

    /// Pods of a namespace whose names begin with `prefix`.
    pub fn named_like(&self, namespace: &str, prefix: &str) -> impl Iterator<Item = &Arc<Pod>> {
        let (space, start) = (namespace.to_owned(), prefix.to_owned());
        let like = move |key: &Key| *key.namespace == *space && key.name.starts_with(&start);
        self.by_key.from(namespace, prefix).take_while(move |(key, _)| like(key)).map(|(_, pod)| pod)
    }

    /// Pods bound or pinned to this node (DS-B32).
    pub fn on_node(&self, node: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.by_node.find("", node).into_iter().flat_map(|pods| pods.iter())
    }

    /// Pods without a binding, whether they are pinned or not.
    pub fn unbound(&self) -> impl ExactSizeIterator<Item = &Arc<Pod>> {
        self.unbound.values()
    }

    /// Pods that have ended, in phase `Succeeded` or `Failed`.
    pub fn terminal(&self) -> impl ExactSizeIterator<Item = &Arc<Pod>> {
        self.terminal.values()
    }

    /// The node's key, if a pod is bound or pinned to it.
    pub(super) fn node_key(&self, node: &str) -> Option<&Key> {
        Some(self.by_node.find_entry("", node)?.0)
    }

    /// Names of all nodes that a pod is bound or pinned to, whether they exist or not.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.by_node.iter().map(|(key, _)| &*key.name)
    }

    /// A pod that has in memory once what its siblings have, too: the one that it replaces, and
    /// those of its controller that came last and that stand first and last.
    pub(super) fn share(&self, mut pod: Arc<Pod>, name: impl Fn(&str) -> Option<Arc<str>>) -> Arc<Pod> {
        let owned = pod.meta.controller().and_then(|owner| self.by_owner.get(owner.uid.as_ref()));
        let siblings =
            owned.into_iter().flat_map(|owned| [owned.latest.as_ref(), owned.pods.first(), owned.pods.last()]);
        let siblings = self.get(&pod.meta.key()).into_iter().chain(siblings.flatten());
        let siblings: Vec<Arc<Pod>> = siblings.cloned().collect();
        // Just parsed, so that it is not shared.
        if let Some(pod) = Arc::get_mut(&mut pod) {
            siblings.iter().for_each(|sibling| pod.share(sibling));
            if let Some(name) = name(&pod.spec.node_name) {
                pod.spec.node_name = name;
            }
        }
        pod
    }

    /// Adds or replaces; returns what was there.
    pub(super) fn insert(&mut self, key: &Key, pod: Arc<Pod>) -> Option<Arc<Pod>> {
        let old = self.by_key.insert(key.clone(), pod.clone());
        if let Some(old) = &old {
            self.unlist(key, old, Some(&pod));
        }
        let place = place(key, &pod);
        match pod.meta.controller() {
            Some(owner) => {
                let owned = match self.by_owner.get_mut(owner.uid.as_ref()) {
                    Some(owned) => owned,
                    None => self.by_owner.entry(owner.uid.as_ref().into()).or_default(),
                };
                owned.pods.insert(place.clone(), pod.clone());
                owned.latest = Some(pod.clone());
            }
            None => {
                self.orphans.insert(key.clone(), pod.clone());
            }
        }
        if pod.spec.node_name.is_empty() {
            self.unbound.insert(key.clone(), pod.clone());
        }
        if pod.is_terminal() {
            self.terminal.insert(key.clone(), pod.clone());
        }
        if !place.node.is_empty() {
            self.set_on_node(&place.node, &pod.meta, Some(pod.clone()));
        }
        old
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<Pod>> {
        let pod = self.by_key.remove(key)?;
        self.unlist(key, &pod, None);
        Some(pod)
    }

    /// Takes a pod out of every index where the one that replaces it will not stand.
    fn unlist(&mut self, key: &Key, old: &Pod, new: Option<&Pod>) {
        let owner = |pod: &Pod| pod.meta.controller().map(|owner| owner.uid.clone());
        let moves = new.is_none_or(|new| new.target_node() != old.target_node());
        let place = place(key, old);
        match owner(old) {
            None => drop(self.orphans.remove(key)),
            Some(uid) if moves || new.and_then(owner).as_ref() != Some(&uid) => self.disown(&uid, &place),
            Some(_) => {}
        }
        if old.spec.node_name.is_empty() {
            self.unbound.remove(key);
        }
        if old.is_terminal() {
            self.terminal.remove(key);
        }
        if moves && !place.node.is_empty() {
            self.set_on_node(&place.node, &old.meta, None);
        }
    }

    fn disown(&mut self, uid: &str, place: &Place) {
        if let Some(owned) = self.by_owner.get_mut(uid) {
            owned.pods.remove(place);
            if owned.pods.is_empty() {
                self.by_owner.remove(uid);
            }
        }
    }

    /// Sets what is on a node under a pod's name; `None`: nothing.
    fn set_on_node(&mut self, node: &Arc<str>, meta: &Meta, pod: Option<Arc<Pod>>) {
        let key = Key { namespace: Arc::default(), name: node.clone() };
        let others = self.by_node.get(&key);
        let order = |pod: &Arc<Pod>| (&*pod.meta.namespace, &*pod.meta.name).cmp(&(&*meta.namespace, &*meta.name));
        let (before, after): (Vec<_>, Vec<_>) = others
            .into_iter()
            .flat_map(|pods| pods.iter())
            .filter(|pod| order(pod).is_ne())
            .cloned()
            .partition(|pod| order(pod).is_lt());
        let pods: Arc<[Arc<Pod>]> = before.into_iter().chain(pod).chain(after).collect();
        match pods.is_empty() {
            true => drop(self.by_node.remove(&key)),
            false => drop(self.by_node.insert(key, pods)),
        }
    }
}

fn place(key: &Key, pod: &Pod) -> Place {
    let node = match pod.target_node() {
        Some(name) if *name == *pod.spec.node_name => pod.spec.node_name.clone(),
        other => other.unwrap_or_default().into(),
    };
    Place { node, pod: key.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::{Item, View};
    use super::*;
    use crate::kinds;

    fn pod(text: &str) -> Item {
        Item::parse(&kinds::POD, text.as_bytes()).unwrap()
    }

    #[test]
    fn pods_are_found_by_owner_node_and_namespace() {
        let mut view = View::default();
        let owned = r#"{"metadata":{"name":"a","namespace":"x","resourceVersion":"5",
            "ownerReferences":[{"uid":"u1","controller":true}]},"spec":{"nodeName":"n1"}}"#;
        view.upsert(&kinds::POD, pod(owned));
        view.upsert(&kinds::POD, pod(r#"{"metadata":{"name":"b","namespace":"x"}}"#));
        assert_eq!(view.pods().owned_by("u1").count(), 1);
        assert_eq!(view.pods().on_node("n1").count(), 1);
        assert_eq!(view.pods().orphans_in("x").count(), 1);
        assert_eq!(view.pods().in_namespace("w").count(), 0);
        assert_eq!(view.seen_revision(&kinds::POD), 5);
        let change = view.remove(&kinds::POD, &Key::new("x", "a"), 9).unwrap();
        assert!(
            change.new.is_none() && view.pods().owned_by("u1").count() == 0 && view.pods().on_node("n1").count() == 0
        );
        assert_eq!(view.seen_revision(&kinds::POD), 9);
    }

    fn owned(name: &str, node: &str, labels: &str) -> Item {
        pod(&format!(
            r#"{{"metadata":{{"name":"{name}","namespace":"x","labels":{labels},
            "ownerReferences":[{{"uid":"u","controller":true}}]}},"spec":{{"nodeName":"{node}"}}}}"#
        ))
    }

    #[test]
    fn the_pods_of_a_controller_are_in_the_order_of_nodes() {
        let mut view = View::default();
        for (name, node) in [("a", "n3"), ("b", ""), ("c", "n1"), ("d", "n2"), ("e", "n1")] {
            view.upsert(&kinds::POD, owned(name, node, "{}"));
        }
        let order = |view: &View| {
            let owned = view.pods().owned_snapshot("u");
            owned.iter().map(|(place, pod)| (place.node.to_string(), pod.meta.name.to_string())).collect::<Vec<_>>()
        };
        let named = |list: &[(&str, &str)]| {
            list.iter().map(|(node, name)| ((*node).to_owned(), (*name).to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(order(&view), named(&[("", "b"), ("n1", "c"), ("n1", "e"), ("n2", "d"), ("n3", "a")]));
        view.upsert(&kinds::POD, owned("b", "n2", "{}"));
        view.remove(&kinds::POD, &Key::new("x", "c"), 0);
        assert_eq!(order(&view), named(&[("n1", "e"), ("n2", "b"), ("n2", "d"), ("n3", "a")]));
    }

    #[test]
    fn what_is_the_same_is_in_memory_once() {
        let mut view = View::default();
        let node = |text: &str| Item::parse(&kinds::NODE, text.as_bytes()).unwrap();
        let node_name = |view: &View, pod: &str| view.pods().get(&Key::new("x", pod)).unwrap().spec.node_name.clone();
        // The pod first, then its node; the other way round; the node again, and anew.
        view.upsert(&kinds::POD, owned("a", "n1", r#"{"app":"web"}"#));
        for version in ["1", "2"] {
            let text = format!(r#"{{"metadata":{{"name":"n1","uid":"u{version}","resourceVersion":"{version}"}}}}"#);
            view.upsert(&kinds::NODE, node(&text));
            view.upsert(&kinds::POD, owned("b", "n1", r#"{"app":"web"}"#));
            let name = &view.node("n1").unwrap().meta.name;
            assert!(["a", "b"].iter().all(|pod| Arc::ptr_eq(&node_name(&view, pod), name)));
        }
        let labels = |pod: &str| view.pods().get(&Key::new("x", pod)).unwrap().meta.labels.clone();
        assert!(labels("a").is_shared_with(&labels("b")) && labels("a").get("app") == Some("web"));
        view.upsert(&kinds::POD, owned("b", "n1", r#"{"app":"other"}"#));
        let labels = |pod: &str| view.pods().get(&Key::new("x", pod)).unwrap().meta.labels.clone();
        assert!(labels("a") != labels("b") && labels("b").get("app") == Some("other"));
    }
}
