//! The stock kubectl against the server: the commands of the chapter, in tables.

use anyhow::Result;
use drydock_test_api::Cluster;
use serde_json::json;

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: hello
  labels:
    kiamol: ch02
spec:
  selector:
    matchLabels:
      app: hello
  template:
    metadata:
      labels:
        app: hello
    spec:
      containers:
        - name: web
          image: kiamol/ch02-hello-kiamol
";

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: hello-2
  labels:
    app: hello
spec:
  containers:
    - name: web
      image: kiamol/ch02-hello-kiamol
";

/// A command, its exit code, and what its output (stdout when it succeeds, both when it fails) must contain.
struct Case(&'static str, i32, &'static [&'static str]);

async fn check(cluster: &Cluster, cases: &[Case]) -> Result<()> {
    for Case(line, code, expected) in cases {
        let ran = cluster.kubectl(line).await?;
        assert_eq!(ran.code, *code, "{}\nstdout: {}\nstderr: {}", ran.line, ran.stdout, ran.stderr);
        let output = if *code == 0 { ran.stdout.clone() } else { format!("{}{}", ran.stdout, ran.stderr) };
        for words in *expected {
            assert!(output.contains(words), "{}: no {words:?} in\n{output}\nstderr: {}", ran.line, ran.stderr);
        }
    }
    Ok(())
}

#[tokio::test]
async fn reading() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.run_pod("web", json!({"app": "web"})).await?;
    check(
        &cluster,
        &[
            Case("get pods", 0, &["NAME", "READY", "STATUS", "RESTARTS", "AGE", "web", "1/1", "Running"]),
            Case("get pod web -o wide", 0, &["IP", "10.244.1.7", "NODE", "node-1"]),
            Case("get pods --show-labels", 0, &["LABELS", "app=web"]),
            Case("get pods -l app=web -o name", 0, &["pod/web"]),
            Case("get pods -A", 0, &["NAMESPACE", "default"]),
            Case("get pod web -o yaml", 0, &["kind: Pod", "podIP: 10.244.1.7"]),
            Case("get pod web -o json", 0, &["\"kind\": \"Pod\""]),
            Case("get pod web -o jsonpath={.status.podIP}", 0, &["10.244.1.7"]),
            Case("get pods -o custom-columns=NAME:metadata.name,POD_IP:status.podIP", 0, &["NAME", "POD_IP", "10.244.1.7"]),
            Case("get pods --field-selector status.phase=Pending", 0, &[]),
            Case("get pods,deploy,svc,rs,cm,secret,sa,ep,endpointslices,events,leases,nodes,ns -A", 0, &["pod/web", "node/node-1", "namespace/default"]),
            Case("get nodes", 0, &["node-1", "Ready"]),
            Case("get all", 0, &["pod/web"]),
            Case("get pod absent", 1, &["Error from server (NotFound): pods \"absent\" not found"]),
            Case("get nonsense", 1, &["the server doesn't have a resource type \"nonsense\""]),
            Case("describe pod web", 0, &["Name:             web", "Node:             node-1", "Containers:", "kiamol/ch02-hello-kiamol", "Events:"]),
            Case("describe node node-1", 0, &["Name:", "Non-terminated Pods:"]),
            Case("describe ns default", 0, &["Status:", "Active"]),
            Case("explain pods", 0, &["KIND:       Pod", "VERSION:    v1", "FIELDS:", "spec"]),
            Case("explain deploy.spec.replicas", 0, &["GROUP:      apps", "FIELD: replicas <integer>"]),
            Case("explain pod.spec.containers.image", 0, &["FIELD: image <string>"]),
            Case("explain deploy.spec.replicas --output plaintext-openapiv2", 0, &["FIELD:    replicas <integer>"]),
            Case("api-resources", 0, &["pods", "po", "deployments", "apps/v1", "endpointslices"]),
            Case("api-resources --namespaced=false -o name", 0, &["nodes", "namespaces"]),
            Case("api-versions", 0, &["apps/v1", "coordination.k8s.io/v1", "discovery.k8s.io/v1", "events.k8s.io/v1", "v1"]),
            Case("version", 0, &["Server Version: v1.32"]),
            Case("cluster-info", 0, &["Kubernetes control plane", "127.0.0.1"]),
            Case("auth can-i delete pods", 0, &["yes"]),
            Case("auth whoami", 0, &["learner", "system:masters"]),
            Case("get --raw /readyz", 0, &["ok"]),
            Case("get pods --chunk-size=1", 0, &["web"]),
            Case("wait --for=condition=Ready pod web", 0, &["pod/web condition met"]),
            Case("wait --for=jsonpath={.status.phase}=Running pod -l app=web", 0, &["pod/web condition met"]),
        ],
    )
    .await
}

#[tokio::test]
async fn writing() -> Result<()> {
    let cluster = Cluster::start().await?;
    std::fs::create_dir(cluster.kubectl.path("manifests"))?;
    std::fs::write(cluster.kubectl.path("manifests/deployment.yaml"), DEPLOYMENT)?;
    std::fs::write(cluster.kubectl.path("manifests/pod.yaml"), POD)?;
    std::fs::write(cluster.kubectl.path("changed.yaml"), DEPLOYMENT.replace("kiamol: ch02", "kiamol: ch02\n    extra: yes-please"))?;
    std::fs::write(cluster.kubectl.path("broken.yaml"), "apiVersion: v1\nkind: Pod\n  metadata: x\n")?;
    std::fs::write(cluster.kubectl.path("unknown.yaml"), POD.replace("labels:", "lables:"))?;
    std::fs::write(cluster.kubectl.path("wrong.yaml"), POD.replace("kind: Pod", "kind: Pud"))?;
    check(
        &cluster,
        &[
            Case("run hello --image=kiamol/ch02-hello-kiamol --restart=Never", 0, &["pod/hello created"]),
            Case("run hello --image=kiamol/ch02-hello-kiamol", 1, &["Error from server (AlreadyExists): pods \"hello\" already exists"]),
            Case("create deployment hello-kiamol-2 --image=kiamol/ch02-hello-kiamol", 0, &["deployment.apps/hello-kiamol-2 created"]),
            Case("get deploy hello-kiamol-2 -o jsonpath={.spec.template.metadata.labels}", 0, &["{\"app\":\"hello-kiamol-2\"}"]),
            Case("apply -f manifests", 0, &["deployment.apps/hello created", "pod/hello-2 created"]),
            Case("apply -f manifests/deployment.yaml", 0, &["deployment.apps/hello unchanged"]),
            Case("apply -f changed.yaml", 0, &["deployment.apps/hello configured"]),
            Case("diff -f manifests/deployment.yaml", 1, &["-    extra: yes-please"]),
            Case("apply -f manifests/deployment.yaml", 0, &["deployment.apps/hello configured"]),
            Case("get deploy hello -o jsonpath={.metadata.labels}", 0, &["{\"kiamol\":\"ch02\"}"]),
            Case("apply --server-side -f changed.yaml --force-conflicts", 0, &["deployment.apps/hello serverside-applied"]),
            Case("apply -f broken.yaml", 1, &["error parsing broken.yaml"]),
            Case("apply -f unknown.yaml", 1, &["strict decoding error: unknown field \"metadata.lables\""]),
            Case("apply -f wrong.yaml", 1, &["no matches for kind \"Pud\" in version \"v1\""]),
            Case("label pod hello app=x", 0, &["pod/hello labeled"]),
            Case("label pod hello app=y", 1, &["already has a value (x), and --overwrite is false"]),
            Case("label pods -l app=x --overwrite app=hello-x", 0, &["pod/hello labeled"]),
            Case("label pod hello app-", 0, &["pod/hello unlabeled"]),
            Case("annotate pod hello note=seen", 0, &["pod/hello annotated"]),
            Case("scale deploy hello --replicas=3", 0, &["deployment.apps/hello scaled"]),
            Case("set image deploy/hello web=kiamol/ch02-whoami", 0, &["deployment.apps/hello image updated"]),
            Case("patch deploy hello -p '{\"spec\":{\"paused\":true}}'", 0, &["deployment.apps/hello patched"]),
            Case("rollout restart deploy/hello-kiamol-2", 0, &["deployment.apps/hello-kiamol-2 restarted"]),
            Case("expose deploy hello --port=80 --type=NodePort", 0, &["service/hello exposed"]),
            Case("get svc hello", 0, &["NodePort", "80:3"]),
            Case("create configmap settings --from-literal=a=b", 0, &["configmap/settings created"]),
            Case("create secret generic password --from-literal=a=b", 0, &["secret/password created"]),
            Case("create token default", 0, &["ey"]),
            Case("create ns lab", 0, &["namespace/lab created"]),
            Case("create deployment dry --image=nginx --dry-run=server -o name", 0, &["deployment.apps/dry"]),
            Case("get deploy dry", 1, &["NotFound"]),
            Case("replace -f manifests/deployment.yaml", 0, &["deployment.apps/hello replaced"]),
            Case("replace -f manifests/pod.yaml", 1, &["pod updates may not change fields other than"]),
            Case("cordon node-1", 0, &["node/node-1 cordoned"]),
            Case("get nodes", 0, &["Ready,SchedulingDisabled"]),
            Case("uncordon node-1", 0, &["node/node-1 uncordoned"]),
            Case("taint node node-1 a=b:NoSchedule", 0, &["node/node-1 tainted"]),
            Case("delete -f manifests/pod.yaml", 0, &["pod \"hello-2\" deleted"]),
            Case("delete pod hello", 0, &["pod \"hello\" deleted"]),
            Case("delete deploy --all", 0, &["deployment.apps \"hello\" deleted", "deployment.apps \"hello-kiamol-2\" deleted"]),
            Case("delete cm,secret --all", 0, &["configmap \"settings\" deleted", "secret \"password\" deleted"]),
            Case("delete pod absent --ignore-not-found", 0, &[]),
            Case("get all", 0, &["service/hello"]),
        ],
    )
    .await
}

#[tokio::test]
async fn controllers_stand_for_their_pods() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.kubectl("create deployment web --image=nginx").await?.ok()?;
    cluster.run_pod("web-1", json!({"app": "web"})).await?;
    cluster.kubelet.log("web-1", "hello");
    check(
        &cluster,
        &[
            Case("exec deploy/web -- echo in web-1", 0, &["in web-1"]),
            Case("logs deploy/web", 0, &["hello"]),
            Case("get deploy web", 0, &["READY", "UP-TO-DATE", "AVAILABLE", "0/1"]),
            Case("describe deploy web", 0, &["Selector:               app=web", "StrategyType:           RollingUpdate"]),
            Case("get pods -o custom-columns=NAME:'{.metadata.name}',OWNER:'{.metadata.ownerReferences[0].name}'", 0, &["web-1   <none>"]),
            Case("get pods -o custom-columns=NAME:metadata.name,LABELS:metadata.labels", 0, &["map[app:web]"]),
            Case("get pod web-1 -o jsonpath={.status.containerStatuses[0].containerID}", 0, &["drydock://0123"]),
            Case("get po -l app --sort-by=.metadata.name", 0, &["web-1"]),
            Case("debug web-1 --image=busybox --profile=general -c debugger", 0, &[]),
            Case("get pod web-1 -o jsonpath={.spec.ephemeralContainers[0].name}", 0, &["debugger"]),
        ],
    )
    .await?;
    let mut forward = cluster.kubectl_start("port-forward deploy/web :80")?;
    assert!(forward.line().await?.starts_with("Forwarding from 127.0.0.1:"));
    forward.kill().await
}

#[tokio::test]
async fn a_manifest_may_come_from_the_web() -> Result<()> {
    let cluster = Cluster::start().await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{POD}", POD.len());
            // kubectl says what went wrong.
            drop(stream.readable().await);
            drop(tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await);
            let mut rest = Vec::new();
            drop(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await);
        }
    });
    for expected in ["pod/hello-2 created\n", "pod/hello-2 unchanged\n"] {
        assert_eq!(cluster.kubectl(&format!("apply -f http://{address}/pod.yaml")).await?.ok()?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn watching_and_waiting() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.run_pod("web", json!({"app": "web"})).await?;
    let mut watching = cluster.kubectl_start("get pods -w --no-headers")?;
    assert!(watching.line().await?.contains("Running"));
    let mut names = cluster.kubectl_start("get pods -w -o name")?;
    assert_eq!(names.line().await?, "pod/web");
    let mut waiting = cluster.kubectl_start("wait --for=delete pod/web --timeout=30s")?;
    let mut deleting = cluster.kubectl_start("delete pod web")?;
    assert!(watching.line().await?.contains("Terminating"));
    cluster.call("DELETE", "/api/v1/namespaces/default/pods/web", json!({"gracePeriodSeconds": 0})).await?;
    assert_eq!((deleting.end().await?, waiting.end().await?), (0, 0));
    watching.kill().await?;
    let record = cluster.audit.stream_that("the end of the watch", |record| record.verb.as_str() == "watch" && record.closed.is_some()).await?;
    assert_eq!((record.user.as_str(), record.resource.as_str()), ("learner", "pods"));
    Ok(())
}
