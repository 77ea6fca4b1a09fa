//! The `lab` command: what was typed goes to the page, what comes back is printed.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::{Question, Told, Typed};

/// Where a terminal of the workstation finds the page.
pub const SOCKET: &str = "/run/drydock/page.sock";
/// Where a terminal says its name.
pub const TERMINAL: &str = "DRYDOCK_TERMINAL";
/// The largest answer that is read: a chapter is some 100 kB.
const LARGEST: usize = 8 << 20;
/// Lines are not longer, however wide the terminal is.
const WIDEST: usize = 100;

/// Run `lab ARGS`; `columns` are those of the terminal, if there is one.
pub fn main(args: Vec<String>, socket: &Path, columns: Option<usize>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    match runtime.block_on(run(args, socket, columns)) {
        Ok(code) => ExitCode::from(code),
        Err(why) => failed(&why),
    }
}

fn failed(why: &str) -> ExitCode {
    // Nobody may be there to read it.
    writeln!(std::io::stderr(), "lab: {why}").unwrap_or_default();
    ExitCode::FAILURE
}

async fn run(args: Vec<String>, socket: &Path, columns: Option<usize>) -> Result<u8, String> {
    let stdout = std::io::stdout();
    let plain = ["NO_COLOR"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let mut typed = Typed {
        args,
        columns: columns.unwrap_or(80).clamp(20, WIDEST),
        color: stdout.is_terminal() && !plain,
        terminal: std::env::var(TERMINAL).ok(),
    };
    loop {
        let told = ask(socket, &typed).await?;
        print(&told)?;
        let Some(question) = told.question else { return Ok(told.code) };
        match answer(&question)? {
            Some(args) => typed.args = args,
            None => return Ok(1),
        }
    }
}

async fn ask(socket: &Path, typed: &Typed) -> Result<Told, String> {
    let broken = |error: &dyn std::fmt::Display| format!("the page broke off: {error}");
    let stream = UnixStream::connect(socket).await.map_err(|_| "the page is not there; `lab` works while `drydock serve` runs".to_owned())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    // What breaks here also breaks the answer, which says so.
    tokio::spawn(async move { connection.await.unwrap_or_default() });
    let body = serde_json::to_vec(typed).map_err(|error| broken(&error))?;
    let request = Request::post("/lab").header(header::HOST, "drydock").header(header::CONTENT_TYPE, "application/json").body(Body::from(body));
    let response = sender.send_request(request.map_err(|error| broken(&error))?).await.map_err(|error| broken(&error))?;
    let status = response.status();
    let body = to_bytes(Body::new(response.into_body()), LARGEST).await.map_err(|error| broken(&error))?;
    if !status.is_success() {
        return Err(String::from_utf8_lossy(&body).trim().to_owned());
    }
    serde_json::from_slice(&body).map_err(|error| broken(&error))
}

/// A reader who leaves early (`lab list | head`) is no failure.
fn print(told: &Told) -> Result<(), String> {
    let quiet = |result: std::io::Result<()>| match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    };
    let mut stdout = std::io::stdout().lock();
    quiet(stdout.write_all(told.text.as_bytes()).and_then(|()| stdout.flush()))?;
    match &told.error {
        Some(error) => quiet(writeln!(std::io::stderr(), "lab: {error}")),
        None => Ok(()),
    }
}

/// What is chosen; nothing for a no. Without somebody to ask it is refused.
fn answer(question: &Question) -> Result<Option<Vec<String>>, String> {
    if !std::io::stdin().is_terminal() {
        let ways = question.choices.iter().map(|choice| format!("`lab {}`", choice.args.join(" "))).collect::<Vec<_>>();
        return Err(format!("nobody is there to be asked; use {}", ways.join(" or ")));
    }
    let keys = question.choices.iter().map(|choice| format!("{} = {}", choice.key, choice.says)).collect::<Vec<_>>();
    let mut stdout = std::io::stdout();
    write!(stdout, "{} [{}, anything else = no] ", question.text, keys.join(", ")).and_then(|()| stdout.flush()).map_err(|error| error.to_string())?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| error.to_string())?;
    let line = line.trim().to_lowercase();
    let chosen = question.choices.iter().find(|choice| choice.key == line || (line == "yes" && choice.key == "y"));
    if chosen.is_none() {
        writeln!(stdout, "Nothing was changed.").unwrap_or_default();
    }
    Ok(chosen.map(|choice| choice.args.clone()))
}
