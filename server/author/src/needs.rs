//! What a test cannot be done without: images that are not here, or cannot run here.
//!
//! A lesson or lab says nothing about it. An exercise needs an image when its commands name it, or name a file that does, or a directory
//! with such a file; and it needs whatever the exercises before it left.

use drydock_course::chapter::{BlockKind, Chapter, HomeFile, Section};
use drydock_course::lab::Lab;

/// An image that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// As manifests write it, `postgres:11.6-alpine`.
    pub image: String,
    /// Why, and what to do.
    pub why: String,
}

impl Missing {
    fn sentence(&self) -> String {
        format!("it needs {}: {}", self.image, self.why)
    }
}

/// Why an exercise is skipped.
pub(crate) fn of_section(chapter: &Chapter, section: &Section, missing: &[Missing]) -> Option<String> {
    let texts = section.blocks.iter().filter_map(|block| match &block.kind {
        BlockKind::Command(command) => Some(command.text.as_str()),
        _ => None,
    });
    of_texts(texts, &chapter.files, missing)
}

/// Why a lab is skipped.
pub(crate) fn of_lab(lab: &Lab, missing: &[Missing]) -> Option<String> {
    let scripts = lab.solutions.iter().chain(lab.wrong.iter().map(|wrong| &wrong.script));
    let texts = scripts.flat_map(|script| [Some(script.text.as_str()), script.background.as_deref()]).flatten();
    of_texts(texts, &lab.files, missing)
}

fn of_texts<'a>(mut texts: impl Iterator<Item = &'a str>, files: &[HomeFile], missing: &[Missing]) -> Option<String> {
    texts.find_map(|text| missing.iter().find(|missing| needs(text, files, &missing.image))).map(Missing::sentence)
}

fn needs(text: &str, files: &[HomeFile], image: &str) -> bool {
    if names(text, image) {
        return true;
    }
    let mut with_image = files.iter().filter(|file| file.contents.lines().any(|line| line.contains("image:") && names(line, image)));
    let words: Vec<&str> = text.split([' ', '\n', '\t', '"', '\'', '=', ',', ';']).filter(|word| !word.is_empty()).collect();
    // To go somewhere is not to use what is there.
    let used = words.iter().enumerate().filter(|(at, _)| *at == 0 || words[at - 1] != "cd");
    let used: Vec<&str> = used.map(|(_, word)| *word).collect();
    with_image.any(|file| used.iter().any(|word| leads_to(word, &file.path)))
}

/// Whether a text has the image as a whole word.
fn names(text: &str, image: &str) -> bool {
    let more = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    text.match_indices(image).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + image.len()..].chars().next());
        !before.is_some_and(more) && !after.is_some_and(more)
    })
}

/// Whether a word of a command is the path of a file, or of the directory it is in, from wherever the command runs.
fn leads_to(word: &str, path: &str) -> bool {
    // A word without a slash or an ending may be anything.
    let is_path = word.contains('/') || word.contains(".y") || word.contains(".json");
    let word = word.trim_start_matches("~/").trim_start_matches("./").trim_end_matches('/');
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let is_end_of = |whole: &str| whole.strip_suffix(word).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
    is_path && (is_end_of(path) || is_end_of(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_needs_the_images_of_the_files_it_names() {
        let file = |path: &str, image: &str| HomeFile { path: path.into(), contents: format!("spec:\n  containers:\n    - image: {image}\n") };
        let files = [file("lunches/ch04/todo/db/db.yaml", "postgres:11.6-alpine"), file("lunches/ch04/todo/web.yaml", "kiamol/ch04-todo-list")];
        let cases = [
            ("kubectl apply -f todo/db/", true),
            ("kubectl apply -f ./todo/db/db.yaml", true),
            ("cd todo/db && kubectl apply -f db.yaml", true),
            ("cd ~/lunches/ch04/todo && kubectl apply -f db/ -f web.yaml", true),
            ("kubectl get pods -l app in (db)", false),
            ("cd ~/lunches/ch04/todo/db\nkubectl get pods", false),
            ("cd ~/lunches/ch04\nkubectl apply -f todo/web.yaml", false),
            ("kubectl get pods -l app=db", false),
            ("kubectl create deploy db --image=postgres:11.6-alpine", true),
            ("kubectl create deploy db --image=postgres:11.6-alpine-slim", false),
            ("echo my-postgres:11.6-alpine", false),
        ];
        for (text, needed) in cases {
            assert_eq!(needs(text, &files, "postgres:11.6-alpine"), needed, "{text}");
        }
    }
}
