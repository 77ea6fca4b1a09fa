//! node-init on the real kernel: a machine is booted behind the fence, spoken to through its socket, and powered off.
//!
//! The fence is the one of the container crate's tests. Each case boots its own machine: this same binary in the role of node-init.

#[path = "../../container/tests/fence/mod.rs"]
mod fence;
mod machine;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use drydock_container::stdio::{Stdio, resize};
use drydock_container::{CgroupSpec, ContainerSpec, Limits, Mount, PidMode, ProcessSpec, RootFs, SandboxConfig, Step, TerminalSize};
use drydock_node::init::Client;
use drydock_node::init::protocol::{ChildAction, Event, Exit, Failure, FileAccess, Netns, Scope};
use fence::Fence;
use machine::{Machine, read_all, read_until};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("role:node-init") => return drydock_node::init::main(),
        Some("role:child") => return machine::child(),
        _ => {}
    }
    fence::run(&[
        ("a_machine_says_what_it_is", a_machine_says_what_it_is),
        ("containers_run_and_their_ends_are_told_and_kept", containers_run_and_their_ends_are_told_and_kept),
        ("another_client_takes_over_where_the_first_one_left", another_client_takes_over_where_the_first_one_left),
        ("children_are_kept_alive", children_are_kept_alive),
        ("execs_run_beside_and_end_with_their_container", execs_run_beside_and_end_with_their_container),
        ("what_cannot_be_done_is_said", what_cannot_be_done_is_said),
        ("sockets_stay_in_the_namespace_they_were_made_in", sockets_stay_in_the_namespace_they_were_made_in),
        ("files_are_opened_inside_the_container", files_are_opened_inside_the_container),
        ("messages_may_be_large", messages_may_be_large),
        ("everything_ends_with_the_machine", everything_ends_with_the_machine),
        ("a_container_that_uses_too_much_memory_is_told_apart", a_container_that_uses_too_much_memory_is_told_apart),
    ])
}

fn spec(id: &str, script: &str) -> ContainerSpec {
    ContainerSpec {
        id: id.to_owned(),
        root: RootFs { layers: vec!["/image".into()], writable: Path::new("/var/lib/containers").join(id), readonly: false },
        mounts: vec![Mount::bind("/usr", "/usr").readonly()],
        process: process(script),
        ..ContainerSpec::default()
    }
}

fn process(script: &str) -> ProcessSpec {
    ProcessSpec { args: ["sh", "-c", script].map(str::to_owned).to_vec(), ..ProcessSpec::default() }
}

fn outputs(stdio: Stdio) -> (String, String) {
    match stdio {
        Stdio::Pipes { stdout, stderr, .. } => (read_all(stdout), read_all(stderr)),
        Stdio::Terminal(master) => (read_all(master), String::new()),
    }
}

/// Wait for the end of something.
async fn ended(machine: &mut Machine, wanted: &str) -> Exit {
    loop {
        match machine.events.next().await.expect("the machine lives") {
            Event::Exited { id, exit, .. } if id == wanted => return exit,
            _ => {}
        }
    }
}

fn a_machine_says_what_it_is(fence: &Fence) {
    Machine::run(fence, "info", Vec::new(), async |machine| {
        let info = machine.client.info().await.unwrap();
        assert_eq!(info.name, "node-1");
        assert_eq!(info.enforcement.memory, fence.cgroups.iter().any(|(name, _)| name == "memory"));
        assert_eq!(info.degraded.is_empty(), fence.many_ids, "{:?}", info.degraded);
        assert_eq!(fs::read_to_string(machine.root.join("etc/hostname")).unwrap(), "node-1\n");
        let (_, stdio) = machine.client.start_container(None, spec("c", "hostname; ls /; cat /proc/1/comm")).await.unwrap();
        let (out, err) = outputs(stdio);
        assert!(out.ends_with("sh\n") && err.is_empty(), "{out}{err}");
        assert_eq!(ended(machine, "c").await.code, 0);
    });
}

fn containers_run_and_their_ends_are_told_and_kept(fence: &Fence) {
    Machine::run(fence, "ends", Vec::new(), async |machine| {
        let client = machine.client.clone();
        let labels: BTreeMap<_, _> = [("pod".to_owned(), "default/web".to_owned())].into();
        client.create_sandbox("s", SandboxConfig { hostname: "web".into(), ..SandboxConfig::default() }, labels.clone()).await.unwrap();
        let mut first = spec("one", "hostname; echo oops >&2; exit 3");
        first.labels = labels.clone();
        let (started, stdio) = client.start_container(Some("s"), first).await.unwrap();
        assert!(started.pid > 1);
        assert_eq!(outputs(stdio), ("web\n".to_owned(), "oops\n".to_owned()));
        let exit = ended(machine, "one").await;
        assert_eq!((exit.code, exit.signal, exit.oom_killed), (3, None, false));
        client.start_container(Some("s"), spec("two", "exec sleep 1000")).await.unwrap();
        client.signal("two", libc::SIGKILL, Scope::Process).await.unwrap();
        let exit = ended(machine, "two").await;
        assert_eq!((exit.code, exit.signal), (137, Some(9)));
        let list = client.list().await.unwrap();
        assert_eq!(list.sandboxes["s"].labels, labels);
        assert_eq!(list.containers["one"].exit.as_ref().unwrap().code, 3);
        assert_eq!(list.containers["one"].spec.labels, labels);
        client.remove("one").await.unwrap();
        client.remove_sandbox("s").await.unwrap();
        let list = client.list().await.unwrap();
        assert!(list.containers.is_empty() && list.sandboxes.is_empty(), "{list:?}");
    });
}

fn another_client_takes_over_where_the_first_one_left(fence: &Fence) {
    Machine::run(fence, "adopt", Vec::new(), async |machine| {
        let mut chatty = spec("c", "echo before; read line; echo got $line; exec sleep 1000");
        chatty.process.stdin = true;
        let (started, stdio) = machine.client.start_container(None, chatty).await.unwrap();
        drop(stdio);
        // The kubelet dies here: its connection and its ends of the pipes are gone.
        let (client, events) = Client::connect(&machine.root.join("run/init.sock")).unwrap();
        machine.client = client;
        machine.events = events;
        let list = machine.client.list().await.unwrap();
        assert_eq!((list.containers["c"].pid, &list.containers["c"].exit), (started.pid, &None));
        let Stdio::Pipes { stdin: Some(stdin), stdout, .. } = machine.client.stdio("c").await.unwrap() else { panic!("no pipes") };
        fs::File::from(stdin).write_all(b"through\n").unwrap();
        assert_eq!(read_until(stdout.as_fd(), "through\n"), "before\ngot through\n");
        machine.client.signal("c", libc::SIGKILL, Scope::All).await.unwrap();
        assert_eq!(ended(machine, "c").await.signal, Some(9));
        // Ends stay known for a client that comes later still.
        let (later, _events) = Client::connect(&machine.root.join("run/init.sock")).unwrap();
        assert_eq!(later.list().await.unwrap().containers["c"].exit.as_ref().unwrap().signal, Some(9));
    });
}

fn children_are_kept_alive(fence: &Fence) {
    let children = vec![machine::child_spec("keeper", "/var/lib/keeper")];
    Machine::run(fence, "children", children, async |machine| {
        let log = machine.root.join("var/lib/keeper");
        let first = machine.child_pid("keeper").await;
        machine::wait_for_lines(&log, 1).await;
        machine.client.child("keeper", ChildAction::Restart).await.unwrap();
        match machine.events.next().await.unwrap() {
            Event::ChildExited { name, exit } => assert_eq!((name.as_str(), exit.signal), ("keeper", Some(9))),
            other => panic!("{other:?}"),
        }
        machine::wait_for_lines(&log, 2).await;
        assert_ne!(machine.child_pid("keeper").await, first);
        machine.client.child("keeper", ChildAction::Stop).await.unwrap();
        assert!(matches!(machine.events.next().await.unwrap(), Event::ChildExited { .. }));
        assert_eq!(machine.client.list().await.unwrap().children["keeper"], None);
        machine.client.child("keeper", ChildAction::Start).await.unwrap();
        machine::wait_for_lines(&log, 3).await;
        assert!(matches!(machine.client.child("nobody", ChildAction::Start).await, Err(Failure::NotFound { .. })));
    });
}

fn execs_run_beside_and_end_with_their_container(fence: &Fence) {
    Machine::run(fence, "exec", Vec::new(), async |machine| {
        let client = machine.client.clone();
        client.start_container(None, spec("c", "exec sleep 1000")).await.unwrap();
        let (_, stdio) = client.exec("c", "e1", process("cat /proc/1/comm; exit 4")).await.unwrap();
        assert_eq!(outputs(stdio).0, "sleep\n");
        match machine.events.next().await.unwrap() {
            Event::Exited { id, exec_in, exit } => assert_eq!((id.as_str(), exec_in.as_deref(), exit.code), ("e1", Some("c"), 4)),
            other => panic!("{other:?}"),
        }
        let mut shell = process("stty size; trap 'stty size; exit 9' WINCH; echo ready; while :; do sleep 0.01; done");
        shell.tty = true;
        shell.terminal_size = Some(TerminalSize { rows: 10, cols: 20 });
        let (_, stdio) = client.exec("c", "e2", shell).await.unwrap();
        let Stdio::Terminal(master) = stdio else { panic!("no terminal") };
        assert_eq!(read_until(master.as_fd(), "ready\r\n"), "10 20\r\nready\r\n");
        resize(master.as_fd(), TerminalSize { rows: 30, cols: 90 }).unwrap();
        assert_eq!(ended(machine, "e2").await.code, 9);
        assert_eq!(read_all(master), "30 90\r\n");
        // Removing a container must not wait for what was run in it later.
        client.exec("c", "e3", process("exec sleep 1000")).await.unwrap();
        client.remove("c").await.unwrap();
        assert_eq!(ended(machine, "e3").await.signal, Some(9));
        assert_eq!(ended(machine, "c").await.signal, Some(9));
        assert!(client.list().await.unwrap().containers.is_empty());
    });
}

fn what_cannot_be_done_is_said(fence: &Fence) {
    Machine::run(fence, "refusals", Vec::new(), async |machine| {
        let client = machine.client.clone();
        client.create_sandbox("s", SandboxConfig::default(), BTreeMap::new()).await.unwrap();
        assert!(matches!(client.create_sandbox("s", SandboxConfig::default(), BTreeMap::new()).await, Err(Failure::Exists { .. })));
        assert!(client.create_sandbox("../s", SandboxConfig::default(), BTreeMap::new()).await.is_err());
        assert!(matches!(client.remove_sandbox("t").await, Err(Failure::NotFound { .. })));
        assert!(matches!(client.start_container(Some("t"), spec("c", "true")).await.err(), Some(Failure::NotFound { .. })));
        let mut missing = spec("c", "true");
        missing.process.args = vec!["nope".into()];
        match client.start_container(Some("s"), missing).await.err() {
            Some(Failure::Container(error)) => assert_eq!((error.step, error.message.as_str()), (Step::Lookup, "exec: \"nope\": executable file not found in $PATH")),
            other => panic!("{other:?}"),
        }
        // Nothing is left of it: the id is free.
        client.start_container(Some("s"), spec("c", "exit 0")).await.unwrap();
        assert!(matches!(client.start_container(Some("s"), spec("c", "true")).await.err(), Some(Failure::Exists { .. })));
        ended(machine, "c").await;
        assert!(matches!(client.exec("c", "e", process("true")).await.err(), Some(Failure::NotRunning { .. })));
        assert!(matches!(client.signal("c", libc::SIGTERM, Scope::Process).await, Err(Failure::NotRunning { .. })));
        assert!(matches!(client.signal("x", libc::SIGTERM, Scope::Process).await, Err(Failure::NotFound { .. })));
        let mut lonely = spec("d", "true");
        lonely.pid = PidMode::Container("c".into());
        assert!(matches!(client.start_container(Some("s"), lonely).await.err(), Some(Failure::NotRunning { .. })));
    });
}

fn sockets_stay_in_the_namespace_they_were_made_in(fence: &Fence) {
    Machine::run(fence, "sockets", Vec::new(), async |machine| {
        let client = machine.client.clone();
        client.create_sandbox("s", SandboxConfig::default(), BTreeMap::new()).await.unwrap();
        let (inside, at) = (Netns::Sandbox("s".into()), SocketAddr::from(([127, 0, 0, 1], 8080)));
        let listener = client.listen(inside.clone(), at).await.unwrap();
        let (dialled, accepted) = tokio::join!(client.dial(inside.clone(), at), listener.accept());
        assert_eq!(dialled.unwrap().peer_addr().unwrap(), at);
        assert!(accepted.is_ok());
        assert!(client.dial(Netns::Node, at).await.is_err(), "the node does not see it");
        assert!(client.dial(Netns::Sandbox("t".into()), at).await.is_err());
        assert!(client.udp(inside, at).await.is_ok());
    });
}

fn files_are_opened_inside_the_container(fence: &Fence) {
    Machine::run(fence, "files", Vec::new(), async |machine| {
        let client = machine.client.clone();
        let (_, stdio) = client.start_container(None, spec("c", "ln -s /etc/passwd /tmp/link; ln -s ../../../../../node-secret /tmp/out; echo ready; exec sleep 1000")).await.unwrap();
        let Stdio::Pipes { stdout, .. } = stdio else { panic!("no pipes") };
        read_until(stdout.as_fd(), "ready\n");
        fs::write(machine.root.join("node-secret"), "secret").unwrap();
        let mut text = String::new();
        client.open_file("c", Path::new("/tmp/link"), FileAccess::Read).await.unwrap().read_to_string(&mut text).unwrap();
        assert!(text.starts_with("root:x:0:0:"), "{text}");
        assert!(matches!(client.open_file("c", Path::new("/tmp/out"), FileAccess::Read).await.err(), Some(Failure::File { errno: libc::ENOENT, .. })));
        client.open_file("c", Path::new("/tmp/new"), FileAccess::Replace { mode: 0o640 }).await.unwrap().write_all(b"written").unwrap();
        let (_, stdio) = client.exec("c", "e", process("cat /tmp/new; stat -c %a /tmp/new")).await.unwrap();
        assert_eq!(outputs(stdio).0, "written640\n");
    });
}

fn messages_may_be_large(fence: &Fence) {
    Machine::run(fence, "large", Vec::new(), async |machine| {
        let mut large = spec("c", "echo ${#BIG}");
        large.process.env = vec![format!("BIG={}", "x".repeat(100_000)), "PATH=/bin".into()];
        large.labels = (0..2000).map(|number| (format!("label-{number}"), "y".repeat(100))).collect();
        let (_, stdio) = machine.client.start_container(None, large).await.unwrap();
        assert_eq!(outputs(stdio).0, "100000\n");
        assert_eq!(machine.client.list().await.unwrap().containers["c"].spec.labels.len(), 2000);
    });
}

fn everything_ends_with_the_machine(fence: &Fence) {
    let marker = Machine::run(fence, "power", Vec::new(), async |machine| {
        let (started, stdio) = machine.client.start_container(None, spec("c", "exec sleep 1000")).await.unwrap();
        assert!(started.pid > 1);
        machine.client.power_off().await;
        assert!(machine.events.next().await.is_none());
        assert!(matches!(machine.client.info().await, Err(Failure::Gone | Failure::Kernel { .. })));
        // The last writer of the pipe is gone with the machine.
        outputs(stdio).0
    });
    assert_eq!(marker, "");
}

fn a_container_that_uses_too_much_memory_is_told_apart(fence: &Fence) {
    Machine::run(fence, "oom", Vec::new(), async |machine| {
        let limits = Limits { memory: Some(32 << 20), ..Limits::default() };
        let mut greedy = spec("c", "exec tail /dev/zero");
        greedy.cgroup = Some(CgroupSpec { path: "kubepods/pod1/c".into(), limits: limits.clone() });
        let mut modest = spec("d", "exec sleep 1000");
        modest.cgroup = Some(CgroupSpec { path: "kubepods/pod1/d".into(), limits });
        machine.client.start_container(None, modest).await.unwrap();
        let (started, _) = machine.client.start_container(None, greedy).await.unwrap();
        if machine.client.info().await.unwrap().enforcement.memory {
            assert!(started.degraded.is_empty(), "{:?}", started.degraded);
        } else {
            println!("  (no control groups here: node-init itself looks who uses too much, and says so)");
            assert_eq!(started.degraded, ["the memory limit is kept by looking now and then, not by the kernel"]);
        }
        let exit = ended(machine, "c").await;
        assert_eq!((exit.code, exit.signal, exit.oom_killed), (137, Some(9), true));
        assert!(machine.client.usage("c").await.is_ok());
        machine.client.remove("c").await.unwrap();
        assert_eq!(machine.client.list().await.unwrap().containers["d"].exit, None, "the modest one stays");
        machine.client.signal("d", libc::SIGKILL, Scope::Process).await.unwrap();
        assert!(!ended(machine, "d").await.oom_killed);
        machine.client.remove("d").await.unwrap();
    });
}
