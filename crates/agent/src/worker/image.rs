//! Making an image present, by its pull policy (DS-H11 to DS-H13).

use std::time::Instant;

use everynode_common::go_duration;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::Context;
use crate::ports::Severity;

/// Answers the reference to start the container with, or a waiting reason and message.
pub(super) async fn ensure(
    context: &Context,
    pod: &Pod,
    container: &Container,
) -> Result<String, (&'static str, String)> {
    let image = container.image.as_deref().unwrap_or_default();
    if !is_reference(image) {
        let message = format!("couldn't parse image name \"{image}\": invalid reference format");
        let told = format!("Failed to apply default image tag \"{image}\": {message}");
        context.emit_container(pod, &container.name, Severity::Warning, "InspectFailed", told.clone());
        context.emit_container(pod, &container.name, Severity::Warning, "Failed", "Error: InvalidImageName".into());
        return Err(("InvalidImageName", told));
    }
    let present = context.runtime.image_status(image).await.map_err(|error| {
        let told = format!("Failed to inspect image \"{image}\": {}", error.message);
        context.emit_container(pod, &container.name, Severity::Warning, "InspectFailed", told.clone());
        ("ImageInspectError", told)
    })?;
    match (policy(container), present) {
        ("Never", None) => {
            let message = format!("Container image \"{image}\" is not present with pull policy of Never");
            context.emit_container(pod, &container.name, Severity::Warning, "ErrImageNeverPull", message.clone());
            context.emit_container(
                pod,
                &container.name,
                Severity::Warning,
                "Failed",
                "Error: ErrImageNeverPull".into(),
            );
            Err(("ErrImageNeverPull", message))
        }
        ("Never" | "IfNotPresent", Some(found)) => {
            let message =
                format!("Container image \"{image}\" already present on machine and can be accessed by the pod");
            context.emit_container(pod, &container.name, Severity::Normal, "Pulled", message);
            Ok(found.id)
        }
        _ => pull(context, pod, container, image).await,
    }
}

/// The API server defaults it; a pod that came another way is treated the same (DS-H12).
fn policy(container: &Container) -> &str {
    let image = container.image.as_deref().unwrap_or_default();
    match container.image_pull_policy.as_deref() {
        Some(policy) => policy,
        None if image.contains('@') => "IfNotPresent",
        None => match image.rsplit('/').next().and_then(|last| last.split_once(':')) {
            None | Some((_, "latest")) => "Always",
            Some(_) => "IfNotPresent",
        },
    }
}

async fn pull(
    context: &Context,
    pod: &Pod,
    container: &Container,
    image: &str,
) -> Result<String, (&'static str, String)> {
    let name = &container.name;
    context.emit_container(pod, name, Severity::Normal, "Pulling", format!("Pulling image \"{image}\""));
    let asked = Instant::now();
    let permit = context.pulls.acquire().await;
    let begun = Instant::now();
    let result = pull_with_credentials(context, pod, image).await;
    drop(permit);
    match result {
        Ok(reference) => {
            let found = context.runtime.image_status(image).await.ok().flatten();
            let message = format!(
                "Successfully pulled image \"{image}\" in {} ({} including waiting). Image size: {} bytes.",
                go_duration::milliseconds(begun.elapsed()),
                go_duration::milliseconds(asked.elapsed()),
                found.as_ref().map_or(0, |found| found.bytes),
            );
            context.emit_container(pod, name, Severity::Normal, "Pulled", message);
            Ok(found.map_or(reference, |found| found.id))
        }
        Err(error) => {
            let message = format!("Failed to pull image \"{image}\": {error}");
            context.emit_container(pod, name, Severity::Warning, "Failed", message);
            context.emit_container(pod, name, Severity::Warning, "Failed", "Error: ErrImagePull".into());
            Err(("ErrImagePull", error))
        }
    }
}

/// With each login in turn; without one if there is none. The last failure counts.
async fn pull_with_credentials(context: &Context, pod: &Pod, image: &str) -> Result<String, String> {
    let credentials = context.secrets.credentials(pod, image).await;
    let mut attempts: Vec<_> = credentials.iter().map(Some).collect();
    if attempts.is_empty() {
        attempts.push(None);
    }
    let mut failure = String::new();
    for credential in attempts {
        match context.runtime.pull_image(image, credential).await {
            Ok(reference) => return Ok(reference),
            Err(error) => failure = error.message,
        }
    }
    Err(failure)
}

/// Whether this can be an image reference: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, the path in lower
/// case.
fn is_reference(image: &str) -> bool {
    let (named, digest) = image.split_once('@').map_or((image, None), |(named, digest)| (named, Some(digest)));
    let (path, tag) = match named.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (named, None),
    };
    let parts: Vec<&str> = path.split('/').collect();
    let has_host = parts.len() > 1 && (parts[0].contains(['.', ':']) || parts[0] == "localhost");
    let names = if has_host { &parts[1..] } else { &parts[..] };
    let is_name = |part: &&str| {
        let edges = part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric());
        edges && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
    };
    let is_tag = |tag: &str| {
        (1..=128).contains(&tag.len()) && tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let is_digest =
        |digest: &str| digest.split_once(':').is_some_and(|(kind, hex)| !kind.is_empty() && hex.len() >= 32);
    names.iter().all(is_name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        for good in [
            "busybox",
            "busybox:1.36",
            "localhost/everynode/testtool:1",
            "127.0.0.1:5055/prom/node-exporter:v1.7.0",
            "registry.k8s.io/pause@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ] {
            assert!(is_reference(good), "{good}");
        }
        for bad in ["", "Busybox", "a b", "a:", "a//b", "a@sha256", "-a", "a:b:c/", "UPPER/case"] {
            assert!(!is_reference(bad), "{bad}");
        }
    }

    /// DS-H12
    #[test]
    fn default_policies() {
        let policy_of = |image: &str| {
            let container = Container { image: Some(image.into()), ..Container::default() };
            policy(&container).to_owned()
        };
        assert_eq!(["a", "a:latest", "h:5000/a"].map(policy_of), ["Always", "Always", "Always"]);
        assert_eq!(
            ["a:1", "a@sha256:0", "h:5000/a:1"].map(policy_of),
            ["IfNotPresent", "IfNotPresent", "IfNotPresent"]
        );
    }
}
