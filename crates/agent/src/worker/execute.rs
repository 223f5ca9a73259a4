//! Executing one action. Nothing is decided here; every failure becomes an outcome.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{Context, image, kill, start};
use crate::container;
use crate::cri::Sandbox;
use crate::ports::{PodRef, Severity, WriteError};
use crate::sync::{Action, Outcome, Seen};

/// Does one thing and answers what came of it.
pub(super) async fn execute(context: &Context, seen: &Seen, action: Action) -> Outcome {
    match action {
        Action::SetUp => Outcome::SetUp(set_up(context, seen).await),
        Action::CreateSandbox { attempt } => Outcome::SandboxCreated(create_sandbox(context, &seen.pod, attempt).await),
        Action::StopSandbox { id } => {
            let result = context.runtime.stop_sandbox(&id).await.map_err(|error| error.message);
            tell_of_failed_end(context, &seen.pod, &result);
            Outcome::SandboxStopped { id, result }
        }
        Action::RemoveSandbox { id } => {
            let result = context.runtime.remove_sandbox(&id).await.map_err(|error| error.message);
            Outcome::SandboxRemoved { id, result }
        }
        Action::EnsureImage { container } => {
            let result = match container_of(seen, &container) {
                Some(spec) => image::ensure(context, &seen.pod, spec).await,
                None => Err(no_such_container(&container)),
            };
            Outcome::Image { container, result }
        }
        Action::StartContainer { container, sandbox_id, attempt, image } => match container_of(seen, &container) {
            Some(spec) => start::start(context, seen, spec, &sandbox_id, attempt, &image).await,
            None => Outcome::Started { result: Err(no_such_container(&container)), container, seen: None },
        },
        Action::PostStart { container, id } => {
            let result = match container_of(seen, &container) {
                Some(spec) => start::post_start(context, seen, spec, &id).await,
                None => Ok(()),
            };
            Outcome::Hooked { container, id, result }
        }
        Action::Kill { container, id, grace_seconds, pre_stop, message } => {
            let order = kill::Order { container: &container, id: &id, grace_seconds, pre_stop, message: &message };
            let (seen, result) = kill::kill(context, seen, order).await;
            Outcome::Killed { container, seen, result }
        }
        Action::RemoveContainer { id, .. } => {
            let result = remove_container(context, seen, &id).await;
            Outcome::ContainerRemoved { id, result }
        }
        Action::TearDown => Outcome::TornDown(tear_down(context, &seen.pod).await),
        Action::Delete => Outcome::Deleted(delete(context, &seen.pod).await),
        Action::Abort(_) | Action::Probe { .. } | Action::StopProbes { .. } | Action::Terminating | Action::Emit(_) => {
            unreachable!("done at once by the worker")
        }
    }
}

/// A network that cannot be taken down keeps a pod from ending, and only its user can mend that.
/// The slot's back-off bounds how often it is said.
fn tell_of_failed_end(context: &Context, pod: &Pod, result: &Result<(), String>) {
    let Err(error) = result else { return };
    let PodRef { uid, .. } = PodRef::of(pod);
    let step = "KillPodSandbox";
    let message = format!("error killing pod: failed to \"{step}\" for \"{uid}\" with {step}Error: {error:?}");
    context.emit_pod(pod, Severity::Warning, "FailedKillPod", message);
}

fn container_of<'a>(seen: &'a Seen, name: &str) -> Option<&'a Container> {
    crate::sync::container_named(seen.spec(), name).map(|(container, _)| container)
}

fn no_such_container(name: &str) -> (&'static str, String) {
    ("CreateContainerError", format!("the pod has no container {name:?}"))
}

async fn set_up(context: &Context, seen: &Seen) -> Result<(), String> {
    let prepared = context.host.prepare_pod(&seen.pod);
    let result = match prepared {
        Ok(()) => context.volumes.set_up(&seen.pod).await.map_err(|error| error.message),
        Err(error) => Err(format!("cannot prepare the pod's directories and cgroup: {error}")),
    };
    if let Err(message) = &result {
        context.emit_pod(&seen.pod, Severity::Warning, "FailedMount", message.clone());
    }
    result
}

async fn create_sandbox(context: &Context, pod: &Pod, attempt: u32) -> Result<Sandbox, String> {
    let refused = pod.spec.as_ref().and_then(container::unsupported);
    if pod.spec.as_ref().is_some_and(|spec| container::misses_cluster_dns(&context.config.dns, spec)) {
        tell_missing_dns(context, pod);
    }
    let config = container::sandbox_config(&context.config, pod, attempt, &context.host.resolv_conf());
    let created = async {
        let config = refused.map_or(config.map_err(|error| error.message), Err)?;
        let id = context.runtime.run_sandbox(&config).await.map_err(|error| error.message)?;
        context.runtime.sandbox_status(&id).await.map_err(|error| error.message)
    };
    created.await.inspect_err(|message| {
        let told = format!("Failed to create pod sandbox: {message}");
        context.emit_pod(pod, Severity::Warning, "FailedCreatePodSandBox", told);
    })
}

/// The pod resolves names as its node does.
fn tell_missing_dns(context: &Context, pod: &Pod) {
    let message = format!(
        "pod: \"{}\". kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" \
         policy. Falling back to \"Default\" policy.",
        PodRef::of(pod)
    );
    context.emit_pod(pod, Severity::Warning, "MissingClusterDNS", message);
}

async fn remove_container(context: &Context, seen: &Seen, id: &str) -> Result<(), String> {
    context.runtime.remove_container(id).await.map_err(|error| error.message)?;
    if let Some(found) = seen.observed.container(id) {
        context.host.remove_log(found);
    }
    Ok(())
}

async fn tear_down(context: &Context, pod: &Pod) -> Result<(), String> {
    let reference = PodRef::of(pod);
    context.volumes.tear_down(&reference.uid).await.map_err(|error| error.message)?;
    context.host.remove_pod(&reference).map_err(|error| {
        tracing::debug!(pod = %reference, %error, "cannot remove the pod's cgroup and directories yet");
        error.to_string()
    })
}

/// A pod that is gone already is as good as deleted.
async fn delete(context: &Context, pod: &Pod) -> Result<(), String> {
    match context.writer.delete(&PodRef::of(pod)).await {
        Ok(()) | Err(WriteError::Gone) => Ok(()),
        Err(WriteError::Retry(error)) => Err(error),
    }
}
