//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use drydock_primitives::quantity::Quantity;

/// The interactive companion to five Kubernetes books: lessons in the browser, a real mini-cluster behind them.
#[derive(Debug, Parser)]
#[command(name = "drydock", version, max_term_width = 110)]
pub(crate) struct Cli {
    /// Say what happens on standard error.
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    /// Where progress and the cluster are kept [default: drydock in the XDG data directory].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// What to do; `serve` when nothing is said.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Open the book: lessons, terminals and a cluster (the default).
    Serve(Serve),
    /// A cluster without the lessons.
    #[command(subcommand)]
    Cluster(Cluster),
    /// Kubernetes' own command, built in: `drydock kubectl get pods`.
    #[command(disable_help_flag = true)]
    Kubectl {
        /// What kubectl is to do.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Say what works on this machine, and how to get what does not.
    Doctor {
        /// How to print it.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Measure this machine against the budgets, beside crun, runc and stock kubectl where they are installed.
    Bench(Bench),
    /// Check and run course content.
    #[command(subcommand)]
    Author(Author),
    /// Images for Pods: list them, fetch them, bring and take them as files.
    #[command(subcommand)]
    Image(Image),
    /// The lessons from a terminal: exercises, checks, hints, undo. The same as `lab` in the terminals of the page.
    #[command(disable_help_flag = true)]
    Lab {
        /// Its arguments; `help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// The docker command, for the node of a running cluster.
    #[command(disable_help_flag = true)]
    Docker {
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// `drydock image`
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// List the images that Pods can use.
    #[command(alias = "list")]
    Ls {
        /// How to print it.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Fetch an image from its registry.
    Pull {
        /// Its name, as a Pod has it.
        name: String,
        /// Log in under this name; the password is read from standard input.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// Take in an image from an OCI layout (directory or archive) or from an archive of `docker save`.
    Import {
        /// The file or directory.
        path: PathBuf,
        /// The image's name, when the file does not say it or another is wanted.
        #[arg(long)]
        name: Option<String>,
    },
    /// Write an image to an archive that Docker and others can load.
    Export {
        /// Its name.
        name: String,
        /// The file to write.
        path: PathBuf,
    },
    /// Forget an image that was fetched, imported or made.
    Rm {
        /// Its name.
        name: String,
    },
    /// Fetch all that a book needs, so that it can be worked through without a network.
    Prefetch {
        /// The book: lunches.
        book: String,
        /// Make what is here already once more, with today's packages.
        #[arg(long)]
        again: bool,
    },
}

/// `drydock serve`
#[derive(Debug, Args, Clone)]
pub(crate) struct Serve {
    /// Address of the page; only loopback addresses are accepted.
    #[arg(long, default_value = "127.0.0.1:4747", value_name = "IP:PORT")]
    pub(crate) listen: SocketAddr,
    /// Nodes of the cluster [default: what the open course asks for].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) nodes: Option<u32>,
    /// Port of the Kubernetes API on 127.0.0.1 [default: 6443 or the next free one; 0 takes any].
    #[arg(long, value_name = "PORT")]
    pub(crate) api_port: Option<u16>,
    /// Room on each node's disk and in the learner's home [default: 10Gi].
    #[arg(long, value_name = "SIZE", value_parser = disk)]
    pub(crate) disk: Option<u64>,
    /// Learn on another cluster: the current context of this kubeconfig. There are no nodes then, only the terminals and the page.
    #[arg(long, value_name = "FILE", conflicts_with = "nodes")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Let the terminals use kubectl of this computer, if it runs there, instead of the one that is built in.
    #[arg(long)]
    pub(crate) host_tools: bool,
    /// Read the course from this directory instead of the one inside the program.
    #[arg(long, value_name = "DIR")]
    pub(crate) content: Option<PathBuf>,
    /// Do not open a browser.
    #[arg(long)]
    pub(crate) no_open: bool,
}

impl Default for Serve {
    fn default() -> Self {
        Serve { listen: SocketAddr::from(([127, 0, 0, 1], 4747)), nodes: None, api_port: None, disk: None, kubeconfig: None, host_tools: false, content: None, no_open: false }
    }
}

/// `drydock cluster ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Start a cluster and keep it until Ctrl-C; with --detach, until `drydock cluster down`.
    Up(Up),
    /// End the cluster of this state directory.
    Down,
    /// End the cluster of this state directory and remove everything kept there: objects, files, progress.
    Delete,
    /// Say what runs.
    Status {
        /// How to print it.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Print the kubeconfig of the running cluster.
    Kubeconfig,
    /// Open a shell on a node.
    Shell {
        /// Name of the node, or `workstation`.
        #[arg(default_value = "node-1")]
        node: String,
        /// What to run instead of a shell.
        #[arg(trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Back to how the cluster was right after its first start; credentials stay valid.
    Reset,
    /// Give the state of the cluster and of the workstation's files a name to come back to; it outlives restarts.
    Snapshot {
        /// Its name [default: a number].
        name: Option<String>,
        /// What it is, for people.
        #[arg(long, default_value = "", hide_default_value = true)]
        label: String,
        /// Let a snapshot of this name go before.
        #[arg(long)]
        replace: bool,
    },
    /// Back to a snapshot; without a name, list them.
    Restore {
        /// Name of the snapshot.
        name: Option<String>,
        /// How to print the list.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
}

/// `drydock cluster up`
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Nodes of the cluster; 0 is an API server alone.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=20))]
    pub(crate) nodes: u32,
    /// Port of the Kubernetes API on 127.0.0.1 [default: 6443 or the next free one; 0 takes any].
    #[arg(long, value_name = "PORT")]
    pub(crate) api_port: Option<u16>,
    /// Room on each node's disk and in the learner's home [default: 10Gi].
    #[arg(long, value_name = "SIZE", value_parser = disk)]
    pub(crate) disk: Option<u64>,
    /// Let the terminals use kubectl of this computer, if it runs there, instead of the one that is built in.
    #[arg(long)]
    pub(crate) host_tools: bool,
    /// Write the kubeconfig to this file too.
    #[arg(long, value_name = "FILE")]
    pub(crate) write_kubeconfig: Option<PathBuf>,
    /// Return when the cluster is ready and leave it running.
    #[arg(long)]
    pub(crate) detach: bool,
}

/// An amount of bytes, as `10Gi`; a machine does not start on less than 256Mi.
fn disk(text: &str) -> Result<u64, String> {
    let amount = text.parse::<Quantity>().map_err(|error| error.to_string())?.value();
    u64::try_from(amount).ok().filter(|bytes| *bytes >= 256 << 20).ok_or_else(|| "at least 256Mi are needed".to_owned())
}

/// `drydock bench`
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Runs of each measurement.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) runs: u32,
    /// How to print it.
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// `drydock author ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Author {
    /// Read all content and say what is wrong with it.
    Lint {
        /// Directory that holds `chapters/` and `labs/`, or the directory of one chapter or lab.
        #[arg(default_value = ".")]
        content: PathBuf,
    },
    /// Run every fence, solution and wrong answer in a cluster of its own.
    Test {
        /// Directory that holds `chapters/` and `labs/`, or the directory of one chapter or lab.
        #[arg(default_value = ".")]
        content: PathBuf,
        /// Only chapters, exercises and labs whose id contains this.
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// How often.
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        runs: u32,
        /// Chapters that are tested at the same time, each in a cluster of its own.
        #[arg(long, short, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
        jobs: u32,
        /// Type at kubectl of this computer, if it runs in a cluster, instead of the one that is built in.
        #[arg(long)]
        host_tools: bool,
        /// Fail instead of skipping what needs an image that is not here.
        #[arg(long)]
        complete: bool,
        /// Write the results there, as JUnit XML.
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
    },
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}
