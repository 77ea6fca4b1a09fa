//! Loading a course: what it holds, and that every mistake is named with its place and a fix.

use drydock_course::Course;
use drydock_course::chapter::{BlockKind, Command, Exit, Keys, SectionKind};
use drydock_course::check::Mode;
use drydock_course::output::MatchRule;
use drydock_course::source::Memory;

const COURSE: &str = "id: lunches\ntitle: Lunches\nretired: [ch02-old]\nchapters: [02-pods, {id: ch03, number: '3', title: Services}]\n";
const FRONT: &str = "---\nid: ch02\ntitle: Pods\nbook: {chapter: 2}\n---\n";
const EXERCISE: &str = "\n## Run {#run .try est=4m ref=E2.01 book=2.1}\n\n";
const CHECK: &str = "\n```yaml check id=ch02-a\nsay: A Pod\nexpect: {object: {kind: Pod}}\nhints: [x]\n```\n";

fn files(lesson: &str) -> Memory {
    let mut files = Memory::new();
    files.insert("chapters/lunches/course.yaml", COURSE.as_bytes().to_vec());
    files.insert("chapters/lunches/02-pods/lesson.md", lesson.as_bytes().to_vec());
    files.insert("chapters/lunches/02-pods/files/pod.yaml", &b"kind: Pod\n"[..]);
    files.insert("chapters/lunches/02-pods/figures/pods.svg", &b"<svg viewBox=\"0 0 1 1\"><title>t</title></svg>"[..]);
    files
}

fn load(files: &Memory) -> Course {
    Course::load(files, "lunches").unwrap()
}

fn lab(files: &mut Memory, yaml: &str) {
    let at = |name: &str| format!("labs/lunches/02-web/{name}");
    files.insert(at("lab.yaml"), yaml.as_bytes().to_vec());
    files.insert(at("brief.md"), &b"Do it.\n\n```yaml file path=web.yaml\n```\n"[..]);
    files.insert(at("debrief.md"), &b"### Why\n\nSo. See [above](#run).\n"[..]);
    files.insert(at("files/web.yaml"), &b"kind: Service\n"[..]);
    files.insert(at("solutions/01-a.sh"), &b"# title: By hand\nkubectl apply -f web.yaml\n"[..]);
    files.insert(at("solutions/02-b.sh"), &b"# background: kubectl port-forward pod/a 1:1\nkubectl get pods\n"[..]);
    files.insert(at("wrong/typo.sh"), &b"# expect: image-typo\n# check: ch02-lab-a\nkubectl get pod\n"[..]);
}

const LAB: &str = "id: ch02-lab\nchapter: ch02\ntitle: Web\nest: 20m\nlevel: medium\ntasks:\n- {id: ch02-lab-a, say: A, expect: {object: {kind: Pod}}, hints: [x]}\n";

#[test]
fn a_lesson_becomes_sections_of_blocks() {
    let lesson = format!(
        "{FRONT}Words with [a link](#run) and <kbd>Ctrl</kbd>.\n\n> [!NOTE]\n> An aside.\n\n![The parts](figures/pods.svg)\n{EXERCISE}\
         ```sh run id=go session=left exit=any timeout=60 stays\nkubectl run a\nkubectl get pods\n```\n\n\
         ```text output match=any-order\na\n```\n\n```text press session=left\nCtrl+C\n```\n\n```sh type inside=kubectl\nhostname\n```\n\n\
         ```yaml file path=pod.yaml\n```\n\n```yaml\nlisting: true\n```\n\n\
         ```yaml ask id=ch02-q\nsay: How many?\noptions: [0, 1]\nanswer: 1\n```\n{CHECK}"
    );
    let course = load(&files(&lesson));
    assert_eq!(course.diagnostics, []);
    let chapter = course.chapter("ch02").unwrap();
    assert_eq!((chapter.number.as_str(), chapter.sections.len()), ("2", 2));
    let top: Vec<&BlockKind> = chapter.sections[0].blocks.iter().map(|block| &block.kind).collect();
    let [BlockKind::Prose { html }, BlockKind::Prose { html: figure }] = top.as_slice() else { panic!("{top:?}") };
    assert!(html.contains("<a href=\"#run\">") && html.contains("<kbd>") && html.contains("markdown-alert-note"), "{html}");
    assert!(figure.contains("<svg") && figure.contains("<figcaption>The parts"), "{figure}");
    let run = &chapter.sections[1];
    assert_eq!((run.kind, run.minutes, run.reference.as_deref(), run.book.as_deref()), (SectionKind::Exercise, Some(4), Some("E2.01"), Some("2.1")));
    let kinds: Vec<&BlockKind> = run.blocks.iter().map(|block| &block.kind).collect();
    let expected = Command {
        id: "go".into(),
        session: "left".into(),
        text: "kubectl run a\nkubectl get pods".into(),
        stays: true,
        exit: Exit::Any,
        timeout: Some(60),
        ..Command::default()
    };
    assert_eq!(kinds[0], &BlockKind::Command(expected));
    assert_eq!(kinds[1], &BlockKind::Output { of: "go".into(), rule: MatchRule::AnyOrder, text: "a\n".into() });
    assert_eq!(kinds[2], &BlockKind::Press { id: "run-2".into(), session: "left".into(), keys: Keys::Interrupt });
    assert!(matches!(kinds[3], BlockKind::Command(command) if command.typed && command.inside.as_deref() == Some("kubectl")));
    assert_eq!(kinds[4], &BlockKind::Code { language: "yaml".into(), path: Some("lunches/ch02/pod.yaml".into()), text: "kind: Pod\n".into() });
    assert!(matches!(kinds[6], BlockKind::Ask(ask) if ask.options == ["0", "1"] && ask.answer.as_deref() == Some("1")));
    assert_eq!(chapter.checks().next().unwrap().1.mode, Some(Mode::Latch));
    assert_eq!(course.home_files()[0].path, "lunches/ch02/pod.yaml");
}

#[test]
fn a_lab_is_read_with_all_around_it() {
    let mut files = files(&format!("{FRONT}{EXERCISE}{CHECK}"));
    lab(&mut files, LAB);
    let course = load(&files);
    assert_eq!(course.diagnostics, []);
    let lab = &course.chapter("ch02").unwrap().labs[0];
    assert_eq!((lab.minutes, lab.tasks[0].mode, lab.tasks.len()), (Some(20), Some(Mode::Level), 1));
    assert_eq!(lab.debrief, "<h4>Why</h4>\n<p>So. See <a href=\"#run\">above</a>.</p>\n");
    assert_eq!(lab.solutions[0].title, "By hand");
    assert!(lab.solutions[1].background.as_deref().is_some_and(|text| text.starts_with("kubectl port-forward")));
    assert_eq!((lab.wrong[0].reason.as_str(), lab.wrong[0].check.as_str()), ("image-typo", "ch02-lab-a"));
    assert!(course.home_files().iter().any(|file| file.path == "lunches/ch02-lab/web.yaml"));
}

/// A body of a lesson, the line of its mistake, and what is said of it.
const MISTAKES: &[(&str, usize, &str)] = &[
    ("# One\n", 6, "a heading with one `#`"),
    ("## A {#a .tri}\n", 6, "unknown class `.tri`"),
    ("## A {#a size=3}\n", 6, "unknown attribute `size`"),
    ("## A {#a .try}\n", 6, "exercise `a` has no check"),
    ("## A {.try}\n\n```yaml check id=ch02-a\nsay: x\nexpect: {object: {kind: Pod}}\n```\n", 6, "needs an id"),
    ("## A {#a}\n\n## B {#a}\n", 8, "section id `a` is taken by the heading in line 6"),
    ("\n```sh rnu\nls\n```\n", 7, "did you mean `run`?"),
    ("```sh run colour=red\nls\n```\n", 6, "unknown attribute `colour`"),
    ("```sh run\n```\n", 6, "there is nothing to run"),
    ("```sh run id=A\nls\n```\n", 6, "id `A` is no name"),
    ("```sh run exit=no\nls\n```\n", 6, "`exit=no` is no exit code"),
    ("```sh run id=a\nls\n```\n\n```sh run id=a\nls\n```\n", 10, "taken by the fence in line 6"),
    ("```text output\nx\n```\n", 6, "output of what?"),
    ("```sh run id=apply\nls\n```\n\n```text output of=aply\nx\n```\n", 10, "did you mean `apply`?"),
    ("```sh run\nls\n```\n\n```text output match=line\nx\n```\n", 10, "did you mean `lines`?"),
    ("```text press\nCtrl+X\n```\n", 7, "is no key a lesson can press"),
    ("```yaml file path=pot.yaml\n```\n", 6, "did you mean `pod.yaml`?"),
    ("```yaml file path=pod.yaml\nkind: Pod\n```\n", 7, "a file fence is empty"),
    ("```yaml ask id=q\nsay: x\n```\n", 6, "nobody can judge the answer to `q`"),
    ("```yaml ask id=q\nsay: x\noptions: [a, b]\nanswer: c\n```\n", 9, "none of the options"),
    ("```yaml ask id=q\nsey: x\n```\n", 7, "did you mean `say`?"),
    ("```yaml check id=c\nsay: x\nexpect: {object: {kind: Pod}}\n```\n", 6, "a check outside of an exercise"),
    ("## A {#a .try}\n\n```yaml check id=c\nsay: x\nexpect: {objekt: {kind: Pod}}\n```\n", 8, "unknown key `objekt`"),
    ("## A {#a .try}\n\n```yaml check id=c\nsay: [x\n```\n", 10, "did not find expected"),
    ("## A {#a .try}\n\n```yaml check id=c\nsay: x\nneeds: [d]\nexpect: {object: {kind: Pod}}\n```\n", 8, "needs `d`, which is not here"),
    ("## A {#a .try}\n\n```yaml check id=ch02-old\nsay: x\nexpect: {object: {kind: Pod}}\n```\n", 8, "is retired"),
    ("## A {#a .try}\n\n```yaml check id=c\nsay: x\nexpect: {answer: {ask: nobody}}\n```\n", 8, "there is no question `nobody`"),
    ("[out](https://example.org)\n", 6, "a link out of the course"),
    ("[no](#nowhere)\n", 6, "there is no section `#nowhere`"),
    ("[no](/ch09)\n", 6, "there is no chapter `ch09`"),
    ("<script>alert(1)</script>\n", 6, "`<script>` cannot stand in a lesson"),
    ("a <img src=x onerror=y> b\n", 6, "cannot stand in a lesson"),
    ("<details>\n\nopen\n\n## Next\n", 6, "`<details>` is not closed"),
    ("text ![x](figures/pods.svg) text\n", 6, "a picture inside of text"),
    ("![](figures/pods.svg)\n", 6, "a picture without a description"),
    ("![x](figures/none.svg)\n", 6, "there is no such file"),
    ("- a\n\n  ```sh run\n  ls\n  ```\n", 8, "a fence with a verb stands by itself"),
];

#[test]
fn every_mistake_is_named_with_its_line() {
    for (body, line, expected) in MISTAKES {
        let course = load(&files(&format!("{FRONT}{body}")));
        let said: Vec<String> = course.diagnostics.iter().map(ToString::to_string).collect();
        let start = format!("chapters/lunches/02-pods/lesson.md:{line}:");
        assert!(said.iter().any(|text| text.starts_with(&start) && text.contains(expected)), "{body}\nwanted {start} {expected}\nsaid {said:#?}");
        assert!(course.chapter("ch02").is_none(), "{body}");
    }
}

#[test]
fn mistakes_around_a_lesson_are_named() {
    let broken = |path: &str, text: &str, expected: &str| {
        let mut files = files(&format!("{FRONT}{EXERCISE}{CHECK}"));
        lab(&mut files, LAB);
        files.insert(path.to_owned(), text.as_bytes().to_vec());
        let found = match Course::load(&files, "lunches") {
            Ok(course) => course.diagnostics,
            Err(found) => found,
        };
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|text| text.contains(expected)), "{path}: wanted {expected}, said {said:#?}");
    };
    broken("chapters/lunches/course.yaml", "id: lunches\ntitel: x\n", "course.yaml:2:1: error: unknown key `titel`; did you mean `title`?");
    broken("chapters/lunches/course.yaml", "id: x\ntitle: x\nchapters: []\n", "calls itself `x`");
    broken("chapters/lunches/course.yaml", "id: lunches\ntitle: x\nchapters: [09-none]\n", "09-none/lesson.md:1:1: error: there is no such file");
    broken("chapters/lunches/02-pods/lesson.md", "no front matter\n", "a lesson begins with front matter");
    broken("chapters/lunches/02-pods/lesson.md", "---\nid: ch02\n---\n", "missing field `title`");
    broken("chapters/lunches/02-pods/lesson.md", "---\nid: ch02\ntitle: x\nneeds: [ch01]\n---\n", "there is no chapter `ch01`");
    broken("labs/lunches/02-web/lab.yaml", "id: ch02-lab\nchapter: ch99\ntitle: x\ntasks: []\n", "there is no chapter `ch99`");
    broken("labs/lunches/02-web/lab.yaml", &LAB.replace("ch02-lab-a", "ch02-a"), "id `ch02-a` is taken");
    broken("labs/lunches/02-web/lab.yaml", &LAB.replace("expect: {", "expekt: {"), "expekt");
    broken("labs/lunches/02-web/brief.md", "```sh run\nls\n```\n", "this fence cannot stand here");
    broken("labs/lunches/02-web/wrong/typo.sh", "# check: ch02-lab-a\nls\n", "a wrong answer names its `expect`");
    broken("labs/lunches/02-web/wrong/typo.sh", "# expect: other\n# check: ch02-lab-z\nls\n", "there is no task `ch02-lab-z`");
    broken("labs/lunches/02-web/solutions/x.txt", "ls\n", "only shell scripts stand here");
}

#[test]
fn nothing_an_author_types_makes_it_panic() {
    let text = format!("{FRONT}{EXERCISE}```sh run id=x\nls\n```\n{CHECK}<details>\n> [!TIP]\n> ä\n\n</details>\n![é](figures/pods.svg)\n");
    for cut in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
        let course = load(&files(&text[..cut]));
        drop(course);
        let course = load(&files(&format!("{FRONT}{}", &text[cut..])));
        drop(course);
    }
}

#[test]
fn the_courses_inside_the_program_load() {
    let source = drydock_course::source::embedded();
    for track in Course::tracks(&source).unwrap() {
        let course = Course::load(&source, &track).unwrap();
        assert!(!course.has_errors(), "{:#?}", course.diagnostics);
    }
}

#[test]
fn the_example_for_authors_is_a_chapter() {
    let readme = include_str!("../../../chapters/README.md");
    let example = readme.split("````markdown\n").nth(1).and_then(|rest| rest.split("\n````").next()).unwrap();
    let course = load(&files(&format!("{example}\n")));
    assert_eq!(course.diagnostics, []);
    assert_eq!(course.chapter("ch02").unwrap().checks().count(), 2);
}

#[test]
fn a_drill_is_an_exercise_nothing_waits_for() {
    let lesson = format!("{FRONT}\n## Run {{#run .try est=4m}}\n{CHECK}\n## More {{#more .drill est=2m}}\n\n```yaml check id=ch02-b\nsay: b\nexpect: {{object: {{kind: Pod}}}}\nhints: [x]\n```\n");
    let course = load(&files(&lesson));
    assert_eq!(course.diagnostics, []);
    let chapter = course.chapter("ch02").unwrap();
    let kinds: Vec<(SectionKind, bool, bool)> =
        chapter.sections.iter().map(|section| (section.kind, section.drill, section.checks().all(|check| check.optional))).collect();
    assert_eq!(kinds, [(SectionKind::Exercise, false, false), (SectionKind::Exercise, true, true)]);
}

#[test]
fn what_should_not_be_published_is_a_warning() {
    let lesson = format!("{FRONT}## A {{#a .try}}\n\n```yaml check id=c\nsay: x\nexpect: {{object: {{kind: Pod}}}}\n```\n");
    let course = load(&files(&lesson));
    let said: Vec<String> = course.diagnostics.iter().map(ToString::to_string).collect();
    let at = |line: usize, text: &str| format!("chapters/lunches/02-pods/lesson.md:{line}:1: warning: {text}");
    let expected = [at(6, "exercise `a` does not say how long"), at(8, "check `c` does not say which chapter"), at(8, "check `c` has no hint")];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    assert!(said.iter().zip(&expected).all(|(said, expected)| said.starts_with(expected)), "{said:#?}");
    assert!(course.chapter("ch02").is_some(), "it can be read all the same");
}
