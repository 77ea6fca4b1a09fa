//! Making, mending and removing the Pods of a StatefulSet, their claims first, with the events that say so.
// upstream: pkg/controller/statefulset/stateful_pod_control.go

use std::fmt::Display;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use super::plan::Step;
use super::{Revisions, identity};
use crate::cache::Key;
use crate::error::{Error, Result, ignore_not_found};
use crate::owner::controller_reference;
use crate::recorder::Kind;
use crate::shared::{Controller, MANAGER};

fn params() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

/// Does one step after the other; the first that fails ends it.
pub(super) async fn carry_out(controller: &Controller, set: &StatefulSet, spec: &StatefulSetSpec, revisions: &Revisions, steps: &[Step]) -> Result<()> {
    let hand = Hand { controller, set, spec };
    for step in steps {
        match step {
            Step::Create { ordinal, new } => {
                let of = if *new { &revisions.history.current } else { &revisions.current };
                hand.create(identity::pod(set, spec, of, *ordinal), *ordinal).await?;
            }
            Step::Mend(pod, ordinal) => hand.mend(pod, *ordinal).await?,
            Step::Renew(pod) => {
                let (reason, what) = if crate::pod::phase(pod) == "Failed" { ("RecreatingFailedPod", "failed") } else { ("RecreatingTerminatedPod", "terminated") };
                let whose = format!("{}/{}", set.namespace().unwrap_or_default(), set.name_any());
                controller.recorder.event(set, Kind::Warning, reason, format!("StatefulSet {whose} is recreating {what} Pod {}", pod.name_any()));
                hand.delete(pod).await?;
            }
            Step::Delete(pod) => {
                hand.hand_over(pod).await?;
                hand.delete(pod).await?;
            }
        }
    }
    Ok(())
}

struct Hand<'a> {
    controller: &'a Controller,
    set: &'a StatefulSet,
    spec: &'a StatefulSetSpec,
}

impl Hand<'_> {
    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.controller.client.clone(), &self.set.namespace().unwrap_or_default())
    }

    fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.controller.client.clone(), &self.set.namespace().unwrap_or_default())
    }

    /// Says how something went with a Pod.
    // upstream: recordPodEvent
    fn tell(&self, verb: &str, pod: &str, error: Option<&dyn Display>) {
        let set = self.set.name_any();
        let reason = |outcome: &str| format!("{outcome}{}{}", verb[..1].to_uppercase(), &verb[1..]);
        let (kind, reason, message) = match error {
            None => (Kind::Normal, reason("Successful"), format!("{verb} Pod {pod} in StatefulSet {set} successful")),
            Some(error) => (Kind::Warning, reason("Failed"), format!("{verb} Pod {pod} in StatefulSet {set} failed error: {error}")),
        };
        self.controller.recorder.event(self.set, kind, &reason, message);
    }

    async fn create(&self, pod: Pod, ordinal: i32) -> Result<()> {
        let name = pod.name_any();
        let created = match self.create_claims(ordinal).await {
            Ok(()) => self.pods().create(&params(), &pod).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        match created {
            Ok(pod) => {
                self.tell("create", &name, None);
                self.controller.caches.pods.reached(&pod).await;
                Ok(())
            }
            // It is there already; the next look finds it.
            Err(error) if error.is_already_exists() => Err(error),
            Err(error) => {
                self.tell("create", &name, Some(&error.message()));
                Err(error)
            }
        }
    }

    /// What a Pod has lost is given back.
    async fn mend(&self, pod: &Arc<Pod>, ordinal: i32) -> Result<()> {
        self.create_claims(ordinal).await?;
        let mut right = (**pod).clone();
        if !identity::identify(&mut right, self.set, self.spec, ordinal) {
            return Ok(());
        }
        match self.pods().replace(&pod.name_any(), &params(), &right).await.map_err(Error::from) {
            Ok(written) => {
                self.tell("update", &pod.name_any(), None);
                self.controller.caches.pods.reached(&written).await;
                Ok(())
            }
            Err(error) => {
                self.tell("update", &pod.name_any(), Some(&error.message()));
                Err(error)
            }
        }
    }

    /// Claims that are missing; one of that name that is there is used, whoever made it.
    async fn create_claims(&self, ordinal: i32) -> Result<()> {
        let (namespace, pod) = (self.set.namespace().unwrap_or_default(), identity::name(self.set, ordinal));
        for mut claim in identity::claims(self.set, self.spec, ordinal) {
            let name = claim.name_any();
            match self.controller.caches.claims.get(&Key::new(&namespace, &name)) {
                Some(there) if there.metadata.deletion_timestamp.is_some() => return Err(Error::Object(format!("pvc {name} is being deleted"))),
                Some(_) => continue,
                None => {}
            }
            if self.retention(true) {
                claim.metadata.owner_references = Some(vec![OwnerReference { controller: None, block_owner_deletion: None, ..controller_reference(self.set) }]);
            }
            let set = self.set.name_any();
            match self.claims().create(&params(), &claim).await.map_err(Error::from) {
                Ok(created) => {
                    let message = format!("create Claim {name} Pod {pod} in StatefulSet {set} success");
                    self.controller.recorder.event(self.set, Kind::Normal, "SuccessfulCreate", message);
                    self.controller.caches.claims.reached(&created).await;
                }
                Err(error) if error.is_already_exists() => {}
                Err(error) => {
                    let message = format!("create Claim {name} for Pod {pod} in StatefulSet {set} failed error: {}", error.message());
                    self.controller.recorder.event(self.set, Kind::Warning, "FailedCreate", message);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Whether claims go with the set, or else with a Pod that is scaled away.
    fn retention(&self, with_set: bool) -> bool {
        let policy = self.spec.persistent_volume_claim_retention_policy.as_ref();
        let word = policy.and_then(|policy| if with_set { policy.when_deleted.as_deref() } else { policy.when_scaled.as_deref() });
        word == Some("Delete")
    }

    /// The claims of a Pod that is scaled away go with it, where the set says so.
    // upstream: UpdatePodClaimForRetentionPolicy
    async fn hand_over(&self, pod: &Pod) -> Result<()> {
        let Some(ordinal) = identity::ordinal(&self.set.name_any(), &pod.name_any()).filter(|_| self.retention(false)) else { return Ok(()) };
        let start = identity::start(self.spec);
        if (start..start + self.spec.replicas.unwrap_or(1)).contains(&ordinal) {
            return Ok(());
        }
        let owner = OwnerReference { controller: None, block_owner_deletion: None, ..controller_reference(pod) };
        for claim in identity::claims(self.set, self.spec, ordinal) {
            let patch = Patch::Merge(json!({"metadata": {"ownerReferences": [owner]}}));
            let written = self.claims().patch(&claim.name_any(), &PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }, &patch).await;
            if let Some(written) = ignore_not_found(written)? {
                self.controller.caches.claims.reached(&written).await;
            }
        }
        Ok(())
    }

    async fn delete(&self, pod: &Pod) -> Result<()> {
        let conditions = Preconditions { uid: pod.meta().uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(conditions), ..DeleteParams::default() };
        match ignore_not_found(self.pods().delete(&pod.name_any(), &params).await) {
            Ok(_) => {
                self.tell("delete", &pod.name_any(), None);
                self.controller.caches.pods.gone(&Key::of(pod), &pod.uid().unwrap_or_default()).await;
                Ok(())
            }
            Err(error) => {
                self.tell("delete", &pod.name_any(), Some(&error.message()));
                Err(error)
            }
        }
    }
}
