//! The system call filter: the allow-list container engines ship, and the one that pretends where there is only one id.
//!
//! 1. Calls in [`ALLOWED`] (and [`ALLOWED_X86`]) pass; some pass only with a capability, some only with certain arguments.
//! 2. Others fail with EPERM; calls newer than this list fail with ENOSYS, so that programs fall back to what they did before.
//! 3. A filter costs a fraction of a millisecond to compile, so each distinct one is compiled once per process. The kernel's share of that is
//!    paid at every start: hence the search [`tree`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch};

use crate::error::{Error, Step};
use crate::spec::Capabilities;

mod tree;

use tree::Fate;

/// A compiled filter.
pub(crate) type Filter = Rc<BpfProgram>;
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The newest call this list knows by number.
const NEWEST: u32 = 462;

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;
/// `AUDIT_ARCH_X86_64` and `AUDIT_ARCH_AARCH64`: the machine, 64 bits, little-endian.
#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = libc::EM_X86_64 as u32 | 0xC000_0000;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = libc::EM_AARCH64 as u32 | 0xC000_0000;

macro_rules! calls {
    ($($name:ident)*) => { [$(libc::$name),*] };
}

/// Allowed to everybody.
// upstream: moby/profiles seccomp/default_linux.go (which calls, not its text)
#[rustfmt::skip]
const ALLOWED: &[i64] = &calls![
    SYS_accept SYS_accept4 SYS_adjtimex SYS_bind SYS_brk SYS_capget SYS_capset SYS_chdir SYS_clock_adjtime SYS_clock_getres
    SYS_clock_gettime SYS_clock_nanosleep SYS_close SYS_close_range SYS_connect SYS_copy_file_range SYS_dup SYS_dup3
    SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2 SYS_execve SYS_execveat SYS_exit SYS_exit_group
    SYS_faccessat SYS_faccessat2 SYS_fadvise64 SYS_fallocate SYS_fanotify_mark SYS_fchdir SYS_fchmod SYS_fchmodat SYS_fchown
    SYS_fchownat SYS_fcntl SYS_fdatasync SYS_fgetxattr SYS_flistxattr SYS_flock SYS_fremovexattr SYS_fsetxattr SYS_fstat SYS_fstatfs
    SYS_fsync SYS_ftruncate SYS_futex SYS_futex_waitv SYS_getcpu SYS_getcwd SYS_getdents64 SYS_getegid SYS_geteuid SYS_getgid
    SYS_getgroups SYS_getitimer SYS_getpeername SYS_getpgid SYS_getpid SYS_getppid SYS_getpriority SYS_getrandom SYS_getresgid
    SYS_getresuid SYS_get_robust_list SYS_getrusage SYS_getsid SYS_getsockname SYS_getsockopt SYS_gettid SYS_gettimeofday SYS_getuid
    SYS_getxattr SYS_inotify_add_watch SYS_inotify_init1 SYS_inotify_rm_watch SYS_io_cancel SYS_io_destroy SYS_io_getevents
    SYS_io_setup SYS_io_submit SYS_ioctl SYS_ioprio_get SYS_ioprio_set SYS_kill SYS_landlock_add_rule SYS_landlock_create_ruleset
    SYS_landlock_restrict_self SYS_lgetxattr SYS_linkat SYS_listen SYS_listxattr SYS_llistxattr SYS_lremovexattr SYS_lseek
    SYS_lsetxattr SYS_madvise SYS_membarrier SYS_memfd_create SYS_memfd_secret SYS_mincore SYS_mkdirat SYS_mknodat SYS_mlock
    SYS_mlock2 SYS_mlockall SYS_mmap SYS_mprotect SYS_mq_getsetattr SYS_mq_notify SYS_mq_open SYS_mq_timedreceive SYS_mq_timedsend
    SYS_mq_unlink SYS_mremap SYS_mseal SYS_msgctl SYS_msgget SYS_msgrcv SYS_msgsnd SYS_msync SYS_munlock SYS_munlockall SYS_munmap
    SYS_name_to_handle_at SYS_nanosleep SYS_newfstatat SYS_openat SYS_openat2 SYS_pidfd_open SYS_pidfd_send_signal SYS_pipe2
    SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect SYS_ppoll SYS_prctl SYS_pread64 SYS_preadv SYS_preadv2 SYS_prlimit64
    SYS_process_mrelease SYS_process_vm_readv SYS_process_vm_writev SYS_pselect6 SYS_ptrace SYS_pwrite64 SYS_pwritev SYS_pwritev2
    SYS_read SYS_readahead SYS_readlinkat SYS_readv SYS_recvfrom SYS_recvmmsg SYS_recvmsg SYS_remap_file_pages SYS_removexattr
    SYS_renameat2 SYS_restart_syscall SYS_rseq SYS_rt_sigaction SYS_rt_sigpending SYS_rt_sigprocmask SYS_rt_sigqueueinfo
    SYS_rt_sigreturn SYS_rt_sigsuspend SYS_rt_sigtimedwait SYS_rt_tgsigqueueinfo SYS_sched_getaffinity SYS_sched_getattr
    SYS_sched_getparam SYS_sched_get_priority_max SYS_sched_get_priority_min SYS_sched_getscheduler SYS_sched_rr_get_interval
    SYS_sched_setaffinity SYS_sched_setattr SYS_sched_setparam SYS_sched_setscheduler SYS_sched_yield SYS_seccomp SYS_semctl
    SYS_semget SYS_semop SYS_semtimedop SYS_sendfile SYS_sendmmsg SYS_sendmsg SYS_sendto SYS_setfsgid SYS_setfsuid SYS_setgid
    SYS_setgroups SYS_setitimer SYS_setpgid SYS_setpriority SYS_setregid SYS_setresgid SYS_setresuid SYS_setreuid
    SYS_set_robust_list SYS_setsid SYS_setsockopt SYS_set_tid_address SYS_setuid SYS_setxattr SYS_shmat SYS_shmctl SYS_shmdt
    SYS_shmget SYS_shutdown SYS_sigaltstack SYS_signalfd4 SYS_socketpair SYS_splice SYS_statfs SYS_statx SYS_symlinkat SYS_sync
    SYS_syncfs SYS_sysinfo SYS_tee SYS_tgkill SYS_timer_create SYS_timer_delete SYS_timer_getoverrun SYS_timer_gettime
    SYS_timer_settime SYS_timerfd_create SYS_timerfd_gettime SYS_timerfd_settime SYS_times SYS_tkill SYS_truncate SYS_umask
    SYS_uname SYS_unlinkat SYS_utimensat SYS_vmsplice SYS_wait4 SYS_waitid SYS_write SYS_writev
];

/// cachestat, fchmodat2, map_shadow_stack, futex_wake, futex_wait, futex_requeue: the same numbers everywhere, not all known to `libc`.
const ALLOWED_NEW: [i64; 6] = [451, 452, 453, 454, 455, 456];

/// The older calls that x86-64 still has.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_ARCH: &[i64] = &calls![
    SYS_access SYS_alarm SYS_arch_prctl SYS_chmod SYS_chown SYS_creat SYS_dup2 SYS_epoll_create SYS_epoll_ctl_old SYS_epoll_wait
    SYS_epoll_wait_old SYS_eventfd SYS_fork SYS_futimesat SYS_getdents SYS_getpgrp SYS_getrlimit SYS_get_thread_area SYS_inotify_init
    SYS_lchown SYS_link SYS_lstat SYS_mkdir SYS_mknod SYS_modify_ldt SYS_open SYS_pause SYS_pipe SYS_poll SYS_readlink SYS_rename
    SYS_renameat SYS_rmdir SYS_select SYS_setrlimit SYS_set_thread_area SYS_signalfd SYS_stat SYS_symlink SYS_sync_file_range SYS_time
    SYS_unlink SYS_utime SYS_utimes SYS_vfork
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_ARCH: &[i64] = &[];

/// Allowed with a capability.
#[rustfmt::skip]
const BY_CAPABILITY: &[(&str, &[i64])] = &[
    ("CAP_SYS_ADMIN", &calls![
        SYS_bpf SYS_clone SYS_clone3 SYS_fanotify_init SYS_fsconfig SYS_fsmount SYS_fsopen SYS_fspick SYS_lookup_dcookie SYS_mount
        SYS_mount_setattr SYS_move_mount SYS_open_tree SYS_perf_event_open SYS_quotactl SYS_quotactl_fd SYS_setdomainname
        SYS_sethostname SYS_setns SYS_syslog SYS_umount2 SYS_unshare
    ]),
    ("CAP_BPF", &calls![SYS_bpf]),
    ("CAP_DAC_READ_SEARCH", &calls![SYS_open_by_handle_at]),
    ("CAP_PERFMON", &calls![SYS_perf_event_open]),
    ("CAP_SYSLOG", &calls![SYS_syslog]),
    ("CAP_SYS_BOOT", &calls![SYS_reboot]),
    ("CAP_SYS_CHROOT", &calls![SYS_chroot]),
    ("CAP_SYS_MODULE", &calls![SYS_delete_module SYS_init_module SYS_finit_module]),
    ("CAP_SYS_NICE", &calls![SYS_get_mempolicy SYS_mbind SYS_set_mempolicy SYS_set_mempolicy_home_node]),
    ("CAP_SYS_PACCT", &calls![SYS_acct]),
    ("CAP_SYS_PTRACE", &calls![SYS_kcmp SYS_pidfd_getfd SYS_process_madvise]),
    ("CAP_SYS_TIME", &calls![SYS_settimeofday SYS_clock_settime]),
    ("CAP_SYS_TTY_CONFIG", &calls![SYS_vhangup]),
];

/// Namespace flags of clone(2).
const NEW_NAMESPACES: u64 = 0x7E02_0000;
/// Execution domains anyone may ask for: Linux, with and without 32-bit addresses, and "what is it now".
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

thread_local! {
    static COMPILED: RefCell<BTreeMap<Vec<&'static str>, Filter>> = const { RefCell::new(BTreeMap::new()) };
}

/// The allow-list for a process with these capabilities.
pub(crate) fn default_filter(capabilities: &Capabilities) -> Result<Filter, Error> {
    let mut relevant: Vec<&'static str> = BY_CAPABILITY.iter().map(|(name, _)| *name).filter(|name| capabilities.contains(name)).collect();
    relevant.push("default");
    cached(relevant, |relevant| {
        let administrator = relevant.contains(&"CAP_SYS_ADMIN");
        let rules = default_rules(relevant, administrator)?;
        let fates = fates(&rules, administrator);
        let with_arguments = rules.into_iter().filter(|(_, rules)| !rules.is_empty()).collect();
        Ok(tree::search(AUDIT_ARCH, &fates, compile(with_arguments, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)?))
    })
}

/// Where id 0 is the only one: changing owner or identity succeeds and does nothing, so that programs which drop privileges start.
pub(crate) fn pretend_ids() -> Result<Filter, Error> {
    cached(vec!["pretend"], |_| {
        let calls = calls![SYS_fchown SYS_fchownat SYS_setuid SYS_setgid SYS_setreuid SYS_setregid SYS_setresuid SYS_setresgid SYS_setgroups SYS_setfsuid SYS_setfsgid];
        let mut rules: Rules = calls.iter().map(|call| (*call, Vec::new())).collect();
        #[cfg(target_arch = "x86_64")]
        rules.extend(calls![SYS_chown SYS_lchown].iter().map(|call| (*call, Vec::new())));
        compile(rules, SeccompAction::Allow, SeccompAction::Errno(0))
    })
}

fn cached(key: Vec<&'static str>, make: impl FnOnce(&[&'static str]) -> Result<BpfProgram, BackendError>) -> Result<Filter, Error> {
    COMPILED.with_borrow_mut(|compiled| {
        if let Some(filter) = compiled.get(&key) {
            return Ok(Rc::clone(filter));
        }
        let filter = make(&key).map_err(|error| Error::new(Step::Privileges, format!("compile the system call filter: {error}")))?;
        let filter = Rc::new(filter);
        compiled.insert(key, Rc::clone(&filter));
        Ok(filter)
    })
}

fn default_rules(relevant: &[&'static str], administrator: bool) -> Result<Rules, BackendError> {
    let mut rules: Rules = ALLOWED.iter().chain(ALLOWED_ARCH).chain(&ALLOWED_NEW).map(|call| (*call, Vec::new())).collect();
    for (name, calls) in BY_CAPABILITY {
        if relevant.contains(name) {
            rules.extend(calls.iter().map(|call| (*call, Vec::new())));
        }
    }
    let argument = |index, operation, value| SeccompCondition::new(index, SeccompCmpArgLen::Qword, operation, value);
    if !administrator {
        let plain = argument(0, SeccompCmpOp::MaskedEq(NEW_NAMESPACES), 0)?;
        rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![plain])?]);
    }
    let mut personalities = Vec::new();
    for value in PERSONALITIES {
        personalities.push(SeccompRule::new(vec![argument(0, SeccompCmpOp::Eq, value)?])?);
    }
    rules.insert(libc::SYS_personality, personalities);
    // The kernel reads an int: what stands above its 32 bits must not make another number of it here.
    let family = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, libc::AF_VSOCK as u64)?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(vec![family])?]);
    Ok(rules)
}

fn compile(rules: Rules, otherwise: SeccompAction, action: SeccompAction) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, otherwise, action, ARCH)?.try_into()
}

/// What becomes of each call, in ranges. Calls newer than the list do not exist, nor does `clone3`, whose flags a filter cannot see (the C
/// library then uses `clone`).
fn fates(rules: &Rules, administrator: bool) -> Vec<(u32, Fate)> {
    let missing = Fate::Return(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
    let of = |call: i64| match rules.get(&call) {
        _ if call == libc::SYS_clone3 && !administrator => missing,
        Some(rules) if rules.is_empty() => Fate::Return(libc::SECCOMP_RET_ALLOW),
        Some(_) => Fate::Ask,
        None => Fate::Return(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
    };
    let mut fates: Vec<(u32, Fate)> = (0..=NEWEST).map(|call| (call, of(call.into()))).chain([(NEWEST + 1, missing)]).collect();
    fates.dedup_by_key(|(_, fate)| *fate);
    fates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_fit_the_kernel_and_are_compiled_once() {
        let (default, all) = (Capabilities::default(), Capabilities::all());
        let filter = default_filter(&default).unwrap();
        assert!(filter.len() < 512, "{} instructions", filter.len());
        assert!(Rc::ptr_eq(&filter, &default_filter(&default).unwrap()));
        assert!(!Rc::ptr_eq(&filter, &default_filter(&all).unwrap()));
        assert!(!pretend_ids().unwrap().is_empty());
    }

    /// What a filter answers: the few instructions that filters are made of.
    fn answer(filter: &[seccompiler::sock_filter], architecture: u32, call: u32, argument: u64) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        for _ in 0..filter.len() {
            let step = &filter[at];
            at += 1;
            let choose = |is_so: bool| usize::from(if is_so { step.jt } else { step.jf });
            match step.code {
                0x20 => {
                    loaded = match step.k {
                        0 => call,
                        4 => architecture,
                        16 => argument as u32,
                        20 => (argument >> 32) as u32,
                        other => panic!("loads from {other}"),
                    };
                }
                0x54 => loaded &= step.k,
                0x05 => at += step.k as usize,
                0x15 => at += choose(loaded == step.k),
                0x25 => at += choose(loaded > step.k),
                0x35 => at += choose(loaded >= step.k),
                0x06 => return step.k,
                other => panic!("instruction {other:#x}"),
            }
        }
        panic!("a filter without end")
    }

    #[test]
    fn the_tree_says_what_the_list_says() {
        const ARGUMENTS: [u64; 10] = [0, 1, 8, libc::AF_VSOCK as u64, libc::AF_VSOCK as u64 | 1 << 32, 0x2_0000, 0x2_0008, 0x0200_0000, 0x1000_0011, 0xffff_ffff];
        let (allow, deny, missing) = (libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_ERRNO | 1, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
        let some: Capabilities = Capabilities::none().adjusted(&["CAP_SYS_CHROOT", "CAP_SYS_TIME"], &[]);
        for capabilities in [Capabilities::default(), Capabilities::all(), some] {
            let relevant: Vec<&'static str> = BY_CAPABILITY.iter().map(|(name, _)| *name).filter(|name| capabilities.contains(name)).collect();
            let administrator = relevant.contains(&"CAP_SYS_ADMIN");
            let list = compile(default_rules(&relevant, administrator).unwrap(), SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow).unwrap();
            let filter = default_filter(&capabilities).unwrap();
            for (call, argument) in (0..1024).chain([u32::MAX, 0x4000_0000]).flat_map(|call| ARGUMENTS.map(|argument| (call, argument))) {
                let hidden = call > NEWEST || (i64::from(call) == libc::SYS_clone3 && !administrator);
                let expected = if hidden { missing } else { answer(&list, AUDIT_ARCH, call, argument) };
                assert_eq!(answer(&filter, AUDIT_ARCH, call, argument), expected, "call {call} of {argument:#x}");
            }
            assert_eq!(answer(&filter, AUDIT_ARCH, libc::SYS_read as u32, 0), allow);
            assert_eq!(answer(&filter, AUDIT_ARCH, libc::SYS_kexec_load as u32, 0), deny);
            assert_eq!(answer(&filter, 0x4000_0003, libc::SYS_read as u32, 0), libc::SECCOMP_RET_KILL_PROCESS);
        }
    }

    #[test]
    fn a_tree_of_any_size_finds_its_way() {
        for count in [1_u32, 2, 3, 255, 700, 1500] {
            let fates: Vec<(u32, Fate)> = (0..count).map(|number| (number * 2, if number % 7 == 3 { Fate::Ask } else { Fate::Return(number) })).collect();
            let asked = vec![seccompiler::sock_filter { code: 0x06, jt: 0, jf: 0, k: 77_777 }];
            let filter = tree::search(AUDIT_ARCH, &fates, asked);
            for call in 0..count * 2 {
                let number = call / 2;
                assert_eq!(answer(&filter, AUDIT_ARCH, call, 0), if number % 7 == 3 { 77_777 } else { number }, "{call} of {count}");
            }
        }
    }
}
