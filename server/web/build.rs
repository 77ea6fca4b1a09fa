//! Builds the front end: `npm ci` by lock file, then esbuild, all inside OUT_DIR.
//!
//! Nothing third-party is committed and nothing is written beside the sources. Cargo calls this only when a source under
//! `front-end/` has changed; packages are installed again only when the lock file has.

use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::{env, fs};

fn main() {
    for path in ["build.rs", "front-end/src", "front-end/package.json", "front-end/package-lock.json", "front-end/build.mjs", "front-end/tsconfig.json"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let sources = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("front-end");
    let work = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("front-end");
    require("node", "--version");
    require("npm", "--version");
    install(&sources, &work);
    bundle(&sources, &work);
}

/// Say what is missing in one sentence and stop.
fn fail(sentence: &str) -> ! {
    println!("cargo::error={sentence}");
    exit(1)
}

fn require(tool: &str, argument: &str) {
    let found = Command::new(tool).arg(argument).output().is_ok_and(|output| output.status.success());
    if !found {
        fail(&format!("the page is built with Node.js and `{tool}` was not found; install it (Debian: `apt-get install nodejs npm`) and build again"));
    }
}

fn install(sources: &Path, work: &Path) {
    make(work);
    let stamp = work.join("installed.lock");
    let lock = read(&sources.join("package-lock.json"));
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return;
    }
    for name in ["package.json", "package-lock.json"] {
        write(&work.join(name), &read(&sources.join(name)));
    }
    run(Command::new("npm").current_dir(work).args(["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]));
    write(&stamp, &lock);
}

fn bundle(sources: &Path, work: &Path) {
    for name in ["src", "dist"] {
        let old = work.join(name);
        if old.exists() {
            fs::remove_dir_all(&old).unwrap_or_else(|error| fail(&format!("remove {}: {error}", old.display())));
        }
    }
    copy(&sources.join("src"), &work.join("src"));
    for name in ["build.mjs", "tsconfig.json"] {
        write(&work.join(name), &read(&sources.join(name)));
    }
    run(Command::new("node").current_dir(work).arg("build.mjs"));
}

fn copy(from: &Path, to: &Path) {
    make(to);
    let entries = fs::read_dir(from).unwrap_or_else(|error| fail(&format!("read {}: {error}", from.display())));
    for entry in entries.flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy(&path, &target) } else { write(&target, &read(&path)) }
    }
}

fn run(command: &mut Command) {
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            for line in String::from_utf8_lossy(&text).lines() {
                println!("cargo::error={line}");
            }
            fail(&format!("building the page failed: {command:?} ended with {}", output.status));
        }
        Err(error) => fail(&format!("building the page failed: {command:?}: {error}")),
    }
}

fn make(path: &Path) {
    fs::create_dir_all(path).unwrap_or_else(|error| fail(&format!("make {}: {error}", path.display())));
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| fail(&format!("read {}: {error}", path.display())))
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| fail(&format!("write {}: {error}", path.display())));
}
