//! Makes the layers that are embedded in this crate.
//!
//! 1. Builds `drydock-userland` with a nested cargo into a target directory of its own under `OUT_DIR`: static, for
//!    musl where that target is installed, for gnu with `crt-static` otherwise.
//! 2. Asks the binary for its links (`drydock-userland --links`) and makes the userland layer: binary, links, and the
//!    files of `layers/base`.
//! 3. Makes one layer of each other folder under `layers/`.
//! 4. Writes `layers.rs`, a table of names, digests and compressed tars.
//!
//! It runs again only when the userland's sources, its manifest or a layer's file changed. `Cargo.lock` is left out
//! on purpose: it changes with every dependency of the server, and each run here rebuilds all that uses images.
//! Everything is deterministic: entries sorted, times fixed, owners by rule.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest as _, Sha256};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// 2026-01-01T00:00:00Z, the time of every file in a bundled image.
const MTIME: u64 = 1_767_225_600;
/// Where the binary lies in an image; every command is a link to it.
const BINARY: &str = "bin/drydock-userland";
/// Directories of every image that hold no file of ours.
const EMPTY_DIRS: [(&str, u32); 16] = [
    ("dev", 0o755),
    ("etc/ssl/certs", 0o755),
    ("home", 0o755),
    ("lib", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr/local/bin", 0o755),
    ("var/log", 0o755),
    ("var/run", 0o755),
    ("var/tmp", 0o1777),
];

/// A file that is there only because git keeps no empty directory.
const KEEP: &str = ".keep";

/// What lies at one path of a layer.
enum Node {
    Directory(u32),
    File { mode: u32, content: Vec<u8> },
    Link(String),
}

type Tree = BTreeMap<String, Node>;

fn main() -> Result<()> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for path in ["build.rs", "layers", "../userland/src", "../userland/Cargo.toml"] {
        println!("cargo:rerun-if-changed={}", here.join(path).display());
    }
    let binary = build_userland(&here, &out)?;
    let mut layers = vec![embed("userland", &userland_tree(&here, &binary)?, &out)?];
    let mut folders: Vec<PathBuf> =
        fs::read_dir(here.join("layers"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    folders.sort();
    for folder in folders.iter().filter(|folder| !folder.ends_with("base")) {
        let name = folder.file_name().and_then(|name| name.to_str()).ok_or("layer name is not UTF-8")?;
        let mut tree = Tree::new();
        add_folder(&mut tree, folder, "")?;
        layers.push(embed(name, &tree, &out)?);
    }
    let table = format!("pub(super) static LAYERS: &[EmbeddedLayer] = &[\n{}];\n", layers.concat());
    write_if_changed(&out.join("layers.rs"), table.as_bytes())
}

/// Builds the multi-call binary and gives its path.
fn build_userland(here: &Path, out: &Path) -> Result<PathBuf> {
    let root = here.join("../..").canonicalize()?;
    // The binary runs on the machine that drydock runs on, whatever this one is.
    let outer = env::var("TARGET")?;
    let wished = format!("{}-unknown-linux-musl", env::var("CARGO_CFG_TARGET_ARCH")?);
    let musl = has_target(&wished);
    let target = if musl { wished.as_str() } else { outer.as_str() };
    let target_dir = out.join("userland-target");
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo.current_dir(&root).args(["build", "--package", "drydock-userland", "--profile", "userland"]);
    cargo.args(["--target", target, "--target-dir"]).arg(&target_dir);
    // The outer build's settings are about the outer crate; flags and directories must not leak into this one.
    for (name, _) in env::vars() {
        let outer = name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_FEATURE_")
            || name.starts_with("CARGO_CFG_")
            || name.starts_with("CARGO_PROFILE_");
        if outer {
            cargo.env_remove(name);
        }
    }
    for name in ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "RUSTC_WORKSPACE_WRAPPER", "TARGET", "OPT_LEVEL", "DEBUG", "PROFILE"] {
        cargo.env_remove(name);
    }
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    // Seconds instead of half a minute when the userland changes; a release is worth the wait and smaller without.
    cargo.env("CARGO_PROFILE_USERLAND_INCREMENTAL", if is_release() { "false" } else { "true" });
    if musl && !on_path("musl-gcc") {
        // ring's few C files need no libc of their own, so the host's compiler will do; rust brings musl itself.
        cargo.env(format!("CC_{}", wished.replace('-', "_")), "cc");
    }
    let status = cargo.status()?;
    if !status.success() {
        return Err(format!("building drydock-userland for {target} failed ({status})").into());
    }
    Ok(target_dir.join(target).join("userland").join("drydock-userland"))
}

fn is_release() -> bool {
    env::var("PROFILE").is_ok_and(|profile| profile == "release")
}

/// True when rustc has the standard library of `target`.
fn has_target(target: &str) -> bool {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output();
    output.is_ok_and(|output| {
        let dir = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        fs::read_dir(dir).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
        })
    })
}

fn on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

fn userland_tree(here: &Path, binary: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    for (path, mode) in EMPTY_DIRS {
        tree.insert(path.to_owned(), Node::Directory(mode));
    }
    add_folder(&mut tree, &here.join("layers/base"), "")?;
    tree.insert(BINARY.to_owned(), Node::File { mode: 0o755, content: fs::read(binary)? });
    let output = Command::new(binary).arg("--links").output()?;
    if !output.status.success() {
        return Err("drydock-userland --links failed".into());
    }
    for link in String::from_utf8(output.stdout)?.lines() {
        let path = link.trim_start_matches('/').to_owned();
        let up = "../".repeat(path.matches('/').count());
        let target = if path.starts_with("bin/") { BINARY.replace("bin/", "") } else { format!("{up}{BINARY}") };
        tree.insert(path, Node::Link(target));
    }
    Ok(tree)
}

fn add_folder(tree: &mut Tree, folder: &Path, prefix: &str) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| "file name is not UTF-8")?;
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_symlink() {
            let target = fs::read_link(entry.path())?.into_os_string().into_string().map_err(|_| "link is not UTF-8")?;
            tree.insert(path, Node::Link(target));
        } else if entry.file_type()?.is_dir() {
            tree.insert(path.clone(), Node::Directory(directory_mode(&path)));
            add_folder(tree, &entry.path(), &format!("{path}/"))?;
        } else if name != KEEP {
            let content = fs::read(entry.path())?;
            let mode = if content.starts_with(b"#!") { 0o755 } else { file_mode(&path) };
            tree.insert(path, Node::File { mode, content });
        }
    }
    Ok(())
}

fn directory_mode(path: &str) -> u32 {
    EMPTY_DIRS.iter().find(|(known, _)| *known == path).map_or(0o755, |(_, mode)| *mode)
}

fn file_mode(path: &str) -> u32 {
    if path == "etc/shadow" { 0o600 } else { 0o644 }
}

/// The learner owns the learner's home; all else is root's.
fn owner(path: &str) -> u64 {
    if path == "home/learner" || path.starts_with("home/learner/") { 1000 } else { 0 }
}

/// Writes the tree as a compressed tar and gives its line for the table.
fn embed(name: &str, tree: &Tree, out: &Path) -> Result<String> {
    let tar = tar_of(tree)?;
    let digest: String = Sha256::digest(&tar).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = out.join(format!("{name}-{digest}.tar.zst"));
    if !path.exists() {
        let mut encoder = zstd::Encoder::new(Vec::new(), if is_release() { 15 } else { 1 })?;
        encoder.write_all(&tar)?;
        fs::write(&path, encoder.finish()?)?;
    }
    Ok(format!(
        "    EmbeddedLayer {{ name: {name:?}, diff_id: \"sha256:{digest}\", size: {}, compressed: include_bytes!({path:?}) }},\n",
        tar.len()
    ))
}

fn tar_of(tree: &Tree) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut complete: BTreeMap<String, Option<&Node>> = BTreeMap::new();
    for (path, node) in tree {
        for (slash, _) in path.match_indices('/') {
            complete.entry(path[..slash].to_owned()).or_insert(None);
        }
        complete.insert(path.clone(), Some(node));
    }
    for (path, node) in complete {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(MTIME);
        header.set_uid(owner(&path));
        header.set_gid(owner(&path));
        header.set_size(0);
        match node {
            None | Some(Node::Directory(_)) => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(match node {
                    Some(Node::Directory(mode)) => *mode,
                    _ => directory_mode(&path),
                });
                builder.append_data(&mut header, format!("{path}/"), std::io::empty())?;
            }
            Some(Node::File { mode, content }) => {
                header.set_mode(*mode);
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, &path, content.as_slice())?;
            }
            Some(Node::Link(target)) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                builder.append_link(&mut header, &path, target)?;
            }
        }
    }
    Ok(builder.into_inner()?)
}

fn write_if_changed(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    Ok(fs::write(path, content)?)
}
