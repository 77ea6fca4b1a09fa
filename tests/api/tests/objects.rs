//! The write path at the wire: create, update, patch, delete and the subresources.

use anyhow::Result;
use drydock_api::registry::{Registry, Resource, Subresource};
use drydock_primitives::clock::SystemClock;
use drydock_test_api::Cluster;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}})
}

fn deployment(name: &str, replicas: i32) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}},
        },
    })
}

#[tokio::test]
async fn refusals_have_upstreams_words() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.make(PODS, pod("taken")).await?;
    let cases = [
        ("GET", format!("{PODS}/absent"), Value::Null, 404, "NotFound", "pods \"absent\" not found"),
        ("GET", "/apis/apps/v1/namespaces/default/deployments/x".to_owned(), Value::Null, 404, "NotFound", "deployments.apps \"x\" not found"),
        ("GET", "/api/v1/nonsense".to_owned(), Value::Null, 404, "NotFound", "the server could not find the requested resource"),
        ("POST", PODS.to_owned(), pod("taken"), 409, "AlreadyExists", "pods \"taken\" already exists"),
        ("POST", "/api/v1/namespaces/none/pods".to_owned(), pod("a"), 404, "NotFound", "namespaces \"none\" not found"),
        ("POST", "/api/v1/pods".to_owned(), pod("a"), 405, "MethodNotAllowed", "the server does not allow this method on the requested resource"),
        (
            "POST",
            PODS.to_owned(),
            json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "other"}, "spec": {"containers": []}}),
            400,
            "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            "POST",
            MAPS.to_owned(),
            json!({"metadata": {"name": "Bad_Name"}}),
            422,
            "Invalid",
            "ConfigMap \"Bad_Name\" is invalid: metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain must consist of lower case \
             alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        ("DELETE", "/api/v1/namespaces/default".to_owned(), Value::Null, 403, "Forbidden", "namespaces \"default\" is forbidden: this namespace may not be deleted"),
        (
            "DELETE",
            format!("{PODS}/taken"),
            json!({"preconditions": {"uid": "other"}}),
            409,
            "Conflict",
            "Operation cannot be fulfilled on Pod \"taken\": the UID in the precondition",
        ),
    ];
    for (method, path, body, code, reason, message) in cases {
        let answer = cluster.call(method, &path, body).await?;
        let got = (answer.code, answer.text("/reason"), answer.text("/kind"));
        assert_eq!(got, (code, reason, "Status"), "{method} {path}: {}", answer.body);
        assert!(answer.text("/message").starts_with(message), "{method} {path}: {}", answer.text("/message"));
    }
    Ok(())
}

#[tokio::test]
async fn a_new_object_gets_what_the_server_owes_it() -> Result<()> {
    let cluster = Cluster::start().await?;
    let first = cluster.make(MAPS, json!({"metadata": {"generateName": "settings-"}, "data": {"a": "1"}})).await?;
    let second = cluster.make(MAPS, json!({"metadata": {"generateName": "settings-"}})).await?;
    let (one, two) = (first["metadata"]["name"].as_str().unwrap_or_default(), second["metadata"]["name"].as_str().unwrap_or_default());
    assert!(one.starts_with("settings-") && one.len() == 14 && one != two, "{one} {two}");
    for field in ["uid", "resourceVersion", "creationTimestamp", "namespace"] {
        assert!(first["metadata"][field].is_string(), "{field}: {first}");
    }
    let made = cluster.make(DEPLOYMENTS, deployment("web", 2)).await?;
    let cases = [
        ("/metadata/generation", json!(1)),
        ("/spec/strategy/type", json!("RollingUpdate")),
        ("/spec/revisionHistoryLimit", json!(10)),
        ("/spec/template/spec/restartPolicy", json!("Always")),
        ("/spec/template/spec/containers/0/imagePullPolicy", json!("Always")),
        ("/status", json!({})),
    ];
    for (pointer, expected) in cases {
        assert_eq!(made.pointer(pointer), Some(&expected), "{pointer}: {made}");
    }
    let run = cluster.make(PODS, pod("plain")).await?;
    for (pointer, expected) in [
        ("/spec/serviceAccountName", json!("default")),
        ("/spec/terminationGracePeriodSeconds", json!(30)),
        ("/spec/priority", json!(0)),
        ("/status/phase", json!("Pending")),
        ("/status/qosClass", json!("BestEffort")),
    ] {
        assert_eq!(run.pointer(pointer), Some(&expected), "{pointer}: {run}");
    }
    let service = json!({"metadata": {"name": "web"}, "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80}]}});
    let service = cluster.make("/api/v1/namespaces/default/services", service).await?;
    assert!(service["spec"]["clusterIP"].as_str().is_some_and(|address| address.starts_with("10.")), "{service}");
    assert!(service["spec"]["ports"][0]["nodePort"].as_u64().is_some_and(|port| (30_000..32_768).contains(&port)), "{service}");
    Ok(())
}

#[tokio::test]
async fn an_update_must_know_what_it_changes() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut map = cluster.make(MAPS, json!({"metadata": {"name": "a"}, "data": {"x": "1"}})).await?;
    let path = format!("{MAPS}/a");
    map["data"]["x"] = json!("2");
    let updated = cluster.call("PUT", &path, map.clone()).await?;
    assert_eq!((updated.code, updated.text("/data/x")), (200, "2"));
    let stale = cluster.call("PUT", &path, map.clone()).await?;
    assert_eq!(
        (stale.code, stale.text("/message")),
        (409, "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again")
    );
    // Without a resourceVersion the last one wins; the same again changes nothing.
    map["metadata"]["resourceVersion"] = json!("");
    map["data"]["x"] = json!("3");
    let blind = cluster.call("PUT", &path, map.clone()).await?;
    assert_eq!((blind.code, blind.text("/data/x")), (200, "3"));
    let again = cluster.call("PUT", &path, map).await?;
    assert_eq!(again.text("/metadata/resourceVersion"), blind.text("/metadata/resourceVersion"));
    // The status of a Deployment is out of reach of its main resource, and the other way round.
    let web = cluster.make(DEPLOYMENTS, deployment("web", 1)).await?;
    let mut changed = web.clone();
    changed["status"] = json!({"replicas": 9});
    changed["spec"]["replicas"] = json!(3);
    let main = cluster.call("PUT", &format!("{DEPLOYMENTS}/web"), changed).await?;
    assert_eq!((main.at("/spec/replicas"), main.at("/status/replicas"), main.at("/metadata/generation")), (&json!(3), &Value::Null, &json!(2)));
    let mut changed = main.body.clone();
    changed["status"] = json!({"replicas": 9, "observedGeneration": 2});
    changed["spec"]["replicas"] = json!(7);
    let status = cluster.call("PUT", &format!("{DEPLOYMENTS}/web/status"), changed).await?;
    assert_eq!((status.at("/spec/replicas"), status.at("/status/replicas"), status.at("/metadata/generation")), (&json!(3), &json!(9), &json!(2)));
    Ok(())
}

#[tokio::test]
async fn every_patch_type_patches() -> Result<()> {
    let cluster = Cluster::start().await?;
    let path = format!("{DEPLOYMENTS}/web");
    cluster.make(DEPLOYMENTS, deployment("web", 1)).await?;
    let cases = [
        ("application/json-patch+json", json!([{"op": "replace", "path": "/spec/replicas", "value": 2}]), "/spec/replicas", json!(2)),
        ("application/merge-patch+json", json!({"metadata": {"labels": {"a": "b"}}}), "/metadata/labels/a", json!("b")),
        ("application/merge-patch+json", json!({"metadata": {"labels": {"a": null}}}), "/metadata/labels/a", Value::Null),
        (
            "application/strategic-merge-patch+json",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:2"}, {"name": "side", "image": "envoy"}]}}}}),
            "/spec/template/spec/containers/1/image",
            json!("envoy"),
        ),
        (
            "application/strategic-merge-patch+json",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "$patch": "delete"}]}}}}),
            "/spec/template/spec/containers/1",
            Value::Null,
        ),
        (
            "application/apply-patch+yaml",
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"labels": {"team": "x"}}}),
            "/metadata/labels/team",
            json!("x"),
        ),
    ];
    for (media_type, patch, pointer, expected) in cases {
        let query = if media_type.contains("apply") { "?fieldManager=test" } else { "" };
        let answer = cluster.patch(&format!("{path}{query}"), media_type, patch.clone()).await?;
        assert_eq!(answer.code, 200, "{patch}: {}", answer.body);
        assert_eq!(answer.at(pointer), &expected, "{media_type} {patch}: {}", answer.body);
    }
    let refusals = [
        ("application/json-patch+json", "", json!([{"op": "test", "path": "/spec/replicas", "value": 99}]), 422),
        ("application/json", "", json!({}), 415),
        ("application/apply-patch+yaml", "", json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}), 422),
        ("application/merge-patch+json", "?force=true", json!({}), 422),
        ("application/merge-patch+json", "", json!({"metadata": {"resourceVersion": "1"}}), 409),
    ];
    for (media_type, query, patch, code) in refusals {
        let answer = cluster.patch(&format!("{path}{query}"), media_type, patch.clone()).await?;
        assert_eq!(answer.code, code, "{media_type}{query} {patch}: {}", answer.body);
    }
    Ok(())
}

#[tokio::test]
async fn server_side_apply_creates_owns_and_conflicts() -> Result<()> {
    let cluster = Cluster::start().await?;
    let apply = |manager: &str, force: &str, data: Value| {
        let path = format!("{MAPS}/owned?fieldManager={manager}{force}");
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned"}, "data": data});
        let cluster = &cluster;
        async move { cluster.patch(&path, "application/apply-patch+yaml", object).await }
    };
    let created = apply("one", "", json!({"a": "1", "b": "1"})).await?;
    assert_eq!((created.code, created.text("/metadata/managedFields/0/manager")), (201, "one"), "{}", created.body);
    let conflict = apply("two", "", json!({"a": "2"})).await?;
    assert_eq!((conflict.code, conflict.text("/reason")), (409, "Conflict"), "{}", conflict.body);
    assert!(conflict.text("/message").contains("Apply failed with 1 conflict: conflict with \"one\": .data.a"), "{}", conflict.body);
    assert_eq!(apply("two", "&force=true", json!({"a": "2"})).await?.text("/data/a"), "2");
    // What its only owner no longer mentions goes.
    let dropped = apply("one", "", json!({})).await?;
    assert_eq!((dropped.at("/data/b"), dropped.text("/data/a")), (&Value::Null, "2"), "{}", dropped.body);
    Ok(())
}

#[tokio::test]
async fn a_dry_run_answers_and_changes_nothing() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.make(MAPS, json!({"metadata": {"name": "kept"}, "data": {"a": "1"}})).await?;
    let before = cluster.store.revision();
    let cases = [
        ("POST", format!("{MAPS}?dryRun=All"), json!({"metadata": {"name": "new"}}), 201),
        ("POST", format!("{MAPS}?dryRun=All"), json!({"metadata": {"name": "kept"}}), 409),
        ("PUT", format!("{MAPS}/kept?dryRun=All"), json!({"metadata": {"name": "kept"}, "data": {"a": "2"}}), 200),
        ("DELETE", format!("{MAPS}/kept?dryRun=All"), Value::Null, 200),
        ("DELETE", format!("{MAPS}/kept"), json!({"dryRun": ["All"]}), 200),
        ("DELETE", format!("{MAPS}?dryRun=All"), Value::Null, 200),
        ("DELETE", format!("{MAPS}/kept?dryRun=Some"), Value::Null, 422),
        ("DELETE", format!("{MAPS}/kept"), json!({"dryRun": ["Some"]}), 422),
        ("POST", format!("{MAPS}?dryRun=Some"), json!({"metadata": {"name": "new"}}), 422),
    ];
    for (method, path, body, code) in cases {
        let answer = cluster.call(method, &path, body).await?;
        assert_eq!(answer.code, code, "{method} {path}: {}", answer.body);
    }
    assert_eq!(cluster.store.revision(), before);
    Ok(())
}

#[tokio::test]
async fn a_delete_with_a_body_does_not_look_at_the_query() -> Result<()> {
    let cluster = Cluster::start().await?;
    let cases = [
        ("dryRun=All", json!({}), 200),
        ("dryRun=Some", json!({}), 200),
        ("propagationPolicy=Nope", json!({"propagationPolicy": "Background"}), 200),
        ("gracePeriodSeconds=x", json!({"gracePeriodSeconds": 0}), 200),
        ("propagationPolicy=Orphan", json!({}), 200),
        // What it says counts.
        ("", json!({"propagationPolicy": "Nope"}), 422),
        ("propagationPolicy=Nope", Value::Null, 422),
        ("gracePeriodSeconds=x", Value::Null, 400),
    ];
    for (query, body, code) in cases {
        cluster.make(MAPS, json!({"metadata": {"name": "kept"}})).await?;
        let path = format!("{MAPS}/kept?{query}");
        let answer = cluster.call("DELETE", &path, body.clone()).await?;
        assert_eq!(answer.code, code, "{query} {body}: {}", answer.body);
        let left = cluster.get(&format!("{MAPS}/kept")).await?.code;
        assert_eq!(left, if code == 200 { 404 } else { 200 }, "{query} {body}");
        cluster.call("DELETE", &format!("{MAPS}/kept"), Value::Null).await?;
    }
    Ok(())
}

#[tokio::test]
async fn delete_options_that_cannot_be_read_delete_nothing() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.make(MAPS, json!({"metadata": {"name": "kept"}})).await?;
    cluster.run_pod("web", json!({})).await?;
    let before = cluster.store.revision();
    // What Go says of a value of another type.
    let cases = [
        (json!({"dryRun": "All"}), "string into Go struct field DeleteOptions.dryRun of type []string"),
        (json!({"dryRun": true}), "bool into Go struct field DeleteOptions.dryRun of type []string"),
        (json!({"dryRun": [1]}), "number into Go struct field DeleteOptions.dryRun of type string"),
        (json!({"gracePeriodSeconds": "0"}), "string into Go struct field DeleteOptions.gracePeriodSeconds of type int64"),
        (json!({"gracePeriodSeconds": 1.5}), "number 1.5 into Go struct field DeleteOptions.gracePeriodSeconds of type int64"),
        (json!({"orphanDependents": "true"}), "string into Go struct field DeleteOptions.orphanDependents of type bool"),
        (json!({"propagationPolicy": ["Orphan"]}), "array into Go struct field DeleteOptions.propagationPolicy of type v1.DeletionPropagation"),
        (json!({"preconditions": "uid"}), "string into Go struct field DeleteOptions.preconditions of type v1.Preconditions"),
        (json!({"preconditions": {"uid": 1}}), "number into Go struct field Preconditions.preconditions.uid of type types.UID"),
    ];
    for (options, message) in cases {
        for path in [format!("{MAPS}/kept"), MAPS.to_owned()] {
            let answer = cluster.call("DELETE", &path, options.clone()).await?;
            let wanted = format!("json: cannot unmarshal {message}");
            assert_eq!((answer.code, answer.text("/reason"), answer.text("/message")), (400, "BadRequest", wanted.as_str()), "{path} {options}");
        }
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}, "deleteOptions": options});
        let answer = cluster.call("POST", &format!("{PODS}/web/eviction"), eviction).await?;
        let there = message.replacen("DeleteOptions.", "DeleteOptions.deleteOptions.", 1).replacen("Preconditions.p", "Preconditions.deleteOptions.p", 1);
        let wanted = format!("Eviction in version \"v1\" cannot be handled as a Eviction: json: cannot unmarshal {there}");
        assert_eq!((answer.code, answer.text("/message")), (400, wanted.as_str()), "{options}");
    }
    // A wrong list is told as a whole.
    let unsupported = "dryRun: Unsupported value: []string{\"All\", \"Some\"}: supported values: \"All\"";
    let in_body = cluster.call("DELETE", &format!("{MAPS}/kept"), json!({"dryRun": ["All", "Some"]})).await?;
    let in_query = cluster.call("DELETE", &format!("{MAPS}/kept?dryRun=All&dryRun=Some"), Value::Null).await?;
    let in_write = cluster.call("POST", &format!("{MAPS}?dryRun=All&dryRun=Some"), json!({"metadata": {"name": "new"}})).await?;
    for (answer, kind) in [(in_body, "DeleteOptions"), (in_query, "DeleteOptions"), (in_write, "CreateOptions")] {
        let wanted = format!("{kind}.meta.k8s.io \"\" is invalid: {unsupported}");
        assert_eq!((answer.code, answer.text("/message")), (422, wanted.as_str()), "{}", answer.body);
    }
    assert_eq!(cluster.store.revision(), before);
    // What is null was not said.
    let nothing = json!({"dryRun": null, "gracePeriodSeconds": null, "preconditions": null, "propagationPolicy": null, "orphanDependents": null});
    let deleted = cluster.call("DELETE", &format!("{MAPS}/kept"), nothing).await?;
    assert_eq!(deleted.code, 200, "{}", deleted.body);
    Ok(())
}

#[tokio::test]
async fn an_eviction_asks_its_budget_and_a_dry_run_spends_nothing() -> Result<()> {
    const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
    // Of the built-in kinds none is this one; the server knows what it means wherever it is served.
    let budgets = Resource::of::<PodDisruptionBudget>().subresources(&[Subresource::Status]).with_generation();
    let cluster = Cluster::start_serving(Registry::builtin().with(budgets), SystemClock::shared(), Vec::new()).await?;
    cluster.run_pod("web", json!({"app": "web"})).await?;
    let selector = json!({"matchLabels": {"app": "web"}});
    cluster.make(BUDGETS, json!({"metadata": {"name": "web"}, "spec": {"minAvailable": 1, "selector": selector}})).await?;
    // An eviction has options of its own, and nothing goes where either says so.
    let ways = [("?dryRun=All", json!({})), ("", json!({"dryRun": ["All"]})), ("?dryRun=All", json!({"dryRun": ["All"]})), ("", json!({}))];
    // What the budget says: the generation it was counted for, and how many may go; the answer to each way of asking.
    let cases = [(0, 1, 429, REFUSED), (1, 0, 429, REFUSED), (1, 1, 201, "")];
    for (observed, allowed, code, message) in cases {
        let counted = json!({"observedGeneration": observed, "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1});
        let status = cluster.patch(&format!("{BUDGETS}/web/status"), "application/merge-patch+json", json!({"status": counted})).await?;
        assert_eq!(status.code, 200, "{}", status.body);
        for (query, options) in &ways {
            let case = format!("observed {observed}, allowed {allowed}, {query} {options}");
            let before = cluster.store.revision();
            let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}, "deleteOptions": options});
            let answer = cluster.call("POST", &format!("{PODS}/web/eviction{query}"), eviction).await?;
            assert_eq!((answer.code, answer.text("/message")), (code, message), "{case}: {}", answer.body);
            let goes = code == 201 && query.is_empty() && options["dryRun"].is_null();
            assert_eq!(cluster.store.revision() == before, !goes, "{case}");
            assert_eq!(cluster.get(&format!("{PODS}/web")).await?.at("/metadata/deletionTimestamp").is_string(), goes, "{case}");
            let budget = cluster.get(&format!("{BUDGETS}/web")).await?;
            assert_eq!(budget.at("/status/disruptionsAllowed"), &json!(allowed - i32::from(goes)), "{case}: {}", budget.body);
            assert_eq!(budget.at("/status/disruptedPods/web").is_string(), goes, "{case}: {}", budget.body);
        }
    }
    Ok(())
}

#[tokio::test]
async fn field_validation_warns_ignores_or_refuses() -> Result<()> {
    let cluster = Cluster::start().await?;
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "dta": {}});
    let warned = cluster.call("POST", MAPS, map("warned")).await?;
    assert_eq!((warned.code, warned.header("warning")), (201, "299 - \"unknown field \\\"dta\\\"\""));
    let ignored = cluster.call("POST", &format!("{MAPS}?fieldValidation=Ignore"), map("ignored")).await?;
    assert_eq!((ignored.code, ignored.header("warning")), (201, ""));
    let refused = cluster.call("POST", &format!("{MAPS}?fieldValidation=Strict"), map("refused")).await?;
    assert_eq!(refused.code, 400);
    assert!(refused.text("/message").ends_with("strict decoding error: unknown field \"dta\""), "{}", refused.body);
    Ok(())
}

#[tokio::test]
async fn a_pod_goes_when_its_kubelet_says_so() -> Result<()> {
    let cluster = Cluster::start().await?;
    // Not scheduled: nobody has to stop anything.
    cluster.make(PODS, pod("unscheduled")).await?;
    cluster.call("DELETE", &format!("{PODS}/unscheduled"), Value::Null).await?;
    assert_eq!(cluster.get(&format!("{PODS}/unscheduled")).await?.code, 404);
    // Running: the deletion is a wish until the kubelet deletes with grace 0.
    cluster.run_pod("web", json!({})).await?;
    let path = format!("{PODS}/web");
    let wished = cluster.call("DELETE", &path, Value::Null).await?;
    assert_eq!((wished.code, wished.at("/metadata/deletionGracePeriodSeconds")), (200, &json!(30)), "{}", wished.body);
    assert!(wished.at("/metadata/deletionTimestamp").is_string());
    let shorter = cluster.call("DELETE", &path, json!({"gracePeriodSeconds": 5})).await?;
    assert_eq!(shorter.at("/metadata/deletionGracePeriodSeconds"), &json!(5), "{}", shorter.body);
    let longer = cluster.call("DELETE", &path, json!({"gracePeriodSeconds": 60})).await?;
    assert_eq!(longer.at("/metadata/deletionGracePeriodSeconds"), &json!(5), "{}", longer.body);
    let again = cluster.call("POST", PODS, pod("web")).await?;
    assert_eq!((again.code, again.text("/message")), (409, "object is being deleted: pods \"web\" already exists"));
    let last = cluster.call("DELETE", &path, json!({"gracePeriodSeconds": 0})).await?;
    assert_eq!(last.code, 200, "{}", last.body);
    assert_eq!(cluster.get(&path).await?.code, 404);
    // A finished Pod needs no grace.
    cluster.run_pod("done", json!({})).await?;
    cluster.pod_status("done", "Succeeded").await?;
    cluster.call("DELETE", &format!("{PODS}/done"), Value::Null).await?;
    assert_eq!(cluster.get(&format!("{PODS}/done")).await?.code, 404);
    Ok(())
}

#[tokio::test]
async fn finalizers_and_owners_decide_how_objects_go() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.make(MAPS, json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}})).await?;
    let path = format!("{MAPS}/held");
    let held = cluster.call("DELETE", &path, Value::Null).await?;
    assert!(held.at("/metadata/deletionTimestamp").is_string(), "{}", held.body);
    let freed = cluster.patch(&path, "application/merge-patch+json", json!({"metadata": {"finalizers": null}})).await?;
    assert_eq!(freed.code, 200, "{}", freed.body);
    assert_eq!(cluster.get(&path).await?.code, 404);
    // Foreground: the owner waits for the collector; orphan: likewise, with another finalizer.
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        cluster.make(DEPLOYMENTS, deployment("owner", 1)).await?;
        let path = format!("{DEPLOYMENTS}/owner");
        let deleted = cluster.call("DELETE", &path, json!({"propagationPolicy": policy})).await?;
        assert!((200..=202).contains(&deleted.code), "{}", deleted.body);
        assert_eq!(cluster.get(&path).await?.at("/metadata/finalizers"), &json!([finalizer]), "{policy}");
        cluster.patch(&path, "application/merge-patch+json", json!({"metadata": {"finalizers": null}})).await?;
        assert_eq!(cluster.get(&path).await?.code, 404, "{policy}");
    }
    // Owner references are kept as they are and read by the collector.
    let owner = cluster.make(DEPLOYMENTS, deployment("owner", 1)).await?;
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "owner", "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true});
    let owned = cluster.make(MAPS, json!({"metadata": {"name": "owned", "ownerReferences": [reference]}})).await?;
    assert_eq!(owned["metadata"]["ownerReferences"][0], reference);
    Ok(())
}

#[tokio::test]
async fn a_namespace_empties_before_it_goes() -> Result<()> {
    let cluster = Cluster::start().await?;
    let made = cluster.make("/api/v1/namespaces", json!({"metadata": {"name": "lab"}})).await?;
    assert_eq!((&made["spec"]["finalizers"], &made["status"]["phase"]), (&json!(["kubernetes"]), &json!("Active")), "{made}");
    let gone = cluster.call("DELETE", "/api/v1/namespaces/lab", Value::Null).await?;
    assert_eq!((gone.code, gone.text("/status/phase")), (200, "Terminating"), "{}", gone.body);
    let late = cluster.call("POST", "/api/v1/namespaces/lab/configmaps", json!({"metadata": {"name": "late"}})).await?;
    assert_eq!(
        (late.code, late.text("/message")),
        (403, "configmaps \"late\" is forbidden: unable to create new content in namespace lab because it is being terminated")
    );
    let mut finalized = gone.body.clone();
    finalized["spec"]["finalizers"] = json!([]);
    let last = cluster.call("PUT", "/api/v1/namespaces/lab/finalize", finalized).await?;
    assert_eq!(last.code, 200, "{}", last.body);
    assert_eq!(cluster.get("/api/v1/namespaces/lab").await?.code, 404);
    Ok(())
}

#[tokio::test]
async fn scale_binding_and_eviction() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.make(DEPLOYMENTS, deployment("web", 2)).await?;
    let scale = format!("{DEPLOYMENTS}/web/scale");
    let view = cluster.get(&scale).await?;
    assert_eq!((view.text("/kind"), view.at("/spec/replicas"), view.text("/status/selector")), ("Scale", &json!(2), "app=web"), "{}", view.body);
    let patched = cluster.patch(&scale, "application/merge-patch+json", json!({"spec": {"replicas": 5}})).await?;
    assert_eq!((patched.code, patched.at("/spec/replicas")), (200, &json!(5)), "{}", patched.body);
    let negative = cluster.patch(&scale, "application/merge-patch+json", json!({"spec": {"replicas": -1}})).await?;
    assert_eq!(negative.code, 422, "{}", negative.body);
    assert_eq!(cluster.get(&format!("{DEPLOYMENTS}/web")).await?.at("/spec/replicas"), &json!(5));

    cluster.make(PODS, pod("web")).await?;
    let binding = json!({"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "node-1"}});
    let bound = cluster.call("POST", &format!("{PODS}/web/binding"), binding.clone()).await?;
    assert_eq!((bound.code, bound.text("/status")), (201, "Success"), "{}", bound.body);
    let pod = cluster.get(&format!("{PODS}/web")).await?;
    assert_eq!((pod.text("/spec/nodeName"), pod.text("/status/conditions/0/type")), ("node-1", "PodScheduled"), "{}", pod.body);
    let twice = cluster.call("POST", &format!("{PODS}/web/binding"), binding).await?;
    assert_eq!(
        (twice.code, twice.text("/message")),
        (409, "Operation cannot be fulfilled on pods/binding \"web\": pod web is already assigned to node \"node-1\"")
    );

    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}});
    let evicted = cluster.call("POST", &format!("{PODS}/web/eviction"), eviction).await?;
    assert_eq!((evicted.code, evicted.text("/status")), (201, "Success"), "{}", evicted.body);
    assert!(cluster.get(&format!("{PODS}/web")).await?.at("/metadata/deletionTimestamp").is_string());
    Ok(())
}

#[tokio::test]
async fn yaml_is_read_and_written() -> Result<()> {
    let cluster = Cluster::start().await?;
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  a: \"on\"\n";
    let response = cluster.send("POST", MAPS, &[("content-type", "application/yaml")], text).await?;
    assert_eq!(response.status(), 201);
    let answer = cluster.call_with("GET", &format!("{MAPS}/yaml"), &[("accept", "application/yaml")], Value::Null).await?;
    assert_eq!((answer.header("content-type"), answer.text("/data/a")), ("application/yaml", "on"));
    for (media_type, code) in [("text/plain", 415), ("application/json", 400)] {
        let response = cluster.send("POST", MAPS, &[("content-type", media_type)], "]").await?;
        assert_eq!(response.status(), code, "{media_type}");
    }
    Ok(())
}

#[tokio::test]
async fn writers_that_meet_all_get_their_turn() -> Result<()> {
    let cluster = std::sync::Arc::new(Cluster::start().await?);
    cluster.make(MAPS, json!({"metadata": {"name": "shared"}})).await?;
    let writers = (0..20).map(|number| {
        let cluster = std::sync::Arc::clone(&cluster);
        tokio::spawn(async move {
            let patch = json!({"data": {format!("key-{number}"): "1"}});
            cluster.patch(&format!("{MAPS}/shared"), "application/merge-patch+json", patch).await.map(|answer| answer.code)
        })
    });
    for writer in futures::future::join_all(writers).await {
        assert_eq!(writer??, 200);
    }
    let data = cluster.get(&format!("{MAPS}/shared")).await?;
    assert_eq!(data.at("/data").as_object().map(serde_json::Map::len), Some(20));
    Ok(())
}
