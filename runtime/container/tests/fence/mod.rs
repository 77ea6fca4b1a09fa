//! A fence for tests that need kernel rights: the test binary runs its cases as PID 1 of a user, pid, mount, network, uts and ipc
//! namespace of its own, so that they may do what they like and nothing is left when they are done.
//!
//! Started as root it maps 65,536 ids and delegates control groups; as an ordinary user it has one id and none, and says which cases
//! it therefore skips.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, Uid, fork, getgid, getuid, pipe, setresgid, setresuid};

/// First host id of the tests' user namespace when started as root.
const BASE: u32 = 1_700_000_000;

/// One case: its name and what it does.
pub(crate) type Case = (&'static str, fn(&Fence));

/// What a case may use.
pub(crate) struct Fence {
    /// A directory of this run; removed afterwards.
    pub directory: PathBuf,
    /// Delegated control groups, by controller.
    pub cgroups: Vec<(String, PathBuf)>,
    /// Whether more than one user id exists.
    pub many_ids: bool,
}

impl Fence {
    /// A new directory for one case.
    pub(crate) fn directory_for(&self, name: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// An image layer that borrows its programs from the machine: the caller mounts `/usr`.
    pub(crate) fn layer(&self) -> PathBuf {
        let layer = self.directory.join("layer");
        if layer.exists() {
            return layer;
        }
        for directory in ["etc", "tmp", "usr", "home/app", "stuff", "dev", "proc", "sys"] {
            fs::create_dir_all(layer.join(directory)).unwrap();
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), layer.join(name)).unwrap();
        }
        fs::write(layer.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n").unwrap();
        fs::write(layer.join("etc/group"), "root:x:0:\napps:x:1001:\nextra:x:2000:app\n").unwrap();
        fs::write(layer.join("stuff/file"), "from the image\n").unwrap();
        let script = layer.join("not-a-program");
        fs::write(&script, "this is no program\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(layer.join("not-executable"), "").unwrap();
        layer
    }
}

/// Run the cases behind the fence. Call it first thing in `main`, while the process has one thread.
pub(crate) fn run(cases: &[Case]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        cases.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|f| if exact { name == *f } else { name.contains(f.as_str()) });
    let cases: Vec<Case> = cases.iter().filter(|(name, _)| chosen(name)).copied().collect();

    let root = getuid().is_root();
    let directory = std::env::temp_dir().join(format!("drydock-test-{}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    let cgroups = if root { delegate() } else { Vec::new() };
    if root {
        chown(&directory, Some(BASE), Some(BASE)).unwrap();
    }
    let fence = Fence { directory: directory.clone(), cgroups, many_ids: root };
    let (unshared, tell_unshared) = pipe().unwrap();
    let (mapped, tell_mapped) = pipe().unwrap();
    // SAFETY: called first thing in main, so this process has one thread.
    #[allow(unsafe_code, reason = "fork of a single-threaded process")]
    let child = match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            drop((unshared, tell_mapped));
            unshare(CloneFlags::CLONE_NEWUSER).expect("user namespaces are allowed");
            drop(tell_unshared);
            File::from(mapped).read_exact(&mut [0]).unwrap();
            let code = behind(&fence, &cases);
            std::process::exit(code)
        }
    };
    drop((tell_unshared, mapped));
    File::from(unshared).read_to_end(&mut Vec::new()).unwrap();
    write_maps(child.as_raw(), root);
    File::from(tell_mapped).write_all(b"x").unwrap();
    let status = waitpid(child, None).unwrap();
    for (_, path) in &fence.cgroups {
        remove_tree(path);
    }
    open_up(&directory);
    if let Err(error) = fs::remove_dir_all(&directory) {
        println!("left behind: {}: {error}", directory.display());
        return ExitCode::FAILURE;
    }
    match status {
        WaitStatus::Exited(_, 0) => ExitCode::SUCCESS,
        other => {
            println!("{other:?}");
            ExitCode::FAILURE
        }
    }
}

fn behind(fence: &Fence, cases: &[Case]) -> i32 {
    let zero = Uid::from_raw(0);
    setresgid(0.into(), 0.into(), 0.into()).unwrap();
    setresuid(zero, zero, zero).unwrap();
    let fenced = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
    unshare(fenced).unwrap();
    // SAFETY: still one thread.
    #[allow(unsafe_code, reason = "fork of a single-threaded process")]
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => match waitpid(child, None).unwrap() {
            WaitStatus::Exited(_, code) => code,
            other => {
                println!("PID 1 of the fence: {other:?}");
                1
            }
        },
        ForkResult::Child => {
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).unwrap();
            let failed: Vec<&str> = cases.iter().filter(|case| !passes(fence, case)).map(|(name, _)| *name).collect();
            println!("\n{} of {} passed{}\n", cases.len() - failed.len(), cases.len(), if failed.is_empty() { String::new() } else { format!("; failed: {failed:?}") });
            std::process::exit(i32::from(!failed.is_empty()))
        }
    }
}

fn passes(fence: &Fence, (name, case): &Case) -> bool {
    let passed = catch_unwind(AssertUnwindSafe(|| case(fence))).is_ok();
    if !passed {
        end_leftovers();
    }
    println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    passed
}

/// What a failed case did not get to end would be waited for by a later one. This process is PID 1 of a pid namespace of its own, so
/// "everybody" is everybody behind the fence.
fn end_leftovers() {
    assert_eq!(std::process::id(), 1);
    match nix::sys::signal::kill(Pid::from_raw(-1), nix::sys::signal::Signal::SIGKILL) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
        Err(errno) => panic!("kill what is left: {errno}"),
    }
    while waitpid(None, None).is_ok() {}
}

fn write_maps(pid: i32, root: bool) {
    let (uid_map, gid_map) = if root {
        (format!("0 {BASE} 65536"), format!("0 {BASE} 65536"))
    } else {
        fs::write(format!("/proc/{pid}/setgroups"), "deny").unwrap();
        (format!("0 {} 1", getuid()), format!("0 {} 1", getgid()))
    };
    fs::write(format!("/proc/{pid}/uid_map"), uid_map).unwrap();
    fs::write(format!("/proc/{pid}/gid_map"), gid_map).unwrap();
}

/// A directory of our own in every version 1 hierarchy that limits containers. Machines with version 2 alone run these cases in
/// the guest of the cgroup proof.
fn delegate() -> Vec<(String, PathBuf)> {
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap();
    let mut delegated = Vec::new();
    for controller in ["memory", "cpu", "pids"] {
        let own = membership.lines().find_map(|line| line.split_once(&format!(":{controller}:")).map(|(_, path)| path.to_owned()));
        let Some(own) = own else { continue };
        let path = Path::new("/sys/fs/cgroup").join(controller).join(own.trim_start_matches('/')).join(format!("drydock-test-{}", std::process::id()));
        if fs::create_dir(&path).is_err() {
            continue;
        }
        for file in ["", "cgroup.procs", "tasks"] {
            chown(path.join(file), Some(BASE), Some(BASE)).unwrap();
        }
        delegated.push((controller.to_owned(), path));
    }
    delegated
}

/// The kernel closes the work directories of overlays to everybody but root.
fn open_up(path: &Path) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    if !metadata.is_dir() || fs::set_permissions(path, fs::Permissions::from_mode(0o700)).is_err() {
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        open_up(&entry.path());
    }
}

fn remove_tree(path: &Path) {
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        remove_tree(&entry.path());
    }
    if let Err(error) = fs::remove_dir(path) {
        println!("left behind: {}: {error}", path.display());
    }
}
