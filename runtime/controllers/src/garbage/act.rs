//! Carrying out what the graph has judged. Each write looks first whether the object is still what was judged, and names the uid and the
//! version that was seen then.

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

/// Deletes an object as long as it is what it was judged as. Each kind is followed by itself, so the graph may have heard of the end of an
/// owner and not yet that this object was let go of before, or is being deleted by somebody else who wants its dependents to stay: whoever is
/// different by now is judged again when that is heard.
// upstream: pkg/controller/garbagecollector/garbagecollector.go attemptToDeleteItem
async fn delete(api: &Api<Metadata>, item: &Item, uid: &str, policy: Policy) -> Result<()> {
    let policy = match policy {
        Policy::Background => PropagationPolicy::Background,
        Policy::Foreground => PropagationPolicy::Foreground,
        Policy::Orphan => PropagationPolicy::Orphan,
    };
    loop {
        let Some(current) = api.get_opt(&item.name).await.map_err(Error::from)? else { return Ok(()) };
        let meta = current.meta();
        if meta.uid.as_deref() != Some(uid) || Item::new(item.kind, meta) != *item {
            return Ok(());
        }
        let preconditions = Some(Preconditions { uid: Some(uid.to_owned()), resource_version: meta.resource_version.clone() });
        let params = DeleteParams { propagation_policy: Some(policy.clone()), preconditions, ..DeleteParams::default() };
        match ignore_not_found(api.delete(&item.name, &params).await) {
            // Its status, most likely: each turn somebody else's write went through, so this ends when they have.
            Err(error) if error.is_conflict() => {}
            result => return result.map(drop),
        }
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::{Method, Request, Response};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use kube::Client;
    use kube::client::Body;
    use kube::core::ApiResource;
    use tower::service_fn;

    use super::*;

    /// An API server with one Pod, which somebody else changes once while it is looked at; what is asked of it to delete.
    fn server(pod: Option<Value>) -> (Api<Metadata>, Arc<Mutex<Vec<Value>>>) {
        let deleted: Arc<Mutex<Vec<Value>>> = Arc::default();
        let seen = Arc::clone(&deleted);
        let service = service_fn(move |request: Request<Body>| {
            let (pod, seen) = (pod.clone(), Arc::clone(&seen));
            async move {
                let status = |reason: &str, code: u16| (code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": reason, "code": code}));
                let (mut code, mut answer) = pod.map_or_else(|| status("NotFound", 404), |pod| (200, pod));
                if request.method() == Method::DELETE {
                    let body = request.into_body().collect_bytes().await?;
                    let mut seen = seen.lock().unwrap();
                    seen.push(serde_json::from_slice(&body)?);
                    if seen.len() == 1 {
                        (code, answer) = status("Conflict", 409);
                    }
                }
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()))?)
            }
        });
        let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
        (Api::namespaced_with(Client::new(service, "default"), "default", &resource), deleted)
    }

    #[tokio::test]
    async fn what_is_not_as_it_was_judged_is_not_deleted() {
        let owner = |uid: &str| OwnerReference { api_version: "apps/v1".into(), kind: "DaemonSet".into(), name: "agent".into(), uid: uid.into(), ..OwnerReference::default() };
        let pod = |uid: &str, owners: &[OwnerReference]| {
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "a", "namespace": "default", "uid": uid, "resourceVersion": "7", "ownerReferences": owners}})
        };
        let leaving = |finalizer: &str| {
            let mut pod = pod("u", &[owner("o")]);
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-22T08:48:16Z");
            pod["metadata"]["finalizers"] = json!([finalizer]);
            pod
        };
        let cases = [
            ("as it was judged", Some(pod("u", &[owner("o")])), true),
            ("let go of", Some(pod("u", &[])), false),
            ("adopted by another", Some(pod("u", &[owner("p")])), false),
            ("adopted by one more", Some(pod("u", &[owner("o"), owner("p")])), false),
            ("deleted, its dependents to stay", Some(leaving(ORPHAN)), false),
            ("deleted after its dependents", Some(leaving(FOREGROUND)), false),
            ("another of the same name", Some(pod("v", &[owner("o")])), false),
            ("gone", None, false),
        ];
        for (what, now, goes) in cases {
            let (api, deleted) = server(now);
            let item = Item { kind: 0, namespace: "default".into(), name: "a".into(), owners: vec![owner("o")], finalizers: Vec::new(), leaving: false };
            delete(&api, &item, "u", Policy::Background).await.unwrap();
            let preconditions: Vec<Value> = deleted.lock().unwrap().iter().map(|options| options["preconditions"].clone()).collect();
            // Twice: a conflict is another try.
            assert_eq!(preconditions, if goes { vec![json!({"uid": "u", "resourceVersion": "7"}); 2] } else { Vec::new() }, "{what}");
        }
    }
}
