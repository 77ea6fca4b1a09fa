//! Sessions at their seam: a shell that is played by the test, viewers, click-to-run.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use drydock_terminal::{Attachment, Connection, Foreground, Frame, GoesOn, Pending, Refusal, RunRequest, Session, Shell, ShellError, Size, Terminals};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, watch};

const PROMPT: &[u8] = b"\x1b]133;A\x07$ \x1b]133;B\x07";

/// The other ends of what a session opened, and who is said to read the keyboard.
struct Played {
    opened: mpsc::UnboundedSender<(DuplexStream, DuplexStream)>,
    front: Mutex<Foreground>,
    /// Where each shell was opened.
    directories: Mutex<Vec<Option<String>>>,
}

impl Shell for Played {
    fn open(&self, _session: &str, directory: Option<&str>, _size: watch::Receiver<Size>) -> Pending<'_, Result<Connection, ShellError>> {
        let (reader, printed) = tokio::io::duplex(4096);
        let (writer, typed) = tokio::io::duplex(4096);
        self.directories.lock().unwrap().push(directory.map(str::to_owned));
        self.opened.send((printed, typed)).unwrap();
        Box::pin(async move { Ok(Connection { reader: Box::new(reader), writer: Box::new(writer) }) })
    }

    fn foreground(&self, _session: &str) -> Pending<'_, Foreground> {
        let front = self.front.lock().unwrap().clone();
        Box::pin(async move { front })
    }

    fn close(&self, _session: &str) -> Pending<'_, ()> {
        Box::pin(async {})
    }
}

struct Stage {
    terminals: Terminals,
    shell: Arc<Played>,
    session: Session,
    viewer: Attachment,
    printed: DuplexStream,
    typed: DuplexStream,
}

impl Stage {
    /// A session whose shell waits at its prompt.
    async fn at_prompt() -> Stage {
        Stage::remembering(None).await
    }

    /// The same, of a server that keeps what terminals show.
    async fn remembering(memory: Option<&std::path::Path>) -> Stage {
        let (opened, mut connections) = mpsc::unbounded_channel();
        let shell = Arc::new(Played { opened, front: Mutex::new(Foreground::Shell), directories: Mutex::default() });
        let terminals = Terminals::new(shell.clone(), 100);
        let terminals = memory.map_or_else(|| terminals.clone(), |memory| terminals.clone().kept_in(memory));
        let session = terminals.session_in("main", Some("/home/learner/ch03")).unwrap();
        let viewer = session.attach(Some(Size { cols: 80, rows: 24 })).await.unwrap();
        let (printed, typed) = connections.recv().await.unwrap();
        let mut stage = Stage { terminals, shell, session, viewer, printed, typed };
        stage.print(PROMPT).await;
        stage.sees(r#""mode":"prompt""#).await;
        stage
    }

    async fn print(&mut self, bytes: &[u8]) {
        self.printed.write_all(bytes).await.unwrap();
    }

    /// Until the viewer is told this.
    async fn sees(&mut self, part: &str) {
        sees(&mut self.viewer, part).await;
    }

    async fn run(&self, text: &str) -> Result<(), Refusal> {
        self.session.run(RunRequest { id: "block".into(), text: text.into(), ..RunRequest::default() }).await
    }

    /// Exactly this is typed next.
    async fn gets(&mut self, wanted: &str) {
        let mut bytes = vec![0; wanted.len()];
        self.typed.read_exact(&mut bytes).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), wanted);
    }
}

async fn sees(viewer: &mut Attachment, part: &str) {
    until(viewer, part).await;
}

/// All that the viewer is told, to the message with this in it.
async fn until(viewer: &mut Attachment, part: &str) -> String {
    let mut told = String::new();
    loop {
        let text = match viewer.next().await.expect("the session goes on") {
            Frame::Text(text) => text,
            Frame::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        };
        told.push_str(&text);
        if text.contains(part) {
            return told;
        }
    }
}

fn busy(program: &str) -> Result<(), Refusal> {
    Err(Refusal::Busy { program: program.into() })
}

#[tokio::test]
async fn a_block_stops_where_a_command_fails_that_should_not() {
    // Skipped commands, expected code, code of the first typed one, whether the next one is typed.
    let cases = [
        (0, GoesOn::AfterSuccessOr(0), 0, true),
        (0, GoesOn::AfterSuccessOr(0), 1, false),
        (1, GoesOn::AfterSuccessOr(0), 127, false),
        (0, GoesOn::AfterSuccessOr(1), 1, true),
        (0, GoesOn::AfterSuccessOr(1), 0, true),
        (0, GoesOn::AfterSuccessOr(1), 2, false),
        (0, GoesOn::Always, 1, true),
    ];
    let commands = ["one", "two", "three"];
    for (skip, goes_on, exit, on) in cases {
        let mut stage = Stage::at_prompt().await;
        let request = RunRequest { id: "block".into(), text: commands.join("\n"), skip, goes_on, inside: None };
        stage.session.run(request).await.unwrap();
        stage.gets(&format!("{}\r", commands[skip])).await;
        stage.print(format!("\x1b]133;D;{exit}\x07").as_bytes()).await;
        stage.print(PROMPT).await;
        if on {
            stage.gets(&format!("{}\r", commands[skip + 1])).await;
            continue;
        }
        let halted = format!(r#""phase":"halted","exit":{exit},"failed":{skip},"of":3,"command":"{}""#, commands[skip]);
        stage.sees(&halted).await;
        let mut late = stage.session.attach(None).await.unwrap();
        sees(&mut late, &halted).await;
        // The terminal is free again.
        stage.run("four").await.unwrap();
        stage.gets("four\r").await;
    }
}

#[tokio::test]
async fn a_block_is_typed_command_by_command() {
    let mut stage = Stage::at_prompt().await;
    stage.run("one\n# what it does\ntwo").await.unwrap();
    stage.gets("one\r").await;
    assert_eq!(stage.run("three").await, busy("one"));
    stage.print(b"\x1b]133;C;cmdline=one\x07").await;
    stage.print(b"\x1b]133;D;0\x07").await;
    stage.print(PROMPT).await;
    stage.gets("two\r").await;
    stage.print(b"\x1b]133;D;3\x07").await;
    stage.print(PROMPT).await;
    stage.sees(r#""phase":"finished","exit":3"#).await;
}

#[tokio::test]
async fn a_prompt_that_is_drawn_again_is_no_end_of_a_command() {
    let mut stage = Stage::at_prompt().await;
    stage.run("one\ntwo").await.unwrap();
    stage.gets("one\r").await;
    stage.print(b"\r$ \x1b]133;B\x07one\r\n\x1b]133;C;cmdline=one\x07out\r\n").await;
    stage.sees("out").await;
    assert_eq!(stage.run("three").await, busy("one"));
    stage.print(b"\x1b]133;D;0\x07").await;
    stage.print(PROMPT).await;
    stage.gets("two\r").await;
}

#[tokio::test]
async fn nothing_is_typed_into_a_program() {
    let mut stage = Stage::at_prompt().await;
    stage.print(b"\x1b]133;C;cmdline=sudo%20/usr/bin/vi%20a\x07").await;
    stage.sees(r#""mode":"busy""#).await;
    assert_eq!(stage.run("kubectl get pods").await, busy("vi"));
}

#[tokio::test]
async fn a_program_that_prints_the_marks_of_a_prompt_gets_nothing() {
    let stage = Stage::at_prompt().await;
    *stage.shell.front.lock().unwrap() = Foreground::Program("cat".into());
    assert_eq!(stage.run("kubectl get pods").await, busy("cat"));
}

#[tokio::test]
async fn a_block_goes_into_the_program_the_block_before_it_started() {
    let mut stage = Stage::at_prompt().await;
    stage.run("kubectl exec -it web -- sh").await.unwrap();
    stage.gets("kubectl exec -it web -- sh\r").await;
    stage.print(b"\x1b]133;C;cmdline=kubectl%20exec%20-it%20web%20--%20sh\x07/ # ").await;
    stage.sees("/ # ").await;
    let inside = RunRequest { id: "in".into(), text: "hostname -i".into(), inside: Some("kubectl".into()), ..RunRequest::default() };
    assert_eq!(stage.session.run(inside).await, Ok(()));
    stage.gets("hostname -i\r").await;
    stage.print(b"\x1b]133;D;0\x07").await;
    stage.print(PROMPT).await;
    stage.sees(r#""id":"block","phase":"finished","exit":0"#).await;
}

#[tokio::test]
async fn a_line_the_shell_has_not_begun_yet_counts_as_a_program() {
    let mut stage = Stage::at_prompt().await;
    stage.viewer.receive(Frame::Binary(Bytes::from_static(b"cat\r"))).await.unwrap();
    assert_eq!(stage.run("kubectl get pods").await, busy("what you typed last"));
    stage.gets("cat\r").await;
    stage.print(PROMPT).await;
    stage.sees(r#""mode":"prompt""#).await;
    assert_eq!(stage.run("kubectl get pods").await, Ok(()));
}

#[tokio::test]
async fn what_is_half_typed_is_not_part_of_the_command() {
    let mut stage = Stage::at_prompt().await;
    stage.viewer.receive(Frame::Binary(Bytes::from_static(b"rm -r"))).await.unwrap();
    stage.run("ls").await.unwrap();
    stage.gets("rm -r\x05\x15ls\r").await;
}

#[tokio::test]
async fn a_new_viewer_sees_what_there_was() {
    let mut stage = Stage::at_prompt().await;
    stage.print(b"remember me\r\n").await;
    stage.sees("remember me").await;
    let mut second = stage.terminals.session("main").unwrap().attach(None).await.unwrap();
    sees(&mut second, "remember me").await;
}

#[tokio::test]
async fn a_shell_that_ended_is_started_again_by_enter() {
    let mut stage = Stage::at_prompt().await;
    drop(std::mem::replace(&mut stage.printed, tokio::io::duplex(1).0));
    stage.sees(r#""mode":"ended""#).await;
    assert_eq!(stage.run("ls").await, Err(Refusal::Ended));
    stage.viewer.receive(Frame::Binary(Bytes::from_static(b"\r"))).await.unwrap();
    stage.sees(r#""mode":"starting""#).await;
}

#[tokio::test]
async fn that_a_shell_has_ended_is_said_below_what_it_printed() {
    // Leaving a screen that nobody entered would put the cursor where it once was.
    for (printed, leaves) in [("one\r\ntwo", false), ("\x1b[?1049hvi is here", true), ("\x1b[?1049hvi\x1b[?1049lis gone", false)] {
        let mut stage = Stage::at_prompt().await;
        stage.print(printed.as_bytes()).await;
        stage.sees(&printed[printed.len() - 3..]).await;
        drop(std::mem::replace(&mut stage.printed, tokio::io::duplex(1).0));
        let told = until(&mut stage.viewer, "the shell has ended").await;
        assert_eq!(told.contains("\x1b[?1049l"), leaves, "{printed:?}: {told:?}");
    }
}

#[tokio::test]
async fn a_terminal_begins_in_its_chapter_and_is_there_again_after_a_restart() {
    let memory = tempfile::tempdir().unwrap();
    let mut stage = Stage::remembering(Some(memory.path())).await;
    assert_eq!(*stage.shell.directories.lock().unwrap(), [Some("/home/learner/ch03".to_owned())]);
    stage.run("make bread").await.unwrap();
    stage.gets("make bread\r").await;
    stage.print(b"make bread\r\n\x1b]133;C;cmdline=make%20bread\x07dough\r\n\x1b]133;D;3\x07\x1b]133;A;cwd=%2Ftmp%2Fa%20b\x07/tmp $ \x1b]133;B\x07").await;
    stage.sees(r#""phase":"finished","exit":3"#).await;
    stage.print(b"\x1b[?1049h\x1b[2Jvi is here").await;
    stage.sees("vi is here").await;
    stage.terminals.keep().await;
    drop(stage);

    let stage = Stage::remembering(Some(memory.path())).await;
    assert_eq!(*stage.shell.directories.lock().unwrap(), [Some("/tmp/a b".to_owned())], "where it was, not where its chapter is");
    let mut viewer = stage.session.attach(None).await.unwrap();
    sees(&mut viewer, r#""id":"block","phase":"finished","exit":3"#).await;
    sees(&mut viewer, "dough").await;
    let mut viewer = stage.session.attach(None).await.unwrap();
    sees(&mut viewer, "this is a new shell where the old one was").await;

    stage.terminals.close("main").await;
    assert_eq!(std::fs::read_dir(memory.path()).unwrap().count(), 0, "what was closed is forgotten");
}
