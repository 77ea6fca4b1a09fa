//! What to do next about the Pods of a StatefulSet. Pure: nothing here speaks to the API.
// upstream: pkg/controller/statefulset/stateful_set_control.go updateStatefulSet

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::identity;
use crate::pod;

/// One thing to do.
#[derive(Debug)]
pub(super) enum Step {
    /// The Pod of this number, of the current or the new revision.
    Create { ordinal: i32, new: bool },
    /// What the Pod may have lost of what makes it the one of its number: a label, a volume or a claim.
    Mend(Arc<Pod>, i32),
    /// The claims of a Pod that is leaving, or is to leave, go with whom the set says.
    Settle(Arc<Pod>, i32),
    /// A Pod that has ended: another takes its place.
    Renew(Arc<Pod>),
    /// A Pod nobody wants any more, or of an earlier revision.
    Delete(Arc<Pod>),
}

/// A StatefulSet and its Pods at one moment.
pub(super) struct View<'a> {
    pub(super) set: &'a StatefulSet,
    pub(super) spec: &'a StatefulSetSpec,
    pub(super) pods: &'a [Arc<Pod>],
    /// The name of the revision that is being left.
    pub(super) current: &'a str,
    /// The name of the revision of the template.
    pub(super) update: &'a str,
    pub(super) now: Timestamp,
}

fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

fn runs(pod: &Pod) -> bool {
    pod::phase(pod) == "Running" && pod::is_ready(pod)
}

impl View<'_> {
    fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    /// One at a time, in order.
    fn in_order(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn rolling(&self) -> bool {
        self.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete")
    }

    /// Pods below this place stay as they are; none where nothing is said.
    fn partition(&self) -> Option<i32> {
        Some(self.spec.update_strategy.as_ref()?.rolling_update.as_ref()?.partition.unwrap_or(0))
    }

    fn ordinal(&self, pod: &Pod) -> Option<i32> {
        identity::ordinal(&self.set.name_any(), &pod.name_any())
    }

    fn is_available(&self, pod: &Pod) -> bool {
        runs(pod) && pod::is_available(pod, self.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    /// Whether nobody has to wait for the Pod.
    // upstream: isUnavailable
    fn is_well(&self, pod: &Pod) -> bool {
        self.is_available(pod) && !is_terminating(pod)
    }

    /// Whether the Pod of this number is made from the new template.
    // upstream: isCurrentRevisionNeeded
    fn is_new(&self, ordinal: i32) -> bool {
        let kept = self.partition().unwrap_or_else(|| self.set.status.as_ref().and_then(|status| status.current_replicas).unwrap_or(0));
        !self.rolling() || ordinal >= identity::start(self.spec) + kept
    }

    /// The Pods that are wanted by their place, and those that are not, the highest number first.
    fn sorted(&self) -> (Vec<Option<&Arc<Pod>>>, Vec<&Arc<Pod>>) {
        let start = identity::start(self.spec);
        let mut wanted = vec![None; usize::try_from(self.replicas()).unwrap_or(0)];
        let mut condemned = Vec::new();
        for pod in self.pods {
            let Some(ordinal) = self.ordinal(pod) else { continue };
            let place = usize::try_from(ordinal - start).ok().and_then(|place| wanted.get_mut(place));
            match place {
                Some(place) => *place = Some(pod),
                None => condemned.push((ordinal, pod)),
            }
        }
        condemned.sort_by_key(|(ordinal, _)| -ordinal);
        (wanted, condemned.into_iter().map(|(_, pod)| pod).collect())
    }
}

/// The steps of one reconcile, in order.
pub(super) fn plan(view: &View<'_>) -> Vec<Step> {
    let (wanted, condemned) = view.sorted();
    let mut steps = Vec::new();
    let done = fill(view, &wanted, &mut steps) && shrink(view, &wanted, &condemned, &mut steps);
    if done && view.rolling() {
        steps.extend(roll(view, &wanted));
    }
    steps
}

/// A Pod for each number; false when something has to be waited for.
// upstream: processReplica
fn fill(view: &View<'_>, wanted: &[Option<&Arc<Pod>>], steps: &mut Vec<Step>) -> bool {
    let mut done = true;
    for (place, pod) in wanted.iter().enumerate() {
        let ordinal = identity::start(view.spec) + i32::try_from(place).unwrap_or(i32::MAX);
        let Some(pod) = pod else {
            steps.push(Step::Create { ordinal, new: view.is_new(ordinal) });
            if view.in_order() {
                return false;
            }
            continue;
        };
        if pod::is_finished(pod) {
            if !is_terminating(pod) {
                steps.push(Step::Renew(Arc::clone(pod)));
            }
            // Another one comes when this one is gone.
            done = false;
        } else if view.in_order() && !view.is_well(pod) {
            // What it waits for may be a claim that somebody removed.
            if pod::phase(pod) == "Pending" {
                steps.push(Step::Mend(Arc::clone(pod), ordinal));
            }
            return false;
        } else if is_terminating(pod) {
            steps.push(Step::Settle(Arc::clone(pod), ordinal));
        } else {
            steps.push(Step::Mend(Arc::clone(pod), ordinal));
        }
        if !done && view.in_order() {
            return false;
        }
    }
    done
}

/// No Pod of a higher number; false when something has to be waited for.
// upstream: processCondemned
fn shrink(view: &View<'_>, wanted: &[Option<&Arc<Pod>>], condemned: &[&Arc<Pod>], steps: &mut Vec<Step>) -> bool {
    let unhealthy = wanted.iter().flatten().copied().chain(condemned.iter().rev().copied()).find(|pod| !view.is_well(pod));
    steps.extend(condemned.iter().filter_map(|pod| Some(Step::Settle(Arc::clone(pod), view.ordinal(pod)?))));
    let mut done = true;
    for pod in condemned {
        if is_terminating(pod) {
            if view.in_order() {
                return false;
            }
            continue;
        }
        let first = unhealthy.is_some_and(|unhealthy| unhealthy.name_any() == pod.name_any());
        if view.in_order() && !view.is_available(pod) && !first {
            return false;
        }
        steps.push(Step::Delete(Arc::clone(pod)));
        if view.in_order() {
            return false;
        }
        done = false;
    }
    done
}

/// The highest number that is of an earlier revision goes, when all above it are there and well.
fn roll(view: &View<'_>, wanted: &[Option<&Arc<Pod>>]) -> Option<Step> {
    let least = usize::try_from(view.partition().unwrap_or(0)).unwrap_or(0);
    for pod in wanted.iter().skip(least).rev() {
        // One that is only just being made is waited for, too.
        let pod = (*pod)?;
        if identity::revision(pod) != view.update && !is_terminating(pod) {
            return Some(Step::Delete(Arc::clone(pod)));
        }
        if !view.is_well(pod) {
            return None;
        }
    }
    None
}

/// How many there are of each sort.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) replicas: i32,
    pub(super) ready: i32,
    pub(super) available: i32,
    pub(super) current: i32,
    pub(super) updated: i32,
}

// upstream: updateStatus
pub(super) fn count(view: &View<'_>) -> Counts {
    let mut counts = Counts::default();
    for pod in view.pods {
        counts.replicas += 1;
        counts.ready += i32::from(runs(pod));
        counts.available += i32::from(view.is_available(pod));
        if !is_terminating(pod) {
            counts.current += i32::from(identity::revision(pod) == view.current);
            counts.updated += i32::from(identity::revision(pod) == view.update);
        }
    }
    counts
}

/// Whether all Pods are of the new revision, so that it is the current one.
// upstream: completeRollingUpdate
pub(super) fn is_complete(view: &View<'_>, counts: &Counts) -> bool {
    view.rolling() && [counts.updated, counts.ready, counts.replicas] == [view.replicas(); 3]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::stateful_set::identity::REVISION_LABEL;

    /// `NUMBER REVISION STATE`: states are `ready`, `waits`, `Failed`, `leaves` and `fresh`, which is ready since a moment.
    fn pod(text: &str) -> Arc<Pod> {
        let parts: Vec<&str> = text.split(' ').collect();
        let (phase, ready) = match parts[2] {
            "ready" | "leaves" | "fresh" => ("Running", "True"),
            "waits" => ("Pending", "False"),
            phase => (phase, "False"),
        };
        let since = if parts[2] == "fresh" { "2026-01-01T00:00:09Z" } else { "2026-01-01T00:00:00Z" };
        let mut object = json!({
            "metadata": {"name": format!("web-{}", parts[0]), "labels": {REVISION_LABEL: parts[1]}},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": since}]},
        });
        if parts[2] == "leaves" {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        Arc::new(serde_json::from_value(object).expect("a Pod"))
    }

    fn set(extra: &Value) -> StatefulSet {
        let mut object = json!({
            "metadata": {"name": "web"},
            "spec": {"serviceName": "web", "replicas": 3, "selector": {}, "template": {}, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}},
            "status": {"replicas": 3},
        });
        for (field, value) in extra.as_object().into_iter().flatten() {
            object["spec"][field] = value.clone();
        }
        serde_json::from_value(object).expect("a StatefulSet")
    }

    fn said(pods: &[&str], extra: &Value) -> Vec<String> {
        let (set, pods) = (set(extra), pods.iter().map(|text| pod(text)).collect::<Vec<_>>());
        let spec = set.spec.as_ref().expect("a spec");
        let now = "2026-01-01T00:00:10Z".parse().expect("a time");
        let steps = plan(&View { set: &set, spec, pods: &pods, current: "old", update: "new", now });
        let text = |step: &Step| match step {
            Step::Create { ordinal, new } => Some(format!("+{ordinal}{}", if *new { "" } else { " old" })),
            Step::Renew(pod) => Some(format!("!{}", pod.name_any())),
            Step::Delete(pod) => Some(format!("-{}", pod.name_any())),
            // A look that all is right.
            Step::Mend(..) | Step::Settle(..) => None,
        };
        steps.iter().filter_map(text).collect()
    }

    #[test]
    fn pods_come_and_go_in_order() {
        let plain = json!({});
        let parallel = json!({"podManagementPolicy": "Parallel"});
        let two = json!({"replicas": 2, "ordinals": {"start": 5}});
        for (name, pods, extra, wanted) in [
            ("the first", &[][..], &plain, &["+0"][..]),
            ("the second waits for the first", &["0 new waits"], &plain, &[]),
            ("the second", &["0 new ready"], &plain, &["+1"]),
            ("a gap is filled before what comes after", &["0 new ready", "2 new ready"], &plain, &["+1"]),
            ("not while one before it is not ready", &["0 new waits", "2 new ready"], &plain, &[]),
            ("nor while one leaves", &["0 new ready", "1 new leaves", "2 new ready"], &plain, &[]),
            ("one that failed is made anew", &["0 new Failed", "1 new ready"], &plain, &["!web-0"]),
            ("all there", &["0 new ready", "1 new ready", "2 new ready"], &plain, &[]),
            ("the highest goes first", &["0 new ready", "1 new ready", "2 new ready", "3 new ready", "4 new ready"], &plain, &["-web-4"]),
            ("one at a time", &["0 new ready", "1 new ready", "2 new ready", "3 new ready", "4 new leaves"], &plain, &[]),
            ("one that is not ready stops it", &["0 new ready", "1 new ready", "2 new ready", "3 new waits", "4 new waits"], &plain, &[]),
            ("unless it is the only one", &["0 new ready", "1 new ready", "2 new ready", "3 new ready", "4 new waits"], &plain, &["-web-4"]),
            ("also while it is ready since a moment", &["0 new ready", "1 new ready", "2 new ready", "3 new fresh"], &json!({"minReadySeconds": 5}), &["-web-3"]),
            ("all at once", &[], &parallel, &["+0", "+1", "+2"]),
            ("and all others away", &["0 new waits", "1 new ready", "2 new ready", "3 new waits", "4 new ready"], &parallel, &["-web-4", "-web-3"]),
            ("other numbers", &[], &two, &["+5"]),
            ("and those below them go", &["5 new ready", "6 new ready", "0 new ready"], &two, &["-web-0"]),
            ("not ready for long enough", &["0 new fresh"], &json!({"minReadySeconds": 5}), &[]),
            ("a name of somebody else", &["0 new ready", "1 new ready", "2 new ready", "x new ready"], &plain, &[]),
        ] {
            assert_eq!(said(pods, extra), wanted, "{name}");
        }
    }

    #[test]
    fn updates_go_from_the_last_to_the_first() {
        let partition = |number: i32| json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": number}}});
        let parallel = |seconds: i32| json!({"podManagementPolicy": "Parallel", "minReadySeconds": seconds});
        let old = &["0 old ready", "1 old ready", "2 old ready"][..];
        for (name, pods, extra, wanted) in [
            ("the last one", old, partition(0), &["-web-2"][..]),
            ("it is gone", &["0 old ready", "1 old ready"], partition(0), &["+2"]),
            ("the next waits for it", &["0 old ready", "1 old ready", "2 new waits"], partition(0), &[]),
            ("then the next", &["0 old ready", "1 old ready", "2 new ready"], partition(0), &["-web-1"]),
            ("down to the partition", &["0 old ready", "1 old ready", "2 new ready"], partition(2), &[]),
            ("below it Pods come back as they were", &["0 old ready", "2 new ready"], partition(2), &["+1 old"]),
            ("nobody asks", old, json!({"updateStrategy": {"type": "OnDelete"}}), &[]),
            ("but whoever is deleted comes back new", &["0 old ready", "1 old ready"], json!({"updateStrategy": {"type": "OnDelete"}}), &["+2"]),
            ("done", &["0 new ready", "1 new ready", "2 new ready"], partition(0), &[]),
            ("all at once, but only one is replaced", &["0 old ready", "1 old ready"], parallel(0), &["+2"]),
            ("not while that one leaves", &["0 old ready", "1 old ready", "2 old leaves"], parallel(0), &[]),
            ("nor while it starts", &["0 old ready", "1 old ready", "2 new waits"], parallel(0), &[]),
            ("nor before it was ready for long enough", &["0 old ready", "1 old ready", "2 new fresh"], parallel(5), &[]),
            ("then the next", &["0 old ready", "1 old ready", "2 new ready"], parallel(5), &["-web-1"]),
        ] {
            assert_eq!(said(pods, &extra), wanted, "{name}");
        }
    }

    #[test]
    fn pods_are_counted() {
        let set = set(&json!({}));
        let pods: Vec<_> = ["0 old ready", "1 new waits", "2 new leaves"].map(pod).into();
        let now = "2026-01-01T00:00:10Z".parse().expect("a time");
        let view = View { set: &set, spec: set.spec.as_ref().expect("a spec"), pods: &pods, current: "old", update: "new", now };
        let counts = count(&view);
        assert_eq!(counts, Counts { replicas: 3, ready: 2, available: 2, current: 1, updated: 1 });
        assert!(!is_complete(&view, &counts));
        assert!(is_complete(&view, &Counts { replicas: 3, ready: 3, available: 3, current: 0, updated: 3 }));
    }
}
