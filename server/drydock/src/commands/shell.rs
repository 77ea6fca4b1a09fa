//! `drydock cluster shell`: a shell, or one command, on a node.

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use bytes::Bytes;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::cluster::client;
use crate::exec::{self, Input, Output, encode};
use crate::state::State;

/// Run a command on a node, or a shell when there is none; its exit code is ours.
pub(crate) async fn run(state: &State, node: &str, command: &[String]) -> anyhow::Result<ExitCode> {
    state.running()?;
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut query = vec![format!("tty={terminal}")];
    query.extend(command.iter().map(|word| format!("command={}", encode(word))));
    let machine = if node == "workstation" { "workstations/main".to_owned() } else { format!("nodes/{}", encode(node)) };
    let path = format!("{machine}/exec?{}", query.join("&"));
    let process = exec::start(&client(state).await?, &path).await?;
    let _raw = terminal.then(Raw::enter).transpose()?;
    connect(process).await
}

async fn connect(process: exec::Process) -> anyhow::Result<ExitCode> {
    let exec::Process { input, mut output } = process;
    let mut resized = signal(SignalKind::window_change())?;
    let mut typed = typed();
    send_size(&input).await;
    let mut typing = true;
    loop {
        tokio::select! {
            news = output.recv() => match news {
                Some(Output::Bytes(bytes)) => {
                    let mut stdout = std::io::stdout();
                    stdout.write_all(&bytes)?;
                    stdout.flush()?;
                }
                Some(Output::End(Ok(code))) => return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
                Some(Output::End(Err(why))) => bail!("{why}"),
                None => bail!("the connection to the node was lost"),
            },
            bytes = typed.recv(), if typing => match bytes {
                Some(bytes) => input.send(Input::Bytes(bytes)).await.context("the connection to the node was lost")?,
                None => typing = false,
            },
            _ = resized.recv() => send_size(&input).await,
        }
    }
}

async fn send_size(input: &mpsc::Sender<Input>) {
    if let Ok(size) = tcgetwinsize(std::io::stdout())
        && input.send(Input::Size(size.ws_col, size.ws_row)).await.is_err()
    {
        tracing::debug!("the process has ended");
    }
}

/// What is typed, read by a thread of its own: reading a terminal cannot be cancelled.
fn typed() -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = std::io::stdin().read(&mut buffer) {
            if sender.blocking_send(Bytes::copy_from_slice(&buffer[..length])).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The terminal of the person who typed the command, with every key going to the node; restored on drop.
struct Raw {
    before: Termios,
}

impl Raw {
    fn enter() -> anyhow::Result<Raw> {
        let before = tcgetattr(std::io::stdin()).context("cannot read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).context("cannot change the terminal's settings")?;
        Ok(Raw { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before) {
            tracing::warn!(%error, "the terminal keeps its settings; type `reset`");
        }
    }
}
