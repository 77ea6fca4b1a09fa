//! `kubectl run`: one Pod.
// upstream: kubectl/pkg/cmd/run/run.go, kubectl/pkg/generate/versioned/run.go

use clap::{ArgMatches, Command};
use http::Method;
use serde_json::{Value, json};

use super::attach::{Attach, attach};
use crate::pods;
use super::create::{required, send};
use crate::builder::{self, Info};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::merge::overlay;
use crate::rest::Call;
use crate::until;
use crate::write::{self, DryRun, Writer, remember};

/// Its flags.
pub fn command() -> Command {
    let flags = write::flags("kubectl-run").into_iter().filter(|flag| flag.get_long() != Some("validate"));
    Command::new("run")
        .about("Create and run a particular image in a pod.")
        .after_help("# A pod\nkubectl run web --image=nginx\n\n# A shell that goes when it ends\nkubectl run -i -t busybox --image=busybox --rm --restart=Never")
        .override_usage("kubectl run NAME --image=image [--env=\"key=value\"] [--port=port] [--dry-run=server|client] [--overrides=inline-json] [--command] -- [COMMAND] [args...] [options]")
        .args(flags)
        .args(builder::file_flags("to use to replace the resource."))
        .args([
            // Those of a deletion, for --rm.
            flags::optional("cascade", "background", "background", "Must be \"background\", \"orphan\", or \"foreground\". Selects the deletion cascading strategy for the dependents (e.g. Pods created by a ReplicationController). Defaults to background."),
            flags::switch("force", "If true, immediately remove resources from API and bypass graceful deletion. Note that immediate deletion of some resources may result in inconsistency or data loss and requires confirmation."),
            flags::number("grace-period", "-1", "Period of time in seconds given to the resource to terminate gracefully. Ignored if negative. Set to 1 for immediate shutdown. Can only be set to 0 when --force is true (force deletion)."),
            flags::duration("timeout", "0s", "The length of time to wait before giving up on a delete, zero means determine a timeout from the size of the object"),
            flags::switch("wait", "If true, wait for resources to be gone before returning. This waits for finalizers."),
            flags::array("annotations", "Annotations to apply to the pod."),
            flags::switch("attach", "If true, wait for the Pod to start running, and then attach to the Pod as if 'kubectl attach ...' were called.  Default false, unless '-i/--stdin' is set, in which case the default is true. With '--restart=Never' the exit code of the container process is returned."),
            flags::switch("command", "If true and extra arguments are present, use them as the 'command' field in the container, rather than the 'args' field which is the default."),
            flags::array("env", "Environment variables to set in the container."),
            flags::switch("expose", "If true, create a ClusterIP service associated with the pod.  Requires `--port`."),
            flags::text("image", "", "The image for the container to run."),
            flags::text("image-pull-policy", "", "The image pull policy for the container.  If left empty, this value will not be specified by the client and defaulted by the server."),
            flags::text("labels", "", "Comma separated labels to apply to the pod. Will override previous values.").short('l'),
            flags::switch("leave-stdin-open", "If the pod is started in interactive mode or with stdin, leave stdin open after the first attach completes. By default, stdin will be closed after the first attach completes."),
            flags::text("override-type", "merge", "The method used to override the generated object: json, merge, or strategic."),
            flags::text("overrides", "", "An inline JSON override for the generated object. If this is non-empty, it is used to override the generated object. Requires that the object supply a valid apiVersion field."),
            flags::duration("pod-running-timeout", "1m0s", "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running"),
            flags::text("port", "", "The port that this container exposes."),
            flags::switch("privileged", "If true, run the container in privileged mode."),
            flags::switch("quiet", "If true, suppress prompt messages.").short('q'),
            flags::text("restart", "Always", "The restart policy for this Pod.  Legal values [Always, OnFailure, Never]."),
            flags::switch("rm", "If true, delete the pod after it exits.  Only valid when attaching to the container, e.g. with '--attach' or with '-i/--stdin'."),
            flags::switch("stdin", "Keep stdin open on the container in the pod, even if nothing is attached.").short('i'),
            flags::switch("tty", "Allocate a TTY for the container in the pod.").short('t'),
        ])
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    required(matches, &["image"])?;
    let words = matches.arguments();
    if words.is_empty() || matches.before_dash() == Some(0) {
        return Err(factory.usage("NAME is required for run"));
    }
    let image = matches.text("image");
    if image.is_empty() {
        return Err(Failure::new("--image is required"));
    }
    if image.contains(char::is_whitespace) || image.chars().any(|letter| letter.is_ascii_uppercase()) && !image.contains('/') && !image.contains(':') {
        return Err(Failure::new(format!("Invalid image name {image:?}: invalid reference format")));
    }
    let mut writer = Writer::read(factory, matches)?;
    writer.prints_structs();
    let interactive = matches.on("stdin") || matches.on("tty");
    let attaching = if matches.changed("attach") { matches.on("attach") } else { interactive };
    if matches.on("tty") && !matches.on("stdin") {
        return Err(factory.usage("-i/--stdin is required for containers with -t/--tty=true"));
    }
    if writer.dry_run != DryRun::None && attaching {
        return Err(factory.usage("--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)"));
    }
    if matches.on("rm") && !attaching {
        return Err(factory.usage("--rm should only be used for attached containers"));
    }
    let policy = super::delete::propagation(factory, &matches.text("cascade"))?;
    let pulling = matches.text("image-pull-policy");
    if !["", "Always", "IfNotPresent", "Never"].contains(&pulling.as_str()) {
        return Err(factory.usage(&format!("invalid image pull policy: {pulling}")));
    }
    let restart = matches.text("restart");
    if !["Always", "OnFailure", "Never"].contains(&restart.as_str()) {
        return Err(factory.usage(&format!("invalid restart policy: {restart}")));
    }
    let port = matches.text("port");
    if matches.on("expose") && port.is_empty() {
        return Err(factory.usage("--port must be set when exposing a service"));
    }
    let (name, rest) = (&words[0], &words[1..]);
    let mut pod = pod(factory, matches, name, rest)?;
    // Stock kubectl maps what it makes, even when it sends nothing.
    factory.mapper().await?;
    let labels_of_pod = pod["metadata"]["labels"].clone();
    let overrides = matches.text("overrides");
    if !overrides.is_empty() {
        pod = overlay::overridden(&pod, &matches.text("override-type"), &overrides).map_err(Failure::new)?;
        write::with_empty_fields(&mut pod);
    }
    if writer.save_config {
        remember(&mut pod);
    }
    if matches.on("expose") {
        let service = service(factory, &labels_of_pod, name, &port)?;
        let made = if writer.dry_run == DryRun::Client { service } else { send(factory, &writer, service).await? };
        writer.tell(factory, &made, "created")?;
        if writer.printer.is_some() {
            factory.streams.line("---")?;
        }
    }
    let created = if writer.dry_run == DryRun::Client { pod } else { send(factory, &writer, pod).await? };
    if !attaching {
        return writer.tell(factory, &created, "created");
    }
    let outcome = attached(factory, matches, created.clone()).await;
    if matches.on("rm") {
        remove(factory, matches, policy, &created).await?;
    }
    outcome
}

fn pod(factory: &Factory, matches: &ArgMatches, name: &str, rest: &[String]) -> Result<Value, Failure> {
    let mut container = json!({"image": matches.text("image"), "name": name, "resources": {}});
    if !rest.is_empty() {
        container[if matches.on("command") { "command" } else { "args" }] = json!(rest);
    }
    let mut variables = Vec::new();
    for pair in matches.texts("env") {
        let (key, value) = pair.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| Failure::new(format!("invalid env: {pair}")))?;
        variables.push(if value.is_empty() { json!({"name": key}) } else { json!({"name": key, "value": value}) });
    }
    if !variables.is_empty() {
        container["env"] = json!(variables);
    }
    let port = matches.text("port");
    if !port.is_empty() {
        let number: i64 = port.parse().map_err(|_| Failure::new(format!("strconv.Atoi: parsing {port:?}: invalid syntax")))?;
        container["ports"] = json!([{"containerPort": number}]);
    }
    for (flag, field) in [("stdin", "stdin"), ("tty", "tty")] {
        if matches.on(flag) {
            container[field] = json!(true);
        }
    }
    if matches.on("stdin") && !matches.on("leave-stdin-open") {
        container["stdinOnce"] = json!(true);
    }
    if !matches.text("image-pull-policy").is_empty() {
        container["imagePullPolicy"] = json!(matches.text("image-pull-policy"));
    }
    if matches.on("privileged") {
        container["securityContext"] = json!({"privileged": true});
    }
    let mut meta = super::create::metadata(factory, name)?;
    meta["labels"] = if matches.text("labels").is_empty() { json!({"run": name}) } else { labels(&matches.text("labels"))? };
    for annotation in matches.texts("annotations") {
        if let Some((key, value)) = annotation.split_once('=') {
            meta["annotations"][key] = json!(value);
        }
    }
    let spec = json!({"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": matches.text("restart")});
    Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": {}}))
}

fn service(factory: &Factory, selector: &Value, name: &str, port: &str) -> Result<Value, Failure> {
    let number: i64 = port.parse().unwrap_or_default();
    let ports = json!([{"port": number, "protocol": "TCP", "targetPort": number}]);
    let meta = super::create::metadata(factory, name)?;
    Ok(json!({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": ports, "selector": selector}, "status": {"loadBalancer": {}}}))
}

/// Wait until it runs, attach, and end as its container ends.
async fn attached(factory: &Factory, matches: &ArgMatches, pod: Value) -> Result<(), Failure> {
    let quiet = matches.on("quiet");
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
    let (name, namespace) = (text("name"), text("namespace"));
    let list = format!("/api/v1/namespaces/{namespace}/pods");
    let phase = |pod: &Value| pod["status"]["phase"].as_str().unwrap_or_default().to_owned();
    let limit = Some(matches.duration("pod-running-timeout"));
    let mut pod = until::object(factory, &list, &name, limit, |pod| match phase(pod).as_str() {
        "Running" => pods::is_ready(pod),
        phase => matches!(phase, "Succeeded" | "Failed"),
    })
    .await?;
    pod["kind"] = json!("Pod");
    let asked = Attach { container: String::new(), stdin: matches.on("stdin"), tty: matches.on("tty"), quiet };
    let running = pod["status"]["phase"] == "Running";
    let lost = if running { attach(factory, &pod, &asked).await.err() } else { None };
    if let Some(failure) = &lost {
        factory.streams.warn(&format!("warning: couldn't attach to pod/{name}, falling back to streaming logs: {}", failure.text()));
    }
    if !running || lost.is_some() {
        // It was too fast: what it said is all there is to see.
        let bytes = factory.rest().await?.bytes(&factory.streams, Call::get(format!("/api/v1/namespaces/{namespace}/pods/{name}/log"))).await?;
        factory.streams.print(bytes)?;
    }
    if pod["spec"]["restartPolicy"] == "Always" || matches.on("leave-stdin-open") {
        return Ok(());
    }
    factory.streams.flush()?;
    let ended = until::object(factory, &list, &name, None, |pod| matches!(phase(pod).as_str(), "Succeeded" | "Failed")).await?;
    let terminated = &ended["status"]["containerStatuses"][0]["state"]["terminated"];
    match (phase(&ended).as_str(), terminated["exitCode"].as_i64()) {
        ("Failed", Some(code)) => {
            let reason = terminated["reason"].as_str().unwrap_or_default();
            Err(Failure::Plain(format!("pod {namespace}/{name} terminated ({reason})"), i32::try_from(code).unwrap_or(1)))
        }
        ("Failed", None) => Err(Failure::new(format!("pod {namespace}/{name} failed with unknown exit code"))),
        _ => Ok(()),
    }
}

/// `a=b,c=d`
// upstream: kubectl/pkg/generate/generate.go ParseLabels
fn labels(text: &str) -> Result<Value, Failure> {
    let mut labels = serde_json::Map::new();
    for part in text.split(',') {
        let (key, value) = part.split_once('=').ok_or_else(|| Failure::new(format!("unexpected label spec: {part}")))?;
        labels.insert(key.to_owned(), json!(value));
    }
    Ok(Value::Object(labels))
}

async fn remove(factory: &Factory, matches: &ArgMatches, policy: &str, pod: &Value) -> Result<(), Failure> {
    let mapping = factory.find("pods").await?;
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
    let info = Info { mapping, namespace: text("namespace"), name: text("name"), ..Info::default() };
    let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy});
    let grace = if matches.on("force") && matches.number("grace-period") < 0 { 0 } else { matches.number("grace-period") };
    if grace >= 0 {
        options["gracePeriodSeconds"] = json!(grace);
    }
    match factory.call(Call::new(Method::DELETE, info.path()).json(&options)).await {
        Ok(_) => factory.streams.line(&format!("pod {:?} {}deleted", info.name, if matches.on("force") { "force " } else { "" })),
        Err(failure) if failure.is("NotFound") => Ok(()),
        Err(failure) => Err(failure),
    }
}
