//! A cluster that is not ours: its kubeconfig, as this computer and as the workstation need it, and the way from one to the other.
//!
//! The workstation has no network but the lab's. What it says to the learner's cluster goes through a socket of this process, which dials
//! one address: the one the kubeconfig names. Certificates are checked at both ends of that way, not on it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use drydock_checks::elsewhere::Place;
use drydock_cluster::spawn::subject_server;
use http::Uri;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixListener};

/// How long the cluster may take to say that it is there.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// A cluster of the learner's.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// Name of its context.
    pub(crate) name: String,
    /// The kubeconfig for the workstation.
    pub(crate) inside: String,
    /// Where it is.
    address: (String, u16),
    path: PathBuf,
}

impl Subject {
    /// What a kubeconfig says about its current context.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Subject> {
        let path = std::path::absolute(path)?;
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read --kubeconfig {}", path.display()))?;
        Subject::parse(&text, &path).with_context(|| format!("--kubeconfig {}", path.display()))
    }

    fn parse(text: &str, path: &Path) -> anyhow::Result<Subject> {
        let documents = drydock_primitives::yaml::parse_documents(text).map_err(|error| anyhow::anyhow!("{error}"))?;
        let config = documents.first().cloned().unwrap_or_default();
        let named = |list: &str, name: &str, what: &str| -> anyhow::Result<Value> {
            let found = config[list].as_array().into_iter().flatten().find(|one| one["name"] == name);
            found.map(|one| one[what].clone()).with_context(|| format!("it has no {what} {name:?}"))
        };
        let name = config["current-context"].as_str().filter(|name| !name.is_empty()).context("it has no current context; choose one with `kubectl config use-context`")?;
        let context = named("contexts", name, "context")?;
        let mut cluster = named("clusters", context["cluster"].as_str().unwrap_or_default(), "cluster")?;
        let mut user = match context["user"].as_str().filter(|user| !user.is_empty()) {
            Some(user) => named("users", user, "user")?,
            None => json!({}),
        };
        for key in ["exec", "auth-provider"] {
            if !user[key].is_null() {
                bail!("its user logs in by a program ({key}), which the terminals do not have; make one with a token: kubectl create token NAME");
            }
        }
        if !cluster["proxy-url"].is_null() {
            bail!("it goes through a proxy, which the terminals cannot reach; take proxy-url out, or forward a port");
        }
        let directory = path.parent().unwrap_or(Path::new("/"));
        into_data(&mut cluster, "certificate-authority", directory)?;
        into_data(&mut user, "client-certificate", directory)?;
        into_data(&mut user, "client-key", directory)?;
        if let Some(file) = user["tokenFile"].as_str() {
            user["token"] = std::fs::read_to_string(directory.join(file)).with_context(|| format!("cannot read {file}"))?.trim().into();
            user.as_object_mut().map(|user| user.remove("tokenFile"));
        }
        let address = move_server(&mut cluster)?;
        let inside = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{"name": context["cluster"], "cluster": cluster}],
            "users": [{"name": context["user"].as_str().unwrap_or("nobody"), "user": user}],
            "contexts": [{"name": name, "context": context}],
        });
        Ok(Subject { name: name.to_owned(), inside: format!("{inside:#}\n"), address, path: path.to_owned() })
    }

    /// A client of this computer's, once the cluster has said that it is there.
    pub(crate) async fn client(&self) -> anyhow::Result<kube::Client> {
        let config = Kubeconfig::read_from(&self.path)?;
        let client = kube::Client::try_from(kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?)?;
        let (host, port) = &self.address;
        let asked = tokio::time::timeout(PATIENCE, client.apiserver_version()).await;
        let (name, path) = (&self.name, self.path.display());
        match asked {
            Ok(Ok(_)) => Ok(client),
            Ok(Err(kube::Error::Api(status))) if status.code == 401 => Err(self.stranger()),
            Ok(Err(error)) => bail!("no answer from the cluster {name:?} of {path} at {host}:{port} ({}); does `kubectl --kubeconfig {path} get nodes` work?", innermost(&error)),
            Err(_) => bail!("no answer within {} s from the cluster {name:?} of {path} at {host}:{port}; does `kubectl --kubeconfig {path} get nodes` work?", PATIENCE.as_secs()),
        }
    }

    /// What of the lessons can be done there. Who may not see the nodes is believed to have some.
    pub(crate) async fn place(&self) -> anyhow::Result<Place> {
        let nodes: Api<Node> = Api::all(self.client().await?);
        let listed = tokio::time::timeout(PATIENCE, nodes.list(&ListParams::default())).await;
        match listed {
            // Its version a cluster tells to everybody.
            Ok(Err(kube::Error::Api(status))) if status.code == 401 => Err(self.stranger()),
            Ok(Ok(list)) if list.items.is_empty() => Ok(Place::Idle),
            Ok(Ok(list)) if list.items.iter().filter(|node| takes_pods(node)).count() > 1 => Ok(Place::Several),
            _ => Ok(Place::Another),
        }
    }

    /// The error of one whom the cluster does not know.
    fn stranger(&self) -> anyhow::Error {
        anyhow::anyhow!("the cluster {:?} does not accept the credentials of {} (401 Unauthorized); have they expired? Log in again, or make a token: kubectl create token NAME", self.name, self.path.display())
    }

    /// A directory name for what is kept of it.
    pub(crate) fn directory(&self) -> String {
        let plain: String = self.name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
        plain.trim_start_matches('.').to_owned()
    }

    /// Carry what comes to this socket to the cluster, for as long as the process lives.
    pub(crate) async fn carry(self, listener: UnixListener) {
        loop {
            let mut near = match listener.accept().await {
                Ok((near, _)) => near,
                Err(error) => {
                    tracing::warn!(%error, "accept");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            };
            let address = self.address.clone();
            tokio::spawn(async move {
                let carried = match TcpStream::connect(address).await {
                    Ok(mut far) => tokio::io::copy_bidirectional(&mut near, &mut far).await.map(drop),
                    Err(error) => Err(error),
                };
                if let Err(error) = carried {
                    tracing::debug!(%error, "a connection to the learner's own cluster");
                }
            });
        }
    }
}

/// Whether Pods that tolerate nothing may come to a node.
fn takes_pods(node: &Node) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    !taints.into_iter().any(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
}

/// The cause that says something.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

/// A file becomes what is in it.
fn into_data(fields: &mut Value, key: &str, directory: &Path) -> anyhow::Result<()> {
    let Some(file) = fields[key].as_str().map(|file| directory.join(file)) else { return Ok(()) };
    let bytes = std::fs::read(&file).with_context(|| format!("cannot read {key} {}", file.display()))?;
    fields[format!("{key}-data")] = serde_json::to_value(ByteString(bytes))?;
    fields.as_object_mut().map(|fields| fields.remove(key));
    Ok(())
}

/// The server becomes the door in the lab; certificates are still those of the old name. Returns where it was.
fn move_server(cluster: &mut Value) -> anyhow::Result<(String, u16)> {
    let server: Uri = cluster["server"].as_str().unwrap_or_default().parse().context("its server is no address")?;
    let host = server.host().context("its server has no host")?.trim_matches(['[', ']']).to_owned();
    let scheme = server.scheme_str().unwrap_or("https");
    let port = server.port_u16().unwrap_or(if scheme == "http" { 80 } else { 443 });
    cluster["server"] = format!("{scheme}://{}{}", subject_server(), server.path().trim_end_matches('/')).into();
    if scheme == "https" && cluster["tls-server-name"].is_null() && cluster["insecure-skip-tls-verify"] != true {
        cluster["tls-server-name"] = host.clone().into();
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(server: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\ncurrent-context: mine\ncontexts: [{{name: mine, context: {{cluster: c, user: u, namespace: shop}}}}]\n\
             clusters: [{{name: c, cluster: {{server: '{server}', certificate-authority-data: QUJD}}}}]\nusers: [{{name: u, user: {user}}}]\n"
        )
    }

    #[test]
    fn the_workstation_finds_it_at_the_door() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("key"), "secret").unwrap();
        let subject = Subject::parse(&config("https://127.0.0.1:6444/k8s/", "{client-key: key}"), &directory.path().join("config")).unwrap();
        assert_eq!((subject.name.as_str(), subject.address), ("mine", ("127.0.0.1".to_owned(), 6444)));
        let inside: Value = serde_json::from_str(&subject.inside).unwrap();
        let cluster = &inside["clusters"][0]["cluster"];
        assert_eq!(cluster["server"], format!("https://{}/k8s", subject_server()));
        assert_eq!(cluster["tls-server-name"], "127.0.0.1");
        assert_eq!(inside["users"][0]["user"], json!({"client-key-data": "c2VjcmV0"}));
        assert_eq!(inside["contexts"][0]["context"]["namespace"], "shop");
    }

    #[test]
    fn a_node_that_takes_no_pods_is_not_counted() {
        let node = |spec: Value| serde_json::from_value::<Node>(json!({"spec": spec})).unwrap();
        let taint = |effect: &str| node(json!({"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": effect}]}));
        let cases = [(node(json!({})), true), (taint("PreferNoSchedule"), true), (taint("NoSchedule"), false), (taint("NoExecute"), false)];
        for (node, wanted) in cases {
            assert_eq!(takes_pods(&node), wanted, "{node:?}");
        }
    }

    #[test]
    fn what_cannot_work_is_said() {
        let cases = [
            (config("https://c.example", "{exec: {command: aws}}"), "logs in by a program"),
            (config("https://c.example", "{client-key: nowhere}"), "cannot read client-key"),
            ("apiVersion: v1\n".to_owned(), "no current context"),
        ];
        for (text, wanted) in cases {
            let error = format!("{:#}", Subject::parse(&text, Path::new("/tmp/config")).unwrap_err());
            assert!(error.contains(wanted), "{error}");
        }
    }
}
