//! `drydock bench`: this machine against the budgets of the design, on a cluster of its own.

mod course;
mod kubectl;
mod measure;
pub(super) mod runtimes;
mod undo;
mod workloads;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use super::cluster;
use super::serve::page_client;
use crate::cli::{Bench, Output};
use crate::out::outln;
use crate::state::State;

/// Nodes of the cluster that is measured.
const NODES: u32 = 3;

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figure {
    /// What was measured.
    pub(super) what: String,
    /// Middle value.
    pub(super) median: f64,
    /// 19 of 20 are better.
    pub(super) p95: f64,
    /// Unit of both.
    pub(super) unit: &'static str,
    /// What the design allows, in words; empty when it says nothing.
    pub(super) budget: &'static str,
}

impl Figure {
    /// A figure of durations.
    pub(super) fn of_times(what: impl Into<String>, mut times: Vec<Duration>, budget: &'static str) -> Figure {
        times.sort();
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        Figure { what: what.into(), median: millis(at(&times, 50)), p95: millis(at(&times, 95)), unit: "ms", budget }
    }

    /// A figure that was measured once.
    pub(super) fn once(what: impl Into<String>, value: f64, unit: &'static str, budget: &'static str) -> Figure {
        Figure { what: what.into(), median: value, p95: value, unit, budget }
    }
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).copied().unwrap_or_default()
}

/// Measure and print. Images fetched for the state `fetched` are there when the course is played.
pub(crate) fn run(fetched: &State, args: &Bench) -> anyhow::Result<ExitCode> {
    let directory = tempfile::Builder::new().prefix("drydock-bench-").tempdir().context("cannot make a directory for the measurement")?;
    let runs = args.runs as usize;
    let mut figures = vec![boots(directory.path(), runs.min(5))?];
    let state = State::find(Some(directory.path().join("measured")))?;
    say("starting the cluster that is measured");
    let (running, _) = cluster::start(&state, Some(0), cluster::Tools::BuiltIn, cluster::settings(NODES))?;
    figures.extend(cluster::wait_for(async {
        let client = page_client(&running.directory).await?;
        let mut figures = measure::all(&client, runs, directory.path()).await?;
        // One measurement that fails does not take the others with it.
        if let Err(error) = workloads::all(&client, runs, &mut figures).await {
            say(&format!("not measured from here to the next part: {error:#}"));
        }
        anyhow::Ok(figures)
    })?);
    // One measurement that fails does not take the others with it.
    match kubectl::compare(directory.path(), &state.kubeconfig(), runs) {
        Ok(more) => figures.extend(more),
        Err(error) => say(&format!("kubectl is not measured: {error:#}")),
    }
    drop(running);
    figures.push(workloads::unpack(directory.path(), runs.min(5))?);
    figures.extend(runtimes::compare(directory.path(), runs)?);
    match course::memory(directory.path(), fetched) {
        Ok(figure) => figures.push(figure),
        Err(error) => say(&format!("the course is not measured: {error:#}")),
    }
    drydock_cluster::spawn::remove::directory(directory.path())?;
    print(&figures, args.output)?;
    Ok(ExitCode::SUCCESS)
}

/// From nothing to nodes Ready and DNS up.
fn boots(directory: &std::path::Path, runs: usize) -> anyhow::Result<Figure> {
    let mut times = Vec::new();
    for run in 0..runs {
        say(&format!("boot {} of {runs}", run + 1));
        let state = State::find(Some(directory.join(format!("boot-{run}"))))?;
        let started = Instant::now();
        let (running, _) = cluster::start(&state, Some(0), cluster::Tools::BuiltIn, cluster::settings(NODES))?;
        times.push(started.elapsed());
        drop(running);
    }
    Ok(Figure::of_times(format!("boot, {NODES} nodes, to Ready and DNS"), times, "1000 ms"))
}

/// Progress goes to standard error.
pub(super) fn say(text: &str) {
    eprintln!("bench: {text}");
}

fn print(figures: &[Figure], output: Output) -> anyhow::Result<()> {
    if output == Output::Json {
        outln!("{}", serde_json::to_string_pretty(figures)?);
        return Ok(());
    }
    outln!("| what | median | p95 | unit | budget |\n|---|---:|---:|---|---|");
    for figure in figures {
        outln!("| {} | {:.2} | {:.2} | {} | {} |", figure.what, figure.median, figure.p95, figure.unit, figure.budget);
    }
    Ok(())
}
