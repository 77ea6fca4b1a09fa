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
//! the top. A file that is wrong is an error that names the field, where containerd goes on without the file and says so
//! in its own log, which no learner looks at.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use toml_edit::{Document, Item, TableLike, TomlError};

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

    /// Whether a cluster may ask it: its nodes have no way to the Internet.
    pub(crate) fn is_near(&self) -> bool {
        let is_hub = self.name == "docker.io" || self.name.ends_with(".docker.io");
        !is_hub && is_near(&self.name)
    }
}

/// What is wrong with a `hosts.toml`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostsError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {}", path.display(), source.to_string().trim_end().replace('\n', " "))]
    Syntax { path: PathBuf, source: Box<TomlError> },
    #[error("{}: {field}: {why}", path.display())]
    Field { path: PathBuf, field: String, why: String },
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
    let document = Document::parse(text).map_err(|source| HostsError::Syntax { path: path.clone(), source: Box::new(source) })?;
    let reader = Reader { path, folder };
    let top = document.as_table();
    let mut hosts = Vec::new();
    if let Some(tree) = top.get("host") {
        let tree = tree.as_table_like().ok_or_else(|| reader.wrong("host", "is no table; write [host.\"https://mirror.example\"]"))?;
        for (address, item) in tree.iter() {
            let field = format!("host.{address:?}");
            let table = item.as_table_like().ok_or_else(|| reader.wrong(&field, "is no table"))?;
            hosts.push(reader.host(address, &field, table)?);
        }
    }
    // Without a server the registry's own address is the last one asked.
    let server = match reader.text(top, "", "server")? {
        Some(address) => reader.host(address, "", top)?,
        None => Host { name: registry.name.clone(), scheme: registry.scheme.clone(), ..reader.host("https://registry", "", top)? },
    };
    hosts.push(server);
    Ok(Some(hosts))
}

struct Reader<'a> {
    path: PathBuf,
    folder: &'a Path,
}

impl Reader<'_> {
    fn wrong(&self, field: &str, why: impl Into<String>) -> HostsError {
        let field = if field.is_empty() { "server" } else { field };
        HostsError::Field { path: self.path.clone(), field: field.to_owned(), why: why.into() }
    }

    fn text<'t>(&self, table: &'t dyn TableLike, of: &str, name: &str) -> Result<Option<&'t str>, HostsError> {
        let Some(item) = table.get(name) else { return Ok(None) };
        item.as_str().map(Some).ok_or_else(|| self.wrong(&dotted(of, name), format!("is {}, not a string", item.type_name())))
    }

    fn flag(&self, table: &dyn TableLike, of: &str, name: &str) -> Result<bool, HostsError> {
        let Some(item) = table.get(name) else { return Ok(false) };
        item.as_bool().ok_or_else(|| self.wrong(&dotted(of, name), format!("is {}, not true or false", item.type_name())))
    }

    /// A string, or a list of them.
    fn texts(&self, item: &Item, field: &str) -> Result<Vec<String>, HostsError> {
        if let Some(one) = item.as_str() {
            return Ok(vec![one.to_owned()]);
        }
        let all = item.as_array().and_then(|all| all.iter().map(|one| one.as_str().map(str::to_owned)).collect());
        all.ok_or_else(|| self.wrong(field, format!("is {}, not a string or a list of strings", item.type_name())))
    }

    fn host(&self, address: &str, field: &str, table: &dyn TableLike) -> Result<Host, HostsError> {
        let with_scheme = if address.starts_with("http") { address.to_owned() } else { format!("https://{address}") };
        let (scheme, rest) = with_scheme.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme)).ok_or_else(|| self.wrong(field, format!("{address:?} is no address")))?;
        let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() {
            return Err(self.wrong(field, format!("{address:?} names no host")));
        }
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        let whole = self.flag(table, field, "override_path")? || path.ends_with("/v2");
        let (resolves, pulls) = self.capabilities(table, field)?;
        if table.contains_key("client") {
            return Err(self.wrong(&dotted(field, "client"), "certificates of a client are not supported here"));
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
        let Some(item) = table.get("capabilities") else { return Ok((true, true)) };
        let field = dotted(of, "capabilities");
        let all = self.texts(item, &field)?;
        if let Some(unknown) = all.iter().find(|one| !["pull", "resolve", "push", "referrers"].contains(&one.as_str())) {
            return Err(self.wrong(&field, format!("unknown capability {unknown:?}; there are pull, resolve, push and referrers")));
        }
        let has = |name: &str| all.is_empty() || all.iter().any(|one| one == name);
        Ok((has("resolve"), has("pull")))
    }

    fn authorities(&self, table: &dyn TableLike, of: &str) -> Result<Vec<PathBuf>, HostsError> {
        let Some(item) = table.get("ca") else { return Ok(Vec::new()) };
        let field = dotted(of, "ca");
        let files: Vec<PathBuf> = self.texts(item, &field)?.iter().map(|name| self.folder.join(name)).collect();
        for file in &files {
            fs::metadata(file).map_err(|error| self.wrong(&field, format!("{}: {error}", file.display())))?;
        }
        Ok(files)
    }

    fn headers(&self, table: &dyn TableLike, of: &str) -> Result<Vec<(String, String)>, HostsError> {
        let Some(item) = table.get("header") else { return Ok(Vec::new()) };
        let field = dotted(of, "header");
        let tree = item.as_table_like().ok_or_else(|| self.wrong(&field, format!("is {}, not a table", item.type_name())))?;
        let mut all = Vec::new();
        for (name, values) in tree.iter() {
            all.extend(self.texts(values, &dotted(&field, name))?.into_iter().map(|value| (name.to_owned(), value)));
        }
        Ok(all)
    }
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
            ("server = 5", "server: is integer, not a string"),
            ("server = \"https:///x\"", "server: \"https:///x\" names no host"),
            ("host = \"https://m.example\"", "host: is no table; write [host.\"https://mirror.example\"]"),
            ("[host.\"https://m.example\"]\ncapabilities = [\"pull\", \"sing\"]", "host.\"https://m.example\".capabilities: unknown capability \"sing\"; there are pull, resolve, push and referrers"),
            ("[host.\"https://m.example\"]\ncapabilities = true", "host.\"https://m.example\".capabilities: is boolean, not a string or a list of strings"),
            ("[host.\"https://m.example\"]\nskip_verify = \"yes\"", "host.\"https://m.example\".skip_verify: is string, not true or false"),
            ("ca = \"absent.pem\"", "ca: FOLDER/absent.pem: No such file or directory (os error 2)"),
            ("[host.\"https://m.example\"]\nclient = \"me.pem\"", "host.\"https://m.example\".client: certificates of a client are not supported here"),
            ("[host.\"https://m.example\"]\nheader = 1", "host.\"https://m.example\".header: is integer, not a table"),
        ] {
            let (folder, hosts) = read_text(text);
            let said = hosts.unwrap_err().to_string().replace(&folder.display().to_string(), "FOLDER");
            assert_eq!(said, format!("FOLDER/hosts.toml: {wanted}"));
        }
        let (_, hosts) = read_text("server = \"x\"\n[host");
        let said = hosts.unwrap_err().to_string();
        assert!(said.contains("hosts.toml: TOML parse error at line 2") && !said.contains('\n'), "{said}");
    }
}
