//! Workloads: what keeps Pods running.

use serde_json::Value;

use super::page::Page;
use super::template::{self, selector_or_none, selector_text};
use super::value::{at, flat, list, text, text_or, time};
use super::{ANNOTATIONS, CONTROLLER, CREATED, EVENTS, LABELS, NAME, NAMESPACE, Row, Subject, storage};

const TEMPLATE: Row = Row::Part(|subject, page| template::section(at(subject.object, "spec.template"), page));
const REPLICAS: Row = Row::Part(|subject, page| {
    let (current, desired) = (text_or(subject.object, "status.replicas", "0"), text_or(subject.object, "spec.replicas", "0"));
    page.field(0, "Replicas", format_args!("{current} current / {desired} desired"));
});
const SELECTOR: Row = Row::Part(|subject, page| page.field(0, "Selector", selector_text(at(subject.object, "spec.selector"))));
const CONDITIONS: Row = Row::Part(conditions);
const PODS_STATUS: Row = Row::Part(pods_status);

pub(super) const REPLICATION_CONTROLLER: &[Row] =
    &[NAME, NAMESPACE, Row::Flat("Selector", "spec.selector"), LABELS, ANNOTATIONS, REPLICAS, PODS_STATUS, TEMPLATE, CONDITIONS, EVENTS];

pub(super) const REPLICA_SET: &[Row] = &[
    NAME,
    NAMESPACE,
    Row::Part(|subject, page| page.field(0, "Selector", selector_or_none(at(subject.object, "spec.selector")))),
    LABELS,
    ANNOTATIONS,
    CONTROLLER,
    REPLICAS,
    PODS_STATUS,
    TEMPLATE,
    CONDITIONS,
    EVENTS,
];

pub(super) const DEPLOYMENT: &[Row] = &[
    NAME,
    NAMESPACE,
    CREATED,
    LABELS,
    ANNOTATIONS,
    SELECTOR,
    Row::Part(deployment_replicas),
    Row::Text("StrategyType", "spec.strategy.type"),
    Row::Or("MinReadySeconds", "spec.minReadySeconds", "0"),
    Row::Part(rolling_update),
    TEMPLATE,
    CONDITIONS,
    Row::Part(replica_sets),
    EVENTS,
];

pub(super) const DAEMON_SET: &[Row] = &[
    NAME,
    SELECTOR,
    Row::Part(|subject, page| page.field(0, "Node-Selector", flat(at(subject.object, "spec.template.spec.nodeSelector")))),
    LABELS,
    ANNOTATIONS,
    Row::Part(scheduled),
    PODS_STATUS,
    TEMPLATE,
    EVENTS,
];

pub(super) const STATEFUL_SET: &[Row] = &[
    NAME,
    NAMESPACE,
    CREATED,
    SELECTOR,
    LABELS,
    ANNOTATIONS,
    Row::Part(stateful_replicas),
    PODS_STATUS,
    TEMPLATE,
    Row::Part(|subject, page| storage::claim_templates(list(subject.object, "spec.volumeClaimTemplates"), page)),
    EVENTS,
];

pub(super) const JOB: &[Row] = &[
    NAME,
    NAMESPACE,
    SELECTOR,
    LABELS,
    ANNOTATIONS,
    CONTROLLER,
    Row::Present("Parallelism", "spec.parallelism"),
    Row::Or("Completions", "spec.completions", "<unset>"),
    Row::Present("Completion Mode", "spec.completionMode"),
    Row::Present("Suspend", "spec.suspend"),
    Row::Present("Backoff Limit", "spec.backoffLimit"),
    Row::Present("TTL Seconds After Finished", "spec.ttlSecondsAfterFinished"),
    Row::DatePresent("Start Time", "status.startTime"),
    Row::DatePresent("Completed At", "status.completionTime"),
    Row::Part(job_progress),
    TEMPLATE,
    EVENTS,
];

pub(super) const CRON_JOB: &[Row] = &[
    NAME,
    NAMESPACE,
    LABELS,
    ANNOTATIONS,
    Row::Text("Schedule", "spec.schedule"),
    Row::Text("Concurrency Policy", "spec.concurrencyPolicy"),
    Row::Flag("Suspend", "spec.suspend"),
    Row::Or("Successful Job History Limit", "spec.successfulJobsHistoryLimit", "<unset>"),
    Row::Or("Failed Job History Limit", "spec.failedJobsHistoryLimit", "<unset>"),
    Row::Part(|subject, page| seconds(subject.object, "Starting Deadline Seconds", "spec.startingDeadlineSeconds", Some("<unset>"), page)),
    Row::Part(job_template),
    EVENTS,
];

fn pods_status(subject: &Subject<'_>, page: &mut Page) {
    let pods = match subject.related.outcome("pods") {
        Ok(pods) => pods,
        Err(error) => return page.field(0, "Pods Status", format_args!("error in fetching pods: {error}")),
    };
    let own = |pod: &&Value| list(pod, "metadata.ownerReferences").iter().any(|owner| owner["controller"] == true && owner["uid"] == subject.object["metadata"]["uid"]);
    let phases: Vec<String> = pods.iter().filter(own).map(|pod| text(pod, "status.phase")).collect();
    let count = |phase: &str| phases.iter().filter(|own| *own == phase).count();
    let counts = [count("Running"), count("Pending"), count("Succeeded"), count("Failed")];
    page.field(0, "Pods Status", format_args!("{} Running / {} Waiting / {} Succeeded / {} Failed", counts[0], counts[1], counts[2], counts[3]));
}

fn conditions(subject: &Subject<'_>, page: &mut Page) {
    let conditions = list(subject.object, "status.conditions");
    if conditions.is_empty() {
        return;
    }
    page.line(0, "Conditions:");
    page.row(1, &["Type", "Status", "Reason"]);
    page.row(1, &["----", "------", "------"]);
    for condition in conditions {
        page.line(1, format_args!("{} \t{}\t{}", text(condition, "type"), text(condition, "status"), text(condition, "reason")));
    }
}

fn deployment_replicas(subject: &Subject<'_>, page: &mut Page) {
    let number = |path: &str| text_or(subject.object, path, "0");
    let counts = format!(
        "{} desired | {} updated | {} total | {} available | {} unavailable",
        number("spec.replicas"),
        number("status.updatedReplicas"),
        number("status.replicas"),
        number("status.availableReplicas"),
        number("status.unavailableReplicas")
    );
    page.field(0, "Replicas", counts);
}

fn rolling_update(subject: &Subject<'_>, page: &mut Page) {
    let update = at(subject.object, "spec.strategy.rollingUpdate");
    if !update.is_null() {
        let (unavailable, surge) = (text(update, "maxUnavailable"), text(update, "maxSurge"));
        page.field(0, "RollingUpdateStrategy", format_args!("{unavailable} max unavailable, {surge} max surge"));
    }
}

fn replica_sets(subject: &Subject<'_>, page: &mut Page) {
    let own = |set: &&Value| list(set, "metadata.ownerReferences").iter().any(|owner| owner["controller"] == true && owner["uid"] == subject.object["metadata"]["uid"]);
    let mut sets: Vec<&Value> = subject.related.items("replicasets").iter().filter(own).collect();
    if sets.is_empty() {
        return;
    }
    sets.sort_by_key(|set| (time(set, "metadata.creationTimestamp"), text(set, "metadata.name")));
    let wanted = without_hash(at(subject.object, "spec.template"));
    let new = sets.iter().position(|set| without_hash(at(set, "spec.template")) == wanted);
    let new: Vec<&Value> = new.map(|at| sets.remove(at)).into_iter().collect();
    page.field(0, "OldReplicaSets", replicas_created(&sets));
    page.field(0, "NewReplicaSet", replicas_created(&new));
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove("pod-template-hash");
    }
    template
}

fn replicas_created(sets: &[&Value]) -> String {
    let shown = sets.iter().map(|set| {
        let (name, current, desired) = (text(set, "metadata.name"), text_or(set, "status.replicas", "0"), text_or(set, "spec.replicas", "0"));
        format!("{name} ({current}/{desired} replicas created)")
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    if shown.is_empty() { "<none>".to_owned() } else { shown }
}

fn scheduled(subject: &Subject<'_>, page: &mut Page) {
    let numbers = [
        ("Desired Number of Nodes Scheduled", "status.desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "status.currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "status.updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "status.numberAvailable"),
        ("Number of Nodes Misscheduled", "status.numberMisscheduled"),
    ];
    for (label, path) in numbers {
        page.line(0, format_args!("{label}: {}", text_or(subject.object, path, "0")));
    }
}

fn stateful_replicas(subject: &Subject<'_>, page: &mut Page) {
    let (desired, total) = (text_or(subject.object, "spec.replicas", "0"), text_or(subject.object, "status.replicas", "0"));
    page.field(0, "Replicas", format_args!("{desired} desired | {total} total"));
    page.field(0, "Update Strategy", text(subject.object, "spec.updateStrategy.type"));
    let update = at(subject.object, "spec.updateStrategy.rollingUpdate");
    if !update["partition"].is_null() {
        page.field(1, "Partition", text(update, "partition"));
        if !update["maxUnavailable"].is_null() {
            page.field(1, "MaxUnavailable", text(update, "maxUnavailable"));
        }
    }
}

/// A number of seconds, left out or named when absent.
fn seconds(object: &Value, label: &str, path: &str, absent: Option<&str>, page: &mut Page) {
    let seconds = text(object, path);
    if !seconds.is_empty() {
        page.field(0, label, format_args!("{seconds}s"));
    } else if let Some(absent) = absent {
        page.field(0, label, absent);
    }
}

fn job_progress(subject: &Subject<'_>, page: &mut Page) {
    let job = subject.object;
    if let (Some(start), Some(end)) = (time(job, "status.startTime"), time(job, "status.completionTime")) {
        page.field(0, "Duration", drydock_primitives::time::human_duration(end.duration_since(start)));
    }
    seconds(job, "Active Deadline Seconds", "spec.activeDeadlineSeconds", None, page);
    let number = |path: &str| text_or(job, path, "0");
    let ready = text(job, "status.ready");
    let ready = if ready.is_empty() { ready } else { format!(" ({ready} Ready)") };
    let (active, succeeded, failed) = (number("status.active"), number("status.succeeded"), number("status.failed"));
    page.field(0, "Pods Statuses", format_args!("{active} Active{ready} / {succeeded} Succeeded / {failed} Failed"));
    if text(job, "spec.completionMode") == "Indexed" {
        let indexes = text_or(job, "status.completedIndexes", "<none>");
        let cut = indexes.char_indices().find(|(at, char)| *at >= 50 && *char == ',').map(|(at, _)| at);
        page.field(0, "Completed Indexes", cut.map_or_else(|| indexes.clone(), |at| format!("{}...", &indexes[..=at])));
    }
}

fn job_template(subject: &Subject<'_>, page: &mut Page) {
    let template = at(subject.object, "spec.jobTemplate.spec");
    let selector = at(template, "selector");
    page.field(0, "Selector", if selector.is_null() { "<unset>".to_owned() } else { selector_text(selector) });
    page.field(0, "Parallelism", text_or(template, "parallelism", "<unset>"));
    page.field(0, "Completions", text_or(template, "completions", "<unset>"));
    seconds(template, "Active Deadline Seconds", "activeDeadlineSeconds", None, page);
    template::section(at(template, "template"), page);
    match at(subject.object, "status.lastScheduleTime") {
        Value::Null => page.field(0, "Last Schedule Time", "<unset>"),
        _ => Row::Date("Last Schedule Time", "status.lastScheduleTime").write(subject, page),
    }
    let active: Vec<String> = list(subject.object, "status.active").iter().map(|job| text(job, "name")).collect();
    page.field(0, "Active Jobs", if active.is_empty() { "<none>".to_owned() } else { active.join(", ") });
}
