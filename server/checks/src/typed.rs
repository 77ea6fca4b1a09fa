//! Streams as the learner's own commands tell of them, for a cluster whose API server tells nothing.
//!
//! `kubectl exec`, `attach`, `logs` and `port-forward` say in their arguments where they go, and in what they print whether they came there:
//! kubectl reports what the API server refused, and each connection through a forward. What only the server sees, as bytes, is left out.

use drydock_course::check::ObjectRef;
use serde_json::{Value, json};

use crate::select::{self, Moment};
use crate::world::World;

/// How kubectl begins a line that says that nothing came of it.
const FAILURES: [&str; 5] = ["error:", "Error:", "Error from server", "Unable to connect", "The connection to the server"];
/// Options of these commands that take a value of their own word.
const VALUES: [&str; 14] = [
    "-c", "--container", "-n", "--namespace", "-l", "--selector", "--tail", "--since", "--since-time", "--limit-bytes", "--address", "--pod-running-timeout", "--context", "--kubeconfig",
];

/// The streams that a command record tells of; none while it is not known whether they came about.
pub(crate) fn streams(command: &Value, world: &World) -> Vec<Value> {
    let (spec, status) = (&command["spec"], &command["status"]);
    let output = status["output"].as_str().unwrap_or_default();
    let running = status["endTime"].is_null();
    if running && output.trim().is_empty() {
        return Vec::new();
    }
    // What a program in the Pod prints may begin like this, too; kubectl's own failure is the first line, or what it ends with.
    let failure = |line: &str| FAILURES.iter().any(|failure| line.starts_with(failure));
    let failed = if running { output.lines().next().is_some_and(failure) } else { status["exitCode"] != 0 && output.lines().any(failure) };
    let line = spec["line"].as_str().unwrap_or_default();
    let calls = simple_commands(line).into_iter().filter_map(|words| Call::parse(&words));
    // A forward that breaks was one.
    let came_about = |call: &Call| !failed || call.verb == "portforward" && output.contains("Forwarding from");
    calls.enumerate().filter(|(_, call)| came_about(call)).filter_map(|(place, call)| call.record(place, command, world)).collect()
}

/// One of these commands of kubectl, taken apart.
#[derive(Debug, Default, PartialEq)]
struct Call {
    verb: &'static str,
    namespace: Option<String>,
    container: Option<String>,
    selector: Option<String>,
    tty: bool,
    stdin: bool,
    /// What stands for itself: the target, then ports or a container.
    operands: Vec<String>,
    /// After `--`.
    command: Vec<String>,
}

impl Call {
    fn parse(words: &[String]) -> Option<Call> {
        let mut words = words.iter().skip_while(|word| word.contains('=') || word.as_str() == "sudo" || word.as_str() == "time");
        let tool = words.next()?.rsplit('/').next()?;
        if tool != "kubectl" && tool != "k" {
            return None;
        }
        let mut call = Call::default();
        while let Some(word) = words.next() {
            let (name, value) = word.split_once('=').filter(|_| word.starts_with('-')).map_or((word.as_str(), None), |(name, value)| (name, Some(value.to_owned())));
            let mut value = || value.clone().or_else(|| words.next().cloned());
            match name {
                "--" => {
                    call.command = words.cloned().collect();
                    break;
                }
                "-c" | "--container" => call.container = value(),
                "-n" | "--namespace" => call.namespace = value(),
                "-l" | "--selector" => call.selector = value(),
                "--tty" => call.tty = true,
                "--stdin" => call.stdin = true,
                _ if VALUES.contains(&name) => drop(value()),
                _ if name.starts_with("--") => {}
                _ if name.starts_with('-') && name.len() > 1 => {
                    call.tty |= name.contains('t');
                    call.stdin |= name.contains('i');
                }
                _ if call.verb.is_empty() => {
                    call.verb = match name {
                        "exec" => "exec",
                        "attach" => "attach",
                        "logs" | "log" => "log",
                        "port-forward" => "portforward",
                        _ => return None,
                    };
                }
                _ => call.operands.push(word.clone()),
            }
        }
        (!call.verb.is_empty()).then_some(call)
    }

    fn record(&self, place: usize, command: &Value, world: &World) -> Option<Value> {
        let (metadata, status) = (&command["metadata"], &command["status"]);
        let name = format!("{}-{place}", metadata["name"].as_str().unwrap_or_default());
        let namespace = self.namespace.as_deref().unwrap_or(world.home());
        // Where it went when it began is where it goes.
        let known = world.records("streams").find(|stream| stream["metadata"]["name"] == *name).and_then(|stream| stream["spec"]["pod"].as_str().map(str::to_owned));
        let pod = known.or_else(|| self.pod(namespace, world))?;
        let mut told = json!({"opened": status["startTime"]});
        if !status["endTime"].is_null() {
            told["closed"] = status["endTime"].clone();
        }
        if self.verb == "portforward" {
            let (connections, ports) = forwarded(status["output"].as_str().unwrap_or_default());
            told["connections"] = json!(connections);
            told["ports"] = json!(ports);
        }
        Some(json!({
            "metadata": {"name": name, "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"]},
            "spec": {"verb": self.verb, "namespace": namespace, "pod": pod, "container": self.container, "command": self.command, "tty": self.tty, "stdin": self.stdin},
            "status": told,
        }))
    }

    /// The Pod it goes to: named, or one that the named object selects, as kubectl chooses one.
    fn pod(&self, namespace: &str, world: &World) -> Option<String> {
        let of_labels = |labels: std::collections::BTreeMap<String, String>| {
            let wanted = ObjectRef { kind: "Pod".to_owned(), namespace: Some(namespace.to_owned()), labels, ..ObjectRef::default() };
            let pods = select::objects(world, &wanted, Moment::Now);
            let pod = pods.iter().find(|pod| pod["status"]["phase"] == "Running").or(pods.first())?;
            pod["metadata"]["name"].as_str().map(str::to_owned)
        };
        if let Some(selector) = &self.selector {
            return of_labels(selector.split(',').filter_map(|part| part.split_once('=')).map(|(key, value)| (key.to_owned(), value.trim_start_matches('=').to_owned())).collect());
        }
        let target = self.operands.first()?;
        let Some((kind, name)) = target.split_once('/') else { return Some(target.clone()) };
        let kind = match kind.split('.').next().unwrap_or_default() {
            "pod" | "pods" | "po" => return Some(name.to_owned()),
            "deploy" | "deployment" | "deployments" => "Deployment",
            "svc" | "service" | "services" => "Service",
            "rs" | "replicaset" | "replicasets" => "ReplicaSet",
            "ds" | "daemonset" | "daemonsets" => "DaemonSet",
            "sts" | "statefulset" | "statefulsets" => "StatefulSet",
            _ => return None,
        };
        let owner = world.objects(kind).get(&(namespace.to_owned(), name.to_owned()))?;
        let selector = owner["spec"]["selector"].get("matchLabels").unwrap_or(&owner["spec"]["selector"]).as_object()?;
        of_labels(selector.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect())
    }
}

/// How many connections a forward has handled, and to which ports they went: `Forwarding from 127.0.0.1:8080 -> 80`.
fn forwarded(output: &str) -> (usize, Vec<u16>) {
    let number = |text: &str| text.trim().parse::<u16>().ok();
    let ways: Vec<(u16, u16)> = output
        .lines()
        .filter_map(|line| line.strip_prefix("Forwarding from ")?.split_once(" -> "))
        .filter_map(|(from, to)| Some((number(from.rsplit(':').next()?)?, number(to)?)))
        .collect();
    let handled: Vec<u16> = output.lines().filter_map(|line| number(line.strip_prefix("Handling connection for ")?)).collect();
    let mut ports: Vec<u16> = ways.iter().filter(|(from, _)| handled.contains(from)).map(|(_, to)| *to).collect();
    ports.sort_unstable();
    ports.dedup();
    (handled.len(), ports)
}

/// The simple commands of a line, as words without their quotes; what is redirected is left out.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next().filter(|next| *next != '\n')),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '|' | ';' | '&' | '(' | ')' | '\n') => {
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    commands.push(words);
    let redirects = |word: &String| word.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(['>', '<']);
    commands.into_iter().map(|words| words.into_iter().take_while(|word| !redirects(word)).collect::<Vec<_>>()).filter(|words: &Vec<String>| !words.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        let mut world = World::default();
        let mut put = |kind: &str, name: &str, more: Value| {
            let mut object = json!({"kind": kind, "metadata": {"namespace": "default", "name": name, "resourceVersion": "3"}});
            for (key, value) in more.as_object().into_iter().flatten() {
                match object[key].as_object_mut() {
                    Some(fields) => fields.extend(value.as_object().cloned().unwrap_or_default()),
                    None => object[key] = value.clone(),
                }
            }
            world.put(kind, object);
        };
        put("Deployment", "web", json!({"spec": {"selector": {"matchLabels": {"app": "web"}}}}));
        put("Service", "web", json!({"spec": {"selector": {"app": "web"}}}));
        put("Pod", "web-a", json!({"metadata": {"labels": {"app": "web"}}, "status": {"phase": "Pending"}}));
        put("Pod", "web-b", json!({"metadata": {"labels": {"app": "web"}}, "status": {"phase": "Running"}}));
        world
    }

    fn command(line: &str, output: &str, ended: bool) -> Value {
        let end = if ended { json!("2026-01-01T00:00:09Z") } else { Value::Null };
        json!({
            "metadata": {"name": "command-1", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:01Z"},
            "spec": {"line": line}, "status": {"startTime": "2026-01-01T00:00:01Z", "endTime": end, "output": output},
        })
    }

    #[test]
    fn a_command_tells_of_its_streams() {
        // Line, output, ended; verb, Pod and command of the stream.
        let cases: &[(&str, &str, bool, Option<(&str, &str, &[&str])>)] = &[
            ("kubectl exec -it hello -- sh", "/ # ", false, Some(("exec", "hello", &["sh"]))),
            ("kubectl exec -it hello -- sh", "", false, None),
            ("kubectl exec nobody -- ls", "Error from server (NotFound): pods \"nobody\" not found\n", true, None),
            ("cd /tmp; kubectl exec deploy/web -- sh -c 'wget -O - http://localhost > /dev/null' | cat", "done", true, Some(("exec", "web-b", &["sh", "-c", "wget -O - http://localhost > /dev/null"]))),
            ("kubectl exec svc/none -- ls", "a", true, None),
            ("kubectl -n default logs --tail=2 hello > log", "", true, Some(("log", "hello", &[]))),
            ("kubectl logs -l app=web --tail 1", "a line", true, Some(("log", "web-b", &[]))),
            ("kubectl port-forward svc/web 8080:80", "Forwarding from 127.0.0.1:8080 -> 80\n", false, Some(("portforward", "web-b", &[]))),
            ("kubectl get pods", "NAME", true, None),
            ("echo kubectl exec a -- b", "kubectl exec a -- b", true, None),
        ];
        for (line, output, ended, wanted) in cases {
            let found = streams(&command(line, output, *ended), &world());
            let spec = found.first().map(|stream| stream["spec"].clone());
            assert_eq!(spec.as_ref().map(|spec| (spec["verb"].clone(), spec["pod"].clone(), spec["command"].clone())), wanted.map(|(verb, pod, command)| (json!(verb), json!(pod), json!(command))), "{line}");
            assert!(found.iter().all(|stream| stream["status"].get("closed").is_some() == *ended), "{line}");
        }
        let spec = &streams(&command("kubectl exec -it hello -- sh", "# ", false), &world())[0]["spec"];
        assert_eq!((&spec["tty"], &spec["stdin"]), (&json!(true), &json!(true)));
    }

    #[test]
    fn what_a_program_prints_is_not_kubectls_failure() {
        let cases = [
            ("kubectl logs hello", "one\nError: two\n", 0, true),
            ("kubectl exec nobody -- ls", "Error from server (NotFound): pods \"nobody\" not found\n", 1, false),
            ("kubectl port-forward svc/web 8080:80", "Forwarding from 127.0.0.1:8080 -> 80\nerror: lost connection to pod\n", 1, true),
        ];
        for (line, output, exit, wanted) in cases {
            let mut command = command(line, output, true);
            command["status"]["exitCode"] = json!(exit);
            let closed: Vec<bool> = streams(&command, &world()).iter().map(|stream| stream["status"]["closed"].is_string()).collect();
            assert_eq!(closed, vec![true; usize::from(wanted)], "{line}");
        }
    }

    #[test]
    fn a_forward_counts_what_went_through_it() {
        let output = "Forwarding from 127.0.0.1:8080 -> 80\nForwarding from [::1]:8080 -> 80\nForwarding from 127.0.0.1:9000 -> 443\nHandling connection for 8080\nHandling connection for 8080\n";
        let found = streams(&command("kubectl port-forward deploy/web 8080:80 9000:443", output, true), &world());
        assert_eq!((&found[0]["status"]["connections"], &found[0]["status"]["ports"]), (&json!(2), &json!([80])));
    }

    #[test]
    fn a_stream_stays_with_its_pod() {
        let mut world = world();
        world.tells_by_commands();
        world.put_record("commands", command("kubectl port-forward deploy/web 8080:80", "Forwarding from 127.0.0.1:8080 -> 80\n", false));
        world.remove("Pod", &json!({"metadata": {"namespace": "default", "name": "web-b", "resourceVersion": "9"}}));
        world.put_record("commands", command("kubectl port-forward deploy/web 8080:80", "Forwarding from 127.0.0.1:8080 -> 80\n", true));
        let streams: Vec<&Value> = world.records("streams").collect();
        assert_eq!((streams.len(), &streams[0]["spec"]["pod"], streams[0]["status"]["closed"].is_null()), (1, &json!("web-b"), false));
    }
}
