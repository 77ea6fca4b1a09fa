//! What is offered: commands, flags, their values, and what the server has.
// upstream: kubectl/pkg/util/completion/completion.go, spf13/cobra/completions.go getCompletions

use std::time::Duration;

use clap::{Arg, Command};

use super::super::{Entry, TABLE, server};
use super::typed::Typed;
use super::{Directive, Offer};
use crate::builder::Selection;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::globals;
use crate::pods;

/// Kinds with Pods in them, as words.
const WITH_PODS: [&str; 8] = ["daemonsets", "deployments", "pods", "jobs", "replicasets", "replicationcontrollers", "services", "statefulsets"];

/// Formats that `get -o` offers.
const FORMATS: [&str; 13] = ["json", "yaml", "name", "go-template", "go-template-file", "template", "templatefile", "jsonpath", "jsonpath-as-json", "jsonpath-file", "custom-columns", "custom-columns-file", "wide"];

/// How long a Pod is waited for that an object is to have.
const PATIENCE: Duration = Duration::from_millis(100);

/// Everything that fits.
pub(super) async fn all(factory: &Factory, read: &Typed) -> Offer {
    let begun = read.begun.as_str();
    if read.given.on("help") {
        return (Vec::new(), Directive::NO_FILES);
    }
    if let Some(flag) = &read.flag {
        return value(factory, read, flag, begun).await;
    }
    if begun.starts_with('-') && !begun.contains('=') && read.flags {
        let required = required(read, begun);
        return (if required.is_empty() { flags_of(read, begun) } else { required }, Directive::NO_FILES);
    }
    let mut words = Vec::new();
    let mut directive = Directive::DEFAULT;
    let own = read.own().iter().any(|arg| read.given.changed(arg.get_id().as_str()));
    let children = read.entry.map_or(TABLE, |entry| entry.children);
    if read.given.arguments().is_empty() && !own && !children.is_empty() {
        words = commands(children, begun);
        directive = Directive::NO_FILES;
    }
    words.extend(required(read, begun));
    if let Some((more, other)) = arguments(factory, read, begun).await {
        words.extend(more);
        directive = other;
    }
    (words, directive)
}

fn commands(among: &[Entry], begun: &str) -> Vec<(String, String)> {
    let fitting = among.iter().filter(|entry| !entry.name.starts_with('_') && entry.name.starts_with(begun));
    let mut words: Vec<(String, String)> = fitting.map(|entry| (entry.name.to_owned(), entry.about.to_owned())).collect();
    words.sort();
    words
}

/// Flags that must be given are offered before anything else.
fn required(read: &Typed, begun: &str) -> Vec<(String, String)> {
    let flags: &[&str] = match read.path.as_slice() {
        ["run"] | ["create", "deployment"] => &["image"],
        ["create", "cronjob"] => &["image", "schedule"],
        ["create", "service", "externalname"] => &["external-name"],
        ["create", "clusterrolebinding"] => &["clusterrole"],
        ["scale"] => &["replicas"],
        ["autoscale"] => &["max"],
        _ => &[],
    };
    let missing = flags.iter().filter(|flag| !read.given.changed(flag)).filter_map(|flag| flags::find(&read.command, &format!("--{flag}")));
    missing.flat_map(words_of).filter(|(word, _)| word.starts_with(begun)).collect()
}

/// A flag's name, its letter, and its help.
fn words_of(arg: &Arg) -> impl Iterator<Item = (String, String)> + use<> {
    let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let (long, short) = (arg.get_long().map(|long| format!("--{long}")), arg.get_short().map(|short| format!("-{short}")));
    long.into_iter().chain(short).map(move |word| (word, about.clone()))
}

/// Flags that are not given yet, those of every command first.
fn flags_of(read: &Typed, begun: &str) -> Vec<(String, String)> {
    let own = read.own();
    // `config` shares this flag with its commands and has it from nobody.
    let of_family = |arg: &Arg| read.entry.is_none() || read.path == ["config"] && arg.get_long() == Some("kubeconfig");
    let (mut local, inherited): (Vec<Arg>, Vec<Arg>) =
        read.command.get_arguments().cloned().partition(|arg| of_family(arg) || own.iter().any(|own| own.get_long() == arg.get_long()));
    let name = read.path.last().unwrap_or(&"kubectl");
    local.retain(|arg| arg.get_long() != Some("help"));
    let help = globals::with_globals(Command::new("help")).get_arguments().find(|arg| arg.get_long() == Some("help")).cloned();
    local.extend(help.map(|help| help.help(format!("help for {name}")).hide(false)));
    let offered = |mut args: Vec<Arg>| -> Vec<(String, String)> {
        let repeated = |arg: &Arg| matches!(flags::kind(arg), "strings" | "stringArray" | "mapStringString");
        args.retain(|arg| !arg.is_hide_set() && (repeated(arg) || !read.given.changed(arg.get_id().as_str())));
        args.sort_by(|one, other| one.get_long().cmp(&other.get_long()));
        args.iter().flat_map(words_of).filter(|(word, _)| word.starts_with(begun)).collect()
    };
    [offered(inherited), offered(local)].concat()
}

/// The value of a flag. Flags of every command have values everywhere, unless a command has one of that name itself.
async fn value(factory: &Factory, read: &Typed, flag: &Arg, begun: &str) -> Offer {
    let name = flag.get_long().unwrap_or_default();
    let own = read.own().iter().any(|own| own.get_long() == Some(name));
    let words = match (name, read.path.as_slice()) {
        ("namespace", _) if !own => names(factory, "namespaces").await,
        ("context", _) if !own => configured(factory, "contexts"),
        ("cluster", _) if !own => configured(factory, "clusters"),
        ("user", _) if !own => configured(factory, "users"),
        ("output", ["get"]) => FORMATS.map(str::to_owned).to_vec(),
        ("container", ["exec"]) => match read.given.arguments().first() {
            Some(pod) => containers(factory, pod).await,
            None => Vec::new(),
        },
        ("filename", _) => {
            let endings = ["json", "yaml", "yml"].map(|ending| (ending.to_owned(), String::new()));
            return (endings.to_vec(), Directive::ENDINGS);
        }
        _ => return (Vec::new(), Directive::DEFAULT),
    };
    (words.into_iter().filter(|word| word.starts_with(begun)).map(|word| (word, String::new())).collect(), Directive::NO_FILES)
}

/// The arguments of a command, when it offers some.
async fn arguments(factory: &Factory, read: &Typed, begun: &str) -> Option<Offer> {
    let given = read.given.arguments();
    let first = given.is_empty();
    let begins = |words: Vec<String>| -> Vec<String> { words.into_iter().filter(|word| word.starts_with(begun)).collect() };
    let workloads = &["deployment", "daemonset", "statefulset"][..];
    let kinds = |kinds, several| Kinds { kinds, several, given: &given, begun };
    let (words, directive) = match read.path.as_slice() {
        ["get" | "edit" | "delete" | "describe" | "label" | "annotate" | "patch"] | ["apply", "edit-last-applied" | "view-last-applied"] => kinds(&[], true).objects(factory).await,
        ["rollout", "history" | "restart" | "undo"] => kinds(workloads, true).objects(factory).await,
        ["rollout", "status"] => kinds(workloads, false).objects(factory).await,
        ["rollout", "pause" | "resume"] => kinds(&["deployment"], true).objects(factory).await,
        ["scale" | "autoscale"] => kinds(&["deployment", "replicaset", "replicationcontroller", "statefulset"], true).objects(factory).await,
        ["expose"] => kinds(&["pod", "service", "replicationcontroller", "deployment", "replicaset"], true).objects(factory).await,
        ["set", "image"] => kinds(&["daemonsets", "deployments", "pods", "cronjobs", "replicasets", "replicationcontrollers", "statefulsets"], false).objects(factory).await,
        ["taint"] => kinds(&["node"], true).objects(factory).await,
        ["cp"] => (if first { copied(factory, begun).await } else { Vec::new() }, Directive::NO_SPACE),
        ["drain" | "cordon" | "uncordon"] | ["top", "node"] => (if first { begins(names(factory, "nodes").await) } else { Vec::new() }, Directive::NO_FILES),
        ["top", "pod"] => (if first { begins(names(factory, "pods").await) } else { Vec::new() }, Directive::NO_FILES),
        ["create", "token"] => (if first { begins(names(factory, "serviceaccounts").await) } else { Vec::new() }, Directive::NO_FILES),
        ["logs" | "exec" | "attach" | "port-forward"] if first => of_pods(factory, begun).await,
        ["logs"] if given.len() == 1 => (begins(containers(factory, &given[0]).await), Directive::NO_FILES),
        ["logs" | "exec" | "attach" | "port-forward"] => (Vec::new(), Directive::NO_FILES),
        ["config", "use-context" | "delete-context" | "rename-context" | "set-context"] => (if first { begins(configured(factory, "contexts")) } else { Vec::new() }, Directive::NO_FILES),
        ["config", "delete-cluster"] => (if first { begins(configured(factory, "clusters")) } else { Vec::new() }, Directive::NO_FILES),
        ["config", "delete-user"] => (if first { begins(configured(factory, "users")) } else { Vec::new() }, Directive::NO_FILES),
        ["completion"] => (if first { begins(["bash", "zsh", "fish"].map(str::to_owned).to_vec()) } else { Vec::new() }, if first { Directive::NO_FILES } else { Directive::DEFAULT }),
        ["help"] => return Some((of_help(&given, begun), Directive::NO_FILES)),
        _ => return None,
    };
    Some((words.into_iter().map(|word| (word, String::new())).collect(), directive))
}

/// The commands there is help on.
fn of_help(given: &[String], begun: &str) -> Vec<(String, String)> {
    let mut among = TABLE;
    for word in given {
        match among.iter().find(|entry| entry.is(word)) {
            Some(entry) => among = entry.children,
            None if std::ptr::eq(among, TABLE) => return Vec::new(),
            None => break,
        }
    }
    commands(among, begun)
}

/// What can be copied: of Pods, of those of another namespace, files.
// upstream: kubectl/pkg/cmd/cp/cp.go
async fn copied(factory: &Factory, begun: &str) -> Vec<String> {
    if begun.starts_with(['/', '.', '~']) || begun.contains(':') {
        return Vec::new();
    }
    if let Some((namespace, _)) = begun.split_once('/') {
        let pods = names_in(factory, "pods", Some(namespace)).await.into_iter().map(|pod| format!("{namespace}/{pod}:"));
        return pods.filter(|word| word.starts_with(begun)).collect();
    }
    let mut words: Vec<String> = names(factory, "namespaces").await.into_iter().map(|name| format!("{name}/")).collect();
    words.extend(names(factory, "pods").await.into_iter().map(|name| format!("{name}:")));
    words.retain(|word| word.starts_with(begun));
    if begun.is_empty() {
        words.extend(["./", "/"].map(str::to_owned));
    } else if !words.is_empty() {
        let files = std::fs::read_dir(factory.env.path("")).into_iter().flatten().flatten();
        let named = files.map(|file| format!("{}{}", file.file_name().to_string_lossy(), if file.path().is_dir() { "/" } else { "" }));
        let mut files: Vec<String> = named.filter(|name| name.starts_with(begun)).collect();
        files.sort();
        words.append(&mut files);
    }
    words
}

/// A command that takes `TYPE NAME...` or `TYPE/NAME...`.
struct Kinds<'a> {
    /// Those it takes; none for all.
    kinds: &'a [&'a str],
    /// Whether it takes several objects.
    several: bool,
    given: &'a [String],
    begun: &'a str,
}

impl Kinds<'_> {
    // upstream: resourceTypeAndNameCompletionFunc
    async fn objects(&self, factory: &Factory) -> (Vec<String>, Directive) {
        let Self { kinds, several, given, begun } = *self;
        let fresh = |words: Vec<String>| -> Vec<String> { words.into_iter().filter(|word| word.starts_with(begun) && !given.contains(word)).collect() };
        if let Some(kind) = given.first().filter(|kind| !kind.contains('/')) {
            let words = if several || given.len() == 1 { fresh(names(factory, kind).await) } else { Vec::new() };
            return (words, Directive::NO_FILES);
        }
        if let Some((kind, _)) = begun.split_once('/') {
            let words = if several || given.is_empty() { names(factory, kind).await.into_iter().map(|name| format!("{kind}/{name}")).collect() } else { Vec::new() };
            return (fresh(words), Directive::NO_FILES);
        }
        if !given.is_empty() && !several {
            return (Vec::new(), Directive::NO_FILES);
        }
        let words: Vec<String> = match kinds {
            [] => {
                // The last of several kinds is completed.
                let (before, last) = begun.rfind(',').map_or(("", begun), |comma| begun.split_at(comma + 1));
                all_kinds(factory).await.into_iter().filter(|word| word.starts_with(last)).map(|word| format!("{before}{word}")).collect()
            }
            kinds => kinds.iter().filter(|word| word.starts_with(begun)).map(|word| (*word).to_owned()).collect(),
        };
        if given.is_empty() { (words, Directive::NO_FILES) } else { (words.into_iter().map(|word| format!("{word}/")).collect(), Directive::NO_SPACE_NO_FILES) }
    }
}

/// Pods, and kinds that have some.
// upstream: doPodResourceCompletion
async fn of_pods(factory: &Factory, begun: &str) -> (Vec<String>, Directive) {
    if let Some((kind, _)) = begun.split_once('/') {
        let words = names(factory, kind).await.into_iter().map(|name| format!("{kind}/{name}")).filter(|word| word.starts_with(begun));
        return (words.collect(), Directive::NO_FILES);
    }
    let mut words: Vec<String> = names(factory, "pods").await.into_iter().filter(|name| name.starts_with(begun)).collect();
    let directive = if words.is_empty() { Directive::NO_SPACE_NO_FILES } else { Directive::NO_FILES };
    words.extend(WITH_PODS.iter().filter(|kind| kind.starts_with(begun)).map(|kind| format!("{kind}/")));
    (words, directive)
}

/// The kinds that can be got, as `api-resources` orders them. What cannot be asked is not offered.
async fn all_kinds(factory: &Factory) -> Vec<String> {
    // They are asked for once, as for files.
    factory.of_files.set(true);
    let Ok(mapper) = factory.mapper().await else { return Vec::new() };
    server::in_order(mapper).into_iter().filter(|mapping| mapping.verbs.iter().any(|verb| verb == "get")).map(|mapping| mapping.group_resource()).collect()
}

async fn names(factory: &Factory, kind: &str) -> Vec<String> {
    names_in(factory, kind, None).await
}

async fn names_in(factory: &Factory, kind: &str, namespace: Option<&str>) -> Vec<String> {
    let found = chosen(factory, Selection { words: vec![kind.to_owned()], empty_selects: true, ..Selection::default() }, namespace).await;
    found.unwrap_or_default().into_iter().map(|info| info.name).collect()
}

async fn chosen(factory: &Factory, selection: Selection, namespace: Option<&str>) -> Result<Vec<crate::builder::Info>, Failure> {
    let namespace = namespace.map_or_else(|| factory.namespace().map(|(namespace, _)| namespace), |namespace| Ok(namespace.to_owned()))?;
    Selection { namespace, chunk: 500, ..selection }.infos(factory).await
}

/// The containers of a Pod, or of a Pod that an object has, those that begin it first; none where there is no such Pod.
async fn containers(factory: &Factory, word: &str) -> Vec<String> {
    let selection = Selection { words: vec![word.to_owned()], default_type: "pods".to_owned(), ..Selection::default() };
    let Some(object) = chosen(factory, selection, None).await.ok().and_then(|mut found| found.pop()).map(|info| info.object) else { return Vec::new() };
    let Ok(pod) = pods::attachable(factory, object, PATIENCE).await else { return Vec::new() };
    let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array().cloned().unwrap_or_default());
    lists.iter().flatten().filter_map(|container| container["name"].as_str().map(str::to_owned)).collect()
}

fn configured(factory: &Factory, list: &str) -> Vec<String> {
    let Ok(config) = factory.config() else { return Vec::new() };
    let entries = config.merged[list].as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> = entries.iter().filter_map(|entry| entry["name"].as_str().map(str::to_owned)).collect();
    names.sort();
    names
}
