//! The nodes' own disks, where volumes are made on demand.
//!
//! A learner may be root on a node's disk and put links there: nothing is made or removed outside of the disk.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use drydock_controllers::Disks;

use super::nodes::NodePlan;

/// The disks below the cluster's state.
pub(super) struct NodeDisks {
    state: PathBuf,
}

impl NodeDisks {
    pub(super) fn new(state: &Path) -> NodeDisks {
        NodeDisks { state: state.to_owned() }
    }

    /// The place of a node's path here, one step at a time: links are not followed.
    fn walk(&self, node: &str, path: &str, step: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
        let mut place = NodePlan::disk(&self.state, node);
        let known = Path::new(node).components().count() == 1 && place.is_dir();
        if !known {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no disk of node {node:?}")));
        }
        for part in Path::new(path).components() {
            match part {
                Component::RootDir => {}
                Component::Normal(name) => {
                    place.push(name);
                    step(&place)?;
                    let link = place.symlink_metadata().is_ok_and(|found| found.is_symlink());
                    if link {
                        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{path} leads through a link on node {node}")));
                    }
                }
                Component::Prefix(_) | Component::CurDir | Component::ParentDir => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
            }
        }
        Ok(place)
    }
}

impl Disks for NodeDisks {
    fn make(&self, node: &str, path: &str) -> io::Result<()> {
        let made = self.walk(node, path, |place| match std::fs::create_dir(place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        })?;
        // Whoever a container runs as may write to a volume made for it.
        std::fs::set_permissions(made, PermissionsExt::from_mode(0o777))
    }

    fn remove(&self, node: &str, path: &str) -> io::Result<()> {
        let place = self.walk(node, path, |_| Ok(()))?;
        match std::fs::remove_dir_all(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_and_go_on_their_own_disk_only() {
        let state = tempfile::tempdir().unwrap();
        let disk = NodePlan::disk(state.path(), "node-1");
        std::fs::create_dir_all(&disk).unwrap();
        std::fs::create_dir(state.path().join("secret")).unwrap();
        std::os::unix::fs::symlink(state.path(), disk.join("out")).unwrap();
        let disks = NodeDisks::new(state.path());
        disks.make("node-1", "/var/lib/k8s-pvs/data/pvc-1").unwrap();
        let place = disk.join("var/lib/k8s-pvs/data/pvc-1");
        assert_eq!(place.metadata().unwrap().permissions().mode() & 0o777, 0o777);
        std::fs::write(place.join("file"), "x").unwrap();
        disks.remove("node-1", "/var/lib/k8s-pvs/data/pvc-1").unwrap();
        assert!(!place.exists());
        disks.remove("node-1", "/var/lib/k8s-pvs/data/pvc-1").unwrap();
        for (node, path) in [("node-1", "/out/secret"), ("node-1", "/../secret"), ("node-9", "/x"), ("../node-1", "/x")] {
            assert!(disks.remove(node, path).is_err(), "{node} {path}");
            assert!(disks.make(node, path).is_err(), "{node} {path}");
        }
        assert!(state.path().join("secret").exists());
    }
}
