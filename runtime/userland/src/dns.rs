//! Names: the hosts file, a small resolver, nslookup and dig.
//!
//! A static binary has no name service switch, so this reads `/etc/hosts` and `/etc/resolv.conf` itself and asks over
//! UDP, as musl does: search domains are tried in order when a name has fewer dots than `ndots`.

use std::{
    fmt::Write as _,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use crate::complain;

/// `/etc/resolv.conf`.
struct Config {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
}

/// One resource record of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    name: String,
    ttl: u32,
    data: Data,
}

#[derive(Debug, Clone)]
enum Data {
    Address(IpAddr),
    /// CNAME, PTR, NS.
    Name(u16, String),
    Text(String),
    Service(u16, u16, u16, String),
    Other(u16),
}

/// An answer to one question.
#[derive(Debug)]
struct Answer {
    code: u8,
    records: Vec<Record>,
}

const TYPES: [(&str, u16); 8] =
    [("A", 1), ("NS", 2), ("CNAME", 5), ("SOA", 6), ("PTR", 12), ("TXT", 16), ("AAAA", 28), ("SRV", 33)];

fn config() -> Config {
    let mut config = Config { servers: Vec::new(), search: Vec::new(), ndots: 1 };
    for line in fs::read_to_string("/etc/resolv.conf").unwrap_or_default().lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => config.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok())),
            Some("search" | "domain") => config.search = words.map(str::to_owned).collect(),
            Some("options") => {
                for word in words {
                    if let Some(number) = word.strip_prefix("ndots:").and_then(|number| number.parse().ok()) {
                        config.ndots = number;
                    }
                }
            }
            _ => {}
        }
    }
    if config.servers.is_empty() {
        config.servers.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    config
}

/// The addresses that `/etc/hosts` gives a name.
pub(crate) fn hosts_file(name: &str) -> Vec<IpAddr> {
    fs::read_to_string("/etc/hosts")
        .unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let line = line.split('#').next()?;
            let mut words = line.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
        })
        .collect()
}

/// The addresses of a host name or literal address.
pub(crate) fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    let literal = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = literal.parse() {
        return Ok(vec![address]);
    }
    let mut known = hosts_file(name);
    if known.is_empty() && name.eq_ignore_ascii_case("localhost") {
        known = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    }
    if !known.is_empty() {
        known.sort_by_key(IpAddr::is_ipv6);
        return Ok(known);
    }
    let config = config();
    for candidate in candidates(name, &config) {
        let answer = query(&config, &candidate, 1)?;
        let addresses: Vec<IpAddr> = answer
            .records
            .iter()
            .filter_map(|record| if let Data::Address(address) = record.data { Some(address) } else { None })
            .collect();
        if !addresses.is_empty() {
            return Ok(addresses);
        }
    }
    Err(io::Error::other("bad address"))
}

/// A socket address for each address of a host.
pub(crate) fn sockets(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(resolve(host)?.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

/// Full names to try, in order.
fn candidates(name: &str, config: &Config) -> Vec<String> {
    if let Some(absolute) = name.strip_suffix('.') {
        return vec![absolute.to_owned()];
    }
    let searched = config.search.iter().map(|domain| format!("{name}.{domain}"));
    if name.matches('.').count() >= config.ndots {
        std::iter::once(name.to_owned()).chain(searched).collect()
    } else {
        searched.chain(std::iter::once(name.to_owned())).collect()
    }
}

fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut packet = Vec::from(id.to_be_bytes());
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        let length = label.len().min(63);
        packet.push(u8::try_from(length).unwrap_or(63));
        packet.extend_from_slice(&label.as_bytes()[..length]);
    }
    packet.push(0);
    packet.extend(kind.to_be_bytes());
    packet.extend([0, 1]);
    packet
}

fn query(config: &Config, name: &str, kind: u16) -> io::Result<Answer> {
    let mut last = io::Error::other("no servers could be reached");
    for server in &config.servers {
        match ask(SocketAddr::new(*server, 53), name, kind) {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn ask(server: SocketAddr, name: &str, kind: u16) -> io::Result<Answer> {
    let any: SocketAddr = if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |passed| passed.subsec_nanos());
    let id = u16::try_from(now >> 4 & 0xffff).unwrap_or(1);
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for _ in 0..2 {
        socket.send(&question(id, name, kind))?;
        let mut buffer = [0; 4096];
        match socket.recv(&mut buffer) {
            Ok(length) if buffer[..2] == id.to_be_bytes() => {
                return parse(&buffer[..length]).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData));
            }
            Ok(_) => {}
            Err(error) => last = error,
        }
    }
    Err(match last.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => io::Error::other("connection timed out; no servers could be reached"),
        _ => last,
    })
}

fn parse(packet: &[u8]) -> Option<Answer> {
    let short = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let (questions, answers) = (short(4)?, short(6)?);
    let mut at = 12;
    for _ in 0..questions {
        at = read_name(packet, at)?.1 + 4;
    }
    let mut records = Vec::new();
    for _ in 0..answers {
        let (name, next) = read_name(packet, at)?;
        let kind = short(next)?;
        let ttl = u32::from(short(next + 4)?) << 16 | u32::from(short(next + 6)?);
        let length = usize::from(short(next + 8)?);
        let start = next + 10;
        let data = packet.get(start..start + length)?;
        let data = match (kind, data) {
            (1, [a, b, c, d]) => Data::Address(Ipv4Addr::new(*a, *b, *c, *d).into()),
            (28, bytes) if bytes.len() == 16 => Data::Address(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
            (2 | 5 | 12, _) => Data::Name(kind, read_name(packet, start)?.0),
            (16, bytes) => Data::Text(String::from_utf8_lossy(bytes.get(1..).unwrap_or_default()).into_owned()),
            (33, _) => Data::Service(short(start)?, short(start + 2)?, short(start + 4)?, read_name(packet, start + 6)?.0),
            _ => Data::Other(kind),
        };
        records.push(Record { name, ttl, data });
        at = start + length;
    }
    Some(Answer { code: packet.get(3)? & 15, records })
}

/// A possibly compressed name, and where what follows it starts.
fn read_name(packet: &[u8], mut at: usize) -> Option<(String, usize)> {
    let (mut name, mut end, mut jumps) = (String::new(), None, 0);
    loop {
        let length = usize::from(*packet.get(at)?);
        if length == 0 {
            return Some((name, end.unwrap_or(at + 1)));
        }
        if length & 0xc0 == 0xc0 {
            jumps += 1;
            if jumps > 20 {
                return None;
            }
            end.get_or_insert(at + 2);
            at = (length & 0x3f) << 8 | usize::from(*packet.get(at + 1)?);
            continue;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(packet.get(at + 1..at + 1 + length)?));
        at += length + 1;
    }
}

fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let mut text = String::new();
            for byte in v6.octets().iter().rev() {
                text.push_str(&format!("{:x}.{:x}.", byte & 15, byte >> 4));
            }
            text + "ip6.arpa"
        }
    }
}

/// `nslookup [-type=TYPE] NAME [SERVER]`, written as BusyBox's larger one writes it.
pub(crate) fn nslookup(words: &[String]) -> i32 {
    let mut kinds = vec![1, 28];
    let mut operands = Vec::new();
    for word in &words[1..] {
        if let Some(kind) = word.strip_prefix("-type=").or(word.strip_prefix("-q=")).or(word.strip_prefix("-query=")) {
            let upper = kind.to_ascii_uppercase();
            kinds = TYPES.iter().filter(|(name, _)| *name == upper).map(|(_, number)| *number).collect();
        } else if !word.starts_with('-') {
            operands.push(word.clone());
        }
    }
    let Some(name) = operands.first() else {
        complain("nslookup", "usage: nslookup [-type=TYPE] NAME [SERVER]");
        return 1;
    };
    let mut config = config();
    if let Some(server) = operands.get(1) {
        match resolve(server) {
            Ok(addresses) => config.servers = addresses,
            Err(_) => {
                complain("nslookup", format!("can't resolve '{server}'"));
                return 1;
            }
        }
    }
    let reverse = name.parse::<IpAddr>().ok();
    let mut text = format!("Server:\t\t{0}\nAddress:\t{0}:53\n", config.servers[0]);
    let tries = match reverse {
        Some(address) => {
            kinds = vec![12];
            vec![reverse_name(address)]
        }
        None => candidates(name, &config),
    };
    let mut status = 1;
    let mut body = String::new();
    for candidate in &tries {
        body.clear();
        let mut missing = false;
        for kind in &kinds {
            match query(&config, candidate, *kind) {
                Err(error) => {
                    println!("{text}");
                    complain("nslookup", error);
                    return 1;
                }
                Ok(answer) if answer.code == 3 => missing = true,
                Ok(answer) => {
                    describe(&mut body, &answer);
                    status = 0;
                }
            }
        }
        if !missing {
            break;
        }
        body = format!("** server can't find {candidate}: NXDOMAIN\n\n");
        status = 1;
    }
    text.push('\n');
    text.push_str(&body);
    print!("{text}");
    status
}

fn describe(out: &mut String, answer: &Answer) {
    for record in &answer.records {
        let name = &record.name;
        let outcome = match &record.data {
            Data::Address(address) => writeln!(out, "Name:\t{name}\nAddress: {address}"),
            Data::Name(5, target) => writeln!(out, "{name}\tcanonical name = {target}"),
            Data::Name(12, target) => writeln!(out, "{name}\tname = {target}"),
            Data::Name(_, target) => writeln!(out, "{name}\tnameserver = {target}"),
            Data::Text(text) => writeln!(out, "{name}\ttext = \"{text}\""),
            Data::Service(priority, weight, port, target) => writeln!(out, "{name}\tservice = {priority} {weight} {port} {target}"),
            Data::Other(kind) => writeln!(out, "{name}\ttype {kind}"),
        };
        outcome.expect("a string takes all that is written to it");
    }
    out.push('\n');
}

/// `dig [@SERVER] NAME [TYPE] [+short]`
pub(crate) fn dig(words: &[String]) -> i32 {
    let mut config = config();
    let (mut name, mut kind, mut short) = (None, ("A", 1), false);
    for word in &words[1..] {
        let upper = word.to_ascii_uppercase();
        if let Some(server) = word.strip_prefix('@') {
            match resolve(server) {
                Ok(addresses) => config.servers = addresses,
                Err(error) => {
                    complain("dig", format!("{server}: {error}"));
                    return 9;
                }
            }
        } else if word == "+short" {
            short = true;
        } else if let Some(known) = TYPES.iter().find(|(known, _)| *known == upper) {
            kind = *known;
        } else if !word.starts_with(['+', '-']) {
            name = Some(word.trim_end_matches('.').to_owned());
        }
    }
    let Some(name) = name else {
        complain("dig", "usage: dig [@SERVER] NAME [TYPE] [+short]");
        return 1;
    };
    let answer = match query(&config, &name, kind.1) {
        Ok(answer) => answer,
        Err(error) => {
            println!(";; {error}");
            return 9;
        }
    };
    let code = match answer.code {
        0 => "NOERROR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        5 => "REFUSED",
        _ => "ERROR",
    };
    if !short {
        println!(";; status: {code}\n;; QUESTION SECTION:\n;{name}.\t\tIN\t{}\n\n;; ANSWER SECTION:", kind.0);
    }
    for record in &answer.records {
        let (kind, data) = match &record.data {
            Data::Address(address @ IpAddr::V4(_)) => ("A", address.to_string()),
            Data::Address(address) => ("AAAA", address.to_string()),
            Data::Name(number, target) => (TYPES.iter().find(|(_, known)| known == number).map_or("NS", |(name, _)| *name), format!("{target}.")),
            Data::Text(text) => ("TXT", format!("\"{text}\"")),
            Data::Service(priority, weight, port, target) => ("SRV", format!("{priority} {weight} {port} {target}.")),
            Data::Other(_) => ("OTHER", String::new()),
        };
        if short { println!("{data}") } else { println!("{}.\t{}\tIN\t{kind}\t{data}", record.name, record.ttl) }
    }
    if !short {
        println!("\n;; SERVER: {}#53", config.servers[0]);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_domains_come_first_for_short_names() {
        let config = Config { servers: Vec::new(), search: vec!["default.svc.cluster.local".to_owned()], ndots: 5 };
        assert_eq!(candidates("web", &config), ["web.default.svc.cluster.local", "web"]);
        assert_eq!(candidates("web.", &config), ["web"]);
        let config = Config { ndots: 1, ..config };
        assert_eq!(candidates("a.b", &config), ["a.b", "a.b.default.svc.cluster.local"]);
    }

    #[test]
    fn answers_with_compressed_names_are_read() {
        let mut packet = question(7, "web.example", 1);
        packet[7] = 1;
        packet.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 1, 2, 3]);
        let answer = parse(&packet).unwrap();
        assert_eq!(answer.records[0].name, "web.example");
        assert!(matches!(answer.records[0].data, Data::Address(address) if address.to_string() == "10.1.2.3"));
    }
}
