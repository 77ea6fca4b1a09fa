//! What can go wrong below a network: always which step, and what the kernel said.

use std::io;
use std::net::Ipv4Addr;

use crate::cidr::Cidr;

/// Why a network operation failed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The kernel refused a step.
    #[error("cannot {step}: {source}")]
    Kernel {
        /// What was attempted, on what.
        step: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel has no nftables, or no NAT in it.
    #[error("this kernel cannot translate addresses ({what}: {source}): Services have no cluster IP here, Pods reach each other by Pod IP only")]
    NoNat {
        /// The feature that is missing.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// All addresses of a range are taken.
    #[error("no IP addresses available in range set: {cidr}")]
    Exhausted {
        /// The range.
        cidr: Cidr,
    },
    /// The address belongs to somebody else or is outside of the range.
    #[error("address {address} is not free in {cidr}")]
    Taken {
        /// The address asked for.
        address: Ipv4Addr,
        /// The range.
        cidr: Cidr,
    },
    /// The text is no IPv4 range.
    #[error("{0:?} is not an IPv4 range such as 10.244.1.0/24")]
    BadCidr(String),
}

impl NetworkError {
    /// The kernel's error number, when the kernel said it.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            NetworkError::Kernel { source, .. } | NetworkError::NoNat { source, .. } => source.raw_os_error(),
            NetworkError::Exhausted { .. } | NetworkError::Taken { .. } | NetworkError::BadCidr(_) => None,
        }
    }
}

/// Name the step that failed.
pub(crate) trait Step<T> {
    /// `step` completes "cannot ...".
    fn step(self, step: impl FnOnce() -> String) -> Result<T, NetworkError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, NetworkError> {
        self.map_err(|source| NetworkError::Kernel { step: step(), source: source.into() })
    }
}
