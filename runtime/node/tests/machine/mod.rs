//! A machine to test with: this binary as PID 1 of new namespaces, with a root directory of its own, and a client connected to it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use drydock_node::init::protocol::{ChildSpec, InitConfig};
use drydock_node::init::{Client, Events, RootBind};
use nix::sched::{CloneFlags, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stdin, execv, fork};

use crate::fence::Fence;

/// A machine that runs.
pub(crate) struct Machine {
    pub(crate) client: Client,
    pub(crate) events: Events,
    /// Its root directory, as this process sees it.
    pub(crate) root: PathBuf,
}

impl Machine {
    /// Boot one, do something with it, power it off.
    pub(crate) fn run<T>(fence: &Fence, name: &str, children: Vec<ChildSpec>, work: impl AsyncFnOnce(&mut Machine) -> T) -> T {
        let root = fence.directory_for(name);
        let bind = |source: PathBuf, target: &str| RootBind { source, target: target.into(), readonly: true };
        let config = InitConfig {
            name: "node-1".into(),
            root: Some(root.clone()),
            binds: vec![bind("/usr".into(), "/usr"), bind(fence.layer(), "/image")],
            socket: "/run/init.sock".into(),
            // One directory for each machine, so that their groups do not meet.
            cgroups: fence.cgroups.clone(),
            children,
            disk: None,
        };
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let holder = boot(&config, &theirs);
        drop(theirs);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(async {
            let (client, events) = Client::from_socket(ours).unwrap();
            let mut machine = Machine { client, events, root };
            let result = work(&mut machine).await;
            machine.client.power_off().await;
            result
        });
        assert_eq!(waitpid(holder, None).unwrap(), WaitStatus::Exited(holder, 0));
        result
    }

    /// The process id of a child, which runs.
    pub(crate) async fn child_pid(&self, name: &str) -> i32 {
        self.client.list().await.unwrap().children[name].unwrap()
    }
}

/// Start node-init behind a process that makes the namespaces and ends with it.
fn boot(config: &InitConfig, inherited: &OwnedFd) -> Pid {
    let mut stdin = File::from(memfd_create(c"configuration", MFdFlags::empty()).unwrap());
    stdin.write_all(&serde_json::to_vec(config).unwrap()).unwrap();
    std::io::Seek::rewind(&mut stdin).unwrap();
    // SAFETY: the tests behind the fence have one thread: the runtime is of one thread and none is alive now.
    #[allow(unsafe_code, reason = "fork of a single-threaded process")]
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let namespaces = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
            unshare(namespaces).unwrap();
            // SAFETY: as above.
            #[allow(unsafe_code, reason = "fork of a single-threaded process")]
            match unsafe { fork() }.unwrap() {
                ForkResult::Parent { child } => match waitpid(child, None).unwrap() {
                    WaitStatus::Exited(_, code) => std::process::exit(code),
                    _ => std::process::exit(99),
                },
                ForkResult::Child => {
                    nix::unistd::sethostname(&config.name).unwrap();
                    dup2_stdin(&stdin).unwrap();
                    // SAFETY: 3 is free or ours to replace: the next call is exec.
                    #[allow(unsafe_code, reason = "the number is the agreement")]
                    let duplicated = unsafe { libc::dup2(inherited.as_raw_fd(), 3) };
                    if inherited.as_raw_fd() == 3 {
                        nix::fcntl::fcntl(inherited, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
                    }
                    assert_eq!(duplicated, 3);
                    match execv(c"/proc/self/exe", &[c"drydock", c"role:node-init"]) {
                        Err(errno) => panic!("exec: {errno}"),
                    }
                }
            }
        }
    }
}

/// A child process that writes a line to the file it is told by its configuration, and stays.
pub(crate) fn child_spec(name: &str, file: &str) -> ChildSpec {
    ChildSpec { name: name.into(), args: vec!["role:child".into()], env: vec!["MARK=here".into()], stdin: file.into() }
}

/// The child itself.
pub(crate) fn child() -> ExitCode {
    let mut file = String::new();
    std::io::stdin().read_to_string(&mut file).unwrap();
    let mut log = File::options().create(true).append(true).open(file).unwrap();
    writeln!(log, "{}", std::env::var("MARK").unwrap()).unwrap();
    drop(log);
    loop {
        nix::unistd::pause();
    }
}

/// Wait until a file has this many lines.
pub(crate) async fn wait_for_lines(path: &Path, count: usize) {
    while fs::read_to_string(path).unwrap_or_default().lines().count() < count {
        tokio::task::yield_now().await;
    }
}

/// Everything until the end; a terminal ends with an error.
pub(crate) fn read_all(fd: OwnedFd) -> String {
    let mut bytes = Vec::new();
    match File::from(fd).read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EIO)),
    }
    String::from_utf8(bytes).unwrap()
}

/// Everything up to and including these words.
pub(crate) fn read_until(fd: BorrowedFd<'_>, words: &str) -> String {
    let mut file = File::from(fd.as_fd().try_clone_to_owned().unwrap());
    let mut text = String::new();
    while !text.ends_with(words) {
        let mut byte = [0];
        file.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    text
}
