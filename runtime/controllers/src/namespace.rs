//! Namespaces that are deleted: first everything in them, then they themselves.
// upstream: pkg/controller/namespace/deletion/namespaced_resources_deleter.go

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::Value;

use crate::cache::Key;
use crate::condition::{FALSE, TRUE};
use crate::error::{Error, Result, ignore_not_found};
use crate::garbage::{Kind, World};
use crate::queue::Queue;
use crate::shared::{Controller, MANAGER};

const FINALIZER: &str = "kubernetes";
const WORKERS: usize = 4;
/// The finalizers' owners may have failed without a change that would wake us.
const PATIENCE: Duration = Duration::from_secs(15);

/// Runs until cancelled. Handlers stand when this returns.
pub(crate) fn run(controller: Controller, world: World) -> impl Future<Output = ()> + Send + 'static {
    let queue = Queue::new(controller.clock.clone());
    let add = {
        let queue = queue.clone();
        move |namespace: &Namespace| {
            if namespace.metadata.deletion_timestamp.is_some() {
                queue.add(namespace.name_any());
            }
        }
    };
    let namespaces = controller.caches.namespaces.clone();
    namespaces.on_change({
        let add = add.clone();
        move |change| add(change.latest())
    });
    world.on_gone({
        let namespaces = namespaces.clone();
        move |name| {
            if let Some(namespace) = namespaces.get(&Key::new("", name)) {
                add(&namespace);
            }
        }
    });
    async move {
        namespaces.synced().await;
        let kinds = world.kinds().await;
        let cancel = controller.cancel.clone();
        let emptier = Arc::new(Emptier { controller, kinds, world });
        queue.work(WORKERS, cancel, move |name| reconcile(Arc::clone(&emptier), name)).await;
    }
}

struct Emptier {
    controller: Controller,
    kinds: Arc<Vec<Kind>>,
    world: World,
}

async fn reconcile(emptier: Arc<Emptier>, name: String) -> Result<Option<Duration>> {
    let namespaces = &emptier.controller.caches.namespaces;
    let Some(namespace) = namespaces.get(&Key::new("", &name)) else { return Ok(None) };
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.clone()).unwrap_or_default();
    if namespace.metadata.deletion_timestamp.is_none() || !finalizers.iter().any(|own| own == FINALIZER) {
        return Ok(None);
    }
    let mut remaining = BTreeMap::new();
    let mut held = BTreeMap::new();
    for (index, kind) in emptier.kinds.iter().enumerate().filter(|(_, kind)| kind.namespaced) {
        let seen = emptier.world.content(&name).get(&index).copied().unwrap_or(0);
        let left = emptier.empty(kind, &name, seen).await?;
        if !left.is_empty() {
            // upstream prints `pods.` for the core group.
            let resource = format!("{}.{}", kind.resource.plural, kind.resource.group);
            remaining.insert(resource, left.len());
            left.iter().flat_map(|object| object.finalizers()).for_each(|finalizer| *held.entry(finalizer.clone()).or_insert(0) += 1);
        }
    }
    let now = Time(emptier.controller.clock.now());
    emptier.report(&namespace, &conditions(&remaining, &held, &now)).await?;
    if remaining.is_empty() {
        emptier.finalize(&name).await?;
        return Ok(None);
    }
    Ok(Some(PATIENCE))
}

impl Emptier {
    /// Deletes all objects of one kind; answers with those that are still there.
    async fn empty(&self, kind: &Kind, namespace: &str, seen: usize) -> Result<Vec<DynamicObject>> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.controller.client.clone(), namespace, &kind.resource);
        let params = ListParams::default();
        let list = api.list(&params).await?.items;
        if list.iter().any(|object| object.metadata.deletion_timestamp.is_none()) {
            tracing::debug!(namespace, kind = kind.resource.kind, seen, "emptying");
            api.delete_collection(&DeleteParams::background(), &params).await?;
            return Ok(api.list(&params).await?.items);
        }
        Ok(list)
    }

    async fn report(&self, namespace: &Namespace, conditions: &[NamespaceCondition]) -> Result<()> {
        let mut changed = namespace.clone();
        let status = changed.status.get_or_insert_default();
        let mut list = status.conditions.take().unwrap_or_default();
        for new in conditions {
            match list.iter_mut().find(|old| old.type_ == new.type_) {
                None => list.push(new.clone()),
                Some(old) if old.status == new.status && old.message == new.message && old.reason == new.reason => {}
                Some(old) => {
                    let since = if old.status == new.status { old.last_transition_time.clone() } else { new.last_transition_time.clone() };
                    *old = NamespaceCondition { last_transition_time: since, ..new.clone() };
                }
            }
        }
        status.conditions = Some(list);
        status.phase = Some("Terminating".into());
        if changed == *namespace {
            return Ok(());
        }
        let api: Api<Namespace> = Api::all(self.controller.client.clone());
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        if let Some(written) = ignore_not_found(api.replace_status(&namespace.name_any(), &params, &changed).await)? {
            self.controller.caches.namespaces.reached(&written).await;
        }
        Ok(())
    }

    async fn finalize(&self, name: &str) -> Result<()> {
        let api: Api<Namespace> = Api::all(self.controller.client.clone());
        let Some(mut namespace) = api.get_opt(name).await? else { return Ok(()) };
        if let Some(finalizers) = namespace.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|own| own != FINALIZER);
        }
        let path = format!("/api/v1/namespaces/{name}/finalize");
        let body = serde_json::to_vec(&namespace).map_err(|error| Error::Object(error.to_string()))?;
        let request = http::Request::put(path).header("content-type", "application/json").body(body).map_err(|error| Error::Object(error.to_string()))?;
        ignore_not_found(self.controller.client.request::<Value>(request).await).map(drop)
    }
}

// upstream: pkg/controller/namespace/deletion/status_condition_utils.go
fn conditions(remaining: &BTreeMap<String, usize>, held: &BTreeMap<String, usize>, now: &Time) -> Vec<NamespaceCondition> {
    let condition = |kind: &str, status: &str, reason: &str, message: String| NamespaceCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_transition_time: Some(now.clone()),
    };
    let listed = |counts: &BTreeMap<String, usize>, between: &str| counts.iter().map(|(name, count)| format!("{name}{between}{count} resource instances")).collect::<Vec<_>>().join(", ");
    let content = if remaining.is_empty() {
        condition("NamespaceContentRemaining", FALSE, "ContentRemoved", "All content successfully removed".into())
    } else {
        condition("NamespaceContentRemaining", TRUE, "SomeResourcesRemain", format!("Some resources are remaining: {}", listed(remaining, " has ")))
    };
    let finalizers = if held.is_empty() {
        condition("NamespaceFinalizersRemaining", FALSE, "ContentHasNoFinalizers", "All content-preserving finalizers finished".into())
    } else {
        let message = format!("Some content in the namespace has finalizers remaining: {}", listed(held, " in "));
        condition("NamespaceFinalizersRemaining", TRUE, "SomeFinalizersRemain", message)
    };
    vec![
        condition("NamespaceDeletionDiscoveryFailure", FALSE, "ResourcesDiscovered", "All resources successfully discovered".into()),
        condition("NamespaceDeletionGroupVersionParsingFailure", FALSE, "ParsedGroupVersions", "All legacy kube types successfully parsed".into()),
        condition("NamespaceDeletionContentFailure", FALSE, "ContentDeleted", "All content successfully deleted, may be waiting on finalization".into()),
        content,
        finalizers,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_name_what_remains() {
        let count = |entries: &[(&str, usize)]| entries.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<BTreeMap<_, _>>();
        let now = Time(jiff::Timestamp::UNIX_EPOCH);
        let messages = |remaining: &[(&str, usize)], held: &[(&str, usize)]| {
            let all = conditions(&count(remaining), &count(held), &now);
            [all[3].message.clone().unwrap_or_default(), all[4].message.clone().unwrap_or_default()]
        };
        assert_eq!(messages(&[], &[]), ["All content successfully removed", "All content-preserving finalizers finished"]);
        assert_eq!(
            messages(&[("deployments.apps", 2), ("pods.", 1)], &[("example.com/x", 1)]),
            [
                "Some resources are remaining: deployments.apps has 2 resource instances, pods. has 1 resource instances",
                "Some content in the namespace has finalizers remaining: example.com/x in 1 resource instances"
            ]
        );
    }
}
