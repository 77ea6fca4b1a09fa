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
    /// How large the new ReplicaSet may become now, of `size`, when all together have `current`.
    // upstream: deployment_util.go NewRSNewReplicas
    pub(super) fn new_replicas(&self, size: i32, current: i32) -> i32 {
        if is_recreate(&self.object) {
            return self.replicas();
        }
        let most = self.replicas() + max_surge(&self.object);
        if current >= most {
            return size;
        }
        size + (most - current).min(self.replicas() - size)
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
            self.proportions(&active)
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

    /// In the middle of a rollout, each ReplicaSet gets its share of the difference, the largest first.
    fn proportions(&self, active: &[&ReplicaSet]) -> Vec<(ReplicaSet, i32)> {
        let total: i32 = active.iter().map(|set| desired(set)).sum();
        let allowed = if self.replicas() > 0 { self.replicas() + max_surge(&self.object) } else { 0 };
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
            let share = self.proportion(set, difference, added);
            added += share;
            plan.push((set.clone(), desired(set) + share));
        }
        if let Some((_, size)) = plan.first_mut() {
            *size = (*size + difference - added).max(0);
        }
        plan
    }

    // upstream: deployment_util.go GetReplicaSetProportion
    fn proportion(&self, set: &ReplicaSet, difference: i32, added: i32) -> i32 {
        let size = desired(set);
        if size == 0 || difference == 0 || difference == added {
            return 0;
        }
        let fraction = if self.replicas() == 0 {
            -size
        } else {
            let most = f64::from(self.replicas() + max_surge(&self.object));
            let known = annotation(set, MAXIMUM).filter(|known| *known > 0).or(self.status().replicas.filter(|known| *known > 0));
            known.map_or(0, |known| (f64::from(size) * most / f64::from(known)).round() as i32 - size)
        };
        let allowed = difference - added;
        if difference > 0 { fraction.min(allowed) } else { fraction.max(allowed) }
    }
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
