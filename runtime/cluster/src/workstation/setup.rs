//! What the workstation is made of: root file system, home, credentials, and the names it knows.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use drydock_container::{CgroupSpec, ContainerSpec, Limits, Mount, PidMode, ProcessSpec, RootFs};
use drydock_node::init::protocol::InitConfig;
use drydock_node::init::{DiskLimit, RootBind};

use super::HOME;

/// Id of the learner inside.
const LEARNER: u32 = 1000;

/// Processes and threads of a seat: a fork bomb in a terminal stays there.
const PROCESSES: u64 = 1024;

/// The first process of a seat, which waits and lets the kernel bury what nobody else waits for.
pub(crate) fn first_process() -> ProcessSpec {
    let args = ["sh", "-c", "trap '' CHLD; exec sleep infinity"];
    ProcessSpec { args: args.map(str::to_owned).to_vec(), ..ProcessSpec::default() }
}

/// The control group of a seat.
pub(crate) fn group(name: &str) -> CgroupSpec {
    CgroupSpec { path: name.into(), limits: Limits { pids: Some(PROCESSES), ..Limits::default() } }
}

/// Everything the workstation is started with. Paths are those of the control plane.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// Directory of the workstation in the cluster's state.
    pub(crate) directory: PathBuf,
    /// Directory shared with the first node: its engine's socket is in it.
    pub(crate) node_shared: PathBuf,
    /// The directory of image layers.
    pub(crate) layers_directory: PathBuf,
    /// Layers of the workstation's image, lowest first, below `layers_directory`.
    pub(crate) layers: Vec<PathBuf>,
    /// Whether the terminals have kubectl of the host.
    pub(crate) kubectl: bool,
    /// The cluster's certificate authority, PEM.
    pub(crate) authority: String,
    /// The learner's kubeconfig, as seen from the LAN.
    pub(crate) kubeconfig: String,
    /// The name server.
    pub(crate) dns: Ipv4Addr,
    /// Names known without asking.
    pub(crate) hosts: BTreeMap<String, Ipv4Addr>,
    /// Files of the learner's home: path and contents. Written when missing, never overwritten.
    pub(crate) files: Vec<(String, String)>,
    /// Whether more than one user exists here.
    pub(crate) has_ids: bool,
    /// Delegated cgroup directories.
    pub(crate) cgroups: Vec<(String, PathBuf)>,
    /// Bytes that fit into the home.
    pub(crate) disk: u64,
}

/// The directory, in that of the workstation, of the page's socket.
const PAGE: &str = "page";

impl Setup {
    /// Write the files the container binds.
    ///
    /// # Errors
    /// When the state directory cannot be written.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        let etc = self.directory.join("etc");
        for directory in [&etc, &self.home(), &self.node_shared, &self.page(), &self.directory.join("laptop"), &self.directory.join("root")] {
            std::fs::create_dir_all(directory)?;
        }
        std::fs::write(etc.join("ca-certificates.crt"), &self.authority)?;
        std::fs::write(etc.join("resolv.conf"), format!("nameserver {}\n", self.dns))?;
        let mut hosts = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
        for (name, address) in &self.hosts {
            hosts.push_str(&format!("{address} {name}\n"));
        }
        std::fs::write(etc.join("hosts"), hosts)?;
        // A writable layer does not survive a restart.
        self.empty_layer()?;
        self.write_home()
    }

    /// Throw away what was changed outside of the home. The directory itself stays: the machine has it mounted.
    ///
    /// # Errors
    /// When the state directory cannot be written.
    pub(crate) fn empty_layer(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.directory.join("laptop"))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Where the page listens for the `lab` command.
    fn page(&self) -> PathBuf {
        self.directory.join(PAGE)
    }

    /// The learner's home as the control plane sees it.
    pub(crate) fn home(&self) -> PathBuf {
        self.directory.join("home")
    }

    fn write_home(&self) -> io::Result<()> {
        let home = self.home();
        self.own(&home)?;
        let config = home.join(".kube/config");
        self.write(&home, &config, &self.kubeconfig)?;
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600))?;
        for (path, contents) in &self.files {
            let path = home.join(path);
            if !path.exists() {
                self.write(&home, &path, contents)?;
            }
        }
        Ok(())
    }

    /// Throw the home away and write it anew.
    ///
    /// # Errors
    /// When the state directory cannot be written.
    pub(crate) fn reset_home(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.home())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else {
                std::fs::remove_file(entry.path())?;
            }
        }
        self.write_home()
    }

    fn write(&self, home: &Path, path: &Path, contents: &str) -> io::Result<()> {
        let mut missing: Vec<&Path> = path.ancestors().skip(1).take_while(|directory| *directory != home).collect();
        missing.retain(|directory| !directory.exists());
        for directory in missing.into_iter().rev() {
            std::fs::create_dir(directory)?;
            self.own(directory)?;
        }
        if let Err(error) = std::fs::write(path, contents) {
            // Half a file would be taken for the learner's own at the next start.
            std::fs::remove_file(path).unwrap_or_default();
            return Err(error);
        }
        self.own(path)
    }

    fn own(&self, path: &Path) -> io::Result<()> {
        if self.has_ids { chown(path, Some(LEARNER), Some(LEARNER)) } else { Ok(()) }
    }

    /// How its node-init is run.
    pub(crate) fn init(&self) -> InitConfig {
        let bind = |source: &Path, target: &str, readonly| RootBind { source: source.to_owned(), target: target.into(), readonly };
        let mut binds = vec![
            bind(&self.node_shared, "/node", false),
            bind(&self.home(), "/home", false),
            bind(&self.directory.join("etc"), "/lab", true),
            bind(&self.page(), "/page", true),
            bind(&self.layers_directory, "/layers", true),
            bind(&self.directory.join("laptop"), "/laptop", false),
            bind(Path::new("/drydock"), "/lab-bin/drydock", true),
        ];
        if self.kubectl {
            binds.push(bind(Path::new("/kubectl"), "/lab-bin/kubectl", true));
        }
        InitConfig {
            name: "workstation".into(),
            root: Some(self.directory.join("root")),
            binds,
            socket: "/init.sock".into(),
            cgroups: self.cgroups.clone(),
            children: Vec::new(),
            disk: Some(DiskLimit { places: vec!["/home".into(), "/laptop".into()], except: Vec::new(), most: self.disk }),
        }
    }

    /// The laptop itself. Paths are those of the workstation's machine.
    pub(crate) fn container(&self) -> ContainerSpec {
        let layers = self.layers.iter().map(|layer| match layer.strip_prefix(&self.layers_directory) {
            Ok(below) => Path::new("/layers").join(below),
            Err(_) => layer.clone(),
        });
        // Our own is this program under another name.
        let kubectl = if self.kubectl { "/lab-bin/kubectl" } else { "/lab-bin/drydock" };
        ContainerSpec {
            id: "laptop".into(),
            root: RootFs { layers: layers.collect(), writable: "/laptop".into(), readonly: false },
            mounts: vec![
                Mount::bind("/home", HOME),
                Mount::bind("/lab/hosts", "/etc/hosts").readonly(),
                Mount::bind("/lab/resolv.conf", "/etc/resolv.conf").readonly(),
                Mount::bind("/lab/ca-certificates.crt", "/etc/ssl/certs/ca-certificates.crt").readonly(),
                // A socket is used all the same, and no `rm -rf /` takes it away.
                Mount::bind("/node", "/run/node-1").readonly(),
                Mount::bind(kubectl, "/usr/local/bin/kubectl").readonly(),
                Mount::bind("/lab-bin/drydock", "/usr/local/bin/docker").readonly(),
                // The page, when there is one, answers `lab` here.
                Mount::bind("/page", "/run/drydock").readonly(),
                Mount::bind("/lab-bin/drydock", "/usr/local/bin/lab").readonly(),
                Mount::tmpfs("/tmp", Some(256 << 20)),
            ],
            process: first_process(),
            pid: PidMode::Own,
            cgroup: Some(group("laptop")),
            ..ContainerSpec::default()
        }
    }
}
