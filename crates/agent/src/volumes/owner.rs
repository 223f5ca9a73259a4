//! Which user files in volumes belong to.

use k8s_openapi::api::core::v1::Pod;

/// The pod's fsGroup (DS-H36).
pub(super) fn fs_group(pod: &Pod) -> Option<u32> {
    let security = pod.spec.as_ref()?.security_context.as_ref()?;
    u32::try_from(security.fs_group?).ok()
}

/// The user that every container runs as, if the pod says so for all of them.
pub(super) fn common_user(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let of_pod = spec.security_context.as_ref().and_then(|security| security.run_as_user);
    let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let user_of = |own: Option<i64>| own.or(of_pod);
    let first = containers.next()?;
    let first = user_of(first.security_context.as_ref().and_then(|security| security.run_as_user))?;
    let same = containers.all(|container| {
        user_of(container.security_context.as_ref().and_then(|security| security.run_as_user)) == Some(first)
    });
    if same { u32::try_from(first).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(json: &str) -> Option<u32> {
        common_user(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn one_user_for_all_or_none() {
        assert_eq!(user(r#"{"spec":{"containers":[{"name":"a"}]}}"#), None);
        let pod = r#"{"spec":{"securityContext":{"runAsUser":7},"containers":[{"name":"a"}],"initContainers":[INIT]}}"#;
        assert_eq!(user(&pod.replace("INIT", r#"{"name":"i"}"#)), Some(7));
        assert_eq!(user(&pod.replace("INIT", r#"{"name":"i","securityContext":{"runAsUser":0}}"#)), None);
    }
}
