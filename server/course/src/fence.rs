//! What a fence is: its verb, its attributes and its body make a block.

use crate::chapter::{Ask, BlockKind, Command, Exit, Keys};
use crate::check::{Check, Mode};
use crate::course::CourseFilePath;
use crate::diagnostic::{Report, did_you_mean};
use crate::info::Info;
use crate::output::MatchRule;
use crate::yaml;

/// A fence as it stands in a file.
pub(crate) struct Fence<'a> {
    /// Its info string.
    pub(crate) info: &'a str,
    /// What is between the ticks.
    pub(crate) body: &'a str,
    /// Where the fence begins.
    pub(crate) at: usize,
    /// Where its body begins.
    pub(crate) body_at: usize,
}

/// What fences before this one said.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Section that is being read.
    pub(crate) section: String,
    /// Commands in this section so far.
    pub(crate) count: usize,
    /// Id of the last command.
    pub(crate) last: Option<String>,
    /// Ids of all commands with the line of each.
    pub(crate) ids: Vec<(String, usize)>,
}

/// Make a block of a fence; `None` after an error.
pub(crate) fn block(fence: &Fence<'_>, memory: &mut Memory, files: &[CourseFilePath], report: &mut Report<'_>) -> Option<BlockKind> {
    let mut info = Info::parse(fence.info, fence.at, report);
    let verb = info.verb.clone();
    let known = known(verb.as_deref());
    let block = match verb.as_deref() {
        None => Some(BlockKind::Code { language: info.language.clone(), path: None, text: fence.body.to_owned() }),
        Some("run") => command(fence, &mut info, memory, false, report),
        Some("type") => command(fence, &mut info, memory, true, report),
        Some("press") => press(fence, &mut info, memory, report),
        Some("output") => output(fence, &mut info, memory, report),
        Some("file") => file(fence, &mut info, files, report),
        Some("ask") => ask(fence, &mut info, report),
        Some("check") => check(fence, &mut info, report),
        Some(_) => None,
    };
    info.finish(known, fence.at, report);
    block
}

fn known(verb: Option<&str>) -> &'static [&'static str] {
    match verb {
        Some("run" | "type") => &["id", "session", "exit", "timeout", "inside", "stays", "hidden"],
        Some("press") => &["id", "session"],
        Some("output") => &["of", "match"],
        Some("file") => &["path"],
        Some("ask" | "check") => &["id"],
        _ => &[],
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn command(fence: &Fence<'_>, info: &mut Info, memory: &mut Memory, typed: bool, report: &mut Report<'_>) -> Option<BlockKind> {
    let (id, session) = id_and_session(fence, info, memory, report);
    let exit = match info.take("exit", fence.at, report).as_deref() {
        None => Exit::Code(0),
        Some("any") => Exit::Any,
        Some(code) => match code.parse() {
            Ok(code) => Exit::Code(code),
            Err(_) => {
                report.error_with_help(fence.at, format!("`exit={code}` is no exit code"), Some("write a number or `any`".into()));
                Exit::Any
            }
        },
    };
    let timeout = info.take("timeout", fence.at, report).and_then(|seconds| {
        let parsed = seconds.trim_end_matches('s').parse().ok();
        if parsed.is_none() {
            report.error_with_help(fence.at, format!("`timeout={seconds}` is no number of seconds"), Some("write timeout=60".into()));
        }
        parsed
    });
    let text = fence.body.trim_end().to_owned();
    if text.trim().is_empty() {
        report.error_with_help(fence.at, "there is nothing to run", Some("write a command, or take the fence out".into()));
        return None;
    }
    let inside = info.take("inside", fence.at, report);
    let (stays, hidden) = (info.take_flag("stays"), info.take_flag("hidden"));
    memory.last = Some(id.clone());
    Some(BlockKind::Command(Command { id, session, text, typed, inside, stays, exit, timeout, hidden }))
}

fn id_and_session(fence: &Fence<'_>, info: &mut Info, memory: &mut Memory, report: &mut Report<'_>) -> (String, String) {
    memory.count += 1;
    let id = info.take("id", fence.at, report).unwrap_or_else(|| format!("{}-{}", memory.section, memory.count));
    let session = info.take("session", fence.at, report).unwrap_or_else(|| "main".into());
    for (what, name) in [("id", &id), ("session", &session)] {
        if !is_name(name) {
            let help = Some("use lower-case letters, digits and dashes".into());
            report.error_with_help(fence.at, format!("{what} `{name}` is no name"), help);
        }
    }
    match memory.ids.iter().find(|(other, _)| *other == id) {
        Some((_, line)) => {
            report.error_with_help(fence.at, format!("id `{id}` is taken by the fence in line {line}"), Some("choose another one".into()));
        }
        None => memory.ids.push((id.clone(), report.line_of(fence.at))),
    }
    (id, session)
}

fn press(fence: &Fence<'_>, info: &mut Info, memory: &mut Memory, report: &mut Report<'_>) -> Option<BlockKind> {
    let (id, session) = id_and_session(fence, info, memory, report);
    let name = fence.body.trim();
    match Keys::ALL.iter().find(|(known, _)| *known == name) {
        Some((_, keys)) => Some(BlockKind::Press { id, session, keys: *keys }),
        None => {
            let names: Vec<&str> = Keys::ALL.iter().map(|(name, _)| *name).collect();
            report.error_with_help(fence.body_at, format!("{name:?} is no key a lesson can press"), Some(format!("one of {}", names.join(", "))));
            None
        }
    }
}

fn output(fence: &Fence<'_>, info: &mut Info, memory: &Memory, report: &mut Report<'_>) -> Option<BlockKind> {
    let rule = match info.take("match", fence.at, report) {
        None => Some(MatchRule::default()),
        Some(name) => {
            let rule = MatchRule::ALL.iter().find(|(known, _)| *known == name).map(|(_, rule)| *rule);
            if rule.is_none() {
                let names = MatchRule::ALL.map(|(name, _)| name);
                let help = did_you_mean(&name, names).unwrap_or_else(|| format!("one of {}", names.join(", ")));
                report.error_with_help(fence.at, format!("`match={name}` is no way to compare"), Some(help));
            }
            rule
        }
    };
    let of = match info.take("of", fence.at, report) {
        Some(id) if memory.ids.iter().any(|(known, _)| *known == id) => Some(id),
        Some(id) => {
            let help = did_you_mean(&id, memory.ids.iter().map(|(id, _)| id.as_str()))
                .unwrap_or_else(|| "name the id of a run or type fence above".into());
            report.error_with_help(fence.at, format!("no command above has the id `{id}`"), Some(help));
            None
        }
        None => {
            if memory.last.is_none() {
                report.error_with_help(fence.at, "output of what?", Some("put it after a run or type fence, or write of=ID".into()));
            }
            memory.last.clone()
        }
    };
    Some(BlockKind::Output { of: of?, rule: rule?, text: fence.body.to_owned() })
}

fn file(fence: &Fence<'_>, info: &mut Info, files: &[CourseFilePath], report: &mut Report<'_>) -> Option<BlockKind> {
    let Some(path) = info.take("path", fence.at, report) else {
        report.error_with_help(fence.at, "which file?", Some("write path=NAME, a file below files/".into()));
        return None;
    };
    if !fence.body.trim().is_empty() {
        report.error_with_help(fence.body_at, "a file fence is empty; its text comes from the file", Some(format!("move the text to files/{path}")));
    }
    match files.iter().find(|file| file.below == path) {
        Some(file) => {
            let text = file.home.contents.clone();
            Some(BlockKind::Code { language: info.language.clone(), path: Some(file.home.path.clone()), text })
        }
        None => {
            let help = did_you_mean(&path, files.iter().map(|file| file.below.as_str())).unwrap_or_else(|| "write it".into());
            report.error_with_help(fence.at, format!("there is no files/{path}"), Some(help));
            None
        }
    }
}

const ASK_KEYS: [&str; 7] = ["id", "say", "options", "answer", "because", "prediction", "solve"];

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct AskBody {
    id: String,
    say: String,
    #[serde(default)]
    options: Vec<serde_yaml::Value>,
    answer: Option<serde_yaml::Value>,
    because: Option<String>,
    #[serde(default)]
    prediction: bool,
    solve: Option<String>,
}

fn ask(fence: &Fence<'_>, info: &mut Info, report: &mut Report<'_>) -> Option<BlockKind> {
    let body: AskBody = typed_body(fence, info, &ASK_KEYS, report)?;
    let mut text = |value: &serde_yaml::Value, what: &str| {
        let scalar = yaml::scalar(value);
        if scalar.is_none() {
            let at = fence.body_at + yaml::offset_of_key(fence.body, what);
            report.error_with_help(at, format!("{what}: a text or a number is wanted"), Some("put it in quotes".into()));
        }
        scalar
    };
    let options: Option<Vec<String>> = body.options.iter().map(|value| text(value, "options")).collect();
    let answer = match &body.answer {
        Some(value) => Some(text(value, "answer")?),
        None => None,
    };
    let options = options?;
    if let Some(answer) = answer.as_ref().filter(|answer| !options.is_empty() && !options.contains(answer)) {
        let at = fence.body_at + yaml::offset_of_key(fence.body, "answer");
        report.error_with_help(at, format!("the answer `{answer}` is none of the options"), Some("write it as in options".into()));
    }
    let AskBody { id, say, because, prediction, solve, .. } = body;
    Some(BlockKind::Ask(Ask { id, say, options, answer, because, prediction, solve }))
}

const CHECK_KEYS: [&str; 11] = ["id", "say", "needs", "mode", "holds", "optional", "stable", "triggers", "let", "expect", "hints"];

fn check(fence: &Fence<'_>, info: &mut Info, report: &mut Report<'_>) -> Option<BlockKind> {
    let mut check: Check = typed_body(fence, info, &CHECK_KEYS, report)?;
    check.mode = check.mode.or(Some(Mode::Latch));
    Some(BlockKind::Check { check: Box::new(check) })
}

/// The YAML of a fence, whose id may be in the info string instead.
fn typed_body<T: serde::de::DeserializeOwned>(fence: &Fence<'_>, info: &mut Info, keys: &[&str], report: &mut Report<'_>) -> Option<T> {
    match info.take("id", fence.at, report) {
        // The info string is longer than the line put in front, so offsets stay inside of the fence.
        Some(id) => {
            let line = format!("id: {id}\n");
            yaml::read(&format!("{line}{}", fence.body), fence.body_at.saturating_sub(line.len()), keys, report)
        }
        None => yaml::read(fence.body, fence.body_at, keys, report),
    }
}

/// `4m` or `4` as minutes.
pub(crate) fn minutes(text: &str, at: usize, report: &mut Report<'_>) -> Option<u32> {
    let minutes = text.trim_end_matches('m').parse().ok();
    if minutes.is_none() {
        report.error_with_help(at, format!("`{text}` is no time"), Some("write minutes, as 4m".into()));
    }
    minutes
}
