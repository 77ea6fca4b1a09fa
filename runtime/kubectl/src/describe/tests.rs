//! Descriptions that stock kubectl 1.32 printed, recorded with the objects they were made from; and what recordings cannot show.

use std::fs;
use std::path::Path;

use jiff::tz::TimeZone;
use serde_json::json;

use super::related::wanted;
use super::*;

#[test]
fn descriptions_equal_those_of_stock_kubectl() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/describe/recorded");
    let mut seen = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let mut related = Related { show_events: true, ..Related::default() };
        for wanted in wanted(&case["object"], true) {
            let found = match &case["related"][wanted.name] {
                Value::Array(items) => Ok(items.clone()),
                other => Err(other.as_str().unwrap_or("not recorded").to_owned()),
            };
            related.found.insert(wanted.name, found);
        }
        let now: Timestamp = case["now"].as_str().unwrap().parse().unwrap();
        let text = case["text"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n");
        assert_eq!(describe(&case["object"], &related, &now.to_zoned(TimeZone::UTC)), text, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 20, "{seen} recordings");
}


fn plainly(object: &Value) -> String {
    describe(object, &Related::default(), &Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC))
}

#[test]
fn a_pod_shows_everything_it_says() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "two": "a\nb"}},
        "spec": {
            "containers": [{
                "name": "c", "image": "i", "command": ["sh", "-c", "one\ntwo"],
                "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 81, "hostPort": 8081, "protocol": "UDP"}],
                "livenessProbe": {"httpGet": {"path": "/a?b", "port": "web", "scheme": "HTTPS"}, "periodSeconds": 10},
                "readinessProbe": {"grpc": {"port": 5, "service": "s"}},
                "env": [
                    {"name": "A", "value": "1\n2"},
                    {"name": "NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                    {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ],
                "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm", "optional": true}}],
                "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": true, "subPath": "x"}],
            }],
            "volumes": [{"name": "v", "hostPath": {"path": "/x"}}, {"name": "u", "unheardOf": {}}],
            "tolerations": [{"operator": "Exists"}, {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3}],
        },
        "status": {"phase": "Running", "qosClass": "BestEffort", "containerStatuses": [{
            "name": "c", "ready": false, "restartCount": 1,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 137, "signal": 9, "reason": "Error", "startedAt": "2026-01-02T03:04:05Z"}},
        }]},
    });
    let text = plainly(&pod);
    for wanted in [
        "Annotations:  two:\n                a\n                b\n",
        "    Ports:         80/TCP, 81/UDP\n    Host Ports:    0/TCP, 8081/UDP\n",
        "      one\n      two\n",
        "      Signal:       9\n",
        "http-get https://:web/a%3Fb delay=0s timeout=0s period=10s #success=0 #failure=0\n",
        "grpc <pod>:5 s delay=0s",
        "    Environment Variables from:\n      cm  ConfigMap with prefix 'P_'  Optional: true\n",
        "      A:     1\n             2\n",
        "      CPU:   node allocatable (limits.cpu)\n",
        "<set to the key 'k' in secret 's'>  Optional: false\n",
        "      /v from v (ro,path=\"x\")\n",
        "    HostPathType:  <none>\n",
        "  u:\n  <unknown>\n",
        "op=Exists\n",
        "a:NoExecute op=Exists for 3s\n",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is not in\n{text}");
    }
    assert!(!text.contains("last-applied"));
}

#[test]
fn custom_objects_are_shown_field_by_field() {
    let object = json!({
        "apiVersion": "zoo.example.com/v1", "kind": "Animal", "metadata": {"name": "leo", "uid": "1"},
        "spec": {"legs": 4, "foodURLs": ["a", "b"], "cages": [{"open": true, "size": 0.25}], "nothing": null, "esc": "\u{1b}[31m"},
    });
    let wanted = "Name:         leo\nNamespace:    \nLabels:       <none>\nAnnotations:  <none>\nAPI Version:  zoo.example.com/v1\nKind:         Animal\n\
        Metadata:\n  UID:  1\nSpec:\n  Cages:\n    Open:  true\n    Size:  0.25\n  Esc:     ^[[31m\n  Food UR Ls:\n    a\n    b\n  Legs:     4\n  Nothing:  <nil>\n";
    assert_eq!(plainly(&object), wanted);
}

#[test]
fn events_are_asked_for_by_what_they_are_about() {
    let asked = |object: Value| wanted(&object, true).into_iter().map(|wanted| (wanted.name, wanted.path, wanted.query.first().map(|(_, value)| value.clone()).unwrap_or_default())).collect::<Vec<_>>();
    let pod = asked(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "u"}}));
    assert_eq!(pod, [("events", "/api/v1/namespaces/n/events".to_owned(), "involvedObject.name=p,involvedObject.namespace=n,involvedObject.uid=u".to_owned())]);
    let node = asked(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one", "uid": "u"}}));
    assert!(node.iter().any(|(name, path, query)| *name == "events of kubelet" && path == "/api/v1/events" && query.ends_with("involvedObject.uid=one")), "{node:?}");
}
