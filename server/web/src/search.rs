//! Search in what the book says: its sections, commands, checks, files and sentences. Hints, solutions and debriefs are not found; they
//! are given away in their own time.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::course::{Block, Chapter, CourseSource, Section};
use crate::lab::paper::Paper;

/// What was found, in the order in which it is worth most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The title of a section.
    Section,
    /// Commands to run.
    Command,
    /// What a check says.
    Check,
    /// A file of the lesson.
    File,
    /// A paragraph, an item of a list, a row of a table.
    Text,
}

/// A place in the book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hit {
    /// What it is.
    pub(crate) kind: Kind,
    /// All of its text, in one line and without backticks; commands as the shell reads them.
    pub(crate) text: String,
    /// Id of the chapter.
    pub(crate) chapter: String,
    /// Number of the chapter.
    pub(crate) number: String,
    /// Id of the section.
    pub(crate) section: String,
    /// Title of the section; empty before the first heading.
    pub(crate) title: String,
}

/// More words than anybody searches for.
const WORDS: usize = 16;

/// The places with all words of a query, the best first and no more than `most`. Capital letters do not matter. For a page, which has the
/// titles of all sections in its contents, those are left out, and so is its own chapter. A chapter that cannot be read has nothing to find.
pub(crate) fn find(course: &dyn CourseSource, query: &str, page: Option<&str>, most: usize) -> Vec<Hit> {
    let words: BTreeSet<String> = query.split_whitespace().map(str::to_lowercase).take(WORDS).collect();
    let Some(first) = query.split_whitespace().next().map(str::to_lowercase) else {
        return Vec::new();
    };
    let outline = course.outline();
    let chapters = outline.chapters.iter().filter(|chapter| chapter.available && page != Some(chapter.id.as_str()));
    let chapters = chapters.filter_map(|chapter| course.chapter(&chapter.id)?.ok());
    let mut hits: Vec<(Kind, bool, Hit)> = Vec::new();
    for chapter in chapters {
        for section in &chapter.sections {
            for (kind, text) in places(section).into_iter().filter(|(kind, _)| page.is_none() || *kind != Kind::Section) {
                let lower = text.to_lowercase();
                if words.iter().all(|word| lower.contains(word)) {
                    hits.push((kind, !lower.starts_with(&first), hit(&chapter, section, kind, text)));
                }
            }
        }
    }
    // Stable: what is worth the same stays in the order of the book.
    hits.sort_by_key(|(kind, inside, _)| (*kind, *inside));
    hits.into_iter().map(|(.., hit)| hit).take(most).collect()
}

fn hit(chapter: &Chapter, section: &Section, kind: Kind, text: String) -> Hit {
    let title = section.title.replace('`', "");
    Hit { kind, text, chapter: chapter.id.clone(), number: chapter.number.clone(), section: section.id.clone(), title }
}

/// Everything in a section that can be found.
fn places(section: &Section) -> Vec<(Kind, String)> {
    let mut places = vec![(Kind::Section, one_line(&section.title))];
    for block in &section.blocks {
        match block {
            Block::Prose { html } => places.extend(sentences(html).map(|text| (Kind::Text, text))),
            // A line that goes on is one line.
            Block::Command { text, .. } => places.push((Kind::Command, spaced(&text.replace("\\\n", " ")))),
            Block::Check { say, .. } | Block::NotHere { say, .. } => places.push((Kind::Check, one_line(say))),
            Block::Code { path: Some(path), text, .. } => places.push((Kind::File, one_line(&format!("{path} {text}")))),
            Block::Code { path: None, .. } | Block::Press { .. } | Block::Output { .. } | Block::Ask { .. } => {}
        }
    }
    places
}

/// The paragraphs, items and rows of a lesson's HTML, a line each and without their marks.
fn sentences(html: &str) -> impl Iterator<Item = String> {
    let mut paper = Paper::endless();
    paper.html(html);
    let lines: Vec<String> = paper.finish().lines().map(|line| one_line(line.trim_start_matches(['|', '-', ' ']))).collect();
    lines.into_iter().filter(|line| !line.is_empty())
}

fn one_line(text: &str) -> String {
    spaced(&text.replace('`', ""))
}

fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::course::{ChapterOutline, Outline};

    struct Shelf(Vec<Chapter>);

    impl CourseSource for Shelf {
        fn outline(&self) -> Arc<Outline> {
            let chapters = self.0.iter().map(|chapter| ChapterOutline { id: chapter.id.clone(), available: true, ..ChapterOutline::default() });
            Arc::new(Outline { chapters: chapters.collect(), ..Outline::default() })
        }

        fn chapter(&self, id: &str) -> Option<Result<Arc<Chapter>, String>> {
            self.0.iter().find(|chapter| chapter.id == id).cloned().map(|chapter| Ok(Arc::new(chapter)))
        }
    }

    fn shelf() -> Shelf {
        let prose = |html: &str| Block::Prose { html: html.to_owned() };
        let command = |text: &str| Block::Command { id: "run".into(), session: "main".into(), text: text.into(), typed: false, inside: None, exit: None };
        let check = Block::Check { id: "c".into(), say: "The `web` Service has endpoints".into(), optional: false, hints: vec!["A secret hint".into()] };
        let chapter = |id: &str, blocks| {
            let section = Section {
                id: "empty".into(),
                title: "Empty `Endpoints`".into(),
                blocks,
                debrief: Some("<p>A secret debrief</p>".into()),
                ..Section::default()
            };
            Chapter { id: id.into(), number: id.trim_start_matches("ch0").into(), sections: vec![section], ..Chapter::default() }
        };
        Shelf(vec![
            chapter("ch02", vec![prose("<p>A Pod has <em>one</em> address,\nwhich goes with it.</p><ul><li>endpoints are <code>IP:port</code></li></ul><figure><svg><text>endpoints</text></svg></figure>")]),
            chapter("ch03", vec![command("kubectl get endpoints \\\n  web"), check]),
        ])
    }

    #[test]
    fn the_whole_book_is_found_and_what_is_given_away_later_is_not() {
        let cases: [(&str, Option<&str>, &[(&str, Kind, &str)]); 9] = [
            ("one ADDRESS", None, &[("ch02", Kind::Text, "A Pod has one address, which goes with it.")]),
            ("ip:port", None, &[("ch02", Kind::Text, "endpoints are IP:port")]),
            ("get web", None, &[("ch03", Kind::Command, "kubectl get endpoints web")]),
            (
                "endpoints",
                None,
                &[
                    ("ch02", Kind::Section, "Empty Endpoints"),
                    ("ch03", Kind::Section, "Empty Endpoints"),
                    ("ch03", Kind::Command, "kubectl get endpoints web"),
                    ("ch03", Kind::Check, "The web Service has endpoints"),
                    ("ch02", Kind::Text, "endpoints are IP:port"),
                ],
            ),
            ("endpoints", Some("ch03"), &[("ch02", Kind::Text, "endpoints are IP:port")]),
            ("endpoints", Some(""), &[("ch03", Kind::Command, "kubectl get endpoints web"), ("ch03", Kind::Check, "The web Service has endpoints"), ("ch02", Kind::Text, "endpoints are IP:port")]),
            ("secret", None, &[]),
            ("  ", None, &[]),
            ("one nowhere", None, &[]),
        ];
        let shelf = shelf();
        for (query, except, wanted) in cases {
            let hits = find(&shelf, query, except, 9);
            let found: Vec<_> = hits.iter().map(|hit| (hit.chapter.as_str(), hit.kind, hit.text.as_str())).collect();
            assert_eq!(found, wanted, "{query}");
        }
        assert_eq!(find(&shelf, "endpoints", None, 2).len(), 2, "no more than wanted");
    }
}
