//! The revisions of a DaemonSet: what `kubectl rollout history` lists and `kubectl rollout undo` goes back to.
// upstream: pkg/controller/daemon/update.go constructHistory, snapshot, cleanupHistory

use std::sync::Arc;

use drydock_primitives::selector::LabelSelector as Selector;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::{Fleet, HASH_LABEL};
use crate::error::{Error, Result, ignore_not_found};
use crate::owner::{self, controller_of, controller_reference};
use crate::shared::{Controller, MANAGER};
use crate::template;

/// The revision of the current template and those before it.
pub(super) struct History {
    current: ControllerRevision,
    old: Vec<Arc<ControllerRevision>>,
}

/// Finds the revision of the current template, or makes it; it always has the highest number.
pub(super) async fn construct(controller: &Controller, set: &DaemonSet, selector: &Selector) -> Result<History> {
    let claimed = owner::claim(&controller.client, set, selector, &controller.caches.revisions).await?;
    let wanted = set.spec.as_ref().map(|spec| template::comparable(&spec.template));
    let (mut current, old): (Vec<_>, Vec<_>) = claimed.into_iter().partition(|revision| remembered(revision) == wanted);
    let number = old.iter().map(|revision| revision.revision).max().unwrap_or(0) + 1;
    current.sort_by_key(|revision| revision.revision);
    let current = match current.pop() {
        None => snapshot(controller, set, number).await?,
        Some(found) if found.revision < number => {
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            let patch = Patch::Merge(json!({"metadata": {"uid": found.uid()}, "revision": number}));
            let written = api(controller, set).patch(&found.name_any(), &params, &patch).await?;
            controller.caches.revisions.reached(&written).await;
            written
        }
        Some(found) => (*found).clone(),
    };
    Ok(History { current, old })
}

fn api(controller: &Controller, set: &DaemonSet) -> Api<ControllerRevision> {
    Api::namespaced(controller.client.clone(), &set.namespace().unwrap_or_default())
}

/// The template a revision remembers, ready to be compared.
fn remembered(revision: &ControllerRevision) -> Option<Value> {
    let data = &revision.data.as_ref()?.0;
    let template = serde_json::from_value(data.pointer("/spec/template")?.clone()).ok()?;
    Some(template::comparable(&template))
}

async fn snapshot(controller: &Controller, set: &DaemonSet, number: i64) -> Result<ControllerRevision> {
    let spec = set.spec.clone().unwrap_or_default();
    let collisions = set.status.as_ref().and_then(|status| status.collision_count);
    let hash = template::hash(&spec.template, collisions);
    let mut remembered = json!(spec.template);
    // The revision is applied as a patch: the template replaces whatever is there.
    remembered["$patch"] = json!("replace");
    let mut labels = spec.template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    labels.insert(HASH_LABEL.into(), hash.clone());
    let revision = ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", set.name_any())),
            namespace: set.namespace(),
            labels: Some(labels),
            annotations: set.metadata.annotations.clone(),
            owner_references: Some(vec![controller_reference(set)]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(json!({"spec": {"template": remembered}}))),
        revision: number,
    };
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    match api(controller, set).create(&params, &revision).await.map_err(Error::from) {
        Ok(created) => {
            controller.caches.revisions.reached(&created).await;
            Ok(created)
        }
        Err(error) if error.is_already_exists() => {
            // Another template with the same hash: the name is salted, and the reconcile starts again.
            let patch = json!({"metadata": {"uid": set.uid()}, "status": {"collisionCount": collisions.unwrap_or(0) + 1}});
            let sets: Api<DaemonSet> = Api::namespaced(controller.client.clone(), &set.namespace().unwrap_or_default());
            let written = sets.patch_status(&set.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
            controller.caches.daemon_sets.reached(&written).await;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

impl History {
    /// The hash that Pods of the current template carry.
    pub(super) fn hash(&self) -> String {
        self.current.labels().get(HASH_LABEL).cloned().unwrap_or_default()
    }

    /// Forgets revisions beyond the limit that no Pod is of.
    pub(super) async fn clean_up(&self, controller: &Controller, fleet: &Fleet) -> Result<()> {
        let limit = usize::try_from(fleet.spec.revision_history_limit.unwrap_or(10)).unwrap_or(0);
        let mut old = self.old.clone();
        old.sort_by_key(|revision| revision.revision);
        let surplus = old.len().saturating_sub(limit);
        let lives = |revision: &ControllerRevision| {
            let hash = revision.labels().get(HASH_LABEL);
            fleet.pods.values().flatten().any(|pod| pod.labels().get(HASH_LABEL) == hash)
        };
        let mine = |revision: &ControllerRevision| controller_of(&revision.metadata).is_some_and(|owner| Some(&owner.uid) == fleet.set.metadata.uid.as_ref());
        for revision in old.iter().filter(|revision| mine(revision) && !lives(revision)).take(surplus) {
            ignore_not_found(api(controller, &fleet.set).delete(&revision.name_any(), &DeleteParams::default()).await)?;
        }
        Ok(())
    }
}
