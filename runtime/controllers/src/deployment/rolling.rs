//! Rolling: some new up, some old down, never too many and never too few.
// upstream: pkg/controller/deployment/rolling.go

use k8s_openapi::api::apps::v1::ReplicaSet;

use super::{Rollout, Sets, available, desired, scaling};
use crate::error::Result;

impl Rollout {
    /// Scales the new ReplicaSet; answers whether it did.
    pub(super) async fn scale_up_new(&self, sets: &mut Sets) -> Result<bool> {
        let Some(new) = sets.new.clone() else { return Ok(false) };
        let size = desired(&new);
        let target = if size > self.replicas() {
            self.replicas()
        } else {
            let current = sets.all().iter().map(|set| desired(set)).sum();
            self.new_replicas(size, current)
        };
        let scaled = self.scale_set(&new, target).await?;
        sets.new = Some(scaled);
        Ok(size != target)
    }

    /// Scales old ReplicaSets down: first what is broken anyway, then as much as availability allows.
    pub(super) async fn scale_down_old(&self, sets: &mut Sets) -> Result<bool> {
        let fewest = self.replicas() - scaling::max_unavailable(&self.object);
        let plan = plan_scale_down(&sets.old, sets.new.as_ref(), fewest);
        let mut moved = false;
        for (index, size) in plan {
            moved |= size != desired(&sets.old[index]);
            sets.old[index] = self.scale_set(&sets.old[index], size).await?;
        }
        Ok(moved)
    }
}

/// The new sizes of old ReplicaSets, oldest first, such that `fewest` Pods stay available.
fn plan_scale_down(old: &[ReplicaSet], new: Option<&ReplicaSet>, fewest: i32) -> Vec<(usize, i32)> {
    let mut sizes: Vec<i32> = old.iter().map(desired).collect();
    let total: i32 = sizes.iter().sum::<i32>() + new.map_or(0, desired);
    let new_unavailable = new.map_or(0, |new| desired(new) - available(new));
    let mut broken = total - fewest - new_unavailable;
    if sizes.iter().sum::<i32>() == 0 || broken <= 0 {
        return Vec::new();
    }
    for (size, set) in sizes.iter_mut().zip(old) {
        let removed = (*size - available(set)).clamp(0, broken);
        *size -= removed;
        broken -= removed;
    }
    let mut spare = old.iter().chain(new).map(available).sum::<i32>() - fewest;
    for size in &mut sizes {
        let removed = (*size).min(spare).max(0);
        *size -= removed;
        spare -= removed;
    }
    let changed = sizes.into_iter().enumerate().filter(|(index, size)| *size != desired(&old[*index]));
    changed.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(size: i32, available: i32) -> ReplicaSet {
        let object = json!({"metadata": {}, "spec": {"replicas": size, "selector": {}}, "status": {"replicas": size, "availableReplicas": available}});
        serde_json::from_value(object).expect("a ReplicaSet")
    }

    #[test]
    fn old_pods_go_only_as_availability_allows() {
        for (name, old, new, fewest, expected) in [
            ("nothing new is available yet", vec![(3, 3)], (1, 0), 3, vec![]),
            ("one new is available", vec![(3, 3)], (1, 1), 3, vec![(0, 2)]),
            ("one may be missing", vec![(4, 4)], (1, 0), 3, vec![(0, 3)]),
            ("broken ones go first", vec![(3, 1)], (0, 0), 1, vec![(0, 1)]),
            ("oldest first", vec![(1, 1), (3, 3)], (2, 2), 4, vec![(0, 0), (1, 2)]),
            ("all done", vec![(0, 0)], (3, 3), 2, vec![]),
        ] {
            let old: Vec<_> = old.into_iter().map(|(size, available)| set(size, available)).collect();
            assert_eq!(plan_scale_down(&old, Some(&set(new.0, new.1)), fewest), expected, "{name}");
        }
    }
}
