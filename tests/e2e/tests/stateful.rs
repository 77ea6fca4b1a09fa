//! A StatefulSet as a reader tries it: names, claims and addresses that stay.

use drydock_kit::{Drydock, PATIENCE, eventually};

const DATABASE: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: kiamol/ch03-sleep, volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Mi}}}
"#;

#[test]
fn a_stateful_set_keeps_names_files_and_addresses() {
    let drydock = Drydock::cluster(2);
    drydock.apply(DATABASE).ok();
    let rolled = |what: &str| {
        let ran = drydock.kubectl(&["rollout", "status", "statefulset/db", "--timeout=60s"]);
        assert!(ran.status.success(), "{what}: {}{}{}", ran.stderr, drydock.kubectl(&["describe", "statefulset", "db"]).stdout, drydock.log());
    };
    rolled("two Pods");
    assert_eq!(drydock.kubectl(&["get", "pods", "-o", "name"]).ok(), "pod/db-0\npod/db-1\n");
    assert_eq!(drydock.kubectl(&["get", "pvc", "-o", "name"]).ok(), "persistentvolumeclaim/data-db-0\npersistentvolumeclaim/data-db-1\n");
    drydock.kubectl(&["exec", "db-1", "--", "sh", "-c", "hostname > /data/who"]).ok();
    let address = drydock.get(&["pod", "db-1"])["status"]["podIP"].as_str().unwrap().to_owned();
    let found = drydock.kubectl(&["exec", "db-0", "--", "nslookup", "db-1.db.default.svc.cluster.local"]).ok();
    assert!(found.contains(&address), "{address}: {found}");
    let first = drydock.get(&["pod", "db-1"])["metadata"]["uid"].clone();
    // Stock kubectl 1.32 waits for ever when the next Pod of the name is there before it has listed: it compares the uid only once, before.
    drydock.kubectl(&["delete", "pod", "db-1", "--wait=false"]).ok();
    eventually(PATIENCE, || {
        let ran = drydock.kubectl(&["get", "pod", "db-1", "-o", "json"]);
        let pod: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        let ready = pod["status"]["conditions"].as_array().into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        if ready && pod["metadata"]["uid"] != first { Ok(()) } else { Err(format!("{pod}{}", ran.stderr)) }
    });
    assert_eq!(drydock.kubectl(&["exec", "db-1", "--", "cat", "/data/who"]).ok(), "db-1\n");
    drydock.kubectl(&["set", "env", "statefulset/db", "VERSION=2"]).ok();
    rolled("a new template");
    drydock.kubectl(&["scale", "statefulset", "db", "--replicas=1"]).ok();
    drydock.kubectl(&["wait", "--for=delete", "pod/db-1", "--timeout=60s"]).ok();
    // Once for the new template, once more for the scale.
    eventually(PATIENCE, || {
        let events = drydock.get(&["events"]);
        let told = events["items"].as_array().unwrap().iter().filter(|event| event["message"] == "delete Pod db-1 in StatefulSet db successful");
        if told.filter_map(|event| event["count"].as_u64()).sum::<u64>() == 2 { Ok(()) } else { Err(events.to_string()) }
    });
    let described = drydock.kubectl(&["describe", "statefulset", "db"]).ok();
    assert!(described.contains("delete Pod db-1 in StatefulSet db successful"), "{described}");
    assert_eq!(drydock.kubectl(&["get", "pvc", "-o", "name"]).ok().lines().count(), 2, "what it wrote is kept");
}
