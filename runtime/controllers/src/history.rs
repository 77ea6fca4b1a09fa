//! The revisions of a DaemonSet or a StatefulSet: what `kubectl rollout history` lists and `kubectl rollout undo` goes back to.
// upstream: pkg/controller/history/controller_history.go; pkg/controller/daemon/update.go constructHistory, snapshot, cleanupHistory;
// pkg/controller/statefulset/stateful_set_control.go getStatefulSetRevisions, truncateHistory

use std::fmt::Debug;
use std::sync::Arc;

use drydock_primitives::selector::LabelSelector as Selector;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cache::Cache;
use crate::error::{Error, Result, ignore_not_found};
use crate::owner::{self, controller_of, controller_reference};
use crate::shared::{Controller, MANAGER};
use crate::template;

/// An object whose templates are remembered.
pub(crate) trait Owner: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + Sync + 'static {}
impl<O: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + Sync + 'static> Owner for O {}

/// Whose history it is.
pub(crate) struct Subject<'a, O: Owner> {
    pub(crate) object: &'a O,
    pub(crate) template: &'a PodTemplateSpec,
    /// How often two templates had the same hash.
    pub(crate) collisions: Option<i32>,
    /// The label of a revision that has the hash.
    pub(crate) label: &'static str,
    pub(crate) cache: &'a Cache<O>,
}

/// The revision of the current template and those before it.
pub(crate) struct History {
    pub(crate) current: ControllerRevision,
    pub(crate) old: Vec<Arc<ControllerRevision>>,
}

/// Finds the revision of the current template, or makes it; it always has the highest number.
pub(crate) async fn construct<O: Owner>(controller: &Controller, subject: &Subject<'_, O>, selector: &Selector) -> Result<History> {
    let claimed = owner::claim(&controller.client, subject.object, selector, &controller.caches.revisions).await?;
    let wanted = Some(template::comparable(subject.template));
    let (mut current, old): (Vec<_>, Vec<_>) = claimed.into_iter().partition(|revision| remembered(revision).map(|template| template::comparable(&template)) == wanted);
    let number = old.iter().map(|revision| revision.revision).max().unwrap_or(0) + 1;
    current.sort_by_key(|revision| revision.revision);
    let current = match current.pop() {
        None => snapshot(controller, subject, number).await?,
        Some(found) if found.revision < number => {
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            let patch = Patch::Merge(json!({"metadata": {"uid": found.uid()}, "revision": number}));
            let written = api(controller, subject.object).patch(&found.name_any(), &params, &patch).await?;
            controller.caches.revisions.reached(&written).await;
            written
        }
        Some(found) => (*found).clone(),
    };
    Ok(History { current, old })
}

fn api<O: Owner>(controller: &Controller, object: &O) -> Api<ControllerRevision> {
    Api::namespaced(controller.client.clone(), &object.namespace().unwrap_or_default())
}

/// The template a revision remembers.
pub(crate) fn remembered(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let data = &revision.data.as_ref()?.0;
    serde_json::from_value(data.pointer("/spec/template")?.clone()).ok()
}

async fn snapshot<O: Owner>(controller: &Controller, subject: &Subject<'_, O>, number: i64) -> Result<ControllerRevision> {
    let (object, collisions) = (subject.object, subject.collisions);
    let hash = template::hash(subject.template, collisions);
    let mut remembered: Value = json!(subject.template);
    // The revision is applied as a patch: the template replaces whatever is there.
    remembered["$patch"] = json!("replace");
    let mut labels = subject.template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    labels.insert(subject.label.into(), hash.clone());
    let revision = ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", object.name_any())),
            namespace: object.namespace(),
            labels: Some(labels),
            annotations: object.meta().annotations.clone(),
            owner_references: Some(vec![controller_reference(object)]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(json!({"spec": {"template": remembered}}))),
        revision: number,
    };
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    match api(controller, object).create(&params, &revision).await.map_err(Error::from) {
        Ok(created) => {
            controller.caches.revisions.reached(&created).await;
            Ok(created)
        }
        Err(error) if error.is_already_exists() => {
            // Another template with the same hash: the name is salted, and the reconcile starts again.
            let patch = json!({"metadata": {"uid": object.uid()}, "status": {"collisionCount": collisions.unwrap_or(0) + 1}});
            let owners: Api<O> = Api::namespaced(controller.client.clone(), &object.namespace().unwrap_or_default());
            let written = owners.patch_status(&object.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
            subject.cache.reached(&written).await;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// How many revisions besides the current one are kept, ten where nothing is said. One that something lives by always is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// All of them count.
    // upstream: cleanupHistory
    OfAll(Option<i32>),
    /// Only those count that nothing lives by; no number below zero is a limit.
    // upstream: truncateHistory
    OfUnused(Option<i32>),
}

impl Limit {
    /// The places of those that go, when `lives` says of each, the oldest first, whether something lives by it.
    fn surplus(self, lives: &[bool]) -> Vec<usize> {
        let unused: Vec<usize> = lives.iter().enumerate().filter(|(_, lives)| !**lives).map(|(place, _)| place).collect();
        let (limit, counted) = match self {
            Self::OfAll(limit) => (limit, lives.len()),
            Self::OfUnused(limit) => (limit, unused.len()),
        };
        let surplus = usize::try_from(limit.unwrap_or(10)).map_or(0, |limit| counted.saturating_sub(limit));
        unused.into_iter().take(surplus).collect()
    }
}

impl History {
    /// Forgets revisions beyond the limit that nothing lives by.
    pub(crate) async fn clean_up<O: Owner>(&self, controller: &Controller, object: &O, limit: Limit, lives: impl Fn(&ControllerRevision) -> bool) -> Result<()> {
        let mut old = self.old.clone();
        old.retain(|revision| controller_of(&revision.metadata).is_some_and(|owner| Some(&owner.uid) == object.meta().uid.as_ref()));
        old.sort_by_key(|revision| revision.revision);
        let lives: Vec<bool> = old.iter().map(|revision| lives(revision)).collect();
        for revision in limit.surplus(&lives).into_iter().filter_map(|place| old.get(place)) {
            ignore_not_found(api(controller, object).delete(&revision.name_any(), &DeleteParams::default()).await)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lives_is_kept_and_counts_for_some() {
        let (lives, waits) = (true, false);
        for (name, limit, history, wanted) in [
            ("below the limit", Limit::OfAll(None), &[waits; 10][..], &[][..]),
            ("the oldest goes", Limit::OfAll(None), &[waits; 11], &[0]),
            ("one that lives counts for a DaemonSet", Limit::OfAll(Some(1)), &[lives, waits, waits], &[1, 2]),
            ("but not for a StatefulSet", Limit::OfUnused(Some(1)), &[lives, waits, waits], &[1]),
            ("none is kept", Limit::OfUnused(Some(0)), &[waits, lives, waits], &[0, 2]),
            ("all are", Limit::OfUnused(Some(-1)), &[waits; 11], &[]),
        ] {
            assert_eq!(limit.surplus(history), wanted, "{name}");
        }
    }
}
