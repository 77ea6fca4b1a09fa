//! What a Pod has written to the node's disk, by counting the blocks of its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use crate::disk;
use crate::kubelet::state::{spec, uid};
use crate::kubelet::volumes;

/// Files looked at in one round over all Pods, so that a Pod with a million of them does not keep the node busy. What comes after them
/// is not counted.
pub(super) const BUDGET: usize = 200_000;

/// Directories of one Pod.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// By volume.
    volumes: Vec<(String, PathBuf)>,
    /// By container, each of its instances and its logs.
    containers: Vec<(String, PathBuf)>,
}

/// Bytes of one Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// By volume.
    pub(super) volumes: BTreeMap<String, u64>,
    /// By container: its writable layer and its logs.
    pub(super) containers: BTreeMap<String, u64>,
}

impl Places {
    /// Volumes in memory and those that outlive the Pod are no local storage.
    pub(super) fn of(pod: &Pod, pods: &Path, logs: &Path, layers: Vec<(String, PathBuf)>) -> Places {
        let empty = spec(pod).volumes.iter().flatten().filter(|volume| {
            volume.empty_dir.as_ref().is_some_and(|empty| empty.medium.as_deref() != Some("Memory"))
        });
        let volumes = empty.map(|volume| (volume.name.clone(), volumes::empty_directory_of(pods, uid(pod), &volume.name))).collect();
        let mut containers = layers;
        let logs = spec(pod).init_containers.iter().flatten().chain(&spec(pod).containers).map(|c| (c.name.clone(), logs.join(&c.name)));
        containers.extend(logs);
        Places { volumes, containers }
    }

    /// Count.
    pub(super) fn walk(&self, budget: &mut usize) -> Used {
        let mut sum = |places: &[(String, PathBuf)]| {
            let mut used = BTreeMap::new();
            for (name, path) in places {
                *used.entry(name.clone()).or_default() += disk::size(path, &[], budget);
            }
            used
        };
        Used { volumes: sum(&self.volumes), containers: sum(&self.containers) }
    }
}

impl Used {
    /// All of it.
    pub(super) fn total(&self) -> u64 {
        self.volumes.values().chain(self.containers.values()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use serde_json::json;

    #[test]
    fn volumes_layers_and_logs_are_counted_by_name() {
        let root = tempfile::tempdir().unwrap();
        let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "u"}, "spec": {
            "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}, {"name": "config", "configMap": {"name": "c"}}],
            "containers": [{"name": "web"}, {"name": "idle"}],
        }}))
        .unwrap();
        let (pods, logs, layer) = (root.path().join("pods"), root.path().join("logs"), root.path().join("layer"));
        let fill = |path: PathBuf, kilobytes: usize| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![1; kilobytes << 10]).unwrap();
        };
        fill(volumes::empty_directory_of(&pods, "u", "scratch").join("deep/file"), 400);
        fill(logs.join("web/0.log"), 100);
        fill(layer.join("upper/file"), 200);
        std::os::unix::fs::symlink("/", layer.join("upper/everything")).unwrap();
        let used = Places::of(&pod, &pods, &logs, vec![("web".to_owned(), layer)]).walk(&mut BUDGET.clone());
        let near = |bytes: u64, kilobytes: u64| (kilobytes..kilobytes + 50).contains(&(bytes >> 10));
        assert_eq!(used.volumes.keys().collect::<Vec<_>>(), ["scratch"]);
        assert!(near(used.volumes["scratch"], 400) && near(used.containers["web"], 300) && used.containers["idle"] == 0, "{used:?}");
        assert!(near(used.total(), 700));
    }
}
