//! What `kubectl get pods` shows of a Pod.
// upstream: pkg/printers/internalversion/printers.go printPod

use drydock_primitives::time;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{meta, registry::Column, table};

/// The columns.
pub(super) fn columns() -> Vec<Column> {
    vec![
        Column::new("Name", table::NAME_DESCRIPTION),
        Column::new("Ready", "The aggregate readiness state of this pod for accepting traffic."),
        Column::new("Status", "The aggregate status of the containers in this pod."),
        Column::new("Restarts", "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted."),
        Column::new("Age", table::AGE_DESCRIPTION),
        Column::new("IP", "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.").wide(),
        Column::new("Node", "NodeName indicates in which node this pod is scheduled.").wide(),
        Column::new("Nominated Node", "nominatedNodeName is set only when this pod preempts other pods on the node.").wide(),
        Column::new("Readiness Gates", "If specified, all readiness gates will be evaluated for pod readiness.").wide(),
    ]
}

/// The cells.
pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = Summary::of(pod);
    let restarts = match summary.last_restart {
        Some(last) if summary.restarts != 0 => format!(
            "{} ({} ago)",
            summary.restarts,
            time::human_duration(now.duration_since(last))
        ),
        _ => summary.restarts.to_string(),
    };
    let or_none =
        |value: Option<&str>| Value::from(value.filter(|v| !v.is_empty()).unwrap_or("<none>"));
    vec![
        Value::from(meta::name(pod)),
        Value::from(format!("{}/{}", summary.ready, summary.total)),
        Value::from(summary.reason),
        Value::from(restarts),
        table::age(pod, now),
        or_none(
            pod.pointer("/status/podIPs/0/ip")
                .or_else(|| pod.pointer("/status/podIP"))
                .and_then(Value::as_str),
        ),
        or_none(pod["spec"]["nodeName"].as_str()),
        or_none(pod["status"]["nominatedNodeName"].as_str()),
        Value::from(readiness_gates(pod)),
    ]
}

/// Finished Pods are marked, so that clients can leave them out.
pub(super) fn row_conditions(pod: &Value) -> Vec<Value> {
    let message = "The pod has completed successfully.";
    match pod["status"]["phase"].as_str() {
        Some("Succeeded") => vec![
            json!({"type": "Completed", "status": "True", "reason": "Succeeded", "message": message}),
        ],
        Some("Failed") => vec![
            json!({"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}),
        ],
        _ => Vec::new(),
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = list(&pod["spec"], "readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let conditions = list(&pod["status"], "conditions");
    let met = gates
        .iter()
        .filter(|gate| {
            conditions
                .iter()
                .any(|c| c["type"] == gate["conditionType"] && c["status"] == "True")
        })
        .count();
    format!("{met}/{}", gates.len())
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[][..], Vec::as_slice)
}

#[derive(Default)]
struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

fn last_restart(status: &Value) -> Option<Timestamp> {
    status
        .pointer("/lastState/terminated/finishedAt")
        .and_then(Value::as_str)
        .and_then(time::parse)
}

fn has_condition(pod: &Value, kind: &str) -> bool {
    list(&pod["status"], "conditions")
        .iter()
        .any(|c| c["type"] == kind && c["status"] == "True")
}

impl Summary {
    fn of(pod: &Value) -> Summary {
        let status = &pod["status"];
        let text = |field: &str| status[field].as_str().filter(|t| !t.is_empty());
        let mut summary = Summary {
            total: list(&pod["spec"], "containers").len(),
            ..Summary::default()
        };
        summary.reason = text("reason").or(text("phase")).unwrap_or("").to_owned();
        let gated = |c: &Value| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated";
        if list(status, "conditions").iter().any(gated) {
            summary.reason = "SchedulingGated".to_owned();
        }
        let sidecars: Vec<&str> = list(&pod["spec"], "initContainers")
            .iter()
            .filter(|c| c["restartPolicy"] == "Always")
            .filter_map(|c| c["name"].as_str())
            .collect();
        summary.total += sidecars.len();
        let (initializing, sidecar_restarts) = summary.init_containers(pod, &sidecars);
        if !initializing || has_condition(pod, "Initialized") {
            (summary.restarts, summary.last_restart) = sidecar_restarts;
            summary.containers(pod);
        }
        let finished = ["Succeeded", "Failed"].contains(&text("phase").unwrap_or(""));
        if meta::is_terminating(pod) {
            if text("reason") == Some("NodeLost") {
                summary.reason = "Unknown".to_owned();
            } else if !finished {
                summary.reason = "Terminating".to_owned();
            }
        }
        summary
    }

    /// Whether initialization is still going on, and the restarts of sidecars.
    fn init_containers(
        &mut self,
        pod: &Value,
        sidecars: &[&str],
    ) -> (bool, (i64, Option<Timestamp>)) {
        let mut of_sidecars = (0, None);
        let total = list(&pod["spec"], "initContainers").len();
        for (index, status) in list(&pod["status"], "initContainerStatuses")
            .iter()
            .enumerate()
        {
            let restarts = status["restartCount"].as_i64().unwrap_or(0);
            let sidecar = sidecars.contains(&status["name"].as_str().unwrap_or(""));
            self.restarts += restarts;
            self.last_restart = self.last_restart.max(last_restart(status));
            if sidecar {
                of_sidecars.0 += restarts;
                of_sidecars.1 = of_sidecars.1.max(last_restart(status));
            }
            let terminated = status["state"].get("terminated");
            let waiting = status
                .pointer("/state/waiting/reason")
                .and_then(Value::as_str)
                .filter(|r| !r.is_empty() && *r != "PodInitializing");
            match (terminated, waiting) {
                (Some(done), _) if done["exitCode"].as_i64().unwrap_or(0) == 0 => continue,
                _ if sidecar && status["started"] == true => {
                    self.ready += usize::from(status["ready"] == true);
                    continue;
                }
                (Some(done), _) => self.reason = format!("Init:{}", exit_reason(done)),
                (None, Some(reason)) => self.reason = format!("Init:{reason}"),
                (None, None) => self.reason = format!("Init:{index}/{total}"),
            }
            return (true, of_sidecars);
        }
        (false, of_sidecars)
    }

    fn containers(&mut self, pod: &Value) {
        let mut has_running = false;
        for status in list(&pod["status"], "containerStatuses").iter().rev() {
            self.restarts += status["restartCount"].as_i64().unwrap_or(0);
            self.last_restart = self.last_restart.max(last_restart(status));
            let state = &status["state"];
            let waiting = state
                .pointer("/waiting/reason")
                .and_then(Value::as_str)
                .filter(|r| !r.is_empty());
            match (waiting, state.get("terminated")) {
                (Some(reason), _) => self.reason = reason.to_owned(),
                (None, Some(done)) => self.reason = exit_reason(done),
                (None, None) if status["ready"] == true && state.get("running").is_some() => {
                    has_running = true;
                    self.ready += 1;
                }
                (None, None) => {}
            }
        }
        if self.reason == "Completed" && has_running {
            self.reason = if has_condition(pod, "Ready") {
                "Running"
            } else {
                "NotReady"
            }
            .to_owned();
        }
    }
}

fn exit_reason(terminated: &Value) -> String {
    match (
        terminated["reason"].as_str().filter(|r| !r.is_empty()),
        terminated["signal"].as_i64().unwrap_or(0),
    ) {
        (Some(reason), _) => reason.to_owned(),
        (None, 0) => format!("ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or(0)),
        (None, signal) => format!("Signal:{signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pod: &Value) -> (String, String, String) {
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let cells = cells(pod, now);
        let text = |i: usize| cells[i].as_str().unwrap().to_owned();
        (text(1), text(2), text(3))
    }

    #[test]
    fn the_status_column_follows_the_containers() {
        let one = json!({"containers": [{"name": "a"}]});
        let two = json!({"containers": [{"name": "a"}, {"name": "b"}]});
        let init = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]});
        let sidecar = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]});
        let running = json!({"ready": true, "state": {"running": {}}});
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let cases = [
            (
                json!({"spec": one, "status": {"phase": "Pending"}}),
                ("0/1", "Pending", "0"),
            ),
            (
                json!({"spec": one, "status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}}),
                ("0/1", "ContainerCreating", "0"),
            ),
            (
                json!({"spec": one, "status": {"phase": "Running", "containerStatuses": [running]}}),
                ("1/1", "Running", "0"),
            ),
            (
                json!({"spec": one, "status": {"phase": "Running", "containerStatuses": [{"restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"finishedAt": "2026-01-01T00:59:55Z"}}}]}}),
                ("0/1", "CrashLoopBackOff", "2 (5s ago)"),
            ),
            (
                json!({"spec": one, "status": {"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}]}}),
                ("0/1", "Completed", "0"),
            ),
            (
                json!({"spec": one, "status": {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}}),
                ("0/1", "ExitCode:3", "0"),
            ),
            (
                json!({"spec": two, "status": {"phase": "Running", "conditions": ready, "containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}, running]}}),
                ("1/2", "Running", "0"),
            ),
            (
                json!({"spec": two, "status": {"phase": "Running", "containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}, running]}}),
                ("1/2", "NotReady", "0"),
            ),
            (
                json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": one, "status": {"phase": "Running", "containerStatuses": [running]}}),
                ("1/1", "Terminating", "0"),
            ),
            (
                json!({"spec": init, "status": {"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 0}}}, {"name": "j", "state": {"running": {}}}]}}),
                ("0/1", "Init:1/2", "0"),
            ),
            (
                json!({"spec": init, "status": {"phase": "Pending", "initContainerStatuses": [{"name": "i", "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}),
                ("0/1", "Init:CrashLoopBackOff", "1"),
            ),
            (
                json!({"spec": init, "status": {"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}}),
                ("0/1", "Init:Error", "0"),
            ),
            (
                json!({"spec": sidecar, "status": {"phase": "Running", "initContainerStatuses": [{"name": "s", "started": true, "ready": true, "state": {"running": {}}}], "containerStatuses": [running]}}),
                ("2/2", "Running", "0"),
            ),
            (
                json!({"spec": one, "status": {"phase": "Failed", "reason": "Evicted"}}),
                ("0/1", "Evicted", "0"),
            ),
        ];
        for (pod, (ready, status, restarts)) in cases {
            assert_eq!(
                shown(&pod),
                (ready.to_owned(), status.to_owned(), restarts.to_owned()),
                "{pod}"
            );
        }
    }
}
