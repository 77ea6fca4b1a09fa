//! Links, addresses and routes of one network namespace (rtnetlink(7)).
//!
//! Adding what is there already is success; removing what is not there is success.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};

use crate::cidr::Cidr;
use crate::error::{NetworkError, Step};
use crate::netlink::{Family, Message, Socket, attribute, flags, u16_at, u32_at};
use crate::netns::Netns;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFF_UP: u32 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const RT_TABLE_MAIN: u8 = 254;
/// Marks our routes, so that a restart recognizes them (rtm_protocol values from 16 up are for programs).
const PROTOCOL: u8 = 68;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
const RTNH_F_ONLINK: u32 = 4;

const AF_INET: u8 = libc::AF_INET as u8;

/// A link as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in this namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `veth`, `bridge`, `dummy`; empty for the loopback.
    pub kind: String,
    /// Whether it was switched on.
    pub up: bool,
    /// The bridge it is a port of.
    pub master: Option<u32>,
    /// Its hardware address.
    pub mac: Vec<u8>,
}

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Where to.
    pub to: Cidr,
    /// Through which link.
    pub link: u32,
    /// By which neighbor; it is taken to be on the link even when no address says so.
    pub via: Option<Ipv4Addr>,
    /// The address our own packets get.
    pub source: Option<Ipv4Addr>,
}

/// The links, addresses and routes of one network namespace.
#[derive(Debug)]
pub struct Rtnl {
    socket: Socket,
}

impl Rtnl {
    /// Talk to the kernel about the namespace given.
    ///
    /// # Errors
    /// When it cannot be entered.
    pub fn open(netns: &Netns) -> Result<Rtnl, NetworkError> {
        let socket = Socket::open(netns, Family::Route).step(|| "open a netlink socket".to_owned())?;
        Ok(Rtnl { socket })
    }

    /// The link of that name, if there is one.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, NetworkError> {
        let message = Message::new(RTM_GETLINK, 0).put(&ifinfo(0, 0, 0)).text(IFLA_IFNAME, name);
        match self.socket.get(message) {
            Ok(body) => Ok(Some(parse_link(&body))),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error).step(|| format!("look up link {name}")),
        }
    }

    /// All links.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn links(&mut self) -> Result<Vec<Link>, NetworkError> {
        let bodies = self.socket.dump(Message::new(RTM_GETLINK, 0).put(&ifinfo(0, 0, 0))).step(|| "list links".to_owned())?;
        Ok(bodies.iter().map(|body| parse_link(body)).collect())
    }

    /// Make a bridge and switch it on; its number.
    ///
    /// # Errors
    /// What the kernel said, `EOPNOTSUPP` when it has no bridges.
    pub fn ensure_bridge(&mut self, name: &str) -> Result<u32, NetworkError> {
        self.ensure_simple(name, "bridge")
    }

    /// Make a dummy link, a place for addresses, and switch it on; its number.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn ensure_dummy(&mut self, name: &str) -> Result<u32, NetworkError> {
        self.ensure_simple(name, "dummy")
    }

    fn ensure_simple(&mut self, name: &str, kind: &str) -> Result<u32, NetworkError> {
        let message = Message::new(RTM_NEWLINK, flags::CREATE | flags::EXCL)
            .put(&ifinfo(0, IFF_UP, IFF_UP))
            .text(IFLA_IFNAME, name)
            .nest(IFLA_LINKINFO, |m| m.text(IFLA_INFO_KIND, kind));
        tolerate(self.socket.request(message), libc::EEXIST).step(|| format!("make {kind} {name}"))?;
        self.index(name)
    }

    /// A pair of links like the two ends of a cable: `name` here, `peer_name` in another namespace, where it is
    /// still off. A half pair that an interrupted run left is made anew. Returns the number of the end here.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn ensure_veth(&mut self, name: &str, peer: &Netns, peer_name: &str) -> Result<u32, NetworkError> {
        if let Some(link) = self.link(name)? {
            if Rtnl::open(peer)?.link(peer_name)?.is_some() {
                return Ok(link.index);
            }
            self.delete_link(name)?;
        }
        let message = Message::new(RTM_NEWLINK, flags::CREATE | flags::EXCL)
            .put(&ifinfo(0, IFF_UP, IFF_UP))
            .text(IFLA_IFNAME, name)
            .nest(IFLA_LINKINFO, |m| {
                m.text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, |m| {
                    m.nest(VETH_INFO_PEER, |m| {
                        let fd = peer.as_fd().as_raw_fd();
                        // Off: veth cannot be switched on before it knows its other end.
                        m.put(&ifinfo(0, 0, 0)).text(IFLA_IFNAME, peer_name).number(IFLA_NET_NS_FD, fd as u32)
                    })
                })
            });
        match self.socket.request(message.clone()) {
            // The other end survives alone when it was moved; it belongs to a cable nobody holds the other end of.
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                Rtnl::open(peer)?.delete_link(peer_name)?;
                self.socket.request(message)
            }
            other => other,
        }
        .step(|| format!("make veth pair {name} and {peer_name}"))?;
        self.index(name)
    }

    fn index(&mut self, name: &str) -> Result<u32, NetworkError> {
        let link = self.link(name)?;
        link.map(|link| link.index).ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV)).step(|| format!("find link {name}"))
    }

    /// Remove a link; the other end of a cable goes with it.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn delete_link(&mut self, name: &str) -> Result<(), NetworkError> {
        let message = Message::new(RTM_DELLINK, 0).put(&ifinfo(0, 0, 0)).text(IFLA_IFNAME, name);
        tolerate(self.socket.request(message), libc::ENODEV).step(|| format!("remove link {name}"))
    }

    /// Switch a link on.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn set_up(&mut self, name: &str) -> Result<u32, NetworkError> {
        let index = self.index(name)?;
        let message = Message::new(RTM_NEWLINK, 0).put(&ifinfo(index, IFF_UP, IFF_UP));
        self.socket.request(message).step(|| format!("switch on link {name}"))?;
        Ok(index)
    }

    /// Switch a link off; its routes go.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn set_down(&mut self, name: &str) -> Result<(), NetworkError> {
        let index = self.index(name)?;
        let message = Message::new(RTM_NEWLINK, 0).put(&ifinfo(index, 0, IFF_UP));
        self.socket.request(message).step(|| format!("switch off link {name}"))
    }

    /// Plug a link into a bridge.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn set_master(&mut self, link: u32, bridge: u32) -> Result<(), NetworkError> {
        let message = Message::new(RTM_NEWLINK, 0).put(&ifinfo(link, 0, 0)).number(IFLA_MASTER, bridge);
        self.socket.request(message).step(|| format!("plug link {link} into bridge {bridge}"))
    }

    /// Set the largest packet a link carries.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn set_mtu(&mut self, link: u32, bytes: u32) -> Result<(), NetworkError> {
        let message = Message::new(RTM_NEWLINK, 0).put(&ifinfo(link, 0, 0)).number(IFLA_MTU, bytes);
        self.socket.request(message).step(|| format!("set the MTU of link {link} to {bytes}"))
    }

    /// Give a link an address; its network becomes reachable through the link.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn add_address(&mut self, link: u32, address: Ipv4Addr, prefix: u8) -> Result<(), NetworkError> {
        // ifaddrmsg: family, prefix length, flags, scope, index.
        let mut fixed = vec![AF_INET, prefix, 0, 0];
        fixed.extend_from_slice(&link.to_ne_bytes());
        let message = Message::new(RTM_NEWADDR, flags::CREATE | flags::EXCL)
            .put(&fixed)
            .attr(IFA_LOCAL, &address.octets())
            .attr(IFA_ADDRESS, &address.octets());
        tolerate(self.socket.request(message), libc::EEXIST).step(|| format!("add address {address}/{prefix} to link {link}"))
    }

    /// Take an address of a link away.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn remove_address(&mut self, link: u32, address: Ipv4Addr, prefix: u8) -> Result<(), NetworkError> {
        let mut fixed = vec![AF_INET, prefix, 0, 0];
        fixed.extend_from_slice(&link.to_ne_bytes());
        let message = Message::new(RTM_DELADDR, 0).put(&fixed).attr(IFA_LOCAL, &address.octets()).attr(IFA_ADDRESS, &address.octets());
        tolerate(self.socket.request(message), libc::EADDRNOTAVAIL).step(|| format!("take address {address}/{prefix} from link {link}"))
    }

    /// The IPv4 addresses of a link.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn addresses(&mut self, link: u32) -> Result<Vec<Ipv4Addr>, NetworkError> {
        let mut fixed = vec![AF_INET, 0, 0, 0];
        fixed.extend_from_slice(&0u32.to_ne_bytes());
        let bodies = self.socket.dump(Message::new(RTM_GETADDR, 0).put(&fixed)).step(|| "list addresses".to_owned())?;
        let of_link = bodies.iter().filter(|body| body.first() == Some(&AF_INET) && u32_at(body, 4) == link);
        Ok(of_link.filter_map(|body| address(attribute(body.get(8..)?, IFA_LOCAL)?)).collect())
    }

    /// Add a route, or change the one to the same range.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn set_route(&mut self, route: Route) -> Result<(), NetworkError> {
        let message = route_message(RTM_NEWROUTE, flags::CREATE | flags::REPLACE, route);
        self.socket.request(message).step(|| format!("add route to {} over link {}", route.to, route.link))
    }

    /// Remove a route.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn delete_route(&mut self, route: Route) -> Result<(), NetworkError> {
        let message = route_message(RTM_DELROUTE, 0, route);
        tolerate(self.socket.request(message), libc::ESRCH).step(|| format!("remove route to {}", route.to))
    }

    /// The routes made by this crate.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn routes(&mut self) -> Result<Vec<Route>, NetworkError> {
        let fixed = rtmsg(0, RT_SCOPE_UNIVERSE, 0);
        let bodies = self.socket.dump(Message::new(RTM_GETROUTE, 0).put(&fixed)).step(|| "list routes".to_owned())?;
        Ok(bodies.iter().filter_map(|body| parse_route(body)).collect())
    }
}

fn tolerate(result: io::Result<()>, code: i32) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(code) => Ok(()),
        other => other,
    }
}

/// ifinfomsg: family, padding, type, index, flags, change mask.
fn ifinfo(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(&index.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&change.to_ne_bytes());
    bytes
}

/// rtmsg: family, destination length, source length, tos, table, protocol, scope, type, flags.
fn rtmsg(prefix: u8, scope: u8, route_flags: u32) -> Vec<u8> {
    let mut bytes = vec![AF_INET, prefix, 0, 0, RT_TABLE_MAIN, PROTOCOL, scope, RTN_UNICAST];
    bytes.extend_from_slice(&route_flags.to_ne_bytes());
    bytes
}

fn route_message(kind: u16, message_flags: u16, route: Route) -> Message {
    let (scope, onlink) = if route.via.is_some() { (RT_SCOPE_UNIVERSE, RTNH_F_ONLINK) } else { (RT_SCOPE_LINK, 0) };
    let mut message = Message::new(kind, message_flags).put(&rtmsg(route.to.prefix(), scope, onlink));
    if route.to.prefix() > 0 {
        message = message.attr(RTA_DST, &route.to.network().octets());
    }
    if let Some(via) = route.via {
        message = message.attr(RTA_GATEWAY, &via.octets());
    }
    if let Some(source) = route.source {
        message = message.attr(RTA_PREFSRC, &source.octets());
    }
    message.number(RTA_OIF, route.link)
}

fn parse_route(body: &[u8]) -> Option<Route> {
    if body.first() != Some(&AF_INET) || body.get(4) != Some(&RT_TABLE_MAIN) || body.get(5) != Some(&PROTOCOL) {
        return None;
    }
    let attributes = body.get(12..)?;
    let to = attribute(attributes, RTA_DST).and_then(address).unwrap_or(Ipv4Addr::UNSPECIFIED);
    Some(Route {
        to: Cidr::new(to, body[1]),
        link: attribute(attributes, RTA_OIF).map(|value| u32_at(value, 0))?,
        via: attribute(attributes, RTA_GATEWAY).and_then(address),
        source: attribute(attributes, RTA_PREFSRC).and_then(address),
    })
}

fn parse_link(body: &[u8]) -> Link {
    let attributes = body.get(16..).unwrap_or_default();
    let kind = attribute(attributes, IFLA_LINKINFO).and_then(|info| attribute(info, IFLA_INFO_KIND)).map(text);
    Link {
        index: u32_at(body, 4),
        name: attribute(attributes, IFLA_IFNAME).map(text).unwrap_or_default(),
        kind: kind.unwrap_or_default(),
        up: u16_at(body, 8) & IFF_UP as u16 != 0,
        master: attribute(attributes, IFLA_MASTER).map(|value| u32_at(value, 0)),
        mac: attribute(attributes, IFLA_ADDRESS).map(<[u8]>::to_vec).unwrap_or_default(),
    }
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.try_into().ok()?;
    Some(Ipv4Addr::from(octets))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}
