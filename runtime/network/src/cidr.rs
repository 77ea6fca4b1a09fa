//! An IPv4 range.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::error::NetworkError;

/// `address/prefix`, with the host bits cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: Ipv4Addr,
    prefix: u8,
}

impl Cidr {
    /// The range of `prefix` bits around `address`; a prefix above 32 counts as 32.
    pub const fn new(address: Ipv4Addr, prefix: u8) -> Cidr {
        let prefix = if prefix > 32 { 32 } else { prefix };
        let mask = mask(prefix);
        Cidr { address: Ipv4Addr::from_bits(address.to_bits() & mask), prefix }
    }

    /// First address of the range.
    pub const fn network(self) -> Ipv4Addr {
        self.address
    }

    /// Number of fixed bits.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// The fixed bits as a mask.
    pub const fn netmask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask(self.prefix))
    }

    /// Last address of the range.
    pub const fn last(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() | !mask(self.prefix))
    }

    /// The `n`th address, if the range has that many.
    pub fn nth(self, n: u32) -> Option<Ipv4Addr> {
        let address = self.address.to_bits().checked_add(n).map(Ipv4Addr::from_bits)?;
        self.contains(address).then_some(address)
    }

    /// Whether the address lies in the range.
    pub const fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.address.to_bits()
    }
}

const fn mask(prefix: u8) -> u32 {
    if prefix == 0 { 0 } else { u32::MAX << (32 - prefix as u32) }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Cidr, NetworkError> {
        let bad = || NetworkError::BadCidr(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        if prefix > 32 {
            return Err(bad());
        }
        Ok(Cidr::new(address.parse().map_err(|_| bad())?, prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_knows_its_addresses() {
        for (text, shown, inside, outside, last) in [
            ("10.244.1.7/24", Some("10.244.1.0/24"), "10.244.1.255", "10.244.2.0", "10.244.1.255"),
            ("0.0.0.0/0", Some("0.0.0.0/0"), "255.255.255.255", "", "255.255.255.255"),
            ("10.96.0.0/12", Some("10.96.0.0/12"), "10.111.255.255", "10.112.0.0", "10.111.255.255"),
            ("10.0.0.1/32", Some("10.0.0.1/32"), "10.0.0.1", "10.0.0.2", "10.0.0.1"),
            ("10.0.0.1/33", None, "", "", ""),
            ("10.0.0.1", None, "", "", ""),
            ("::/0", None, "", "", ""),
        ] {
            let parsed = text.parse::<Cidr>().ok();
            assert_eq!(parsed.map(|c| c.to_string()).as_deref(), shown, "{text}");
            let Some(cidr) = parsed else { continue };
            assert!(cidr.contains(inside.parse().unwrap()), "{text}");
            assert!(outside.is_empty() || !cidr.contains(outside.parse().unwrap()), "{text}");
            assert_eq!(cidr.last().to_string(), last, "{text}");
        }
    }
}
