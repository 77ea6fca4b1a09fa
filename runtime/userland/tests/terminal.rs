//! Shell and editors at a terminal: keys in, screen out.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{fd::AsFd as _, unix::fs::symlink},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    pty::{Winsize, openpty},
};

const BINARY: &str = env!("CARGO_BIN_EXE_drydock-userland");
const PATIENCE: Duration = Duration::from_secs(10);

/// A program at a terminal of its own.
struct Terminal {
    directory: tempfile::TempDir,
    master: File,
    child: Child,
    screen: vt100::Parser,
    bytes: Vec<u8>,
    ended: bool,
}

impl Terminal {
    fn open(files: &[(&str, &str)], columns: u16, words: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bin = directory.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let links = Command::new(BINARY).arg("--links").output().unwrap();
        for path in String::from_utf8(links.stdout).unwrap().lines() {
            symlink(BINARY, bin.join(path.rsplit('/').next().unwrap())).unwrap();
        }
        let home = directory.path().join("home");
        std::fs::create_dir(&home).unwrap();
        for (name, text) in files {
            std::fs::write(home.join(name), text).unwrap();
        }
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = Command::new(bin.join("setsid"))
            .arg("-c")
            .args(words)
            .env_clear()
            .env("PATH", &bin)
            .env("HOME", &home)
            .env("TERM", "xterm-256color")
            .env("DRYDOCK_SHELL_MARKS", "1")
            .env("PS1", "$ ")
            .current_dir(&home)
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        Self { directory, master: File::from(pty.master), child, screen: vt100::Parser::new(24, columns, 0), bytes: Vec::new(), ended: false }
    }

    fn shell(files: &[(&str, &str)]) -> Self {
        let mut terminal = Self::open(files, 80, &["sh"]);
        terminal.wait_for("\x1b]133;B");
        terminal
    }

    /// A program of the test's own, as a script.
    fn program(&self, name: &str, script: &str) {
        let path = self.directory.path().join("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn home(&self, name: &str) -> PathBuf {
        self.directory.path().join("home").join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.home(name)).unwrap_or_default()
    }

    fn send(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Takes output until `done`; panics with the screen when it does not come.
    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(self) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what:?}; screen:\n{}\nbytes: {:?}", self.screen.screen().contents(), String::from_utf8_lossy(&self.bytes));
            let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::try_from(left.min(Duration::from_millis(50))).unwrap()).unwrap() == 0 {
                continue;
            }
            let mut buffer = [0; 4096];
            match self.master.read(&mut buffer) {
                Ok(count) if count > 0 => {
                    self.screen.process(&buffer[..count]);
                    self.bytes.extend_from_slice(&buffer[..count]);
                }
                _ => {
                    self.ended = true;
                    assert!(done(self), "the end before {what:?}; screen:\n{}", self.screen.screen().contents());
                    return;
                }
            }
        }
    }

    /// Waits for a text in the bytes since the last wait, and forgets what came up to it.
    fn wait_for(&mut self, text: &str) {
        self.until(text, |terminal| find(&terminal.bytes, text.as_bytes()).is_some());
        let end = find(&self.bytes, text.as_bytes()).unwrap() + text.len();
        self.bytes.drain(..end);
    }

    /// Waits for a text on the screen.
    fn see(&mut self, text: &str) {
        self.until(text, |terminal| terminal.screen.screen().contents().contains(text));
    }

    /// Runs a line and waits for the next prompt.
    fn line(&mut self, text: &str) {
        self.send(&format!("{text}\r"));
        self.wait_for("\x1b]133;D;");
        self.wait_for("\x1b]133;B\x07");
    }

    /// Waits for a file that a program writes, and gives its line.
    fn written(&mut self, name: &str) -> String {
        self.until(name, |terminal| terminal.read(name).ends_with('\n'));
        self.read(name).trim().to_owned()
    }

    /// The processes that the shell has started and not waited for.
    fn children(&self) -> String {
        std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id())).unwrap()
    }

    /// Waits until a process leads the group that has the terminal, and all that the shell runs is in it.
    fn in_front(&mut self, leader: &str) {
        let group = |pid: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(2).map(str::to_owned))
        };
        self.until("group in front", |terminal| {
            nix::unistd::tcgetpgrp(&terminal.master).unwrap().to_string() == leader
                && terminal.children().split_whitespace().all(|pid| group(pid).as_deref() == Some(leader))
        });
    }

    /// Waits until a process is in a state of `/proc/PID/stat`: `T` stopped, `Z` ended and not yet waited for.
    fn process_state(&mut self, pid: &str, state: char) {
        let wanted = format!(") {state} ");
        self.until("state of the process", |_| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(&wanted)));
    }

    fn output_waits(&self) -> bool {
        let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(200_u16)).unwrap() > 0
    }

    /// Presses Ctrl-C until the next prompt is there.
    fn until_interrupted(&mut self) {
        let end = Instant::now() + PATIENCE;
        while find(&self.bytes, b"\x1b]133;B\x07").is_none() {
            assert!(Instant::now() < end, "Ctrl-C does nothing; screen:\n{}", self.screen.screen().contents());
            self.send("\x03");
            while self.output_waits() {
                let mut buffer = [0; 4096];
                let count = self.master.read(&mut buffer).unwrap();
                self.screen.process(&buffer[..count]);
                self.bytes.extend_from_slice(&buffer[..count]);
            }
        }
        assert!(find(&self.bytes, b"133;D;130").is_some(), "{}", String::from_utf8_lossy(&self.bytes));
        assert!(!self.screen.screen().contents().contains("\nnever"));
        self.bytes.clear();
    }

    /// Waits for the program to end and gives its status.
    fn ends(&mut self) -> i32 {
        self.until("end of the program", |terminal| terminal.ended);
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[test]
fn marks_tell_prompt_command_and_status() {
    let mut terminal = Terminal::open(&[], 80, &["sh"]);
    terminal.wait_for("\x1b]133;A;cwd=");
    terminal.wait_for("/home\x07");
    terminal.wait_for("\x1b]133;B\x07");
    terminal.send("echo 'a;b' | cat; cd /tmp\r");
    terminal.wait_for("\x1b]133;C;cmdline=echo%20%27a%3Bb%27%20%7C%20cat%3B%20cd%20/tmp;cwd=");
    terminal.wait_for("/home\x07");
    terminal.wait_for("a;b");
    terminal.wait_for("\x1b]133;D;0\x07");
    terminal.wait_for("\x1b]133;A;cwd=/tmp\x07");
    terminal.line("alias f=false");
    terminal.send("f now\r");
    terminal.wait_for("cmdline=false%20now;cwd=/tmp\x07");
    terminal.wait_for("\x1b]133;D;1\x07");
    // A shell inside keeps silent: its commands are not the outer shell's.
    terminal.send("sh\r");
    terminal.wait_for("\x1b]133;C;cmdline=sh");
    terminal.wait_for("$ ");
    terminal.send("echo in$((1))ner\r");
    terminal.wait_for("in1ner");
    assert!(find(&terminal.bytes, b"133;").is_none());
    terminal.send("exit 3\r");
    terminal.wait_for("\x1b]133;D;3\x07");
    terminal.send("exit 4\r");
    assert_eq!(terminal.ends(), 4);
}

#[test]
fn keys_edit_the_line_and_recall_earlier_ones() {
    let mut terminal = Terminal::shell(&[]);
    // Left, home, delete, words: every way of getting at a mistake.
    terminal.send("eco one two\x1b[H\x1b[C\x1b[Ch\x05 three\x17four\r");
    terminal.wait_for("\x1b]133;C;cmdline=echo%20one%20two%20four;");
    terminal.wait_for("\x1b]133;B\x07");
    terminal.send("nonsense\x03");
    terminal.wait_for("^C");
    terminal.wait_for("\x1b]133;B\x07");
    terminal.send("\x1b[A\x7f\x7f\x7f\x7ffive\r");
    terminal.wait_for("\x1b]133;C;cmdline=echo%20one%20two%20five;");
    terminal.wait_for("\x1b]133;B\x07");
    terminal.send("\x12one two f\x12\r");
    terminal.wait_for("\x1b]133;C;cmdline=echo%20one%20two%20four;");
    terminal.wait_for("\x1b]133;B\x07");
    terminal.send("\x15echo \u{65e5}\u{672c}e\x7f\x1b[D\x7f\r");
    terminal.wait_for("\x1b]133;C;cmdline=echo%20%E6%9C%AC;");
    terminal.wait_for("\x1b]133;B\x07");
    terminal.line("echo one; echo \u{65e5}");
    terminal.send("!! !$ '!!'\r");
    terminal.wait_for("cmdline=echo%20one%3B%20echo%20%E6%97%A5%20%E6%97%A5%20%27%21%21%27;");
    terminal.wait_for("\x1b]133;B\x07");
    assert!(terminal.read(".sh_history").starts_with("echo one two four\necho one two five\n"));
    terminal.send("\x04");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn a_line_longer_than_the_window_wraps_and_is_drawn_again() {
    let mut terminal = Terminal::open(&[], 20, &["sh"]);
    terminal.wait_for("\x1b]133;B");
    terminal.send("echo aaaaaaaaaaaaaaaaaaaaaaaaabbbbbb\x01\x1b[3~\x1b[3~\x1b[3~\x1b[3~printf");
    terminal.see("$ printf aaaaaaaaaaa\naaaaaaaaaaaaaabbbbbb");
    // As after a resize: the line is drawn again in its place, and nothing else moves.
    let shell = nix::unistd::Pid::from_raw(i32::try_from(terminal.child.id()).unwrap());
    terminal.bytes.clear();
    nix::sys::signal::kill(shell, nix::sys::signal::Signal::SIGWINCH).unwrap();
    terminal.wait_for("\x1b]133;B");
    terminal.see("$ printf aaaaaaaaaaa\naaaaaaaaaaaaaabbbbbb");
    terminal.send("\x05\r");
    terminal.wait_for("\x1b]133;D;0\x07");
    terminal.wait_for("\x1b]133;B");
    // What a program left without a line end stays, with a mark; the prompt has a row of its own.
    terminal.until("the prompt's row", |terminal| {
        let rows: Vec<String> = terminal.screen.screen().rows(0, 20).collect();
        rows[2..5].iter().map(|row| row.trim_end()).eq(["aaaaaaaaaaaaaaaaaaaa", "aaaaabbbbbb\u{23ce}", "$"])
    });
}

/// The rows above the window, oldest first, and those in it.
fn with_scrollback(terminal: &Terminal) -> Vec<String> {
    let mut screen = vt100::Parser::new(24, 80, 1000);
    screen.process(&terminal.bytes);
    let mut rows = Vec::new();
    for back in (1..=1000).rev() {
        screen.screen_mut().set_scrollback(back);
        if screen.screen().scrollback() == back {
            rows.extend(screen.screen().rows(0, 80).take(1));
        }
    }
    screen.screen_mut().set_scrollback(0);
    rows.extend(screen.screen().rows(0, 80));
    rows
}

#[test]
fn a_command_higher_than_the_window_is_on_the_screen_once() {
    let mut terminal = Terminal::shell(&[]);
    let text: Vec<String> = (0..60).map(|row| format!("row {row};")).collect();
    terminal.send(&format!("\x1b[200~cat > out <<END\n{}\nEND\x1b[201~", text.join("\n")));
    terminal.see("> row 59;\n> END");
    // Ways through it: the cursor is always in the window.
    terminal.send("\x1b[D");
    terminal.send(&"\x1b[A".repeat(40));
    terminal.send("\x05!");
    terminal.see("> row 20;!");
    terminal.send("\x7f");
    terminal.send(&"\x1b[B".repeat(60));
    terminal.send("\x05");
    terminal.see("> row 59;\n> END");
    terminal.send("\r");
    terminal.until("the end", |terminal| find(&terminal.bytes, b"\x1b]133;D;0\x07").is_some());
    assert_eq!(terminal.read("out"), format!("{}\n", text.join("\n")));
    let rows = with_scrollback(&terminal);
    for row in text {
        assert_eq!(rows.iter().filter(|shown| shown.contains(&row)).count(), 1, "{row} in:\n{}", rows.join("\n"));
    }
}

#[test]
fn looking_back_runs_nothing_by_itself_and_says_when_there_is_no_more() {
    let mut terminal = Terminal::shell(&[]);
    for line in ["echo first", "echo second", "echo second ", "cat <<END\rkind: Pod\rEND"] {
        terminal.line(line);
    }
    // A paste is looked for, not run.
    terminal.send("\x12\x1b[200~touch ran\ntouch ran\n\x1b[201~");
    terminal.see("(failed reverse-i-search)`touch ran\u{23ce}touch ran': ");
    terminal.send("\x07\x12echo");
    terminal.see("(reverse-i-search)`echo': echo second");
    terminal.send("\x12\x12");
    terminal.see("(reverse-i-search)`echo': echo first");
    terminal.send("\x12");
    terminal.see("(failed reverse-i-search)`echo': echo first");
    terminal.send("\x15\x12Pod");
    terminal.see("(reverse-i-search)`Pod': cat <<END\u{23ce}kind: Pod\u{23ce}END");
    terminal.send("\x03");
    // Keys that are sequences of more than one kind leave nothing behind.
    terminal.send("echo \x1b[<0;1;1Mone\x1b\x1b[D\x1b[3;5~two\x1b\u{f6}\x1b[1;3Dx\r");
    terminal.wait_for("cmdline=echo%20xtwo;");
    assert!(!terminal.home("ran").exists());
}

#[test]
fn unfinished_commands_go_on_in_the_next_line() {
    let mut terminal = Terminal::shell(&[]);
    terminal.send("for i in 1 2; do\recho n$i\rdone\r");
    terminal.wait_for("\x1b]133;C;cmdline=for%20i%20in%201%202%3B%20do%0Aecho%20n%24i%0Adone;");
    terminal.wait_for("n2");
    terminal.wait_for("\x1b]133;D;0\x07");
    terminal.wait_for("\x1b]133;B\x07");
    terminal.send("\x1b[A\r");
    terminal.wait_for("n2\r\n\x1b]133;D;0\x07");
    terminal.wait_for("\x1b]133;B\x07");
    // A paste of several lines is one command, and waits for Enter.
    terminal.send("\x1b[200~cat <<END > out\r\nkind: Pod\n\tx\nEND\x1b[201~");
    terminal.see("> END");
    assert!(!terminal.home("out").exists());
    terminal.send("\r");
    terminal.wait_for("\x1b]133;D;0\x07");
    assert_eq!(terminal.read("out"), "kind: Pod\n\tx\n");
}

#[test]
fn tab_completes_commands_and_files() {
    let mut terminal = Terminal::shell(&[("pod.yaml", "yes"), ("pods.txt", ""), ("with blank", "blank")]);
    std::fs::create_dir(terminal.home("chapter")).unwrap();
    terminal.send("hostn\t");
    terminal.see("$ hostname ");
    terminal.send("\x15cat po\t.\t\r");
    terminal.wait_for("cmdline=cat%20pod.yaml%20;");
    terminal.wait_for("\x1b]133;B\x07");
    terminal.send("cat wi\t\r");
    terminal.wait_for("cmdline=cat%20with%5C%20blank%20;");
    terminal.wait_for("\x1b]133;D;0\x07");
    terminal.wait_for("\x1b]133;B\x07");
    std::fs::write(terminal.home("chapters.txt"), "").unwrap();
    terminal.send("cd ch\t");
    terminal.see("$ cd chapter/");
    terminal.send("\x15");
    // A program that completes itself: endings of files it can read.
    terminal.program("kubectl", "if [ \"$2\" = apply ]; then printf 'yaml\\njson\\n:8\\n'; else printf 'pods\\tthings that run\\npodtemplates\\n:4\\n'; fi");
    terminal.send("kubectl apply -f p\t");
    terminal.see("$ kubectl apply -f pod.yaml ");
    terminal.send("\x15kubectl get po\t\t");
    terminal.see("things that run");
    terminal.send("s\t\x15");
    terminal.send("ls ch\t");
    terminal.see("$ ls chapter");
    terminal.send("\x15cat pod\t\t");
    terminal.see("pods.txt");
    terminal.see("pod.yaml");
}

/// Names that a shell would split, expand or run if they stood there as they are.
const HOSTILE: &[&str] = &[
    "a b",
    "a$(touch ran)",
    "a`touch ran`",
    "a;touch ran",
    "a|touch ran&",
    "a'b",
    "a\"b",
    "a\\b",
    "a$HOME",
    "a!!b",
    "a!$",
    "a*[x]?",
    "a{b,c}",
    "a>ran",
    "a(b)",
    "a#~=b",
    "~a",
    "#a",
    "a\tb",
];

#[test]
fn a_completed_name_is_one_word_that_stands_for_itself() {
    let mut terminal = Terminal::shell(&[]);
    // It offers what the file `offered` holds, and says what it was given.
    terminal.program("kubectl", "if [ \"$1\" = __complete ]; then echo \"$*\" > asked; cat ~/offered; echo :4; else printf '<%s>' \"$@\" > ~/given; fi");
    let run = |terminal: &mut Terminal, typed: &str| {
        terminal.send(&format!("{typed}\t"));
        terminal.send("end\r");
        terminal.wait_for("\x1b]133;D;");
        terminal.wait_for("\x1b]133;B\x07");
        assert!(!terminal.home("ran").exists(), "{typed:?} ran a name");
        terminal.read("given")
    };
    for name in HOSTILE {
        // A tab in what a program offers begins the description.
        if !name.contains('\t') {
            std::fs::write(terminal.home("offered"), format!("{name}\tabout it\n")).unwrap();
            let first = name.chars().next().unwrap();
            for quote in ["", "'", "\""] {
                assert_eq!(run(&mut terminal, &format!("kubectl get pod {quote}")), format!("<get><pod><{name}><end>"), "{quote}");
                if first == 'a' {
                    assert_eq!(run(&mut terminal, &format!("kubectl get pod {quote}a")), format!("<get><pod><{name}><end>"), "{quote}a");
                }
            }
        }
        // A file in a directory whose name is as bad.
        let directory = terminal.home("x").join(name);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(name), "").unwrap();
        std::fs::write(terminal.home("offered"), "").unwrap();
        terminal.program("show", "printf '<%s>' \"$@\" > ~/given");
        for quote in ["", "'", "\""] {
            assert_eq!(run(&mut terminal, &format!("show {quote}x/\t")), format!("<x/{name}/{name}><end>"), "{quote}");
        }
        std::fs::remove_dir_all(terminal.home("x")).unwrap();
    }
    // What was typed stays, and counts for what it means.
    for (offered, typed, given, asked) in [
        ("a b", "kubectl get 'x y' a\\", "<get><x y><a b><end>", "get x y a"),
        ("a b", "kubectl get 'a b", "<get><a b><end>", "get a b"),
        ("web", "kubectl -n \"$NS\" --pod=w", "<-n><one two><--pod=web><end>", "-n one two --pod=w"),
        ("web", "A=1 kubectl get w", "<get><web><end>", "get w"),
        ("web", "if true; then kubectl get w\t; fi #", "<get><web>", "get w"),
        ("web", "echo \"$(kubectl get w\t)\"", "<get><web>", "get w"),
    ] {
        std::fs::write(terminal.home("offered"), format!("{offered}\n")).unwrap();
        terminal.line("NS='one two'");
        assert_eq!(run(&mut terminal, typed), given, "{typed}");
        assert_eq!(terminal.read("asked"), format!("__complete {asked}\n"), "{typed}");
    }
    terminal.line("DRYDOCK_NAME=1");
    terminal.send("echo $DRYDOCK_N\t");
    terminal.see("echo $DRYDOCK_NAME");
}

#[test]
fn jobs_stop_go_on_and_end() {
    let mut terminal = Terminal::shell(&[]);
    terminal.send("cat\r");
    terminal.wait_for("\x1b]133;C");
    terminal.send("here\r");
    terminal.wait_for("here\r\nhere\r\n");
    terminal.send("\x1a");
    terminal.wait_for("Stopped");
    terminal.wait_for("\x1b]133;D;148\x07");
    terminal.send("fg\r");
    terminal.wait_for("\x07cat\r\n");
    terminal.send("again\r");
    terminal.wait_for("again\r\nagain\r\n");
    terminal.send("\x04");
    terminal.wait_for("\x1b]133;D;0\x07");
    terminal.send("sleep 1000\r");
    terminal.wait_for("\x1b]133;C");
    terminal.until("sleep in front", |terminal| {
        let group = nix::unistd::tcgetpgrp(&terminal.master).unwrap();
        std::fs::read_to_string(format!("/proc/{group}/stat")).is_ok_and(|stat| stat.contains("(sleep)"))
    });
    terminal.send("\x03");
    terminal.wait_for("\x1b]133;D;130\x07");
    terminal.line("sleep 1000 & jobs");
    terminal.see("Running");
    terminal.line("kill %1; wait; jobs");
    terminal.line("true");
    // Which one `fg` means is marked; who leaves is told what would end.
    terminal.line("sleep 1001 & sleep 1002 & sleep 1003 &");
    terminal.line("clear; kill -STOP %2");
    // `kill` does not wait until it is so.
    terminal.line("until jobs > state; grep -q Stopped state; do :; done; jobs");
    terminal.until("the marks", |terminal| {
        terminal.screen.screen().contents().contains("[1]   Running                 sleep 1001 &\n[2]+  Stopped                 sleep 1002\n[3]-  Running                 sleep 1003 &")
    });
    for way in ["\x04", "exit 7\r"] {
        terminal.line("clear");
        terminal.send(way);
        terminal.wait_for("There are stopped jobs.");
        terminal.wait_for("\x1b]133;B\x07");
    }
    terminal.send("exit 7\r");
    assert_eq!(terminal.ends(), 7);
}

#[test]
fn ctrl_c_ends_loops_and_reads() {
    let mut terminal = Terminal::shell(&[]);
    for line in ["while true; do sleep 0.01; done", "while :; do :; done", "while read line; do sleep 1000; done < /etc/passwd", "read answer", "cat | cat", "wait_for() { sleep 1000; }; wait_for", "sleep 1000 & wait"] {
        terminal.send(&format!("{line}; echo never\r"));
        terminal.wait_for("\x1b]133;C");
        // Ctrl-C until it is taken: nobody knows from outside when the command has really started.
        terminal.until_interrupted();
    }
    terminal.line("for i in 1 2; do echo $i; done;");
    terminal.send("\x04");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn ctrl_c_ends_a_loop_whose_command_has_just_ended() {
    let mut terminal = Terminal::shell(&[]);
    terminal.program("step", "echo $$ > pid; until test -e go; do sleep 0.01; done");
    for line in ["while true; do step; done", "while true; do step | cat; done", "for i in 1 2 3; do (step); done", "until ! step; do :; done"] {
        terminal.line("rm -f pid go");
        terminal.send(&format!("{line}; echo never\r"));
        terminal.wait_for("\x1b]133;C");
        let step = terminal.written("pid");
        // Each command leads a group of its own, as outside of loops: some programs make sure of it and would leave one that another leads.
        terminal.in_front(&step);
        // The shell sleeps while its command ends, so the key comes when nobody is left of the command to hear it.
        let shell = nix::unistd::Pid::from_raw(i32::try_from(terminal.child.id()).unwrap());
        nix::sys::signal::kill(shell, nix::sys::signal::Signal::SIGSTOP).unwrap();
        terminal.process_state(&shell.to_string(), 'T');
        std::fs::write(terminal.home("go"), "").unwrap();
        terminal.process_state(&step, 'Z');
        terminal.send("\x03");
        terminal.see("^C");
        std::fs::remove_file(terminal.home("go")).unwrap();
        nix::sys::signal::kill(shell, nix::sys::signal::Signal::SIGCONT).unwrap();
        terminal.wait_for("\x1b]133;D;130\x07");
        terminal.wait_for("\x1b]133;B\x07");
        terminal.line("clear");
    }
    // A command that hears Ctrl-C itself and ends well ends the loop too, and nothing of it is left for the next line.
    terminal.program("polite", "trap 'exit 0' INT; echo $$ > pid; while :; do sleep 0.01; done");
    terminal.line("rm -f pid");
    terminal.send("for i in 1 2; do polite; done; echo never\r");
    let polite = terminal.written("pid");
    terminal.in_front(&polite);
    terminal.send("\x03");
    terminal.wait_for("\x1b]133;D;130\x07");
    terminal.line("clear");
    terminal.line("for i in 1; do echo f$((1))ne; done");
    terminal.see("\nf1ne");
    // A trap is the shell's answer, and the loop goes on.
    terminal.line("rm -f pid; trap 'echo tr$((1))pped' INT");
    terminal.send("for i in 1 2; do test $i = 2 || polite; done\r");
    let polite = terminal.written("pid");
    terminal.in_front(&polite);
    terminal.send("\x03");
    terminal.wait_for("tr1pped");
    terminal.wait_for("\x1b]133;D;0\x07");
    // Nobody is left of all that.
    assert_eq!(terminal.children(), "");
}

#[test]
fn what_is_stopped_in_a_loop_goes_on_and_can_be_ended() {
    let mut terminal = Terminal::shell(&[]);
    // The one that reads is a child of the shell's child.
    terminal.program("reader", "echo $$ > pid; exec cat");
    terminal.program("outer", "reader; true");
    terminal.send("for i in 1; do outer; done; echo after\r");
    terminal.wait_for("\x1b]133;C");
    let reader = terminal.written("pid");
    terminal.send("here\r");
    terminal.wait_for("here\r\nhere\r\n");
    terminal.send("\x1a");
    terminal.wait_for("Stopped");
    terminal.wait_for("after\r\n");
    terminal.wait_for("\x1b]133;B\x07");
    // Until then it may still take a line that is meant for the shell.
    terminal.process_state(&reader, 'T');
    // Ctrl-C in another loop is not for what was put aside.
    terminal.send("while :; do sleep 0.01; done\r");
    terminal.wait_for("\x1b]133;C");
    terminal.until_interrupted();
    terminal.send("fg\r");
    terminal.wait_for("\x07outer\r\n");
    terminal.send("again\r");
    terminal.wait_for("again\r\nagain\r\n");
    terminal.send("\x1a");
    terminal.wait_for("\x1b]133;D;148\x07");
    terminal.wait_for("\x1b]133;B\x07");
    terminal.process_state(&reader, 'T');
    terminal.line("clear; kill %1; kill -CONT %1; wait %1; jobs; echo $?only");
    terminal.see("only");
    terminal.line("clear; jobs; echo on$((1))y");
    terminal.until("no job", |terminal| terminal.screen.screen().contents().starts_with("on1y"));
}

#[test]
fn a_hang_up_ends_shell_and_jobs() {
    // A loop, too, whose commands a hang-up ends one by one; and what the shell itself waits for.
    for line in ["sleep 1000", "while true; do sleep 1000; done", "until false; do :; done", "wait", "read answer"] {
        let mut terminal = Terminal::shell(&[]);
        terminal.line("sleep 1000 & echo $! > pid");
        let pid = terminal.read("pid").trim().to_owned();
        terminal.send(&format!("{line}\r"));
        terminal.wait_for("\x1b]133;C");
        let shell = nix::unistd::Pid::from_raw(i32::try_from(terminal.child.id()).unwrap());
        nix::sys::signal::kill(shell, nix::sys::signal::Signal::SIGHUP).unwrap();
        terminal.ends();
        let gone = || std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
        let end = Instant::now() + PATIENCE;
        while !gone() {
            assert!(Instant::now() < end, "the job outlives its terminal: {line}");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_mistyped_command_gets_a_hint() {
    let mut terminal = Terminal::shell(&[]);
    terminal.line("ehco hi");
    terminal.see("sh: ehco: not found");
    terminal.see("did you mean `echo`?");
    terminal.line("vim x");
    terminal.see("the editors here are `nano` and `vi`");
}

#[test]
fn nano_writes_a_file_and_says_what_its_keys_do() {
    let mut terminal = Terminal::open(&[("pod.yaml", "kind: Pod\nspec:\n  x: 1\n")], 80, &["nano", "pod.yaml"]);
    terminal.see("[ Read 3 lines ]");
    terminal.see("^X Exit");
    terminal.send("\x1b[B\x05\rreplicas: 2");
    terminal.see("Modified");
    terminal.send("\x18");
    terminal.see("Save modified buffer?");
    terminal.send("y");
    terminal.see("File Name to Write: pod.yaml");
    terminal.send("\r");
    terminal.until("the file", |terminal| terminal.read("pod.yaml") == "kind: Pod\nspec:\nreplicas: 2\n  x: 1\n");
    assert_eq!(terminal.ends(), 0);
}

/// Keys for vi, and what the file is then.
const VI_CASES: &[(&str, &str, &str)] = &[
    ("a b\n", "iX\x1b:wq\r", "Xa b\n"),
    ("one two three\n", "wcwTWO\x1b:x\r", "one TWO three\n"),
    ("one two three\n", "dw.ZZ", "three\n"),
    ("1\n2\n3\n4\n", "jddp:wq\r", "1\n3\n2\n4\n"),
    ("1\n2\n3\n4\n", "2ddGoend\x1bZZ", "3\n4\nend\n"),
    ("1\n2\n", "yyPjdduuxu:wq\r", "1\n2\n"),
    ("a: 1\nb: 1\n", ":%s/1/2/g\r:wq\r", "a: 2\nb: 2\n"),
    ("replicas: 1\n", "/1\rr3:wq\r", "replicas: 3\n"),
    ("image: \"nginx:1\"\n", "f\"ci\"web\x1b:wq\r", "image: \"web\"\n"),
    ("  a\n  b\n", ">>j<<:wq\r", "    a\nb\n"),
    ("abc def\n", "wvlx:wq\r", "abc f\n"),
    ("1\n2\n3\n", "Vjd:wq\r", "3\n"),
    ("a\nb\n", "JA!\x1b:wq\r", "a b!\n"),
    ("keep\n", "xxx:q!\r", "keep\n"),
    ("x y z\n", "$bD:wq\r", "x \n"),
    ("  a: b\n", "A,\x1bocont\x1b:wq\r", "  a: b,\n  cont\n"),
    ("a\nb\nc\n", "GkOnew\x1b3G.:wq\r", "a\nnew\nnew\nb\nc\n"),
    ("foo(bar) baz\n", "f(di(:wq\r", "foo() baz\n"),
    ("a b c d\n", "2wd$:wq\r", "a b \n"),
    ("one\ntwo\n", "yyjp:wq\r", "one\ntwo\none\n"),
    ("abc\n", "~~:wq\r", "ABc\n"),
];

#[test]
fn vi_does_what_fingers_know() {
    for (before, keys, after) in VI_CASES {
        let mut terminal = Terminal::open(&[("file", before)], 80, &["vi", "file"]);
        terminal.see("\"file\"");
        terminal.send(keys);
        assert_eq!(terminal.ends(), 0, "keys: {keys:?}");
        assert_eq!(terminal.read("file"), *after, "keys: {keys:?}");
    }
}
