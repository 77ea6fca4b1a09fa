//! The read path at the wire: lists, pages, selectors, Tables, discovery.

use anyhow::Result;
use drydock_test_api::Cluster;
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";

async fn fill(cluster: &Cluster, count: usize) -> Result<()> {
    for number in 0..count {
        let parity = if number % 2 == 0 { "even" } else { "odd" };
        cluster.make(MAPS, json!({"metadata": {"name": format!("map-{number:02}"), "labels": {"parity": parity, "n": number.to_string()}}})).await?;
    }
    Ok(())
}

#[tokio::test]
async fn selectors_select() -> Result<()> {
    let cluster = Cluster::start().await?;
    fill(&cluster, 6).await?;
    cluster.run_pod("web", json!({"app": "web"})).await?;
    let cases = [
        (format!("{MAPS}?labelSelector=parity%3Deven"), 3),
        (format!("{MAPS}?labelSelector=parity!=even"), 3),
        (format!("{MAPS}?labelSelector=n+in+(1,2,9),parity"), 2),
        (format!("{MAPS}?labelSelector=!parity"), 0),
        (format!("{MAPS}?fieldSelector=metadata.name%3Dmap-03"), 1),
        (format!("{MAPS}?fieldSelector=metadata.name!%3Dmap-03"), 5),
        (format!("{MAPS}?labelSelector=parity%3Dodd&fieldSelector=metadata.name%3Dmap-00"), 0),
        ("/api/v1/configmaps?labelSelector=parity".to_owned(), 6),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1,status.phase%3DRunning".to_owned(), 1),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-2".to_owned(), 0),
    ];
    for (path, expected) in cases {
        let answer = cluster.get(&path).await?;
        assert_eq!(answer.items("/metadata/name").len(), expected, "{path}: {}", answer.body);
    }
    for path in [format!("{MAPS}?fieldSelector=data.x%3D1"), format!("{MAPS}?labelSelector=a+b"), format!("{MAPS}?limit=many")] {
        let answer = cluster.get(&path).await?;
        assert_eq!((answer.code, answer.text("/reason")), (400, "BadRequest"), "{path}: {}", answer.body);
    }
    Ok(())
}

#[tokio::test]
async fn pages_show_one_state() -> Result<()> {
    let cluster = Cluster::start().await?;
    fill(&cluster, 5).await?;
    let first = cluster.get(&format!("{MAPS}?limit=2")).await?;
    assert_eq!(first.items("/metadata/name"), [json!("map-00"), json!("map-01")]);
    assert_eq!(first.at("/metadata/remainingItemCount"), &json!(3));
    // What happens between two pages is not seen.
    cluster.call("DELETE", &format!("{MAPS}/map-03"), Value::Null).await?;
    cluster.make(MAPS, json!({"metadata": {"name": "map-02b"}})).await?;
    let second = cluster.get(&format!("{MAPS}?limit=2&continue={}", first.text("/metadata/continue"))).await?;
    assert_eq!(second.items("/metadata/name"), [json!("map-02"), json!("map-03")], "{}", second.body);
    assert_eq!(second.at("/metadata/resourceVersion"), first.at("/metadata/resourceVersion"));
    let last = cluster.get(&format!("{MAPS}?limit=2&continue={}", second.text("/metadata/continue"))).await?;
    assert_eq!((last.items("/metadata/name"), last.at("/metadata/continue")), (vec![json!("map-04")], &Value::Null));
    let garbage = cluster.get(&format!("{MAPS}?limit=2&continue=garbage")).await?;
    assert_eq!(garbage.code, 400, "{}", garbage.body);
    // History that is forgotten cannot be continued.
    cluster.store.forget(cluster.store.revision());
    let forgotten = cluster.get(&format!("{MAPS}?limit=2&continue={}", first.text("/metadata/continue"))).await?;
    assert_eq!((forgotten.code, forgotten.text("/reason")), (410, "Expired"), "{}", forgotten.body);
    let token = forgotten.text("/metadata/continue");
    let resumed = cluster.get(&format!("{MAPS}?limit=5&continue={token}")).await?;
    assert_eq!(resumed.items("/metadata/name"), [json!("map-02"), json!("map-02b"), json!("map-04")], "{}", resumed.body);
    Ok(())
}

#[tokio::test]
async fn resource_versions_of_lists() -> Result<()> {
    let cluster = Cluster::start().await?;
    fill(&cluster, 1).await?;
    let before = cluster.get(MAPS).await?.text("/metadata/resourceVersion").to_owned();
    cluster.make(MAPS, json!({"metadata": {"name": "later"}})).await?;
    let future = cluster.store.revision().0 + 1000;
    let cases = [
        (format!("{MAPS}?resourceVersion={before}&resourceVersionMatch=Exact"), 200, 1),
        (format!("{MAPS}?resourceVersion={before}&resourceVersionMatch=NotOlderThan"), 200, 2),
        (format!("{MAPS}?resourceVersion=0"), 200, 2),
        (format!("{MAPS}?resourceVersion={future}"), 504, 0),
        (format!("{MAPS}?resourceVersionMatch=Exact"), 422, 0),
        (format!("{MAPS}?resourceVersion=0&resourceVersionMatch=Exact"), 422, 0),
    ];
    for (path, code, count) in cases {
        let answer = cluster.get(&path).await?;
        assert_eq!((answer.code, answer.items("").len()), (code, count), "{path}: {}", answer.body);
    }
    Ok(())
}

#[tokio::test]
async fn tables_are_what_kubectl_prints() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.run_pod("web", json!({"app": "web"})).await?;
    let table = cluster.call_with("GET", "/api/v1/namespaces/default/pods", &[("accept", TABLE)], Value::Null).await?;
    assert_eq!((table.text("/kind"), table.text("/apiVersion")), ("Table", "meta.k8s.io/v1"), "{}", table.body);
    let names: Vec<&str> = table.at("/columnDefinitions").as_array().into_iter().flatten().filter_map(|column| column["name"].as_str()).collect();
    assert_eq!(names[..5], ["Name", "Ready", "Status", "Restarts", "Age"]);
    let cells = table.at("/rows/0/cells");
    assert_eq!((&cells[0], &cells[1], &cells[2], &cells[3]), (&json!("web"), &json!("1/1"), &json!("Running"), &json!("0")), "{cells}");
    assert_eq!(table.text("/rows/0/object/kind"), "PartialObjectMetadata");
    let whole = cluster.call_with("GET", "/api/v1/namespaces/default/pods?includeObject=Object", &[("accept", TABLE)], Value::Null).await?;
    assert_eq!(whole.text("/rows/0/object/spec/nodeName"), "node-1", "{}", whole.body);
    let partial = cluster.call_with("GET", "/api/v1/namespaces/default/pods", &[("accept", METADATA)], Value::Null).await?;
    assert_eq!((partial.text("/kind"), partial.at("/items/0/spec")), ("PartialObjectMetadataList", &Value::Null), "{}", partial.body);
    let none = cluster.call_with("GET", "/api/v1/pods", &[("accept", "text/html")], Value::Null).await?;
    assert_eq!(none.code, 406, "{}", none.body);
    Ok(())
}

#[tokio::test]
async fn the_server_describes_itself() -> Result<()> {
    let cluster = Cluster::start().await?;
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let core = cluster.call_with("GET", "/api", &[("accept", aggregated)], Value::Null).await?;
    assert_eq!(core.text("/kind"), "APIGroupDiscoveryList", "{}", core.body);
    let resources = core.at("/items/0/versions/0/resources").as_array().cloned().unwrap_or_default();
    let pods = resources.iter().find(|row| row["resource"] == "pods").cloned().unwrap_or_default();
    assert_eq!((&pods["responseKind"]["kind"], &pods["shortNames"], &pods["scope"]), (&json!("Pod"), &json!(["po"]), &json!("Namespaced")), "{pods}");
    let subresources: Vec<&str> = pods["subresources"].as_array().into_iter().flatten().filter_map(|sub| sub["subresource"].as_str()).collect();
    for name in ["attach", "binding", "eviction", "exec", "log", "portforward", "status"] {
        assert!(subresources.contains(&name), "{name}: {subresources:?}");
    }
    let groups = cluster.call_with("GET", "/apis", &[("accept", aggregated)], Value::Null).await?;
    assert_eq!(groups.text("/items/0/metadata/name"), "apps", "{}", groups.body);
    for (path, kind) in [("/api", "APIVersions"), ("/apis", "APIGroupList"), ("/api/v1", "APIResourceList"), ("/apis/apps", "APIGroup"), ("/apis/apps/v1", "APIResourceList")] {
        assert_eq!(cluster.get(path).await?.text("/kind"), kind, "{path}");
    }
    assert_eq!(cluster.get("/version").await?.text("/minor"), "32");
    for path in ["/healthz", "/livez", "/readyz", "/readyz/ping"] {
        assert_eq!(&cluster.get(path).await?.bytes[..], b"ok", "{path}");
    }
    let index = cluster.get("/openapi/v3").await?;
    let url = index.at("/paths/apis~1apps~1v1/serverRelativeURL").as_str().unwrap_or_default().to_owned();
    assert!(url.starts_with("/openapi/v3/apis/apps/v1?hash="), "{}", index.body);
    let document = cluster.get(&url).await?;
    assert!(document.at("/components/schemas/io.k8s.api.apps.v1.Deployment/properties/spec").is_object(), "{url}");
    let known = cluster.call_with("GET", &url, &[("if-none-match", document.header("etag"))], Value::Null).await?;
    assert_eq!(known.code, 304);
    let swagger = cluster.get("/openapi/v2").await?;
    assert!(swagger.at("/definitions/io.k8s.api.core.v1.Pod").is_object());
    assert_eq!(cluster.get("/nonsense").await?.code, 404);
    Ok(())
}
