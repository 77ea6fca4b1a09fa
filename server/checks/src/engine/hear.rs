//! Which exercise a typed command belongs to, and when that exercise began with it.

use drydock_course::check::{Check, Source};
use regex::Regex;
use serde_json::Value;

use super::Engine;
use super::lines::{line, only_looks};
use crate::plan::{Unit, UnitKind};
use crate::reads::Reads;
use crate::world::{Point, World, point_of};

impl Engine {
    /// Give typed commands to the exercises they belong to.
    pub(super) fn hear(&mut self, world: &World) {
        let since = self.progress.heard.or(self.progress.opened).unwrap_or(Point::START);
        for command in world.records_since("commands", since) {
            let point = point_of(command);
            if self.progress.heard.is_some_and(|heard| point <= heard) {
                continue;
            }
            let directory = command["spec"]["cwd"].as_str().unwrap_or_default();
            // In its directory, or on the way there.
            let mut names: Vec<&str> = directory.split('/').collect();
            names.extend(line(command).split(|char: char| !(char.is_alphanumeric() || char == '-')));
            let lab = |unit: &&Unit| unit.kind == UnitKind::Lab && names.contains(&unit.id.as_str());
            if let Some(unit) = self.plan.units.iter().find(lab).map(|lab| lab.id.clone()).or_else(|| self.begins(line(command))) {
                let anew = self.began_in_vain(&unit, point, world);
                let first = self.progress.runs.entry(unit).or_insert(point);
                *first = if anew { point } else { (*first).min(point) };
            }
            self.progress.heard = Some(point);
        }
    }

    /// The unit a typed line begins. A line that several have, as a look at the Pods, begins the first that is not done; but not when it
    /// may as well be repeated from one that is done, and not when it only looks: the window would open too early.
    fn begins(&self, typed: &str) -> Option<String> {
        let done = |unit: &&Unit| self.progress.done.contains_key(&unit.id);
        let having: Vec<&Unit> = self.plan.units.iter().filter(|unit| unit.has_line(typed)).collect();
        let first = having.iter().find(|unit| !done(unit))?;
        let certain = having.len() == 1 || !(having.iter().any(done) || only_looks(typed));
        certain.then(|| first.id.clone())
    }

    /// Whether all that was typed for an exercise before this moment failed and did nothing, as in the wrong directory: then what was
    /// there at that time says nothing about it. In doubt it has begun.
    fn began_in_vain(&self, id: &str, now: Point, world: &World) -> bool {
        let Some(unit) = self.plan.units.iter().find(|unit| unit.id == id && unit.kind != UnitKind::Lab) else { return false };
        let Some(began) = self.progress.runs.get(id).copied().filter(|began| *began < now) else { return false };
        if self.progress.done.contains_key(id) {
            return false;
        }
        let before: Vec<&Value> = world.records_since("commands", began).into_iter().filter(|command| point_of(command) < now).collect();
        let next = |place: usize| before.get(place + 1).map_or(now.revision, |command| point_of(command).revision);
        let mut tried = false;
        for (place, command) in before.iter().enumerate() {
            let typed = line(command);
            let failed = command["status"]["exitCode"].as_i64().is_some_and(|code| code != 0);
            let own = unit.has_line(typed);
            if own && failed {
                tried = true;
                if unit.checks.iter().any(|check| is_evidence(check, typed) || has_changed(check, world, point_of(command).revision, next(place))) {
                    return false;
                }
                continue;
            }
            let of_another = !own && self.plan.units.iter().any(|unit| unit.has_line(typed));
            if !only_looks(typed) && !of_another {
                return false;
            }
        }
        tried
    }
}

/// Whether a check may count a command that failed.
fn is_evidence(check: &Check, typed: &str) -> bool {
    check.expect.sources().iter().any(|(source, _)| match source {
        Source::Saw(saw) => saw.exit != Some(0) && Regex::new(&saw.matches).map_or(true, |pattern| pattern.is_match(typed)),
        Source::Stream(_) | Source::Read(_) | Source::Container(_) => true,
        _ => false,
    })
}

/// Whether something a check reads has changed after one revision and up to another.
fn has_changed(check: &Check, world: &World, after: u64, until: u64) -> bool {
    Reads::of(check).kinds().any(|kind| world.changes_since(kind, after).first().is_some_and(|change| change.revision <= until))
}
