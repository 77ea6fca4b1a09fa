//! Volumes of a Pod, made below its own directory and bound into its containers.
//!
//! 1. [`prepare`] makes every volume: an empty directory, the files of ConfigMaps, Secrets, tokens and Pod fields (`files`), a path of
//!    the node (`places`), or what a bound claim stands for (`claims`).
//! 2. [`mounts`] says what a container sees of them.
//! 3. [`prepare`] may be repeated at any time: files are exchanged in one step (`payload`), directories are kept.

// upstream: pkg/volume/*, pkg/kubelet/kubelet_pods.go (makeMounts)

mod claims;
mod files;
mod follow;
mod payload;
mod places;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use drydock_container::Mount;
use drydock_primitives::quantity::Quantity;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, Volume};

use self::files::Token;
pub(super) use self::follow::Followed;
use self::payload::Payload;
use super::environment::{Facts, expand};
use super::state::{spec, uid};

/// What volumes are made of.
pub(super) struct VolumeSource<'a> {
    /// The API.
    pub(super) client: &'a kube::Client,
    /// This node's name.
    pub(super) node: &'a str,
    /// `/var/lib/kubelet/pods`.
    pub(super) pods: &'a Path,
    /// What the Pod does not know about itself.
    pub(super) facts: &'a Facts,
}

/// The volumes of one Pod, in place.
#[derive(Debug, Clone, Default)]
pub(super) struct Volumes {
    /// Where each is on the node.
    placed: BTreeMap<String, Placed>,
    /// When a token in them has to be renewed.
    pub(super) renew: Option<Timestamp>,
    /// Tokens that are good for a while, by volume and path.
    tokens: BTreeMap<(String, String), Token>,
}

/// A volume in place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    path: PathBuf,
    /// Containers may not write to it, whatever their mounts say.
    readonly: bool,
}

impl Placed {
    fn writable(path: PathBuf) -> Placed {
        Placed { path, readonly: false }
    }
}

/// Why a volume is not in place.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    /// Its claim does not lead anywhere yet.
    Claim(String),
    /// It could not be mounted: the whole sentence.
    Mount(String),
}

impl Problem {
    fn set_up(volume: &str, error: impl std::fmt::Display) -> Problem {
        Problem::Mount(format!("MountVolume.SetUp failed for volume \"{volume}\" : {error}"))
    }
}

/// Make all volumes. What cannot be made is told in the sentences of `FailedMount` events, and stays as it was in `old`.
pub(super) async fn prepare(pod: &Pod, source: &VolumeSource<'_>, old: &Volumes) -> (Volumes, Vec<String>) {
    let mut volumes = Volumes::default();
    let (mut problems, mut unprocessed, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for volume in spec(pod).volumes.iter().flatten() {
        match one(pod, volume, source, old, &mut volumes).await {
            Ok(placed) => {
                volumes.placed.insert(volume.name.clone(), placed);
            }
            Err(problem) => {
                volumes.placed.extend(old.placed.get_key_value(&volume.name).map(|(name, placed)| (name.clone(), placed.clone())));
                match problem {
                    Problem::Mount(sentence) => problems.push(sentence),
                    Problem::Claim(reason) => {
                        unprocessed.push(volume.name.clone());
                        reasons.push(reason);
                    }
                }
            }
        }
    }
    if !unprocessed.is_empty() {
        let (names, reasons) = (unprocessed.join(" "), reasons.join("; "));
        // upstream: pkg/kubelet/volumemanager/volume_manager.go, WaitForAttachAndMount
        problems.push(format!(
            "Unable to attach or mount volumes: unmounted volumes=[{names}], unattached volumes=[], failed to process volumes=[{names}]: {reasons}"
        ));
    }
    (volumes, problems)
}

/// Where an empty directory of a Pod is.
pub(super) fn empty_directory_of(pods: &Path, uid: &str, volume: &str) -> PathBuf {
    pod_directory(pods, uid).join("volumes").join("kubernetes.io~empty-dir").join(volume)
}

/// The directory of everything of one Pod.
pub(super) fn pod_directory(pods: &Path, uid: &str) -> PathBuf {
    pods.join(uid)
}

async fn one(pod: &Pod, volume: &Volume, source: &VolumeSource<'_>, old: &Volumes, new: &mut Volumes) -> Result<Placed, Problem> {
    let place = |plugin: &str| pod_directory(source.pods, uid(pod)).join("volumes").join(plugin).join(&volume.name);
    let failed = |error: String| Problem::set_up(&volume.name, error);
    if let Some(empty) = &volume.empty_dir {
        let path = empty_directory_of(source.pods, uid(pod), &volume.name);
        let size = empty.size_limit.as_ref().and_then(|limit| limit.0.parse::<Quantity>().ok());
        places::empty_directory(&path, empty.medium.as_deref() == Some("Memory"), size).map_err(failed)?;
        places::give_to_group(&path, fs_group(pod)).map_err(failed)?;
        return Ok(Placed::writable(path));
    }
    if let Some(host) = &volume.host_path {
        return places::host_path(host).map(Placed::writable).map_err(failed);
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        return claims::claimed(pod, claim, source).await;
    }
    let mut payload = Payload::default();
    let plugin = files::collect(pod, volume, source, &mut payload, (old, new)).await.map_err(failed)?;
    let path = place(plugin.directory);
    if plugin.memory {
        places::in_memory(&path, None).map_err(failed)?;
    }
    let written = payload.write(&path, fs_group(pod), Timestamp::now());
    written.map_err(|error| failed(format!("write {}: {error}", path.display())))?;
    Ok(Placed { path, readonly: true })
}

fn fs_group(pod: &Pod) -> Option<u32> {
    spec(pod).security_context.as_ref()?.fs_group.and_then(|group| u32::try_from(group).ok())
}

/// Whether a Pod's volumes show its own labels or annotations, which may change at any time.
pub(super) fn show_metadata(pod: &Pod) -> bool {
    spec(pod).volumes.iter().flatten().any(|volume| {
        let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        volume.downward_api.is_some() || projected.into_iter().any(|part| part.downward_api.is_some())
    })
}

/// What a container sees of the volumes, those further out first.
///
/// # Errors
/// The sentence of `CreateContainerConfigError`.
pub(super) fn mounts(container: &Container, volumes: &Volumes, env: &[(String, String)]) -> Result<Vec<Mount>, String> {
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let Some(placed) = volumes.placed.get(&mount.name) else {
            return Err(format!("cannot find volume \"{}\" to mount into container \"{}\"", mount.name, container.name));
        };
        let lookup = |name: &str| env.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value.clone());
        let sub_path = match &mount.sub_path_expr {
            Some(expression) => Some(expand(expression, lookup)),
            None => mount.sub_path.clone(),
        };
        let source = match sub_path.filter(|sub_path| !sub_path.is_empty()) {
            None => placed.path.clone(),
            Some(sub_path) => places::below(&placed.path, &sub_path).map_err(|error| match error {
                places::BelowError::Invalid(reason) => format!("unable to provision SubPath `{sub_path}`: {reason}"),
                places::BelowError::Make => {
                    format!("failed to create subPath directory for volumeMount \"{}\" of container \"{}\"", mount.name, container.name)
                }
                places::BelowError::Outside => {
                    format!("failed to prepare subPath for volumeMount \"{}\" of container \"{}\"", mount.name, container.name)
                }
            })?,
        };
        let bind = Mount::bind(source, &mount.mount_path);
        mounts.push(if placed.readonly || mount.read_only == Some(true) { bind.readonly() } else { bind });
    }
    // upstream: containerd sorts mounts by the number of their parts, so that /a/b lies on /a and not below it.
    mounts.sort_by_key(|mount| mount.target.components().count());
    Ok(mounts)
}

/// Remove everything of a Pod.
pub(super) fn remove(pods: &Path, uid: &str) {
    let directory = pod_directory(pods, uid);
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    for volume in entries(&directory.join("volumes")).iter().flat_map(|plugin| entries(plugin)) {
        if places::is_mount_point(&volume)
            && let Err(error) = nix::mount::umount2(&volume, nix::mount::MntFlags::MNT_DETACH)
        {
            tracing::warn!(path = %volume.display(), %error, "cannot unmount a volume");
        }
    }
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %directory.display(), %error, "cannot remove a Pod's directory");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn files_are_read_only_and_inner_mounts_come_last() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("log")).unwrap();
        let placed = |readonly| Placed { path: root.path().to_owned(), readonly };
        let volumes = Volumes { placed: [("dir".to_owned(), placed(false)), ("files".to_owned(), placed(true))].into(), ..Volumes::default() };
        let container: Container = serde_json::from_value(json!({"name": "c", "volumeMounts": [
            {"name": "files", "mountPath": "/app/config"},
            {"name": "dir", "mountPath": "/app"},
            {"name": "dir", "mountPath": "/logs", "subPath": "log", "readOnly": true},
            {"name": "dir", "mountPath": "/of/pod", "subPathExpr": "$(POD)"},
        ]}))
        .unwrap();
        let mounts = mounts(&container, &volumes, &[("POD".to_owned(), "p-1".to_owned())]).unwrap();
        let seen: Vec<(&str, bool)> = mounts.iter().map(|mount| (mount.target.to_str().unwrap(), mount.readonly)).collect();
        assert_eq!(seen, [("/app", false), ("/logs", true), ("/app/config", true), ("/of/pod", false)]);
        assert!(root.path().join("p-1").is_dir(), "made when it is missing");
    }
}
