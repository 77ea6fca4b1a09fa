//! kubectl beside the stock one: start-up, and the command everybody types, on the same cluster in the same run.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use drydock_cluster::spawn::find_program;

use super::{Figure, say};

/// What is measured, and what the design allows.
const LINES: [(&str, &[&str], &str); 2] = [("kubectl version --client", &["version", "--client"], "10 ms"), ("kubectl get pods", &["get", "pods"], "15 ms")];
/// Runs of a line for each that was asked for: one takes milliseconds only.
const TIMES: usize = 5;

/// Measure ours and, where there is one, the stock one, in turns.
pub(super) fn compare(directory: &Path, kubeconfig: &Path, runs: usize) -> anyhow::Result<Vec<Figure>> {
    say("kubectl, ours and the stock one");
    let (bin, home) = (directory.join("kubectl-bin"), directory.join("kubectl-home"));
    for path in [&bin, &home] {
        std::fs::create_dir(path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    let ours = bin.join("kubectl");
    symlink(std::env::current_exe()?, &ours)?;
    let mut programs = vec![("drydock", ours)];
    programs.extend(find_program("kubectl").map(|stock| ("stock", stock)));
    let mut figures = Vec::new();
    for (line, words, budget) in LINES {
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); programs.len()];
        for run in 0..=runs * TIMES {
            for ((_, program), times) in programs.iter().zip(&mut times) {
                let taken = once(program, words, &home, kubeconfig)?;
                // The first run fills caches.
                if run > 0 {
                    times.push(taken);
                }
            }
        }
        let measured: Vec<Figure> =
            programs.iter().zip(times).map(|((name, _), times)| Figure::of_times(format!("{line}: {name}"), times, if *name == "drydock" { budget } else { "" })).collect();
        let ratio = measured.get(1).map(|stock| Figure::once(format!("{line}: ours by stock"), measured[0].median / stock.median, "times", ""));
        figures.extend(measured);
        figures.extend(ratio);
    }
    Ok(figures)
}

fn once(program: &PathBuf, words: &[&str], home: &Path, kubeconfig: &Path) -> anyhow::Result<Duration> {
    let mut command = Command::new(program);
    command.args(words).env("HOME", home).env("KUBECONFIG", kubeconfig).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let started = Instant::now();
    let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
    let taken = started.elapsed();
    if !output.status.success() {
        bail!("{} {words:?}: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(taken)
}
