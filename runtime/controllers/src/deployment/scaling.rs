//! Sizes: how large each ReplicaSet may be, and changing it.
// upstream: pkg/controller/deployment/sync.go scale, util/deployment_util.go

use std::collections::BTreeMap;

use drydock_primitives::int_or_string::{IntOrString, Round};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString as ApiIntOrString;
use kube::ResourceExt;
use kube::api::PostParams;

use super::{Rollout, Sets, available, desired, is_recreate};
use crate::error::Result;
use crate::recorder::Kind;
use crate::shared::MANAGER;

pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAXIMUM: &str = "deployment.kubernetes.io/max-replicas";

/// A number that a ReplicaSet carries in an annotation.
pub(super) fn annotation(set: &ReplicaSet, key: &str) -> Option<i32> {
    set.metadata.annotations.as_ref()?.get(key)?.parse().ok()
}

/// How many Pods a rolling update may have too many and too few.
// upstream: deployment_util.go ResolveFenceposts
fn fenceposts(deployment: &Deployment) -> (i32, i32) {
    let spec = deployment.spec.as_ref();
    let rolling = spec.and_then(|spec| spec.strategy.as_ref()).and_then(|strategy| strategy.rolling_update.as_ref());
    let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let resolve = |value: Option<&ApiIntOrString>, round| {
        let value = match value {
            None => IntOrString::String("25%".into()),
            Some(ApiIntOrString::Int(number)) => IntOrString::Int(*number),
            Some(ApiIntOrString::String(text)) => IntOrString::String(text.clone()),
        };
        // Validation has refused anything that cannot be resolved.
        value.scaled(replicas, round).unwrap_or(0).max(0)
    };
    let surge = resolve(rolling.and_then(|rolling| rolling.max_surge.as_ref()), Round::Up);
    let unavailable = resolve(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), Round::Down);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// How many Pods there may be too many.
pub(super) fn max_surge(deployment: &Deployment) -> i32 {
    if is_recreate(deployment) { 0 } else { fenceposts(deployment).0 }
}

/// How many Pods may be missing.
pub(super) fn max_unavailable(deployment: &Deployment) -> i32 {
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    if is_recreate(deployment) || replicas == 0 { 0 } else { fenceposts(deployment).1.min(replicas) }
}

impl Rollout {
    pub(super) fn new_replicas(&self, size: i32, current: i32) -> i32 {
        new_replicas(&self.object, size, current)
    }

    pub(super) fn annotate_size(&self, annotations: &mut BTreeMap<String, String>) {
        annotations.insert(DESIRED.into(), self.replicas().to_string());
        annotations.insert(MAXIMUM.into(), (self.replicas() + max_surge(&self.object)).to_string());
    }

    /// Scales one ReplicaSet and says so; answers with it as it is then.
    pub(super) async fn scale_set(&self, set: &ReplicaSet, size: i32) -> Result<ReplicaSet> {
        let before = desired(set);
        let mut changed = set.clone();
        self.annotate_size(changed.metadata.annotations.get_or_insert_default());
        changed.spec.get_or_insert_default().replicas = Some(size);
        if changed == *set {
            return Ok(changed);
        }
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let written = self.sets_api().replace(&set.name_any(), &params, &changed).await?;
        self.controller.caches.replica_sets.reached(&written).await;
        if before != size {
            let direction = if before < size { "up" } else { "down" };
            let message = format!("Scaled {direction} replica set {} from {before} to {size}", set.name_any());
            self.event(Kind::Normal, "ScalingReplicaSet", message);
        }
        Ok(written)
    }

    /// Brings the sizes to the Deployment's number without moving between versions.
    pub(super) async fn scale(&self, sets: &mut Sets) -> Result<()> {
        let active: Vec<&ReplicaSet> = sets.all().into_iter().filter(|set| desired(set) > 0).collect();
        let only = match active[..] {
            [] => sets.new.as_ref().or_else(|| sets.old.iter().max_by_key(|set| created(set))),
            [one] => Some(one),
            _ => None,
        };
        if let Some(only) = only.cloned() {
            let scaled = self.scale_set(&only, self.replicas()).await?;
            replace(sets, scaled);
            return Ok(());
        }
        if active.is_empty() {
            return Ok(());
        }
        let plan = if sets.new.as_ref().is_some_and(|new| self.is_saturated(new)) {
            sets.old.iter().filter(|set| desired(set) > 0).map(|set| (set.clone(), 0)).collect()
        } else if is_recreate(&self.object) {
            Vec::new()
        } else {
            proportions(&self.object, &active)
        };
        for (set, size) in plan {
            let scaled = self.scale_set(&set, size).await?;
            replace(sets, scaled);
        }
        Ok(())
    }

    fn is_saturated(&self, new: &ReplicaSet) -> bool {
        let wanted = self.replicas();
        desired(new) == wanted && annotation(new, DESIRED) == Some(wanted) && available(new) == wanted
    }
}

fn replicas(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// How large the new ReplicaSet may become now, of `size`, when all together have `current`.
// upstream: deployment_util.go NewRSNewReplicas
fn new_replicas(deployment: &Deployment, size: i32, current: i32) -> i32 {
    let wanted = replicas(deployment);
    if is_recreate(deployment) {
        return wanted;
    }
    let most = wanted + max_surge(deployment);
    if current >= most { size } else { size + (most - current).min(wanted - size) }
}

/// In the middle of a rollout, each ReplicaSet gets its share of the difference, the largest first.
fn proportions(deployment: &Deployment, active: &[&ReplicaSet]) -> Vec<(ReplicaSet, i32)> {
    let total: i32 = active.iter().map(|set| desired(set)).sum();
    let allowed = if replicas(deployment) > 0 { replicas(deployment) + max_surge(deployment) } else { 0 };
    let difference = allowed - total;
    let mut sorted = active.to_vec();
    sorted.sort_by_key(|set| created(set));
    if difference > 0 {
        sorted.reverse();
    }
    sorted.sort_by_key(|set| -desired(set));
    let mut added = 0;
    let mut plan = Vec::new();
    for set in sorted {
        let share = proportion(deployment, set, difference, added);
        added += share;
        plan.push((set.clone(), desired(set) + share));
    }
    if let Some((_, size)) = plan.first_mut() {
        *size = (*size + difference - added).max(0);
    }
    plan
}

// upstream: deployment_util.go GetReplicaSetProportion
fn proportion(deployment: &Deployment, set: &ReplicaSet, difference: i32, added: i32) -> i32 {
    let size = desired(set);
    if size == 0 || difference == 0 || difference == added {
        return 0;
    }
    let fraction = if replicas(deployment) == 0 {
        -size
    } else {
        let most = f64::from(replicas(deployment) + max_surge(deployment));
        let reported = deployment.status.as_ref().and_then(|status| status.replicas);
        let known = annotation(set, MAXIMUM).or(reported).filter(|known| *known > 0);
        known.map_or(0, |known| (f64::from(size) * most / f64::from(known)).round() as i32 - size)
    };
    let allowed = difference - added;
    if difference > 0 { fraction.min(allowed) } else { fraction.max(allowed) }
}

fn created(set: &ReplicaSet) -> Option<jiff::Timestamp> {
    set.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn replace(sets: &mut Sets, scaled: ReplicaSet) {
    let slot = sets.new.iter_mut().chain(&mut sets.old).find(|set| set.metadata.uid == scaled.metadata.uid);
    if let Some(slot) = slot {
        *slot = scaled;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(replicas: i32, strategy: &Value) -> Deployment {
        serde_json::from_value(json!({"metadata": {}, "spec": {"replicas": replicas, "selector": {}, "template": {}, "strategy": strategy}})).expect("a Deployment")
    }

    fn rolling(surge: &Value, unavailable: &Value) -> Value {
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
    }

    #[test]
    fn fences_are_resolved_as_upstream_does() {
        for (name, replicas, strategy, expected) in [
            ("quarter of four", 4, rolling(&json!("25%"), &json!("25%")), (1, 1)),
            ("up and down", 5, rolling(&json!("25%"), &json!("25%")), (2, 1)),
            ("of one", 1, rolling(&json!("25%"), &json!("25%")), (1, 0)),
            ("both nothing", 3, rolling(&json!(0), &json!("10%")), (0, 1)),
            ("numbers", 3, rolling(&json!(2), &json!(5)), (2, 3)),
            ("default", 8, json!({}), (2, 2)),
            ("recreate", 8, json!({"type": "Recreate"}), (0, 0)),
            ("of none", 0, rolling(&json!(1), &json!(1)), (1, 0)),
        ] {
            let deployment = deployment(replicas, &strategy);
            assert_eq!((max_surge(&deployment), max_unavailable(&deployment)), expected, "{name}");
        }
    }

    #[test]
    fn the_new_one_grows_within_the_fence() {
        let rolling = rolling(&json!(1), &json!(0));
        for (name, replicas, strategy, size, current, expected) in [
            ("first step", 3, rolling.clone(), 0, 3, 1),
            ("at the fence", 3, rolling.clone(), 1, 4, 1),
            ("room again", 3, rolling.clone(), 1, 3, 2),
            ("never beyond what is wanted", 3, rolling, 3, 3, 3),
            ("recreate at once", 3, json!({"type": "Recreate"}), 0, 0, 3),
        ] {
            assert_eq!(new_replicas(&deployment(replicas, &strategy), size, current), expected, "{name}");
        }
    }

    #[test]
    fn scaling_in_the_middle_keeps_the_balance() {
        let set = |name: &str, size: i32, most: i32| -> ReplicaSet {
            let annotations = json!({MAXIMUM: most.to_string()});
            serde_json::from_value(json!({"metadata": {"name": name, "annotations": annotations}, "spec": {"replicas": size, "selector": {}}})).expect("a ReplicaSet")
        };
        for (name, replicas, sizes, expected) in [
            ("up from ten to fifteen", 15, [8, 5], [11, 7]),
            ("down from ten to five", 5, [8, 5], [5, 3]),
            ("to nothing", 0, [8, 5], [0, 0]),
        ] {
            let deployment = deployment(replicas, &rolling(&json!(3), &json!(2)));
            let sets = [set("old", sizes[0], 13), set("new", sizes[1], 13)];
            let plan = proportions(&deployment, &sets.iter().collect::<Vec<_>>());
            assert_eq!(plan.into_iter().map(|(_, size)| size).collect::<Vec<_>>(), expected, "{name}");
        }
    }
}
