//! The kinds stock kubectl is compiled with: some commands read manifests of these alone, whatever the server has.
// upstream: client-go/kubernetes/scheme/register.go and the register.go of every group, 1.32

/// Versions of a group, and the kinds in all of them.
const KINDS: [(&[&str], &[&str]); 40] = [
    (&["v1"], &["Binding", "ComponentStatus", "ConfigMap", "Endpoints", "Event", "LimitRange", "Namespace", "Node", "NodeProxyOptions"]),
    (&["v1"], &["PersistentVolume", "PersistentVolumeClaim", "Pod", "PodAttachOptions", "PodExecOptions", "PodLogOptions", "PodPortForwardOptions"]),
    (&["v1"], &["PodProxyOptions", "PodStatusResult", "PodTemplate", "RangeAllocation", "ReplicationController", "ResourceQuota", "Secret"]),
    (&["v1"], &["SerializedReference", "Service", "ServiceAccount", "ServiceProxyOptions"]),
    (&["admissionregistration.k8s.io/v1", "admissionregistration.k8s.io/v1beta1"], &["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"]),
    (&["admissionregistration.k8s.io/v1", "admissionregistration.k8s.io/v1alpha1", "admissionregistration.k8s.io/v1beta1"], &["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]),
    (&["admissionregistration.k8s.io/v1alpha1"], &["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"]),
    (&["internal.apiserver.k8s.io/v1alpha1"], &["StorageVersion"]),
    (&["apps/v1", "apps/v1beta1", "apps/v1beta2"], &["Deployment", "StatefulSet", "ControllerRevision"]),
    (&["apps/v1", "apps/v1beta2"], &["DaemonSet", "ReplicaSet"]),
    (&["apps/v1beta1", "apps/v1beta2"], &["Scale"]),
    (&["apps/v1beta1"], &["DeploymentRollback"]),
    (&["authentication.k8s.io/v1", "authentication.k8s.io/v1beta1"], &["TokenReview"]),
    (&["authentication.k8s.io/v1", "authentication.k8s.io/v1alpha1", "authentication.k8s.io/v1beta1"], &["SelfSubjectReview"]),
    (&["authentication.k8s.io/v1"], &["TokenRequest"]),
    (&["authorization.k8s.io/v1", "authorization.k8s.io/v1beta1"], &["SelfSubjectRulesReview", "SelfSubjectAccessReview", "SubjectAccessReview", "LocalSubjectAccessReview"]),
    (&["autoscaling/v1", "autoscaling/v2", "autoscaling/v2beta1", "autoscaling/v2beta2"], &["HorizontalPodAutoscaler"]),
    (&["autoscaling/v1"], &["Scale"]),
    (&["batch/v1", "batch/v1beta1"], &["CronJob"]),
    (&["batch/v1"], &["Job"]),
    (&["certificates.k8s.io/v1", "certificates.k8s.io/v1beta1"], &["CertificateSigningRequest"]),
    (&["certificates.k8s.io/v1alpha1"], &["ClusterTrustBundle"]),
    (&["coordination.k8s.io/v1", "coordination.k8s.io/v1beta1"], &["Lease"]),
    (&["coordination.k8s.io/v1alpha2"], &["LeaseCandidate"]),
    (&["discovery.k8s.io/v1", "discovery.k8s.io/v1beta1"], &["EndpointSlice"]),
    (&["events.k8s.io/v1", "events.k8s.io/v1beta1"], &["Event"]),
    (&["extensions/v1beta1"], &["Deployment", "DeploymentRollback", "Scale", "DaemonSet", "ReplicaSet", "Ingress", "NetworkPolicy"]),
    (&["flowcontrol.apiserver.k8s.io/v1", "flowcontrol.apiserver.k8s.io/v1beta1", "flowcontrol.apiserver.k8s.io/v1beta2", "flowcontrol.apiserver.k8s.io/v1beta3"], &["FlowSchema", "PriorityLevelConfiguration"]),
    (&["networking.k8s.io/v1", "networking.k8s.io/v1beta1"], &["Ingress", "IngressClass"]),
    (&["networking.k8s.io/v1alpha1", "networking.k8s.io/v1beta1"], &["IPAddress", "ServiceCIDR"]),
    (&["networking.k8s.io/v1"], &["NetworkPolicy"]),
    (&["node.k8s.io/v1", "node.k8s.io/v1alpha1", "node.k8s.io/v1beta1"], &["RuntimeClass"]),
    (&["policy/v1", "policy/v1beta1"], &["PodDisruptionBudget", "Eviction"]),
    (&["rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io/v1alpha1", "rbac.authorization.k8s.io/v1beta1"], &["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"]),
    (&["resource.k8s.io/v1alpha3", "resource.k8s.io/v1beta1"], &["DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"]),
    (&["scheduling.k8s.io/v1", "scheduling.k8s.io/v1alpha1", "scheduling.k8s.io/v1beta1"], &["PriorityClass"]),
    (&["storage.k8s.io/v1", "storage.k8s.io/v1beta1"], &["StorageClass", "CSINode", "CSIDriver"]),
    (&["storage.k8s.io/v1", "storage.k8s.io/v1alpha1", "storage.k8s.io/v1beta1"], &["VolumeAttachment", "CSIStorageCapacity"]),
    (&["storage.k8s.io/v1alpha1", "storage.k8s.io/v1beta1"], &["VolumeAttributesClass"]),
    (&["storagemigration.k8s.io/v1alpha1"], &["StorageVersionMigration"]),
];

/// Kinds of every version there is, and of those there are not.
const UNVERSIONED: [&str; 5] = ["APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "Status"];

/// Kinds of every version above.
// upstream: apimachinery/pkg/apis/meta/v1/register.go AddToGroupVersion
const COMMON: [&str; 7] = ["CreateOptions", "DeleteOptions", "GetOptions", "ListOptions", "PatchOptions", "UpdateOptions", "WatchEvent"];

/// Whether there are no lists of a kind: what is asked or done, and is kept nowhere.
fn is_alone(kind: &str) -> bool {
    const ALONE: [&str; 6] = ["Binding", "DeploymentRollback", "Eviction", "RangeAllocation", "Scale", "SerializedReference"];
    ALONE.contains(&kind) || ["Options", "Result", "Review", "TokenRequest"].iter().any(|end| kind.ends_with(end))
}

/// Whether stock kubectl is compiled with a kind, or with lists of it.
pub fn compiled_with(version: &str, kind: &str) -> bool {
    let of_list = kind.strip_suffix("List").filter(|kind| !is_alone(kind)).unwrap_or(kind);
    let is = |kinds: &[&str]| kinds.contains(&of_list) || COMMON.contains(&kind);
    (version, kind) == ("v1", "List") || UNVERSIONED.contains(&kind) || KINDS.iter().any(|(versions, kinds)| versions.contains(&version) && is(kinds))
}
