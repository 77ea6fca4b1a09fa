//! `kubectl cluster-info dump`: what there is, and what all containers said, on standard output or in a folder.
// upstream: kubectl/pkg/cmd/clusterinfo/clusterinfo_dump.go

use std::path::PathBuf;

use clap::{ArgMatches, Command};
use serde_json::Value;

use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::print::{self, Format, Printer};
use crate::rest::Call;

/// What is dumped of each namespace: its path, its kind, its file.
const LISTS: [(&str, &str, &str); 7] = [
    ("/api/v1", "events", "events"),
    ("/api/v1", "replicationcontrollers", "replication-controllers"),
    ("/api/v1", "services", "services"),
    ("/apis/apps/v1", "daemonsets", "daemonsets"),
    ("/apis/apps/v1", "deployments", "deployments"),
    ("/apis/apps/v1", "replicasets", "replicasets"),
    ("/api/v1", "pods", "pods"),
];

/// Its flags.
pub fn command() -> Command {
    let printing = print::arguments().map(|flag| if flag.get_long() == Some("output") { flag.default_value("json") } else { flag });
    Command::new("dump")
        .about("Dump information that helps to find what is wrong with a cluster, to standard output or into a folder: objects of the current namespace and of kube-system, and the logs of their containers.")
        .args(printing)
        .args([
            flags::switch("all-namespaces", "If true, dump all namespaces.  If true, --namespaces is ignored.").short('A'),
            flags::list("namespaces", "A comma separated list of namespaces to dump."),
            flags::text("output-directory", "", "Where to output the files.  If empty or '-' uses stdout, otherwise creates a directory hierarchy in that directory"),
            flags::duration("pod-running-timeout", "20s", "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running"),
        ])
        .override_usage("kubectl cluster-info dump [flags] [options]")
}

struct Dump<'a> {
    factory: &'a Factory,
    printer: Printer,
    /// None is standard output.
    folder: Option<PathBuf>,
    ending: &'static str,
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let Some(printer) = Printer::read(factory, matches, &[])? else { return Err(Failure::new("an output format is required")) };
    if matches!(printer.format, Format::Name) {
        return Err(Failure::new("list types are not supported by name printing: *v1.NodeList"));
    }
    let shown = matches.text("output-directory");
    let ending = match matches.text("output").as_str() {
        "json" => ".json",
        "yaml" => ".yaml",
        _ => ".txt",
    };
    let folder = (!matches!(shown.as_str(), "" | "-")).then(|| factory.env.path(&shown));
    let mut dump = Dump { factory, printer, folder, ending };
    dump.list("/api/v1/nodes", "nodes").await?;
    for namespace in namespaces(factory, matches).await? {
        dump.namespace(&namespace).await?;
    }
    if dump.folder.is_some() {
        factory.streams.line(&format!("Cluster info dumped to {shown}"))?;
    }
    Ok(())
}

async fn namespaces(factory: &Factory, matches: &ArgMatches) -> Result<Vec<String>, Failure> {
    if matches.on("all-namespaces") {
        let list = factory.call(Call::get("/api/v1/namespaces")).await?;
        return Ok(list["items"].as_array().into_iter().flatten().filter_map(|one| one["metadata"]["name"].as_str().map(str::to_owned)).collect());
    }
    let asked = matches.texts("namespaces");
    if asked.is_empty() { Ok(vec!["kube-system".to_owned(), factory.namespace()?.0]) } else { Ok(asked) }
}

impl Dump<'_> {
    async fn namespace(&mut self, namespace: &str) -> Result<(), Failure> {
        let mut last = Value::Null;
        for (root, kind, file) in LISTS {
            last = self.list(&format!("{root}/namespaces/{namespace}/{kind}"), &format!("{namespace}/{file}")).await?;
        }
        for pod in last["items"].as_array().into_iter().flatten() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let mut logs = Vec::new();
            for container in ["initContainers", "containers"].into_iter().flat_map(|list| pod["spec"][list].as_array().into_iter().flatten()) {
                let container = container["name"].as_str().unwrap_or_default();
                logs.extend(format!("==== START logs for container {container} of pod {namespace}/{name} ====\n").into_bytes());
                let call = Call::get(format!("/api/v1/namespaces/{namespace}/pods/{name}/log")).query("container", container);
                match self.factory.rest().await?.bytes(&self.factory.streams, call).await {
                    Ok(bytes) => logs.extend(bytes),
                    Err(failure) => logs.extend(format!("Request log error: {}\n", failure.text()).into_bytes()),
                }
                logs.extend(format!("==== END logs for container {container} of pod {namespace}/{name} ====\n").into_bytes());
            }
            self.write(&format!("{namespace}/{name}/logs.txt"), &logs)?;
        }
        Ok(())
    }

    async fn list(&mut self, path: &str, file: &str) -> Result<Value, Failure> {
        let list = self.factory.call(Call::get(path)).await?;
        let mut shown = list.clone();
        // As Go's typed lists print their items: without version and kind.
        for item in shown["items"].as_array_mut().into_iter().flatten() {
            if let Some(fields) = item.as_object_mut() {
                fields.remove("apiVersion");
                fields.remove("kind");
            }
            print::without_managed_fields(item);
        }
        let text = self.printer.text(&shown)?;
        self.write(&format!("{file}{}", self.ending), text.as_bytes())?;
        Ok(list)
    }

    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), Failure> {
        let Some(folder) = &self.folder else { return self.factory.streams.print(bytes) };
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        Ok(std::fs::write(path, bytes)?)
    }
}
