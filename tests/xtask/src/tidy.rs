//! The rules of the house that a compiler cannot know, kept as a test.
//!
//! 1. Which crate may know which (the permission table of the architecture), read from `cargo metadata`.
//! 2. What every source file owes its reader: a header, a bearable length, a boring name.
//! 3. That the README's map names every crate once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

/// Longest file without its tests, in lines; flat tables may say why not in [`LONG_TABLES`].
const MAX_LINES: usize = 1_000;
/// Files that are tables: nothing in them depends on anything else in them.
const LONG_TABLES: [&str; 0] = [];
/// Module names that say nothing.
const EMPTY_NAMES: [&str; 5] = ["utils", "helpers", "common", "misc", "manager"];

/// Each crate and the crates of ours it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("primitives", &[]),
    ("cel", &["primitives"]),
    ("api", &["primitives", "cel"]),
    ("store", &["primitives"]),
    ("apiserver", &["api", "cel", "store", "primitives"]),
    ("controllers", &["primitives"]),
    ("scheduler", &["primitives"]),
    ("container", &["primitives"]),
    ("image", &["primitives"]),
    ("network", &["primitives"]),
    ("node", &["container", "image", "network", "engine", "primitives"]),
    ("engine", &["container", "image", "network", "primitives"]),
    ("userland", &[]),
    ("kubectl", &["primitives"]),
    ("cluster", &["primitives", "api", "cel", "store", "apiserver", "controllers", "scheduler", "node", "container", "image", "network", "engine"]),
    ("course", &["primitives"]),
    ("checks", &["course", "cel", "primitives"]),
    ("terminal", &[]),
    ("web", &["course", "checks", "terminal", "primitives"]),
    ("author", &["course", "checks", "terminal", "primitives"]),
];

/// External crates a crate must never use, with the promise it would break.
const NEVER: &[(&str, &[&str], &str)] = &[
    ("primitives", &["kube", "axum", "hyper"], "primitives do no I/O; of tokio only the clock's timer is theirs"),
    ("cel", &["tokio", "kube", "axum"], "cel does no I/O"),
    ("api", &["tokio", "kube", "axum", "hyper"], "api is pure"),
    ("store", &["axum", "hyper", "kube", "k8s-openapi"], "store knows keys and bytes, not kinds"),
    ("apiserver", &["kube"], "the server does not depend on its client"),
    ("container", &["tokio", "kube"], "container is synchronous: it forks"),
    ("image", &["kube"], "image knows no API"),
    ("network", &["kube"], "network knows no API"),
    ("engine", &["kube"], "engine knows no API"),
    ("course", &["tokio", "kube", "axum"], "course is pure"),
    ("terminal", &["kube", "axum", "hyper"], "terminal knows bytes, not HTTP"),
];

/// Everything that is out of order, one sentence each.
pub(crate) fn problems(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let crates = layering(root, &mut problems)?;
    let mut sources = Vec::new();
    for top in ["server", "runtime", "tests"] {
        collect(&root.join(top), &mut sources)?;
    }
    for source in &sources {
        read_source(root, source, &mut problems)?;
    }
    readme(root, &crates, &mut problems)?;
    Ok(problems)
}

fn layering(root: &Path, problems: &mut Vec<String>) -> Result<BTreeSet<String>> {
    let output = Command::new("cargo").current_dir(root).args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
    let mut names = BTreeSet::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let full = package["name"].as_str().unwrap_or_default();
        names.insert(full.to_owned());
        let Some(name) = full.strip_prefix("drydock-") else { continue };
        let dependencies: Vec<&str> = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|d| d["kind"].is_null())
            .filter_map(|d| d["name"].as_str())
            .collect();
        if let Some((_, allowed)) = MAY_USE.iter().find(|(n, _)| *n == name) {
            for dependency in dependencies.iter().filter_map(|d| d.strip_prefix("drydock-")) {
                if !allowed.contains(&dependency) {
                    problems.push(format!("{name} must not use {dependency}: the architecture allows it {allowed:?}"));
                }
            }
        } else if !matches!(name, "kit" | "xtask") && !name.starts_with("test-") {
            problems.push(format!("{name} has no line in the permission table (tests/xtask/src/tidy.rs)"));
        }
        for (_, banned, why) in NEVER.iter().filter(|(n, ..)| *n == name) {
            for dependency in dependencies.iter().filter(|d| banned.contains(d)) {
                problems.push(format!("{name} must not use {dependency}: {why}"));
            }
        }
    }
    Ok(names)
}

fn collect(directory: &Path, sources: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if path.is_dir() && !matches!(name, "node_modules" | "target") {
            collect(&path, sources)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            sources.push(path);
        }
    }
    Ok(())
}

fn read_source(root: &Path, path: &Path, problems: &mut Vec<String>) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
    let in_tests_directory = path.components().any(|c| c.as_os_str() == "tests");
    if !text.starts_with("//!") {
        problems.push(format!("{shown}: starts without a //! header"));
    }
    if path.file_name().is_some_and(|n| n == "lib.rs") && !in_tests_directory && !text.contains("//! # Invariants") {
        problems.push(format!("{shown}: the crate's header has no `# Invariants` section"));
    }
    if EMPTY_NAMES.iter().any(|name| path.file_stem().is_some_and(|stem| stem == *name)) {
        problems.push(format!("{shown}: a name that says nothing"));
    }
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines().count();
    if code > MAX_LINES && !in_tests_directory && !LONG_TABLES.contains(&shown.as_str()) {
        problems.push(format!("{shown}: {code} lines without tests, more than {MAX_LINES}"));
    }
    // Put together from halves, so that this file does not find itself.
    let unfinished = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    for (number, line) in text.lines().enumerate() {
        if line.ends_with(' ') {
            problems.push(format!("{shown}:{}: trailing space", number + 1));
        }
        // In a comment: one of the book's applications is a list of things to do and says so in capitals.
        if line.split_once("//").is_some_and(|(_, comment)| unfinished.iter().any(|word| comment.contains(word))) {
            problems.push(format!("{shown}:{}: unfinished", number + 1));
        }
    }
    Ok(())
}

fn readme(root: &Path, crates: &BTreeSet<String>, problems: &mut Vec<String>) -> Result<()> {
    let text = fs::read_to_string(root.join("README.md")).context("README.md")?;
    for command in ["cargo run --release", "tests/run"] {
        if !text.contains(command) {
            problems.push(format!("README.md does not show `{command}`"));
        }
    }
    for name in crates.iter().filter_map(|n| n.strip_prefix("drydock-")).filter(|n| !n.starts_with("test-")) {
        let rows = text.lines().filter(|l| l.contains(&format!("/{name}`"))).count();
        if rows != 1 {
            problems.push(format!("README.md's map names `{name}` {rows} times, not once"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tidy() {
        let problems = problems(&crate::root()).unwrap();
        assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
    }
}
