//! Security contexts (DS-H46, DS-H47).

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, Pod, PodSecurityContext, PodSpec, SELinuxOptions, SeccompProfile, SecurityContext,
};

use crate::config::AgentConfig;
use crate::cri::{Image, v1};
use crate::ports::{ConfigError, PodRef};

/// Paths of `/proc` and `/sys` that tell about or control the whole machine.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Which of the host's namespaces are shared (DS-H46).
fn namespaces(spec: &PodSpec) -> v1::NamespaceOption {
    use v1::NamespaceMode::{Container, Node, Pod};
    let pid = match () {
        () if spec.host_pid == Some(true) => Node,
        () if spec.share_process_namespace == Some(true) => Pod,
        () => Container,
    };
    v1::NamespaceOption {
        network: if spec.host_network == Some(true) { Node } else { Pod } as i32,
        ipc: if spec.host_ipc == Some(true) { Node } else { Pod } as i32,
        pid: pid as i32,
        ..Default::default()
    }
}

/// The sandbox's own process.
pub(super) fn sandbox_security(spec: &PodSpec) -> v1::LinuxSandboxSecurityContext {
    let context = spec.security_context.clone().unwrap_or_default();
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let privileged = containers.filter_map(|container| container.security_context.as_ref()).any(is_privileged);
    v1::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(spec)),
        selinux_options: context.se_linux_options.as_ref().map(selinux),
        run_as_user: context.run_as_user.map(number),
        run_as_group: context.run_as_group.filter(|_| context.run_as_user.is_some()).map(number),
        supplemental_groups: groups(&context),
        supplemental_groups_policy: groups_policy(&context),
        privileged,
        seccomp: Some(profile(v1::security_profile::ProfileType::RuntimeDefault)),
        ..Default::default()
    }
}

/// One container: its own context over the pod's.
pub(super) fn container_security(
    pod: &Pod,
    container: &Container,
    image: &Image,
    config: &AgentConfig,
) -> Result<v1::LinuxContainerSecurityContext, ConfigError> {
    let spec = pod.spec.clone().unwrap_or_default();
    let outer = spec.security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    refuse_root(pod, container, &outer, &own, image)?;
    let (run_as_user, run_as_username) = user(&outer, &own, image);
    let unmasked = own.proc_mount.as_deref() == Some("Unmasked");
    let paths =
        |list: &[&str]| if unmasked { Vec::new() } else { list.iter().map(|path| (*path).to_owned()).collect() };
    let seccomp = own.seccomp_profile.as_ref().or(outer.seccomp_profile.as_ref());
    let apparmor = own.app_armor_profile.as_ref().or(outer.app_armor_profile.as_ref());
    Ok(v1::LinuxContainerSecurityContext {
        capabilities: own.capabilities.as_ref().map(|capabilities| v1::Capability {
            add_capabilities: capabilities.add.clone().unwrap_or_default(),
            drop_capabilities: capabilities.drop.clone().unwrap_or_default(),
            ..Default::default()
        }),
        privileged: is_privileged(&own),
        namespace_options: Some(namespaces(&spec)),
        selinux_options: own.se_linux_options.as_ref().or(outer.se_linux_options.as_ref()).map(selinux),
        run_as_user,
        run_as_group: own.run_as_group.or(outer.run_as_group).map(number),
        run_as_username,
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        supplemental_groups: groups(&outer),
        supplemental_groups_policy: groups_policy(&outer),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READ_ONLY),
        seccomp: Some(seccomp_profile(seccomp, is_privileged(&own), config)),
        apparmor: apparmor.map(apparmor_profile),
        ..Default::default()
    })
}

fn is_privileged(context: &SecurityContext) -> bool {
    context.privileged == Some(true)
}

fn number(value: i64) -> v1::Int64Value {
    v1::Int64Value { value }
}

/// The user to run as: asked for, or the image's, or root.
fn user(outer: &PodSecurityContext, own: &SecurityContext, image: &Image) -> (Option<v1::Int64Value>, String) {
    match (own.run_as_user.or(outer.run_as_user).or(image.uid), image.username.as_str()) {
        (Some(uid), _) => (Some(number(uid)), String::new()),
        (None, "") => (Some(number(0)), String::new()),
        (None, name) => (None, name.to_owned()),
    }
}

/// `runAsNonRoot` is a promise that must be known to hold.
fn refuse_root(
    pod: &Pod,
    container: &Container,
    outer: &PodSecurityContext,
    own: &SecurityContext,
    image: &Image,
) -> Result<(), ConfigError> {
    if own.run_as_non_root.or(outer.run_as_non_root) != Some(true) {
        return Ok(());
    }
    let (who, name) = (PodRef::of(pod), &container.name);
    let asked = own.run_as_user.or(outer.run_as_user);
    match (asked, image.uid, image.username.as_str()) {
        (Some(0), ..) => Err(ConfigError::new(format!(
            "container's runAsUser breaks non-root policy (pod: \"{who}\", container: {name})"
        ))),
        (Some(_), ..) => Ok(()),
        (None, Some(uid), _) if uid != 0 => Ok(()),
        (None, None, user) if !user.is_empty() => Err(ConfigError::new(format!(
            "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root (pod: \"{who}\", container: {name})"
        ))),
        _ => Err(ConfigError::new(format!(
            "container has runAsNonRoot and image will run as root (pod: \"{who}\", container: {name})"
        ))),
    }
}

/// Supplemental groups, with the group that owns the pod's volumes.
fn groups(context: &PodSecurityContext) -> Vec<i64> {
    context.supplemental_groups.iter().flatten().copied().chain(context.fs_group).collect()
}

fn groups_policy(context: &PodSecurityContext) -> i32 {
    match context.supplemental_groups_policy.as_deref() {
        Some("Strict") => v1::SupplementalGroupsPolicy::Strict as i32,
        _ => v1::SupplementalGroupsPolicy::Merge as i32,
    }
}

fn selinux(options: &SELinuxOptions) -> v1::SeLinuxOption {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    v1::SeLinuxOption {
        user: text(&options.user),
        role: text(&options.role),
        r#type: text(&options.type_),
        level: text(&options.level),
    }
}

fn profile(kind: v1::security_profile::ProfileType) -> v1::SecurityProfile {
    v1::SecurityProfile { profile_type: kind as i32, localhost_ref: String::new() }
}

/// Unconfined unless asked for; a local profile is a file below `ROOT/seccomp`.
fn seccomp_profile(asked: Option<&SeccompProfile>, privileged: bool, config: &AgentConfig) -> v1::SecurityProfile {
    use v1::security_profile::ProfileType;
    match asked {
        Some(asked) if !privileged && asked.type_ == "RuntimeDefault" => profile(ProfileType::RuntimeDefault),
        Some(asked) if !privileged && asked.type_ == "Localhost" => {
            let file = asked.localhost_profile.as_deref().unwrap_or_default();
            let path = config.dirs.root.join("seccomp").join(file);
            v1::SecurityProfile {
                profile_type: ProfileType::Localhost as i32,
                localhost_ref: path.display().to_string(),
            }
        }
        _ => profile(ProfileType::Unconfined),
    }
}

fn apparmor_profile(asked: &AppArmorProfile) -> v1::SecurityProfile {
    use v1::security_profile::ProfileType;
    match asked.type_.as_str() {
        "RuntimeDefault" => profile(ProfileType::RuntimeDefault),
        "Localhost" => v1::SecurityProfile {
            profile_type: ProfileType::Localhost as i32,
            localhost_ref: asked.localhost_profile.clone().unwrap_or_default(),
        },
        _ => profile(ProfileType::Unconfined),
    }
}
