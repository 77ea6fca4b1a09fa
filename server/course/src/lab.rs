//! Labs: a situation with a goal, ways to get there, and ways not to.

use serde::{Deserialize, Serialize};

use crate::chapter::{Block, HomeFile};
use crate::check::{Check, Mode};
use crate::course::{home_files, read_text};
use crate::diagnostic::{Diagnostic, Report, did_you_mean};
use crate::source::Source;
use crate::{fence, render, yaml};

/// A lab.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lab {
    /// Unique in the course; the fragment of its address.
    pub id: String,
    /// The chapter it ends.
    pub chapter: String,
    /// Title.
    pub title: String,
    /// How hard it is.
    pub level: Level,
    /// Minutes it takes.
    pub minutes: Option<u32>,
    /// Its directory, `labs/lunches/02-web`.
    pub directory: String,
    /// The situation and the goal.
    pub brief: Vec<Block>,
    /// What must be true together.
    pub tasks: Vec<Check>,
    /// What comes when it is done, as HTML.
    pub debrief: String,
    /// Ways to get there.
    pub solutions: Vec<Script>,
    /// Ways not to.
    pub wrong: Vec<Wrong>,
    /// Files for the learner's home.
    #[serde(skip)]
    pub files: Vec<HomeFile>,
    /// Lines of the tasks in `lab.yaml`.
    #[serde(skip)]
    pub lines: Vec<usize>,
    /// Addresses in its text, to be looked at when the whole course is known.
    #[serde(skip)]
    pub(crate) links: Vec<render::Link>,
}

impl Lab {
    /// Line of a task in `lab.yaml`.
    pub fn line_of(&self, task: &str) -> usize {
        let at = self.tasks.iter().position(|known| known.id == task);
        at.and_then(|at| self.lines.get(at)).copied().unwrap_or(1)
    }
}

/// How hard a lab is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Follows from the chapter.
    #[default]
    Easy,
    /// Needs a thought.
    Medium,
    /// Needs several.
    Hard,
}

/// A way to do a lab.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Script {
    /// Name of its file without the ending.
    pub name: String,
    /// Title.
    pub title: String,
    /// Shell text.
    pub text: String,
    /// Shell text that goes on in a second terminal meanwhile.
    pub background: Option<String>,
}

/// A mistake a person makes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wrong {
    /// What is done.
    pub script: Script,
    /// The reason the grader must give.
    pub reason: String,
    /// The task it must give it for.
    pub check: String,
}

const KEYS: [&str; 8] = ["id", "chapter", "title", "level", "est", "brief", "tasks", "debrief"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabFile {
    id: String,
    chapter: String,
    title: String,
    #[serde(default)]
    level: Level,
    est: Option<String>,
    brief: Option<String>,
    tasks: Vec<serde_yaml::Value>,
    debrief: Option<String>,
}

/// Read the lab at a path, and say what is wrong with it.
pub(crate) fn load(source: &dyn Source, path: &str, home: &str) -> (Option<Lab>, Vec<Diagnostic>) {
    let directory = path.trim_end_matches("/lab.yaml").to_owned();
    let text = match read_text(source, path) {
        Ok(text) => text,
        Err(error) => return (None, vec![error]),
    };
    let mut report = Report::new(path, &text);
    let Some(file) = yaml::read::<LabFile>(&text, 0, &KEYS, &mut report) else { return (None, report.finish()) };
    let minutes = file.est.as_deref().and_then(|est| fence::minutes(est, yaml::offset_of_key(&text, "est"), &mut report));
    let files = home_files(source, &format!("{directory}/files"), &format!("{home}/{}", file.id), &mut report);
    let (tasks, lines) = tasks(&file.tasks, &text, &mut report);
    let mut found = report.finish();
    let mut part = |name: Option<String>, default: &str, kind: render::Kind| {
        let path = format!("{directory}/{}", name.as_deref().unwrap_or(default));
        match read_text(source, &path) {
            Ok(text) => {
                let mut report = Report::new(&path, &text);
                let context = render::Context { source, directory: &directory, files: &files, kind };
                let rendered = render::markdown(&text, 0, &context, &mut report);
                found.extend(report.finish());
                rendered
            }
            Err(error) => {
                found.push(error);
                render::Rendered::default()
            }
        }
    };
    let brief = part(file.brief, "brief.md", render::Kind::Brief);
    let debrief = part(file.debrief, "debrief.md", render::Kind::Debrief);
    let (solutions, wrong) = scripts(source, &directory, &mut found);
    let mut links = brief.links;
    links.extend(debrief.links);
    let lab = Lab {
        id: file.id,
        chapter: file.chapter,
        title: file.title,
        level: file.level,
        minutes,
        directory,
        brief: render::flatten(brief.sections),
        tasks,
        debrief: render::as_html(debrief.sections),
        solutions,
        wrong,
        files: files.into_iter().map(|file| file.home).collect(),
        lines,
        links,
    };
    (Some(lab), found)
}

fn tasks(values: &[serde_yaml::Value], text: &str, report: &mut Report<'_>) -> (Vec<Check>, Vec<usize>) {
    let (mut tasks, mut lines) = (Vec::new(), Vec::new());
    for value in values {
        let id = value.get("id").and_then(serde_yaml::Value::as_str).unwrap_or_default();
        let at = text.find(&format!("id: {id}")).filter(|_| !id.is_empty()).unwrap_or_else(|| yaml::offset_of_key(text, "tasks"));
        match Check::from_value(value.clone()) {
            Ok(mut check) => {
                check.mode = check.mode.or(Some(Mode::Level));
                tasks.push(check);
                lines.push(report.line_of(at));
            }
            Err(problem) => report.error(at, format!("task {id}: {problem}")),
        }
    }
    if values.is_empty() {
        report.error_with_help(yaml::offset_of_key(text, "tasks"), "a lab without tasks is never done", Some("write at least one".into()));
    }
    (tasks, lines)
}

fn scripts(source: &dyn Source, directory: &str, found: &mut Vec<Diagnostic>) -> (Vec<Script>, Vec<Wrong>) {
    let (mut solutions, mut wrong) = (Vec::new(), Vec::new());
    for (path, script, mut keys) in read_scripts(source, &format!("{directory}/solutions"), found) {
        solutions.push(script);
        complain(&path, &mut keys, &["title", "background"], found);
    }
    for (path, script, mut keys) in read_scripts(source, &format!("{directory}/wrong"), found) {
        let mut take = |key: &str| {
            let at = keys.iter().position(|(name, _)| name == key);
            match at {
                Some(at) => keys.remove(at).1,
                None => {
                    found.push(Diagnostic::about_file(&path, format!("a wrong answer names its `{key}`"), &format!("begin the file with a line `# {key}: ...`")));
                    String::new()
                }
            }
        };
        let (reason, check) = (take("expect"), take("check"));
        wrong.push(Wrong { script, reason, check });
        complain(&path, &mut keys, &["title", "background", "expect", "check"], found);
    }
    (solutions, wrong)
}

fn complain(path: &str, keys: &mut Vec<(String, String)>, known: &[&str], found: &mut Vec<Diagnostic>) {
    keys.retain(|(key, _)| !known.contains(&key.as_str()));
    for (key, _) in keys.drain(..) {
        let help = did_you_mean(&key, known.iter().copied()).unwrap_or_else(|| format!("known here: {}", known.join(", ")));
        found.push(Diagnostic::about_file(path, format!("unknown key `{key}` at the beginning"), &help));
    }
}

type Read = (String, Script, Vec<(String, String)>);

fn read_scripts(source: &dyn Source, directory: &str, found: &mut Vec<Diagnostic>) -> Vec<Read> {
    let paths = match source.list(directory) {
        Ok(paths) => paths,
        Err(error) => {
            found.push(Diagnostic::about_file(directory, error.to_string(), "make it readable"));
            return Vec::new();
        }
    };
    let mut scripts = Vec::new();
    for path in paths {
        let Some(name) = path.rsplit('/').next().and_then(|name| name.strip_suffix(".sh")) else {
            found.push(Diagnostic::about_file(&path, "only shell scripts stand here".into(), "end its name in .sh"));
            continue;
        };
        match read_text(source, &path) {
            Ok(text) => {
                let (script, keys) = script(name, &text);
                if script.text.is_empty() {
                    found.push(Diagnostic::about_file(&path, "it does nothing".into(), "write at least one command"));
                }
                scripts.push((path.clone(), script, keys));
            }
            Err(error) => found.push(error),
        }
    }
    scripts
}

/// Lines `# key: value` at the beginning are about the script; the rest is the script.
fn script(name: &str, text: &str) -> (Script, Vec<(String, String)>) {
    let mut keys = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if let Some((key, value)) = bare.strip_prefix("# ").and_then(|rest| rest.split_once(": "))
            && !key.contains(' ')
        {
            keys.push((key.to_owned(), value.trim().to_owned()));
        } else if !(bare.is_empty() || bare.starts_with("#!")) {
            break;
        }
        at += line.len();
    }
    let value = |key: &str| keys.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let script = Script {
        name: name.to_owned(),
        title: value("title").unwrap_or_else(|| name.replace('-', " ")),
        text: text[at..].trim().to_owned(),
        background: value("background"),
    };
    (script, keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_a_head_and_a_body() {
        let (script, keys) = script("01-a", "#!/bin/sh\n# title: By hand\n# background: sleep 9\n\n# Now: this is a comment of it? No, a key has no spaces.\nkubectl get pods\n");
        assert_eq!(script.title, "By hand");
        assert_eq!(script.background.as_deref(), Some("sleep 9"));
        assert!(script.text.ends_with("kubectl get pods"), "{}", script.text);
        assert_eq!(keys.len(), 3);
    }
}
