//! Events of the agent, given to the recorder that aggregates and writes them.

use everynode_api::kinds;
use everynode_api::reconcile;
use everynode_runtime::Recorder;

use crate::ports::{Event, EventSink, PodRef, Regarding, Severity};

/// An [`EventSink`] on a recorder of crate `runtime`.
pub struct RecorderSink {
    recorder: Recorder,
    node_name: String,
}

impl RecorderSink {
    pub fn new(recorder: Recorder, node_name: String) -> Self {
        RecorderSink { recorder, node_name }
    }

    /// A node's events carry its name for a uid, as Kubernetes' agent writes them.
    fn regarding(&self, regarding: Regarding) -> reconcile::Regarding {
        match regarding {
            Regarding::Node => reconcile::Regarding {
                kind: kinds::NODE,
                namespace: String::new(),
                name: self.node_name.clone(),
                uid: self.node_name.clone(),
                field_path: String::new(),
            },
            Regarding::Pod(pod) => about_pod(pod, String::new()),
            Regarding::Container { pod, name, init } => {
                let list = if init { "initContainers" } else { "containers" };
                about_pod(pod, format!("spec.{list}{{{name}}}"))
            }
        }
    }
}

fn about_pod(pod: PodRef, field_path: String) -> reconcile::Regarding {
    let PodRef { namespace, name, uid } = pod;
    reconcile::Regarding { kind: kinds::POD, namespace, name, uid, field_path }
}

impl EventSink for RecorderSink {
    fn emit(&self, event: Event) {
        let Event { regarding, severity, reason, message } = event;
        let kind = match severity {
            Severity::Normal => reconcile::EventType::Normal,
            Severity::Warning => reconcile::EventType::Warning,
        };
        let regarding = self.regarding(regarding);
        let action = String::new();
        self.recorder.record(reconcile::Event { regarding, kind, reason: reason.to_owned(), action, message });
    }
}
