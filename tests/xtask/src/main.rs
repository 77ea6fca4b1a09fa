//! Repository chores: `cargo xtask tidy | ci | record parity | proof NAME`.

mod guest;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: cargo xtask tidy | ci | record parity [SCENARIO...] | proof flakes [ROUNDS] | proof guest [BINARY] | proof course NAME [--runs N] [--jobs N] [--only TEXT]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => run_tidy(),
        ["ci"] => run(Command::new(root().join("tests/run"))),
        ["record", "parity", rest @ ..] => record_parity(rest),
        ["proof", "flakes", rest @ ..] => flakes(rest.first().copied().unwrap_or("20")),
        ["proof", "course", name, rest @ ..] => course(name, rest),
        ["proof", "guest", rest @ ..] => guest::prove(&rest.first().map_or_else(release, PathBuf::from)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's top directory.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_owned).unwrap_or_default()
}

/// The release binary `cargo build --release` leaves.
fn release() -> PathBuf {
    let built = root().join("target").join(format!("{}-unknown-linux-gnu", std::env::consts::ARCH)).join("release/drydock");
    if built.exists() { built } else { root().join("target/release/drydock") }
}

fn run_tidy() -> Result<()> {
    let problems = tidy::problems(&root())?;
    if problems.is_empty() {
        println!("tidy: nothing to say");
        return Ok(());
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    bail!("{} problems", problems.len())
}

/// Do a course many times as a reader does it; says how long each chapter takes and what does not always pass.
fn course(name: &str, options: &[&str]) -> Result<()> {
    let content = root();
    if !content.join("chapters").join(name).join("course.yaml").exists() {
        bail!("there is no course {name:?}");
    }
    let mut build = Command::new("cargo");
    build.current_dir(&content).args(["build", "-q", "-p", "drydock", "--bin", "drydock", "--message-format", "json-render-diagnostics"]);
    let built = build.stderr(std::process::Stdio::inherit()).output().context("start cargo")?;
    if !built.status.success() {
        bail!("drydock does not build");
    }
    let binary = executable(&String::from_utf8_lossy(&built.stdout)).context("cargo does not say where drydock is")?;
    let mut test = Command::new(binary);
    test.current_dir(&content).args(["author", "test"]).arg(&content);
    let runs = if options.contains(&"--runs") { &[][..] } else { &["--runs", "20"][..] };
    run({
        test.args(runs).args(options);
        test
    })
}

/// The program in what cargo tells about a build.
fn executable(messages: &str) -> Option<PathBuf> {
    let (_, rest) = messages.rsplit_once("\"executable\":\"")?;
    rest.split('"').next().map(PathBuf::from)
}

/// Take down what stock kubectl prints on the command lines of the parity suite.
fn record_parity(scenarios: &[&str]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.current_dir(root()).args(["run", "-q", "-p", "drydock-test-parity", "--bin", "record-parity", "--"]).args(scenarios);
    run(command)
}

/// Run the course tests again and again; every round must pass.
fn flakes(rounds: &str) -> Result<()> {
    let rounds: u32 = rounds.parse().with_context(|| format!("{rounds:?} is not a number of rounds"))?;
    for round in 1..=rounds {
        println!("round {round} of {rounds}");
        let mut command = Command::new("cargo");
        command.current_dir(root()).args(["test", "-q", "-p", "drydock-test-course", "-p", "drydock-test-e2e"]);
        run(command)?;
    }
    Ok(())
}

fn run(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}
