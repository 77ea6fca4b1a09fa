//! The stock kubectl as a child process with a home of its own.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::patiently;

/// A kubectl that ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The command line.
    pub line: String,
    /// Exit code, -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Its standard output, if it succeeded.
    pub fn ok(self) -> Result<String> {
        ensure!(self.code == 0, "{} ended with {}\nstdout: {}\nstderr: {}", self.line, self.code, self.stdout, self.stderr);
        Ok(self.stdout)
    }

    /// Its standard error, if it failed.
    pub fn failed(self) -> Result<String> {
        ensure!(self.code != 0, "{} should have failed\nstdout: {}\nstderr: {}", self.line, self.stdout, self.stderr);
        Ok(self.stderr)
    }
}

/// Without the stock one nothing here is proved.
const MISSING: &str = "start kubectl, which these tests want on PATH (Debian: apt-get install kubernetes-client)";

/// Splits a command line as a shell would, as far as quotes go.
pub fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut open) = (Vec::new(), String::new(), None, false);
    for character in line.chars() {
        match (quote, character) {
            (None, '\'' | '"') => (quote, open) = (Some(character), true),
            (Some(own), _) if own == character => quote = None,
            (None, ' ') => {
                if open {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            _ => {
                word.push(character);
                open = true;
            }
        }
    }
    if open {
        words.push(word);
    }
    words
}

/// Where and as whom kubectl runs.
#[derive(Debug, Clone)]
pub struct Kubectl {
    /// Its home and working directory.
    pub home: PathBuf,
    /// Its credentials.
    pub kubeconfig: PathBuf,
}

impl Kubectl {
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("kubectl");
        command.args(split(line)).current_dir(&self.home).kill_on_drop(true).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", &self.home).env("KUBECONFIG", &self.kubeconfig);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::piped());
        command
    }

    /// Runs `kubectl LINE` with `stdin`.
    pub async fn run_with(&self, line: &str, stdin: &str) -> Result<Ran> {
        self.run_with_env(line, stdin, &[]).await
    }

    /// As [`Kubectl::run_with`], with more environment.
    pub async fn run_with_env(&self, line: &str, stdin: &str, variables: &[(&str, &str)]) -> Result<Ran> {
        let mut child = self.command(line).envs(variables.iter().copied()).spawn().context(MISSING)?;
        let mut pipe = child.stdin.take().context("stdin of kubectl")?;
        let stdin = stdin.to_owned();
        let write = async move {
            // kubectl need not read what it is given.
            drop(pipe.write_all(stdin.as_bytes()).await);
        };
        let (output, ()) = patiently(&format!("kubectl {line}"), async { tokio::join!(child.wait_with_output(), write) }).await?;
        let output = output.context("run kubectl")?;
        Ok(Ran {
            line: format!("kubectl {line}"),
            code: code(output.status),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Starts `kubectl LINE` and leaves it running.
    pub fn start(&self, line: &str) -> Result<Running> {
        self.start_with_env(line, &[])
    }

    /// As [`Kubectl::start`], with more environment.
    pub fn start_with_env(&self, line: &str, variables: &[(&str, &str)]) -> Result<Running> {
        let mut child = self.command(line).envs(variables.iter().copied()).stderr(Stdio::inherit()).spawn().context(MISSING)?;
        let lines = BufReader::new(child.stdout.take().context("stdout of kubectl")?).lines();
        let stdin = child.stdin.take();
        Ok(Running { child, lines, stdin, line: line.to_owned() })
    }

    /// A file below its home.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.home.join(name)
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

/// A kubectl that runs; dropping it kills it.
pub struct Running {
    child: Child,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
    /// Its standard input; drop it to close it.
    pub stdin: Option<ChildStdin>,
    line: String,
}

impl Running {
    /// Its next line of output.
    pub async fn line(&mut self) -> Result<String> {
        let line = patiently(&format!("output of kubectl {}", self.line), self.lines.next_line()).await??;
        line.with_context(|| format!("kubectl {} ended", self.line))
    }

    /// Types into it.
    pub async fn type_in(&mut self, text: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("stdin is closed")?;
        stdin.write_all(text.as_bytes()).await?;
        Ok(stdin.flush().await?)
    }

    /// Waits for its end; its exit code.
    pub async fn end(&mut self) -> Result<i32> {
        Ok(code(patiently(&format!("the end of kubectl {}", self.line), self.child.wait()).await??))
    }

    /// Kills it.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}
