//! A course played on a stage of cardboard: a shell with our marks that knows a handful of commands, and a grader that takes a check for
//! true once a command line has named it, or only until the next one. What is tested is the test itself; the clock is tokio's paused one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use drydock_author::test::{self, Options};
use drydock_author::{Stage, needs::Missing, report::Summary};
use drydock_checks::grader::Answered;
use drydock_checks::verdict::{Outcome, Reason, Verdict};
use drydock_course::Course;
use drydock_course::source::Memory;
use drydock_terminal::{Connection, Foreground, Pending, Shell, ShellError, Size, Terminals};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{broadcast, watch};

type Lines = Arc<Mutex<Vec<String>>>;

struct Lined {
    lines: Lines,
    news: broadcast::Sender<Verdict>,
}

impl Shell for Lined {
    fn open(&self, _session: &str, _directory: Option<&str>, _size: watch::Receiver<Size>) -> Pending<'_, Result<Connection, ShellError>> {
        let (terminal, shell) = tokio::io::duplex(64 * 1024);
        let (lines, news) = (Arc::clone(&self.lines), self.news.clone());
        Box::pin(async move {
            tokio::spawn(shell_loop(shell, lines, news));
            let (reader, writer) = tokio::io::split(terminal);
            Ok(Connection { reader: Box::new(reader), writer: Box::new(writer) })
        })
    }

    fn foreground(&self, _session: &str) -> Pending<'_, Foreground> {
        Box::pin(async { Foreground::Unknown })
    }

    fn close(&self, _session: &str) -> Pending<'_, ()> {
        Box::pin(async {})
    }
}

/// The next line, or `None` for Ctrl+C and the end.
async fn line(input: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut typed = Vec::new();
    loop {
        match input.read_u8().await.ok()? {
            b'\r' => return Some(String::from_utf8_lossy(&typed).into_owned()),
            0x03 => return None,
            byte => typed.push(byte),
        }
    }
}

/// `echo` echoes, `exit N` ends so, `serve` stays until Ctrl+C, `inner` is a program with a prompt of its own.
async fn shell_loop(stream: tokio::io::DuplexStream, lines: Lines, news: broadcast::Sender<Verdict>) {
    let (mut input, mut output) = tokio::io::split(stream);
    loop {
        if output.write_all(b"\x1b]133;A\x07\x1b[1m$ \x1b[0m\x1b]133;B\x07").await.is_err() {
            return;
        }
        let Some(typed) = line(&mut input).await else { continue };
        lines.lock().unwrap().push(typed.clone());
        let mut printed = format!("{typed}\r\n\x1b]133;C;cmdline={}\x07", typed.replace(' ', "%20"));
        let mut code = 0;
        match typed.split(' ').next() {
            Some("serve") => {
                printed.push_str("serving on 127.0.0.1:8080\r\n");
                output.write_all(printed.as_bytes()).await.unwrap();
                while line(&mut input).await.is_some() {}
                printed = "^C\r\n".into();
                code = 130;
            }
            Some("inner") => {
                output.write_all(printed.as_bytes()).await.unwrap();
                loop {
                    output.write_all(b"/ # ").await.unwrap();
                    let Some(inner) = line(&mut input).await else { break };
                    output.write_all(format!("{inner}\r\n").as_bytes()).await.unwrap();
                    if inner == "exit" {
                        break;
                    }
                    output.write_all(format!("inside: {inner}\r\n").as_bytes()).await.unwrap();
                }
                printed = String::new();
            }
            Some("exit") => code = typed[5..].parse().unwrap(),
            _ => printed.push_str(&format!("\x1b[1m{}\x1b[0m\r\n", typed.trim_start_matches("echo "))),
        }
        printed.push_str(&format!("\x1b]133;D;{code}\x07"));
        if output.write_all(printed.as_bytes()).await.is_err() {
            return;
        }
        // Nobody may be listening.
        news.send(verdict("x", Outcome::Fail, None)).unwrap_or_default();
    }
}

fn verdict(check: &str, outcome: Outcome, reason: Option<Reason>) -> Verdict {
    Verdict {
        check: check.into(),
        verdict: outcome,
        since_revision: 0,
        since: String::new(),
        lost: false,
        reason,
        evidence: Vec::new(),
        why: vec!["Nobody named it.".into()],
        look_at: Vec::new(),
    }
}

struct Cardboard {
    terminals: Terminals,
    lines: Lines,
    news: broadcast::Sender<Verdict>,
    checks: BTreeSet<String>,
    /// Checks that somebody found true in time: what is true of them lasts until the next command only.
    caught: Mutex<BTreeSet<String>>,
}

impl Cardboard {
    fn new(course: &Course) -> Cardboard {
        let (lines, news) = (Lines::default(), broadcast::Sender::new(64));
        let shell = Lined { lines: Arc::clone(&lines), news: news.clone() };
        let checks = course.chapters().flat_map(|chapter| chapter.all_checks().map(|check| check.id.clone()).collect::<Vec<_>>()).collect();
        Cardboard { terminals: Terminals::new(Arc::new(shell), 100), lines, news, checks, caught: Mutex::default() }
    }

    fn judge(&self, check: &str) -> Verdict {
        let lines = self.lines.lock().unwrap();
        let named = |what: &str| lines.iter().any(|line| line.contains(what));
        let mut caught = self.caught.lock().unwrap();
        if lines.last().is_some_and(|line| line.contains(&format!("flash {check}"))) {
            caught.insert(check.to_owned());
        }
        match (named(&format!("make {check}")) || caught.contains(check), named(&format!("typo {check}"))) {
            (true, _) => verdict(check, Outcome::Pass, None),
            (_, true) => verdict(check, Outcome::Fail, Some(Reason::ImageTypo)),
            _ => verdict(check, Outcome::Fail, Some(Reason::Absent)),
        }
    }
}

impl Stage for Cardboard {
    fn terminals(&self) -> &Terminals {
        &self.terminals
    }

    fn reset(&self, _chapter: &str) -> Pending<'_, Result<(), String>> {
        Box::pin(async {
            self.terminals.close_all_but(None).await;
            self.lines.lock().unwrap().clear();
            Ok(())
        })
    }

    fn ran(&self, _chapter: &str, _block: &str) {}

    fn answer(&self, ask: &str, text: &str) -> Pending<'_, Result<Answered, String>> {
        let correct = (ask == "live").then_some(text == "42");
        Box::pin(async move { Ok(Answered { correct, because: None }) })
    }

    fn check_now(&self, check: &str) -> Pending<'_, Result<Verdict, String>> {
        let judged = self.judge(check);
        Box::pin(async move { Ok(judged) })
    }

    fn verdicts(&self) -> Vec<Verdict> {
        self.checks.iter().map(|check| self.judge(check)).collect()
    }

    fn subscribe(&self) -> broadcast::Receiver<Verdict> {
        self.news.subscribe()
    }
}

async fn play(files: &Memory, only: Option<&str>) -> (Summary, String) {
    play_with(files, Options { only: only.map(str::to_owned), ..Options::default() }).await
}

async fn play_with(files: &Memory, options: Options) -> (Summary, String) {
    let course = Course::load(files, "x").unwrap();
    assert!(!course.has_errors(), "{:?}", course.diagnostics);
    let stage = Cardboard::new(&course);
    let mut out = Vec::new();
    let summary = test::course(&course, &stage, &options, &mut out).await.unwrap();
    (summary, String::from_utf8(out).unwrap())
}

fn lesson(body: &str) -> Memory {
    let mut files = Memory::new();
    files.insert("chapters/x/course.yaml", &b"id: x\ntitle: X\nchapters: [01-a]\n"[..]);
    files.insert("chapters/x/01-a/lesson.md", format!("---\nid: ch01\ntitle: A\n---\n{body}").into_bytes());
    files
}

fn check(id: &str) -> String {
    format!("\n```yaml check id={id}\nsay: It is so\nexpect: {{saw: {{matches: {id}}}}}\n```\n\n")
}

#[tokio::test(start_paused = true)]
async fn what_needs_an_image_that_is_not_here_is_skipped_with_the_reason() {
    let one = |id: &str, line: &str| format!("## {id} {{#{id} .try}}\n\n```sh run\necho make {id} {line}\n```\n{}", check(id));
    let body = one("first", "") + &one("second", "postgres:11") + &one("third", "");
    let missing = vec![Missing { image: "postgres:11".into(), why: "it is not here".into() }];
    let (summary, said) = play_with(&lesson(&body), Options { missing, ..Options::default() }).await;
    let skipped: Vec<Option<&str>> = summary.cases.iter().map(|case| case.skipped.as_deref()).collect();
    assert_eq!(skipped, [None, Some("it needs postgres:11: it is not here"), Some("it builds on second, which was skipped")], "{said}");
    assert!(summary.line().starts_with("1 passed, 0 failed, 2 skipped"), "{}", summary.line());
}

#[tokio::test(start_paused = true)]
async fn a_chapter_that_is_right_passes() {
    let body = format!(
        "## One {{#one .try}}\n\n```sh run\necho make first\necho b\n```\n\n```text output\nmake first\nb\n```\n\n\
         ```sh run exit=3\nexit 3\n```\n\n```yaml ask id=live\nsay: How many?\nsolve: echo 42\n```\n{}\
         ## Two {{#two .try}}\n\n```sh run id=serve stays\necho make second\nserve it\n```\n\n```text output\nmake second\nserving on 10.0.0.1:80\n```\n\n\
         ```sh run session=second\necho other\n```\n\n```text press\nCtrl+C\n```\n\n\
         ```sh run stays\ninner\n```\n\n```sh type id=in inside=inner\nhostname\npwd\n```\n\n```text output\ninside: hostname\ninside: pwd\n```\n\n\
         ```sh type inside=inner\nexit\n```\n\n```sh run\necho done\n```\n{}",
        check("first").replace("prediction", ""),
        check("second"),
    )
    .replace("say: How many?\n", "say: How many?\nanswer: 42\n");
    let (summary, out) = play(&lesson(&body), None).await;
    assert_eq!(summary.failed(), 0, "{out}");
    assert_eq!(summary.cases.len(), 2, "{out}");
    assert!(out.contains("ok") && summary.line().contains("2 passed, 0 failed"), "{out}");
}

/// A grader that is slow, since the machine is, has not looked when the next command takes away what it was to see.
#[tokio::test(start_paused = true)]
async fn a_check_is_waited_for_before_what_comes_after_it() {
    let body = format!("## One {{#one .try}}\n\n```sh run\necho flash first\n```\n{}\n```sh run\necho clean up\n```\n", check("first"));
    let (summary, out) = play(&lesson(&body), None).await;
    assert_eq!(summary.failed(), 0, "{out}");
    let early = format!("## One {{#one .try}}\n\n```sh run\necho a\n```\n{}\n```sh run\necho make first\n```\n", check("first"));
    let (summary, out) = play(&lesson(&early), None).await;
    assert_eq!(summary.failed(), 1, "{out}");
    assert!(out.contains("line 17: the reader goes on, and check first is not green: it fails for absent."), "{out}");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_named_with_its_line() {
    let cases = [
        ("```sh run\nexit 1\n```\n", "line 7: `exit 1` ended with exit code 1, wanted 0"),
        ("```sh run\necho a\n```\n\n```text output\nb\n```\n", "line 11: output of one-1: line 1 of the output shown, \"b\", was \"a\""),
        ("```sh run timeout=1\nserve\n```\n", "`serve` still runs after 1 s"),
        ("```sh run stays\nserve\n```\n\n```sh run\necho a\n```\n", "line 11: terminal main: no prompt after 20 s"),
        ("```sh type inside=vi\nx\n```\n", "the shell (this block is for vi)"),
        ("```yaml ask id=live\nsay: x\nanswer: 41\n```\n", "question live: \"41\" is not taken as the right answer"),
    ];
    for (blocks, expected) in cases {
        let (summary, out) = play(&lesson(&format!("## One {{#one .try}}\n\n{blocks}{}", check("first"))), None).await;
        assert_eq!(summary.failed(), 1, "{out}");
        assert!(out.contains(expected), "wanted {expected}, got {out}");
        assert!(out.contains("check first is not green: it fails for absent. Nobody named it."), "{out}");
    }
}

#[tokio::test(start_paused = true)]
async fn labs_pass_the_right_way_and_fail_the_wrong_way() {
    let mut files = lesson(&format!("## One {{#one .try}}\n\n```sh run\necho make first\n```\n{}", check("first")));
    files.insert("labs/x/01-l/lab.yaml", &b"id: lab-l\nchapter: ch01\ntitle: L\ntasks: [{id: task, say: x, expect: {saw: {matches: task}}}]\n"[..]);
    files.insert("labs/x/01-l/brief.md", &b"B\n"[..]);
    files.insert("labs/x/01-l/debrief.md", &b"D\n"[..]);
    files.insert("labs/x/01-l/solutions/01-good.sh", &b"echo make task\n"[..]);
    files.insert("labs/x/01-l/solutions/02-bad.sh", &b"echo nothing\n"[..]);
    files.insert("labs/x/01-l/wrong/typo.sh", &b"# expect: image-typo\n# check: task\n# background: serve\necho typo task\n"[..]);
    files.insert("labs/x/01-l/wrong/other.sh", &b"# expect: crash-loop\n# check: task\necho typo task\n"[..]);
    let (summary, out) = play(&files, Some("lab-l")).await;
    let failed: Vec<&str> = summary.cases.iter().filter(|case| !case.problems.is_empty()).map(|case| case.name.as_str()).collect();
    assert_eq!(failed, ["solutions/02-bad", "wrong/other"], "{out}");
    assert_eq!(summary.cases.len(), 4, "only the lab: {out}");
    assert!(out.contains("task task must fail for crash-loop: it fails for image-typo"), "{out}");
}
