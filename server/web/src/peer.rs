//! Whose process is at the other end of a loopback connection, as the kernel says.
//!
//! 127.0.0.1 is open to every user of the machine, and a cookie can be stolen. So the connection itself is looked at: its client's
//! socket is in this machine's table, with the user it belongs to.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::TcpListener;

/// States in which a socket still has an owner: established, and closed by the other side only.
const OWNED: [&str; 2] = ["01", "08"];

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The user it belongs to; none when the kernel does not say.
    pub(crate) uid: Option<u32>,
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Peer {
        let uid = stream.io().local_addr().ok().and_then(|own| owner(*stream.remote_addr(), own));
        Peer { uid }
    }
}

/// The user of the socket at `client` that is connected to `server`.
fn owner(client: SocketAddr, server: SocketAddr) -> Option<u32> {
    let table = if client.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    find(&fs::read_to_string(table).ok()?, client, server)
}

fn find(table: &str, client: SocketAddr, server: SocketAddr) -> Option<u32> {
    let (client, server) = (written(client), written(server));
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let ours = fields.next() == Some(&*client) && fields.next() == Some(&*server) && fields.next().is_some_and(|state| OWNED.contains(&state));
        // Behind the state: queues, timer, retransmissions.
        if ours { fields.nth(3)?.parse().ok() } else { None }
    })
}

/// An address as the kernel's tables have it: words of memory in hexadecimal digits.
fn written(address: SocketAddr) -> String {
    let word = |bytes: &[u8]| format!("{:08X}", u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let ip: String = match address.ip() {
        IpAddr::V4(ip) => word(&ip.octets()),
        IpAddr::V6(ip) => ip.octets().chunks(4).map(word).collect(),
    };
    format!("{ip}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_whose_a_connection_is() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // A machine may be without IPv6.
            let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, remote) = listener.accept().unwrap();
            let own = accepted.local_addr().unwrap();
            assert_eq!(owner(remote, own), Some(nix::unistd::geteuid().as_raw()), "{address}");
            drop(client);
            assert_eq!(owner(remote, own), None, "a socket without an owner looks like root's");
        }
    }

    #[test]
    fn others_are_told_apart() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     \x20  0: 0100007F:A149 0100007F:128B 01 00000000:00000000 00:00000000 00000000  1001        0 121 1 0 20\n\
                     \x20  1: 0100007F:A14A 0100007F:128B 05 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20\n";
        let server = "127.0.0.1:4747".parse().unwrap();
        for (client, uid) in [("127.0.0.1:41289", Some(1001)), ("127.0.0.1:41290", None), ("127.0.0.1:41291", None)] {
            assert_eq!(find(table, client.parse().unwrap(), server), uid, "{client}");
        }
    }
}
