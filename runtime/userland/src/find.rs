//! find, xargs and tree: going through directories.

use std::{
    fs, io,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::Command,
    time::SystemTime,
};

use crate::{complain, shell::pattern, sys};

/// One test or action of find.
enum Term {
    Name(String, bool),
    WholePath(String),
    Kind(String),
    Size(String),
    Minutes(String, u64),
    /// Whose it is; `None` for a name that nobody has.
    User(Option<u32>),
    Group(Option<u32>),
    NoOwner,
    Mode(Mode),
    /// Changed after this time.
    Newer(SystemTime),
    Empty,
    Print(&'static str),
    Delete,
    Exec(Vec<String>, bool),
    Not(Box<Term>),
    /// What is in parentheses.
    All(Vec<Term>),
    /// Both sides of `-o`.
    Either(Vec<Term>, Vec<Term>),
}

/// How permissions are compared: `644`, `-644` (all of these), `/222` (any of these).
enum Mode {
    Exactly(u32),
    AllOf(u32),
    AnyOf(u32),
}

impl Mode {
    fn parse(text: &str) -> Result<Self, String> {
        let bits = |digits: &str| u32::from_str_radix(digits, 8).map_err(|_| format!("invalid mode '{text}'"));
        match (text.strip_prefix('-'), text.strip_prefix(['/', '+'])) {
            (Some(digits), _) => bits(digits).map(Self::AllOf),
            (_, Some(digits)) => bits(digits).map(Self::AnyOf),
            _ => bits(text).map(Self::Exactly),
        }
    }

    fn holds(&self, mode: u32) -> bool {
        match self {
            Self::Exactly(wanted) => mode & 0o7777 == *wanted,
            Self::AllOf(wanted) => mode & wanted == *wanted,
            Self::AnyOf(wanted) => mode & wanted != 0 || *wanted == 0,
        }
    }
}

struct Find {
    terms: Vec<Term>,
    deepest: usize,
    shallowest: usize,
    /// Paths for `-exec ... +`.
    collected: Vec<String>,
    status: i32,
}

/// `find [PATH]... [-name GLOB] [-type fdl] [-maxdepth N] [-size N] [-mmin N] [-newer FILE] [-user NAME] [-group NAME] [-perm MODE] [-empty] [-exec COMMAND {} ;] [-delete] [-print0]`
pub(crate) fn find(words: &[String]) -> i32 {
    let split = words[1..].iter().position(|word| word.starts_with('-') && word.len() > 1 || matches!(word.as_str(), "!" | "(")).map_or(words.len(), |index| index + 1);
    let mut roots: Vec<String> = words[1..split].to_vec();
    if roots.is_empty() {
        roots.push(".".to_owned());
    }
    let mut find = Find { terms: Vec::new(), deepest: usize::MAX, shallowest: 0, collected: Vec::new(), status: 0 };
    let mut rest = words[split..].iter();
    match find.terms(&mut rest) {
        Ok(mut terms) => {
            if !terms.iter().any(acts) {
                terms = match terms.pop() {
                    // The print belongs to the whole of `a -o b`.
                    Some(Term::Either(mut left, mut right)) => {
                        left.push(Term::Print("\n"));
                        right.push(Term::Print("\n"));
                        terms.push(Term::Either(left, right));
                        terms
                    }
                    Some(last) => {
                        terms.extend([last, Term::Print("\n")]);
                        terms
                    }
                    None => vec![Term::Print("\n")],
                };
            }
            find.terms = terms;
        }
        Err(message) => {
            complain("find", message);
            return 1;
        }
    }
    for root in roots {
        find.walk(&root, 0);
    }
    find.finish();
    find.status
}

fn acts(term: &Term) -> bool {
    match term {
        Term::Print(_) | Term::Delete | Term::Exec(..) => true,
        Term::Not(inner) => acts(inner),
        Term::All(terms) => terms.iter().any(acts),
        Term::Either(left, right) => left.iter().chain(right).any(acts),
        _ => false,
    }
}

impl Find {
    fn terms(&mut self, words: &mut std::slice::Iter<'_, String>) -> Result<Vec<Term>, String> {
        let mut terms = Vec::new();
        let mut negate = false;
        while let Some(word) = words.next() {
            let mut value = || words.next().cloned().ok_or_else(|| format!("{word} requires an argument"));
            let term = match word.as_str() {
                "-name" => Term::Name(value()?, false),
                "-iname" => Term::Name(value()?.to_lowercase(), true),
                "-path" => Term::WholePath(value()?),
                "-type" => Term::Kind(value()?),
                "-size" => Term::Size(value()?),
                "-mmin" => Term::Minutes(value()?, 1),
                "-mtime" => Term::Minutes(value()?, 24 * 60),
                "-user" => Term::User(Some(id("/etc/passwd", "user", &value()?)?)),
                "-group" => Term::Group(Some(id("/etc/group", "group", &value()?)?)),
                "-uid" => Term::User(value()?.parse().ok()),
                "-gid" => Term::Group(value()?.parse().ok()),
                "-nouser" | "-nogroup" => Term::NoOwner,
                "-perm" => Term::Mode(Mode::parse(&value()?)?),
                "-newer" => {
                    let file = value()?;
                    Term::Newer(fs::metadata(&file).and_then(|meta| meta.modified()).map_err(|error| format!("{file}: {}", sys::reason(&error)))?)
                }
                "(" => Term::All(self.terms(words)?),
                ")" => return Ok(terms),
                "-empty" => Term::Empty,
                "-print" => Term::Print("\n"),
                "-print0" => Term::Print("\0"),
                "-delete" => Term::Delete,
                "-exec" => {
                    let command: Vec<String> = words.by_ref().take_while(|word| !matches!(word.as_str(), ";" | "+")).cloned().collect();
                    let many = command.last().is_some_and(|word| word == "{}");
                    Term::Exec(command, many)
                }
                "-maxdepth" => {
                    self.deepest = value()?.parse().map_err(|_| "invalid number".to_owned())?;
                    continue;
                }
                "-mindepth" => {
                    self.shallowest = value()?.parse().map_err(|_| "invalid number".to_owned())?;
                    continue;
                }
                "-not" | "!" => {
                    negate = true;
                    continue;
                }
                "-a" | "-and" | "-depth" | "-xdev" => continue,
                "-o" | "-or" => {
                    let right = self.terms(words)?;
                    return Ok(vec![Term::Either(terms, right)]);
                }
                other => return Err(format!("unrecognized: {other}")),
            };
            terms.push(if std::mem::take(&mut negate) { Term::Not(Box::new(term)) } else { term });
        }
        Ok(terms)
    }

    fn walk(&mut self, path: &str, depth: usize) {
        let meta = match fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(error) => {
                complain("find", format!("{path}: {}", sys::reason(&error)));
                self.status = 1;
                return;
            }
        };
        let terms = std::mem::take(&mut self.terms);
        let deletes = terms.iter().any(|term| matches!(term, Term::Delete));
        if depth >= self.shallowest && !deletes {
            self.all(&terms, path, &meta);
        }
        self.terms = terms;
        if meta.is_dir() && depth < self.deepest {
            match fs::read_dir(path) {
                Ok(entries) => {
                    let mut names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
                    names.sort();
                    for name in names {
                        self.walk(&format!("{}/{name}", path.trim_end_matches('/')), depth + 1);
                    }
                }
                Err(error) => {
                    complain("find", format!("{path}: {}", sys::reason(&error)));
                    self.status = 1;
                }
            }
        }
        if deletes && depth >= self.shallowest {
            let terms = std::mem::take(&mut self.terms);
            self.all(&terms, path, &meta);
            self.terms = terms;
        }
    }

    fn all(&mut self, terms: &[Term], path: &str, meta: &fs::Metadata) -> bool {
        terms.iter().all(|term| self.holds(term, path, meta))
    }

    fn holds(&mut self, term: &Term, path: &str, meta: &fs::Metadata) -> bool {
        let matches = |glob: &str, text: &str| {
            pattern::matches(&pattern::marks(glob), &text.chars().collect::<Vec<_>>())
        };
        match term {
            Term::Name(glob, fold) => {
                let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
                if *fold { matches(glob, &name.to_lowercase()) } else { matches(glob, name) }
            }
            Term::WholePath(glob) => matches(glob, path),
            Term::Kind(kinds) => kinds.contains(crate::files::mode_text(meta).replacen('-', "f", 1).chars().next().unwrap_or('f')),
            Term::Size(text) => {
                let (number, unit) = match text.find(|next: char| next.is_ascii_alphabetic()) {
                    Some(index) => text.split_at(index),
                    None => (text.as_str(), "b"),
                };
                let unit = match unit {
                    "c" => 1,
                    "k" => 1 << 10,
                    "M" => 1 << 20,
                    "G" => 1 << 30,
                    _ => 512,
                };
                compare(number, meta.len().div_ceil(unit))
            }
            Term::Minutes(number, scale) => {
                let age = meta.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok()).map_or(0, |age| age.as_secs());
                compare(number, age / 60 / scale)
            }
            Term::User(id) => *id == Some(meta.uid()),
            Term::Group(id) => *id == Some(meta.gid()),
            Term::NoOwner => sys::name_of("/etc/passwd", meta.uid()).is_none() || sys::name_of("/etc/group", meta.gid()).is_none(),
            Term::Mode(mode) => mode.holds(meta.mode()),
            Term::Newer(time) => meta.modified().is_ok_and(|modified| modified > *time),
            Term::Empty => if meta.is_dir() { fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()) } else { meta.len() == 0 },
            Term::Print(end) => sys::write_all(1, format!("{path}{end}").as_bytes()).is_ok(),
            Term::Delete => {
                let outcome = if meta.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
                if let Err(error) = &outcome {
                    complain("find", format!("{path}: {}", sys::reason(error)));
                    self.status = 1;
                }
                outcome.is_ok()
            }
            Term::Exec(command, true) => {
                self.collected.push(path.to_owned());
                !command.is_empty()
            }
            Term::Exec(command, false) => {
                let words: Vec<String> = command.iter().map(|word| word.replace("{}", path)).collect();
                run("find", &words) == 0
            }
            Term::Not(inner) => !self.holds(inner, path, meta),
            Term::All(terms) => self.all(terms, path, meta),
            Term::Either(left, right) => self.all(left, path, meta) || self.all(right, path, meta),
        }
    }

    fn finish(&mut self) {
        let collected = std::mem::take(&mut self.collected);
        if collected.is_empty() {
            return;
        }
        for term in &self.terms {
            if let Term::Exec(command, true) = term {
                let words: Vec<String> = command[..command.len() - 1].iter().chain(&collected).cloned().collect();
                self.status |= i32::from(run("find", &words) != 0);
            }
        }
    }
}

/// The number of a user or group by name or number.
fn id(file: &str, kind: &str, name: &str) -> Result<u32, String> {
    sys::id_of(file, name).ok_or_else(|| format!("unknown {kind} {name}"))
}

/// `+3`, `-3` or `3`, as find compares.
fn compare(wanted: &str, value: u64) -> bool {
    match (wanted.strip_prefix('+'), wanted.strip_prefix('-')) {
        (Some(number), _) => number.parse().is_ok_and(|number| value > number),
        (_, Some(number)) => number.parse().is_ok_and(|number| value < number),
        _ => wanted.parse() == Ok(value),
    }
}

fn run(applet: &str, words: &[String]) -> i32 {
    let Some((program, arguments)) = words.split_first() else { return 0 };
    match Command::new(program).args(arguments).status() {
        Ok(status) => status.code().unwrap_or(255),
        Err(error) => {
            complain(applet, format!("{program}: {}", sys::reason(&error)));
            127
        }
    }
}

/// `xargs [-0rt] [-n COUNT] [-I TEXT] [COMMAND]...`
pub(crate) fn xargs(words: &[String]) -> i32 {
    let (mut zero, mut empty_too, mut trace, mut count, mut replace) = (false, true, false, usize::MAX, None);
    let mut rest = &words[1..];
    while let Some((first, tail)) = rest.split_first().filter(|(first, _)| first.starts_with('-') && first.len() > 1) {
        rest = tail;
        let mut attached = |at: usize| {
            if first.len() > at {
                return first[at..].to_owned();
            }
            let value = rest.first().cloned().unwrap_or_default();
            rest = rest.get(1..).unwrap_or_default();
            value
        };
        match &first[..2] {
            "-0" => zero = true,
            "-r" => empty_too = false,
            "-t" => trace = true,
            "-n" | "-L" => count = attached(2).parse().unwrap_or(1),
            "-I" => replace = Some(attached(2)),
            "-P" => drop(attached(2)),
            _ => {
                complain("xargs", format!("unrecognized option: {first}"));
                return 1;
            }
        }
    }
    let mut text = String::new();
    if let Err(error) = io::stdin().read_to_string(&mut text) {
        complain("xargs", sys::reason(&error));
        return 1;
    }
    let items: Vec<String> = if zero {
        text.split('\0').filter(|item| !item.is_empty()).map(str::to_owned).collect()
    } else if replace.is_some() {
        text.lines().map(|line| line.trim_start().to_owned()).filter(|line| !line.is_empty()).collect()
    } else {
        quoted_words(&text)
    };
    let command: Vec<String> = if rest.is_empty() { vec!["echo".to_owned()] } else { rest.to_vec() };
    let batches: Vec<Vec<String>> = match &replace {
        Some(mark) => items.iter().map(|item| command.iter().map(|word| word.replace(mark, item)).collect()).collect(),
        None if items.is_empty() => if empty_too { vec![command] } else { Vec::new() },
        None => items.chunks(count.clamp(1, 4096)).map(|chunk| command.iter().chain(chunk).cloned().collect()).collect(),
    };
    let mut status = 0;
    for batch in batches {
        if trace {
            eprintln!("{}", batch.join(" "));
        }
        match run("xargs", &batch) {
            0 => {}
            127 => return 127,
            _ => status = 123,
        }
    }
    status
}

fn quoted_words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut inside) = (Vec::new(), None::<String>, None);
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        match (inside, next) {
            (Some(quote), next) if next == quote => inside = None,
            (Some(_), next) => word.get_or_insert_default().push(next),
            (None, '\'' | '"') => {
                inside = Some(next);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, next) if next.is_whitespace() => words.extend(word.take()),
            (None, next) => word.get_or_insert_default().push(next),
        }
    }
    words.extend(word);
    words
}

/// `tree [-a] [-d] [-L DEPTH] [DIRECTORY]...`
pub(crate) fn tree(words: &[String]) -> i32 {
    let Some(arguments) = crate::applets::Arguments::parse(words, "adL:", &[]) else { return 1 };
    let depth = arguments.value('L').and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    let roots = if arguments.operands.is_empty() { vec![".".to_owned()] } else { arguments.operands.clone() };
    let mut counts = (0, 0);
    for root in &roots {
        println!("{root}");
        branch(Path::new(root), "", depth, (arguments.has('a'), arguments.has('d')), &mut counts);
    }
    println!("\n{} director{}, {} file{}", counts.0, if counts.0 == 1 { "y" } else { "ies" }, counts.1, if counts.1 == 1 { "" } else { "s" });
    0
}

fn branch(folder: &Path, indent: &str, depth: usize, (hidden, only_folders): (bool, bool), counts: &mut (usize, usize)) {
    if depth == 0 {
        return;
    }
    let mut entries: Vec<_> = fs::read_dir(folder).map(|entries| entries.flatten().collect()).unwrap_or_default();
    entries.retain(|entry: &fs::DirEntry| {
        let name = entry.file_name();
        (hidden || !name.to_string_lossy().starts_with('.')) && (!only_folders || entry.path().is_dir())
    });
    entries.sort_by_key(fs::DirEntry::file_name);
    let colored = sys::is_terminal(1);
    for (index, entry) in entries.iter().enumerate() {
        let last = index + 1 == entries.len();
        let Ok(meta) = entry.metadata() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        let shown = match (colored, meta.is_dir(), meta.is_symlink(), meta.mode() & 0o111 != 0) {
            (true, true, ..) => format!("\x1b[1;34m{name}\x1b[0m"),
            (true, _, true, _) => format!("\x1b[1;36m{name}\x1b[0m"),
            (true, _, _, true) => format!("\x1b[1;32m{name}\x1b[0m"),
            _ => name,
        };
        let target = fs::read_link(entry.path()).map_or_else(|_| String::new(), |target| format!(" -> {}", target.display()));
        println!("{indent}{}{shown}{target}", if last { "└── " } else { "├── " });
        if meta.is_dir() {
            counts.0 += 1;
            branch(&entry.path(), &format!("{indent}{}", if last { "    " } else { "│   " }), depth - 1, (hidden, only_folders), counts);
        } else {
            counts.1 += 1;
        }
    }
}
