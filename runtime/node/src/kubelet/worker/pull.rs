//! Images: is it here, is it to be pulled, and what a failed pull looks like from outside.

// upstream: pkg/kubelet/images/image_manager.go, EnsureImageExists

use std::sync::Arc;
use std::time::{Duration, Instant};

use drydock_image::{Keyring, PullError, PullErrorKind, PullPolicy, Pulled};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::Api;

use super::{Message, Worker};
use crate::kubelet::recorder::Severity;
use crate::kubelet::node::Node;
use crate::kubelet::state::{ImageState, Waiting, namespace, spec, uid};

impl Worker {
    pub(super) fn ensure_image(&mut self, name: &str) {
        let Some(container) = self.container(name) else { return };
        let image = container.image.clone().unwrap_or_default();
        let now = Timestamp::now();
        if let Some(until) = self.state.slot(name).pull_backoff.until_since_update().filter(|until| *until > now) {
            self.wait_for_image(name, &image, until);
            return;
        }
        let policy = match container.image_pull_policy.as_deref() {
            Some("Always") => PullPolicy::Always,
            Some("Never") => PullPolicy::Never,
            _ => PullPolicy::IfNotPresent,
        };
        self.state.slot_mut(name).image = ImageState::Pulling;
        let (node, pod, uid, field) = (Arc::clone(&self.node), Arc::clone(&self.pod), uid(&self.pod).to_owned(), self.field(name));
        let container = name.to_owned();
        tokio::spawn(async move {
            let begun = Instant::now();
            let (store, recorder, wanted) = (Arc::clone(&node.images), node.recorder.clone(), image.clone());
            let keyring = keyring(&node, &pod).await;
            let work = tokio::task::spawn_blocking(move || {
                // What is here needs no pull, and no event that says so.
                if !store.must_pull(&wanted, policy) {
                    return store.ensure(&wanted, PullPolicy::Never);
                }
                recorder.container(&pod, field, Severity::Normal, "Pulling", format!("Pulling image \"{wanted}\""));
                store.ensure_with(&wanted, policy, &keyring)
            });
            let result = work.await.unwrap_or_else(|error| {
                Err(PullError { kind: PullErrorKind::Failed, message: format!("the pull was given up: {error}") })
            });
            node.tell(&uid, Message::Pulled { container, image, result: Box::new(result), took: begun.elapsed() });
        });
    }

    /// In back-off: the last failure is repeated with the words of the back-off.
    fn wait_for_image(&mut self, name: &str, image: &str, until: Timestamp) {
        let text = format!("Back-off pulling image \"{image}\"");
        self.tell_container(name, Severity::Normal, "BackOff", text.clone());
        self.tell_container(name, Severity::Warning, "Failed", "Error: ImagePullBackOff");
        let slot = self.state.slot_mut(name);
        let last = slot.waiting.as_ref().filter(|waiting| waiting.reason == "ErrImagePull").and_then(|waiting| waiting.message.clone());
        let message = last.map_or(text.clone(), |last| format!("{text}: ErrImagePull: {last}"));
        slot.waiting = Some(Waiting::new("ImagePullBackOff", message));
        slot.image = ImageState::Failed { retry: Some(until) };
    }

    pub(super) fn pulled(&mut self, name: &str, image: &str, result: Result<Pulled, PullError>, took: Duration) {
        // An answer for an image the Pod no longer wants.
        if self.container(name).and_then(|container| container.image).as_deref() != Some(image) {
            return;
        }
        match result {
            Ok(pulled) => {
                let text = match &pulled {
                    Pulled::AlreadyPresent(_) => format!("Container image \"{image}\" already present on machine"),
                    Pulled::Pulled(found) => {
                        let took = go_millis(took);
                        let passed_over = if found.passed_over.is_empty() { String::new() } else { format!(" Hosts passed over: {}.", found.passed_over.join("; ")) };
                        format!("Successfully pulled image \"{image}\" in {took} ({took} including waiting). Image size: {} bytes.{passed_over}", found.size)
                    }
                };
                self.tell_container(name, Severity::Normal, "Pulled", text);
                if matches!(pulled, Pulled::Pulled(_)) {
                    self.node.changed.notify_one();
                }
                self.images.insert(name.to_owned(), pulled.into_image());
                let slot = self.state.slot_mut(name);
                slot.pull_backoff.reset();
                slot.image = ImageState::Here;
            }
            Err(error) => self.pull_failed(name, image, &error),
        }
    }

    fn pull_failed(&mut self, name: &str, image: &str, error: &PullError) {
        let now = Timestamp::now();
        let reason = error.kind.reason();
        match error.kind {
            PullErrorKind::NeverPull => self.tell_container(name, Severity::Warning, "ErrImageNeverPull", error.message.clone()),
            PullErrorKind::InvalidName => self.tell_container(name, Severity::Warning, "InspectFailed", error.message.clone()),
            PullErrorKind::NotFound | PullErrorKind::Failed => {
                self.tell_container(name, Severity::Warning, "Failed", format!("Failed to pull image \"{image}\": {}", error.message));
            }
        }
        self.tell_container(name, Severity::Warning, "Failed", format!("Error: {reason}"));
        let slot = self.state.slot_mut(name);
        if !error.kind.backs_off() {
            slot.waiting = Some(Waiting::new(reason, error.message.clone()));
            slot.image = ImageState::Failed { retry: Some(now + SignedDuration::from_secs(15)) };
            return;
        }
        slot.pull_backoff.next(now, now);
        // The error itself is shown for a while, then that we wait.
        slot.image = ImageState::Failed { retry: Some(now + SignedDuration::from_secs(3)) };
        slot.waiting = Some(Waiting::new(reason, error.message.clone()));
    }
}

/// The passwords of a Pod's image pull Secrets. (Those of its ServiceAccount were written into the Pod when it was admitted.)
// upstream: pkg/kubelet/kubelet_pods.go, getPullSecretsForPod
async fn keyring(node: &Node, pod: &Pod) -> Keyring {
    let api: Api<Secret> = Api::namespaced(node.client.clone(), namespace(pod));
    let (mut keyring, mut missing) = (Keyring::default(), Vec::new());
    for secret in spec(pod).image_pull_secrets.iter().flatten().filter(|secret| !secret.name.is_empty()) {
        match api.get_opt(&secret.name).await {
            Ok(Some(found)) => {
                let data = found.data.unwrap_or_default();
                for file in [".dockerconfigjson", ".dockercfg"].into_iter().filter_map(|key| data.get(key)) {
                    if !keyring.add(&file.0) {
                        tracing::warn!(secret = secret.name, "an image pull Secret cannot be read");
                    }
                }
            }
            Ok(None) => missing.push(secret.name.clone()),
            Err(error) => {
                tracing::warn!(secret = secret.name, %error, "cannot get an image pull Secret");
                missing.push(secret.name.clone());
            }
        }
    }
    if !missing.is_empty() {
        let names = missing.join(", ");
        let text = format!("Unable to retrieve some image pull secrets ({names}); attempting to pull the image may not succeed.");
        node.recorder.pod(pod, Severity::Warning, "FailedToRetrieveImagePullSecret", text);
    }
    keyring
}

/// `1.234s` or `35ms`, as Go prints a duration cut to milliseconds.
fn go_millis(took: Duration) -> String {
    let millis = took.as_millis();
    if millis < 1000 { format!("{millis}ms") } else { format!("{}s", f64::from(u32::try_from(millis).unwrap_or(u32::MAX)) / 1000.0) }
}
