//! Containers on the real kernel: exit codes, environment, users, rights, terminals, exec, overlay, limits, error texts, no leftovers.

mod fence;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use drydock_container::cgroup::Cgroups;
use drydock_container::stdio::Stdio;
use drydock_container::{
    Capabilities, CgroupSpec, ContainerSpec, Ended, Error, IdMap, Limits, Mount, PidMode, Process, ProcessSpec, Rlimit, RootFs, Sandbox,
    SandboxConfig, Seccomp, Step, Surroundings, Target, TerminalSize, UserSpec, exec, mount_namespace, signal, signal_mount_namespace, start,
    wait,
};
use fence::Fence;

fn main() -> ExitCode {
    fence::run(&[
        ("exit_codes_are_those_of_the_program", exit_codes_are_those_of_the_program),
        ("a_program_finds_its_environment_directory_and_arguments", a_program_finds_its_environment_directory_and_arguments),
        ("users_and_groups_are_the_containers_own", users_and_groups_are_the_containers_own),
        ("rights_are_those_of_container_engines", rights_are_those_of_container_engines),
        ("a_terminal_is_made_inside", a_terminal_is_made_inside),
        ("standard_input_reaches_the_program", standard_input_reaches_the_program),
        ("exec_runs_inside_the_container", exec_runs_inside_the_container),
        ("signals_reach_the_first_process_as_the_kernel_allows", signals_reach_the_first_process_as_the_kernel_allows),
        ("writes_stay_out_of_the_image", writes_stay_out_of_the_image),
        ("many_layers_with_odd_names_are_stacked", many_layers_with_odd_names_are_stacked),
        ("errors_are_worded_as_runc_words_them", errors_are_worded_as_runc_words_them),
        ("a_file_the_kernel_cannot_run_exits_255", a_file_the_kernel_cannot_run_exits_255),
        ("nothing_is_left_after_success_or_failure", nothing_is_left_after_success_or_failure),
        ("containers_of_a_sandbox_share_what_pods_share", containers_of_a_sandbox_share_what_pods_share),
        ("process_ids_are_shared_when_asked_for", process_ids_are_shared_when_asked_for),
        ("what_multiplies_can_be_ended", what_multiplies_can_be_ended),
        ("the_kernel_is_hidden_unless_privileged", the_kernel_is_hidden_unless_privileged),
        ("volumes_are_mounted_inside_only", volumes_are_mounted_inside_only),
        ("the_system_call_filter_denies_and_allows", the_system_call_filter_denies_and_allows),
        ("limits_are_set_on_the_process", limits_are_set_on_the_process),
        ("limits_of_control_groups_are_enforced_or_reported", limits_of_control_groups_are_enforced_or_reported),
    ])
}

struct Bench<'a> {
    fence: &'a Fence,
    directory: PathBuf,
    cgroups: Cgroups,
    ids: IdMap,
    sandbox: Option<Sandbox>,
    made: std::cell::Cell<u32>,
}

impl<'a> Bench<'a> {
    fn new(fence: &'a Fence, name: &str) -> Self {
        let directory = fence.directory_for(name);
        Bench { fence, directory, cgroups: Cgroups::none(), ids: IdMap::current(), sandbox: None, made: std::cell::Cell::new(0) }
    }

    fn spec(&self, args: &[&str]) -> ContainerSpec {
        let number = self.made.get();
        self.made.set(number + 1);
        ContainerSpec {
            id: format!("c{number}"),
            root: RootFs { layers: vec![self.fence.layer()], writable: self.directory.join(format!("c{number}")), readonly: false },
            mounts: vec![Mount::bind("/usr", "/usr").readonly()],
            process: ProcessSpec { args: args.iter().map(|a| (*a).to_owned()).collect(), ..ProcessSpec::default() },
            ..ContainerSpec::default()
        }
    }

    fn shell(&self, script: &str) -> ContainerSpec {
        self.spec(&["sh", "-c", script])
    }

    fn start(&self, spec: &ContainerSpec) -> Result<Process, Error> {
        start(spec, Surroundings { sandbox: self.sandbox.as_ref(), cgroups: &self.cgroups, ids: &self.ids, neighbor: None })
    }

    fn run(&self, spec: &ContainerSpec) -> Done {
        finish(self.start(spec).unwrap())
    }

    fn exec(&self, container: &Process, process: &ProcessSpec) -> Result<Process, Error> {
        exec(Target { pidfd: container.pidfd.as_fd(), cgroup: None, cgroups: &self.cgroups, ids: &self.ids }, process)
    }
}

#[derive(Debug)]
struct Done {
    stdout: String,
    stderr: String,
    ended: Ended,
    degraded: Vec<String>,
}

fn finish(process: Process) -> Done {
    let ended = wait(&process).unwrap();
    let read = |fd: std::os::fd::OwnedFd| {
        let mut bytes = Vec::new();
        // A terminal ends with EIO.
        match File::from(fd).read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EIO)),
        }
        String::from_utf8(bytes).unwrap()
    };
    let (stdout, stderr) = match process.stdio {
        Stdio::Pipes { stdout, stderr, .. } => (read(stdout), read(stderr)),
        Stdio::Terminal(master) => (read(master), String::new()),
    };
    Done { stdout, stderr, ended, degraded: process.degraded }
}

fn process(args: &[&str]) -> ProcessSpec {
    ProcessSpec { args: args.iter().map(|a| (*a).to_owned()).collect(), ..ProcessSpec::default() }
}

fn kill(process: &Process) -> Ended {
    signal(process.pidfd.as_fd(), libc::SIGKILL).unwrap();
    wait(process).unwrap()
}

fn exit_codes_are_those_of_the_program(fence: &Fence) {
    let bench = Bench::new(fence, "exit");
    for (script, code, signal) in [("exit 0", 0, None), ("exit 7", 7, None), ("exit 255", 255, None), ("sh -c 'kill -9 $$'; exit $?", 137, None)] {
        assert_eq!(bench.run(&bench.shell(script)).ended, Ended { code, signal }, "{script}");
    }
    let sleeping = bench.start(&bench.spec(&["sleep", "1000"])).unwrap();
    assert_eq!(kill(&sleeping), Ended { code: 137, signal: Some(9) });
}

fn a_program_finds_its_environment_directory_and_arguments(fence: &Fence) {
    let bench = Bench::new(fence, "env");
    let mut spec = bench.spec(&["sh", "-c", "echo \"$A|$HOME|$PATH|$(pwd)|$0|$1|$$\"", "zero", "one two"]);
    spec.process.env = vec!["A=b=c".into()];
    spec.process.cwd = "/made/for/you".into();
    let done = bench.run(&spec);
    assert_eq!(done.stdout, "b=c|/root|/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|/made/for/you|zero|one two|1\n");
    let mut spec = bench.shell("cat /proc/1/comm; ls /proc/self/fd | wc -l; cat /proc/self/mountinfo | grep -c ' / / '; umask");
    spec.process.env = vec!["PATH=/bin".into()];
    // Nothing in front of the program, no descriptor of ours (`ls` itself opens one), one root.
    assert_eq!(bench.run(&spec).stdout, "sh\n4\n1\n0022\n");
}

fn users_and_groups_are_the_containers_own(fence: &Fence) {
    let bench = Bench::new(fence, "users");
    let id = |user: UserSpec| {
        let mut spec = bench.shell("id -u; id -g; id -G; echo $HOME; echo x > /dev/stdout");
        spec.process.user = user;
        bench.run(&spec)
    };
    let named = |name: &str| UserSpec { name: name.into(), ..UserSpec::default() };
    if fence.many_ids {
        assert_eq!(id(UserSpec::default()).stdout, "0\n0\n0\n/root\nx\n");
        assert_eq!(id(named("app")).stdout, "1000\n1001\n1001 2000\n/home/app\nx\n");
        assert_eq!(id(UserSpec { uid: Some(4000), gid: Some(5), groups: vec![7], ..named("app") }).stdout, "4000\n5\n5 7\n/\nx\n");
        assert!(id(named("app")).degraded.is_empty());
    } else {
        let done = id(named("app"));
        assert!(done.stdout.starts_with("0\n0\n"), "{done:?}");
        assert!(done.degraded.iter().any(|note| note.contains("user 1000 does not exist")), "{done:?}");
        // Programs that change their user go on, without having changed it.
        let done = bench.run(&bench.shell("touch f && chown 33:33 f && stat -c %u f"));
        assert_eq!((done.stdout.as_str(), done.ended.code), ("0\n", 0), "{done:?}");
    }
}

fn rights_are_those_of_container_engines(fence: &Fence) {
    let bench = Bench::new(fence, "rights");
    let script = "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t' | tr '\\n' ' '";
    let status = |change: &dyn Fn(&mut ContainerSpec)| {
        let mut spec = bench.shell(script);
        change(&mut spec);
        bench.run(&spec).stdout
    };
    let default = "CapInh:0000000000000000 CapPrm:00000000a80425fb CapEff:00000000a80425fb CapBnd:00000000a80425fb CapAmb:0000000000000000 NoNewPrivs:0 Seccomp:2 ";
    assert_eq!(status(&|_| {}), default);
    assert_eq!(status(&|spec| spec.process.no_new_privileges = true), default.replace("NoNewPrivs:0", "NoNewPrivs:1"));
    let unconfined = status(&|spec| spec.process.seccomp = Seccomp::Unconfined);
    assert!(unconfined.ends_with(if fence.many_ids { "Seccomp:0 " } else { "Seccomp:2 " }), "{unconfined}");
    let none = status(&|spec| spec.process.capabilities = Capabilities::none());
    assert!(none.contains("CapEff:0000000000000000 CapBnd:0000000000000000"), "{none}");
    let admin = status(&|spec| spec.process.capabilities = Capabilities::default().adjusted(&["NET_ADMIN"], &["ALL"]));
    assert!(admin.contains("CapEff:0000000000001000 CapBnd:0000000000001000"), "{admin}");
    if fence.many_ids {
        let user = status(&|spec| spec.process.user = UserSpec::ids(1000, 1000));
        assert!(user.contains("CapPrm:0000000000000000 CapEff:0000000000000000 CapBnd:00000000a80425fb"), "{user}");
    }
}

fn a_terminal_is_made_inside(fence: &Fence) {
    let bench = Bench::new(fence, "tty");
    let mut spec = bench.shell("tty; stty size; echo $TERM; test -w /dev/console && test /dev/ptmx -ef /dev/pts/ptmx && echo ready; read line; echo got $line; exit 7");
    spec.process.tty = true;
    spec.process.terminal_size = Some(TerminalSize { rows: 33, cols: 101 });
    let running = bench.start(&spec).unwrap();
    let Stdio::Terminal(master) = &running.stdio else { panic!("no terminal") };
    File::from(master.try_clone().unwrap()).write_all(b"hello\n").unwrap();
    let done = finish(running);
    assert_eq!((done.ended.code, done.stdout.replace("\r\n", "\n").replacen("hello\n", "", 1).as_str()), (7, "/dev/pts/0\n33 101\nxterm\nready\ngot hello\n"));

    let container = bench.start(&bench.spec(&["sleep", "1000"])).unwrap();
    let mut shell = process(&["sh", "-c", "tty; ps -o tty= -p $$ 2>/dev/null || true; sleep 1000"]);
    shell.tty = true;
    let running = bench.exec(&container, &shell).unwrap();
    let Stdio::Terminal(master) = &running.stdio else { panic!("no terminal") };
    let mut line = [0u8; 10];
    File::from(master.try_clone().unwrap()).read_exact(&mut line).unwrap();
    assert_eq!(&line, b"/dev/pts/0");
    drainable(master);
    // Keystrokes become signals for what is in front.
    assert!(drydock_container::stdio::foreground(master.as_fd()).unwrap() > 1);
    File::from(master.try_clone().unwrap()).write_all(b"\x03").unwrap();
    assert_eq!(finish(running).ended, Ended { code: 130, signal: Some(2) });
    kill(&container);
}

/// Read until the program is quiet: until its `sleep` is in front.
fn drainable(master: &std::os::fd::OwnedFd) {
    loop {
        let group = drydock_container::stdio::foreground(master.as_fd()).unwrap();
        let comm = fs::read_to_string(format!("/proc/{group}/task/{group}/children")).unwrap_or_default();
        let asleep = comm.split_whitespace().any(|child| fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name == "sleep\n"));
        if asleep {
            return;
        }
        std::thread::yield_now();
    }
}

fn standard_input_reaches_the_program(fence: &Fence) {
    let bench = Bench::new(fence, "stdin");
    let mut spec = bench.spec(&["cat"]);
    assert_eq!(bench.run(&spec).stdout, "", "without standard input the program reads end of file");
    spec = bench.spec(&["cat"]);
    spec.process.stdin = true;
    let mut running = bench.start(&spec).unwrap();
    let Stdio::Pipes { stdin, .. } = &mut running.stdio else { panic!("no pipes") };
    File::from(stdin.take().unwrap()).write_all(b"through\n").unwrap();
    assert_eq!(finish(running).stdout, "through\n");
}

fn exec_runs_inside_the_container(fence: &Fence) {
    let mut bench = Bench::new(fence, "exec");
    bench.sandbox = Some(Sandbox::create(&SandboxConfig { hostname: "pod-1".into(), ..SandboxConfig::default() }, None).unwrap());
    let container = bench.start(&bench.shell("echo mine > /tmp/f; exec sleep 1000")).unwrap();
    while bench.exec(&container, &process(&["test", "-s", "/tmp/f"])).map(|process| wait(&process).unwrap().code).unwrap() != 0 {}
    let mut spec = process(&["sh", "-c", "cat /tmp/f; hostname; cat /proc/1/comm; pwd; echo $X; readlink /proc/self/ns/net; exit 3"]);
    spec.cwd = "/etc".into();
    spec.env = vec!["X=y".into()];
    let done = finish(bench.exec(&container, &spec).unwrap());
    let inside = fs::read_link(format!("/proc/{}/ns/net", container.pid)).unwrap();
    assert_eq!(done.stdout, format!("mine\npod-1\nsleep\n/etc\ny\n{}\n", inside.display()));
    assert_eq!(done.ended.code, 3);
    assert_ne!(inside, fs::read_link("/proc/self/ns/net").unwrap());

    let error = bench.exec(&container, &process(&["nope"])).unwrap_err();
    assert_eq!(error.message, "exec: \"nope\": executable file not found in $PATH");
    let mut spec = process(&["true"]);
    spec.cwd = "/not/there".into();
    let error = bench.exec(&container, &spec).unwrap_err();
    assert_eq!(error.message, "chdir to cwd (\"/not/there\") set in config.json failed: no such file or directory");
    // Everything in it ends with the first process.
    let other = bench.exec(&container, &process(&["sleep", "1000"])).unwrap();
    assert!(signal(container.pidfd.as_fd(), libc::SIGKILL).unwrap());
    // In this order: the kernel lets PID 1 go only when every process of its namespace has been reaped, and this one is ours.
    assert_eq!(wait(&other).unwrap().signal, Some(9));
    assert_eq!(wait(&container).unwrap().signal, Some(9));
    let error = bench.exec(&container, &process(&["true"])).unwrap_err();
    assert_eq!(error.errno, Some(libc::ESRCH), "{error:?}");
}

fn signals_reach_the_first_process_as_the_kernel_allows(fence: &Fence) {
    let bench = Bench::new(fence, "signals");
    let container = bench.start(&bench.spec(&["sleep", "1000"])).unwrap();
    // PID 1 without a handler does not hear SIGTERM: the reason for grace periods.
    assert!(signal(container.pidfd.as_fd(), libc::SIGTERM).unwrap());
    let alive = finish(bench.exec(&container, &process(&["cat", "/proc/1/comm"])).unwrap());
    assert_eq!(alive.stdout, "sleep\n");
    kill(&container);
    assert!(!signal(container.pidfd.as_fd(), libc::SIGTERM).unwrap());
    // With one it does, and starts with no signal blocked or ignored.
    let container = bench.start(&bench.shell("trap 'exit 5' TERM; grep -E 'SigBlk|SigIgn' /proc/self/status; echo ready; while :; do sleep 0.01; done")).unwrap();
    let Stdio::Pipes { stdout, .. } = &container.stdio else { panic!("no pipes") };
    let mut stdout = File::from(stdout.try_clone().unwrap());
    let mut seen = String::new();
    while !seen.contains("ready") {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        seen.push(char::from(byte[0]));
    }
    assert_eq!(seen.matches("0000000000000000").count(), 2, "{seen}");
    signal(container.pidfd.as_fd(), libc::SIGTERM).unwrap();
    assert_eq!(wait(&container).unwrap(), Ended { code: 5, signal: None });
}

fn writes_stay_out_of_the_image(fence: &Fence) {
    let bench = Bench::new(fence, "overlay");
    let spec = bench.shell("echo new > /stuff/new; rm -rf /home/app; mkdir /home/app; rm /stuff/file; ls -a /home/app | wc -l; ls /stuff; echo changed >> /etc/group");
    let done = bench.run(&spec);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("2\nnew\n", ""));
    assert_eq!(fs::read_to_string(fence.layer().join("stuff/file")).unwrap(), "from the image\n");
    assert_eq!(fs::read_to_string(spec.root.writable.join("upper/stuff/new")).unwrap(), "new\n");
    let mut spec = bench.shell("touch /x; echo still > /tmp/t; cat /tmp/t");
    spec.root.readonly = true;
    spec.mounts.push(Mount::tmpfs("/tmp", None));
    let done = bench.run(&spec);
    assert_eq!(done.stdout, "still\n");
    assert!(done.stderr.contains("Read-only file system"), "{done:?}");
    // Without layers the writable directory is everything.
    let mut spec = bench.spec(&["/usr/bin/cat", "/hello"]);
    spec.root.layers.clear();
    for (link, to) in [("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        fs::create_dir_all(spec.root.writable.join("upper")).unwrap();
        std::os::unix::fs::symlink(to, spec.root.writable.join("upper").join(link)).unwrap();
    }
    fs::write(spec.root.writable.join("upper/hello"), "plain\n").unwrap();
    assert_eq!(bench.run(&spec).stdout, "plain\n");
}

fn many_layers_with_odd_names_are_stacked(fence: &Fence) {
    let bench = Bench::new(fence, "layers");
    let mut spec = bench.shell("cat /v; ls /only");
    for number in 0..60 {
        let layer = bench.directory.join(format!("sha256:{number:064}, with \\ everything"));
        fs::create_dir_all(layer.join("only")).unwrap();
        fs::write(layer.join("v"), format!("{number}\n")).unwrap();
        if number == 30 {
            fs::write(layer.join("only/here"), "").unwrap();
        }
        spec.root.layers.push(layer);
    }
    assert_eq!(bench.run(&spec).stdout, "59\nhere\n");
}

fn errors_are_worded_as_runc_words_them(fence: &Fence) {
    let bench = Bench::new(fence, "errors");
    let cases: [(&[&str], Step, &str); 7] = [
        (&["foo"], Step::Lookup, "exec: \"foo\": executable file not found in $PATH"),
        (&["not-executable"], Step::Lookup, "exec: \"not-executable\": executable file not found in $PATH"),
        (&["/nope/foo"], Step::Lookup, "exec: \"/nope/foo\": stat /nope/foo: no such file or directory"),
        (&["/not-executable"], Step::Exec, "exec: \"/not-executable\": permission denied"),
        (&["/etc"], Step::Exec, "exec: \"/etc\": is a directory"),
        (&[""], Step::Lookup, "exec: \"\": executable file not found in $PATH"),
        (&[], Step::Request, "no command specified"),
    ];
    for (args, step, message) in cases {
        let error = bench.start(&bench.spec(args)).unwrap_err();
        assert_eq!((error.step, error.message.as_str()), (step, message));
    }
    let mut spec = bench.spec(&["true"]);
    spec.process.user.name = "nobody-here".into();
    assert_eq!(bench.start(&spec).unwrap_err().message, "unable to find user nobody-here: no matching entries in passwd file");
    let mut spec = bench.spec(&["true"]);
    spec.process.cwd = "relative".into();
    assert_eq!(bench.start(&spec).unwrap_err().message, "Cwd must be an absolute path");
    let mut spec = bench.spec(&["true"]);
    spec.mounts.push(Mount::bind("/not/on/the/node", "/data"));
    assert_eq!(
        bench.start(&spec).unwrap_err().message,
        "error mounting \"/not/on/the/node\" to rootfs at \"/data\": stat /not/on/the/node: no such file or directory"
    );
    let mut spec = bench.spec(&["true"]);
    spec.mounts.push(Mount::bind("/etc", "/stuff/file"));
    assert!(bench.start(&spec).unwrap_err().message.contains("are you trying to mount a directory onto a file"));
    let mut spec = bench.spec(&["true"]);
    spec.root.layers.push("/no/such/layer".into());
    assert_eq!(bench.start(&spec).unwrap_err().step, Step::Root);
}

fn a_file_the_kernel_cannot_run_exits_255(fence: &Fence) {
    let bench = Bench::new(fence, "format");
    let done = bench.run(&bench.spec(&["/not-a-program"]));
    assert_eq!((done.ended.code, done.stderr.as_str()), (255, "exec /not-a-program: exec format error\n"));
}

fn nothing_is_left_after_success_or_failure(fence: &Fence) {
    let bench = Bench::new(fence, "leftovers");
    let state = || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
        let processes = fs::read_dir("/proc").unwrap().flatten().filter(|e| e.file_name().to_string_lossy().parse::<i32>().is_ok()).count();
        (mounts, processes, fs::read_dir("/proc/self/fd").unwrap().count())
    };
    let before = state();
    for _ in 0..3 {
        bench.run(&bench.spec(&["true"]));
        bench.start(&bench.spec(&["foo"])).unwrap_err();
        let sandbox = Sandbox::create(&SandboxConfig { share_processes: true, ..SandboxConfig::default() }, Some(&bench.directory.join("shm"))).unwrap();
        let reaper = sandbox.reaper_pid().unwrap();
        sandbox.remove().unwrap();
        nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(reaper), None).unwrap();
        Sandbox::create(&SandboxConfig { hostname: "x".repeat(65), ..SandboxConfig::default() }, None).unwrap_err();
        let sysctls = [("net.no.such".to_owned(), "1".to_owned())].into();
        Sandbox::create(&SandboxConfig { sysctls, ..SandboxConfig::default() }, None).unwrap_err();
    }
    assert_eq!(state(), before);
    assert_eq!(nix::sys::wait::waitpid(None, Some(nix::sys::wait::WaitPidFlag::WNOHANG)), Err(nix::errno::Errno::ECHILD));
}

fn containers_of_a_sandbox_share_what_pods_share(fence: &Fence) {
    let mut bench = Bench::new(fence, "sandbox");
    let sysctls = [("net.ipv4.ip_unprivileged_port_start".to_owned(), "80".to_owned())].into();
    let config = SandboxConfig { hostname: "web-0".into(), sysctls, ..SandboxConfig::default() };
    let shm = bench.directory.join("shm");
    bench.sandbox = Some(Sandbox::create(&config, Some(&shm)).unwrap());
    let script = "hostname; for n in net ipc uts; do readlink /proc/self/ns/$n; done; cat /sys/class/net/lo/flags /proc/sys/net/ipv4/ip_unprivileged_port_start";
    let (one, two) = (bench.run(&bench.shell(script)).stdout, bench.run(&bench.shell(script)).stdout);
    assert_eq!(one, two);
    assert!(one.starts_with("web-0\n") && one.ends_with("0x9\n80\n"), "{one}");
    bench.run(&bench.shell("echo shared > /dev/shm/f"));
    assert_eq!(bench.run(&bench.shell("cat /dev/shm/f; df -k --output=size /dev/shm | tail -1 | tr -d ' '")).stdout, "shared\n65536\n");
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    let made_inside = bench.sandbox.as_ref().unwrap().in_network(|| fs::read_link("/proc/self/ns/net")).unwrap();
    assert!(one.contains(&made_inside.display().to_string()));
    assert_eq!(fs::read_link("/proc/self/ns/net").unwrap(), own, "and we are back");
    bench.sandbox.take().unwrap().remove().unwrap();
    assert!(!shm.exists());
    bench.sandbox = Some(Sandbox::create(&SandboxConfig { host_network: true, host_ipc: true, ..SandboxConfig::default() }, None).unwrap());
    assert_eq!(bench.run(&bench.shell("readlink /proc/self/ns/net")).stdout, format!("{}\n", own.display()));
}

fn process_ids_are_shared_when_asked_for(fence: &Fence) {
    let mut bench = Bench::new(fence, "pids");
    bench.sandbox = Some(Sandbox::create(&SandboxConfig { share_processes: true, ..SandboxConfig::default() }, None).unwrap());
    let mut first = bench.spec(&["sleep", "1000"]);
    first.pid = PidMode::Sandbox;
    let first = bench.start(&first).unwrap();
    let mut second = bench.shell("cat /proc/1/comm /proc/1/cmdline | tr '\\0' '\\n'; for p in /proc/[0-9]*; do cat $p/comm; done | sort -u | tr '\\n' ' '");
    second.pid = PidMode::Sandbox;
    let done = bench.run(&second);
    assert!(done.stdout.starts_with("pause\n/pause\n"), "{done:?}");
    assert!(done.stdout.contains("sleep"), "{done:?}");
    // An ephemeral container sees its target and nothing else.
    let mut target = bench.spec(&["sleep", "2000"]);
    target.pid = PidMode::Own;
    let target = bench.start(&target).unwrap();
    let mut debug = bench.shell("cat /proc/1/cmdline | tr '\\0' ' '");
    debug.pid = PidMode::Container("target".into());
    assert_eq!(bench.start(&debug).unwrap_err().step, Step::Request);
    let around = Surroundings { sandbox: bench.sandbox.as_ref(), cgroups: &bench.cgroups, ids: &bench.ids, neighbor: Some(target.pidfd.as_fd()) };
    assert_eq!(finish(start(&debug, around).unwrap()).stdout, "sleep 2000 ");
    let mut node = bench.shell("cat /proc/1/comm; readlink /proc/self/ns/pid");
    node.pid = PidMode::Node;
    let own = fs::read_link("/proc/self/ns/pid").unwrap();
    assert!(bench.run(&node).stdout.ends_with(&format!("{}\n", own.display())));
    kill(&target);
    kill(&first);
    let sandbox = bench.sandbox.take().unwrap();
    let reaper = sandbox.reaper_pid().unwrap();
    sandbox.remove().unwrap();
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(reaper), None).unwrap();
}

/// In a pid namespace of others, where the end of its first process is not the end of the rest.
fn what_multiplies_can_be_ended(fence: &Fence) {
    let mut bench = Bench::new(fence, "bomb");
    bench.sandbox = Some(Sandbox::create(&SandboxConfig { share_processes: true, ..SandboxConfig::default() }, None).unwrap());
    // Each makes three more, five times over. A limit would count every process of this user, wherever it runs.
    let mut bomb = bench.shell("f() { if [ $1 -gt 0 ]; then f $(($1 - 1)) & f $(($1 - 1)) & f $(($1 - 1)) & fi; exec sleep 1000; }; f 5");
    bomb.pid = PidMode::Sandbox;
    let bomb = bench.start(&bomb).unwrap();
    let namespace = mount_namespace(bomb.pid).unwrap();
    let patience = Instant::now();
    while signal_mount_namespace(namespace, libc::SIGCONT).unwrap() < 20 {
        assert!(patience.elapsed() < Duration::from_secs(20), "it does not multiply");
    }
    assert!(signal_mount_namespace(namespace, libc::SIGKILL).unwrap() > 0);
    kill(&bomb);
    let patience = Instant::now();
    while signal_mount_namespace(namespace, libc::SIGCONT).unwrap() > 0 {
        assert!(patience.elapsed() < Duration::from_secs(20), "it goes on");
    }
    bench.sandbox.take().unwrap().remove().unwrap();
}

fn the_kernel_is_hidden_unless_privileged(fence: &Fence) {
    let bench = Bench::new(fence, "masks");
    let script = "echo 1 > /proc/sys/vm/drop_caches; mkdir /sys/x; for f in kcore keys; do if test -e /proc/$f; then wc -c < /proc/$f; else echo 0; fi; done; ls /sys/firmware | wc -l; echo a > /dev/null; ls /dev | tr '\\n' ' '";
    let done = bench.run(&bench.shell(script));
    assert_eq!(done.stdout, "0\n0\n0\ncore fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ", "{done:?}");
    assert_eq!(done.stderr.matches("Read-only file system").count(), 2, "{done:?}");
    // Its own control group looks like the root of all, as on any node with version 2.
    assert_eq!(bench.run(&bench.shell("grep -cv ':/$' /proc/self/cgroup")).stdout, "0\n");
    let mut spec = bench.shell("echo 100 > /proc/sys/net/ipv4/ip_default_ttl && mount -t tmpfs t /tmp && echo mounted");
    spec.privileged = true;
    spec.process.capabilities = Capabilities::all();
    spec.process.seccomp = Seccomp::Unconfined;
    let done = bench.run(&spec);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("mounted\n", ""));
    spec.process.args = ["sleep", "1000"].map(str::to_owned).into();
    let container = bench.start(&spec).unwrap();
    assert_eq!(finish(bench.exec(&container, &process(&["hostname"])).unwrap()).ended.code, 0, "it can be entered");
    kill(&container);
}

fn volumes_are_mounted_inside_only(fence: &Fence) {
    let bench = Bench::new(fence, "volumes");
    let volume = bench.directory.join("volume");
    fs::create_dir_all(volume.join("sub")).unwrap();
    fs::write(volume.join("file"), "data\n").unwrap();
    let layer = bench.directory.join("tricky");
    fs::create_dir_all(&layer).unwrap();
    let outside = bench.directory.join("outside");
    fs::create_dir_all(&outside).unwrap();
    // An image whose mount point is a link to somewhere on the node.
    std::os::unix::fs::symlink(&outside, layer.join("trap")).unwrap();
    let mut spec = bench.shell("cat /data/file /etc/one /trap/file; echo w > /data/sub/w; echo w > /ro/w; cat /tmp/size; df -k --output=size /mem | tail -1 | tr -d ' '");
    spec.root.layers.push(layer);
    spec.mounts.extend([
        Mount::bind(&volume, "/data"),
        Mount::bind(volume.join("file"), "/etc/one"),
        Mount::bind(&volume, "/trap"),
        Mount::bind(&volume, "/ro").readonly(),
        Mount::tmpfs("/mem", Some(1 << 20)),
    ]);
    let done = bench.run(&spec);
    assert_eq!(done.stdout, "data\ndata\ndata\n1024\n", "{done:?}");
    assert!(done.stderr.contains("/ro/w: Read-only file system"), "{done:?}");
    assert_eq!(fs::read_to_string(volume.join("sub/w")).unwrap(), "w\n");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(spec.root.writable.join("upper").join(outside.strip_prefix("/").unwrap()).is_dir(), "the link leads into the container");
}

fn the_system_call_filter_denies_and_allows(fence: &Fence) {
    let bench = Bench::new(fence, "seccomp");
    let cases = [
        ("unshare -U true", false),
        ("unshare -m true", false),
        ("keyctl 2>/dev/null || true; grep -q Seccomp /proc/self/status", true),
        ("sh -c 'true & wait'", true),
        ("mkfifo /tmp/p && chmod 700 /tmp/p && ln -s a /tmp/l && ls /tmp > /dev/null", true),
    ];
    for (script, allowed) in cases {
        let done = bench.run(&bench.shell(script));
        assert_eq!(done.ended.code == 0, allowed, "{script}: {done:?}");
    }
    let mut spec = bench.shell("unshare -U true");
    spec.process.seccomp = Seccomp::Unconfined;
    // With one id `unshare` itself may, writing the map is refused by nobody: it is our own namespace's child.
    assert_eq!(bench.run(&spec).ended.code, 0);
}

fn limits_are_set_on_the_process(fence: &Fence) {
    let bench = Bench::new(fence, "rlimits");
    let mut spec = bench.shell("ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj");
    spec.process.rlimits = vec![Rlimit { resource: libc::RLIMIT_NOFILE, soft: 100, hard: 200 }];
    spec.oom_score_adj = Some(500);
    assert_eq!(bench.run(&spec).stdout, "100\n200\n500\n");
    spec = bench.spec(&["true"]);
    spec.oom_score_adj = Some(-900);
    assert!(bench.run(&spec).degraded.iter().any(|note| note.contains("oom_score_adj")));
}

fn limits_of_control_groups_are_enforced_or_reported(fence: &Fence) {
    let mut bench = Bench::new(fence, "cgroups");
    let (cgroups, refused) = Cgroups::open(&fence.cgroups, "node-1");
    bench.cgroups = cgroups;
    let limited = |bench: &Bench<'_>, script: &str, limits: Limits| {
        let mut spec = bench.shell(script);
        spec.cgroup = Some(CgroupSpec { path: Path::new("kubepods/pod1").join(&spec.id), limits });
        spec
    };
    let enforcement = bench.cgroups.enforcement();
    if !enforcement.memory {
        println!("  (no control groups here: limits are reported as not enforced)");
        assert!(refused.iter().any(|note| note.starts_with("memory limits are not enforced")), "{refused:?}");
        let done = bench.run(&limited(&bench, "true", Limits { memory: Some(64 << 20), ..Limits::default() }));
        assert_eq!(done.degraded, ["the memory limit is not enforced here"]);
        return;
    }
    assert_eq!(refused, Vec::<String>::new());
    let spec = limited(&bench, "tail /dev/zero", Limits { memory: Some(32 << 20), ..Limits::default() });
    let done = bench.run(&spec);
    // Either the program was PID 1, or the shell in front of it passes its code on.
    assert_eq!(done.ended.code, 137, "{done:?}");
    let group = bench.cgroups.group(&spec.cgroup.unwrap().path).unwrap();
    assert!(group.oom_kills() > 0);
    assert_eq!(group.remove(), drydock_container::cgroup::Removal::Gone);
    if enforcement.pids {
        let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait";
        let done = bench.run(&limited(&bench, script, Limits { pids: Some(5), ..Limits::default() }));
        assert!(done.stderr.to_lowercase().contains("fork") && done.ended.code != 0, "{done:?}");
    }
    if enforcement.cpu {
        let spec = limited(&bench, "exec sleep 1000", Limits { cpu_millis: Some(200), cpu_request_millis: Some(100), memory: Some(64 << 20), pids: Some(10) });
        let running = bench.start(&spec).unwrap();
        assert!(running.degraded.is_empty(), "{:?}", running.degraded);
        let path = spec.cgroup.unwrap().path;
        let group = bench.cgroups.group(&path).unwrap();
        assert_eq!(group.processes(), [running.pid]);
        assert_eq!(group.usage().pids, Some(1));
        assert!(group.usage().memory_bytes.is_some());
        // An exec is counted and limited with its container.
        let target = Target { pidfd: running.pidfd.as_fd(), cgroup: Some(&path), cgroups: &bench.cgroups, ids: &bench.ids };
        let other = exec(target, &process(&["sleep", "1000"])).unwrap();
        assert_eq!(group.processes().len(), 2);
        kill(&other);
        let quota = fence.cgroups.iter().find(|(name, _)| name == "cpu").map(|(_, base)| base.join("node-1").join(&path).join("cpu.cfs_quota_us"));
        assert_eq!(fs::read_to_string(quota.unwrap()).unwrap(), "20000\n");
        assert_eq!(group.remove(), drydock_container::cgroup::Removal::Busy);
        kill(&running);
        assert_eq!(group.remove(), drydock_container::cgroup::Removal::Gone);
    }
    let error = bench.cgroups.create(&CgroupSpec { path: "../escape".into(), limits: Limits::default() }).unwrap_err();
    assert_eq!(error.step, Step::Request);
}
