//! What commands share: surroundings, streams, global flags, and, made when first asked for, the client and the server's kinds.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::config::{self, Chosen, Loaded};
use crate::connect;
use crate::discovery::{self, Mapper};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::flags;
use crate::globals::Globals;
use crate::rest::{Answer, Call, Rest};
use crate::schema::Schemas;
use crate::streams::Streams;

/// The name stock kubectl 1.32 goes by.
pub const USER_AGENT: &str = "kubectl/v1.32.4 (linux/amd64) kubernetes/59526cd";

/// What every command is given.
pub struct Factory {
    /// Where it runs.
    pub env: Environment,
    /// What it reads and writes.
    pub streams: Streams,
    /// The flags all commands have.
    pub globals: Globals,
    /// `kubectl rollout status`.
    pub path: String,
    rest: OnceCell<Rest>,
    mapper: OnceCell<Mapper>,
    fresh: OnceCell<Mapper>,
    config: OnceCell<Loaded>,
    /// Whether kinds are looked up for objects of files.
    pub of_files: std::cell::Cell<bool>,
    /// What the server says of its schemas.
    pub schemas: Schemas,
}

impl Factory {
    /// For the command with this full name.
    pub fn new(env: Environment, streams: Streams, globals: Globals, path: String) -> Self {
        Self { env, streams, globals, path, rest: OnceCell::new(), mapper: OnceCell::new(), fresh: OnceCell::new(), config: OnceCell::new(), of_files: std::cell::Cell::new(false), schemas: Schemas::default() }
    }

    /// For tests: one that asks this server and is silent.
    #[cfg(test)]
    pub(crate) fn asking(rest: Rest) -> Self {
        let streams = Streams::new(Box::new(std::io::empty()), Box::new(std::io::sink()), Box::new(std::io::sink()));
        Self { rest: OnceCell::new_with(Some(rest)), ..Self::new(Environment::default(), streams, Globals::default(), "kubectl".to_owned()) }
    }

    /// The kubeconfig files.
    pub fn config(&self) -> Result<&Loaded, Failure> {
        if let Some(loaded) = self.config.get() {
            return Ok(loaded);
        }
        let loaded = config::load(&self.env, &self.globals, self.path.starts_with("kubectl config"))?;
        if self.globals.verbosity >= 1 && !loaded.explicit && self.env.get("KUBECONFIG").is_some() {
            let missing: Vec<String> = loaded.files.iter().filter(|file| !self.env.path(&file.path).exists()).map(|file| file.path.display().to_string()).collect();
            if !missing.is_empty() && missing.len() == loaded.files.len() {
                crate::rest::log(&self.streams, "loader.go:140", &format!("Config not found: {}", missing.join(", ")));
            }
        }
        // Nobody else sets it: the process has one thread and there is no await in between.
        drop(self.config.set(loaded));
        self.config.get().ok_or_else(|| Failure::new("kubeconfig was not kept"))
    }

    /// The namespace in which commands work, and whether `-n` demands it.
    pub fn namespace(&self) -> Result<(String, bool), Failure> {
        self.config()?.namespace(&self.globals)
    }

    /// The connection to the server.
    pub async fn rest(&self) -> Result<&Rest, Failure> {
        self.rest.get_or_try_init(|| self.connect()).await
    }

    /// What `--warnings-as-errors` makes of a command that did what it was asked.
    pub fn warned(&self) -> Result<(), Failure> {
        match self.rest.get().map_or(0, Rest::warnings) {
            count if count == 0 || !self.globals.warnings_as_errors => Ok(()),
            count => Err(Failure::new(format!("{count} warning{} received", if count == 1 { "" } else { "s" }))),
        }
    }

    /// The kinds of the server.
    pub async fn mapper(&self) -> Result<&Mapper, Failure> {
        self.mapper.get_or_try_init(|| discovery::load(self)).await
    }

    /// The kinds of the server, as it says now.
    pub async fn fresh_mapper(&self) -> Result<&Mapper, Failure> {
        self.fresh.get_or_try_init(|| discovery::fetch(self)).await
    }

    /// Send a request; the answer as an object.
    pub async fn call(&self, call: Call) -> Result<Value, Failure> {
        self.rest().await?.value(&self.streams, call).await
    }

    /// Send a request; the whole answer.
    pub async fn answer(&self, call: Call) -> Result<Answer, Failure> {
        self.rest().await?.answer(&self.streams, call).await
    }

    /// A mistake on the command line.
    pub fn usage(&self, text: &str) -> Failure {
        Failure::usage(&self.path, text)
    }

    /// `--request-timeout`.
    pub fn request_timeout(&self) -> Result<Option<Duration>, Failure> {
        let text = self.globals.request_timeout.as_str();
        let limit = text.parse::<u64>().map(Duration::from_secs).ok();
        let limit = limit.or_else(|| flags::go_duration(text).ok().map(|nanos| Duration::from_nanos(nanos.unsigned_abs())));
        let invalid = "Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by a corresponding time unit (e.g. 1s | 2m | 3h)";
        let limit = limit.ok_or_else(|| Failure::new(invalid))?;
        Ok((!limit.is_zero()).then_some(limit))
    }

    /// How long the server may take to tell its kinds, as it is told.
    // upstream: client-go/discovery/discovery_client.go setDiscoveryDefaults
    pub fn discovery_timeout(&self) -> String {
        match self.request_timeout() {
            Ok(Some(limit)) if limit.subsec_nanos() == 0 && limit.as_secs() < 60 => format!("{}s", limit.as_secs()),
            _ => "32s".to_owned(),
        }
    }

    /// Tell how the switches of the client library stand: from `-v 1` on, in no particular order. Here they switch nothing.
    // upstream: client-go/features/{envvar,known_features}.go
    fn log_gates(&self) {
        let gates = ["ClientsAllowCBOR", "ClientsPreferCBOR", "InformerResourceVersion", "WatchListClient"];
        // An empty one is set, too.
        let set = gates.map(|gate| self.env.variables.get(&format!("KUBE_FEATURE_{gate}")));
        for (gate, text) in gates.into_iter().zip(set).filter_map(|(gate, text)| Some((gate, text.filter(|text| flags::boolean(text).is_none())?))) {
            let error = format!("cannot set feature gate {gate:?} to {text:?}, due to strconv.ParseBool: parsing {text:?}: invalid syntax");
            crate::write::klog(self, 'E', "envvar.go:153", &format!("\"Unhandled Error\" err={error:?}"));
        }
        for (gate, on) in gates.into_iter().zip(set).filter(|_| self.globals.verbosity >= 1).map(|(gate, text)| (gate, text.and_then(|text| flags::boolean(text)))) {
            let (place, state) = if on.is_some() { ("envvar.go:169", "updated") } else { ("envvar.go:172", "default") };
            crate::rest::log(&self.streams, place, &format!("\"Feature gate {state} state\" feature={gate:?} enabled={}", on.unwrap_or(false)));
        }
    }

    async fn connect(&self) -> Result<Rest, Failure> {
        let timeout = self.request_timeout()?;
        let loaded = self.config()?;
        if self.globals.verbosity >= 6 {
            for file in loaded.files.iter().filter(|file| !file.value.is_null()) {
                crate::rest::log(&self.streams, "loader.go:402", &format!("Config loaded from file:  {}", file.path.display()));
            }
        }
        let mut chosen = loaded.choose(&self.globals)?;
        self.log_gates();
        let wrong = config::credentials::ready(self, &mut chosen).await?;
        let server = chosen.cluster["server"].as_str().unwrap_or_default().trim_end_matches('/').to_owned();
        let mut refused = wrong.or_else(|| unreachable(&server));
        if refused.is_some() {
            // Nothing is sent: the client below need not understand where.
            chosen.cluster["server"] = json!("http://localhost");
            chosen.user = json!({"as": chosen.user["as"], "as-uid": chosen.user["as-uid"], "as-groups": chosen.user["as-groups"]});
        }
        let mut settings = settings(&chosen).await?;
        settings.default_retry = false;
        settings.proxy_url = None;
        let proxy = match chosen.cluster["proxy-url"].as_str().filter(|proxy| !proxy.is_empty()) {
            None => config::proxy::of_environment(&self.env, &settings.cluster_url),
            Some(text) => config::proxy::written(text).map(Some),
        };
        // Where the proxy cannot be asked nobody is.
        let proxy = proxy.unwrap_or_else(|why| {
            refused.get_or_insert(why);
            None
        });
        let command = self.path.clone();
        let session = uuid::Uuid::new_v4().to_string();
        for (name, value) in [("user-agent", USER_AGENT), ("kubectl-command", &command), ("kubectl-session", &session)] {
            let value = HeaderValue::from_str(value).map_err(|error| Failure::new(error.to_string()))?;
            settings.headers.push((HeaderName::from_static(name), value));
        }
        impersonation(&chosen.user, &mut settings)?;
        let shown = ["impersonate-user", "impersonate-group", "impersonate-uid", "user-agent"];
        let of = |wanted: &str| settings.headers.iter().filter(|(name, _)| name.as_str() == wanted).map(|(name, value)| (titled(name.as_str()), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect::<Vec<_>>();
        let identity: Vec<(String, String)> = shown.into_iter().flat_map(of).collect();
        let client = connect::client(settings, proxy)?;
        let mut rest = Rest::new(client, server, timeout, self.globals.verbosity);
        rest.identity = identity;
        rest.refused = refused;
        Ok(rest)
    }
}

/// Why there can be no answer from an address.
fn unreachable(server: &str) -> Option<String> {
    let (scheme, rest) = server.split_once("://")?;
    if !matches!(scheme, "http" | "https") {
        return Some(format!("unsupported protocol scheme {scheme:?}"));
    }
    let port = rest.split('/').next()?.rsplit_once(']').map_or(rest, |(_, port)| port).split('/').next()?.rsplit_once(':')?.1;
    (!port.is_empty() && port.parse::<u16>().is_err()).then(|| format!("dial tcp: address {port}: invalid port"))
}

/// The kube client's settings from the chosen cluster and user.
async fn settings(chosen: &Chosen) -> Result<kube::Config, Failure> {
    let mut user = chosen.user.clone();
    if let Some(fields) = user.as_object_mut() {
        fields.retain(|name, value| !value.is_null() && !name.starts_with("as"));
    }
    let mut cluster = chosen.cluster.clone();
    if let Some(fields) = cluster.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
        // The client below is to read no proxy, here or in the environment: which there is was found out as Go does.
        fields.insert("proxy-url".to_owned(), json!("http://localhost"));
    }
    let kubeconfig = json!({
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": chosen.namespace}}],
        "current-context": "x",
    });
    let kubeconfig: kube::config::Kubeconfig = serde_json::from_value(kubeconfig).map_err(|error| Failure::new(format!("invalid configuration: {error}")))?;
    kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await.map_err(|error| Failure::new(connect::innermost(&error)))
}

fn impersonation(user: &Value, settings: &mut kube::Config) -> Result<(), Failure> {
    let mut add = |name: &'static str, value: &str| {
        let value = HeaderValue::from_str(value).map_err(|error| Failure::new(error.to_string()))?;
        settings.headers.push((HeaderName::from_static(name), value));
        Ok::<(), Failure>(())
    };
    if let Some(name) = user["as"].as_str() {
        add("impersonate-user", name)?;
    }
    if let Some(uid) = user["as-uid"].as_str() {
        add("impersonate-uid", uid)?;
    }
    for group in user["as-groups"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        add("impersonate-group", group)?;
    }
    Ok(())
}

/// A word with its first letter large.
fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `user-agent` as `User-Agent`.
pub(crate) fn titled(name: &str) -> String {
    name.split('-').map(capital).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Said(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Said {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_set_in_the_environment_is_told() {
        let default = |gate: &str| format!("envvar.go:172] \"Feature gate default state\" feature=\"{gate}\" enabled=false");
        let wrong = |gate: &str, text: &str| {
            format!("envvar.go:153] \"Unhandled Error\" err=\"cannot set feature gate \\\"{gate}\\\" to \\\"{text}\\\", due to strconv.ParseBool: parsing \\\"{text}\\\": invalid syntax\"")
        };
        let usual = [default("ClientsAllowCBOR"), default("ClientsPreferCBOR"), default("InformerResourceVersion"), default("WatchListClient")];
        let after = |first: &[String]| [first, &usual].concat();
        type Case<'a> = (&'a [(&'a str, &'a str)], Vec<String>);
        let cases: &[Case<'_>] = &[
            (&[("KUBE_FEATURE_WatchListClient", "x"), ("KUBE_FEATURE_ClientsAllowCBOR", "no")], after(&[wrong("ClientsAllowCBOR", "no"), wrong("WatchListClient", "x")])),
            (&[("KUBE_FEATURE_WatchListClient", "")], after(&[wrong("WatchListClient", "")])),
            (&[("KUBECONFIG", ":")], after(&[])),
            (&[("KUBECONFIG", "/proc/nowhere:/proc/elsewhere")], after(&["loader.go:140] Config not found: /proc/nowhere, /proc/elsewhere".to_owned()])),
        ];
        for (variables, wanted) in cases {
            let said = Said::default();
            let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let streams = Streams::new(Box::new(std::io::empty()), Box::new(std::io::sink()), Box::new(said.clone()));
            let globals = Globals { verbosity: 1, ..Globals::default() };
            let factory = Factory::new(Environment { variables, ..Environment::default() }, streams, globals, "kubectl get".to_owned());
            assert!(factory.config().is_ok());
            factory.log_gates();
            let text = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
            // Without level, time and process.
            let place = |line: &str| line.find(']').and_then(|end| line[..end].rfind(' ')).map_or(0, |space| space + 1);
            let lines: Vec<&str> = text.lines().map(|line| &line[place(line)..]).collect();
            assert_eq!(lines, *wanted);
        }
    }

    #[test]
    fn headers_have_large_letters() {
        for (name, wanted) in [("user-agent", "User-Agent"), ("x--y", "X--Y"), ("", "")] {
            assert_eq!(titled(name), wanted);
        }
    }
}
