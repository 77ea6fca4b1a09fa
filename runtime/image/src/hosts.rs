//! Where the images of a registry are fetched: containerd's `certs.d/REGISTRY/hosts.toml`, with mirrors before the registry itself.
//!
//! ```toml
//! server = "https://registry.example"
//! [host."https://mirror.example:5000"]
//!   capabilities = ["pull", "resolve"]
//!   ca = "mirror.pem"
//! ```
//!
//! Read is what a pull needs: `capabilities`, `ca`, `skip_verify`, `override_path`, `header`; what is said of `server` stands at
//! the top. A file that is wrong is an error that names the line and the field, where containerd goes on without the file, or
//! without what it does not know, and says so in its own log, which no learner looks at.

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use toml_edit::{Document, TableLike, TomlError};

use crate::registry::{is_loopback, is_near};

/// Something that answers for a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// `http` or `https`
    pub(crate) scheme: String,
    /// `mirror.example:5000`
    pub(crate) name: String,
    /// `/v2`, or what the file says in its place.
    pub(crate) path: String,
    /// It may say which manifest a tag means.
    pub(crate) resolves: bool,
    /// It may be asked for content by its digest.
    pub(crate) pulls: bool,
    /// Files with certificates of authorities that are trusted beside the system's.
    pub(crate) authorities: Vec<PathBuf>,
    /// Nobody has to vouch for it.
    pub(crate) skip_verify: bool,
    /// More headers for each request.
    pub(crate) headers: Vec<(String, String)>,
}

impl Host {
    /// A registry by its own name.
    pub(crate) fn itself(registry: &str) -> Host {
        // Docker's registry answers under this name, too.
        let name = if registry == "docker.io" { "index.docker.io" } else { registry };
        let scheme = if is_loopback(name) { "http" } else { "https" };
        Host { scheme: scheme.to_owned(), name: name.to_owned(), path: "/v2".to_owned(), resolves: true, pulls: true, authorities: Vec::new(), skip_verify: false, headers: Vec::new() }
    }

    /// Why a cluster does not ask it, if it does not: its nodes have no way to the Internet.
    pub(crate) fn beyond(&self) -> Option<String> {
        let is_hub = self.name == "docker.io" || self.name.ends_with(".docker.io");
        (is_hub || !is_near(&self.name)).then(|| "not asked: nodes of the cluster have no way to it, as it is not in their network".to_owned())
    }

    /// How a reader knows it: `https://mirror.example:5000`
    pub(crate) fn address(&self) -> String {
        format!("{}://{}", self.scheme, self.name)
    }
}

/// What is wrong with a `hosts.toml`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostsError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}:{line}: {}", path.display(), source.message().replace('\n', ", "))]
    Syntax { path: PathBuf, line: usize, source: Box<TomlError> },
    #[error("{}:{line}: {field}: {why}", path.display())]
    Field { path: PathBuf, line: usize, field: String, why: String },
}

/// The file's name in a registry's directory.
pub(crate) const FILE: &str = "hosts.toml";

/// The hosts of a registry's directory in the order they are asked, the registry itself last; `None` without a file, and for an empty one.
// upstream: containerd, core/remotes/docker/config/hosts.go, loadHostDir, parseHostsFile
pub(crate) fn read(folder: &Path, registry: &Host) -> Result<Option<Vec<Host>>, HostsError> {
    let path = folder.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) if text.is_empty() => return Ok(None),
        Ok(text) => text,
        Err(source) if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(source) => return Err(HostsError::Read { path, source }),
    };
    let document = Document::parse(text.as_str())
        .map_err(|source| HostsError::Syntax { path: path.clone(), line: line(&text, source.span()), source: Box::new(source) })?;
    let reader = Reader { path, folder, text: &text };
    let top = document.as_table();
    let mut hosts = Vec::new();
    if let Some(tree) = top.get("host") {
        let tree = tree.as_table_like().ok_or_else(|| reader.wrong(span(top, "host"), "host", "is no table; write [host.\"https://mirror.example\"]"))?;
        for (address, item) in tree.iter() {
            let field = format!("host.{address:?}");
            let table = item.as_table_like().ok_or_else(|| reader.wrong(span(tree, address), &field, "is no table"))?;
            hosts.push(reader.host(address, span(tree, address), &field, table)?);
        }
    }
    // Without a server the registry's own address is the last one asked.
    let server = match reader.text(top, "", "server")? {
        Some(address) => reader.host(address, span(top, "server"), "", top)?,
        None => Host { name: registry.name.clone(), scheme: registry.scheme.clone(), ..reader.host("https://registry", None, "", top)? },
    };
    hosts.push(server);
    Ok(Some(hosts))
}

/// What may be said of a host, and at the top of the server; the time-out is taken as it is.
const FIELDS: &[&str] = &["capabilities", "ca", "client", "skip_verify", "header", "override_path", "dial_timeout"];

/// Where a name stands in a table.
fn span(table: &dyn TableLike, name: &str) -> Option<Range<usize>> {
    let (key, item) = table.get_key_value(name)?;
    key.span().or_else(|| item.span())
}

/// The line of a place in a text.
fn line(text: &str, span: Option<Range<usize>>) -> usize {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    1 + before.matches('\n').count()
}

struct Reader<'a> {
    path: PathBuf,
    folder: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn wrong(&self, at: Option<Range<usize>>, field: &str, why: impl Into<String>) -> HostsError {
        let field = if field.is_empty() { "server" } else { field };
        HostsError::Field { path: self.path.clone(), line: line(self.text, at), field: field.to_owned(), why: why.into() }
    }

    fn text<'t>(&self, table: &'t dyn TableLike, of: &str, name: &str) -> Result<Option<&'t str>, HostsError> {
        let Some(item) = table.get(name) else { return Ok(None) };
        item.as_str().map(Some).ok_or_else(|| self.wrong(span(table, name), &dotted(of, name), format!("is {}, not a string", item.type_name())))
    }

    fn flag(&self, table: &dyn TableLike, of: &str, name: &str) -> Result<bool, HostsError> {
        let Some(item) = table.get(name) else { return Ok(false) };
        item.as_bool().ok_or_else(|| self.wrong(span(table, name), &dotted(of, name), format!("is {}, not true or false", item.type_name())))
    }

    /// A string, or a list of them.
    fn texts(&self, table: &dyn TableLike, of: &str, name: &str) -> Result<Option<Vec<String>>, HostsError> {
        let Some(item) = table.get(name) else { return Ok(None) };
        if let Some(one) = item.as_str() {
            return Ok(Some(vec![one.to_owned()]));
        }
        let all: Option<Vec<String>> = item.as_array().and_then(|all| all.iter().map(|one| one.as_str().map(str::to_owned)).collect());
        all.map(Some).ok_or_else(|| self.wrong(span(table, name), &dotted(of, name), format!("is {}, not a string or a list of strings", item.type_name())))
    }

    /// What is not known is most often a slip, and would not do what it says.
    fn known(&self, table: &dyn TableLike, of: &str) -> Result<(), HostsError> {
        let more: &[&str] = if of.is_empty() { &["server", "host"] } else { &[] };
        match table.iter().find(|(name, _)| !FIELDS.contains(name) && !more.contains(name)) {
            Some((name, _)) => Err(self.wrong(span(table, name), &dotted(of, name), format!("unknown; there are {}", [more, FIELDS].concat().join(", ")))),
            None => Ok(()),
        }
    }

    fn host(&self, address: &str, at: Option<Range<usize>>, field: &str, table: &dyn TableLike) -> Result<Host, HostsError> {
        self.known(table, field)?;
        let with_scheme = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
        let no_address = || self.wrong(at.clone(), field, format!("{address:?} is no address like \"https://mirror.example:5000\""));
        let (scheme, rest) = with_scheme.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme)).ok_or_else(no_address)?;
        let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() {
            return Err(self.wrong(at.clone(), field, format!("{address:?} names no host")));
        }
        if !is_host(name) {
            return Err(no_address());
        }
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        let whole = self.flag(table, field, "override_path")? || path.ends_with("/v2");
        let (resolves, pulls) = self.capabilities(table, field)?;
        if table.contains_key("client") {
            return Err(self.wrong(span(table, "client"), &dotted(field, "client"), "certificates of a client are not supported here"));
        }
        Ok(Host {
            scheme: scheme.to_owned(),
            name: name.to_owned(),
            path: if whole { path } else { format!("{path}/v2") },
            resolves,
            pulls,
            authorities: self.authorities(table, field)?,
            skip_verify: self.flag(table, field, "skip_verify")?,
            headers: self.headers(table, field)?,
        })
    }

    fn capabilities(&self, table: &dyn TableLike, of: &str) -> Result<(bool, bool), HostsError> {
        let Some(all) = self.texts(table, of, "capabilities")? else { return Ok((true, true)) };
        if let Some(unknown) = all.iter().find(|one| !["pull", "resolve", "push", "referrers"].contains(&one.as_str())) {
            return Err(self.wrong(span(table, "capabilities"), &dotted(of, "capabilities"), format!("unknown capability {unknown:?}; there are pull, resolve, push and referrers")));
        }
        let has = |name: &str| all.is_empty() || all.iter().any(|one| one == name);
        Ok((has("resolve"), has("pull")))
    }

    fn authorities(&self, table: &dyn TableLike, of: &str) -> Result<Vec<PathBuf>, HostsError> {
        let files: Vec<PathBuf> = self.texts(table, of, "ca")?.unwrap_or_default().iter().map(|name| self.folder.join(name)).collect();
        for file in &files {
            fs::metadata(file).map_err(|error| self.wrong(span(table, "ca"), &dotted(of, "ca"), format!("{}: {error}", file.display())))?;
        }
        Ok(files)
    }

    fn headers(&self, table: &dyn TableLike, of: &str) -> Result<Vec<(String, String)>, HostsError> {
        let Some(item) = table.get("header") else { return Ok(Vec::new()) };
        let field = dotted(of, "header");
        let tree = item.as_table_like().ok_or_else(|| self.wrong(span(table, "header"), &field, format!("is {}, not a table", item.type_name())))?;
        let mut all = Vec::new();
        for (name, _) in tree.iter() {
            all.extend(self.texts(tree, &field, name)?.into_iter().flatten().map(|value| (name.to_owned(), value)));
        }
        Ok(all)
    }
}

/// `mirror.example:5000`, `[::1]:5000`
fn is_host(name: &str) -> bool {
    let (host, port) = match name.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (name, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let plain = |next: char| next.is_ascii_alphanumeric() || "-._".contains(next);
    let host_is = bracketed.map_or_else(|| !host.is_empty() && host.chars().all(plain), |address| address.parse::<std::net::Ipv6Addr>().is_ok());
    host_is && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn dotted(of: &str, name: &str) -> String {
    if of.is_empty() { name.to_owned() } else { format!("{of}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(scheme: &str, name: &str, path: &str) -> Host {
        Host { scheme: scheme.into(), name: name.into(), path: path.into(), resolves: true, pulls: true, authorities: Vec::new(), skip_verify: false, headers: Vec::new() }
    }

    fn read_text(text: &str) -> (PathBuf, Result<Option<Vec<Host>>, HostsError>) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), text).unwrap();
        fs::write(directory.path().join("own.pem"), "").unwrap();
        (directory.path().to_owned(), read(directory.path(), &plain("https", "registry.example", "/v2")))
    }

    #[test]
    fn hosts_are_asked_in_the_order_of_the_file_and_the_registry_last() {
        for (text, wanted) in [
            ("server = \"https://upstream.example\"", vec![plain("https", "upstream.example", "/v2")]),
            ("# nothing\n", vec![plain("https", "registry.example", "/v2")]),
            (
                "[host.\"https://z.example:5000\"]\n[host.\"http://a.example\"]\n",
                vec![plain("https", "z.example:5000", "/v2"), plain("http", "a.example", "/v2"), plain("https", "registry.example", "/v2")],
            ),
            ("server = \"upstream.example/deep/\"", vec![plain("https", "upstream.example", "/deep/v2")]),
            ("[host.\"https://m.example/v2/proxy\"]\noverride_path = true", vec![plain("https", "m.example", "/v2/proxy"), plain("https", "registry.example", "/v2")]),
            (
                "[host.\"https://m.example\"]\ncapabilities = [\"pull\"]\nskip_verify = true\n[host.\"https://m.example\".header]\nx-one = \"1\"\nx-two = [\"2\", \"3\"]",
                vec![
                    Host { resolves: false, skip_verify: true, headers: [("x-one", "1"), ("x-two", "2"), ("x-two", "3")].map(|(name, value)| (name.into(), value.into())).into(), ..plain("https", "m.example", "/v2") },
                    plain("https", "registry.example", "/v2"),
                ],
            ),
        ] {
            assert_eq!(read_text(text).1.unwrap().unwrap(), wanted, "{text}");
        }
        let (folder, hosts) = read_text("server = \"https://r.example\"\nca = [\"own.pem\", \"/dev/null\"]");
        assert_eq!(hosts.unwrap().unwrap()[0].authorities, [folder.join("own.pem"), "/dev/null".into()]);
        assert!(read_text("").1.unwrap().is_none());
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_field() {
        for (text, wanted) in [
            ("server = 5", "1: server: is integer, not a string"),
            ("server = \"https:///x\"", "1: server: \"https:///x\" names no host"),
            ("host = \"https://m.example\"", "1: host: is no table; write [host.\"https://mirror.example\"]"),
            ("[host.\"https://m.example\"]\ncapabilities = [\"pull\", \"sing\"]", "2: host.\"https://m.example\".capabilities: unknown capability \"sing\"; there are pull, resolve, push and referrers"),
            ("[host.\"https://m.example\"]\ncapabilities = true", "2: host.\"https://m.example\".capabilities: is boolean, not a string or a list of strings"),
            ("[host.\"https://m.example\"]\nskip_verify = \"yes\"", "2: host.\"https://m.example\".skip_verify: is string, not true or false"),
            ("ca = \"absent.pem\"", "1: ca: FOLDER/absent.pem: No such file or directory (os error 2)"),
            ("[host.\"https://m.example\"]\nclient = \"me.pem\"", "2: host.\"https://m.example\".client: certificates of a client are not supported here"),
            ("[host.\"https://m.example\"]\nheader = 1", "2: host.\"https://m.example\".header: is integer, not a table"),
            ("\n[host.\"https://m.example\"]\n\nskip_verfy = true", "4: host.\"https://m.example\".skip_verfy: unknown; there are capabilities, ca, client, skip_verify, header, override_path, dial_timeout"),
            ("mirror = \"https://m.example\"", "1: mirror: unknown; there are server, host, capabilities, ca, client, skip_verify, header, override_path, dial_timeout"),
            ("server = \"https://r.example\"\n[host.\"ftp://m.example\"]", "2: host.\"ftp://m.example\": \"ftp://m.example\" is no address like \"https://mirror.example:5000\""),
            ("[host.\"https://m.example:port\"]", "1: host.\"https://m.example:port\": \"https://m.example:port\" is no address like \"https://mirror.example:5000\""),
            ("[host.\"https://my mirror\"]", "1: host.\"https://my mirror\": \"https://my mirror\" is no address like \"https://mirror.example:5000\""),
            ("# one\n[host.\"https://m.example\".header]\nx-one = 1", "3: host.\"https://m.example\".header.x-one: is integer, not a string or a list of strings"),
        ] {
            let (folder, hosts) = read_text(text);
            let said = hosts.unwrap_err().to_string().replace(&folder.display().to_string(), "FOLDER");
            assert_eq!(said, format!("FOLDER/hosts.toml:{wanted}"));
        }
        for text in ["server = \"x\"\n[host", "server = \"x\"\nca = [\"a\"", "# \nserver = x\n", "server = \"x\"\nserver = \"y\""] {
            let (folder, hosts) = read_text(text);
            let said = hosts.unwrap_err().to_string();
            assert!(said.starts_with(&format!("{}/hosts.toml:2: ", folder.display())) && said.len() > folder.display().to_string().len() + 20 && !said.contains('\n'), "{said}");
        }
    }
}
