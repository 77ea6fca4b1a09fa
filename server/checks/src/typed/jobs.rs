//! What runs in the background of a terminal, and which line ends it.
//!
//! A shell says the number and the process of a job when it begins (`[1] 4711`). Where it is not told, and a line may mean one job or
//! another, it is not known whether a job has ended.

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

use super::{Simple, line_of, moment, name_of, simple_commands};
use crate::world::World;

/// Programs that end what runs in the background, or bring it to the front.
const ENDS: [&str; 4] = ["kill", "killall", "pkill", "fg"];
/// Signals that end nothing, by name and by number: what gets them stops, goes on, or does not care.
const SPARING: [&str; 18] = ["0", "CHLD", "CLD", "17", "CONT", "18", "STOP", "19", "TSTP", "20", "TTIN", "21", "TTOU", "22", "URG", "23", "WINCH", "28"];

/// When a line of the learner's ended a job.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct End {
    /// One that means this job.
    pub(super) sure: Option<Timestamp>,
    /// One that may mean another job.
    pub(super) unsure: Option<Timestamp>,
}

impl End {
    /// The first of both.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.sure.into_iter().chain(self.unsure).min()
    }
}

/// Whether a line may end a job.
pub(super) fn may_end(line: &str) -> bool {
    simple_commands(line).iter().any(ends)
}

fn ends(simple: &Simple) -> bool {
    let words: Vec<&str> = simple.own().map(String::as_str).collect();
    let at = if simple.program() == "xargs" { words.iter().position(|word| ENDS.contains(word)) } else { ENDS.contains(&simple.program()).then_some(0) };
    at.is_some_and(|at| !spares(words[at].rsplit('/').next().unwrap_or_default(), &words[at + 1..]))
}

/// Whether one of these programs is told to send what ends nothing, as `-STOP`, `-19`, `-s sigstop` or `--signal=STOP`.
fn spares(program: &str, words: &[&str]) -> bool {
    let options = words.iter().enumerate().take_while(|(_, word)| **word != "--");
    let mut signals = options.filter_map(|(at, word)| match (program, *word) {
        (_, "--signal") | ("kill" | "killall", "-s") | ("kill", "-n") => words.get(at + 1).copied(),
        (_, word) => word.strip_prefix("--signal=").or_else(|| word.strip_prefix('-')),
    });
    signals.any(|name| SPARING.contains(&name.to_ascii_uppercase().trim_start_matches("SIG")))
}

/// A job of a terminal.
struct Job {
    /// Name of its command record, and which of the simple commands of that line it is.
    place: (String, usize),
    begun: Option<Timestamp>,
    /// Its number and its process, where the shell told them.
    told: Option<(u32, u32)>,
    line: String,
}

/// What a word says of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Means {
    Another,
    Perhaps,
    This,
}

/// How the job at this place of a line ended.
pub(super) fn end_of(command: &Value, at: usize, world: &World) -> End {
    let (session, own) = (&command["spec"]["session"], (name_of(command).to_owned(), at));
    let mut commands: Vec<&Value> = world.records("commands").collect();
    commands.sort_by_key(|other| moment(&other["status"]["startTime"]));
    let jobs: Vec<Job> = commands.iter().filter(|other| other["spec"]["session"] == *session).flat_map(|other| jobs_of(other)).collect();
    let Some(this) = jobs.iter().position(|job| job.place == own) else { return End::default() };
    let mut end = End::default();
    for other in commands {
        let status = &other["status"];
        let same = name_of(other) == own.0;
        if !same && moment(&status["startTime"]) <= jobs[this].begun {
            continue;
        }
        for (place, simple) in simple_commands(line_of(other)).iter().enumerate().filter(|(place, simple)| ends(simple) && !(same && *place <= at)) {
            let before = jobs.iter().position(|job| job.begun > moment(&status["startTime"]) || job.place.0 == name_of(other) && job.place.1 > place);
            let jobs = &jobs[..before.unwrap_or(jobs.len())];
            let foreground = simple.program() == "fg";
            let when = if same || foreground { &status["endTime"] } else { &status["startTime"] };
            let means = if other["spec"]["session"] == *session { means(simple, other, jobs, this) } else { elsewhere(simple, &jobs[this]) };
            // What fails may have ended nothing; 148 is Ctrl-Z.
            let failed = if foreground { status["exitCode"] == 148 } else { status["exitCode"].as_i64().is_some_and(|code| code != 0) };
            let of = match means {
                Means::Another => continue,
                Means::This if !failed => &mut end.sure,
                _ => &mut end.unsure,
            };
            *of = of.or(moment(when));
        }
    }
    end
}

/// What a line leaves in the background.
fn jobs_of(command: &Value) -> Vec<Job> {
    let simple = simple_commands(line_of(command));
    let output = command["status"]["output"].as_str().unwrap_or_default();
    let told = |line: &str| {
        let (number, process) = line.trim_end().strip_prefix('[')?.split_once("] ")?;
        Some((number.parse().ok()?, process.parse().ok()?))
    };
    let told: Vec<(u32, u32)> = output.lines().filter_map(told).collect();
    let background: Vec<(usize, &Simple)> = simple.iter().enumerate().filter(|(_, simple)| simple.background).collect();
    let each = told.len() == background.len();
    let job = |(number, (at, simple)): (usize, &(usize, &Simple))| Job {
        place: (name_of(command).to_owned(), *at),
        begun: moment(&command["status"]["startTime"]),
        told: each.then(|| told[number]),
        line: simple.own().map(String::as_str).collect::<Vec<_>>().join(" "),
    };
    background.iter().enumerate().map(job).collect()
}

/// Whether a command of the same terminal means this one of the jobs that were begun before it.
fn means(simple: &Simple, command: &Value, jobs: &[Job], this: usize) -> Means {
    let any = |words: Vec<&str>| words.into_iter().map(|word| of_word(word, jobs, this)).max().unwrap_or(Means::Another);
    match simple.program() {
        "kill" => any(targets(simple)),
        "fg" => {
            // A shell shows what it brings to the front.
            let shown = command["status"]["output"].as_str().unwrap_or_default().lines().next().unwrap_or_default().trim();
            let target = targets(simple).first().map_or_else(|| "%+".to_owned(), |word| format!("%{}", word.trim_start_matches('%')));
            let fits = |job: &Job| shown.starts_with(&job.line);
            match (fits(&jobs[this]), jobs.iter().filter(|job| fits(job)).count()) {
                (true, 1) => Means::This,
                (false, 1..) => Means::Another,
                _ if shown.is_empty() || shown.contains("port-forward") => of_word(&target, jobs, this),
                _ => Means::Another,
            }
        }
        _ => elsewhere(simple, &jobs[this]),
    }
}

/// Whether a command of any terminal means this job, by its process or its name.
fn elsewhere(simple: &Simple, job: &Job) -> Means {
    let words: Vec<&str> = simple.own().skip(1).map(String::as_str).collect();
    let (options, names): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with('-'));
    let called = |wanted: bool, sure: bool| match (wanted, sure) {
        (false, _) => Means::Another,
        (true, false) => Means::Perhaps,
        (true, true) => Means::This,
    };
    let is_signal = |option: &str| option[1..].chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
    match simple.program() {
        "kill" => targets(simple).into_iter().map(|word| of_foreign_word(word, job)).max().unwrap_or(Means::Another),
        "killall" => called(names.iter().any(|name| *name == "kubectl" || name.contains('$')), names.contains(&"kubectl") && options.iter().all(|option| is_signal(option))),
        "pkill" => {
            let full = options.iter().any(|option| ["-f", "--full"].contains(option));
            let line = if full { format!("kubectl {}", job.line.split_once(' ').map_or("", |(_, rest)| rest)) } else { "kubectl".to_owned() };
            let sure = options.iter().all(|option| is_signal(option) || ["-f", "--full", "-x", "--exact"].contains(option)) && names.len() == 1;
            let fits = |name: &&str| name.contains('$') || Regex::new(name).map_or(true, |pattern| pattern.is_match(&line));
            called(names.is_empty() || names.iter().any(fits), sure && !names[0].contains('$'))
        }
        "xargs" => Means::Perhaps,
        _ => Means::Another,
    }
}

/// What `kill` and `fg` are given; nothing where nothing is ended.
fn targets(simple: &Simple) -> Vec<&str> {
    let mut words = simple.own().skip(1).map(String::as_str);
    let mut targets = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "-l" | "-L" => return Vec::new(),
            "-s" | "-n" => drop(words.next()),
            _ if word.starts_with('-') => {}
            _ => targets.push(word),
        }
    }
    targets
}

fn of_process(process: u32, job: &Job) -> Means {
    match job.told {
        Some((_, own)) if own == process => Means::This,
        Some(_) => Means::Another,
        None => Means::Perhaps,
    }
}

/// Whether a word of another terminal means this job; `%1` and `$!` are that terminal's own.
fn of_foreign_word(word: &str, job: &Job) -> Means {
    match word.parse() {
        Ok(process) => of_process(process, job),
        Err(_) if ["$!", "${!}", "$(jobs -p)"].contains(&word) || !word.contains('$') => Means::Another,
        Err(_) => Means::Perhaps,
    }
}

/// Whether `%1`, `$!` or a number means this one of the jobs.
fn of_word(word: &str, jobs: &[Job], this: usize) -> Means {
    let (last, only) = (this + 1 == jobs.len(), jobs.len() == 1);
    let rather = |sure: bool| if sure { Means::This } else { Means::Perhaps };
    if let Ok(process) = word.parse() {
        return of_process(process, &jobs[this]);
    }
    let Some(job) = word.strip_prefix('%') else {
        return match word {
            "$!" | "${!}" if last => Means::This,
            "$!" | "${!}" => Means::Another,
            _ => rather(word == "$(jobs -p)" || word == "`jobs -p`"),
        };
    };
    if let Ok(number) = job.parse::<u32>() {
        return match jobs[this].told {
            // A number is given again when its job has ended.
            Some((own, _)) if own == number => rather(jobs[this + 1..].iter().all(|later| later.told.is_some_and(|(other, _)| other != number))),
            Some(_) => Means::Another,
            None => rather(only && number == 1),
        };
    }
    let named = |other: &Job| job.strip_prefix('?').map_or_else(|| other.line.starts_with(job), |part| other.line.contains(part));
    match job {
        "" | "+" | "%" => rather(last),
        "-" => rather(only),
        _ if !named(&jobs[this]) => Means::Another,
        _ => rather(jobs.iter().filter(|other| named(other)).count() == 1),
    }
}
