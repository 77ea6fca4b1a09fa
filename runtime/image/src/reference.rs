//! Image names in their short and full forms, as Docker and containerd read them.
//!
//! The grammar is that of github.com/distribution/reference (`ParseDockerRef`): a first component with a dot, a colon
//! or an upper-case letter, or `localhost`, is a registry; without one the registry is `docker.io`, and a name of one
//! component lives in `library/`.

use std::fmt;

use crate::digest::Digest;

/// A full image name: `domain/path:tag` or `domain/path@digest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The registry, `docker.io` for names without one.
    pub domain: String,
    /// The repository, `library/nginx` for `nginx`.
    pub path: String,
    /// The tag; `latest` when the name has neither tag nor digest.
    pub tag: Option<String>,
    /// The digest, if the name pins one.
    pub digest: Option<Digest>,
}

/// The name does not follow the grammar; the text is the one Docker prints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidReference(pub String);

impl Reference {
    /// Reads a name as a Pod's `image:` or a `docker` command line has it.
    pub fn parse(name: &str) -> Result<Self, InvalidReference> {
        let malformed = || InvalidReference("invalid reference format".to_owned());
        let (rest, digest) = match name.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest).ok_or_else(malformed)?)),
            None => (name, None),
        };
        let (domain, remainder) = split_domain(rest);
        let (path, tag) = match remainder.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (remainder.as_str(), None),
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(InvalidReference(format!(
                "invalid reference format: repository name ({path}) must be lowercase"
            )));
        }
        let path_is_good = path.split('/').all(is_path_component) && !is_bare_hash(rest);
        if !path_is_good || !is_domain(&domain) || tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(malformed());
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, None) => Some("latest".to_owned()),
            (None, Some(_)) => None,
        };
        Ok(Self { domain, path: path.to_owned(), tag, digest })
    }

    /// `domain/path`, without tag or digest.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The name as `docker image ls` shows its repository: `kiamol/ch02-whoami`, `nginx`, `quay.io/x/y`.
    pub fn familiar_repository(&self) -> String {
        match (self.domain.as_str(), self.path.strip_prefix("library/")) {
            ("docker.io", Some(short)) => short.to_owned(),
            ("docker.io", None) => self.path.clone(),
            _ => self.repository(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        // containerd drops the tag when there is a digest too.
        match (&self.digest, &self.tag) {
            (Some(digest), _) => write!(f, "@{digest}"),
            (None, Some(tag)) => write!(f, ":{tag}"),
            (None, None) => Ok(()),
        }
    }
}

fn split_domain(name: &str) -> (String, String) {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => ("docker.io", name),
    };
    let domain = if domain == "index.docker.io" { "docker.io" } else { domain };
    if domain == "docker.io" && !path.contains('/') {
        return (domain.to_owned(), format!("library/{path}"));
    }
    (domain.to_owned(), path.to_owned())
}

fn is_path_component(component: &str) -> bool {
    // alpha-numeric runs joined by one '.', one or two '_', or any number of '-'.
    let mut separator = String::new();
    let mut seen_alphanumeric = false;
    for c in component.chars() {
        match c {
            'a'..='z' | '0'..='9' => {
                let joined = matches!(separator.as_str(), "" | "." | "_" | "__")
                    || separator.bytes().all(|b| b == b'-');
                if !joined || (!seen_alphanumeric && !separator.is_empty()) {
                    return false;
                }
                separator.clear();
                seen_alphanumeric = true;
            }
            '.' | '_' | '-' => separator.push(c),
            _ => return false,
        }
    }
    seen_alphanumeric && separator.is_empty()
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = tag.bytes();
    bytes.next().is_some_and(word)
        && tag.len() <= 128
        && bytes.all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (domain, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.split('.').all(label)
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// 64 hex digits alone are an image id, never a name.
fn is_bare_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_their_full_form() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let cases = [
            ("nginx", "docker.io/library/nginx:latest"),
            ("kiamol/ch02-whoami", "docker.io/kiamol/ch02-whoami:latest"),
            ("docker.io/kiamol/ch02-whoami:v2", "docker.io/kiamol/ch02-whoami:v2"),
            ("index.docker.io/nginx:1.17-alpine", "docker.io/library/nginx:1.17-alpine"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("quay.io/prometheus/node-exporter", "quay.io/prometheus/node-exporter:latest"),
            ("a__b/c---d:x", "docker.io/a__b/c---d:x"),
        ];
        for (name, full) in cases {
            assert_eq!(Reference::parse(name).unwrap().to_string(), full, "{name}");
        }
        let pinned = Reference::parse(&format!("nginx:1@{digest}")).unwrap();
        assert_eq!(pinned.to_string(), format!("docker.io/library/nginx@{digest}"));
        assert_eq!(pinned.familiar_repository(), "nginx");
    }

    #[test]
    fn bad_names_are_refused_in_dockers_words() {
        let plain = "invalid reference format";
        let lower = "invalid reference format: repository name (library/Nginx) must be lowercase";
        let cases = [
            ("", plain),
            ("nginx:", plain),
            ("nginx:-a", plain),
            ("a..b", plain),
            ("-a", plain),
            ("a/", plain),
            ("nginx latest", plain),
            ("nginx@sha256:12", plain),
            ("Nginx", lower),
        ];
        for (name, message) in cases {
            assert_eq!(Reference::parse(name).unwrap_err().0, message, "{name}");
        }
    }
}
