//! Commands about files and directories: ls, cp, mv, rm and their family.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{applets::Arguments, clock, complain, sys};

/// Runs `action` on each operand; complains and goes on.
fn each(words: &[String], operands: &[String], verb: &str, mut action: impl FnMut(&str) -> io::Result<()>) -> i32 {
    if operands.is_empty() {
        complain(&words[0], "missing operand");
        return 1;
    }
    let mut status = 0;
    for operand in operands {
        if let Err(error) = action(operand) {
            complain(&words[0], format!("{verb} '{operand}': {}", sys::reason(&error)));
            status = 1;
        }
    }
    status
}

/// `ls [-la1hRdtrSFin] [FILE]...`
pub(crate) fn ls(words: &[String]) -> i32 {
    let long_names = [("all", 'a'), ("color", 'C'), ("human-readable", 'h'), ("recursive", 'R')];
    let Some(arguments) = Arguments::parse(words, "la1AhRdtrSFinCgco", &long_names) else { return 1 };
    let mut status = 0;
    let operands = if arguments.operands.is_empty() { vec![".".to_owned()] } else { arguments.operands.clone() };
    let (mut loose, mut folders) = (Vec::new(), Vec::new());
    for operand in &operands {
        let follow = !(arguments.has('l') || arguments.has('d'));
        let meta = fs::symlink_metadata(operand);
        match meta {
            Err(error) => {
                complain("ls", format!("{operand}: {}", sys::reason(&error)));
                status = 1;
            }
            Ok(meta) => {
                let folder = meta.is_dir() || ((follow || operand.ends_with('/')) && Path::new(operand).is_dir());
                if folder && !arguments.has('d') { folders.push(operand.clone()) } else { loose.push((operand.clone(), PathBuf::from(operand))) }
            }
        }
    }
    let many = folders.len() + usize::from(!loose.is_empty()) > 1 || arguments.has('R');
    let loose_shown = !loose.is_empty();
    show(&arguments, loose);
    for (index, folder) in folders.into_iter().enumerate() {
        status |= list_folder(&arguments, &folder, many, many && (index > 0 || loose_shown));
    }
    status
}

fn list_folder(arguments: &Arguments, folder: &str, titled: bool, gap: bool) -> i32 {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            complain("ls", format!("can't open '{folder}': {}", sys::reason(&error)));
            return 1;
        }
    };
    let mut names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| arguments.has('a') || arguments.has('A') || !name.starts_with('.'));
    if arguments.has('a') {
        names.extend([".".to_owned(), "..".to_owned()]);
    }
    if titled {
        println!("{}{folder}:", if gap { "\n" } else { "" });
    }
    let items: Vec<_> = names.iter().map(|name| (name.clone(), Path::new(folder).join(name))).collect();
    if arguments.has('l') {
        let blocks: u64 = items.iter().filter_map(|(_, path)| fs::symlink_metadata(path).ok()).map(|meta| meta.blocks() / 2).sum();
        println!("total {blocks}");
    }
    let mut inner: Vec<String> = items
        .iter()
        .filter(|(name, path)| name != "." && name != ".." && fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()))
        .map(|(_, path)| path.to_string_lossy().into_owned())
        .collect();
    inner.sort();
    show(arguments, items);
    let mut status = 0;
    if arguments.has('R') {
        for folder in inner {
            status |= list_folder(arguments, &folder, true, true);
        }
    }
    status
}

fn show(arguments: &Arguments, items: Vec<(String, PathBuf)>) {
    let mut items: Vec<(String, PathBuf, fs::Metadata)> = items
        .into_iter()
        .filter_map(|(name, path)| {
            let meta = fs::symlink_metadata(&path).ok()?;
            Some((name, path, meta))
        })
        .collect();
    items.sort_by(|left, right| left.0.cmp(&right.0));
    if arguments.has('t') {
        items.sort_by_key(|(_, _, meta)| std::cmp::Reverse((meta.mtime(), meta.mtime_nsec())));
    }
    if arguments.has('S') {
        items.sort_by_key(|(_, _, meta)| std::cmp::Reverse(meta.len()));
    }
    if arguments.has('r') {
        items.reverse();
    }
    let colored = sys::is_terminal(1);
    if arguments.has('l') {
        show_long(arguments, &items, colored);
        return;
    }
    let names: Vec<(String, usize)> = items.iter().map(|(name, path, meta)| decorated(arguments, name, path, meta, colored)).collect();
    if !colored || arguments.has('1') {
        for (name, _) in names {
            println!("{name}");
        }
        return;
    }
    let width = sys::window_size(1).0;
    let cell = names.iter().map(|(_, length)| length + 2).max().unwrap_or(1);
    let across = (width / cell).max(1);
    let rows = names.len().div_ceil(across);
    for row in 0..rows {
        let mut line = String::new();
        for (name, length) in names.iter().skip(row).step_by(rows.max(1)) {
            line.push_str(name);
            line.push_str(&" ".repeat(cell - length));
        }
        println!("{}", line.trim_end());
    }
}

/// A name with color and mark, and its width.
fn decorated(arguments: &Arguments, name: &str, path: &Path, meta: &fs::Metadata, colored: bool) -> (String, usize) {
    let kind = meta.file_type();
    let runs = meta.permissions().mode() & 0o111 != 0;
    let (color, mark) = if kind.is_dir() {
        ("1;34", "/")
    } else if kind.is_symlink() {
        ("1;36", "@")
    } else if kind.is_socket() {
        ("1;35", "=")
    } else if kind.is_fifo() {
        ("33", "|")
    } else if runs {
        ("1;32", "*")
    } else {
        ("", "")
    };
    let inode = if arguments.has('i') { format!("{} ", meta.ino()) } else { String::new() };
    let mark = if arguments.has('F') { mark } else { "" };
    let length = inode.len() + name.chars().count() + mark.len();
    let target = match fs::read_link(path) {
        Ok(target) if arguments.has('l') => format!(" -> {}", target.display()),
        _ => String::new(),
    };
    let shown = if colored && !color.is_empty() { format!("\x1b[{color}m{name}\x1b[0m") } else { name.to_owned() };
    (format!("{inode}{shown}{mark}{target}"), length)
}

fn show_long(arguments: &Arguments, items: &[(String, PathBuf, fs::Metadata)], colored: bool) {
    let rows: Vec<[String; 6]> = items
        .iter()
        .map(|(name, path, meta)| {
            let size = if meta.file_type().is_char_device() || meta.file_type().is_block_device() {
                format!("{}, {}", meta.rdev() >> 8 & 0xfff, meta.rdev() & 0xff)
            } else if arguments.has('h') {
                human(meta.len())
            } else {
                meta.len().to_string()
            };
            let owner = if arguments.has('n') { meta.uid().to_string() } else { sys::name_of("/etc/passwd", meta.uid()).unwrap_or_else(|| meta.uid().to_string()) };
            let group = if arguments.has('n') { meta.gid().to_string() } else { sys::name_of("/etc/group", meta.gid()).unwrap_or_else(|| meta.gid().to_string()) };
            let name = decorated(arguments, name, path, meta, colored).0;
            [format!("{} {:>4}", mode_text(meta), meta.nlink()), owner, group, size, when(meta), name]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (owner, group, size) = (width(1).max(8), width(2).max(8), width(3).max(9));
    for row in &rows {
        println!("{} {:<owner$} {:<group$} {:>size$} {} {}", row[0], row[1], row[2], row[3], row[4], row[5]);
    }
}

fn when(meta: &fs::Metadata) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| i64::try_from(passed.as_secs()).unwrap_or(0));
    let recent = now - meta.mtime() < 180 * 86_400 && meta.mtime() <= now + 3600;
    clock::format_time(if recent { "%b %e %H:%M" } else { "%b %e  %Y" }, meta.mtime())
}

/// `drwxr-xr-x`.
pub(crate) fn mode_text(meta: &fs::Metadata) -> String {
    let kind = meta.file_type();
    let first = if kind.is_dir() {
        'd'
    } else if kind.is_symlink() {
        'l'
    } else if kind.is_char_device() {
        'c'
    } else if kind.is_block_device() {
        'b'
    } else if kind.is_fifo() {
        'p'
    } else if kind.is_socket() {
        's'
    } else {
        '-'
    };
    let mode = meta.mode();
    let mut text = String::from(first);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift & 7;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// A size as people read it: 1.5K, 20M.
pub(crate) fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["", "K", "M", "G"] {
        if value < 1024.0 {
            return if unit.is_empty() || value >= 10.0 { format!("{value:.0}{unit}") } else { format!("{value:.1}{unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1}T")
}

/// Where a copy or move goes: into a directory under the same name, or to the name itself.
fn destination(source: &str, target: &Path) -> PathBuf {
    if target.is_dir() {
        match Path::new(source).file_name() {
            Some(name) => target.join(name),
            None => target.to_owned(),
        }
    } else {
        target.to_owned()
    }
}

fn copy_tree(source: &Path, target: &Path, recursive: bool, keep: bool, links: bool) -> io::Result<()> {
    let meta = if links { fs::symlink_metadata(source)? } else { fs::metadata(source)? };
    if meta.is_symlink() {
        if fs::symlink_metadata(target).is_ok() {
            fs::remove_file(target)?;
        }
        return symlink(fs::read_link(source)?, target);
    }
    if meta.is_dir() {
        if !recursive {
            return Err(io::Error::other("is a directory (use -r)"));
        }
        if !target.is_dir() {
            fs::create_dir(target)?;
        }
        for entry in fs::read_dir(source)? {
            let entry = entry?;
            copy_tree(&entry.path(), &target.join(entry.file_name()), true, keep, true)?;
        }
        fs::set_permissions(target, meta.permissions())?;
    } else {
        let exists = target.exists();
        let mut input = fs::File::open(source)?;
        let mut output = fs::File::create(target)?;
        io::copy(&mut input, &mut output)?;
        if !exists || keep {
            fs::set_permissions(target, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
        }
    }
    if keep {
        let times = fs::FileTimes::new().set_modified(meta.modified()?).set_accessed(meta.accessed()?);
        fs::File::open(target)?.set_times(times)?;
        if let Err(error) = std::os::unix::fs::chown(target, Some(meta.uid()), Some(meta.gid()))
            && error.kind() != io::ErrorKind::PermissionDenied
        {
            return Err(error);
        }
    }
    Ok(())
}

/// `cp [-rpaf] SOURCE... TARGET`
pub(crate) fn cp(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "rRpafdvLPT", &[("recursive", 'r'), ("force", 'f')]) else { return 1 };
    let Some((target, sources)) = arguments.operands.split_last().filter(|(_, sources)| !sources.is_empty()) else {
        complain("cp", "missing operand");
        return 1;
    };
    let target = Path::new(target);
    if sources.len() > 1 && !target.is_dir() {
        complain("cp", format!("target '{}' is not a directory", target.display()));
        return 1;
    }
    let archive = arguments.has('a');
    let recursive = archive || arguments.has('r') || arguments.has('R');
    each(words, sources, "can't copy", |source| {
        let to = if arguments.has('T') { target.to_owned() } else { destination(source, target) };
        if fs::canonicalize(source).ok().is_some_and(|real| fs::canonicalize(&to).ok() == Some(real)) {
            return Err(io::Error::other(format!("'{source}' and '{}' are the same file", to.display())));
        }
        copy_tree(Path::new(source), &to, recursive, archive || arguments.has('p'), archive || arguments.has('d') || arguments.has('P'))
    })
}

/// `mv [-f] SOURCE... TARGET`
pub(crate) fn mv(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "finvT", &[("force", 'f')]) else { return 1 };
    let Some((target, sources)) = arguments.operands.split_last().filter(|(_, sources)| !sources.is_empty()) else {
        complain("mv", "missing operand");
        return 1;
    };
    let target = Path::new(target);
    each(words, sources, "can't move", |source| {
        let to = if arguments.has('T') { target.to_owned() } else { destination(source, target) };
        if arguments.has('n') && to.exists() {
            return Ok(());
        }
        match fs::rename(source, &to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                copy_tree(Path::new(source), &to, true, true, true)?;
                remove(Path::new(source), true)
            }
            other => other,
        }
    })
}

fn remove(path: &Path, recursive: bool) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    if recursive { fs::remove_dir_all(path) } else { Err(io::Error::from_raw_os_error(libc::EISDIR)) }
}

/// `rm [-rf] FILE...`
pub(crate) fn rm(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "rRfivd", &[("recursive", 'r'), ("force", 'f')]) else { return 1 };
    let force = arguments.has('f');
    if force && arguments.operands.is_empty() {
        return 0;
    }
    each(words, &arguments.operands, "can't remove", |path| {
        if matches!(path.trim_end_matches('/').rsplit('/').next(), Some("." | "..")) {
            return Err(io::Error::other("'.' and '..' stay"));
        }
        match remove(Path::new(path), arguments.has('r') || arguments.has('R')) {
            Err(error) if force && error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    })
}

/// `mkdir [-p] [-m MODE] DIRECTORY...`
pub(crate) fn mkdir(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "pvm:", &[("parents", 'p'), ("mode", 'm')]) else { return 1 };
    each(words, &arguments.operands, "can't create directory", |path| {
        if arguments.has('p') { fs::create_dir_all(path)? } else { fs::create_dir(path)? }
        if let Some(mode) = arguments.value('m').and_then(|text| u32::from_str_radix(text, 8).ok()) {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    })
}

/// `rmdir DIRECTORY...`
pub(crate) fn rmdir(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "p", &[]) else { return 1 };
    each(words, &arguments.operands, "can't remove", |path| fs::remove_dir(path))
}

/// `touch [-c] FILE...`
pub(crate) fn touch(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "camr:d:t:", &[]) else { return 1 };
    let time = match (arguments.value('d').or(arguments.value('t')), arguments.value('r')) {
        (Some(text), _) => match clock::parse_time(text) {
            Some(seconds) => UNIX_EPOCH + std::time::Duration::from_secs(seconds),
            None => {
                complain("touch", format!("invalid date '{text}'"));
                return 1;
            }
        },
        (None, Some(file)) => match fs::metadata(file).and_then(|meta| meta.modified()) {
            Ok(time) => time,
            Err(error) => {
                complain("touch", format!("{file}: {}", sys::reason(&error)));
                return 1;
            }
        },
        (None, None) => SystemTime::now(),
    };
    each(words, &arguments.operands, "can't touch", |path| {
        if arguments.has('c') && !Path::new(path).exists() {
            return Ok(());
        }
        if Path::new(path).is_dir() {
            return fs::File::open(path)?.set_modified(time);
        }
        let file = fs::OpenOptions::new().create(true).append(true).open(path)?;
        file.set_times(fs::FileTimes::new().set_modified(time).set_accessed(time))
    })
}

/// `ln [-sf] TARGET [LINK]`
pub(crate) fn ln(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "sfnvT", &[("symbolic", 's'), ("force", 'f')]) else { return 1 };
    let (targets, link) = match arguments.operands.as_slice() {
        [] => {
            complain("ln", "missing operand");
            return 1;
        }
        [one] => (vec![one.clone()], PathBuf::from(".")),
        [targets @ .., link] => (targets.to_vec(), PathBuf::from(link)),
    };
    each(words, &targets, "can't link", |target| {
        let into = link.is_dir() && !(arguments.has('n') && link.is_symlink()) && !arguments.has('T');
        let path = if into { link.join(Path::new(target).file_name().unwrap_or_default()) } else { link.clone() };
        if arguments.has('f') && fs::symlink_metadata(&path).is_ok() {
            fs::remove_file(&path)?;
        }
        if arguments.has('s') { symlink(target, &path) } else { fs::hard_link(target, &path) }
    })
}

/// `chmod [-R] MODE FILE...`
pub(crate) fn chmod(words: &[String]) -> i32 {
    // A mode such as -x looks like an option; only R, f and v are options.
    let recursive = words.iter().any(|word| word == "-R");
    let rest: Vec<String> = words[1..].iter().filter(|word| !matches!(word.as_str(), "-R" | "-f" | "-v" | "--")).cloned().collect();
    let Some((mode, operands)) = rest.split_first() else {
        complain("chmod", "missing operand");
        return 1;
    };
    each(words, operands, "can't change mode of", |path| {
        for path in tree(Path::new(path), recursive)? {
            if fs::symlink_metadata(&path)?.is_symlink() && recursive {
                continue;
            }
            let meta = fs::metadata(&path)?;
            let new = new_mode(mode, meta.mode() & 0o7777, meta.is_dir()).ok_or_else(|| io::Error::other(format!("invalid mode '{mode}'")))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(new))?;
        }
        Ok(())
    })
}

/// The path and, if asked, all below it.
fn tree(path: &Path, recursive: bool) -> io::Result<Vec<PathBuf>> {
    let mut all = vec![path.to_owned()];
    if recursive && fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            all.extend(tree(&entry?.path(), true)?);
        }
    }
    Ok(all)
}

/// The mode that `644` or `u+x,go-w` makes of `old`.
fn new_mode(text: &str, old: u32, directory: bool) -> Option<u32> {
    if let Ok(mode) = u32::from_str_radix(text, 8) {
        return Some(mode);
    }
    let mut mode = old;
    for clause in text.split(',') {
        let operator = clause.find(['+', '-', '='])?;
        let (who, change) = clause.split_at(operator);
        let mut mask = 0;
        for letter in if who.is_empty() { "a" } else { who }.chars() {
            mask |= match letter {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o1007,
                'a' => 0o7777,
                _ => return None,
            };
        }
        let mut bits = 0;
        for letter in change[1..].chars() {
            bits |= match letter {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                'X' if directory || old & 0o111 != 0 => 0o111,
                'X' => 0,
                's' => 0o6000,
                't' => 0o1000,
                _ => return None,
            };
        }
        mode = match &change[..1] {
            "+" => mode | bits & mask,
            "-" => mode & !(bits & mask),
            _ => mode & !(mask & 0o777) | bits & mask,
        };
    }
    Some(mode)
}

/// `chown [-Rh] OWNER[:GROUP] FILE...`
pub(crate) fn chown(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "Rhfv", &[("recursive", 'R')]) else { return 1 };
    let Some((owner, operands)) = arguments.operands.split_first() else {
        complain("chown", "missing operand");
        return 1;
    };
    let (user, group) = owner.split_once(':').map_or((owner.as_str(), ""), |(user, group)| (user, group));
    let look_up = |file: &str, name: &str| -> Result<Option<u32>, i32> {
        if name.is_empty() {
            return Ok(None);
        }
        sys::id_of(file, name).map(Some).ok_or_else(|| {
            complain("chown", format!("unknown user/group {name}"));
            1
        })
    };
    let ids = look_up("/etc/passwd", user).and_then(|user| Ok((user, look_up("/etc/group", group)?)));
    let (uid, gid) = match ids {
        Ok(ids) => ids,
        Err(status) => return status,
    };
    each(words, operands, "can't change owner of", |path| {
        for path in tree(Path::new(path), arguments.has('R'))? {
            if arguments.has('h') || arguments.has('R') {
                std::os::unix::fs::lchown(&path, uid, gid)?;
            } else {
                std::os::unix::fs::chown(&path, uid, gid)?;
            }
        }
        Ok(())
    })
}

/// `stat [-c FORMAT] FILE...`
pub(crate) fn stat(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "Lc:f", &[("format", 'c')]) else { return 1 };
    each(words, &arguments.operands, "can't stat", |path| {
        let meta = if arguments.has('L') { fs::metadata(path)? } else { fs::symlink_metadata(path)? };
        let owner = sys::name_of("/etc/passwd", meta.uid()).unwrap_or_else(|| "UNKNOWN".to_owned());
        let group = sys::name_of("/etc/group", meta.gid()).unwrap_or_else(|| "UNKNOWN".to_owned());
        let kind = match meta.file_type() {
            kind if kind.is_dir() => "directory",
            kind if kind.is_symlink() => "symbolic link",
            kind if kind.is_file() => if meta.len() == 0 { "regular empty file" } else { "regular file" },
            _ => "special file",
        };
        if let Some(format) = arguments.value('c') {
            let mut out = String::new();
            let mut chars = format.chars();
            while let Some(next) = chars.next() {
                if next != '%' {
                    out.push(next);
                    continue;
                }
                out.push_str(&match chars.next() {
                    Some('n') => path.to_owned(),
                    Some('s') => meta.len().to_string(),
                    Some('a') => format!("{:o}", meta.mode() & 0o7777),
                    Some('A') => mode_text(&meta),
                    Some('u') => meta.uid().to_string(),
                    Some('U') => owner.clone(),
                    Some('g') => meta.gid().to_string(),
                    Some('G') => group.clone(),
                    Some('i') => meta.ino().to_string(),
                    Some('h') => meta.nlink().to_string(),
                    Some('F') => kind.to_owned(),
                    Some('Y') => meta.mtime().to_string(),
                    Some('y') => clock::format_time("%Y-%m-%d %H:%M:%S +0000", meta.mtime()),
                    Some(other) => format!("%{other}"),
                    None => "%".to_owned(),
                });
            }
            println!("{out}");
            return Ok(());
        }
        println!("  File: {path}");
        println!("  Size: {:<15} Blocks: {:<10} IO Block: {:<6} {kind}", meta.len(), meta.blocks(), meta.blksize());
        println!("Device: {:<15} Inode: {:<11} Links: {}", format!("{:x}h/{}d", meta.dev(), meta.dev()), meta.ino(), meta.nlink());
        println!("Access: ({:04o}/{})  Uid: ({:>5}/{owner:>8})   Gid: ({:>5}/{group:>8})", meta.mode() & 0o7777, mode_text(&meta), meta.uid(), meta.gid());
        for (name, time) in [("Access", meta.atime()), ("Modify", meta.mtime()), ("Change", meta.ctime())] {
            println!("{name}: {}", clock::format_time("%Y-%m-%d %H:%M:%S +0000", time));
        }
        Ok(())
    })
}

/// `readlink [-f] PATH...`
pub(crate) fn readlink(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "fen", &[]) else { return 1 };
    let mut status = i32::from(arguments.operands.is_empty());
    for path in &arguments.operands {
        let target = if arguments.has('f') || arguments.has('e') { real(Path::new(path)) } else { fs::read_link(path) };
        match target {
            Ok(target) => println!("{}", target.display()),
            Err(_) => status = 1,
        }
    }
    status
}

/// The real path; its last part need not exist.
fn real(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path).or_else(|error| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match path.file_name() {
            Some(name) => Ok(fs::canonicalize(parent)?.join(name)),
            None => Err(error),
        }
    })
}

/// `realpath PATH...`
pub(crate) fn realpath(words: &[String]) -> i32 {
    each(words, &words[1..], "can't resolve", |path| {
        println!("{}", real(Path::new(path))?.display());
        Ok(())
    })
}

/// `basename PATH [SUFFIX]`
pub(crate) fn basename(words: &[String]) -> i32 {
    let Some(path) = words.get(1) else { return 1 };
    let trimmed = path.trim_end_matches('/');
    let name = if trimmed.is_empty() { "/" } else { trimmed.rsplit('/').next().unwrap_or(trimmed) };
    let name = words.get(2).and_then(|suffix| name.strip_suffix(suffix.as_str())).filter(|name| !name.is_empty()).unwrap_or(name);
    println!("{name}");
    0
}

/// `dirname PATH`
pub(crate) fn dirname(words: &[String]) -> i32 {
    let Some(path) = words.get(1) else { return 1 };
    let parent = match path.trim_end_matches('/').rsplit_once('/') {
        None if path.starts_with('/') => "/",
        None => ".",
        Some(("", _)) => "/",
        Some((parent, _)) => parent,
    };
    println!("{parent}");
    0
}

/// `mktemp [-d] [TEMPLATE]`
pub(crate) fn mktemp(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "dp:tq", &[]) else { return 1 };
    let directory = std::env::var("TMPDIR").unwrap_or_else(|_| "/tmp".to_owned());
    let template = arguments.operands.first().cloned().unwrap_or_else(|| format!("{directory}/tmp.XXXXXX"));
    let template = template.trim_end_matches('X');
    for attempt in 0..100_u32 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.subsec_nanos());
        let path = format!("{template}{:06x}", (now ^ std::process::id().rotate_left(12)).wrapping_add(attempt) & 0xff_ffff);
        let made = if arguments.has('d') {
            fs::create_dir(&path)
        } else {
            fs::OpenOptions::new().write(true).create_new(true).open(&path).map(drop)
        };
        match made {
            Ok(()) => {
                println!("{path}");
                return 0;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                complain("mktemp", format!("{path}: {}", sys::reason(&error)));
                return 1;
            }
        }
    }
    1
}

/// `mkfifo [-m MODE] NAME...`
pub(crate) fn mkfifo(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "m:", &[]) else { return 1 };
    let mode = arguments.value('m').and_then(|text| u32::from_str_radix(text, 8).ok()).unwrap_or(0o666);
    let mut status = 0;
    for path in &arguments.operands {
        if let Err(error) = nix::unistd::mkfifo(path.as_str(), nix::sys::stat::Mode::from_bits_truncate(mode)) {
            complain("mkfifo", format!("{path}: {}", error.desc()));
            status = 1;
        }
    }
    status
}

/// `df [-h] [PATH]...`
pub(crate) fn df(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "hkmPTa", &[]) else { return 1 };
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let size = |blocks: u64| if arguments.has('h') { human(blocks * 1024) } else { blocks.to_string() };
    println!("{:<20} {:>10} {:>10} {:>10} Use% Mounted on", "Filesystem", if arguments.has('h') { "Size" } else { "1K-blocks" }, "Used", "Available");
    let mut rows: Vec<(String, String)> = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
        })
        .collect();
    if !arguments.operands.is_empty() {
        rows = arguments.operands.iter().map(|path| {
            let whole = real(Path::new(path)).unwrap_or_default().to_string_lossy().into_owned();
            let best = rows.iter().filter(|(_, mount)| whole.starts_with(mount.as_str())).max_by_key(|(_, mount)| mount.len());
            best.cloned().unwrap_or(("-".to_owned(), path.clone()))
        }).collect();
    }
    for (source, mount) in rows {
        let Ok(stat) = nix::sys::statvfs::statvfs(mount.as_str()) else { continue };
        let unit = stat.fragment_size();
        let total = stat.blocks() * unit / 1024;
        if total == 0 && !arguments.has('a') && arguments.operands.is_empty() {
            continue;
        }
        let available = stat.blocks_available() * unit / 1024;
        let used = total - stat.blocks_free() * unit / 1024;
        let percent = (used * 100).div_ceil((used + available).max(1));
        println!("{source:<20} {:>10} {:>10} {:>10} {percent:>3}% {mount}", size(total), size(used), size(available));
    }
    0
}

/// `du [-sha] [PATH]...`
pub(crate) fn du(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "shakmcxd:", &[]) else { return 1 };
    let operands = if arguments.operands.is_empty() { vec![".".to_owned()] } else { arguments.operands.clone() };
    each(words, &operands, "can't read", |path| {
        let total = usage(Path::new(path), &arguments, 0)?;
        if arguments.has('s') {
            print_usage(total, Path::new(path), &arguments);
        }
        Ok(())
    })
}

fn print_usage(blocks: u64, path: &Path, arguments: &Arguments) {
    let size = if arguments.has('h') { human(blocks * 512) } else { (blocks / 2).to_string() };
    println!("{size}\t{}", path.display());
}

fn usage(path: &Path, arguments: &Arguments, depth: usize) -> io::Result<u64> {
    let meta = fs::symlink_metadata(path)?;
    let mut blocks = meta.blocks();
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            blocks += usage(&entry?.path(), arguments, depth + 1)?;
        }
    }
    let limit = arguments.value('d').and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    if !arguments.has('s') && depth <= limit && (meta.is_dir() || arguments.has('a') || depth == 0) {
        print_usage(blocks, path, arguments);
    }
    Ok(blocks)
}

/// `mount`: what is mounted. Mounting is the runtime's business.
pub(crate) fn mount(words: &[String]) -> i32 {
    if words.len() > 1 {
        complain("mount", "permission denied (are you root?)");
        return 1;
    }
    match fs::read_to_string("/proc/mounts") {
        Ok(text) => {
            for line in text.lines() {
                let fields: Vec<&str> = line.split(' ').collect();
                if let [source, target, kind, options, ..] = fields.as_slice() {
                    println!("{source} on {target} type {kind} ({options})");
                }
            }
            0
        }
        Err(error) => {
            complain("mount", format!("/proc/mounts: {}", sys::reason(&error)));
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_or_symbolic() {
        let cases = [
            ("644", 0o755, Some(0o644)),
            ("+x", 0o644, Some(0o755)),
            ("u+x", 0o644, Some(0o744)),
            ("go-r", 0o644, Some(0o600)),
            ("a=r", 0o755, Some(0o444)),
            ("u=rw,go=r", 0o777, Some(0o644)),
            ("z+x", 0o644, None),
        ];
        for (text, old, wanted) in cases {
            assert_eq!(new_mode(text, old, false), wanted, "{text}");
        }
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(human(512), "512");
        assert_eq!(human(1536), "1.5K");
        assert_eq!(human(20 << 20), "20M");
    }
}
