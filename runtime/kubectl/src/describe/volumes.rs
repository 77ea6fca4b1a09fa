//! Volumes of Pods and sources of PersistentVolumes: one table of what each kind of volume shows.

use serde_json::Value;

use super::page::{Page, shorten};
use super::value::{at, list, pairs, plain, text, text_or, texts};

/// The longest attribute shown whole.
const ATTRIBUTE: usize = 140;

/// How the lines of a volume are found in its source.
enum Shown {
    /// `Label:\tvalue`: label, path, what stands for nothing.
    Field(&'static str, &'static str, &'static str),
    /// A reference to a Secret, as Go prints the pointer.
    Reference(&'static str, &'static str),
    /// Anything else.
    Part(fn(&Value, &mut Page)),
}

use Shown::{Field, Part, Reference};

/// A kind of volume: its field, whether this is how a PersistentVolume shows it (both when unsaid), its type, its lines.
type Kind = (&'static str, Option<Use>, &'static str, &'static [Shown]);

/// Where a volume stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Pod,
    PersistentVolume,
}

const READ_ONLY: Shown = Field("ReadOnly", "readOnly", "false");
const FS_TYPE: Shown = Field("FSType", "fsType", "");
const OPTIONAL: Shown = Field("Optional", "optional", "false");

const KINDS: &[Kind] = &[
    (
        "hostPath",
        None,
        "HostPath (bare host directory volume)",
        &[Field("Path", "path", ""), Part(|source, page| page.field(2, "HostPathType", source["type"].as_str().unwrap_or("<none>")))],
    ),
    ("emptyDir", None, "EmptyDir (a temporary directory that shares a pod's lifetime)", &[Field("Medium", "medium", ""), Part(size_limit)]),
    ("secret", None, "Secret (a volume populated by a Secret)", &[Field("SecretName", "secretName", ""), OPTIONAL]),
    ("configMap", None, "ConfigMap (a volume populated by a ConfigMap)", &[Field("Name", "name", ""), OPTIONAL]),
    (
        "nfs",
        None,
        "NFS (an NFS mount that lasts the lifetime of a pod)",
        &[Field("Server", "server", ""), Field("Path", "path", ""), READ_ONLY],
    ),
    (
        "persistentVolumeClaim",
        None,
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        &[Field("ClaimName", "claimName", ""), READ_ONLY],
    ),
    ("downwardAPI", None, "DownwardAPI (a volume populated by information about the pod)", &[Part(downward_items)]),
    ("projected", None, "Projected (a volume that contains injected data from multiple sources)", &[Part(projected)]),
    (
        "ephemeral",
        None,
        "EphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)",
        &[Part(|source, page| super::storage::claim_template(&source["volumeClaimTemplate"], page, "    "))],
    ),
    ("local", None, "LocalVolume (a persistent volume backed by local storage on a node)", &[Field("Path", "path", "")]),
    ("image", None, "Image (a container image or OCI artifact)", &[Field("Reference", "reference", ""), Field("PullPolicy", "pullPolicy", "")]),
    (
        "csi",
        Some(Use::Pod),
        "CSI (a Container Storage Interface (CSI) volume source)",
        &[Field("Driver", "driver", ""), FS_TYPE, READ_ONLY, Part(attributes)],
    ),
    (
        "csi",
        Some(Use::PersistentVolume),
        "CSI (a Container Storage Interface (CSI) volume source)",
        &[Field("Driver", "driver", ""), FS_TYPE, Field("VolumeHandle", "volumeHandle", ""), READ_ONLY, Part(attributes)],
    ),
    (
        "gcePersistentDisk",
        None,
        "GCEPersistentDisk (a Persistent Disk resource in Google Compute Engine)",
        &[Field("PDName", "pdName", ""), FS_TYPE, Field("Partition", "partition", "0"), READ_ONLY],
    ),
    (
        "awsElasticBlockStore",
        None,
        "AWSElasticBlockStore (a Persistent Disk resource in AWS)",
        &[Field("VolumeID", "volumeID", ""), FS_TYPE, Field("Partition", "partition", "0"), READ_ONLY],
    ),
    (
        "gitRepo",
        None,
        "GitRepo (a volume that is pulled from git when the pod is created)",
        &[Field("Repository", "repository", ""), Field("Revision", "revision", "")],
    ),
    (
        "azureDisk",
        None,
        "AzureDisk (an Azure Data Disk mount on the host and bind mount to the pod)",
        &[
            Field("DiskName", "diskName", ""),
            Field("DiskURI", "diskURI", ""),
            Field("Kind", "kind", ""),
            FS_TYPE,
            Field("CachingMode", "cachingMode", ""),
            READ_ONLY,
        ],
    ),
    (
        "azureFile",
        Some(Use::Pod),
        "AzureFile (an Azure File Service mount on the host and bind mount to the pod)",
        &[Field("SecretName", "secretName", ""), Field("ShareName", "shareName", ""), READ_ONLY],
    ),
    (
        "azureFile",
        Some(Use::PersistentVolume),
        "AzureFile (an Azure File Service mount on the host and bind mount to the pod)",
        &[Field("SecretName", "secretName", ""), Field("SecretNamespace", "secretNamespace", ""), Field("ShareName", "shareName", ""), READ_ONLY],
    ),
    (
        "cephfs",
        None,
        "CephFS (a CephFS mount on the host that shares a pod's lifetime)",
        &[
            Field("Monitors", "monitors", "[]"),
            Field("Path", "path", ""),
            Field("User", "user", ""),
            Field("SecretFile", "secretFile", ""),
            Reference("SecretRef", "secretRef"),
            READ_ONLY,
        ],
    ),
    (
        "cinder",
        None,
        "Cinder (a Persistent Disk resource in OpenStack)",
        &[Field("VolumeID", "volumeID", ""), FS_TYPE, READ_ONLY, Reference("SecretRef", "secretRef")],
    ),
    (
        "fc",
        None,
        "FC (a Fibre Channel disk)",
        &[
            Part(|source, page| page.field(2, "TargetWWNs", texts(source, "targetWWNs").join(", "))),
            Field("LUN", "lun", "<none>"),
            FS_TYPE,
            READ_ONLY,
        ],
    ),
    (
        "flexVolume",
        None,
        "FlexVolume (a generic volume resource that is provisioned/attached using an exec based plugin)",
        &[Field("Driver", "driver", ""), FS_TYPE, Reference("SecretRef", "secretRef"), READ_ONLY, Field("Options", "options", "map[]")],
    ),
    (
        "glusterfs",
        Some(Use::Pod),
        "Glusterfs (a Glusterfs mount on the host that shares a pod's lifetime)",
        &[Field("EndpointsName", "endpoints", ""), Field("Path", "path", ""), READ_ONLY],
    ),
    (
        "glusterfs",
        Some(Use::PersistentVolume),
        "Glusterfs (a Glusterfs mount on the host that shares a pod's lifetime)",
        &[Field("EndpointsName", "endpoints", ""), Field("EndpointsNamespace", "endpointsNamespace", "<unset>"), Field("Path", "path", ""), READ_ONLY],
    ),
    (
        "iscsi",
        None,
        "ISCSI (an ISCSI Disk resource that is attached to a kubelet's host machine and then exposed to the pod)",
        &[
            Field("TargetPortal", "targetPortal", ""),
            Field("IQN", "iqn", ""),
            Field("Lun", "lun", "0"),
            // Without a colon, as stock kubectl has it.
            Part(|source, page| page.row(2, &["ISCSIInterface", &text(source, "iscsiInterface")])),
            FS_TYPE,
            READ_ONLY,
            Field("Portals", "portals", "[]"),
            Field("DiscoveryCHAPAuth", "chapAuthDiscovery", "false"),
            Field("SessionCHAPAuth", "chapAuthSession", "false"),
            Reference("SecretRef", "secretRef"),
            Field("InitiatorName", "initiatorName", "<none>"),
        ],
    ),
    (
        "rbd",
        None,
        "RBD (a Rados Block Device mount on the host that shares a pod's lifetime)",
        &[
            Field("CephMonitors", "monitors", "[]"),
            Field("RBDImage", "image", ""),
            FS_TYPE,
            Field("RBDPool", "pool", ""),
            Field("RadosUser", "user", ""),
            Field("Keyring", "keyring", ""),
            Reference("SecretRef", "secretRef"),
            READ_ONLY,
        ],
    ),
    (
        "vsphereVolume",
        None,
        "vSphereVolume (a Persistent Disk resource in vSphere)",
        &[Field("VolumePath", "volumePath", ""), FS_TYPE, Field("StoragePolicyName", "storagePolicyName", "")],
    ),
    ("portworxVolume", None, "PortworxVolume (a Portworx Volume resource)", &[Field("VolumeID", "volumeID", "")]),
];

/// The volumes of a Pod (`space` is empty) or of a template.
pub(super) fn volumes(volumes: &[Value], page: &mut Page, space: &str) {
    if volumes.is_empty() {
        return page.line(0, format_args!("{space}Volumes:\t<none>"));
    }
    page.line(0, format_args!("{space}Volumes:"));
    let indent = if space.is_empty() { "" } else { " " };
    for volume in volumes {
        page.line(1, format_args!("{indent}{}:", text(volume, "name")));
        source(volume, Use::Pod, page);
    }
}

/// The source of a PersistentVolume, from its spec.
pub(super) fn persistent(spec: &Value, page: &mut Page) {
    source(spec, Use::PersistentVolume, page);
}

fn source(volume: &Value, place: Use, page: &mut Page) {
    let kind = KINDS.iter().find(|(field, own, ..)| !volume[field].is_null() && own.is_none_or(|own| own == place));
    let Some((field, _, title, shown)) = kind else { return page.line(1, "<unknown>") };
    page.field(2, "Type", title);
    let source = &volume[field];
    for line in *shown {
        match line {
            Field(label, path, absent) => page.field(2, label, text_or(source, path, absent)),
            Reference(label, path) => page.field(2, label, reference(at(source, path))),
            Part(part) => part(source, page),
        }
    }
}

fn reference(reference: &Value) -> String {
    let name = text(reference, "name");
    match reference {
        Value::Null => "nil".to_owned(),
        _ if reference["namespace"].is_null() => format!("&LocalObjectReference{{Name:{name},}}"),
        _ => format!("&SecretReference{{Name:{name},Namespace:{},}}", text(reference, "namespace")),
    }
}

fn size_limit(source: &Value, page: &mut Page) {
    let limit = text(source, "sizeLimit");
    page.field(2, "SizeLimit", if limit.is_empty() || limit == "0" { "<unset>" } else { &limit });
}

fn downward_items(source: &Value, page: &mut Page) {
    page.line(2, "Items:");
    for item in list(source, "items") {
        for field in ["fieldRef.fieldPath", "resourceFieldRef.resource"] {
            let from = text(item, field);
            if !from.is_empty() {
                page.line(3, format_args!("{from} -> {}", text(item, "path")));
            }
        }
    }
}

fn projected(source: &Value, page: &mut Page) {
    // Pointers, printed as Go prints them when they point nowhere.
    let optional = |source: &Value| if source["optional"].is_null() { "<nil>".to_owned() } else { plain(&source["optional"]) };
    for part in list(source, "sources") {
        if !part["secret"].is_null() {
            page.field(2, "SecretName", text(part, "secret.name"));
            page.field(2, "SecretOptionalName", optional(&part["secret"]));
        } else if !part["downwardAPI"].is_null() {
            page.field(2, "DownwardAPI", "true");
        } else if !part["configMap"].is_null() {
            page.field(2, "ConfigMapName", text(part, "configMap.name"));
            page.field(2, "ConfigMapOptional", optional(&part["configMap"]));
        } else if !part["serviceAccountToken"].is_null() {
            page.field(2, "TokenExpirationSeconds", text_or(part, "serviceAccountToken.expirationSeconds", "3607"));
        }
    }
}

fn attributes(source: &Value, page: &mut Page) {
    let lines = pairs(&source["volumeAttributes"]).into_iter().map(|(key, value)| shorten(&format!("{key}={value}"), ATTRIBUTE));
    page.multiline("    VolumeAttributes:\t", "        \t", lines.map(|line| format!("    {line}")).collect::<Vec<_>>());
}
