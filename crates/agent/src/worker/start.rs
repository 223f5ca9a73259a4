//! Making and starting one container.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{Context, handlers};
use crate::container::{self, ContainerInputs};
use crate::cri::{Image, v1};
use crate::ports::{PodRef, Severity};
use crate::sync::{Outcome, Seen};

/// A waiting reason (DS-H04) and its message.
type Failure = (&'static str, String);

/// From an image that is present to a container that runs. The postStart hook is another action.
pub(super) async fn start(
    context: &Context,
    seen: &Seen,
    container: &Container,
    sandbox_id: &str,
    attempt: u32,
    image: &str,
) -> Outcome {
    let (pod, name) = (&seen.pod, container.name.clone());
    let created = create(context, seen, container, sandbox_id, attempt, image).await;
    let id = match created {
        Ok(id) => id,
        Err((reason, message)) => {
            context.emit_container(pod, &name, Severity::Warning, "Failed", format!("Error: {message}"));
            return Outcome::Started { container: name, seen: None, result: Err((reason, message)) };
        }
    };
    context.emit_container(pod, &name, Severity::Normal, "Created", "Container created".into());
    let result = context.runtime.start_container(&id).await.map_err(|error| ("RunContainerError", error.message));
    match &result {
        Ok(()) => context.emit_container(pod, &name, Severity::Normal, "Started", "Container started".into()),
        Err((_, message)) => {
            context.emit_container(pod, &name, Severity::Warning, "Failed", format!("Error: {message}"))
        }
    }
    context.host.link_log(&PodRef::of(pod), &name, attempt, &id);
    let found = context.look_at(&id).await.ok();
    let found = found.map(|found| crate::cri::Container { sandbox_id: sandbox_id.to_owned(), ..found });
    Outcome::Started { container: name, seen: found, result }
}

async fn create(
    context: &Context,
    seen: &Seen,
    container: &Container,
    sandbox_id: &str,
    attempt: u32,
    image: &str,
) -> Result<String, Failure> {
    let (config, sandbox) = configure(context, seen, container, attempt, image)
        .await
        .map_err(|message| ("CreateContainerConfigError", message))?;
    let created = context.runtime.create_container(sandbox_id, &config, &sandbox).await;
    created.map_err(|error| ("CreateContainerError", error.message))
}

/// Asks everyone for their part of the container's configuration.
async fn configure(
    context: &Context,
    seen: &Seen,
    container: &Container,
    attempt: u32,
    image: &str,
) -> Result<(v1::ContainerConfig, v1::PodSandboxConfig), String> {
    let pod: &Pod = &seen.pod;
    let ips: Vec<IpAddr> = seen.pod_ips();
    let found = context.runtime.image_status(image).await.map_err(|error| error.message)?;
    let found = found.unwrap_or_else(|| Image { id: image.to_owned(), ..Image::default() });
    let env = context.environment.resolve(pod, container, &ips).await.map_err(|error| error.message)?;
    let mut mounts = context.volumes.mounts(pod, container, &env).await.map_err(|error| error.message)?;
    let files = context.host.container_files(pod, container, attempt, &ips).map_err(|error| error.to_string())?;
    mounts.extend(files.mounts);
    let inputs = ContainerInputs {
        config: &context.config,
        pod,
        container,
        attempt,
        image_ref: image,
        image: &found,
        env: &env,
        mounts,
        message_file: &files.message_file,
        memory_capacity: context.host.memory_capacity(),
    };
    let config = container::container_config(inputs).map_err(|error| error.message)?;
    let sandbox_attempt = seen.observed.sandbox().map_or(0, |sandbox| sandbox.attempt);
    let sandbox = container::sandbox_config(&context.config, pod, sandbox_attempt, &context.host.resolv_conf());
    Ok((config, sandbox.map_err(|error| error.message)?))
}

/// Runs the postStart hook; its failure kills the container (DS-H19).
pub(super) async fn post_start(context: &Context, seen: &Seen, container: &Container, id: &str) -> Result<(), String> {
    let lifecycle = container.lifecycle.as_ref();
    let Some(handler) = lifecycle.and_then(|lifecycle| lifecycle.post_start.as_ref()) else { return Ok(()) };
    let result = handlers::run(context, seen, container, id, handler).await;
    if let Err(message) = &result {
        tracing::debug!(pod = %PodRef::of(&seen.pod), container = container.name, message, "a postStart hook failed");
        let told = "PostStartHook failed".to_owned();
        context.emit_container(&seen.pod, &container.name, Severity::Warning, "FailedPostStartHook", told);
        let message = "FailedPostStartHook".to_owned();
        context.emit_container(&seen.pod, &container.name, Severity::Normal, "Killing", message);
        let grace = std::time::Duration::from_secs(u64::try_from(seen.grace_seconds()).unwrap_or(30));
        if let Err(error) = context.runtime.stop_container(id, grace).await {
            tracing::warn!(%error, "cannot stop a container after its hook failed");
        }
    }
    result
}
