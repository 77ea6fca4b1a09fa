//! Doing a chapter as a learner does, and its labs the right ways and the wrong ones.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use drydock_checks::verdict::{Outcome, Verdict};
use drydock_course::chapter::{Ask, BlockKind, Chapter, Command, Exit, Section, SectionKind};
use drydock_course::check::{Check, Mode};
use drydock_course::course::Course;
use drydock_course::lab::{Lab, Script, Wrong};
use drydock_course::output::{MatchRule, compare};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};

use crate::lint;
use crate::needs::{self, Missing};
use crate::report::{Case, Summary};
use crate::stage::Stage;
use crate::terminal::{Driver, Staying};

/// How long a command may take unless its fence says more.
const COMMAND: Duration = Duration::from_secs(60);
/// How long a check may take to turn green after the last block, or red for its reason.
const VERDICT: Duration = Duration::from_secs(20);
/// Terminal of a lab script's `background`.
const SECOND: &str = "second";
/// Terminal for the answers to questions, which no lesson uses.
const ANSWERS: &str = "author-answers";

/// What to test.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only chapters, exercises and labs whose id contains this. Exercises build on those before them, which are done too.
    pub only: Option<String>,
    /// Only the chapter or lab in this directory.
    pub inside: Option<String>,
    /// Only the chapter of this id.
    pub chapter: Option<String>,
    /// Images that cannot be had: what needs them is skipped.
    pub missing: Vec<Missing>,
}

/// The chapters in which there is something to test, in order.
pub fn chapters(course: &Course, options: &Options) -> Vec<String> {
    let some = |wanted: &Wanted| wanted.sections > 0 || !wanted.labs.is_empty();
    course.chapters().filter(|chapter| some(&Wanted::of(chapter, options))).map(|chapter| chapter.id.clone()).collect()
}

/// Test a course; progress goes to `out`.
///
/// # Errors
/// When `out` cannot be written.
pub async fn course(course: &Course, stage: &dyn Stage, options: &Options, out: &mut (dyn Write + Send)) -> io::Result<Summary> {
    let mut summary = Summary::default();
    for chapter in course.chapters() {
        let tester = Tester { course, chapter, stage, missing: &options.missing };
        let wanted = Wanted::of(chapter, options);
        if wanted.sections > 0 {
            writeln!(out, "{} {}", chapter.id, chapter.title)?;
            tester.lesson(wanted.sections, &mut summary, out).await?;
        }
        for lab in chapter.labs.iter().filter(|lab| wanted.labs.contains(&lab.id)) {
            writeln!(out, "{} {}", lab.id, lab.title)?;
            tester.lab(lab, &mut summary, out).await?;
        }
    }
    Ok(summary)
}

/// What of a chapter is to be tested.
struct Wanted {
    /// So many sections from the beginning.
    sections: usize,
    labs: Vec<String>,
}

impl Wanted {
    fn of(chapter: &Chapter, options: &Options) -> Wanted {
        if options.chapter.as_ref().is_some_and(|id| *id != chapter.id) {
            return Wanted { sections: 0, labs: Vec::new() };
        }
        if let Some(inside) = options.inside.as_ref().filter(|inside| **inside != chapter.directory) {
            let labs = chapter.labs.iter().filter(|lab| lab.directory == *inside).map(|lab| lab.id.clone());
            return Wanted { sections: 0, labs: labs.collect() };
        }
        let only = options.only.as_deref();
        let fits = |id: &str| only.is_none_or(|only| id.contains(only));
        let labs = chapter.labs.iter().map(|lab| lab.id.clone());
        if fits(&chapter.id) {
            return Wanted { sections: chapter.sections.len(), labs: labs.collect() };
        }
        let last = chapter.sections.iter().rposition(|section| fits(&section.id));
        Wanted { sections: last.map_or(0, |last| last + 1), labs: labs.filter(|id| fits(id)).collect() }
    }
}

/// Terminals of one pass through a chapter or lab, and what has been run in them.
#[derive(Default)]
struct Pass {
    drivers: HashMap<String, Arc<Driver>>,
    /// What each command printed.
    printed: BTreeMap<String, String>,
    /// Commands that go on, with their session.
    staying: BTreeMap<String, (Arc<Driver>, Staying)>,
    /// The second in which the section before this one was begun, since 1970.
    second: u64,
}

impl Pass {
    /// What the API stamps has seconds, and what is as old as something else is chosen by chance. No reader does two exercises within one.
    // upstream: pkg/controller/controller_utils.go ActivePodsWithRanks
    async fn wait_for_another_second(&mut self) {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if now().as_secs() == self.second {
            tokio::time::sleep(Duration::from_secs(1).saturating_sub(Duration::from_nanos(now().subsec_nanos().into()))).await;
        }
        self.second = now().as_secs();
    }

    async fn driver(&mut self, stage: &dyn Stage, session: &str) -> Result<Arc<Driver>, String> {
        if let Some(driver) = self.drivers.get(session) {
            return Ok(Arc::clone(driver));
        }
        let driver = Arc::new(Driver::open(stage.terminals(), session).await.map_err(|error| error.to_string())?);
        self.drivers.insert(session.to_owned(), Arc::clone(&driver));
        Ok(driver)
    }
}

struct Tester<'a> {
    course: &'a Course,
    chapter: &'a Chapter,
    stage: &'a dyn Stage,
    missing: &'a [Missing],
}

impl Tester<'_> {
    async fn lesson(&self, sections: usize, summary: &mut Summary, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let mut case = Case { suite: self.chapter.id.clone(), name: "begin".into(), ..Case::default() };
        let begun = std::time::Instant::now();
        if let Err(problem) = self.stage.reset(&self.chapter.id).await {
            case.problems.push(problem);
            return close(case, begun, summary, out);
        }
        let mut pass = Pass::default();
        let mut skipped: Option<&str> = None;
        for section in &self.chapter.sections[..sections] {
            let begun = std::time::Instant::now();
            let mut case = Case { suite: self.chapter.id.clone(), name: section.id.clone(), ..Case::default() };
            // Exercises build on those before them.
            case.skipped = match skipped {
                Some(first) => Some(format!("it builds on {first}, which was skipped")),
                None => needs::of_section(self.chapter, section, self.missing),
            };
            if case.skipped.is_some() {
                skipped.get_or_insert(&section.id);
                if section.kind == SectionKind::Exercise {
                    close(case, begun, summary, out)?;
                }
                continue;
            }
            pass.wait_for_another_second().await;
            self.section(section, &mut pass, &mut case.problems).await;
            if section.kind == SectionKind::Exercise || !case.problems.is_empty() {
                close(case, begun, summary, out)?;
            }
        }
        Ok(())
    }

    async fn section(&self, section: &Section, pass: &mut Pass, problems: &mut Vec<String>) {
        let checks: Vec<&Check> = section.checks().collect();
        for check in &checks {
            self.is_not_green_yet(check, problems).await;
        }
        // A reader who goes on has seen the check above turn green: what comes next may take away what it looks at.
        let (mut has_acted, mut awaited, mut late) = (false, Vec::new(), Vec::new());
        for block in &section.blocks {
            let acts = matches!(block.kind, BlockKind::Command(_) | BlockKind::Press { .. });
            if acts && !awaited.is_empty() {
                let red = self.green(&std::mem::take(&mut awaited)).await;
                late.extend(red.into_iter().map(|problem| format!("line {}: the reader goes on, and {problem}", block.line)));
            }
            has_acted |= acts;
            let done = match &block.kind {
                BlockKind::Command(command) => self.command(command, pass).await,
                BlockKind::Press { session, keys, .. } => match pass.driver(self.stage, session).await {
                    Ok(driver) => driver.press(*keys).await.map_err(|error| error.to_string()),
                    Err(problem) => Err(problem),
                },
                BlockKind::Output { of, rule, text } => self.output(of, *rule, text, pass).await,
                BlockKind::Ask(ask) => self.ask(ask, pass).await,
                BlockKind::Check { check } if has_acted => {
                    awaited.push(check.as_ref());
                    Ok(())
                }
                BlockKind::Prose { .. } | BlockKind::Code { .. } | BlockKind::Check { .. } => Ok(()),
            };
            if let Err(problem) = done {
                problems.push(format!("line {}: {problem}", block.line));
            }
        }
        if late.is_empty() {
            late = self.green(&checks).await;
        }
        problems.append(&mut late);
    }

    /// A check that is green before anything was done shows nothing.
    async fn is_not_green_yet(&self, check: &Check, problems: &mut Vec<String>) {
        if check.holds || check.mode == Some(Mode::Never) {
            return;
        }
        match self.stage.check_now(&check.id).await {
            Ok(verdict) if verdict.verdict == Outcome::Pass => {
                problems.push(format!("check {}: green before anything was done; make it stricter, or write `holds: true`", check.id));
            }
            Ok(_) => {}
            Err(problem) => problems.push(format!("check {}: {problem}", check.id)),
        }
    }

    async fn command(&self, command: &Command, pass: &mut Pass) -> Result<(), String> {
        let driver = pass.driver(self.stage, &command.session).await?;
        let limit = command.timeout.map_or(COMMAND, |seconds| Duration::from_secs(seconds.into()));
        self.stage.ran(&self.chapter.id, &command.id);
        if command.stays {
            let staying = driver.run_staying(&command.id, &command.text, limit).await.map_err(|error| error.to_string())?;
            pass.staying.insert(command.id.clone(), (driver, staying));
            return Ok(());
        }
        let ran = match &command.inside {
            Some(program) => driver.run_inside(&command.id, &command.text, program, limit).await,
            None => driver.run(&command.id, &command.text, limit).await,
        };
        let ran = ran.map_err(|error| error.to_string())?;
        pass.printed.insert(command.id.clone(), ran.printed.clone());
        match (command.exit, ran.exits.iter().flatten().find(|code| command.exit != Exit::Code(**code))) {
            (Exit::Code(wanted), Some(code)) => Err(format!("`{}` ended with exit code {code}, wanted {wanted}; it printed:\n{}", command.text, indented(&ran.printed))),
            _ => Ok(()),
        }
    }

    async fn output(&self, of: &str, rule: MatchRule, text: &str, pass: &Pass) -> Result<(), String> {
        if let Some((driver, staying)) = pass.staying.get(of) {
            driver.says(*staying, |printed| compare(rule, text, printed).is_ok()).await;
            let printed = driver.so_far(*staying).printed;
            return fits(of, rule, text, &printed);
        }
        let Some(printed) = pass.printed.get(of) else {
            return Err(format!("`{of}` has not run, so its output cannot be compared"));
        };
        fits(of, rule, text, printed)
    }

    async fn ask(&self, ask: &Ask, pass: &mut Pass) -> Result<(), String> {
        let text = match (&ask.solve, &ask.answer, ask.options.first()) {
            (Some(solve), _, _) => {
                let driver = pass.driver(self.stage, ANSWERS).await?;
                let ran = driver.run(&ask.id, solve, COMMAND).await.map_err(|error| error.to_string())?;
                ran.printed.trim().to_owned()
            }
            (None, Some(answer), _) => answer.clone(),
            (None, None, Some(option)) => option.clone(),
            (None, None, None) => "something".to_owned(),
        };
        let answered = self.stage.answer(&ask.id, &text).await?;
        match answered.correct {
            Some(false) => Err(format!("question {}: {text:?} is not taken as the right answer", ask.id)),
            _ => Ok(()),
        }
    }

    /// Wait until all of these are green together; what is not in time, and why.
    async fn green(&self, checks: &[&Check]) -> Vec<String> {
        let passed = |verdict: &Verdict| verdict.verdict == Outcome::Pass;
        let all = |verdicts: &[Verdict]| checks.iter().all(|check| verdicts.iter().any(|verdict| verdict.check == check.id && passed(verdict)));
        if self.until(all).await {
            return Vec::new();
        }
        let verdicts = self.stage.verdicts();
        let red = checks.iter().filter(|check| !verdicts.iter().any(|verdict| verdict.check == check.id && passed(verdict)));
        red.map(|check| {
            let verdict = verdicts.iter().find(|verdict| verdict.check == check.id);
            format!("check {} is not green: {}", check.id, verdict.map_or_else(|| "never judged".to_owned(), explained))
        })
        .collect()
    }

    /// Wait until something is true of the verdicts. `false` when it is not in time.
    async fn until(&self, is_so: impl Fn(&[Verdict]) -> bool) -> bool {
        let deadline = Instant::now() + VERDICT;
        let mut news = self.stage.subscribe();
        loop {
            if is_so(&self.stage.verdicts()) {
                return true;
            }
            match timeout_at(deadline, news.recv()).await {
                Ok(Ok(_) | Err(RecvError::Lagged(_))) => {}
                Ok(Err(RecvError::Closed)) | Err(_) => return is_so(&self.stage.verdicts()),
            }
        }
    }

    async fn lab(&self, lab: &Lab, summary: &mut Summary, out: &mut (dyn Write + Send)) -> io::Result<()> {
        if let Some(why) = needs::of_lab(lab, self.missing) {
            let case = Case { suite: lab.id.clone(), name: "all of it".into(), skipped: Some(why), ..Case::default() };
            return close(case, std::time::Instant::now(), summary, out);
        }
        for solution in &lab.solutions {
            let begun = std::time::Instant::now();
            let mut case = Case { suite: lab.id.clone(), name: format!("solutions/{}", solution.name), ..Case::default() };
            self.solution(lab, solution, &mut case.problems).await;
            close(case, begun, summary, out)?;
        }
        for wrong in &lab.wrong {
            let begun = std::time::Instant::now();
            let mut case = Case { suite: lab.id.clone(), name: format!("wrong/{}", wrong.script.name), ..Case::default() };
            self.wrong(lab, wrong, &mut case.problems).await;
            close(case, begun, summary, out)?;
        }
        Ok(())
    }

    async fn solution(&self, lab: &Lab, script: &Script, problems: &mut Vec<String>) {
        let mut pass = Pass::default();
        if let Err(problem) = self.begin(lab, &mut pass).await {
            problems.push(problem);
            return;
        }
        let needed: Vec<&Check> = lab.tasks.iter().filter(|task| !task.optional).collect();
        let green = |verdicts: &[Verdict]| needed.iter().all(|task| verdicts.iter().any(|verdict| verdict.check == task.id && verdict.verdict == Outcome::Pass));
        if green(&self.stage.verdicts()) {
            problems.push("the lab is done before anything was done".to_owned());
        }
        if let Err(problem) = self.play(lab, script, &mut pass, true).await {
            problems.push(problem);
        }
        problems.extend(self.green(&needed).await);
    }

    async fn wrong(&self, lab: &Lab, wrong: &Wrong, problems: &mut Vec<String>) {
        let mut pass = Pass::default();
        if let Err(problem) = self.begin(lab, &mut pass).await {
            problems.push(problem);
            return;
        }
        if let Err(problem) = self.play(lab, &wrong.script, &mut pass, false).await {
            problems.push(problem);
        }
        let reason = lint::reason(&wrong.reason);
        let stated = |verdict: &Verdict| verdict.check == wrong.check && verdict.verdict == Outcome::Fail && verdict.reason == reason;
        let said = self.until(|verdicts| verdicts.iter().any(stated)).await;
        let last = self.stage.check_now(&wrong.check).await;
        match last {
            Ok(verdict) if said && stated(&verdict) => {}
            Ok(verdict) => problems.push(format!("task {} must fail for {}: {}", wrong.check, wrong.reason, explained(&verdict))),
            Err(problem) => problems.push(format!("task {}: {problem}", wrong.check)),
        }
    }

    /// A fresh cluster, the lab started, its directory entered.
    async fn begin(&self, lab: &Lab, pass: &mut Pass) -> Result<(), String> {
        self.stage.reset(&self.chapter.id).await?;
        self.stage.ran(&self.chapter.id, &lab.id);
        for task in &lab.tasks {
            self.stage.check_now(&task.id).await?;
        }
        let driver = pass.driver(self.stage, "main").await?;
        if lab.files.is_empty() {
            return Ok(());
        }
        let enter = format!("cd ~/{}/{}", self.course.home, lab.id);
        let ran = driver.run("enter", &enter, COMMAND).await.map_err(|error| error.to_string())?;
        match ran.exits.as_slice() {
            [Some(0)] => Ok(()),
            _ => Err(format!("`{enter}`: {}", ran.printed)),
        }
    }

    async fn play(&self, lab: &Lab, script: &Script, pass: &mut Pass, all_must_work: bool) -> Result<(), String> {
        let driver = pass.driver(self.stage, "main").await?;
        let ran = driver.run(&script.name, &script.text, COMMAND * 2).await.map_err(|error| error.to_string())?;
        if all_must_work && ran.exits.iter().flatten().any(|code| *code != 0) {
            return Err(format!("{}/{}: a command failed; it printed:\n{}", lab.id, script.name, indented(&ran.printed)));
        }
        if let Some(background) = &script.background {
            let driver = pass.driver(self.stage, SECOND).await?;
            driver.run_staying("background", background, COMMAND).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn close(mut case: Case, begun: std::time::Instant, summary: &mut Summary, out: &mut (dyn Write + Send)) -> io::Result<()> {
    case.took = begun.elapsed();
    let word = match (&case.skipped, case.problems.is_empty()) {
        (Some(_), _) => "skip  ",
        (None, true) => "ok    ",
        (None, false) => "FAILED",
    };
    writeln!(out, "  {word} {:>6.1} s  {}", case.took.as_secs_f64(), case.name)?;
    if let Some(why) = &case.skipped {
        writeln!(out, "         {why}")?;
    }
    for problem in &case.problems {
        writeln!(out, "         {}", problem.replace('\n', "\n         "))?;
    }
    out.flush()?;
    summary.cases.push(case);
    Ok(())
}

fn fits(of: &str, rule: MatchRule, text: &str, printed: &str) -> Result<(), String> {
    compare(rule, text, printed).map_err(|mismatch| format!("output of {of}: {mismatch}; it printed:\n{}", indented(printed)))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// A verdict in a sentence or two, with all that was seen.
fn explained(verdict: &Verdict) -> String {
    let reason = verdict.reason.map(|reason| format!(" for {}", serde_json::to_string(&reason).unwrap_or_default().trim_matches('"'))).unwrap_or_default();
    let word = match verdict.verdict {
        Outcome::Pass => "it passes",
        Outcome::Fail => "it fails",
        Outcome::Waiting => "it waits",
        Outcome::Error => "it is broken",
    };
    let mut out = format!("{word}{reason}. {}", verdict.why.join(" "));
    for evidence in &verdict.evidence {
        out.push_str(&format!("\n    {} {} {}: wanted {}, got {}", evidence.source, evidence.object, evidence.path, evidence.want, evidence.got));
    }
    out
}
