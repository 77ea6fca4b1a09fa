//! Status and conditions: what `kubectl rollout status` and `kubectl wait` look at.
// upstream: pkg/controller/deployment/progress.go, sync.go calculateStatus

use std::time::Duration;

use drydock_primitives::clock::after;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::{Rollout, Sets, available, scaling};
use crate::condition::{FALSE, TRUE, UNKNOWN};
use crate::error::Result;

pub(super) const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const DONE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// What a condition is to say.
pub(super) struct Note {
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// A condition of the Deployment.
pub(super) fn find<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Sets a condition; one that says the same for the same reason stays untouched.
// upstream: deployment_util.go SetDeploymentCondition
pub(super) fn set(status: &mut DeploymentStatus, kind: &str, note: Note, now: Timestamp) {
    let current = find(status, kind);
    if current.is_some_and(|current| current.status == note.status && current.reason.as_deref() == Some(note.reason)) {
        return;
    }
    let same_status = current.filter(|current| current.status == note.status);
    let transition = same_status.and_then(|current| current.last_transition_time.clone()).unwrap_or(Time(now));
    let condition = DeploymentCondition {
        type_: kind.to_owned(),
        status: note.status.to_owned(),
        reason: Some(note.reason.to_owned()),
        message: Some(note.message),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(transition),
    };
    remove(status, kind);
    status.conditions.get_or_insert_default().push(condition);
}

fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
    }
}

/// Whether every Pod is of the current version and available.
// upstream: deployment_util.go DeploymentComplete
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = Some(deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1));
    let or_zero = |count: Option<i32>| Some(count.unwrap_or(0));
    or_zero(status.updated_replicas) == wanted
        && or_zero(status.replicas) == wanted
        && or_zero(status.available_replicas) == wanted
        && status.observed_generation.unwrap_or(0) >= deployment.metadata.generation.unwrap_or(0)
}

fn is_progressing(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let number = |count: Option<i32>| count.unwrap_or(0);
    let stale = |status: &DeploymentStatus| number(status.replicas) - number(status.updated_replicas);
    number(new.updated_replicas) > number(old.updated_replicas)
        || stale(new) < stale(old)
        || number(new.ready_replicas) > number(old.ready_replicas)
        || number(new.available_replicas) > number(old.available_replicas)
}

impl Rollout {
    /// Says in the conditions that the rollout is paused or goes on again.
    // upstream: sync.go checkPausedConditions
    pub(super) async fn check_paused(&mut self) -> Result<()> {
        if self.spec.progress_deadline_seconds.is_none() {
            return Ok(());
        }
        let mut status = self.status();
        let reason = find(&status, PROGRESSING).and_then(|condition| condition.reason.clone());
        let paused = self.spec.paused == Some(true);
        let note = match reason.as_deref() {
            Some(TIMED_OUT) => return Ok(()),
            Some(PAUSED) if !paused => Note { status: UNKNOWN, reason: "DeploymentResumed", message: "Deployment is resumed".into() },
            Some(PAUSED) => return Ok(()),
            _ if paused => Note { status: UNKNOWN, reason: PAUSED, message: "Deployment is paused".into() },
            _ => return Ok(()),
        };
        set(&mut status, PROGRESSING, note, self.controller.clock.now());
        self.put_status(status).await
    }

    /// The status without judging progress.
    pub(super) async fn write_status(&mut self, sets: &Sets) -> Result<()> {
        let status = self.calculate(sets);
        if status == self.status() { Ok(()) } else { self.put_status(status).await }
    }

    /// The status with progress judged; answers when the deadline is to be looked at again.
    // upstream: progress.go syncRolloutStatus
    pub(super) async fn write_rollout_status(&mut self, sets: &Sets) -> Result<Option<Duration>> {
        let old = self.status();
        let mut status = self.calculate(sets);
        let now = self.controller.clock.now();
        match self.spec.progress_deadline_seconds {
            None => remove(&mut status, PROGRESSING),
            Some(deadline) => {
                let current = find(&old, PROGRESSING).cloned();
                let finished = status.replicas == status.updated_replicas && current.as_ref().and_then(|current| current.reason.as_deref()) == Some(DONE);
                if !finished {
                    self.judge(&mut status, &old, sets.new.as_ref(), deadline);
                }
            }
        }
        match sets.all().iter().rev().find_map(|set| failure(set)) {
            Some(note) => set_owned(&mut status, note, now),
            None => remove(&mut status, REPLICA_FAILURE),
        }
        if status != old {
            self.put_status(status).await?;
        }
        Ok(self.next_look())
    }

    fn judge(&self, status: &mut DeploymentStatus, old: &DeploymentStatus, new: Option<&ReplicaSet>, deadline: i32) {
        let now = self.controller.clock.now();
        let subject = new.map_or_else(|| format!("Deployment {:?}", self.name()), |new| format!("ReplicaSet {:?}", new.name_any()));
        if is_complete(&self.object, status) {
            let message = format!("{subject} has successfully progressed.");
            set(status, PROGRESSING, Note { status: TRUE, reason: DONE, message }, now);
        } else if is_progressing(old, status) {
            // Each step counts as an update, also when status and reason stay, so that the deadline starts again.
            let since = find(old, PROGRESSING).filter(|current| current.status == TRUE).and_then(|current| current.last_transition_time.clone());
            remove(status, PROGRESSING);
            let message = format!("{subject} is progressing.");
            set(status, PROGRESSING, Note { status: TRUE, reason: "ReplicaSetUpdated", message }, now);
            if let Some(condition) = status.conditions.iter_mut().flatten().find(|condition| condition.type_ == PROGRESSING) {
                condition.last_transition_time = since.or_else(|| condition.last_transition_time.take());
            }
        } else if deadline_passed(old, deadline, now) {
            let message = format!("{subject} has timed out progressing.");
            set(status, PROGRESSING, Note { status: FALSE, reason: TIMED_OUT, message }, now);
        }
    }

    /// When the deadline comes, if a rollout is under way.
    // upstream: progress.go requeueStuckDeployment
    fn next_look(&self) -> Option<Duration> {
        let deadline = self.spec.progress_deadline_seconds?;
        let status = self.status();
        let current = find(&status, PROGRESSING)?;
        if is_complete(&self.object, &status) || current.reason.as_deref() == Some(TIMED_OUT) {
            return None;
        }
        let due = after(current.last_update_time.as_ref()?.0, seconds(deadline) + Duration::from_secs(1));
        Some(Duration::try_from(due.duration_since(self.controller.clock.now())).unwrap_or(Duration::from_secs(1)))
    }

    fn calculate(&self, sets: &Sets) -> DeploymentStatus {
        let all = sets.all();
        let sum = |count: &dyn Fn(&ReplicaSet) -> i32| all.iter().map(|set| count(set)).sum::<i32>();
        let set_status = |set: &ReplicaSet| set.status.clone().unwrap_or_default();
        let replicas = sum(&|set| set_status(set).replicas);
        let available = sum(&available);
        let positive = |count: i32| Some(count).filter(|count| *count > 0);
        let old = self.status();
        let mut status = DeploymentStatus {
            observed_generation: self.object.metadata.generation,
            replicas: positive(replicas),
            updated_replicas: positive(sets.new.as_ref().map_or(0, |new| set_status(new).replicas)),
            ready_replicas: positive(sum(&|set| set_status(set).ready_replicas.unwrap_or(0))),
            available_replicas: positive(available),
            unavailable_replicas: positive(replicas - available),
            terminating_replicas: Some(sum(&|set| set_status(set).terminating_replicas.unwrap_or(0))),
            collision_count: old.collision_count,
            conditions: old.conditions,
        };
        let note = if available >= self.replicas() - scaling::max_unavailable(&self.object) {
            Note { status: TRUE, reason: "MinimumReplicasAvailable", message: "Deployment has minimum availability.".into() }
        } else {
            Note { status: FALSE, reason: "MinimumReplicasUnavailable", message: "Deployment does not have minimum availability.".into() }
        };
        set(&mut status, AVAILABLE, note, self.controller.clock.now());
        status
    }
}

// upstream: deployment_util.go DeploymentTimedOut
fn deadline_passed(old: &DeploymentStatus, deadline: i32, now: Timestamp) -> bool {
    let Some(current) = find(old, PROGRESSING) else { return false };
    match current.reason.as_deref() {
        Some(DONE) => return false,
        Some(TIMED_OUT) => return true,
        _ => {}
    }
    current.last_update_time.as_ref().is_some_and(|time| after(time.0, seconds(deadline)) < now)
}

fn seconds(count: i32) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

fn failure(set: &ReplicaSet) -> Option<DeploymentCondition> {
    let conditions = set.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|condition| condition.type_ == REPLICA_FAILURE)?;
    Some(DeploymentCondition {
        type_: found.type_.clone(),
        status: found.status.clone(),
        reason: found.reason.clone(),
        message: found.message.clone(),
        last_transition_time: found.last_transition_time.clone(),
        last_update_time: found.last_transition_time.clone(),
    })
}

fn set_owned(status: &mut DeploymentStatus, condition: DeploymentCondition, now: Timestamp) {
    let current = find(status, &condition.type_);
    if current.is_some_and(|current| current.status == condition.status && current.reason == condition.reason) {
        return;
    }
    remove(status, &condition.type_);
    let condition = DeploymentCondition { last_update_time: condition.last_update_time.or(Some(Time(now))), ..condition };
    status.conditions.get_or_insert_default().push(condition);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + seconds).expect("a time")
    }

    #[test]
    fn conditions_change_only_with_status_or_reason() {
        let note = |status, reason| Note { status, reason, message: String::new() };
        let mut status = DeploymentStatus::default();
        set(&mut status, PROGRESSING, note(TRUE, "NewReplicaSetCreated"), at(0));
        set(&mut status, PROGRESSING, note(TRUE, "NewReplicaSetCreated"), at(1));
        let times = |status: &DeploymentStatus| {
            let found = find(status, PROGRESSING).expect("a condition");
            [found.last_transition_time.clone(), found.last_update_time.clone()].map(|time| time.map(|time| time.0))
        };
        assert_eq!(times(&status), [Some(at(0)), Some(at(0))]);
        set(&mut status, PROGRESSING, note(TRUE, DONE), at(2));
        assert_eq!(times(&status), [Some(at(0)), Some(at(2))], "another reason is an update, not a transition");
        set(&mut status, PROGRESSING, note(FALSE, TIMED_OUT), at(3));
        assert_eq!(times(&status), [Some(at(3)), Some(at(3))]);
    }

    #[test]
    fn the_deadline_counts_from_the_last_step() {
        for (name, reason, now, expected) in [
            ("under way", "ReplicaSetUpdated", 10, false),
            ("too long", "ReplicaSetUpdated", 61, true),
            ("done", DONE, 1000, false),
            ("late already", TIMED_OUT, 1, true),
        ] {
            let condition = json!({"type": PROGRESSING, "status": "True", "reason": reason, "lastUpdateTime": at(0)});
            let status: DeploymentStatus = serde_json::from_value(json!({"conditions": [condition]})).expect("a status");
            assert_eq!(deadline_passed(&status, 60, at(now)), expected, "{name}");
        }
    }
}
