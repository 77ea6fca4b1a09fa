//! Versions: which ReplicaSet has the current template, and the revision numbers that `kubectl rollout history` shows.
// upstream: pkg/controller/deployment/util/deployment_util.go, sync.go getNewReplicaSet

use drydock_primitives::names;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::{Rollout, Sets, desired, progress, scaling};
use crate::condition::{FALSE, TRUE};
use crate::error::{Error, Result};
use crate::owner::{controller_of, controller_reference};
use crate::recorder::Kind;
use crate::shared::MANAGER;
use crate::template;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Annotations of a Deployment that its ReplicaSets do not take over.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    scaling::DESIRED,
    scaling::MAXIMUM,
    "deprecated.deployment.rollback.to",
];

/// Whether a ReplicaSet for the current template is created when there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Create {
    Yes,
    No,
}

/// The revision number; zero when there is none.
pub(super) fn revision(meta: &ObjectMeta) -> i64 {
    annotation(meta, REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a String> {
    meta.annotations.as_ref()?.get(key)
}

impl Rollout {
    /// Sorts the ReplicaSets into new and old, with revisions brought up to date.
    pub(super) async fn find(&mut self, mut sets: Vec<ReplicaSet>, create: Create) -> Result<Sets> {
        sets.sort_by_key(|set| (set.metadata.creation_timestamp.as_ref().map(|time| time.0), set.name_any()));
        let wanted = template::comparable(&self.spec.template);
        let position = sets.iter().position(|set| template_of(set).as_ref().map(template::comparable).as_ref() == Some(&wanted));
        let new = position.map(|position| sets.remove(position));
        let number = sets.iter().map(|set| revision(&set.metadata)).max().unwrap_or(0) + 1;
        let new = match (new, create) {
            (Some(new), _) => Some(self.refresh(new, number).await?),
            (None, Create::No) => None,
            (None, Create::Yes) => self.create_new(&sets, number).await?,
        };
        Ok(Sets { new, old: sets })
    }

    /// An existing ReplicaSet of the current template gets the newest revision: that is what a rollback is.
    async fn refresh(&mut self, set: ReplicaSet, number: i64) -> Result<ReplicaSet> {
        let mut changed = set.clone();
        let annotated = self.annotate(&mut changed, number, Known::Yes);
        let min_ready = self.spec.min_ready_seconds;
        let spec = changed.spec.get_or_insert_default();
        let delayed = spec.min_ready_seconds.unwrap_or(0) != min_ready.unwrap_or(0);
        if annotated || delayed {
            spec.min_ready_seconds = min_ready;
            let written = self.sets_api().replace(&set.name_any(), &params(), &changed).await?;
            self.controller.caches.replica_sets.reached(&written).await;
            return Ok(written);
        }
        let missing = self.spec.progress_deadline_seconds.is_some() && progress::find(&self.status(), progress::PROGRESSING).is_none();
        let found = missing.then(|| progress::Note {
            status: TRUE,
            reason: "FoundNewReplicaSet",
            message: format!("Found new replica set {:?}", set.name_any()),
        });
        self.record_revision(revision(&set.metadata), found).await?;
        Ok(set)
    }

    async fn create_new(&mut self, old: &[ReplicaSet], number: i64) -> Result<Option<ReplicaSet>> {
        let mut set = self.blueprint();
        let current: i32 = old.iter().map(desired).sum();
        let replicas = self.new_replicas(0, current);
        set.spec.get_or_insert_default().replicas = Some(replicas);
        self.annotate(&mut set, number, Known::No);
        let name = set.name_any();
        let (created, existed) = match self.sets_api().create(&params(), &set).await.map_err(Error::from) {
            Ok(created) => (created, false),
            Err(error) if error.is_already_exists() => match self.resolve_collision(&name).await? {
                Some(existing) => (existing, true),
                None => return Err(error),
            },
            Err(error) if error.is_namespace_terminating() => return Ok(None),
            Err(error) => {
                let message = format!("Failed to create new replica set {name:?}: {}", error.message());
                self.event(Kind::Warning, "ReplicaSetCreateError", message.clone());
                let failed = progress::Note { status: FALSE, reason: "ReplicaSetCreateError", message };
                self.record_revision(number, Some(failed)).await?;
                return Err(error);
            }
        };
        self.controller.caches.replica_sets.reached(&created).await;
        if !existed && replicas > 0 {
            self.event(Kind::Normal, "ScalingReplicaSet", format!("Scaled up replica set {name} from 0 to {replicas}"));
        }
        let made = (!existed && self.spec.progress_deadline_seconds.is_some()).then(|| progress::Note {
            status: TRUE,
            reason: "NewReplicaSetCreated",
            message: format!("Created new replica set {name:?}"),
        });
        self.record_revision(number, made).await?;
        Ok(Some(created))
    }

    /// Somebody has the name: ours already, or the hash must be salted.
    async fn resolve_collision(&mut self, name: &str) -> Result<Option<ReplicaSet>> {
        let existing = self.sets_api().get(name).await?;
        let mine = controller_of(&existing.metadata).is_some_and(|owner| Some(&owner.uid) == self.object.metadata.uid.as_ref());
        if mine && template_of(&existing).as_ref().map(template::comparable) == Some(template::comparable(&self.spec.template)) {
            return Ok(Some(existing));
        }
        let mut status = self.status();
        status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
        self.put_status(status).await?;
        Ok(None)
    }

    fn blueprint(&self) -> ReplicaSet {
        let hash = template::hash(&self.spec.template, self.status().collision_count);
        let mut template = self.spec.template.clone();
        template.metadata.get_or_insert_default().labels.get_or_insert_default().insert(template::HASH_LABEL.into(), hash.clone());
        let mut selector = self.spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(template::HASH_LABEL.into(), hash.clone());
        // upstream: pkg/controller/deployment/sync.go generateReplicaSetName
        let mut base = self.name();
        base.truncate(names::DNS_SUBDOMAIN_MAX - hash.len() - 1);
        ReplicaSet {
            metadata: ObjectMeta {
                name: Some(format!("{base}-{hash}")),
                namespace: self.object.namespace(),
                labels: template.metadata.as_ref().and_then(|meta| meta.labels.clone()),
                owner_references: Some(vec![controller_reference(&self.object)]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec { replicas: Some(0), min_ready_seconds: self.spec.min_ready_seconds, selector, template: Some(template) }),
            status: None,
        }
    }

    /// Brings the annotations of the current ReplicaSet up to date; answers whether they have changed.
    // upstream: deployment_util.go SetNewReplicaSetAnnotations
    fn annotate(&self, set: &mut ReplicaSet, number: i64, known: Known) -> bool {
        let before = set.metadata.annotations.clone().unwrap_or_default();
        let mut after = before.clone();
        for (key, value) in self.object.metadata.annotations.iter().flatten().filter(|(key, _)| !NOT_COPIED.contains(&key.as_str())) {
            after.insert(key.clone(), value.clone());
        }
        let old = before.get(REVISION);
        if old.and_then(|old| old.parse().ok()).unwrap_or(0) < number {
            after.insert(REVISION.into(), number.to_string());
            if let Some(old) = old {
                let history = before.get(REVISION_HISTORY).filter(|history| !history.is_empty());
                let seen = history.is_some_and(|history| history.split(',').any(|one| one == old));
                if !seen {
                    let history = history.map_or_else(|| old.clone(), |history| format!("{history},{old}"));
                    after.insert(REVISION_HISTORY.into(), history);
                }
            }
        }
        if known == Known::No {
            self.annotate_size(&mut after);
        }
        let changed = after != before;
        set.metadata.annotations = Some(after);
        changed
    }

    /// Writes the revision, and a note about progress, to the Deployment.
    async fn record_revision(&mut self, number: i64, note: Option<progress::Note>) -> Result<()> {
        let stale = revision(&self.object.metadata) != number;
        if !stale && note.is_none() {
            return Ok(());
        }
        let mut status = self.status();
        if let Some(note) = note {
            progress::set(&mut status, progress::PROGRESSING, note, self.controller.clock.now());
        }
        self.object.metadata.annotations.get_or_insert_default().insert(REVISION.into(), number.to_string());
        self.put_status(status).await?;
        // A status write carries annotations only where the API lets it; the revision must arrive in any case.
        if revision(&self.object.metadata) != number {
            let patch = json!({"metadata": {"annotations": {REVISION: number.to_string()}}});
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            self.object = self.api().patch(&self.name(), &params, &Patch::Merge(patch)).await?;
            self.controller.caches.deployments.reached(&self.object).await;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Yes,
    No,
}

fn params() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

fn template_of(set: &ReplicaSet) -> Option<PodTemplateSpec> {
    set.spec.as_ref()?.template.clone()
}
