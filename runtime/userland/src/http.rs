//! A small HTTP/1.1 client, and the request reader of the servers.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};

use crate::{dns, sys};

const CA_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The parts of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) secure: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: String,
    /// `user:password`.
    pub(crate) user: Option<String>,
}

impl Url {
    /// Reads a URL; without a scheme it is http.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (secure, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return None,
            None => (false, text),
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, authority) = authority.rsplit_once('@').map_or((None, authority), |(user, rest)| (Some(user.to_owned()), rest));
        let (host, port) = match authority.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')) {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, if secure { 443 } else { 80 }),
        };
        if host.is_empty() {
            return None;
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Self { secure, host: host.to_owned(), port, path, user })
    }

    /// The URL that a `Location` header means here.
    pub(crate) fn join(&self, location: &str) -> Option<Self> {
        if location.contains("://") {
            return Self::parse(location);
        }
        let path = if location.starts_with('/') {
            location.to_owned()
        } else {
            format!("{}/{location}", self.path.rsplit_once('/').map_or("", |(directory, _)| directory))
        };
        Some(Self { path, ..self.clone() })
    }

    /// The `Host` header.
    pub(crate) fn authority(&self) -> String {
        if self.port == if self.secure { 443 } else { 80 } { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

/// What went wrong, by the step that failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Resolve,
    Connect(SocketAddr, io::Error),
    Certificate(String),
    Timeout,
    Io(io::Error),
    Empty,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let text = error.to_string();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Timeout,
            _ if text.contains("certificate") => Self::Certificate(text),
            _ => Self::Io(error),
        }
    }
}

/// How to reach a server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    pub(crate) insecure: bool,
    pub(crate) ca_file: Option<String>,
    pub(crate) limit: Option<Duration>,
    pub(crate) connect_limit: Option<Duration>,
    /// Addresses given by hand: host, port, address.
    pub(crate) pinned: Vec<(String, u16, String)>,
}

/// An open connection, encrypted or not.
pub(crate) trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A response whose body is still to be read.
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The status line as it came.
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Box<dyn Read>,
    pub(crate) peer: SocketAddr,
}

impl Response {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }
}

fn find_header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Connects to the URL's host.
pub(crate) fn connect(url: &Url, reach: &Reach) -> Result<(Box<dyn Stream>, SocketAddr), Failure> {
    let pinned = reach.pinned.iter().find(|(host, port, _)| *host == url.host && *port == url.port);
    let host = pinned.map_or(url.host.as_str(), |(.., address)| address);
    let addresses = dns::sockets(host, url.port).map_err(|_| Failure::Resolve)?;
    let limit = reach.connect_limit.or(reach.limit).unwrap_or(Duration::from_secs(120));
    let mut failure = Failure::Resolve;
    for address in addresses {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => {
                stream.set_read_timeout(reach.limit)?;
                stream.set_nodelay(true)?;
                return if url.secure { Ok((secure(stream, url, reach)?, address)) } else { Ok((Box::new(stream), address)) };
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => failure = Failure::Timeout,
            Err(error) => failure = Failure::Connect(address, error),
        }
    }
    Err(failure)
}

fn secure(stream: TcpStream, url: &Url, reach: &Reach) -> Result<Box<dyn Stream>, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::Certificate(error.to_string()))?;
    let config = if reach.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Trusting(provider))).with_no_client_auth()
    } else {
        let file = reach.ca_file.clone().or_else(|| std::env::var("SSL_CERT_FILE").ok()).unwrap_or_else(|| CA_FILE.to_owned());
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(&file).map_err(|error| Failure::Certificate(format!("{file}: {error}")))?;
        roots.add_parsable_certificates(certificates.flatten());
        builder.with_root_certificates(roots).with_no_client_auth()
    };
    let name = url.host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(name).map_err(|error| Failure::Certificate(error.to_string()))?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(|error| Failure::Certificate(error.to_string()))?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(Box::new(stream))
}

/// Accepts every certificate: `curl -k`.
#[derive(Debug)]
struct Trusting(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Sends a request and reads the response's head. `head`: there will be no body.
pub(crate) fn exchange(stream: Box<dyn Stream>, peer: SocketAddr, request: &[u8], head: bool) -> Result<Response, Failure> {
    let mut reader = BufReader::new(stream);
    reader.get_mut().write_all(request)?;
    reader.get_mut().flush()?;
    loop {
        let Some(line) = read_line(&mut reader)? else { return Err(Failure::Empty) };
        let headers = read_headers(&mut reader)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        if status == 100 {
            continue;
        }
        let body: Box<dyn Read> = if head || status == 204 || status == 304 {
            Box::new(io::empty())
        } else if find_header(&headers, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            Box::new(Chunked { reader, left: 0, done: false })
        } else if let Some(length) = find_header(&headers, "content-length").and_then(|text| text.trim().parse().ok()) {
            Box::new(reader.take(length))
        } else {
            Box::new(UntilClosed(reader))
        };
        return Ok(Response { status, line, headers, body, peer });
    }
}

/// A body that ends with the connection; TLS servers often forget to say good-bye.
struct UntilClosed<R>(R);

impl<R: Read> Read for UntilClosed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }
}

/// A body in chunks.
struct Chunked<R> {
    reader: R,
    left: u64,
    done: bool,
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.done {
            return Ok(0);
        }
        if self.left == 0 {
            let line = read_line(&mut self.reader)?.unwrap_or_default();
            let size = line.split(';').next().unwrap_or("").trim();
            self.left = u64::from_str_radix(size, 16).map_err(|_| io::Error::other("bad chunk"))?;
            if self.left == 0 {
                self.done = true;
                read_headers(&mut self.reader)?;
                return Ok(0);
            }
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.reader.read(&mut buffer[..room])?;
        self.left -= count as u64;
        if self.left == 0 {
            read_line(&mut self.reader)?;
        }
        if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(count) }
    }
}

/// A line without its end; `None` at the end of the connection.
pub(crate) fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if reader.take(64 * 1024).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned()))
}

/// Headers up to the empty line.
pub(crate) fn read_headers(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    while let Some(line) = read_line(reader)?.filter(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        if headers.len() > 200 {
            return Err(io::Error::other("too many headers"));
        }
    }
    Ok(headers)
}

/// A failure in one line, without a prefix.
pub(crate) fn describe(failure: &Failure) -> String {
    match failure {
        Failure::Resolve => "bad address".to_owned(),
        Failure::Connect(_, error) => sys::reason(error),
        Failure::Certificate(text) => text.clone(),
        Failure::Timeout => "timed out".to_owned(),
        Failure::Io(error) => sys::reason(error),
        Failure::Empty => "empty reply from server".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_and_joined() {
        let url = Url::parse("https://me:pw@example.org:8443/a/b?c#d").unwrap();
        assert_eq!((url.secure, url.host.as_str(), url.port, url.path.as_str()), (true, "example.org", 8443, "/a/b?c"));
        assert_eq!(url.user.as_deref(), Some("me:pw"));
        assert_eq!(url.join("x").unwrap().path, "/a/x");
        assert_eq!(url.join("/y").unwrap().path, "/y");
        assert_eq!(url.join("http://other/").unwrap().host, "other");
        assert_eq!(Url::parse("localhost").unwrap().path, "/");
        assert_eq!(Url::parse("localhost:8080?a=b").unwrap().path, "/?a=b");
        assert!(Url::parse("ftp://x").is_none());
    }

    #[test]
    fn chunks_become_one_body() {
        let text = "4\r\nWiki\r\n5;x=y\r\npedia\r\n0\r\n\r\n";
        let mut body = String::new();
        Chunked { reader: text.as_bytes(), left: 0, done: false }.read_to_string(&mut body).unwrap();
        assert_eq!(body, "Wikipedia");
    }
}
