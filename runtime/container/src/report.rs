//! What a child tells its parent between `clone3` and `execve`: its terminal, what it had to leave out, or why it failed.
//!
//! One `SOCK_SEQPACKET` pair per start. The child's end closes on exec, so the end of file *is* the success.

#![allow(unsafe_code, reason = "SCM_RIGHTS hands over raw descriptors")]

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Step};

/// Longest report; longer texts are cut.
const MAX_REPORT: usize = 16 * 1024;
/// How long a child may take before it is given up. Nothing on its way waits for anybody, so only a wedged kernel gets here.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize, Deserialize)]
enum Report {
    /// The master of the terminal rides along.
    Terminal,
    /// Something was left out.
    Degraded(String),
    /// It ends here.
    Failed(Error),
}

/// The child's end.
pub(crate) struct Reporter(OwnedFd);

/// The parent's end.
pub(crate) struct Reports(OwnedFd);

/// What a child said until it became the program.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) degraded: Vec<String>,
}

pub(crate) fn pair() -> Result<(Reports, Reporter), Error> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .context(Step::Clone, || "make a socket for reports")?;
    Ok((Reports(ours), Reporter(theirs)))
}

impl Reporter {
    pub(crate) fn terminal(&self, master: BorrowedFd<'_>) -> Result<(), Error> {
        self.send(&Report::Terminal, Some(master)).context(Step::Terminal, || "hand over the terminal")
    }

    pub(crate) fn degraded(&self, what: impl Into<String>) -> Result<(), Error> {
        self.send(&Report::Degraded(what.into()), None).context(Step::Clone, || "report what was left out")
    }

    /// Say why and end the process.
    pub(crate) fn fail(&self, mut error: Error) -> ! {
        error.message.truncate(error.message.floor_char_boundary(4096));
        let told = self.send(&Report::Failed(error), None);
        crate::syscalls::exit_now(if told.is_ok() { 1 } else { 2 })
    }

    fn send(&self, report: &Report, fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        let bytes = serde_json::to_vec(report).map_err(|_| Errno::EINVAL)?;
        let raw: Vec<RawFd> = fd.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &rights[..0] } else { &rights[..] };
        sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(&bytes)], control, MsgFlags::MSG_NOSIGNAL, None).map(drop)
    }
}

impl Reports {
    /// Listen until the child is the program (`Ok`) or has failed.
    pub(crate) fn listen(self) -> Result<Said, Error> {
        let mut said = Said::default();
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.wait(deadline)?;
            let (report, fd) = match self.receive().context(Step::Died, || "listen to the child")? {
                Some(received) => received,
                None => return Ok(said),
            };
            match report {
                Report::Terminal => said.terminal = fd,
                Report::Degraded(what) => said.degraded.push(what),
                Report::Failed(error) => return Err(error),
            }
        }
    }

    fn wait(&self, deadline: Instant) -> Result<(), Error> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left.as_millis() as i32).unwrap_or(PollTimeout::ZERO);
            match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) => return Err(Error::new(Step::Died, format!("the child did not start its program within {PATIENCE:?}"))),
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::errno(Step::Died, "listen to the child", errno)),
            }
        }
    }

    fn receive(&self) -> Result<Option<(Report, Option<OwnedFd>)>, Errno> {
        let mut buffer = vec![0u8; MAX_REPORT];
        let mut space = nix::cmsg_space!([RawFd; 1]);
        let mut fd = None;
        let length = {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let message = recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
            for control in message.cmsgs()? {
                if let ControlMessageOwned::ScmRights(received) = control {
                    // SAFETY: the kernel installed these descriptors for us in this call; nobody else owns them.
                    fd = received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).next_back();
                }
            }
            message.bytes
        };
        if length == 0 {
            return Ok(None);
        }
        let report = serde_json::from_slice(&buffer[..length]).map_err(|_| Errno::EBADMSG)?;
        Ok(Some((report, fd)))
    }
}
