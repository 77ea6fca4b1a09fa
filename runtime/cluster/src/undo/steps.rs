//! Which step an undo takes back: the last command that changed something and has not been undone. A function of the evidence.
//!
//! Every command that starts is an undo point: its record holds the revision and the files at that moment. What somebody did without a
//! terminal (kubectl on the host, say) counts as a step of its own. Points are ordered by time; a restore to a point takes back all that
//! lies between it and the restore.

use drydock_store::Revision;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// A write of the learner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) revision: Revision,
    pub(super) time: Timestamp,
}

/// What an undo takes back, and the point it goes to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) time: Timestamp,
    pub(super) revision: Revision,
    /// The files at that moment, if they are known.
    pub(super) files: Option<u64>,
    /// The record of the command, if one was typed.
    pub(super) command: Option<Value>,
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// A command with what is needed of it.
struct Typed<'a> {
    record: &'a Value,
    start: Timestamp,
    end: Option<Timestamp>,
    revision: Revision,
}

impl<'a> Typed<'a> {
    fn of(record: &'a Value) -> Option<Typed<'a>> {
        let status = &record["status"];
        let revision = record["metadata"]["resourceVersion"].as_str()?.parse().ok()?;
        Some(Typed { record, start: time(&status["startTime"])?, end: time(&status["endTime"]), revision: Revision(revision) })
    }

    fn covers(&self, at: Timestamp) -> bool {
        self.start <= at && self.end.is_none_or(|end| at <= end)
    }
}

/// The step to take back: `commands` and `restorations` are records, `writes` the learner's, each oldest first; `differ` compares files.
pub(super) fn last(commands: &[Value], restorations: &[Value], writes: &[Write], differ: impl Fn(u64, u64) -> bool) -> Option<Step> {
    let mut undone = Vec::new();
    let mut begin = Timestamp::MIN;
    for restoration in restorations {
        let (Some(at), to) = (time(&restoration["metadata"]["creationTimestamp"]), time(&restoration["spec"]["time"])) else { continue };
        match (restoration["spec"]["action"].as_str(), to) {
            (Some("reset"), _) => begin = begin.max(at),
            (Some("undo" | "restore"), Some(to)) => undone.push((to, at)),
            _ => {}
        }
    }
    let counts = |at: Timestamp| at > begin && !undone.iter().any(|(to, until)| *to <= at && at <= *until);
    let commands: Vec<Typed<'_>> = commands.iter().filter_map(Typed::of).collect();
    let writes: Vec<Write> = writes.iter().copied().filter(|write| counts(write.time)).collect();
    let changed = |command: &Typed<'_>| {
        let files = || Some(differ(command.record["spec"]["files"].as_u64()?, command.record["status"]["files"].as_u64()?));
        writes.iter().any(|write| write.revision > command.revision && command.covers(write.time)) || files() == Some(true)
    };
    let typed = commands.iter().rev().find(|command| counts(command.start) && changed(command));
    let loose = writes.iter().rev().find(|write| !commands.iter().any(|command| command.covers(write.time)));
    match (typed, loose) {
        (Some(command), loose) if loose.is_none_or(|write| write.time < command.start) => Some(Step {
            time: command.start,
            revision: command.revision,
            files: command.record["spec"]["files"].as_u64(),
            command: Some(command.record.clone()),
        }),
        (_, Some(write)) => {
            let revision = Revision(write.revision.0 - 1);
            Some(Step { time: write.time - SignedDuration::from_nanos(1), revision, files: None, command: None })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(second: u64) -> String {
        format!("2026-01-01T00:00:{second:02}Z")
    }

    fn command(name: &str, revision: u64, start: u64, end: u64, files: (u64, u64)) -> Value {
        json!({"metadata": {"name": name, "resourceVersion": revision.to_string()}, "spec": {"files": files.0},
            "status": {"startTime": at(start), "endTime": at(end), "files": files.1}})
    }

    fn restoration(action: &str, to: u64, when: u64) -> Value {
        json!({"metadata": {"creationTimestamp": at(when)}, "spec": {"action": action, "time": at(to)}})
    }

    fn write(revision: u64, second: u64) -> Write {
        Write { revision: Revision(revision), time: at(second).parse().unwrap() }
    }

    #[test]
    fn the_last_step_that_counts_is_found() {
        let commands = [
            command("create", 10, 10, 12, (1, 1)),
            command("look", 12, 14, 15, (1, 1)),
            command("edit", 12, 20, 22, (1, 2)),
            command("apply", 13, 30, 32, (2, 2)),
            command("watch", 15, 40, 41, (2, 2)),
        ];
        let writes = [write(11, 11), write(14, 31)];
        let undo = |to, when| restoration("undo", to, when);
        let cases: [(&str, Vec<Value>, Vec<Write>, Option<(&str, u64)>); 8] = [
            ("the newest that changed something", vec![], writes.into(), Some(("apply", 13))),
            ("files count too", vec![undo(30, 50)], writes.into(), Some(("edit", 12))),
            ("looking does not", vec![undo(30, 50), undo(20, 51)], writes.into(), Some(("create", 10))),
            ("all is undone", vec![undo(30, 50), undo(20, 51), undo(10, 52)], writes.into(), None),
            ("what was done after an undo comes first", vec![undo(30, 35)], vec![writes[0], writes[1], write(20, 40)], Some(("watch", 15))),
            ("without a terminal", vec![], vec![writes[0], writes[1], write(30, 50)], Some(("", 29))),
            ("a restore takes back all since", vec![restoration("restore", 13, 50)], writes.into(), Some(("create", 10))),
            ("a reset is the beginning", vec![restoration("reset", 0, 50)], writes.into(), None),
        ];
        for (case, restorations, writes, wanted) in cases {
            let found = last(&commands, &restorations, &writes, |before, after| before != after);
            let found = found.map(|step| (step.command.map_or(String::new(), |record| record["metadata"]["name"].as_str().unwrap().to_owned()), step.revision.0));
            assert_eq!(found, wanted.map(|(name, revision)| (name.to_owned(), revision)), "{case}");
        }
    }
}
