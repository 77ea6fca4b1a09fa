//! Lifecycle hooks: a command, a request or a pause after a container started or before it stops.

// upstream: pkg/kubelet/lifecycle/handlers.go

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};

use super::node::Node;
use super::probe;
use super::records::Record;

/// Run a hook to its end.
pub(super) async fn run(node: &Node, container: &Container, record: &Record, hook: &LifecycleHandler) -> Result<(), String> {
    if let Some(exec) = &hook.exec {
        let command = exec.command.clone().unwrap_or_default();
        return match node.exec_collect(record, command.clone(), None).await {
            Ok((0, _)) => Ok(()),
            Ok((code, output)) => Err(format!(
                "Exec lifecycle hook ({command:?}) for Container \"{}\" failed - error: command '{}' exited with {code}: {}",
                container.name,
                command.join(" "),
                String::from_utf8_lossy(&output)
            )),
            Err(error) => Err(error.to_string()),
        };
    }
    if let Some(action) = &hook.http_get {
        return probe::http_get(container, &record.ip, action, Duration::from_secs(30)).await;
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    Err("invalid handler".to_owned())
}
