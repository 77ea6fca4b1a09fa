//! Who owns whom: controller references, adoption and release.
// upstream: pkg/controller/controller_ref_manager.go

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use drydock_primitives::selector::{LabelSelector as Selector, SelectorError};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::cache::{Cache, Change, Key};
use crate::error::{Result, ignore_not_found};
use crate::queue::Queue;
use crate::shared::MANAGER;

/// The owner that manages the object.
pub(crate) fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))
}

/// A reference that says `owner` manages the object.
pub(crate) fn controller_reference<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.meta().name.clone().unwrap_or_default(),
        uid: owner.meta().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// What is owned concerns its owner, its owner before, and, when it has none, every object whose selector would adopt it.
pub(crate) fn watch_owned<O, K>(owned: &Cache<O>, owners: &Cache<K>, queue: &Queue<Key>, selector: impl Fn(&K) -> Option<Selector> + Send + Sync + 'static)
where
    O: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (owners, queue) = (owners.clone(), queue.clone());
    owned.on_change(move |change| {
        let add_owner = |object: &O| {
            let owner = controller_of(object.meta()).filter(|owner| owner.kind == K::kind(&()));
            if let Some(owner) = owner {
                queue.add(Key::new(object.meta().namespace.as_deref().unwrap_or_default(), &owner.name));
            }
            owner.is_some()
        };
        if let Change::Updated { old, .. } = change {
            add_owner(old);
        }
        let object = change.latest();
        if add_owner(object) || controller_of(object.meta()).is_some() || matches!(change, Change::Deleted(_)) {
            return;
        }
        for owner in owners.in_namespace(object.meta().namespace.as_deref().unwrap_or_default()) {
            if selector(&owner).is_some_and(|selector| !selector.is_everything() && matches(&selector, object.meta())) {
                queue.add(Key::of(&*owner));
            }
        }
    });
}

/// The selector of a workload; one that cannot be read matches nothing.
pub(crate) fn selector(selector: &LabelSelector) -> std::result::Result<Selector, SelectorError> {
    Selector::from_object(&serde_json::to_value(selector).unwrap_or_default())
}

/// The labels, possibly none.
pub(crate) fn labels(meta: &ObjectMeta) -> BTreeMap<String, String> {
    meta.labels.clone().unwrap_or_default()
}

/// Whether the object's labels match.
pub(crate) fn matches(selector: &Selector, meta: &ObjectMeta) -> bool {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    selector.matches(meta.labels.as_ref().unwrap_or(&NONE))
}

/// The objects that `owner` manages, after adopting orphans that match and releasing those that match no more.
pub(crate) async fn claim<O, K>(client: &Client, owner: &O, selector: &Selector, cache: &Cache<K>) -> Result<Vec<Arc<K>>>
where
    O: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    claim_those(client, owner, selector, cache, |_| true).await
}

/// The same of those objects only that may belong to `owner` at all.
pub(crate) async fn claim_those<O, K>(client: &Client, owner: &O, selector: &Selector, cache: &Cache<K>, may: impl Fn(&K) -> bool) -> Result<Vec<Arc<K>>>
where
    O: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let meta = owner.meta();
    let (namespace, uid) = (meta.namespace.as_deref().unwrap_or_default(), meta.uid.as_deref().unwrap_or_default());
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let leaving = meta.deletion_timestamp.is_some();
    let mut claimed = Vec::new();
    let mut may_adopt = None;
    for object in cache.in_namespace(namespace) {
        let fits = matches(selector, object.meta()) && may(&object);
        match controller_of(object.meta()) {
            Some(controller) if controller.uid != uid => {}
            Some(_) if fits => claimed.push(object),
            Some(_) if leaving => {}
            Some(_) => {
                let owners = object.meta().owner_references.iter().flatten().filter(|owner| owner.uid != uid).cloned().collect();
                if let Some(written) = set_owners(&api, &object, owners).await? {
                    cache.reached(&written).await;
                }
            }
            None if leaving || !fits || object.meta().deletion_timestamp.is_some() => {}
            None => {
                if may_adopt.is_none() {
                    may_adopt = Some(is_alive(client, owner).await?);
                }
                if may_adopt != Some(true) {
                    continue;
                }
                let mut owners = object.meta().owner_references.clone().unwrap_or_default();
                owners.push(controller_reference(owner));
                if let Some(written) = set_owners(&api, &object, owners).await? {
                    cache.reached(&written).await;
                    claimed.push(Arc::new(written));
                }
            }
        }
    }
    Ok(claimed)
}

/// Asks the API, not the cache, whether the owner is still the one we know: adoption by a ghost would orphan again.
async fn is_alive<O>(client: &Client, owner: &O) -> Result<bool>
where
    O: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let meta = owner.meta();
    let api: Api<O> = Api::namespaced(client.clone(), meta.namespace.as_deref().unwrap_or_default());
    let fresh = api.get_metadata_opt(meta.name.as_deref().unwrap_or_default()).await?;
    Ok(fresh.is_some_and(|fresh| fresh.metadata.uid == meta.uid && fresh.metadata.deletion_timestamp.is_none()))
}

/// Replaces the owners, unless the object has changed meanwhile.
pub(crate) async fn set_owners<K>(api: &Api<K>, object: &K, owners: Vec<OwnerReference>) -> Result<Option<K>>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let meta = object.meta();
    let owners = if owners.is_empty() { serde_json::Value::Null } else { json!(owners) };
    let patch = json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "ownerReferences": owners}});
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    ignore_not_found(api.patch(meta.name.as_deref().unwrap_or_default(), &params, &Patch::Merge(patch)).await)
}
