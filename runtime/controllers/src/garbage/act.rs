//! Carrying out what the graph has judged. Each write names the uid and the version it was decided on.

use futures::future::join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, DynamicObject, PartialObjectMeta, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::{Api, Resource};
use serde_json::{Value, json};

use super::graph::{FOREGROUND, Item, ORPHAN, Policy, Verdict};
use super::{Kind, World};
use crate::error::{Error, Result, ignore_not_found};
use crate::shared::MANAGER;

type Metadata = PartialObjectMeta<DynamicObject>;

impl World {
    pub(super) async fn act(&self, kinds: &[Kind], uid: &str, item: &Item, verdict: Verdict) -> Result<()> {
        let Some(kind) = kinds.get(item.kind) else { return Ok(()) };
        let api = self.api(kind, &item.namespace);
        match verdict {
            Verdict::Nothing => Ok(()),
            Verdict::Press(dependents) => {
                dependents.into_iter().for_each(|uid| self.inner.queue.add(uid));
                Ok(())
            }
            Verdict::Disown(owners) => change(&api, item, uid, |meta| without_owners(meta, &owners)).await,
            Verdict::Release => change(&api, item, uid, |meta| without_finalizer(meta, FOREGROUND)).await,
            Verdict::Delete(policy) => delete(&api, item, uid, policy).await,
            Verdict::Orphan(dependents) => {
                let owners = [uid.to_owned()];
                let releases = dependents.iter().map(|dependent| self.disown(kinds, dependent, &owners));
                join_all(releases).await.into_iter().collect::<Result<()>>()?;
                change(&api, item, uid, |meta| without_finalizer(meta, ORPHAN)).await
            }
        }
    }

    async fn disown(&self, kinds: &[Kind], dependent: &str, owners: &[String]) -> Result<()> {
        let item = self.graph().get(dependent).cloned();
        let Some((item, kind)) = item.and_then(|item| kinds.get(item.kind).map(|kind| (item, kind))) else { return Ok(()) };
        change(&self.api(kind, &item.namespace), &item, dependent, |meta| without_owners(meta, owners)).await
    }
}

async fn delete(api: &Api<Metadata>, item: &Item, uid: &str, policy: Policy) -> Result<()> {
    let policy = match policy {
        Policy::Background => PropagationPolicy::Background,
        Policy::Foreground => PropagationPolicy::Foreground,
        Policy::Orphan => PropagationPolicy::Orphan,
    };
    let preconditions = Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None });
    let params = DeleteParams { propagation_policy: Some(policy), preconditions, ..DeleteParams::default() };
    match ignore_not_found(api.delete(&item.name, &params).await) {
        // Another object has the name by now: ours is gone.
        Err(error) if error.is_conflict() => Ok(()),
        result => result.map(drop),
    }
}

/// Changes an object's metadata as it is now; `None` when there is nothing to change.
async fn change(api: &Api<Metadata>, item: &Item, uid: &str, change: impl Fn(&ObjectMeta) -> Option<Value>) -> Result<()> {
    let Some(current) = api.get_opt(&item.name).await.map_err(Error::from)? else { return Ok(()) };
    let meta = current.meta();
    if meta.uid.as_deref() != Some(uid) {
        return Ok(());
    }
    let Some(mut fields) = change(meta) else { return Ok(()) };
    fields["uid"] = json!(uid);
    fields["resourceVersion"] = json!(meta.resource_version);
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    ignore_not_found(api.patch_metadata(&item.name, &params, &Patch::Merge(json!({"metadata": fields}))).await).map(drop)
}

fn without_owners(meta: &ObjectMeta, gone: &[String]) -> Option<Value> {
    let owners = meta.owner_references.clone().unwrap_or_default();
    let kept: Vec<_> = owners.iter().filter(|owner| !gone.contains(&owner.uid)).collect();
    (kept.len() < owners.len()).then(|| json!({"ownerReferences": or_null(&kept)}))
}

fn without_finalizer(meta: &ObjectMeta, finalizer: &str) -> Option<Value> {
    let finalizers = meta.finalizers.clone().unwrap_or_default();
    let kept: Vec<_> = finalizers.iter().filter(|own| *own != finalizer).collect();
    (kept.len() < finalizers.len()).then(|| json!({"finalizers": or_null(&kept)}))
}

fn or_null<T: serde::Serialize>(list: &[T]) -> Value {
    if list.is_empty() { Value::Null } else { json!(list) }
}
