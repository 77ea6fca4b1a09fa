//! Windows: since when evidence counts for a unit, and whether it has begun.

use super::Engine;
use crate::plan::{Plan, Unit, UnitKind};
use crate::world::Point;

impl Engine {
    /// Since when evidence counts for a unit; `None` while nothing says so.
    pub(super) fn baseline(&self, plan: &Plan, place: usize) -> Option<Point> {
        let opened = self.progress.opened?;
        let unit = &plan.units[place];
        let run = self.progress.runs.get(&unit.id).copied();
        let floor = self.progress.floors.get(&unit.id).copied().unwrap_or(Point::START);
        if unit.kind == UnitKind::Lab {
            return Some(run.unwrap_or(opened).max(floor));
        }
        let before = plan.units[..place].iter().rev().find(|unit| unit.kind == UnitKind::Exercise && !unit.checks.is_empty());
        let ready = match before {
            Some(before) => self.progress.done.get(&before.id).copied(),
            None => Some(opened),
        };
        Some([ready, run].into_iter().flatten().min()?.max(floor))
    }

    /// Whether requests are made for a unit: a lab is left alone until it was started or the lesson is done.
    pub(super) fn is_begun(&self, plan: &Plan, unit: &Unit) -> bool {
        let done = |unit: &Unit| self.progress.done.contains_key(&unit.id);
        let mut lesson = plan.units.iter().filter(|unit| unit.kind == UnitKind::Exercise && !unit.checks.is_empty());
        unit.kind != UnitKind::Lab || self.progress.runs.contains_key(&unit.id) || lesson.all(done)
    }

    /// Whether what is not so may be called wrong. Of a lab: it was begun, or the lesson is done and nothing was run since, as a drill, of
    /// which it would be; and what putting it back set in motion is no answer to it.
    pub(super) fn is_tried(&self, plan: &Plan, unit: &Unit) -> bool {
        if unit.kind != UnitKind::Lab || self.progress.runs.contains_key(&unit.id) {
            return true;
        }
        let lesson = plan.units.iter().filter(|unit| unit.kind == UnitKind::Exercise && !unit.checks.is_empty());
        let Some(done) = lesson.map(|unit| self.progress.done.get(&unit.id).copied()).collect::<Option<Vec<Point>>>() else { return false };
        let since = done.into_iter().max();
        !self.progress.floors.contains_key(&unit.id) && !self.progress.runs.values().any(|run| Some(*run) > since)
    }
}
