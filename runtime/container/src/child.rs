//! What the new process does between `clone3` and `execve`: the privileged sequence, one comment per step.
//!
//! It runs on a copy of a single-threaded parent, so it may allocate. It reports over [`Reporter`] and never returns.

#![allow(unsafe_code, reason = "the last ioctls, limits and exec have no wrapper that fits")]

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chdir, execve, fchown, setsid};

use crate::cgroup;
use crate::error::{Context, Error, Step};
use crate::mounts::{self, Prepared};
use crate::privileges::{self, Filters};
use crate::report::Reporter;
use crate::rootfs;
use crate::sandbox::Sandbox;
use crate::spec::{ContainerSpec, ProcessSpec};
use crate::stdio;
use crate::syscalls;
use crate::users::{self, IdMap, Identity};

/// Search path of a container whose image names none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a failing exec exits with once the parent has let go, as runc's init does.
const EXEC_FAILED: i32 = 255;

/// What the parent prepared for the child.
pub(crate) struct Birth<'a> {
    pub(crate) process: &'a ProcessSpec,
    pub(crate) ids: &'a IdMap,
    pub(crate) filters: Filters,
    pub(crate) doors: Vec<File>,
    pub(crate) streams: Streams,
    pub(crate) oom_score_adj: Option<i32>,
}

/// The child's ends of its standard streams.
pub(crate) enum Streams {
    /// Standard input, output and error.
    Pipes([OwnedFd; 3]),
    /// A terminal made inside.
    Terminal,
}

/// Become the first process of a container.
pub(crate) fn become_container(birth: Birth<'_>, spec: &ContainerSpec, sandbox: Option<&Sandbox>, reporter: &Reporter) -> Result<Infallible, Error> {
    // 1. Limits first, so that all that follows is accounted for and a fork bomb has no head start.
    prepare(&birth, reporter)?;
    if !spec.privileged {
        unshare(CloneFlags::CLONE_NEWCGROUP).context(Step::Namespaces, || "see its own control group as the root")?;
    }
    // 2. Host name, ipc and network of the Pod: sysfs and mqueue show the namespace they are mounted from.
    if let Some(sandbox) = sandbox {
        sandbox.enter()?;
    }
    // 3. The root, and every mount while the node's paths can still be read.
    let root = rootfs::assemble(&spec.root, reporter)?;
    let mounts = Prepared::new(spec, sandbox, birth.ids, reporter)?;
    // 4. From here on no path leads out.
    rootfs::enter(&root)?;
    mounts.attach()?;
    mounts::hide(spec)?;
    // 5. The rest is the same for an exec. The working directory is made here because exec must not make any.
    make_cwd(&birth.process.cwd)?;
    become_program(birth, if spec.root.readonly { RootAccess::ReadOnly } else { RootAccess::AsIs }, reporter)
}

/// Become one more process of a running container.
pub(crate) fn become_exec(birth: Birth<'_>, container: BorrowedFd<'_>, reporter: &Reporter) -> Result<Infallible, Error> {
    prepare(&birth, reporter)?;
    // The pid namespace was joined by the parent (it takes effect on fork); these take effect at once. The mount namespace
    // brings its root directory along.
    let namespaces = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    let joined = match setns(container, namespaces | CloneFlags::CLONE_NEWCGROUP) {
        // A privileged container has no view of control groups of its own: it shares the machine's, which nobody here may join again.
        Err(Errno::EPERM) => setns(container, namespaces),
        other => other,
    };
    joined.context(Step::Namespaces, || "join the container")?;
    become_program(birth, RootAccess::AsIs, reporter)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RootAccess {
    AsIs,
    ReadOnly,
}

fn prepare(birth: &Birth<'_>, reporter: &Reporter) -> Result<(), Error> {
    if let Some(score) = birth.oom_score_adj {
        // The file belongs to us only while others may look at us.
        syscalls::prctl(libc::PR_SET_DUMPABLE, 1).context(Step::Limits, || "own our files below /proc")?;
        match fs::write("/proc/self/oom_score_adj", score.to_string()) {
            // Lowering it takes rights over the host.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                reporter.degraded(format!("oom_score_adj {score} needs rights over the machine; left as it is"))?;
            }
            other => other.context(Step::Limits, || format!("set oom_score_adj {score}"))?,
        }
    }
    // Nobody in the container may look into this process before it is the program: it is still a copy of node-init.
    syscalls::prctl(libc::PR_SET_DUMPABLE, 0).context(Step::Clone, || "hide from the container")?;
    cgroup::join(&birth.doors)?;
    // The parent blocks SIGCHLD and, as every Rust program, ignores SIGPIPE; both would be inherited.
    syscalls::default_signals().context(Step::Clone, || "reset signals")?;
    umask(Mode::from_bits_truncate(0o022));
    setsid().context(Step::Clone, || "start a session").map(drop)
}

fn become_program(birth: Birth<'_>, root: RootAccess, reporter: &Reporter) -> Result<Infallible, Error> {
    let Birth { process, ids, filters, streams, .. } = birth;
    let identity = users::resolve(&process.user)?;
    let owner = if ids.has_uid(identity.uid) { Uid::from_raw(identity.uid) } else { Uid::from_raw(0) };
    match streams {
        Streams::Terminal => terminal(process, owner, root, reporter)?,
        Streams::Pipes(pipes) => {
            for (number, pipe) in pipes.iter().enumerate() {
                // So that the program may open /dev/stdout again although it is not root.
                chown_stream(pipe.as_fd(), owner)?;
                duplicate_to(pipe.as_fd(), number as i32)?;
            }
        }
    }
    if root == RootAccess::ReadOnly {
        mounts::readonly_root()?;
    }
    set_limits(process)?;
    let environment = environment(process, &identity)?;
    // Root may pass where the user may not and the other way round (a directory on a squashing volume), so try as both.
    let entered = enter_cwd(&process.cwd);
    privileges::drop_to(process, &identity, ids, &filters, reporter)?;
    if entered.is_err() {
        enter_cwd(&process.cwd)?;
    }
    let program = find_program(process, &environment)?;
    let text = |text: &str| CString::new(text).map_err(|_| Error::new(Step::Request, "argument contains a zero byte"));
    let arguments = process.args.iter().map(|argument| text(argument)).collect::<Result<Vec<_>, _>>()?;
    let path = text(&program.to_string_lossy())?;
    // Whatever the caller forgot to mark: nothing of the node leaks into a container.
    syscalls::close_on_exec_from_3().context(Step::Exec, || "close descriptors")?;
    let Err(errno) = execve(&path, &arguments, &environment);
    // The program was found, so the container counts as started: the reason goes to its own log and it exits, as with runc.
    let message = format!("exec {}: {}\n", program.display(), crate::error::describe(errno));
    match std::io::stderr().write_all(message.as_bytes()) {
        Ok(()) | Err(_) => syscalls::exit_now(EXEC_FAILED),
    }
}

/// A terminal of the container's own devpts instance: one made outside would have no name inside.
fn terminal(process: &ProcessSpec, owner: Uid, root: RootAccess, reporter: &Reporter) -> Result<(), Error> {
    let open = |path: &Path| {
        let file = File::options().read(true).write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK).open(path);
        let file = file.context(Step::Terminal, || format!("open {}", path.display()))?;
        let metadata = file.metadata().context(Step::Terminal, || format!("stat {}", path.display()))?;
        // The container may have put anything there.
        if !metadata.file_type().is_char_device() {
            return Err(Error::new(Step::Terminal, format!("{} is not a terminal multiplexer", path.display())));
        }
        Ok(file)
    };
    let master = open(Path::new("/dev/pts/ptmx")).or_else(|_| open(Path::new("/dev/ptmx")))?;
    // Not waiting was for the opening alone: it might have been a pipe. How to read is for whoever gets it.
    fcntl(&master, FcntlArg::F_SETFL(OFlag::empty())).context(Step::Terminal, || "set up the terminal")?;
    let slave = stdio::terminal_peer(master.as_fd()).context(Step::Terminal, || "open the terminal")?;
    if let Some(size) = process.terminal_size {
        stdio::resize(master.as_fd(), size)?;
    }
    chown_stream(slave.as_fd(), owner)?;
    if root == RootAccess::AsIs || Path::new("/dev/console").exists() {
        console(slave.as_fd())?;
    }
    reporter.terminal(master.as_fd())?;
    // SAFETY: the session is ours (setsid above) and has no terminal yet; the argument 0 steals nothing.
    Errno::result(unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY, 0) }).context(Step::Terminal, || "take the terminal")?;
    for number in 0..3 {
        duplicate_to(slave.as_fd(), number)?;
    }
    Ok(())
}

/// `/dev/console` of a container is its terminal. Only the first process has the right moment for it.
fn console(slave: BorrowedFd<'_>) -> Result<(), Error> {
    if nix::unistd::getpid().as_raw() != 1 || Path::new("/dev/console").exists() {
        return Ok(());
    }
    let what = || "bind /dev/console";
    File::create("/dev/console").context(Step::Terminal, what)?;
    let tree = syscalls::copy_tree(Path::new(&format!("/proc/self/fd/{}", slave.as_raw_fd()))).context(Step::Terminal, what)?;
    syscalls::attach(tree.as_fd(), Path::new("/dev/console")).context(Step::Terminal, what)
}

fn chown_stream(stream: BorrowedFd<'_>, owner: Uid) -> Result<(), Error> {
    // upstream: runc libcontainer/init_linux.go, fixStdioPermissions: leave the group, and leave what belongs to nobody here (/dev/null).
    match fchown(stream, Some(owner), None::<Gid>) {
        Ok(()) | Err(Errno::EINVAL | Errno::EPERM | Errno::EROFS) => Ok(()),
        Err(errno) => Err(Error::errno(Step::Terminal, "change the owner of a standard stream", errno)),
    }
}

fn duplicate_to(source: BorrowedFd<'_>, number: i32) -> Result<(), Error> {
    // SAFETY: replaces one of this process's standard streams, which nothing here owns.
    Errno::result(unsafe { libc::dup2(source.as_raw_fd(), number) }).map(drop).context(Step::Terminal, || "connect a standard stream")
}

fn set_limits(process: &ProcessSpec) -> Result<(), Error> {
    for limit in &process.rlimits {
        let values = libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard };
        // SAFETY: reads one rlimit from our stack.
        let result = unsafe { libc::setrlimit(limit.resource, &raw const values) };
        Errno::result(result).map(drop).context(Step::Limits, || format!("error setting rlimit type {}", limit.resource))?;
    }
    Ok(())
}

/// The environment the program gets: what was asked for, and what every program expects.
fn environment(process: &ProcessSpec, identity: &Identity) -> Result<Vec<CString>, Error> {
    let mut environment = process.env.clone();
    let mut ensure = |name: &str, value: &str| {
        let missing = !environment.iter().any(|entry| entry.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')));
        if missing {
            environment.push(format!("{name}={value}"));
        }
    };
    ensure("PATH", DEFAULT_PATH);
    ensure("HOME", &identity.home);
    if process.tty {
        ensure("TERM", "xterm");
    }
    environment
        .into_iter()
        .map(|entry| CString::new(entry).map_err(|error| Error::new(Step::Request, format!("environment variable contains a zero byte at {}", error.nul_position()))))
        .collect()
}

fn make_cwd(cwd: &Path) -> Result<(), Error> {
    if cwd.as_os_str().is_empty() || cwd.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(cwd).context(Step::Directory, || format!("mkdir {}", cwd.display()))
}

fn enter_cwd(cwd: &Path) -> Result<(), Error> {
    let cwd = if cwd.as_os_str().is_empty() { Path::new("/") } else { cwd };
    // upstream: runc libcontainer/init_linux.go, finalizeNamespace
    chdir(cwd).context(Step::Directory, || format!("chdir to cwd ({:?}) set in config.json failed", cwd.display().to_string()))
}

/// Find the program as Go's exec.LookPath does, with its words.
// upstream: go os/exec/lp_unix.go
fn find_program(process: &ProcessSpec, environment: &[CString]) -> Result<PathBuf, Error> {
    let Some(name) = process.args.first() else {
        return Err(Error::new(Step::Request, "args must not be empty"));
    };
    let problem = |step: Step, what: &str| Error::new(step, format!("exec: {name:?}: {what}"));
    if name.contains('/') {
        return match executable(Path::new(name)) {
            Ok(()) => Ok(PathBuf::from(name)),
            Err(Errno::ENOENT) => Err(problem(Step::Lookup, &format!("stat {name}: no such file or directory"))),
            Err(errno) => Err(problem(Step::Exec, &crate::error::describe(errno))),
        };
    }
    let path = environment.iter().find_map(|entry| entry.to_bytes().strip_prefix(b"PATH=")).unwrap_or_default();
    let path = String::from_utf8_lossy(path);
    // An empty element is the working directory; Go refuses to run from there, and so does runc.
    let found = path.split(':').filter(|directory| directory.starts_with('/')).map(|directory| Path::new(directory).join(name));
    found.into_iter().find(|path| executable(path).is_ok()).ok_or_else(|| problem(Step::Lookup, "executable file not found in $PATH"))
}

fn executable(path: &Path) -> Result<(), Errno> {
    let metadata = fs::metadata(path).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    if metadata.is_dir() {
        return Err(Errno::EISDIR);
    }
    match nix::unistd::faccessat(nix::fcntl::AT_FDCWD, path, nix::unistd::AccessFlags::X_OK, nix::fcntl::AtFlags::AT_EACCESS) {
        // A filter of the container may hide the call; the mode bits are then the best there is.
        Err(Errno::ENOSYS | Errno::EPERM) if metadata.mode() & 0o111 != 0 => Ok(()),
        other => other,
    }
}
