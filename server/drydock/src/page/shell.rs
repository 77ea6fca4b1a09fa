//! Terminals of the page: sessions of the workstation.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use drydock_terminal::{Connection, Foreground, Pending, Shell, ShellError, Size};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::StreamReader;

use super::workbench::HOME;
use crate::exec::{self, Input, LAB, Output, encode};

/// Opens shells in the workstation.
pub(crate) struct WorkstationShell {
    client: kube::Client,
    open: Mutex<HashMap<String, AbortHandle>>,
}

impl WorkstationShell {
    /// Shells through this client.
    pub(crate) fn new(client: kube::Client) -> WorkstationShell {
        WorkstationShell { client, open: Mutex::default() }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, AbortHandle>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, session: &str, directory: Option<&str>, size: watch::Receiver<Size>) -> anyhow::Result<Connection> {
        // The shell draws its first prompt for this size; what comes later is only a change.
        let Size { cols, rows } = *size.borrow();
        let path = format!("workstations/main/exec?tty=true&session={}&cols={cols}&rows={rows}&cwd={}", encode(session), encode(&absolute(directory.unwrap_or_default())));
        let process = exec::start(&self.client, &path).await?;
        let (printed, output) = mpsc::channel::<io::Result<Bytes>>(64);
        let (typed, writer) = tokio::io::simplex(4096);
        let task = tokio::spawn(relay(process, typed, printed, size));
        if let Some(before) = self.sessions().insert(session.to_owned(), task.abort_handle()) {
            before.abort();
        }
        Ok(Connection { reader: Box::new(StreamReader::new(ReceiverStream::new(output))), writer: Box::new(writer) })
    }

    async fn front(&self, session: &str) -> anyhow::Result<Foreground> {
        let path = format!("{LAB}/workstations/main/foreground?session={}", encode(session));
        let front: Value = self.client.request(http::Request::get(path).body(Vec::new())?).await?;
        Ok(match (front["shell"].as_bool(), front["program"].as_str()) {
            (Some(true), _) => Foreground::Shell,
            (_, Some(program)) if !program.is_empty() => Foreground::Program(program.to_owned()),
            _ => Foreground::Unknown,
        })
    }
}

impl Shell for WorkstationShell {
    fn open(&self, session: &str, directory: Option<&str>, size: watch::Receiver<Size>) -> Pending<'_, Result<Connection, ShellError>> {
        let (session, directory) = (session.to_owned(), directory.map(str::to_owned));
        Box::pin(async move { self.connect(&session, directory.as_deref(), size).await.map_err(|error| ShellError::NotYet(format!("{error:#}"))) })
    }

    fn foreground(&self, session: &str) -> Pending<'_, Foreground> {
        let session = session.to_owned();
        Box::pin(async move {
            self.front(&session).await.unwrap_or_else(|error| {
                tracing::debug!(%error, session, "foreground");
                Foreground::Unknown
            })
        })
    }

    fn close(&self, session: &str) -> Pending<'_, ()> {
        if let Some(task) = self.sessions().remove(session) {
            task.abort();
        }
        Box::pin(async {})
    }
}

/// A directory as the workstation knows it.
fn absolute(directory: &str) -> String {
    directory.strip_prefix("~/").map_or_else(|| directory.to_owned(), |below| format!("{HOME}/{below}"))
}

/// Move bytes between a process and a terminal session until one of them ends.
async fn relay(
    process: exec::Process,
    mut typed: impl AsyncReadExt + Unpin,
    printed: mpsc::Sender<io::Result<Bytes>>,
    mut size: watch::Receiver<Size>,
) {
    let exec::Process { input, mut output } = process;
    let first = *size.borrow_and_update();
    if input.send(Input::Size(first.cols, first.rows)).await.is_err() {
        return;
    }
    let mut buffer = vec![0; 4096];
    let mut watching = true;
    loop {
        tokio::select! {
            news = output.recv() => match news {
                Some(Output::Bytes(bytes)) => if printed.send(Ok(bytes)).await.is_err() { return },
                // The shell has ended: the reader sees the end of the file.
                Some(Output::End(Ok(_))) => return,
                Some(Output::End(Err(why))) => return lost(&printed, why).await,
                None => return lost(&printed, "the connection to the workstation was lost".to_owned()).await,
            },
            length = typed.read(&mut buffer) => match length {
                Ok(length @ 1..) => if input.send(Input::Bytes(Bytes::copy_from_slice(&buffer[..length]))).await.is_err() { return },
                _ => return,
            },
            changed = size.changed(), if watching => {
                watching = changed.is_ok();
                let now = *size.borrow_and_update();
                if input.send(Input::Size(now.cols, now.rows)).await.is_err() { return }
            }
        }
    }
}

async fn lost(printed: &mpsc::Sender<io::Result<Bytes>>, why: String) {
    if printed.send(Err(io::Error::new(io::ErrorKind::ConnectionReset, why))).await.is_err() {
        tracing::debug!("the terminal was closed first");
    }
}
