//! Records what stock kubectl does: `cargo xtask record parity [SCENARIO...]`.

use std::fs;
use std::process::ExitCode;

use drydock_test_parity::{corpus, file, golden, play};

fn main() -> ExitCode {
    let Some(stock) = play::Program::stock() else {
        eprintln!("there is no kubectl on PATH to record; name one with STOCK_KUBECTL");
        return ExitCode::FAILURE;
    };
    // A program that only chooses a kubectl tells mistakes of its own accord, and not as kubectl does.
    match stock.version() {
        Ok(version) if version.starts_with("v1.32.") && !version.contains('-') => {}
        version => {
            eprintln!("kubectl of a release 1.32 is wanted, and this one is {version:?}; name another with STOCK_KUBECTL");
            return ExitCode::FAILURE;
        }
    }
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let scenarios = match corpus::all() {
        Ok(scenarios) => scenarios,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    for scenario in scenarios.iter().filter(|scenario| wanted.is_empty() || wanted.contains(&scenario.name)) {
        let text = golden::write(&play::play(scenario, &stock));
        let path = file("golden").join(format!("{}.txt", scenario.name));
        if let Err(error) = fs::write(&path, text) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
        println!("{}: {} lines", scenario.name, scenario.lines.iter().filter(|line| line.compare != corpus::Compare::Never).count());
    }
    ExitCode::SUCCESS
}
