//! Questions only a request can answer: a page, a name, a port, a command, a log, a file.
//!
//! A [`Probe`] is a value: equal probes have one result. [`Prober`] carries them out with the page's own credentials, so that they are
//! never evidence. A result is JSON; a failure is a result with `error`. Two probes go on for as long as a check wants them
//! ([`Probe::goes_on`]): the log of a container that runs, and traffic.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use drydock_primitives::look;
use futures::{AsyncReadExt, StreamExt};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::answer;
use crate::clients::Clients;

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// How much longer for each request of a series.
const EACH: Duration = Duration::from_millis(500);
/// The most output that is kept.
const MAX_OUTPUT: usize = 256 * 1024;
/// The most of a file that is looked at.
const MAX_FILE: usize = 200_000;
/// Lines of a log that are looked at when a check does not say.
const LOG_LINES: u32 = 2000;
/// A log that is followed is told this often at most.
const LOG_PAUSE: Duration = Duration::from_millis(100);
/// How long traffic goes on when nothing happens.
const TRAFFIC: Duration = Duration::from_secs(300);
/// Where a node's own files are in its shell.
const NODE_ROOT: &str = "/host";
const LAB: &str = "/apis/lab.drydock.internal/v1alpha1";

/// Where something is done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The learner's workstation.
    Workstation,
    /// A node.
    Node {
        /// Its name.
        name: String,
    },
    /// A Pod.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        pod: String,
        /// Which container; the first when absent.
        container: Option<String>,
    },
}

/// What is asked of a web server.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    /// Where.
    pub url: String,
    /// `GET` when empty.
    pub method: String,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// What is sent.
    pub body: Option<String>,
    /// How often.
    pub times: u32,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Probe {
    /// Ask for a page: `{status, headers, body, answers}`.
    Http {
        /// From where.
        from: Target,
        /// What.
        request: Request,
    },
    /// Look a name up: `{found, addresses, cnames, text}`.
    Dns {
        /// From where.
        from: Target,
        /// The name.
        name: String,
    },
    /// Make a connection: `{open, error}`.
    Tcp {
        /// From where.
        from: Target,
        /// To where.
        host: String,
        /// Its port.
        port: String,
    },
    /// Run a command: `{exit, stdout, stderr, text, lines}`.
    Exec {
        /// Where.
        target: Target,
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
        /// Only what is younger, RFC 3339.
        since: Option<String>,
    },
    /// Look at a file: `{kind, mode, uid, gid, size, link, text, entries}`; `kind` is null when there is none.
    File {
        /// Where.
        target: Target,
        /// Absolute path.
        path: String,
    },
    /// The environment a container was given: `{env}`.
    Env {
        /// Where.
        target: Target,
    },
    /// Keep asking for a page: `{answers, failures, last}`.
    Traffic {
        /// From where.
        from: Target,
        /// What.
        url: String,
        /// Pause between requests, in milliseconds.
        every: u64,
        /// How far back counts, in milliseconds.
        window: u64,
    },
}

impl Probe {
    /// Whether it tells more and more for as long as it is wanted, instead of being asked again.
    pub fn goes_on(&self) -> bool {
        matches!(self, Probe::Log { previous: false, .. } | Probe::Traffic { .. })
    }

    /// Where it is made or looks.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Probe::Http { from, .. } | Probe::Dns { from, .. } | Probe::Tcp { from, .. } | Probe::Traffic { from, .. } => Some(from),
            Probe::Exec { target, .. } | Probe::File { target, .. } | Probe::Env { target } => Some(target),
            Probe::Log { .. } => None,
        }
    }
}

/// Results by question.
pub type Probes = BTreeMap<Probe, Value>;

/// Carries probes out.
#[derive(Clone)]
pub struct Prober {
    clients: Clients,
}

impl Prober {
    /// Use these clients; their user must not be the learner.
    pub fn new(clients: impl Into<Clients>) -> Prober {
        Prober { clients: clients.into() }
    }

    /// Ask once.
    pub async fn ask(&self, probe: &Probe) -> Value {
        let more = match probe {
            Probe::Http { request, .. } => EACH * request.times.saturating_sub(1),
            _ => Duration::ZERO,
        };
        match tokio::time::timeout(PATIENCE + more, self.try_ask(probe)).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => json!({"error": error}),
            Err(_) => json!({"error": format!("no answer within {} s", (PATIENCE + more).as_secs())}),
        }
    }

    /// Tell a probe that goes on, until it has nothing more to tell or nobody listens.
    pub async fn follow(&self, probe: &Probe, news: &mpsc::UnboundedSender<(Probe, Value)>) {
        let told = match probe {
            Probe::Log { tail, .. } => self.follow_log(probe, *tail, news).await,
            Probe::Traffic { from, url, every, window } => self.traffic(probe, from, url, (*every, *window), news).await,
            _ => Ok(()),
        };
        if let Err(error) = told {
            // The receiver being gone is the end of it.
            drop(news.send((probe.clone(), json!({"error": error}))));
        }
    }

    async fn try_ask(&self, probe: &Probe) -> Result<Value, String> {
        match probe {
            Probe::Http { from, request } => self.pages(from, request).await,
            Probe::Dns { from, name } => {
                let (exit, stdout, stderr) = self.exec(from, &words(&["nslookup", name])).await?;
                if exit == 127 {
                    return Err(format!("there is no nslookup: {}", stderr.trim()));
                }
                Ok(answer::lookup(&stdout))
            }
            Probe::Tcp { from, host, port } => {
                let (exit, _, stderr) = self.exec(from, &words(&["nc", "-z", "-v", "-w", "2", host, port])).await?;
                if exit == 127 {
                    return Err(format!("there is no nc: {}", stderr.trim()));
                }
                Ok(json!({"open": exit == 0, "problem": if exit == 0 { "" } else { stderr.trim() }}))
            }
            Probe::Exec { target, command } => {
                let (exit, stdout, stderr) = self.exec(target, command).await?;
                let lines: Vec<&str> = stdout.lines().collect();
                Ok(json!({"exit": exit, "stdout": stdout, "stderr": stderr, "text": stdout.trim(), "lines": lines}))
            }
            Probe::Log { tail, .. } => Ok(json!({"text": self.get(&log_path(probe, *tail, false)).await?})),
            Probe::File { target, path } => {
                // The shell of a node has the node's own files below a directory.
                let path = &if matches!(target, Target::Node { .. }) { format!("{NODE_ROOT}{path}") } else { path.clone() };
                let (exit, stdout, stderr) = self.exec(target, &look::command(path, MAX_FILE)).await?;
                if exit == 127 || stdout.is_empty() {
                    return Err(stderr.trim().to_owned());
                }
                Ok(answer::file(&stdout))
            }
            Probe::Env { target } => Ok(json!({"env": answer::environment(&self.exec(target, &words(&["env"])).await?.1)})),
            Probe::Traffic { .. } => Ok(Value::Null),
        }
    }

    async fn get(&self, path: &str) -> Result<String, String> {
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        self.clients.subject.request_text(request).await.map_err(said)
    }

    /// A page, so often as is wanted; the last answer's parts stand beside all of them.
    async fn pages(&self, from: &Target, request: &Request) -> Result<Value, String> {
        let mut answers = Vec::new();
        for _ in 0..request.times.clamp(1, 50) {
            answers.push(self.page(from, request).await?);
        }
        let mut all = answers.last().cloned().unwrap_or_default();
        all["answers"] = Value::Array(answers);
        Ok(all)
    }

    async fn page(&self, from: &Target, request: &Request) -> Result<Value, String> {
        if let Target::Pod { namespace, pod, .. } = from {
            let uri: http::Uri = request.url.parse().map_err(|error| format!("{}: {error}", request.url))?;
            if matches!(uri.host(), Some("localhost" | "127.0.0.1")) {
                return self.page_of_pod(namespace, pod, &uri, request).await;
            }
        }
        let mut command = words(&["curl", "-s", "-S", "-i", "-m", "3"]);
        if !request.method.is_empty() {
            command.extend(["-X".to_owned(), request.method.clone()]);
        }
        for (name, value) in &request.headers {
            command.extend(["-H".to_owned(), format!("{name}: {value}")]);
        }
        if let Some(body) = &request.body {
            command.extend(["-d".to_owned(), body.clone()]);
        }
        command.push(request.url.clone());
        let (exit, stdout, stderr) = self.exec(from, &command).await?;
        if exit != 0 {
            return Err(stderr.trim().to_owned());
        }
        answer::page(&stdout).ok_or_else(|| "what came back is no HTTP answer".to_owned())
    }

    /// A page of a Pod, through the API server's proxy.
    async fn page_of_pod(&self, namespace: &str, pod: &str, uri: &http::Uri, wanted: &Request) -> Result<Value, String> {
        let port = uri.port_u16().unwrap_or(80);
        let below = uri.path_and_query().map_or("/", |path| path.as_str());
        let method = if wanted.method.is_empty() { if wanted.body.is_some() { "POST" } else { "GET" } } else { &wanted.method };
        let mut request = http::Request::builder().method(method).uri(format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{below}"));
        for (name, value) in &wanted.headers {
            request = request.header(name, value);
        }
        if wanted.body.is_some() && !wanted.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
            request = request.header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let body = wanted.body.clone().map_or_else(Body::empty, |body| Body::from(body.into_bytes()));
        let request = request.body(body).map_err(|error| error.to_string())?;
        let response = self.clients.subject.send(request).await.map_err(said)?;
        let status = response.status().as_u16();
        let headers: BTreeMap<String, String> =
            response.headers().iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect();
        let body = response.into_body().collect_bytes().await.map_err(|error| error.to_string())?;
        Ok(json!({"status": status, "headers": headers, "body": String::from_utf8_lossy(&body)}))
    }

    /// Follow a log: at first what there is, then all of it again whenever something was added.
    async fn follow_log(&self, probe: &Probe, tail: Option<u32>, news: &mpsc::UnboundedSender<(Probe, Value)>) -> Result<(), String> {
        let request = http::Request::get(log_path(probe, tail, true)).body(Vec::new()).map_err(|error| error.to_string())?;
        let mut stream = self.clients.subject.request_stream(request).await.map_err(said)?;
        let mut text: Vec<u8> = Vec::new();
        let mut buffer = vec![0; 32 * 1024];
        let mut told = false;
        loop {
            // Whatever arrives in one pause is told together; a log that never rests is read no faster than this.
            let until = Instant::now() + LOG_PAUSE;
            let mut taken = 0;
            let ended = loop {
                let read = stream.read(&mut buffer);
                let read = if taken == 0 && told { Ok(read.await) } else { tokio::time::timeout_at(until, read).await };
                match read {
                    Ok(Ok(0)) => break true,
                    Ok(Ok(length)) => {
                        text.extend_from_slice(&buffer[..length]);
                        taken += length;
                        if taken >= MAX_OUTPUT {
                            tokio::time::sleep_until(until).await;
                            break false;
                        }
                    }
                    Ok(Err(error)) => return Err(error.to_string()),
                    Err(_) => break false,
                }
            };
            keep_last(&mut text, tail.unwrap_or(LOG_LINES) as usize);
            if taken > 0 || !told {
                told = true;
                if news.send((probe.clone(), json!({"text": String::from_utf8_lossy(&text)}))).is_err() {
                    return Ok(());
                }
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Ask for a page again and again; what is told counts the last `window`.
    async fn traffic(&self, probe: &Probe, from: &Target, url: &str, (every, window): (u64, u64), news: &mpsc::UnboundedSender<(Probe, Value)>) -> Result<(), String> {
        let (pause, window) = (Duration::from_millis(every.max(100)), Duration::from_millis(window));
        let request = Request { url: url.to_owned(), times: 1, ..Request::default() };
        let mut past: VecDeque<(Instant, Option<String>)> = VecDeque::new();
        let mut ticks = tokio::time::interval(pause);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let end = Instant::now() + TRAFFIC;
        while Instant::now() < end {
            ticks.tick().await;
            let problem = match tokio::time::timeout(PATIENCE, self.page(from, &request)).await {
                Ok(Ok(page)) if page["status"].as_u64().is_some_and(|status| status < 500) => None,
                Ok(Ok(page)) => Some(format!("it answered with status {}", page["status"])),
                Ok(Err(error)) => Some(error),
                Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
            };
            let now = Instant::now();
            past.push_back((now, problem));
            while past.front().is_some_and(|(at, _)| now.duration_since(*at) > window) {
                past.pop_front();
            }
            let failures: Vec<&String> = past.iter().filter_map(|(_, problem)| problem.as_ref()).collect();
            let told = json!({"answers": past.len() - failures.len(), "failures": failures.len(), "last": failures.last()});
            if news.send((probe.clone(), told)).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Run a command; returns exit code, output and errors.
    ///
    /// # Errors
    /// When it cannot be started, in the server's words.
    pub async fn exec(&self, target: &Target, command: &[String]) -> Result<(i64, String, String), String> {
        let mut query: Vec<String> = command.iter().map(|word| format!("command={}", encode(word))).collect();
        let client = if matches!(target, Target::Pod { .. }) { &self.clients.subject } else { &self.clients.lab };
        let path = match target {
            Target::Workstation => format!("{LAB}/workstations/main/exec"),
            Target::Node { name } => format!("{LAB}/nodes/{name}/exec"),
            Target::Pod { namespace, pod, container } => {
                query.extend(["stdout=true".to_owned(), "stderr=true".to_owned()]);
                query.extend(container.iter().map(|container| format!("container={}", encode(container))));
                format!("/api/v1/namespaces/{namespace}/pods/{pod}/exec")
            }
        };
        let request = http::Request::get(format!("{path}?{}", query.join("&"))).body(Vec::new()).map_err(|error| error.to_string())?;
        let mut connection = client.connect(request).await.map_err(said)?.into_stream();
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

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn log_path(probe: &Probe, lines: Option<u32>, follow: bool) -> String {
    let Probe::Log { namespace, pod, container, previous, since, .. } = probe else { return String::new() };
    let mut path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?previous={previous}&follow={follow}&tailLines={}", lines.unwrap_or(LOG_LINES));
    if let Some(container) = container {
        path.push_str(&format!("&container={}", encode(container)));
    }
    if let Some(since) = since {
        path.push_str(&format!("&sinceTime={}", encode(since)));
    }
    path
}

/// Keep the last whole lines, and no more bytes than are kept of anything.
fn keep_last(text: &mut Vec<u8>, lines: usize) {
    let from = text.len().saturating_sub(MAX_OUTPUT);
    let ended = usize::from(text.last() == Some(&b'\n'));
    let cut = text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').nth(lines + ended - 1).map_or(0, |(at, _)| at + 1);
    text.drain(..cut.max(from));
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

/// What went wrong in the cluster's own words: the library prints them twice, with all of their fields.
fn said(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_its_last_lines() {
        let cases = [("a\nb\nc\n", 1, "c\n"), ("a\nb\nc", 1, "c"), ("a\nb\nc\n", 2, "b\nc\n"), ("a\n", 5, "a\n"), ("", 1, "")];
        for (text, lines, kept) in cases {
            let mut bytes = text.as_bytes().to_vec();
            keep_last(&mut bytes, lines);
            assert_eq!(String::from_utf8(bytes).unwrap(), kept, "{text:?} {lines}");
        }
    }
}
