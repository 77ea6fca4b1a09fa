//! A course: the chapters of one book, in order, with what is wrong with each.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::chapter::{BookRef, Chapter, HomeFile};
use crate::diagnostic::{Diagnostic, Report, Severity};
use crate::lab::{self, Lab};
use crate::source::Source;
use crate::{lint, render, yaml};

/// A course.
#[derive(Debug, Clone, Default)]
pub struct Course {
    /// Id, also the name of its directories: `lunches`.
    pub id: String,
    /// Short title.
    pub title: String,
    /// Directory of its files in the learner's home.
    pub home: String,
    /// The book it goes with.
    pub book: Book,
    /// The cluster it wants.
    pub scene: Scene,
    /// Chapters in order.
    pub entries: Vec<Entry>,
    /// Ids of checks that must not come back.
    pub retired: Vec<String>,
    /// Everything found wrong, also in chapters that cannot be opened.
    pub diagnostics: Vec<Diagnostic>,
}

/// A line of the contents.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Id of the chapter.
    pub id: String,
    /// Number in the book.
    pub number: String,
    /// Title.
    pub title: String,
    /// Directory of its lesson; `None` when it is not written yet.
    pub directory: Option<String>,
    /// The chapter; `None` when it is not written or has errors.
    pub chapter: Option<Arc<Chapter>>,
}

/// A book.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Book {
    /// Title.
    pub title: String,
    /// Author.
    pub author: String,
    /// Publisher.
    pub publisher: String,
    /// Year of the edition.
    pub year: u32,
}

/// The cluster a course wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scene {
    /// Nodes.
    pub nodes: u32,
    /// Kind of cluster.
    pub profile: Profile,
}

impl Default for Scene {
    fn default() -> Scene {
        Scene { nodes: 1, profile: Profile::Desktop }
    }
}

/// What a cluster is like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Load balancers on localhost.
    #[default]
    Desktop,
    /// Load balancers get an address after a moment.
    Cloud,
    /// No load balancers.
    Bare,
}

const COURSE_KEYS: [&str; 7] = ["id", "title", "home", "book", "scene", "chapters", "retired"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CourseFile {
    id: String,
    title: String,
    home: Option<String>,
    #[serde(default)]
    book: Book,
    #[serde(default)]
    scene: Scene,
    chapters: Vec<Listed>,
    #[serde(default)]
    retired: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    Directory(String),
    Coming(Coming),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Coming {
    id: String,
    number: String,
    title: String,
}

const LESSON_KEYS: [&str; 6] = ["id", "title", "number", "book", "summary", "needs"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Front {
    id: String,
    title: String,
    number: Option<String>,
    book: Option<BookRef>,
    summary: Option<String>,
    #[serde(default)]
    needs: Vec<String>,
}

impl Course {
    /// Read a course and everything it names. Chapters with errors have no content; what is wrong is in
    /// [`Course::diagnostics`].
    ///
    /// # Errors
    /// When there is no course of this name or its `course.yaml` cannot be read.
    pub fn load(source: &dyn Source, track: &str) -> Result<Course, Vec<Diagnostic>> {
        let directory = format!("chapters/{track}");
        let path = format!("{directory}/course.yaml");
        let text = read_text(source, &path).map_err(|error| vec![error])?;
        let mut report = Report::new(&path, &text);
        let file: Option<CourseFile> = yaml::read(&text, 0, &COURSE_KEYS, &mut report);
        let Some(file) = file else { return Err(report.finish()) };
        if file.id != track {
            let help = Some(format!("write `id: {track}` or rename the directory"));
            report.error_with_help(yaml::offset_of_key(&text, "id"), format!("the course in directory {track} calls itself `{}`", file.id), help);
        }
        let mut course = Course {
            home: file.home.unwrap_or_else(|| file.id.clone()),
            id: file.id,
            title: file.title,
            book: file.book,
            scene: file.scene,
            entries: Vec::new(),
            retired: file.retired,
            diagnostics: report.finish(),
        };
        for listed in file.chapters {
            let entry = match listed {
                Listed::Coming(Coming { id, number, title }) => Entry { id, number, title, ..Entry::default() },
                Listed::Directory(name) => course.lesson(source, &format!("{directory}/{name}"), &name),
            };
            course.entries.push(entry);
        }
        course.labs(source);
        lint::course(&mut course);
        course.diagnostics.sort();
        course.diagnostics.dedup();
        course.hide_broken();
        Ok(course)
    }

    /// Names of the courses in a source.
    ///
    /// # Errors
    /// What reading directories said.
    pub fn tracks(source: &dyn Source) -> std::io::Result<Vec<String>> {
        let files = source.list("chapters")?;
        let mut tracks: Vec<String> =
            files.iter().filter_map(|path| path.strip_prefix("chapters/")?.strip_suffix("/course.yaml")).map(str::to_owned).collect();
        tracks.retain(|track| !track.contains('/'));
        Ok(tracks)
    }

    /// A chapter that can be opened.
    pub fn chapter(&self, id: &str) -> Option<&Arc<Chapter>> {
        self.entries.iter().find(|entry| entry.id == id)?.chapter.as_ref()
    }

    /// Chapters that can be opened, in order.
    pub fn chapters(&self) -> impl Iterator<Item = &Arc<Chapter>> {
        self.entries.iter().filter_map(|entry| entry.chapter.as_ref())
    }

    /// What is wrong with a chapter: its lesson and its labs.
    pub fn problems<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = &'a Diagnostic> {
        let lesson = entry.directory.as_ref().map(|directory| format!("{directory}/"));
        let labs = format!("labs/{}/{}-", self.id, two_digits(&entry.number));
        self.diagnostics.iter().filter(move |diagnostic| {
            lesson.as_ref().is_some_and(|lesson| diagnostic.file.starts_with(lesson.as_str())) || diagnostic.file.starts_with(&labs)
        })
    }

    /// Files for the learner's home, of all chapters and labs.
    pub fn home_files(&self) -> Vec<HomeFile> {
        let of_chapter = |chapter: &Arc<Chapter>| {
            let labs: Vec<HomeFile> = chapter.labs.iter().flat_map(|lab| lab.files.clone()).collect();
            chapter.files.clone().into_iter().chain(labs)
        };
        self.chapters().flat_map(of_chapter).collect()
    }

    /// Whether anything is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    fn lesson(&mut self, source: &dyn Source, directory: &str, name: &str) -> Entry {
        let number = name.split('-').next().unwrap_or_default().trim_start_matches('0').to_owned();
        let mut entry = Entry { directory: Some(directory.to_owned()), number, ..Entry::default() };
        entry.id = format!("ch{}", two_digits(&entry.number));
        entry.title = name.to_owned();
        let path = format!("{directory}/lesson.md");
        let text = match read_text(source, &path) {
            Ok(text) => text,
            Err(error) => {
                self.diagnostics.push(error);
                return entry;
            }
        };
        let mut report = Report::new(&path, &text);
        let Some((front, at, rest)) = yaml::front_matter(&text) else {
            report.error_with_help(0, "a lesson begins with front matter", Some("write a line `---`, then id: and title:, then `---`".into()));
            self.diagnostics.extend(report.finish());
            return entry;
        };
        let Some(front) = yaml::read::<Front>(front, at, &LESSON_KEYS, &mut report) else {
            self.diagnostics.extend(report.finish());
            return entry;
        };
        entry.id.clone_from(&front.id);
        entry.title.clone_from(&front.title);
        if let Some(number) = &front.number {
            entry.number.clone_from(number);
        }
        let files = home_files(source, &format!("{directory}/files"), &format!("{}/{}", self.home, front.id), &mut report);
        let context = render::Context { source, directory, files: &files, kind: render::Kind::Lesson };
        let rendered = render::markdown(&text, rest, &context, &mut report);
        entry.chapter = Some(Arc::new(Chapter {
            id: front.id,
            number: entry.number.clone(),
            title: front.title,
            directory: directory.to_owned(),
            book: front.book,
            summary: front.summary,
            needs: front.needs,
            sections: rendered.sections,
            labs: Vec::new(),
            files: files.into_iter().map(|file| file.home).collect(),
            links: rendered.links,
        }));
        self.diagnostics.extend(report.finish());
        entry
    }

    fn labs(&mut self, source: &dyn Source) {
        let directory = format!("labs/{}", self.id);
        let paths = match source.list(&directory) {
            Ok(paths) => paths,
            Err(error) => {
                self.diagnostics.push(Diagnostic::about_file(&directory, error.to_string(), "make it readable"));
                return;
            }
        };
        for path in paths.iter().filter(|path| path.ends_with("/lab.yaml")) {
            let (lab, found) = lab::load(source, path, &self.home);
            self.diagnostics.extend(found);
            let Some(lab) = lab else { continue };
            self.attach(lab, path);
        }
    }

    fn attach(&mut self, lab: Lab, path: &str) {
        let entry = self.entries.iter_mut().find(|entry| entry.id == lab.chapter);
        match entry.map(|entry| entry.chapter.as_mut()) {
            Some(Some(chapter)) => Arc::make_mut(chapter).labs.push(lab),
            // The lesson has errors, which have been named.
            Some(None) => {}
            None => self.diagnostics.push(Diagnostic::about_file(
                path,
                format!("there is no chapter `{}`", lab.chapter),
                "name a chapter that course.yaml lists",
            )),
        }
    }

    /// A chapter with errors is not opened; the others are.
    fn hide_broken(&mut self) {
        let broken: Vec<bool> = self
            .entries
            .iter()
            .map(|entry| self.problems(entry).any(|diagnostic| diagnostic.severity == Severity::Error))
            .collect();
        for (entry, broken) in self.entries.iter_mut().zip(broken) {
            if broken {
                entry.chapter = None;
            }
        }
    }
}

fn two_digits(number: &str) -> String {
    format!("{number:0>2}")
}

/// A file of the course that goes to the learner's home, with its path below `files/`.
pub(crate) struct CourseFilePath {
    pub(crate) below: String,
    pub(crate) home: HomeFile,
}

/// The files below a `files/` directory.
pub(crate) fn home_files(source: &dyn Source, directory: &str, home: &str, report: &mut Report<'_>) -> Vec<CourseFilePath> {
    let paths = match source.list(directory) {
        Ok(paths) => paths,
        Err(error) => {
            report.error(0, format!("{directory}: {error}"));
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    for path in paths {
        let Some(below) = path.strip_prefix(directory).map(|rest| rest.trim_start_matches('/').to_owned()) else { continue };
        match read_text(source, &path) {
            Ok(contents) => {
                let home = HomeFile { path: format!("{home}/{below}"), contents };
                files.push(CourseFilePath { below, home });
            }
            Err(error) => report.error(0, error.to_string()),
        }
    }
    files
}

/// A text file, or what is wrong with it.
pub(crate) fn read_text(source: &dyn Source, path: &str) -> Result<String, Diagnostic> {
    let bytes = source.read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Diagnostic::about_file(path, "there is no such file".into(), "write it, or take its name out of what names it"),
        _ => Diagnostic::about_file(path, error.to_string(), "make it readable"),
    })?;
    String::from_utf8(bytes.into_owned()).map_err(|_| Diagnostic::about_file(path, "this is not UTF-8 text".into(), "save it as UTF-8"))
}
