//! A small client of PostgreSQL: protocol version 3, simple queries, values as text.
//!
//! Logs in without a password, with a clear one, by MD5, or by SCRAM-SHA-256. No TLS: in a cluster, Pods speak plainly.

use std::{
    collections::HashMap,
    io::{self, BufReader, Read as _, Write as _},
    net::TcpStream,
    num::NonZeroU32,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{digest, hmac, pbkdf2};

use crate::{digests, dns, sys};

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(10);
/// No message of ours is longer; more is no answer of a database.
const LONGEST_MESSAGE: u32 = 64 << 20;

/// Whom to ask, as who.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) database: String,
}

/// What went wrong.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server says so: SQLSTATE and message.
    Server { code: String, message: String },
    /// It could not be asked.
    Connection(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server { code, message } => write!(f, "{code}: {message}"),
            Self::Connection(message) => f.write_str(message),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Connection("Timeout while reading from the server".to_owned()),
            io::ErrorKind::UnexpectedEof => Self::Connection("The server closed the connection".to_owned()),
            _ => Self::Connection(sys::reason(&error)),
        }
    }
}

type Result<T> = std::result::Result<T, Failure>;

/// The answer to a query.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Option<String>>>,
}

/// A connection that is logged in.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects and logs in.
    pub(super) fn open(login: &Login) -> Result<Self> {
        let unreachable = |reason: String| Failure::Connection(format!("Failed to connect to {}:{}: {reason}", login.host, login.port));
        let addresses = dns::sockets(&login.host, login.port).map_err(|_| unreachable("Name or service not known".to_owned()))?;
        let mut last = unreachable("Name or service not known".to_owned());
        for address in addresses {
            match TcpStream::connect_timeout(&address, Duration::from_secs(3)) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_nodelay(true)?;
                    let mut connection = Self { stream: BufReader::new(stream) };
                    connection.log_in(login)?;
                    return Ok(connection);
                }
                Err(error) => last = unreachable(sys::reason(&error)),
            }
        }
        Err(last)
    }

    fn log_in(&mut self, login: &Login) -> Result<()> {
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        for word in ["user", &login.user, "database", &login.database, "application_name", "drydock-userland", ""] {
            body.extend(word.as_bytes());
            body.push(0);
        }
        self.send(None, &body)?;
        let mut scram: Option<Scram> = None;
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                b'Z' => return Ok(()),
                b'R' => {
                    let (method, rest) = body.split_at_checked(4).ok_or_else(malformed)?;
                    match u32::from_be_bytes(method.try_into().unwrap_or_default()) {
                        0 => {}
                        3 => self.send(Some(b'p'), &terminated(&login.password))?,
                        5 => self.send(Some(b'p'), &terminated(&md5_answer(login, rest)))?,
                        10 => {
                            if !rest.split(|byte| *byte == 0).any(|name| name == b"SCRAM-SHA-256") {
                                return Err(Failure::Connection("The server asks for a kind of log-in that is not known here".to_owned()));
                            }
                            let (begun, first) = Scram::begin();
                            let length = u32::try_from(first.len()).map_err(|_| malformed())?;
                            self.send(Some(b'p'), &[b"SCRAM-SHA-256\0", &length.to_be_bytes()[..], first.as_bytes()].concat())?;
                            scram = Some(begun);
                        }
                        11 => {
                            let scram = scram.as_mut().ok_or_else(malformed)?;
                            let answer = scram.answer(&login.password, &String::from_utf8_lossy(rest)).ok_or_else(malformed)?;
                            self.send(Some(b'p'), answer.as_bytes())?;
                        }
                        12 => {
                            let genuine = scram.as_ref().is_some_and(|scram| scram.is_genuine(&String::from_utf8_lossy(rest)));
                            if !genuine {
                                return Err(Failure::Connection("The server does not know the password either".to_owned()));
                            }
                        }
                        _ => return Err(Failure::Connection("The server asks for a kind of log-in that is not known here".to_owned())),
                    }
                }
                b'E' => return Err(server_failure(&body)),
                // Parameters of the session, keys to cancel with, notices.
                _ => {}
            }
        }
    }

    /// Runs a query; the last answer counts.
    pub(super) fn query(&mut self, sql: &str) -> Result<Rows> {
        self.send(Some(b'Q'), &terminated(sql))?;
        let mut answer = Rows::default();
        let mut failure = None;
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                b'T' => answer = Rows { columns: column_names(&body).ok_or_else(malformed)?, rows: Vec::new() },
                b'D' => answer.rows.push(values(&body).ok_or_else(malformed)?),
                b'E' => failure = Some(server_failure(&body)),
                b'Z' => return failure.map_or(Ok(answer), Err),
                _ => {}
            }
        }
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<()> {
        let length = u32::try_from(body.len() + 4).map_err(|_| malformed())?;
        let message = [kind.as_slice(), &length.to_be_bytes(), body].concat();
        Ok(self.stream.get_mut().write_all(&message)?)
    }

    fn receive(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        if !(4..LONGEST_MESSAGE).contains(&length) {
            return Err(malformed());
        }
        let mut body = vec![0; length as usize - 4];
        self.stream.read_exact(&mut body)?;
        Ok((head[0], body))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A good-bye that does not arrive changes nothing.
        sys::best_effort(self.send(Some(b'X'), &[]));
    }
}

fn malformed() -> Failure {
    Failure::Connection("The answer is not PostgreSQL's".to_owned())
}

fn terminated(text: &str) -> Vec<u8> {
    // A zero byte would end the text early, and no name or statement of ours needs one.
    text.bytes().filter(|byte| *byte != 0).chain([0]).collect()
}

/// Text as a literal of SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name of SQL, quoted.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn server_failure(body: &[u8]) -> Failure {
    let fields: HashMap<u8, String> = body
        .split(|byte| *byte == 0)
        .filter_map(|field| Some((*field.first()?, String::from_utf8_lossy(&field[1..]).into_owned())))
        .collect();
    let get = |key: u8| fields.get(&key).cloned().unwrap_or_default();
    Failure::Server { code: get(b'C'), message: get(b'M') }
}

fn column_names(body: &[u8]) -> Option<Vec<String>> {
    let count = u16::from_be_bytes(body.get(..2)?.try_into().ok()?);
    let mut rest = &body[2..];
    let mut names = Vec::new();
    for _ in 0..count {
        let end = rest.iter().position(|byte| *byte == 0)?;
        names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        rest = rest.get(end + 1 + 18..)?;
    }
    Some(names)
}

fn values(body: &[u8]) -> Option<Vec<Option<String>>> {
    let count = u16::from_be_bytes(body.get(..2)?.try_into().ok()?);
    let mut rest = &body[2..];
    let mut values = Vec::new();
    for _ in 0..count {
        let length = i32::from_be_bytes(rest.get(..4)?.try_into().ok()?);
        rest = &rest[4..];
        let Ok(length) = usize::try_from(length) else {
            values.push(None);
            continue;
        };
        values.push(Some(String::from_utf8_lossy(rest.get(..length)?).into_owned()));
        rest = &rest[length..];
    }
    Some(values)
}

fn md5_answer(login: &Login, salt: &[u8]) -> String {
    let inner = digests::hex(&digests::md5(format!("{}{}", login.password, login.user).as_bytes()));
    format!("md5{}", digests::hex(&digests::md5(&[inner.as_bytes(), salt].concat())))
}

/// A log-in by SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.
struct Scram {
    nonce: String,
    /// What the server's last word must be.
    server_signature: Vec<u8>,
}

impl Scram {
    /// The state, and the first message.
    fn begin() -> (Self, String) {
        let mut bytes = [0; 18];
        let random = ring::rand::SystemRandom::new();
        sys::best_effort(ring::rand::SecureRandom::fill(&random, &mut bytes));
        let nonce = STANDARD.encode(bytes);
        let first = format!("n,,n=,r={nonce}");
        (Self { nonce, server_signature: Vec::new() }, first)
    }

    /// The answer to the server's first message.
    fn answer(&mut self, password: &str, challenge: &str) -> Option<String> {
        let part = |key: &str| challenge.split(',').find_map(|part| part.strip_prefix(key));
        let nonce = part("r=")?;
        let salt = STANDARD.decode(part("s=")?).ok()?;
        let rounds: NonZeroU32 = part("i=")?.parse().ok()?;
        if !nonce.starts_with(&self.nonce) {
            return None;
        }
        let mut salted = [0; digest::SHA256_OUTPUT_LEN];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let without_proof = format!("c=biws,r={nonce}");
        let said = format!("n=,r={},{challenge},{without_proof}", self.nonce);
        let signature = sign(stored_key.as_ref(), said.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let server_key = sign(&salted, b"Server Key");
        self.server_signature = sign(server_key.as_ref(), said.as_bytes()).as_ref().to_vec();
        Some(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }

    fn is_genuine(&self, last: &str) -> bool {
        last.strip_prefix("v=").and_then(|text| STANDARD.decode(text).ok()).is_some_and(|signature| !signature.is_empty() && signature == self.server_signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_proved_as_the_server_wants() {
        let login = Login { host: String::new(), port: 0, user: "postgres".to_owned(), password: "secret".to_owned(), database: String::new() };
        assert_eq!(md5_answer(&login, &[1, 2, 3, 4]), "md5bb41a296aab6baccb36ff243a562abff");
        // The example of RFC 7677, section 3, but for the user's name, which PostgreSQL takes from elsewhere.
        let mut scram = Scram { nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(), server_signature: Vec::new() };
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let answer = scram.answer("pencil", challenge).unwrap();
        assert!(answer.starts_with("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p="), "{answer}");
        assert!(!scram.is_genuine("v=AAAA"));
        assert!(scram.answer("pencil", "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096").is_none());
    }

    #[test]
    fn literals_and_names_cannot_be_left() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }
}
