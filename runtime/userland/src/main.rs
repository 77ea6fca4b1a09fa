//! One static program that is every command of a small system: shell, tools, and the demo servers of the books.
//!
//! 1. The name it was called by (or its first argument) picks an applet from [`applets::APPLETS`].
//! 2. The applet gets its arguments, name first, and gives an exit status.
//! 3. `drydock-userland --links` prints the links an image needs, one path per line.
//!
//! # Invariants
//! * Applets read arguments, files and descriptors, never each other's state. One process is one applet.
//! * No applet needs a dynamic library, a locale, or a name service: the binary is static and images are small.
//! * Only [`sys`] has `unsafe` code. A process that forks has one thread.
//! * Text that programs parse (BusyBox's and nginx's formats) is kept; help texts are our own.

mod applets;
mod archive;
mod awk;
mod clock;
mod compare;
mod dd;
mod digests;
mod dns;
mod editor;
mod environment;
mod expr;
mod files;
mod find;
mod grep;
mod help;
mod http;
mod jq;
mod net;
mod pager;
mod process;
mod sed;
mod servers;
mod shell;
mod sys;
mod terminal;
mod text;
mod transfer;

/// Where commands are when nobody says.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn main() {
    let mut arguments: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if arguments.first().is_some_and(|name| base(name) == "drydock-userland") {
        arguments.remove(0);
    }
    let Some(name) = arguments.first().cloned() else {
        println!("usage: drydock-userland COMMAND [ARGUMENT]...");
        return;
    };
    if name == "--links" {
        for path in applets::links() {
            println!("{path}");
        }
        return;
    }
    let Some(applet) = applets::find(base(&name)) else {
        eprintln!("{name}: not a command of this system");
        std::process::exit(127);
    };
    sys::default_sigpipe();
    if let [_, only] = arguments.as_slice()
        && only == "--help"
        && let Some(text) = help::of(base(&name))
    {
        print!("{text}");
        return;
    }
    let status = applet(&arguments);
    std::process::exit(status);
}

/// The command in a path; a login shell is called `-sh`.
fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name).trim_start_matches('-')
}

/// Says what went wrong, in the usual form.
pub(crate) fn complain(applet: &str, message: impl std::fmt::Display) {
    eprintln!("{}: {message}", base(applet));
}
