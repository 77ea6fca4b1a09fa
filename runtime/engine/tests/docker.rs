//! The `docker` command against the engine over a real socket, with a node that exists on paper only.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drydock_engine::{
    Container, ContainerState, Image, Info, LogLine, LogQuery, MountPoint, Runtime, RuntimeError, RuntimeFuture, Source, cli, serve,
};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

/// A node on paper.
#[derive(Default)]
struct Paper {
    containers: Mutex<Vec<Container>>,
    did: Mutex<Vec<String>>,
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(seconds)
}

fn hex(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn container(id: &str, name: &str, state: ContainerState) -> Container {
    Container {
        id: id.to_owned(),
        name: format!("k8s_{name}_{name}_default_0a1b_0"),
        image: "kiamol/ch02-hello-kiamol".into(),
        image_id: format!("sha256:{}", hex('e')),
        args: vec!["/docker-entrypoint.sh".into(), "nginx".into(), "-g".into(), "daemon off;".into()],
        env: vec!["A=b".into()],
        labels: [("io.kubernetes.container.name".to_owned(), name.to_owned()), ("io.kubernetes.pod.namespace".to_owned(), "default".to_owned())].into(),
        created: Some(ago(300)),
        mounts: vec![MountPoint { source: "/var/lib/kubelet/x".into(), destination: "/etc/hosts".into(), writable: false }],
        state,
        ..Container::default()
    }
}

fn paper() -> Paper {
    let running = ContainerState::Running { started: ago(299), pid: 42 };
    let failed = ContainerState::Exited { started: Some(ago(7300)), finished: ago(7200), code: 137, oom_killed: true, error: String::new() };
    let mut exited = container(&hex('c'), "sleep", failed);
    exited.image = "busybox".into();
    exited.args = vec!["sleep".into()];
    exited.created = Some(ago(7400));
    let mut other = container(&format!("a{}", &hex('b')[1..]), "web", running.clone());
    other.created = Some(ago(400));
    Paper { containers: Mutex::new(vec![exited, container(&hex('a'), "hello-kiamol", running), other]), did: Mutex::default() }
}

impl Runtime for Paper {
    fn info(&self) -> Info {
        Info { name: "node-1".into(), version: "0.1.0".into(), kernel: "6.1".into(), operating_system: "Drydock".into(), cpus: 2, memory: 4 << 30, directory: "/var/lib".into() }
    }

    fn containers(&self) -> Vec<Container> {
        self.containers.lock().unwrap().clone()
    }

    fn images(&self) -> Vec<Image> {
        vec![
            Image { id: format!("sha256:{}", hex('e')), tags: vec!["kiamol/ch02-hello-kiamol:latest".into()], created: Some(ago(86400 * 30)), size: 22_400_000, ..Image::default() },
            Image { id: format!("sha256:{}", hex('d')), tags: vec!["busybox:latest".into(), "busybox:1.36".into()], created: Some(ago(86400 * 90)), size: 4_260_000, ..Image::default() },
        ]
    }

    fn remove<'a>(&'a self, id: &'a str) -> RuntimeFuture<'a, ()> {
        Box::pin(async move {
            self.containers.lock().unwrap().retain(|container| container.id != id);
            self.did.lock().unwrap().push(format!("remove {}", &id[..2]));
            Ok(())
        })
    }

    fn stop<'a>(&'a self, id: &'a str, grace: Option<Duration>) -> RuntimeFuture<'a, ()> {
        Box::pin(async move {
            self.did.lock().unwrap().push(format!("stop {} {grace:?}", &id[..2]));
            Ok(())
        })
    }

    fn kill<'a>(&'a self, id: &'a str, signal: i32) -> RuntimeFuture<'a, ()> {
        Box::pin(async move {
            self.did.lock().unwrap().push(format!("kill {} {signal}", &id[..2]));
            Err(RuntimeError::Failed("it is stubborn".into()))
        })
    }

    fn logs<'a>(&'a self, id: &'a str, query: LogQuery) -> RuntimeFuture<'a, mpsc::Receiver<LogLine>> {
        Box::pin(async move {
            self.did.lock().unwrap().push(format!("logs {} {} {:?}", &id[..2], query.follow, query.tail));
            let (sender, receiver) = mpsc::channel(4);
            for (source, text) in [(Source::Stdout, "one\n"), (Source::Stderr, "two\n"), (Source::Stdout, "three\n")] {
                sender.send(LogLine { source, time: "2024-01-01T00:00:00.5Z".parse().unwrap(), bytes: text.into() }).await.unwrap();
            }
            Ok(receiver)
        })
    }
}

/// A node on paper that listens.
struct Bench {
    host: String,
    node: Arc<Paper>,
    _directory: tempfile::TempDir,
}

#[derive(Debug, PartialEq, Eq)]
struct Done {
    out: String,
    err: String,
    code: u8,
}

impl Bench {
    fn new() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let path: PathBuf = directory.path().join("docker.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let node = Arc::new(paper());
        let served: Arc<dyn Runtime> = Arc::clone(&node) as Arc<dyn Runtime>;
        tokio::spawn(async move { serve(listener, served).await });
        Bench { host: format!("unix://{}", path.display()), node, _directory: directory }
    }

    async fn docker(&self, line: &[&str]) -> Done {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = cli::run(line.iter().map(|word| (*word).to_owned()).collect(), &self.host, &mut out, &mut err).await;
        Done { out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap(), code }
    }

    async fn words(&self, line: &str) -> Done {
        self.docker(&line.split(' ').collect::<Vec<_>>()).await
    }

    fn did(&self) -> Vec<String> {
        std::mem::take(&mut self.node.did.lock().unwrap())
    }
}

fn good(out: &str) -> Done {
    Done { out: out.to_owned(), err: String::new(), code: 0 }
}

#[tokio::test]
async fn lists_are_laid_out_as_the_stock_command_lays_them_out() {
    let bench = Bench::new();
    let table = "\
CONTAINER ID   IMAGE                      COMMAND                  CREATED         STATUS         PORTS     NAMES
aaaaaaaaaaaa   kiamol/ch02-hello-kiamol   \"/docker-entrypoint.…\"   5 minutes ago   Up 4 minutes             k8s_hello-kiamol_hello-kiamol_default_0a1b_0
abbbbbbbbbbb   kiamol/ch02-hello-kiamol   \"/docker-entrypoint.…\"   6 minutes ago   Up 4 minutes             k8s_web_web_default_0a1b_0
";
    for line in ["ps", "container ls", "container list", "container ps"] {
        assert_eq!(bench.words(line).await, good(table), "{line}");
    }
    let all = bench.words("ps -a").await;
    let last = "cccccccccccc   busybox                    \"sleep\"                  2 hours ago     Exited (137) 2 hours ago             k8s_sleep";
    assert!(all.out.lines().nth(3).unwrap().starts_with(last), "{}", all.out);
    let cases = [
        ("container ls -q --filter label=io.kubernetes.container.name=hello-kiamol", "aaaaaaaaaaaa\n"),
        ("ps -aqf label=io.kubernetes.container.name=sleep", "cccccccccccc\n"),
        ("ps -q -f label=io.kubernetes.pod.namespace -f name=web", "abbbbbbbbbbb\n"),
        ("ps -q --filter status=exited", "cccccccccccc\n"),
        ("ps -q --filter exited=1", ""),
        ("ps -q --filter ancestor=busybox --all", "cccccccccccc\n"),
        ("ps -q -n 1", "aaaaaaaaaaaa\n"),
        ("ps -lq --no-trunc", &format!("{}\n", hex('a'))),
        ("ps --filter name=web --format {{.ID}}:{{.Label", ""),
        ("ps --filter name=nothing", "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"),
    ];
    for (line, out) in cases.into_iter().filter(|(line, _)| !line.contains("{{.Label")) {
        assert_eq!(bench.words(line).await, good(out), "{line}");
    }
    let labelled = bench.docker(&["ps", "--format", "table {{.Image}}\\t{{.Label \"io.kubernetes.container.name\"}}", "-f", "name=web"]).await;
    assert_eq!(labelled.out, "IMAGE                      name\nkiamol/ch02-hello-kiamol   web\n");
    let json = bench.words("ps --format json -f name=web").await.out;
    assert!(json.starts_with("{\"Command\":\"\\\"/docker-entrypoint.…\\\"\",\"CreatedAt\":\""), "{json}");
}

#[tokio::test]
async fn removing_needs_force_while_it_runs() {
    let bench = Bench::new();
    let name = "k8s_hello-kiamol_hello-kiamol_default_0a1b_0";
    let refused = bench.words("container rm aaaaaaaaaaaa").await;
    let message = format!("Error response from daemon: cannot remove container \"/{name}\": container is running: stop the container before removing or force remove\n");
    assert_eq!(refused, Done { out: String::new(), err: message, code: 1 });
    assert_eq!(bench.words("container rm -f aaaaaaaaaaaa").await, good("aaaaaaaaaaaa\n"));
    assert_eq!(bench.words("rm cc").await, good("cc\n"));
    assert_eq!(bench.did(), ["remove aa", "remove cc"]);
    let missing = "Error response from daemon: No such container: zz\n";
    assert_eq!(bench.words("rm zz").await, Done { out: String::new(), err: missing.into(), code: 1 });
    assert_eq!(bench.words("rm -f zz").await, Done { out: String::new(), err: missing.into(), code: 0 });
    let mixed = bench.words("rm --force zy k8s_web_web_default_0a1b_0").await;
    assert_eq!((mixed.out.as_str(), mixed.code), ("k8s_web_web_default_0a1b_0\n", 0));
    let usage = bench.words("container rm -f").await;
    assert!(usage.err.starts_with("\"docker container rm\" requires at least 1 argument.\nSee 'docker container rm --help'.\n\nUsage:  docker container rm [OPTIONS]"), "{}", usage.err);
    assert_eq!(usage.code, 1);
}

#[tokio::test]
async fn the_beginning_of_an_id_must_be_enough() {
    let bench = Bench::new();
    assert_eq!(bench.words("kill a").await.err, "Error response from daemon: Multiple IDs found with provided prefix: a\n");
    assert_eq!(bench.words("kill -s TERM aa").await.err, "Error response from daemon: it is stubborn\n");
    assert_eq!(bench.words("kill --signal=9x aa").await.err, "Error response from daemon: invalid signal: 9x\n");
    assert_eq!(bench.words("stop -t 3 aa cc").await, good("aa\ncc\n"));
    assert_eq!(bench.did(), ["kill aa 15", "stop aa Some(3s)"]);
}

#[tokio::test]
async fn logs_keep_their_streams() {
    let bench = Bench::new();
    let both = Done { out: "one\nthree\n".into(), err: "two\n".into(), code: 0 };
    assert_eq!(bench.words("container logs --tail=2 aa").await, both);
    assert_eq!(bench.words("logs -f -n all aa").await, both);
    assert_eq!(bench.words("logs -t aa").await.err, "2024-01-01T00:00:00.500000000Z two\n");
    assert_eq!(bench.did(), ["logs aa false Some(2)", "logs aa true None", "logs aa false None"]);
    bench.node.containers.lock().unwrap()[1].tty = true;
    assert_eq!(bench.words("logs aa").await, good("one\ntwo\nthree\n"));
    assert_eq!(bench.words("logs nope").await.err, "Error response from daemon: No such container: nope\n");
    assert_eq!(bench.words("logs --since never aa").await.code, 1);
}

#[tokio::test]
async fn things_can_be_looked_at() {
    let bench = Bench::new();
    let all = bench.words("inspect cc").await;
    assert!(all.out.starts_with(&format!("[\n    {{\n        \"Id\": \"{}\",\n        \"Created\": \"", hex('c'))), "{}", all.out);
    let value: serde_json::Value = serde_json::from_str(&all.out).unwrap();
    assert_eq!(value[0]["State"]["OOMKilled"], true);
    assert_eq!(value[0]["Config"]["Labels"]["io.kubernetes.container.name"], "sleep");
    let cases = [
        ("{{.State.Status}} {{.State.ExitCode}}", "exited 137\n"),
        ("{{index .Config.Labels \"io.kubernetes.container.name\"}}", "sleep\n"),
        ("{{.Name}} {{range .Mounts}}{{.Source}}->{{.Destination}}{{end}}", "/k8s_sleep_sleep_default_0a1b_0 /var/lib/kubelet/x->/etc/hosts\n"),
    ];
    for (format, out) in cases {
        assert_eq!(bench.docker(&["container", "inspect", "--format", format, "cc"]).await, good(out), "{format}");
    }
    assert_eq!(bench.words("inspect zz").await, Done { out: "[]\n".into(), err: "Error: No such object: zz\n".into(), code: 1 });
    assert_eq!(bench.words("container inspect zz").await.err, "Error response from daemon: No such container: zz\n");
    assert_eq!(bench.docker(&["image", "inspect", "-f", "{{.RepoTags}}", "busybox:1.36"]).await, good("[busybox:latest busybox:1.36]\n"));
    assert_eq!(bench.docker(&["inspect", "-f", "{{.Id}}", "kiamol/ch02-hello-kiamol"]).await, good(&format!("sha256:{}\n", hex('e'))));
    let wrong = bench.docker(&["inspect", "-f", "{{.Nope}}", "cc"]).await;
    assert_eq!(wrong.err, "template parsing error: template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\"\n");
}

#[tokio::test]
async fn images_are_listed_by_tag() {
    let bench = Bench::new();
    let table = "\
REPOSITORY                 TAG       IMAGE ID       CREATED        SIZE
kiamol/ch02-hello-kiamol   latest    eeeeeeeeeeee   4 weeks ago    22.4MB
busybox                    latest    dddddddddddd   3 months ago   4.26MB
busybox                    1.36      dddddddddddd   3 months ago   4.26MB
";
    assert_eq!(bench.words("image ls").await, good(table));
    assert_eq!(bench.words("images").await, good(table));
    assert_eq!(bench.words("images -q kiamol/*").await, good("eeeeeeeeeeee\n"));
    assert_eq!(bench.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", "busybox"]).await, good("busybox:latest\nbusybox:1.36\n"));
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let bench = Bench::new();
    let nobody = cli_at("unix:///nonexistent/docker.sock", &["ps"]).await;
    assert_eq!(nobody.err, "Cannot connect to the Docker daemon at unix:///nonexistent/docker.sock. Is the docker daemon running?\n");
    assert_eq!(nobody.code, 1);
    let cases = [
        ("pss", "docker: 'pss' is not a docker command.\nSee 'docker --help'\n", 1),
        ("ps --nope", "unknown flag: --nope\nSee 'docker container ls --help'.\n", 125),
        ("ps -z", "unknown shorthand flag: 'z' in -z\nSee 'docker container ls --help'.\n", 125),
        ("ps --filter label", "invalid argument \"label\" for \"-f, --filter\" flag: bad format of filter (expected name=value)\n", 1),
        ("ps --filter nope=1", "Error response from daemon: invalid filter 'nope'\n", 1),
        ("container nope", "docker: unknown command: docker container nope\n\nRun 'docker container --help' for more information\n", 1),
    ];
    for (line, err, code) in cases {
        assert_eq!(bench.words(line).await, Done { out: String::new(), err: err.into(), code }, "{line}");
    }
    let run = bench.words("run -it busybox").await;
    assert!(run.err.contains("containers are made by Pods") && run.code == 1, "{run:?}");
    let version = bench.words("version").await;
    assert!(version.out.contains("Server: Drydock node\n Engine:\n  Version:         0.1.0\n"), "{}", version.out);
    assert_eq!(bench.docker(&["version", "--format", "{{.Server.Version}}"]).await, good("0.1.0\n"));
    assert!(bench.words("info").await.out.contains(" Total Memory: 4GiB\n"));
    assert!(bench.words("ps --help").await.out.contains("  -q, --quiet           Only display container IDs\n"));
    assert!(bench.words("--help").await.out.contains("  ps "));
}

async fn cli_at(host: &str, line: &[&str]) -> Done {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = cli::run(line.iter().map(|word| (*word).to_owned()).collect(), host, &mut out, &mut err).await;
    Done { out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap(), code }
}
