//! `kubectl auth reconcile`: roles and bindings get what they lack, by what rules mean and not by how they are written.
// upstream: kubectl/pkg/cmd/auth/reconcile.go, component-helpers/auth/rbac/{reconciliation,validation}

use clap::{ArgMatches, Command};
use http::Method;
use serde_json::{Map, Value, json};

use crate::builder::{self, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::print;
use crate::rest::Call;
use crate::write::{self, DryRun, Writer};

const GROUP: &str = "rbac.authorization.k8s.io/v1";
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// Its flags.
pub fn command() -> Command {
    Command::new("reconcile")
        .about("Reconcile rules of roles and subjects of bindings: what is missing is created or added, what is there and not in the files stays unless its removal is asked for.")
        .args(print::arguments())
        .args(builder::file_flags("Filename, directory, or URL to files identifying the resource to reconcile."))
        .args([
            write::dry_run_flag(),
            flags::switch("remove-extra-permissions", "If true, removes extra permissions added to roles"),
            flags::switch("remove-extra-subjects", "If true, removes extra subjects added to rolebindings"),
        ])
        .override_usage("kubectl auth reconcile -f FILENAME [options]")
}

/// What has to be done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Nothing,
    Create,
    Update,
    Recreate,
}

/// What is to become of an object, and why.
#[derive(Debug)]
struct Plan {
    object: Value,
    operation: Operation,
    protected: bool,
    missing: Vec<Value>,
    extra: Vec<Value>,
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut selection = Selection::read_typed(factory, matches)?;
    if !selection.has_files() {
        return Err(Failure::new("must specify one of -f and -k"));
    }
    if !selection.words.is_empty() {
        return Err(Failure::new("no arguments are allowed"));
    }
    let mut writer = Writer::read(factory, matches)?;
    if writer.dry_run == DryRun::Server {
        return Err(Failure::new("--dry-run=server for command reconcile is not supported yet"));
    }
    selection.local = true;
    factory.rest().await?;
    let mut failures = Vec::new();
    let infos = selection.manifests(factory, &mut failures).await?;
    for info in infos.into_iter().filter(|info| info.mapping.api_version() == GROUP) {
        let binding = match info.mapping.kind.as_str() {
            "Role" | "ClusterRole" => false,
            "RoleBinding" | "ClusterRoleBinding" => true,
            _ => continue,
        };
        let list = list_path(&info.mapping.kind, &info.namespace);
        let remove = matches.on(if binding { "remove-extra-subjects" } else { "remove-extra-permissions" });
        match one(factory, &writer, &list, info.object, (binding, remove)).await {
            Ok(plan) => tell(factory, &mut writer, &plan, (binding, remove))?,
            Err(failure @ Failure::Unreachable(_)) => return Err(failure),
            Err(failure) => failures.push(failure),
        }
    }
    Failure::all(failures)
}

/// Where objects of a kind are; one that names no namespace is nowhere.
// upstream: client-go/gentype/type.go NamespaceIfScoped
fn list_path(kind: &str, namespace: &str) -> String {
    let resource = format!("{}s", kind.to_lowercase());
    if namespace.is_empty() { format!("/apis/{GROUP}/{resource}") } else { format!("/apis/{GROUP}/namespaces/{namespace}/{resource}") }
}

async fn one(factory: &Factory, writer: &Writer, list: &str, expected: Value, (binding, remove): (bool, bool)) -> Result<Plan, Failure> {
    let path = format!("{list}/{}", expected["metadata"]["name"].as_str().unwrap_or_default());
    let found = factory.call(Call::get(&path)).await;
    let uid = found.as_ref().map_or(Value::Null, |existing| existing["metadata"]["uid"].clone());
    let plan = match found {
        Ok(existing) if binding => plan_binding(&existing, expected, remove),
        Ok(existing) => plan_role(&existing, &expected, remove),
        Err(failure) if failure.is("NotFound") => {
            let missing = expected[if binding { "subjects" } else { "rules" }].as_array().cloned().unwrap_or_default();
            Plan { object: expected, operation: Operation::Create, protected: false, missing, extra: Vec::new() }
        }
        Err(failure) => return Err(failure),
    };
    if plan.protected || writer.dry_run == DryRun::Client {
        let object = if matches!(plan.operation, Operation::Create | Operation::Recreate) { as_go_writes(plan.object) } else { plan.object };
        return Ok(Plan { object, ..plan });
    }
    let object = match plan.operation {
        Operation::Nothing => return Ok(plan),
        Operation::Update => factory.call(Call::new(Method::PUT, &path).json(&plan.object)).await?,
        Operation::Create | Operation::Recreate => {
            if plan.operation == Operation::Recreate {
                // What somebody else put there meanwhile is not removed.
                let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}});
                factory.call(Call::new(Method::DELETE, &path).json(&options)).await?;
            } else {
                ensure_namespace(factory, &plan.object).await?;
            }
            factory.call(Call::new(Method::POST, list).json(&plan.object)).await?
        }
    };
    Ok(Plan { object, ..plan })
}

/// An object that is nowhere yet, as Go writes its type.
fn as_go_writes(mut object: Value) -> Value {
    if object["metadata"]["creationTimestamp"].is_null() {
        object["metadata"]["creationTimestamp"] = Value::Null;
    }
    if let Some(fields) = object.as_object_mut().filter(|fields| fields.get("subjects").and_then(Value::as_array).is_some_and(Vec::is_empty)) {
        fields.remove("subjects");
    }
    object
}

async fn ensure_namespace(factory: &Factory, object: &Value) -> Result<(), Failure> {
    if object["kind"].as_str().is_some_and(|kind| kind.starts_with("Cluster")) {
        return Ok(());
    }
    let namespace = object["metadata"]["namespace"].as_str().filter(|namespace| !namespace.is_empty());
    let namespace = namespace.ok_or_else(|| Failure::new("resource name may not be empty"))?;
    match factory.call(Call::get(format!("/api/v1/namespaces/{namespace}"))).await {
        Err(failure) if failure.is("NotFound") => {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            factory.call(Call::new(Method::POST, "/api/v1/namespaces").json(&object)).await.map(drop)
        }
        _ => Ok(()),
    }
}

/// The existing object with what the expected one has of labels and annotations; what is there counts.
fn with_metadata(existing: &Value, expected: &Value) -> (Value, Operation) {
    let mut object = existing.clone();
    for field in ["annotations", "labels"] {
        let mut all: Map<String, Value> = expected["metadata"][field].as_object().cloned().unwrap_or_default();
        all.extend(existing["metadata"][field].as_object().cloned().unwrap_or_default());
        if !all.is_empty() {
            object["metadata"][field] = Value::Object(all);
        }
    }
    let operation = if object == *existing { Operation::Nothing } else { Operation::Update };
    (object, operation)
}

fn protected(existing: &Value) -> bool {
    existing["metadata"]["annotations"][AUTO_UPDATE] == "false"
}

fn plan_role(existing: &Value, expected: &Value, remove: bool) -> Plan {
    let (mut object, mut operation) = with_metadata(existing, expected);
    let (there, wanted) = (list(existing, "rules"), list(expected, "rules"));
    let both_aggregate = !existing["aggregationRule"].is_null() && !expected["aggregationRule"].is_null();
    let extra = if both_aggregate { Vec::new() } else { uncovered(wanted, there) };
    let missing = uncovered(there, wanted);
    if !remove && !missing.is_empty() {
        object["rules"] = there.iter().chain(&missing).cloned().collect::<Vec<_>>().into();
        operation = Operation::Update;
    } else if remove && !(missing.is_empty() && extra.is_empty()) {
        object["rules"] = json!(wanted);
        operation = Operation::Update;
    }
    if aggregate(&mut object, existing, expected, remove) {
        operation = Operation::Update;
    }
    Plan { object, operation, protected: protected(existing), missing, extra }
}

/// Which roles a role is made of; whether that changes.
fn aggregate(object: &mut Value, existing: &Value, expected: &Value, remove: bool) -> bool {
    let selectors = |role: &Value| role["aggregationRule"]["clusterRoleSelectors"].as_array().cloned().unwrap_or_default();
    let (there, wanted) = (selectors(existing), selectors(expected));
    let missing: Vec<Value> = wanted.iter().filter(|selector| !there.contains(selector)).cloned().collect();
    if expected["aggregationRule"].is_null() {
        return object.as_object_mut().and_then(|fields| fields.remove("aggregationRule")).is_some_and(|rule| !rule.is_null());
    }
    if !remove && !missing.is_empty() {
        object["aggregationRule"]["clusterRoleSelectors"] = there.into_iter().chain(missing).collect::<Vec<_>>().into();
        return true;
    }
    let changed = remove && (!missing.is_empty() || there.iter().any(|selector| !wanted.contains(selector)));
    if changed {
        object["aggregationRule"] = expected["aggregationRule"].clone();
    }
    changed
}

fn plan_binding(existing: &Value, expected: Value, remove: bool) -> Plan {
    let protected = protected(existing);
    if ["apiGroup", "kind", "name"].iter().any(|field| expected["roleRef"][field] != existing["roleRef"][field]) {
        return Plan { object: expected, operation: Operation::Recreate, protected, missing: Vec::new(), extra: Vec::new() };
    }
    let (mut object, mut operation) = with_metadata(existing, &expected);
    let (there, wanted) = (list(existing, "subjects"), list(&expected, "subjects"));
    let only = |some: &[Value], others: &[Value]| -> Vec<Value> { some.iter().filter(|subject| !others.iter().any(|other| subject_text(other) == subject_text(subject))).cloned().collect() };
    let (missing, extra) = (only(wanted, there), only(there, wanted));
    if !remove && !missing.is_empty() {
        object["subjects"] = there.iter().chain(&missing).cloned().collect::<Vec<_>>().into();
        operation = Operation::Update;
    } else if remove && !(missing.is_empty() && extra.is_empty()) {
        object["subjects"] = json!(wanted);
        operation = Operation::Update;
    }
    Plan { object, operation, protected, missing, extra }
}

fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn texts<'a>(rule: &'a Value, field: &str) -> Vec<&'a str> {
    list(rule, field).iter().filter_map(Value::as_str).collect()
}

/// What of the rules no owner has, each taken down to one verb, one resource and one name.
fn uncovered(owners: &[Value], rules: &[Value]) -> Vec<Value> {
    rules.iter().flat_map(pieces).filter(|piece| !owners.iter().any(|owner| covers(owner, piece))).collect()
}

fn pieces(rule: &Value) -> Vec<Value> {
    let mut pieces = Vec::new();
    let (verbs, names) = (texts(rule, "verbs"), texts(rule, "resourceNames"));
    for group in texts(rule, "apiGroups") {
        for resource in texts(rule, "resources") {
            for verb in &verbs {
                let piece = json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]});
                if names.is_empty() {
                    pieces.push(piece.clone());
                }
                pieces.extend(names.iter().map(|name| {
                    let mut piece = piece.clone();
                    piece["resourceNames"] = json!([name]);
                    piece
                }));
            }
        }
    }
    for url in texts(rule, "nonResourceURLs") {
        pieces.extend(verbs.iter().map(|verb| json!({"nonResourceURLs": [url], "verbs": [verb]})));
    }
    pieces
}

fn covers(owner: &Value, piece: &Value) -> bool {
    let all = |field: &str, fits: &dyn Fn(&str, &str) -> bool| texts(piece, field).iter().all(|wanted| texts(owner, field).iter().any(|has| fits(has, wanted)));
    let star = |has: &str, wanted: &str| has == "*" || has == wanted;
    let resource = |has: &str, wanted: &str| star(has, wanted) || wanted.split_once('/').is_some_and(|(_, sub)| has == format!("*/{sub}"));
    let url = |has: &str, wanted: &str| has == wanted || has.ends_with('*') && wanted.starts_with(has.trim_end_matches('*'));
    let names = list(owner, "resourceNames").is_empty() || !list(piece, "resourceNames").is_empty() && all("resourceNames", &|has, wanted| has == wanted);
    all("verbs", &star) && all("apiGroups", &star) && all("resources", &resource) && all("nonResourceURLs", &url) && names
}

/// As Go prints the struct.
fn rule_text(rule: &Value) -> String {
    let shown = |field: &str| texts(rule, field).join(" ");
    format!("{{Verbs:[{}] APIGroups:[{}] Resources:[{}] ResourceNames:[{}] NonResourceURLs:[{}]}}", shown("verbs"), shown("apiGroups"), shown("resources"), shown("resourceNames"), shown("nonResourceURLs"))
}

fn subject_text(subject: &Value) -> String {
    let text = |field: &str| subject[field].as_str().unwrap_or_default().to_owned();
    format!("{{Kind:{} APIGroup:{} Name:{} Namespace:{}}}", text("kind"), text("apiGroup"), text("name"), text("namespace"))
}

fn tell(factory: &Factory, writer: &mut Writer, plan: &Plan, (binding, remove): (bool, bool)) -> Result<(), Failure> {
    writer.tell(factory, &plan.object, "reconciled")?;
    let required = match plan.operation {
        Operation::Nothing => return Ok(()),
        Operation::Create => "create",
        Operation::Update => "update",
        Operation::Recreate => "recreate",
    };
    let caveat = if plan.protected { format!(", but object opted out ({AUTO_UPDATE}: false)") } else { String::new() };
    factory.streams.warn(&format!("\treconciliation required {required}{caveat}"));
    let what = if binding { "subjects" } else { "rules" };
    for (title, list, shown) in [("missing", &plan.missing, true), ("extra", &plan.extra, remove)] {
        if !shown || list.is_empty() {
            continue;
        }
        factory.streams.warn(&format!("\t{title} {what} {}:", if title == "missing" { "added" } else { "removed" }));
        for one in list {
            factory.streams.warn(&format!("\t\t{}", if binding { subject_text(one) } else { rule_text(one) }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_compared_by_what_they_allow() {
        let rule = |verbs: &[&str], groups: &[&str], resources: &[&str], names: &[&str]| json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "resourceNames": names});
        let cases = [
            (rule(&["*"], &["*"], &["*"], &[]), rule(&["get"], &["apps"], &["deployments/scale"], &["x"]), 0),
            (rule(&["get"], &[""], &["*/log"], &[]), rule(&["get"], &[""], &["pods/log", "pods"], &[]), 1),
            (rule(&["get"], &[""], &["pods"], &["a"]), rule(&["get", "list"], &[""], &["pods"], &[]), 2),
            (rule(&["get", "list"], &[""], &["pods"], &[]), rule(&["get"], &[""], &["pods"], &["a", "b"]), 0),
        ];
        for (owner, servant, count) in cases {
            assert_eq!(uncovered(std::slice::from_ref(&owner), std::slice::from_ref(&servant)).len(), count, "{owner} {servant}");
        }
        assert!(covers(&json!({"verbs": ["get"], "nonResourceURLs": ["/api*"]}), &json!({"verbs": ["get"], "nonResourceURLs": ["/apis"]})));
    }
}
