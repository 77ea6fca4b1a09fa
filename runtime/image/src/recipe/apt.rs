//! The machine's package manager as a source of packages: it knows the mirrors, their keys and the proxies.
//!
//! All it writes goes below a directory of ours, and it is told that nothing is installed. Nothing is installed by it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use super::{
    Progress, Watcher,
    closure::{Package, parse},
};
use crate::digest::Digest;

/// Package lists are fetched again after this time.
const FRESH: Duration = Duration::from_secs(6 * 3600);

/// The packages could not be had.
#[derive(Debug, thiserror::Error)]
pub enum AptError {
    /// There is no package manager.
    #[error("recipes need the packages of Debian or a distribution like it, and apt-get is not on this machine")]
    Missing,
    /// It failed.
    #[error("apt-get cannot {action}: {reason}")]
    Failed {
        /// What it was to do.
        action: &'static str,
        /// What it said last.
        reason: String,
    },
    /// A file operation failed.
    #[error("{action} {path}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A package is not what the index promised.
    #[error("package {package} is not what the index says: download it again")]
    Digest {
        /// Which.
        package: String,
    },
}

/// The package manager, working in a directory of ours.
pub(super) struct Apt {
    work: PathBuf,
}

impl Apt {
    pub(super) fn new(work: &Path) -> Result<Self, AptError> {
        for name in ["lists/partial", "cache/archives/partial", "packages"] {
            let path = work.join(name);
            fs::create_dir_all(&path).map_err(|source| AptError::Io { action: "create directory", path, source })?;
        }
        let status = work.join("status");
        fs::write(&status, "").map_err(|source| AptError::Io { action: "write", path: status.clone(), source })?;
        Ok(Self { work: work.to_owned() })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let place = |name: &str, path: &str| format!("{name}={}", self.work.join(path).display());
        let options = [
            place("Dir::State::lists", "lists"),
            place("Dir::State::status", "status"),
            place("Dir::State::extended_states", "extended_states"),
            place("Dir::Cache", "cache"),
            place("Dir::Cache::archives", "cache/archives"),
            "Dir::Cache::pkgcache=".to_owned(),
            "Dir::Cache::srcpkgcache=".to_owned(),
            "Dir::Log::Planner=/dev/null".to_owned(),
            "APT::Install-Recommends=false".to_owned(),
            "APT::Install-Suggests=false".to_owned(),
            "APT::Sandbox::User=".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::IndexTargets::deb::CNF::DefaultEnabled=false".to_owned(),
            "Acquire::Retries=2".to_owned(),
            "Acquire::http::Timeout=20".to_owned(),
            "Acquire::https::Timeout=20".to_owned(),
        ];
        for option in options {
            command.arg("-o").arg(option);
        }
        command.env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    fn output(mut command: Command, action: &'static str) -> Result<String, AptError> {
        let output = command.output().map_err(|error| start_error(error, action))?;
        if !output.status.success() {
            return Err(AptError::Failed { action, reason: complaint(&String::from_utf8_lossy(&output.stderr)) });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Fetches the package lists, unless they are fresh.
    pub(super) fn update(&self, watcher: &mut Watcher<'_>) -> Result<(), AptError> {
        let stamp = self.work.join("updated");
        let age = fs::metadata(&stamp).and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age < FRESH) {
            return Ok(());
        }
        watcher(Progress::Step("fetching the distribution's package lists".to_owned()));
        let mut command = self.command("apt-get");
        command.args(["-q", "update"]);
        let output = command.output().map_err(|error| start_error(error, "fetch the package lists"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // A source that has nothing to do with us may be away; without any list there is nothing to choose from.
        let lists = fs::read_dir(self.work.join("lists")).map_or(0, |entries| {
            entries.flatten().filter(|entry| entry.file_name().to_string_lossy().contains("_Packages")).count()
        });
        if lists == 0 {
            return Err(AptError::Failed { action: "fetch the package lists", reason: complaint(&said) });
        }
        if output.status.success() {
            fs::write(&stamp, "").map_err(|source| AptError::Io { action: "write", path: stamp.clone(), source })?;
        }
        Ok(())
    }

    /// All packages it would install for these names on an empty machine.
    pub(super) fn solve(&self, names: &[String]) -> Result<Vec<Package>, AptError> {
        let mut command = self.command("apt-get");
        command.args(["-q", "--simulate", "install"]).args(names);
        let plan = Self::output(command, "find the packages")?;
        let wanted: Vec<String> = plan
            .lines()
            .filter_map(|line| {
                let mut words = line.strip_prefix("Inst ")?.split_whitespace();
                let name = words.next()?;
                let version = words.find_map(|word| word.strip_prefix('('))?;
                Some(format!("{name}={version}"))
            })
            .collect();
        let mut command = self.command("apt-cache");
        command.arg("show").args(&wanted);
        let mut packages = parse(&Self::output(command, "describe the packages")?);
        // The same version may come from two places; it is the same package.
        packages.sort_by(|one, other| one.name.cmp(&other.name));
        packages.dedup_by(|one, other| one.name == other.name);
        Ok(packages)
    }

    /// Fetches the packages and checks their digests; gives their files in the same order.
    pub(super) fn download(&self, packages: &[Package], watcher: &mut Watcher<'_>) -> Result<Vec<PathBuf>, AptError> {
        let directory = self.work.join("packages");
        let file = |package: &Package| directory.join(format!("{}.deb", package.sha256));
        let missing: Vec<&Package> = packages.iter().filter(|package| !file(package).is_file()).collect();
        if !missing.is_empty() {
            self.fetch(&missing, watcher)?;
        }
        let files: Vec<PathBuf> = packages.iter().map(file).collect();
        for (package, path) in packages.iter().zip(&files) {
            let digest = fs::File::open(path).and_then(|mut file| Digest::of_reader(&mut file));
            if !digest.is_ok_and(|digest| digest.hex() == package.sha256) {
                return Err(AptError::Digest { package: package.name.clone() });
            }
        }
        Ok(files)
    }

    fn fetch(&self, packages: &[&Package], watcher: &mut Watcher<'_>) -> Result<(), AptError> {
        let action = "download the packages";
        let incoming = self.work.join("incoming");
        if incoming.exists() {
            fs::remove_dir_all(&incoming).map_err(|source| AptError::Io { action: "remove", path: incoming.clone(), source })?;
        }
        fs::create_dir_all(&incoming).map_err(|source| AptError::Io { action: "create directory", path: incoming.clone(), source })?;
        let mut command = self.command("apt-get");
        command.args(["-q", "download"]).args(packages.iter().map(|package| format!("{}={}", package.name, package.version)));
        let mut child = command.current_dir(&incoming).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|error| start_error(error, action))?;
        let mut done = 0;
        watcher(Progress::Count { what: "packages fetched", done, of: packages.len() });
        for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(|reader| reader.lines().map_while(Result::ok)) {
            // `Get:7 http://... bookworm/main amd64 zlib1g amd64 1:1.2.13 [86.7 kB]`
            if line.starts_with("Get:") {
                done += 1;
                watcher(Progress::Count { what: "packages fetched", done: done.min(packages.len()), of: packages.len() });
            }
        }
        let output = child.wait_with_output().map_err(|error| start_error(error, action))?;
        if !output.status.success() {
            return Err(AptError::Failed { action, reason: complaint(&String::from_utf8_lossy(&output.stderr)) });
        }
        for entry in fs::read_dir(&incoming).map_err(|source| AptError::Io { action: "list", path: incoming.clone(), source })?.flatten() {
            let path = entry.path();
            let moved = fs::File::open(&path)
                .and_then(|mut file| Digest::of_reader(&mut file))
                .and_then(|digest| fs::rename(&path, self.work.join("packages").join(format!("{}.deb", digest.hex()))));
            moved.map_err(|source| AptError::Io { action: "keep", path: path.clone(), source })?;
        }
        Ok(())
    }
}

fn start_error(error: std::io::Error, action: &'static str) -> AptError {
    match error.kind() {
        std::io::ErrorKind::NotFound => AptError::Missing,
        _ => AptError::Failed { action, reason: error.to_string() },
    }
}

/// The last thing it complained about.
fn complaint(said: &str) -> String {
    let last = said.lines().rev().find(|line| line.starts_with("E:")).or_else(|| said.lines().rev().find(|line| line.starts_with("W:")));
    last.map_or_else(|| "it does not say why".to_owned(), |line| line[2..].trim().to_owned())
}
