//! Services as a learner meets them: load balancers on localhost, nicknames for hosts far away, endpoints made by hand, and nobody at home.

use std::fs;
use std::process::Command;

use drydock_kit::{Drydock, PATIENCE, Ran, eventually, repository};

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: kiamol/ch02-whoami}]}
---
apiVersion: v1
kind: Pod
metadata: {name: tools}
spec: {containers: [{name: tools, image: kiamol/ch03-sleep}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 8088, targetPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: node}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, nodePort: 30080}]}
---
apiVersion: v1
kind: Service
metadata: {name: far}
spec: {type: ExternalName, externalName: web.default.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: manual}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: manual}
subsets: [{addresses: [{ip: 192.168.123.234}], ports: [{port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: empty}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
"#;

#[test]
fn services_are_reached_as_the_book_reaches_them() {
    reached(&Drydock::cluster(1));
}

/// From the workstation's localhost, from a Pod by name, and not at all.
pub(super) fn reached(drydock: &Drydock) {
    drydock.apply(WEB).ok();
    drydock.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
    drydock.kubectl(&["wait", "--for=condition=Ready", "pod/tools", "--timeout=60s"]).ok();
    let terminal = |script: &str| drydock.run(&["cluster", "shell", "workstation", "--", "sh", "-c", script]);
    let inside = |script: &str| drydock.kubectl(&["exec", "tools", "--", "sh", "-c", script]);
    // One scalar and no more: the book prints `.ingress[0].*` into a URL.
    let ingress = drydock.kubectl(&["get", "service", "web", "-o", "jsonpath={.status.loadBalancer.ingress[0].*}"]).ok();
    assert_eq!(ingress, "localhost");
    eventually(PATIENCE, || {
        let ran = terminal("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do curl -s http://localhost:8088/ || exit 1; echo; done");
        let mut names: Vec<&str> = ran.stdout.lines().filter(|line| line.contains("I'm web-")).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() >= 2 { Ok(()) } else { Err(format!("{}{}", ran.stdout, ran.stderr)) }
    });
    for url in ["http://localhost:30080/", "http://172.30.1.1:30080/"] {
        assert!(terminal(&format!("curl -s -m 5 {url}")).ok().contains("I'm web-"), "{url}");
    }
    for name in ["web:8088", "node", "far:8088"] {
        assert!(inside(&format!("curl -s -m 5 http://{name}/")).ok().contains("I'm web-"), "{name}");
    }
    assert!(inside("nslookup far").stdout.contains("canonical name = web.default.svc.cluster.local"));
    let counted = inside("curl -s -m 5 http://kube-dns.kube-system:9153/metrics").ok();
    assert!(counted.contains("coredns_dns_requests_total{family=\"1\",proto=\"udp\",server=\"dns://:53\",type=\"A\""), "{counted}");
    // A virtual address is no machine; nobody behind it is said at once; one nobody has is silence.
    assert!(inside("ping -c 1 web").stdout.contains("100% packet loss"));
    for (name, code) in [("empty", 7), ("manual", 7), ("10.96.200.200", 28)] {
        assert_eq!(inside(&format!("curl -s -m 2 http://{name}/")).status.code(), Some(code), "{name}");
    }
    drydock.kubectl(&["delete", "service", "web", "node"]).ok();
    eventually(PATIENCE, || {
        let ran = terminal("curl -s http://localhost:8088/ || curl -s http://localhost:30080/");
        if ran.status.code() == Some(7) { Ok(()) } else { Err(ran.stdout) }
    });
}

#[test]
fn a_port_of_localhost_belongs_to_whoever_came_first() {
    let drydock = Drydock::cluster(1);
    let terminal = |script: &str| drydock.run(&["cluster", "shell", "workstation", "--", "sh", "-c", script]);
    drydock.kubectl(&["run", "web", "--image=kiamol/ch02-hello-kiamol", "--labels=app=web"]).ok();
    drydock.kubectl(&["wait", "--for=condition=Ready", "pod/web", "--timeout=60s"]).ok();
    for name in ["one", "two"] {
        drydock.kubectl(&["create", "service", "loadbalancer", name, "--tcp=8080:80"]).ok();
        drydock.kubectl(&["set", "selector", &format!("service/{name}"), "app=web"]).ok();
    }
    eventually(PATIENCE, || {
        let events = drydock.kubectl(&["get", "events", "--field-selector", "involvedObject.name=two", "-o", "jsonpath={.items[*].message}"]).ok();
        if events.contains("port 8080 of localhost belongs to Service default/one") { Ok(()) } else { Err(events) }
    });
    eventually(PATIENCE, || {
        let ran = terminal("curl -s http://localhost:8080/");
        if ran.stdout.contains("Hello from Chapter 2!") { Ok(()) } else { Err(ran.stderr) }
    });
    // A port-forward of the same port is refused, as on any desktop.
    let refused = terminal("kubectl port-forward pod/web 8080:80");
    assert!(!refused.status.success() && format!("{refused:?}").contains("address already in use"), "{refused:?}");
}

/// Its Pod is ready as soon as it runs, and listens a tenth of a second after somebody rang.
const LATE: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: late, labels: {app: late}}
spec:
  containers:
    - name: late
      image: kiamol/ch03-sleep
      command: [sh, -c, "echo rung | nc -l 81; sleep 0.1; echo late | nc -l 80; sleep 1000"]
---
apiVersion: v1
kind: Service
metadata: {name: late}
spec: {type: LoadBalancer, selector: {app: late}, ports: [{name: web, port: 8090, targetPort: 80}, {name: bell, port: 8091, targetPort: 81}]}
"#;

#[test]
fn a_connection_to_localhost_waits_for_a_pod_that_listens_late() {
    let drydock = Drydock::cluster(1);
    let terminal = |script: &str| drydock.run(&["cluster", "shell", "workstation", "--", "sh", "-c", script]);
    drydock.apply(LATE).ok();
    drydock.kubectl(&["wait", "--for=condition=Ready", "pod/late", "--timeout=60s"]).ok();
    let ran = eventually(PATIENCE, || {
        // Once it has rung nothing is asked a second time.
        let ran = terminal("[ \"$(nc localhost 8091 < /dev/null)\" = rung ] || exit 9; nc localhost 8090 < /dev/null");
        if ran.status.code() == Some(9) { Err(format!("{ran:?}")) } else { Ok(ran) }
    });
    assert_eq!(ran.ok(), "late\n");
}

#[test]
fn in_a_cloud_a_load_balancer_has_an_address_of_its_own() {
    let mut drydock = Drydock::idle();
    let content = drydock.state().join("content");
    fs::create_dir(&content).unwrap();
    for directory in ["chapters", "labs"] {
        Ran::of(Command::new("cp").arg("-R").arg(repository().join(directory)).arg(&content)).ok();
    }
    let course = content.join("chapters/lunches/course.yaml");
    let scene = fs::read_to_string(&course).unwrap().replace("profile: desktop", "profile: cloud");
    fs::write(&course, scene).unwrap();
    drydock.start(&["serve", "--listen", "127.0.0.1:0", "--api-port", "0", "--no-open", "--content", &content.to_string_lossy()]);
    drydock.kubectl(&["create", "deployment", "web", "--image=kiamol/ch02-hello-kiamol"]).ok();
    drydock.kubectl(&["expose", "deployment", "web", "--type=LoadBalancer", "--port=8080", "--target-port=80"]).ok();
    let address = eventually(PATIENCE, || {
        let service = drydock.get(&["service", "web"]);
        service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().map(str::to_owned).ok_or_else(|| service["status"].to_string())
    });
    let curl = |host: &str| drydock.run(&["cluster", "shell", "workstation", "--", "curl", "-sS", "-m", "2", &format!("http://{host}:8080")]);
    eventually(PATIENCE, || {
        let ran = curl(&address);
        if ran.stdout.contains("<html") { Ok(()) } else { Err(format!("{address}: {}{}", ran.stdout, ran.stderr)) }
    });
    assert!(!curl("localhost").status.success(), "as on a laptop that is not a cloud");
}
