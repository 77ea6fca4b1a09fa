//! Which Pod has which address of its node's range.
//!
//! Addresses are handed out in turn, so that a freed one rests before it is used again and late packets of a dead Pod
//! find nobody, as upstream's host-local plugin does. After a restart the caller says who has what ([`Ipam::adopt`]).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::cidr::Cidr;
use crate::error::NetworkError;

/// The addresses of one node.
#[derive(Debug, Clone)]
pub struct Ipam {
    range: Cidr,
    last: u32,
    taken: BTreeMap<Ipv4Addr, String>,
}

impl Ipam {
    /// Everything is free but the network, the gateway (the first address) and the broadcast address.
    pub fn new(range: Cidr) -> Ipam {
        Ipam { range, last: 1, taken: BTreeMap::new() }
    }

    /// An address for an owner; the one it has, if it has one.
    ///
    /// # Errors
    /// When there is none left.
    pub fn allocate(&mut self, owner: &str) -> Result<Ipv4Addr, NetworkError> {
        if let Some(address) = self.address_of(owner) {
            return Ok(address);
        }
        let first = 2;
        let end = self.range.last().to_bits() - self.range.network().to_bits();
        let usable = end.saturating_sub(first);
        let from = self.last.max(first - 1) + 1;
        for step in 0..usable {
            let offset = first + (from - first + step) % usable;
            let Some(address) = self.range.nth(offset) else { continue };
            if !self.taken.contains_key(&address) {
                self.taken.insert(address, owner.to_owned());
                self.last = offset;
                return Ok(address);
            }
        }
        Err(NetworkError::Exhausted { cidr: self.range })
    }

    /// Remember that an owner has an address already.
    ///
    /// # Errors
    /// When somebody else has it or it is outside of the range.
    pub fn adopt(&mut self, owner: &str, address: Ipv4Addr) -> Result<(), NetworkError> {
        let free = self.taken.get(&address).is_none_or(|other| other == owner);
        if !free || !self.range.contains(address) {
            return Err(NetworkError::Taken { address, cidr: self.range });
        }
        self.taken.insert(address, owner.to_owned());
        self.last = self.last.max(address.to_bits() - self.range.network().to_bits());
        Ok(())
    }

    /// Free what an owner has.
    pub fn release(&mut self, owner: &str) {
        self.taken.retain(|_, other| other != owner);
    }

    /// What an owner has.
    pub fn address_of(&self, owner: &str) -> Option<Ipv4Addr> {
        self.taken.iter().find(|(_, other)| *other == owner).map(|(address, _)| *address)
    }

    /// How many addresses are taken.
    pub fn used(&self) -> usize {
        self.taken.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_handed_out_in_turn_and_rest_before_they_are_used_again() {
        let mut ipam = Ipam::new("10.244.1.0/29".parse().unwrap());
        let ip = |last: u8| Ipv4Addr::new(10, 244, 1, last);
        assert_eq!(ipam.allocate("a").unwrap(), ip(2));
        assert_eq!(ipam.allocate("a").unwrap(), ip(2));
        assert_eq!(ipam.allocate("b").unwrap(), ip(3));
        ipam.release("a");
        assert_eq!(ipam.allocate("c").unwrap(), ip(4));
        assert_eq!(ipam.allocate("d").unwrap(), ip(5));
        assert_eq!(ipam.allocate("e").unwrap(), ip(6));
        assert_eq!(ipam.allocate("f").unwrap(), ip(2));
        let full = ipam.allocate("g").unwrap_err().to_string();
        assert_eq!(full, "no IP addresses available in range set: 10.244.1.0/29");
    }

    #[test]
    fn adopted_addresses_are_taken_and_the_turn_goes_on_after_them() {
        let mut ipam = Ipam::new("10.244.1.0/24".parse().unwrap());
        let ip = |last: u8| Ipv4Addr::new(10, 244, 1, last);
        ipam.adopt("a", ip(7)).unwrap();
        ipam.adopt("a", ip(7)).unwrap();
        assert!(ipam.adopt("b", ip(7)).is_err());
        assert!(ipam.adopt("b", Ipv4Addr::new(10, 244, 2, 7)).is_err());
        assert_eq!(ipam.allocate("b").unwrap(), ip(8));
        assert_eq!(ipam.address_of("a"), Some(ip(7)));
    }
}
