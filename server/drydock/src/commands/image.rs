//! `drydock image ls|pull|import|export|rm|prefetch`: the library of images that the nodes of a cluster pull from.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use drydock_image::recipe::{Progress, Recipe};
use drydock_image::registry::{self, Credentials};
use drydock_image::{Library, Reference, Source, Store, portable};

use crate::cli::{Image, Output};
use crate::out::outln;
use crate::state::State;

/// Run an `image` command.
pub(crate) fn run(state: &State, command: Image) -> anyhow::Result<ExitCode> {
    let library = Library::new(&state.library());
    match command {
        Image::Ls { output } => ls(&library, output)?,
        Image::Pull { name, user } => pull(&library, &name, user)?,
        Image::Import { path, name } => import(&library, &path, name.as_deref())?,
        Image::Export { name, path } => export(&library, &name, &path)?,
        Image::Rm { name } => rm(&library, &name)?,
        Image::Prefetch { book, again } => prefetch(&library, state, &book, again)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn reference(name: &str) -> anyhow::Result<Reference> {
    Reference::parse(name).with_context(|| format!("{name:?} is not the name of an image"))
}

/// The name as people write it.
fn familiar(reference: &Reference) -> String {
    match (&reference.tag, &reference.digest) {
        (_, Some(digest)) => format!("{}@{digest}", reference.familiar_repository()),
        (Some(tag), None) => format!("{}:{tag}", reference.familiar_repository()),
        (None, None) => reference.familiar_repository(),
    }
}

/// A line of the list.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    name: String,
    id: String,
    size: u64,
    /// `bundled`, `fetched`, or `missing` when it must be prefetched.
    source: &'static str,
    /// What it really is, when its name says something else.
    what: String,
}

/// A store that only knows what is bundled; it is asked, and nothing is unpacked.
fn bundled() -> anyhow::Result<(tempfile::TempDir, Store)> {
    let directory = tempfile::tempdir()?;
    let store = Store::open(directory.path())?;
    Ok((directory, store))
}

fn lines(library: &Library) -> anyhow::Result<Vec<Line>> {
    let (_directory, store) = bundled()?;
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    for entry in store.catalogue().entries() {
        let name = familiar(&entry.reference);
        let what = entry.stand_in.clone().unwrap_or_default();
        let line = match (store.bundled_summary(entry), entry.books.first()) {
            (Some((id, size)), _) => Line { name: name.clone(), id: id.hex().to_owned(), size, source: "bundled", what },
            (None, Some(book)) => Line { name: name.clone(), id: String::new(), size: 0, source: "missing", what: format!("fetched by: drydock image prefetch {book}") },
            (None, None) => continue,
        };
        lines.insert(name, line);
    }
    for stored in library.list()? {
        let name = familiar(&stored.reference);
        let config: serde_json::Value = serde_json::from_str(&stored.config).unwrap_or_default();
        let what = config["config"]["Labels"]["io.drydock.stand-in.description"].as_str().unwrap_or_default().to_owned();
        lines.insert(name.clone(), Line { name, id: stored.id.hex().to_owned(), size: stored.size, source: "fetched", what });
    }
    Ok(lines.into_values().collect())
}

fn ls(library: &Library, output: Output) -> anyhow::Result<()> {
    let lines = lines(library)?;
    if output == Output::Json {
        outln!("{:#}", serde_json::to_value(&lines)?);
        return Ok(());
    }
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    outln!("{:width$}  {:12}  {:>8}  {:8}  WHAT IT IS", "NAME", "ID", "SIZE", "SOURCE");
    for line in lines {
        let (id, size) = (line.id.get(..12).unwrap_or("-"), if line.size == 0 { "-".to_owned() } else { human(line.size) });
        outln!("{:width$}  {id:12}  {size:>8}  {:8}  {}", line.name, line.source, line.what);
    }
    Ok(())
}

fn human(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}

fn pull(library: &Library, name: &str, user: Option<String>) -> anyhow::Result<()> {
    let reference = reference(name)?;
    let credentials = match user {
        None => Credentials::default(),
        Some(user) => {
            let mut password = String::new();
            std::io::stdin().read_to_string(&mut password).context("cannot read the password from standard input")?;
            Credentials { user, password: password.trim_end_matches(['\r', '\n']).to_owned() }
        }
    };
    let mut bar = Bar::new();
    let digest = registry::pull(&reference, library, &credentials, &mut |progress| bar.show(&progress)).map_err(|error| {
        bar.end();
        // Kubelet wants the words of its runtime; here the end of the sentence says it all.
        anyhow::Error::msg(format!("cannot pull {name}: {}", error.message.rsplit_once("\": ").map_or(error.message.as_str(), |(_, why)| why)))
    })?;
    bar.end();
    outln!("{} {digest}", familiar(&reference));
    Ok(())
}

fn import(library: &Library, path: &Path, name: Option<&str>) -> anyhow::Result<()> {
    let name = name.map(reference).transpose()?;
    for reference in portable::import(path, name.as_ref(), library)? {
        outln!("{}", familiar(&reference));
    }
    Ok(())
}

fn export(library: &Library, name: &str, path: &Path) -> anyhow::Result<()> {
    let reference = reference(name)?;
    let stored = match library.find(&reference)? {
        Some(digest) => library.read(reference, &digest)?,
        None => {
            let (_directory, store) = bundled()?;
            match store.bundled_into(library, &reference)? {
                Some(stored) => stored,
                None => bail!("there is no image {name}; `drydock image ls` shows those there are"),
            }
        }
    };
    portable::export(&stored, library, path)?;
    outln!("{}", path.display());
    Ok(())
}

fn rm(library: &Library, name: &str) -> anyhow::Result<()> {
    let reference = reference(name)?;
    if library.remove(&reference)? {
        outln!("{}", familiar(&reference));
        return Ok(());
    }
    let (_directory, store) = bundled()?;
    if store.catalogue().find(&reference).is_some_and(|entry| entry.bundled().is_some()) {
        bail!("{name} is bundled: it is part of drydock and takes no room of its own");
    }
    bail!("there is no image {name}; `drydock image ls` shows those there are")
}

fn prefetch(library: &Library, state: &State, book: &str, again: bool) -> anyhow::Result<()> {
    let (_directory, store) = bundled()?;
    let entries: Vec<_> = store.catalogue().entries().iter().filter(|entry| entry.books.iter().any(|known| known == book)).collect();
    if entries.is_empty() {
        let mut books: Vec<&str> = store.catalogue().entries().iter().flat_map(|entry| entry.books.iter().map(String::as_str)).collect();
        books.dedup();
        bail!("there is no book {book:?} that needs anything; there is: {}", books.join(", "));
    }
    let mut bar = Bar::new();
    let begun = Instant::now();
    let mut recipes: BTreeMap<&str, Vec<&Reference>> = BTreeMap::new();
    for entry in entries {
        match &entry.source {
            Source::Recipe(recipe) => recipes.entry(&recipe.name).or_default().push(&entry.reference),
            Source::Registry(from) if again || library.find(&entry.reference)?.is_none() => {
                let digest = registry::pull(&reference(from)?, library, &Credentials::default(), &mut |progress| bar.show(&progress))?;
                library.name(&entry.reference, &digest)?;
            }
            Source::Registry(_) | Source::Bundled(_) => {}
        }
    }
    let work = state.directory.join("cluster/library/recipes");
    for (name, references) in recipes {
        let known = library.find(references[0])?.filter(|_| !again);
        let (digest, what) = match known {
            Some(digest) => (digest, "is here already"),
            None => {
                let made = Recipe::find(name)?.make(name, library, &work, &mut |progress| bar.show(&progress));
                bar.end();
                (made.with_context(|| format!("cannot make the image {name}"))?, "is ready")
            }
        };
        for reference in references {
            library.name(reference, &digest)?;
        }
        outln!("{name} {what} ({digest})");
    }
    tidy(&work)?;
    outln!("{book}: everything is local ({} s)", begun.elapsed().as_secs());
    Ok(())
}

/// Packages and lists are not needed any more; what the images were made of stays written down.
fn tidy(work: &Path) -> anyhow::Result<()> {
    for name in ["packages", "incoming", "lists", "cache", "updated"] {
        let path = work.join(name);
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else if path.exists() { std::fs::remove_file(&path) } else { Ok(()) };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// A line on standard error that says how far it is: in place on a terminal, only steps elsewhere.
struct Bar {
    terminal: bool,
    shown: Option<Instant>,
}

impl Bar {
    fn new() -> Bar {
        Bar { terminal: std::io::stderr().is_terminal(), shown: None }
    }

    fn show(&mut self, progress: &Progress) {
        let (text, whole) = match progress {
            Progress::Step(text) => (text.clone(), true),
            Progress::Count { what, done, of } => (format!("{done} of {of} {what}"), done == of),
            Progress::Bytes { what, done, of } => (format!("{what}: {} of {}", human(*done), human(*of)), done == of),
        };
        if !self.terminal {
            if matches!(progress, Progress::Step(_)) {
                eprintln!("{text}");
            }
            return;
        }
        // A terminal is told ten times a second, and of every end.
        if whole || self.shown.is_none_or(|shown| shown.elapsed().as_millis() > 100) {
            self.shown = Some(Instant::now());
            eprint!("\r\x1b[K{text}");
            // A terminal that went away sees nothing.
            drop(std::io::stderr().flush());
        }
    }

    fn end(&mut self) {
        if self.terminal && self.shown.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
