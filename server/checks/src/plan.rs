//! What there is to judge in a chapter: its units (exercises, then labs) in the order of the book.

use drydock_cel::Bindings;
use drydock_course::chapter::{BlockKind, Chapter, Section, SectionKind};
use drydock_course::check::Check;

/// A chapter, as the grader sees it.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Id of the chapter.
    pub chapter: String,
    /// Names that have a value before anything happens.
    pub names: Bindings,
    /// Exercises and labs in order.
    pub units: Vec<Unit>,
}

/// What a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitKind {
    /// A try-it-now: its checks latch, its window opens with the unit before.
    Exercise,
    /// A try-it-now beside the book: as an exercise, but nothing waits for it.
    Drill,
    /// A lab: its checks may flip, its window opens with the chapter or when it is started.
    Lab,
}

/// An exercise or a lab.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Unique in the chapter.
    pub id: String,
    /// Title, for "begins when ... is done".
    pub title: String,
    /// What it is.
    pub kind: UnitKind,
    /// Its checks in order.
    pub checks: Vec<Check>,
    /// Its run blocks in order.
    pub blocks: Vec<RunBlock>,
}

/// Commands of a lesson.
#[derive(Debug, Clone)]
pub struct RunBlock {
    /// Unique in the chapter.
    pub id: String,
    /// Shell text.
    pub text: String,
}

impl Plan {
    /// The plan of a chapter.
    pub fn of(chapter: &Chapter) -> Plan {
        let exercises = chapter.sections.iter().filter(|section| section.kind == SectionKind::Exercise).map(Unit::of);
        let labs = chapter.labs.iter().map(|lab| Unit {
            id: lab.id.clone(),
            title: lab.title.clone(),
            kind: UnitKind::Lab,
            checks: lab.tasks.clone(),
            blocks: Vec::new(),
        });
        Plan { chapter: chapter.id.clone(), names: Bindings::new(), units: exercises.chain(labs).collect() }
    }

    /// Every check with its unit's place.
    pub fn checks(&self) -> impl Iterator<Item = (usize, &Check)> {
        self.units.iter().enumerate().flat_map(|(place, unit)| unit.checks.iter().map(move |check| (place, check)))
    }
}

impl Unit {
    fn of(section: &Section) -> Unit {
        let blocks = section.blocks.iter().filter_map(|block| match &block.kind {
            BlockKind::Command(command) if command.inside.is_none() => Some(RunBlock { id: command.id.clone(), text: command.text.clone() }),
            _ => None,
        });
        Unit {
            id: section.id.clone(),
            title: section.title.clone(),
            kind: if section.drill { UnitKind::Drill } else { UnitKind::Exercise },
            checks: section.checks().cloned().collect(),
            blocks: blocks.collect(),
        }
    }

    /// Whether a typed line is one of this unit's commands: a whole block, or one of its lines, spaces apart.
    pub fn has_line(&self, typed: &str) -> bool {
        let typed = plain(typed);
        !typed.is_empty() && self.blocks.iter().any(|block| plain(&block.text) == typed || lines(&block.text).iter().any(|line| *line == typed))
    }
}

/// The commands of a block: lines, continued ones joined, comments left out.
fn lines(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    joined.lines().map(plain).filter(|line| !line.is_empty()).collect()
}

/// Without comment lines, with single spaces.
fn plain(text: &str) -> String {
    let kept = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    kept.flat_map(str::split_whitespace).filter(|word| *word != "\\").collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_lines_belong_to_the_block_they_stand_in() {
        let block = RunBlock { id: "b".into(), text: "# list them\nkubectl get  pods\nkubectl wait \\\n  --for=condition=Ready pod x\n".into() };
        let unit = Unit { id: "u".into(), title: String::new(), kind: UnitKind::Exercise, checks: Vec::new(), blocks: vec![block] };
        let cases = [
            ("kubectl get pods", true),
            ("  kubectl   get pods ", true),
            ("kubectl wait --for=condition=Ready pod x", true),
            ("kubectl get pod", false),
            ("", false),
            ("# list them", false),
        ];
        for (typed, expected) in cases {
            assert_eq!(unit.has_line(typed), expected, "{typed}");
        }
    }
}
