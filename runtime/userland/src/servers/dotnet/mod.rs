//! `dotnet FILE.dll [ARGUMENT]...`: starts one of the books' ASP.NET Core applications, or rather ours in its place.
//!
//! The file is looked for as the real launcher would, relative to the working directory, and says in its first line
//! which application it is. A volume mounted over it makes it disappear, and then the launcher fails in the words a
//! reader of the book expects.
//!
//! [`Host`] is what the applications share: settings, log and the server.

mod log;
mod numbers;
mod pi;
mod settings;
mod todo;
mod todo_store;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use self::{
    log::Level,
    settings::{Settings, Sources},
};
use super::{Handler, Service};
use crate::complain;

/// What the launcher ends with when there is nothing to start.
const NOTHING_TO_START: i32 = 145;
/// What a .NET program ends with that did not handle its error: aborted by signal 6.
const UNHANDLED: i32 = 134;

/// `dotnet FILE.dll [ARGUMENT]...`
pub(crate) fn dotnet(words: &[String]) -> i32 {
    let Some(file) = words.get(1) else {
        complain("dotnet", "usage: dotnet FILE.dll [ARGUMENT]...");
        return 129;
    };
    let Ok(marker) = std::fs::read_to_string(file) else {
        return nothing_to_start(file);
    };
    let arguments = &words[2..];
    match marker.lines().next().unwrap_or("") {
        "drydock-application numbers-api" => numbers::api(),
        "drydock-application numbers-web" => numbers::web(),
        "drydock-application todo-list" => todo::todo_list(),
        "drydock-application pi" => pi::pi(arguments),
        _ => nothing_to_start(file),
    }
}

fn nothing_to_start(file: &str) -> i32 {
    eprintln!("Could not execute because the application was not found or a compatible .NET SDK is not installed.");
    eprintln!("Possible reasons for this include:");
    eprintln!("  * You intended to execute a .NET application:");
    eprintln!("      The application '{file}' does not exist.");
    eprintln!("  * You intended to execute a .NET SDK command:");
    eprintln!("      No .NET SDKs were found.");
    NOTHING_TO_START
}

/// Settings, log and server of an application.
pub(super) struct Host {
    sources: Sources,
    settings: Mutex<Arc<Settings>>,
}

impl Host {
    /// Reads the settings: these files, lowest first, then the environment.
    fn start(files: &[&str]) -> Result<Arc<Self>, i32> {
        let sources = Sources::new(files.iter().map(PathBuf::from).collect(), std::env::vars().collect());
        match sources.read() {
            Ok(settings) => Ok(Arc::new(Self { sources, settings: Mutex::new(Arc::new(settings)) })),
            Err(error) => {
                eprintln!("Unhandled exception. System.IO.InvalidDataException: {error}");
                Err(UNHANDLED)
            }
        }
    }

    /// The settings as the files are now. A file that cannot be read keeps what was known of all.
    fn settings(&self) -> Arc<Settings> {
        let mut known = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        if self.sources.changed(&known)
            && let Ok(settings) = self.sources.read()
        {
            *known = Arc::new(settings);
        }
        Arc::clone(&known)
    }

    /// Writes to the log, if its settings let it.
    fn log(&self, level: Level, category: &str, message: &str) {
        log::write(&self.settings(), level, category, 0, message);
    }

    /// Serves HTTP until told to end.
    fn serve(&self, handler: Arc<Handler>) -> i32 {
        const LIFETIME: &str = "Microsoft.Hosting.Lifetime";
        let settings = self.settings();
        let port = port(&settings);
        let open = match Service::new("dotnet", "Kestrel", port, handler).open() {
            Ok(open) => open,
            Err(_) => {
                log::write(&settings, Level::Critical, "Microsoft.AspNetCore.Server.Kestrel", 0, "Unable to start Kestrel.");
                return UNHANDLED;
            }
        };
        let information = |id, message: &str| log::write(&settings, Level::Information, LIFETIME, id, message);
        information(14, &format!("Now listening on: http://[::]:{port}"));
        information(0, "Application started. Press Ctrl+C to shut down.");
        information(0, &format!("Hosting environment: {}", environment(&settings)));
        let root = std::env::current_dir().unwrap_or_default();
        information(0, &format!("Content root path: {}/", root.display().to_string().trim_end_matches('/')));
        let status = open.serve();
        self.log(Level::Information, LIFETIME, "Application is shutting down...");
        status
    }
}

/// `Production` unless the environment says otherwise.
fn environment(settings: &Settings) -> String {
    settings.get("ASPNETCORE_ENVIRONMENT").filter(|name| !name.is_empty()).unwrap_or("Production").to_owned()
}

/// The port of `ASPNETCORE_URLS=http://+:80`, else 80.
fn port(settings: &Settings) -> u16 {
    let url = settings.get("ASPNETCORE_URLS").or_else(|| settings.get("URLS")).unwrap_or("");
    let first = url.split(';').next().unwrap_or("").trim_end_matches('/');
    first.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(80)
}
