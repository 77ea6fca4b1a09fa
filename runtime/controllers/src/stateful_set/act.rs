//! Making, mending and removing the Pods of a StatefulSet, their claims first, with the events that say so.
// upstream: pkg/controller/statefulset/stateful_pod_control.go

use std::fmt::Display;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt};

use super::plan::Step;
use super::retention::{self, Verdict};
use super::{Revisions, identity};
use crate::cache::Key;
use crate::error::{Error, Result, ignore_not_found};
use crate::owner::set_owners;
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
            Step::Settle(pod, ordinal) => drop(hand.settle(pod, *ordinal).await?),
            Step::Renew(pod) => {
                let (reason, what) = if crate::pod::phase(pod) == "Failed" { ("RecreatingFailedPod", "failed") } else { ("RecreatingTerminatedPod", "terminated") };
                let whose = format!("{}/{}", set.namespace().unwrap_or_default(), set.name_any());
                controller.recorder.event(set, Kind::Warning, reason, format!("StatefulSet {whose} is recreating {what} Pod {}", pod.name_any()));
                hand.delete(pod).await?;
            }
            Step::Delete(pod) => hand.delete(pod).await?,
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
        // A claim that goes with the Pod that was there before is not for this one; the news that it has gone comes here, too.
        // upstream: PodClaimIsStale
        if self.claims_there(ordinal).iter().any(|claim| retention::is_stale(claim, &pod)) {
            return Ok(());
        }
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
    ///
    /// The claims of a Pod that runs are there, even if one of them is on its way out: it is none of the set's concern until the Pod goes.
    // upstream: processReplica, UpdateStatefulPod
    async fn mend(&self, pod: &Arc<Pod>, ordinal: i32) -> Result<()> {
        let waits = crate::pod::phase(pod) == "Pending";
        if waits || !identity::has_storage(pod, self.set, self.spec, ordinal) {
            self.create_claims(ordinal).await?;
        }
        let settled = self.settle(pod, ordinal).await?;
        let mut right = (**pod).clone();
        let mended = identity::identify(&mut right, self.set, self.spec, ordinal);
        if !mended && (waits || !settled) {
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
            if let Some(owner) = retention::first_owner(self.set, self.spec) {
                claim.metadata.owner_references.get_or_insert_default().push(owner);
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

    /// The claims of this number that are there.
    fn claims_there(&self, ordinal: i32) -> Vec<Arc<PersistentVolumeClaim>> {
        let namespace = self.set.namespace().unwrap_or_default();
        let claims = identity::claims(self.set, self.spec, ordinal);
        claims.iter().filter_map(|claim| self.controller.caches.claims.get(&Key::new(&namespace, &claim.name_any()))).collect()
    }

    /// The claims of a Pod go with the set, with the Pod or with nobody, as the set says; true when one of them did not.
    // upstream: ClaimsMatchRetentionPolicy, UpdatePodClaimForRetentionPolicy
    async fn settle(&self, pod: &Pod, ordinal: i32) -> Result<bool> {
        let mut changed = false;
        for claim in self.claims_there(ordinal) {
            let verdict = retention::judge(&claim, self.set, self.spec, pod, ordinal);
            let is_news = verdict != Verdict::Right || crate::pod::phase(pod) == "Pending";
            if is_news && retention::is_anothers(&claim, self.set, self.spec, pod) {
                let name = claim.name_any();
                // upstream spells it so.
                let message = format!("PersistentVolumeClaim {name} has a conflicting OwnerReference that acts as a manging controller, the retention policy is ignored for this claim");
                self.controller.recorder.event(self.set, Kind::Warning, "ConflictingController", message);
            }
            if let Verdict::Owners(owners) = verdict {
                if let Some(written) = set_owners(&self.claims(), &*claim, owners).await? {
                    self.controller.caches.claims.reached(&written).await;
                }
                changed = true;
            }
        }
        Ok(changed)
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
