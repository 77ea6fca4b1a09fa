//! Ours and the recordings of stock kubectl.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use drydock_test_parity::corpus::{self, Compare, Scenario};
use drydock_test_parity::{file, golden, play};

/// How many lines the corpus has at least.
const LINES: usize = 400;

/// `scenario: line` of each known difference, with its reason.
fn known() -> Vec<(String, String)> {
    let text = fs::read_to_string(file("differences.txt")).unwrap();
    let mut known = Vec::new();
    let mut reason = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("# ") {
            Some(comment) => comment.clone_into(&mut reason),
            None => known.push((line.to_owned(), reason.clone())),
        }
    }
    known
}

/// The differences of one scenario: its line and both outcomes.
fn differences(scenario: &Scenario) -> Vec<(String, String)> {
    let path = file("golden").join(format!("{}.txt", scenario.name));
    let recorded = golden::read(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; record it", path.display())));
    let lines: Vec<&str> = scenario.lines.iter().filter(|line| line.compare != Compare::Never).map(|line| line.text.as_str()).collect();
    let there: Vec<&str> = recorded.iter().map(|outcome| outcome.line.as_str()).collect();
    assert_eq!(there, lines, "{} is another scenario than its recording: record it", scenario.name);
    let ours = play::play(scenario, &play::Program::ours(env!("CARGO_BIN_EXE_kubectl")));
    let found = golden::differences(&scenario.lines, &recorded, &ours);
    let told = found.into_iter().map(|(recorded, own)| {
        let own = own.map(|own| golden::write(std::slice::from_ref(own))).unwrap_or_default();
        let recorded = golden::write(std::slice::from_ref(recorded));
        (format!("{}: {}", scenario.name, recorded.lines().next().unwrap_or_default().trim_start_matches("$ ")), format!("stock {recorded}ours {own}"))
    });
    told.collect()
}

#[test]
fn ours_does_what_stock_kubectl_did() {
    let only = std::env::var("PARITY").unwrap_or_default();
    let scenarios: Vec<Scenario> = corpus::all().unwrap().into_iter().filter(|scenario| only.is_empty() || scenario.name == only).collect();
    let known = known();
    let names: BTreeSet<&String> = known.iter().map(|(name, _)| name).collect();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from).min(4) {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut told = differences(scenario);
                    // How far a cluster is when a line is asked is a race now and then; what differs twice is no race.
                    if told.iter().any(|(name, _)| !names.contains(name)) {
                        let again = differences(scenario);
                        let (twice, once) = told.into_iter().partition(|(name, _)| again.iter().any(|(other, _)| other == name));
                        told = twice;
                        once.iter().for_each(|(_, difference): &(String, String)| println!("differs now and then:\n{difference}"));
                    }
                    found.lock().unwrap().extend(told);
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    let unknown: Vec<&String> = found.iter().filter(|(name, _)| !names.contains(name)).map(|(_, told)| told).collect();
    let gone: Vec<&&String> = names.iter().filter(|name| only.is_empty() && !found.iter().any(|(found, _)| found == **name)).collect();
    let lines: usize = scenarios.iter().flat_map(|scenario| &scenario.lines).filter(|line| line.compare != Compare::Never).count();
    println!("{} of {lines} lines are equal, {} differ and are known", lines - found.len(), found.len() - unknown.len());
    assert!(unknown.is_empty(), "{} lines differ:\n\n{}", unknown.len(), unknown.into_iter().cloned().collect::<Vec<_>>().join("\n"));
    assert!(gone.is_empty(), "no longer different: {gone:#?}");
}

#[test]
fn the_corpus_is_large_and_its_differences_have_reasons() {
    let lines: usize = corpus::all().unwrap().iter().flat_map(|scenario| &scenario.lines).filter(|line| line.compare != Compare::Never).count();
    assert!(lines >= LINES, "{lines} lines");
    assert!(known().iter().all(|(_, reason)| !reason.is_empty()));
}
