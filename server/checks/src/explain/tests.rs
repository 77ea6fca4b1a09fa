//! Every sentence a red check can say, as a reader of a first Kubernetes book gets it.

use std::collections::BTreeMap;

use drydock_cel::Bindings;
use drydock_course::check::Check;
use serde_json::{Value, json};

use super::explain;
use crate::compile::Library;
use crate::eval::{self, Facts, Memo};
use crate::probe::{Probe, Probes, Request, Target};
use crate::verdict::{Outcome, Reason};
use crate::world::{Point, World};

/// The exercise began at revision 10.
const BASELINE: u64 = 10;

fn object(kind: &str, name: &str, revision: u64, more: Value) -> Value {
    let mut object = json!({
        "kind": kind, "apiVersion": "v1",
        "metadata": {"namespace": "default", "name": name, "uid": format!("{kind}-{name}"), "resourceVersion": revision.to_string(), "creationTimestamp": "2026-01-01T00:00:00Z"},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        match object.get_mut(key).and_then(Value::as_object_mut) {
            Some(fields) => fields.extend(value.as_object().cloned().unwrap_or_default()),
            None => object[key] = value.clone(),
        }
    }
    object
}

fn owned_by(kind: &str, name: &str) -> Value {
    json!([{"kind": kind, "name": name, "uid": format!("{kind}-{name}"), "controller": true}])
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"phase": "Pending", "containerStatuses": [{"name": "c", "image": "kiamol/ch02-hello-kiamo", "ready": false, "state": {"waiting": {"reason": reason, "message": message}},
        "lastState": {"terminated": {"exitCode": 3, "reason": if message == "oom" { "OOMKilled" } else { "Error" }}}}]})
}

/// `old-web` and Deployment `before` are older than the exercise, the rest is new.
fn world() -> World {
    let mut world = World::default();
    world.put("Pod", object("Pod", "old-web", 5, json!({"metadata": {"labels": {"app": "old"}}})));
    world.put("Deployment", object("Deployment", "before", 6, json!({"spec": {"replicas": 1}})));
    world.put("Pod", object("Pod", "standing", 7, json!({"status": {"phase": "Running", "podIP": "10.244.0.9"}})));
    let ready = json!({"phase": "Running", "podIP": "10.244.0.5", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"restartCount": 1}]});
    world.put("Pod", object("Pod", "web", 11, json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx", "ports": [{"containerPort": 80}]}]}, "status": ready})));
    world.put("Deployment", object("Deployment", "web", 12, json!({"spec": {"replicas": 2}, "status": {"availableReplicas": 1}})));
    world.put("ReplicaSet", object("ReplicaSet", "web-1", 12, json!({"metadata": {"ownerReferences": owned_by("Deployment", "web")}})));
    world.put("Pod", object("Pod", "web-1-a", 13, json!({"metadata": {"labels": {"app": "api"}, "ownerReferences": owned_by("ReplicaSet", "web-1")}, "status": {"phase": "Running"}})));
    let mut elsewhere = object("Pod", "far", 14, json!({}));
    elsewhere["metadata"]["namespace"] = json!("other");
    world.put("Pod", elsewhere);
    for name in ["mine", "its-own"] {
        let mut pod = object("Pod", name, 14, json!({"metadata": {"labels": {"app": name}}}));
        pod["metadata"]["namespace"] = json!("kube-system");
        world.put("Pod", pod);
    }
    let typed = json!({"metadata": {"name": "typed", "resourceVersion": "14", "creationTimestamp": "2026-01-01T00:00:20Z"}, "spec": {"line": "kubectl run mine -n kube-system --image=nginx"}});
    world.put_record("commands", typed);
    let spec = json!({"containers": [{"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/app"}]}], "volumes": [{"name": "v", "configMap": {"name": "x"}}]});
    let claimed = json!({"containers": [{"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/app"}]}], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]});
    let mut no_program = waiting("CrashLoopBackOff", "");
    no_program["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] = json!(145);
    let broken = [
        ("typo", json!({}), waiting("ImagePullBackOff", "no such image; did you mean \"kiamol/ch02-hello-kiamol\"?")),
        ("unmade", json!({}), waiting("ErrImagePull", "docker.io/library/postgres:11.6-alpine: it is made from the distribution's packages: run \"drydock image prefetch lunches\" (needs a network once)")),
        ("crash", json!({}), waiting("CrashLoopBackOff", "")),
        ("hidden", spec, waiting("CrashLoopBackOff", "")),
        ("hidden-by-claim", claimed, no_program),
        ("oom", json!({}), waiting("CrashLoopBackOff", "oom")),
        ("no-config", json!({}), waiting("CreateContainerConfigError", "configmap \"settings\" not found")),
        ("no-key", json!({}), waiting("CreateContainerConfigError", "couldn't find key section in ConfigMap default/settings")),
        ("no-node", json!({}), json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."}]})),
        ("no-volume", json!({"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}), json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "pod has unbound immediate PersistentVolumeClaims"}]})),
    ];
    for (name, spec, status) in broken {
        world.put("Pod", object("Pod", name, 15, json!({"spec": spec, "status": status})));
    }
    world.put("PersistentVolumeClaim", object("PersistentVolumeClaim", "data", 15, json!({"status": {"phase": "Pending"}})));
    let service = |name: &str, selector: Value, target: u16, kind: &str| object("Service", name, 16, json!({"spec": {"type": kind, "selector": selector, "ports": [{"port": 8080, "targetPort": target}]}}));
    world.put("Service", service("lost", json!({"app": "webb"}), 80, "ClusterIP"));
    world.put("Service", service("deaf", json!({"app": "web"}), 81, "ClusterIP"));
    world.put("Service", service("empty", json!({"app": "api"}), 80, "LoadBalancer"));
    world.put("ReplicaSet", object("ReplicaSet", "alone", 16, json!({})));
    world.put("Service", service("both", json!({"app": "web"}), 80, "ClusterIP"));
    let behind = |pod: &str| json!({"subsets": [{"addresses": [{"ip": "10.244.0.5", "targetRef": {"kind": "Pod", "name": pod}}]}]});
    world.put("Endpoints", object("Endpoints", "both", 16, behind("web")));
    world.put("Endpoints", object("Endpoints", "lost", 16, json!({})));
    world.put("Service", service("shared", json!({"app": "web"}), 80, "ClusterIP"));
    let slice = |name: &str, owner: Value, ip: &str| object("EndpointSlice", name, 16, json!({"metadata": {"labels": {"kubernetes.io/service-name": "shared"}, "ownerReferences": owner}, "endpoints": [{"addresses": [ip]}]}));
    world.put("EndpointSlice", slice("shared-1", owned_by("Service", "shared"), "10.244.0.5"));
    world.put("EndpointSlice", slice("by-hand", json!([]), "10.244.0.77"));
    let on_disk = json!({"template": {"spec": {"nodeSelector": {"disk": "fast"}}}});
    world.put("DaemonSet", object("DaemonSet", "nowhere", 16, json!({"spec": on_disk, "status": {"desiredNumberScheduled": 0}})));
    let at = |name: &str, spec: Value, status: Value| json!({"metadata": {"name": name, "resourceVersion": "16", "creationTimestamp": "2026-01-01T00:00:10Z"}, "spec": spec, "status": status});
    let labels = json!({"beta.kubernetes.io/arch": "amd64", "kubernetes.io/hostname": "node-1", "kiamol": "ch5"});
    let mut node = object("Node", "node-1", 16, json!({"metadata": {"labels": labels}, "spec": {"unschedulable": true}}));
    node["metadata"]["namespace"] = Value::Null;
    world.put("Node", node);
    let env = json!([{"name": "ADMINER_DEFAULT_SERVER", "value": "x"}]);
    let adminer = json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "c", "env": env}]}}}});
    world.put("Deployment", object("Deployment", "adminer-web", 6, adminer));
    let image = json!({"kubectl.kubernetes.io/last-applied-configuration": "{\"image\":\"a\"}"});
    world.put("Deployment", object("Deployment", "by-file", 6, json!({"metadata": {"annotations": image}})));
    let mount = |at: &str, volume: &str| json!({"name": volume, "mountPath": at});
    let volumes = json!([{"name": "cache", "emptyDir": {}}, {"name": "page", "configMap": {"name": "x"}}]);
    let mounts = json!([mount("/etc/page", "page"), mount("/data/cache", "cache"), mount("/lost", "none")]);
    world.put("Deployment", object("Deployment", "cached", 6, json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "volumeMounts": mounts}], "volumes": volumes}}}})));
    world.put_record("commands", at("c1", json!({"line": "kubectl get pod nope"}), json!({"exitCode": 1})));
    world.put_record("commands", at("c2", json!({"line": "kubectl describe pod web"}), json!({"exitCode": 0, "output": "Name: web"})));
    world.put_record("commands", at("c3", json!({"line": "kubectl wait pod web"}), json!({})));
    let stream = |verb: &str| json!({"verb": verb, "namespace": "default", "pod": "web", "tty": false, "stdin": true});
    world.put_record("streams", at("s1", stream("portforward"), json!({"connections": 0, "ports": []})));
    world.put_record("streams", at("s2", stream("exec"), json!({})));
    world.remove("Pod", &object("Pod", "gone", 16, json!({})));
    world.answer("given", "blue");
    world
}

fn probes() -> Probes {
    let url = |url: &str| Probe::Http { from: Target::Workstation, request: Request { url: url.to_owned(), times: 1, ..Request::default() } };
    let web = || Target::Pod { namespace: "default".into(), pod: "web".into(), container: None };
    BTreeMap::from([
        (url("http://localhost:8088/"), json!({"error": "curl: (7) Failed to connect"})),
        (url("http://localhost:8080/"), json!({"error": "curl: (7) Failed to connect"})),
        (url("http://lost:8080/"), json!({"error": "curl: (28) timed out"})),
        (url("http://deaf:8080/"), json!({"error": "curl: (7) refused"})),
        (url("http://shared:8080/"), json!({"error": "curl: (7) refused"})),
        (url("http://nobody/"), json!({"error": "curl: (6) Could not resolve host: nobody"})),
        (Probe::Http { from: web(), request: Request { url: "http://localhost/list".into(), times: 1, ..Request::default() } }, json!({"status": 404, "headers": {}, "body": "", "answers": []})),
        (url("http://127.0.0.1:81/"), json!({"status": 404, "headers": {}, "body": "Not here", "answers": []})),
        (url("http://page/"), json!({"status": 404, "headers": {"x-cache": "MISS"}, "body": "Not here", "answers": []})),
        (Probe::Exec { target: web(), command: vec!["ls".into()] }, json!({"exit": 2, "stdout": "", "text": ""})),
        (Probe::Env { target: web() }, json!({"env": {"A": "1"}})),
        (Probe::File { target: web(), path: "/etc/a".into() }, json!({"kind": "file", "mode": "0644", "text": "x", "entries": [], "link": ""})),
        (Probe::File { target: Target::Workstation, path: "/home/learner/b".into() }, json!({"kind": null, "text": null, "entries": []})),
        (Probe::Log { namespace: "default".into(), pod: "web".into(), container: None, previous: false, tail: None, since: None }, json!({"text": "a\n"})),
        (Probe::Dns { from: Target::Workstation, name: "numbers-api".into() }, json!({"found": false, "addresses": [], "cnames": []})),
        (Probe::Tcp { from: Target::Workstation, host: "web".into(), port: "90".into() }, json!({"open": false})),
        (Probe::Traffic { from: Target::Workstation, url: "http://t/".into(), every: 500, window: 60_000 }, json!({"answers": 38, "failures": 2, "last": "refused"})),
    ])
}

/// A check of which only the evidence is written, or that and its names.
fn check(yaml: &str) -> Check {
    let mut written: serde_yaml::Value = serde_yaml::from_str(yaml).unwrap();
    if written.get("expect").is_none() {
        let mut whole: serde_yaml::Value = serde_yaml::from_str("{}").unwrap();
        whole["expect"] = written;
        written = whole;
    }
    written["id"] = "a".into();
    written["say"] = "b".into();
    serde_yaml::from_value(written).unwrap()
}

#[test]
fn what_a_red_check_says() {
    use Reason::{
        Absent, ClaimPending, ConfigMissing, CrashLoop, DnsMissing, ImageTypo, KeyMissing, Misnamed, MountHidden, NoEndpoints, NotOwned, NotScheduled, NotTried, NotYet, OomKilled,
        Orphaned, PortMismatch, SelectorMismatch, StalePod, WrongNamespace, WrongValue,
    };
    let cases: &[(&str, Reason, &str)] = &[
        // Missing, with and without something close.
        ("{object: {kind: Secret, name: token}}", Absent, "There is no Secret `token` yet."),
        ("{object: {kind: Pod, name: wep}}", Misnamed, "There is Pod `web`, but the name should be `wep`."),
        ("{all: [{object: {kind: Pod, name: web}}, {object: {kind: Pod, name: wep}}]}", Absent, "There is no Pod `wep` yet."),
        ("{object: {kind: Pod, name: old-wep}}", Absent, "There is no Pod `old-wep` yet. Pod `old-web` has a similar name; it is from before this exercise."),
        ("{object: {kind: Pod, name: far}}", WrongNamespace, "Pod `far` is in namespace `other`; it should be in `default`."),
        ("{object: {kind: Pod, labels: {app: mine}}}", WrongNamespace, "Pod `mine` is in namespace `kube-system`; it should be in `default`."),
        ("{object: {kind: Pod, labels: {app: its-own}}}", SelectorMismatch, "No Pod has the label `app=its-own`; Pod `web` has `app=web`."),
        ("{object: {kind: Pod, labels: {app: front}, name: web}}", SelectorMismatch, "No Pod has the label `app=front`; Pod `web` has `app=web`."),
        ("{object: {kind: Pod, name: web, ownedBy: {kind: Deployment, name: before}}}", Orphaned, "Pod `web` belongs to nobody; it should belong to Deployment `before`."),
        ("{object: {kind: Pod, name: web-1-a, ownedBy: {kind: StatefulSet}}}", NotOwned, "Pod `web-1-a` belongs to ReplicaSet `web-1`; it should belong to a StatefulSet."),
        // What is from before is no near miss.
        ("{object: {kind: StatefulSet}, where: spec.replicas == 2}", Absent, "There is no StatefulSet yet."),
        // There, but not as it should be.
        ("{object: {kind: Deployment, name: web}, where: status.availableReplicas == 2}", NotYet, "Deployment `web` is there, but 1 of its Pods is available; it should be 2."),
        ("{object: {kind: Deployment, name: before}, where: status.readyReplicas >= 1}", NotYet, "Deployment `before` is there, but none of its Pods is ready; it should be at least 1."),
        ("{object: {kind: Deployment, name: web}, where: spec.replicas == 3}", WrongValue, "Deployment `web` is there, but it asks for 2 Pods; it should be 3."),
        ("{object: {kind: Pod, name: standing}, where: 'status.conditions.exists(c, c.type == \"Ready\" && c.status == \"True\")'}", NotYet, "Pod `standing` is there, but it is not ready yet."),
        ("{object: {kind: Pod, name: web}, where: '!has(metadata.uid)'}", WrongValue, "Pod `web` is there, but `metadata.uid` is set, and it should not be."),
        ("{object: {kind: Pod, name: web-1-a}, where: '!has(metadata.ownerReferences)'}", NotOwned, "Pod `web-1-a` is there, but it belongs to ReplicaSet `web-1`, and nobody should own it."),
        ("{object: {kind: Pod, name: web}, where: 'has(metadata.ownerReferences)'}", NotOwned, "Pod `web` is there, but nobody owns it."),
        ("{object: {kind: Pod, name: web}, where: 'metadata.labels.app == \"api\"'}", WrongValue, "Pod `web` is there, but its label `app` is `web`; it should be `api`."),
        ("{object: {kind: Pod, name: web}, where: 'metadata.labels.tier == \"api\"'}", WrongValue, "Pod `web` is there, but it has no label `tier`; it should be `api`."),
        ("{object: {kind: Pod, name: web}, where: 'status.containerStatuses[0].restartCount >= 3'}", NotYet, "Pod `web` is there, but its container was started anew once; it should be at least 3 times."),
        ("{object: {kind: Pod, name: web}, where: 'spec.containers.exists(c, c.image.startsWith(\"kiamol/\"))'}", WrongValue, "Pod `web` is there, but there is no container whose `image` begins with `kiamol/`."),
        ("{object: {kind: Pod, name: web}, where: 'spec.nodeSelector != null'}", WrongValue, "Pod `web` is there, but `spec.nodeSelector` is not set yet."),
        ("{object: {kind: Pod, name: standing}, where: 'metadata.uid != was.metadata.uid'}", StalePod, "Pod `standing` is there, but it is still the Pod that was there before; a new one is wanted."),
        ("{object: {kind: Pod, name: standing}, where: 'status.podIP != was.status.podIP'}", NotYet, "Pod `standing` is there, but it still has the address `10.244.0.9`; a new one is wanted."),
        ("{object: {kind: Service, name: empty}, where: 'spec.type == \"NodePort\"'}", NoEndpoints, "None of the Pods behind Service `empty` is ready, so it has nowhere to send a request."),
        ("{list: {kind: ReplicaSet}, where: items.size() == 3}", WrongValue, "There are 2 ReplicaSets; it should be 3."),
        ("{list: {kind: ReplicaSet}, where: items.size() == 0}", WrongValue, "There are 2 ReplicaSets; none should be left."),
        ("{list: {kind: Pod, labels: {app: web}}, where: items.size() == 2}", WrongValue, "Of Pods with the label `app=web`, there is 1 Pod; it should be 2."),
        ("{list: {kind: Deployment}, where: 'items.exists(d, d.metadata.name == \"api\")'}", WrongValue, "There is no Deployment called `api`."),
        ("{object: {kind: Pod, name: standing}, where: 'status.podIP != bare.status.podIP'}", NotYet, "Pod `standing` is there, but it is not known what `status.podIP` was when this exercise began."),
        ("{object: {kind: Pod, name: web-1-a}, where: 'status.phase != status.reason'}", NotYet, "Pod `web-1-a` is there, but `status.reason` is not set yet."),
        // Of what may be so or so, one is said.
        ("{object: {kind: Node, name: node-1}, where: '!has(spec.unschedulable) || spec.unschedulable == false'}", WrongValue, "Node `node-1` is there, but `spec.unschedulable` is true; it should be false."),
        ("{object: {kind: Deployment, name: adminer-web}, where: 'spec.replicas == 1 && (has(spec.paused) || spec.strategy.type == \"Recreate\")'}", WrongValue, "Deployment `adminer-web` is there, but `spec.strategy.type` is not set; it should be `Recreate`."),
        ("{object: {kind: Deployment, name: adminer-web}, where: '!(spec.replicas == 1 && !has(spec.paused))'}", WrongValue, "Deployment `adminer-web` is there, but it asks for 1 Pod; it should be a number other than 1."),
        ("{object: {kind: Deployment, name: adminer-web}, where: '(spec.template.spec.containers[0].env.exists(e, e.name == \"A\" && has(e.valueFrom.secretKeyRef)) || spec.template.spec.containers[0].envFrom.exists(f, f.secretRef.name == \"s\"))'}", WrongValue, "Deployment `adminer-web` is there, but there is no variable called `A` whose `valueFrom.secretKeyRef` is set."),
        ("{object: {kind: Pod, name: web}, where: 'spec.containers.exists(c, c.image.endsWith(\"/a\") || c.image.contains(\"/a:\"))'}", WrongValue, "Pod `web` is there, but there is no container whose `image` ends with `/a` or contains `/a:`."),
        ("{object: {kind: Pod, name: web}, where: 'spec.volumes.exists(v, has(v.emptyDir) || has(v.hostPath))'}", WrongValue, "Pod `web` is there, but there is no volume with an `emptyDir` or with a `hostPath`."),
        ("{list: {kind: Pod}, where: 'items.filter(p, p.status.conditions.exists(c, c.type == \"Ready\" && c.status == \"True\")).size() == 3'}", WrongValue, "There are not 3 Pods that are ready."),
        ("{list: {kind: Pod, labels: {app: web}}, where: 'items.filter(p, p.status.conditions.exists(c, c.type == \"Ready\" && c.status == \"True\")).size() >= 3'}", WrongValue, "Of Pods with the label `app=web`, there is 1 Pod that is ready; it should be at least 3."),
        ("{object: {kind: Pod, name: web}, where: 'spec.containers.size() == 2'}", WrongValue, "Pod `web` is there, but `spec.containers` has 1 entry; it should be 2."),
        ("{object: {kind: Pod, name: web}, where: 'spec.containers.exists(c, c.volumeMounts.exists(m, m.mountPath.matches(\"^/data/?$\") && m.readOnly))'}", WrongValue, "Pod `web` is there, but there is no container with a volume mount whose `mountPath` has something like `/data` and whose `readOnly` is true."),
        // From a file or not.
        ("{object: {kind: Deployment, name: web}, where: 'metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"].matches(\"a\")'}", WrongValue, "Deployment `web` was created by a command; it was not applied from a file."),
        ("{object: {kind: Deployment, name: web}, where: 'metadata.annotations.exists(k, k == \"kubectl.kubernetes.io/last-applied-configuration\")'}", WrongValue, "Deployment `web` was created by a command; it was not applied from a file."),
        ("{object: {kind: Deployment, name: web}, where: 'metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"] != null && spec.replicas == 1'}", WrongValue, "Deployment `web` is there, but it was not applied from a file, and it asks for 2 Pods; it should be 1."),
        ("{object: {kind: Deployment, name: by-file}, where: 'metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"].contains(\"/web\")'}", WrongValue, "Deployment `by-file` is there, but the file it was applied from does not contain `/web`."),
        ("{object: {kind: Deployment, name: by-file}, where: 'metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"] == null'}", WrongValue, "Deployment `by-file` is there, but it was applied from a file, and it should not be."),
        // What is mounted where.
        ("{object: {kind: Deployment, name: cached}, where: 'spec.template.spec.containers[0].volumeMounts.exists(m, m.mountPath.matches(\"^/data(/cache)?/?$\") && spec.template.spec.volumes.exists(v, v.name == m.name && (has(v.persistentVolumeClaim) || has(v.hostPath))))'}", WrongValue, "Deployment `cached` is there, but the volume at `/data/cache` is an `emptyDir`: it ends with its Pod."),
        ("{object: {kind: Deployment, name: cached}, where: 'spec.template.spec.containers[0].volumeMounts.exists(m, m.mountPath == \"/etc/page\" && spec.template.spec.volumes.exists(v, v.name == m.name && has(v.secret)))'}", WrongValue, "Deployment `cached` is there, but the volume at `/etc/page` is a `configMap`; it should be one with a `secret`."),
        ("{object: {kind: Deployment, name: cached}, where: 'spec.template.spec.containers[0].volumeMounts.exists(m, m.mountPath == \"/lost\" && spec.template.spec.volumes.exists(v, v.name == m.name && has(v.secret)))'}", WrongValue, "Deployment `cached` is there, but there is no volume for what is mounted at `/lost`."),
        ("{object: {kind: Deployment, name: cached}, where: 'spec.template.spec.containers[0].volumeMounts.exists(m, m.mountPath.matches(\"^/var/?$\") && spec.template.spec.volumes.exists(v, v.name == m.name && has(v.secret)))'}", WrongValue, "Deployment `cached` is there, but no volume is mounted at a path like `/var`."),
        ("{object: {kind: Deployment, name: cached}, where: 'spec.template.spec.containers[0].volumeMounts.exists(m, m.mountPath == \"/data/cache\" && m.readOnly && spec.template.spec.volumes.exists(v, v.name == m.name && has(v.emptyDir)))'}", WrongValue, "Deployment `cached` is there, but there is no volume mount whose `mountPath` is `/data/cache` and whose `readOnly` is true."),
        ("{http: {url: 'http://page/', where: 'body.matches(\"Here +it is: [0-9]+\")'}}", WrongValue, "`http://page/` answers, but the page has nothing like `Here it is: …`."),
        ("{http: {from: {pod: {labels: {tier: nobody}}}, url: 'http://web/'}}", SelectorMismatch, "No Pod has the label `tier=nobody`; Pod `crash` has no label `tier`."),
        ("{http: {url: 'http://page/', where: 'body.matches(\"^[0-9]{3,}\")'}}", WrongValue, "`http://page/` answers, but the page has no number."),
        ("{object: {kind: Endpoints, name: webs}}", Absent, "There is no Service `webs` yet, so nobody keeps a list of its Pods."),
        // Of the labels, those in question.
        ("{object: {kind: Node, labels: {kiamol: ch05}}}", SelectorMismatch, "No Node has the label `kiamol=ch05`; Node `node-1` has `kiamol=ch5`."),
        ("{object: {kind: Node, labels: {kiamoll: ch5}}}", SelectorMismatch, "No Node has the label `kiamoll=ch5`; Node `node-1` has `kiamol=ch5`."),
        ("{object: {kind: Node, labels: {disk: ssd}}}", SelectorMismatch, "No Node has the label `disk=ssd`; Node `node-1` has no label `disk`."),
        // What a name stands for is not there yet.
        ("{let: {pod: {object: {kind: Pod, labels: {app: numbers-api}}}}, expect: {http: {url: 'http://${pod.status.podIP}/'}}}", NotYet, "This waits for a Pod with the label `app=numbers-api`, and there is none yet."),
        ("{let: {svc: {object: {kind: Service, name: numbers-api}, at: baseline}}, expect: {http: {url: 'http://${svc.spec.clusterIP}/'}}}", NotYet, "This waits for Service `numbers-api`, and it is not there yet."),
        ("{let: {set: {list: {kind: StatefulSet}, value: 'items[0].metadata.name'}}, expect: {http: {url: 'http://${set}/'}}}", NotYet, "This waits for a StatefulSet, and there is none yet."),
        ("{let: {ip: {object: {kind: Pod, name: web-1-a}, value: status.podIP}}, expect: {http: {url: 'http://${ip}/'}}}", NotYet, "This waits for `status.podIP` of Pod `web-1-a`, which is not set yet."),
        ("{let: {pod: {object: {kind: Pod, name: web-1-a}}}, expect: {http: {url: 'http://${pod.status.podIP}/'}}}", NotYet, "This waits for `status.podIP` of Pod `web-1-a`, which is not set yet."),
        ("{http: {url: 'http://${first}/'}}", NotYet, "This waits for something that an earlier exercise finds out."),
        // Troubles.
        ("{object: {kind: Pod, name: typo}, where: 'status.phase == \"Running\"'}", ImageTypo, "Pod `typo` cannot start: there is no image `kiamol/ch02-hello-kiamo`."),
        ("{object: {kind: Pod, name: crash}, where: 'status.phase == \"Running\"'}", CrashLoop, "Pod `crash` starts and ends again and again; its container last ended with exit code 3."),
        ("{object: {kind: Pod, name: hidden}, where: 'status.phase == \"Running\"'}", MountHidden, "Pod `hidden` starts and ends again and again: its volume at `/app` hides what the image has there."),
        ("{object: {kind: Pod, name: hidden-by-claim}, where: 'status.phase == \"Running\"'}", MountHidden, "Pod `hidden-by-claim` starts and ends again and again: its volume at `/app` hides what the image has there."),
        ("{object: {kind: Pod, name: oom}, where: 'status.phase == \"Running\"'}", OomKilled, "A container of Pod `oom` was killed because it used more memory than its limit."),
        ("{object: {kind: Pod, name: no-config}, where: 'status.phase == \"Running\"'}", ConfigMissing, "Pod `no-config` cannot start: there is no ConfigMap `settings`."),
        ("{object: {kind: Pod, name: no-key}, where: 'status.phase == \"Running\"'}", KeyMissing, "Pod `no-key` cannot start: the ConfigMap it names has no key `section`."),
        ("{object: {kind: Pod, name: no-node}, where: 'status.phase == \"Running\"'}", NotScheduled, "No node takes Pod `no-node`: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."),
        ("{object: {kind: Pod, name: no-volume}, where: 'status.phase == \"Running\"'}", ClaimPending, "Claim `data` has no volume yet."),
        ("{object: {kind: Endpoints, name: lost}, where: 'object.subsets.exists(s, s.addresses.size() > 0)'}", SelectorMismatch, "Service `lost` looks for Pods with `app=webb`, and no Pod has that."),
        ("{object: {kind: Endpoints, name: both}, where: 'object.subsets.all(s, s.addresses.size() == 0)'}", SelectorMismatch, "Service `both` looks for Pods with `app=web` and sends requests to `web`: not the Pods that are wanted."),
        ("{object: {kind: DaemonSet, name: nowhere}, where: status.desiredNumberScheduled >= 1}", NotScheduled, "DaemonSet `nowhere` wants nodes with `disk=fast`, and no node has that."),
        // What must be gone.
        ("{gone: {kind: Pod, name: web}}", NotTried, "Pod `web` is still there."),
        ("{gone: {kind: Pod, name: never}}", NotTried, "There was no Pod `never` to delete since this exercise began."),
        ("{not: {object: {kind: Pod, name: web}}}", NotYet, "Pod `web` is still there, and it should not be."),
        ("{not: {object: {kind: Deployment, name: web}, where: spec.replicas == 2}}", NotYet, "Deployment `web` is as it should not be: `spec.replicas` is 2."),
        ("{not: {object: {kind: Deployment, name: adminer-web}, where: 'spec.template.spec.containers[0].env.exists(e, e.name == \"ADMINER_DEFAULT_SERVER\" && has(e.value))'}}", NotYet, "Deployment `adminer-web` still has a variable called `ADMINER_DEFAULT_SERVER` with a `value`."),
        ("{not: {log: {pod: {name: web}, matches: a}}}", WrongValue, "The log of Pod `web` has a line like `a`, and it should have none."),
        ("{not: {http: {url: 'http://page/', where: status == 404}}}", WrongValue, "`http://page/` answers, and it should not answer that way."),
        // What happened.
        ("{history: {kind: Pod, where: 'type == \"DELETED\"'}}", NotTried, "No Pod has been deleted since this exercise began."),
        ("{history: {kind: Pod, name: web, where: 'old.status.phase == \"Pending\"'}}", NotTried, "This has not happened since the exercise began."),
        ("{history: {kind: Deployment, where: 'type == \"ADDED\"', count: '>= 2'}}", NotYet, "This has happened once since the exercise began; it should happen at least 2 times."),
        ("{history: {kind: Endpoints, name: both, where: 'type == \"ADDED\"', count: '== 0'}}", NoEndpoints, "There was a moment when no Pod was behind Service `both`."),
        ("{saw: {tool: kubectl, matches: scale}}", NotTried, "No `kubectl` command of yours has done this yet."),
        ("{saw: {matches: get pod, exit: 0}}", WrongValue, "You ran `kubectl get pod nope`, but it failed (exit code 1)."),
        ("{saw: {matches: describe, output: Ready}}", WrongValue, "You ran `kubectl describe pod web`, but it did not print what is looked for."),
        ("{saw: {matches: wait, exit: 0}}", NotYet, "`kubectl wait pod web` is still running."),
        ("{read: {resource: endpoints}}", NotTried, "You have not looked at `endpoints` yet."),
        ("{stream: {verb: log, pod: {name: web}}}", NotTried, "You have not read the log of Pod `web` yet."),
        ("{stream: {verb: log, pod: {labels: {app: api}}}}", NotTried, "You have not read the log of a Pod with the label `app=api` yet."),
        ("{stream: {verb: portforward, pod: {name: web}, where: status.connections > 0}}", NotYet, "You forwarded a port (Pod `web`), but nothing has gone through it yet."),
        ("{stream: {verb: exec, pod: {name: web}, where: spec.tty}}", NotYet, "You ran a command (Pod `web`), but it was opened without a terminal (the `t` of `-it`)."),
        ("{stream: {verb: exec, pod: {name: web}, where: has(status.closed)}}", NotYet, "You ran a command (Pod `web`), but it is still open."),
        ("{stream: {verb: exec, pod: {name: web}, where: status.closed != null}}", NotYet, "You ran a command (Pod `web`), but it is still open."),
        ("{container: {id: nine}}", Absent, "There is no such container on a node."),
        // Probes.
        ("{http: {url: 'http://localhost:8088/'}}", PortMismatch, "Nothing answers at `http://localhost:8088/`."),
        ("{http: {url: 'http://localhost:8080/'}}", NoEndpoints, "None of the Pods behind Service `empty` is ready, so it has nowhere to send a request."),
        ("{http: {url: 'http://lost:8080/'}}", SelectorMismatch, "Service `lost` looks for Pods with `app=webb`, and no Pod has that."),
        ("{http: {url: 'http://deaf:8080/'}}", PortMismatch, "Service `deaf` sends requests to port `81` of its Pods; their containers listen on 80."),
        ("{http: {url: 'http://shared:8080/'}}", NoEndpoints, "Service `shared` sends a part of its requests to `10.244.0.77`, which is no Pod's address: EndpointSlice `by-hand` says so, and somebody wrote it by hand."),
        ("{http: {url: 'http://nobody/'}}", DnsMissing, "Nobody is called `nobody`: the name is not known."),
        ("{http: {url: 'http://page/', where: status == 200}}", WrongValue, "`http://page/` answers, but it answered with status 404; it should be 200."),
        ("{http: {url: 'http://page/', where: 'body.contains(\"Hello\")'}}", WrongValue, "`http://page/` answers, but the page does not contain `Hello`."),
        ("{http: {url: 'http://page/', where: 'headers[\"x-cache\"] == \"HIT\"'}}", WrongValue, "`http://page/` answers, but the header `x-cache` is `MISS`; it should be `HIT`."),
        ("{http: {url: 'http://unasked/'}}", NotYet, "Nothing answers to the name `unasked` yet."),
        ("{http: {url: 'http://localhost:9999/'}}", NotYet, "It is not known yet what answers at `http://localhost:9999/`."),
        ("{http: {url: 'http://both:9999/'}}", NotYet, "It is not known yet what answers at `http://both:9999/`."),
        ("{dns: {name: unasked}}", NotYet, "It is not known yet where the name `unasked` leads."),
        ("{exec: {pod: {name: web}, command: [id]}}", NotYet, "It is not known yet what `id` does in Pod `web`."),
        ("{env: {pod: {name: web-1-a}, where: 'env.A == \"2\"'}}", NotYet, "It is not known yet which variables Pod `web-1-a` has."),
        ("{file: {path: unasked}}", NotYet, "It is not known yet what is in `unasked`."),
        ("{log: {pod: {name: standing}, matches: a}}", NotYet, "It is not known yet what is in the log of Pod `standing`."),
        ("{tcp: {host: web, port: 90}}", PortMismatch, "Nothing answers at `web:90`."),
        ("{dns: {name: numbers-api}}", DnsMissing, "No Service and no host is called `numbers-api`: the cluster's DNS does not know it."),
        ("{exec: {pod: {name: web}, command: [ls]}}", WrongValue, "`ls` was tried in Pod `web`, but the command ended with exit code 2; it should be 0."),
        ("{env: {pod: {name: web}, where: 'env.A == \"2\"'}}", WrongValue, "In the container of Pod `web`, the variable `A` is `1`; it should be `2`."),
        ("{env: {pod: {name: web}, where: 'env.B == \"2\"'}}", WrongValue, "In the container of Pod `web`, the variable `B` is not set; it should be `2`."),
        ("{file: {pod: {name: web}, path: /etc/a, where: 'mode == \"0400\"'}}", WrongValue, "`/etc/a` is there in Pod `web`, but its mode is `0644`; it should be `0400`."),
        ("{file: {pod: {name: web}, path: /etc/a, gone: true}}", NotYet, "`/etc/a` is still there in Pod `web`."),
        ("{file: {path: b}}", Absent, "There is no `b` yet."),
        ("{file: {pod: {name: web}, path: /etc/a, matches: 'replicas:\\s*3\\b'}}", WrongValue, "`/etc/a` is there in Pod `web`, but nothing in it looks like `replicas: 3`."),
        ("{log: {pod: {name: web}, matches: '(?s)dp=\\d+.* (200|304) +MISS[0-9a-f]{2,}\\.$'}}", NotYet, "The log of Pod `web` has no line like `dp=… 200 MISS….` yet."),
        ("{log: {pod: {name: web}, matches: 'GET / .*Wget'}}", NotYet, "The log of Pod `web` has no line like `GET / …Wget` yet."),
        ("{traffic: {url: 'http://t/'}}", NoEndpoints, "2 of the last 40 requests to `http://t/` had no answer (last: refused)."),
        ("{answer: {ask: given, equals: red}}", WrongValue, "The answer is not `blue`."),
        ("{answer: {ask: open}}", NotTried, "The question above is waiting for your answer."),
    ];
    let (world, probes) = (world(), probes());
    let baseline = Point { revision: BASELINE, ..Point::START };
    let names: Bindings = [
        ("was".to_owned(), (**world.objects("Pod").get(&("default".into(), "standing".into())).unwrap()).clone()),
        ("bare".to_owned(), object("Pod", "bare", 1, json!({}))),
    ].into();
    let mut wrong = Vec::new();
    for (yaml, reason, sentence) in cases {
        let check = check(yaml);
        let library = Library::of([&check]).unwrap();
        let judgement = eval::check(&check, &Facts { world: &world, probes: &probes, baseline, names: &names, library: &library }, &mut Memo::default());
        let why = explain(&check, &judgement, &world, baseline);
        if judgement.outcome == Outcome::Pass || (why.reason, why.sentences[0].as_str()) != (*reason, *sentence) {
            wrong.push(format!("{yaml}\n  wanted {reason:?} {sentence}\n  got    {:?} {} ({:?})", why.reason, why.sentences[0], judgement.outcome));
        }
        for sentence in &why.sentences {
            assert!(sentence.ends_with(['.', '?']) && sentence.matches('`').count() % 2 == 0, "{yaml}: {sentence}");
        }
        for row in &why.evidence {
            let cells = format!("{} {} {}", row.path, row.want, row.got);
            assert!(!cells.contains("{\""), "{yaml}: objects are named, not written out: {cells}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn who_should_ask_is_told() {
    let (world, probes) = (world(), probes());
    let baseline = Point { revision: BASELINE, ..Point::START };
    let cases = [
        ("url: 'http://page/'", "Ask yourself, in a Pod: `curl -i http://page/`."),
        ("url: 'http://localhost/list', from: {pod: {name: web}}", "Ask yourself, in a Pod: `curl -i http://localhost/list`."),
        ("url: 'http://127.0.0.1:81/'", "Ask yourself: `curl -i http://127.0.0.1:81/`."),
    ];
    for (asked, sentence) in cases {
        let check = check(&format!("{{http: {{{asked}, where: status == 200}}}}"));
        let library = Library::of([&check]).unwrap();
        let facts = Facts { world: &world, probes: &probes, baseline, names: &Bindings::new(), library: &library };
        assert_eq!(explain(&check, &eval::check(&check, &facts, &mut Memo::default()), &world, baseline).sentences[1], sentence);
    }
}

#[test]
fn rows_tell_what_does_not_hold() {
    let (world, probes) = (world(), probes());
    let baseline = Point { revision: BASELINE, ..Point::START };
    for (condition, paths) in [
        ("spec.replicas >= 1 && status.availableReplicas == 2", &["status.availableReplicas"][..]),
        ("spec.replicas == 3 && status.availableReplicas == 2", &["spec.replicas", "status.availableReplicas"]),
        ("spec.replicas != 3 && has(spec.replicas) && status.availableReplicas > 1", &["status.availableReplicas"]),
    ] {
        let check = check(&format!("{{object: {{kind: Deployment, name: web}}, where: '{condition}'}}"));
        let library = Library::of([&check]).unwrap();
        let facts = Facts { world: &world, probes: &probes, baseline, names: &Bindings::new(), library: &library };
        let why = explain(&check, &eval::check(&check, &facts, &mut Memo::default()), &world, baseline);
        assert_eq!(why.evidence.iter().map(|row| row.path.as_str()).collect::<Vec<_>>(), paths, "{condition}");
    }
}

/// A proxy behind a load balancer at port 8080, of which one Pod went at second 20, and what was typed: the line, what it printed in all,
/// the Pod it went to, and when it ended.
fn proxied(elsewhere: bool, typed: &[(&str, &str, Option<&str>, Option<u8>)]) -> World {
    let mut world = World::default();
    if elsewhere {
        world.tells_by_commands();
    }
    let selector = json!({"app": "pi-proxy"});
    world.put("Service", object("Service", "pi-proxy", 5, json!({"spec": {"type": "LoadBalancer", "selector": selector, "ports": [{"port": 8080, "targetPort": 80}]}})));
    let pod = |name: &str, revision: u64| {
        let status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        let spec = json!({"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]});
        object("Pod", name, revision, json!({"metadata": {"labels": selector, "ownerReferences": owned_by("ReplicaSet", "pi-proxy")}, "spec": spec, "status": status}))
    };
    world.put("Pod", pod("old", 5));
    let at = |second: u8| json!(format!("2026-01-01T00:00:{second:02}Z"));
    let tell = |world: &mut World, over: bool| {
        for (place, (line, output, to, ended)) in typed.iter().enumerate() {
            let begun = u8::try_from(place).unwrap() + if to.is_some() { 1 } else { 30 };
            let end = if line.ends_with('&') { Some(begun) } else { ended.filter(|_| over) };
            let metadata = json!({"name": format!("command-{place}"), "resourceVersion": "11", "creationTimestamp": at(begun)});
            let status = json!({"startTime": at(begun), "endTime": end.map(at), "exitCode": end.map(|_| 1), "output": output});
            if let (Some(pod), false) = (to, elsewhere) {
                let mut told = json!({"opened": at(begun), "connections": 0, "ports": [80]});
                if let Some(end) = end {
                    told["closed"] = at(end);
                }
                let spec = json!({"verb": "portforward", "namespace": "default", "pod": pod, "ports": [80]});
                world.put_record("streams", json!({"metadata": {"name": format!("stream-{place}"), "resourceVersion": "11", "creationTimestamp": at(begun)}, "spec": spec, "status": told}));
            }
            world.put_record("commands", json!({"metadata": metadata, "spec": {"line": line, "session": "main"}, "status": status}));
        }
    };
    tell(&mut world, false);
    world.put("Pod", pod("new", 12));
    if typed.iter().any(|(.., to, ended)| to.is_some() && *ended == Some(20)) {
        world.remove("Pod", &pod("old", 13));
    }
    tell(&mut world, true);
    world
}

#[test]
fn a_way_that_ended_with_its_pod_is_told() {
    const FORWARD: &str = "kubectl port-forward svc/pi-proxy 8080:8080";
    const SAID: &str = "Forwarding from 127.0.0.1:8080 -> 80\nForwarding from [::1]:8080 -> 80\nHandling connection for 8080\n";
    let lost = format!("{SAID}error: lost connection to pod\n");
    let curl = ("curl -s http://localhost:8080/", "", None, Some(31));
    let ended = [(FORWARD, lost.as_str(), Some("old"), Some(20)), curl];
    let named = [("kubectl port-forward pod/old 8080:80", lost.as_str(), Some("old"), Some(20)), curl];
    let quiet = [("kubectl port-forward svc/pi-proxy 8080:8080 > /dev/null", "", Some("old"), Some(20)), ("curl http://localhost:8080", "x", None, Some(31)), curl];
    let stopped = [(FORWARD, SAID, Some("old"), Some(19)), curl];
    let open = [(FORWARD, SAID, Some("old"), None)];
    let opened_after = [curl, (FORWARD, SAID, None, None)];
    let ended_after = [curl, ("while :; do kubectl port-forward svc/pi-proxy 8080:8080; done", SAID, None, Some(35))];
    let variable = [("kubectl port-forward $POD 8080:http", "", Some("old"), Some(20)), curl];
    let nameless = [("kubectl port-forward $POD 8080:http", lost.as_str(), Some("old"), Some(20)), curl];
    let stale = [("kubectl port-forward svc/pi-proxy 8080:8080 &", "", Some("old"), Some(20)), curl];
    let went = "the port-forward to Pod `old` ended when its Pod went.";
    let again = "Open it again, in another terminal: `kubectl port-forward svc/pi-proxy 8080:8080`.";
    let (away, bring) = ("no load balancer of your own cluster is at `localhost` here.", "Bring Service `pi-proxy` there, in another terminal: `kubectl port-forward svc/pi-proxy 8080:8080`.");
    let page = ("{http: {url: 'http://localhost:8080/'}}", "Nothing answers at `http://localhost:8080/`");
    let log = ("{log: {pod: {labels: {app: pi-proxy}, newest: true}, matches: 'dp=6'}}", "The log of Pod `new` has no line like `dp=6` yet");
    let saw = ("{saw: {matches: ':8080', output: HIT}}", "You ran `curl -s http://localhost:8080/`, but it did not print what is looked for");
    let stream = ("{stream: {verb: portforward, pod: {labels: {app: pi-proxy}}, where: status.connections > 0}}", "You forwarded a port (a Pod with the label `app=pi-proxy`), but nothing has gone through it yet");
    // Whether the cluster is not ours, what was typed, the check and the beginning of its reason, the rest of it, and what to do.
    let cases: &[(bool, &[_], (&str, &str), &str, &str)] = &[
        (false, &ended, page, went, again),
        (true, &ended, page, went, again),
        (false, &ended, log, went, again),
        (true, &ended, log, went, again),
        (false, &ended, saw, went, again),
        (true, &ended, saw, went, again),
        (false, &ended, stream, went, again),
        (false, &named, page, went, "Forward the port to a Pod that is there: `kubectl get pods` lists them."),
        (false, &quiet, page, went, again),
        (false, &variable, page, went, "Forward the port to a Pod that is there: `kubectl get pods` lists them."),
        (true, &nameless, page, "the port-forward lost its connection and ended.", "Open it again, in another terminal: `kubectl port-forward $POD 8080:http`."),
        (true, &stale, page, "the port-forward leads to Pod `old`, which is gone.", again),
        // Whoever ended it knows; and on another cluster there is no other way.
        (false, &stopped, log, "", "Read it: `kubectl logs new`."),
        (true, &stopped, log, away, bring),
        (true, &[curl], log, away, bring),
        (true, &[curl], saw, away, bring),
        (false, &[curl], saw, "", "Read what it printed."),
        // Who opens a way to a port has not asked there.
        (true, &opened_after, saw, "", "Read what it printed."),
        (false, &ended_after, saw, "", "Read what it printed."),
        // A way leads to one Pod.
        (true, &open, log, "your port-forward leads to Pod `old` and to no other.", "Lead it to this one, too: end it, run `kubectl port-forward pod/new 8080:80`, and ask again."),
        (false, &open, log, "", "Read it: `kubectl logs new`."),
    ];
    let probes = BTreeMap::from([
        (Probe::Http { from: Target::Workstation, request: Request { url: "http://localhost:8080/".to_owned(), times: 1, ..Request::default() } }, json!({"error": "curl: (7) Failed to connect"})),
        (Probe::Log { namespace: "default".into(), pod: "new".into(), container: None, previous: false, tail: None, since: None }, json!({"text": "a\n"})),
    ]);
    let mut wrong = Vec::new();
    for (elsewhere, typed, (yaml, begins), because, remedy) in cases {
        let (world, baseline) = (proxied(*elsewhere, typed), Point { revision: BASELINE, ..Point::START });
        let check = check(yaml);
        let library = Library::of([&check]).unwrap();
        let judgement = eval::check(&check, &Facts { world: &world, probes: &probes, baseline, names: &Bindings::new(), library: &library }, &mut Memo::default());
        let why = explain(&check, &judgement, &world, baseline);
        let wanted = if because.is_empty() { format!("{begins}.") } else { format!("{begins}: {because}") };
        if why.sentences[..2] != [wanted.clone(), (*remedy).to_owned()] {
            wrong.push(format!("{elsewhere} {typed:?} {yaml}\n  wanted {wanted} {remedy}\n  got    {}", why.sentences.join(" ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let world = proxied(false, &ended);
    let check = check(stream.0);
    let library = Library::of([&check]).unwrap();
    let facts = Facts { world: &world, probes: &probes, baseline: Point::START, names: &Bindings::new(), library: &library };
    let why = explain(&check, &eval::check(&check, &facts, &mut Memo::default()), &world, Point::START);
    let rows: Vec<_> = why.evidence.iter().map(|row| format!("{}|{}", row.object, row.path)).collect();
    assert_eq!(rows, ["|connections of port-forward to pod/old, 8080:80"]);
}

/// A command of the terminal `main` that began at this second, and ended at once.
fn typed_at(second: u8, line: &str) -> Value {
    let at = format!("2026-01-01T00:00:{second:02}Z");
    json!({
        "metadata": {"name": format!("command-{second}"), "resourceVersion": "11", "creationTimestamp": at},
        "spec": {"line": line, "session": "main"}, "status": {"startTime": at, "endTime": at, "exitCode": 0, "output": ""},
    })
}

#[test]
fn a_pod_that_may_not_be_seen_is_not_called_gone() {
    // The namespace of the Pod, whether Pods may be listed, and whether the Pod was seen; whether it is known to be gone.
    let cases = [("default", true, true, true), ("default", true, false, true), ("default", false, false, false), ("other", true, true, true), ("other", true, false, false)];
    for (namespace, listed, seen, gone) in cases {
        let mut world = World::default();
        world.tells_by_commands();
        let pod = json!({"metadata": {"namespace": namespace}});
        if seen {
            world.put("Pod", object("Pod", "old", 12, pod.clone()));
        }
        world.put_record("commands", typed_at(1, &format!("kubectl -n {namespace} port-forward pod/old 8080:80 &")));
        if seen {
            world.remove("Pod", &object("Pod", "old", 13, pod));
        }
        world.sees("Pod", listed);
        assert_eq!(super::forwards::may_be_open(8080, &world), !gone, "{namespace} {listed} {seen}");
    }
}

#[test]
fn each_way_has_a_stream_of_its_own() {
    // What was typed, and the second of each line; the streams in the order they were opened: second, Pod, the port that was asked.
    type Case<'a> = (&'a [(u8, &'a str)], &'a [(u8, &'a str, Option<u16>)], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        (&[(1, "kubectl port-forward deploy/a 8080:80 & kubectl port-forward deploy/b 8081:80 &")], &[(2, "a-1", None), (3, "b-1", None)], &["a-1, 8080:80", "b-1, 8081:80"]),
        (&[(1, "kubectl port-forward deploy/a 8080:80 & kubectl port-forward deploy/b 8081:80 &")], &[(2, "b-1", None), (3, "a-1", None)], &["b-1, 8081:80", "a-1, 8080:80"]),
        (&[(1, "kubectl port-forward deploy/a 8080:80 &"), (2, "kubectl port-forward deploy/b 8081:80 &")], &[(3, "a-1", None), (4, "b-1", None)], &["a-1, 8080:80", "b-1, 8081:80"]),
        (&[(1, "kubectl port-forward pod/a-1 8080:80 & kubectl port-forward a-1 9090:90 &")], &[(2, "a-1", Some(90)), (2, "a-1", None)], &["a-1, 9090:90", "a-1, 8080:80"]),
        (&[(1, "kubectl port-forward deploy/none 8080:80 &"), (2, "kubectl port-forward deploy/b 8081:80 &")], &[(3, "b-1", None)], &["b-1, 8081:80"]),
        (&[(1, "kubectl port-forward deploy/a 8080:80 &"), (3, "kubectl port-forward b-1 8081:80 &")], &[(4, "b-1", None), (5, "a-1", None)], &["b-1, 8081:80", "a-1, 8080:80"]),
    ];
    for (typed, streams, wanted) in cases {
        let mut world = World::default();
        for name in ["a", "b"] {
            let labels = json!({"app": name});
            world.put("Deployment", object("Deployment", name, 5, json!({"spec": {"selector": {"matchLabels": labels}}})));
            world.put("Pod", object("Pod", &format!("{name}-1"), 5, json!({"metadata": {"labels": labels}})));
        }
        for (second, line) in *typed {
            world.put_record("commands", typed_at(*second, line));
        }
        let records = streams.iter().enumerate().map(|(place, (second, pod, port))| {
            // Each was closed at a moment of its own, by which its name is found.
            let at = |second: usize| format!("2026-01-01T00:00:{second:02}Z");
            let spec = json!({"verb": "portforward", "namespace": "default", "pod": pod});
            let status = json!({"opened": at(usize::from(*second)), "closed": at(30 + place), "ports": port.iter().collect::<Vec<_>>()});
            json!({"metadata": {"name": format!("stream-{place}"), "resourceVersion": "11", "creationTimestamp": at(usize::from(*second))}, "spec": spec, "status": status})
        });
        let records: Vec<Value> = records.collect();
        records.iter().for_each(|record| world.put_record("streams", record.clone()));
        let named: Vec<String> = records.iter().map(|record| super::forwards::name(record, &world)).collect();
        let wanted: Vec<String> = wanted.iter().map(|name| format!("port-forward to pod/{name}")).collect();
        assert_eq!(named, wanted, "{typed:?} {streams:?}");
    }
}

#[test]
fn only_the_way_that_is_meant_is_ended() {
    const TWO: &str = "kubectl port-forward pod/old 8080:80 &\nkubectl port-forward pod/new 9090:80 &";
    // What was typed after two ways were opened, the code it ended with and what it printed: what is closed, what may be open, and what is
    // lost once the Pods are gone, each of 8080 and 9090.
    type Ports = [bool; 2];
    let (neither, both, first, second) = ([false; 2], [true; 2], [true, false], [false, true]);
    let cases: &[(&str, i64, &str, Ports, Ports, Ports)] = &[
        ("true", 0, "", neither, both, both),
        ("kill %1", 0, "", first, second, second),
        ("kill -9 %2", 0, "", second, first, first),
        ("kill 4712", 0, "", second, first, first),
        ("kill 99", 0, "", neither, both, both),
        ("kill $!", 0, "", second, first, first),
        ("kill -0 $!", 0, "", neither, both, both),
        ("kill %+", 0, "", both, first, neither),
        ("kill %?9090", 0, "", second, first, first),
        ("kill %kubectl", 0, "", both, both, neither),
        ("kill $FORWARD", 0, "", both, both, neither),
        ("kill %1", 1, "bash: kill: %1: no such job", first, both, second),
        ("fg %1", 130, "kubectl port-forward pod/old 8080:80\n^C", first, second, second),
        ("fg", 130, "kubectl port-forward pod/new 9090:80\n^C", second, first, first),
        ("fg", 0, "sleep 9", neither, both, both),
        ("fg %2", 148, "", second, both, first),
        ("pkill kubectl", 0, "", both, neither, neither),
        ("pkill -f 'port-forward pod/new'", 0, "", second, first, first),
        ("pkill sleep", 0, "", neither, both, both),
        ("killall -q sleep", 0, "", neither, both, both),
        ("killall kubectl", 0, "", both, neither, neither),
        ("pgrep kubectl | xargs kill", 0, "", both, both, neither),
        // Not every signal ends what it is sent to.
        ("kill -STOP %1", 0, "", neither, both, both),
        ("kill -SIGCONT %1", 0, "", neither, both, both),
        ("kill -s stop %1", 0, "", neither, both, both),
        ("kill -n 19 %1", 0, "", neither, both, both),
        ("kill -s TERM %1", 0, "", first, second, second),
        ("pkill -STOP kubectl", 0, "", neither, both, both),
        ("pkill --signal=0 kubectl", 0, "", neither, both, both),
        ("pkill -n kubectl", 0, "", both, both, neither),
        ("killall -s CONT kubectl", 0, "", neither, both, both),
        ("pgrep kubectl | xargs kill -0", 0, "", neither, both, both),
    ];
    // The same from another terminal, which has jobs of its own.
    let elsewhere: &[(&str, i64, &str, Ports, Ports, Ports)] = &[
        ("kill 4711", 0, "", first, second, second),
        ("kill %1", 0, "", neither, both, both),
        ("kill $!", 0, "", neither, both, both),
        ("kill $(jobs -p)", 0, "", neither, both, both),
        ("kill $(pgrep kubectl)", 0, "", both, both, neither),
        ("kill -9 `lsof -ti:8080`", 0, "", both, both, neither),
        ("kill $(pidof kubectl) 99", 0, "", both, both, neither),
        ("kill $FORWARD", 0, "", both, both, neither),
        ("kill -STOP $(pgrep kubectl)", 0, "", neither, both, both),
    ];
    let mut wrong = Vec::new();
    let here = cases.iter().map(|case| ("main", case));
    for (session, (line, code, output, closed, open, lost)) in here.chain(elsewhere.iter().map(|case| ("another", case))) {
        let mut world = World::default();
        world.tells_by_commands();
        for name in ["old", "new"] {
            world.put("Pod", object("Pod", name, 12, json!({})));
        }
        let mut opened = typed_at(1, TWO);
        opened["status"]["output"] = json!("[1] 4711\n[2] 4712\n");
        world.put_record("commands", opened);
        let mut ends = typed_at(3, line);
        (ends["status"]["exitCode"], ends["status"]["output"]) = (json!(code), json!(output));
        ends["spec"]["session"] = json!(session);
        world.put_record("commands", ends);
        let is_closed: Vec<bool> = world.records("streams").map(|stream| stream["status"]["closed"].is_string()).collect();
        let may_be_open = [8080, 9090].map(|port| super::forwards::may_be_open(port, &world));
        for name in ["old", "new"] {
            world.remove("Pod", &object("Pod", name, 13, json!({})));
        }
        let is_lost = [8080, 9090].map(|port| super::forwards::lost_at(port, &world, Point::START).is_some());
        if (is_closed.as_slice(), may_be_open, is_lost) != (closed.as_slice(), *open, *lost) {
            wrong.push(format!("{session} {line}: closed {is_closed:?}, may be open {may_be_open:?}, lost {is_lost:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn streams_have_the_names_of_what_was_typed() {
    let cases = [
        (json!({"verb": "portforward", "pod": "web"}), json!({"ports": [80]}), "port-forward to pod/web, port 80"),
        (json!({"verb": "portforward", "pod": "web"}), json!({}), "port-forward to pod/web"),
        (json!({"verb": "exec", "pod": "web", "command": ["sh", "-c", "ls"]}), json!({}), "exec in pod/web: sh -c ls"),
        (json!({"verb": "exec", "pod": "web", "command": []}), json!({}), "exec in pod/web"),
        (json!({"verb": "attach", "pod": "web"}), json!({}), "attach to pod/web"),
        (json!({"verb": "log", "pod": "web"}), json!({}), "logs of pod/web"),
        (json!({"verb": "watch", "pod": "", "resource": "pods"}), json!({}), "watch of pods"),
    ];
    for (spec, status, name) in cases {
        assert_eq!(super::forwards::name(&json!({"spec": spec, "status": status}), &World::default()), name);
    }
}

#[test]
fn what_the_cluster_makes_itself_is_no_near_miss() {
    let mut world = World::default();
    world.put("Service", object("Service", "kubernetes", 11, json!({"spec": {"type": "ClusterIP", "ports": [{"port": 443}]}})));
    world.put("ConfigMap", object("ConfigMap", "kube-root-ca.crt", 11, json!({"data": {"ca.crt": "x"}})));
    world.put("ServiceAccount", object("ServiceAccount", "default", 11, json!({})));
    let class = json!({"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}});
    world.put("StorageClass", object("StorageClass", "standard", 11, class));
    let cases = [
        ("{object: {kind: Service}, where: 'spec.type == \"LoadBalancer\" && spec.ports.exists(p, p.port == 8088)'}", "There is no Service of type LoadBalancer yet."),
        ("{object: {kind: Service, labels: {app: web}}}", "There is no Service with the label `app=web` yet."),
        ("{object: {kind: Service, name: kubernete}}", "There is no Service `kubernete` yet."),
        ("{object: {kind: ConfigMap}, where: has(data.a)}", "There is no ConfigMap yet."),
        ("{object: {kind: ServiceAccount, namespace: web}}", "There is no ServiceAccount in namespace `web` yet."),
        ("{object: {kind: StorageClass}, where: provisioner == 'x'}", "There is no StorageClass yet."),
        ("{object: {kind: Service, name: kubernetes}, where: spec.type == 'NodePort'}", "Service `kubernetes` is there, but `spec.type` is `ClusterIP`; it should be `NodePort`."),
    ];
    for (yaml, sentence) in cases {
        let check = check(yaml);
        let (library, baseline) = (Library::of([&check]).unwrap(), Point { revision: BASELINE, ..Point::START });
        let judgement = eval::check(&check, &Facts { world: &world, probes: &Probes::new(), baseline, names: &Bindings::new(), library: &library }, &mut Memo::default());
        assert_eq!(explain(&check, &judgement, &world, baseline).sentences[0], sentence, "{yaml}");
    }
}

#[test]
fn troubles_have_three_sentences() {
    let (world, probes) = (world(), probes());
    let baseline = Point { revision: BASELINE, ..Point::START };
    for name in ["typo", "crash", "hidden", "oom", "no-config", "no-key", "no-node", "no-volume"] {
        let check: Check = serde_yaml::from_str(&format!("{{id: a, say: b, expect: {{object: {{kind: Pod, name: {name}}}, where: status.phase == 'Running'}}}}")).unwrap();
        let library = Library::of([&check]).unwrap();
        let judgement = eval::check(&check, &Facts { world: &world, probes: &probes, baseline, names: &Bindings::new(), library: &library }, &mut Memo::default());
        let why = explain(&check, &judgement, &world, baseline);
        assert_eq!(why.sentences.len(), 3, "{name}: what, where, what to change: {:?}", why.sentences);
    }
}

#[test]
fn an_image_that_is_not_made_yet_says_how() {
    let (world, probes) = (world(), probes());
    let baseline = Point { revision: BASELINE, ..Point::START };
    let check: Check = serde_yaml::from_str("{id: a, say: b, expect: {object: {kind: Pod, name: unmade}, where: status.phase == 'Running'}}").unwrap();
    let library = Library::of([&check]).unwrap();
    let judgement = eval::check(&check, &Facts { world: &world, probes: &probes, baseline, names: &Bindings::new(), library: &library }, &mut Memo::default());
    let why = explain(&check, &judgement, &world, baseline);
    assert_eq!(why.reason, Reason::ImageMissing);
    assert!(why.sentences[0].ends_with("not on this computer yet. Run `drydock image prefetch lunches` on your own machine, once; the Pod goes on by itself."), "{}", why.sentences[0]);
}

/// What only an author writes.
const RAW: [&str; 13] = ["&&", "||", "` is not true", "that fits", ".exists(", ".size(", ".filter(", ".matches(", "has(", "[.]", ".map(", "size(", " ? "];

/// A condition of which nothing is there says every one of its clauses, in the sentence and in the table.
#[test]
fn no_condition_of_the_books_is_shown_as_it_is_written() {
    let files = drydock_course::source::embedded();
    let mut raw = Vec::new();
    for track in drydock_course::course::Course::tracks(&files).unwrap() {
        let course = drydock_course::course::Course::load(&files, &track).unwrap();
        for chapter in course.chapters() {
            let plan = crate::plan::Plan::of(chapter);
            Library::of(plan.checks().map(|(_, check)| check)).unwrap();
            let sources = plan.checks().flat_map(|(_, check)| check.expect.sources().into_iter().map(move |(source, filter)| (check, source, filter)));
            for (check, source, filter) in sources.filter(|(_, source, _)| source.name() != "history") {
                for filter in [source.filter(), filter].into_iter().flatten() {
                    let clauses = drydock_cel::Expression::parse(filter).unwrap().evaluate(&Bindings::new()).clauses;
                    for clause in crate::clauses::telling(filter, clauses, &Bindings::new()) {
                        let text = super::words::unmet(std::slice::from_ref(&clause), super::words::About { kind: "Pod", object: None });
                        let row = super::rows::row(&clause, super::words::About { kind: "Pod", object: None }, &[]);
                        let row = format!("{} | {} | {}", row.path, row.want, row.got);
                        for said in [text, row] {
                            if RAW.iter().any(|code| said.contains(code)) {
                                raw.push(format!("{}: {filter}\n  {said}", check.id));
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(raw.is_empty(), "{}", raw.join("\n"));
}

#[test]
fn what_was_seen_stands_beside_what_is_wanted() {
    let pods = [json!({"metadata": {"name": "a"}, "status": {"phase": "Running"}}), json!({"metadata": {"name": "b"}, "status": {"phase": "Pending"}}), json!({"metadata": {"name": "c"}})];
    let clause = |text: &str| {
        let expression = drydock_cel::Expression::parse(text).unwrap();
        let template = json!({"mounts": {"volumeMounts": [{"name": "c", "mountPath": "/data"}]}, "volumes": [{"name": "c", "emptyDir": {}}]});
        let names: Bindings = [("spec".to_owned(), template.clone()), ("status".to_owned(), json!({"ready": 1, "owner": object("Endpoints", "web", 1, json!({})), "flat": {"a": 1, "b": "c"}})), ("items".to_owned(), json!(pods)), ("body".to_owned(), json!("hello"))].into();
        let clause = expression.evaluate(&names).clauses.remove(0);
        let pod = json!({"spec": template});
        let evidence = super::rows::row(&clause, super::words::About { kind: "Pod", object: Some(&pod) }, &pods.clone().map(std::sync::Arc::new));
        json!([evidence.path, evidence.want, evidence.got])
    };
    let cases = [
        ("status.ready == 2", json!(["status.ready", 2, 1])),
        ("status.ready >= 2", json!(["status.ready", "at least 2", 1])),
        ("status.closed != null", json!(["status.closed", "set", "not set"])),
        ("has(status.closed)", json!(["status.closed", "set", "not set"])),
        ("status.lines.exists(l, l.name == 'x' && has(l.from))", json!(["status.lines", "a line called x with a from", "none"])),
        ("!has(status.ready)", json!(["status.ready", "not set", "set"])),
        ("items.size() >= 4", json!(["Pods", "at least 4", "3: a, b, c"])),
        ("items.filter(p, p.status.phase == 'Running').size() == 2", json!(["Pods whose status.phase is Running", 2, "1: a"])),
        ("items.filter(p, p.status.phase == 'Failed').size() > 0", json!(["Pods whose status.phase is Failed", "more than 0", 0])),
        ("items.exists(p, p.metadata.name == 'z')", json!(["Pods", "a Pod called z", "none"])),
        // Objects are named, not written out.
        ("status.owner == null", json!(["status.owner", null, "endpoints/web"])),
        ("status.flat == 1", json!(["status.flat", 1, "a: 1, b: c"])),
        ("items == 1", json!(["objects", 1, "a, b, c"])),
        ("spec.mounts.volumeMounts.exists(m, m.mountPath == '/data' && spec.volumes.exists(v, v.name == m.name && has(v.hostPath)))", json!(["volumes", "a volume with a hostPath, at /data", "an emptyDir at /data"])),
        ("spec.annotations['kubectl.kubernetes.io/last-applied-configuration'].matches('image')", json!(["the file it was applied from", "has something like image", "none"])),
        ("body.contains('numbers')", json!(["the page", "contains numbers", "does not contain numbers"])),
        ("!body.matches('h.llo')", json!(["the page", "has nothing like h…llo", "has something like h…llo"])),
    ];
    for (text, expected) in cases {
        assert_eq!(clause(text), expected, "{text}");
    }
}
