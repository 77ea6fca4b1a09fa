//! Persistent volumes, claims and classes.

use serde_json::Value;

use super::page::Page;
use super::resources::canonical;
use super::value::{at, list, pairs, since, text, text_or, texts};
use super::{ANNOTATIONS, EVENTS, LABELS, NAME, NAMESPACE, Row, Subject, bracketed, volumes};

pub(super) const VOLUME: &[Row] = &[
    NAME,
    LABELS,
    ANNOTATIONS,
    Row::Bracketed("Finalizers", "metadata.finalizers"),
    Row::Part(storage_class),
    Row::Part(status),
    Row::Part(claim),
    Row::Text("Reclaim Policy", "spec.persistentVolumeReclaimPolicy"),
    Row::Part(|subject, page| page.field(0, "Access Modes", access_modes(&texts(subject.object, "spec.accessModes")))),
    Row::Present("VolumeMode", "spec.volumeMode"),
    Row::Part(|subject, page| page.field(0, "Capacity", canonical(&text_or(subject.object, "spec.capacity.storage", "0")))),
    Row::Part(node_affinity),
    Row::Text("Message", "status.message"),
    Row::Part(|subject, page| {
        page.line(0, "Source:");
        volumes::persistent(at(subject.object, "spec"), page);
    }),
    EVENTS,
];

pub(super) const CLAIM: &[Row] = &[
    NAME,
    NAMESPACE,
    Row::Part(storage_class),
    Row::Part(status),
    Row::Text("Volume", "spec.volumeName"),
    LABELS,
    ANNOTATIONS,
    Row::Bracketed("Finalizers", "metadata.finalizers"),
    Row::Part(|subject, page| claim_details(subject.object, page, 0)),
    Row::Part(used_by),
    Row::Part(claim_conditions),
    EVENTS,
];

pub(super) const CLASS: &[Row] = &[
    NAME,
    Row::Part(is_default),
    Row::Flat("Annotations", "metadata.annotations"),
    Row::Text("Provisioner", "provisioner"),
    Row::Flat("Parameters", "parameters"),
    Row::Flag("AllowVolumeExpansion", "allowVolumeExpansion"),
    Row::Part(mount_options),
    Row::Present("ReclaimPolicy", "reclaimPolicy"),
    Row::Present("VolumeBindingMode", "volumeBindingMode"),
    Row::Part(allowed_topologies),
    EVENTS,
];

/// The class of a volume or claim: the old annotation counts first.
fn class_of(object: &Value) -> String {
    match at(object, "metadata.annotations")["volume.beta.kubernetes.io/storage-class"].as_str() {
        Some(class) => class.to_owned(),
        None => text(object, "spec.storageClassName"),
    }
}

fn storage_class(subject: &Subject<'_>, page: &mut Page) {
    page.field(0, "StorageClass", class_of(subject.object));
}

fn status(subject: &Subject<'_>, page: &mut Page) {
    if at(subject.object, "metadata.deletionTimestamp").is_null() {
        return page.field(0, "Status", text(subject.object, "status.phase"));
    }
    page.field(0, "Status", format_args!("Terminating (lasts {})", since(subject.now, subject.object, "metadata.deletionTimestamp")));
}

fn claim(subject: &Subject<'_>, page: &mut Page) {
    let claim = at(subject.object, "spec.claimRef");
    let shown = if claim.is_null() { String::new() } else { format!("{}/{}", text(claim, "namespace"), text(claim, "name")) };
    page.field(0, "Claim", shown);
}

/// Access modes in their short forms, always in the same order.
pub(super) fn access_modes(modes: &[String]) -> String {
    let short = [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    short.iter().filter(|(long, _)| modes.iter().any(|mode| mode == long)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

fn node_affinity(subject: &Subject<'_>, page: &mut Page) {
    let required = at(subject.object, "spec.nodeAffinity.required");
    if required.is_null() {
        return page.line(0, "Node Affinity:\t<none>");
    }
    page.line(0, "Node Affinity:\t");
    let terms = list(required, "nodeSelectorTerms");
    page.line(1, if terms.is_empty() { "Required Terms:\t<none>" } else { "Required Terms:\t" });
    for (number, term) in terms.iter().enumerate() {
        let expressions = list(term, "matchExpressions").iter().map(|expression| {
            let shown = format!("{} {}", text(expression, "key"), text(expression, "operator").to_lowercase());
            with_values(shown, expression)
        });
        page.multiline(&format!("    Term {number}:\t"), "    \t", expressions);
    }
}

fn with_values(shown: String, expression: &Value) -> String {
    let values = texts(expression, "values");
    if values.is_empty() { shown } else { format!("{shown} [{}]", values.join(", ")) }
}

/// From capacity on: what a whole claim and a template both show.
fn claim_details(claim: &Value, page: &mut Page, level: usize) {
    let bound = !text(claim, "spec.volumeName").is_empty();
    let (capacity, modes) = match bound {
        true => (canonical(&text_or(claim, "status.capacity.storage", "0")), access_modes(&texts(claim, "status.accessModes"))),
        false => (String::new(), String::new()),
    };
    page.field(level, "Capacity", capacity);
    page.field(level, "Access Modes", modes);
    let mode = text(claim, "spec.volumeMode");
    if !mode.is_empty() {
        page.field(level, "VolumeMode", mode);
    }
    let source = at(claim, "spec.dataSource");
    if source.is_null() {
        return;
    }
    page.line(level, "DataSource:");
    for (label, path) in [("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name")] {
        if path != "apiGroup" || !source[path].is_null() {
            page.field(level + 1, label, text(source, path));
        }
    }
}

/// The claim an ephemeral volume makes, moved to the right; its values too, as stock kubectl has it.
pub(super) fn claim_template(template: &Value, page: &mut Page, indent: &str) {
    if template.is_null() {
        return;
    }
    page.field(2, "StorageClass", class_of(template));
    page.field(2, "Volume", text(template, "spec.volumeName"));
    for (title, path) in [("Labels", "metadata.labels"), ("Annotations", "metadata.annotations")] {
        let separator = if title == "Labels" { "=" } else { ": " };
        let mut shown: Vec<String> = pairs(at(template, path)).into_iter().map(|(key, value)| format!("{indent}{key}{separator}{value}")).collect();
        if shown.is_empty() {
            shown.push(format!("{indent}<none>"));
        }
        let next = if title == "Labels" { format!("{indent}{indent}\t") } else { format!("{indent}\t") };
        page.multiline(&format!("{indent}{title}:\t"), &next, shown);
    }
    claim_details(template, page, 2);
}

/// The claims a StatefulSet makes.
pub(super) fn claim_templates(templates: &[Value], page: &mut Page) {
    if templates.is_empty() {
        return page.field(0, "Volume Claims", "<none>");
    }
    page.line(0, "Volume Claims:");
    for template in templates {
        page.field(1, "Name", text(template, "metadata.name"));
        page.field(1, "StorageClass", class_of(template));
        for (title, path) in [("Labels", "metadata.labels"), ("Annotations", "metadata.annotations")] {
            let shown = pairs(at(template, path)).into_iter().map(|(key, value)| format!("{key}={value}"));
            page.multiline(&format!("  {title}:\t"), "  \t", shown);
        }
        page.field(1, "Capacity", canonical(&text_or(template, "spec.resources.requests.storage", "<default>")));
        page.field(1, "Access Modes", bracketed(at(template, "spec.accessModes")));
    }
}

fn used_by(subject: &Subject<'_>, page: &mut Page) {
    let name = text(subject.object, "metadata.name");
    let owners = list(subject.object, "metadata.ownerReferences");
    let uses = |pod: &&Value| {
        let mounts = list(pod, "spec.volumes").iter().any(|volume| text(volume, "persistentVolumeClaim.claimName") == name);
        mounts || owners.iter().any(|owner| owner["kind"] == "Pod" && owner["uid"] == pod["metadata"]["uid"])
    };
    let mut pods: Vec<String> = subject.related.items("pods").iter().filter(uses).map(|pod| text(pod, "metadata.name")).collect();
    pods.sort();
    page.multiline("Used By:\t", "\t", pods);
}

fn claim_conditions(subject: &Subject<'_>, page: &mut Page) {
    let conditions = list(subject.object, "status.conditions");
    if conditions.is_empty() {
        return;
    }
    page.line(0, "Conditions:");
    page.row(1, &["Type", "Status", "LastProbeTime", "LastTransitionTime", "Reason", "Message"]);
    page.row(1, &["----", "------", "-----------------", "------------------", "------", "-------"]);
    for condition in conditions {
        let cells = [
            text(condition, "type"),
            text(condition, "status"),
            page.date(condition, "lastProbeTime"),
            page.date(condition, "lastTransitionTime"),
            text(condition, "reason"),
            text(condition, "message"),
        ];
        page.line(1, cells.join(" \t"));
    }
}

fn is_default(subject: &Subject<'_>, page: &mut Page) {
    let annotations = at(subject.object, "metadata.annotations");
    let marks = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    let default = marks.iter().any(|mark| annotations[*mark] == "true");
    page.field(0, "IsDefaultClass", if default { "Yes" } else { "No" });
}

fn mount_options(subject: &Subject<'_>, page: &mut Page) {
    let options = texts(subject.object, "mountOptions");
    if options.is_empty() {
        return page.field(0, "MountOptions", "<none>");
    }
    page.line(0, "MountOptions:");
    options.iter().for_each(|option| page.line(1, option));
}

fn allowed_topologies(subject: &Subject<'_>, page: &mut Page) {
    let topologies = at(subject.object, "allowedTopologies");
    if topologies.is_null() {
        return;
    }
    let terms = list(subject.object, "allowedTopologies");
    page.line(0, if terms.is_empty() { "AllowedTopologies:\t<none>" } else { "AllowedTopologies:\t" });
    for (number, term) in terms.iter().enumerate() {
        let expressions = list(term, "matchLabelExpressions").iter().map(|expression| with_values(format!("{} in", text(expression, "key")), expression));
        page.multiline(&format!("  Term {number}:\t"), "  \t", expressions);
    }
}
