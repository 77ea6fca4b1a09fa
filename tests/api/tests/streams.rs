//! exec, attach, logs, port-forward and cp through the stock kubectl, and the protocols kubectl does not choose by hand.

use anyhow::{Context, Result};
use drydock_test_api::{Cluster, patiently};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn cluster() -> Result<Cluster> {
    let cluster = Cluster::start().await?;
    cluster.run_pod("web", json!({"app": "web"})).await?;
    Ok(cluster)
}

#[tokio::test]
async fn exec_carries_output_input_and_exit_codes() -> Result<()> {
    let cluster = cluster().await?;
    // command, stdin, exit code, stdout, a part of stderr
    let cases = [
        ("exec web -- echo hello", "", 0, "hello\n", ""),
        ("exec web -c web -- sh -c 'echo out; echo err >&2; exit 42'", "", 42, "out\n", "err\n"),
        ("exec web -- sh -c 'exit 3'", "", 3, "", "command terminated with exit code 3"),
        ("exec -i web -- cat", "typed", 0, "typed", ""),
        ("exec -i web -- sh -c 'wc -c'", "12345", 0, "5\n", ""),
        ("exec web -- cat", "not asked for", 0, "", ""),
        ("exec web -- missing", "", 1, "", "executable file not found in $PATH"),
        ("exec web -c none -- true", "", 1, "", "container none is not valid for pod web"),
        ("exec absent -- true", "", 1, "", "pods \"absent\" not found"),
    ];
    for transport in ["", "SPDY"] {
        for (line, stdin, code, stdout, stderr) in cases {
            let ran = if transport.is_empty() {
                cluster.kubectl.run_with(line, stdin).await?
            } else {
                cluster.kubectl.run_with_env(line, stdin, &[("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")]).await?
            };
            assert_eq!((ran.code, ran.stdout.as_str()), (code, stdout), "{transport} {line}: {}", ran.stderr);
            assert!(ran.stderr.contains(stderr), "{transport} {line}: {}", ran.stderr);
        }
    }
    Ok(())
}

#[tokio::test]
async fn large_output_arrives_whole() -> Result<()> {
    let cluster = cluster().await?;
    for value in ["true", "false"] {
        let line = "exec web -- head -c 3000000 /dev/zero";
        let ran = cluster.kubectl.run_with_env(line, "", &[("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", value)]).await?;
        assert_eq!((ran.code, ran.stdout.len()), (0, 3_000_000), "websockets {value}: {}", ran.stderr);
        let echoed = cluster.kubectl.run_with_env("exec -i web -- cat", &"x".repeat(1_000_000), &[("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", value)]).await?;
        assert_eq!((echoed.code, echoed.stdout.len()), (0, 1_000_000), "websockets {value}: {}", echoed.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn attach_joins_the_process() -> Result<()> {
    let cluster = cluster().await?;
    for value in ["true", "false"] {
        let ran = cluster.kubectl.run_with_env("attach -i web", "said\n", &[("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", value)]).await?;
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "attached\nsaid\n"), "{}", ran.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn a_terminal_has_a_size() -> Result<()> {
    let cluster = cluster().await?;
    for value in ["true", "false"] {
        let line = "stty rows 43 cols 132; kubectl exec -it web -- terminal-size";
        let output = tokio::process::Command::new("script")
            .args(["-qec", line, "/dev/null"])
            .env("KUBECONFIG", &cluster.kubectl.kubeconfig)
            .env("HOME", &cluster.kubectl.home)
            .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", value)
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = patiently("a terminal", output).await??;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("{\"Width\":132,\"Height\":43}"), "websockets {value}: {text}");
    }
    let record = cluster.audit.stream_that("a terminal", |record| record.tty && record.stdin && record.closed.is_some()).await?;
    assert_eq!((record.command.as_slice(), record.code), (&["terminal-size".to_owned()][..], 0));
    Ok(())
}

#[tokio::test]
async fn run_attaches_and_cleans_up() -> Result<()> {
    let cluster = cluster().await?;
    let mut pods = cluster.watch("/api/v1/namespaces/default/pods?watch=true&fieldSelector=metadata.name%3Dtmp").await?;
    let mut run = cluster.kubectl_start("run tmp -i --rm --image=kiamol/ch03-sleep --restart=Never -- cat")?;
    assert_eq!(pods.event().await?, "ADDED tmp");
    let binding = json!({"target": {"kind": "Node", "name": "node-1"}});
    cluster.call("POST", "/api/v1/namespaces/default/pods/tmp/binding", binding).await?;
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    cluster.patch("/api/v1/namespaces/default/pods/tmp/status", "application/merge-patch+json", status).await?;
    assert_eq!(run.line().await?, "attached");
    run.type_in("typed\n").await?;
    assert_eq!(run.line().await?, "typed");
    drop(run.stdin.take());
    cluster.audit.stream_that("the end of the attach", |record| record.verb.as_str() == "attach" && record.closed.is_some()).await?;
    let ended = json!({"status": {"phase": "Succeeded", "containerStatuses": [{
        "name": "tmp", "ready": false, "restartCount": 0, "image": "x", "imageID": "", "state": {"terminated": {"exitCode": 0}},
    }]}});
    cluster.patch("/api/v1/namespaces/default/pods/tmp/status", "application/merge-patch+json", ended).await?;
    assert_eq!(run.line().await?, "pod \"tmp\" deleted");
    assert_eq!(run.end().await?, 0);
    Ok(())
}

#[tokio::test]
async fn files_are_copied_both_ways() -> Result<()> {
    let cluster = cluster().await?;
    let content: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    std::fs::write(cluster.kubectl.path("up.txt"), &content)?;
    cluster.kubectl("cp up.txt web:copied.txt").await?.ok()?;
    assert_eq!(std::fs::read_to_string(cluster.kubelet.root().join("copied.txt"))?, content);
    cluster.kubectl("cp default/web:copied.txt down.txt -c web").await?.ok()?;
    assert_eq!(std::fs::read_to_string(cluster.kubectl.path("down.txt"))?, content);
    Ok(())
}

#[tokio::test]
async fn logs_are_read_tailed_followed_and_selected() -> Result<()> {
    let cluster = cluster().await?;
    cluster.run_pod("two", json!({"app": "web"})).await?;
    for line in ["one", "two", "three"] {
        cluster.kubelet.log("web", line);
    }
    cluster.kubelet.log("two", "other");
    let cases = [
        ("logs web", 0, "one\ntwo\nthree\n"),
        ("logs web --tail=2", 0, "two\nthree\n"),
        ("logs web -c web --tail=0", 0, ""),
    ];
    for (line, code, stdout) in cases {
        let ran = cluster.kubectl(line).await?;
        assert_eq!((ran.code, ran.stdout.as_str()), (code, stdout), "{line}: {}", ran.stderr);
    }
    // kubectl keeps the Pods of a selector in a Go map, so it prints them in any order. upstream: pkg/polymorphichelpers/logsforobject.go
    let selected = cluster.kubectl("logs -l app=web --tail=1 --prefix").await?.ok()?;
    let mut lines: Vec<&str> = selected.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["[pod/two/web] other", "[pod/web/web] three"]);
    let refusals = [
        ("logs absent", "pods \"absent\" not found"),
        ("logs web -c none", "container none is not valid for pod web"),
        ("logs web --previous", "previous terminated container \"web\" in pod \"web\" not found"),
    ];
    for (line, stderr) in refusals {
        let said = cluster.kubectl(line).await?.failed()?;
        assert!(said.contains(stderr), "{line}: {said}");
    }
    let mut following = cluster.kubectl_start("logs -f web --tail=1")?;
    assert_eq!(following.line().await?, "three");
    cluster.kubelet.log("web", "four");
    assert_eq!(following.line().await?, "four");
    cluster.kubelet.end_log("web");
    assert_eq!(following.end().await?, 0);
    let record = cluster.audit.stream_that("the end of the log", |record| record.verb.as_str() == "log" && record.follow && record.closed.is_some()).await?;
    assert_eq!((record.name.as_str(), record.container.as_str(), record.bytes_out), ("web", "web", 11));
    Ok(())
}

#[tokio::test]
async fn a_kubelet_that_is_down_is_said_to_be() -> Result<()> {
    let cluster = cluster().await?;
    cluster.kubelet.set_down(true);
    for line in ["logs web", "exec web -- true", "attach web"] {
        let said = cluster.kubectl(line).await?.failed()?;
        assert!(said.contains("172.30.1.1:10250") && said.contains("connection refused"), "{line}: {said}");
    }
    Ok(())
}

async fn fetch(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let mut text = String::new();
    patiently("a page", stream.read_to_string(&mut text)).await??;
    Ok(text)
}

fn local_port(line: &str) -> Result<u16> {
    // Forwarding from 127.0.0.1:PORT -> 80
    let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()).context("no port in the line")?;
    Ok(port.parse()?)
}

#[tokio::test]
async fn ports_are_forwarded() -> Result<()> {
    let cluster = cluster().await?;
    for (value, target) in [("true", "pod/web :80 :7 :9"), ("false", "web :80 :7 :9")] {
        let mut forward = cluster.kubectl.start_with_env(&format!("port-forward --address 127.0.0.1 {target}"), &[("KUBECTL_PORT_FORWARD_WEBSOCKETS", value)])?;
        let (web, echo, closed) = (local_port(&forward.line().await?)?, local_port(&forward.line().await?)?, local_port(&forward.line().await?)?);
        // Several at once, and one after another.
        let pages = futures::future::try_join_all((0..5).map(|_| fetch(web))).await?;
        for page in pages {
            assert!(page.ends_with("<h1>Hello from Chapter 2!</h1>\n"), "{page}");
        }
        // Both directions, large, with a half-close.
        let stream = TcpStream::connect(("127.0.0.1", echo)).await?;
        let (mut read, mut write) = stream.into_split();
        let sent = "0123456789".repeat(50_000);
        let copy = sent.clone();
        let writing = tokio::spawn(async move {
            write.write_all(copy.as_bytes()).await?;
            write.shutdown().await
        });
        let mut got = String::new();
        patiently("the echo", read.read_to_string(&mut got)).await??;
        writing.await??;
        assert!(got == sent, "websockets {value}: {} bytes back of {}", got.len(), sent.len());
        // Nobody listens there: the connection ends, the others do not.
        let mut refused = TcpStream::connect(("127.0.0.1", closed)).await?;
        let mut nothing = Vec::new();
        drop(patiently("the refusal", refused.read_to_end(&mut nothing)).await?);
        assert!(nothing.is_empty());
        // kubectl gives up after such an error (`lost connection to pod`), as it does with a real cluster.
        drop(forward.kill().await);
    }
    let closed = cluster.audit.stream_that("the end of a forward", |record| record.verb.as_str() == "portforward" && record.closed.is_some()).await?;
    assert_eq!((closed.ports.as_slice(), closed.connections), (&[80, 7, 9][..], 7), "{closed:?}");
    assert!(closed.bytes_in > 500_000 && closed.bytes_out > 500_000, "{closed:?}");
    Ok(())
}

#[tokio::test]
async fn proxies_pass_requests_on() -> Result<()> {
    let cluster = cluster().await?;
    let pods = cluster.get("/api/v1/nodes/node-1/proxy/pods").await?;
    assert_eq!((pods.code, &pods.bytes[..]), (200, &b"the pods of a node"[..]));
    let missing = cluster.call("GET", "/api/v1/namespaces/default/pods/absent/proxy/x", Value::Null).await?;
    assert_eq!(missing.code, 404);
    Ok(())
}
