//! Volumes of a Pod, made below its own directory and bound into its containers.
//!
//! 1. [`prepare`] makes every volume: an empty directory, the files of ConfigMaps, Secrets, tokens and Pod fields, a path of the node,
//!    or what a bound claim stands for.
//! 2. [`mounts`] says what a container sees of them.
//! 3. [`prepare`] may be repeated at any time: files are exchanged in one step ([`payload`]), directories are kept.

// upstream: pkg/volume/*, pkg/kubelet/kubelet_pods.go (makeMounts)

mod payload;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use drydock_container::Mount;
use drydock_primitives::quantity::Quantity;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, DownwardAPIVolumeFile, HostPathVolumeSource, KeyToPath, PersistentVolume, PersistentVolumeClaim, Pod, Secret,
    ServiceAccount, ServiceAccountTokenProjection, Volume,
};
use kube::api::{Api, PostParams};

use self::payload::Payload;
use super::environment::{Facts, expand, field_value, resource_value};
use super::state::{find_container, name, namespace, spec, uid};

/// What volumes are made of.
pub(super) struct VolumeSource<'a> {
    /// The API.
    pub(super) client: &'a kube::Client,
    /// `/var/lib/kubelet/pods`.
    pub(super) pods: &'a Path,
    /// What the Pod does not know about itself.
    pub(super) facts: &'a Facts,
}

/// The volumes of one Pod, in place.
#[derive(Debug, Clone, Default)]
pub(super) struct Volumes {
    /// Where each is on the node.
    pub(super) paths: BTreeMap<String, PathBuf>,
    /// When a token in them has to be renewed.
    pub(super) renew: Option<Timestamp>,
}

/// Make all volumes.
///
/// # Errors
/// The sentence of the `FailedMount` event.
pub(super) async fn prepare(pod: &Pod, source: &VolumeSource<'_>) -> Result<Volumes, String> {
    let mut volumes = Volumes::default();
    for volume in spec(pod).volumes.iter().flatten() {
        let path = one(pod, volume, source, &mut volumes.renew)
            .await
            .map_err(|error| format!("MountVolume.SetUp failed for volume \"{}\" : {error}", volume.name))?;
        volumes.paths.insert(volume.name.clone(), path);
    }
    Ok(volumes)
}

/// The directory of everything of one Pod.
pub(super) fn pod_directory(pods: &Path, uid: &str) -> PathBuf {
    pods.join(uid)
}

async fn one(pod: &Pod, volume: &Volume, source: &VolumeSource<'_>, renew: &mut Option<Timestamp>) -> Result<PathBuf, String> {
    let place = |plugin: &str| pod_directory(source.pods, uid(pod)).join("volumes").join(plugin).join(&volume.name);
    if let Some(empty) = &volume.empty_dir {
        let path = place("kubernetes.io~empty-dir");
        let size = empty.size_limit.as_ref().and_then(|limit| limit.0.parse::<Quantity>().ok());
        empty_directory(&path, empty.medium.as_deref() == Some("Memory"), size)?;
        own(pod, &path)?;
        return Ok(path);
    }
    if let Some(host) = &volume.host_path {
        return host_path(host);
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        return claimed(pod, &claim.claim_name, source).await;
    }
    let mut payload = Payload::default();
    let plugin = if let Some(map) = &volume.config_map {
        payload.mode = map.default_mode;
        add_config_map(pod, &map.name, map.items.as_deref(), map.optional, source, &mut payload).await?;
        "kubernetes.io~configmap"
    } else if let Some(secret) = &volume.secret {
        payload.mode = secret.default_mode;
        let secret_name = secret.secret_name.clone().unwrap_or_default();
        add_secret(pod, &secret_name, secret.items.as_deref(), secret.optional, source, &mut payload).await?;
        "kubernetes.io~secret"
    } else if let Some(downward) = &volume.downward_api {
        payload.mode = downward.default_mode;
        add_fields(pod, downward.items.as_deref(), source, &mut payload)?;
        "kubernetes.io~downward-api"
    } else if let Some(projected) = &volume.projected {
        payload.mode = projected.default_mode;
        for part in projected.sources.iter().flatten() {
            if let Some(map) = &part.config_map {
                add_config_map(pod, &map.name, map.items.as_deref(), map.optional, source, &mut payload).await?;
            } else if let Some(secret) = &part.secret {
                add_secret(pod, &secret.name, secret.items.as_deref(), secret.optional, source, &mut payload).await?;
            } else if let Some(downward) = &part.downward_api {
                add_fields(pod, downward.items.as_deref(), source, &mut payload)?;
            } else if let Some(token) = &part.service_account_token {
                add_token(pod, token, source, &mut payload, renew).await?;
            }
        }
        "kubernetes.io~projected"
    } else {
        return Err("no volume plugin matched".to_owned());
    };
    let path = place(plugin);
    payload.write(&path, fs_group(pod), Timestamp::now()).map_err(|error| format!("write {}: {error}", path.display()))?;
    Ok(path)
}

fn fs_group(pod: &Pod) -> Option<u32> {
    spec(pod).security_context.as_ref()?.fs_group.and_then(|group| u32::try_from(group).ok())
}

fn empty_directory(path: &Path, memory: bool, size: Option<Quantity>) -> Result<(), String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what} {}: {error}", path.display());
    fs::create_dir_all(path).map_err(|error| failed("mkdir", &error))?;
    if memory && !is_mount_point(path) {
        let options = size.map(|size| format!("size={}", size.value()));
        nix::mount::mount(Some("tmpfs"), path, Some("tmpfs"), nix::mount::MsFlags::empty(), options.as_deref())
            .map_err(|error| failed("mount tmpfs at", &error))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).map_err(|error| failed("chmod", &error))
}

fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    path.parent().is_some_and(|parent| device(parent) != device(path))
}

/// `fsGroup`: the top directory belongs to the group, and what is made in it too.
// upstream: pkg/volume/volume_linux.go, SetVolumeOwnership
fn own(pod: &Pod, path: &Path) -> Result<(), String> {
    let Some(group) = fs_group(pod) else { return Ok(()) };
    std::os::unix::fs::chown(path, None, Some(group)).map_err(|error| format!("chown {}: {error}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o2777)).map_err(|error| format!("chmod {}: {error}", path.display()))
}

// upstream: pkg/volume/hostpath/host_path.go, checkType
fn host_path(host: &HostPathVolumeSource) -> Result<PathBuf, String> {
    let path = PathBuf::from(&host.path);
    let wrong = |what: &str| format!("hostPath type check failed: {} is not a {what}", host.path);
    let make = |error: std::io::Error| format!("mkdir {}: {error}", host.path);
    let kind = fs::metadata(&path).map(|metadata| metadata.file_type()).ok();
    use std::os::unix::fs::FileTypeExt;
    match host.type_.as_deref().unwrap_or_default() {
        "DirectoryOrCreate" => match kind {
            Some(kind) if !kind.is_dir() => return Err(wrong("directory")),
            Some(_) => {}
            None => fs::create_dir_all(&path).map_err(make)?,
        },
        "Directory" if !kind.is_some_and(|kind| kind.is_dir()) => return Err(wrong("directory")),
        "FileOrCreate" => match kind {
            Some(kind) if !kind.is_file() => return Err(wrong("file")),
            Some(_) => {}
            None => fs::write(&path, "").map_err(make)?,
        },
        "File" if !kind.is_some_and(|kind| kind.is_file()) => return Err(wrong("file")),
        "Socket" if !kind.is_some_and(|kind| kind.is_socket()) => return Err(wrong("socket file")),
        "CharDevice" if !kind.is_some_and(|kind| kind.is_char_device()) => return Err(wrong("character device")),
        "BlockDevice" if !kind.is_some_and(|kind| kind.is_block_device()) => return Err(wrong("block device")),
        // Without a type nothing is checked, and container engines make a missing directory.
        "" if kind.is_none() => fs::create_dir_all(&path).map_err(make)?,
        _ => {}
    }
    Ok(path)
}

async fn claimed(pod: &Pod, claim_name: &str, source: &VolumeSource<'_>) -> Result<PathBuf, String> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(source.client.clone(), namespace(pod));
    let claim = claims.get_opt(claim_name).await.map_err(|error| error.to_string())?;
    let claim = claim.ok_or_else(|| format!("persistentvolumeclaim \"{claim_name}\" not found"))?;
    let bound = claim.spec.and_then(|spec| spec.volume_name).filter(|name| !name.is_empty());
    let bound = bound.ok_or_else(|| format!("PVC {}/{claim_name} is not bound", namespace(pod)))?;
    let volumes: Api<PersistentVolume> = Api::all(source.client.clone());
    let volume = volumes.get_opt(&bound).await.map_err(|error| error.to_string())?;
    let volume = volume.and_then(|volume| volume.spec).ok_or_else(|| format!("persistentvolume \"{bound}\" not found"))?;
    if let Some(host) = &volume.host_path {
        let path = host_path(host)?;
        own(pod, &path)?;
        return Ok(path);
    }
    match &volume.local {
        Some(local) if Path::new(&local.path).exists() => {
            let path = PathBuf::from(&local.path);
            own(pod, &path)?;
            Ok(path)
        }
        Some(local) => Err(format!("path \"{}\" does not exist", local.path)),
        None => Err("no volume plugin matched".to_owned()),
    }
}

async fn add_config_map(
    pod: &Pod,
    map_name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    source: &VolumeSource<'_>,
    payload: &mut Payload,
) -> Result<(), String> {
    let api: Api<ConfigMap> = Api::namespaced(source.client.clone(), namespace(pod));
    let Some(map) = api.get_opt(map_name).await.map_err(|error| error.to_string())? else {
        return if optional == Some(true) { Ok(()) } else { Err(format!("configmap \"{map_name}\" not found")) };
    };
    let text = map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
    let binary = map.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0));
    payload.add(text.chain(binary).collect(), items, optional == Some(true), "configmap")
}

async fn add_secret(
    pod: &Pod,
    secret_name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    source: &VolumeSource<'_>,
    payload: &mut Payload,
) -> Result<(), String> {
    let api: Api<Secret> = Api::namespaced(source.client.clone(), namespace(pod));
    let Some(secret) = api.get_opt(secret_name).await.map_err(|error| error.to_string())? else {
        return if optional == Some(true) { Ok(()) } else { Err(format!("secret \"{secret_name}\" not found")) };
    };
    let data = secret.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect();
    payload.add(data, items, optional == Some(true), "secret")
}

fn add_fields(pod: &Pod, items: Option<&[DownwardAPIVolumeFile]>, source: &VolumeSource<'_>, payload: &mut Payload) -> Result<(), String> {
    for item in items.unwrap_or_default() {
        let value = if let Some(field) = &item.field_ref {
            field_value(pod, &field.field_path, source.facts)?
        } else if let Some(field) = &item.resource_field_ref {
            let wanted = field.container_name.as_deref().unwrap_or_default();
            let container: Container = find_container(pod, wanted).map(|(_, container)| container).ok_or_else(|| format!("container {wanted} not found"))?;
            resource_value(&container, field, source.facts)?
        } else {
            continue;
        };
        payload.file(&item.path, value.into_bytes(), item.mode);
    }
    Ok(())
}

async fn add_token(
    pod: &Pod,
    token: &ServiceAccountTokenProjection,
    source: &VolumeSource<'_>,
    payload: &mut Payload,
    renew: &mut Option<Timestamp>,
) -> Result<(), String> {
    let account = spec(pod).service_account_name.as_deref().unwrap_or("default");
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: token.audience.clone().filter(|audience| !audience.is_empty()).map(|audience| vec![audience]),
            expiration_seconds: token.expiration_seconds,
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                name: Some(name(pod).to_owned()),
                uid: Some(uid(pod).to_owned()),
            }),
        }),
        ..TokenRequest::default()
    };
    let api: Api<ServiceAccount> = Api::namespaced(source.client.clone(), namespace(pod));
    let answer: TokenRequest = api
        .create_subresource("token", account, &PostParams::default(), &request)
        .await
        .map_err(|error| format!("failed to fetch token: {error}"))?;
    let status = answer.status.ok_or("failed to fetch token: the answer has none")?;
    payload.file(&token.path, status.token.unwrap_or_default().into_bytes(), None);
    let lifetime = token.expiration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(3600);
    // A token is renewed when a fifth of its life is left.
    let at = Timestamp::now() + Duration::from_secs(lifetime) * 4 / 5;
    *renew = Some(renew.map_or(at, |other| other.min(at)));
    Ok(())
}

/// Whether a Pod's volumes hold anything of this ConfigMap or Secret.
pub(super) fn refer_to(pod: &Pod, kind: &str, wanted: &str) -> bool {
    spec(pod).volumes.iter().flatten().any(|volume| {
        let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        match kind {
            "ConfigMap" => {
                volume.config_map.as_ref().is_some_and(|map| map.name == wanted)
                    || projected.into_iter().any(|part| part.config_map.as_ref().is_some_and(|map| map.name == wanted))
            }
            _ => {
                volume.secret.as_ref().is_some_and(|secret| secret.secret_name.as_deref() == Some(wanted))
                    || projected.into_iter().any(|part| part.secret.as_ref().is_some_and(|secret| secret.name == wanted))
            }
        }
    })
}

/// What a container sees of the volumes.
///
/// # Errors
/// The sentence of `CreateContainerConfigError`.
pub(super) fn mounts(container: &Container, volumes: &Volumes, env: &[(String, String)]) -> Result<Vec<Mount>, String> {
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let Some(path) = volumes.paths.get(&mount.name) else {
            return Err(format!("cannot find volume \"{}\" to mount into container \"{}\"", mount.name, container.name));
        };
        let lookup = |name: &str| env.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value.clone());
        let sub_path = match &mount.sub_path_expr {
            Some(expression) => Some(expand(expression, lookup)),
            None => mount.sub_path.clone(),
        };
        let source = match sub_path.filter(|sub_path| !sub_path.is_empty()) {
            None => path.clone(),
            Some(sub_path) => {
                if Path::new(&sub_path).components().any(|part| part == std::path::Component::ParentDir) {
                    return Err(format!("must not contain '..': {sub_path}"));
                }
                let inside = path.join(&sub_path);
                if !inside.exists() {
                    fs::create_dir_all(&inside)
                        .map_err(|_| format!("failed to create subPath directory for volumeMount \"{}\" of container \"{}\"", mount.name, container.name))?;
                }
                inside
            }
        };
        let bind = Mount::bind(source, &mount.mount_path);
        mounts.push(if mount.read_only == Some(true) { bind.readonly() } else { bind });
    }
    Ok(mounts)
}

/// Remove everything of a Pod.
pub(super) fn remove(pods: &Path, uid: &str) {
    let directory = pod_directory(pods, uid);
    let empty_dirs = directory.join("volumes/kubernetes.io~empty-dir");
    for entry in fs::read_dir(&empty_dirs).into_iter().flatten().flatten() {
        if is_mount_point(&entry.path())
            && let Err(error) = nix::mount::umount2(&entry.path(), nix::mount::MntFlags::MNT_DETACH)
        {
            tracing::warn!(path = %entry.path().display(), %error, "cannot unmount a volume");
        }
    }
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %directory.display(), %error, "cannot remove a Pod's directory");
        }
        _ => {}
    }
}
