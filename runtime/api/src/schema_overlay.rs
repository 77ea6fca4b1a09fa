//! What k8s-openapi's schemas lose: list and map types, merge keys, defaults, enums, and which fields Go keeps when they are empty.
//!
//! One line per definition: `name field[attribute;attribute] ...`; `*` stands for the definition itself. Attributes:
//! * `map=K,K`, `set`, `atomic`: `x-kubernetes-list-type` (or map type);
//! * `merge=K`, `merge`, `retain`: `x-kubernetes-patch-strategy` and `-merge-key`;
//! * `default=V`: the schema's default, needed where a field is a list key;
//! * `enum=GoType:A,B`: the closed set and the Go type that wrong-type errors name;
//! * `value`: a bool or number that Go drops when it is zero; `ptr`: a string that Go keeps when it is empty;
//! * `struct`: an object that is always there, if only as `{}`.
// upstream: staging/src/k8s.io/api/*/types.go, the tags of each field

/// The table.
pub(crate) const OVERLAY: &str = r#"
meta.v1.ObjectMeta finalizers[set;merge] ownerReferences[map=uid;merge=uid] managedFields[atomic] generation[value]
meta.v1.OwnerReference *[atomic]
meta.v1.LabelSelector *[atomic] matchExpressions[atomic]
meta.v1.LabelSelectorRequirement values[atomic]
meta.v1.Condition observedGeneration[value]
meta.v1.ListMeta *[]
core.v1.LocalObjectReference *[atomic]
core.v1.ObjectReference *[atomic]
core.v1.SecretKeySelector *[atomic]
core.v1.ConfigMapKeySelector *[atomic]
core.v1.ObjectFieldSelector *[atomic]
core.v1.ResourceFieldSelector *[atomic]
core.v1.TypedLocalObjectReference *[atomic] apiGroup[ptr]
core.v1.TypedObjectReference apiGroup[ptr] namespace[ptr]
core.v1.SecretReference *[atomic]
core.v1.NodeSelector *[atomic] nodeSelectorTerms[atomic]
core.v1.NodeSelectorTerm *[atomic] matchExpressions[atomic] matchFields[atomic]
core.v1.NodeSelectorRequirement values[atomic] operator[enum=NodeSelectorOperator:DoesNotExist,Exists,Gt,In,Lt,NotIn]
core.v1.TopologySelectorTerm *[atomic] matchLabelExpressions[atomic]
core.v1.NodeAffinity preferredDuringSchedulingIgnoredDuringExecution[atomic]
core.v1.PodAffinity preferredDuringSchedulingIgnoredDuringExecution[atomic] requiredDuringSchedulingIgnoredDuringExecution[atomic]
core.v1.PodAntiAffinity preferredDuringSchedulingIgnoredDuringExecution[atomic] requiredDuringSchedulingIgnoredDuringExecution[atomic]
core.v1.PodAffinityTerm namespaces[atomic] matchLabelKeys[atomic] mismatchLabelKeys[atomic]
core.v1.PodSpec containers[map=name;merge=name] initContainers[map=name;merge=name] ephemeralContainers[map=name;merge=name] volumes[map=name;merge=name;retain] imagePullSecrets[map=name;merge=name] hostAliases[map=ip;merge=ip] tolerations[atomic] readinessGates[atomic] topologySpreadConstraints[map=topologyKey,whenUnsatisfiable;merge=topologyKey] schedulingGates[map=name;merge=name] resourceClaims[map=name;merge=name;retain] nodeSelector[atomic] hostNetwork[value] hostPID[value] hostIPC[value] restartPolicy[enum=RestartPolicy:Always,Never,OnFailure] dnsPolicy[enum=DNSPolicy:ClusterFirst,ClusterFirstWithHostNet,Default,None] preemptionPolicy[enum=PreemptionPolicy:Never,PreemptLowerPriority] runtimeClassName[ptr]
core.v1.Container *[] args[atomic] command[atomic] env[map=name;merge=name] envFrom[atomic] ports[map=containerPort,protocol;merge=containerPort] resizePolicy[atomic] volumeMounts[map=mountPath;merge=mountPath] volumeDevices[map=devicePath;merge=devicePath] stdin[value] stdinOnce[value] tty[value] resources[struct] imagePullPolicy[enum=PullPolicy:Always,IfNotPresent,Never] terminationMessagePolicy[enum=TerminationMessagePolicy:FallbackToLogsOnError,File] restartPolicy[ptr]
core.v1.EphemeralContainer args[atomic] command[atomic] env[map=name;merge=name] envFrom[atomic] ports[map=containerPort,protocol;merge=containerPort] resizePolicy[atomic] volumeMounts[map=mountPath;merge=mountPath] volumeDevices[map=devicePath;merge=devicePath] stdin[value] stdinOnce[value] tty[value] resources[struct] imagePullPolicy[enum=PullPolicy:Always,IfNotPresent,Never] terminationMessagePolicy[enum=TerminationMessagePolicy:FallbackToLogsOnError,File] restartPolicy[ptr]
core.v1.ContainerPort hostPort[value] protocol[default=TCP;enum=Protocol:SCTP,TCP,UDP]
core.v1.ContainerResizePolicy *[]
core.v1.ResourceRequirements claims[map=name]
core.v1.VolumeMount readOnly[value] mountPropagation[ptr] recursiveReadOnly[ptr]
core.v1.Capabilities add[atomic] drop[atomic]
core.v1.SecurityContext procMount[ptr;enum=ProcMountType:Default,Unmasked]
core.v1.PodSecurityContext supplementalGroups[atomic] sysctls[atomic] fsGroupChangePolicy[ptr;enum=PodFSGroupChangePolicy:Always,OnRootMismatch] supplementalGroupsPolicy[ptr;enum=SupplementalGroupsPolicy:Merge,Strict] seLinuxChangePolicy[ptr]
core.v1.WindowsSecurityContextOptions gmsaCredentialSpecName[ptr] gmsaCredentialSpec[ptr] runAsUserName[ptr]
core.v1.SeccompProfile localhostProfile[ptr] type[enum=SeccompProfileType:Localhost,RuntimeDefault,Unconfined]
core.v1.AppArmorProfile localhostProfile[ptr] type[enum=AppArmorProfileType:Localhost,RuntimeDefault,Unconfined]
core.v1.Probe initialDelaySeconds[value] timeoutSeconds[value] periodSeconds[value] successThreshold[value] failureThreshold[value]
core.v1.GRPCAction service[ptr]
core.v1.HTTPGetAction httpHeaders[atomic] scheme[enum=URIScheme:HTTP,HTTPS]
core.v1.ExecAction command[atomic]
core.v1.PodDNSConfig nameservers[atomic] searches[atomic] options[atomic]
core.v1.PodDNSConfigOption value[ptr]
core.v1.HostAlias hostnames[atomic]
core.v1.Toleration effect[enum=TaintEffect:NoExecute,NoSchedule,PreferNoSchedule] operator[enum=TolerationOperator:Equal,Exists]
core.v1.Taint effect[enum=TaintEffect:NoExecute,NoSchedule,PreferNoSchedule]
core.v1.TopologySpreadConstraint matchLabelKeys[atomic] whenUnsatisfiable[enum=UnsatisfiableConstraintAction:DoNotSchedule,ScheduleAnyway] nodeAffinityPolicy[ptr] nodeTaintsPolicy[ptr]
core.v1.SecretVolumeSource items[atomic]
core.v1.ConfigMapVolumeSource items[atomic]
core.v1.ProjectedVolumeSource sources[atomic]
core.v1.SecretProjection items[atomic]
core.v1.ConfigMapProjection items[atomic]
core.v1.DownwardAPIProjection items[atomic]
core.v1.DownwardAPIVolumeSource items[atomic]
core.v1.HostPathVolumeSource type[ptr;enum=HostPathType:,BlockDevice,CharDevice,Directory,DirectoryOrCreate,File,FileOrCreate,Socket]
core.v1.ISCSIVolumeSource portals[atomic] readOnly[value] initiatorName[ptr]
core.v1.NFSVolumeSource readOnly[value]
core.v1.CephFSVolumeSource monitors[atomic] readOnly[value]
core.v1.RBDVolumeSource monitors[atomic] readOnly[value]
core.v1.FCVolumeSource targetWWNs[atomic] wwids[atomic] readOnly[value]
core.v1.PersistentVolumeClaimVolumeSource readOnly[value]
core.v1.PersistentVolumeClaimSpec accessModes[atomic] resources[struct] storageClassName[ptr] volumeMode[ptr] volumeAttributesClassName[ptr]
core.v1.PersistentVolumeClaimStatus accessModes[atomic] conditions[map=type;merge=type]
core.v1.PersistentVolumeSpec accessModes[atomic] mountOptions[atomic]
core.v1.Pod metadata[struct] spec[struct] status[struct]
core.v1.PodTemplateSpec metadata[struct] spec[struct]
core.v1.PodStatus conditions[map=type;merge=type] hostIPs[atomic;merge=ip] podIPs[map=ip;merge=ip] initContainerStatuses[atomic] containerStatuses[atomic] ephemeralContainerStatuses[atomic] resourceClaimStatuses[map=name;merge=name;retain] phase[enum=PodPhase:Failed,Pending,Running,Succeeded,Unknown]
core.v1.ContainerStatus volumeMounts[map=mountPath;merge=mountPath] allocatedResourcesStatus[map=name;merge=name] state[struct] lastState[struct]
core.v1.ContainerStateTerminated signal[value]
core.v1.VolumeMountStatus readOnly[value] recursiveReadOnly[ptr]
core.v1.ServiceSpec ports[map=port,protocol;merge=port] selector[atomic] clusterIPs[atomic] externalIPs[atomic] loadBalancerSourceRanges[atomic] ipFamilies[atomic] publishNotReadyAddresses[value] healthCheckNodePort[value] type[enum=ServiceType:ClusterIP,ExternalName,LoadBalancer,NodePort] sessionAffinity[enum=ServiceAffinity:ClientIP,None] externalTrafficPolicy[enum=ServiceExternalTrafficPolicy:Cluster,Local] internalTrafficPolicy[ptr;enum=ServiceInternalTrafficPolicy:Cluster,Local] ipFamilyPolicy[ptr;enum=IPFamilyPolicy:PreferDualStack,RequireDualStack,SingleStack] loadBalancerClass[ptr] trafficDistribution[ptr]
core.v1.ServicePort nodePort[value] protocol[default=TCP;enum=Protocol:SCTP,TCP,UDP] appProtocol[ptr]
core.v1.Service metadata[struct] spec[struct] status[struct]
core.v1.ServiceStatus loadBalancer[struct] conditions[map=type;merge=type]
core.v1.LoadBalancerStatus ingress[atomic]
core.v1.LoadBalancerIngress ports[atomic] ipMode[ptr]
core.v1.Endpoints subsets[atomic]
core.v1.EndpointSubset addresses[atomic] notReadyAddresses[atomic] ports[atomic]
core.v1.EndpointAddress *[atomic] nodeName[ptr]
core.v1.EndpointPort *[atomic] appProtocol[ptr]
discovery.v1.EndpointSlice endpoints[atomic] ports[atomic]
discovery.v1.Endpoint addresses[set] conditions[struct] nodeName[ptr] zone[ptr] hostname[ptr]
discovery.v1.EndpointPort *[atomic] name[ptr] protocol[ptr] appProtocol[ptr]
discovery.v1.EndpointHints forZones[atomic]
core.v1.Node metadata[struct] spec[struct] status[struct]
core.v1.NodeSpec podCIDRs[set;merge] taints[atomic] unschedulable[value]
core.v1.NodeStatus conditions[map=type;merge=type] addresses[map=type;merge=type] images[atomic] volumesInUse[atomic] volumesAttached[atomic] runtimeHandlers[atomic] daemonEndpoints[struct] nodeInfo[struct]
core.v1.NodeDaemonEndpoints kubeletEndpoint[struct]
core.v1.ContainerImage names[atomic]
core.v1.Namespace metadata[struct] spec[struct] status[struct]
core.v1.NamespaceSpec finalizers[atomic]
core.v1.NamespaceStatus conditions[map=type;merge=type]
core.v1.ServiceAccount secrets[map=name;merge=name] imagePullSecrets[atomic]
core.v1.Event count[value] source[struct] eventTime[]
events.v1.Event deprecatedCount[value] deprecatedSource[struct] regarding[struct]
core.v1.ReplicationControllerSpec selector[atomic] minReadySeconds[value]
core.v1.ReplicationControllerStatus conditions[map=type;merge=type] fullyLabeledReplicas[value] readyReplicas[value] availableReplicas[value] observedGeneration[value]
core.v1.LimitRangeSpec limits[atomic]
core.v1.ResourceQuotaSpec scopes[atomic]
apps.v1.Deployment metadata[struct] spec[struct] status[struct]
apps.v1.DeploymentSpec strategy[retain;struct] minReadySeconds[value] paused[value] template[struct]
apps.v1.DeploymentStrategy type[enum=DeploymentStrategyType:Recreate,RollingUpdate]
apps.v1.DeploymentStatus conditions[map=type;merge=type] observedGeneration[value] replicas[value] updatedReplicas[value] readyReplicas[value] availableReplicas[value] unavailableReplicas[value]
apps.v1.ReplicaSet metadata[struct] spec[struct] status[struct]
apps.v1.ReplicaSetSpec minReadySeconds[value] template[struct]
apps.v1.ReplicaSetStatus conditions[map=type;merge=type] fullyLabeledReplicas[value] readyReplicas[value] availableReplicas[value] observedGeneration[value]
apps.v1.DaemonSetSpec minReadySeconds[value] updateStrategy[struct] template[struct]
apps.v1.DaemonSetStatus conditions[map=type;merge=type] observedGeneration[value] updatedNumberScheduled[value] numberAvailable[value] numberUnavailable[value]
apps.v1.StatefulSetSpec volumeClaimTemplates[atomic] minReadySeconds[value] updateStrategy[struct] template[struct]
apps.v1.StatefulSetStatus conditions[map=type;merge=type] observedGeneration[value] readyReplicas[value] currentReplicas[value] updatedReplicas[value]
batch.v1.JobSpec template[struct]
batch.v1.JobStatus conditions[atomic;merge=type] active[value] succeeded[value] failed[value]
batch.v1.CronJobStatus active[atomic]
networking.v1.IngressSpec tls[atomic] rules[atomic]
networking.v1.IngressTLS hosts[atomic]
networking.v1.HTTPIngressRuleValue paths[atomic]
networking.v1.NetworkPolicySpec ingress[atomic] egress[atomic] policyTypes[atomic]
rbac.v1.Role rules[atomic]
rbac.v1.ClusterRole rules[atomic]
rbac.v1.RoleBinding subjects[atomic]
rbac.v1.ClusterRoleBinding subjects[atomic]
rbac.v1.RoleRef *[atomic]
rbac.v1.Subject *[atomic]
rbac.v1.PolicyRule apiGroups[atomic] nonResourceURLs[atomic] resourceNames[atomic] resources[atomic] verbs[atomic]
coordination.v1.Lease spec[struct]
coordination.v1.LeaseSpec holderIdentity[ptr] strategy[ptr] preferredHolder[ptr]
authorization.v1.SubjectAccessReviewStatus denied[value]
authentication.v1.TokenReviewStatus authenticated[value]
"#;

/// Fields that k8s-openapi knows and Kubernetes 1.32 does not: one line per definition. They are as unknown as any other.
pub(crate) const LATER: &str = "
core.v1.Container restartPolicyRules
core.v1.EphemeralContainer restartPolicyRules
core.v1.PodSpec hostnameOverride schedulingGroup
core.v1.PodStatus allocatedResources extendedResourceClaimStatus nodeAllocatableResourceClaimStatuses observedGeneration resources
core.v1.PodCondition observedGeneration
core.v1.ContainerStatus stopSignal
core.v1.EnvVarSource fileKeyRef
core.v1.Lifecycle stopSignal
core.v1.NodeStatus declaredFeatures
core.v1.NodeSystemInfo swap
core.v1.VolumeProjection podCertificate
apps.v1.DeploymentStatus terminatingReplicas
apps.v1.ReplicaSetStatus terminatingReplicas
discovery.v1.EndpointHints forNodes
";
