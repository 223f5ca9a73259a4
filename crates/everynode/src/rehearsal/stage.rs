//! Where plans are carried out for show: a copy of the cluster, its objects as JSON and the view of
//! them.

use std::collections::BTreeMap;

use anyhow::Context;
use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::patch::merge;
use everynode_api::patch::strategic::{self, BuiltIn};
use everynode_api::ports::{PatchType, Target};
use everynode_api::reconcile::Action;
use everynode_api::time::rfc3339;
use everynode_api::view::{Item, Pod, View};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Objects of the kinds that the DaemonSet controller looks at.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    objects: BTreeMap<(Kind, Key), Value>,
    view: View,
    made: u64,
}

impl Clone for Stage {
    fn clone(&self) -> Self {
        let mut twin = Stage { made: self.made, ..Stage::default() };
        for ((kind, _), object) in &self.objects {
            // Known to be readable: it was read before.
            let _ = twin.put(kind, object.clone());
        }
        twin
    }
}

impl Stage {
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// Adds or replaces an object.
    pub(crate) fn put(&mut self, kind: &Kind, object: Value) -> anyhow::Result<()> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let item = Item::parse(kind, object.to_string().as_bytes())
            .with_context(|| format!("{} {name} cannot be read", kind.kind))?;
        let key = item.meta().key();
        self.view.upsert(kind, item);
        // Whatever is an orphan here is one for good: no set was deleted behind our back.
        self.view.observe_revision(&kinds::DAEMON_SET, u64::MAX);
        self.objects.insert((kind.clone(), key), object);
        Ok(())
    }

    /// Carries out what a plan wants, as if nothing could go wrong.
    pub(crate) fn carry_out(&mut self, actions: &[Action], now: Timestamp) {
        for action in actions {
            match action {
                Action::Create { target, body, .. } => self.create(target, body.clone(), now),
                Action::Patch { target, patch, body, .. } => self.patch(target, *patch, body),
                Action::Delete { target, .. } => {
                    let key = Key::new(&target.namespace, &target.name);
                    self.objects.remove(&(target.kind.clone(), key.clone()));
                    self.view.remove(&target.kind, &key, 0);
                }
                Action::Emit(_) => {}
            }
        }
    }

    fn create(&mut self, target: &Target, mut body: Value, now: Timestamp) {
        self.made += 1;
        body["metadata"]["uid"] = format!("rehearsed-{}", self.made).into();
        body["metadata"]["creationTimestamp"] = rfc3339(now).into();
        if target.kind == kinds::POD {
            self.start(&mut body, now);
        }
        let _ = self.put(&target.kind, body);
    }

    /// The pod runs, and works, where its node's agent does.
    fn start(&self, pod: &mut Value, now: Timestamp) {
        let Ok(read) = serde_json::from_value::<Pod>(pod.clone()) else { return };
        let Some(node) = read.target_node() else { return };
        pod["spec"]["nodeName"] = node.into();
        if self.view.node(node).is_some_and(|node| node.is_ready()) {
            let ready = json!({ "type": "Ready", "status": "True", "lastTransitionTime": rfc3339(now) });
            pod["status"] = json!({ "phase": "Running", "startTime": rfc3339(now), "conditions": [ready] });
        }
    }

    fn patch(&mut self, target: &Target, patch: PatchType, body: &Value) {
        let key = Key::new(&target.namespace, &target.name);
        let Some(object) = self.objects.get(&(target.kind.clone(), key)).cloned() else { return };
        let patched = match patch {
            PatchType::Strategic => {
                let schema = BuiltIn::for_kind(&target.kind.group, &target.kind.kind);
                strategic::apply(object.clone(), body.clone(), schema).unwrap_or(object)
            }
            PatchType::Merge | PatchType::Json => merge::apply(object, body.clone()),
        };
        let _ = self.put(&target.kind, patched);
    }
}
