//! Probes: asking a container whether it has started, is alive, is ready.
//!
//! One task per probe. It asks every period, counts successes and failures, and tells the worker when the verdict changes;
//! single failures become events at once. Liveness and readiness begin once the startup probe has succeeded.

// upstream: pkg/kubelet/prober/worker.go, prober.go; pkg/probe/*

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Pod, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::node::Node;
use super::recorder::Severity;
use super::records::Record;
use super::worker::Message;

/// Which probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeKind {
    /// Has it started?
    Startup,
    /// Is it alive?
    Liveness,
    /// May it get traffic?
    Readiness,
}

impl ProbeKind {
    fn name(self) -> &'static str {
        match self {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        }
    }
}

/// The probes of one running container; they end when it is dropped.
pub(super) struct Probes {
    started: watch::Sender<bool>,
    tasks: Vec<(ProbeKind, AbortOnDropHandle<()>)>,
}

impl Probes {
    /// The startup probe succeeded: the others may begin.
    pub(super) fn started(&self) {
        self.started.send_replace(true);
    }

    /// The container is being stopped: only its readiness still matters.
    pub(super) fn stopping(&mut self) {
        self.tasks.retain(|(kind, _)| *kind == ProbeKind::Readiness);
    }
}

struct Asker {
    node: Arc<Node>,
    pod: Arc<Pod>,
    container: Container,
    record: Record,
    kind: ProbeKind,
    probe: Probe,
    field: String,
}

/// Begin to probe a container that has just started.
pub(super) fn start(node: &Arc<Node>, pod: &Arc<Pod>, container: &Container, record: &Record, field: &str) -> Probes {
    let (started, _) = watch::channel(container.startup_probe.is_none());
    let kinds = [
        (ProbeKind::Startup, &container.startup_probe),
        (ProbeKind::Liveness, &container.liveness_probe),
        (ProbeKind::Readiness, &container.readiness_probe),
    ];
    let tasks = kinds.into_iter().filter_map(|(kind, probe)| {
        let asker = Asker {
            node: Arc::clone(node),
            pod: Arc::clone(pod),
            container: container.clone(),
            record: record.clone(),
            kind,
            probe: probe.clone()?,
            field: field.to_owned(),
        };
        Some((kind, AbortOnDropHandle::new(tokio::spawn(asker.run(started.subscribe())))))
    });
    let mut tasks: Vec<_> = tasks.collect();
    if container.readiness_probe.is_none() {
        let settling = settle(Arc::clone(node), container.name.clone(), record.clone());
        tasks.push((ProbeKind::Readiness, AbortOnDropHandle::new(tokio::spawn(settling))));
    }
    Probes { started, tasks }
}

/// A container without a readiness probe is ready once it has come to rest.
async fn settle(node: Arc<Node>, container: String, record: Record) {
    super::settle::settled(record.pid).await;
    node.tell(&record.uid, Message::Probe { container, id: record.id, kind: ProbeKind::Readiness, success: true });
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default))
}

impl Asker {
    async fn run(self, mut started: watch::Receiver<bool>) {
        if self.kind != ProbeKind::Startup && started.wait_for(|started| *started).await.is_err() {
            return;
        }
        let age = self.record.started.map_or(Duration::ZERO, |at| Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or_default());
        let delay = self.probe.initial_delay_seconds.and_then(|delay| u64::try_from(delay).ok()).map_or(Duration::ZERO, Duration::from_secs);
        tokio::time::sleep(delay.saturating_sub(age)).await;
        let period = seconds(self.probe.period_seconds, 10);
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut run = (false, 0);
        let mut verdict = None;
        loop {
            // An unready container with a readiness probe is asked a first time as soon as it can be.
            ticks.tick().await;
            let result = self.ask().await;
            let success = result.is_ok();
            run = if run.0 == success { (success, run.1 + 1) } else { (success, 1) };
            if let Err(output) = &result {
                let message = format!("{} probe failed: {output}", self.kind.name());
                self.node.recorder.container(&self.pod, self.field.clone(), Severity::Warning, "Unhealthy", message);
            }
            let needed = if success { self.probe.success_threshold } else { self.probe.failure_threshold };
            let needed = needed.unwrap_or(if success { 1 } else { 3 });
            if run.1 < needed || verdict == Some(success) {
                continue;
            }
            verdict = Some(success);
            let (container, id, kind) = (self.container.name.clone(), self.record.id.clone(), self.kind);
            self.node.tell(&self.record.uid, Message::Probe { container, id, kind, success });
            // A container that failed is restarted, and then probed anew.
            if kind == ProbeKind::Startup || (kind == ProbeKind::Liveness && !success) {
                return;
            }
        }
    }

    async fn ask(&self) -> Result<(), String> {
        let limit = seconds(self.probe.timeout_seconds, 1);
        if let Some(exec) = &self.probe.exec {
            return match self.node.exec_collect(&self.record, exec.command.clone().unwrap_or_default(), Some(limit)).await {
                Ok((0, _)) => Ok(()),
                Ok((_, output)) => Err(String::from_utf8_lossy(&output).into_owned()),
                Err(error) => Err(error.to_string()),
            };
        }
        if let Some(action) = &self.probe.http_get {
            return http_get(&self.container, &self.record.ip, action, limit).await;
        }
        if let Some(action) = &self.probe.tcp_socket {
            let port = port_number(&self.container, &action.port).ok_or("couldn't find port")?;
            let host = action.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(&self.record.ip);
            return connect(host, port, limit).await.map(drop);
        }
        match &self.probe.grpc {
            Some(action) => {
                let port = u16::try_from(action.port).map_err(|_| "couldn't find port")?;
                super::health::check(&self.record.ip, port, action.service.as_deref().unwrap_or_default(), limit).await
            }
            None => Err("missing probe handler".to_owned()),
        }
    }
}

/// A port by number or by name.
pub(super) fn port_number(container: &Container, port: &IntOrString) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            named.map(|port| port.container_port).or_else(|| name.parse().ok())?
        }
    };
    u16::try_from(number).ok().filter(|number| *number > 0)
}

/// Connect, with the words Go uses when it fails.
pub(super) async fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, String> {
    match tokio::time::timeout(limit, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("dial tcp {host}:{port}: connect: {}", go_error(&error))),
        Err(_) => Err(format!("dial tcp {host}:{port}: i/o timeout")),
    }
}

fn go_error(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => drydock_container::error::describe(nix::errno::Errno::from_raw(number)),
        None => error.to_string(),
    }
}

/// One HTTP GET; any status from 200 to 399 is a success.
// upstream: pkg/probe/http/http.go
pub(super) async fn http_get(container: &Container, pod_ip: &str, action: &HTTPGetAction, limit: Duration) -> Result<(), String> {
    let port = port_number(container, &action.port).ok_or("couldn't find port")?;
    let host = action.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(pod_ip);
    let path = action.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let secure = action.scheme.as_deref() == Some("HTTPS");
    let url = format!("{}://{host}:{port}{path}", if secure { "https" } else { "http" });
    let asked = async {
        let stream = connect(host, port, limit).await?;
        let mut request = http::Request::get(&path).header("Host", format!("{host}:{port}"));
        let own: Vec<_> = action.http_headers.iter().flatten().collect();
        for header in &own {
            request = match request.headers_ref().is_some_and(|headers| headers.contains_key(&header.name)) {
                true => {
                    let mut request = request;
                    if let (Some(headers), Ok(name), Ok(value)) =
                        (request.headers_mut(), http::HeaderName::try_from(&header.name), http::HeaderValue::try_from(&header.value))
                    {
                        headers.insert(name, value);
                    }
                    request
                }
                false => request.header(&header.name, &header.value),
            };
        }
        let agent = format!("kube-probe/{}", drydock_primitives::release::MINOR);
        for (name, value) in [("User-Agent", agent.as_str()), ("Accept", "*/*"), ("Connection", "close")] {
            if !own.iter().any(|header| header.name.eq_ignore_ascii_case(name)) {
                request = request.header(name, value);
            }
        }
        let request = request.body(Empty::<bytes::Bytes>::new()).map_err(|error| error.to_string())?;
        if secure {
            let stream = super::tls::connect_unverified(stream, host).await.map_err(|error| error.to_string())?;
            send(TokioIo::new(stream), request).await
        } else {
            send(TokioIo::new(stream), request).await
        }
    };
    match tokio::time::timeout(limit, asked).await {
        Ok(Ok(200..=399)) => Ok(()),
        Ok(Ok(status)) => Err(format!("HTTP probe failed with statuscode: {status}")),
        Ok(Err(error)) => Err(format!("Get \"{url}\": {error}")),
        Err(_) => Err(format!("Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)")),
    }
}

async fn send<S>(io: S, request: http::Request<Empty<bytes::Bytes>>) -> Result<u16, String>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(|error| error.to_string())?;
    let connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let response = sender.send_request(request).await.map_err(|error| if error.is_incomplete_message() { "EOF".to_owned() } else { error.to_string() })?;
    let status = response.status().as_u16();
    // Read to the end, so that the server does not see a broken connection.
    if let Err(error) = response.into_body().collect().await {
        tracing::trace!(%error, "the body of a probe's answer");
    }
    drop(connection);
    Ok(status)
}
