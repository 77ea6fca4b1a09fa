//! Which proxy stands before a server: the one of the kubeconfig, or the one the environment names for such addresses.
// upstream: golang.org/x/net/http/httpproxy/proxy.go, client-go/rest/config.go

use std::net::IpAddr;

use http::Uri;

use crate::environment::Environment;
use crate::print::go;

/// The proxy of the environment for a server. This machine's own addresses have none.
///
/// Stock kubectl goes straight to the server where it cannot read what is named; that is not what was asked for, and so it is refused here.
pub(crate) fn of_environment(env: &Environment, server: &Uri) -> Result<Option<Uri>, String> {
    let any = |names: [&str; 2]| names.into_iter().find_map(|name| env.get(name).filter(|value| !value.is_empty()));
    let names = if server.scheme_str() == Some("https") { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
    let (Some(text), Some(host)) = (any(names), server.host()) else { return Ok(None) };
    let host = host.trim_matches(['[', ']']).to_lowercase();
    let port = server.port_u16().unwrap_or(if names[0] == "HTTPS_PROXY" { 443 } else { 80 });
    let ip = host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    let local = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
    let exempt = || any(["NO_PROXY", "no_proxy"]).unwrap_or_default().split(',').any(|part| covers(&part.trim().to_lowercase(), &host, ip, port));
    if local || exempt() { Ok(None) } else { named(text).map(Some) }
}

/// A proxy as the environment names it: a host is one of HTTP.
// upstream: httpproxy parseProxy
fn named(text: &str) -> Result<Uri, String> {
    let first = parse(text);
    match &first {
        Some(address) if !address.scheme.is_empty() && !address.place.is_empty() => {}
        _ => {
            if let Some(address) = parse(&format!("http://{text}")) {
                return address.uri();
            }
        }
    }
    first.filter(|address| !address.place.is_empty()).ok_or_else(|| format!("invalid proxy address {}", go::quote(text)))?.uri()
}

/// A proxy as a kubeconfig names it.
pub(crate) fn written(text: &str) -> Result<Uri, String> {
    readable(text)?.uri()
}

/// A proxy's address as far as it is read before anybody is asked.
// upstream: client-go/tools/clientcmd/helpers.go parseProxyURL
pub(super) fn readable(text: &str) -> Result<Address, String> {
    let address = parse(text).ok_or_else(|| format!("could not parse: {text}"))?;
    match address.scheme.as_str() {
        "http" | "https" | "socks5" => Ok(address),
        other => Err(format!("unsupported scheme {}, must be http, https, or socks5", go::quote(other))),
    }
}

/// As much of an address as a proxy has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// In small letters; empty when there is none.
    scheme: String,
    /// `user:password@`, or nothing.
    who: String,
    /// Host and port.
    place: String,
}

impl Address {
    /// It, with a path, as a URI that is connected to must have one.
    fn uri(&self) -> Result<Uri, String> {
        let Self { scheme, who, place } = self;
        // Nobody is asked at a port that cannot be.
        if let Some((_, port)) = place.rsplit_once(':')
            && !port.is_empty()
            && !port.ends_with(']')
            && port.parse::<u16>().is_err()
        {
            return Err(format!("proxyconnect tcp: dial tcp: address {port}: invalid port"));
        }
        let place = place.strip_suffix(':').unwrap_or(place);
        let host = place.rsplit_once(':').map_or(place, |(host, port)| if port.ends_with(']') { place } else { host });
        let place = if host.is_empty() { format!("localhost{place}") } else { place.to_owned() };
        format!("{scheme}://{who}{place}/").parse().map_err(|_| format!("proxyconnect tcp: dial tcp: lookup {host}: no such host"))
    }
}

/// An address as Go reads it; nothing when it cannot.
// upstream: net/url/url.go parse, parseAuthority, parseHost, validUserinfo
fn parse(text: &str) -> Option<Address> {
    if text.is_empty() || text.contains(|letter: char| letter.is_ascii_control()) {
        return None;
    }
    let (whole, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (scheme, rest) = scheme(whole)?;
    let rest = rest.split('?').next().unwrap_or_default();
    let Some(after) = rest.strip_prefix("//") else {
        let opaque = !scheme.is_empty() && !rest.starts_with('/');
        let first = rest.split('/').next().unwrap_or_default();
        let odd = scheme.is_empty() && first.contains(':');
        return (!odd && (opaque || escaped(rest)) && escaped(fragment)).then(|| Address { scheme, who: String::new(), place: String::new() });
    };
    let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
    let (who, place) = authority.rsplit_once('@').map_or(("", authority), |(who, place)| (who, place));
    let in_who = |letter: char| letter.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(letter);
    if !who.chars().all(in_who) || !escaped(who) || !is_place(place) || !escaped(path) || !escaped(fragment) {
        return None;
    }
    let who = if authority.contains('@') { format!("{who}@") } else { String::new() };
    Some(Address { scheme, who, place: place.to_owned() })
}

/// The scheme of an address, in small letters, and what follows.
fn scheme(text: &str) -> Option<(String, &str)> {
    let none = (String::new(), text);
    match text.find(|letter: char| !(letter.is_ascii_alphanumeric() || "+-.".contains(letter))) {
        Some(end) if text[end..].starts_with(':') => match text.as_bytes()[0] {
            b':' => None,
            // What begins with another letter has no scheme, and then no colon in its first part.
            first if !first.is_ascii_alphabetic() => Some(none),
            _ => Some((text[..end].to_lowercase(), &text[end + 1..])),
        },
        _ => Some(none),
    }
}

/// Whether every `%` begins a byte.
fn escaped(text: &str) -> bool {
    text.split('%').skip(1).all(|after| after.len() >= 2 && after.bytes().take(2).all(|digit| digit.is_ascii_hexdigit()))
}

/// Whether it can be a host with or without a port.
fn is_place(place: &str) -> bool {
    let port = match place.strip_prefix('[') {
        Some(inside) => match inside.rsplit_once(']') {
            Some((_, port)) => port,
            None => return false,
        },
        None => place.rfind(':').map_or("", |colon| &place[colon..]),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let of_host = |letter: char| !letter.is_ascii() || letter.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"%".contains(letter);
    (port.is_empty() || port.starts_with(':')) && digits.bytes().all(|digit| digit.is_ascii_digit()) && place.chars().all(of_host) && (place.starts_with('[') || !place.contains('%'))
}

/// Whether a part of `NO_PROXY` covers a host: `*`, an address, a network, a name with those below it, a dot and those below it; any with a port.
fn covers(part: &str, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
    if part.is_empty() || part == "*" {
        return part == "*";
    }
    if let Some((network, bits)) = part.split_once('/')
        && let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>())
    {
        return ip.is_some_and(|ip| within(network, bits, ip));
    }
    let bare = part.parse::<IpAddr>().is_ok();
    let (name, only) = match part.rsplit_once(':') {
        Some((name, only)) if !bare && (!name.contains(':') || name.ends_with(']')) => (name.trim_matches(['[', ']']), only),
        _ => (part, ""),
    };
    if !only.is_empty() && only != port.to_string() {
        return false;
    }
    if let Ok(address) = name.parse::<IpAddr>() {
        return ip == Some(address.to_canonical());
    }
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    match name.strip_prefix('.') {
        _ if ip.is_some() || name.is_empty() => false,
        Some(_) => host.ends_with(name),
        None => host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')),
    }
}

fn within(network: IpAddr, bits: u32, ip: IpAddr) -> bool {
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) if bits <= 32 => (network.to_bits() ^ ip.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0,
        (IpAddr::V6(network), IpAddr::V6(ip)) if bits <= 128 => (network.to_bits() ^ ip.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(variables: &[(&str, &str)], server: &str) -> String {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let env = Environment { variables, ..Environment::default() };
        match of_environment(&env, &server.parse().unwrap()) {
            Ok(proxy) => proxy.map_or_else(String::new, |proxy| proxy.to_string()),
            Err(why) => why,
        }
    }

    #[test]
    fn the_environment_names_a_proxy_for_each_scheme() {
        let cases: [(&[(&str, &str)], &str, &str); 9] = [
            (&[("HTTPS_PROXY", "http://p:3")], "https://a:6443", "http://p:3/"),
            (&[("https_proxy", "p:3")], "https://a", "http://p:3/"),
            (&[("HTTPS_PROXY", "http://u:w@p:3")], "https://a", "http://u:w@p:3/"),
            (&[("HTTPS_PROXY", "http://p"), ("https_proxy", "http://q")], "https://a", "http://p/"),
            (&[("HTTP_PROXY", "http://p")], "https://a", ""),
            (&[("HTTP_PROXY", "http://p")], "http://a", "http://p/"),
            (&[("HTTPS_PROXY", "http://p")], "https://localhost:1", ""),
            (&[("HTTPS_PROXY", "http://p")], "https://127.8.8.8", ""),
            (&[("HTTPS_PROXY", "http://p")], "https://[::1]:6443", ""),
        ];
        for (variables, server, wanted) in cases {
            assert_eq!(proxy(variables, server), wanted, "{variables:?} {server}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_reason_to_go_without() {
        // As stock kubectl reads `HTTPS_PROXY`, but for the last three, which it drops.
        let cases = [
            ("http://u:p w@h:2", "http://http/"),
            ("http://h:2x", "http://http/"),
            ("http://h|x:2", "http://http/"),
            ("http://", "http://http/"),
            ("HTTP://127.0.0.1:2", "http://127.0.0.1:2/"),
            ("SOCKS5://127.0.0.1:2", "socks5://127.0.0.1:2/"),
            ("127.0.0.1:2/a b", "http://127.0.0.1:2/"),
            ("http://127.0.0.1:99999", "proxyconnect tcp: dial tcp: address 99999: invalid port"),
            (":3", "http://localhost:3/"),
            ("", ""),
            ("a b", "invalid proxy address \"a b\""),
            ("h|x", "invalid proxy address \"h|x\""),
            ("p:3x", "invalid proxy address \"p:3x\""),
        ];
        for (named, wanted) in cases {
            assert_eq!(proxy(&[("HTTPS_PROXY", named)], "https://a:6443"), wanted, "{named}");
        }
    }

    #[test]
    fn a_kubeconfig_names_a_proxy_as_go_writes_addresses() {
        let parsed = |text: &str| format!("could not parse: {text}");
        let scheme = |scheme: &str| format!("unsupported scheme {scheme:?}, must be http, https, or socks5");
        let cases = [
            ("http://u:p w@h:2", parsed("http://u:p w@h:2")),
            ("http://h:2x", parsed("http://h:2x")),
            ("http://h|x:2", parsed("http://h|x:2")),
            ("http://%zz", parsed("http://%zz")),
            ("1:2", parsed("1:2")),
            (":x", parsed(":x")),
            ("http://[::1", parsed("http://[::1")),
            ("http://h:2/%zz", parsed("http://h:2/%zz")),
            ("1a://h", parsed("1a://h")),
            ("http://[::1]x:2", parsed("http://[::1]x:2")),
            ("a b", scheme("")),
            ("a/b:c", scheme("")),
            ("p:3x", scheme("p")),
            ("a:b:c", scheme("a")),
            ("ftp://127.0.0.1:2", scheme("ftp")),
            ("HTTP://127.0.0.1:2", "http://127.0.0.1:2/".to_owned()),
            ("SOCKS5://127.0.0.1:2", "socks5://127.0.0.1:2/".to_owned()),
            ("http://127.0.0.1:2/a b", "http://127.0.0.1:2/".to_owned()),
            ("http://u:p%20w@[::1]:2", "http://u:p%20w@[::1]:2/".to_owned()),
            ("http://127.0.0.1:", "http://127.0.0.1/".to_owned()),
            ("http:///x", "http://localhost/".to_owned()),
            ("http://127.0.0.1:99999", "proxyconnect tcp: dial tcp: address 99999: invalid port".to_owned()),
            ("http://h<:2", "proxyconnect tcp: dial tcp: lookup h<: no such host".to_owned()),
        ];
        for (text, wanted) in cases {
            assert_eq!(written(text).map_or_else(|why| why, |uri| uri.to_string()), wanted, "{text}");
        }
    }

    #[test]
    fn some_hosts_have_none() {
        let cases = [
            ("*", "https://a", true),
            ("a.example", "https://a.example", true),
            ("example", "https://a.example", true),
            (".example", "https://a.example", true),
            (".example", "https://example", false),
            ("*.example", "https://a.example", true),
            ("ample", "https://a.example", false),
            ("other, a.example", "https://A.example", true),
            ("a.example:443", "https://a.example", true),
            ("a.example:8443", "https://a.example", false),
            ("10.0.0.0/8", "https://10.1.2.3:6443", true),
            ("10.0.0.0/8", "https://11.1.2.3:6443", false),
            ("0.0.0.0/0", "https://11.1.2.3:6443", true),
            ("10.1.2.3", "https://10.1.2.3:6443", true),
            ("10.1.2.3:6443", "https://10.1.2.3:6443", true),
            ("10.1.2.3:1", "https://10.1.2.3:6443", false),
            ("fd00::/8", "https://[fd00::1]:6443", true),
            ("[fd00::1]:6443", "https://[fd00::1]:6443", true),
            ("fd00::1", "https://[fd00::1]:6443", true),
            ("", "https://a", false),
        ];
        for (exempt, server, without) in cases {
            assert_eq!(proxy(&[("HTTPS_PROXY", "http://p"), ("NO_PROXY", exempt)], server).is_empty(), without, "{exempt} {server}");
        }
    }
}
