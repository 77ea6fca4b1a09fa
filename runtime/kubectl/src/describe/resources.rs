//! What containers and Pods ask for.

use drydock_primitives::quantity::Quantity;
use serde_json::Value;

use super::page::Page;
use super::value::{Resources, at, list, pairs, resources, text};

/// Limits and requests, each left out when empty.
pub(super) fn section(requirements: &Value, page: &mut Page, level: usize) {
    for (title, path) in [("Limits", "limits"), ("Requests", "requests")] {
        let quantities = pairs(&requirements[path]);
        if !quantities.is_empty() {
            page.line(level, format_args!("{title}:"));
        }
        for (name, quantity) in quantities {
            page.field(level + 1, &name, canonical(&quantity));
        }
    }
}

/// A quantity in its canonical form.
pub(super) fn canonical(quantity: &str) -> String {
    quantity.parse::<Quantity>().map_or_else(|_| quantity.to_owned(), |quantity| quantity.to_string())
}

/// The requests of a whole Pod.
// upstream: kubectl/pkg/util/resource/resource.go podRequests
pub(super) fn pod_requests(pod: &Value) -> Resources {
    let statuses = list(pod, "status.containerStatuses");
    let mut total = of_containers(pod, "requests", |container| {
        let own = resources(at(container, "resources.requests"));
        let Some(status) = statuses.iter().find(|status| status["name"] == container["name"] && !status["resources"].is_null()) else { return own };
        let mut actual = resources(at(status, "resources.requests"));
        if pod["status"]["resize"] != "Infeasible" {
            most(&mut actual, own);
        }
        actual
    });
    add(&mut total, resources(at(pod, "spec.overhead")));
    total
}

/// The limits of a whole Pod.
// upstream: kubectl/pkg/util/resource/resource.go podLimits
pub(super) fn pod_limits(pod: &Value) -> Resources {
    let mut total = of_containers(pod, "limits", |container| resources(at(container, "resources.limits")));
    let overhead = resources(at(pod, "spec.overhead")).into_iter().filter(|(name, _)| total.get(name).is_some_and(|limit| limit.milli_value() != 0)).collect();
    add(&mut total, overhead);
    total
}

/// Containers together, or the neediest moment of their initialization.
fn of_containers(pod: &Value, which: &str, own: impl Fn(&Value) -> Resources) -> Resources {
    let mut total = Resources::new();
    for container in list(pod, "spec.containers") {
        add(&mut total, own(container));
    }
    let (mut sidecars, mut initial) = (Resources::new(), Resources::new());
    for container in list(pod, "spec.initContainers") {
        let needs = resources(&container["resources"][which]);
        let mut moment = sidecars.clone();
        add(&mut moment, needs.clone());
        if container["restartPolicy"] == "Always" {
            add(&mut total, needs.clone());
            add(&mut sidecars, needs);
        }
        most(&mut initial, moment);
    }
    most(&mut total, initial);
    total
}

/// Add quantities by name.
pub(super) fn add(total: &mut Resources, more: Resources) {
    for (name, quantity) in more {
        total.entry(name).and_modify(|sum| *sum = *sum + quantity).or_insert(quantity);
    }
}

fn most(total: &mut Resources, other: Resources) {
    for (name, quantity) in other {
        total.entry(name).and_modify(|own| *own = (*own).max(quantity)).or_insert(quantity);
    }
}

/// The value of a `resourceFieldRef`, in units of its divisor, rounded up.
pub(super) fn container_value(container: &Value, reference: &Value) -> String {
    let resource = text(reference, "resource");
    let Some((which, name)) = resource.split_once('.') else { return String::new() };
    if !matches!(which, "limits" | "requests") || !(matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")) {
        return String::new();
    }
    let amount = resources(&container["resources"][which]).get(name).map_or(0, |quantity| quantity.milli_value());
    let divisor = text(reference, "divisor").parse::<Quantity>().map_or(1000, Quantity::milli_value);
    let divisor = if divisor == 0 { 1000 } else { divisor };
    (amount.div_euclid(divisor) + i64::from(amount.rem_euclid(divisor) != 0)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_needs_what_its_neediest_moment_needs() {
        let pod = json!({"spec": {
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}}, {"name": "b", "resources": {"requests": {"cpu": "200m"}}}],
            "initContainers": [
                {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}},
                {"name": "first", "resources": {"requests": {"cpu": "500m"}}},
            ],
            "overhead": {"cpu": "10m"},
        }});
        assert_eq!(pod_requests(&pod)["cpu"].to_string(), "560m");
        assert_eq!(pod_limits(&pod)["cpu"].to_string(), "1010m");
    }

    #[test]
    fn resource_fields_are_rounded_up() {
        let container = json!({"resources": {"limits": {"cpu": "1500m", "memory": "1Mi"}}});
        let cases = [
            ("limits.cpu", "", "2"),
            ("limits.cpu", "1m", "1500"),
            ("limits.memory", "1Ki", "1024"),
            ("requests.cpu", "0", "0"),
            ("nonsense", "", ""),
        ];
        for (resource, divisor, wanted) in cases {
            assert_eq!(container_value(&container, &json!({"resource": resource, "divisor": divisor})), wanted, "{resource} {divisor}");
        }
    }
}
