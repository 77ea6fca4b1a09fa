//! Whose name a registry is told: passwords as `docker login` writes them down, which is what image pull Secrets hold.

// upstream: pkg/credentialprovider/config.go and keyring.go

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use crate::reference::Reference;
use crate::registry::Credentials;

/// Passwords by registry, or by a part of its repositories.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    /// `registry.example:5000/team`, most specific first.
    entries: Vec<(String, Credentials)>,
}

impl Keyring {
    /// Take over a `.dockerconfigjson`, or a `.dockercfg`, which is its `auths` alone. Says whether it could be read.
    pub fn add(&mut self, json: &[u8]) -> bool {
        let Ok(Value::Object(file)) = serde_json::from_slice(json) else { return false };
        let auths = match file.get("auths") {
            Some(Value::Object(auths)) => auths,
            Some(_) => return false,
            None => &file,
        };
        self.entries.extend(auths.iter().filter_map(|(registry, entry)| Some((place(registry), credentials(entry.as_object()?)?))));
        self.entries.sort_by(|(one, _), (other, _)| other.cmp(one));
        true
    }

    /// What to try for an image, the most specific first.
    pub fn find<'a>(&'a self, reference: &'a Reference) -> impl Iterator<Item = &'a Credentials> {
        let wanted = format!("{}/{}", reference.domain, reference.path);
        self.entries.iter().filter(move |(place, _)| covers(place, &wanted)).map(|(_, credentials)| credentials)
    }
}

fn credentials(entry: &Map<String, Value>) -> Option<Credentials> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (user, password) = (text("username"), text("password"));
    if !user.is_empty() {
        return Some(Credentials { user, password });
    }
    let auth = String::from_utf8(STANDARD.decode(text("auth").trim()).ok()?).ok()?;
    let (user, password) = auth.split_once(':')?;
    Some(Credentials { user: user.to_owned(), password: password.to_owned() })
}

/// `https://index.docker.io/v1/` is `docker.io`, by which images are known.
fn place(registry: &str) -> String {
    let plain = registry.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let plain = plain.strip_suffix("/v1").or_else(|| plain.strip_suffix("/v2")).unwrap_or(plain);
    match plain {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    }
}

/// Host by its labels, of which some may be `*`; then a prefix of the path.
fn covers(place: &str, wanted: &str) -> bool {
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let (wanted_host, wanted_path) = wanted.split_once('/').unwrap_or((wanted, ""));
    let labels = |host: &str| host.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (own, other) = (labels(host), labels(wanted_host));
    let below = wanted_path.strip_prefix(path).is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('/'));
    below && own.len() == other.len() && own.iter().zip(&other).all(|(own, other)| own == "*" || own == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(json: &str, image: &str) -> Vec<String> {
        let mut keyring = Keyring::default();
        assert!(keyring.add(json.as_bytes()), "{json}");
        keyring.find(&Reference::parse(image).unwrap()).map(|found| format!("{}:{}", found.user, found.password)).collect()
    }

    #[test]
    fn passwords_are_found_by_registry_and_path() {
        let entry = |user: &str| format!(r#"{{"username":"{user}","password":"p","auth":"ignored"}}"#);
        let config = |list: &[(&str, &str)]| {
            let list: Vec<String> = list.iter().map(|(place, user)| format!("\"{place}\":{}", entry(user))).collect();
            format!(r#"{{"auths":{{{}}}}}"#, list.join(","))
        };
        for (entries, image, wanted) in [
            (vec![("registry.example", "me")], "registry.example/app:v1", vec!["me:p"]),
            (vec![("https://registry.example/v1/", "me")], "registry.example/app:v1", vec!["me:p"]),
            (vec![("registry.example:5000", "me")], "registry.example/app:v1", vec![]),
            (vec![("https://index.docker.io/v1/", "me")], "kiamol/ch02", vec!["me:p"]),
            (vec![("registry.example", "all"), ("registry.example/team", "team")], "registry.example/team/app", vec!["team:p", "all:p"]),
            (vec![("registry.example/team", "team")], "registry.example/teams/app", vec![]),
            (vec![("*.example", "me")], "registry.example/app", vec!["me:p"]),
        ] {
            assert_eq!(users(&config(&entries), image), wanted, "{entries:?} {image}");
        }
    }

    #[test]
    fn all_ways_to_write_a_password_down_are_read() {
        assert_eq!(users(r#"{"auths":{"r.example":{"auth":"bWU6cmlnaHQ="}}}"#, "r.example/a"), ["me:right"]);
        assert_eq!(users(r#"{"r.example":{"auth":"bWU6cmlnaHQ="}}"#, "r.example/a"), ["me:right"], "a .dockercfg");
        assert_eq!(users(r#"{"auths":{"r.example":{"auth":"?"}}}"#, "r.example/a"), [""; 0]);
        for json in ["", "[]", r#"{"auths":7}"#] {
            assert!(!Keyring::default().add(json.as_bytes()), "{json}");
        }
    }
}
