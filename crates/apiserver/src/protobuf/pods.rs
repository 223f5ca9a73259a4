//! Pods in protobuf: what `kubectl debug` and small typed clients send. What is missing here
//! (affinity, volumes of cloud providers) is refused by number and not dropped; such clients are
//! told to send JSON.

use super::messages::Kind::{Flag, Inline, List, Map, Message, Number, NumberOrText, Optional, Quantity, Text};
use super::messages::{Field, Kind, LABEL_SELECTOR, METADATA, STATUS_AT_3, field};

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
    field(14, "securityContext", Message(POD_SECURITY_CONTEXT)),
    field(15, "imagePullSecrets", List(&Message(&[field(1, "name", Text)]))),
    field(16, "hostname", Text),
    field(17, "subdomain", Text),
    field(19, "schedulerName", Text),
    field(20, "initContainers", List(&Message(CONTAINER))),
    field(21, "automountServiceAccountToken", Optional(&Flag)),
    field(22, "tolerations", List(&Message(TOLERATION))),
    field(23, "hostAliases", List(&Message(&[field(1, "ip", Text), field(2, "hostnames", TEXTS)]))),
    field(24, "priorityClassName", Text),
    field(25, "priority", Optional(&Number)),
    field(26, "dnsConfig", Message(DNS_CONFIG)),
    field(27, "shareProcessNamespace", Optional(&Flag)),
    field(28, "readinessGates", List(&Message(&[field(1, "conditionType", Text)]))),
    field(29, "runtimeClassName", Text),
    field(30, "enableServiceLinks", Optional(&Flag)),
    field(31, "preemptionPolicy", Text),
    field(32, "overhead", Map(&Quantity)),
    field(33, "topologySpreadConstraints", List(&Message(SPREAD))),
    field(35, "setHostnameAsFQDN", Optional(&Flag)),
    field(36, "os", Message(&[field(1, "name", Text)])),
    field(37, "hostUsers", Optional(&Flag)),
    field(38, "schedulingGates", List(&Message(&[field(1, "name", Text)]))),
];
const POD_SECURITY_CONTEXT: &[Field] = &[
    field(1, "seLinuxOptions", Message(SE_LINUX)),
    field(2, "runAsUser", Optional(&Number)),
    field(3, "runAsNonRoot", Optional(&Flag)),
    field(4, "supplementalGroups", List(&Number)),
    field(5, "fsGroup", Optional(&Number)),
    field(6, "runAsGroup", Optional(&Number)),
    field(7, "sysctls", List(&Message(&[field(1, "name", Text), field(2, "value", Text)]))),
    field(9, "fsGroupChangePolicy", Text),
    field(10, "seccompProfile", Message(PROFILE)),
    field(11, "appArmorProfile", Message(PROFILE)),
    field(12, "supplementalGroupsPolicy", Text),
];
const SE_LINUX: &[Field] =
    &[field(1, "user", Text), field(2, "role", Text), field(3, "type", Text), field(4, "level", Text)];
const PROFILE: &[Field] = &[field(1, "type", Text), field(2, "localhostProfile", Text)];
const DNS_CONFIG: &[Field] = &[
    field(1, "nameservers", TEXTS),
    field(2, "searches", TEXTS),
    field(3, "options", List(&Message(&[field(1, "name", Text), field(2, "value", Optional(&Text))]))),
];
const SPREAD: &[Field] = &[
    field(1, "maxSkew", Number),
    field(2, "topologyKey", Text),
    field(3, "whenUnsatisfiable", Text),
    field(4, "labelSelector", Message(LABEL_SELECTOR)),
    field(5, "minDomains", Optional(&Number)),
    field(6, "nodeAffinityPolicy", Text),
    field(7, "nodeTaintsPolicy", Text),
    field(8, "matchLabelKeys", TEXTS),
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
    field(2, "emptyDir", Message(&[field(1, "medium", Text), field(2, "sizeLimit", Quantity)])),
    field(6, "secret", Message(SECRET_VOLUME)),
    field(10, "persistentVolumeClaim", Message(&[field(1, "claimName", Text), field(2, "readOnly", Flag)])),
    field(16, "downwardAPI", Message(&[field(1, "items", DOWNWARD_FILES), field(2, "defaultMode", Optional(&Number))])),
    field(19, "configMap", Message(CONFIG_MAP_VOLUME)),
    // The server itself adds one with the account's token to every pod.
    field(26, "projected", Message(PROJECTED)),
];
const ITEMS: Kind =
    List(&Message(&[field(1, "key", Text), field(2, "path", Text), field(3, "mode", Optional(&Number))]));
const DOWNWARD_FILES: Kind = List(&Message(&[
    field(1, "path", Text),
    field(2, "fieldRef", Message(FIELD_REF)),
    field(3, "resourceFieldRef", Message(RESOURCE_REF)),
    field(4, "mode", Optional(&Number)),
]));
const FIELD_REF: &[Field] = &[field(1, "apiVersion", Text), field(2, "fieldPath", Text)];
const RESOURCE_REF: &[Field] =
    &[field(1, "containerName", Text), field(2, "resource", Text), field(3, "divisor", Quantity)];
const SECRET_VOLUME: &[Field] = &[
    field(1, "secretName", Text),
    field(2, "items", ITEMS),
    field(3, "defaultMode", Optional(&Number)),
    field(4, "optional", Optional(&Flag)),
];
const NAME: &[Field] = &[field(1, "name", Text)];
const CONFIG_MAP_VOLUME: &[Field] = &[
    field(1, "", Inline(NAME)),
    field(2, "items", ITEMS),
    field(3, "defaultMode", Optional(&Number)),
    field(4, "optional", Optional(&Flag)),
];
const PROJECTED: &[Field] =
    &[field(1, "sources", List(&Message(PROJECTION))), field(2, "defaultMode", Optional(&Number))];
const PROJECTION: &[Field] = &[
    field(1, "secret", Message(NAMED_PROJECTION)),
    field(2, "downwardAPI", Message(&[field(1, "items", DOWNWARD_FILES)])),
    field(3, "configMap", Message(NAMED_PROJECTION)),
    field(4, "serviceAccountToken", Message(TOKEN_PROJECTION)),
];
const NAMED_PROJECTION: &[Field] =
    &[field(1, "", Inline(NAME)), field(2, "items", ITEMS), field(4, "optional", Optional(&Flag))];
const TOKEN_PROJECTION: &[Field] =
    &[field(1, "audience", Text), field(2, "expirationSeconds", Optional(&Number)), field(3, "path", Text)];
const ENV_VAR: &[Field] =
    &[field(1, "name", Text), field(2, "value", Text), field(3, "valueFrom", Message(ENV_VAR_SOURCE))];
const ENV_VAR_SOURCE: &[Field] = &[
    field(1, "fieldRef", Message(FIELD_REF)),
    field(2, "resourceFieldRef", Message(RESOURCE_REF)),
    field(3, "configMapKeyRef", Message(KEY_REF)),
    field(4, "secretKeyRef", Message(KEY_REF)),
];
const KEY_REF: &[Field] = &[field(1, "", Inline(NAME)), field(2, "key", Text), field(3, "optional", Optional(&Flag))];
const ENV_FROM: &[Field] = &[
    field(1, "prefix", Text),
    field(2, "configMapRef", Message(ENV_FROM_REF)),
    field(3, "secretRef", Message(ENV_FROM_REF)),
];
const ENV_FROM_REF: &[Field] = &[field(1, "", Inline(NAME)), field(2, "optional", Optional(&Flag))];
const EXEC: Field = field(1, "exec", Message(&[field(1, "command", TEXTS)]));
const HTTP_GET: Field = field(
    2,
    "httpGet",
    Message(&[
        field(1, "path", Text),
        field(2, "port", Optional(&NumberOrText)),
        field(3, "host", Text),
        field(4, "scheme", Text),
        field(5, "httpHeaders", List(&Message(&[field(1, "name", Text), field(2, "value", Text)]))),
    ]),
);
const TCP_SOCKET: Field =
    field(3, "tcpSocket", Message(&[field(1, "port", Optional(&NumberOrText)), field(2, "host", Text)]));
const GRPC: Field = field(4, "grpc", Message(&[field(1, "port", Number), field(2, "service", Optional(&Text))]));
const SLEEP: Field = field(4, "sleep", Message(&[field(1, "seconds", Optional(&Number))]));
const PROBE: &[Field] = &[
    field(1, "", Inline(&[EXEC, HTTP_GET, TCP_SOCKET, GRPC])),
    field(2, "initialDelaySeconds", Number),
    field(3, "timeoutSeconds", Number),
    field(4, "periodSeconds", Number),
    field(5, "successThreshold", Number),
    field(6, "failureThreshold", Number),
    field(7, "terminationGracePeriodSeconds", Optional(&Number)),
];
const HOOK: &[Field] = &[EXEC, HTTP_GET, TCP_SOCKET, SLEEP];
const LIFECYCLE: &[Field] =
    &[field(1, "postStart", Message(HOOK)), field(2, "preStop", Message(HOOK)), field(3, "stopSignal", Text)];
const CONTAINER: &[Field] = &[
    field(1, "name", Text),
    field(2, "image", Text),
    field(3, "command", TEXTS),
    field(4, "args", TEXTS),
    field(5, "workingDir", Text),
    field(6, "ports", List(&Message(CONTAINER_PORT))),
    field(7, "env", List(&Message(ENV_VAR))),
    field(8, "resources", Message(&[field(1, "limits", Map(&Quantity)), field(2, "requests", Map(&Quantity))])),
    field(9, "volumeMounts", List(&Message(VOLUME_MOUNT))),
    field(10, "livenessProbe", Message(PROBE)),
    field(11, "readinessProbe", Message(PROBE)),
    field(12, "lifecycle", Message(LIFECYCLE)),
    field(13, "terminationMessagePath", Text),
    field(14, "imagePullPolicy", Text),
    field(15, "securityContext", Message(SECURITY_CONTEXT)),
    field(16, "stdin", Flag),
    field(17, "stdinOnce", Flag),
    field(18, "tty", Flag),
    field(19, "envFrom", List(&Message(ENV_FROM))),
    field(20, "terminationMessagePolicy", Text),
    field(22, "startupProbe", Message(PROBE)),
    field(24, "restartPolicy", Text),
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
    field(7, "recursiveReadOnly", Text),
];
const SECURITY_CONTEXT: &[Field] = &[
    field(1, "capabilities", Message(&[field(1, "add", TEXTS), field(2, "drop", TEXTS)])),
    field(2, "privileged", Optional(&Flag)),
    field(3, "seLinuxOptions", Message(SE_LINUX)),
    field(4, "runAsUser", Optional(&Number)),
    field(5, "runAsNonRoot", Optional(&Flag)),
    field(6, "readOnlyRootFilesystem", Optional(&Flag)),
    field(7, "allowPrivilegeEscalation", Optional(&Flag)),
    field(8, "runAsGroup", Optional(&Number)),
    field(9, "procMount", Text),
    field(11, "seccompProfile", Message(PROFILE)),
    field(12, "appArmorProfile", Message(PROFILE)),
];
