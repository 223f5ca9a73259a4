//! What the JSON schemas do not say: how Go writes a field, and how lists merge.
//!
//! Each table is a text of lines `Type field field …`; a type is the end of a definition's name
//! (`Container`, or `core.v1.Event` where that alone would be ambiguous). Sources: the field tags
//! that the Kubernetes API reference and its published OpenAPI documents show (DS-I15, DS-I16,
//! DS-I17).

/// Pointers to scalars: a zero value that was sent is kept.
pub const POINTERS: &str = "
ObjectMeta deletionGracePeriodSeconds
OwnerReference controller blockOwnerDeletion
ListMeta remainingItemCount
DeleteOptions gracePeriodSeconds orphanDependents propagationPolicy ignoreStoreReadErrorWithClusterBreakingPotential
Preconditions uid resourceVersion
AzureDiskVolumeSource cachingMode fsType readOnly kind
CSIVolumeSource readOnly fsType
FCVolumeSource lun
ISCSIVolumeSource initiatorName
ConfigMap immutable
Secret immutable
ConfigMapEnvSource optional
ConfigMapKeySelector optional
ConfigMapProjection optional
ConfigMapVolumeSource optional defaultMode
SecretEnvSource optional
SecretKeySelector optional
SecretProjection optional
SecretVolumeSource optional defaultMode
FileKeySelector optional
ProjectedVolumeSource defaultMode
DownwardAPIVolumeSource defaultMode
DownwardAPIVolumeFile mode
KeyToPath mode
ServiceAccountTokenProjection expirationSeconds
ClusterTrustBundleProjection name signerName optional
PodCertificateProjection maxExpirationSeconds
ClientIPConfig timeoutSeconds
Container restartPolicy
EphemeralContainer restartPolicy
ContainerStatus started stopSignal
EndpointAddress nodeName
core.v1.EndpointPort appProtocol
GRPCAction service
HostPathVolumeSource type
Lifecycle stopSignal
NodeRuntimeHandlerFeatures recursiveReadOnlyMounts userNamespaces
NodeFeatures supplementalGroupsPolicy
NodeSwapStatus capacity
PersistentVolumeClaimSpec storageClassName volumeMode volumeAttributesClassName
TypedObjectReference apiGroup namespace
TypedLocalObjectReference apiGroup
PodDNSConfigOption value
PodSecurityContext runAsUser runAsGroup runAsNonRoot fsGroup fsGroupChangePolicy supplementalGroupsPolicy seLinuxChangePolicy
SecurityContext privileged runAsUser runAsGroup runAsNonRoot readOnlyRootFilesystem allowPrivilegeEscalation procMount
SeccompProfile localhostProfile
AppArmorProfile localhostProfile
WindowsSecurityContextOptions gmsaCredentialSpecName gmsaCredentialSpec runAsUserName hostProcess
PodSpec terminationGracePeriodSeconds activeDeadlineSeconds automountServiceAccountToken shareProcessNamespace priority runtimeClassName enableServiceLinks preemptionPolicy setHostnameAsFQDN hostUsers hostnameOverride
PodSchedulingGroup podGroupName
PodResourceClaimStatus resourceClaimName
core.v1.PodResourceClaim resourceClaimName resourceClaimTemplateName
Probe terminationGracePeriodSeconds
ServiceSpec ipFamilyPolicy allocateLoadBalancerNodePorts loadBalancerClass internalTrafficPolicy trafficDistribution
ServicePort appProtocol
PortStatus error
LoadBalancerIngress ipMode
ServiceAccount automountServiceAccountToken
Toleration tolerationSeconds
TopologySpreadConstraint minDomains nodeAffinityPolicy nodeTaintsPolicy
VolumeMount mountPropagation recursiveReadOnly
VolumeMountStatus recursiveReadOnly
DaemonSetSpec revisionHistoryLimit
DaemonSetStatus collisionCount
LeaseSpec holderIdentity leaseDurationSeconds leaseTransitions strategy preferredHolder
PodDisruptionBudgetSpec unhealthyPodEvictionPolicy
PriorityClass preemptionPolicy
TokenRequestSpec expirationSeconds
JSONSchemaProps $ref maximum minimum maxLength minLength maxItems minItems multipleOf maxProperties minProperties x-kubernetes-preserve-unknown-fields x-kubernetes-list-type x-kubernetes-map-type
ValidationRule reason optionalOldSelf
CustomResourceDefinitionVersion deprecationWarning
CustomResourceSubresourceScale labelSelectorPath
apiextensions.v1.WebhookClientConfig url
apiextensions.v1.ServiceReference path port
MatchResources matchPolicy
NamedRuleWithOperations scope
RuleWithOperations scope
ParamRef parameterNotFoundAction
MutatingAdmissionPolicySpec failurePolicy
ValidatingAdmissionPolicySpec failurePolicy
MutatingWebhook failurePolicy matchPolicy reinvocationPolicy timeoutSeconds
ValidatingWebhook failurePolicy matchPolicy timeoutSeconds
Validation reason
admissionregistration.v1.WebhookClientConfig url
admissionregistration.v1.ServiceReference path port
apiregistration.v1.ServiceReference port
CertificateSigningRequestSpec expirationSeconds
AzureFilePersistentVolumeSource secretNamespace
GlusterfsPersistentVolumeSource endpointsNamespace
ISCSIPersistentVolumeSource initiatorName
LocalVolumeSource fsType
PersistentVolumeSpec volumeMode volumeAttributesClassName
PersistentVolumeClaimStatus currentVolumeAttributesClassName
discovery.v1.Endpoint hostname nodeName zone
EndpointConditions ready serving terminating
discovery.v1.EndpointPort appProtocol name port protocol
ExemptPriorityLevelConfiguration lendablePercent nominalConcurrencyShares
LimitedPriorityLevelConfiguration borrowingLimitPercent lendablePercent nominalConcurrencyShares
IngressClassParametersReference apiGroup namespace scope
NetworkPolicyPort endPort protocol
AllocatedDeviceStatus shareID
Device allNodes allowMultipleAllocations bindsToNode nodeName
DeviceAttribute bool int string version
DeviceClassSpec extendedResourceName
DeviceConstraint distinctAttribute matchAttribute
DeviceRequestAllocationResult adminAccess shareID
DeviceToleration tolerationSeconds
ExactDeviceRequest adminAccess
NodeAllocatableResourceMapping capacityKey
ResourceSliceSpec allNodes nodeName perDeviceNodeSelection
CSIDriverSpec attachRequired fsGroupPolicy nodeAllocatableUpdatePeriodSeconds podInfoOnMount preventPodSchedulingIfMissing requiresRepublish seLinuxMount serviceAccountTokenInSecrets storageCapacity
StorageClass allowVolumeExpansion reclaimPolicy volumeBindingMode
storage.v1.TokenRequest expirationSeconds
VolumeAttachmentSource persistentVolumeName
VolumeError errorCode
VolumeNodeResources count
";

/// Fields that Go always writes although the schema calls them optional: structs held by value,
/// times held by value (`null` when zero), scalars and lists without `omitempty`.
pub const ALWAYS: &str = "
Pod spec status
Node spec status
Namespace spec status
core.v1.Service spec status
DaemonSet spec status
PodDisruptionBudget spec status
PodDisruptionBudgetStatus currentHealthy desiredHealthy disruptionsAllowed expectedPods
Lease spec
PodTemplateSpec spec
DaemonSetSpec updateStrategy
Container resources
EphemeralContainer resources
PersistentVolumeClaimSpec resources
ContainerStatus state lastState
ContainerStateRunning startedAt
ContainerStateTerminated startedAt finishedAt
NodeStatus daemonEndpoints nodeInfo
NodeDaemonEndpoints kubeletEndpoint
ServiceStatus loadBalancer
ServicePort targetPort
ResourceFieldSelector divisor
core.v1.Event source firstTimestamp lastTimestamp eventTime reportingComponent reportingInstance
core.v1.EventSeries lastObservedTime
events.v1.Event eventTime regarding deprecatedSource deprecatedFirstTimestamp deprecatedLastTimestamp
events.v1.EventSeries lastObservedTime
PodCondition lastProbeTime lastTransitionTime
NodeCondition lastHeartbeatTime lastTransitionTime
NamespaceCondition lastTransitionTime
DaemonSetCondition lastTransitionTime
Role rules
ClusterRole rules
ControllerRevision data
TokenRequest status
TokenReview status
SelfSubjectReview status
SubjectAccessReview status
SelfSubjectAccessReview status
LocalSubjectAccessReview status
SelfSubjectRulesReview status
Scale spec status
TokenReviewStatus user
SelfSubjectReviewStatus userInfo
CustomResourceDefinition spec status
CustomResourceDefinitionStatus conditions acceptedNames storedVersions
CustomResourceDefinitionCondition lastTransitionTime
MutatingAdmissionPolicy spec
MutatingAdmissionPolicyBinding spec
ValidatingAdmissionPolicy spec status
APIService spec status
APIServiceCondition lastTransitionTime
CertificateSigningRequest status
CertificateSigningRequestCondition lastUpdateTime lastTransitionTime
LimitRange spec
PersistentVolume spec status
PersistentVolumeClaim spec status
PersistentVolumeClaimCondition lastProbeTime lastTransitionTime
PodTemplate template
ResourceQuota spec status
EndpointSlice endpoints ports
discovery.v1.Endpoint conditions
FlowSchema spec status
FlowSchemaSpec matchingPrecedence
FlowSchemaCondition lastTransitionTime
PriorityLevelConfiguration spec status
PriorityLevelConfigurationCondition lastTransitionTime
LimitedPriorityLevelConfiguration limitResponse
QueuingConfiguration queues handSize queueLengthLimit
IngressClass spec
NetworkPolicy spec
NetworkPolicySpec podSelector
ServiceCIDR spec status
AllocationResult devices
ResourceClaim status
ResourceClaimSpec devices
CSINodeDriver topologyKeys
VolumeAttachment status
VolumeError time
";

/// Required by the schema, but a pointer in Go: `null` when absent.
pub const REQUIRED_POINTERS: &str = "
DaemonSetSpec selector
NodeAffinity requiredDuringSchedulingIgnoredDuringExecution
TokenRequestSpec expirationSeconds
IPAddressSpec parentRef
MutatingWebhook sideEffects
ValidatingWebhook sideEffects
ScaleIOPersistentVolumeSource secretRef
";

/// Fields whose Go type has a name of its own; shown in decoding errors.
pub const GO_NAMES: &str = "
PodSpec restartPolicy=v1.RestartPolicy dnsPolicy=v1.DNSPolicy preemptionPolicy=v1.PreemptionPolicy overhead=v1.ResourceList
Container imagePullPolicy=v1.PullPolicy terminationMessagePolicy=v1.TerminationMessagePolicy restartPolicy=v1.ContainerRestartPolicy
ContainerPort protocol=v1.Protocol
ServicePort protocol=v1.Protocol
Toleration operator=v1.TolerationOperator effect=v1.TaintEffect
Taint effect=v1.TaintEffect
ObjectMeta uid=types.UID
DeleteOptions propagationPolicy=v1.DeletionPropagation
Preconditions uid=types.UID
ContainerStatus allocatedResources=v1.ResourceList
NodeAllocatableResourceClaimStatus resources=v1.ResourceList
NodeStatus allocatable=v1.ResourceList capacity=v1.ResourceList
ResourceRequirements limits=v1.ResourceList requests=v1.ResourceList
VolumeResourceRequirements limits=v1.ResourceList requests=v1.ResourceList
OwnerReference uid=types.UID
DaemonSetUpdateStrategy type=v1.DaemonSetUpdateStrategyType
HTTPGetAction scheme=v1.URIScheme
EmptyDirVolumeSource medium=v1.StorageMedium
HostPathVolumeSource type=v1.HostPathType
VolumeMount mountPropagation=v1.MountPropagationMode
NodeSelectorRequirement operator=v1.NodeSelectorOperator
LabelSelectorRequirement operator=v1.LabelSelectorOperator
TopologySpreadConstraint whenUnsatisfiable=v1.UnsatisfiableConstraintAction
ServiceSpec type=v1.ServiceType sessionAffinity=v1.ServiceAffinity
Secret type=v1.SecretType
PodStatus phase=v1.PodPhase allocatedResources=v1.ResourceList
NodeCondition type=v1.NodeConditionType status=v1.ConditionStatus
PodCondition type=v1.PodConditionType status=v1.ConditionStatus
ResourceQuotaSpec hard=v1.ResourceList
ResourceQuotaStatus hard=v1.ResourceList used=v1.ResourceList
LimitRangeItem type=v1.LimitType default=v1.ResourceList defaultRequest=v1.ResourceList max=v1.ResourceList maxLimitRequestRatio=v1.ResourceList min=v1.ResourceList
PersistentVolumeSpec capacity=v1.ResourceList
";

/// Strategic merge by key: `field=key`; `!` adds `retainKeys` (DS-I15, DS-I17).
pub const MERGE_KEYS: &str = "
PodSpec containers=name initContainers=name ephemeralContainers=name volumes=name! imagePullSecrets=name hostAliases=ip topologySpreadConstraints=topologyKey schedulingGates=name resourceClaims=name!
Container ports=containerPort env=name volumeMounts=mountPath volumeDevices=devicePath
EphemeralContainer ports=containerPort env=name volumeMounts=mountPath volumeDevices=devicePath
PodStatus conditions=type hostIPs=ip podIPs=ip resourceClaimStatuses=name!
ContainerStatus volumeMounts=mountPath allocatedResourcesStatus=name
ObjectMeta ownerReferences=uid finalizers=
NodeStatus addresses=type conditions=type
NodeSpec podCIDRs=
NamespaceStatus conditions=type
ServiceSpec ports=port
ServiceStatus conditions=type
ServiceAccount secrets=name
DaemonSetStatus conditions=type
PodDisruptionBudgetStatus conditions=type
PersistentVolumeClaimStatus conditions=type
ComponentStatus conditions=type
ServiceCIDRStatus conditions=type
FlowSchemaStatus conditions=type
PriorityLevelConfigurationStatus conditions=type
APIServiceStatus conditions=type
CSINodeSpec drivers=name
ResourceClaimStatus reservedFor=uid
MutatingWebhookConfiguration webhooks=name
ValidatingWebhookConfiguration webhooks=name
MutatingWebhook matchConditions=name
ValidatingWebhook matchConditions=name
MutatingAdmissionPolicySpec matchConditions=name variables=name
ValidatingAdmissionPolicySpec matchConditions=name variables=name
";

/// Lists that server-side apply merges by keys, or as a set (DS-I16).
pub const LIST_KEYS: &str = "
PodSpec containers=name initContainers=name ephemeralContainers=name volumes=name imagePullSecrets=name hostAliases=ip topologySpreadConstraints=topologyKey,whenUnsatisfiable schedulingGates=name resourceClaims=name
Container ports=containerPort,protocol env=name volumeMounts=mountPath volumeDevices=devicePath
EphemeralContainer ports=containerPort,protocol env=name volumeMounts=mountPath volumeDevices=devicePath
core.v1.ResourceRequirements claims=name
PodStatus conditions=type podIPs=ip resourceClaimStatuses=name
ContainerStatus volumeMounts=mountPath allocatedResourcesStatus=name
ObjectMeta ownerReferences=uid finalizers=
NodeStatus addresses=type conditions=type
NodeSpec podCIDRs=
NamespaceStatus conditions=type
ServiceSpec ports=port,protocol
ServiceStatus conditions=type
ServiceAccount secrets=name
DaemonSetStatus conditions=type
PodDisruptionBudgetStatus conditions=type
CustomResourceDefinitionStatus conditions=type
JSONSchemaProps x-kubernetes-validations=rule
PersistentVolumeClaimStatus conditions=type
ComponentStatus conditions=type
CertificateSigningRequestStatus conditions=type
ServiceCIDRStatus conditions=type
FlowSchemaStatus conditions=type
PriorityLevelConfigurationStatus conditions=type
APIServiceStatus conditions=type
NonResourcePolicyRule verbs= nonResourceURLs=
ResourcePolicyRule verbs= apiGroups= resources= namespaces=
CSIDriverSpec volumeLifecycleModes=
CSINodeSpec drivers=name
discovery.v1.Endpoint addresses=
ResourceClaimStatus reservedFor=uid devices=driver,device,pool,shareID
AllocatedDeviceStatus conditions=type
MutatingWebhookConfiguration webhooks=name
ValidatingWebhookConfiguration webhooks=name
MutatingWebhook matchConditions=name
ValidatingWebhook matchConditions=name
MutatingAdmissionPolicySpec matchConditions=name variables=name
ValidatingAdmissionPolicySpec matchConditions=name variables=name
ValidatingAdmissionPolicyBindingSpec validationActions=
ValidatingAdmissionPolicyStatus conditions=type
";

/// Lists that are replaced as a whole.
pub const ATOMIC: &str = "
PodSpec tolerations readinessGates
Container args command envFrom resizePolicy restartPolicyRules
EphemeralContainer args command envFrom resizePolicy restartPolicyRules
PodStatus hostIPs initContainerStatuses containerStatuses ephemeralContainerStatuses
PodSecurityContext supplementalGroups sysctls
Capabilities add drop
ObjectMeta managedFields
NodeStatus images volumesInUse volumesAttached runtimeHandlers
NodeSpec taints
NamespaceSpec finalizers
ServiceSpec clusterIPs externalIPs ipFamilies loadBalancerSourceRanges
LoadBalancerStatus ingress
LoadBalancerIngress ports
ServiceAccount imagePullSecrets
Endpoints subsets
EndpointSubset addresses notReadyAddresses ports
LabelSelector matchExpressions
LabelSelectorRequirement values
NodeSelector nodeSelectorTerms
NodeSelectorTerm matchExpressions matchFields
NodeSelectorRequirement values
NodeAffinity preferredDuringSchedulingIgnoredDuringExecution
PodAffinity requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution
PodAntiAffinity requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution
PodAffinityTerm namespaces matchLabelKeys mismatchLabelKeys
TopologySpreadConstraint matchLabelKeys
ConfigMapVolumeSource items
SecretVolumeSource items
ConfigMapProjection items
SecretProjection items
DownwardAPIVolumeSource items
DownwardAPIProjection items
ProjectedVolumeSource sources
PersistentVolumeClaimSpec accessModes
PodDNSConfig nameservers searches options
HTTPGetAction httpHeaders
ExecAction command
HostAlias hostnames
CephFSVolumeSource monitors
RBDVolumeSource monitors
FCVolumeSource wwids targetWWNs
ISCSIVolumeSource portals
ContainerImage names
PolicyRule verbs apiGroups resources resourceNames nonResourceURLs
Role rules
ClusterRole rules
RoleBinding subjects
ClusterRoleBinding subjects
AggregationRule clusterRoleSelectors
JSONSchemaProps required allOf oneOf anyOf enum x-kubernetes-list-map-keys
CustomResourceDefinitionSpec versions
CustomResourceDefinitionVersion additionalPrinterColumns selectableFields
CustomResourceDefinitionNames shortNames categories
CustomResourceDefinitionStatus storedVersions
WebhookConversion conversionReviewVersions
LimitRangeSpec limits
ResourceQuotaSpec scopes
ScopeSelector matchExpressions
ScopedResourceSelectorRequirement values
PersistentVolumeSpec accessModes mountOptions
PersistentVolumeClaimStatus accessModes
CephFSPersistentVolumeSource monitors
RBDPersistentVolumeSource monitors
ISCSIPersistentVolumeSource portals
TopologySelectorTerm matchLabelExpressions
TopologySelectorLabelRequirement values
EndpointSlice endpoints ports
EndpointHints forNodes forZones
FlowSchemaSpec rules
PolicyRulesWithSubjects subjects resourceRules nonResourceRules
CertificateSigningRequestSpec groups usages
NetworkPolicySpec ingress egress policyTypes
NetworkPolicyIngressRule ports from
NetworkPolicyEgressRule ports to
IPBlock except
ServiceCIDRSpec cidrs
Scheduling tolerations
CSIDriverSpec tokenRequests
CSINodeDriver topologyKeys
StorageClass mountOptions allowedTopologies
DeviceClaim requests constraints config
DeviceRequest firstAvailable
ExactDeviceRequest selectors tolerations
DeviceSubRequest selectors tolerations
DeviceClassSpec selectors config
DeviceConstraint requests
DeviceClaimConfiguration requests
DeviceAllocationConfiguration requests
DeviceAllocationResult results config
DeviceRequestAllocationResult tolerations bindingConditions bindingFailureConditions
ResourceSliceSpec devices sharedCounters
Device taints consumesCounters bindingConditions bindingFailureConditions
NetworkDeviceData ips
CapacityRequestPolicy validValues
MatchResources excludeResourceRules resourceRules
NamedRuleWithOperations apiGroups apiVersions operations resourceNames resources
RuleWithOperations apiGroups apiVersions operations resources
MutatingWebhook admissionReviewVersions rules
ValidatingWebhook admissionReviewVersions rules
MutatingAdmissionPolicySpec mutations
ValidatingAdmissionPolicySpec validations auditAnnotations
TypeChecking expressionWarnings
";

/// Types that server-side apply treats as one value.
pub const ATOMIC_TYPES: &str = "ObjectReference LocalObjectReference SecretReference SecretKeySelector \
ConfigMapKeySelector FileKeySelector ObjectFieldSelector ResourceFieldSelector LabelSelector NodeSelector \
NodeSelectorTerm OwnerReference TypedLocalObjectReference EndpointAddress EndpointPort rbac.v1.Subject RoleRef \
ParamKind ParamRef NamedRuleWithOperations MatchResources ScopeSelector ScopedResourceSelectorRequirement \
TopologySelectorTerm";

/// The entry `field`, or `field=VALUE`, of a type in one of the tables; the value is empty where
/// there is none.
pub fn look_up<'t>(table: &'t str, definition: &str, field: &str) -> Option<&'t str> {
    let of_type = |line: &&str| line.split(' ').next().is_some_and(|name| names(definition, name));
    let fields = table.lines().filter(of_type).flat_map(|line| line.split(' ').skip(1));
    let mut entries = fields.map(|entry| entry.split_once('=').unwrap_or((entry, "")));
    entries.find(|(name, _)| *name == field).map(|(_, value)| value)
}

/// Whether a type name of the tables denotes the definition.
pub fn names(definition: &str, name: &str) -> bool {
    !name.is_empty() && definition.strip_suffix(name).is_some_and(|head| head.ends_with('.'))
}
