//! Who may act: one-time links become a cookie.
//!
//! 1. `drydock serve` prints an address with a link in its fragment, which no server ever sees: [`link`] makes it, and the page
//!    posts it back.
//! 2. A link is a file of the state directory: who can make one is the user the directory belongs to. Spending it is removing
//!    the file, so it can be spent once. A second `serve` makes another one for the server that runs.
//! 3. The cookie is for our own host names only, for requests of our own pages, and out of reach of scripts. It is kept over restarts.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, header};

/// A link that nobody has followed for so long is void.
const LINK_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a browser may keep the cookie: as long as browsers keep any.
const COOKIE_SECONDS: u64 = 400 * 24 * 60 * 60;

/// The address of a page with the right to act, once: `url` with a fresh link for the server that keeps its progress in `directory`.
pub fn link(url: &str, directory: &Path) -> io::Result<String> {
    let links = links(directory)?;
    forget_old(&links)?;
    let token = random();
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(links.join(&token))?;
    Ok(format!("{url}#link={token}"))
}

fn links(directory: &Path) -> io::Result<PathBuf> {
    let links = directory.join("links");
    DirBuilder::new().recursive(true).mode(0o700).create(&links)?;
    Ok(links)
}

fn forget_old(links: &Path) -> io::Result<()> {
    for entry in fs::read_dir(links)? {
        let path = entry?.path();
        if is_old(&path) {
            spend(&path)?;
        }
    }
    Ok(())
}

fn is_old(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|known| known.modified()).map(|made| SystemTime::now().duration_since(made));
    matches!(age, Ok(Ok(age)) if age > LINK_LIFE)
}

/// Whether this call removed it.
fn spend(link: &Path) -> io::Result<bool> {
    match fs::remove_file(link) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn random() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

/// What turns links into cookies and knows its cookies again.
#[derive(Clone)]
pub(crate) struct Access {
    links: Arc<Path>,
    cookie: Arc<str>,
    secret: Arc<str>,
}

impl Access {
    /// For a server on this port with the secret of `directory` (made if missing, kept over restarts).
    pub(crate) fn new(port: u16, directory: &Path) -> io::Result<Access> {
        // Ports share cookies, so the port is in the name.
        Ok(Access { links: links(directory)?.into(), cookie: format!("drydock-{port}").into(), secret: secret(&directory.join("cookie"))?.into() })
    }

    /// Whether a request carries the cookie.
    pub(crate) fn is_known(&self, headers: &HeaderMap) -> bool {
        let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
        all.filter_map(|pair| pair.trim().split_once('=')).any(|(name, value)| name == &*self.cookie && same(value, &self.secret))
    }

    /// The cookie for a link that was not spent before; `None` for one that was, or never was one.
    pub(crate) fn exchange(&self, token: &str) -> io::Result<Option<String>> {
        let plain = token.len() == random().len() && token.bytes().all(|b| b.is_ascii_hexdigit());
        let path = self.links.join(token);
        if !plain || is_old(&path) || !spend(&path)? {
            return Ok(None);
        }
        Ok(Some(format!("{}={}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Strict", self.cookie, self.secret)))
    }
}

/// Compare without telling by time how much was right.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

fn secret(path: &Path) -> io::Result<String> {
    if let Ok(known) = fs::read_to_string(path)
        && known.len() == random().len()
    {
        return Ok(known);
    }
    let fresh = random();
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(fresh.as_bytes())?;
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, cookie.parse().unwrap())])
    }

    #[test]
    fn a_link_is_a_cookie_once() {
        let directory = tempfile::tempdir().unwrap();
        let access = Access::new(4747, directory.path()).unwrap();
        let address = link("http://127.0.0.1:4747/", directory.path()).unwrap();
        let second = link("http://127.0.0.1:4747/", directory.path()).unwrap();
        let token = address.strip_prefix("http://127.0.0.1:4747/#link=").unwrap();
        let cookie = access.exchange(token).unwrap().unwrap();
        assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        assert!(access.is_known(&headers(&format!("theme=dark; {pair}"))));
        assert!(Access::new(4747, directory.path()).unwrap().is_known(&headers(pair)), "it is kept over restarts");
        assert!(!Access::new(4748, directory.path()).unwrap().is_known(&headers(pair)), "a server on another port has its own");
        for wrong in [token, "", "..", "../cookie", &"0".repeat(64), &format!("{token}0")] {
            assert_eq!(access.exchange(wrong).unwrap(), None, "{wrong}");
        }
        assert!(access.exchange(second.rsplit('=').next().unwrap()).unwrap().is_some());
        for wrong in ["", "drydock-4747=", "drydock-4747", "other=1"] {
            assert!(!access.is_known(&headers(wrong)), "{wrong}");
        }
        assert!(!access.is_known(&HeaderMap::new()));
    }

    #[test]
    fn a_link_does_not_wait_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let access = Access::new(4747, directory.path()).unwrap();
        let address = link("", directory.path()).unwrap();
        let token = address.rsplit('=').next().unwrap();
        let file = fs::File::options().write(true).open(directory.path().join("links").join(token)).unwrap();
        file.set_modified(SystemTime::now() - LINK_LIFE - Duration::from_secs(1)).unwrap();
        assert_eq!(access.exchange(token).unwrap(), None);
        link("", directory.path()).unwrap();
        assert_eq!(fs::read_dir(directory.path().join("links")).unwrap().count(), 1);
    }
}
