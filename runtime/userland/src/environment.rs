//! Who and where one is, and the smallest commands.

use std::{fs, process::Command};

use crate::{
    applets::Arguments,
    complain,
    process::become_command,
    shell::{printf as formats, test_command},
    sys,
};

pub(crate) fn yes_status(_: &[String]) -> i32 {
    0
}

pub(crate) fn no(_: &[String]) -> i32 {
    1
}

pub(crate) fn echo(words: &[String]) -> i32 {
    i32::from(sys::write_all(1, &formats::echo(&words[1..])).is_err())
}

pub(crate) fn printf(words: &[String]) -> i32 {
    let Some((format, rest)) = words[1..].split_first() else { return 2 };
    match formats::printf(format, rest) {
        Ok(bytes) => i32::from(sys::write_all(1, &bytes).is_err()),
        Err(message) => {
            complain("printf", message);
            1
        }
    }
}

pub(crate) fn test(words: &[String]) -> i32 {
    let mut operands = &words[1..];
    if words[0].ends_with('[') {
        operands = operands.strip_suffix(&["]".to_owned()]).unwrap_or(operands);
    }
    match test_command::test(operands) {
        Ok(answer) => i32::from(!answer),
        Err(message) => {
            complain("test", message);
            2
        }
    }
}

pub(crate) fn pwd(_: &[String]) -> i32 {
    match std::env::current_dir() {
        Ok(directory) => println!("{}", directory.display()),
        Err(error) => {
            complain("pwd", sys::reason(&error));
            return 1;
        }
    }
    0
}

/// The name of the user this process runs as.
pub(crate) fn user_name() -> String {
    let uid = nix::unistd::geteuid().as_raw();
    sys::name_of("/etc/passwd", uid).unwrap_or_else(|| uid.to_string())
}

pub(crate) fn whoami(_: &[String]) -> i32 {
    println!("{}", user_name());
    0
}

pub(crate) fn id(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "ungG", &[]) else { return 1 };
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let user = sys::name_of("/etc/passwd", uid);
    let group = sys::name_of("/etc/group", gid);
    let shown = |number: u32, name: &Option<String>| match name {
        Some(name) => format!("{number}({name})"),
        None => number.to_string(),
    };
    let short = |number: u32, name: &Option<String>| if arguments.has('n') { name.clone().unwrap_or_else(|| number.to_string()) } else { number.to_string() };
    if arguments.has('u') {
        println!("{}", short(uid, &user));
    } else if arguments.has('g') {
        println!("{}", short(gid, &group));
    } else {
        let groups = nix::unistd::getgroups().unwrap_or_default();
        let mut groups: Vec<u32> = groups.into_iter().map(nix::unistd::Gid::as_raw).filter(|other| *other != gid).collect();
        groups.insert(0, gid);
        let list = |joiner: &str, brief: bool| {
            let names: Vec<String> = groups
                .iter()
                .map(|gid| {
                    let name = sys::name_of("/etc/group", *gid);
                    if brief { short(*gid, &name) } else { shown(*gid, &name) }
                })
                .collect();
            names.join(joiner)
        };
        if arguments.has('G') {
            println!("{}", list(" ", true));
        } else {
            println!("uid={} gid={} groups={}", shown(uid, &user), shown(gid, &group), list(",", false));
        }
    }
    0
}

/// This machine's name.
pub(crate) fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// `hostname [-i|-f|-s]`: `-i` is the address that /etc/hosts gives the name.
pub(crate) fn hostname(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "isfdI", &[]) else { return 1 };
    let name = host_name();
    if arguments.has('i') || arguments.has('I') {
        let addresses = crate::dns::hosts_file(&name);
        if addresses.is_empty() {
            complain("hostname", format!("{name}: no address"));
            return 1;
        }
        println!("{}", addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        return 0;
    }
    let full = Some(&name).filter(|_| arguments.has('f')).and_then(|name| full_name(&std::fs::read_to_string("/etc/hosts").ok()?, name));
    println!("{}", if arguments.has('s') { name.split('.').next().unwrap_or("") } else { full.as_ref().unwrap_or(&name) });
    0
}

/// The first of the names that stand beside this one in a file of hosts.
fn full_name(hosts: &str, name: &str) -> Option<String> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace().skip(1));
    lines.filter(|names| names.clone().any(|known| known == name)).find_map(|mut names| names.next().map(str::to_owned))
}

pub(crate) fn uname(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "asnrvmop", &[]) else { return 1 };
    let Ok(uname) = nix::sys::utsname::uname() else { return 1 };
    let fields = [
        ('s', uname.sysname().to_string_lossy().into_owned()),
        ('n', uname.nodename().to_string_lossy().into_owned()),
        ('r', uname.release().to_string_lossy().into_owned()),
        ('v', uname.version().to_string_lossy().into_owned()),
        ('m', uname.machine().to_string_lossy().into_owned()),
        ('o', "Linux".to_owned()),
    ];
    let none = !fields.iter().any(|(letter, _)| arguments.has(*letter) || arguments.has('a'));
    let shown: Vec<&str> = fields
        .iter()
        .filter(|(letter, _)| arguments.has('a') || arguments.has(*letter) || (none && *letter == 's'))
        .map(|(_, text)| text.as_str())
        .collect();
    println!("{}", shown.join(" "));
    0
}

pub(crate) fn nproc(_: &[String]) -> i32 {
    println!("{}", std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    0
}

pub(crate) fn printenv(words: &[String]) -> i32 {
    if words.len() == 1 {
        for (name, value) in std::env::vars() {
            println!("{name}={value}");
        }
        return 0;
    }
    let mut status = 0;
    for name in &words[1..] {
        match std::env::var(name) {
            Ok(value) => println!("{value}"),
            Err(_) => status = 1,
        }
    }
    status
}

/// `env [-i] [-u NAME] [NAME=VALUE]... [COMMAND]`
pub(crate) fn env(words: &[String]) -> i32 {
    let mut rest = &words[1..];
    let mut variables: Vec<(String, String)> = std::env::vars().collect();
    while let Some((first, tail)) = rest.split_first() {
        if first == "-i" || first == "-" {
            variables.clear();
        } else if first == "-u" {
            let name = tail.first().cloned().unwrap_or_default();
            variables.retain(|(known, _)| *known != name);
            rest = tail.get(1..).unwrap_or_default();
            continue;
        } else if let Some((name, value)) = first.split_once('=') {
            variables.retain(|(known, _)| known != name);
            variables.push((name.to_owned(), value.to_owned()));
        } else {
            break;
        }
        rest = tail;
    }
    let Some((program, arguments)) = rest.split_first() else {
        for (name, value) in variables {
            println!("{name}={value}");
        }
        return 0;
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(variables);
    become_command("env", command)
}

/// `tty`: the terminal's name.
pub(crate) fn tty(_: &[String]) -> i32 {
    match nix::unistd::ttyname(sys::borrow(0)) {
        Ok(name) => {
            println!("{}", name.display());
            0
        }
        Err(_) => {
            println!("not a tty");
            1
        }
    }
}

/// `which NAME...`
pub(crate) fn which(words: &[String]) -> i32 {
    let path = std::env::var("PATH").unwrap_or_else(|_| crate::DEFAULT_PATH.to_owned());
    let mut status = 0;
    for name in &words[1..] {
        let found = path.split(':').map(|directory| format!("{directory}/{name}")).find(|file| {
            nix::unistd::access(file.as_str(), nix::unistd::AccessFlags::X_OK).is_ok() && fs::metadata(file).is_ok_and(|meta| meta.is_file())
        });
        match found {
            Some(file) => println!("{file}"),
            None => status = 1,
        }
    }
    status
}

/// `apk`: the tools scripts install are here already.
pub(crate) fn apk(words: &[String]) -> i32 {
    let names: Vec<&str> = words[1..].iter().filter(|word| !word.starts_with('-')).map(String::as_str).collect();
    match names.split_first() {
        Some((&"add", packages)) => {
            let known = |package: &str| crate::applets::find(package).is_some() || matches!(package, "bind-tools" | "busybox-extras" | "coreutils" | "iputils" | "vim");
            let unknown: Vec<&&str> = packages.iter().filter(|package| !known(package)).collect();
            if !unknown.is_empty() {
                eprintln!("ERROR: unable to select packages:");
                for package in &unknown {
                    eprintln!("  {package} (no such package):\n    required by: world[{package}]");
                }
                return i32::try_from(unknown.len()).unwrap_or(1);
            }
            for (index, package) in packages.iter().enumerate() {
                println!("({}/{}) {package} is part of this image", index + 1, packages.len());
            }
            println!("OK: {} commands", crate::applets::APPLETS.len());
            0
        }
        Some((&"update" | &"upgrade", _)) => {
            println!("OK");
            0
        }
        _ => {
            complain("apk", "this image has a fixed set of tools; only `apk add` of them does something");
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_name_is_the_first_of_its_line() {
        let hosts = "# managed\n127.0.0.1\tlocalhost\n10.244.1.7\tweb-0.web.default.svc.cluster.local\tweb-0 # me\n";
        for (name, wanted) in [("web-0", Some("web-0.web.default.svc.cluster.local")), ("localhost", Some("localhost")), ("web", None), ("me", None)] {
            assert_eq!(full_name(hosts, name).as_deref(), wanted, "{name}");
        }
    }
}
