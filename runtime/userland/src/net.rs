//! Looking at a network: ping, nc, ip, netstat.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use nix::{
    ifaddrs::getifaddrs,
    net::if_::InterfaceFlags,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::Signal,
        socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrLike as _, recvfrom, sendto, socket},
    },
};

use crate::{applets::Arguments, clock, complain, dns, process, sys};

/// An ICMP socket, and whether it delivers IP headers too.
fn icmp_socket() -> nix::Result<(OwnedFd, bool)> {
    let open = |kind| socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp);
    open(SockType::Raw).map(|fd| (fd, true)).or_else(|_| open(SockType::Datagram).map(|fd| (fd, false)))
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

fn echo_request(id: u16, sequence: u16, size: usize) -> Vec<u8> {
    let mut packet = vec![8, 0, 0, 0];
    packet.extend(id.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.resize(8 + size, 0);
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// `ping [-c COUNT] [-i SECONDS] [-W SECONDS] [-w SECONDS] [-s SIZE] [-q] HOST`, with BusyBox's words.
pub(crate) fn ping(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "4c:i:W:w:s:qAn", &[]) else { return 1 };
    let Some(host) = arguments.operands.first() else {
        complain("ping", "usage: ping [-c COUNT] [-i SECONDS] [-W SECONDS] HOST");
        return 1;
    };
    let addresses = dns::sockets(host, 0).unwrap_or_default();
    let Some(address) = addresses.iter().find_map(|address| if let IpAddr::V4(v4) = address.ip() { Some(v4) } else { None }) else {
        complain("ping", format!("bad address '{host}'"));
        return 1;
    };
    let (fd, raw) = match icmp_socket() {
        Ok(opened) => opened,
        Err(error) => {
            complain("ping", format!("permission denied: no raw sockets for this user ({})", error.desc()));
            return 1;
        }
    };
    let seconds = |letter: char, usual: u64| arguments.value(letter).and_then(clock::duration).unwrap_or(Duration::from_secs(usual));
    let mut ping = Ping {
        fd,
        raw,
        address,
        id: u16::try_from(nix::unistd::getpid().as_raw() & 0xffff).unwrap_or(1),
        size: arguments.value('s').and_then(|text| text.parse().ok()).unwrap_or(56).min(60_000),
        quiet: arguments.has('q'),
        sent: Vec::new(),
        times: Vec::new(),
    };
    let count = arguments.value('c').and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    println!("PING {host} ({address}): {} data bytes", ping.size);
    sys::on_signal(Signal::SIGINT, sys::Disposition::Note);
    let end = arguments.value('w').and_then(clock::duration).map(|limit| Instant::now() + limit);
    let status = ping.run(count, seconds('i', 1), seconds('W', 10), end);
    ping.summary(host);
    status
}

struct Ping {
    fd: OwnedFd,
    raw: bool,
    address: Ipv4Addr,
    id: u16,
    size: usize,
    quiet: bool,
    sent: Vec<Instant>,
    times: Vec<f64>,
}

impl Ping {
    fn run(&mut self, count: usize, every: Duration, patience: Duration, end: Option<Instant>) -> i32 {
        let target = SockaddrIn::new(self.address.octets()[0], self.address.octets()[1], self.address.octets()[2], self.address.octets()[3], 0);
        let mut next = Instant::now();
        loop {
            let now = Instant::now();
            if self.sent.len() < count && now >= next {
                let packet = echo_request(self.id, u16::try_from(self.sent.len() & 0xffff).unwrap_or(0), self.size);
                self.sent.push(now);
                if let Err(error) = sendto(self.fd.as_raw_fd(), &packet, &target, MsgFlags::empty()) {
                    complain("ping", format!("sendto: {}", error.desc()));
                    return 1;
                }
                next = now + every;
            }
            let all_sent = self.sent.len() >= count;
            let last = self.sent.last().copied().unwrap_or(now) + patience;
            let deadline = if all_sent { last } else { next };
            let deadline = end.map_or(deadline, |end| deadline.min(end));
            let over = (all_sent && (self.times.len() >= count || now >= last)) || end.is_some_and(|end| now >= end);
            if over || sys::is_pending(Signal::SIGINT) {
                return i32::from(self.times.is_empty());
            }
            let wait = deadline.saturating_duration_since(now) + Duration::from_millis(1);
            let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)).is_ok_and(|ready| ready > 0) {
                self.receive();
            }
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; 65_536];
        let Ok((length, _)) = recvfrom::<SockaddrIn>(self.fd.as_raw_fd(), &mut buffer) else { return };
        let now = Instant::now();
        let packet = &buffer[..length];
        let header = if self.raw { usize::from(packet.first().copied().unwrap_or(0x45) & 15) * 4 } else { 0 };
        let Some(icmp) = packet.get(header..).filter(|icmp| icmp.len() >= 8) else { return };
        let from_target = !self.raw || packet.get(12..16) == Some(&self.address.octets()[..]);
        let ours = !self.raw || icmp[4..6] == self.id.to_be_bytes();
        if icmp[0] != 0 || !ours || !from_target {
            return;
        }
        let sequence = usize::from(u16::from_be_bytes([icmp[6], icmp[7]]));
        let Some(sent) = self.sent.get(sequence) else { return };
        let time = now.duration_since(*sent).as_secs_f64() * 1000.0;
        self.times.push(time);
        if !self.quiet {
            let ttl = if self.raw { format!(" ttl={}", packet[8]) } else { String::new() };
            println!("{} bytes from {}: seq={sequence}{ttl} time={time:.3} ms", icmp.len(), self.address);
        }
    }

    fn summary(&self, host: &str) {
        let (sent, received) = (self.sent.len(), self.times.len());
        println!("\n--- {host} ping statistics ---");
        let lost = 100 * sent.saturating_sub(received) / sent.max(1);
        println!("{sent} packets transmitted, {received} packets received, {lost}% packet loss");
        if received > 0 {
            let least = self.times.iter().copied().fold(f64::MAX, f64::min);
            let most = self.times.iter().copied().fold(0.0, f64::max);
            let mean = self.times.iter().sum::<f64>() / received as f64;
            println!("round-trip min/avg/max = {least:.3}/{mean:.3}/{most:.3} ms");
        }
    }
}

/// `nc [-vz] [-w SECONDS] HOST PORT`, `nc -l [-k] [-p] PORT`
pub(crate) fn nc(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "lkvznp:w:", &[]) else { return 1 };
    let limit = arguments.value('w').and_then(clock::duration);
    if arguments.has('l') {
        let port = arguments.value('p').or(arguments.operands.last().map(String::as_str)).and_then(|text| text.parse::<u16>().ok());
        let Some(port) = port else {
            complain("nc", "usage: nc -l PORT");
            return 1;
        };
        return listen(port, arguments.has('k'), arguments.has('v'));
    }
    let [host, port] = arguments.operands.as_slice() else {
        complain("nc", "usage: nc [-vz] [-w SECONDS] HOST PORT");
        return 1;
    };
    let Some(addresses) = port.parse().ok().and_then(|port| dns::sockets(host, port).ok()) else {
        complain("nc", format!("bad address '{host}'"));
        return 1;
    };
    let mut outcome = Err(io::Error::from(io::ErrorKind::AddrNotAvailable));
    for address in addresses {
        outcome = TcpStream::connect_timeout(&address, limit.unwrap_or(Duration::from_secs(60))).map(|stream| (stream, address));
        if outcome.is_ok() {
            break;
        }
    }
    match outcome {
        Ok((stream, address)) => {
            if arguments.has('v') {
                eprintln!("{host} ({address}) open");
            }
            if arguments.has('z') { 0 } else { relay(&stream, limit) }
        }
        Err(error) => {
            if arguments.has('v') || !arguments.has('z') {
                complain("nc", format!("{host} ({port}): {}", sys::reason(&error)));
            }
            1
        }
    }
}

fn listen(port: u16, keep: bool, talk: bool) -> i32 {
    let listener = match TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port))) {
        Ok(listener) => listener,
        Err(error) => {
            complain("nc", format!("bind: {}", sys::reason(&error)));
            return 1;
        }
    };
    loop {
        let Ok((stream, peer)) = listener.accept() else { return 1 };
        if talk {
            eprintln!("connect from {}", peer.ip().to_canonical());
        }
        let status = relay(&stream, None);
        if !keep {
            return status;
        }
    }
}

/// Standard input to the connection and back, until the other side ends.
fn relay(stream: &TcpStream, limit: Option<Duration>) -> i32 {
    let mut input_open = true;
    let mut buffer = [0; 16_384];
    loop {
        let mut fds = vec![PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
        if input_open {
            fds.push(PollFd::new(sys::borrow(0), PollFlags::POLLIN));
        }
        let wait = limit.filter(|_| !input_open).and_then(|limit| PollTimeout::try_from(limit).ok()).unwrap_or(PollTimeout::NONE);
        match poll(&mut fds, wait) {
            Ok(0) => return 1,
            Ok(_) => {}
            Err(_) => continue,
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        // Input first: where the other side has nothing more to say, it is still to hear what is there for it.
        if ready.get(1) == Some(&true) {
            match nix::unistd::read(sys::borrow(0), &mut buffer) {
                Ok(count) if count > 0 => {
                    if (&mut &*stream).write_all(&buffer[..count]).is_err() {
                        return 1;
                    }
                }
                _ => {
                    input_open = false;
                    sys::best_effort(stream.shutdown(Shutdown::Write));
                }
            }
        }
        if ready[0] {
            match (&mut &*stream).read(&mut buffer) {
                Ok(count) if count > 0 => {
                    if sys::write_all(1, &buffer[..count]).is_err() {
                        return 1;
                    }
                }
                _ => return 0,
            }
        }
    }
}

/// An interface and its addresses with the lengths of their prefixes.
struct Interface {
    name: String,
    flags: InterfaceFlags,
    hardware: Option<[u8; 6]>,
    addresses: Vec<(IpAddr, u32)>,
}

fn interfaces() -> Vec<Interface> {
    let mut all: Vec<Interface> = Vec::new();
    let Ok(entries) = getifaddrs() else { return all };
    for entry in entries {
        let index = all.iter().position(|known| known.name == entry.interface_name).unwrap_or_else(|| {
            all.push(Interface { name: entry.interface_name.clone(), flags: entry.flags, hardware: None, addresses: Vec::new() });
            all.len() - 1
        });
        let Some(address) = entry.address else { continue };
        let known = &mut all[index];
        if let Some(v4) = address.as_sockaddr_in() {
            let mask = entry.netmask.and_then(|mask| Some(u32::from(mask.as_sockaddr_in()?.ip()).count_ones()));
            known.addresses.push((IpAddr::V4(v4.ip()), mask.unwrap_or(32)));
        } else if let Some(v6) = address.as_sockaddr_in6() {
            let mask = entry.netmask.and_then(|mask| Some(u128::from(mask.as_sockaddr_in6()?.ip()).count_ones()));
            known.addresses.push((IpAddr::V6(v6.ip()), mask.unwrap_or(128)));
        } else if address.family() == Some(AddressFamily::Packet) {
            known.hardware = address.as_link_addr().and_then(nix::sys::socket::LinkAddr::addr);
        }
    }
    all
}

fn of_interface(name: &str, what: &str) -> String {
    fs::read_to_string(format!("/sys/class/net/{name}/{what}")).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// `ip [-brief] addr | link | route`
pub(crate) fn ip(words: &[String]) -> i32 {
    let rest: Vec<&str> = words[1..].iter().map(String::as_str).filter(|word| !matches!(*word, "-4" | "-o" | "-c" | "show" | "list" | "dev")).collect();
    let brief = rest.iter().any(|word| word.starts_with("-br"));
    let rest: Vec<&str> = rest.into_iter().filter(|word| !word.starts_with('-')).collect();
    let object = rest.first().copied().unwrap_or("");
    match object {
        _ if !object.is_empty() && "address".starts_with(object) => show_addresses(rest.get(1).copied(), brief, true),
        _ if !object.is_empty() && "link".starts_with(object) => show_addresses(rest.get(1).copied(), brief, false),
        _ if !object.is_empty() && "route".starts_with(object) => show_routes(),
        _ => {
            complain("ip", "this one shows only: ip addr, ip link, ip route");
            return 1;
        }
    }
    0
}

fn show_addresses(wanted: Option<&str>, brief: bool, addresses: bool) {
    for interface in interfaces().iter().filter(|interface| wanted.is_none_or(|wanted| wanted == interface.name)) {
        let name = &interface.name;
        let up = interface.flags.contains(InterfaceFlags::IFF_UP);
        let state = match of_interface(name, "operstate") {
            text if text.is_empty() => if up { "UP".to_owned() } else { "DOWN".to_owned() },
            text => text.to_uppercase(),
        };
        if brief {
            let list: Vec<String> = interface.addresses.iter().map(|(address, length)| format!("{address}/{length}")).collect();
            println!("{name:<16} {state:<14} {}", if addresses { list.join(" ") } else { hardware(interface) });
            continue;
        }
        let flags: Vec<&str> = [
            (InterfaceFlags::IFF_LOOPBACK, "LOOPBACK"),
            (InterfaceFlags::IFF_BROADCAST, "BROADCAST"),
            (InterfaceFlags::IFF_MULTICAST, "MULTICAST"),
            (InterfaceFlags::IFF_UP, "UP"),
            (InterfaceFlags::IFF_RUNNING, "LOWER_UP"),
        ]
        .iter()
        .filter(|(flag, _)| interface.flags.contains(*flag))
        .map(|(_, text)| *text)
        .collect();
        let index = nix::net::if_::if_nametoindex(name.as_str()).unwrap_or(0);
        let mtu = of_interface(name, "mtu");
        let mtu = if mtu.is_empty() { String::new() } else { format!(" mtu {mtu}") };
        println!("{index}: {name}: <{}>{mtu} state {state}", flags.join(","));
        let kind = if interface.flags.contains(InterfaceFlags::IFF_LOOPBACK) { "loopback" } else { "ether" };
        println!("    link/{kind} {}", hardware(interface));
        if addresses {
            for (address, length) in &interface.addresses {
                let family = if address.is_ipv4() { "inet" } else { "inet6" };
                println!("    {family} {address}/{length} scope {}", if kind == "loopback" { "host" } else { "global" });
            }
        }
    }
}

fn hardware(interface: &Interface) -> String {
    let bytes = interface.hardware.unwrap_or_default();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn show_routes() {
    for line in fs::read_to_string("/proc/net/route").unwrap_or_default().lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [device, destination, gateway, _, _, _, _, mask, ..] = fields.as_slice() else { continue };
        let address = |text: &str| Ipv4Addr::from(u32::from_str_radix(text, 16).unwrap_or(0).to_le_bytes());
        let length = u32::from_str_radix(mask, 16).unwrap_or(0).count_ones();
        let target = if length == 0 { "default".to_owned() } else { format!("{}/{length}", address(destination)) };
        let via = if *gateway == "00000000" { String::new() } else { format!(" via {}", address(gateway)) };
        println!("{target}{via} dev {device}");
    }
}

const STATES: [&str; 12] = [
    "?", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING",
];

/// `netstat [-tulnpa]`, `ss [-tulnpa]`
pub(crate) fn netstat(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "tulnpaWe", &[]) else { return 1 };
    let both = !arguments.has('t') && !arguments.has('u');
    println!("Proto Local Address           Foreign Address         State       PID/Program");
    let owners = if arguments.has('p') { socket_owners() } else { Vec::new() };
    for (protocol, wanted) in [("tcp", arguments.has('t') || both), ("tcp6", arguments.has('t') || both), ("udp", arguments.has('u') || both), ("udp6", arguments.has('u') || both)] {
        if !wanted {
            continue;
        }
        for line in fs::read_to_string(format!("/proc/net/{protocol}")).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(remote), Some(state)) = (fields.get(1), fields.get(2), fields.get(3)) else { continue };
            let state = usize::from_str_radix(state, 16).unwrap_or(0);
            let listening = state == 10 || (protocol.starts_with("udp") && state == 7);
            if !arguments.has('a') && listening != arguments.has('l') {
                continue;
            }
            let shown = if protocol.starts_with("udp") { "" } else { STATES.get(state).copied().unwrap_or("?") };
            let owner = fields.get(9).and_then(|inode| owners.iter().find(|(known, _)| known == inode)).map_or("-", |(_, owner)| owner);
            println!("{protocol:<5} {:<23} {:<23} {shown:<11} {owner}", endpoint(local), endpoint(remote));
        }
    }
    0
}

/// `0100007F:0050` as people write it.
fn endpoint(text: &str) -> String {
    let Some((address, port)) = text.split_once(':') else { return text.to_owned() };
    let port = u16::from_str_radix(port, 16).map_or_else(|_| "*".to_owned(), |port| if port == 0 { "*".to_owned() } else { port.to_string() });
    let words: Vec<u8> = address
        .as_bytes()
        .chunks(8)
        .filter_map(|chunk| u32::from_str_radix(std::str::from_utf8(chunk).ok()?, 16).ok())
        .flat_map(u32::to_le_bytes)
        .collect();
    let address = match (<[u8; 4]>::try_from(words.as_slice()), <[u8; 16]>::try_from(words.as_slice())) {
        (Ok(v4), _) => IpAddr::V4(Ipv4Addr::from(v4)),
        (_, Ok(v6)) => IpAddr::V6(Ipv6Addr::from(v6)).to_canonical(),
        _ => return text.to_owned(),
    };
    match address {
        IpAddr::V4(v4) => format!("{v4}:{port}"),
        IpAddr::V6(v6) => format!("{v6}:{port}"),
    }
}

/// Inodes of sockets and who has them open.
fn socket_owners() -> Vec<(String, String)> {
    let mut owners = Vec::new();
    for process in process::processes() {
        let name = fs::read_to_string(format!("/proc/{}/comm", process.pid)).unwrap_or_default();
        for entry in fs::read_dir(format!("/proc/{}/fd", process.pid)).into_iter().flatten().flatten() {
            let target = fs::read_link(entry.path()).unwrap_or_default().to_string_lossy().into_owned();
            if let Some(inode) = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')) {
                owners.push((inode.to_owned(), format!("{}/{}", process.pid, name.trim())));
            }
        }
    }
    owners
}

/// `getent hosts NAME | passwd [NAME] | group [NAME]`
pub(crate) fn getent(words: &[String]) -> i32 {
    match (words.get(1).map(String::as_str), words.get(2)) {
        (Some("hosts" | "ahosts" | "ahostsv4"), Some(name)) => match dns::sockets(name, 0) {
            Ok(addresses) => {
                for address in addresses.iter().map(SocketAddr::ip) {
                    println!("{address:<15} {name}");
                }
                0
            }
            Err(_) => 2,
        },
        (Some(base @ ("passwd" | "group")), name) => {
            let text = fs::read_to_string(format!("/etc/{base}")).unwrap_or_default();
            let lines: Vec<&str> = text.lines().filter(|line| name.is_none_or(|name| line.split(':').next() == Some(name))).collect();
            lines.iter().for_each(|line| println!("{line}"));
            if lines.is_empty() { 2 } else { 0 }
        }
        _ => {
            complain("getent", "usage: getent hosts NAME, getent passwd [NAME], getent group [NAME]");
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echo_requests_have_a_sum_of_zero() {
        let packet = echo_request(0x1234, 7, 56);
        assert_eq!(packet.len(), 64);
        assert_eq!(checksum(&packet), 0);
    }

    #[test]
    fn kernel_addresses_are_read() {
        let cases = [
            ("0100007F:0050", "127.0.0.1:80"),
            ("00000000:0000", "0.0.0.0:*"),
            ("0000000000000000FFFF00000100007F:1F90", "127.0.0.1:8080"),
            ("00000000000000000000000000000000:0016", ":::22"),
        ];
        for (text, wanted) in cases {
            assert_eq!(endpoint(text), wanted, "{text}");
        }
    }
}
