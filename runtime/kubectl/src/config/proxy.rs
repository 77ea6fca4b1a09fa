//! Which proxy stands before a server: the one of the kubeconfig, or the one the environment names for such addresses.
// upstream: golang.org/x/net/http/httpproxy/proxy.go, client-go/rest/config.go

use std::net::IpAddr;

use http::Uri;

use crate::environment::Environment;

/// The proxy of the environment for a server. This machine's own addresses have none.
pub(crate) fn of_environment(env: &Environment, server: &Uri) -> Option<Uri> {
    let any = |names: [&str; 2]| names.into_iter().find_map(|name| env.get(name));
    let names = if server.scheme_str() == Some("https") { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
    let proxy = address(any(names)?)?;
    let host = server.host()?.trim_matches(['[', ']']).to_lowercase();
    let port = server.port_u16().unwrap_or(if names[0] == "HTTPS_PROXY" { 443 } else { 80 });
    let ip = host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    let local = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
    let exempt = || any(["NO_PROXY", "no_proxy"]).unwrap_or_default().split(',').any(|part| covers(&part.trim().to_lowercase(), &host, ip, port));
    (!local && !exempt()).then_some(proxy)
}

/// A proxy as it is written: a host is one of HTTP.
fn address(text: &str) -> Option<Uri> {
    let whole = |text: &str| complete(text).filter(|uri| uri.scheme().is_some() && uri.host().is_some_and(|host| !host.is_empty()));
    whole(text).or_else(|| whole(&format!("http://{text}")))
}

/// An address with a path, as a URI that is connected to must have one.
pub(crate) fn complete(text: &str) -> Option<Uri> {
    text.parse::<Uri>().ok().or_else(|| format!("{text}/").parse().ok())
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
        of_environment(&env, &server.parse().unwrap()).map_or_else(String::new, |proxy| proxy.to_string())
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
