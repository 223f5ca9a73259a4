//! Fields that only Linux has, in a pod that says it is for Windows.

use everynode_api::field::{FieldError, Path};
use serde_json::Value;

use super::super::check::{Errors, flag, list, present};

const DETAIL: &str = "cannot be set for a windows pod";
/// Of a pod's security context, in the order that they are told in.
const OF_PODS: [&str; 9] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
];
/// Of a container's.
const OF_CONTAINERS: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

pub(super) fn fields(errors: &mut Errors, spec: &Value, path: &Path) {
    let mut refuse = |owner: &Value, path: &Path, name: &'static str| {
        if present(owner, name).is_some() {
            errors.push(FieldError::forbidden(&path.child(name), DETAIL));
        }
    };
    for name in ["hostUsers", "hostPID", "hostIPC"] {
        if name == "hostUsers" || flag(spec, name) {
            refuse(spec, path, name);
        }
    }
    for name in OF_PODS {
        refuse(&spec["securityContext"], &path.child("securityContext"), name);
    }
    if flag(spec, "shareProcessNamespace") {
        refuse(spec, path, "shareProcessNamespace");
    }
    for member in ["containers", "initContainers", "ephemeralContainers"] {
        for (index, container) in list(spec, member).iter().enumerate() {
            let path = path.child(member).index(index).child("securityContext");
            for name in OF_CONTAINERS {
                refuse(&container["securityContext"], &path, name);
            }
        }
    }
}
