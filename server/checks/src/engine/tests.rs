//! Windows, baselines, latches: a chapter played move by move.

use drydock_course::check::Check;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Engine, Progress};
use crate::plan::{Plan, RunBlock, Unit, UnitKind};
use crate::probe::Probes;
use crate::verdict::Outcome::{self, Fail, Pass, Waiting};
use crate::world::{Point, World};

fn check(yaml: &str) -> Check {
    serde_yaml::from_str(yaml).unwrap()
}

fn unit(id: &str, kind: UnitKind, commands: &str, checks: &[&str]) -> Unit {
    let blocks = vec![RunBlock { id: format!("{id}-run"), text: commands.into() }];
    Unit { id: id.into(), title: id.to_uppercase(), kind, checks: checks.iter().map(|yaml| check(yaml)).collect(), blocks }
}

/// The chapter, and a clock that only moves when told to.
struct Play {
    engine: Engine,
    world: World,
    now: Timestamp,
    revision: u64,
}

impl Play {
    fn new(units: Vec<Unit>) -> Play {
        let plan = Plan { chapter: "ch02".into(), units, ..Plan::default() };
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut engine = Engine::new(plan, Progress::default()).unwrap();
        engine.reset(Point { revision: 1, time: now });
        Play { engine, world: World::default(), now, revision: 1 }
    }

    fn pass_time(&mut self, millis: i64) {
        self.now += SignedDuration::from_millis(millis);
    }

    fn pod(&mut self, name: &str, labels: Value) {
        self.revision += 1;
        let pod = json!({"kind": "Pod", "metadata": {"namespace": "default", "name": name, "labels": labels, "resourceVersion": self.revision.to_string()}});
        self.world.put("Pod", pod);
    }

    fn delete(&mut self, name: &str) {
        self.revision += 1;
        self.world.remove("Pod", &json!({"metadata": {"namespace": "default", "name": name, "resourceVersion": self.revision.to_string()}}));
    }

    fn command(&mut self, line: &str) {
        self.command_in(line, "/home/learner");
    }

    fn command_in(&mut self, line: &str, cwd: &str) {
        self.ended(line, cwd, 0);
    }

    fn ended(&mut self, line: &str, cwd: &str, exit: i32) {
        self.pass_time(1000);
        let name = format!("command-{}", self.now);
        let record = json!({
            "metadata": {"name": name, "resourceVersion": self.revision.to_string(), "creationTimestamp": self.now.to_string()},
            "spec": {"line": line, "cwd": cwd}, "status": {"exitCode": exit},
        });
        self.world.put_record("commands", record);
    }

    fn judge(&mut self) -> Vec<(String, Outcome)> {
        self.pass_time(10);
        self.engine.judge(&self.world, &Probes::new(), self.now);
        self.engine.verdicts().map(|verdict| (verdict.check.clone(), verdict.verdict)).collect()
    }

    fn of(&mut self, id: &str) -> Outcome {
        self.judge().into_iter().find(|(check, _)| check == id).unwrap().1
    }
}

const MAKE: &str = "{id: made, say: s, expect: {object: {kind: Pod, name: a}}}";
const LIST: &str = "{id: listed, say: s, expect: {saw: {matches: get pods}}}";

fn two() -> Play {
    Play::new(vec![
        unit("one", UnitKind::Exercise, "kubectl run a\nkubectl get pods", &[MAKE]),
        unit("two", UnitKind::Exercise, "kubectl describe pod a\nkubectl get pods", &[LIST]),
    ])
}

#[test]
fn what_was_done_for_one_exercise_does_not_count_for_the_next() {
    let mut play = two();
    assert_eq!(play.judge(), [("listed".into(), Waiting), ("made".into(), Fail)]);
    play.command("kubectl get pods");
    assert_eq!(play.of("listed"), Waiting, "that command belongs to the first exercise");
    play.pod("a", json!({}));
    assert_eq!(play.judge(), [("listed".into(), Fail), ("made".into(), Pass)]);
    play.command("kubectl get pods");
    assert_eq!(play.of("listed"), Pass);
}

#[test]
fn who_runs_ahead_is_never_told_no() {
    let mut play = two();
    play.judge();
    play.command("kubectl   describe pod a");
    play.judge();
    play.command("kubectl get pods -o wide");
    assert_eq!(play.judge(), [("listed".into(), Pass), ("made".into(), Fail)]);
    let mut play = two();
    assert!(play.engine.ran("two-run", Point { revision: 1, time: play.now }));
    assert!(!play.engine.ran("nothing", Point::START));
    play.command("kubectl get pods -A");
    assert_eq!(play.of("listed"), Pass);
}

#[test]
fn a_first_command_that_failed_and_did_nothing_is_no_beginning() {
    const NEW: &str = "{id: new, say: s, let: {was: {object: {kind: Pod, name: b}, at: baseline}}, \
                       expect: {object: {kind: Pod, name: b}, where: metadata.resourceVersion == was.metadata.resourceVersion}}";
    const SEEN: &str = "{id: seen, say: s, expect: {saw: {matches: apply}}}";
    // What happens between the command that failed and the same again; whether the exercise began with the first.
    let cases: &[(&[&str], &str, bool)] = &[
        (&[NEW], "pod", false),
        (&[NEW], "cd /lunches", false),
        (&[NEW], "kubectl run a", false),
        (&[NEW], "kubectl run b", true),
        (&[NEW], "", true),
        (&[NEW, SEEN], "pod", true),
    ];
    for (checks, between, first) in cases {
        let mut play = Play::new(vec![unit("one", UnitKind::Exercise, "kubectl run a", &[MAKE]), unit("two", UnitKind::Exercise, "kubectl apply -f b", checks)]);
        play.judge();
        play.ended("kubectl apply -f b", "/", 1);
        play.judge();
        match *between {
            "" => play.pod("b", json!({})),
            // The next command comes before the Pod changes.
            "pod" => play.command("pwd"),
            line => play.command(line),
        }
        play.judge();
        play.pod("b", json!({"x": "y"}));
        play.command("kubectl apply -f b");
        play.judge();
        let began = play.engine.progress().runs["two"];
        assert_eq!(began.revision == 1, *first, "{checks:?} {between}");
    }
}

#[test]
fn a_look_that_several_exercises_have_opens_no_later_one() {
    const AGAIN: &str = "{id: again, say: s, let: {was: {object: {kind: Pod, name: b}, at: baseline}}, \
                         expect: {object: {kind: Pod, name: b}, where: metadata.resourceVersion != was.metadata.resourceVersion}}";
    let mut play = Play::new(vec![
        unit("one", UnitKind::Exercise, "kubectl run a\nkubectl get pods", &[MAKE]),
        unit("two", UnitKind::Exercise, "kubectl run b", &["{id: other, say: s, expect: {object: {kind: Pod, name: b}}}"]),
        unit("three", UnitKind::Exercise, "kubectl get pods\nkubectl delete pods --all", &[AGAIN]),
    ]);
    play.command("kubectl run a");
    play.pod("a", json!({}));
    assert_eq!(play.of("made"), Pass);
    // The end of the first exercise, and a look of one's own: both are in the third one too, whose Pod is not there yet.
    play.command("kubectl get pods");
    play.judge();
    play.command("kubectl run b");
    play.pod("b", json!({}));
    assert_eq!(play.of("other"), Pass);
    assert_eq!(play.of("again"), Fail);
    play.pod("b", json!({"new": "yes"}));
    assert_eq!(play.of("again"), Pass);
}

#[test]
fn a_latched_check_stays_green_and_says_what_was_lost() {
    let mut play = two();
    play.pod("a", json!({}));
    play.judge();
    let since = play.engine.verdict("made").unwrap().since_revision;
    play.delete("a");
    assert_eq!(play.of("made"), Pass);
    assert!(!play.engine.verdict("made").unwrap().lost, "there is no hurry");
    play.command("kubectl delete pod a");
    assert_eq!(play.of("made"), Pass);
    let verdict = play.engine.verdict("made").unwrap();
    assert!(verdict.lost);
    assert_eq!(verdict.why, ["There is no Pod `a`.", "Since `kubectl delete pod a`."]);
    assert_eq!(since, 2);
}

#[test]
fn what_the_lesson_itself_undoes_is_no_loss() {
    for (typed, lost) in [
        (&[][..], true),
        (&["./clean-up.sh", "kubectl get pods"], true),
        (&["kubectl  delete pods --all"], false),
        (&["kubectl delete pods --all", "kubectl get pods"], false),
        (&["kubectl delete pods --all", "kubectl delete pod a"], true),
        (&["kubectl scale deployment a --replicas=0"], true),
    ] {
        let mut play = Play::new(vec![
            unit("one", UnitKind::Exercise, "kubectl run a", &[MAKE]),
            unit("two", UnitKind::Exercise, "kubectl delete pods --all", &[LIST]),
        ]);
        play.pod("a", json!({}));
        assert_eq!(play.of("made"), Pass);
        typed.iter().for_each(|line| play.command(line));
        play.delete("a");
        play.judge();
        play.pass_time(5000);
        assert_eq!(play.of("made"), Pass);
        let verdict = play.engine.verdict("made").unwrap();
        assert_eq!((verdict.lost, verdict.why.is_empty()), (lost, !lost), "{typed:?}");
    }
}

#[test]
fn what_cannot_be_mended_is_told_before_its_turn() {
    let never = "{id: never, say: s, needs: [made], expect: {history: {kind: Pod, where: 'new == null', count: '== 0'}}}";
    let mut play = Play::new(vec![unit("lab", UnitKind::Lab, "", &[MAKE, never])]);
    assert_eq!(play.of("never"), Waiting);
    play.pod("b", json!({}));
    assert_eq!(play.of("never"), Waiting, "nothing is wrong yet, and nothing is right");
    play.delete("b");
    assert_eq!((play.of("never"), play.of("made")), (Fail, Fail));
    play.pod("a", json!({}));
    assert_eq!(play.of("never"), Fail);
}

#[test]
fn progress_survives_a_restart() {
    let mut play = two();
    play.pod("a", json!({}));
    play.judge();
    let kept: Progress = serde_json::from_str(&serde_json::to_string(play.engine.progress()).unwrap()).unwrap();
    assert_eq!(&kept, play.engine.progress());
    let mut again = Engine::new(play.engine.plan().clone(), kept).unwrap();
    again.judge(&World::default(), &Probes::new(), play.now);
    let verdict = again.verdict("made").unwrap();
    assert_eq!((verdict.verdict, verdict.lost), (Pass, true));
    assert_eq!(again.verdict("listed").unwrap().verdict, Fail, "the second exercise had begun");
}

#[test]
fn modes() {
    let lab = |checks: &[&str]| Play::new(vec![unit("lab", UnitKind::Lab, "", checks)]);
    let mut level = lab(&["{id: c, say: s, mode: level, expect: {object: {kind: Pod, name: a}}}"]);
    level.pod("a", json!({}));
    assert_eq!(level.of("c"), Pass);
    level.delete("a");
    assert_eq!(level.of("c"), Fail);

    let mut edge = lab(&["{id: c, say: s, mode: edge, expect: {object: {kind: Pod, name: a}}}"]);
    edge.pod("a", json!({}));
    assert_eq!(edge.of("c"), Fail, "it was so from the beginning");
    edge.delete("a");
    edge.judge();
    edge.pod("a", json!({}));
    assert_eq!(edge.of("c"), Pass);

    let mut never = lab(&["{id: c, say: s, mode: never, expect: {history: {kind: Pod, name: a, where: 'type == \"DELETED\"'}}}"]);
    never.pod("a", json!({}));
    assert_eq!(never.of("c"), Pass);
    never.delete("a");
    assert_eq!(never.of("c"), Fail);

    let mut stable = lab(&["{id: c, say: s, stable: 1s, expect: {object: {kind: Pod, name: a}}}"]);
    stable.pod("a", json!({}));
    assert_eq!(stable.of("c"), Waiting);
    let round = stable.engine.judge(&stable.world, &Probes::new(), stable.now);
    assert_eq!(round.deadline.unwrap().duration_since(stable.now), SignedDuration::from_secs(1));
    stable.pass_time(1000);
    assert_eq!(stable.of("c"), Pass);

    let mut needs = lab(&[
        "{id: first, say: the first, expect: {object: {kind: Pod, name: a}}}",
        "{id: then, say: s, needs: [first], expect: {not: {object: {kind: Pod, name: b}}}}",
    ]);
    assert_eq!(needs.of("then"), Waiting);
    assert_eq!(needs.engine.verdict("then").unwrap().why, ["First: the first."]);
    needs.pod("a", json!({}));
    assert_eq!(needs.of("then"), Pass);
}

#[test]
fn names_reach_later_exercises() {
    let bind = "{id: bind, say: s, let: {app: {object: {kind: Pod, name: a}, value: metadata.labels.app, scope: chapter}}, expect: {object: {kind: Pod, name: a}}}";
    let used = "{id: used, say: s, expect: {object: {kind: Pod, name: '${app}'}}}";
    let mut play = Play::new(vec![unit("one", UnitKind::Exercise, "x", &[bind]), unit("two", UnitKind::Exercise, "y", &[used])]);
    play.pod("a", json!({"app": "web"}));
    assert_eq!(play.of("used"), Fail);
    play.delete("a");
    play.pod("web", json!({}));
    assert_eq!(play.of("used"), Pass);
}

#[test]
fn a_reset_forgets() {
    let mut play = two();
    play.pod("a", json!({}));
    play.judge();
    play.delete("a");
    let now = Point { revision: play.revision, time: play.now };
    play.engine.reset(now);
    assert_eq!(play.judge(), [("listed".into(), Waiting), ("made".into(), Fail)]);
}

#[test]
fn a_lab_is_asked_about_once_it_was_begun() {
    let lab = "{id: page, say: s, expect: {http: {url: 'http://localhost:8080/'}}}";
    let mut play = Play::new(vec![unit("one", UnitKind::Exercise, "kubectl run a", &[MAKE]), unit("ch02-lab", UnitKind::Lab, "", &[lab])]);
    let asks = |play: &mut Play| {
        play.pass_time(10);
        !play.engine.judge(&play.world, &Probes::new(), play.now).probes.is_empty()
    };
    assert!(!asks(&mut play));
    play.command_in("cat lab.txt", "/home/learner/lunches/ch02-lab");
    assert!(asks(&mut play), "it was begun in its directory");
}

#[test]
fn a_lab_that_was_not_begun_is_not_wrong() {
    let lab = "{id: other, say: s, expect: {object: {kind: Pod, name: lab-b}}}";
    let play = || Play::new(vec![unit("one", UnitKind::Exercise, "kubectl run a", &[MAKE]), unit("ch02-lab", UnitKind::Lab, "", &[lab])]);
    let mut here = play();
    here.pod("lab-a", json!({}));
    assert_eq!(here.of("other"), Waiting, "what is there is the lesson's");
    here.command_in("cat lab.txt", "/home/learner/lunches/ch02-lab");
    assert_eq!(here.of("other"), Fail, "it was begun in its directory");
    let mut after = play();
    after.pod("lab-a", json!({}));
    assert_eq!(after.of("other"), Waiting);
    after.pod("a", json!({}));
    after.judge();
    assert_eq!(after.of("other"), Fail, "the lesson is done");
    let here = Point { revision: after.revision, time: after.now };
    after.engine.rewind(here, here, Some("ch02-lab"));
    after.pod("lab-c", json!({}));
    assert_eq!(after.of("other"), Waiting, "what putting it back set in motion is no answer");
    after.command("cd ~/lunches/ch02-lab; kubectl get pods");
    after.pod("lab-d", json!({}));
    assert_eq!(after.of("other"), Fail, "it was begun on the way to its directory");
    let mut early = play();
    early.pod("lab-b", json!({}));
    assert_eq!(early.of("other"), Pass, "whoever has solved it has begun it");
}

#[test]
fn only_what_has_news_is_judged_again() {
    let other = "{id: other, say: s, expect: {all: [{object: {kind: Node, name: n}}, {saw: {matches: x}}]}}";
    let seen = "{id: seen, say: s, expect: {saw: {matches: get nodes}}}";
    let mut play = Play::new(vec![unit("one", UnitKind::Exercise, "x", &[MAKE, other, seen])]);
    play.command("kubectl get nodes");
    play.judge();
    let judged = |play: &Play, id: &str| play.engine.seen.get(id).map(|seen| seen.serial);
    let before = [judged(&play, "made"), judged(&play, "other"), judged(&play, "seen")];
    play.pod("a", json!({}));
    play.judge();
    assert_ne!(judged(&play, "made"), before[0], "a Pod is what it reads");
    assert_eq!(judged(&play, "other"), before[1], "a Pod is nothing to it");
    play.command("kubectl get nodes");
    play.pass_time(1000);
    play.judge();
    assert_eq!(judged(&play, "seen"), before[2], "it has passed for good");
    assert_ne!(judged(&play, "other"), before[1]);
}

#[test]
fn nothing_waits_for_a_drill() {
    let drill = "{id: more, say: s, optional: true, expect: {object: {kind: Pod, name: more}}}";
    let after = "{id: after, say: s, expect: {object: {kind: Pod, name: after}}}";
    let mut play = Play::new(vec![unit("one", UnitKind::Exercise, "x", &[MAKE]), unit("extra", UnitKind::Drill, "y", &[drill]), unit("two", UnitKind::Exercise, "z", &[after])]);
    play.pod("a", json!({}));
    play.judge();
    play.pod("after", json!({}));
    assert_eq!(play.of("after"), Pass, "it begins with the exercise before, not with the drill");
    assert_eq!(play.of("more"), Fail, "it can be done at any time");
    play.pod("more", json!({}));
    assert_eq!(play.of("more"), Pass);
}

#[test]
fn what_is_taken_back_is_open_again_and_old_evidence_does_not_count() {
    let mut play = two();
    play.judge();
    play.pod("a", json!({}));
    play.judge();
    let began = Point { revision: play.revision, time: play.now };
    play.command("kubectl get pods");
    assert_eq!(play.judge(), [("listed".into(), Pass), ("made".into(), Pass)]);
    play.pass_time(1000);
    let now = Point { revision: play.revision, time: play.now };
    assert_eq!(play.engine.rewind(began, now, Some("two")), ["listed"]);
    assert_eq!(play.judge(), [("listed".into(), Fail), ("made".into(), Pass)], "only what was passed since");
    play.command("kubectl get pods");
    assert_eq!(play.of("listed"), Pass);

    // An undo of all that goes further back: the second exercise waits for the first again.
    play.delete("a");
    play.pass_time(1000);
    let now = Point { revision: play.revision, time: play.now };
    assert_eq!(play.engine.rewind(Point { revision: 1, time: Timestamp::MIN }, now, None), ["made", "listed"]);
    assert_eq!(play.judge(), [("listed".into(), Waiting), ("made".into(), Fail)]);
    play.pod("a", json!({}));
    assert_eq!(play.judge(), [("listed".into(), Fail), ("made".into(), Pass)]);
    play.command("kubectl get pods");
    assert_eq!(play.of("listed"), Pass);
}

#[test]
fn an_attempt_that_failed_is_open_after_it_is_taken_back() {
    let never = "{id: kept, say: s, mode: never, expect: {gone: {kind: Pod, name: a}}}";
    let mut play = Play::new(vec![unit("lab", UnitKind::Lab, "", &[never])]);
    play.pod("a", json!({}));
    play.judge();
    let before = Point { revision: play.revision, time: play.now };
    play.delete("a");
    assert_eq!(play.of("kept"), Fail);
    play.pod("a", json!({}));
    play.pass_time(1000);
    play.engine.rewind(before, Point { revision: play.revision, time: play.now }, None);
    assert_eq!(play.of("kept"), Pass);
}

#[test]
fn what_may_not_be_seen_is_not_judged() {
    const NONE: &str = "{id: none, say: s, expect: {not: {object: {kind: Pod, name: b}}}}";
    const GONE: &str = "{id: gone, say: s, expect: {gone: {kind: Pod, name: b}}}";
    let mut play = Play::new(vec![unit("one", UnitKind::Exercise, "kubectl run a", &[NONE, GONE, MAKE])]);
    play.world.sees("Pod", false);
    assert!(play.judge().iter().all(|(_, outcome)| *outcome == Waiting));
    play.world.sees("Pod", true);
    play.pod("a", json!({}));
    assert_eq!((play.of("none"), play.of("made")), (Pass, Pass));
    play.world.sees("Pod", false);
    play.delete("a");
    play.pass_time(1000);
    assert_eq!(play.of("made"), Pass);
    assert!(!play.engine.verdict("made").unwrap().lost);
}

#[test]
fn what_was_typed_stays_typed_when_its_record_has_gone() {
    let mut play = Play::new(vec![unit("one", UnitKind::Exercise, "kubectl get pods", &[LIST])]);
    play.command("kubectl get pods");
    assert_eq!(play.of("listed"), Pass);
    play.engine = Engine::new(play.engine.plan().clone(), play.engine.progress().clone()).unwrap();
    play.world = World::default();
    assert_eq!(play.of("listed"), Pass);
    assert!(!play.engine.verdict("listed").unwrap().lost);
}

#[test]
fn a_broken_check_says_so_and_names_itself() {
    let cases = [
        ("{object: {kind: Pod}, where: metadata.labels}", "the condition `metadata.labels` comes to {\"app\":\"a(\"}, and it has to be true or false."),
        ("{object: {kind: Pod}, where: \"metadata.name > 3\"}", "the condition `metadata.name > 3` cannot be evaluated: "),
        ("{list: {kind: Pod}, where: items.size()}", "the condition `items.size()` comes to 1, and it has to be true or false."),
    ];
    for (expect, wanted) in cases {
        let mut play = Play::new(vec![unit("u", UnitKind::Exercise, "", &[&format!("{{id: c, say: s, expect: {expect}}}")])]);
        play.pod("a", json!({"app": "a("}));
        assert_eq!(play.of("c"), Outcome::Error, "{expect}");
        let said = play.engine.verdict("c").unwrap().why.clone();
        assert!(said.len() == 1 && said[0].starts_with(&format!("The check `c` itself is broken, not your work: {wanted}")), "{said:?}");
    }
    let filled = "{id: c, say: s, let: {was: {object: {kind: Pod}}}, expect: {saw: {matches: '${was.metadata.labels.app}'}}}";
    let mut play = Play::new(vec![unit("u", UnitKind::Exercise, "", &[filled])]);
    play.pod("a", json!({"app": "a("}));
    assert_eq!(play.of("c"), Outcome::Error);
    assert_eq!(play.engine.verdict("c").unwrap().why, ["The check `c` itself is broken, not your work: the pattern `a(` is no regular expression: unclosed group."]);
}
