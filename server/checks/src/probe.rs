//! Questions only a request can answer: a page, a command in a Pod, a log, a file.
//!
//! A [`Probe`] is a value: equal probes have one result. [`Prober`] carries them out with the page's own credentials, so that they are
//! never evidence. A result is JSON; a failure is a result with `error`.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use kube::client::Body;
use serde_json::{Value, json};

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// The most output that is kept.
const MAX_OUTPUT: usize = 256 * 1024;
const LAB: &str = "/apis/lab.drydock.internal/v1alpha1";

/// Where something is done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The learner's workstation.
    Workstation,
    /// A Pod.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        pod: String,
    },
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// GET a page: `{status, headers, body}`.
    Http {
        /// From where.
        from: Target,
        /// Which.
        url: String,
    },
    /// Run a command: `{exit, stdout, stderr}`.
    Exec {
        /// Where.
        target: Target,
        /// In which container.
        container: Option<String>,
        /// What.
        command: Vec<String>,
    },
    /// Read a log: `{text}`.
    Log {
        /// Namespace of the Pod.
        namespace: String,
        /// The Pod.
        pod: String,
        /// Which container.
        container: Option<String>,
        /// Before the last restart.
        previous: bool,
        /// Only the last lines.
        tail: Option<u32>,
    },
    /// Read a file of the workstation: `{text}`, `null` when there is none.
    File {
        /// Absolute path.
        path: String,
    },
}

/// Results by question.
pub type Probes = BTreeMap<Probe, Value>;

/// Carries probes out.
#[derive(Clone)]
pub struct Prober {
    client: kube::Client,
}

impl Prober {
    /// Use this client; its user must not be the learner.
    pub fn new(client: kube::Client) -> Prober {
        Prober { client }
    }

    /// Ask once.
    pub async fn ask(&self, probe: &Probe) -> Value {
        match tokio::time::timeout(PATIENCE, self.try_ask(probe)).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => json!({"error": error}),
            Err(_) => json!({"error": format!("no answer within {} s", PATIENCE.as_secs())}),
        }
    }

    async fn try_ask(&self, probe: &Probe) -> Result<Value, String> {
        match probe {
            Probe::Http { from: Target::Workstation, url } => self.page(url).await,
            Probe::Http { from: Target::Pod { namespace, pod }, url } => self.page_of_pod(namespace, pod, url).await,
            Probe::Exec { target, container, command } => {
                let (exit, stdout, stderr) = self.exec(target, container.as_deref(), command).await?;
                Ok(json!({"exit": exit, "stdout": stdout, "stderr": stderr}))
            }
            Probe::Log { namespace, pod, container, previous, tail } => {
                let mut path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?previous={previous}");
                if let Some(container) = container {
                    path.push_str(&format!("&container={container}"));
                }
                if let Some(tail) = tail {
                    path.push_str(&format!("&tailLines={tail}"));
                }
                Ok(json!({"text": self.get(&path).await?}))
            }
            Probe::File { path } => match self.get(&format!("{LAB}/workstations/main/files?path={}", encode(path))).await {
                Ok(text) => Ok(json!({"text": text})),
                Err(_) => Ok(json!({"text": null})),
            },
        }
    }

    async fn get(&self, path: &str) -> Result<String, String> {
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        self.client.request_text(request).await.map_err(|error| error.to_string())
    }

    /// A page, asked for by the workstation's own curl.
    async fn page(&self, url: &str) -> Result<Value, String> {
        let command = ["curl", "-s", "-S", "-i", "-m", "3", url].map(str::to_owned);
        let (exit, stdout, stderr) = self.exec(&Target::Workstation, None, &command).await?;
        if exit != 0 {
            return Err(stderr.trim().to_owned());
        }
        let (head, body) = stdout.split_once("\r\n\r\n").or_else(|| stdout.split_once("\n\n")).unwrap_or((&stdout, ""));
        let mut lines = head.lines();
        let status: u16 = lines.next().and_then(|line| line.split_whitespace().nth(1)).and_then(|code| code.parse().ok()).ok_or("no HTTP answer")?;
        let headers: BTreeMap<String, String> =
            lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Ok(json!({"status": status, "headers": headers, "body": body}))
    }

    /// A page of a Pod, through the API server's proxy.
    async fn page_of_pod(&self, namespace: &str, pod: &str, url: &str) -> Result<Value, String> {
        let uri: http::Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        let port = uri.port_u16().unwrap_or(80);
        let below = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{below}");
        let request = http::Request::get(path).body(Body::empty()).map_err(|error| error.to_string())?;
        let response = self.client.send(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = response.into_body().collect_bytes().await.map_err(|error| error.to_string())?;
        Ok(json!({"status": status, "headers": {}, "body": String::from_utf8_lossy(&body)}))
    }

    /// Run a command; returns exit code, output and errors.
    ///
    /// # Errors
    /// When it cannot be started, in the server's words.
    pub async fn exec(&self, target: &Target, container: Option<&str>, command: &[String]) -> Result<(i64, String, String), String> {
        let mut query: Vec<String> = command.iter().map(|word| format!("command={}", encode(word))).collect();
        let path = match target {
            Target::Workstation => format!("{LAB}/workstations/main/exec"),
            Target::Pod { namespace, pod } => {
                query.extend(["stdout=true".to_owned(), "stderr=true".to_owned()]);
                query.extend(container.map(|container| format!("container={}", encode(container))));
                format!("/api/v1/namespaces/{namespace}/pods/{pod}/exec")
            }
        };
        let request = http::Request::get(format!("{path}?{}", query.join("&"))).body(Vec::new()).map_err(|error| error.to_string())?;
        let mut connection = self.client.connect(request).await.map_err(|error| error.to_string())?.into_stream();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(message) = connection.next().await {
            let message = message.map_err(|error| error.to_string())?;
            if !message.is_binary() {
                continue;
            }
            let frame = message.into_data();
            match frame.first() {
                Some(1) if stdout.len() < MAX_OUTPUT => stdout.extend_from_slice(&frame[1..]),
                Some(2) if stderr.len() < MAX_OUTPUT => stderr.extend_from_slice(&frame[1..]),
                Some(3) => {
                    let status: Value = serde_json::from_slice(&frame[1..]).map_err(|error| error.to_string())?;
                    if let Err(error) = connection.close(None).await {
                        return Err(error.to_string());
                    }
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    return Ok((exit_code(&status)?, text(&stdout), text(&stderr)));
                }
                _ => {}
            }
        }
        Err("the connection ended before the command did".to_owned())
    }
}

/// The exit code in the final status of an exec.
fn exit_code(status: &Value) -> Result<i64, String> {
    if status["status"] == "Success" {
        return Ok(0);
    }
    let causes = status["details"]["causes"].as_array();
    let code = causes.into_iter().flatten().find(|cause| cause["reason"] == "ExitCode").and_then(|cause| cause["message"].as_str()?.parse().ok());
    code.ok_or_else(|| status["message"].as_str().unwrap_or("the command failed").to_owned())
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
