//! The few system calls that need `unsafe`, and small wrappers over the rest.
//!
//! Everything here assumes what is true of the whole binary: a process has one thread whenever it forks.
#![allow(unsafe_code, reason = "fork, raw descriptors and signal handlers have no safe form")]

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

use nix::{
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal},
    unistd::{ForkResult, Pid},
};

/// One flag per signal number: set by the handler, taken by whoever looks.
static PENDING: [AtomicBool; 65] = [const { AtomicBool::new(false) }; 65];

extern "C" fn note_signal(number: libc::c_int) {
    if let Some(flag) = usize::try_from(number).ok().and_then(|index| PENDING.get(index)) {
        flag.store(true, Ordering::SeqCst);
    }
}

/// What a signal does to this process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    Default,
    Ignore,
    /// Sets a flag that [`take_signal`] reads; system calls are interrupted.
    Note,
}

/// Sets what `signal` does. KILL and STOP cannot be changed; asking is harmless.
pub(crate) fn on_signal(signal: Signal, disposition: Disposition) {
    let handler = match disposition {
        Disposition::Default => SigHandler::SigDfl,
        Disposition::Ignore => SigHandler::SigIgn,
        Disposition::Note => SigHandler::Handler(note_signal),
    };
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler only stores to an atomic, which is allowed in a signal handler.
    let outcome = unsafe { nix::sys::signal::sigaction(signal, &action) };
    best_effort(outcome);
}

/// For calls whose failure changes nothing that we could do: a signal to a process that has just ended, say.
pub(crate) fn best_effort<T, E>(outcome: Result<T, E>) {
    drop(outcome);
}

/// Waits until a signal comes that is caught, without missing one that came just before: `ready` is asked with all
/// signals held back.
pub(crate) fn wait_for_signal<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let mut before = SigSet::empty();
    let all = SigSet::all();
    best_effort(nix::sys::signal::sigprocmask(nix::sys::signal::SigmaskHow::SIG_SETMASK, Some(&all), Some(&mut before)));
    let answer = loop {
        if let Some(answer) = ready() {
            break answer;
        }
        // SAFETY: sigsuspend reads the mask it is given; that it always "fails" with EINTR is its contract.
        unsafe { libc::sigsuspend(before.as_ref()) };
    };
    best_effort(nix::sys::signal::sigprocmask(nix::sys::signal::SigmaskHow::SIG_SETMASK, Some(&before), None));
    answer
}

/// Waits until `fd` can be read without waiting, or one of `signals` is pending: true in that case. A signal that came just before is not
/// missed.
pub(crate) fn interrupted_before_input(fd: RawFd, signals: &[Signal]) -> bool {
    let mut before = SigSet::empty();
    let all = SigSet::all();
    best_effort(nix::sys::signal::sigprocmask(nix::sys::signal::SigmaskHow::SIG_SETMASK, Some(&all), Some(&mut before)));
    let interrupted = loop {
        if signals.iter().any(|signal| is_pending(*signal)) {
            break true;
        }
        let mut input = [nix::poll::PollFd::new(borrow(fd), nix::poll::PollFlags::POLLIN)];
        if nix::poll::ppoll(&mut input, None, Some(before)) != Err(nix::errno::Errno::EINTR) {
            break false;
        }
    };
    best_effort(nix::sys::signal::sigprocmask(nix::sys::signal::SigmaskHow::SIG_SETMASK, Some(&before), None));
    interrupted
}

/// True once for each time the signal came since the last call.
pub(crate) fn take_signal(signal: Signal) -> bool {
    PENDING[signal as usize].swap(false, Ordering::SeqCst)
}

/// True when the signal came and nobody took it yet.
pub(crate) fn is_pending(signal: Signal) -> bool {
    PENDING[signal as usize].load(Ordering::SeqCst)
}

/// The first wait when there is no room for another process, in milliseconds, and how often it is doubled. As in bash: a fork bomb then
/// sleeps most of the time instead of keeping the machine busy with being refused.
const FIRST_WAIT: u16 = 1000;
const WAITS: u32 = 4;

/// Forks, and waits a while for room.
pub(crate) fn fork() -> nix::Result<ForkResult> {
    let mut outcome = fork_now();
    for doubled in 0..WAITS {
        // A signal ends the wait: whoever typed Ctrl-C wants to hear of the failure now.
        let wait = || nix::poll::poll(&mut [], FIRST_WAIT << doubled);
        if !matches!(outcome, Err(nix::errno::Errno::EAGAIN)) || wait().is_err() {
            break;
        }
        outcome = fork_now();
    }
    outcome
}

/// Forks. The caller has one thread. The child starts with all signals held back, so that none is lost between the
/// parent's way to treat them and its own; it calls [`let_signals_come`] when it is ready for them.
fn fork_now() -> nix::Result<ForkResult> {
    use nix::sys::signal::{SigmaskHow, sigprocmask};
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    // SAFETY: no applet that forks has a second thread, so the child may use everything.
    let outcome = unsafe { nix::unistd::fork() };
    if !matches!(outcome, Ok(ForkResult::Child)) {
        best_effort(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None));
    }
    outcome
}

/// Hears Ctrl-C for the shell: a process that does nothing and joins one process group after the other. A group whose last command has
/// just ended has nobody else in it, and a signal for it would be lost. Ends when it is dropped, and with the shell.
pub(crate) struct Guard {
    pid: Pid,
    /// Whose child it is: a child of that process does not end it.
    shell: Pid,
}

impl Guard {
    /// `None` when there is no room for another process: then it goes without.
    pub(crate) fn new() -> Option<Self> {
        let shell = nix::unistd::getpid();
        match fork_now() {
            Err(_) => None,
            Ok(ForkResult::Parent { child }) => Some(Self { pid: child, shell }),
            // Every signal is held back here, and stays to be seen.
            Ok(ForkResult::Child) => {
                best_effort(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL));
                // SAFETY: nothing of this process uses a descriptor from here on.
                unsafe { libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0) };
                while nix::unistd::getppid() == shell {
                    // SAFETY: sigsuspend reads the mask it is given.
                    unsafe { libc::sigsuspend(SigSet::all().as_ref()) };
                }
                std::process::exit(0);
            }
        }
    }

    /// Becomes a member of a group.
    pub(crate) fn join(&self, group: Pid) {
        best_effort(nix::unistd::setpgid(self.pid, group));
    }

    /// Whether Ctrl-C came to a group while this was in it.
    pub(crate) fn heard(&self) -> bool {
        // man 5 proc: the signals that are pending for the process, as a mask in hexadecimal digits.
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let pending = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("ShdPnd:")?.trim(), 16).ok());
        pending.is_some_and(|mask| mask >> (Signal::SIGINT as u32 - 1) & 1 == 1)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if nix::unistd::getpid() == self.shell {
            best_effort(nix::sys::signal::kill(self.pid, Signal::SIGKILL));
            best_effort(nix::sys::wait::waitpid(self.pid, None));
        }
    }
}

/// Goes on as a process of its own session without a terminal: true in that process, false in the one that may end now.
pub(crate) fn into_background() -> nix::Result<bool> {
    if matches!(fork()?, ForkResult::Parent { .. }) {
        return Ok(false);
    }
    let_signals_come();
    nix::unistd::setsid()?;
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").map_err(|_| nix::errno::Errno::ENOENT)?;
    for fd in 0..3 {
        best_effort(dup_onto(null.as_raw_fd(), fd));
    }
    Ok(true)
}

/// In a new child: signals may come now.
pub(crate) fn let_signals_come() {
    best_effort(nix::sys::signal::sigprocmask(nix::sys::signal::SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None));
}

/// Makes `to` name what `from` names, without close-on-exec.
pub(crate) fn dup_onto(from: RawFd, to: RawFd) -> io::Result<()> {
    // SAFETY: dup2 takes two numbers and touches no memory.
    if unsafe { libc::dup2(from, to) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A copy of `fd` numbered 10 or higher, closed on exec; `None` when `fd` is not open.
pub(crate) fn save_fd(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: fcntl takes numbers and touches no memory; a non-negative result is a new descriptor that we own.
    unsafe {
        let copy = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 10);
        (copy >= 0).then(|| OwnedFd::from_raw_fd(copy))
    }
}

/// The same open file under a number that no script names.
pub(crate) fn out_of_the_way(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= 10 {
        return Ok(fd);
    }
    save_fd(fd.as_raw_fd()).ok_or_else(io::Error::last_os_error)
}

/// Closes a descriptor by number.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: the shell closes only what a redirection named; Rust owns none of 0..9.
    unsafe { libc::close(fd) };
}

/// Borrows a descriptor by number, for calls that fail cleanly when it is closed.
pub(crate) fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    // SAFETY: standard descriptors stay open as long as the process; a closed one only makes the call fail.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Writes everything to a descriptor, past signals.
pub(crate) fn write_all(fd: RawFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(borrow(fd), bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Columns and rows of a terminal; 80 by 24 when it does not say.
pub(crate) fn window_size(fd: RawFd) -> (usize, usize) {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize to the pointer, which is valid for that.
    let outcome = unsafe { libc::ioctl(borrow(fd).as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    if outcome < 0 || size.ws_col == 0 || size.ws_row == 0 {
        return (80, 24);
    }
    (usize::from(size.ws_col), usize::from(size.ws_row))
}

/// Makes standard input the terminal of a session that has none.
pub(crate) fn take_terminal() -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes a number, no pointer.
    if unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// True when the descriptor is a terminal.
pub(crate) fn is_terminal(fd: RawFd) -> bool {
    nix::unistd::isatty(borrow(fd)).unwrap_or(false)
}

/// Makes `group` the terminal's foreground group. The caller ignores SIGTTOU. In `while read ...; done < FILE` standard input is the file.
pub(crate) fn foreground(group: Pid) {
    for fd in [0, 2, 1] {
        if nix::unistd::tcsetpgrp(borrow(fd), group).is_ok() {
            break;
        }
    }
}

/// Broken pipes end a tool silently, as everywhere in Unix; Rust's runtime starts with the signal ignored.
pub(crate) fn default_sigpipe() {
    on_signal(Signal::SIGPIPE, Disposition::Default);
}

/// The name of user or group `id` in a passwd-like file.
pub(crate) fn name_of(file: &str, id: u32) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

/// The id of a name (or a number) in a passwd-like file.
pub(crate) fn id_of(file: &str, name: &str) -> Option<u32> {
    if let Ok(id) = name.parse() {
        return Some(id);
    }
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? == name { fields.nth(1)?.parse().ok() } else { None }
    })
}

/// A signal by name (`TERM`, `SIGTERM`) or number.
pub(crate) fn signal_named(text: &str) -> Option<Signal> {
    if let Ok(number) = text.parse::<i32>() {
        return Signal::try_from(number).ok();
    }
    let upper = text.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    full.parse().ok()
}

/// The text of an error without Rust's "(os error N)".
pub(crate) fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_owned(),
        None => error.to_string(),
    }
}
