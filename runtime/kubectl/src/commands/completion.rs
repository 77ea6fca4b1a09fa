//! `kubectl completion`, and `__complete`, which the shells' scripts ask for words.
//!
//! The scripts are ours; what `__complete` prints is what cobra's scripts read, too: a word a line, its description after a tab, and at the
//! end a colon with what the shell is to do.
// upstream: kubectl/pkg/cmd/completion/completion.go, kubectl/pkg/util/completion/completion.go, spf13/cobra/completions.go

use clap::{Arg, ArgMatches, Command};

use super::{Entry, TABLE};
use crate::builder::items;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::globals;
use crate::rest::Call;

/// What is offered may be called anything, so that no word of it is ever expanded: `compgen -W` would run what stands in `$(...)`.
const BASH: &str = r#"# bash completion for kubectl
__kubectl_words() {
    local typed=${COMP_WORDS[COMP_CWORD]} word
    local -a offered
    COMPREPLY=()
    mapfile -t offered < <(kubectl __completeNoDesc "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    # Endings of files come with :8, and files are what bash itself offers.
    [[ ${#offered[@]} -eq 0 || ${offered[${#offered[@]}-1]} == :8 ]] && return
    for word in "${offered[@]}"; do
        [[ -z $word || $word == :* || $word != "$typed"* ]] && continue
        printf -v word %q "$word"
        COMPREPLY+=("$word")
    done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace
}
complete -o default -F __kubectl_words kubectl
"#;
const ZSH: &str = "#compdef kubectl\ncompdef _kubectl kubectl\n_kubectl() {\n    local -a offered\n    offered=(\"${(@f)$(kubectl __completeNoDesc \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n    offered=(\"${(@)offered:#:*}\")\n    compadd -a offered\n}\n";
const FISH: &str = "# fish completion for kubectl\nfunction __kubectl_words\n    set -l line (commandline -opc) (commandline -ct)\n    kubectl __complete $line[2..-1] 2>/dev/null | string match -v ':*'\nend\ncomplete -c kubectl -f -a '(__kubectl_words)'\n";

/// Kinds with Pods in them, as words.
const WITH_PODS: [&str; 8] = ["daemonsets", "deployments", "pods", "jobs", "replicasets", "replicationcontrollers", "services", "statefulsets"];

/// Formats that `get -o` offers.
const FORMATS: [&str; 13] = ["json", "yaml", "name", "go-template", "go-template-file", "template", "templatefile", "jsonpath", "jsonpath-as-json", "jsonpath-file", "custom-columns", "custom-columns-file", "wide"];

/// Flags of `completion`.
pub fn command() -> Command {
    Command::new("completion").about("Output shell completion code for the specified shell (bash, zsh or fish). The shell code must be evaluated to provide interactive completion of kubectl commands.").override_usage("kubectl completion SHELL [options]")
}

/// `completion`.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    match matches.arguments().as_slice() {
        [] => Err(factory.usage("Shell not specified.")),
        [shell] => match shell.as_str() {
            "bash" => factory.streams.print(BASH),
            "zsh" => factory.streams.print(ZSH),
            "fish" => factory.streams.print(FISH),
            other => Err(factory.usage(&format!("Unsupported shell type {other:?}."))),
        },
        _ => Err(factory.usage("Too many arguments. Expected only the shell type.")),
    }
}

/// Flags of `__complete`.
pub fn words_command() -> Command {
    Command::new("__complete").hide(true)
}

/// A line whose words are not flags of `__complete`: those that say which server is asked come first, all of it stands behind `--`.
pub(super) fn line(words: &[String]) -> Vec<String> {
    const ASKING: [&str; 8] = ["--namespace", "-n", "--context", "--kubeconfig", "--cluster", "--user", "--server", "-s"];
    let mut line = Vec::new();
    for (index, word) in words.iter().enumerate().take(words.len().saturating_sub(1)) {
        if ASKING.contains(&word.as_str()) && index + 2 < words.len() {
            line.extend([word.clone(), words[index + 1].clone()]);
        } else if word.split_once('=').is_some_and(|(flag, _)| ASKING.contains(&flag)) {
            line.push(word.clone());
        }
    }
    line.push("--".to_owned());
    line.extend_from_slice(words);
    line
}

/// What the shell does with what it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    /// Files where nothing is offered.
    Default,
    NoSpace,
    NoFiles,
    NoSpaceNoFiles,
    /// Files with the endings that are offered.
    Endings,
}

impl Directive {
    fn number_and_name(self) -> (u8, &'static str) {
        match self {
            Self::Default => (0, "ShellCompDirectiveDefault"),
            Self::NoSpace => (2, "ShellCompDirectiveNoSpace"),
            Self::NoFiles => (4, "ShellCompDirectiveNoFileComp"),
            Self::NoSpaceNoFiles => (6, "ShellCompDirectiveNoSpace, ShellCompDirectiveNoFileComp"),
            Self::Endings => (8, "ShellCompDirectiveFilterFileExt"),
        }
    }
}

/// Words with their descriptions, and what is done with them.
type Offer = (Vec<(String, String)>, Directive);

/// `__complete`.
pub async fn words(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    offer(factory, matches, true).await
}

/// `__completeNoDesc`.
pub async fn bare_words(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    offer(factory, matches, false).await
}

async fn offer(factory: &Factory, matches: &ArgMatches, descriptions: bool) -> Result<(), Failure> {
    let mut line = matches.arguments();
    let typed = line.pop().unwrap_or_default();
    // What cannot be asked is not offered.
    let (offered, directive) = offered(factory, &line, &typed).await.unwrap_or((Vec::new(), Directive::NoFiles));
    for (word, about) in offered {
        let about = about.lines().next().unwrap_or_default();
        factory.streams.line(&if descriptions && !about.is_empty() { format!("{word}\t{about}") } else { word })?;
    }
    let (number, name) = directive.number_and_name();
    factory.streams.line(&format!(":{number}"))?;
    factory.streams.warn(&format!("Completion ended with directive: {name}"));
    Ok(())
}

/// The command of a line and what else is in it.
struct Typed {
    path: Vec<&'static str>,
    entry: Option<&'static Entry>,
    arguments: Vec<String>,
    /// The flag whose value is next.
    flag: Option<Arg>,
    /// Names of the flags that are there.
    given: Vec<String>,
}

fn read(line: &[String]) -> Typed {
    let mut typed = Typed { path: Vec::new(), entry: None, arguments: Vec::new(), flag: None, given: Vec::new() };
    let mut command = globals::with_globals(Command::new("kubectl"));
    let mut among: &'static [Entry] = TABLE;
    for word in line {
        if typed.flag.take().is_some() {
            continue;
        }
        if word.len() > 1 && word.starts_with('-') {
            if let Some(arg) = flags::find(&command, word) {
                typed.given.push(arg.get_id().to_string());
                typed.flag = Some(arg.clone()).filter(|arg| !word.contains('=') && flags::wants_value(arg));
            }
            continue;
        }
        match among.iter().find(|entry| typed.arguments.is_empty() && entry.is(word)) {
            Some(entry) => {
                typed.path.push(entry.name);
                (typed.entry, among) = (Some(entry), entry.children);
                command = globals::with_globals((entry.command)());
            }
            None => typed.arguments.push(word.clone()),
        }
    }
    typed
}

async fn offered(factory: &Factory, line: &[String], typed: &str) -> Result<Offer, Failure> {
    let read = read(line);
    let described = |entries: &[Entry]| -> Vec<(String, String)> {
        let mut shown: Vec<(String, String)> = entries.iter().filter(|entry| !entry.name.starts_with('_') && entry.name.starts_with(typed)).map(|entry| (entry.name.to_owned(), entry.about.to_owned())).collect();
        shown.sort();
        shown
    };
    if let Some(flag) = &read.flag {
        return value(factory, &read, flag.get_id().as_str(), typed).await;
    }
    let command = read.entry.map_or_else(|| Command::new("kubectl"), |entry| (entry.command)());
    if let Some((flag, begun)) = typed.split_once('=').filter(|(flag, _)| flag.starts_with("--")) {
        let command = globals::with_globals(command);
        let found = flags::find(&command, flag).map(|arg| arg.get_id().to_string());
        return value(factory, &read, found.as_deref().unwrap_or_default(), begun).await;
    }
    if typed.starts_with('-') {
        return Ok((flags_of(&command, &read.given, typed), Directive::NoFiles));
    }
    let Some(entry) = read.entry else {
        return Ok(if read.arguments.is_empty() { (described(TABLE), Directive::NoFiles) } else { (Vec::new(), Directive::Default) });
    };
    if read.arguments.is_empty() && !entry.children.is_empty() {
        return Ok((described(entry.children), Directive::NoFiles));
    }
    let (words, directive) = arguments(factory, &read, typed).await?;
    let mut all: Vec<(String, String)> = required(&read).into_iter().map(|(flag, about)| (flag, about.to_owned())).collect();
    all.extend(words.into_iter().map(|word| (word, String::new())));
    Ok((all, directive))
}

/// Flags that must be given are offered before anything else.
fn required(read: &Typed) -> Vec<(String, &'static str)> {
    let flags: &[(&str, &'static str)] = match read.path.as_slice() {
        ["run"] => &[("image", "The image for the container to run.")],
        ["create", "deployment"] => &[("image", "Image names to run. A deployment can have multiple images set for multicontainer pod.")],
        ["scale"] => &[("replicas", "The new desired number of replicas. Required.")],
        ["autoscale"] => &[("max", "The upper limit for the number of pods that can be set by the autoscaler. Required.")],
        _ => &[],
    };
    flags.iter().filter(|(flag, _)| !read.given.iter().any(|given| given == flag)).map(|(flag, about)| (format!("--{flag}"), *about)).collect()
}

/// The arguments of a command.
async fn arguments(factory: &Factory, read: &Typed, typed: &str) -> Result<(Vec<String>, Directive), Failure> {
    let first = read.arguments.is_empty();
    let begins = |words: Vec<String>| -> Vec<String> { words.into_iter().filter(|word| word.starts_with(typed)).collect() };
    let workloads = &["deployment", "daemonset", "statefulset"][..];
    Ok(match read.path.as_slice() {
        ["get" | "edit" | "delete" | "describe" | "label" | "annotate" | "patch"] | ["apply", "edit-last-applied" | "view-last-applied"] => objects(factory, read, typed, &[], true).await?,
        ["rollout", "history" | "restart" | "undo"] => objects(factory, read, typed, workloads, true).await?,
        ["rollout", "status"] => objects(factory, read, typed, workloads, false).await?,
        ["rollout", "pause" | "resume"] => objects(factory, read, typed, &["deployment"], true).await?,
        ["scale" | "autoscale"] => objects(factory, read, typed, &["deployment", "replicaset", "replicationcontroller", "statefulset"], true).await?,
        ["expose"] => objects(factory, read, typed, &["pod", "service", "replicationcontroller", "deployment", "replicaset"], true).await?,
        ["set", "image"] => objects(factory, read, typed, &["daemonsets", "deployments", "pods", "cronjobs", "replicasets", "replicationcontrollers", "statefulsets"], false).await?,
        ["cp"] => (if first { copied(factory, typed).await? } else { Vec::new() }, Directive::NoSpace),
        ["taint"] => objects(factory, read, typed, &["node"], true).await?,
        ["drain" | "cordon" | "uncordon"] | ["top", "node"] => (if first { begins(names(factory, "nodes").await?) } else { Vec::new() }, Directive::NoFiles),
        ["top", "pod"] => (if first { begins(names(factory, "pods").await?) } else { Vec::new() }, Directive::NoFiles),
        ["create", "token"] => (if first { begins(names(factory, "serviceaccounts").await?) } else { Vec::new() }, Directive::NoFiles),
        ["logs" | "exec" | "attach" | "port-forward"] if first => pods(factory, typed).await?,
        ["logs"] if read.arguments.len() == 1 => (begins(containers(factory, &read.arguments[0]).await), Directive::NoFiles),
        ["logs" | "exec" | "attach" | "port-forward"] => (Vec::new(), Directive::NoFiles),
        ["config", "use-context" | "delete-context" | "rename-context" | "set-context"] => (if first { begins(configured(factory, "contexts")?) } else { Vec::new() }, Directive::NoFiles),
        ["config", "delete-cluster"] => (if first { begins(configured(factory, "clusters")?) } else { Vec::new() }, Directive::NoFiles),
        ["config", "delete-user"] => (if first { begins(configured(factory, "users")?) } else { Vec::new() }, Directive::NoFiles),
        ["completion"] if first => (begins(["bash", "zsh", "fish"].map(str::to_owned).to_vec()), Directive::NoFiles),
        _ => (Vec::new(), Directive::Default),
    })
}

/// What can be copied: of Pods, of those of another namespace, files.
// upstream: kubectl/pkg/cmd/cp/cp.go
async fn copied(factory: &Factory, typed: &str) -> Result<Vec<String>, Failure> {
    if typed.starts_with(['/', '.', '~']) || typed.contains(':') {
        return Ok(Vec::new());
    }
    if let Some((namespace, _)) = typed.split_once('/') {
        let mapping = factory.find("pods").await?;
        let list = factory.call(Call::get(mapping.list_path(namespace))).await?;
        let pods = items(&list).into_iter().filter_map(|pod| Some(format!("{namespace}/{}:", pod["metadata"]["name"].as_str()?)));
        return Ok(pods.filter(|word| word.starts_with(typed)).collect());
    }
    let mut words: Vec<String> = names(factory, "namespaces").await?.into_iter().map(|name| format!("{name}/")).collect();
    words.extend(names(factory, "pods").await?.into_iter().map(|name| format!("{name}:")));
    words.retain(|word| word.starts_with(typed));
    if typed.is_empty() {
        words.extend(["./", "/"].map(str::to_owned));
    } else if !words.is_empty() {
        let files = std::fs::read_dir(factory.env.path("")).into_iter().flatten().flatten();
        let named = files.map(|file| format!("{}{}", file.file_name().to_string_lossy(), if file.path().is_dir() { "/" } else { "" }));
        let mut files: Vec<String> = named.filter(|name| name.starts_with(typed)).collect();
        files.sort();
        words.append(&mut files);
    }
    Ok(words)
}

/// `TYPE NAME...` or `TYPE/NAME...`.
// upstream: resourceTypeAndNameCompletionFunc
async fn objects(factory: &Factory, read: &Typed, typed: &str, kinds: &[&str], several: bool) -> Result<(Vec<String>, Directive), Failure> {
    let given = &read.arguments;
    let fresh = |words: Vec<String>| -> Vec<String> { words.into_iter().filter(|word| word.starts_with(typed) && !given.contains(word)).collect() };
    if let Some(kind) = given.first().filter(|kind| !kind.contains('/')) {
        let words = if several || given.len() == 1 { fresh(names(factory, kind).await?) } else { Vec::new() };
        return Ok((words, Directive::NoFiles));
    }
    if let Some((kind, _)) = typed.split_once('/') {
        let words = if several || given.is_empty() { names(factory, kind).await?.into_iter().map(|name| format!("{kind}/{name}")).collect() } else { Vec::new() };
        return Ok((fresh(words), Directive::NoFiles));
    }
    // The last of several kinds is completed.
    let (before, last) = typed.rfind(',').map_or(("", typed), |comma| typed.split_at(comma + 1));
    let words: Vec<String> = if kinds.is_empty() { all_kinds(factory).await? } else { kinds.iter().map(|kind| (*kind).to_owned()).collect() };
    let words = words.into_iter().filter(|word| word.starts_with(last)).map(|word| format!("{before}{word}"));
    Ok(match (given.is_empty(), several) {
        (true, _) => (words.collect(), Directive::NoFiles),
        (false, true) => (words.map(|word| format!("{word}/")).collect(), Directive::NoSpaceNoFiles),
        (false, false) => (Vec::new(), Directive::NoFiles),
    })
}

/// Pods, and kinds that have some.
// upstream: doPodResourceCompletion
async fn pods(factory: &Factory, typed: &str) -> Result<(Vec<String>, Directive), Failure> {
    if let Some((kind, _)) = typed.split_once('/') {
        let words = names(factory, kind).await?.into_iter().map(|name| format!("{kind}/{name}")).filter(|word| word.starts_with(typed));
        return Ok((words.collect(), Directive::NoFiles));
    }
    let mut words: Vec<String> = names(factory, "pods").await?.into_iter().filter(|name| name.starts_with(typed)).collect();
    let directive = if words.is_empty() { Directive::NoSpaceNoFiles } else { Directive::NoFiles };
    words.extend(WITH_PODS.iter().filter(|kind| kind.starts_with(typed)).map(|kind| format!("{kind}/")));
    Ok((words, directive))
}

/// The value of a flag.
async fn value(factory: &Factory, read: &Typed, flag: &str, typed: &str) -> Result<Offer, Failure> {
    let words = match (flag, read.path.as_slice()) {
        ("namespace", _) => names(factory, "namespaces").await?,
        ("context", _) => configured(factory, "contexts")?,
        ("cluster", _) => configured(factory, "clusters")?,
        ("user", _) => configured(factory, "users")?,
        ("output", ["get"]) => FORMATS.map(str::to_owned).to_vec(),
        ("container", ["exec"]) => match read.arguments.first() {
            Some(pod) => containers(factory, pod).await,
            None => Vec::new(),
        },
        ("filename", _) => {
            let endings = ["json", "yaml", "yml"].map(|ending| (ending.to_owned(), String::new()));
            return Ok((endings.to_vec(), Directive::Endings));
        }
        _ => return Ok((Vec::new(), Directive::Default)),
    };
    Ok((words.into_iter().filter(|word| word.starts_with(typed)).map(|word| (word, String::new())).collect(), Directive::NoFiles))
}

/// Flags that are not given yet, those of every command first, a flag's letter after its name.
fn flags_of(command: &Command, given: &[String], typed: &str) -> Vec<(String, String)> {
    let offered = |args: &[Arg]| -> Vec<(String, String)> {
        let repeated = |arg: &Arg| matches!(flags::kind(arg), "strings" | "stringArray" | "mapStringString");
        let mut shown: Vec<&Arg> = args.iter().filter(|arg| !arg.is_hide_set() && (repeated(arg) || !given.contains(&arg.get_id().to_string()))).collect();
        shown.sort_by_key(|arg| arg.get_long());
        let words = shown.iter().flat_map(|arg| {
            let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let (long, short) = (arg.get_long().map(|long| format!("--{long}")), arg.get_short().map(|short| format!("-{short}")));
            long.into_iter().chain(short).map(move |word| (word, about.clone()))
        });
        words.filter(|(word, _)| word.starts_with(typed)).collect()
    };
    let own: Vec<Arg> = command.get_arguments().cloned().collect();
    let global: Vec<Arg> = globals::arguments().into_iter().filter(|arg| !own.iter().any(|known| known.get_long() == arg.get_long())).collect();
    let help = globals::with_globals(Command::new("help")).get_arguments().filter(|arg| arg.get_long() == Some("help")).cloned().collect();
    [offered(&global), offered(&[own, help].concat())].concat()
}

async fn all_kinds(factory: &Factory) -> Result<Vec<String>, Failure> {
    Ok(factory.mapper().await?.mappings.iter().filter(|mapping| mapping.verbs.iter().any(|verb| verb == "get")).map(|mapping| mapping.group_resource()).collect())
}

async fn names(factory: &Factory, kind: &str) -> Result<Vec<String>, Failure> {
    let mapping = factory.find(kind).await?;
    let list = factory.call(Call::get(mapping.list_path(&factory.namespace()?.0))).await?;
    Ok(items(&list).iter().filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned)).collect())
}

/// The containers of a Pod, those that begin it first; none where there is no such Pod.
async fn containers(factory: &Factory, pod: &str) -> Vec<String> {
    let Ok((namespace, _)) = factory.namespace() else { return Vec::new() };
    let pod = factory.call(Call::get(format!("/api/v1/namespaces/{namespace}/pods/{}", crate::discovery::segment(pod)))).await.unwrap_or_default();
    let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array().cloned().unwrap_or_default());
    lists.iter().flatten().filter_map(|container| container["name"].as_str().map(str::to_owned)).collect()
}

fn configured(factory: &Factory, list: &str) -> Result<Vec<String>, Failure> {
    let entries = factory.config()?.merged[list].as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> = entries.iter().filter_map(|entry| entry["name"].as_str().map(str::to_owned)).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bash_runs_nothing_of_what_it_is_offered() {
        let folder = tempfile::tempdir().unwrap();
        let trap = folder.path().join("trap");
        // Names of a kubeconfig, as `__completeNoDesc` prints them.
        let names = format!("$(touch {0})\n`touch {0}`\n<(touch {0})\na b\na;c\n$HOME\n*\nplain\n:4\n", trap.display());
        let named = format!("\\$\\(touch\\ {}\\)", trap.display());
        let cases = [
            ("", 8, named.as_str()),
            ("$", 2, named.as_str()),
            ("a", 2, "a\\ b"),
            ("pl", 1, "plain"),
            ("z", 0, ""),
        ];
        for (typed, count, first) in cases {
            let script = format!("kubectl() {{ printf %s \"$NAMES\"; }}\n{BASH}\nCOMP_WORDS=(kubectl --context \"$TYPED\"); COMP_CWORD=2; __kubectl_words; echo \"${{#COMPREPLY[@]}} ${{COMPREPLY[0]}}\"");
            let output = std::process::Command::new("bash").args(["--norc", "-c", &script]).current_dir(folder.path()).env("NAMES", &names).env("TYPED", typed).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), format!("{count} {first}").trim_end(), "{typed:?} {output:?}");
        }
        assert!(!trap.exists(), "a name was run");
    }
}
