//! Servers of the userland, run as processes and asked by HTTP.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

pub const BINARY: &str = env!("CARGO_BIN_EXE_drydock-userland");

/// A port nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server that runs.
pub struct Server {
    child: Child,
    pub port: u16,
    output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a command and waits until its port answers.
    pub fn start(words: &[&str], directory: &Path, port: u16, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(BINARY);
        command.args(words).current_dir(directory).env_clear().env("ASPNETCORE_URLS", format!("http://+:{port}"));
        command.envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "{words:?} ended");
            std::thread::yield_now();
        }
        Self { child, port, output }
    }

    pub fn ask(&self, method: &str, target: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        write!(stream, "{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        (status, text)
    }

    pub fn get(&self, target: &str) -> (u16, String) {
        self.ask("GET", target, "")
    }

    /// The next `count` lines of the log.
    pub fn log(&mut self, count: usize) -> String {
        let mut text = String::new();
        for _ in 0..count {
            self.output.read_line(&mut text).unwrap();
        }
        text
    }

    /// Asks the server to end, and gives the rest of its log.
    pub fn end(mut self) -> String {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap()), nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// Runs a command to its end.
pub fn run(words: &[&str]) -> Output {
    Command::new(BINARY).args(words).stdin(Stdio::null()).output().unwrap()
}
