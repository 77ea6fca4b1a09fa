//! What every namespace has from the start: the ServiceAccount `default` and the certificate that Pods trust the API by.
// upstream: pkg/controller/serviceaccount/serviceaccounts_controller.go, pkg/controller/certificates/rootcacertpublisher/publisher.go

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;

use crate::cache::{Cache, Change, Key};
use crate::error::{Error, Result};
use crate::queue::Queue;
use crate::shared::{Controller, MANAGER};

const ACCOUNT: &str = "default";
/// The ConfigMap with the certificate.
pub(crate) const ROOT_CA: &str = "kube-root-ca.crt";
/// The namespace whose certificate the others get; whoever boots the cluster puts it there.
const SOURCE: &str = "kube-system";

/// Keeps the ServiceAccount `default` in every namespace. Handlers stand when this returns.
pub(crate) fn run_accounts(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue = namespaces(&controller);
    controller.caches.service_accounts.on_change({
        let queue = queue.clone();
        move |change| {
            if let Change::Deleted(account) = change
                && account.metadata.name.as_deref() == Some(ACCOUNT)
            {
                queue.add(account.metadata.namespace.clone().unwrap_or_default());
            }
        }
    });
    let caches = &controller.caches;
    let synced = [caches.namespaces.synced(), caches.service_accounts.synced()];
    controller.work(queue, 2, synced, keep_account)
}

/// Publishes the certificate in every namespace. Handlers stand when this returns.
pub(crate) fn run_root_ca(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue = namespaces(&controller);
    controller.caches.root_cas.on_change({
        let (queue, namespaces) = (queue.clone(), controller.caches.namespaces.clone());
        move |change| {
            let map = change.latest();
            let namespace = map.metadata.namespace.clone().unwrap_or_default();
            if namespace == SOURCE {
                namespaces.list().iter().filter_map(|namespace| namespace.metadata.name.clone()).for_each(|name| queue.add(name));
            } else {
                queue.add(namespace);
            }
        }
    });
    let caches = &controller.caches;
    let synced = [caches.namespaces.synced(), caches.root_cas.synced()];
    controller.work(queue, 2, synced, publish)
}

fn namespaces(controller: &Controller) -> Queue<String> {
    let queue = Queue::new(controller.clock.clone());
    controller.caches.namespaces.on_change({
        let queue = queue.clone();
        move |change| queue.add(change.latest().metadata.name.clone().unwrap_or_default())
    });
    queue
}

fn takes_objects(namespaces: &Cache<Namespace>, name: &str) -> bool {
    let namespace = namespaces.get(&Key::new("", name));
    namespace.is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_none())
}

async fn keep_account(controller: Arc<Controller>, namespace: String) -> Result<Option<Duration>> {
    let known = controller.caches.service_accounts.get(&Key::new(&namespace, ACCOUNT)).is_some();
    if known || !takes_objects(&controller.caches.namespaces, &namespace) {
        return Ok(None);
    }
    let account = ServiceAccount { metadata: meta(ACCOUNT, &namespace), ..ServiceAccount::default() };
    let api: Api<ServiceAccount> = Api::namespaced(controller.client.clone(), &namespace);
    settled(api.create(&params(), &account).await.map(drop))
}

async fn publish(controller: Arc<Controller>, namespace: String) -> Result<Option<Duration>> {
    let source = controller.caches.root_cas.get(&Key::new(SOURCE, ROOT_CA));
    let Some(data) = source.and_then(|source| source.data.clone()) else { return Ok(None) };
    if namespace == SOURCE || !takes_objects(&controller.caches.namespaces, &namespace) {
        return Ok(None);
    }
    let api: Api<ConfigMap> = Api::namespaced(controller.client.clone(), &namespace);
    let current = controller.caches.root_cas.get(&Key::new(&namespace, ROOT_CA));
    match current {
        Some(current) if current.data.as_ref() == Some(&data) => Ok(None),
        Some(current) => {
            let mut changed = (*current).clone();
            changed.data = Some(data);
            settled(api.replace(ROOT_CA, &params(), &changed).await.map(drop))
        }
        None => {
            let mut map = ConfigMap { metadata: meta(ROOT_CA, &namespace), data: Some(data), ..ConfigMap::default() };
            let description = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or \
                               kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";
            map.metadata.annotations.get_or_insert_default().insert("kubernetes.io/description".into(), description.into());
            settled(api.create(&params(), &map).await.map(drop))
        }
    }
}

fn meta(name: &str, namespace: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), namespace: Some(namespace.to_owned()), ..ObjectMeta::default() }
}

fn params() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

/// Somebody was faster, or the namespace goes: both are fine.
fn settled(result: kube::Result<()>) -> Result<Option<Duration>> {
    match result.map_err(Error::from) {
        Ok(()) => Ok(None),
        Err(error) if error.is_already_exists() || error.is_not_found() || error.is_namespace_terminating() => Ok(None),
        Err(error) => Err(error),
    }
}
