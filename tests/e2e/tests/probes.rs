//! Probes of the kinds no lesson has, against real containers.

use drydock_kit::{Drydock, PATIENCE, eventually};

/// A server of the gRPC health protocol, in the words of HTTP/2: it takes frames until the request has ended, then answers. It is well
/// until there is a file that says otherwise, and so at once after each start: a Pod without a readiness probe is ready before this script
/// has done anything.
///
/// A frame is nine bytes, three of them its length, one its type, one its flags, and then so many bytes. Stream 1 is the call. The answer
/// is `:status: 200` and a content type, a message whose field 1 is the state, and `grpc-status: 0` for the end.
const SERVER: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: grpc}
data:
  server: |
    mkfifo /tmp/answer
    while :; do nc -l 5000 < /tmp/answer | sh /etc/grpc/converse > /tmp/answer; done
  converse: |
    printf '\000\000\000\004\000\000\000\000\000'
    dd bs=1 count=24 > /dev/null 2>&1
    while :; do
      set -- $(dd bs=1 count=9 2> /dev/null | hexdump -C | head -n 1 | cut -c 11-36 | sed 's/[0-9a-f][0-9a-f]/0x&/g')
      [ $# = 9 ] || exit 0
      dd bs=1 count=$(($1 * 65536 + $2 * 256 + $3)) > /dev/null 2>&1
      [ $4 != 0x04 ] || [ $5 != 0x00 ] || printf '\000\000\000\004\001\000\000\000\000'
      [ $4 != 0x00 ] || [ $(($5 & 1)) = 0 ] || break
    done
    printf '\000\000\040\001\004\000\000\000\001\210\000\014content-type\020application/grpc'
    printf '\000\000\007\000\000\000\000\000\001\000\000\000\000\002\010\00'$([ -e /tmp/ill ] && echo 2 || echo 1)
    printf '\000\000\017\001\005\000\000\000\001\000\013grpc-status\001%s' 0
    cat > /dev/null
---
apiVersion: v1
kind: Pod
metadata: {name: grpc}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: server
    image: kiamol/ch03-sleep
    command: [sh, /etc/grpc/server]
    ports: [{containerPort: 5000}]
    volumeMounts: [{name: program, mountPath: /etc/grpc}]
    livenessProbe: {grpc: {port: 5000, service: todo}, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 3}
  volumes: [{name: program, configMap: {name: grpc}}]
"#;

#[test]
fn a_grpc_probe_asks_the_container_and_restarts_it() {
    let drydock = Drydock::cluster(1);
    drydock.apply(SERVER).ok();
    let ran = drydock.kubectl(&["wait", "--for=condition=Ready", "pod/grpc", "--timeout=60s"]);
    assert!(ran.status.success(), "{}{}", ran.stderr, drydock.kubectl(&["describe", "pod", "grpc"]).stdout);
    // It answers that it does not serve, and is started anew, well.
    drydock.kubectl(&["exec", "grpc", "--", "sh", "-c", "touch /tmp/ill"]).ok();
    eventually(PATIENCE, || {
        let status = drydock.get(&["pod", "grpc"])["status"]["containerStatuses"][0].take();
        if status["restartCount"].as_u64() > Some(0) && status["ready"] == true { Ok(()) } else { Err(status.to_string()) }
    });
    let described = drydock.kubectl(&["describe", "pod", "grpc"]).ok();
    for wanted in [
        "Liveness:       grpc <pod>:5000 todo delay=0s timeout=30s period=1s #success=1 #failure=3",
        "Liveness probe failed: service unhealthy (responded with \"NOT_SERVING\")",
        "Container server failed liveness probe, will be restarted",
    ] {
        assert!(described.contains(wanted), "{wanted}: {described}");
    }
}
