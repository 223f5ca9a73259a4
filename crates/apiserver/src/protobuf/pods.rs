//! Pods in protobuf: what `kubectl debug node/…` and small typed clients send. What is missing here (probes, affinity and
//! other large parts) is refused by number and not dropped; such clients are told to send JSON.

use super::messages::Kind::{Flag, Inline, List, Map, Message, Number, Optional, Quantity, Text};
use super::messages::{Field, Kind, METADATA, STATUS_AT_3, field};

const TEXTS: Kind = List(&Text);

pub(super) const POD: &[Field] = &[METADATA, field(2, "spec", Message(POD_SPEC)), STATUS_AT_3];
const POD_SPEC: &[Field] = &[
    field(1, "volumes", List(&Message(VOLUME))),
    field(2, "containers", List(&Message(CONTAINER))),
    field(3, "restartPolicy", Text),
    field(4, "terminationGracePeriodSeconds", Optional(&Number)),
    field(5, "activeDeadlineSeconds", Optional(&Number)),
    field(6, "dnsPolicy", Text),
    field(7, "nodeSelector", Map(&Text)),
    field(8, "serviceAccountName", Text),
    field(9, "serviceAccount", Text),
    field(10, "nodeName", Text),
    field(11, "hostNetwork", Flag),
    field(12, "hostPID", Flag),
    field(13, "hostIPC", Flag),
    field(14, "securityContext", Message(&[])),
    field(15, "imagePullSecrets", List(&Message(&[field(1, "name", Text)]))),
    field(16, "hostname", Text),
    field(17, "subdomain", Text),
    field(19, "schedulerName", Text),
    field(20, "initContainers", List(&Message(CONTAINER))),
    field(21, "automountServiceAccountToken", Optional(&Flag)),
    field(22, "tolerations", List(&Message(TOLERATION))),
    field(24, "priorityClassName", Text),
    field(25, "priority", Optional(&Number)),
    field(27, "shareProcessNamespace", Optional(&Flag)),
    field(29, "runtimeClassName", Text),
    field(30, "enableServiceLinks", Optional(&Flag)),
    field(31, "preemptionPolicy", Text),
];
const TOLERATION: &[Field] = &[
    field(1, "key", Text),
    field(2, "operator", Text),
    field(3, "value", Text),
    field(4, "effect", Text),
    field(5, "tolerationSeconds", Optional(&Number)),
];
const VOLUME: &[Field] = &[field(1, "name", Text), field(2, "", Inline(VOLUME_SOURCE))];
const VOLUME_SOURCE: &[Field] = &[
    field(1, "hostPath", Message(&[field(1, "path", Text), field(2, "type", Text)])),
    field(2, "emptyDir", Message(&[field(1, "medium", Text)])),
];
const CONTAINER: &[Field] = &[
    field(1, "name", Text),
    field(2, "image", Text),
    field(3, "command", TEXTS),
    field(4, "args", TEXTS),
    field(5, "workingDir", Text),
    field(6, "ports", List(&Message(CONTAINER_PORT))),
    field(7, "env", List(&Message(&[field(1, "name", Text), field(2, "value", Text)]))),
    field(8, "resources", Message(&[field(1, "limits", Map(&Quantity)), field(2, "requests", Map(&Quantity))])),
    field(9, "volumeMounts", List(&Message(VOLUME_MOUNT))),
    field(13, "terminationMessagePath", Text),
    field(14, "imagePullPolicy", Text),
    field(15, "securityContext", Message(SECURITY_CONTEXT)),
    field(16, "stdin", Flag),
    field(17, "stdinOnce", Flag),
    field(18, "tty", Flag),
    field(20, "terminationMessagePolicy", Text),
];
const CONTAINER_PORT: &[Field] = &[
    field(1, "name", Text),
    field(2, "hostPort", Number),
    field(3, "containerPort", Number),
    field(4, "protocol", Text),
    field(5, "hostIP", Text),
];
const VOLUME_MOUNT: &[Field] = &[
    field(1, "name", Text),
    field(2, "readOnly", Flag),
    field(3, "mountPath", Text),
    field(4, "subPath", Text),
    field(5, "mountPropagation", Text),
    field(6, "subPathExpr", Text),
];
const SECURITY_CONTEXT: &[Field] = &[
    field(1, "capabilities", Message(&[field(1, "add", TEXTS), field(2, "drop", TEXTS)])),
    field(2, "privileged", Optional(&Flag)),
    field(4, "runAsUser", Optional(&Number)),
    field(5, "runAsNonRoot", Optional(&Flag)),
    field(6, "readOnlyRootFilesystem", Optional(&Flag)),
    field(7, "allowPrivilegeEscalation", Optional(&Flag)),
    field(8, "runAsGroup", Optional(&Number)),
    field(11, "seccompProfile", Message(&[field(1, "type", Text), field(2, "localhostProfile", Text)])),
];
