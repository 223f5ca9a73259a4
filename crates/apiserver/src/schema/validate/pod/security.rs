//! Security contexts of pods and containers, sysctls.

use std::collections::BTreeSet;

use everynode_api::field::{BadValue, FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::super::check::{
    Errors, flag, go_struct, int, list, local_path, number, optional_one_of, present, required, text, whole,
};

const SYSCTL_BYTES_MAX: usize = 253;
const SYSCTL_FORMAT: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/// `spec.securityContext`, and what of the spec depends on it.
pub(super) fn pod(errors: &mut Errors, spec: &Value, path: &Path) {
    let context = &spec["securityContext"];
    if flag(spec, "hostPID") && flag(spec, "shareProcessNamespace") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(&path.child("securityContext").child("shareProcessNamespace"), true, detail));
    }
    let path = path.child("securityContext");
    ids(errors, context, &path, &["fsGroup", "runAsUser", "runAsGroup"]);
    for (index, group) in list(context, "supplementalGroups").iter().enumerate() {
        let path = path.child("supplementalGroups").index(index);
        number(errors, &path, group.as_i64().unwrap_or(0), names::unix_id);
    }
    sysctls(errors, spec, context, &path.child("sysctls"));
    optional_one_of(errors, context, &path, "fsGroupChangePolicy", &["Always", "OnRootMismatch"]);
    optional_one_of(errors, context, &path, "supplementalGroupsPolicy", &["Merge", "Strict"]);
    profiles(errors, context, &path);
}

/// What a user namespace of the pod's own does not go with.
pub(super) fn host_users(errors: &mut Errors, spec: &Value, path: &Path) {
    if spec.get("hostUsers") != Some(&Value::Bool(false)) {
        return;
    }
    for name in ["hostPID", "hostIPC", "hostNetwork"] {
        if flag(spec, name) {
            errors.push(FieldError::forbidden(&path.child(name), "when `hostUsers` is false"));
        }
    }
}

/// `securityContext` of a container.
pub(super) fn container(errors: &mut Errors, spec: &Value, context: &Value, path: &Path) {
    ids(errors, context, path, &["runAsUser", "runAsGroup"]);
    profiles(errors, context, path);
    escalation(errors, context, path);
    optional_one_of(errors, context, path, "procMount", &["Default", "Unmasked"]);
    if text(context, "procMount") == "Unmasked" && spec.get("hostUsers") != Some(&Value::Bool(false)) {
        let detail = "`hostUsers` must be false to use `Unmasked`";
        errors.push(FieldError::invalid(&path.child("procMount"), "Unmasked", detail));
    }
}

fn ids(errors: &mut Errors, context: &Value, path: &Path, fields: &[&'static str]) {
    for name in fields {
        if let Some(id) = int(context, name) {
            number(errors, &path.child(*name), id, names::unix_id);
        }
    }
}

fn escalation(errors: &mut Errors, context: &Value, path: &Path) {
    if context.get("allowPrivilegeEscalation") != Some(&Value::Bool(false)) {
        return;
    }
    if flag(context, "privileged") {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        errors.push(FieldError::invalid(path, shown(context), detail));
    }
    if list(&context["capabilities"], "add").iter().any(|capability| *capability == "CAP_SYS_ADMIN") {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        errors.push(FieldError::invalid(path, shown(context), detail));
    }
}

/// A container's security context as Kubernetes prints it.
fn shown(context: &Value) -> BadValue {
    let capabilities = present(context, "capabilities")
        .map_or(Value::Null.to_string(), |held| format!(r#"{{"Add":{},"Drop":{}}}"#, held["add"], held["drop"]));
    let members = [
        ("Privileged", "privileged"),
        ("SELinuxOptions", "seLinuxOptions"),
        ("WindowsOptions", "windowsOptions"),
        ("RunAsUser", "runAsUser"),
        ("RunAsGroup", "runAsGroup"),
        ("RunAsNonRoot", "runAsNonRoot"),
        ("ReadOnlyRootFilesystem", "readOnlyRootFilesystem"),
        ("AllowPrivilegeEscalation", "allowPrivilegeEscalation"),
        ("ProcMount", "procMount"),
        ("SeccompProfile", "seccompProfile"),
        ("AppArmorProfile", "appArmorProfile"),
    ];
    let members = members.map(|(name, member)| format!(",\"{name}\":{}", context[member]));
    BadValue::Raw(format!("{{\"Capabilities\":{capabilities}{}}}", members.concat()))
}

fn profiles(errors: &mut Errors, context: &Value, path: &Path) {
    for (name, words) in [("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")] {
        if let Some(profile) = present(context, name) {
            self::profile(errors, profile, name, words, &path.child(name));
        }
    }
}

fn profile(errors: &mut Errors, profile: &Value, name: &str, what: &str, path: &Path) {
    let local = present(profile, "localhostProfile");
    let at = path.child("localhostProfile");
    match (text(profile, "type"), local) {
        ("Localhost", None) => {
            errors.push(FieldError::required(&at, format!("must be set when {what} type is Localhost")));
        }
        ("Localhost", Some(_)) => local_path(errors, profile, path, "localhostProfile"),
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("RuntimeDefault" | "Unconfined", Some(local)) => {
            let detail = format!("can only be set when {what} type is Localhost");
            let shown = [("Type", &profile["type"]), ("LocalhostProfile", local)];
            let shown = if name == "seccompProfile" { go_struct(&shown) } else { whole(local) };
            errors.push(FieldError::invalid(&at, shown, detail));
        }
        ("", _) => {
            let detail = format!("type is required when {name} is set");
            errors.push(FieldError::required(&path.child("type"), detail));
        }
        (other, _) => {
            let words = ["Localhost", "RuntimeDefault", "Unconfined"];
            errors.push(FieldError::not_supported(&path.child("type"), other, &words));
        }
    }
}

fn sysctls(errors: &mut Errors, spec: &Value, context: &Value, path: &Path) {
    let mut seen = BTreeSet::new();
    for (index, sysctl) in list(context, "sysctls").iter().enumerate() {
        let path = path.index(index);
        let name = text(sysctl, "name");
        if required(errors, sysctl, &path, "name") && !is_sysctl_name(name) {
            let detail = format!("must have at most {SYSCTL_BYTES_MAX} characters and match regex {SYSCTL_FORMAT}");
            errors.push(FieldError::invalid(&path.child("name"), name, detail));
        } else if !seen.insert(name.replace('/', ".")) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        let host = match () {
            () if flag(spec, "hostNetwork") && name.replace('/', ".").starts_with("net.") => "hostNetwork",
            () if flag(spec, "hostIPC") && is_ipc_sysctl(&name.replace('/', ".")) => "hostIPC",
            () => continue,
        };
        let detail = format!("may not be specified when '{host}' is true");
        errors.push(FieldError::invalid(&path.child("name"), name, detail));
    }
}

fn is_ipc_sysctl(name: &str) -> bool {
    name.starts_with("kernel.shm")
        || name.starts_with("kernel.msg")
        || name == "kernel.sem"
        || name.starts_with("fs.mqueue.")
}

fn is_sysctl_name(name: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inner = |c: char| edge(c) || matches!(c, '-' | '_');
    let segment = |part: &str| part.starts_with(edge) && part.ends_with(edge) && part.chars().all(inner);
    name.len() <= SYSCTL_BYTES_MAX && name.split(['.', '/']).all(segment)
}
