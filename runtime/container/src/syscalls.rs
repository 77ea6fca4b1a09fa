//! System calls without a wrapper in `nix`: `clone3`, the file descriptor based mount calls, `openat2`, `pidfd_send_signal`.
//!
//! Each function is one call with owned descriptors around it; nothing here decides anything.

#![allow(unsafe_code, reason = "raw system calls")]

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::Pid;

/// Read-only.
pub(crate) const ATTR_RDONLY: u64 = 0x1;
/// Set-user-id bits and file capabilities do nothing.
pub(crate) const ATTR_NOSUID: u64 = 0x2;
/// Device files do nothing.
pub(crate) const ATTR_NODEV: u64 = 0x4;
/// Programs cannot be run.
pub(crate) const ATTR_NOEXEC: u64 = 0x8;

const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x4;
const OPEN_TREE_CLONE: libc::c_uint = 1;
const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
const RESOLVE_IN_ROOT: u64 = 0x10;

/// Which side of [`clone3`] this is.
pub(crate) enum Forked {
    /// The new process.
    Child,
    /// The caller; the new process by id and by descriptor.
    Parent { pid: Pid, pidfd: OwnedFd },
}

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// Fork into new namespaces, with a pidfd and SIGCHLD at the end.
///
/// The caller must have one thread: the child goes on with a copy of its heap and locks.
pub(crate) fn clone3(namespaces: libc::c_int) -> Result<Forked, Errno> {
    let mut pidfd: libc::c_int = -1;
    let arguments = CloneArgs {
        flags: namespaces as u64 | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM and with a null stack this is fork(2): the child runs on a copy of our stack. `arguments` and the
    // integer the kernel writes the pidfd to outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArgs>()) };
    match Errno::result(result)? {
        0 => Ok(Forked::Child),
        pid => {
            // SAFETY: CLONE_PIDFD succeeded, so the kernel made this descriptor for us.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { pid: Pid::from_raw(pid as i32), pidfd })
        }
    }
}

fn owned(result: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = Errno::result(result)? as i32;
    // SAFETY: the calls that use this helper return a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn c_path(path: &Path) -> Result<CString, Errno> {
    CString::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())).map_err(|_| Errno::EINVAL)
}

/// Make a new file system that is mounted nowhere yet.
pub(crate) fn new_filesystem(kind: &CStr, options: &[(&str, Option<String>)], attributes: u64) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel copies the string.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), 1) })?;
    for (name, value) in options {
        let name = CString::new(*name).map_err(|_| Errno::EINVAL)?;
        let (command, value) = match value {
            Some(value) => (FSCONFIG_SET_STRING, Some(CString::new(value.as_str()).map_err(|_| Errno::EINVAL)?)),
            None => (FSCONFIG_SET_FLAG, None),
        };
        let pointer = value.as_ref().map_or(std::ptr::null(), |value| value.as_ptr());
        // SAFETY: both strings outlive the call; a flag takes a null value.
        Errno::result(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, name.as_ptr(), pointer, 0) })?;
    }
    let null = std::ptr::null::<libc::c_char>();
    // SAFETY: this command takes neither key nor value.
    Errno::result(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CMD_CREATE, null, null, 0) })?;
    // SAFETY: plain integers.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 1, attributes) })
}

/// Copy what is mounted at `path`, with everything below it, into a tree that is mounted nowhere yet.
pub(crate) fn copy_tree(path: &Path) -> Result<OwnedFd, Errno> {
    let path = c_path(path)?;
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint | libc::AT_RECURSIVE as libc::c_uint;
    // SAFETY: the string outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

/// Mount a tree made by [`new_filesystem`] or [`copy_tree`]. Symbolic links in `target` are followed.
pub(crate) fn attach(tree: BorrowedFd<'_>, target: &Path) -> Result<(), Errno> {
    let target = c_path(target)?;
    // MOVE_MOUNT_T_SYMLINKS (0x10) as mount(2) does.
    let flags = MOVE_MOUNT_F_EMPTY_PATH | 0x10;
    // SAFETY: the strings outlive the call; the empty path means the descriptor itself.
    let result = unsafe {
        libc::syscall(libc::SYS_move_mount, tree.as_raw_fd(), c"".as_ptr(), libc::AT_FDCWD, target.as_ptr(), flags)
    };
    Errno::result(result).map(drop)
}

/// How far [`restrict`] reaches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This mount alone.
    One,
    /// Everything mounted below it too.
    Tree,
}

/// Add restrictions to a mount that is held by descriptor.
pub(crate) fn restrict(mount: BorrowedFd<'_>, attributes: u64, reach: Reach) -> Result<(), Errno> {
    set_attributes(mount.as_raw_fd(), c"", attributes, libc::AT_EMPTY_PATH, reach)
}

/// Add restrictions to the mount at `path`.
pub(crate) fn restrict_path(path: &CStr, attributes: u64, reach: Reach) -> Result<(), Errno> {
    set_attributes(libc::AT_FDCWD, path, attributes, 0, reach)
}

fn set_attributes(fd: libc::c_int, path: &CStr, attributes: u64, flags: libc::c_int, reach: Reach) -> Result<(), Errno> {
    // struct mount_attr: attr_set, attr_clr, propagation, userns_fd
    let change: [u64; 4] = [attributes, 0, 0, 0];
    let flags = flags | if reach == Reach::Tree { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the array has the layout and size of struct mount_attr and outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_mount_setattr, fd, path.as_ptr(), flags, change.as_ptr(), size_of_val(&change)) };
    Errno::result(result).map(drop)
}

/// Open `path` as if `root` were `/`: neither `..` nor a symbolic link leads out of it.
pub fn open_in_root(root: BorrowedFd<'_>, path: &Path, flags: libc::c_int, mode: u32) -> Result<OwnedFd, Errno> {
    let path = c_path(path)?;
    let how: [u64; 3] = [(flags | libc::O_CLOEXEC) as u64, if flags & libc::O_CREAT == 0 { 0 } else { u64::from(mode) }, RESOLVE_IN_ROOT];
    // SAFETY: the array has the layout and size of struct open_how; both pointers outlive the call.
    owned(unsafe { libc::syscall(libc::SYS_openat2, root.as_raw_fd(), path.as_ptr(), how.as_ptr(), size_of_val(&how)) })
}

/// Send a signal to exactly the process a descriptor stands for.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    let null = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is filled in by the kernel.
    Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, null, 0) }).map(drop)
}

/// Nothing above standard error survives the next exec.
pub(crate) fn close_on_exec_from_3() -> Result<(), Errno> {
    // SAFETY: only flags of descriptors change.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// Close everything but the standard streams; for a forked child that stays without exec.
pub(crate) fn close_from_3() -> Result<(), Errno> {
    // SAFETY: the caller is a child that uses none of these descriptors again.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) }).map(drop)
}

/// End this process at once: no destructors, no buffers, nothing that belongs to the parent.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit is always sound.
    unsafe { libc::_exit(code) }
}

/// `prctl` with integers only.
pub(crate) fn prctl(option: libc::c_int, argument: libc::c_ulong) -> Result<(), Errno> {
    // SAFETY: callers pass options whose arguments are plain integers.
    Errno::result(unsafe { libc::prctl(option, argument, 0 as libc::c_ulong, 0 as libc::c_ulong, 0 as libc::c_ulong) }).map(drop)
}

/// All signals at their default action, none blocked: what a program expects to start with.
pub(crate) fn default_signals() -> Result<(), Errno> {
    // The kernel's own structure of zeros: SIG_DFL, no flags, an empty mask. The C library's function would leave out the two signals
    // it keeps for itself, which may come to us ignored.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: SIG_DFL runs no code of ours; the kernel reads the array and writes nothing. Refused signals (KILL, STOP) need nothing.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null::<u64>(), size_of::<u64>()) };
    }
    nix::sys::signal::SigSet::empty().thread_set_mask()
}

/// Install a system call filter. Needs CAP_SYS_ADMIN in the user namespace or `no_new_privs`, neither of which is touched here.
pub(crate) fn install_filter(filter: &[seccompiler::sock_filter]) -> Result<(), Errno> {
    let length = libc::c_ushort::try_from(filter.len()).map_err(|_| Errno::E2BIG)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut().cast() };
    // SAFETY: seccompiler's instruction has the layout of the kernel's; the kernel copies the program and writes nothing.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    Errno::result(result).map(drop)
}
