//! tar and gzip. `kubectl cp` lives on the first.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};

use crate::{clock, complain, sys, text};

/// What a tar command line asks for.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "these are the letters of the command line")]
struct Plan {
    action: Option<char>,
    file: Option<String>,
    gzip: bool,
    verbose: bool,
    to_stdout: bool,
    keep_mode: bool,
    directory: Option<String>,
    strip: usize,
    excluded: Vec<String>,
    no_same_owner: bool,
    members: Vec<String>,
}

fn plan(words: &[String]) -> Result<Plan, String> {
    let mut plan = Plan::default();
    let mut words = words[1..].iter();
    let mut first = true;
    while let Some(word) = words.next() {
        let mut value = |name: &str| words.next().cloned().ok_or_else(|| format!("option requires an argument: {name}"));
        if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            let (name, given) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value.to_owned())));
            let mut text = || given.clone().map_or_else(|| value(name), Ok);
            match name {
                "create" => plan.action = Some('c'),
                "extract" => plan.action = Some('x'),
                "list" => plan.action = Some('t'),
                "file" => plan.file = Some(text()?),
                "directory" => plan.directory = Some(text()?),
                "gzip" => plan.gzip = true,
                "verbose" => plan.verbose = true,
                "strip-components" => plan.strip = text()?.parse().map_err(|_| "bad number")?,
                "exclude" => plan.excluded.push(text()?),
                "to-stdout" => plan.to_stdout = true,
                "no-same-owner" => plan.no_same_owner = true,
                "same-permissions" | "preserve-permissions" => plan.keep_mode = true,
                "no-same-permissions" | "numeric-owner" | "warning" | "overwrite" => {}
                _ => return Err(format!("unrecognized option: {name}")),
            }
        } else if (word.starts_with('-') && word.len() > 1) || first {
            for letter in word.trim_start_matches('-').chars() {
                match letter {
                    'c' | 'x' | 't' => plan.action = Some(letter),
                    'f' => plan.file = Some(value("f")?),
                    'C' => plan.directory = Some(value("C")?),
                    'z' => plan.gzip = true,
                    'v' => plan.verbose = true,
                    'O' => plan.to_stdout = true,
                    'p' => plan.keep_mode = true,
                    'm' => {}
                    'o' => plan.no_same_owner = true,
                    other => return Err(format!("unrecognized option: {other}")),
                }
            }
        } else {
            plan.members.push(word.clone());
        }
        first = false;
    }
    Ok(plan)
}

/// `tar -c|-x|-t [-zvfCOp] [MEMBER]...`
pub(crate) fn tar(words: &[String]) -> i32 {
    let outcome = plan(words).and_then(|plan| {
        let archive = match plan.file.as_deref() {
            None | Some("-") => None,
            Some(file) => Some(PathBuf::from(file)),
        };
        let archive = archive.map(|file| std::path::absolute(&file).unwrap_or(file));
        match plan.action {
            Some('c') => create(&plan, archive.as_deref()).map_err(|error| error_text(&error)),
            Some('x' | 't') => extract(&plan, archive.as_deref()).map_err(|error| error_text(&error)),
            _ => Err("one of -c, -x, -t must be given".to_owned()),
        }
    });
    match outcome {
        Ok(status) => status,
        Err(message) => {
            complain("tar", message);
            1
        }
    }
}

fn error_text(error: &io::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => sys::reason(error),
    }
}

fn create(plan: &Plan, archive: Option<&Path>) -> io::Result<i32> {
    let out: Box<dyn Write> = match archive {
        None => Box::new(io::stdout()),
        Some(path) => Box::new(File::create(path)?),
    };
    if let Some(directory) = &plan.directory {
        std::env::set_current_dir(directory)?;
    }
    if plan.members.is_empty() {
        return Err(io::Error::other("empty archive"));
    }
    if plan.gzip {
        let mut builder = tar::Builder::new(GzEncoder::new(out, Compression::default()));
        let status = add_members(plan, &mut builder)?;
        builder.into_inner()?.finish()?.flush()?;
        return Ok(status);
    }
    let mut builder = tar::Builder::new(out);
    let status = add_members(plan, &mut builder)?;
    builder.into_inner()?.flush()?;
    Ok(status)
}

fn add_members<W: Write>(plan: &Plan, builder: &mut tar::Builder<W>) -> io::Result<i32> {
    builder.follow_symlinks(false);
    let mut status = 0;
    for member in &plan.members {
        if member.starts_with('/') {
            eprintln!("tar: removing leading '/' from member names");
        }
        if let Err(error) = add_path(plan, builder, Path::new(member)) {
            if error.kind() == io::ErrorKind::BrokenPipe {
                return Err(error);
            }
            complain("tar", format!("{member}: {}", error_text(&error)));
            status = 1;
        }
    }
    Ok(status)
}

fn add_path<W: Write>(plan: &Plan, builder: &mut tar::Builder<W>, path: &Path) -> io::Result<()> {
    let shown = path.to_string_lossy();
    if plan.excluded.iter().any(|excluded| matches_exclude(excluded, &shown)) {
        return Ok(());
    }
    let meta = fs::symlink_metadata(path)?;
    let name: PathBuf = path.components().filter(|part| !matches!(part, Component::RootDir | Component::Prefix(_))).collect();
    let name = if name.as_os_str().is_empty() { PathBuf::from(".") } else { name };
    if plan.verbose {
        eprintln!("{shown}");
    }
    if meta.file_type().is_dir() {
        builder.append_dir(&name, path)?;
        let mut entries: Vec<PathBuf> = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        entries.sort();
        for entry in entries {
            add_path(plan, builder, &entry)?;
        }
        return Ok(());
    }
    if meta.is_file() || meta.is_symlink() {
        builder.append_path_with_name(path, &name)?;
    }
    Ok(())
}

fn matches_exclude(pattern: &str, path: &str) -> bool {
    use crate::shell::pattern;
    let marks = pattern::marks(pattern);
    let whole: Vec<char> = path.chars().collect();
    let name: Vec<char> = path.rsplit('/').next().unwrap_or(path).chars().collect();
    pattern::matches(&marks, &whole) || pattern::matches(&marks, &name)
}

/// Lists or unpacks. Nothing is written outside the target directory.
fn extract(plan: &Plan, archive: Option<&Path>) -> io::Result<i32> {
    let mut input: Box<dyn Read> = match archive {
        None => Box::new(io::stdin()),
        Some(path) => Box::new(File::open(path)?),
    };
    let mut start = [0; 2];
    let count = read_fully(&mut input, &mut start)?;
    let zipped = plan.gzip || start == [0x1f, 0x8b];
    let input = io::Cursor::new(start[..count].to_vec()).chain(input);
    let input: Box<dyn Read> = if zipped { Box::new(MultiGzDecoder::new(input)) } else { Box::new(input) };
    let target = plan.directory.clone().unwrap_or_else(|| ".".to_owned());
    let mut archive = tar::Archive::new(input);
    archive.set_preserve_permissions(plan.keep_mode || nix::unistd::geteuid().is_root());
    archive.set_preserve_ownerships(false);
    let owners = nix::unistd::geteuid().is_root() && !plan.no_same_owner;
    let mut status = 0;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let wanted = plan.members.is_empty() || plan.members.iter().any(|member| path.starts_with(member.trim_end_matches('/').trim_start_matches('/')));
        if !wanted {
            continue;
        }
        let stripped: PathBuf = path.components().filter(|part| !matches!(part, Component::CurDir)).skip(plan.strip).collect();
        if plan.strip > 0 && stripped.as_os_str().is_empty() {
            continue;
        }
        if plan.action == Some('t') {
            list_entry(plan, &entry, &path)?;
            continue;
        }
        if plan.verbose {
            eprintln!("{}", path.display());
        }
        if plan.to_stdout {
            io::copy(&mut entry, &mut io::stdout())?;
            continue;
        }
        let unpacked = if plan.strip > 0 {
            unpack_stripped(&mut entry, Path::new(&target), &stripped)
        } else {
            entry.unpack_in(&target)
        };
        match unpacked {
            Ok(true) if owners => own(&entry, &Path::new(&target).join(below(if plan.strip > 0 { &stripped } else { &path }))),
            Ok(true) => {}
            Ok(false) => {
                complain("tar", format!("{}: refused: it would be outside {target}", path.display()));
                status = 1;
            }
            Err(error) => {
                complain("tar", format!("{}: {}", path.display(), error_text(&error)));
                status = 1;
            }
        }
    }
    Ok(status)
}

/// A member's path below the target directory, as unpacking reads it.
fn below(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

/// Gives a file to its owner, where such a user exists here: in a user namespace most ids do not.
fn own<R: Read>(entry: &tar::Entry<'_, R>, path: &Path) {
    if let (Ok(uid), Ok(gid)) = (entry.header().uid(), entry.header().gid())
        && let (Ok(uid), Ok(gid)) = (u32::try_from(uid), u32::try_from(gid))
        && (uid, gid) != (0, 0)
    {
        sys::best_effort(std::os::unix::fs::lchown(path, Some(uid), Some(gid)));
    }
}

fn unpack_stripped<R: Read>(entry: &mut tar::Entry<'_, R>, target: &Path, path: &Path) -> io::Result<bool> {
    if path.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Ok(false);
    }
    let full = target.join(path);
    if let Some(parent) = full.parent() {
        fs::create_dir_all(parent)?;
        if !fs::canonicalize(parent)?.starts_with(fs::canonicalize(target)?) {
            return Ok(false);
        }
    }
    entry.unpack(full)?;
    Ok(true)
}

fn list_entry<R: Read>(plan: &Plan, entry: &tar::Entry<'_, R>, path: &Path) -> io::Result<()> {
    let header = entry.header();
    let slash = if header.entry_type().is_dir() && !path.as_os_str().is_empty() { "/" } else { "" };
    if !plan.verbose {
        println!("{}{slash}", path.display());
        return Ok(());
    }
    let kind = match header.entry_type() {
        tar::EntryType::Directory => 'd',
        tar::EntryType::Symlink => 'l',
        _ => '-',
    };
    let mode = header.mode()?;
    let bits: String = (0..9).rev().map(|bit| if mode >> bit & 1 == 1 { ['x', 'w', 'r'][bit % 3] } else { '-' }).collect();
    let time = clock::format_time("%Y-%m-%d %H:%M:%S", i64::try_from(header.mtime()?).unwrap_or(0));
    let link = entry.link_name()?.map_or_else(String::new, |target| format!(" -> {}", target.display()));
    println!("{kind}{bits} {}/{} {:>9} {time} {}{slash}{link}", header.uid()?, header.gid()?, header.size()?, path.display());
    Ok(())
}

fn read_fully(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// `gzip [-dckf] [FILE]...`
pub(crate) fn gzip(words: &[String]) -> i32 {
    let flag = |letter: char| words.iter().any(|word| word.starts_with('-') && !word.starts_with("--") && word.contains(letter));
    run_gzip(words, flag('d'), flag('c'))
}

pub(crate) fn gunzip(words: &[String]) -> i32 {
    let to_stdout = words.iter().any(|word| word.starts_with('-') && word.contains('c'));
    run_gzip(words, true, to_stdout)
}

pub(crate) fn zcat(words: &[String]) -> i32 {
    run_gzip(words, true, true)
}

fn run_gzip(words: &[String], unpack: bool, to_stdout: bool) -> i32 {
    let keep = words.iter().any(|word| word.starts_with('-') && word.contains('k'));
    let operands: Vec<String> = words[1..].iter().filter(|word| *word == "-" || !word.starts_with('-')).cloned().collect();
    text::each_input(words, &operands, |path, mut input| {
        let stdout = to_stdout || path == "-";
        let target = if unpack { path.strip_suffix(".gz").or(path.strip_suffix(".tgz")).map(str::to_owned) } else { Some(format!("{path}.gz")) };
        let mut out: Box<dyn Write> = if stdout {
            Box::new(io::stdout())
        } else {
            let target = target.ok_or_else(|| io::Error::other("unknown suffix - ignored"))?;
            Box::new(File::create(target)?)
        };
        if unpack {
            io::copy(&mut MultiGzDecoder::new(input), &mut out)?;
        } else {
            let mut encoder = GzEncoder::new(&mut out, Compression::default());
            io::copy(&mut input, &mut encoder)?;
            encoder.finish()?;
        }
        out.flush()?;
        if !stdout && !keep {
            fs::remove_file(path)?;
        }
        Ok(())
    })
}
